"""/v1/iamport.js on a shop's page, with a router that says what the test wants."""

import json
import threading
import time
from urllib.parse import urlsplit

import pytest

from tests.browser.fake_router import CONFIRMING, IMP_UID, LEFT, OPENED, PAID, FakeRouter, answered

SHOP = """<!doctype html><title>shop</title><body style="overflow: auto"><h1>Shop</h1><button id="buy">buy</button>
<script src="{router}/v1/iamport.js"></script>
<script src="/shop/shop.js"></script>"""
SHOP_JS = """
window.results = [];
window.param = {channelGroupId: "channel-group-test-1", pay_method: "card", merchant_uid: "order-1", name: "Chair",
                amount: 1000};
window.pay = () => IMP.request_pay(window.param, (rsp) => window.results.push(rsp));
document.getElementById("buy").addEventListener("click", () => window.pay());
IMP.init("imp12345678");
"""
WINDOW = "<!doctype html><title>window</title><p>window</p>"
FIRST_SAMPLE = """
IMP.request_pay(
{
// 결제대행사를 지정할 때 사용한 channelKey, pg 대신
// channelGroupId 파라미터에 스마트 라우팅 그룹 ID를 설정합니다.
channelGroupId: "channel-group-test-1",
pay_method: "card", //결제수단 선택
merchant_uid: "ORD20180131-0000011", //고객사 주문번호
name: "Norway swivel chair", //주문명
amount: 1000, // 결제 금액
//고객 정보
buyer_email: "gildong@gmail.com",
buyer_name: "Hong Gildong",
buyer_tel: "010-4242-4242",
buyer_addr: "Shinsa-dong, Gangnam-gu, Seoul",
buyer_postcode: "01181",
},
function (rsp) {
// callback
if (rsp.success) {
// Payment is successful
document.title = "paid";
} else {
// Payment failed
document.title = "failed";
}
},
);
"""
DIALOG = "dialog[aria-label=결제창]"
CLOSE = "button[aria-label='결제창 닫기']"


@pytest.fixture
def router():
    with FakeRouter() as running:
        running.pages |= {
            "/shop": SHOP.format(router=running.url),
            "/shop/shop.js": (200, "text/javascript", SHOP_JS.encode()),
            "/window/payments": OPENED,
            "/window/T": WINDOW,
            "/window/T/result": WINDOW,
            "/shop/elsewhere": WINDOW,
            "/window/T/close": answered(LEFT),
        }
        yield running


@pytest.fixture
def shop(router, page):
    """The shop's page, before anything was bought."""
    page.goto(f"{router.shop}/shop")
    return page


def buy(shop):
    shop.click("#buy")
    return shop


def window_of(shop):
    """The window's frame, when it is there."""
    shop.wait_for_selector(f"{DIALOG} iframe")
    return found(shop, lambda frame: urlsplit(frame.url).path == "/window/T")


def found(shop, is_it):
    for _ in range(200):
        frame = next(filter(is_it, shop.frames), None)
        if frame:
            frame.wait_for_load_state()
            return frame
        shop.wait_for_timeout(20)
    raise AssertionError([frame.url for frame in shop.frames])


def go(shop, frame, url):
    """The same frame with another page, which may be another frame to Playwright."""
    frame.evaluate("url => { setTimeout(() => location.assign(url)) }", url)
    return found(shop, lambda frame: frame.url == url)


def send(frame, origin, times=1, **changed):
    """What web/result.js sends, or something like it."""
    message = {"source": "smart-routing", "imp_uid": IMP_UID, "result": PAID, **changed}
    # Later, since the frame may be gone before it could answer us.
    script = "([message, origin, times]) => { for (let n = 0; n < times; n++) setTimeout(() => parent.postMessage(message, origin)) }"
    frame.evaluate(script, [message, origin, times])


def results(shop, count=1):
    # Not wait_for_function, which needs the page's leave to evaluate text.
    wait_for(shop, lambda: shop.evaluate("window.results.length") >= count)
    return shop.evaluate("window.results")


def gone(shop):
    return shop.locator(DIALOG).count() == 0 and shop.evaluate("document.documentElement.style.overflow") == ""


# --- a payment -------------------------------------------------------------------------------------------------------


