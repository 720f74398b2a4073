"""Webhooks: signed, delivered at least once, tried for about a day, then given up with a call for a person."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from decimal import Decimal

from chalicelib.domain.notices import Notice, NoticeState
from chalicelib.usecases import cancels, charges, merchants, notifying
from chalicelib.usecases.choosing import Target
from tests.support.world import CARD, request


def notice_of(world):
    page = [item for key, item in world.store.items.items() if key[1] == "notice"]
    from chalicelib.storage.items import from_item

    (notice,) = [from_item(Notice, item) for item in page]
    return notice


def pay(world, **kwargs):
    world.two_gateways()
    world.webhook_url("https://shop.example/hook")
    return charges.charge_card(world.deps, world.merchant_id, request(**kwargs), CARD, Target())


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
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
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
    world.sender.replies = [(False, "HTTP 503")] * 50
    started = world.clock.now()
    world.run_to_quiet(hours=40)
    assert len(world.sender.sent) == 9
    assert len({headers["webhook-id"] for _, _, headers in world.sender.sent}) == 1
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

    class Dying:
        def refuse_url(self, url):
            return None

        def post(self, *args, **kwargs):
            raise SystemExit("killed")

    try:
        notifying.deliver(replace(world.deps, sender=Dying()), *task.parts)
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
    cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid, amount=Decimal(1000)))
    world.run_queue()
    assert len(world.sender.sent) == 1
    cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid, notify=True))
    world.run_queue()
    body = json.loads(world.sender.sent[1][1])
    assert (body["status"], body["cancellation_id"][-2:]) == ("cancelled", "c2")
