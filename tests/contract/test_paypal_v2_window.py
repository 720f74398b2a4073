"""PayPal's window: the order that is opened for it, what the browser may say, and what is captured in the end."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    ChargeQuery,
    Declined,
    NotFound,
    NotSent,
    Operation,
    Pending,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.domain.windows import BUYER_LEFT, Authenticated, Way, WindowPage
from chalicelib.gateways import paypal_v2
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import Registry
from infra.sandbox.paypal_v2 import OTHER_CREDENTIALS, PENDING, TEST_CREDENTIALS, review
from infra.sandbox.server import Refusal
from tests.contract.conftest import CARD, TIMEOUT
from tests.contract.test_paypal_v2 import TOKEN, Wire, capture, order
from tests.contract.windows import RETURN_URL, approve, authenticated, opened, pay, visit, window_order

NUMBER = "5O190127TN364715T"
APPROVE_URL = f"https://www.sandbox.paypal.com/checkoutnow?token={NUMBER}"
BACK = Authenticated({"order": NUMBER}, {"order": NUMBER})
BUSY = {"issue": "PREVIOUS_REQUEST_IN_PROGRESS"}


@pytest.fixture
def paypal(connect):
    return connect("paypal_v2")


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch):
    monkeypatch.setattr(paypal_v2, "TOKENS", paypal_v2._Tokens())


def wanted(paypal, **kwargs):
    return window_order(paypal, "paypal", **kwargs)


def held(paypal, number) -> dict[str, Any]:
    """The order in the simulator's books, to be changed behind our back."""
    answers = paypal.sandbox.simulator.books.answers
    return answers[f"order {TEST_CREDENTIALS['client_id']} {number}"]


def find(paypal, order_id, kept=(), gateway_ref=None) -> Any:
    query = ChargeQuery(order_id, paypal.money(8900), paypal.clock.now(), gateway_ref, "paypal", dict(kept))
    return paypal.gateway.find_charge(query, TIMEOUT)


def window_unit(order_id, value="89.00", **changes) -> dict[str, Any]:
    payee = {"merchant_id": TEST_CREDENTIALS["merchant_id"]}
    return {"custom_id": order_id, "amount": {"currency_code": "USD", "value": value}, "payee": payee, **changes}


def scripted(paypal, order_id, read, captured=(500, {})):
    """A connection whose order is the one of BACK, reads as given, and is captured as given."""
    first = order(order_id, status="PAYER_ACTION_REQUIRED", purchase_units=[window_unit(order_id)])
    wire = Wire(TOKEN | {
        ("POST", "/checkout/orders"): (200, first),
        ("GET", f"/checkout/orders/{NUMBER}"): read,
        ("POST", "/capture"): captured,
    })  # fmt: skip
    return paypal.connect(TEST_CREDENTIALS, http=wire), wire


def approved_order(order_id, **unit) -> tuple[int, dict[str, Any]]:
    return 200, order(order_id, status="APPROVED", purchase_units=[window_unit(order_id, **unit)])


def captures(wire) -> int:
    return sum(path.endswith("/capture") for _, path in wire.calls())


# --- opening ----------------------------------------------------------------------------------------------------


def test_what_the_order_says_to_the_buyer(paypal):
    wire, asked = Wire(), wanted(paypal)
    page = paypal.connect(TEST_CREDENTIALS, http=wire).open_window(asked, TIMEOUT)
    _, sent = wire.sent
    assert (sent.method, sent.path) == ("POST", "/v2/checkout/orders")
    assert sent.json == {
        "intent": "CAPTURE",
        "purchase_units": [{
            "custom_id": asked.order_id,
            "amount": {"currency_code": "USD", "value": "89.00"},
            "description": "월간 이용권",
        }],
        "payment_source": {"paypal": {"experience_context": {
            "return_url": RETURN_URL,
            "cancel_url": f"{RETURN_URL}?cancelled=1",
            "user_action": "PAY_NOW",
            "shipping_preference": "GET_FROM_FILE",
            "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
            "locale": "ko-KR",
        }}},
    }  # fmt: skip
    assert isinstance(page, WindowPage)
    number = page.params["token"]
    assert page == WindowPage(
        driver="paypal_v2",
        params={
            "token": number,
            "approve_url": f"{paypal.sandbox.url}/checkoutnow?token={number}",
            "in_frame": True,
            "button": "PayPal로 결제하기",
        },
    )
    assert TEST_CREDENTIALS["client_id"] not in json.dumps(dict(page.params))


