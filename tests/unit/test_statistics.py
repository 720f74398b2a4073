"""The console's numbers, through real charges: they are what happened, and nothing is counted twice or for nobody."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.charging import VirtualAccountRequest
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.groups import GroupEntry
from chalicelib.domain.money import Money
from chalicelib.domain.payments import Payment, reverse_deposit
from chalicelib.domain.routing import Candidate, Choices, Decision, Exclusion, draw
from chalicelib.domain.statistics import LATENCIES, WHOLE, asked, bucket, key_shares, of_attempt, parts_of, quantile
from chalicelib.ports import Ref
from chalicelib.usecases import billing_keys, charges, checking, virtual_accounts
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.statistics import KST, Step, channel_statistics, coverage, group_shares
from tests.support.recovery import onetime
from tests.support.windows import Shop
from tests.support.world import CARD, NO_FUNDS, STOLEN, request

BOTH = ["tosspayments", "nice_v2"]


def numbers(world, name="tosspayments", hours=48, step=Step.HOUR):
    """Of all hours around now."""
    key, now = world.channels[name], world.clock.now()
    since, until = now - timedelta(hours=hours), now + timedelta(hours=1)
    return channel_statistics(world.deps, world.merchant_id, [key], since, until, step)[key]


def shares(world, group):
    now = world.clock.now()
    found = group_shares(
        world.deps, world.merchant_id, group.group_id, now - timedelta(days=2), now + timedelta(hours=1)
    )
    by_key = {key: name for name, key in world.channels.items()}
    return found.payments, {by_key[s.channel_key]: (s.asked, s.delivered) for s in found.channels}


def issue(world, uid, target=None):
    return billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(uid, CARD, target or Target()))


def again(world, uid, order_id):
    return charges.charge_key(world.deps, world.merchant_id, uid, request(order_id), Target())


# --- per channel ---


def test_outcomes_reasons_amounts_and_latency_of_a_channel(world):
    world.group([(world.channel("tosspayments"), 100)])
    for n in range(3):
        onetime(world, f"ok{n}")
    charges.charge_card(world.deps, world.merchant_id, request("no1"), NO_FUNDS, Target())
    charges.charge_card(world.deps, world.merchant_id, request("no2"), NO_FUNDS, Target())
    charges.charge_card(world.deps, world.merchant_id, request("no3"), STOLEN, Target())
    world.sandboxes["tosspayments"].fail("charge", "refuse")
    onetime(world, "unsent")
    total = numbers(world).total
    assert (total.approved, total.declined, total.not_sent, total.unknown, total.attempts) == (3, 3, 1, 0, 7)
    assert total.approval_rate == 0.5
    assert total.reasons == ((DeclineReason.INSUFFICIENT_FUNDS, 2), (DeclineReason.LOST_OR_STOLEN, 1))
    assert total.amounts == {"KRW": 3 * 8900}
    assert sum(total.latencies.values()) == 6
    assert 0 < total.p50_ms <= total.p95_ms <= LATENCIES[-1]


def test_a_channel_that_nobody_used_has_nothing_to_show(world):
    world.channel("tosspayments")
    found = numbers(world, hours=2)
    assert (found.total.attempts, found.total.approval_rate, found.total.p95_ms) == (0, None, None)
    assert (found.total.reasons, found.total.amounts, found.total.others) == ((), {}, {})
    assert len(found.series) == 3
    now = world.clock.now()
    assert channel_statistics(world.deps, world.merchant_id, ["x"], now, now, Step.DAY)["x"].series == ()


def test_what_is_unknown_counts_as_what_it_turns_out_to_be(world):
    world.group([(world.channel("tosspayments"), 100)])
    world.sandboxes["tosspayments"].fail("charge", "reply_lost")
    onetime(world, "order-1")
    assert (numbers(world).total.unknown, numbers(world).total.approval_rate) == (1, None)
    world.run_to_quiet()
    total = numbers(world).total
    assert (total.approved, total.unknown, total.attempts, total.amounts) == (1, 0, 1, {"KRW": 8900})


def test_test_charges_count_nowhere(world):
    group = world.group([(world.channel("tosspayments"), 100)])
    issue(world, "c")
    checking.check(world.deps, world.merchant_id, checking.Check("c", Money(1000), request("s1")))
    [tried] = world.sandboxes["tosspayments"].transactions()
    assert tried["state"] == "cancelled"
    assert numbers(world).total.attempts == 0
    assert shares(world, group) == (0, {})


def test_an_account_is_issued_until_its_deposit_is_there(world):
    world.group([(world.channel("tosspayments"), 100)])
    due = world.clock.now() + timedelta(days=7)
    wanted = virtual_accounts.Issue(request("o1"), VirtualAccountRequest(bank_code="088", due_at=due), Target())
    made = virtual_accounts.issue(world.deps, world.merchant_id, wanted)
    assert (numbers(world).total.others, numbers(world).total.approved) == ({"issued": 1}, 0)
    toss = world.sandboxes["tosspayments"]
    toss.deposit(made.attempt.order_id)
    world.clock.advance(hours=7)
    world.sweep()
    world.run_queue()
    total = numbers(world).total
    assert (total.others, total.approved, total.amounts) == ({}, 1, {"KRW": 8900})
    toss.deposit(made.attempt.order_id, reverse=True)
    stored = world.store.load(Ref(Payment, (world.merchant_id, made.imp_uid)))
    back = reverse_deposit(stored, world.clock.now(), due, "x")
    assert of_attempt(back, back.attempt)["issued"] == 1


def test_windows_count_when_they_have_ended(world, api):
    world.group([(world.channel("tosspayments"), 100)])
    shop = Shop(world, api)
    paid, _ = shop.open(), shop.open(merchant_uid="order-2")
    assert numbers(world).total.attempts == 0
    assert paid.pay()["status"] == "paid"
    world.run_to_quiet()
    total = numbers(world).total
    assert (total.approved, total.others, total.attempts) == (1, {"left": 1}, 2)


def test_series_have_no_gaps_and_days_begin_at_midnight_in_korea(world):
    world.group([(world.channel("tosspayments"), 100)])
    begun = datetime(2026, 11, 23, 14, 59, 59, tzinfo=UTC)
    world.clock.set(begun)
    onetime(world, "o1")
    world.clock.advance(hours=25)
    onetime(world, "o2")
    days, hours = numbers(world, step=Step.DAY), numbers(world)
    assert [point.at.astimezone(KST).hour for point in days.series] == [0] * len(days.series)
    assert [b.at - a.at for a, b in zip(hours.series, hours.series[1:], strict=False)] == [timedelta(hours=1)] * (
        len(hours.series) - 1
    )
    for found, length in ((days, timedelta(days=1)), (hours, timedelta(hours=1))):
        used = [point.at for point in found.series if point.outcomes.attempts]
        assert len(used) == 2
        assert used[0] <= begun < used[0] + length
        assert sum(point.outcomes.approved for point in found.series) == found.total.approved == 2


# --- per group ---


def test_asked_and_delivered_of_a_group(world):
    group = world.two_gateways((60, 40))
    made = [onetime(world, f"o{n}") for n in range(10)]
    sent = [sum(p.attempt.pg_provider == name for p in made) for name in BOTH]
    count, found = shares(world, group)
    assert count == 10 == sum(sent)
    assert found == {"tosspayments": (60_000, sent[0]), "nice_v2": (40_000, sent[1])}
    now = world.clock.now()
    nothing = group_shares(world.deps, world.merchant_id, group.group_id, now, now)
    assert (nothing.payments, nothing.channels) == (0, ())


def test_a_failover_is_delivered_by_the_channel_that_had_it_last(world):
    group = world.two_gateways((100, 0))
    world.sandboxes["tosspayments"].fail("charge", "refuse")
    onetime(world, "o1")
    assert shares(world, group) == (1, {"tosspayments": (WHOLE, 0), "nice_v2": (0, 1)})
    assert (numbers(world).total.not_sent, numbers(world, "nice_v2").total.approved) == (1, 1)


def test_a_channel_that_could_not_take_it_was_asked_all_the_same(world):
    group = world.two_gateways((60, 40))
    world.sandboxes["nice_v2"].fail("issue", "decline")
    issue(world, "c")
    again(world, "c", "o1")
    assert shares(world, group) == (1, {"tosspayments": (6000, 1), "nice_v2": (4000, 0)})


def test_a_channel_that_is_down_was_asked_and_a_disabled_one_was_not(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    third = world.channel("tosspayments", "off")
    group = world.group([(toss, 60), (nice, 20), (third, 20, False)])
    world.sandboxes["tosspayments"].fail("charge", "refuse", seconds=3600)
    for n in range(3):
        charges.charge_card(world.deps, world.merchant_id, request(f"d{n}"), CARD, Target(channel_key=toss))
    onetime(world, "o1")
    count, found = shares(world, group)
    assert (count, found) == (1, {"tosspayments": (7500, 0), "nice_v2": (2500, 1)})


def test_pinned_payments_are_none_of_the_groups(world):
    group = world.two_gateways((60, 40))
    pinned = Target(group_id=group.group_id, channel_key=world.channels["nice_v2"])
    charges.charge_card(world.deps, world.merchant_id, request("o1"), CARD, pinned)
    assert shares(world, group) == (0, {})
    assert numbers(world, "nice_v2").total.approved == 1


@given(st.lists(st.integers(0, 100), min_size=1, max_size=10))
def test_what_is_asked_adds_up_to_the_payment(weights):
    parts = parts_of({f"c{n}": weight for n, weight in enumerate(weights)})
    assert sum(parts.values()) == WHOLE
    total = sum(weights)
    for n, weight in enumerate(weights):
        exact = Fraction(weight, total) if total else Fraction(1, len(weights))
        assert abs(parts[f"c{n}"] - exact * WHOLE) < 1


def test_decisions_from_before_weights_were_kept_ask_for_what_they_know():
    known = Decision("weighted", "a", (Candidate("a", "p", "m", 70),), (Exclusion("b", "p", "no_key", "x"),))
    assert asked(known) == {"a": WHOLE, "b": 0}


# --- who holds which keys ---


def test_coverage_follows_issue_reissue_and_delete(world):
    group = world.two_gateways((60, 40))
    toss, nice = world.channels["tosspayments"], world.channels["nice_v2"]
    issue(world, "both")
    world.sandboxes["nice_v2"].fail("issue", "decline")
    issue(world, "one")
    issue(world, "plain", Target(channel_key=toss))

    def now():
        return coverage(world.deps, world.merchant_id, group.group_id)

    assert (now().total, now().held_by(toss), now().held_by(nice), now().reach(nice)) == (2, 2, 1, 0.5)
    kept = now().shares(group.current)
    assert (kept.shares, kept.stranded) == ({toss: 0.8, nice: 0.2}, 0)
    draft = now().shares([GroupEntry(toss, 100, enabled=False), GroupEntry(nice, 0)])
    assert (draft.shares, draft.stranded) == ({nice: 1.0}, 1)
    issue(world, "one")
    assert now().combinations == ((frozenset({toss, nice}), 2),)
    billing_keys.delete(world.deps, world.merchant_id, "both")
    billing_keys.delete(world.deps, world.merchant_id, "one")
    assert (now().total, now().reach(toss), now().shares(group.current).shares[toss]) == (0, 0.0, 0.0)


def test_a_key_issued_anew_for_another_group_leaves_the_first(world):
    first = world.two_gateways((60, 40))
    issue(world, "c")
    second = world.group([(world.channels["tosspayments"], 100)], name="second", default=False)
    issue(world, "c", Target(group_id=second.group_id))
    totals = [coverage(world.deps, world.merchant_id, g.group_id).total for g in (first, second)]
    assert totals == [0, 1]


@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abcd"), min_size=1), st.integers(1, 5)), max_size=5),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), min_size=1),
)
def test_the_shares_of_keys_are_what_the_draw_gives(combinations, weights):
    """Against `draw` itself, once for each unit of weight."""
    held = [(frozenset(channels), number) for channels, number in combinations]
    found, stranded = key_shares(held, weights)
    wanted, lost = dict.fromkeys(weights, Fraction()), 0
    for channels, number in held:
        usable = tuple(Candidate(key, "p", "m", weight) for key, weight in weights.items() if key in channels)
        if not usable:
            lost += number
            continue
        total = sum(c.weight for c in usable) or len(usable)
        drawn = [draw(Choices(usable, (), True), Point((2 * n + 1) / (2 * total)), NOW).chosen for n in range(total)]
        for key in drawn:
            wanted[key] += Fraction(number, total)
    chargeable = sum(number for _, number in held) - lost
    assert stranded == lost
    assert found == {key: share / chargeable if chargeable else Fraction() for key, share in wanted.items()}


NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Point:
    """A random number that is known."""

    def __init__(self, value):
        self.random = lambda: value


# --- latency ---


@pytest.mark.parametrize(
    ("took_ms", "name"), [(0, "100"), (100, "100"), (101, "200"), (60_000, "60000"), (60_001, "longer")]
)
def test_latencies_fall_into_buckets_by_their_upper_end(took_ms, name):
    assert bucket(took_ms) == name


@given(st.lists(st.integers(0, 59_999), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_off_by_its_bucket_at_most(times, q):
    histogram = {}
    for took_ms in times:
        histogram[bucket(took_ms)] = histogram.get(bucket(took_ms), 0) + 1
    exact = sorted(times)[max(0, -(-int(q * 100) * len(times) // 100) - 1)]
    ends = [0, *LATENCIES]
    n = next(n for n, end in enumerate(ends) if exact <= end and n)
    assert ends[n - 1] <= quantile(histogram, q) <= ends[n]


def test_a_quantile_of_what_takes_longer_is_the_last_end():
    assert quantile({"longer": 3}, 0.5) == LATENCIES[-1]
    assert quantile({}, 0.5) is None
