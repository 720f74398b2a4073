"""Virtual accounts over HTTP: what V1's clients send, and what they read."""

import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from tests.support.api import CARD
from tests.support.recovery import at

REFUND = {"refund_holder": "홍길동", "refund_bank": "088", "refund_account": "110-123-456789"}


@pytest.fixture(autouse=True)
def gateways(world, api):
    world.two_gateways()
    world.webhook_url("https://shop.example/hook")


@pytest.fixture
def toss(world):
    return world.sandboxes["tosspayments"]


def fields(world, **changes):
    given = {
        "merchant_uid": "vbank-1",
        "amount": 8900,
        "name": "월간 이용권",
        "buyer_name": "홍길동",
        "buyer_tel": "010-1234-5678",
        "vbank_code": "088",
        "vbank_due": at(world, days=3),
        "vbank_holder": "스마트라우팅",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def issue(api, world, **changes):
    status, body = api.post("/vbanks", fields(world, **changes))
    assert (status, body["code"]) == (200, 0), body
    return body["response"]


def order_id(payment):
    return payment["imp_uid"].replace("_", "") + "a1"


def pay_in(api, world, payment):
    """The buyer pays, and the gateway tells, without a token."""
    notice = world.sandboxes["tosspayments"].deposit(order_id(payment))
    path = f"/notices/{world.merchant_id}/{world.channels['tosspayments']}"
    return api.send(
        "POST", path, json.dumps(notice).encode(), {"Content-Type": "application/json", "Authorization": ""}
    )


def test_issue_deposit_and_refund(api, world, toss):
    issued = issue(api, world)
    shown = {name: issued[name] for name in issued if "bank" in name}
    assert shown == {
        "bank_code": None,
        "bank_name": None,
        "vbank_code": "088",
        "vbank_name": "신한은행",
        "vbank_num": toss.simulator.books.any_of(order_id(issued)).details["number"],
        "vbank_holder": None,  # Toss does not tell it
        "vbank_date": at(world, days=3),
        "vbank_issued_at": at(world),
    }
    assert (issued["status"], issued["pay_method"], issued["amount"], issued["paid_at"]) == ("ready", "vbank", 8900, 0)
    assert (issued["card_name"], issued["card_quota"]) == (None, 0)
    assert pay_in(api, world, issued)[:1] == (200,)
    paid = api.get(f"/payments/{issued['imp_uid']}")[1]["response"]
    assert (paid["status"], paid["paid_at"], paid["vbank_num"]) == ("paid", at(world), issued["vbank_num"])
    status, body = api.post("/payments/cancel", REFUND, imp_uid=issued["imp_uid"], amount=900)
    assert (status, body["code"]) == (200, 0)
    assert (body["response"]["status"], body["response"]["cancel_amount"]) == ("cancelled", 900)
    world.run_queue()
    told = [json.loads(content)["status"] for _, content, _ in world.sender.sent]
    assert told == ["ready", "paid"]


def test_a_form_with_everything_in_it(api, world, toss):
    given = fields(
        world,
        amount="8900",
        channel_key=world.channels["tosspayments"],
        tax_free="900",
        vat_amount="700",
        vbank_key="gildong-1",
        product_type="real",
        product_count="2",
        business_registration_number="1234567890",
        custom_data='{"a": 1}',
        buyer_email="gildong@shop.kr",
        buyer_addr="서울",
        buyer_postcode="04524",
        fixed_unlimited_vbank="false",
        escrow_password="",
        vbank_num="",
    )
    given |= {"notice_url[0]": "https://a.example/1", "notice_url[1]": "https://a.example/2"}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body = api.send("POST", "/vbanks?pg_api_key=ignored", urlencode(given).encode(), kind)
    assert (status, body["code"], body["response"]["status"]) == (200, 0, "ready"), body
    at_gateway = toss.simulator.books.any_of(order_id(body["response"])).details
    assert (at_gateway["fixed"], at_gateway["taxFreeAmount"]) == (True, 900)
    world.run_queue()
    assert [url for url, _, _ in world.sender.sent] == ["https://a.example/1", "https://a.example/2"]


@pytest.mark.parametrize("target", ["channel_key", "channelKey", "channelGroupId", "channel_group_id", "pg", None])
def test_whatever_names_the_channel(api, world, target):
    group = api.get("/admin/channel-groups")[1][0]["id"]
    values = {"channelGroupId": group, "channel_group_id": group, "pg": "tosspayments"}
    named = {target: values.get(target, world.channels["tosspayments"])} if target else {}
    assert issue(api, world, **named)["pg_provider"] == "tosspayments"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"merchant_uid": None}, "merchant_uid"),
        ({"merchant_uid": "x" * 41}, "merchant_uid"),
        ({"amount": None}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": "많이"}, "amount"),
        ({"vbank_code": None}, "vbank_code"),
        ({"vbank_code": "88"}, "vbank_code"),
        ({"vbank_code": "신한은행"}, "vbank_code"),
        ({"vbank_due": None}, "vbank_due"),
        ({"vbank_due": "내일"}, "vbank_due"),
        ({"vbank_due": 0}, "vbank_due"),
        ({"vbank_due": 1_700_000_000}, "vbank_due"),
        ({"vbank_due": 1_800_000_000_000}, "vbank_due"),
        ({"vbank_due": 10**15}, "vbank_due"),
        ({"vbank_due": 1_795_400_000 + 120 * 86400}, "vbank_due"),
        ({"vbank_holder": "x" * 17}, "vbank_holder"),
        ({"vbank_key": "x" * 14}, "vbank_key"),
        ({"vbank_num": "123-456"}, "vbank_num"),
        ({"escrow_password": "1234"}, "escrow_password"),
        ({"fixed_unlimited_vbank": True}, "fixed_unlimited_vbank"),
        ({"fixed_unlimited_vbank": "1"}, "fixed_unlimited_vbank"),
        ({"tax_free": 9000}, "tax_free"),
        ({"vat_amount": 9000}, "vat_amount"),
        ({"notice_url": "file:///etc/passwd"}, "notice_url"),
        ({"buyer_name": "x" * 17}, "buyer_name"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_issued(api, world, toss, changes, field):
    status, body = api.post("/vbanks", fields(world, **changes))
    assert (status, body["code"], body["field"]) == (400, -1, field), body
    assert body["message"].startswith(f"{field}: ")
    assert not toss.transactions()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"buyer_name": None, "vbank_holder": None}, "buyer_name"),
        ({"vbank_code": "001"}, "vbank_code"),
        ({"currency": "USD", "amount": 10}, "USD"),
        ({"channel_key": "nice"}, "계약이 필요합니다"),
        ({"channel_key": "channel-key-unknown"}, "channel_key"),
    ],
)
def test_what_no_channel_can_do_says_why(api, world, toss, changes, text):
    changes = {name: world.channels.get("nice_v2") if value == "nice" else value for name, value in changes.items()}
    status, body = api.post("/vbanks", fields(world, **changes))
    assert (status, body["response"]) == (200, None)
    assert body["code"] != 0
    assert text in str(body)
    assert not toss.transactions()


