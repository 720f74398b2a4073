"""What a person does about what the service cannot settle by itself: see it, have the gateway asked, say what it was.

A gateway that can be asked is asked first, and its clear answer goes before anybody's word. What a person settles is
recorded the way any outcome is: order, schedule, webhook. An audit entry in the same write says who said so and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from chalicelib.domain.accounts import Audit, Operator
from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Cancelled,
    CancelResult,
    Declined,
    FindResult,
    GatewayCancel,
    NotFound,
    Operation,
    Pending,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, Refused, TryAgain
from chalicelib.domain.errors import NotFound as NoSuch
from chalicelib.domain.merchants import Routing
from chalicelib.domain.notices import Notice
from chalicelib.domain.payments import Cancellation, Payment, State, approve, fail_by_hand, void
from chalicelib.domain.receipts import BEING_CONFIRMED, NEVER_ISSUED, CashReceipt, CashReceiptIssued, Subject
from chalicelib.ports import Deps, Gateway, Page, Ref
from chalicelib.usecases import cash_receipts
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.looks import ask, can_ask, compared_soon, late_look, record_settled, settling_is_over
from chalicelib.usecases.lookups import UNKNOWN_PAYMENT
from chalicelib.usecases.merchants import audit_entry
from chalicelib.usecases.settling import look, record_cancel
from chalicelib.usecases.vault import open_gateway

KINDS: dict[str, type[Any]] = {
    "payment": Payment,
    "webhook": Notice,
    "cash_receipt": CashReceipt,
}

AT_WORK = "아직 처리 중입니다. 잠시 후 다시 시도해 주세요. (still being worked on)"
NOTHING_OPEN = "확인할 것이 없는 결제입니다. (nothing is open)"
ALREADY_SETTLED = "결과가 이미 확정되었습니다. (already settled)"
CANCEL_OPEN = (
    "결제는 확정되었고, 취소 결과를 확인 중입니다. 취소를 확정해 주세요. (the payment is settled: settle its cancel)"
)
STILL_HELD = (
    "PG사에 승인이 남아 있어 자동으로 취소하는 중입니다. PG사에서 취소한 뒤 확인(check)해 주세요. "
    "(the gateway holds an approval that is being given back: cancel it there, then check)"
)
NOT_DECIDED = "outcome: PG사가 아직 심사 중입니다. (the gateway has not decided yet)"
OTHER_NUMBER = "pg_tid: PG사가 알려준 거래번호와 다릅니다: {known} (the gateway has told another id of it)"
NOT_THERE = "outcome: PG사에 거래가 없습니다. (the gateway has no such transaction)"
BEING_UNDONE = "outcome: 승인을 취소하는 중인 결제입니다. (it is being undone)"
NOT_CANCELLED = "outcome: PG사의 잔액이 그대로입니다. (the gateway's balance shows no cancel)"
MAY_STILL_COME = "outcome: 아직 처리될 수 있습니다. 잠시 후 다시 시도해 주세요. (it may still come)"
NOBODY_LOOKS = (
    "조회할 수 없는 PG사입니다. 나중에 승인되어도 자동으로 취소되지 않으니 PG사에서 다시 확인해 주세요. "
    "(this gateway cannot be asked: nobody will see a late approval, look at its console once more)"
)
GATEWAY_SAID = "PG사의 답변에 따라 처리되었습니다. (settled by the gateway's own answer)"
FAILED = "결제되지 않은 것으로 확인되었습니다. (found out by hand: not charged)"
VOIDED = "취소된 것으로 확인되었습니다. (found out by hand: given back)"
CANCEL_FAILED = "취소되지 않은 것으로 확인되었습니다. (found out by hand: not cancelled)"
NOT_ISSUED = "발급되지 않은 것으로 확인되었습니다. (found out by hand: not issued)"
NO_ALARM = "확인할 알림이 없는 결제입니다. (no alarm)"
UNSETTLED = "결과가 확정되지 않아 알림을 끌 수 없습니다. (still open: settle it)"
ASKABLE = (
    "PG사에 조회할 수 있는 현금영수증입니다. 같은 요청을 다시 보내면 확인됩니다. "
    "(this gateway can be asked: repeat the request)"
)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a person has found out about a payment. pg_tid: the gateway's id of it; later cancels need it."""

    outcome: Literal["paid", "failed"]
    reason: str
    pg_tid: str | None = None
    approved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CancelSettlement:
    """The same about a cancel. pg_tid: the gateway's id of the cancel, if there is one."""

    outcome: Literal["done", "failed"]
    reason: str
    pg_tid: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiptSettlement:
    """The same about the issue of a cash receipt. receipt_tid: the gateway's id of it; its cancel needs that."""

    outcome: Literal["issued", "not_issued"]
    reason: str
    receipt_tid: str | None = None
    apply_num: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """remark: what the person should know besides."""

    payment: Payment
    remark: str | None = None


