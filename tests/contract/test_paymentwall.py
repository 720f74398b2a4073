"""What only Paymentwall does, and what its simulator insists on."""

import hashlib
import json
import logging
import threading
import time
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import urllib3

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.charging import (
    Approved,
    Buyer,
    Cancelled,
    CardSummary,
    ChargeNotice,
    Declined,
    NotFound,
    NotSent,
    Operation,
    Pending,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.paymentwall import DECLINES, LIVE_TOKENS, SPEC, UNKNOWN_CODES, Adapter
from chalicelib.gateways.registry import Registry
from chalicelib.gateways.wire import codes
from infra.sandbox.paymentwall import PARTS_CREDENTIALS, TEST_CREDENTIALS, signature, window_key
from tests.contract.conftest import BUYER, CARD, TIMEOUT, SystemClock

BARE_CREDENTIALS = {name: TEST_CREDENTIALS[name] for name in ("public_key", "private_key", "browser_domain")}
"""What a merchant has who has asked support for nothing."""


@pytest.fixture
def pw(connect):
    return connect("paymentwall")


class Wiretap(HttpClient):
    """Sends, and keeps what was sent."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def send(self, method, url, *, headers=None, body=None, timeout, **kwargs):
        form = dict(parse_qsl((body or b"").decode(), keep_blank_values=True))
        self.calls.append((method, urlsplit(url).path, dict(headers or {}), form, timeout))
        return super().send(method, url, headers=headers, body=body, timeout=timeout, **kwargs)


def card_with(cvc):
    return replace(CARD, cvc=cvc)


def keep(pw, **buyer):
    """A charge that leaves a key, and the key."""
    request = pw.request(keep_card=True, buyer=replace(BUYER, **buyer))
    paid = pw.gateway.charge_card(pw.order_id(), request, CARD, TIMEOUT)
    assert isinstance(paid, Approved)
    return paid.key


# --- codes ------------------------------------------------------------------------------------------------------

PUBLISHED = codes(
    "200 223 224 225 231 700 2111 1000 1001 1003 3000 3001 3002 3003 3004 3005 3006 3008 3009 3010 3011 3012 3013 3014 "
    "3101 3102 3103 3104 3111 3112 3113 3114 3115 3116 3200 3201 3202 3203 3204 3205 3206 3301 3302 3303 3304 3305 3306 "
    "3401 3402 3403 3404 3405 3406 3407 3408 4004 4005 4006 4007 4008 5000"
)


def test_every_published_code_is_mapped_once():
    assert len(PUBLISHED) == 61
    assert set(DECLINES) | UNKNOWN_CODES == PUBLISHED
    assert not set(DECLINES) & UNKNOWN_CODES


def test_another_gateway_is_tried_only_after_what_says_nothing_of_the_card_or_the_buyer():
    soft = {code for code, reason in DECLINES.items() if reason.elsewhere}
    assert soft == codes("3010 3012 3200 3103 3104 3115 3116 3111 3114 1001 1003 2111 3001 3113 4006 4007 4008")


def test_a_second_charge_that_looks_like_the_first_is_no_decline(pw):
    pw.sandbox.fail("charge", "decline", code="3205")
    assert isinstance(pw.gateway.charge_card(pw.order_id(), pw.request(), CARD, TIMEOUT), Unknown)


# --- pingbacks: worked values -----------------------------------------------------------------------------------

PINGBACK = {
    "uid": "user77",
    "goodsid": "ord-1",
    "slength": "",
    "speriod": "",
    "type": "0",
    "ref": "b1493048890",
    "is_test": "1",
}
SIGNED = {
    "1": "5115dac1902c14d8d9edacaa9bb81d11",
    "2": "7ae93bbee0819b126d4b893a72a10fdb",
    "3": "3305ddb413d838df47c8ef39d46ea2d92ebf755d30835c77edfe2a3472362c51",
}


def listener(**credentials):
    """An adapter that only listens."""
    given = TEST_CREDENTIALS | {"secret_key": "SECRET"} | credentials
    return Adapter(credentials=given, pg_id="", base_url="", http=HttpClient(), clock=SystemClock())


def signed(version="3", **changes):
    return PINGBACK | {"sign_version": version, "sig": SIGNED[version]} | changes


@pytest.mark.parametrize("version", SIGNED)
def test_the_worked_values_of_the_signature(version):
    notice = listener().read_charge_notice(signed(version))
    assert notice == ChargeNotice("ord-1", "b1493048890", taken_back=False)


def test_version_1_is_what_it_is_without_a_version():
    fields = PINGBACK | {"sig": SIGNED["1"]}
    assert listener().read_charge_notice(fields).order_id == "ord-1"


@pytest.mark.parametrize("version", SIGNED)
@pytest.mark.parametrize("field", ["uid", "goodsid", "type", "ref"])
def test_what_matters_is_signed(version, field):
    with pytest.raises(InvalidRequest):
        listener().read_charge_notice(signed(version, **{field: "b2"}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sig": ""}, "sig"),
        ({"sig": SIGNED["2"]}, "sig"),
        ({"sig": "é" * 64}, "sig"),
        ({"sig": ["x"]}, "sig"),
        ({"sign_version": "4"}, "sign_version"),
        ({"reason": "10"}, "sig"),
    ],
)
def test_what_is_no_pingback_is_refused(changes, field):
    with pytest.raises(InvalidRequest) as caught:
        listener().read_charge_notice(signed(**changes))
    assert caught.value.field == field


def test_without_a_secret_key_nobody_is_believed():
    """Anybody could sign with an empty one."""
    fields = PINGBACK | {"sign_version": "3"}
    fields["sig"] = signature(fields, "")
    with pytest.raises(InvalidRequest):
        listener(secret_key="").read_charge_notice(fields)
    with pytest.raises(InvalidRequest):
        listener().read_charge_notice({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("goodsid", ""),
        ("goodsid", "x" * 65),
        ("goodsid", "ord-1ref=b2"),
        ("ref", ""),
        ("ref", "b 1"),
        ("type", ""),
        ("type", "0x"),
        ("slength", "1"),
        ("speriod", "month"),
    ],
)
def test_a_signed_pingback_about_nothing_of_ours_is_refused(name, value):
    fields = PINGBACK | {"sign_version": "3", name: value}
    with pytest.raises(InvalidRequest) as caught:
        listener().read_charge_notice(fields | {"sig": signature(fields, "SECRET")})
    assert caught.value.field == name


def test_a_buyers_e_mail_cannot_pass_for_another_order():
    """Version 1 begins with the e-mail, and nothing ends a field: the same text, split anew, has the same signature."""
    e_mail = "x@y.zgoodsid=ord-2slength="
    text = f"uid={e_mail}goodsid=ord-1slength=speriod=type=0ref=b1493048890SECRET"
    sig = hashlib.md5(text.encode()).hexdigest()
    told = PINGBACK | {"uid": e_mail, "sig": sig}
    assert listener().read_charge_notice(told).order_id == "ord-1"
    split_anew = PINGBACK | {"uid": "x@y.z", "goodsid": "ord-2", "slength": "goodsid=ord-1slength=", "sig": sig}
    with pytest.raises(InvalidRequest):
        listener().read_charge_notice(split_anew)


@pytest.mark.parametrize(("kind", "back"), [("0", False), ("1", False), ("2", True), ("201", False), ("202", False)])
def test_only_type_2_takes_back(kind, back):
    fields = PINGBACK | {"sign_version": "3", "type": kind}
    assert listener().read_charge_notice(fields | {"sig": signature(fields, "SECRET")}).taken_back is back


def test_members_of_an_array_are_signed_in_the_order_of_the_array():
    """`a` comes before `a1` among the names, and `a[` after it among the texts."""
    fields = PINGBACK | {"sign_version": "3", "a1": "2", "a[x]": "1"}
    text = "a[x]=1a1=2goodsid=ord-1is_test=1ref=b1493048890sign_version=3slength=speriod=type=0uid=user77SECRET"
    fields["sig"] = hashlib.sha256(text.encode()).hexdigest()
    assert listener().read_charge_notice(fields).order_id == "ord-1"


# --- what is sent -----------------------------------------------------------------------------------------------


def test_card_data_goes_into_the_token_and_nowhere_else(pw):
    tap = Wiretap()
    order_id = pw.order_id()
    assert isinstance(pw.connect(TEST_CREDENTIALS, http=tap).charge_card(order_id, pw.request(), CARD, 3.0), Approved)
    (_, path, headers, token, first), (_, charge_path, charge_headers, charge, second) = tap.calls
    assert (path, charge_path) == ("/api/brick/token", "/api/brick/charge")
    assert "X-ApiKey" not in headers
    assert charge_headers["X-ApiKey"] == TEST_CREDENTIALS["private_key"]
    assert token == {
        "public_key": TEST_CREDENTIALS["public_key"],
        "card[number]": CARD.number,
        "card[exp_month]": "11",
        "card[exp_year]": "2039",
        "card[cvv]": "123",
    }
    assert abs(int(charge.pop("timestamp")) - time.time()) < 5
    assert charge.pop("token").startswith("ot_")
    assert charge == {
        "amount": "8900",
        "currency": "KRW",
        "description": "월간 이용권",
        "email": "gildong@shop.kr",
        "customer[firstname]": "Gildong",
        "customer[lastname]": "Hong",
        "plan": order_id,
        "uid": order_id,
        "browser_domain": "https://shop.example",
        "browser_ip": "203.0.113.7",
        "store_card": "0",
    }
    assert first <= 1.0
    assert 1.9 < second <= 3.0


def test_without_the_status_api_the_buyers_e_mail_is_the_users_id(pw):
    tap = Wiretap()
    pw.connect(BARE_CREDENTIALS, http=tap).charge_card(pw.order_id(), pw.request(), CARD, TIMEOUT)
    assert "uid" not in tap.calls[1][3]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("Mary Ann  Smith", "Mary", "Ann  Smith"), (" Gildong\u00a0Hong ", "Gildong", "Hong"), ("홍\t길동", "홍", "길동")],
)
def test_first_and_last_name(pw, name, first, last):
    tap = Wiretap()
    request = pw.request(buyer=replace(BUYER, name=name))
    assert SPEC.objections(Operation.CHARGE_CARD, request) == ()
    assert isinstance(pw.connect(TEST_CREDENTIALS, http=tap).charge_card(pw.order_id(), request, CARD, 5), Approved)
    assert (tap.calls[1][3]["customer[firstname]"], tap.calls[1][3]["customer[lastname]"]) == (first, last)


def test_what_a_channel_is_not_drawn_for(pw):
    request = pw.request()
    assert [text.partition(":")[0] for text in SPEC.objections(Operation.CHARGE_CARD, pw.request(buyer=Buyer()))] == [
        "buyer_email",
        "buyer_name",
    ]
    one_word = replace(request, buyer=replace(BUYER, name="홍길동"))
    assert len(SPEC.objections(Operation.CHARGE_CARD, one_word)) == 1
    assert len(SPEC.objections(Operation.CHARGE_CARD, replace(request, quota=3))) == 1
    assert SPEC.objections(Operation.CHARGE_BILLING_KEY, replace(request, browser_ip=None)) == ()
    assert SPEC.card_objections(replace(CARD, cvc=None))


@pytest.mark.parametrize(
    ("environment", "public_key", "host"),
    [
        (Environment.LIVE, "4b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e", LIVE_TOKENS),
        (Environment.LIVE, "t_4b1c0d9e8f7a6b5c4d3e2f1a0b9c8d", "https://api.paymentwall.com/api/brick/token"),
        (Environment.TEST, "t_4b1c0d9e8f7a6b5c4d3e2f1a0b9c8d", "https://api.paymentwall.com/api/brick/token"),
    ],
)
def test_the_key_decides_where_a_card_goes(pw, environment, public_key, host):
    asked = []

    class Nobody(HttpClient):
        def send(self, _method, url, **_):
            asked.append(url)
            return Reply(500, b"")

    channel = Channel("k", "n", "paymentwall", "m", environment, "", pw.clock.now())
    gateway = Registry(Nobody(), pw.clock).open(channel, {**TEST_CREDENTIALS, "public_key": public_key})
    assert isinstance(gateway.charge_card("imp1a1", pw.request(), CARD, TIMEOUT), NotSent)
    assert asked == [host]


def test_another_base_url_takes_live_keys_there_too(pw):
    gateway = pw.connect({**TEST_CREDENTIALS, "public_key": "0a1b"}, http=(tap := Wiretap()))
    gateway.charge_card(pw.order_id(), pw.request(), CARD, TIMEOUT)
    assert tap.calls[0][1] == "/api/brick/token"


# --- amounts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("money", "written"),
    [
        (Money(1050, "USD"), "10.50"),
        (Money(5, "EUR"), "0.05"),
        (Money(1_000_000), "1000000"),
        (Money(100, "USD"), "1.00"),
    ],
)
def test_amounts_in_each_currency(pw, money, written):
    tap = Wiretap()
    request = replace(pw.request(), amount=money)
    result = pw.connect(TEST_CREDENTIALS, http=tap).charge_card(pw.order_id(), request, CARD, TIMEOUT)
    assert tap.calls[1][3]["amount"] == written
    assert isinstance(result, Approved)
    assert result.amount == money


def charge_object(**changes):
    return {
        "object": "charge",
        "id": "104872652",
        "amount": "8900.00",
        "currency": "KRW",
        "created": 1795000000,
        "captured": True,
        "refunded": False,
        "risk": "approved",
        "secure": False,
        "card": {"type": "Visa", "last4": "5671", "token": "2857a8cefec761ef7cdb3f97abf4c7b1"},
    } | changes


KEY = {"token": "2857a8cefec761ef7cdb3f97abf4c7b1", "email": "gildong@shop.kr", "name": "Gildong Hong"}


def told(pw, answering, value, status="200 OK"):
    """What a charge and a query become if this is answered: (charge, query by number)."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    gateway = pw.connect(TEST_CREDENTIALS, answering(body, status))
    charged = gateway.charge_billing_key(pw.order_id(), pw.request(), KEY, TIMEOUT)
    return charged, gateway.find_charge(pw.query("imp1a1", "104872652"), TIMEOUT)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("8900.00", "KRW", Money(8900)),
        ("8900", "KRW", Money(8900)),
        (8900, "KRW", Money(8900)),
        (8900.0, "KRW", Money(8900)),
        (9.99, "USD", Money(999, "USD")),
        ("9.9", "usd", Money(990, "USD")),
        ("9.990", "USD", Money(999, "USD")),
        (90071992547.41, "USD", Money(9007199254741, "USD")),
        ("8900.50", "KRW", None),
        ("9.999", "USD", None),
        ("8,900", "KRW", None),
        ("-9.99", "USD", None),
        ("0", "KRW", None),
        ("NaN", "USD", None),
        ("1e99", "USD", None),
        ("9.99", "XXX", None),
        ("8900", "", None),
        ("9.99", None, None),
        (None, "KRW", None),
        (True, "KRW", None),
    ],
)
def test_amounts_are_read_to_the_cent_or_not_at_all(pw, answering, amount, currency, expected):
    for result in told(pw, answering, charge_object(amount=amount, currency=currency)):
        if expected is None:
            assert isinstance(result, Unknown)
        else:
            assert isinstance(result, Approved)
            assert result.amount == expected


