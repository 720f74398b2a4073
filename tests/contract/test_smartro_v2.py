"""What only Smartro does, and what its simulator insists on."""

import json
from dataclasses import replace

import pytest
import urllib3

from chalicelib.domain.charging import (
    Approved,
    Buyer,
    Cancelled,
    CardSummary,
    Declined,
    KeyIssued,
    NotSent,
    Operation,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import Money
from chalicelib.gateways import aes, smartro_v2
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.smartro_v2 import SPEC, read_registration
from chalicelib.ports import UnsupportedOperation
from infra.sandbox.server import EXPIRED, NO_FUNDS, SPECIAL_CARDS, STOLEN, Refusal
from infra.sandbox.smartro_v2 import (
    OTHER_CREDENTIALS,
    TEST_CREDENTIALS,
    WRONG_CREDENTIALS,
    digest,
    encrypt,
    registration_result,
    window_key,
)
from tests.contract.conftest import CARD, TIMEOUT, http_reply, raw_server

MID, MERCHANT_KEY = TEST_CREDENTIALS["mid"], TEST_CREDENTIALS["merchant_key"]
NUMBERS = {will: number for number, will in SPECIAL_CARDS.items()}


@pytest.fixture
def smartro(connect):
    return connect("smartro_v2")


class Opened(HttpClient):
    """Keeps what was sent, as the gateway reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.orders = []

    def send(self, method, url, *, body, **given):
        envelope = json.loads(body)
        assert set(envelope) == {"EncData", "Mid"}
        self.orders.append(json.loads(aes.decrypt_base64(envelope["EncData"], MERCHANT_KEY[:32], bytes(16))))
        return super().send(method, url, body=body, **given)


@pytest.fixture
def sent(smartro):
    """sent(call): what the call, a function of a gateway, has sent."""

    def watch(call):
        http = Opened()
        result = call(smartro.connect(TEST_CREDENTIALS, http=http))
        assert isinstance(result, Approved | Cancelled), result
        return http.orders[0]

    return watch


@pytest.fixture
def answered(smartro, answering):
    """answered(order_id, **fields): what the adapter makes of a charge that is answered so."""

    def charge(order_id, **fields):
        gateway = smartro.connect(TEST_CREDENTIALS, answering(json.dumps(fields).encode()))
        secret = {"billing_key": "BTK1", "mall_user_id": "user1"}
        return gateway.charge_billing_key(order_id, smartro.request(), secret, TIMEOUT)

    return charge


def paid(smartro):
    order_id, approved = smartro.charge()
    assert isinstance(approved, Approved)
    return order_id, approved


# --- hashes and encryption --------------------------------------------------------------------------------------

KEY = "0123456789abcdef0123456789abcdef=="


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        # charge, cancel, registration
        (("billkeyAAA", "t_2301101m", "1004"), "CAZYvOmeT/EJ76x8HwaRwv7zdg2LfrkwZ89N5ZibxK4="),
        (("TID123", KEY, "1004", "0"), "IdPE1MTHmH3Qv+KuKTs7whniECpmNoph3nzhgssPLkc="),
        (("20240102030405", "t_2301101m", "order1", "SMARTRO!@#"), "srGFyJgB3mpO3NPgr+47z+oM/UQJ+Lz4rsPwwlnIEBE="),
    ],
)
def test_hashes(parts, value):
    assert smartro_v2.digest(*parts) == digest(*parts) == value


def test_encryption_takes_the_first_32_characters_of_the_key():
    assert (
        aes.encrypt_base64("BILLKEY0001", KEY[:32], bytes(16))
        == encrypt("BILLKEY0001", KEY)
        == "txlkzApWTmS8zsm3sPkNQQ=="
    )
    assert aes.decrypt_base64("txlkzApWTmS8zsm3sPkNQQ==", KEY[:32], bytes(16)) == "BILLKEY0001"


@pytest.mark.parametrize("text", ["", "한글", "====", "AAAA", "txlkzApWTmS8zsm3sPkNQQ=", "A" * 24])
def test_what_was_not_encrypted_is_not_decrypted(text):
    assert aes.decrypt_base64(text, KEY[:32], bytes(16)) is None


@pytest.mark.parametrize("merchant_key", ["", "x" * 31, "x" * 32 + "가"])
def test_a_key_that_cannot_encrypt_is_the_channels_fault(smartro, merchant_key):
    gateway = smartro.connect({**TEST_CREDENTIALS, "merchant_key": merchant_key})
    order_id = smartro.order_id()
    result = gateway.charge_billing_key(order_id, smartro.request(), smartro.key(), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED
    assert smartro.books(order_id) == []


# --- what is sent -----------------------------------------------------------------------------------------------


def test_a_charge_says_what_smartro_wants_to_know(smartro, sent):
    secret, order_id = smartro.key(), smartro.order_id()
    buyer = Buyer("홍길동" * 10, "gildong@shop.kr", "+82 10-1234-5678")
    request = smartro.request(60_000, quota=3, buyer=buyer, name="가" * 50)
    order = sent(lambda gateway: gateway.charge_billing_key(order_id, request, secret, TIMEOUT))
    assert len(order.pop("EdiDate")) == 14
    assert order == {
        "PayMethod": "CARD",
        "Mid": MID,
        "Moid": order_id,
        "Amt": "60000",
        "BillTokenKey": secret["billing_key"],
        "MallUserId": secret["mall_user_id"],
        "GoodsCnt": "1",
        "GoodsName": "가" * 13,
        "BuyerName": "홍길동" * 3 + "홍",
        "BuyerTel": "821012345678",
        "BuyerEmail": "gildong@shop.kr",
        "MallIp": "127.0.0.1",
        "UserIp": "203.0.113.7",
        "CardQuota": "03",
        "CardPoint": "0",
        "VerifyValue": digest(secret["billing_key"], MID, "60000"),
    }


@pytest.mark.parametrize(
    ("stated", "shares"),
    [
        ({}, None),
        ({"tax_free": 900}, ("7273", "727", "900")),
        ({"vat": 0}, ("8900", "0", "0")),
        ({"tax_free": 8900}, ("0", "0", "8900")),
        ({"tax_free": 900, "vat": 500}, ("7500", "500", "900")),
    ],
)
def test_tax_is_split_where_the_merchant_says_so(smartro, sent, stated, shares):
    request, secret = smartro.request(8900, **stated), smartro.key()
    order = sent(lambda gateway: gateway.charge_billing_key(smartro.order_id(), request, secret, TIMEOUT))
    assert tuple(order.get(name) for name in ("TaxAmt", "VatAmt", "TaxFreeAmt")) == (shares or (None,) * 3)
    order_id, approved = paid(smartro)
    cancel = smartro.cancel_request(order_id, approved, 8900, **stated)
    order = sent(lambda gateway: gateway.cancel(cancel, TIMEOUT))
    names = ("CancelTaxAmt", "CancelVatAmt", "CancelTaxFreeAmt")
    assert tuple(order.get(name) for name in names) == (shares or (None,) * 3)


def test_each_part_of_a_cancel_has_its_number(smartro, sent):
    order_id, approved = paid(smartro)
    parts = [(900, 8900), (8000, 8000)]
    for sequence, (amount, balance) in enumerate(parts, start=1):
        request = smartro.cancel_request(order_id, approved, amount, balance, sequence=sequence)
        order = sent(lambda gateway, request=request: gateway.cancel(request, TIMEOUT))
        assert (order["CancelSeq"], order["PartialCancelCode"], order["CancelAmt"]) == (str(sequence), "1", str(amount))
        assert order["CancelPwd"] == TEST_CREDENTIALS["cancel_password"]
        assert order["HashData"] == digest(approved.gateway_ref, MERCHANT_KEY, str(amount), "1")
    assert smartro.money_taken(order_id) == 0


def test_a_whole_cancel_is_no_part(smartro, sent):
    order_id, approved = paid(smartro)
    request = smartro.cancel_request(order_id, approved, 8900)
    assert sent(lambda gateway: gateway.cancel(request, TIMEOUT))["PartialCancelCode"] == "0"


def test_a_part_that_is_sent_again_gives_nothing_back(smartro):
    order_id, approved = paid(smartro)
    request = smartro.cancel_request(order_id, approved, 900)
    assert isinstance(smartro.gateway.cancel(request, TIMEOUT), Cancelled)
    assert isinstance(smartro.gateway.cancel(request, TIMEOUT), Unknown)
    assert smartro.money_taken(order_id) == 8000


def test_no_cancel_by_order_id(smartro):
    order_id, approved = paid(smartro)
    request = replace(smartro.cancel_request(order_id, approved, 8900), gateway_ref="")
    with pytest.raises(UnsupportedOperation):
        smartro.gateway.cancel(request, TIMEOUT)


def test_what_routing_refuses_beforehand(smartro):
    def objections(**changes):
        request = replace(smartro.request(), **changes)
        return [text.partition(":")[0] for text in SPEC.objections(Operation.CHARGE_BILLING_KEY, request)]

    assert objections() == []
    assert objections(merchant_uid="order-1") == objections(merchant_uid="x" * 41) == ["merchant_uid"]
    assert objections(amount=Money(100, "USD")) == ["currency"]
    assert objections(buyer=Buyer("홍길동", f"{'x' * 60}@a.kr", "no number")) == ["buyer_email", "buyer_tel"]


# --- what is answered -------------------------------------------------------------------------------------------


def success(order_id, **changes):
    answer = {"ResultCode": "3001", "ResultMsg": "성공", "Tid": "tid-1", "Moid": order_id, "Amt": "8900"}
    return {name: value for name, value in (answer | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, Approved),
        ({"Amt": 8900}, Approved),
        ({"ResultCode": 3001}, Approved),
        ({"ResultCode": "0000"}, Approved),
        ({"ResultCode": "0000", "Amt": "8901"}, Unknown),
        ({"ResultCode": "0000", "Tid": None}, Unknown),
        ({"ResultCode": "2001"}, Unknown),
        ({"ResultCode": "2211", "ResultMsg": "카드번호 오류"}, Unknown),
        ({"Moid": "another"}, Unknown),
        ({"Moid": None}, Unknown),
        ({"Tid": ""}, Unknown),
        ({"Tid": None}, Unknown),
        ({"Amt": None}, Unknown),
        ({"Amt": "8900.5"}, Unknown),
        ({"Amt": "many"}, Unknown),
        ({"AuthDate": "yesterday", "CardNum": 7}, Approved),
    ],
)
def test_each_reply(smartro, answered, changes, kind):
    order_id = smartro.order_id()
    assert isinstance(answered(order_id, **success(order_id, **changes)), kind)


def test_success_needs_http_200(smartro, answering):
    order_id = smartro.order_id()
    gateway = smartro.connect(TEST_CREDENTIALS, answering(json.dumps(success(order_id)).encode(), "403 Forbidden"))
    result = gateway.charge_billing_key(order_id, smartro.request(), smartro.key(), TIMEOUT)
    assert isinstance(result, Unknown)


def test_an_approval_is_read_whole(smartro, answered):
    order_id = smartro.order_id()
    more = {"AuthDate": "261123235959", "AuthCode": "00012345", "AppCardCode": "04", "AppCardName": "삼성"}
    approved = answered(order_id, **success(order_id, CardNum="536148******5671", **more))
    assert approved.approved_at.isoformat() == "2026-11-23T23:59:59+09:00"
    assert (approved.approval_number, approved.amount) == ("00012345", Money(8900))
    assert approved.card == CardSummary(name="삼성", publisher_name="삼성", number="536148******5671")
    bare = answered(order_id, **success(order_id, CardNum=CARD.number))
    assert bare.card is None
    thinly = answered(order_id, **success(order_id, CardNum=f"{CARD.number[:-1]}*"))
    assert CARD.number[:-1] not in thinly.card.number


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
        ("할부가 불가한 카드", R.INSTALLMENT_NOT_ALLOWED),
        ("카드번호를 확인해 주세요", R.INVALID_CARD_NUMBER),
        ("유효하지 않은 카드번호", R.INVALID_CARD_NUMBER),
        ("주민등록번호 불일치", R.CARD_CHECK_FAILED),
        # two reasons: the harder one
        ("비밀번호 입력 한도 초과", R.CARD_CHECK_FAILED),
        ("한도초과로 이용정지", R.CARD_BLOCKED),
        ("도난카드. 거래할 수 없는 가맹점", R.LOST_OR_STOLEN),
        ("사고신고 카드 (한도 없음)", R.LOST_OR_STOLEN),
        ("유효하지 않은 빌링키", R.BILLING_KEY_INVALID),
        ("등록되지 않은 상점입니다", R.CHANNEL_REJECTED),
        ("해지된 가맹점 (거래정지)", R.CHANNEL_REJECTED),
        ("위변조 검증 실패", R.CHANNEL_REJECTED),
    ],
)
def test_a_refusal_that_says_why_is_one(smartro, answered, message, reason):
    result = answered(smartro.order_id(), ResultCode="9999", ResultMsg=message)
    assert isinstance(result, Declined)
    assert (result.reason, result.code, result.message) == (reason, "9999", message)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "",
        "실패",
        "시스템 오류",
        "이미 처리된 주문번호 (카드번호 확인)",
        "카드사 응답 지연",
        "카드사 통신 장애로 거절",
        "카드사 연결 실패로 거절",
        "카드사 접속 불가 (거절)",
        "네트워크 오류로 승인 거절",
        "승인 서버 오류로 거절",
        "승인 거절 (Timeout)",
        "타임 아웃으로 거절",
        "카드번호 5361-48**-****-5671 결제 실패",
        "할부개월 00 결제 실패",
        "승인성공 (한도 100,000)",
        "정상승인 (잔액 5,000원)",
        "승인완료. 잔액 5,000원",
        "한도" + "." * 400 + "시간 초과",
        "한도 조회 시간 초과",
        "중복 거래로 거절",
        "승인 처리중 (잔액 확인)",
    ],
)
def test_a_refusal_that_leaves_it_open_is_unknown(smartro, answered, caplog, message):
    result = answered(smartro.order_id(), ResultCode="9999", ResultMsg=message)
    assert isinstance(result, Unknown)
    assert (result.code, result.unwell) == ("9999", False)
    assert "9999" in caplog.text


@pytest.mark.parametrize(("number", "kind"), [("00012345", Unknown), ("", Declined), ("00000000", Declined)])
def test_a_refusal_with_an_approval_number_is_none(smartro, answered, number, kind):
    result = answered(smartro.order_id(), ResultCode="9999", ResultMsg="한도초과", AuthCode=number)
    assert isinstance(result, kind)


def test_a_code_that_somebody_adds_counts(smartro, answered, monkeypatch):
    """Smartro's table is there for who has it."""
    monkeypatch.setattr(smartro_v2, "DECLINES", {"9876": R.EXPIRED_CARD})
    result = answered(smartro.order_id(), ResultCode="9876", ResultMsg="실패")
    assert result == Declined(R.EXPIRED_CARD, "9876", "실패")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"ResultCode": "2001"}, Cancelled),
        ({"ResultCode": "2211"}, Cancelled),
        ({"ResultCode": "2001", "CancelAmt": "900"}, Cancelled),
        ({"ResultCode": "2001", "CancelAmt": "901"}, Unknown),
        ({"ResultCode": "2001", "Tid": "another"}, Unknown),
        ({"ResultCode": "3001"}, Unknown),
        ({"ResultCode": "0000"}, Unknown),
        ({"ResultCode": "9999", "ResultMsg": "이미 취소된 거래"}, Unknown),
        ({"ResultCode": "9999", "ResultMsg": "실패"}, Unknown),
    ],
)
def test_each_reply_to_a_cancel(smartro, answering, answer, kind):
    order_id, approved = paid(smartro)
    gateway = smartro.connect(TEST_CREDENTIALS, answering(json.dumps(answer).encode()))
    assert isinstance(gateway.cancel(smartro.cancel_request(order_id, approved, 900), TIMEOUT), kind)


