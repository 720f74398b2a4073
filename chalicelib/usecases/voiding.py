"""Giving back what must not stay with the gateway, though no merchant asked for a cancel.

Test charges, approvals of another amount, approvals that come after a payment was called failed; and charges whose
outcome the gateway cannot tell before the time ends in which they can be undone (net-cancel).
"""

from collections.abc import Sequence
from dataclasses import replace

from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    CancelRequest,
    CancelResult,
    Declined,
    FindResult,
    GatewayCancel,
    NotFound,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.merchants import Routing
from chalicelib.domain.money import Money
from chalicelib.domain.payments import Payment, State, begin_undo, decline, give_back_late, undo, void
from chalicelib.ports import Deps, Gateway
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.looks import (
    ASK_TIMEOUT,
    LEASE,
    UNANSWERED,
    answered,
    call_person,
    can_ask,
    late_look,
    left,
    look_again,
    record_settled,
    store_look,
    undo_begins,
    undo_ends,
)
from chalicelib.usecases.recording import store_payment
from chalicelib.usecases.vault import open_kept

UNDONE = "결제 결과를 확인할 수 없어 승인을 취소했습니다. (the outcome could not be confirmed: undone)"
OTHER_AMOUNT = "요청 금액과 다른 금액이 승인되어 취소되었습니다. (approved for another amount, voided)"


