"""NHN KCP's payment window: what is sent to it, what may come back, and what becomes of it."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Buyer,
    Cancelled,
    ChargeQuery,
    Declined,
    NotSent,
    RefundAccount,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.domain.windows import Authenticated
from chalicelib.gateways import kcp as adapter
from chalicelib.gateways.kcp_window import ANSWER
from chalicelib.gateways.wire import KST
from infra.sandbox.kcp import OTHER_CREDENTIALS, TEST_CREDENTIALS
from infra.sandbox.server import Refusal
from tests.contract.conftest import TIMEOUT
from tests.contract.test_kcp import SITE, Recorder, signed_text, with_credentials
from tests.contract.windows import RETURN_URL, approve, authenticated, came_back, opened, pay, visit, window_order

METHODS = ("card", "trans", "vbank", "phone")
REFUND_TO = RefundAccount("홍길동", "088", "110-123-456789")


@pytest.fixture
def kcp(connect):
    return connect("kcp")


@pytest.fixture
def recorder():
    return Recorder()


def find(bench, order, result, method="card"):
    query = ChargeQuery(order.order_id, order.request.amount, bench.clock.now(), result.gateway_ref, method)
    return bench.gateway.find_charge(query, TIMEOUT)


def account_of(bench, **kwargs):
    return pay(bench, "vbank", account_due=bench.clock.now() + timedelta(days=7), **kwargs)


def refund(bench, order, result, amount=8900, balance=8900, **kwargs):
    given = {"refund_to": REFUND_TO, **kwargs}
    request = bench.cancel_request(order.order_id, result, amount, balance, pay_method="vbank", **given)
    return bench.gateway.cancel(request, TIMEOUT)


# --- what the window is opened with ------------------------------------------------------------------------------


def test_a_pcs_form(kcp):
    buyer = Buyer("홍길동", "test@kcp.co.kr", "010-0000-0000")
    page = opened(kcp, window_order(kcp, order_id="imp1a1", name="테스트 상품", buyer=buyer))
    assert (page.driver, page.script) == ("kcp", f"{kcp.sandbox.url}/plugin/kcp_spay_hub.js")
    assert page.params == {
        "action": None,
        "fields": {
            "site_name": "shop.kr",
            "shop_user_id": "member-7",
            "site_cd": "A52Q7",
            "ordr_idxx": "imp1a1",
            "good_name": "테스트 상품",
            "good_mny": "8900",
            "buyr_name": "홍길동",
            "buyr_mail": "test@kcp.co.kr",
            "buyr_tel2": "010-0000-0000",
            "pay_method": "100000000000",
            "currency": "WON",
            **dict.fromkeys(ANSWER, ""),
        },
    }


def test_the_real_window_is_kcps():
    hosts = {name: set(urls.values()) for name, urls in adapter.WINDOW_URLS.items()}
    assert hosts == {
        Environment.LIVE: {"https://spay.kcp.co.kr", "https://smpay.kcp.co.kr", "https://*.kcp.co.kr"},
        Environment.TEST: {"https://testspay.kcp.co.kr", "https://testsmpay.kcp.co.kr", "https://*.kcp.co.kr"},
    }


def test_a_phone_registers_first_and_posts_to_kcp(kcp, recorder):
    gateway = kcp.connect(TEST_CREDENTIALS, http=recorder)
    order = window_order(kcp, order_id="imp2a1", is_mobile=True, app_scheme="myshop")
    page = gateway.open_window(order, TIMEOUT)
    [(_, path, body)] = recorder.sent
    assert (path, body) == (
        "/std/tradeReg/register",
        {
            **SITE,
            "ordr_idxx": "imp2a1",
            "good_mny": "8900",
            "good_name": "월간 이용권",
            "pay_method": "CARD",
            "Ret_URL": RETURN_URL,
            "escw_used": "N",
            "user_agent": "",
        },
    )
    fields = page.params["fields"]
    assert (page.script, page.params["action"]) == (
        None,
        f"{kcp.sandbox.url}/pay/jsp/encodingFilter/encodingFilter.jsp",
    )
    assert (fields["shop_name"], fields["currency"], fields["AppUrl"]) == ("shop.kr", "410", "myshop")
    assert fields["approval_key"] in kcp.sandbox.simulator.trades
    assert "kcp_cert_info" not in json.dumps(page.params)


def test_nothing_secret_reaches_the_page(kcp):
    for is_mobile in (False, True):
        page = json.dumps(opened(kcp, window_order(kcp, is_mobile=is_mobile)).params)
        assert "BEGIN" not in page
        assert "changeit" not in page


@pytest.mark.parametrize(
    ("method", "pc", "mobile", "action"),
    [
        ("card", "100000000000", "CARD", "card"),
        ("trans", "010000000000", "BANK", "acnt"),
        ("vbank", "001000000000", "VCNT", "vcnt"),
        ("phone", "000010000000", "MOBX", "mobx"),
    ],
)
def test_each_method_in_kcps_words(kcp, method, pc, mobile, action):
    assert opened(kcp, window_order(kcp, method)).params["fields"]["pay_method"] == pc
    fields = opened(kcp, window_order(kcp, method, is_mobile=True)).params["fields"]
    assert (fields["pay_method"], fields["ActionResult"]) == (mobile, action)


def fields_of(bench, **kwargs):
    return opened(bench, window_order(bench, **kwargs)).params["fields"]


def test_until_when_to_pay_in(kcp):
    """On PCs in days of Seoul, not in spans of 24 hours."""
    now = datetime(2026, 12, 31, 14, 30, tzinfo=UTC)  # 23:30 in Seoul
    kcp.clock.shift = now - datetime.now(UTC)
    due_at = datetime(2027, 1, 2, 9, 5, 7, tzinfo=KST)
    fields = fields_of(kcp, method="vbank", account_due=due_at)
    assert (fields["vcnt_expire_term"], fields["vcnt_expire_term_time"]) == ("2", "090507")
    assert fields_of(kcp, method="vbank", account_due=due_at, is_mobile=True)["ipgm_date"] == "20270102090507"


@pytest.mark.parametrize(
    ("terms", "sent"),
    [
        ({}, {}),
        ({"quotas": ()}, {"quotaopt": "0"}),
        ({"quotas": (2, 6, 3)}, {"quotaopt": "6"}),
        ({"quota": 3}, {"fix_inst": "03"}),
        ({"card_code": "366"}, {"used_card_YN": "Y", "used_card": "CCLG"}),
        ({"card_code": "374"}, {"used_card_YN": "Y", "used_card": "CCHN"}),
        ({"card_code": "999"}, {}),
        ({"language": "en"}, {"eng_flag": "Y"}),
    ],
)
def test_what_the_page_wishes(kcp, terms, sent):
    fields = fields_of(kcp, amount=60_000, **terms)
    names = ("quotaopt", "fix_inst", "used_card_YN", "used_card", "eng_flag")
    assert {name: fields[name] for name in names if name in fields} == sent


def test_an_amount_that_is_partly_free_of_tax_is_split(kcp):
    fields = fields_of(kcp, tax_free=1000)
    split = [fields[f"comm_{name}_mny"] for name in ("tax", "vat", "free")]
    assert (fields["tax_flag"], *split) == ("TG03", "7182", "718", "1000")


@pytest.mark.parametrize("is_mobile", [False, True])
def test_bypass_changes_nothing_that_money_hangs_on(kcp, is_mobile):
    """V1 has KCP's options at the root."""
    hostile = dict.fromkeys(
        ("good_mny", "ordr_idxx", "site_cd", "Ret_URL", "pay_method", "approval_key", "PayUrl", "res_cd", "enc_data",
         "tax_flag", "comm_free_mny", "currency", "ordr_chk"), "1",
    )  # fmt: skip
    wished = {"shop_user_id": "u-1", "kcp_noint": "N", "kcp_noint_quota": "CCBC-02:03,CCKM-03", "skin_indx": 6}
    plain = fields_of(kcp, is_mobile=is_mobile, order_id="imp3a1")
    fields = fields_of(kcp, is_mobile=is_mobile, order_id="imp3a1", bypass=json.dumps({**hostile, **wished}))
    changed = {name for name in plain.keys() | fields.keys() if plain.get(name) != fields.get(name)}
    assert changed - {"approval_key"} == set(wished)
    assert fields["skin_indx"] == "6"
    assert fields["kcp_noint_quota"] == "CCBC-02:03,CCKM-03"


