"""Cash receipts: claim on our side, ask the gateway, write down what it said; never two valid ones for one thing paid.

As with charges, an outcome that is not clearly yes, no or not sent is in doubt, and nothing new is issued until it is
settled. The timer cannot settle it, since the holder's identifier is not stored. The merchant's repeated request does:
it asks the gateway for our order id where that is possible, and else sends the same again under the same order id.
"""

import logging
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar, cast

from chalicelib.domain import errors
from chalicelib.domain.accounts import Audit
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Buyer,
    Declined,
    IdentifierType,
    NotFound,
    NotSent,
    Operation,
    ReceiptType,
    Unknown,
)
from chalicelib.domain.errors import InvalidRequest, NotIssued, NotSupported, Refused, TryAgain
from chalicelib.domain.merchants import Routing
from chalicelib.domain.money import Money, parse_money
from chalicelib.domain.payments import Payment, State
from chalicelib.domain.receipts import (
    BEING_CONFIRMED,
    CANCEL_BEING_CONFIRMED,
    NEVER_ISSUED,
    NOT_IN_FORCE,
    UNDER_WAY,
    CancelReceiptResult,
    CashReceipt,
    CashReceiptCancel,
    CashReceiptCancelled,
    CashReceiptIssued,
    CashReceiptRequest,
    FindReceiptResult,
    IssueReceiptResult,
    ReceiptAttempt,
    ReceiptState,
    ReceiptTerms,
    Subject,
    default_vat,
    objection,
)
from chalicelib.ports import Conflict, Deps, Gateway, Ref, StoreUnavailable
from chalicelib.usecases.choosing import Target, resolve
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.looks import scale
from chalicelib.usecases.lookups import UNKNOWN_PAYMENT
from chalicelib.usecases.vault import open_gateway

log = logging.getLogger(__name__)

R = TypeVar("R")

