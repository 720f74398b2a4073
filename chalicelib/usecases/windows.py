"""Payments in a gateway's window: open one, show it, and take the buyer back from it.

Opening claims the order and picks the channel, as a charge does, but asks nothing of the gateway. When the browser
comes back with the gateway's proof, the approval is claimed, asked for, and recorded as a charge is
(`usecases.charges`); so what dies or gets lost on the way is settled as a charge is. Until that claim a window can be
left, replaced, or led to another channel, and nobody has lost anything.

Whoever knows a window's ticket can go on with it: it is in the buyer's address bar, and nowhere else.
"""

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Approved, CancelRequest, Declined, NotSent, PaymentRequest, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, NoChannel, NotFound, Refused, Unavailable
from chalicelib.domain.groups import Failover
from chalicelib.domain.health import Health, sign_of
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment, State, claim_approval
from chalicelib.domain.prepared import Prepared
from chalicelib.domain.routing import Choices, draw
from chalicelib.domain.windows import (
    Authenticated,
    WindowOrder,
    WindowPage,
    WindowTerms,
    is_loopback,
    left_by_buyer,
    origin_of,
)
from chalicelib.ports import Conflict, Deps, Gateway, Ref, StoreUnavailable
from chalicelib.usecases import charges, health
from chalicelib.usecases.choosing import Target, plan_for_window
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.looks import can_ask, record_settled, window_left
from chalicelib.usecases.recording import alarm
from chalicelib.usecases.vault import open_gateway, seal_kept

log = logging.getLogger(__name__)

OPEN_FOR = timedelta(minutes=60)
"""How long a buyer may take. Gateways give up after 10 to 30 minutes; PayPal after hours."""
OPEN_TIMEOUT = 12.0
"""For a gateway to open a window; with two there is time left for another one."""
CONFIRM_TIMEOUT = 10.0
"""For the merchant to agree (V1 `confirm_url`)."""
UNKNOWN_WINDOW = "존재하지 않는 결제창입니다. (no such window)"
NO_ORIGIN = "Origin: 웹 페이지에서 호출해야 합니다. (to be called by a web page)"
NO_TIME = "결제사가 응답하지 않습니다. 다시 시도해 주세요. (the gateways do not answer, please try again)"
TOO_SLOW = (
    "처리가 지연되어 결제를 승인하지 않았습니다. 다시 시도해 주세요. (it took too long: not charged, please try again)"
)
BEFORE_APPROVAL = "가맹점이 결제를 중단하였습니다"


# --- opening ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page asks for. origin: the page's, as its browser says. terms: without secret_digest."""

    request: PaymentRequest
    terms: WindowTerms
    target: Target


def open_window(deps: Deps, merchant_id: str, wanted: Wanted) -> tuple[Payment, str]:
    """Claim the order for a payment in a window (V1 `IMP.request_pay`). Returns it, and the window's ticket.

    Raises Refused, NoChannel, InvalidRequest. Nothing is asked of a gateway.
    """
    charges.check_notice_urls(deps, wanted.request)
    _check_confirm_url(deps, wanted.terms)
    routing, known, prepared = deps.store.load(
        Ref(Routing, (merchant_id,)),
        Ref(Health, (merchant_id,)),
        Ref(Prepared, (merchant_id, wanted.request.merchant_uid)),
    )
    if routing is None:
        raise Refused(charges.UNKNOWN_MERCHANT, field="user_code")
    if not wanted.terms.page_origin:
        raise InvalidRequest("Origin", NO_ORIGIN)
    if prepared:
        prepared.check(wanted.request.amount)
    now = deps.clock.now()
    plan = plan_for_window(deps.gateways, routing, wanted.target, wanted.request, wanted.terms, now)
    check_page(deps, routing, plan.environment, wanted.terms)
    decision = draw(plan.avoiding(known or Health(merchant_id)).choices, deps.rng, now)
    secret = f"{deps.rng.getrandbits(128):032x}"
    opened = replace(
        charges.new_payment(deps, merchant_id, wanted.request, plan.environment),
        state=State.OPENED,
        pay_method=wanted.terms.pay_method.value,
        window=replace(wanted.terms, secret_digest=_digest(secret)),
        due_at=now + OPEN_FOR,
    )
    payment, _ = charges.claim(deps, charges.add_attempt(deps, opened, decision), None)
    return payment, ticket_of(payment, secret)


