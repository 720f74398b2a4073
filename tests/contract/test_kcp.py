"""What only NHN KCP does, and what its simulator insists on."""

import base64
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Buyer,
    Cancelled,
    Declined,
    KeyDeleted,
    KeyIssued,
    Operation,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.kcp import CANCEL_DECLINES, DECLINES, SPEC, UNKNOWN_CODES
from chalicelib.ports import UnsupportedOperation
from chalicelib.usecases.channels import check_credentials
from infra.sandbox.kcp import OTHER_CREDENTIALS, TEST_CREDENTIALS
from tests.contract.conftest import CARD, TIMEOUT

CERTIFICATE = TEST_CREDENTIALS["certificate"].replace("\n", "")
SITE = {"site_cd": "A52Q7", "kcp_cert_info": CERTIFICATE}


@pytest.fixture
def kcp(connect):
    bench = connect("kcp")
    yield bench
    bench.sandbox.simulator.refuses_duplicates = False


class Recorder(HttpClient):
    """Keeps what was sent, and sends it."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def ask(self, method, url, *, body=None, **kwargs):
        self.sent.append((method, re.sub(r"^https?://[^/]+", "", url), json.loads(body)))
        return super().ask(method, url, body=body, **kwargs)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def recorded(kcp, recorder):
    return kcp.connect(TEST_CREDENTIALS, http=recorder)


@pytest.fixture
def wire(kcp):
    """wire(path, body) -> JSON: the simulator without the adapter."""
    with urllib3.PoolManager() as pool:

        def call(path, body):
            headers = {"Content-Type": "application/json"}
            return pool.request("POST", kcp.sandbox.url + path, body=json.dumps(body), headers=headers).json()

        yield call


def with_credentials(**changes):
    return {**TEST_CREDENTIALS, **changes}


# --- what is sent -----------------------------------------------------------------------------------------------


def test_key_in_as_the_manual_has_it(kcp, recorded, recorder):
    request = kcp.request(name="테스트 상품", buyer=Buyer("홍길동", "test@kcp.co.kr", "01000000000"))
    assert isinstance(recorded.charge_card("imp1a1", request, CARD, TIMEOUT), Approved)
    assert recorder.sent == [
        (
            "POST",
            "/gw/hub/v1/payment",
            {
                **SITE,
                "pay_method": "CARD",
                "cust_ip": "203.0.113.7",
                "amount": "8900",
                "card_mny": "8900",
                "currency": "410",
                "quota": "00",
                "ordr_idxx": "imp1a1",
                "good_name": "테스트 상품",
                "buyr_name": "홍길동",
                "buyr_mail": "test@kcp.co.kr",
                "buyr_tel2": "01000000000",
                "card_tx_type": "11121000",
                "card_no": CARD.number,
                "card_expiry": "3911",
                "card_taxno": "880217",
                "card_pwd": "37",
            },
        )
    ]


def test_without_holder_check_birth_and_password_stay_out(kcp, recorded, recorder):
    card = replace(CARD, birth=None, password_2digits=None)
    assert isinstance(recorded.charge_card(kcp.order_id(), kcp.request(), card, TIMEOUT), Approved)
    assert not {"card_taxno", "card_pwd"} & set(recorder.sent[0][2])


def test_a_key_is_charged_and_deleted_under_different_names(kcp, recorded, recorder):
    secret = kcp.key()
    assert isinstance(recorded.charge_billing_key("imp2a1", kcp.request(60_000, quota=3), secret, TIMEOUT), Approved)
    assert recorded.delete_billing_key("key1", secret, TIMEOUT) == KeyDeleted()
    (_, _, charge), (_, path, deletion) = recorder.sent
    assert {name: charge[name] for name in ("card_tx_type", "bt_batch_key", "bt_group_id", "quota")} == {
        "card_tx_type": "11511000",
        "bt_batch_key": secret["batch_key"],
        "bt_group_id": "A52Q71000489",
        "quota": "03",
    }
    assert path == "/gw/hub/v1/payment"
    assert deletion == {
        **SITE,
        "pay_method": "BATCH",
        "tx_type": "10005010",
        "batch_key": secret["batch_key"],
        "group_id": "A52Q71000489",
    }


def signed_text(body):
    """The text that kcp_sign_data is about, among the candidates."""
    key = x509.load_pem_x509_certificate(TEST_CREDENTIALS["certificate"].encode()).public_key()
    text = f"A52Q7^{body['tno']}^{body.get('mod_type') or body['pay_type']}"
    key.verify(base64.b64decode(body["kcp_sign_data"]), text.encode(), PKCS1v15(), SHA256())
    return text


def test_cancels_and_queries_are_signed(kcp, recorded, recorder):
    order_id, approved = kcp.charge()
    tno = approved.gateway_ref
    recorded.cancel(kcp.cancel_request(order_id, approved, 900), TIMEOUT)
    recorded.cancel(kcp.cancel_request(order_id, approved, 8000, 8000), TIMEOUT)
    recorded.find_charge(kcp.query(order_id, tno), TIMEOUT)
    other_id, other = kcp.charge()
    recorded.cancel(kcp.cancel_request(other_id, other, 8900), TIMEOUT)
    assert [signed_text(body) for _, _, body in recorder.sent] == [
        f"A52Q7^{tno}^STPC",
        f"A52Q7^{tno}^STPC",
        f"A52Q7^{tno}^PACA",
        f"A52Q7^{other.gateway_ref}^STSC",
    ]
    assert [(path, body.get("mod_mny"), body.get("rem_mny")) for _, path, body in recorder.sent] == [
        ("/gw/mod/v1/cancel", "900", "8900"),
        ("/gw/mod/v1/cancel", "8000", "8000"),
        ("/std/inquery", None, None),
        ("/gw/mod/v1/cancel", None, None),
    ]


def test_every_value_on_the_wire_is_text(kcp, recorded, recorder):
    secret = kcp.key()
    order_id, approved = kcp.charge(60_000)
    recorded.charge_card(kcp.order_id(), kcp.request(60_000, quota=3, tax_free=1000), CARD, TIMEOUT)
    recorded.charge_billing_key(kcp.order_id(), kcp.request(), secret, TIMEOUT)
    recorded.issue_billing_key(kcp.issue_request(), CARD, TIMEOUT)
    recorded.cancel(kcp.cancel_request(order_id, approved, 900, tax_free=100), TIMEOUT)
    recorded.find_charge(kcp.query(order_id, approved.gateway_ref), TIMEOUT)
    recorded.delete_billing_key("key1", secret, TIMEOUT)
    assert len(recorder.sent) == 6
    assert {type(value) for _, _, body in recorder.sent for value in body.values()} == {str}


@pytest.mark.parametrize(("vat", "split"), [(None, ("7182", "718", "1000")), (700, ("7200", "700", "1000"))])
def test_an_amount_that_is_partly_free_of_tax_is_split(kcp, recorded, recorder, vat, split):
    request = kcp.request(8900, tax_free=1000, vat=vat)
    order_id = kcp.order_id()
    approved = recorded.charge_card(order_id, request, CARD, TIMEOUT)
    assert isinstance(approved, Approved)
    cancel = kcp.cancel_request(order_id, approved, 8900, tax_free=1000, vat=vat)
    part = replace(cancel, charged=Money(9900), balance=Money(8900))
    recorded.cancel(part, TIMEOUT)
    charge, cancelled = (body for _, _, body in recorder.sent)
    assert (charge["tax_flag"], *(charge[f"comm_{name}_mny"] for name in ("tax", "vat", "free"))) == ("TG03", *split)
    assert (cancelled["tax_flag"], *(cancelled[f"mod_{name}_mny"] for name in ("tax", "vat", "free"))) == (
        "TG03",
        *split,
    )


def test_no_split_without_an_amount_free_of_tax(kcp, recorded, recorder):
    recorded.charge_card(kcp.order_id(), kcp.request(vat=800), CARD, TIMEOUT)
    assert "tax_flag" not in recorder.sent[0][2]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("a,b&c;d\ne\\f|g'h\"i<j>k", "a b c d e f g h i j k"),
        ("가" * 34, "가" * 33),
        (" <> ", "상품"),
    ],
)
def test_texts_lose_what_kcp_refuses(kcp, recorded, recorder, given, sent):
    recorded.charge_card(kcp.order_id(), kcp.request(name=given), CARD, TIMEOUT)
    assert recorder.sent[0][2]["good_name"] == sent


def test_what_does_not_fit_of_the_buyer_is_left_out(kcp, recorded, recorder):
    buyer = Buyer("<홍>" * 20, "a,b@shop.kr", "call me")
    assert isinstance(recorded.charge_card(kcp.order_id(), kcp.request(buyer=buyer), CARD, TIMEOUT), Approved)
    body = recorder.sent[0][2]
    assert (body["buyr_mail"], body["buyr_tel2"]) == ("", "")
    assert len(body["buyr_name"].encode()) <= 40
    assert not re.search(r"[<>]", body["buyr_name"])


def one_line(pem):
    return pem.replace("\n", "")


def spaced(pem):
    """As a form makes it of a file: blanks for line ends, and one at the end."""
    return pem.replace("\n", " ")


def windows(pem):
    return pem.replace("\n", "\r\n")


@pytest.mark.parametrize("change", [one_line, spaced, windows, str])
def test_pem_files_may_come_in_one_line_or_many(kcp, change):
    given = with_credentials(
        certificate=change(TEST_CREDENTIALS["certificate"]), private_key=change(TEST_CREDENTIALS["private_key"])
    )
    check_credentials(SPEC, Environment.TEST, given)
    order_id, approved = kcp.charge()
    assert isinstance(kcp.connect(given).cancel(kcp.cancel_request(order_id, approved, 8900), TIMEOUT), Cancelled)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"certificate": TEST_CREDENTIALS["private_key"]}, "certificate"),
        ({"certificate": "splCert.pem"}, "certificate"),
        ({"private_key": TEST_CREDENTIALS["certificate"]}, "private_key"),
        ({"private_key": TEST_CREDENTIALS["private_key"].replace("ENCRYPTED ", "")}, "private_key"),
        ({"private_key_password": ""}, "private_key_password"),
        ({"site_cd": "A52Q71"}, "site_cd"),
        ({"issue_by_api": "yes"}, "issue_by_api"),
    ],
)
def test_what_cannot_be_right_is_not_stored(changes, field):
    with pytest.raises(InvalidRequest) as caught:
        check_credentials(SPEC, Environment.TEST, with_credentials(**changes))
    assert caught.value.field == f"credentials.{field}"


def test_a_test_site_makes_no_live_channel():
    for changes, field in (({}, "site_cd"), ({"site_cd": "AB123"}, "group_id")):
        with pytest.raises(InvalidRequest) as caught:
            check_credentials(SPEC, Environment.LIVE, with_credentials(**changes))
        assert caught.value.field == f"credentials.{field}"
    check_credentials(SPEC, Environment.LIVE, with_credentials(site_cd="AB123", group_id=""))


# --- keys and options of a contract -----------------------------------------------------------------------------


def elliptic_key():
    """A private key that is well-formed and of another kind than KCP's."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"changeit")).decode()


