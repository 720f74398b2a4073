"""All pages of the console, with something of everything on them: for every eye, hand, screen and language."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.api.console import dispatch  # noqa: F401 - fills the table
from chalicelib.api.console.visits import VIEWS
from chalicelib.domain.accounts import Role
from tests.browser import busy_merchant
from tests.browser.axe import check_axe
from tests.browser.busy_merchant import COLLEAGUE, GATEWAYS, NAMES, BusyMerchant
from tests.browser.console import ConsoleSite

LOOKS = {
    "ko": {"theme": "light", "viewport": {"width": 1280, "height": 900}},
    "en": {"theme": "dark", "viewport": {"width": 360, "height": 780}, "is_mobile": True, "has_touch": True},
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

DATA = re.compile(
    "|".join(
        (
            *map(re.escape, NAMES.values()),
            r"월간 이용권( 정기결제)?|단건 결제|배포 서버|단순 변심|홍길동|홍\*동|박새롬|사람 \w+",
            r"[\d,]+원",
        )
    )
)
"""What the merchant, its buyers and its people are called, and amounts: the same in every language."""


def untranslated(texts: list[str], language: str) -> list[str]:
    """On an English page what has Korean letters; on a Korean one what has three words of English and no Korean."""
    if language == "en":
        return [text for text in texts if re.search("[가-힣ㄱ-ㅎ]", DATA.sub("", text))]
    return [text for text in texts if not re.search("[가-힣]", text) and re.search(r"[a-z]+ [a-z]+ [a-z]+", text)]


def wrong_with(page: Any, language: str, seen: dict[str, Any]) -> list[str]:
    """seen: what READ says of the page that is shown."""
    foreign = untranslated(seen["texts"], language)
    checks = {
        f"lang is {seen['lang']}": seen["lang"] != language,
        f"{seen['titles']} h1": seen["titles"] != 1,
        f"{seen['wider']} px too wide": seen["wider"] > 0,
        f"{seen['unnamed']} pictures that are neither named nor hidden": seen["unnamed"],
        f"not translated: {foreign[:3]}": foreign,
        f"{seen['requests']} requests": seen["requests"] > 4,
        f"{seen['bytes']} bytes": seen["bytes"] > 150_000,
    }
    found = [text for text, is_wrong in checks.items() if is_wrong]
    try:
        check_axe(page)
    except AssertionError as violations:
        found.append(str(violations))
    return found


@pytest.mark.parametrize("language", LOOKS)
def test_every_page_is_for_everybody(busy, open_page, language, record_property):
    views = {"/".join(steps) for method, *steps in VIEWS if method == "GET"}
    pages = addresses(busy)
    assert views == set(pages)  # a page without a sample would be looked at by nobody
    look = dict(LOOKS[language])
    theme = look.pop("theme")
    page = busy.site.prefer(open_page(**look), language=language, theme=theme)
    found, weights = {}, {}

    def walk(some):
        for path in (path for view in some for path in pages[view]):
            answer = page.goto(f"{busy.site.url}/console/{path}".removesuffix("/"))
            seen = page.evaluate(READ)
            weights[path] = seen["bytes"]
            if wrong := [f"status {answer.status}"] * (not answer.ok) + wrong_with(page, language, seen):
                found[path] = wrong

    walk(OPEN_TO_ALL)
    busy.site.enter(page, Role.OWNER, language=language, theme=theme)
    walk(sorted(views - {*OPEN_TO_ALL}))
    assert not found, "\n".join(f"{path}: {text}" for path, texts in found.items() for text in texts)
    heaviest = max(weights, key=weights.get)
    text = f"console, {language}: {len(weights)} pages, {sum(weights.values()) // len(weights):,} bytes on average with styles and scripts, {weights[heaviest]:,} at most ({heaviest or 'dashboard'})"
    record_property("summary", text)