def check_page(deps: Deps, routing: Routing, environment: Environment, terms: WindowTerms) -> None:
    """Only the merchant's own pages open windows, and only there a buyer ends up. Raises Refused, InvalidRequest.

    Whatever a page asks for, its buyer can ask for something else. So it is paid in live, or with test channels, and
    never both: a test payment looks like any other to a shop.
    """
    if not _is_ours(deps, routing, environment, terms.page_origin):
        raise Refused(
            f"Origin: 등록되지 않은 도메인입니다: {terms.page_origin[:100]} "
            f"PUT /admin/settings의 {environment}_page_origins에 등록해 주세요. (this page's origin is not registered)",
            field="Origin",
        )
    if terms.return_to and not _is_ours(deps, routing, environment, origin_of(terms.return_to)):
        raise InvalidRequest(
            "m_redirect_url", "m_redirect_url: 등록되지 않은 도메인입니다. (its origin is not registered)"
        )


def _is_ours(deps: Deps, routing: Routing, environment: Environment, origin: str) -> bool:
    on_this_machine = deps.allow_loopback and is_loopback(origin) and environment is Environment.TEST
    return origin in routing.page_origins(environment) or on_this_machine


def _check_confirm_url(deps: Deps, terms: WindowTerms) -> None:
    if terms.confirm_url and (reason := deps.sender.refuse_url(terms.confirm_url)):
        raise InvalidRequest("confirm_url", f"confirm_url: {reason}")


# --- tickets ------------------------------------------------------------------------------------------------------


def ticket_of(payment: Payment, secret: str) -> str:
    return f"{payment.merchant_id}-{payment.imp_uid.removeprefix('imp_')}-{secret}"


def _digest(secret: str) -> str:
    """The secret is random and long, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find(deps: Deps, ticket: str) -> tuple[Payment, Routing]:
    """The payment that a ticket is for. Raises NotFound for one that is not ours, to the letter."""
    match = re.fullmatch(r"(imp[0-9]{8})-([0-9]{12})-([0-9a-f]{32})", ticket)
    if match:
        merchant_id, number, secret = match.groups()
        payment, routing = deps.store.load(Ref(Payment, (merchant_id, f"imp_{number}")), Ref(Routing, (merchant_id,)))
        known = payment.window.secret_digest if payment and payment.window else ""
        if payment and routing and hmac.compare_digest(_digest(secret), known):
            return payment, routing
    raise NotFound(UNKNOWN_WINDOW)


# --- the window ---------------------------------------------------------------------------------------------------


def show(deps: Deps, ticket: str, return_url: str) -> tuple[Payment, WindowPage | None]:
    """What our page needs to open the gateway's window; None if the payment is past that, or nobody can open one.

    A gateway that does not open its window loses the payment to another channel, as the group's failover allows.
    Raises Unavailable if there is no time left for one more: the next view of the page goes on from there.
    """
    payment, routing = find(deps, ticket)
    ends_at = deps.clock.monotonic() + deps.timing.request_budget.total_seconds()
    while payment.state is State.OPENED:
        left = ends_at - deps.clock.monotonic()
        if left < charges.MIN_ATTEMPT_SECONDS:
            raise Unavailable(NO_TIME)
        page = _opened(deps, routing, payment, return_url, min(OPEN_TIMEOUT, left))
        if isinstance(page, WindowPage):
            return payment, page
        payment = _elsewhere(deps, routing, payment, page)
    return payment, None


def _opened(
    deps: Deps, routing: Routing, payment: Payment, return_url: str, timeout: float
) -> WindowPage | Declined | NotSent | Unknown:
    gateway = open_gateway(deps, routing, payment.attempt.channel_key)
    order = _order(payment, return_url)
    sent_at = deps.clock.now()
    page = guarded(lambda: gateway.open_window(order, timeout), f"window {order.order_id}")
    if not isinstance(page, WindowPage) and (sign := sign_of(payment.attempt.channel_key, sent_at, page)):
        health.note(deps, payment.environment, Health(payment.merchant_id), [sign])
    return page


def another(deps: Deps, ticket: str) -> Payment:
    """The gateway's script does not load in this browser: go on at another channel, if there is one."""
    payment, routing = find(deps, ticket)
    if payment.state is not State.OPENED:
        return payment
    return _elsewhere(deps, routing, payment, NotSent("its script did not load in the buyer's browser"))


def _elsewhere(deps: Deps, routing: Routing, payment: Payment, result: Declined | NotSent | Unknown) -> Payment:
    """The payment at another channel, or ended. Opening a window moves no money, so any failure allows it."""
    attempt = replace(payment.attempt, outcome="not_sent", message=_words(result))
    tried = replace(payment, attempts=(*payment.attempts[:-1], attempt))
    try:
        choices = _other_choices(deps, routing, payment)
        decision = draw(choices, deps.rng, deps.clock.now())
        moved: Payment = deps.store.commit(charges.add_attempt(deps, tried, decision))[0]
    except NoChannel:
        text = (
            result.message if isinstance(result, Declined) else "결제창을 열 수 없습니다. (no window could be opened)"
        )
        code = result.code if isinstance(result, Declined) else "WINDOW"
        return _leave(deps, routing, payment, Declined(DeclineReason.NOT_CHARGED, code, text))
    except Conflict:
        return _latest(deps, payment)
    return moved


