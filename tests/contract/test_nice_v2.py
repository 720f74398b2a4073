"""What only NICE Payments does, and what its simulator insists on."""

import base64
import hashlib
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import urllib3

from chalicelib.domain.charging import Approved, Cancelled, Declined, KeyDeleted, KeyIssued, NotFound, NotSent, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.money import Money
from chalicelib.gateways.nice_v2 import _encrypt
from infra.sandbox.nice_v2 import BEARER_CREDENTIALS, TEST_CREDENTIALS
from tests.contract.conftest import CARD, TIMEOUT

SECRET_KEY = TEST_CREDENTIALS["secret_key"]
PLAIN = f"cardNo={CARD.number}&expYear=39&expMonth=11&idNo=880217&cardPw=37"


@pytest.fixture
def wire(nice):
    """wire(method, path, body) -> (status, JSON): the simulator without the adapter."""
    pool = urllib3.PoolManager()
    token = base64.b64encode(f"{TEST_CREDENTIALS['client_id']}:{SECRET_KEY}".encode()).decode()

    def call(method, path, body=None, authorization=f"Basic {token}"):
        headers = {"Authorization": authorization, "Content-Type": "application/json;charset=utf-8"}
        reply = pool.request(method, nice.sandbox.url + path, body=json.dumps(body or {}), headers=headers)
        return reply.status, reply.json()

    yield call
    pool.clear()


def last_key(nice):
    return list(nice.sandbox.simulator.books.keys.values())[-1]


def order(order_id, **changes):
    body = {"orderId": order_id, "amount": 8900, "goodsName": "이용권", "cardQuota": "0", "useShopInterest": False}
    return {name: value for name, value in (body | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"orderId": None}, "U100"),
        ({"orderId": "x" * 65}, "U105"),
        ({"amount": "many"}, "U105"),
        ({"amount": 999}, "3041"),
        ({"amount": 0}, "P017"),
        ({"goodsName": None}, "U100"),
        ({"goodsName": "가" * 14}, "U105"),
        ({"goodsName": "50% 할인"}, "U105"),
        ({"cardQuota": None}, "U100"),
        ({"cardQuota": 0}, "3022"),
        ({"cardQuota": "3"}, "3024"),
        ({"useShopInterest": True}, "3031"),
        ({"useShopInterest": None}, "U100"),
        ({"ediDate": "2026-11-23T12:00:00.000+0900", "signData": "0" * 64}, "A211"),
    ],
)
def test_the_simulator_checks_what_the_manual_says(nice, wire, changes, code):
    bid = nice.key()["bid"]
    status, answer = wire("POST", f"/v1/subscribe/{bid}/payments", order(nice.order_id(), **changes))
    assert (status, answer["resultCode"]) == (200, code)


def test_amounts_may_be_written_as_text(nice, wire):
    bid = nice.key()["bid"]
    assert wire("POST", f"/v1/subscribe/{bid}/payments", order(nice.order_id(), amount="8900"))[1]["amount"] == 8900


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (PLAIN.replace("&cardPw=37", ""), "U100"),
        (PLAIN.replace(CARD.number, "1234"), "3011"),
        (PLAIN.replace("expYear=39", "expYear=2039"), "3021"),
        (PLAIN.replace("expYear=39", "expYear=21"), "3021"),
        (PLAIN.replace("880217", "88"), "F113"),
        (PLAIN.replace("cardPw=37", "cardPw=3"), "F113"),
    ],
)
def test_the_simulator_opens_the_envelope(nice, wire, text, code):
    body = {"orderId": nice.order_id(), "encMode": "A2", "encData": _encrypt(text, SECRET_KEY)}
    assert wire("POST", "/v1/subscribe/regist", body)[1]["resultCode"] == code


@pytest.mark.parametrize("enc_data", ["zz", "00", "ab" * 300, "", 7])
def test_the_simulator_refuses_a_broken_envelope(nice, wire, enc_data):
    body = {"orderId": nice.order_id(), "encMode": "A2", "encData": enc_data}
    assert wire("POST", "/v1/subscribe/regist", body)[1]["resultCode"] in {"U100", "U105"}


def test_unknown_client_gets_401(wire):
    token = base64.b64encode(b"S2_nobody:secret").decode()
    assert wire("GET", "/v1/payments/find/x?orderDate=20261123", authorization=f"Basic {token}")[0] == 401


def test_query_needs_the_date(nice, wire):
    order_id, _ = nice.charge()
    for query in ("", "?orderDate=", "?orderDate=2026-11-23"):
        assert wire("GET", f"/v1/payments/find/{order_id}{query}")[1]["resultCode"] == "U100"


