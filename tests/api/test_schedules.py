"""Reserved payments: booked all or none, run once at their second, routed then, reported to the merchant."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.orders import Booking, Order
from chalicelib.ports import Deleted, Ref, TaskKind
from chalicelib.usecases import schedules, timer
from tests.support.api import CARD


@pytest.fixture
def group(world, api):
    group = world.two_gateways()
    api.post("/subscribe/customers/customer-1", CARD, customer_name="홍길동", customer_email="gildong@gmail.com")
    return group


def at(world, **kwargs):
    return int((world.clock.now() + timedelta(**kwargs)).timestamp())


def entries(world, count=1, prefix="m", **when):
    when = when or {"days": 1}
    return [
        {"merchant_uid": f"{prefix}{n}", "schedule_at": at(world, **when), "amount": 8900, "name": "정기결제"}
        for n in range(count)
    ]


def book(api, items, customer_uid="customer-1", **more):
    return api.post("/subscribe/payments/schedule", customer_uid=customer_uid, schedules=items, **more)


def test_booking_answers_the_schedules(api, world, group):
    status, body = book(api, entries(world, 2))
    assert (status, body["code"]) == (200, 0)
    first = body["response"][0]
    assert first["schedule_status"] == "scheduled"
    assert first["payment_status"] is None
    assert first["imp_uid"] is None
    assert (first["executed_at"], first["revoked_at"]) == (0, 0)
    assert (first["amount"], first["currency"]) == (8900, "KRW")
    assert api.get("/subscribe/payments/schedule/m1")[1]["response"]["merchant_uid"] == "m1"
    status, body = api.get("/subscribe/payments/schedule/m2")
    assert (status, body["response"]) == (404, None)


def test_it_runs_at_its_second_and_tells_the_merchant(api, world, group):
    item = entries(world, seconds=3)[0] | {"notice_url": "https://shop.example/hook"}
    book(api, [item])
    (task,) = world.queue.tasks
    assert task.due_at.timestamp() == item["schedule_at"]
    world.clock.advance(seconds=2.5)
    assert world.run_queue() == 0
    assert not world.captured()
    world.clock.advance(seconds=0.5)
    world.run_queue()
    assert len(world.captured()) == 1
    schedule = api.get("/subscribe/payments/schedule/m0")[1]["response"]
    assert (schedule["schedule_status"], schedule["payment_status"]) == ("executed", "paid")
    assert schedule["executed_at"] == item["schedule_at"]
    payment = api.get(f"/payments/{schedule['imp_uid']}")[1]["response"]
    assert (payment["merchant_uid"], payment["customer_uid_usage"]) == ("m0", "payment.scheduled")
    assert payment["buyer_name"] == "홍길동"
    assert schedule["pg_provider"] == payment["pg_provider"]
    (sent,) = world.sender.sent
    assert sent[0] == "https://shop.example/hook"
    assert json.loads(sent[1]) == {"imp_uid": payment["imp_uid"], "merchant_uid": "m0", "status": "paid"}


def test_a_task_that_comes_a_little_early_is_waited_for(api, world, group):
    book(api, entries(world, seconds=3))
    world.clock.advance(seconds=2.2)
    (task,) = world.queue.tasks
    timer.work(world.deps, task)
    assert world.clock.slept == [pytest.approx(0.8)]
    assert len(world.captured()) == 1


def test_delivered_many_times_it_is_charged_once(api, world, group):
    from concurrent.futures import ThreadPoolExecutor

    book(api, entries(world, seconds=3))
    (task,) = world.queue.tasks
    world.clock.advance(seconds=3)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: timer.work(world.deps, task), range(8)))
    assert len(world.captured()) == 1
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["payment_status"] == "paid"


def test_booked_far_ahead_it_is_found_by_the_sweep(api, world, group):
    book(api, entries(world, 3, days=40))
    assert not world.queue.tasks
    world.clock.advance(days=39)
    assert world.sweep() == 0
    world.clock.advance(hours=23, minutes=55)
    assert world.sweep() == 3
    assert not world.run_queue()
    world.clock.advance(minutes=5)
    world.run_queue()
    assert len(world.captured()) == 3


def test_a_lost_message_is_made_good_by_the_sweep(api, world, group):
    book(api, entries(world, seconds=3))
    world.queue.tasks.clear()
    world.clock.advance(seconds=60)
    world.sweep()
    world.run_queue()
    assert len(world.captured()) == 1


def test_with_the_queue_down_booking_stands(api, world, group):
    world.queue.fails = True
    assert book(api, entries(world, seconds=30))[1]["code"] == 0
    world.queue.fails = False
    world.clock.advance(seconds=60)
    world.sweep()
    world.run_queue()
    assert len(world.captured()) == 1


def test_it_is_routed_by_the_group_in_force_when_it_runs(api, world, group):
    from chalicelib.domain.groups import Failover, GroupEntry
    from chalicelib.usecases import groups

    book(api, entries(world, 5, hours=3))
    toss, nice = world.channels["tosspayments"], world.channels["nice_v2"]
    entries_now = (GroupEntry(toss, 100, enabled=False), GroupEntry(nice, 0))
    hour = world.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    groups.update(
        world.deps, world.admin, group.group_id, groups.GroupContent("default", Failover.OFF, entries_now, hour)
    )
    world.clock.advance(hours=3)
    world.sweep()
    world.run_queue()
    assert len(world.captured("nice_v2")) == 5
    assert not world.captured("tosspayments")


def test_a_failure_is_reported_too(api, world, group):
    world.webhook_url("https://shop.example/hook")
    api.post("/subscribe/customers/poor", {**CARD, "card_number": "4000-0000-0000-0009"})
    book(api, entries(world, seconds=5), "poor")
    world.clock.advance(seconds=5)
    world.run_queue()
    schedule = api.get("/subscribe/payments/schedule/m0")[1]["response"]
    assert (schedule["schedule_status"], schedule["payment_status"]) == ("executed", "failed")
    assert schedule["fail_reason"]
    assert json.loads(world.sender.sent[0][1])["status"] == "failed"


def test_a_deleted_key_fails_the_payment_and_says_so(api, world, group):
    world.webhook_url("https://shop.example/hook")
    book(api, entries(world, seconds=5))
    api.delete("/subscribe/customers/customer-1")
    world.clock.advance(seconds=5)
    world.run_queue()
    schedule = api.get("/subscribe/payments/schedule/m0")[1]["response"]
    assert (schedule["payment_status"], schedule["fail_reason"]) == ("failed", "등록되지 않은 구매자입니다.")
    payment = api.get(f"/payments/{schedule['imp_uid']}")[1]["response"]
    assert (payment["status"], payment["pg_provider"]) == ("failed", None)
    assert json.loads(world.sender.sent[0][1])["imp_uid"] == payment["imp_uid"]


def test_an_unknown_outcome_is_settled_and_reported(api, world, group):
    world.webhook_url("https://shop.example/hook")
    book(api, entries(world, seconds=5))
    for box in world.sandboxes.values():
        box.fail("charge", "reply_lost")
    world.clock.advance(seconds=5)
    world.run_queue()
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["payment_status"] is None
    world.run_to_quiet()
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["payment_status"] == "paid"
    assert len(world.captured()) == 1
    assert [json.loads(body)["status"] for _, body, _ in world.sender.sent] == ["paid"]


def test_unschedule_by_merchant_uid_by_customer_and_nothing_left(api, world, group):
    book(api, entries(world, 4))
    _, body = api.post("/subscribe/payments/unschedule", customer_uid="customer-1", merchant_uid=["m0"])
    assert [s["merchant_uid"] for s in body["response"]] == ["m0"]
    assert body["response"][0]["schedule_status"] == "revoked"
    assert body["response"][0]["revoked_at"] > 0
    _, body = api.post("/subscribe/payments/unschedule", merchant_uid="m1")
    assert [s["merchant_uid"] for s in body["response"]] == ["m1"]
    assert api.post("/subscribe/payments/unschedule", customer_uid="stranger", merchant_uid=["m2"])[1]["code"] == 1
    _, body = api.post("/subscribe/payments/unschedule", customer_uid="customer-1")
    assert {s["merchant_uid"] for s in body["response"]} == {"m2", "m3"}
    status, body = api.post("/subscribe/payments/unschedule", customer_uid="customer-1")
    assert (status, body["code"]) == (200, 1)
    assert "취소할 예약결제 기록이 존재하지 않습니다." in body["message"]
    world.clock.advance(days=2)
    world.sweep()
    world.run_queue()
    assert not world.captured()


def test_a_revoked_merchant_uid_can_be_booked_again(api, world, group):
    book(api, entries(world))
    api.post("/subscribe/payments/unschedule", merchant_uid="m0")
    assert book(api, entries(world))[1]["code"] == 0


@pytest.mark.parametrize("count", [2, 120])
def test_all_or_none(api, world, group, count):
    api.post("/subscribe/payments/onetime", CARD, merchant_uid=f"m{count - 1}", amount=1000)
    before = world.store.texts()
    status, body = book(api, entries(world, count))
    assert (status, body["code"], body["response"]) == (200, 1, None)
    assert f"m{count - 1}" in body["message"]
    assert world.store.texts() == before
    assert book(api, entries(world, count - 1))[1]["code"] == 0


def test_a_failed_merchant_uid_can_be_booked(api, world, group):
    api.post("/subscribe/payments/onetime", {**CARD, "card_number": "4000-0000-0000-0002"}, merchant_uid="m0", amount=1)
    assert book(api, entries(world, 3, seconds=5))[1]["code"] == 0
    world.clock.advance(seconds=5)
    world.run_queue()
    assert len(world.captured()) == 3


def test_a_reserved_merchant_uid_cannot_be_charged_or_booked(api, world, group):
    book(api, entries(world))
    assert book(api, entries(world))[1]["code"] == 1
    _, body = api.post("/subscribe/payments/onetime", CARD, merchant_uid="m0", amount=1000)
    assert body["code"] == 1
    assert "merchant_uid" in body["message"]


@pytest.mark.parametrize(("count", "calls"), [(1, 2), (50, 2), (51, 3), (100, 3), (101, 4), (500, 11)])
def test_round_trips(api, world, group, count, calls):
    world.store.calls.clear()
    assert book(api, entries(world, count))[1]["code"] == 0
    assert len(world.store.calls) == calls


def test_entries_of_an_unfinished_booking_do_not_count(api, world, group):
    """The process dies between two transactions of one call: nothing of it may ever be charged."""

    class Dying:
        def __init__(self, inner):
            self.inner, self.left = inner, 2

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def commit(self, *changes):
            if self.left == 0:
                raise SystemExit("killed")
            self.left -= 1
            return self.inner.commit(*changes)

    items = [
        schedules.Entry(replace_request(world, f"m{n}"), world.clock.now() + timedelta(seconds=30)) for n in range(150)
    ]
    with pytest.raises(SystemExit):
        schedules.book(replace(world.deps, store=Dying(world.store)), world.merchant_id, "customer-1", items)
    assert api.get("/subscribe/payments/schedule/m0")[0] == 404
    assert api.post("/subscribe/payments/unschedule", customer_uid="customer-1")[1]["code"] == 1
    world.clock.advance(seconds=50)
    world.sweep()
    world.run_queue()
    assert not world.captured()
    world.run_to_quiet()
    assert not [k for k in world.store.items if "#order#" in k[0] or "#booking#" in k[0]]
    assert book(api, entries(world, 150))[1]["code"] == 0


def replace_request(world, uid):
    from tests.support.world import request

    return request(uid)


def test_a_large_booking_runs_every_entry_once(api, world, group):
    assert book(api, entries(world, 60, seconds=20))[1]["code"] == 0
    assert not world.store.load(Ref(Booking, (world.merchant_id, "x")))
    world.clock.advance(seconds=20)
    world.run_queue()
    assert len(world.captured()) == 60


def test_aborting_races_with_finishing(api, world, group):
    """Whichever comes first wins as a whole."""
    now = world.clock.now()
    booking = Booking(world.merchant_id, "b1", ("m0",), now)
    (booking,) = world.store.commit(booking)
    schedules.abort_booking(world.deps, world.merchant_id, "b1")
    from chalicelib.ports import Conflict

    with pytest.raises(Conflict):
        world.store.commit(Order(world.merchant_id, "m0"), Deleted(booking))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schedule_at": 1}, "schedules[0].schedule_at"),
        ({"schedule_at": 1893456000000}, "schedules[0].schedule_at"),
        ({"schedule_at": "soon"}, "schedules[0].schedule_at"),
        ({"schedule_at": None}, "schedules[0].schedule_at"),
        ({"amount": 0}, "schedules[0].amount"),
        ({"amount": 0.5}, "schedules[0].amount"),
        ({"amount": -1}, "schedules[0].amount"),
        ({"amount": 10**15}, "schedules[0].amount"),
        ({"merchant_uid": ""}, "schedules[0].merchant_uid"),
        ({"merchant_uid": "x" * 41}, "schedules[0].merchant_uid"),
        ({"currency": "XXX"}, "schedules[0].currency"),
        ({"notice_url": "ftp://x"}, "schedules[0].notice_url"),
    ],
)
def test_a_bad_entry_is_named_and_nothing_is_stored(api, world, group, change, field):
    before = world.store.texts()
    status, body = book(api, [entries(world)[0] | change, entries(world, prefix="n")[0]])
    assert (status, body["code"], body["field"]) == (400, -1, field)
    assert field in body["message"]
    assert world.store.texts() == before


def test_duplicates_and_counts_and_strangers(api, world, group):
    assert book(api, [])[0] == 400
    assert "schedules[1].merchant_uid" in book(api, entries(world) * 2)[1]["message"]
    assert book(api, entries(world, 1001))[0] == 400
    _, body = book(api, entries(world), "stranger")
    assert (body["code"], "등록된 고객정보가 없습니다." in body["message"]) == (1, True)
    assert book(api, entries(world), channel_key="channel-key-x")[1]["code"] == 1


def test_card_data_with_schedule_issues_the_key_first(api, world, group):
    _, body = book(api, entries(world), "new-customer", **CARD)
    assert body["code"] == 0
    assert api.get("/subscribe/customers/new-customer")[1]["code"] == 0


def test_tasks_carry_pointers_only(api, world, group):
    book(api, entries(world, seconds=5))
    from chalicelib.storage.queue import from_message, to_message

    (task,) = world.queue.tasks
    assert from_message(to_message(task)) == task
    assert task.kind is TaskKind.SCHEDULE
    assert "8900" not in to_message(task)


def test_a_payment_that_no_channel_could_take_cannot_be_cancelled(api, world, group):
    book(api, entries(world, seconds=5))
    api.delete("/subscribe/customers/customer-1")
    world.clock.advance(seconds=5)
    world.run_queue()
    status, body = api.post("/payments/cancel", merchant_uid="m0")
    assert (status, body["code"], body["response"]) == (200, 1, None)


def test_a_refused_booking_takes_the_key_along_that_it_issued(api, world):
    """Or the next try, with another card, would find the first card's key and book on that."""
    world.two_gateways()
    at = int(world.clock.now().timestamp()) + 3600

    def book(merchant_uid, card_number):
        entry = {"merchant_uid": merchant_uid, "schedule_at": at, "amount": 1000, "name": "x"}
        fields = {**CARD, "card_number": card_number, "schedules": [entry]}
        return api.post("/subscribe/payments/schedule", customer_uid="new", **fields)[1]["code"]

    api.post("/subscribe/payments/onetime", merchant_uid="taken", amount=1000, name="x", **CARD)
    assert book("taken", "4242-4242-4242-4242") == 1
    assert api.get("/subscribe/customers/new")[1]["code"] == 1
    assert book("free", "5361-4800-0000-5671") == 0
    shown = api.get("/subscribe/customers/new")[1]["response"]["succeededChannels"]
    assert {channel["card_number"][:6] for channel in shown} == {"536148"}
    assert book("taken", "4242-4242-4242-4242") == 1
    assert api.get("/subscribe/customers/new")[1]["code"] == 0


