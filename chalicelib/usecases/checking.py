"""Checking a card before payments are reserved on it (V1 `checking_amount`): a small charge, given back at once.

Money-safe from its claim on: the payment is stored as one `to_be_voided` before it is sent, so whoever finds it
approved gives it back, be it this call or the timer that takes over when this call dies, gets no answer, or is out of
time. It stands under a merchant_uid of its own, and the merchant gets no webhooks for it.
"""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.domain.charging import PaymentRequest
from chalicelib.domain.errors import Refused, TryAgain
from chalicelib.domain.merchants import Routing
from chalicelib.domain.money import Money
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Deps
from chalicelib.usecases import billing_keys, voiding
from chalicelib.usecases.charges import MIN_ATTEMPT_SECONDS, key_charge, run
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.schedules import load_key
from chalicelib.usecases.vault import open_gateway

log = logging.getLogger(__name__)

NAME = "카드 확인 (자동 취소)"
NO_TIME = "카드를 확인할 시간이 부족해 예약하지 않았습니다. 다시 시도해 주세요. (no time left to check the card)"
UNCONFIRMED = (
    "카드 확인 결과를 알 수 없어 예약하지 않았습니다. 승인되었다면 자동으로 취소됩니다. "
    "(the check is being confirmed; nothing was booked)"
)
MIN_VOID_SECONDS = 2.0
"""With less than that left for the gateway's answer, the void is the timer's."""


@dataclass(frozen=True, slots=True)
class Check:
    """amount: what to charge and give back. like: a payment to be reserved; its buyer and product are the check's too.

    channel_key: pin. key_is_new: issued for this very booking. budget: what is left of the caller's time.
    """

    customer_uid: str
    amount: Money
    like: PaymentRequest
    channel_key: str | None = None
    key_is_new: bool = False
    budget: timedelta | None = None


def check(deps: Deps, merchant_id: str, wanted: Check) -> None:
    """Returns if the card took the charge. Raises Refused if not, or if that is not clear: then nothing may be booked.

    A key that was issued for this booking goes with it: on the next try, with another card, it would be in the way.
    A void without an answer is no reason to refuse: the card is good, and the timer gives the money back.
    """
    budget = wanted.budget or deps.timing.request_budget
    ends_at = deps.clock.monotonic() + budget.total_seconds()
    try:
        _charge_and_void(deps, merchant_id, wanted, ends_at)
    except Exception:  # also without a store for a moment: the caller will try again, perhaps with another card
        if wanted.key_is_new:
            left = max(ends_at - deps.clock.monotonic(), MIN_VOID_SECONDS)
            billing_keys.delete(deps, merchant_id, wanted.customer_uid, left)
        raise


def _charge_and_void(deps: Deps, merchant_id: str, wanted: Check, ends_at: float) -> None:
    key, routing, known = load_key(deps, merchant_id, wanted.customer_uid)
    left = ends_at - deps.clock.monotonic()
    if left < MIN_ATTEMPT_SECONDS:
        raise TryAgain(NO_TIME)
    target = Target(channel_key=wanted.channel_key)
    charge = key_charge(deps, routing, known, key, _request(deps, wanted), target, timedelta(seconds=left))
    seed = replace(charge.seed, to_be_voided=True, customer_uid_usage="payment")
    payment = run(deps, replace(charge, seed=seed), None)
    if payment.state is State.FAILED:
        raise _refused(payment)
    if payment.state is not State.PAID:
        raise TryAgain(UNCONFIRMED)
    _void(deps, routing, payment, ends_at - deps.clock.monotonic())


def _request(deps: Deps, wanted: Check) -> PaymentRequest:
    """Letters and digits only, as every gateway takes them, and too random to meet a merchant's own."""
    return PaymentRequest(
        merchant_uid=f"check{deps.rng.getrandbits(96):024x}",
        amount=wanted.amount,
        name=NAME,
        buyer=wanted.like.buyer,
        product_type=wanted.like.product_type,
        browser_ip=wanted.like.browser_ip,
    )


def _refused(payment: Payment) -> Refused:
    code, reason = payment.attempt.code, payment.fail_reason
    return Refused(f"[{code}] {reason}" if code else str(reason), code=-1)


def _void(deps: Deps, routing: Routing, payment: Payment, timeout: float) -> None:
    if not payment.awaits_void or timeout < MIN_VOID_SECONDS:
        return
    try:
        gateway = open_gateway(deps, routing, payment.attempt.channel_key)
        voiding.give_back(deps, gateway, payment, voiding.approved_before(payment), timeout)
    except Exception:  # the card is good, and the payment says that it has to go back: the timer sees to that
        log.exception("test charge %s not given back yet; left to the timer", payment.imp_uid)
