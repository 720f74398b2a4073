"""What an operator has typed about a channel group, right or wrong, so that it is shown again as it was typed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from chalicelib.api import schemas
from chalicelib.api.console.pages import KST
from chalicelib.api.console.visits import Visit
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.groups import MAX_CHANNELS, ChannelGroup, Failover, GroupEntry, GroupVersion
from chalicelib.domain.statistics import shares_of
from chalicelib.usecases.groups import GroupContent, Seen

DAYS_AHEAD = 30
"""How far ahead a reservation is offered."""
NOBODY_LOOKED = Seen(0)
"""Fits no group, so a form that does not say what it was made from is saved over nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One channel of the group. weight: as typed."""

    channel_key: str
    weight: str
    enabled: bool = True

    @property
    def per_cent(self) -> int:
        """For pictures and sums: what is no weight counts as none."""
        return int(self.weight) if re.fullmatch(r"\d{1,3}", self.weight) and int(self.weight) <= 100 else 0


@dataclass(frozen=True, slots=True)
class Hour:
    """A whole hour in Korea, as typed: `2026-11-24` and `09`; empty = none."""

    day: str = ""
    hour: str = ""

    @classmethod
    def of(cls, at: datetime) -> "Hour":
        local = at.astimezone(KST)
        return cls(f"{local:%Y-%m-%d}", f"{local:%H}")

    def instant(self) -> datetime:
        """Raises InvalidRequest."""
        try:
            day = date.fromisoformat(self.day)
        except ValueError:
            day = date.min
        if not 2000 <= day.year < 2100:
            raise InvalidRequest("day", "day: 예약할 날짜를 선택해 주세요. (choose the day)")
        if not re.fullmatch(r"[01][0-9]|2[0-3]", self.hour):
            raise InvalidRequest("hour", "hour: 예약할 시각을 선택해 주세요. (choose the hour)")
        return datetime(day.year, day.month, day.day, int(self.hour), tzinfo=KST).astimezone(UTC)


def hours_on_offer(now: datetime, chosen: Hour) -> dict[str, Any]:
    """For the fields that ask for an hour: the next one if none is chosen, and from which day to which."""
    first = (now + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    last = max(f"{(now + timedelta(days=DAYS_AHEAD)).astimezone(KST):%Y-%m-%d}", chosen.day[:10])
    shown = chosen if chosen.day or chosen.hour else Hour.of(first)
    return {"shown": shown, "first": f"{first.astimezone(KST):%Y-%m-%d}", "last": last}


@dataclass(frozen=True, slots=True)
class GroupForm:
    """The editor's fields. seen: what it was made from; None for a new group."""

    environment: Environment
    name: str = ""
    failover: str = Failover.UNSENT.value
    rows: tuple[Row, ...] = ()
    seen: Seen | None = None
    begin: Hour = Hour()

    @property
    def total(self) -> int:
        return sum(row.per_cent for row in self.rows)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(row.channel_key for row in self.rows)

    def entries(self) -> tuple[GroupEntry, ...]:
        """Raises InvalidRequest for what is no number; whether they make a group is checked elsewhere."""
        return schemas.parse(schemas.GroupBody, self._body()).entries()

    def content(self, *, reserved: bool) -> GroupContent:
        """Raises InvalidRequest."""
        body = schemas.parse(schemas.GroupBody, self._body() | {"name": self.name})
        begin_at = self.begin.instant() if reserved else None
        return GroupContent(body.name, body.failover, body.entries(), begin_at, self.seen)

    def _body(self) -> dict[str, Any]:
        rows = [
            {"channel_key": r.channel_key, "weight": _weight(n, r), "enabled": r.enabled}
            for n, r in enumerate(self.rows)
        ]
        return {"name": "-", "failover": self.failover, "channels": rows}


def _weight(place: int, row: Row) -> int:
    if not re.fullmatch(r"\d{1,3}", row.weight) or int(row.weight) > 100:
        text = "weight: 비율은 0 이상 100 이하의 정수여야 합니다. (a whole number from 0 to 100)"
        raise InvalidRequest(f"channels[{place}].weight", text)
    return int(row.weight)


