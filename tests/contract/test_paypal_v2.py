"""PayPal: what is special about it. Opening and capturing, the lifetime of request ids, tokens, captures that are declined."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    Card,
    Declined,
    KeyDeleted,
    KeyIssued,
    NotFound,
    NotSent,
    Operation,
    Pending,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import EXPONENTS, Money
from chalicelib.gateways import paypal_v2
from chalicelib.gateways.http import HttpClient, NoReplyError, Reply
from chalicelib.gateways.wire import codes
from infra.sandbox.paypal_v2 import OTHER_CREDENTIALS, PENDING, TEST_CREDENTIALS, review
from tests.contract.conftest import CARD, TIMEOUT

KEY = {"payment_token": "8kk8451t"}


@pytest.fixture
def paypal(connect):
    return connect("paypal_v2")


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch):
    """Each test asks for its own: a token outlives a test, and its server's port is used again."""
    monkeypatch.setattr(paypal_v2, "TOKENS", paypal_v2._Tokens())


class Sent:
    def __init__(self, method, url, headers, body, timeout):
        self.method, self.path = method, re.sub(r"https?://[^/]+", "", url)
        self.headers, self.body, self.timeout = headers or {}, body, timeout

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire(HttpClient):
    """Records what is sent. answers: (method, end of the path) -> (status, body), or an exception; else the network."""

    def __init__(self, answers: dict[tuple[str, str], Any] | None = None) -> None:
        super().__init__()
        self.answers = answers or {}
        self.sent: list[Sent] = []

    def send(self, method, url, *, operation, timeout, headers=None, body=None):
        self.sent.append(Sent(method, url, headers, body, timeout))
        path = self.sent[-1].path
        for (wanted, end), given in self.answers.items():
            if wanted == method and path.endswith(end):
                answer = given() if isinstance(given, Callable) else given
                if isinstance(answer, Exception):
                    raise answer
                return Reply(answer[0], answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode())
        return super().send(method, url, operation=operation, timeout=timeout, headers=headers, body=body)

    def calls(self) -> list[tuple[str, str]]:
        return [(sent.method, sent.path) for sent in self.sent]


TOKEN = {("POST", "/oauth2/token"): (200, {"access_token": "A21AAtoken", "expires_in": 32400, "token_type": "Bearer"})}


def order(order_id, captures=(), refunds=(), status="COMPLETED", **changes) -> dict[str, Any]:
    unit = {
        "reference_id": "default",
        "custom_id": order_id,
        "payments": {"captures": [*captures], "refunds": [*refunds]},
    }
    return {"id": "5O190127TN364715T", "status": status, "purchase_units": [unit]} | changes


def capture(order_id, status="COMPLETED", value="89.00", **changes) -> dict[str, Any]:
    amount = {"currency_code": "USD", "value": value}
    return {"id": "3C679366HH908993F", "status": status, "amount": amount, "custom_id": order_id} | changes


def refund(status="COMPLETED", value="9.00", **changes) -> dict[str, Any]:
    return {"id": "1JU08902781691411", "status": status, "amount": {"currency_code": "USD", "value": value}} | changes


def scripted(paypal, order_id, captured, read=None):
    """A connection whose orders open, and are captured and read as given."""
    answers = TOKEN | {
        ("POST", "/checkout/orders"): (201, order(order_id, status="CREATED")),
        ("POST", "/capture"): captured,
        ("GET", "/checkout/orders/5O190127TN364715T"): read or captured,
    }
    wire = Wire(answers)
    return paypal.connect(TEST_CREDENTIALS, http=wire), wire


def charge_key(gateway, paypal, order_id):
    return gateway.charge_billing_key(order_id, paypal.request(), KEY, TIMEOUT)


# --- opening and capturing --------------------------------------------------------------------------------------


def test_a_charge_is_an_order_without_a_card_and_a_capture_with_it(paypal):
    wire, order_id = Wire(), paypal.order_id()
    card = replace(CARD, cvc="123")
    approved = paypal.connect(TEST_CREDENTIALS, http=wire).charge_card(order_id, paypal.request(), card, TIMEOUT)
    assert isinstance(approved, Approved)
    token, opened, captured = wire.sent
    assert (token.method, token.path, token.body) == ("POST", "/v1/oauth2/token", b"grant_type=client_credentials")
    assert (opened.method, opened.path) == ("POST", "/v2/checkout/orders")
    assert opened.json == {
        "intent": "CAPTURE",
        "purchase_units": [{"custom_id": order_id, "amount": {"currency_code": "USD", "value": "89.00"}}],
    }
    assert re.fullmatch(r"/v2/checkout/orders/[A-Z0-9]{17}/capture", captured.path)
    assert captured.json == {
        "payment_source": {"card": {"number": CARD.number, "expiry": "2039-11", "security_code": "123"}}
    }
    ids = [opened.headers["PayPal-Request-Id"], captured.headers["PayPal-Request-Id"]]
    assert ids == [order_id, f"{order_id}-capture"]
    assert all(len(name) <= 108 for name in ids)
    assert {sent.headers["Prefer"] for sent in (opened, captured)} == {"return=representation"}


def test_a_key_is_charged_as_the_rules_for_stored_cards_want_it(paypal):
    wire, secret = Wire(), paypal.key(replace(CARD, cvc="123"))
    gateway = paypal.connect(TEST_CREDENTIALS, http=wire)
    assert isinstance(gateway.charge_billing_key(paypal.order_id(), paypal.request(), secret, TIMEOUT), Approved)
    assert wire.sent[-1].json["payment_source"]["card"] == {
        "vault_id": secret["payment_token"],
        "stored_credential": {
            "payment_initiator": "MERCHANT",
            "payment_type": "UNSCHEDULED",
            "usage": "SUBSEQUENT",
        },
    }


def test_a_query_repeats_the_opening_to_the_byte(paypal):
    """Whether PayPal compares bodies is not documented, so there is nothing to compare."""
    wire, order_id = Wire(), paypal.order_id()
    gateway = paypal.connect(TEST_CREDENTIALS, http=wire)
    gateway.charge_card(order_id, paypal.request(name="이용권", browser_ip=None), CARD, TIMEOUT)
    gateway.find_charge(paypal.query(order_id), TIMEOUT)
    first, again = (sent for sent in wire.sent if sent.path == "/v2/checkout/orders")
    assert (first.body, first.headers) == (again.body, again.headers)
    assert wire.sent[-1].method == "GET"


@pytest.mark.parametrize("fault", ["reply_lost", "http_500", "garbage"])
def test_no_answer_to_the_opening_means_nothing_was_charged(paypal, fault):
    for name, charge in paypal.ways().items():
        order_id = paypal.order_id()
        paypal.sandbox.fail("order", fault)
        result = charge(order_id, 20.0)
        assert isinstance(result, NotSent), name
        assert result.unwell, name
        assert paypal.books(order_id) == []


def test_the_opening_leaves_time_for_the_capture(paypal):
    paypal.gateway.find_charge(paypal.query(paypal.order_id()), TIMEOUT)  # a token is there
    paypal.sandbox.fail("order", "timeout")
    started = time.monotonic()
    result = paypal.gateway.charge_card(paypal.order_id(), paypal.request(), CARD, 0.6)
    assert isinstance(result, NotSent)
    assert time.monotonic() - started < 0.6


