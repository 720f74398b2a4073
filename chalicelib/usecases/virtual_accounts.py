"""Virtual accounts (가상계좌): issue one for an order, revoke it, and hear from the gateway that it was paid into.

Issuing claims the order and goes to the gateway as a charge does (`usecases.charges`); waiting for the deposit is
`usecases.deposits`. One order has one live account: with two, a buyer could pay twice.
"""

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Declined,
    DepositNotice,
    FindResult,
    IssueVirtualAccountResult,
    NotSent,
    PaymentRequest,
    Revoked,
    RevokeResult,
    VirtualAccountRequest,
)
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused, TryAgain, Unavailable
from chalicelib.domain.merchants import Routing
from chalicelib.domain.payments import VIRTUAL_ACCOUNT, Attempt, Payment, State, claim_revoke, imp_uid_of
from chalicelib.ports import Conflict, Deps, Gateway, Ref, StoreUnavailable, UnsupportedOperation
from chalicelib.usecases import deposits, settling
from chalicelib.usecases.charges import Charge, check_notice_urls, load_to_charge, new_payment, run
from chalicelib.usecases.choosing import Target, plan_for_virtual_account
from chalicelib.usecases.deposits import NOT_REVOCABLE, is_revocable
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.looks import ask, next_look
from chalicelib.usecases.lookups import UNKNOWN_PAYMENT
from chalicelib.usecases.recording import alarm, as_stored, store_payment
from chalicelib.usecases.vault import open_gateway

log = logging.getLogger(__name__)

CLAIM_TRIES = 5
NOT_A_VIRTUAL_ACCOUNT = "imp_uid: 가상계좌 결제가 아닙니다. (not a virtual account)"
NOT_WAITING = "imp_uid: 입금대기 상태의 가상계좌가 아닙니다. (the account is not waiting for a deposit)"
BEING_REVOKED = "가상계좌 말소 결과를 확인하고 있습니다. 잠시 후 조회해 주세요. (the revoke is being confirmed)"
UNREACHABLE = "PG사에 연결할 수 없어 말소하지 못했습니다. 다시 시도해 주세요. (gateway unreachable)"
NOT_OURS = "해당하는 가상계좌가 없습니다. (no such virtual account)"
NOT_NOW = "지금은 확인할 수 없습니다. 잠시 후 다시 보내 주세요. (cannot be verified now, send it again)"


@dataclass(frozen=True, slots=True)
class Issue:
    request: PaymentRequest
    account: VirtualAccountRequest
    target: Target
    budget: timedelta | None = None
    """What is left of the caller's time; None = all of it."""


def issue(deps: Deps, merchant_id: str, wanted: Issue) -> Payment:
    """Issue a virtual account (V1 `POST /vbanks`). Returns the payment: waiting, or unknown and settled later.

    Raises InvalidRequest, NoChannel, and Refused, also with the gateway's words if it said no.
    """
    check_notice_urls(deps, wanted.request)
    routing, known = load_to_charge(deps, merchant_id)
    _check_due(deps, routing, wanted.account)
    plan = plan_for_virtual_account(
        deps.gateways, routing, wanted.target, wanted.request, wanted.account, deps.clock.now()
    )

    def send(gateway: Gateway, attempt: Attempt, timeout: float) -> IssueVirtualAccountResult:
        return gateway.issue_virtual_account(attempt.order_id, wanted.request, wanted.account, timeout)

    seed = replace(new_payment(deps, merchant_id, wanted.request, plan.environment), pay_method=VIRTUAL_ACCOUNT)
    budget = wanted.budget or deps.timing.request_budget
    payment = run(deps, Charge(routing, known, plan, seed, send, budget), None)
    if payment.state is State.FAILED:
        code = payment.attempt.code
        raise Refused(f"[{code}] {payment.fail_reason}" if code else str(payment.fail_reason), code=-1)
    return payment


