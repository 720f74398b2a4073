"""At least once everywhere, and still once: the minute rule and the queues hand over the same work twice."""

from datetime import timedelta

import pytest

from chalicelib.container import SystemClock
from chalicelib.domain.channels import Environment
from chalicelib.domain.notices import Notice, NoticeState
from chalicelib.domain.orders import Order, Schedule, ScheduleState
from chalicelib.ports import Ref, Task, TaskKind
from chalicelib.storage.items import DUE_SHARDS
from chalicelib.usecases import billing_keys, timer
from chalicelib.usecases.choosing import Target
from tests.races.arena import TRIES
from tests.races.books import check_one_charge_each
from tests.support.world import CARD, request

pytestmark = pytest.mark.real

SWEEPS = max(2, TRIES // 4)
ORDERS = 3
"""Due at each sweep."""


def deliver(me, notice_id):
    before = len(me.sender.sent)
    timer.work(me.deps, Task(TaskKind.NOTICE, (me.merchant_id, notice_id), me.deps.clock.now()))
    return len(me.sender.sent) - before


def sweep_and_work(me):
    me.queue.tasks.clear()
    timer.sweep(me.deps, range(DUE_SHARDS))
    for task in me.queue.tasks:
        timer.work(me.deps, task)
    return len(me.queue.tasks)


def test_a_webhook_that_two_workers_have_is_sent_once(world, race):
    past = SystemClock().now() - timedelta(seconds=1)
    ids = [f"wh_{n:024x}" for n in range(TRIES)]
    for notice_id in ids:
        about = ("https://shop.example/hook", Environment.TEST, "imp_000000000001", "order-1", "paid", past)
        world.store.commit(Notice(world.merchant_id, notice_id, *about, due_at=past))
    for notice_id, sent in zip(ids, race([deliver] * 3, [(i,) for i in ids]), strict=True):
        assert sum(sent) == 1
        notice = world.store.load(Ref(Notice, (world.merchant_id, notice_id)))
        assert (notice.state, notice.tries, notice.due_at) == (NoticeState.DELIVERED, 1, None)


def test_what_two_sweeps_hand_over_is_done_once(world, race):
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c", CARD, Target()))
    for n in range(SWEEPS):
        past = SystemClock().now() - timedelta(seconds=11)  # overdue, and not only just
        uids = [f"s-{n}-{i}" for i in range(ORDERS)]
        for uid in uids:
            schedule = Schedule("c", request(uid), past, ScheduleState.SCHEDULED, past, Environment.TEST, due_at=past)
            world.store.commit(Order(world.merchant_id, uid, schedule=schedule))
        [handed_over] = race([sweep_and_work] * 3, [()])
        assert max(handed_over) >= ORDERS  # and a claim that another has just made
    check_one_charge_each(world, [f"s-{n}-{i}" for n in range(SWEEPS) for i in range(ORDERS)])
