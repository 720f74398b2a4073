"""The guards of the money path, one by one: each test fails if a single condition is taken away."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Cancelled, Declined, GatewayCancel, NotSent, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import Refused, TryAgain
from chalicelib.domain.money import Money
from chalicelib.domain.notices import Notice, NoticeState
from chalicelib.domain.orders import Booking, Order, Schedule, ScheduleState
from chalicelib.domain.payments import CancelState, Payment, State, fail_unsent, finish_cancel
from chalicelib.ports import QueueUnavailable, Ref, StoreUnavailable, Task, TaskKind
from chalicelib.usecases import billing_keys, cancels, charges, merchants, notifying, schedules, settling, timer
from chalicelib.usecases.choosing import Target
from tests.support.api import CARD as API_CARD
from tests.support.recovery import Dying, at, balance, book, late, meddle, onetime, stored
from tests.support.world import CARD, STOLEN, World, request

NO = Declined(DeclineReason.INVALID_REQUEST, "X", "취소할 수 없습니다.")


def payment_of(world, uid="order-1"):
    order = world.store.load(Ref(Order, (world.merchant_id, uid)))
    return world.store.load(Ref(Payment, (world.merchant_id, order.imp_uids[-1])))


def settle(world, payment):
    settling.settle(world.deps, world.merchant_id, payment.imp_uid)


def cancel(world, payment, **wanted):
    return cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid, **wanted))


def claim_and_die(world):
    with pytest.raises(SystemExit):
        charges.charge_card(
            replace(world.deps, store=Dying(world.store, 1)), world.merchant_id, request("order-1"), CARD, Target()
        )
    return payment_of(world)


# --- a charge ----------------------------------------------------------------------------------------------------


def test_the_claim_outlives_its_owners_time(world, gateway):
    seen = []

    def charge(inner, *args):
        seen.append(payment_of(world))
        return inner.charge_card(*args)

    meddle(world, charge_card=charge)
    onetime(world)
    timing = world.deps.timing
    assert seen[0].due_at == world.clock.now() + timing.request_budget + timing.lease_margin


def test_another_channel_gets_the_time_that_is_left(world):
    world.two_gateways((100, 0), failover="unsent")
    given = []

    def charge(inner, order_id, asked, card, timeout):
        given.append(timeout)
        if len(given) == 1:
            world.clock.advance(seconds=10)
            return NotSent("refused")
        return inner.charge_card(order_id, asked, card, timeout)

    meddle(world, charge_card=charge)
    assert onetime(world).state is State.PAID
    assert given == [pytest.approx(25), pytest.approx(15)]


def test_no_other_channel_is_tried_without_time_for_it(world):
    world.two_gateways((100, 0), failover="unsent")

    def charge(*_args):
        world.clock.advance(seconds=18)
        return NotSent("refused")

    meddle(world, charge_card=charge)
    payment = onetime(world)
    assert (payment.state, len(payment.attempts)) == (State.FAILED, 1)


def test_approved_after_it_was_settled_as_failed_calls_a_person(world, gateway, caplog):
    def charge(inner, *args):
        result = inner.charge_card(*args)
        world.store.commit(fail_unsent(payment_of(world), "not charged", world.clock.now()))
        return result

    meddle(world, charge_card=charge)
    assert onetime(world).state is State.FAILED
    assert any(getattr(r, "needs_a_person", False) for r in caplog.records)


def test_a_schedule_that_is_revoked_while_it_starts_is_not_charged(world, api, key):
    book(api, world)
    world.clock.advance(seconds=5)

    class Revoking:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if isinstance(changes[0], Payment) and not world.revoked:
                world.revoked = schedules.revoke(world.deps, world.merchant_id, None, ["m0"])
            return world.store.commit(*changes)

    world.revoked = None
    (task,) = world.queue.tasks
    timer.work(replace(world.deps, store=Revoking()), task)
    assert not world.captured()
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["schedule_status"] == "revoked"


# --- settling ----------------------------------------------------------------------------------------------------


def test_nobody_looks_before_the_lease_is_over(world, gateway):
    asked = []

    def charge(inner, *args):
        settle(world, payment_of(world))
        return inner.charge_card(*args)

    def find(inner, *args):
        asked.append(1)
        return inner.find_charge(*args)

    meddle(world, charge_card=charge, find_charge=find)
    assert onetime(world).state is State.PAID
    assert not asked


def test_many_settlers_ask_once_and_their_look_has_a_lease(world, gateway):
    world.sandboxes[gateway].fail("charge", "reply_lost")
    payment = onetime(world)
    world.clock.advance(minutes=1)
    asked = []

    def find(inner, *args):
        asked.append(stored(world, payment).due_at)
        return inner.find_charge(*args)

    meddle(world, find_charge=find)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: settle(world, payment), range(8)))
    assert asked == [world.clock.now() + settling.LEASE]
    assert stored(world, payment).state is State.PAID


def test_the_settling_delay_of_a_dead_owner_counts_from_the_end_of_its_lease(world, gateway):
    payment = claim_and_die(world)
    world.clock.set(payment.due_at)
    settle(world, payment)
    world.clock.set(payment.due_at + timedelta(seconds=599))
    settle(world, payment)
    assert stored(world, payment).state is State.CLAIMED
    world.clock.advance(minutes=2)
    settle(world, payment)
    assert stored(world, payment).state is State.FAILED


def test_an_approval_hours_late_is_given_back_too(world, gateway):
    real = world.deps
    late(world)
    payment = onetime(world)
    world.deps = real
    for _ in range(120):
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
    assert stored(world, payment).state is State.FAILED
    world.carry_out()
    world.run_to_quiet(hours=60)
    assert not world.captured()


def test_a_void_without_an_answer_is_repeated_under_its_own_id(world, gateway):
    world.sandboxes[gateway].fail("charge", "wrong_amount")
    onetime(world)
    ids = []

    def void(inner, asked, timeout):
        ids.append(asked.cancel_id)
        return Unknown("lost") if len(ids) < 3 else inner.cancel(asked, timeout)

    meddle(world, cancel=void)
    world.run_to_quiet()
    assert (len(ids), len(set(ids))) == (3, 1)
    assert not world.captured()


def test_live_payments_and_webhooks_are_never_hurried(sandboxes):
    world = World(sandboxes, scale=0.01)
    assert settling.scale(world.deps, Environment.LIVE) == 1.0
    assert settling.scale(world.deps, Environment.TEST) == 0.01
    now = world.clock.now()
    for environment, pause in ((Environment.LIVE, 30), (Environment.TEST, 0.3)):
        notice = Notice(
            world.merchant_id, f"wh_{environment}", "https://x.example/", environment, "imp_1", "m", "paid", now,
            due_at=now,
        )  # fmt: skip
        world.store.commit(notice)
        world.sender.replies = [(False, "HTTP 500")]
        notifying.deliver(world.deps, world.merchant_id, notice.notice_id)
        after = world.store.load(Ref(Notice, (world.merchant_id, notice.notice_id)))
        assert after.due_at == now + timedelta(seconds=pause)


def test_a_reserved_payment_that_was_sent_is_never_run_again(world, api, key):
    book(api, world)
    world.sandboxes[key].fail("charge", "http_500")
    world.clock.advance(seconds=5)
    world.run_to_quiet(hours=60)
    api.login(world.merchant)
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["payment_status"] == "failed"
    assert not world.captured()


def test_a_reserved_payment_whose_workers_keep_dying_is_given_up(world, api, key):
    book(api, world)
    world.clock.advance(seconds=5)
    for _ in range(settling.MAX_RUNS):
        task = next(t for t in world.queue.tasks if t.kind is TaskKind.SCHEDULE)  # handed over at once each time
        world.queue.tasks.clear()
        with pytest.raises(SystemExit):
            timer.work(replace(world.deps, store=Dying(world.store, 1)), task)
        payment = payment_of(world, "m0")
        world.clock.set(payment.due_at)
        settle(world, payment)
        world.clock.advance(minutes=11)
        settle(world, payment)
        assert stored(world, payment).state is State.FAILED
    world.run_to_quiet(hours=60)
    order = world.store.load(Ref(Order, (world.merchant_id, "m0")))
    assert len(order.imp_uids) == settling.MAX_RUNS
    assert (order.schedule.state, order.schedule.payment_status) == (ScheduleState.EXECUTED, "failed")
    assert not world.captured()


# --- cancels -----------------------------------------------------------------------------------------------------


def test_a_cancel_is_on_record_before_it_is_sent(world, gateway):
    payment = onetime(world)
    seen = []

    def send(inner, asked, timeout):
        seen.append(stored(world, payment))
        return inner.cancel(asked, timeout)

    meddle(world, cancel=send)
    cancel(world, payment, amount=Decimal(3000))
    timing = world.deps.timing
    assert seen[0].open_cancel.amount == Money(3000)
    assert seen[0].due_at == world.clock.now() + timing.request_budget + timing.lease_margin


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_process_that_dies_over_a_cancel_is_made_good(world, gateway, carried_out):
    payment = onetime(world)

    def die(inner, asked, timeout):
        if carried_out:
            inner.cancel(asked, timeout)
        raise SystemExit("killed")

    real = world.deps
    meddle(world, cancel=die)
    with pytest.raises(SystemExit):
        cancel(world, payment, amount=Decimal(3000))
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).cancels[0].state is CancelState.DONE
    assert stored(world, payment).balance.amount == balance(world) == 5900


def test_an_adapter_that_breaks_over_a_cancel_leaves_it_open(world, gateway):
    payment = onetime(world)

    def broken(inner, asked, timeout):
        inner.cancel(asked, timeout)
        raise RuntimeError("a bug")

    real = world.deps
    meddle(world, cancel=broken)
    with pytest.raises(TryAgain):
        cancel(world, payment, amount=Decimal(3000))
    assert stored(world, payment).open_cancel
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).balance.amount == balance(world) == 5900


def test_a_cancel_whose_result_cannot_be_stored_is_being_confirmed(world, gateway):
    payment = onetime(world)

    class Failing(Dying):
        def commit(self, *changes):
            self._left -= 1
            if not self._left:
                raise StoreUnavailable("down")
            return self._inner.commit(*changes)

    real = world.deps
    world.deps = replace(real, store=Failing(world.store, 2))
    with pytest.raises(TryAgain, match="being confirmed"):
        cancel(world, payment)
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).balance.amount == balance(world) == 0


def test_the_checksum_is_compared_again_if_another_cancel_was_faster(world, gateway):
    payment = onetime(world)

    class Overtaken:
        done = False

        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if not self.done:
                self.done = True
                cancel(world, payment, amount=Decimal(3000))
            return world.store.commit(*changes)

    wanted = cancels.Cancel(imp_uid=payment.imp_uid, amount=Decimal(1000), checksum=Decimal(8900))
    with pytest.raises(Refused, match="checksum"):
        cancels.cancel(replace(world.deps, store=Overtaken()), world.merchant_id, wanted)
    assert stored(world, payment).balance.amount == balance(world) == 5900


def test_cancel_by_merchant_uid_means_the_last_payment(world, gateway):
    from tests.support.world import STOLEN

    charges.charge_card(world.deps, world.merchant_id, request("order-1"), STOLEN, Target())
    paid = onetime(world)
    done = cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(merchant_uid="order-1"))
    assert (done.imp_uid, balance(world)) == (paid.imp_uid, 0)


def test_a_cancel_at_the_gateways_console_is_not_taken_for_ours(world, gateway, caplog):
    payment = onetime(world)
    world.sandboxes[gateway].fail("cancel", "http_500")
    with pytest.raises(TryAgain):
        cancel(world, payment, amount=Decimal(3000))
    console = GatewayCancel("tid-of-console", Money(1000), world.clock.now())

    def find(inner, *args):
        return replace(inner.find_charge(*args), balance=Money(7900), cancels=(console,))

    meddle(world, find_charge=find, cancel=lambda *_: pytest.fail("sent again"))
    world.clock.advance(minutes=1)
    settle(world, payment)
    after = stored(world, payment)
    assert after.open_cancel
    assert after.alarm
    assert any(getattr(r, "needs_a_person", False) for r in caplog.records)


def test_a_no_to_a_repeated_cancel_counts_only_after_the_delay(world, gateway):
    """Also if the charge itself had been unknown once: the cancel's delay is its own, and so are its questions."""
    world.sandboxes[gateway].fail("charge", "reply_lost")
    payment = onetime(world)
    real = world.deps
    meddle(world, find_charge=lambda *_: Unknown("busy"))
    world.clock.advance(minutes=1)
    settle(world, payment)
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).state is State.PAID
    world.clock.advance(days=1)
    with pytest.raises(SystemExit):
        cancels.cancel(
            replace(world.deps, store=Dying(world.store, 1)), world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid)
        )
    meddle(world, cancel=lambda *_: NO)
    claimed = stored(world, payment)
    assert claimed.checks == 0
    world.clock.set(claimed.due_at)
    settle(world, payment)
    assert stored(world, payment).open_cancel
    world.clock.advance(minutes=9)
    settle(world, payment)
    assert stored(world, payment).open_cancel
    world.run_to_quiet()
    assert stored(world, payment).cancels[0].state is CancelState.FAILED


