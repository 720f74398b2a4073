"""What only KG Inicis does, and what its simulator insists on."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, parse_qsl, urlencode

import pytest
import urllib3

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Buyer,
    Cancelled,
    CancelRequest,
    Declined,
    KeyIssued,
    NotFound,
    NotSent,
    Operation,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.gateways import aes
from chalicelib.gateways.html5_inicis import DECLINES, SPEC, UNKNOWN_CODES
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.usecases.channels import check_credentials
from infra.sandbox.html5_inicis import OTHER_CREDENTIALS, TEST_CREDENTIALS, UNGUARDED_CREDENTIALS, window_key
from tests.contract.conftest import BUYER, CARD, TIMEOUT

NOON = datetime(2024, 1, 1, 3, tzinfo=UTC)
"""Twelve o'clock in Seoul, as in the vectors."""
SECRET = {"bill_key": "BILLKEY0001"}


class Scripted(HttpClient):
    """Keeps what was asked, and answers these one after the other: a dict as JSON with HTTP 200, or a whole Reply."""

    def __init__(self, *answers: object) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self._answers = iter(answers)

    def send(self, method, url, *, operation, timeout, headers=None, body=None) -> Reply:
        self.asked.append((url, body.decode()))
        answer = next(self._answers)
        return answer if isinstance(answer, Reply) else Reply(200, json.dumps(answer).encode())

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.asked[-1][1], keep_blank_values=True))

    @property
    def data(self) -> dict[str, str]:
        return json.loads(self.asked[-1][1])["data"]


@pytest.fixture
def inicis(connect):
    return connect("html5_inicis")


@pytest.fixture
def scripted(inicis):
    """scripted(answer, ...) -> (gateway, what it sends through)."""

    def make(*answers, credentials=TEST_CREDENTIALS):
        http = Scripted(*answers)
        return inicis.connect(credentials, http=http), http

    return make


@pytest.fixture
def wire(inicis):
    """wire(path, body, content type) -> JSON: the simulator without the adapter."""
    pool = urllib3.PoolManager()

    def call(path, body, content_type):
        return pool.request("POST", inicis.sandbox.url + path, body=body, headers={"Content-Type": content_type}).json()

    yield call
    pool.clear()


FORM, JSON = "application/x-www-form-urlencoded;charset=utf-8", "application/json;charset=utf-8"


def paid(**changes):
    reply = {"resultCode": "00", "resultMsg": "ok", "tid": "TID1", "price": "8900", "payDate": "20240101"}
    return reply | {"payTime": "120000", "payAuthCode": "00000001", "detailCode": None} | changes


def refused(message, code="01", **more):
    return {"resultCode": code, "resultMsg": message, "tid": None, **more}


def charge_key(gateway, inicis, order_id="imp100000000000a1", **kwargs):
    return gateway.charge_billing_key(order_id, inicis.request(**kwargs), SECRET, TIMEOUT)


# --- the published vectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "merchant", "expected"),
    [
        ("123456789", OTHER_CREDENTIALS, "qwMHVJqsmXKoR+d8wQTS4g=="),
        ("9410001234567890", TEST_CREDENTIALS, "FuaPAJ8zveahXnQaC0K/VH9eMBz5xOn/JE6uyiS9aNk="),
    ],
)
def test_encryption(text, merchant, expected):
    assert aes.encrypt_base64(text, merchant["iniapi_key"], merchant["iniapi_iv"].encode()) == expected


def test_signature_of_a_form(inicis, scripted):
    inicis.clock.now = lambda: NOON
    gateway, http = scripted(paid(), credentials={**TEST_CREDENTIALS, "client_ip": ""})
    charge_key(gateway, inicis, "order-0001", amount=1000)
    assert http.form["timestamp"] == "20240101120000"
    assert http.form["hashData"] == (
        "e9dd7ceef7a4893753be351db2bd004e66e5045e59ed6316219854e8990eca48"
        "711e0389d641ca65827c83064c13e371fa44ff0fc813e295cbb6c32342c2b21f"
    )


def test_signature_of_json(inicis, scripted):
    inicis.clock.now = lambda: NOON
    gateway, http = scripted(refused("x"), credentials=OTHER_CREDENTIALS)
    request = cancel_request(Money(8900), gateway_ref="TID0001", reason="test")
    gateway.cancel(request, TIMEOUT)
    assert json.loads(http.asked[0][1])["hashData"] == (
        "8e267ef84cfde4fb63afa2cb450113bb5b59bc096a2b9476917ff32e90b83609"
        "26259dcfbc391c72c8d34f376cb8bff4eca57ca833eec3122f32ec1437f16448"
    )