def _check_due(deps: Deps, routing: Routing, account: VirtualAccountRequest) -> None:
    """A time beyond what any gateway of this merchant allows is a bad parameter, not a matter of routing."""
    specs = [deps.gateways.spec(provider) for provider in {c.pg_provider for c in routing.channels.values()}]
    longest = max((s.virtual_accounts.longest for s in specs if s.virtual_accounts), default=None)
    if longest and account.due_at > deps.clock.now() + longest:
        raise InvalidRequest("vbank_due", f"vbank_due: 입금기한은 최대 {longest.days}일입니다. (too far ahead)")


def change(deps: Deps, merchant_id: str, imp_uid: str) -> Payment:
    """Change amount or due time of a waiting account (V1 `PUT /vbanks`). No gateway here can: always raises."""
    payment, _ = _load(deps, merchant_id, imp_uid)
    _check_waiting(payment)
    label = deps.gateways.spec(payment.attempt.pg_provider).label
    raise Refused(
        f"{label}에서는 발급된 가상계좌를 변경할 수 없습니다. 말소 후 다시 발급해 주세요. "
        "(this gateway cannot change a virtual account: revoke it and issue another)"
    )


def revoke(deps: Deps, merchant_id: str, imp_uid: str, budget: timedelta | None = None) -> Payment:
    """Close an account that nothing was paid into (V1 `DELETE /vbanks`).

    A deposit that arrives meanwhile wins: whatever the gateway's answer to the revoke leaves open, it is asked.
    Raises NotFound, InvalidRequest if it is not waiting, Refused, and TryAgain while the outcome is unclear.
    """
    payment, routing = _load(deps, merchant_id, imp_uid)
    _check_waiting(payment)
    gateway = open_gateway(deps, routing, payment.attempt.channel_key)
    if not is_revocable(gateway):
        raise Refused(NOT_REVOCABLE, code=-1)
    ends_at = deps.clock.monotonic() + (budget or deps.timing.request_budget).total_seconds()
    claimed = _claim(deps, payment)
    result = _send(deps, gateway, claimed, ends_at)
    try:
        stored = _record(deps, routing, claimed, result, lambda: _ask(deps, routing, gateway, claimed, ends_at))
    except (Conflict, StoreUnavailable):
        log.exception("result of revoking %s perhaps not stored", imp_uid)
        stored = as_stored(deps, claimed)
    return _answer(stored, result)


def _load(deps: Deps, merchant_id: str, imp_uid: str) -> tuple[Payment, Routing]:
    payment, routing = deps.store.load(Ref(Payment, (merchant_id, imp_uid)), Ref(Routing, (merchant_id,)))
    if payment is None or routing is None:
        raise NotFound(UNKNOWN_PAYMENT)
    return payment, routing


def _check_waiting(payment: Payment) -> None:
    if payment.pay_method != VIRTUAL_ACCOUNT:
        raise InvalidRequest("imp_uid", NOT_A_VIRTUAL_ACCOUNT)
    if payment.state is State.REVOKING or payment.is_unsettled:
        raise TryAgain("가상계좌의 다른 요청을 확인하고 있습니다. 잠시 후 조회해 주세요. (being confirmed)")
    if payment.state is not State.WAITING:
        raise InvalidRequest("imp_uid", NOT_WAITING)


def _claim(deps: Deps, payment: Payment) -> Payment:
    for _ in range(CLAIM_TRIES):
        now = deps.clock.now()
        due_at = now + deps.timing.request_budget + deps.timing.lease_margin
        try:
            claimed: Payment = deps.store.commit(claim_revoke(payment, now, due_at))[0]
        except Conflict:
            payment, _ = _load(deps, payment.merchant_id, payment.imp_uid)
            _check_waiting(payment)
        else:
            return claimed
    raise TryAgain(
        "이 가상계좌의 다른 요청이 진행 중입니다. 잠시 후 다시 시도해 주세요. (another request is under way)"
    )


def _send(deps: Deps, gateway: Gateway, payment: Payment, ends_at: float) -> RevokeResult:
    left = ends_at - deps.clock.monotonic()
    revoke_id, ref = deposits.revoke_id(payment), payment.gateway_ref or ""
    return guarded(lambda: gateway.revoke_virtual_account(revoke_id, ref, left), f"revoke {revoke_id}")


def _ask(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, ends_at: float) -> FindResult:
    left = ends_at - deps.clock.monotonic()
    return guarded(lambda: ask(deps, routing, gateway, payment, left), f"question for {payment.imp_uid}")