def test_a_number_is_never_rounded_on_its_way(pw, answering):
    body = json.dumps(charge_object(currency="USD")).replace('"8900.00"', "9.990000000000000001").encode()
    assert all(isinstance(result, Unknown) for result in told(pw, answering, body))


@pytest.mark.parametrize("marks", [1, 3])
def test_byte_order_marks_are_no_part_of_an_answer(pw, answering, marks):
    body = b"\xef\xbb\xbf" * marks
    assert all(isinstance(r, Approved) for r in told(pw, answering, body + json.dumps(charge_object()).encode()))
    refused = body + b'{"type": "Error", "code": 3011, "error": "balance"}'
    charged, found = told(pw, answering, refused, "400 Bad Request")
    assert isinstance(charged, Declined)
    assert isinstance(found, Unknown)


# --- what a reply becomes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "charged", "found"),
    [
        ({}, Approved, Approved),
        ({"id": 104872652}, Approved, Approved),
        ({"created": None, "card": None}, Approved, Approved),
        ({"created": 10**30}, Approved, Approved),
        ({"secure": True}, Approved, Approved),
        ({"risk": "pending"}, Pending, Pending),
        ({"risk": "pending", "captured": False}, Pending, Pending),
        ({"risk": "pending", "amount": "?"}, Unknown, Unknown),
        ({"captured": False}, Pending, Pending),
        ({"risk": "declined"}, Unknown, Unknown),
        ({"risk": "declined", "captured": False}, Declined, Declined),
        ({"risk": "declined", "refunded": True}, Unknown, Declined),
        ({"risk": "new"}, Unknown, Unknown),
        ({"risk": None}, Unknown, Unknown),
        ({"refunded": True}, Unknown, Approved),
        ({"refunded": None}, Unknown, Unknown),
        ({"captured": None}, Unknown, Unknown),
        ({"object": "subscription"}, Unknown, Unknown),
        ({"id": ""}, Unknown, Unknown),
        ({"id": "a b"}, Unknown, Unknown),
        ({"id": "other"}, Approved, Unknown),
        ({"secure": {"redirect": "https://bank.example"}}, Unknown, Unknown),
        ({"secure": {"formHTML": "<form>"}, "captured": False}, Declined, Unknown),
        ({"secure": {"authenticated": True}, "captured": False, "risk": "pending"}, Unknown, Unknown),
        ({"secure": {"redirect": ""}, "captured": False}, Unknown, Unknown),
        ({"secure": []}, Approved, Approved),
        ({"secure": ""}, Approved, Approved),
        ({"created": "2026-11-23 10:00:00"}, Approved, Approved),
        ({"card": []}, Approved, Approved),
        ({"card": {"token": "", "type": [], "last4": False}}, Approved, Approved),
    ],
)
def test_each_reply(pw, answering, changes, charged, found):
    results = told(pw, answering, charge_object(**changes))
    assert [type(result) for result in results] == [charged, found]


