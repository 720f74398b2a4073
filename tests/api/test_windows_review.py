"""Tricks with the payment window: what strangers, buyers who change things in their browser, and bad luck could do."""

import json

import pytest

from chalicelib import container
from chalicelib.domain.charging import DepositNotice, Unknown
from chalicelib.domain.health import HealthState
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Ref, StoreUnavailable
from chalicelib.usecases import health, windows
from tests.support.recovery import meddle
from tests.support.windows import ORIGIN, Shop


@pytest.fixture(autouse=True)
def gateways(world, api):
    world.two_gateways((100, 0))
    world.webhook_url("https://shop.example/hook")


@pytest.fixture
def shop(world, api):
    return Shop(world, api)


def broken(world, **methods):
    meddle(world, **methods)
    container.install(world.deps)


def stored(window):
    world = window.shop.world
    return world.store.load(Ref(Payment, (world.merchant_id, window.imp_uid)))


def prepare(api, amount):
    assert api.post("/payments/prepare", merchant_uid="order-1", amount=amount)[1]["code"] == 0


# --- what is paid ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registered", [8901, 890000])
def test_an_amount_prepared_after_the_window_was_opened_counts(shop, api, world, registered):
    """Or whoever guesses an order's name opens its window before it has a price."""
    window = shop.open()
    agreed = window.press()
    prepare(api, registered)
    window.back(agreed)
    result = window.result()["result"]
    assert (result["success"], result["error_code"]) == (False, "PREPARED")
    assert world.captured() == []


def test_an_amount_prepared_late_that_fits(shop, api, world):
    window = shop.open()
    agreed = window.press()
    prepare(api, 8900)
    window.back(agreed)
    assert window.payment["status"] == "paid"


# --- what cannot be stored ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [True, False])
def test_what_may_be_stored_as_paid_is_not_given_back(shop, world, monkeypatch, caplog, written):
    """The answer to the write of an approval is lost, and the table is gone: nobody knows whether that was written."""
    window = shop.open()
    agreed = window.press()
    commit = world.store.commit

    def cut_off(*changes):
        if written:
            commit(*changes)
        monkeypatch.setattr(world.store, "commit", down)
        raise StoreUnavailable("the reply is lost")

    def down(*_):
        raise StoreUnavailable("down")

    def approve(gateway, *args):
        monkeypatch.setattr(world.store, "commit", cut_off)
        return gateway.approve(*args)

    broken(world, approve=approve)
    monkeypatch.setattr(windows, "can_ask", lambda *_: False)
    window.back(agreed)
    monkeypatch.undo()
    container.install(world.deps)
    assert [(t["amount"], t["balance"]) for t in world.captured()] == [(8900, 8900)]
    assert stored(window).state is (State.PAID if written else State.CLAIMED)
    assert "compare it with the gateway's books" in caplog.text


def test_what_is_surely_not_stored_is_given_back(shop, world, monkeypatch):
    """Only the write of the approval fails. Nobody could ask for it later."""
    window = shop.open()
    agreed = window.press()
    commit = world.store.commit

    def full(*changes):
        if any(isinstance(change, Payment) and change.state is State.PAID for change in changes):
            raise StoreUnavailable("down")
        return commit(*changes)

    monkeypatch.setattr(world.store, "commit", full)
    monkeypatch.setattr(windows, "can_ask", lambda *_: False)
    window.back(agreed)
    monkeypatch.undo()
    assert world.captured() == []
    assert stored(window).state is State.CLAIMED


# --- notices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [False, True])
def test_a_notice_about_an_account_that_was_never_issued(shop, api, world, leave):
    window = shop.open(pay_method="vbank", vbank_due="2026-11-25")
    if leave:
        window.close()
    asked = []
    order_id = window.attempt["order_id"]
    broken(
        world,
        read_deposit_notice=lambda gateway, fields: DepositNotice(order_id, gateway_ref=fields["ref"]),
        find_charge=lambda gateway, query, timeout: asked.append(query) or Unknown("no"),
    )
    before = stored(window)
    path = f"/notices/{world.merchant_id}/{world.channels['tosspayments']}"
    for ref in ("?", "", "None"):
        status, _ = api.send("POST", path, json.dumps({"ref": ref}).encode(), {"Content-Type": "application/json"})
        assert status == 404
    assert asked == []
    assert stored(window) == before


# --- health ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["FORBIDDEN_REQUEST", "NOT_ALLOWED_POINT_USE"])
def test_what_a_browser_can_call_forth_takes_no_channel_down(shop, world, code):
    """So Toss answers to the number of another shop's payment, and to points that this shop does not take."""
    toss = world.channels["tosspayments"]
    for n in range(3):
        window = shop.open(merchant_uid=f"order-{n}", channel_key=toss)
        agreed = window.press()
        world.sandboxes["tosspayments"].fail("charge", "decline", code=code)
        window.back(agreed)
        assert window.payment["status"] == "failed"
    assert health.load(world.deps, world.merchant_id).of(toss).state is HealthState.UP


def test_a_wrong_key_still_does(shop, world):
    toss = world.channels["tosspayments"]
    for n in range(3):
        window = shop.open(merchant_uid=f"order-{n}", channel_key=toss)
        agreed = window.press()
        world.sandboxes["tosspayments"].fail("charge", "decline", code="UNAUTHORIZED_KEY")
        window.back(agreed)
    assert health.load(world.deps, world.merchant_id).of(toss).state is HealthState.DOWN


# --- time -----------------------------------------------------------------------------------------------------------


def test_no_approval_is_asked_for_without_time_to_hear_of_it(shop, world):
    window = shop.open(confirm_url=f"{ORIGIN}/confirm")
    agreed = window.press()
    asked = []
    real = world.sender.post

    def slow(*args):
        world.clock.sleep(20)
        return real(*args)

    world.sender.post = slow
    broken(world, approve=lambda gateway, order, back, timeout: asked.append(timeout) or Unknown("?"))
    page = window.back(agreed)
    assert (page.status, asked, stored(window).state) == (503, [], State.OPENED)
    world.sender.post = real
    window.back(agreed)  # the buyer reloads
    assert len(asked) == 1


# --- texts ----------------------------------------------------------------------------------------------------------


def test_a_payment_that_was_given_back_is_not_shown_as_paid(shop, api):
    window = shop.open()
    window.pay()
    api.post("/payments/cancel", {"imp_uid": window.imp_uid})
    page = window.load(path="/result")
    assert "결제되었습니다" not in page.text
    assert "취소" in page.text


def test_what_a_browser_says_has_no_control_characters(shop):
    window = shop.open()
    window.back({"sr_left": "fail", "sr_code": "X\x1b[2J\n", "sr_message": "a\x00b\x1b]0;x\x07\r\nc"})
    for text in (stored(window).fail_reason, stored(window).attempt.code):
        assert text.isprintable(), text
