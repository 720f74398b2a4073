"""Waiting for the deposit into a virtual account, and finding out what became of it.

The gateway tells of a deposit by a notice (`virtual_accounts.deposit_notice`). Since a notice can be lost, the timer
asks too, though seldom: of a million accounts that wait, each costs a question every six hours.

Nothing here gives a deposit back: a refund needs an account of the buyer's. Money that nobody expects calls a person.
"""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Declined,
    FindResult,
    NotFound,
    Revoked,
    RevokeResult,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.merchants import Routing
from chalicelib.domain.payments import (
    VIRTUAL_ACCOUNT,
    Payment,
    State,
    approve,
    await_deposit,
    decline,
    expire,
    keep_waiting,
    reverse_deposit,
    revoke,
)
from chalicelib.ports import Deps, Gateway
from chalicelib.usecases.looks import (
    ASK_TIMEOUT,
    LATE_LOOKS,
    answered,
    late_look,
    left,
    look_again,
    record_settled,
    scale,
    settling_is_over,
    store_look,
)
from chalicelib.usecases.recording import alarm

FIRST_LOOK = timedelta(minutes=10)
PAUSE = timedelta(hours=6)
AFTER_DUE = timedelta(minutes=5)
A_DAY_LATER = LATE_LOOKS[1:]
UNANSWERED = timedelta(hours=1)
"""Until the next question, if the gateway did not answer one."""

EXPIRED = "입금기한이 지나 가상계좌가 만료되었습니다. (nothing was paid in before it was due)"
OTHER_AMOUNT = "요청 금액과 다른 금액의 가상계좌가 발급되어 말소되었습니다. (issued for another amount, revoked)"
OTHER_METHOD = "요청하지 않은 가상계좌가 발급되어 말소되었습니다. (an account that nobody asked for, revoked)"
NOT_REVOCABLE = "이 PG사의 가상계좌는 API로 말소할 수 없습니다. (this gateway's accounts cannot be closed by API)"
REFUNDED = "요청 금액과 다른 금액이 입금되어 환불되었습니다. (paid in another amount, refunded)"


def digest(secret: str) -> str:
    """What is kept of a gateway's secret. It is random and long, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def approved(deps: Deps, payment: Payment, found: Approved) -> Payment:
    """The payment with the money that was paid in, perhaps before we knew of the account and its secret."""
    kept = digest(found.notice_secret) if found.notice_secret else payment.notice_digest
    return approve(replace(payment, notice_digest=kept), found, deps.clock.now())


def is_wanted(payment: Payment, result: AwaitingDeposit) -> bool:
    """For this amount, and for one who was to pay into an account: a buyer can change what a window is opened with."""
    return payment.pay_method == VIRTUAL_ACCOUNT and result.amount == payment.request.amount


def opened(deps: Deps, payment: Payment, result: AwaitingDeposit, took_ms: int | None = None) -> Payment:
    """The payment with the account that was issued for it, and a time to look at it."""
    kept = digest(result.notice_secret) if result.notice_secret else None
    waiting = await_deposit(payment, result, kept, deps.clock.now(), took_ms)
    return replace(waiting, due_at=next_look(deps, waiting))


def next_look(deps: Deps, payment: Payment) -> datetime:
    """Soon after it was issued, then every six hours, and as soon as nothing can be paid in any more."""
    account = payment.account
    if account is None:
        raise ValueError(f"{payment.imp_uid} has no virtual account")
    now, factor = deps.clock.now(), scale(deps, payment.environment)
    # Accounts tend to be due at midnight, all of them: their questions are spread over some fifteen minutes.
    spread = timedelta(seconds=int(payment.imp_uid[-3:]))
    first, closes = account.issued_at + FIRST_LOOK * factor, account.due_at + (AFTER_DUE + spread) * factor
    following = first if now < first else now + PAUSE * factor
    return min(following, closes) if now < closes else following


def revoke_id(payment: Payment) -> str:
    """The same until the gateway refuses it: a refusal may be replayed for as long as the id is known."""
    return f"{payment.attempt.order_id}v{payment.void_tries + 1}"


def conclude(
    deps: Deps, routing: Routing, payment: Payment, found: FindResult, *, tell_revoked: bool = True
) -> Payment | None:
    """Record what ends the waiting. None, and nothing done, if the gateway's answer does not end it.

    tell_revoked: False for the merchant who asked for it and hears the answer, who is not told once more (V1).
    """
    now = deps.clock.now()
    match found:
        case Approved() if found.amount == payment.request.amount:
            return record_settled(deps, routing, approved(deps, payment, found))
        case Revoked():
            revoked = _looked_at_once_more(deps, revoke(payment, found, now))
            return record_settled(deps, routing, revoked, tell_end=tell_revoked)
        case Declined():
            is_due = payment.account is not None and now >= payment.account.due_at
            failed = expire(payment, EXPIRED if is_due else found.message, now)
            return record_settled(deps, routing, _looked_at_once_more(deps, failed))
        case _:
            return None


def _looked_at_once_more(deps: Deps, payment: Payment) -> Payment:
    """A day later, in case that something was paid in after all."""
    return replace(payment, checks=0, due_at=late_look(deps, payment, A_DAY_LATER))


def settle(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    """What the gateway's answer means for a virtual account. `settling` has dealt with what it means for a charge."""
    match payment.state:
        case State.FAILED | State.REVOKED:
            _look_for_late_deposit(deps, gateway, payment, found)
        case State.PAID:
            _look_for_reversal(deps, routing, payment, found)
        case _ if conclude(deps, routing, payment, found):
            pass
        case State.REVOKING if isinstance(found, AwaitingDeposit):
            _revoke_again(deps, routing, gateway, payment, found)
        case State.WAITING if not isinstance(found, Approved):
            _wait_on(deps, routing, payment, found)
        case _ if isinstance(found, Approved):
            _deposited_wrong(deps, routing, payment, found)
        case _ if isinstance(found, AwaitingDeposit):
            _issued_wrong(deps, routing, gateway, payment, found)
        case _:
            look_again(deps, payment, found)