@pytest.mark.parametrize("last4", ["56", "5361480012345671", None])
def test_of_a_card_four_digits_are_shown_or_none(pw, answering, last4):
    for result in told(pw, answering, charge_object(card={"type": None, "last4": last4})):
        assert result.card == CardSummary()


@pytest.mark.parametrize("status", ["201 Created", "302 Found", "400 Bad Request", "500 Oops"])
def test_success_needs_http_200(pw, answering, status):
    assert all(isinstance(result, Unknown) for result in told(pw, answering, charge_object(), status))


@pytest.mark.parametrize(
    ("value", "status", "charged"),
    [
        ({"type": "Error", "code": 3012, "error": "no"}, "400 Bad Request", Declined),
        ({"type": "Error", "code": "3012", "error": "no"}, "402 Payment Required", Declined),
        ({"object": "Error", "code": 3012, "error": None}, "200 OK", Declined),
        ({"code": 3012, "error": "no"}, "422 Unprocessable Entity", Declined),
        ({"code": 3012, "error": "no"}, "200 OK", Unknown),
        ({"type": "Error", "error": "no"}, "400 Bad Request", Unknown),
        ({"type": "Error", "code": 3012, "error": "no"}, "500 Oops", Unknown),
    ],
)
def test_a_refusal_has_a_code_and_says_so(pw, answering, value, status, charged):
    result, found = told(pw, answering, value, status)
    assert isinstance(result, charged)
    assert isinstance(found, Unknown)


