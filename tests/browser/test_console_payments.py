"""Payments, what waits for a person, and billing keys, with a keyboard, without script, and by axe-core."""

import re
from dataclasses import replace

import pytest

from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import Buyer
from chalicelib.usecases import billing_keys, charges
from chalicelib.usecases.choosing import Target
from tests.browser.axe import check_axe
from tests.support.recovery import stored
from tests.support.world import CARD, STOLEN, request

LOOKS = {  # those that test_console_everywhere.py leaves out
    "en-dark-desktop": ("en", "dark", {"viewport": {"width": 1280, "height": 900}}),
    "ko-light-phone": ("ko", "light", {"viewport": {"width": 360, "height": 800}, "is_mobile": True}),
}


@pytest.fixture
def site(new_console):
    made = new_console("tosspayments", "nice_v2")
    world = made.world
    world.two_gateways()
    world.webhook_url("https://shop.example/hook")
    return made


def pay(world, uid="order-1", card=CARD):
    return charges.charge_card(world.deps, world.merchant_id, request(uid), card, Target())


def issue(world):
    wanted = billing_keys.Issue("c1", CARD, Target(), customer=Buyer("홍길동", "gildong@gmail.com", "010-1234-5678"))
    billing_keys.issue(world.deps, world.merchant_id, wanted)


def doubtful(site):
    """Without an answer, and with an alarm."""
    world = site.world
    for box in world.sandboxes.values():
        box.fail("charge", "reply_lost")
    payment = pay(world, "doubt-1")
    for box in world.sandboxes.values():
        box.clear_faults()
    alarm = f"the gateway cannot be asked what became of {payment.attempt.order_id}"
    (payment,) = world.store.commit(replace(payment, alarm=alarm, due_at=None))
    return payment


def tab_to(page, wanted):
    """Presses Tab until something with that text has the focus, as somebody without a mouse does."""
    script = "(document.activeElement.innerText || document.activeElement.getAttribute('aria-label') || '').trim()"
    for _ in range(80):
        page.keyboard.press("Tab")
        if wanted in page.evaluate(script):
            return
    raise AssertionError(f"{wanted!r} is not reached by Tab")


def test_a_payment_is_found_and_cancelled_with_the_keyboard_alone(site, page):
    payment = pay(site.world)
    site.open(site.enter(page, Role.OPERATOR, language="en"), "payments")
    page.locator("#q").focus()
    page.keyboard.type("order-1")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(payment.imp_uid))
    tab_to(page, "Cancel…")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/cancel$"))
    page.get_by_role("radio", name="All of it").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("3000")
    page.keyboard.press("Tab")
    page.keyboard.type("the buyer asked")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Confirm the cancel").wait_for()
    assert "3,000원" in page.inner_text("dl.confirm")
    assert stored(site.world, payment).balance.amount == 8900
    tab_to(page, "Give 3,000원 back")
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="Cancelled").wait_for()
    assert stored(site.world, payment).balance.amount == 5900


def test_an_impatient_person_gives_back_once(site, page):
    payment = pay(site.world)
    site.open(site.enter(page, Role.OPERATOR, language="en"), f"payments/{payment.imp_uid}/cancel")
    page.get_by_label("Reason").fill("x")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Give 8,900원 back").dblclick()
    page.get_by_role("status").filter(has_text="Cancelled").wait_for()
    page.reload()
    assert len(stored(site.world, payment).cancels) == 1


def test_everything_works_without_script(site, open_page):
    payment = doubtful(site)
    page = site.enter(open_page(java_script_enabled=False), Role.OPERATOR, language="en")
    site.open(page, "attention")
    page.get_by_role("link", name="Settle").click()
    page.get_by_role("radio", name="It is not approved").check()
    page.get_by_label("Reason").fill("not at the console")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Change it").click()
    assert page.get_by_label("Reason").input_value() == "not at the console"
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Settle as failed").click()
    assert page.get_by_role("heading", level=1).inner_text() == "8,900원"
    assert stored(site.world, payment).state != "claimed"


@pytest.mark.parametrize("look", LOOKS)
def test_pages_keep_nobody_out_and_nothing_sticks_out(site, open_page, look):
    language, theme, options = LOOKS[look]
    world = site.world
    paid, waiting = pay(world), doubtful(site)
    pay(world, "failed-1", STOLEN)
    issue(world)
    page = site.enter(open_page(**options), Role.OPERATOR, language=language, theme=theme)
    paths = ["payments", f"payments/{waiting.imp_uid}", "attention", "keys/key?customer_uid=c1"]
    if look in ("ko-light-desktop", "ko-dark-phone"):  # the others differ in words and colours only
        paths += [
            "payments?lowest=99999999",
            "payments?q=nothing",
            f"payments/{paid.imp_uid}",
            f"payments/{paid.imp_uid}/cancel",
            f"payments/{waiting.imp_uid}/settle",
            "keys",
            "keys/delete?customer_uid=c1",
        ]
    for path in paths:
        site.open(page, path)
        check_axe(page)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    site.open(page, f"payments/{paid.imp_uid}/cancel")
    page.locator("#f-reason").fill("x")
    page.locator("main button.primary").click()
    page.locator("dl.confirm").wait_for()
    check_axe(page)
