"""The simulator: what it tells is what the draw does, and nothing is written or sent for it."""

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Buyer, CardSummary
from chalicelib.domain.errors import InvalidRequest, NotFound
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.health import ChannelHealth, Health, HealthState
from chalicelib.domain.keys import BillingKey, ChannelKey
from chalicelib.domain.money import Money
from chalicelib.domain.routing import Candidate, Choices, draw
from chalicelib.domain.windows import PayMethod
from chalicelib.usecases import billing_keys, charges, groups, simulating
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.simulating import CardSample, Draft, KeySample, KeysSample, Wanted, WindowSample
from infra.sandbox import html5_inicis
from tests.support.clock import SettableClock
from tests.support.recovery import meddle, stored
from tests.support.world import CARD, World, request

FULL = CardSample(birth=True, password_2digits=True, cvc=True)
NOW = SettableClock().now()
ALL = ("name", "buyer_name", "buyer_email", "buyer_tel", "buyer_addr", "buyer_postcode")


def ask(amount=8900, currency="KRW", given=ALL, uid="order0001", **more):
    return simulating.sample_request(uid, Money(amount, currency), given, **more)


def simulate(world, group=None, draft=None, sample=FULL, request=None, **more):
    wanted = Wanted(group.group_id if group else None, draft, request or ask(), sample, **more)
    return simulating.simulate(world.deps, world.merchant_id, wanted)


def drafted(*entries, failover="unsent"):
    return Draft(Environment.TEST, Failover(failover), tuple(GroupEntry(*entry) for entry in entries))


def shares(world, found):
    """Channel's name -> share, and nothing of channels that get none."""
    names = {key: name for name, key in world.channels.items()}
    return {names[share.channel_key]: share.share for share in found.shares if share.share}


def takeovers(world, found):
    names = {key: name for name, key in world.channels.items()}
    return {names[t.after]: {names[s.channel_key]: s.share for s in t.shares} for t in found.takeovers}


def put_down(world, *providers):
    known = Health(world.merchant_id, {
        world.channels[p]: ChannelHealth(HealthState.DOWN, 3, world.clock.now(), 1, world.clock.now() + timedelta(hours=1))
        for p in providers
    })  # fmt: skip
    world.store.commit(known)


# --- shares and the draw ----------------------------------------------------------------------------------------


class Evenly(random.Random):
    """Every point of a grid over [0, 1) in turn, each in the middle of its cell."""

    def __init__(self, cells):
        super().__init__()
        self._points = iter([(n + 0.5) / cells for n in range(cells)])

    def random(self):
        return next(self._points)


weights = st.lists(st.integers(0, 100), min_size=1, max_size=10)


@settings(deadline=None)
@given(weights, st.booleans(), st.sampled_from([None, "direct", "pinned"]))
def test_a_share_is_how_often_the_draw_chooses(weights, zero_allowed, fixed):
    candidates = tuple(Candidate(f"c{n}", "p", "m", weight) for n, weight in enumerate(weights))
    choices = Choices(candidates, zero_allowed=zero_allowed, fixed_mode=fixed)
    told = {share.channel_key: share.share for share in simulating._shares(choices)}
    if not any(told.values()):
        with pytest.raises(charges.NoChannel):
            draw(choices, random.Random(), None)
        return
    cells = 3 * (sum(weights) or len(weights))  # each share is a whole number of cells
    rng = Evenly(cells)
    drawn = Counter(draw(choices, rng, None).chosen for _ in range(cells))
    assert {key: Fraction(drawn[key], cells) for key in told} == told
    assert sum(told.values()) == 1


