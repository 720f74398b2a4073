"""What breaks, and how it ends: one charge or none, our books like the gateway's, nothing stuck."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chalicelib.domain.cancels import MAX_CANCELS
from chalicelib.domain.charging import Cancelled, Declined, GatewayCancel, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import Refused
from chalicelib.domain.money import Money
from chalicelib.domain.payments import Cancellation, CancelState, State
from chalicelib.domain.routing import Exclusion
from chalicelib.ports import Conflict, StoreUnavailable
from chalicelib.storage.items import DUE_SHARDS
from chalicelib.usecases import billing_keys, cancels, timer
from chalicelib.usecases.choosing import Target
from tests.support.api import CARD as API_CARD
from tests.support.clock import SettableClock
from tests.support.recovery import (
    NO,
    Dying,
    Meddling,
    at,
    balance,
    book,
    cancel,
    late,
    meddle,
    onetime,
    settle,
    stored,
    use,
)
from tests.support.world import CARD

START = SettableClock().now()


def test_a_late_approval_is_given_back_once_and_calls_a_person(world, gateway, caplog):
    real = world.deps
    late(world)
    payment = onetime(world)
    world.deps = real
    for _ in range(15):
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
    assert stored(world, payment).state is State.FAILED
    paid = onetime(world)
    world.carry_out()
    assert len(world.captured()) == 2
    world.run_to_quiet(hours=60)
    assert [t["order_id"] for t in world.captured()] == [paid.attempt.order_id]
    assert stored(world, payment).state is State.FAILED
    assert "voided" in stored(world, payment).alarm
    assert stored(world, payment).due_at is None
    assert any(getattr(r, "needs_a_person", False) for r in caplog.records)


def called_not_charged(world):
    """A payment that the gateway did not know after its settling delay. world.carry_out() carries its charge out."""
    real = world.deps
    late(world)
    payment = onetime(world)
    world.deps = real
    run_until(world, minutes=15)
    assert stored(world, payment).state is State.FAILED
    return payment


def run_until(world, **since_the_start):
    """Minute by minute, but for those in which nothing is due."""
    end, minute = START + timedelta(**since_the_start), timedelta(minutes=1)
    while (now := world.clock.now()) < end:
        due = [task.due_at for task in world.queue.tasks]
        due += [
            datetime.fromtimestamp(float(item["due_at"]["N"]), UTC)
            for item in world.store.items.values()
            if "due_at" in item
        ]
        idle = (min(due, default=end) - now) // minute
        world.clock.set(min(end, now + max(1, idle) * minute))
        world.sweep()
        world.run_queue()


def test_a_late_look_without_an_answer_is_made_up_for_and_uses_up_none(world, gateway):
    payment = called_not_charged(world)
    real = world.deps
    meddle(world, find_charge=lambda *_: Unknown("silent"))
    run_until(world, hours=3)
    assert "no clear answer" in stored(world, payment).alarm
    world.deps = real
    run_until(world, hours=5)
    looked = stored(world, payment)
    assert (looked.alarm, looked.checks) == (None, 0)  # it has answered: nobody need look any more
    assert looked.due_at == looked.failed_at + timedelta(days=1)
    world.carry_out()
    world.run_to_quiet(hours=60)
    assert not world.captured()
    assert "voided" in stored(world, payment).alarm


def test_a_late_look_that_is_never_answered_never_ends(world, gateway):
    payment = called_not_charged(world)
    meddle(world, find_charge=lambda *_: Unknown("silent"))
    run_until(world, hours=50)
    assert stored(world, payment).due_at
    assert stored(world, payment).alarm


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_whoever_dies_over_a_late_approval_leaves_it_given_back_once_and_seen(world, gateway, nth):
    payment = called_not_charged(world)
    world.carry_out()
    world.clock.set(stored(world, payment).due_at)
    alive = world.deps
    world.deps = replace(alive, store=Dying(world.store, nth))
    with pytest.raises(SystemExit):
        settle(world, payment)
        raise SystemExit("there were fewer writes")
    world.deps = alive
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.state, after.attempt.outcome, balance(world)) == (State.FAILED, "given_back", 0)
    assert "voided" in after.alarm
    assert after.due_at is None


def test_a_void_of_a_late_approval_whose_reply_is_lost_is_seen_too(world, gateway):
    payment = called_not_charged(world)
    world.carry_out()
    world.sandboxes[gateway].fail("cancel", "reply_lost")
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.attempt.outcome, balance(world)) == ("given_back", 0)
    assert "voided" in after.alarm


def test_a_void_that_is_refused_once_calls_a_person_and_works_later(world, gateway, caplog):
    world.sandboxes[gateway].fail("charge", "wrong_amount")
    payment = onetime(world)
    world.sandboxes[gateway].fail("cancel", "decline")
    world.run_to_quiet()
    assert sum(getattr(r, "needs_a_person", False) for r in caplog.records) == 1
    assert stored(world, payment).state is State.FAILED
    assert not world.captured()


def test_settlement_that_breaks_pauses_and_calls_a_person(world, gateway, caplog):
    world.sandboxes[gateway].fail("charge", "reply_lost")
    payment = onetime(world)
    tries = []

    def broken(*_args):
        tries.append(1)
        raise RuntimeError("a bug")

    real = world.deps
    meddle(world, find_charge=broken)
    for _ in range(180):
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
    assert 5 < len(tries) < 15
    assert stored(world, payment).alarm
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).state is State.PAID


def test_approved_and_cancelled_at_the_gateway_before_we_knew(world, gateway):
    world.sandboxes[gateway].fail("charge", "reply_lost")
    payment = onetime(world)
    channel = world.deps.gateways
    seen = []

    def find(inner, *args):
        found = inner.find_charge(*args)
        cancel = GatewayCancel("tid-of-console", Money(8900), world.clock.now(), "콘솔 취소")
        seen.append(found)
        return replace(found, balance=Money(0), cancels=(cancel,))

    meddle(world, find_charge=find)
    world.run_to_quiet()
    world.deps = replace(world.deps, gateways=channel)
    after = stored(world, payment)
    assert (after.v1_status, after.cancelled_amount) == ("cancelled", Money(8900))


def test_no_to_a_repeated_cancel_is_not_believed(world, gateway):
    """The first cancel lands between our question for the balance and the repeat, which is then refused."""
    payment = onetime(world)
    landed = []

    def cancel(inner, asked, timeout):
        if not landed:
            landed.append(asked)
            return Unknown("lost")
        if len(landed) == 1:
            landed.append(asked)
            assert isinstance(inner.cancel(asked, timeout), Cancelled)
            return Declined(DeclineReason.INVALID_REQUEST, "2032", "취소금액이 잔액보다 큽니다.")
        return inner.cancel(asked, timeout)

    meddle(world, cancel=cancel)
    assert cancels.cancel(
        world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid, amount=Decimal(5000))
    ).open_cancel
    world.run_to_quiet()
    after = stored(world, payment)
    assert after.cancels[0].state is CancelState.DONE
    assert after.balance.amount == balance(world) == 3900


def test_a_cancel_that_the_gateway_refuses_for_good_is_released_after_the_delay(world, gateway):
    payment = onetime(world)
    world.sandboxes[gateway].fail("cancel", "http_500")
    assert cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid)).open_cancel
    refused = Declined(DeclineReason.INVALID_REQUEST, "X", "취소할 수 없습니다.")
    real = world.deps
    meddle(world, cancel=lambda *_: refused)
    world.run_to_quiet()
    world.deps = real
    assert stored(world, payment).cancels[0].state is CancelState.FAILED
    assert cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid)).balance.amount == 0
    assert balance(world) == 0


def test_many_settlers_send_a_cancel_again_once(world, gateway):
    from concurrent.futures import ThreadPoolExecutor

    from chalicelib.usecases import settling

    payment = onetime(world)
    world.sandboxes[gateway].fail("cancel", "http_500")
    assert cancels.cancel(
        world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid, amount=Decimal(3000))
    ).open_cancel
    world.clock.advance(minutes=1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: settling.settle(world.deps, world.merchant_id, payment.imp_uid), range(8)))
    world.run_to_quiet()
    assert stored(world, payment).balance.amount == balance(world) == 5900


@pytest.mark.parametrize(("answer", "status"), [(None, "cancelled"), (NO, "paid")])
def test_how_a_cancel_in_doubt_ended_is_told_though_no_webhook_was_asked_for(world, gateway, answer, status):
    world.webhook_url("https://shop.example/hook")
    payment = onetime(world)
    world.run_queue()
    world.sender.sent.clear()
    world.sandboxes[gateway].fail("cancel", "http_500")
    assert cancel(world, payment).open_cancel
    if answer:
        meddle(world, cancel=lambda *_: answer)
    world.run_to_quiet()
    [(_, told, _)] = world.sender.sent
    assert json.loads(told)["status"] == status
    assert json.loads(told)["cancellation_id"] == stored(world, payment).cancels[0].cancel_id


def test_cancels_do_not_pile_up_without_end(world, gateway):
    payment = onetime(world)
    refused = Declined(DeclineReason.INVALID_REQUEST, "X", "취소할 수 없습니다.")
    meddle(world, cancel=lambda *_: refused)
    for _ in range(MAX_CANCELS):
        with pytest.raises(Refused, match="취소할 수 없습니다"):
            cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid))
    with pytest.raises(Refused, match=str(MAX_CANCELS)):
        cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid))


def test_a_payment_with_the_longest_texts_there_can_be_fits_into_its_item(world, api, gateway):
    """What a gateway has done must not be too large to write down."""
    wide = "\U0001f600"  # four bytes; control characters would take six
    payment = onetime(world)
    assert api.post("/payments/cancel", imp_uid=payment.imp_uid, reason="\x01")[1]["field"] == "reason"
    decision = payment.attempt.decision
    left_out = Exclusion("k" * 50, "p" * 16, "c" * 30, wide * 60)
    crowded = replace(decision, candidates=decision.candidates * 10, exclusions=(left_out,) * 10)
    tried = replace(payment.attempt, decision=crowded, code="c" * 60, message=wide * 300)
    longest = replace(payment.request, custom_data=wide * 8192, bypass=wide * 8192, notice_urls=("u" * 2000,) * 5)
    refused = Cancellation("i" * 20, payment.request.amount, wide * 500, CancelState.FAILED, START, message=wide * 300)
    done = replace(refused, state=CancelState.DONE, message=None, gateway_ref="t" * 200, receipt_url="u" * 500)
    for cancel_made in (refused, done):
        changes = {"attempts": (tried,) * 10, "request": longest, "cancels": (cancel_made,) * MAX_CANCELS}
        world.store.commit(replace(stored(world, payment), alarm=wide * 300, **changes))


def test_a_failover_that_was_stored_but_not_sent_blames_nobody_else(world):
    world.two_gateways((100, 0), failover="declined")
    world.sandboxes["tosspayments"].fail("charge", "decline", code="REJECT_CARD_COMPANY")

    class Ambiguous(Dying):
        def commit(self, *changes):
            done = self._inner.commit(*changes)
            self._left -= 1
            if not self._left:
                raise StoreUnavailable("the answer was lost")
            return done

    world.deps = replace(world.deps, store=Ambiguous(world.store, 2))
    payment = onetime(world)
    assert payment.state is State.FAILED
    assert [a.pg_provider for a in payment.attempts] == ["tosspayments"]
    assert not world.sandboxes["nice_v2"].transactions()


class Slow(Dying):
    """The n-th write gets no answer, and lands when the next call has been answered; or fails then, as any write may."""

    _held = None

    def commit(self, *changes):
        self._left -= 1
        if not self._left:
            self._held = changes
            raise StoreUnavailable("no answer")
        return self._then_land(lambda: self._inner.commit(*changes))

    def load(self, *refs):
        return self._then_land(lambda: self._inner.load(*refs))

    def _then_land(self, call):
        done = call()
        if self._held:
            held, self._held = self._held, None
            with suppress(Conflict):
                self._inner.commit(*held)
        return done


def test_a_charge_called_ready_is_told_of_though_the_write_of_its_refusal_lands_late(world, gateway):
    world.webhook_url("https://shop.example/hook")
    world.sandboxes[gateway].fail("charge", "decline")
    alive = world.deps
    world.deps = replace(alive, store=Slow(world.store, 2))
    answered = onetime(world)
    world.deps = alive
    world.run_to_quiet(hours=60)
    assert stored(world, answered).state is State.FAILED
    told = [json.loads(body)["status"] for _, body, _ in world.sender.sent]
    assert (answered.v1_status, told) in [("ready", ["failed"]), ("failed", [])]


def test_a_cancel_called_under_way_is_told_of_though_the_write_of_its_end_lands_late(world, gateway):
    payment = onetime(world)
    world.webhook_url("https://shop.example/hook")
    alive = world.deps
    world.deps = replace(alive, store=Slow(world.store, 2))
    answered = cancel(world, payment)
    world.deps = alive
    world.run_to_quiet(hours=60)
    told = [json.loads(body)["status"] for _, body, _ in world.sender.sent]
    assert (stored(world, payment).v1_status, balance(world)) == ("cancelled", 0)
    assert (bool(answered.open_cancel), told) in [(True, ["cancelled"]), (False, [])]


def test_an_imp_uid_that_is_taken_is_drawn_again(world, gateway):
    first = onetime(world)

    class Repeating:
        def __init__(self, inner):
            self._inner, self._first = inner, True

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def randrange(self, *args):
            if self._first:
                self._first = False
                return int(first.imp_uid[4:])
            return self._inner.randrange(*args)

    world.deps = replace(world.deps, rng=Repeating(world.deps.rng))
    second = onetime(world, "order-2")
    assert second.state is State.PAID
    assert second.imp_uid != first.imp_uid
    assert second.imp_uid.replace("_", "") in second.attempt.order_id


# --- over HTTP ---------------------------------------------------------------------------------------------------


def test_a_paid_charge_is_told_whatever_becomes_of_its_key(world, api, gateway):
    class NoKeys:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if type(changes[0]).__name__ == "BillingKey":
                raise StoreUnavailable("down")
            return world.store.commit(*changes)

    use(world, store=NoKeys())
    _, body = api.post("/subscribe/payments/onetime", API_CARD, merchant_uid="o1", amount=8900, customer_uid="c9")
    assert (body["code"], body["response"]["status"]) == (0, "paid")
    assert "빌링키는 발급되지 않았습니다" in body["message"]


def test_a_reserved_payment_whose_worker_dies_before_sending_runs_again(world, api, key):
    book(api, world)
    world.clock.advance(seconds=5)
    (task,) = world.queue.tasks
    with pytest.raises(SystemExit):
        timer.work(replace(world.deps, store=Dying(world.store, 1)), task)
    timer.work(world.deps, task)
    assert not world.captured()
    world.run_to_quiet(hours=60)
    api.login(world.merchant)
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["payment_status"] == "paid"
    assert len(world.captured()) == 1


def test_a_pin_stays_a_pin_where_a_key_is_stored(world, api):
    world.two_gateways((100, 0))
    api.post("/subscribe/customers/c1", API_CARD)
    book(api, world, channel_key=world.channels["nice_v2"], **API_CARD)
    world.clock.advance(seconds=5)
    world.run_queue()
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["pg_provider"] == "nice_v2"


def test_a_schedule_shows_that_its_payment_was_cancelled(world, api, key):
    book(api, world)
    world.clock.advance(seconds=5)
    world.run_queue()
    api.post("/payments/cancel", merchant_uid="m0")
    assert api.get("/subscribe/payments/schedule/m0")[1]["response"]["payment_status"] == "cancelled"


def test_a_group_is_refused_on_a_key_that_is_not_of_it(world, api, gateway):
    group = api.get("/admin/channel-groups")[1][0]["id"]
    api.post("/subscribe/customers/c2", API_CARD, channel_key=world.channels[gateway])
    _, body = api.post(
        "/subscribe/payments/again", customer_uid="c2", merchant_uid="o", amount=8900, channelGroupId=group
    )
    assert (body["code"], body["field"]) == (1, "channelGroupId")


def test_a_key_goes_even_if_an_adapter_breaks(world, api, key):
    def broken(*_args):
        raise RuntimeError("a bug")

    use(world, gateways=Meddling(world.deps.gateways, delete_billing_key=broken))
    status, body = api.delete("/subscribe/customers/c1")
    assert (status, body["code"]) == (200, 0)
    assert key in body["message"]
    assert api.get("/subscribe/customers/c1")[1]["code"] == 1


def test_a_gateways_half_characters_are_not_stored(world):
    from chalicelib.gateways import wire

    assert wire.quote_text("a\ud800b") == "a?b"
    payment = Declined(DeclineReason.ISSUER_DECLINED, "3095", wire.quote_text("\ud800"))
    assert payment.message.encode()


def test_a_sweep_with_a_fast_clock_does_not_stall_the_next(world, api, key):
    book(api, world)
    world.queue.tasks.clear()
    world.clock.advance(minutes=30)
    world.sweep()
    world.queue.tasks.clear()
    world.clock.advance(minutes=-30, seconds=20)
    assert timer.sweep(world.deps, range(DUE_SHARDS)).handed_over == 1
    world.run_queue()
    assert len(world.captured()) == 1


def test_an_item_is_handed_over_once_and_a_backlog_is_not_fed_with_copies(world, api, key):
    entry = {"merchant_uid": "m0", "schedule_at": at(world, hours=1), "amount": 8900, "name": "n"}
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=[entry])
    handed_over = []
    for _ in range(70):
        handed_over.append(world.sweep())
        world.clock.advance(minutes=1)
    assert 1 <= sum(handed_over[:60]) <= 2  # twice where two runs overlap
    assert 1 <= sum(handed_over[60:]) <= 5


def test_a_long_path_a_deep_body_and_a_javascript_undefined(world, api, gateway):
    assert api.get(f"/payments/{'x' * 2100}")[0] == 400
    deep = b'{"custom_data": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert api.send("POST", "/subscribe/payments/onetime", deep, {"Content-Type": "application/json"})[0] == 400
    api.post("/subscribe/payments/onetime", API_CARD, merchant_uid="o1", amount=8900, custom_data={"rate": 1.5})
    status, body = api.get("/payments/find/o1/undefined")
    assert (status, body["response"]["custom_data"]) == (200, '{"rate": 1.5}')


def test_settings_that_are_not_named_stay(world, api, gateway):
    before = api.get("/admin/settings")[1]
    after = api.put("/admin/settings", test_webhook_url="https://shop.example/hook")[1]
    assert after == before | {"test_webhook_url": "https://shop.example/hook"}


def test_an_issue_survives_a_channel_that_breaks(world):
    world.two_gateways()

    def broken(inner, *args):
        if "Toss" in type(inner).__module__ or "toss" in type(inner).__module__:
            raise RuntimeError("a bug")
        return inner.issue_billing_key(*args)

    meddle(world, issue_billing_key=broken)
    key = billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c", CARD, Target()))
    assert [c.pg_provider for c in key.channels.values()] == ["nice_v2"]
