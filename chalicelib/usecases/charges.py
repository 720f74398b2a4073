"""Charging: pick a channel, claim the order, call the gateway, write down what came of it.

Issuing a virtual account goes the same way (`usecases.virtual_accounts`): an attempt is what `Charge.send` makes of it.

The order of the steps is what keeps money safe. A claim is stored before anything is sent, so a death between two
lines leaves an item that settlement finds (`usecases.settling`). What is not clearly approved, declined or unsent stays
unknown and is never sent again anywhere.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Buyer,
    Card,
    ChargeResult,
    Declined,
    IssueVirtualAccountResult,
    KeyIssued,
    NotSent,
    PaymentRequest,
    Pending,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, NoChannel, Refused, RouterError, TryAgain
from chalicelib.domain.groups import Failover
from chalicelib.domain.health import Health, Sign, sign_of
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import (
    VIRTUAL_ACCOUNT,
    Attempt,
    Payment,
    State,
    approve,
    decline,
    fail_unsent,
    order_id,
)
from chalicelib.domain.routing import Choices, Decision, Exclusion, draw
from chalicelib.domain.windows import REPLACED
from chalicelib.ports import Conflict, Deps, Gateway, Ref, StoreUnavailable
from chalicelib.usecases import deposits, health
from chalicelib.usecases.choosing import Plan, Target, plan_for_card, plan_for_key
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.looks import can_ask, suspended, window_left
from chalicelib.usecases.recording import alarm, as_stored, record
from chalicelib.usecases.vault import open_gateway, open_key

log = logging.getLogger(__name__)

UNKNOWN_MERCHANT = "등록되지 않은 가맹점입니다. (unknown merchant)"
UNREGISTERED = "등록되지 않은 구매자입니다."
MIN_ATTEMPT_SECONDS = 8.0
"""Less than that is not enough for another gateway to answer before the caller is cut off."""

Result = ChargeResult | IssueVirtualAccountResult
Send = Callable[[Gateway, Attempt, float], Result]
"""Puts one attempt on the wire: (gateway, attempt, seconds it may take)."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One charge about to be made. seed: the payment without attempts, not stored yet. health: as read, None = none."""

    routing: Routing
    health: Health | None
    plan: Plan
    seed: Payment
    send: Send
    budget: timedelta


def charge_card(
    deps: Deps,
    merchant_id: str,
    request: PaymentRequest,
    card: Card,
    target: Target,
    budget: timedelta | None = None,
    *,
    keys: dict[str, KeyIssued] | None = None,
) -> Payment:
    """One-time charge with card data (V1 `onetime`). Raises Refused, NoChannel, InvalidRequest.

    budget: what is left of the caller's time; None = all of it. keys: takes the billing key that a gateway gave along,
    by channel key.
    """
    routing, known = load_to_charge(deps, merchant_id)
    plan = plan_for_card(deps.gateways, routing, target, request, card, deps.clock.now())

    def send(gateway: Gateway, attempt: Attempt, timeout: float) -> ChargeResult:
        result = gateway.charge_card(attempt.order_id, request, card, timeout)
        if keys is not None and isinstance(result, Approved) and result.key:
            keys[attempt.channel_key] = result.key
        return result

    seed = new_payment(deps, merchant_id, request, plan.environment)
    return run(deps, Charge(routing, known, plan, seed, send, budget or deps.timing.request_budget), None)


def charge_key(
    deps: Deps,
    merchant_id: str,
    customer_uid: str,
    request: PaymentRequest,
    target: Target,
    budget: timedelta | None = None,
) -> Payment:
    """Charge a stored billing key (V1 `again`). Raises Refused, NoChannel, InvalidRequest."""
    key, routing, known = load_key_to_charge(deps, merchant_id, customer_uid)
    if routing is None or key is None:
        raise Refused(UNREGISTERED, field="customer_uid")
    charge = key_charge(deps, routing, known, key, request, target, budget or deps.timing.request_budget)
    return run(deps, replace(charge, seed=replace(charge.seed, customer_uid_usage="payment")), None)


def load_key_to_charge(
    deps: Deps, merchant_id: str, customer_uid: str
) -> tuple[BillingKey | None, Routing | None, Health | None]:
    """All that a charge on a key needs to know, in one batch."""
    return deps.store.load(
        Ref(BillingKey, (merchant_id, customer_uid)), Ref(Routing, (merchant_id,)), Ref(Health, (merchant_id,))
    )


