"""What waits for a person: all kinds in one list, each with what to do, and gone when it is done."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import IdentifierType, NotSent, Operation
from chalicelib.domain.health import HealthState
from chalicelib.domain.receipts import CashReceipt, ReceiptState, Subject
from chalicelib.ports import Ref
from chalicelib.usecases import by_hand, cash_receipts, charges
from chalicelib.usecases.choosing import Target
from tests.support.console import Console
from tests.support.recovery import meddle, onetime, restrict, stored
from tests.support.world import CARD, request


@pytest.fixture
def toss(world):
    world.group([(world.channel("tosspayments"), 100)], failover="off")
    world.webhook_url("https://shop.example/hook")
    yield world.sandboxes["tosspayments"]
    container.install(None)


@pytest.fixture
def doubtful(world, toss):
    restrict(world, Operation.FIND)
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    world.run_to_quiet()
    world.clock.advance(minutes=10)
    return stored(world, payment)


def given_up(world, uid="order-1"):
    """A payment whose webhook nobody took."""
    world.sender.replies = [(False, "HTTP 500")] * 100
    payment = onetime(world, uid)
    world.run_to_quiet(hours=40)
    return payment


def in_doubt(world, provider="nice_v2"):
    """A cash receipt that nobody knows to be issued."""
    channel = world.channel(provider)
    payment = charges.charge_card(
        world.deps, world.merchant_id, request("cash-1", 11_000), CARD, Target(channel_key=channel)
    )
    (payment,) = world.store.commit(replace(payment, pay_method="trans"))
    world.sandboxes[provider].fail("receipt", "reply_lost", times=9)
    wanted = cash_receipts.Wanted(identifier="01098761234", identifier_type=IdentifierType.PHONE)
    with pytest.raises(cash_receipts.Refused):
        cash_receipts.issue_for_payment(world.deps, world.merchant_id, payment.imp_uid, wanted)
    world.clock.advance(minutes=20)
    return payment


def enter(world, role=Role.OPERATOR):
    return Console(world, role, language="en")


def test_nothing_waits(world, toss):
    page = enter(world).get("attention")
    assert (page.status, "Nothing waits for you" in page.words) == (200, True)
    assert 'role="alert"' not in page.text


def test_a_payment_that_nobody_could_settle(world, doubtful):
    page = enter(world).get("attention")
    for shown in ("8,900원", "order-1", doubtful.attempt.order_id, doubtful.alarm, "What to do", "Settle…"):
        assert shown in page.words, shown
    assert f"payments/{doubtful.imp_uid}/settle" in page.text
    assert "payments/" in page.text


def test_viewers_see_it_and_have_no_forms(world, doubtful):
    page = enter(world, Role.VIEWER).get("attention")
    assert doubtful.attempt.order_id in page.words
    assert "/settle" not in page.text
    assert 'name="reason"' not in page.text


def test_a_webhook_is_sent_again_or_noted(world, toss):
    given_up(world)
    console = enter(world)
    page = console.get("attention")
    assert "Webhook given up: paid" in page.words
    webhook_id = page.text.split('name="webhook_id" value="')[1].split('"')[0]
    missing = console.post("attention/note", webhook_id=webhook_id)
    assert (missing.status, "a reason is required" in missing.words) == (400, True)
    noted = console.post("attention/note", webhook_id=webhook_id, reason="the shop knows")
    assert noted.location == "/console/attention?done=noted"
    assert "Nothing waits for you" in console.follow(noted).words
    assert console.post("attention/note", webhook_id=webhook_id, reason="again").status == 409
    assert console.post("attention/note", webhook_id="wh_none", reason="x").status == 404


def test_a_webhook_sent_again_from_here_leads_back_here(world, toss):
    payment = given_up(world)
    console = enter(world)
    webhook_id = console.get("attention").text.split('name="webhook_id" value="')[1].split('"')[0]
    fields = {"webhook_id": webhook_id, "from": "attention"}
    assert console.post(f"payments/{payment.imp_uid}/resend", fields).location == "/console/attention?done=resent"


def test_a_channel_that_is_down(world, toss):
    nice = world.channel("nice_v2")
    meddle(world, charge_card=lambda *_: NotSent("connection refused", unwell=True))
    for n in range(3):
        target = Target(channel_key=nice)
        charges.charge_card(world.deps, world.merchant_id, request(f"m{n}"), CARD, target)
    console = enter(world)
    page = console.get("attention")
    assert "Channel down: nice_v2" in page.words
    assert "connection refused" in page.words
    assert f"channels/{nice}" in page.text
    assert "Channel down" not in console.get("attention", kind="webhook").words
    assert "Channel down" in console.get("attention", kind="channel").words
    assert HealthState.DOWN in {known.state for known in world_health(world).channels.values()}


def world_health(world):
    from chalicelib.domain.health import Health

    return world.store.load(Ref(Health, (world.merchant_id,)))


def test_a_receipt_in_doubt_is_settled_where_nobody_can_be_asked(world, toss):
    payment = in_doubt(world)
    console = enter(world)
    page = console.get("attention")
    assert "Cash receipt 11,000원" in page.words
    query = {"subject": "imp_uid", "id": payment.imp_uid}
    form = console.get("attention/receipt", **query)
    assert (form.status, "It was issued" in form.words) == (200, True)
    fields = {**query, "outcome": "issued", "reason": "seen"}
    assert "say that you have looked" in console.post("attention/receipt", fields).words
    fields["sure"] = "yes"
    assert "required for issued" in console.post("attention/receipt", fields).words
    done = console.post("attention/receipt", fields, receipt_tid="R-1")
    assert done.location == "/console/attention?done=receipt_settled"
    receipt = world.store.load(Ref(CashReceipt, (world.merchant_id, Subject.PAYMENT, payment.imp_uid)))
    assert (receipt.current.state, receipt.current.receipt_tid) == (ReceiptState.ISSUED, "R-1")
    assert console.post("attention/receipt", fields, receipt_tid="R-2").status == 409
    assert "Nothing waits for you" in console.get("attention").words
    history = by_hand.history(world.deps, world.merchant_id, payment.imp_uid)
    assert [entry.action for entry in history] == ["cash_receipt.settled"]


def test_a_receipt_that_the_merchant_can_clear_up_has_no_form(world):
    payment = in_doubt(world, "tosspayments")
    console = enter(world)
    assert "when the shop repeats its request" in console.get("attention").words
    page = console.get("attention/receipt", subject="imp_uid", id=payment.imp_uid)
    assert (page.status, 'name="outcome"' in page.text) == (200, False)
    container.install(None)


@pytest.mark.parametrize("query", [{}, {"subject": "x", "id": "y"}, {"subject": "merchant_uid", "id": "none"}])
def test_receipts_that_are_not_there(world, toss, query):
    assert enter(world).get("attention/receipt", **query).status == 404


def test_many_things_are_shown_page_by_page(world, toss, monkeypatch):
    from chalicelib.api.console import attention

    monkeypatch.setattr(attention, "EACH", 2)
    for n in range(3):
        payment = onetime(world, f"m{n}x")
        world.store.commit(replace(payment, alarm="the gateway's balance differs from ours", updated_at=now(world)))
        world.clock.advance(seconds=5)
    console = enter(world)
    first = console.get("attention")
    assert ("m2x" in first.words, "m1x" in first.words, "m0x" in first.words) == (True, True, False)
    address = first.text.split('class="button" href="/console/attention?kind=payment')[1].split('"')[0]
    rest = console.send("GET", "/console/attention?kind=payment" + address.replace("&amp;", "&"))
    assert ("m0x" in rest.words, "m1x" in rest.words) == (True, False)


def now(world):
    return world.clock.now() + timedelta()


@pytest.mark.parametrize("query", [{"kind": "x"}, {"cursor": "x"}, {"kind": "payment", "cursor": "x"}])
def test_addresses_that_somebody_has_made_up_do_no_harm(world, doubtful, query):
    assert enter(world).get("attention", **query).status == 200
