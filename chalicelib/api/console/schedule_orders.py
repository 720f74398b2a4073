"""One reserved payment: what it is, what will happen to it, and what an operator may do about it.

An action begins with a write that holds only if the reserved payment is still as the operator saw it: the audit entry
together with the order. So what somebody set out to do is on record before it is done, and a form that is sent twice
acts once, whatever came of the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.pages import KST
from chalicelib.api.console.payment_words import status_of as payment_status
from chalicelib.api.console.schedules import ACTIONS, SUBJECT, outcome, words
from chalicelib.api.console.visits import DONE, Html, Redirect, Visit, problem_of, view
from chalicelib.api.schemas.scheduling import ScheduleTime
from chalicelib.domain.accounts import Audit, Role
from chalicelib.domain.channels import Channel
from chalicelib.domain.errors import InvalidRequest, Refused, RouterError, TryAgain
from chalicelib.domain.health import HealthState
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment, State
from chalicelib.domain.routing import no_channel
from chalicelib.domain.statistics import shares_of
from chalicelib.ports import Conflict, Ref
from chalicelib.usecases import rescheduling, schedules
from chalicelib.usecases.charges import fill_buyer
from chalicelib.usecases.choosing import Target, plan_for_key
from chalicelib.usecases.merchants import audit_entry
from chalicelib.usecases.schedules import schedule_of

CHANGED = (
    "그 사이 예약이 변경되었습니다. 아래의 현재 상태를 확인해 주세요. (changed meanwhile: see below how it is now)"
)
NOT_RESERVED = "이미 실행되었거나 취소된 예약입니다. (already run or revoked)"
NOT_ENDED = "실패했거나 취소된 예약만 다시 결제할 수 있습니다. (only what has failed or was revoked)"
NO_KEY = "고객의 빌링키가 없습니다. 이대로 실행되면 실패합니다. (no billing key: it would fail)"
SHOWN_PAYMENTS = 20

DONE |= {
    "schedule_moved": ("예약 시각을 변경했습니다.", "Moved to another time."),
    "schedule_revoked": ("예약을 취소했습니다. 결제되지 않습니다.", "Revoked. Nothing will be charged."),
    "schedule_paid": ("결제가 승인되었습니다.", "Charged: the payment is approved."),
    "schedule_renewed": ("다시 예약했습니다.", "Reserved again."),
}


def subject_of(merchant_uid: str) -> str:
    """Of the audit entries about a reserved payment."""
    return f"{SUBJECT}{merchant_uid}"


# --- seeing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where it would be charged. shares: (channel, its chance, whether it is down now). obstacle: why nowhere."""

    shares: tuple[tuple[Channel, float, bool], ...] = ()
    obstacle: str | None = None


@view("GET", "schedules/order", Role.VIEWER)
def order_page(visit: Visit) -> Html:
    return _page(visit, visit.query.get("merchant_uid", ""))


def _page(visit: Visit, merchant_uid: str, error: Exception | None = None) -> Html:
    """Raises NotFound."""
    order = schedules.find(visit.deps, visit.merchant_id, merchant_uid)
    schedule = schedule_of(order)
    payments = _payments(visit, order)
    values = {
        "order": order,
        "schedule": schedule,
        "now": visit.deps.clock.now(),
        "ended": is_ended(order),
        "last": next((payment for payment in payments if payment.imp_uid == schedule.imp_uid), None),
        "payments": payments,
        "hidden_payments": max(0, len(order.imp_uids) - len(payments)),
        "outlook": outlook(visit, order, immediately=False) if order.is_reserved else None,
        "history": _history(visit, merchant_uid),
        "actions": ACTIONS,
        "payment_status": payment_status,
        "pinned": visit.who.routing.channels.get(schedule.channel_key or ""),
        "typed": visit.text("schedule_at") or _suggested(visit, schedule.schedule_at),
        "instant": datetime.fromisoformat,
        **words(),
    }
    if error is None:
        return Html("schedule_order.html", values)
    return Html("schedule_order.html", values, status_of(error), problem_of(error))


