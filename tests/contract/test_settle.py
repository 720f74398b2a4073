"""What only Hecto Financial does, and what its simulator insists on."""

import base64
import hashlib
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
    KeyIssued,
    NotFound,
    Operation,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import Money
from chalicelib.gateways import aes, settle
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.ports import UnsupportedOperation
from infra.sandbox.server import NO_FUNDS, STOLEN
from infra.sandbox.settle import TEST_CREDENTIALS, window_key
from tests.contract.conftest import CARD, SPECIAL, TIMEOUT, SystemClock

HASH_KEY = TEST_CREDENTIALS["hash_key"]
MID = TEST_CREDENTIALS["mid"]


@pytest.fixture
def hecto(connect):
    return connect("settle")


class Said(HttpClient):
    """Keeps what was sent, and answers with what a function of it says."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer
        self.bodies = []
        self.paths = []

    def send(self, method, url, *, body, **kwargs):
        self.bodies.append(json.loads(body))
        self.paths.append(url)
        if self.answer is None:
            return super().send(method, url, body=body, **kwargs)
        value = self.answer(self.bodies[-1])
        return value if isinstance(value, Reply) else Reply(200, json.dumps(value).encode())


def adapter(http=None, **credentials):
    return settle.Adapter(
        credentials={**TEST_CREDENTIALS, **credentials},
        pg_id="",
        base_url="http://127.0.0.1:1",
        http=http or HttpClient(),
        clock=SystemClock(),
    )


def sealed(text):
    return aes.encrypt_base64(text, TEST_CREDENTIALS["aes_key"], None)


def opened(text):
    return aes.decrypt_base64(text, TEST_CREDENTIALS["aes_key"], None)


def sha(*parts):
    return hashlib.sha256("".join((*parts, HASH_KEY)).encode()).hexdigest()


# --- the wire ---------------------------------------------------------------------------------------------------


class Fixed(SystemClock):
    def now(self):
        return datetime(2024, 1, 1, 18, 4, 5, tzinfo=UTC)  # 2024-01-02 03:04:05 in Seoul


def sent(call, **credentials):
    http = Said(lambda _: {})
    gateway = adapter(http, mid="nxca_jt_bi", **credentials)
    gateway._clock = Fixed()
    call(gateway)
    return http.paths[0].removeprefix("http://127.0.0.1:1"), http.bodies[0]["params"], http.bodies[0]["data"]


def test_amounts_are_encrypted_as_hecto_does():
    assert sealed("1004") == "bhZaFAlfV++xztQF9RxE4g=="
    assert opened("bhZaFAlfV++xztQF9RxE4g==") == "1004"


def test_the_vector_of_a_charge(hecto):
    request = hecto.request(1004)
    path, params, data = sent(lambda g: g.charge_billing_key("ORD1", request, {"bill_key": "SBILL_1"}, 1))
    assert path == "/spay/APICardActionPay.do"
    assert data["pktHash"] == "41ace8cfcccda8504281865f1ba7984aa61cf3b35981ada57fa855e8430aa2d8"
    assert data["trdAmt"] == "bhZaFAlfV++xztQF9RxE4g=="
    assert params == {
        "mchtId": "nxca_jt_bi",
        "ver": "0A19",
        "method": "CA",
        "bizType": "B0",
        "encCd": "23",
        "mchtTrdNo": "ORD1",
        "trdDt": "20240102",
        "trdTm": "030405",
        "mobileYn": "N",
        "osType": "E",
    }


def test_the_vector_of_a_deletion():
    path, params, data = sent(lambda g: g.delete_billing_key("ORD1", {"bill_key": "SBILL_1"}, 1))
    assert (path, params["bizType"]) == ("/spay/APICardActionDelkey.do", "A1")
    assert data == {
        "pktHash": "a5aabda68f8459cee871619f685c913847faf13d0bf1cae65a0be901c4ed8378",
        "billKey": "SBILL_1",
    }


def test_card_data_goes_encrypted_and_everything_else_in_plain(hecto):
    path, params, data = sent(lambda g: g.charge_card("ORD1", hecto.request(60_000, quota=3), CARD, 1))
    assert (path, params["bizType"]) == ("/spay/APICardActionPay.do", "B0")
    card = {name: opened(data[name]) for name in ("cardNo", "vldDtYear", "vldDtMon", "idntNo", "cardPwd", "trdAmt")}
    assert card == {
        "cardNo": CARD.number,
        "vldDtYear": "39",
        "vldDtMon": "11",
        "idntNo": "880217",
        "cardPwd": "37",
        "trdAmt": "60000",
    }
    plain = {name: value for name, value in data.items() if name not in {*card, "pktHash"}}
    assert plain == {
        "pmtprdNm": "월간 이용권",
        "mchtCustNm": "Gildong Hong",
        "mchtCustId": "ORD1",
        "email": "gildong@shop.kr",
        "instmtMon": "03",
        "crcCd": "KRW",
        "notiUrl": "https://shop.example/settle",
    }


def test_a_notice_url_is_sent_only_where_one_is_set(hecto):
    request = hecto.request()
    _, _, data = sent(lambda g: g.charge_card("ORD1", request, CARD, 1), noti_url="")
    assert "notiUrl" not in data


def test_the_issue_of_a_key(hecto):
    path, params, data = sent(lambda g: g.issue_billing_key(hecto.issue_request(), CARD, 1))
    assert (path, params["bizType"], params["ver"]) == ("/spay/APICardAuth.do", "A4", "0A19")
    assert opened(data["cardNo"]) == CARD.number
    assert (data["keyRegYn"], data["mchtCustId"]) == ("Y", "member-7")
    assert data["pktHash"] == sha("20240102030405", "nxca_jt_bi", params["mchtTrdNo"], "0")


def test_the_query_asks_in_plain_and_under_a_number_of_its_own(hecto):
    query = replace(hecto.query("ORD1", "STFP_1"), amount=Money(1004))
    path, params, data = sent(lambda g: g.find_charge(query, 1))
    number = params.pop("mchtTrdNo")
    assert path == "/spay/APITrdcheck.do"
    assert number.startswith("ORD1q")
    assert params == {"mchtId": "nxca_jt_bi", "ver": "0A1M", "trdDt": "20240102", "trdTm": "030405"}
    assert data == {
        "pktHash": sha("20240102030405", "nxca_jt_bi", number, "1004"),
        "method": "CA",
        "trdAmt": "1004",
        "orgTrdDt": f"{query.requested_at + timedelta(hours=9):%Y%m%d}",
        "orgMchtTrdNo": "ORD1",
        "orgTrdNo": "STFP_1",
    }
    numbers = {sent(lambda g: g.find_charge(query, 1))[1]["mchtTrdNo"] for _ in range(5)}
    assert len(numbers) == 5


def test_the_turn_of_a_cancel(hecto):
    order_id, approved = hecto.charge()
    request = hecto.cancel_request(order_id, approved, 900, sequence=12, cancel_id="CNCL1")
    path, params, data = sent(lambda g: g.cancel(request, 1))
    assert (path, params["bizType"], params["mchtTrdNo"]) == ("/spay/APICancel.do", "C0", "CNCL1")
    assert data["cnclOrd"] == "012"
    assert opened(data["cnclAmt"]) == "900"
    assert data["orgTrdNo"] == approved.gateway_ref


@pytest.mark.parametrize(
    ("tax_free", "vat", "taxes"),
    [
        (0, None, None),
        (0, 100, ("N", "900", "100", "0")),
        (1000, None, ("Y", "0", "0", "1000")),
        (400, None, ("G", "545", "55", "400")),
        (400, 50, ("G", "550", "50", "400")),
    ],
)
def test_the_split_of_taxes(hecto, tax_free, vat, taxes):
    request = hecto.request(1000, tax_free=tax_free, vat=vat)
    _, _, data = sent(lambda g: g.charge_card("ORD1", request, CARD, 1))
    if taxes is None:
        assert "taxTypeCd" not in data
    else:
        found = [opened(data[name]) for name in ("taxAmt", "vatAmt", "taxFreeAmt")]
        assert (data["taxTypeCd"], *found) == taxes


def test_the_simulator_takes_mixed_taxes(hecto):
    for request in (hecto.request(tax_free=900), hecto.request(tax_free=900, vat=0), hecto.request(tax_free=8900)):
        assert isinstance(hecto.gateway.charge_card(hecto.order_id(), request, CARD, TIMEOUT), Approved)


@pytest.mark.parametrize(
    ("email", "kept"),
    [
        ("a.b+c@shop.kr", True),
        ("a?b@shop.kr", False),
        ("한글@shop.kr", False),
        ("x" * 60 + "@a.kr", False),
        (None, False),
    ],
)
def test_an_address_that_does_not_fit_is_left_out(hecto, email, kept):
    request = hecto.request(buyer=Buyer(email=email))
    _, _, data = sent(lambda g: g.charge_card("ORD1", request, CARD, 1))
    assert ("email" in data) is kept
    assert data["mchtCustNm"] == "구매자"


def test_texts_lose_what_hecto_does_not_take(hecto):
    name = "\"빨간\" <b>모자</b> & 장갑: 2개? 'x'\n🎁" + "가" * 100
    _, _, data = sent(lambda g: g.charge_card("ORD1", hecto.request(name=name), CARD, 1))
    assert data["pmtprdNm"].startswith("빨간 b 모자 /b 장갑 2개 x 가")
    assert len(data["pmtprdNm"].encode()) <= 128
    assert isinstance(hecto.gateway.charge_card(hecto.order_id(), hecto.request(name=name), CARD, TIMEOUT), Approved)


# --- replies ----------------------------------------------------------------------------------------------------


def reply(body, *, status="0021", code="0000", data=None, **params):
    """A charge's answer as Hecto words it, with the right hash unless data says otherwise."""
    asked = body["params"]
    said = {"trdNo": "STFP_1", "outStatCd": status, "outRsltCd": code, "outRsltMsg": "x", **asked, **params}
    amount = opened(body["data"].get("trdAmt", "")) or "0"
    mine = sha(status, said["trdDt"], said["trdTm"], MID, said["mchtTrdNo"] or "", amount)
    filled = {"pktHash": mine, "trdAmt": sealed(amount), "apprNo": "30001234", "issrId": "NHC", "cardNm": "NH 농협"}
    return {"params": said, "data": {**filled, **(data or {})}}