def test_the_gateways_refusal(api, world, toss):
    toss.fail("account", "decline", code="EXCEED_DEPOSIT_AMOUNT_LIMIT")
    status, body = api.post("/vbanks", fields(world))
    assert (status, body["code"], body["response"]) == (200, -1, None)
    assert "EXCEED_DEPOSIT_AMOUNT_LIMIT" in body["message"]


def test_an_unknown_outcome_is_ready_without_a_number(api, world, toss):
    toss.fail("account", "reply_lost")
    status, body = api.post("/vbanks", fields(world))
    assert (status, body["code"], body["response"]["status"], body["response"]["vbank_num"]) == (200, 0, "ready", None)
    assert "확인하고 있습니다" in body["message"]
    status, body = api.delete(f"/vbanks/{body['response']['imp_uid']}")
    assert (status, body["code"]) == (200, 1)


def test_one_live_account_per_order(api, world):
    issue(api, world)
    status, body = api.post("/vbanks", fields(world))
    assert (status, body["code"], body["field"]) == (200, 1, "merchant_uid")


def test_revoke(api, world, toss):
    imp_uid = issue(api, world)["imp_uid"]
    status, body = api.delete(f"/vbanks/{imp_uid}?pg_api_key=ignored")
    assert (status, body["code"]) == (200, 0)
    revoked = body["response"]
    assert (revoked["status"], revoked["cancel_amount"], revoked["cancelled_at"]) == ("cancelled", 0, at(world))
    assert revoked["cancel_history"] == []
    assert api.get("/payments/find/vbank-1/cancelled")[1]["response"]["imp_uid"] == imp_uid
    for method in (api.delete, api.put):
        status, body = method(f"/vbanks/{imp_uid}")
        assert (status, body["code"], body["field"]) == (400, -1, "imp_uid")
    assert [row["state"] for row in toss.transactions()] == ["revoked"]


def test_revoke_and_change_of_what_is_no_virtual_account(api, world):
    paid = api.post("/subscribe/payments/onetime", CARD, merchant_uid="card", amount=1000, name="n")[1]["response"]
    for method in (api.delete, api.put):
        assert method(f"/vbanks/{paid['imp_uid']}")[0] == 400
        assert method("/vbanks/imp_000000000000")[0] == 404


def test_no_gateway_can_change_one(api, world):
    imp_uid = issue(api, world)["imp_uid"]
    status, body = api.put(f"/vbanks/{imp_uid}", amount=1000, vbank_due=at(world, days=9))
    assert (status, body["code"]) == (200, 1)
    assert "토스페이먼츠" in body["message"]
    assert api.put(f"/vbanks/{imp_uid}", amount="x")[0] == 400
    assert api.get(f"/payments/{imp_uid}")[1]["response"]["status"] == "ready"


