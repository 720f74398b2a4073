"""Guards, one by one: each test fails if a single condition is taken away. Bookings, the timer and webhooks."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.domain.notices import DeliveryResult, Notice, NoticeState
from chalicelib.domain.orders import Booking, Order, Schedule, ScheduleState
from chalicelib.ports import Ref, TaskKind
from chalicelib.usecases import notifying, schedules
from tests.support.recovery import Dying, at, onetime
from tests.support.world import request


def tied(world, uid, booking_id, imp_uids=()):
    now = world.clock.now()
    schedule = Schedule(
        "c1", request(uid), now + timedelta(days=1), ScheduleState.SCHEDULED, now, Environment.TEST,
        booking_id=booking_id, due_at=now + timedelta(days=1),
    )  # fmt: skip
    return Order(world.merchant_id, uid, imp_uids, schedule=schedule)


def test_undoing_a_booking_keeps_spent_orders_and_touches_no_others(world):
    booking = Booking(world.merchant_id, "b1", ("m0", "m1", "m2"), world.clock.now() + timedelta(seconds=60))
    world.store.commit(booking, tied(world, "m0", "b1"), tied(world, "m1", "b1", ("imp_1",)), tied(world, "m2", None))
    schedules.abort_overdue(world.deps, world.merchant_id, "b1")
    assert world.store.load(Ref(Booking, (world.merchant_id, "b1")))  # its owner may still live
    world.clock.advance(seconds=60)
    schedules.abort_overdue(world.deps, world.merchant_id, "b1")
    first, spent, other = (world.store.load(Ref(Order, (world.merchant_id, f"m{n}"))) for n in range(3))
    assert first is None
    assert (spent.imp_uids, spent.schedule) == (("imp_1",), None)
    assert other.is_reserved


def test_an_abort_is_announced_before_anything_is_undone(world):
    """Else its owner could finish it between the undoing and the end."""
    booking = Booking(world.merchant_id, "b1", ("m0",), world.clock.now())
    (booking, _) = world.store.commit(booking, tied(world, "m0", "b1"))
    with pytest.raises(SystemExit):
        schedules.abort_booking(replace(world.deps, store=Dying(world.store, 1)), world.merchant_id, "b1")
    assert world.store.load(Ref(Booking, (world.merchant_id, "b1"))).aborting
    assert world.store.load(Ref(Order, (world.merchant_id, "m0")))


def test_revoking_many_leaves_what_has_begun_to_run(world, api, key):
    items = [
        {"merchant_uid": f"m{n}", "schedule_at": at(world, seconds=5), "amount": 8900, "name": "n"} for n in range(2)
    ]
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=items)
    world.clock.advance(seconds=5)

    class Racing:
        ran = False

        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if not self.ran:
                self.ran = True
                schedules.run_due(world.deps, world.merchant_id, "m0")
            return world.store.commit(*changes)

    done = schedules.revoke(replace(world.deps, store=Racing()), world.merchant_id, None, ["m0", "m1"])
    assert [o.merchant_uid for o in done] == ["m1"]
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["schedule_status"] == "executed"
    assert len(world.captured()) == 1


def told(world):
    world.two_gateways()
    world.webhook_url("https://shop.example/hook")
    onetime(world)
    return next(t for t in world.queue.tasks if t.kind is TaskKind.NOTICE)


def test_a_delivery_is_claimed_with_a_lease_before_it_is_sent(world):
    task = told(world)
    seen = []

    class Looking(type(world.sender)):
        def post(self, *args):
            seen.append(world.store.load(Ref(Notice, task.parts)))
            notifying.deliver(world.deps, *task.parts)
            return DeliveryResult(delivered=True, text="HTTP 200")

    world.deps = replace(world.deps, sender=Looking())
    notifying.deliver(world.deps, *task.parts)
    assert [(n.tries, n.due_at) for n in seen] == [(1, world.clock.now() + notifying.LEASE)]


def test_a_url_that_has_become_private_is_not_called(world):
    task = told(world)

    class Refusing(type(world.sender)):
        def refuse_url(self, url):
            return "private"

    sender = Refusing()
    notifying.deliver(replace(world.deps, sender=sender), *task.parts)
    assert not sender.sent
    assert world.store.load(Ref(Notice, task.parts)).last_result == "private"


def test_a_notice_whose_last_worker_died_is_given_up(world, caplog):
    task = told(world)
    notice = world.store.load(Ref(Notice, task.parts))
    world.store.commit(replace(notice, tries=len(notifying.PAUSES) + 1))
    notifying.deliver(world.deps, *task.parts)
    after = world.store.load(Ref(Notice, task.parts))
    assert (after.state, after.due_at) == (NoticeState.DEAD, None)
    assert not world.sender.sent
    assert any(getattr(r, "needs_a_person", False) for r in caplog.records)
