"""KG Inicis's payment windows: what they are opened with, what may come back, and what becomes of it."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Buyer,
    Cancelled,
    ChargeQuery,
    Declined,
    DepositNotice,
    NotFound,
    Operation,
    RefundAccount,
    Revoked,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.domain.windows import Authenticated
from chalicelib.gateways import html5_inicis as adapter
from chalicelib.gateways.html5_inicis import SPEC, bank_code, read_due
from chalicelib.gateways.http import Reply
from chalicelib.gateways.wire import KST
from chalicelib.ports import UnsupportedOperation
from infra.sandbox.html5_inicis import OTHER_CREDENTIALS, TEST_CREDENTIALS, UNGUARDED_CREDENTIALS
from infra.sandbox.server import Refusal
from tests.contract.conftest import TIMEOUT
from tests.contract.test_html5_inicis import Scripted
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

TIME = "1704078000000"
"""Of the vectors: noon in Seoul on the first of January 2024."""
NOON = datetime.fromtimestamp(int(TIME) / 1000, UTC)
KEPT = {"window": "stdpay", "idc": "stg", "authToken": "TOKEN+1/2==", "timestamp": TIME}
KEPT_ON_PHONE = {"window": "mobile", "idc": "stg", "P_TID": "TID1"}
REFUND_TO = RefundAccount("홍길동", "088", "110-123-456789")
WAYS = pytest.mark.parametrize("on_phone", [False, True])


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def inicis(connect):
    return connect("html5_inicis")


@pytest.fixture
def scripted(inicis):
    """scripted(answer, ...) -> (gateway, what it sends through)."""

    def make(*answers, credentials=OTHER_CREDENTIALS):
        http = Scripted(*answers)
        return inicis.connect(credentials, http=http), http

    return make


def fields_of(bench, method="card", credentials=TEST_CREDENTIALS, **kwargs):
    page = bench.connect(credentials).open_window(window_order(bench, method, **kwargs), TIMEOUT)
    return page.params["fields"]


def options_of(bench, method="card", **kwargs):
    fields = fields_of(bench, method, **kwargs)
    return fields["acceptmethod"].split(":") if "acceptmethod" in fields else fields["P_RESERVED"].split("&")


# --- what the windows are opened with -------------------------------------------------------------------------------


def test_the_published_vectors(inicis):
    inicis.clock.now = lambda: NOON
    given = {"amount": 1000, "order_id": "order-0001", "credentials": OTHER_CREDENTIALS}
    pc, phone = fields_of(inicis, **given), fields_of(inicis, **given, is_mobile=True)
    assert pc["timestamp"] == phone["P_TIMESTAMP"] == TIME
    assert pc["signature"] == "9416c062e169bcd5de9d3fd7794657133dce3c552dac7cf2ea0448eeae75f871"
    assert pc["verification"] == "be8c568648e9006b2b8806facb75a57c0a7448ca41746c678aafbf27ffb502bc"
    assert pc["mKey"] == "3a9503069192f207491d4b19bd743fc249a761ed94246c8c42fed06c3cd15a33"
    assert phone["P_CHKFAKE"] == (
        "vkRuSAiAV9UZjOFMtHnToMHzBqBvFYeg0nSzAufC67y7XLD6QXumF9ARY2xjuga8vhW4nWxzAMAsWV6UaAWUlg=="
    )


def test_a_pcs_form(inicis):
    buyer = Buyer("홍길동", "test@inicis.com", "010-1234-5678")
    order = window_order(inicis, order_id="imp1a1", name="테스트 상품", buyer=buyer)
    page = opened(inicis, order)
    assert (page.driver, page.script) == ("html5_inicis", f"{inicis.sandbox.url}/stdjs/INIStdPay.js")
    assert page.params["action"] is None
    fields = dict(page.params["fields"])
    for name in ("timestamp", "signature", "verification", "mKey"):
        del fields[name]
    assert fields == {
        "version": "1.0",
        "gopaymethod": "Card",
        "mid": "INIBillTst",
        "oid": "imp1a1",
        "price": "8900",
        "use_chkfake": "Y",
        "currency": "WON",
        "goodname": "테스트 상품",
        "buyername": "홍길동",
        "buyertel": "010-1234-5678",
        "buyeremail": "test@inicis.com",
        "returnUrl": RETURN_URL,
        "charset": "UTF-8",
        "payViewType": "overlay",
        "languageView": "ko",
        "acceptmethod": "centerCd(Y):below1000",
    }


def test_a_phones_form(inicis):
    order = window_order(inicis, "phone", order_id="imp2a1", is_mobile=True, name="책&공책=2권", app_scheme="myshop://")
    page = opened(inicis, order)
    assert (page.script, page.params["action"]) == (None, f"{inicis.sandbox.url}/smart/payment/")
    fields = dict(page.params["fields"])
    for name in ("P_TIMESTAMP", "P_CHKFAKE"):
        del fields[name]
    assert fields == {
        "P_INI_PAYMENT": "MOBILE",
        "P_MID": "INIBillTst",
        "P_OID": "imp2a1",
        "P_AMT": "8900",
        "P_GOODS": "책 공책 2권",
        "P_UNAME": "Gildong Hong",
        "P_MOBILE": "010-1234-5678",
        "P_EMAIL": "gildong@shop.kr",
        "P_NEXT_URL": RETURN_URL,
        "P_NOTI": "imp2a1",
        "P_CHARSET": "utf8",
        "P_HPP_METHOD": "2",
        "P_RESERVED": "centerCd=Y&amt_hash=Y&below1000=Y&twotrs_isp=Y&block_isp=Y&twotrs_isp_noti=N&twotrs_bank=Y"
        "&apprun_check=Y&app_scheme=myshop ://".replace("myshop :", "myshop:"),
    }


def test_the_real_windows_are_inicis():
    names = {name: sorted(urls) for name, urls in adapter.WINDOW_URLS.items()}
    assert names == {
        Environment.LIVE: ["any", "fcmobile", "fcstdpay", "ksmobile", "ksstdpay", "pc", "phone"],
        Environment.TEST: ["any", "pc", "phone", "stgmobile", "stgstdpay"],
    }
    for urls in adapter.WINDOW_URLS.values():
        assert all(url.endswith(".inicis.com") for url in urls.values())


@WAYS
@pytest.mark.parametrize(
    ("method", "pc", "phone"),
    [
        ("card", "Card", "CARD"),
        ("trans", "DirectBank", "BANK"),
        ("vbank", "VBank", "VBANK"),
        ("phone", "HPP", "MOBILE"),
    ],
)
def test_each_method_has_its_word(inicis, method, pc, phone, on_phone):
    fields = fields_of(inicis, method, is_mobile=on_phone)
    assert fields["P_INI_PAYMENT" if on_phone else "gopaymethod"] == (phone if on_phone else pc)


@pytest.mark.parametrize(("digital", "kind"), [(True, "1"), (False, "2"), (None, "2")])
def test_a_phone_bill_says_whether_something_is_shipped(inicis, digital, kind):
    assert f"HPP({kind})" in options_of(inicis, "phone", digital=digital)
    assert fields_of(inicis, "phone", digital=digital, is_mobile=True)["P_HPP_METHOD"] == kind
    assert not any(option.startswith("HPP") for option in options_of(inicis))


def test_until_when_an_account_can_be_paid_into(inicis):
    due = datetime(2026, 12, 1, 15, 4, tzinfo=KST)
    assert "vbank(202612011504)" in options_of(inicis, "vbank", account_due=due)
    fields = fields_of(inicis, "vbank", account_due=due, is_mobile=True)
    assert (fields["P_VBANK_DT"], fields["P_VBANK_TM"]) == ("20261201", "1504")
    assert fields["P_NOTI_URL"] == TEST_CREDENTIALS["notice_url"]


@pytest.mark.parametrize(
    ("asked", "pc", "phone"),
    [
        ({}, None, None),
        ({"quotas": ()}, "1", "01"),
        ({"quotas": (6, 3)}, "1:3:6", "01:03:06"),
        ({"quotas": (0, 1, 2)}, "1:2", "01:02"),
        ({"quotas": (3,), "quota": 5}, "5", "05"),
        ({"quota": 1}, None, None),
    ],
)
def test_instalments(inicis, asked, pc, phone):
    assert fields_of(inicis, **asked).get("quotabase") == pc
    assert fields_of(inicis, **asked, is_mobile=True).get("P_QUOTABASE") == phone


@pytest.mark.parametrize(("card_code", "shown"), [("365", "12"), ("374", "01:17"), ("090", "")])
def test_one_issuer(inicis, card_code, shown):
    assert fields_of(inicis, card_code=card_code)["ini_onlycardcode"] == shown
    assert fields_of(inicis, card_code=card_code, is_mobile=True)["P_ONLY_CARDCODE"] == shown


def test_taxes(inicis):
    assert not {"tax", "taxfree"} & set(fields_of(inicis))
    pc, phone = (fields_of(inicis, tax_free=1000, vat=700, is_mobile=mobile) for mobile in (False, True))
    assert (pc["tax"], pc["taxfree"], phone["P_TAX"], phone["P_TAXFREE"]) == ("700", "1000", "700", "1000")


@pytest.mark.parametrize(("language", "shown"), [("ko", "ko"), ("en", "en"), ("zh", "cn"), ("jp", "en")])
def test_languages(inicis, language, shown):
    assert fields_of(inicis, language=language)["languageView"] == shown


def test_what_a_page_does_not_say(inicis):
    """The script for PCs refuses to open without an e-mail address, which V1 does not ask for."""
    fields = fields_of(inicis, name=None, buyer=Buyer(tel="010-1234-5678"))
    assert (fields["goodname"], fields["buyername"], fields["buyeremail"]) == ("상품", "구매자", "noreply@shop.example")
    long = Buyer("김" * 20, "a" * 70 + "@b.kr", "0" * 30)
    fields = fields_of(inicis, name="가" * 30, buyer=long)
    assert (fields["goodname"], fields["buyername"], len(fields["buyertel"])) == ("가" * 13, "김" * 10, 20)
    phone = fields_of(inicis, name="가" * 60, buyer=Buyer(tel="010-1234-5678"), is_mobile=True)
    assert (phone["P_GOODS"], phone["P_UNAME"], phone["P_EMAIL"]) == ("가" * 40, "구매자", "")


@pytest.mark.parametrize(
    ("bypass", "added"),
    [
        ({"acceptmethod": "noeasypay"}, ["noeasypay"]),
        ({"html5_inicis": {"acceptmethod": "noeasypay:SKIN(#0A58CA)"}}, ["noeasypay", "SKIN(#0A58CA)"]),
        ({"acceptmethod": "cardpoint", "html5_inicis": {"acceptmethod": "cardonly"}}, ["cardonly"]),
        ({"acceptmethod": "centerCd(N):BILLAUTH(Card):vbank(20991231):HPP(1):useescrow:x"}, []),
        ({"acceptmethod": 7, "price": "1", "returnUrl": "https://evil.example"}, []),
        ({"html5_inicis": "x"}, []),
        ([], []),
    ],
)
def test_what_a_merchant_may_say_to_the_window(inicis, bypass, added):
    fields = fields_of(inicis, bypass=json.dumps(bypass))
    assert fields["acceptmethod"].split(":")[2:] == added
    assert (fields["price"], fields["returnUrl"]) == ("8900", RETURN_URL)


def test_what_a_merchant_may_say_to_a_phones_window(inicis):
    given = {"P_RESERVED": "noeasypay=Y&d_kakaopay=Y&twotrs_isp=N&amt_hash=N&centerCd=N&cp_yn=Y "}
    options = options_of(inicis, bypass=json.dumps(given), is_mobile=True)
    assert options[-2:] == ["noeasypay=Y", "d_kakaopay=Y"]
    assert [option for option in options if option.endswith("=N")] == ["twotrs_isp_noti=N"]


# --- what a channel has to have ---------------------------------------------------------------------------------------


def test_without_a_sign_key_there_is_no_window(inicis):
    without = {name: value for name, value in TEST_CREDENTIALS.items() if name != "sign_key"}
    spec = inicis.connect(without).spec
    assert inicis.gateway.spec.operations - spec.operations == {Operation.PAY_IN_WINDOW}
    order = window_order(inicis)
    [text] = spec.window_objections(order.request, order.terms, inicis.clock.now())
    assert "sign_key" in text
    assert inicis.gateway.spec.window_objections(order.request, order.terms, inicis.clock.now()) == ()


def test_a_buyers_telephone_is_needed(inicis):
    order = window_order(inicis, buyer=Buyer("홍길동", "a@b.kr"))
    [text] = SPEC.under(("sign_key",)).window_objections(order.request, order.terms, inicis.clock.now())
    assert text.startswith("buyer_tel: ")


@pytest.mark.parametrize(("missing", "method"), [("hash_key", "card"), ("hash_key", "vbank"), ("notice_url", "vbank")])
def test_what_phones_need_besides(inicis, missing, method):
    gateway = inicis.connect({**TEST_CREDENTIALS, missing: ""})
    refused = gateway.open_window(window_order(inicis, method, is_mobile=True), TIMEOUT)
    # As CHANNEL_REJECTED it would be a sign against the channel, which serves PCs well.
    assert (refused.reason, refused.code) == (R.INVALID_REQUEST, missing)
    assert missing in refused.message
    assert gateway.open_window(window_order(inicis, method), TIMEOUT).script


@WAYS
@pytest.mark.parametrize("change", ["price", "oid", "signature", "verification", "mKey", "use_chkfake", "acceptmethod"])
def test_the_simulator_checks_what_a_window_is_opened_with(inicis, change, on_phone):
    names = {"price": "P_AMT", "oid": "P_OID", "acceptmethod": "P_RESERVED"}
    fields = fields_of(inicis, "trans", is_mobile=on_phone)
    fields[names.get(change, "P_CHKFAKE") if on_phone else change] += "0"
    if on_phone and change == "acceptmethod":
        fields["P_RESERVED"] = fields["P_RESERVED"].replace("twotrs_bank=Y", "")
    with pytest.raises(Refusal):
        inicis.sandbox.simulator.enter({**fields, "acceptmethod": ""} if change == "acceptmethod" else fields)


# --- what comes back --------------------------------------------------------------------------------------------------


@WAYS
def test_the_buyer_agrees(inicis, on_phone):
    order = window_order(inicis, is_mobile=on_phone)
    back = authenticated(inicis, order)
    names = {"window", "idc", "P_TID"} if on_phone else {"window", "idc", "authToken", "timestamp"}
    assert set(back.proof) == names
    assert back.kept == ({"P_TID": back.proof["P_TID"]} if on_phone else {})
    assert inicis.books(order.order_id) == []


@WAYS
def test_the_buyer_leaves(inicis, on_phone):
    order = window_order(inicis, is_mobile=on_phone)
    result = read_return(inicis, order, visit(inicis, order, "cancel"))
    assert result == Declined(R.BUYER_CANCELLED, "01", "사용자가 결제를 취소하셨습니다")


@WAYS
@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("V801", "사용자가 결제를 취소 하였습니다.", R.BUYER_CANCELLED),
        ("01", "결제를 중단하였습니다", R.BUYER_CANCELLED),
        ("01", "본인확인에 실패하였습니다.", R.CARD_CHECK_FAILED),
        ("1234", "한도초과", R.LIMIT_EXCEEDED),
        ("V023", "도메인 불일치", R.INVALID_REQUEST),
        ("9999", "통신 오류", R.NOT_CHARGED),
        ("9999", "", R.NOT_CHARGED),
    ],
)
def test_a_window_that_fails(inicis, on_phone, code, message, expected):
    order = window_order(inicis, is_mobile=on_phone)
    names = ("P_STATUS", "P_RMESG1") if on_phone else ("resultCode", "resultMsg")
    result = inicis.gateway.read_return(order, dict(zip(names, (code, message), strict=True)))
    assert (result.reason, result.code) == (expected, code)
    assert result.message == message or (not message and code in result.message)


PC_RETURN = [
    ("resultCode", ""),
    ("resultCode", "<b>"),
    ("mid", "INIpayTest"),
    ("mid", ""),
    ("orderNumber", "imp999999999999a1"),
    ("orderNumber", ""),
    ("authToken", ""),
    ("authToken", "a b"),
    ("authToken", "x" * 4001),
    ("authUrl", "https://evil.example/api/payAuth"),
    ("authUrl", "https://fcstdpay.inicis.com/api/payAuth"),
    ("authUrl", ""),
    ("idc_name", "fc"),
    ("idc_name", ""),
    ("idc_name", "evil.example/"),
]
PHONE_RETURN = [
    ("P_STATUS", ""),
    ("P_STATUS", "00 "),
    ("P_NOTI", "imp999999999999a1"),
    ("P_NOTI", ""),
    ("P_AMT", "100"),
    ("P_AMT", ""),
    ("P_REQ_URL", "https://evil.example/smart/payReq.ini"),
    ("P_REQ_URL", "https://ksmobile.inicis.com/smart/payReq.ini"),
    ("P_TID", ""),
    ("P_TID", "T" * 101),
    ("P_TID", "T&P_MID=x y"),
    ("idc_name", "ks"),
    ("idc_name", ""),
]


@pytest.mark.parametrize(
    ("on_phone", "field", "value"), [(False, *row) for row in PC_RETURN] + [(True, *row) for row in PHONE_RETURN]
)
def test_what_this_orders_window_cannot_have_sent(inicis, on_phone, field, value):
    order = window_order(inicis, is_mobile=on_phone)
    fields = visit(inicis, order)
    assert isinstance(inicis.gateway.read_return(order, fields), Authenticated)
    with pytest.raises(InvalidRequest) as caught:
        inicis.gateway.read_return(order, {**fields, field: value})
    named = {"idc_name": "P_REQ_URL" if on_phone else "authUrl"}.get(field, field)
    assert caught.value.field == named
    assert caught.value.message.startswith(f"{named}: ")


def test_a_failure_of_another_order_is_refused(inicis):
    order = window_order(inicis)
    for changes in ({"orderNumber": "imp999999999999a1"}, {"mid": "INIpayTest"}):
        with pytest.raises(InvalidRequest):
            inicis.gateway.read_return(order, {"resultCode": "01", "resultMsg": "취소", **changes})


@WAYS
def test_the_return_of_one_device_is_none_of_the_other(inicis, on_phone):
    fields = visit(inicis, window_order(inicis, is_mobile=on_phone))
    with pytest.raises(InvalidRequest):
        inicis.gateway.read_return(window_order(inicis, is_mobile=not on_phone), fields)


def test_the_return_of_another_order_is_approved_for_nobody(inicis):
    """Nothing in a phone's return is signed: a buyer can hand in another one of his, of the same amount."""
    order, other = window_order(inicis, is_mobile=True), window_order(inicis, is_mobile=True)
    fields = visit(inicis, other)
    back = read_return(inicis, order, fields | {"P_NOTI": order.order_id})
    result = approve(inicis, order, back)
    assert isinstance(result, Unknown)
    assert fields["P_TID"] in result.detail  # for the person who has to give it back


