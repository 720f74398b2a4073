"""What has to be true when nothing is left to do, whatever broke on the way: our tables, the gateways', the merchant's."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from chalicelib.domain.keys import BillingKey
from chalicelib.domain.merchants import Routing
from chalicelib.domain.notices import Notice, NoticeState
from chalicelib.domain.orders import Booking, Order, Schedule, ScheduleState
from chalicelib.domain.payments import Payment, State, imp_uid_of
from chalicelib.domain.receipts import CashReceipt
from chalicelib.storage.items import from_item
from chalicelib.usecases.notifying import PAUSES
from chalicelib.usecases.vault import open_key
from tests.chaos.faults import Fault
from tests.chaos.service import Answer, Service

CARD_NUMBERS = ("4242424242424242", "4242-4242-4242-4242", "4000000000000002", "4000-0000-0000-0002")
HELD = ("captured", "partially_cancelled")
BY_KEY = {"payment": Payment, "order": Order, "notice": Notice, "booking": Booking, "key": BillingKey,
          "receipt": CashReceipt, "routing": Routing}  # fmt: skip


@dataclass(slots=True)
class Told:
    """What the merchant knows of one payment: statuses by answers and by webhooks, in their order; its cancels' ids."""

    answers: list[str] = field(default_factory=list)
    webhooks: list[str] = field(default_factory=list)
    cancels: set[str] = field(default_factory=set)


class Books:
    """Both sides' tables, read once."""

    def __init__(self, s: Service) -> None:
        self.s = s
        self.items: dict[type[Any], list[Any]] = {kind: [] for kind in BY_KEY.values()}
        for (_, sk), item in s.world.store.items.items():
            if kind := BY_KEY.get(sk):
                self.items[kind].append(from_item(kind, item))
        self.transactions = [
            {**row, "provider": name} for name, box in s.world.sandboxes.items() for row in box.transactions()
        ]
        self.receipts = [row for box in s.world.sandboxes.values() for row in box.receipts()]
        self.webhooks = [(headers["webhook-id"], json.loads(body)) for _, body, headers in s.world.sender.sent]

    @cached_property
    def payments(self) -> dict[str, Payment]:
        return {payment.imp_uid: payment for payment in self.items[Payment]}

    @cached_property
    def told(self) -> dict[str, Told]:
        told = {imp_uid: Told(["failed"] if imp_uid in self.s.refused else []) for imp_uid in self.payments}
        for answer in self.s.answers:
            _hear(told, answer)
        for _, body in self.webhooks:
            if body["imp_uid"] in told:
                told[body["imp_uid"]].webhooks.append(body["status"])
                told[body["imp_uid"]].cancels.add(body.get("cancellation_id", ""))
        return told


def _hear(told: dict[str, Told], answer: Answer) -> None:
    shown = answer.body.get("response") if isinstance(answer.body, dict) else None
    if not isinstance(shown, dict) or shown.get("imp_uid") not in told:
        return
    one = told[shown["imp_uid"]]
    if "status" in shown:
        one.answers.append(shown["status"])
        one.cancels.update(entry["cancellation_id"] for entry in shown["cancel_history"])


def violations(s: Service, *, quiet: bool, at_crash: dict[str, str]) -> list[str]:
    """All that is wrong. at_crash: the status that each payment had on record when the act's answer was cut off."""
    books = Books(s)
    found = [*s.wrong] if quiet else [*s.wrong, "something is due for ever"]
    for check in CHECKS:
        found += check(books)
    found += everybody_told(books, at_crash)
    found += lists_agree(books)
    return found


def statuses(s: Service) -> dict[str, str]:
    return {payment.imp_uid: payment.v1_status for payment in Books(s).payments.values()}


def one_charge(books: Books) -> Iterator[str]:
    """For each merchant_uid at most one captured, uncancelled transaction over all gateways; of test charges none."""
    held: Counter[str] = Counter()
    for row in books.transactions:
        payment = books.payments.get(imp_uid_of(row["order_id"]) or "")
        if payment and row["state"] in HELD:
            held[payment.request.merchant_uid] += 1
            if payment.to_be_voided or payment.request.merchant_uid.startswith("check"):
                yield f"the test charge {row['order_id']} was not given back"
    yield from (f"{uid} is charged {n} times" for uid, n in held.items() if n > 1)