@pytest.mark.parametrize(
    "bypass", ['{"kcp": {"shop_user_id": "u-2"}, "nice_v2": {"x": 1}}', "[]", '{"kcp": []}', "", "{", "no JSON"]
)
def test_bypass_may_be_under_kcps_name(kcp, bypass):
    fields = fields_of(kcp, bypass=bypass)
    assert fields["shop_user_id"] == ("u-2" if "u-2" in bypass else "member-7")


def test_a_buyer_without_a_name_of_the_shops_has_the_orders(kcp):
    assert fields_of(kcp, customer_id=None, order_id="imp4a1")["shop_user_id"] == "imp4a1"


def test_a_key_that_cannot_be_opened_opens_no_window_and_approves_nothing(kcp, recorder):
    order = window_order(kcp)
    back = authenticated(kcp, order)
    gateway = kcp.connect(with_credentials(private_key_password="x"), http=recorder)
    for result in (gateway.open_window(order, TIMEOUT), gateway.approve(order, back, TIMEOUT)):
        assert (result.reason, result.code) == (R.CHANNEL_REJECTED, "private_key")
    assert recorder.sent == []


# --- registrations that fail --------------------------------------------------------------------------------------


def registered(bench, url):
    return bench.connect(TEST_CREDENTIALS, url).open_window(window_order(bench, is_mobile=True), TIMEOUT)


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/pay/mobileGW.kcp", "https://smpay.kcp.co.kr.evil.example/pay", "http://smpay.kcp.co.kr/pay",
     "https://evil.example/https://smpay.kcp.co.kr/", "https://smpay.kcp.co.kr@evil.example/pay",
     "https://smpay.kcp.co.kr/pay here", ""],
)  # fmt: skip
def test_phones_are_sent_to_kcp_only(kcp, answering, address):
    url = answering(json.dumps({"Code": "0000", "approvalKey": "key", "PayUrl": address}).encode())
    assert isinstance(registered(kcp, url), Unknown)


