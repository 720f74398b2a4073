"""Payments: one intent to collect an amount, its attempts, its cancels, and the moves between its states.

claimed -> paid | failed | unknown;  unknown -> paid | failed | undoing;  undoing -> failed;  paid keeps its cancels
beside it. In a window it begins as opened -> claimed | failed. A virtual account is in between for as long as its buyer
takes: claimed | unknown -> waiting -> paid | failed (it expired);  waiting -> revoking -> revoked, or back, or paid.
V1's four words are made from these by `v1_status`.
Every move returns a new value and refuses what the state forbids, so a result that arrives twice, or late, changes
nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    CardSummary,
    Declined,
    GatewayCancel,
    PaymentRequest,
    Pending,
    RefundAccount,
    Revoked,
    Unknown,
    VirtualAccount,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.money import Money
from chalicelib.domain.routing import Decision
from chalicelib.domain.windows import BUYER_LEFT, WindowTerms

VIRTUAL_ACCOUNT = "vbank"
"""V1's word for the pay_method."""


class State(StrEnum):
    OPENED = "opened"
    """Its window is open, or was left so. Nothing was asked of the gateway yet that moves money."""
    CLAIMED = "claimed"
    """Written before the gateway is called: someone is working on it, or died doing so."""
    UNKNOWN = "unknown"
    UNDOING = "undoing"
    """Nobody could tell what came of it, so it is being undone at the gateway (net-cancel). Never paid any more."""
    WAITING = "waiting"
    """A virtual account is there, and nothing was paid in yet."""
    REVOKING = "revoking"
    """Somebody is closing the virtual account, or died doing so, or got no clear answer."""
    PAID = "paid"
    FAILED = "failed"
    REVOKED = "revoked"
    """The virtual account was closed before anything was paid in."""


