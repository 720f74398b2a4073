"""Codes and texts that existing clients look for, word by word. Source: the contract and the clients' own tests."""

import pytest

from tests.support.api import CARD

BAD_CARD = {**CARD, "card_number": "1111"}
ENTRY = {"merchant_uid": "s1", "schedule_at": 2_000_000_000, "amount": 1000}
UNKNOWN_PAYMENT = "존재하지 않는 결제정보입니다."
NO_KEY = "요청하신 customer_uid(nobody)로 등록된 정보를 찾을 수 없습니다."

TABLE = [
    # (method, path, body, HTTP status, code, text, whole text or part of it)
    ("POST", "/users/getToken", {}, 400, -1, "imp_key, imp_secret 파라메터가 누락되었습니다.", True),
    ("POST", "/users/getToken", {"imp_key": "x"}, 400, -1, "imp_key, imp_secret 파라메터가 누락되었습니다.", True),
    ("POST", "/users/getToken", {"imp_key": "x", "imp_secret": "y"}, 401, -1, "", False),
    ("GET", "/payments/imp_000000000000", None, 404, 1, UNKNOWN_PAYMENT, True),
    ("GET", "/payments/find/nope", None, 404, 1, UNKNOWN_PAYMENT, True),
    ("GET", "/payments/find/nope/paid", None, 404, 1, UNKNOWN_PAYMENT, True),
    ("GET", "/payments/findAll/nope", None, 404, 1, UNKNOWN_PAYMENT, True),
    ("GET", "/payments?imp_uid[]=nope", None, 404, 1, UNKNOWN_PAYMENT, True),
    ("GET", "/payments/status/bad", None, 400, -1, "지원되지 않는 상태값입니다.", True),
    ("GET", "/payments/prepare/nope", None, 404, 1, "사전등록된 결제정보가 존재하지 않습니다.", True),
    ("POST", "/payments/cancel", {"imp_uid": "imp_1"}, 200, 1, "취소할 결제건이 존재하지 않습니다.", True),
    ("POST", "/payments/cancel", {"merchant_uid": "nope"}, 200, 1, "취소할 결제건이 존재하지 않습니다.", True),
    ("POST", "/payments/cancel", {"reason": "x"}, 400, -1, "지정해주셔야합니다.", False),
    ("POST", "/subscribe/customers/c", BAD_CARD, 200, -1, "카드정보 인증 및 빌키 발급에 실패하였습니다.", False),
    ("POST", "/subscribe/customers/c", BAD_CARD, 200, -1, "유효하지않은 카드번호를 입력하셨습니다.", False),
    ("GET", "/subscribe/customers/nobody", None, 200, 1, NO_KEY, True),
    ("DELETE", "/subscribe/customers/nobody", None, 200, 1, NO_KEY, True),
    ("POST", "/subscribe/payments/onetime", {"merchant_uid": "o", "amount": 1000, **BAD_CARD}, 200, -1,
     "카드정보 인증에 실패하였습니다.", False),
    ("POST", "/subscribe/payments/foreign", {"merchant_uid": "o", "amount": 1000, **BAD_CARD}, 200, -1,
     "카드정보 인증에 실패하였습니다.", False),
    ("POST", "/subscribe/payments/again", {"customer_uid": "nobody", "merchant_uid": "o", "amount": 1000, "name": "n"},
     200, 1, "등록되지 않은 구매자입니다.", True),
    ("POST", "/subscribe/payments/schedule", {"customer_uid": "nobody", "schedules": [ENTRY]}, 200, 1,
     "등록된 고객정보가 없습니다.", False),
    ("POST", "/subscribe/payments/unschedule", {"customer_uid": "nobody"}, 200, 1,
     "취소할 예약결제 기록이 존재하지 않습니다.", False),
    ("GET", "/certifications/imp_1", None, 404, 1, "인증결과가 존재하지 않습니다.", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "text", "whole"),
    TABLE,
    ids=[f"{r[0]} {r[1]} {r[5][:12]}" for r in TABLE],
)
def test_the_contracts_words(api, world, method, path, body, status, code, text, whole):
    world.two_gateways()
    answer = {"POST": api.post, "GET": api.get, "DELETE": api.delete}[method](
        path, *([body] if body is not None else [])
    )
    assert (answer[0], answer[1]["code"], answer[1]["response"]) == (status, code, None), answer
    assert answer[1]["message"] == text if whole else text in answer[1]["message"]


def test_a_payment_that_is_wholly_cancelled(api, world):
    world.two_gateways()
    api.post("/subscribe/payments/onetime", merchant_uid="o", amount=1000, name="n", **CARD)
    assert api.post("/payments/cancel", merchant_uid="o")[1]["code"] == 0
    for more in ({}, {"amount": 1000}, {"checksum": 1000}, {"checksum": 0}):
        status, body = api.post("/payments/cancel", merchant_uid="o", **more)
        assert (status, body["code"], body["message"], body["response"]) == (
            200,
            1,
            "이미 전액취소된 주문입니다.",
            None,
        )


def test_success_has_no_message(api, world):
    world.two_gateways()
    status, body = api.post("/subscribe/payments/onetime", merchant_uid="o", amount=1000, name="n", **CARD)
    assert (status, body["code"], body["message"]) == (200, 0, None)


def test_a_virtual_account_without_a_channel_that_has_them(api, world):
    world.group([(world.channel("nice_v2"), 100)])
    due = int(world.clock.now().timestamp()) + 86400
    fields = {"merchant_uid": "v", "amount": 1000, "vbank_code": "004", "vbank_due": due, "vbank_holder": "홍길동"}
    status, body = api.post("/vbanks", name="n", **fields)
    assert (status, body["response"]) == (200, None)
    assert body["code"] != 0
    assert "계약이 필요합니다." in body["message"]


def test_a_payment_without_a_cash_receipt(api, world):
    world.two_gateways()
    body = api.post("/subscribe/payments/onetime", merchant_uid="o", amount=1000, name="n", **CARD)[1]
    status, body = api.get(f"/receipts/{body['response']['imp_uid']}")
    assert (status, body["code"], body["response"]) == (404, -1, None)
    assert body["message"]
