"""/receipts on the wire: V1's statuses, fields, names, and how identifiers are read."""

from dataclasses import replace
from urllib.parse import quote

import pytest

from chalicelib.domain.payments import Payment
from chalicelib.ports import Ref
from tests.support.api import CARD
from tests.support.world import World

PHONE = "010-9876-1234"
FIELDS = ["receipt_tid", "apply_num", "type", "amount", "vat", "receipt_url", "applied_at", "cancelled_at"]


@pytest.fixture
def toss(world: World) -> str:
    channel = world.channel("tosspayments")
    world.group([(channel, 100)])
    return channel


def pay(world, api, uid="order-1", amount=11_000, method="vbank"):
    _, body = api.post("/subscribe/payments/onetime", CARD, merchant_uid=uid, amount=amount, name="이용권")
    assert body["code"] == 0, body
    imp_uid = body["response"]["imp_uid"]
    payment = world.store.load(Ref(Payment, (world.merchant_id, imp_uid)))
    world.store.commit(replace(payment, pay_method=method))
    return imp_uid


def books(world):
    return [row for box in world.sandboxes.values() for row in box.receipts()]


def test_issue_read_cancel(world, api, toss):
    path = f"/receipts/{(imp_uid := pay(world, api))}"
    status, body = api.post(path, identifier=PHONE)
    assert (status, body["code"], body["message"]) == (200, 0, None)
    shown = body["response"]
    assert list(shown) == ["imp_uid", *FIELDS]
    [row] = books(world)
    now = int(world.clock.now().timestamp())
    assert shown["receipt_url"].startswith("https://")
    assert shown == shown | {
        "imp_uid": imp_uid, "receipt_tid": row["receipt_tid"], "apply_num": "000000001", "type": "person",
        "amount": 11_000, "vat": 1000, "applied_at": now, "cancelled_at": 0,
    }  # fmt: skip
    assert api.get(path) == (200, {"code": 0, "message": None, "response": shown})
    assert api.get(f"/payments/{imp_uid}")[1]["response"]["cash_receipt_issued"] is True
    world.clock.advance(seconds=5)
    assert api.delete(path)[1]["response"] == shown | {"cancelled_at": now + 5}
    assert api.get(path)[1]["response"]["cancelled_at"] == now + 5
    assert api.get(f"/payments/{imp_uid}")[1]["response"]["cash_receipt_issued"] is False


def test_external(world, api, toss):
    path = f"/receipts/external/{quote('현금 주문/1', safe='')}"
    asked = {
        "channel_key": toss,
        "name": "현장 결제",
        "amount": "5500",
        "identifier": "120-81-47521",
        "type": "company",
    }
    status, body = api.form(path, asked)
    assert (status, body["code"]) == (200, 0), body
    shown = body["response"]
    assert list(shown) == ["merchant_uid", *FIELDS]
    assert (shown["merchant_uid"], shown["type"], shown["amount"], shown["vat"]) == (
        "현금 주문/1",
        "company",
        5500,
        500,
    )
    assert books(world)[0]["type"] == "지출증빙"
    assert api.get(path)[1]["response"] == shown
    assert api.delete(path)[1]["response"]["cancelled_at"]
    status, body = api.post(path, asked, channel_key=None)
    assert (status, body["code"]) == (200, 0)
    assert len(books(world)) == 2


@pytest.mark.parametrize("path", ["/receipts/imp_000000000000", "/receipts/external/none"])
def test_nothing_issued(world, api, toss, path):
    status, body = api.get(path)
    assert (status, body["code"], body["response"]) == (404, -1, None)
    assert "현금영수증이 발급된 내역이 없습니다" in body["message"]
    status, body = api.delete(path)
    assert (status, body["code"]) == (404 if "external" in path else 400, -1)


def test_statuses_of_refusals(world, api, toss):
    assert api.post("/receipts/imp_000000000000", identifier=PHONE)[0] == 404
    by_card = pay(world, api, "o1", method="card")
    status, body = api.post(f"/receipts/{by_card}", identifier=PHONE)
    assert (status, body["code"], body["field"]) == (400, -1, "imp_uid")
    paid = f"/receipts/{pay(world, api, 'o2')}"
    world.sandboxes["tosspayments"].fail("receipt", "decline")
    status, body = api.post(paid, identifier=PHONE)
    assert (status, body["code"]) == (200, -1)
    assert "INVALID_CASH_RECEIPT_INFO" in body["message"]
    world.sandboxes["tosspayments"].fail("receipt", "reply_lost")
    status, body = api.post(paid, identifier=PHONE)
    assert (status, body["code"]) == (200, -1)
    assert "확인하고 있습니다" in body["message"]
    assert api.get(paid)[1]["code"] == -1
    status, body = api.post(paid, identifier=PHONE)
    assert (status, body["code"]) == (200, 0)
    assert "앞서 요청한" in body["message"]
    assert len(books(world)) == 1
    for _ in range(2):
        status, body = api.post(paid, identifier=PHONE)
        assert (status, body["code"], body["field"]) == (400, -1, "imp_uid")
    assert api.delete(paid)[1]["code"] == 0
    assert api.delete(paid)[0] == 400


