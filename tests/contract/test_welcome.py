"""What only Welcome Payments does, and what its simulator insists on."""

import base64
import hashlib
import json
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
import urllib3
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from chalicelib.domain.charging import (
    Approved,
    Buyer,
    Cancelled,
    CardSummary,
    Declined,
    KeyDeleted,
    KeyIssued,
    NotSent,
    Operation,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.institutions import CARDS
from chalicelib.domain.money import Money
from chalicelib.gateways import welcome as module
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.welcome import CARD_CODES, SPEC, _sign
from chalicelib.ports import UnsupportedOperation
from infra.sandbox.welcome import OTHER_CREDENTIALS, TEST_CREDENTIALS, sign
from tests.contract.conftest import CARD, TIMEOUT

MID = TEST_CREDENTIALS["mid"]


@pytest.fixture
def welcome(connect):
    return connect("welcome")


class Watched(HttpClient):
    """Keeps what was sent, as the gateway reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = []

    def send(self, method, url, *, body, **given):
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        self.sent.append(("/" + url.split("/", 3)[3], form))
        return super().send(method, url, body=body, **given)


@pytest.fixture
def sent(welcome):
    """sent(call): path and form of what the call, a function of a gateway, has sent."""

    def watch(call, credentials=TEST_CREDENTIALS):
        http = Watched()
        result = call(welcome.connect(credentials, http=http))
        assert isinstance(result, Approved | Cancelled | KeyIssued | KeyDeleted), result
        return http.sent[0]

    return watch


@pytest.fixture
def answered(welcome, answering):
    """answered(**fields): what the adapter makes of a charge that is answered so."""

    def charge(**fields):
        gateway = welcome.connect(TEST_CREDENTIALS, answering(json.dumps(fields).encode()))
        return gateway.charge_billing_key(welcome.order_id(), welcome.request(), {"billkey": "B1"}, TIMEOUT)

    return charge


def paid(welcome):
    order_id, approved = welcome.charge()
    assert isinstance(approved, Approved)
    return order_id, approved


def decrypted(text, credentials=TEST_CREDENTIALS):
    key, mask = credentials["api_key"].encode(), credentials["api_iv"].encode()
    decryptor, unpadder = Cipher(algorithms.AES(key), modes.CBC(mask)).decryptor(), padding.PKCS7(128).unpadder()
    padded = decryptor.update(base64.b64decode(text)) + decryptor.finalize()
    return (unpadder.update(padded) + unpadder.finalize()).decode()


# --- signatures -------------------------------------------------------------------------------------------------


def test_a_signature_covers_names_and_values_in_the_manuals_order():
    mkey = "2738acbc59bae7bb10222c21053df65e1bd6ac3b7bbb4c08d4971182f696c4d6"
    text = f"mid=welcometst&mkey={mkey}&oid=oid1&price=1004&timestamp=20240102030405"
    value = hashlib.sha256(text.encode()).hexdigest()
    assert value == "da6c54572bb143c3ac120040e2c3568bea632a9208b9e6398d972daf54a03bb3"
    fields = {"mid": "welcometst", "mkey": mkey, "oid": "oid1", "price": "1004", "timestamp": "20240102030405"}
    assert _sign(fields) == value
    assert sign("SIGNKEY", "welcometst", {"oid": "oid1", "price": "1004"}, "20240102030405") == value


def test_an_issue_is_signed_over_the_plain_card_number(welcome, sent):
    request = welcome.issue_request()
    _, form = sent(lambda gateway: gateway.issue_billing_key(request, CARD, TIMEOUT))
    assert form["signature"] == sign(TEST_CREDENTIALS["sign_key"], MID, {"cardNumber": CARD.number}, form["timestamp"])
    assert CARD.number not in form.values()
    assert decrypted(form["cardNumber"]) == CARD.number


# --- what is sent -----------------------------------------------------------------------------------------------


def test_a_charge_says_what_welcome_wants_to_know(welcome, sent):
    secret, order_id = welcome.key(), welcome.order_id()
    buyer = Buyer("홍길동" * 10, f"{'x' * 40}@shop.kr", "010-1234-5678")
    request = welcome.request(60_000, quota=3, interest_free_by_merchant=True, buyer=buyer, name="가" * 50)
    path, form = sent(lambda gateway: gateway.charge_billing_key(order_id, request, secret, TIMEOUT))
    assert path == "/billing/billpay"
    assert len(form.pop("timestamp")) == 14
    assert len(form.pop("signature")) == 64
    assert form == {
        "mid": MID,
        "oid": order_id,
        "price": "60000",
        "goodsName": "가" * 26,
        "cardQuota": "03",
        "quotaInterest": "1",
        "buyerName": "홍길동" * 3 + "홍",
        "buyerTel": "010-1234-5678",
        "billkey": secret["billkey"],
    }


@pytest.mark.parametrize(
    ("stated", "shares"),
    [
        ({}, {}),
        ({"tax_free": 900}, {"taxfree": "900"}),
        ({"vat": 0}, {"tax": "0"}),
        ({"tax_free": 900, "vat": 500}, {"tax": "500", "taxfree": "900"}),
    ],
)
def test_tax_is_stated_where_the_merchant_does(welcome, sent, stated, shares):
    order_id, approved = paid(welcome)
    request, cancel = welcome.request(**stated), welcome.cancel_request(order_id, approved, 900, **stated)
    calls = [
        lambda gateway: gateway.charge_card(welcome.order_id(), request, CARD, TIMEOUT),
        lambda gateway: gateway.cancel(cancel, TIMEOUT),
    ]
    for call in calls:
        _, form = sent(call)
        assert {name: form[name] for name in ("tax", "taxfree") if name in form} == shares


@pytest.mark.parametrize("quota", [0, 1])
def test_one_payment_bears_no_interest(welcome, sent, quota):
    request = welcome.request(quota=quota, interest_free_by_merchant=True)
    _, form = sent(lambda gateway: gateway.charge_card(welcome.order_id(), request, CARD, TIMEOUT))
    assert (form["cardQuota"], form["quotaInterest"]) == ("00", "0")


def test_birth_and_password_go_out_only_where_the_contract_asks_for_them(welcome, sent):
    def charge(gateway):
        return gateway.charge_card(welcome.order_id(), welcome.request(), CARD, TIMEOUT)

    def issue(gateway):
        return gateway.issue_billing_key(welcome.issue_request(), CARD, TIMEOUT)

    for call, path in ((charge, "/noauth/pay/card"), (issue, "/noauth/billkey/card")):
        asked, form = sent(call)
        assert asked == path
        assert not {"registNo", "passwd"} & set(form)
    for call, path in ((charge, "/noauth/pay/card"), (issue, "/billing/billkey/card")):
        asked, form = sent(call, OTHER_CREDENTIALS)
        assert asked == path
        assert [decrypted(form[name], OTHER_CREDENTIALS) for name in ("registNo", "passwd")] == ["880217", "37"]


@pytest.mark.parametrize(
    ("card", "customer", "missing"),
    [
        ({"birth": None}, {}, "birth"),
        ({"password_2digits": None}, {}, "pwd_2digit"),
        ({}, {"name": None}, "customer_name"),
    ],
)
def test_what_an_issue_cannot_do_without(welcome, card, customer, missing):
    request = welcome.issue_request()
    request = replace(request, customer=replace(request.customer, **customer))
    issue = welcome.connect(OTHER_CREDENTIALS).issue_billing_key
    result = issue(request, replace(CARD, **card), TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.reason, result.code) == (R.INVALID_REQUEST, missing)
    assert isinstance(issue(welcome.issue_request(), CARD, TIMEOUT), KeyIssued)


def test_a_contract_without_the_option_may_not_leave_them_out(welcome):
    """Why the option has to be told: Welcome refuses what its contract does not have."""
    order_id = welcome.order_id()
    bold = welcome.connect({**OTHER_CREDENTIALS, "noauth": "Y"})
    issued = bold.issue_billing_key(welcome.issue_request(), CARD, TIMEOUT)
    assert isinstance(issued, Declined)
    assert issued.reason is R.CHANNEL_REJECTED
    assert not isinstance(bold.charge_card(order_id, welcome.request(), CARD, TIMEOUT), Approved)
    assert welcome.books(order_id) == []


@pytest.mark.parametrize("wrong", [{"api_key": "short"}, {"api_iv": "short"}, {"api_key": "가" * 32}, {"api_iv": ""}])
def test_keys_that_cannot_encrypt_are_the_channels_fault(welcome, wrong):
    gateway = welcome.connect({**TEST_CREDENTIALS, **wrong})
    for result in (
        gateway.charge_card(welcome.order_id(), welcome.request(), CARD, TIMEOUT),
        gateway.issue_billing_key(welcome.issue_request(), CARD, TIMEOUT),
    ):
        assert isinstance(result, Declined)
        assert result.reason is R.CHANNEL_REJECTED


def test_a_part_names_what_will_be_left(welcome, sent):
    order_id, approved = paid(welcome)
    for amount, balance in ((900, 8900), (8000, 8000)):
        request = welcome.cancel_request(order_id, approved, amount, balance)
        path, form = sent(lambda gateway, request=request: gateway.cancel(request, TIMEOUT))
        assert path == "/cancel/repay"
        assert (form["cancelPrice"], form["confirmPrice"]) == (str(amount), str(balance - amount))
    assert welcome.money_taken(order_id) == 0


def test_a_whole_cancel_is_no_part(welcome, sent):
    order_id, approved = paid(welcome)
    request = welcome.cancel_request(order_id, approved, 8900)
    path, form = sent(lambda gateway: gateway.cancel(request, TIMEOUT))
    assert (path, form["price"], form["payType"], form["currency"]) == ("/cancel/cancel", "8900", "card", "WON")


def test_a_part_that_is_sent_again_gives_nothing_back(welcome):
    order_id, approved = paid(welcome)
    request = welcome.cancel_request(order_id, approved, 900)
    first, second = (welcome.gateway.cancel(request, TIMEOUT) for _ in range(2))
    assert isinstance(first, Cancelled)
    assert first.balance == Money(8000)
    assert isinstance(second, Unknown)  # "too much" is what it says, and it is the first that took it
    assert welcome.money_taken(order_id) == 8000


def test_no_cancel_by_order_id(welcome):
    order_id, approved = paid(welcome)
    with pytest.raises(UnsupportedOperation):
        welcome.gateway.cancel(replace(welcome.cancel_request(order_id, approved, 8900), gateway_ref=""), TIMEOUT)


def test_what_routing_refuses_beforehand(welcome):
    def objections(**changes):
        request = replace(welcome.request(), **changes)
        return [text.partition(":")[0] for text in SPEC.objections(Operation.CHARGE_CARD, request)]

    assert objections() == objections(merchant_uid="order-1_2") == []
    assert objections(merchant_uid="주문1") == objections(merchant_uid="x" * 41) == ["merchant_uid"]
    assert objections(amount=Money(100, "USD")) == ["currency"]
    assert objections(buyer=Buyer()) == ["buyer_name"]


# --- what is answered -------------------------------------------------------------------------------------------

SUCCESS = {"ResultCode": "00", "ResultMsg": "정상", "tid": "tid-1", "Price": "8900"}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, Approved),
        ({"Price": 8900}, Approved),
        ({"PayDate": "yesterday", "ApplNum": 7}, Approved),
        ({"Price": None}, Unknown),
        ({"Price": None, "ResultMsg": "한도 확인 후 승인"}, Unknown),
        ({"Price": "8900.5"}, Unknown),
        ({"tid": ""}, Unknown),
        ({"tid": None}, Unknown),
        ({"ResultCode": "0"}, Unknown),
        ({"ResultCode": "0000"}, Unknown),
        ({"ResultCode": None}, Unknown),
    ],
)
def test_each_reply(answered, changes, kind):
    answer = {name: value for name, value in (SUCCESS | changes).items() if value is not None}
    assert isinstance(answered(**answer), kind)


def test_success_needs_http_200(welcome, answering):
    gateway = welcome.connect(TEST_CREDENTIALS, answering(json.dumps(SUCCESS).encode(), "400 Bad Request"))
    result = gateway.charge_billing_key(welcome.order_id(), welcome.request(), {"billkey": "B1"}, TIMEOUT)
    assert isinstance(result, Unknown)


def test_an_approval_is_read_whole(answered):
    approved = answered(**SUCCESS, PayDate="20261123", PayTime="235959", ApplNum="00012345", CardResultCode="14")
    assert approved.approved_at.isoformat() == "2026-11-23T23:59:59+09:00"
    assert (approved.gateway_ref, approved.approval_number, approved.amount) == ("tid-1", "00012345", Money(8900))
    assert approved.card == CardSummary(name="신한카드", code="366", issuer_code="366", issuer_name="신한카드")
    assert answered(**SUCCESS).card is None


def test_a_key_in_knows_its_card(welcome):
    _, approved = paid(welcome)
    assert (approved.card.name, approved.card.number) == ("삼성카드", CARD.masked)


def test_card_companies_are_those_of_the_clearing_house():
    assert set(CARD_CODES.values()) <= set(CARDS)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("분실 카드", R.LOST_OR_STOLEN),
        ("도난 신고된 카드", R.LOST_OR_STOLEN),
        ("잔액부족", R.INSUFFICIENT_FUNDS),
        ("한도초과", R.LIMIT_EXCEEDED),
        ("유효기간 경과", R.EXPIRED_CARD),
        ("비밀번호 오류", R.CARD_CHECK_FAILED),
        ("카드번호 오류", R.INVALID_CARD_NUMBER),
        ("거래정지 카드", R.CARD_BLOCKED),
        ("카드사 거절", R.ISSUER_DECLINED),
        ("할부 개월수 오류", R.INSTALLMENT_NOT_ALLOWED),
        ("삭제된 빌키", R.BILLING_KEY_INVALID),
        ("빌키가 존재하지 않습니다", R.BILLING_KEY_INVALID),
        ("등록되지 않은 상점", R.CHANNEL_REJECTED),
        ("서명 검증 실패", R.CHANNEL_REJECTED),
    ],
)
def test_a_refusal_that_says_why_is_one(answered, message, reason):
    result = answered(ResultCode="01", ResultMsg=message)
    assert isinstance(result, Declined)
    assert (result.reason, result.code, result.message) == (reason, "01", message)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "실패",
        "시스템 오류. 상점에 문의하세요",
        "빌키 승인 실패",
        "할부 결제 실패",
        "이미 처리된 주문번호",
        "카드사 응답 지연 (거절)",
        "한도 조회 시간 초과",
        "카드번호 5361-48**-****-5671 결제 실패",
        "정상승인 (잔액 5,000원)",
        "한도" + "." * 400 + "시간 초과",
        "중복 요청으로 거절",
    ],
)
def test_a_refusal_that_leaves_it_open_is_unknown(answered, caplog, message):
    result = answered(ResultCode="01", ResultMsg=message)
    assert isinstance(result, Unknown)
    assert (result.code, result.unwell) == ("01", False)
    assert "'01'" in caplog.text


@pytest.mark.parametrize(("number", "kind"), [("00012345", Unknown), ("", Declined), ("00000000", Declined)])
def test_a_refusal_with_an_approval_number_is_none(answered, number, kind):
    assert isinstance(answered(ResultCode="01", ResultMsg="한도초과", ApplNum=number), kind)


def test_a_code_that_somebody_adds_counts(answered, monkeypatch):
    """Welcome's table is there for who has it."""
    monkeypatch.setattr(module, "DECLINES", {"77": R.EXPIRED_CARD})
    assert answered(ResultCode="77", ResultMsg="실패") == Declined(R.EXPIRED_CARD, "77", "실패")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("존재하지 않는 빌키", KeyDeleted),
        ("이미 삭제된 빌링키", KeyDeleted),
        ("빌키가 없습니다", KeyDeleted),
        ("없는 빌키", KeyDeleted),
        ("삭제할 수 없는 빌키", Unknown | Declined),
        ("삭제할 수없는 빌키", Unknown | Declined),
        ("삭제되지 않은 빌키", Unknown | Declined),
        ("빌키 오류", Unknown | Declined),
        ("실패", Unknown),
    ],
)
def test_only_a_key_that_is_not_there_was_deleted(welcome, answering, message, kind):
    gateway = welcome.connect(
        TEST_CREDENTIALS, answering(json.dumps({"ResultCode": "01", "ResultMsg": message}).encode())
    )
    assert isinstance(gateway.delete_billing_key(welcome.order_id(), {"billkey": "B1"}, TIMEOUT), kind)


