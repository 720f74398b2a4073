"""Reserved payments moved, reserved once more, or charged at once: whatever they meet, one charge or none."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused, TryAgain
from chalicelib.domain.orders import MAX_TRIES, Booking, Order, Schedule, ScheduleState
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Deleted, Ref, TaskKind
from chalicelib.usecases import charges, rescheduling, schedules, timer
from chalicelib.usecases.choosing import Target
from tests.support.api import CARD
from tests.support.recovery import Dying, book, cancel, meddle, payment_of, stored
from tests.support.world import request

KST = timezone(timedelta(hours=9))


class Interleaved:
    """A store before whose first commit of a `kind` something else happens."""

    def __init__(self, inner, kind, action):
        self._inner, self._kind, self._action = inner, kind, action

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def commit(self, *changes):
        if self._action and isinstance(changes[0], self._kind):
            action, self._action = self._action, None
            action()
        return self._inner.commit(*changes)


def order_of(world, uid="m0"):
    return world.store.load(Ref(Order, (world.merchant_id, uid)))


def schedule_of(world, uid="m0"):
    return order_of(world, uid).schedule


def later(world, **kwargs):
    return world.clock.now() + timedelta(**kwargs)


def move(world, to, deps=None):
    return rescheduling.move(deps or world.deps, world.merchant_id, "m0", to)


def reschedule(world, to, deps=None):
    return rescheduling.reschedule(deps or world.deps, world.merchant_id, "m0", to)


def retry(world, deps=None):
    return rescheduling.retry(deps or world.deps, world.merchant_id, "m0")


def revoke(world):
    schedules.revoke(world.deps, world.merchant_id, None, ["m0"])


def run_at_its_second(world):
    world.clock.set(schedule_of(world).schedule_at)
    world.sweep()
    world.run_queue()


def deliver_once(world):
    """What is due now, once each: a task that hands itself over again does not go round in circles here."""
    for task in [t for t in world.queue.tasks if t.due_at <= world.clock.now()]:
        world.queue.tasks.remove(task)
        timer.work(world.deps, task)


@pytest.fixture
def reserved(world, api, key):
    """m0, to run in five seconds."""
    book(api, world)
    return key


@pytest.fixture
def failed(world, reserved):
    """m0, run and declined."""
    world.sandboxes[reserved].fail("charge", "decline")
    run_at_its_second(world)
    assert schedule_of(world).payment_status == "failed"
    return reserved


def told(world):
    return [json.loads(body)["status"] for _, body, _ in world.sender.sent]


# --- moving ------------------------------------------------------------------------------------------------------


def test_moved_later_it_runs_at_the_new_second_only(world, reserved):
    move(world, later(world, seconds=65))
    world.clock.advance(seconds=5)
    assert world.run_queue() == 1  # the task of the old second
    world.clock.advance(seconds=59)
    world.run_queue()
    assert not world.captured()
    world.clock.advance(seconds=1)
    world.run_queue()
    assert len(world.captured()) == 1
    world.run_to_quiet(hours=1)
    assert len(world.captured()) == 1


def test_moved_earlier_it_runs_then_and_not_again(world, api, key):
    book(api, world)
    world.queue.tasks.clear()
    move(world, later(world, days=3))
    assert not world.queue.tasks
    move(world, later(world, seconds=3))
    world.clock.advance(seconds=3)
    world.run_queue()
    assert len(world.captured()) == 1
    world.clock.advance(days=3)
    world.sweep()
    world.run_queue()
    assert len(world.captured()) == 1


def test_moved_far_ahead_it_is_left_to_the_sweep(world, reserved):
    move(world, later(world, days=40))
    world.clock.advance(seconds=5)
    world.run_queue()
    assert not world.queue.tasks
    world.clock.advance(days=39, hours=23, minutes=55)
    assert world.sweep() == 1
    run_at_its_second(world)
    assert len(world.captured()) == 1


def test_moved_by_less_than_a_task_waits_it_keeps_its_second(world, reserved):
    moved = move(world, later(world, seconds=6)).schedule.schedule_at
    world.clock.advance(seconds=5)
    world.run_queue()
    assert len(world.captured()) == 1
    assert schedule_of(world).executed_at == moved


def test_a_move_that_comes_before_the_claim_wins(world, reserved):
    to = later(world, seconds=30)
    world.clock.advance(seconds=5)
    racing = replace(world.deps, store=Interleaved(world.store, Payment, lambda: move(world, to)))
    timer.work(racing, world.queue.tasks.pop(0))
    assert not world.captured()
    assert (schedule_of(world).state, schedule_of(world).schedule_at) == (ScheduleState.SCHEDULED, to)
    run_at_its_second(world)
    assert len(world.captured()) == 1


def test_a_move_that_comes_after_the_claim_is_told_so(world, reserved):
    before = schedule_of(world).schedule_at
    world.clock.advance(seconds=5)
    racing = replace(world.deps, store=Interleaved(world.store, Order, world.run_queue))
    with pytest.raises(InvalidRequest, match="이미 실행"):
        move(world, later(world, seconds=30), racing)
    assert len(world.captured()) == 1
    assert (schedule_of(world).state, schedule_of(world).schedule_at) == (ScheduleState.EXECUTED, before)
    world.run_to_quiet(hours=1)
    assert len(world.captured()) == 1


def test_an_order_that_changes_all_the_time_is_given_up(world, reserved):
    class Busy(Interleaved):
        def commit(self, *changes):
            move(world, later(world, seconds=30))
            return self._inner.commit(*changes)

    with pytest.raises(TryAgain):
        move(world, later(world, seconds=60), replace(world.deps, store=Busy(world.store, Order, None)))
    assert schedule_of(world).schedule_at == later(world, seconds=30)


def test_what_has_run_or_was_revoked_cannot_be_moved(world, failed):
    with pytest.raises(InvalidRequest):
        move(world, later(world, hours=1))
    reschedule(world, later(world, hours=1))
    revoke(world)
    with pytest.raises(InvalidRequest):
        move(world, later(world, hours=1))
    with pytest.raises(NotFound):
        rescheduling.move(world.deps, world.merchant_id, "stranger", later(world, hours=1))


def test_an_entry_of_an_unfinished_booking_is_not_there_yet(world, key):
    now = world.clock.now()
    due = later(world, hours=1)
    schedule = Schedule(
        "c1", request("m0"), due, ScheduleState.SCHEDULED, now, Environment.TEST, booking_id="b1", due_at=due
    )
    booking, _ = world.store.commit(
        Booking(world.merchant_id, "b1", ("m0",), now), Order(world.merchant_id, "m0", schedule=schedule)
    )
    with pytest.raises(NotFound):
        move(world, later(world, hours=2))
    world.store.commit(Deleted(booking))
    assert move(world, later(world, hours=2)).schedule.booking_id is None


@pytest.mark.parametrize(
    "to",
    [
        datetime(2028, 2, 29, tzinfo=KST),  # the leap day's first second, at 15:00 UTC of the 28th
        datetime(2028, 2, 29, 23, 59, 59, tzinfo=KST),
        datetime(2028, 3, 1, tzinfo=KST),
        datetime(2027, 1, 1, tzinfo=KST),
        datetime(2028, 2, 29, tzinfo=UTC),
    ],
    ids=str,
)
@pytest.mark.parametrize("how", ["move", "reschedule"])
def test_days_of_any_calendar_are_only_seconds(world, reserved, to, how):
    if how == "reschedule":
        revoke(world)
    world.queue.tasks.clear()
    order = move(world, to) if how == "move" else reschedule(world, to)
    assert order.schedule.schedule_at == to
    world.clock.set(to - timedelta(minutes=1))
    world.sweep()
    world.clock.set(to - timedelta(seconds=1))
    assert world.run_queue() == 0
    world.clock.set(to)
    world.run_queue()
    assert len(world.captured()) == 1
    assert schedule_of(world).executed_at == to


# --- reserving once more -----------------------------------------------------------------------------------------


def test_a_failed_one_is_reserved_afresh_and_runs(world, failed):
    first = payment_of(world, "m0")
    order = reschedule(world, later(world, minutes=1))
    schedule = order.schedule
    assert (schedule.state, schedule.payment_status, schedule.imp_uid) == (ScheduleState.SCHEDULED, None, None)
    assert (schedule.executed_at, schedule.fail_reason, schedule.pg_provider) == (None, None, None)
    run_at_its_second(world)
    assert schedule_of(world).payment_status == "paid"
    assert order_of(world).imp_uids == (first.imp_uid, payment_of(world, "m0").imp_uid)
    assert stored(world, first).state is State.FAILED
    assert len(world.captured()) == 1


def test_a_revoked_one_is_reserved_again_and_its_pin_stays(world, api):
    world.two_gateways((100, 0))
    api.post("/subscribe/customers/c1", CARD)
    book(api, world, channel_key=world.channels["nice_v2"])
    revoke(world)
    order = reschedule(world, later(world, minutes=1))
    assert order.schedule.revoked_at is None
    run_at_its_second(world)
    assert schedule_of(world).pg_provider == "nice_v2"


def test_only_what_has_ended_without_money_is_reserved_or_charged_again(world, reserved):
    def refused(why):
        before = world.store.texts()
        with pytest.raises(InvalidRequest, match=why):
            reschedule(world, later(world, hours=1))
        with pytest.raises(InvalidRequest, match=why):
            retry(world)
        assert world.store.texts() == before

    refused("not yet run")
    world.sandboxes[reserved].fail("charge", "reply_lost")
    run_at_its_second(world)
    assert payment_of(world, "m0").state is State.UNKNOWN
    refused("running or approved")
    world.run_to_quiet()
    assert schedule_of(world).payment_status == "paid"
    refused("running or approved")
    cancel(world, payment_of(world, "m0"))
    refused("running or approved")
    assert len(world.sandboxes[reserved].transactions()) == 1


def test_a_revoked_one_that_was_paid_otherwise_is_not_charged_again(world, reserved):
    revoke(world)
    charges.charge_key(world.deps, world.merchant_id, "c1", request("m0"), Target())
    for again in (lambda: reschedule(world, later(world, hours=1)), lambda: retry(world)):
        with pytest.raises(InvalidRequest, match="approved"):
            again()
    assert len(world.captured()) == 1


def test_a_merchant_uid_wears_out(world, failed):
    order = order_of(world)
    world.store.commit(replace(order, imp_uids=order.imp_uids * MAX_TRIES))
    with pytest.raises(Refused, match=str(MAX_TRIES)):
        reschedule(world, later(world, hours=1))
    with pytest.raises(Refused, match=str(MAX_TRIES)):
        retry(world)


def test_however_often_it_failed_before_a_dead_worker_is_replaced(world, failed):
    """Restarts count for one reservation, not for all payments that its merchant_uid ever had."""
    for _ in range(4):
        world.sandboxes[failed].fail("charge", "decline")
        reschedule(world, later(world, seconds=5))
        run_at_its_second(world)
    reschedule(world, later(world, seconds=5))
    world.clock.advance(seconds=5)
    task = next(t for t in world.queue.tasks if t.kind is TaskKind.SCHEDULE)
    with pytest.raises(SystemExit):
        timer.work(replace(world.deps, store=Dying(world.store, 1)), task)
    assert not world.captured()
    world.run_to_quiet(hours=60)
    assert schedule_of(world).payment_status == "paid"
    assert len(world.captured()) == 1


def test_of_two_reservations_at_once_one_stands(world, failed):
    sooner, later_on = later(world, minutes=1), later(world, minutes=2)
    racing = replace(world.deps, store=Interleaved(world.store, Order, lambda: reschedule(world, sooner)))
    with pytest.raises(InvalidRequest, match="not yet run"):
        reschedule(world, later_on, racing)
    assert schedule_of(world).schedule_at == sooner
    world.run_to_quiet()
    assert len(world.captured()) == 1


# --- charging now ------------------------------------------------------------------------------------------------


def test_a_retry_charges_now_and_the_schedule_shows_it(world, failed):
    world.webhook_url("https://shop.example/hook")
    world.clock.advance(minutes=5)
    payment = retry(world)
    assert (payment.state, payment.scheduled, payment.customer_uid_usage) == (State.PAID, True, "payment.scheduled")
    schedule = schedule_of(world)
    assert (schedule.state, schedule.payment_status, schedule.imp_uid) == (
        ScheduleState.EXECUTED, "paid", payment.imp_uid,
    )  # fmt: skip
    assert (schedule.executed_at, schedule.fail_reason, schedule.due_at) == (world.clock.now(), None, None)
    assert schedule.pg_provider == failed
    world.run_queue()
    assert told(world) == ["paid"]
    assert len(world.captured()) == 1


def test_a_retry_that_is_declined_is_told_and_may_be_repeated(world, failed):
    world.webhook_url("https://shop.example/hook")
    world.sandboxes[failed].fail("charge", "decline")
    payment = retry(world)
    assert payment.state is State.FAILED
    assert (schedule_of(world).payment_status, schedule_of(world).imp_uid) == ("failed", payment.imp_uid)
    assert schedule_of(world).fail_reason == payment.fail_reason
    assert retry(world).state is State.PAID
    world.run_queue()
    assert told(world) == ["failed", "paid"]
    assert len(world.captured()) == 1


def test_a_revoked_one_that_is_charged_now_does_not_run_at_its_old_second(world, reserved):
    revoke(world)
    retry(world)
    assert schedule_of(world).revoked_at is None
    world.clock.advance(seconds=5)
    world.sweep()
    world.run_queue()
    assert len(world.captured()) == 1


def test_a_retry_that_dies_before_it_sends_is_run_by_the_timer_soon(world, reserved):
    """Also if the payment was reserved for a time to come: what was asked for was now."""
    move(world, later(world, days=30))
    revoke(world)
    with pytest.raises(SystemExit):
        retry(world, replace(world.deps, store=Dying(world.store, 1)))
    assert not world.captured()
    for _ in range(15):
        world.clock.advance(minutes=1)
        world.sweep()
        deliver_once(world)
    assert schedule_of(world).payment_status == "paid"
    world.run_to_quiet(hours=60)
    assert len(world.captured()) == 1


def test_a_retry_that_dies_after_it_sent_is_settled(world, failed):
    world.webhook_url("https://shop.example/hook")

    def charge(inner, *args):
        inner.charge_billing_key(*args)
        raise SystemExit("killed")

    real = world.deps
    meddle(world, charge_billing_key=charge)
    with pytest.raises(SystemExit):
        retry(world)
    world.deps = real
    world.run_to_quiet()
    assert schedule_of(world).payment_status == "paid"
    assert told(world) == ["paid"]
    assert len(world.captured()) == 1


@pytest.mark.parametrize(("fault", "status"), [("reply_lost", "paid"), ("http_500", "failed")])
def test_a_retry_without_an_answer_is_settled_and_the_schedule_shows_it(world, failed, fault, status):
    world.webhook_url("https://shop.example/hook")
    world.sandboxes[failed].fail("charge", fault)
    payment = retry(world)
    assert payment.v1_status == "ready"
    assert (schedule_of(world).state, schedule_of(world).payment_status) == (ScheduleState.EXECUTED, None)
    for again in (lambda: reschedule(world, later(world, hours=1)), lambda: retry(world)):
        with pytest.raises(InvalidRequest, match="running"):
            again()
    world.run_to_quiet()
    assert (schedule_of(world).payment_status, schedule_of(world).imp_uid) == (status, payment.imp_uid)
    assert told(world) == [status]
    if status == "failed":
        assert retry(world).state is State.PAID
    assert len(world.captured()) == 1


def test_of_two_retries_one_charges(world, failed):
    racing = replace(world.deps, store=Interleaved(world.store, Payment, lambda: retry(world)))
    with pytest.raises(TryAgain):
        retry(world, racing)
    assert schedule_of(world).payment_status == "paid"
    assert len(world.captured()) == 1


def test_of_many_retries_one_charges(world, failed):
    def attempt(_):
        with suppress(Refused, InvalidRequest):
            return retry(world)

    with ThreadPoolExecutor(8) as pool:
        payments = [payment for payment in pool.map(attempt, range(8)) if payment]
    assert [payment.state for payment in payments] == [State.PAID]
    assert schedule_of(world).imp_uid == payments[0].imp_uid
    assert len(world.captured()) == 1


def test_a_retry_that_comes_before_a_reservation_wins(world, failed):
    racing = replace(world.deps, store=Interleaved(world.store, Order, lambda: retry(world)))
    with pytest.raises(InvalidRequest, match="approved"):
        reschedule(world, later(world, minutes=1), racing)
    world.run_to_quiet()
    assert (schedule_of(world).state, schedule_of(world).payment_status) == (ScheduleState.EXECUTED, "paid")
    assert len(world.captured()) == 1


def test_a_reservation_that_comes_before_a_retry_wins(world, failed):
    to = later(world, minutes=1)
    racing = replace(world.deps, store=Interleaved(world.store, Payment, lambda: reschedule(world, to)))
    with pytest.raises(TryAgain):
        retry(world, racing)
    assert not world.captured()
    assert schedule_of(world).schedule_at == to
    world.run_to_quiet()
    assert len(world.captured()) == 1


def test_a_retry_that_nobody_can_take_changes_nothing(world, api, failed):
    def refused(error, why):
        before = world.store.texts()
        with pytest.raises(error, match=why):
            retry(world)
        assert world.store.texts() == before

    toss, nice = world.channels["tosspayments"], world.channels["nice_v2"]
    group = api.get("/admin/channel-groups")[1][0]["id"]
    off = [{"channel_key": c, "weight": w, "enabled": False} for c, w in ((toss, 50), (nice, 50))]
    api.put(f"/admin/channel-groups/{group}", name="default", channels=off)
    refused(Refused, "결제 가능한 채널이 없습니다")
    api.delete("/subscribe/customers/c1")
    refused(NotFound, "등록되지 않은 구매자입니다")
    with pytest.raises(NotFound):
        rescheduling.retry(world.deps, world.merchant_id, "stranger")


def test_a_retry_keeps_to_its_callers_time(world, failed):
    given = []

    def charge(inner, order_id, asked, secret, timeout):
        given.append(timeout)
        return inner.charge_billing_key(order_id, asked, secret, timeout)

    meddle(world, charge_billing_key=charge)
    rescheduling.retry(world.deps, world.merchant_id, "m0", timedelta(seconds=12))
    assert given == [pytest.approx(12)]
