"""What only KICC does, and what its simulator insists on."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import urllib3

from chalicelib.domain.charging import (
    Approved,
    Buyer,
    Cancelled,
    Declined,
    KeyDeleted,
    NotFound,
    Operation,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import Money
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.kicc import DECLINES, SPEC, UNKNOWN_CODES
from infra.sandbox.kicc import OTHER_CREDENTIALS, TEST_CREDENTIALS, window_key
from infra.sandbox.server import EXPIRED
from tests.contract.conftest import CARD, SPECIAL, TIMEOUT

KEY = {"batch_key": "T5102001BA00000001"}
NOON = datetime(2026, 11, 23, 3, tzinfo=UTC)


@pytest.fixture
def kicc(connect):
    return connect("kicc")


@pytest.fixture
def wire(kicc):
    """wire(path, body) -> JSON: the simulator without the adapter."""
    pool = urllib3.PoolManager()

    def call(path, body):
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return pool.request("POST", kicc.sandbox.url + path, body=json.dumps(body), headers=headers).json()

    yield call
    pool.clear()


class Watching(HttpClient):
    """Keeps what was sent: (path, body)."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, dict]] = []

    def send(self, method, url, **kwargs):
        self.sent.append(("/" + url.split("/", 3)[3], json.loads(kwargs["body"])))
        return super().send(method, url, **kwargs)


def sent(kicc, **request):
    """What a charge sends, and its result."""
    http = Watching()
    gateway = kicc.connect(TEST_CREDENTIALS, http=http)
    result = gateway.charge_billing_key(kicc.order_id(), kicc.request(**request), kicc.key(), TIMEOUT)
    [(path, body)] = http.sent
    assert path == "/api/trades/approval/batch"
    return body, result


def sign(*parts, secret="easypay!KICCTEST"):
    return hmac.new(secret.encode(), "|".join(parts).encode(), hashlib.sha256).hexdigest()


def payment(**changes):
    body = {
        "resCd": "0000",
        "resMsg": "결제 정상",
        "mallId": "T5102001",
        "pgCno": "26112310033000000001",
        "shopTransactionId": "order-1",
        "shopOrderNo": "order-1",
        "amount": "8900",
        "transactionDate": "20261123100330",
        "statusCode": "TS03",
        "msgAuthValue": sign("26112310033000000001", "8900", "20261123100330"),
    }
    return json.dumps({name: value for name, value in (body | changes).items() if value is not None}).encode()


def refusal(code, message):
    return json.dumps({"resCd": code, "resMsg": message}).encode()


def charged(kicc, answering, body, status="200 OK"):
    gateway = kicc.connect(TEST_CREDENTIALS, answering(body, status))
    return gateway.charge_billing_key("order-1", kicc.request(), KEY, TIMEOUT)


def found(kicc, answering, body):
    gateway = kicc.connect(TEST_CREDENTIALS, answering(body))
    return gateway.find_charge(kicc.query("order-1", requested_at=NOON), TIMEOUT)


@pytest.fixture
def noon(kicc):
    kicc.clock.shift = NOON - datetime.now(UTC)


# --- what is sent -----------------------------------------------------------------------------------------------


def test_the_whole_order_is_on_the_wire(kicc, noon):
    body, result = sent(kicc, amount=60_000, quota=3, tax_free=5_000, interest_free_by_merchant=True)
    batch_key = body["payMethodInfo"]["billKeyMethodInfo"]["batchKey"]
    assert body == {
        "mallId": "T5102001",
        "shopTransactionId": body["shopOrderNo"],
        "shopOrderNo": body["shopOrderNo"],
        "approvalReqDate": "20261123",
        "amount": 60_000,
        "currency": "00",
        "orderInfo": {
            "goodsName": "월간 이용권",
            "customerInfo": {
                "customerName": "Gildong Hong",
                "customerMail": "gildong@shop.kr",
                "customerContactNo": "01012345678",
            },
        },
        "payMethodInfo": {
            "billKeyMethodInfo": {"batchKey": batch_key},
            "cardMethodInfo": {"installmentMonth": 3, "freeInstallmentUsed": True},
        },
        "taxInfo": {"taxAmount": 50_000, "freeAmount": 5_000, "vatAmount": 5_000},
    }
    assert isinstance(result, Approved)


