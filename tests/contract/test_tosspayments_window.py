"""What only Toss Payments' window does, and what its simulator insists on. What every window does: test_windows.py."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.charging import Approved, AwaitingDeposit, Declined, Operation, Revoked, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.windows import Authenticated
from chalicelib.gateways.tosspayments import DECLINES, SPEC, UNKNOWN_CODES
from chalicelib.gateways.wire import codes
from infra.sandbox.server import Refusal
from infra.sandbox.tosspayments import OTHER_CREDENTIALS, TEST_CREDENTIALS
from infra.sandbox.windows import Go, Tell
from tests.contract.conftest import TIMEOUT
from tests.contract.windows import (
    RETURN_URL,
    approve,
    authenticated,
    came_back,
    opened,
    pay,
    query,
    read_return,
    visit,
    window_order,
)

CONFIRM_CODES = codes("""
    ALREADY_PROCESSED_PAYMENT PROVIDER_ERROR EXCEED_MAX_CARD_INSTALLMENT_PLAN INVALID_REQUEST NOT_ALLOWED_POINT_USE
    INVALID_API_KEY INVALID_REJECT_CARD BELOW_MINIMUM_AMOUNT INVALID_CARD_EXPIRATION INVALID_STOPPED_CARD
    EXCEED_MAX_DAILY_PAYMENT_COUNT NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT INVALID_CARD_INSTALLMENT_PLAN
    NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN EXCEED_MAX_PAYMENT_AMOUNT NOT_FOUND_TERMINAL_ID INVALID_AUTHORIZE_AUTH
    INVALID_CARD_LOST_OR_STOLEN RESTRICTED_TRANSFER_ACCOUNT INVALID_CARD_NUMBER INVALID_UNREGISTERED_SUBMALL
    NOT_REGISTERED_BUSINESS EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT
    CARD_PROCESSING_ERROR EXCEED_MAX_AMOUNT INVALID_ACCOUNT_INFO_RE_REGISTER NOT_AVAILABLE_PAYMENT UNAPPROVED_ORDER_ID
    EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT UNAUTHORIZED_KEY REJECT_ACCOUNT_PAYMENT REJECT_CARD_PAYMENT REJECT_CARD_COMPANY
    FORBIDDEN_REQUEST REJECT_TOSSPAY_INVALID_ACCOUNT EXCEED_MAX_AUTH_COUNT EXCEED_MAX_ONE_DAY_AMOUNT NOT_AVAILABLE_BANK
    INVALID_PASSWORD INCORRECT_BASIC_AUTH_FORMAT FDS_ERROR NOT_FOUND_PAYMENT NOT_FOUND_PAYMENT_SESSION
    FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING FAILED_INTERNAL_SYSTEM_PROCESSING UNKNOWN_PAYMENT_ERROR
