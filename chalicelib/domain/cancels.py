"""Giving money back: a cancel's way from its claim to its end, one at a time for each payment."""

from dataclasses import replace
from datetime import datetime

from chalicelib.domain.charging import Cancelled
from chalicelib.domain.errors import Refused, TryAgain
from chalicelib.domain.payments import Cancellation, CancelState, Payment, State

MAX_CANCELS = 50
"""Cancels one payment may collect, refused ones included; with the longest texts its item stays below 400 KB."""


def claim_cancel(payment: Payment, cancel: Cancellation, due_at: datetime) -> Payment:
    """Reserve a cancel. One at a time: with two in the air, the gateway's balance could not tell which one worked."""
    check_paid(payment)
    if len(payment.cancels) >= MAX_CANCELS:
        raise Refused(f"취소는 한 결제에 {MAX_CANCELS}번까지 시도할 수 있습니다. (too many cancels)")
    if payment.open_cancel:
        raise TryAgain("이 결제의 다른 취소가 진행 중입니다. 잠시 후 조회해 주세요. (another cancel is under way)")
    if payment.balance.amount == 0:
        raise Refused("이미 전액취소된 주문입니다.")
    if cancel.amount.amount > payment.balance.amount:
        raise Refused(
            f"취소 요청금액이 취소 가능한 잔액({payment.balance.to_decimal()})보다 큽니다. (more than is left)",
            field="amount",
        )
    return replace(payment, cancels=(*payment.cancels, cancel), due_at=due_at, checks=0, unknown_since=None)


def check_paid(payment: Payment) -> None:
    """Raises Refused or TryAgain unless there is something to give back."""
    if payment.to_be_voided:
        raise Refused("자동으로 취소되는 카드 확인용 결제입니다. (a test charge, voided automatically)")
    if payment.state is State.OPENED:
        raise Refused("결제창에서 아직 결제되지 않았습니다. (nothing was paid in its window yet)")
    if payment.state in (State.WAITING, State.REVOKING):
        raise Refused(
            "입금 전인 가상계좌는 취소할 수 없습니다. DELETE /vbanks/{imp_uid}로 말소해 주세요. "
            "(nothing was paid in yet: revoke it with DELETE /vbanks/{imp_uid})"
        )
    if payment.is_unsettled or payment.awaits_comparison:
        raise TryAgain("결제 결과를 확인하고 있어 아직 취소할 수 없습니다. (the payment is being confirmed)")
    if payment.state is not State.PAID:
        raise Refused("승인된 결제만 취소할 수 있습니다. (only a paid payment can be cancelled)")


def finish_cancel(payment: Payment, cancel_id: str, result: Cancelled, now: datetime) -> Payment:
    return _move_cancel(
        payment,
        cancel_id,
        now,
        state=CancelState.DONE,
        gateway_ref=result.cancel.gateway_ref or None,
        cancelled_at=result.cancel.cancelled_at,
        receipt_url=result.cancel.receipt_url,
        refund_to=None,
    )


def fail_cancel(payment: Payment, cancel_id: str, message: str, now: datetime) -> Payment:
    return _move_cancel(payment, cancel_id, now, state=CancelState.FAILED, message=message, refund_to=None)


def suspend_cancel(payment: Payment, cancel_id: str, message: str, now: datetime, due_at: datetime) -> Payment:
    moved = _move_cancel(payment, cancel_id, now, state=CancelState.UNKNOWN, message=message)
    return replace(moved, due_at=due_at)


def doubt_cancel(payment: Payment, cancel_id: str) -> Payment:
    """A person has said how this cancel ended."""
    cancels = tuple(replace(c, unproven=True) if c.cancel_id == cancel_id else c for c in payment.cancels)
    return replace(payment, cancels=cancels)


def prove_cancels(payment: Payment) -> Payment:
    """The gateway's books say the same as we."""
    return replace(payment, cancels=tuple(replace(c, unproven=False) for c in payment.cancels))


def reopen_cancel(payment: Payment) -> Payment:
    """The gateway's books say something else: what a person has said of a cancel is in doubt again, if there is one."""
    last = next((c for c in payment.cancels if c.unproven), None)
    if last is None:
        return payment
    doubtful = replace(last, state=CancelState.UNKNOWN, unproven=False, cancelled_at=None, gateway_ref=None)
    return replace(payment, cancels=tuple(doubtful if c is last else c for c in payment.cancels))


def _move_cancel(payment: Payment, cancel_id: str, now: datetime, **changes: object) -> Payment:
    if payment.open_cancel is None or payment.open_cancel.cancel_id != cancel_id:
        raise ValueError(f"{payment.imp_uid}: cancel {cancel_id} is not under way")
    cancels = tuple(
        replace(c, **changes) if c.cancel_id == cancel_id else c  # type: ignore[arg-type]
        for c in payment.cancels
    )
    return replace(payment, cancels=cancels, updated_at=now, due_at=None, alarm=None)
