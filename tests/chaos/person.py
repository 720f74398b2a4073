"""The person who is called when no machine can know. Looks into the gateway's own books, and says what they show.

Comes late, and only to what is on the list. Before that, everything has to stand still: what is not known is held, told
as `ready`, and charged nowhere else; and whoever could have found out without a person must not have called one.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from chalicelib.domain.charging import Operation
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment, State
from chalicelib.domain.specs import GatewaySpec
from chalicelib.usecases import by_hand
from infra.sandbox.server import Cancel
from tests.chaos.invariants import Books
from tests.chaos.service import Service

COMES_AFTER_DAYS = 2
"""Longer than any unanswered charge can be undone."""
TRIES = 3
"""A person whose browser gets no answer looks once more."""
PARTS_ARE_UNTOLD = frozenset({"kicc", "paymentwall"})
"""Gateways that, asked about a charge, do not tell how much of it is left."""


def rest(s: Service) -> bool:
    """Let everything come to its end, with the help of a person where one is called. False: something never does."""
    s.quiet(COMES_AFTER_DAYS)
    for _ in range(TRIES):
        books = Books(s)
        waiting = [payment for payment in books.payments.values() if payment.is_open_question and payment.alarm]
        if not waiting:
            break
        s.clock.advance(hours=1)  # longer than any settling delay
        for payment in waiting:
            s.wrong += _called_wrongly(books, payment)
            _settle(s, payment)
        s.quiet(COMES_AFTER_DAYS)
    return s.quiet()


# --- is it right that a person was called? ------------------------------------------------------------------------


def _called_wrongly(books: Books, payment: Payment) -> Iterator[str]:
    s, uid = books.s, payment.imp_uid
    if _settles_alone(s, payment):
        yield f"a person was called about {uid}: {payment.alarm}"
    listed = by_hand.alarms(s.world.deps, s.world.merchant_id, "payment", 100, None).items
    if uid not in [item.imp_uid for item in listed]:
        yield f"{uid} calls a person, and is on no list"
    never_asked = not spec_of(s, payment).operations & {Operation.FIND, Operation.READ}
    if payment.open_cancel and never_asked and _cancels_sent(s, payment) > 1:
        yield f"a cancel of {uid} was sent again, and nobody can ask what became of the first one"
    if payment.awaits_void and never_asked and _cancels_sent(s, payment) < 2:
        yield f"the test charge {uid} was to be given back, and that was not tried again"
    if not payment.is_unsettled:
        return
    told = books.told[uid]
    if payment.v1_status != "ready" or {*told.answers, *told.webhooks} - {"ready"}:
        yield f"nobody knows what became of {uid}, and the merchant was told {told.answers} {told.webhooks}"
    orders = [order for order in books.items[Order] if uid in order.imp_uids]
    if [(order.is_open, order.imp_uids[-1]) for order in orders] != [(True, uid)]:
        yield f"nobody knows what became of {uid}, and its order is free"


def _settles_alone(s: Service, payment: Payment) -> bool:
    """By what its gateway declares: it can be asked about this, or undo it."""
    spec = spec_of(s, payment)
    if payment.open_cancel and Operation.PARTIAL_CANCEL in spec.operations and spec.provider in PARTS_ARE_UNTOLD:
        return False
    window = spec.net_cancel_window
    if payment.window:
        window = spec.windows.net_cancel_window if spec.windows else None
    not_tried = payment.state is not State.UNDOING
    undoes = payment.is_unsettled and window is not None and (not_tried or _age(s, payment) < window)
    return undoes or _can_be_asked(s, payment)


def _can_be_asked(s: Service, payment: Payment) -> bool:
    """By our order id, or by its own number, which it has told us in an answer or a notice."""
    spec = spec_of(s, payment)
    finds = Operation.FIND in spec.operations and (spec.find_window is None or _age(s, payment) < spec.find_window)
    return finds or (Operation.READ in spec.operations and _is_named(s, payment))


def _is_named(s: Service, payment: Payment) -> bool:
    """Going by what it has answered, and not only by what was kept of that."""
    attempt = payment.attempt
    answered = attempt.outcome == "pending" or (attempt.message or "").startswith("approved ")
    return answered or payment.gateway_ref is not None or attempt.order_id in s.noticed


def _age(s: Service, payment: Payment) -> timedelta:
    return s.clock.now() - payment.attempt.started_at


def _cancels_sent(s: Service, payment: Payment) -> int:
    return [call.name for call in s.tape.calls].count(f"{payment.attempt.pg_provider}.cancel")


def spec_of(s: Service, payment: Payment) -> GatewaySpec:
    return s.deps.gateways.spec_of(s.routing().channels[payment.attempt.channel_key])


# --- what the person does -----------------------------------------------------------------------------------------


def _settle(s: Service, payment: Payment) -> None:
    path = f"/admin/payments/{payment.imp_uid}"
    if cancel := payment.open_cancel:
        s.say(f"{path}/cancels/{cancel.cancel_id}/settle", **_of_cancel(s, payment))
    elif payment.awaits_void:
        _cancel_at_the_console(s, payment)
        s.say(f"{path}/settle", outcome="failed")
    else:
        s.say(f"{path}/settle", **_of_charge(s, payment))


def _of_charge(s: Service, payment: Payment) -> dict[str, str]:
    row = _in_the_books(s, payment)
    if row and row["balance"] == payment.request.amount.amount and payment.state is not State.UNDOING:
        return {"outcome": "paid", "pg_tid": row["pg_tid"]}
    _cancel_at_the_console(s, payment)
    return {"outcome": "failed"}


def _of_cancel(s: Service, payment: Payment) -> dict[str, str]:
    row, cancel = _in_the_books(s, payment), payment.open_cancel
    assert row
    assert cancel
    if row["balance"] == payment.balance.amount:
        return {"outcome": "failed"}
    if row["balance"] != (payment.balance - cancel.amount).amount:
        s.wrong.append(f"{cancel.cancel_id}: {row['balance']} left, of {payment.balance}, after {cancel.amount}")
    return {"outcome": "done", "pg_tid": row["cancels"][-1]["pg_tid"]}


def _in_the_books(s: Service, payment: Payment) -> dict[str, Any] | None:
    rows = s.world.sandboxes[payment.attempt.pg_provider].transactions()
    ours = [row for row in rows if row["order_id"] == payment.attempt.order_id and row["code"] is None]
    return ours[-1] if ours else None


def _cancel_at_the_console(s: Service, payment: Payment) -> None:
    simulator = s.world.sandboxes[payment.attempt.pg_provider].simulator
    for charge in simulator.books.charges:
        if charge.order_id != payment.attempt.order_id:
            continue
        if charge.unpaid == "waiting":
            charge.unpaid = "revoked"
        elif charge.balance:
            charge.cancels.append(Cancel("console", charge.pg_tid, charge.balance, s.clock.now().timestamp()))
