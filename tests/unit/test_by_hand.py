"""What a person settles: seen in one list, decided against nobody's clear answer, recorded like any outcome, on record."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib import container
from chalicelib.domain.charging import NotFound, Operation, Unknown
from chalicelib.domain.money import Money
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Ref
from chalicelib.usecases import by_hand
from tests.support.api import CARD as API_CARD
from tests.support.recovery import (
    Dying,
    at,
    balance,
    book,
    cancel,
    claim_and_die,
    late,
    meddle,
    onetime,
    payment_of,
    restrict,
    settle,
    stored,
    use,
)

PAID = {"outcome": "paid", "pg_tid": "tviva1", "reason": "seen at the console"}
FAILED = {"outcome": "failed", "reason": "not there"}


@pytest.fixture
def toss(world, api):
    world.group([(world.channel("tosspayments"), 100)], failover="off")
    world.webhook_url("https://shop.example/hook")
    return world.sandboxes["tosspayments"]


@pytest.fixture
def doubtful(world, toss):
    """A payment that was approved, and that the gateway cannot be asked about."""
    restrict(world, Operation.FIND)
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    world.run_to_quiet()
    world.clock.advance(minutes=10)
    return stored(world, payment)


def tid_of(box):
    """What the gateway's own console shows."""
    return box.simulator.books.charges[-1].pg_tid


def told(world):
    world.run_queue()
    return [json.loads(body)["status"] for _, body, _ in world.sender.sent]


def by_api(api, payment, action="settle", **body):
    return api.post(f"/admin/payments/{payment.imp_uid}/{action}", body)


def test_what_waits_for_a_person_is_listed_with_where_to_look(world, api, doubtful):
    status, body = api.get("/admin/alarms")
    [entry] = body["payments"]["list"]
    assert (status, body["webhooks"]["list"], body["cash_receipts"]["list"]) == (200, [], [])
    assert entry["imp_uid"] == doubtful.imp_uid
    assert (entry["merchant_uid"], entry["state"], entry["status"]) == ("order-1", "unknown", "ready")
    assert entry["order_id"] == doubtful.attempt.order_id
    assert entry["order_id"] in entry["alarm"]
    assert entry["since"] == int(doubtful.updated_at.timestamp())
    assert list(api.get("/admin/alarms", kind="payment")[1]) == ["payments"]


def test_the_list_goes_on_page_by_page_newest_first(world, api, toss):
    restrict(world, Operation.FIND)
    for n in range(3):
        toss.fail("charge", "reply_lost")
        onetime(world, f"order-{n}")
        world.clock.advance(seconds=10)
        world.run_queue()
    first = api.get("/admin/alarms", kind="payment", limit=2)[1]["payments"]
    rest = api.get("/admin/alarms", kind="payment", limit=2, cursor=first["cursor"])[1]["payments"]
    assert [e["merchant_uid"] for e in first["list"] + rest["list"]] == ["order-2", "order-1", "order-0"]
    assert rest["cursor"] is None
    status, body = api.get("/admin/alarms", cursor=first["cursor"])
    assert (status, body["field"]) == (400, "kind")
    assert api.get("/admin/alarms", kind="nonsense")[1]["field"] == "kind"


# --- a payment ------------------------------------------------------------------------------------------------------


def test_paid_by_hand_is_paid_and_can_be_cancelled(world, api, toss, doubtful):
    approved_at = int(doubtful.started_at.timestamp()) + 1
    status, body = by_api(api, doubtful, **{**PAID, "pg_tid": tid_of(toss), "approved_at": approved_at})
    assert (status, body["state"], body["alarm"], body["due_at"]) == (200, "paid", None, None)
    assert (body["payment"]["paid_at"], body["payment"]["pg_tid"]) == (approved_at, tid_of(toss))
    [entry] = body["history"]
    assert (entry["action"], entry["by"]) == ("payment.settled", world.admin.name)
    assert entry["before"]["state"] == "unknown"
    assert entry["after"] == {"state": "paid", "pg_tid": tid_of(toss), "reason": PAID["reason"]}
    assert told(world) == ["paid"]
    assert api.get("/admin/alarms")[1]["payments"]["list"] == []
    assert api.post("/payments/cancel", imp_uid=doubtful.imp_uid)[1]["response"]["status"] == "cancelled"
    assert balance(world) == 0


