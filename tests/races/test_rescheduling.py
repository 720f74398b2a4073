"""Several processes, one real database: a reserved payment that is moved, charged now, and due at the same time."""

from collections import Counter
from datetime import timedelta

import pytest

from chalicelib.container import SystemClock
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, Refused
from chalicelib.domain.orders import Order, Schedule, ScheduleState
from chalicelib.ports import Ref
from chalicelib.usecases import billing_keys, rescheduling, schedules
from chalicelib.usecases.choosing import Target
from tests.races.test_same_order import ORDERS, _deps, dynamodb_local_url, race, shared  # noqa: F401 - two fixtures
from tests.support.world import CARD, request

pytestmark = pytest.mark.real

UIDS = [f"s-{n}" for n in range(ORDERS)]


def _move_or_run(barrier, results, endpoint, table, urls, merchant_id, to):
    deps = _deps(endpoint, table, urls)
    for uid in UIDS:
        if barrier.wait(timeout=60) % 2:
            schedules.run_due(deps, merchant_id, uid)
            results.put((uid, "dispatched"))
            continue
        try:
            rescheduling.move(deps, merchant_id, uid, to)
            results.put((uid, "moved"))
        except (InvalidRequest, Refused):
            results.put((uid, "too late"))


def _retry_or_reschedule(barrier, results, endpoint, table, urls, merchant_id, to):
    deps = _deps(endpoint, table, urls)
    for uid in UIDS:
        alone = barrier.wait(timeout=60) == 0
        try:
            if alone:
                rescheduling.reschedule(deps, merchant_id, uid, to)
                results.put((uid, "reserved"))
            else:
                results.put((uid, rescheduling.retry(deps, merchant_id, uid).v1_status))
        except (InvalidRequest, Refused):
            results.put((uid, "too late"))


@pytest.fixture
def reserve(shared):  # noqa: F811
    """Store all of UIDS in a state, as of a second ago."""
    world, joined = shared
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c", CARD, Target()))
    past = SystemClock().now() - timedelta(seconds=1)

    def store(state):
        due_at = past if state is ScheduleState.SCHEDULED else None
        for uid in UIDS:
            schedule = Schedule("c", request(uid), past, state, past, Environment.TEST, due_at=due_at)
            world.store.commit(Order(world.merchant_id, uid, schedule=schedule))
        return world, joined

    return store


def ended(world, results, first, to):
    """Every order went one way, and no two ways; those that were only put off run at their new second, once."""
    put_off = []
    for uid in UIDS:
        schedule = world.store.load(Ref(Order, (world.merchant_id, uid))).schedule
        if results[uid, first]:
            put_off.append(uid)
            assert (schedule.state, schedule.schedule_at, schedule.due_at) == (ScheduleState.SCHEDULED, to, to)
        else:
            assert (schedule.state, schedule.payment_status) == (ScheduleState.EXECUTED, "paid")
    assert len(world.captured()) == ORDERS - len(put_off)
    world.clock.set(to)
    for uid in put_off:
        schedules.run_due(world.deps, world.merchant_id, uid)
    captured = Counter(t["order_id"] for t in world.captured())
    assert len(captured) == ORDERS
    assert set(captured.values()) == {1}


def test_moved_or_run_but_never_both_and_never_neither(reserve):
    world, joined = reserve(ScheduleState.SCHEDULED)
    to = SystemClock().now().replace(microsecond=0) + timedelta(hours=1)
    ended(world, race(_move_or_run, *joined, to), "moved", to)


def test_one_of_many_retries_charges_or_a_reservation_stands(reserve):
    world, joined = reserve(ScheduleState.REVOKED)
    to = SystemClock().now().replace(microsecond=0) + timedelta(hours=1)
    results = race(_retry_or_reschedule, *joined, to)
    for uid in UIDS:
        assert results[uid, "paid"] + results[uid, "reserved"] == 1
    ended(world, results, "reserved", to)
