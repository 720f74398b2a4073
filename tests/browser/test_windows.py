"""Every gateway's window, all the way: from the shop's button to what its callback is told, on a desktop and on a phone."""

import pytest

from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.windows import BUYER_LEFT
from infra.sandbox.windows import METHODS
from tests.browser.shop import BUYERS_PAGE, ORDER, buy, frame_at, press, result
from tests.contract.test_windows import METHODS as ALL_METHODS
from tests.contract.test_windows import WITH_WINDOW

FURTHER = [(provider, method) for provider, method in ALL_METHODS if method not in ("card", "paypal")]
BUTTONS = [
    (provider, button)
    for provider in WITH_WINDOW
    for button in ("approve-no-funds", "fail", "cancel")
    if (provider, button) != ("paypal_v2", "approve-no-funds")  # takes no cards there
]
LEFT_AT_ONCE = {"paypal_v2"}
"""Who cannot pay there is sent back as who does not want to."""


def wanted(provider, method="card"):
    """What the gateway or the method wants, beside the sample's parameters."""
    more = {"vbank": {"vbank_due": "2026-11-30"}, "phone": {"digital": False}}.get(method, {})
    if provider == "paypal_v2":
        return {"pay_method": "paypal", "currency": "USD"}
    if provider == "smartro_v2":  # no hyphen
        more = {**more, "merchant_uid": ORDER.replace("-", "")}
    return {"pay_method": method, **more}


@pytest.mark.parametrize("provider", WITH_WINDOW)
def test_paid(new_shop, page, provider):
    shop = new_shop(provider, **wanted(provider))
    window = frame_at(buy(page, shop), BUYERS_PAGE)
    assert "Norway" in window.inner_text("#name")
    window.click("#approve")
    payment = shop.agrees(result(page), "paid")
    assert (payment["pg_provider"], payment["amount"]) == (provider, 1000)
    assert shop.webhooks() == ["paid"]


@pytest.mark.parametrize("provider", WITH_WINDOW)
def test_paid_on_a_phone(new_shop, phone, provider):
    shop = new_shop(provider, **wanted(provider))
    press(buy(phone, shop), "approve")
    phone.wait_for_url(f"{shop.url}?**")
    assert shop.agrees_on_return(phone.url)["status"] == "paid"
    assert shop.webhooks() == ["paid"]


@pytest.mark.parametrize(("provider", "button"), BUTTONS)
def test_not_paid(new_shop, page, provider, button):
    shop = new_shop(provider, **wanted(provider))
    press(buy(page, shop), button)
    told = result(page)
    shop.agrees(told, "failed")
    is_left = button == "cancel" or provider in LEFT_AT_ONCE
    assert told["error_msg"].startswith(BUYER_LEFT) is is_left
    assert (shop.stored().attempts[-1].reason is DeclineReason.BUYER_CANCELLED) is is_left
    assert shop.webhooks() == []  # of what was never paid V1 sends none


@pytest.mark.parametrize(("provider", "method"), FURTHER)
def test_further_methods(new_shop, page, provider, method):
    shop = new_shop(provider, **wanted(provider, method))
    window = frame_at(buy(page, shop), BUYERS_PAGE)
    assert window.inner_text("#method") == METHODS[method]
    window.click("#approve")
    told = result(page)
    payment = shop.agrees(told, "ready" if method == "vbank" else "paid")
    assert payment["pay_method"] == method
    if method == "vbank":
        assert told["vbank_num"] == payment["vbank_num"]
        assert shop.webhooks() == ["ready"]