def test_a_paid_order_id_is_used_up_and_a_declined_one_is_not(nice, wire):
    bid, order_id = nice.key()["bid"], nice.order_id()
    nice.sandbox.fail("charge", "decline")
    path = f"/v1/subscribe/{bid}/payments"
    assert [wire("POST", path, order(order_id))[1]["resultCode"] for _ in range(3)] == ["3095", "0000", "U112"]


def test_bearer_keys_are_refused_with_a_word_of_help(nice):
    gateway = nice.connect(BEARER_CREDENTIALS)
    result = gateway.charge_card(nice.order_id(), nice.request(), CARD, TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.reason, result.code) == (DeclineReason.CHANNEL_REJECTED, "U103")
    assert "Bearer" in result.message


def test_a_secret_key_of_another_length_is_the_channels_fault(nice):
    gateway = nice.connect({**TEST_CREDENTIALS, "secret_key": "too-short"})
    result = gateway.charge_card(nice.order_id(), nice.request(), CARD, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.CHANNEL_REJECTED


# --- the one-time charge: issue, charge, delete -----------------------------------------------------------------


def test_a_one_time_charge_leaves_no_key(nice):
    _, approved = nice.charge()
    assert isinstance(approved, Approved)
    assert last_key(nice).deleted


def test_a_declined_one_time_charge_leaves_no_key(nice):
    nice.sandbox.fail("charge", "decline")
    _, declined = nice.charge()
    assert isinstance(declined, Declined)
    assert last_key(nice).deleted


@pytest.mark.parametrize("fault", ["reply_lost", "http_500", "garbage", "decline"])
def test_a_key_that_stays_behind_changes_nothing(nice, caplog, fault):
    nice.sandbox.fail("delete", fault)
    order_id, approved = nice.charge()
    assert isinstance(approved, Approved)
    assert "was not deleted" in caplog.text
    assert nice.money_taken(order_id) == 8900


@pytest.mark.parametrize("fault", ["reply_lost", "http_500", "garbage"])
def test_no_answer_to_the_issue_means_nothing_was_charged(nice, fault):
    nice.sandbox.fail("issue", fault)
    order_id, result = nice.charge()
    assert isinstance(result, NotSent)
    assert nice.books(order_id) == []


def test_the_issue_leaves_time_for_the_charge(nice):
    nice.sandbox.fail("issue", "timeout")
    order_id = nice.order_id()
    result = nice.gateway.charge_card(order_id, nice.request(), CARD, 0.6)
    assert isinstance(result, NotSent)
    assert nice.find(order_id) == NotFound()


def test_a_used_order_id_at_issue_may_mean_an_earlier_charge(nice):
    """NotSent would let another channel charge the buyer again."""
    order_id, _ = nice.charge()
    nice.sandbox.fail("charge", "decline", code="F113")
    assert isinstance(nice.gateway.charge_card(order_id, nice.request(), CARD, TIMEOUT), Unknown)
    assert nice.money_taken(order_id) == 8900


# --- queries near midnight --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "carried_out"),
    [
        ("2026-11-23T23:59:30+09:00", "2026-11-24T00:00:10+09:00"),
        ("2026-11-24T00:00:10+09:00", "2026-11-23T23:59:50+09:00"),
        ("2026-11-24T00:20:00+09:00", "2026-11-24T00:20:01+09:00"),
        ("2026-11-23T12:00:00+09:00", "2026-11-23T12:00:01+09:00"),
    ],
)
def test_an_order_is_found_on_either_side_of_midnight(nice, asked, carried_out):
    nice.sandbox.clock.set(datetime.fromisoformat(carried_out).timestamp())
    order_id, _ = nice.charge()
    requested_at = datetime.fromisoformat(asked).astimezone(UTC)
    nice.clock.shift = datetime(2026, 11, 25, tzinfo=UTC) - datetime.now(UTC)
    assert isinstance(nice.gateway.find_charge(nice.query(order_id, requested_at=requested_at), TIMEOUT), Approved)


def test_one_question_is_enough_by_day(nice):
    order_id, _ = nice.charge()
    noon = datetime(2026, 11, 20, 3, tzinfo=UTC)
    nice.sandbox.fail("find", "http_500", times=5)
    nice.gateway.find_charge(nice.query(order_id, requested_at=noon), TIMEOUT)
    assert nice.sandbox.faults.view()[0]["times"] == 4