@pytest.mark.parametrize("host", ["smpay", "rsmpay", "testsmpay"])
def test_any_server_of_kcps_will_do(kcp, answering, host):
    url = answering(
        json.dumps(
            {"Code": "0000", "approvalKey": "k", "PayUrl": f"https://{host}.kcp.co.kr/pay/mobileGW.kcp"}
        ).encode()
    )
    page = registered(kcp, url)
    assert page.params["action"] == f"https://{host}.kcp.co.kr/pay/jsp/encodingFilter/encodingFilter.jsp"


def test_a_registration_that_kcp_refuses(kcp, answering):
    refused = registered(kcp, answering(json.dumps({"Code": "3014", "Message": "등록되지 않은 사이트코드"}).encode()))
    assert (refused.reason, refused.code, refused.message) == (R.CHANNEL_REJECTED, "3014", "등록되지 않은 사이트코드")
    refused = registered(kcp, answering(b'{"Code": "9999"}'))
    assert (refused.reason, refused.code) == (R.NOT_CHARGED, "9999")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"Code": "0000", "PayUrl": "https://smpay.kcp.co.kr/pay/x"}'])
def test_a_registration_that_says_nothing(kcp, answering, body):
    assert isinstance(registered(kcp, answering(body)), Unknown)


def test_faults_of_a_registration(kcp):
    order = window_order(kcp, is_mobile=True)
    kcp.sandbox.fail("window", "http_500")
    result = kcp.gateway.open_window(order, TIMEOUT)
    assert isinstance(result, Unknown)
    assert result.unwell
    assert isinstance(kcp.gateway.open_window(order, 0), NotSent)


# --- what comes back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_mobile", [False, True])
def test_the_buyer_agrees(kcp, is_mobile):
    order = window_order(kcp, is_mobile=is_mobile)
    back = authenticated(kcp, order)
    assert set(back.proof) == {"tran_cd", "enc_data", "enc_info"}
    # KCP can neither be asked by it nor undo anything with it; and it is the buyer's card, encrypted.
    assert back.kept == {}
    assert back.proof["enc_data"] not in repr(back)


@pytest.mark.parametrize("is_mobile", [False, True])
def test_the_buyer_leaves(kcp, is_mobile):
    order = window_order(kcp, is_mobile=is_mobile)
    result = kcp.gateway.read_return(order, visit(kcp, order, "cancel"))
    assert (result.reason, result.code) == (R.BUYER_CANCELLED, "3001")


def test_the_window_fails(kcp):
    order = window_order(kcp)
    result = kcp.gateway.read_return(order, visit(kcp, order, "fail"))
    assert result == Declined(R.NOT_CHARGED, "SB11", "본인 인증에 실패하였습니다.")
    result = kcp.gateway.read_return(order, {"res_cd": "CC61", "res_msg": "한도 초과"})
    assert result == Declined(R.LIMIT_EXCEEDED, "CC61", "한도 초과")