BROKEN = {
    "another password": lambda: {"private_key_password": "changeIt"},
    "no key": lambda: {"private_key": "x"},
    "half a key": lambda: {"private_key": TEST_CREDENTIALS["private_key"][:400]},
    "no base64": lambda: {"private_key": re.sub(r"\nMII", "\nM", TEST_CREDENTIALS["private_key"])},
    "another kind of key": lambda: {"private_key": elliptic_key()},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_key_that_cannot_be_opened_is_the_channels_fault_and_nothing_is_charged(kcp, recorder, broken):
    order_id, approved = kcp.charge()
    gateway = kcp.connect(with_credentials(**BROKEN[broken]()), http=recorder)
    for result in (
        gateway.charge_card(kcp.order_id(), kcp.request(), CARD, TIMEOUT),
        gateway.charge_billing_key(kcp.order_id(), kcp.request(), kcp.key(), TIMEOUT),
        gateway.cancel(kcp.cancel_request(order_id, approved, 8900), TIMEOUT),
    ):
        assert isinstance(result, Declined)
        assert (result.reason, result.code) == (R.CHANNEL_REJECTED, "private_key")
    found = gateway.find_charge(kcp.query(order_id, approved.gateway_ref), TIMEOUT)
    assert isinstance(found, Unknown)
    assert found.unwell
    assert recorder.sent == []
    assert kcp.money_taken(order_id) == 8900


def test_another_merchants_key_signs_nothing(kcp):
    order_id, approved = kcp.charge()
    gateway = kcp.connect(with_credentials(private_key=OTHER_CREDENTIALS["private_key"]))
    result = gateway.cancel(kcp.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED
    assert kcp.money_taken(order_id) == 8900


@pytest.mark.parametrize("changes", [{"site_cd": "XXXXX"}, {"certificate": OTHER_CREDENTIALS["certificate"]}])
def test_unknown_site_and_wrong_certificate_are_the_channels_fault(kcp, changes):
    gateway = kcp.connect(with_credentials(**changes))
    result = gateway.charge_card(kcp.order_id(), kcp.request(), CARD, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is R.CHANNEL_REJECTED


def test_an_expired_certificate_is_the_channels_fault(kcp):
    secret = kcp.key()
    kcp.clock.shift = timedelta(days=365 * 101)
    result = kcp.gateway.charge_billing_key(kcp.order_id(), kcp.request(), secret, TIMEOUT)
    assert isinstance(result, Declined)
    assert (result.reason, result.message) == (R.CHANNEL_REJECTED, "서비스 인증서가 만료되었습니다.")


def test_keys_by_card_data_need_the_option(kcp, recorder):
    for value in ("N", ""):
        credentials = with_credentials(issue_by_api=value)
        assert Operation.ISSUE_BILLING_KEY not in SPEC.under(SPEC.options(credentials)).operations
        with pytest.raises(UnsupportedOperation):
            kcp.connect(credentials, http=recorder).issue_billing_key(kcp.issue_request(), CARD, TIMEOUT)
    assert recorder.sent == []
    assert Operation.ISSUE_BILLING_KEY in SPEC.under(SPEC.options(TEST_CREDENTIALS)).operations
    assert isinstance(kcp.gateway.issue_billing_key(kcp.issue_request(), CARD, TIMEOUT), KeyIssued)


def test_keys_need_a_group_and_key_in_needs_none(kcp, recorder):
    gateway = kcp.connect(with_credentials(group_id=""), http=recorder)
    for result in (
        gateway.charge_billing_key(kcp.order_id(), kcp.request(), {"batch_key": "k"}, TIMEOUT),
        gateway.issue_billing_key(kcp.issue_request(), CARD, TIMEOUT),
    ):
        assert isinstance(result, Declined)
        assert (result.reason, result.code) == (R.CHANNEL_REJECTED, "group_id")
    assert recorder.sent == []
    assert isinstance(gateway.charge_card(kcp.order_id(), kcp.request(), CARD, TIMEOUT), Approved)


def test_nothing_of_certificate_or_key_is_logged_or_said(kcp, everything_logged, answering):
    """In one line, which is how they are sent; the files' own lines are looked for in test_scrub."""
    order_id, approved = kcp.charge()
    echo = json.dumps({"res_cd": "9999", "res_msg": "x"}).encode()
    results = []
    for gateway in (kcp.gateway, kcp.connect(TEST_CREDENTIALS, answering(echo))):
        results += [
            gateway.charge_card(kcp.order_id(), kcp.request(), CARD, TIMEOUT),
            gateway.cancel(kcp.cancel_request(order_id, approved, 900), TIMEOUT),
            gateway.find_charge(kcp.query(order_id, approved.gateway_ref), TIMEOUT),
        ]
    said = everything_logged.text + repr(results)
    assert "kcp.cancel" in said
    for name in ("certificate", "private_key"):
        for line in TEST_CREDENTIALS[name].splitlines()[1:-1]:
            assert line not in said


# --- replies to charges and queries -----------------------------------------------------------------------------


def payment(order_id, **changes):
    body = {
        "res_cd": "0000",
        "res_msg": "정상처리",
        "tno": "20261123000001",
        "order_no": order_id,
        "amount": "8900",
        "rem_mny": "8900",
        "stat_ca_cd": "STSR",
        "app_time": "20261123120000",
        "app_no": "12345678",
        "card_cd": "CCSS",
        "card_name": "삼성카드",
        "card_no": "536148******5671",
    } | changes
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("changes", "charged", "found"),
    [
        ({}, Approved, Approved),
        ({"res_cd": "0001"}, Unknown, Unknown),
        ({"tno": None}, Unknown, Unknown),
        ({"tno": ""}, Unknown, Unknown),
        ({"tno": "2" * 501}, Unknown, Unknown),
        ({"tno": "20261123000002"}, Approved, Unknown),
        ({"order_no": "imp0a1"}, Unknown, Unknown),
        ({"order_no": None}, Unknown, Unknown),
        ({"amount": None}, Unknown, Unknown),
        ({"amount": "8900.5"}, Unknown, Unknown),
        ({"amount": "-1"}, Unknown, Unknown),
        ({"amount": "0"}, Unknown, Unknown),
        ({"app_time": "", "app_no": "", "card_cd": "CCXX"}, Approved, Approved),
        ({"rem_mny": None}, Approved, Unknown),
        ({"rem_mny": "8901"}, Approved, Unknown),
        ({"rem_mny": "-1"}, Approved, Unknown),
        ({"rem_mny": ""}, Approved, Unknown),
        # untouched, and nothing left of it: whoever believed that would call a cancel done that was not
        ({"rem_mny": "0"}, Approved, Unknown),
        ({"rem_mny": "8000"}, Approved, Unknown),
        ({"stat_ca_cd": "STPC"}, Approved, Unknown),
        ({"stat_ca_cd": "STPC", "rem_mny": "0"}, Approved, Approved),
        ({"stat_ca_cd": None}, Approved, Unknown),
        ({"stat_ca_cd": "STAF"}, Approved, Unknown),
        ({"stat_ca_cd": "STIR"}, Approved, Unknown),
        ({"stat_ca_cd": "STPC", "rem_mny": "900"}, Approved, Approved),
        ({"stat_ca_cd": "STSC", "rem_mny": "0"}, Approved, Approved),
        ({"stat_ca_cd": "STSC", "rem_mny": None}, Approved, Approved),
        ({"stat_ca_cd": "STSC", "rem_mny": ""}, Approved, Approved),
        ({"stat_ca_cd": "STSC", "rem_mny": "900"}, Approved, Unknown),
    ],
)
def test_each_reply(kcp, answering, changes, charged, found):
    order_id = kcp.order_id()
    gateway = kcp.connect(TEST_CREDENTIALS, answering(payment(order_id, **changes)))
    assert isinstance(gateway.charge_billing_key(order_id, kcp.request(), {"batch_key": "k"}, TIMEOUT), charged)
    assert isinstance(gateway.find_charge(kcp.query(order_id, "20261123000001"), TIMEOUT), found)


def test_words_beside_a_yes_are_kept_short_and_without_card_numbers(kcp, answering):
    """What is too long to be written down would leave an approval unrecorded."""
    order_id = kcp.order_id()
    for text in ("A" * 200_000, f"{CARD.number} 카드"):
        gateway = kcp.connect(TEST_CREDENTIALS, answering(payment(order_id, card_name=text, app_no=text, card_no=text)))
        result = gateway.charge_billing_key(order_id, kcp.request(), {"batch_key": "k"}, TIMEOUT)
        assert isinstance(result, Approved)
        assert len(repr(result)) < 2000
        assert CARD.number not in repr(result)


def test_success_needs_http_200(kcp, answering):
    order_id = kcp.order_id()
    gateway = kcp.connect(TEST_CREDENTIALS, answering(payment(order_id), "403 Forbidden"))
    assert isinstance(gateway.charge_card(order_id, kcp.request(), CARD, TIMEOUT), Unknown)
    assert isinstance(gateway.find_charge(kcp.query(order_id, "20261123000001"), TIMEOUT), Unknown)


def test_a_code_with_http_5xx_is_no_answer(kcp, answering):
    body = json.dumps({"res_cd": "CC10", "res_msg": "잔액 부족"}).encode()
    gateway = kcp.connect(TEST_CREDENTIALS, answering(body, "503 Service Unavailable"))
    result = gateway.charge_card(kcp.order_id(), kcp.request(), CARD, TIMEOUT)
    assert isinstance(result, Unknown)
    assert result.unwell


def test_what_a_reply_tells(kcp, answering):
    order_id = kcp.order_id()
    changes = {"card_no": CARD.number, "acqu_cd": "CCLG", "card_bin_type_02": "1"}
    gateway = kcp.connect(TEST_CREDENTIALS, answering(payment(order_id, **changes)))
    result = gateway.charge_card(order_id, kcp.request(), CARD, TIMEOUT)
    assert isinstance(result, Approved)
    assert (result.gateway_ref, result.approval_number, result.amount) == ("20261123000001", "12345678", Money(8900))
    assert result.approved_at.isoformat() == "2026-11-23T12:00:00+09:00"
    assert result.card
    card = result.card
    assert (card.name, card.code, card.issuer_code, card.publisher_code, card.type) == (
        "삼성카드",
        "365",
        "366",
        "365",
        1,
    )
    assert card.number == "****"  # whole numbers are not kept, whoever tells them


def test_a_lost_charge_can_neither_be_asked_about_nor_undone(kcp, recorded, recorder):
    order_id = kcp.order_id()
    kcp.sandbox.fail("charge", "reply_lost")
    assert isinstance(recorded.charge_card(order_id, kcp.request(), CARD, TIMEOUT), Unknown)
    assert kcp.money_taken(order_id) == 8900
    assert recorded.find_charge(kcp.query(order_id), TIMEOUT) == Unknown("cannot be asked by order id")
    approved = Approved("", Money(8900), kcp.clock.now())
    with pytest.raises(UnsupportedOperation):
        recorded.cancel(kcp.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert len(recorder.sent) == 1
    assert not SPEC.settles_alone


def test_the_same_order_twice_may_be_charged_twice(kcp):
    """What SPEC.order_id_scope says: nobody may send an order id again."""
    order_id = kcp.order_id()
    for _ in range(2):
        assert isinstance(kcp.gateway.charge_card(order_id, kcp.request(), CARD, TIMEOUT), Approved)
    assert kcp.money_taken(order_id) == 17_800


def test_a_refused_duplicate_is_never_called_declined(kcp):
    kcp.sandbox.simulator.refuses_duplicates = True
    card = replace(CARD, number="5361480099990001")
    first, second = (kcp.gateway.charge_card(kcp.order_id(), kcp.request(), card, TIMEOUT) for _ in range(2))
    assert isinstance(first, Approved)
    assert isinstance(second, Unknown)
    assert second.code == "8128"


# --- codes ------------------------------------------------------------------------------------------------------

PUBLISHED = {
    # an integrator's table of what KCP answers
    "CC10": R.INSUFFICIENT_FUNDS,
    "AC25": R.INSUFFICIENT_FUNDS,
    "CC88": R.INSUFFICIENT_FUNDS,
    "CC07": R.LIMIT_EXCEEDED,
    "CC08": R.LIMIT_EXCEEDED,
    "CC09": R.LIMIT_EXCEEDED,
    "CC61": R.LIMIT_EXCEEDED,
    "8186": R.LIMIT_EXCEEDED,
    "8188": R.LIMIT_EXCEEDED,
    # seen in public code
    "3014": R.CHANNEL_REJECTED,
    "3101": R.CHANNEL_REJECTED,
    "8059": R.INVALID_REQUEST,
    "DM10": R.INVALID_REQUEST,
    "0000": None,
    "0900": None,
    "0902": None,
    "8094": None,
    "8128": None,
    "8133": None,
    "9316": None,
    "9502": None,
    "9562": None,
    "9999": None,
}


OF_CANCELS = {"8178": R.AMOUNT_NOT_ALLOWED, "8038": R.INVALID_REQUEST}


def test_every_code_that_is_known_is_in_one_table():
    assert dict(CANCEL_DECLINES) == OF_CANCELS
    assert not set(CANCEL_DECLINES) & (set(DECLINES) | UNKNOWN_CODES)
    assert dict(DECLINES) == {code: reason for code, reason in PUBLISHED.items() if reason}
    assert set(UNKNOWN_CODES) == {code for code, reason in PUBLISHED.items() if not reason}


def charge_refused(kcp, answering, code, message):
    gateway = kcp.connect(TEST_CREDENTIALS, answering(json.dumps({"res_cd": code, "res_msg": message}).encode()))
    return gateway.charge_billing_key(kcp.order_id(), kcp.request(), {"batch_key": "k"}, TIMEOUT)


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("CC01", "분실 카드", R.LOST_OR_STOLEN),
        ("CC02", "도난 신고 카드", R.LOST_OR_STOLEN),
        ("CC03", "거래정지 카드", R.CARD_BLOCKED),
        ("CC04", "유효기간 경과", R.EXPIRED_CARD),
        ("CC05", "카드번호 오류", R.INVALID_CARD_NUMBER),
        ("CC06", "비밀번호 오류", R.CARD_CHECK_FAILED),
        ("AC01", "잔액 부족", R.INSUFFICIENT_FUNDS),
        ("CC99", "월 한도 초과", R.LIMIT_EXCEEDED),
        ("CC98", "할부 불가 카드", R.INSTALLMENT_NOT_ALLOWED),
        ("CC98", "할부를 이용할 수 없는 금액", R.INSTALLMENT_NOT_ALLOWED),
        ("CC98", "할부 거래 불가, 분실 카드", R.LOST_OR_STOLEN),  # the harder of two reasons
        ("CC96", "거래정지 가맹점", R.CHANNEL_REJECTED),  # no blocked card
        ("CC97", "기타 거절", R.ISSUER_DECLINED),
        ("AC99", "", R.ISSUER_DECLINED),
        ("CC10", "한도 초과", R.INSUFFICIENT_FUNDS),  # a known code goes before words
        # words about the contract and the key, whatever code they come with
        ("XX01", "서비스인증서 유효기간이 만료되었습니다.", R.CHANNEL_REJECTED),
        ("XX02", "사이트코드 오류", R.CHANNEL_REJECTED),
        ("XX03", "삭제된 배치키", R.BILLING_KEY_INVALID),
        ("XX03", "이미 삭제된 배치키입니다.", R.BILLING_KEY_INVALID),
        ("CC95", "이미 해지된 카드, 거래 거절", R.ISSUER_DECLINED),
        ("XX04", "배치키가 존재하지 않습니다.", R.BILLING_KEY_INVALID),
        ("XX05", "유효하지 않은 빌키입니다.", R.BILLING_KEY_INVALID),
    ],
)
def test_what_a_refusal_means(kcp, answering, code, message, reason):
    result = charge_refused(kcp, answering, code, message)
    assert isinstance(result, Declined), result
    assert (result.reason, result.code, result.message) == (reason, code, message or code)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("8999", "승인 처리 오류"),
        ("9001", "통신 오류"),
        ("8999", "분실 카드"),  # words count in the issuers' families only
        ("CC1", "한도 초과"),
        ("CC123", "한도 초과"),
        ("8999", "배치키 처리 오류"),
        ("8999", "배치키 삭제 권한이 없습니다."),
        ("9999", "서비스 인증서 서버 오류"),
        ("8128", "사이트코드 중복거래"),
        # words of doubt count in every family
        ("CC99", "카드사 응답 지연"),
        ("CC98", "VAN 통신 장애, 승인 거절"),
        ("AC97", "은행 타임아웃"),
        ("CC96", "중복 승인 요청"),
        ("CC95", "이미 승인된 거래"),
        ("CC95", "이미 승인된 거래, 이미 해지된 카드"),
        ("CC94", "승인결과 확인 불가"),
        ("CC93", "한도 초과, 망취소 실패"),
        ("AC92", "네트워크 오류"),
        ("XX01", "서비스 인증서 서버 통신 오류"),
        ("8999", "사이트코드 조회 시간 초과"),
    ],
)
def test_what_may_be_no_refusal_is_unknown(kcp, answering, caplog, code, message):
    result = charge_refused(kcp, answering, code, message)
    assert isinstance(result, Unknown)
    assert (result.code, result.unwell) == (code, False)
    assert (f"{code!r} is not mapped" in caplog.text) is (code not in UNKNOWN_CODES)


