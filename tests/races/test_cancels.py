"""However they meet, no more is given back than was paid, and both books say the same."""

import pytest

from chalicelib.domain.money import Money
from chalicelib.domain.payments import CancelState
from chalicelib.ports import Task, TaskKind
from chalicelib.usecases import cancels, charges, timer
from chalicelib.usecases.choosing import Target
from tests.races.arena import TRIES
from tests.races.books import check_balance, make_due, payment, settle_now, transactions
from tests.support.world import CARD, request

pytestmark = pytest.mark.real

PART, ALL = 3000, 10000


def cancel_part(me, imp_uid):
    return me.post("/payments/cancel", imp_uid=imp_uid, amount=PART, reason="r")[0]


def cancel_rest(me, imp_uid):
    return me.post("/payments/cancel", imp_uid=imp_uid, reason="r")[0]


def settle(me, imp_uid):
    timer.work(me.deps, Task(TaskKind.PAYMENT, (me.merchant_id, imp_uid), me.deps.clock.now()))


@pytest.fixture
def paid(world):
    """Payments of ALL each, one per try."""
    return [
        charges.charge_card(world.deps, world.merchant_id, request(f"order-{n}", ALL), CARD, Target())
        for n in range(TRIES)
    ]


def done(payment_left):
    return [c.amount.amount for c in payment_left.cancels if c.state is CancelState.DONE]


def check_cancels(world, imp_uid):
    """The same cancels in both books, each once. Returns our amounts."""
    left = payment(world, imp_uid)
    check_balance(world, left)
    there = transactions(world)[left.attempt.order_id]["cancels"]
    assert sorted(cancel["amount"] for cancel in there) == sorted(done(left))
    assert left.open_cancel is None
    assert left.due_at is None
    return done(left)


def test_partial_cancels_never_exceed_what_was_paid(world, race, paid):
    for made, codes in zip(paid, race([cancel_part] * 4, [(p.imp_uid,) for p in paid]), strict=True):
        assert set(codes) <= {0, 1}
        given_back = check_cancels(world, made.imp_uid)
        assert given_back == [PART] * codes.count(0)
        assert 1 <= len(given_back) <= ALL // PART


def test_a_full_cancel_takes_what_the_partial_ones_left(world, race, paid):
    acts = [cancel_rest, cancel_part, cancel_rest, cancel_part]
    for made, codes in zip(paid, race(acts, [(p.imp_uid,) for p in paid]), strict=True):
        assert set(codes) <= {0, 1}
        given_back = check_cancels(world, made.imp_uid)
        assert len(given_back) == codes.count(0) >= 1
        assert given_back.count(PART) >= codes[1::2].count(0)
        if 0 in codes[::2]:
            assert sum(given_back) == ALL


@pytest.mark.parametrize("fault", ["reply_lost", "http_500"])  # carried out, and not
def test_an_unclear_cancel_is_settled_while_the_merchant_cancels_again(world, race, paid, fault):
    for made in paid:
        _leave_unclear(world, made, fault)
    acts = [settle, settle, cancel_part, cancel_rest]
    for made, (*_, part, rest) in zip(paid, race(acts, [(p.imp_uid,) for p in paid]), strict=True):
        assert {part, rest} <= {0, 1}
        settle_now(world, made.imp_uid)
        given_back = check_cancels(world, made.imp_uid)
        assert given_back[0] == PART
        assert len(given_back) == 1 + [part, rest].count(0)
        if rest == 0:
            assert sum(given_back) == ALL


def _leave_unclear(world, made, fault):
    for box in world.sandboxes.values():
        box.fail("cancel", fault)
    wanted = cancels.Cancel(imp_uid=made.imp_uid, amount=Money(PART).to_decimal())
    unclear = cancels.cancel(world.deps, world.merchant_id, wanted)
    for box in world.sandboxes.values():
        box.clear_faults()
    assert unclear.open_cancel is not None
    make_due(world, unclear)
