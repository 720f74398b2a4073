"""Several processes, one real database: however they meet, one order is one charge."""

import multiprocessing
import random
from collections import Counter

import pytest

from chalicelib.container import SystemClock
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import Refused
from chalicelib.domain.money import Money
from chalicelib.domain.orders import Schedule, ScheduleState
from chalicelib.domain.payments import State
from chalicelib.usecases import cancels, charges, schedules
from chalicelib.usecases.choosing import Target
from tests.support.real import need_dynamodb_local
from tests.support.stores import local_store, unique_table
from tests.support.world import CARD, VisibleQueue, VisibleSender, World, build_deps, request

PROCESSES = 8
ORDERS = 25

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def dynamodb_local_url():
    from infra import dynamodb_local

    need_dynamodb_local()
    with dynamodb_local.running() as url:
        yield url


def _deps(endpoint, table, urls):
    return build_deps(
        local_store(endpoint, table),
        urls,
        clock=SystemClock(),
        queue=VisibleQueue(),
        sender=VisibleSender(),
        rng=random.SystemRandom(),
    )


def _charge(barrier, results, endpoint, table, urls, merchant_id):
    deps = _deps(endpoint, table, urls)
    for n in range(ORDERS):
        barrier.wait(timeout=60)
        try:
            payment = charges.charge_card(deps, merchant_id, request(f"order-{n}"), CARD, Target())
            results.put((f"order-{n}", payment.state.value))
        except Refused:
            results.put((f"order-{n}", "refused"))


def _cancel(barrier, results, endpoint, table, urls, merchant_id, imp_uids):
    deps = _deps(endpoint, table, urls)
    for imp_uid in imp_uids:
        barrier.wait(timeout=60)
        try:
            cancels.cancel(deps, merchant_id, cancels.Cancel(imp_uid=imp_uid, amount=Money(3000).to_decimal()))
            results.put((imp_uid, 3000))
        except Refused:
            results.put((imp_uid, 0))


def _dispatch(barrier, results, endpoint, table, urls, merchant_id, uids):
    deps = _deps(endpoint, table, urls)
    for n, uid in enumerate(uids):
        barrier.wait(timeout=60)
        if n % 2:
            schedules.run_due(deps, merchant_id, uid)
            results.put((uid, "ran"))
            continue
        try:
            schedules.revoke(deps, merchant_id, None, [uid])
            results.put((uid, "revoked"))
        except Refused:
            results.put((uid, "refused"))


def race(target, *args):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    workers = [context.Process(target=target, args=(barrier, results, *args)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    collected = [results.get(timeout=120) for _ in range(PROCESSES * ORDERS)]
    for worker in workers:
        worker.join(timeout=30)
        assert worker.exitcode == 0
    return Counter(collected)


@pytest.fixture
def shared(dynamodb_local_url, sandboxes):
    """A world over DynamoDB Local, and what other processes need to join it."""
    from chalicelib.container import SystemClock as Real

    table = unique_table()
    world = World(sandboxes, store=local_store(dynamodb_local_url, table))
    for box in sandboxes.values():
        box.clock.follow(lambda: Real().now().timestamp())
    world.two_gateways()
    urls = {name: box.url for name, box in sandboxes.items()}
    return world, (dynamodb_local_url, table, urls, world.merchant_id)


def test_eight_processes_charge_the_same_orders(shared):
    world, joined = shared
    results = race(_charge, *joined)
    captured = Counter(t["order_id"] for t in world.captured())
    assert len(captured) == ORDERS
    assert set(captured.values()) == {1}
    for n in range(ORDERS):
        assert results[f"order-{n}", State.PAID.value] == 1
        assert results[f"order-{n}", "refused"] == PROCESSES - 1


def test_eight_processes_cancel_the_same_payments(shared):
    world, joined = shared
    payments = [
        charges.charge_card(world.deps, world.merchant_id, request(f"c-{n}", 10000), CARD, Target())
        for n in range(ORDERS)
    ]
    results = race(_cancel, *joined, [p.imp_uid for p in payments])
    balances = {t["order_id"]: t["balance"] for box in world.sandboxes.values() for t in box.transactions()}
    for payment in payments:
        given_back = 3000 * results[payment.imp_uid, 3000]
        assert 3000 <= given_back <= 9000
        assert balances[payment.attempt.order_id] == 10000 - given_back


def test_dispatched_many_times_and_against_revoking(shared):
    """Half of the orders are run by all processes at once; of the others, all revoke: one of them succeeds."""
    from datetime import timedelta

    from chalicelib.domain.orders import Order
    from chalicelib.ports import Ref
    from chalicelib.usecases import billing_keys

    world, joined = shared
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c", CARD, Target()))
    uids = [f"s-{n}" for n in range(ORDERS)]
    past = SystemClock().now() - timedelta(seconds=1)
    for uid in uids:
        schedule = Schedule("c", request(uid), past, ScheduleState.SCHEDULED, past, Environment.TEST, due_at=past)
        world.store.commit(Order(world.merchant_id, uid, schedule=schedule))
    results = race(_dispatch, *joined, uids)
    captured = Counter(t["order_id"] for t in world.captured())
    assert set(captured.values()) == {1}
    assert len(captured) == ORDERS // 2
    for n, uid in enumerate(uids):
        order = world.store.load(Ref(Order, (world.merchant_id, uid)))
        if n % 2:
            assert order.schedule.payment_status == "paid"
        else:
            assert order.schedule.state is ScheduleState.REVOKED
            assert results[uid, "revoked"] >= 1