def test_a_reload_shows_the_same_order_and_repeats_the_opening_to_the_byte(paypal):
    wire, asked = Wire(), wanted(paypal)
    gateway = paypal.connect(TEST_CREDENTIALS, http=wire)
    assert gateway.open_window(asked, TIMEOUT) == gateway.open_window(asked, TIMEOUT)
    _, first, second = wire.sent
    assert (first.body, first.headers) == (second.body, second.headers)


def test_the_request_id_cannot_be_guessed_from_what_the_browser_knows(paypal):
    asked, ids = wanted(paypal), []
    for credentials in (TEST_CREDENTIALS, TEST_CREDENTIALS | {"client_secret": "another"}):
        wire = Wire(TOKEN | {("POST", "/checkout/orders"): (500, {})})
        paypal_v2.TOKENS = paypal_v2._Tokens()
        paypal.connect(credentials, http=wire).open_window(asked, TIMEOUT)
        ids.append(wire.sent[-1].headers["PayPal-Request-Id"])
    assert ids[0] != ids[1]
    assert all(re.fullmatch(r"[0-9a-f]{64}", name) for name in ids)


@pytest.mark.parametrize(
    ("language", "locale", "button"),
    [
        ("ko", "ko-KR", "PayPal로 결제하기"),
        ("en", "en-US", "Pay with PayPal"),
        ("zh", "zh-CN", "Pay with PayPal"),
        ("tlh", None, "Pay with PayPal"),
    ],
)
def test_languages(paypal, language, locale, button):
    wire = Wire()
    page = paypal.connect(TEST_CREDENTIALS, http=wire).open_window(wanted(paypal, language=language), TIMEOUT)
    assert wire.sent[-1].json["payment_source"]["paypal"]["experience_context"].get("locale") == locale
    assert page.params["button"] == button


@pytest.mark.parametrize(("way", "in_frame"), [(Way.FRAME, True), (Way.POPUP, False), (Way.REDIRECT, False)])
def test_only_a_frame_needs_a_pop_up(paypal, way, in_frame):
    assert opened(paypal, wanted(paypal, way=way)).params["in_frame"] is in_frame


ADDRESS = {"country_code": "KR", "admin_area_2": "중구", "address_line_1": "세종대로 110"}
SHIPPING = {"name": {"full_name": "홍길동"}, "address": ADDRESS}


@pytest.mark.parametrize(
    ("digital", "bypass", "shipping", "address", "preference"),
    [
        (None, None, None, None, "GET_FROM_FILE"),
        (True, None, None, None, "NO_SHIPPING"),
        (False, {"purchase_units": [{"shipping": SHIPPING}]}, SHIPPING, None, "GET_FROM_FILE"),
        (True, {"purchase_units": [{"shipping": SHIPPING}]}, None, None, "NO_SHIPPING"),
        (False, {"payer": {"address": ADDRESS}}, None, ADDRESS, "GET_FROM_FILE"),
        (False, {"purchase_units": [], "payer": {"address": "Seoul"}}, None, None, "GET_FROM_FILE"),
        (False, {"purchase_units": {"shipping": SHIPPING}, "payer": None}, None, None, "GET_FROM_FILE"),
        (False, [], None, None, "GET_FROM_FILE"),
    ],
)
def test_addresses(paypal, digital, bypass, shipping, address, preference):
    wire = Wire()
    text = None if bypass is None else json.dumps({"paypal_v2": bypass})
    paypal.connect(TEST_CREDENTIALS, http=wire).open_window(wanted(paypal, digital=digital, bypass=text), TIMEOUT)
    body = wire.sent[-1].json
    assert body["purchase_units"][0].get("shipping") == shipping
    assert body["payment_source"]["paypal"].get("address") == address
    assert body["payment_source"]["paypal"]["experience_context"]["shipping_preference"] == preference


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"paypal_v2"'])
def test_a_bypass_that_is_none(paypal, text):
    assert isinstance(paypal.gateway.open_window(wanted(paypal, bypass=text), TIMEOUT), WindowPage)