def test_another_orders_token_undoes_nothing(inicis):
    """A buyer brings the token of an order that is paid, and shipped, to another one, whose approval is unclear then.

    Undoing that by the token (Inicis's net-cancel) would give him the money of the first one back.
    """
    paid, order = window_order(inicis), window_order(inicis)
    fields = visit(inicis, paid)
    assert isinstance(approve(inicis, paid, read_return(inicis, paid, fields)), Approved)
    back = read_return(inicis, order, fields | {"orderNumber": order.order_id})
    assert isinstance(approve(inicis, order, back), Unknown)
    nameless = Approved("", Money(8900), inicis.clock.now())
    with pytest.raises(UnsupportedOperation):
        inicis.gateway.cancel(inicis.cancel_request(order.order_id, nameless, 8900, kept=back.kept), TIMEOUT)
    assert SPEC.windows.net_cancel_window is None
    assert inicis.money_taken(paid.order_id) == 8900


# --- approving --------------------------------------------------------------------------------------------------------


@WAYS
def test_an_approval(inicis, on_phone):
    order, approved = pay(inicis, is_mobile=on_phone)
    assert approved.amount == approved.balance == Money(8900)
    assert (approved.card.code, approved.card.name, approved.card.number) == ("365", "삼성카드", "536148******5671")
    assert (approved.account, approved.bank_code, approved.easy_pay) == (None, None, None)
    assert len(approved.gateway_ref) == 40
    found = inicis.gateway.find_charge(query(inicis, order, gateway_ref=approved.gateway_ref), TIMEOUT)
    assert (found.gateway_ref, found.balance) == (approved.gateway_ref, Money(8900))