# --- seeing -------------------------------------------------------------------------------------------------------


def alarms(deps: Deps, merchant_id: str, kind: str, limit: int, cursor: str | None) -> Page[Any]:
    """What of one of KINDS waits for a person, newest first."""
    page = deps.store.alarms(KINDS[kind], merchant_id, limit=limit, cursor=cursor)
    waiting = tuple(item for item in page.items if not (isinstance(item, CashReceipt) and _is_busy(deps, item)))
    return Page(waiting, page.cursor)


def _is_busy(deps: Deps, receipt: CashReceipt) -> bool:
    busy_until = receipt.current.busy_until
    return busy_until is not None and deps.clock.now() < busy_until


def history(deps: Deps, merchant_id: str, imp_uid: str) -> Sequence[Audit]:
    """What people did about a payment, newest first."""
    return deps.store.list(Audit, (merchant_id, "audit", imp_uid), limit=100, newest_first=True).items


# --- payments -----------------------------------------------------------------------------------------------------


def check(deps: Deps, merchant_id: str, imp_uid: str) -> Payment:
    """Ask the gateway now, and record what that settles. Raises NotFound, Refused, and Conflict if overtaken."""
    payment, routing = _load(deps, merchant_id, imp_uid)
    refuse_check(deps, payment)
    look(deps, routing, payment)
    return _load(deps, merchant_id, imp_uid)[0]


def refuse_check(deps: Deps, payment: Payment) -> None:
    """Raises Refused where there is nothing to ask the gateway about, or somebody is at it."""
    _refuse_held(deps, payment)
    if payment.state is State.OPENED or (not payment.is_open_question and payment.due_at is None):
        raise Refused(NOTHING_OPEN)


def settle(deps: Deps, operator: Operator, imp_uid: str, wanted: Settlement) -> Settled:
    """Say what became of a payment that nobody could find out about.

    Raises NotFound, InvalidRequest, Refused; and Conflict if the timer was faster.
    """
    payment, routing = _load(deps, operator.merchant_id, imp_uid)
    _refuse_held(deps, payment)
    if not _can_be_settled(payment, wanted):
        raise Refused(CANCEL_OPEN if payment.open_cancel else ALREADY_SETTLED)
    _check(deps, payment, wanted)
    gateway = open_gateway(deps, routing, payment.attempt.channel_key)
    if can_ask(deps, payment, gateway):
        found = look(deps, routing, payment)
        payment, routing = _load(deps, operator.merchant_id, imp_uid)
        if not _can_be_settled(payment, wanted):
            return Settled(payment, GATEWAY_SAID)
        _refuse_contradiction(payment, wanted, found)
    elif payment.is_unsettled and wanted.outcome == "failed":
        _refuse_too_early(deps, payment)
    if wanted.outcome == "paid" and payment.state is State.UNDOING:
        raise Refused(BEING_UNDONE, field="outcome")
    _check_number(payment, wanted)
    moved = _moved(deps, operator, gateway, payment, wanted)
    after = {"state": moved.state.value, "pg_tid": moved.gateway_ref, "reason": wanted.reason}
    entry = audit_entry(deps, operator, imp_uid, "payment.settled", _shown(payment), after)
    settled = record_settled(deps, routing, moved, audit=entry)
    return Settled(settled, NOBODY_LOOKS if settled.state is State.FAILED and not settled.due_at else None)


def _can_be_settled(payment: Payment, wanted: Settlement) -> bool:
    """Also that nothing is left of a test charge, where the gateway does not say so."""
    return payment.is_unsettled or (payment.awaits_void and wanted.outcome == "failed")


