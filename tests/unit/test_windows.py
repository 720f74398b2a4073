"""Payments in a window, from the claim of the approval on: whatever breaks, one payment or none, and nothing is lost."""

import json
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidTag

from chalicelib import container
from chalicelib.domain.charging import Approved, Operation
from chalicelib.domain.health import Health, HealthState
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment, State, claim_approval, leave_window
from chalicelib.domain.windows import NEVER_FINISHED
from chalicelib.ports import Ref, StoreUnavailable
from chalicelib.usecases import charges
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.vault import open_kept
from chalicelib.usecases.windows import OPEN_FOR
from tests.support.recovery import meddle, restrict, use
from tests.support.windows import Shop
from tests.support.world import CARD, request

REFUND = {"refund_holder": "홍길동", "refund_bank": "088", "refund_account": "110-123-456789"}
BOTH = ["tosspayments", "nice_v2"]
LEASE = timedelta(seconds=40)
"""Of the claim of an approval: a request's budget, and the margin."""


@pytest.fixture(params=["tosspayments"])
def gateway(world, api, request):
    """The only one. With @at_both of either kind: asked by the number that the window left, and by our order id."""
    world.group([(world.channel(request.param), 100)])
    world.webhook_url("https://shop.example/hook")
    return world.sandboxes[request.param]


at_both = pytest.mark.parametrize("gateway", BOTH, indirect=True)
at_nice = pytest.mark.parametrize("gateway", ["nice_v2"], indirect=True)


@pytest.fixture
def shop(world, api, gateway):
    return Shop(world, api)


@pytest.fixture
def window(shop):
    return shop.open()


@pytest.fixture
def account(shop):
    """A virtual account that was issued in a window."""
    window = shop.open(pay_method="vbank", vbank_due="2026-11-25")
    assert window.pay()["vbank_num"]
    return window


class Dead(BaseException):
    """The process is gone."""


def stored(window):
    world = window.shop.world
    return world.store.load(Ref(Payment, (world.merchant_id, window.imp_uid)))


def order(world, uid="order-1"):
    return world.store.load(Ref(Order, (world.merchant_id, uid)))


def broken(world, **methods):
    """From here on gateways answer like that."""
    meddle(world, **methods)
    container.install(world.deps)


def seen(world, method):
    """From here on: the arguments of each such call at a gateway."""
    calls = []

    def spy(inner, *args):
        calls.append(args)
        return getattr(inner, method)(*args)

    broken(world, **{method: spy})
    return calls


def restricted(world, *without, provider="tosspayments", net_cancel=None, **more):
    """From here on it seems to lack these operations, and can undo what its window left for so long."""
    windows = replace(world.deps.gateways.spec(provider).windows, net_cancel_window=net_cancel)
    restrict(world, *without, windows=windows, **more)


def told(world):
    """What the webhooks say."""
    world.run_queue()
    return [json.loads(body)["status"] for _, body, _ in world.sender.sent]


def work(world):
    world.sweep()
    world.run_queue()


def alarms(caplog):
    return [r.getMessage() for r in caplog.records if getattr(r, "needs_a_person", False)]


def check_paid_once(world, window):
    assert (stored(window).state, stored(window).due_at) == (State.PAID, None)
    assert [t["order_id"] for t in world.captured()] == [stored(window).attempt.order_id]
    assert told(world) == ["paid"]


def check_nothing_is_left(world, window, heard=()):
    """Failed, nothing kept, and the order free for another try."""
    assert stored(window).state is State.FAILED
    assert world.captured() == []
    assert not order(world).is_open
    assert told(world) == list(heard)


# --- state by state ------------------------------------------------------------------------------------------------