@pytest.mark.parametrize("message", ["", "\ufffd\ufffd \ufffd"])
def test_a_failure_in_another_encoding_still_says_something(kcp, message):
    result = kcp.gateway.read_return(window_order(kcp), {"res_cd": "8112", "res_msg": message})
    assert result.code == "8112"
    assert "8112" in result.message
    assert "\ufffd" not in result.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ordr_idxx", "imp999999999999a1"),
        ("ordr_idxx", ""),
        ("site_cd", "T0000"),
        ("good_mny", "100"),
        ("ordr_chk", "imp999999999999a1|8900"),
        ("ordr_chk", "8900"),
        ("tran_cd", "00300001"),
        ("tran_cd", ""),
        ("enc_data", ""),
        ("enc_data", "a b"),
        ("enc_info", ""),
        ("enc_info", "x" * 20_001),
        ("res_cd", ""),
        ("res_cd", "<b>"),
    ],
)
def test_what_this_orders_window_cannot_have_sent(kcp, field, value):
    order = window_order(kcp)
    fields = {**visit(kcp, order), field: value}
    with pytest.raises(InvalidRequest) as caught:
        kcp.gateway.read_return(order, fields)
    assert caught.value.field == field


@pytest.mark.parametrize("missing", ["site_cd", "good_mny", "ordr_chk"])
def test_what_phones_may_leave_out(kcp, missing):
    order = window_order(kcp)
    fields = {name: text for name, text in visit(kcp, order).items() if name != missing}
    assert isinstance(kcp.gateway.read_return(order, fields), Authenticated)


def test_a_proof_of_another_order_is_useless(kcp):
    mine, other = window_order(kcp), window_order(kcp)
    fields = visit(kcp, other)
    with pytest.raises(InvalidRequest, match="ordr_"):
        kcp.gateway.read_return(mine, fields)
    # ... and if its buyer puts the order's name right, KCP knows better.
    forged = {**fields, "ordr_idxx": mine.order_id, "ordr_chk": f"{mine.order_id}|8900"}
    result = approve(kcp, mine, kcp.gateway.read_return(mine, forged))
    assert not isinstance(result, Approved)
    assert (kcp.books(mine.order_id), kcp.books(other.order_id)) == ([], [])


def test_a_page_that_changes_the_amount_gets_no_approval(kcp):
    order = window_order(kcp)
    simulator = kcp.sandbox.simulator
    entered = simulator.enter({**opened(kcp, order).params["fields"], "good_mny": "100"})
    fields = came_back(kcp, simulator.press(entered.visit_id, "approve"))
    with pytest.raises(InvalidRequest):
        kcp.gateway.read_return(order, fields)
    forged = {**fields, "good_mny": "8900", "ordr_chk": f"{order.order_id}|8900"}
    result = approve(kcp, order, kcp.gateway.read_return(order, forged))
    assert (result.reason, result.code) == (R.INVALID_REQUEST, "8059")
    assert kcp.books(order.order_id) == []


# --- the approval -------------------------------------------------------------------------------------------------


def test_what_the_approval_says(kcp, recorder):
    order = window_order(kcp, order_id="imp5a1")
    back = authenticated(kcp, order)
    assert isinstance(kcp.connect(TEST_CREDENTIALS, http=recorder).approve(order, back, TIMEOUT), Approved)
    assert recorder.sent == [
        (
            "POST",
            "/gw/enc/v1/payment",
            {**SITE, **back.proof, "ordr_no": "imp5a1", "ordr_mony": "8900", "pay_type": "PACA"},
        )
    ]


@pytest.mark.parametrize("is_mobile", [False, True])
def test_a_card(kcp, is_mobile):
    order, result = pay(kcp, is_mobile=is_mobile)
    assert result.amount == result.balance == Money(8900)
    assert re.fullmatch(r"\d{14}", result.gateway_ref)
    assert result.card.code == "365"
    assert result.card.number == "536148******5671"
    assert (result.bank_code, result.account, result.easy_pay) == (None, None, None)
    assert kcp.money_taken(order.order_id) == 8900
    assert find(kcp, order, result) == replace(result, card=replace(result.card, code=None, issuer_code=None,
        publisher_code=None, type=None))  # fmt: skip


