"""Virtual accounts: no deposit is lost, none is taken twice, and nobody gives one back unasked."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Declined,
    NotFound,
    NotSent,
    Revoked,
    Unknown,
    VirtualAccountRequest,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, NoChannel, Refused, TryAgain, Unavailable
from chalicelib.domain.errors import NotFound as NotFoundError
from chalicelib.domain.money import Money
from chalicelib.domain.payments import CancelState, Payment, State
from chalicelib.ports import Conflict, Ref, StoreUnavailable
from chalicelib.storage.items import from_item, to_item
from chalicelib.usecases import cancels, virtual_accounts
from chalicelib.usecases.cancels import RefundAccount
from chalicelib.usecases.choosing import Target
from tests.support.recovery import Dying, meddle, onetime, payment_of, stored
from tests.support.world import request

HOOK = "https://shop.example/hook"
REFUND_TO = RefundAccount("홍길동", "088", "110-123-456789")
NO = Declined(DeclineReason.INVALID_REQUEST, "NO", "할 수 없습니다.")


@pytest.fixture(autouse=True)
def gateways(world):
    world.two_gateways()
    world.webhook_url(HOOK)


@pytest.fixture
def toss(world):
    return world.sandboxes["tosspayments"]


def wanted(world, uid="order-1", amount=8900, *, target=None, **account):
    account = {"bank_code": "088", "due_at": world.clock.now() + timedelta(days=7), **account}
    return virtual_accounts.Issue(request(uid, amount), VirtualAccountRequest(**account), target or Target())


def issue(world, uid="order-1", **more):
    return virtual_accounts.issue(world.deps, world.merchant_id, wanted(world, uid, **more))


def revoke(world, payment):
    return virtual_accounts.revoke(world.deps, world.merchant_id, payment.imp_uid)


def pay_in(world, payment, **more):
    """The buyer pays. Returns the notice that the gateway would send."""
    return world.sandboxes["tosspayments"].deposit(payment.attempt.order_id, **more)


def hear(world, notice, channel="tosspayments"):
    virtual_accounts.deposit_notice(world.deps, world.merchant_id, world.channels[channel], notice)


def webhooks(world):
    """The statuses that the merchant was told, in order."""
    world.run_queue()
    return [json.loads(body)["status"] for _, body, _ in world.sender.sent]


def state_at_gateway(toss, payment):
    [row] = [row for row in toss.transactions() if row["order_id"] == payment.attempt.order_id]
    return row["state"]


def let_pass(world, hours):
    """From one due time to the next; the sweeps between them would find nothing."""
    end = world.clock.now() + timedelta(hours=hours)
    while True:
        world.sweep()
        world.run_queue()
        due = [
            datetime.fromtimestamp(float(i["due_at"]["N"]), UTC) for i in world.store.items.values() if "due_at" in i
        ]
        following = min((at for at in due if at > world.clock.now()), default=end)
        world.clock.set(min(following, end))
        if following >= end:
            return


def alarms(caplog):
    return [r.getMessage() for r in caplog.records if getattr(r, "needs_a_person", False)]


def calls(world, name):
    """From here on: the arguments of each call of that method at a gateway."""
    seen = []

    def spy(inner, *args, **kwargs):
        seen.append(args)
        return getattr(inner, name)(*args, **kwargs)

    meddle(world, **{name: spy})
    return seen


# --- a deposit ----------------------------------------------------------------------------------------------------


def test_issued_paid_in_and_told(world, toss):
    payment = issue(world)
    assert (payment.state, payment.v1_status, payment.pay_method) == (State.WAITING, "ready", "vbank")
    assert payment.account.bank_code == "088"
    assert payment.account.number.isdigit()
    assert payment.account.due_at == world.clock.now() + timedelta(days=7)
    assert state_at_gateway(toss, payment) == "waiting"
    assert webhooks(world) == ["ready"]
    hear(world, pay_in(world, payment))
    after = stored(world, payment)
    assert (after.state, after.paid_at, after.due_at) == (State.PAID, world.clock.now(), None)
    assert after.account == payment.account
    assert webhooks(world) == ["ready", "paid"]
    assert [t["balance"] for t in world.captured()] == [8900]


def test_the_same_notice_twice_tells_once(world):
    payment = issue(world)
    notice = pay_in(world, payment)
    hear(world, notice)
    hear(world, notice)
    assert stored(world, payment).state is State.PAID
    assert stored(world, payment).due_at is None
    assert webhooks(world) == ["ready", "paid"]


def test_a_lost_notice_loses_no_deposit(world):
    payment = issue(world)
    let_pass(world, hours=1)
    pay_in(world, payment)
    let_pass(world, hours=7)
    assert stored(world, payment).state is State.PAID
    assert webhooks(world) == ["ready", "paid"]


def test_a_notice_is_not_believed(world):
    payment = issue(world)
    notice = pay_in(world, payment)
    pay_in(world, payment, reverse=True)
    hear(world, notice)
    assert stored(world, payment).state is State.WAITING
    assert webhooks(world) == ["ready"]


@pytest.mark.parametrize(
    ("changes", "channel", "refusal"),
    [
        ({"secret": "ps_wrong"}, "tosspayments", NotFoundError),
        ({"orderId": "imp000000000000a1"}, "tosspayments", NotFoundError),
        ({"orderId": "nothing-of-ours"}, "tosspayments", NotFoundError),
        ({}, "nice_v2", InvalidRequest),
        ({}, "second", NotFoundError),
    ],
)
def test_a_strangers_notice_asks_no_gateway(world, changes, channel, refusal):
    world.channel("tosspayments", "second")
    payment = issue(world)
    notice = pay_in(world, payment)
    asked = calls(world, "find_charge")
    with pytest.raises(refusal):
        hear(world, notice | changes, channel)
    assert not asked
    assert stored(world, payment).state is State.WAITING


def test_a_notice_to_nobody(world):
    with pytest.raises(NotFoundError):
        virtual_accounts.deposit_notice(world.deps, "imp00000000", "channel-key-1", {})
    with pytest.raises(NotFoundError):
        virtual_accounts.deposit_notice(world.deps, world.merchant_id, "channel-key-1", {})


@pytest.mark.parametrize("body", [{}, {"orderId": "imp000000000000a1"}, {"orderId": 1, "secret": "x"}, {"secret": "x"}])
def test_nonsense_is_no_notice(world, body):
    with pytest.raises(InvalidRequest):
        hear(world, body)


def test_a_card_payments_order_has_no_deposits(world):
    payment = onetime(world, "card-order")
    with pytest.raises(NotFoundError):
        hear(world, {"orderId": payment.attempt.order_id, "secret": "x"})


@pytest.mark.parametrize("fault", ["http_500", "garbage", "reply_lost", "decline"])
def test_a_notice_that_cannot_be_verified_now_is_sent_again(world, toss, fault):
    payment = issue(world)
    notice = pay_in(world, payment)
    toss.fail("find", fault)
    with pytest.raises(Unavailable):
        hear(world, notice)
    assert stored(world, payment).state is State.WAITING
    hear(world, notice)
    assert stored(world, payment).state is State.PAID


def test_a_notice_before_the_secret_is_known_is_sent_again(world, toss):
    toss.fail("account", "reply_lost")
    payment = issue(world)
    notice = pay_in(world, payment)
    with pytest.raises(Unavailable):
        hear(world, notice)
    world.run_to_quiet(hours=1)
    assert stored(world, payment).state is State.PAID
    assert stored(world, payment).account.number
    assert webhooks(world) == ["paid"]


def test_a_deposit_that_the_bank_takes_back_is_no_longer_paid(world, caplog):
    payment = issue(world)
    hear(world, pay_in(world, payment))
    hear(world, pay_in(world, payment, reverse=True))
    after = stored(world, payment)
    assert (after.state, after.paid_at) == (State.WAITING, None)
    assert alarms(caplog)
    assert after.alarm
    assert webhooks(world) == ["ready", "paid", "ready"]
    hear(world, pay_in(world, payment))
    assert stored(world, payment).state is State.PAID
    assert stored(world, payment).alarm is None


def test_another_amount_calls_a_person_and_is_not_given_back(world, caplog):
    """No bank does that; but if a gateway says so, it is not the payment that was asked for."""
    payment = issue(world)
    notice = pay_in(world, payment)
    real = world.deps
    meddle(world, find_charge=lambda inner, *args: replace(inner.find_charge(*args), amount=Money(8000)))
    cancelled = calls(world, "cancel")
    hear(world, notice)
    let_pass(world, hours=3)
    after = stored(world, payment)
    assert after.state is State.WAITING
    assert "another amount" in after.alarm
    assert len([text for text in alarms(caplog) if "another amount" in text]) == 1
    assert not cancelled
    assert webhooks(world) == ["ready"]
    refunded = lambda inner, *args: replace(inner.find_charge(*args), amount=Money(8000), balance=Money(0))  # noqa: E731
    world.deps = real
    meddle(world, find_charge=refunded)
    let_pass(world, hours=2)
    assert stored(world, payment).state is State.FAILED
    assert webhooks(world) == ["ready", "failed"]


def test_a_deposit_taken_back_after_a_refund_is_for_a_person(world, caplog):
    payment = issue(world)
    notice = pay_in(world, payment)
    hear(world, notice)
    refund(world, payment, amount=Decimal(900))
    meddle(world, find_charge=lambda *_: AwaitingDeposit(payment.gateway_ref, Money(8900), payment.account))
    hear(world, notice)
    after = stored(world, payment)
    assert (after.state, after.balance) == (State.PAID, Money(8000))
    assert len(alarms(caplog)) == 1


def test_a_deposit_taken_back_when_nothing_can_be_paid_in_any_more(world, toss, caplog):
    payment = issue(world)
    hear(world, pay_in(world, payment))
    assert webhooks(world) == ["ready", "paid"]
    world.clock.set(payment.account.due_at + timedelta(hours=1))
    pay_in(world, payment, reverse=True)
    assert state_at_gateway(toss, payment) == "expired"
    hear(world, notice_of(toss, payment))
    assert len(alarms(caplog)) == 1
    let_pass(world, hours=1)
    assert stored(world, payment).state is State.FAILED
    assert webhooks(world) == ["ready", "paid", "ready", "failed"]
    assert issue(world).state is State.WAITING  # the order is free


def test_a_deposit_that_came_before_we_knew_the_account_can_be_taken_back(world, toss):
    toss.fail("account", "reply_lost")
    payment = issue(world)
    pay_in(world, payment)
    let_pass(world, hours=1)
    assert stored(world, payment).state is State.PAID
    hear(world, pay_in(world, payment, reverse=True))
    assert stored(world, payment).state is State.WAITING
    assert webhooks(world) == ["paid", "ready"]


def test_a_refund_at_the_gateways_console_calls_a_person(world, caplog):
    payment = issue(world)
    notice = pay_in(world, payment)
    hear(world, notice)
    hear(world, notice)
    assert not alarms(caplog)
    meddle(world, find_charge=lambda inner, *args: replace(inner.find_charge(*args), balance=Money(900)))
    hear(world, notice)
    assert len(alarms(caplog)) == 1
    assert (stored(world, payment).state, stored(world, payment).due_at) == (State.PAID, None)


def test_an_alarm_of_before_hides_no_money(world, caplog):
    """Neither that the gateway was down for a while, nor that it would not revoke."""
    payment = issue(world)
    notice = pay_in(world, payment)
    real = world.deps
    meddle(world, find_charge=lambda *_: Unknown("down"))
    let_pass(world, hours=10)
    assert len(alarms(caplog)) == 1
    world.deps = real
    meddle(world, find_charge=lambda inner, *args: replace(inner.find_charge(*args), amount=Money(8000)))
    hear(world, notice)
    let_pass(world, hours=3)
    assert len(alarms(caplog)) == 2
    assert "another amount" in alarms(caplog)[-1]


def test_a_gateway_that_is_down_twice_calls_a_person_twice(world, caplog):
    payment = issue(world)
    real = world.deps
    for times in (1, 2):
        meddle(world, find_charge=lambda *_: Unknown("down"))
        let_pass(world, hours=15)
        assert len(alarms(caplog)) == times
        world.deps = real
        let_pass(world, hours=2)
        assert stored(world, payment).alarm is None


# --- one live account per order ------------------------------------------------------------------------------------


def test_an_order_has_one_live_account(world, toss):
    payment = issue(world)
    with pytest.raises(Refused, match="in use"):
        issue(world)
    with pytest.raises(Refused, match="in use"):
        onetime(world)
    hear(world, pay_in(world, payment))
    with pytest.raises(Refused, match="in use"):
        issue(world)
    assert len(toss.transactions()) == 1


def test_the_order_is_free_after_a_revoke(world, toss):
    first = issue(world)
    revoke(world, first)
    second = issue(world)
    assert second.state is State.WAITING
    hear(world, pay_in(world, second))
    assert len(world.captured()) == 1


# --- expiry -------------------------------------------------------------------------------------------------------


def test_an_account_that_nobody_pays_into_expires(world, toss):
    payment = issue(world)
    let_pass(world, hours=7 * 24 + 1)
    after = stored(world, payment)
    assert (after.state, after.v1_status) == (State.FAILED, "failed")
    assert "입금기한" in after.fail_reason
    assert webhooks(world) == ["ready", "failed"]
    assert issue(world).state is State.WAITING  # the order is free
    let_pass(world, hours=48)
    assert stored(world, payment).due_at is None


def test_a_waiting_account_is_asked_for_seldom(world):
    payment = issue(world)
    times = []

    def timed(inner, *args):
        times.append(world.clock.now() - payment.started_at)
        return inner.find_charge(*args)

    meddle(world, find_charge=timed)
    let_pass(world, hours=10 * 24)
    assert times[0] == timedelta(minutes=10)
    assert 28 <= len(times) <= 32
    *_, at_due, a_day_later = times
    assert timedelta(days=7, minutes=5) <= at_due <= timedelta(days=7, minutes=22)  # spread, by the imp_uid
    assert a_day_later == at_due + timedelta(days=1)


def test_a_deposit_at_the_last_moment_whose_notice_is_lost(world):
    payment = issue(world)
    let_pass(world, hours=7 * 24 - 1)
    world.clock.set(payment.account.due_at - timedelta(seconds=1))
    pay_in(world, payment)
    let_pass(world, hours=1)
    assert stored(world, payment).state is State.PAID


def test_a_deposit_after_it_expired_calls_a_person_and_is_not_given_back(world, caplog):
    payment = issue(world)
    let_pass(world, hours=7 * 24 + 1)
    late = Approved("key", Money(8900), world.clock.now())
    meddle(world, find_charge=lambda *_: late)
    cancelled = calls(world, "cancel")
    let_pass(world, hours=26)
    after = stored(world, payment)
    assert after.state is State.FAILED
    assert "a deposit came" in after.alarm
    assert len(alarms(caplog)) == 1
    assert not cancelled
    assert webhooks(world) == ["ready", "failed"]


def test_a_deposit_into_an_account_that_could_not_be_closed_calls_a_person_once_more(world, caplog):
    payment = issue(world)
    let_pass(world, hours=7 * 24 + 1)
    open_again = AwaitingDeposit(payment.gateway_ref, Money(8900), payment.account)
    real = world.deps
    meddle(world, find_charge=lambda *_: open_again, revoke_virtual_account=lambda *_: NO)
    let_pass(world, hours=25)
    assert len(alarms(caplog)) == 1
    world.deps = real
    meddle(world, find_charge=lambda *_: Approved("key", Money(8900), world.clock.now()))
    let_pass(world, hours=2)
    assert len(alarms(caplog)) == 2
    assert "a deposit came" in alarms(caplog)[-1]


def test_a_notice_of_a_deposit_after_it_expired_calls_a_person(world, toss, caplog):
    payment = issue(world)
    notice = toss.simulator.notice(toss.simulator.books.any_of(payment.attempt.order_id))
    let_pass(world, hours=7 * 24 + 1)
    meddle(world, find_charge=lambda *_: Approved("key", Money(8900), world.clock.now()))
    hear(world, notice)
    assert stored(world, payment).state is State.FAILED
    assert len(alarms(caplog)) == 1


def test_an_account_that_stays_open_beyond_its_time_calls_a_person_and_goes_on_waiting(world, caplog):
    payment = issue(world)
    waiting = AwaitingDeposit(payment.gateway_ref, Money(8900), payment.account)
    meddle(world, find_charge=lambda *_: waiting)
    let_pass(world, hours=7 * 24 + 60)
    assert stored(world, payment).state is State.WAITING
    assert len(alarms(caplog)) == 1


# --- revoking -----------------------------------------------------------------------------------------------------


def test_revoked(world, toss):
    payment = issue(world)
    revoked = revoke(world, payment)
    assert (revoked.state, revoked.v1_status) == (State.REVOKED, "cancelled")
    assert revoked.cancelled_at == world.clock.now()
    assert revoked.cancelled_amount == Money(0)
    assert state_at_gateway(toss, payment) == "revoked"
    assert webhooks(world) == ["ready"]  # who asked for it knows it
    with pytest.raises(InvalidRequest):
        revoke(world, payment)
    let_pass(world, hours=48)
    assert stored(world, payment).due_at is None
    assert webhooks(world) == ["ready"]


def test_a_deposit_that_came_first_wins(world, toss):
    payment = issue(world)
    pay_in(world, payment)
    with pytest.raises(InvalidRequest, match="not waiting"):
        revoke(world, payment)
    assert stored(world, payment).state is State.PAID
    assert webhooks(world) == ["ready", "paid"]
    assert state_at_gateway(toss, payment) == "captured"


def test_a_deposit_and_its_notice_in_the_midst_of_a_revoke(world, toss):
    payment = issue(world)

    def meanwhile(inner, *args):
        hear(world, pay_in(world, payment))
        return inner.revoke_virtual_account(*args)

    meddle(world, revoke_virtual_account=meanwhile)
    with pytest.raises(InvalidRequest, match="not waiting"):
        revoke(world, payment)
    assert stored(world, payment).state is State.PAID
    assert webhooks(world) == ["ready", "paid"]
    assert len(world.captured()) == 1


def test_a_deposit_between_our_look_and_our_claim(world):
    payment = issue(world)
    notice = pay_in(world, payment)

    class Between:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if changes[0].state is State.REVOKING:
                hear(world, notice)
                raise Conflict(changes[0])
            return world.store.commit(*changes)

    with pytest.raises(InvalidRequest, match="not waiting"):
        virtual_accounts.revoke(replace(world.deps, store=Between()), world.merchant_id, payment.imp_uid)
    assert stored(world, payment).state is State.PAID


@pytest.mark.parametrize("fault", ["reply_lost", "garbage"])
def test_a_revoke_whose_answer_is_lost_is_asked_for(world, toss, fault):
    payment = issue(world)
    toss.fail("cancel", fault)
    assert revoke(world, payment).state is State.REVOKED


def test_a_revoke_that_did_not_arrive_is_sent_once_more_with_its_id(world, toss):
    payment = issue(world)
    toss.fail("cancel", "http_500")
    sent = calls(world, "revoke_virtual_account")
    with pytest.raises(TryAgain):
        revoke(world, payment)
    assert stored(world, payment).state is State.REVOKING
    with pytest.raises(TryAgain):
        revoke(world, payment)
    world.run_to_quiet(hours=1)
    assert stored(world, payment).state is State.REVOKED
    assert [args[0] for args in sent] == [f"{payment.attempt.order_id}v1"] * 2
    assert webhooks(world) == ["ready", "cancelled"]  # they were told "being confirmed", and hear of its end


def test_a_deposit_while_a_revoke_is_unclear(world, toss):
    payment = issue(world)
    toss.fail("cancel", "http_500")
    with pytest.raises(TryAgain):
        revoke(world, payment)
    pay_in(world, payment)
    world.run_to_quiet(hours=1)
    assert stored(world, payment).state is State.PAID
    assert webhooks(world) == ["ready", "paid"]


def test_a_revoke_whose_worker_dies_is_finished(world, toss):
    payment = issue(world)
    with pytest.raises(SystemExit):
        virtual_accounts.revoke(replace(world.deps, store=Dying(world.store, 1)), world.merchant_id, payment.imp_uid)
    assert state_at_gateway(toss, payment) == "waiting"
    world.run_to_quiet(hours=1)
    assert stored(world, payment).state is State.REVOKED
    assert state_at_gateway(toss, payment) == "revoked"


def test_a_revoke_whose_result_is_not_stored_is_finished(world, toss):
    payment = issue(world)

    class Down:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if changes[0].state is State.REVOKED:
                raise StoreUnavailable("down")
            return world.store.commit(*changes)

    with pytest.raises(TryAgain):
        virtual_accounts.revoke(replace(world.deps, store=Down()), world.merchant_id, payment.imp_uid)
    world.run_to_quiet(hours=1)
    assert stored(world, payment).state is State.REVOKED


def test_the_notice_of_a_revoke_does_not_take_the_place_of_the_look_a_day_later(world, toss):
    payment = issue(world)
    revoke(world, payment)
    for _ in range(3):
        hear(world, notice_of(toss, payment))
        assert stored(world, payment).due_at >= world.clock.now() + timedelta(hours=23)
    let_pass(world, 25)
    assert stored(world, payment).due_at is None


def test_a_revoke_that_is_refused_leaves_it_waiting(world, toss):
    payment = issue(world)
    toss.fail("cancel", "decline", code="NOT_CANCELABLE_PAYMENT")
    with pytest.raises(Refused, match="NOT_CANCELABLE_PAYMENT") as caught:
        revoke(world, payment)
    assert caught.value.code == -1
    assert stored(world, payment).state is State.WAITING
    assert revoke(world, payment).state is State.REVOKED  # with an id of its own: the gateway replays refusals


def test_a_revoke_that_was_never_sent_leaves_it_waiting(world):
    payment = issue(world)
    real = world.deps
    meddle(world, revoke_virtual_account=lambda *_: NotSent("refused"))
    with pytest.raises(Refused, match="unreachable"):
        revoke(world, payment)
    world.deps = real
    hear(world, pay_in(world, payment))
    assert stored(world, payment).state is State.PAID


def test_a_no_to_a_repeated_revoke_counts_after_the_settling_delay(world):
    payment = issue(world)
    real = world.deps
    meddle(world, revoke_virtual_account=lambda *_: Unknown("lost"))
    with pytest.raises(TryAgain):
        revoke(world, payment)
    world.deps = real
    meddle(world, revoke_virtual_account=lambda *_: NO)
    let_pass(world, hours=0.15)
    assert stored(world, payment).state is State.REVOKING
    let_pass(world, hours=0.2)
    assert stored(world, payment).state is State.WAITING


def test_an_adapter_that_breaks_while_revoking(world):
    payment = issue(world)
    real = world.deps

    def broken(*_):
        raise RuntimeError("a bug")

    meddle(world, revoke_virtual_account=broken, find_charge=broken)
    with pytest.raises(TryAgain):
        revoke(world, payment)
    world.deps = real
    world.run_to_quiet(hours=2)
    assert stored(world, payment).state is State.REVOKED


def test_revoked_at_the_gateways_console(world, toss):
    payment = issue(world)
    revoked = Revoked(world.clock.now())
    meddle(world, find_charge=lambda *_: revoked)
    let_pass(world, hours=1)
    assert stored(world, payment).v1_status == "cancelled"
    assert webhooks(world) == ["ready", "cancelled"]


def test_what_cannot_be_revoked_or_changed(world):
    paid_by_card = onetime(world, "card-order")
    for call in (virtual_accounts.revoke, virtual_accounts.change):
        with pytest.raises(NotFoundError):
            call(world.deps, world.merchant_id, "imp_000000000000")
        with pytest.raises(InvalidRequest, match="not a virtual account"):
            call(world.deps, world.merchant_id, paid_by_card.imp_uid)
    payment = issue(world)
    with pytest.raises(Refused, match="토스페이먼츠"):
        virtual_accounts.change(world.deps, world.merchant_id, payment.imp_uid)
    revoke(world, payment)
    with pytest.raises(InvalidRequest, match="not waiting"):
        virtual_accounts.change(world.deps, world.merchant_id, payment.imp_uid)


# --- issuing ------------------------------------------------------------------------------------------------------


def test_an_issue_whose_answer_is_lost_is_settled_once(world, toss):
    toss.fail("account", "reply_lost")
    payment = issue(world)
    assert (payment.state, payment.v1_status, payment.account) == (State.UNKNOWN, "ready", None)
    with pytest.raises(Refused, match="in use"):
        issue(world)
    let_pass(world, hours=0.1)
    after = stored(world, payment)
    assert after.state is State.WAITING
    assert after.account.number
    assert webhooks(world) == ["ready"]
    assert len(toss.transactions()) == 1
    hear(world, pay_in(world, after))
    assert stored(world, payment).state is State.PAID


def test_an_issue_whose_worker_dies_before_it_is_sent(world, toss):
    with pytest.raises(SystemExit):
        virtual_accounts.issue(replace(world.deps, store=Dying(world.store, 1)), world.merchant_id, wanted(world))
    payment = payment_of(world)
    assert (payment.state, payment.pay_method) == (State.CLAIMED, "vbank")
    world.run_to_quiet(hours=1)
    assert stored(world, payment).state is State.FAILED
    assert not toss.transactions()
    assert issue(world).state is State.WAITING


def test_an_issue_whose_worker_dies_before_it_is_recorded(world, toss):
    def dying(inner, *args):
        inner.issue_virtual_account(*args)
        raise SystemExit("killed")

    real = world.deps
    meddle(world, issue_virtual_account=dying)
    with pytest.raises(SystemExit):
        issue(world)
    world.deps = real
    let_pass(world, hours=0.1)
    assert payment_of(world).state is State.WAITING
    assert len(toss.transactions()) == 1


def test_an_account_of_another_amount_is_closed(world, toss):
    toss.fail("account", "wrong_amount")
    payment = issue(world)
    assert payment.state is State.UNKNOWN
    let_pass(world, hours=0.1)
    after = stored(world, payment)
    assert (after.state, after.attempt.code) == (State.FAILED, "AMOUNT_MISMATCH")
    assert state_at_gateway(toss, payment) == "revoked"
    assert webhooks(world) == ["failed"]


def test_an_account_found_with_another_deposit_than_asked_for(world, toss, caplog):
    """It was paid into before we knew of it. It is a person who gives it back, not we."""
    toss.fail("account", "reply_lost")
    payment = issue(world)
    pay_in(world, payment)
    meddle(world, find_charge=lambda inner, *args: replace(inner.find_charge(*args), amount=Money(8000)))
    cancelled = calls(world, "cancel")
    let_pass(world, hours=2)
    assert stored(world, payment).state is State.UNKNOWN
    assert len(alarms(caplog)) == 1
    assert not cancelled


def test_an_account_that_appears_after_it_was_given_up_is_closed(world, toss):
    carried = []

    def late(inner, *args):
        carried.append(lambda: inner.issue_virtual_account(*args))
        return Unknown("lost on the way")

    real = world.deps
    meddle(world, issue_virtual_account=late)
    payment = issue(world)
    world.deps = real
    let_pass(world, hours=0.5)
    assert stored(world, payment).state is State.FAILED
    carried[0]()
    let_pass(world, hours=2)
    assert state_at_gateway(toss, payment) == "revoked"
    assert stored(world, payment).state is State.FAILED


def test_a_decline_frees_the_order(world, toss):
    toss.fail("account", "decline", code="INVALID_BANK")
    with pytest.raises(Refused, match="INVALID_BANK") as caught:
        issue(world)
    assert caught.value.code == -1
    assert payment_of(world).state is State.FAILED
    assert webhooks(world) == []
    assert issue(world).state is State.WAITING


def test_a_channel_that_is_not_reached_is_left_for_another(world, toss):
    second = world.channel("tosspayments", "second")
    world.group([(world.channels["tosspayments"], 100), (second, 0)], name="both")
    tried = []

    def unsent_once(inner, *args):
        tried.append(args[0])
        return NotSent("refused") if len(tried) == 1 else inner.issue_virtual_account(*args)

    meddle(world, issue_virtual_account=unsent_once)
    payment = issue(world)
    assert payment.state is State.WAITING
    assert [a.outcome for a in payment.attempts] == ["not_sent", "issued"]
    assert payment.attempt.channel_key == second
    assert tried[0] != tried[1]


def test_a_gateway_without_virtual_accounts_is_left_out(world):
    for n in range(5):
        payment = issue(world, f"order-{n}")
        assert payment.attempt.pg_provider == "tosspayments"
        [excluded] = payment.attempt.decision.exclusions
        assert (excluded.pg_provider, "계약이 필요합니다" in excluded.message) == ("nice_v2", True)
    with pytest.raises(Refused, match="계약이 필요합니다"):
        issue(world, "pinned", target=Target(channel_key=world.channels["nice_v2"]))
    world.group([(world.channels["nice_v2"], 100)], name="nice only")
    with pytest.raises(NoChannel, match="계약이 필요합니다"):
        issue(world, "none")


def test_what_a_gateway_cannot_issue(world):
    with pytest.raises(NoChannel, match="vbank_code"):
        issue(world, bank_code="001")
    with pytest.raises(InvalidRequest, match="90") as caught:
        issue(world, due_at=world.clock.now() + timedelta(days=91))
    assert caught.value.field == "vbank_due"
    nameless = replace(wanted(world), request=request("order-1", buyer=replace(request().buyer, name=None)))
    with pytest.raises(NoChannel, match="buyer_name"):
        virtual_accounts.issue(world.deps, world.merchant_id, nameless)
    assert not world.sandboxes["tosspayments"].transactions()


def test_the_same_buyer_gets_the_same_fixed_account(world):
    first = issue(world, "order-1", fixed_key="gildong")
    second = issue(world, "order-2", fixed_key="gildong")
    other = issue(world, "order-3", fixed_key="cheolsu")
    assert first.account.number == second.account.number != other.account.number


# --- refunds ------------------------------------------------------------------------------------------------------


@pytest.fixture
def paid(world):
    payment = issue(world)
    hear(world, pay_in(world, payment))
    return stored(world, payment)


def refund(world, payment, refund_to=REFUND_TO, **more):
    wanted = cancels.Cancel(imp_uid=payment.imp_uid, refund_to=refund_to, **more)
    return cancels.cancel(world.deps, world.merchant_id, wanted)


def test_a_refund_goes_to_the_buyers_account(world, paid, toss):
    part = refund(world, paid, amount=Decimal(3000))
    assert part.balance == Money(5900)
    whole = refund(world, paid)
    assert whole.v1_status == "cancelled"
    assert state_at_gateway(toss, paid) == "cancelled"


@pytest.mark.parametrize("field", ["holder", "bank", "account"])
def test_a_refund_needs_an_account(world, paid, field):
    for value in (None, "", " "):
        with pytest.raises(Refused) as caught:
            refund(world, paid, replace(REFUND_TO, **{field: value}))
        assert (caught.value.field, caught.value.code) == (f"refund_{field}", 1)
    with pytest.raises(Refused, match="refund_holder"):
        refund(world, paid, None)
    with pytest.raises(Refused, match="refund_bank"):
        refund(world, paid, replace(REFUND_TO, bank="271"))
    assert stored(world, paid) == paid  # nothing was claimed


@pytest.mark.parametrize(
    "account", ["110-123-456789 (02)", "신한 110-123-456789", "１10-123-456789", "110--123456789", "1" * 21]
)
def test_an_account_number_is_not_guessed_from_a_text(world, paid, account):
    """The digits of a text could be the number of somebody else's account."""
    with pytest.raises(Refused) as caught:
        refund(world, paid, replace(REFUND_TO, account=account))
    assert (caught.value.field, caught.value.code) == ("refund_account", 1)
    assert stored(world, paid) == paid