@WAYS
def test_a_transfer_and_a_phone_bill(inicis, on_phone):
    order, transfer = pay(inicis, "trans", is_mobile=on_phone)
    assert (transfer.bank_code, transfer.card) == ("088", None)
    asked = query(inicis, order, gateway_ref=transfer.gateway_ref)
    assert isinstance(inicis.gateway.find_charge(asked, TIMEOUT), Approved)
    assert isinstance(inicis.gateway.find_charge(replace(asked, pay_method="card"), TIMEOUT), Unknown)
    order, phone = pay(inicis, "phone", is_mobile=on_phone)
    assert (phone.bank_code, phone.card) == (None, None)
    request = inicis.cancel_request(order.order_id, phone, 8900, pay_method="phone")
    assert isinstance(inicis.gateway.cancel(request, TIMEOUT), Cancelled)
    assert inicis.money_taken(order.order_id) == 0


def answered(order, timestamp=TIME, **changes):
    """The answer to a PC's approval, signed as it stands."""
    body = {
        "resultCode": "0000",
        "resultMsg": "정상완료",
        "tid": "StdpayCARDINIpayTest20240101120000000001",
        "MOID": order.order_id,
        "mid": "INIpayTest",
        "TotPrice": "8900",
        "payMethod": "Card",
        "applDate": "20240101",
        "applTime": "120000",
        "applNum": "00000001",
        "currency": "WON",
        "CARD_Code": "12",
        "CARD_Num": "536148******5671",
        "CARD_CheckFlag": "1",
    } | changes
    signed = [f"TotPrice={body['TotPrice']}", f"tstamp={timestamp}", f"MOID={body['MOID']}"]
    return {"authSignature": sha256("&".join(signed))} | body


