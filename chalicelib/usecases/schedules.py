"""Reserved payments: booking them all or none, looking them up, revoking them, and running them at their second."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.charging import PaymentRequest
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused, RouterError, TryAgain
from chalicelib.domain.health import Health
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import ENTRIES_PER_WRITE, MAX_ENTRIES, Booking, Order, Schedule, ScheduleState
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Conflict, Deleted, Deps, Ref, Task, TaskKind
from chalicelib.usecases import charges
from chalicelib.usecases.charges import (
    UNKNOWN_MERCHANT,
    UNREGISTERED,
    Charge,
    fill_buyer,
    key_charge,
    load_key_to_charge,
    new_payment,
    run,
)
from chalicelib.usecases.choosing import Target, check_chargeable
from chalicelib.usecases.recording import hand_over, record

log = logging.getLogger(__name__)

NOTHING_TO_REVOKE = "취소할 예약결제 기록이 존재하지 않습니다."
UNKNOWN_SCHEDULE = "예약결제 정보가 존재하지 않습니다. (no such schedule)"
BOOKING_LEASE = timedelta(seconds=60)
WRITE_TRIES = 3
EARLY = timedelta(seconds=1.5)
"""A task that comes up to this much too early is waited for; SQS delays in whole seconds, rounded down."""


@dataclass(frozen=True, slots=True)
class Entry:
    request: PaymentRequest
    schedule_at: datetime


def book(
    deps: Deps, merchant_id: str, customer_uid: str, entries: Sequence[Entry], *, channel_key: str | None = None,
    customer_id: str | None = None,
) -> list[Order]:  # fmt: skip
    """Reserve payments, all or none. Raises Refused naming the merchant_uid that stands in the way.

    Round trips: one read, and one write per fifty entries.
    """
    check_entries(entries)
    key, routing, _ = load_key(deps, merchant_id, customer_uid)
    _check_pin(key, channel_key)
    for entry in entries:
        request = replace(entry.request, buyer=fill_buyer(entry.request, key))
        check_chargeable(deps.gateways, routing, key, channel_key, request)
    now = deps.clock.now()
    fresh = [
        Order(
            merchant_id,
            entry.request.merchant_uid,
            schedule=Schedule(
                customer_uid=customer_uid,
                request=entry.request,
                schedule_at=entry.schedule_at,
                state=ScheduleState.SCHEDULED,
                booked_at=now,
                environment=key.environment,
                channel_key=channel_key,
                customer_id=customer_id or key.customer_id,
                due_at=entry.schedule_at,
            ),
        )
        for entry in entries
    ]
    booked = _write(deps, fresh)
    tasks = [task_of(order) for order in booked]
    hand_over(deps, tasks, deps.clock.now())
    return booked


def load_key(deps: Deps, merchant_id: str, customer_uid: str) -> tuple[BillingKey, Routing, Health | None]:
    """The key to reserve payments on. Raises Refused with V1's words."""
    key, routing, known = load_key_to_charge(deps, merchant_id, customer_uid)
    if key is None or routing is None:
        raise Refused(
            "등록된 고객정보가 없습니다. customer_uid를 확인해 주세요. (no billing key)", field="customer_uid"
        )
    return key, routing, known


def check_entries(entries: Sequence[Entry]) -> None:
    """What can be said before anything is read. Raises InvalidRequest."""
    if not 1 <= len(entries) <= MAX_ENTRIES:
        raise InvalidRequest("schedules", f"schedules: 1건 이상 {MAX_ENTRIES}건 이하여야 합니다. (1 to {MAX_ENTRIES})")
    seen: set[str] = set()
    for n, entry in enumerate(entries):
        uid = entry.request.merchant_uid
        if uid in seen:
            field = f"schedules[{n}].merchant_uid"
            raise InvalidRequest(field, f"{field}: 같은 주문번호가 두 번 있습니다: {uid} (duplicate merchant_uid)")
        seen.add(uid)


def _check_pin(key: BillingKey, channel_key: str | None) -> None:
    if channel_key and channel_key not in key.channels:
        raise Refused(
            "channel_key: 이 채널에 발급된 빌링키가 없습니다. (no billing key at this channel)", field="channel_key"
        )


def _write(deps: Deps, orders: list[Order]) -> list[Order]:
    """Store the orders; where a merchant_uid was used before, over its spent order."""
    for _ in range(WRITE_TRIES):
        try:
            if len(orders) <= ENTRIES_PER_WRITE:
                return list(deps.store.commit(*orders))
            return _write_in_parts(deps, orders)
        except Conflict:
            orders = _over_spent(deps, orders)
    raise Refused("같은 주문번호의 다른 요청이 처리 중입니다. 다시 시도해 주세요. (another request is under way)")


