"""The wire of PUT schedule, reschedule, retry and checking_amount: statuses, codes, fields, shapes, forms."""

import json
from datetime import timedelta
from urllib.parse import quote

import pytest

from tests.support.api import CARD, STOLEN, Api

PATH = "/subscribe/payments/schedule"


@pytest.fixture
def key(world, api):
    world.two_gateways()
    api.post("/subscribe/customers/c1", CARD)


@pytest.fixture
def reserved(world, api, key):
    """m0, to run in five seconds."""
    entry = {"merchant_uid": "m0", "schedule_at": at(world, seconds=5), "amount": 8900, "name": "n"}
    assert api.post(PATH, customer_uid="c1", schedules=[entry])[1]["code"] == 0


def at(world, **kwargs):
    return int((world.clock.now() + timedelta(**kwargs)).timestamp())


def decline(world, times=1):
    for box in world.sandboxes.values():
        box.fail("charge", "decline", times=times)


def run(world):
    world.clock.advance(seconds=5)
    world.run_queue()
    for box in world.sandboxes.values():
        box.clear_faults()


def test_a_move_answers_the_schedule(world, api, reserved):
    to = at(world, hours=2)
    status, body = api.put(f"{PATH}/m0", schedule_at=to)
    assert (status, body["code"], body["message"]) == (200, 0, None)
    assert (body["response"]["merchant_uid"], body["response"]["schedule_at"]) == ("m0", to)
    assert body["response"]["schedule_status"] == "scheduled"
    assert api.get(f"{PATH}/m0")[1]["response"] == body["response"]


def test_forms_send_times_as_text(world, api, reserved):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    to = at(world, hours=2)
    status, body = api.send("PUT", f"{PATH}/m0", f"schedule_at={to}".encode(), form)
    assert (status, body["response"]["schedule_at"]) == (200, to)
    api.post("/subscribe/payments/unschedule", merchant_uid="m0")
    status, body = api.form(f"{PATH}/m0/reschedule", {"schedule_at": to + 60})
    assert (status, body["response"]["schedule_at"]) == (200, to + 60)
    api.post("/subscribe/payments/unschedule", merchant_uid="m0")
    status, body = api.form(f"{PATH}/m0/retry", {})
    assert (status, body["response"]["status"]) == (200, "paid")


@pytest.mark.parametrize("call", ["put", "reschedule"])
@pytest.mark.parametrize(
    "schedule_at", [None, "", "soon", 0, -1, 1, 1.5, True, [1], 1893456000000, "1893456000000", 10**30]
)
def test_a_bad_time_is_named_and_nothing_changes(world, api, reserved, call, schedule_at):
    if call == "reschedule":
        api.post("/subscribe/payments/unschedule", merchant_uid="m0")
    before = world.store.texts()
    send = api.put if call == "put" else api.post
    path = f"{PATH}/m0" + ("/reschedule" if call == "reschedule" else "")
    for fields in ({"schedule_at": schedule_at}, {}):
        status, body = send(path, fields)
        assert (status, body["code"], body["response"]) == (400, -1, None)
        assert body["field"] == "schedule_at"
        assert body["message"].startswith("schedule_at: ")
    assert world.store.texts() == before


def test_this_very_second_is_past(world, api, reserved):
    assert api.put(f"{PATH}/m0", schedule_at=at(world))[0] == 400
    assert api.put(f"{PATH}/m0", schedule_at=at(world, seconds=1))[0] == 200


def test_what_is_not_there_is_404(world, api, key):
    to = at(world, hours=1)
    for status, body in (
        api.put(f"{PATH}/m9", schedule_at=to),
        api.post(f"{PATH}/m9/reschedule", schedule_at=to),
        api.post(f"{PATH}/m9/retry"),
    ):
        assert (status, body["code"], body["response"]) == (404, 1, None)
        assert "예약결제 정보가 존재하지 않습니다" in body["message"]


def test_an_order_without_a_schedule_is_not_there_either(world, api, key):
    api.post("/subscribe/payments/again", customer_uid="c1", merchant_uid="o1", amount=1000, name="n")
    assert api.put(f"{PATH}/o1", schedule_at=at(world, hours=1))[0] == 404
    assert api.post(f"{PATH}/o1/retry")[0] == 404


def test_what_does_not_fit_the_state_is_400(world, api, reserved):
    to = at(world, hours=1)

    def refused(answer):
        status, body = answer
        assert (status, body["code"], body["field"], body["response"]) == (400, -1, "merchant_uid", None)

    refused(api.post(f"{PATH}/m0/reschedule", schedule_at=to))
    refused(api.post(f"{PATH}/m0/retry"))
    run(world)
    for answer in (
        api.put(f"{PATH}/m0", schedule_at=to),
        api.post(f"{PATH}/m0/reschedule", schedule_at=to),
        api.post(f"{PATH}/m0/retry"),
    ):
        refused(answer)
    assert len(world.captured()) == 1


def test_reschedule_answers_a_schedule_as_new(world, api, reserved):
    fresh = api.get(f"{PATH}/m0")[1]["response"]
    decline(world)
    run(world)
    assert api.get(f"{PATH}/m0")[1]["response"]["payment_status"] == "failed"
    to = at(world, hours=1)
    status, body = api.post(f"{PATH}/m0/reschedule", schedule_at=to)
    assert status == 200
    assert body["response"] == fresh | {"schedule_at": to}


