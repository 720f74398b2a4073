"""The rules by themselves: no network, no table, generated cases."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chalicelib.domain.cancels import claim_cancel, fail_cancel, finish_cancel, suspend_cancel
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Approved, Cancelled, Declined, GatewayCancel, PaymentRequest, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, NoChannel, NotFound, Refused
from chalicelib.domain.groups import ChannelGroup, Failover, GroupEntry, GroupVersion, check_entries
from chalicelib.domain.money import EXPONENTS, Money, parse_currency, parse_money
from chalicelib.domain.payments import (
    Attempt,
    Cancellation,
    CancelState,
    Payment,
    State,
    approve,
    decline,
    fail_unsent,
    suspend,
)
from chalicelib.domain.routing import Candidate, Choices, Decision, Exclusion, draw

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)


class FixedRandom(random.Random):
    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


def candidates(*weights):
    return tuple(Candidate(f"k{n}", f"pg{n}", "mid", weight) for n, weight in enumerate(weights))


weights = st.lists(st.integers(0, 100), min_size=1, max_size=10)
unit = st.floats(0, 1, exclude_max=True)


@given(weights, unit)
def test_the_draw_falls_into_the_chosen_channels_stretch(given_weights, value):
    choices = Choices(candidates(*given_weights), zero_allowed=True)
    decision = draw(choices, FixedRandom(value), NOW)
    index = int(decision.chosen[1:])
    if any(given_weights):
        assert given_weights[index] > 0
        assert decision.mode == "weighted"
        below = sum(given_weights[:index])
        assert below <= decision.draw < below + given_weights[index]
    else:
        assert decision.mode == "standby"
        assert index == int(value * len(given_weights))


@pytest.mark.parametrize("given_weights", [(10, 30), (60, 40), (1, 99), (33, 33, 34)])
def test_shares_over_every_hundredth_are_exactly_the_weights_against_each_other(given_weights):
    total = sum(given_weights)
    points = total * 100
    chosen = Counter(
        draw(Choices(candidates(*given_weights)), FixedRandom((n + 0.5) / points), NOW).chosen for n in range(points)
    )
    assert [chosen[f"k{n}"] for n in range(len(given_weights))] == [weight * 100 for weight in given_weights]


def test_nothing_to_draw_from_names_every_reason():
    out = Exclusion("k9", "pg9", "disabled", "비활성화된 채널입니다.")
    with pytest.raises(NoChannel) as error:
        draw(Choices(candidates(0), (out,)), random.Random(1), NOW)
    assert [key for key, _ in error.value.exclusions] == ["k9", "k0"]
    assert "pg9" in error.value.message


def test_failover_leaves_out_what_was_tried_and_takes_standbys():
    choices = Choices(candidates(50, 50, 0)).without(["k0", "k1"], zero_allowed=True)
    assert draw(choices, random.Random(1), NOW).chosen == "k2"
    with pytest.raises(NoChannel):
        draw(choices.without(["k2"], zero_allowed=True), random.Random(1), NOW)


@given(st.lists(st.tuples(st.integers(-5, 105), st.booleans()), max_size=12))
def test_entries_are_accepted_only_if_they_are_one_to_ten_and_sum_to_100(rows):
    entries = tuple(GroupEntry(f"k{n}", weight, enabled) for n, (weight, enabled) in enumerate(rows))
    fine = 1 <= len(rows) <= 10 and all(0 <= w <= 100 for w, _ in rows) and sum(w for w, _ in rows) == 100
    if fine:
        check_entries(entries)
    else:
        with pytest.raises(InvalidRequest):
            check_entries(entries)


def version(number, effective_at=NOW):
    return GroupVersion(number, f"v{number}", Failover.OFF, (GroupEntry("k", 100),), effective_at, NOW, "me")


def test_a_version_is_in_force_from_its_very_instant():
    group = ChannelGroup("g", Environment.TEST, version(1)).reserve(version(2, NOW + timedelta(hours=1)))
    assert group.at(NOW + timedelta(minutes=59, seconds=59)).number == 1
    assert group.at(NOW + timedelta(hours=1)).number == 2
    assert group.settled(NOW + timedelta(hours=1)) == replace(group, current=group.reserved, reserved=None)
    assert group.settled(NOW) == group
    with pytest.raises(NotFound):
        group.drop_reservation().drop_reservation()


@given(st.sampled_from(sorted(EXPONENTS)), st.integers(0, 10**13 - 1))
def test_money_survives_the_wire(currency, minor):
    money = Money(minor, currency)
    assert parse_money(money.to_decimal(), currency) == money


@given(st.decimals(allow_nan=True, allow_infinity=True, places=None))
def test_no_decimal_is_rounded(value):
    try:
        money = parse_money(value, "USD")
    except InvalidRequest:
        return
    assert money.to_decimal() == value


@pytest.mark.parametrize("text", ["", None])
def test_no_currency_is_won(text):
    assert parse_currency(text) == "KRW"


def test_currencies_do_not_mix():
    with pytest.raises(ValueError, match="mix"):
        Money(1, "KRW") + Money(1, "USD")


def payment(amount=10_000):
    attempt = Attempt(1, "o1", "k", "pg", "mid", NOW, Decision("direct", "k", ()))
    return Payment(
        "imp00000001",
        "imp_1",
        Environment.TEST,
        PaymentRequest("m", Money(amount)),
        State.CLAIMED,
        (attempt,),
        NOW,
        NOW,
    )


APPROVED = Approved("tid", Money(10_000), NOW)
DECLINED = Declined(DeclineReason.ISSUER_DECLINED, "X", "거절")


class Life(RuleBasedStateMachine):
    """Any order of results and cancels: final states stay final, and no more goes back than came in."""

    def __init__(self) -> None:
        super().__init__()
        self.payment = payment()
        self.final = None
        self.given_back = 0
        self.number = 0

    def move(self, work):
        try:
            self.payment = work()
        except ValueError:
            assert self.payment.state in (State.PAID, State.FAILED)
        else:
            if self.payment.state in (State.PAID, State.FAILED):
                self.final = self.payment.state

    @rule()
    def approve(self):
        self.move(lambda: approve(self.payment, APPROVED, NOW))

    @rule()
    def decline(self):
        self.move(lambda: decline(self.payment, DECLINED, NOW))

    @rule()
    def unsent(self):
        self.move(lambda: fail_unsent(self.payment, "x", NOW))

    @rule()
    def unknown(self):
        self.move(lambda: suspend(self.payment, Unknown("x"), NOW, NOW))

    @rule(amount=st.integers(1, 12_000))
    def claim(self, amount):
        self.number += 1
        cancel = Cancellation(f"c{self.number}", Money(amount), "r", CancelState.CLAIMED, NOW)
        try:
            self.payment = claim_cancel(self.payment, cancel, NOW)
        except Refused:
            assert (
                self.payment.state is not State.PAID or self.payment.open_cancel or amount > self.payment.balance.amount
            )

    @precondition(lambda self: self.payment.open_cancel)
    @rule(outcome=st.sampled_from(["done", "failed", "unknown"]))
    def finish(self, outcome):
        cancel = self.payment.open_cancel
        if outcome == "done":
            result = Cancelled(GatewayCancel("t", cancel.amount, NOW))
            self.payment = finish_cancel(self.payment, cancel.cancel_id, result, NOW)
            self.given_back += cancel.amount.amount
        elif outcome == "failed":
            self.payment = fail_cancel(self.payment, cancel.cancel_id, "no", NOW)
        else:
            self.payment = suspend_cancel(self.payment, cancel.cancel_id, "?", NOW, NOW)

    @invariant()
    def no_more_goes_back_than_came_in(self):
        assert self.payment.cancelled_amount.amount == self.given_back <= 10_000
        assert self.payment.balance.amount == 10_000 - self.given_back

    @invariant()
    def final_stays_final(self):
        if self.final:
            assert self.payment.state is self.final

    @invariant()
    def whatever_is_open_is_looked_at(self):
        if self.payment.state is State.UNKNOWN or self.payment.open_cancel:
            assert self.payment.due_at is not None

    @invariant()
    def v1_has_a_word_for_it(self):
        assert self.payment.v1_status in ("ready", "paid", "failed", "cancelled")


TestLife = Life.TestCase


def test_a_fraction_of_a_won_is_refused():
    with pytest.raises(InvalidRequest, match="amount"):
        parse_money(Decimal("0.1"), "KRW")
