"""PyPI's `iamport-rest-client`, which many merchants run, against the service on this machine: only its URL is changed.

Every method of it is here but find_by_status, which raises a TypeError of its own in 0.9.0 and sends nothing.
"""

import time
from uuid import uuid4

import pytest

from tests.support.clients import Library
from tests.support.local_service import CARD

pytestmark = pytest.mark.real

LIBRARY = Library("iamport-rest-client", "0.9.0", driver="iamport_rest_client.py")
STOLEN = CARD | {"card_number": "4000-0000-0000-0002"}
EXPIRED = CARD | {"card_number": "4000-0000-0000-0069"}
MISTYPED = CARD | {"card_number": "1234"}
DAY = 86400


@pytest.fixture(scope="module")
def iamport(local_service):
    with LIBRARY.driven(local_service) as client:
        yield client


@pytest.fixture
def payment(iamport, order):
    return iamport.call("pay_onetime", merchant_uid=order, amount=1000, **CARD)


@pytest.fixture
def customer_uid(iamport):
    """The customer_uid of a billing key."""
    uid = f"customer-{uuid4()}"
    iamport.call("customer_create", customer_uid=uid, **CARD)
    return uid


def refused(code, message):
    """ResponseError: HTTP 200 with a code."""
    return {"code": code, "message": message}


def http_error(status, reason):
    return {"code": status, "reason": reason}


NOT_FOUND = http_error(404, "Not Found")
BAD_REQUEST = http_error(400, "Bad Request")


# --- token -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "error"), [("wrong", http_error(401, "Unauthorized")), ("", BAD_REQUEST)], ids=["wrong", "missing"]
)
def test_without_the_right_secret_nothing_is_answered(local_service, secret, error):
    with LIBRARY.driven(local_service, IMP_SECRET=secret) as client:
        assert client.refusal("get_headers") == error
        assert client.refusal("find", imp_uid="imp_000000000000") == error


# --- charges and their lookups ---------------------------------------------------------------------------------------


def test_a_card_is_charged_once(iamport, payment, order):
    assert (payment["status"], payment["amount"], payment["merchant_uid"]) == ("paid", 1000, order)
    again = iamport.refusal("pay_onetime", merchant_uid=order, amount=1000, **CARD)
    assert again["code"] == 1
    assert order in again["message"]


@pytest.mark.parametrize("card", [STOLEN, EXPIRED], ids=["stolen", "expired"])
def test_a_declined_card_is_a_failed_payment(iamport, order, card):
    payment = iamport.call("pay_onetime", merchant_uid=order, amount=1000, **card)
    assert payment["status"] == "failed"
    assert payment["fail_reason"]
    assert iamport.call("is_paid", 1000, merchant_uid=order) is False


def test_a_mistyped_card_number(iamport, order):
    refusal = iamport.refusal("pay_onetime", merchant_uid=order, amount=1000, **MISTYPED)
    assert refusal["code"] == -1
    assert "카드정보 인증에 실패하였습니다." in refusal["message"]
    assert iamport.refusal("find", merchant_uid=order) == NOT_FOUND


def test_pay_foreign(iamport, order):
    payment = iamport.call("pay_foreign", merchant_uid=order, amount=1000, **CARD)
    assert payment["status"] == "paid"
    card = {name: CARD[name] for name in ("card_number", "expiry")}
    refusal = iamport.refusal("pay_foreign", merchant_uid=f"2{order}"[:40], amount=1000, **card)
    assert refusal["code"] == 1  # neither of the two gateways takes a card without birth
    assert "tosspayments: birth" in refusal["message"]
    assert "nice_v2: birth" in refusal["message"]


def test_a_payment_is_found_by_either_id(iamport, payment):
    imp_uid, merchant_uid = payment["imp_uid"], payment["merchant_uid"]
    assert iamport.call("find", imp_uid=imp_uid) == payment
    assert iamport.call("find", merchant_uid=merchant_uid) == payment
    assert iamport.call("find_by_imp_uid", imp_uid) == payment
    assert iamport.call("find_by_merchant_uid", merchant_uid) == payment
    for ids in ({"imp_uid": "imp_000000000000"}, {"merchant_uid": "nobody's"}):
        assert iamport.refusal("find", **ids) == NOT_FOUND
        assert iamport.refusal("is_paid", 1000, **ids) == NOT_FOUND


