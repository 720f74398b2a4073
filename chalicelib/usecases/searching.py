"""Finding payments for a person who has some id of it, or only knows roughly what it was.

An id may be ours, the merchant's or the gateway's: all that could be meant are looked up by their keys. Lists know
their time and their status only; what else somebody asks for is picked from them, page by page, up to a bound.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.notices import Notice
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment
from chalicelib.ports import Deps, Ref
from chalicelib.usecases.lookups import EVER, STATUSES, Numbered, by_status
from chalicelib.usecases.parallel import at_once

MOST_SHOWN = 50
"""Of one order, or of one customer: the newest."""
BATCH = 100
MOST_READ = 1000
"""Payments that are looked at for one page of those that fit."""

_OURS = re.compile(r"imp_?([0-9]{12})(?:[acr][0-9]{1,4}){0,2}(?:v[0-9]{1,4})?")
"""An imp_uid, and what is made of one: order ids (a), cancels (c), cash receipts (r), voids (v)."""


@dataclass(frozen=True, slots=True)
class Found:
    """payments: newest first, each once. key: if the text is a customer_uid. order: if it is an order's number.

    of_customer: how many payments that customer has in all.
    """

    payments: tuple[Payment, ...]
    key: BillingKey | None = None
    order: Order | None = None
    of_customer: int = 0

    @property
    def is_nothing(self) -> bool:
        return not self.payments and self.key is None and self.order is None


def find(deps: Deps, merchant_id: str, text: str) -> Found:
    """All that this id may mean. Raises InvalidRequest for no text."""
    text = text.strip()
    if not text:
        raise InvalidRequest("q", "q: 찾을 번호를 입력해 주세요. (enter what to look for)")
    store = deps.store
    match = _OURS.fullmatch(text)
    imp_uid = f"imp_{match[1]}" if match else text
    payment, order, key = store.load(
        Ref(Payment, (merchant_id, imp_uid)), Ref(Order, (merchant_id, text)), Ref(BillingKey, (merchant_id, text))
    )
    if payment and not (order or key):  # which may be called like somebody's payment
        return Found((payment,))
    owner = (merchant_id, "payments_of", text)
    customers = store.page_of(Payment, owner, 0, EVER, offset=0, limit=MOST_SHOWN)
    found = [
        *([payment] if payment else ()),
        *_of_order(deps, order),
        *store.by_ref(Payment, merchant_id, text),
        *customers.items,
        *_of_webhook(deps, merchant_id, text),
    ]
    distinct = {payment.imp_uid: payment for payment in found}
    newest_first = sorted(distinct.values(), key=lambda payment: payment.started_at, reverse=True)
    return Found(tuple(newest_first), key, order, customers.total)


def _of_order(deps: Deps, order: Order | None) -> list[Payment]:
    imp_uids = order.imp_uids[-MOST_SHOWN:] if order else ()
    refs = [Ref(Payment, (order.merchant_id, imp_uid)) for imp_uid in imp_uids if order]
    return [payment for payment in deps.store.load_many(refs) if payment] if refs else []


def _of_webhook(deps: Deps, merchant_id: str, text: str) -> list[Payment]:
    if not text.startswith("wh_"):
        return []
    notice = deps.store.load(Ref(Notice, (merchant_id, text)))
    payment = deps.store.load(Ref(Payment, (merchant_id, notice.imp_uid))) if notice else None
    return [payment] if payment else []


# --- lists --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """What the lists do not know. lowest, highest: major units of the payment's currency; None = whatever it is."""

    environment: Environment | None = None
    pg_provider: str | None = None
    lowest: Decimal | None = None
    highest: Decimal | None = None

    def fits(self, payment: Payment) -> bool:
        if self.environment not in (None, payment.environment):
            return False
        last = payment.last_attempt
        if self.pg_provider and (last is None or last.pg_provider != self.pg_provider):
            return False
        amount = payment.request.amount.to_decimal()
        return (self.lowest is None or amount >= self.lowest) and (self.highest is None or amount <= self.highest)


@dataclass(frozen=True, slots=True)
class Picked:
    """read: how many payments were looked at for it. next_offset: where in the list to go on; None = it is at its end.

    gave_up: the bound was reached before the page was full.
    """

    payments: tuple[Payment, ...]
    read: int
    next_offset: int | None
    gave_up: bool = False


def pick(
    deps: Deps, merchant_id: str, status: str, span: tuple[int, int], wanted: Filter, page: Numbered
) -> Picked:  # fmt: skip
    """Of the payments that reached their status in the span, newest first, those that fit: at most page.limit.

    status: one of STATUSES, or all. page.offset: in the list as it is stored, not of those that fit. Raises
    InvalidRequest for an offset beyond the list.
    """
    picked: list[Payment] = []
    at = page.offset
    while at - page.offset < MOST_READ:
        listing, _ = by_status(deps, merchant_id, status, span, Numbered(at, BATCH))
        for place, payment in enumerate(listing.items):
            if len(picked) == page.limit:
                return Picked(tuple(picked), at + place - page.offset, at + place)
            if wanted.fits(payment):
                picked.append(payment)
        at += BATCH
        if at >= listing.total:
            return Picked(tuple(picked), listing.total - page.offset, None)
    return Picked(tuple(picked), at - page.offset, at, gave_up=True)


def totals(deps: Deps, merchant_id: str, span: tuple[int, int]) -> dict[str, int]:
    """How many payments reached each of STATUSES in the span, live and test together."""

    def total(status: str) -> int:
        return sum(deps.store.hourly([(merchant_id, "payments", status)], *span).values())

    numbers: Sequence[int] = at_once(lambda n: total(STATUSES[n]), range(len(STATUSES)))
    return dict(zip(STATUSES, numbers, strict=True))
