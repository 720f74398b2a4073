"""/payments/prepare: the amount of a payment window."""

import pytest

from chalicelib.domain.errors import Refused
from chalicelib.domain.money import Money
from chalicelib.domain.prepared import Prepared
from tests.support.api import CARD

UNKNOWN = "사전등록된 결제정보가 존재하지 않습니다."


def test_register_find_change(api):
    shown = {"merchant_uid": "주문/1", "amount": 1000, "currency": None}
    assert api.post("/payments/prepare", merchant_uid="주문/1", amount=1000)[1]["response"] == shown
    found = api.get("/payments/prepare/%EC%A3%BC%EB%AC%B8%2F1")
    assert found == (200, {"code": 0, "message": None, "response": shown})
    changed = {"merchant_uid": "주문/1", "amount": 12.5, "currency": "USD"}
    assert api.put("/payments/prepare", merchant_uid="주문/1", amount="12.50", currency="usd")[1]["response"] == changed
    assert api.get("/payments/prepare/%EC%A3%BC%EB%AC%B8%2F1")[1]["response"] == changed


def test_cents_need_no_currency(api):
    shown = {"merchant_uid": "o", "amount": 12.5, "currency": None}
    assert api.post("/payments/prepare", merchant_uid="o", amount=12.5)[1]["response"] == shown
    assert api.get("/payments/prepare/o")[1]["response"] == shown


def test_the_same_again_is_fine_and_other_values_take_a_put(api):
    registered = {"merchant_uid": "o", "amount": 1000, "currency": "KRW"}
    for same in (registered, {**registered, "amount": "1000.0"}, {**registered, "amount": {"total": 1000}}):
        assert api.post("/payments/prepare", same)[1]["response"] == registered
    for other in ({**registered, "amount": 1001}, {**registered, "currency": "JPY"}, {**registered, "currency": None}):
        status, answer = api.post("/payments/prepare", other)
        assert (status, answer["code"], answer["field"], answer["response"]) == (200, 1, "merchant_uid", None)
        assert "PUT /payments/prepare" in answer["message"]
    assert api.get("/payments/prepare/o")[1]["response"] == registered
    assert api.put("/payments/prepare", registered)[1]["response"] == registered


def test_what_is_not_registered_is_not_found(world, api):
    expected = (404, {"code": 1, "message": UNKNOWN, "response": None})
    assert api.get("/payments/prepare/none") == expected
    assert api.put("/payments/prepare", merchant_uid="none", amount=1) == expected
    assert api.get("/payments/prepare/none") == expected, "PUT must not have registered it"


def test_another_merchant_sees_nothing_of_it(world, api):
    from chalicelib.usecases import merchants

    api.post("/payments/prepare", merchant_uid="o", amount=1000)
    api.login(merchants.create(world.deps, "other"))
    assert api.get("/payments/prepare/o")[0] == 404
    assert api.post("/payments/prepare", merchant_uid="o", amount=5)[1]["code"] == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount": None}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": "1,000"}, "amount"),
        ({"amount": 0.1, "currency": "KRW"}, "amount"),
        ({"amount": 0.001}, "amount"),
        ({"amount": 10**13}, "amount"),
        ({"amount": True}, "amount"),
        ({"currency": "WON"}, "currency"),
        ({"merchant_uid": ""}, "merchant_uid"),
        ({"merchant_uid": "가" * 41}, "merchant_uid"),
    ],
)
@pytest.mark.parametrize("method", ["post", "put"])
def test_bad_fields_are_named_and_nothing_is_stored(world, api, method, fields, field):
    before = dict(world.store.items)
    status, answer = getattr(api, method)("/payments/prepare", {"merchant_uid": "o", "amount": 1000, **fields})
    assert (status, answer["code"], answer["field"]) == (400, -1, field)
    assert world.store.items == before


def test_a_charge_by_api_does_not_look_at_it(world, api):
    world.two_gateways()
    api.post("/payments/prepare", merchant_uid="o", amount=5)
    charged = api.post("/subscribe/payments/onetime", CARD, merchant_uid="o", amount=1000)
    assert charged[1]["response"]["status"] == "paid"


@pytest.mark.parametrize(
    ("prepared", "any_currency", "asked", "field"),
    [
        (Money(1000), False, Money(1000), None),
        (Money(1000), False, Money(1001), "amount"),
        (Money(1000), False, Money(1000, "JPY"), "currency"),
        (Money(1000), True, Money(1000), None),
        (Money(1000), True, Money(1000, "JPY"), "currency"),
        (Money(1000), True, Money(1000, "USD"), "amount"),
        (Money(1000), True, Money(100_000, "USD"), "currency"),
        (Money(1250, "USD"), True, Money(1250, "EUR"), "currency"),
        (Money(1250, "USD"), False, Money(1250, "EUR"), "currency"),
        (Money(1250, "USD"), True, Money(1250), "amount"),
    ],
)
def test_a_window_may_ask_for_what_was_registered_and_nothing_else(prepared, any_currency, asked, field):
    expected = Prepared("m", "o", prepared, any_currency=any_currency)
    if field is None:
        expected.check(asked)
    else:
        with pytest.raises(Refused) as refused:
            expected.check(asked)
        assert refused.value.field == field