def _suggested(visit: Visit, schedule_at: datetime) -> str:
    """For a form: the time it is reserved for; where that has passed, the next whole hour but one."""
    now = visit.deps.clock.now()
    next_hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    return f"{(schedule_at if schedule_at > now else next_hour).astimezone(KST):%Y-%m-%dT%H:%M:%S}"


def is_ended(order: Order) -> bool:
    """Failed or revoked, and nothing else was paid, or is under way, in its place."""
    return not order.is_reserved and not order.is_open


def _payments(visit: Visit, order: Order) -> list[Payment]:
    """Newest first."""
    refs = [Ref(Payment, (visit.merchant_id, imp_uid)) for imp_uid in order.imp_uids[: -SHOWN_PAYMENTS - 1 : -1]]
    return [payment for payment in visit.deps.store.load_many(refs) if payment]


def _history(visit: Visit, merchant_uid: str) -> Sequence[Audit]:
    owner = (visit.merchant_id, "audit", subject_of(merchant_uid))
    return visit.deps.store.list(Audit, owner, limit=50, newest_first=True).items


def outlook(visit: Visit, order: Order, *, immediately: bool) -> Outlook:
    """By the version of the group that is in force then. immediately: now, so without channels that are down."""
    schedule, routing, deps = schedule_of(order), visit.who.routing, visit.deps
    key = deps.store.load(Ref(BillingKey, (visit.merchant_id, schedule.customer_uid)))
    if key is None:
        return Outlook(obstacle=NO_KEY)
    request = replace(schedule.request, buyer=fill_buyer(schedule.request, key))
    at = deps.clock.now() if immediately else max(schedule.schedule_at, deps.clock.now())
    try:
        plan = plan_for_key(deps.gateways, routing, key, Target(channel_key=schedule.channel_key), request, at)
    except Refused as error:
        return Outlook(obstacle=error.message)
    choices = plan.avoiding(visit.who.health).choices if immediately else plan.choices
    if not choices.candidates:
        return Outlook(obstacle=no_channel(choices).message)
    shares = shares_of({candidate.channel_key: candidate.weight for candidate in choices.candidates})
    down = {key for key in shares if visit.who.health.of(key).state is HealthState.DOWN}
    return Outlook(tuple((routing.channels[key], float(share), key in down) for key, share in shares.items() if share))


# --- acting -------------------------------------------------------------------------------------------------------


@view("GET", "schedules/move", Role.VIEWER)
@view("GET", "schedules/reschedule", Role.VIEWER)
def back_to_order(visit: Visit) -> Redirect:
    """For a browser that asks for the address of a form, after its language was changed there."""
    return Redirect("schedules/order", query={"merchant_uid": visit.query.get("merchant_uid")})


@view("POST", "schedules/move", Role.OPERATOR)
def move(visit: Visit) -> Html | Redirect:
    def act(merchant_uid: str) -> str:
        at = _time(visit)
        _begin(visit, "schedule.move", {"schedule_at": at.isoformat()}, _check_reserved)
        rescheduling.move(visit.deps, visit.merchant_id, merchant_uid, at)
        return "schedule_moved"

    return _act(visit, act)


@view("POST", "schedules/reschedule", Role.OPERATOR)
def reschedule(visit: Visit) -> Html | Redirect:
    def act(merchant_uid: str) -> str:
        at = _time(visit)
        _begin(visit, "schedule.reschedule", {"schedule_at": at.isoformat()}, _check_ended)
        rescheduling.reschedule(visit.deps, visit.merchant_id, merchant_uid, at)
        return "schedule_renewed"

    return _act(visit, act)


@view("GET", "schedules/revoke", Role.OPERATOR)
def confirm_revoke(visit: Visit) -> Html:
    return _confirm(visit, "revoke")