@pytest.mark.parametrize(("code", "reason"), OF_CANCELS.items())
def test_what_is_said_of_cancels_is_no_answer_to_a_charge(kcp, answering, code, reason):
    """It might be KCP's own cancel of the charge that could not be made."""
    result = charge_refused(kcp, answering, code, "취소 상계 불가")
    assert isinstance(result, Unknown)
    assert result.code == code
    order_id, approved = kcp.charge()
    body = json.dumps({"res_cd": code, "res_msg": "취소 상계 불가"}).encode()
    refused = kcp.connect(TEST_CREDENTIALS, answering(body)).cancel(
        kcp.cancel_request(order_id, approved, 8900), TIMEOUT
    )
    assert isinstance(refused, Declined)
    assert refused.reason is reason


def test_what_was_approved_was_not_refused(kcp, answering):
    for number, result in (("12345678", Unknown), ("", Declined)):
        body = json.dumps({"res_cd": "CC61", "res_msg": "한도 초과", "app_no": number}).encode()
        gateway = kcp.connect(TEST_CREDENTIALS, answering(body))
        assert isinstance(gateway.charge_card(kcp.order_id(), kcp.request(), CARD, TIMEOUT), result)


def test_a_key_is_gone_only_if_kcp_says_so(kcp, answering):
    for message, result in (("삭제된 배치키입니다.", KeyDeleted), ("배치키 삭제 권한이 없습니다.", Unknown)):
        gateway = kcp.connect(TEST_CREDENTIALS, answering(json.dumps({"res_cd": "8999", "res_msg": message}).encode()))
        assert isinstance(gateway.delete_billing_key("key1", {"batch_key": "k"}, TIMEOUT), result)