def pc_approval(inicis, scripted, method="card", **changes):
    order = window_order(inicis, method)
    gateway, _ = scripted(answered(order, **changes))
    return gateway.approve(order, Authenticated(KEPT), TIMEOUT)


def test_what_a_pcs_approval_is_asked_with(inicis, scripted):
    order = window_order(inicis)
    gateway, http = scripted(answered(order))
    assert isinstance(gateway.approve(order, Authenticated(KEPT), TIMEOUT), Approved)
    assert http.asked[0][0] == f"{inicis.sandbox.url}/api/payAuth"
    token, key = KEPT["authToken"], OTHER_CREDENTIALS["sign_key"]
    assert http.form == {
        "mid": "INIpayTest",
        "authToken": token,
        "timestamp": TIME,
        "signature": sha256(f"authToken={token}&timestamp={TIME}"),
        "verification": sha256(f"authToken={token}&signKey={key}&timestamp={TIME}"),
        "charset": "UTF-8",
        "format": "JSON",
        "price": "8900",
    }


SIGNED = {
    1: "MOID mid tstamp",
    2: "MOID tstamp mid",
    3: "mid MOID tstamp",
    4: "mid tstamp MOID",
    5: "tstamp mid MOID",
    6: "tstamp MOID mid",
    7: "TotPrice mid tstamp",
    8: "TotPrice tstamp mid",
    9: "TotPrice MOID tstamp",
    0: "TotPrice tstamp MOID",
}
"""As Inicis's sample has it, by the last digit of the time."""