def charged(hecto, answer):
    return adapter(Said(answer)).charge_billing_key("ORD1", hecto.request(1004), {"bill_key": "K"}, TIMEOUT)


def test_an_approval_in_full(hecto):
    result = charged(hecto, lambda b: reply(b, trdDt="20240102", trdTm="030405"))
    assert isinstance(result, Approved)
    assert (result.gateway_ref, result.amount, result.balance) == ("STFP_1", Money(1004), Money(1004))
    assert result.approved_at == datetime(2024, 1, 1, 18, 4, 5, tzinfo=UTC)
    assert result.approval_number == "30001234"
    assert (result.card.code, result.card.name) == ("371", "NH 농협")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Approved),
        ({"data": {"trdAmt": "1004"}}, Approved),  # in plain, as the test bed may
        ({"data": {"cardNo": "111122xxxxxx4444", "cardKind": "NH 체크카드", "issrId": "???"}}, Approved),
        ({"trdDt": None, "trdTm": None}, Unknown),  # and so the hash is another
        ({"data": {"pktHash": "0" * 64}}, Unknown),
        ({"data": {"pktHash": None}}, Unknown),
        ({"data": {"pktHash": "해시"}}, Unknown),
        ({"data": {"trdAmt": "1005"}}, Unknown),
        ({"data": {"trdAmt": "많이"}}, Unknown),
        ({"data": {"trdAmt": ""}}, Unknown),
        ({"data": {"trdAmt": "10.04"}}, Unknown),
        ({"data": {"trdAmt": sealed("-1004")}}, Unknown),
        ({"data": {"trdAmt": base64.b64encode(b"x" * 16).decode()}}, Unknown),
        ({"trdNo": ""}, Unknown),
        ({"mchtTrdNo": "ORD2"}, Unknown),
        ({"mchtTrdNo": None}, Unknown),
        ({"status": "0061"}, Unknown),
        ({"status": "0031"}, Unknown),
        ({"code": "0001"}, Unknown),
        ({"code": "VTIM"}, Unknown),
        ({"status": "0031", "code": "CA20"}, Declined),
        ({"status": "0031", "code": "CA20", "mchtTrdNo": "ORD2"}, Unknown),
        ({"status": "0031", "code": "CA20", "mchtTrdNo": ""}, Declined),
        ({"status": "0021", "code": "CA20"}, Unknown),
        ({"status": "0099", "code": "CA20"}, Unknown),
    ],
)
def test_each_reply(hecto, changes, outcome):
    result = charged(hecto, lambda b: reply(b, **changes) if "trdDt" not in changes else unhashed(b, changes))
    assert isinstance(result, outcome), result
    assert not getattr(result, "unwell", False)


