"""Writing down what became of a payment: one write that also frees its order and queues its webhooks."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.accounts import Audit
from chalicelib.domain.merchants import Routing
from chalicelib.domain.notices import Notice
from chalicelib.domain.orders import Order, Schedule
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Conflict, Deps, QueueUnavailable, Ref, StoreUnavailable, Task, TaskKind

log = logging.getLogger(__name__)

ENQUEUE_MARGIN = timedelta(minutes=2)
"""The sweep may be a minute old and the index may trail: what falls into this gap is handed over at once."""


def record(
    deps: Deps,
    routing: Routing,
    payment: Payment,
    order: Order | None,
    *,
    tell_end: bool = False,
    audit: Audit | None = None,
) -> Payment:
    """Store a payment's new state, with its order if that changes, and the notices it calls for.

    order: as loaded; needed when the payment has ended or is a reserved one. tell_end: the merchant was told `ready`
    before, so that a failure or a revoke has to be reported too. audit: of a person who did it. Raises Conflict,
    StoreUnavailable.
    """
    notices = []
    if payment.state in (State.PAID, State.WAITING) or (not payment.is_open and (payment.scheduled or tell_end)):
        notices = notices_for(deps, routing, payment, payment.v1_status)
    return store_payment(deps, payment, order, notices, audit)


def store_payment(
    deps: Deps, payment: Payment, order: Order | None, notices: list[Notice], audit: Audit | None = None
) -> Payment:
    """One write of a payment with what belongs to it, and the tasks that follow from it."""
    changes: list[object] = [payment]
    if order is not None and (moved := _order_after(order, payment)) != order:
        changes.append(moved)
    if audit is not None:
        changes.append(audit)
    stored: Payment = deps.store.commit(*changes, *notices)[0]
    hand_over(deps, [*map(notice_task, notices), *_payment_tasks(stored)], deps.clock.now())
    return stored


def as_stored(deps: Deps, claimed: Payment) -> Payment:
    """For whoever could not store a result: the claim, which settlement will find, or the result after all.

    A write may only seem to have failed. Told "being confirmed", the merchant would then never hear how it ended. The
    claim is written once more, since a write that is still on its way may land after any reading, but not after that.
    """
    try:
        stored: Payment = deps.store.commit(claimed)[0]
    except Conflict:
        return _loaded(deps, claimed)
    except StoreUnavailable:
        return claimed
    return stored


def _loaded(deps: Deps, claimed: Payment) -> Payment:
    try:
        return deps.store.load(Ref(Payment, (claimed.merchant_id, claimed.imp_uid))) or claimed
    except StoreUnavailable:
        return claimed


def _order_after(order: Order, payment: Payment) -> Order:
    if order.imp_uids[-1:] != (payment.imp_uid,):
        return order  # another payment holds it by now
    if not payment.is_open:
        order = order.release()
    if payment.scheduled and order.schedule and payment.state in (State.PAID, State.FAILED):
        order = replace(order, schedule=_schedule_after(order.schedule, payment))
    return order


def _schedule_after(schedule: Schedule, payment: Payment) -> Schedule:
    last = payment.last_attempt
    return replace(
        schedule,
        payment_status=payment.v1_status,
        fail_reason=payment.fail_reason,
        pg_provider=last.pg_provider if last else None,
        pg_id=last.pg_id if last else None,
    )


def notices_for(
    deps: Deps, routing: Routing, payment: Payment, status: str, cancellation_id: str | None = None
) -> list[Notice]:
    """One notice per receiver: the payment's own notice_url, else the merchant's setting for its environment.

    None for a test charge: what it found out is the answer to the booking that asked for it.
    """
    if payment.to_be_voided:
        return []
    default = routing.webhooks.url(payment.environment)
    urls = payment.request.notice_urls or ((default,) if default else ())
    now = deps.clock.now()
    return [
        Notice(
            merchant_id=payment.merchant_id,
            notice_id=f"wh_{deps.rng.getrandbits(96):024x}",
            url=url,
            environment=payment.environment,
            imp_uid=payment.imp_uid,
            merchant_uid=payment.request.merchant_uid,
            status=status,
            created_at=now,
            cancellation_id=cancellation_id,
            due_at=now,
        )
        for url in urls
    ]


def notice_task(notice: Notice, *, slow: bool = False) -> Task:
    """slow: for the lane of receivers that keep one waiting (usecases.notifying)."""
    kind = TaskKind.SLOW_NOTICE if slow else TaskKind.NOTICE
    return Task(kind, (notice.merchant_id, notice.notice_id), notice.due_at or notice.created_at)


def _payment_tasks(payment: Payment) -> list[Task]:
    if payment.due_at and payment.state is not State.CLAIMED:
        return [Task(TaskKind.PAYMENT, (payment.merchant_id, payment.imp_uid), payment.due_at)]
    return []


def hand_over(deps: Deps, tasks: list[Task], now: datetime) -> None:
    """Queue what is due before the sweep would surely see it. If the queue is down, the sweep finds it later."""
    near = [task for task in tasks if task.due_at <= now + deps.timing.horizon + ENQUEUE_MARGIN]
    if not near:
        return
    try:
        deps.queue.put(near, now)
    except QueueUnavailable:
        log.warning("queue unavailable; %d tasks left to the sweep", len(near))


def alarm(what: str, payment: Payment) -> None:
    """Call for a person: the log line becomes the NeedsAPerson metric (infra/template.yaml)."""
    log.error("needs a person: %s", what, extra={"needs_a_person": True, "imp_uid": payment.imp_uid})