# --- made from ----------------------------------------------------------------------------------------------------


def seen_of(group: ChannelGroup) -> Seen:
    """group: settled."""
    return Seen(group.current.number, group.reserved.number if group.reserved else None)


def form_of(group: ChannelGroup, version: GroupVersion) -> GroupForm:
    """To edit a version of a group. group: settled."""
    rows = tuple(Row(e.channel_key, str(e.weight), e.enabled) for e in version.entries)
    begin = Hour.of(version.effective_at) if version is group.reserved else Hour()
    return GroupForm(group.environment, version.name, version.failover.value, rows, seen_of(group), begin)


def read_form(visit: Visit, group: ChannelGroup | None) -> GroupForm:
    """What was sent. Never raises: whatever is not of the form is left out. group None = a new one."""
    environment = group.environment if group else _environment(visit)
    return GroupForm(
        environment=environment,
        name=visit.text("name", 200),
        failover=visit.text("failover", 20),
        rows=_rows(visit.form.get("channels")),
        seen=read_seen(visit) if group else None,
        begin=read_hour(visit),
    )


def read_seen(visit: Visit) -> Seen:
    version, reservation = _whole(visit.text("seen_version")), _whole(visit.text("seen_reservation"))
    return Seen(version, reservation) if version is not None else NOBODY_LOOKED


def read_hour(visit: Visit) -> Hour:
    return Hour(visit.text("day", 20), visit.text("hour", 5))


def _environment(visit: Visit) -> Environment:
    """Of a new group: as its form was opened, whatever this browser shows by now."""
    sent = visit.text("environment")
    return Environment(sent) if sent in list(Environment) else visit.environment


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _rows(sent: Any) -> tuple[Row, ...]:
    """`channels[0][weight]`...: a list, or by place if one is missing."""
    if isinstance(sent, Mapping):
        sent = [sent[place] for place in sorted((p for p in sent if re.fullmatch(r"[0-9]{1,3}", p)), key=int)]
    given = [row for row in sent if isinstance(row, Mapping)] if isinstance(sent, list) else []
    # One more than fit, so that the rule about it is what refuses them.
    return tuple(
        Row(_text(row, "channel_key", 80), _text(row, "weight", 10), row.get("enabled") == "1")
        for row in given[: MAX_CHANNELS + 1]
    )


def _text(row: Mapping[str, Any], name: str, longest: int) -> str:
    value = row.get(name, "")
    return value.strip()[:longest] if isinstance(value, str) else ""


# --- changed by a button ------------------------------------------------------------------------------------------


def rearranged(form: GroupForm, act: str, place: str, added: str) -> GroupForm:
    """After one press of add, remove, up, down or even; the same form for anything else."""
    rows, at = list(form.rows), _whole(place)
    if act == "add" and added and added not in form.keys and len(rows) < MAX_CHANNELS:
        rows.append(Row(added, str(max(0, 100 - form.total))))
    elif act == "even":
        rows = _evenly(rows)
    elif at is not None and at < len(rows):
        if act == "remove":
            del rows[at]
        elif act in ("up", "down"):
            other = at - 1 if act == "up" else at + 1
            if 0 <= other < len(rows):
                rows[at], rows[other] = rows[other], rows[at]
    return replace(form, rows=tuple(rows))


def _evenly(rows: list[Row]) -> list[Row]:
    """100 over those in use, the first ones getting what does not divide; nothing for the others."""
    used = [n for n, row in enumerate(rows) if row.enabled] or list(range(len(rows)))
    shares = dict.fromkeys(used, 100 // len(used)) if used else {}
    for n in used[: 100 % len(used)] if used else ():
        shares[n] += 1
    return [replace(row, weight=str(shares.get(n, 0))) for n, row in enumerate(rows)]


def asked_shares(entries: tuple[GroupEntry, ...]) -> dict[str, float]:
    """Which part of the payments the weights want for each channel in use, by channel key. For display."""
    weights = {e.channel_key: e.weight for e in entries if e.enabled}
    return {key: float(share) for key, share in shares_of(weights).items()}