def test_near_midnight_not_found_needs_both_days(nice):
    midnight = datetime(2026, 11, 20, 15, 0, 5, tzinfo=UTC)
    order_id = nice.order_id()
    assert nice.gateway.find_charge(nice.query(order_id, requested_at=midnight), TIMEOUT) == NotFound()
    nice.sandbox.fail("find", "decline", code="U126")
    nice.sandbox.fail("find", "reply_lost")
    assert isinstance(nice.gateway.find_charge(nice.query(order_id, requested_at=midnight), TIMEOUT), Unknown)


# --- signatures and replies -------------------------------------------------------------------------------------


def payment(order_id, amount=8900, **changes):
    body = {
        "resultCode": "0000",
        "tid": "tid-1",
        "orderId": order_id,
        "status": "paid",
        "amount": amount,
        "balanceAmt": amount,
        "ediDate": "2026-11-23T12:00:00.000+0900",
        "currency": "KRW",
    } | changes
    text = f"{body['tid']}{body['amount']}{body['ediDate']}{SECRET_KEY}"
    return {"signature": hashlib.sha256(text.encode()).hexdigest()} | body


@pytest.mark.parametrize(
    ("changes", "charged", "found"),
    [
        ({}, Approved, Approved),
        ({"signature": None}, Approved, Approved),
        ({"signature": "0" * 64}, Unknown, Unknown),
        ({"resultCode": "3001"}, Approved, Unknown),
        ({"status": "ready"}, Unknown, Unknown),
        ({"status": "cancelled", "balanceAmt": 0}, Unknown, Approved),
        ({"status": "partialCancelled"}, Unknown, Approved),
        ({"status": "failed"}, Unknown, Declined),
        ({"status": "failed", "resultCode": "3021"}, Declined, Declined),
        ({"status": "expired"}, Unknown, Declined),
        ({"status": "new"}, Unknown, Unknown),
        ({"amount": 8900.5}, Unknown, Unknown),
        ({"tid": ""}, Unknown, Unknown),
        ({"paidAt": "0", "card": {"cardCode": 4}}, Approved, Approved),
    ],
)
def test_each_reply(nice, answering, changes, charged, found):
    order_id = nice.order_id()
    gateway = nice.connect(TEST_CREDENTIALS, answering(json.dumps(payment(order_id, **changes)).encode()))
    secret = {"bid": "BIKY1"}
    assert isinstance(gateway.charge_billing_key(order_id, nice.request(), secret, TIMEOUT), charged)
    assert isinstance(
        gateway.find_charge(nice.query(order_id, requested_at=datetime(2026, 11, 23, 3, tzinfo=UTC)), TIMEOUT), found
    )


def test_success_needs_http_200(nice, answering):
    order_id = nice.order_id()
    gateway = nice.connect(TEST_CREDENTIALS, answering(json.dumps(payment(order_id)).encode(), "403 Forbidden"))
    assert isinstance(gateway.charge_billing_key(order_id, nice.request(), {"bid": "B"}, TIMEOUT), Unknown)


def test_legacy_capitals_are_read(nice, answering):
    request = nice.issue_request()
    body = {"ResultCode": "0000", "ResultMsg": "ok", "BID": "BIKY9", "OrderId": request.order_id, "AuthDate": "x"}
    gateway = nice.connect(TEST_CREDENTIALS, answering(json.dumps(body).encode()))
    issued = gateway.issue_billing_key(request, CARD, TIMEOUT)
    assert isinstance(issued, KeyIssued)
    assert issued.secret == {"bid": "BIKY9"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("분실 카드", DeclineReason.LOST_OR_STOLEN),
        ("도난 신고된 카드", DeclineReason.LOST_OR_STOLEN),
        ("거래정지 카드", DeclineReason.CARD_BLOCKED),
        ("한도초과", DeclineReason.LIMIT_EXCEEDED),
        ("잔액부족", DeclineReason.INSUFFICIENT_FUNDS),
        ("기타 사유", DeclineReason.ISSUER_DECLINED),
    ],
)
def test_what_an_issuer_means_stands_in_its_text(nice, answering, message, reason):
    body = json.dumps({"resultCode": "3095", "resultMsg": message}).encode()
    gateway = nice.connect(TEST_CREDENTIALS, answering(body))
    result = gateway.charge_billing_key(nice.order_id(), nice.request(), {"bid": "B"}, TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.reason, result.message) == (reason, message)


