"""Pictures of what a buyer sees, to be looked at: nothing is compared.

SCREENSHOTS=folder python -m pytest tests/browser/screenshots.py
"""

import os
from pathlib import Path

import pytest

from tests.browser.conftest import PHONE
from tests.browser.shop import BUYERS_PAGE, DIALOG, RESULT, WINDOW, buy, frame_at, press, wait_for
from tests.browser.test_demo import demo  # noqa: F401 - a fixture
from tests.browser.test_windows import wanted
from tests.contract.test_windows import WITH_WINDOW

FOLDER = Path(os.environ.get("SCREENSHOTS") or ".local/screenshots")
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
HANDHELD = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "user_agent": PHONE}


@pytest.fixture(params=["desktop", "phone"])
def device(request):
    return request.param


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture
def screen(open_page, device, scheme):
    return open_page(**(DESKTOP if device == "desktop" else HANDHELD), color_scheme=scheme)


@pytest.fixture
def snap(screen, device, scheme):
    def take(name):
        FOLDER.mkdir(parents=True, exist_ok=True)
        shown = screen.context.pages[-1]
        shown.wait_for_load_state()
        shown.screenshot(path=FOLDER / f"{name}-{device}-{scheme}.png", animations="disabled")

    return take


@pytest.mark.parametrize("provider", WITH_WINDOW)
def test_windows(new_shop, screen, snap, provider):
    shop = new_shop(provider, **wanted(provider))
    screen.goto(shop.url)
    if provider == "tosspayments":
        snap("1-shop")
    screen.click("#buy")
    frame_at(screen, BUYERS_PAGE)
    snap(f"2-{provider}")


def test_a_script_that_does_not_load(new_shop, screen, snap, console, device):
    shop = new_shop("tosspayments", "nice_v2")
    screen.context.route(f"{shop.world.sandboxes['tosspayments'].url}/**", lambda route: route.abort())
    buy(screen, shop)
    window = screen.frame_locator(f"{DIALOG} iframe") if device == "desktop" else screen
    window.locator(".problem").wait_for()
    snap("3-no-script")
    console.expect("ERR_FAILED")


def test_confirming_and_paid(new_shop, screen, snap, device):
    shop = new_shop("tosspayments")
    shop.world.sandboxes["tosspayments"].fail("charge", "reply_lost")
    press(buy(screen, shop), "approve")
    frame_at(screen, RESULT)
    snap("4-confirming")
    shop.world.run_to_quiet(hours=1)
    if device == "desktop":
        address = frame_at(screen, RESULT).url
        wait_for(screen, lambda: screen.evaluate("window.results.length"))
        screen.goto(address)
    else:
        screen.wait_for_url(f"{shop.url}?**")
    snap("5-result")


def test_a_return_that_is_forged(new_shop, screen, snap, console):
    shop = new_shop("nice_v2")
    frame_at(buy(screen, shop), BUYERS_PAGE)
    screen.goto(f"{frame_at(screen, WINDOW).url}/return?orderId=forged")
    console.expect("status of 400")
    snap("6-problem")


def test_demo_shop(demo, screen, snap):  # noqa: F811
    screen.goto(f"{demo.url}/demo")
    screen.wait_for_selector("#pay:enabled")
    snap("7-demo")
