"""Guards, one by one: each test fails if a single condition is taken away. Charging and settling."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import NotSent, Unknown
from chalicelib.domain.notices import Notice
from chalicelib.domain.orders import Order, ScheduleState
from chalicelib.domain.payments import Payment, State, fail_unsent
from chalicelib.ports import Conflict, Ref, TaskKind
from chalicelib.usecases import billing_keys, charges, looks, notifying, schedules, settling, timer
from chalicelib.usecases.choosing import Target
from tests.support.recovery import Dying, book, claim_and_die, late, meddle, onetime, payment_of, settle, stored
from tests.support.world import CARD, World, request


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
    assert looks.scale(world.deps, Environment.LIVE) == 1.0
    assert looks.scale(world.deps, Environment.TEST) == 0.01
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
    for _ in range(1 + settling.MAX_RESTARTS):
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
    assert len(order.imp_uids) == 1 + settling.MAX_RESTARTS
    assert (order.schedule.state, order.schedule.payment_status) == (ScheduleState.EXECUTED, "failed")
    assert not world.captured()


class Crowd:
    """A store where other writers come first, so often as the results of approved charges are written."""

    def __init__(self, inner, times):
        self.inner, self.times = inner, times

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def commit(self, *changes):
        paid = next((c for c in changes if isinstance(c, Payment) and c.state is State.PAID), None)
        if paid and self.times:
            self.times -= 1
            raise Conflict(paid)
        return self.inner.commit(*changes)


@pytest.mark.parametrize("times", [1, 2])
def test_an_approved_charge_is_never_answered_with_try_again(world, times):
    """A merchant who obeys would charge the buyer twice."""
    world.two_gateways()
    deps = replace(world.deps, store=Crowd(world.store, times))
    payment = charges.charge_card(deps, world.merchant_id, request(), CARD, Target())
    assert payment.v1_status == ("paid" if times == 1 else "ready")
    world.clock.advance(minutes=2)
    world.run_to_quiet(hours=1)
    assert world.store.load(Ref(Payment, (world.merchant_id, payment.imp_uid))).v1_status == "paid"
    assert len(world.captured()) == 1


def test_what_a_broken_adapter_says_is_not_logged(world, caplog):
    """It may hold the card: a library's error shows what it could not read."""
    world.two_gateways()

    def broken(_, *args):
        raise ValueError(f"cannot read {CARD.number}")

    meddle(world, charge_card=broken, issue_billing_key=broken)
    assert onetime(world).v1_status == "ready"
    with pytest.raises(billing_keys.IssueFailed):
        billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c", CARD, Target()))
    assert "adapter raised ValueError" in caplog.text
    assert CARD.number not in caplog.text
    assert CARD.number not in world.store.texts()
