"""What V1 has and this service has not: said clearly, to callers with a token."""

import re

import pytest

from chalicelib.api import unsupported
from tests.support.api import CARD

ROUTES = [(feature, *route.split()) for feature, routes in unsupported.NOT_OFFERED.items() for route in routes]


@pytest.mark.parametrize(("feature", "method", "path"), ROUTES)
def test_a_feature_that_is_not_offered_says_which(api, feature, method, path):
    path = re.sub(r"\{\w+\}", "x", path)
    status, answer = api.send(method, path, b"")
    assert (status, answer["code"], answer["response"]) == (501, -1, None)
    assert feature in answer["message"]
    assert re.match(r"[가-힣A-Z].*지원하지 않는 기능입니다", answer["message"])
    assert api.send(method, path, headers={"Authorization": "0" * 40})[0] == 401


@pytest.mark.parametrize(
    "path", ["/payments/imp_1/naver/ship", "/payments/imp_1/naver/approve-cancel", "/payments/imp_1/naver/point/"]
)
def test_every_naver_action_is_one_of_them(api, path):
    assert api.post(path)[0] == 501


def test_no_certification_and_no_tier_can_exist(api):
    status, answer = api.get("/certifications/imp_000000000000")
    assert (status, answer) == (404, {"code": 1, "message": "인증결과가 존재하지 않습니다.", "response": None})
    status, answer = api.get("/tiers/ABC")
    assert (status, answer["code"], answer["response"]) == (404, 1, None)
    assert "Tier" in answer["message"]


def test_balance_is_for_payco_and_kcp(world, api):
    world.two_gateways()
    _, paid = api.post("/subscribe/payments/onetime", CARD, merchant_uid="o", amount=1000)
    status, answer = api.get(f"/payments/{paid['response']['imp_uid']}/balance")
    assert (status, answer["code"], answer["response"]) == (405, -1, None)
    assert "PAYCO" in answer["message"]
    status, answer = api.get("/payments/imp_000000000000/balance")
    assert (status, answer["message"]) == (404, "존재하지 않는 결제정보입니다.")


def test_foreign_is_onetime_by_its_older_name(world, api):
    world.two_gateways()
    _, answer = api.post("/subscribe/payments/foreign", CARD, merchant_uid="o", amount=1000)
    assert answer["response"]["status"] == "paid"
    assert [t["amount"] for t in world.captured()] == [1000]