def test_what_is_not_under_way_cannot_be_finished_and_nothing_is_sent_without_a_reference(world, gateway):
    payment = onetime(world)
    done = cancel(world, payment, amount=Decimal(1000))
    result = Cancelled(GatewayCancel("tid", Money(1000), world.clock.now()))
    with pytest.raises(ValueError, match="not under way"):
        finish_cancel(done, done.cancels[0].cancel_id, result, world.clock.now())
    with pytest.raises(ValueError, match="no gateway reference"):
        settling.cancel_request(replace(done, gateway_ref=None), done.cancels[0])


def test_a_refused_cancel_is_not_shown_as_one(world, api, gateway):
    payment = onetime(world)
    real = world.deps
    meddle(world, cancel=lambda *_: NO)
    with pytest.raises(Refused):
        cancel(world, payment)
    world.deps = real
    shown = api.get(f"/payments/{payment.imp_uid}")[1]["response"]
    assert (shown["status"], shown["cancel_history"], shown["cancel_reason"]) == ("paid", [], None)


# --- bookings ----------------------------------------------------------------------------------------------------


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


# --- webhooks ----------------------------------------------------------------------------------------------------


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
            return True, "HTTP 200"

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


# --- routing, configuration, edges -------------------------------------------------------------------------------


def test_a_change_after_a_reserved_hour_builds_on_what_is_in_force(world):
    from chalicelib.domain.errors import NotFound
    from chalicelib.domain.groups import Failover, GroupEntry
    from chalicelib.usecases import groups

    toss = world.channel("tosspayments")
    group = world.group([(toss, 100)])
    hour = world.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    content = groups.GroupContent("reserved", Failover.OFF, (GroupEntry(toss, 100),), hour)
    groups.update(world.deps, world.admin, group.group_id, content)
    world.clock.advance(hours=2)
    with pytest.raises(NotFound):
        groups.drop_reservation(world.deps, world.admin, group.group_id)
    saved = groups.update(world.deps, world.admin, group.group_id, replace(content, name="now", begin_at=None))
    assert saved.at(world.clock.now()).name == "now"
    assert saved.reserved is None