@at_both
def test_the_approval_is_claimed_before_it_is_asked_for(world, window):
    """What is on record while the gateway is at work is all that settlement would have."""
    opened, claimed = stored(window), []
    assert (opened.state, opened.due_at) == (State.OPENED, world.clock.now() + OPEN_FOR)
    world.clock.advance(minutes=20)
    agreed = window.press()

    def approve(gateway, asked, back, timeout):
        claimed.append(stored(window))
        return gateway.approve(asked, back, timeout)

    broken(world, approve=approve)
    assert stored(window).state is State.OPENED
    window.back(agreed)
    [during] = claimed
    assert (during.state, during.due_at) == (State.CLAIMED, world.clock.now() + LEASE)
    assert during.attempt.started_at == world.clock.now()  # times for undoing it begin here, and not at the window
    assert during.sealed_kept
    check_paid_once(world, window)


@at_both
@pytest.mark.parametrize("twice", ["one after the other", "while the first is under way"])
def test_a_return_that_comes_twice_is_approved_once(world, window, twice):
    agreed, calls = window.press(), []

    def approve(gateway, *args):
        calls.append(args)
        if twice == "while the first is under way":
            window.back(agreed)
        return gateway.approve(*args)

    broken(world, approve=approve)
    assert [window.back(agreed).status for _ in range(3)] == [303] * 3
    assert len(calls) == 1
    check_paid_once(world, window)


def close(window):
    window.close()


def leave(window):
    window.back({"sr_left": "cancel", "sr_code": "X"})


def expire(window):
    window.shop.world.clock.advance(seconds=OPEN_FOR.total_seconds() + 61)
    work(window.shop.world)


def open_another(window):
    window.shop.open()


def charge_by_api(window):
    world = window.shop.world
    charges.charge_card(world.deps, world.merchant_id, request("order-1"), CARD, Target())


ENDS = [close, leave, expire, open_another, charge_by_api]


@at_both
@pytest.mark.parametrize("end", ENDS)
def test_a_return_that_is_too_late_asks_for_nothing(world, window, end):
    agreed, calls = window.press(), seen(world, "approve")
    end(window)
    assert window.back(agreed).status == 303  # to the result, which says so
    assert (stored(window).state, calls) == (State.FAILED, [])
    assert len(world.captured()) == (end is charge_by_api)
    assert order(world).is_open is (end in (open_another, charge_by_api))


@at_both
@pytest.mark.parametrize("end", ENDS)
def test_what_ends_it_just_before_the_claim_is_no_approval(world, window, end):
    agreed, calls = window.press(), seen(world, "approve")

    def read_return(gateway, *args):
        end(window)
        return gateway.read_return(*args)

    broken(world, read_return=read_return)
    window.back(agreed)
    assert (stored(window).state, calls) == (State.FAILED, [])


@at_both
def test_an_older_windows_proof_is_no_use_at_the_newer_one(world, shop, window):
    agreed = window.press()
    newer = shop.open()
    newer.back(agreed)
    work(world)
    assert (stored(window).state, stored(newer).state) == (State.FAILED, State.OPENED)
    assert world.captured() == []
    assert newer.pay()["status"] == "paid"


def test_the_end_of_its_time_does_not_touch_an_approval(world, window):
    """The buyer comes back in the last second, and the gateway takes its time."""
    world.clock.advance(seconds=OPEN_FOR.total_seconds() - 1)
    agreed = window.press()

    def approve(gateway, *args):
        world.clock.advance(seconds=15)
        work(world)
        return gateway.approve(*args)

    broken(world, approve=approve)
    window.back(agreed)
    check_paid_once(world, window)


@at_nice
def test_an_approval_that_comes_when_it_was_called_failed_goes_back(world, window, caplog):
    """The gateway takes longer than whoever asked it can live, and knows nothing of it until then."""
    agreed = window.press()

    def approve(gateway, *args):
        world.run_to_quiet()
        assert stored(window).state is State.FAILED
        return gateway.approve(*args)

    broken(world, approve=approve)
    window.back(agreed)
    assert len(world.captured()) == 1
    world.run_to_quiet()
    check_nothing_is_left(world, window, ["failed"])
    assert "after it was settled as failed" in stored(window).alarm
    assert alarms(caplog)