def undo_or_ask_again(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    """The gateway's answer settles nothing. Undo the charge if it is time to, else come back, or call a person."""
    now = deps.clock.now()
    begins, ends = undo_begins(deps, payment), undo_ends(deps, payment)
    if begins and ends and begins <= now < ends:
        _undo(deps, routing, gateway, payment)
    elif not can_ask(deps, payment, gateway):
        call_person(deps, payment, f"the gateway cannot be asked what became of {payment.attempt.order_id}")
    elif payment.state is State.UNDOING:
        late = replace(payment, alarm=payment.alarm or f"{UNANSWERED}: it could not be undone in time")
        look_again(deps, payment, found, found=late)
    else:
        look_again(deps, payment, found)


def _undo(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment) -> None:
    """Decide first, then tell the gateway: an approval found after that is to be given back, and never a payment."""
    now = deps.clock.now()
    if payment.state is not State.UNDOING:
        (payment,) = deps.store.commit(begin_undo(payment, now, now + LEASE))
    amount = payment.request.amount
    request = _void_request(payment, gateway_ref="", charged=amount, amount=amount)
    request = replace(request, kept=open_kept(deps, routing, payment))
    result = guarded(lambda: gateway.cancel(request, ASK_TIMEOUT), f"net-cancel {request.order_id}")
    if isinstance(result, Cancelled):
        _record_undone(deps, routing, payment, result.cancel.gateway_ref)
    else:  # also a no: it may be that there is nothing to undo yet, or nothing any more
        look_again(deps, payment, result)


def take_back(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: Approved) -> None:
    """What is being undone was approved. Now that its reference is known, an ordinary cancel works too."""
    if (cancels := _void_rest(deps, gateway, payment, found)) is not None:
        _record_undone(deps, routing, payment, cancels[-1].gateway_ref if cancels else found.gateway_ref)


def _record_undone(deps: Deps, routing: Routing, payment: Payment, reference: str) -> None:
    record_settled(deps, routing, undo(payment, UNDONE, deps.clock.now(), detail=f"undone: {reference}"))


def void_wrong_amount(deps: Deps, routing: Routing, gateway: Gateway, payment: Payment, found: Approved) -> None:
    """The gateway took another amount than was asked for: give all of it back and call the payment failed."""
    if _void_rest(deps, gateway, payment, found) is not None:
        refused = Declined(DeclineReason.AMOUNT_NOT_ALLOWED, "AMOUNT_MISMATCH", OTHER_AMOUNT)
        record_settled(deps, routing, decline(payment, refused, deps.clock.now()))


def look_for_late_approval(deps: Deps, gateway: Gateway, payment: Payment, found: FindResult) -> None:
    """The payment was called failed, since the gateway knew nothing of it, or a person. If it does now, it goes back.

    That nothing is left of an approval means that it was given back, and whoever did died before saying so.
    """
    if not can_ask(deps, payment, gateway):
        store_look(deps, payment, replace(payment, due_at=None))
    elif isinstance(found, Approved) and (left(found).amount or payment.attempt.outcome in ("not_sent", "by_hand")):
        text = f"approved by {payment.attempt.pg_provider} after it was settled as failed"
        late = replace(payment, alarm=payment.alarm or text)
        if _void_rest(deps, gateway, payment, found, looked=late) is not None:
            done = give_back_late(payment, f"{text}; voided: {found.gateway_ref}")
            store_look(deps, payment, replace(done, due_at=late_look(deps, done, gateway=gateway)))
    elif isinstance(found, NotFound | Approved | Declined):
        store_look(deps, payment, replace(answered(payment), due_at=late_look(deps, payment, gateway=gateway)))
    else:
        look_again(deps, payment, found)


def give_back(deps: Deps, gateway: Gateway, payment: Payment, found: FindResult, timeout: float = ASK_TIMEOUT) -> None:
    """Void a test charge, and come back to it for as long as the gateway has not clearly given it back."""
    if not can_ask(deps, payment, gateway):  # then what it said at once has to do
        found = approved_before(payment)
    if not isinstance(found, Approved):
        look_again(deps, payment, found)
        return
    cancels = _void_rest(deps, gateway, payment, found, timeout=timeout)
    if cancels is None:
        return
    voided = void(payment, cancels, deps.clock.now())
    if voided.awaits_void:
        look_again(deps, payment, Unknown("the gateway's cancels do not add up to the charge"))
    else:
        store_payment(deps, voided, None, [])


def approved_before(payment: Payment) -> Approved:
    """What the gateway has said of a payment that is paid."""
    return Approved(payment.gateway_ref or "", payment.request.amount, payment.paid_at or payment.updated_at)


def _void_rest(
    deps: Deps,
    gateway: Gateway,
    payment: Payment,
    found: Approved,
    *,
    looked: Payment | None = None,
    timeout: float = ASK_TIMEOUT,
) -> tuple[GatewayCancel, ...] | None:
    """All the cancels the gateway has once nothing is left of a charge. None: not yet; it will be looked at again.

    looked: the payment with what the look has found out.
    """
    amount = left(found)
    if not amount.amount:
        return found.cancels
    request = _void_request(
        payment, gateway_ref=found.gateway_ref, charged=found.amount, amount=amount, cancels=found.cancels
    )
    result = gateway.cancel(request, timeout)
    if isinstance(result, Cancelled):
        return (*found.cancels, result.cancel)
    look_again(deps, payment, result, found=_after_refusal(looked or payment, result))
    return None


def _void_request(
    payment: Payment, *, gateway_ref: str, charged: Money, amount: Money, cancels: Sequence[GatewayCancel] = ()
) -> CancelRequest:
    """cancels: those that the charge has had."""
    return CancelRequest(
        # The same id until the gateway refuses it: a refusal may be replayed for as long as the id is known.
        cancel_id=f"{payment.attempt.order_id}v{payment.void_tries + 1}",
        order_id=payment.attempt.order_id,
        gateway_ref=gateway_ref,
        amount=amount,
        balance=amount,
        charged=charged,
        reason="카드 확인용 결제" if payment.to_be_voided else "승인 결과 불일치",
        charged_at=payment.attempt.started_at,
        sequence=len(cancels) + 1,
        pay_method=payment.pay_method,
    )


def _after_refusal(payment: Payment, result: CancelResult) -> Payment:
    if not isinstance(result, Declined):
        return payment
    text = f"the gateway refuses to give it back: [{result.code}] {result.message}"[:300]
    return replace(payment, void_tries=payment.void_tries + 1, alarm=payment.alarm or text)