def unhashed(body, changes):
    answer = reply(body)
    answer["params"] |= changes
    return answer


def test_the_requests_own_hash_counts_as_well(hecto):
    """The editions differ on which of the two a charge's answer carries."""
    result = charged(hecto, lambda b: reply(b, data={"pktHash": b["data"]["pktHash"].upper()}))
    assert isinstance(result, Approved)


def test_an_approval_with_an_error_status_is_none(hecto):
    result = charged(hecto, lambda b: Reply(400, json.dumps(reply(b)).encode()))
    assert isinstance(result, Unknown)


def test_a_refusal_with_a_servers_error_is_none(hecto):
    result = charged(hecto, lambda b: Reply(503, json.dumps(reply(b, status="0031", code="CA20")).encode()))
    assert isinstance(result, Unknown)
    assert result.unwell


@pytest.mark.parametrize("data", [None, "", {}])
def test_a_refusal_without_data_is_a_refusal(hecto, data):
    result = charged(hecto, lambda b: {**reply(b, status="0031", code="CA20"), "data": data})
    assert isinstance(result, Declined)


def test_texts_come_url_encoded_or_not(hecto):
    for text in ("%ED%95%9C%EB%8F%84+%EC%B4%88%EA%B3%BC", "한도 초과"):
        result = charged(hecto, lambda b, text=text: reply(b, status="0031", code="CA31", outRsltMsg=text))
        assert result == Declined(R.LIMIT_EXCEEDED, "CA31", "한도 초과")