def _check(deps: Deps, payment: Payment, wanted: Settlement) -> None:
    if wanted.outcome == "paid" and not wanted.pg_tid:
        raise InvalidRequest("pg_tid", "pg_tid: 결제를 승인으로 처리할 때 필수 값입니다. (required for paid)")
    at = wanted.approved_at
    if at is not None and not payment.started_at.replace(microsecond=0) <= at <= deps.clock.now():
        raise InvalidRequest(
            "approved_at", "approved_at: 결제 요청과 지금 사이의 시각이어야 합니다. (between the request and now)"
        )


def _check_number(payment: Payment, wanted: Settlement) -> None:
    """Where the gateway has told its number (of a review, in a notice), another one is another transaction's."""
    if wanted.outcome == "paid" and payment.is_unsettled and payment.gateway_ref not in (None, wanted.pg_tid):
        raise InvalidRequest("pg_tid", OTHER_NUMBER.format(known=payment.gateway_ref))


def _refuse_contradiction(payment: Payment, wanted: Settlement, found: FindResult) -> None:
    if isinstance(found, Approved):  # of another amount, or what is being undone, and could not be given back yet
        raise Refused(STILL_HELD)
    if payment.awaits_void and not isinstance(
        found, NotFound
    ):  # it was approved, and goes back once there is an answer
        raise Refused(STILL_HELD)
    if isinstance(found, Pending) and wanted.outcome == "paid":
        raise Refused(NOT_DECIDED, field="outcome")
    if isinstance(found, NotFound | AwaitingDeposit) and wanted.outcome == "paid":
        raise Refused(NOT_THERE, field="outcome")


def _refuse_too_early(deps: Deps, payment: Payment) -> None:
    """What the gateway does not have may be on its way, and would be there unseen after it was called failed."""
    if not settling_is_over(deps, payment):
        raise Refused(MAY_STILL_COME, field="outcome")


def _moved(deps: Deps, operator: Operator, gateway: Gateway, payment: Payment, wanted: Settlement) -> Payment:
    now = deps.clock.now()
    if wanted.outcome == "paid":
        approved = Approved(wanted.pg_tid or "", payment.request.amount, wanted.approved_at or now)
        return compared_soon(deps, approve(payment, approved, now), gateway)
    if payment.awaits_void:
        return void(payment, (GatewayCancel("", payment.balance, now, VOIDED),), now)
    failed = fail_by_hand(payment, FAILED, now, detail=f"{operator.name}: {wanted.reason}")
    return replace(failed, checks=0, due_at=late_look(deps, failed, gateway=gateway))


def acknowledge(deps: Deps, operator: Operator, imp_uid: str, reason: str) -> Payment:
    """Take note of an alarm that nothing is left to do about. Raises NotFound, Refused, Conflict."""
    payment, _ = _load(deps, operator.merchant_id, imp_uid)
    if payment.is_open_question:
        raise Refused(UNSETTLED)
    if payment.alarm is None:
        raise Refused(NO_ALARM)
    entry = audit_entry(
        deps, operator, imp_uid, "alarm.acknowledged", _shown(payment), {"alarm": None, "reason": reason}
    )
    # Whoever takes note of a contradiction answers for it: nothing is compared any more.
    due_at = None if payment.awaits_comparison else payment.due_at
    stored: Payment = deps.store.commit(replace(payment, alarm=None, due_at=due_at), entry)[0]
    return stored


def _load(deps: Deps, merchant_id: str, imp_uid: str) -> tuple[Payment, Routing]:
    payment, routing = deps.store.load(Ref(Payment, (merchant_id, imp_uid)), Ref(Routing, (merchant_id,)))
    if payment is None or routing is None:
        raise NoSuch(UNKNOWN_PAYMENT)
    return payment, routing


def _refuse_held(deps: Deps, payment: Payment) -> None:
    if payment.is_held(deps.clock.now()):
        raise TryAgain(AT_WORK)


def _shown(payment: Payment) -> dict[str, object]:
    return {"state": payment.state.value, "alarm": payment.alarm}


# --- cancels ------------------------------------------------------------------------------------------------------