def test_a_cancel_without_a_number_of_smartros_goes_by_ours(smartro, answering):
    order_id, approved = paid(smartro)
    request = smartro.cancel_request(order_id, approved, 900)
    gateway = smartro.connect(TEST_CREDENTIALS, answering(b'{"ResultCode": "2001"}'))
    assert gateway.cancel(request, TIMEOUT).cancel.gateway_ref == request.cancel_id


def test_the_cancel_password_is_the_channels(smartro):
    order_id, approved = paid(smartro)
    stranger = smartro.connect({**TEST_CREDENTIALS, "cancel_password": "wrong"})
    result = stranger.cancel(smartro.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED


def test_too_much_may_mean_that_an_earlier_try_was_carried_out(smartro):
    order_id, approved = paid(smartro)
    smartro.sandbox.fail("cancel", "reply_lost")
    request = smartro.cancel_request(order_id, approved, 8900)
    assert isinstance(smartro.gateway.cancel(request, TIMEOUT), Unknown)
    for message in ("취소 가능 금액 초과", "취소 한도 초과", "취소 거절"):
        smartro_says = json.dumps({"ResultCode": "9203", "ResultMsg": message})
        with raw_server(http_reply(smartro_says.encode())) as url:
            result = smartro.connect(TEST_CREDENTIALS, url).cancel(request, TIMEOUT)
        assert isinstance(result, Unknown), message
        assert result.code == "9203"


# --- keys from the window ---------------------------------------------------------------------------------------


def test_a_registration_gives_a_key_that_can_be_charged(smartro):
    secret, order_id = window_key(smartro.sandbox, CARD.number), smartro.order_id()
    form = registration_result(secret, order_id, CARD.masked)
    assert secret["billing_key"] not in form.values()
    issued = read_registration(form, order_id, TEST_CREDENTIALS)
    assert isinstance(issued, KeyIssued)
    assert (issued.secret, issued.card.number) == (secret, CARD.masked)
    charged = smartro.gateway.charge_billing_key(smartro.order_id(), smartro.request(), issued.secret, TIMEOUT)
    assert isinstance(charged, Approved)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, KeyIssued),
        ({"ResultCode": "9001", "ResultMsg": "유효기간 오류"}, Declined),
        ({"ResultCode": "2001"}, Declined),
        ({"ResultCode": ""}, Declined),
        ({"VerifyValue": ""}, Unknown),
        ({"VerifyValue": "한글"}, Unknown),
        ({"VerifyValue": digest(MID, "BTK1", CARD.masked, "3001", "SMARTRO!@#")}, Unknown),
        ({"BillTokenKey": ""}, Unknown),
        ({"BillTokenKey": "BTK1", "VerifyValue": digest(MID, "BTK1", CARD.masked, "3001", "SMARTRO!@#")}, Unknown),
        # Forged: whoever cannot encrypt knows no key that goes with the hash.
        ({"BillTokenKey": "", "VerifyValue": digest(MID, "", CARD.masked, "3001", "SMARTRO!@#")}, Unknown),
        ({"MallUserId": ""}, Unknown),
        ({"Moid": "another"}, Unknown),
        ({"Mid": "another"}, Unknown),
    ],
)
def test_a_registration_has_to_be_smartros_and_ours(smartro, changes, kind):
    form = registration_result({"billing_key": "BTK2", "mall_user_id": "user1"}, "order1", CARD.masked) | changes
    assert isinstance(read_registration(form, "order1", TEST_CREDENTIALS), kind)