@pytest.fixture
def shop(world):
    for provider in ("tosspayments", "nice_v2", "html5_inicis"):
        world.channel(provider)
    return world


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=3, max_size=3).filter(lambda e: sum(w for w, _ in e)),
    st.sets(st.sampled_from(["tosspayments", "nice_v2", "html5_inicis"])),
    st.sampled_from(list(Failover)),
)  # fmt: skip
def test_a_simulated_group_is_charged_as_it_was_told(sandboxes, drawn_entries, down, failover):
    """The plan of a real charge, drawn from at every point of a grid."""
    world = World(sandboxes)
    keys = [world.channel(provider) for provider in ("tosspayments", "nice_v2", "html5_inicis")]
    total = sum(weight for weight, _ in drawn_entries)
    scaled = [100 * weight // total for weight, _ in drawn_entries]
    scaled[0] += 100 - sum(scaled)
    entries = [(key, weight, on) for key, weight, (_, on) in zip(keys, scaled, drawn_entries, strict=True)]
    if down:
        put_down(world, *down)
    told = simulate(world, draft=drafted(*entries, failover=failover))
    group = world.group(entries, failover=failover)
    assert simulate(world, group).shares == told.shares
    routing, known = charges.load_to_charge(world.deps, world.merchant_id)
    target = Target(group_id=group.group_id)
    plan = charges.plan_for_card(world.deps.gateways, routing, target, request(), CARD, world.clock.now())
    choices = plan.avoiding(known or Health(world.merchant_id)).choices
    expected = {share.channel_key: share.share for share in told.shares if share.share}
    if told.error:
        with pytest.raises(charges.NoChannel, match="결제 가능한 채널이 없습니다") as refused:
            draw(choices, world.deps.rng, world.clock.now())
        assert (refused.value.message, expected, told.unserved) == (told.error, {}, 1)
        return
    cells = 600
    rng = Evenly(cells)
    drawn = Counter(draw(choices, rng, world.clock.now()).chosen for _ in range(cells))
    assert set(drawn) == set(expected)
    assert all(abs(Fraction(drawn[key], cells) - share) <= Fraction(1, cells) for key, share in expected.items())


# --- cards ------------------------------------------------------------------------------------------------------


def test_a_draft_of_a_new_group(shop):
    toss, nice, inicis = (shop.channels[p] for p in ("tosspayments", "nice_v2", "html5_inicis"))
    found = simulate(shop, draft=drafted((toss, 60), (nice, 40), (inicis, 0)))
    assert shares(shop, found) == {"tosspayments": Fraction(3, 5), "nice_v2": Fraction(2, 5)}
    assert [s.weight for s in found.shares] == [60, 40, 0]
    assert (found.error, found.unserved, found.exclusions) == (None, 0, ())
    assert takeovers(shop, found) == {"tosspayments": {"nice_v2": 1}, "nice_v2": {"tosspayments": 1}}


def test_nothing_is_written_and_nobody_is_asked(shop):
    group = shop.group([(shop.channels["tosspayments"], 100)])
    before, calls = shop.store.texts(), len(shop.store.calls)
    meddle(shop, find_charge=lambda *_: pytest.fail("asked"), charge_card=lambda *_: pytest.fail("charged"))
    simulate(shop, group)
    simulate(shop, group, draft=drafted((shop.channels["nice_v2"], 100)))
    assert shop.store.texts() == before
    assert set(shop.store.calls[calls:]) == {"load"}


def test_card_fields_that_are_missing_leave_channels_out(shop):
    toss, nice = shop.channels["tosspayments"], shop.channels["nice_v2"]
    draft = drafted((toss, 60), (nice, 40))
    found = simulate(shop, draft=draft, sample=CardSample(birth=True))
    assert shares(shop, found) == {"tosspayments": 1}
    [excluded] = found.exclusions
    assert (excluded.channel_key, excluded.code) == (nice, "constraint")
    assert excluded.message.startswith("pwd_2digit: ")
    nobody = simulate(shop, draft=draft, sample=CardSample())
    assert (nobody.unserved, shares(shop, nobody)) == (1, {})
    assert "birth: " in nobody.error
    assert "pwd_2digit: " in nobody.error


def test_what_is_disabled_or_down_gets_nothing(shop):
    toss, nice, inicis = (shop.channels[p] for p in ("tosspayments", "nice_v2", "html5_inicis"))
    put_down(shop, "nice_v2")
    found = simulate(shop, draft=drafted((toss, 50, False), (nice, 30), (inicis, 20)))
    assert shares(shop, found) == {"html5_inicis": 1}
    assert {e.channel_key: e.code for e in found.exclusions} == {toss: "disabled", nice: "down"}


def test_standbys_step_in_for_what_is_down_unless_failover_is_off(shop):
    toss, nice, inicis = (shop.channels[p] for p in ("tosspayments", "nice_v2", "html5_inicis"))
    put_down(shop, "tosspayments")
    entries = (toss, 100), (nice, 0), (inicis, 0)
    found = simulate(shop, draft=drafted(*entries))
    assert shares(shop, found) == {"nice_v2": Fraction(1, 2), "html5_inicis": Fraction(1, 2)}
    assert takeovers(shop, found) == {"nice_v2": {"html5_inicis": 1}, "html5_inicis": {"nice_v2": 1}}
    found = simulate(shop, draft=drafted(*entries, failover="off"))
    assert (shares(shop, found), found.takeovers) == ({"tosspayments": 1}, ())


def test_whose_lost_replies_nobody_can_clear_up_takes_over_last(shop):
    toss, nice = shop.channels["tosspayments"], shop.channels["nice_v2"]
    inicis = shop.channel("html5_inicis", "no query", credentials=html5_inicis.UNGUARDED_CREDENTIALS)
    found = simulate(shop, draft=drafted((toss, 50), (inicis, 50), (nice, 0)))
    assert takeovers(shop, found) == {"tosspayments": {"nice_v2": 1}, "no query": {"tosspayments": 1}}
    alone = simulate(shop, draft=drafted((toss, 50), (inicis, 50)))
    assert takeovers(shop, alone) == {"tosspayments": {"no query": 1}, "no query": {"tosspayments": 1}}


def test_who_takes_over_is_who_a_charge_goes_to(shop):
    """A standby if no weighted channel is left."""
    toss, nice = shop.channels["tosspayments"], shop.channels["nice_v2"]
    group = shop.group([(toss, 100), (nice, 0)])
    assert takeovers(shop, simulate(shop, group)) == {"tosspayments": {"nice_v2": 1}}
    shop.sandboxes["tosspayments"].fail("charge", "refuse", seconds=60)
    payment = charges.charge_card(shop.deps, shop.merchant_id, request(), CARD, Target(group_id=group.group_id))
    assert [a.channel_key for a in stored(shop, payment).attempts] == [toss, nice]


def test_a_draft_of_a_saved_group_leaves_its_reservation_alone(shop):
    toss, nice = shop.channels["tosspayments"], shop.channels["nice_v2"]
    group = shop.group([(toss, 100)])
    content = groups.GroupContent(
        "later", Failover.OFF, (GroupEntry(nice, 100),), shop.clock.now() + timedelta(hours=1)
    )
    groups.update(shop.deps, shop.admin, group.group_id, content)
    assert shares(shop, simulate(shop, group)) == {"tosspayments": 1}
    later = simulate(shop, group, reserved=True)
    assert (shares(shop, later), later.failover) == ({"nice_v2": 1}, Failover.OFF)
    both = simulate(shop, group, draft=drafted((toss, 30), (nice, 70)))
    assert shares(shop, both) == {"tosspayments": Fraction(3, 10), "nice_v2": Fraction(7, 10)}
    shop.clock.advance(hours=1)
    assert shares(shop, simulate(shop, group)) == {"nice_v2": 1}
    with pytest.raises(NotFound):
        simulate(shop, group, reserved=True)


def test_what_could_not_be_saved_is_not_simulated(shop):
    toss, live = shop.channels["tosspayments"], shop.channel("tosspayments", "live", "live")
    for entries in ([(toss, 99)], [("channel-key-x", 100)], [(live, 100)], []):
        with pytest.raises(InvalidRequest):
            simulate(shop, draft=drafted(*entries))
    with pytest.raises(InvalidRequest):
        simulate(shop)
    with pytest.raises(NotFound):
        simulating.simulate(shop.deps, shop.merchant_id, Wanted("channel-group-x", None, ask(), FULL))


@pytest.mark.parametrize(("currency", "field"), [("USD", "currency"), ("KRW", "amount")])
def test_amounts_and_currencies_count(shop, currency, field):
    inicis = shop.channels["html5_inicis"]
    shop.channel("settle")
    draft = drafted((inicis, 50), (shop.channels["settle"], 50))
    found = simulate(shop, draft=draft, request=ask(amount=500, currency=currency))
    assert any(e.message.startswith(f"{field}: ") for e in found.exclusions)


def test_sample_values_fit_every_gateway(world):
    """A field that is given must not be what leaves a channel out."""
    for spec in world.deps.gateways.specs():
        full = ask(product_type="real")
        for operation in spec.operations:
            bad = [text for text in spec.objections(operation, full) if not text.startswith(("currency", "amount"))]
            assert not [text for text in bad if "지원하지 않" not in text and "설정이 필요" not in text], spec.provider


# --- keys -------------------------------------------------------------------------------------------------------


@pytest.fixture
def subscribed(world):
    """c1 has a key at both channels, c2 at the first one only."""
    group = world.two_gateways((60, 40))
    issue(world, "c1")
    world.sandboxes["nice_v2"].fail("issue", "decline")
    issue(world, "c2")
    return group


def issue(world, uid):
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(uid, CARD, Target()))


