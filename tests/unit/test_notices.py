"""Webhooks: signed, delivered at least once, tried for about a day, then given up with a call for a person."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from chalicelib.domain.charging import VirtualAccountRequest
from chalicelib.domain.notices import Notice, NoticeState, superseded
from chalicelib.domain.payments import Payment
from chalicelib.ports import Ref, Timing
from chalicelib.storage.items import from_item
from chalicelib.usecases import cancels, charges, merchants, notifying, timer, virtual_accounts
from chalicelib.usecases.choosing import Target
from tests.support.recovery import Dying
from tests.support.world import CARD, request

HOOK = "https://shop.example/hook"
DOWN = (False, "HTTP 503")


def notices_of(world):
    """In the order in which they came to be."""
    found = [from_item(Notice, item) for (_, sk), item in world.store.items.items() if sk == "notice"]
    return sorted(found, key=lambda notice: notice.created_at)


def notice_of(world):
    (notice,) = notices_of(world)
    return notice


def told(world):
    """The statuses that were sent, in order."""
    return [json.loads(body)["status"] for _, body, _ in world.sender.sent]


def pay(world, uid="order-0001", **kwargs):
    if not world.channels:
        world.two_gateways()
        world.webhook_url(HOOK)
    return charges.charge_card(world.deps, world.merchant_id, request(uid, **kwargs), CARD, Target())


def cancel(world, payment, **wanted):
    return cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid, **wanted))


def test_a_paid_charge_is_told_at_once_and_signed(world):
    payment = pay(world)
    world.run_queue()
    ((url, body, headers),) = world.sender.sent
    assert url == "https://shop.example/hook"
    assert json.loads(body) == {"imp_uid": payment.imp_uid, "merchant_uid": "order-0001", "status": "paid"}
    key = base64.b64decode(world.merchant.webhook_secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert notice_of(world).state is NoticeState.DELIVERED
    world.run_to_quiet()
    assert len(world.sender.sent) == 1


def test_standard_webhooks_published_vector():
    """The example of the Standard Webhooks specification's reference libraries."""
    from datetime import UTC, datetime

    headers = notifying.signature_headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_notice_url_replaces_the_default(world):
    pay(world, notice_urls=("https://a.example/1", "https://b.example/2"))
    world.run_queue()
    assert [url for url, _, _ in world.sender.sent] == ["https://a.example/1", "https://b.example/2"]


def test_it_is_tried_for_about_a_day_with_one_id_and_then_given_up(world, caplog):
    pay(world)
    world.sender.replies = [DOWN] * 50
    started = world.clock.now()
    world.run_to_quiet(hours=40)
    assert len(world.sender.sent) == 9
    assert len({headers["webhook-id"] for _, _, headers in world.sender.sent}) == 1
    # V1's time-outs: 30 s for the first try, 15 s for each further one.
    assert world.sender.timeouts == [30.0] + [15.0] * 8
    notice = notice_of(world)
    assert (notice.state, notice.last_result) == (NoticeState.DEAD, "HTTP 503")
    assert 20 <= (world.clock.now() - started).total_seconds() / 3600 <= 30
    assert any(getattr(record, "needs_a_person", False) for record in caplog.records)


def test_it_comes_through_after_a_while(world):
    pay(world)
    world.sender.replies = [(False, "timeout"), (False, "HTTP 500")]
    world.run_to_quiet()
    assert len(world.sender.sent) == 3
    assert notice_of(world).state is NoticeState.DELIVERED


def test_delivered_twice_by_the_queue_it_is_sent_once(world):
    pay(world)
    (task,) = world.queue.tasks
    world.queue.tasks.append(task)
    world.run_queue()
    assert len(world.sender.sent) == 1


def test_a_worker_that_dies_while_sending_is_made_good(world):
    pay(world)
    (task,) = world.queue.tasks
    world.queue.tasks.clear()

    class Killed:
        def refuse_url(self, url):
            return None

        def post(self, *args, **kwargs):
            raise SystemExit("killed")

    try:
        notifying.deliver(replace(world.deps, sender=Killed()), *task.parts)
    except SystemExit:
        pass
    assert not world.sender.sent
    world.run_to_quiet()
    assert len(world.sender.sent) == 1


