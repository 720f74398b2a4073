"""What operators do about a payment. What moves money, or says that it moved, is repeated on a page and confirmed.

A form is sent twice: first to be looked over (`confirmed` missing), then to be done. Both times everything is checked
anew, and a cancel carries the balance that the operator saw, so the same one cannot run twice.
"""

import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from chalicelib.api.console import attention, masking
from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.pages import KST, money
from chalicelib.api.console.payment_words import CANCELS
from chalicelib.api.console.payments import acts, load_payment, show_payment
from chalicelib.api.console.visits import DONE, Html, Problem, Redirect, Visit, problem_of, step, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import Operation, RefundAccount
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused, RouterError
from chalicelib.domain.institutions import BANKS
from chalicelib.domain.money import parse_money
from chalicelib.domain.payments import VIRTUAL_ACCOUNT, Attempt, Cancellation, CancelState, Payment
from chalicelib.domain.specs import GatewaySpec
from chalicelib.ports import Conflict
from chalicelib.usecases import by_hand, cancels, lookups, on_record, virtual_accounts, webhooks
from chalicelib.usecases.vault import channel_of

DONE |= {
    "cancelled": ("취소했습니다. PG사가 처리했습니다.", "Cancelled: the gateway has given it back."),
    "cancel_open": (
        "취소를 요청했고 결과를 확인하고 있습니다. 다시 취소하지 마세요. 결과가 나오면 여기에 표시됩니다.",
        "The cancel was sent and is being confirmed. Do not cancel again; the result will be shown here.",
    ),
    "revoked": ("가상계좌를 말소했습니다.", "The virtual account is closed."),
    "checked": ("PG사에 조회했고, 결과를 반영했습니다.", "The gateway was asked, and what it said is recorded."),
    "checked_open": (
        "PG사에 조회했지만 아직 확정되지 않았습니다. 자동으로 다시 조회합니다.",
        "The gateway was asked, and it is still open. It is asked again by itself.",
    ),
    "checked_in_vain": (
        "PG사에 조회해서는 알 수 없습니다. PG사 관리자 화면에서 확인한 뒤 결과를 확정해 주세요.",
        "The gateway cannot tell. Look at the gateway's console, then settle it here.",
    ),
    "settled": ("확정했습니다.", "Settled."),
    "settled_by_gateway": (
        "PG사의 답변에 따라 확정되었습니다. 입력한 내용 대신 PG사의 답변을 반영했습니다.",
        "Settled by the gateway's own answer, which went before what you entered.",
    ),
    "settled_unseen": (
        (
            "확정했습니다. 조회할 수 없는 PG사이므로 나중에 승인되어도 자동으로 취소되지 않습니다. "
            "내일 PG사 관리자 화면을 한 번 더 확인해 주세요."
        ),
        "Settled. This gateway cannot be asked: nobody sees a late approval. Look at its console once more tomorrow.",
    ),
    "acknowledged": ("알림을 확인 처리했습니다.", "Noted; the alarm is gone."),
    "resent": ("웹훅을 다시 보냅니다.", "The webhook is sent again."),
}

_AMOUNT = re.compile(r"-?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?")
"""Commas between thousands, if at all. What is below zero is told as that (`parse_money`)."""

LONGEST_REFUND = 40
"""Of each field of a buyer's account, as in the API."""

OVERTAKEN = Problem(
    "그사이 다른 곳에서 이 결제가 바뀌었습니다. 아래의 현재 상태를 확인해 주세요. "
    "(somebody else was faster: this is how it stands now)"
)


def _problem(error: Exception) -> Problem:
    return OVERTAKEN if isinstance(error, Conflict) else problem_of(error)


def _to_payment(imp_uid: str, done: str) -> Redirect:
    return Redirect(f"payments/{step(imp_uid)}", done)


def _payment(visit: Visit) -> Payment:
    return load_payment(visit, visit.steps[1])[0]


def _is_confirmed(visit: Visit) -> bool:
    return visit.text("confirmed") == "yes" and not visit.text("back")