def test_a_refund_in_doubt_ends_when_the_bank_has_taken_the_deposit_back(world, paid, toss, caplog):
    """Else the next deposit would be refunded for it, and the buyer's account kept for ever."""
    toss.fail("cancel", "http_500")
    assert refund(world, paid).open_cancel
    pay_in(world, paid, reverse=True)
    let_pass(world, hours=0.1)
    assert stored(world, paid).open_cancel  # it may still arrive
    let_pass(world, hours=2)
    after = stored(world, paid)
    assert (after.state, after.cancels[0].state) == (State.WAITING, CancelState.FAILED)
    assert "456789" not in world.store.texts()
    assert any("taken the deposit back" in text for text in alarms(caplog))
    sent = calls(world, "cancel")
    hear(world, pay_in(world, paid))
    let_pass(world, hours=30)
    assert (stored(world, paid).state, sent) == (State.PAID, [])
    assert webhooks(world) == ["ready", "paid", "ready", "paid"]


def test_the_buyers_account_is_kept_only_while_the_refund_is_open(world, paid, toss, caplog):
    caplog.set_level("DEBUG")
    toss.fail("cancel", "http_500")
    assert refund(world, paid).open_cancel
    assert stored(world, paid).cancels[0].refund_to == REFUND_TO
    world.run_to_quiet(hours=2)
    after = stored(world, paid)
    assert (after.cancels[0].state, after.cancels[0].refund_to) == (CancelState.DONE, None)
    assert state_at_gateway(toss, paid) == "cancelled"
    assert "456789" not in world.store.texts() + caplog.text + repr(REFUND_TO)


