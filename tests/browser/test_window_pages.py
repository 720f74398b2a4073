"""What surrounds a payment: where pages come from, who may frame and address them, how they look, what follows later."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from chalicelib.domain.windows import PayMethod
from tests.browser.shop import BUYERS_PAGE, WINDOW, buy, frame_at, press, result, wait_for
from tests.browser.test_windows import wanted
from tests.contract.conftest import spec_of
from tests.contract.test_windows import WITH_WINDOW

ACCOUNTS = [name for name in WITH_WINDOW if PayMethod.VBANK in spec_of(name).windows.methods]


@pytest.fixture
def shop(new_shop):
    return new_shop("tosspayments")


# --- who asks, who is told -------------------------------------------------------------------------------------------


def test_a_page_whose_origin_is_not_registered_is_told_so(shop, page):
    stranger = shop.web.shop.replace("localhost", "stranger.test")
    page.goto(f"{stranger}/shop")
    page.click("#buy")
    told = result(page)
    assert (told["success"], told["imp_uid"]) == (False, None)
    assert "등록되지 않은 도메인" in told["error_msg"]
    assert stranger in told["error_msg"]
    assert shop.world.queue.tasks == []


def test_a_window_cannot_be_framed_by_another_page(shop, page, console):
    frame_at(buy(page, shop), BUYERS_PAGE)
    window = frame_at(page, WINDOW).url
    shop.web.pages["/elsewhere"] = f"<!doctype html><link rel='icon' href='data:,'><iframe src='{window}'></iframe>"
    other = page.context.new_page()
    other.goto(f"{shop.web.url}/elsewhere")
    console.expect("frame-ancestors")
    wait_for(other, console.__len__)
    assert not any(WINDOW.search(urlsplit(frame.url).path) for frame in other.frames)


def test_what_a_stranger_says_is_not_believed(shop, page):
    frame_at(buy(page, shop), BUYERS_PAGE)
    lie = {"source": "smart-routing", "imp_uid": shop.ordered()["imp_uid"], "result": {"success": True}}
    shop.web.pages["/liar"] = "<!doctype html><link rel='icon' href='data:,'>"
    page.evaluate(
        """url => { const frame = document.createElement("iframe"); frame.src = url; document.body.append(frame); }""",
        f"{shop.web.url}/liar",
    )
    liar = wait_for(page, lambda: [frame for frame in page.frames if frame.url.endswith("/liar")])[0]
    # The gateway's page is a frame in our window's, and may not speak for it either.
    for frame in (liar, frame_at(page, BUYERS_PAGE)):
        frame.evaluate("lie => top.postMessage(lie, '*')", lie)
    press(page, "approve")
    shop.agrees(result(page), "paid")


def test_a_shop_with_a_strict_policy(shop, page):
    shop.web.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {shop.api}; connect-src {shop.api}; frame-src {shop.api}; "
        "style-src 'self'; img-src 'self'; require-trusted-types-for 'script'; base-uri 'none'; form-action 'none'"
    )
    press(buy(page, shop), "approve")
    shop.agrees(result(page), "paid")


@pytest.mark.parametrize("button", ["approve", "cancel"])
def test_a_phone_is_led_to_the_address_the_shop_named(new_shop, phone, button):
    shop = new_shop("tosspayments")
    shop.more["m_redirect_url"] = f"{shop.url}?order=7&name=%EC%9D%98%EC%9E%90&imp_uid=old#end"
    shop.put_up()
    press(buy(phone, shop), button)
    phone.wait_for_url(f"{shop.url}?order=7**")
    shop.agrees_on_return(phone.url)
    query = parse_qsl(urlsplit(phone.url).query)
    assert query[:2] == [("order", "7"), ("name", "의자")]
    assert [name for name, _ in query].count("imp_uid") == 1
    assert urlsplit(phone.url).fragment == "end"


# --- later -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ACCOUNTS)
def test_an_account_that_is_paid_into(new_shop, page, provider):
    shop = new_shop(provider, **wanted(provider, "vbank"))
    box, channel = shop.world.sandboxes[provider], shop.world.channels[provider]
    box.notices.url = f"{shop.api}/notices/{shop.world.merchant_id}/{channel}"
    press(buy(page, shop), "approve")
    imp_uid = shop.agrees(result(page), "ready")["imp_uid"]
    box.deposit(f"{imp_uid.replace('_', '')}a1")
    wait_for(page, lambda: shop.webhooks()[-1:] == ["paid"])
    assert shop.webhooks() == ["ready", "paid"]
    assert shop.payment(imp_uid)["status"] == "paid"


# --- looks -----------------------------------------------------------------------------------------------------------


def test_in_english(new_shop, page):
    shop = new_shop("tosspayments", language="en")
    shop.world.sandboxes["tosspayments"].fail("charge", "slow", seconds=30)
    frame_at(buy(page, shop), BUYERS_PAGE)
    window = frame_at(page, WINDOW)
    assert window.evaluate("document.documentElement.lang") == "en"
    assert window.locator("#cancel").inner_text() == "Cancel"
    shop.world.sandboxes["tosspayments"].clear_faults()
    press(page, "approve")
    shop.agrees(result(page), "paid")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_dark_where_the_browser_is(new_shop, open_page, console, scheme):
    shop = new_shop("tosspayments")
    page = open_page(color_scheme=scheme)
    page.goto(f"{shop.api}/window/imp00000000-000000000000-{'0' * 32}")
    console.expect("status of 404")
    background, text = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.problem')).color]"
    )
    light = (sum(map(int, value.removeprefix("rgb(").rstrip(")").split(","))) for value in (background, text))
    assert (next(light) > next(light)) is (scheme == "light")
