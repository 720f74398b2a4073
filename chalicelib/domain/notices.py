"""Webhook deliveries: what is told to a merchant, where, how often it was tried, and which receivers are slow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.channels import Environment
from chalicelib.domain.payments import CancelState, Payment, State

FAILURES_IN_A_ROW = 3
"""After so many a receiver gets the slow lane."""
MAX_RECEIVERS = 100
"""Slow or failing hosts remembered per merchant; the one longest known is forgotten first."""


class NoticeState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up. A person may have it sent again, or take note."""
    NOTED = "noted"
    """Given up, and a person knows."""
    SUPERSEDED = "superseded"
    """Not sent, or not again: a later one has said what is true now."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one URL. status: V1's word at the time of the event; cancellation_id for cancels only.

    resent_at: when a person asked for it once more; `tries` counts from there.
    """

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
    tried_at: datetime | None = None
    last_result: str | None = None
    resent_at: datetime | None = None
    due_at: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """text: what happened, for people. final: no further try would do better. reply: the body's beginning."""

    delivered: bool
    text: str
    final: bool = False
    reply: bytes = field(default=b"", repr=False)


def superseded(notice: Notice, payment: Payment) -> bool:
    """True if what the notice says is over, and its receivers hear so: by a later notice, or by the answer if they had
    the account revoked. A cancel's notice is never: it is about the cancel and not about the payment's status.
    """
    if notice.cancellation_id:
        return False
    match notice.status:
        case "ready":
            return payment.v1_status != "ready"
        case "paid":  # no longer paid: the bank has taken the deposit back, which was told of as `ready`
            taken_back = payment.state is not State.PAID
            return taken_back or (payment.balance.amount == 0 and _was_told_of_a_cancel(payment))
        case _:
            return False


def _was_told_of_a_cancel(payment: Payment) -> bool:
    return any(cancel.notify and cancel.state is CancelState.DONE for cancel in payment.cancels)


@dataclass(frozen=True, slots=True)
class Receivers:
    """A merchant's hosts that are slow or fail, with their failures in a row; a slow answer counts as all of them."""

    merchant_id: str
    failures: Mapping[str, int] = field(default_factory=dict)
    version: int = 0

    def is_slow(self, url: str) -> bool:
        return self.failures.get(_host(url), 0) >= FAILURES_IN_A_ROW

    def after(self, url: str, *, delivered: bool, slow: bool) -> "Receivers":
        """What is known after a try; itself if that is nothing new."""
        host = _host(url)
        known = self.failures.get(host, 0)
        failures = FAILURES_IN_A_ROW if slow else 0 if delivered else min(known + 1, FAILURES_IN_A_ROW)
        if failures == known:
            return self
        others = [(other, count) for other, count in self.failures.items() if other != host]
        listed = [*others[-(MAX_RECEIVERS - 1) :], (host, failures)] if failures else others
        return replace(self, failures=dict(listed))


def _host(url: str) -> str:
    """Host and port as written: a merchant's paths may differ with every payment."""
    match = re.match(r"https?://([^/?#]*)", url, re.IGNORECASE)
    return match[1].lower() if match else ""
