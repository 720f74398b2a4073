"""What gets lost between browser, router and gateway. Nobody pays twice, and nobody is told what is not so."""

import re

import pytest

from tests.browser.shop import (
    CLOSE,
    DIALOG,
    RESULT,
    WINDOW,
    buy,
    frame_at,
    press,
    result,
    results,
    wait_for,
)
from tests.browser.test_windows import wanted
from tests.contract.test_windows import WITH_WINDOW

UNANSWERING = ["kcp"]
"""What has become of an order, only a person can find out there."""

GONE = "net::ERR_FAILED"
RETURN = re.compile(r"/window/[^/]+/return")


@pytest.fixture
def shop(new_shop):
    return new_shop("tosspayments")


def offline(page):
    """Until the browser shows its own page."""
    wait_for(page, lambda: page.url.startswith("chrome-error:"))
    page.wait_for_load_state()


def lose(page, where, *, after=False):
    """The first request there is lost, or its answer is."""

    def drop(route):
        if after:
            route.fetch(max_redirects=0)
        route.abort()

    page.context.route(where, drop, times=1)


# --- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["request", "answer"])
def test_opening(shop, page, console, after):
    lose(page, "**/window/payments", after=after)
    buy(page, shop)
    [told] = results(page)
    assert (told["error_code"], told["imp_uid"]) == ("NETWORK", None)
    console.expect(GONE)
    page.click("#buy")
    press(page, "approve")
    shop.agrees(results(page, 2)[1], "paid")


def test_the_windows_page_in_a_frame(shop, page, console):
    lose(page, WINDOW)
    buy(page, shop)
    page.wait_for_selector(f"{DIALOG} iframe")
    page.click(CLOSE)
    shop.agrees(result(page), "failed")
    console.expect(GONE)
    page.click("#buy")
    press(page, "approve")
    shop.agrees(results(page, 2)[1], "paid")


def test_the_windows_page_on_a_phone(shop, phone, console):
    lose(phone, WINDOW)
    buy(phone, shop)
    offline(phone)
    console.expect(GONE)
    phone.reload()
    press(phone, "approve")
    phone.wait_for_url(f"{shop.url}?**")
    assert shop.agrees_on_return(phone.url)["status"] == "paid"


# --- the gateway's script --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["다시 시도", "다른 결제사로 결제", "결제 취소"])
def test_the_gateways_script(new_shop, page, console, then):
    shop = new_shop("tosspayments", "nice_v2")
    lose(page, f"{shop.world.sandboxes['tosspayments'].url}/**")
    buy(page, shop)
    window = page.frame_locator(f"{DIALOG} iframe")
    window.locator(".problem").wait_for()
    console.expect(GONE)
    window.locator(".actions").get_by_role("button", name=then).click()
    if then == "결제 취소":
        shop.agrees(result(page), "failed")
        return
    press(page, "approve")
    payment = shop.agrees(result(page), "paid")
    assert payment["pg_provider"] == ("nice_v2" if then == "다른 결제사로 결제" else "tosspayments")


def test_no_other_gateway(shop, page, console):
    lose(page, f"{shop.world.sandboxes['tosspayments'].url}/**")
    buy(page, shop)
    page.frame_locator(f"{DIALOG} iframe").get_by_role("button", name="다른 결제사로 결제").click()
    console.expect(GONE)
    shop.agrees(result(page), "failed")


# --- the way back ----------------------------------------------------------------------------------------------------


def test_the_way_back_in_a_frame(shop, page, console):
    lose(page, RETURN)
    press(buy(page, shop), "approve")
    wait_for(page, lambda: any(frame.url.startswith("chrome-error:") for frame in page.frames))
    console.expect(GONE)
    page.click(CLOSE)
    shop.agrees(result(page), "failed")


@pytest.mark.parametrize("provider", ["tosspayments", "smartro_v2"])
@pytest.mark.parametrize("after", [False, True], ids=["request", "answer"])
def test_the_way_back_on_a_phone(new_shop, phone, console, provider, after):
    shop = new_shop(provider, **wanted(provider))
    lose(phone, RETURN, after=after)
    press(buy(phone, shop), "approve")
    offline(phone)
    console.expect(GONE)
    phone.reload()
    phone.wait_for_url(f"{shop.url}?**")
    assert shop.agrees_on_return(phone.url)["status"] == "paid"
    assert shop.webhooks() == ["paid"]


def test_a_slow_network(shop, phone):
    phone.context.new_cdp_session(phone).send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 100, "downloadThroughput": 50_000, "uploadThroughput": 50_000},
    )
    press(buy(phone, shop), "approve")
    phone.wait_for_url(f"{shop.url}?**")
    assert shop.agrees_on_return(phone.url)["status"] == "paid"


# --- the approval ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", [name for name in WITH_WINDOW if name not in UNANSWERING])
def test_the_approvals_answer(new_shop, page, provider):
    shop = new_shop(provider, **wanted(provider))
    shop.world.sandboxes[provider].fail("charge", "reply_lost")
    press(buy(page, shop), "approve")
    assert "확인하고 있습니다" in frame_at(page, RESULT).inner_text("main")
    assert page.evaluate("window.results") == []
    shop.world.run_to_quiet(hours=1)
    shop.agrees(result(page), "paid")


@pytest.mark.parametrize("provider", UNANSWERING)
def test_the_approvals_answer_where_nobody_can_be_asked(new_shop, timed_page, provider):
    """The page is told what is known, which is no failure: told so, the buyer would pay again."""
    shop = new_shop(provider, **wanted(provider))
    shop.world.sandboxes[provider].fail("charge", "reply_lost")
    press(buy(timed_page, shop), "approve")
    assert "확인하고 있습니다" in frame_at(timed_page, RESULT).inner_text("main")
    shop.world.run_to_quiet(hours=1)
    for _ in range(41):
        timed_page.clock.run_for(1_000)
    told = result(timed_page)
    assert (told["status"], told["success"], told["confirming"]) == ("ready", True, True)
    assert shop.ordered()["status"] == "ready"


def test_the_approvals_answer_on_a_phone(shop, phone):
    shop.world.sandboxes["tosspayments"].fail("charge", "reply_lost")
    press(buy(phone, shop), "approve")
    phone.wait_for_url(RESULT)
    assert "확인하고 있습니다" in phone.inner_text("main")
    shop.world.run_to_quiet(hours=1)
    phone.wait_for_url(f"{shop.url}?**")
    assert shop.agrees_on_return(phone.url)["status"] == "paid"