# --- giving money back --------------------------------------------------------------------------------------------


@view("GET", "payments/*/cancel", Role.OPERATOR)
def cancel_page(visit: Visit) -> Html:
    return _cancel_form(visit, _payment(visit))


@view("POST", "payments/*/cancel", Role.OPERATOR)
def cancel(visit: Visit) -> Html | Redirect:
    payment = _payment(visit)
    try:
        wanted = _wanted_cancel(visit, payment)
        if visit.text("back"):
            return _cancel_form(visit, payment)
        if not _is_confirmed(visit):
            _check_cancel(visit, payment, wanted)
            return _confirm_cancel(visit, payment, wanted)
        stored = on_record.cancel(visit.deps, visit.operator, replace(wanted, budget=visit.budget()))
    except (RouterError, Conflict) as error:
        return _cancel_form(visit, _payment(visit), _problem(error), status_of(error))
    return _to_payment(payment.imp_uid, "cancel_open" if stored.open_cancel else "cancelled")


def _wanted_cancel(visit: Visit, payment: Payment) -> cancels.Cancel:
    """Raises InvalidRequest."""
    reason = visit.text("reason")
    if not reason:
        raise InvalidRequest("reason", "reason: 취소 사유를 입력해 주세요. (a reason is required)")
    part = _part(visit.text("extent"), visit.text("amount"))
    return cancels.Cancel(
        imp_uid=payment.imp_uid,
        amount=_decimal("amount", part) if part else None,
        checksum=_decimal("checksum", visit.text("checksum")),
        reason=reason,
        refund_to=_refund_account(visit) if payment.pay_method == VIRTUAL_ACCOUNT else None,
        notify=visit.text("notify") == "yes",
    )


def _part(extent: str, typed: str) -> str:
    """The amount as typed; "" = all that is left, which nothing but the word for it means. Raises InvalidRequest."""
    if extent not in ("all", "part"):
        raise InvalidRequest("extent", "extent: 전액과 일부 중에서 선택해 주세요. (choose all or a part)")
    if extent == "part" and not typed:
        raise InvalidRequest("amount", "amount: 취소할 금액을 입력해 주세요. (enter the amount)")
    if extent == "all" and typed:
        text = "일부 취소를 선택하거나, 전액 취소라면 금액을 비워 주세요. (choose a part, or leave the amount empty)"
        raise InvalidRequest("amount", f"amount: {text}")
    return typed


def _refund_account(visit: Visit) -> RefundAccount:
    """Raises InvalidRequest for what is too long: an account number that was cut would be another's."""
    names = ("refund_holder", "refund_bank", "refund_account", "refund_tel")
    if long := next((name for name in names if len(visit.text(name)) > LONGEST_REFUND), None):
        raise InvalidRequest(long, f"{long}: {LONGEST_REFUND}자 이하여야 합니다. (at most {LONGEST_REFUND} characters)")
    return RefundAccount(*(visit.text(name) or None for name in names))


def _check_cancel(visit: Visit, payment: Payment, wanted: cancels.Cancel) -> None:
    """What can be known before it is confirmed. Raises Refused, InvalidRequest."""
    if payment.pay_method == VIRTUAL_ACCOUNT:
        account = wanted.refund_to or RefundAccount()
        missing = {"refund_holder": account.holder, "refund_bank": account.bank, "refund_account": account.account}
        for name, value in missing.items():
            if not value:
                raise InvalidRequest(name, f"{name}: 환불받을 계좌를 입력해 주세요. (required for a refund)")
    on_record.check_cancel(visit.deps, visit.merchant_id, wanted)


def _decimal(name: str, text: str) -> Decimal:
    """As people write amounts. `10,50` is no amount: read without its comma it would be a hundred times as much."""
    if not _AMOUNT.fullmatch(text):
        raise InvalidRequest(name, f"{name}: 숫자로 입력해 주세요. (must be a number)")
    return Decimal(text.replace(",", ""))


