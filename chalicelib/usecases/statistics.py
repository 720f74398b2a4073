"""What the console shows in numbers: outcomes per channel, shares asked for and delivered, who holds which keys.

Read from counters that move with the writes they count (storage.tallies), so that it costs a query per channel or group
and stretch, however many payments there are. Stretches are widened to whole hours.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.groups import GroupEntry, GroupVersion
from chalicelib.domain.statistics import HOUR, WHOLE, hour_slot, key_shares, quantile
from chalicelib.ports import Deps

KST = timezone(timedelta(hours=9), "KST")


class Step(StrEnum):
    HOUR = "hour"
    DAY = "day"
    """From midnight to midnight in Korea."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of attempts. counts: as domain.statistics names them."""

    counts: Mapping[str, int]

    def of(self, outcome: str) -> int:
        """outcome: as in Attempt.outcome."""
        return self.counts.get(outcome, 0)

    @property
    def approved(self) -> int:
        return self.of("approved")

    @property
    def declined(self) -> int:
        return self.of("declined")

    @property
    def not_sent(self) -> int:
        return self.of("not_sent")

    @property
    def unknown(self) -> int:
        """Nobody knows yet what came of them."""
        return self.of("unknown") + self.of("pending")

    @property
    def others(self) -> dict[str, int]:
        """Attempts that ended otherwise: left (windows), issued (accounts that wait), undone, given_back, by_hand."""
        names = ("left", "issued", "undone", "given_back", "by_hand")
        return {name: self.of(name) for name in names if self.of(name)}

    @property
    def attempts(self) -> int:
        return self.approved + self.declined + self.not_sent + self.unknown + sum(self.others.values())

    @property
    def approval_rate(self) -> float | None:
        """Approved of all that the gateway decided; None if it decided nothing. For display."""
        decided = self.approved + self.declined
        return self.approved / decided if decided else None

    @property
    def reasons(self) -> tuple[tuple[DeclineReason, int], ...]:
        """Why it declined, most frequent first."""
        found = [(DeclineReason(name), number) for name, number in self._named("reason_").items()]
        return tuple(sorted(found, key=lambda row: (-row[1], row[0])))

    @property
    def amounts(self) -> dict[str, int]:
        """Approved, before refunds: currency -> minor units."""
        return self._named("amount_")

    @property
    def p50_ms(self) -> int | None:
        """Estimated from the histogram's buckets; None if nothing was sent."""
        return quantile(self.latencies, 0.5)

    @property
    def p95_ms(self) -> int | None:
        return quantile(self.latencies, 0.95)

    @property
    def latencies(self) -> dict[str, int]:
        """Bucket (its upper end in ms, or `longer`) -> how many."""
        return self._named("ms_")

    def _named(self, prefix: str) -> dict[str, int]:
        found = {name.removeprefix(prefix): n for name, n in self.counts.items() if name.startswith(prefix)}
        return {name: n for name, n in sorted(found.items()) if n}


@dataclass(frozen=True, slots=True)
class Point:
    """at: when the hour, or the day in Korea, begins."""

    at: datetime
    outcomes: Outcomes


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """series: without gaps, oldest first."""

    channel_key: str
    total: Outcomes
    series: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class ChannelShare:
    """asked: what the weights wanted for it, in 1/10000 of a payment. delivered: payments that it had in the end."""

    channel_key: str
    asked: int
    delivered: int
    payments: int
    """Of the group in all."""

    @property
    def asked_share(self) -> float:
        return self.asked / (self.payments * WHOLE) if self.payments else 0.0

    @property
    def delivered_share(self) -> float:
        return self.delivered / self.payments if self.payments else 0.0


@dataclass(frozen=True, slots=True)
class GroupShares:
    """payments: how many the group decided on; pinned ones are none of them."""

    group_id: str
    payments: int
    channels: tuple[ChannelShare, ...]


