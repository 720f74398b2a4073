"""What we ask of a gateway, what it may answer, and what it can do at all.

An answer is one of a closed set: `Approved`, `Declined`, `NotSent`, `Unknown`, and for queries `NotFound`. Only an
explicit yes is Approved and only an explicit no is Declined; everything else that may have reached the gateway is
Unknown, because money may have moved. A virtual account knows two answers more: `AwaitingDeposit` and `Revoked`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.money import Money


class Operation(StrEnum):
    CHARGE_CARD = "charge_card"
    """One-time charge with typed-in card data (key-in)."""
    ISSUE_BILLING_KEY = "issue_billing_key"
    CHARGE_BILLING_KEY = "charge_billing_key"
    DELETE_BILLING_KEY = "delete_billing_key"
    CANCEL = "cancel"
    PARTIAL_CANCEL = "partial_cancel"
    FIND = "find"
    """Query by our order id."""
    CASH_RECEIPT = "cash_receipt"
    """Issue and cancel cash receipts (현금영수증) by API."""
    FIND_CASH_RECEIPT = "find_cash_receipt"
    """Query a cash receipt by our order id."""
    ISSUE_VIRTUAL_ACCOUNT = "issue_virtual_account"
    """Issue and revoke virtual accounts (가상계좌) by API."""


class ReceiptType(StrEnum):
    PERSON = "person"
    """For the buyer's income tax (소득공제)."""
    COMPANY = "company"
    """Proof of a business's expense (지출증빙)."""


class IdentifierType(StrEnum):
    """What names the holder of a cash receipt to the tax office."""

    PHONE = "phone"
    PERSON = "person"
    """Resident registration number."""
    BUSINESS = "business"
    """Business registration number."""
    TAXCARD = "taxcard"
    """Number of a cash receipt card."""


@dataclass(frozen=True, slots=True)
class Card:
    """Card data of one request. Lives in memory only; its text form shows nothing.

    number: 14 to 16 digits without separators. expiry: YYYY and MM. birth: YYMMDD, or a 10-digit business number.
    """

    number: str
    expiry_year: str
    expiry_month: str
    birth: str | None = None
    password_2digits: str | None = None
    cvc: str | None = None

    def __repr__(self) -> str:
        return "Card(****)"

    @property
    def masked(self) -> str:
        """First six and last four digits, the most PCI DSS allows to keep."""
        return f"{self.number[:6]}{'*' * (len(self.number) - 10)}{self.number[-4:]}"


@dataclass(frozen=True, slots=True)
class CardSummary:
    """What may be stored and shown of a card. Codes are those of the Korean clearing house (금융결제원).

    type: 0 credit, 1 debit, None unknown.
    """

    name: str | None = None
    code: str | None = None
    issuer_code: str | None = None
    issuer_name: str | None = None
    publisher_code: str | None = None
    publisher_name: str | None = None
    number: str | None = None
    type: int | None = None


@dataclass(frozen=True, slots=True)
class Buyer:
    name: str | None = None
    email: str | None = None
    tel: str | None = None
    addr: str | None = None
    postcode: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What the merchant asks to collect, as stored with the payment. No card data.

    tax_free, vat: minor units of amount's currency; vat None leaves the split to the gateway.
    quota: months, 0 = lump sum.
    """

    merchant_uid: str
    amount: Money
    name: str | None = None
    tax_free: int = 0
    vat: int | None = None
    buyer: Buyer = field(default_factory=Buyer)
    quota: int = 0
    interest_free_by_merchant: bool = False
    use_card_point: bool = False
    product_type: str | None = None
    product_count: int = 1
    cash_receipt_type: str | None = None
    promotion_id: str | None = None
    browser_ip: str | None = None
    custom_data: str | None = None
    notice_urls: tuple[str, ...] = ()
    bypass: str | None = None


@dataclass(frozen=True, slots=True)
class IssueRequest:
    """order_id: ours, unique per try. customer_id: the merchant's name for the buyer, if it gave one."""

    order_id: str
    customer_uid: str
    customer_id: str | None = None
    customer: Buyer = field(default_factory=Buyer)


@dataclass(frozen=True, slots=True)
class VirtualAccountRequest:
    """What kind of account a buyer shall pay into. bank_code: the clearing house's. due_at: until when.

    fixed_key: the merchant's name for an account that the same buyer gets each time.
    """

    bank_code: str
    due_at: datetime
    holder: str | None = None
    fixed_key: str | None = None