# --- what is sent -----------------------------------------------------------------------------------------------


def test_a_plus_sign_survives_the_form(inicis, wire, scripted):
    """Many ciphertexts have one, and a form takes a bare one for a blank."""
    gateway, http = scripted(*[paid()] * 50)
    numbers = (f"53614800123{n:05}" for n in range(50))
    for number in numbers:
        gateway.charge_card(inicis.order_id(), inicis.request(), replace(CARD, number=number), TIMEOUT)
        if "+" in http.form["cardNumber"]:
            break
    body = http.asked[-1][1]
    assert "%2B" in body
    assert wire("/api/v1/formpay", body.replace("%2B", "+"), FORM)["resultMsg"] == "hashData 검증에 실패하였습니다."
    assert wire("/api/v1/formpay", body, FORM)["resultCode"] == "00"


def test_card_data_is_on_the_wire_in_secret_only(inicis, scripted):
    gateway, http = scripted(paid())
    gateway.charge_card(inicis.order_id(), inicis.request(), CARD, TIMEOUT)
    assert {"cardNumber", "cardExpire", "regNo", "cardPw"} <= set(http.form)
    for secret in (CARD.number, "3911", CARD.birth):
        assert secret not in http.asked[0][1]


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, {"cardQuota": "00", "quotaInterest": "0", "cardPoint": "2", "currency": "WON", "price": "60000"}),
        ({"quota": 1}, {"cardQuota": "00"}),
        ({"quota": 3, "interest_free_by_merchant": True}, {"cardQuota": "03", "quotaInterest": "1"}),
        ({"use_card_point": True}, {"cardPoint": "1"}),
        ({"tax_free": 500}, {"taxFree": "500"}),
        ({"tax_free": 0, "vat": 0}, {"tax": "0", "taxFree": "0"}),
        ({"name": None}, {"goodName": "상품"}),
        ({"name": "가" * 14}, {"goodName": "가" * 13}),
        ({"buyer": replace(BUYER, name="김" * 20)}, {"buyerName": "김" * 10}),
    ],
)
def test_terms(inicis, scripted, asked, sent):
    gateway, http = scripted(paid())
    gateway.charge_card(inicis.order_id(), inicis.request(60_000, **asked), CARD, TIMEOUT)
    assert http.form | sent == http.form
    if "tax_free" not in asked:
        assert not {"tax", "taxFree"} & set(http.form)


@pytest.mark.parametrize(("given", "sent"), [("203.0.113.10", "203.0.113.10"), ("", "127.0.0.1"), (None, "127.0.0.1")])
def test_the_servers_address_is_what_the_merchant_says(inicis, scripted, given, sent):
    credentials = {name: value for name, value in TEST_CREDENTIALS.items() if name != "client_ip"}
    gateway, http = scripted(paid(), credentials=credentials if given is None else credentials | {"client_ip": given})
    charge_key(gateway, inicis)
    assert http.form["clientIp"] == sent
    assert http.form["url"] == TEST_CREDENTIALS["site_url"]


@pytest.mark.parametrize("broken", ["iniapi_key", "iniapi_iv"])
def test_a_key_of_another_length_is_the_channels_fault(inicis, scripted, broken):
    gateway, http = scripted(credentials={**TEST_CREDENTIALS, broken: "short"})
    for result in (
        gateway.charge_card(inicis.order_id(), inicis.request(), CARD, TIMEOUT),
        gateway.issue_billing_key(inicis.issue_request(), CARD, TIMEOUT),
    ):
        assert isinstance(result, Declined)
        assert result.reason is R.CHANNEL_REJECTED
    assert http.asked == []


def test_the_published_merchants_are_for_tests_only():
    for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS, UNGUARDED_CREDENTIALS):
        check_credentials(SPEC, Environment.TEST, credentials)
        with pytest.raises(InvalidRequest) as caught:
            check_credentials(SPEC, Environment.LIVE, credentials)
        assert caught.value.field == "credentials.mid"


# --- success, and what only looks like it -----------------------------------------------------------------------


