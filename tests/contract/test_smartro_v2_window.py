"""Smartro's window: what it is opened with, what a browser may bring back, and whom its answers are believed about."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Buyer,
    Cancelled,
    CardSummary,
    Declined,
    DepositNotice,
    RefundAccount,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.domain.windows import Authenticated, PayMethod
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import Registry
from chalicelib.gateways.smartro_v2 import SPEC, digest
from chalicelib.gateways.smartro_v2_window import Shop
from chalicelib.ports import UnsupportedOperation
from infra.sandbox.server import Refusal
from infra.sandbox.smartro_v2 import OTHER_CREDENTIALS, TEST_CREDENTIALS, signature
from tests.contract.conftest import TIMEOUT
from tests.contract.windows import RETURN_URL, approve, authenticated, opened, pay, query, visit, window_order

MID, MERCHANT_KEY = TEST_CREDENTIALS["mid"], TEST_CREDENTIALS["merchant_key"]
TID = f"{MID}01012611231200000001"


@pytest.fixture
def smartro(connect):
    return connect("smartro_v2")


def form_of(smartro, method="card", **kwargs):
    return opened(smartro, window_order(smartro, method, **kwargs)).params["form"]


# --- opening ------------------------------------------------------------------------------------------------------


def test_the_forms_hash():
    """The worked value of the facts page."""
    parts = ("20240102030405", "t_2301101m", "1004", "0123456789abcdef0123456789abcdef==")
    assert digest(*parts) == "4Y6tlKcvo3RqVQ4wAz9s2G7FBse0tDqWPzfReZxn9i4="


def test_the_form_says_what_smartro_wants_to_know(smartro):
    order = window_order(smartro, amount=60_000, buyer=Buyer("홍길동", "gildong@shop.kr", "010-1234-5678"))
    form = dict(opened(smartro, order).params["form"])
    assert form.pop("EncryptData") == digest(form["EdiDate"], MID, "60000", MERCHANT_KEY)
    assert len(form.pop("EdiDate")) == 14
    assert form == {
        "PayMethod": "CARD",
        "Mid": MID,
        "Moid": order.order_id,
        "Amt": "60000",
        "GoodsCnt": "1",
        "GoodsName": "월간 이용권",
        "GoodsCl": "1",
        "BuyerName": "홍길동",
        "BuyerTel": "01012345678",
        "BuyerEmail": "gildong@shop.kr",
        "ReturnUrl": RETURN_URL,
        "StopUrl": f"{RETURN_URL}?stop=1",
        "UserIp": "203.0.113.7",
        "MallIp": "127.0.0.1",
        "EncodingType": "utf8",
        "OpenType": "KR",
        "SspMallId": "sandbox001",
    }


@pytest.mark.parametrize(
    ("method", "terms", "wanted"),
    [
        ("trans", {}, {"PayMethod": "BANK"}),
        ("phone", {"digital": True}, {"PayMethod": "CELLPHONE", "GoodsCl": "0"}),
        ("phone", {"digital": False}, {"PayMethod": "CELLPHONE", "GoodsCl": "1"}),
        ("card", {"digital": None}, {"GoodsCl": None}),
        ("card", {"language": "en"}, {"OpenType": "EN"}),
        ("card", {"language": "zh"}, {"OpenType": "EN"}),
        ("card", {"customer_id": "member7"}, {"MallUserId": "member7"}),
        ("card", {"customer_id": "member-7"}, {"MallUserId": None}),
        ("card", {"customer_id": "m" * 21}, {"MallUserId": None}),
        ("card", {"tax_free": 900}, {"TaxAmt": "7273", "VatAmt": "727", "TaxFreeAmt": "900"}),
    ],
)
def test_what_a_page_wants_of_the_window(smartro, method, terms, wanted):
    form = form_of(smartro, method, **terms)
    assert {name: form.get(name) for name in wanted} == wanted


def test_an_account_is_due_on_a_day_in_seoul(smartro):
    due = datetime(2099, 11, 30, 15, 30, tzinfo=UTC)  # half past midnight there, on the next day
    assert form_of(smartro, "vbank", account_due=due)["VbankExpDate"] == "20991201"


def test_a_page_may_ask_for_what_changes_nothing(smartro):
    given = {
        "SkinColor": "RED", "FnCd": "04", "CardQuota": "03", "Amt": "1", "Moid": "x", "Mid": "x", "EncryptData": "x",
        "ReturnUrl": "https://evil.example", "PayMethod": "VBANK", "DivideInfo": "x", "moid": "x",
    }  # fmt: skip
    bypass = json.dumps({"smartro_v2": given | {"MallReserved": 7}, "kcp": {"SkinColor": "BLUE"}})
    order = window_order(smartro, bypass=bypass)
    form, plain = (opened(smartro, o).params["form"] for o in (order, replace(order, request=smartro.request())))
    assert {name: value for name, value in form.items() if name not in plain} == {
        "SkinColor": "RED", "FnCd": "04", "CardQuota": "03",
    }  # fmt: skip
    unchanged = plain.keys() - {"EdiDate", "EncryptData"}
    assert {name: form[name] for name in unchanged} == {name: plain[name] for name in unchanged}


@pytest.mark.parametrize("bypass", [None, "", "[]", "no JSON", '{"smartro_v2": "x"}', '{"smartro_v2": null}', "7"])
def test_any_other_bypass_is_left_alone(smartro, bypass):
    assert "SkinColor" not in form_of(smartro, bypass=bypass)


def test_phones_leave_the_page(smartro):
    page = opened(smartro, window_order(smartro, is_mobile=True))
    assert page.params["callback"] is False
    assert opened(smartro, window_order(smartro)).params["callback"] is True


@pytest.mark.parametrize(
    ("environment", "mode", "pc", "mobile"),
    [
        (Environment.TEST, "STG", "https://tpay.smartropay.co.kr", "https://tmpay.smartropay.co.kr"),
        (Environment.LIVE, "REAL", "https://pay.smartropay.co.kr", "https://mpay.smartropay.co.kr"),
    ],
)
def test_each_environment_has_its_script(smartro, environment, mode, pc, mobile):
    channel = Channel("k", "n", "smartro_v2", "m", environment, "", smartro.clock.now())
    gateway = Registry(HttpClient(), smartro.clock).open(channel, TEST_CREDENTIALS)
    for is_mobile, host in ((False, pc), (True, mobile)):
        page = gateway.open_window(window_order(smartro, is_mobile=is_mobile), TIMEOUT)
        assert page.script.startswith(f"{host}/asset/js/SmartroPAY-1.0.min.js?version=2")
        assert page.params["mode"] == mode
        assert host in page.hosts


def test_what_routing_refuses_beforehand(smartro):
    def objections(method, buyer=Buyer(tel="01012345678"), **terms):
        order = window_order(smartro, method, buyer=buyer, **terms)
        return [t.partition(":")[0] for t in SPEC.window_objections(order.request, order.terms, smartro.clock.now())]

    assert objections("card") == []
    assert objections("card", Buyer("홍길동")) == ["buyer_tel"]
    assert objections("vbank", account_due=None) == ["vbank_due"]
    assert objections("vbank", account_due=smartro.clock.now() + timedelta(days=91)) == ["vbank_due"]
    assert objections("phone", digital=None) == ["digital"]
    assert objections("phone", digital=False) == []
    assert objections("paypal") == ["pay_method"]


@pytest.mark.parametrize(
    "changes",
    [
        {"Amt": "1"},
        {"Mid": OTHER_CREDENTIALS["mid"]},
        {"Mid": "nobody001m"},
        {"EncryptData": "x"},
        {"EdiDate": "20261123120000"},
        {"Moid": "imp-1"},
        {"BuyerTel": "010-1234-5678"},
        {"BuyerTel": ""},
        {"PayMethod": "VBANK"},
        {"PayMethod": "VBANK", "VbankExpDate": "20200101"},
        {"PayMethod": "CELLPHONE", "GoodsCl": "2"},
        {"GoodsName": "가" * 14},
        {"TaxAmt": "1", "VatAmt": "1", "TaxFreeAmt": "1"},
    ],
)
def test_the_simulator_opens_no_window_for_less(smartro, changes):
    params = opened(smartro, window_order(smartro)).params
    smartro.sandbox.simulator.enter(params)
    with pytest.raises(Refusal):
        smartro.sandbox.simulator.enter(params | {"form": params["form"] | changes})


# --- coming back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "Tid"),
        ({"Tid": TID}, "Tid"),
        ({"TrAuthKey": "k"}, "Tid"),
        ({"Tid": f"t_sandbx2m{TID[10:]}", "TrAuthKey": "k"}, "Tid"),
        ({"Tid": MID, "TrAuthKey": "k"}, "Tid"),
        ({"Tid": f"{TID}0", "TrAuthKey": "k"}, "Tid"),
        ({"Tid": f"{TID[:-1]}\n", "TrAuthKey": "k"}, "Tid"),
        ({"Tid": TID, "TrAuthKey": "한글"}, "TrAuthKey"),
        ({"Tid": TID, "TrAuthKey": "k" * 1001}, "TrAuthKey"),
        ({"Tid": TID, "TrAuthKey": "k", "Moid": "imp1a1"}, "Moid"),
        ({"Tid": TID, "TrAuthKey": "k", "Mid": "t_sandbx2m"}, "Mid"),
        ({"Tid": TID, "TrAuthKey": "k", "Amt": "100"}, "Amt"),
    ],
)
def test_what_smartro_cannot_have_sent_is_refused(smartro, fields, field):
    with pytest.raises(InvalidRequest) as caught:
        smartro.gateway.read_return(window_order(smartro), fields)
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: ")


def test_a_phone_brings_the_order_along(smartro):
    order = window_order(smartro, is_mobile=True)
    fields = visit(smartro, order)
    assert fields["Moid"] == order.order_id
    assert isinstance(smartro.gateway.read_return(order, fields), Authenticated)
    with pytest.raises(InvalidRequest, match="Moid"):
        smartro.gateway.read_return(window_order(smartro, is_mobile=True), fields)


@pytest.mark.parametrize(
    ("fields", "reason", "code"),
    [
        ({"stop": "1"}, R.BUYER_CANCELLED, "STOP"),
        ({"stop": "1", "Tid": TID, "TrAuthKey": "k"}, R.BUYER_CANCELLED, "STOP"),
        ({"ResultCode": "W034", "ResultMsg": "취소"}, R.BUYER_CANCELLED, "W034"),
        ({"ResultCode": "U999"}, R.BUYER_CANCELLED, "U999"),
        ({"ResultCode": "9999", "ResultMsg": "한도초과"}, R.LIMIT_EXCEEDED, "9999"),
        ({"ResultCode": "9999", "ResultMsg": "시스템 오류"}, R.NOT_CHARGED, "9999"),
        ({"ResultCode": "9999"}, R.NOT_CHARGED, "9999"),
    ],
)
def test_a_window_that_was_left(smartro, fields, reason, code):
    left = smartro.gateway.read_return(window_order(smartro), fields)
    assert (left.reason, left.code) == (reason, code)
    assert left.message


def test_phones_stop_at_an_address_of_their_own(smartro):
    order = window_order(smartro, is_mobile=True)
    left = smartro.gateway.read_return(order, visit(smartro, order, "cancel"))
    assert left.reason is R.BUYER_CANCELLED


# --- the approval -------------------------------------------------------------------------------------------------


def success(order, **changes):
    """What Smartro answers a card's approval with, as public code shows it."""
    answer = {
        "ResultCode": "3001", "ResultMsg": "카드 결제 성공", "PayMethod": "CARD", "Tid": TID, "Moid": order.order_id,
        "Mid": MID, "Amt": "8900", "AuthDate": "261123235959", "AuthCode": "00012345", "CardNum": "536148******5671",
        "AppCardCode": "04", "AppCardName": "삼성", "Currency": "KRW",
    } | changes  # fmt: skip
    signed = {"SignValue": signature(TID, str(answer["ResultCode"]), MERCHANT_KEY)}
    return {name: value for name, value in (signed | answer).items() if value is not None}


