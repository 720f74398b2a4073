"""What a person said while the gateway was silent is compared with its books when it speaks again: those have the last word."""

import json

import pytest

from chalicelib.domain.charging import Operation
from chalicelib.domain.payments import CancelState, State
from tests.support.recovery import balance, onetime, restrict, settle, stored


@pytest.fixture(params=["tosspayments", "nice_v2"])
def box(world, api, request):
    world.group([(world.channel(request.param), 100)], failover="off")
    world.webhook_url("https://shop.example/hook")
    return world.sandboxes[request.param]


def fall_silent(box):
    box.fail("find", "http_500", times=1000)


def speak(world, box):
    """It answers again, and everything that waits for that is done."""
    box.clear_faults()
    world.run_to_quiet()


def admin(api, payment, action, **body):
    status, answer = api.post(f"/admin/payments/{payment.imp_uid}/{action}", body)
    assert status == 200, answer
    return answer


def cancel(api, payment, amount):
    return api.post("/payments/cancel", imp_uid=payment.imp_uid, amount=amount)[1]


def cancel_in_doubt(world, api, box, fault):
    """3000 of 8900, and nobody can tell whether it happened."""
    payment = onetime(world)
    box.fail("cancel", fault)
    fall_silent(box)
    assert cancel(api, payment, 3000)["code"] == 0
    world.clock.advance(minutes=11)
    return payment, stored(world, payment).open_cancel.cancel_id


def webhooks(world):
    world.run_queue()
    return [json.loads(body)["status"] for _, body, _ in world.sender.sent]


def test_a_cancel_that_was_done_and_called_failed_is_not_made_again(world, api, box):
    payment, cancel_id = cancel_in_doubt(world, api, box, "reply_lost")
    admin(api, payment, f"cancels/{cancel_id}/settle", outcome="failed", reason="a mistake")
    refused = cancel(api, payment, 3000)
    assert refused["code"] != 0
    assert "being confirmed" in refused["message"]
    speak(world, box)
    after = stored(world, payment)
    assert [c.state for c in after.cancels] == [CancelState.DONE]
    assert after.balance.amount == balance(world) == 5900
    assert (after.due_at, after.alarm) == (None, None)
    assert webhooks(world)[-1] == "cancelled"
    assert cancel(api, payment, 5900)["code"] == 0
    assert balance(world) == 0


def test_a_cancel_that_was_not_done_and_called_done_is_made(world, api, box):
    payment, cancel_id = cancel_in_doubt(world, api, box, "http_500")
    admin(api, payment, f"cancels/{cancel_id}/settle", outcome="done", reason="a mistake")
    assert stored(world, payment).balance.amount == 5900
    assert balance(world) == 8900
    speak(world, box)
    after = stored(world, payment)
    assert after.balance.amount == balance(world) == 5900
    assert (after.due_at, after.alarm, after.open_cancel) == (None, None, None)


@pytest.mark.parametrize(("fault", "outcome"), [("reply_lost", "done"), ("http_500", "failed")])
def test_what_was_said_rightly_stays(world, api, box, fault, outcome):
    payment, cancel_id = cancel_in_doubt(world, api, box, fault)
    admin(api, payment, f"cancels/{cancel_id}/settle", outcome=outcome, reason="seen at the console")
    before = webhooks(world)
    speak(world, box)
    after = stored(world, payment)
    assert after.balance.amount == balance(world)
    assert (after.due_at, after.alarm, after.awaits_comparison) == (None, None, False)
    assert webhooks(world) == before
    assert cancel(api, payment, 1000)["code"] == 0


def test_a_later_difference_reopens_nothing_that_was_compared(world, api, box):
    payment, cancel_id = cancel_in_doubt(world, api, box, "reply_lost")
    admin(api, payment, f"cancels/{cancel_id}/settle", outcome="done", reason="seen at the console")
    speak(world, box)
    assert not any(c.unproven for c in stored(world, payment).cancels)


def paid_by_hand(world, api, box, fault, pg_tid):
    box.fail("charge", fault)
    fall_silent(box)
    payment = onetime(world)
    world.clock.advance(minutes=11)
    world.run_queue()
    admin(api, payment, "settle", outcome="paid", pg_tid=pg_tid, reason="seen at the console")
    return payment


def test_a_wrong_id_is_put_right_before_anybody_can_cancel_with_it(world, api, box):
    other = onetime(world, "order-2")
    payment = paid_by_hand(world, api, box, "reply_lost", other.gateway_ref)
    assert cancel(api, payment, 8900)["code"] != 0
    speak(world, box)
    after = stored(world, payment)
    assert after.gateway_ref not in (None, other.gateway_ref)
    assert (after.state, after.due_at, after.alarm) == (State.PAID, None, None)
    assert cancel(api, payment, 8900)["code"] == 0
    left = {t["order_id"]: t["balance"] for t in box.transactions()}
    assert left == {other.attempt.order_id: 8900, payment.attempt.order_id: 0}


def test_what_was_never_paid_calls_a_person_until_one_answers_for_it(world, api, box):
    payment = paid_by_hand(world, api, box, "http_500", "tviva1")
    box.clear_faults()
    world.run_to_quiet(hours=3)
    after = stored(world, payment)
    assert after.state is State.PAID
    assert "the gateway says otherwise" in after.alarm
    assert cancel(api, payment, 8900)["code"] != 0
    content = json.dumps({"reason": "the merchant knows"}).encode()
    path = f"/admin/payments/{payment.imp_uid}/alarm"
    assert api.send("DELETE", path, content, {"Content-Type": "application/json"})[0] == 200
    after = stored(world, payment)
    assert (after.alarm, after.due_at) == (None, None)


def test_where_nobody_can_be_asked_a_persons_word_is_all_there_is(world, api, box):
    restrict(world, Operation.FIND, net_cancel_window=None)
    box.fail("charge", "reply_lost")
    payment = onetime(world)
    world.clock.advance(minutes=11)
    settle(world, payment)
    admin(api, payment, "settle", outcome="paid", pg_tid="t1", reason="seen at the console")
    assert stored(world, payment).due_at is None