def test_without_anything_free_of_tax_nothing_is_said_of_tax(kicc):
    assert "taxInfo" not in sent(kicc, vat=809)[0]


@pytest.mark.parametrize(
    ("name", "wired"),
    [
        ("[특가] 'A&B' <신상>; \\5,000|세트", "[특가] A B 신상 5,000 세트"),
        ("🎁 선물", "선물"),
        ("똠얌꿍", "얌꿍"),
        ("가" * 17, "가" * 16),
        ("🎁", "상품"),
        (None, "상품"),
    ],
)
def test_texts_have_the_characters_that_kicc_takes(kicc, name, wired):
    body, result = sent(kicc, name=name)
    assert body["orderInfo"]["goodsName"] == wired
    assert isinstance(result, Approved)


@pytest.mark.parametrize(
    ("buyer", "customer"),
    [
        (Buyer("홍길동(VIP) 2호", "a+b@shop.kr", "+82 10-1234-5678"), {"customerName": "홍길동 VIP 호"}),
        (Buyer("123", "x" * 43 + "@shop.kr", "02-123-4567"), {"customerContactNo": "021234567"}),
        (Buyer(), None),
    ],
)
def test_what_does_not_fit_of_the_buyer_is_left_out(kicc, buyer, customer):
    body, result = sent(kicc, buyer=buyer)
    assert body["orderInfo"].get("customerInfo") == customer
    assert isinstance(result, Approved)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"shopTransactionId": "x" * 61}, "K003"),
        ({"shopOrderNo": "order 1"}, "K012"),
        ({"amount": "8900"}, "K007"),
        ({"currency": "KRW"}, "K007"),
        ({"orderInfo": {"goodsName": "가" * 17}}, "K012"),
        ({"orderInfo": {"goodsName": "a;b"}}, "K012"),
        ({"orderInfo": {"goodsName": "이용권", "customerInfo": {"customerContactNo": "010-1"}}}, "K012"),
        ({"taxInfo": {"taxAmount": 1, "freeAmount": 2, "vatAmount": 3}}, "K007"),
        ({"mallId": "T0000000"}, "K001"),
        ({"mallId": None}, "K007"),
    ],
)
def test_the_simulator_checks_what_the_documentation_says(kicc, wire, changes, code):
    methods = {"billKeyMethodInfo": {"batchKey": kicc.key()["batch_key"]}, "cardMethodInfo": {"installmentMonth": 0}}
    body = {"mallId": "T5102001", "shopTransactionId": kicc.order_id(), "shopOrderNo": "order-1", "amount": 8900}
    body |= {"approvalReqDate": "20261123", "currency": "00", "orderInfo": {"goodsName": "이용권"}}
    body |= {"payMethodInfo": methods}
    assert wire("/api/trades/approval/batch", body)["resCd"] == "0000"
    again = body | {"shopTransactionId": kicc.order_id()} | changes
    assert wire("/api/trades/approval/batch", again)["resCd"] == code


# --- what is answered -------------------------------------------------------------------------------------------


def test_every_published_code_is_mapped():
    published = ["8521", "8035", "8314", "8315", "8316", "8311", "8350", "8373", "8527", "VTIM", "VT00"]
    assert set(published) == {*DECLINES, *UNKNOWN_CODES}
    assert not set(DECLINES) & UNKNOWN_CODES


def test_an_answer_in_full(kicc, answering):
    card = {"cardNo": "45184211******81", "issuerCode": "029", "issuerName": "신한카드", "acquirerCode": "026"}
    body = payment(paymentInfo={"approvalNo": "00017177", "cardInfo": card | {"cardGubun": "Y"}})
    result = charged(kicc, answering, body)
    assert isinstance(result, Approved)
    assert (result.gateway_ref, result.amount) == ("26112310033000000001", Money(8900))
    assert (result.approval_number, result.balance) == ("00017177", Money(8900))
    assert result.approved_at == datetime(2026, 11, 23, 1, 3, 30, tzinfo=UTC)
    assert result.card
    assert (result.card.code, result.card.issuer_code, result.card.type) == ("366", "361", 1)
    assert result.card.number == "45184211******81"