@pytest.mark.parametrize("state", sorted(set(State) - {State.OPENED}))
def test_only_an_open_window_is_claimed_or_left(world, window, state):
    payment, now = replace(stored(window), state=state), world.clock.now()
    with pytest.raises(ValueError, match=state):
        claim_approval(payment, None, now, now)
    with pytest.raises(ValueError, match=state):
        leave_window(payment, NEVER_FINISHED, now)


# --- who dies in between ------------------------------------------------------------------------------------------------


@at_both
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_death_in_the_approval_is_settled(world, window, carried_out):
    agreed = window.press()

    def approve(gateway, *args):
        if carried_out:
            assert isinstance(gateway.approve(*args), Approved)
        raise Dead

    before = world.deps
    broken(world, approve=approve)
    with pytest.raises(Dead):
        window.back(agreed)
    use(world, gateways=before.gateways)
    assert stored(window).state is State.CLAIMED
    window.back(agreed)  # the buyer reloads: nobody asks a second time
    world.clock.advance(seconds=LEASE.total_seconds() - 1)
    work(world)
    assert stored(window).state is State.CLAIMED
    world.run_to_quiet(hours=60)
    if carried_out:
        check_paid_once(world, window)
    else:
        check_nothing_is_left(world, window, ["failed"])


def test_a_claim_that_was_stored_without_an_answer_goes_on(world, window, monkeypatch):
    agreed = window.press()
    with monkeypatch.context() as patch:
        loses_answer_to_claim(world, patch)
        window.back(agreed)
    check_paid_once(world, window)


def test_a_claim_of_which_nobody_knows_whether_it_is_stored_approves_nothing(world, window, monkeypatch):
    """It is, and nothing was sent: after the lease the gateway is asked, and knows of no payment."""
    agreed, calls = window.press(), seen(world, "approve")
    with monkeypatch.context() as patch:
        loses_answer_to_claim(world, patch, then=lambda: patch.setattr(world.store, "load", down))
        assert window.back(agreed).status == 503
    window.back(agreed)
    assert (stored(window).state, calls) == (State.CLAIMED, [])
    world.run_to_quiet(hours=60)
    check_nothing_is_left(world, window, ["failed"])


def test_a_claim_that_was_not_stored_can_be_made_again(world, window, monkeypatch):
    agreed, calls = window.press(), seen(world, "approve")
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "commit", down)
        assert window.back(agreed).status == 503
    assert (stored(window).state, calls) == (State.OPENED, [])
    window.back(agreed)
    check_paid_once(world, window)


def down(*_):
    raise StoreUnavailable("down")


def loses_answer_to_claim(world, patch, then=lambda: None):
    commit = world.store.commit

    def lost(*changes):
        stored = commit(*changes)
        if changes[0].state is not State.CLAIMED:
            return stored
        then()
        raise StoreUnavailable("no answer")

    patch.setattr(world.store, "commit", lost)


# --- what the gateway says ----------------------------------------------------------------------------------------------


@at_both
def test_another_amount_is_given_back(world, gateway, window):
    agreed = window.press()
    gateway.fail("charge", "wrong_amount")
    window.back(agreed)
    assert window.result()["result"]["confirming"]
    world.run_to_quiet()
    check_nothing_is_left(world, window, ["failed"])


@at_both
def test_a_lost_reply_is_found(world, gateway, window):
    agreed = window.press()
    gateway.fail("charge", "reply_lost")
    window.back(agreed)
    assert stored(window).state is State.UNKNOWN
    world.run_to_quiet()
    check_paid_once(world, window)