def test_failed_by_hand_frees_the_order_and_is_told_once(world, api, doubtful):
    status, body = by_api(api, doubtful, **FAILED)
    assert (status, body["state"], body["payment"]["status"]) == (200, "failed", "failed")
    assert body["due_at"] is None  # nobody can be asked whether an approval came later
    assert body["attempts"][0]["outcome"] == "by_hand"
    assert "not there" in body["attempts"][0]["message"]
    assert "not there" not in body["payment"]["fail_reason"]  # the operator's words are not the buyer's
    assert "nobody will see a late approval" in body["message"]
    assert told(world) == ["failed"]
    assert onetime(world).state is State.PAID


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "outcome"),
        ({"outcome": "cancelled", "reason": "x"}, "outcome"),
        ({"outcome": "failed"}, "reason"),
        ({"outcome": "failed", "reason": "  "}, "reason"),
        ({"outcome": "paid", "reason": "x"}, "pg_tid"),
        ({"outcome": "paid", "reason": "x", "pg_tid": "two words"}, "pg_tid"),
        ({**PAID, "approved_at": 1}, "approved_at"),
        ({**PAID, "approved_at": 4_000_000_000}, "approved_at"),
        ({**PAID, "approved_at": "soon"}, "approved_at"),
        ({**FAILED, "amount": 1}, "amount"),
    ],
)
def test_bad_input_names_the_field_and_changes_nothing(world, api, doubtful, body, field):
    status, answer = by_api(api, doubtful, **body)
    assert (status, answer["field"]) == (400, field)
    assert answer["message"].startswith(f"{field}: ")
    assert stored(world, doubtful) == doubtful


def test_only_what_is_open_is_settled(world, api, toss):
    payment = onetime(world)
    for action, body in (("settle", FAILED), ("check", {})):
        status, answer = by_api(api, payment, action, **body)
        assert (status, answer["code"]) == (409, "refused")
    assert stored(world, payment) == payment
    assert api.post("/admin/payments/imp_000000000000/settle", FAILED)[0] == 404
    assert api.post("/admin/payments/imp_000000000000/check")[0] == 404


@pytest.mark.parametrize(("action", "body"), [("settle", FAILED), ("settle", PAID), ("check", {})])
def test_nobody_is_overtaken_who_may_still_be_at_it(world, api, toss, action, body):
    payment = claim_and_die(world)
    status, answer = by_api(api, payment, action, **body)
    assert (status, answer["code"]) == (409, "refused")
    assert stored(world, payment) == payment
    world.clock.set(payment.due_at)
    assert by_api(api, payment, action, **body)[0] in (200, 409)
    assert stored(world, payment) != payment


@pytest.mark.parametrize("wanted", [PAID, FAILED])
def test_a_gateway_that_answers_has_the_last_word(world, api, toss, wanted):
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    status, body = by_api(api, payment, **wanted)
    assert (status, body["state"]) == (200, "paid")
    assert body["payment"]["pg_tid"] == tid_of(toss) != wanted.get("pg_tid")
    assert "PG사의 답변" in body["message"]
    assert told(world) == ["paid"]


def test_what_the_gateway_does_not_know_is_not_paid(world, api, toss):
    late(world)
    payment = onetime(world)
    use(world)
    status, body = by_api(api, payment, **PAID)
    assert (status, body["field"]) == (409, "outcome")
    assert stored(world, payment).state is State.UNKNOWN
    assert by_api(api, payment, **FAILED)[1]["state"] == "failed"


def test_what_was_failed_by_hand_and_approved_after_all_goes_back(world, api, toss):
    late(world)
    payment = onetime(world)
    use(world)
    by_api(api, payment, **FAILED)
    world.carry_out()
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.state, after.attempt.outcome, balance(world)) == (State.FAILED, "given_back", 0)
    assert api.get("/admin/alarms")[1]["payments"]["list"]


