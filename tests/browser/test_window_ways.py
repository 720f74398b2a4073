"""What buyers do besides paying: leaving, going back, reloading, clicking twice, opening a second tab, switching off."""

import pytest

from tests.browser.shop import (
    BUYERS_PAGE,
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


@pytest.fixture
def shop(new_shop):
    return new_shop("tosspayments")


def windows(shop, provider="tosspayments"):
    """How they were left, one by one; None is one that is open."""
    return [window["outcome"] for window in shop.world.sandboxes[provider].simulator.windows()]


# --- leaving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["button", "escape", "button of the window", "after the gateway stalls"])
def test_who_leaves_has_not_paid(shop, page, how):
    frame_at(buy(page, shop), BUYERS_PAGE)
    if how == "escape":
        page.locator(CLOSE).press("Escape")
    elif how == "button of the window":
        # As if the gateway's own window did not cover it.
        frame_at(page, WINDOW).locator("#cancel").dispatch_event("click")
    else:
        if how == "after the gateway stalls":
            press(page, "stall")
        page.click(CLOSE)
    told = result(page)
    shop.agrees(told, "failed")
    assert told["error_code"] == "CLOSED"


def test_who_leaves_while_it_is_approved_has_paid(shop, page):
    toss = shop.world.sandboxes["tosspayments"]
    toss.fail("charge", "slow", seconds=30)
    press(buy(page, shop), "approve")
    wait_for(page, shop.is_claimed)
    page.click(CLOSE)
    page.wait_for_selector(f"{DIALOG} >> text=확인하고 있습니다")
    toss.clear_faults()
    shop.agrees(result(page), "paid")


def test_who_switches_off_while_it_is_approved_has_paid(shop, phone):
    toss = shop.world.sandboxes["tosspayments"]
    toss.fail("charge", "slow", seconds=30)
    press(buy(phone, shop), "approve")
    wait_for(phone, shop.is_claimed)
    context = phone.context
    phone.close()
    toss.clear_faults()
    other = context.new_page()
    wait_for(other, lambda: shop.ordered()["status"] == "paid")
    assert shop.money() == [1000]
    assert shop.webhooks() == ["paid"]


# --- a pop-up --------------------------------------------------------------------------------------------------------


def in_popup(shop, page):
    shop.more["popup"] = True
    shop.put_up()
    with page.expect_popup() as opened:
        buy(page, shop)
    return opened.value


@pytest.mark.parametrize("provider", ["tosspayments", "nice_v2", "paypal_v2"])
def test_paid_in_a_pop_up(new_shop, page, provider):
    shop = new_shop(provider, **({"pay_method": "paypal", "currency": "USD"} if provider == "paypal_v2" else {}))
    popup = in_popup(shop, page)
    press(page, "approve")
    shop.agrees(result(page), "paid")
    wait_for(page, popup.is_closed)


def test_paypal_where_the_shops_pop_ups_are_blocked(new_shop, page):
    """Its page refuses to be in our frame, where a button opens it in a pop-up."""
    page.add_init_script("if (window === top) window.open = () => null")
    shop = new_shop("paypal_v2", pay_method="paypal", currency="USD")
    frame_at(buy(page, shop), WINDOW).click("#stage button")
    press(page, "approve")
    shop.agrees(result(page), "paid")


def test_a_pop_up_that_the_buyer_closes(shop, page):
    popup = in_popup(shop, page)
    frame_at(page, BUYERS_PAGE)
    popup.close()
    assert shop.agrees(result(page), "failed")["fail_reason"]


# --- going back, reloading -------------------------------------------------------------------------------------------


def test_back_from_the_gateways_page_opens_it_again(new_shop, phone):
    shop = new_shop("smartro_v2", merchant_uid="order1")
    first = frame_at(buy(phone, shop), BUYERS_PAGE).url
    phone.go_back()
    wait_for(phone, lambda: BUYERS_PAGE.search(phone.url) and phone.url != first)
    press(phone, "approve")
    phone.wait_for_url(f"{shop.url}?**")
    assert windows(shop, "smartro_v2") == [None, "approve"]
    assert shop.agrees_on_return(phone.url)["status"] == "paid"


def test_back_from_the_window_and_the_shop_can_begin_anew(new_shop, phone):
    shop = new_shop("nice_v2")
    frame_at(buy(phone, shop), BUYERS_PAGE)
    phone.go_back()
    phone.wait_for_url(shop.url)
    phone.click("#buy")
    wait_for(phone, lambda: windows(shop, "nice_v2") == [None, None])
    press(phone, "approve")
    phone.wait_for_url(f"{shop.url}?**")
    assert shop.agrees_on_return(phone.url)["status"] == "paid"


def test_the_window_is_reloaded(shop, page):
    first = frame_at(buy(page, shop), BUYERS_PAGE).url
    frame_at(page, WINDOW).evaluate("void setTimeout(() => location.reload())")
    wait_for(page, lambda: len(windows(shop)) == 2)
    wait_for(page, lambda: first not in [frame.url for frame in page.frames])
    press(page, "approve")
    shop.agrees(result(page), "paid")


@pytest.mark.parametrize("provider", ["tosspayments", "smartro_v2"])
def test_everything_is_reloaded_after_it_was_paid(new_shop, phone, provider):
    """The way back is by GET at the one, and with a form at the other."""
    shop = new_shop(provider, merchant_uid="order1")
    asked = []
    phone.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - it takes no built-in
    press(buy(phone, shop), "approve")
    phone.wait_for_url(f"{shop.url}?**")
    paid = phone.url
    [window] = {request.url for request in asked if WINDOW.search(request.url) and request.method == "GET"}
    [back] = [request for request in asked if request.url.partition("?")[0] == f"{window}/return"]
    assert back.method == ("GET" if provider == "tosspayments" else "POST")
    phone.reload()
    for address in (window, f"{window}/result", back.url):
        phone.goto(address)
        assert phone.url == paid
    assert shop.agrees_on_return(phone.url)["status"] == "paid"
    assert shop.webhooks() == ["paid"]


def test_the_result_of_a_frame_is_looked_at_again(shop, page):
    press(buy(page, shop), "approve")
    frames = []
    page.on("framenavigated", lambda frame: frames.append(frame.url))
    shop.agrees(result(page), "paid")
    [address] = [url for url in frames if RESULT.search(url)]
    page.goto(address)
    assert "결제되었습니다" in page.inner_text("main")
    page.reload()
    assert "결제되었습니다" in page.inner_text("main")


@pytest.mark.parametrize("then", ["the page's link", "back"])
def test_what_no_gateway_sent_changes_nothing(shop, page, console, then):
    frame_at(buy(page, shop), BUYERS_PAGE)
    window = frame_at(page, WINDOW)
    address = f"{window.url}/return?paymentKey=forged&orderId=other&amount=1"
    window.evaluate("address => void setTimeout(() => location.assign(address))", address)
    problem = page.frame_locator(f"{DIALOG} iframe")
    problem.locator(".problem").wait_for()
    console.expect("status of 400")
    if then == "back":
        page.evaluate("history.back()")
    else:
        problem.get_by_role("link").click()
    press(page, "approve")
    shop.agrees(result(page), "paid")


# --- twice -----------------------------------------------------------------------------------------------------------


def test_a_double_click_opens_one_window(shop, page, console):
    console.expect("a payment window is open already")
    page.goto(shop.url)
    page.evaluate("() => { const buy = document.getElementById('buy'); buy.click(); buy.click(); }")
    press(page, "approve")
    refused, told = results(page, 2)
    assert refused["error_code"] == "OPEN_ALREADY"
    shop.agrees(told, "paid")
    assert windows(shop) == ["approve"]


@pytest.mark.parametrize("first", ["older", "newer"])
def test_two_tabs_of_one_order_pay_once(shop, page, first):
    other = page.context.new_page()
    frame_at(buy(page, shop), BUYERS_PAGE)
    buy(other, shop)
    wait_for(page, lambda: windows(shop) == [None, None])
    for tab in (page, other) if first == "older" else (other, page):
        tab.bring_to_front()  # as the buyer would: browsers put off what a hidden tab does
        press(tab, "approve", tabs=[tab])
    replaced, paid = result(page), result(other)
    shop.agrees(paid, "paid")
    assert (replaced["success"], replaced["error_code"]) == (False, "REPLACED")
    assert shop.payment(replaced["imp_uid"])["status"] == "failed"
    assert shop.webhooks() == ["paid"]


def test_two_orders_in_two_tabs(shop, page):
    other = page.context.new_page()
    other.goto(shop.url)
    other.evaluate("void (window.more.merchant_uid = 'order-2')")
    buy(page, shop)
    other.click("#buy")
    for tab in (other, page):
        tab.bring_to_front()
        press(tab, "approve", tabs=[tab])
    told = [result(tab) for tab in (page, other)]
    assert [(rsp["status"], shop.payment(rsp["imp_uid"])["merchant_uid"]) for rsp in told] == [
        ("paid", "ORD20180131-0000011"),
        ("paid", "order-2"),
    ]
    assert shop.money() == [1000, 1000]