def test_the_guides_first_sample_runs_as_it_stands(router, shop):
    shop.evaluate(FIRST_SAMPLE)
    frame = window_of(shop)
    [asked] = router.posted("/window/payments")
    assert asked == {
        "channelGroupId": "channel-group-test-1",
        "pay_method": "card",
        "merchant_uid": "ORD20180131-0000011",
        "name": "Norway swivel chair",
        "amount": 1000,
        "buyer_email": "gildong@gmail.com",
        "buyer_name": "Hong Gildong",
        "buyer_tel": "010-4242-4242",
        "buyer_addr": "Shinsa-dong, Gangnam-gu, Seoul",
        "buyer_postcode": "01181",
        "user_code": "imp12345678",
        "way": "frame",
        "is_mobile": False,
    }
    [(_, headers, _)] = [asked for asked in router.asked if asked[0] == "/window/payments"]
    assert (headers["origin"], headers["content-type"]) == (router.shop, "application/json")
    assert "cookie" not in headers
    send(frame, router.shop)
    shop.wait_for_function("document.title === 'paid'", polling=20)
    assert gone(shop)


def test_the_callback_gets_the_routers_result_as_it_is_once(router, shop):
    frame = window_of(buy(shop))
    told = {**PAID, "custom_data": '{"a": 1}', "한글": None}
    send(frame, router.shop, times=2, result=told)
    assert results(shop) == [told]
    shop.wait_for_timeout(50)
    assert results(shop) == [told]
    assert router.bodies("/window/T/close") == []


def test_the_next_payment_can_follow(router, shop):
    for count in (1, 2):
        send(window_of(buy(shop)), router.shop)
        assert len(results(shop, count)) == count


def test_the_window_covers_the_page_and_has_the_focus(router, shop):
    shop.set_viewport_size({"width": 1400, "height": 1000})
    window_of(buy(shop))
    dialog = shop.locator(DIALOG)
    assert dialog.get_attribute("aria-modal") == "true"
    assert dialog.bounding_box() == {"x": 0, "y": 0, "width": 1400, "height": 1000}
    frame = shop.locator(f"{DIALOG} iframe")
    assert frame.get_attribute("title") == "결제창"
    assert frame.bounding_box()["width"] == 960
    assert shop.evaluate("document.activeElement.shadowRoot.activeElement.localName") == "iframe"
    assert shop.evaluate("document.documentElement.style.overflow") == "hidden"
    shop.set_viewport_size({"width": 390, "height": 844})
    assert frame.bounding_box()["width"] == 390
    assert frame.bounding_box()["height"] > 780


def test_a_strict_policy_and_styles_of_the_shop_change_nothing(router, open_page):
    router.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {router.url}; connect-src {router.url}; frame-src {router.url}; "
        "style-src 'self'; require-trusted-types-for 'script'"
    )
    router.pages["/shop"] = router.pages["/shop"].replace(' style="overflow: auto"', "").replace(
        "<h1>", '<link rel="stylesheet" href="/shop/shop.css"><h1>'
    )  # fmt: skip
    hostile = "div, dialog, iframe { display: none !important; width: 1px !important } * { color: red !important }"
    router.pages["/shop/shop.css"] = (200, "text/css", hostile.encode())
    page = open_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{router.shop}/shop")
    frame = window_of(buy(page))
    assert page.locator(f"{DIALOG} iframe").bounding_box()["width"] == 960
    send(frame, router.shop)
    assert results(page) == [PAID]
    assert [text for text in said if "Content Security Policy" in text or "Trusted" in text] == []


def test_no_global_but_imp(router, page):
    router.pages["/shop"] = "<!doctype html><title>bare</title>"
    page.goto(f"{router.shop}/shop")
    before = set(page.evaluate("Object.getOwnPropertyNames(window)"))
    page.add_script_tag(url=f"{router.url}/v1/iamport.js?v=3")
    assert set(page.evaluate("Object.getOwnPropertyNames(window)")) - before == {"IMP"}


# --- who may tell the result -----------------------------------------------------------------------------------------