def key_charge(
    deps: Deps,
    routing: Routing,
    known: Health | None,
    key: BillingKey,
    request: PaymentRequest,
    target: Target,
    budget: timedelta,
) -> Charge:
    request = replace(request, buyer=fill_buyer(request, key))
    plan = plan_for_key(deps.gateways, routing, key, target, request, deps.clock.now())

    def send(gateway: Gateway, attempt: Attempt, timeout: float) -> ChargeResult:
        secret = open_key(deps, routing, key, attempt.channel_key)
        return gateway.charge_billing_key(attempt.order_id, request, secret, timeout)

    seed = new_payment(deps, routing.merchant_id, request, plan.environment)
    return Charge(routing, known, plan, replace(seed, customer_uid=key.customer_uid), send, budget)


def fill_buyer(request: PaymentRequest, key: BillingKey) -> Buyer:
    """Buyer fields the request leaves out come from the key's customer data (V1 schedule)."""
    given, stored = request.buyer, key.customer
    return replace(
        given,
        name=given.name or stored.name,
        email=given.email or stored.email,
        tel=given.tel or stored.tel,
        addr=given.addr or stored.addr,
        postcode=given.postcode or stored.postcode,
    )


def load_routing(deps: Deps, merchant_id: str) -> Routing:
    routing = deps.store.load(Ref(Routing, (merchant_id,)))
    if routing is None:
        raise Refused(UNKNOWN_MERCHANT)
    return routing


def load_to_charge(deps: Deps, merchant_id: str) -> tuple[Routing, Health | None]:
    """The routing, and the health of its channels, in one batch."""
    routing, known = deps.store.load(Ref(Routing, (merchant_id,)), Ref(Health, (merchant_id,)))
    if routing is None:
        raise Refused(UNKNOWN_MERCHANT)
    return routing, known


def new_payment(deps: Deps, merchant_id: str, request: PaymentRequest, environment: Environment) -> Payment:
    now = deps.clock.now()
    return Payment(
        merchant_id=merchant_id,
        imp_uid=new_imp_uid(deps),
        environment=environment,
        request=request,
        state=State.CLAIMED,
        attempts=(),
        started_at=now,
        updated_at=now,
    )


def check_notice_urls(deps: Deps, request: PaymentRequest, where: str = "") -> None:
    """Raises InvalidRequest for a URL that may not be called. where: prefix of the field's name in the error."""
    for url in request.notice_urls:
        if reason := deps.sender.refuse_url(url):
            raise InvalidRequest(f"{where}notice_url", f"{where}notice_url: {reason}")


def new_imp_uid(deps: Deps) -> str:
    """V1's form: imp_ and 12 digits."""
    return f"imp_{deps.rng.randrange(10**12):012d}"


def run(deps: Deps, charge: Charge, order: Order | None) -> Payment:
    """Claim, send, and record; on to another channel where the group's failover setting allows it.

    order: as loaded, or None to claim a merchant_uid that is expected to be new. Returns the payment in whatever state
    it reached; `unknown` is one of them.
    """
    known = charge.health or Health(charge.routing.merchant_id)
    signs: list[Sign] = []
    payment = _carry_out(deps, replace(charge, plan=charge.plan.avoiding(known)), order, signs)
    health.note(deps, charge.plan.environment, known, signs)
    return payment


def _carry_out(deps: Deps, charge: Charge, order: Order | None, signs: list[Sign]) -> Payment:
    """signs: takes what the results say about their channels' health."""
    ends_at = deps.clock.monotonic() + charge.budget.total_seconds()
    decision = draw(charge.plan.choices, deps.rng, deps.clock.now())
    gateway = open_gateway(deps, charge.routing, decision.chosen)
    payment, order = claim(deps, _with_attempt(deps, charge, charge.seed, decision), order)
    while True:
        started = deps.clock.monotonic()
        result = _send(charge, gateway, payment.attempt, ends_at - started)
        took_ms = round((deps.clock.monotonic() - started) * 1000)
        if sign := what_it_says_of_health(payment, result):
            signs.append(sign)
        following = _next_decision(deps, charge, payment, result, ends_at)
        if following is None:
            return finish(deps, charge.routing, payment, order, result, took_ms)
        closed = _apply(deps, payment, _blamed(charge.routing, payment.attempt, result), took_ms)
        reopened = replace(closed, state=State.CLAIMED, failed_at=None, fail_reason=None)
        try:
            gateway = open_gateway(deps, charge.routing, following.chosen)
            # The new order id must be on record before it is used: a death here is settled by asking for it.
            (payment,) = deps.store.commit(_with_attempt(deps, charge, reopened, following))
        except (Conflict, StoreUnavailable, RouterError):  # no further: what came of this try is the result
            return finish(deps, charge.routing, payment, order, result, took_ms)