def test_a_deleted_default_group_is_no_default(world):
    from chalicelib.usecases import groups

    group = world.two_gateways()
    groups.delete(world.deps, world.admin, group.group_id)
    assert merchants.settings(world.deps, world.merchant_id).default is None
    with pytest.raises(Refused, match="channelGroupId"):
        onetime(world)


def test_pg_is_looked_up_where_the_default_lives(world):
    world.channel("tosspayments", "live one", environment="live")
    world.clock.advance(seconds=1)
    test = world.channel("tosspayments", "test one")
    world.group([(test, 100)])
    payment = charges.charge_card(world.deps, world.merchant_id, request("o"), CARD, Target(pg="tosspayments"))
    assert (payment.environment, payment.attempt.channel_key) == (Environment.TEST, test)


def test_a_channel_named_outright_must_be_able_to_take_the_charge(world):
    nice = world.channel("nice_v2")
    with pytest.raises(Refused, match="amount"):
        charges.charge_card(world.deps, world.merchant_id, request("o", 999), CARD, Target(channel_key=nice))
    assert not world.sandboxes["nice_v2"].transactions()


def test_tasks_that_sqs_did_not_take_are_an_error(world):
    from chalicelib.storage.queue import SqsQueue

    class Sqs:
        def send_message_batch(self, QueueUrl, Entries):
            return {"Failed": [{"Id": "0", "Code": "InternalError"}]}

    queue = SqsQueue(Sqs, dict.fromkeys(TaskKind, "u"))
    with pytest.raises(QueueUnavailable, match="InternalError"):
        queue.put([Task(TaskKind.NOTICE, ("a", "b"), world.clock.now())], world.clock.now())


