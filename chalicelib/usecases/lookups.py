"""Finding payments, billing keys and reserved payments.

By id, reads see every finished write: clients look up in their webhook handler. Lists may trail a moment, and one page
of them costs the same however much is stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, NotFound
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.orders import Booking, Order, ScheduleState
from chalicelib.domain.payments import Payment
from chalicelib.ports import Deps, Listing, Ref, TooMany
from chalicelib.usecases.billing_keys import unknown_key

UNKNOWN_PAYMENT = "존재하지 않는 결제정보입니다."
STATUSES = ("ready", "paid", "failed", "cancelled")
POSITIONS = {"started": 1, "paid": 2, "updated": 3}
"""Of the times in the sort key of the lists of payments; 0 is that of the status (storage.items)."""
EVER = 10**11
"""Later than any payment."""

SORTINGS: dict[str, Callable[[Payment], datetime]] = {
    "started": lambda p: p.started_at,
    "paid": lambda p: p.paid_at or p.started_at,
    "updated": lambda p: p.updated_at,
}


def by_imp_uid(deps: Deps, merchant_id: str, imp_uid: str, *, include_sandbox: bool = True) -> Payment:
    payment = deps.store.load(Ref(Payment, (merchant_id, imp_uid)))
    if payment is None or not _visible(payment, include_sandbox=include_sandbox):
        raise NotFound(UNKNOWN_PAYMENT)
    return payment


def by_merchant_uid(
    deps: Deps, merchant_id: str, merchant_uid: str, *, include_sandbox: bool = True
) -> Sequence[Payment]:
    """All payments under one merchant_uid, newest first. Raises NotFound if there is none."""
    order = deps.store.load(Ref(Order, (merchant_id, merchant_uid)))
    refs = [Ref(Payment, (merchant_id, imp_uid)) for imp_uid in reversed(order.imp_uids)] if order else []
    found = [p for p in deps.store.load_many(refs) if p and _visible(p, include_sandbox=include_sandbox)]
    if not found:
        raise NotFound(UNKNOWN_PAYMENT)
    return found


def _visible(payment: Payment, *, include_sandbox: bool) -> bool:
    return include_sandbox or payment.environment is Environment.LIVE


def sort(payments: Sequence[Payment], sorting: str) -> list[Payment]:
    """V1's `sorting`: started, paid or updated; a minus in front means newest first."""
    key = SORTINGS.get(sorting.removeprefix("-"))
    if key is None:
        names = ", ".join(f"{sign}{name}" for name in SORTINGS for sign in ("", "-"))
        raise InvalidRequest("sorting", f"sorting: 다음 중 하나여야 합니다: {names} (one of these)")
    return sorted(payments, key=key, reverse=sorting.startswith("-"))


@dataclass(frozen=True, slots=True)
class Numbered:
    """Which page of a list: entries offset.., at most limit of them."""

    offset: int = 0
    limit: int = 20


def check_page(total: int, wanted: Numbered) -> None:
    """V1: a page beyond the data is a bad parameter. The first page of nothing is just empty."""
    if wanted.offset and wanted.offset >= total:
        raise InvalidRequest("page", f"page: 데이터 범위를 넘어선 페이지입니다 ({total}건). (beyond the data)")


def numbered(entries: Sequence[Payment], wanted: Numbered) -> Listing[Payment]:
    found = Listing(tuple(entries[wanted.offset : wanted.offset + wanted.limit]), len(entries))
    check_page(found.total, wanted)
    return found


def many_payments(
    deps: Deps, merchant_id: str, imp_uids: Sequence[str], merchant_uids: Sequence[str]
) -> tuple[list[Payment], bool]:
    """The payments named, in that order, of a merchant_uid the newest; and whether all were found. Raises NotFound."""
    orders = deps.store.load_many([Ref(Order, (merchant_id, uid)) for uid in dict.fromkeys(merchant_uids)])
    newest = [order.imp_uids[-1] if order and order.imp_uids else None for order in orders]
    wanted = list(dict.fromkeys([*imp_uids, *newest]))
    found = deps.store.load_many([Ref(Payment, (merchant_id, uid)) for uid in wanted if uid])
    payments = [payment for payment in found if payment]
    if not payments:
        raise NotFound(UNKNOWN_PAYMENT)
    return payments, None not in newest and None not in found


