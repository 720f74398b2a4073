"""What is put through every fault: each flow prepares a service, and returns the act that the faults are tried on.

    @flow()
    def cancel_part(s):
        pay(s)
        return lambda: s.post("/payments/cancel", merchant_uid="o1", amount=3000)

Everything from the act to the moment when nothing is left to do is on the tape: the call, the workers, the minute rule.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from chalicelib.domain.charging import Operation
from tests.chaos.faults import FAULTS, Fault, Kind, Tape
from tests.chaos.service import Service
from tests.support.api import CARD, STOLEN

Act = Callable[[], object]
TOSS, NICE = GATEWAYS = ("tosspayments", "nice_v2")
BOOKING = "/subscribe/payments/schedule"
CHARGED = {TOSS: "tosspayments.charge_card", NICE: "nice_v2.charge"}
KEY_CHARGED = {TOSS: "tosspayments.charge_billing_key", NICE: "nice_v2.charge"}
REFUND = {"refund_holder": "홍길동", "refund_bank": "088", "refund_account": "110-123-456789"}
PHONE = "010-9876-1234"


@dataclass(frozen=True, slots=True)
class Flow:
    """given: what is broken in any case, by a call's name. repeats: the merchant may send the act's call once more.

    gateways: whose simulators it needs. faults: what is tried at its calls. most: at how many calls of one name.
    ends: what the merchant's payments are in the end if nothing else breaks; None: that is not compared.
    """

    name: str
    prepare: Callable[[Service], Act]
    given: Mapping[str, Fault] = field(default_factory=dict)
    repeats: bool = True
    gateways: Sequence[str] = GATEWAYS
    faults: Mapping[Kind, Sequence[Fault]] = field(default_factory=lambda: FAULTS)
    most: int = 1_000_000
    ends: frozenset[tuple[str, ...]] | None = None


FLOWS: list[Flow] = []


def flow(
    at: Sequence[str] = (), given: Callable[[str], Mapping[str, Fault]] = lambda _: {}, repeats: bool = True
) -> Callable[[Callable[..., Act]], Callable[..., Act]]:
    """at: gateways to run it at, one after the other; the function gets the name."""

    def register(prepare: Callable[..., Act]) -> Callable[..., Act]:
        name = prepare.__name__
        FLOWS.extend(Flow(f"{name}-{g}", partial(prepare, gateway=g), given(g), repeats) for g in at)
        if not at:
            FLOWS.append(Flow(name, prepare, given(""), repeats))
        return prepare

    return register


# --- words that flows are made of ---------------------------------------------------------------------------------


def ok(body: dict[str, Any]) -> Any:
    assert body["code"] == 0, body
    return body["response"]


def onetime(s: Service, gateway: str = TOSS, **more: Any) -> dict[str, Any]:
    fields = {"merchant_uid": "o1", "amount": 8900, "name": "n", "channel_key": s.channel(gateway), **CARD, **more}
    return s.post("/subscribe/payments/onetime", **fields)


def pay(s: Service, gateway: str = TOSS, **more: Any) -> dict[str, Any]:
    """A paid payment, of which the merchant has been told."""
    paid = ok(onetime(s, gateway, **more))
    s.quiet()
    return paid


def issue(s: Service, card: Mapping[str, str] = CARD, **more: Any) -> dict[str, Any]:
    return s.post("/subscribe/customers/c1", **card, **more)


def again(s: Service, **more: Any) -> dict[str, Any]:
    return s.post("/subscribe/payments/again", customer_uid="c1", merchant_uid="o1", amount=8900, name="n", **more)


def book(s: Service, n: int = 1, **more: Any) -> dict[str, Any]:
    at = s.in_future(minutes=30)
    entries = [{"merchant_uid": f"m{i}", "schedule_at": at, "amount": 8900, "name": "n"} for i in range(n)]
    return s.post(BOOKING, customer_uid="c1", schedules=entries, **more)


def booked(s: Service, card: Mapping[str, str] = CARD, **more: Any) -> None:
    """One payment, reserved for half an hour later."""
    ok(issue(s, card))
    ok(book(s, **more))


def account(s: Service) -> dict[str, Any]:
    return s.post(
        "/vbanks", merchant_uid="o1", amount=8900, name="n", buyer_name="홍길동", vbank_code="088",
        vbank_due=s.in_future(days=2), vbank_holder="h",
    )  # fmt: skip


def opened(s: Service) -> dict[str, Any]:
    """A virtual account, of which the merchant has been told."""
    issued = ok(account(s))
    s.deliver()
    return issued


def deposit(s: Service, issued: dict[str, Any]) -> dict[str, Any]:
    """The buyer pays in. Returns the notice that the gateway sends."""
    return s.world.sandboxes[TOSS].deposit(f"{issued['imp_uid'].replace('_', '')}a1")


def notify(s: Service, notice: dict[str, Any]) -> dict[str, Any]:
    return s.post(f"/notices/{s.world.merchant_id}/{s.channel(TOSS)}", **notice)


def unanswered(gateway: str) -> Mapping[str, Fault]:
    return {CHARGED[gateway]: Fault.ANSWER_LOST}


# --- keys ---------------------------------------------------------------------------------------------------------


@flow()
def issue_super_key(s: Service) -> Act:
    return lambda: issue(s)


@flow(at=GATEWAYS)
def issue_ordinary_key(s: Service, gateway: str) -> Act:
    return lambda: issue(s, channel_key=s.channel(gateway))


@flow()
def issue_over_a_key(s: Service) -> Act:
    ok(issue(s))
    return lambda: issue(s)


@flow()
def delete_key(s: Service) -> Act:
    ok(issue(s))
    return lambda: s.call("delete", "/subscribe/customers/c1")


# --- charges ------------------------------------------------------------------------------------------------------


@flow(at=GATEWAYS)
def charge_card(s: Service, gateway: str) -> Act:
    return lambda: onetime(s, gateway)


@flow(at=GATEWAYS)
def charge_card_declined(s: Service, gateway: str) -> Act:
    return lambda: onetime(s, gateway, **STOLEN)


@flow()
def charge_card_and_keep_a_key(s: Service) -> Act:
    return lambda: onetime(s, customer_uid="c1")


@flow(at=GATEWAYS)
def charge_key(s: Service, gateway: str) -> Act:
    ok(issue(s))
    return lambda: again(s, channel_key=s.channel(gateway))


@flow(given=lambda _: {KEY_CHARGED[TOSS]: Fault.NOT_SENT})
def charge_key_failing_over_unsent(s: Service) -> Act:
    ok(issue(s))
    return lambda: again(s)


@flow()
def charge_key_failing_over_declined(s: Service) -> Act:
    ok(issue(s))
    s.world.group([(s.channel(TOSS), 100), (s.channel(NICE), 0)], name="other", failover="declined")
    ok(issue(s))
    s.world.sandboxes[TOSS].fail("charge", "decline", code="REJECT_CARD_COMPANY")
    return lambda: again(s)


# --- settlement: what became of a charge --------------------------------------------------------------------------


@flow(at=GATEWAYS, given=unanswered)
def settle_a_charge_without_an_answer(s: Service, gateway: str) -> Act:
    return lambda: onetime(s, gateway)


@flow(at=GATEWAYS, given=lambda gateway: {CHARGED[gateway]: Fault.DIES_AFTER})
def settle_a_charge_of_a_dead_process(s: Service, gateway: str) -> Act:
    return lambda: onetime(s, gateway)


@flow(at=GATEWAYS, given=lambda gateway: {CHARGED[gateway]: Fault.TIMEOUT})
def settle_a_charge_that_did_not_happen(s: Service, gateway: str) -> Act:
    return lambda: onetime(s, gateway)


@flow(at=GATEWAYS, given=lambda gateway: {CHARGED[gateway]: Fault.LATE})
def settle_a_charge_that_comes_late(s: Service, gateway: str) -> Act:
    return lambda: onetime(s, gateway)


@flow(at=GATEWAYS, given=lambda gateway: {CHARGED[gateway]: Fault.VERY_LATE})
def void_a_charge_that_comes_too_late(s: Service, gateway: str) -> Act:
    return lambda: onetime(s, gateway)


@flow(at=GATEWAYS)
def void_a_wrong_amount(s: Service, gateway: str) -> Act:
    s.world.sandboxes[gateway].fail("charge", "wrong_amount")
    return lambda: onetime(s, gateway)


@flow(given=lambda _: unanswered(NICE))
def undo_a_charge_that_nobody_can_tell_about(s: Service) -> Act:
    """Net-cancel: the gateway answers no question until the time in which it can be undone is nearly over."""
    s.world.sandboxes[NICE].fail("find", "http_500", times=10)
    return lambda: onetime(s, NICE)


@flow(given=lambda _: {CHARGED[NICE]: Fault.TIMEOUT})
def undo_a_charge_that_did_not_happen(s: Service) -> Act:
    s.world.sandboxes[NICE].fail("find", "http_500", times=10)
    return lambda: onetime(s, NICE)


@flow()
def settle_by_hand(s: Service) -> Act:
    """The gateway can neither be asked nor undo it: a person finds out, and says so."""
    s.missing = (Operation.FIND,)
    s.world.sandboxes[TOSS].fail("charge", "reply_lost")
    s.use(s.tape)
    imp_uid = ok(onetime(s))["imp_uid"]
    s.quiet()
    [row] = s.world.sandboxes[TOSS].transactions()
    fields = {"outcome": "paid", "pg_tid": row["pg_tid"], "reason": "seen at the gateway"}
    return lambda: s.post(f"/admin/payments/{imp_uid}/settle", **fields)


@flow(repeats=False)
def probe_a_channel_that_is_down(s: Service) -> Act:
    for n in range(3):
        s.use(Tape({}, {CHARGED[TOSS]: Fault.NOT_SENT}))
        onetime(s, merchant_uid=f"o{n}")
    return s.quiet


# --- reserved payments --------------------------------------------------------------------------------------------


@flow()
def book_one(s: Service) -> Act:
    ok(issue(s))
    return lambda: book(s)


@flow()
def book_in_three_transactions(s: Service) -> Act:
    ok(issue(s))
    return lambda: book(s, 5)


@flow()
def book_with_a_new_key_and_a_check(s: Service) -> Act:
    return lambda: book(s, checking_amount=1000, **CARD)


@flow(given=lambda _: {"tosspayments.cancel": Fault.ERROR_500})
def book_with_a_check_that_is_not_voided_at_once(s: Service) -> Act:
    ok(issue(s))
    return lambda: book(s, checking_amount=1000)


@flow(repeats=False)
def dispatch(s: Service) -> Act:
    booked(s)
    return s.quiet


@flow(repeats=False)
def dispatch_declined(s: Service) -> Act:
    booked(s, STOLEN)
    return s.quiet


@flow(repeats=False, given=lambda _: {KEY_CHARGED[TOSS]: Fault.ANSWER_LOST})
def dispatch_without_an_answer(s: Service) -> Act:
    booked(s)
    return s.quiet


@flow(repeats=False, given=lambda _: {KEY_CHARGED[TOSS]: Fault.DIES_BEFORE})
def dispatch_by_a_worker_that_dies(s: Service) -> Act:
    booked(s)
    return s.quiet


@flow(repeats=False)
def dispatch_without_a_key(s: Service) -> Act:
    booked(s)
    s.call("delete", "/subscribe/customers/c1")
    return s.quiet


@flow()
def move(s: Service) -> Act:
    booked(s)
    to = s.in_future(hours=2)
    return lambda: s.call("put", f"{BOOKING}/m0", schedule_at=to)


@flow()
def unschedule(s: Service) -> Act:
    booked(s)
    return lambda: s.post("/subscribe/payments/unschedule", customer_uid="c1")


@flow()
def unschedule_five(s: Service) -> Act:
    ok(issue(s))
    ok(book(s, 5))
    return lambda: s.post("/subscribe/payments/unschedule", customer_uid="c1", merchant_uid=[f"m{i}" for i in range(5)])


@flow()
def retry(s: Service) -> Act:
    booked(s)
    s.world.sandboxes[TOSS].fail("charge", "decline")
    s.quiet()
    return lambda: s.post(f"{BOOKING}/m0/retry")


@flow()
def reschedule(s: Service) -> Act:
    booked(s)
    ok(s.post("/subscribe/payments/unschedule", customer_uid="c1"))
    to = s.in_future(hours=2)
    return lambda: s.post(f"{BOOKING}/m0/reschedule", schedule_at=to)


# --- cancels ------------------------------------------------------------------------------------------------------


@flow(at=GATEWAYS)
def cancel_all(s: Service, gateway: str) -> Act:
    pay(s, gateway)
    return lambda: s.post("/payments/cancel", merchant_uid="o1")


@flow(at=GATEWAYS)
def cancel_part(s: Service, gateway: str) -> Act:
    pay(s, gateway)
    return lambda: s.post("/payments/cancel", merchant_uid="o1", amount=3000)


@flow(at=GATEWAYS)
def cancel_the_rest_and_be_told(s: Service, gateway: str) -> Act:
    pay(s, gateway)
    ok(s.post("/payments/cancel", merchant_uid="o1", amount=3000))
    return lambda: s.post("/payments/cancel", merchant_uid="o1", amount=5900, enable_webhook=True)


@flow(at=GATEWAYS, given=lambda gateway: {f"{gateway}.cancel": Fault.ANSWER_LOST})
def settle_a_cancel_without_an_answer(s: Service, gateway: str) -> Act:
    pay(s, gateway)
    return lambda: s.post("/payments/cancel", merchant_uid="o1", amount=3000)


@flow(at=GATEWAYS, given=lambda gateway: {f"{gateway}.cancel": Fault.ERROR_500})
def settle_a_cancel_that_did_not_happen(s: Service, gateway: str) -> Act:
    pay(s, gateway)
    return lambda: s.post("/payments/cancel", merchant_uid="o1", amount=3000)


@flow()
def cancel_a_reserved_payment(s: Service) -> Act:
    booked(s)
    s.quiet()
    return lambda: s.post("/payments/cancel", merchant_uid="m0")


# --- virtual accounts ---------------------------------------------------------------------------------------------


@flow()
def open_account(s: Service) -> Act:
    return lambda: account(s)


@flow()
def deposit_with_a_notice(s: Service) -> Act:
    notice = deposit(s, opened(s))
    return lambda: notify(s, notice)


@flow(repeats=False)
def deposit_without_a_notice(s: Service) -> Act:
    deposit(s, opened(s))
    return s.quiet


@flow()
def revoke_account(s: Service) -> Act:
    imp_uid = opened(s)["imp_uid"]
    return lambda: s.call("delete", f"/vbanks/{imp_uid}")


@flow(repeats=False)
def account_expires(s: Service) -> Act:
    opened(s)
    return s.quiet


@flow()
def refund_deposit(s: Service) -> Act:
    deposit(s, opened(s))
    s.quiet()
    return lambda: s.post("/payments/cancel", merchant_uid="o1", **REFUND)


# --- cash receipts ------------------------------------------------------------------------------------------------


@flow(at=GATEWAYS)
def issue_external_receipt(s: Service, gateway: str) -> Act:
    return lambda: s.post(
        "/receipts/external/x1", channel_key=s.channel(gateway), name="n", amount=5500, identifier=PHONE
    )


@flow(at=GATEWAYS)
def cancel_external_receipt(s: Service, gateway: str) -> Act:
    ok(s.post("/receipts/external/x1", channel_key=s.channel(gateway), name="n", amount=5500, identifier=PHONE))
    return lambda: s.call("delete", "/receipts/external/x1")


@flow()
def issue_receipt(s: Service) -> Act:
    issued = opened(s)
    deposit(s, issued)
    s.quiet()
    return lambda: s.post(f"/receipts/{issued['imp_uid']}", identifier=PHONE)


# --- webhooks and the minute rule ---------------------------------------------------------------------------------


@flow(repeats=False)
def deliver_webhook(s: Service) -> Act:
    ok(onetime(s))
    return s.quiet


@flow(repeats=False)
def receiver_is_down(s: Service) -> Act:
    ok(onetime(s))
    s.world.sender.replies = [(False, "HTTP 503")] * 3
    return s.quiet


@flow(repeats=False)
def receiver_is_slow(s: Service) -> Act:
    """Its webhooks change to the slow lane."""
    post = s.world.sender.post

    def post_slowly(*args: Any) -> Any:
        s.clock.advance(seconds=8)
        return post(*args)

    s.world.sender.post = post_slowly
    for n in range(3):
        ok(onetime(s, merchant_uid=f"o{n}"))
    return s.quiet


@flow()
def resend_webhook(s: Service) -> Act:
    s.world.sender.replies = [(False, "HTTP 503")] * 9
    imp_uid = pay(s)["imp_uid"]
    [sent] = s.call("get", f"/admin/payments/{imp_uid}/webhooks").body
    return lambda: s.post(f"/admin/webhooks/{sent['webhook_id']}/resend")


@flow(repeats=False)
def sweep(s: Service) -> Act:
    """Several things due whose messages were all lost."""
    ok(issue(s))
    ok(book(s, 3))
    ok(onetime(s))
    s.world.queue.tasks.clear()
    return lambda: s.sweep(range(16))
