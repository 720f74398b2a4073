"""What only KSNET does, and what its simulator insists on."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import urllib3

from chalicelib.domain.charging import Approved, Buyer, Cancelled, Declined, NotSent, Operation, Unknown
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import Money
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.ksnet import DECLINES, SPEC, UNKNOWN_CODES
from chalicelib.ports import UnsupportedOperation
from infra.sandbox.ksnet import MESSAGES, OTHER_CREDENTIALS, TEST_CREDENTIALS
from tests.contract.conftest import CARD, TIMEOUT

API = "/kspay/webfep/api/v1"


@pytest.fixture
def ksnet(connect):
    return connect("ksnet")


@pytest.fixture
def wire(ksnet):
    """wire(path, body) -> JSON: the simulator without the adapter."""
    pool = urllib3.PoolManager()

    def call(path, body, key=TEST_CREDENTIALS["api_key"]):
        headers = {"Authorization": f"pgapi {key}", "Content-Type": "application/json; charset=utf-8"}
        return pool.request("POST", ksnet.sandbox.url + API + path, body=json.dumps(body), headers=headers).json()

    yield call
    pool.clear()


class Watching(HttpClient):
    """Keeps what was sent: (path, body, headers)."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, dict, dict]] = []

    def send(self, method, url, **kwargs):
        self.sent.append((url.partition(API)[2], json.loads(kwargs["body"]), dict(kwargs["headers"])))
        return super().send(method, url, **kwargs)


def sent(ksnet, credentials=TEST_CREDENTIALS, card=CARD, **request):
    """What a charge sends, and its result."""
    http, order_id = Watching(), ksnet.order_id()
    result = ksnet.connect(credentials, http=http).charge_card(order_id, ksnet.request(**request), card, TIMEOUT)
    [(path, body, headers)] = http.sent
    assert headers["Authorization"] == f"pgapi {credentials['api_key']}"
    return path, body, result


def answer(code="A0200", **data):
    given = {"payload": "order-1", "tid": "189189011016", "tradeDateTime": "20261123103121", "respCode": "0000"}
    return json.dumps({"aid": "WFV1", "code": code, "message": "Success", "data": {**given, **data}}).encode()


def charged(ksnet, answering, body, status="200 OK", **request):
    gateway = ksnet.connect(TEST_CREDENTIALS, answering(body, status))
    return gateway.charge_card("order-1", ksnet.request(**request), CARD, TIMEOUT)


# --- what is sent -----------------------------------------------------------------------------------------------


def test_the_whole_order_is_on_the_wire(ksnet):
    path, body, _ = sent(ksnet, amount=60_000, quota=3, tax_free=5_000, vat=5_000, product_type="digital")
    assert path == "/card/pay/oldcert"
    assert body == {
        "mid": "2999199999",
        "payload": body["orderNumb"],
        "orderNumb": body["orderNumb"],
        "userName": "Gildong Hong",
        "userEmail": "gildong@shop.kr",
        "productType": "DIGITAL",
        "productName": "월간 이용권",
        "totalAmount": "60000",
        "taxFreeAmount": "5000",
        "tax": "5000",
        "cardNumb": CARD.number,
        "expiryDate": "3911",
        "installMonth": "03",
        "currencyType": "KRW",
        "userInfo": "880217",
        "password2": "37",
    }


@pytest.mark.parametrize(
    ("old_cert", "missing", "path"),
    [
        ("Y", {}, "oldcert"),
        ("Y", {"birth": None}, "noncert"),
        ("Y", {"password_2digits": None}, "noncert"),
        ("N", {}, "noncert"),
    ],
)
def test_the_holder_is_checked_if_contract_and_request_have_it(ksnet, old_cert, missing, path):
    sent_path, body, result = sent(ksnet, {**TEST_CREDENTIALS, "old_cert": old_cert}, replace(CARD, **missing))
    assert sent_path == f"/card/pay/{path}"
    assert {"userInfo", "password2"}.isdisjoint(body) is (path == "noncert")
    assert isinstance(result, Approved)