@pytest.mark.parametrize("word", ["00", "0000", "SUCCESS", "01", "0", "success", "000"])
def test_each_service_believes_its_own_word(inicis, scripted, word):
    order_id = "imp100000000000a1"
    answer = paid(resultCode=word)
    assert isinstance(charge_key(scripted(answer)[0], inicis), Approved if word == "00" else Unknown)
    by_card = scripted(answer)[0].charge_card(order_id, inicis.request(), CARD, TIMEOUT)
    assert isinstance(by_card, Approved if word == "00" else Unknown)
    key = scripted({"resultCode": word, "billKey": "K"})[0].issue_billing_key(inicis.issue_request(), CARD, TIMEOUT)
    assert isinstance(key, KeyIssued if word == "00" else Unknown)
    cancelled = scripted({"resultCode": word})[0].cancel(cancel_request(Money(8900)), TIMEOUT)
    assert isinstance(cancelled, Cancelled if word == "00" else Unknown)
    found = scripted(shown(resultCode=word))[0].find_charge(inicis.query(order_id, "TID1"), TIMEOUT)
    assert isinstance(found, Approved if word == "SUCCESS" else Unknown)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Money(8900)),
        ({"price": 8901}, Money(8901)),
        ({"price": None}, Money(8900)),
        ({"price": "8,900"}, None),
        ({"price": "8900.5"}, None),
        ({"price": "-1"}, None),
        ({"price": "0"}, None),
        ({"price": ""}, None),
        ({"tid": ""}, None),
        ({"tid": None}, None),
        ({"tid": "T" * 501}, None),
        ({"moid": "imp100000000000a1"}, Money(8900)),
        ({"moid": "imp100000000000a2"}, None),
        ({"payDate": None, "cardCode": 12, "checkFlg": 1, "cardName": None}, Money(8900)),
    ],
)
def test_what_a_yes_must_say(inicis, scripted, changes, expected):
    result = charge_key(scripted(paid(**changes))[0], inicis)
    assert isinstance(result, Approved if expected else Unknown), result
    assert expected is None or result.amount == result.balance == expected


def test_words_beside_a_yes_are_kept_short_and_without_card_numbers(inicis, scripted):
    """What is too long to be written down would leave an approval unrecorded."""
    for text in ("A" * 500_000, f"{CARD.number} 카드"):
        paid_for = charge_key(scripted(paid(cardName=text, payAuthCode=text))[0], inicis)
        found = ask(inicis, scripted(shown(cardInfo={"approvedNumber": text}))[0])
        for result in (paid_for, found):
            assert isinstance(result, Approved)
            assert len(result.approval_number) <= 60
            assert len(repr(result)) < 2000
            assert CARD.number not in repr(result)


def test_success_needs_http_200(inicis, scripted):
    reply = Reply(403, json.dumps(paid()).encode())
    assert isinstance(charge_key(scripted(reply)[0], inicis), Unknown)


def test_a_card_in_a_reply(inicis, scripted):
    answer = paid(cardCode="11", cardName="비씨카드", checkFlg="1")
    card = scripted(answer)[0].charge_card(inicis.order_id(), inicis.request(), CARD, TIMEOUT).card
    assert (card.code, card.name, card.type, card.number) == ("361", "비씨카드", 1, CARD.masked)
    assert charge_key(scripted(paid(cardCode="21"))[0], inicis).card.code is None


# --- refusals ---------------------------------------------------------------------------------------------------

PUBLISHED = ["00", "0000", "SUCCESS", "01", "ER0102", "ERR012", "V023", "1195", "500626"]


def test_every_published_code_has_one_meaning():
    assert set(PUBLISHED) == set(DECLINES) | UNKNOWN_CODES
    assert not set(DECLINES) & UNKNOWN_CODES


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("분실 신고된 카드", R.LOST_OR_STOLEN),
        ("도난카드", R.LOST_OR_STOLEN),
        ("잔액부족", R.INSUFFICIENT_FUNDS),
        ("한도초과", R.LIMIT_EXCEEDED),
        ("유효기간 오류", R.EXPIRED_CARD),
        ("비밀번호 오류", R.CARD_CHECK_FAILED),
        ("사업자번호 불일치", R.CARD_CHECK_FAILED),
        ("카드번호 오류", R.INVALID_CARD_NUMBER),
        ("거래정지 카드", R.CARD_BLOCKED),
        ("할부 불가 카드", R.INSTALLMENT_NOT_ALLOWED),
        ("할부가 불가한 거래입니다.", R.INSTALLMENT_NOT_ALLOWED),
        ("등록되지 않은 빌링키", R.BILLING_KEY_INVALID),
        ("미등록 가맹점", R.CHANNEL_REJECTED),
        ("거래정지 가맹점", R.CHANNEL_REJECTED),  # no blocked card
        ("사용불가 가맹점", R.CHANNEL_REJECTED),
        ("미계약 결제수단", R.CHANNEL_REJECTED),
        ("본인확인 실패", R.CARD_CHECK_FAILED),
        ("미지원 카드", R.CARD_NOT_SUPPORTED),
        ("승인불가 카드", R.ISSUER_DECLINED),
        ("Hash 값 오류", R.CHANNEL_REJECTED),
        ("최소 결제금액 미만", R.AMOUNT_NOT_ALLOWED),
        ("[8037] 거래거절 카드사 문의", R.ISSUER_DECLINED),
    ],
)
def test_what_a_general_refusal_means_stands_in_its_text(inicis, scripted, message, reason):
    result = charge_key(scripted(refused(message))[0], inicis)
    assert isinstance(result, Declined)
    assert (result.reason, result.message) == (reason, message)