PROOF = {"Tid": TID, "TrAuthKey": "token-1"}
BACK = Authenticated(PROOF, PROOF | {"due": "20261130"})


@pytest.fixture
def answered(smartro, answering):
    """answered(order, **fields): what the adapter makes of an approval that is answered so."""

    def ask(order, status="200 OK", **fields):
        gateway = smartro.connect(TEST_CREDENTIALS, answering(json.dumps(fields).encode(), status))
        return gateway.approve(order, BACK, TIMEOUT)

    return ask


def test_an_approval_is_read_whole(smartro, answered):
    order = window_order(smartro)
    approved = answered(order, **success(order))
    assert approved == Approved(
        gateway_ref=TID,
        amount=Money(8900),
        approved_at=datetime(2026, 11, 23, 14, 59, 59, tzinfo=UTC),
        approval_number="00012345",
        card=CardSummary(name="삼성", publisher_name="삼성", number="536148******5671"),
    )


def test_the_signature_of_an_answer():
    """As three public programs compute it."""
    parts = f"{TID[:10]}3001{TID[10:15]}{MERCHANT_KEY}{TID[15:]}"
    assert Shop(MID, MERCHANT_KEY).signature(TID, "3001") == signature(TID, "3001", MERCHANT_KEY) == digest(parts)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"Amt": 8900}, Approved),
        ({"ResultCode": "0000"}, Approved),
        ({"SignValue": None}, Approved),
        ({"Mid": None}, Approved),
        ({"AuthDate": "yesterday", "CardNum": 7, "PayMethod": ["CARD"]}, Approved),
        ({"SignValue": "x"}, Unknown),
        ({"SignValue": signature(TID, "4000", MERCHANT_KEY)}, Unknown),
        ({"Mid": "t_sandbx2m"}, Unknown),
        ({"Moid": "imp900000000001a1"}, Unknown),
        ({"Moid": None}, Unknown),
        ({"Tid": f"{TID[:-1]}9", "SignValue": None}, Unknown),
        ({"Tid": None}, Unknown),
        ({"Amt": "8901"}, Unknown),
        ({"Amt": "8901", "ResultCode": "0000"}, Unknown),
        ({"Amt": None}, Unknown),
        # success of something else
        ({"ResultCode": "4000"}, Unknown),
        ({"ResultCode": "4100", "VbankNum": "562"}, Unknown),
        ({"ResultCode": "2001"}, Unknown),
        ({"ResultCode": "4000", "ResultMsg": "한도초과", "AuthCode": ""}, Unknown),
        ({"ResultCode": "2013", "ResultMsg": "한도초과", "AuthCode": ""}, Unknown),
        ({"ResultCode": "KP00"}, Unknown),
        # refusals
        ({"ResultCode": "9999", "ResultMsg": "한도초과", "AuthCode": ""}, Declined),
        ({"ResultCode": "9999", "ResultMsg": "이미 승인된 거래 (한도 확인)", "AuthCode": ""}, Unknown),
        ({"ResultCode": "9999", "ResultMsg": "실패", "AuthCode": ""}, Unknown),
        ({"ResultCode": "9999", "ResultMsg": "한도초과"}, Unknown),  # with an approval number
    ],
)
def test_each_answer(smartro, answered, changes, kind):
    order = window_order(smartro)
    result = answered(order, **success(order, **changes))
    assert isinstance(result, kind), result


