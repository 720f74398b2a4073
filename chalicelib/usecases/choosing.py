"""Which channels a request may go to: from what it names to a `Choices` that can be drawn from.

Source: PortOne's routing guide, rules R1-R7 and P1-P9; docs/adr/0003 for what it leaves open.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.charging import Card, Operation, PaymentRequest, VirtualAccountRequest
from chalicelib.domain.errors import NotFound, Refused
from chalicelib.domain.groups import ChannelGroup, Failover, GroupEntry
from chalicelib.domain.health import Health, HealthState
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.merchants import Routing
from chalicelib.domain.routing import Candidate, Choices, Exclusion, no_channel
from chalicelib.domain.windows import WindowTerms
from chalicelib.ports import Gateways

GROUP_GONE = "슈퍼 빌링키의 채널 그룹이 삭제되어 결제할 수 없습니다. (the key's channel group was deleted)"
CHANNEL_GONE = "이 빌링키의 채널이 삭제되어 결제할 수 없습니다. (the key's channel was deleted)"

Objections = Callable[[Channel], tuple[str, ...]]
"""Why a channel cannot take the request at hand; empty if it can."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request names: a group, a channel, V1's `pg`, or nothing."""

    group_id: str | None = None
    channel_key: str | None = None
    pg: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """group None = a channel was named outright. pin: the one channel that may be used."""

    environment: Environment
    group: ChannelGroup | None
    pin: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a payment may go, and when another channel may be tried."""

    environment: Environment
    choices: Choices
    failover: Failover

    def avoiding(self, health: Health) -> "Plan":
        """Without the channels that are down, as long as others are left; standbys step in unless failover is off."""
        down = []
        for candidate in self.choices.candidates:
            known = health.of(candidate.channel_key)
            if known.state is HealthState.DOWN and known.since:
                message = f"장애가 감지되어 제외된 채널입니다. (down since {known.since:%Y-%m-%dT%H:%M:%SZ})"
                down.append(Exclusion(candidate.channel_key, candidate.pg_provider, "down", message, candidate.weight))
        choices = self.choices.leaving_out(down, standbys=self.failover is not Failover.OFF)
        return replace(self, choices=choices)


def resolve(routing: Routing, target: Target) -> Resolved:
    """Find what the request names, or the merchant's default. Raises Refused (HTTP 200, code 1) if it is not there."""
    if target.group_id:
        return _group(routing, target.group_id, target.channel_key)
    if target.channel_key:
        return _channel(routing, target.channel_key)
    if target.pg and (channel := _by_pg(routing, target.pg)):
        return Resolved(channel.environment, None, channel.channel_key)
    default = routing.default_target
    if default is None:
        raise Refused(
            "결제에 사용할 채널 그룹이나 채널을 지정해 주세요: channelGroupId, channel_key (no channel or group named)",
            field="channelGroupId",
        )
    return _group(routing, default, None) if default in routing.groups else _channel(routing, default)


def _by_pg(routing: Routing, pg: str) -> Channel | None:
    """V1: an unknown `pg` silently means the default; a known one is looked up where the default lives."""
    default = routing.default_target or ""
    home = routing.groups.get(default) or routing.channels.get(default)
    return routing.find_by_pg(pg, home.environment if home else None)


def _group(routing: Routing, group_id: str, channel_key: str | None) -> Resolved:
    try:
        group = routing.group(group_id)
    except NotFound as error:
        raise Refused(error.message, field="channelGroupId") from None
    return Resolved(group.environment, group, channel_key)


def _channel(routing: Routing, channel_key: str) -> Resolved:
    try:
        channel = routing.channel(channel_key)
    except NotFound as error:
        raise Refused(error.message, field="channel_key") from None
    return Resolved(channel.environment, None, channel_key)


def plan_for_card(
    gateways: Gateways, routing: Routing, target: Target, request: PaymentRequest, card: Card, now: datetime
) -> Plan:
    """Choices for a one-time charge with card data."""

    def objections(channel: Channel) -> tuple[str, ...]:
        spec = gateways.spec_of(channel)
        return spec.objections(Operation.CHARGE_CARD, request) + spec.card_objections(card)

    return _plan(routing, target, objections, now)


def plan_for_virtual_account(
    gateways: Gateways,
    routing: Routing,
    target: Target,
    request: PaymentRequest,
    account: VirtualAccountRequest,
    now: datetime,
) -> Plan:
    """Choices for issuing a virtual account."""

    def objections(channel: Channel) -> tuple[str, ...]:
        return gateways.spec_of(channel).account_objections(request, account, now)

    return _plan(routing, target, objections, now)


def plan_for_window(
    gateways: Gateways, routing: Routing, target: Target, request: PaymentRequest, terms: WindowTerms, now: datetime
) -> Plan:
    """Choices for a payment in a gateway's window."""

    def objections(channel: Channel) -> tuple[str, ...]:
        return gateways.spec_of(channel).window_objections(request, terms, now)

    return _plan(routing, target, objections, now)


def _plan(routing: Routing, target: Target, objections: Objections, now: datetime) -> Plan:
    found = resolve(routing, target)
    if found.group is None:
        return _direct(routing, found, objections)
    return _from_group(routing, found.group, found.pin, objections, now, zero_allowed=False)