@pytest.mark.parametrize(
    ("code", "words", "reason"),
    [
        ("CA31", "잔액 부족", R.INSUFFICIENT_FUNDS),
        ("CA31", "1일 한도 초과", R.LIMIT_EXCEEDED),
        ("CA52", "도난 카드", R.LOST_OR_STOLEN),
        ("CA52", "거래 불가 카드", R.CARD_BLOCKED),
        ("CA58", "미등록 카드입니다. 카드사로 문의해 주세요.", R.CARD_NOT_SUPPORTED),
        ("CA13", "카드번호 오류", R.INVALID_CARD_NUMBER),
        ("CA13", "요청정보 오류", R.INVALID_REQUEST),
        ("CA82", "카드사 전화 요망", R.ISSUER_DECLINED),
        ("CA82", "분실신고된 카드", R.LOST_OR_STOLEN),
        ("CA21", "한도와 할부", R.INSTALLMENT_NOT_ALLOWED),
        ("ST70", "정책 차단", R.FRAUD_SUSPECTED),
        ("1901", "해쉬값 불일치 오류", R.CHANNEL_REJECTED),
        ("ST01", "고객정보 없음", R.BILLING_KEY_INVALID),
    ],
)
def test_reasons(hecto, code, words, reason):
    result = charged(hecto, lambda b: reply(b, status="0031", code=code, outRsltMsg=words))
    assert result == Declined(reason, code, words)


@pytest.mark.parametrize("code", ["CA13", "CA31", "CA52", "CA58", "CA82", "J999", "8373"])
@pytest.mark.parametrize("words", ["카드사 응답 지연", "카드사 연결 실패", "한도 조회 TIMEOUT"])
def test_a_no_whose_words_leave_it_open_is_asked_for(hecto, code, words):
    result = charged(hecto, lambda b: reply(b, status="0031", code=code, outRsltMsg=words))
    assert result == Unknown(words, code)


def test_words_count_only_where_the_code_leaves_them_the_reason(hecto):
    result = charged(hecto, lambda b: reply(b, status="0031", code="CA01", outRsltMsg="원천사 시스템 점검"))
    assert result == Declined(R.GATEWAY_MAINTENANCE, "CA01", "원천사 시스템 점검")


