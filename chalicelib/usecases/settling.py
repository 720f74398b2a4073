"""Finding out what became of a charge or a cancel whose answer was not read (of a deposit: `usecases.deposits`).

Asks the gateway by our own order id, again and again with growing pauses. "Not found" counts only after the gateway's
settling delay, since a charge may still be on its way; and what was called "not charged" is looked for twice more.
What must not stay with the gateway goes back (`usecases.voiding`). Nothing here charges; what it sends again carries
the id it had, which the gateway runs once.
"""

import logging
from dataclasses import replace

from chalicelib.domain.accounts import Audit
from chalicelib.domain.cancels import (
    doubt_cancel,
    fail_cancel,
    finish_cancel,
    prove_cancels,
    reopen_cancel,
    suspend_cancel,
)
from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Cancelled,
    CancelRequest,
    CancelResult,
    Declined,
    FindResult,
    NotFound,
    NotSent,
    Operation,
    Pending,
    Revoked,
    Unknown,
)
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import Order, ScheduleState
from chalicelib.domain.payments import (
    VIRTUAL_ACCOUNT,
    Cancellation,
    CancelState,
    Payment,
    State,
    approve,
    decline,
    fail_unsent,
)
from chalicelib.domain.windows import NEVER_FINISHED
from chalicelib.ports import Conflict, Deps, Gateway, Ref, StoreUnavailable, Task, TaskKind
from chalicelib.usecases import deposits, voiding
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.looks import (
    ALARM_AFTER,
    ASK_TIMEOUT,
    LEASE,
    answered,
    ask,
    call_person,
    can_ask,
    compared_soon,
    in_words,
    late_look,
    look_again,
    next_look,
    record_settled,
    settling_is_over,
    store_look,
    wait_for_decision,
    window_left,
)
from chalicelib.usecases.recording import hand_over, notices_for, store_payment
from chalicelib.usecases.vault import channel_of, open_gateway

log = logging.getLogger(__name__)

MAX_RESTARTS = 2
"""How often a reserved payment is started again at most, if its workers keep dying before they send it."""
NOTHING_TO_REFUND = "은행이 입금을 취소하여 환불할 금액이 없습니다. (the bank has taken the deposit back)"


def settle(deps: Deps, merchant_id: str, imp_uid: str) -> None:
    """Look at one payment whose time has come. Does nothing if another was faster."""
    payment, routing = deps.store.load(Ref(Payment, (merchant_id, imp_uid)), Ref(Routing, (merchant_id,)))
    now = deps.clock.now()
    if payment is None or routing is None or payment.due_at is None or payment.due_at > now:
        return
    try:
        if payment.state is State.OPENED:  # nothing was asked of the gateway: there is nothing to ask it about
            record_settled(deps, routing, window_left(deps, payment, NEVER_FINISHED), tell_end=False)
        else:
            look(deps, routing, payment)
    except Conflict:
        log.info("%s was settled by another", imp_uid)


def look(deps: Deps, routing: Routing, payment: Payment) -> FindResult:
    """Ask the gateway about a payment now, and record what that settles. Raises Conflict if another was faster.

    Claims the look before asking, so that of many deliveries one asks, voids and sends again.
    """
    now = deps.clock.now()
    # From the first look on the settling delay has a fixed start, also for a claim whose owner died.
    since = payment.unknown_since or payment.due_at or now
    (payment,) = deps.store.commit(replace(payment, due_at=now + LEASE, unknown_since=since))
    try:
        gateway = open_gateway(deps, routing, payment.attempt.channel_key)
        found = _heard(deps, routing, payment, ask(deps, routing, gateway, payment))
        _settle(deps, routing, gateway, payment, found)
    except (Conflict, StoreUnavailable):
        raise
    except Exception as error:  # whatever breaks here breaks again in a second: pause, and call a person in the end
        log.exception("settling %s", payment.imp_uid)
        found = Unknown(f"settling raised {type(error).__name__}")
        look_again(deps, payment, found)
    return found


def _heard(deps: Deps, routing: Routing, payment: Payment, found: FindResult) -> FindResult:
    """Under another contract than it was charged with, nobody finds it: that it is not there says nothing then."""
    if not (isinstance(found, NotFound) and payment.is_unsettled):
        return found
    changed_at = channel_of(deps, routing, payment.attempt.channel_key).changed_at
    if changed_at and payment.attempt.started_at <= changed_at:
        return Unknown(f"not found, but the channel was changed after it was sent as {payment.attempt.pg_id}")
    return found


