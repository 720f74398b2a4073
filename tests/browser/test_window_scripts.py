"""web/window.js and web/result.js on pages of their own, with a driver and a router that do what the test wants."""

import json
from string import Template
from urllib.parse import parse_qs

import pytest

from tests.browser.fake_router import CONFIRMING, IMP_UID, PAID, WEB, FakeRouter, answered
from tests.browser.test_sdk import drop, wait_for

TEXTS = {
    name: f"<{name}>" for name in ("loading", "confirming", "script_failed", "failed", "retry", "another", "cancel")
}
GATEWAYS_SCRIPT = "window.Gateway = {loaded: true};"
DONE = "<!doctype html><title>done</title>"


@pytest.fixture
def router():
    with FakeRouter() as running:
        running.pages |= dict.fromkeys(("/return", "/cancel", "/another", "/gateway", "/shop/done"), DONE)
        running.pages["/gateway.js"] = (200, "text/javascript", GATEWAYS_SCRIPT.encode())
        yield running


def filled(name, data, **values):
    """As chalicelib/api/window_pages.py fills it in."""
    text = (WEB / name).read_text()
    shown = {"language": "ko", "title": "결제", "order": "의자", "amount": "1,000원", "base": "/web", **values}
    data = json.dumps(data).replace("<", "\\u003c")
    return Template(text[text.index("<!doctype") :]).substitute(data=data, **shown)


def open_window(router, page, driver, **changed):
    """driver: what goes into its object, as JavaScript."""
    data = {
        "driver": "fake", "script": f"{router.url}/gateway.js", "params": {"order": "의자"},
        "return_url": f"{router.url}/return", "cancel_url": "/cancel", "another_url": "/another", "texts": TEXTS,
        **changed,
    }  # fmt: skip
    router.pages["/window"] = filled(
        "window.html", data, driver="fake", cancel_url="/cancel", cancel="취소", loading="여는 중", no_script="-"
    )
    script = f"window.SmartRouting.drivers.fake = {{{driver}}};"
    router.pages["/web/fake.js"] = (200, "text/javascript", script.encode())
    page.goto(f"{router.url}/window", wait_until="domcontentloaded")  # a script may never come


def form(router, path, encoding="utf-8"):
    """The only form that was sent there."""
    [body] = router.bodies(path)
    return {name: values[0] for name, values in parse_qs(body.decode(), True, encoding=encoding).items()}


# --- window.js -------------------------------------------------------------------------------------------------------


def test_a_driver_prepares_before_the_gateways_script_and_opens_after_it(router, page):
    driver = """prepare() { this.before = window.Gateway ? 'late' : 'early'; },
        open(params, back) { back.post({before: this.before, now: Gateway.loaded, order: params.order,
                                        url: back.url, none: null, nothing: undefined, submit: 'Go', empty: ''}); }"""
    open_window(router, page, driver)
    page.wait_for_url("**/return")
    assert form(router, "/return") == {
        "before": "early", "now": "true", "order": "의자", "url": f"{router.url}/return", "submit": "Go", "empty": "",
    }  # fmt: skip


def test_the_way_back_is_taken_once(router, page):
    driver = (
        "open(params, back) { back.post({n: 1}); back.post({n: 2}); back.cancel('C', 'closed'); back.fail('F', ''); }"
    )
    open_window(router, page, driver)
    page.wait_for_url("**/return")
    assert form(router, "/return") == {"n": "1"}


@pytest.mark.parametrize("how", ["cancel", "fail"])
def test_what_comes_of_a_window_besides_a_result(router, page, how):
    open_window(router, page, f"open(params, back) {{ back.{how}('CODE', '창을 닫았습니다'); }}")
    page.wait_for_url("**/return")
    assert form(router, "/return") == {"sr_left": how, "sr_code": "CODE", "sr_message": "창을 닫았습니다"}


def test_a_gateway_without_a_script_gets_a_form_in_its_own_encoding(router, page):
    driver = "open(params, back) { back.form('/gateway', {name: params.order}, {charset: 'euc-kr'}); }"
    open_window(router, page, driver, script=None)
    page.wait_for_url("**/gateway")
    assert form(router, "/gateway", "euc-kr") == {"name": "의자"}
    assert not any(path == "/gateway.js" for path, _, _ in router.asked)


@pytest.mark.parametrize("reply", [drop, (404, "text/plain", b"")])
def test_a_script_that_does_not_load_leaves_three_ways(router, page, reply):
    router.pages["/gateway.js"] = reply
    open_window(router, page, "open() { throw new Error('never'); }")
    assert page.get_by_role("alert").inner_text(timeout=5_000) == "<script_failed>"
    page.get_by_role("button", name="<another>").click()
    page.wait_for_url("**/another")
    assert form(router, "/another") == {}


def test_a_script_that_hangs_is_given_up(router, timed_page):
    timed_page.route("**/gateway.js", lambda route: None)
    open_window(router, timed_page, "open() {}")
    timed_page.clock.fast_forward(14_000)
    assert timed_page.get_by_role("status").inner_text() == "여는 중"
    timed_page.clock.fast_forward(2_000)
    timed_page.get_by_role("button", name="<cancel>").click()
    timed_page.wait_for_url("**/cancel")
    assert form(router, "/cancel") == {}