def test_a_lost_reply_is_found_by_what_the_window_left(world, gateway, window):
    """At a gateway that knows no order ids."""
    restricted(world, Operation.FIND, adding=(Operation.READ,))
    agreed = window.press()
    queries = seen(world, "find_charge")
    gateway.fail("charge", "reply_lost")
    window.back(agreed)
    world.run_to_quiet()
    check_paid_once(world, window)
    assert {query.kept["payment_key"] for query, _ in queries} == {agreed["paymentKey"]}
    assert {query.gateway_ref for query, _ in queries} == {None}


@at_nice
def test_a_lost_reply_that_nobody_can_tell_about_is_undone_by_what_the_window_left(world, gateway, window):
    agreed = window.press()
    world.clock.advance(minutes=30)  # so that the window's hour is told from the approval's
    asked_at = world.clock.now()
    gateway.fail("charge", "reply_lost")
    gateway.fail("find", "http_500", times=12)
    cancels = seen(world, "cancel")
    window.back(agreed)
    world.run_to_quiet()
    check_nothing_is_left(world, window, ["failed"])
    [(cancel, _)] = cancels
    assert (cancel.kept, cancel.gateway_ref) == ({"tid": agreed["tid"]}, "")
    assert stored(window).attempt.outcome == "undone"
    assert stored(window).failed_at - asked_at == timedelta(minutes=48)  # four fifths of the window


@at_nice
def test_the_time_for_undoing_is_the_windows_and_not_the_charges(world, gateway, window):
    restricted(world, provider="nice_v2", net_cancel=None)
    agreed = window.press()
    gateway.fail("charge", "reply_lost")
    gateway.fail("find", "http_500", times=12)
    cancels = seen(world, "cancel")
    window.back(agreed)
    world.run_to_quiet()
    assert cancels == []
    check_paid_once(world, window)


@pytest.mark.gateways("kcp")
@pytest.mark.parametrize("gateway", ["kcp"], indirect=True)
def test_a_lost_reply_that_nobody_can_ask_about_is_a_persons(world, gateway, window, caplog):
    agreed = window.press()
    gateway.fail("charge", "reply_lost")
    window.back(agreed)
    world.run_to_quiet()
    payment = stored(window)
    assert (payment.state, payment.due_at, told(world)) == (State.UNKNOWN, None, [])
    assert "cannot be asked" in payment.alarm
    assert len(alarms(caplog)) == 1
    assert order(world).is_open
    window.shop.api.login(world.merchant)
    assert window.result()["result"]["confirming"]
    assert window.shop.ask()[1]["code"] == 1  # and no second window


def test_a_gateway_that_approves_nothing_is_down_in_the_end(world, shop, gateway):
    for n in range(3):
        window = shop.open(merchant_uid=f"order-{n}")
        agreed = window.press()
        gateway.fail("charge", "refuse", seconds=1)
        window.back(agreed)
        assert stored(window).state is State.FAILED
    health = world.store.load(Ref(Health, (world.merchant_id,)))
    assert health.of(world.channels["tosspayments"]).state is HealthState.DOWN


@pytest.mark.parametrize("button", ["cancel", "approve-no-funds"])
def test_buyers_say_nothing_about_a_gateway(world, shop, button):
    for n in range(5):
        assert not shop.open(merchant_uid=f"order-{n}").pay(button)["success"]
    health = world.store.load(Ref(Health, (world.merchant_id,)))
    assert health is None or health.of(world.channels["tosspayments"]).state is not HealthState.DOWN


# --- what cannot be written down ------------------------------------------------------------------------------------------


def cannot_be_stored(world):
    """Not as paid, that is. Returns what puts an end to it."""
    commit = world.store.commit

    def commit_unless_paid(*changes):
        if any(isinstance(change, Payment) and change.state is State.PAID for change in changes):
            raise StoreUnavailable("down")
        return commit(*changes)

    world.store.commit = commit_unless_paid
    return lambda: setattr(world.store, "commit", commit)


