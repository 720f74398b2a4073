"""Webhook deliveries: what is told to a merchant, where, and how often it was tried."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.channels import Environment


class NoticeState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one URL. status: V1's word at the time of the event; cancellation_id for cancels only."""

    merchant_id: str
    notice_id: str
    url: str
    environment: Environment
    imp_uid: str
    merchant_uid: str
    status: str
    created_at: datetime
    cancellation_id: str | None = None
    state: NoticeState = NoticeState.PENDING
    tries: int = 0
    last_result: str | None = None
    due_at: datetime | None = None
    version: int = 0