@view("POST", "schedules/revoke", Role.OPERATOR)
def revoke(visit: Visit) -> Html | Redirect:
    def act(merchant_uid: str) -> str:
        _begin(visit, "schedule.revoke", {"state": "revoked"}, _check_reserved)
        schedules.revoke(visit.deps, visit.merchant_id, None, [merchant_uid])
        return "schedule_revoked"

    return _act(visit, act)


@view("GET", "schedules/retry", Role.OPERATOR)
def confirm_retry(visit: Visit) -> Html:
    return _confirm(visit, "retry")


@view("POST", "schedules/retry", Role.OPERATOR)
def retry(visit: Visit) -> Html | Redirect:
    def act(merchant_uid: str) -> str | None:
        _begin(visit, "schedule.retry", None, _check_ended)
        payment = rescheduling.retry(visit.deps, visit.merchant_id, merchant_uid, visit.budget())
        # The page says by itself what else it has come to.
        return "schedule_paid" if payment.state is State.PAID else None

    return _act(visit, act)


def _confirm(visit: Visit, action: str) -> Html:
    order = schedules.find(visit.deps, visit.merchant_id, visit.query.get("merchant_uid", ""))
    schedule = schedule_of(order)
    values: dict[str, Any] = {
        "action": action,
        "order": order,
        "schedule": schedule,
        "possible": order.is_reserved if action == "revoke" else is_ended(order),
        "outlook": outlook(visit, order, immediately=True) if action == "retry" else None,
        **words(),
    }
    return Html("schedule_confirm.html", values)


def _act(visit: Visit, act: Callable[[str], str | None]) -> Html | Redirect:
    """act: does it, for a merchant_uid; the key of what to say. Where it may not be done, the page says why."""
    merchant_uid = _merchant_uid(visit)
    try:
        done = act(merchant_uid)
    except (RouterError, Conflict) as error:
        return _page(visit, merchant_uid, error)  # raises NotFound if it is the order that is gone
    return Redirect("schedules/order", done, query={"merchant_uid": merchant_uid})


def _begin(
    visit: Visit, action: str, after: dict[str, object] | None, check: Callable[[Order], None]
) -> None:  # fmt: skip
    """Write down who is about to do what. Raises TryAgain if it is not as they saw it, and what `check` raises."""
    order = schedules.find(visit.deps, visit.merchant_id, _merchant_uid(visit))
    if visit.text("seen") != str(order.version):
        raise TryAgain(CHANGED)
    check(order)
    schedule = schedule_of(order)
    before = {"state": outcome(order), "schedule_at": schedule.schedule_at.isoformat()}
    entry = audit_entry(visit.deps, visit.operator, subject_of(order.merchant_uid), action, before, after)
    try:
        visit.deps.store.commit(order, entry)
    except Conflict:
        raise TryAgain(CHANGED) from None


def _check_reserved(order: Order) -> None:
    if not order.is_reserved:
        raise Refused(NOT_RESERVED)


def _check_ended(order: Order) -> None:
    if not is_ended(order):
        raise Refused(NOT_ENDED)


def _merchant_uid(visit: Visit) -> str:
    """As sent: blanks belong to it. Cut, for no key is that long."""
    value = visit.form.get("merchant_uid", "")
    return value[:500] if isinstance(value, str) else ""


def _time(visit: Visit) -> datetime:
    """A time in Korea as browsers send it, with or without seconds. Raises InvalidRequest."""
    try:
        local = datetime.fromisoformat(visit.text("schedule_at"))
    except ValueError:
        local = None
    if local is None or local.tzinfo is not None or local.year > 9000 or local.year < 1971:
        raise InvalidRequest("schedule_at", "schedule_at: 날짜와 시각을 입력해 주세요. (a date and a time)")
    at = int(local.replace(tzinfo=KST).timestamp())
    return ScheduleTime(schedule_at=at).when("", visit.deps.clock.now())