def test_a_card_number_in_full_is_not_kept(kicc, answering):
    info = {"approvalNo": CARD.number, "cardInfo": {"cardNo": CARD.number, "issuerName": f"카드 {CARD.number}"}}
    result = charged(kicc, answering, payment(paymentInfo=info))
    assert isinstance(result, Approved)
    assert CARD.number not in repr(result)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Approved),
        ({"msgAuthValue": None}, Approved),
        ({"msgAuthValue": sign("26112310033000000001", "8900", "20261123100330").upper()}, Approved),
        ({"amount": 8900}, Approved),
        ({"shopOrderNo": None}, Approved),
        ({"msgAuthValue": sign("26112310033000000001", "8900", "20261123100331")}, Unknown),
        ({"msgAuthValue": "서명"}, Unknown),
        ({"amount": "8901"}, Unknown),
        ({"amount": "8,900", "msgAuthValue": None}, Unknown),
        ({"amount": "-8900", "msgAuthValue": None}, Unknown),
        ({"amount": 0, "msgAuthValue": None}, Unknown),
        ({"amount": True, "msgAuthValue": None}, Unknown),
        ({"amount": 10**13, "msgAuthValue": None}, Unknown),
        ({"paymentInfo": []}, Approved),
        ({"paymentInfo": {"approvalNo": {}, "cardInfo": ""}}, Approved),
        ({"pgCno": "2" * 61, "msgAuthValue": None}, Unknown),
        ({"shopTransactionId": "order-2"}, Unknown),
        ({"shopTransactionId": None}, Unknown),
        ({"shopOrderNo": "order-2"}, Unknown),
        ({"pgCno": None}, Unknown),
        ({"statusCode": None}, Unknown),
        ({"statusCode": "TS02"}, Unknown),
        ({"statusCode": "TS99"}, Unknown),
    ],
)
def test_a_yes_is_believed_if_all_of_it_is_ours(kicc, answering, changes, expected):
    assert isinstance(charged(kicc, answering, payment(**changes)), expected)


def test_a_yes_comes_with_http_200(kicc, answering):
    assert isinstance(charged(kicc, answering, payment(), "400 Bad Request"), Unknown)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("한도초과", R.LIMIT_EXCEEDED),
        ("거래정지 카드", R.CARD_BLOCKED),
        ("승인거절", R.ISSUER_DECLINED),
        ("등록되지 않은 가맹점입니다.", R.CHANNEL_REJECTED),
        ("메시지 인증값 오류", R.CHANNEL_REJECTED),
        ("존재하지 않는 빌키입니다.", R.BILLING_KEY_INVALID),
        ("없는 상점 거래고유번호입니다.", None),
        ("상점 거래고유번호가 중복되었습니다.", None),
        ("이미 승인된 거래입니다.", None),
        ("카드사 응답 지연", None),
        ("시스템 오류", None),
        ("알 수 없는 상태", None),
    ],
)
def test_what_is_not_published_is_read_from_its_words(kicc, answering, caplog, words, reason):
    result = charged(kicc, answering, refusal("Z123", words))
    assert result.code == "Z123"
    assert "Z123" in caplog.text
    if reason is None:
        assert isinstance(result, Unknown)
    else:
        assert isinstance(result, Declined)
        assert (result.reason, result.message) == (reason, words)


def test_a_published_code_with_words_of_doubt_is_unknown(kicc, answering):
    assert isinstance(charged(kicc, answering, refusal("8373", "카드사 문의요망")), Declined)
    assert isinstance(charged(kicc, answering, refusal("8373", "카드사 통신장애")), Unknown)


