"""Reserved payments in a browser: found, moved, revoked and charged, by keys alone, at every width."""

from datetime import datetime, timedelta, timezone

from chalicelib.domain.orders import Order, ScheduleState
from chalicelib.ports import Ref
from chalicelib.usecases import billing_keys, schedules
from chalicelib.usecases.choosing import Target
from tests.browser.axe import check_axe
from tests.browser.test_console_dashboard import LOOKS, fits, focus_on
from tests.support.world import CARD, NO_FUNDS, request

KST = timezone(timedelta(hours=9))


def booked(site, *, card=CARD):
    """m1 of the customer `poor` has run; m2 is for the next morning, nine o'clock in Korea."""
    world = site.world
    world.two_gateways()
    for uid, used in (("c1", CARD), ("poor", card)):
        billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(uid, used, Target()))
    soon = world.clock.now() + timedelta(minutes=5)
    schedules.book(world.deps, world.merchant_id, "poor", [schedules.Entry(request("m1"), soon)])
    morning = datetime(2026, 11, 24, 9, 0, tzinfo=KST)
    schedules.book(world.deps, world.merchant_id, "c1", [schedules.Entry(request("m2"), morning)])
    world.clock.advance(minutes=5)
    world.sweep()
    world.run_queue()
    return site


def order_of(site, uid):
    return site.world.store.load(Ref(Order, (site.world.merchant_id, uid)))


def test_everybody_can_read_all_of_it(new_console, open_page):
    site = booked(new_console("tosspayments", "nice_v2"), card=NO_FUNDS)
    paths = (
        "schedules",
        "schedules/day?date=2026-11-23",
        "schedules/order?merchant_uid=m1",
        "schedules/order?merchant_uid=m2",
        "schedules/retry?merchant_uid=m1",
        "schedules/search?q=c1",
        "schedules/search?q=nobody",
    )
    for language, theme, width in LOOKS:
        page = site.enter(open_page(viewport={"width": width, "height": 844}), language=language, theme=theme)
        for path in paths:
            site.open(page, path)
            check_axe(page)
            assert fits(page), (path, language, width)


def test_from_the_calendar_to_another_second_by_keys_alone(new_console, page):
    site = booked(new_console("tosspayments", "nice_v2"))
    site.open(site.enter(page, language="en"), "schedules")
    focus_on(page, "11/24 Reserved 1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/schedules/day?date=2026-11-24")
    focus_on(page, "m2")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What will happen").wait_for()
    field = page.get_by_label("New time (KST)")
    assert field.input_value() == "2026-11-24T09:00"
    field.fill("2026-12-01T08:15:07")  # how it is typed depends on the browser's language
    field.press("Enter")
    page.get_by_text("Moved to another time.").wait_for()
    assert order_of(site, "m2").schedule.schedule_at == datetime(2026, 12, 1, 8, 15, 7, tzinfo=KST)


def test_charging_a_failed_one_now_is_asked_once_and_done_once(new_console, page):
    site = booked(new_console("tosspayments", "nice_v2"), card=NO_FUNDS)
    world = site.world
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("poor", CARD, Target()))
    before = len(world.captured())
    site.open(site.enter(page, language="en"), "schedules/search?q=m1")
    page.get_by_text("Not paid").wait_for()
    page.get_by_role("link", name="Charge now…").click()
    page.get_by_role("heading", name="Charge the customer now?").wait_for()
    confirmed = page.url
    page.get_by_role("button", name="Charge 8,900원").dblclick()
    page.get_by_text("the payment is approved").wait_for()
    assert len(world.captured()) == before + 1
    page.goto(confirmed)
    assert page.get_by_text("Not possible in its present state.").is_visible()
    page.go_back()
    assert len(world.captured()) == before + 1


def test_revoking_on_a_phone(new_console, phone):
    site = booked(new_console("tosspayments", "nice_v2"))
    site.open(site.enter(phone), "schedules")
    phone.get_by_role("link", name="11/24").tap()
    phone.get_by_role("link", name="m2").tap()
    phone.get_by_role("link", name="예약 취소…").tap()
    phone.get_by_role("button", name="예약 취소").tap()
    phone.get_by_text("예약을 취소했습니다.").wait_for()
    assert order_of(site, "m2").schedule.state is ScheduleState.REVOKED