def test_a_key_answer_without_a_key_is_unknown(nice, answering):
    request = nice.issue_request()
    for body in (
        {"resultCode": "0000", "orderId": request.order_id},
        {"resultCode": "0000", "bid": "B", "orderId": "x"},
    ):
        gateway = nice.connect(TEST_CREDENTIALS, answering(json.dumps(body).encode()))
        assert isinstance(gateway.issue_billing_key(request, CARD, TIMEOUT), Unknown)


def test_a_deletion_of_another_key_is_not_ours(nice, answering):
    gateway = nice.connect(TEST_CREDENTIALS, answering(b'{"resultCode": "0000", "bid": "other"}'))
    assert not isinstance(gateway.delete_billing_key("key1", {"bid": "BIKY1"}, TIMEOUT), KeyDeleted)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "paid"},
        {"cancels": None},
        {"cancelledTid": "other"},
        {"cancels": [{"tid": "c-1", "amount": 901}]},
        {"tid": "another"},
        {"signature": "0" * 64},
    ],
)
def test_a_cancel_is_done_only_if_the_reply_shows_it(nice, answering, changes):
    order_id, approved = nice.charge()
    request = nice.cancel_request(order_id, approved, 900)
    shown = {"tid": approved.gateway_ref, "status": "partialCancelled", "cancelledTid": "c-1"}
    shown |= {"cancels": [{"tid": "c-1", "amount": 900}], "balanceAmt": 8000}
    believed = nice.connect(TEST_CREDENTIALS, answering(json.dumps(payment(order_id, **shown)).encode()))
    assert isinstance(believed.cancel(request, TIMEOUT), Cancelled)
    doubted = nice.connect(TEST_CREDENTIALS, answering(json.dumps(payment(order_id, **(shown | changes))).encode()))
    assert isinstance(doubted.cancel(request, TIMEOUT), Unknown)


# --- net-cancel -------------------------------------------------------------------------------------------------


def net_cancel(nice, order_id, approved):
    return nice.gateway.cancel(replace(nice.cancel_request(order_id, approved, 8900), gateway_ref=""), TIMEOUT)


def test_net_cancel_undoes_a_charge_whose_answer_was_lost(nice):
    order_id = nice.order_id()
    nice.sandbox.fail("charge", "reply_lost")
    nice.gateway.charge_card(order_id, nice.request(), CARD, TIMEOUT)
    lost = Approved("", Money(8900), nice.clock.now())
    result = net_cancel(nice, order_id, lost)
    assert isinstance(result, Cancelled)
    assert result.balance == Money(0)
    assert nice.money_taken(order_id) == 0
    assert isinstance(net_cancel(nice, order_id, lost), Unknown)


def test_net_cancel_ends_after_an_hour(nice):
    order_id, approved = nice.charge()
    nice.clock.shift = timedelta(seconds=3601)
    result = net_cancel(nice, order_id, approved)
    assert isinstance(result, Declined)
    assert result.code == "2020"
    assert nice.money_taken(order_id) == 8900


def test_net_cancel_of_nothing_is_unknown(nice):
    assert isinstance(net_cancel(nice, nice.order_id(), Approved("", Money(8900), nice.clock.now())), Unknown)


def test_partial_cancel_under_a_used_id(nice, wire):
    order_id, approved = nice.charge()
    request = nice.cancel_request(order_id, approved, 900)
    assert isinstance(nice.gateway.cancel(request, TIMEOUT), Cancelled)
    path = f"/v1/payments/{approved.gateway_ref}/cancel"
    body = {"reason": "변심", "orderId": request.cancel_id, "cancelAmt": 100}
    assert wire("POST", path, body)[1]["resultCode"] == "U112"
    assert wire("POST", path, {"reason": "변심", "orderId": "full1"})[1]["resultCode"] == "2031"
    assert wire("POST", path, body | {"orderId": "new1", "cancelAmt": 8001})[1]["resultCode"] == "2032"


def test_the_three_calls_of_a_one_time_charge_have_ids_and_times_of_their_own(nice, monkeypatch):
    calls = []
    gateway = nice.gateway
    send = gateway._http.ask

    def ask(method, url, **given):
        calls.append((json.loads(given["body"])["orderId"], given["timeout"]))
        if len(calls) == 1:
            time.sleep(0.3)
        return send(method, url, **given)

    monkeypatch.setattr(gateway._http, "ask", ask)
    order_id = nice.order_id()
    assert isinstance(gateway.charge_card(order_id, nice.request(), CARD, 3.0), Approved)
    assert [asked for asked, _ in calls] == [f"{order_id}r", order_id, f"{order_id}e"]
    assert calls[0][1] <= 1.0
    assert calls[1][1] <= 2.7
    assert calls[2][1] <= calls[1][1]