def _over_spent(deps: Deps, orders: list[Order]) -> list[Order]:
    stored = deps.store.load_many([Ref(Order, (o.merchant_id, o.merchant_uid)) for o in orders])
    merged = []
    for new, old in zip(orders, stored, strict=True):
        if old is not None:
            old = charges.without_open_window(deps, old)  # noqa: PLW2901
            old.check_free()
        merged.append(replace(old or Order(new.merchant_id, new.merchant_uid), schedule=new.schedule))
    return merged


def _write_in_parts(deps: Deps, orders: list[Order]) -> list[Order]:
    """More than one transaction, tied together by a Booking that the last one removes."""
    merchant_id = orders[0].merchant_id
    booking = Booking(
        merchant_id,
        f"{deps.rng.getrandbits(64):016x}",
        tuple(order.merchant_uid for order in orders),
        due_at=deps.clock.now() + BOOKING_LEASE,
    )
    tied = [replace(o, schedule=replace(schedule_of(o), booking_id=booking.booking_id)) for o in orders]
    parts = [tied[n : n + ENTRIES_PER_WRITE] for n in range(0, len(tied), ENTRIES_PER_WRITE)]
    booked: list[Order] = []
    opened = False
    try:
        for part in parts[:-1]:
            first = () if opened else (booking,)
            written = deps.store.commit(*part, *first)
            booked += written[: len(part)]
            booking = booking if opened else written[-1]
            opened = True
        booked += deps.store.commit(*parts[-1], Deleted(booking))[:-1]
    except Conflict:
        if opened:
            abort_booking(deps, merchant_id, booking.booking_id)
        raise
    return booked


def schedule_of(order: Order) -> Schedule:
    if order.schedule is None:
        raise ValueError(f"{order.merchant_uid} has no schedule")
    return order.schedule


def task_of(order: Order) -> Task:
    schedule = schedule_of(order)
    return Task(TaskKind.SCHEDULE, (order.merchant_id, order.merchant_uid), schedule.due_at or schedule.schedule_at)


def abort_booking(deps: Deps, merchant_id: str, booking_id: str) -> None:
    """Undo a booking that was not finished. Safe to repeat, and to race with the one who books."""
    ref = Ref(Booking, (merchant_id, booking_id))
    booking = deps.store.load(ref)
    if booking is None:
        return
    try:
        if not booking.aborting:
            (booking,) = deps.store.commit(replace(booking, aborting=True))
        for order in deps.store.load_many([Ref(Order, (merchant_id, uid)) for uid in booking.merchant_uids]):
            if order and order.schedule and order.schedule.booking_id == booking_id:
                _undo(deps, order)
        deps.store.commit(Deleted(booking))
    except Conflict:
        log.info("booking %s was finished or undone by another", booking_id)


def abort_overdue(deps: Deps, merchant_id: str, booking_id: str) -> None:
    """For the timer: undo a booking whose owner must be dead."""
    booking = deps.store.load(Ref(Booking, (merchant_id, booking_id)))
    if booking is not None and booking.due_at <= deps.clock.now():
        abort_booking(deps, merchant_id, booking_id)


def _undo(deps: Deps, order: Order) -> None:
    """Back to what the order was before: nothing, or spent by failed payments."""
    if order.imp_uids:
        deps.store.commit(replace(order, schedule=None))
    else:
        deps.store.commit(Deleted(order))


def find(deps: Deps, merchant_id: str, merchant_uid: str) -> Order:
    order = deps.store.load(Ref(Order, (merchant_id, merchant_uid)))
    if order is None or order.schedule is None or not _in_force(deps, order):
        raise NotFound(UNKNOWN_SCHEDULE)
    return order


def _in_force(deps: Deps, order: Order) -> bool:
    """False while the call that booked it is not finished, or has died half-way."""
    booking_id = schedule_of(order).booking_id
    return booking_id is None or deps.store.load(Ref(Booking, (order.merchant_id, booking_id))) is None


def revoke(deps: Deps, merchant_id: str, customer_uid: str | None, merchant_uids: Sequence[str]) -> list[Order]:
    """Revoke the reserved payments named, or all of a customer (V1 `unschedule`). What has run already stays.

    With merchant_uids the answer is exact. With customer_uid alone they are listed from an index, which may trail a
    booking made in the same instant.
    """
    if merchant_uids:
        refs = [Ref(Order, (merchant_id, uid)) for uid in dict.fromkeys(merchant_uids)]
        orders = [order for order in deps.store.load_many(refs) if order]
    elif customer_uid:
        orders = _of_customer(deps, merchant_id, customer_uid)
    else:
        raise InvalidRequest("customer_uid", "customer_uid 또는 merchant_uid를 지정해주셔야합니다. (one is required)")
    mine = [o for o in orders if o.is_reserved and customer_uid in (None, schedule_of(o).customer_uid)]
    revoked: list[Order] = []
    for start in range(0, len(mine), ENTRIES_PER_WRITE):
        revoked += _revoke_some(deps, mine[start : start + ENTRIES_PER_WRITE])
    if not revoked:
        raise Refused(NOTHING_TO_REVOKE)
    return revoked