@dataclass(frozen=True, slots=True)
class VirtualAccount:
    """An account to pay into, as a gateway has issued it. holder None: the gateway does not tell."""

    bank_code: str | None
    number: str
    due_at: datetime
    issued_at: datetime
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class RefundAccount:
    """Where a refund goes that cannot go back the way the money came (virtual accounts). Its text shows nothing."""

    holder: str | None = None
    bank: str | None = None
    account: str | None = None
    tel: str | None = None

    def __repr__(self) -> str:
        return "RefundAccount(****)"


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Give back `amount` of a charge.

    cancel_id: ours, letters and digits, unique per cancel: the gateway's guard against running it twice.
    balance: what is left before this cancel; full cancel if amount equals the charge's whole amount.
    """

    cancel_id: str
    order_id: str
    gateway_ref: str
    amount: Money
    balance: Money
    charged: Money
    reason: str
    tax_free: int = 0
    vat: int | None = None
    refund_to: RefundAccount | None = None


@dataclass(frozen=True, slots=True)
class GatewayCancel:
    """One cancel as the gateway has it in its books."""

    gateway_ref: str
    amount: Money
    cancelled_at: datetime
    reason: str | None = None
    receipt_url: str | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """The gateway has the money. balance: what is left after cancels, if the gateway tells; cancels: oldest first.

    account: the virtual account that it was paid into. notice_secret: see AwaitingDeposit.
    """

    gateway_ref: str
    amount: Money
    approved_at: datetime
    approval_number: str | None = None
    card: CardSummary | None = None
    receipt_url: str | None = None
    balance: Money | None = None
    cancels: tuple[GatewayCancel, ...] = ()
    account: VirtualAccount | None = None
    notice_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingDeposit:
    """A virtual account is there, and nothing was paid in. notice_secret: what the gateway's deposit notices carry."""

    gateway_ref: str
    amount: Money
    account: VirtualAccount
    notice_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Revoked:
    """The virtual account was closed before anything was paid in, and nothing can be any more."""

    revoked_at: datetime


@dataclass(frozen=True, slots=True)
class Declined:
    """The gateway said no, and no money moved. code, message: the gateway's own words."""

    reason: DeclineReason
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request surely never reached the gateway: refused connection, DNS, TLS.

    unwell: nobody opened, which speaks against the gateway. False: it was for us to send it, and we did not.
    """

    detail: str
    unwell: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request may have reached the gateway and no clear answer was read. Settle it before charging again.

    unwell: the gateway gave no answer, or an unreadable one, or HTTP 5xx, which speaks against it. False: it answered
    in its own words, and we cannot be sure what they mean, or whether they are about our question.
    """

    detail: str
    code: str | None = None
    unwell: bool = False


@dataclass(frozen=True, slots=True)
class NotFound:
    """The gateway has no transaction of that order id, as of now."""


@dataclass(frozen=True, slots=True)
class KeyIssued:
    """`secret`: what the adapter needs to charge later; stored sealed, opaque to everyone else."""

    secret: Mapping[str, str]
    card: CardSummary

    def __repr__(self) -> str:
        return "KeyIssued(****)"


@dataclass(frozen=True, slots=True)
class KeyDeleted:
    """The gateway will not charge this key again (also if it had been deleted before)."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    cancel: GatewayCancel
    balance: Money | None = None


@dataclass(frozen=True, slots=True)
class DepositNotice:
    """A gateway's word that something happened to a virtual account. secret: shows that the gateway sent it."""

    order_id: str
    secret: str = field(repr=False)