@pytest.mark.parametrize("will", [STOLEN, NO_FUNDS])
def test_special_cards_by_a_window_key(hecto, will):
    key = window_key(hecto.sandbox, SPECIAL[will].number)
    result = hecto.gateway.charge_billing_key(hecto.order_id(), hecto.request(), key, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is {STOLEN: R.LOST_OR_STOLEN, NO_FUNDS: R.INSUFFICIENT_FUNDS}[will]


def test_a_window_key_is_charged_and_deleted(hecto):
    key = window_key(hecto.sandbox, CARD.number)
    order_id = hecto.order_id()
    assert isinstance(hecto.gateway.charge_billing_key(order_id, hecto.request(), key, TIMEOUT), Approved)
    for _ in range(2):
        assert hecto.gateway.delete_billing_key(hecto.order_id(), key, TIMEOUT) == KeyDeleted()


@pytest.mark.parametrize(("billed", "outcome"), [("K", KeyDeleted), ("", KeyDeleted), ("OTHER", Unknown)])
def test_a_deletion_is_about_the_key_that_was_asked_for(billed, outcome):
    http = Said(lambda b: reply(b, data={"billKey": billed}))
    assert isinstance(adapter(http).delete_billing_key("DEL1", {"bill_key": "K"}, TIMEOUT), outcome)


@pytest.mark.parametrize(("data", "code"), [({}, "0000"), ({"billKey": ""}, "0000"), ({"billKey": "K"}, "0009")])
def test_an_issue_without_a_key_is_unknown(hecto, data, code):
    http = Said(lambda b: reply(b, code=code, data=data))
    assert isinstance(adapter(http).issue_billing_key(hecto.issue_request(), CARD, TIMEOUT), Unknown)


@pytest.mark.parametrize(
    ("customer_id", "sent_id"),
    [("member-7", "member-7"), (None, "key"), ("회원", None), ("a b", None), ("x" * 51, None)],
)
def test_the_buyer_keeps_his_name_at_hecto(hecto, customer_id, sent_id):
    """Charges of the key name the buyer as its issue did."""
    http = Said()
    gateway = hecto.connect(TEST_CREDENTIALS, http=http)
    issued = gateway.issue_billing_key(hecto.issue_request(customer_id), CARD, TIMEOUT)
    assert isinstance(issued, KeyIssued)
    hecto_id = http.bodies[0]["data"]["mchtCustId"]
    assert hecto_id.startswith(sent_id or "")
    assert hecto_id.isascii()
    assert len(hecto_id) <= 50
    assert isinstance(gateway.charge_billing_key(hecto.order_id(), hecto.request(), issued.secret, TIMEOUT), Approved)
    assert http.bodies[1]["data"]["mchtCustId"] == hecto_id


# --- queries ----------------------------------------------------------------------------------------------------


def found(hecto, *, ref=None, data=None, **params):
    def answer(body):
        asked = body["params"]
        said = {
            "trdNo": "STFP_1",
            "outStatCd": "0021",
            "outRsltCd": "0000",
            "outRsltMsg": "정상거래",
            **asked,
            **params,
        }
        hashed = {"pktHash": body["data"]["pktHash"], "method": "CA", "trdAmt": "8900", "cnclAmt": "0"}
        return {"params": said, "data": {**hashed, **(data or {})}}

    return adapter(Said(answer)).find_charge(hecto.query("ORD1", ref), TIMEOUT)


@pytest.mark.parametrize(
    ("changes", "balance", "parts"),
    [
        ({}, 8900, 0),
        ({"data": {"cnclAmt": None}}, None, 0),
        ({"data": {"cnclAmt": "900"}}, 8000, 1),
        ({"outRsltCd": "0001", "data": {"cnclAmt": "900"}}, 8000, 1),
        ({"outRsltCd": "0001", "data": {"cnclAmt": "8900"}}, 0, 1),
        ({"data": {"trdAmt": sealed("8900"), "cnclAmt": sealed("0")}}, 8900, 0),
    ],
)
def test_what_is_left_of_a_charge(hecto, changes, balance, parts):
    result = found(hecto, **changes)
    assert isinstance(result, Approved), result
    assert (result.gateway_ref, result.amount) == ("STFP_1", Money(8900))
    assert result.balance == (None if balance is None else Money(balance))
    assert len(result.cancels) == parts


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"outRsltCd": "0009", "outRsltMsg": "결제실패"}, Declined),
        ({"outRsltCd": "0002"}, Unknown),
        ({"outRsltCd": "9999"}, Unknown),
        ({"outRsltCd": "0001", "data": {"cnclAmt": None}}, Unknown),
        ({"outRsltCd": "0001", "data": {"cnclAmt": "0"}}, Unknown),
        ({"trdNo": ""}, Unknown),
        ({"data": {"trdAmt": None}}, Unknown),
        ({"data": {"cnclAmt": "8901"}}, Unknown),
        ({"data": {"pktHash": "0" * 64}}, Unknown),
        ({"mchtTrdNo": "ORD1"}, Unknown),  # the answer to a question that was not this one
        ({"outStatCd": "0031", "outRsltCd": "ST06"}, NotFound),
        ({"outStatCd": "0031", "outRsltCd": "CA10"}, NotFound),
        ({"outStatCd": "0031", "outRsltCd": "ST06", "mchtTrdNo": "ORD1"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "ST06", "mchtTrdNo": ""}, NotFound),
        ({"outStatCd": "0021", "outRsltCd": "ST06"}, Unknown),
        ({"outStatCd": "0099", "outRsltCd": "ST06"}, Unknown),
        ({"outStatCd": "0099", "outRsltCd": "CA10"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "1001"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "0001"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "0009"}, Unknown),
    ],
)
def test_other_answers_to_a_query(hecto, changes, outcome):
    assert isinstance(found(hecto, **changes), outcome)


