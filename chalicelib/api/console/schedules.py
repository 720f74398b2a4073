"""Reserved payments: a month at a glance, the list of a day, and finding one. What is done to one: schedule_orders."""

import calendar
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from chalicelib.api.console.pages import KST
from chalicelib.api.console.visits import Html, Redirect, Visit, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.orders import Order, ScheduleState
from chalicelib.ports import Listing, Ref
from chalicelib.usecases import lookups
from chalicelib.usecases.lookups import EVER, Numbered
from chalicelib.usecases.parallel import at_once
from chalicelib.usecases.schedules import schedule_of

STRETCH = 500
"""Entries of a day that are read at once, to be counted and filtered here: the stored lists know no outcomes."""
ON_A_PAGE = 50
FIRST_YEAR, LAST_YEAR = 2000, 2199
_SUNDAY = 6

OUTCOMES: Mapping[str, tuple[str, str]] = {
    "scheduled": ("예약됨", "Scheduled"),
    "running": ("실행 중", "Running"),
    "paid": ("승인", "Paid"),
    "failed": ("실패", "Failed"),
    "revoked": ("예약 취소", "Revoked"),
}
"""What has become of a reserved payment, in words."""
KINDS = {"scheduled": "", "running": "wait", "paid": "good", "failed": "bad", "revoked": ""}
"""Of badges."""

SUBJECT = "schedule:"
"""How the subjects of audit entries about reserved payments begin; the merchant_uid follows."""
ACTIONS: Mapping[str, tuple[str, str]] = {
    "schedule.move": ("시각 변경 요청", "Move asked for"),
    "schedule.revoke": ("예약 취소 요청", "Revoke asked for"),
    "schedule.retry": ("지금 결제 요청", "Charge now asked for"),
    "schedule.reschedule": ("다시 예약 요청", "Reserve again asked for"),
}
"""Of those entries. Each is written before it is done, so it says what was asked for."""


def outcome(order: Order) -> str:
    """One of OUTCOMES. running: from its claim until its result is known."""
    schedule = schedule_of(order)
    if schedule.state is ScheduleState.EXECUTED:
        if schedule.payment_status is None:
            return "running"
        return "failed" if schedule.payment_status == "failed" else "paid"
    return "scheduled" if schedule.state is ScheduleState.SCHEDULED else "revoked"


# --- a month ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """counts: by schedule state, of both environments, without zeros."""

    date: date
    counts: Mapping[str, int]
    is_today: bool


@view("GET", "schedules", Role.VIEWER)
def month_page(visit: Visit) -> Html | Redirect:
    if visit.query.get("customer_uid"):
        return Redirect("schedules/search", query={"q": visit.query["customer_uid"]})
    today = _today(visit)
    first = _month(visit.query.get("month", "")) or today.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    counts = _counts(visit, first, following)
    weeks = [
        [Day(day, counts.get(day, {}), day == today) if first <= day < following else None for day in week]
        for week in calendar.Calendar(_SUNDAY).monthdatescalendar(first.year, first.month)
    ]
    values = {
        "first": first,
        "before": (first - timedelta(days=1)).replace(day=1),
        "following": following,
        "today": today,
        "weeks": weeks,
        "sums": _sums(counts.values()),
    }
    return Html("schedules.html", values)


def _counts(visit: Visit, first: date, following: date) -> dict[date, dict[str, int]]:
    """From tallies: what they cost does not grow with what is reserved."""
    since, until = _midnight(first), _midnight(following)

    def hours(state: ScheduleState) -> Mapping[int, int]:
        return visit.deps.store.hourly([(visit.merchant_id, "schedules", state)], since, until)

    found: dict[date, dict[str, int]] = {}
    for state, numbers in zip(ScheduleState, at_once(hours, list(ScheduleState)), strict=True):
        for hour, number in numbers.items():
            day = found.setdefault(datetime.fromtimestamp(hour, KST).date(), {})
            day[state.value] = day.get(state.value, 0) + number
    return found