@pytest.mark.parametrize(("method", "bank"), [("trans", "088"), ("phone", None)])
def test_transfers_and_phone_bills(kcp, method, bank):
    order, result = pay(kcp, method)
    assert (result.bank_code, result.card, result.amount) == (bank, None, Money(8900))
    assert find(kcp, order, result, method) == result
    part = kcp.cancel_request(order.order_id, result, 900, pay_method=method)
    assert isinstance(kcp.gateway.cancel(part, TIMEOUT), Cancelled)
    left = find(kcp, order, result, method)
    assert (left.balance, [cancel.amount for cancel in left.cancels]) == (Money(8000), [Money(900)])
    rest = kcp.cancel_request(order.order_id, result, 8000, 8000, pay_method=method)
    assert kcp.gateway.cancel(rest, TIMEOUT).balance == Money(0)
    assert kcp.money_taken(order.order_id) == 0


@pytest.mark.parametrize(
    ("method", "pay_type"), [("card", "PACA"), ("trans", "PABK"), ("vbank", "PAVC"), ("phone", "PAMC")]
)
def test_a_query_names_the_method_and_signs_it(kcp, recorder, method, pay_type):
    query = ChargeQuery("imp1a1", Money(8900), kcp.clock.now(), "20260101000001", method)
    kcp.connect(TEST_CREDENTIALS, http=recorder).find_charge(query, TIMEOUT)
    [(_, path, body)] = recorder.sent
    assert (path, body["pay_type"]) == ("/std/inquery", pay_type)
    assert signed_text(body) == f"A52Q7^20260101000001^{pay_type}"


def test_a_proof_serves_once(kcp):
    order = window_order(kcp)
    back = authenticated(kcp, order)
    assert isinstance(approve(kcp, order, back), Approved)
    assert isinstance(approve(kcp, order, back), Unknown)  # "used already": by whom, and what came of it?
    assert kcp.money_taken(order.order_id) == 8900


def test_a_card_that_is_declined(kcp):
    order = window_order(kcp)
    result = approve(kcp, order, authenticated(kcp, order, "approve-no-funds"))
    assert (result.reason, result.code) == (R.INSUFFICIENT_FUNDS, "CC10")
    assert kcp.money_taken(order.order_id) == 0


@pytest.mark.parametrize("fault", ["reply_lost", "garbage"])
def test_a_lost_reply_stays_unknown(kcp, fault):
    """KCP told its number in that reply, and nothing else can be asked or undone by: a person has to look."""
    order = window_order(kcp)
    back = authenticated(kcp, order)
    kcp.sandbox.fail("charge", fault)
    assert isinstance(approve(kcp, order, back), Unknown)
    assert kcp.money_taken(order.order_id) == 8900
    assert isinstance(kcp.find(order.order_id), Unknown)
    assert not adapter.SPEC.settles_alone
    assert adapter.SPEC.windows.net_cancel_window is None


def test_faults_of_an_approval(kcp):
    order = window_order(kcp)
    back = authenticated(kcp, order)
    kcp.sandbox.fail("charge", "http_500")
    assert isinstance(approve(kcp, order, back), Unknown)
    kcp.sandbox.fail("charge", "decline")
    assert approve(kcp, order, back).reason is R.LIMIT_EXCEEDED
    assert kcp.money_taken(order.order_id) == 0


@pytest.mark.parametrize("method", METHODS)
def test_another_amount_is_told_as_it_is(kcp, method):
    order = window_order(kcp, method)
    back = authenticated(kcp, order)
    kcp.sandbox.fail("charge", "wrong_amount")
    assert approve(kcp, order, back).amount == Money(8901)


PAID = {
    "res_cd": "0000",
    "tno": "20260101000001",
    "order_no": "imp6a1",
    "amount": "8900",
    "pay_method": "PACA",
    "app_time": "20260101120000",
}


def answered(bench, answering, method="card", **changes):
    order = window_order(bench, method, order_id="imp6a1")
    url = answering(json.dumps({name: text for name, text in {**PAID, **changes}.items() if text is not None}).encode())
    return bench.connect(TEST_CREDENTIALS, url).approve(order, Authenticated({"enc_data": "x"}), TIMEOUT)


@pytest.mark.parametrize(
    "changes",
    [
        {"order_no": "imp7a1"},
        {"order_no": None},
        {"tno": None},
        {"tno": ""},
        {"amount": None},
        {"amount": "0"},
        {"pay_method": None},
        {"pay_method": "PAVC"},  # an account was issued, and nothing paid
        {"pay_method": "PABK"},
        {"res_cd": "8128"},
        {"res_cd": "9999"},
        {"res_cd": "ZZZZ"},
        {"res_cd": "CC61", "app_no": "00000001"},
    ],
)
def test_no_yes_about_this_order(kcp, answering, changes):
    assert isinstance(answered(kcp, answering, **changes), Unknown)


