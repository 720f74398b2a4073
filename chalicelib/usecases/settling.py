"""Finding out what became of a charge or a cancel whose answer was not read.

Asks the gateway by our own order id, again and again with growing pauses. "Not found" counts only after the gateway's
settling delay, since a charge may still be on its way; and what was called "not charged" is looked for twice more, and
given back if it did appear. Nothing here charges; what it sends again carries the id it had, which the gateway runs
once.
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
from chalicelib.domain.money import Money
from chalicelib.domain.orders import Order, ScheduleState
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
from chalicelib.ports import Conflict, Deps, Gateway, Ref, StoreUnavailable, Task, TaskKind
from chalicelib.usecases.recording import alarm, hand_over, notices_for, record, store_payment
from chalicelib.usecases.vault import open_gateway

log = logging.getLogger(__name__)

PAUSES = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds before each further question; the last one repeats."""
ALARM_AFTER = 8
"""Questions without a clear answer (about 50 minutes) after which a person is called."""
ASK_TIMEOUT = 20.0
MAX_RUNS = 3
"""How often a reserved payment is started at most, if its workers keep dying before they send it."""
LEASE = timedelta(seconds=75)
"""Longer than a look with two or three calls to the gateway can take, and than the function that runs it lives on."""
LATE_LOOKS = (3600, 24 * 3600)
"""Seconds after a payment was settled as "not charged" at which it is looked for once more."""


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
    """Look at one payment whose time has come. Does nothing if another was faster.

    Claims the look before asking, so that of many deliveries one asks, voids and sends again.
    """
    payment, routing = deps.store.load(Ref(Payment, (merchant_id, imp_uid)), Ref(Routing, (merchant_id,)))
    now = deps.clock.now()
    if payment is None or routing is None or payment.due_at is None or payment.due_at > now:
        return
    # From the first look on the settling delay has a fixed start, also for a claim whose owner died.
    since = payment.unknown_since or payment.due_at
    try:
        (payment,) = deps.store.commit(replace(payment, due_at=now + LEASE, unknown_since=since))
        _look(deps, routing, payment)
    except Conflict:
        log.info("%s was settled by another", imp_uid)


def _look(deps: Deps, routing: Routing, payment: Payment) -> None:
    try:
        gateway = open_gateway(deps, routing, payment.attempt.channel_key)
        found = _ask(gateway, payment)
        if payment.state in (State.CLAIMED, State.UNKNOWN):
            _settle_charge(deps, routing, gateway, payment, found)
        elif payment.state is State.FAILED:
            _look_for_late_approval(deps, gateway, payment, found)
        elif payment.open_cancel:
            _settle_cancel(deps, routing, gateway, payment, found)
    except (Conflict, StoreUnavailable):
        raise
    except Exception as error:  # whatever breaks here breaks again in a second: pause, and call a person in the end
        log.exception("settling %s", payment.imp_uid)
        _look_again(deps, payment, Unknown(f"settling raised {type(error).__name__}"))


def _ask(gateway: Gateway, payment: Payment) -> FindResult:
    attempt = payment.attempt
    return gateway.find_charge(attempt.order_id, attempt.started_at, payment.request.amount.currency, ASK_TIMEOUT)


