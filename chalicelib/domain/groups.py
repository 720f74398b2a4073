"""Channel groups: which channels share the traffic, with what weights, from when.

A group is a series of versions; the one in force at a time is the last whose `effective_at` has come. At most one
version lies in the future (the reservation), so nothing has to run at the hour for a reserved change to hold.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused

MAX_CHANNELS = 10
MAX_GROUPS = 100
"""Keeps the routing item small; the hosted service has a limit too, unpublished."""


class Failover(StrEnum):
    """When another channel of the group may be tried after a failed attempt."""

    OFF = "off"
    UNSENT = "unsent"
    """Only what surely never reached the gateway."""
    DECLINED = "declined"
    """Also soft declines (declines.DeclineReason.elsewhere)."""


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """weight: whole per cent."""

    channel_key: str
    weight: int
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """The whole content of a group from `effective_at` on, and who wrote it when."""

    number: int
    name: str
    failover: Failover
    entries: tuple[GroupEntry, ...]
    effective_at: datetime
    saved_at: datetime
    saved_by: str


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """current: in force, or about to be overtaken by `reserved` once its hour has come.

    dropped_number: of the reservation that was dropped last; no number is given twice.
    """

    group_id: str
    environment: Environment
    current: GroupVersion
    reserved: GroupVersion | None = None
    created_at: datetime | None = None
    dropped_number: int = 0

    @property
    def next_number(self) -> int:
        return max(self.current.number, self.reserved.number if self.reserved else 0, self.dropped_number) + 1

    def at(self, now: datetime) -> GroupVersion:
        """The version in force at `now`."""
        if self.reserved and self.reserved.effective_at <= now:
            return self.reserved
        return self.current

    def settled(self, now: datetime) -> "ChannelGroup":
        """The same group with a reservation whose hour has come moved to `current`."""
        if self.reserved and self.reserved.effective_at <= now:
            return replace(self, current=self.reserved, reserved=None)
        return self

    def save(self, version: GroupVersion) -> "ChannelGroup":
        """Put `version` in force at once; a reservation stays (design: save now keeps the reservation)."""
        return replace(self, current=version)

    def reserve(self, version: GroupVersion) -> "ChannelGroup":
        """Have `version` take over at its hour, in place of any earlier reservation."""
        return replace(self, reserved=version)

    def drop_reservation(self) -> "ChannelGroup":
        if self.reserved is None:
            raise NotFound("예약된 변경이 없습니다. (no reserved change)")
        return replace(self, reserved=None, dropped_number=self.reserved.number)

    def channel_keys(self) -> frozenset[str]:
        """Every channel of the version in force and of the reserved one."""
        versions = [self.current, *([self.reserved] if self.reserved else [])]
        return frozenset(entry.channel_key for version in versions for entry in version.entries)


def check_entries(entries: tuple[GroupEntry, ...]) -> None:
    """1 to 10 distinct channels whose weights add up to exactly 100, disabled ones included.

    Source: PortOne console guide (1..10, exactly 100); that disabled channels count is our decision.
    """
    if not 1 <= len(entries) <= MAX_CHANNELS:
        raise InvalidRequest("channels", "channels: 채널은 1개 이상 10개 이하여야 합니다. (1 to 10 channels)")
    keys = [entry.channel_key for entry in entries]
    if len(set(keys)) != len(keys):
        raise InvalidRequest("channels", "channels: 같은 채널이 두 번 있습니다. (duplicate channel)")
    if any(not 0 <= entry.weight <= 100 for entry in entries):
        raise InvalidRequest("weight", "weight: 비율은 0 이상 100 이하의 정수여야 합니다. (0 to 100)")
    total = sum(entry.weight for entry in entries)
    if total != 100:
        raise InvalidRequest(
            "weight", f"weight: 비율의 합은 100이어야 합니다 (현재 {total}). (weights must add up to 100)"
        )


def check_effective_at(begin_at: datetime, now: datetime) -> None:
    """A reservation begins on a whole hour in the future (PortOne console guide)."""
    if begin_at.timestamp() % 3600 != 0:
        raise InvalidRequest("begin_at", "begin_at: 예약 시각은 정각이어야 합니다. (must be on the whole hour)")
    if begin_at <= now:
        raise InvalidRequest("begin_at", "begin_at: 예약 시각은 미래여야 합니다. (must be in the future)")


def check_same_environment(environment: Environment, channel_environment: Environment, channel_key: str) -> None:
    if channel_environment is not environment:
        raise InvalidRequest(
            "channels",
            f"channels: {channel_key} 채널의 환경({channel_environment})이 그룹의 환경({environment})과 다릅니다. "
            "(live and test channels do not mix)",
        )


def refuse_group_limit(count: int) -> None:
    if count >= MAX_GROUPS:
        raise Refused(f"채널 그룹은 {MAX_GROUPS}개까지 만들 수 있습니다. (group limit reached)")