class CancelState(StrEnum):
    CLAIMED = "claimed"
    UNKNOWN = "unknown"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one gateway.

    outcome: approved, issued, declined, not_sent, unknown, pending (the gateway has not decided); undone by us;
    given_back, since it was approved too late; by_hand: a person said that it failed; left: its window was closed, or
    replaced, or never came back; None while under way.
    """

    number: int
    order_id: str
    channel_key: str
    pg_provider: str
    pg_id: str
    started_at: datetime
    decision: Decision
    outcome: str | None = None
    reason: DeclineReason | None = None
    code: str | None = None
    message: str | None = None
    took_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Cancellation:
    """refund_to: personal, so it is kept only for as long as the cancel may have to be sent once more.

    unproven: its end is a person's word, not compared with the gateway's books yet.
    """

    cancel_id: str
    amount: Money
    reason: str
    state: CancelState
    requested_at: datetime
    gateway_ref: str | None = None
    cancelled_at: datetime | None = None
    receipt_url: str | None = None
    message: str | None = None
    notify: bool = False
    tax_free: int = 0
    vat: int | None = None
    refund_to: RefundAccount | None = None
    unproven: bool = False


@dataclass(frozen=True, slots=True)
class Payment:
    """due_at: when the timer has to look at it: in a window, claimed, unknown or waiting for a deposit, a cancel or a
    revoke in that state, a test charge to void, a person's word to compare with the gateway's, and for a while after it
    was called failed.
    """

    merchant_id: str
    imp_uid: str
    environment: Environment
    request: PaymentRequest
    state: State
    attempts: tuple[Attempt, ...]
    started_at: datetime
    updated_at: datetime
    customer_uid: str | None = None
    customer_uid_usage: str | None = None
    pay_method: str = "card"
    """V1's word: card, trans, vbank, phone, paypal."""
    window: WindowTerms | None = None
    """Set if it is paid in a window."""
    sealed_kept: str | None = None
    """What the window left for questions, or for undoing it (`windows.Authenticated.kept`)."""
    scheduled: bool = False
    """True if a reserved payment: its order carries the schedule."""
    to_be_voided: bool = False
    """A test charge (V1 `checking_amount`): whoever finds it approved gives it back."""
    gateway_ref: str | None = None
    approval_number: str | None = None
    card: CardSummary | None = None
    receipt_url: str | None = None
    bank_code: str | None = None
    """The clearing house's, of a transfer."""
    easy_pay: str | None = None
    """V1's word for the wallet that was chosen in the window."""
    account: VirtualAccount | None = None
    """What the buyer pays into; None until the gateway has told."""
    notice_digest: str | None = None
    """SHA-256 of the secret that the gateway's deposit notices carry."""
    cash_receipt_issued: bool = False
    """True while a cash receipt for it is valid (domain.receipts)."""
    paid_at: datetime | None = None
    failed_at: datetime | None = None
    fail_reason: str | None = None
    revoked_at: datetime | None = None
    cancels: tuple[Cancellation, ...] = ()
    unknown_since: datetime | None = None
    """From when the gateway's settling delay counts."""
    checks: int = 0
    """How often settlement has asked the gateway in the present state."""
    void_tries: int = 0
    """How often the gateway refused to undo it: to give a wrong or late approval back, to revoke an account."""
    alarm: str | None = None
    """Set when a person has to look: the reason."""
    due_at: datetime | None = None
    counted_as: str | None = None
    """What the store has counted it as (storage.tallies); nobody else's business."""
    version: int = 0

    @property
    def attempt(self) -> Attempt:
        """The last try; only a reserved payment that no channel could take has none."""
        return self.attempts[-1]

    @property
    def last_attempt(self) -> Attempt | None:
        """Like `attempt`, for those who must expect that there is none."""
        return self.attempts[-1] if self.attempts else None

    @property
    def cancelled_amount(self) -> Money:
        done = sum(c.amount.amount for c in self.cancels if c.state is CancelState.DONE)
        return Money(done, self.request.amount.currency)

    @property
    def balance(self) -> Money:
        """What can still be given back."""
        return self.request.amount - self.cancelled_amount

    @property
    def open_cancel(self) -> Cancellation | None:
        return next((c for c in self.cancels if c.state in (CancelState.CLAIMED, CancelState.UNKNOWN)), None)

    @property
    def awaits_void(self) -> bool:
        return self.to_be_voided and self.state is State.PAID and self.balance.amount != 0

    @property
    def is_open(self) -> bool:
        """True while it holds its merchant_uid: under way, unknown, waiting, or paid (also when cancelled later)."""
        return self.state not in (State.FAILED, State.REVOKED)

    @property
    def is_unsettled(self) -> bool:
        """True while nobody knows what came of it."""
        return self.state in (State.CLAIMED, State.UNKNOWN, State.UNDOING)

    @property
    def is_open_question(self) -> bool:
        """True while it is not known whether money has moved, this way or back."""
        return self.is_unsettled or self.state is State.REVOKING or self.open_cancel is not None or self.awaits_void

    @property
    def awaits_comparison(self) -> bool:
        """True while a person's word about it, or about a cancel, was not compared with the gateway's books."""
        is_paid_by_card = self.state is State.PAID and self.pay_method != VIRTUAL_ACCOUNT
        return is_paid_by_card and self.due_at is not None and not (self.open_cancel or self.awaits_void)

    def is_held(self, now: datetime) -> bool:
        """True while whoever claimed it, its cancel or its revoke may still be at work on it."""
        claimed = self.state in (State.CLAIMED, State.REVOKING) or self.awaits_void
        claimed = claimed or (self.open_cancel is not None and self.open_cancel.state is CancelState.CLAIMED)
        return claimed and self.checks == 0 and self.due_at is not None and now < self.due_at

    @property
    def v1_status(self) -> str:
        """ready, paid, failed or cancelled; a partial cancel is `cancelled` too (observed V1 behaviour)."""
        match self.state:
            case State.PAID:
                return "cancelled" if self.cancelled_amount.amount else "paid"
            case State.FAILED:
                return "failed"
            case State.REVOKED:
                return "cancelled"
            case _:
                return "ready"

    @property
    def status_at(self) -> datetime:
        """When it reached its V1 status: the time that V1's lists go by."""
        at = {"paid": self.paid_at, "cancelled": self.cancelled_at, "failed": self.failed_at}.get(self.v1_status)
        return at or self.started_at

    @property
    def cancelled_at(self) -> datetime | None:
        if self.state is State.REVOKED:
            return self.revoked_at
        times = [c.cancelled_at for c in self.cancels if c.state is CancelState.DONE and c.cancelled_at]
        return max(times, default=None)


def approve(payment: Payment, result: Approved, now: datetime, took_ms: int | None = None) -> Payment:
    """The gateway took the money. The caller has compared amount and currency."""
    _require(payment, State.CLAIMED, State.UNKNOWN, State.WAITING, State.REVOKING)
    approved = replace(
        _closing(payment, "approved", now, took_ms),
        cancels=_found_cancels(payment, result.cancels, now),
        state=State.PAID,
        gateway_ref=result.gateway_ref,
        approval_number=result.approval_number,
        card=result.card or payment.card,
        receipt_url=result.receipt_url,
        bank_code=result.bank_code,
        easy_pay=result.easy_pay,
        account=result.account or payment.account,
        paid_at=result.approved_at,
        due_at=None,
        alarm=None,
    )
    # Whoever learns of a test charge gives it back; if it dies before, the timer does when the lease it had is over.
    return replace(approved, due_at=payment.due_at or now) if approved.awaits_void else approved


