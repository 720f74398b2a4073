"""The first page: what is wrong now, and how channels and groups have done. Read from counters, side by side."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.api.console import charts
from chalicelib.api.console.pages import KST
from chalicelib.api.console.visits import Html, Visit, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.channels import Channel
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.health import ChannelHealth, HealthState
from chalicelib.domain.money import Money
from chalicelib.domain.orders import ScheduleState
from chalicelib.usecases import by_hand, statistics
from chalicelib.usecases.parallel import at_once
from chalicelib.usecases.statistics import ChannelShare, ChannelStatistics, GroupShares, Outcomes, Step

PERIODS = {
    "day": ("24시간", "24 hours"),
    "week": ("7일", "7 days"),
    "month": ("30일", "30 days"),
}
REASONS: dict[DeclineReason, tuple[str, str]] = {
    DeclineReason.INVALID_CARD_NUMBER: ("카드번호 오류", "Invalid card number"),
    DeclineReason.EXPIRED_CARD: ("유효기간 만료", "Expired card"),
    DeclineReason.CARD_CHECK_FAILED: ("카드 정보 불일치", "Card details do not match"),
    DeclineReason.LOST_OR_STOLEN: ("분실·도난 카드", "Lost or stolen card"),
    DeclineReason.CARD_BLOCKED: ("사용 정지된 카드", "Blocked card"),
    DeclineReason.INSUFFICIENT_FUNDS: ("잔액 부족", "Insufficient funds"),
    DeclineReason.LIMIT_EXCEEDED: ("한도 초과", "Limit exceeded"),
    DeclineReason.TOO_MANY_TRIES: ("시도 횟수 초과", "Too many tries"),
    DeclineReason.ISSUER_DECLINED: ("카드사 거절", "Declined by the issuer"),
    DeclineReason.FRAUD_SUSPECTED: ("부정 거래 의심", "Suspected fraud"),
    DeclineReason.INSTALLMENT_NOT_ALLOWED: ("할부 불가", "Instalments not allowed"),
    DeclineReason.AMOUNT_NOT_ALLOWED: ("결제 금액 제한", "Amount not allowed"),
    DeclineReason.CARD_NOT_SUPPORTED: ("지원하지 않는 카드", "Card not supported"),
    DeclineReason.GATEWAY_MAINTENANCE: ("PG사 점검", "Gateway maintenance"),
    DeclineReason.CHANNEL_REJECTED: ("채널 설정·계약 문제", "Channel refused (credentials or contract)"),
    DeclineReason.BILLING_KEY_INVALID: ("사용할 수 없는 빌링키", "Billing key not valid"),
    DeclineReason.INVALID_REQUEST: ("잘못된 요청", "Invalid request"),
    DeclineReason.BUYER_CANCELLED: ("구매자 취소", "Cancelled by the buyer"),
    DeclineReason.NOT_CHARGED: ("PG사에 전달되지 않음", "Never reached the gateway"),
}
SHOWN_WAITING = 20
LATE = timedelta(minutes=15)
"""A reserved payment that has not run so long after its second shows that the timer does not work."""
LATE_SINCE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Card:
    """One channel. line: its approval rate over time. reasons: (why, how many, part of the declined)."""

    channel: Channel
    health: ChannelHealth
    figures: ChannelStatistics
    line: charts.Line | None
    reasons: tuple[tuple[DeclineReason, int, float], ...]

    @property
    def is_down(self) -> bool:
        return self.health.state is HealthState.DOWN

    @property
    def amounts(self) -> list[Money]:
        return amounts_of(self.figures.total)


@dataclass(frozen=True, slots=True)
class Pair:
    """A channel's share of a group. beyond: the difference is more than chance makes of so many payments."""

    share: ChannelShare
    name: str
    difference: float
    beyond: bool


@dataclass(frozen=True, slots=True)
class GroupCard:
    group_id: str
    name: str
    payments: int
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a person, by kind as in by_hand.KINDS: how many, and whether there are more. late: see LATE."""

    kinds: tuple[tuple[str, int, bool], ...]
    late: int


@view("GET", "", Role.VIEWER)
def dashboard(visit: Visit) -> Html:
    period = visit.query.get("period", "day")
    period = period if period in PERIODS else "day"
    now = visit.deps.clock.now()
    since, until, step = span(now, period)
    channels = [c for c in visit.who.routing.channels.values() if c.environment is visit.environment]
    groups = [g for g in visit.who.routing.groups.values() if g.environment is visit.environment]
    found = _read(visit, channels, [group.group_id for group in groups], (since, until, step))
    figures: dict[str, ChannelStatistics] = found["channels"]
    cards = sorted(
        (_card(visit, channel, figures[channel.channel_key]) for channel in channels),
        key=lambda card: (not card.is_down, -card.figures.total.attempts, card.channel.name),
    )
    total = _total(list(figures.values()))
    group_cards = [_group_card(visit, group.at(now).name, found["groups"][group.group_id]) for group in groups]
    values = {
        "period": period,
        "periods": PERIODS,
        "since": since,
        "now": now,
        "hourly": step is Step.HOUR,
        "cards": [card for card in cards if card.figures.total.attempts or card.is_down],
        "idle": [card for card in cards if not (card.figures.total.attempts or card.is_down)],
        "down": [card for card in cards if card.is_down],
        "down_elsewhere": _down_elsewhere(visit),
        "total": total,
        "amounts": amounts_of(total.total),
        "columns": charts.columns(_layers(total)),
        "groups": [card for card in group_cards if card.payments],
        "all_groups": groups,
        "waiting": found["waiting"],
        "reasons": REASONS,
        "kst": KST,
    }
    return Html("dashboard.html", values)


def span(now: datetime, period: str) -> tuple[datetime, datetime, Step]:
    """From when, until when, in what steps: the last 24 hours, or days in Korea; the present one is the last."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    until = hour + timedelta(hours=1)
    if period == "day":
        return until - timedelta(hours=24), until, Step.HOUR
    today = hour.astimezone(KST).replace(hour=0)
    return today - timedelta(days=6 if period == "week" else 29), until, Step.DAY