@pytest.mark.parametrize(
    "message",
    [
        "통신 오류로 거절",
        "시스템 장애로 승인 불가",
        "카드사 응답지연, 한도 확인 불가",
        "승인시간 초과",
        "TIMEOUT 거절",
        "중복된 주문번호입니다. 거절",
        "이미 승인된 거래입니다. 카드번호 확인",
        "승인결과 확인 불가",
        "승인여부 조회불가",
        "기승인 거래로 승인 불가",
        "결제 진행 중인 거래입니다. 승인 불가",
        "전산 오류로 승인불가",
        "네트워크 오류로 승인 불가",
        "재시도 요망, 승인 불가",
        "승인 후 망취소 불가",
        "승인 거절, 자동취소 실패",
        "사용된 주문번호입니다. 결제 불가",
        "동일한 상점주문번호가 존재합니다.",
        "처리하지 못하였습니다. 가맹점에 문의하세요",
        "빌링키 승인 오류",
        "DB 저장 실패 (금액 8900)",
        "[8037] 알 수 없는 오류",
        "실패",
        None,
    ],
)
def test_what_went_wrong_or_was_there_before_is_no_refusal(inicis, scripted, message):
    result = charge_key(scripted(refused(message))[0], inicis)
    assert isinstance(result, Unknown)
    assert not result.unwell


@pytest.mark.parametrize(
    ("answer", "code", "expected"),
    [
        (refused("[1195] 빌링 미등록 거래"), "1195", R.BILLING_KEY_INVALID),
        (refused("[1195] 시스템 빌링 미등록 거래", "99"), "1195", R.BILLING_KEY_INVALID),
        (refused("빌링 미등록 거래", detailCode="1195"), "1195", R.BILLING_KEY_INVALID),
        (refused("[500626] 기취소 거래"), "500626", None),
        (refused("한도초과", detailResultCode="500626"), "500626", None),
        (refused("한도초과", "99"), "99", None),
        (refused("[삼성] 한도초과"), "01", R.LIMIT_EXCEEDED),
        (refused("[8037] 한도초과"), "8037", R.LIMIT_EXCEEDED),
        (refused("시스템 점검", "ERR012"), "ERR012", R.INVALID_REQUEST),
        (refused("한도초과", payAuthCode="00000001"), "01", None),  # approved, and refused
        (refused("[1195] 빌링 미등록 거래", payAuthCode="00000001"), "1195", None),
        (refused("한도초과", payAuthCode=""), "01", R.LIMIT_EXCEEDED),
    ],
)
def test_which_code_counts(inicis, scripted, answer, code, expected):
    result = charge_key(scripted(answer)[0], inicis)
    assert result.code == code
    assert isinstance(result, Declined if expected else Unknown), result
    assert expected is None or result.reason is expected


@pytest.mark.parametrize(
    "message", ["[" + "1" * 500_000, "[" + "a" * 500_000 + "1", "[" + "1" * 21 + "]", "[" * 500_000]
)
def test_brackets_without_end_cost_no_time(inicis, scripted, message):
    """What is read of them is looked for again from every place, unless it is short: hours, for a reply of 1 MB."""
    started = time.monotonic()
    result = charge_key(scripted(refused(message[:900_000]))[0], inicis)
    assert time.monotonic() - started < 2
    assert isinstance(result, Unknown)
    assert result.code == "01"


def test_words_nobody_knows_are_logged_with_their_code(inicis, scripted, caplog):
    charge_key(scripted(refused("[8037] 알 수 없는 오류"))[0], inicis)
    assert "8037" in caplog.text
    caplog.clear()
    charge_key(scripted(refused("[500626] 기취소 거래"))[0], inicis)
    assert caplog.text == ""


# --- billing keys -----------------------------------------------------------------------------------------------


def test_a_key_remembers_whom_inicis_asks_for(inicis):
    key = inicis.key()
    nobody = inicis.request(buyer=Buyer())
    assert isinstance(inicis.gateway.charge_billing_key(inicis.order_id(), nobody, key, TIMEOUT), Approved)