@pytest.mark.parametrize("step", ["charge", "find", "read"])
def test_the_steps_share_the_time(paypal, step):
    order_id = paypal.order_id()
    gateway, wire = scripted(paypal, order_id, (200, order(order_id, [capture(order_id)])))
    related = {"related_ids": {"order_id": "5O190127TN364715T"}}

    def slowly(answer):
        time.sleep(0.3)
        return answer

    wire.answers["POST", "/checkout/orders"] = lambda: slowly((201, order(order_id, status="CREATED")))
    wire.answers["GET", "/captures/C1"] = lambda: slowly((200, capture(order_id, id="C1", supplementary_data=related)))
    calls = {
        "charge": lambda: gateway.charge_billing_key(order_id, paypal.request(), KEY, 3.0),
        "find": lambda: gateway.find_charge(paypal.query(order_id), 3.0),
        "read": lambda: gateway.find_charge(paypal.query(order_id, "C1"), 3.0),
    }
    assert isinstance(calls[step](), Approved)
    token, first, second = (sent.timeout for sent in wire.sent)
    assert token <= 1.5
    assert first <= 1.5
    assert 2.0 < second <= 2.7


def test_a_refused_opening_is_a_decline(paypal):
    paypal.sandbox.fail("order", "decline", code="PAYEE_ACCOUNT_RESTRICTED")
    _, result = paypal.charge()
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED


def test_an_opening_that_fails_in_so_many_words_charged_nothing_either(paypal):
    paypal.sandbox.fail("order", "decline", code="INTERNAL_SERVER_ERROR")
    _, result = paypal.charge()
    assert isinstance(result, NotSent)
    assert result.unwell


@pytest.mark.parametrize("code", ["PREVIOUS_REQUEST_IN_PROGRESS", "DUPLICATE_REQUEST_ID", "ZZ99_NEW"])
def test_an_opening_that_may_speak_of_an_earlier_charge_is_unknown(paypal, code):
    paypal.sandbox.fail("order", "decline", code=code)
    _, result = paypal.charge()
    assert isinstance(result, Unknown)
    assert result.code == code


def test_an_order_is_captured_once_whatever_the_card_and_the_id(paypal):
    order_id, approved = paypal.charge()
    other = Card("4005519200000004", "2039", "11")
    again = paypal.gateway.charge_card(order_id, paypal.request(), other, TIMEOUT)
    assert isinstance(again, Unknown)
    assert paypal.money_taken(order_id) == 8900
    assert approved.gateway_ref == paypal.books(order_id)[0]["pg_tid"]


def test_an_opening_that_is_answered_with_its_first_state_charges_no_second_time(paypal):
    """If PayPal answered a repeated opening as it was, not as it is, the order itself would still take one capture."""
    order_id = paypal.order_id()
    for code, wanted in ((422, "ORDER_ALREADY_CAPTURED"), (409, "PREVIOUS_REQUEST_IN_PROGRESS")):
        captured = (code, {"name": "X", "details": [{"issue": wanted}]})
        gateway, _ = scripted(paypal, order_id, captured)
        result = charge_key(gateway, paypal, order_id)
        assert isinstance(result, Unknown)
        assert result.code == wanted


# --- after a lost reply -----------------------------------------------------------------------------------------


def test_it_is_asked_by_our_order_id_for_almost_six_hours(paypal):
    order_id, asked_at = paypal.order_id(), paypal.clock.now()
    paypal.sandbox.fail("charge", "reply_lost")
    assert isinstance(paypal.gateway.charge_card(order_id, paypal.request(), CARD, TIMEOUT), Unknown)
    paypal.clock.shift = timedelta(hours=5, minutes=25)
    assert isinstance(paypal.gateway.find_charge(paypal.query(order_id, requested_at=asked_at), TIMEOUT), Approved)


def test_later_it_is_not_asked_since_the_answer_would_be_wrong(paypal):
    order_id, asked_at = paypal.order_id(), paypal.clock.now()
    paypal.sandbox.fail("charge", "reply_lost")
    paypal.gateway.charge_card(order_id, paypal.request(), CARD, TIMEOUT)
    wire = Wire()
    gateway = paypal.connect(TEST_CREDENTIALS, http=wire)
    paypal.clock.shift = timedelta(hours=6, minutes=5)
    assert gateway.find_charge(paypal.query(order_id), TIMEOUT) == NotFound()  # had one believed that it was just sent
    wire.sent.clear()
    result = gateway.find_charge(paypal.query(order_id, requested_at=asked_at), TIMEOUT)
    assert isinstance(result, Unknown)
    assert not result.unwell
    assert wire.sent == []


def test_its_own_number_is_good_for_ever(paypal):
    order_id, approved = paypal.charge()
    asked_at = paypal.clock.now()
    paypal.clock.shift = timedelta(days=100)
    query = paypal.query(order_id, approved.gateway_ref, requested_at=asked_at)
    found = paypal.gateway.find_charge(query, TIMEOUT)
    assert isinstance(found, Approved)
    assert (found.gateway_ref, found.balance) == (approved.gateway_ref, Money(8900, "USD"))


def test_a_query_about_an_order_that_never_was_moves_nothing(paypal):
    order_id = paypal.order_id()
    assert [paypal.find(order_id) for _ in range(2)] == [NotFound()] * 2
    assert paypal.books(order_id) == []


@pytest.mark.parametrize(
    ("related", "links", "asked"),
    [
        ({"related_ids": {"order_id": "5O190127TN364715T"}}, [], True),
        (None, [{"rel": "up", "href": "https://api-m.paypal.com/v2/checkout/orders/5O190127TN364715T"}], True),
        (None, [{"rel": "self", "href": "https://api-m.paypal.com/v2/checkout/orders/5O190127TN364715T"}], False),
        (None, [{"rel": "up", "href": "https://evil.example/x?/v2/checkout/orders/../../elsewhere"}], False),
        (None, None, False),
    ],
)
def test_a_capture_leads_to_its_order(paypal, related, links, asked):
    order_id = paypal.order_id()
    shown = capture(order_id, supplementary_data=related, links=links)
    gateway, wire = scripted(paypal, order_id, (200, order(order_id, [capture(order_id)])))
    wire.answers["GET", "/captures/3C679366HH908993F"] = (200, shown)
    found = gateway.find_charge(paypal.query(order_id, "3C679366HH908993F"), TIMEOUT)
    assert isinstance(found, Approved if asked else Unknown)
    read = [path for method, path in wire.calls() if method == "GET" and "/captures/" not in path]
    assert read == ["/v2/checkout/orders/5O190127TN364715T"] * asked


@pytest.mark.parametrize("changes", [{"id": "ANOTHER"}, {"custom_id": "imp000000000000a1"}, {"id": ""}])
def test_a_capture_that_is_not_ours_leads_nowhere(paypal, changes):
    order_id = paypal.order_id()
    shown = capture(order_id, supplementary_data={"related_ids": {"order_id": "5O190127TN364715T"}}) | changes
    gateway, wire = scripted(paypal, order_id, (200, order(order_id, [capture(order_id)])))
    wire.answers["GET", "/captures/3C679366HH908993F"] = (200, shown)
    assert isinstance(gateway.find_charge(paypal.query(order_id, "3C679366HH908993F"), TIMEOUT), Unknown)
    assert wire.calls()[-1] == ("GET", "/v2/payments/captures/3C679366HH908993F")


def test_a_number_that_paypal_does_not_know_proves_nothing(paypal):
    assert isinstance(paypal.find(paypal.order_id(), "NOSUCHCAPTURE"), Unknown)


# --- what a capture says ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "charged", "found"),
    [
        ("COMPLETED", Approved, Approved),
        ("PENDING", Pending, Pending),
        ("DECLINED", Declined, Declined),
        ("FAILED", Declined, Declined),
        ("SOMETHING_NEW", Unknown, Unknown),
    ],
)
def test_the_captures_status_decides_not_http(paypal, status, charged, found):
    order_id = paypal.order_id()
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, [capture(order_id, status)])))
    assert isinstance(charge_key(gateway, paypal, order_id), charged)
    assert isinstance(gateway.find_charge(paypal.query(order_id), TIMEOUT), found)