def _settle(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    if payment.is_unsettled:
        _settle_charge(deps, routing, gateway, payment, found)
    elif payment.awaits_void:
        voiding.give_back(deps, gateway, payment, found)
    elif payment.open_cancel:
        _settle_cancel(deps, routing, gateway, payment, found)
    elif payment.pay_method == VIRTUAL_ACCOUNT or _was_turned_into_account(payment, found):
        deposits.settle(deps, routing, gateway, payment, found)
    elif payment.state is State.FAILED:
        voiding.look_for_late_approval(deps, gateway, payment, found)
    elif payment.awaits_comparison:
        _compare(deps, routing, gateway, payment, found)


def _was_turned_into_account(payment: Payment, found: FindResult) -> bool:
    """By a buyer, in the gateway's window: it was to be paid in another way, and has failed for that."""
    return payment.state is State.FAILED and isinstance(found, AwaitingDeposit | Revoked)


def _compare(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    """A person has settled it, or a cancel of it, while the gateway was silent. What its books say goes before that."""
    if not can_ask(deps, payment, gateway):  # there is nothing to compare with, or not any more
        store_look(deps, payment, replace(payment, due_at=None))
        return
    if not isinstance(found, Approved):
        said_no = isinstance(found, Declined) or (isinstance(found, NotFound) and settling_is_over(deps, payment))
        text = f"settled by hand as paid, and the gateway says otherwise: {in_words(found)}"
        look_again(deps, payment, found, found=replace(payment, alarm=payment.alarm or text) if said_no else None)
        return
    known = replace(payment, gateway_ref=found.gateway_ref)  # the one that was typed in may be another transaction's
    reopened = reopen_cancel(known)
    balance = payment.balance if found.balance is None else found.balance  # what it does not tell, nobody compares
    if (found.amount, balance) == (payment.request.amount, payment.balance):
        store_look(deps, payment, replace(answered(prove_cancels(known)), due_at=None))
    elif reopened.open_cancel:
        _settle_cancel(deps, routing, gateway, reopened, found)
    else:
        text = "the gateway's balance differs from ours"
        look_again(deps, payment, found, found=replace(known, alarm=payment.alarm or text))


def _settle_charge(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    match found:
        case Approved():
            _settle_approved(deps, routing, gateway, payment, found)
        case AwaitingDeposit() if deposits.is_wanted(payment, found):
            record_settled(deps, routing, deposits.opened(deps, payment, found))
        case AwaitingDeposit() | Revoked():
            deposits.settle(deps, routing, gateway, payment, found)
        case Declined():
            record_settled(deps, routing, decline(payment, found, deps.clock.now()))
        case Pending():
            wait_for_decision(deps, payment, found)
        case NotFound() if settling_is_over(deps, payment) and not _was_there(gateway, payment):
            _not_charged(deps, routing, gateway, payment)
        case _:
            voiding.undo_or_ask_again(deps, routing, gateway, payment, found)


def _settle_approved(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: Approved) -> None:
    if payment.state is State.UNDOING:
        voiding.take_back(deps, routing, gateway, payment, found)
    elif payment.pay_method == VIRTUAL_ACCOUNT:
        deposits.settle(deps, routing, gateway, payment, found)
    elif found.amount != payment.request.amount:
        voiding.void_wrong_amount(deps, routing, gateway, payment, found)
    else:
        approved = record_settled(deps, routing, approve(payment, found, deps.clock.now()))
        if approved.awaits_void:
            voiding.give_back(deps, gateway, approved, found)


def _was_there(gateway: Gateway, payment: Payment) -> bool:
    """The gateway has said that it has it: that it knows no such charge contradicts that, and ends nothing."""
    by_number = payment.gateway_ref is not None and Operation.READ in gateway.spec.operations
    return (by_number or payment.attempt.outcome == "pending") and payment.state is not State.UNDOING


def _not_charged(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment) -> None:
    """The gateway does not know the charge. A reserved payment whose worker died before sending it is run again."""
    text = "결제가 승인되지 않았습니다. PG사에 거래가 없습니다. (not charged)"
    failed = fail_unsent(payment, text, deps.clock.now())
    failed = replace(failed, checks=0, due_at=late_look(deps, failed, gateway=gateway))
    never_answered = payment.attempt.outcome is None
    if not (payment.scheduled and never_answered and _run_again(deps, failed)):
        record_settled(deps, routing, failed)


def _run_again(deps: Deps, failed: Payment) -> bool:
    order = deps.store.load(Ref(Order, (failed.merchant_id, failed.request.merchant_uid)))
    if order is None or order.schedule is None or order.schedule.restarts >= MAX_RESTARTS:
        return False
    now = deps.clock.now()
    schedule = replace(
        order.schedule,
        state=ScheduleState.SCHEDULED,
        executed_at=None,
        imp_uid=None,
        due_at=now,
        restarts=order.schedule.restarts + 1,
    )
    deps.store.commit(failed, replace(order.release(), schedule=schedule))
    hand_over(deps, [Task(TaskKind.SCHEDULE, (order.merchant_id, order.merchant_uid), now)], now)
    return True


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
        reason=cancel.reason or "취소 요청",
        charged_at=payment.attempt.started_at,
        sequence=sum(earlier.state is CancelState.DONE for earlier in payment.cancels) + 1,
        tax_free=cancel.tax_free,
        vat=cancel.vat,
        refund_to=cancel.refund_to,
        pay_method=payment.pay_method,
    )


def _settle_cancel(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    """The gateway's balance tells whether the cancel happened. If it did not, the same cancel is sent again."""
    cancel = payment.open_cancel
    if not can_ask(deps, payment, gateway):  # a repeated cancel that is refused could mean either
        call_person(deps, payment, f"the gateway cannot be asked what became of a cancel of {payment.attempt.order_id}")
    elif cancel and deposits.is_gone(payment, found) and settling_is_over(deps, payment):
        kept = fail_cancel(payment, cancel.cancel_id, NOTHING_TO_REFUND, deps.clock.now())
        deposits.settle(deps, routing, gateway, kept, found)
    elif cancel is None or not isinstance(found, Approved) or found.balance is None:
        look_again(deps, payment, found)
    elif found.balance == payment.balance - cancel.amount and found.cancels:
        record_cancel(deps, routing, payment, cancel, Cancelled(found.cancels[-1], found.balance), tell_end=True)
    elif found.balance == payment.balance:
        _send_cancel_again(deps, routing, gateway, payment, cancel)
    else:
        differs = Unknown("the gateway's balance differs from ours")
        look_again(deps, payment, differs, found=replace(payment, checks=ALARM_AFTER))


def _send_cancel_again(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, cancel: Cancellation) -> None:
    """A no to a repeated cancel may mean that the first one has just worked. It counts only if the balance, asked
    once more after the settling delay, is still untouched.
    """
    # The delay begins anew before it is sent: while it may land, nobody may call the cancel failed.
    (sent,) = deps.store.commit(replace(payment, unknown_since=deps.clock.now()))
    what = f"cancel {cancel.cancel_id}"
    result = guarded(lambda: gateway.cancel(cancel_request(sent, cancel), ASK_TIMEOUT), what)
    if isinstance(result, Declined) and settling_is_over(deps, payment):
        after = guarded(lambda: ask(deps, routing, gateway, sent), what)
        if isinstance(after, Approved) and after.balance == sent.balance:
            record_cancel(deps, routing, sent, cancel, result, tell_end=True)
            return
    if isinstance(result, Cancelled):
        record_cancel(deps, routing, sent, cancel, result, tell_end=True)
    elif isinstance(result, Declined | NotSent):  # this one will not land: what was sent before it counts
        look_again(deps, sent, result, found=replace(sent, unknown_since=payment.unknown_since))
    else:
        look_again(deps, sent, result)


def record_cancel(
    deps: Deps,
    routing: Routing,
    payment: Payment,
    cancel: Cancellation,
    result: CancelResult,
    *,
    tell_end: bool = False,
    audit: Audit | None = None,
) -> Payment:
    """Store what became of a cancel, with the webhook if it was asked for. Raises Conflict, StoreUnavailable.

    tell_end: the merchant was told that it is being confirmed, and hears of its end in any case. audit: of a person who
    settled it.
    """
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
    if audit is not None:
        moved = compared_soon(deps, doubt_cancel(moved, cancel.cancel_id))
    done = isinstance(result, Cancelled)
    notices = []
    if tell_end or (done and cancel.notify):
        notices = notices_for(deps, routing, moved, moved.v1_status, cancel.cancel_id)
    order = None
    if done and moved.scheduled:  # the schedule shows its payment's status
        order = deps.store.load(Ref(Order, (moved.merchant_id, moved.request.merchant_uid)))
    return store_payment(deps, moved, order, notices, audit)
