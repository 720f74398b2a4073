"""Which event sends which webhook, row by row of the contract's table; and those events that send none."""

import json
from datetime import timedelta

import pytest

from chalicelib.domain.charging import Declined, Unknown, VirtualAccountRequest
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.payments import State
from chalicelib.usecases import virtual_accounts
from chalicelib.usecases.charges import load_routing
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.vault import open_gateway
from tests.support.api import CARD, STOLEN
from tests.support.recovery import at, book, meddle, stored, use
from tests.support.world import request

NO = Declined(DeclineReason.INVALID_REQUEST, "NO", "할 수 없습니다.")


def let_pass(world, **kwargs):
    """Until then the minute rule and the queue do what falls due, at its time."""
    end = world.clock.now() + timedelta(**kwargs)
    while world.clock.now() < end:
        world.sweep()
        world.run_queue()
        ahead = [task.due_at for task in world.queue.tasks]
        ahead += [world.clock.now() + timedelta(minutes=1)]
        world.clock.set(min(*ahead, end))
    world.run_queue()


def onetime(api, card=CARD, **more):
    return api.post("/subscribe/payments/onetime", card, merchant_uid="m0", amount=8900, name="n", **more)[1][
        "response"
    ]


def issue_key(api, card=CARD):
    api.post("/subscribe/customers/c1", card)


def scheduled(api, world, card=CARD):
    issue_key(api, card)
    book(api, world)
    world.clock.advance(seconds=5)
    world.sweep()
    world.run_queue()


def cancel(api, payment, **more):
    return api.post("/payments/cancel", imp_uid=payment["imp_uid"], **more)[1]


def account(world):
    wanted = VirtualAccountRequest(bank_code="088", due_at=world.clock.now() + timedelta(days=1))
    issue = virtual_accounts.Issue(request("m0"), wanted, Target())
    return virtual_accounts.issue(world.deps, world.merchant_id, issue)


def pay_in(world, payment, **more):
    notice = world.sandboxes["tosspayments"].deposit(payment.attempt.order_id, **more)
    virtual_accounts.deposit_notice(world.deps, world.merchant_id, world.channels["tosspayments"], notice)


# --- the events -----------------------------------------------------------------------------------------------------


def approved(api, world):
    onetime(api)


def approved_by_key(api, world):
    issue_key(api)
    api.post("/subscribe/payments/again", customer_uid="c1", merchant_uid="m0", amount=8900, name="n")


def declined(api, world):
    assert onetime(api, STOLEN)["status"] == "failed"


def declined_by_key(api, world):
    issue_key(api, STOLEN)
    api.post("/subscribe/payments/again", customer_uid="c1", merchant_uid="m0", amount=8900, name="n")


def refused(api, world):
    onetime(api, {**CARD, "expiry": "x"})


def unknown_then_approved(api, world):
    for box in world.sandboxes.values():
        box.fail("charge", "reply_lost")
    assert onetime(api)["status"] == "ready"
    world.run_queue()
    assert not world.sender.sent  # `ready` was the answer; the webhook tells the end
    let_pass(world, minutes=5)


def unknown_then_not_charged(api, world):
    meddle(world, charge_card=lambda *_: Unknown("lost on the way"))
    use(world)
    assert onetime(api)["status"] == "ready"
    let_pass(world, hours=2)


def scheduled_and_paid(api, world):
    scheduled(api, world)


def scheduled_and_declined(api, world):
    scheduled(api, world, STOLEN)


def scheduled_on_a_key_that_is_gone(api, world):
    issue_key(api)
    book(api, world)
    api.delete("/subscribe/customers/c1")
    world.clock.advance(seconds=5)
    world.sweep()
    world.run_queue()


def retried_and_paid(api, world):
    scheduled(api, world, STOLEN)
    issue_key(api)
    assert api.post("/subscribe/payments/schedule/m0/retry")[1]["response"]["status"] == "paid"


def retried_and_declined(api, world):
    scheduled(api, world, STOLEN)
    assert api.post("/subscribe/payments/schedule/m0/retry")[1]["response"]["status"] == "failed"


