"""Looking at a payment again: when, how to ask, and what a look without a clear answer means.

For settling charges and cancels (`usecases.settling`) and for waiting for deposits (`usecases.deposits`).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.accounts import Audit
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    ChargeQuery,
    Declined,
    FindResult,
    NotFound,
    NotSent,
    Operation,
    Pending,
    Unknown,
)
from chalicelib.domain.merchants import Routing
from chalicelib.domain.money import Money
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import VIRTUAL_ACCOUNT, Payment, State, leave_window, suspend
from chalicelib.ports import Deps, Gateway, Ref, Task, TaskKind
from chalicelib.usecases.recording import alarm, hand_over, record
from chalicelib.usecases.vault import open_kept

PAUSES = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds before each further question; the last one repeats."""
ALARM_AFTER = 8
"""Questions without a clear answer (about 50 minutes) after which a person is called."""
ASK_TIMEOUT = 20.0
LEASE = timedelta(seconds=75)
"""Longer than a look with two or three calls to the gateway can take, and than the function that runs it lives on."""
UNDO_AT = 0.8
"""Which part of a gateway's net-cancel window is left to asking."""
LATE_LOOKS = (3600, 24 * 3600)
"""Seconds after a payment was settled as "not charged" at which it is looked for once more."""
DECISION_TAKES = timedelta(days=3)
"""How long a gateway may review a charge before a person is called."""
UNANSWERED = "no clear answer"
"""How an alarm begins that is over as soon as the gateway answers."""


def scale(deps: Deps, environment: Environment) -> float:
    """Live payments are never hurried."""
    return deps.timing.recovery_scale if environment is Environment.TEST else 1.0


def next_look(deps: Deps, payment: Payment) -> datetime:
    """After a pause that grows with the questions asked, but not later than the moment to undo the charge."""
    now, seconds = deps.clock.now(), PAUSES[min(payment.checks, len(PAUSES) - 1)]
    following = now + timedelta(seconds=seconds * scale(deps, payment.environment))
    begins = undo_begins(deps, payment)
    return min(following, begins) if begins and begins > now else following


def undo_begins(deps: Deps, payment: Payment) -> datetime | None:
    """From when on an unanswered charge is undone by order id; None = there is no such thing.

    Late enough that a gateway which is slow to answer is not undone, and early enough for several tries. Where it
    cannot be asked, there is nothing to wait for.
    """
    window = _net_cancel_window(deps, payment)
    if window is None or not payment.is_unsettled or payment.pay_method == VIRTUAL_ACCOUNT:
        return None
    if payment.attempt.outcome == "pending" and payment.state is not State.UNDOING:
        return None  # the gateway has answered: it is at work on it
    wait = window * UNDO_AT * scale(deps, payment.environment) if can_ask(deps, payment) else timedelta()
    return payment.attempt.started_at + wait


def undo_ends(deps: Deps, payment: Payment) -> datetime | None:
    """Until when the gateway takes it. Never scaled: no setting of ours shortens a gateway's window."""
    window = _net_cancel_window(deps, payment)
    return None if window is None else payment.attempt.started_at + window


def _net_cancel_window(deps: Deps, payment: Payment) -> timedelta | None:
    spec = deps.gateways.spec(payment.attempt.pg_provider)
    if payment.window:
        return spec.windows.net_cancel_window if spec.windows else None
    return spec.net_cancel_window


def suspended(deps: Deps, payment: Payment, result: Unknown | Pending, took_ms: int | None = None) -> Payment:
    fresh = replace(payment, checks=0)
    if isinstance(result, Pending):
        fresh = replace(fresh, gateway_ref=result.gateway_ref)
    return suspend(fresh, result, deps.clock.now(), next_look(deps, fresh), took_ms)


def can_ask(deps: Deps, payment: Payment, gateway: Gateway | None = None) -> bool:
    """False where there is no query, or none any more: what the gateway did not tell at once, it never tells.

    gateway: its channel, if it is at hand: a contract may allow more than the gateway's own rules do.
    """
    spec = gateway.spec if gateway else deps.gateways.spec(payment.attempt.pg_provider)
    if Operation.READ in spec.operations and (payment.gateway_ref or payment.sealed_kept):
        return True
    if payment.sealed_kept and spec.windows and spec.windows.answers_questions:
        return True
    if spec.find_window and deps.clock.now() >= payment.attempt.started_at + spec.find_window:
        return False
    return Operation.FIND in spec.operations


def ask(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, timeout: float = ASK_TIMEOUT) -> FindResult:
    if not can_ask(deps, payment, gateway):
        return Unknown("the gateway cannot be asked")
    attempt = payment.attempt
    query = ChargeQuery(
        attempt.order_id, payment.request.amount, attempt.started_at, payment.gateway_ref, payment.pay_method,
        kept=open_kept(deps, routing, payment),
    )  # fmt: skip
    return gateway.find_charge(query, timeout)


def settling_is_over(deps: Deps, payment: Payment) -> bool:
    """True once a charge or cancel that the gateway does not know cannot appear any more.

    Of a claim whose owner died, and that nobody has looked at, it counts from the end of its lease.
    """
    spec = deps.gateways.spec(payment.attempt.pg_provider)
    since = payment.unknown_since or payment.due_at or payment.updated_at
    return deps.clock.now() >= since + spec.settling_delay * scale(deps, payment.environment)


