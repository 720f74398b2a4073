"""The rules of channel health by themselves, on generated outages; and who is drawn while some are left out."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chalicelib.domain.charging import Approved, AwaitingDeposit, Declined, NotSent, Unknown, VirtualAccount
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import NoChannel
from chalicelib.domain.health import (
    DOWN_AFTER,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    WELL,
    ChannelHealth,
    Health,
    HealthState,
    Sign,
    sign_of,
)
from chalicelib.domain.money import Money
from chalicelib.domain.routing import Candidate, Choices, Exclusion, draw

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
KEYS = ("a", "b", "c")


class Outages(RuleBasedStateMachine):
    """Payments that work or do not, probes, and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.health = Health("m")
        self.now = NOW
        self.in_a_row = Counter()

    @rule(key=st.sampled_from(KEYS))
    def works(self, key):
        before = self.health.of(key)
        self.health = self.health.noted(Sign(key, self.now), self.now, 1)
        self.in_a_row[key] = 0
        expected = HealthState.PROBATION if before.state is HealthState.DOWN else HealthState.UP
        assert self.health.of(key).state is expected

    @rule(key=st.sampled_from(KEYS))
    def fails(self, key):
        before = self.health.of(key)
        self.health = self.health.noted(Sign(key, self.now, "no"), self.now, 1)
        self.in_a_row[key] += 1
        after = self.health.of(key)
        if before.state is HealthState.UP:
            assert (after.state is HealthState.DOWN) == (self.in_a_row[key] >= DOWN_AFTER)
        else:
            assert after.state is HealthState.DOWN
        if before.state is HealthState.PROBATION:
            assert after.next_probe_at - self.now == min(FIRST_PAUSE * 2**before.pauses, LONGEST_PAUSE)
        if before.state is HealthState.DOWN:
            assert after == before

    @rule(key=st.sampled_from(KEYS), age=st.integers(1, 100))
    def old_news(self, key, age):
        """Sent before the channel went down or came back, answered after it."""
        before = self.health.of(key)
        if before.since is None:
            return
        sent_at = before.since - timedelta(seconds=age)
        for error in (None, "no"):
            assert self.health.noted(Sign(key, sent_at, error), self.now, 1) == self.health

    @rule(alive=st.booleans())
    def probe(self, alive):
        if self.health.due_at is None:
            return
        self.now = max(self.now, self.health.due_at)
        due = self.health.due(self.now)
        assert due
        for key in due:
            before = self.health.of(key)
            until = self.now + timedelta(seconds=75)
            claimed = self.health.claimed(key, until)
            assert key not in claimed.due(until - timedelta(microseconds=1))
            self.health = claimed.probed(key, None if alive else "no", self.now, 1)
            after = self.health.of(key)
            if alive:
                assert (after.state, after.since, after.pauses) == (HealthState.PROBATION, self.now, before.pauses)
                self.in_a_row[key] = before.failures
            else:
                assert (after.state, after.since) == (HealthState.DOWN, before.since)
                assert after.next_probe_at - self.now == min(FIRST_PAUSE * 2**before.pauses, LONGEST_PAUSE)

    @rule(key=st.sampled_from(KEYS))
    def probed_though_it_is_not_down(self, key):
        if self.health.of(key).state is not HealthState.DOWN:
            assert self.health.probed(key, "no", self.now, 1) == self.health
            assert self.health.probed(key, None, self.now, 1) == self.health

    @rule(key=st.sampled_from(KEYS))
    def forgotten(self, key):
        self.health = self.health.without(key)
        self.in_a_row[key] = 0
        assert self.health.of(key) == WELL

    @rule(seconds=st.integers(0, 1000))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @invariant()
    def who_is_down_and_nobody_else_will_be_asked(self):
        for channel in self.health.channels.values():
            assert (channel.state is HealthState.DOWN) == (channel.next_probe_at is not None)
            assert (channel.since is None) == (channel.state is HealthState.UP)
        asked = [c.next_probe_at for c in self.health.channels.values() if c.next_probe_at]
        assert self.health.due_at == min(asked, default=None)

    @invariant()
    def who_is_well_takes_no_room(self):
        assert WELL not in self.health.channels.values()
        for channel in self.health.channels.values():
            assert channel.failures
            assert channel.last_error


TestOutages = Outages.TestCase


def test_an_outage_of_years_has_pauses_of_ten_minutes():
    channel = ChannelHealth(HealthState.DOWN, 3, NOW, 100_000, NOW, "no")
    after = Health("m", {"a": channel}).probed("a", "no", NOW, 1).of("a")
    assert after.next_probe_at == NOW + LONGEST_PAUSE


