"""What holds for every page of the console, tried on the whole table of views: a new view is covered by being in it.

A view with an id in its path needs a row in `House.ids`; one that reads another field than these needs it in `FIELDS`.
"""

import itertools
import json
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

import chalicelib.api.console.dispatch  # noqa: F401 - fills the table
from chalicelib import container
from chalicelib.api.console.visits import VIEWS, step
from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import Buyer, Declined, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.health import ChannelHealth, Health, HealthState
from chalicelib.usecases import (
    accounts,
    admin_tokens,
    billing_keys,
    charges,
    groups,
    lookups,
    merchants,
    schedules,
    webhooks,
)
from chalicelib.usecases.choosing import Target
from tests.support.api import CARD as CARD_FIELDS
from tests.support.api import Api
from tests.support.console import PASSWORD, Console, add_person
from tests.support.recovery import meddle
from tests.support.world import CARD, STOLEN, request

RAW = "\"'><b>zebra"
"""Ends an attribute, and begins a tag."""
ESCAPED = "&lt;b&gt;zebra"

OPEN_TO_ALL = {
    ("GET", "sign-in"),
    ("POST", "sign-in"),
    ("GET", "invitations", "*"),
    ("POST", "invitations", "*"),
    ("POST", "preferences"),
}
OWN_MATTERS = {("POST", "sign-out"), ("POST", "account", "password"), ("POST", "account", "session")}
"""What whoever is signed in may change: of themselves."""

FIELDS = {
    "do": "save",
    "act": "x",
    "reason": "x",
    "amount": "100",
    "outcome": "failed",
    "role": "viewer",
    "language": "ko",
    "environment": "test",
    "begin_at": "",
    "weight": "1",
    "version": "1",
}


def hostile(what):
    return f"{what}{RAW}"


@dataclass
class House:
    """A merchant with one of everything, whose every name would be markup if a page let it. ids: for `*` in a path, and
    for the query; none of them has the mark that tells what belongs to this merchant alone.
    """

    world: object
    ids: dict = field(default_factory=dict)
    query: dict = field(default_factory=dict)
    secrets: list = field(default_factory=list)
    others: tuple = ()
    """More pages, of which one cannot have all that there is to see."""

    def path(self, steps):
        return "/".join(step(self.ids[steps[0]]) if part == "*" else part for part in steps)

    def console(self, role):
        return Console(self.world, role)

    def state(self):
        """All that a refused request must leave as it is."""
        sent, tasks = len(self.world.sender.sent), len(self.world.queue.tasks)
        charged = [
            json.dumps(t, sort_keys=True, default=str)
            for box in self.world.sandboxes.values()
            for t in box.transactions()
        ]
        return self.world.store.texts(), sent, tasks, charged


@pytest.fixture
def house(world):
    world.deps = replace(world.deps, allow_loopback=True)
    toss = world.channel("tosspayments", hostile("channel"))
    nice = world.channel("nice_v2", "nice")
    group = world.group([(toss, 50), (nice, 50)], hostile("group"))
    settings = merchants.settings(world.deps, world.merchant_id)
    wanted = replace(
        settings, test_webhook_url=f"https://hooks.kr/{RAW}", test_page_origins=("https://zebra-origin.kr",)
    )
    merchants.save_settings(world.deps, world.admin, wanted)
    version = groups.GroupContent(hostile("later"), Failover.OFF, (GroupEntry(toss, 100),), None)
    groups.update(world.deps, world.admin, group.group_id, replace(version, name=hostile("group")))
    hour = world.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    groups.update(world.deps, world.admin, group.group_id, replace(version, begin_at=hour))
    token, secret = admin_tokens.create(world.deps, world.admin, hostile("token"))
    invitation = accounts.invite(world.deps, world.admin, "guest@zebra.kr", hostile("guest"), Role.VIEWER)
    made = House(world, secrets=[secret, invitation])
    payment, declined, given_up = _payments(world, toss)
    lone = world.channel("nice_v2", hostile("lone"))
    made.others = (f"payments/{declined.imp_uid}", f"channels/{lone}", f"channels/{lone}/delete")
    made.ids = {
        "channels": toss,
        "groups": group.group_id,
        "payments": payment.imp_uid,
        "webhooks": given_up.notice_id,
        "tokens": token.token_id,
        "invitations": invitation,
    }
    made.query = {
        "customer_uid": "c-1",
        "merchant_uid": "booked-1",
        "email": "guest@zebra.kr",
        "provider": "kcp",
        "imp_uid": payment.imp_uid,
        "id": payment.imp_uid,
        "version": "1",
        "kind": "payment",
    }
    merchant = world.merchant
    made.secrets += [merchant.admin_token, merchant.imp_secret, merchant.webhook_secret, CARD.number, PASSWORD]
    made.secrets += [value for key in (toss, nice) for value in _secrets_of(world, key)]
    yield made
    container.install(None)


