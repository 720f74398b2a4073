"""npm's `iamport`, which many merchants run, against the service on this machine: only its DEFAULT_HOST is changed.

Every method of it is here. It tells of a refusal by HTTP status (HTTP_404) or, where that is 200, by V1's code and
message (IAMPORT_1).
"""

import time
from uuid import uuid4

import pytest

from tests.support.clients import Library
from tests.support.local_service import CARD

pytestmark = pytest.mark.real

LIBRARY = Library("iamport", "0.3.4", driver="iamport.cjs")
MISTYPED = CARD | {"card_number": "1234"}
DAY = 86400


@pytest.fixture(scope="module")
def iamport(local_service):
    with LIBRARY.driven(local_service) as client:
        yield client


@pytest.fixture
def payment(iamport, order):
    return iamport.call("subscribe.onetime", {"merchant_uid": order, "amount": 1000, **CARD})


@pytest.fixture
def customer_uid(iamport):
    """The customer_uid of a billing key."""
    uid = f"customer-{uuid4()}"
    iamport.call("subscribe_customer.create", {"customer_uid": uid, **CARD})
    return uid


def refused(code, message):
    return {"code": f"IAMPORT_{code}", "message": message}


def http_error(status):
    return {"code": f"HTTP_{status}", "message": str(status)}


# --- token -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["IMP_KEY", "IMP_SECRET"])
def test_without_the_right_secret_nothing_is_answered(local_service, variable):
    with LIBRARY.driven(local_service, **{variable: "wrong"}) as client:
        assert client.refusal("payment.getByImpUid", {"imp_uid": "imp_000000000000"}) == http_error(401)


# --- charges and their lookups ---------------------------------------------------------------------------------------


def test_a_card_is_charged_once(iamport, payment, order):
    assert (payment["status"], payment["amount"], payment["merchant_uid"]) == ("paid", 1000, order)
    again = iamport.refusal("subscribe.onetime", {"merchant_uid": order, "amount": 1000, **CARD})
    assert again["code"] == "IAMPORT_1"
    assert order in again["message"]
    bad = iamport.refusal("subscribe.onetime", {"merchant_uid": f"2{order}"[:40], "amount": 1000, **MISTYPED})
    assert bad["code"] == "IAMPORT_-1"
    assert "카드정보 인증에 실패하였습니다." in bad["message"]


def test_a_payment_is_found_by_either_id(iamport, payment, order):
    assert iamport.call("payment.getByImpUid", {"imp_uid": payment["imp_uid"]}) == payment
    assert iamport.call("payment.getByMerchant", {"merchant_uid": order}) == payment
    assert iamport.refusal("payment.getByImpUid", {"imp_uid": "imp_000000000000"}) == http_error(404)
    assert iamport.refusal("payment.getByMerchant", {"merchant_uid": "nobody's"}) == http_error(404)


def test_payments_are_listed_by_status(iamport, payment):
    query = {"payment_status": "paid", "from": payment["paid_at"], "to": payment["paid_at"], "limit": 1000}
    page = iamport.call("payment.getByStatus", query)
    assert payment["imp_uid"] in [listed["imp_uid"] for listed in page["list"]]
    assert page["total"] == len(page["list"])
    assert iamport.refusal("payment.getByStatus", {"payment_status": "unheard-of"}) == http_error(400)


# --- cancels ---------------------------------------------------------------------------------------------------------


def test_a_payment_is_given_back(iamport, local_service, payment, order):
    cancel = {"imp_uid": payment["imp_uid"], "amount": 400, "reason": "one of two"}
    part = iamport.call("payment.cancel", cancel | {"checksum": 1000})
    assert (part["status"], part["cancel_amount"]) == ("cancelled", 400)
    rest = iamport.call("payment.cancel", {"merchant_uid": order})
    assert (rest["status"], rest["cancel_amount"]) == ("cancelled", 1000)
    assert iamport.refusal("payment.cancel", cancel) == refused(1, "이미 전액취소된 주문입니다.")
    unknown = refused(1, "취소할 결제건이 존재하지 않습니다.")
    assert iamport.refusal("payment.cancel", {"merchant_uid": "nobody's"}) == unknown
    assert [taken["balance"] for taken in local_service.transactions(payment["imp_uid"])] == [0]