@pytest.mark.parametrize("merchant_key", ["", "x" * 31, "가" * 32])
def test_no_registration_is_read_with_a_key_that_cannot_decrypt(merchant_key):
    form = registration_result({"billing_key": "BTK2", "mall_user_id": "user1"}, "order1", CARD.masked)
    credentials = {**TEST_CREDENTIALS, "merchant_key": merchant_key}
    assert isinstance(read_registration(form, "order1", credentials), Unknown)


def test_an_empty_form_is_no_registration():
    assert isinstance(read_registration({}, "order1", TEST_CREDENTIALS), Declined)


@pytest.mark.parametrize(("will", "reason"), [(STOLEN, R.LOST_OR_STOLEN), (NO_FUNDS, R.INSUFFICIENT_FUNDS)])
def test_a_card_keeps_its_meaning_behind_a_key(smartro, will, reason):
    secret, order_id = window_key(smartro.sandbox, NUMBERS[will]), smartro.order_id()
    result = smartro.gateway.charge_billing_key(order_id, smartro.request(), secret, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is reason
    assert [row["state"] for row in smartro.books(order_id)] == ["declined"]


def test_the_window_registers_no_expired_card(smartro):
    with pytest.raises(Refusal):
        window_key(smartro.sandbox, NUMBERS[EXPIRED])


# --- the simulator ----------------------------------------------------------------------------------------------


@pytest.fixture
def wire(smartro):
    """wire(path, order, ...) -> the answer: the simulator without the adapter."""
    with urllib3.PoolManager() as pool:

        def call(path, order, mid=MID, merchant_key=MERCHANT_KEY, envelope=None):
            order = {name: value for name, value in order.items() if value is not None}
            body = envelope or {"EncData": encrypt(json.dumps(order), merchant_key), "Mid": mid}
            url = f"{smartro.sandbox.url}/payment/approval/{path}"
            return pool.request("POST", url, body=json.dumps(body).encode()).json()

        yield call


def charge_order(secret, order_id, **changes):
    order = {
        "PayMethod": "CARD",
        "Mid": MID,
        "Moid": order_id,
        "EdiDate": "20261123120000",
        "BillTokenKey": secret["billing_key"],
        "Amt": "8900",
        "GoodsCnt": "1",
        "GoodsName": "이용권",
        "BuyerName": "홍길동",
        "BuyerTel": "01012345678",
        "BuyerEmail": "gildong@shop.kr",
        "MallUserId": secret["mall_user_id"],
        "MallIp": "127.0.0.1",
        "CardQuota": "00",
    } | changes
    return {"VerifyValue": digest(str(order["BillTokenKey"]), MID, str(order["Amt"]))} | order


@pytest.mark.parametrize(
    "changes",
    [
        {"Mid": "t_sandbx2m"},
        {"Moid": "imp-1"},
        {"Moid": None},
        {"EdiDate": "20261123"},
        {"PayMethod": "BANK"},
        {"Amt": "8,900"},
        {"BuyerTel": "010-1234-5678"},
        {"BuyerTel": "abcdefghij"},
        {"BuyerName": None},
        {"BuyerName": "가" * 11},
        {"GoodsName": "가" * 14},
        {"BuyerEmail": None},
        {"MallUserId": "someone"},
        {"BillTokenKey": "BTKnobodys"},
        {"CardQuota": "3"},
        {"CardQuota": "03"},
        {"VerifyValue": "x"},
        {"TaxAmt": "8000", "VatAmt": "800", "TaxFreeAmt": "0"},
        {"TaxAmt": "x", "VatAmt": "800", "TaxFreeAmt": "0"},
    ],
)
def test_the_simulator_checks_a_charge(smartro, wire, changes):
    order_id = smartro.order_id()
    order = charge_order(smartro.key(), order_id, **changes)
    assert wire("ssbbill.do", order)["ResultCode"].startswith("91")
    assert smartro.books(order_id) == []


def test_a_long_order_number_is_cut_and_may_be_used_again(smartro, wire):
    secret, order_id = smartro.key(), smartro.order_id().ljust(50, "x")
    answers = [wire("ssbbill.do", charge_order(secret, order_id)) for _ in range(2)]
    assert [answer["Moid"] for answer in answers] == [order_id[:40]] * 2
    assert smartro.money_taken(order_id[:40]) == 17_800


@pytest.mark.parametrize("envelope", [{}, {"Mid": MID}, {"Mid": MID, "EncData": "AAAA"}, {"Mid": "x", "EncData": ""}])
def test_the_simulator_opens_the_envelope(wire, envelope):
    assert wire("ssbbill.do", {}, envelope=envelope or {"x": 1})["ResultCode"] in {"9101", "9102"}


def test_the_simulator_wants_the_merchants_own_key(smartro, wire):
    order = charge_order(smartro.key(), smartro.order_id())
    assert wire("ssbbill.do", order, merchant_key=OTHER_CREDENTIALS["merchant_key"])["ResultCode"] == "9102"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "2001"),
        ({"Tid": "nobody"}, "9201"),
        ({"SERVICE_MODE": "CL2"}, "9104"),
        ({"CancelPwd": "x"}, "9204"),
        ({"CancelMsg": None}, "9104"),
        ({"CancelMsg": "가" * 34}, "9104"),
        ({"CancelSeq": None}, "9104"),
        ({"CancelSeq": "2"}, "9205"),
        ({"PartialCancelCode": "0"}, "9104"),
        ({"PartialCancelCode": "2"}, "9104"),
        ({"CancelAmt": "8901"}, "9203"),
        ({"CancelAmt": "0"}, "9203"),
        ({"HashData": "x"}, "9103"),
    ],
)
def test_the_simulator_checks_a_cancel(smartro, wire, changes, code):
    _, approved = paid(smartro)
    order = {
        "SERVICE_MODE": "CL1",
        "Tid": approved.gateway_ref,
        "Mid": MID,
        "CancelAmt": "900",
        "CancelPwd": TEST_CREDENTIALS["cancel_password"],
        "CancelMsg": "변심",
        "PartialCancelCode": "1",
        "CancelSeq": "1",
    } | changes
    hashed = digest(order["Tid"], MERCHANT_KEY, order["CancelAmt"], order["PartialCancelCode"])
    assert wire("cancel.do", {"HashData": hashed} | order)["ResultCode"] == code