def test_the_number_we_have_is_the_one_that_stays(hecto):
    assert found(hecto, ref="STFP_OURS", trdNo="").gateway_ref == "STFP_OURS"


def test_a_charge_with_a_number_is_never_called_not_found(hecto):
    """Hecto may look a day back and no further."""
    assert isinstance(found(hecto, ref="STFP_1", outStatCd="0031", outRsltCd="ST06"), Unknown)


@pytest.mark.parametrize(("code", "unwell"), [("1901", True), ("ST47", True), ("ST09", False)])
def test_refused_credentials_speak_against_the_channel(hecto, code, unwell):
    result = found(hecto, outStatCd="0031", outRsltCd=code)
    assert isinstance(result, Unknown)
    assert result.unwell is unwell


@pytest.mark.parametrize(
    ("asked", "carried_out"),
    [
        ("2026-11-23T23:59:59+09:00", "2026-11-24T00:00:10+09:00"),
        ("2026-11-24T00:00:00+09:00", "2026-11-23T23:59:50+09:00"),
        ("2026-11-23T12:00:00+09:00", "2026-11-23T12:00:01+09:00"),
    ],
)
def test_one_question_finds_an_order_on_either_side_of_midnight(hecto, asked, carried_out):
    hecto.sandbox.clock.set(datetime.fromisoformat(carried_out).timestamp())
    order_id, _ = hecto.charge()
    query = replace(hecto.query(order_id), requested_at=datetime.fromisoformat(asked).astimezone(UTC))
    assert isinstance(hecto.gateway.find_charge(query, TIMEOUT), Approved)


def test_the_spec_does_not_ask_later_than_hecto_may_know():
    assert settle.SPEC.find_window == timedelta(days=1)


def test_only_the_contract_lets_card_data_through():
    spec = settle.SPEC
    assert not spec.takes_card_data
    options = spec.options({**TEST_CREDENTIALS, "issue_by_api": "N"})
    assert options == ("key_in",)
    assert spec.under(options).operations - spec.operations == {Operation.CHARGE_CARD}
    assert spec.under(("issue_by_api",)).operations - spec.operations == {Operation.ISSUE_BILLING_KEY}


def test_instalments_of_more_than_a_year_are_excluded_before_anything_is_sent(hecto):
    for quota, fits in ((0, True), (2, True), (12, True), (13, False), (36, False)):
        objections = settle.SPEC.objections(Operation.CHARGE_BILLING_KEY, hecto.request(60_000, quota=quota))
        assert (objections == ()) is fits, quota


# --- cancels ----------------------------------------------------------------------------------------------------


def cancelled(hecto, *, data=None, **params):
    def answer(body):
        said = {"trdNo": "STFP_2", "outStatCd": "0021", "outRsltCd": "0000", **body["params"], **params}
        mine = {"pktHash": body["data"]["pktHash"], "orgTrdNo": "STFP_1", "cnclAmt": sealed("900")}
        return {"params": said, "data": {**mine, "blcAmt": sealed("8000"), **(data or {})}}

    approved = Approved("STFP_1", Money(8900), datetime.now(UTC))
    return adapter(Said(answer)).cancel(hecto.cancel_request("ORD1", approved, 900), TIMEOUT)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Cancelled),
        ({"data": {"cnclAmt": "900", "blcAmt": "8000"}}, Cancelled),
        ({"data": {"blcAmt": None}}, Cancelled),
        ({"data": {"cnclAmt": sealed("901")}}, Unknown),
        ({"data": {"cnclAmt": None}}, Unknown),
        ({"data": {"orgTrdNo": "STFP_9"}}, Unknown),
        ({"data": {"orgTrdNo": None}}, Unknown),
        ({"data": {"pktHash": "0" * 64}}, Unknown),
        ({"mchtTrdNo": "CNCL9"}, Unknown),
        ({"outRsltCd": "0001"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "CA12"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "ST25"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "ST56"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "ST50"}, Unknown),
        ({"outStatCd": "0031", "outRsltCd": "ST57"}, Declined),
        ({"outStatCd": "0031", "outRsltCd": "CA83"}, Declined),
        ({"outStatCd": "0031", "outRsltCd": "0001"}, Unknown),
    ],
)
def test_each_answer_to_a_cancel(hecto, changes, outcome):
    assert isinstance(cancelled(hecto, **changes), outcome)