def _other_choices(deps: Deps, routing: Routing, payment: Payment) -> Choices:
    """The channels of its group that were not tried. Raises NoChannel if it was to be this one and no other."""
    decision, tried = payment.attempt.decision, [attempt.channel_key for attempt in payment.attempts]
    if payment.window is None or decision.group_id not in routing.groups or decision.mode in ("pinned", "direct"):
        raise NoChannel("", [])
    target = Target(group_id=decision.group_id)
    plan = plan_for_window(deps.gateways, routing, target, payment.request, payment.window, deps.clock.now())
    if plan.failover is Failover.OFF:
        raise NoChannel("", [])
    return plan.choices.without(tried, zero_allowed=True)


def _words(result: Declined | NotSent | Unknown) -> str:
    return f"[{result.code}] {result.message}" if isinstance(result, Declined) else result.detail


# --- coming back --------------------------------------------------------------------------------------------------


def come_back(deps: Deps, ticket: str, fields: Mapping[str, str], return_url: str) -> Payment:
    """The browser is back from the gateway: check what it brings, ask for the approval, and write down what came of it.

    Whatever comes a second time, by a reload or in another tab, finds the payment past its window and changes nothing.
    Raises InvalidRequest for what the gateway cannot have sent: the window stays open.
    """
    payment, routing = find(deps, ticket)
    if payment.state is not State.OPENED:
        return payment
    ends_at = deps.clock.monotonic() + deps.timing.request_budget.total_seconds()
    gateway = open_gateway(deps, routing, payment.attempt.channel_key)
    order = _order(payment, return_url)
    back = _left_in_page(fields) or gateway.read_return(order, fields)
    if isinstance(back, Authenticated):
        back = _disagreed(deps, payment) or back
    if isinstance(back, Declined):
        return _leave(deps, routing, payment, back)
    return _approve(deps, routing, gateway, payment, order, back, ends_at)


def _left_in_page(fields: Mapping[str, str]) -> Declined | None:
    """Our own page posts these, if the gateway's script tells it that nothing comes of the window."""
    how, code, message = (_printable(fields.get(f"sr_{name}", "")) for name in ("left", "code", "message"))
    if how == "cancel":
        return left_by_buyer(code or "CANCELLED", message or "결제창을 닫았습니다. (the buyer left)")
    if how == "fail":
        text = message or "결제창에서 오류가 발생했습니다. (the window failed)"
        return Declined(DeclineReason.NOT_CHARGED, code or "WINDOW", text)
    return None


def _printable(text: str) -> str:
    """A browser can say anything, and merchants and operators read it."""
    return "".join(char for char in text[:300] if char.isprintable())


def _disagreed(deps: Deps, payment: Payment) -> Declined | None:
    """V1's confirm process: the merchant has the last word before the approval. Silence is a no."""
    if payment.window is None or not payment.window.confirm_url:
        return None
    amount = payment.request.amount.to_decimal()
    number = int(amount) if amount == amount.to_integral_value() else float(amount)
    body = {"imp_uid": payment.imp_uid, "merchant_uid": payment.request.merchant_uid, "amount": number}
    answer = deps.sender.post(
        payment.window.confirm_url, json.dumps(body).encode(), {"Content-Type": "application/json"}, CONFIRM_TIMEOUT
    )
    if answer.delivered:
        return None
    reason = _reason(answer.reply) or f"{BEFORE_APPROVAL}. (the merchant did not confirm: {answer.text})"
    return Declined(DeclineReason.NOT_CHARGED, "CONFIRM", reason)


def _reason(reply: bytes) -> str | None:
    try:
        value = json.loads(reply)
    except ValueError:
        return None
    reason = value.get("reason") if isinstance(value, dict) else None
    return reason[:300] if isinstance(reason, str) and reason.strip() else None


