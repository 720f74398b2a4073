"""All pages of the console, with something of everything on them: for every eye, hand, screen and language."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.api.console import dispatch  # noqa: F401 - fills the table
from chalicelib.api.console.pages import HANGUL
from chalicelib.api.console.visits import VIEWS
from chalicelib.domain.accounts import Role
from chalicelib.domain.merchants import Routing
from chalicelib.ports import Ref
from tests.browser import busy_merchant
from tests.browser.axe import check_axe
from tests.browser.busy_merchant import COLLEAGUE, GATEWAYS, NAMES, BusyMerchant
from tests.browser.console import ConsoleSite
from tests.support.console import PASSWORD
from tests.support.recovery import stored

NOWHERE = "nowhere"


@dataclass(frozen=True)
class Look:
    """axe: of the pages, which it looks at: 0 the even ones, 1 the odd ones."""

    language: str
    theme: str
    browser: dict[str, Any]
    axe: int | None = None


LOOKS = {
    "desktop": Look("ko", "light", {"viewport": {"width": 1280, "height": 900}}, axe=0),
    "phone": Look(
        "en", "dark", {"viewport": {"width": 360, "height": 780}, "is_mobile": True, "has_touch": True}, axe=1
    ),
    "zoomed": Look("ko", "dark", {"viewport": {"width": 640, "height": 450}}),  # 1280 at 200 %
}


@dataclass(frozen=True)
class Busy:
    site: ConsoleSite
    merchant: BusyMerchant

    def payment(self, name: str) -> str:
        return f"payments/{self.merchant.payments[name].imp_uid}"


@pytest.fixture
def busy(new_console):
    site = new_console(*GATEWAYS)
    return Busy(site, busy_merchant.make(site.world))


def addresses(busy: Busy) -> dict[str, list[str]]:
    """Path of a view in `visits.VIEWS` -> what to look at: what is most special about it."""
    merchant = busy.merchant
    group = f"groups/{merchant.group_id}"
    channel = f"channels/{merchant.world.channels[NAMES['tosspayments']]}"
    down = f"channels/{merchant.world.channels[NAMES['kcp']]}"
    doubt, open_cancel = busy.payment("doubtful"), busy.payment("cancel doubtful")
    receipt = merchant.payments["receipt doubtful"].imp_uid
    names = ("paid", "failed", "partly cancelled", "cancelled", "waiting", "window")
    return {
        "": ["", "?period=week"],
        "account": ["account"],
        "attention": ["attention", "attention?kind=webhook"],
        "attention/receipt": [f"attention/receipt?subject=imp_uid&id={receipt}"],
        "audit": ["audit", f"audit?subject={merchant.group_id}"],
        "channels": ["channels"],
        "channels/*": [channel, down],
        "channels/*/delete": [f"{channel}/delete"],
        "channels/new": ["channels/new", "channels/new?provider=kcp"],
        "groups": ["groups", "groups?q=nothing"],
        "groups/*": [group, f"{group}?from=reserved"],
        "groups/*/delete": [f"{group}/delete"],
        "groups/*/history": [f"{group}/history"],
        "groups/*/reservation": [f"{group}/reservation"],
        "groups/*/roll-back": [f"{group}/roll-back?version=1"],
        "groups/*/simulator": [f"{group}/simulator"],
        "groups/new": ["groups/new"],
        "invitations/*": [f"invitations/{quote(merchant.invitation, safe='')}"],
        "keys": ["keys", "keys?customer_uid=nobody"],
        "keys/delete": ["keys/delete?customer_uid=customer-1"],
        "keys/key": ["keys/key?customer_uid=customer-1"],
        "payments": ["payments", "payments?q=customer-1", "payments?lowest=99999999", "payments?q=nothing"],
        "payments/*": [doubt, open_cancel, *map(busy.payment, names)],
        "payments/*/cancel": [f"{busy.payment('paid')}/cancel"],
        "payments/*/settle": [f"{doubt}/settle"],
        "payments/*/settle-cancel": [f"{open_cancel}/settle-cancel"],
        "people": ["people"],
        "people/disable": [f"people/disable?email={COLLEAGUE}"],
        "people/person": [f"people/person?email={COLLEAGUE}"],
        "people/remove": [f"people/remove?email={COLLEAGUE}"],
        "people/reset": [f"people/reset?email={COLLEAGUE}"],
        "schedules": ["schedules"],
        "schedules/day": ["schedules/day?date=2026-11-24"],
        "schedules/move": ["schedules/move?merchant_uid=monthly-0"],
        "schedules/order": [f"schedules/order?merchant_uid=monthly-{name}" for name in ("0", "paid", "failed", "revoked")],
        "schedules/reschedule": ["schedules/reschedule?merchant_uid=monthly-failed"],
        "schedules/retry": ["schedules/retry?merchant_uid=monthly-failed"],
        "schedules/revoke": ["schedules/revoke?merchant_uid=monthly-0"],
        "schedules/search": ["schedules/search?q=customer-1", "schedules/search?q=nothing"],
        "settings": ["settings"],
        "sign-in": ["sign-in?next=payments"],
        "tokens/*": [f"tokens/{merchant.token_id}"],
        "webhooks": ["webhooks"],
        "webhooks/secret": ["webhooks/secret"],
    }  # fmt: skip


# --- every page -----------------------------------------------------------------------------------------------------

OPEN_TO_ALL = ("sign-in", "invitations/*")
"""Seen by those who are not signed in."""

READ = """() => {
  for (const closed of document.querySelectorAll("main details")) closed.open = true;
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const at = walker.currentNode.parentElement;
    if (!at.closest("script, code, pre, .data") && at.closest("[lang]") === document.documentElement) {
      texts.push(walker.currentNode.data.trim());
    }
  }
  for (const name of ["aria-label", "title", "placeholder"]) {
    for (const at of document.querySelectorAll(`[${name}]`)) texts.push(at.getAttribute(name));
  }
  const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  return {
    lang: document.documentElement.lang,
    titles: document.querySelectorAll("h1").length,
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    texts: [document.title, ...texts].filter(Boolean),
    unnamed: [...document.querySelectorAll("svg")].filter((svg) =>
      !svg.getAttribute("aria-label") && svg.getAttribute("aria-hidden") !== "true").length,
    requests: loaded.length,
    bytes: loaded.reduce((sum, entry) => sum + entry.decodedBodySize, 0),
  };
}"""


def names(busy: Busy) -> re.Pattern[str]:
    """What people, goods, banks, and a gateway's own pages call something, and amounts: the same in every language."""
    of_gateways = (field.label for spec in busy.site.world.deps.gateways.specs() for field in spec.credentials)
    given = (
        r"월간 이용권( 정기결제)?|단건 결제|배포 서버|단순 변심|홍[길*]동|박새롬|사람 \w+|삼성(카드)?|신한은행|[\d,]+원"
    )
    return re.compile("|".join((given, *map(re.escape, (*NAMES.values(), *of_gateways)))))