def _send(charge: Charge, gateway: Gateway, attempt: Attempt, timeout: float) -> Result:
    return guarded(lambda: charge.send(gateway, attempt, timeout), f"charge {attempt.order_id}")


def what_it_says_of_health(payment: Payment, result: Result) -> Sign | None:
    """What the result says about its channel. Who may not issue accounts may well charge cards (as with keys)."""
    if payment.pay_method == VIRTUAL_ACCOUNT and isinstance(result, Declined):
        return None
    return sign_of(payment.attempt.channel_key, payment.attempt.started_at, result)


def _with_attempt(deps: Deps, charge: Charge, payment: Payment, decision: Decision) -> Payment:
    lease = charge.budget + deps.timing.lease_margin
    return replace(add_attempt(deps, payment, decision), due_at=deps.clock.now() + lease)


def add_attempt(deps: Deps, payment: Payment, decision: Decision) -> Payment:
    """The payment with one try more, at the channel that was decided on."""
    chosen = next(c for c in decision.candidates if c.channel_key == decision.chosen)
    number = len(payment.attempts) + 1
    now = deps.clock.now()
    attempt = Attempt(
        number=number,
        order_id=order_id(payment.imp_uid, number),
        channel_key=chosen.channel_key,
        pg_provider=chosen.pg_provider,
        pg_id=chosen.pg_id,
        started_at=now,
        decision=decision,
    )
    return replace(payment, attempts=(*payment.attempts, attempt), updated_at=now)


def claim(deps: Deps, payment: Payment, order: Order | None, left: Payment | None = None) -> tuple[Payment, Order]:
    """Take the merchant_uid for this payment, before anything is sent.

    A merchant_uid is expected to be new; only when it is not, its order is read and the claim tried once more. A window
    that is open for it holds nothing of value: this payment takes its place. left: that window's payment, ended.
    """
    uid = payment.request.merchant_uid
    fresh = order or Order(payment.merchant_id, uid)
    try:
        payment, claimed, *_ = deps.store.commit(payment, fresh.claim(payment.imp_uid), *([left] if left else []))
    except Conflict as conflict:
        if isinstance(conflict.entity, Payment) and order is None:  # the imp_uid drawn is taken: draw another
            return claim(deps, _renamed(deps, payment), None)
        stored = deps.store.load(Ref(Order, (payment.merchant_id, uid)))
        if stored is None or order is not None:
            raise TryAgain("같은 주문번호의 다른 요청이 처리 중입니다. (another request is under way)") from None
        left = _left_open(deps, stored)
        (stored.release() if left else stored).check_free()
        return claim(deps, payment, stored, left)
    return payment, claimed


def without_open_window(deps: Deps, order: Order) -> Order:
    """The order, free of a window that is open for it, which holds nothing of value."""
    left = _left_open(deps, order)
    if left is None:
        return order
    try:
        released: Order = deps.store.commit(left, order.release())[1]
    except Conflict:  # something has come of the window
        return order
    return released


def _left_open(deps: Deps, order: Order) -> Payment | None:
    """The payment whose window is still open for this order, ended by the one that replaces it."""
    if not order.is_open:
        return None
    last = deps.store.load(Ref(Payment, (order.merchant_id, order.imp_uids[-1])))
    return window_left(deps, last, REPLACED) if last and last.state is State.OPENED else None


def _renamed(deps: Deps, payment: Payment) -> Payment:
    imp_uid = new_imp_uid(deps)
    first = replace(payment.attempt, order_id=order_id(imp_uid, 1))
    return replace(payment, imp_uid=imp_uid, attempts=(first,))


def _next_decision(deps: Deps, charge: Charge, payment: Payment, result: Result, ends_at: float) -> Decision | None:
    """The channel to try next, or None if this was the last try."""
    if not _may_fail_over(charge.plan.failover, result) or ends_at - deps.clock.monotonic() < MIN_ATTEMPT_SECONDS:
        return None
    tried = [attempt.channel_key for attempt in payment.attempts]
    try:
        return draw(choices_after(deps, charge.routing, charge.plan, tried), deps.rng, deps.clock.now())
    except NoChannel:
        return None


def choices_after(deps: Deps, routing: Routing, plan: Plan, tried: Sequence[str]) -> Choices:
    """Where a charge may go once these channels were tried, and another one may be."""
    return _settling_first(deps, routing, plan.choices.without(tried, zero_allowed=True))


