"""What waits for a person, of all kinds and both environments: what happened, and what to do about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.pages import gateway_name
from chalicelib.api.console.payment_words import V1_STATUS, Advice, Text, advice
from chalicelib.api.console.payment_words import status_of as payment_status
from chalicelib.api.console.payments import acts
from chalicelib.api.console.visits import DONE, Html, Problem, Redirect, Visit, problem_of, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import Operation
from chalicelib.domain.errors import InvalidRequest, NotFound, RouterError
from chalicelib.domain.health import HealthState
from chalicelib.domain.notices import Notice
from chalicelib.domain.payments import Payment
from chalicelib.domain.receipts import CashReceipt, Subject
from chalicelib.ports import Conflict, Ref
from chalicelib.usecases import by_hand, webhooks
from chalicelib.usecases.parallel import at_once

DONE |= {
    "noted": ("확인 처리했습니다. 목록에서 빠집니다.", "Noted; it is off the list."),
    "receipt_settled": ("현금영수증 결과를 확정했습니다.", "The cash receipt is settled."),
}

KINDS: dict[str, Text] = {
    "payment": ("결제", "Payments"),
    "webhook": ("웹훅", "Webhooks"),
    "cash_receipt": ("현금영수증", "Cash receipts"),
    "channel": ("채널", "Channels"),
}
EACH = 50
"""Of each kind on one page."""

WEBHOOK = Advice(
    (),
    (
        "받는 쪽이 성공(2xx)으로 답하지 않아 더 보내지 않습니다. 410으로 답한 곳에는 다시 시도하지 않습니다.",
        "No try was answered with 2xx, and nothing is sent any more. After a 410 there is no second try.",
    ),
    (
        (
            "받는 URL의 문제를 가맹점에 알리고, 고친 뒤 다시 보내 주세요. 설정의 URL을 바꾸어도 아래 URL로 보냅니다. "
            "그동안 가맹점은 결제를 조회할 수 있습니다."
        ),
        (
            "Ask the shop what is wrong with the URL, then send it again. It goes to the URL below, also if the "
            "settings name another one by now. Until then the shop can look its payments up."
        ),
    ),
)
RECEIPT = Advice(
    (),
    (
        "현금영수증을 요청했지만 발급 여부를 확인하지 못했습니다.",
        "A cash receipt was asked for, and nobody knows whether it was issued.",
    ),
    (
        "PG사 관리자 화면에서 주문번호(order id)를 찾아 결과를 확정해 주세요.",
        "Find the order id at the gateway's console, and settle it.",
    ),
)
RECEIPT_ASKABLE: Text = (
    "조회할 수 있는 PG사입니다. 가맹점이 같은 요청을 다시 보내면 확인됩니다. 여기에서 할 일은 없습니다.",
    "This gateway can be asked: it clears up when the shop repeats its request. There is nothing to do here.",
)
RECEIPT_CANCEL: Text = (
    "취소가 확인되지 않았습니다. 가맹점이 취소를 다시 요청하면 확인됩니다. 여기에서 할 일은 없습니다.",
    "A cancel is in doubt: it clears up when the shop repeats it. There is nothing to do here.",
)
CHANNEL = Advice(
    (),
    (
        (
            "PG사가 연속으로 답하지 않았거나 채널을 거부했습니다. 다른 채널이 있으면 그쪽으로 결제됩니다. "
            "계속 조회하며, 답이 오면 저절로 돌아옵니다."
        ),
        (
            "The gateway has not answered in a row, or refuses the channel. Others of its groups take its share. "
            "It is asked again and again, and comes back by itself."
        ),
    ),
    (
        (
            "PG사의 장애 공지를 확인해 주세요. 오류가 PG사의 코드로 시작하면 채널의 연동 정보를 고쳐 주세요. "
            "급하면 채널 그룹에서 이 채널을 끕니다."
        ),
        (
            "Look at the gateway's status page. If the error begins with its code, mend the channel's credentials. "
            "In a hurry, disable the channel in its groups."
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """kind: of KINDS. item: what it is about; title: in words. acts: what can be done about it from here."""

    at: datetime
    kind: str
    title: str
    what: Text
    todo: Text
    item: Any
    environment: str
    acts: frozenset[str] = frozenset()
    detail: str = ""
    key: str = ""


@view("GET", "attention", Role.VIEWER)
def attention_page(visit: Visit) -> Html:
    return show(visit)


def show(visit: Visit, problem: Problem | None = None, status: int = 200) -> Html:
    """kind: one of KINDS, or nothing for all; cursor: where to go on with that kind."""
    kind = visit.query.get("kind", "")
    kinds = [kind] if kind in KINDS else list(KINDS)
    cursor = visit.query.get("cursor", "")[:200] or None if len(kinds) == 1 else None
    found = at_once(lambda name: _waiting(visit, name, cursor), kinds)
    items = sorted((one for some, _ in found for one in some), key=lambda one: one.at, reverse=True)
    values = {
        "items": items,
        "kind": kind if kind in KINDS else "",
        "kinds": [(name, visit.say(*text)) for name, text in KINDS.items()],
        "more": [(name, following) for name, (_, following) in zip(kinds, found, strict=True) if following],
        "is_first": cursor is None,
        "reason": visit.text("reason"),
        "tried": visit.text("webhook_id", 80),
    }
    return Html("attention.html", values, status, problem)


def _waiting(visit: Visit, kind: str, cursor: str | None) -> tuple[Sequence[Waiting], str | None]:
    if kind == "channel":
        return _channels(visit), None
    page = by_hand.alarms(visit.deps, visit.merchant_id, kind, EACH, cursor)
    makers: dict[str, Callable[[Visit, Any], Waiting]]
    makers = {"payment": _payment, "webhook": _webhook, "cash_receipt": _receipt}
    make = makers[kind]
    return [make(visit, item) for item in page.items], page.cursor


def _payment(visit: Visit, payment: Payment) -> Waiting:
    known = advice(payment.alarm or "")
    return Waiting(
        at=payment.updated_at,
        kind="payment",
        title=visit.say(*payment_status(payment).text),
        what=known.what,
        todo=known.todo,
        item=payment,
        environment=payment.environment.value,
        acts=frozenset(acts(visit, payment)),
        detail=payment.alarm or "",
    )


def _webhook(visit: Visit, notice: Notice) -> Waiting:
    status = visit.say(*V1_STATUS.get(notice.status, (notice.status,) * 2))
    return Waiting(
        at=notice.tried_at or notice.created_at,
        kind="webhook",
        title=visit.say(f"전달하지 못한 웹훅: {status}", f"Webhook given up: {status}"),
        what=WEBHOOK.what,
        todo=WEBHOOK.todo,
        item=notice,
        environment=notice.environment.value,
        acts=frozenset({"resend", "note"}) if visit.may(Role.OPERATOR) else frozenset(),
        detail=notice.last_result or "",
    )


def _receipt(visit: Visit, receipt: CashReceipt) -> Waiting:
    current, settleable = receipt.current, can_settle(visit, receipt)
    todo = RECEIPT.todo if settleable else RECEIPT_ASKABLE if receipt.in_doubt else RECEIPT_CANCEL
    return Waiting(
        at=current.since,
        kind="cash_receipt",
        title=gateway_name(visit, current.pg_provider),
        what=RECEIPT.what,
        todo=todo,
        item=receipt,
        environment=current.environment.value,
        acts=frozenset({"receipt"}) if settleable and visit.may(Role.OPERATOR) else frozenset(),
        detail=current.message or "",
    )


def can_settle(visit: Visit, receipt: CashReceipt) -> bool:
    """Its gateway cannot be asked, so somebody has to say."""
    operations = visit.deps.gateways.spec(receipt.current.pg_provider).operations
    return receipt.in_doubt and Operation.FIND_CASH_RECEIPT not in operations


def _channels(visit: Visit) -> list[Waiting]:
    down = [(key, known) for key, known in visit.who.health.channels.items() if known.state is HealthState.DOWN]
    channels = visit.who.routing.channels
    return [
        Waiting(
            at=known.since or visit.deps.clock.now(),
            kind="channel",
            title=channels[key].name,
            what=CHANNEL.what,
            todo=CHANNEL.todo,
            item=known,
            environment=channels[key].environment.value,
            detail=known.last_error or "",
            key=key,
        )
        for key, known in down
        if key in channels
    ]


@view("POST", "attention/note", Role.OPERATOR)
def take_note(visit: Visit) -> Html | Redirect:
    """Of a webhook that was given up."""
    try:
        webhooks.take_note(visit.deps, visit.operator, visit.text("webhook_id", 80), reason_of(visit))
    except NotFound:
        raise
    except (RouterError, Conflict) as error:
        return show(visit, problem_of(error), status_of(error))
    return Redirect("attention", "noted")


def reason_of(visit: Visit) -> str:
    """Raises InvalidRequest."""
    reason = visit.text("reason")
    if not reason:
        raise InvalidRequest("reason", "reason: 사유를 입력해 주세요. 기록에 남습니다. (a reason is required)")
    return reason


# --- cash receipts ------------------------------------------------------------------------------------------------


@view("GET", "attention/receipt", Role.OPERATOR)
def receipt_page(visit: Visit) -> Html:
    return _receipt_form(visit, _load_receipt(visit, visit.query.get("subject", ""), visit.query.get("id", "")))


@view("POST", "attention/receipt", Role.OPERATOR)
def settle_receipt(visit: Visit) -> Html | Redirect:
    receipt = _load_receipt(visit, visit.text("subject", 20), visit.text("id"))
    try:
        wanted = _settlement(visit)
        if not visit.text("sure"):
            raise InvalidRequest("sure", "sure: PG사에서 확인했는지 체크해 주세요. (say that you have looked)")
        by_hand.settle_receipt(visit.deps, visit.operator, receipt.subject, receipt.subject_id, wanted)
    except (RouterError, Conflict) as error:
        return _receipt_form(visit, receipt, problem_of(error), status_of(error))
    return Redirect("attention", "receipt_settled")


def _load_receipt(visit: Visit, subject: str, subject_id: str) -> CashReceipt:
    """Raises NotFound."""
    known = Subject(subject) if subject in list(Subject) else Subject.PAYMENT
    receipt = visit.deps.store.load(Ref(CashReceipt, (visit.merchant_id, known, subject_id)))
    if receipt is None or receipt.last is None:
        raise NotFound("존재하지 않는 현금영수증입니다. (unknown cash receipt)")
    return receipt


def _settlement(visit: Visit) -> by_hand.ReceiptSettlement:
    outcome, receipt_tid = visit.text("outcome"), visit.text("receipt_tid", 200)
    if outcome not in ("issued", "not_issued"):
        raise InvalidRequest("outcome", "outcome: PG사에서 확인한 결과를 선택해 주세요. (choose what the gateway says)")
    if outcome == "not_issued":
        return by_hand.ReceiptSettlement("not_issued", reason_of(visit))
    return by_hand.ReceiptSettlement(
        "issued", reason_of(visit), receipt_tid or None, visit.text("apply_num", 50) or None
    )


def _receipt_form(visit: Visit, receipt: CashReceipt, problem: Problem | None = None, status: int = 200) -> Html:
    values = {
        "receipt": receipt,
        "may_settle": can_settle(visit, receipt),
        "typed": {name: visit.text(name) for name in ("outcome", "receipt_tid", "apply_num", "reason")},
    }
    return Html("attention_receipt.html", values, status, problem)