def test_a_cancel_in_full(hecto):
    result = cancelled(hecto, trdDt="20240102", trdTm="030405")
    assert result.cancel.gateway_ref == "STFP_2"
    assert result.cancel.cancelled_at == datetime(2024, 1, 1, 18, 4, 5, tzinfo=UTC)
    assert result.balance == Money(8000)


def test_a_cancel_out_of_turn_gives_nothing_back(hecto):
    order_id, approved = hecto.charge()
    for sequence in (2, 3):
        request = hecto.cancel_request(order_id, approved, 900, sequence=sequence)
        assert isinstance(hecto.gateway.cancel(request, TIMEOUT), Unknown)
    assert hecto.money_taken(order_id) == 8900


def test_without_a_number_nothing_is_cancelled(hecto):
    order_id, approved = hecto.charge()
    request = replace(hecto.cancel_request(order_id, approved, 8900), gateway_ref="")
    with pytest.raises(UnsupportedOperation):
        hecto.gateway.cancel(request, TIMEOUT)


def test_an_encryption_key_of_another_length_is_the_channels_fault(hecto):
    result = hecto.connect({**TEST_CREDENTIALS, "aes_key": "short"}).charge_card("A1", hecto.request(), CARD, TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.reason, result.code) == (R.CHANNEL_REJECTED, "aes_key")