def test_a_word_without_a_code_does_not_take_the_channel_down(pw, answering):
    result, found = told(pw, answering, {"error": "Payment not found"}, "404 Not Found")
    assert isinstance(result, Unknown)
    assert not result.unwell
    assert not found.unwell


@pytest.mark.parametrize("secure", [{"redirect": "https://bank.example/3ds"}, {"formHTML": "<form></form>"}])
def test_a_demand_for_3d_secure_charges_nothing_and_may_be_avoided_elsewhere(pw, answering, secure):
    result, _ = told(pw, answering, {"success": 0, "secure": secure})
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.CARD_NOT_SUPPORTED
    assert result.reason.elsewhere
    assert "bank.example" not in repr(result)


def test_3d_secure_at_the_simulator(pw):
    pw.sandbox.fail("charge", "decline", code="secure")
    order_id = pw.order_id()
    assert isinstance(pw.gateway.charge_card(order_id, pw.request(), CARD, TIMEOUT), Declined)
    assert pw.money_taken(order_id) == 0


# --- the token before the charge --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reply_lost", "http_500", "garbage"])
def test_no_token_means_nothing_was_charged(pw, fault):
    pw.sandbox.fail("issue", fault)
    order_id = pw.order_id()
    result = pw.gateway.charge_card(order_id, pw.request(), CARD, TIMEOUT)
    assert isinstance(result, NotSent)
    assert pw.books(order_id) == []