@dataclass(frozen=True, slots=True)
class KeyShares:
    """How charges on super keys spread, if each is charged as often. shares: of those that can be charged, for display.

    stranded: keys that no enabled channel holds.
    """

    shares: Mapping[str, float]
    stranded: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """A group's super keys. combinations: the channels that hold a key, and how many keys they hold together."""

    group_id: str
    combinations: tuple[tuple[frozenset[str], int], ...]

    @property
    def total(self) -> int:
        return sum(number for _, number in self.combinations)

    def held_by(self, channel_key: str) -> int:
        return sum(number for held, number in self.combinations if channel_key in held)

    def reach(self, channel_key: str) -> float:
        """The share of the group's keys that this channel holds; 0 without any. For display."""
        return self.held_by(channel_key) / self.total if self.total else 0.0

    def shares(self, version: GroupVersion | Sequence[GroupEntry]) -> KeyShares:
        """Under a version of the group, or the entries of a draft of one."""
        entries = version.entries if isinstance(version, GroupVersion) else version
        shares, stranded = key_shares(self.combinations, {e.channel_key: e.weight for e in entries if e.enabled})
        return KeyShares({key: float(share) for key, share in shares.items()}, stranded)


def channel_statistics(
    deps: Deps, merchant_id: str, channel_keys: Sequence[str], since: datetime, until: datetime, step: Step
) -> dict[str, ChannelStatistics]:
    """Attempts that began in since <= t < until, by channel. One query per channel."""
    return {key: _of_channel(deps, merchant_id, key, since, until, step) for key in channel_keys}


def _of_channel(
    deps: Deps, merchant_id: str, channel_key: str, since: datetime, until: datetime, step: Step
) -> ChannelStatistics:
    total: Counter[str] = Counter()
    found: dict[datetime, Counter[str]] = {at: Counter() for at in _steps(since, until, step)}
    for hour, counts in _hours(deps, merchant_id, channel_key, since, until).items():
        total.update(counts)
        found[_step_of(hour, step)].update(counts)
    points = tuple(Point(at, Outcomes(counts)) for at, counts in found.items())
    return ChannelStatistics(channel_key, Outcomes(total), points)


def group_shares(deps: Deps, merchant_id: str, group_id: str, since: datetime, until: datetime) -> GroupShares:
    """Payments that began in since <= t < until: what the weights in force asked for, and where they went."""
    total: Counter[str] = Counter()
    for counts in _hours(deps, merchant_id, group_id, since, until).values():
        total.update(counts)
    payments = total["payments"]
    keys = sorted({name.partition(":")[2] for name in total if ":" in name})
    shares = [ChannelShare(key, total[f"asked:{key}"], total[f"delivered:{key}"], payments) for key in keys]
    return GroupShares(group_id, payments, tuple(shares))


def coverage(deps: Deps, merchant_id: str, group_id: str) -> Coverage:
    """How many super keys the group has, and which channels hold them. One query."""
    found = deps.store.counters((merchant_id, "coverage", group_id))
    combinations = [(frozenset(held.split(",")), counts["n"]) for held, counts in found.items()]
    combinations.sort(key=lambda row: (-row[1], sorted(row[0])))
    return Coverage(group_id, tuple(combinations))


def _hours(
    deps: Deps, merchant_id: str, subject: str, since: datetime, until: datetime
) -> dict[datetime, Mapping[str, int]]:
    """When an hour begins -> its counters, of a channel or a group."""
    if since >= until:
        return {}
    last = hour_slot(until - timedelta(microseconds=1))
    found = deps.store.counters((merchant_id, "stats", subject), hour_slot(since), last)
    return {datetime.fromtimestamp(int(slot) * HOUR, UTC): counts for slot, counts in found.items()}


def _steps(since: datetime, until: datetime, step: Step) -> list[datetime]:
    length = timedelta(days=1) if step is Step.DAY else timedelta(hours=1)
    at, steps = _step_of(since, step), []
    while since < until and at < until:
        steps.append(at)
        at += length
    return steps


def _step_of(at: datetime, step: Step) -> datetime:
    local = at.astimezone(KST)
    begun = local.replace(minute=0, second=0, microsecond=0)
    return begun.replace(hour=0) if step is Step.DAY else begun
