"""Test charges (`checking_amount`): whatever breaks and whenever, nothing is booked that was refused, and no money stays."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib import container
from chalicelib.domain.charging import CancelRequest, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import Refused, TryAgain
from chalicelib.domain.money import Money
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Ref, StoreUnavailable
from chalicelib.usecases import checking
from tests.support.api import CARD, STOLEN
from tests.support.recovery import Dying, at, cancel, meddle, settle, use
from tests.support.world import request

PATH = "/subscribe/payments/schedule"


@pytest.fixture
def hook(world, key):
    """The gateway's name; a merchant who would hear of anything that is told."""
    world.webhook_url("https://shop.example/hook")
    return key


def book(api, world, amount=1000, customer_uid="c1", **more):
    entry = {"merchant_uid": "m0", "schedule_at": at(world, days=100), "amount": 8900, "name": "n"}
    fields = {"customer_uid": customer_uid, "checking_amount": amount, "schedules": [entry], **more}
    return api.post(PATH, fields)[1]


def check(world, deps=None, **more):
    wanted = checking.Check("c1", Money(1000), request("m0"), **more)
    checking.check(deps or world.deps, world.merchant_id, wanted)


def the_check(world):
    """The one payment in store."""
    (pk,) = [pk for pk, sk in world.store.items if sk == "payment"]
    return world.store.load(Ref(Payment, (world.merchant_id, pk.rpartition("#")[2])))


def is_booked(world):
    return world.store.load(Ref(Order, (world.merchant_id, "m0"))) is not None


def gone_back(world):
    """Let the timer run until nothing is due but the reserved payment; then nothing may be left of the test charge."""
    world.run_to_quiet(hours=50, step_seconds=600)
    assert not world.captured()
    payment = the_check(world)
    assert (payment.due_at, payment.alarm) == (None, None)
    assert not world.sender.sent
    return payment.v1_status


def states(world):
    return [t["state"] for box in world.sandboxes.values() for t in box.transactions()]


def test_the_card_is_charged_and_gets_its_money_back_before_anything_is_booked(world, api, hook):
    seen = []

    def void(inner, asked, timeout):
        seen.append((is_booked(world), len(world.captured()), asked.reason))
        return inner.cancel(asked, timeout)

    meddle(world, cancel=void)
    use(world)
    assert book(api, world)["code"] == 0
    assert seen == [(False, 1, "카드 확인용 결제")]
    assert states(world) == ["cancelled"]
    assert is_booked(world)
    payment = the_check(world)
    assert payment.request.merchant_uid.isalnum()
    assert len(payment.request.merchant_uid) == 29
    assert (payment.due_at, payment.customer_uid) == (None, "c1")
    _, body = api.get(f"/payments/{payment.imp_uid}")
    shown = body["response"]
    assert (shown["status"], shown["name"], shown["amount"]) == ("cancelled", checking.NAME, 1000)
    assert (shown["cancel_amount"], len(shown["cancel_history"])) == (1000, 1)
    assert gone_back(world) == "cancelled"


@pytest.mark.parametrize("amount", [0, "0", "", None])
def test_no_amount_no_charge(world, api, hook, amount):
    assert book(api, world, amount)["code"] == 0
    assert not states(world)


@pytest.mark.parametrize("amount", [-1, 0.5, 10**15, "x", True])
def test_a_bad_amount_is_named_and_nothing_is_done(world, api, hook, amount):
    before = world.store.texts()
    body = book(api, world, amount, "new", **CARD)
    assert (body["code"], body["field"]) == (-1, "checking_amount")
    assert world.store.texts() == before


def test_a_card_that_is_declined_books_nothing(world, api, gateway):
    world.webhook_url("https://shop.example/hook")
    api.post("/subscribe/customers/c1", STOLEN)
    body = book(api, world)
    assert (body["code"], body["response"]) == (-1, None)
    attempt = the_check(world).attempt
    assert body["message"] == f"[{attempt.code}] {attempt.message}"
    assert attempt.reason is DeclineReason.LOST_OR_STOLEN
    assert not is_booked(world)
    assert gone_back(world) == "failed"