def test_a_token_refused_for_an_unknown_reason_is_logged_and_moves_no_money(pw, caplog):
    caplog.set_level(logging.WARNING)
    for code, is_logged in (("ZZ99", True), ("700", False)):
        caplog.clear()
        pw.sandbox.fail("issue", "decline", code=code)
        assert isinstance(pw.gateway.charge_card(pw.order_id(), pw.request(), CARD, TIMEOUT), NotSent)
        assert (code in caplog.text) is is_logged


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": "411111111111"}, DeclineReason.INVALID_CARD_NUMBER),
        ({"expiry_year": "2001"}, DeclineReason.EXPIRED_CARD),
        ({"cvc": "1"}, DeclineReason.CARD_CHECK_FAILED),
        ({"cvc": None}, DeclineReason.CARD_CHECK_FAILED),
    ],
)
def test_the_token_checks_the_cards_form(pw, changes, reason):
    result = pw.gateway.charge_card(pw.order_id(), pw.request(), replace(CARD, **changes), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is reason


@pytest.mark.parametrize(
    ("cvc", "code", "reason"),
    [
        ("111", "3014", DeclineReason.CARD_CHECK_FAILED),
        ("222", "3011", DeclineReason.INSUFFICIENT_FUNDS),
        ("333", "3010", DeclineReason.ISSUER_DECLINED),
    ],
)
def test_the_cvv_of_a_test_card_decides(pw, cvc, code, reason):
    result = pw.gateway.charge_card(pw.order_id(), pw.request(), card_with(cvc), TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.code, result.reason) == (code, reason)


# --- permanent tokens -------------------------------------------------------------------------------------------


def test_a_key_comes_only_if_it_is_wanted(pw):
    _, approved = pw.charge()
    assert approved.key is None
    key = keep(pw)
    assert set(key.secret) == {"token", "email", "name"}
    assert key.card.number == CARD.masked
    assert key.card.name == "Visa"


def test_a_key_that_nobody_wanted_is_not_kept(pw):
    """`store_card=0` may be overlooked."""

    class Generous(HttpClient):
        def send(self, _method, url, **_):
            made = {"type": "token", "token": "ot_1"} if url.endswith("/token") else charge_object()
            return Reply(200, json.dumps(made).encode())

    gateway = pw.connect(TEST_CREDENTIALS, http=Generous())
    for wanted in (False, True):
        paid = gateway.charge_card(pw.order_id(), pw.request(keep_card=wanted), CARD, TIMEOUT)
        assert (paid.key is not None) is wanted


def test_a_key_is_charged_under_its_own_e_mail_whatever_the_request_says(pw):
    key = keep(pw, email="first@shop.kr", name="First Payer")
    tap = Wiretap()
    request = pw.request(buyer=Buyer("Second Payer", "second@shop.kr"))
    result = pw.connect(TEST_CREDENTIALS, http=tap).charge_billing_key(pw.order_id(), request, key.secret, TIMEOUT)
    assert isinstance(result, Approved)
    [(_, _, _, form, _)] = tap.calls
    assert (form["email"], form["customer[firstname]"]) == ("first@shop.kr", "First")
    assert "store_card" not in form
    assert result.card.number == "************5671"
    stranger = {**key.secret, "email": "second@shop.kr"}
    refused = pw.gateway.charge_billing_key(pw.order_id(), request, stranger, TIMEOUT)
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.BILLING_KEY_INVALID


def test_a_first_charge_without_a_token_in_its_answer_is_paid_all_the_same(pw, monkeypatch):
    monkeypatch.setattr(type(pw.sandbox.simulator), "_store", lambda *_: type("None", (), {"key": None}))
    paid = pw.gateway.charge_card(pw.order_id(), pw.request(keep_card=True), CARD, TIMEOUT)
    assert isinstance(paid, Approved)
    assert paid.key is None


def test_a_token_is_kept_whatever_else_is_said_of_the_card(pw):
    class Odd(HttpClient):
        def send(self, _method, url, **_):
            card = {"token": "2857a8ce", "type": [], "last4": None}
            made = {"type": "token", "token": "ot_1"} if url.endswith("/token") else charge_object(card=card)
            return Reply(200, json.dumps(made).encode())

    gateway = pw.connect(TEST_CREDENTIALS, http=Odd())
    paid = gateway.charge_card(pw.order_id(), pw.request(keep_card=True), CARD, TIMEOUT)
    assert paid.key.secret["token"] == "2857a8ce"


def test_a_key_of_elsewhere_works(pw):
    secret = window_key(pw.sandbox, CARD.number)
    assert isinstance(pw.gateway.charge_billing_key(pw.order_id(), pw.request(), secret, TIMEOUT), Approved)


# --- risk reviews -----------------------------------------------------------------------------------------------


@pytest.fixture
def receiver(pw):
    """Where pingbacks go. answers: what it says to them, in turn, then OK."""

    class Handler(BaseHTTPRequestHandler):
        got: ClassVar = []
        answers: ClassVar = []

        def do_GET(self):
            self.got.append({name: values[-1] for name, values in parse_qs(urlsplit(self.path).query, True).items()})
            body = self.answers.pop(0) if self.answers else b"OK"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    Handler.got, Handler.answers = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    pw.sandbox.notices.url = f"http://127.0.0.1:{server.server_address[1]}/notices/imp1/k1"
    yield Handler
    pw.sandbox.notices.url = None
    server.shutdown()
    thread.join()
    server.server_close()


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("cvc", "end", "kind"), [("555", Approved, "201"), ("556", Declined, "202")])
def test_a_review_ends_minutes_later_and_a_pingback_tells(pw, receiver, cvc, end, kind):
    order_id = pw.order_id()
    pending = pw.gateway.charge_card(order_id, pw.request(), card_with(cvc), TIMEOUT)
    assert isinstance(pending, Pending)
    assert pw.money_taken(order_id) == 0
    assert pw.find(order_id, pending.gateway_ref) == pending
    assert pw.find(order_id) == pending
    until(lambda: len(receiver.got) == 1)
    pw.clock.shift = timedelta(seconds=121)
    until(lambda: len(receiver.got) == 2)
    assert [fields["type"] for fields in receiver.got] == ["200", kind]
    notice = pw.gateway.read_charge_notice(receiver.got[1])
    assert notice == ChargeNotice(order_id, pending.gateway_ref)
    for found in (pw.find(order_id, notice.gateway_ref), pw.find(order_id)):
        assert isinstance(found, end)
        if end is Declined:
            assert found.reason is DeclineReason.FRAUD_SUSPECTED
    assert pw.money_taken(order_id) == (8900 if end is Approved else 0)