def _wait_on(deps: Deps, routing: Routing, payment: Payment, found: FindResult) -> None:
    account, now = payment.account, deps.clock.now()
    if not isinstance(found, AwaitingDeposit):
        look_again(deps, payment, found, due_at=now + UNANSWERED * scale(deps, payment.environment))
    elif _is_silently_over(deps, payment):
        conclude(deps, routing, payment, Declined(DeclineReason.BUYER_CANCELLED, "EXPIRED", EXPIRED))
    elif account and now >= account.due_at + AFTER_DUE:
        overdue = Unknown(f"{payment.attempt.pg_provider} keeps the account open beyond its due time")
        look_again(deps, payment, overdue, due_at=next_look(deps, payment))
    else:
        store_look(deps, payment, replace(answered(payment), due_at=next_look(deps, payment)))


def _is_silently_over(deps: Deps, payment: Payment) -> bool:
    """True for an account that was due some time ago at a gateway whose books never show that."""
    rules = deps.gateways.spec(payment.attempt.pg_provider).virtual_accounts
    if rules is None or rules.tells_expiry or payment.account is None:
        return False
    return deps.clock.now() >= payment.account.due_at + AFTER_DUE


def _revoke(gateway: Gateway, payment: Payment, gateway_ref: str) -> RevokeResult:
    if not is_revocable(gateway):
        return Declined(DeclineReason.INVALID_REQUEST, "UNSUPPORTED", NOT_REVOCABLE)
    return gateway.revoke_virtual_account(revoke_id(payment), gateway_ref, ASK_TIMEOUT)


def is_revocable(gateway: Gateway) -> bool:
    rules = gateway.spec.virtual_accounts
    return rules is not None and rules.revocable


def _revoke_again(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: AwaitingDeposit) -> None:
    """A no to a repeated revoke counts only after the settling delay, if the account is still open then."""
    result = _revoke(gateway, payment, found.gateway_ref)
    if isinstance(result, Revoked):
        conclude(deps, routing, payment, result)
    elif isinstance(result, Declined) and settling_is_over(deps, payment):
        store_look(deps, payment, still_waiting(deps, payment))
    else:
        look_again(deps, payment, result)


def still_waiting(deps: Deps, payment: Payment) -> Payment:
    """The revoke did not happen. What kept it from happening may be a deposit, so it is looked at soon."""
    now = deps.clock.now()
    return keep_waiting(payment, now, now + FIRST_LOOK * scale(deps, payment.environment))