# --- billing keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", ["", "Customers"], ids=["today's names", "the legacy names"])
def test_a_billing_key_is_issued_charged_and_deleted(iamport, order, legacy):
    create, get, delete = (f"subscribe_customer.{verb}{legacy}" for verb in ("create", "get", "delete"))
    uid = {"customer_uid": f"customer-{order}"}
    assert len(iamport.call(create, uid | CARD)["succeededChannels"]) == 2
    assert iamport.call(get, uid)["customer_uid"] == uid["customer_uid"]
    payment = iamport.call("subscribe.again", uid | {"merchant_uid": order, "amount": 8900})
    assert (payment["status"], payment["customer_uid"]) == ("paid", uid["customer_uid"])
    assert iamport.call(delete, uid | {"reason": "left"})["customer_uid"] == uid["customer_uid"]
    gone = refused(1, f"요청하신 customer_uid({uid['customer_uid']})로 등록된 정보를 찾을 수 없습니다.")
    assert iamport.refusal(get, uid) == gone
    assert iamport.refusal(delete, uid) == gone


def test_no_key_for_a_bad_card_and_no_charge_without_a_key(iamport, order):
    uid = {"customer_uid": f"customer-{order}"}
    refusal = iamport.refusal("subscribe_customer.create", uid | MISTYPED)
    assert refusal["code"] == "IAMPORT_-1"
    assert "카드정보 인증 및 빌키 발급에 실패하였습니다." in refusal["message"]
    charge = uid | {"merchant_uid": order, "amount": 8900}
    assert iamport.refusal("subscribe.again", charge) == refused(1, "등록되지 않은 구매자입니다.")


# --- reserved payments -----------------------------------------------------------------------------------------------


def test_payments_are_reserved_and_revoked(iamport, customer_uid, order):
    schedules = [
        {"merchant_uid": f"{n}{order}"[:40], "schedule_at": int(time.time()) + DAY, "amount": 8900} for n in range(3)
    ]
    first, *others = [entry["merchant_uid"] for entry in schedules]
    uid = {"customer_uid": customer_uid}
    booked = iamport.call("subscribe.schedule", uid | {"schedules": schedules})
    assert [entry["schedule_status"] for entry in booked] == ["scheduled"] * 3
    [revoked] = iamport.call("subscribe.unschedule", uid | {"merchant_uid": [first]})
    assert (revoked["merchant_uid"], revoked["schedule_status"]) == (first, "revoked")
    rest = iamport.call("subscribe.unschedule", uid)
    assert sorted(entry["merchant_uid"] for entry in rest) == others
    nothing = refused(1, "취소할 예약결제 기록이 존재하지 않습니다.")
    assert iamport.refusal("subscribe.unschedule", uid) == nothing
    unknown = iamport.refusal("subscribe.schedule", {"customer_uid": "nobody", "schedules": schedules})
    assert unknown["code"] == "IAMPORT_1"
    assert "등록된 고객정보가 없습니다." in unknown["message"]


# --- amounts registered beforehand -----------------------------------------------------------------------------------


def test_prepare(iamport, order):
    prepared = iamport.call("payment.prepare", {"merchant_uid": order, "amount": 8900})
    assert (prepared["merchant_uid"], prepared["amount"]) == (order, 8900)
    assert iamport.call("payment.getPrepare", {"merchant_uid": order}) == prepared
    assert iamport.refusal("payment.getPrepare", {"merchant_uid": "nobody's"}) == http_error(404)


# --- virtual accounts; and what there is none of ---------------------------------------------------------------------


def test_a_virtual_account_is_issued(iamport, order):
    due = int(time.time()) + DAY
    account = {"amount": 8900, "vbank_code": "004", "vbank_holder": "홍길동", "buyer_name": "홍길동"}
    waiting = iamport.call("vbank.create", account | {"merchant_uid": order, "vbank_due": due})
    assert (waiting["pay_method"], waiting["status"], waiting["vbank_date"]) == ("vbank", "ready", due)
    assert waiting["vbank_num"]
    late = account | {"merchant_uid": f"2{order}"[:40], "vbank_due": due - 2 * DAY}
    assert iamport.refusal("vbank.create", late) == http_error(400)


def test_no_certification(iamport):
    assert iamport.refusal("certification.get", {"imp_uid": "imp_000000000000"}) == http_error(404)
    gone = iamport.refusal("certification.delete", {"imp_uid": "imp_000000000000"})
    assert gone["code"] == "IAMPORT_-1"  # HTTP 501: the library reads its body
    assert "지원하지 않는 기능입니다." in gone["message"]