@pytest.mark.parametrize("code", ["W034", "U999"])
def test_a_buyer_may_have_left_and_come_back_with_a_proof(smartro, answered, code):
    result = answered(window_order(smartro), ResultCode=code, ResultMsg="결제취소")
    assert (result.reason, result.code) == (R.BUYER_CANCELLED, code)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "403 Forbidden"])
def test_success_needs_http_200(smartro, answered, status):
    order = window_order(smartro)
    assert isinstance(answered(order, status, **success(order)), Unknown)


@pytest.mark.parametrize(
    ("method", "code"), [("card", "3001"), ("trans", "4000"), ("vbank", "4100"), ("phone", "A000")]
)
def test_each_method_has_its_code(smartro, answered, method, code):
    for other in ("3001", "4000", "4100", "4110", "A000"):
        order = window_order(smartro, method)
        result = answered(order, **success(order, ResultCode=other, VbankNum="56212345678901", VbankName="신한은행"))
        assert isinstance(result, Approved | AwaitingDeposit) == (other == code), (other, result)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("국민은행", "004"),
        ("KB국민", "004"),
        ("SC제일은행", "023"),
        ("iM뱅크", "031"),
        ("어느은행", None),
        (None, None),
    ],
)
def test_a_transfer_names_its_bank(smartro, answered, name, code):
    order = window_order(smartro, "trans")
    for field in ("BankName", "FnName"):
        approved = answered(order, **success(order, ResultCode="4000", PayMethod="BANK", **{field: name}))
        assert (approved.bank_code, approved.card) == (code, None)


