"""What only Toss Payments does, and what its simulator insists on."""

import base64
import json
import threading
from dataclasses import replace

import pytest
import urllib3

from chalicelib.domain.charging import Approved, Cancelled, Declined, NotFound, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.money import Money
from infra.sandbox.tosspayments import PUBLISHED_CARD, TEST_CREDENTIALS
from tests.contract.conftest import CARD, TIMEOUT, Bench

KEY_IN = "/v1/payments/key-in"


@pytest.fixture
def wire(toss):
    """wire(method, path, body, headers) -> (status, JSON): the simulator without the adapter."""
    pool = urllib3.PoolManager()
    token = base64.b64encode(f"{TEST_CREDENTIALS['secret_key']}:".encode()).decode()

    def call(method, path, body=None, **headers):
        given = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        reply = pool.request(method, toss.sandbox.url + path, body=json.dumps(body or {}), headers=given, retries=False)
        return reply.status, reply.json() if reply.data else None

    yield call
    pool.clear()


def key_in(order_id, **changes):
    body = {
        "amount": 1000,
        "orderId": order_id,
        "orderName": "이용권",
        "cardNumber": CARD.number,
        "cardExpirationYear": "39",
        "cardExpirationMonth": "11",
        "customerIdentityNumber": "880217",
    }
    return {name: value for name, value in (body | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": 99}, "BELOW_MINIMUM_AMOUNT"),
        ({"amount": "1000"}, "INVALID_REQUEST"),
        ({"orderId": "short"}, "INVALID_ORDER_ID"),
        ({"orderId": "has blank 1"}, "INVALID_ORDER_ID"),
        ({"orderName": ""}, "INVALID_ORDER_NAME"),
        ({"orderName": "가" * 101}, "INVALID_ORDER_NAME"),
        ({"cardNumber": "123456"}, "INVALID_CARD_NUMBER"),
        ({"cardNumber": None}, "INVALID_REQUEST"),
        ({"cardExpirationYear": "2039"}, "INVALID_CARD_EXPIRATION"),
        ({"cardExpirationYear": "20"}, "INVALID_CARD_EXPIRATION"),
        ({"cardExpirationMonth": "13"}, "INVALID_CARD_EXPIRATION"),
        ({"customerIdentityNumber": "1988"}, "INVALID_BIRTH_DAY_FORMAT"),
        ({"customerIdentityNumber": None}, "INVALID_REQUEST"),
        ({"cardPassword": "123"}, "INVALID_CARD_PASSWORD"),
        ({"cardInstallmentPlan": 3}, "INVALID_CARD_INSTALLMENT_PLAN"),
        ({"customerEmail": "x" * 101}, "INVALID_EMAIL"),
    ],
)
def test_the_simulator_checks_what_the_reference_says(toss, wire, changes, code):
    status, answer = wire("POST", KEY_IN, key_in(toss.order_id(), **changes))
    assert (status, answer["code"]) == (400, code)


def test_authorization_needs_its_colon(toss, wire):
    bare = base64.b64encode(TEST_CREDENTIALS["secret_key"].encode()).decode()
    assert wire("GET", "/v1/payments/orders/imp1", Authorization=f"Basic {bare}") == (
        403,
        {"code": "INCORRECT_BASIC_AUTH_FORMAT", "message": "인증 헤더의 형식이 올바르지 않습니다."},
    )


def test_a_used_order_id(toss, wire):
    order_id = toss.order_id()
    assert wire("POST", KEY_IN, key_in(order_id))[0] == 200
    status, answer = wire("POST", KEY_IN, key_in(order_id))
    assert (status, answer["code"]) == (400, "DUPLICATED_ORDER_ID")


def test_a_declined_order_id_may_be_tried_again(toss, wire):
    order_id = toss.order_id()
    assert wire("POST", KEY_IN, key_in(order_id, cardNumber="4000000000000009"))[0] == 403
    assert wire("POST", KEY_IN, key_in(order_id))[0] == 200
    assert wire("GET", f"/v1/payments/orders/{order_id}")[1]["status"] == "DONE"


def test_idempotent_replay_ignores_the_body_and_keeps_refusals(toss, wire):
    first_id, second_id = toss.order_id(), toss.order_id()
    first = wire("POST", KEY_IN, key_in(first_id, cardNumber="4000000000000009"), Idempotency_Key=first_id)
    assert first[1]["code"] == "REJECT_CARD_PAYMENT"
    assert wire("POST", KEY_IN, key_in(second_id), Idempotency_Key=first_id) == first
    assert toss.money_taken(second_id) == 0


def test_idempotent_replay_ends_after_fifteen_days(toss, wire):
    name = toss.order_id()
    wire("POST", KEY_IN, key_in(name, cardNumber="4000000000000009"), Idempotency_Key=name)
    toss.sandbox.clock.advance(15 * 86_400 + 1)
    assert wire("POST", KEY_IN, key_in(name), Idempotency_Key=name)[0] == 200