def record_settled(
    deps: Deps, routing: Routing, payment: Payment, *, tell_end: bool = True, audit: Audit | None = None
) -> Payment:
    order = deps.store.load(Ref(Order, (payment.merchant_id, payment.request.merchant_uid)))
    return record(deps, routing, payment, order, tell_end=tell_end, audit=audit)


def look_again(
    deps: Deps, payment: Payment, result: object, *, found: Payment | None = None, due_at: datetime | None = None
) -> None:
    """The look settled nothing: come back, and call a person after some. found: the payment with what it did find."""
    looked = found or payment
    checks = looked.checks + 1
    text = f"{UNANSWERED}: {in_words(result)}"[:300]
    later = replace(looked, checks=checks, alarm=looked.alarm or (text if checks >= ALARM_AFTER else None))
    store_look(deps, payment, replace(later, due_at=due_at or next_look(deps, later)))


def wait_for_decision(deps: Deps, payment: Payment, found: Pending) -> None:
    """The gateway has it and has not decided. Come back, for days if need be; its number is kept to ask by."""
    since = payment.unknown_since or payment.attempt.started_at
    overdue = deps.clock.now() >= since + DECISION_TAKES * scale(deps, payment.environment)
    text = f"not decided by {payment.attempt.pg_provider} for long: {found.detail}"[:300]
    attempt = replace(payment.attempt, outcome="pending", message=found.detail)
    known = replace(payment, attempts=(*payment.attempts[:-1], attempt), gateway_ref=found.gateway_ref)
    later = replace(known, checks=payment.checks + 1, alarm=answered(payment).alarm or (text if overdue else None))
    store_look(deps, payment, replace(later, due_at=next_look(deps, later)))


def in_words(result: object) -> str:
    """What the gateway said, for an operator."""
    match result:
        case Unknown() | NotSent() | Pending():
            return result.detail
        case Declined():
            return f"[{result.code}] {result.message}"
        case NotFound():
            return "it knows no such transaction"
    return f"it says {type(result).__name__}"


def store_look(deps: Deps, before: Payment, later: Payment) -> None:
    """Store what a look has found, and call a person if it says so for the first time, or says something new."""
    (stored,) = deps.store.commit(later)
    if stored.alarm and stored.alarm != before.alarm:
        alarm(stored.alarm, stored)
    if stored.due_at:
        task = Task(TaskKind.PAYMENT, (stored.merchant_id, stored.imp_uid), stored.due_at)
        hand_over(deps, [task], deps.clock.now())


def answered(payment: Payment) -> Payment:
    """The gateway has answered clearly again: nothing is counted any more, and nobody need look for that."""
    unanswered = payment.alarm is not None and payment.alarm.startswith(UNANSWERED)
    return replace(payment, checks=0, alarm=None if unanswered else payment.alarm)


def call_person(deps: Deps, payment: Payment, text: str) -> None:
    """Only a person can bring it to an end (`usecases.by_hand`): the timer need not come back."""
    store_look(deps, payment, replace(payment, alarm=payment.alarm or text, due_at=None))


def compared_soon(deps: Deps, payment: Payment, gateway: Gateway | None = None) -> Payment:
    """A person's word counts at once, and is compared with the gateway's books as soon as that can be asked."""
    if payment.due_at is not None or payment.pay_method == VIRTUAL_ACCOUNT or not can_ask(deps, payment, gateway):
        return payment
    fresh = replace(payment, checks=0)
    return replace(fresh, due_at=next_look(deps, fresh))


def late_look(
    deps: Deps, payment: Payment, after: Sequence[int] = LATE_LOOKS, gateway: Gateway | None = None
) -> datetime | None:
    """When to look next for something that cannot come any more, in case it did; None = not any more.

    after: seconds since the payment has ended. A look that got no answer is made up for, so each of them gets one.
    """
    spec = gateway.spec if gateway else deps.gateways.spec(payment.attempt.pg_provider)
    knows_its_charges = spec.operations & {Operation.FIND, Operation.READ}
    if not (knows_its_charges and can_ask(deps, payment, gateway)):
        return None
    return _next_instant(deps, payment, after)


def _next_instant(deps: Deps, payment: Payment, after: Sequence[int]) -> datetime | None:
    factor = scale(deps, payment.environment)
    instants = (payment.updated_at + timedelta(seconds=seconds * factor) for seconds in after)
    return next((at for at in instants if at > deps.clock.now()), None)


def window_left(deps: Deps, payment: Payment, result: Declined) -> Payment:
    """The payment whose window nothing comes of any more; looked up later where the gateway may have approved it."""
    ended = leave_window(payment, result, deps.clock.now())
    rules = deps.gateways.spec(payment.attempt.pg_provider).windows
    if rules is None or not rules.may_approve_unasked:
        return ended
    return replace(ended, due_at=_next_instant(deps, ended, LATE_LOOKS))  # who cannot be asked then, is not


def left(found: Approved) -> Money:
    return found.amount if found.balance is None else found.balance