def test_where_nobody_looks_later_it_is_not_called_failed_while_it_may_still_come(world, api, toss):
    restrict(world, Operation.FIND)
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    world.run_to_quiet()
    assert by_api(api, payment, **FAILED)[1]["field"] == "outcome"
    assert stored(world, payment).is_open
    world.clock.advance(minutes=10)
    assert by_api(api, payment, **FAILED)[1]["state"] == "failed"


def test_a_void_of_what_was_failed_by_hand_is_seen_though_its_sender_died(world, api, toss):
    real = world.deps
    late(world)
    payment = onetime(world)
    use(world, gateways=real.gateways)
    by_api(api, payment, **FAILED)
    world.carry_out()
    world.clock.set(stored(world, payment).due_at)

    def void_and_die(inner, *args):
        inner.cancel(*args)
        raise SystemExit("killed")

    meddle(world, cancel=void_and_die)
    with pytest.raises(SystemExit):
        settle(world, payment)
    world.deps = real
    world.run_to_quiet(hours=60)
    after = stored(world, payment)
    assert (after.attempt.outcome, balance(world)) == ("given_back", 0)
    assert "voided" in after.alarm


@pytest.mark.parametrize("askable", [True, False])
def test_an_approval_that_its_own_sender_learns_of_too_late_is_in_the_list(world, api, toss, askable):
    """It outlived its lease, which it may not. Where the gateway can be asked the money goes back at once."""
    if not askable:
        restrict(world, Operation.FIND)
    real = world.deps

    def overtaken(inner, *args):
        world.deps = real
        use(world)
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
        world.clock.advance(minutes=15)
        assert by_api(api, payment_of(world), **FAILED)[1]["state"] == "failed"
        return inner.charge_card(*args)

    meddle(world, charge_card=overtaken)
    assert onetime(world).v1_status == "failed"
    [entry] = api.get("/admin/alarms")[1]["payments"]["list"]
    assert (tid_of(toss) in entry["alarm"], balance(world)) == (True, 8900)
    world.sweep()
    world.run_queue()
    assert balance(world) == (0 if askable else 8900)
    assert api.get("/admin/alarms")[1]["payments"]["list"]


def test_an_account_that_waits_at_the_gateway_is_not_paid(world, api, toss):
    toss.fail("account", "reply_lost")
    bank = {"merchant_uid": "order-1", "amount": 11000, "name": "n", "vbank_code": "004", "vbank_holder": "h"}
    api.post("/vbanks", bank, vbank_due=at(world, days=1))
    unlike = {"revoke_virtual_account": lambda *_: Unknown("silent"), "find_charge": _of_another_amount}
    meddle(world, **unlike)
    use(world)
    assert by_api(api, payment_of(world), **PAID)[1]["field"] == "outcome"
    assert payment_of(world).state is State.UNKNOWN


def _of_another_amount(inner, *args):
    return replace(inner.find_charge(*args), amount=Money(1))


def test_an_approval_that_is_not_given_back_yet_cannot_be_settled(world, api, toss):
    toss.fail("charge", "wrong_amount")
    toss.fail("cancel", "decline", times=9)
    payment = onetime(world)
    for wanted in (PAID, FAILED):
        status, body = by_api(api, payment, **wanted)
        assert (status, body["code"]) == (409, "refused")
    assert stored(world, payment).state is State.UNKNOWN
    toss.clear_faults()
    assert by_api(api, payment, "check")[1]["state"] == "failed"
    assert balance(world) == 0


def test_what_is_being_undone_is_not_paid_any_more(world, api):
    world.group([(world.channel("nice_v2"), 100)], failover="off")
    restrict(world, Operation.FIND)
    world.sandboxes["nice_v2"].fail("charge", "reply_lost")
    world.sandboxes["nice_v2"].fail("cancel", "http_500", times=99)
    payment = onetime(world)
    world.run_to_quiet()
    assert stored(world, payment).state is State.UNDOING
    status, body = by_api(api, payment, **PAID)
    assert (status, body["field"]) == (409, "outcome")
    assert by_api(api, payment, **FAILED)[1]["state"] == "failed"