def test_as_a_form(world):
    world.two_gateways()
    settings = merchants.settings(world.deps, world.merchant_id)
    form = "application/x-www-form-urlencoded"
    merchants.save_settings(
        world.deps,
        world.admin,
        replace(settings, test_webhook_url="https://shop.example/hook", webhook_content_type=form),
    )
    charges.charge_card(world.deps, world.merchant_id, request("주문 1"), CARD, Target())
    world.run_queue()
    ((_, body, headers),) = world.sender.sent
    assert headers["Content-Type"] == form
    assert b"merchant_uid=%EC%A3%BC%EB%AC%B8+1&status=paid" in body


def test_cancels_are_told_only_when_asked(world):
    payment = pay(world)
    world.run_queue()
    cancel(world, payment, amount=Decimal(1000))
    world.run_queue()
    assert len(world.sender.sent) == 1
    cancel(world, payment, notify=True)
    world.run_queue()
    body = json.loads(world.sender.sent[1][1])
    assert (body["status"], body["cancellation_id"][-2:]) == ("cancelled", "c2")


@pytest.mark.parametrize("nth", [2, 3, 4])
def test_killed_at_any_write_it_is_told_at_least_once(world, nth):
    """After the payment's result, or the delivery's claim or result. (After its claim nothing was charged.)"""
    world.two_gateways()
    world.webhook_url(HOOK)
    dying = replace(world.deps, store=Dying(world.store, nth))
    with pytest.raises(SystemExit):
        charges.charge_card(dying, world.merchant_id, request(), CARD, Target())
        timer.work(dying, world.queue.tasks[0])
    world.queue.tasks.clear()
    world.run_to_quiet()
    assert set(told(world)) == {"paid"}
    assert notice_of(world).state is NoticeState.DELIVERED
    assert len({headers["webhook-id"] for _, _, headers in world.sender.sent}) == 1


# --- what can be given up at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply", [(False, "사설망 주소로는 보낼 수 없습니다. (private address)", True), (False, "HTTP 410", True)]
)
def test_what_no_further_try_would_better_is_given_up_at_once(world, caplog, reply):
    pay(world)
    world.sender.replies = [reply]
    world.run_to_quiet()
    assert len(world.sender.sent) == 1
    notice = notice_of(world)
    assert (notice.state, notice.last_result, notice.tries) == (NoticeState.DEAD, reply[1], 1)
    assert any(getattr(record, "needs_a_person", False) for record in caplog.records)


def test_a_refused_url_is_never_called(world):
    pay(world, notice_urls=("gopher://a.example/",))
    world.run_to_quiet()
    assert not world.sender.sent
    notice = notice_of(world)
    assert (notice.state, notice.tries) == (NoticeState.DEAD, 1)
    assert "(http or https)" in notice.last_result


# --- order --------------------------------------------------------------------------------------------------------


def issue(world):
    if not world.channels:
        world.two_gateways()
        world.webhook_url(HOOK)
    account = VirtualAccountRequest(bank_code="088", due_at=world.clock.now() + timedelta(days=1))
    wanted = virtual_accounts.Issue(request("order-1"), account, Target())
    return virtual_accounts.issue(world.deps, world.merchant_id, wanted)


def pay_in(world, payment, **more):
    notice = world.sandboxes["tosspayments"].deposit(payment.attempt.order_id, **more)
    virtual_accounts.deposit_notice(world.deps, world.merchant_id, world.channels["tosspayments"], notice)


def states(world):
    return [(notice.status, notice.state) for notice in notices_of(world)]


def later(world):
    """The next tries, and not the looks at the payment."""
    world.clock.advance(seconds=30)
    world.run_queue()


def test_a_late_ready_does_not_follow_paid(world):
    payment = issue(world)
    world.sender.replies = [DOWN]
    world.run_queue()
    world.clock.advance(seconds=5)
    pay_in(world, payment)
    later(world)
    assert told(world) == ["ready", "paid"]
    assert states(world) == [("ready", NoticeState.SUPERSEDED), ("paid", NoticeState.DELIVERED)]


