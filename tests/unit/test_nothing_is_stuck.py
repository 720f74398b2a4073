"""Whatever gateways answer, whoever dies, and whatever people do: no payment is left that nobody will look at.

Random histories over real rules and a gateway that answers anything. After each step every payment has a time to be
looked at, has ended, or waits for a person, who finds it in the list of alarms.
"""

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Cancelled,
    Declined,
    DepositNotice,
    GatewayCancel,
    NotFound,
    NotSent,
    Operation,
    RefundAccount,
    Revoked,
    Unknown,
    VirtualAccount,
    VirtualAccountRequest,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import RouterError
from chalicelib.domain.money import Money
from chalicelib.domain.payments import Payment, State
from chalicelib.gateways import nice_v2, tosspayments
from chalicelib.ports import Conflict
from chalicelib.storage.items import from_item
from chalicelib.usecases import by_hand, cancels, charges, virtual_accounts
from chalicelib.usecases.by_hand import CancelSettlement, Settlement
from chalicelib.usecases.choosing import Target
from tests.support.recovery import Dying
from tests.support.world import CARD, World, request

AMOUNT = Money(8900)
NO = Declined(DeclineReason.INSUFFICIENT_FUNDS, "X", "안 됩니다.")
SPECS = {
    "all": nice_v2.SPEC,
    "no net-cancel": replace(nice_v2.SPEC, net_cancel_window=None),
    "no query": replace(nice_v2.SPEC, operations=nice_v2.SPEC.operations - {Operation.FIND}),
    "neither": replace(nice_v2.SPEC, operations=nice_v2.SPEC.operations - {Operation.FIND}, net_cancel_window=None),
}
CHARGED = st.sampled_from(["approved", "wrong amount", "declined", "not sent", "unknown", "raises", "dies"])
FOUND = st.sampled_from(["approved", "wrong amount", "emptied", "less", "declined", "not found", "unknown", "raises"])
CANCELS = st.sampled_from(["cancelled", "declined", "not sent", "unknown", "raises", "dies"])
ISSUED = st.sampled_from([*["waiting"] * 6, "waiting wrong", "declined", "not sent", "unknown", "raises", "dies"])
ACCOUNT_FOUND = st.sampled_from(
    ["waiting", "waiting", "waiting wrong", "revoked", "approved", "approved", "wrong amount", "emptied", "less", "declined", "not found",
     "unknown", "raises"]
)  # fmt: skip
REVOKES = st.sampled_from(["revoked", "declined", "not sent", "unknown", "raises", "dies"])


class AnswersAnything:
    """ports.Gateways and ports.Gateway at once: every call's outcome is drawn."""

    def __init__(self, clock, spec, draw):
        self._clock, self.spec_, self._draw = clock, spec, draw

    def spec(self, _provider):
        return self.spec_

    def spec_of(self, _channel):
        return self.spec_

    def specs(self):
        return [self.spec_]

    def open(self, _channel, _credentials):
        return _Gateway(self)

    def charge(self, *_args):
        return self._outcome(CHARGED)

    def find(self, *_args):
        assert Operation.FIND in self.spec_.operations, "asked, though it cannot be"
        return self._outcome(FOUND)

    def cancel(self, asked, _timeout):
        assert asked.gateway_ref or self.spec_.net_cancel_window, "undone, though it cannot be"
        return self._outcome(CANCELS, asked)

    def _outcome(self, kinds, asked=None):
        now = self._clock.now()
        match self._draw(kinds):
            case "approved":
                return Approved("tid", AMOUNT, now, balance=AMOUNT)
            case "wrong amount":
                return Approved("tid", Money(1), now, balance=Money(1))
            case "emptied":
                return Approved("tid", AMOUNT, now, balance=Money(0), cancels=(GatewayCancel("c", AMOUNT, now),))
            case "less":
                return Approved(
                    "tid", AMOUNT, now, balance=Money(5000), cancels=(GatewayCancel("c", Money(3900), now),)
                )
            case "waiting":
                return self._waiting(AMOUNT)
            case "waiting wrong":
                return self._waiting(Money(1))
            case "revoked":
                return Revoked(now)
            case "cancelled":
                return Cancelled(GatewayCancel("c", asked.amount, now))
            case "declined":
                return NO
            case "not sent":
                return NotSent("refused")
            case "not found":
                return NotFound()
            case "raises":
                raise RuntimeError("a bug")
            case "dies":
                raise SystemExit("killed")
        return Unknown("no answer")

    def _waiting(self, amount):
        now = self._clock.now()
        account = VirtualAccount("088", "110123456789", now + timedelta(days=1), now)
        return AwaitingDeposit("tid", amount, account, notice_secret="s")


class IssuesAnything(AnswersAnything):
    """The same for virtual accounts."""

    def charge(self, *_args):
        return self._outcome(ISSUED)

    def find(self, *_args):
        return self._outcome(ACCOUNT_FOUND)

    def revoke(self, *_args):
        return self._outcome(REVOKES)


class _Gateway:
    def __init__(self, of):
        self.spec = of.spec_
        self.find_charge, self.cancel = of.find, of.cancel
        self.charge_card = self.issue_virtual_account = of.charge
        self.revoke_virtual_account = getattr(of, "revoke", None)

    def read_deposit_notice(self, fields):
        return DepositNotice(fields["order_id"], "s")


def payments(world):
    return [from_item(Payment, item) for (_, sk), item in world.store.items.items() if sk == "payment"]


