"""The dashboard in a browser: readable by everybody, at every width, and by keys alone."""

from chalicelib.domain.accounts import Role
from chalicelib.usecases import charges
from chalicelib.usecases.choosing import Target
from tests.browser.axe import check_axe
from tests.support.world import CARD, NO_FUNDS, request

LOOKS = (("en", "dark", 1280), ("ko", "light", 360))
"""Those that test_console_everywhere.py leaves out."""


def busy(site):
    """Payments, some declined, and a channel that went down."""
    world = site.world
    world.two_gateways()
    for n in range(8):
        card = NO_FUNDS if n % 4 == 0 else CARD
        charges.charge_card(world.deps, world.merchant_id, request(f"m{n}"), card, Target())
    world.sandboxes["tosspayments"].fail("charge", "http_500", times=3)
    for n in range(3):
        key = world.channels["tosspayments"]
        charges.charge_card(world.deps, world.merchant_id, request(f"x{n}"), CARD, Target(channel_key=key))
    return site


def fits(page):
    """Nothing is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_everybody_can_read_it(new_console, open_page):
    site = busy(new_console("tosspayments", "nice_v2"))
    for language, theme, width in LOOKS:
        page = open_page(viewport={"width": width, "height": 844})
        site.open(site.enter(page, Role.VIEWER, language=language, theme=theme))
        for summary in page.locator("main summary").all():
            summary.click()
        check_axe(page)
        assert fits(page), (language, width)


def test_an_empty_one_can_be_read_and_leads_on(new_console, page):
    site = new_console()
    site.open(site.enter(page, language="en"))
    check_axe(page)
    assert page.get_by_role("link", name="Add a channel").get_attribute("href") == "/console/channels/new"


def test_periods_and_tables_by_keys_alone(new_console, page):
    site = busy(new_console("tosspayments", "nice_v2"))
    site.open(site.enter(page, language="en"))
    focus_on(page, "7 days")
    page.keyboard.press("Enter")
    page.wait_for_url("**period=week")
    assert page.get_by_role("link", name="7 days").get_attribute("aria-current") == "page"
    table = page.locator("#totals").locator("xpath=ancestor::section").locator("table")
    assert not table.is_visible()
    focus_on(page, "Show as a table: All channels")
    page.keyboard.press("Enter")
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 7


def focus_on(page, words, most=60):
    """Tab, until what has the focus says these words."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim().replace(/\\s+/g, ' ')") == words:
            return
    raise AssertionError(f"no key leads to {words!r}")