def test_the_timer_and_a_person_do_not_both_win(world, api, doubtful):
    class Overtaken:
        """The timer's write comes between a person's read and write."""

        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            world.store.commit(replace(stored(world, doubtful), alarm="touched"))
            return world.store.commit(*changes)

    inner = world.deps
    use(world, store=Overtaken())
    status, body = by_api(api, doubtful, **PAID)
    assert (status, body["code"]) == (409, "conflict")
    use(world, store=inner.store)
    assert (stored(world, doubtful).state, told(world)) == (State.UNKNOWN, [])
    assert by_hand.history(world.deps, world.merchant_id, doubtful.imp_uid) == ()
    assert by_api(api, doubtful, **PAID)[0] == 200


def test_of_two_persons_one_settles_it(world, api, doubtful):
    assert by_api(api, doubtful, **PAID)[0] == 200
    status, body = by_api(api, doubtful, **FAILED)
    assert (status, body["code"]) == (409, "refused")
    assert told(world) == ["paid"]


def test_whoever_dies_while_settling_has_settled_it_or_not(world, api, doubtful):
    container.install(replace(world.deps, store=Dying(world.store, 1)))
    with pytest.raises(SystemExit):
        by_api(api, doubtful, **PAID)
    use(world)
    world.run_to_quiet()  # the webhook's message was lost with its sender: the sweep finds it
    assert (stored(world, doubtful).state, told(world)) == (State.PAID, ["paid"])
    assert len(by_hand.history(world.deps, world.merchant_id, doubtful.imp_uid)) == 1


def test_check_asks_now(world, api, toss):
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    assert payment.due_at > world.clock.now()
    status, body = by_api(api, payment, "check")
    assert (status, body["state"]) == (200, "paid")
    assert told(world) == ["paid"]


def test_check_of_what_cannot_be_asked_leaves_it_to_the_person(world, api, doubtful):
    status, body = by_api(api, doubtful, "check")
    assert (status, body["state"], body["due_at"]) == (200, "unknown", None)
    assert api.get("/admin/alarms")[1]["payments"]["list"]


def test_a_check_without_an_answer_comes_back_by_itself(world, api, toss):
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    toss.fail("find", "http_500")
    assert by_api(api, payment, "check")[1]["state"] == "unknown"
    world.run_to_quiet()
    assert stored(world, payment).state is State.PAID


def test_a_reserved_payment_settled_by_hand_shows_in_its_schedule(world, api, toss):
    api.post("/subscribe/customers/c1", API_CARD)
    restrict(world, Operation.FIND)
    book(api, world)
    world.clock.advance(seconds=5)
    toss.fail("charge", "reply_lost")
    world.run_queue()
    world.run_to_quiet()
    assert by_api(api, payment_of(world, "m0"), **{**PAID, "pg_tid": tid_of(toss)})[0] == 200
    api.login(world.merchant)
    shown = api.get("/subscribe/payments/schedule/m0")[1]["response"]
    assert (shown["schedule_status"], shown["payment_status"]) == ("executed", "paid")


def test_a_test_charge_settled_as_paid_is_given_back(world, api, toss):
    api.post("/subscribe/customers/c1", API_CARD)
    restrict(world, Operation.FIND)
    toss.fail("charge", "reply_lost")
    entry = {"merchant_uid": "m0", "schedule_at": at(world, hours=5), "amount": 8900, "name": "n"}
    api.post("/subscribe/payments/schedule", customer_uid="c1", checking_amount=1000, schedules=[entry])
    world.run_to_quiet(hours=4)
    [payment] = world.store.alarms(Payment, world.merchant_id).items
    assert payment.to_be_voided
    by_api(api, payment, **{**PAID, "pg_tid": tid_of(toss)})
    world.run_queue()
    after = stored(world, payment)
    assert (after.state, after.awaits_void, balance(world)) == (State.PAID, False, 0)