def check_that_nothing_is_stuck(world):
    listed = {p.imp_uid for p in world.store.alarms(Payment, world.merchant_id).items}
    for payment in payments(world):
        ended = payment.state in (State.PAID, State.FAILED, State.REVOKED) and not payment.is_open_question
        assert ended or payment.due_at or payment.imp_uid in listed, payment
        assert (payment.alarm is not None) == (payment.imp_uid in listed)


def check_what_never_happens(before, world):
    was = {p.imp_uid: p for p in before}
    for payment in payments(world):
        if (earlier := was.get(payment.imp_uid)) is None:
            continue
        if earlier.state is State.UNDOING:
            assert payment.state in (State.UNDOING, State.FAILED), payment
        ended = (State.FAILED, State.REVOKED) if payment.account else (State.PAID, State.FAILED)
        if earlier.state in ended:  # a deposit may be taken back, a paid account waits again then
            assert payment.state is earlier.state, payment


STEPS = ("charge", "cancel", "wait", "check", "paid", "failed", "cancel done", "cancel failed", "acknowledge", "die")
ACCOUNT_STEPS = ("issue", "revoke", "revoke", "revoke", "notice", "notice", "notice", *STEPS[1:])


def step(world, name, draw, number):
    found = payments(world)
    chosen = draw(st.sampled_from(found)) if found else None
    if name == "wait":
        world.clock.advance(seconds=draw(st.sampled_from([5, 60, 600, 3000, 3600, 25 * 3600])))
        world.sweep()
        world.run_queue()
    elif name == "charge":
        charges.charge_card(world.deps, world.merchant_id, request(f"order-{number}"), CARD, Target())
    elif name == "issue":
        account = VirtualAccountRequest("088", world.clock.now() + timedelta(days=1))
        wanted = virtual_accounts.Issue(request(f"order-{number}"), account, Target())
        virtual_accounts.issue(world.deps, world.merchant_id, wanted)
    elif chosen is None:
        return
    elif name == "cancel":
        refund_to = RefundAccount("h", "088", "110123456789") if chosen.account else None
        cancels.cancel(world.deps, world.merchant_id, cancels.Cancel(imp_uid=chosen.imp_uid, refund_to=refund_to))
    elif name == "revoke":
        virtual_accounts.revoke(world.deps, world.merchant_id, chosen.imp_uid)
    elif name == "notice":
        fields = {"order_id": chosen.attempt.order_id}
        virtual_accounts.deposit_notice(world.deps, world.merchant_id, chosen.attempt.channel_key, fields)
    elif name == "check":
        by_hand.check(world.deps, world.merchant_id, chosen.imp_uid)
    elif name in ("paid", "failed"):
        by_hand.settle(world.deps, world.admin, chosen.imp_uid, Settlement(name, "x", pg_tid="tid"))
    elif name.startswith("cancel ") and chosen.cancels:
        wanted = CancelSettlement(name.removeprefix("cancel "), "x")
        by_hand.settle_cancel(world.deps, world.admin, chosen.imp_uid, chosen.cancels[-1].cancel_id, wanted)
    elif name == "acknowledge":
        by_hand.acknowledge(world.deps, world.admin, chosen.imp_uid, "x")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), spec=st.sampled_from(sorted(SPECS)))
def test_no_payment_is_left_that_nobody_will_look_at(data, spec):
    world = World({})
    world.group([(world.channel("nice_v2"), 100)], failover="off")
    world.deps = replace(world.deps, gateways=AnswersAnything(world.clock, SPECS[spec], data.draw))
    live_through(world, STEPS, data)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nor_a_virtual_account(data):
    world = World({})
    world.group([(world.channel("tosspayments"), 100)], failover="off")
    world.deps = replace(world.deps, gateways=IssuesAnything(world.clock, tosspayments.SPEC, data.draw))
    live_through(world, ACCOUNT_STEPS, data)


def live_through(world, steps, data):
    alive = world.deps
    following = data.draw(st.lists(st.sampled_from(steps), max_size=12))
    for number, name in enumerate([steps[0], *following]):
        before = payments(world)
        if name == "die":  # in the next step, right after one of its writes
            world.deps = replace(alive, store=Dying(world.store, data.draw(st.integers(1, 3))))
            continue
        try:
            step(world, name, data.draw, number)
        except (RouterError, Conflict, SystemExit):
            pass
        finally:
            world.deps = alive
        check_that_nothing_is_stuck(world)
        check_what_never_happens(before, world)


def test_what_is_left_to_a_gateway_that_answers_ends_by_itself():
    """Not only looked at: brought to an end."""
    for spec in SPECS.values():
        for charged in ("unknown", "raises", "wrong amount", "dies"):
            world = World({})
            world.group([(world.channel("nice_v2"), 100)], failover="off")
            answers = iter([charged])
            drawn = {CHARGED: lambda it=answers: next(it), FOUND: lambda: "not found", CANCELS: lambda: "cancelled"}
            gateways = AnswersAnything(world.clock, spec, lambda kinds, drawn=drawn: drawn[kinds]())
            world.deps = replace(world.deps, gateways=gateways)
            try:
                charges.charge_card(world.deps, world.merchant_id, request(), CARD, Target())
            except SystemExit:
                world.clock.advance(minutes=2)
            world.run_to_quiet(hours=60)
            [payment] = payments(world)
            by_person = spec is SPECS["neither"]
            assert (payment.state is State.FAILED) != by_person, (charged, payment)
            assert (payment.alarm is not None) == by_person