@pytest.mark.parametrize(
    ("status", "charged", "found"),
    [
        ("CREATED", Unknown, NotFound),
        ("APPROVED", Unknown, NotFound),
        ("VOIDED", Unknown, NotFound),
        ("SAVED", Unknown, Unknown),
        ("COMPLETED", Unknown, Unknown),
        ("PAYER_ACTION_REQUIRED", Declined, Declined),
    ],
)
def test_an_order_without_a_capture(paypal, status, charged, found):
    order_id = paypal.order_id()
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, status=status)))
    assert isinstance(charge_key(gateway, paypal, order_id), charged)
    assert isinstance(gateway.find_charge(paypal.query(order_id), TIMEOUT), found)


def test_a_declined_capture_does_not_hide_the_money(paypal):
    order_id = paypal.order_id()
    both = [capture(order_id, "DECLINED", id="FIRST"), capture(order_id)]
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, both)))
    assert isinstance(charge_key(gateway, paypal, order_id), Approved)


@pytest.mark.parametrize("first", ["COMPLETED", "PENDING"])
def test_two_captures_are_nothing_that_could_be_explained(paypal, first):
    order_id = paypal.order_id()
    both = [capture(order_id, first, id="FIRST"), capture(order_id)]
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, both)))
    assert isinstance(charge_key(gateway, paypal, order_id), Unknown)


def test_a_number_as_long_as_a_letter_is_none(paypal):
    order_id = paypal.order_id()
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, [capture(order_id, id="C" * 65)])))
    assert isinstance(charge_key(gateway, paypal, order_id), Unknown)


def test_a_review_ends_one_way_or_the_other(paypal):
    for code, wanted in ((None, Approved), ("9500", Declined)):
        paypal.sandbox.fail("charge", "decline", code=PENDING)
        order_id, pending = paypal.charge()
        assert pending == Pending(paypal.books(order_id)[0]["pg_tid"], "PENDING_REVIEW")
        assert paypal.find(order_id) == pending == paypal.find(order_id, pending.gateway_ref)
        review(paypal.sandbox, order_id, code)
        assert isinstance(paypal.find(order_id), wanted)
        assert isinstance(paypal.find(order_id, pending.gateway_ref), wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "ANOTHERORDER00000"},
        {"id": ""},
        {"id": None},
        {"purchase_units": []},
        {
            "purchase_units": [
                {"custom_id": "imp000000000000a1", "payments": {"captures": [capture("imp000000000000a1")]}}
            ]
        },
        {"purchase_units": [{"payments": {"captures": [capture("imp000000000000a1")]}}]},
    ],
)
def test_an_answer_that_is_not_about_our_order(paypal, changes):
    order_id = paypal.order_id()
    shown = order(order_id, [capture(order_id)])
    gateway, _ = scripted(paypal, order_id, (201, shown))
    assert isinstance(charge_key(gateway, paypal, order_id), Approved)
    gateway, _ = scripted(paypal, order_id, (201, shown | changes))
    assert isinstance(charge_key(gateway, paypal, order_id), Unknown)
    assert isinstance(gateway.find_charge(paypal.query(order_id), TIMEOUT), Unknown)


@pytest.mark.parametrize("status", [202, 204, 302, 400, 500])
def test_success_needs_200_or_201(paypal, status):
    order_id = paypal.order_id()
    gateway, _ = scripted(paypal, order_id, (status, order(order_id, [capture(order_id)])))
    assert isinstance(charge_key(gateway, paypal, order_id), Unknown)


@pytest.mark.parametrize("source", [[], {"card": []}, {"card": {"brand": [], "last_digits": "5671"}}])
def test_a_card_that_cannot_be_read_is_not_shown(paypal, source):
    order_id = paypal.order_id()
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, [capture(order_id)], payment_source=source)))
    approved = charge_key(gateway, paypal, order_id)
    assert isinstance(approved, Approved)
    assert approved.card is None


@pytest.mark.parametrize(
    ("brand", "last", "kind", "shown"),
    [
        ("VISA", "5671", "CREDIT", ("VISA", "************5671", 0)),
        ("MASTERCARD", "5671", "DEBIT", ("MASTERCARD", "************5671", 1)),
        (None, "71", "PREPAID", (None, None, None)),
    ],
)
def test_what_is_shown_of_the_card(paypal, brand, last, kind, shown):
    order_id = paypal.order_id()
    source = {"card": {"brand": brand, "last_digits": last, "type": kind}}
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, [capture(order_id)], payment_source=source)))
    card = charge_key(gateway, paypal, order_id).card
    assert (card.name, card.number, card.type) == shown


# --- amounts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(8900, "USD"), "89.00"),
        (Money(1, "EUR"), "0.01"),
        (Money(8900, "JPY"), "8900"),
        (Money(890_000, "HUF"), "8900"),
        (Money(890_000, "TWD"), "8900"),
    ],
)
def test_amounts_have_paypals_own_decimals(paypal, money, text):
    wire, order_id = Wire(), paypal.order_id()
    gateway = paypal.connect(TEST_CREDENTIALS, http=wire)
    approved = gateway.charge_card(order_id, replace(paypal.request(), amount=money), CARD, TIMEOUT)
    assert isinstance(approved, Approved)
    assert approved.amount == approved.balance == money
    sent = next(sent for sent in wire.sent if sent.path == "/v2/checkout/orders")
    assert sent.json["purchase_units"][0]["amount"] == {"currency_code": money.currency, "value": text}
    assert paypal.books(order_id)[0]["amount"] == money.amount
    cancel = replace(paypal.cancel_request(order_id, approved, 1), amount=money, balance=money)
    cancelled = gateway.cancel(cancel, TIMEOUT)
    assert isinstance(cancelled, Cancelled)
    assert cancelled.cancel.amount == money


def test_currencies_are_paypals_and_ours():
    assert "KRW" not in paypal_v2.SPEC.currencies
    assert set(EXPONENTS) >= paypal_v2.SPEC.currencies
    assert set(EXPONENTS) - paypal_v2.SPEC.currencies == {"KRW", "VND", "RUB", "IDR"}


@pytest.mark.parametrize("money", [Money(8900, "KRW"), Money(150, "TWD"), Money(8901, "HUF")])
def test_what_paypal_cannot_take_is_excluded_before_anything_is_sent(paypal, money):
    for operation in (Operation.CHARGE_CARD, Operation.CHARGE_BILLING_KEY):
        assert paypal.spec.objections(operation, replace(paypal.request(), amount=money))
    result = paypal.gateway.charge_card(paypal.order_id(), replace(paypal.request(), amount=money), CARD, TIMEOUT)
    assert isinstance(result, Declined)


def test_a_lump_sum_is_not_what_was_asked_for(paypal):
    asked = [paypal.spec.objections(Operation.CHARGE_CARD, paypal.request(quota=months)) for months in (0, 1, 2, 12)]
    assert [bool(objections) for objections in asked] == [False, False, True, True]


@pytest.mark.parametrize(
    ("value", "currency"),
    [("89.001", "USD"), ("-89.00", "USD"), ("89,00", "USD"), ("", "USD"), ("1e3", "USD"), ("٨٩", "USD"), ("NaN", "USD"),
     ("0.00", "USD"), ("89.5", "JPY"), ("89.00", "XXX"), ("89.00", ""), (None, "USD"), ("9" * 40, "USD")],
)  # fmt: skip
def test_an_amount_that_cannot_be_read_is_no_approval(paypal, value, currency):
    order_id = paypal.order_id()
    shown = capture(order_id, amount={"currency_code": currency, "value": value})
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, [shown])))
    assert isinstance(charge_key(gateway, paypal, order_id), Unknown)


def test_the_currency_is_the_replys(paypal):
    order_id = paypal.order_id()
    shown = capture(order_id, amount={"currency_code": "JPY", "value": "8900"})
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, [shown])))
    assert charge_key(gateway, paypal, order_id).amount == Money(8900, "JPY")


