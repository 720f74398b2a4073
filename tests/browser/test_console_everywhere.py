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


@pytest.mark.parametrize("language", LOOKS)
def test_every_page_is_for_everybody(busy, open_page, language, record_property):
    views = {"/".join(steps) for method, *steps in VIEWS if method == "GET"}
    pages = addresses(busy)
    assert views == set(pages)  # a page without a sample would be looked at by nobody
    look = dict(LOOKS[language])
    theme = look.pop("theme")
    page = busy.site.prefer(open_page(**look), language=language, theme=theme)
    called, found, weights = names(busy), {}, {}

    def walk(some):
        for path in (path for view in some for path in pages[view]):
            answer = page.goto(f"{busy.site.url}/console/{path}".removesuffix("/"))
            seen = page.evaluate(READ)
            wrong = wrong_with(seen, language, untranslated(seen["texts"], language, called))
            wrong += [f"status {answer.status}"] * (not answer.ok)
            if len(weights) % 2 == list(LOOKS).index(language):  # every page in one look, half of all in each
                wrong += wrong_for_axe(page)
            found[path], weights[path] = wrong, seen["bytes"]

    walk(OPEN_TO_ALL)
    busy.site.enter(page, Role.OWNER, language=language, theme=theme)
    walk(sorted(views - {*OPEN_TO_ALL}))
    wrong = [f"{path}: {text}" for path, texts in found.items() for text in texts]
    assert not wrong, "\n".join(wrong)
    record_property("summary", told_of(weights, language))


def told_of(weights: dict[str, int], language: str) -> str:
    heaviest = max(weights, key=lambda path: weights[path])
    average = sum(weights.values()) // len(weights)
    return (
        f"console, {language}: {len(weights)} pages of {average:,} bytes on average with style and scripts, "
        f"{weights[heaviest]:,} at most ({heaviest.split('/')[0] or 'dashboard'})"
    )