def _settling_first(deps: Deps, routing: Routing, choices: Choices) -> Choices:
    """Without those whose lost replies only a person could clear up, as long as others are left."""
    last = [
        Exclusion(
            c.channel_key, c.pg_provider, "last", "결과를 조회할 수 없어 마지막에 시도합니다. (tried last)", c.weight
        )
        for c in choices.candidates
        if not deps.gateways.spec_of(routing.channel(c.channel_key)).settles_alone
    ]
    return choices.leaving_out(last, standbys=True) if last else choices


def _may_fail_over(failover: Failover, result: Result) -> bool:
    if failover is Failover.OFF:
        return False
    if isinstance(result, NotSent):
        return True
    return failover is Failover.DECLINED and isinstance(result, Declined) and result.reason.elsewhere


def _apply(deps: Deps, payment: Payment, result: Result, took_ms: int) -> Payment:
    now = deps.clock.now()
    match result:
        case Approved() if result.amount == payment.request.amount:
            return approve(payment, result, now, took_ms)
        case AwaitingDeposit() if deposits.is_wanted(payment, result):
            return deposits.opened(deps, payment, result, took_ms)
        case AwaitingDeposit():
            text = f"an account was issued for {result.amount.amount} {result.amount.currency}, which nobody asked for"
            return suspended(deps, replace(payment, gateway_ref=result.gateway_ref), Unknown(text), took_ms)
        case Approved():
            text = f"approved {result.amount.amount} {result.amount.currency}, another amount than asked for"
            return suspended(deps, replace(payment, gateway_ref=result.gateway_ref), Unknown(text), took_ms)
        case Declined():
            return decline(payment, result, now, took_ms)
        case NotSent():
            text = "결제 요청이 PG사에 전달되지 않았습니다. (the gateway could not be reached)"
            return fail_unsent(payment, text, now, took_ms, detail=result.detail)
        case Unknown() | Pending():
            return suspended(deps, payment, result, took_ms)


def finish(deps: Deps, routing: Routing, payment: Payment, order: Order, result: Result, took_ms: int) -> Payment:
    """Record what came of a claimed payment's try. Never raises: what cannot be stored is left to settlement."""
    result = _blamed(routing, payment.attempt, result)
    final = _apply(deps, payment, result, took_ms)
    try:
        try:
            return record(deps, routing, final, order)
        except Conflict:
            return _overtaken(deps, routing, payment, result, took_ms)
    except (StoreUnavailable, Conflict):
        # The gateway has answered and we could not write it down. The claim is stored: settlement asks the gateway
        # again, and until then the merchant is told `ready`. "Try again" would make them charge twice.
        log.exception("result of %s perhaps not stored", payment.imp_uid)
        return as_stored(deps, payment)


def _blamed(routing: Routing, attempt: Attempt, result: Result) -> Result:
    """A gateway that refuses the channel says nothing about the buyer's card: name the channel, and keep its words."""
    if not isinstance(result, Declined) or result.reason is not DeclineReason.CHANNEL_REJECTED:
        return result
    channel = routing.channels.get(attempt.channel_key)
    name = f"{channel.name}({attempt.pg_provider})" if channel else attempt.pg_provider
    text = f"결제 채널 설정 오류입니다: {name} [{result.code}] {result.message} (the gateway refuses this channel)"
    return replace(result, message=text)


def _overtaken(deps: Deps, routing: Routing, payment: Payment, result: Result, took_ms: int) -> Payment:
    """Settlement was faster, which a living claim does not allow: its lease is longer than its budget."""
    stored, order = deps.store.load(
        Ref(Payment, (payment.merchant_id, payment.imp_uid)),
        Ref(Order, (payment.merchant_id, payment.request.merchant_uid)),
    )
    if stored is None or order is None:
        raise StoreUnavailable(f"{payment.imp_uid} was claimed and is not there")
    if stored.is_unsettled and stored.state is not State.UNDOING:  # what is being undone stays that
        # A further attempt may have been stored though its write seemed to fail. It was not sent: it did not happen.
        stored = replace(stored, attempts=payment.attempts)
        return record(deps, routing, _apply(deps, stored, result, took_ms), order)
    if stored.state is State.FAILED and isinstance(result, Approved | Pending):
        what = "approved" if isinstance(result, Approved) else "taken for a review"
        text = f"{what} by {payment.attempt.pg_provider} after it was settled as failed: {result.gateway_ref}"
        known = replace(stored, gateway_ref=result.gateway_ref)
        due_at = deps.clock.now() if can_ask(deps, known) else stored.due_at  # then a look gives it back
        (stored,) = deps.store.commit(replace(known, alarm=text, due_at=due_at))
        alarm(text, stored)
    return stored