def test_a_refused_query_tells_nothing_but_that_the_channel_may_be_broken(kcp, answering):
    for code, message, unwell in (("CC10", "잔액 부족", False), ("3014", "사이트코드 오류", True)):
        gateway = kcp.connect(TEST_CREDENTIALS, answering(json.dumps({"res_cd": code, "res_msg": message}).encode()))
        found = gateway.find_charge(kcp.query(kcp.order_id(), "20261123000001"), TIMEOUT)
        assert found == Unknown("the query was refused", code, unwell=unwell)


def test_a_key_answer_without_a_key_is_unknown(kcp, answering):
    for body in ({"res_cd": "0000"}, {"res_cd": "0000", "batch_key": ""}):
        gateway = kcp.connect(TEST_CREDENTIALS, answering(json.dumps(body).encode()))
        assert isinstance(gateway.issue_billing_key(kcp.issue_request(), CARD, TIMEOUT), Unknown)


# --- cancels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "changes", "done"),
    [
        (8900, {}, True),
        (8900, {"amount": None}, True),
        (8900, {"amount": "900"}, False),
        (8900, {"rem_mny": "0"}, True),
        (8900, {"mod_mny": "", "rem_mny": "", "mod_pcan_seq_no": ""}, True),
        (8900, {"rem_mny": "8000"}, False),
        (8900, {"tno": "20261123000009"}, False),
        (8900, {"canc_time": None}, True),
        (900, {"mod_mny": "900", "rem_mny": "8000", "mod_pcan_seq_no": "20261123000007"}, True),
        (900, {"mod_mny": "901", "rem_mny": "7999"}, False),
        (900, {"mod_mny": "900", "rem_mny": "8900"}, False),
        (900, {"mod_mny": "900"}, False),
        (900, {"rem_mny": "8000"}, False),
        (900, {"mod_mny": "900", "rem_mny": "8000", "tno": "20261123000009"}, False),
    ],
)
def test_a_cancel_is_done_only_if_the_reply_shows_it(kcp, answering, amount, changes, done):
    order_id, approved = kcp.charge()
    body = {"res_cd": "0000", "tno": approved.gateway_ref, "amount": "8900", "canc_time": "20261123130000"} | changes
    shown = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
    gateway = kcp.connect(TEST_CREDENTIALS, answering(shown))
    result = gateway.cancel(kcp.cancel_request(order_id, approved, amount), TIMEOUT)
    assert isinstance(result, Cancelled if done else Unknown), result
    if isinstance(result, Cancelled):
        assert (result.cancel.amount, result.balance) == (Money(amount), Money(8900 - amount))
        assert result.cancel.gateway_ref == (changes.get("mod_pcan_seq_no") or approved.gateway_ref)


