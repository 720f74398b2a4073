"""The demo shop of `make run`: it sells, on a desktop and on a phone, and shows what the router decided."""

import json
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest
import urllib3

from chalicelib import container
from infra.demo.shop import DemoShop
from infra.local_api import make_server, quiet_pools
from infra.sandbox import run
from tests.browser.shop import press
from tests.support.world import World


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The world behind it: one group of Toss Payments and PayPal, which takes no cards. url: of its server."""
    from app import app

    quiet_pools()
    file = tmp_path_factory.mktemp("demo") / "sandbox.json"
    with ExitStack() as stack:
        boxes = stack.enter_context(run(("tosspayments", "paypal_v2")))
        world = World(boxes)
        world.deps = replace(world.deps, allow_loopback=True)
        container.install(world.deps)
        stack.callback(container.install, None)
        world.group([(world.channel("tosspayments"), 60), (world.channel("paypal_v2"), 40)])
        server = make_server(app, demo=DemoShop(file))
        stack.callback(server.server_close)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        world.url = f"http://127.0.0.1:{server.server_address[1]}"
        gateways = {name: box.url for name, box in boxes.items()}
        tokens = {"user_code": world.merchant.user_code, "admin_token": world.merchant.admin_token}
        file.write_text(json.dumps({"api": world.url, **tokens, "gateways": gateways}))
        yield world


def enter(page, demo, method="card"):
    page.goto(f"{demo.url}/demo")
    page.check(f"input[value={method}]")
    page.click("#pay:enabled")
    return page


def outcome(page, kind):
    page.wait_for_selector(f".outcome.{kind}")
    return page.inner_text("#shown")


def test_paid_and_why_there(demo, page, console):
    press(enter(page, demo), "approve")
    shown = outcome(page, "good")
    assert "89,000원 · 토스페이먼츠 · 카드" in shown
    assert "주문과 일치" in shown
    assert page.inner_text(".bar .chosen") == "토스페이먼츠"
    [left_out] = page.locator(".excluded li").all_inner_texts()
    assert "페이팔(신모듈)의 결제창에서 card 결제를 지원하지 않습니다." in left_out
    demo.run_queue()
    page.wait_for_selector(".webhooks .good")
    page.click("#language")
    assert "not supported in this gateway's window" in page.inner_text(".excluded")
    assert is_not_too_wide(page)
    assert console == []


def test_a_phone_comes_back_to_the_shop(demo, phone):
    press(enter(phone, demo), "approve")
    phone.wait_for_url(f"{demo.url}/demo?**")
    assert "주문과 일치" in outcome(phone, "good")
    assert is_not_too_wide(phone)


def test_somebody_pays_into_the_virtual_account(demo, page):
    press(enter(page, demo, "vbank"), "approve")
    outcome(page, "wait")
    with page.expect_response("**/deposit") as answered:
        page.click("#deposit")
    assert answered.value.ok
    assert demo.sandboxes["tosspayments"].transactions()[-1]["state"] == "captured"


def test_who_leaves_has_not_paid(demo, page):
    press(enter(page, demo), "cancel")
    assert "사용자가 결제를 취소" in outcome(page, "bad")


@pytest.mark.parametrize("changed", [{"amount": 1}, {"currency": "USD"}])
def test_another_amount_than_was_ordered_is_told(demo, page, changed):
    """What a shop's server has to look at before it delivers."""
    page.add_init_script(f"""addEventListener("submit", () => Object.assign(IMP, {{ request_pay: ((original) =>
        (param, callback) => {{
          sessionStorage.setItem(param.merchant_uid, JSON.stringify({{ ...param, ...{json.dumps(changed)} }}));
          original(param, callback);
        }})(IMP.request_pay) }}), true)""")
    press(enter(page, demo), "approve")
    assert "주문과 다름" in outcome(page, "good")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/demo/payments/imp_000000000000"),
        ("GET", "/demo/../shop.py"),
        ("GET", "/demo/shop.py"),
        ("PUT", "/demo"),
    ],
)
def test_nothing_else_is_there(demo, method, path):
    assert urllib3.request(method, demo.url + path, retries=False).status == 404


def test_the_page_is_told_no_secret(demo):
    answer = urllib3.request("GET", f"{demo.url}/demo/merchant", retries=False)
    assert answer.status == 200
    assert demo.merchant.admin_token not in answer.data.decode()


def is_not_too_wide(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")