def _sums(days: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counts in days:
        total.update(counts)
    return total


# --- a day --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stretch:
    """Up to STRETCH entries of a day from `offset`, of the total there are in both environments. orders: those of the
    chosen environment, by time.
    """

    offset: int
    total: int
    orders: tuple[Order, ...]

    @property
    def end(self) -> int:
        return min(self.offset + STRETCH, self.total)

    @property
    def is_whole(self) -> bool:
        return not self.offset and self.end == self.total

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(outcome(order) for order in self.orders)


@view("GET", "schedules/day", Role.VIEWER)
def day_page(visit: Visit) -> Html:
    day = _date(visit.query.get("date", "")) or _today(visit)
    wanted = visit.query.get("state", "")
    wanted = wanted if wanted in OUTCOMES else ""
    stretch = _stretch(visit, day, _number(visit, "from"))
    fitting = [order for order in stretch.orders if wanted in ("", outcome(order))]
    page = min(max(1, _number(visit, "page")), max(1, -(-len(fitting) // ON_A_PAGE)))
    values = {
        "day": day,
        "before": day - timedelta(days=1),
        "following": day + timedelta(days=1),
        "is_today": day == _today(visit),
        "wanted": wanted,
        "stretch": stretch,
        "size": STRETCH,
        "fitting": len(fitting),
        "orders": fitting[(page - 1) * ON_A_PAGE : page * ON_A_PAGE],
        "page": page,
        "pages": -(-len(fitting) // ON_A_PAGE),
        **words(),
    }
    return Html("schedule_day.html", values)


def words() -> dict[str, object]:
    """What templates need to name an outcome."""
    return {"outcome": outcome, "outcomes": OUTCOMES, "kinds": KINDS}


def _stretch(visit: Visit, day: date, offset: int) -> Stretch:
    offset = offset // STRETCH * STRETCH
    found = lookups.schedules(
        visit.deps,
        visit.merchant_id,
        None,
        (_midnight(day), _midnight(day + timedelta(days=1))),
        Numbered(offset, STRETCH),
        newest_first=False,
    )
    mine = tuple(order for order in found.items if schedule_of(order).environment is visit.environment)
    return Stretch(offset, found.total, mine)


# --- finding ------------------------------------------------------------------------------------------------------


@view("GET", "schedules/search", Role.VIEWER)
def search_page(visit: Visit) -> Html | Redirect:
    """By merchant_uid, else by customer_uid; in both environments, for whoever has an id wants to find it."""
    wanted = visit.query.get("q", "").strip()
    order, listed = _found(visit, wanted)
    if order and not listed.total:
        return Redirect("schedules/order", query={"merchant_uid": order.merchant_uid})
    first = max(1, _number(visit, "page"))
    values = {
        "wanted": wanted,
        "order": order,
        "orders": listed.items,
        "total": listed.total,
        "page": first,
        "pages": -(-listed.total // ON_A_PAGE),
        **words(),
    }
    return Html("schedule_search.html", values)


def _found(visit: Visit, wanted: str) -> tuple[Order | None, Listing[Order]]:
    if not wanted:
        return None, Listing((), 0)
    order = visit.deps.store.load(Ref(Order, (visit.merchant_id, wanted)))
    numbered = Numbered((max(1, _number(visit, "page")) - 1) * ON_A_PAGE, ON_A_PAGE)
    listed = lookups.schedules_of_customer(visit.deps, visit.merchant_id, wanted, None, (0, EVER), numbered)
    return order if order and order.schedule else None, listed


# --- reading what was asked for -----------------------------------------------------------------------------------


def _today(visit: Visit) -> date:
    return visit.deps.clock.now().astimezone(KST).date()


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=KST).timestamp())


def _month(text: str) -> date | None:
    return _date(f"{text}-01" if text else "", "month")


def _date(text: str, name: str = "date") -> date | None:
    """None if nothing is given. Raises InvalidRequest."""
    if not text:
        return None
    try:
        found = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) else None
    except ValueError:
        found = None
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise InvalidRequest(name, f"{name}: 날짜가 올바르지 않습니다. (not a date)")
    return found


def _number(visit: Visit, name: str) -> int:
    text = visit.query.get(name, "")
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0