def test_a_wrong_secret_key_shows_in_the_answer_and_in_cancels(kicc):
    """Charges are not signed, so it is too late then: the query tells that the money was taken."""
    stranger = kicc.connect({**TEST_CREDENTIALS, "secret_key": "easypay!MISTYPED"})
    order_id = kicc.order_id()
    result = stranger.charge_billing_key(order_id, kicc.request(), kicc.key(), TIMEOUT)
    assert isinstance(result, Unknown)
    approved = stranger.find_charge(kicc.query(order_id), TIMEOUT)
    assert isinstance(approved, Approved)
    refused = stranger.cancel(kicc.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(refused, Declined)
    assert refused.reason is R.CHANNEL_REJECTED
    assert kicc.money_taken(order_id) == 8900


def test_an_order_id_protects_for_its_day_only(kicc, noon):
    order_id, key = kicc.order_id(), kicc.key()
    for days, expected, taken in ((0, Approved, 8900), (0, Unknown, 8900), (1, Approved, 17_800)):
        kicc.clock.shift += timedelta(days=days)
        result = kicc.gateway.charge_billing_key(order_id, kicc.request(), key, TIMEOUT)
        assert isinstance(result, expected)
        assert kicc.money_taken(order_id) == taken
    assert SPEC.idempotent_for is None


def test_an_expired_card_behind_a_key(kicc):
    key = window_key(kicc.sandbox, SPECIAL[EXPIRED].number)
    result = kicc.gateway.charge_billing_key(kicc.order_id(), kicc.request(), key, TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.code, result.reason) == ("8314", R.EXPIRED_CARD)


def test_a_key_belongs_to_who_made_it(kicc):
    key = window_key(kicc.sandbox, CARD.number, OTHER_CREDENTIALS)
    other = kicc.connect(OTHER_CREDENTIALS)
    assert isinstance(other.charge_billing_key(kicc.order_id(), kicc.request(), key, TIMEOUT), Approved)
    assert isinstance(kicc.gateway.charge_billing_key(kicc.order_id(), kicc.request(), key, TIMEOUT), Declined)


# --- queries ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "balance", "cancels"),
    [
        ("TS01", Money(8900), 0),
        ("TS03", Money(8900), 0),
        ("TS04", Money(8900), 0),
        ("TS02", Money(0), 1),
        ("TS05", Money(0), 1),
        ("TS06", None, 0),
    ],
)
def test_the_state_tells_what_is_left(kicc, answering, noon, status, balance, cancels):
    result = found(kicc, answering, payment(statusCode=status, msgAuthValue=None))
    assert isinstance(result, Approved)
    assert (result.balance, len(result.cancels)) == (balance, cancels)


@pytest.mark.parametrize("changes", [{"statusCode": "RF01"}, {"statusCode": None}, {"shopTransactionId": "order-2"}])
def test_another_answer_to_a_query_tells_nothing(kicc, answering, noon, changes):
    assert isinstance(found(kicc, answering, payment(**changes)), Unknown)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("해당 거래가 존재하지 않습니다.", NotFound),
        ("거래내역 없음", NotFound),
        ("상점 거래고유번호에 해당하는 거래가 없습니다.", NotFound),
        ("거래 가능한 상점이 아닙니다. 없는 상점", Unknown),
        ("등록되지 않은 상점 ID입니다.", Unknown),
        ("요청일자가 없습니다.", Unknown),
        ("거래 응답 없음", Unknown),
        ("상점 거래고유번호가 없습니다.", Unknown),
        ("한도초과", Unknown),
        ("해당 거래를 처리할 수 없습니다.", Unknown),
        ("거래정보를 조회할 수 없습니다.", Unknown),
        ("거래 조회 권한이 없습니다.", Unknown),
        ("거래일자가 없습니다.", Unknown),
        ("거래번호가 존재하지 않습니다.", Unknown),
        ("거래정보 없음", NotFound),
        ("조회된 거래건이 없습니다.", NotFound),
    ],
)
def test_only_what_says_so_is_not_found(kicc, answering, noon, words, expected):
    assert isinstance(found(kicc, answering, refusal("Z123", words)), expected)