def test_a_contract_may_say_nothing_about_the_holder(ksnet):
    credentials = {name: value for name, value in TEST_CREDENTIALS.items() if name != "old_cert"}
    assert sent(ksnet, credentials)[0] == "/card/pay/noncert"


def test_a_check_that_was_not_contracted_is_the_channels_fault(ksnet):
    _, _, result = sent(ksnet, {**OTHER_CREDENTIALS, "old_cert": "Y"})
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED


def test_a_dollar_is_a_thousand_on_the_wire(ksnet):
    order_id = ksnet.order_id()
    request = replace(ksnet.request(), amount=Money(1050, "USD"))
    approved = ksnet.gateway.charge_card(order_id, request, CARD, TIMEOUT)
    assert isinstance(approved, Approved)
    assert approved.amount == Money(1050, "USD")
    [row] = ksnet.books(order_id)
    assert (row["amount"], row["currency"]) == (1050, "USD")
    part = replace(ksnet.cancel_request(order_id, approved, 1), amount=Money(250, "USD"), balance=approved.amount)
    http = Watching()
    cancelled = ksnet.connect(TEST_CREDENTIALS, http=http).cancel(part, TIMEOUT)
    assert http.sent[0][1]["cancelTotalAmount"] == "2500"
    assert isinstance(cancelled, Cancelled)
    assert cancelled.cancel.amount == Money(250, "USD")
    assert ksnet.money_taken(order_id) == 800


@pytest.mark.parametrize(
    ("name", "wired"),
    [
        ("똠얌꿍 세트", "얌꿍 세트"),
        ("🎁 선물", "선물"),
        ("🎁", "상품"),
        (None, "상품"),
        ("가" * 26, "가" * 25),
        ("x" + "가" * 25, "x" + "가" * 24),
    ],
)
def test_texts_have_the_characters_of_euc_kr(ksnet, name, wired):
    """The simulator refuses others, and syllables that EUC-KR has to spell out."""
    _, body, result = sent(ksnet, name=name)
    assert body["productName"] == wired
    assert isinstance(result, Approved)


@pytest.mark.parametrize(("name", "wired"), [("Zoë", "Zo"), ("🎁", "구매자"), ("홍길동", "홍길동")])
def test_buyers_names_are_adapted(ksnet, name, wired):
    _, body, result = sent(ksnet, buyer=Buyer(name, email="a@" + "b" * 50))
    assert body["userName"] == wired
    assert "userEmail" not in body
    assert isinstance(result, Approved)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"userName": "똠"}, "A0400"),
        ({"productName": "가" * 26}, "A0400"),
        ({"productType": "real"}, "A0400"),
        ({"totalAmount": 8900}, "A0400"),
        ({"totalAmount": "1000000000"}, "A0400"),
        ({"totalAmount": "1005", "currencyType": "USD"}, "A0400"),
        ({"taxFreeAmount": "9000"}, "A0400"),
        ({"installMonth": "0"}, "A0400"),
        ({"orderNumb": ""}, "A0400"),
        ({"mid": "2999199990"}, "A0401"),
    ],
)
def test_the_simulator_checks_what_the_documentation_says(ksnet, wire, changes, code):
    body = {"mid": "2999199999", "orderNumb": ksnet.order_id(), "userName": "홍", "productType": "REAL"}
    body |= {"productName": "이용권", "totalAmount": "8900", "cardNumb": CARD.number, "expiryDate": "3911"}
    body |= {"installMonth": "00", "currencyType": "KRW", "payload": "p"}
    assert wire("/card/pay/noncert", body)["code"] == "A0200"
    assert wire("/card/pay/noncert", body | changes)["code"] == code


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"product_type": None}, "product_type"),
        ({"product_type": "REAL"}, "product_type"),
        ({"buyer": Buyer()}, "buyer_name"),
        ({"amount": Money(1000, "JPY")}, "currency"),
    ],
)
def test_routing_knows_what_it_cannot_take(ksnet, changes, field):
    [objection] = SPEC.objections(Operation.CHARGE_CARD, replace(ksnet.request(), **changes))
    assert objection.startswith(f"{field}:")


# --- what is answered -------------------------------------------------------------------------------------------


