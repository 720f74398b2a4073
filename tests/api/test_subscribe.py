"""Billing keys, charges and cancels over HTTP, with V1's field names, codes and messages."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.api import CARD, EXPIRED, STOLEN

PAYMENT_KEYS = {
    "imp_uid", "merchant_uid", "pay_method", "channel", "pg_provider", "emb_pg_provider", "pg_tid", "pg_id",
    "sandbox", "escrow", "apply_num", "bank_code", "bank_name", "card_code", "card_name", "card_issuer_code",
    "card_issuer_name", "card_publisher_code", "card_publisher_name", "card_quota", "card_number", "card_type",
    "vbank_code", "vbank_name", "vbank_num", "vbank_holder", "vbank_date", "vbank_issued_at", "name", "amount",
    "cancel_amount", "currency", "buyer_name", "buyer_email", "buyer_tel", "buyer_addr", "buyer_postcode",
    "custom_data", "user_agent", "status", "started_at", "paid_at", "failed_at", "cancelled_at", "fail_reason",
    "cancel_reason", "receipt_url", "cancel_history", "cancel_receipt_urls", "cash_receipt_issued", "customer_uid",
    "customer_uid_usage", "promotion",
}  # fmt: skip


@pytest.fixture
def group(world):
    return world.two_gateways()


def issue(api, uid="customer-1", card=CARD, **more):
    return api.post(f"/subscribe/customers/{uid}", card, **more)


def test_onetime_answers_the_whole_payment_object(api, group):
    status, body = api.post(
        "/subscribe/payments/onetime",
        CARD,
        merchant_uid="주문 1",
        amount=8900,
        name="월간 이용권",
        channelGroupId=group.group_id,
        custom_data={"a": 1},
        buyer_name="홍길동",
    )
    assert (status, body["code"], body["message"]) == (200, 0, None)
    payment = body["response"]
    assert set(payment) == PAYMENT_KEYS
    assert payment["status"] == "paid"
    assert payment["sandbox"] is True
    assert payment["amount"] == 8900
    assert json.loads(payment["custom_data"]) == {"a": 1}
    assert payment["paid_at"] >= payment["started_at"] > 0
    assert payment["failed_at"] == payment["cancelled_at"] == 0
    assert "4242424242424242" not in json.dumps(payment)
    assert api.get(f"/payments/{payment['imp_uid']}")[1]["response"] == payment
    assert api.get("/payments/find/%EC%A3%BC%EB%AC%B8%201")[1]["response"] == payment


def test_super_key_issue_answer_reads_both_ways(api, group, world):
    status, body = issue(api, channelGroupId=group.group_id, customer_id="buyer1", customer_name="홍길동")
    assert (status, body["code"]) == (200, 0)
    key = body["response"]
    assert key["channelGroupId"] == group.group_id
    assert [c["pg_provider"] for c in key["succeededChannels"]] == ["tosspayments", "nice_v2"]
    assert key["failedChannels"] == []
    assert "pg_provider" not in key
    assert body["billingKeyInfo"]["customer_uid"] == "customer-1"
    assert len(body["billingKeyInfo"]["channels"]) == 2
    assert body["channelSpecificFailures"] == []
    assert api.get("/subscribe/customers/customer-1")[1]["response"] == key


@pytest.mark.parametrize("name", ["channelGroupId", "channel_group_id"])
def test_both_spellings_of_the_group(api, group, name):
    assert issue(api, **{name: group.group_id})[1]["response"]["channelGroupId"] == group.group_id


@pytest.mark.parametrize("name", ["channel_key", "channelKey"])
def test_an_ordinary_key(api, group, world, name):
    _, body = issue(api, **{name: world.channels["nice_v2"]})
    key = body["response"]
    assert key["pg_provider"] == "nice_v2"
    assert key["card_number"].endswith("4242")
    assert "channelGroupId" not in key


def test_with_nothing_named_the_default_group_serves_old_clients_too(api, group):
    key = issue(api)[1]["response"]
    assert key["channelGroupId"] == group.group_id
    assert key["pg_provider"] == "tosspayments"
    assert {"card_name", "inserted", "updated", "sandbox"} <= set(key)
    assert api.get("/subscribe/customers/customer-1")[1]["response"] == key


def test_pg_names_a_channel_and_is_ignored_with_a_group(api, group):
    assert issue(api, pg="nice_v2")[1]["response"]["pg_provider"] == "nice_v2"
    assert issue(api, pg="nice_v2.mid_nice_v2")[1]["response"]["pg_provider"] == "nice_v2"
    assert "channelGroupId" in issue(api, pg="nice_v2", channelGroupId=group.group_id)[1]["response"]
    assert "channelGroupId" in issue(api, pg="unknown")[1]["response"]


def test_partial_success_is_success_and_says_who_failed(api, group, world):
    world.sandboxes["nice_v2"].fail("issue", "decline")
    _, body = issue(api)
    assert body["code"] == 0
    (failed,) = body["response"]["failedChannels"]
    assert (failed["pg_provider"], failed["type"]) == ("nice_v2", "PG_PROVIDER")
    assert [c["pg_provider"] for c in body["response"]["succeededChannels"]] == ["tosspayments"]
    assert body["channelSpecificFailures"][0]["channel"]["pgProvider"] == "nice_v2"


def test_if_all_fail_nothing_is_stored(api, group):
    status, body = issue(api, card=EXPIRED)
    assert (status, body["code"], body["response"]) == (200, -1, None)
    assert "카드정보 인증 및 빌키 발급에 실패하였습니다." in body["message"]
    assert len(body["channelSpecificFailures"]) == 2
    status, body = api.get("/subscribe/customers/customer-1")
    assert (status, body["code"]) == (200, 1)
    assert body["message"] == "요청하신 customer_uid(customer-1)로 등록된 정보를 찾을 수 없습니다."


def test_a_key_is_replaced_by_the_next_issue(api, group, world):
    first = issue(api)[1]["response"]
    world.clock.advance(seconds=5)
    second = issue(api, card={**CARD, "card_number": "5555-4444-3333-1111"})[1]["response"]
    assert second["inserted"] == first["inserted"]
    assert second["updated"] == first["updated"] + 5
    assert second["card_number"].endswith("1111")


def test_deleting_a_key_deletes_it_at_the_gateways(api, group, world):
    issue(api)
    assert api.delete("/subscribe/customers/customer-1")[1]["response"]["customer_uid"] == "customer-1"
    assert api.delete("/subscribe/customers/customer-1")[1]["code"] == 1
    _, body = api.post("/subscribe/payments/again", customer_uid="customer-1", merchant_uid="o1", amount=1, name="x")
    assert (body["code"], body["message"]) == (1, "등록되지 않은 구매자입니다.")


def test_again_with_the_samples_amount_object(api, group):
    issue(api)
    _, body = api.post(
        "/subscribe/payments/again",
        customer_uid="customer-1",
        merchant_uid="o1",
        name="월간 이용권 정기결제",
        amount={"total": 8900},
        currency="KRW",
    )
    payment = body["response"]
    assert (payment["status"], payment["amount"], payment["customer_uid_usage"]) == ("paid", 8900, "payment")


def test_a_decline_is_code_zero_with_status_failed(api, group):
    _, body = api.post("/subscribe/payments/onetime", STOLEN, merchant_uid="o1", amount=1000)
    assert body["code"] == 0
    assert body["response"]["status"] == "failed"
    assert body["response"]["fail_reason"]
    assert body["response"]["pg_provider"] in ("tosspayments", "nice_v2")


def test_an_unknown_outcome_says_so(api, group, world):
    for box in world.sandboxes.values():
        box.fail("charge", "reply_lost")
    _, body = api.post("/subscribe/payments/onetime", CARD, merchant_uid="o1", amount=1000)
    assert (body["code"], body["response"]["status"]) == (0, "ready")
    assert "확인하고 있습니다" in body["message"]


def test_unknown_group_is_http_200_code_1(api, group):
    status, body = api.post(
        "/subscribe/payments/onetime", CARD, merchant_uid="o1", amount=1000, channelGroupId="channel-group-test-x"
    )
    assert (status, body["code"], body["response"]) == (200, 1, None)
    assert "채널 그룹" in body["message"]


def test_group_and_channel_together_is_a_pin(api, group, world):
    for provider in ("tosspayments", "nice_v2"):
        _, body = api.post(
            "/subscribe/payments/onetime",
            CARD,
            merchant_uid=f"o-{provider}",
            amount=1000,
            channelGroupId=group.group_id,
            channel_key=world.channels[provider],
        )
        assert body["response"]["pg_provider"] == provider
    _, body = api.post(
        "/subscribe/payments/onetime", CARD, merchant_uid="o3", amount=1, channelGroupId=group.group_id, channel_key="x"
    )
    assert body["code"] == 1


def test_onetime_with_a_customer_uid_stores_a_key(api, group):
    _, body = api.post("/subscribe/payments/onetime", CARD, merchant_uid="o1", amount=1000, customer_uid="c9")
    assert body["response"]["status"] == "paid"
    assert api.get("/subscribe/customers/c9")[1]["code"] == 0


def pay(api, uid="o1", amount=10000):
    _, body = api.post("/subscribe/payments/onetime", CARD, merchant_uid=uid, amount=amount)
    return body["response"]["imp_uid"]


@pytest.mark.parametrize("provider", ["tosspayments", "nice_v2"])
def test_cancel_in_parts_then_the_rest(api, group, world, provider):
    _, body = api.post(
        "/subscribe/payments/onetime", CARD, merchant_uid="o1", amount=10000, channel_key=world.channels[provider]
    )
    imp_uid = body["response"]["imp_uid"]
    _, body = api.post("/payments/cancel", imp_uid=imp_uid, amount=3000, checksum=10000, reason="변심")
    payment = body["response"]
    assert (payment["status"], payment["cancel_amount"], payment["cancel_reason"]) == ("cancelled", 3000, "변심")
    assert {"pg_tid", "amount", "cancelled_at", "reason", "cancellation_id"} <= set(payment["cancel_history"][0])
    _, body = api.post("/payments/cancel", imp_uid=imp_uid, amount=1, checksum=10000)
    assert body["code"] == 1
    assert "checksum" in body["message"]
    _, body = api.post("/payments/cancel", merchant_uid="o1", amount=7001)
    assert body["code"] == 1
    _, body = api.post("/payments/cancel", merchant_uid="o1")
    assert body["response"]["cancel_amount"] == 10000
    assert len(body["response"]["cancel_history"]) == 2
    _, body = api.post("/payments/cancel", merchant_uid="o1")
    assert (body["code"], body["message"], body["response"]) == (1, "이미 전액취소된 주문입니다.", None)
    (transaction,) = world.sandboxes[provider].transactions()
    assert (transaction["state"], transaction["balance"]) == ("cancelled", 0)


def test_cancel_amount_zero_means_all(api, group):
    pay(api)
    assert api.post("/payments/cancel", merchant_uid="o1", amount=0)[1]["response"]["cancel_amount"] == 10000


def test_cancel_wrong_imp_uid_wins_over_a_right_merchant_uid(api, group):
    pay(api)
    _, body = api.post("/payments/cancel", imp_uid="imp_000000000000", merchant_uid="o1")
    assert (body["code"], body["message"]) == (1, "취소할 결제건이 존재하지 않습니다.")


def test_cancel_without_an_id(api, group):
    status, body = api.post("/payments/cancel", amount=1)
    assert status == 400
    assert "지정해주셔야합니다." in body["message"]


@pytest.mark.parametrize("provider", ["tosspayments", "nice_v2"])
@pytest.mark.parametrize("fault", ["reply_lost", "http_500", "garbage"])
def test_a_cancel_without_an_answer_is_finished_once(api, group, world, provider, fault):
    _, body = api.post(
        "/subscribe/payments/onetime", CARD, merchant_uid="o1", amount=10000, channel_key=world.channels[provider]
    )
    imp_uid = body["response"]["imp_uid"]
    world.sandboxes[provider].fail("cancel", fault)
    status, body = api.post("/payments/cancel", imp_uid=imp_uid, amount=4000)
    # Told "no", a merchant would ask once more, and give back twice.
    assert (status, body["code"], body["response"]["status"]) == (200, 0, "paid")
    assert (body["response"]["cancel_amount"], body["response"]["cancel_history"]) == (0, [])
    assert "다시 취소하지 말고" in body["message"]
    assert api.get(f"/payments/{imp_uid}")[1]["message"] == body["message"]
    assert api.post("/payments/cancel", imp_uid=imp_uid)[1]["code"] == 1
    world.run_to_quiet()
    payment = api.get(f"/payments/{imp_uid}")[1]["response"]
    assert payment["cancel_amount"] == 4000
    (transaction,) = world.sandboxes[provider].transactions()
    assert transaction["balance"] == 6000


def test_concurrent_cancels_never_exceed_the_payment(api, group, world):
    from concurrent.futures import ThreadPoolExecutor

    from chalicelib.domain.errors import Refused
    from chalicelib.usecases import cancels

    imp_uid = pay(api)

    def one(_):
        try:
            cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=imp_uid, amount=Decimal(4000)))
        except Refused:
            return 0
        return 4000

    with ThreadPoolExecutor(8) as pool:
        given_back = sum(pool.map(one, range(8)))
    payment = api.get(f"/payments/{imp_uid}")[1]["response"]
    assert payment["cancel_amount"] == given_back <= 8000
    assert sum(t["balance"] for t in world.captured()) == 10000 - given_back


def test_find_prefers_the_newest_and_filters_by_status(api, group, world):
    api.post("/subscribe/payments/onetime", STOLEN, merchant_uid="o1", amount=1000)
    world.clock.advance(seconds=10)
    pay(api, "o1")
    assert api.get("/payments/find/o1")[1]["response"]["status"] == "paid"
    assert api.get("/payments/find/o1", sorting="started")[1]["response"]["status"] == "failed"
    assert api.get("/payments/find/o1/failed")[1]["response"]["status"] == "failed"
    assert api.get("/payments/find/o1/cancelled")[0] == 404
    status, body = api.get("/payments/find/o1/nonsense")
    assert (status, body["message"]) == (400, "지원되지 않는 상태값입니다.")
    status, body = api.get("/payments/find/o2")
    assert (status, body["message"], body["response"]) == (404, "존재하지 않는 결제정보입니다.", None)
    assert api.get("/payments/find/o1", include_sandbox="false")[0] == 404


def test_the_admin_sees_why(api, group):
    imp_uid = pay(api)
    status, body = api.get(f"/admin/payments/{imp_uid}")
    assert status == 200
    (attempt,) = body["attempts"]
    assert attempt["outcome"] == "approved"
    assert [c["weight"] for c in attempt["decision"]["candidates"]] == [60, 40]
    assert attempt["took_ms"] >= 0


def test_every_payment_field_is_in_the_contract():
    contract = Path(__file__).parents[1] / "fixtures" / "v1-payment-fields.txt"
    assert set(contract.read_text().split()) - {"deposit_history"} == PAYMENT_KEYS
