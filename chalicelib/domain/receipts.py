"""Cash receipts (현금영수증): tax documents for what was paid in cash, at most one valid at a time for one thing paid.

issuing -> issued | failed;  issued -> cancelling -> cancelled, or back to issued if refused. A receipt is issued in
attempts, each with an order id of its own at the gateway. The next may begin only when the last has failed or was
cancelled, so that no two of them can be valid.

`issuing` and `cancelling` are on record before the gateway is asked. Until `busy_until` somebody is at it. After that
nobody knows what came of it, and whoever comes next asks the gateway, or sends the same again under the same order id.

The identifier of the holder (a phone or resident number) is personal: it is in `CashReceiptRequest` and nowhere else,
so only the merchant, who sends it again, can repeat an issue; no timer can.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Buyer, Declined, IdentifierType, NotFound, NotSent, ReceiptType, Unknown
from chalicelib.domain.errors import InvalidRequest, Refused, TryAgain
from chalicelib.domain.money import Money
from chalicelib.domain.specs import GatewaySpec

MAX_ATTEMPTS = 100
"""Attempts one receipt may collect; keeps its item far below DynamoDB's 400 KB."""

BEING_CONFIRMED = (
    "현금영수증 발급 결과를 확인하고 있습니다. 같은 값으로 다시 요청해 주세요. 두 번 발급되지 않습니다."
    " (the issue is being confirmed: repeat it, nothing is issued twice)"
)
CANCEL_BEING_CONFIRMED = (
    "현금영수증 취소 결과를 확인하고 있습니다. 취소를 다시 요청해 주세요. (the cancel is being confirmed: repeat it)"
)
NOT_IN_FORCE = (
    "앞서 요청한 현금영수증은 발급되지 않았습니다. 필요하면 다시 요청해 주세요."
    " (what was asked for earlier was not issued: repeat it)"
)
UNDER_WAY = "같은 건의 다른 현금영수증 요청이 처리 중입니다. 잠시 후 다시 시도해 주세요. (another request is under way)"
ALREADY_ISSUED = "이미 현금영수증이 발급된 건입니다. (already issued)"
ALREADY_CANCELLED = "이미 취소된 현금영수증입니다. (already cancelled)"
NEVER_ISSUED = "현금영수증이 발급된 내역이 없습니다. (no cash receipt was issued)"


# --- what is asked of a gateway, and what it may answer -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReceiptTerms:
    """What a receipt states. tax_free and vat are parts of amount, in its minor units."""

    type: ReceiptType
    amount: Money
    tax_free: int
    vat: int

    @property
    def supply(self) -> int:
        """The price of what is taxed, without its tax."""
        return self.amount.amount - self.tax_free - self.vat


@dataclass(frozen=True, slots=True)
class CashReceiptRequest:
    """identifier: digits. Lives in memory only; the text form does not show it."""

    order_id: str
    terms: ReceiptTerms
    identifier: str = field(repr=False)
    identifier_type: IdentifierType
    name: str | None = None
    buyer: Buyer = field(default_factory=Buyer)


@dataclass(frozen=True, slots=True)
class CashReceiptCancel:
    """cancel_id: ours, unique per try, since a receipt can be cancelled only once anyway."""

    cancel_id: str
    order_id: str
    receipt_tid: str
    amount: Money


@dataclass(frozen=True, slots=True)
class CashReceiptIssued:
    """receipt_tid: the gateway's id. apply_num: the tax office's number. amount None: the gateway does not tell."""

    receipt_tid: str
    issued_at: datetime
    apply_num: str | None = None
    receipt_url: str | None = None
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class CashReceiptCancelled:
    """The receipt is not valid any more, whoever cancelled it."""

    cancelled_at: datetime


IssueReceiptResult = CashReceiptIssued | Declined | NotSent | Unknown
CancelReceiptResult = CashReceiptCancelled | Declined | NotSent | Unknown
FindReceiptResult = CashReceiptIssued | CashReceiptCancelled | NotFound | NotSent | Unknown


def default_vat(taxable: int) -> int:
    """An eleventh, rounded half up, as V1 and the gateways split an amount that includes its tax."""
    return (2 * taxable + 11) // 22


def objection(spec: GatewaySpec, terms: ReceiptTerms, identifier_type: IdentifierType) -> InvalidRequest | None:
    """Why this gateway cannot issue this receipt."""
    allowed = spec.receipt_identifiers.get(terms.type, frozenset())
    if identifier_type not in allowed:
        names = ", ".join(sorted(allowed))
        return InvalidRequest(
            "identifier_type",
            f"identifier_type: {spec.label}의 {terms.type} 현금영수증의 식별정보는 다음과 같습니다: {names} (one of)",
        )
    if terms.amount.currency not in spec.currencies:
        return InvalidRequest("currency", f"currency: {spec.label}에서 지원하지 않는 통화입니다. (currency)")
    if not spec.receipt_takes_vat and terms.vat != default_vat(terms.amount.amount - terms.tax_free):
        return InvalidRequest(
            "vat_amount",
            f"vat_amount: {spec.label}은(는) 부가세를 지정할 수 없습니다. tax_free를 사용해 주세요. (use tax_free)",
        )
    return None


# --- the receipt --------------------------------------------------------------------------------------------------


class Subject(StrEnum):
    """What a receipt is for. The values are V1's names of the ids."""

    PAYMENT = "imp_uid"
    EXTERNAL = "merchant_uid"
    """Cash that the merchant took by itself."""


