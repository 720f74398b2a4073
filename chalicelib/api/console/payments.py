"""Payments: searched, listed, and one with everything that happened to it. What is done about one: `payment_acts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from chalicelib.api.console import masking
from chalicelib.api.console.dashboard import REASONS
from chalicelib.api.console.pages import KST, gateway_name
from chalicelib.api.console.payment_words import (
    ACTIONS,
    CANCEL_OPEN,
    CANCELS,
    METHODS,
    MODES,
    NOTICES,
    OUTCOMES,
    TABS,
    V1_STATUS,
    Status,
    advice,
    next_step,
    status_of,
)
from chalicelib.api.console.visits import Html, Problem, Redirect, Visit, step, view
from chalicelib.domain.accounts import Audit, Role
from chalicelib.domain.charging import Buyer
from chalicelib.domain.errors import InvalidRequest, NotFound
from chalicelib.domain.institutions import BANKS
from chalicelib.domain.notices import Notice
from chalicelib.domain.payments import VIRTUAL_ACCOUNT, Attempt, Cancellation, Payment, State
from chalicelib.domain.receipts import CashReceipt, Subject
from chalicelib.domain.routing import Decision
from chalicelib.ports import Ref
from chalicelib.usecases import by_hand, lookups, searching, webhooks
from chalicelib.usecases.lookups import Numbered

PAGE = 20
LONGEST_TRAIL = 200
PRESETS = (("1", ("오늘", "Today")), ("7", ("7일", "7 days")), ("30", ("30일", "30 days")))
LONGEST_SPAN = timedelta(days=366)

# --- searching ----------------------------------------------------------------------------------------------------


@view("GET", "payments", Role.VIEWER)
def payments_page(visit: Visit) -> Html | Redirect:
    if text := visit.query.get("q", "").strip():
        return _searched(visit, text)
    if customer_uid := visit.query.get("customer_uid"):
        return _of_customer(visit, customer_uid)
    return _listed(visit)


def _searched(visit: Visit, text: str) -> Html | Redirect:
    """One hit is shown at once."""
    found = searching.find(visit.deps, visit.merchant_id, text)
    if len(found.payments) == 1 and not found.key:
        return Redirect(f"payments/{step(found.payments[0].imp_uid)}")
    if found.key and not found.payments and not found.order:
        return Redirect("keys/key", query={"customer_uid": text})
    values = {"q": text, "found": found, "rows": _rows(visit, found.payments)}
    return Html("payment_search.html", values)


def _of_customer(visit: Visit, customer_uid: str) -> Html:
    offset = _whole(visit.query.get("offset"))
    listing = lookups.of_customer(visit.deps, visit.merchant_id, customer_uid, Numbered(offset, PAGE))
    following = offset + PAGE if offset + PAGE < listing.total else None
    values = {
        "q": "",
        "customer_uid": customer_uid,
        "total": listing.total,
        "rows": _rows(visit, listing.items),
        "newer": max(0, offset - PAGE) if offset else None,
        "older": following,
    }
    return Html("payment_customer.html", values)


# --- the list -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list's form says. days: one of PRESETS, if that is the period. until: fixed while one turns pages."""

    status: str
    days: str
    first: date
    last: date
    until: datetime
    gateway: str
    lowest: Decimal | None
    highest: Decimal | None

    @property
    def span(self) -> tuple[int, int]:
        begins = datetime.combine(self.first, time(), KST)
        return int(begins.timestamp()), max(int(begins.timestamp()), int(self.until.timestamp()))


def _listed(visit: Visit) -> Html:
    try:
        wanted, problem = _wanted(visit), None
    except InvalidRequest as error:
        wanted, problem = _preset(visit, "7"), Problem(error.message, error.field)
    narrowed = searching.Filter(visit.environment, wanted.gateway or None, wanted.lowest, wanted.highest)
    trail = [] if problem else _trail(visit.query.get("trail", ""))
    page = Numbered(trail[-1] if trail else 0, PAGE)
    picked = searching.pick(visit.deps, visit.merchant_id, wanted.status, wanted.span, narrowed, page)
    totals = searching.totals(visit.deps, visit.merchant_id, wanted.span)
    totals["all"] = sum(totals.values())
    values = {
        "q": "",
        "wanted": wanted,
        "query": _query(visit, wanted),
        "tabs": [(name, visit.say(*text), totals[name]) for name, text in TABS.items()],
        "presets": [(days, visit.say(*text)) for days, text in PRESETS],
        "gateways": _gateways(visit),
        "picked": picked,
        "rows": _rows(visit, picked.payments),
        "newer": _joined(trail[:-1]) if trail else None,
        "older": _joined([*trail, picked.next_offset]) if picked.next_offset is not None else None,
        "is_narrowed": bool(wanted.gateway or wanted.lowest is not None or wanted.highest is not None),
        "until": int(wanted.until.timestamp()),
    }
    return Html("payments.html", values, 400 if problem else 200, problem)