def test_a_form_that_names_a_field_twice_is_refused(world, api):
    body = b"merchant_uid=o1&amount=1000&amount=9000"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer = api.send("POST", "/subscribe/payments/onetime", body, kind)
    assert (status, answer["code"], answer["field"]) == (400, -1, "amount")


def test_an_unexpected_error_tells_nothing_of_itself(world, api, monkeypatch):
    def broken(*_args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(world.store), "load", broken)
    status, body = api.get("/payments/imp_000000000000")
    assert (status, body["code"]) == (500, -1)
    assert "secret detail" not in json.dumps(body)


def issue(world, uid="c", **target):
    return billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(uid, CARD, Target(**target)))


def test_an_ordinary_key_is_charged_at_its_own_channel_only(world):
    group = world.two_gateways()
    toss, nice = world.channels["tosspayments"], world.channels["nice_v2"]
    issue(world, channel_key=toss)
    with pytest.raises(Refused, match="not this key's channel"):
        charges.charge_key(world.deps, world.merchant_id, "c", request("o"), Target(channel_key=nice))
    key = issue(world, "d", group_id=group.group_id, channel_key=nice)
    assert list(key.channels) == [nice]


def test_each_channel_is_asked_for_a_key_under_an_id_of_its_own(world):
    world.two_gateways()
    ids = []

    def ask(inner, asked, *args):
        ids.append(asked.order_id)
        return inner.issue_billing_key(asked, *args)

    meddle(world, issue_billing_key=ask)
    issue(world)
    assert len(set(ids)) == 2