def claim_approval(payment: Payment, sealed_kept: str | None, now: datetime, due_at: datetime) -> Payment:
    """The buyer has come back with a proof: about to ask the gateway for the approval. Only one can.

    The try begins here, as far as the gateway's books and the times for undoing it are concerned.
    """
    _require(payment, State.OPENED)
    begun = replace(payment.attempt, started_at=now)
    return replace(
        payment, state=State.CLAIMED, attempts=(*payment.attempts[:-1], begun), sealed_kept=sealed_kept,
        updated_at=now, due_at=due_at,
    )  # fmt: skip


def leave_window(payment: Payment, result: Declined, now: datetime) -> Payment:
    """Nothing comes of the window any more: the buyer, the gateway, or its time says so. No money was asked for."""
    _require(payment, State.OPENED)
    closed = _closing(payment, "left", now, None, reason=result.reason, code=result.code, message=result.message)
    text = BUYER_LEFT if result.reason is DeclineReason.BUYER_CANCELLED else result.message
    return replace(closed, state=State.FAILED, failed_at=now, fail_reason=text, due_at=None)


def void(payment: Payment, cancels: Sequence[GatewayCancel], now: datetime) -> Payment:
    """A test charge has gone back. cancels: all that the gateway has in its books."""
    _require(payment, State.PAID)
    found = _found_cancels(payment, cancels, now)
    return replace(payment, cancels=found, updated_at=now, due_at=None, alarm=None)


def _found_cancels(payment: Payment, cancels: Sequence[GatewayCancel], now: datetime) -> tuple[Cancellation, ...]:
    """All the gateway's cancels; before them what was refused to us, since no cancel's id may be used again."""
    refused = tuple(cancel for cancel in payment.cancels if cancel.state is CancelState.FAILED)
    numbered = enumerate(cancels, start=len(refused) + 1)
    return refused + tuple(_found_cancel(payment, n, cancel, now) for n, cancel in numbered)


def _found_cancel(payment: Payment, number: int, cancel: GatewayCancel, now: datetime) -> Cancellation:
    """A cancel that did not begin as a claim of ours: a test charge's, or one that somebody made at the gateway."""
    return Cancellation(
        cancel_id=f"{payment.imp_uid.replace('_', '')}c{number}",
        amount=cancel.amount,
        reason=cancel.reason or "PG사에서 취소",
        state=CancelState.DONE,
        requested_at=now,
        gateway_ref=cancel.gateway_ref,
        cancelled_at=cancel.cancelled_at,
        receipt_url=cancel.receipt_url,
    )


def decline(payment: Payment, result: Declined, now: datetime, took_ms: int | None = None) -> Payment:
    _require(payment, State.CLAIMED, State.UNKNOWN, State.UNDOING)
    closed = _closing(payment, "declined", now, took_ms, reason=result.reason, code=result.code, message=result.message)
    return replace(closed, state=State.FAILED, failed_at=now, fail_reason=result.message, due_at=None, alarm=None)


def fail_unsent(
    payment: Payment, text: str, now: datetime, took_ms: int | None = None, *, detail: str | None = None
) -> Payment:
    """Nothing reached any gateway, or the gateway knows nothing of it after its settling delay.

    text: for the merchant and the buyer; detail: for the operator, kept with the attempt.
    """
    _require(payment, State.CLAIMED, State.UNKNOWN, State.UNDOING)
    closed = _closing(payment, "not_sent", now, took_ms, reason=DeclineReason.NOT_CHARGED, message=detail or text)
    return replace(closed, state=State.FAILED, failed_at=now, fail_reason=text, due_at=None, alarm=None)


def suspend(
    payment: Payment, result: Unknown | Pending, now: datetime, due_at: datetime, took_ms: int | None = None
) -> Payment:
    """Nobody knows yet whether the money moves: settlement finds out, from `due_at` on."""
    _require(payment, State.CLAIMED, State.UNKNOWN)
    if isinstance(result, Pending):
        closed = _closing(payment, "pending", now, took_ms, message=result.detail)
    else:
        closed = _closing(payment, "unknown", now, took_ms, code=result.code, message=result.detail)
    return replace(closed, state=State.UNKNOWN, unknown_since=now, due_at=due_at, checks=0)


def begin_undo(payment: Payment, now: datetime, due_at: datetime) -> Payment:
    """Decide to undo a charge that nobody can tell the outcome of. On record before the gateway is told so."""
    _require(payment, State.CLAIMED, State.UNKNOWN)
    return replace(payment, state=State.UNDOING, updated_at=now, due_at=due_at, checks=0)


