"""Operators who save at the same time: one wins, the others are told so, and the history tells what was."""

import os
from datetime import UTC, datetime

import pytest

from chalicelib.domain.accounts import Audit
from chalicelib.usecases import charges
from tests.races.arena import TRIES

pytestmark = pytest.mark.real


def save(me, group_id, channels, try_, begin_at=None):
    """Returns (HTTP status, name, version as shown or None)."""
    name = f"try {try_} of {os.getpid()}"
    share = try_ % 101
    entries = [{"channel_key": key, "weight": w} for key, w in zip(channels, (share, 100 - share), strict=True)]
    more = {} if begin_at is None else {"begin_at": begin_at}
    status, body = me.call("PUT", f"/admin/channel-groups/{group_id}", name=name, channels=entries, **more)
    if status == 409:
        assert body["code"] == "conflict"
        return status, name, None
    assert status == 200, body
    shown = body["reservation"] if begin_at else body
    assert shown["name"] == name
    return status, name, shown["version"]


def reserve(me, group_id, channels, try_):
    soon = int(datetime.now(UTC).timestamp()) // 3600 * 3600 + 48 * 3600
    return save(me, group_id, channels, try_, soon)


@pytest.fixture
def group(world):
    [group] = charges.load_routing(world.deps, world.merchant_id).groups.values()
    return group


def history(world, group_id):
    """All of it, oldest first."""
    found, cursor = [], None
    while True:
        page = world.store.list(Audit, (world.merchant_id, "audit", group_id), cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return sorted(found, key=lambda entry: entry.after["version"])


def check_history(world, group, answers):
    """What was told as saved is in the history, in the order of its versions, and nothing else."""
    told = [answer for told in answers for answer in told]
    saved = sorted((version, name) for status, name, version in told if status == 200)
    created, *changes = history(world, group.group_id)
    assert [(entry.after["version"], entry.after["name"]) for entry in changes] == saved
    assert [version for version, _ in saved] == list(range(2, len(saved) + 2))
    assert all(any(status == 200 for status, *_ in told) for told in answers)
    return created, changes


def tries(world, group):
    return [(group.group_id, tuple(world.channels.values()), n) for n in range(TRIES)]


def test_of_two_who_save_one_wins_and_the_other_is_told(world, race, group):
    answers = race([save] * 3, tries(world, group))
    _, changes = check_history(world, group, answers)
    before = [entry.before["version"] for entry in changes]
    assert before == [entry.after["version"] - 1 for entry in changes]
    now = charges.load_routing(world.deps, world.merchant_id).group(group.group_id)
    assert (now.current.number, now.current.name) == (changes[-1].after["version"], changes[-1].after["name"])
    assert any(status == 409 for told in answers for status, *_ in told)  # or they never met


def test_a_reservation_and_a_save_do_not_lose_each_other(world, race, group):
    answers = race([save, reserve, save, reserve], tries(world, group))
    _, changes = check_history(world, group, answers)
    last = {entry.action: entry.after["name"] for entry in changes}
    now = charges.load_routing(world.deps, world.merchant_id).group(group.group_id)
    assert now.current.name == last.get("group.saved", now.current.name)
    assert now.reserved.name == last["group.reserved"]