def test_of_two_issues_at_once_the_last_card_wins(world):
    world.two_gateways()

    class Overtaken:
        done = False

        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if not self.done:
                self.done = True
                issue(world)
            return world.store.commit(*changes)

    real = world.deps
    wanted = billing_keys.Issue("c", CARD, Target(), customer_id="second")
    billing_keys.issue(replace(real, store=Overtaken()), world.merchant_id, wanted)
    assert billing_keys.find(real, world.merchant_id, "c").customer_id == "second"


def test_a_sealed_key_copied_to_another_customer_does_not_open(world):
    from cryptography.exceptions import InvalidTag

    from chalicelib.domain.merchants import Routing
    from chalicelib.usecases import vault

    world.two_gateways()
    key = issue(world)
    routing = world.store.load(Ref(Routing, (world.merchant_id,)))
    channel_key = key.first.channel_key
    assert vault.open_key(world.deps, routing, key, channel_key)
    with pytest.raises(InvalidTag):
        vault.open_key(world.deps, routing, replace(key, customer_uid="other"), channel_key)
    first, second = routing.channels.values()
    swapped = replace(first, sealed_credentials=second.sealed_credentials)
    with pytest.raises(InvalidTag):
        vault.open_gateway(world.deps, replace(routing, channels={first.channel_key: swapped}), first.channel_key)


def test_a_merchant_uid_wears_out():
    from chalicelib.domain.orders import MAX_TRIES

    Order("m", "o", ("imp_1",) * (MAX_TRIES - 1)).check_free()
    with pytest.raises(Refused, match="too many tries"):
        Order("m", "o", ("imp_1",) * MAX_TRIES).check_free()


def test_an_amount_just_too_large_in_minor_units():
    from chalicelib.domain.errors import InvalidRequest
    from chalicelib.domain.money import MAX_MINOR_UNITS, parse_money

    assert parse_money(Decimal(MAX_MINOR_UNITS).scaleb(-2), "USD").amount == MAX_MINOR_UNITS
    with pytest.raises(InvalidRequest):
        parse_money(Decimal(MAX_MINOR_UNITS + 1).scaleb(-2), "USD")


