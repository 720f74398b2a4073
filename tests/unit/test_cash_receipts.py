"""Cash receipts under races, deaths and lost answers: never two valid ones for one thing paid."""

import logging
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from chalicelib.domain.charging import Declined, IdentifierType, Operation, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, NotFound, NotIssued, NotSupported, Refused, TryAgain
from chalicelib.domain.payments import State
from chalicelib.domain.receipts import CashReceipt, ReceiptState, default_vat
from chalicelib.ports import Ref, StoreUnavailable
from chalicelib.usecases import cancels, cash_receipts, channels, charges, lookups
from chalicelib.usecases.cash_receipts import EXTERNAL, PAYMENT, Wanted
from chalicelib.usecases.choosing import Target
from tests.support.recovery import Dying, cancel, meddle
from tests.support.world import CARD, request

PHONE = "01098761234"
ASKABLE = pytest.mark.parametrize("gateway", ["tosspayments"], indirect=True)
"""Only Toss tells what became of a receipt, and its amount."""

LEASE = 41
"""Seconds after which nobody can be at it any more."""
SETTLED = 601


@pytest.fixture
def paid(world, gateway):
    """A payment in cash at the gateway."""
    return pay(world)


def pay(world, uid="order-1", amount=11_000):
    payment = charges.charge_card(world.deps, world.merchant_id, request(uid, amount), CARD, Target())
    (payment,) = world.store.commit(replace(payment, pay_method="trans"))
    return payment


def wanted(**changes):
    return Wanted(**{"identifier": PHONE, "identifier_type": IdentifierType.PHONE, **changes})


def issue(world, payment, **changes):
    return cash_receipts.issue_for_payment(world.deps, world.merchant_id, payment.imp_uid, wanted(**changes))


def external(world, uid="cash-1", amount=11_000, target=None, **changes):
    given = wanted(name="월간 이용권", **changes)
    return cash_receipts.issue_external(world.deps, world.merchant_id, uid, Decimal(amount), given, target or Target())


def revoke(world, payment):
    return cash_receipts.cancel(world.deps, world.merchant_id, PAYMENT, payment.imp_uid)


def show(world, payment):
    return cash_receipts.find(world.deps, world.merchant_id, PAYMENT, payment.imp_uid)


def stored(world, payment):
    return world.store.load(Ref(CashReceipt, (world.merchant_id, PAYMENT, payment.imp_uid)))


def flag(world, payment):
    return lookups.by_imp_uid(world.deps, world.merchant_id, payment.imp_uid).cash_receipt_issued


def at_gateway(world):
    return [row for box in world.sandboxes.values() for row in box.receipts()]


def valid_at_gateway(world):
    return [row for row in at_gateway(world) if row["cancelled_at"] is None]


def fails(world, fault, **kwargs):
    for box in world.sandboxes.values():
        box.fail("receipt", fault, **kwargs)


def mend(world):
    for box in world.sandboxes.values():
        box.clear_faults()


# --- the straight way ---------------------------------------------------------------------------------------------


def test_issued_once_and_shown(world, paid):
    issued = issue(world, paid)
    [row] = at_gateway(world)
    assert issued.remark is None
    assert (row["amount"], row["holder"], row["order_id"]) == (11_000, "1234", f"{paid.imp_uid.replace('_', '')}r1")
    assert show(world, paid) == issued.receipt == stored(world, paid)
    assert issued.receipt.current.receipt_tid == row["receipt_tid"]
    assert flag(world, paid)
    with pytest.raises(InvalidRequest, match="already issued"):
        issue(world, paid)
    assert len(at_gateway(world)) == 1


def test_calls_to_the_table(world, paid):
    """As docs/ARCHITECTURE.md says."""
    world.store.calls.clear()
    issue(world, paid)
    assert world.store.calls == ["load", "commit", "load", "commit"]
    world.store.calls.clear()
    external(world)
    assert world.store.calls == ["load", "commit", "commit"]