def _read(
    visit: Visit, channels: Sequence[Channel], group_ids: Sequence[str], stretch: tuple[datetime, datetime, Step]
) -> dict[str, Any]:
    """One query per channel and group, and what waits for a person; all at the same time."""
    deps, merchant_id, (since, until, step) = visit.deps, visit.merchant_id, stretch

    def of_channel(key: str) -> Callable[[], Any]:
        return lambda: statistics.channel_statistics(deps, merchant_id, [key], since, until, step)[key]

    def of_group(group_id: str) -> Callable[[], Any]:
        return lambda: statistics.group_shares(deps, merchant_id, group_id, since, until)

    def of_kind(kind: str) -> Callable[[], Any]:
        return lambda: by_hand.alarms(deps, merchant_id, kind, SHOWN_WAITING, None)

    work = [of_kind(kind) for kind in by_hand.KINDS] + [lambda: _late(visit)]
    work += [of_channel(channel.channel_key) for channel in channels] + [of_group(group_id) for group_id in group_ids]
    answers = at_once(lambda ask: ask(), work)
    pages, late = answers[: len(by_hand.KINDS)], answers[len(by_hand.KINDS)]
    rest = answers[len(by_hand.KINDS) + 1 :]
    kinds = [(kind, len(page.items), page.cursor is not None) for kind, page in zip(by_hand.KINDS, pages, strict=True)]
    return {
        "waiting": Waiting(tuple(row for row in kinds if row[1] or row[2]), late),
        "channels": {channel.channel_key: rest[n] for n, channel in enumerate(channels)},
        "groups": dict(zip(group_ids, rest[len(channels) :], strict=True)),
    }


def _late(visit: Visit) -> int:
    until = visit.deps.clock.now() - LATE
    since = until - LATE_SINCE
    lists = [(visit.merchant_id, "schedules", ScheduleState.SCHEDULED)]
    found = visit.deps.store.hourly(lists, int(since.timestamp()) // 3600 * 3600, int(until.timestamp()))
    return sum(found.values())


def _card(visit: Visit, channel: Channel, figures: ChannelStatistics) -> Card:
    reasons = figures.total.reasons
    declined = sum(number for _, number in reasons)
    return Card(
        channel,
        visit.who.health.of(channel.channel_key),
        figures,
        charts.line([point.outcomes.approval_rate for point in figures.series]),
        tuple((reason, number, number / declined) for reason, number in reasons),
    )


def _total(figures: Sequence[ChannelStatistics]) -> ChannelStatistics:
    """Of all channels together. Without channels there is no series either."""
    total: Counter[str] = Counter()
    for one in figures:
        total.update(one.total.counts)
    series = []
    for points in zip(*(one.series for one in figures), strict=True):
        counts: Counter[str] = Counter()
        for point in points:
            counts.update(point.outcomes.counts)
        series.append(statistics.Point(points[0].at, Outcomes(counts)))
    return ChannelStatistics("", Outcomes(total), tuple(series))


def _layers(total: ChannelStatistics) -> list[list[int]]:
    outcomes = [point.outcomes for point in total.series]
    others = [one.attempts - one.approved - one.declined for one in outcomes]
    return [[one.approved for one in outcomes], [one.declined for one in outcomes], others]


def amounts_of(outcomes: Outcomes) -> list[Money]:
    """Approved amounts, per currency."""
    return [Money(amount, currency) for currency, amount in outcomes.amounts.items()]


def _group_card(visit: Visit, name: str, shares: GroupShares) -> GroupCard:
    channels = visit.who.routing.channels
    pairs = []
    for share in sorted(shares.channels, key=lambda one: -one.asked):
        known = channels.get(share.channel_key)
        difference = share.delivered_share - share.asked_share
        # How far chance alone leads away from a share, in about 99 of 100 cases.
        chance = 2.6 * math.sqrt(share.asked_share * (1 - share.asked_share) / max(1, shares.payments))
        shown = known.name if known else share.channel_key
        pairs.append(Pair(share, shown, difference, abs(difference) > max(chance, 0.005)))
    return GroupCard(shares.group_id, name, shares.payments, tuple(pairs))


def _down_elsewhere(visit: Visit) -> int:
    """Channels of the other environment that are down."""
    routing, health = visit.who.routing, visit.who.health
    others = [c for c in routing.channels.values() if c.environment is not visit.environment]
    return sum(health.of(channel.channel_key).state is HealthState.DOWN for channel in others)