def test_a_card_is_good_until_the_end_of_its_month(world, api):
    world.two_gateways()
    now = world.clock.now()
    for n, (expiry, code) in enumerate([(f"{now:%Y-%m}", 0), (f"{now - timedelta(days=31):%Y-%m}", -1)]):
        _, body = api.post(
            "/subscribe/payments/onetime", API_CARD | {"expiry": expiry}, merchant_uid=f"o{n}", amount=8900
        )
        assert body["code"] == code, body


def test_gateways_get_what_is_left_of_the_callers_time(world):
    from chalicelib.api.endpoints import Call

    call = Call(world.deps, "m", {}, {}, {}, None, started=world.clock.monotonic())
    world.clock.advance(seconds=4)
    assert call.budget() == timedelta(seconds=21)


@pytest.mark.parametrize("path", ["/payments/a%00b", "/payments/a%ffb", "/subscribe/customers/a%00b"])
def test_nul_and_broken_characters_in_a_path(api, world, path):
    assert api.get(path)[0] == 400


def test_an_absurd_number_is_refused_before_it_is_computed():
    from chalicelib.api.body import read_body
    from chalicelib.domain.errors import InvalidRequest

    with pytest.raises(InvalidRequest):
        read_body(b'{"amount": ' + b"9" * 41 + b"}", "application/json")


def test_reads_are_consistent_and_what_was_left_unread_is_asked_again():
    from chalicelib.storage.items import to_item
    from chalicelib.storage.table import DynamoStore

    order = Order("m", "o1", ("imp_1",))
    item = to_item(order, 3)

    class Client:
        def __init__(self):
            self.asked = []

        def get_item(self, **asked):
            self.asked.append(asked)
            return {"Item": item}

        def batch_get_item(self, RequestItems):
            self.asked.append(RequestItems["t"])
            if len(self.asked) == 2:
                return {"Responses": {}, "UnprocessedKeys": {"t": {"Keys": RequestItems["t"]["Keys"]}}}
            return {"Responses": {"t": [item]}}

    client = Client()
    store = DynamoStore(client, "t")
    assert store.load(Ref(Order, ("m", "o1"))).version == 3
    assert [o.version for o in store.load_many([Ref(Order, ("m", "o1"))])] == [3]
    assert len(client.asked) == 3
    assert all(asked["ConsistentRead"] for asked in client.asked)


def test_the_sweep_looks_twenty_seconds_behind_its_watermark(world, api, key):
    """The index may trail the table: an item that came into it after the sweep had passed its place is still seen."""
    world.sweep()
    due = world.clock.now() + world.deps.timing.horizon - timedelta(seconds=15)
    entry = {"merchant_uid": "m0", "schedule_at": int(due.timestamp()), "amount": 8900, "name": "n"}
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=[entry])
    world.queue.tasks.clear()
    world.clock.advance(seconds=60)
    assert world.sweep() == 1


def test_not_found_counts_after_the_whole_delay_of_a_cancel_too(world, gateway):
    payment = onetime(world)
    world.sandboxes[gateway].fail("cancel", "http_500")
    with pytest.raises(TryAgain):
        cancel(world, payment)
    meddle(world, cancel=lambda *_: NO)
    world.clock.advance(seconds=590)
    settle(world, payment)
    assert stored(world, payment).open_cancel


def test_a_token_is_extended_for_a_day_at_most(world):
    from chalicelib.usecases import tokens

    secret = (world.merchant.imp_key, world.merchant.imp_secret)
    first = tokens.issue(world.deps, *secret)
    extended = first
    while extended.token == first.token:
        assert tokens.check(world.deps, extended.token)
        world.clock.set(extended.expires_at - timedelta(seconds=30))
        extended = tokens.issue(world.deps, *secret)
        assert world.clock.now() - first.now < timedelta(hours=25)
    assert world.clock.now() - first.now > timedelta(hours=23)
    assert tokens.check(world.deps, extended.token) == world.merchant_id