def test_the_buyer_of_the_payment_comes_first(inicis, scripted):
    gateway, http = scripted(paid())
    secret = {**SECRET, "name": "Earlier", "email": "earlier@shop.kr", "tel": "010-0000-0000"}
    request = inicis.request(buyer=Buyer(name="Now"))
    gateway.charge_billing_key(inicis.order_id(), request, secret, TIMEOUT)
    assert (http.form["buyerName"], http.form["buyerEmail"]) == ("Now", "earlier@shop.kr")


def test_without_a_buyer_the_refusal_says_what_is_missing(inicis):
    order_id, key = inicis.order_id(), window_key(inicis.sandbox, CARD.number)
    result = inicis.gateway.charge_billing_key(order_id, inicis.request(buyer=Buyer()), key, TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.reason, result.code) == (R.INVALID_REQUEST, "ER0102")
    assert "telephone" in result.message
    assert inicis.books(order_id) == []


def test_a_key_of_the_window_is_charged_like_one_of_the_api(inicis):
    order_id, key = inicis.order_id(), window_key(inicis.sandbox, CARD.number)
    assert isinstance(inicis.gateway.charge_billing_key(order_id, inicis.request(), key, TIMEOUT), Approved)
    assert inicis.money_taken(order_id) == 8900


def test_an_issue_asks_for_no_money(inicis, scripted):
    gateway, http = scripted({"resultCode": "00", "billKey": "K", "tid": "T"})
    issued = gateway.issue_billing_key(inicis.issue_request(), CARD, TIMEOUT)
    assert (http.form["type"], http.form["price"]) == ("Auth", "0")
    assert issued.secret == {"bill_key": "K", "name": BUYER.name, "email": BUYER.email, "tel": BUYER.tel}


@pytest.mark.parametrize("answer", [{"resultCode": "00"}, {"resultCode": "00", "billKey": ""}])
def test_a_yes_without_a_key_is_unknown(inicis, scripted, answer):
    assert isinstance(scripted(answer)[0].issue_billing_key(inicis.issue_request(), CARD, TIMEOUT), Unknown)


# --- queries ----------------------------------------------------------------------------------------------------


def shown(**changes):
    payment = {
        "resultCode": "SUCCESS",
        "mid": "INIBillTst",
        "tid": "TID1",
        "oid": "imp100000000000a1",
        "price": "8900",
        "paymethod": "Card",
        "transactionStatus": "APPROVAL",
        "approvedDate": "20240101",
        "approvedTime": "120000",
        "availablePartCancelPrice": "8900",
        "partCancelTransInfo": [],
        "cardInfo": {"approvedNumber": "00000001", "currencyCode": "WON"},
    }
    return payment | changes


def part(tid, amount, time="130000"):
    return {"tid": tid, "requestDate": "20240102", "requestTime": time, "requestPrice": str(amount)}


def ask(inicis, gateway, gateway_ref="TID1"):
    return gateway.find_charge(inicis.query("imp100000000000a1", gateway_ref), TIMEOUT)


@pytest.mark.parametrize(
    ("changes", "balance"),
    [
        ({}, 8900),
        ({"availablePartCancelPrice": "0"}, 8900),  # of a card that cannot be cancelled in parts
        ({"partCancelTransInfo": None, "cardInfo": None}, 8900),
        ({"paymethod": "VCard", "cardInfo": {"currencyCode": "410"}}, 8900),
        ({"approvedDate": None}, 8900),
        ({"mid": "INIpayTest"}, None),
        ({"oid": "imp100000000000a2"}, None),
        ({"tid": "TID2"}, None),
        ({"paymethod": "DirectBank"}, None),
        ({"cardInfo": {"currencyCode": "USD"}}, None),
        ({"price": "8,900"}, None),
        ({"price": "0"}, None),
        ({"transactionStatus": "REVIEW"}, None),
        ({"transactionStatus": "CANCEL", "cancelDate": "20240102", "cancelTime": "130000"}, 0),
        ({"partCancelTransInfo": [part("P1", 900)]}, None),
        ({"transactionStatus": "PART_CANCEL"}, None),
        ({"transactionStatus": "PART_CANCEL", "partCancelTransInfo": [part("P1", 900)]}, None),
        (
            {
                "transactionStatus": "PART_CANCEL",
                "partCancelTransInfo": [part("P1", 900)],
                "availablePartCancelPrice": "8000",
            },
            8000,
        ),
        ({"transactionStatus": "CANCEL", "partCancelTransInfo": [part("P1", 8901)]}, None),
    ],
)
def test_each_state_of_a_charge(inicis, scripted, changes, balance):
    found = ask(inicis, scripted(shown(**changes))[0])
    assert isinstance(found, Unknown if balance is None else Approved), found
    if balance is not None:
        assert (found.amount, found.balance) == (Money(8900), Money(balance))
        assert sum(cancel.amount.amount for cancel in found.cancels) == 8900 - balance