def _approve(
    deps: Deps,
    routing: Routing,
    gateway: Gateway,
    payment: Payment,
    order: WindowOrder,
    back: Authenticated,
    ends_at: float,
) -> Payment:
    uid = (payment.merchant_id, payment.request.merchant_uid)
    held, known, prepared = deps.store.load(Ref(Order, uid), Ref(Health, (payment.merchant_id,)), Ref(Prepared, uid))
    if held is None:
        raise NotFound(UNKNOWN_WINDOW)
    if prepared and (differs := _differs(prepared, payment)):
        return _leave(deps, routing, payment, differs)
    if ends_at - deps.clock.monotonic() < charges.MIN_ATTEMPT_SECONDS:  # the answer might not be heard any more
        raise Unavailable(TOO_SLOW)
    now = deps.clock.now()
    due_at = now + deps.timing.request_budget + deps.timing.lease_margin
    sealed = seal_kept(deps, routing, payment, back.kept)
    claimed = claim_approval(payment, sealed, now, due_at)
    try:
        (payment,) = deps.store.commit(claimed)
    except Conflict:
        return _latest(deps, payment)
    except StoreUnavailable:
        payment = _written_after_all(deps, claimed)
    started = deps.clock.monotonic()
    result = guarded(lambda: gateway.approve(order, back, ends_at - started), f"approval {order.order_id}")
    took_ms = round((deps.clock.monotonic() - started) * 1000)
    stored = charges.finish(deps, routing, payment, held, result, took_ms)
    if isinstance(result, Approved) and stored.state is State.CLAIMED and not can_ask(deps, payment, gateway):
        _undo_unwritten(gateway, payment, stored, result)
    if sign := charges.what_it_says_of_health(payment, result):
        health.note(deps, payment.environment, known or Health(payment.merchant_id), [sign])
    return stored


def _differs(prepared: Prepared, payment: Payment) -> Declined | None:
    """Asked once more: the window may have been opened before its amount was registered, or changed."""
    try:
        prepared.check(payment.request.amount)
    except Refused as refused:
        return Declined(DeclineReason.NOT_CHARGED, "PREPARED", refused.message)
    return None


def _written_after_all(deps: Deps, claimed: Payment) -> Payment:
    """The claim as stored, if it is there though its write seemed to fail. Raises StoreUnavailable if it is not.

    Given up, it would be taken for one that was sent, and not every gateway can be asked about that.
    """
    stored = _latest(deps, claimed)
    ours = (State.CLAIMED, claimed.attempt, claimed.sealed_kept, claimed.version + 1)
    if (stored.state, stored.attempt, stored.sealed_kept, stored.version) != ours:
        raise StoreUnavailable(f"the claim of {claimed.imp_uid} is not there")
    return stored


def _undo_unwritten(gateway: Gateway, payment: Payment, stored: Payment, result: Approved) -> None:
    """It is approved, that could not be stored, and nobody could ask for it later: give it back while we know of it.

    Only if the claim was stored once more, after the approval: else that may be what is stored, and shipped.
    """
    if stored.version == payment.version:
        alarm(
            f"approved as {result.gateway_ref}, which may not be stored: compare it with the gateway's books", payment
        )
        return
    request = CancelRequest(
        cancel_id=f"{payment.attempt.order_id}v1",
        order_id=payment.attempt.order_id,
        gateway_ref=result.gateway_ref,
        amount=result.amount,
        balance=result.amount,
        charged=result.amount,
        reason="승인 결과 저장 실패",
        charged_at=payment.attempt.started_at,
        pay_method=payment.pay_method,
    )
    undone = guarded(lambda: gateway.cancel(request, CONFIRM_TIMEOUT), f"undo {payment.attempt.order_id}")
    alarm(f"approved as {result.gateway_ref}, could not be stored; giving it back: {type(undone).__name__}", payment)


def close(deps: Deps, ticket: str) -> Payment:
    """The buyer closed what our window is shown in. If it was too late for that, the payment says so."""
    payment, routing = find(deps, ticket)
    if payment.state is not State.OPENED:
        return payment
    return _leave(deps, routing, payment, left_by_buyer("CLOSED", "결제창을 닫았습니다. (the window was closed)"))


# --- shared -------------------------------------------------------------------------------------------------------


def _order(payment: Payment, return_url: str) -> WindowOrder:
    if payment.window is None:
        raise ValueError(f"{payment.imp_uid} has no window")
    return WindowOrder(payment.attempt.order_id, payment.request, payment.window, return_url)


def _leave(deps: Deps, routing: Routing, payment: Payment, result: Declined) -> Payment:
    try:
        return record_settled(deps, routing, window_left(deps, payment, result), tell_end=False)
    except Conflict:
        return _latest(deps, payment)


def _latest(deps: Deps, payment: Payment) -> Payment:
    """Another was faster: what counts is what it has stored."""
    return deps.store.load(Ref(Payment, (payment.merchant_id, payment.imp_uid))) or payment