def test_a_test_charge_that_was_given_back_unseen_is_settled_by_hand(world, api, toss):
    """The reply to its void was lost at a gateway that cannot be asked, and its repetition is refused."""
    api.post("/subscribe/customers/c1", API_CARD)
    restrict(world, Operation.FIND)
    meddle(world, cancel=lambda inner, *args: (inner.cancel(*args), Unknown("lost"))[1])
    use(world)
    entry = {"merchant_uid": "m0", "schedule_at": at(world, hours=50), "amount": 8900, "name": "n"}
    api.post("/subscribe/payments/schedule", customer_uid="c1", checking_amount=1000, schedules=[entry])
    world.run_to_quiet(hours=4)
    [payment] = world.store.alarms(Payment, world.merchant_id).items
    assert (payment.awaits_void, balance(world)) == (True, 0)
    assert by_api(api, payment, **PAID)[0] == 409
    assert acknowledge(api, payment)[0] == 409
    status, body = by_api(api, payment, **FAILED)
    assert (status, body["payment"]["status"], body["alarm"], body["due_at"]) == (200, "cancelled", None, None)
    assert body["history"][0]["after"]["reason"] == FAILED["reason"]
    assert told(world) == []
    assert by_api(api, payment, **FAILED)[0] == 409


def test_a_test_charge_that_the_gateway_may_hold_is_not_settled_by_hand(world, api, toss):
    api.post("/subscribe/customers/c1", API_CARD)
    toss.fail("cancel", "decline", times=99)
    entry = {"merchant_uid": "m0", "schedule_at": at(world, hours=50), "amount": 8900, "name": "n"}
    api.post("/subscribe/payments/schedule", customer_uid="c1", checking_amount=1000, schedules=[entry])
    world.run_to_quiet(hours=4)
    [payment] = world.store.alarms(Payment, world.merchant_id).items
    for silent in (False, True):
        if silent:
            toss.fail("find", "http_500")
        assert "holds an approval" in by_api(api, payment, **FAILED)[1]["message"]
        assert stored(world, payment).awaits_void
    meddle(world, find_charge=lambda *_: NotFound())
    use(world)
    assert by_api(api, payment, **FAILED)[1]["payment"]["status"] == "cancelled"


# --- a cancel -------------------------------------------------------------------------------------------------------


@pytest.fixture
def half_cancelled(world, toss):
    """A paid payment, and a cancel of it that the gateway carried out, and cannot be asked about."""
    restrict(world, Operation.FIND)
    payment = onetime(world)
    told(world)
    world.sender.sent.clear()
    toss.fail("cancel", "reply_lost")
    assert cancel(world, payment).open_cancel
    world.run_to_quiet()
    world.clock.advance(minutes=10)
    return stored(world, payment)


def settle_cancel(api, payment, **body):
    path = f"cancels/{payment.cancels[-1].cancel_id}/settle"
    return by_api(api, payment, path, **body)


@pytest.mark.parametrize(("outcome", "status"), [("done", "cancelled"), ("failed", "paid")])
def test_a_cancel_is_settled_by_hand_and_told(world, api, half_cancelled, outcome, status):
    [entry] = api.get("/admin/alarms")[1]["payments"]["list"]
    assert entry["cancellation_id"] == half_cancelled.cancels[-1].cancel_id
    code, body = settle_cancel(api, half_cancelled, outcome=outcome, reason="seen")
    assert (code, body["payment"]["status"], body["alarm"]) == (200, status, None)
    assert [c["state"] for c in body["cancels"]] == [outcome]
    assert told(world) == [status]
    assert [e["action"] for e in body["history"]] == ["cancel.settled"]
    assert api.get("/admin/alarms")[1]["payments"]["list"] == []
    assert settle_cancel(api, half_cancelled, outcome=outcome, reason="again")[0] == 409


def test_whoever_settles_the_payment_where_its_cancel_is_open_is_told_which(api, half_cancelled):
    status, body = by_api(api, half_cancelled, **FAILED)
    assert (status, body["code"]) == (409, "refused")
    assert "settle its cancel" in body["message"]