def test_a_stored_key_goes_where_it_is_held(world, subscribed):
    both, one = (simulate(world, subscribed, sample=KeySample(uid)) for uid in ("c1", "c2"))
    assert shares(world, both) == {"tosspayments": Fraction(3, 5), "nice_v2": Fraction(2, 5)}
    assert shares(world, one) == {"tosspayments": 1}
    assert [e.code for e in one.exclusions] == ["no_key"]
    moved = simulate(world, subscribed, sample=KeySample("c2"), draft=drafted((world.channels["nice_v2"], 100)))
    assert (moved.unserved, shares(world, moved)) == (1, {})
    assert "no billing key" in moved.error


def test_a_key_of_another_group_is_refused_as_its_charge_would_be(world, subscribed):
    other = world.group([(world.channels["tosspayments"], 100)], name="other")
    found = simulate(world, other, sample=KeySample("c1"))
    assert "not this key's group" in found.error
    new = simulate(world, sample=KeySample("c1"), draft=drafted((world.channels["tosspayments"], 100)))
    assert "not this key's group" in new.error
    with pytest.raises(NotFound, match="customer_uid"):
        simulate(world, subscribed, sample=KeySample("nobody"))


@pytest.mark.gateways("smartro_v2")
def test_a_stored_key_lends_its_buyer(world):
    """As a charge on it does: a field that the request leaves out leaves no channel out, if the key has it."""
    group = world.group([(world.channel("smartro_v2"), 100)])
    buyer = Buyer("Gildong Hong", "gildong@gmail.com", "010-1234-5678")
    world.store.commit(
        BillingKey(
            world.merchant_id,
            "c1",
            Environment.TEST,
            {key: ChannelKey(key, "smartro_v2", "m", "", CardSummary(), NOW, NOW) for key in world.channels.values()},
            NOW,
            NOW,
            group_id=group.group_id,
            customer=buyer,
        )
    )
    bare = ask(given=("name",))
    assert shares(world, simulate(world, group, sample=KeySample("c1"), request=bare)) == {"smartro_v2": 1}
    held = KeysSample([(frozenset(world.channels.values()), 1)])
    assert "buyer_email: " in simulate(world, group, sample=held, request=bare).error