def test_the_query_shows_the_sum_of_the_cancels_as_one(kcp):
    order_id, approved = kcp.charge()
    for amount, balance in ((900, 8900), (3000, 8000)):
        kcp.clock.shift += timedelta(minutes=5)
        result = kcp.gateway.cancel(kcp.cancel_request(order_id, approved, amount, balance), TIMEOUT)
        assert isinstance(result, Cancelled)
    found = kcp.find(order_id, approved.gateway_ref)
    assert (found.amount, found.balance) == (Money(8900), Money(5000))
    [cancel] = found.cancels
    assert (cancel.amount, cancel.gateway_ref) == (Money(3900), "")
    assert cancel.cancelled_at == result.cancel.cancelled_at


def test_a_cancel_of_the_whole_bears_the_charges_number(kcp):
    order_id, approved = kcp.charge()
    kcp.sandbox.fail("cancel", "reply_lost")
    assert isinstance(kcp.gateway.cancel(kcp.cancel_request(order_id, approved, 8900), TIMEOUT), Unknown)
    found = kcp.find(order_id, approved.gateway_ref)
    [cancel] = found.cancels
    assert (found.balance, cancel.amount, cancel.gateway_ref) == (Money(0), Money(8900), approved.gateway_ref)


def test_a_repeated_partial_cancel_meets_another_balance(kcp):
    order_id, approved = kcp.charge()
    request = kcp.cancel_request(order_id, approved, 900)
    kcp.sandbox.fail("cancel", "reply_lost")
    assert [type(kcp.gateway.cancel(request, TIMEOUT)) for _ in range(3)] == [Unknown] * 3
    assert kcp.money_taken(order_id) == 8000