PAYMENT, EXTERNAL = Subject.PAYMENT, Subject.EXTERNAL
CASH_METHODS = ("vbank", "trans")
RECORD_TRIES = 5
UNREACHABLE = "PG사에 연결할 수 없어 처리하지 못했습니다. 다시 시도해 주세요. (gateway unreachable)"
WENT_BACK = "issued though its payment went back meanwhile: cancel it"
CONFIRMED = (
    "앞서 요청한 발급이 확인되었습니다. 식별정보를 바꾸어 요청했다면 취소 후 다시 발급해 주세요."
    " (the receipt asked for earlier; if this request names another holder, cancel it and issue anew)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """identifier: digits; personal, handed to the gateway and kept nowhere. tax_free, vat: won; vat None = an eleventh.

    budget: what is left of the caller's time; None = all of it.
    """

    identifier: str = field(repr=False)
    identifier_type: IdentifierType
    type: ReceiptType = ReceiptType.PERSON
    tax_free: Decimal | None = None
    vat: Decimal | None = None
    name: str | None = None
    buyer: Buyer = field(default_factory=Buyer)
    budget: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """remark: what the caller should know besides."""

    receipt: CashReceipt
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    channel_key: str
    pg_provider: str
    environment: Environment


@dataclass(frozen=True, slots=True)
class _Issue:
    """One receipt about to be issued. places: the channels that may issue it, best first. ends_at: monotonic.

    due: what it is for is paid. If not any more, an earlier issue is still asked for, but not sent again.
    """

    routing: Routing
    places: tuple[_Place, ...]
    wanted: Wanted
    terms: ReceiptTerms
    ends_at: float
    due: bool = True


# --- what can be done ---------------------------------------------------------------------------------------------


def issue_for_payment(deps: Deps, merchant_id: str, imp_uid: str, wanted: Wanted) -> Issued:
    """Issue the receipt of a payment in cash, for what is left of it (V1 `receipts/{imp_uid}`).

    Raises NotFound, InvalidRequest, NotSupported; Refused with the gateway's words or while the outcome is in doubt.
    """
    payment, routing, stored = deps.store.load(
        Ref(Payment, (merchant_id, imp_uid)),
        Ref(Routing, (merchant_id,)),
        Ref(CashReceipt, (merchant_id, Subject.PAYMENT, imp_uid)),
    )
    if payment is None or routing is None:
        raise errors.NotFound(UNKNOWN_PAYMENT)
    receipt = stored or CashReceipt(merchant_id, Subject.PAYMENT, imp_uid)
    amount = payment.balance
    if receipt.in_doubt:  # what was asked for earlier has to be found out also if the payment was cancelled since
        amount = receipt.current.terms.amount
    else:
        _check_paid_in_cash(payment)
    paid = payment.attempt
    place = _Place(paid.channel_key, paid.pg_provider, payment.environment)
    named = replace(wanted, name=payment.request.name)
    due = payment.state is State.PAID and payment.balance == amount
    issue = _Issue(routing, (place,), named, _terms(amount, wanted), _ends_at(deps, wanted.budget), due)
    return _issue(deps, receipt, issue)


def issue_external(
    deps: Deps, merchant_id: str, merchant_uid: str, amount: Decimal, wanted: Wanted, target: Target
) -> Issued:
    """Issue a receipt for cash that the merchant took by itself (V1 `receipts/external/{merchant_uid}`)."""
    routing, stored = deps.store.load(
        Ref(Routing, (merchant_id,)), Ref(CashReceipt, (merchant_id, Subject.EXTERNAL, merchant_uid))
    )
    if routing is None:
        raise Refused("등록되지 않은 가맹점입니다. (unknown merchant)")
    terms = _terms(parse_money(amount, "KRW", minimum=1), wanted)
    issue = _Issue(routing, _places(deps, routing, target), wanted, terms, _ends_at(deps, wanted.budget))
    return _issue(deps, stored or CashReceipt(merchant_id, Subject.EXTERNAL, merchant_uid), issue)


def find(deps: Deps, merchant_id: str, subject: Subject, subject_id: str) -> CashReceipt:
    """The receipt, be it cancelled by now. Raises NotIssued, and Refused while its issue is in doubt."""
    receipt = deps.store.load(Ref(CashReceipt, (merchant_id, subject, subject_id)))
    if receipt is None or receipt.to_show() is None:
        raise NotIssued(f"{subject_id}: {NEVER_ISSUED}")
    return receipt


def cancel(
    deps: Deps, merchant_id: str, subject: Subject, subject_id: str, budget: timedelta | None = None
) -> CashReceipt:
    """Cancel a valid receipt. Raises Refused with the gateway's words, or while the outcome is in doubt.

    V1 answers 400 for a payment without a receipt, 404 for cash taken elsewhere.
    """
    receipt, routing = deps.store.load(
        Ref(CashReceipt, (merchant_id, subject, subject_id)), Ref(Routing, (merchant_id,))
    )
    if receipt is None or routing is None or receipt.to_show() is None:
        if subject is Subject.PAYMENT:
            raise InvalidRequest(subject, f"{subject}: {NEVER_ISSUED}")
        raise NotIssued(f"{subject_id}: {NEVER_ISSUED}")
    now = deps.clock.now()
    receipt.check_cancellable(now)
    ends_at = _ends_at(deps, budget)
    gateway = open_gateway(deps, routing, receipt.current.channel_key)
    claimed = _claim(deps, receipt.begin_cancel(now, _lease(deps)))
    if receipt.current.state is ReceiptState.CANCELLING:
        result = _cancel_again(deps, gateway, receipt.current, claimed.current, ends_at)
    else:
        result = _send_cancel(deps, gateway, claimed.current, ends_at)
    return _close(deps, claimed, result, CANCEL_BEING_CONFIRMED)


# --- checks -------------------------------------------------------------------------------------------------------


def _check_paid_in_cash(payment: Payment) -> None:
    if payment.state is not State.PAID or not payment.balance.amount:
        raise InvalidRequest("imp_uid", "imp_uid: 결제완료(paid)된 건만 현금영수증을 발급할 수 있습니다. (not paid)")
    if payment.pay_method not in CASH_METHODS:
        raise InvalidRequest(
            "imp_uid", "imp_uid: 가상계좌, 계좌이체 결제만 현금영수증을 발급할 수 있습니다. (not paid in cash)"
        )
    if payment.open_cancel:
        raise TryAgain("이 결제의 취소가 진행 중입니다. 잠시 후 다시 시도해 주세요. (a cancel is under way)")


def _terms(amount: Money, wanted: Wanted) -> ReceiptTerms:
    tax_free = _part("tax_free", wanted.tax_free, amount, amount.amount) or 0
    taxable = amount.amount - tax_free
    vat = _part("vat_amount", wanted.vat, amount, taxable)
    return ReceiptTerms(wanted.type, amount, tax_free, default_vat(taxable) if vat is None else vat)


def _part(name: str, value: Decimal | None, amount: Money, limit: int) -> int | None:
    if value is None:
        return None
    part = parse_money(value, amount.currency, name).amount
    if part > limit:
        raise InvalidRequest(name, f"{name}: {limit} 이하여야 합니다. (more than the amount it is a part of)")
    return part


def _places(deps: Deps, routing: Routing, target: Target) -> tuple[_Place, ...]:
    """The channel that was named, or the enabled ones of the group, in its order."""
    found = resolve(routing, target)
    keys = [found.pin or ""]
    if found.group:
        enabled = [entry.channel_key for entry in found.group.at(deps.clock.now()).entries if entry.enabled]
        keys = [key for key in enabled if found.pin in (None, key)]
    channels = [routing.channels[key] for key in keys if key in routing.channels]
    return tuple(_Place(c.channel_key, c.pg_provider, c.environment) for c in channels)


def _first_able(deps: Deps, issue: _Issue) -> _Place:
    problems: list[InvalidRequest | NotSupported] = []
    for place in issue.places:
        spec = deps.gateways.spec(place.pg_provider)
        if Operation.CASH_RECEIPT not in spec.operations:
            text = f"{spec.label}은(는) 현금영수증 API를 지원하지 않습니다. (no cash receipts by API)"
            problems.append(NotSupported(text))
        elif problem := objection(spec, issue.terms, issue.wanted.identifier_type):
            problems.append(problem)
        else:
            return place
    # What the caller can mend is worth more than what a channel cannot do at all.
    mendable = [problem for problem in problems if isinstance(problem, InvalidRequest)]
    none_left = Refused("현금영수증을 발급할 채널이 없습니다. (no channel to issue it)", field="channel_key")
    raise [*mendable, *problems, none_left][0]


# --- issuing ------------------------------------------------------------------------------------------------------


def _issue(deps: Deps, receipt: CashReceipt, issue: _Issue) -> Issued:
    now = deps.clock.now()
    receipt.check_issuable(now)
    if receipt.in_doubt:
        return _confirm(deps, receipt, receipt.current, issue)
    place = _first_able(deps, issue)
    gateway = open_gateway(deps, issue.routing, place.channel_key)
    attempt = ReceiptAttempt(
        order_id=_order_id(deps, receipt),
        channel_key=place.channel_key,
        pg_provider=place.pg_provider,
        environment=place.environment,
        terms=issue.terms,
        state=ReceiptState.ISSUING,
        since=now,
        sent_at=now,
        busy_until=_lease(deps),
    )
    claimed = _claim(deps, receipt.begin(attempt))
    result = _send_issue(deps, gateway, claimed.current, issue)
    return Issued(_close(deps, claimed, result, BEING_CONFIRMED))


def _confirm(deps: Deps, receipt: CashReceipt, earlier: ReceiptAttempt, issue: _Issue) -> Issued:
    """Find out what became of an earlier request to issue, and go on from there.

    Only a yes is believed of a request that is sent again: a no may be about the repetition alone. The earlier
    one has surely not worked only if the gateway, asked after its settling delay, does not know it.
    """
    now = deps.clock.now()
    spec = deps.gateways.spec(earlier.pg_provider)
    can_ask = Operation.FIND_CASH_RECEIPT in spec.operations
    delay = spec.settling_delay * scale(deps, earlier.environment)
    # Not for ever, or one that is always repeated would never be old enough to be given up.
    may_repeat = issue.due and earlier.terms == issue.terms and not (can_ask and now >= earlier.since + delay)
    gateway = open_gateway(deps, issue.routing, earlier.channel_key)
    held = _claim(deps, receipt.hold(now if may_repeat else earlier.sent_at, _lease(deps)))
    result: FindReceiptResult | IssueReceiptResult = NotFound()
    if can_ask:
        result = _ask(deps, gateway, earlier, issue.ends_at)
        if isinstance(result, CashReceiptCancelled):
            record(deps, held.cancelled(result), BEING_CONFIRMED)
            raise Refused(NOT_IN_FORCE, code=-1)
        if isinstance(result, NotFound) and now >= earlier.sent_at + delay:
            record(deps, held.refused(None, "the gateway does not know it"), BEING_CONFIRMED)
            raise Refused(NOT_IN_FORCE, code=-1)
    if isinstance(result, NotFound) and may_repeat:
        result = _send_issue(deps, gateway, earlier, issue)
    if isinstance(result, CashReceiptIssued):
        return Issued(_close(deps, held, result, BEING_CONFIRMED), CONFIRMED)
    if not can_ask:
        _alarm(receipt, earlier, "no query tells whether the gateway has issued it")
    return Issued(_close(deps, held, _doubtful(result), BEING_CONFIRMED))


def _send_issue(deps: Deps, gateway: Gateway, attempt: ReceiptAttempt, issue: _Issue) -> IssueReceiptResult:
    wanted = issue.wanted
    request = CashReceiptRequest(
        attempt.order_id, attempt.terms, wanted.identifier, wanted.identifier_type, wanted.name, wanted.buyer
    )
    result = guarded(lambda: gateway.issue_cash_receipt(request, _left(deps, issue.ends_at)), "a cash receipt")
    match result:
        case Declined():
            return replace(result, code=_strike(result.code, wanted), message=_strike(result.message, wanted))
        case Unknown():
            code = result.code and _strike(result.code, wanted)
            return replace(result, code=code, detail=_strike(result.detail, wanted))
        case _:
            return _matching(result, attempt)


def _strike(text: str, wanted: Wanted) -> str:
    """A gateway's words without the identifier, however it was written."""
    return re.sub(r"[ -]?".join(wanted.identifier), "****", text)


# --- cancelling ---------------------------------------------------------------------------------------------------


def _cancel_again(
    deps: Deps, gateway: Gateway, earlier: ReceiptAttempt, claimed: ReceiptAttempt, ends_at: float
) -> CancelReceiptResult:
    """Ask whether the earlier cancel has worked, and cancel once more if not: that can harm nothing."""
    spec = deps.gateways.spec(earlier.pg_provider)
    if Operation.FIND_CASH_RECEIPT in spec.operations:
        found = _ask(deps, gateway, earlier, ends_at)
        if isinstance(found, CashReceiptCancelled):
            return found
        if isinstance(found, NotSent | Unknown):
            return _doubtful(found)
    result = _send_cancel(deps, gateway, claimed, ends_at)
    settled = deps.clock.now() >= earlier.sent_at + spec.settling_delay * scale(deps, earlier.environment)
    # Until the earlier cancel has either worked or cannot any more, a no to this one says nothing.
    if isinstance(result, CashReceiptCancelled) or (isinstance(result, Declined) and settled):
        return result
    return _doubtful(result)


def _send_cancel(deps: Deps, gateway: Gateway, attempt: ReceiptAttempt, ends_at: float) -> CancelReceiptResult:
    request = CashReceiptCancel(
        cancel_id=f"{attempt.order_id}c{attempt.cancel_tries}",
        order_id=attempt.order_id,
        receipt_tid=attempt.receipt_tid or "",
        amount=attempt.terms.amount,
    )
    return guarded(lambda: gateway.cancel_cash_receipt(request, _left(deps, ends_at)), "a cash receipt")


# --- both ---------------------------------------------------------------------------------------------------------


def _order_id(deps: Deps, receipt: CashReceipt) -> str:
    """The gateway's name for one attempt: letters and digits, unique, and telling for a payment."""
    if receipt.subject is Subject.PAYMENT:
        return f"{receipt.subject_id.replace('_', '')}r{len(receipt.attempts) + 1}"
    return f"rcp{deps.rng.getrandbits(64):016x}"


def _ends_at(deps: Deps, budget: timedelta | None) -> float:
    return deps.clock.monotonic() + (budget or deps.timing.request_budget).total_seconds()


def _left(deps: Deps, ends_at: float) -> float:
    return ends_at - deps.clock.monotonic()


def _lease(deps: Deps) -> datetime:
    return deps.clock.now() + deps.timing.request_budget + deps.timing.lease_margin


def _claim(deps: Deps, receipt: CashReceipt) -> CashReceipt:
    try:
        return cast("CashReceipt", deps.store.commit(receipt)[0])
    except Conflict:
        raise TryAgain(UNDER_WAY) from None


def _ask(deps: Deps, gateway: Gateway, attempt: ReceiptAttempt, ends_at: float) -> FindReceiptResult:
    """Half of the time that is left, so that something can still be sent after it."""
    timeout = _left(deps, ends_at) / 2
    found = guarded(
        lambda: gateway.find_cash_receipt(attempt.order_id, attempt.since, attempt.sent_at, timeout), "a cash receipt"
    )
    return _matching(found, attempt)


def _matching(result: R, attempt: ReceiptAttempt) -> R | Unknown:
    if isinstance(result, CashReceiptIssued) and result.amount not in (None, attempt.terms.amount):
        return Unknown("issued for another amount than was asked for")
    return result


def _doubtful(result: FindReceiptResult | IssueReceiptResult | CancelReceiptResult) -> Unknown:
    """What is not a yes, as an answer to something that may have worked before."""
    match result:
        case Unknown():
            return result
        case Declined():
            return Unknown(f"refused when repeated: {result.message}", result.code)
        case NotSent():
            return Unknown(result.detail)
        case _:
            return Unknown(type(result).__name__)


def _close(
    deps: Deps, receipt: CashReceipt, result: IssueReceiptResult | CancelReceiptResult, in_doubt: str
) -> CashReceipt:
    """Write down what came of a claim, and tell the caller. in_doubt: what to say if that is not clear."""
    match result:
        case CashReceiptIssued():
            return record(deps, receipt.issued(result), in_doubt)
        case CashReceiptCancelled():
            return record(deps, receipt.cancelled(result), in_doubt)
        case Declined():
            record(deps, receipt.refused(result.code, result.message), in_doubt)
            raise Refused(f"[{result.code}] {result.message}", code=-1)
        case NotSent():
            record(deps, receipt.refused(None, result.detail), in_doubt)
            raise Refused(UNREACHABLE, code=-1)
        case Unknown():
            record(deps, receipt.suspended(result.code, result.detail), in_doubt)
            raise Refused(in_doubt, code=-1)


def record(deps: Deps, receipt: CashReceipt, in_doubt: str, *audit: Audit) -> CashReceipt:
    """Store an outcome, and with it what the payment shows. Raises Refused(in_doubt) if that cannot be done now.

    audit: of a person who settled it.
    """
    try:
        for _ in range(RECORD_TRIES):
            try:
                return cast("CashReceipt", deps.store.commit(receipt, *_payment_changes(deps, receipt), *audit)[0])
            except Conflict as conflict:
                if isinstance(conflict.entity, CashReceipt):
                    raise
    except (Conflict, StoreUnavailable):
        log.exception("result of cash receipt %s not stored", receipt.current.order_id)
    # The claim is stored: a repeated request finds out what came of it.
    raise Refused(in_doubt, code=-1)


def _payment_changes(deps: Deps, receipt: CashReceipt) -> tuple[Payment, ...]:
    if receipt.subject is not Subject.PAYMENT:
        return ()
    payment = deps.store.load(Ref(Payment, (receipt.merchant_id, receipt.subject_id)))
    if payment is None:
        return ()
    changed = replace(payment, cash_receipt_issued=receipt.is_valid)
    if receipt.is_valid and not (payment.state is State.PAID and payment.balance.amount):
        _alarm(receipt, receipt.current, WENT_BACK)
        changed = replace(changed, alarm=payment.alarm or f"its cash receipt was {WENT_BACK}")
    return () if changed == payment else (changed,)


def _alarm(receipt: CashReceipt, attempt: ReceiptAttempt, what: str) -> None:
    """Call for a person: the log line becomes the NeedsAPerson metric (infra/template.yaml)."""
    text = "needs a person: cash receipt %s of %s %s: %s"
    log.error(text, attempt.order_id, receipt.subject.value, receipt.subject_id, what, extra={"needs_a_person": True})