def _deposited_wrong(deps: Deps, routing: Routing, payment: Payment, found: Approved) -> None:
    """Nobody can give it back by API without the buyer's account: a person has to, at the gateway."""
    if left(found).amount:
        text = f"{found.amount.to_decimal()} was paid in, another amount than asked for: refund it at the gateway"
        look_again(deps, payment, found, found=replace(payment, alarm=text))
        return
    now = deps.clock.now()
    if payment.is_unsettled:
        refused = Declined(DeclineReason.AMOUNT_NOT_ALLOWED, "AMOUNT_MISMATCH", REFUNDED)
        record_settled(deps, routing, decline(payment, refused, now))
    else:
        record_settled(deps, routing, expire(payment, REFUNDED, now))


def _issued_wrong(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: AwaitingDeposit) -> None:
    """Nobody has been told the number of this account yet: close it, and call the payment failed."""
    result = _revoke(gateway, payment, found.gateway_ref)
    if isinstance(result, Revoked):
        refused = Declined(DeclineReason.AMOUNT_NOT_ALLOWED, "AMOUNT_MISMATCH", OTHER_AMOUNT)
        if payment.pay_method != VIRTUAL_ACCOUNT:
            refused = Declined(DeclineReason.NOT_CHARGED, "METHOD_MISMATCH", OTHER_METHOD)
        failed = decline(payment, refused, deps.clock.now())
        record_settled(deps, routing, _looked_at_once_more(deps, failed))
    else:
        look_again(deps, payment, result, found=_after_refusal(payment, result))


def _after_refusal(payment: Payment, result: RevokeResult) -> Payment:
    if not isinstance(result, Declined):
        return payment
    text = f"the gateway refuses to revoke it: [{result.code}] {result.message}"[:300]
    return replace(payment, void_tries=payment.void_tries + 1, alarm=payment.alarm or text)


def _look_for_late_deposit(deps: Deps, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    """Its order is free, and perhaps paid in another way by now: a deposit is not taken for one any more."""
    later = replace(answered(payment), due_at=late_look(deps, payment, A_DAY_LATER))
    match found:
        case Approved() if left(found).amount:
            text = f"a deposit came after it was called {payment.v1_status}: refund it at the gateway"
            store_look(deps, payment, replace(later, alarm=text))
        case AwaitingDeposit() if is_revocable(gateway):
            result = _revoke(gateway, payment, found.gateway_ref)
            if isinstance(result, Revoked):
                store_look(deps, payment, later)
            else:
                look_again(deps, payment, result, found=_after_refusal(payment, result))
        case AwaitingDeposit() if deps.clock.now() < (closes := found.account.due_at + AFTER_DUE):
            text = "its account is still open, and cannot be closed by API: have the gateway close it"
            store_look(deps, payment, replace(answered(payment), due_at=closes, alarm=payment.alarm or text))
        case NotFound() | Approved() | Revoked() | Declined() | AwaitingDeposit():
            store_look(deps, payment, later)
        case _:
            look_again(deps, payment, found)


def is_gone(payment: Payment, found: FindResult) -> bool:
    """True if the gateway has nothing, or nothing any more, of what was paid in."""
    return payment.pay_method == VIRTUAL_ACCOUNT and isinstance(found, AwaitingDeposit | Declined | Revoked)


def _look_for_reversal(deps: Deps, routing: Routing, payment: Payment, found: FindResult) -> None:
    """A bank may take a deposit back. What was paid waits again then, and the merchant has to know it.

    So it does if nothing can be paid in any more: the next look ends it. What was refunded without us is for a person.
    """
    looked = replace(payment, due_at=None)
    if not is_gone(payment, found):
        if isinstance(found, Approved) and found.balance not in (None, payment.balance):
            looked = replace(looked, alarm="the gateway's balance differs from ours: was it refunded at the gateway?")
        store_look(deps, payment, looked)
        return
    text = "the bank has taken the deposit back after the merchant was told that it is paid"
    if payment.cancelled_amount.amount:  # then it cannot be: for a person to find out
        store_look(deps, payment, replace(looked, alarm=text))
        return
    now = deps.clock.now()
    waiting = reverse_deposit(payment, now, now + FIRST_LOOK * scale(deps, payment.environment), text)
    record_settled(deps, routing, waiting)
    alarm(text, waiting)