# --- why it was declined ----------------------------------------------------------------------------------------


def declined(paypal, response):
    order_id = paypal.order_id()
    shown = capture(order_id, "DECLINED", processor_response=response)
    gateway, _ = scripted(paypal, order_id, (201, order(order_id, [shown])))
    return charge_key(gateway, paypal, order_id)


@pytest.mark.parametrize(
    ("response", "code", "reason"),
    [
        ({"response_code": "9520"}, "9520", R.LOST_OR_STOLEN),
        ({"response_code": "5120", "payment_advice_code": "02"}, "5120", R.INSUFFICIENT_FUNDS),
        ({"response_code": "0500", "payment_advice_code": "02"}, "0500", R.ISSUER_DECLINED),
        ({"response_code": "0500", "payment_advice_code": "03"}, "0500", R.CARD_BLOCKED),
        ({"response_code": "0500", "payment_advice_code": "21"}, "0500", R.CARD_BLOCKED),
        ({"response_code": "5400", "payment_advice_code": "03"}, "5400", R.EXPIRED_CARD),
        ({"payment_advice_code": "03"}, "DECLINED", R.CARD_BLOCKED),
        (None, "DECLINED", R.ISSUER_DECLINED),
    ],
)
def test_the_processor_says_why(paypal, response, code, reason):
    result = declined(paypal, response)
    assert isinstance(result, Declined)
    assert (result.code, result.reason) == (code, reason)


def test_a_new_processor_code_makes_a_declined_capture_no_less_declined(paypal, caplog):
    result = declined(paypal, {"response_code": "ZZ99"})
    assert isinstance(result, Declined)
    assert result.reason is R.ISSUER_DECLINED
    assert "ZZ99" in caplog.text


@pytest.mark.parametrize("code", ["0000", "0800", "1000", "7600"])
def test_a_declined_capture_that_calls_itself_approved_is_unknown(paypal, code):
    assert isinstance(declined(paypal, {"response_code": code}), Unknown)


def refused(paypal, status, body):
    order_id = paypal.order_id()
    gateway, _ = scripted(paypal, order_id, (status, body))
    return charge_key(gateway, paypal, order_id)


@pytest.mark.parametrize(
    ("details", "code"),
    [
        ([{"issue": "CARD_EXPIRED"}, {"issue": "INSTRUMENT_DECLINED"}], None),
        ([{"issue": "CARD_EXPIRED"}, {"issue": "ORDER_ALREADY_CAPTURED"}], "ORDER_ALREADY_CAPTURED"),
        ([{"issue": "CARD_EXPIRED"}, {"issue": "ZZ99_NEW"}], "ZZ99_NEW"),
        ([], "UNPROCESSABLE_ENTITY"),
        (None, "UNPROCESSABLE_ENTITY"),
    ],
)
def test_every_issue_must_mean_no(paypal, details, code):
    result = refused(paypal, 422, {"name": "UNPROCESSABLE_ENTITY", "message": "m", "details": details})
    assert isinstance(result, Unknown if code else Declined)
    assert result.code == (code or "CARD_EXPIRED")


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("/payment_source/card/number", R.INVALID_CARD_NUMBER),
        ("/payment_source/card/expiry", R.EXPIRED_CARD),
        ("/payment_source/card/security_code", R.CARD_CHECK_FAILED),
        ("/payment_source/card/vault_id", R.BILLING_KEY_INVALID),
        ("/payment_source/card/name", R.INVALID_REQUEST),
        ("/purchase_units/number", R.INVALID_REQUEST),
        (None, R.INVALID_REQUEST),
    ],
)
def test_a_field_of_the_card_is_the_cards_fault(paypal, field, reason):
    detail = {"issue": "INVALID_PARAMETER_SYNTAX", "field": field, "value": CARD.number, "description": "as it is"}
    result = refused(paypal, 400, {"name": "INVALID_REQUEST", "message": "m", "details": [detail]})
    assert isinstance(result, Declined)
    assert (result.reason, result.message) == (reason, "as it is")


def test_a_field_does_not_soften_another_reason(paypal):
    detail = {"issue": "CARD_EXPIRED", "field": "/payment_source/card/number"}
    assert refused(paypal, 422, {"name": "X", "details": [detail]}).reason is R.EXPIRED_CARD


def test_a_server_error_is_unknown_whatever_it_says(paypal):
    result = refused(paypal, 500, {"name": "INTERNAL_SERVER_ERROR", "details": [{"issue": "CARD_EXPIRED"}]})
    assert isinstance(result, Unknown)
    assert result.unwell


@pytest.mark.parametrize("status", [200, 202, 302])
def test_a_no_needs_the_status_of_one(paypal, status):
    assert isinstance(refused(paypal, status, {"name": "X", "details": [{"issue": "CARD_EXPIRED"}]}), Unknown)


def test_too_many_calls_were_not_looked_at(paypal):
    result = refused(paypal, 429, {"name": "RATE_LIMIT_REACHED", "message": "slow down"})
    assert isinstance(result, Declined)
    assert result.reason is R.GATEWAY_MAINTENANCE


# --- tokens -----------------------------------------------------------------------------------------------------


def tokens_asked(wire) -> int:
    return wire.calls().count(("POST", "/v1/oauth2/token"))


def test_one_token_serves_every_adapter_of_the_account_until_it_expires(paypal):
    wire = Wire()
    for _ in range(3):
        gateway = paypal.connect(TEST_CREDENTIALS, http=wire)
        assert isinstance(gateway.charge_card(paypal.order_id(), paypal.request(), CARD, TIMEOUT), Approved)
    assert tokens_asked(wire) == 1
    paypal.clock.shift = timedelta(seconds=32_400 - 119)
    paypal.connect(TEST_CREDENTIALS, http=wire).find_charge(paypal.query(paypal.order_id()), TIMEOUT)
    assert tokens_asked(wire) == 2


def test_another_account_or_host_has_a_token_of_its_own(paypal):
    wire = Wire(TOKEN | {("POST", "/checkout/orders"): NoReplyError("gone")})
    for credentials, url in (
        (TEST_CREDENTIALS, "http://a"),
        (OTHER_CREDENTIALS, "http://a"),
        (TEST_CREDENTIALS, "http://b"),
    ):
        for _ in range(2):
            paypal.connect(credentials, url, wire).find_charge(paypal.query(paypal.order_id()), TIMEOUT)
    assert tokens_asked(wire) == 3


def test_a_token_that_is_no_longer_taken_is_replaced_and_the_call_repeated_as_it_was(paypal):
    order_id = paypal.order_id()
    gateway, wire = scripted(paypal, order_id, None)
    answers = iter([
        (401, {"error": "invalid_token", "error_description": "x"}),
        (201, order(order_id, [capture(order_id)])),
    ])  # fmt: skip
    numbers = iter("12")
    wire.answers["POST", "/capture"] = lambda: next(answers)
    wire.answers["POST", "/oauth2/token"] = lambda: (200, {"access_token": f"T{next(numbers)}", "expires_in": 32400})
    assert isinstance(charge_key(gateway, paypal, order_id), Approved)
    first, again = (sent for sent in wire.sent if sent.path.endswith("/capture"))
    assert first.body == again.body
    assert first.headers["PayPal-Request-Id"] == again.headers["PayPal-Request-Id"] == f"{order_id}-capture"
    assert [first.headers["Authorization"], again.headers["Authorization"]] == ["Bearer T1", "Bearer T2"]


