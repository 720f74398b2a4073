"""An operator's channel groups: saved at once or for a whole hour ahead, with every version on record."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.accounts import Audit, Operator
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused
from chalicelib.domain.group_changes import read_version
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
from chalicelib.usecases.vault import channel_of

PAGE = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What an editor had before its eyes: numbers of the version in force and of the reserved one, if there was one."""

    version: int
    reservation: int | None = None


@dataclass(frozen=True, slots=True)
class GroupContent:
    """begin_at: a whole hour ahead, or None for at once. based_on: what it was made from; None = nobody looked."""

    name: str
    failover: Failover
    entries: tuple[GroupEntry, ...]
    begin_at: datetime | None = None
    based_on: Seen | None = None


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

    A save now keeps a reservation, a second reservation replaces the first (docs/adr/0003). Raises NotFound,
    InvalidRequest, and Refused if somebody else has saved since `content.based_on`.
    """
    routing = load_routing(deps, operator.merchant_id)
    action = "group.saved" if content.begin_at is None else "group.reserved"
    return _save(deps, operator, routing, group_id, content, action)


def roll_back(
    deps: Deps,
    operator: Operator,
    group_id: str,
    number: int,
    begin_at: datetime | None = None,
    based_on: Seen | None = None,
) -> ChannelGroup:
    """Save the content of an earlier version as a new one, now or at `begin_at`; also of one that never began.

    Raises NotFound for an unknown group or version, InvalidRequest, and Refused if a channel of it is gone.
    """
    routing = load_routing(deps, operator.merchant_id)
    group = routing.group(group_id).settled(deps.clock.now())
    if number == group.current.number and begin_at is None:
        raise Refused("version: 이미 적용 중인 버전입니다. (this version is in force)", field="version")
    earlier = _earlier(deps, group, operator.merchant_id, number)
    _check_channels_are_there(deps, routing, group, earlier)
    content = GroupContent(earlier.name, earlier.failover, earlier.entries, begin_at, based_on)
    return _save(deps, operator, routing, group_id, content, "group.rolled_back", {"content_of": number})


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


# --- what was ---------------------------------------------------------------------------------------------------


def history(deps: Deps, merchant_id: str, group_id: str) -> Sequence[Audit]:
    """Who changed what when, newest first; also of a deleted group."""
    return deps.store.list(Audit, (merchant_id, "audit", group_id), limit=PAGE, newest_first=True).items


class Standing(StrEnum):
    """What has become of a version."""

    IN_FORCE = "in_force"
    RESERVED = "reserved"
    PAST = "past"
    NEVER_BEGAN = "never_began"
    """It was reserved, and dropped, replaced, or deleted with its group before its hour."""


@dataclass(frozen=True, slots=True)
class SavedVersion:
    """One version on record. content_of: the number of the version that it rolled back to."""

    version: GroupVersion
    action: str
    standing: Standing
    content_of: int | None = None


def versions(deps: Deps, merchant_id: str, group_id: str, limit: int = PAGE) -> Sequence[SavedVersion]:
    """The newest versions of a group, newest first; also of a deleted one. Empty for a group that never was.

    limit: how many at most. Who saved each and when is in the version.
    """
    group = load_routing(deps, merchant_id).groups.get(group_id)
    group = group.settled(deps.clock.now()) if group else None
    found: list[SavedVersion] = []
    ended: dict[int, datetime] = {}
    """Reserved versions -> when something kept them from beginning, or would have."""
    replaced_at: datetime | None = None
    deleted_at: datetime | None = None
    for entry in _trail(deps, merchant_id, group_id):
        if entry.action == "group.deleted":
            deleted_at = entry.at
        if entry.action == "group.reservation_dropped" and entry.before:
            ended[read_version(entry.before).number] = entry.at
        if entry.after is None:
            continue
        version = read_version(entry.after)
        ends = [at for at in (ended.get(version.number), replaced_at, deleted_at) if at]
        standing = _standing(group, version, min(ends, default=None))
        found.append(SavedVersion(version, entry.action, standing, _content_of(entry.after)))
        if _is_reserved(version):
            replaced_at = entry.at
        if len(found) == limit:
            break
    return found


def _standing(group: ChannelGroup | None, version: GroupVersion, ended_at: datetime | None) -> Standing:
    """ended_at: when it was dropped, replaced or deleted, if it was reserved."""
    if group and version.number == group.current.number:
        return Standing.IN_FORCE
    if group and group.reserved and version.number == group.reserved.number:
        return Standing.RESERVED
    if _is_reserved(version) and ended_at and ended_at < version.effective_at:
        return Standing.NEVER_BEGAN
    return Standing.PAST


def _is_reserved(version: GroupVersion) -> bool:
    """True if it was saved to begin later."""
    return version.effective_at > version.saved_at


def _content_of(shown: Mapping[str, object]) -> int | None:
    number = shown.get("content_of")
    return number if isinstance(number, int) else None


def _trail(deps: Deps, merchant_id: str, group_id: str) -> Iterator[Audit]:
    """All that is on record of a group, newest first; read page by page, as far as it is looked at."""
    cursor = None
    while True:
        page = deps.store.list(Audit, (merchant_id, "audit", group_id), limit=PAGE, cursor=cursor, newest_first=True)
        yield from page.items
        cursor = page.cursor
        if cursor is None:
            return


def _earlier(deps: Deps, group: ChannelGroup, merchant_id: str, number: int) -> GroupVersion:
    """A version by its number. The trail may lag a little behind the group itself, which is asked first."""
    for known in (group.current, group.reserved):
        if known and known.number == number:
            return known
    for entry in _trail(deps, merchant_id, group.group_id):
        if entry.after and entry.after.get("version") == number:
            return read_version(entry.after)
    raise NotFound(f"존재하지 않는 버전입니다: {number} (unknown version)")


def _check_channels_are_there(deps: Deps, routing: Routing, group: ChannelGroup, version: GroupVersion) -> None:
    """Raises Refused, with the names of the channels that were deleted since."""
    gone = [entry.channel_key for entry in version.entries if entry.channel_key not in routing.channels]
    if gone:
        names = ", ".join(channel_of(deps, routing, channel_key).name for channel_key in gone)
        text = f"version: 삭제된 채널이 있어 되돌릴 수 없습니다: {names} (a channel of this version was deleted)"
        raise Refused(text, field="version")
    for entry in version.entries:
        check_same_environment(group.environment, routing.channels[entry.channel_key].environment, entry.channel_key)


# --- saving -----------------------------------------------------------------------------------------------------


def _save(
    deps: Deps,
    operator: Operator,
    routing: Routing,
    group_id: str,
    content: GroupContent,
    action: str,
    about: Mapping[str, object] | None = None,
) -> ChannelGroup:
    """Put the content in force, or reserve it. about: what the record says beside it."""
    now = deps.clock.now()
    group = routing.group(group_id).settled(now)
    _refuse_if_moved_on(group, content.based_on)
    version = _version(deps, operator, routing, group.environment, content, group.next_number)
    changed_group = group.save(version) if content.begin_at is None else group.reserve(version)
    changed = routing.with_group(changed_group, now)
    before, after = shown_version(group.current), {**shown_version(version), **(about or {})}
    commit_change(deps, operator, changed, group_id, action, before, after)
    return changed_group


def _refuse_if_moved_on(group: ChannelGroup, seen: Seen | None) -> None:
    """Raises Refused if the group is no longer what its editor saw: a save would undo what somebody else did."""
    now = Seen(group.current.number, group.reserved.number if group.reserved else None)
    if seen is None or seen == now:
        return
    if seen.version != now.version:
        what = f"버전 {group.current.number}: {group.current.saved_by} (version {group.current.number} is in force)"
    elif group.reserved:
        what = f"예약: {group.reserved.saved_by} (version {group.reserved.number} is reserved)"
    else:
        what = "예약 취소됨 (the reservation was dropped)"
    raise Refused(
        f"그 사이에 채널 그룹이 변경되어 저장하지 않았습니다. 새로 고친 뒤 다시 저장해 주세요. {what}", field="based_on"
    )


def check_content(routing: Routing, environment: Environment, entries: tuple[GroupEntry, ...]) -> None:
    """Raises InvalidRequest for entries that no group of this environment can have."""
    check_entries(entries)
    for entry in entries:
        channel = routing.channels.get(entry.channel_key)
        if channel is None:
            raise InvalidRequest(
                "channels", f"channels: 존재하지 않는 채널입니다: {entry.channel_key[:80]} (unknown channel)"
            )
        check_same_environment(environment, channel.environment, entry.channel_key)


def _version(
    deps: Deps, operator: Operator, routing: Routing, environment: Environment, content: GroupContent, number: int
) -> GroupVersion:
    now = deps.clock.now()
    check_content(routing, environment, content.entries)
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