def test_a_key_in_use_is_a_conflict(toss, wire):
    order_id = toss.order_id()
    toss.sandbox.fail("charge", "late_approval", seconds=3600)
    gateway = toss.gateway
    assert isinstance(gateway.charge_card(order_id, toss.request(), CARD, TIMEOUT), Unknown)
    _until(lambda: wire("POST", KEY_IN, key_in(order_id), Idempotency_Key=order_id)[0] == 409)
    second = gateway.charge_card(order_id, toss.request(), CARD, TIMEOUT)
    assert isinstance(second, Unknown)
    assert second.code == "IDEMPOTENT_REQUEST_PROCESSING"
    toss.sandbox.clock.advance(3600)
    _until(lambda: toss.books(order_id))


def _until(condition):
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.005)
    pytest.fail("did not happen")


def test_a_key_too_long(toss, wire):
    status, answer = wire("POST", KEY_IN, key_in(toss.order_id()), Idempotency_Key="x" * 301)
    assert (status, answer["code"]) == (400, "INVALID_IDEMPOTENCY_KEY")


@pytest.mark.parametrize(("code", "status"), [("EXCEED_MAX_AMOUNT", 400), ("FDS_ERROR", 403), ("COMMON_ERROR", 500)])
def test_the_test_code_header_comes_before_everything(wire, code, status):
    for path in ("/v1/payments/no-such-key/cancel", "/v1/billing/no-such-key"):
        assert wire("POST", path, {}, TossPayments_Test_Code=code) == (
            status,
            {"code": code, "message": "요청을 처리할 수 없습니다."},
        )


def test_published_card(toss):
    result = toss.gateway.charge_card(toss.order_id(), toss.request(), replace(CARD, number=PUBLISHED_CARD), TIMEOUT)
    assert isinstance(result, Approved)
    assert result.card.code == "374"


def test_final_partial_cancel_stays_partial(toss, wire):
    order_id, approved = toss.charge()
    for amount, balance in ((900, 8900), (8000, 8000)):
        assert isinstance(toss.gateway.cancel(toss.cancel_request(order_id, approved, amount, balance), 5), Cancelled)
    answer = wire("GET", f"/v1/payments/{approved.gateway_ref}")[1]
    assert (answer["status"], answer["balanceAmount"]) == ("PARTIAL_CANCELED", 0)
    assert [row["state"] for row in toss.books(order_id)] == ["cancelled"]


