"""Three more libraries that merchants run, each through what it does most: a payment, a billing key, lookups, a refund.

What each is here for is the way it asks; the answers are looked at closely in test_iamport_python and test_iamport_node.
"""

import time
from uuid import uuid4

import pytest

from tests.support.clients import Library
from tests.support.local_service import CARD

pytestmark = pytest.mark.real

STOLEN = CARD | {"card_number": "4000-0000-0000-0002"}


@pytest.fixture
def order():
    """A merchant_uid that nobody has used."""
    return f"other-{uuid4()}"[:40]


def test_iamporter_for_python_sends_forms(local_service, order):
    key = f"customer-{order}"
    with Library("iamporter", "0.2.4", driver="iamporter_by_forms.py").driven(local_service) as iamporter:
        buyer = {"name": "홍길동", "addr": "서울시 & 어딘가 +1"}
        payment = iamporter.call(
            "create_payment",
            merchant_uid=order,
            name="책 & 잡지",
            amount=1000,
            buyer_info=buyer,
            customer_uid=key,
            **CARD,
        )
        assert (payment["status"], payment["amount"], payment["name"]) == ("paid", 1000, "책 & 잡지")
        assert (payment["buyer_name"], payment["buyer_addr"]) == (buyer["name"], buyer["addr"])
        assert iamporter.call("find_billkey", key)["customer_uid"] == key
        month = iamporter.call(
            "create_payment", merchant_uid=f"2{order}"[:40], customer_uid=key, name="월간", amount=500
        )
        assert (month["status"], month["customer_uid"]) == ("paid", key)
        imp_uid = payment["imp_uid"]
        assert iamporter.call("cancel_payment", imp_uid=imp_uid, amount=300, reason="일부")["cancel_amount"] == 300
        assert iamporter.call("cancel_payment", merchant_uid=order)["cancel_amount"] == 1000
        assert iamporter.call("find_payment", merchant_uid=order)["status"] == "cancelled"
        unknown = iamporter.refusal("find_payment", imp_uid="imp_000000000000")
        assert (unknown["status"], unknown["message"]) == (404, "존재하지 않는 결제정보입니다.")
        assert iamporter.call("delete_billkey", key)["customer_uid"] == key


def test_iamporter_for_node_believes_the_status_alone(local_service, order):
    key = {"customer_uid": f"customer-{order}"}
    with Library("iamporter", "1.4.2", driver="iamporter.cjs").driven(local_service) as iamporter:
        payment = iamporter.call("payOnetime", {"merchant_uid": order, "amount": 1000, **CARD})["data"]
        declined = iamporter.refusal("payForeign", {"merchant_uid": f"2{order}"[:40], "amount": 1000, **STOLEN})
        assert declined["message"]  # fail_reason: the library takes a failed payment for a refusal
        iamporter.call("createSubscription", key | CARD)
        month = iamporter.call("paySubscription", key | {"merchant_uid": f"3{order}"[:40], "amount": 500})["data"]
        assert month["customer_uid"] == key["customer_uid"]
        # Without a status the path ends in a slash.
        [found] = iamporter.call("findAllByMerchantUid", order)["data"]["list"]
        assert found == payment
        paid = iamporter.call("findAllByStatus", "paid", {"from": payment["paid_at"], "limit": 1000})["data"]["list"]
        assert {order, month["merchant_uid"]} <= {listed["merchant_uid"] for listed in paid}
        assert iamporter.call("cancelByImpUid", payment["imp_uid"], {"amount": 300})["data"]["cancel_amount"] == 300
        assert iamporter.refusal("cancelByMerchantUid", "nobody's")["message"] == "취소할 결제건이 존재하지 않습니다."
        nothing = iamporter.call("getPreparedPayment", "nobody's")  # it takes a 404 for an answer
        assert (nothing["status"], nothing["message"]) == (404, "사전등록된 결제정보가 존재하지 않습니다.")
        assert iamporter.refusal("findAllByStatus", "bad")["message"] == "지원되지 않는 상태값입니다."


def test_iamport_rest_client_for_node_sends_bearer_tokens_and_lists(local_service, order):
    key = {"customer_uid": f"customer-{order}"}
    schedule_at = int(time.time()) + 86400
    library = Library("iamport-rest-client-nodejs", "0.9.12", driver="iamport_rest_client.cjs")
    with library.driven(local_service) as iamport:
        payment = iamport.call("Subscribe.onetime", {"merchant_uid": order, "amount": 1000, **CARD})["response"]
        iamport.call("Customers.postBillingKey", key | CARD)
        # customer_uid[]=a&customer_uid[]=b, and one of the two is missing.
        keys = iamport.call("Customers.getBillingKeys", {"customer_uid": [key["customer_uid"], "nobody"]})
        assert (keys["status"], [found["customer_uid"] for found in keys["response"]]) == (207, [key["customer_uid"]])
        both = iamport.call("Payments.getByImpUids", {"imp_uid": [payment["imp_uid"], "imp_000000000000"]})
        assert (both["status"], [found["merchant_uid"] for found in both["response"]]) == (207, [order])
        # Without a status the path ends in /undefined.
        found = iamport.call("Payments.getByMerchantUid", {"merchant_uid": order})["response"]
        assert found["imp_uid"] == payment["imp_uid"]
        entry = {"merchant_uid": f"2{order}"[:40], "schedule_at": schedule_at, "amount": 500}
        iamport.call("Subscribe.schedule", key | {"schedules": [entry]})
        period = {"from": schedule_at, "to": schedule_at + 1}
        for listing in ("Subscribe.getScheduleds", "Customers.getScheduleds"):
            page = iamport.call(listing, key | period | {"schedule-status": "scheduled"})["response"]
            assert [listed["merchant_uid"] for listed in page["list"]] == [entry["merchant_uid"]]
        iamport.call("Subscribe.unschedule", key | {"merchant_uid": entry["merchant_uid"]})
        given_back = iamport.call("Payments.cancel", {"imp_uid": payment["imp_uid"]})["response"]
        assert (given_back["status"], given_back["cancel_amount"]) == ("cancelled", 1000)
        unknown = iamport.refusal("Payments.getByImpUid", {"imp_uid": "imp_000000000000"})
        assert unknown == {"status": 404, "code": 1, "message": "존재하지 않는 결제정보입니다."}
