"""Channels: one merchant's contract with one gateway."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Environment(StrEnum):
    LIVE = "live"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Channel:
    """sealed_credentials: envelope-encrypted; see ports.Sealer. pg_id: the merchant id (MID) at the gateway.

    options: names of the credentials' fields by which its contract allows more than others' (CredentialField.adds).
    changed_at: when it got other credentials, or another pg_id, and so perhaps another contract.
    """

    channel_key: str
    name: str
    pg_provider: str
    pg_id: str
    environment: Environment
    sealed_credentials: str
    created_at: datetime
    options: tuple[str, ...] = ()
    changed_at: datetime | None = None

    @property
    def is_test(self) -> bool:
        return self.environment is Environment.TEST


@dataclass(frozen=True, slots=True)
class ArchivedChannel:
    """A deleted channel. Its payments can still be cancelled and settled, so its sealed credentials stay."""

    merchant_id: str
    channel: Channel
    deleted_at: datetime
    version: int = 0