@pytest.mark.parametrize(
    ("fault", "ends"), [("reply_lost", "cancelled"), ("http_500", "failed"), ("garbage", "cancelled")]
)
def test_a_check_without_an_answer_books_nothing_and_the_timer_ends_it(world, api, hook, fault, ends):
    world.sandboxes[hook].fail("charge", fault)
    body = book(api, world)
    assert (body["code"], body["response"]) == (1, None)
    assert "자동으로 취소" in body["message"]
    assert not is_booked(world)
    assert gone_back(world) == ends


def test_a_gateway_that_cannot_be_reached_books_nothing(world, api, hook):
    world.sandboxes[hook].fail("charge", "refuse")
    assert book(api, world)["code"] == -1
    assert not is_booked(world)


@pytest.mark.parametrize(("nth", "ends"), [(1, "failed"), (2, "cancelled"), (3, "cancelled")])
def test_a_process_that_dies_between_two_writes_leaves_no_money_behind(world, hook, nth, ends):
    """After the claim, after the approval, after the void."""
    with pytest.raises(SystemExit):
        check(world, replace(world.deps, store=Dying(world.store, nth)))
    assert gone_back(world) == ends


@pytest.mark.parametrize("operation", ["charge_billing_key", "cancel"])
def test_a_process_that_dies_after_it_sent_leaves_no_money_behind(world, hook, operation):
    def dying(inner, *args):
        getattr(inner, operation)(*args)
        raise SystemExit("killed")

    real = world.deps
    meddle(world, **{operation: dying})
    with pytest.raises(SystemExit):
        check(world)
    world.deps = real
    assert gone_back(world) == "cancelled"
    assert states(world) == ["cancelled"]


class Failing(Dying):
    def commit(self, *changes):
        self._left -= 1
        if not self._left:
            raise StoreUnavailable("down")
        return self._inner.commit(*changes)


@pytest.mark.parametrize("nth", [2, 3])
def test_without_a_store_for_a_moment_the_timer_ends_it(world, hook, nth):
    """An approval that cannot be stored is not one to book on; a void that cannot be stored has still happened."""
    with pytest.raises(TryAgain) if nth == 2 else nullcontext():
        check(world, replace(world.deps, store=Failing(world.store, nth)))
    assert gone_back(world) == "cancelled"


@pytest.mark.parametrize("fault", ["reply_lost", "http_500", "decline", "garbage"])
def test_with_a_void_that_is_not_clear_the_booking_stands_and_the_timer_voids(world, api, hook, fault):
    world.sandboxes[hook].fail("cancel", fault)
    assert book(api, world)["code"] == 0
    assert the_check(world).due_at
    assert gone_back(world) == "cancelled"
    assert is_booked(world)


def test_an_adapter_that_breaks_on_the_void_does_not_keep_the_money(world, hook):
    def broken(*_args):
        raise RuntimeError("a bug")

    real = world.deps
    meddle(world, cancel=broken)
    check(world)
    world.deps = real
    assert len(world.captured()) == 1
    assert gone_back(world) == "cancelled"


def test_a_gateway_that_never_gives_it_back_calls_a_person_and_is_asked_on(world, hook, caplog):
    real = world.deps
    meddle(world, cancel=lambda *_: Unknown("nothing readable"))
    check(world)
    world.run_to_quiet(hours=3)
    assert the_check(world).alarm
    assert any(getattr(r, "needs_a_person", False) for r in caplog.records)
    world.deps = real
    assert gone_back(world) == "cancelled"


def test_money_given_back_by_a_person_counts(world, hook):
    """Somebody cancels at the gateway's own console, where our void does not get through."""
    asked = []

    def void(inner, wanted, timeout):
        if not asked:
            inner.cancel(replace(wanted, cancel_id="console"), timeout)
        asked.append(wanted)
        return Unknown("nothing readable")

    meddle(world, cancel=void)
    check(world)
    assert len(asked) == 1
    assert gone_back(world) == "cancelled"


def test_the_look_that_finds_it_approved_gives_it_back(world, hook):
    """Not the next one: it is the buyer's money."""
    world.sandboxes[hook].fail("charge", "reply_lost")
    with pytest.raises(TryAgain):
        check(world)
    world.clock.advance(seconds=5)
    settle(world, the_check(world))
    assert states(world) == ["cancelled"]
    assert gone_back(world) == "cancelled"


