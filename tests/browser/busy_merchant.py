"""A merchant with something of everything that the console can show, made by the use cases that make it in service."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import Buyer, IdentifierType, VirtualAccountRequest
from chalicelib.domain.errors import Refused
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.payments import Payment
from chalicelib.domain.windows import PayMethod, Way, WindowTerms
from chalicelib.usecases import (
    accounts,
    admin_tokens,
    billing_keys,
    cash_receipts,
    charges,
    groups,
    rescheduling,
    schedules,
    virtual_accounts,
    windows,
)
from chalicelib.usecases.choosing import Target
from tests.support.console import add_person
from tests.support.recovery import cancel, stored
from tests.support.world import CARD, NO_FUNDS, STOLEN, World, request

GATEWAYS = ("tosspayments", "nice_v2", "welcome", "kcp")
NAMES = dict(zip(GATEWAYS, ("토스 정기결제", "나이스 메인", "웰컴 예비", "KCP 단건"), strict=True))
KST = timezone(timedelta(hours=9))
TOMORROW_AT_NINE = datetime(2026, 11, 24, 9, 0, tzinfo=KST)
COLLEAGUE, INVITED = "min@shop.kr", "new@shop.kr"


@dataclass(frozen=True)
class BusyMerchant:
    """Ids of what is there, for addresses of pages."""

    world: World
    group_id: str
    payments: dict[str, Payment]
    """By what is the matter with them."""
    invitation: str
    """The token in an invitation's link."""
    token_id: str


def make(world: World) -> BusyMerchant:
    """Of simulators of GATEWAYS. The merchant's time goes on for some hours."""
    group_id = _routing(world)
    _people(world)
    in_doubt = {"doubtful": _doubtful(world), "cancel doubtful": _cancel_doubtful(world)}
    _reserved(world)
    payments = _payments(world)
    payments["receipt doubtful"] = _receipt_doubtful(world)
    world.clock.advance(minutes=15)
    _webhook_given_up(world)
    _channel_down(world)
    _reserve_change(world, group_id)
    return BusyMerchant(
        world=world,
        group_id=group_id,
        payments={name: stored(world, payment) for name, payment in {**in_doubt, **payments}.items()},
        invitation=accounts.invite(world.deps, world.admin, INVITED, "박새롬", Role.VIEWER),
        token_id=admin_tokens.create(world.deps, world.admin, "배포 서버")[0].token_id,
    )


# --- what it has set up -------------------------------------------------------------------------------------------


def _routing(world: World) -> str:
    """Two groups, the default one of them in its second version."""
    keys = {provider: world.channel(provider, NAMES[provider]) for provider in GATEWAYS}
    toss, nice, welcome, kcp = keys.values()
    group = world.group([(toss, 100), (welcome, 0)], name="월간 이용권")
    world.clock.advance(minutes=1)
    _save(world, group.group_id, [(toss, 55), (nice, 30), (welcome, 15), (kcp, 0, False)])
    world.group([(kcp, 70), (nice, 30)], name="단건 결제", default=False)
    world.webhook_url("https://shop.example/hook")
    return group.group_id


def _save(world: World, group_id: str, entries, at=None) -> None:
    content = groups.GroupContent("월간 이용권", Failover.UNSENT, tuple(GroupEntry(*entry) for entry in entries), at)
    groups.update(world.deps, world.admin, group_id, content)


def _reserve_change(world: World, group_id: str) -> None:
    toss, nice = world.channels[NAMES["tosspayments"]], world.channels[NAMES["nice_v2"]]
    world.clock.advance(seconds=1)
    _save(world, group_id, [(nice, 60), (toss, 40)], TOMORROW_AT_NINE)


def _people(world: World) -> None:
    add_person(world, Role.OPERATOR, COLLEAGUE)
    accounts.disable(world.deps, world.admin, add_person(world, Role.VIEWER, "gone@shop.kr"))


# --- its payments -------------------------------------------------------------------------------------------------


def pay(world: World, uid: str, card=CARD, amount: int = 8900, provider: str | None = None) -> Payment:
    target = Target(channel_key=world.channels[NAMES[provider]]) if provider else Target()
    return charges.charge_card(world.deps, world.merchant_id, request(uid, amount), card, target)