def _wanted(visit: Visit) -> Wanted:
    """Raises InvalidRequest."""
    query = visit.query
    base = _preset(visit, query.get("days", "7" if "first" not in query else ""))
    first, last = _day(query, "first", base.first), _day(query, "last", base.last)
    if base.days:
        first, last = base.first, base.last
    if last < first or last - first > LONGEST_SPAN:
        raise InvalidRequest("last", "last: 기간은 시작일부터 1년 이내여야 합니다. (at most a year, and not backwards)")
    status = query.get("status", "all")
    pinned = _whole(query.get("until"))
    ends = datetime.combine(last + timedelta(days=1), time(), KST)
    now = visit.deps.clock.now() + timedelta(seconds=1)
    until = datetime.fromtimestamp(pinned, UTC) if pinned else now
    return Wanted(
        status=status if status in TABS else "all",
        days=base.days,
        first=first,
        last=last,
        until=min(ends, until),
        gateway=query.get("gateway", ""),
        lowest=_amount(query, "lowest"),
        highest=_amount(query, "highest"),
    )


def _preset(visit: Visit, days: str) -> Wanted:
    known = days if days in dict(PRESETS) else ""
    now = visit.deps.clock.now()
    today = now.astimezone(KST).date()
    first = today - timedelta(days=int(known or "7") - 1)
    return Wanted("all", known, first, today, now + timedelta(seconds=1), "", None, None)


def _query(visit: Visit, wanted: Wanted) -> dict[str, Any]:
    """What links of the list carry on."""
    period = {"days": wanted.days} if wanted.days else {"first": wanted.first, "last": wanted.last}
    others = {name: visit.query.get(name, "") for name in ("gateway", "lowest", "highest")}
    return {"status": wanted.status, **period, **others}


def _gateways(visit: Visit) -> list[tuple[str, str]]:
    """Of the environment's channels."""
    providers = {c.pg_provider for c in visit.who.routing.channels.values() if c.environment is visit.environment}
    return sorted(((name, gateway_name(visit, name)) for name in providers), key=lambda pair: pair[1])


def _day(query: Any, name: str, default: date) -> date:
    try:
        day = date.fromisoformat(query[name]) if query.get(name) else default
    except ValueError:
        day = date.min
    if not 2000 <= day.year <= 2100:  # what lies beyond has no neighbours to reckon with
        raise InvalidRequest(name, f"{name}: 날짜 형식이 올바르지 않습니다. (not a date)")
    return day


def _amount(query: Any, name: str) -> Decimal | None:
    text = query.get(name, "").replace(",", "").strip()
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise InvalidRequest(name, f"{name}: 금액은 숫자로 입력해 주세요. (an amount is a number)")
    return value


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else 0


def _trail(text: str) -> list[int]:
    """Where each page that one has turned began, this one last: without these there is no way back to newer ones."""
    return [_whole(part) for part in text.split(".")][-LONGEST_TRAIL:] if text else []


def _joined(trail: Sequence[int]) -> str:
    return ".".join(map(str, trail))


@dataclass(frozen=True, slots=True)
class Row:
    payment: Payment
    status: Status
    gateway: str
    buyer: str
    cancel_open: bool


def _rows(visit: Visit, payments: Sequence[Payment]) -> list[Row]:
    return [
        Row(
            payment,
            status_of(payment),
            gateway_name(visit, last.pg_provider) if (last := payment.last_attempt) else "–",
            masking.name(payment.request.buyer.name),
            payment.open_cancel is not None,
        )
        for payment in payments
    ]