def same_sums(books: Books) -> Iterator[str]:
    """Every transaction belongs to a payment of ours, and what we say is left of it is what the gateways hold."""
    sums: Counter[str] = Counter()
    for row in books.transactions:
        imp_uid = imp_uid_of(row["order_id"]) or ""
        sums[imp_uid] += row["balance"]
        payment = books.payments.get(imp_uid)
        if payment is None or row["order_id"] not in [attempt.order_id for attempt in payment.attempts]:
            yield f"{row['provider']} has {row['order_id']} ({row['state']}), and we do not"
        if payment and row["state"] == "waiting" and payment.state is not State.WAITING:
            yield f"{row['order_id']} can still be paid into, and is {payment.state} here"
    for imp_uid, payment in books.payments.items():
        ours = payment.balance.amount if payment.state is State.PAID else 0
        if ours != sums[imp_uid]:
            yield f"{payment.state} {imp_uid}: {ours} here, {sums[imp_uid]} at the gateways"


def nothing_stuck(books: Books) -> Iterator[str]:
    for payment in books.payments.values():
        if payment.state not in (State.PAID, State.FAILED, State.REVOKED):
            yield f"{payment.imp_uid} is {payment.state}"
        if payment.due_at or payment.open_cancel or payment.awaits_void:
            yield f"{payment.imp_uid} has something open"
    for order in books.items[Order]:
        live = [uid for uid in order.imp_uids if books.payments[uid].is_open]
        if order.is_open != bool(live) or len(live) > 1:
            yield f"order {order.merchant_uid} is {'taken' if order.is_open else 'free'} by {live}"
        if not order.imp_uids and order.schedule is None:
            yield f"order {order.merchant_uid} is nothing"
    yield from (f"booking {booking.booking_id} was left" for booking in books.items[Booking])


def no_false_alarms(books: Books) -> Iterator[str]:
    """Nobody is called, or left called, but for what comes after everybody has stopped waiting for it.

    Whoever had to come, since no machine could know, has been there (tests.chaos.person).
    """
    if Fault.VERY_LATE in books.s.tape.broken:
        return
    for payment in books.payments.values():
        if payment.alarm:
            yield f"a person was called about {payment.imp_uid}: {payment.alarm}"


def schedules_spent(books: Books) -> Iterator[str]:
    """Each has run, and shows what came of it, or was revoked."""
    for order in books.items[Order]:
        schedule = order.schedule
        if schedule is None:
            continue
        if schedule.state is ScheduleState.SCHEDULED:
            yield f"{order.merchant_uid} is still reserved"
        if schedule.state is ScheduleState.EXECUTED:
            payment = books.payments.get(schedule.imp_uid or "")
            if payment is None or order.imp_uids[-1] != schedule.imp_uid:
                yield f"{order.merchant_uid} has run without a payment"
            elif schedule.payment_status != payment.v1_status:
                yield f"{order.merchant_uid} shows {schedule.payment_status}, its payment {payment.v1_status}"


def receipts_agree(books: Books) -> Iterator[str]:
    """At most one valid receipt for one thing paid, and we say the same of it as the gateway."""
    valid = Counter(row["order_id"] for row in books.receipts if row["cancelled_at"] is None)
    known = {attempt.order_id for receipt in books.items[CashReceipt] for attempt in receipt.attempts}
    yield from (f"the receipt {order_id} is not ours" for order_id in valid if order_id not in known)
    for receipt in books.items[CashReceipt]:
        there = sum(valid[attempt.order_id] for attempt in receipt.attempts)
        if there > 1:
            yield f"{receipt.subject_id} has {there} receipts"
        if not receipt.current.is_open and receipt.is_valid != bool(there):
            yield f"receipt of {receipt.subject_id}: {receipt.current.state} here, {there} at the gateway"


def keys_work(books: Books) -> Iterator[str]:
    """A key that we say is there opens."""
    for routing in books.items[Routing]:
        for key in books.items[BillingKey]:
            for channel in key.channels:
                open_key(books.s.world.deps, routing, key, channel)
    return iter(())


def everybody_told(books: Books, at_crash: dict[str, str]) -> Iterator[str]:
    """Whoever was not told how it ended by an answer got a webhook that says it; and the last webhook is right."""
    for imp_uid, payment in books.payments.items():
        told, final = books.told[imp_uid], payment.v1_status
        if payment.to_be_voided:
            continue
        excused = _answer_was_cut_off(final, at_crash.get(imp_uid)) or _run_again(books, payment)
        excused = excused or _came_to_nothing(payment, told)
        if final not in told.answers + told.webhooks and not excused:
            yield f"nobody was told that {imp_uid} is {final}: {told.answers} in answers, {told.webhooks} in webhooks"
        if final not in [*told.answers, *told.webhooks[-1:]] and told.webhooks and not excused:
            yield f"the last webhook of {imp_uid} says {told.webhooks[-1]}, and it is {final}"
        if "paid" in told.webhooks + told.answers and not payment.paid_at:
            yield f"{imp_uid} was called paid"
        if payment.window and "failed" in told.answers and final != "failed":
            yield f"the buyer was told that {imp_uid} has failed, and it is {final}"
    for imp_uid, cancel_id in books.s.promised:
        if cancel_id and cancel_id not in books.told[imp_uid].cancels:
            yield f"nobody was told how the cancel {cancel_id} ended"
    for notice in books.items[Notice]:
        given_up = notice.state is NoticeState.DEAD and notice.tries > len(PAUSES)  # a person was called
        if not given_up and notice.state not in (NoticeState.DELIVERED, NoticeState.SUPERSEDED):
            yield f"webhook {notice.status} of {notice.imp_uid} is {notice.state}"
    ids = {webhook_id for webhook_id, _ in books.webhooks}
    known = {notice.notice_id for notice in books.items[Notice]}
    delivered = {notice.notice_id for notice in books.items[Notice] if notice.state is NoticeState.DELIVERED}
    yield from (f"webhook {webhook_id} belongs to nothing" for webhook_id in ids - known)
    yield from (f"webhook {webhook_id} is called delivered and never arrived" for webhook_id in delivered - ids)