def test_cancelled_and_issued_anew(world, paid):
    first = issue(world, paid).receipt.current
    cancelled = revoke(world, paid).current
    assert cancelled.state is ReceiptState.CANCELLED
    assert cancelled.cancelled_at == world.clock.now()
    assert not flag(world, paid)
    with pytest.raises(InvalidRequest, match="already cancelled"):
        revoke(world, paid)
    second = issue(world, paid).receipt.current
    assert second.order_id != first.order_id
    assert second.receipt_tid != first.receipt_tid
    assert flag(world, paid)
    assert [row["receipt_tid"] for row in valid_at_gateway(world)] == [second.receipt_tid]


def test_what_is_left_of_the_payment_is_what_it_states(world, paid):
    cancel(world, paid, amount=Decimal(3000))
    assert issue(world, paid).receipt.current.terms.amount.amount == 8000
    assert at_gateway(world)[0]["amount"] == 8000


def test_a_later_cancel_of_the_payment_leaves_the_receipt(world, paid):
    issue(world, paid)
    cancel(world, paid, amount=Decimal(3000))
    assert flag(world, paid)
    assert len(valid_at_gateway(world)) == 1


def test_what_cannot_have_a_receipt(world, gateway):
    with pytest.raises(NotFound):
        issue(world, replace(pay(world, "o0"), imp_uid="imp_000000000000"))
    by_card = charges.charge_card(world.deps, world.merchant_id, request("o1"), CARD, Target())
    with pytest.raises(InvalidRequest, match="not paid in cash"):
        issue(world, by_card)
    gone = pay(world, "o2")
    cancel(world, gone)
    with pytest.raises(InvalidRequest, match="not paid"):
        issue(world, gone)
    cancelling = pay(world, "o3")
    meddle(world, cancel=lambda inner, asked, timeout: Unknown("lost"))
    assert cancels.cancel(
        world.deps, world.merchant_id, cancels.Cancel(imp_uid=cancelling.imp_uid, amount=Decimal(1))
    ).open_cancel
    with pytest.raises(TryAgain, match="cancel is under way"):
        issue(world, cancelling)
    assert at_gateway(world) == []


def test_nothing_to_show_or_cancel(world, paid):
    with pytest.raises(NotIssued):
        show(world, paid)
    with pytest.raises(InvalidRequest, match="no cash receipt"):
        revoke(world, paid)
    with pytest.raises(NotIssued):
        cash_receipts.cancel(world.deps, world.merchant_id, EXTERNAL, "cash-1")
    fails(world, "decline")
    with pytest.raises(Refused):
        issue(world, paid)
    with pytest.raises(NotIssued):
        show(world, paid)


@pytest.mark.parametrize("fault", ["decline", "refuse"])
def test_a_clear_no_may_be_tried_again_at_once(world, paid, fault):
    fails(world, fault, **({"seconds": 60} if fault == "refuse" else {}))
    with pytest.raises(Refused) as caught:
        issue(world, paid)
    assert caught.value.code == -1
    assert stored(world, paid).current.state is ReceiptState.FAILED
    assert not flag(world, paid)
    mend(world)
    assert issue(world, paid).receipt.current.order_id.endswith("r2")
    assert len(at_gateway(world)) == 1


def test_the_parts_must_fit_in_the_amount(world, paid):
    for parts in ({"tax_free": Decimal(11_001)}, {"tax_free": Decimal(6000), "vat": Decimal(5001)}):
        with pytest.raises(InvalidRequest, match="part of"):
            issue(world, paid, **parts)
    assert stored(world, paid) is None


@pytest.mark.parametrize(("taxable", "vat"), [(0, 0), (5, 0), (6, 1), (10, 1), (11, 1), (15_000, 1364), (11_000, 1000)])
def test_the_vat_is_an_eleventh(taxable, vat):
    assert default_vat(taxable) == vat


# --- races --------------------------------------------------------------------------------------------------------