# --- the simulator ----------------------------------------------------------------------------------------------


def order(order_id, **changes):
    body = {
        **SITE,
        "pay_method": "CARD",
        "amount": "8900",
        "card_mny": "8900",
        "currency": "410",
        "quota": "00",
        "ordr_idxx": order_id,
        "good_name": "이용권",
        "card_tx_type": "11121000",
        "card_no": CARD.number,
        "card_expiry": "3911",
    } | changes
    return {name: value for name, value in body.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "0000"),
        ({"site_cd": "XXXXX"}, "3014"),
        ({"kcp_cert_info": None}, "SB01"),
        ({"kcp_cert_info": TEST_CREDENTIALS["certificate"]}, "SB01"),  # in many lines
        ({"kcp_cert_info": OTHER_CREDENTIALS["certificate"].replace("\n", "")}, "SB01"),
        ({"amount": 8900}, "SB03"),
        ({"amount": "8,900"}, "SB03"),
        ({"amount": "0", "card_mny": "0"}, "8059"),
        ({"card_mny": "8901"}, "8059"),
        ({"currency": "840"}, "3101"),
        ({"pay_method": "BANK"}, "3101"),
        ({"card_tx_type": "11111111"}, "3101"),
        ({"ordr_idxx": None}, "DM10"),
        ({"ordr_idxx": "a-1"}, "SB03"),
        ({"good_name": None}, "DM10"),
        ({"good_name": "가" * 34}, "SB03"),
        ({"good_name": "a,b"}, "SB03"),
        ({"buyr_name": "<b>"}, "SB03"),
        ({"quota": "3"}, "CCX4"),
        ({"quota": "03"}, "CCX4"),
        ({"card_no": "1234"}, "CCX3"),
        ({"card_expiry": "1139"}, "CCX2"),
        ({"card_expiry": "2001"}, "CCX2"),
        ({"card_taxno": "88"}, "CCX5"),
        ({"card_pwd": "3"}, "CCX5"),
        ({"tax_flag": "TG03", "comm_tax_mny": "8000", "comm_vat_mny": "800", "comm_free_mny": "0"}, "8059"),
    ],
)
def test_the_simulator_checks_charges(kcp, wire, changes, code):
    assert wire("/gw/hub/v1/payment", order(kcp.order_id(), **changes))["res_cd"] == code