def test_cancelled_by_a_person_before_we_knew_that_it_was_approved(world, hook):
    world.sandboxes[hook].fail("charge", "reply_lost")
    with pytest.raises(TryAgain):
        check(world)
    done = []

    def find(inner, *args):
        found = inner.find_charge(*args)
        if not done:
            by_hand = CancelRequest(
                "console",
                "order",
                found.gateway_ref,
                found.amount,
                found.amount,
                found.amount,
                "console",
                world.clock.now(),
            )
            done.append(inner.cancel(by_hand, 5))
        return inner.find_charge(*args)

    meddle(world, find_charge=find)
    world.clock.advance(seconds=5)
    settle(world, the_check(world))
    assert the_check(world).due_at is None
    assert gone_back(world) == "cancelled"


def test_what_a_person_gave_back_in_part_is_made_whole(world, hook):
    seen = []

    def void(inner, wanted, timeout):
        seen.append(wanted.amount)
        if len(seen) == 1:
            inner.cancel(replace(wanted, cancel_id="console", amount=Money(400)), timeout)
            return Unknown("nothing readable")
        return inner.cancel(wanted, timeout)

    meddle(world, cancel=void)
    check(world)
    world.clock.advance(seconds=15)
    settle(world, the_check(world))
    assert seen == [Money(1000), Money(600)]
    payment = the_check(world)
    assert payment.due_at is None
    assert [cancel.amount for cancel in payment.cancels] == [Money(400), Money(600)]
    assert gone_back(world) == "cancelled"


def test_a_gateway_that_tells_no_cancels_is_asked_on(world, hook):
    meddle(
        world,
        cancel=lambda *_: Unknown("nothing readable"),
        find_charge=lambda inner, *args: replace(inner.find_charge(*args), balance=Money(0), cancels=()),
    )
    check(world)
    world.clock.advance(seconds=15)
    settle(world, the_check(world))
    payment = the_check(world)
    assert (payment.v1_status, payment.checks) == ("paid", 2)
    assert payment.due_at > world.clock.now()


def test_a_look_without_an_answer_is_repeated(world, hook, caplog):
    with pytest.raises(SystemExit):
        check(world, replace(world.deps, store=Dying(world.store, 2)))
    world.sandboxes[hook].fail("find", "http_500", times=3)
    assert gone_back(world) == "cancelled"
    assert not [record for record in caplog.records if record.exc_info]


def test_the_timer_keeps_out_of_a_living_owners_way(world, hook):
    asked = []

    def void(inner, wanted, timeout):
        settle(world, the_check(world))
        asked.append(wanted.cancel_id)
        return inner.cancel(wanted, timeout)

    meddle(world, cancel=void)
    check(world)
    assert len(asked) == 1
    assert gone_back(world) == "cancelled"


def test_owner_and_timer_together_give_it_back_once(world, hook):
    """The owner is held up beyond its lease: both send the same void, which the gateway runs once."""
    asked = []

    def void(inner, wanted, timeout):
        asked.append(wanted.cancel_id)
        if len(asked) == 1:
            world.clock.advance(minutes=1)
            settle(world, the_check(world))
        return inner.cancel(wanted, timeout)

    meddle(world, cancel=void)
    check(world)
    assert len(asked) == 2
    assert len(set(asked)) == 1
    (transaction,) = world.sandboxes[hook].transactions()
    assert (transaction["state"], transaction["balance"]) == ("cancelled", 0)
    assert gone_back(world) == "cancelled"


def test_an_owner_that_comes_back_late_finds_it_done(world, hook):
    """The timer has found the approval and voided it while the owner still waited for its answer."""
    voids = []

    def charge(inner, *args):
        result = inner.charge_billing_key(*args)
        world.clock.advance(minutes=1)
        settle(world, the_check(world))
        return result

    def void(inner, *args):
        voids.append(1)
        world.clock.advance(seconds=-60)
        return inner.cancel(*args)

    meddle(world, charge_billing_key=charge, cancel=void)
    check(world)
    assert len(voids) == 1
    assert gone_back(world) == "cancelled"


def test_a_slow_charge_leaves_the_void_to_the_timer(world, hook):
    def charge(inner, *args):
        result = inner.charge_billing_key(*args)
        world.clock.advance(seconds=24)
        return result

    meddle(world, charge_billing_key=charge)
    check(world)
    assert len(world.captured()) == 1
    assert gone_back(world) == "cancelled"