@pytest.mark.parametrize(("word", "wallet"), [("KAKAO", "kakaopay"), ("NAVER", "naverpay"), ("CARD", None)])
def test_a_wallet_is_named(smartro, answered, word, wallet):
    order = window_order(smartro)
    assert answered(order, **success(order, PayMethod=word)).easy_pay == wallet


def test_the_proof_of_one_order_does_not_pay_another(smartro, caplog):
    """Nor is it given back: it may be the proof of an order that is paid and shipped."""
    cheap, dear = window_order(smartro, amount=100), window_order(smartro, amount=99_000)
    proof = authenticated(smartro, cheap)
    back = smartro.gateway.read_return(dear, dict(proof.proof))
    result = approve(smartro, dear, back)
    assert isinstance(result, Unknown)
    assert cheap.order_id in result.detail
    assert dear.order_id in caplog.text
    assert smartro.money_taken(dear.order_id) == 0
    assert smartro.money_taken(cheap.order_id) == 100
    # What was approved for it is found, so that its own window ends well.
    found = smartro.gateway.find_charge(query(smartro, cheap, proof), TIMEOUT)
    assert (found.gateway_ref, found.amount) == (proof.proof["Tid"], Money(100))


def test_a_used_proof_takes_nothing_back(smartro):
    paid, approved = pay(smartro)
    other = window_order(smartro)
    proof = next(v for v in smartro.sandbox.simulator.visits.values() if v.order_id == paid.order_id).details["proof"]
    back = smartro.gateway.read_return(other, proof)
    assert isinstance(approve(smartro, other, back), Unknown)
    request = smartro.cancel_request(other.order_id, replace(approved, gateway_ref=""), 8900, kept=back.kept)
    with pytest.raises(UnsupportedOperation):
        smartro.gateway.cancel(request, TIMEOUT)
    assert smartro.money_taken(paid.order_id) == 8900