@pytest.mark.parametrize(("digit", "names"), SIGNED.items())
def test_the_signature_of_an_approval(inicis, scripted, digit, names):
    order, timestamp = window_order(inicis), f"{TIME[:-1]}{digit}"
    values = {"MOID": order.order_id, "mid": "INIpayTest", "TotPrice": "8900", "tstamp": timestamp}
    signature = sha256("&".join(f"{name}={values[name]}" for name in names.split()))
    back = Authenticated({**KEPT, "timestamp": timestamp})
    for given, expected in ((signature, Approved), (signature.upper(), Approved), (sha256(names), Unknown)):
        gateway, _ = scripted(answered(order, authSignature=given))
        assert isinstance(gateway.approve(order, back, TIMEOUT), expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Approved),
        ({"TotPrice": 8900}, Approved),
        ({"payMethod": "VCard"}, Approved),
        ({"applDate": None, "CARD_Code": None, "currency": None}, Approved),
        ({"authSignature": None}, Unknown),
        ({"authSignature": ""}, Unknown),
        ({"MOID": "imp999999999999a1"}, Unknown),
        ({"MOID": None}, Unknown),
        ({"mid": "INIBillTst"}, Unknown),
        ({"mid": None}, Unknown),
        ({"TotPrice": None}, Unknown),
        ({"TotPrice": "8,900"}, Unknown),
        ({"TotPrice": "0"}, Unknown),
        ({"TotPrice": "-8900"}, Unknown),
        ({"tid": ""}, Unknown),
        ({"tid": None}, Unknown),
        ({"tid": "T" * 501}, Unknown),
        ({"payMethod": "VBank"}, Unknown),
        ({"payMethod": None}, Unknown),
        ({"currency": "USD"}, Unknown),
        ({"resultCode": "00"}, Unknown),
        ({"resultCode": "SUCCESS"}, Unknown),
        ({"resultCode": ""}, Unknown),
    ],
)
def test_what_a_yes_must_say(inicis, scripted, changes, expected):
    assert isinstance(pc_approval(inicis, scripted, **changes), expected)


def test_another_amount_is_reported_as_it_is(inicis, scripted):
    """The router gives it back: it compares."""
    assert pc_approval(inicis, scripted, TotPrice="8901").amount == Money(8901)


def test_what_an_approval_shows(inicis, scripted):
    approved = pc_approval(inicis, scripted, CARD_SrcCode="O", CARD_Num="5361480012345671")
    assert (approved.approved_at, approved.approval_number, approved.easy_pay) == (NOON, "00000001", "kakaopay")
    assert (approved.card.type, approved.card.number) == (1, "****")
    assert pc_approval(inicis, scripted, CARD_Code="91").card.code is None
    assert pc_approval(inicis, scripted, "trans", payMethod="iDirectBank", ACCT_BankCode="05").bank_code == "081"
    assert pc_approval(inicis, scripted, "trans", payMethod="DirectBank", ACCT_BankCode="D1").bank_code is None


@pytest.mark.parametrize("status", [500, 302, 403])
def test_a_yes_needs_http_200(inicis, scripted, status):
    order = window_order(inicis)
    gateway, _ = scripted(Reply(status, json.dumps(answered(order)).encode()))
    result = gateway.approve(order, Authenticated(KEPT), TIMEOUT)
    assert isinstance(result, Unknown)
    assert result.unwell


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("01", "카드사에서 거절하였습니다.", R.ISSUER_DECLINED),
        ("8037", "한도초과", R.LIMIT_EXCEEDED),
        ("8037", "잔액이 부족합니다.", R.INSUFFICIENT_FUNDS),
        ("8037", "분실 신고된 카드", R.LOST_OR_STOLEN),
        ("R101", "signature 검증에 실패하였습니다.", None),
        ("8037", "이미 승인된 거래입니다. 한도초과", None),
        ("8037", "승인결과 확인 불가", None),
        ("8037", "알 수 없는 오류", None),
        ("500626", "한도초과", None),
        ("00", "한도초과", None),
    ],
)
@WAYS
def test_a_refusal_is_what_its_words_say(inicis, scripted, on_phone, code, message, expected):
    order = window_order(inicis, is_mobile=on_phone)
    if on_phone:
        answer = Reply(200, f"P_STATUS={code}&P_RMESG1={message}".encode())
        code = code if code != "00" else None
    else:
        answer = {"resultCode": code, "resultMsg": message, "tid": None}
    gateway, _ = scripted(answer)
    result = gateway.approve(order, Authenticated(KEPT_ON_PHONE if on_phone else KEPT), TIMEOUT)
    assert isinstance(result, Declined if expected else Unknown), result
    assert result.code == code
    assert expected is None or (result.reason, result.message) == (expected, message)


def test_what_was_approved_is_not_refused(inicis, scripted):
    result = pc_approval(inicis, scripted, resultCode="8037", resultMsg="한도초과")
    assert isinstance(result, Unknown)


def test_a_second_approval_is_no_decline(inicis):
    for on_phone in (False, True):
        order = window_order(inicis, is_mobile=on_phone)
        back = authenticated(inicis, order)
        assert isinstance(approve(inicis, order, back), Approved)
        assert isinstance(approve(inicis, order, back), Unknown)
        assert inicis.money_taken(order.order_id) == 8900


def test_words_nobody_knows_are_logged_with_their_code(inicis, scripted, caplog):
    pc_approval(inicis, scripted, resultCode="8037", resultMsg="알 수 없는 오류")
    assert "8037" in caplog.text


# --- a phone's answers ------------------------------------------------------------------------------------------------