def _payments(world, channel_key):
    """An approved, a declined and a doubtful one, a key, a reserved payment, and a webhook that was given up."""
    buyer = Buyer(hostile("buyer"), "zebra@shop.kr", "010-1234-5678")
    api = Api(world.deps, admin_token=world.merchant.admin_token).login(world.merchant)
    api.post(
        "/subscribe/payments/onetime", CARD_FIELDS, merchant_uid="paid-1", amount=8900, name=hostile("goods"),
        buyer_name=hostile("buyer"), notice_url=f"https://notice.kr/{RAW}",
    )  # fmt: skip
    world.sender.replies = [(False, hostile("receiver"), True)]
    world.run_queue()
    deps, merchant_id = world.deps, world.merchant_id
    issue = billing_keys.Issue("c-1", CARD, Target())
    billing_keys.issue(deps, merchant_id, issue)
    at = world.clock.now() + timedelta(days=1)
    schedules.book(
        deps, merchant_id, "c-1", [schedules.Entry(request("booked-1", name=hostile("goods"), buyer=buyer), at)]
    )
    no = Declined(DeclineReason.ISSUER_DECLINED, "X1", hostile("gateway"))
    meddle(world, charge_card=lambda *_: no)
    declined = charges.charge_card(world.deps, merchant_id, request("declined-1", buyer=buyer), STOLEN, Target())
    meddle(world, charge_card=lambda *_: Unknown(hostile("detail")))
    doubtful = charges.charge_card(world.deps, merchant_id, request("doubtful-1", buyer=buyer), CARD, Target())
    stored = lookups.by_imp_uid(world.deps, merchant_id, doubtful.imp_uid)
    world.store.commit(replace(stored, alarm=hostile("alarm")))
    down = ChannelHealth(HealthState.DOWN, 3, world.clock.now(), 1, world.clock.now(), hostile("error"))
    health = world.store.load(_health(world)) or Health(merchant_id)
    world.store.commit(replace(health, channels={channel_key: down}))
    [notice] = webhooks.dead(world.deps, merchant_id, 10, None).items
    world.deps = replace(world.deps, gateways=world.deps.gateways._real._real)
    return doubtful, declined, notice


def _health(world):
    from chalicelib.ports import Ref

    return Ref(Health, (world.merchant_id,))


def _secrets_of(world, channel_key):
    from chalicelib.usecases.charges import load_routing
    from chalicelib.usecases.vault import open_credentials

    routing = load_routing(world.deps, world.merchant_id)
    channel = routing.channels[channel_key]
    spec = world.deps.gateways.spec(channel.pg_provider)
    stored = open_credentials(world.deps, routing, channel)
    return [stored[f.name] for f in spec.credentials if f.secret and stored.get(f.name)]


def entries(method=None):
    for (verb, *steps), entry in VIEWS.items():
        if method in (None, verb):
            yield verb, tuple(steps), entry


def pages(console, house):
    """Every page that shows something, with all ids that it may want."""
    for _, steps, entry in entries("GET"):
        if entry.role is not None:
            page = console.get(house.path(steps), **house.query)
            is_found = page.status == 303 and "/sign-in" not in page.location  # a search for an id that there is
            yield steps, console.follow(page) if is_found else page
    for path in house.others:
        yield (path.partition("/")[0], "*"), console.get(path)