def test_a_saved_group_keeps_its_environment(world):
    live = world.channel("tosspayments", "live", "live")
    content = groups.GroupContent("live", Failover.OFF, (GroupEntry(live, 100),))
    group = groups.create(world.deps, world.admin, Environment.LIVE, content)
    found = simulate(world, group, draft=drafted((live, 100)))
    assert (found.environment, shares(world, found)) == (Environment.LIVE, {"live": 1})
    with pytest.raises(InvalidRequest):
        simulate(world, group, draft=drafted((world.channel("tosspayments"), 100)))


def test_keys_held_by_these_channels(world, subscribed):
    toss, nice = world.channels["tosspayments"], world.channels["nice_v2"]
    for held, uid in ((frozenset({toss, nice}), "c1"), (frozenset({toss}), "c2")):
        assumed = simulate(world, subscribed, sample=KeysSample([(held, 1)]))
        real = simulate(world, subscribed, sample=KeySample(uid))
        assert replace(assumed, combinations=()) == real


def test_all_keys_are_the_mean_of_their_combinations(shop):
    toss, nice, inicis = (shop.channels[p] for p in ("tosspayments", "nice_v2", "html5_inicis"))
    draft = drafted((toss, 60), (nice, 40), (inicis, 0))
    mix = [
        (frozenset({toss, nice}), 5),
        (frozenset({toss}), 2),
        (frozenset({inicis}), 2),  # rule P5: 0 %, and all there is
        (frozenset(), 1),
        (frozenset({nice}), 0),
    ]
    found = simulate(shop, draft=draft, sample=KeysSample(mix))
    assert shares(shop, found) == {
        "tosspayments": Fraction(5, 10) * Fraction(3, 5) + Fraction(2, 10),
        "nice_v2": Fraction(5, 10) * Fraction(2, 5),
        "html5_inicis": Fraction(2, 10),
    }
    assert (found.unserved, found.error) == (Fraction(1, 10), None)
    assert [c.keys for c in found.combinations] == [5, 2, 2, 1]
    assert found.combinations[-1].simulation.error
    # Of the half that begins at Toss, three in five can go on: the others hold no second key.
    assert takeovers(shop, found) == {
        "tosspayments": {"nice_v2": Fraction(3, 5)},
        "nice_v2": {"tosspayments": 1},
        "html5_inicis": {},
    }