def test_a_pinned_charge_goes_nowhere_else(world):
    group = world.two_gateways((100, 0), failover="declined")
    world.sandboxes["tosspayments"].fail("charge", "refuse")
    target = Target(group_id=group.group_id, channel_key=world.channels["tosspayments"])
    payment = charges.charge_card(world.deps, world.merchant_id, request("o"), CARD, target)
    assert (payment.state, len(payment.attempts)) == (State.FAILED, 1)
    assert not world.captured()


def test_webhooks_of_one_environment_never_go_to_the_others_url():
    from chalicelib.domain.merchants import WebhookSettings

    hooks = WebhookSettings("", live_url="https://live.example/", test_url="https://test.example/")
    assert hooks.url(Environment.LIVE) == "https://live.example/"
    assert hooks.url(Environment.TEST) == "https://test.example/"
    assert replace(hooks, test_url=None).url(Environment.TEST) is None


def test_a_failure_that_is_recorded_late_frees_no_order_of_a_newer_payment(world, gateway):
    """Else the merchant_uid of a paid payment could be charged again."""
    from chalicelib.domain.merchants import Routing
    from chalicelib.usecases.recording import record

    old = claim_and_die(world)
    order = world.store.load(Ref(Order, (world.merchant_id, "order-1")))
    (order,) = world.store.commit(order.release())
    paid = onetime(world)
    routing = world.store.load(Ref(Routing, (world.merchant_id,)))
    order = world.store.load(Ref(Order, (world.merchant_id, "order-1")))
    record(world.deps, routing, fail_unsent(old, "not charged", world.clock.now()), order)
    order = world.store.load(Ref(Order, (world.merchant_id, "order-1")))
    assert order.is_open
    assert order.imp_uids[-1] == paid.imp_uid


def test_what_falls_between_two_sweeps_is_handed_over_at_once(world, api, key):
    horizon = world.deps.timing.horizon.total_seconds()
    for n, (ahead, handed_over) in enumerate([(horizon + 110, 1), (horizon + 130, 0)]):
        world.queue.tasks.clear()
        entry = {"merchant_uid": f"m{n}", "schedule_at": at(world, seconds=ahead), "amount": 8900, "name": "n"}
        api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=[entry])
        assert len(world.queue.tasks) == handed_over


def test_a_look_that_comes_a_fraction_early_is_waited_for(world, gateway):
    world.sandboxes[gateway].fail("charge", "reply_lost")
    payment = onetime(world)
    (task,) = [t for t in world.queue.tasks if t.kind is TaskKind.PAYMENT]
    world.clock.set(task.due_at - timedelta(seconds=0.6))
    timer.work(world.deps, task)
    assert world.clock.slept == [pytest.approx(0.6)]
    assert stored(world, payment).state is State.PAID


def test_minute_by_minute_nothing_falls_between_two_sweeps(world, api, key):
    items = [
        {"merchant_uid": f"m{n}", "schedule_at": at(world, minutes=30, seconds=7 * n), "amount": 8900, "name": "n"}
        for n in range(9)
    ]
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=items)
    assert not world.queue.tasks
    for _ in range(25):  # until well before the first is due
        world.sweep()
        world.clock.advance(minutes=1)
    assert {task.parts[1] for task in world.queue.tasks} == {item["merchant_uid"] for item in items}


def test_standbys_are_drawn_evenly():
    from collections import Counter
    from random import Random

    from chalicelib.domain.routing import Candidate, Choices, draw

    choices = Choices(tuple(Candidate(k, "p", "m", 0) for k in "abc"), zero_allowed=True)
    rng = Random(7)
    drawn = Counter(draw(choices, rng, None).chosen for _ in range(3000))
    assert all(850 < drawn[k] < 1150 for k in "abc")