def test_every_published_code_is_mapped():
    published = ["8326", "6003", "7003", "A0200", "A0201", "A0400", "A0401", "A0403", "A0500", "A0999"]
    assert set(published) == {*DECLINES, *UNKNOWN_CODES}
    assert not set(DECLINES) & UNKNOWN_CODES


def test_an_answer_in_full(ksnet, answering):
    body = answer(totalAmount="8900", approvalNumb="00112345", issuerCardName="현대카드", cardType="CHECK")
    result = charged(ksnet, answering, body)
    assert isinstance(result, Approved)
    assert (result.gateway_ref, result.amount, result.approval_number) == ("189189011016", Money(8900), "00112345")
    assert result.approved_at == datetime(2026, 11, 23, 1, 31, 21, tzinfo=UTC)
    assert result.card
    assert (result.card.name, result.card.number, result.card.type) == ("현대카드", CARD.masked, 1)


@pytest.mark.parametrize(
    "body",
    [
        answer(totalAmount="8900", payload="order-2"),
        answer(totalAmount="8900", payload=None),
        answer(totalAmount="8900", tid="Lbd124090920"),
        answer(totalAmount="8900", tid=""),
        answer(totalAmount=""),
        answer(totalAmount="8,900"),
        answer(totalAmount="89.0"),
        answer(totalAmount="-8900"),
        answer(totalAmount="0"),
        answer(totalAmount="8900", tid="1" * 61),
        answer(totalAmount="８９００"),
        answer(totalAmount="8900", respCode="0001"),
        answer(totalAmount="8900", respCode=None),
        answer("A0201", totalAmount="8900"),
    ],
)
def test_a_yes_with_something_wrong_is_unknown(ksnet, answering, body):
    assert isinstance(charged(ksnet, answering, body), Unknown)


def test_a_tenth_of_a_cent_makes_the_amount_unreadable(ksnet, answering):
    for text, expected in (("10500", Approved), ("10505", Unknown)):
        gateway = ksnet.connect(TEST_CREDENTIALS, answering(answer(totalAmount=text)))
        request = replace(ksnet.request(), amount=Money(1050, "USD"))
        assert isinstance(gateway.charge_card("order-1", request, CARD, TIMEOUT), expected)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("승인거절/월사용한도초과", R.LIMIT_EXCEEDED),
        ("승인거절/잔액부족", R.INSUFFICIENT_FUNDS),
        ("도난분실카드/카드사문의", R.LOST_OR_STOLEN),
        ("거래정지카드", R.CARD_BLOCKED),
        ("유효기간오류", R.EXPIRED_CARD),
        ("승인거절/카드사문의요망", R.ISSUER_DECLINED),
        ("미등록가맹점", R.CHANNEL_REJECTED),
        ("승인거절/주문번호중복", None),
        ("카드사 응답시간초과", None),
        ("통신장애/재시도요망", None),
        ("승인거절/시스템장애", None),
        ("알 수 없는 상태", None),
        ("", None),
    ],
)
def test_an_issuers_refusal_is_read_from_its_words(ksnet, answering, caplog, words, reason):
    result = charged(ksnet, answering, answer("A0201", tid="Lbd124090920", respCode="8999", respMessage=words))
    assert result.code == "8999"
    if reason is None:
        assert isinstance(result, Unknown)
        assert "8999" in caplog.text
    else:
        assert isinstance(result, Declined)
        assert (result.reason, result.message) == (reason, words)


@pytest.mark.parametrize("changes", [{"tid": "189189011016"}, {"tid": ""}, {"payload": "order-2"}, {"respCode": ""}])
def test_a_refusal_that_is_not_a_failed_try_of_ours_is_unknown(ksnet, answering, changes):
    told = {"tid": "Lbd124090920", "respCode": "8326", "respMessage": "승인거절/월사용한도초과"}
    assert isinstance(charged(ksnet, answering, answer("A0201", **told)), Declined)
    result = charged(ksnet, answering, answer("A0201", **told | changes))
    assert isinstance(result, Unknown)
    assert result.code == "A0201"