def test_of_many_at_once_one_is_issued(world, paid):
    outcomes = []

    def run():
        try:
            outcomes.append(issue(world, paid))
        except (TryAgain, InvalidRequest) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert len([outcome for outcome in outcomes if isinstance(outcome, cash_receipts.Issued)]) == 1
    assert len(at_gateway(world)) == 1


def test_nobody_else_may_act_while_one_is_at_it(world, paid):
    met = []

    def during(inner, *args):
        for other in (lambda: issue(world, paid), lambda: revoke(world, paid), lambda: show(world, paid)):
            with pytest.raises(Refused) as caught:
                other()
            met.append(type(caught.value))
        return getattr(inner, during.method)(*args)

    real = world.deps
    during.method = "issue_cash_receipt"
    meddle(world, issue_cash_receipt=during)
    issue(world, paid)
    assert met == [TryAgain, Refused, Refused]
    world.deps = real
    met.clear()

    def cancelling(inner, *args):
        for other in (lambda: issue(world, paid), lambda: revoke(world, paid)):
            with pytest.raises(TryAgain):
                other()
        assert show(world, paid).is_valid
        return inner.cancel_cash_receipt(*args)

    meddle(world, cancel_cash_receipt=cancelling)
    revoke(world, paid)
    assert len(at_gateway(world)) == 1
    assert valid_at_gateway(world) == []


def test_the_claim_is_on_record_before_anything_is_sent(world, paid):
    seen = []

    def look(inner, *args):
        seen.append(stored(world, paid).current.state)
        return inner.issue_cash_receipt(*args)

    def look_at_cancel(inner, *args):
        seen.append(stored(world, paid).current.state)
        return inner.cancel_cash_receipt(*args)

    meddle(world, issue_cash_receipt=look, cancel_cash_receipt=look_at_cancel)
    issue(world, paid)
    revoke(world, paid)
    assert seen == [ReceiptState.ISSUING, ReceiptState.CANCELLING]


def test_a_payment_that_changes_meanwhile_loses_nothing(world, paid):
    real = world.deps

    def cancel_part(inner, *args):
        cancels.cancel(real, world.merchant_id, cancels.Cancel(imp_uid=paid.imp_uid, amount=Decimal(3000)))
        return inner.issue_cash_receipt(*args)

    meddle(world, issue_cash_receipt=cancel_part)
    issue(world, paid)
    assert flag(world, paid)
    assert lookups.by_imp_uid(world.deps, world.merchant_id, paid.imp_uid).balance.amount == 8000


def test_a_payment_that_changes_while_it_is_recorded_is_read_again(world, paid):
    class Overtaken:
        commits = 0

        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            self.commits += 1
            if self.commits == 2:
                payment = lookups.by_imp_uid(world.deps, world.merchant_id, paid.imp_uid)
                world.store.commit(replace(payment, alarm="touched"))
            return world.store.commit(*changes)

    store = Overtaken()
    deps = replace(world.deps, store=store)
    cash_receipts.issue_for_payment(deps, world.merchant_id, paid.imp_uid, wanted())
    payment = lookups.by_imp_uid(world.deps, world.merchant_id, paid.imp_uid)
    assert (payment.cash_receipt_issued, payment.alarm, store.commits) == (True, "touched", 3)


# --- deaths and lost answers --------------------------------------------------------------------------------------


def test_death_after_the_claim(world, paid):
    dying = replace(world.deps, store=Dying(world.store, 1))
    with pytest.raises(SystemExit):
        cash_receipts.issue_for_payment(dying, world.merchant_id, paid.imp_uid, wanted())
    with pytest.raises(TryAgain):
        issue(world, paid)
    world.clock.advance(seconds=LEASE)
    repeated = issue(world, paid)
    assert repeated.remark
    assert flag(world, paid)
    assert [row["order_id"] for row in at_gateway(world)] == [repeated.receipt.current.order_id]


