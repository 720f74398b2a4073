"""Flows in payment windows, at every gateway that has them: a buyer's browser, which reloads, comes back twice, and tries
again; and a process that dies, or a call that breaks, behind each page it asks for.

    @in_windows(PayMethod.CARD, ends="paid")
    def pay_in_a_window(at: Counter) -> Act:
        return at.buy

V1 sends no webhook for a window that came to nothing, so a buyer who left before the result is told nothing. But nobody
may be told "failed" of what is paid, nor "paid" of what is not.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

from chalicelib.domain.windows import PayMethod
from chalicelib.gateways.registry import ADAPTERS
from chalicelib.usecases import merchants
from infra.sandbox.windows import Go
from tests.chaos.every_gateway import AMOUNT, EVERY, MOST, ORDER, THIN
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.flows import FLOWS, GATEWAYS, TOSS, Act, Flow
from tests.chaos.invariants import Books
from tests.chaos.service import Answer, Service
from tests.contract.windows import DRIVERS, Driver
from tests.support.windows import FORM, ORIGIN, json_of


def with_windows() -> list[str]:
    return [name for name in ADAPTERS if importlib.import_module(ADAPTERS[name]).SPEC.windows]


@dataclass(frozen=True)
class Counter:
    """A buyer who pays one order at one gateway. What the browser remembers is the service's to forget between runs."""

    s: Service
    provider: str
    method: PayMethod
    button: str = "approve"
    uid: str = "o1"
    tab: str = "1"
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def memory(self) -> dict[str, Any]:
        memory: dict[str, Any] = self.s.browser.setdefault(self.tab, {})
        return memory

    def buy(self) -> None:
        """Once more, it is a reload; and if nothing came of it, a new window for the same order."""
        if "fields" in self.memory and self.come_back() in ("paid", "ready"):
            return
        if self.open() and self.press():
            self.come_back()

    def open(self) -> bool:
        """`IMP.request_pay`. False: no window."""
        currency = "USD" if self.method is PayMethod.PAYPAL else "KRW"
        asked = {"user_code": self.s.world.merchant_id, "way": "frame", "merchant_uid": self.uid, "amount": AMOUNT,
                 "currency": currency, "pay_method": self.method.value, "channel_key": self.s.channel(self.provider),
                 "vbank_due": self._due(), "digital": True, "customer_id": "member7", **ORDER, **self.more}  # fmt: skip
        headers = {"Content-Type": "application/json", "Origin": ORIGIN}
        page = self.s.browse("POST", "/window/payments", json.dumps(asked).encode(), headers)
        self.memory.clear()
        answer = page.content if page else {}
        if not answer or answer["code"] != 0:
            return False
        self.memory["path"] = "/" + answer["response"]["url"]
        return True

    def _due(self) -> str:
        return f"{self.s.clock.now() + timedelta(days=2):%Y%m%d}"

    def press(self) -> bool:
        """The gateway's window opens in our page, and the buyer presses a button. False: it does not open."""
        page = self.s.browse("GET", self.memory["path"])
        if page is None or page.status != 200:
            return False
        driver, simulator = DRIVERS.get(self.provider, Driver()), self.s.world.sandboxes[self.provider].simulator
        visit = simulator.enter(driver.enter(json_of(page, "window")["params"]))
        step = simulator.press(visit.visit_id, self.button)
        if isinstance(step, Go):
            query = dict(parse_qsl(step.url.partition("?")[2], keep_blank_values=True))
            self.memory["fields"] = query | dict(step.fields or {})
        else:
            self.memory["fields"] = driver.told(step.data)
        return True

    def come_back(self) -> str | None:
        """The status that the page shows in the end."""
        sent = urlencode(self.memory["fields"]).encode()
        self.s.browse("POST", f"{self.memory['path']}/return", sent, {"Content-Type": FORM})
        return self.look()

    def look(self) -> str | None:
        page = self.s.browse("GET", f"{self.memory['path']}/result")
        if page is None or page.status != 200:
            return None
        return self._hear(json_of(page, "result")["result"])

    def close(self) -> str | None:
        """The shop's × button."""
        page = self.s.browse("POST", f"{self.memory['path']}/close", b"", {"Origin": ORIGIN})
        return self._hear(page.content["response"]) if page and page.status == 200 else None

    def _hear(self, told: dict[str, Any]) -> str:
        self.s.answers.append(Answer(200, {"code": 0, "message": None, "response": {**told, "cancel_history": []}}))
        return str(told["status"])

    def charge_by_api(self) -> None:
        """The shop's server takes the same order's money another way."""
        self.s.post("/subscribe/payments/onetime", merchant_uid=self.uid, amount=AMOUNT, name="n",
                    channel_key=self.s.channel(TOSS), card_number="4242424242424242", expiry="2039-12",
                    birth="880101", pwd_2digit="12")  # fmt: skip


Prepare = Callable[[Counter], Act]


