"""Billing keys that are issued, deleted and charged at the same time."""

import pytest

from chalicelib.domain.keys import BillingKey
from chalicelib.domain.payments import State
from chalicelib.ports import Ref
from chalicelib.usecases import billing_keys, charges
from chalicelib.usecases.choosing import Target
from tests.races.arena import TRIES
from tests.races.books import live_captures, order, payments
from tests.support.api import CARD as CARD_FIELDS
from tests.support.world import CARD, request

pytestmark = pytest.mark.real

CUSTOMERS = [f"c-{n}" for n in range(TRIES)]


def issue(me, customer_uid):
    return me.post(f"/subscribe/customers/{customer_uid}", **CARD_FIELDS)[0]


def delete(me, customer_uid):
    return me.call("DELETE", f"/subscribe/customers/{customer_uid}")[0]


def again(me, customer_uid):
    uid = f"order of {customer_uid}"
    code, payment = me.post(
        "/subscribe/payments/again", customer_uid=customer_uid, merchant_uid=uid, amount=8900, name="n"
    )
    return payment["status"] if code == 0 else None


@pytest.fixture
def issued(world):
    for customer_uid in CUSTOMERS:
        billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(customer_uid, CARD, Target()))


def stored(world, customer_uid):
    return world.store.load(Ref(BillingKey, (world.merchant_id, customer_uid)))


def check_chargeable(world, customer_uid):
    """The key that is stored holds, at every gateway, a key that the gateway still takes."""
    key = stored(world, customer_uid)
    assert len(key.channels) == len(world.sandboxes)
    for n, channel_key in enumerate(key.channels):
        wanted = request(f"proof {n} of {customer_uid}")
        target = Target(channel_key=channel_key)
        made = charges.charge_key(world.deps, world.merchant_id, customer_uid, wanted, target)
        assert made.state is State.PAID, made.fail_reason


def test_of_keys_issued_at_the_same_time_one_stands_and_can_be_charged(world, race):
    for customer_uid, codes in zip(CUSTOMERS, race([issue] * 3, [(c,) for c in CUSTOMERS]), strict=True):
        assert codes.count(0) >= 1
        assert set(codes) <= {0, 1}
        check_chargeable(world, customer_uid)


def test_a_key_is_deleted_or_issued_anew_and_never_half(world, race, issued):
    for customer_uid, (_, *told) in zip(
        CUSTOMERS, race([delete, issue, issue], [(c,) for c in CUSTOMERS]), strict=True
    ):
        assert 0 in told
        if stored(world, customer_uid):
            check_chargeable(world, customer_uid)


def test_a_key_is_charged_at_most_once_while_it_is_deleted(world, race, issued):
    answers = race([delete, again, again], [(c,) for c in CUSTOMERS])
    paid = {}
    for customer_uid, (deleted, *told) in zip(CUSTOMERS, answers, strict=True):
        assert (deleted, stored(world, customer_uid)) == (0, None)
        made = payments(world, f"order of {customer_uid}") if order(world, f"order of {customer_uid}") else []
        # A charge that finds the gateway's key gone has failed; another may then follow under the same merchant_uid.
        assert {p.state for p in made} <= {State.PAID, State.FAILED}
        assert told.count("paid") == [p.state for p in made].count(State.PAID) <= 1
        paid |= {p.attempt.order_id: 1 for p in made if p.state is State.PAID}
    assert live_captures(world) == paid