def test_is_paid(iamport, payment):
    assert iamport.call("is_paid", 1000, imp_uid=payment["imp_uid"]) is True
    assert iamport.call("is_paid", 1000, merchant_uid=payment["merchant_uid"]) is True
    assert iamport.call("is_paid", 1001, merchant_uid=payment["merchant_uid"]) is False
    assert iamport.call("is_paid", 1000, response=payment) is True


# --- cancels ---------------------------------------------------------------------------------------------------------


def test_a_payment_is_given_back_in_parts_and_no_further(iamport, local_service, payment):
    imp_uid = payment["imp_uid"]
    part = iamport.call("cancel", "one of two", imp_uid=imp_uid, amount=400, checksum=1000)
    assert (part["status"], part["cancel_amount"]) == ("cancelled", 400)
    assert [done["reason"] for done in part["cancel_history"]] == ["one of two"]
    stale = iamport.refusal("cancel_by_imp_uid", imp_uid, "the rest", checksum=1000)
    assert stale["code"] == 1
    assert "600" in stale["message"]
    rest = iamport.call("cancel_by_imp_uid", imp_uid, "the rest", checksum=600)
    assert (rest["status"], rest["cancel_amount"]) == ("cancelled", 1000)
    assert iamport.refusal("cancel", "again", imp_uid=imp_uid) == refused(1, "이미 전액취소된 주문입니다.")
    assert [taken["balance"] for taken in local_service.transactions(imp_uid)] == [0]


def test_a_payment_is_given_back_by_merchant_uid(iamport, payment):
    given_back = iamport.call("cancel_by_merchant_uid", payment["merchant_uid"], "changed my mind")
    assert (given_back["imp_uid"], given_back["cancel_amount"]) == (payment["imp_uid"], 1000)
    nothing_left = refused(1, "이미 전액취소된 주문입니다.")
    assert iamport.refusal("cancel", "again", merchant_uid=payment["merchant_uid"]) == nothing_left


def test_what_does_not_exist_cannot_be_given_back(iamport):
    unknown = refused(1, "취소할 결제건이 존재하지 않습니다.")
    assert iamport.refusal("cancel", "no reason", imp_uid="imp_000000000000") == unknown
    assert iamport.refusal("cancel", "no reason", merchant_uid="nobody's") == unknown


# --- billing keys ----------------------------------------------------------------------------------------------------


def test_a_billing_key_is_issued_charged_and_deleted(iamport, local_service, customer_uid, order):
    key = iamport.call("customer_get", customer_uid)
    assert key["customer_uid"] == customer_uid
    assert {at["pg_provider"] for at in key["succeededChannels"]} == {"tosspayments", "nice_v2"}
    payment = iamport.call("pay_again", customer_uid=customer_uid, merchant_uid=order, amount=8900)
    assert (payment["status"], payment["amount"], payment["customer_uid"]) == ("paid", 8900, customer_uid)
    assert iamport.call("customer_delete", customer_uid)["customer_uid"] == customer_uid
    gone = refused(1, f"요청하신 customer_uid({customer_uid})로 등록된 정보를 찾을 수 없습니다.")
    assert iamport.refusal("customer_get", customer_uid) == gone
    assert iamport.refusal("customer_delete", customer_uid) == gone


@pytest.mark.parametrize("card", [MISTYPED, EXPIRED], ids=["mistyped", "expired"])
def test_no_key_for_a_bad_card(iamport, card):
    refusal = iamport.refusal("customer_create", customer_uid="bad-card", **card)
    assert refusal["code"] == -1
    assert "카드정보 인증 및 빌키 발급에 실패하였습니다." in refusal["message"]
    assert iamport.refusal("customer_get", "bad-card")["code"] == 1


def test_no_charge_without_a_key(iamport, order):
    refusal = iamport.refusal("pay_again", customer_uid="nobody", merchant_uid=order, amount=8900)
    assert refusal == refused(1, "등록되지 않은 구매자입니다.")


# --- reserved payments -----------------------------------------------------------------------------------------------


def entries(order, count, schedule_at):
    return [{"merchant_uid": f"{n}{order}"[:40], "schedule_at": schedule_at + n, "amount": 8900} for n in range(count)]