@pytest.mark.parametrize("changes", [{"order_no": "imp7a1"}, {"pay_method": "PAVC"}])
def test_a_person_gets_kcps_number_of_what_is_not_ours(kcp, answering, changes):
    assert PAID["tno"] in answered(kcp, answering, **changes).detail


@pytest.mark.parametrize(
    ("changes", "wallet"),
    [
        ({}, None),
        ({"card_other_pay_type": "OT12"}, "payco"),
        ({"card_other_pay_type": "OT13"}, "kakaopay"),
        ({"card_other_pay_type": "OT16"}, "naverpay"),
        ({"card_other_pay_type": "OT23"}, "tosspay"),
        ({"card_other_pay_type": "OT21"}, "applepay"),
        ({"card_other_pay_type": "OT01"}, "samsungpay"),
        ({"card_other_pay_type": "OT99"}, None),
        ({"pay_method": "PAKM"}, "kakaopay"),
        ({"pay_method": "PANP"}, "naverpay"),
    ],
)
def test_wallets(kcp, answering, changes, wallet):
    result = answered(kcp, answering, **changes)
    assert isinstance(result, Approved)
    assert result.easy_pay == wallet


@pytest.mark.parametrize(
    ("code", "bank"),
    [("BK04", "004"), ("BK88", "088"), ("88", "088"), ("088", "088"), ("BK05", "081"), ("BK26", "088"), ("BK99", None),
     ("", None), ("신한", None)],
)  # fmt: skip
def test_banks(kcp, answering, code, bank):
    result = answered(kcp, answering, "trans", pay_method="PABK", bank_code=code)
    assert result.bank_code == bank


@pytest.mark.parametrize("code", sorted(adapter.DECLINES))
def test_every_code_that_means_no(kcp, code):
    order = window_order(kcp)
    back = authenticated(kcp, order)
    kcp.sandbox.fail("charge", "decline", code=code)
    result = approve(kcp, order, back)
    assert (result.reason, result.code) == (adapter.DECLINES[code], code)


@pytest.mark.parametrize("code", sorted({*adapter.UNKNOWN_CODES, *adapter.CANCEL_DECLINES} - {"0000"}))
def test_every_code_that_leaves_it_open(kcp, code):
    order = window_order(kcp)
    back = authenticated(kcp, order)
    kcp.sandbox.fail("charge", "decline", code=code)
    assert isinstance(approve(kcp, order, back), Unknown)


def test_proofs_and_keys_stay_out_of_the_logs(kcp, everything_logged):
    order = window_order(kcp, is_mobile=True)
    back = authenticated(kcp, order)
    kcp.sandbox.fail("charge", "garbage")
    result = approve(kcp, order, back)
    for secret in (*back.proof.values(), "BEGIN CERTIFICATE", "changeit"):
        assert secret == "00100000" or secret not in everything_logged.text + repr(result) + repr(back)


# --- virtual accounts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_mobile", [False, True])
def test_an_account_waits_and_is_paid_into(kcp, is_mobile):
    due_at = kcp.clock.now() + timedelta(days=7)
    order, issued = pay(kcp, "vbank", account_due=due_at, is_mobile=is_mobile)
    assert issued.amount == Money(8900)
    assert (issued.account.bank_code, issued.account.holder) == ("088", "한국사이버결제")
    assert issued.account.number == kcp.sandbox.simulator.books.any_of(order.order_id).details["number"]
    assert abs(issued.account.due_at - due_at) < timedelta(seconds=2)
    assert issued.notice_secret is None
    assert find(kcp, order, issued, "vbank") == issued
    assert kcp.money_taken(order.order_id) == 0
    kcp.clock.shift += timedelta(hours=3)
    notice = kcp.gateway.read_deposit_notice(kcp.sandbox.deposit(order.order_id))
    assert (notice.order_id, notice.gateway_ref, notice.secret) == (order.order_id, issued.gateway_ref, None)
    paid = find(kcp, order, issued, "vbank")
    assert isinstance(paid, Approved)
    assert (paid.amount, paid.balance, paid.account) == (Money(8900), Money(8900), issued.account)
    assert paid.card is None
    assert paid.approved_at - issued.account.issued_at >= timedelta(hours=2)