# --- who may -----------------------------------------------------------------------------------------------------------


def test_only_these_pages_are_for_everybody():
    assert {key for key, entry in VIEWS.items() if entry.role is None} == OPEN_TO_ALL


def test_whoever_only_looks_changes_their_own_account_alone():
    assert {key for key, entry in VIEWS.items() if key[0] == "POST" and entry.role is Role.VIEWER} == OWN_MATTERS


def test_nobody_gets_in_without_a_session(house):
    nobody, before = house.console(None), house.state()
    for method, steps, entry in entries():
        if entry.role is None:
            continue
        path = house.path(steps)
        page = nobody.get(path, **house.query) if method == "GET" else nobody.post(path, {**FIELDS, **house.query})
        assert (page.status, page.location.partition("?")[0]) == (303, "/console/sign-in"), (method, steps)
        assert "zebra" not in page.text
    assert nobody.get("no/such/page").status == 303  # nor is anybody told what there is
    assert house.state() == before


def test_an_old_session_gets_in_nowhere(house):
    owner = house.console(Role.OWNER)
    house.world.clock.advance(hours=2)
    before = house.state()
    for method, steps, entry in entries():
        if entry.role is not None:
            page = owner.get(house.path(steps)) if method == "GET" else owner.post(house.path(steps), FIELDS)
            assert page.status == 303, (method, steps)
    assert house.state() == before


def test_a_post_without_its_token_changes_nothing(house):
    owner, other = house.console(Role.OWNER), house.console(Role.OPERATOR)
    before = house.state()
    for _, steps, entry in entries("POST"):
        if entry.role is None:
            continue
        for sent in ("", "0" * 64, other.csrf, owner.csrf.upper(), "é"):
            page = owner.post(house.path(steps), {**FIELDS, **house.query, "csrf": sent})
            assert page.status == 403, (steps, sent)
            assert "zebra" not in page.words
    assert house.state() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)  # fmt: skip
def test_a_post_of_another_site_changes_nothing(house, headers):
    from urllib.parse import urlencode

    owner = house.console(Role.OWNER)
    before = house.state()
    for _, steps, _ in entries("POST"):
        body = urlencode({**FIELDS, **house.query, "csrf": owner.csrf}).encode()
        page = owner.send("POST", f"/console/{house.path(steps)}", body, {"Host": "router.kr", **headers})
        assert page.status == 403, steps
        assert "Set-Cookie" not in page.headers
    assert house.state() == before


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_does_not(house, role):
    console = house.console(role)
    before = house.state()
    tried = 0
    for method, steps, entry in entries():
        if entry.role is None or role.covers(entry.role):
            continue
        path = house.path(steps)
        page = console.get(path, **house.query) if method == "GET" else console.post(path, {**FIELDS, **house.query})
        assert page.status == 403, (method, steps)
        tried += 1
    assert tried > 10
    assert house.state() == before


# --- another merchant's --------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(house):
    """An owner of another merchant of this service."""
    made = merchants.create(house.world.deps, "other")
    admin = merchants.check_admin(house.world.deps, made.admin_token)
    other = SimpleNamespace(deps=house.world.deps, admin=admin, merchant_id=made.user_code)
    return Console(other, Role.OWNER)


def test_of_another_merchants_things_nobody_sees_a_word(house, stranger):
    mine = {house.world.merchant_id, "zebra", "mid_tosspayments", "mid_nice_v2", "010-1234"}
    unknown = 0
    for steps, page in pages(stranger, house):
        assert page.status in (200, 404, 400, 409), (steps, page.status)
        told = page.text
        for asked in (*house.query.values(), *house.ids.values()):  # a page may repeat what it was asked for
            told = told.replace(asked, "").replace(asked.replace("@", "%40"), "")
        assert not [word for word in mine if word in told], steps
        if "*" in steps:
            assert page.status == 404, steps
            unknown += 1
    assert unknown > 8