def test_a_token_that_is_never_taken_is_the_channels_fault_after_two_tries(paypal):
    order_id = paypal.order_id()
    gateway, wire = scripted(paypal, order_id, (401, {"name": "AUTHENTICATION_FAILURE", "message": "x"}))
    result = charge_key(gateway, paypal, order_id)
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED
    assert [path for _, path in wire.calls()].count("/v2/checkout/orders/5O190127TN364715T/capture") == 2


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ((401, {"error": "invalid_client", "error_description": "Client Authentication failed"}), Declined),
        ((429, {"name": "RATE_LIMIT_REACHED"}), Declined),
        ((401, b""), NotSent),
        ((500, {"error": "invalid_client"}), NotSent),
        ((200, b"<html>"), NotSent),
        ((200, {"access_token": "", "expires_in": 1}), NotSent),
        ((200, {"access_token": "two\r\nlines", "expires_in": 1}), NotSent),
        ((200, {"access_token": "A21"}), NotSent),
        ((200, {"access_token": "A21", "expires_in": -1}), NotSent),
        ((302, {"access_token": "A21", "expires_in": 32400}), NotSent),
        (NoReplyError("gone"), NotSent),
    ],
)
def test_without_a_token_nothing_is_sent(paypal, answer, wanted):
    wire = Wire({("POST", "/oauth2/token"): answer})
    gateway = paypal.connect(TEST_CREDENTIALS, http=wire)
    order_id, approved = paypal.order_id(), Approved("C1", Money(8900, "USD"), paypal.clock.now())
    results = [
        gateway.charge_card(order_id, paypal.request(), CARD, TIMEOUT),
        gateway.charge_billing_key(order_id, paypal.request(), KEY, TIMEOUT),
        gateway.issue_billing_key(paypal.issue_request(), CARD, TIMEOUT),
        gateway.delete_billing_key(order_id, KEY, TIMEOUT),
        gateway.cancel(paypal.cancel_request(order_id, approved, 8900), TIMEOUT),
    ]
    assert [type(result) for result in results] == [wanted] * 5
    assert isinstance(gateway.find_charge(paypal.query(order_id), TIMEOUT), NotSent | Unknown)
    assert set(wire.calls()) == {("POST", "/v1/oauth2/token")}


def test_tokens_show_nothing_and_take_many_threads():
    tokens, now = paypal_v2._Tokens(), paypal_v2.instant("2026-11-23T12:00:00Z")

    def work(number):
        for turn in range(200):
            tokens.put(f"account{number}", f"T{turn}", now + timedelta(hours=9), now)
            tokens.drop(f"account{number}", "somebody else's")
            assert tokens.get(f"account{number}", now)
            tokens.drop(f"account{number}", f"T{turn}")

    failed = []
    threads = [threading.Thread(target=lambda n=n: [work(n), failed.append(n)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 8  # all came through
    tokens.put("account", "A21AAsecret", now + timedelta(hours=9), now)
    assert "A21AA" not in repr(tokens)
    assert "A21AA" not in repr(vars(paypal_v2.Adapter))


@pytest.mark.parametrize("fault", [None, "reply_lost", "http_500", "garbage", "decline"])
def test_no_token_is_logged_or_said(paypal, everything_logged, fault):
    """Nor the credentials in the form in which they are sent."""
    order_id, approved = paypal.charge()
    token = paypal.gateway._token(TIMEOUT)
    if fault:
        for operation in ("charge", "find", "cancel"):
            paypal.sandbox.fail(operation, fault, times=5)
    results = [
        paypal.charge(),
        paypal.find(order_id),
        paypal.find(order_id, approved.gateway_ref),
        paypal.gateway.cancel(paypal.cancel_request(order_id, approved, 900), TIMEOUT),
        paypal.connect(paypal.wrong_credentials()).find_charge(paypal.query(order_id), TIMEOUT),
    ]
    text = everything_logged.text + repr(results) + repr([vars(record) for record in everything_logged.records])
    assert "paypal_v2.charge" in text
    assert token not in text
    assert paypal.gateway._basic.removeprefix("Basic ") not in text


# --- refunds ----------------------------------------------------------------------------------------------------


def test_a_refund_names_its_amount_and_is_repeated_under_its_id(paypal):
    order_id, approved = paypal.charge()
    wire = Wire()
    gateway = paypal.connect(TEST_CREDENTIALS, http=wire)
    request = paypal.cancel_request(order_id, approved, 900)
    first, again = (gateway.cancel(request, TIMEOUT) for _ in range(2))
    assert isinstance(first, Cancelled)
    assert first == again
    assert first.balance == Money(8000, "USD")
    sent = wire.sent[-1]
    assert sent.path == f"/v2/payments/captures/{approved.gateway_ref}/refund"
    assert sent.json == {
        "amount": {"currency_code": "USD", "value": "9.00"},
        "custom_id": request.cancel_id,
        "note_to_payer": "단순 변심",
    }
    assert sent.headers["PayPal-Request-Id"] == request.cancel_id
    assert paypal.money_taken(order_id) == 8000


@pytest.mark.parametrize("reason", ["가" * 400, "줄\n바꿈\t\0", "", "\ud800"])
def test_any_reason_will_do(paypal, reason):
    order_id, approved = paypal.charge()
    request = replace(paypal.cancel_request(order_id, approved, 8900), reason=reason)
    assert isinstance(paypal.gateway.cancel(request, TIMEOUT), Cancelled)


def refunded(paypal, changes, http_status=201):
    order_id, approved = paypal.order_id(), Approved("3C679366HH908993F", Money(8900, "USD"), paypal.clock.now())
    request = paypal.cancel_request(order_id, approved, 900)
    up = [{"rel": "up", "href": "https://api-m.paypal.com/v2/payments/captures/3C679366HH908993F"}]
    body = refund(custom_id=request.cancel_id, links=up) | changes
    wire = Wire(TOKEN | {("POST", "/refund"): (http_status, body)})
    return paypal.connect(TEST_CREDENTIALS, http=wire).cancel(request, TIMEOUT)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, Cancelled),
        ({"links": None}, Cancelled),
        ({"custom_id": None}, Cancelled),
        ({"custom_id": None, "links": None}, Unknown),
        ({"custom_id": "another"}, Unknown),
        ({"links": [{"rel": "up", "href": "https://api-m.paypal.com/v2/payments/captures/ANOTHER"}]}, Unknown),
        ({"status": "PENDING"}, Unknown),
        ({"status": "NEW"}, Unknown),
        ({"status": "FAILED"}, Declined),
        ({"status": "CANCELLED"}, Declined),
        ({"amount": {"currency_code": "USD", "value": "9.01"}}, Unknown),
        ({"amount": {"currency_code": "EUR", "value": "9.00"}}, Unknown),
        ({"amount": None}, Unknown),
        ({"id": ""}, Unknown),
    ],
)
def test_a_refund_is_done_only_if_the_reply_shows_it(paypal, changes, wanted):
    assert isinstance(refunded(paypal, changes), wanted)


@pytest.mark.parametrize(("http_status", "wanted"), [(200, Cancelled), (202, Unknown), (404, Unknown), (500, Unknown)])
def test_a_refund_needs_200_or_201(paypal, http_status, wanted):
    assert isinstance(refunded(paypal, {}, http_status), wanted)


@pytest.mark.parametrize(
    ("status", "refunds", "balance"),
    [
        ("COMPLETED", [], 8900),
        ("COMPLETED", [refund("FAILED")], 8900),
        ("PARTIALLY_REFUNDED", [refund()], 8000),
        ("PARTIALLY_REFUNDED", [refund(), refund("CANCELLED", "80.00")], 8000),
        ("REFUNDED", [refund(), refund(value="80.00")], 0),
        ("REFUNDED", [], None),
        ("COMPLETED", [refund()], None),
        ("PARTIALLY_REFUNDED", [], None),
        ("PARTIALLY_REFUNDED", [refund(value="90.00")], None),
        ("PARTIALLY_REFUNDED", [refund(), refund("PENDING")], None),
        ("COMPLETED", [refund("PENDING")], None),
        ("PARTIALLY_REFUNDED", [refund(amount={"currency_code": "JPY", "value": "900"})], None),
    ],
)
def test_what_is_left_must_add_up(paypal, status, refunds, balance):
    order_id = paypal.order_id()
    shown = order(order_id, [capture(order_id, status)], refunds)
    gateway, _ = scripted(paypal, order_id, None, (200, shown))
    found = gateway.find_charge(paypal.query(order_id), TIMEOUT)
    if balance is None:
        assert isinstance(found, Unknown)
    else:
        assert found.balance == Money(balance, "USD")
        assert len(found.cancels) == len([r for r in refunds if r["status"] == "COMPLETED"])