@pytest.mark.parametrize("loss", ["reply_lost", "garbage", "death", "not stored"])
def test_carried_out_but_not_known(world, paid, gateway, loss, caplog):
    """Toss can be asked. NICE cannot, and says that the order id is used: a person has to look."""
    lose(world, paid, loss)
    world.clock.advance(seconds=LEASE)
    with pytest.raises(Refused, match="being confirmed"):
        show(world, paid)
    with pytest.raises(Refused, match="being confirmed"):
        revoke(world, paid)
    if gateway == "tosspayments":
        repeated = issue(world, paid)
        assert repeated.remark
        assert repeated.receipt.current.receipt_tid == at_gateway(world)[0]["receipt_tid"]
        assert flag(world, paid)
    else:
        for _ in range(2):
            with pytest.raises(Refused, match="being confirmed"):
                issue(world, paid)
            world.clock.advance(seconds=SETTLED)
        [*_, called] = [r.getMessage() for r in caplog.records if getattr(r, "needs_a_person", False)]
        assert paid.imp_uid in called
    assert len(at_gateway(world)) == 1


def lose(world, paid, loss):
    real = world.deps
    if loss == "death":

        def die(inner, *args):
            inner.issue_cash_receipt(*args)
            raise SystemExit("killed")

        meddle(world, issue_cash_receipt=die)
        with pytest.raises(SystemExit):
            issue(world, paid)
    else:
        if loss == "not stored":
            world.deps = replace(real, store=Failing(world.store, 2))
        else:
            fails(world, loss)
        with pytest.raises(Refused, match="being confirmed") as caught:
            issue(world, paid)
        assert caught.value.code == -1
        mend(world)
    world.deps = real


class Failing(Dying):
    def commit(self, *changes):
        self._left -= 1
        if not self._left:
            raise StoreUnavailable("down")
        return self._inner.commit(*changes)


@pytest.mark.parametrize("fault", ["http_500", "adapter"])
def test_not_carried_out_and_not_known(world, paid, fault):
    real = world.deps
    if fault == "adapter":

        def broken(inner, *args):
            raise RuntimeError(f"a bug that talks: {args[0].identifier}")

        meddle(world, issue_cash_receipt=broken)
    else:
        fails(world, fault)
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    world.deps = real
    assert issue(world, paid).receipt.current.order_id.endswith("r1")
    assert len(at_gateway(world)) == 1


def test_other_values_wait_until_the_first_are_settled(world, paid, gateway):
    fails(world, "http_500")
    with pytest.raises(Refused):
        issue(world, paid)
    cancel(world, paid, amount=Decimal(3000))
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    world.clock.advance(seconds=SETTLED)
    if gateway == "nice_v2":
        with pytest.raises(Refused, match="being confirmed"):
            issue(world, paid)
        assert at_gateway(world) == []
    else:
        with pytest.raises(Refused, match="was not issued"):
            issue(world, paid)
        again = issue(world, paid)
        assert again.receipt.current.order_id.endswith("r2")
        assert [row["amount"] for row in at_gateway(world)] == [8000]


@ASKABLE
def test_the_receipt_of_a_payment_that_was_cancelled_meanwhile_is_found_and_cancelled(world, gateway):
    lost, never = pay(world, "o1"), pay(world, "o2")
    for payment, fault in ((lost, "reply_lost"), (never, "http_500")):
        fails(world, fault)
        with pytest.raises(Refused):
            issue(world, payment)
        mend(world)
        cancel(world, payment)
    assert issue(world, lost).remark
    revoke(world, lost)
    world.clock.advance(seconds=SETTLED)
    with pytest.raises(Refused, match="was not issued"):
        issue(world, never)
    with pytest.raises(InvalidRequest, match="not paid"):
        issue(world, never)
    assert valid_at_gateway(world) == []


@ASKABLE
def test_parts_that_no_longer_fit_in_what_is_left_do_not_hide_a_receipt(world, paid):
    """Repeated with the same values, as asked: the tax-free part is more than is left of the payment by now."""
    fails(world, "reply_lost")
    with pytest.raises(Refused):
        issue(world, paid, tax_free=Decimal(1000))
    mend(world)
    cancel(world, paid)
    assert issue(world, paid, tax_free=Decimal(1000)).remark
    revoke(world, paid)
    assert valid_at_gateway(world) == []