@pytest.mark.parametrize(("failover", "attempts"), [("off", 1), ("unsent", 1), ("declined", 2)])
def test_a_soft_decline_goes_elsewhere_only_where_the_group_says_so(world, failover, attempts):
    world.two_gateways((100, 0), failover=failover)
    no = Declined(DeclineReason.LIMIT_EXCEEDED, "X", "한도를 초과했습니다.")
    asked = []

    def charge(inner, order_id, *args):
        asked.append(order_id)
        return no if len(asked) == 1 else inner.charge_card(order_id, *args)

    meddle(world, charge_card=charge)
    payment = onetime(world)
    assert payment.state is (State.PAID if attempts == 2 else State.FAILED)
    assert len(asked) == len(payment.attempts) == attempts


def test_an_old_token_does_not_live_on_by_its_successor(api, world):
    old = api.token
    world.clock.advance(minutes=31)
    api.login(world.merchant)
    assert api.token != old
    assert api.get("/payments/imp_000000000000")[0] == 404
    api.token = old
    assert api.get("/payments/imp_000000000000")[0] == 401


def test_a_token_of_yesterday_is_refused_without_a_look_up(api, world):
    world.clock.advance(hours=24)
    world.store.calls.clear()
    assert api.get("/payments/imp_000000000000")[0] == 401
    assert world.store.calls == []


def test_what_one_merchants_key_has_sealed_opens_under_no_other(world):
    from cryptography.exceptions import InvalidTag

    sealer = world.deps.sealer
    keys = [sealer.new_data_key(merchant) for merchant in ("imp1", "imp2")]
    texts = [sealer.seal(key, ("x",), {"a": "b"}) for key in keys]
    for key, own, other in ((keys[0], *texts), (keys[1], *reversed(texts))):
        assert sealer.open(key, ("x",), own) == {"a": "b"}
        with pytest.raises(InvalidTag):
            sealer.open(key, ("x",), other)


def test_a_body_of_256_kilobytes_and_not_one_byte_more(world, api):
    for size, complains_of_body in ((256 * 1024, False), (256 * 1024 + 1, True)):
        body = b'{"name": "%s"}' % (b"x" * (size - len(b'{"name": ""}')))
        kind = {"Content-Type": "application/json"}
        status, answer = api.send("POST", "/subscribe/payments/onetime", body, kind)
        assert (status, answer["code"], answer["field"] == "body") == (400, -1, complains_of_body)


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (b'{"amount": 1000, "amount": 9000}', "json", "amount"),
        (b'{"schedules": [{"amount": 1000, "amount": 9000}]}', "json", "amount"),
        (b'{"merchant_uid": "a\\u0000b"}', "json", "merchant_uid"),
        (b'{"schedules": [{"name": "a\\u0000b"}]}', "json", "schedules[0].name"),
        (b'{"custom_data": {"a\\u0000b": "c"}}', "json", "body"),
        (b"merchant_uid=a%00b", "x-www-form-urlencoded", "merchant_uid"),
        (b"a%00b=c", "x-www-form-urlencoded", "body"),
    ],
)
def test_a_body_with_a_name_twice_or_a_nul_is_refused(world, api, body, kind, field):
    status, answer = api.send("POST", "/subscribe/payments/onetime", body, {"Content-Type": f"application/{kind}"})
    assert (status, answer["code"], answer["field"]) == (400, -1, field)


def test_a_disabled_channel_takes_no_pinned_one_time_charge(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    group = world.group([(toss, 100), (nice, 0, False)])
    target = Target(group_id=group.group_id, channel_key=nice)
    with pytest.raises(Refused, match="disabled"):
        charges.charge_card(world.deps, world.merchant_id, request("order-1"), CARD, target)
    assert not world.captured()


def test_a_task_that_comes_far_too_early_is_put_back(world, api, key):
    book(api, world)
    (task,) = world.queue.tasks
    world.queue.tasks.clear()
    timer.work(world.deps, task)
    assert not world.captured()
    assert not world.clock.slept
    assert world.queue.tasks == [task]
    world.clock.advance(seconds=5)
    world.run_queue()
    assert len(world.captured()) == 1


def test_the_caller_who_is_told_of_a_decline_gets_no_webhook_about_it(world, gateway):
    world.webhook_url("https://shop.example/hook")
    payment = charges.charge_card(world.deps, world.merchant_id, request("order-1"), STOLEN, Target())
    assert payment.state is State.FAILED
    world.run_to_quiet()
    assert not world.sender.sent