def test_cancels_are_told_oldest_first(paypal):
    order_id = paypal.order_id()
    refunds = [
        refund(id="LATE", create_time="2026-11-23T12:00:00Z"),
        refund(id="EARLY", create_time="2026-11-22T12:00:00Z"),
    ]
    shown = order(order_id, [capture(order_id, "PARTIALLY_REFUNDED")], refunds)
    gateway, _ = scripted(paypal, order_id, None, (200, shown))
    assert [c.gateway_ref for c in gateway.find_charge(paypal.query(order_id), TIMEOUT).cancels] == ["EARLY", "LATE"]


def test_a_capture_under_review_cannot_be_refunded(paypal):
    paypal.sandbox.fail("charge", "decline", code=PENDING)
    order_id, pending = paypal.charge()
    approved = Approved(pending.gateway_ref, Money(8900, "USD"), paypal.clock.now())
    result = paypal.gateway.cancel(paypal.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.code == "PENDING_CAPTURE"


# --- keys -------------------------------------------------------------------------------------------------------


def test_a_lost_issue_can_be_repeated_under_its_id(paypal):
    request = paypal.issue_request()
    paypal.sandbox.fail("issue", "reply_lost")
    assert isinstance(paypal.gateway.issue_billing_key(request, CARD, TIMEOUT), Unknown)
    first, again = (paypal.gateway.issue_billing_key(request, CARD, TIMEOUT) for _ in range(2))
    assert isinstance(first, KeyIssued)
    assert first.secret == again.secret
    paypal.clock.shift = timedelta(hours=3, minutes=1)
    assert paypal.gateway.issue_billing_key(request, CARD, TIMEOUT).secret != first.secret


def test_a_key_carries_the_card_and_nothing_else(paypal):
    wire, request = Wire(), paypal.issue_request()
    issued = paypal.connect(TEST_CREDENTIALS, http=wire).issue_billing_key(request, replace(CARD, cvc="123"), TIMEOUT)
    assert set(issued.secret) == {"payment_token"}
    assert (issued.card.name, issued.card.number) == ("MASTERCARD", CARD.masked)
    assert wire.sent[-1].json == {
        "payment_source": {"card": {"number": CARD.number, "expiry": "2039-11", "security_code": "123"}}
    }
    assert wire.sent[-1].headers["PayPal-Request-Id"] == request.order_id


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ((204, b""), KeyDeleted),
        ((404, {"name": "RESOURCE_NOT_FOUND"}), KeyDeleted),
        ((404, {"name": "RESOURCE_NOT_FOUND", "details": [{"issue": "INVALID_RESOURCE_ID"}]}), KeyDeleted),
        ((404, b"<html>"), Unknown),
        ((200, b""), Unknown),
        ((403, {"name": "NOT_AUTHORIZED"}), Declined),
        ((500, {"name": "INTERNAL_SERVER_ERROR"}), Unknown),
        ((500, {"name": "RESOURCE_NOT_FOUND"}), Unknown),
    ],
)
def test_deletion_of_a_key(paypal, answer, wanted):
    wire = Wire(TOKEN | {("DELETE", "/8kk8451t"): answer})
    assert isinstance(paypal.connect(TEST_CREDENTIALS, http=wire).delete_billing_key("k", KEY, TIMEOUT), wanted)


def test_names_are_kept_out_of_other_paths(paypal):
    wire = Wire(TOKEN | {("DELETE", ""): (204, b"")})
    paypal.connect(TEST_CREDENTIALS, http=wire).delete_billing_key("k", {"payment_token": "../orders?x=1#/"}, TIMEOUT)
    assert wire.sent[-1].path == "/v3/vault/payment-tokens/..%2Forders%3Fx%3D1%23%2F"


# --- the simulator ----------------------------------------------------------------------------------------------


@pytest.fixture
def wire(paypal):
    """wire(method, path, body, **headers) -> (status, JSON), under a token."""

    def call(method, path, body=None, **headers):
        token = paypal.gateway._token(TIMEOUT)
        given = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        url = paypal.sandbox.url + path
        reply = HttpClient().send(method, url, operation="test", timeout=TIMEOUT, headers=given, body=text)
        return reply.status, json.loads(reply.body or b"null")

    return call


def issue_of(answer):
    return answer.get("details", [{"issue": answer.get("name", answer.get("error"))}])[0]["issue"]


def unit(value="89.00", currency="USD", **changes):
    one = {"custom_id": "imp000000000001a1", "amount": {"currency_code": currency, "value": value}}
    return {"intent": "CAPTURE", "purchase_units": [one | changes]}


@pytest.mark.parametrize(
    ("body", "status", "issue"),
    [
        (unit(currency="KRW", value="8900"), 422, "INVALID_CURRENCY_CODE"),
        (unit(currency="JPY", value="89.00"), 422, "DECIMAL_PRECISION"),
        (unit(currency="TWD", value="89.00"), 422, "DECIMAL_PRECISION"),
        (unit(value="89.001"), 422, "DECIMAL_PRECISION"),
        (unit(value="0.00"), 422, "CANNOT_BE_ZERO_OR_NEGATIVE"),
        (unit(value=89), 400, "INVALID_PARAMETER_SYNTAX"),
        (unit(amount=None), 400, "MISSING_REQUIRED_PARAMETER"),
        (unit(custom_id="x" * 128), 400, "INVALID_STRING_LENGTH"),
        (unit() | {"intent": "AUTHORIZE"}, 400, "INVALID_PARAMETER_VALUE"),
        (unit() | {"purchase_units": []}, 400, "MISSING_REQUIRED_PARAMETER"),
        (b"{", 400, "MALFORMED_REQUEST_JSON"),
    ],
)
def test_the_simulator_checks_orders(wire, body, status, issue):
    answered, answer = wire("POST", "/v2/checkout/orders", body)
    assert (answered, issue_of(answer)) == (status, issue)


def test_the_simulator_answers_little_unless_asked_for_more(wire):
    status, answer = wire("POST", "/v2/checkout/orders", unit())
    assert (status, set(answer)) == (201, {"id", "status", "links"})
    status, answer = wire("POST", "/v2/checkout/orders", unit(), Prefer="return=representation")
    assert answer["purchase_units"][0]["custom_id"] == "imp000000000001a1"


def test_the_simulator_forgets_request_ids(paypal, wire):
    ids = []
    for hours in (0, 5, 7):
        paypal.clock.shift = timedelta(hours=hours)
        status, answer = wire("POST", "/v2/checkout/orders", unit(), PayPal_Request_Id=f"once-{id(paypal)}")
        ids.append((status, answer["id"]))
    assert [status for status, _ in ids] == [201, 200, 201]
    assert ids[0][1] == ids[1][1] != ids[2][1]


VAULTED = {"vault_id": "x", "stored_credential": {"payment_initiator": "MERCHANT", "payment_type": "UNSCHEDULED"}}