def told(order, **changes):
    fields = {
        "P_STATUS": "00",
        "P_AUTH_DT": "20240101120000",
        "P_RMESG1": "정상승인",
        "P_TID": "INIMX_CARDINIpayTest20240101120000000001",
        "P_MID": "INIpayTest",
        "P_OID": order.order_id,
        "P_AMT": "8900",
        "P_TYPE": "CARD",
        "P_FN_CD1": "12",
        "P_UNAME": "홍길동",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def phone_approval(inicis, scripted, body, method="card"):
    order = window_order(inicis, method, is_mobile=True)
    gateway, http = scripted(Reply(200, body(order)))
    return gateway.approve(order, Authenticated(KEPT_ON_PHONE), TIMEOUT), http


def plain(fields, encoding="utf-8"):
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode(encoding)


def escaped(fields, encoding="utf-8"):
    return "&".join(f"{name}={quote(value, encoding=encoding)}" for name, value in fields.items()).encode()


@pytest.mark.parametrize("encoding", ["utf-8", "euc-kr"])
@pytest.mark.parametrize("write", [plain, escaped])
def test_however_a_phones_answer_is_written(inicis, scripted, write, encoding):
    approved, http = phone_approval(inicis, scripted, lambda order: write(told(order), encoding) + b"\r\n")
    assert isinstance(approved, Approved)
    assert (approved.approved_at, approved.card.code) == (NOON, "365")
    assert http.asked[0][0] == f"{inicis.sandbox.url}/smart/payReq.ini"
    assert http.form == {"P_MID": "INIpayTest", "P_TID": "TID1"}
    refused, _ = phone_approval(inicis, scripted, lambda _: write({"P_STATUS": "01", "P_RMESG1": "한도초과"}, encoding))
    assert (refused.reason, refused.message) == (R.LIMIT_EXCEEDED, "한도초과")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Approved),
        ({"P_MID": None}, Approved),
        ({"P_TYPE": "ISP"}, Approved),
        ({"P_UNAME": "x&P_EMAIL=y"}, Approved),
        ({"P_OID": "imp999999999999a1"}, Unknown),
        ({"P_OID": None}, Unknown),
        ({"P_MID": "INIBillTst"}, Unknown),
        ({"P_AMT": None}, Unknown),
        ({"P_AMT": "8900.0"}, Unknown),
        ({"P_TID": None}, Unknown),
        ({"P_TYPE": "VBANK"}, Unknown),
        ({"P_TYPE": None}, Unknown),
        ({"P_STATUS": "0000"}, Unknown),
        ({"P_STATUS": None}, Unknown),
        ({"P_UNAME": "x&P_STATUS=00"}, Unknown),
        ({"P_UNAME": "x&P_AMT=8900"}, Unknown),
        ({"P_STATUS": "01", "P_UNAME": "x&P_STATUS=00"}, Unknown),
    ],
)
def test_what_a_phones_yes_must_say(inicis, scripted, changes, expected):
    """What a buyer calls himself may stand in it unescaped."""
    result, _ = phone_approval(inicis, scripted, lambda order: plain(told(order, **changes)))
    assert isinstance(result, expected), result


def test_a_buyers_name_cannot_speak_for_another_order(inicis, scripted):
    """The proof of a cheap order, brought to a dear one: the names that a PC's answer has are none of a phone's."""
    cheap = {"P_OID": "imp999999999999a1", "P_AMT": "100"}
    for stolen in ({"P_STATUS": "00"}, {"P_STATUS": "01"}):
        result, _ = phone_approval(
            inicis,
            scripted,
            lambda order, stolen=stolen: plain(
                told(order, **cheap, **stolen)
                | {"P_UNAME": f"x&resultCode=00&tid=T1&MOID={order.order_id}&TotPrice=8900&payMethod=Card"}
            ),
        )
        assert isinstance(result, Unknown), result


@pytest.mark.parametrize("body", [b"", b"<html>P_STATUS=00</html>", b"\xff\xfe", b"P_STATUS=%ff%ff&P_OID=%81", b"{"])
def test_what_is_no_answer(inicis, scripted, body):
    result, _ = phone_approval(inicis, scripted, lambda _: body)
    assert isinstance(result, Unknown)
    assert result.unwell


# --- lost replies -----------------------------------------------------------------------------------------------------


@WAYS
def test_under_the_contract_a_lost_reply_is_found(inicis, on_phone):
    order = window_order(inicis, is_mobile=on_phone)
    back = authenticated(inicis, order)
    assert isinstance(inicis.gateway.find_charge(query(inicis, order, back), TIMEOUT), NotFound)
    inicis.sandbox.fail("charge", "reply_lost")
    approve(inicis, order, back)
    found = inicis.gateway.find_charge(query(inicis, order, back), TIMEOUT)
    assert (type(found), found.amount) == (Approved, Money(8900))


@WAYS
def test_without_the_contract_only_a_phones_number_is_known(inicis, on_phone):
    gateway, order = inicis.connect(UNGUARDED_CREDENTIALS), window_order(inicis, is_mobile=on_phone)
    simulator = inicis.sandbox.simulator
    entered = simulator.enter(gateway.open_window(order, TIMEOUT).params["fields"])
    back = gateway.read_return(order, came_back(inicis, simulator.press(entered.visit_id, "approve")))
    asked = query(inicis, order, back)
    assert isinstance(gateway.find_charge(asked, TIMEOUT), Unknown)
    inicis.sandbox.fail("charge", "reply_lost")
    assert isinstance(gateway.approve(order, back, TIMEOUT), Unknown)
    assert isinstance(gateway.find_charge(asked, TIMEOUT), Approved if on_phone else Unknown)


def test_what_can_be_asked_by_order_id_is(inicis, scripted):
    """Only that can be answered by "there is none"."""
    order = window_order(inicis, is_mobile=True)
    asked = query(inicis, order, Authenticated({}, {"P_TID": "TID1"}))
    for credentials, data in ((OTHER_CREDENTIALS, {"oid": order.order_id}), (UNGUARDED_CREDENTIALS, {"tid": "TID1"})):
        gateway, http = scripted({"resultCode": "SUCCESS"}, credentials=credentials)
        gateway.find_charge(asked, TIMEOUT)
        assert http.data == data


# --- virtual accounts -------------------------------------------------------------------------------------------------


def find(bench, order, gateway_ref):
    return bench.gateway.find_charge(query(bench, order, gateway_ref=gateway_ref), TIMEOUT)