@pytest.mark.parametrize("code", ["A0400", "A0401", "A0403", "8326"])
def test_a_refusal_beside_a_trade_that_worked_is_unknown(ksnet, answering, code):
    assert isinstance(charged(ksnet, answering, answer(code, totalAmount="8900")), Unknown)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("8326", {"respCode": None}),
        ("A0201", {"respCode": "A0401", "respMessage": "오류"}),
        ("A0201", {"respCode": "0000", "respMessage": "승인거절"}),
    ],
)
def test_codes_count_in_their_own_place_only(ksnet, answering, code, changes):
    assert isinstance(charged(ksnet, answering, answer(code, **{"tid": "Lbd124090920"} | changes)), Unknown)


def test_a_card_number_in_an_answer_is_not_kept(ksnet, answering):
    body = answer(totalAmount="8900", approvalNumb=CARD.number, issuerCardName=f"현대카드 {CARD.number}")
    result = charged(ksnet, answering, body)
    assert isinstance(result, Approved)
    assert CARD.number not in repr(result)


def test_a_bad_parameter_is_a_no_unless_it_is_about_a_repetition(ksnet, answering):
    for message, expected in (("productType 오류", Declined), ("orderNumb 중복", Unknown)):
        body = json.dumps({"aid": "WFV1", "code": "A0400", "message": message, "data": None}).encode()
        assert isinstance(charged(ksnet, answering, body), expected)


# --- cancels ----------------------------------------------------------------------------------------------------


def test_nine_parts_and_no_more(ksnet):
    order_id, approved = ksnet.charge()
    for sequence in range(1, 10):
        part = ksnet.cancel_request(order_id, approved, 100, 9000 - 100 * sequence, sequence=sequence)
        assert isinstance(ksnet.gateway.cancel(part, TIMEOUT), Cancelled)
    assert SPEC.max_cancels == 9
    tenth = ksnet.cancel_request(order_id, approved, 100, 8000, sequence=10)
    assert not isinstance(ksnet.gateway.cancel(tenth, TIMEOUT), Cancelled)
    assert ksnet.money_taken(order_id) == 8000


def test_cancels_are_told_apart(ksnet):
    order_id, approved = ksnet.charge()
    references = set()
    for sequence, balance in ((1, 8900), (2, 8000)):
        part = ksnet.cancel_request(order_id, approved, 900, balance, sequence=sequence)
        references.add(ksnet.gateway.cancel(part, TIMEOUT).cancel.gateway_ref)
    assert len(references) == 2


def test_six_months_after_the_charge_nothing_is_given_back(ksnet):
    order_id, approved = ksnet.charge()
    ksnet.clock.shift = timedelta(days=190)
    result = ksnet.gateway.cancel(ksnet.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.code, result.reason) == ("7003", R.INVALID_REQUEST)


@pytest.mark.parametrize("code", ["7001", "7002", "7004", "7006"])
def test_words_do_not_make_a_cancel_refused(ksnet, code):
    """Nobody can be asked whether an earlier try, that got no answer, has given the money back."""
    order_id, approved = ksnet.charge()
    assert "거절" in MESSAGES[code]
    ksnet.sandbox.fail("cancel", "decline", code=code)
    assert isinstance(ksnet.gateway.cancel(ksnet.cancel_request(order_id, approved, 8900), TIMEOUT), Unknown)


@pytest.mark.parametrize(
    ("changes", "done"),
    [
        ({}, True),
        ({"cancelAmount": "8901"}, False),
        ({"cancelAmount": ""}, False),
        ({"payload": "another"}, False),
        ({"tid": "Lbd124090990"}, False),
    ],
)
def test_a_cancel_is_done_if_the_answer_shows_it(ksnet, answering, changes, done):
    order_id, approved = ksnet.charge()
    request = ksnet.cancel_request(order_id, approved, 8900)
    body = answer(**{"payload": request.cancel_id, "cancelAmount": "8900"} | changes)
    result = ksnet.connect(TEST_CREDENTIALS, answering(body)).cancel(request, TIMEOUT)
    assert isinstance(result, Cancelled if done else Unknown)


# --- undoing by order number ------------------------------------------------------------------------------------