@at_both
def test_an_approval_that_cannot_be_stored_is_settled_later(world, window):
    agreed, cancels = window.press(), seen(world, "cancel")
    up_again = cannot_be_stored(world)
    window.back(agreed)
    assert window.result()["result"]["confirming"]
    assert (stored(window).state, cancels) == (State.CLAIMED, [])
    up_again()
    world.run_to_quiet()
    check_paid_once(world, window)


def test_an_approval_that_cannot_be_stored_or_asked_about_goes_back_at_once(world, window, caplog):
    restricted(world, Operation.FIND)
    agreed, cancels = window.press(), seen(world, "cancel")
    up_again = cannot_be_stored(world)
    with caplog.at_level(logging.ERROR):
        window.back(agreed)
    up_again()
    assert world.captured() == []
    [(cancel, _)] = cancels
    assert (cancel.amount.amount, cancel.balance.amount) == (8900, 8900)
    assert window.result()["result"]["confirming"]
    assert any("giving it back: Cancelled" in text for text in alarms(caplog))
    world.run_to_quiet()
    assert (stored(window).state, told(world)) == (State.CLAIMED, [])  # a person says that it has failed
    assert stored(window).alarm


@pytest.mark.parametrize("method", ["read_return", "seal"])
def test_what_fails_before_the_claim_leaves_the_window_open(world, window, monkeypatch, method):
    agreed, calls = window.press(), seen(world, "approve")
    with monkeypatch.context() as patch:
        if method == "seal":
            patch.setattr(world.deps.sealer, "seal", down)
        else:
            broken(world, read_return=down)
        assert window.back(agreed).status == 503
    assert (stored(window).state, calls) == (State.OPENED, [])


# --- what the window left ---------------------------------------------------------------------------------------------------


@at_both
def test_what_the_window_left_is_sealed(world, gateway, window):
    agreed = window.press()
    gateway.fail("charge", "reply_lost")
    window.back(agreed)
    assert stored(window).sealed_kept
    text = "".join(world.store.texts())
    assert [value for name, value in agreed.items() if value in text and len(value) > 20] == []


def test_it_opens_for_its_own_payment_only(world, shop, gateway):
    first, second = shop.open(), shop.open(merchant_uid="order-2")
    for window in (first, second):
        assert window.pay()["success"]
    routing = world.store.load(Ref(Routing, (world.merchant_id,)))
    assert open_kept(world.deps, routing, stored(first))["payment_key"] == stored(first).gateway_ref
    with pytest.raises(InvalidTag):
        open_kept(world.deps, routing, replace(stored(first), sealed_kept=stored(second).sealed_kept))


# --- virtual accounts ---------------------------------------------------------------------------------------------------------


def notice_of(world, gateway, window):
    """The buyer pays in; what the gateway sends."""
    return gateway.deposit(stored(window).attempt.order_id)


def send_notice(window, notice, channel=None):
    world, api = window.shop.world, window.shop.api
    provider = stored(window).attempt.pg_provider
    path = f"/notices/{world.merchant_id}/{world.channels[channel or provider]}"
    body = json.dumps(notice).encode()
    return api.send("POST", path, body, {"Content-Type": "application/json", "Authorization": ""})[0]


def turned(value):
    return f"{value[:-1]}{'0' if value[-1] != '0' else '1'}"


@at_both
def test_an_account_is_paid_into(world, gateway, account):
    assert (stored(account).state, told(world)) == (State.WAITING, ["ready"])
    notice = notice_of(world, gateway, account)
    assert stored(account).state is State.WAITING
    assert send_notice(account, notice) == 200
    assert send_notice(account, notice) == 200  # as gateways do
    assert stored(account).state is State.PAID
    assert told(world) == ["ready", "paid"]


@at_both
def test_a_deposit_without_a_notice(world, gateway, account):
    notice_of(world, gateway, account)
    world.run_to_quiet(hours=100)
    assert stored(account).state is State.PAID
    assert told(world) == ["ready", "paid"]