def test_a_cancel_that_nobody_knows(api, half_cancelled):
    path = "cancels/nonsense/settle"
    assert by_api(api, half_cancelled, path, outcome="done", reason="x")[0] == 404
    assert settle_cancel(api, half_cancelled, outcome="paid", reason="x")[1]["field"] == "outcome"


def test_the_gateways_balance_goes_before_a_persons_word(world, api, toss):
    payment = onetime(world)
    toss.fail("cancel", "reply_lost")
    payment = cancel(world, payment)
    code, body = settle_cancel(api, payment, outcome="failed", reason="I think")
    assert (code, body["payment"]["status"]) == (200, "cancelled")
    assert "PG사의 답변" in body["message"]


def test_a_cancel_that_did_not_happen_is_not_called_done_and_sends_nothing(world, api, toss):
    payment = onetime(world)
    toss.fail("cancel", "http_500")
    payment = cancel(world, payment)
    assert settle_cancel(api, payment, outcome="done", reason="x")[1]["field"] == "outcome"
    assert settle_cancel(api, payment, outcome="failed", reason="x")[1]["field"] == "outcome"  # it may still come
    world.clock.advance(minutes=10)
    assert settle_cancel(api, payment, outcome="done", reason="x")[1]["field"] == "outcome"
    code, body = settle_cancel(api, payment, outcome="failed", reason="x")
    assert (code, body["payment"]["status"], balance(world)) == (200, "paid", 8900)


def test_a_cancel_is_not_called_failed_while_it_may_still_come_though_nobody_answers(world, api, toss):
    payment = onetime(world)
    toss.fail("cancel", "http_500")
    payment = cancel(world, payment)
    toss.fail("find", "http_500", times=9)
    assert settle_cancel(api, payment, outcome="failed", reason="x")[1]["field"] == "outcome"
    world.clock.advance(minutes=10)
    assert settle_cancel(api, payment, outcome="failed", reason="x")[0] == 200


def test_nor_one_that_nobody_has_looked_at_since_its_sender_died(world, api, toss):
    payment = onetime(world)
    world.clock.advance(hours=1)
    real = world.deps
    world.deps = replace(real, store=Dying(world.store, 1))
    with pytest.raises(SystemExit):
        cancel(world, payment)
    world.deps = real
    payment = stored(world, payment)
    world.clock.set(payment.due_at)
    assert settle_cancel(api, payment, outcome="failed", reason="x")[1]["field"] == "outcome"


def test_a_cancel_is_not_called_failed_while_the_timer_sends_it_again(world, api, toss):
    """Or the merchant would ask for it anew, and give back twice."""
    payment = onetime(world)
    toss.fail("cancel", "http_500", times=99)
    payment = cancelled_partly(world, toss, payment)
    for _ in range(15):
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
    toss.clear_faults()
    answers = []

    def meanwhile(inner, asked, timeout):
        answers.append(settle_cancel(api, payment, outcome="failed", reason="the balance is untouched")[1])
        return inner.cancel(asked, timeout)

    meddle(world, cancel=meanwhile)
    world.clock.set(stored(world, payment).due_at)
    settle(world, payment)
    assert [answer["field"] for answer in answers] == ["outcome"]
    after = stored(world, payment)
    assert (after.open_cancel, after.balance.amount, balance(world)) == (None, 5900, 5900)


def test_balances_that_cannot_be_told_apart_are_a_persons(world, api, toss):
    """Somebody cancelled at the gateway's console while a cancel of ours was open."""
    payment = onetime(world)
    payment = cancelled_partly(world, toss, payment)
    meddle(
        world, find_charge=lambda inner, *a: replace(inner.find_charge(*a), balance=payment.balance - payment.balance)
    )
    use(world)
    world.run_to_quiet(hours=3)
    assert "differs" in stored(world, payment).alarm
    code, body = settle_cancel(api, payment, outcome="done", reason="x", pg_tid="cancel-1")
    assert (code, body["cancels"][0]["pg_tid"]) == (200, "cancel-1")