def account_of(bench, **kwargs):
    return pay(bench, "vbank", account_due=bench.clock.now() + timedelta(days=7), **kwargs)


def refund(bench, order, result, amount=8900, balance=8900, gateway=None, **kwargs):
    given = {"refund_to": REFUND_TO, **kwargs}
    request = bench.cancel_request(order.order_id, result, amount, balance, pay_method="vbank", **given)
    return (gateway or bench.gateway).cancel(request, TIMEOUT)


@WAYS
def test_an_account_that_is_paid_into(inicis, on_phone):
    order, issued = account_of(inicis, is_mobile=on_phone)
    assert issued.account.bank_code == "088"
    assert issued.account.due_at == order.terms.account_due.replace(second=0, microsecond=0)
    waiting = find(inicis, order, issued.gateway_ref)
    assert isinstance(waiting, AwaitingDeposit)
    assert waiting.account.number == issued.account.number
    notice = inicis.sandbox.deposit(order.order_id)
    assert inicis.gateway.read_deposit_notice(notice) == DepositNotice(order.order_id, gateway_ref=issued.gateway_ref)
    inicis.clock.shift = timedelta(days=1)
    paid = find(inicis, order, issued.gateway_ref)
    assert (paid.amount, paid.balance, paid.account.number) == (Money(8900), Money(8900), issued.account.number)
    inicis.sandbox.deposit(order.order_id, reverse=True)
    assert isinstance(find(inicis, order, issued.gateway_ref), AwaitingDeposit)


def test_an_account_that_is_due_looks_as_before(inicis):
    """So the router's own clock has to end it."""
    order, issued = account_of(inicis)
    inicis.clock.shift = timedelta(days=8)
    assert inicis.books(order.order_id)[0]["state"] == "expired"
    assert isinstance(find(inicis, order, issued.gateway_ref), AwaitingDeposit)
    rules = SPEC.virtual_accounts
    assert (rules.tells_expiry, rules.revocable, rules.banks) == (False, False, frozenset())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"VACT_Num": "56211103849740", "VACT_Date": "20240108", "VACT_Time": "235959"}, AwaitingDeposit),
        ({"VACT_Num": "56211103849740", "VACT_Date": "20240108"}, AwaitingDeposit),
        ({"VACT_Num": "", "VACT_Date": "20240108"}, Unknown),
        ({"VACT_Num": "56211103849740", "VACT_Date": "soon"}, Unknown),
        ({"VACT_Num": "5" * 41, "VACT_Date": "20240108"}, Unknown),
        ({"VACT_Num": "56211103849740", "VACT_Date": "20240108", "payMethod": "Card"}, Unknown),
        ({}, Unknown),
    ],
)
def test_what_an_issue_must_say(inicis, scripted, changes, expected):
    result = pc_approval(inicis, scripted, "vbank", **{"payMethod": "VBank", **changes})
    assert isinstance(result, expected), result
    if expected is AwaitingDeposit:
        assert result.account.due_at == datetime(2024, 1, 8, 23, 59, 59, tzinfo=KST)


@pytest.mark.parametrize(
    ("day", "time", "expected"),
    [
        ("20240108", "150400", datetime(2024, 1, 8, 15, 4, tzinfo=KST)),
        ("20240108", "1504", datetime(2024, 1, 8, 15, 4, tzinfo=KST)),
        ("20240108150400", "", datetime(2024, 1, 8, 15, 4, tzinfo=KST)),
        ("2024-01-08", "15:04", datetime(2024, 1, 8, 15, 4, tzinfo=KST)),
        ("20240108", None, datetime(2024, 1, 8, 23, 59, 59, tzinfo=KST)),
        ("20240132", "", None),
        ("2024", "", None),
        (None, None, None),
    ],
)
def test_when_an_account_is_due(day, time, expected):
    assert read_due(day, time) == expected


@pytest.mark.parametrize(
    ("inicis_code", "ours"),
    [("88", "088"), ("04", "004"), ("06", "004"), ("05", "081"), ("26", "088"), ("53", "027"), ("99", None), ("", None),
     (None, None), ("D1", None)],
)  # fmt: skip
def test_banks(inicis_code, ours):
    assert bank_code(inicis_code) == ours


def shown(order, **account):
    return {
        "resultCode": "SUCCESS",
        "mid": "INIpayTest",
        "tid": "TID1",
        "oid": order.order_id,
        "price": "8900",
        "paymethod": "VBank",
        "transactionStatus": account.pop("transactionStatus", "APPROVAL"),
        "approvedDate": "20240101",
        "approvedTime": "120000",
        "vacctInfo": {"accountNumber": "5621", "bankCode": "88", "validDate": "20240108", **account} if account else {},
    }


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ({"depositStatus": "N"}, AwaitingDeposit),
        ({"depositStatus": "N", "transactionStatus": "READY"}, AwaitingDeposit),
        ({"depositStatus": "N", "validDate": None}, Unknown),
        ({"depositStatus": "N", "accountNumber": ""}, Unknown),
        ({"depositStatus": "C"}, Revoked),
        ({"depositStatus": "Y"}, Approved),
        ({"depositStatus": "Y", "depositAmount": "8900", "depositDate": "20240103", "depositTime": "090000"}, Approved),
        ({"depositStatus": "Y", "depositAmount": "8901"}, Unknown),
        ({"depositStatus": "Y", "transactionStatus": "NEW"}, Unknown),
        ({"depositStatus": "Y", "transactionStatus": "CANCEL"}, Approved),
        ({"depositStatus": "X"}, Unknown),
        ({"depositStatus": None}, Unknown),
        ({}, Unknown),
    ],
)
def test_each_state_of_an_account(inicis, scripted, account, expected):
    order = window_order(inicis, "vbank")
    gateway, _ = scripted(shown(order, **account))
    asked = ChargeQuery(order.order_id, Money(8900), NOON, "TID1", "vbank")
    found = gateway.find_charge(asked, TIMEOUT)
    assert isinstance(found, expected), found
    if "depositDate" in account:
        assert found.approved_at == datetime(2024, 1, 3, tzinfo=UTC)