def test_a_bypass_changes_nothing_of_what_is_paid_and_to_whom(paypal):
    mine = {
        "intent": "AUTHORIZE",
        "purchase_units": [{"amount": {"currency_code": "USD", "value": "0.01"}, "payee": {"merchant_id": "X"}, "custom_id": "x"}],
        "payment_source": {"paypal": {"experience_context": {"return_url": "https://evil.example"}}},
        "enable-funding": "paylater",
    }  # fmt: skip
    wires = [Wire(), Wire()]
    asked = wanted(paypal)
    forged = replace(asked, request=replace(asked.request, bypass=json.dumps({"paypal_v2": mine})))
    for wire, window in zip(wires, (asked, forged), strict=True):
        paypal.connect(TEST_CREDENTIALS, http=wire).open_window(window, TIMEOUT)
    assert wires[0].sent[-1].body == wires[1].sent[-1].body


def test_a_long_name_is_cut(paypal):
    wire = Wire()
    paypal.connect(TEST_CREDENTIALS, http=wire).open_window(wanted(paypal, name="가" * 200), TIMEOUT)
    assert wire.sent[-1].json["purchase_units"][0]["description"] == "가" * 42


def test_a_nameless_order_has_no_description(paypal):
    wire = Wire()
    paypal.connect(TEST_CREDENTIALS, http=wire).open_window(wanted(paypal, name=None), TIMEOUT)
    assert "description" not in wire.sent[-1].json["purchase_units"][0]


LINKS = [{"rel": "self", "href": "https://api-m.sandbox.paypal.com/v2/checkout/orders/1"}]


@pytest.mark.parametrize(
    ("links", "shown"),
    [
        ([*LINKS, {"rel": "payer-action", "href": APPROVE_URL}], True),
        ([*LINKS, {"rel": "approve", "href": APPROVE_URL}], True),
        (LINKS, False),
        (None, False),
        ("none", False),
        ([{"rel": "payer-action", "href": "https://www.sandbox.paypal.com.evil.example/checkoutnow"}], False),
        ([{"rel": "payer-action", "href": "javascript:alert(1)"}], False),
    ],
)
def test_the_browser_is_sent_to_paypal_and_nowhere_else(paypal, links, shown):
    asked = wanted(paypal)
    answer = order(asked.order_id, status="PAYER_ACTION_REQUIRED", links=links)
    wire = Wire(TOKEN | {("POST", "/checkout/orders"): (201, answer)})
    channel = Channel("key", "test", "paypal_v2", "mid", Environment.TEST, "", paypal.clock.now())
    page = Registry(wire, paypal.clock).open(channel, TEST_CREDENTIALS).open_window(asked, TIMEOUT)
    if shown:
        assert page.params["approve_url"] == APPROVE_URL
    else:
        assert isinstance(page, Unknown)
        assert page.unwell


def test_live_channels_lead_to_the_live_page():
    assert paypal_v2.WINDOW_URLS[Environment.LIVE]["checkout"] == "https://www.paypal.com"


def test_a_way_back_that_got_lost_is_gone_again(paypal):
    """The buyer has approved, and the browser shows our page once more."""
    asked = wanted(paypal)
    authenticated(paypal, asked)
    page = opened(paypal, asked)
    assert page.params["approve_url"] is None
    back = paypal.gateway.read_return(asked, {"token": page.params["token"]})
    assert isinstance(approve(paypal, asked, back), Approved)


@pytest.mark.parametrize("fault", ["timeout", "http_500", "refuse"])
def test_without_an_order_there_is_no_page(paypal, fault):
    gateway = paypal.connect(TEST_CREDENTIALS)
    gateway.open_window(wanted(paypal), TIMEOUT)  # for the token
    paypal.sandbox.fail("order", fault, **({"seconds": 2} if fault == "timeout" else {}))
    assert isinstance(gateway.open_window(wanted(paypal), 1.0), Unknown | NotSent)


# --- the way back -----------------------------------------------------------------------------------------------


def test_the_browser_brings_the_number_of_the_order(paypal):
    asked = wanted(paypal)
    fields = visit(paypal, asked)
    assert set(fields) == {"token", "PayerID"}
    back = paypal.gateway.read_return(asked, fields)
    assert back == Authenticated({"order": fields["token"]}, {"order": fields["token"]})
    assert fields["token"] not in repr(back)


@pytest.mark.parametrize("button", ["cancel", "fail"])
def test_a_buyer_who_leaves(paypal, button):
    asked = wanted(paypal)
    fields = visit(paypal, asked, button)
    assert paypal.gateway.read_return(asked, fields) == Declined(R.BUYER_CANCELLED, "CANCELLED", BUYER_LEFT)


