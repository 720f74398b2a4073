"""Channel health: counting what requests see of their channels, and asking those that are down whether they are back.

One small item per merchant, read with its routing and written only when it changes. Counting is best effort: it happens
after a payment is written down, and no payment waits for it or fails by it. Rules: `domain.health`.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.charging import ChargeQuery, FindResult, Operation
from chalicelib.domain.health import WELL, Health, HealthState, Sign, sign_of
from chalicelib.domain.merchants import Routing
from chalicelib.domain.money import Money
from chalicelib.ports import Conflict, Deps, Gateway, Ref, Task, TaskKind
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.looks import scale
from chalicelib.usecases.parallel import at_once
from chalicelib.usecases.recording import hand_over
from chalicelib.usecases.vault import open_gateway

log = logging.getLogger(__name__)

WRITE_TRIES = 3
PROBE_TIMEOUT = 10.0
PROBE_AMOUNTS = (Money(1000), Money(1000, "USD"))
"""Of an order that never was, in the first currency that the gateway takes: some look at it before they answer."""
LEASE = timedelta(seconds=75)
"""Longer than probes can take. Never scaled: a scaled lease would overtake the living."""


def load(deps: Deps, merchant_id: str) -> Health:
    return deps.store.load(Ref(Health, (merchant_id,))) or Health(merchant_id)


def note(deps: Deps, environment: Environment, known: Health, signs: Sequence[Sign]) -> None:
    """Count what a request has seen of its channels. known: as it was read with the routing. Never raises."""
    pauses = scale(deps, environment)

    def counted(health: Health) -> Health:
        for sign in signs:
            health = health.noted(sign, deps.clock.now(), pauses)
        return health

    try:
        _change(deps, known, counted)
    except Exception:  # the payment is written down, and its answer must go out
        log.exception("health of the channels of %s not counted", known.merchant_id)


def forget(deps: Deps, merchant_id: str, channel_key: str) -> None:
    """The channel is gone, or has other credentials: what was seen of it says nothing any more. Never raises."""
    try:
        _change(deps, load(deps, merchant_id), lambda health: health.without(channel_key))
    except Exception:  # the operator's change is stored; a probe finds out the same, later
        log.exception("health of %s not forgotten", channel_key)


def answered(deps: Deps, environment: Environment, known: Health, channel_key: str) -> None:
    """Somebody has asked the gateway before its next probe was due, and it answers. Never raises.

    known: as it was read before the question; a channel that was not down then, or went down since, stays as it is.
    """
    before = known.of(channel_key)

    def back(found: Health) -> Health:
        if found.of(channel_key).since != before.since:
            return found
        return found.probed(channel_key, None, deps.clock.now(), scale(deps, environment))

    if before.state is not HealthState.DOWN:
        return
    try:
        _change(deps, known, back)
    except Exception:  # the answer is for whoever asked; a probe finds out the same, later
        log.exception("answer of %s not counted", channel_key)


def probe(deps: Deps, merchant_id: str) -> None:
    """Ask the gateways of all channels whose pause is over. Of many deliveries of the task, one asks."""
    health, routing = deps.store.load(Ref(Health, (merchant_id,)), Ref(Routing, (merchant_id,)))
    if health is None or routing is None:
        return
    now = deps.clock.now()
    claimed = _change(deps, health, lambda found: _claim(found, routing, now))
    if claimed is None:
        return
    asked = [routing.channels[key] for key, c in claimed.channels.items() if c.next_probe_at == now + LEASE]
    errors = at_once(lambda channel: _ask(deps, routing, channel), asked)

    def answered(found: Health) -> Health:
        for channel, error in zip(asked, errors, strict=True):
            pauses = scale(deps, channel.environment)
            found = found.probed(channel.channel_key, error, deps.clock.now(), pauses)
        return found

    _change(deps, claimed, answered)


def _claim(health: Health, routing: Routing, now: datetime) -> Health:
    """Reserve the questions that are due, so that nobody else asks; channels that are gone go here, too."""
    for channel_key in health.due(now):
        if channel_key in routing.channels:
            health = health.claimed(channel_key, now + LEASE)
        else:
            health = health.without(channel_key)
    return health


def _ask(deps: Deps, routing: Routing, channel: Channel) -> str | None:
    """What is wrong with the channel's gateway; None if it answers. Asks about an order that there never was.

    A gateway that cannot be asked counts as answering once its pause is over: the next payment shows.
    """
    asked_at = deps.clock.now()
    result = ask(deps, channel, lambda: open_gateway(deps, routing, channel.channel_key), PROBE_TIMEOUT)
    sign = sign_of(channel.channel_key, asked_at, result) if result else None
    return sign.error if sign else None


def ask(deps: Deps, channel: Channel, connect: Callable[[], Gateway], timeout: float) -> FindResult | None:
    """What the channel's gateway says about an order that there never was; None = it cannot be asked."""
    spec = deps.gateways.spec_of(channel)
    if Operation.FIND not in spec.operations:
        return None
    amount = next((a for a in PROBE_AMOUNTS if a.currency in spec.currencies), PROBE_AMOUNTS[0])
    query = ChargeQuery(f"probe{deps.rng.getrandbits(48):012x}", amount, deps.clock.now())
    return guarded(lambda: connect().find_charge(query, timeout), f"probe of {channel.channel_key}")


def _change(deps: Deps, health: Health, change: Callable[[Health], Health]) -> Health | None:
    """Store the health as changed, upon what others have written meanwhile. None: nothing to change, or too crowded."""
    for _ in range(WRITE_TRIES):
        changed = change(health)
        if changed.channels == health.channels:
            return None
        try:
            stored: Health = deps.store.commit(changed)[0]
        except Conflict:
            health = load(deps, health.merchant_id)
        else:
            _tell(health, stored)
            if stored.due_at and stored.due_at != health.due_at:
                hand_over(deps, [Task(TaskKind.HEALTH, (stored.merchant_id,), stored.due_at)], deps.clock.now())
            return stored
    log.info("health of the channels of %s not written: others keep writing it", health.merchant_id)
    return None


def _tell(before: Health, after: Health) -> None:
    """Log who went down or came back: `channel_down` becomes the ChannelDown metric (infra/template.yaml)."""
    for channel_key in {**before.channels, **after.channels}:
        was, now = before.of(channel_key), after.of(channel_key)
        if (was.state is HealthState.DOWN) == (now.state is HealthState.DOWN):
            continue
        if now.state is HealthState.DOWN:
            extra = {"channel_down": True, "channel_key": channel_key}
            log.error("channel %s of %s is down: %s", channel_key, after.merchant_id, now.last_error, extra=extra)
        else:
            log.info("channel %s is no longer down", channel_key, extra={"channel_key": channel_key})


def shown(health: Health | None, channel_key: str) -> dict[str, object]:
    """A channel's health as operators see it. health: as read."""
    channel = health.of(channel_key) if health else WELL
    return {
        "state": channel.state.value,
        "since": _seconds(channel.since),
        "failures": channel.failures,
        "next_probe_at": _seconds(channel.next_probe_at),
        "last_error": channel.last_error,
    }


def _seconds(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at else None