def test_no_keys_is_said(shop):
    draft = drafted((shop.channels["tosspayments"], 100))
    assert simulate(shop, draft=draft, sample=KeysSample([])).error == simulating.NO_KEYS
    found = simulate(shop, draft=draft, sample=KeysSample([(frozenset(), 3)]))
    assert (found.unserved, "no billing key" in found.error) == (1, True)


# --- windows ----------------------------------------------------------------------------------------------------


def test_windows(shop):
    toss, nice = shop.channels["tosspayments"], shop.channels["nice_v2"]
    draft = drafted((toss, 60), (nice, 40))
    found = simulate(shop, draft=draft, sample=WindowSample(PayMethod.PAYPAL))
    assert "pay_method: " in found.error
    phone = simulate(shop, draft=draft, sample=WindowSample(PayMethod.PHONE, digital=True))
    assert sum(shares(shop, phone).values()) == 1
    put_down(shop, "nice_v2")
    card = simulate(shop, draft=draft, sample=WindowSample(PayMethod.CARD))
    assert shares(shop, card) == {"tosspayments": 1}
    assert {e.channel_key: e.code for e in card.exclusions} == {nice: "down"}
    # A window that does not open costs nothing: even what is down may be tried then, as windows do.
    assert takeovers(shop, card) == {"tosspayments": {"nice_v2": 1}}
    assert (
        simulate(shop, draft=replace(draft, failover=Failover.OFF), sample=WindowSample(PayMethod.CARD)).takeovers == ()
    )