# --- questions ----------------------------------------------------------------------------------------------------


def test_only_a_window_leaves_what_a_question_needs(smartro):
    with pytest.raises(UnsupportedOperation):
        smartro.find(smartro.order_id(), TID)


@pytest.mark.parametrize("method", ["card", "trans", "phone"])
def test_a_lost_reply_is_asked_about(smartro, method):
    order = window_order(smartro, method)
    back = authenticated(smartro, order)
    smartro.sandbox.fail("charge", "reply_lost")
    assert isinstance(approve(smartro, order, back), Unknown)
    found = smartro.gateway.find_charge(query(smartro, order, back), TIMEOUT)
    assert (found.gateway_ref, found.amount) == (back.proof["Tid"], Money(8900))


def test_another_amount_is_told_to_who_asks(smartro):
    """So that the router gives back what was taken."""
    order = window_order(smartro)
    back = authenticated(smartro, order)
    smartro.sandbox.fail("charge", "wrong_amount")
    assert isinstance(approve(smartro, order, back), Unknown)
    found = smartro.gateway.find_charge(query(smartro, order, back), TIMEOUT)
    assert found.amount == Money(8901)
    given_back = smartro.gateway.cancel(smartro.cancel_request(order.order_id, found, 8901), TIMEOUT)
    assert isinstance(given_back, Cancelled)
    assert smartro.money_taken(order.order_id) == 0


def test_before_the_approval_a_question_tells_nothing(smartro):
    order = window_order(smartro)
    back = authenticated(smartro, order)
    assert isinstance(smartro.gateway.find_charge(query(smartro, order, back), TIMEOUT), Unknown)