def in_windows(
    *methods: PayMethod,
    at: Callable[[str], bool] = lambda _: True,
    given: Mapping[str, Fault] | None = None,
    deep: bool = False,
    most: int = MOST,
    ends: str = "paid",
) -> Callable[[Prepare], Prepare]:
    """methods: the first of them that a gateway has. given, ends: as of `everywhere`. deep: at Toss, with everything that
    can break, and repeated.
    """

    def register(prepare: Prepare) -> Prepare:
        for provider in with_windows():
            offered = importlib.import_module(ADAPTERS[provider]).SPEC.windows.methods
            method = next((method for method in methods if method in offered), None)
            if method is None or not at(provider):
                continue
            flow = Flow(
                f"{prepare.__name__}-{provider}",
                partial(in_a_window, prepare, provider, method),
                {f"{provider}.{does}": fault for does, fault in (given or {}).items()},
                False,
                (*(name for name in GATEWAYS if name != provider), provider),
                THIN,
                most,
                frozenset(tuple(end.split()) for end in ends.split("|")),
            )
            EVERY.append(flow)
            if deep and provider == TOSS:
                FLOWS.append(replace(flow, name=f"{flow.name}-deep", repeats=True, faults=FAULTS, most=1000, ends=None))
        return prepare

    return register


def in_a_window(prepare: Prepare, provider: str, method: PayMethod, s: Service) -> Act:
    world = s.world
    if provider not in world.channels:
        world.channel(provider, credentials=importlib.import_module(f"infra.sandbox.{provider}").TEST_CREDENTIALS)
    known = merchants.settings(world.deps, world.merchant_id)
    merchants.save_settings(world.deps, world.admin, replace(known, test_page_origins=(ORIGIN,)))
    return prepare(Counter(s, provider, method))


CARD_OR_PAYPAL = (PayMethod.CARD, PayMethod.PAYPAL)
UNLIKE_CARDS = (PayMethod.TRANS, PayMethod.PAYPAL)


def toss_and_nice(provider: str) -> bool:
    return provider in GATEWAYS


@in_windows(*CARD_OR_PAYPAL, deep=True)
def pay_in_a_window(at: Counter) -> Act:
    return at.buy


@in_windows(*CARD_OR_PAYPAL, given={"charge": Fault.ANSWER_LOST}, ends="paid|failed")
def settle_a_lost_approval(at: Counter) -> Act:
    return at.buy


@in_windows(PayMethod.CARD, at=toss_and_nice, given={"charge": Fault.TIMEOUT}, most=1, ends="failed")
def settle_an_approval_that_did_not_happen(at: Counter) -> Act:
    return at.buy


@in_windows(PayMethod.CARD, most=1, ends="failed")
def be_declined_in_a_window(at: Counter) -> Act:
    return replace(at, button="approve-no-funds").buy


@in_windows(*CARD_OR_PAYPAL, most=1, ends="failed")
def leave_a_window(at: Counter) -> Act:
    return replace(at, button="cancel").buy


@in_windows(*CARD_OR_PAYPAL, ends="failed")
def void_a_wrong_approval(at: Counter) -> Act:
    at.s.world.sandboxes[at.provider].fail("charge", "wrong_amount")
    return at.buy


@in_windows(*CARD_OR_PAYPAL, at=lambda provider: provider in ("paypal_v2", TOSS), deep=True, ends="failed paid")
def pay_one_order_in_two_tabs(at: Counter) -> Act:
    """The newer one counts; what the older one brings back is too late."""
    second = replace(at, tab="2")

    def act() -> None:
        opened = at.open() and at.press()
        if second.open() and second.press():
            second.come_back()
        if opened:
            at.come_back()

    return act


@in_windows(PayMethod.CARD, at=lambda provider: provider == TOSS, deep=True, ends="failed paid")
def pay_by_api_what_a_window_is_open_for(at: Counter) -> Act:
    def act() -> None:
        opened = at.open() and at.press()
        at.charge_by_api()
        if opened:
            at.come_back()

    return act


@in_windows(PayMethod.CARD, at=lambda provider: provider == TOSS)
def close_too_late(at: Counter) -> Act:
    def act() -> None:
        at.buy()
        if "path" in at.memory:
            at.close()

    return act


@in_windows(*CARD_OR_PAYPAL, most=1, ends="failed")
def never_come_back(at: Counter) -> Act:
    return lambda: at.open() and at.press()


@in_windows(PayMethod.VBANK, most=1, ends="failed")
def open_an_account_in_a_window(at: Counter) -> Act:
    """And pay nothing into it."""
    return at.buy


@in_windows(PayMethod.VBANK, most=2)
def deposit_into_an_account_of_a_window(at: Counter) -> Act:
    """Nobody tells us: the account is asked about."""
    at.buy()
    at.s.deliver()
    [payment] = Books(at.s).payments.values()
    at.s.world.sandboxes[at.provider].deposit(payment.attempt.order_id)
    return at.s.quiet


@in_windows(*UNLIKE_CARDS, most=1, ends="cancelled")
def cancel_what_was_paid_in_a_window(at: Counter) -> Act:
    at.buy()
    at.s.quiet()
    at.s.log_in()
    return lambda: at.s.post("/payments/cancel", merchant_uid="o1")
