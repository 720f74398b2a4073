"""What several processes see of a channel at the same time is counted, and one of them asks whether it is back."""

from datetime import timedelta

import pytest

from chalicelib.container import SystemClock
from chalicelib.domain.health import ChannelHealth, Health, HealthState
from chalicelib.ports import Task, TaskKind
from chalicelib.usecases import health, timer
from tests.races.arena import TRIES
from tests.support.api import CARD

pytestmark = pytest.mark.real

MANY = 1_000_000


def charge(me, try_):
    """Of an order of its own."""
    uid = f"order-{try_}-{me.deps.rng.getrandbits(32)}"
    code, payment = me.post("/subscribe/payments/onetime", merchant_uid=uid, amount=8900, name="n", **CARD)
    return code, payment["status"]


def probe(me):
    timer.work(me.deps, Task(TaskKind.HEALTH, (me.merchant_id,), me.deps.clock.now()))


def test_channels_that_fail_everybody_go_down_and_nobody_is_told_more_than_his_own_outcome(world, race):
    for box in world.sandboxes.values():
        box.fail("charge", "http_500", times=MANY)
    for answers in race([charge] * 4, [(n,) for n in range(max(TRIES, 6))]):
        assert answers == [(0, "ready")] * 4
    known = health.load(world.deps, world.merchant_id)
    assert {known.of(key).state for key in world.channels.values()} == {HealthState.DOWN}
    assert all(known.of(key).next_probe_at for key in world.channels.values())


def test_of_many_probes_one_asks(world, race):
    for box in world.sandboxes.values():
        box.fail("find", "http_500", times=MANY)
    for n in range(TRIES):
        past = SystemClock().now() - timedelta(seconds=1)
        known = health.load(world.deps, world.merchant_id)
        down = ChannelHealth(HealthState.DOWN, 3, past, 1, past, "no answer")
        channels = dict.fromkeys(world.channels.values(), down)
        world.store.commit(Health(world.merchant_id, channels, known.version))
        race([probe] * 3, [()])
        asked = {name: MANY - box.faults.view()[0]["times"] for name, box in world.sandboxes.items()}
        assert set(asked.values()) == {n + 1}
        after = health.load(world.deps, world.merchant_id)
        assert all(after.of(key).pauses == 2 for key in world.channels.values())