def test_nothing_is_sent_again_for_what_is_no_longer_paid(world, paid):
    """A bank takes a deposit back whose receipt is in doubt: all of the payment is left, but nobody has paid it."""
    fails(world, "http_500")
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    mend(world)
    before = lookups.by_imp_uid(world.deps, world.merchant_id, paid.imp_uid)
    world.store.commit(replace(before, state=State.WAITING, paid_at=None))
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    assert at_gateway(world) == []


@ASKABLE
def test_an_answer_that_stays_unclear_does_not_stay_for_ever(world, gateway):
    """Toss replays even its own errors; once it surely does not know the receipt, another order id is used."""
    paid = pay(world)
    tries = 0
    while not stored(world, paid) or stored(world, paid).in_doubt:
        fails(world, "http_500")
        with pytest.raises(Refused):
            issue(world, paid)
        world.clock.advance(seconds=60)
        mend(world)
        tries += 1
        assert tries < 25
    issue(world, paid)
    assert [a.state for a in stored(world, paid).attempts] == [ReceiptState.FAILED, ReceiptState.ISSUED]
    assert [row["order_id"][-2:] for row in at_gateway(world)] == ["r2"]


@ASKABLE
def test_sent_once_more_it_has_its_time_to_appear(world, gateway):
    """Given up only when nothing that was sent can arrive any more."""
    paid = pay(world)
    fails(world, "http_500")
    with pytest.raises(Refused):
        issue(world, paid)
    world.clock.advance(seconds=SETTLED - 5)
    fails(world, "late_approval", seconds=300)
    with pytest.raises(Refused):
        issue(world, paid)
    world.clock.advance(seconds=10)
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    assert len(stored(world, paid).attempts) == 1


NO = Declined(DeclineReason.INVALID_REQUEST, "7012", f"{PHONE} 오류")


def test_a_no_to_a_repetition_is_not_believed(world, paid):
    fails(world, "http_500")
    with pytest.raises(Refused):
        issue(world, paid)
    meddle(world, issue_cash_receipt=lambda inner, *args: NO)
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    assert stored(world, paid).current.state is ReceiptState.ISSUING


@ASKABLE
def test_issued_for_another_amount_is_in_doubt(world, paid):
    fails(world, "wrong_amount")
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    assert not flag(world, paid)


@ASKABLE
def test_cancelled_at_the_gateway_before_we_knew_of_it(world, gateway):
    paid = pay(world)
    fails(world, "reply_lost")
    with pytest.raises(Refused):
        issue(world, paid)
    world.sandboxes[gateway].simulator.books.receipts[0].cancelled_at = world.clock.now().timestamp()
    with pytest.raises(Refused, match="was not issued"):
        issue(world, paid)
    assert issue(world, paid).receipt.current.order_id.endswith("r2")
    assert len(valid_at_gateway(world)) == 1


# --- cancels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["reply_lost", "http_500", "garbage", "death"])
def test_a_cancel_without_an_answer_is_made_good_by_the_next(world, paid, loss):
    issue(world, paid)
    real = world.deps
    if loss == "death":
        world.deps = replace(real, store=Dying(world.store, 1))
        with pytest.raises(SystemExit):
            revoke(world, paid)
        world.deps = real
        world.clock.advance(seconds=LEASE)
    else:
        fails(world, loss)
        with pytest.raises(Refused, match="being confirmed") as caught:
            revoke(world, paid)
        assert caught.value.code == -1
        mend(world)
    assert flag(world, paid)
    with pytest.raises(Refused, match="being confirmed"):
        issue(world, paid)
    assert revoke(world, paid).current.state is ReceiptState.CANCELLED
    assert not flag(world, paid)
    assert valid_at_gateway(world) == []