def cancelled_partly(world, toss, payment):
    from decimal import Decimal

    toss.fail("cancel", "reply_lost")
    return cancel(world, payment, amount=Decimal(3000))


def test_nobody_is_overtaken_who_may_still_be_cancelling(world, api, toss):
    payment = onetime(world)
    with pytest.raises(SystemExit):
        dying = replace(world.deps, store=Dying(world.store, 1))
        real, world.deps = world.deps, dying
        try:
            cancel(world, payment)
        finally:
            world.deps = real
    payment = stored(world, payment)
    assert "still being worked on" in settle_cancel(api, payment, outcome="done", reason="x")[1]["message"]
    world.clock.set(payment.due_at + timedelta(minutes=10))
    assert settle_cancel(api, payment, outcome="failed", reason="x")[0] == 200


# --- alarms that say something --------------------------------------------------------------------------------------


def acknowledge(api, payment, **body):
    content = json.dumps(body or {"reason": "told the customer"}).encode()
    headers = {"Content-Type": "application/json"}
    return api.send("DELETE", f"/admin/payments/{payment.imp_uid}/alarm", content, headers)


def test_an_alarm_that_only_says_something_is_taken_note_of(world, api, toss):
    real = world.deps
    late(world)
    payment = onetime(world)
    world.deps = real
    use(world)
    for _ in range(15):
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
    world.carry_out()
    for _ in range(60):
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
    [entry] = api.get("/admin/alarms")[1]["payments"]["list"]
    assert "voided" in entry["alarm"]
    assert entry["due_at"]  # it is looked at once more, a day later
    status, body = acknowledge(api, payment)
    assert (status, body["alarm"], body["state"]) == (200, None, "failed")
    assert body["history"][0]["before"]["alarm"] == entry["alarm"]
    assert body["history"][0]["after"]["reason"] == "told the customer"
    assert "voided" in body["attempts"][0]["message"]  # it stays on record
    world.run_to_quiet(hours=60)
    assert stored(world, payment).due_at is None
    assert api.get("/admin/alarms")[1]["payments"]["list"] == []
    assert acknowledge(api, payment)[0] == 409


def test_an_open_question_stays_in_the_list(world, api, doubtful):
    assert acknowledge(api, doubtful)[1]["code"] == "refused"
    assert acknowledge(api, doubtful, reason="")[1]["field"] == "reason"
    assert stored(world, doubtful) == doubtful


def test_nothing_of_it_works_without_an_admin_token(world, api, doubtful):
    api.admin_token = "wrong"
    assert api.get("/admin/alarms")[0] == 401
    assert by_api(api, doubtful, **PAID)[0] == 401
    assert by_api(api, doubtful, "check")[0] == 401
    assert acknowledge(api, doubtful)[0] == 401


def test_another_merchant_sees_and_settles_nothing(world, api, doubtful):
    from chalicelib.usecases import merchants

    api.admin_token = merchants.create(world.deps, "other").admin_token
    assert api.get("/admin/alarms")[1]["payments"]["list"] == []
    assert by_api(api, doubtful, **PAID)[0] == 404


# --- cash receipts --------------------------------------------------------------------------------------------------

RECEIPT = {"identifier": "010-1234-5678", "identifier_type": "phone", "amount": 11000, "name": "n", "buyer_name": "b"}


@pytest.fixture
def receipt(world, api):
    """NICE has issued it, or not; no query tells."""
    world.group([(world.channel("nice_v2"), 100)])
    world.sandboxes["nice_v2"].fail("receipt", "reply_lost")
    _, body = api.post("/receipts/external/cash-1", RECEIPT)
    assert body["code"] == -1, body


