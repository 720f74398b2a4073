"""Windows of one order, and what their buyer, his shop and the clock do at the same time: one payment or none."""

import json
from urllib.parse import urlencode

import pytest

from chalicelib.domain.payments import State
from chalicelib.ports import Task, TaskKind
from chalicelib.usecases import timer
from tests.races.arena import TRIES
from tests.races.books import (
    check_balance,
    check_one_charge_each,
    live_captures,
    make_due,
    order,
    payment,
    payments,
    settle_now,
    transactions,
)
from tests.support.api import CARD, Api
from tests.support.windows import FORM, ORIGIN, Shop

pytestmark = pytest.mark.real

UIDS = [f"order-{n}" for n in range(TRIES)]
WANTED = {"amount": 8900, "name": "월간 이용권"}


# --- acts: of (merchant_uid, imp_uid, the window's path, what the buyer brings back) ---------------------------------------


def come_back(me, uid, imp_uid, path, fields):
    return me._api.load("POST", f"{path}/return", urlencode(fields).encode(), {"Content-Type": FORM}).status


def close(me, uid, imp_uid, path, fields):
    """What the shop's page is told."""
    return me._api.send("POST", f"{path}/close", b"", {"Origin": ORIGIN})[1]["response"]


def go_elsewhere(me, uid, imp_uid, path, fields):
    return me._api.load("POST", f"{path}/another").status


def open_again(me, uid, *_):
    asked = {"user_code": me.merchant_id, "way": "frame", "merchant_uid": uid, "buyer_tel": "010-1234-5678", **WANTED}
    headers = {"Content-Type": "application/json", "Origin": ORIGIN}
    return me._api.send("POST", "/window/payments", json.dumps(asked).encode(), headers)[1]["code"]


def charge(me, uid, *_):
    return me.post("/subscribe/payments/onetime", merchant_uid=uid, **WANTED, **CARD)[0]


def look(me, uid, imp_uid, *_):
    """The timer, whose time has come."""
    timer.work(me.deps, Task(TaskKind.PAYMENT, (me.merchant_id, imp_uid), me.deps.clock.now()))


# --- before and after ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(world):
    return Shop(world, Api(world.deps, admin_token=world.merchant.admin_token).login(world.merchant))


@pytest.fixture
def agreed(shop):
    """A window per try whose buyer has agreed to pay, and is on his way back."""
    windows = [shop.open(merchant_uid=uid) for uid in UIDS]
    return [(uid, w.imp_uid, w.path, w.press()) for uid, w in zip(UIDS, windows, strict=True)]


def check_end(world, uid):
    """At most one live payment and one charge, and the same in both books. Returns the payments."""
    made = [settle_now(world, p.imp_uid) if p.is_unsettled else p for p in payments(world, uid)]
    live = [p for p in made if p.is_open]
    assert len(live) <= 1
    assert live in ([], made[-1:])
    assert order(world, uid).is_open is bool(live)
    attempts = {a.order_id for p in made for a in p.attempts}
    paid = [p for p in made if p.state is State.PAID]
    assert {o: n for o, n in live_captures(world).items() if o in attempts} == {p.attempt.order_id: 1 for p in paid}
    assert attempts & transactions(world).keys() == {p.attempt.order_id for p in paid}  # nothing was given back, either
    for p in paid:
        check_balance(world, p)
    return made


def states(made):
    return [p.state for p in made]


# --- races -------------------------------------------------------------------------------------------------------------------


def test_of_many_returns_one_is_approved(world, race, agreed):
    for answers in race([come_back] * 4, agreed):
        assert answers == [303] * 4
    check_one_charge_each(world, UIDS)


def test_who_closes_a_window_is_told_what_becomes_of_it(world, race, agreed):
    answers = race([come_back, close, come_back, close], agreed)
    for (uid, *_), (_, *told) in zip(agreed, answers, strict=True):
        [made] = check_end(world, uid)
        for result in (told[0], told[2]):
            assert result["success"] is (made.state is State.PAID)
            assert result["status"] in (made.v1_status, "ready")


def test_a_newer_window_takes_the_order_or_is_refused(world, race, agreed):
    answers = race([come_back, open_again], agreed)
    for (uid, *_), (_, code) in zip(agreed, answers, strict=True):
        made = check_end(world, uid)
        assert states(made) == ([State.PAID] if code else [State.FAILED, State.OPENED])


def test_the_end_of_a_windows_time_is_before_or_after_the_claim(world, race, agreed):
    for _, imp_uid, *_ in agreed:
        make_due(world, payment(world, imp_uid))
    race([come_back, look, look, come_back], agreed)
    for uid, *_ in agreed:
        [made] = check_end(world, uid)
        assert made.state in (State.PAID, State.FAILED)


def test_another_channel_is_taken_before_or_after_the_claim(world, race, agreed):
    answers = race([come_back, go_elsewhere, come_back], agreed)
    for (uid, imp_uid, *_), (*_, last) in zip(agreed, answers, strict=True):
        [made] = check_end(world, uid)
        assert (len(made.attempts), made.state) in ((1, State.PAID), (2, State.OPENED))
        assert last in (303, 400)  # a proof of the first channel's is none of the second's


def test_of_many_windows_of_one_order_one_stays_open(world, race, shop):
    answers = race([open_again] * 4, [(uid,) for uid in UIDS])
    for uid, codes in zip(UIDS, answers, strict=True):
        made = check_end(world, uid)
        assert set(codes) <= {0, 1}
        assert len(made) == codes.count(0) >= 1
        assert states(made) == [State.FAILED] * (len(made) - 1) + [State.OPENED]


def test_a_window_and_a_charge_by_api(world, race, agreed):
    answers = race([come_back, charge, open_again, close], agreed)
    for (uid, *_), (_, charged, *_) in zip(agreed, answers, strict=True):
        made = check_end(world, uid)
        by_api = [p for p in made if p.window is None]
        assert bool(by_api) is (charged == 0)
        assert all(p.state is State.PAID for p in by_api)