def _answer_was_cut_off(final: str, at_crash: str | None) -> bool:
    """The process died when the outcome was on record and before it was answered.

    V1 sends no webhook for what its answer tells: the refusal of a charge, a cancel, a revoke by API. The merchant
    whose connection broke looks the payment up, or repeats its call.
    """
    return final in ("failed", "cancelled") and at_crash == final


def _came_to_nothing(payment: Payment, told: Told) -> bool:
    """V1 sends no webhook for a window that came to nothing. Whoever waits for a result, or has heard one, is told."""
    return payment.window is not None and payment.v1_status == "failed" and not {*told.answers} - {"failed"}


def _run_again(books: Books, payment: Payment) -> bool:
    """A reserved payment whose worker died before it sent anything: another was made in its place, and is told."""
    [schedule] = [o.schedule for o in books.items[Order] if payment.imp_uid in o.imp_uids] or [None]
    return bool(schedule and schedule.restarts and payment.imp_uid != schedule.imp_uid)


def lists_agree(books: Books) -> Iterator[str]:
    """MemoryStore compares its counters with what is there when a list is read."""
    store, m = books.s.world.store, books.s.world.merchant_id
    until = int(datetime(2099, 1, 1, tzinfo=books.s.clock.now().tzinfo).timestamp())
    lists = [(Payment, "payments", s) for s in ("ready", "paid", "cancelled", "failed")]
    lists += [(Order, "schedules", s) for s in ScheduleState]
    listed: Counter[type[Any]] = Counter()
    for kind, name, facet in lists:
        try:
            listed[kind] += store.page(kind, [(m, name, facet)], 0, until, offset=0, limit=0).total
        except AssertionError as error:
            yield f"the counter of {error} is wrong"
    if listed[Payment] != len(books.payments):
        yield f"{len(books.payments)} payments, {listed[Payment]} in lists"


def no_errors(books: Books) -> Iterator[str]:
    yield from (f"answered {a.status} {a.body}" for a in books.s.answers if a.status == 500)


def secrets(books: Books) -> Iterator[str]:
    s = books.s
    told = " ".join(body.decode() for _, body, _ in s.world.sender.sent)
    places = {"the table": s.world.store.texts(), "a webhook": told, "the log": s.log.getvalue(),
              "a message": str(s.delivered), "an answer": str(s.answers)}  # fmt: skip
    for place, text in places.items():
        yield from (f"a card number is in {place}" for number in CARD_NUMBERS if number in text)


def _shown(schedule: Schedule | None) -> tuple[str, str]:
    return (schedule.state, schedule.payment_status or "") if schedule else ("", "")


def end(s: Service) -> dict[str, Any]:
    """How it ended, without times and ids: the same end for the same story, however its messages came."""
    books = Books(s)
    uids = {imp_uid: payment.request.merchant_uid for imp_uid, payment in books.payments.items()}
    told = {webhook_id: (uids[body["imp_uid"]], body["status"]) for webhook_id, body in books.webhooks}
    return {
        "payments": sorted((p.request.merchant_uid, p.v1_status, p.balance.amount) for p in books.payments.values()),
        "orders": sorted((o.merchant_uid, o.is_open, _shown(o.schedule)) for o in books.items[Order]),
        "keys": sorted((key.customer_uid, len(key.channels)) for key in books.items[BillingKey]),
        "gateways": sorted(
            (row["provider"], row["state"], row["amount"], row["balance"]) for row in books.transactions
        ),
        "webhooks": sorted(told.values()),
    }


CHECKS = (
    one_charge, same_sums, nothing_stuck, no_false_alarms, schedules_spent, receipts_agree, keys_work, no_errors, secrets,
)  # fmt: skip