# --- one payment --------------------------------------------------------------------------------------------------


@view("GET", "payments/*", Role.VIEWER)
def payment_page(visit: Visit) -> Html:
    return show_payment(visit, visit.steps[1])


def show_payment(visit: Visit, imp_uid: str, problem: Problem | None = None, status: int = 200) -> Html:
    """Also again, with what was wrong with something that was done on it. Raises NotFound."""
    payment, receipt = load_payment(visit, imp_uid)
    notices = webhooks.of_payment(visit.deps, visit.merchant_id, imp_uid)
    history = by_hand.history(visit.deps, visit.merchant_id, imp_uid)
    known = payment.alarm and advice(payment.alarm)
    last = payment.last_attempt
    values = {
        "payment": payment,
        "status": status_of(payment),
        "cancel_open": CANCEL_OPEN if payment.open_cancel else None,
        "advice": known,
        "next": next_step(payment),
        "last": last,
        "channel": channel_name(visit, last.channel_key) if last else None,
        "buyer": shown_buyer(visit, payment.request.buyer),
        "method": visit.say(*METHODS.get(payment.pay_method, (payment.pay_method,) * 2)),
        "banks": BANKS,
        "receipt": receipt.to_show() if receipt and not receipt.in_doubt else None,
        "receipt_in_doubt": receipt is not None and receipt.in_doubt,
        "events": _timeline(visit, payment, notices, history),
        "acts": acts(visit, payment),
        "reasons": REASONS,
        "reason": visit.text("reason"),
    }
    return Html("payment.html", values, status, problem)


def load_payment(visit: Visit, imp_uid: str) -> tuple[Payment, CashReceipt | None]:
    """Raises NotFound."""
    payment, receipt = visit.deps.store.load(
        Ref(Payment, (visit.merchant_id, imp_uid)), Ref(CashReceipt, (visit.merchant_id, Subject.PAYMENT, imp_uid))
    )
    if payment is None:
        raise NotFound(f"{lookups.UNKNOWN_PAYMENT} (unknown payment)")
    return payment, receipt


def shown_buyer(visit: Visit, buyer: Buyer) -> masking.ShownBuyer:
    return masking.shown_buyer(buyer, masked=not visit.may(Role.OPERATOR))


def channel_name(visit: Visit, channel_key: str) -> str | None:
    """None: it was deleted."""
    channel = visit.who.routing.channels.get(channel_key)
    return channel.name if channel else None


def acts(visit: Visit, payment: Payment) -> set[str]:
    """What an operator may usefully try now. The use cases refuse the rest anyway."""
    held = payment.is_held(visit.deps.clock.now())
    possible = set()
    if payment.state is State.PAID and payment.balance.amount and not (
        payment.open_cancel or payment.to_be_voided or payment.awaits_comparison
    ):  # fmt: skip
        possible.add("cancel")
    if payment.state is not State.OPENED and (payment.is_open_question or payment.due_at) and not held:
        possible.add("check")
    if (payment.is_unsettled or payment.awaits_void) and not held:
        possible.add("settle")
    if payment.open_cancel and not held:
        possible.add("settle-cancel")
    if payment.state is State.WAITING:
        possible.add("revoke")
    if payment.alarm and not payment.is_open_question:
        possible.add("acknowledge")
    return possible if visit.may(Role.OPERATOR) else set()


# --- the timeline -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """kind: which part of the template shows the rest of it. item: what it is about."""

    at: datetime
    kind: str
    title: str
    tone: str = ""
    item: Any = None
    status: Status | None = None
    draw: "Draw | None" = None


@dataclass(frozen=True, slots=True)
class Part:
    """A channel's stretch of the draw. share: 0 to 1."""

    name: str
    gateway: str
    channel_key: str
    weight: int
    share: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """point: where in the bar the draw fell, 0 to 1; None where nothing was drawn. left_out: (name, text, weight)."""

    mode: str
    parts: tuple[Part, ...]
    point: float | None
    left_out: tuple[tuple[str, str, int], ...]
    group_id: str | None
    group_name: str | None
    group_version: int | None