def test_the_rest_of_a_charge_that_was_cancelled_in_parts(inicis, scripted):
    parts = [part("P2", 3000, "140000"), part("P1", 900)]
    changes = {"transactionStatus": "CANCEL", "partCancelTransInfo": parts, "cancelDate": "20240103"}
    found = ask(inicis, scripted(shown(**changes, cancelTime="090000"))[0])
    listed = [(cancel.gateway_ref, cancel.amount.amount) for cancel in found.cancels]
    assert listed == [("P1", 900), ("P2", 3000), ("TID1", 5000)]
    assert found.cancels[2].cancelled_at == datetime(2024, 1, 3, 0, tzinfo=UTC)
    assert found.approved_at == NOON


def test_without_the_contract_an_order_id_means_nothing(inicis, scripted):
    gateway, http = scripted(credentials=UNGUARDED_CREDENTIALS)
    assert Operation.FIND not in gateway.spec.operations
    assert isinstance(ask(inicis, gateway, None), Unknown)
    assert http.asked == []


def test_without_the_contract_a_charge_is_still_found_by_its_number(inicis):
    gateway, order_id = inicis.connect(UNGUARDED_CREDENTIALS), inicis.order_id()
    approved = gateway.charge_card(order_id, inicis.request(), CARD, TIMEOUT)
    found = gateway.find_charge(inicis.query(order_id, approved.gateway_ref), TIMEOUT)
    assert isinstance(found, Approved)
    assert found.gateway_ref == approved.gateway_ref


def test_without_the_contract_the_same_order_is_charged_twice(inicis):
    """The reason for order_id_scope NONE: nobody may ever send one again."""
    gateway, order_id = inicis.connect(UNGUARDED_CREDENTIALS), inicis.order_id()
    for _ in range(2):
        gateway.charge_card(order_id, inicis.request(), CARD, TIMEOUT)
    assert inicis.money_taken(order_id) == 2 * 8900


def test_under_the_contract_a_lost_charge_is_found(inicis):
    assert Operation.FIND in inicis.gateway.spec.operations
    order_id = inicis.order_id()
    inicis.sandbox.fail("charge", "reply_lost")
    assert isinstance(inicis.gateway.charge_card(order_id, inicis.request(), CARD, TIMEOUT), Unknown)
    assert isinstance(inicis.find(order_id), Approved)
    again = inicis.gateway.charge_card(order_id, inicis.request(), CARD, TIMEOUT)
    assert isinstance(again, Unknown)
    assert inicis.money_taken(order_id) == 8900


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"resultCode": "00", "status": "9", "tid": None}, NotFound),
        ({"resultCode": "00", "status": 9}, NotFound),
        ({"resultCode": "00", "status": "9", "tid": "TID1"}, Unknown),
        ({"resultCode": "00", "status": "0", "tid": "TID1"}, Unknown),
        ({"resultCode": "00", "status": "1", "tid": "TID1"}, Unknown),
        ({"resultCode": "00"}, Unknown),
        ({"resultCode": "01", "status": "9", "resultMsg": "실패"}, Unknown),
        ({"resultCode": "SUCCESS", "status": "9"}, Unknown),
        (Reply(500, b'{"resultCode": "00", "status": "9"}'), Unknown),
    ],
)
def test_only_the_older_inquiry_can_say_that_there_is_no_such_order(inicis, scripted, answer, expected):
    gateway, http = scripted(refused("거래내역이 없습니다."), answer)
    assert isinstance(ask(inicis, gateway, None), expected)
    assert [url.rpartition("com")[2] or url for url, _ in http.asked][1].endswith("/api/v1/extra")
    assert (http.form["type"], http.form["paymethod"]) == ("Extra", "Inquiry")


def test_an_order_that_is_shown_and_cannot_be_read_is_there(inicis, scripted):
    """The older inquiry may know less, and whatever it said would be believed."""
    for changes in ({"price": "8,900"}, {"tid": None}, {"paymethod": None}):
        gateway, http = scripted(shown(**changes), {"resultCode": "00", "status": "9"})
        assert isinstance(ask(inicis, gateway, None), Unknown)
        assert len(http.asked) == 1