def test_no_answer_from_behind_is_never_not_found(kicc, answering, noon):
    assert isinstance(found(kicc, answering, refusal("VTIM", "거래 없음")), Unknown)


@pytest.mark.parametrize(
    ("asked", "sent_at"),
    [
        ("2026-11-23T23:59:59+09:00", "2026-11-24T00:00:02+09:00"),
        ("2026-11-24T00:00:10+09:00", "2026-11-23T23:59:50+09:00"),
        ("2026-11-23T12:00:00+09:00", "2026-11-23T12:00:01+09:00"),
    ],
)
def test_a_charge_is_found_on_either_side_of_midnight(kicc, asked, sent_at):
    kicc.clock.shift = datetime.fromisoformat(sent_at) - datetime.now(UTC)
    order_id, _ = kicc.charge()
    kicc.clock.shift = datetime(2026, 11, 24, 12, tzinfo=UTC) - datetime.now(UTC)
    query = kicc.query(order_id, requested_at=datetime.fromisoformat(asked))
    assert isinstance(kicc.gateway.find_charge(query, TIMEOUT), Approved)


@pytest.mark.parametrize("sent_at", ["00:00:10", "00:30:00", "12:00:00", "23:59:50"])
def test_a_charge_is_found_as_long_as_the_spec_promises(kicc, sent_at):
    asked = datetime.fromisoformat(f"2026-11-23T{sent_at}+09:00")
    kicc.clock.shift = asked - datetime.now(UTC)
    order_id, _ = kicc.charge()
    kicc.clock.shift = asked + SPEC.find_window - timedelta(seconds=5) - datetime.now(UTC)
    assert isinstance(kicc.gateway.find_charge(kicc.query(order_id, requested_at=asked), TIMEOUT), Approved)
    nothing = kicc.gateway.find_charge(kicc.query(kicc.order_id(), requested_at=asked), TIMEOUT)
    # Soon after midnight it may be filed under the day before, of which KICC tells nothing any more.
    assert isinstance(nothing, Unknown if sent_at.startswith("00") else NotFound)


def test_too_long_ago_is_not_asked(kicc, noon):
    order_id, _ = kicc.charge()
    kicc.clock.shift += timedelta(days=2)
    http = Watching()
    result = kicc.connect(TEST_CREDENTIALS, http=http).find_charge(kicc.query(order_id, requested_at=NOON), TIMEOUT)
    assert isinstance(result, Unknown)
    assert http.sent == []


# --- cancels and keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "fields"),
    [
        (8900, {"reviseTypeCode": "40"}),
        (900, {"reviseTypeCode": "32", "amount": 900, "remainAmount": 8900}),
    ],
)
def test_a_cancel_on_the_wire(kicc, noon, amount, fields):
    order_id, approved = kicc.charge()
    http, request = Watching(), kicc.cancel_request(order_id, approved, amount)
    result = kicc.connect(TEST_CREDENTIALS, http=http).cancel(request, TIMEOUT)
    [(path, body)] = http.sent
    assert path == "/api/trades/revise"
    assert body == fields | {
        "mallId": "T5102001",
        "shopTransactionId": request.cancel_id,
        "pgCno": approved.gateway_ref,
        "cancelReqDate": "20261123",
        "msgAuthValue": sign(approved.gateway_ref, request.cancel_id),
        "reviseMessage": "단순 변심",
    }
    assert isinstance(result, Cancelled)
    assert result.balance == Money(8900 - amount)


def test_shares_of_tax_in_a_part(kicc):
    order_id, approved = kicc.charge()
    http = Watching()
    part = replace(kicc.cancel_request(order_id, approved, 3200), tax_free=1000, vat=200)
    kicc.connect(TEST_CREDENTIALS, http=http).cancel(part, TIMEOUT)
    assert http.sent[0][1]["taxInfo"] == {"taxationAmount": 2000, "taxFreeAmount": 1000, "vatAmount": 200}