def settle_cancel(
    deps: Deps, operator: Operator, imp_uid: str, cancellation_id: str, wanted: CancelSettlement
) -> Settled:
    """Say what became of a cancel in doubt. Nothing is sent again here. Raises NotFound, Refused, Conflict."""
    payment, routing = _load(deps, operator.merchant_id, imp_uid)
    cancel = next((entry for entry in payment.cancels if entry.cancel_id == cancellation_id), None)
    if cancel is None:
        raise NoSuch(f"존재하지 않는 취소입니다: {cancellation_id[:80]} (unknown cancel)")
    if payment.open_cancel != cancel:
        raise Refused(ALREADY_SETTLED)
    _refuse_held(deps, payment)
    by_gateway = _cancelled_at_gateway(deps, routing, payment, cancel, wanted)
    if not by_gateway and wanted.outcome == "failed":
        _refuse_too_early(deps, payment)
    result = by_gateway or _cancel_result(deps, cancel, wanted)
    done = isinstance(result, Cancelled)
    before = {"cancellation_id": cancellation_id, "state": cancel.state.value, "alarm": payment.alarm}
    after = {"state": "done" if done else "failed", "reason": wanted.reason}
    entry = audit_entry(deps, operator, imp_uid, "cancel.settled", before, after)
    stored = record_cancel(deps, routing, payment, cancel, result, tell_end=True, audit=entry)
    return Settled(stored, GATEWAY_SAID if by_gateway and wanted.outcome == "failed" else None)


def _cancelled_at_gateway(
    deps: Deps, routing: Routing, payment: Payment, cancel: Cancellation, wanted: CancelSettlement
) -> Cancelled | None:
    """The cancel as the gateway shows it, or None if its balance tells nothing. Raises Refused if that tells "no"."""
    gateway = open_gateway(deps, routing, payment.attempt.channel_key)
    if not can_ask(deps, payment, gateway):
        return None
    found = guarded(lambda: ask(deps, routing, gateway, payment), f"question for {payment.imp_uid}")
    if not isinstance(found, Approved):
        return None
    if found.balance == payment.balance - cancel.amount and found.cancels:
        return Cancelled(found.cancels[-1], found.balance)
    if found.balance == payment.balance and wanted.outcome == "done":
        raise Refused(NOT_CANCELLED, field="outcome")
    return None


def _cancel_result(deps: Deps, cancel: Cancellation, wanted: CancelSettlement) -> CancelResult:
    if wanted.outcome == "done":
        return Cancelled(GatewayCancel(wanted.pg_tid or "", cancel.amount, deps.clock.now()))
    return Declined(DeclineReason.INVALID_REQUEST, "BY_HAND", CANCEL_FAILED)


# --- cash receipts ------------------------------------------------------------------------------------------------


def settle_receipt(
    deps: Deps, operator: Operator, subject: Subject, subject_id: str, wanted: ReceiptSettlement
) -> CashReceipt:
    """Say whether a cash receipt in doubt was issued, where the gateway cannot be asked. Raises NotFound, Refused."""
    receipt = deps.store.load(Ref(CashReceipt, (operator.merchant_id, subject, subject_id)))
    if receipt is None:
        raise NoSuch(f"{subject_id}: {NEVER_ISSUED}")
    if not receipt.in_doubt:
        raise Refused(ALREADY_SETTLED)
    if _is_busy(deps, receipt):
        raise TryAgain(AT_WORK)
    if Operation.FIND_CASH_RECEIPT in deps.gateways.spec(receipt.current.pg_provider).operations:
        raise Refused(ASKABLE)
    if wanted.outcome == "issued":
        if not wanted.receipt_tid:
            raise InvalidRequest("receipt_tid", "receipt_tid: 발급으로 처리할 때 필수 값입니다. (required for issued)")
        issued = CashReceiptIssued(wanted.receipt_tid, deps.clock.now(), apply_num=wanted.apply_num)
        settled = receipt.issued(issued)
    else:
        settled = receipt.refused("BY_HAND", NOT_ISSUED)
    before = {"order_id": receipt.current.order_id, "state": receipt.current.state.value}
    after = {"state": settled.current.state.value, "receipt_tid": wanted.receipt_tid, "reason": wanted.reason}
    entry = audit_entry(deps, operator, subject_id, "cash_receipt.settled", before, after)
    return cash_receipts.record(deps, settled, BEING_CONFIRMED, entry)