def plan_for_key(
    gateways: Gateways, routing: Routing, key: BillingKey, target: Target, request: PaymentRequest, now: datetime
) -> Plan:
    """Choices for a charge on a stored key: the group it was issued with, as it stands now (rules P1-P9)."""

    def objections(channel: Channel) -> tuple[str, ...]:
        return gateways.spec_of(channel).objections(Operation.CHARGE_BILLING_KEY, request)

    pin = target.channel_key
    if target.group_id not in (None, key.group_id):
        raise Refused(
            "channelGroupId: 이 빌링키가 발급된 그룹이 아닙니다. (not this key's group)", field="channelGroupId"
        )
    if key.group_id is None:
        only = key.first.channel_key
        if pin not in (None, only):
            raise Refused(
                "channel_key: 이 빌링키가 발급된 채널이 아닙니다. (not this key's channel)", field="channel_key"
            )
        return _direct(routing, Resolved(key.environment, None, only), objections)
    group = routing.groups.get(key.group_id)
    if group is None:
        raise Refused(GROUP_GONE)
    return _from_group(routing, group, pin, objections, now, zero_allowed=True, key=key)


def check_chargeable(
    gateways: Gateways, routing: Routing, key: BillingKey, pin: str | None, request: PaymentRequest
) -> None:
    """Raises Refused if no channel could ever take this charge on the key: it is gone, or objects.

    For what is reserved: disabled channels may be enabled by then, and weights may change.
    """
    if key.group_id is not None and key.group_id not in routing.groups:
        raise Refused(GROUP_GONE)
    wanted = [pin] if pin else list(key.channels)
    held = [routing.channels[channel_key] for channel_key in wanted if channel_key in routing.channels]
    if not held:
        raise Refused(CHANNEL_GONE)
    exclusions = []
    for channel in held:
        texts = gateways.spec_of(channel).objections(Operation.CHARGE_BILLING_KEY, request)
        if not texts:
            return
        exclusions.append(Exclusion(channel.channel_key, channel.pg_provider, "constraint", " ".join(texts)))
    raise no_channel(Choices((), tuple(exclusions), zero_allowed=True))


def _direct(routing: Routing, found: Resolved, objections: Objections) -> Plan:
    channel = routing.channels.get(found.pin or "")
    if channel is None:
        raise Refused(CHANNEL_GONE)
    if texts := objections(channel):
        raise Refused(texts[0])
    choices = Choices((_candidate(channel, 100),), fixed_mode="direct")
    return Plan(found.environment, choices, Failover.OFF)


def _from_group(
    routing: Routing,
    group: ChannelGroup,
    pin: str | None,
    objections: Objections,
    now: datetime,
    *,
    zero_allowed: bool,
    key: BillingKey | None = None,
) -> Plan:
    version = group.at(now)
    candidates: list[Candidate] = []
    exclusions: list[Exclusion] = []
    for entry in version.entries:
        channel = routing.channels.get(entry.channel_key)
        if channel is None:
            removed = "삭제된 채널입니다. (removed)"
            exclusions.append(Exclusion(entry.channel_key, "", "removed", removed, entry.weight))
        elif excluded := _exclusion(channel, entry, objections, key):
            exclusions.append(excluded)
        else:
            candidates.append(_candidate(channel, entry.weight))
    if pin:
        return Plan(group.environment, _pinned(group, version.number, pin, candidates, exclusions), Failover.OFF)
    choices = Choices(tuple(candidates), tuple(exclusions), zero_allowed, group.group_id, version.number)
    return Plan(group.environment, choices, version.failover)


def _exclusion(channel: Channel, entry: GroupEntry, objections: Objections, key: BillingKey | None) -> Exclusion | None:
    def out(code: str, message: str) -> Exclusion:
        return Exclusion(channel.channel_key, channel.pg_provider, code, message, entry.weight)

    if not entry.enabled:
        return out("disabled", "비활성화된 채널입니다. (disabled)")
    if key and channel.channel_key not in key.channels:
        return out("no_key", "이 채널에 발급된 빌링키가 없습니다. (no billing key at this channel)")
    if texts := objections(channel):
        return out("constraint", " ".join(texts))
    return None


def _pinned(
    group: ChannelGroup, number: int, pin: str, candidates: list[Candidate], exclusions: list[Exclusion]
) -> Choices:
    """A pin is charged whatever its weight, also at 0 %; any other hindrance is an error that says which."""
    for candidate in candidates:
        if candidate.channel_key == pin:
            return Choices((candidate,), (), False, group.group_id, number, "pinned")
    for excluded in exclusions:
        if excluded.channel_key == pin:
            raise Refused(f"channel_key: {excluded.pg_provider}: {excluded.message}", field="channel_key")
    raise Refused("channel_key: 채널 그룹에 없는 채널입니다. (channel is not in the group)", field="channel_key")


def _candidate(channel: Channel, weight: int) -> Candidate:
    return Candidate(channel.channel_key, channel.pg_provider, channel.pg_id, weight)
