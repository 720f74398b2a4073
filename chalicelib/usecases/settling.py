"""Finding out what became of a charge or a cancel whose answer was not read.

Asks the gateway by our own order id, again and again with growing pauses. "Not found" counts only after the gateway's
settling delay, since a charge may still be on its way. Nothing here charges; what it sends again (a cancel, the void of
a wrong amount) carries the same id as before, which the gateway runs once.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    CancelRequest,
    CancelResult,
    Declined,
    FindResult,
    NotFound,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import (
    Cancellation,
    Payment,
    State,
    approve,
    decline,
    fail_cancel,
    fail_unsent,
    finish_cancel,
    suspend,
    suspend_cancel,
)
from chalicelib.ports import Conflict, Deps, Gateway, Ref, Task, TaskKind
from chalicelib.usecases.recording import alarm, hand_over, notice_task, notices_for, record
from chalicelib.usecases.vault import open_gateway

log = logging.getLogger(__name__)

PAUSES = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds before each further question; the last one repeats."""
ALARM_AFTER = 8
"""Questions without a clear answer (about 50 minutes) after which a person is called."""
ASK_TIMEOUT = 20.0


def scale(deps: Deps, environment: Environment) -> float:
    """Live payments are never hurried."""
    return deps.timing.recovery_scale if environment is Environment.TEST else 1.0


def next_look(deps: Deps, payment: Payment) -> datetime:
    seconds = PAUSES[min(payment.checks, len(PAUSES) - 1)]
    return deps.clock.now() + timedelta(seconds=seconds * scale(deps, payment.environment))


def suspended(deps: Deps, payment: Payment, result: Unknown, took_ms: int | None = None) -> Payment:
    fresh = replace(payment, checks=0)
    return suspend(fresh, result, deps.clock.now(), next_look(deps, fresh), took_ms)


def settle(deps: Deps, merchant_id: str, imp_uid: str) -> None:
    """Look at one payment whose time has come. Does nothing if another was faster."""
    payment, routing = deps.store.load(Ref(Payment, (merchant_id, imp_uid)), Ref(Routing, (merchant_id,)))
    if payment is None or routing is None or payment.due_at is None or payment.due_at > deps.clock.now():
        return
    try:
        if payment.state in (State.CLAIMED, State.UNKNOWN):
            _settle_charge(deps, routing, payment)
        elif payment.open_cancel:
            _settle_cancel(deps, routing, payment, payment.open_cancel)
    except Conflict:
        log.info("%s was settled by another", imp_uid)


def _ask(gateway: Gateway, payment: Payment) -> FindResult:
    attempt = payment.attempt
    return gateway.find_charge(attempt.order_id, attempt.started_at, payment.request.amount.currency, ASK_TIMEOUT)


def _settle_charge(deps: Deps, routing: Routing, payment: Payment) -> None:
    gateway = open_gateway(deps, routing, payment.attempt.channel_key)
    result = _ask(gateway, payment)
    now = deps.clock.now()
    match result:
        case Approved() if result.amount == payment.request.amount:
            _record(deps, routing, approve(payment, result, now))
        case Approved():
            _void_wrong_amount(deps, routing, gateway, payment, result)
        case Declined():
            _record(deps, routing, decline(payment, result, now))
        case NotFound() if _settling_is_over(deps, payment):
            text = "결제가 승인되지 않았습니다. PG사에 거래가 없습니다. (not charged)"
            _record(deps, routing, fail_unsent(payment, text, now))
        case _:
            _look_again(deps, payment, result)


def _settling_is_over(deps: Deps, payment: Payment) -> bool:
    """True once a charge that the gateway does not know cannot appear any more."""
    spec = deps.gateways.spec(payment.attempt.pg_provider)
    since = payment.unknown_since or payment.due_at or payment.started_at
    return deps.clock.now() >= since + spec.settling_delay * scale(deps, payment.environment)


def _record(deps: Deps, routing: Routing, payment: Payment) -> None:
    order = deps.store.load(Ref(Order, (payment.merchant_id, payment.request.merchant_uid)))
    record(deps, routing, payment, order, tell_failure=True)