def booked_moved_and_revoked(api, world):
    issue_key(api)
    book(api, world)
    api.put("/subscribe/payments/schedule/m0", schedule_at=at(world, hours=1))
    api.post("/subscribe/payments/unschedule", customer_uid="c1")


def booked_with_a_test_charge(api, world):
    issue_key(api)
    book(api, world, checking_amount=1000)
    api.post("/subscribe/payments/unschedule", customer_uid="c1")
    let_pass(world, hours=1)


def key_issued_and_deleted(api, world):
    issue_key(api)
    api.delete("/subscribe/customers/c1")


def account_issued(api, world):
    account(world)


def account_paid_into(api, world):
    pay_in(world, account(world))


def account_expired(api, world):
    account(world)
    let_pass(world, hours=26)


def account_revoked(api, world):
    virtual_accounts.revoke(world.deps, world.merchant_id, account(world).imp_uid)


def account_revoked_at_the_gateway(api, world):
    payment = account(world)
    gateway = open_gateway(world.deps, load_routing(world.deps, world.merchant_id), payment.attempt.channel_key)
    gateway.revoke_virtual_account("x", payment.gateway_ref, 5)
    let_pass(world, hours=7)
    assert stored(world, payment).state is State.REVOKED


def deposit_taken_back(api, world):
    payment = account(world)
    pay_in(world, payment)
    pay_in(world, payment, reverse=True)


def cancelled(api, world):
    assert cancel(api, onetime(api))["code"] == 0


def cancelled_and_told(api, world):
    assert cancel(api, onetime(api), enable_webhook=True)["code"] == 0


def cancelled_in_parts_and_told(api, world):
    payment = onetime(api)
    for _ in range(2):
        assert cancel(api, payment, amount=1000, enable_webhook=True)["code"] == 0


def cancel_refused(api, world):
    meddle(world, cancel=lambda *_: NO)
    use(world)
    assert cancel(api, onetime(api), enable_webhook=True)["code"] == -1


def cancel_confirmed_later(api, world):
    payment = onetime(api)
    for box in world.sandboxes.values():
        box.fail("cancel", "reply_lost")
    assert "(the cancel is being confirmed)" in cancel(api, payment)["message"]
    let_pass(world, minutes=5)


PAID, READY, FAILED = ("paid", False), ("ready", False), ("failed", False)
CANCELLED, OF_A_CANCEL = ("cancelled", False), ("cancelled", True)
"""(status, whether it names a cancel)."""

TOLD = {
    approved: [PAID],
    approved_by_key: [PAID],
    declined: [],
    declined_by_key: [],
    refused: [],
    unknown_then_approved: [PAID],
    unknown_then_not_charged: [FAILED],
    scheduled_and_paid: [PAID],
    scheduled_and_declined: [FAILED],
    scheduled_on_a_key_that_is_gone: [FAILED],
    retried_and_paid: [FAILED, PAID],
    retried_and_declined: [FAILED, FAILED],
    booked_moved_and_revoked: [],
    booked_with_a_test_charge: [],
    key_issued_and_deleted: [],
    account_issued: [READY],
    account_paid_into: [READY, PAID],
    account_expired: [READY, FAILED],
    account_revoked: [READY],
    account_revoked_at_the_gateway: [READY, CANCELLED],
    deposit_taken_back: [READY, PAID, READY],
    cancelled: [PAID],
    cancelled_and_told: [PAID, OF_A_CANCEL],
    cancelled_in_parts_and_told: [PAID, OF_A_CANCEL, OF_A_CANCEL],
    cancel_refused: [PAID],
    cancel_confirmed_later: [PAID, OF_A_CANCEL],
}


@pytest.mark.parametrize("event", TOLD, ids=lambda event: event.__name__)
def test_an_event_sends_exactly_these(api, world, event):
    world.two_gateways()
    world.webhook_url("https://shop.example/hook")
    event(api, world)
    world.run_queue()
    bodies = [json.loads(body) for _, body, _ in world.sender.sent]
    assert [(body["status"], "cancellation_id" in body) for body in bodies] == TOLD[event]
    for body in bodies:
        assert set(body) - {"cancellation_id"} == {"imp_uid", "merchant_uid", "status"}
        assert body["merchant_uid"] == "m0"