def test_a_pingback_comes_until_ok_is_said(pw, receiver):
    receiver.answers[:] = [b"ok", b""]
    _, approved = pw.charge()
    until(lambda: len(receiver.got) == 2)
    first, second = (pw.gateway.read_charge_notice(fields) for fields in receiver.got[:2])
    assert first == second == ChargeNotice(first.order_id, approved.gateway_ref)


def test_a_refund_is_told_as_taken_back(pw, receiver):
    order_id, approved = pw.charge()
    until(lambda: len(receiver.got) == 1)
    pw.gateway.cancel(pw.cancel_request(order_id, approved, 8900), TIMEOUT)
    until(lambda: len(receiver.got) == 2)
    assert receiver.got[1]["reason"] == "9"
    assert pw.gateway.read_charge_notice(receiver.got[1]).taken_back


# --- queries ----------------------------------------------------------------------------------------------------


def test_by_order_id_only_with_the_status_api(pw):
    order_id, approved = pw.charge()
    bare = pw.connect(BARE_CREDENTIALS)
    assert Operation.FIND not in bare.spec.operations
    for gateway in (bare, pw.connect({**TEST_CREDENTIALS, "status_api": "N"})):
        assert isinstance(gateway.find_charge(pw.query(order_id), TIMEOUT), Unknown)
    assert isinstance(bare.find_charge(pw.query(order_id, approved.gateway_ref), TIMEOUT), Approved)
    found = pw.find(order_id)
    assert isinstance(found, Approved)
    assert (found.gateway_ref, found.amount) == (approved.gateway_ref, approved.amount)
    assert pw.find(pw.order_id()) == NotFound()


def test_a_lost_reply_is_found_by_order_id(pw):
    order_id = pw.order_id()
    pw.sandbox.fail("charge", "reply_lost")
    assert isinstance(pw.gateway.charge_card(order_id, pw.request(), CARD, TIMEOUT), Unknown)
    assert isinstance(pw.find(order_id), Approved)