def test_payments_are_reserved_listed_and_revoked(iamport, customer_uid, order):
    schedule_at = int(time.time()) + DAY
    first, *others = [entry["merchant_uid"] for entry in entries(order, 3, schedule_at)]
    booked = iamport.call("pay_schedule", customer_uid=customer_uid, schedules=entries(order, 3, schedule_at))
    assert [entry["schedule_status"] for entry in booked] == ["scheduled"] * 3
    assert iamport.call("pay_schedule_get", first) == booked[0]

    period = {"schedule_from": schedule_at, "schedule_to": schedule_at + 3, "limit": 1000}
    listed = iamport.call("pay_schedule_get_between", **period)
    assert {"total", "previous", "next", "list"} == set(listed)
    assert [entry for entry in listed["list"] if entry["customer_uid"] == customer_uid] == booked[::-1]

    [revoked] = iamport.call("pay_unschedule", customer_uid=customer_uid, merchant_uid=first)
    assert (revoked["merchant_uid"], revoked["schedule_status"]) == (first, "revoked")
    rest = iamport.call("pay_unschedule", customer_uid=customer_uid)
    assert sorted(entry["merchant_uid"] for entry in rest) == others
    nothing = refused(1, "취소할 예약결제 기록이 존재하지 않습니다.")
    assert iamport.refusal("pay_unschedule", customer_uid=customer_uid) == nothing


def test_a_card_is_stored_with_its_first_reservation(iamport, order):
    customer_uid = f"customer-{order}"
    schedules = entries(order, 1, int(time.time()) + DAY)
    [booked] = iamport.call("pay_schedule", customer_uid=customer_uid, schedules=schedules, **CARD)
    assert (booked["customer_uid"], booked["schedule_status"]) == (customer_uid, "scheduled")
    assert iamport.call("customer_get", customer_uid)["customer_uid"] == customer_uid


def test_what_cannot_be_reserved(iamport, customer_uid, order):
    tomorrow, yesterday = (entries(order, 1, int(time.time()) + days * DAY) for days in (1, -1))
    refusal = iamport.refusal("pay_schedule", customer_uid="nobody", schedules=tomorrow)
    assert refusal["code"] == 1
    assert "등록된 고객정보가 없습니다." in refusal["message"]
    assert iamport.refusal("pay_schedule", customer_uid=customer_uid, schedules=yesterday) == BAD_REQUEST
    assert iamport.refusal("pay_schedule_get", tomorrow[0]["merchant_uid"]) == NOT_FOUND
    assert iamport.refusal("pay_schedule_get_between", schedule_from=2 * DAY, schedule_to=DAY) == BAD_REQUEST


# --- amounts registered beforehand -----------------------------------------------------------------------------------


def test_prepare(iamport, order):
    assert iamport.call("prepare", order, 8900)["amount"] == 8900
    assert iamport.call("prepare_validate", order, 8900) is True
    assert iamport.call("prepare_validate", order, 8901) is False
    assert iamport.refusal("prepare", order, 8901)["code"] == 1
    assert iamport.call("prepare_validate", order, 8900) is True
    assert iamport.refusal("prepare_validate", "nobody's", 8900) == NOT_FOUND


# --- virtual accounts, which the library can only revoke; and what there is none of ----------------------------------


def test_a_virtual_account_is_revoked(iamport, local_service, payment, order):
    account = {"merchant_uid": f"2{order}"[:40], "amount": 8900, "vbank_code": "004", "buyer_name": "홍길동"}
    waiting = local_service.call("/vbanks", account | {"vbank_due": int(time.time()) + DAY})["response"]
    assert waiting["status"] == "ready"
    assert iamport.call("revoke_vbank_by_imp_uid", waiting["imp_uid"])["status"] == "cancelled"
    assert iamport.refusal("revoke_vbank_by_imp_uid", waiting["imp_uid"]) == BAD_REQUEST
    assert iamport.refusal("revoke_vbank_by_imp_uid", payment["imp_uid"]) == BAD_REQUEST
    assert iamport.refusal("revoke_vbank_by_imp_uid", "imp_000000000000") == NOT_FOUND


def test_no_certification(iamport):
    assert iamport.refusal("find_certification", "imp_000000000000") == NOT_FOUND
    assert iamport.refusal("cancel_certification", "imp_000000000000") == http_error(501, "Not Implemented")
