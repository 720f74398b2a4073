"""Looking at a payment again: when, how to ask, and what a look without a clear answer means.

For settling charges and cancels (`usecases.settling`) and for waiting for deposits (`usecases.deposits`).
"""

from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Approved, FindResult, Unknown
from chalicelib.domain.merchants import Routing
from chalicelib.domain.money import Money
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment, suspend
from chalicelib.ports import Deps, Gateway, Ref, Task, TaskKind
from chalicelib.usecases.recording import alarm, hand_over, record

PAUSES = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds before each further question; the last one repeats."""
ALARM_AFTER = 8
"""Questions without a clear answer (about 50 minutes) after which a person is called."""
ASK_TIMEOUT = 20.0
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


def ask(gateway: Gateway, payment: Payment, timeout: float = ASK_TIMEOUT) -> FindResult:
    attempt = payment.attempt
    return gateway.find_charge(attempt.order_id, attempt.started_at, payment.request.amount.currency, timeout)


def settling_is_over(deps: Deps, payment: Payment) -> bool:
    """True once a charge or cancel that the gateway does not know cannot appear any more."""
    spec = deps.gateways.spec(payment.attempt.pg_provider)
    since = payment.unknown_since or payment.updated_at
    return deps.clock.now() >= since + spec.settling_delay * scale(deps, payment.environment)


def record_settled(deps: Deps, routing: Routing, payment: Payment, *, tell_end: bool = True) -> Payment:
    order = deps.store.load(Ref(Order, (payment.merchant_id, payment.request.merchant_uid)))
    return record(deps, routing, payment, order, tell_end=tell_end)


def look_again(
    deps: Deps, payment: Payment, result: object, *, found: Payment | None = None, due_at: datetime | None = None
) -> None:
    """The look settled nothing: come back, and call a person after some. found: the payment with what it did find."""
    looked = found or payment
    checks = looked.checks + 1
    text = f"no clear answer: {result}"[:300]
    later = replace(looked, checks=checks, alarm=looked.alarm or (text if checks >= ALARM_AFTER else None))
    store_look(deps, payment, replace(later, due_at=due_at or next_look(deps, later)))


def store_look(deps: Deps, before: Payment, later: Payment) -> None:
    """Store what a look has found, and call a person if it says so for the first time, or says something new."""
    (stored,) = deps.store.commit(later)
    if stored.alarm and stored.alarm != before.alarm:
        alarm(stored.alarm, stored)
    if stored.due_at:
        task = Task(TaskKind.PAYMENT, (stored.merchant_id, stored.imp_uid), stored.due_at)
        hand_over(deps, [task], deps.clock.now())


def late_look(deps: Deps, payment: Payment, number: int) -> datetime | None:
    """When to look once more for an approval that cannot come any more, in case it did."""
    if number >= len(LATE_LOOKS):
        return None
    return deps.clock.now() + timedelta(seconds=LATE_LOOKS[number] * scale(deps, payment.environment))


def left(found: Approved) -> Money:
    return found.amount if found.balance is None else found.balance