""")
"""As published for the call that confirms."""

UNCLEAR = {
    "ALREADY_PROCESSED_PAYMENT", "PROVIDER_ERROR", "CARD_PROCESSING_ERROR", "UNAPPROVED_ORDER_ID",
    "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", "FAILED_INTERNAL_SYSTEM_PROCESSING", "UNKNOWN_PAYMENT_ERROR",
}  # fmt: skip


def asked(toss, method="card", **kwargs):
    """What the script is asked for, besides what is the same in every request."""
    return dict(opened(toss, window_order(toss, method, **kwargs)).params["request"])


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page(toss):
    order = window_order(toss, order_id="imp123456789012a1", tax_free=900)
    page = opened(toss, order)
    assert page.driver == "tosspayments"
    assert page.script == f"{toss.sandbox.url}/v2/standard"
    assert page.params == {
        "clientKey": TEST_CREDENTIALS["client_key"],
        "customerKey": "member-7",
        "request": {
            "method": "CARD",
            "amount": {"currency": "KRW", "value": 8900},
            "orderId": "imp123456789012a1",
            "orderName": "월간 이용권",
            "successUrl": RETURN_URL,
            "failUrl": RETURN_URL,
            "customerName": "Gildong Hong",
            "customerEmail": "gildong@shop.kr",
            "customerMobilePhone": "01012345678",
            "taxFreeAmount": 900,
            "card": {"useEscrow": False},
        },
    }


def test_the_real_addresses(toss):
    assert {tuple(urls.items()) for urls in toss.module.WINDOW_URLS.values()} == {
        (("script", "https://js.tosspayments.com"), ("hosts", "https://*.tosspayments.com"))
    }


@pytest.mark.parametrize(
    ("method", "word", "own"),
    [
        ("card", "CARD", {"card": {"useEscrow": False}}),
        ("trans", "TRANSFER", {"transfer": {"useEscrow": False}}),
        ("vbank", "VIRTUAL_ACCOUNT", {"virtualAccount": {"useEscrow": False, "dueDate": "2031-01-02T23:59:59"}}),
        ("phone", "MOBILE_PHONE", {}),
    ],
)
def test_methods(toss, method, word, own):
    due = datetime(2031, 1, 2, 14, 59, 59, tzinfo=UTC)
    request = asked(toss, method, account_due=due)
    assert request["method"] == word
    names = {"card", "transfer", "virtualAccount", "mobilePhone"}
    assert {name: value for name, value in request.items() if name in names} == own


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"quotas": (), "amount": 60_000}, {"maxCardInstallmentPlan": 0}),
        ({"quotas": (3, 6), "amount": 60_000}, {"maxCardInstallmentPlan": 6}),
        ({"quotas": (24,), "amount": 60_000}, {"maxCardInstallmentPlan": 12}),
        ({"quotas": (3, 6)}, {}),  # below 50,000 won there are none
        ({"card_code": "365"}, {"flowMode": "DIRECT", "cardCompany": "51", "cardInstallmentPlan": 0}),
        (
            {"card_code": "365", "quota": 3, "quotas": (6,), "amount": 60_000},
            {"flowMode": "DIRECT", "cardCompany": "51", "cardInstallmentPlan": 3},
        ),
        ({"card_code": "999"}, {}),
        ({"use_card_point": True}, {"useCardPoint": True}),
        ({"app_scheme": "shop://"}, {"appScheme": "shop://"}),
        ({"language": "en"}, {"language": "EN"}),
    ],
)
def test_card_options(toss, given, options):
    assert asked(toss, **given)["card"] == {"useEscrow": False, **options}


def test_what_a_page_may_pass_on(toss):
    given = {"useInternationalCardOnly": True, "easyPay": "TOSSPAY", "flowMode": "DIRECT"}
    assert asked(toss, bypass=json.dumps({"tosspayments": given}))["card"] == {"useEscrow": False, **given}
    carriers = {"mobileCarriers": ["KT"]}
    assert asked(toss, "phone", bypass=json.dumps({"tosspayments": carriers}))["mobilePhone"] == carriers


@pytest.mark.parametrize("method", ["card", "trans", "vbank", "phone"])
def test_what_a_page_may_not_pass_on(toss, method):
    bad = {
        "amount": {"currency": "KRW", "value": 1}, "orderId": "imp000000000000a1", "successUrl": "https://evil.example",
        "failUrl": "https://evil.example", "method": "CARD", "taxExemptionAmount": 8900, "dividedSettlements": [{}],
        "refundReceiveAccount": {}, "dueDate": "2099-01-01T00:00:00", "discountCode": "X", "useEscrow": True,
        "clientKey": "live_ck_evil", "metadata": {},
    }  # fmt: skip
    order = window_order(toss, method)
    plain = opened(toss, order).params
    for text in (json.dumps({"tosspayments": bad}), json.dumps(bad), "[]", '{"tosspayments": 1}', "{", "null"):
        tampered = window_order(toss, method, bypass=text, order_id=order.order_id)
        changed = opened(toss, tampered).params
        if method == "vbank":  # made a moment later
            changed["request"]["virtualAccount"]["dueDate"] = plain["request"]["virtualAccount"]["dueDate"]
        assert changed == plain, text


def test_a_buyer_who_is_nobody(toss):
    order, _ = pay(toss, customer_id=None)
    assert opened(toss, order).params["customerKey"] is None
    hashed = opened(toss, window_order(toss, customer_id="회원 7")).params["customerKey"]
    assert hashed
    assert hashed.isascii()


def test_a_channel_without_a_client_key_says_so(toss):
    """It is left out before the draw, and serves everything else."""
    spec = toss.connect({"secret_key": TEST_CREDENTIALS["secret_key"]}).spec
    order = window_order(toss)
    (objection,) = spec.window_objections(order.request, order.terms, toss.clock.now())
    assert objection.startswith("pay_method: 토스페이먼츠: 채널에 클라이언트 키")
    assert toss.spec.operations - spec.operations == {Operation.PAY_IN_WINDOW}


def test_both_keys_tell_live_from_test():
    rules = {field.name: (field.live_prefixes, field.test_prefixes) for field in SPEC.credentials}
    assert rules["client_key"] == rules["secret_key"] == (("live_",), ("test_",))


# --- the return ----------------------------------------------------------------------------------------------------


def test_the_proof(toss):
    order = window_order(toss, order_id="imp123456789012a1")
    fields = {"paymentType": "NORMAL", "orderId": "imp123456789012a1", "paymentKey": "tviva1", "amount": "8900"}
    back = toss.gateway.read_return(order, fields)
    assert back == Authenticated({"payment_key": "tviva1"}, {"payment_key": "tviva1"})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"orderId": "imp123456789012a2"}, "orderId"),
        ({"orderId": ""}, "orderId"),
        ({"orderId": None}, "amount"),
        ({"amount": "8901"}, "amount"),
        ({"amount": "8900.0"}, "amount"),
        ({"amount": "+8900"}, "amount"),
        ({"amount": None}, "amount"),
        ({"paymentKey": None}, "paymentKey"),
        ({"paymentKey": ""}, "paymentKey"),
        ({"paymentKey": "a b"}, "paymentKey"),
        ({"paymentKey": "가"}, "paymentKey"),
        ({"paymentKey": "x" * 201}, "paymentKey"),
        ({"paymentKey": "x\n"}, "paymentKey"),
        ({"paymentKey": None, "code": "PAY_PROCESS_CANCELED", "orderId": "imp123456789012a2"}, "orderId"),
    ],
)
def test_a_forged_return(toss, changes, field):
    order = window_order(toss, order_id="imp123456789012a1")
    fields = {"orderId": "imp123456789012a1", "paymentKey": "tviva1", "amount": "8900", **changes}
    with pytest.raises(InvalidRequest, match=rf"\A{field}: .*[가-힣]") as refused:
        toss.gateway.read_return(order, {name: value for name, value in fields.items() if value is not None})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("PAY_PROCESS_CANCELED", DeclineReason.BUYER_CANCELLED),
        ("PAY_PROCESS_ABORTED", DeclineReason.NOT_CHARGED),
        ("REJECT_CARD_COMPANY", DeclineReason.ISSUER_DECLINED),
        ("SOMETHING_NEW", DeclineReason.NOT_CHARGED),
    ],
)
@pytest.mark.parametrize("with_order", [True, False])
def test_a_failed_window(toss, code, reason, with_order):
    order = window_order(toss)
    fields = {"code": code, "message": "안내 4111111111111111\n", **({"orderId": order.order_id} if with_order else {})}
    result = toss.gateway.read_return(order, fields)
    assert result == Declined(reason, code, "안내 ****")


def test_leaving_on_a_phone_is_a_redirect_without_the_order(toss):
    order = window_order(toss)
    entered = toss.sandbox.simulator.enter({**opened(toss, order).params, "target": "page"})
    step = toss.sandbox.simulator.press(entered.visit_id, "cancel")
    assert isinstance(step, Go)
    fields = came_back(toss, step)
    assert "orderId" not in fields
    assert read_return(toss, order, fields).reason is DeclineReason.BUYER_CANCELLED


def test_closing_it_on_a_desktop_is_told_to_the_page(toss):
    entered = toss.sandbox.simulator.enter(opened(toss, window_order(toss)).params)
    step = toss.sandbox.simulator.press(entered.visit_id, "cancel")
    assert isinstance(step, Tell)
    assert step.data["code"] == "USER_CANCEL"


# --- the approval --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(CONFIRM_CODES))
def test_every_published_code(toss, code):
    order = window_order(toss)
    back = authenticated(toss, order)
    toss.sandbox.fail("charge", "decline", code=code)
    result = approve(toss, order, back)
    assert isinstance(result, Unknown if code in UNCLEAR else Declined), result
    assert result.code == code
    assert (code in DECLINES) != (code in UNKNOWN_CODES)


def reply(**changes):
    return json.dumps(
        {
            "paymentKey": "tviva1", "orderId": "imp123456789012a1", "status": "DONE", "totalAmount": 8900,
            "balanceAmount": 8900, "currency": "KRW", "approvedAt": "2030-01-02T03:04:05+09:00",
        } | changes
    ).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, Approved),
        ({"paymentKey": "tviva2"}, Unknown),
        ({"orderId": "imp123456789012a2"}, Unknown),
        ({"status": "IN_PROGRESS"}, Unknown),
        ({"status": "READY"}, Unknown),
        ({"status": "WAITING_FOR_DEPOSIT"}, Unknown),  # and no account
        ({"status": "SOMETHING_NEW"}, Unknown),
        ({"totalAmount": "8900.5"}, Unknown),
        ({"status": "ABORTED", "failure": {"code": "REJECT_CARD_COMPANY", "message": "거절"}}, Declined),
        ({"transfer": 1, "easyPay": "토스페이"}, Approved),  # what is only shown decides nothing
    ],
)
def test_what_a_reply_means(toss, answering, changes, kind):
    gateway = toss.connect(TEST_CREDENTIALS, answering(reply(**changes)))
    order = window_order(toss, order_id="imp123456789012a1")
    result = gateway.approve(order, Authenticated({"payment_key": "tviva1"}), TIMEOUT)
    assert isinstance(result, kind), result


def test_ten_minutes(toss):
    order = window_order(toss)
    back = authenticated(toss, order)
    toss.clock.shift = timedelta(minutes=10, seconds=5)
    result = approve(toss, order, back)
    assert isinstance(result, Declined)
    assert (result.code, result.reason) == ("NOT_FOUND_PAYMENT_SESSION", DeclineReason.NOT_CHARGED)


def test_another_merchants_payment_is_nobodys(toss):
    order = window_order(toss)
    back = authenticated(toss, order)
    result = toss.connect(OTHER_CREDENTIALS).approve(order, back, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.code == "NOT_FOUND_PAYMENT"


def test_toss_compares_what_is_confirmed_with_what_was_agreed_to(toss):
    """The buyer agrees to a small order, and names its payment in the return of a large one."""
    small, large = window_order(toss, amount=100), window_order(toss, amount=890_000)
    back = authenticated(toss, small)
    result = approve(toss, large, back)
    assert isinstance(result, Declined)
    assert result.code == "INVALID_REQUEST"
    assert toss.books(large.order_id) == toss.books(small.order_id) == []


def test_the_same_confirmation_is_answered_the_same(toss):
    order = window_order(toss)
    back = authenticated(toss, order)
    first = approve(toss, order, back)
    assert isinstance(first, Approved)
    assert approve(toss, order, back) == first  # by its idempotency key


def test_confirmed_before_is_unclear_and_then_found(toss, monkeypatch):
    order = window_order(toss)
    back = authenticated(toss, order)
    assert isinstance(approve(toss, order, back), Approved)
    monkeypatch.setattr(toss.sandbox.simulator.books, "answers", {})  # fifteen days on, no answer is replayed
    again = approve(toss, order, back)
    assert isinstance(again, Unknown)
    assert again.code == "ALREADY_PROCESSED_PAYMENT"
    assert isinstance(toss.gateway.find_charge(query(toss, order, back), TIMEOUT), Approved)


@pytest.mark.parametrize(
    ("method", "bypass", "bank_code", "easy_pay", "has_card"),
    [
        ("card", {}, None, None, True),
        ("card", {"flowMode": "DIRECT", "easyPay": "TOSSPAY"}, None, "tosspay", True),
        ("trans", {}, "088", None, False),
        ("phone", {}, None, None, False),
    ],
)
def test_what_is_told_of_each_method(toss, method, bypass, bank_code, easy_pay, has_card):
    order, approved = pay(toss, method, bypass=json.dumps({"tosspayments": bypass}))
    found = toss.gateway.find_charge(query(toss, order), TIMEOUT)
    for result in (approved, found):
        assert (result.bank_code, result.easy_pay, result.card is not None) == (bank_code, easy_pay, has_card)


# --- questions -----------------------------------------------------------------------------------------------------


def test_what_was_agreed_to_and_not_confirmed_is_no_payment(toss):
    order = window_order(toss)
    back = authenticated(toss, order)
    asked_about = query(toss, order, back)
    found = toss.gateway.find_charge(asked_about, TIMEOUT)
    assert isinstance(found, Unknown)  # it may still be confirmed: neither paid nor failed
    assert not found.unwell
    toss.clock.shift = timedelta(minutes=11)
    ended = toss.gateway.find_charge(asked_about, TIMEOUT)
    assert isinstance(ended, Declined)
    assert (ended.code, ended.reason) == ("EXPIRED", DeclineReason.NOT_CHARGED)


def test_a_payment_is_asked_for_by_the_number_that_was_confirmed(toss):
    order, _ = pay(toss)
    other = window_order(toss)
    kept = authenticated(toss, other)
    found = toss.gateway.find_charge(query(toss, order, kept), TIMEOUT)
    assert isinstance(found, Unknown)
    assert isinstance(toss.gateway.find_charge(query(toss, order), TIMEOUT), Approved)


# --- virtual accounts ----------------------------------------------------------------------------------------------


def test_an_account_from_the_window_can_be_revoked(toss):
    order, issued = pay(toss, "vbank")
    assert isinstance(issued, AwaitingDeposit)
    assert issued.account.bank_code == "088"
    assert issued.notice_secret
    assert isinstance(toss.gateway.revoke_virtual_account(toss.cancel_id(), issued.gateway_ref, TIMEOUT), Revoked)
    assert isinstance(toss.gateway.find_charge(query(toss, order), TIMEOUT), Revoked)


def test_other_events_are_no_deposit_notices(toss):
    event = {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2030-01-01T00:00:00", "data": {"orderId": "x"}}
    assert toss.gateway.read_deposit_notice(event) is None


# --- what the simulator insists on ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"clientKey": "test_ck_nobody"}, "INVALID_CLIENT_KEY"),
        ({"customerKey": "회원"}, "INVALID_CUSTOMER_KEY"),
        ({"customerKey": None}, "INVALID_CUSTOMER_KEY"),
        ({"request": {"method": "카드"}}, "NOT_SUPPORTED_METHOD"),
        ({"request": {"amount": {"currency": "KRW", "value": "8900"}}}, "INVALID_AMOUNT_VALUE"),
        ({"request": {"amount": {"currency": "USD", "value": 8900}}}, "INVALID_AMOUNT_CURRENCY"),
        ({"request": {"orderId": "x"}}, "INVALID_ORDER_ID"),
        ({"request": {"orderName": ""}}, "INVALID_ORDER_NAME"),
        ({"request": {"successUrl": "/return"}}, "INCORRECT_SUCCESS_URL_FORMAT"),
        ({"request": {"failUrl": None}}, "INCORRECT_FAIL_URL_FORMAT"),
        ({"request": {"customerMobilePhone": "010-1234-5678"}}, "INVALID_PARAMETERS"),
        ({"request": {"customerEmail": "nobody"}}, "INVALID_EMAIL"),
        ({"request": {"price": 8900}}, "INVALID_PARAMETERS"),
        ({"request": {"mobilePhone": {}}}, "INVALID_PARAMETERS"),
        ({"request": {"card": {"flowMode": "DIRECT"}}}, "INVALID_PARAMETERS"),
        ({"request": {"card": {"cardInstallmentPlan": 3}}}, "INVALID_CARD_INSTALLMENT_PLAN"),
        (
            {"request": {"card": {"cardInstallmentPlan": 0, "maxCardInstallmentPlan": 0}}},
            "INVALID_CARD_INSTALLMENT_PLANS_WITH_MAX_AND_SINGLE",
        ),
        (
            {"request": {"method": "VIRTUAL_ACCOUNT", "card": {}, "virtualAccount": {"dueDate": "2031-01-01"}}},
            "INVALID_PARAMETERS",
        ),
    ],
)
def test_what_the_window_refuses(toss, changes, code):
    params = dict(opened(toss, window_order(toss)).params)
    params |= {**changes, "request": {**params["request"], **changes.get("request", {})}}
    with pytest.raises(Refusal) as refused:
        toss.sandbox.simulator.enter(params)
    assert refused.value.code == code


def test_a_due_date_in_the_past_is_refused(toss):
    with pytest.raises(Refusal, match="INVALID_DATE"):
        visit(toss, window_order(toss, "vbank", account_due=toss.clock.now() - timedelta(days=1)))