@pytest.mark.parametrize("missing", ["project_key", "secret_key"])
def test_the_status_api_needs_the_projects_own_keys(pw, missing):
    order_id, _ = pw.charge()
    gateway = pw.connect({**TEST_CREDENTIALS, missing: ""})
    result = gateway.find_charge(pw.query(order_id), TIMEOUT)
    assert isinstance(result, Unknown)
    assert missing in result.detail
    assert not result.unwell


def test_a_wrong_signature_is_a_refused_question(pw):
    order_id, _ = pw.charge()
    result = pw.connect({**TEST_CREDENTIALS, "secret_key": "wrong"}).find_charge(pw.query(order_id), TIMEOUT)
    assert isinstance(result, Unknown)
    assert result.unwell


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, Approved),
        ({"product_id": "imp2a1"}, Unknown),
        ({"product_id": None}, Unknown),
        ({"object": "charge"}, Unknown),
        ({"risk": "pending"}, Pending),
        ({"risk": "declined"}, Declined),
        ({"amount": "?"}, Unknown),
    ],
)
def test_each_answer_of_the_status_api(pw, answering, changes, found):
    body = {"object": "payment", "id": "t1234", "created": 1490101573, "amount": "100.00", "currency": "USD"}
    body |= {"refunded": False, "risk": "approved", "uid": "imp1a1", "product_id": "imp1a1"} | changes
    gateway = pw.connect(TEST_CREDENTIALS, answering(json.dumps(body).encode()))
    assert isinstance(gateway.find_charge(pw.query("imp1a1"), TIMEOUT), found)


def test_a_charge_that_told_its_number_cannot_be_not_found(pw):
    assert isinstance(pw.find(pw.order_id(), "1_test"), Unknown)


# --- refunds ----------------------------------------------------------------------------------------------------


def test_a_full_refund_has_no_body(pw):
    order_id, approved = pw.charge()
    tap = Wiretap()
    gateway = pw.connect(PARTS_CREDENTIALS, http=tap)
    result = gateway.cancel(pw.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(result, Cancelled)
    assert result.balance == Money(0)
    [(method, path, _, form, _)] = tap.calls
    assert (method, path, form) == ("POST", f"/api/brick/charge/{approved.gateway_ref}/refund", {})


def test_parts_are_refused_unless_the_channel_says_that_they_work(pw):
    order_id, approved = pw.charge()
    tap = Wiretap()
    result = pw.connect(BARE_CREDENTIALS, http=tap).cancel(pw.cancel_request(order_id, approved, 900), TIMEOUT)
    assert isinstance(result, NotSent)  # a refusal would say that an earlier try of the same part has failed, too
    assert not result.unwell
    assert tap.calls == []


def test_parts_to_the_end(pw):
    gateway = pw.connect(PARTS_CREDENTIALS)
    order_id = pw.order_id()
    approved = gateway.charge_card(order_id, pw.request(), CARD, TIMEOUT)
    assert approved.balance == Money(8900)
    assert Operation.PARTIAL_CANCEL in gateway.spec.operations
    left = 8900
    for sequence, part in enumerate((900, 3000, 5000), start=1):
        result = gateway.cancel(pw.cancel_request(order_id, approved, part, left, sequence=sequence), TIMEOUT)
        left -= part
        assert isinstance(result, Cancelled)
        assert result.cancel.amount == Money(part)
        assert result.balance == (None if left else Money(0))
        assert pw.money_taken(order_id) == left
        # A balance that is not told is never taken for one that is untouched: nobody sends the part again.
        found = gateway.find_charge(pw.query(order_id, approved.gateway_ref), TIMEOUT)
        assert found.balance == (None if left else Money(0))
    assert [cancel.amount for cancel in found.cancels] == [Money(8900)]
    again = gateway.cancel(pw.cancel_request(order_id, approved, 900, 900), TIMEOUT)
    assert isinstance(again, Unknown)


@pytest.mark.parametrize(
    ("amount", "balance", "changes", "done"),
    [
        (900, 8900, {}, True),
        (900, 8900, {"refunded": True}, False),  # the field was ignored, and everything given back
        (900, 900, {"refunded": True}, True),
        (900, 900, {}, False),
        (8900, 8900, {"refunded": True}, True),
        (8900, 8900, {}, False),
        (8900, 8900, {"refunded": True, "id": "other"}, False),
        (8900, 8900, {"refunded": True, "object": "payment"}, False),
    ],
)
def test_a_refund_is_done_only_if_the_reply_shows_it(pw, answering, amount, balance, changes, done):
    approved = Approved("104872652", Money(8900), pw.clock.now())
    gateway = pw.connect(PARTS_CREDENTIALS, answering(json.dumps(charge_object(**changes)).encode()))
    result = gateway.cancel(pw.cancel_request("imp1a1", approved, amount, balance), TIMEOUT)
    assert isinstance(result, Cancelled if done else Unknown)


def test_without_parts_the_balance_is_known_and_a_lost_refund_settles(pw):
    order_id, approved = pw.charge()
    assert pw.find(order_id, approved.gateway_ref).balance == Money(8900)
    pw.sandbox.fail("cancel", "reply_lost")
    assert isinstance(pw.gateway.cancel(pw.cancel_request(order_id, approved, 8900), TIMEOUT), Unknown)
    found = pw.find(order_id, approved.gateway_ref)
    assert found.balance == Money(0)
    assert [cancel.amount for cancel in found.cancels] == [Money(8900)]


# --- the simulator ----------------------------------------------------------------------------------------------


@pytest.fixture
def wire(pw):
    """wire(method, path, form) -> (status, JSON): the simulator without the adapter."""
    pool = urllib3.PoolManager()

    def call(method, path, form=None, key=TEST_CREDENTIALS["private_key"]):
        headers = {"X-ApiKey": key} if key else {}
        how = {"encode_multipart": False} if method == "POST" else {}
        reply = pool.request(method, pw.sandbox.url + path, fields=form, headers=headers, **how)
        return reply.status, json.loads(reply.data.decode("utf-8-sig"))

    yield call
    pool.clear()


CARD_FORM = {
    "public_key": TEST_CREDENTIALS["public_key"],
    "card[number]": "4242424242424242",
    "card[exp_month]": "11",
    "card[exp_year]": "2039",
    "card[cvv]": "123",
}


def order_form(pw, wire, **changes):
    token = wire("POST", "/api/brick/token", CARD_FORM, key=None)[1]["token"]
    form = {
        "token": token,
        "amount": "9.99",
        "currency": "USD",
        "description": "Item",
        "email": "user@host.com",
        "plan": pw.order_id(),
        "timestamp": "1795000000",
        "customer[firstname]": "John",
        "customer[lastname]": "Doe",
        "browser_ip": "203.0.113.7",
        "browser_domain": "https://shop.example",
    }
    return {name: value for name, value in (form | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"browser_ip": None, "fingerprint": "f"}, None),
        ({"token": "ot_unknown"}, 3111),
        ({"amount": None}, 3002),
        ({"amount": "9.999"}, 3002),
        ({"amount": "0"}, 3002),
        ({"amount": "100.50", "currency": "KRW"}, 3002),
        ({"amount": "0.49"}, 3115),
        ({"currency": "dollar"}, 3002),
        ({"description": ""}, 3008),
        ({"email": None}, 3008),
        ({"email": "nobody"}, 3008),
        ({"plan": None}, 3008),
        ({"timestamp": None}, 3008),
        ({"browser_ip": None}, 3008),
        ({"browser_domain": None}, 3008),
        ({"customer[firstname]": None}, 3301),
        ({"customer[lastname]": ""}, 3302),
    ],
)
def test_the_simulator_checks_what_the_documentation_says(pw, wire, changes, code):
    status, answer = wire("POST", "/api/brick/charge", order_form(pw, wire, **changes))
    assert answer.get("code") == code
    assert status == (200 if code is None else 400)
    assert answer.get("type") == (None if code is None else "Error")