def test_a_card_is_no_account(inicis, scripted):
    """Nor the other way round, and what is said of accounts beside a card means nothing."""
    order = window_order(inicis)
    for method, expected in (("card", Unknown), ("vbank", AwaitingDeposit)):
        gateway, _ = scripted(shown(order, depositStatus="N"))
        asked = ChargeQuery(order.order_id, Money(8900), NOON, "TID1", method)
        assert isinstance(gateway.find_charge(asked, TIMEOUT), expected)
    gateway, _ = scripted({**shown(order), "paymethod": "Card"})
    assert isinstance(gateway.find_charge(replace(asked, pay_method="card"), TIMEOUT), Approved)


PC_NOTICE = {"id_merchant": "INIBillTst", "no_oid": "imp1a1", "no_tid": "ININPG1", "no_req_tid": "TID1"}
PHONE_NOTICE = {"P_MID": "INIBillTst", "P_OID": "imp1a1", "P_TID": "TID1", "P_TYPE": "VBANK", "P_STATUS": "02"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (PC_NOTICE, DepositNotice("imp1a1", gateway_ref="TID1")),
        ({**PC_NOTICE, "type_msg": "0400"}, DepositNotice("imp1a1", gateway_ref="TID1")),
        ({**PC_NOTICE, "no_req_tid": ""}, DepositNotice("imp1a1", gateway_ref="ININPG1")),
        ({**PC_NOTICE, "id_merchant": "INIpayTest"}, "id_merchant"),
        ({**PC_NOTICE, "no_oid": ""}, "no_req_tid"),
        ({"no_oid": "imp1a1", "no_tid": "x"}, "id_merchant"),
        ({}, "id_merchant"),
        (PHONE_NOTICE, DepositNotice("imp1a1", gateway_ref="TID1")),
        ({**PHONE_NOTICE, "P_STATUS": "00"}, None),
        ({**PHONE_NOTICE, "P_TYPE": "CARD"}, None),
        ({**PHONE_NOTICE, "P_MID": "INIpayTest"}, "P_MID"),
        ({**PHONE_NOTICE, "P_TID": ["TID1"]}, "P_TID"),
    ],
)
def test_deposit_notices(inicis, fields, expected):
    if isinstance(expected, str):
        with pytest.raises(InvalidRequest) as caught:
            inicis.gateway.read_deposit_notice(fields)
        assert caught.value.field == expected
    else:
        assert inicis.gateway.read_deposit_notice(fields) == expected
    assert SPEC.notice_reply == "OK"


def test_a_deposit_is_refunded_in_parts(inicis):
    order, issued = account_of(inicis)
    inicis.sandbox.deposit(order.order_id)
    assert isinstance(refund(inicis, order, issued, 900), Cancelled)
    assert find(inicis, order, issued.gateway_ref).balance == Money(8000)
    assert isinstance(refund(inicis, order, issued, 900), Unknown)  # the same, sent again
    assert isinstance(refund(inicis, order, issued, 8000, 8000), Cancelled)
    assert inicis.money_taken(order.order_id) == 0


def test_a_deposit_is_refunded_whole(inicis, scripted):
    order, issued = account_of(inicis)
    assert isinstance(refund(inicis, order, issued), Unknown)  # nothing was paid in
    inicis.sandbox.deposit(order.order_id)
    assert isinstance(refund(inicis, order, issued), Cancelled)
    gateway, http = scripted({"resultCode": "00"}, {"resultCode": "00"})
    refund(inicis, order, issued, gateway=gateway)
    body = json.loads(http.asked[0][1])
    assert http.asked[0][0].endswith("/v2/pg/refund/vacct")
    assert (body["type"], body["data"]["refundBankCode"], body["data"]["refundAcctName"]) == ("refund", "88", "홍길동")
    assert "110123456789" not in http.asked[0][1]
    refund(inicis, order, issued, 900, gateway=gateway)
    assert http.asked[1][0].endswith("/v2/pg/partialRefund/vacct")


def test_the_vector_of_a_refunds_account(inicis, scripted):
    order = window_order(inicis, "vbank")
    issued = Approved("TID1", Money(8900), NOON)
    gateway, http = scripted({"resultCode": "00"})
    refund(inicis, order, issued, gateway=gateway, refund_to=RefundAccount("홍길동", "088", "123-456-789"))
    assert http.data["refundAcctNum"] == "qwMHVJqsmXKoR+d8wQTS4g=="


@pytest.mark.parametrize(
    "refund_to",
    [None, replace(REFUND_TO, bank="209"), replace(REFUND_TO, bank=None), replace(REFUND_TO, account="-"),
     replace(REFUND_TO, holder=" ")],
)  # fmt: skip
def test_a_refund_needs_an_account(inicis, scripted, refund_to):
    gateway, http = scripted()
    result = refund(inicis, window_order(inicis, "vbank"), Approved("TID1", Money(8900), NOON), gateway=gateway,
                    refund_to=refund_to)  # fmt: skip
    assert (result.reason, result.code) == (R.INVALID_REQUEST, "refund_account")
    assert http.asked == []


def test_a_lost_issue_of_an_account_is_found(inicis):
    order = window_order(inicis, "vbank")
    back = authenticated(inicis, order)
    inicis.sandbox.fail("charge", "reply_lost")
    assert isinstance(approve(inicis, order, back), Unknown)
    assert isinstance(inicis.gateway.find_charge(query(inicis, order, back), TIMEOUT), AwaitingDeposit)


def test_what_the_window_sends_can_be_read_as_a_form(inicis):
    """The page posts it in EUC-KR, as a browser would."""
    fields = fields_of(inicis, is_mobile=True, name="뷁 상품")
    body = "&".join(
        f"{name}={quote(value, safe='', encoding='euc-kr', errors='xmlcharrefreplace')}"
        for name, value in fields.items()
    )
    read = dict(parse_qsl(body, keep_blank_values=True, encoding="euc-kr", errors="strict"))
    assert inicis.sandbox.simulator.enter(read).order_id == fields["P_OID"]