def test_a_deposit_that_the_bank_takes_back_waits_again(kcp):
    order, issued = account_of(kcp)
    kcp.sandbox.deposit(order.order_id)
    notice = kcp.sandbox.deposit(order.order_id, reverse=True)
    assert notice["op_cd"] == "13"
    assert kcp.gateway.read_deposit_notice(notice).order_id == order.order_id
    assert find(kcp, order, issued, "vbank") == issued


def test_an_account_that_is_due_looks_as_before(kcp):
    """So the router's own clock has to end it."""
    order, issued = account_of(kcp)
    kcp.clock.shift += timedelta(days=8)
    assert kcp.books(order.order_id)[0]["state"] == "expired"
    assert find(kcp, order, issued, "vbank") == issued
    rules = adapter.SPEC.virtual_accounts
    assert (rules.tells_expiry, rules.revocable, rules.banks) == (False, False, frozenset())


def test_a_deposit_is_refunded_to_an_account(kcp, recorder):
    order, issued = account_of(kcp)
    kcp.sandbox.deposit(order.order_id)
    gateway = kcp.connect(TEST_CREDENTIALS, http=recorder)
    request = kcp.cancel_request(order.order_id, issued, 900, 8900, pay_method="vbank", refund_to=REFUND_TO)
    assert isinstance(gateway.cancel(request, TIMEOUT), Cancelled)
    body = recorder.sent[0][2]
    sent = (
        "mod_type",
        "mod_sub_type",
        "mod_comp_type",
        "mod_bankcode",
        "mod_account",
        "mod_depositor",
        "mod_mny",
        "rem_mny",
    )
    assert [body[name] for name in sent] == [
        "STPD", "MDSC03", "MDCP01", "BK88", "110123456789", "홍길동", "900", "8900",
    ]  # fmt: skip
    assert signed_text(body) == f"A52Q7^{issued.gateway_ref}^STPD"
    assert find(kcp, order, issued, "vbank").balance == Money(8000)
    assert refund(kcp, order, issued, 8000, 8000).balance == Money(0)
    assert find(kcp, order, issued, "vbank").balance == Money(0)


def test_a_whole_deposit_is_refunded_and_stays_so(kcp):
    order, issued = account_of(kcp)
    kcp.sandbox.deposit(order.order_id)
    assert isinstance(refund(kcp, order, issued), Cancelled)
    assert isinstance(refund(kcp, order, issued), Unknown)  # "already": the balance tells
    found = find(kcp, order, issued, "vbank")
    assert (found.amount, found.balance, len(found.cancels)) == (Money(8900), Money(0), 1)


def test_a_part_that_is_partly_free_of_tax_is_refunded_as_such(kcp):
    order, issued = account_of(kcp)
    kcp.sandbox.deposit(order.order_id)
    assert isinstance(refund(kcp, order, issued, 900, tax_free=100), Cancelled)


@pytest.mark.parametrize(
    "refund_to",
    [
        None,
        RefundAccount("홍길동", "088", None),
        RefundAccount("홍길동", "999", "110"),
        RefundAccount(" <> ", "088", "110"),
    ],
)
def test_a_refund_needs_somebody_to_go_to(kcp, recorder, refund_to):
    order, issued = account_of(kcp)
    kcp.sandbox.deposit(order.order_id)
    gateway = kcp.connect(TEST_CREDENTIALS, http=recorder)
    request = kcp.cancel_request(order.order_id, issued, 8900, 8900, pay_method="vbank", refund_to=refund_to)
    result = gateway.cancel(request, TIMEOUT)
    assert (result.reason, result.code) == (R.INVALID_REQUEST, "refund_account")
    assert recorder.sent == []


def test_nothing_is_refunded_that_was_not_paid_in(kcp):
    order, issued = account_of(kcp)
    assert not isinstance(refund(kcp, order, issued), Cancelled)


ACCOUNT = {
    **PAID,
    "pay_method": "PAVC",
    "bankcode": "BK88",
    "account": "T1",
    "va_date": "20260108235959",
    "rem_mny": "8900",
    "shop_status": "STSR",
    "ipgm_mnyx": "8900",
    "ipgm_time": "20260102090000",
}


def asked(bench, answering, **changes):
    body = {name: text for name, text in {**ACCOUNT, **changes}.items() if text is not None}
    query = ChargeQuery("imp6a1", Money(8900), bench.clock.now(), "20260101000001", "vbank")
    return bench.connect(TEST_CREDENTIALS, answering(json.dumps(body).encode())).find_charge(query, TIMEOUT)