@pytest.mark.parametrize("signature", [None, "", "x", base64.b64encode(b"x" * 256).decode()])
@pytest.mark.parametrize(
    ("path", "changes"),
    [("/gw/mod/v1/cancel", {"mod_type": "STSC", "mod_desc": "x"}), ("/std/inquery", {"pay_type": "PACA"})],
)
def test_the_simulator_checks_signatures(kcp, wire, path, changes, signature):
    order_id, approved = kcp.charge()
    body = {**SITE, "tno": approved.gateway_ref, **changes}
    if signature is not None:
        body["kcp_sign_data"] = signature
    assert wire(path, body)["res_cd"] == ("SB02" if signature else "DM10")
    assert kcp.money_taken(order_id) == 8900


def test_a_signature_serves_one_kind_of_cancel(kcp, recorded, recorder, wire):
    order_id, approved = kcp.charge()
    recorded.cancel(replace(kcp.cancel_request(order_id, approved, 900), gateway_ref="0"), TIMEOUT)
    [(_, path, body)] = recorder.sent
    assert wire(path, {**body, "tno": approved.gateway_ref})["res_cd"] == "SB02"
    assert wire(path, {**body, "mod_type": "STSC"})["res_cd"] == "SB02"


def test_a_cancel_of_the_whole_after_a_part_is_refused(kcp):
    """Which is why the adapter never sends one."""
    order_id, approved = kcp.charge()
    assert isinstance(kcp.gateway.cancel(kcp.cancel_request(order_id, approved, 900), TIMEOUT), Cancelled)
    as_if_whole = replace(kcp.cancel_request(order_id, approved, 8000, 8000), charged=Money(8000))
    result = kcp.gateway.cancel(as_if_whole, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.code == "8038"
    rest = kcp.gateway.cancel(kcp.cancel_request(order_id, approved, 8000, 8000), TIMEOUT)
    assert isinstance(rest, Cancelled)
    assert kcp.money_taken(order_id) == 0


def test_numbers_begin_with_the_day(kcp):
    _, approved = kcp.charge()
    assert re.fullmatch(r"20\d{6}\d{6}", approved.gateway_ref)