def cancel_answer(welcome, order_id, approved, **changes):
    answer = {"ResultCode": "00", "Mid": MID, "Tid": approved.gateway_ref, "C_Tid": "RP1", "Price": "900"} | changes
    return json.dumps({name: value for name, value in answer.items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, Cancelled),
        ({"RmainPrice": "8000", "CancelDate": "20261123", "CancelTime": "120000"}, Cancelled),
        ({"C_Tid": None}, Cancelled),
        ({"Price": "901"}, Unknown),
        ({"Price": None}, Unknown),
        ({"Tid": "another"}, Unknown),
        ({"Tid": None}, Unknown),
        ({"Moid": "another"}, Unknown),
        ({"ResultCode": "0000"}, Unknown),
        ({"ResultCode": "01", "ResultMsg": "이미 취소된 거래"}, Unknown),
        ({"ResultCode": "01", "ResultMsg": "실패"}, Unknown),
        ({"ResultCode": "01", "ResultMsg": "취소금액 초과"}, Unknown),
        ({"ResultCode": "01", "ResultMsg": "취소 한도 초과로 거절"}, Unknown),
        ({"ResultCode": "01", "ResultMsg": "등록되지 않은 가맹점"}, Declined),
    ],
)
def test_each_reply_to_a_cancel(welcome, answering, changes, kind):
    order_id, approved = paid(welcome)
    gateway = welcome.connect(TEST_CREDENTIALS, answering(cancel_answer(welcome, order_id, approved, **changes)))
    assert isinstance(gateway.cancel(welcome.cancel_request(order_id, approved, 900), TIMEOUT), kind)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"ResultCode": "00"}, KeyDeleted),
        ({"ResultCode": "01", "ResultMsg": "존재하지 않는 빌키"}, KeyDeleted),
        ({"ResultCode": "01", "ResultMsg": "이미 삭제된 빌키입니다"}, KeyDeleted),
        ({"ResultCode": "01", "ResultMsg": "빌키 삭제 실패"}, Unknown),
        ({"ResultCode": "01", "ResultMsg": "등록되지 않은 가맹점"}, Declined),
        ({}, Unknown),
    ],
)
def test_each_reply_to_a_deletion(welcome, answering, answer, kind):
    gateway = welcome.connect(TEST_CREDENTIALS, answering(json.dumps(answer).encode()))
    assert isinstance(gateway.delete_billing_key("key1", {"billkey": "B1"}, TIMEOUT), kind)