def undo(ksnet, order_id, charged_at=None, gateway=None, timeout=TIMEOUT):
    class Never:
        gateway_ref, amount = "", Money(8900)

    request = ksnet.cancel_request(order_id, Never, 8900)
    return (gateway or ksnet.gateway).cancel(replace(request, charged_at=charged_at or ksnet.clock.now()), timeout)


@pytest.mark.parametrize(
    ("sent_at", "carried_out"),
    [
        ("2026-11-23T23:59:30+09:00", "2026-11-24T00:00:10+09:00"),
        ("2026-11-24T00:00:10+09:00", "2026-11-23T23:59:50+09:00"),
        ("2026-11-24T00:20:00+09:00", "2026-11-24T00:20:01+09:00"),
        ("2026-11-23T12:00:00+09:00", "2026-11-23T12:00:01+09:00"),
    ],
)
def test_a_charge_is_undone_on_either_side_of_midnight(ksnet, sent_at, carried_out):
    ksnet.sandbox.clock.set(datetime.fromisoformat(carried_out).timestamp())
    order_id, _ = ksnet.charge()
    ksnet.clock.shift = datetime(2026, 11, 24, 12, tzinfo=UTC) - datetime.now(UTC)
    result = undo(ksnet, order_id, datetime.fromisoformat(sent_at).astimezone(UTC))
    assert isinstance(result, Cancelled), result
    assert ksnet.money_taken(order_id) == 0


def test_far_from_midnight_one_question_is_enough(ksnet):
    http = Watching()
    noon = datetime(2026, 11, 23, 3, tzinfo=UTC)
    undo(ksnet, ksnet.order_id(), noon, ksnet.connect(TEST_CREDENTIALS, http=http))
    assert [body["orgTradeDate"] for _, body, _ in http.sent] == ["20261123"]


def test_nothing_to_undo_proves_nothing(ksnet):
    """The charge may be on its way."""
    order_id = ksnet.order_id()
    ksnet.sandbox.fail("charge", "late_approval", seconds=60)
    assert isinstance(ksnet.gateway.charge_card(order_id, ksnet.request(), CARD, TIMEOUT), Unknown)
    result = undo(ksnet, order_id)
    assert isinstance(result, Unknown)
    assert result.code == "7001"


@pytest.mark.parametrize("code", ["7001", "7002", "7003", "A0400", "A0500", "8326"])
def test_no_refusal_of_an_undoing_is_a_no(ksnet, code):
    order_id, _ = ksnet.charge()
    ksnet.sandbox.fail("cancel", "decline", code=code, times=2)
    assert isinstance(undo(ksnet, order_id), Unknown)


def test_undoing_with_refused_credentials_is_the_channels_fault(ksnet):
    order_id, _ = ksnet.charge()
    result = undo(ksnet, order_id, gateway=ksnet.connect(ksnet.wrong_credentials()))
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED


def test_undone_already_is_for_a_person(ksnet):
    order_id, _ = ksnet.charge()
    ksnet.sandbox.fail("cancel", "reply_lost")
    assert isinstance(undo(ksnet, order_id), Unknown)
    assert ksnet.money_taken(order_id) == 0
    assert isinstance(undo(ksnet, order_id), Unknown)


def test_without_an_answer_the_other_day_is_not_asked(ksnet):
    http = Watching()
    ksnet.sandbox.fail("cancel", "reply_lost", times=2)
    midnight = datetime.fromisoformat("2026-11-24T00:00:10+09:00")
    assert isinstance(undo(ksnet, ksnet.order_id(), midnight, ksnet.connect(TEST_CREDENTIALS, http=http)), Unknown)
    assert len(http.sent) == 1


def test_undoing_needs_time(ksnet):
    assert isinstance(undo(ksnet, ksnet.order_id(), timeout=0), NotSent)


def test_only_the_whole_is_undone(ksnet):
    order_id, approved = ksnet.charge()
    part = replace(ksnet.cancel_request(order_id, approved, 900), gateway_ref="")
    with pytest.raises(UnsupportedOperation):
        ksnet.gateway.cancel(part, TIMEOUT)