def untranslated(texts: list[str], language: str, names: re.Pattern[str]) -> list[str]:
    """On an English page what has Korean letters; on a Korean one what has three words of English and no Korean."""
    if language == "en":
        return [text for text in texts if HANGUL.search(names.sub("", text))]
    return [text for text in texts if not HANGUL.search(text) and re.search(r"[a-z]+ [a-z]+ [a-z]+", text)]


def wrong_with(seen: dict[str, Any], language: str, foreign: list[str]) -> list[str]:
    """seen: what READ says of the page that is shown."""
    checks = {
        f"lang is {seen['lang']}": seen["lang"] != language,
        f"{seen['titles']} h1": seen["titles"] != 1,
        f"{seen['wider']} px too wide": seen["wider"] > 0,
        f"{seen['unnamed']} pictures that are neither named nor hidden": seen["unnamed"],
        f"not translated: {foreign[:3]}": foreign,
        f"{seen['requests']} requests": seen["requests"] > 4,
        f"{seen['bytes']} bytes": seen["bytes"] > 150_000,
    }
    return [text for text, is_wrong in checks.items() if is_wrong]


def wrong_for_axe(page: Any) -> list[str]:
    try:
        check_axe(page)
    except AssertionError as found:
        return [str(found)]
    return []


@pytest.mark.parametrize("name", LOOKS)
def test_every_page_is_for_everybody(busy, open_page, console, name, record_property):
    views = {"/".join(steps) for method, *steps in VIEWS if method == "GET"}
    pages = addresses(busy)
    assert views == set(pages)  # a page without a sample would be looked at by nobody
    look, called = LOOKS[name], names(busy)
    page = busy.site.prefer(open_page(**look.browser), language=look.language, theme=look.theme)
    console.expect("404")
    found, weights = {}, {}

    def walk(paths):
        for path in paths:
            answer = page.goto(f"{busy.site.url}/console/{path}".removesuffix("/"))
            seen = page.evaluate(READ)
            wrong = wrong_with(seen, look.language, untranslated(seen["texts"], look.language, called))
            if answer.status != (404 if path == NOWHERE else 200):
                wrong.append(f"status {answer.status}")
            if len(weights) % 2 == look.axe:
                wrong += wrong_for_axe(page)
            found[path], weights[path] = wrong, seen["bytes"]

    walk(path for view in OPEN_TO_ALL for path in pages[view])
    busy.site.enter(page, Role.OWNER, language=look.language, theme=look.theme)
    rest = sorted(views - {*OPEN_TO_ALL})
    walk(path for view in rest for path in (pages[view] if look.axe is not None else pages[view][:1]))
    walk([NOWHERE])
    wrong = [f"{path}: {text}" for path, texts in found.items() for text in texts]
    assert not wrong, "\n".join(wrong)
    if look.axe is not None:
        record_property("summary", told_of(weights, look.language))


