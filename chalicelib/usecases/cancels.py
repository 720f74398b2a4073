"""Giving money back: claim the amount on our side first, then ask the gateway, then write down what it said."""

import logging
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from chalicelib.domain.cancels import check_paid, claim_cancel
from chalicelib.domain.charging import CancelResult, Declined, NotSent, Operation, RefundAccount
from chalicelib.domain.errors import InvalidRequest, Refused, TryAgain
from chalicelib.domain.merchants import Routing
from chalicelib.domain.money import Money, parse_money
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import VIRTUAL_ACCOUNT, Cancellation, CancelState, Payment
from chalicelib.domain.specs import GatewaySpec
from chalicelib.ports import Conflict, Deps, Gateway, Ref, StoreUnavailable
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.recording import as_stored
from chalicelib.usecases.settling import cancel_request, record_cancel
from chalicelib.usecases.vault import open_gateway

log = logging.getLogger(__name__)

NOTHING_TO_CANCEL = "취소할 결제건이 존재하지 않습니다."
CLAIM_TRIES = 5
ACCOUNT_NUMBER = r"[0-9](?:[ -]?[0-9]){0,19}"


@dataclass(frozen=True, slots=True)
class Cancel:
    """amount, checksum, tax_free, vat: major units of the payment's currency, as the caller sent them.

    amount None or 0 = all that is left. checksum: the caller's view of what is left; a mismatch cancels nothing.
    """

    imp_uid: str | None = None
    merchant_uid: str | None = None
    amount: Decimal | None = None
    checksum: Decimal | None = None
    reason: str | None = None
    tax_free: Decimal | None = None
    vat_amount: Decimal | None = None
    refund_to: RefundAccount | None = None
    notify: bool = False
    budget: timedelta | None = None
    """What is left of the caller's time; None = all of it."""


def cancel(deps: Deps, merchant_id: str, wanted: Cancel) -> Payment:
    """Cancel all or part of a payment (V1 `payments/cancel`). Raises Refused with V1's words where it has them.

    Returns the payment with its cancel still open if the gateway's answer is unclear: settlement brings it to an end,
    and a caller who was told "no" would ask once more, and give back twice.
    """
    imp_uid = _imp_uid(deps, merchant_id, wanted)
    payment, routing = deps.store.load(Ref(Payment, (merchant_id, imp_uid)), Ref(Routing, (merchant_id,)))
    if payment is None or routing is None:
        raise Refused(NOTHING_TO_CANCEL)
    _check(deps, payment, wanted)
    gateway = open_gateway(deps, routing, payment.attempt.channel_key)
    claimed, entry = _claim(deps, gateway.spec, payment, wanted)
    budget = wanted.budget or deps.timing.request_budget
    result = _send(gateway, claimed, entry, budget.total_seconds())
    try:
        stored = record_cancel(deps, routing, claimed, entry, result)
    except (Conflict, StoreUnavailable):
        log.exception("result of cancel %s perhaps not stored", entry.cancel_id)
        stored = as_stored(deps, claimed)
    return _answer(stored, entry.cancel_id, result)


def _imp_uid(deps: Deps, merchant_id: str, wanted: Cancel) -> str:
    """imp_uid wins over merchant_uid, also when it is wrong (V1)."""
    if wanted.imp_uid:
        return wanted.imp_uid
    if not wanted.merchant_uid:
        raise InvalidRequest("imp_uid", "imp_uid 또는 merchant_uid를 지정해주셔야합니다. (imp_uid or merchant_uid)")
    order = deps.store.load(Ref(Order, (merchant_id, wanted.merchant_uid)))
    if order is None or not order.imp_uids:
        raise Refused(NOTHING_TO_CANCEL)
    return order.imp_uids[-1]


def _check(deps: Deps, payment: Payment, wanted: Cancel) -> None:
    check_paid(payment)
    if payment.pay_method == VIRTUAL_ACCOUNT:
        check_refund_account(deps, payment, wanted.refund_to or RefundAccount())
    if (
        payment.balance.amount
        and wanted.checksum is not None
        and _money(payment, wanted, "checksum") != payment.balance
    ):
        raise Refused(
            f"checksum: 취소 가능한 잔액({payment.balance.to_decimal()})과 다릅니다. (differs from what is left)",
            field="checksum",
        )