def test_only_the_window_itself_is_believed(router, shop):
    frame = window_of(buy(shop))
    message = {"source": "smart-routing", "imp_uid": IMP_UID, "result": PAID}
    shop.evaluate("message => window.postMessage(message, '*')", message)  # the shop's page, or a script in it
    with shop.expect_event("framenavigated"):  # another page of the router, in a frame of its own
        shop.evaluate("""url => { const frame = document.createElement("iframe"); frame.src = url;
            document.body.append(frame); }""", f"{router.url}/window/T?other")  # fmt: skip
    other = next(frame for frame in shop.frames if frame.url.endswith("?other"))
    send(other, router.shop)
    send(frame, router.shop, source="somebody")
    send(frame, router.shop, imp_uid="imp_000000000000")
    frame.evaluate("origin => parent.postMessage(null, origin)", router.shop)
    frame.evaluate("origin => parent.postMessage('text', origin)", router.shop)
    elsewhere = go(shop, frame, f"{router.shop}/shop/elsewhere")  # where a gateway might lead: not the router
    send(elsewhere, router.shop)
    shop.wait_for_timeout(100)
    assert shop.evaluate("window.results") == []
    send(go(shop, elsewhere, f"{router.url}/window/T/result"), router.shop)
    assert results(shop) == [PAID]


# --- refused before there is a window --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        ("IMP.init(undefined); IMP.request_pay(param, keep)", "NO_INIT", "IMP.init"),
        ("IMP.request_pay(undefined, keep)", "NO_PARAM", "결제 정보"),
        ("IMP.init(''); IMP.agency('imp12345678', 'ABC'); IMP.request_pay(param, keep)", "NO_AGENCY", "하위 상점"),
        ("IMP.certification({merchant_uid: 'c-1'}, keep)", "NO_CERTIFICATION", "본인인증"),
        ("IMP.loadUI('paypal-spb', {}, keep)", "NO_UI", "loadUI"),
    ],
)
def test_what_cannot_be_done_is_told_by_the_callback(router, shop, script, code, text):
    shop.evaluate(f"const keep = (rsp) => window.results.push(rsp); {script}")
    [told] = results(shop)
    assert (told["success"], told["imp_success"], told["error_code"], told["imp_uid"]) == (False, False, code, None)
    assert text in told["error_msg"]
    assert router.posted("/window/payments") == []
    assert gone(shop)


def test_a_module_is_refused_by_its_promise(shop):
    text = shop.evaluate("IMP.loadModule('x', {userCode: 'imp12345678'}).catch((error) => error.message)")
    assert "loadModule is not supported" in text


def test_a_double_click_opens_one_window_and_the_first_goes_on(router, shop):
    shop.evaluate("window.pay(); window.pay()")
    [told] = results(shop)
    assert told["error_code"] == "OPEN_ALREADY"
    send(window_of(shop), router.shop)
    assert results(shop, 2)[1] == PAID
    assert len(router.posted("/window/payments")) == 1


def test_the_routers_refusal_is_the_result(router, shop):
    router.pages["/window/payments"] = {"code": 1, "message": "이미 결제된 주문입니다. (paid)", "response": None}
    told = results(buy(shop))[0]
    assert told == {
        "success": False, "imp_success": False, "error_code": "1", "error_msg": "이미 결제된 주문입니다. (paid)",
        "imp_uid": None, "merchant_uid": "order-1", "pay_method": "card", "status": "failed",
    }  # fmt: skip
    assert gone(shop)


def drop():
    raise OSError


@pytest.mark.parametrize(
    "reply", [drop, (502, "text/html", b"bad gateway"), (500, "application/json", b'{"code": -1}')]
)
def test_a_router_that_cannot_be_reached_is_the_result(router, shop, reply):
    router.pages["/window/payments"] = reply
    told = results(buy(shop))[0]
    assert (told["error_code"], told["imp_uid"]) == ("NETWORK", None)
    assert "네트워크 오류" in told["error_msg"]
    assert gone(shop)


def test_a_router_that_keeps_silent_is_given_up_after_half_a_minute(router, timed_page):
    released = threading.Event()
    router.pages["/window/payments"] = lambda: released.wait(10) and OPENED
    timed_page.goto(f"{router.shop}/shop")
    buy(timed_page)
    timed_page.clock.fast_forward(29_000)
    assert timed_page.evaluate("window.results") == []
    timed_page.clock.fast_forward(2_000)
    assert results(timed_page)[0]["error_code"] == "NETWORK"
    released.set()


@pytest.mark.parametrize("by", ["message", "answer"])
def test_what_the_shop_throws_is_the_shops(router, shop, page_errors, by):
    shop.evaluate("void (window.pay = () => IMP.request_pay(window.param, () => { throw new Error('of the shop'); }))")
    frame = window_of(buy(shop))
    if by == "message":
        send(frame, router.shop)
    else:
        shop.click(CLOSE)
    wait_for(shop, lambda: page_errors)
    [text] = page_errors
    assert "of the shop" in text
    assert gone(shop)
    page_errors.clear()