def test_a_one_time_token_works_once_and_not_for_long(pw, wire):
    form = order_form(pw, wire)
    assert wire("POST", "/api/brick/charge", form)[0] == 200
    assert wire("POST", "/api/brick/charge", form)[1]["code"] == 3112
    late = order_form(pw, wire)
    pw.clock.shift = timedelta(seconds=291)
    assert wire("POST", "/api/brick/charge", late)[1]["code"] == 3112


def test_two_equal_charges_are_two_payments(pw):
    order_id = pw.order_id()
    for _ in range(2):
        assert isinstance(pw.gateway.charge_card(order_id, pw.request(), CARD, TIMEOUT), Approved)
    assert pw.money_taken(order_id) == 17800


@pytest.mark.parametrize(("key", "code"), [(None, 4006), ("t_nobody", 4007)])
def test_a_refused_key_is_401(wire, key, code):
    status, answer = wire("GET", "/api/brick/charge/1_test", key=key)
    assert (status, answer["code"]) == (401, code)


def test_every_other_answer_begins_with_a_byte_order_mark(pw):
    pool = urllib3.PoolManager()
    bodies = [pool.request("GET", f"{pw.sandbox.url}/api/brick/charge/1").data for _ in range(4)]
    pool.clear()
    assert sum(body.startswith(b"\xef\xbb\xbf") for body in bodies) == 2


def test_a_payment_is_asked_for_by_number_too(pw, wire):
    _, approved = pw.charge()
    query = {"key": TEST_CREDENTIALS["project_key"], "ref": approved.gateway_ref, "sign_version": "3"}
    query["sign"] = signature(query, TEST_CREDENTIALS["secret_key"])
    assert wire("GET", "/api/rest/payment", query)[1]["id"] == approved.gateway_ref
    query["sign"] = "0" * 64
    assert wire("GET", "/api/rest/payment", query)[1]["code"] == 3001