def test_another_merchants_things_are_not_changed(house, stranger):
    world = house.world

    def theirs():
        items = {key: item for key, item in world.store.items.items() if stranger.world.merchant_id not in str(item)}
        boxes = [len(box.transactions()) for box in world.sandboxes.values()]
        return json.dumps(sorted(items.items(), key=str), ensure_ascii=False), len(world.sender.sent), boxes

    before = theirs()
    for _, steps, entry in entries("POST"):
        if entry.role is None or steps == ("sign-out",):
            continue
        page = stranger.post(house.path(steps), {**FIELDS, **house.query, "name": "x", "typed": "guest@zebra.kr"})
        assert page.status != 500, steps
        if "*" in steps:
            assert page.status == 404, steps
        stranger.sign_in(f"owner@{stranger.world.merchant_id}.kr")
    assert theirs() == before


# --- what pages say ------------------------------------------------------------------------------------------------------


SHOWN = ("channel", "lone", "group", "later", "token", "guest", "goods", "gateway", "detail", "error", "receiver")
"""What of the house's names surely stands on some page. Buyers' names are masked."""


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER])
def test_every_text_is_escaped(house, role):
    console, seen = house.console(role), []
    for language in ("ko", "en"):
        console.cookies["__Host-prefs"] = f"{language}.auto.test"
        for steps, page in pages(console, house):
            assert page.status in (200, 403, 404, 409), (steps, page.status, page.words)
            _check_markup(page, steps)
            seen.append(page.text)
    text = " ".join(seen)
    assert f"https://hooks.kr/&#34;&#39;&gt;{ESCAPED}" in text
    if role is Role.OWNER:
        missing = [what for what in SHOWN if f"{what}&#34;&#39;&gt;{ESCAPED}" not in text]
        assert not missing


def _check_markup(page, about):
    """Nothing of what people have typed is markup, and nothing of ours needs more than the policy allows."""
    assert "<b>zebra" not in page.text, about
    tags = re.findall(r"<[a-zA-Z][^>]*>", page.text)
    assert not [tag for tag in tags if re.search(r"\s(on\w+|style)\s*=", tag)], about
    scripts = [tag for tag in tags if tag.startswith("<script")]
    assert all('src="/web/' in tag for tag in scripts), about
    assert "<style" not in page.text, about
    assert "<html" not in page.text or page.text.count("<h1") == 1, about


def test_whatever_a_form_holds_it_is_no_markup_and_breaks_nothing(house):
    """All views, as an owner, with nonsense in every field; what asks for more than nonsense answers with its page."""
    console = house.console(Role.OWNER)
    names = _field_names(console, house)
    assert {"name", "email", "credentials[secret_key]", "live_page_origins", "reason"} <= names
    values = (RAW, "", "a" * 5000, "-1", "\N{SNOWMAN}\n\t", "[]")
    for value, ids in itertools.product(values, ({}, house.query)):
        for _, steps, _ in entries("POST"):
            fields = {**dict.fromkeys(names, value), **ids, "csrf": console.csrf}
            page = console.post(house.path(steps), {**fields, "language": "", "theme": "", "back": ""})
            assert page.status < 500, (steps, value, page.words)
            _check_markup(page, steps)
            if "sign-out" in steps or "__Host-session" not in console.cookies:
                console.sign_in(f"owner@{house.world.merchant_id}.kr")


def test_whatever_a_query_holds_it_is_no_markup_and_breaks_nothing(house):
    console = house.console(Role.OWNER)
    names = [
        "from",
        "to",
        "q",
        "cursor",
        "state",
        "month",
        "day",
        "date",
        "offset",
        "subject",
        "by",
        "done",
        "next",
        "page",
    ]
    names += [
        *house.query,
        "period",
        "gateway",
        "channel",
        "group",
        "highest",
        "lowest",
        "reserved",
        "trail",
        "tab",
        "back",
    ]
    for value in (RAW, "x", "-1", "99999999999999999999", "2026-13-45", "a" * 600, "é", "\N{SNOWMAN}"):
        for _, steps, _ in entries("GET"):
            page = console.get(house.path(steps), **dict.fromkeys(names, value))
            assert page.status < 500, (steps, value, page.words)
            _check_markup(page, steps)