def test_a_decline_is_believed_if_it_names_the_payment(smartro, answering):
    order = window_order(smartro)
    back = authenticated(smartro, order, "approve-no-funds")
    smartro.sandbox.fail("charge", "reply_lost")
    assert isinstance(approve(smartro, order, back), Unknown)
    found = smartro.gateway.find_charge(query(smartro, order, back), TIMEOUT)
    assert (type(found), found.reason) == (Declined, R.INSUFFICIENT_FUNDS)
    refusal = {"ResultCode": "9001", "ResultMsg": "잔액이 부족합니다.", "Tid": back.proof["Tid"]}
    for moid in ({}, {"Moid": "imp900000000001a1"}):
        gateway = smartro.connect(TEST_CREDENTIALS, answering(json.dumps(refusal | moid).encode()))
        assert isinstance(gateway.find_charge(query(smartro, order, back), TIMEOUT), Unknown)


def test_a_question_about_another_order_is_not_answered(smartro):
    order = window_order(smartro)
    back = authenticated(smartro, order)
    assert isinstance(approve(smartro, order, back), Approved)
    other = replace(query(smartro, order, back), order_id=smartro.order_id())
    assert isinstance(smartro.gateway.find_charge(other, TIMEOUT), Unknown)


# --- virtual accounts ---------------------------------------------------------------------------------------------


@pytest.fixture
def issued(smartro):
    order = window_order(smartro, "vbank", account_due=smartro.clock.now() + timedelta(days=3))
    back = authenticated(smartro, order)
    return order, back, approve(smartro, order, back)


def test_an_account_is_issued_until_the_end_of_a_day(smartro, issued):
    order, back, result = issued
    assert isinstance(result, AwaitingDeposit)
    assert result.gateway_ref == back.proof["Tid"]
    assert result.account.bank_code == "088"
    day = form_of(smartro, "vbank", account_due=order.terms.account_due)["VbankExpDate"]
    assert f"{result.account.due_at:%Y%m%d%H%M%S %z}" == f"{day}235959 +0900"


def test_an_account_without_a_number_is_none(smartro, answered):
    order = window_order(smartro, "vbank")
    assert isinstance(answered(order, **success(order, ResultCode="4100", VbankNum=None)), Unknown)


def test_a_lost_account_is_found(smartro):
    order = window_order(smartro, "vbank", account_due=smartro.clock.now() + timedelta(days=3))
    back = authenticated(smartro, order)
    smartro.sandbox.fail("charge", "reply_lost")
    assert isinstance(approve(smartro, order, back), Unknown)
    found = smartro.gateway.find_charge(query(smartro, order, back), TIMEOUT)
    assert isinstance(found, AwaitingDeposit)
    assert found.account.number


def test_a_deposit_is_noticed_and_found(smartro, issued):
    order, back, waiting = issued
    asked = query(smartro, order, back)
    assert smartro.gateway.find_charge(asked, TIMEOUT).account.number == waiting.account.number
    notice = smartro.gateway.read_deposit_notice(smartro.sandbox.deposit(order.order_id))
    assert notice == DepositNotice(order.order_id, gateway_ref=waiting.gateway_ref)
    paid = smartro.gateway.find_charge(asked, TIMEOUT)
    assert isinstance(paid, Approved)
    assert (paid.amount, paid.account.number, paid.card) == (Money(8900), waiting.account.number, None)


def test_an_account_that_is_due_still_waits_in_smartros_books(smartro, issued):
    order, back, _ = issued
    smartro.clock.shift = timedelta(days=5)
    assert isinstance(smartro.gateway.find_charge(query(smartro, order, back), TIMEOUT), AwaitingDeposit)
    assert SPEC.virtual_accounts.tells_expiry is False


@pytest.mark.parametrize(("code", "kind"), [("3001", Approved), ("4110", Unknown), ("0000", Unknown)])
def test_a_question_is_answered_by_what_says_that_it_is_paid(smartro, answering, code, kind):
    order = window_order(smartro)
    gateway = smartro.connect(TEST_CREDENTIALS, answering(json.dumps(success(order, ResultCode=code)).encode()))
    assert isinstance(gateway.find_charge(query(smartro, order, BACK), TIMEOUT), kind)


