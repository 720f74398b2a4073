"""The first page: what is wrong now, and numbers that are what has happened."""

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib import container
from chalicelib.api.console import charts
from chalicelib.api.console.dashboard import PERIODS, REASONS, amounts_of
from chalicelib.domain.accounts import Role
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.money import Money
from chalicelib.usecases import billing_keys, charges, schedules
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.statistics import Outcomes
from tests.support.console import Console
from tests.support.world import CARD, NO_FUNDS, STOLEN, request

CALM = "All is well"


@pytest.fixture
def console(world):
    """It is noon of 2026-11-23 in Korea."""
    yield Console(world, Role.OPERATOR, language="en")
    container.install(None)


def charge(world, uid, card=CARD, **kwargs):
    return charges.charge_card(world.deps, world.merchant_id, request(uid, **kwargs), card, Target())


def sections(page):
    """id of its heading -> what is to be read in a section or an article."""
    found = re.findall(
        r'<(?:section|article)[^>]*aria-labelledby="([\w-]+)"[^>]*>(.*?)</(?:section|article)>', page.text, re.DOTALL
    )
    return {name: " ".join(re.sub(r"<[^>]+>", " ", text).split()) for name, text in found}


def card_of(page, name):
    """The words of a channel's card."""
    for text in re.findall(r"<article.*?</article>", page.text, re.DOTALL):
        words = " ".join(re.sub(r"<[^>]+>", " ", text).split())
        if words.startswith(f"{name} "):
            return words
    return None


# --- how to begin ---------------------------------------------------------------------------------------------------


def test_without_channels_it_says_how_to_begin(console):
    page = console.get()
    assert "Getting started" in page.words
    assert "/console/channels/new" in page.text
    assert CALM in page.words


def test_without_groups_it_says_to_make_one_and_without_payments_how_to_pay(console):
    console.world.channel("tosspayments")
    assert "/console/groups/new" in console.get().text
    group = console.world.group([(console.world.channels["tosspayments"], 100)])
    page = console.get()
    assert "No payments in this period" in page.words
    assert group.group_id in page.words
    assert "POST /subscribe/payments/onetime" in page.words


def test_viewers_are_not_sent_to_forms_that_they_may_not_use(world):
    viewer = Console(world, Role.VIEWER)
    assert "/console/channels/new" not in viewer.get().text
    container.install(None)


# --- numbers --------------------------------------------------------------------------------------------------------


def test_channels_and_totals_are_what_has_happened(console):
    world = console.world
    world.two_gateways((100, 0), failover="off")
    for n, card in enumerate([CARD, CARD, CARD, NO_FUNDS, STOLEN, NO_FUNDS]):
        charge(world, f"m{n}", card)
    charge(world, "nice", amount=1_000_000)
    page = console.get()
    toss = card_of(page, "tosspayments")
    assert "Approval rate 57.1 % Tried 7 Approved 1,026,700원" in toss
    assert "Why declined (3)" in toss
    assert "Insufficient funds 2 · 67 %" in toss
    assert "Lost or stolen card 1 · 33 %" in toss
    assert "11-23 12:00 7 4 3 0 57.1 %" in toss
    assert "Reply p50 / p95 50 ms / 95 ms" in toss
    assert "Tried 7 Approval rate 57.1 %" in page.words
    assert card_of(page, "nice_v2") is None
    assert "No payments in this period: nice_v2" in page.words


def test_amounts_are_told_apart_by_currency():
    assert amounts_of(Outcomes({"approved": 2, "amount_USD": 1050, "amount_KRW": 8900})) == [
        Money(8900), Money(1050, "USD"),
    ]  # fmt: skip


def test_every_reason_has_words_in_both_languages():
    assert set(REASONS) == set(DeclineReason)
    assert all(korean and english.isascii() and not korean.isascii() for korean, english in REASONS.values())


def test_periods_reach_back_as_far_as_they_say(console):
    world = console.world
    world.two_gateways((100, 0))
    email = f"operator@{world.merchant_id}.kr"
    for n in range(4):  # now, two days ago, nine and forty
        charge(world, f"m{n}")
        world.clock.advance(days=(31, 7, 2, 0)[n])
    console.sign_in(email)
    tried = {period: re.search(r"Tried (\d+)", console.get(period=period).words)[1] for period in PERIODS}
    assert tried == {"day": "1", "week": "2", "month": "3"}
    assert re.search(r"Tried (\d+)", console.get(period="year").words)[1] == "1"


def test_the_last_hour_of_the_day_before_counts_for_its_korean_day(console):
    world = console.world
    world.two_gateways((100, 0))
    world.clock.advance(hours=11, minutes=59)  # one minute to midnight in Korea
    charge(world, "m1")
    world.clock.advance(minutes=2)
    charge(world, "m2")
    console.sign_in(f"operator@{world.merchant_id}.kr")
    page = console.get(period="week")
    assert "11-24 1 1 0 0 100.0 % 11-23 1 1 0 0 100.0 % 11-22 0 0 0 0 –" in page.words


