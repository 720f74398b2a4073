"""The admin API: a mistyped key is an error, not a default."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.groups import Failover, GroupEntry


class Strict(BaseModel):
    """Admin API: a mistyped key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _name(text: str) -> str:
    """Without spaces around it, composed, and with something to see in it."""
    name = unicodedata.normalize("NFC", text).strip()
    if not any(unicodedata.category(char)[0] in "LNPS" for char in name):
        raise ValueError("비어 있을 수 없습니다. (must not be blank)")
    return name


Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_name)]
Credentials = dict[str, Annotated[str, Field(max_length=8192)]]


class ChannelBody(Strict):
    name: Name
    pg_provider: Annotated[str, Field(min_length=1, max_length=16)]
    pg_id: Annotated[str, Field(min_length=1, max_length=80)]
    environment: Environment
    credentials: Credentials


class ChannelChangeBody(Strict):
    name: Name | None = None
    pg_id: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    credentials: Credentials | None = None


class EntryBody(Strict):
    channel_key: Annotated[str, Field(min_length=1, max_length=80)]
    weight: Annotated[int, Field(ge=0, le=100, strict=True)]
    enabled: Annotated[bool, Field(strict=True)] = True


class Reservable(Strict):
    """begin_at: a whole hour ahead, or at once."""

    begin_at: Annotated[int, Field(strict=True, ge=0, le=10**11)] | None = None

    def begins(self) -> datetime | None:
        if self.begin_at is None:
            return None
        if self.begin_at > 4_102_444_800:
            raise InvalidRequest("begin_at", "begin_at: 초 단위 Unix 시각이어야 합니다. (unix seconds)")
        return datetime.fromtimestamp(self.begin_at, UTC)


class GroupBody(Reservable):
    name: Name
    environment: Environment | None = None
    failover: Failover = Failover.UNSENT
    channels: list[EntryBody]

    def entries(self) -> tuple[GroupEntry, ...]:
        return tuple(GroupEntry(e.channel_key, e.weight, e.enabled) for e in self.channels)


class RollBackBody(Reservable):
    version: Annotated[int, Field(strict=True, ge=1, le=10**9)]


class NewGroupBody(GroupBody):
    environment: Environment  # which a change may leave out


Origins = Annotated[
    tuple[Annotated[str, Field(max_length=300)], ...],
    Field(max_length=50),
    BeforeValidator(lambda value: () if value is None else value),
]


class SettingsBody(Strict):
    default: Annotated[str, Field(max_length=80)] | None = None
    live_webhook_url: Annotated[str, Field(max_length=2000)] | None = None
    test_webhook_url: Annotated[str, Field(max_length=2000)] | None = None
    webhook_content_type: Literal["application/json", "application/x-www-form-urlencoded"] = "application/json"
    live_page_origins: Origins = ()
    test_page_origins: Origins = ()