def test_a_refused_refund_keeps_no_account(world, paid):
    with pytest.raises(Refused, match="INVALID_REFUND_ACCOUNT_NUMBER"):
        refund(world, paid, replace(REFUND_TO, account="12"))
    assert stored(world, paid).cancels[0].refund_to is None


def test_a_card_payments_cancel_keeps_no_account_at_all(world, toss):
    payment = onetime(world, "card-order")
    toss.fail("cancel", "http_500")
    world.sandboxes["nice_v2"].fail("cancel", "http_500")
    assert refund(world, payment).open_cancel
    assert stored(world, payment).cancels[0].refund_to is None


def test_an_account_that_waits_cannot_be_cancelled(world):
    payment = issue(world)
    with pytest.raises(Refused, match="DELETE /vbanks"):
        refund(world, payment)
    revoke(world, payment)
    with pytest.raises(Refused):
        refund(world, payment)


def notice_of(toss, payment):
    """What the gateway would send about it now."""
    return toss.simulator.notice(toss.simulator.books.any_of(payment.attempt.order_id))


def test_a_notice_while_a_refund_is_open_does_not_get_in_its_way_and_comes_again(world, paid, toss):
    def noticed(inner, *args):
        result = inner.cancel(*args)
        with pytest.raises(Unavailable):
            hear(world, notice_of(toss, paid))
        return result

    meddle(world, cancel=noticed)
    assert refund(world, paid).v1_status == "cancelled"
    hear(world, notice_of(toss, paid))