def test_a_balance_that_is_not_what_we_think_stops_the_cancel(toss):
    """Somebody cancelled in Toss's own console: nothing more is given back on a wrong idea of the balance."""
    order_id, approved = toss.charge()
    toss.gateway.cancel(toss.cancel_request(order_id, approved, 900), TIMEOUT)
    result = toss.gateway.cancel(toss.cancel_request(order_id, approved, 900, balance=8900), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.code == "NOT_MATCHES_REFUNDABLE_AMOUNT"
    assert toss.money_taken(order_id) == 8000


def test_customer_key_is_stable_for_a_named_buyer(toss):
    keys = [
        toss.gateway.issue_billing_key(toss.issue_request(name), CARD, TIMEOUT).secret["customer_key"]
        for name in ("member-7", "회원 7", "회원 7", None, None)
    ]
    assert keys[0] == "member-7"
    assert keys[1] == keys[2] != "회원 7"
    assert keys[3] != keys[4]


def test_wrong_customer_key(toss):
    secret = toss.key() | {"customer_key": "another"}
    result = toss.gateway.charge_billing_key(toss.order_id(), toss.request(), secret, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.code == "NOT_MATCHES_CUSTOMER_KEY"


def test_only_toss_itself_says_not_found(toss, answering):
    url = answering(b'{"code": "NOT_FOUND", "message": "no route"}', "404 Not Found")
    gateway = toss.connect(TEST_CREDENTIALS, url)
    assert isinstance(gateway.find_charge(toss.query("imp1"), TIMEOUT), Unknown)
    url = answering(b'{"code": "NOT_FOUND_PAYMENT", "message": "-"}', "404 Not Found")
    assert toss.connect(TEST_CREDENTIALS, url).find_charge(toss.query("imp1"), TIMEOUT) == NotFound()


def test_what_one_card_company_does_does_not_speak_against_toss(toss, answering):
    """Or a buyer with such a card could take the channel down."""
    url = answering(b'{"code": "FAILED_CARD_COMPANY_RESPONSE", "message": "-"}', "500 Internal Server Error")
    gateway = toss.connect(TEST_CREDENTIALS, url)
    result = gateway.charge_card(toss.order_id(), toss.request(), CARD, TIMEOUT)
    assert isinstance(result, Unknown)
    assert not result.unwell


def test_only_a_4xx_can_decline(toss, answering):
    for status in ("200 OK", "302 Found", "500 Oops", "503 Busy"):
        url = answering(b'{"code": "INVALID_CARD_NUMBER", "message": "-"}', status)
        result = toss.connect(TEST_CREDENTIALS, url).charge_card(toss.order_id(), toss.request(), CARD, TIMEOUT)
        assert isinstance(result, Unknown), status


PAYMENT = {"paymentKey": "pk", "totalAmount": 8900, "balanceAmount": 8900, "currency": "KRW"}


@pytest.mark.parametrize(
    ("changes", "charged", "found"),
    [
        ({"status": "DONE"}, Approved, Approved),
        ({"status": "CANCELED", "balanceAmount": 0}, Unknown, Approved),
        ({"status": "PARTIAL_CANCELED", "balanceAmount": 900}, Unknown, Approved),
        ({"status": "ABORTED", "failure": {"code": "FDS_ERROR", "message": "의심"}}, Declined, Declined),
        ({"status": "EXPIRED"}, Declined, Declined),
        ({"status": "READY"}, Unknown, Unknown),
        ({"status": "IN_PROGRESS"}, Unknown, Unknown),
        ({"status": "WAITING_FOR_DEPOSIT"}, Unknown, Unknown),
        ({"status": "SOMETHING_NEW"}, Unknown, Unknown),
        ({"status": "DONE", "totalAmount": "8900.5"}, Unknown, Unknown),
        ({"status": "DONE", "totalAmount": None}, Unknown, Unknown),
        ({"status": "DONE", "paymentKey": ""}, Unknown, Unknown),
        ({"status": "DONE", "approvedAt": "yesterday", "card": {"issuerCode": 51}}, Approved, Approved),
        (
            {
                "status": "CANCELED",
                "cancels": [{"cancelAmount": 1, "transactionKey": "t", "cancelStatus": "IN_PROGRESS"}],
            },
            Unknown,
            Unknown,
        ),
    ],
)
def test_each_status(toss: Bench, answering, changes, charged, found):
    order_id = toss.order_id()
    body = json.dumps({"orderId": order_id} | PAYMENT | changes).encode()
    gateway = toss.connect(TEST_CREDENTIALS, answering(body))
    assert isinstance(gateway.charge_card(order_id, toss.request(), CARD, TIMEOUT), charged)
    result = gateway.find_charge(toss.query(order_id), TIMEOUT)
    assert isinstance(result, found)
    if isinstance(result, Declined) and "failure" in changes:
        assert result.reason is DeclineReason.FRAUD_SUSPECTED
    if isinstance(result, Approved):
        assert result.balance == Money(changes.get("balanceAmount", 8900))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "DONE"},
        {"cancels": None},
        {"lastTransactionKey": "other"},
        {"cancels": [{"cancelAmount": 900, "transactionKey": "t", "cancelStatus": "IN_PROGRESS"}]},
        {"cancels": [{"cancelAmount": 901, "transactionKey": "t", "cancelStatus": "DONE"}]},
        {"currency": "USD"},
        {"paymentKey": "another"},
    ],
)
def test_a_cancel_is_done_only_if_the_reply_shows_it(toss, answering, changes):
    order_id, approved = toss.charge()
    cancel = {"cancelAmount": 900, "transactionKey": "t", "cancelStatus": "DONE"}
    answer = PAYMENT | {"orderId": order_id, "paymentKey": approved.gateway_ref, "balanceAmount": 8000}
    answer |= {"status": "PARTIAL_CANCELED", "lastTransactionKey": "t", "cancels": [cancel]}
    request = toss.cancel_request(order_id, approved, 900)
    believed = toss.connect(TEST_CREDENTIALS, answering(json.dumps(answer).encode())).cancel(request, TIMEOUT)
    assert isinstance(believed, Cancelled)
    doubted = toss.connect(TEST_CREDENTIALS, answering(json.dumps(answer | changes).encode())).cancel(request, TIMEOUT)
    assert isinstance(doubted, Unknown)


def test_a_404_with_another_code_is_no_not_found(toss, answering):
    """A known refusal with 404, here of the key: it says nothing about the order."""
    for code in ("NOT_FOUND_MERCHANT", "NOT_FOUND_PAYMENT_SESSION", "NOT_FOUND_BILLING"):
        body = json.dumps({"code": code, "message": "x"}).encode()
        gateway = toss.connect(TEST_CREDENTIALS, answering(body, "404 Not Found"))
        found = gateway.find_charge(toss.query(toss.order_id()), TIMEOUT)
        assert isinstance(found, Unknown)


def test_an_issue_asked_twice_makes_one_key(toss, monkeypatch):
    """Like a charge and a cancel, it carries an idempotency key."""
    gateway, keys = toss.gateway, []
    send = gateway._http.ask

    def ask(method, url, **given):
        keys.append(given["headers"].get("Idempotency-Key"))
        return send(method, url, **given)

    monkeypatch.setattr(gateway._http, "ask", ask)
    request = toss.issue_request()
    first, second = (gateway.issue_billing_key(request, CARD, TIMEOUT) for _ in range(2))
    assert keys == [request.order_id] * 2
    assert first.secret == second.secret