def told_of(weights: dict[str, int], language: str) -> str:
    heaviest = max(weights, key=lambda path: weights[path])
    average = sum(weights.values()) // len(weights)
    return (
        f"console, {language}: {len(weights)} pages of {average:,} bytes on average with style and scripts, "
        f"{weights[heaviest]:,} at most ({heaviest.split('/')[0] or 'dashboard'})"
    )


# --- by keys alone --------------------------------------------------------------------------------------------------

CONTROLS = """() => {
  const named = new Set();
  const all = document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']");
  window.waiting = new Set([...all].filter((at) => {
    if (at.disabled || at.type === "hidden" || at.tabIndex < 0 || !at.checkVisibility()) return false;
    if (at.type !== "radio" || at.checked) return true;
    const isAlone = !named.has(at.name) && !document.querySelector(`[name="${at.name}"]:checked`);
    named.add(at.name);
    return isAlone;
  }));
}"""
"""All that can be pressed or filled in. Of radio buttons one is: the arrows lead to the others."""

STOP = """() => {
  const at = document.activeElement;
  if (at === document.body || (at === window.first && at !== window.before)) return { left: [...window.waiting].map((at) => at.outerHTML.slice(0, 200)) };
  const style = getComputedStyle(at), box = at.getBoundingClientRect();
  const reach = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset);
  const cut = [];
  for (let up = at.parentElement; up && up !== document.documentElement; up = up.parentElement) {
    if (getComputedStyle(up).overflowX === "visible") continue;
    const edge = up.getBoundingClientRect();
    if (box.left - reach < edge.left - 1 || box.right + reach > edge.right + 1) cut.push(up.className || up.tagName);
  }
  const before = window.before || at;
  window.first ||= at;
  window.before = at;
  window.waiting.delete(at);
  const checks = {
    "no outline": style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2,
    "not on the screen": !box.width || box.top >= innerHeight || box.bottom <= 0 || box.left >= innerWidth || box.right <= 0,
    "out of order": before.compareDocumentPosition(at) & Node.DOCUMENT_POSITION_PRECEDING,
    [`cut by ${cut}`]: cut.length,
  };
  const wrong = Object.keys(checks).filter((text) => checks[text]);
  return { wrong: wrong.length ? [at.outerHTML.slice(0, 200), ...wrong] : [] };
}"""


def test_every_control_is_reached_by_the_tabulator_and_is_seen(busy, page):
    """And the last press leaves the page, or begins anew: nothing holds the keyboard."""
    busy.site.enter(page, Role.OWNER, language="en")
    of_group = f"groups/{busy.merchant.group_id}"
    order = "schedules/order?merchant_uid=monthly-0"
    for path in ("", of_group, busy.payment("doubtful"), order, "attention", "webhooks", "people"):
        busy.site.open(page, path)
        page.evaluate(CONTROLS)
        for _ in range(150):
            page.keyboard.press("Tab")
            stop = page.evaluate(STOP)
            if "left" in stop:
                break
            assert stop["wrong"] == [], path
        assert stop.get("left") == [], path


def test_the_menu_behind_ones_name_lets_go(busy, page):
    busy.site.open(busy.site.enter(page, Role.OWNER, language="en"), "payments")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"  # past the menus
    menu, name = page.locator("details.me"), page.locator("details.me > summary")
    name.press("Enter")
    name.press("Tab")
    page.keyboard.press("Escape")
    assert (menu.get_attribute("open"), page.evaluate("document.activeElement.tagName")) == (None, "SUMMARY")
    name.press("Enter")
    page.get_by_role("button", name="Sign out").press("Tab")  # the last there is in it
    page.wait_for_function("!document.querySelector('details.me').open")
    name.click()
    page.get_by_role("heading", name="Payments", level=1).click()
    assert menu.get_attribute("open") is None