def test_a_number_that_inicis_does_not_know_is_no_proof(inicis, scripted):
    gateway, http = scripted(refused("거래내역이 없습니다."))
    assert isinstance(ask(inicis, gateway, "TID1"), Unknown)
    assert len(http.asked) == 1


@pytest.mark.parametrize(
    "answer", [refused("hashData 검증에 실패하였습니다."), Reply(502, b"{}"), Reply(200, b"http://iniapi.inicis.com/")]
)
def test_who_is_of_no_help_is_not_asked_twice(inicis, scripted, answer):
    gateway, http = scripted(answer)
    found = ask(inicis, gateway, None)
    assert isinstance(found, Unknown)
    assert found.unwell
    assert len(http.asked) == 1


def test_two_questions_share_the_time(inicis):
    inicis.sandbox.fail("find", "slow", seconds=0.5)
    inicis.sandbox.fail("find", "timeout")
    started = time.monotonic()
    assert isinstance(inicis.gateway.find_charge(inicis.query(inicis.order_id()), 0.7), Unknown)
    assert time.monotonic() - started < 1


# --- cancels ----------------------------------------------------------------------------------------------------


def cancel_request(amount, balance=8900, **changes):
    request = CancelRequest(
        cancel_id="imp100000000000c1",
        order_id="imp100000000000a1",
        gateway_ref="TID1",
        amount=amount,
        balance=Money(balance),
        charged=Money(8900),
        reason="단순 변심",
        charged_at=NOON,
    )
    return replace(request, **changes)


def done(**changes):
    reply = {"resultCode": "00", "tid": "P1", "prtcTid": "TID1", "prtcPrice": "900", "prtcRemains": "8000"}
    return reply | {"prtcDate": "20240102", "prtcTime": "090000"} | changes


def test_a_part_names_what_must_be_left(inicis, scripted):
    gateway, http = scripted(done())
    result = gateway.cancel(cancel_request(Money(900), tax_free=0, vat=0), TIMEOUT)
    assert http.asked[0][0].endswith("/v2/pg/partialRefund")
    amounts = {"price": "900", "confirmPrice": "8000", "currency": "WON", "tax": "0", "taxFree": "0"}
    assert http.data == {"tid": "TID1", "msg": "단순 변심", **amounts}
    assert isinstance(result, Cancelled)
    assert (result.cancel.gateway_ref, result.balance) == ("P1", Money(8000))
    assert result.cancel.cancelled_at == datetime(2024, 1, 2, tzinfo=UTC)


def test_the_last_part_leaves_nothing(inicis, scripted):
    gateway, http = scripted(done(prtcPrice="8000", prtcRemains="0"))
    result = gateway.cancel(cancel_request(Money(8000), balance=8000), TIMEOUT)
    assert (http.data["price"], http.data["confirmPrice"]) == ("8000", "0")
    assert isinstance(result, Cancelled)
    assert result.balance == Money(0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tid": "TID1", "prtcTid": "P1"}, Cancelled),
        ({"prtcPrice": 900, "prtcRemains": 8000, "prtcDate": None}, Cancelled),
        ({"prtcPrice": "901"}, Unknown),
        ({"prtcRemains": "7999"}, Unknown),
        ({"prtcRemains": None}, Unknown),
        ({"prtcTid": "TID2"}, Unknown),
        ({"prtcTid": None}, Unknown),
        ({"tid": "TID1"}, Unknown),
    ],
)
def test_a_part_is_done_only_if_the_reply_shows_it(inicis, scripted, changes, expected):
    result = scripted(done(**changes))[0].cancel(cancel_request(Money(900)), TIMEOUT)
    assert isinstance(result, expected)
    assert expected is Unknown or result.cancel.gateway_ref == "P1"


def test_a_whole_cancel_about_another_charge_is_unknown(inicis, scripted):
    gateway, _ = scripted({"resultCode": "00", "tid": "TID2"})
    assert isinstance(gateway.cancel(cancel_request(Money(8900)), TIMEOUT), Unknown)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refused("부분취소 가능금액이 일치하지 않습니다."), Unknown),
        (refused("취소 불가 거래"), Unknown),
        (refused("잔액부족"), Unknown),
        (refused("[500626] 기취소 거래"), Unknown),
        (refused("상점 요청으로 취소된 거래입니다."), Unknown),
        (refused("미등록 가맹점"), Declined),
        (refused("파라미터 오류", "ER0102"), Declined),
    ],
)
def test_words_that_may_speak_of_the_same_cancel_sent_before_are_no_refusal(inicis, scripted, answer, expected):
    assert isinstance(scripted(answer)[0].cancel(cancel_request(Money(900)), TIMEOUT), expected)


