"""Billing keys: what a merchant's `customer_uid` stands for.

An ordinary key holds one channel, a super billing key one per channel that issued.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Buyer, CardSummary


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """The billing key one gateway issued. sealed_secret: the adapter's own data, envelope-encrypted."""

    channel_key: str
    pg_provider: str
    pg_id: str
    sealed_secret: str
    card: CardSummary
    inserted_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FailedChannel:
    """type: INVALID_REQUEST, PG_PROVIDER or DB_FAILED (V1's words)."""

    channel_key: str
    pg_provider: str
    pg_id: str
    type: str
    message: str
    pg_code: str | None = None
    pg_message: str | None = None


@dataclass(frozen=True, slots=True)
class BillingKey:
    """channels: by channel key, in the group's order. group_id None = ordinary key."""

    merchant_id: str
    customer_uid: str
    environment: Environment
    channels: Mapping[str, ChannelKey]
    inserted_at: datetime
    updated_at: datetime
    group_id: str | None = None
    failed: tuple[FailedChannel, ...] = ()
    customer_id: str | None = None
    customer: Buyer = field(default_factory=Buyer)
    issued_by_default: bool = False
    """The request named neither group nor channel: its client may know ordinary keys only."""
    counted_as: str | None = None
    """See Payment.counted_as; stays with the stored item, also when the key is issued anew."""
    version: int = 0

    @property
    def is_super(self) -> bool:
        return self.group_id is not None

    @property
    def first(self) -> ChannelKey:
        """The key's only channel, or the first of a super key that succeeded."""
        return next(iter(self.channels.values()))