def test_a_deposit_taken_back_after_a_refused_refund_is_no_longer_paid(world, paid, caplog):
    meddle(world, cancel=lambda *_: NO)
    with pytest.raises(Refused):
        refund(world, paid)
    hear(world, pay_in(world, paid, reverse=True))
    assert stored(world, paid).state is State.WAITING
    assert alarms(caplog)
    hear(world, pay_in(world, paid))
    with pytest.raises(Refused):
        refund(world, paid)
    assert [c.cancel_id[-2:] for c in stored(world, paid).cancels] == ["c1", "c2"]


# --- what is stored -----------------------------------------------------------------------------------------------


def test_the_gateways_secret_is_not_stored(world, toss):
    payment = issue(world)
    secret = toss.simulator.books.any_of(payment.attempt.order_id).details["secret"]
    assert secret not in world.store.texts()
    assert secret not in repr(AwaitingDeposit("key", Money(1), payment.account, secret))


def test_payments_stored_before_there_were_virtual_accounts_load(world):
    payment = onetime(world, "card-order")
    item = to_item(payment, payment.version)
    doc = json.loads(item["doc"]["S"])
    for name in ("pay_method", "account", "notice_digest", "revoked_at"):
        del doc[name]
    old = from_item(Payment, {**item, "doc": {"S": json.dumps(doc)}})
    assert old == world.store.load(Ref(Payment, (world.merchant_id, payment.imp_uid)))


def test_a_gateway_that_has_forgotten_an_account_calls_a_person(world, caplog):
    payment = issue(world)
    meddle(world, find_charge=lambda *_: NotFound())
    let_pass(world, hours=10)
    assert stored(world, payment).state is State.WAITING
    assert len(alarms(caplog)) == 1