def _settle_charge(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    now = deps.clock.now()
    match found:
        case Approved() if found.amount == payment.request.amount:
            _record(deps, routing, approve(payment, found, now))
        case Approved():
            _void_wrong_amount(deps, routing, gateway, payment, found)
        case Declined():
            _record(deps, routing, decline(payment, found, now))
        case NotFound() if _settling_is_over(deps, payment):
            _not_charged(deps, routing, payment)
        case _:
            _look_again(deps, payment, found)


def _not_charged(deps: Deps, routing: Routing, payment: Payment) -> None:
    """The gateway does not know the charge. A reserved payment whose worker died before sending it is run again."""
    text = "결제가 승인되지 않았습니다. PG사에 거래가 없습니다. (not charged)"
    failed = fail_unsent(payment, text, deps.clock.now())
    failed = replace(failed, checks=0, due_at=_late_look(deps, failed, 0))
    never_answered = payment.attempt.outcome is None
    if not (payment.scheduled and never_answered and _run_again(deps, failed)):
        _record(deps, routing, failed)


def _run_again(deps: Deps, failed: Payment) -> bool:
    order = deps.store.load(Ref(Order, (failed.merchant_id, failed.request.merchant_uid)))
    if order is None or order.schedule is None or len(order.imp_uids) >= MAX_RUNS:
        return False
    now = deps.clock.now()
    schedule = replace(order.schedule, state=ScheduleState.SCHEDULED, executed_at=None, imp_uid=None, due_at=now)
    deps.store.commit(failed, replace(order.release(), schedule=schedule))
    hand_over(deps, [Task(TaskKind.SCHEDULE, (order.merchant_id, order.merchant_uid), now)], now)
    return True


def _settling_is_over(deps: Deps, payment: Payment) -> bool:
    """True once a charge or cancel that the gateway does not know cannot appear any more."""
    spec = deps.gateways.spec(payment.attempt.pg_provider)
    since = payment.unknown_since or payment.updated_at
    return deps.clock.now() >= since + spec.settling_delay * scale(deps, payment.environment)


def _record(deps: Deps, routing: Routing, payment: Payment) -> None:
    order = deps.store.load(Ref(Order, (payment.merchant_id, payment.request.merchant_uid)))
    record(deps, routing, payment, order, tell_failure=True)


def _look_again(deps: Deps, payment: Payment, result: object) -> None:
    checks = payment.checks + 1
    text = f"no clear answer: {result}"[:300]
    later = replace(payment, checks=checks, alarm=payment.alarm or (text if checks >= ALARM_AFTER else None))
    _store_look(deps, payment, replace(later, due_at=next_look(deps, later)))


def _store_look(deps: Deps, before: Payment, later: Payment) -> None:
    (stored,) = deps.store.commit(later)
    if stored.alarm and not before.alarm:
        alarm(stored.alarm, stored)
    if stored.due_at:
        task = Task(TaskKind.PAYMENT, (stored.merchant_id, stored.imp_uid), stored.due_at)
        hand_over(deps, [task], deps.clock.now())


def _late_look(deps: Deps, payment: Payment, number: int) -> datetime | None:
    """When to look once more for an approval that cannot come any more, in case it did."""
    if number >= len(LATE_LOOKS):
        return None
    return deps.clock.now() + timedelta(seconds=LATE_LOOKS[number] * scale(deps, payment.environment))


def _look_for_late_approval(deps: Deps, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    """The payment was called failed because the gateway knew nothing of it. If it does now, the money goes back."""
    if isinstance(found, Approved) and _left(found).amount:
        text = f"approved by {payment.attempt.pg_provider} after it was settled as failed"
        late = replace(payment, alarm=payment.alarm or text)
        result = _void(gateway, payment, found)
        if isinstance(result, Cancelled):
            _store_look(deps, payment, replace(late, alarm=f"{text}; voided", due_at=_late_look(deps, payment, 0)))
        else:
            _look_again(deps, _refused_void(late, result), result)
    elif isinstance(found, NotFound | Approved | Declined):
        number = payment.checks + 1
        _store_look(deps, payment, replace(payment, checks=number, due_at=_late_look(deps, payment, number)))
    else:
        _look_again(deps, payment, found)


def _void_wrong_amount(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: Approved) -> None:
    """The gateway took another amount than was asked for: give all of it back and call the payment failed."""
    if _left(found).amount:
        result = _void(gateway, payment, found)
        if not isinstance(result, Cancelled):
            _look_again(deps, _refused_void(payment, result), result)
            return
    text = "요청 금액과 다른 금액이 승인되어 취소되었습니다. (approved for another amount, voided)"
    refused = Declined(DeclineReason.AMOUNT_NOT_ALLOWED, "AMOUNT_MISMATCH", text)
    _record(deps, routing, decline(payment, refused, deps.clock.now()))


def _left(found: Approved) -> Money:
    return found.amount if found.balance is None else found.balance


def _void(gateway: Gateway, payment: Payment, found: Approved) -> CancelResult:
    left = _left(found)
    request = CancelRequest(
        # The same id until the gateway refuses it: a refusal may be replayed for as long as the id is known.
        cancel_id=f"{payment.attempt.order_id}v{payment.void_tries + 1}",
        order_id=payment.attempt.order_id,
        gateway_ref=found.gateway_ref,
        amount=left,
        balance=left,
        charged=found.amount,
        reason="승인 결과 불일치",
    )
    return gateway.cancel(request, ASK_TIMEOUT)


def _refused_void(payment: Payment, result: CancelResult) -> Payment:
    if not isinstance(result, Declined):
        return payment
    text = f"the gateway refuses to give it back: [{result.code}] {result.message}"[:300]
    return replace(payment, void_tries=payment.void_tries + 1, alarm=payment.alarm or text)


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
        refund_to=cancel.refund_to,
    )


def _settle_cancel(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    """The gateway's balance tells whether the cancel happened. If it did not, the same cancel is sent again."""
    cancel = payment.open_cancel
    if cancel is None or not isinstance(found, Approved) or found.balance is None:
        _look_again(deps, payment, found)
    elif found.balance == payment.balance - cancel.amount and found.cancels:
        record_cancel(deps, routing, payment, cancel, Cancelled(found.cancels[-1], found.balance))
    elif found.balance == payment.balance:
        _send_cancel_again(deps, routing, gateway, payment, cancel)
    else:
        _look_again(deps, replace(payment, checks=ALARM_AFTER), Unknown("the gateway's balance differs from ours"))


def _send_cancel_again(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, cancel: Cancellation) -> None:
    """A no to a repeated cancel may mean that the first one has just worked. It counts only if the balance, asked
    once more after the settling delay, is still untouched.
    """
    result = gateway.cancel(cancel_request(payment, cancel), ASK_TIMEOUT)
    if isinstance(result, Declined) and _settling_is_over(deps, payment):
        after = _ask(gateway, payment)
        if isinstance(after, Approved) and after.balance == payment.balance:
            record_cancel(deps, routing, payment, cancel, result)
            return
    if isinstance(result, Cancelled):
        record_cancel(deps, routing, payment, cancel, result)
    else:
        _look_again(deps, payment, result)


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
            fresh = replace(payment, checks=0, unknown_since=now)
            moved = suspend_cancel(fresh, cancel.cancel_id, result.detail, now, next_look(deps, fresh))
        case _:
            moved = fail_cancel(payment, cancel.cancel_id, "PG사에 연결할 수 없습니다. (not sent)", now)
    if not isinstance(result, Cancelled):
        return store_payment(deps, moved, None, [])
    notices = notices_for(deps, routing, moved, "cancelled", cancel.cancel_id) if cancel.notify else []
    order = None
    if moved.scheduled:  # the schedule shows its payment's status
        order = deps.store.load(Ref(Order, (moved.merchant_id, moved.request.merchant_uid)))
    return store_payment(deps, moved, order, notices)