def test_a_key_answer_without_a_key_is_unknown(welcome, answering):
    for answer in (b'{"ResultCode": "00"}', b'{"ResultCode": "00", "Billkey": ""}'):
        gateway = welcome.connect(TEST_CREDENTIALS, answering(answer))
        assert isinstance(gateway.issue_billing_key(welcome.issue_request(), CARD, TIMEOUT), Unknown)


# --- the simulator ----------------------------------------------------------------------------------------------


@pytest.fixture
def wire(welcome):
    """wire(path, form, signed) -> the answer's code: the simulator without the adapter."""
    with urllib3.PoolManager() as pool:

        def call(path, form, signed=(), **changes):
            form = {"mid": MID, "timestamp": "20261123120000", **form}
            covered = {name: form.get(name, "") for name in signed}
            form = {"signature": sign(TEST_CREDENTIALS["sign_key"], MID, covered, form["timestamp"])} | form | changes
            form = {name: value for name, value in form.items() if value is not None}
            reply = pool.request_encode_body("POST", welcome.sandbox.url + path, form, encode_multipart=False)
            return reply.json()["ResultCode"]

        yield call


ORDER = {"price": "8900", "buyerName": "홍길동", "cardQuota": "00"}


@pytest.mark.parametrize(
    ("given", "changes", "code"),
    [
        ({}, {}, "00"),
        ({"price": "0"}, {}, "R03"),
        ({"price": "8,900"}, {}, "R03"),
        ({"oid": "x" * 41}, {}, "R03"),
        ({"oid": "주문"}, {}, "R03"),
        ({"buyerName": None}, {}, "R03"),
        ({"buyerName": "가" * 11}, {}, "R03"),
        ({"goodsName": "가" * 27}, {}, "R03"),
        ({"cardQuota": "3"}, {}, "R03"),
        ({"cardQuota": "03"}, {}, "C05"),
        ({"quotaInterest": "Y"}, {}, "R03"),
        ({"tax": "891"}, {}, "R03"),
        ({"tax": "x"}, {}, "R03"),
        ({"tax": "890"}, {}, "00"),
        ({"billkey": "nobodys"}, {}, "C06"),
        ({"timestamp": "1639118638775"}, {}, "R03"),
        ({}, {"signature": None}, "R03"),
        ({}, {"signature": "0" * 64}, "R02"),
        ({}, {"price": "8901"}, "R02"),
        ({}, {"mid": "nobody"}, "R01"),
        ({}, {"mid": OTHER_CREDENTIALS["mid"]}, "R02"),
    ],
)
def test_the_simulator_checks_a_charge(welcome, wire, given, changes, code):
    order = {"oid": welcome.order_id(), "billkey": welcome.key()["billkey"], **ORDER, **given}
    assert wire("/billing/billpay", order, ("oid", "price"), **changes) == code


