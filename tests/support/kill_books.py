"""Our books, read from the table; the gateways', read from the simulators; and what must be true of both."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib.domain.keys import BillingKey
from chalicelib.domain.notices import Notice, NoticeState
from chalicelib.domain.orders import Booking, Order, ScheduleState
from chalicelib.domain.payments import CancelState, Payment, State
from chalicelib.storage.items import from_item
from tests.support.kill import Ledger
from tests.support.local_service import Hook, ask

KINDS = {"payment": Payment, "order": Order, "notice": Notice, "booking": Booking, "key": BillingKey}
ENDS = {
    "captured": {State.PAID},
    "partially_cancelled": {State.PAID},
    "cancelled": {State.PAID},
    "declined": {State.FAILED},
    "waiting": {State.WAITING},
    "expired": {State.FAILED},
    "revoked": {State.REVOKED},
}
"""State at the gateway -> ours."""


@dataclass(frozen=True, slots=True)
class Books:
    payments: dict[str, Payment]
    """By imp_uid."""
    orders: dict[str, Order]
    """By merchant_uid."""
    notices: list[Notice]
    bookings: list[Booking]
    customers: set[str]
    gateways: list[dict[str, Any]]
    """All transactions of all simulators."""

    def at_gateway(self, payment: Payment) -> list[dict[str, Any]]:
        """What the gateways have of all its attempts."""
        order_ids = {attempt.order_id for attempt in payment.attempts}
        return [entry for entry in self.gateways if entry["order_id"] in order_ids]


def read(dynamodb: Any, gateways: dict[str, str]) -> Books:
    [table] = dynamodb.list_tables()["TableNames"]
    found: dict[str, list[Any]] = {sk: [] for sk in KINDS}
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            if item["sk"]["S"] in found:
                found[item["sk"]["S"]].append(from_item(KINDS[item["sk"]["S"]], item))
    return Books(
        {payment.imp_uid: payment for payment in found["payment"]},
        {order.merchant_uid: order for order in found["order"]},
        found["notice"],
        found["booking"],
        {key.customer_uid for key in found["key"]},
        [entry for url in gateways.values() for entry in ask(f"{url}/_sandbox/transactions")[1]],
    )


def unfinished(books: Books) -> list[str]:
    """What somebody still has to do. A waiting account and a look at what has failed long ago are not among it."""
    now = datetime.now(UTC)
    return [
        *(f"{p.imp_uid} is {p.state}" for p in books.payments.values() if p.is_unsettled or p.state is State.REVOKING),
        *(f"{p.imp_uid} has an open cancel" for p in books.payments.values() if p.open_cancel),
        *(f"{p.imp_uid} was paid into" for p in books.payments.values() if _was_paid_into(books, p)),
        *(f"{o.merchant_uid} is reserved for {o.schedule.schedule_at}" for o in books.orders.values() if o.is_reserved),
        *(f"{n.notice_id} is pending" for n in books.notices if n.state is NoticeState.PENDING),
        *(f"booking {b.booking_id}" for b in books.bookings if b.due_at > now),
    ]


def _was_paid_into(books: Books, payment: Payment) -> bool:
    return payment.state is State.WAITING and any(t["balance"] for t in books.at_gateway(payment))


def differences(books: Books, ledger: Ledger, hook: Hook) -> list[str]:
    """Everything that is not as it must be; empty if all is well."""
    return [
        *_with_gateways(books),
        *_with_what_was_told(books, ledger),
        *_of_schedules(books, ledger),
        *_of_webhooks(books, ledger, hook),
        *(f"booking {b.booking_id} was left behind" for b in books.bookings),
        *(f"{p.imp_uid} calls for a person: {p.alarm}" for p in books.payments.values() if p.alarm),
    ]


def _with_gateways(books: Books) -> Iterator[str]:
    ours = {a.order_id: p for p in books.payments.values() for a in p.attempts}
    live: dict[str, list[str]] = {}
    for entry in books.gateways:
        payment = ours.get(entry["order_id"])
        if payment is None:
            yield f"{entry['order_id']} is at the gateway and not with us"
            continue
        if payment.state not in ENDS[entry["state"]] and entry["order_id"] == payment.attempt.order_id:
            yield f"{payment.imp_uid} is {payment.state}, at the gateway {entry['state']}"
        if entry["balance"]:
            live.setdefault(payment.request.merchant_uid, []).append(entry["order_id"])
    for uid, order_ids in live.items():
        if len(order_ids) > 1:
            yield f"{uid} was charged more than once: {order_ids}"
    for payment in books.payments.values():
        balance = payment.balance.amount if payment.state is State.PAID else 0
        there = sum(entry["balance"] for entry in books.at_gateway(payment))
        if there != balance:
            yield f"{payment.imp_uid} ({payment.state}) has {balance} left, at the gateway {there}"
        held = books.orders.get(payment.request.merchant_uid)
        if held is None or payment.imp_uid not in held.imp_uids:
            yield f"{payment.imp_uid} belongs to no order"
        elif held.imp_uids[-1] == payment.imp_uid and held.is_open is not payment.is_open:
            yield f"{payment.imp_uid} is {payment.state}, and its order's is_open is {held.is_open}"


def _with_what_was_told(books: Books, ledger: Ledger) -> Iterator[str]:
    states = {"paid": {State.PAID}, "cancelled": {State.PAID, State.REVOKED}, "failed": {State.FAILED}}
    for status, imp_uids in ledger.told.items():
        for imp_uid in imp_uids:
            payment = books.payments.get(imp_uid)
            if payment is None or payment.state not in states.get(status, set(State)):
                yield f"{imp_uid} was told {status}, and is {payment and payment.state}"
    for imp_uid, amount in ledger.cancelled.items():
        if books.payments[imp_uid].cancelled_amount.amount < amount:
            yield f"{imp_uid}: {amount} were said to be given back"
    for imp_uid in ledger.deposited:
        if books.payments[imp_uid].state is not State.PAID:
            yield f"{imp_uid} was paid into, and is {books.payments[imp_uid].state}"
    yield from (f"the key of {uid} is not there" for uid in ledger.customers - books.customers)
    yield from (f"answered {entry}" for entry in ledger.broken)


def _of_schedules(books: Books, ledger: Ledger) -> Iterator[str]:
    yield from (f"{uid} was reserved and is not there" for uid in ledger.booked - set(books.orders))
    for order in books.orders.values():
        schedule = order.schedule
        if schedule is None:
            continue
        if schedule.state is not ScheduleState.EXECUTED or not order.imp_uids:
            yield f"{order.merchant_uid} did not run: {schedule.state}"
            continue
        made = [books.payments[imp_uid] for imp_uid in order.imp_uids]
        if made[-1].state is not State.PAID or any(payment.state is not State.FAILED for payment in made[:-1]):
            yield f"{order.merchant_uid} ran as {[payment.state.value for payment in made]}"
        if made[0].started_at < schedule.schedule_at:
            yield f"{order.merchant_uid} ran too early"


def _of_webhooks(books: Books, ledger: Ledger, hook: Hook) -> Iterator[str]:
    heard = {_event(json.loads(body)) for _, body in hook.messages}
    ended = (NoticeState.DELIVERED, NoticeState.SUPERSEDED)
    yield from (f"{n.notice_id} ended as {n.state}" for n in books.notices if n.state not in ended)
    superseded = {(n.imp_uid, n.status, n.cancellation_id) for n in books.notices if n.state is NoticeState.SUPERSEDED}
    for imp_uid, *_ in superseded:
        last = max((n for n in books.notices if n.imp_uid == imp_uid), key=lambda notice: notice.created_at)
        # Who has an account revoked hears of it in the answer: its `ready`, if that was late, is simply not sent.
        answered = last.status == "ready" and books.payments[imp_uid].state is State.REVOKED
        if last.state is not NoticeState.DELIVERED and not answered:
            yield f"{imp_uid}: its last webhook is {last.state}"
    for payment in books.payments.values():
        for status, cancellation_id in _to_be_told(books, payment, ledger):
            if (payment.imp_uid, status, cancellation_id) not in heard | superseded:
                yield f"{payment.imp_uid}: no webhook said {status} {cancellation_id or ''}"


def _event(body: dict[str, Any]) -> tuple[str, str, str | None]:
    return body["imp_uid"], body["status"], body.get("cancellation_id")


def _to_be_told(books: Books, payment: Payment, ledger: Ledger) -> Iterator[tuple[str, str | None]]:
    """(status, cancellation_id). A charge that failed is told to its caller, unless it was `ready` at first; a reserved
    one that was never sent, and so ran once more, is not told at all.
    """
    if payment.state is State.PAID:
        yield "paid", None
    ran_last = payment.scheduled and books.orders[payment.request.merchant_uid].imp_uids[-1] == payment.imp_uid
    told_ready = payment.imp_uid in ledger.told.get("ready", set())
    if payment.state is State.FAILED and (ran_last or told_ready):
        yield "failed", None
    for cancel in payment.cancels:
        if cancel.state is CancelState.DONE and cancel.notify:
            yield "cancelled", cancel.cancel_id
