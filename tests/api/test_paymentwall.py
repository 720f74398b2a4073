"""A gateway that decides later, over HTTP: reviews, pingbacks, and what a lost reply becomes without a query by order id."""

from urllib.parse import urlencode

import pytest

from chalicelib.domain.payments import CancelState, Payment
from chalicelib.ports import Ref
from infra.sandbox.paymentwall import PARTS_CREDENTIALS, SECRETS, TEST_CREDENTIALS, signature
from tests.support.api import CARD

pytestmark = pytest.mark.gateways("paymentwall")

BARE = {name: TEST_CREDENTIALS[name] for name in ("public_key", "private_key", "browser_domain", "secret_key")}


@pytest.fixture
def wall(world):
    return world.sandboxes["paymentwall"]


def only_channel(world, credentials=BARE):
    world.group([(world.channel("paymentwall", credentials=credentials), 100)])


def pay(api, cvc="123", **changes):
    fields = {
        "merchant_uid": "wall-1",
        "amount": 10.5,
        "currency": "USD",
        "name": "Item",
        "buyer_name": "Gildong Hong",
        "buyer_email": "gildong@shop.kr",
        "browser_ip": "203.0.113.7",
        "cvc": cvc,
    }
    return api.post("/subscribe/payments/onetime", {**CARD, **fields, **changes})


def state(api):
    return api.get("/payments/find/wall-1")[1]["response"]


def ping(api, world, charge, kind, **changes):
    """Paymentwall's GET: the status, and what it reads."""
    fields = {"uid": "u", "goodsid": charge.order_id, "slength": "", "speriod": "", "type": kind, "ref": charge.pg_tid}
    fields |= {"sign_version": "3"}
    fields |= {"sig": signature(fields, SECRETS[TEST_CREDENTIALS["public_key"]])} | changes
    path = f"/notices/{world.merchant_id}/{world.channels['paymentwall']}?{urlencode(fields)}"
    return api.send("GET", path, headers={"Authorization": ""})


@pytest.mark.parametrize(("cvc", "kind", "status"), [("555", "201", "paid"), ("556", "202", "failed")])
def test_a_review_ends_with_a_pingback(api, world, wall, cvc, kind, status):
    only_channel(world)
    pay(api, cvc)
    [charge] = wall.simulator.books.charges[-1:]
    assert state(api)["status"] == "ready"
    assert ping(api, world, charge, "200") == (200, "OK")
    assert state(api)["status"] == "ready"
    world.clock.advance(seconds=121)
    assert ping(api, world, charge, kind)[0] == 200
    assert state(api)["status"] == status


def test_a_review_ends_without_one_too(api, world):
    only_channel(world)
    pay(api, "555")
    world.run_to_quiet(hours=2)
    assert state(api)["status"] == "paid"


def test_a_lost_reply_waits_for_the_pingback_that_names_its_number(api, world, wall):
    only_channel(world)
    wall.fail("charge", "reply_lost")
    pay(api)
    world.run_to_quiet(hours=2)
    assert state(api)["status"] == "ready"
    [charge] = wall.simulator.books.charges[-1:]
    assert ping(api, world, charge, "0", sig="0" * 64)[0] == 400
    assert state(api)["status"] == "ready"
    assert ping(api, world, charge, "0") == (200, "OK")
    paid = state(api)
    assert (paid["status"], paid["pg_tid"], paid["amount"]) == ("paid", charge.pg_tid, 10.5)


def test_a_lost_reply_settles_by_itself_with_the_status_api(api, world, wall):
    only_channel(world, TEST_CREDENTIALS)
    wall.fail("charge", "reply_lost")
    pay(api)
    world.run_to_quiet(hours=2)
    assert state(api)["status"] == "paid"


def test_a_lost_part_is_never_sent_again(api, world, wall):
    only_channel(world, PARTS_CREDENTIALS)
    pay(api)
    wall.fail("cancel", "reply_lost")
    api.post("/payments/cancel", merchant_uid="wall-1", amount=1.5)
    world.run_to_quiet(hours=26)
    [charge] = wall.simulator.books.charges[-1:]
    assert [cancel.amount for cancel in charge.cancels] == [150]


def test_a_lost_part_is_not_called_failed_when_the_option_goes(api, world, wall):
    only_channel(world, PARTS_CREDENTIALS)
    imp_uid = pay(api)[1]["response"]["imp_uid"]
    wall.fail("cancel", "reply_lost")
    api.post("/payments/cancel", merchant_uid="wall-1", amount=1.5)
    assert api.put(f"/admin/channels/{world.channels['paymentwall']}", credentials=BARE)[0] == 200
    world.run_to_quiet(hours=26)
    [charge] = wall.simulator.books.charges[-1:]
    assert [cancel.amount for cancel in charge.cancels] == [150]
    payment = world.store.load(Ref(Payment, (world.merchant_id, imp_uid)))
    assert payment.cancels[0].state is CancelState.UNKNOWN
    assert payment.alarm


def test_without_the_option_a_part_is_refused_and_the_whole_is_not(api, world, wall):
    only_channel(world)
    pay(api)
    assert api.post("/payments/cancel", merchant_uid="wall-1", amount=1.5)[1]["code"] != 0
    [charge] = wall.simulator.books.charges[-1:]
    assert charge.cancels == []
    assert api.post("/payments/cancel", merchant_uid="wall-1")[1]["response"]["status"] == "cancelled"
    assert [cancel.amount for cancel in charge.cancels] == [1050]
