"""Guards, one by one: each test fails if a single condition is taken away. Cancels."""

from dataclasses import replace
from decimal import Decimal

import pytest

from chalicelib.domain.cancels import finish_cancel
from chalicelib.domain.charging import Cancelled, GatewayCancel, Unknown
from chalicelib.domain.errors import InvalidRequest, Refused
from chalicelib.domain.money import Money
from chalicelib.domain.payments import CancelState, State
from chalicelib.ports import StoreUnavailable
from chalicelib.usecases import cancels, charges, settling
from chalicelib.usecases.choosing import Target
from tests.support.recovery import NO, Dying, balance, cancel, meddle, onetime, settle, stored
from tests.support.world import STOLEN, request


def test_a_cancel_is_on_record_before_it_is_sent(world, gateway):
    payment = onetime(world)
    seen = []

    def send(inner, asked, timeout):
        seen.append(stored(world, payment))
        return inner.cancel(asked, timeout)

    meddle(world, cancel=send)
    cancel(world, payment, amount=Decimal(3000))
    timing = world.deps.timing
    assert seen[0].open_cancel.amount == Money(3000)
    assert seen[0].due_at == world.clock.now() + timing.request_budget + timing.lease_margin


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_process_that_dies_over_a_cancel_is_made_good(world, gateway, carried_out):
    payment = onetime(world)

    def die(inner, asked, timeout):
        if carried_out:
            inner.cancel(asked, timeout)
        raise SystemExit("killed")

    real = world.deps
    meddle(world, cancel=die)
    with pytest.raises(SystemExit):
        cancel(world, payment, amount=Decimal(3000))
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).cancels[0].state is CancelState.DONE
    assert stored(world, payment).balance.amount == balance(world) == 5900


def test_an_adapter_that_breaks_over_a_cancel_leaves_it_open(world, gateway):
    payment = onetime(world)

    def broken(inner, asked, timeout):
        inner.cancel(asked, timeout)
        raise RuntimeError("a bug")

    real = world.deps
    meddle(world, cancel=broken)
    assert cancel(world, payment, amount=Decimal(3000)).open_cancel
    assert stored(world, payment).open_cancel
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).balance.amount == balance(world) == 5900


def test_a_cancel_whose_result_cannot_be_stored_is_being_confirmed(world, gateway):
    payment = onetime(world)

    class Failing(Dying):
        def commit(self, *changes):
            self._left -= 1
            if not self._left:
                raise StoreUnavailable("down")
            return self._inner.commit(*changes)

    real = world.deps
    world.deps = replace(real, store=Failing(world.store, 2))
    assert cancel(world, payment).open_cancel
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).balance.amount == balance(world) == 0


def test_the_checksum_is_compared_again_if_another_cancel_was_faster(world, gateway):
    payment = onetime(world)

    class Overtaken:
        done = False

        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if not self.done:
                self.done = True
                cancel(world, payment, amount=Decimal(3000))
            return world.store.commit(*changes)

    wanted = cancels.Cancel(imp_uid=payment.imp_uid, amount=Decimal(1000), checksum=Decimal(8900))
    with pytest.raises(Refused, match="checksum"):
        cancels.cancel(replace(world.deps, store=Overtaken()), world.merchant_id, wanted)
    assert stored(world, payment).balance.amount == balance(world) == 5900


def test_cancel_by_merchant_uid_means_the_last_payment(world, gateway):

    charges.charge_card(world.deps, world.merchant_id, request("order-1"), STOLEN, Target())
    paid = onetime(world)
    done = cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(merchant_uid="order-1"))
    assert (done.imp_uid, balance(world)) == (paid.imp_uid, 0)


def test_a_cancel_at_the_gateways_console_is_not_taken_for_ours(world, gateway, caplog):
    payment = onetime(world)
    world.sandboxes[gateway].fail("cancel", "http_500")
    assert cancel(world, payment, amount=Decimal(3000)).open_cancel
    console = GatewayCancel("tid-of-console", Money(1000), world.clock.now())

    def find(inner, *args):
        return replace(inner.find_charge(*args), balance=Money(7900), cancels=(console,))

    meddle(world, find_charge=find, cancel=lambda *_: pytest.fail("sent again"))
    world.clock.advance(minutes=1)
    settle(world, payment)
    after = stored(world, payment)
    assert after.open_cancel
    assert after.alarm
    assert any(getattr(r, "needs_a_person", False) for r in caplog.records)


def test_a_no_to_a_repeated_cancel_counts_only_after_the_delay(world, gateway):
    """Also if the charge itself had been unknown once: the cancel's delay is its own, and so are its questions."""
    world.sandboxes[gateway].fail("charge", "reply_lost")
    payment = onetime(world)
    real = world.deps
    meddle(world, find_charge=lambda *_: Unknown("busy"))
    world.clock.advance(minutes=1)
    settle(world, payment)
    world.deps = real
    world.run_to_quiet()
    assert stored(world, payment).state is State.PAID
    world.clock.advance(days=1)
    with pytest.raises(SystemExit):
        cancels.cancel(
            replace(world.deps, store=Dying(world.store, 1)), world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid)
        )
    meddle(world, cancel=lambda *_: NO)
    claimed = stored(world, payment)
    assert claimed.checks == 0
    world.clock.set(claimed.due_at)
    settle(world, payment)
    assert stored(world, payment).open_cancel
    world.clock.advance(minutes=9)
    settle(world, payment)
    assert stored(world, payment).open_cancel
    world.run_to_quiet()
    assert stored(world, payment).cancels[0].state is CancelState.FAILED


def test_what_is_not_under_way_cannot_be_finished_and_nothing_is_sent_without_a_reference(world, gateway):
    payment = onetime(world)
    done = cancel(world, payment, amount=Decimal(1000))
    result = Cancelled(GatewayCancel("tid", Money(1000), world.clock.now()))
    with pytest.raises(ValueError, match="not under way"):
        finish_cancel(done, done.cancels[0].cancel_id, result, world.clock.now())
    with pytest.raises(ValueError, match="no gateway reference"):
        settling.cancel_request(replace(done, gateway_ref=None), done.cancels[0])


def test_a_refused_cancel_is_not_shown_as_one(world, api, gateway):
    payment = onetime(world)
    real = world.deps
    meddle(world, cancel=lambda *_: NO)
    with pytest.raises(Refused):
        cancel(world, payment)
    world.deps = real
    shown = api.get(f"/payments/{payment.imp_uid}")[1]["response"]
    assert (shown["status"], shown["cancel_history"], shown["cancel_reason"]) == ("paid", [], None)


def test_the_parts_of_a_cancel_fit_into_it(world, gateway):
    payment = onetime(world)
    parts = cancels.Cancel(
        imp_uid=payment.imp_uid, amount=Decimal(1000), tax_free=Decimal(600), vat_amount=Decimal(500)
    )
    with pytest.raises(InvalidRequest) as refused:
        cancels.cancel(world.deps, world.merchant_id, parts)
    assert refused.value.field == "vat_amount"
    assert not stored(world, payment).cancels