def test_a_reason_is_signed_as_it_stands(scripted):
    """Korean unescaped, and nothing in it that would have to be escaped."""
    gateway, http = scripted(done())
    gateway.cancel(cancel_request(Money(900), reason='"환불"\\요청'), TIMEOUT)
    assert '"msg":"환불  요청"' in http.asked[0][1]


@pytest.mark.parametrize("reason", ['"환불" \\ 요청', "줄\n바꿈", "https://shop.kr/a?b=1", "가" * 200, "", "\ud800"])
def test_any_reason_can_be_signed(inicis, reason):
    """The simulator signs the very bytes that it received."""
    order_id, approved = inicis.charge()
    request = replace(inicis.cancel_request(order_id, approved, 900), reason=reason)
    assert isinstance(inicis.gateway.cancel(request, TIMEOUT), Cancelled)


def test_no_part_comes_after_one_that_was_sent_twice(inicis):
    order_id, approved = inicis.charge()
    request = inicis.cancel_request(order_id, approved, 900)
    inicis.sandbox.fail("cancel", "reply_lost")
    assert isinstance(inicis.gateway.cancel(request, TIMEOUT), Unknown)
    assert isinstance(inicis.gateway.cancel(request, TIMEOUT), Unknown)
    assert inicis.money_taken(order_id) == 8000


# --- the simulator ----------------------------------------------------------------------------------------------


def sent(inicis, scripted, call):
    """The body that the adapter sends for a call."""
    gateway, http = scripted(refused("x"), refused("x"))
    call(gateway)
    return http.asked[0][1]


def test_v1_takes_forms_and_v2_takes_json(inicis, wire, scripted):
    form = sent(inicis, scripted, lambda gateway: charge_key(gateway, inicis))
    as_json = json.dumps({name: values[0] for name, values in parse_qs(form).items()})
    assert wire("/api/v1/billing", form, FORM)["resultMsg"] == "[1195] 빌링 미등록 거래"
    assert wire("/api/v1/billing", as_json, JSON)["resultCode"] == "ER0102"
    body = sent(inicis, scripted, lambda gateway: ask(inicis, gateway))
    assert wire("/v2/pg/inquiry", body, JSON)["resultMsg"] == "거래내역이 없습니다."
    assert wire("/v2/pg/inquiry", body, FORM)["resultCode"] == "ER0102"


@pytest.mark.parametrize(("old", "new"), [("type=Billing", "type=billing"), ("paymethod=Card", "paymethod=card")])
def test_case_matters(inicis, wire, scripted, old, new):
    form = sent(inicis, scripted, lambda gateway: charge_key(gateway, inicis))
    assert wire("/api/v1/billing", form.replace(old, new), FORM)["resultCode"] == "ERR012"


@pytest.mark.parametrize("name", ["moid", "price", "billKey", "timestamp", "clientIp", "mid"])
def test_what_is_signed_cannot_be_changed(inicis, wire, scripted, name):
    form = dict(parse_qsl(sent(inicis, scripted, lambda gateway: charge_key(gateway, inicis))))
    form[name] = {"mid": "INIpayTest", "timestamp": "20240101120001"}.get(name, form[name] + "1")
    assert wire("/api/v1/billing", urlencode(form), FORM)["resultMsg"] == "hashData 검증에 실패하였습니다."


def test_blanks_in_the_data_are_signed_too(inicis, wire, scripted):
    body = sent(inicis, scripted, lambda gateway: ask(inicis, gateway))
    assert wire("/v2/pg/inquiry", json.dumps(json.loads(body)), JSON)["resultMsg"] == "hashData 검증에 실패하였습니다."


@pytest.mark.parametrize("name", ["url", "goodName", "buyerName", "buyerEmail", "buyerTel", "authentification"])
def test_what_is_missing_is_refused(inicis, wire, scripted, name):
    key = window_key(inicis.sandbox, CARD.number)
    body = sent(inicis, scripted, lambda g: g.charge_billing_key(inicis.order_id(), inicis.request(), key, TIMEOUT))
    form = dict(parse_qsl(body))
    assert wire("/api/v1/billing", urlencode({**form, name: ""}), FORM)["resultCode"] == "ER0102"
    assert wire("/api/v1/billing", urlencode(form), FORM)["resultCode"] == "00"


def test_no_time_is_no_call(inicis):
    order_id = inicis.order_id()
    assert isinstance(inicis.gateway.charge_card(order_id, inicis.request(), CARD, 0), NotSent)
    assert inicis.books(order_id) == []
