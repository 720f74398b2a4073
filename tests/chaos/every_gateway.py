"""Flows for every gateway that is registered, made from what it declares. Who adds a gateway adds nothing here.

Toss and NICE have their own, deeper ones in `flows`. The others share the service with those two, and the faults of its
table, queues and webhooks are tried there: so here a process only dies at these calls, while the calls to the gateway,
which are what differs, break in every way.

    @everywhere(Operation.CHARGE_CARD)
    def charge_card(at: Place) -> Act:
        return at.charge
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from chalicelib.domain.charging import Buyer, CardSummary, Operation
from chalicelib.domain.groups import ChannelGroup
from chalicelib.domain.keys import BillingKey, ChannelKey
from chalicelib.domain.specs import GatewaySpec
from chalicelib.gateways.registry import ADAPTERS
from chalicelib.usecases.vault import seal_key
from infra.sandbox.paypal_v2 import review
from tests.chaos.faults import FAULTS, Fault, Kind, Tape
from tests.chaos.flows import BOOKING, GATEWAYS, TOSS, Act, Flow, ok
from tests.chaos.person import rest
from tests.chaos.service import Notices, Service
from tests.support import api

THIN: Mapping[Kind, tuple[Fault, ...]] = {
    **FAULTS,
    Kind.READ: (),
    Kind.WRITE: (Fault.DIES_AFTER,),
}
"""A death before a call is one after the call before it, and a reading leaves nothing behind."""
MOST = 3
"""Looks at a payment are all alike: of calls of one name, only the first ones are broken."""
CARD = {**api.CARD, "cvc": "123"}
STOLEN = {**api.STOLEN, "cvc": "123"}
BUYER = {"buyer_name": "Gildong Hong", "buyer_email": "gildong@shop.kr", "buyer_tel": "010-1234-5678"}
ORDER = {"name": "n", "product_type": "real", "browser_ip": "203.0.113.7", **BUYER}
AMOUNT, PART, ANOTHER_PART = 8900, 3000, 2000


# --- gateways, and what their contracts allow ---------------------------------------------------------------------


class Terms(StrEnum):
    WIDEST = "widest"
    """With all options on."""
    NARROW = "narrow"
    """With none: for gateways that can be asked by order id with an option only."""
    PARTS = "parts"
    """With one more for cancels in parts, where the simulator knows such a merchant."""


@dataclass(frozen=True)
class Contract:
    """A gateway, and the credentials that go with such terms."""

    provider: str
    credentials: Mapping[str, str]
    terms: Terms = Terms.WIDEST

    @property
    def name(self) -> str:
        return self.provider if self.terms is Terms.WIDEST else f"{self.provider}_{self.terms}"

    @property
    def declared(self) -> GatewaySpec:
        spec: GatewaySpec = importlib.import_module(ADAPTERS[self.provider]).SPEC
        return spec

    @property
    def spec(self) -> GatewaySpec:
        return self.declared.under(self.declared.options(self.credentials))

    @property
    def currency(self) -> str:
        return "KRW" if "KRW" in self.spec.currencies else "USD"

    def can(self, *operations: Operation) -> bool:
        return set(operations) <= self.spec.operations

    @property
    def charges(self) -> bool:
        return self.can(Operation.CHARGE_CARD) or self.can(Operation.CHARGE_BILLING_KEY)


def contracts() -> Iterator[Contract]:
    for provider in ADAPTERS:
        if provider in GATEWAYS:
            continue
        simulator = importlib.import_module(f"infra.sandbox.{provider}")
        widest = Contract(provider, simulator.TEST_CREDENTIALS)
        yield widest
        options = widest.declared.options(widest.credentials)
        bare = {name: value for name, value in widest.credentials.items() if name not in options}
        narrow = Contract(provider, bare, Terms.NARROW)
        if widest.can(Operation.FIND) and not narrow.can(Operation.FIND):
            yield narrow
        if parts := getattr(simulator, "PARTS_CREDENTIALS", None):
            yield Contract(provider, parts, Terms.PARTS)


@dataclass(frozen=True)
class Place:
    """A service with a channel under one contract, and what merchants do there.

    Charges may go elsewhere: to Toss, or where the currency is not for Toss, to another channel of the same gateway.
    """

    s: Service
    contract: Contract
    group: ChannelGroup
    way: Operation
    """How money is taken."""

    @property
    def box(self) -> Any:
        return self.s.world.sandboxes[self.contract.provider]

    @property
    def channel(self) -> str:
        return self.s.channel(self.contract.provider)

    @property
    def simulator(self) -> Any:
        return importlib.import_module(f"infra.sandbox.{self.contract.provider}")

    @property
    def order(self) -> dict[str, Any]:
        return {"amount": AMOUNT, "currency": self.contract.currency, **ORDER}

    def charge(self, merchant_uid: str = "o1", **more: Any) -> dict[str, Any]:
        fields = {"merchant_uid": merchant_uid, **self.order, **more}
        if self.way is Operation.CHARGE_CARD:
            return self.s.post("/subscribe/payments/onetime", **{**CARD, **fields})
        return self.s.post("/subscribe/payments/again", customer_uid="c1", **fields)

    def pay(self) -> dict[str, Any]:
        """A paid payment, of which the merchant has been told."""
        paid = ok(self.charge())
        assert paid["status"] == "paid", paid
        self.s.quiet()
        self.s.log_in()  # that may have been days
        return paid

    def issue(self) -> dict[str, Any]:
        customer = {name.replace("buyer", "customer"): value for name, value in BUYER.items()}
        return self.s.post("/subscribe/customers/c1", **CARD, **customer)

    def cancel(self, amount: int | None = None) -> dict[str, Any]:
        return self.s.post("/payments/cancel", merchant_uid="o1", **({"amount": amount} if amount else {}))

    def book(self, **more: Any) -> dict[str, Any]:
        entry = {"merchant_uid": "m0", "schedule_at": self.s.in_future(minutes=30), **self.order}
        return self.s.post(BOOKING, customer_uid="c1", schedules=[entry], **more)

    def give_key(self) -> None:
        """A key, got the way it is got at this gateway."""
        if self.contract.can(Operation.ISSUE_BILLING_KEY):
            ok(self.issue())
        elif hasattr(self.simulator, "window_key"):
            number = CARD["card_number"].replace("-", "")
            self._store(self.simulator.window_key(self.box, number, self.contract.credentials))
        else:
            ok(replace(self, way=Operation.CHARGE_CARD).charge("first", customer_uid="c1"))

    def _store(self, secret: Mapping[str, str]) -> None:
        """As a buyer's key from a gateway's window gets here."""
        world, channel = self.s.world, self.channel
        routing, now = self.s.routing(), self.s.clock.now()
        sealed = seal_key(world.deps, routing, "c1", channel, secret)
        held = ChannelKey(channel, self.contract.provider, "mid", sealed, CardSummary(), now, now)
        buyer = Buyer(BUYER["buyer_name"], BUYER["buyer_email"], BUYER["buyer_tel"])
        key = BillingKey(
            world.merchant_id,
            "c1",
            self.group.environment,
            {channel: held},
            now,
            now,
            self.group.group_id,
            customer=buyer,
        )
        world.store.commit(key)


def _open(s: Service, contract: Contract, way: Operation) -> Place:
    world, provider = s.world, contract.provider
    here = world.channel(provider, credentials=contract.credentials)
    elsewhere = s.channel(TOSS)
    if contract.currency != "KRW":
        other = importlib.import_module(f"infra.sandbox.{provider}").OTHER_CREDENTIALS
        elsewhere = world.channel(provider, f"{provider}2", credentials=other)
    group = world.group([(here, 100), (elsewhere, 0)], name="here", failover="declined")
    return Place(s, contract, group, way)


# --- registering --------------------------------------------------------------------------------------------------

EVERY: list[Flow] = []
Prepare = Callable[[Place], Act]
Where = Callable[[Contract], object]


def everywhere(
    *needs: Operation,
    where: Where = lambda contract: contract.terms is Terms.WIDEST,
    way: Operation | None = None,
    given: Mapping[str, Fault] | None = None,
    repeats: bool = False,
    ends: str = "paid",
) -> Callable[[Prepare], Prepare]:
    """needs: operations without which there is no such flow. where: at which contracts, if not at the widest.

    given: by the simulator's operation. ends: statuses of its payments (of a cancelled one with what is
    left of it), in each of the ways it may end.
    """

    def register(prepare: Prepare) -> Prepare:
        for contract in contracts():
            if not (contract.charges and contract.can(*needs) and where(contract)):
                continue
            used = way or (
                Operation.CHARGE_CARD if contract.can(Operation.CHARGE_CARD) else Operation.CHARGE_BILLING_KEY
            )
            EVERY.append(
                Flow(
                    f"{prepare.__name__}-{contract.name}",
                    partial(prepared, prepare, contract, used),
                    {f"{contract.provider}.{does}": fault for does, fault in (given or {}).items()},
                    repeats,
                    (*GATEWAYS, contract.provider),
                    THIN,
                    MOST,
                    frozenset(tuple(end.split()) for end in ends.split("|")),
                )
            )
        return prepare

    return register


def prepared(prepare: Prepare, contract: Contract, way: Operation, s: Service) -> Act:
    place = _open(s, contract, way)
    if way is Operation.CHARGE_BILLING_KEY:
        place.give_key()
    return prepare(place)


def cannot_be_asked(contract: Contract) -> bool:
    return contract.terms is not Terms.PARTS and not contract.can(Operation.FIND)


def not_for_parts(contract: Contract) -> bool:
    return contract.terms is not Terms.PARTS


def in_parts(contract: Contract) -> bool:
    return contract.terms is not Terms.NARROW


# --- charges ------------------------------------------------------------------------------------------------------


@everywhere(repeats=True)
def charge(at: Place) -> Act:
    return at.charge


@everywhere(Operation.CHARGE_CARD, Operation.CHARGE_BILLING_KEY, way=Operation.CHARGE_BILLING_KEY)
def charge_key(at: Place) -> Act:
    return at.charge


@everywhere(Operation.CHARGE_CARD, ends="failed")
def charge_declined(at: Place) -> Act:
    """And so made elsewhere, where it is declined, too."""
    return lambda: at.charge(**STOLEN)


@everywhere(where=not_for_parts, given={"charge": Fault.ANSWER_LOST}, ends="paid|failed")
def settle_a_lost_charge(at: Place) -> Act:
    return at.charge


@everywhere(given={"charge": Fault.TIMEOUT}, ends="failed")
def settle_a_charge_that_did_not_happen(at: Place) -> Act:
    return at.charge


@everywhere(ends="failed")
def void_a_wrong_amount(at: Place) -> Act:
    at.box.fail("charge", "wrong_amount")
    return at.charge


@everywhere(where=cannot_be_asked, ends="cancelled|failed")
def cancel_what_a_person_found(at: Place) -> Act:
    """With the number that the person has read in the gateway's books."""
    at.s.use(Tape({}, {f"{at.contract.provider}.charge": Fault.ANSWER_LOST}))
    at.charge()
    rest(at.s)
    at.s.log_in()
    return at.cancel