def _of_customer(deps: Deps, merchant_id: str, customer_uid: str) -> list[Order]:
    listed: list[Order] = []
    cursor: str | None = None
    while True:
        page = deps.store.list(Order, (merchant_id, "schedules_of", customer_uid), limit=1000, cursor=cursor)
        listed += page.items
        cursor = page.cursor
        if cursor is None:
            refs = [Ref(Order, (merchant_id, o.merchant_uid)) for o in listed if o.is_reserved]
            return [o for o in deps.store.load_many(refs) if o]


def _revoke_some(deps: Deps, orders: list[Order]) -> list[Order]:
    """In one write; if one of them has moved meanwhile, one by one."""
    in_force: dict[str | None, bool] = {}  # the entries of one call share their booking
    for order in orders:
        booking_id = schedule_of(order).booking_id
        if booking_id not in in_force:
            in_force[booking_id] = _in_force(deps, order)
    standing = [order for order in orders if in_force[schedule_of(order).booking_id]]
    try:
        return list(deps.store.commit(*[_revoked(deps, order) for order in standing])) if standing else []
    except Conflict:
        return [done for order in standing if (done := _revoke_one(deps, order))]


def _revoked(deps: Deps, order: Order) -> Order:
    schedule = replace(
        schedule_of(order), state=ScheduleState.REVOKED, revoked_at=deps.clock.now(), due_at=None, booking_id=None
    )
    return replace(order, schedule=schedule)


def _revoke_one(deps: Deps, order: Order) -> Order | None:
    """None if it began to run in the meantime: what has been claimed is no longer ours to revoke."""
    for _ in range(WRITE_TRIES):
        if not order.is_reserved or not _in_force(deps, order):
            return None
        try:
            (stored,) = deps.store.commit(_revoked(deps, order))
        except Conflict:
            reloaded = deps.store.load(Ref(Order, (order.merchant_id, order.merchant_uid)))
            if reloaded is None:
                return None
            order = reloaded
        else:
            revoked: Order = stored
            return revoked
    return None


def run_due(deps: Deps, merchant_id: str, merchant_uid: str) -> None:
    """Run a reserved payment whose second has come. Any number of deliveries of the same task run it once."""
    order = deps.store.load(Ref(Order, (merchant_id, merchant_uid)))
    if order is None or not order.is_reserved:
        return
    schedule, task = schedule_of(order), task_of(order)
    now = deps.clock.now()
    if task.due_at > now + EARLY:  # moved to a later time while its task was on its way
        hand_over(deps, [task], now)
        return
    if not _in_force(deps, order):
        return  # the timer comes back to it, until its booking is finished or undone
    deps.clock.sleep(max(0.0, (task.due_at - deps.clock.now()).total_seconds()))
    key, routing, known = load_key_to_charge(deps, merchant_id, schedule.customer_uid)
    if routing is None:
        raise Refused(UNKNOWN_MERCHANT)
    try:
        charge = charge_of(deps, routing, known, key, schedule, deps.timing.task_budget)
        run(deps, charge, order=executing(deps, order, charge.seed))
    except TryAgain:
        log.info("schedule %s is run by another", merchant_uid)
    except Refused as error:
        _fail(deps, routing, order, error)


def charge_of(
    deps: Deps,
    routing: Routing,
    known: Health | None,
    key: BillingKey | None,
    schedule: Schedule,
    budget: timedelta,
) -> Charge:
    if key is None:
        raise Refused(UNREGISTERED)
    target = Target(channel_key=schedule.channel_key)
    charge = key_charge(deps, routing, known, key, schedule.request, target, budget)
    return replace(charge, seed=replace(charge.seed, scheduled=True, customer_uid_usage="payment.scheduled"))


def executing(deps: Deps, order: Order, seed: Payment) -> Order:
    """The order as its claim will store it: the schedule is spent in the same write that claims the payment."""
    schedule = replace(
        schedule_of(order),
        state=ScheduleState.EXECUTED,
        executed_at=deps.clock.now(),
        imp_uid=seed.imp_uid,
        due_at=None,
        booking_id=None,
    )
    return replace(order, schedule=schedule)


def _fail(deps: Deps, routing: Routing, order: Order, error: RouterError) -> None:
    """No gateway could be asked: the reserved payment has run, and failed, and the merchant hears of it."""
    schedule = schedule_of(order)
    payment = replace(
        new_payment(deps, order.merchant_id, schedule.request, schedule.environment),
        state=State.FAILED,
        failed_at=deps.clock.now(),
        fail_reason=error.message,
        scheduled=True,
        customer_uid=schedule.customer_uid,
        customer_uid_usage="payment.scheduled",
    )
    try:
        record(deps, routing, payment, executing(deps, order, payment).claim(payment.imp_uid))
    except Conflict:
        log.info("schedule %s was run by another", order.merchant_uid)