@pytest.mark.parametrize(
    ("source", "issue"),
    [
        (None, "ORDER_NOT_APPROVED"),
        ({"token": {"id": "x"}}, "NOT_SUPPORTED"),
        ({"card": {"expiry": "2039-11"}}, "CARD_NUMBER_REQUIRED"),
        ({"card": {"number": CARD.number}}, "CARD_EXPIRY_REQUIRED"),
        ({"card": {"number": CARD.number, "expiry": "39-11"}}, "INVALID_PARAMETER_SYNTAX"),
        ({"card": {"number": CARD.number, "expiry": "2039-11", "security_code": "12"}}, "INVALID_PARAMETER_SYNTAX"),
        ({"card": {"number": CARD.number, "expiry": "2020-11"}}, "CARD_EXPIRED"),
        ({"card": {"vault_id": "x"}}, "REQUIRED_PARAMETER_FOR_CUSTOMER_INITIATED_PAYMENT"),
        ({"card": VAULTED | {"security_code": "123"}}, "MERCHANT_INITIATED_WITH_SECURITY_CODE"),
        ({"card": VAULTED}, "TOKEN_ID_NOT_FOUND"),
        (
            {"card": VAULTED | {"stored_credential": {"payment_initiator": "MERCHANT", "payment_type": "ONE_TIME"}}},
            "INCOMPATIBLE_PARAMETER_VALUE",
        ),
    ],
)
def test_the_simulator_checks_captures(paypal, wire, source, issue):
    _, opened = wire("POST", "/v2/checkout/orders", unit())
    path = f"/v2/checkout/orders/{opened['id']}/capture"
    body = {"payment_source": source} if source else {}
    assert issue_of(wire("POST", path, body, PayPal_Request_Id=f"c-{opened['id']}")[1]) == issue
    assert issue_of(wire("POST", path, body)[1]) == "PAYPAL_REQUEST_ID_REQUIRED"


def test_the_simulator_wants_a_token(paypal, wire):
    for header in ("Bearer nobody", "Basic abc", ""):
        assert wire("POST", "/v2/checkout/orders", unit(), Authorization=header)[0] == 401
    paypal.gateway._token(TIMEOUT)
    token = paypal.gateway._token(TIMEOUT)
    paypal.clock.shift = timedelta(hours=9, minutes=1)
    assert wire("POST", "/v2/checkout/orders", unit(), Authorization=f"Bearer {token}")[0] == 401


# --- codes ------------------------------------------------------------------------------------------------------

ISSUES = sorted(
    codes("""
    AGREEMENT_ALREADY_CANCELLED ALIAS_DECLINED_BY_PROCESSOR AMOUNT_MISMATCH APPLE_PAY_AMOUNT_MISMATCH
    AUTH_CAPTURE_NOT_ENABLED BANK_NOT_SUPPORTED_FOR_VERIFICATION BILLING_ADDRESS_INVALID
    BILLING_AGREEMENT_ID_MISMATCH BILLING_AGREEMENT_NOT_FOUND BLIK_ONE_CLICK_MISSING_REQUIRED_PARAMETER
    CANCEL_URL_REQUIRED CANNOT_BE_NEGATIVE CANNOT_BE_ZERO_OR_NEGATIVE CAPTURE_FULLY_REFUNDED
    CARD_BRAND_NOT_SUPPORTED CARD_EXPIRED CARD_EXPIRY_REQUIRED CARD_NUMBER_REQUIRED CITY_REQUIRED
    COMPLIANCE_VIOLATION CONSENT_NEEDED CRYPTOGRAM_REQUIRED CURRENCY_MISMATCH CURRENCY_NOT_SUPPORTED_FOR_BANK
    DECIMALS_NOT_SUPPORTED DECIMAL_PRECISION DECLINED_DUE_TO_RELATED_TXN DOMESTIC_TRANSACTION_REQUIRED
    DONATION_ITEMS_NOT_SUPPORTED DUPLICATE_INVOICE_ID DUPLICATE_REFERENCE_ID EMV_DATA_REQUIRED
    GOOGLE_PAY_GATEWAY_MERCHANT_ID_MISMATCH IBAN_COUNTRY_NOT_SUPPORTED IDENTIFIER_NOT_FOUND
    INCOMPATIBLE_PARAMETER_VALUE INSTRUMENT_DECLINED INVALID_ACCOUNT_STATUS INVALID_ARRAY_MAX_ITEMS
    INVALID_ARRAY_MIN_ITEMS INVALID_COUNTRY_CODE INVALID_CURRENCY_CODE INVALID_EXPIRY_DATE INVALID_FX_RATE_ID
    INVALID_GOOGLE_PAY_TOKEN INVALID_IBAN INVALID_PARAMETER_SYNTAX INVALID_PARAMETER_VALUE
    INVALID_PAYEE_PRICING_TIER_ID INVALID_PAYER_ID INVALID_PICKUP_ADDRESS INVALID_PLATFORM_FEES_ACCOUNT
    INVALID_PLATFORM_FEES_AMOUNT INVALID_PREVIOUS_TRANSACTION_REFERENCE INVALID_RESOURCE_ID
    INVALID_SECURITY_CODE_LENGTH INVALID_STRING_LENGTH ITEM_TOTAL_MISMATCH ITEM_TOTAL_REQUIRED
    MALFORMED_REQUEST_JSON MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED MAX_NUMBER_OF_REFUNDS_EXCEEDED MAX_VALUE_EXCEEDED
    MERCHANT_INITIATED_WITH_AUTHENTICATION_RESULTS MERCHANT_INITIATED_WITH_MULTIPLE_PURCHASE_UNITS
    MERCHANT_INITIATED_WITH_SECURITY_CODE MISMATCHED_VAULT_ID_TO_PAYMENT_SOURCE MISSING_CRYPTOGRAM
    MISSING_PICKUP_ADDRESS MISSING_PREVIOUS_REFERENCE MISSING_REQUIRED_PARAMETER MULTIPLE_ITEM_CATEGORIES
    MULTIPLE_SHIPPING_ADDRESS_NOT_SUPPORTED MULTIPLE_SHIPPING_OPTION_SELECTED MULTIPLE_SHIPPING_TYPE_NOT_SUPPORTED
    MULTI_CURRENCY_ORDER NOT_ELIGIBLE_FOR_PAYPAL_TRANSACTION_ID_PROCESSING NOT_ELIGIBLE_FOR_PNREF_PROCESSING
    NOT_ELIGIBLE_FOR_TOKEN_PROCESSING NOT_ENABLED_FOR_APPLE_PAY NOT_ENABLED_FOR_BANK_PROCESSING
    NOT_ENABLED_FOR_CARD_PROCESSING NOT_ENABLED_FOR_GOOGLE_PAY NOT_ENABLED_TO_VAULT_PAYMENT_SOURCE NOT_SUPPORTED
    ONE_OF_PARAMETERS_REQUIRED ONLY_ONE_BANK_SOURCE_ALLOWED ORDER_ALREADY_CAPTURED
    ORDER_COMPLETE_ON_PAYMENT_APPROVAL ORDER_COMPLETION_IN_PROGRESS ORDER_NOT_APPROVED PARTIAL_REFUND_NOT_ALLOWED
    PAYEE_ACCOUNT_INVALID PAYEE_ACCOUNT_LOCKED_OR_CLOSED PAYEE_ACCOUNT_NOT_VERIFIED PAYEE_ACCOUNT_RESTRICTED
    PAYEE_BLOCKED_TRANSACTION PAYEE_FX_RATE_ID_CURRENCY_MISMATCH PAYEE_FX_RATE_ID_EXPIRED
    PAYEE_NOT_ENABLED_FOR_BANK_PROCESSING PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING PAYEE_PRICING_TIER_ID_NOT_ENABLED
    PAYER_ACCOUNT_LOCKED_OR_CLOSED PAYER_ACCOUNT_RESTRICTED PAYER_ACTION_REQUIRED PAYER_CANNOT_PAY
    PAYMENT_SOURCE_CANNOT_BE_USED PAYMENT_SOURCE_DECLINED_BY_PROCESSOR PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED
    PAYMENT_SOURCE_MISMATCH PAYMENT_SOURCE_NOT_SUPPORTED PAYPAL_REQUEST_ID_REQUIRED PAYPAL_TRANSACTION_ID_EXPIRED
    PAYPAL_TRANSACTION_ID_NOT_FOUND PENDING_CAPTURE PERMISSION_DENIED PERMISSION_DENIED_FOR_DONATION_ITEMS
    PLATFORM_FEES_NOT_SUPPORTED PLATFORM_FEE_EXCEEDED PLATFORM_FEE_NOT_ENABLED
    PLATFORM_FEE_PAYEE_CANNOT_BE_SAME_AS_PAYER PNREF_EXPIRED PNREF_NOT_FOUND POSTAL_CODE_REQUIRED
    PREFERRED_PAYMENT_SOURCE_MISMATCH PREFERRED_SHIPPING_OPTION_AMOUNT_MISMATCH PREVIOUS_REQUEST_IN_PROGRESS
    PREVIOUS_TRANSACTION_REFERENCE_HAS_CHARGEBACK PREVIOUS_TRANSACTION_REFERENCE_VOIDED
    REDIRECT_PAYER_FOR_ALTERNATE_FUNDING REFERENCED_CARD_EXPIRED REFERENCE_ID_REQUIRED REFUND_AMOUNT_EXCEEDED
    REFUND_AMOUNT_TOO_LOW REFUND_CAPTURE_CURRENCY_MISMATCH REFUND_FAILED_INSUFFICIENT_FUNDS REFUND_IS_RESTRICTED
    REFUND_NOT_ALLOWED REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK REFUND_TIME_LIMIT_EXCEEDED
    REQUIRED_PARAMETER_FOR_CUSTOMER_INITIATED_PAYMENT RETURN_URL_REQUIRED SETUP_ERROR_FOR_BANK
    SHIPPING_ADDRESS_INVALID SHIPPING_OPTIONS_NOT_SUPPORTED SHIPPING_OPTION_NOT_SELECTED
    SHIPPING_TYPE_NOT_SUPPORTED_FOR_CLIENT TAX_TOTAL_MISMATCH TAX_TOTAL_REQUIRED TOKEN_EXPIRED TOKEN_ID_NOT_FOUND
    TRANSACTION_BLOCKED_BY_PAYEE TRANSACTION_DISPUTED TRANSACTION_LIMIT_EXCEEDED
    TRANSACTION_RECEIVING_LIMIT_EXCEEDED TRANSACTION_REFUSED UNSUPPORTED_INTENT UNSUPPORTED_PAYMENT_INSTRUCTION
    UNSUPPORTED_PROCESSING_INSTRUCTION UNSUPPORTED_SHIPPING_TYPE VAULT_INSTRUCTION_DUPLICATED
    VAULT_INSTRUCTION_REQUIRED
""")
)
"""The specification's, of opening and capturing an order and of refunding a capture."""

