"""A person settles a payment while the timer does: the gateway's own answer goes first, and it is recorded once."""

import pytest

from chalicelib.domain.payments import State
from chalicelib.ports import Task, TaskKind
from chalicelib.usecases import by_hand, charges, timer
from chalicelib.usecases.choosing import Target
from tests.races.arena import TRIES
from tests.races.books import make_due, payment, settle_now, transactions
from tests.support.world import CARD, request

pytestmark = pytest.mark.real


def say(me, imp_uid, outcome):
    found_out = {"outcome": outcome, "pg_tid": "tviva1", "reason": "seen at the console"}
    status, body = me.post(f"/admin/payments/{imp_uid}/settle", **found_out)
    return status, body


def say_paid(me, imp_uid):
    return say(me, imp_uid, "paid")


def say_failed(me, imp_uid):
    return say(me, imp_uid, "failed")


def settle(me, imp_uid):
    timer.work(me.deps, Task(TaskKind.PAYMENT, (me.merchant_id, imp_uid), me.deps.clock.now()))


@pytest.fixture
def doubtful(world):
    """Charge payments whose answers get lost, one per try."""

    def charge(fault):
        for box in world.sandboxes.values():
            box.fail("charge", fault, times=TRIES)
        made = [
            charges.charge_card(world.deps, world.merchant_id, request(f"order-{n}"), CARD, Target())
            for n in range(TRIES)
        ]
        for box in world.sandboxes.values():
            box.clear_faults()
        assert {p.state for p in made} == {State.UNKNOWN}
        return [make_due(world, p) for p in made]

    return charge


def settled_by_hand(world, imp_uid):
    return [entry.after["state"] for entry in by_hand.history(world.deps, world.merchant_id, imp_uid)]


def test_what_the_gateway_has_taken_is_paid_whatever_anybody_says(world, race, doubtful):
    made = doubtful("reply_lost")
    answers = race([settle, say_failed, say_paid], [(p.imp_uid,) for p in made])
    for before, (_, failed, paid) in zip(made, answers, strict=True):
        assert {failed[0], paid[0]} <= {200, 409}
        ended = settle_now(world, before.imp_uid)
        assert (ended.state, settled_by_hand(world, before.imp_uid)) == (State.PAID, [])
        assert transactions(world)[before.attempt.order_id]["balance"] == 8900


def test_what_never_reached_the_gateway_fails_once_and_is_never_paid(world, race, doubtful):
    made = doubtful("http_500")
    answers = race([settle, say_failed, say_failed, say_paid], [(p.imp_uid,) for p in made])
    for before, (_, one, other, paid) in zip(made, answers, strict=True):
        assert {one[0], other[0]} <= {200, 409}
        assert paid[0] == 409
        by_people = settled_by_hand(world, before.imp_uid)
        assert by_people == ["failed"] * [one[0], other[0]].count(200)
        assert len(by_people) <= 1
        assert payment(world, before.imp_uid).state is (State.FAILED if by_people else State.UNKNOWN)
    assert not transactions(world)