def test_a_lost_answer_leaves_nothing_to_ask_by(smartro):
    order_id, secret = smartro.order_id(), smartro.key()
    smartro.sandbox.fail("charge", "reply_lost")
    assert isinstance(smartro.gateway.charge_billing_key(order_id, smartro.request(), secret, TIMEOUT), Unknown)
    assert smartro.money_taken(order_id) == 8900
    assert not SPEC.settles_alone


def test_no_time_means_not_sent(smartro):
    result = smartro.gateway.charge_billing_key(smartro.order_id(), smartro.request(), smartro.key(), 0)
    assert isinstance(result, NotSent)


def test_a_wrong_end_of_the_key_shows_only_when_it_cancels(smartro):
    """So it is with the real one: a charge is hashed without the merchant's key."""
    almost = {**TEST_CREDENTIALS, "merchant_key": MERCHANT_KEY[:-1] + "x"}
    order_id, gateway = smartro.order_id(), smartro.connect(almost)
    approved = gateway.charge_billing_key(order_id, smartro.request(), smartro.key(), TIMEOUT)
    assert isinstance(approved, Approved)
    refused = gateway.cancel(smartro.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(refused, Declined)
    assert refused.reason is R.CHANNEL_REJECTED
    assert WRONG_CREDENTIALS["merchant_key"][:32] != MERCHANT_KEY[:32]