def test_a_gateway_without_receipts_is_501(world, api, toss, monkeypatch):
    from chalicelib.domain.charging import Operation
    from chalicelib.gateways import tosspayments

    spec = tosspayments.SPEC
    monkeypatch.setattr(tosspayments, "SPEC", replace(spec, operations=spec.operations - {Operation.CASH_RECEIPT}))
    status, body = api.post("/receipts/external/o1", name="n", amount=1000, identifier=PHONE, channel_key=toss)
    assert (status, body["code"], body["response"]) == (501, -1, None)
    assert "토스페이먼츠" in body["message"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"identifier": None}, "identifier"),
        ({"identifier": ""}, "identifier"),
        ({"identifier": "0109876123x"}, "identifier"),
        ({"identifier": "０１０９８７６１２３４"}, "identifier"),
        ({"identifier": "12345678901"}, "identifier"),
        ({"identifier": "1" * 20}, "identifier"),
        ({"identifier": "1" * 41}, "identifier"),
        ({"identifier": ["010"]}, "identifier"),
        ({"identifier_type": "business"}, "identifier"),
        ({"identifier_type": "person"}, "identifier"),
        ({"identifier_type": "passport"}, "identifier_type"),
        ({"identifier": "1208147521"}, "identifier_type"),
        ({"identifier": 1098761234}, "identifier_type"),
        ({"identifier": "8802171234567", "type": "company"}, "identifier_type"),
        ({"type": "corporate"}, "type"),
        ({"tax_free": 11_001}, "tax_free"),
        ({"tax_free": -1}, "tax_free"),
        ({"tax_free": 0.5}, "tax_free"),
        ({"vat_amount": 11_001}, "vat_amount"),
        ({"vat": 5}, "vat_amount"),
        ({"amount": 0}, "amount"),
        ({"amount": None}, "amount"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"buyer_name": "가" * 17}, "buyer_name"),
    ],
)
def test_a_wrong_field_is_named_and_issues_nothing(world, api, toss, given, field):
    body = {"identifier": PHONE, "name": "n", "amount": 11_000, "channel_key": toss} | given
    body = {name: value for name, value in body.items() if value is not None}
    status, answer = api.post("/receipts/external/cash-1", body)
    assert (status, answer["code"], answer["field"]) == (400, -1, field), answer
    assert answer["message"].startswith(f"{field}: ")
    assert books(world) == []
    assert "receipt" not in world.store.texts()
    for number in ("98761234", "0109876123", "8802171234567", "1208147521", "1098761234"):
        assert number not in answer["message"]


@pytest.mark.parametrize(
    ("given", "kind", "holder"),
    [
        ({"identifier": PHONE}, "소득공제", "1234"),
        ({"identifier": "010 9876 1234", "type": ""}, "소득공제", "1234"),
        ({"identifier": "0119876123", "identifier_type": "phone"}, "소득공제", "6123"),
        ({"identifier": PHONE, "type": "personal"}, "소득공제", "1234"),
        ({"identifier": PHONE, "type": "company"}, "지출증빙", "1234"),
        ({"identifier": "120-81-47521", "type": "company"}, "지출증빙", "7521"),
        ({"identifier": 1208147521, "type": "company"}, "지출증빙", "7521"),
        ({"identifier": "880217-1234567"}, "소득공제", "4567"),
        ({"identifier": "1234567890123", "identifier_type": "taxcard"}, "소득공제", "0123"),
        ({"identifier": "1234-5678-9012-345678"}, "소득공제", "5678"),
        ({"identifier": PHONE, "channelKey": None, "vat_amount": 1000}, "소득공제", "1234"),
    ],
)
def test_identifiers_are_read_as_clients_write_them(world, api, toss, given, kind, holder):
    status, body = api.post("/receipts/external/cash-1", {"name": "n", "amount": 11_000, **given})
    assert (status, body["code"]) == (200, 0), body
    assert [(row["type"], row["holder"]) for row in books(world)] == [(kind, holder)]


def test_long_order_names_and_other_merchants(world, api, toss):
    body = {"name": "n", "amount": 11_000, "identifier": PHONE}
    assert api.post(f"/receipts/external/{'가' * 3}", body)[0] == 200
    status, answer = api.post(f"/receipts/external/{'a' * 41}", body)
    assert (status, answer["field"]) == (400, "merchant_uid")
    assert api.post("/receipts/external/x", body, channel_key="channel-key-nobodys")[1]["code"] == 1
    api.token = None
    for method in ("GET", "POST", "DELETE"):
        assert api.send(method, "/receipts/external/x")[0] == 401


def test_nothing_personal_is_left(world, api, toss, caplog):
    caplog.set_level(0)
    imp_uid = pay(world, api)
    for fault in ("reply_lost", None):
        if fault:
            world.sandboxes["tosspayments"].fail("receipt", fault)
        api.post(f"/receipts/{imp_uid}", identifier=PHONE, buyer_tel="010-4444-3333", buyer_name="박받는")
    for text in (world.store.texts(), caplog.text, str(books(world))):
        for secret in ("98761234", "9876-1234", "44443333", "4444-3333", "박받는"):
            assert secret not in text
