"""However they meet, one order is one charge."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Ref, Timing
from chalicelib.usecases import billing_keys, charges, settling
from chalicelib.usecases.choosing import Target
from tests.races.arena import TRIES
from tests.races.books import (
    check_one_charge_each,
    live_captures,
    order,
    payments,
    settle_now,
    transactions,
)
from tests.support.api import CARD as CARD_FIELDS
from tests.support.world import CARD, request

pytestmark = pytest.mark.real

UIDS = [f"order-{n}" for n in range(TRIES)]
WANTED = {"amount": 8900, "name": "월간 이용권"}


@pytest.fixture
def customer(world):
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c", CARD, Target()))


def onetime(me, uid):
    code, payment = me.post("/subscribe/payments/onetime", merchant_uid=uid, **WANTED, **CARD_FIELDS)
    return code, payment and payment["status"]


def again(me, uid):
    code, payment = me.post("/subscribe/payments/again", customer_uid="c", merchant_uid=uid, **WANTED)
    return code, payment and payment["status"]


def book(me, uid):
    at = int((me.deps.clock.now() + timedelta(hours=1)).timestamp())
    entries = [{"merchant_uid": uid, "schedule_at": at, **WANTED}]
    code, orders = me.post("/subscribe/payments/schedule", customer_uid="c", schedules=entries)
    return code, orders and orders[0]["schedule_status"]


def open_account(me, uid):
    due = int((me.deps.clock.now() + timedelta(days=3)).timestamp())
    account = {"vbank_code": "088", "vbank_due": due, "buyer_name": "홍길동"}
    code, payment = me.post("/vbanks", merchant_uid=uid, **WANTED, **account)
    return code, payment and payment["status"]


@pytest.mark.parametrize("charge", [onetime, again])
def test_of_many_charges_of_an_order_one_is_made(world, race, customer, charge):
    for answers in race([charge] * 4, [(uid,) for uid in UIDS]):
        assert sorted(answers) == [(0, "paid")] + [(1, None)] * 3
    check_one_charge_each(world, UIDS)


def test_an_order_is_charged_or_reserved_or_waits_for_a_deposit(world, race, customer):
    acts = [onetime, again, book, open_account]
    for uid, answers in zip(UIDS, race(acts, [(uid,) for uid in UIDS]), strict=True):
        assert sorted(code for code, _ in answers) == [0, 1, 1, 1], answers
        [(winner, status)] = [(act, a[1]) for act, a in zip(acts, answers, strict=True) if a[0] == 0]
        made = order(world, uid)
        assert made.is_reserved is (winner is book)
        assert [p.v1_status for p in payments(world, uid)] == ([] if winner is book else [status])
    paid = {p.attempt.order_id: 1 for uid in UIDS for p in payments(world, uid) if p.state is State.PAID}
    assert live_captures(world) == paid


# --- a charge and its settlement ----------------------------------------------------------------------------------
# The lease of a claim is longer than its owner can live, so that the two never meet. Here they are made to.


HASTE = 2e-5
"""Makes the settling delay shorter than a charge takes."""


def _without_lease(me, scale):
    timing = Timing(recovery_scale=scale)
    return replace(me.deps, timing=replace(timing, lease_margin=-timing.request_budget))


def charge_without_lease(me, uid, scale):
    return charges.charge_card(_without_lease(me, scale), me.merchant_id, request(uid), CARD, Target()).v1_status


def settle_meanwhile(me, uid, scale):
    """From its claim on, until it has ended."""
    deps = _without_lease(me, scale)
    give_up_at = deps.clock.monotonic() + 5
    made = None
    while deps.clock.monotonic() < give_up_at and (made is None or made.is_unsettled):
        deps.clock.sleep(0.002)
        if found := deps.store.load(Ref(Order, (me.merchant_id, uid))):
            settling.settle(deps, me.merchant_id, found.imp_uids[-1])
            made = deps.store.load(Ref(Payment, (me.merchant_id, found.imp_uids[-1])))


def slow_charges(world):
    for box in world.sandboxes.values():
        box.fail("charge", "slow", times=TRIES, seconds=0.1)


def test_a_charge_that_is_settled_while_it_is_made_is_paid_once(world, race):
    slow_charges(world)
    answers = race([charge_without_lease, settle_meanwhile], [(uid, 1.0) for uid in UIDS])
    overtaken = 0
    for uid, (told, _) in zip(UIDS, answers, strict=True):
        assert told in ("paid", "ready")  # ready: overtaken twice
        [made] = payments(world, uid)
        overtaken += told == "paid" and made.unknown_since is not None
        settle_now(world, made.imp_uid)
    check_one_charge_each(world, UIDS)
    assert overtaken  # or they never met


def test_a_charge_that_is_called_failed_while_it_is_made_is_given_back(world, race):
    slow_charges(world)
    answers = race([charge_without_lease, settle_meanwhile], [(uid, HASTE) for uid in UIDS])
    for uid, (told, _) in zip(UIDS, answers, strict=True):
        [made] = payments(world, uid)
        ended = settle_now(world, made.imp_uid)
        assert told in (ended.v1_status, "ready")
        there = transactions(world)[made.attempt.order_id]
        assert there["balance"] == (8900 if ended.v1_status == "paid" else 0)
        assert order(world, uid).is_open is (ended.v1_status == "paid")
    assert "failed" in {told for told, _ in answers}  # or they never met