@ASKABLE
def test_a_cancel_is_looked_for_since_it_was_asked_for(world, gateway):
    """Not since the issue: each day in between would be a call."""
    paid = pay(world)
    issue(world, paid)
    world.clock.advance(days=30)
    first_asked = world.clock.now()
    stretches = []

    def look(inner, order_id, since, until, timeout):
        stretches.append((since, until))
        return inner.find_cash_receipt(order_id, since, until, timeout)

    meddle(world, find_cash_receipt=look)
    for _ in range(3):
        fails(world, "http_500")
        with pytest.raises(Refused):
            revoke(world, paid)
        world.clock.advance(minutes=1)
        mend(world)
    assert [since for since, _ in stretches] == [first_asked] * 2
    assert stretches[-1][1] == first_asked + timedelta(minutes=1)


def test_a_refused_cancel_leaves_the_receipt(world, paid):
    issue(world, paid)
    fails(world, "decline")
    with pytest.raises(Refused) as caught:
        revoke(world, paid)
    assert caught.value.code == -1
    assert stored(world, paid).current.state is ReceiptState.ISSUED
    assert flag(world, paid)
    assert revoke(world, paid).current.state is ReceiptState.CANCELLED


@pytest.mark.parametrize(("after", "state"), [(1, ReceiptState.CANCELLING), (SETTLED, ReceiptState.ISSUED)])
def test_a_no_to_a_repeated_cancel_counts_only_when_the_first_is_settled(world, paid, after, state):
    issue(world, paid)
    fails(world, "http_500")
    with pytest.raises(Refused):
        revoke(world, paid)
    world.clock.advance(seconds=after)
    fails(world, "decline")
    with pytest.raises(Refused):
        revoke(world, paid)
    assert stored(world, paid).current.state is state


def test_a_cancel_that_was_not_sent_a_second_time_stays_in_doubt(world, paid):
    issue(world, paid)
    fails(world, "http_500")
    with pytest.raises(Refused):
        revoke(world, paid)
    world.clock.advance(seconds=SETTLED)
    fails(world, "refuse", seconds=60)
    with pytest.raises(Refused, match="being confirmed"):
        revoke(world, paid)
    mend(world)
    assert stored(world, paid).current.state is ReceiptState.CANCELLING


def test_the_receipt_of_a_deleted_channel_can_be_cancelled(world):
    channel = world.channel("tosspayments")
    other = world.channel("nice_v2")
    world.group([(other, 100)])
    external(world, target=Target(channel_key=channel))
    channels.delete(world.deps, world.admin, channel)
    cash_receipts.cancel(world.deps, world.merchant_id, EXTERNAL, "cash-1")
    assert valid_at_gateway(world) == []


# --- cash taken elsewhere -----------------------------------------------------------------------------------------


def test_external_receipts(world, gateway):
    first = external(world).receipt
    assert first.current.order_id.isalnum()
    assert 6 <= len(first.current.order_id) <= 20
    with pytest.raises(InvalidRequest, match="already issued"):
        external(world)
    external(world, "cash-2")
    assert len(at_gateway(world)) == 2
    cash_receipts.cancel(world.deps, world.merchant_id, EXTERNAL, "cash-1")
    again = external(world, amount=5000).receipt
    assert again.current.order_id != first.current.order_id
    assert sorted(row["amount"] for row in valid_at_gateway(world)) == [5000, 11_000]
    shown = cash_receipts.find(world.deps, world.merchant_id, EXTERNAL, "cash-1")
    assert shown == again


def test_a_payment_and_an_order_of_one_name_are_two_things(world, paid):
    issue(world, paid)
    external(world, paid.imp_uid)
    assert len(valid_at_gateway(world)) == 2