def _cancel_form(visit: Visit, payment: Payment, problem: Problem | None = None, status: int = 200) -> Html:
    spec = _spec(visit, payment.attempt) if payment.attempts else None
    refund_banks = spec.virtual_accounts.refund_banks if spec and spec.virtual_accounts else ()
    in_parts = spec is not None and Operation.PARTIAL_CANCEL in spec.operations
    values = {
        "payment": payment,
        "may_cancel": "cancel" in acts(visit, payment),
        "in_parts": in_parts,
        "left_once": spec.max_cancels if spec else None,
        "needs_account": payment.pay_method == VIRTUAL_ACCOUNT,
        "refund_banks": [
            ("", visit.say("은행 선택", "choose a bank")),
            *sorted(((code, BANKS.get(code, code)) for code in refund_banks), key=lambda pair: pair[1]),
        ],
        "typed": _typed(
            visit, "extent", "amount", "reason", "refund_holder", "refund_bank", "refund_account", "refund_tel"
        ),
        "notify": visit.text("notify") == "yes" or not visit.form,
    }
    return Html("payment_cancel.html", values, status, problem)


def _spec(visit: Visit, attempt: Attempt) -> GatewaySpec:
    """Of its channel: some can do more than their gateway's others."""
    return visit.deps.gateways.spec_of(channel_of(visit.deps, visit.who.routing, attempt.channel_key))


def _typed(visit: Visit, *names: str) -> dict[str, str]:
    return {name: visit.text(name) for name in names}


def _confirm_cancel(visit: Visit, payment: Payment, wanted: cancels.Cancel) -> Html:
    currency = payment.request.amount.currency
    amount = payment.balance if wanted.amount is None else parse_money(wanted.amount, currency)
    left = payment.balance - amount
    rows = [
        (visit.say("되돌려줄 금액", "To be given back"), money(amount)),
        (visit.say("취소 후 잔액", "Left after it"), money(left)),
        *_identity(visit, payment),
        (visit.say("사유", "Reason"), wanted.reason),
        (
            visit.say("웹훅", "Webhook"),
            visit.say("보냄", "is sent") if wanted.notify else visit.say("보내지 않음", "is not sent"),
        ),
    ]
    if account := wanted.refund_to:
        where = " ".join(filter(None, (BANKS.get(account.bank or "", account.bank), account.account, account.holder)))
        rows.insert(2, (visit.say("환불 계좌", "Paid to"), where))
    names = ("extent", "amount", "reason", "refund_holder", "refund_bank", "refund_account", "refund_tel", "notify")
    return _confirm(
        visit,
        payment,
        title=visit.say("취소 확인", "Confirm the cancel"),
        rows=rows,
        hidden={**_typed(visit, *names), "checksum": str(payment.balance.to_decimal())},
        button=visit.say(f"{money(amount)} 취소하기", f"Give {money(amount)} back"),
        warning=visit.say(
            "구매자에게 돈이 돌아갑니다. 이 취소는 되돌릴 수 없습니다.",
            "Money goes back to the buyer. This cannot be undone.",
        ),
    )


def _identity(visit: Visit, payment: Payment) -> list[tuple[str, Any]]:
    last = payment.last_attempt
    provider = last.pg_provider if last else "–"
    spec = visit.deps.gateways.spec(provider) if last else None
    gateway = visit.say(spec.label, spec.english) if spec else provider
    environment = visit.say("테스트", "test") if payment.environment.value == "test" else visit.say("실연동", "live")
    return [
        (visit.say("PG사", "Gateway"), f"{gateway} ({last.pg_id if last else '–'}) · {environment}"),
        (visit.say("주문번호", "Order"), payment.request.merchant_uid),
        (visit.say("상품", "Product"), payment.request.name or "–"),
        (visit.say("구매자", "Buyer"), masking.name(payment.request.buyer.name) or "–"),
    ]