def test_the_main_menu_of_a_phone_by_keys(busy, phone):
    busy.site.open(busy.site.enter(phone, Role.OWNER, language="en"))
    link = phone.get_by_role("link", name="Schedules")
    assert not link.is_visible()
    phone.locator("#menu > summary").press("Enter")
    link.press("Enter")
    phone.get_by_role("heading", name="Schedules", level=1).wait_for()
    assert phone.locator("#menu a[aria-current=page]").text_content().strip() == "Schedules"


# --- without a script -----------------------------------------------------------------------------------------------


@pytest.fixture
def plain(busy, open_page):
    """A browser that runs no script, with an owner at it."""
    return busy.site.enter(open_page(java_script_enabled=False), Role.OWNER, language="en")


def press(page, name, says=None):
    page.get_by_role("button", name=name, exact=True).click()
    if says:
        assert says in page.inner_text("main")


def test_a_channel_and_its_group_without_a_script(busy, plain):
    page, world = plain, busy.merchant.world
    busy.site.open(page, "channels/new?provider=tosspayments")
    secret = "test_sk_sandbox0000000000000001"
    fields = {"Name": "second", "Merchant ID": "mid2", "Client key": "test_ck_sandbox0000000000000001"}
    for label, text in {**fields, "Secret key": secret}.items():
        page.get_by_label(label).fill(text)
    press(page, "Test the connection, save nothing", says="Connected")
    page.get_by_label("Secret key").fill(secret)
    press(page, "Save the channel", says="The channel is there")

    busy.site.open(page, "groups/new")
    page.get_by_label("Name of the group").fill("by forms")
    page.get_by_label("Channel to add").select_option(world.channels[NAMES["nice_v2"]])
    press(page, "Add")
    page.get_by_label("Channel to add").select_option(label="second · Toss Payments · mid2")
    press(page, "Add")
    page.get_by_label("Weight of second").fill("70")
    page.get_by_label(f"Weight of {NAMES['nice_v2']}").fill("20")
    press(page, "Simulate", says="10 missing to 100")
    page.get_by_label(f"Weight of {NAMES['nice_v2']}").fill("30")
    press(page, "Move second up")
    press(page, "Simulate", says="70.0 %")
    press(page, "Make the group", says="The channel group was created")
    routing = world.store.load(Ref(Routing, (world.merchant_id,)))
    (made,) = (group.current for group in routing.groups.values() if group.current.name == "by forms")
    assert [(routing.channels[e.channel_key].name, e.weight) for e in made.entries] == [
        ("second", 70), (NAMES["nice_v2"], 30),
    ]  # fmt: skip


def test_a_cancel_a_schedule_and_a_colleague_without_a_script(busy, plain):
    page, merchant = plain, busy.merchant
    busy.site.open(page, busy.payment("paid"))
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("radio", name="A part").check()
    page.get_by_label("Amount of the part").fill("1,500")
    page.get_by_label("Reason").fill("one came broken")
    press(page, "Next: look it over", says="1,500원")
    press(page, "Give 1,500원 back", says="the gateway has given it back")
    assert stored(merchant.world, merchant.payments["paid"]).balance.amount == 7400

    busy.site.open(page, "schedules")
    page.get_by_role("link", name="24 Reserved").click()
    page.get_by_role("link", name="monthly-0").click()
    page.get_by_label("New time").fill("2026-12-01T08:15:07")
    press(page, "Move", says="Moved to another time.")
    assert "2026-12-01 08:15:07" in page.inner_text("h2#next + p")

    busy.site.open(page, "people")
    page.get_by_label("E-mail").fill("other@shop.kr")
    page.get_by_label("Name").fill("other")
    page.get_by_label("Confirm with your password").fill(PASSWORD)
    press(page, "Make an invitation", says="/console/invitations/")


# --- colours that are not ours --------------------------------------------------------------------------------------


def test_with_colours_of_the_system_what_is_chosen_still_stands_out(busy, open_page):
    page = busy.site.enter(open_page(forced_colors="active"), Role.OWNER, language="en")
    colour = "at => getComputedStyle(at).backgroundColor"
    for path, chosen, other in (
        ("", "nav.tabs a[aria-current]", "nav.tabs a:not([aria-current])"),
        ("", ".side a[aria-current]", ".side a:not([aria-current])"),
        ("payments", "[aria-pressed=true]", "[aria-pressed=false]"),
        (f"groups/{busy.merchant.group_id}", "#draft .c1", "#draft .rest"),
    ):
        busy.site.open(page, path)
        found = [
            page.locator(one).first.evaluate(colour if "#" not in one else "at => getComputedStyle(at).fill")
            for one in (chosen, other)
        ]
        assert found[0] != found[1], (path, chosen)