def test_an_order_number_may_be_used_again(welcome, wire):
    order = {"oid": welcome.order_id(), "billkey": welcome.key()["billkey"], **ORDER}
    assert [wire("/billing/billpay", order, ("oid", "price")) for _ in range(2)] == ["00", "00"]
    assert welcome.money_taken(order["oid"]) == 17_800


@pytest.mark.parametrize(
    ("path", "given", "code"),
    [
        ("/cancel/repay", {}, "00"),
        ("/cancel/repay", {"confirmPrice": "7999"}, "N02"),
        ("/cancel/repay", {"confirmPrice": None}, "R03"),
        ("/cancel/repay", {"cancelPrice": "8901", "confirmPrice": "0"}, "N02"),
        ("/cancel/repay", {"payType": "vbank"}, "R03"),
        ("/cancel/repay", {"currency": "USD"}, "R03"),
        ("/cancel/repay", {"tid": "nobody"}, "N01"),
        ("/cancel/cancel", {"price": "8900"}, "00"),
        ("/cancel/cancel", {"price": "900"}, "N02"),
    ],
)
def test_the_simulator_checks_a_cancel(welcome, wire, path, given, code):
    _, approved = paid(welcome)
    form = {"payType": "card", "tid": approved.gateway_ref, "currency": "WON"}
    form |= {"cancelPrice": "900", "confirmPrice": "8000"} | given
    assert wire(path, form) == code


def test_a_whole_cancel_comes_too_late_after_a_part(welcome, wire):
    order_id, approved = paid(welcome)
    welcome.gateway.cancel(welcome.cancel_request(order_id, approved, 900), TIMEOUT)
    form = {"payType": "card", "tid": approved.gateway_ref, "currency": "WON", "price": "8900"}
    assert wire("/cancel/cancel", form) == "N03"


def test_a_lost_answer_leaves_nothing_to_ask_by(welcome):
    order_id = welcome.order_id()
    welcome.sandbox.fail("charge", "reply_lost")
    assert isinstance(welcome.gateway.charge_card(order_id, welcome.request(), CARD, TIMEOUT), Unknown)
    assert welcome.money_taken(order_id) == 8900
    assert not SPEC.settles_alone


def test_no_time_means_not_sent(welcome):
    assert isinstance(welcome.gateway.charge_card(welcome.order_id(), welcome.request(), CARD, 0), NotSent)
