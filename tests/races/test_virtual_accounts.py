"""A deposit, a revoke and the account's end at the same time: both books end the same way, and no deposit is lost."""

import json
from datetime import timedelta
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from chalicelib.domain.charging import VirtualAccountRequest
from chalicelib.domain.payments import State
from chalicelib.ports import Task, TaskKind
from chalicelib.usecases import timer, virtual_accounts
from chalicelib.usecases.choosing import Target
from tests.races.arena import TRIES
from tests.races.books import make_due, order, settle_now, transactions
from tests.support.world import request

pytestmark = pytest.mark.real

APART = timedelta(minutes=30)
"""Between the ends of two accounts, so that one can expire while the next still waits."""
ENDS = {"captured": State.PAID, "revoked": State.REVOKED, "expired": State.FAILED}


def _control(me, path, **fields):
    """None if the simulator says that it cannot be."""
    try:
        with urlopen(Request(f"{me.urls['tosspayments']}/_sandbox/{path}", json.dumps(fields).encode())) as reply:
            return json.load(reply)
    except HTTPError as error:
        error.close()
        if error.code != 400:
            raise
        return None


def pay_in(me, imp_uid, order_id, channel_key, due):
    """The buyer pays, and the gateway tells us. 503 is: not now, send it again."""
    notice = _control(me, "deposits", order_id=order_id)
    if notice is None:
        return None
    return me._api.post(f"/notices/{me.merchant_id}/{channel_key}", notice)[0]


def revoke(me, imp_uid, *_):
    return me._api.delete(f"/vbanks/{imp_uid}")


def expire(me, imp_uid, order_id, channel_key, due):
    _control(me, "clock", now=due + 1)
    settle(me, imp_uid)


def settle(me, imp_uid, *_):
    timer.work(me.deps, Task(TaskKind.PAYMENT, (me.merchant_id, imp_uid), me.deps.clock.now()))


@pytest.fixture
def waiting(world):
    """An account per try, each due a little later than the one before, and due to be looked at."""

    def open_one(n):
        due = world.deps.clock.now() + timedelta(days=1) + n * APART
        account = VirtualAccountRequest(bank_code="088", due_at=due.replace(microsecond=0))
        wanted = virtual_accounts.Issue(request(f"order-{n}"), account, Target())
        return make_due(world, virtual_accounts.issue(world.deps, world.merchant_id, wanted))

    return [open_one(n) for n in range(min(TRIES, 4000))]


def about(made):
    return made.imp_uid, made.attempt.order_id, made.attempt.channel_key, made.account.due_at.timestamp()


def test_it_is_paid_or_revoked_or_expires(world, race, waiting):
    answers = race([pay_in, revoke, expire], [about(made) for made in waiting])
    ends = set()
    for made, (heard, (status, body), _) in zip(waiting, answers, strict=True):
        assert heard in (None, 200, 404, 503)
        assert (status, body["code"]) in ((200, 0), (200, 1), (200, -1), (400, -1))
        check_end(world, made, deposited=heard is not None, revoked=body["code"] == 0)
        ends.add(transactions(world)[made.attempt.order_id]["state"])
    assert len(ends) >= 2 or TRIES < 10  # or it was no race


def test_of_many_revokes_and_looks_one_ends_it(world, race, waiting):
    answers = race([revoke, revoke, settle, settle], [about(made) for made in waiting])
    for made, ((_, one), (_, other), *_) in zip(waiting, answers, strict=True):
        assert [one["code"], other["code"]].count(0) <= 1
        check_end(world, made, deposited=False, revoked=0 in (one["code"], other["code"]))


def check_end(world, made, *, deposited, revoked):
    """deposited, revoked: what the buyer and the merchant were told."""
    ended = settle_now(world, made.imp_uid)
    there = transactions(world)[made.attempt.order_id]["state"]
    if there == "waiting":
        assert (ended.state, deposited, revoked) == (State.WAITING, False, False)
        return
    assert ended.state is ENDS[there]
    assert deposited is (there == "captured")
    assert not revoked or there == "revoked"
    assert order(world, ended.request.merchant_uid).is_open is (there == "captured")