@pytest.mark.parametrize("wrong", ["aes_key", "hash_key"])
def test_either_key_that_is_wrong_is_the_channels_fault(hecto, wrong):
    gateway = hecto.connect({**TEST_CREDENTIALS, wrong: "x" * 32})
    result = gateway.charge_card(hecto.order_id(), hecto.request(), CARD, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED


# --- what the simulator insists on ------------------------------------------------------------------------------


@pytest.fixture
def wire(hecto):
    """wire(number, changes of params, changes of data) -> code: a charge of a key without the adapter."""
    pool = urllib3.PoolManager()
    key = window_key(hecto.sandbox, CARD.number)["bill_key"]

    def call(number, params=None, data=None, amount="8900"):
        now = hecto.sandbox.clock.kst()
        head = {"mchtId": MID, "ver": "0A19", "method": "CA", "bizType": "B0", "encCd": "23", "mchtTrdNo": number}
        head |= {"trdDt": f"{now:%Y%m%d}", "trdTm": f"{now:%H%M%S}", **(params or {})}
        body = {"pmtprdNm": "이용권", "mchtCustNm": "홍길동", "mchtCustId": "gildong", "billKey": key, "crcCd": "KRW"}
        body |= {"instmtMon": "00", "trdAmt": sealed(amount)}
        body |= {"pktHash": sha(head["trdDt"], head["trdTm"], MID, number, amount), **(data or {})}
        body = {name: value for name, value in body.items() if value is not None}
        answer = pool.request(
            "POST", f"{hecto.sandbox.url}/spay/APICardActionPay.do", json={"params": head, "data": body}
        )
        assert answer.status == 200
        return answer.json()["params"]["outRsltCd"]

    yield call
    pool.clear()


@pytest.mark.parametrize(
    ("params", "data", "amount", "code"),
    [
        ({}, {}, "8900", "0000"),
        ({"mchtId": "nobody"}, {}, "8900", "ST47"),
        ({"ver": "0A1M"}, {}, "8900", "ST09"),
        ({"bizType": "A1"}, {}, "8900", "ST09"),
        ({"trdTm": "9"}, {}, "8900", "ST09"),
        ({}, {"trdAmt": "8900"}, "8900", "1902"),
        ({}, {"pktHash": "0" * 64}, "8900", "1901"),
        ({}, {"pmtprdNm": None}, "8900", "1013"),
        ({}, {"mchtCustNm": ""}, "8900", "ST09"),
        ({}, {"pmtprdNm": "가" * 43}, "8900", "1108"),
        ({}, {"pmtprdNm": "모자 & 장갑"}, "8900", "6001"),
        ({}, {"billKey": "SBILL_NONE"}, "8900", "ST01"),
        ({}, {"crcCd": "USD"}, "8900", "ST09"),
        ({}, {"instmtMon": "3"}, "60000", "CA21"),
        ({}, {"instmtMon": "03"}, "8900", "CA21"),
        ({}, {"instmtMon": "03"}, "60000", "0000"),
        ({}, {"taxTypeCd": "G"}, "8900", "ST55"),
        ({}, {}, "999", "CA42"),
        ({}, {}, "1.5", "1109"),
    ],
)
def test_the_simulator_checks_what_the_documents_say(hecto, wire, params, data, amount, code):
    assert wire(hecto.order_id(), params, data, amount) == code


def test_a_number_is_used_up_until_midnight_and_no_longer(hecto, wire):
    """Why our order ids name one attempt and are never sent twice."""
    hecto.clock.shift = datetime(2026, 11, 23, 14, 59, 0, tzinfo=UTC) - datetime.now(UTC)
    order_id = hecto.order_id()
    assert [wire(order_id) for _ in range(2)] == ["0000", "ST50"]
    hecto.clock.shift += timedelta(minutes=2)
    assert wire(order_id) == "0000"
    assert hecto.money_taken(order_id) == 2 * 8900


# --- codes ------------------------------------------------------------------------------------------------------

# The table of Hecto's documents: codes of the PG as a whole, those of cards, and those that its page on cancels adds.
PUBLISHED = """
0000 0009 1001 1002 1003 1004 1005 1006 1007 1008 1009 1010 1011 1012 1013 1101 1102 1103 1104 1105 1106 1107 1108 1109
1110 1111 1112 1113 1114 1115 1116 1117 1118 1119 1120 1121 1122 1123 1124 1125 1126 1127 1901 1902 2001 2002 2003 5001
5002 5003 5004 5005 5006 6001 9001 9002 9003 9004 9005 9006 9007 9901 9902 9903 9904 9905 9999 3007 ST01 STR1 STR2 STR3
STR4 STR5 STR6 STR7 STR8 ST06 ST03 ST08 ST07 ST09 ST10 ST11 ST13 ST19 ST24 ST25 ST26 ST30 ST32 ST38 ST39 ST41 ST44 ST45
ST46 ST47 ST48 ST50 ST54 ST55 ST56 ST57 ST58 ST60 ST68 ST69 ST70 ST79 ST90 ST91 ST92 ST93 ST94 ST95 ST96 ST97 ST99 VTIM
CA01 CA02 CA03 CA04 CA10 CA11 CA12 CA13 CA14 CA15 CA16 CA17 CA18 CA19 CA20 CA21 CA22 CA23 CA26 CA27 CA28 CA29 CA30 CA31
CA32 CA33 CA34 CA35 CA36 CA37 CA38 CA40 CA41 CA42 CA50 CA51 CA52 CA53 CA54 CA55 CA56 CA57 CA58 CA60 CA61 CA62 CA63 CA64
CA59 J999 CA65 CA70 CA75 CA80 CA81 0905 CA82 CA83 CA84 CA85 CA86 CA87 CA88 8373 8375
0001 0002 0003 0004
"""


def test_every_published_code_means_one_thing():
    known = [*settle.DECLINES, *settle.UNKNOWN_CODES, *settle.NOT_FOUND_CODES]
    assert len(known) == len(set(known))
    assert sorted(known) == sorted(PUBLISHED.split())
    assert set(settle.DECLINES) >= settle.TOLD_IN_WORDS


@pytest.mark.parametrize(
    "code",
    ["VTIM", "CA02", "CA04", "CA80", "CA81", "CA86", "ST03", "ST10", "ST38", "ST50", "9999", "9904", "5002", "ST41"],
)
def test_what_may_have_taken_money_is_no_decline(hecto, code):
    assert isinstance(charged(hecto, lambda b: reply(b, status="0031", code=code)), Unknown)


@pytest.mark.parametrize(
    ("code", "elsewhere"),
    [("CA26", True), ("CA31", True), ("CA58", True), ("CA60", True), ("CA20", False), ("CA27", False), ("CA50", False)],
)
def test_hard_and_soft(code, elsewhere):
    assert settle.DECLINES[code].elsewhere is elsewhere