# --- the buyer leaves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["button", "escape", "escape in the bar"])
def test_who_leaves_gets_what_the_router_says(router, shop, how):
    window_of(buy(shop))
    if how == "button":
        shop.click(CLOSE)
    else:
        shop.locator(CLOSE if how == "escape in the bar" else DIALOG).press("Escape")
    assert results(shop) == [LEFT]
    assert gone(shop)
    [(_, headers, body)] = [asked for asked in router.asked if asked[0] == "/window/T/close"]
    assert (headers["origin"], body) == (router.shop, b"")


def test_who_leaves_too_late_has_paid(router, shop):
    router.pages["/window/T/close"] = answered(PAID)
    window_of(buy(shop))
    shop.click(CLOSE)
    assert results(shop) == [PAID]


def test_who_leaves_before_the_window_is_there_leaves_it_as_soon_as_it_is(router, shop):
    released = threading.Event()
    router.pages["/window/payments"] = lambda: released.wait(10) and OPENED
    buy(shop)
    shop.click(CLOSE)
    assert "확인하고" in shop.inner_text(DIALOG)
    released.set()
    assert results(shop) == [LEFT]
    assert not any(path == "/window/T" for path, _, _ in router.asked)


def test_an_approval_under_way_is_waited_for(router, timed_page):
    router.pages["/window/T/close"] = [answered(CONFIRMING), answered(CONFIRMING), answered(PAID)]
    timed_page.goto(f"{router.shop}/shop")
    window_of(buy(timed_page))
    timed_page.click(CLOSE)
    for asked in (1, 2):
        wait_for(timed_page, lambda asked=asked: len(router.bodies("/window/T/close")) == asked)
        assert "확인하고 있습니다" in timed_page.inner_text(DIALOG)
        assert timed_page.evaluate("window.results") == []
        assert timed_page.locator(CLOSE).is_hidden()
        timed_page.clock.fast_forward(1_500)
    assert results(timed_page) == [PAID]


def test_an_approval_that_takes_too_long_is_told_as_it_is(router, timed_page):
    router.pages["/window/T/close"] = answered(CONFIRMING)
    timed_page.goto(f"{router.shop}/shop")
    window_of(buy(timed_page))
    timed_page.click(CLOSE)
    wait_for(timed_page, lambda: router.bodies("/window/T/close"))
    timed_page.wait_for_timeout(50)
    timed_page.clock.fast_forward(41_000)
    assert results(timed_page) == [CONFIRMING]


def test_without_a_network_nothing_is_made_up(router, shop):
    window_of(buy(shop))
    press = shop.locator(CLOSE)
    for reply in (drop, (504, "text/html", b"")):
        router.pages["/window/T/close"] = reply
        asked = len(router.bodies("/window/T/close"))
        press.click()
        wait_for(shop, lambda asked=asked: len(router.bodies("/window/T/close")) > asked)
        press = shop.locator(DIALOG).get_by_role("button", name="다시 시도")
        press.wait_for()
        assert "네트워크 오류" in shop.inner_text(DIALOG)
        assert shop.evaluate("window.results") == []
    router.pages["/window/T/close"] = answered(PAID)
    press.click()
    assert results(shop) == [PAID]
    assert gone(shop)


def test_a_router_that_knows_no_such_window_ends_it(router, shop):
    unknown = {"code": 1, "message": "존재하지 않는 결제창입니다.", "response": None}
    router.pages["/window/T/close"] = (404, "application/json", json.dumps(unknown).encode())
    window_of(buy(shop))
    shop.click(CLOSE)
    [told] = results(shop)
    assert (told["success"], told["error_msg"], told["imp_uid"]) == (False, unknown["message"], IMP_UID)


# --- other ways ------------------------------------------------------------------------------------------------------


def test_a_pop_up(router, shop):
    shop.evaluate("window.param.popup = true")
    with shop.expect_popup() as opened:
        buy(shop)
    popup = opened.value
    popup.wait_for_url("**/window/T")
    assert router.posted("/window/payments")[0]["way"] == "popup"
    assert "새로 열린 창" in shop.inner_text(DIALOG)
    message = {"source": "smart-routing", "imp_uid": IMP_UID, "result": PAID}
    script = "([message, origin]) => { setTimeout(() => opener.postMessage(message, origin)) }"
    popup.evaluate(script, [message, router.shop])
    assert results(shop) == [PAID]
    wait_for(shop, popup.is_closed)
    assert gone(shop)


