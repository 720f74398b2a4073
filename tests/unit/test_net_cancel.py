"""Outcomes that a gateway cannot tell: undone by order id while there is time, else a person's. Never a second charge."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Approved, Declined, NotFound, Operation, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.payments import CancelState, State, approve, begin_undo
from chalicelib.ports import UnsupportedOperation
from chalicelib.usecases import timer
from chalicelib.usecases.looks import undo_begins
from tests.support.recovery import (
    Dying,
    Meddling,
    balance,
    book,
    cancel,
    claim_and_die,
    meddle,
    onetime,
    payment_of,
    restrict,
    settle,
    stored,
    use,
)
from tests.support.world import World

HOUR = timedelta(hours=1)
SILENT = Unknown("no answer")


@pytest.fixture
def nice(world):
    world.group([(world.channel("nice_v2"), 100)], failover="off")
    world.webhook_url("https://shop.example/hook")
    return world.sandboxes["nice_v2"]


@pytest.fixture
def toss(world):
    world.group([(world.channel("tosspayments"), 100)], failover="off")
    world.webhook_url("https://shop.example/hook")
    return world.sandboxes["tosspayments"]


def silent(world):
    """The gateway answers no question from here on. Returns what puts an end to that."""
    before = world.deps
    meddle(world, find_charge=lambda *_: SILENT)
    return lambda: setattr(world, "deps", before)


def watched(world):
    """Every cancel that is sent from here on."""
    sent = []

    def send(inner, asked, timeout):
        sent.append(asked)
        return inner.cancel(asked, timeout)

    meddle(world, cancel=send)
    return sent


def run_for(world, **kwargs):
    end = world.clock.now() + timedelta(**kwargs)
    while world.clock.now() < end:
        world.sweep()
        world.run_queue()
        world.clock.advance(seconds=30)


def told(world):
    world.run_queue()
    return [json.loads(body)["status"] for _, body, _ in world.sender.sent]


def test_an_outcome_that_cannot_be_found_out_is_undone_before_the_window_ends(world, nice):
    nice.fail("charge", "reply_lost")
    silent(world)
    payment = onetime(world)
    run_for(world, minutes=47, seconds=30)
    assert (stored(world, payment).v1_status, told(world), balance(world)) == ("ready", [], 8900)
    run_for(world, minutes=1)
    after = stored(world, payment)
    assert (after.state, after.attempt.outcome, after.due_at) == (State.FAILED, "undone", None)
    assert "결제 결과를 확인할 수 없어" in after.fail_reason
    assert (told(world), balance(world)) == (["failed"], 0)
    world.run_to_quiet(hours=60)
    assert (told(world), stored(world, payment).v1_status) == (["failed"], "failed")
    assert onetime(world).state is State.PAID  # the merchant_uid is free


def test_what_is_found_out_in_time_is_paid_and_never_undone(world, nice):
    nice.fail("charge", "reply_lost")
    sent = watched(world)
    speaks = silent(world)
    payment = onetime(world)
    run_for(world, minutes=40)
    speaks()
    world.run_to_quiet(hours=60)
    assert (stored(world, payment).state, told(world), sent) == (State.PAID, ["paid"], [])


def test_a_net_cancel_whose_reply_is_lost_is_our_undo_and_no_cancelled_payment(world, nice):
    nice.fail("charge", "reply_lost")
    speaks = silent(world)
    payment = onetime(world)
    nice.fail("cancel", "reply_lost")
    run_for(world, minutes=48, seconds=30)
    assert (stored(world, payment).state, balance(world), told(world)) == (State.UNDOING, 0, [])
    speaks()
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.state, after.attempt.outcome, after.cancels) == (State.FAILED, "undone", ())
    assert told(world) == ["failed"]


def test_an_unclear_undo_is_tried_again_and_works(world, nice):
    nice.fail("charge", "reply_lost")
    silent(world)
    sent = watched(world)
    payment = onetime(world)
    nice.fail("cancel", "http_500", times=3)
    world.run_to_quiet(hours=60)
    assert (stored(world, payment).state, balance(world), told(world)) == (State.FAILED, 0, ["failed"])
    assert [request.gateway_ref for request in sent] == [""] * 4


def test_an_approval_that_is_found_while_it_is_undone_goes_back_by_its_reference(world, nice):
    """Also after the window, when net-cancel does not work any more; and it is never paid: the undo may still land."""
    nice.fail("charge", "reply_lost")
    speaks = silent(world)
    payment = onetime(world)
    nice.fail("cancel", "http_500", times=99)
    run_for(world, hours=3)
    after = stored(world, payment)
    assert (after.state, after.v1_status, balance(world)) == (State.UNDOING, "ready", 8900)
    assert "could not be undone in time" in after.alarm
    assert after.due_at
    nice.clear_faults()
    sent = watched(world)
    run_for(world, hours=3)
    assert sent == []  # the window is over: net-cancel is not sent any more
    speaks()
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.state, after.attempt.outcome, after.alarm) == (State.FAILED, "undone", None)
    assert (balance(world), told(world)) == (0, ["failed"])


@pytest.mark.parametrize("nth", range(1, 16))
@pytest.mark.parametrize("answers", [True, False])
def test_whoever_dies_while_undoing_leaves_it_to_be_undone(world, nice, nth, answers):
    nice.fail("charge", "reply_lost")
    speaks = silent(world)
    payment = onetime(world)
    alive = world.deps
    world.deps = replace(alive, store=Dying(world.store, nth))
    with pytest.raises(SystemExit):
        while due_at := stored(world, payment).due_at:
            world.clock.set(due_at)
            settle(world, payment)
        raise SystemExit("there were fewer writes")
    world.deps = alive
    if answers:
        speaks()
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    if answers or after.state is State.FAILED:
        assert after.state in (State.PAID, State.FAILED)
        assert balance(world) == (8900 if after.state is State.PAID else 0)
        assert (told(world), after.due_at) == ([after.v1_status], None)
    else:  # NICE has undone it, and does not say so: asked for ever, and a person's
        assert (after.state, balance(world), told(world)) == (State.UNDOING, 0, [])
        assert after.alarm
        assert after.due_at


def test_a_yes_that_comes_after_the_undo_was_decided_is_given_back_and_never_paid(world, nice):
    """Its sender outlived its lease, which it may not; the decision stands all the same."""
    quiet = Unknown("silent")
    asking = replace(world.deps)

    def overtaken(inner, *args):
        world.clock.advance(hours=0.9)
        world.deps = replace(
            asking, gateways=Meddling(asking.gateways, find_charge=lambda *_: quiet, cancel=lambda *_: quiet)
        )
        settle(world, payment_of(world))
        assert payment_of(world).state is State.UNDOING
        return inner.charge_card(*args)

    meddle(world, charge_card=overtaken)
    payment = onetime(world)
    assert (payment.v1_status, balance(world)) == ("ready", 8900)
    world.deps = asking
    world.run_to_quiet(hours=60)
    assert (stored(world, payment).attempt.outcome, balance(world), told(world)) == ("undone", 0, ["failed"])


def test_no_rule_lets_what_is_being_undone_be_paid(world, nice):
    payment = claim_and_die(world)
    undoing = begin_undo(payment, world.clock.now(), world.clock.now())
    with pytest.raises(ValueError, match="undoing"):
        approve(undoing, Approved("tid", payment.request.amount, world.clock.now()), world.clock.now())
    with pytest.raises(ValueError, match="undoing"):
        begin_undo(undoing, world.clock.now(), world.clock.now())


def test_a_gateway_that_says_no_after_all_has_declined_it(world, nice):
    silent(world)
    meddle(world, charge_card=lambda *_: Unknown("lost"), cancel=lambda *_: Unknown("lost"))
    payment = onetime(world)
    run_for(world, minutes=49)
    assert stored(world, payment).state is State.UNDOING
    refused = Declined(DeclineReason.INSUFFICIENT_FUNDS, "3095", "잔액이 부족합니다.")
    meddle(world, find_charge=lambda *_: refused)
    world.run_to_quiet(hours=60)
    assert (stored(world, payment).fail_reason, told(world)) == ("잔액이 부족합니다.", ["failed"])


def test_what_is_undone_and_not_known_to_the_gateway_was_not_charged(world, nice):
    silent(world)
    meddle(world, charge_card=lambda *_: Unknown("lost"))
    payment = onetime(world)
    run_for(world, minutes=49)
    assert stored(world, payment).state is State.UNDOING  # NICE knows nothing that it could undo
    meddle(world, find_charge=lambda *_: NotFound())
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.state, after.attempt.outcome, told(world)) == (State.FAILED, "not_sent", ["failed"])


def test_where_there_is_no_net_cancel_nothing_is_undone(world, toss):
    toss.fail("charge", "reply_lost")
    sent = watched(world)
    silent(world)
    payment = onetime(world)
    run_for(world, hours=3)
    after = stored(world, payment)
    assert (after.state, sent, told(world)) == (State.UNKNOWN, [], [])
    assert after.alarm
    assert after.due_at


def test_a_virtual_account_is_never_undone_by_order_id(world, api, toss):
    restrict(world, net_cancel_window=HOUR)
    toss.fail("account", "reply_lost")
    sent = watched(world)
    silent(world)
    use(world)
    bank = {"merchant_uid": "order-1", "amount": 8900, "name": "n", "vbank_code": "004", "vbank_holder": "h"}
    api.post("/vbanks", bank, vbank_due=int((world.clock.now() + timedelta(days=1)).timestamp()))
    run_for(world, hours=3)
    assert (payment_of(world).state, sent) == (State.UNKNOWN, [])


def test_a_reserved_payment_that_was_undone_shows_so(world, api, key):
    book(api, world)
    world.clock.advance(seconds=5)
    world.sandboxes[key].fail("charge", "reply_lost")
    silent(world)
    use(world)
    restrict(world, net_cancel_window=HOUR)
    meddle(world, cancel=lambda inner, asked, timeout: _undone(world, key))
    world.run_to_quiet(hours=2)
    api.login(world.merchant)
    shown = api.get("/subscribe/payments/schedule/m0")[1]["response"]
    assert (shown["schedule_status"], shown["payment_status"]) == ("executed", "failed")
    assert "결제 결과를 확인할 수 없어" in shown["fail_reason"]


def _undone(world, provider):
    from chalicelib.domain.charging import Cancelled, GatewayCancel
    from chalicelib.domain.money import Money

    assert provider in world.channels
    return Cancelled(GatewayCancel("tid", Money(8900), world.clock.now()))


def test_test_channels_are_hurried_and_live_ones_are_not(sandboxes):
    world = World(sandboxes, scale=0.01)
    world.group([(world.channel("nice_v2"), 100)], failover="off")
    sandboxes["nice_v2"].fail("charge", "reply_lost")
    silent(world)
    payment = onetime(world)
    assert undo_begins(world.deps, payment) - payment.started_at == timedelta(seconds=28.8)
    live = replace(payment, environment=Environment.LIVE)
    assert undo_begins(world.deps, live) - payment.started_at == timedelta(minutes=48)
    world.clock.advance(seconds=28)
    world.run_queue()
    assert stored(world, payment).state is State.UNKNOWN
    world.clock.advance(seconds=1)
    world.run_queue()
    assert stored(world, payment).attempt.outcome == "undone"


# --- gateways that cannot be asked ----------------------------------------------------------------------------------


def test_a_gateway_that_cannot_be_asked_undoes_at_the_first_look(world, nice):
    restrict(world, Operation.FIND)
    nice.fail("charge", "reply_lost")
    payment = onetime(world)
    assert stored(world, payment).state is State.UNKNOWN
    world.clock.advance(seconds=5)
    world.run_queue()
    assert (stored(world, payment).attempt.outcome, told(world), balance(world)) == ("undone", ["failed"], 0)
    assert stored(world, payment).due_at is None


def test_where_the_undo_stays_unclear_it_is_a_persons_when_the_window_is_over(world, nice):
    restrict(world, Operation.FIND)
    nice.fail("charge", "reply_lost")
    nice.fail("cancel", "http_500", times=99)
    sent = watched(world)
    payment = onetime(world)
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.state, after.v1_status, after.due_at, told(world)) == (State.UNDOING, "ready", None, [])
    assert after.attempt.order_id in after.alarm or "no clear answer" in after.alarm
    assert world.store.alarms(type(after), world.merchant_id).items == (after,)
    assert 5 < len(sent) < 15
    assert {request.gateway_ref for request in sent} == {""}


def test_whoever_died_with_the_charge_in_hand_is_undone_too(world, nice):
    restrict(world, Operation.FIND)

    def charge_and_die(inner, *args):
        inner.charge_card(*args)
        raise SystemExit("killed")

    alive = world.deps
    meddle(world, charge_card=charge_and_die)
    with pytest.raises(SystemExit):
        onetime(world)
    world.deps = alive
    assert balance(world) == 8900
    world.run_to_quiet(hours=60)
    assert (payment_of(world).attempt.outcome, balance(world), told(world)) == ("undone", 0, ["failed"])


def test_without_question_and_undo_it_is_a_persons_at_the_first_look(world, toss, caplog):
    restrict(world, Operation.FIND)
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    world.clock.advance(seconds=5)
    world.run_queue()
    after = stored(world, payment)
    assert (after.state, after.v1_status, after.due_at) == (State.UNKNOWN, "ready", None)
    assert after.attempt.order_id in after.alarm
    assert world.store.alarms(type(after), world.merchant_id).items == (after,)
    world.run_to_quiet(hours=60)
    assert stored(world, payment) == after
    assert sum(getattr(r, "needs_a_person", False) for r in caplog.records) == 1
    assert (balance(world), told(world)) == (8900, [])


def test_a_claim_whose_owner_died_is_a_persons_too(world, toss):
    restrict(world, Operation.FIND)
    payment = claim_and_die(world)
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.state, after.due_at) == (State.CLAIMED, None)
    assert after.alarm


def test_a_cancel_whose_reply_was_lost_there_is_a_persons_and_is_not_repeated(world, toss):
    restrict(world, Operation.FIND)
    payment = onetime(world)
    toss.fail("cancel", "reply_lost")
    assert cancel(world, payment).open_cancel
    sent = watched(world)
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.open_cancel.state, after.due_at, sent) == (CancelState.UNKNOWN, None, [])
    assert after.alarm
    assert world.store.alarms(type(after), world.merchant_id).items == (after,)


def test_an_adapter_without_a_query_says_so():
    from chalicelib.gateways import base, nice_v2

    adapter = base.Base()
    adapter.spec = nice_v2.SPEC
    with pytest.raises(UnsupportedOperation, match="nice_v2: no query"):
        adapter.find_charge(None, 1)


def test_of_many_that_look_at_once_one_undoes(world, nice):
    from concurrent.futures import ThreadPoolExecutor

    restrict(world, Operation.FIND)
    nice.fail("charge", "reply_lost")
    sent = watched(world)
    payment = onetime(world)
    world.clock.advance(seconds=5)
    task = next(task for task in world.queue.tasks if task.parts[1] == payment.imp_uid)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: timer.work(world.deps, task), range(8)))
    assert len(sent) == 1
    assert (stored(world, payment).attempt.outcome, told(world)) == ("undone", ["failed"])