def test_the_first_channel_that_can_is_taken(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    off = world.channel("tosspayments", "off")
    group = world.group([(off, 0, False), (nice, 50), (toss, 50)])
    assert external(world).receipt.current.channel_key == nice
    by_card = {"identifier": "1234567890123456", "identifier_type": IdentifierType.TAXCARD}
    assert external(world, "cash-2", **by_card).receipt.current.channel_key == toss
    with pytest.raises(InvalidRequest) as caught:
        external(world, "cash-3", target=Target(channel_key=nice), **by_card)
    assert caught.value.field == "identifier_type"
    with pytest.raises(Refused):
        external(world, "cash-4", target=Target(channel_key="channel-key-none"))
    with pytest.raises(Refused, match="no channel"):
        external(world, "cash-5", target=Target(group_id=group.group_id, channel_key=off))
    assert len(at_gateway(world)) == 2


def test_an_issue_in_doubt_stays_at_its_channel(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    fails(world, "reply_lost")
    with pytest.raises(Refused):
        external(world, target=Target(channel_key=toss))
    mend(world)
    external(world, target=Target(channel_key=nice))
    assert [row["account"] for row in at_gateway(world)] == ["sandbox1"]


def test_a_gateway_without_receipts(world, paid):
    class Without:
        def __getattr__(self, name):
            return getattr(real, name)

        def spec(self, provider):
            spec = real.spec(provider)
            return replace(spec, operations=spec.operations - {Operation.CASH_RECEIPT})

    real = world.deps.gateways
    world.deps = replace(world.deps, gateways=Without())
    for ask in (lambda: issue(world, paid), lambda: external(world)):
        with pytest.raises(NotSupported, match="no cash receipts by API"):
            ask()
    assert stored(world, paid) is None


def test_what_the_caller_can_mend_is_said_first(world):
    class TossWithout:
        def __getattr__(self, name):
            return getattr(real, name)

        def spec(self, provider):
            spec = real.spec(provider)
            lacks = {Operation.CASH_RECEIPT} if provider == "tosspayments" else set()
            return replace(spec, operations=spec.operations - lacks)

    world.two_gateways()
    real = world.deps.gateways
    world.deps = replace(world.deps, gateways=TossWithout())
    with pytest.raises(InvalidRequest, match="identifier_type"):
        external(world, identifier="1234567890123456", identifier_type=IdentifierType.TAXCARD)


# --- the identifier -----------------------------------------------------------------------------------------------


def test_the_identifier_is_nowhere(world, paid, gateway, caplog):
    caplog.set_level(logging.DEBUG)
    texts = []

    def echo(inner, asked, timeout):
        return replace(NO, message=f"{asked.identifier} / 010-9876-1234 / 010 9876 1234 오류", code=asked.identifier)

    real = world.deps
    meddle(world, issue_cash_receipt=echo)
    with pytest.raises(Refused) as caught:
        issue(world, paid)
    texts.append(str(caught.value))
    unclear = Unknown(f"heard {PHONE}", PHONE)
    meddle(world, issue_cash_receipt=lambda inner, asked, timeout: unclear)
    with pytest.raises(Refused):
        issue(world, paid)
    assert (stored(world, paid).current.message, stored(world, paid).current.code) == ("heard ****", "****")
    meddle(world, issue_cash_receipt=lambda inner, asked, timeout: int(f"no number: {asked.identifier}"))
    with pytest.raises(Refused):
        issue(world, paid)
    world.deps = real
    if gateway == "tosspayments":
        world.clock.advance(seconds=SETTLED)
        with pytest.raises(Refused, match="was not issued"):
            issue(world, paid)
    issue(world, paid)
    texts.append(repr(wanted()))
    revoke(world, paid)
    texts += [world.store.texts(), caplog.text, repr(world.queue.tasks)]
    texts += [repr((record.msg, record.args, record.exc_info)) for record in caplog.records]
    for text in texts:
        for form in (PHONE, "010-9876-1234", "010 9876 1234", "98761234"):
            assert form not in text
    assert "**** / **** / ****" in texts[0]


def test_nobody_sees_another_merchants_receipt(world, paid):
    issue(world, paid)
    with pytest.raises(NotIssued):
        cash_receipts.find(world.deps, "imp99999999", PAYMENT, paid.imp_uid)