def _confirm(
    visit: Visit, payment: Payment, *, title: str, rows: Any, hidden: dict[str, str], button: str, warning: str
) -> Html:  # fmt: skip
    values = {
        "payment": payment,
        "heading": title,
        "rows": rows,
        "hidden": {name: value for name, value in hidden.items() if value},
        "button": button,
        "warning": warning,
        "action": "/".join(map(step, visit.steps)),
    }
    return Html("payment_confirm.html", values)


@view("POST", "payments/*/revoke", Role.OPERATOR)
def revoke(visit: Visit) -> Html | Redirect:
    """Close a virtual account that nothing was paid into. The first step is the button on the payment's page."""
    payment, imp_uid = _payment(visit), visit.steps[1]
    try:
        if not _is_confirmed(visit):
            if "revoke" not in acts(visit, payment):
                raise Refused(virtual_accounts.NOT_WAITING)
            return _confirm_revoke(visit, payment)
        on_record.revoke(visit.deps, visit.operator, imp_uid, visit.budget())
    except (RouterError, Conflict) as error:
        return show_payment(visit, imp_uid, _problem(error), status_of(error))
    return _to_payment(imp_uid, "revoked")


def _confirm_revoke(visit: Visit, payment: Payment) -> Html:
    account = payment.account
    number = f"{BANKS.get(account.bank_code or '', account.bank_code or '')} {account.number}" if account else "–"
    rows = [
        (visit.say("말소할 가상계좌", "Account to be closed"), number),
        (visit.say("입금 대기 금액", "Amount it waits for"), money(payment.request.amount)),
        *_identity(visit, payment),
    ]
    return _confirm(
        visit,
        payment,
        title=visit.say("가상계좌 말소 확인", "Confirm closing the account"),
        rows=rows,
        hidden={},
        button=visit.say("가상계좌 말소", "Close the account"),
        warning=visit.say(
            "구매자가 더 이상 입금할 수 없습니다. 그사이 입금되면 입금이 우선합니다.",
            "The buyer cannot pay into it any more. A deposit that arrives meanwhile wins.",
        ),
    )


# --- finding out, and saying --------------------------------------------------------------------------------------


@view("POST", "payments/*/check", Role.OPERATOR)
def check(visit: Visit) -> Html | Redirect:
    imp_uid = visit.steps[1]
    try:
        payment = on_record.check(visit.deps, visit.operator, imp_uid)
    except NotFound:
        raise
    except (RouterError, Conflict) as error:
        return show_payment(visit, imp_uid, _problem(error), status_of(error))
    if not payment.is_open_question:
        return _to_payment(imp_uid, "checked")
    return _to_payment(imp_uid, "checked_open" if payment.due_at else "checked_in_vain")


@view("GET", "payments/*/settle", Role.OPERATOR)
def settle_page(visit: Visit) -> Html:
    return _settle_form(visit, _payment(visit))


@view("POST", "payments/*/settle", Role.OPERATOR)
def settle(visit: Visit) -> Html | Redirect:
    payment = _payment(visit)
    try:
        wanted = _settlement(visit)
        if visit.text("back"):
            return _settle_form(visit, payment)
        if not _is_confirmed(visit):
            if "settle" not in acts(visit, payment):
                raise Refused(by_hand.ALREADY_SETTLED if payment.due_at is None else by_hand.AT_WORK)
            return _confirm_settlement(visit, payment, wanted)
        settled = by_hand.settle(visit.deps, visit.operator, payment.imp_uid, wanted)
    except (RouterError, Conflict) as error:
        return _settle_form(visit, _payment(visit), _problem(error), status_of(error))
    return _to_payment(payment.imp_uid, _done(settled.remark))


def _done(remark: str | None) -> str:
    said = {by_hand.GATEWAY_SAID: "settled_by_gateway", by_hand.NOBODY_LOOKS: "settled_unseen"}
    return said.get(remark or "", "settled")