def test_a_cash_receipt_in_doubt_is_settled_by_hand(world, api, receipt):
    [entry] = api.get("/admin/alarms", kind="cash_receipt")[1]["cash_receipts"]["list"]
    assert (entry["merchant_uid"], entry["state"]) == ("cash-1", "issuing")
    path = "/admin/receipts/external/cash-1/settle"
    assert api.post(path, outcome="issued", reason="x")[1]["field"] == "receipt_tid"
    status, body = api.post(path, outcome="issued", receipt_tid="cr1", apply_num="123", reason="seen")
    assert (status, body["state"]) == (200, "issued")
    assert api.get("/receipts/external/cash-1")[1]["response"]["apply_num"] == "123"
    assert api.get("/admin/alarms", kind="cash_receipt")[1]["cash_receipts"]["list"] == []
    assert api.post(path, outcome="issued", receipt_tid="cr1", reason="again")[0] == 409


def test_one_that_was_not_issued_can_be_asked_for_anew(world, api, receipt):
    api.post("/admin/receipts/external/cash-1/settle", outcome="not_issued", reason="not there")
    assert api.post("/receipts/external/cash-1", RECEIPT)[1]["code"] == 0
    [entry] = by_hand.history(world.deps, world.merchant_id, "cash-1")
    assert entry.action == "cash_receipt.settled"


def test_nobody_is_overtaken_who_may_still_be_issuing(world, api):
    world.group([(world.channel("nice_v2"), 100)])
    container.install(replace(world.deps, store=Dying(world.store, 1)))
    with pytest.raises(SystemExit):
        api.post("/receipts/external/cash-1", RECEIPT)
    use(world)
    assert api.get("/admin/alarms")[1]["cash_receipts"]["list"] == []
    settled = {"outcome": "not_issued", "reason": "not there"}
    assert "still being worked on" in api.post("/admin/receipts/external/cash-1/settle", settled)[1]["message"]
    world.clock.advance(minutes=2)
    assert len(api.get("/admin/alarms")[1]["cash_receipts"]["list"]) == 1
    assert api.post("/admin/receipts/external/cash-1/settle", settled)[0] == 200


def test_where_the_gateway_can_be_asked_the_merchant_finds_out(world, api, toss):
    toss.fail("receipt", "reply_lost")
    assert api.post("/receipts/external/cash-1", RECEIPT)[1]["code"] == -1
    settled = {"outcome": "not_issued", "reason": "not there"}
    assert "repeat the request" in api.post("/admin/receipts/external/cash-1/settle", settled)[1]["message"]
    assert api.post("/receipts/external/cash-1", RECEIPT)[1]["code"] == 0


def test_a_receipt_that_outlived_its_payment_is_in_the_payments_alarm(world, api, toss):
    bank = {"merchant_uid": "o1", "amount": 11000, "name": "n", "vbank_code": "004", "vbank_holder": "h"}
    _, body = api.post("/vbanks", bank, vbank_due=at(world, days=1))
    imp_uid = body["response"]["imp_uid"]
    world.sandboxes["tosspayments"].deposit(stored_by(world, imp_uid).attempt.order_id)
    api.post(f"/admin/payments/{imp_uid}/check")
    toss.fail("receipt", "reply_lost")
    holder = {"identifier": "010-1234-5678", "identifier_type": "phone"}
    assert api.post(f"/receipts/{imp_uid}", holder)[1]["code"] == -1
    refund = {"refund_holder": "h", "refund_bank": "004", "refund_account": "12345678901234"}
    assert api.post("/payments/cancel", refund, imp_uid=imp_uid)[1]["response"]["status"] == "cancelled"
    api.post(f"/receipts/{imp_uid}", holder)
    [entry] = api.get("/admin/alarms")[1]["payments"]["list"]
    assert (entry["imp_uid"], entry["status"]) == (imp_uid, "cancelled")
    assert "cash receipt" in entry["alarm"]


def stored_by(world, imp_uid):
    return world.store.load(Ref(Payment, (world.merchant_id, imp_uid)))


def test_an_unknown_receipt(api, toss):
    assert api.post("/admin/receipts/imp_1/settle", outcome="not_issued", reason="x")[0] == 404
    assert api.post("/admin/receipts/external/m/settle", outcome="not_issued", reason="x")[0] == 404