@at_both
def test_a_notice_without_what_only_the_gateway_knows_makes_us_ask_nobody(world, gateway, account):
    notice = notice_of(world, gateway, account)
    asked = seen(world, "find_charge")
    world.channel("tosspayments", "another")
    secret = "secret" if "secret" in notice else "signature"
    assert send_notice(account, {**notice, secret: turned(notice[secret])}) in (400, 404)
    assert send_notice(account, {**notice, secret: ""}) in (400, 404)
    assert send_notice(account, notice, channel="another") in (400, 404)
    assert (stored(account).state, asked) == (State.WAITING, [])


@at_nice
def test_a_notice_that_is_signed_for_another_number_is_not_ours(world, shop, gateway, account):
    """It has no secret: its number has to be the one that we know."""
    other = shop.open(merchant_uid="order-2", pay_method="vbank", vbank_due="2026-11-25")
    other.pay()
    notice = notice_of(world, gateway, other)
    asked = seen(world, "find_charge")
    assert send_notice(account, {**notice, "orderId": stored(account).attempt.order_id}) in (400, 404)
    assert (stored(account).state, asked) == (State.WAITING, [])


@at_both
def test_nothing_is_paid_in(world, account):
    world.run_to_quiet(hours=200)
    assert (stored(account).state, stored(account).alarm) == (State.FAILED, None)
    assert told(world) == ["ready", "failed"]
    assert not order(world).is_open


@pytest.mark.gateways("kcp")
@pytest.mark.parametrize("gateway", ["kcp"], indirect=True)
def test_nothing_is_paid_in_and_the_gateway_does_not_say_so(world, account, caplog):
    """Its books show an account that waits, for ever: nobody is called for that."""
    world.run_to_quiet(hours=24 * 10)
    assert (stored(account).state, stored(account).due_at) == (State.FAILED, None)
    assert (stored(account).alarm, alarms(caplog)) == (None, [])
    assert told(world) == ["ready", "failed"]


@pytest.mark.gateways("kcp")
@pytest.mark.parametrize("gateway", ["kcp"], indirect=True)
def test_an_account_that_cannot_be_closed(world, account):
    assert account.shop.api.delete(f"/vbanks/{account.imp_uid}")[1]["code"] == -1
    assert stored(account).state is State.WAITING


def test_a_deposit_that_comes_when_it_was_called_failed_calls_a_person(world, gateway, account, caplog):
    rules = replace(world.deps.gateways.spec("tosspayments").virtual_accounts, tells_expiry=False, revocable=False)
    restrict(world, virtual_accounts=rules)
    waiting = gateway.simulator.books.charges[-1]
    waiting.details["due"] += 30 * 86_400  # the bank's last day is not ours
    world.run_to_quiet(hours=62)
    assert told(world) == ["ready", "failed"]
    notice_of(world, gateway, account)
    world.run_to_quiet(hours=100)
    assert stored(account).state is State.FAILED
    assert "refund it at the gateway" in stored(account).alarm
    assert told(world) == ["ready", "failed"]


@at_both
def test_a_lost_reply_to_an_account_is_found(world, shop, gateway):
    window = shop.open(pay_method="vbank", vbank_due="2026-11-25")
    agreed = window.press()
    gateway.fail("charge", "reply_lost")
    cancels = seen(world, "cancel")
    window.back(agreed)
    world.clock.advance(minutes=5)
    work(world)
    assert (stored(window).state, cancels) == (State.WAITING, [])
    assert stored(window).account.number
    assert told(world) == ["ready"]


@at_both
def test_a_deposit_goes_back_to_the_buyers_account(world, gateway, account, api):
    assert send_notice(account, notice_of(world, gateway, account)) == 200
    _, answer = api.post("/payments/cancel", imp_uid=account.imp_uid, **REFUND)
    assert (answer["code"], answer["response"]["status"]) == (0, "cancelled")
    assert world.captured() == []