@pytest.mark.parametrize("number", [None, "", "00000000"])
def test_a_card_without_an_approval_number_is_not_found_as_charged(smartro, answering, number):
    order = window_order(smartro)
    gateway = smartro.connect(TEST_CREDENTIALS, answering(json.dumps(success(order, AuthCode=number)).encode()))
    assert isinstance(gateway.find_charge(query(smartro, order, BACK), TIMEOUT), Unknown)


def notice(**changes):
    given = {"Mid": MID, "Tid": TID, "Moid": "imp100000000001a1", "ResultCode": "4110"} | changes
    tid, code = given.get("Tid") or given.get("TID"), given["ResultCode"]
    return {"SignValue": signature(tid, code, MERCHANT_KEY), **given}


def test_a_notice_is_read_in_either_spelling(smartro):
    wanted = DepositNotice("imp100000000001a1", gateway_ref=TID)
    assert smartro.gateway.read_deposit_notice(notice()) == wanted
    old = {"MID": MID, "TID": TID, "OID": "imp100000000001a1", "ResultCode": "4110"}
    assert smartro.gateway.read_deposit_notice(old | {"SignValue": notice()["SignValue"]}) == wanted


@pytest.mark.parametrize("code", ["3001", "4000", "4100", "A000", "7001", "2001", "2211", "2013"])
def test_other_notices_need_nothing(smartro, code):
    assert smartro.gateway.read_deposit_notice(notice(ResultCode=code)) is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "Mid"),
        (notice(SignValue=""), "SignValue"),
        (notice(SignValue="x"), "SignValue"),
        (notice(SignValue="한글"), "SignValue"),
        (notice(SignValue=signature(TID, "4100", MERCHANT_KEY)), "SignValue"),
        (notice(SignValue=signature(TID, "4110", OTHER_CREDENTIALS["merchant_key"])), "SignValue"),
        (notice() | {"Tid": f"{TID[:-1]}9"}, "SignValue"),
        (notice(Mid=OTHER_CREDENTIALS["mid"]), "SignValue"),
        (notice(Moid=""), "Moid"),
        (notice() | {"ResultCode": ""}, "ResultCode"),
    ],
)
def test_a_notice_has_to_be_signed_for_us(smartro, fields, field):
    with pytest.raises(InvalidRequest) as caught:
        smartro.gateway.read_deposit_notice(fields)
    assert caught.value.field == field


# --- giving back --------------------------------------------------------------------------------------------------


def test_a_transfer_is_refunded(smartro):
    """Smartro has a code of its own for it."""
    order, approved = pay(smartro, "trans")
    request = smartro.cancel_request(order.order_id, approved, 8900, pay_method="trans")
    assert isinstance(smartro.gateway.cancel(request, TIMEOUT), Cancelled)
    assert smartro.money_taken(order.order_id) == 0


def test_a_deposit_is_refunded_by_a_person(smartro, issued):
    order, back, _ = issued
    smartro.sandbox.deposit(order.order_id)
    paid = smartro.gateway.find_charge(query(smartro, order, back), TIMEOUT)
    refund_to = RefundAccount("홍길동", "088", "110-123-456789")
    request = smartro.cancel_request(order.order_id, paid, 8900, pay_method="vbank", refund_to=refund_to)
    refused = smartro.gateway.cancel(request, TIMEOUT)
    assert (type(refused), refused.code) == (Declined, "VBANK")
    assert smartro.money_taken(order.order_id) == 8900
    assert SPEC.virtual_accounts.refund_banks == frozenset()


# --- what is told, and what is not --------------------------------------------------------------------------------


def test_a_token_is_never_shown(smartro, everything_logged):
    for method in sorted(PayMethod):
        if method not in SPEC.windows.methods:
            continue
        order = window_order(smartro, method)
        back = authenticated(smartro, order)
        shown = [back, approve(smartro, order, back), query(smartro, order, back)]
        shown.append(approve(smartro, window_order(smartro, method), back))
        said = everything_logged.text + repr(shown)
        assert back.proof["TrAuthKey"] not in said
        assert MERCHANT_KEY not in said