def test_an_unknown_id_is_not_found(house):
    console = house.console(Role.OWNER)
    for method, steps, entry in entries():
        if "*" not in steps:
            continue
        for unknown in ("no-such-thing", RAW, "..", "%2F", "a" * 700):
            path = "/".join(step(unknown) if part == "*" else part for part in steps)
            page = console.get(path) if method == "GET" else console.post(path, FIELDS)
            assert page.status in (400, 404), (method, steps, unknown, page.status)
            _check_markup(page, steps)


def _field_names(console, house):
    """Of all inputs on all pages."""
    names = set()
    for _, page in pages(console, house):
        names |= set(re.findall(r'<(?:input|select|textarea|button)\b[^>]*\bname="([^"]+)"', page.text))
    toss = console.get("channels/new", provider="tosspayments")
    return (names | set(re.findall(r'name="([^"]+)"', toss.text))) - {"viewport", "color-scheme"}


def test_no_page_holds_a_secret(house):
    console = house.console(Role.OWNER)
    world = house.world
    session = console.cookies["__Host-session"]
    device = console.cookies["__Host-device"]
    stored = [*house.secrets, session, device, *_sealed(world)]
    assert len(stored) > 12
    for steps, page in pages(console, house):
        leaked = [secret[:6] for secret in stored if secret and secret in page.text]
        assert not leaked, steps


def _sealed(world):
    """What stands in the table and concerns nobody: sealed texts, data keys, hashes."""
    names = (
        r'"(?:sealed_\w+|data_key|password_hash|invitation_hash|secret_hash|token_hash|imp_secret)":\s*"([^"]{16,})"'
    )
    return set(re.findall(names, " ".join(item["doc"]["S"] for item in world.store.items.values())))


# --- headers ---------------------------------------------------------------------------------------------------------------


def test_every_answer_tells_the_browser_what_not_to_do(house):
    owner, viewer, nobody = house.console(Role.OWNER), house.console(Role.VIEWER), house.console(None)
    answers = [page for console in (owner, viewer, nobody) for _, page in pages(console, house)]
    answers += [owner.get("no-such-page"), nobody.get("sign-in"), nobody.post("sign-in", email="x", password="y")]
    answers += [owner.post("channels/new", {"csrf": "wrong"}), nobody.post("preferences", language="en")]
    assert {page.status for page in answers} >= {200, 303, 401, 403, 404}
    for page in answers:
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Referrer-Policy"] == "same-origin"


def test_cookies_are_for_this_host_and_no_script(house):
    nobody = house.console(None)
    add_person(house.world, Role.VIEWER, "someone@shop.kr")
    signed_in = nobody.post("sign-in", email="someone@shop.kr", password=PASSWORD)
    preferred = nobody.post("preferences", language="en")
    left = nobody.send("POST", "/console/sign-out", b"csrf=x")
    cookies = [*_cookies(signed_in), *_cookies(preferred), *_cookies(left)]
    assert len(cookies) >= 3
    for cookie in cookies:
        name, _, attributes = cookie.partition(";")
        assert name.startswith("__Host-")
        assert {part.strip() for part in attributes.split(";")} >= {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
        assert "Domain" not in attributes


def _cookies(page):
    given = page.headers.get("Set-Cookie", [])
    return [given] if isinstance(given, str) else given


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example", "//evil.example", "javascript:alert(1)", "..//evil", "a\r\nSet-Cookie: x=y", "/\\evil"],
)
def test_after_signing_in_one_is_led_to_pages_of_ours_alone(house, wanted):
    nobody = house.console(None)
    add_person(house.world, Role.VIEWER, "someone@shop.kr")
    assert "Location" not in nobody.get("sign-in", next="x").headers
    page = nobody.post("sign-in", email="someone@shop.kr", password=PASSWORD, next=wanted)
    assert (page.status, page.location) == (303, "/console")
    assert nobody.post("preferences", language="en", back=wanted).location == "/console"
