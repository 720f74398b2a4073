"""Channel health: which of a merchant's channels do not answer, and when to ask them again.

Failures in a row are counted. After `DOWN_AFTER` a channel is down: routing leaves it out while others are left, and
the timer asks its gateway, with growing pauses, until it answers. Then it is on probation: one more failure puts it
down again, one success makes it well. Silence and nonsense count against a channel, and that its gateway refuses its
credentials or contract; whoever declines a card is well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.charging import AwaitingDeposit, Declined, NotSent, Unknown
from chalicelib.domain.declines import DeclineReason

DOWN_AFTER = 3
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=10)
MAX_ERROR = 200


class HealthState(StrEnum):
    UP = "up"
    DOWN = "down"
    PROBATION = "probation"
    """It answers again, and has not yet done what it was down for."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What one answer, or its absence, says about a channel. error: what was wrong; None = it is well."""

    channel_key: str
    sent_at: datetime
    error: str | None = None


def sign_of(channel_key: str, sent_at: datetime, result: object) -> Sign | None:
    """None: the result says nothing about the channel's health."""
    match result:
        case NotSent(unwell=True) | Unknown(unwell=True):
            return Sign(channel_key, sent_at, result.detail[:MAX_ERROR])
        case NotSent() | Unknown() | Declined(reason=DeclineReason.GATEWAY_MAINTENANCE):
            return None
        case Declined(reason=DeclineReason.CHANNEL_REJECTED):  # its credentials or contract are refused
            return Sign(channel_key, sent_at, f"[{result.code}] {result.message}"[:MAX_ERROR])
        case AwaitingDeposit():  # that it opens accounts does not show that it charges cards
            return None
    return Sign(channel_key, sent_at)


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """failures: in a row. since: when it went down, or came back on probation.

    pauses: how many there were since it was well; each is twice as long as the one before.
    """

    state: HealthState = HealthState.UP
    failures: int = 0
    since: datetime | None = None
    pauses: int = 0
    next_probe_at: datetime | None = None
    last_error: str | None = None

    def after(self, sign: Sign, now: datetime, scale: float) -> "ChannelHealth":
        if self.since and sign.sent_at < self.since:  # on its way since before the last change: old news
            return self
        if sign.error is None:
            return self.answering(now) if self.state is HealthState.DOWN else WELL
        if self.state is HealthState.DOWN:
            return self
        counted = replace(self, failures=self.failures + 1, last_error=sign.error)
        if counted.failures >= DOWN_AFTER:  # on probation the count still stands: one more is enough
            return replace(counted.pausing(now, scale), state=HealthState.DOWN, since=now)
        return counted

    def answering(self, now: datetime) -> "ChannelHealth":
        return replace(self, state=HealthState.PROBATION, since=now, next_probe_at=None)

    def pausing(self, now: datetime, scale: float) -> "ChannelHealth":
        doublings = min(self.pauses, 10)  # an outage of days must not outgrow what a time can be
        pause = min(FIRST_PAUSE * 2**doublings, LONGEST_PAUSE)
        return replace(self, pauses=self.pauses + 1, next_probe_at=now + pause * scale)


WELL = ChannelHealth()


@dataclass(frozen=True, slots=True)
class Health:
    """A merchant's channels that are not perfectly well, by channel key. A channel that is not in it is well."""

    merchant_id: str
    channels: Mapping[str, ChannelHealth] = field(default_factory=dict)
    version: int = 0

    def of(self, channel_key: str) -> ChannelHealth:
        return self.channels.get(channel_key, WELL)

    @property
    def due_at(self) -> datetime | None:
        """When the next channel has to be asked."""
        return min((c.next_probe_at for c in self.channels.values() if c.next_probe_at), default=None)

    def due(self, now: datetime) -> tuple[str, ...]:
        """The channels to be asked now."""
        return tuple(key for key, c in self.channels.items() if c.next_probe_at and c.next_probe_at <= now)

    def noted(self, sign: Sign, now: datetime, scale: float) -> "Health":
        """With one more sign. scale: of the pauses."""
        return self._with(sign.channel_key, self.of(sign.channel_key).after(sign, now, scale))

    def claimed(self, channel_key: str, until: datetime) -> "Health":
        """Nobody else asks its gateway before `until`."""
        return self._with(channel_key, replace(self.of(channel_key), next_probe_at=until))

    def probed(self, channel_key: str, error: str | None, now: datetime, scale: float) -> "Health":
        """With what a question to its gateway has shown. error: None = it answers."""
        known = self.of(channel_key)
        if known.state is not HealthState.DOWN:  # a payment was faster
            return self
        if error is None:
            return self._with(channel_key, known.answering(now))
        return self._with(channel_key, replace(known.pausing(now, scale), last_error=error))

    def without(self, channel_key: str) -> "Health":
        return self._with(channel_key, WELL)

    def _with(self, channel_key: str, health: ChannelHealth) -> "Health":
        others = {key: c for key, c in self.channels.items() if key != channel_key}
        return replace(self, channels=others if health == WELL else {**others, channel_key: health})