def test_a_token_is_needed(api, world):
    for method, path in (("POST", "/vbanks"), ("PUT", "/vbanks/imp_1"), ("DELETE", "/vbanks/imp_1")):
        assert api.send(method, path, b"", {"Authorization": "nonsense"})[0] == 401


def test_another_merchants_account_is_not_there(api, world):
    imp_uid = issue(api, world)["imp_uid"]
    from chalicelib.usecases import merchants

    other = merchants.create(world.deps, "other")
    api.login(other)
    assert api.delete(f"/vbanks/{imp_uid}")[0] == 404


@pytest.mark.parametrize(("field", "missing"), [("refund_holder", 0), ("refund_bank", 1), ("refund_account", 2)])
def test_a_refund_without_an_account(api, world, toss, field, missing):
    issued = issue(api, world)
    pay_in(api, world, issued)
    given = {name: value for n, (name, value) in enumerate(REFUND.items()) if n != missing}
    status, body = api.post("/payments/cancel", given, imp_uid=issued["imp_uid"])
    assert (status, body["code"], body["field"]) == (200, 1, field)
    assert [row["state"] for row in toss.transactions()] == ["captured"]


def test_cancelling_what_waits_points_to_the_revoke(api, world):
    issued = issue(api, world)
    status, body = api.post("/payments/cancel", REFUND, imp_uid=issued["imp_uid"])
    assert (status, body["code"]) == (200, 1)
    assert "DELETE /vbanks" in body["message"]


def test_a_deposit_can_have_a_cash_receipt(api, world):
    issued = issue(api, world)
    path = f"/receipts/{issued['imp_uid']}"
    assert api.post(path, identifier="010-1234-5678")[0] == 400
    pay_in(api, world, issued)
    status, body = api.post(path, identifier="010-1234-5678")
    assert (status, body["code"], body["response"]["amount"]) == (200, 0, 8900), body


# --- notices ------------------------------------------------------------------------------------------------------


def test_answers_to_a_gateway(api, world, toss):
    issued = issue(api, world)
    path = f"/notices/{world.merchant_id}/{world.channels['tosspayments']}"
    toss.fail("find", "http_500")
    notice = toss.deposit(order_id(issued))
    assert api.post(path, notice)[0] == 503
    assert api.post(path, notice, secret="ps_of_somebody_else")[0] == 404
    assert api.post(path, notice, orderId="imp999999999999a1")[0] == 404
    assert api.post(f"/notices/imp00000000/{world.channels['tosspayments']}", notice)[0] == 404
    assert api.post(f"/notices/{world.merchant_id}/channel-key-unknown", notice)[0] == 404
    assert (
        api.post(f"/notices/{world.merchant_id}/{world.channels['nice_v2']}", notice)[0] == 400
    )  # no notice of NICE's
    assert api.post(path, {})[0] == 400
    assert api.send("POST", path, b"\xff\xfe", {"Content-Type": "application/json"})[0] == 400
    assert api.get(f"/payments/{issued['imp_uid']}")[1]["response"]["status"] == "ready"
    assert api.form(path, notice)[0] == 200
    assert api.get(f"/payments/{issued['imp_uid']}")[1]["response"]["status"] == "paid"
    assert api.post(path, notice)[0] == 200


def test_what_happens_to_one_that_nobody_pays_into(api, world):
    imp_uid = issue(api, world)["imp_uid"]
    world.clock.advance(seconds=timedelta(days=3, minutes=6).total_seconds())
    for _ in range(20):
        world.sweep()
        world.run_queue()
        world.clock.advance(seconds=60)
    api.login(world.merchant)
    shown = api.get(f"/payments/{imp_uid}")[1]["response"]
    assert (shown["status"], shown["paid_at"]) == ("failed", 0)
    assert "입금기한" in shown["fail_reason"]
    assert issue(api, world)["status"] == "ready"


def test_they_are_in_the_lists(api, world):
    """Whose totals the store checks against what is there."""
    issued = [issue(api, world, merchant_uid=f"vbank-{n}")["imp_uid"] for n in range(3)]
    api.delete(f"/vbanks/{issued[1]}")
    pay_in(api, world, {"imp_uid": issued[2]})
    for status, imp_uid in zip(("ready", "cancelled", "paid"), issued, strict=True):
        listed = api.get(f"/payments/status/{status}")[1]["response"]
        assert (listed["total"], [row["imp_uid"] for row in listed["list"]]) == (1, [imp_uid])


def test_an_older_client_names_the_holder_only(api, world, toss):
    named = fields(world, buyer_name=None, vbank_holder="홍길동")
    assert api.post("/vbanks", named)[1]["response"]["buyer_name"] == "홍길동"
