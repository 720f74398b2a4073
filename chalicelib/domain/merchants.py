"""A merchant's routing configuration: its channels, groups and defaults, as one value.

It is read with every request that routes and written whole with every change, so a change holds for the next
request and two operators cannot both win.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused
from chalicelib.domain.groups import ChannelGroup

MAX_CHANNELS = 100


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where results go when a payment names no notice_url, per environment. sealed_secret signs every delivery.

    retired_secret: the one before it, which signs beside it until retired_until.
    """

    sealed_secret: str
    live_url: str | None = None
    test_url: str | None = None
    content_type: str = "application/json"
    retired_secret: str | None = None
    retired_until: datetime | None = None

    def url(self, environment: Environment) -> str | None:
        return self.live_url if environment is Environment.LIVE else self.test_url


@dataclass(frozen=True, slots=True)
class Routing:
    """channels, groups: by id. default_target: group id or channel key used when a request names neither.

    data_key: this merchant's encrypted data key; all its secrets are sealed under it.
    """

    merchant_id: str
    data_key: str
    webhooks: WebhookSettings
    channels: Mapping[str, Channel] = field(default_factory=dict)
    groups: Mapping[str, ChannelGroup] = field(default_factory=dict)
    default_target: str | None = None
    live_page_origins: tuple[str, ...] = ()
    """Where its web pages are (`https://shop.kr`): windows are opened for these, and tell results to these."""
    test_page_origins: tuple[str, ...] = ()
    """The same for test channels; none of the others, for a buyer can change what a page asks for."""
    version: int = 0

    def page_origins(self, environment: Environment) -> tuple[str, ...]:
        return self.live_page_origins if environment is Environment.LIVE else self.test_page_origins

    def channel(self, channel_key: str) -> Channel:
        try:
            return self.channels[channel_key]
        except KeyError:
            raise NotFound(f"존재하지 않는 채널입니다: {channel_key[:80]} (unknown channel)") from None

    def group(self, group_id: str) -> ChannelGroup:
        try:
            return self.groups[group_id]
        except KeyError:
            raise NotFound(f"존재하지 않는 채널 그룹입니다: {group_id[:80]} (unknown channel group)") from None

    def with_channel(self, channel: Channel) -> "Routing":
        """Add or replace a channel. Names are unique per environment."""
        if channel.channel_key not in self.channels and len(self.channels) >= MAX_CHANNELS:
            raise Refused(f"채널은 {MAX_CHANNELS}개까지 만들 수 있습니다. (channel limit reached)")
        others = (other for key, other in self.channels.items() if key != channel.channel_key)
        if any(other.name == channel.name and other.environment is channel.environment for other in others):
            raise InvalidRequest("name", "name: 같은 이름의 채널이 이미 있습니다. (duplicate name)")
        return replace(self, channels={**self.channels, channel.channel_key: channel})

    def without_channel(self, channel_key: str, now: datetime) -> "Routing":
        self.channel(channel_key)
        users = [
            group.at(now).name for group in self.groups.values() if channel_key in group.settled(now).channel_keys()
        ]
        if users:
            raise Refused(
                f"채널 그룹에서 사용 중인 채널은 삭제할 수 없습니다: {', '.join(users)} (channel is in a group)"
            )
        if self.default_target == channel_key:
            raise Refused(
                "기본 채널은 삭제할 수 없습니다. 기본값을 먼저 바꿔 주세요. (the channel is the default)",
                field="default",
            )
        return replace(
            self,
            channels={k: v for k, v in self.channels.items() if k != channel_key},
            # Settled: a process whose clock is a little behind must not meet a version that names what is gone.
            groups={group_id: group.settled(now) for group_id, group in self.groups.items()},
        )

    def with_group(self, group: ChannelGroup, now: datetime) -> "Routing":
        """Add or replace a group. Names are unique per environment, over versions in force and reserved."""
        names = {v.name for v in (group.current, group.reserved) if v}
        for other in self.groups.values():
            if other.group_id == group.group_id or other.environment is not group.environment:
                continue
            settled = other.settled(now)
            if names & {v.name for v in (settled.current, settled.reserved) if v}:
                raise InvalidRequest("name", "name: 같은 이름의 채널 그룹이 이미 있습니다. (duplicate name)")
        return replace(self, groups={**self.groups, group.group_id: group})

    def without_group(self, group_id: str) -> "Routing":
        self.group(group_id)
        if self.default_target == group_id:
            raise Refused(
                "기본 그룹은 삭제할 수 없습니다. 기본값을 먼저 바꿔 주세요. (the group is the default)", field="default"
            )
        return replace(self, groups={k: v for k, v in self.groups.items() if k != group_id})

    def find_by_pg(self, pg: str, environment: Environment | None = None) -> Channel | None:
        """The channel that V1's `pg` parameter means: `{provider}` or `{provider}.{MID}`; the oldest that fits."""
        provider, _, pg_id = pg.partition(".")
        fitting = [
            channel
            for channel in self.channels.values()
            if channel.pg_provider == provider
            and (not pg_id or channel.pg_id == pg_id)
            and (environment is None or channel.environment is environment)
        ]
        return min(fitting, key=lambda channel: channel.created_at, default=None)