PROCESSOR_CODES = sorted(
    codes("""
    0000 00N7 0100 0390 0500 0580 0800 0880 0890 0960 0R00 1000 10BR 1300 1310 1312 1317 1320 1330 1335 1340 1350
    1352 1360 1370 1380 1382 1384 1390 1393 5100 5110 5120 5130 5135 5140 5150 5160 5170 5180 5190 5200 5210 5400
    5500 5650 5700 5710 5800 5900 5910 5920 5930 5950 6300 7600 7700 7710 7800 7900 8000 8010 8020 8030 8100 8110
    8220 9100 9500 9510 9520 9530 9540 9600 PCNR PCVV PP06 PPRN PPAD PPAB PPAE PPAG PPAI PPAR PPAU PPAV PPAX PPBG
    PPC2 PPCE PPCO PPCR PPCT PPCU PPD3 PPDC PPDI PPDV PPDT PPEF PPEL PPER PPEX PPFE PPFI PPFR PPFV PPGR PPH1 PPIF
    PPII PPIM PPIT PPLR PPLS PPMB PPMC PPMD PPNC PPNL PPNM PPNT PPPH PPPI PPPM PPQC PPRE PPRF PPRR PPS0 PPS1 PPS2
    PPS3 PPS4 PPS5 PPS6 PPSC PPSD PPSE PPTE PPTF PPTI PPTR PPTT PPTV PPUA PPUC PPUE PPUI PPUP PPUR PPVC PPVE PPVT
""")
)
"""The specification's."""

OTHERS = sorted(
    codes("""
    INVALID_REQUEST AUTHENTICATION_FAILURE NOT_AUTHORIZED RESOURCE_NOT_FOUND RESOURCE_CONFLICT UNSUPPORTED_MEDIA_TYPE
    UNPROCESSABLE_ENTITY INTERNAL_SERVER_ERROR SERVICE_UNAVAILABLE
    RATE_LIMIT_REACHED PAYPAL_REQUEST_ID_PREVIOUSLY_USED DUPLICATE_REQUEST_ID INTERNAL_SERVICE_ERROR
    INVALID_STRING_MAX_LENGTH CARD_TYPE_NOT_SUPPORTED CURRENCY_NOT_SUPPORTED_FOR_CARD_TYPE
    CURRENCY_NOT_SUPPORTED_FOR_COUNTRY
    invalid_client invalid_token invalid_request invalid_scope unauthorized_client unsupported_grant_type
""")
)
"""Names that come without an issue; from PayPal's pages, from neighbouring calls, and OAuth's own."""


@pytest.mark.parametrize("code", [*ISSUES, *OTHERS])
def test_every_issue_is_mapped_once(code):
    assert (code in paypal_v2.REFUSALS) != (code in paypal_v2.UNKNOWN_CODES)


@pytest.mark.parametrize("code", PROCESSOR_CODES)
def test_every_processor_code_is_mapped_once(code):
    assert (code in paypal_v2.PROCESSOR) != (code in paypal_v2.CONTRADICTIONS)


def test_no_code_is_invented():
    assert set(paypal_v2.DECLINES) | paypal_v2.UNKNOWN_CODES == {*ISSUES, *OTHERS, *PROCESSOR_CODES}


@pytest.mark.parametrize(
    "code",
    ["PREVIOUS_REQUEST_IN_PROGRESS", "ORDER_COMPLETION_IN_PROGRESS", "ORDER_ALREADY_CAPTURED", "DUPLICATE_INVOICE_ID",
     "PAYPAL_REQUEST_ID_PREVIOUSLY_USED", "CAPTURE_FULLY_REFUNDED"],
)  # fmt: skip
def test_what_may_have_moved_money_is_no_decline(code):
    assert code not in paypal_v2.DECLINES


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("INSTRUMENT_DECLINED", R.ISSUER_DECLINED),
        ("CARD_EXPIRED", R.EXPIRED_CARD),
        ("TOKEN_ID_NOT_FOUND", R.BILLING_KEY_INVALID),
        ("invalid_client", R.CHANNEL_REJECTED),
        ("ORDER_NOT_APPROVED", R.CHANNEL_REJECTED),
        ("PAYER_ACTION_REQUIRED", R.CARD_NOT_SUPPORTED),
        ("COMPLIANCE_VIOLATION", R.FRAUD_SUSPECTED),
        ("9500", R.FRAUD_SUSPECTED),
        ("5200", R.TOO_MANY_TRIES),
        ("PPRN", R.CARD_BLOCKED),
        ("5650", R.CARD_NOT_SUPPORTED),
        ("9100", R.GATEWAY_MAINTENANCE),
    ],
)
def test_the_reason_decides_whether_another_gateway_is_tried(code, reason):
    assert paypal_v2.DECLINES[code] is reason