def _look_again(deps: Deps, payment: Payment, result: object) -> None:
    checks = payment.checks + 1
    later = replace(
        payment,
        checks=checks,
        # From the first look on the settling delay has a fixed start, also for a claim whose owner died.
        unknown_since=payment.unknown_since or payment.due_at,
        alarm=payment.alarm or (f"no clear answer: {result}"[:300] if checks >= ALARM_AFTER else None),
    )
    later = replace(later, due_at=next_look(deps, later))
    (stored,) = deps.store.commit(later)
    if stored.alarm and not payment.alarm:
        alarm("the gateway gives no clear answer", stored)
    if stored.due_at:
        task = Task(TaskKind.PAYMENT, (stored.merchant_id, stored.imp_uid), stored.due_at)
        hand_over(deps, [task], deps.clock.now())


def _void_wrong_amount(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: Approved) -> None:
    """The gateway took another amount than was asked for: give all of it back and call the payment failed."""
    left = found.balance if found.balance is not None else found.amount
    if left.amount:
        result = gateway.cancel(
            CancelRequest(
                cancel_id=f"{payment.attempt.order_id}v",
                order_id=payment.attempt.order_id,
                gateway_ref=found.gateway_ref,
                amount=left,
                balance=left,
                charged=found.amount,
                reason="승인 금액 불일치",
            ),
            ASK_TIMEOUT,
        )
        if not isinstance(result, Cancelled):
            _look_again(deps, payment, result)
            return
    text = "요청 금액과 다른 금액이 승인되어 취소되었습니다. (approved for another amount, voided)"
    refused = Declined(DeclineReason.AMOUNT_NOT_ALLOWED, "AMOUNT_MISMATCH", text)
    _record(deps, routing, decline(payment, refused, deps.clock.now()))


def cancel_request(payment: Payment, cancel: Cancellation) -> CancelRequest:
    if not payment.gateway_ref:  # without one, an adapter may undo whatever runs under the order id
        raise ValueError(f"{payment.imp_uid} has no gateway reference")
    return CancelRequest(
        cancel_id=cancel.cancel_id,
        order_id=payment.attempt.order_id,
        gateway_ref=payment.gateway_ref,
        amount=cancel.amount,
        balance=payment.balance,
        charged=payment.request.amount,
        reason=cancel.reason,
        tax_free=cancel.tax_free,
        vat=cancel.vat,
        refund_holder=cancel.refund_holder,
        refund_bank=cancel.refund_bank,
        refund_account=cancel.refund_account,
        refund_tel=cancel.refund_tel,
    )


def _settle_cancel(deps: Deps, routing: Routing, payment: Payment, cancel: Cancellation) -> None:
    """Ask for the balance: it tells whether the cancel happened. If not, send the same cancel again."""
    gateway = open_gateway(deps, routing, payment.attempt.channel_key)
    found = _ask(gateway, payment)
    if not isinstance(found, Approved) or found.balance is None:
        _look_again(deps, payment, found)
    elif found.balance == payment.balance - cancel.amount:
        done = found.cancels[-1] if found.cancels else None
        if done is None:
            _look_again(deps, payment, found)
        else:
            record_cancel(deps, routing, payment, cancel, Cancelled(done, found.balance))
    elif found.balance == payment.balance:
        result = gateway.cancel(cancel_request(payment, cancel), ASK_TIMEOUT)
        if isinstance(result, Cancelled | Declined):
            record_cancel(deps, routing, payment, cancel, result)
        else:
            _look_again(deps, payment, result)
    else:
        _look_again(deps, replace(payment, checks=ALARM_AFTER), Unknown("balance differs from ours"))


def record_cancel(
    deps: Deps, routing: Routing, payment: Payment, cancel: Cancellation, result: CancelResult
) -> Payment:
    """Store what became of a cancel, with the webhook if it was asked for. Raises Conflict, StoreUnavailable."""
    now = deps.clock.now()
    match result:
        case Cancelled():
            moved = finish_cancel(payment, cancel.cancel_id, result, now)
        case Declined():
            moved = fail_cancel(payment, cancel.cancel_id, result.message, now)
        case Unknown():
            fresh = replace(payment, checks=0)
            moved = suspend_cancel(fresh, cancel.cancel_id, result.detail, now, next_look(deps, fresh))
        case _:
            moved = fail_cancel(payment, cancel.cancel_id, "PG사에 연결할 수 없습니다. (not sent)", now)
    done = isinstance(result, Cancelled) and cancel.notify
    notices = notices_for(deps, routing, moved, "cancelled", cancel.cancel_id) if done else []
    stored: Payment = deps.store.commit(moved, *notices)[0]
    tasks = [notice_task(n) for n in notices]
    if stored.due_at:
        tasks.append(Task(TaskKind.PAYMENT, (stored.merchant_id, stored.imp_uid), stored.due_at))
    hand_over(deps, tasks, now)
    return stored