@pytest.mark.parametrize(
    "changes",
    [
        {"ipgm_mnyx": None},  # "approved" may mean "issued": only a deposit that is named is one
        {"ipgm_mnyx": ""},
        {"ipgm_mnyx": "0"},
        {"rem_mny": None},
        {"rem_mny": "100"},
        {"shop_status": None},
        {"shop_status": "STIR"},
        {"shop_status": "STXX"},
        {"ipgm_mnyx": None, "shop_status": "STIR", "account": None},
        {"ipgm_mnyx": None, "shop_status": "STIR", "va_date": "soon"},
        {"order_no": "imp7a1"},
        {"tno": "20260101000002"},
    ],
)
def test_an_account_that_is_not_clearly_paid_is_not_paid(kcp, answering, changes):
    assert isinstance(asked(kcp, answering, **changes), Unknown)


def test_what_was_paid_in_is_told_as_it_is(kcp, answering):
    """Unless the contract says otherwise, KCP takes any amount."""
    assert asked(kcp, answering).amount == Money(8900)
    other = asked(kcp, answering, ipgm_mnyx="5000", rem_mny="5000")
    assert (other.amount, other.balance) == (Money(5000), Money(5000))


def test_an_approval_without_an_account_is_none(kcp, answering):
    for missing in ("account", "va_date"):
        changes = {"pay_method": "PAVC", "account": "T1", "va_date": "20260108235959", missing: None}
        assert isinstance(answered(kcp, answering, "vbank", **changes), Unknown)
    assert isinstance(answered(kcp, answering, "vbank"), Unknown)
    issued = answered(kcp, answering, "vbank", pay_method="PAVC", account="T1", va_date="20260108235959")
    assert isinstance(issued, AwaitingDeposit)


# --- notices ------------------------------------------------------------------------------------------------------

NOTICE = {"site_cd": "A52Q7", "tno": "20260101000001", "order_no": "imp6a1", "tx_cd": "TX00"}


def test_notices_name_order_and_number(kcp):
    for kind in ("TX00", "TX01", "TX07"):
        notice = kcp.gateway.read_deposit_notice({**NOTICE, "tx_cd": kind})
        assert (notice.order_id, notice.gateway_ref, notice.secret) == ("imp6a1", "20260101000001", None)


@pytest.mark.parametrize("kind", ["TX02", "TX03", "TX05", "TX06", "TX08", "", None])
def test_other_notices_need_nothing(kcp, kind):
    assert kcp.gateway.read_deposit_notice({**NOTICE, "tx_cd": kind}) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"site_cd": OTHER_CREDENTIALS["site_cd"]}, "site_cd"),
        ({"site_cd": None}, "site_cd"),
        ({"tno": ""}, "tno"),
        ({"tno": 1}, "tno"),
        ({"order_no": None}, "tno"),
    ],
)
def test_what_is_no_notice_to_this_channel(kcp, changes, field):
    with pytest.raises(InvalidRequest) as caught:
        kcp.gateway.read_deposit_notice({**NOTICE, **changes})
    assert caught.value.field == field


def test_kcp_reads_the_answer_that_the_router_gives(kcp):
    assert re.search(kcp.sandbox.simulator.notice_wants, adapter.SPEC.notice_reply)


# --- the simulator is as strict as KCP ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_mobile", "changes"),
    [
        (False, {"site_cd": "XXXXX"}),
        (False, {"good_mny": "0"}),
        (False, {"good_name": "a&b"}),
        (False, {"currency": "410"}),
        (False, {"pay_method": "CARD"}),
        (False, {"ordr_idxx": "imp-1"}),
        (False, {"enc_data": None}),
        (True, {"good_mny": "100"}),
        (True, {"approval_key": "x"}),
        (True, {"Ret_URL": "https://evil.example/"}),
        (True, {"encoding_trans": None}),
        (True, {"ActionResult": "vcnt"}),
    ],
)
def test_the_window_refuses(kcp, is_mobile, changes):
    fields = {**fields_of(kcp, is_mobile=is_mobile), **changes}
    with pytest.raises(Refusal):
        kcp.sandbox.simulator.enter({name: text for name, text in fields.items() if text is not None})


def test_a_phone_bill_needs_a_name(kcp):
    with pytest.raises(Refusal):
        kcp.sandbox.simulator.enter(fields_of(kcp, method="phone", buyer=Buyer()))
    order = window_order(kcp, "phone", buyer=Buyer())
    assert adapter.SPEC.window_objections(order.request, order.terms, kcp.clock.now())