def test_a_check_keeps_to_its_callers_time(world, hook):
    given = []

    def charge(inner, *args):
        given.append(args[-1])
        world.clock.advance(seconds=4)
        return inner.charge_billing_key(*args)

    def void(inner, asked, timeout):
        given.append(timeout)
        return inner.cancel(asked, timeout)

    meddle(world, charge_billing_key=charge, cancel=void)
    check(world, budget=timedelta(seconds=15))
    assert given == [pytest.approx(15), pytest.approx(11)]
    with pytest.raises(TryAgain, match="no time"):
        check(world, budget=timedelta(seconds=5))


def test_another_amount_than_asked_for_goes_back_too(world, hook):
    world.sandboxes[hook].fail("charge", "wrong_amount")
    with pytest.raises(TryAgain):
        check(world)
    assert gone_back(world) == "failed"


def test_an_approval_that_comes_hours_late_goes_back_too(world, hook, caplog):
    def charge(inner, *args):
        world.carry_out = lambda: inner.charge_billing_key(*args)
        return Unknown("lost on the way")

    real = world.deps
    meddle(world, charge_billing_key=charge)
    with pytest.raises(TryAgain):
        check(world)
    world.deps = real
    for _ in range(15):
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
    assert the_check(world).state is State.FAILED
    world.carry_out()
    world.run_to_quiet(hours=50)
    assert not world.captured()


def test_a_merchant_cannot_cancel_what_is_cancelled_anyway(world, hook):
    real = world.deps
    meddle(world, cancel=lambda *_: Unknown("nothing readable"))
    check(world)
    world.deps = real
    with pytest.raises(Refused, match="자동으로 취소"):
        cancel(world, the_check(world))
    assert gone_back(world) == "cancelled"


def test_channels_that_do_not_take_so_little_are_left_out(world, api, hook):
    body = book(api, world, 500, channel_key=world.channels["nice_v2"])
    assert body["code"] == 1
    assert "최소 결제금액은 1000원" in body["message"]
    assert not is_booked(world)
    assert book(api, world, 500)["code"] == 0
    assert not world.sandboxes["nice_v2"].transactions()
    assert states(world) == ["cancelled"]


def test_the_channel_that_is_named_is_checked(world, api):
    world.two_gateways((100, 0))
    api.post("/subscribe/customers/c1", CARD)
    assert book(api, world, channel_key=world.channels["nice_v2"])["code"] == 0
    assert [t["state"] for t in world.sandboxes["nice_v2"].transactions()] == ["cancelled"]
    assert not world.sandboxes["tosspayments"].transactions()


def test_a_key_issued_for_a_booking_that_is_refused_goes_again(world, api, gateway):
    """Else the next try, with another card, would find it, use it, and be refused for ever."""
    assert book(api, world, **STOLEN)["code"] == -1
    assert api.get("/subscribe/customers/c1")[1]["code"] == 1
    assert book(api, world, **CARD)["code"] == 0
    assert states(world).count("cancelled") == 1
    world.sandboxes[gateway].fail("charge", "decline")
    assert book(api, world, **STOLEN)["code"] == -1
    assert api.get("/subscribe/customers/c1")[1]["code"] == 0  # it was there before


def test_a_key_issued_for_a_booking_that_breaks_goes_too(world, api, gateway):
    container.install(replace(world.deps, store=Failing(world.store, 2)))  # the key is stored, the claim is not
    assert book(api, world, **CARD)["code"] == -1
    assert api.get("/subscribe/customers/c1")[1]["code"] == 1
    assert not is_booked(world)


def test_a_stranger_is_told_so(world, api, gateway):
    body = book(api, world, customer_uid="stranger")
    assert (body["code"], body["field"]) == (1, "customer_uid")
    assert "등록된 고객정보가 없습니다." in body["message"]


def test_no_name_of_a_merchants_order_stands_in_the_way(world, api, hook):
    for _ in range(3):
        check(world)
    payments = [
        world.store.load(Ref(Payment, tuple(pk.split("#payment#")))) for pk, sk in world.store.items if sk == "payment"
    ]
    assert len({payment.request.merchant_uid for payment in payments}) == 3