@pytest.mark.parametrize(
    ("changes", "done"),
    [
        ({}, True),
        ({"cancelAmount": None, "remainAmount": None}, True),
        ({"statusCode": "TS05"}, True),
        ({"statusCode": "TS03"}, False),
        ({"statusCode": "TS06"}, False),
        ({"cancelAmount": "8901"}, False),
        ({"shopTransactionId": "another"}, False),
        ({"oriPgCno": "another"}, False),
        ({"cancelPgCno": None}, False),
    ],
)
def test_a_cancel_is_done_if_the_answer_shows_it(kicc, answering, changes, done):
    order_id, approved = kicc.charge()
    request = kicc.cancel_request(order_id, approved, 8900)
    body = {
        "resCd": "0000",
        "shopTransactionId": request.cancel_id,
        "oriPgCno": approved.gateway_ref,
        "cancelPgCno": "26112310033000000002",
        "cancelAmount": "8900",
        "remainAmount": "0",
        "transactionDate": "20261123100330",
        "statusCode": "TS02",
    }
    told = json.dumps({name: value for name, value in (body | changes).items() if value is not None}).encode()
    result = kicc.connect(TEST_CREDENTIALS, answering(told)).cancel(request, TIMEOUT)
    assert isinstance(result, Cancelled if done else Unknown)


@pytest.mark.parametrize(
    ("amount", "balance", "status", "done"),
    [
        (900, 8900, "TS06", True),
        (900, 8900, "TS02", False),
        (900, 8900, "TS05", False),
        (8000, 8000, "TS06", True),
        (8000, 8000, "TS02", True),
    ],
)
def test_a_part_is_not_done_if_all_was_given_back(kicc, answering, amount, balance, status, done):
    order_id, approved = kicc.charge()
    request = kicc.cancel_request(order_id, approved, amount, balance)
    body = {"resCd": "0000", "shopTransactionId": request.cancel_id, "oriPgCno": approved.gateway_ref}
    told = json.dumps(body | {"cancelPgCno": "26112310033000000002", "statusCode": status}).encode()
    result = kicc.connect(TEST_CREDENTIALS, answering(told)).cancel(request, TIMEOUT)
    assert isinstance(result, Cancelled if done else Unknown)


def test_a_refused_cancel_is_never_the_cards_fault(kicc, answering):
    order_id, approved = kicc.charge()
    request = kicc.cancel_request(order_id, approved, 8900)
    for words, reason in (("취소거절", R.INVALID_REQUEST), ("등록되지 않은 상점 ID입니다.", R.CHANNEL_REJECTED)):
        result = kicc.connect(TEST_CREDENTIALS, answering(refusal("Z123", words))).cancel(request, TIMEOUT)
        assert isinstance(result, Declined)
        assert result.reason is reason


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("삭제된 빌키입니다.", KeyDeleted),
        ("등록되지 않은 빌키입니다.", KeyDeleted),
        ("빌키 오류", Declined),
        ("삭제할 수 없는 빌키입니다.", Declined),
        ("빌키 삭제 처리중", Unknown),
    ],
)
def test_a_key_that_is_gone_is_deleted(kicc, answering, words, expected):
    gateway = kicc.connect(TEST_CREDENTIALS, answering(refusal("Z123", words)))
    assert isinstance(gateway.delete_billing_key("key-1", KEY, TIMEOUT), expected)


def test_an_answer_about_another_deletion_is_unknown(kicc, answering):
    for transaction_id, expected in (("key-1", KeyDeleted), ("key-2", Unknown), (None, Unknown)):
        body = json.dumps({"resCd": "0000", "shopTransactionId": transaction_id}).encode()
        gateway = kicc.connect(TEST_CREDENTIALS, answering(body))
        assert isinstance(gateway.delete_billing_key("key-1", KEY, TIMEOUT), expected)


def test_cards_are_left_to_the_window():
    assert not SPEC.operations & {Operation.CHARGE_CARD, Operation.ISSUE_BILLING_KEY, Operation.KEY_BY_CHARGE}
    assert not SPEC.takes_card_data
