"""A reserved payment that is run, revoked, moved and repeated at the same time goes one way, and no two ways."""

from datetime import timedelta

import pytest

from chalicelib.container import SystemClock
from chalicelib.domain.channels import Environment
from chalicelib.domain.orders import Order, Schedule, ScheduleState
from chalicelib.ports import Task, TaskKind
from chalicelib.usecases import billing_keys, timer
from chalicelib.usecases.choosing import Target
from tests.races.arena import TRIES
from tests.races.books import check_one_charge_each, live_captures, order
from tests.support.world import CARD, request

pytestmark = pytest.mark.real

UIDS = [f"s-{n}" for n in range(TRIES)]
CALLS_OF_MANY = max(2, TRIES // 6)
MANY = 60
"""More entries than one transaction holds."""


def dispatch(me, uid, *_):
    timer.work(me.deps, Task(TaskKind.SCHEDULE, (me.merchant_id, uid), me.deps.clock.now()))


def unschedule(me, uid, *_):
    return me.post("/subscribe/payments/unschedule", merchant_uid=[uid])[0]


def move(me, uid, to):
    return me.call("PUT", f"/subscribe/payments/schedule/{uid}", schedule_at=to)[0]


def reschedule(me, uid, to):
    return me.post(f"/subscribe/payments/schedule/{uid}/reschedule", schedule_at=to)[0]


def retry(me, uid, *_):
    code, payment = me.post(f"/subscribe/payments/schedule/{uid}/retry")
    return payment["status"] if code == 0 else None


def book(me, *uids):
    at = int((me.deps.clock.now() + timedelta(hours=1)).timestamp())
    entries = [{"merchant_uid": uid, "schedule_at": at, "amount": 8900, "name": "n"} for uid in uids]
    return me.post("/subscribe/payments/schedule", customer_uid="c", schedules=entries)[0]


def book_its_own(place, me, n):
    """Many entries of its own, and one that another wants too; it stands first for one, and last for the other."""
    own = [f"{place}-{n}-{i}" for i in range(MANY)]
    return book(me, *([f"wanted-{n}", *own] if place == "first" else [*own, f"wanted-{n}"]))


def book_wanted_first(me, n):
    return book_its_own("first", me, n)


def book_wanted_last(me, n):
    return book_its_own("last", me, n)


@pytest.fixture(autouse=True)
def customer(world):
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c", CARD, Target()))


@pytest.fixture
def reserve(world):
    """Store all of UIDS in a state, as of a second ago."""
    past = SystemClock().now() - timedelta(seconds=1)

    def store(state):
        due_at = past if state is ScheduleState.SCHEDULED else None
        for uid in UIDS:
            schedule = Schedule("c", request(uid), past, state, past, Environment.TEST, due_at=due_at)
            world.store.commit(Order(world.merchant_id, uid, schedule=schedule))

    return store


@pytest.fixture
def to():
    return int((SystemClock().now() + timedelta(hours=1)).timestamp())


def schedule(world, uid):
    return order(world, uid).schedule


def check_ran(world, uids):
    check_one_charge_each(world, uids)
    for uid in uids:
        ran = schedule(world, uid)
        assert (ran.state, ran.payment_status, ran.due_at) == (ScheduleState.EXECUTED, "paid", None)


def check_put_off(world, uids, to):
    for uid in uids:
        put_off = schedule(world, uid)
        assert put_off.state is ScheduleState.SCHEDULED
        assert int(put_off.schedule_at.timestamp()) == int(put_off.due_at.timestamp()) == to
        assert order(world, uid).imp_uids == ()


def test_delivered_many_times_it_runs_once(world, race, reserve):
    reserve(ScheduleState.SCHEDULED)
    race([dispatch] * 4, [(uid,) for uid in UIDS])
    check_ran(world, UIDS)


def test_it_is_revoked_or_runs(world, race, reserve):
    reserve(ScheduleState.SCHEDULED)
    answers = race([dispatch, unschedule, dispatch, unschedule], [(uid,) for uid in UIDS])
    revoked = []
    for uid, (_, one, _, other) in zip(UIDS, answers, strict=True):
        assert sorted((one, other)) in ([0, 1], [1, 1])
        revoked += [uid] if 0 in (one, other) else []
    for uid in revoked:
        assert (schedule(world, uid).state, order(world, uid).imp_uids) == (ScheduleState.REVOKED, ())
    check_ran(world, [uid for uid in UIDS if uid not in revoked])


def test_it_is_moved_or_runs(world, race, reserve, to):
    reserve(ScheduleState.SCHEDULED)
    answers = race([dispatch, move, dispatch, move], [(uid, to) for uid in UIDS])
    moved = [uid for uid, (_, one, _, other) in zip(UIDS, answers, strict=True) if 0 in (one, other)]
    check_put_off(world, moved, to)
    check_ran(world, [uid for uid in UIDS if uid not in moved])


def test_of_many_retries_one_charges_or_a_reservation_stands(world, race, reserve, to):
    reserve(ScheduleState.REVOKED)
    answers = race([retry, retry, retry, reschedule], [(uid, to) for uid in UIDS])
    put_off = [uid for uid, told in zip(UIDS, answers, strict=True) if told[3] == 0]
    for uid, (*retries, reserved) in zip(UIDS, answers, strict=True):
        assert retries.count("paid") == (0 if reserved == 0 else 1)
    check_put_off(world, put_off, to)
    check_ran(world, [uid for uid in UIDS if uid not in put_off])


def test_of_many_bookings_of_an_order_one_stands(world, race):
    for uid, codes in zip(UIDS, race([book] * 4, [(uid,) for uid in UIDS]), strict=True):
        assert sorted(codes) == [0, 1, 1, 1]
        assert order(world, uid).is_reserved
    assert not live_captures(world)


def test_of_two_bookings_of_many_that_share_an_order_one_stands_whole_and_the_other_not_at_all(world, race):
    tries = range(CALLS_OF_MANY)
    for n, codes in enumerate(race([book_wanted_first, book_wanted_last], [(n,) for n in tries])):
        assert sorted(codes) == [0, 1]
        winner, loser = ("first", "last") if codes[0] == 0 else ("last", "first")
        assert order(world, f"wanted-{n}").is_reserved
        assert all(order(world, f"{winner}-{n}-{i}").is_reserved for i in range(MANY))
        assert not any(order(world, f"{loser}-{n}-{i}") for i in range(MANY))