def test_a_failed_window_shows_the_gateways_words_as_text_and_can_be_tried_again(router, page):
    open_window(router, page, "open: async () => { throw new Error('<img src=x>한도 초과'); }", another_url=None)
    assert page.get_by_role("alert").inner_text() == "<failed>"
    assert "<img src=x>한도 초과" in page.inner_text("#stage")
    assert page.get_by_role("button", name="<another>").count() == 0
    router.pages["/web/fake.js"] = (200, "text/javascript", b"window.SmartRouting.drivers.fake = {open() {}};")
    page.get_by_role("button", name="<retry>").click()
    page.get_by_text("여는 중").wait_for()


def test_a_failure_after_the_result_is_no_news(router, page):
    router.pages["/return"] = (204, "text/plain", b"")  # the browser stays where it is
    open_window(router, page, "open: async (params, back) => { back.post({n: 1}); throw new Error('late'); }")
    wait_for(page, lambda: router.bodies("/return"))
    page.wait_for_timeout(50)
    assert page.inner_text("#stage") == "<confirming>"
    assert page.get_by_role("alert").count() == 0
    assert page.locator("#cancel").is_disabled()


def test_the_header_gives_up_and_nothing_comes_after_it(router, page):
    driver = "open(params, back) { document.getElementById('cancel').form.onsubmit = () => back.post({late: 1}); }"
    open_window(router, page, driver)
    assert (page.inner_text(".order"), page.inner_text(".amount")) == ("의자", "1,000원")
    page.click("#cancel")
    page.wait_for_url("**/cancel")
    assert router.bodies("/return") == []


# --- result.js -------------------------------------------------------------------------------------------------------

SHOP = """<!doctype html><iframe src="{router}/result"></iframe><script>
window.told = []; addEventListener("message", ({{data, origin}}) => told.push([origin, data]));</script>"""


def put_result(router, way, result, origin=None, done_url=None):
    data = {"way": way, "origin": origin or router.shop, "imp_uid": IMP_UID, "result": result, "done_url": done_url,
            "state_url": "/state"}  # fmt: skip
    router.pages["/result"] = filled("result.html", data, text="확인 중", action="")
    router.pages["/shop/framing"] = SHOP.format(router=router.url)


def told(page):
    wait_for(page, lambda: page.evaluate("told.length"))
    return page.evaluate("told")


def test_the_shop_that_frames_it_is_told(router, page):
    put_result(router, "frame", PAID)
    page.goto(f"{router.shop}/shop/framing")
    assert told(page) == [[router.url, {"source": "smart-routing", "imp_uid": IMP_UID, "result": PAID}]]


def test_another_page_that_frames_it_is_told_nothing(router, page):
    put_result(router, "frame", PAID, origin="http://shop.test")
    with page.expect_event("console"):  # the browser says what it keeps back
        page.goto(f"{router.shop}/shop/framing")
    assert page.evaluate("told") == []


def test_what_is_being_confirmed_is_told_when_it_is_known(router, timed_page):
    put_result(router, "frame", CONFIRMING)
    router.pages["/state"] = [answered(CONFIRMING), (502, "text/html", b"-"), answered(None), answered(PAID)]
    timed_page.goto(f"{router.shop}/shop/framing")
    for asked in (1, 2, 3, 4):
        assert timed_page.evaluate("told") == []
        timed_page.clock.fast_forward(1_500)
        wait_for(timed_page, lambda asked=asked: len(router.bodies("/state")) == asked)
        timed_page.wait_for_timeout(50)
    assert told(timed_page)[0][1]["result"] == PAID


def test_what_is_not_known_in_time_is_told_as_it_is(router, timed_page):
    put_result(router, "frame", CONFIRMING)
    router.pages["/state"] = answered(CONFIRMING)
    timed_page.goto(f"{router.shop}/shop/framing")
    wait_for(timed_page, lambda: len(timed_page.frames) == 2)
    timed_page.clock.fast_forward(41_000)
    assert told(timed_page)[0][1]["result"] == CONFIRMING


def test_a_page_that_was_left_is_gone_back_to_with_the_newest_result(router, page):
    put_result(router, "redirect", CONFIRMING, done_url=f"{router.shop}/shop/done?imp_success=false")
    router.pages["/state"] = {**answered(PAID), "done_url": f"{router.shop}/shop/done?imp_success=true"}
    page.goto(f"{router.url}/result")
    page.wait_for_url(f"{router.shop}/shop/done?imp_success=true")


@pytest.mark.parametrize("way", ["frame", "popup"])
def test_without_a_shop_it_just_says_what_there_is_to_say(router, page, way):
    said = []
    page.on("console", lambda message: said.append(message.text))
    put_result(router, way, PAID)
    page.goto(f"{router.url}/result")
    page.locator(".settled").wait_for()
    assert page.inner_text("#stage").strip() == "확인 중"
    assert not any("postMessage" in text for text in said), said