@pytest.mark.parametrize("token", [None, "", "../captures/1", "5o190127", "A" * 37, "5O190127TN364715T\n"])
def test_what_is_no_number_is_no_return(paypal, token):
    fields = {"PayerID": "QWRTNBFHZXLPD"} | ({} if token is None else {"token": token})
    with pytest.raises(InvalidRequest) as caught:
        paypal.gateway.read_return(wanted(paypal), fields)
    assert caught.value.field == "token"


# --- approving --------------------------------------------------------------------------------------------------


def test_a_payment(paypal):
    asked, approved = pay(paypal, "paypal")
    assert approved.amount == asked.request.amount
    assert approved.card is None
    assert approved.balance == approved.amount
    (row,) = paypal.books(asked.order_id)
    assert (row["order_id"], row["balance"]) == (asked.order_id, 8900)


@pytest.mark.parametrize("currency", ["USD", "JPY"])
def test_amounts_are_of_their_currency(paypal, currency):
    asked = wanted(paypal)
    asked = replace(asked, request=replace(asked.request, amount=Money(8900, currency)))
    assert approve(paypal, asked, authenticated(paypal, asked)).amount == Money(8900, currency)


def test_the_capture_is_asked_for_once_it_is_known_what_is_captured(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    wire = Wire()
    paypal.connect(TEST_CREDENTIALS, http=wire).approve(asked, back, TIMEOUT)
    number = back.proof["order"]
    assert wire.calls()[-3:] == [
        ("POST", "/v2/checkout/orders"),
        ("GET", f"/v2/checkout/orders/{number}"),
        ("POST", f"/v2/checkout/orders/{number}/capture"),
    ]
    opening, _, captured = wire.sent[-3:]
    assert captured.json == {}
    assert captured.headers["PayPal-Request-Id"] == f"{opening.headers['PayPal-Request-Id']}-capture"
    assert len(captured.headers["PayPal-Request-Id"]) <= 108


def test_another_order_of_the_same_shop_pays_nothing(paypal):
    """Approved and never captured, and now brought to the window of another payment."""
    cheap, dear = wanted(paypal, amount=1), wanted(paypal)
    back = authenticated(paypal, cheap)
    opened(paypal, dear)
    result = approve(paypal, dear, back)
    assert result == NotSent("the browser came back with another PayPal order", unwell=False)
    assert not paypal.books(cheap.order_id) + paypal.books(dear.order_id)


def test_an_order_that_the_buyer_has_made_up_is_not_ours(paypal):
    """With the client id he can open one of the same order id, amount and all, which pays himself."""
    asked = wanted(paypal)
    ours = opened(paypal, asked).params["token"]
    made_up = f"A{ours[1:]}"
    path = f"order {TEST_CREDENTIALS['client_id']} {made_up}"
    paypal.sandbox.simulator.books.answers[path] = held(paypal, ours) | {"approved": True, "payee": "HESELFHESELF2"}
    back = paypal.gateway.read_return(asked, {"token": made_up, "PayerID": "HESELFHESELF2"})
    assert isinstance(approve(paypal, asked, back), NotSent)
    assert not paypal.books(asked.order_id)


def test_an_order_whose_amount_was_changed_is_not_captured(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    held(paypal, back.proof["order"])["amount"] = 1
    result = approve(paypal, asked, back)
    assert result == NotSent("the PayPal order is for another amount", unwell=False)
    assert not paypal.books(asked.order_id)


def test_the_currency_belongs_to_the_amount(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    held(paypal, back.proof["order"])["currency"] = "MXN"
    assert isinstance(approve(paypal, asked, back), NotSent)


def test_an_order_that_pays_somebody_else_is_not_captured(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    held(paypal, back.proof["order"])["payee"] = "HESELFHESELF2"
    assert isinstance(approve(paypal, asked, back), NotSent)
    assert not paypal.books(asked.order_id)


def test_nor_is_one_that_somebody_has_captured_so(paypal):
    """A capture by the buyer's own hand is no payment if it paid another account."""
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    approve(paypal, asked, back)
    held(paypal, back.proof["order"])["payee"] = "HESELFHESELF2"
    assert isinstance(find(paypal, asked.order_id, back.kept), Unknown)


def test_a_wrong_merchant_id_is_noticed_before_the_buyer_is_asked(paypal):
    gateway = paypal.connect(TEST_CREDENTIALS | {"merchant_id": "ANQTHERQNE222"})
    assert isinstance(gateway.open_window(wanted(paypal), TIMEOUT), Unknown)


def test_without_a_merchant_id_there_is_no_window():
    assert Operation.PAY_IN_WINDOW not in paypal_v2.SPEC.operations
    assert paypal_v2.SPEC.options(TEST_CREDENTIALS) == ("merchant_id",)
    assert paypal_v2.SPEC.options(OTHER_CREDENTIALS) == ()


NAMELESS = {"custom_id": None, "payments": {"captures": [capture(None)]}}


@pytest.mark.parametrize(
    ("changes", "credentials"),
    [
        (NAMELESS, {}),  # captured once, it would pay for any number of orders
        ({"payee": {"merchant_id": "HESELFHESELF2"}}, {}),
        ({"payee": {"email_address": "he@himself.example"}}, {}),
        ({"payee": None}, {}),
        ({"payee": {"merchant_id": "HESELFHESELF2"}}, {"merchant_id": ""}),
        ({"payee": None}, {"merchant_id": ""}),
    ],
)
def test_what_a_buyer_has_made_up_and_captured_is_no_payment_afterwards(paypal, changes, credentials):
    """Whoever asks for the page once more at that moment makes the approval fail before it has seen what is ours."""
    asked = wanted(paypal)
    unit = window_unit(asked.order_id, payments={"captures": [capture(asked.order_id)]}) | changes
    wire = Wire(TOKEN | {
        ("POST", "/checkout/orders"): (409, {"name": "RESOURCE_CONFLICT", "details": [BUSY]}),
        ("GET", f"/checkout/orders/{NUMBER}"): (200, order(asked.order_id, purchase_units=[unit])),
    })  # fmt: skip
    gateway = paypal.connect(TEST_CREDENTIALS | credentials, http=wire)
    back = gateway.read_return(asked, {"token": NUMBER, "PayerID": "HESELFHESELF2"})
    assert isinstance(gateway.approve(asked, back, TIMEOUT), Unknown)
    query = ChargeQuery(asked.order_id, asked.request.amount, paypal.clock.now(), None, "paypal", dict(back.kept))
    assert isinstance(gateway.find_charge(query, TIMEOUT), Unknown)


@pytest.mark.parametrize("payee", [None, {"email_address": "he@himself.example"}])
def test_an_order_that_does_not_say_whom_it_pays_is_not_captured(paypal, payee):
    asked = wanted(paypal)
    gateway, wire = scripted(paypal, asked.order_id, approved_order(asked.order_id, payee=payee))
    assert isinstance(gateway.approve(asked, BACK, TIMEOUT), NotSent)
    assert captures(wire) == 0


def test_a_buyer_who_has_not_agreed_pays_nothing(paypal):
    asked = wanted(paypal)
    token = opened(paypal, asked).params["token"]
    back = paypal.gateway.read_return(asked, {"token": token, "PayerID": "QWRTNBFHZXLPD"})
    result = approve(paypal, asked, back)
    assert result == Declined(R.NOT_CHARGED, "ORDER_NOT_APPROVED", "the order is PAYER_ACTION_REQUIRED")
    assert not paypal.books(asked.order_id)


def test_a_proof_is_good_once(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    first, second = approve(paypal, asked, back), approve(paypal, asked, back)
    assert first.gateway_ref == second.gateway_ref
    assert paypal.money_taken(asked.order_id) == 8900


def test_another_merchants_order_is_nobodys(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    other = paypal.connect(OTHER_CREDENTIALS)
    assert not isinstance(other.approve(asked, back, TIMEOUT), Approved)
    assert not paypal.books(asked.order_id)


def test_a_wallet_that_is_refused(paypal):
    asked = wanted(paypal)
    result = approve(paypal, asked, authenticated(paypal, asked, "approve-no-funds"))
    assert isinstance(result, Declined)
    assert (result.reason, result.code) == (R.ISSUER_DECLINED, "INSTRUMENT_DECLINED")
    assert paypal.money_taken(asked.order_id) == 0


@pytest.mark.parametrize(
    ("captured", "wanted_result"),
    [
        ((201, {"status": "COMPLETED"}), Approved),
        ((200, {"status": "COMPLETED"}), Approved),
        ((201, {"status": "DECLINED"}), Declined),
        ((201, {"status": "FAILED"}), Declined),
        ((201, {"status": "PENDING"}), Pending),
        ((201, {"status": "REVERSED"}), Unknown),
        ((201, {"custom_id": "imp1a1"}), Unknown),
        ((500, {"status": "COMPLETED"}), Unknown),
    ],
)
def test_the_capture_decides(paypal, captured, wanted_result):
    asked = wanted(paypal)
    status, changes = captured
    answer = order(asked.order_id, [capture(asked.order_id) | changes], payment_source={"paypal": {}})
    gateway, wire = scripted(paypal, asked.order_id, approved_order(asked.order_id), (status, answer))
    assert isinstance(gateway.approve(asked, BACK, TIMEOUT), wanted_result)
    assert captures(wire) == 1


@pytest.mark.parametrize(
    ("issue", "status", "wanted_result"),
    [
        ("ORDER_ALREADY_CAPTURED", 422, Unknown),
        ("DUPLICATE_INVOICE_ID", 422, Unknown),
        ("ORDER_COMPLETION_IN_PROGRESS", 422, Unknown),
        ("PREVIOUS_REQUEST_IN_PROGRESS", 409, Unknown),
        ("SOMETHING_NEW", 422, Unknown),
        ("PAYER_CANNOT_PAY", 422, Declined),
        ("TRANSACTION_REFUSED", 422, Declined),
    ],
)
def test_a_refused_capture(paypal, issue, status, wanted_result):
    asked = wanted(paypal)
    answer = (status, {"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": issue}]})
    gateway, _ = scripted(paypal, asked.order_id, approved_order(asked.order_id), answer)
    result = gateway.approve(asked, BACK, TIMEOUT)
    assert isinstance(result, wanted_result)
    assert result.code == issue


def test_an_order_that_was_captured_already_is_told_as_it_is(paypal):
    asked = wanted(paypal)
    unit = window_unit(asked.order_id, payments={"captures": [capture(asked.order_id)]})
    gateway, wire = scripted(paypal, asked.order_id, (200, order(asked.order_id, purchase_units=[unit])))
    assert isinstance(gateway.approve(asked, BACK, TIMEOUT), Approved)
    assert captures(wire) == 0


@pytest.mark.parametrize("read", [(500, {}), (200, b"<html>"), (200, order("imp1a1", status="APPROVED"))])
def test_what_cannot_be_read_is_not_captured(paypal, read):
    asked = wanted(paypal)
    gateway, wire = scripted(paypal, asked.order_id, read)
    assert isinstance(gateway.approve(asked, BACK, TIMEOUT), NotSent)
    assert captures(wire) == 0


@pytest.mark.parametrize("amount", [None, {"currency_code": "USD"}, {"currency_code": "USD", "value": "89.001"}])
def test_an_amount_that_cannot_be_read_is_another_one(paypal, amount):
    asked = wanted(paypal)
    gateway, wire = scripted(paypal, asked.order_id, approved_order(asked.order_id, amount=amount))
    assert isinstance(gateway.approve(asked, BACK, TIMEOUT), NotSent)
    assert captures(wire) == 0


def test_the_steps_share_the_time(paypal):
    asked = wanted(paypal)
    gateway, wire = scripted(paypal, asked.order_id, approved_order(asked.order_id))
    gateway.approve(asked, BACK, 9.0)
    _, opening, reading, capturing = wire.sent
    assert opening.timeout <= 3
    assert reading.timeout <= 4.5
    assert 8 < capturing.timeout <= 9


# --- what gets lost ---------------------------------------------------------------------------------------------


def test_a_lost_capture_is_found_by_the_orders_number_however_late(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    paypal.sandbox.fail("charge", "reply_lost")
    assert isinstance(approve(paypal, asked, back), Unknown)
    paypal.clock.shift += timedelta(days=2)  # request ids are long forgotten
    assert find(paypal, asked.order_id, back.kept).amount == asked.request.amount


def test_a_capture_that_never_arrived_is_not_found(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    paypal.sandbox.fail("charge", "http_500")
    assert isinstance(approve(paypal, asked, back), Unknown)
    assert find(paypal, asked.order_id, back.kept) == NotFound()


def test_a_declined_capture_is_found_as_such(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    paypal.sandbox.fail("charge", "decline", code="9500")
    assert isinstance(approve(paypal, asked, back), Declined)
    assert find(paypal, asked.order_id, back.kept).reason is R.FRAUD_SUSPECTED


def test_another_order_id_finds_nothing(paypal):
    _, approved = pay(paypal, "paypal")
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    approve(paypal, asked, back)
    assert isinstance(find(paypal, paypal.order_id(), back.kept), Unknown)
    assert isinstance(find(paypal, paypal.order_id(), gateway_ref=approved.gateway_ref), Unknown)


def test_without_its_number_nothing_is_opened_and_called_not_charged(paypal):
    asked, _ = pay(paypal, "paypal")
    assert isinstance(find(paypal, asked.order_id), Unknown)


def test_a_refused_question_is_no_answer(paypal):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    approve(paypal, asked, back)
    paypal.sandbox.fail("find", "decline")
    assert isinstance(find(paypal, asked.order_id, back.kept), Unknown)


def test_a_review_ends_one_way_or_the_other(paypal):
    for code, ends in ((None, Approved), ("9500", Declined)):
        asked = wanted(paypal)
        back = authenticated(paypal, asked)
        paypal.sandbox.fail("charge", "decline", code=PENDING)
        pending = approve(paypal, asked, back)
        assert isinstance(pending, Pending)
        assert find(paypal, asked.order_id, back.kept, pending.gateway_ref) == pending
        review(paypal.sandbox, asked.order_id, code)
        assert isinstance(find(paypal, asked.order_id, back.kept, pending.gateway_ref), ends)


def test_refunds_in_parts(paypal):
    asked, approved = pay(paypal, "paypal")
    for amount, left in ((900, 8000), (8000, 0)):
        request = paypal.cancel_request(asked.order_id, approved, amount, left + amount, pay_method="paypal")
        assert isinstance(paypal.gateway.cancel(request, TIMEOUT), Cancelled)
        assert paypal.money_taken(asked.order_id) == left
    found = find(paypal, asked.order_id, gateway_ref=approved.gateway_ref)
    assert [cancel.amount.amount for cancel in found.cancels] == [900, 8000]


# --- what must not be said, and what the simulator checks ---------------------------------------------------------


def test_no_secret_is_logged_or_said(paypal, everything_logged):
    asked = wanted(paypal)
    back = authenticated(paypal, asked)
    said = repr((opened(paypal, asked), back, approve(paypal, asked, back), everything_logged.text))
    for secret in (TEST_CREDENTIALS["client_secret"], back.proof["order"] + "x", "A21AA"):
        assert secret not in said


def test_what_cannot_be_paid_in_its_window(paypal):
    asked = wanted(paypal)
    assert not paypal.spec.window_objections(asked.request, asked.terms, paypal.clock.now())
    for other in (
        replace(asked, request=replace(asked.request, amount=Money(8900, "KRW"))),
        replace(asked, request=replace(asked.request, quota=3)),
        window_order(paypal, "card"),
    ):
        assert paypal.spec.window_objections(other.request, other.terms, paypal.clock.now())


@pytest.mark.parametrize("token", ["", "NOSUCHORDER"])
def test_the_simulator_knows_its_orders(paypal, token):
    with pytest.raises(Refusal):
        paypal.sandbox.simulator.enter({"token": token})


def test_the_simulator_shows_an_order_for_three_hours_and_until_it_is_approved(paypal):
    simulator = paypal.sandbox.simulator
    asked = wanted(paypal)
    page = opened(paypal, asked)
    simulator.enter({"token": page.params["token"]})
    visit(paypal, asked)
    with pytest.raises(Refusal):
        simulator.enter({"token": page.params["token"]})
    late = opened(paypal, wanted(paypal)).params["token"]
    paypal.clock.shift += timedelta(hours=3)
    with pytest.raises(Refusal):
        simulator.enter({"token": late})


def test_a_card_order_has_no_page(paypal):
    wire = Wire()
    paypal.connect(TEST_CREDENTIALS, http=wire).charge_card(paypal.order_id(), paypal.request(), CARD, TIMEOUT)
    number = wire.calls()[-1][1].split("/")[4]
    with pytest.raises(Refusal):
        paypal.sandbox.simulator.enter({"token": number})


def test_the_simulators_page_sends_the_browser_back(paypal):
    reply = HttpClient().send(
        "GET", opened(paypal, wanted(paypal)).params["approve_url"], operation="test", timeout=TIMEOUT
    )
    assert reply.status == 303