def test_retry_answers_the_payment_also_when_it_fails(world, api, reserved):
    decline(world)
    run(world)
    decline(world)
    status, body = api.post(f"{PATH}/m0/retry")
    assert (status, body["code"], body["response"]["status"]) == (200, 0, "failed")
    assert body["response"]["fail_reason"]
    for box in world.sandboxes.values():
        box.clear_faults()
    status, body = api.post(f"{PATH}/m0/retry")
    payment = body["response"]
    assert (status, body["code"], body["message"]) == (200, 0, None)
    assert (payment["status"], payment["merchant_uid"], payment["amount"]) == ("paid", "m0", 8900)
    assert (payment["customer_uid"], payment["customer_uid_usage"]) == ("c1", "payment.scheduled")
    schedule = api.get(f"{PATH}/m0")[1]["response"]
    assert (schedule["imp_uid"], schedule["payment_status"]) == (payment["imp_uid"], "paid")
    assert (schedule["schedule_status"], schedule["executed_at"]) == ("executed", at(world))
    assert schedule["pg_provider"] == payment["pg_provider"]


def test_retry_without_an_answer_says_that_it_is_being_confirmed(world, api, reserved):
    api.post("/subscribe/payments/unschedule", merchant_uid="m0")
    for box in world.sandboxes.values():
        box.fail("charge", "reply_lost")
    status, body = api.post(f"{PATH}/m0/retry")
    assert (status, body["code"], body["response"]["status"]) == (200, 0, "ready")
    assert "being confirmed" in body["message"]
    assert api.post(f"{PATH}/m0/retry")[0] == 400
    assert len(world.captured()) == 1


def test_retry_with_a_key_that_is_gone_is_404(world, api, reserved):
    api.post("/subscribe/payments/unschedule", merchant_uid="m0")
    api.delete("/subscribe/customers/c1")
    status, body = api.post(f"{PATH}/m0/retry")
    assert (status, body["code"], body["message"]) == (404, 1, "등록되지 않은 구매자입니다.")


def test_a_tried_payment_is_told_paid_or_failed(world, api, reserved):
    world.webhook_url("https://shop.example/hook")
    decline(world, times=2)
    world.clock.advance(seconds=5)
    world.run_queue()
    api.post(f"{PATH}/m0/retry")
    for box in world.sandboxes.values():
        box.clear_faults()
    paid = api.post(f"{PATH}/m0/retry")[1]["response"]
    world.run_queue()
    bodies = [json.loads(body) for _, body, _ in world.sender.sent]
    assert [body["status"] for body in bodies] == ["failed", "failed", "paid"]
    assert bodies[-1] == {"imp_uid": paid["imp_uid"], "merchant_uid": "m0", "status": "paid"}


def test_names_of_orders_come_encoded(world, api, key):
    uid = "주문 1/2"
    entry = {"merchant_uid": uid, "schedule_at": at(world, hours=1), "amount": 8900, "name": "n"}
    api.post(PATH, customer_uid="c1", schedules=[entry])
    status, body = api.put(f"{PATH}/{quote(uid, safe='')}", schedule_at=at(world, hours=2))
    assert (status, body["response"]["merchant_uid"]) == (200, uid)


def test_a_token_is_needed_and_another_merchants_does_not_do(world, api, reserved):
    from chalicelib.usecases import merchants

    other = Api(world.deps).login(merchants.create(world.deps, "other"))
    for caller, expected in ((Api(world.deps), 401), (other, 404)):
        assert caller.put(f"{PATH}/m0", schedule_at=at(world, hours=1))[0] == expected
        assert caller.post(f"{PATH}/m0/reschedule", schedule_at=at(world, hours=1))[0] == expected
        assert caller.post(f"{PATH}/m0/retry")[0] == expected
    run(world)
    assert len(world.captured()) == 1


def test_checking_amount_charges_gives_back_and_books(world, api, key):
    entry = {"merchant_uid": "m0", "schedule_at": at(world, days=1), "amount": 8900, "name": "n"}
    status, body = api.post(PATH, customer_uid="c1", schedules=[entry], checking_amount=1000)
    assert (status, body["code"], body["response"][0]["schedule_status"]) == (200, 0, "scheduled")
    books = [t for box in world.sandboxes.values() for t in box.transactions()]
    assert [(t["amount"], t["balance"], t["state"]) for t in books] == [(1000, 0, "cancelled")]
    status, body = api.form(
        PATH,
        {
            "customer_uid": "c2",
            "checking_amount": "1000",
            "schedules[0][merchant_uid]": "m1",
            "schedules[0][schedule_at]": at(world, days=1),
            "schedules[0][amount]": "8900",
            **STOLEN,
        },
    )
    assert (status, body["code"], body["response"]) == (200, -1, None)
    assert api.get(f"{PATH}/m1")[0] == 404
    assert api.get("/subscribe/customers/c2")[1]["code"] == 1
    assert not world.captured()
    assert CARD["card_number"].replace("-", "") not in world.store.texts()


def test_checking_amount_is_of_the_currency_of_the_first(world, api, key):
    entry = {"merchant_uid": "m0", "schedule_at": at(world, days=1), "amount": 8900, "name": "n"}
    status, body = api.post(PATH, customer_uid="c1", schedules=[entry], checking_amount=10.5)
    assert (status, body["field"]) == (400, "checking_amount")
    entry = entry | {"currency": "USD", "amount": 89}
    status, body = api.post(PATH, customer_uid="c1", schedules=[entry], checking_amount=10.5)
    assert (status, body["code"]) == (200, 1)  # neither gateway takes dollars on a key
    assert "USD" in body["message"]
    assert api.get(f"{PATH}/m0")[0] == 404