def _settlement(visit: Visit) -> by_hand.Settlement:
    """Raises InvalidRequest."""
    outcome = visit.text("outcome")
    if outcome not in ("paid", "failed"):
        raise InvalidRequest("outcome", "outcome: PG사에서 확인한 결과를 선택해 주세요. (choose what the gateway says)")
    pg_tid = visit.text("pg_tid", 200) if outcome == "paid" else ""
    if outcome == "paid" and not pg_tid:
        raise InvalidRequest("pg_tid", "pg_tid: PG사의 거래번호를 입력해 주세요. (required for paid)")
    if not (pg_tid.isascii() and pg_tid.isprintable() and " " not in pg_tid):
        raise InvalidRequest("pg_tid", "pg_tid: 영문, 숫자, 기호만 입력할 수 있습니다. (printable ASCII only)")
    known: Literal["paid", "failed"] = "paid" if outcome == "paid" else "failed"
    return by_hand.Settlement(known, _reason(visit), pg_tid or None, _moment(visit) if outcome == "paid" else None)


def _reason(visit: Visit) -> str:
    reason = visit.text("reason")
    if not reason:
        raise InvalidRequest("reason", "reason: 사유를 입력해 주세요. 기록에 남습니다. (a reason is required)")
    return reason


def _moment(visit: Visit) -> datetime | None:
    """As an <input type=datetime-local> sends it, in Korea."""
    text = visit.text("approved_at", 30)
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=KST)
    except ValueError:
        raise InvalidRequest("approved_at", "approved_at: 시각 형식이 올바르지 않습니다. (not a time)") from None


def _settle_form(visit: Visit, payment: Payment, problem: Problem | None = None, status: int = 200) -> Html:
    values = {
        "payment": payment,
        "order_ids": [attempt.order_id for attempt in payment.attempts],
        "may_settle": "settle" in acts(visit, payment),
        "may_be_paid": not payment.awaits_void,
        "typed": _typed(visit, "outcome", "pg_tid", "approved_at", "reason"),
    }
    return Html("payment_settle.html", values, status, problem)


def _confirm_settlement(visit: Visit, payment: Payment, wanted: by_hand.Settlement) -> Html:
    paid = wanted.outcome == "paid"
    rows = [
        (
            visit.say("확정할 결과", "To be settled as"),
            visit.say("승인됨 (결제 완료)", "paid")
            if paid
            else visit.say("결제되지 않음 (실패)", "failed: not charged"),
        ),
        (visit.say("금액", "Amount"), money(payment.request.amount)),
        *_identity(visit, payment),
        (visit.say("사유", "Reason"), wanted.reason),
    ]
    if paid:
        rows.insert(2, (visit.say("PG 거래번호", "The gateway's id"), wanted.pg_tid))
    warning = visit.say(
        "가맹점에 웹훅이 가고, 수동으로 확정한 결과는 다시 바꿀 수 없습니다. 조회할 수 있는 PG사에는 먼저 조회합니다.",
        "The shop gets its webhook, and what was settled by hand cannot be settled again. "
        "A gateway that can be asked is asked first.",
    )
    return _confirm(
        visit,
        payment,
        title=visit.say("결과 확정 확인", "Confirm the settlement"),
        rows=rows,
        hidden=_typed(visit, "outcome", "pg_tid", "approved_at", "reason"),
        button=visit.say("승인됨으로 확정", "Settle as paid") if paid else visit.say("실패로 확정", "Settle as failed"),
        warning=warning,
    )


# --- cancels in doubt ---------------------------------------------------------------------------------------------


@view("GET", "payments/*/settle-cancel", Role.OPERATOR)
def settle_cancel_page(visit: Visit) -> Html:
    return _settle_cancel_form(visit, _payment(visit))


@view("POST", "payments/*/settle-cancel", Role.OPERATOR)
def settle_cancel(visit: Visit) -> Html | Redirect:
    payment = _payment(visit)
    try:
        cancel_id, wanted = visit.text("cancellation_id", 80), _cancel_settlement(visit)
        entry = next((one for one in payment.cancels if one.cancel_id == cancel_id), None)
        if visit.text("back"):
            return _settle_cancel_form(visit, payment)
        if entry is None or entry != payment.open_cancel:
            raise Refused(by_hand.ALREADY_SETTLED)
        if not _is_confirmed(visit):
            return _confirm_cancel_settlement(visit, payment, entry, wanted)
        settled = by_hand.settle_cancel(visit.deps, visit.operator, payment.imp_uid, cancel_id, wanted)
    except (RouterError, Conflict) as error:
        return _settle_cancel_form(visit, _payment(visit), _problem(error), status_of(error))
    return _to_payment(payment.imp_uid, _done(settled.remark))