@pytest.mark.parametrize("by", ["the pop-up", "the page"])
def test_a_pop_up_that_is_closed(router, shop, by):
    shop.evaluate("window.param.popup = true")
    with shop.expect_popup() as opened:
        buy(shop)
    popup = opened.value
    popup.wait_for_url("**/window/T")
    if by == "the page":
        shop.click(CLOSE)
    else:
        popup.close()
    assert results(shop) == [LEFT]
    wait_for(shop, popup.is_closed)


def test_a_result_that_comes_by_two_ways_is_told_once(router, shop):
    """From the pop-up as the buyer closes it, and from the router. The message is ours: browsers may drop the real one."""
    released = threading.Event()
    router.pages["/window/T/close"] = lambda: released.wait(10) and answered(LEFT)
    shop.evaluate("() => { const { open } = window; window.open = (...all) => (window.opened = open(...all)); }")
    shop.evaluate("window.param.popup = true")
    with shop.expect_popup() as opened:
        buy(shop)
    opened.value.wait_for_url("**/window/T")
    shop.click(CLOSE)
    wait_for(shop, lambda: router.bodies("/window/T/close"))
    wait_for(shop, opened.value.is_closed)  # before there is an answer: nobody goes on paying there
    data = {"source": "smart-routing", "imp_uid": IMP_UID, "result": PAID}
    script = "([origin, data]) => { dispatchEvent(new MessageEvent('message', {origin, data, source: window.opened})) }"
    shop.evaluate(script, [router.url, data])
    assert results(shop) == [PAID]
    with shop.expect_response("**/window/T/close"):
        released.set()
    shop.wait_for_timeout(100)
    assert results(shop) == [PAID]


def test_a_pop_up_that_the_browser_blocks(router, shop):
    shop.evaluate("window.open = () => null; void (window.param.popup = true)")
    told = results(buy(shop))[0]
    assert told["error_code"] == "POPUP_BLOCKED"
    assert router.posted("/window/payments") == []


def test_paypal_opens_in_a_pop_up_by_itself(router, shop):
    shop.evaluate("window.param.pay_method = 'paypal'")
    with shop.expect_popup() as opened:
        buy(shop)
    opened.value.wait_for_url("**/window/T")
    assert router.posted("/window/payments")[0]["way"] == "popup"
    shop.click(CLOSE)
    assert results(shop) == [LEFT]


def test_paypal_opens_in_a_frame_where_pop_ups_are_blocked(router, shop):
    shop.evaluate("window.open = () => null; void (window.param.pay_method = 'paypal')")
    frame = window_of(buy(shop))
    assert router.posted("/window/payments")[0]["way"] == "frame"
    send(frame, router.shop)
    assert results(shop) == [PAID]


def test_paypal_on_a_telephone_takes_the_place_of_the_page(router, phone):
    phone.goto(f"{router.shop}/shop")
    phone.evaluate("window.param.pay_method = 'paypal'")
    phone.click("#buy")
    phone.wait_for_url("**/window/T")
    assert router.posted("/window/payments")[0]["way"] == "redirect"


def test_a_telephone_is_led_to_the_window_and_back_to_the_page(router, phone):
    phone.goto(f"{router.shop}/shop?a=1")
    phone.click("#buy")
    phone.wait_for_url("**/window/T")
    [asked] = router.posted("/window/payments")
    assert (asked["way"], asked["is_mobile"]) == ("redirect", True)
    assert asked["m_redirect_url"] == f"{router.shop}/shop?a=1"


def test_a_page_that_says_where_a_telephone_goes_is_obeyed(router, phone):
    phone.goto(f"{router.shop}/shop")
    phone.evaluate("window.param.m_redirect_url = 'https://shop.example/done'")
    phone.click("#buy")
    phone.wait_for_url("**/window/T")
    assert router.posted("/window/payments")[0]["m_redirect_url"] == "https://shop.example/done"


def test_a_page_that_comes_back_as_it_was_is_not_stuck(router, shop):
    """Playwright turns the back-forward cache off, so the event is ours."""
    window_of(buy(shop))
    shop.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: false}))")
    assert router.bodies("/window/T/close") == []
    shop.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    assert results(shop) == [LEFT]
    assert gone(shop)


def wait_for(page, condition, seconds=5):
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        page.wait_for_timeout(10)
