"""Ways to break things, and short words for what is done again and again in the tests of recovery."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib import container
from chalicelib.domain.charging import Declined, Operation, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment
from chalicelib.ports import Ref, UnsupportedOperation
from chalicelib.usecases import cancels, charges, lookups, settling
from chalicelib.usecases.choosing import Target
from tests.support.world import CARD, request


class Meddling:
    """The real gateways, but for the methods given: callables of (real gateway, *arguments)."""

    def __init__(self, real, **methods):
        self._real, self._methods = real, methods

    def __getattr__(self, name):
        return getattr(self._real, name)

    def open(self, channel, credentials):
        inner, methods = self._real.open(channel, credentials), self._methods

        class Gateway:
            def __getattr__(self, name):
                if name in methods:
                    return lambda *args, **kwargs: methods[name](inner, *args, **kwargs)
                return getattr(inner, name)

        return Gateway()


def meddle(world, **methods):
    """From here on this world's gateways answer like that."""
    world.deps = replace(world.deps, gateways=Meddling(world.deps.gateways, **methods))


class Respecified:
    """The real gateways, but with other values in their specs, and nothing behind what is left out."""

    def __init__(self, real, without, adding, changes):
        self._real, self._without, self._adding, self._changes = real, frozenset(without), frozenset(adding), changes

    def __getattr__(self, name):
        return getattr(self._real, name)

    def spec(self, provider):
        spec = self._real.spec(provider)
        operations = spec.operations - self._without | self._adding
        return replace(spec, operations=operations, **self._changes)

    def spec_of(self, channel):
        return self.spec(channel.pg_provider).under(channel.options)

    def specs(self):
        return [self.spec(spec.provider) for spec in self._real.specs()]

    def open(self, channel, credentials):
        inner, spec = self._real.open(channel, credentials), self.spec(channel.pg_provider)

        class Gateway:
            def __getattr__(self, name):
                if name == "spec":
                    return spec
                if name == "find_charge" and not spec.operations & {Operation.FIND, Operation.READ}:
                    raise UnsupportedOperation(name)
                return getattr(inner, name)

        return Gateway()


def restrict(world, *without, adding=(), **changes):
    """From here on this world's gateways lack operations, or seem to have more, or have other values in their specs."""
    use(world, gateways=Respecified(world.deps.gateways, without, adding, changes))


class Dying:
    """A store that kills the process right after its n-th commit."""

    def __init__(self, inner, nth):
        self._inner, self._left = inner, nth

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def commit(self, *changes):
        done = self._inner.commit(*changes)
        self._left -= 1
        if not self._left:
            raise SystemExit("killed")
        return done


def onetime(world, uid="order-1"):
    return charges.charge_card(world.deps, world.merchant_id, request(uid), CARD, Target())


def stored(world, payment):
    return lookups.by_imp_uid(world.deps, world.merchant_id, payment.imp_uid)


def balance(world):
    return sum(t["balance"] for t in world.captured())


def late(world):
    """A charge that the gateway carries out long after anybody expects it."""

    def charge(inner, order_id, asked, card, timeout):
        world.carry_out = lambda: inner.charge_card(order_id, asked, card, timeout)
        return Unknown("lost on the way")

    meddle(world, charge_card=charge)


def use(world, **changes):
    world.deps = replace(world.deps, **changes)
    container.install(world.deps)


def at(world, **kwargs):
    return int((world.clock.now() + timedelta(**kwargs)).timestamp())


def book(api, world, **more):
    entry = {"merchant_uid": "m0", "schedule_at": at(world, seconds=5), "amount": 8900, "name": "n"}
    _, body = api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=[entry], **more)
    assert body["code"] == 0, body


NO = Declined(DeclineReason.INVALID_REQUEST, "X", "취소할 수 없습니다.")


def payment_of(world, uid="order-1"):
    order = world.store.load(Ref(Order, (world.merchant_id, uid)))
    return world.store.load(Ref(Payment, (world.merchant_id, order.imp_uids[-1])))


def settle(world, payment):
    settling.settle(world.deps, world.merchant_id, payment.imp_uid)


def cancel(world, payment, **wanted):
    return cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=payment.imp_uid, **wanted))


def claim_and_die(world):
    with pytest.raises(SystemExit):
        charges.charge_card(
            replace(world.deps, store=Dying(world.store, 1)), world.merchant_id, request("order-1"), CARD, Target()
        )
    return payment_of(world)