@pytest.mark.parametrize("entry", [{"currency": "USD", "amount": 10}, {"amount": 50}])
def test_what_no_channel_could_ever_charge_is_not_booked(api, world, entry):
    """Or it would be known at its time only, when nobody is there to mend it."""
    world.two_gateways()
    api.post("/subscribe/customers/c1", **CARD)
    at = int(world.clock.now().timestamp()) + 3600
    fields = {"customer_uid": "c1", "schedules": [{"merchant_uid": "m1", "schedule_at": at, "name": "x", **entry}]}
    status, body = api.post("/subscribe/payments/schedule", fields)
    assert (status, body["code"], body["response"]) == (200, 1, None)
    assert api.get("/subscribe/payments/schedule/m1")[0] == 404


def test_a_key_whose_group_is_gone_is_not_booked_on(api, world):
    group = world.two_gateways(default=False)
    api.post("/subscribe/customers/c1", channelGroupId=group.group_id, **CARD)
    at = int(world.clock.now().timestamp()) + 3600
    fields = {"customer_uid": "c1", "schedules": [{"merchant_uid": "m1", "schedule_at": at, "amount": 1000}]}
    api.admin_token = world.merchant.admin_token
    assert api.delete(f"/admin/channel-groups/{group.group_id}")[0] == 200
    assert "채널 그룹이 삭제" in api.post("/subscribe/payments/schedule", fields)[1]["message"]