def test_shares_asked_for_and_delivered_with_the_difference_in_words(console):
    world = console.world
    world.two_gateways((50, 50), failover="off")
    for n in range(40):
        charge(world, f"m{n}")
    assert "Shared as asked for" in console.get().words
    world.channel("html5_inicis")  # never reached: nothing listens
    keys = [world.channels[name] for name in ("html5_inicis", "tosspayments")]
    world.group([(keys[0], 50), (keys[1], 50)], name="second", failover="unsent")
    for n in range(40):
        charge(world, f"n{n}")
    found = next(text for text in sections(console.get()).values() if text.startswith("second"))
    assert "40 payments" in found
    assert re.search(r"Delivered 100\.0 %", found)
    assert "html5_inicis got 50.0 points less than asked for" in found


def test_only_the_chosen_environment_counts(console):
    console.world.two_gateways((100, 0))
    charge(console.world, "m1")
    console.cookies["__Host-prefs"] = "en.auto.live"
    page = console.get()
    assert "Getting started" in page.words
    assert "tosspayments" not in page.words


# --- what is wrong --------------------------------------------------------------------------------------------------


def test_a_channel_that_is_down_says_since_when_and_what_happens_next(console):
    world = console.world
    world.two_gateways((100, 0))
    world.sandboxes["tosspayments"].fail("charge", "http_500", times=3)
    for n in range(3):
        charge(world, f"m{n}")
    page = console.get()
    assert "Down: tosspayments (Toss Payments) · since 2026-11-23 12:00:00" in page.words
    assert "Next look: 2026-11-23 12:00:30" in page.words
    assert CALM not in page.words
    console.cookies["__Host-prefs"] = "en.auto.live"
    assert "1 channel is down in test" in console.get().words


def test_what_waits_for_a_person_is_counted_and_linked(console):
    world = console.world
    world.two_gateways((100, 0))
    world.webhook_url("https://shop.example.com/hook")
    world.sender.replies = [(False, "HTTP 410", True)]
    charge(world, "m1")
    world.run_queue()
    page = console.get()
    assert "Waits for a person : webhooks not delivered 1" in page.words
    assert 'href="/console/attention"' in page.text
    assert CALM not in page.words


def test_reserved_payments_that_do_not_run_are_noticed(console):
    world = console.world
    world.two_gateways()
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c1", CARD, Target()))
    at = world.clock.now() + timedelta(minutes=5)
    schedules.book(world.deps, world.merchant_id, "c1", [schedules.Entry(request("m1"), at)])
    assert CALM in console.get().words
    world.clock.advance(minutes=19)
    assert CALM in console.get().words
    world.clock.advance(minutes=2)
    assert "not run 15 minutes after their time: 1" in console.get().words
    world.sweep()
    world.run_queue()
    assert CALM in console.get().words


# --- what it costs --------------------------------------------------------------------------------------------------


class Counted:
    def __init__(self, inner):
        self.inner, self.calls = inner, Counter()

    def __getattr__(self, name):
        self.calls[name] += 1
        return getattr(self.inner, name)


def test_one_query_per_channel_and_group_whatever_has_happened(console):
    world = console.world
    world.two_gateways()
    for n in range(30):
        charge(world, f"m{n}")
    counted = Counted(world.store)
    container.install(replace(world.deps, store=counted))
    console.get(period="month")
    # session and user, routing and health are the frame's
    assert {name: counted.calls[name] for name in ("counters", "alarms", "hourly", "page", "list")} == {
        "counters": 3, "alarms": 3, "hourly": 1, "page": 0, "list": 0,
    }  # fmt: skip
    assert sum(counted.calls.values()) <= 7 + 4


# --- pictures -------------------------------------------------------------------------------------------------------


def test_a_line_has_gaps_where_nothing_was_measured():
    drawn = charts.line([1.0, 1.0, None, 0.5, None])
    assert (drawn.low, drawn.least, drawn.last) == (0.5, 0.5, 0.5)
    assert drawn.pieces == ("100.0,0.0 300.0,0.0", "640.0,100.0 760.0,100.0")
    assert charts.line([None, None]) is None
    assert charts.line([]) is None


def test_columns_are_as_high_as_their_numbers():
    drawn = charts.columns([[3, 0], [1, 2]])
    assert drawn.most == 4
    assert [(part.y, part.height) for part in drawn.layers[0]] == [(25.0, 75.0)]
    assert [(part.y, part.height) for part in drawn.layers[1]] == [(0.0, 25.0), (50.0, 50.0)]
    assert charts.columns([[0, 0], [0, 0]]) is None
    assert charts.columns([[], []]) is None