def test_pauses_are_scaled():
    health = Health("m")
    for _ in range(DOWN_AFTER):
        health = health.noted(Sign("a", NOW, "no"), NOW, 0.01)
    assert health.due_at == NOW + timedelta(seconds=0.3)
    assert health.probed("a", "no", NOW, 0.01).due_at == NOW + timedelta(seconds=0.6)


@pytest.mark.parametrize("reason", DeclineReason)
def test_who_declines_a_card_is_well(reason):
    sign = sign_of("a", NOW, Declined(reason, "X", "no"))
    expected = {
        DeclineReason.GATEWAY_MAINTENANCE: None,
        DeclineReason.CHANNEL_REJECTED: Sign("a", NOW, "[X] no"),  # it is the channel that is refused, and not the card
    }
    assert sign == expected.get(reason, Sign("a", NOW))


def test_what_results_say():
    assert sign_of("a", NOW, Approved("t", Money(1), NOW)) == Sign("a", NOW)
    assert sign_of("a", NOW, NotSent("refused")) == Sign("a", NOW, "refused")
    assert sign_of("a", NOW, NotSent("no time", unwell=False)) is None
    assert sign_of("a", NOW, Unknown("HTTP 500", unwell=True)) == Sign("a", NOW, "HTTP 500")
    assert sign_of("a", NOW, Unknown("odd", "CODE")) is None
    account = VirtualAccount("088", "110123456789", NOW, NOW)
    assert sign_of("a", NOW, AwaitingDeposit("t", Money(1), account)) is None


# --- who is drawn ----------------------------------------------------------------------------------------------------


class FixedRandom(random.Random):
    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


def choices(weights, **kwargs):
    return Choices(tuple(Candidate(f"k{n}", f"pg{n}", "mid", weight) for n, weight in enumerate(weights)), **kwargs)


def out(*numbers):
    return [Exclusion(f"k{n}", f"pg{n}", "down", "장애") for n in numbers]


def shares(drawn_from):
    """How often each is drawn over points spread evenly: exact, since every weight is a whole number of points."""
    total = sum(c.weight for c in drawn_from.candidates)
    points = [(n + 0.5) / total for n in range(total)]
    return Counter(draw(drawn_from, FixedRandom(point), NOW).chosen for point in points)


groups = st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=10)


@given(groups, st.booleans())
def test_the_ratio_among_those_left_is_their_weights_ratio(group, standbys):
    weights = [weight for weight, _ in group]
    down = [n for n, (_, is_down) in enumerate(group) if is_down]
    left = choices(weights).leaving_out(out(*down), standbys=standbys)
    if not any(weight for n, weight in enumerate(weights) if n not in down):
        return  # the next test's
    assert shares(left) == Counter({f"k{n}": w for n, w in enumerate(weights) if n not in down and w})
    assert {e.channel_key for e in left.exclusions} == {f"k{n}" for n in down}


@given(groups, st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_leaving_out_never_leaves_nobody(group, standbys, zero_allowed, value):
    weights = [weight for weight, _ in group]
    down = [n for n, (_, is_down) in enumerate(group) if is_down]
    all_of_them = choices(weights, zero_allowed=zero_allowed)
    left = all_of_them.leaving_out(out(*down), standbys=standbys)
    try:
        draw(all_of_them, FixedRandom(value), NOW)
    except NoChannel:
        with pytest.raises(NoChannel):
            draw(left, FixedRandom(value), NOW)
    else:
        chosen = int(draw(left, FixedRandom(value), NOW).chosen[1:])
        well = [n for n in range(len(weights)) if n not in down]
        may_be_drawn = [n for n in well if weights[n] or standbys or (zero_allowed and not any(weights))]
        assert (chosen in down) == (not may_be_drawn)


@pytest.mark.parametrize(
    ("weights", "down", "standbys", "zero_allowed", "drawn"),
    [
        ((60, 40, 0), (0,), True, False, {"k1"}),
        ((60, 40, 0), (0, 1), True, False, {"k2"}),
        ((60, 40, 0), (0, 1), False, False, {"k0", "k1"}),
        ((60, 40, 0), (0, 1), False, True, {"k0", "k1"}),
        ((60, 40, 0), (0, 1, 2), True, True, {"k0", "k1"}),
        ((0, 0), (0,), False, True, {"k1"}),
        ((0, 0), (0, 1), True, True, {"k0", "k1"}),
    ],
)
def test_who_stands_in(weights, down, standbys, zero_allowed, drawn):
    left = choices(weights, zero_allowed=zero_allowed).leaving_out(out(*down), standbys=standbys)
    assert {draw(left, FixedRandom(n / 20), NOW).chosen for n in range(20)} == drawn


def test_who_is_named_outright_is_never_left_out():
    pinned = replace(choices((100,)), fixed_mode="pinned")
    assert pinned.leaving_out(out(0), standbys=True) == pinned