def _timeline(
    visit: Visit, payment: Payment, notices: Sequence[Notice], history: Sequence[Audit]
) -> list[Event]:  # fmt: skip
    """Oldest first. Gateways tell whole seconds: what is told of the same one stays in the order it must have had."""
    events = [Event(payment.started_at, "request", _how(visit, payment), item=payment)]
    events += [_attempt_event(visit, attempt) for attempt in payment.attempts]
    if payment.paid_at:
        paid = ("입금 확인", "Paid in") if payment.pay_method == VIRTUAL_ACCOUNT else ("승인", "Approved")
        events.append(Event(payment.paid_at, "paid", visit.say(*paid), "good", payment))
    if payment.failed_at:
        events.append(Event(payment.failed_at, "failed", visit.say("실패로 끝남", "Ended as failed"), "bad", payment))
    if payment.revoked_at:
        events.append(Event(payment.revoked_at, "plain", visit.say("가상계좌 말소", "Virtual account closed")))
    events += [_cancel_event(visit, cancel) for cancel in payment.cancels]
    events += [_notice_event(visit, notice) for notice in notices]
    events += [_audit_event(visit, entry) for entry in reversed(history)]
    return sorted(events, key=lambda event: int(event.at.timestamp()))


def _how(visit: Visit, payment: Payment) -> str:
    if payment.to_be_voided:
        return visit.say("카드 확인용 결제 요청", "Test charge asked for")
    if payment.scheduled:
        return visit.say("예약 결제 실행", "Reserved payment run")
    if payment.window:
        return visit.say("결제창 결제 요청", "Payment in a window asked for")
    if payment.customer_uid and payment.customer_uid_usage != "issue":
        return visit.say("빌링키 결제 요청", "Charge on a billing key asked for")
    return visit.say("결제 요청", "Payment asked for")


def _attempt_event(visit: Visit, attempt: Attempt) -> Event:
    status = OUTCOMES.get(attempt.outcome, Status((str(attempt.outcome),) * 2))
    name = gateway_name(visit, attempt.pg_provider)
    title = visit.say(f"{attempt.number}번째 시도 · {name}", f"Attempt {attempt.number} · {name}")
    return Event(attempt.started_at, "attempt", title, status.tone, attempt, status, _draw(visit, attempt.decision))


def _draw(visit: Visit, decision: Decision) -> Draw:
    """As `domain.routing.draw` lays the stretches out: in order, those without weight only where all are equal."""
    equal = decision.mode == "standby"
    taking_part = [c for c in decision.candidates if equal or decision.mode in ("pinned", "direct") or c.weight]
    weights = [1 if equal else c.weight or 1 for c in taking_part]
    total = sum(weights) or 1
    parts = tuple(
        Part(
            channel_name(visit, c.channel_key) or c.pg_provider,
            gateway_name(visit, c.pg_provider),
            c.channel_key,
            c.weight,
            weight / total,
            c.channel_key == decision.chosen,
        )
        for c, weight in zip(taking_part, weights, strict=True)
    )
    left_out = tuple(
        (channel_name(visit, e.channel_key) or gateway_name(visit, e.pg_provider) or e.channel_key, e.message, e.weight)
        for e in decision.exclusions
    )
    group = visit.who.routing.groups.get(decision.group_id or "")
    return Draw(
        mode=visit.say(*MODES.get(decision.mode, (decision.mode,) * 2)),
        parts=parts,
        point=None if decision.draw is None else decision.draw / total,
        left_out=left_out,
        group_id=decision.group_id,
        group_name=group.at(visit.deps.clock.now()).name if group else None,
        group_version=decision.group_version,
    )


def _cancel_event(visit: Visit, cancel: Cancellation) -> Event:
    status = CANCELS[cancel.state]
    return Event(cancel.requested_at, "cancel", visit.say("취소", "Cancel"), status.tone, cancel, status)


def _notice_event(visit: Visit, notice: Notice) -> Event:
    status = NOTICES.get(notice.state.value, Status((notice.state.value,) * 2))
    what = V1_STATUS.get(notice.status, (notice.status,) * 2)
    title = visit.say(f"웹훅: {what[0]}", f"Webhook: {what[1]}")
    return Event(notice.created_at, "notice", title, status.tone, notice, status)


def _audit_event(visit: Visit, entry: Audit) -> Event:
    text = ACTIONS.get(entry.action, (entry.action,) * 2)
    return Event(entry.at, "audit", visit.say(*text), "", entry)