def _record(
    deps: Deps, routing: Routing, payment: Payment, result: RevokeResult, find: Callable[[], FindResult]
) -> Payment:
    """Store what became of a revoke; find: asks the gateway, where its answer leaves it open. Raises Conflict."""
    if isinstance(result, NotSent):
        return store_payment(deps, deposits.still_waiting(deps, payment), None, [])
    found = result if isinstance(result, Revoked) else find()
    if concluded := deposits.conclude(deps, routing, payment, found, tell_revoked=False):
        return concluded
    if isinstance(result, Declined) and isinstance(found, AwaitingDeposit):
        return store_payment(deps, deposits.still_waiting(deps, payment), None, [])
    return store_payment(deps, replace(payment, due_at=next_look(deps, payment)), None, [])


def _answer(payment: Payment, result: RevokeResult) -> Payment:
    if payment.state is State.REVOKED:
        return payment
    if payment.state is State.REVOKING:
        raise TryAgain(BEING_REVOKED)
    if isinstance(result, Revoked) and payment.state is State.PAID:
        alarm("the gateway has revoked a virtual account that it had called paid", payment)
    if payment.state is not State.WAITING:
        raise InvalidRequest("imp_uid", NOT_WAITING)
    if isinstance(result, Declined):
        raise Refused(f"[{result.code}] {result.message}", code=-1)
    raise Refused(UNREACHABLE, code=-1)


# --- deposit notices ----------------------------------------------------------------------------------------------


def deposit_notice(deps: Deps, merchant_id: str, channel_key: str, fields: Mapping[str, Any]) -> str | None:
    """A gateway says that something happened to a virtual account: ask it, and record what it answers.

    Returns what the gateway wants to read.

    The notice itself is never believed. Its secret is checked before the gateway is asked, so that no stranger can make
    us ask. Raises InvalidRequest and NotFound for what is not a notice to us, and Unavailable where the gateway
    shall send it again.
    """
    routing = deps.store.load(Ref(Routing, (merchant_id,)))
    if routing is None:
        raise NotFound(NOT_OURS)
    try:
        gateway = open_gateway(deps, routing, channel_key)
        notice = gateway.read_deposit_notice(fields)
    except UnsupportedOperation:
        raise NotFound(NOT_OURS) from None
    if notice is None:
        return gateway.spec.notice_reply
    payment = _noticed(deps, merchant_id, channel_key, notice)
    if payment.open_cancel:  # it may be what the notice is about
        raise Unavailable(NOT_NOW)
    try:
        found = settling.look(deps, routing, payment)
    except Conflict:
        raise Unavailable(NOT_NOW) from None
    if not isinstance(found, Approved | AwaitingDeposit | Declined | Revoked):
        raise Unavailable(NOT_NOW)
    return gateway.spec.notice_reply


def _noticed(deps: Deps, merchant_id: str, channel_key: str, notice: DepositNotice) -> Payment:
    """The payment that a notice is about, if it surely came from its gateway."""
    imp_uid = imp_uid_of(notice.order_id)
    payment = deps.store.load(Ref(Payment, (merchant_id, imp_uid))) if imp_uid else None
    if (
        payment is None
        or payment.pay_method != VIRTUAL_ACCOUNT
        or (payment.attempt.order_id, payment.attempt.channel_key) != (notice.order_id, channel_key)
    ):
        raise NotFound(NOT_OURS)
    if payment.is_unsettled:  # the secret is not known yet; the timer is about to ask for it
        raise Unavailable(NOT_NOW)
    if not _knows_it(payment, notice):
        raise NotFound(NOT_OURS)
    return payment


def _knows_it(payment: Payment, notice: DepositNotice) -> bool:
    """True if the notice has what only the gateway, and who saw its answers, can know. Before it answered: nobody."""
    if notice.secret is None:
        known = payment.gateway_ref or ""
        return bool(known) and hmac.compare_digest((notice.gateway_ref or "").encode(), known.encode())
    return hmac.compare_digest(deposits.digest(notice.secret), payment.notice_digest or "")