def forgets(contract: Contract) -> bool:
    """It knows our order id for a while only."""
    return contract.can(Operation.FIND) and contract.spec.find_window is not None


@everywhere(where=forgets, given={"charge": Fault.ANSWER_LOST})
def settle_a_charge_that_it_has_forgotten(at: Place) -> Act:
    """It answers nothing for so long: that is a look an hour, and some more in the first one."""
    assert at.contract.spec.find_window
    at.box.fail("find", "http_500", times=12 + at.contract.spec.find_window // timedelta(hours=1))
    return at.charge


# --- keys, and reserved payments ----------------------------------------------------------------------------------


@everywhere(Operation.ISSUE_BILLING_KEY, ends="")
def issue_and_delete(at: Place) -> Act:
    return lambda: (at.issue(), at.s.call("delete", "/subscribe/customers/c1"))


@everywhere(Operation.KEY_BY_CHARGE, way=Operation.CHARGE_CARD, ends="paid paid")
def charge_and_keep_a_key_and_charge_it(at: Place) -> Act:
    by_key = replace(at, way=Operation.CHARGE_BILLING_KEY)
    return lambda: (at.charge("first", customer_uid="c1"), by_key.charge(channel_key=at.channel))


@everywhere(Operation.CHARGE_BILLING_KEY, way=Operation.CHARGE_BILLING_KEY, ends="cancelled paid")
def dispatch_after_a_check(at: Place) -> Act:
    """The key is checked by a charge that goes back."""
    return lambda: (at.book(checking_amount=1000), at.s.quiet(days=1))


# --- cancels ------------------------------------------------------------------------------------------------------


@everywhere(Operation.CANCEL, ends="cancelled")
def cancel_all(at: Place) -> Act:
    at.pay()
    return at.cancel


@everywhere(Operation.PARTIAL_CANCEL, where=in_parts, ends="cancelled/3900")
def cancel_another_part(at: Place) -> Act:
    at.pay()
    ok(at.cancel(PART))
    return lambda: at.cancel(ANOTHER_PART)


@everywhere(Operation.CANCEL, where=in_parts, given={"cancel": Fault.ANSWER_LOST}, ends="cancelled")
def settle_a_lost_cancel(at: Place) -> Act:
    at.pay()
    return at.cancel


@everywhere(Operation.PARTIAL_CANCEL, where=in_parts, given={"cancel": Fault.ANSWER_LOST}, ends="cancelled/5900")
def settle_a_lost_part(at: Place) -> Act:
    at.pay()
    return lambda: at.cancel(PART)


@everywhere(Operation.CANCEL, where=forgets, given={"cancel": Fault.ANSWER_LOST}, ends="cancelled")
def settle_a_lost_cancel_of_what_it_has_forgotten(at: Place) -> Act:
    at.pay()
    at.s.clock.advance(days=7)
    at.s.log_in()
    return at.cancel


# --- decided later, and told of it --------------------------------------------------------------------------------


def reviews(contract: Contract) -> bool:
    return contract.provider in REVIEWED and not_for_parts(contract)


def _review_paymentwall(at: Place, *, accepted: bool) -> Act:
    """What the simulator does by itself."""
    return lambda: at.charge(cvc="555" if accepted else "556")


def _review_paypal(at: Place, *, accepted: bool) -> Act:
    return reviewed(at, at.charge, accepted=accepted)


REVIEWED = {"paymentwall": _review_paymentwall, "paypal_v2": _review_paypal}
"""How a simulator is made to look into a charge before it decides."""


def reviewed(at: Place, charge: Act, takes: timedelta = timedelta(hours=3), *, accepted: bool = True) -> Act:
    """At PayPal, whose reviews somebody has to end."""
    at.box.fail("charge", "decline", code="PENDING")

    def end() -> None:
        for found in at.box.simulator.books.charges:
            if found.unpaid:
                review(at.box, found.order_id, None if accepted else "9520")

    def act() -> None:
        at.s.tape.later.append((at.s.clock.now() + takes, end))
        charge()

    return act


@everywhere(where=reviews)
def wait_for_an_acceptance(at: Place) -> Act:
    return REVIEWED[at.contract.provider](at, accepted=True)


@everywhere(where=reviews, ends="failed")
def wait_for_a_rejection(at: Place) -> Act:
    return REVIEWED[at.contract.provider](at, accepted=False)


@everywhere(Operation.FIND, where=reviews, given={"charge": Fault.ANSWER_LOST})
def find_a_review(at: Place) -> Act:
    return REVIEWED[at.contract.provider](at, accepted=True)


def at_paypal(contract: Contract) -> bool:
    return contract.provider == "paypal_v2"


@everywhere(where=at_paypal, way=Operation.CHARGE_BILLING_KEY)
def dispatch_into_a_review(at: Place) -> Act:
    def act() -> None:
        at.book()
        at.s.quiet(days=1)

    return reviewed(at, act)


@everywhere(where=at_paypal, way=Operation.CHARGE_BILLING_KEY, ends="cancelled")
def check_into_a_review(at: Place) -> Act:
    """Nothing is reserved on a card of which nobody knows whether it is good."""
    return reviewed(at, lambda: at.book(checking_amount=1000))


def notifies(contract: Contract) -> bool:
    """And can be asked by its own number only, which a notice tells."""
    return contract.provider == "paymentwall" and contract.terms is Terms.NARROW


def _told(notices: Notices, prepare: Prepare) -> Prepare:
    def told(at: Place) -> Act:
        at.s.notices = notices
        return prepare(at)

    told.__name__ = f"{prepare.__name__}_told_{notices.name.lower()}"
    return told


for _notices in (Notices.SENT, Notices.DOUBLED, Notices.LATE, Notices.LAST):
    _lost = partial(everywhere, where=notifies, given={"charge": Fault.ANSWER_LOST})
    _lost()(_told(_notices, settle_a_lost_charge))
    everywhere(where=notifies)(_told(_notices, wait_for_an_acceptance))
    _lost(ends="failed")(_told(_notices, wait_for_a_rejection))
    everywhere(where=notifies, ends="cancelled")(_told(_notices, cancel_all))
    everywhere(where=notifies, given={"cancel": Fault.ANSWER_LOST}, ends="cancelled")(
        _told(_notices, settle_a_lost_cancel)
    )


@everywhere(where=notifies, way=Operation.CHARGE_BILLING_KEY, given={"charge": Fault.VERY_LATE}, ends="failed")
def give_back_what_a_person_called_failed(at: Place) -> Act:
    """The charge comes when the person has been there, and a notice tells of it."""
    at.s.notices = Notices.SENT

    def act() -> None:
        at.charge()
        at.s.tape.later = [(due + timedelta(days=4), charge) for due, charge in at.s.tape.later]
        at.s.tape.broken.append(Fault.VERY_LATE)  # whatever else it was

    return act
