"""Groups over time: what changed, which versions there were, rolling back, and saving over somebody else's change."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.accounts import Audit
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused
from chalicelib.domain.group_changes import Change, ChangeKind, diff, read_version
from chalicelib.domain.groups import Failover, GroupEntry, GroupVersion
from chalicelib.usecases import channels, charges, groups
from chalicelib.usecases.groups import GroupContent, Seen, Standing, shown_version
from tests.support.clock import SettableClock

NOW = SettableClock().now()


def version(*entries, name="default", failover="unsent", number=1):
    return GroupVersion(number, name, Failover(failover), tuple(GroupEntry(*e) for e in entries), NOW, NOW, "demo")


BASE = version(("a", 60), ("b", 40))


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (replace(BASE, number=2, saved_by="other"), []),
        (replace(BASE, name="new"), [Change(ChangeKind.NAME, "default", "new")]),
        (replace(BASE, failover=Failover.OFF), [Change(ChangeKind.FAILOVER, "unsent", "off")]),
        (
            version(("a", 70), ("b", 30)),
            [Change(ChangeKind.WEIGHT, 60, 70, "a"), Change(ChangeKind.WEIGHT, 40, 30, "b")],
        ),
        (version(("a", 60), ("b", 40, False)), [Change(ChangeKind.ENABLED, True, False, "b")]),
        (version(("b", 40), ("a", 60)), [Change(ChangeKind.ORDER, ("a", "b"), ("b", "a"))]),
        (
            version(("c", 40), ("a", 60)),
            [
                Change(ChangeKind.REMOVED, GroupEntry("b", 40), None, "b"),
                Change(ChangeKind.ADDED, None, GroupEntry("c", 40), "c"),
            ],
        ),
    ],
)
def test_what_changed(after, changes):
    assert diff(BASE, after) == changes
    assert diff(shown_version(BASE), shown_version(after)) == changes
    assert diff(shown_version(BASE), after) == changes


def test_a_group_that_came_or_went():
    kinds = [change.kind for change in diff(None, BASE)]
    assert kinds == [ChangeKind.NAME, ChangeKind.FAILOVER, ChangeKind.ADDED, ChangeKind.ADDED]
    assert {change.kind for change in diff(BASE, None)} == {ChangeKind.NAME, ChangeKind.FAILOVER, ChangeKind.REMOVED}
    assert diff(None, None) == []


entries = st.lists(
    st.builds(GroupEntry, st.sampled_from("abcd"), st.integers(0, 3), st.booleans()),
    max_size=4,
    unique_by=lambda entry: entry.channel_key,
).map(tuple)
contents = st.builds(
    lambda n, f, e: replace(BASE, name=n, failover=f, entries=e),
    st.sampled_from("xy"),
    st.sampled_from(Failover),
    entries,
)


@given(contents, contents)
def test_no_change_is_told_exactly_if_the_content_is_the_same(before, after):
    same = (before.name, before.failover, before.entries) == (after.name, after.failover, after.entries)
    assert (diff(before, after) == []) == same


@given(contents)
def test_what_the_trail_keeps_is_read_back(before):
    assert read_version(json.loads(json.dumps(shown_version(before)))) == before


# --- the versions of a group -----------------------------------------------------------------------------------


@pytest.fixture
def keys(world):
    return world.channel("tosspayments"), world.channel("nice_v2")


@pytest.fixture
def group(world, keys):
    made = world.group([(keys[0], 100)], default=False)
    world.clock.advance(seconds=10)
    return made.group_id


def save(world, group, *entries, name="default", hours=None, based_on=None):
    begin_at = world.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=hours) if hours else None
    content = GroupContent(name, Failover.UNSENT, tuple(GroupEntry(*e) for e in entries), begin_at, based_on)
    saved = groups.update(world.deps, world.admin, group, content)
    world.clock.advance(seconds=10)
    return saved


def roll_back(world, group, number, hours=None, **more):
    begin_at = world.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=hours) if hours else None
    done = groups.roll_back(world.deps, world.admin, group, number, begin_at, **more)
    world.clock.advance(seconds=10)
    return done


def standings(world, group):
    return [(v.version.number, v.standing.value) for v in groups.versions(world.deps, world.merchant_id, group)]


def in_force(world, group):
    return charges.load_routing(world.deps, world.merchant_id).group(group).at(world.clock.now())


def test_versions_newest_first_with_who_and_when(world, group, keys):
    save(world, group, (keys[1], 100), name="second")
    save(world, group, (keys[0], 50), (keys[1], 50), hours=1)
    found = groups.versions(world.deps, world.merchant_id, group)
    assert [(v.version.number, v.standing) for v in found] == [
        (3, Standing.RESERVED), (2, Standing.IN_FORCE), (1, Standing.PAST),
    ]  # fmt: skip
    assert [v.action for v in found] == ["group.reserved", "group.saved", "group.created"]
    assert all(v.version.saved_by == "demo" for v in found)
    assert found[1].version.name == "second"
    assert found[0].version.saved_at - found[1].version.saved_at == timedelta(seconds=10)
    world.clock.advance(hours=1)
    assert standings(world, group) == [(3, "in_force"), (2, "past"), (1, "past")]
    assert groups.versions(world.deps, world.merchant_id, group, limit=1) == [
        replace(found[0], standing=Standing.IN_FORCE)
    ]
    assert groups.versions(world.deps, world.merchant_id, "channel-group-x") == []


def test_a_reservation_that_never_began_is_told_from_one_that_did(world, group, keys):
    save(world, group, (keys[1], 100), hours=1)
    save(world, group, (keys[1], 100), hours=2)  # in place of the first
    assert standings(world, group) == [(3, "reserved"), (2, "never_began"), (1, "in_force")]
    groups.drop_reservation(world.deps, world.admin, group)
    assert standings(world, group) == [(3, "never_began"), (2, "never_began"), (1, "in_force")]
    save(world, group, (keys[1], 100), hours=1)
    world.clock.advance(hours=1)
    save(world, group, (keys[0], 100), hours=1)
    assert standings(world, group)[:2] == [(5, "reserved"), (4, "in_force")]
    groups.delete(world.deps, world.admin, group)
    assert standings(world, group) == [
        (5, "never_began"), (4, "past"), (3, "never_began"), (2, "never_began"), (1, "past"),
    ]  # fmt: skip


def test_no_number_is_given_twice(world, group, keys):
    save(world, group, (keys[1], 100), hours=1)
    groups.drop_reservation(world.deps, world.admin, group)
    assert save(world, group, (keys[1], 100)).current.number == 3
    assert standings(world, group) == [(3, "in_force"), (2, "never_began"), (1, "past")]


# --- rolling back -----------------------------------------------------------------------------------------------


def test_an_earlier_content_becomes_a_new_version(world, group, keys):
    save(world, group, (keys[1], 100), name="second")
    done = roll_back(world, group, 1)
    assert (done.current.number, done.current.name, done.current.entries) == (3, "default", (GroupEntry(keys[0], 100),))
    assert in_force(world, group) == done.current
    newest = groups.versions(world.deps, world.merchant_id, group)[0]
    assert (newest.action, newest.content_of, newest.standing) == ("group.rolled_back", 1, Standing.IN_FORCE)
    entry = groups.history(world.deps, world.merchant_id, group)[0]
    assert (entry.before["version"], entry.after["version"], entry.after["content_of"]) == (2, 3, 1)
    assert diff(entry.before, entry.after) == diff(
        shown_version(done.current) | {"name": "second", "channels": entry.before["channels"]}, done.current
    )


def test_it_can_be_reserved(world, group, keys):
    save(world, group, (keys[1], 100))
    done = roll_back(world, group, 1, hours=1)
    assert (done.current.number, done.reserved.number) == (2, 3)
    assert standings(world, group)[0] == (3, "reserved")
    world.clock.advance(hours=1)
    assert in_force(world, group).entries == (GroupEntry(keys[0], 100),)
    with pytest.raises(InvalidRequest, match="begin_at"):
        groups.roll_back(world.deps, world.admin, group, 2, world.clock.now() - timedelta(hours=1))


def test_also_to_what_never_began_and_to_what_is_reserved(world, group, keys):
    save(world, group, (keys[1], 100), name="dropped", hours=1)
    groups.drop_reservation(world.deps, world.admin, group)
    assert roll_back(world, group, 2).current.name == "dropped"
    save(world, group, (keys[0], 100), name="reserved", hours=1)
    done = roll_back(world, group, 4)
    assert (done.current.name, done.reserved.number) == ("reserved", 4)  # a save now keeps the reservation


def test_what_cannot_be_rolled_back_to(world, group, keys):
    save(world, group, (keys[1], 100))
    with pytest.raises(Refused, match="in force"):
        roll_back(world, group, 2)
    for number in (9, 0):
        with pytest.raises(NotFound, match="unknown version"):
            roll_back(world, group, number)
    before = world.store.texts()
    world.group([(keys[0], 100)], name="keeper", default=False)
    groups.delete(world.deps, world.admin, group)
    with pytest.raises(NotFound, match="unknown channel group"):
        roll_back(world, group, 1)
    assert before != world.store.texts()


def test_a_deleted_channel_is_named(world, group, keys):
    save(world, group, (keys[1], 100))
    channels.delete(world.deps, world.admin, keys[0])
    before = world.store.texts()
    with pytest.raises(Refused, match=r"되돌릴 수 없습니다: tosspayments \("):
        roll_back(world, group, 1)
    assert world.store.texts() == before


def test_a_name_that_another_group_has_taken(world, group, keys):
    save(world, group, (keys[1], 100), name="second")
    world.group([(keys[0], 100)], name="default", default=False)
    with pytest.raises(InvalidRequest, match="name: "):
        roll_back(world, group, 1)


def test_versions_older_than_a_page_of_the_trail(world, group, keys, monkeypatch):
    monkeypatch.setattr(groups, "PAGE", 3)
    for n in range(2, 10):
        save(world, group, (keys[n % 2], 100), name=f"n{n}")
    assert len(groups.versions(world.deps, world.merchant_id, group, limit=100)) == 9
    assert roll_back(world, group, 2).current.name == "n2"


# --- saving over somebody else's change -------------------------------------------------------------------------


def test_a_save_upon_what_was_seen(world, group, keys):
    save(world, group, (keys[1], 100), based_on=Seen(1))
    save(world, group, (keys[1], 100), hours=1, based_on=Seen(2))
    save(world, group, (keys[0], 100), based_on=Seen(2, 3))
    assert in_force(world, group).number == 4
    roll_back(world, group, 2, based_on=Seen(4, 3))


@pytest.mark.parametrize("what", ["saved", "reserved", "dropped", "begun"])
def test_a_save_over_somebody_elses_change_is_refused(world, group, keys, what):
    save(world, group, (keys[1], 100), hours=1)
    seen = Seen(1, 2)
    match what:
        case "saved":
            save(world, group, (keys[1], 100), name="theirs")
        case "reserved":
            save(world, group, (keys[1], 100), name="theirs", hours=2)
        case "dropped":
            groups.drop_reservation(world.deps, world.admin, group)
        case "begun":
            world.clock.advance(hours=1)
    before = world.store.texts()
    for change in (
        lambda: save(world, group, (keys[0], 100), name="ours", based_on=seen),
        lambda: roll_back(world, group, 1, hours=3, based_on=seen),
    ):
        with pytest.raises(Refused, match="변경되어 저장하지 않았습니다") as refused:
            change()
        assert refused.value.field == "based_on"
    assert world.store.texts() == before
    save(world, group, (keys[0], 100), name="without looking")


def test_the_trail_tells_who_made_the_change_that_was_in_the_way(world, group, keys):
    other = replace(world.admin, name="kim@shop.example")
    groups.update(world.deps, other, group, GroupContent("theirs", Failover.OFF, (GroupEntry(keys[1], 100),)))
    with pytest.raises(Refused, match="kim@shop.example"):
        save(world, group, (keys[0], 100), based_on=Seen(1))
    assert world.store.list(Audit, (world.merchant_id, "audit", group)).items[-1].by == "kim@shop.example"