def _cancel_settlement(visit: Visit) -> by_hand.CancelSettlement:
    """Raises InvalidRequest."""
    outcome = visit.text("outcome")
    if outcome not in ("done", "failed"):
        raise InvalidRequest("outcome", "outcome: PG사에서 확인한 결과를 선택해 주세요. (choose what the gateway says)")
    known: Literal["done", "failed"] = "done" if outcome == "done" else "failed"
    return by_hand.CancelSettlement(known, _reason(visit), visit.text("pg_tid", 200) or None)


def _settle_cancel_form(visit: Visit, payment: Payment, problem: Problem | None = None, status: int = 200) -> Html:
    entry = payment.open_cancel
    values = {
        "payment": payment,
        "cancel": entry,
        "cancel_words": CANCELS[entry.state if entry else CancelState.DONE],
        "may_settle": "settle-cancel" in acts(visit, payment),
        "typed": _typed(visit, "outcome", "pg_tid", "reason"),
    }
    return Html("payment_settle_cancel.html", values, status, problem)


def _confirm_cancel_settlement(
    visit: Visit, payment: Payment, entry: Cancellation, wanted: by_hand.CancelSettlement
) -> Html:
    done = wanted.outcome == "done"
    rows = [
        (
            visit.say("확정할 결과", "To be settled as"),
            visit.say("취소됨", "given back") if done else visit.say("취소되지 않음", "not given back"),
        ),
        (visit.say("취소 금액", "Amount of the cancel"), money(entry.amount)),
        *_identity(visit, payment),
        (visit.say("사유", "Reason"), wanted.reason),
    ]
    return _confirm(
        visit,
        payment,
        title=visit.say("취소 결과 확정 확인", "Confirm what became of the cancel"),
        rows=rows,
        hidden={**_typed(visit, "outcome", "pg_tid", "reason"), "cancellation_id": entry.cancel_id},
        button=visit.say("취소됨으로 확정", "Settle as given back")
        if done
        else visit.say("취소되지 않음으로 확정", "Settle as not given back"),
        warning=visit.say(
            "여기에서는 PG사에 아무것도 보내지 않습니다. 가맹점에 웹훅이 가고, 다시 확정할 수 없습니다.",
            "Nothing is sent to the gateway here. The shop gets its webhook, and this cannot be settled again.",
        ),
    )


# --- alarms and webhooks ------------------------------------------------------------------------------------------


@view("POST", "payments/*/acknowledge", Role.OPERATOR)
def acknowledge(visit: Visit) -> Html | Redirect:
    imp_uid = visit.steps[1]
    try:
        by_hand.acknowledge(visit.deps, visit.operator, imp_uid, _reason(visit))
    except NotFound:
        raise
    except (RouterError, Conflict) as error:
        return show_payment(visit, imp_uid, _problem(error), status_of(error))
    return _to_payment(imp_uid, "acknowledged")


@view("POST", "payments/*/resend", Role.OPERATOR)
def resend(visit: Visit) -> Html | Redirect:
    imp_uid = visit.steps[1]
    lookups.by_imp_uid(visit.deps, visit.merchant_id, imp_uid)
    try:
        to_present_url = visit.text("to") == "present"
        webhooks.resend(visit.deps, visit.operator, visit.text("webhook_id", 80), to_present_url=to_present_url)
    except Conflict as error:
        if visit.text("from") == "attention":
            return attention.show(visit, _problem(error), status_of(error))
        return show_payment(visit, imp_uid, _problem(error), status_of(error))
    return Redirect("attention", "resent") if visit.text("from") == "attention" else _to_payment(imp_uid, "resent")
