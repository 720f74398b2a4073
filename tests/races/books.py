"""What the table and the simulators say when a race is over."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from chalicelib.container import SystemClock
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment
from chalicelib.ports import Ref
from chalicelib.usecases import settling


def order(world, uid):
    return world.store.load(Ref(Order, (world.merchant_id, uid)))


def payment(world, imp_uid):
    return world.store.load(Ref(Payment, (world.merchant_id, imp_uid)))


def payments(world, uid):
    """All that were made under one merchant_uid, the live one last."""
    return [payment(world, imp_uid) for imp_uid in order(world, uid).imp_uids]


def transactions(world):
    """What the gateways have approved, by order id, however little is left of it."""
    return {
        t["order_id"]: t for box in world.sandboxes.values() for t in box.transactions() if t["state"] != "declined"
    }


def live_captures(world):
    """Which order ids hold money at a gateway, and how often."""
    return Counter(t["order_id"] for t in world.captured())


def check_one_charge_each(world, uids):
    """Each merchant_uid has one payment that is paid, the gateways have its money once, and nothing else."""
    paid = [payments(world, uid)[-1] for uid in uids]
    assert [p.v1_status for p in paid] == ["paid"] * len(uids)
    assert live_captures(world) == {p.attempt.order_id: 1 for p in paid}
    assert all(order(world, uid).is_open for uid in uids)


def check_balance(world, paid):
    """What is left of a payment is the same in both books."""
    there = transactions(world)[paid.attempt.order_id]
    assert (there["amount"], there["balance"]) == (paid.request.amount.amount, paid.balance.amount)


def make_due(world, paid):
    """Its next look is due as of a second ago."""
    past = SystemClock().now() - timedelta(seconds=1)
    return world.store.commit(replace(payment(world, paid.imp_uid), due_at=past))[0]


def settle_now(world, imp_uid, looks=6):
    """Let the timer look until nothing is due any more; however far ahead that is."""
    for _ in range(looks):
        found = payment(world, imp_uid)
        if found.due_at is None:
            break
        make_due(world, found)
        settling.settle(world.deps, world.merchant_id, imp_uid)
    return payment(world, imp_uid)