def check_refund_account(deps: Deps, payment: Payment, refund_to: RefundAccount) -> None:
    """A deposit cannot go back the way it came: the buyer's account has to be named. Raises Refused."""
    for field, value in (
        ("refund_holder", refund_to.holder),
        ("refund_bank", refund_to.bank),
        ("refund_account", refund_to.account),
    ):
        if not (value or "").strip():
            raise Refused(f"{field}: 가상계좌 결제를 취소할 때 필수 값입니다. (required for a refund)", field=field)
    if not re.fullmatch(ACCOUNT_NUMBER, (refund_to.account or "").strip()):  # what is left out could make it another's
        raise Refused(
            "refund_account: 숫자와 하이픈(-)만 사용할 수 있습니다. (digits and hyphens only)", field="refund_account"
        )
    spec = deps.gateways.spec(payment.attempt.pg_provider)
    if spec.virtual_accounts and refund_to.bank not in spec.virtual_accounts.refund_banks:
        raise Refused(
            f"refund_bank: {spec.label}에서 환불할 수 없는 은행입니다. (bank not supported)", field="refund_bank"
        )


def check_part(spec: GatewaySpec, payment: Payment, amount: Money) -> None:
    """Raises Refused for a part that the gateway does not give back."""
    done = sum(cancel.state is CancelState.DONE for cancel in payment.cancels)
    if amount != payment.request.amount and Operation.PARTIAL_CANCEL not in spec.operations:
        raise Refused(f"amount: {spec.label}은(는) 부분취소를 지원하지 않습니다. (no partial cancels)", field="amount")
    if spec.max_cancels is not None and done >= spec.max_cancels:
        text = f"amount: {spec.label}은(는) 결제당 {spec.max_cancels}번까지 취소할 수 있습니다. (no more cancels)"
        raise Refused(text, field="amount")


def _claim(deps: Deps, spec: GatewaySpec, payment: Payment, wanted: Cancel) -> tuple[Payment, Cancellation]:
    for _ in range(CLAIM_TRIES):
        entry = _entry(deps, payment, wanted)
        check_part(spec, payment, entry.amount)
        due_at = deps.clock.now() + deps.timing.request_budget + deps.timing.lease_margin
        try:
            (claimed,) = deps.store.commit(claim_cancel(payment, entry, due_at))
        except Conflict:
            reloaded = deps.store.load(Ref(Payment, (payment.merchant_id, payment.imp_uid)))
            if reloaded is None:
                raise Refused(NOTHING_TO_CANCEL) from None
            payment = reloaded
            _check(deps, payment, wanted)
        else:
            return claimed, entry
    raise TryAgain("이 결제의 다른 취소가 진행 중입니다. 잠시 후 조회해 주세요. (another cancel is under way)")


def _entry(deps: Deps, payment: Payment, wanted: Cancel) -> Cancellation:
    given = _money(payment, wanted, "amount")
    amount = given if given and given.amount else payment.balance
    tax_free, vat = _part(payment, wanted, "tax_free", amount), _part(payment, wanted, "vat_amount", amount)
    if tax_free and vat and tax_free.amount + vat.amount > amount.amount:
        raise InvalidRequest(
            "vat_amount",
            "vat_amount: tax_free와 더해 취소금액보다 클 수 없습니다. (more than the amount with tax_free)",
        )
    return Cancellation(
        cancel_id=f"{payment.imp_uid.replace('_', '')}c{len(payment.cancels) + 1}",
        amount=amount,
        reason=wanted.reason or "",
        state=CancelState.CLAIMED,
        requested_at=deps.clock.now(),
        notify=wanted.notify,
        tax_free=tax_free.amount if tax_free else 0,
        vat=vat.amount if vat else None,
        refund_to=wanted.refund_to if payment.pay_method == VIRTUAL_ACCOUNT else None,
    )


def _part(payment: Payment, wanted: Cancel, name: str, amount: Money) -> Money | None:
    part = _money(payment, wanted, name)
    if part and part.amount > amount.amount:
        raise InvalidRequest(name, f"{name}: 취소금액보다 클 수 없습니다. (more than the amount to cancel)")
    return part


def _money(payment: Payment, wanted: Cancel, name: str) -> Money | None:
    value = getattr(wanted, name)
    return None if value is None else parse_money(value, payment.request.amount.currency, name)


def _send(gateway: Gateway, payment: Payment, entry: Cancellation, timeout: float) -> CancelResult:
    return guarded(lambda: gateway.cancel(cancel_request(payment, entry), timeout), f"cancel {entry.cancel_id}")


def _answer(payment: Payment, cancel_id: str, result: CancelResult) -> Payment:
    failed = any(c.cancel_id == cancel_id and c.state is CancelState.FAILED for c in payment.cancels)
    match result:
        case _ if not failed:  # also if settlement was faster, and made it work
            return payment
        case Declined():
            raise Refused(f"[{result.code}] {result.message}", code=-1)
        case NotSent():
            raise Refused(
                "PG사에 연결할 수 없어 취소하지 못했습니다. 다시 시도해 주세요. (gateway unreachable)", code=-1
            )
        case _:
            return payment