def test_a_first_try_that_waited_long_is_checked_too(world):
    payment = issue(world)
    world.clock.advance(seconds=11)
    pay_in(world, payment)
    world.run_queue()
    assert told(world) == ["paid"]


def test_what_is_still_true_is_sent_however_late(world):
    payment = issue(world)
    world.sender.replies = [DOWN, DOWN]
    world.run_queue()
    later(world)
    pay_in(world, payment)
    world.sender.replies = [DOWN]
    world.run_queue()
    later(world)
    assert told(world) == ["ready", "ready", "paid", "paid"]


def test_paid_and_ready_of_a_deposit_that_the_bank_took_back_do_not_cross(world):
    payment = issue(world)
    world.run_queue()
    world.sender.replies = [DOWN]
    pay_in(world, payment)
    world.run_queue()
    pay_in(world, payment, reverse=True)
    world.run_queue()
    later(world)
    assert told(world) == ["ready", "paid", "ready"]
    assert states(world)[1] == ("paid", NoticeState.SUPERSEDED)


def test_paid_is_not_told_of_an_account_that_is_closed_after_the_bank_took_the_deposit_back(world):
    payment = issue(world)
    world.run_queue()
    pay_in(world, payment)
    world.sender.replies = [DOWN] * 8
    world.run_to_quiet(hours=12)  # the last try comes twelve hours later
    assert notices_of(world)[1].tries == 8
    pay_in(world, payment, reverse=True)
    virtual_accounts.revoke(world.deps, world.merchant_id, payment.imp_uid)
    world.run_to_quiet(hours=48)
    assert states(world)[1] == ("paid", NoticeState.SUPERSEDED)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([{"notify": True}], ["paid", "cancelled"]),
        ([{}], ["paid", "paid"]),  # nobody told of this cancel: what was not heard must be
        ([{"amount": Decimal(900), "notify": True}], ["paid", "cancelled", "paid"]),  # the rest was paid
        ([{"amount": Decimal(900), "notify": True}, {}], ["paid", "cancelled"]),
    ],
    ids=["cancelled", "cancelled silently", "in part", "in two parts"],
)
def test_paid_after_cancelled(world, parts, expected):
    payment = pay(world)
    world.sender.replies = [DOWN]
    world.run_queue()
    for wanted in parts:
        cancel(world, payment, **wanted)
    world.run_queue()
    later(world)
    assert told(world) == expected


def test_a_cancel_is_always_told(world):
    payment = pay(world)
    world.run_queue()
    cancel(world, payment, amount=Decimal(900), notify=True)
    world.sender.replies = [DOWN]
    world.run_queue()
    cancel(world, payment, notify=True)
    world.run_queue()
    later(world)
    assert [json.loads(body).get("cancellation_id", "")[-2:] for _, body, _ in world.sender.sent] == [
        "", "c1", "c2", "c1",
    ]  # fmt: skip


def test_the_refusal_of_a_cancel_is_told_also_after_the_next_one_has_worked(world):
    """Its status is `paid`, and it is about the cancel."""
    payment = pay(world)
    cancel(world, payment, notify=True)
    [paid, _] = notices_of(world)
    payment = world.store.load(Ref(Payment, (world.merchant_id, payment.imp_uid)))
    assert superseded(paid, payment)
    assert not superseded(replace(paid, cancellation_id="c0"), payment)


def test_a_claim_lasts_longer_than_any_try_and_than_the_function_that_makes_it():
    """Name resolution, which nothing cuts short, has the rest."""
    functions = json.loads((Path(__file__).parents[2] / ".chalice" / "config.json").read_text())["lambda_functions"]
    limits = {functions[name]["lambda_timeout"] for name in ("deliver_notices", "deliver_slow_notices")}
    assert notifying.LEASE.total_seconds() >= max(limits)
    assert Timing().webhook_timeout + timedelta(seconds=20) <= timedelta(seconds=min(limits))


def test_a_first_try_costs_one_read_and_two_writes(world):
    pay(world)
    world.store.calls.clear()
    world.run_queue()
    assert world.store.calls == ["load", "commit", "commit"]
