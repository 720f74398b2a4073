"""An operator's channel groups: saved at once or for a whole hour ahead, with every version on record."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.domain.accounts import Audit, Operator
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.groups import (
    ChannelGroup,
    Failover,
    GroupEntry,
    GroupVersion,
    check_effective_at,
    check_entries,
    check_same_environment,
    refuse_group_limit,
)
from chalicelib.domain.merchants import Routing
from chalicelib.ports import Deps
from chalicelib.usecases.charges import load_routing
from chalicelib.usecases.merchants import commit_change


@dataclass(frozen=True, slots=True)
class GroupContent:
    """begin_at: a whole hour ahead, or None for at once."""

    name: str
    failover: Failover
    entries: tuple[GroupEntry, ...]
    begin_at: datetime | None = None


def create(deps: Deps, operator: Operator, environment: Environment, content: GroupContent) -> ChannelGroup:
    routing = load_routing(deps, operator.merchant_id)
    refuse_group_limit(len(routing.groups))
    if content.begin_at is not None:
        raise InvalidRequest("begin_at", "begin_at: 새 그룹은 예약할 수 없습니다. (a new group begins at once)")
    version = _version(deps, operator, routing, environment, content, number=1)
    group_id = f"channel-group-{environment}-{uuid.UUID(int=deps.rng.getrandbits(128), version=4)}"
    group = ChannelGroup(group_id, environment, version, created_at=version.saved_at)
    changed = routing.with_group(group, version.saved_at)
    commit_change(deps, operator, changed, group_id, "group.created", None, shown_version(version))
    return group


def update(deps: Deps, operator: Operator, group_id: str, content: GroupContent) -> ChannelGroup:
    """Replace a group's content now or at `begin_at`.

    A save now keeps a reservation, a second reservation replaces the first (docs/adr/0003).
    """
    routing = load_routing(deps, operator.merchant_id)
    now = deps.clock.now()
    group = routing.group(group_id).settled(now)
    number = max(group.current.number, group.reserved.number if group.reserved else 0) + 1
    version = _version(deps, operator, routing, group.environment, content, number)
    reserved = content.begin_at is not None
    changed_group = group.reserve(version) if reserved else group.save(version)
    changed = routing.with_group(changed_group, now)
    action = "group.reserved" if reserved else "group.saved"
    before = shown_version(group.current)
    commit_change(deps, operator, changed, group_id, action, before, shown_version(version))
    return changed_group


def drop_reservation(deps: Deps, operator: Operator, group_id: str) -> ChannelGroup:
    """Raises NotFound if nothing is reserved."""
    routing = load_routing(deps, operator.merchant_id)
    now = deps.clock.now()
    group = routing.group(group_id).settled(now)
    dropped = group.drop_reservation()
    before = shown_version(group.reserved) if group.reserved else None
    changed = routing.with_group(dropped, now)
    commit_change(deps, operator, changed, group_id, "group.reservation_dropped", before, None)
    return dropped


def delete(deps: Deps, operator: Operator, group_id: str) -> None:
    """For good. Its super keys cannot be charged any more; its history stays."""
    routing = load_routing(deps, operator.merchant_id)
    group = routing.group(group_id).settled(deps.clock.now())
    changed = routing.without_group(group_id)
    commit_change(deps, operator, changed, group_id, "group.deleted", shown_version(group.current), None)


def history(deps: Deps, merchant_id: str, group_id: str) -> Sequence[Audit]:
    """Who changed what when, newest first; also of a deleted group."""
    return deps.store.list(Audit, (merchant_id, "audit", group_id), limit=100, newest_first=True).items


def _version(
    deps: Deps, operator: Operator, routing: Routing, environment: Environment, content: GroupContent, number: int
) -> GroupVersion:
    now = deps.clock.now()
    check_entries(content.entries)
    for entry in content.entries:
        channel = routing.channels.get(entry.channel_key)
        if channel is None:
            raise InvalidRequest(
                "channels", f"channels: 존재하지 않는 채널입니다: {entry.channel_key[:80]} (unknown channel)"
            )
        check_same_environment(environment, channel.environment, entry.channel_key)
    if content.begin_at is not None:
        check_effective_at(content.begin_at, now)
    return GroupVersion(
        number=number,
        name=content.name,
        failover=content.failover,
        entries=content.entries,
        effective_at=content.begin_at or now,
        saved_at=now,
        saved_by=operator.name,
    )


def shown_version(version: GroupVersion) -> dict[str, object]:
    return {
        "version": version.number,
        "name": version.name,
        "failover": version.failover.value,
        "channels": [{"channel_key": e.channel_key, "weight": e.weight, "enabled": e.enabled} for e in version.entries],
        "begin_at": int(version.effective_at.timestamp()),
        "saved_at": int(version.saved_at.timestamp()),
        "saved_by": version.saved_by,
    }