def _payments(world: World) -> dict[str, Payment]:
    made = {
        "paid": pay(world, "order-paid"),
        "failed": pay(world, "order-failed", STOLEN),
        "partly cancelled": cancel(world, pay(world, "order-part", provider="nice_v2"), amount=Decimal(3000)),
        "cancelled": cancel(world, pay(world, "order-cancelled", provider="tosspayments"), reason="단순 변심"),
        "waiting": _virtual_account(world),
        "window": _window(world),
    }
    pay(world, "order-failed")  # the buyer took another card
    for n in range(6):
        pay(world, f"order-{n}", NO_FUNDS if n % 3 == 0 else CARD, 12_000 + n)
    return made


def _doubtful(world: World) -> Payment:
    """Nobody knows what came of it: its gateway cannot be asked, and everything that could be tried has been."""
    world.sandboxes["welcome"].fail("charge", "reply_lost")
    payment = pay(world, "order-doubt", provider="welcome")
    world.run_to_quiet()
    return payment


def _cancel_doubtful(world: World) -> Payment:
    payment = pay(world, "order-cancel-doubt", provider="welcome")
    world.sandboxes["welcome"].fail("cancel", "reply_lost", times=50)
    cancel(world, payment, amount=Decimal(1000))
    world.run_to_quiet()
    world.sandboxes["welcome"].clear_faults()
    return payment


def _virtual_account(world: World) -> Payment:
    account = VirtualAccountRequest(bank_code="088", due_at=world.clock.now() + timedelta(days=3))
    target = Target(channel_key=world.channels[NAMES["tosspayments"]])
    wanted = virtual_accounts.Issue(request("order-account"), account, target)
    return virtual_accounts.issue(world.deps, world.merchant_id, wanted)


def _window(world: World) -> Payment:
    terms = WindowTerms(PayMethod.CARD, Way.FRAME, "http://localhost:3000", "")
    wanted = windows.Wanted(request("order-window"), terms, Target())
    return windows.open_window(world.deps, world.merchant_id, wanted)[0]


def _receipt_doubtful(world: World) -> Payment:
    payment = pay(world, "order-cash", amount=11_000, provider="nice_v2")
    world.store.commit(replace(payment, pay_method="trans"))
    world.sandboxes["nice_v2"].fail("receipt", "reply_lost")
    wanted = cash_receipts.Wanted(identifier="01098761234", identifier_type=IdentifierType.PHONE)
    with pytest.raises(Refused):
        cash_receipts.issue_for_payment(world.deps, world.merchant_id, payment.imp_uid, wanted)
    return payment


def _webhook_given_up(world: World) -> None:
    world.run_queue()
    pay(world, "order-webhook", provider="tosspayments")
    world.sender.replies = [(False, "HTTP 410", True)]
    world.run_queue()


def _channel_down(world: World) -> None:
    world.sandboxes["kcp"].fail("charge", "refuse", times=3)
    for n in range(3):
        pay(world, f"order-down-{n}", provider="kcp")


# --- what it has reserved -----------------------------------------------------------------------------------------


def _reserved(world: World) -> None:
    """One schedule in each state."""
    for uid, card in (("customer-1", CARD), ("customer-2", NO_FUNDS)):
        customer = Buyer("홍길동", "gildong@gmail.com", "010-1234-5678")
        billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(uid, card, Target(), customer=customer))
    soon = world.clock.now() + timedelta(minutes=5)
    book(world, "customer-1", "monthly-paid", soon)
    book(world, "customer-2", "monthly-failed", soon)
    world.clock.advance(minutes=5)
    world.sweep()
    world.run_queue()
    for n in range(4):
        book(world, "customer-1", f"monthly-{n}", TOMORROW_AT_NINE + timedelta(days=n // 2, minutes=n))
    book(world, "customer-1", "monthly-revoked", TOMORROW_AT_NINE)
    schedules.revoke(world.deps, world.merchant_id, "customer-1", ["monthly-revoked"])
    rescheduling.move(world.deps, world.merchant_id, "monthly-3", TOMORROW_AT_NINE + timedelta(days=9))


def book(world: World, customer_uid: str, uid: str, at: datetime) -> None:
    schedules.book(world.deps, world.merchant_id, customer_uid, [schedules.Entry(request(uid), at)])