class ReceiptState(StrEnum):
    ISSUING = "issuing"
    ISSUED = "issued"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReceiptAttempt:
    """One try to issue, and its cancel. since, sent_at: when the open question was first and last sent.

    code, message: the gateway's words, if it did not simply agree.
    """

    order_id: str
    channel_key: str
    pg_provider: str
    environment: Environment
    terms: ReceiptTerms
    state: ReceiptState
    since: datetime
    sent_at: datetime
    busy_until: datetime | None
    receipt_tid: str | None = None
    apply_num: str | None = None
    receipt_url: str | None = None
    issued_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_tries: int = 0
    code: str | None = None
    message: str | None = None

    @property
    def is_open(self) -> bool:
        """True while the outcome is under way or unknown."""
        return self.state in (ReceiptState.ISSUING, ReceiptState.CANCELLING)


@dataclass(frozen=True, slots=True)
class CashReceipt:
    """subject_id: an imp_uid, or a merchant_uid of cash taken elsewhere."""

    merchant_id: str
    subject: Subject
    subject_id: str
    attempts: tuple[ReceiptAttempt, ...] = ()
    version: int = 0

    @property
    def last(self) -> ReceiptAttempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def current(self) -> ReceiptAttempt:
        """The last attempt, of a receipt that has one."""
        return self.attempts[-1]

    @property
    def is_valid(self) -> bool:
        """True while there surely is a receipt: also while its cancel is not confirmed."""
        return self.last is not None and self.last.state in (ReceiptState.ISSUED, ReceiptState.CANCELLING)

    @property
    def in_doubt(self) -> bool:
        """True while an issue is under way or its outcome unknown."""
        return self.last is not None and self.last.state is ReceiptState.ISSUING

    def to_show(self) -> ReceiptAttempt | None:
        """The attempt that last became a receipt, be it cancelled by now. Raises Refused while one is in doubt."""
        if self.in_doubt:
            raise Refused(BEING_CONFIRMED, code=-1)
        return next((a for a in reversed(self.attempts) if a.receipt_tid), None)

    def check_issuable(self, now: datetime) -> None:
        """Raises unless a receipt may be issued, or an issue in doubt be repeated."""
        name, last = self.subject.value, self.last
        if last is None:
            return
        _check_idle(last, now)
        if last.state is ReceiptState.CANCELLING:
            raise Refused(CANCEL_BEING_CONFIRMED, code=-1)
        if last.state is ReceiptState.ISSUED:
            raise InvalidRequest(name, f"{name}: {ALREADY_ISSUED}")
        if not self.in_doubt and len(self.attempts) >= MAX_ATTEMPTS:
            raise InvalidRequest(
                name, f"{name}: 현금영수증은 {MAX_ATTEMPTS}번까지 시도할 수 있습니다. (too many tries)"
            )

    def check_cancellable(self, now: datetime) -> None:
        """Raises unless there is a valid receipt. The caller has looked at it by `to_show`."""
        last = self.current
        _check_idle(last, now)
        if not self.is_valid:
            name = self.subject.value
            raise InvalidRequest(name, f"{name}: {ALREADY_CANCELLED}")

    def begin(self, attempt: ReceiptAttempt) -> "CashReceipt":
        return replace(self, attempts=(*self.attempts, attempt))

    def begin_cancel(self, now: datetime, busy_until: datetime) -> "CashReceipt":
        """Claim a cancel, or its repetition."""
        since = self.current.since if self.current.state is ReceiptState.CANCELLING else now
        return self._with(
            state=ReceiptState.CANCELLING,
            since=since,
            sent_at=now,
            busy_until=busy_until,
            cancel_tries=self.current.cancel_tries + 1,
        )

    def hold(self, sent_at: datetime, busy_until: datetime) -> "CashReceipt":
        """Claim an issue in doubt, in order to find out about it. sent_at: now, if it may be sent once more."""
        return self._with(sent_at=sent_at, busy_until=busy_until)

    def issued(self, result: CashReceiptIssued) -> "CashReceipt":
        return self._settled(
            state=ReceiptState.ISSUED,
            receipt_tid=result.receipt_tid,
            apply_num=result.apply_num,
            receipt_url=result.receipt_url,
            issued_at=result.issued_at,
        )

    def cancelled(self, result: CashReceiptCancelled) -> "CashReceipt":
        return self._settled(state=ReceiptState.CANCELLED, cancelled_at=result.cancelled_at)

    def refused(self, code: str | None, message: str) -> "CashReceipt":
        """The gateway has surely not done what it was asked for."""
        cancelling = self.current.state is ReceiptState.CANCELLING
        state = ReceiptState.ISSUED if cancelling else ReceiptState.FAILED
        return self._settled(state=state, code=code, message=message)

    def suspended(self, code: str | None, message: str) -> "CashReceipt":
        return self._with(busy_until=None, code=code, message=message)

    def _settled(self, **changes: object) -> "CashReceipt":
        return self._with(**{"busy_until": None, "code": None, "message": None, **changes})

    def _with(self, **changes: object) -> "CashReceipt":
        last = replace(self.current, **changes)  # type: ignore[arg-type]
        return replace(self, attempts=(*self.attempts[:-1], last))


def _check_idle(attempt: ReceiptAttempt, now: datetime) -> None:
    if attempt.is_open and attempt.busy_until and now < attempt.busy_until:
        raise TryAgain(UNDER_WAY)