def by_status(
    deps: Deps, merchant_id: str, status: str, span: tuple[int, int], wanted: Numbered, sorting: str | None = None
) -> tuple[Listing[Payment], bool]:
    """One page of the payments that reached their status in the span; and whether they are in the order asked for.

    status: one of STATUSES, or all. sorting None: newest first, by the time they reached their status. Other orders
    are made as long as the span does not hold too many; beyond that the order stays that of the status's time.
    """
    lists = [(merchant_id, "payments", facet) for facet in (STATUSES if status == "all" else (status,))]
    name = (sorting or "").removeprefix("-")
    newest_first = sorting is None or sorting.startswith("-")
    by = 0 if not name or (name, status) in (("started", "ready"), ("paid", "paid")) else POSITIONS[name]
    in_order = True
    page = partial(
        deps.store.page, Payment, lists, *span, offset=wanted.offset, limit=wanted.limit, newest_first=newest_first
    )
    try:
        found = page(by=by)
    except TooMany:
        found, in_order = page(), False
    check_page(found.total, wanted)
    return found, in_order


def of_customer(deps: Deps, merchant_id: str, customer_uid: str, wanted: Numbered) -> Listing[Payment]:
    """A customer's payments, newest first. Raises NotFound for a customer_uid with neither key nor payments."""
    owner = (merchant_id, "payments_of", customer_uid)
    found = deps.store.page_of(Payment, owner, 0, EVER, offset=wanted.offset, limit=wanted.limit)
    if not found.total and deps.store.load(Ref(BillingKey, (merchant_id, customer_uid))) is None:
        raise NotFound(unknown_key(customer_uid).message)
    check_page(found.total, wanted)
    return found


def many_keys(deps: Deps, merchant_id: str, customer_uids: Sequence[str]) -> tuple[list[BillingKey], bool]:
    """The keys named, in that order; and whether all were found. Raises NotFound if none was."""
    found = deps.store.load_many([Ref(BillingKey, (merchant_id, uid)) for uid in dict.fromkeys(customer_uids)])
    keys = [key for key in found if key]
    if not keys:
        raise NotFound(unknown_key(customer_uids[0]).message)
    return keys, len(keys) == len(found)


def schedules(
    deps: Deps, merchant_id: str, state: str | None, span: tuple[int, int], wanted: Numbered, *, newest_first: bool
) -> Listing[Order]:
    """Reserved payments by the time they are reserved for."""
    lists = [(merchant_id, "schedules", facet) for facet in ([state] if state else ScheduleState)]
    found = deps.store.page(Order, lists, *span, offset=wanted.offset, limit=wanted.limit, newest_first=newest_first)
    return _in_force(deps, merchant_id, found, wanted)


def schedules_of_customer(
    deps: Deps, merchant_id: str, customer_uid: str, state: str | None, span: tuple[int, int], wanted: Numbered
) -> Listing[Order]:
    owner = (merchant_id, "schedules_of", customer_uid)
    found = deps.store.page_of(Order, owner, *span, offset=wanted.offset, limit=wanted.limit, facet=state)
    return _in_force(deps, merchant_id, found, wanted)


def _in_force(deps: Deps, merchant_id: str, found: Listing[Order], wanted: Numbered) -> Listing[Order]:
    """Without the entries of a call that is still being booked, or died half-way."""
    check_page(found.total, wanted)
    ids = sorted({o.schedule.booking_id for o in found.items if o.schedule and o.schedule.booking_id})
    bookings = deps.store.load_many([Ref(Booking, (merchant_id, booking_id)) for booking_id in ids])
    open_ids = {booking.booking_id for booking in bookings if booking}
    shown = tuple(o for o in found.items if o.schedule and o.schedule.booking_id not in open_ids)
    return Listing(shown, found.total)