def undo(payment: Payment, text: str, now: datetime, *, detail: str) -> Payment:
    """Nothing is left of it at the gateway, by our own doing. text: for the merchant; detail: for the operator."""
    _require(payment, State.UNDOING)
    closed = _closing(payment, "undone", now, None, message=detail)
    return replace(closed, state=State.FAILED, failed_at=now, fail_reason=text, due_at=None, alarm=None)


def fail_by_hand(payment: Payment, text: str, now: datetime, *, detail: str) -> Payment:
    """A person has found out that no money moved. text: for the merchant; detail: for the operator."""
    _require(payment, State.CLAIMED, State.UNKNOWN, State.UNDOING)
    closed = _closing(payment, "by_hand", now, None, message=detail)
    return replace(closed, state=State.FAILED, failed_at=now, fail_reason=text, due_at=None, alarm=None)


def give_back_late(payment: Payment, text: str) -> Payment:
    """An approval came after the payment had been called failed, and has gone back. It stays failed, with a note.

    text: for the operator; a person has to see it.
    """
    _require(payment, State.FAILED)
    last = replace(payment.attempt, outcome="given_back", message=text)
    return replace(payment, attempts=(*payment.attempts[:-1], last), checks=0, alarm=text)


def await_deposit(
    payment: Payment, result: AwaitingDeposit, digest: str | None, now: datetime, took_ms: int | None = None
) -> Payment:
    """The gateway has issued the virtual account. The caller has compared amount and currency, and sets `due_at`."""
    _require(payment, State.CLAIMED, State.UNKNOWN)
    issued = replace(
        _closing(payment, "issued", now, took_ms), state=State.WAITING, gateway_ref=result.gateway_ref,
        account=result.account, notice_digest=digest,
    )  # fmt: skip
    return replace(issued, checks=0, unknown_since=None, alarm=None)


def expire(payment: Payment, text: str, now: datetime) -> Payment:
    """Nothing was paid in while it could be. text: for the merchant and the buyer."""
    _require(payment, State.WAITING, State.REVOKING)
    return replace(
        payment, state=State.FAILED, failed_at=now, fail_reason=text, updated_at=now, due_at=None, alarm=None
    )


def claim_revoke(payment: Payment, now: datetime, due_at: datetime) -> Payment:
    """Reserve the closing of a virtual account, before the gateway is asked for it."""
    _require(payment, State.WAITING)
    return replace(payment, state=State.REVOKING, updated_at=now, due_at=due_at, checks=0, unknown_since=now)


def keep_waiting(payment: Payment, now: datetime, due_at: datetime) -> Payment:
    """The gateway did not revoke it: it can still be paid into. Its next revoke is another, with an id of its own."""
    _require(payment, State.REVOKING)
    tries = payment.void_tries + 1
    return replace(
        payment, state=State.WAITING, updated_at=now, due_at=due_at, checks=0, unknown_since=None, void_tries=tries
    )


def revoke(payment: Payment, result: Revoked, now: datetime) -> Payment:
    """It was closed at the gateway with nothing paid in, by us or by somebody at the gateway itself."""
    _require(payment, State.CLAIMED, State.UNKNOWN, State.WAITING, State.REVOKING)
    return replace(payment, state=State.REVOKED, revoked_at=result.revoked_at, updated_at=now, due_at=None, alarm=None)


def reverse_deposit(payment: Payment, now: datetime, due_at: datetime, text: str) -> Payment:
    """The bank took the deposit back: the account waits again. text: for the person who has to know."""
    _require(payment, State.PAID)
    return replace(payment, state=State.WAITING, paid_at=None, updated_at=now, due_at=due_at, checks=0, alarm=text)


def order_id(imp_uid: str, number: int) -> str:
    """The gateway's name for one attempt: letters and digits, as every gateway takes them."""
    return f"{imp_uid.replace('_', '')}a{number}"


def imp_uid_of(order_id: str) -> str | None:
    """The payment that an order id belongs to, or None if it is none of ours."""
    match = re.fullmatch(r"imp([0-9]{12})a[0-9]{1,4}", order_id)
    return f"imp_{match[1]}" if match else None


def _closing(
    payment: Payment,
    outcome: str,
    now: datetime,
    took_ms: int | None,
    *,
    reason: DeclineReason | None = None,
    code: str | None = None,
    message: str | None = None,
) -> Payment:
    """Write the outcome into the last attempt. took_ms None keeps the time of the call that is being settled."""
    last = replace(
        payment.attempt,
        outcome=outcome,
        reason=reason,
        code=code,
        message=message,
        took_ms=payment.attempt.took_ms if took_ms is None else took_ms,
    )
    return replace(payment, attempts=(*payment.attempts[:-1], last), updated_at=now)


def _require(payment: Payment, *states: State) -> None:
    if payment.state not in states:
        raise ValueError(f"{payment.imp_uid} is {payment.state}")