ChargeResult = Approved | Declined | NotSent | Unknown
IssueVirtualAccountResult = AwaitingDeposit | Declined | NotSent | Unknown
RevokeResult = Revoked | Declined | NotSent | Unknown
FindResult = Approved | AwaitingDeposit | Revoked | Declined | NotFound | NotSent | Unknown
CancelResult = Cancelled | Declined | NotSent | Unknown
IssueResult = KeyIssued | Declined | NotSent | Unknown
DeleteResult = KeyDeleted | Declined | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One thing a merchant types in to set up a channel."""

    name: str
    label: str
    secret: bool = True
    required: bool = True
    pattern: str = r"\S{1,500}"
    live_prefixes: tuple[str, ...] = ()
    """How a live value begins. In a test channel it would move real money under the name of a test."""
    test_prefixes: tuple[str, ...] = ()
    """How a test value begins. In a live channel nothing would be paid, and goods would be sent."""


@dataclass(frozen=True, slots=True)
class VirtualAccountRules:
    """banks, refund_banks: clearing-house codes of banks it issues at, and that it refunds to. longest: until due."""

    banks: frozenset[str]
    refund_banks: frozenset[str]
    longest: timedelta
    fixed: bool = False
    """The same buyer can be given the same account again."""


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """What a gateway can do, as data. Routing and settlement read this and know no gateway by name.

    required: per operation, names of PaymentRequest/Buyer fields ("buyer.email") the gateway insists on.
    settling_delay: only after so long does "not found" mean "not charged".
    net_cancel_window: how long an unanswered charge can be undone by order id; None = not at all.
    min_amount: minor units of KRW, for card charges.
    """

    provider: str
    label: str
    operations: frozenset[Operation]
    currencies: frozenset[str]
    credentials: tuple[CredentialField, ...]
    settling_delay: timedelta
    net_cancel_window: timedelta | None = None
    idempotency_key: bool = False
    required: Mapping[Operation, tuple[str, ...]] = field(default_factory=dict)
    card_fields: frozenset[str] = frozenset()
    """Card fields beyond number and expiry that the gateway cannot do without: birth, password_2digits, cvc."""
    merchant_uid_pattern: str | None = None
    min_amount: int = 0
    receipt_identifiers: Mapping[ReceiptType, frozenset[IdentifierType]] = field(default_factory=dict)
    """What may name the holder, per type of cash receipt."""
    receipt_takes_vat: bool = False
    """A cash receipt may state another VAT than an eleventh of what is taxable."""
    virtual_accounts: VirtualAccountRules | None = None

    @property
    def takes_card_data(self) -> bool:
        """True if a card can be charged, or a key issued, without the gateway's window."""
        return bool(self.operations & {Operation.CHARGE_CARD, Operation.ISSUE_BILLING_KEY})

    def objections(self, operation: Operation, request: PaymentRequest) -> tuple[str, ...]:
        """Why this gateway cannot take the request; empty if it can. Each text begins with the field's name."""
        import re  # noqa: PLC0415 - needed only for the few gateways that restrict order ids

        found = []
        if operation not in self.operations:
            found.append(f"{operation}: {self.label}에서 지원하지 않는 기능입니다. (not supported)")
        if request.amount.currency not in self.currencies:
            found.append(f"currency: {self.label}은(는) {request.amount.currency} 결제를 지원하지 않습니다. (currency)")
        if request.amount.currency == "KRW" and request.amount.amount < self.min_amount:
            found.append(f"amount: {self.label}의 최소 결제금액은 {self.min_amount}원입니다. (below the minimum)")
        if self.merchant_uid_pattern and not re.fullmatch(self.merchant_uid_pattern, request.merchant_uid):
            found.append(f"merchant_uid: {self.label}에서 사용할 수 없는 문자가 있습니다. (characters not accepted)")
        for path in self.required.get(operation, ()):
            value: object = request
            for part in path.split("."):
                value = getattr(value, part)
            if value in (None, ""):
                found.append(f"{path.replace('.', '_')}: {self.label}의 필수 값입니다. (required)")
        return tuple(found)

    def card_objections(self, card: Card) -> tuple[str, ...]:
        """Card fields this gateway needs and the request does not have."""
        names = {"birth": card.birth, "password_2digits": card.password_2digits, "cvc": card.cvc}
        wire = {"birth": "birth", "password_2digits": "pwd_2digit", "cvc": "cvc"}
        return tuple(
            f"{wire[name]}: {self.label}의 필수 값입니다. (required)"
            for name in sorted(self.card_fields)
            if not names[name]
        )

    def account_objections(
        self, request: PaymentRequest, account: VirtualAccountRequest, now: datetime
    ) -> tuple[str, ...]:
        """Why this gateway cannot issue such a virtual account."""
        rules = self.virtual_accounts
        if rules is None:
            text = f"{self.label}은(는) 가상계좌 API 발급을 지원하지 않습니다. 지원하는 PG사와의 계약이 필요합니다."
            return (f"{text} (virtual accounts need a contract with a gateway that issues them by API)",)
        found = list(self.objections(Operation.ISSUE_VIRTUAL_ACCOUNT, request))
        if account.bank_code not in rules.banks:
            found.append(f"vbank_code: {self.label}에서 발급할 수 없는 은행입니다. (bank not supported)")
        if account.due_at > now + rules.longest:
            found.append(f"vbank_due: {self.label}의 입금기한은 최대 {rules.longest.days}일입니다. (too far ahead)")
        if account.fixed_key and not rules.fixed:
            found.append(f"vbank_key: {self.label}에서 고정식 가상계좌를 발급할 수 없습니다. (no fixed accounts)")
        return tuple(found)
