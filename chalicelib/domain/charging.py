"""What we ask of a gateway, and what it may answer. What it can do at all: `domain.specs`.

An answer is one of a closed set: `Approved`, `Declined`, `NotSent`, `Unknown`, and for queries `NotFound`. Only an
explicit yes is Approved and only an explicit no is Declined; everything else that may have reached the gateway is
Unknown, because money may have moved. A gateway that takes its time to decide answers `Pending`. A virtual account
knows two answers more: `AwaitingDeposit` and `Revoked`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
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
    READ = "read"
    """Query by the gateway's own number: of no use after a lost reply, which would have told it."""
    KEY_BY_CHARGE = "key_by_charge"
    """A billing key comes with a first charge by card data, and in no other way."""
    CASH_RECEIPT = "cash_receipt"
    """Issue and cancel cash receipts (현금영수증) by API."""
    FIND_CASH_RECEIPT = "find_cash_receipt"
    """Query a cash receipt by our order id."""
    ISSUE_VIRTUAL_ACCOUNT = "issue_virtual_account"
    """Issue and revoke virtual accounts (가상계좌) by API."""
    PAY_IN_WINDOW = "pay_in_window"
    """Payments in the gateway's window (결제창): `GatewaySpec.windows`."""


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
    keep_card: bool = False
    """The merchant wants a billing key, too. For gateways that give one with a charge only."""


@dataclass(frozen=True, slots=True)
class ChargeQuery:
    """A question about one charge: by our order id, or by the gateway's number if it has told one.

    amount: what was asked for. requested_at: when it was sent. pay_method: V1's word. kept: what its window left for
    questions (`windows.Authenticated`).
    """

    order_id: str
    amount: Money
    requested_at: datetime
    gateway_ref: str | None = None
    pay_method: str = "card"
    kept: Mapping[str, str] = field(default_factory=dict, repr=False)


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
    charged_at: when the charge was sent. sequence: which of the charge's cancels this is, from 1; refused ones are not
    counted. pay_method, kept: as in ChargeQuery.
    """

    cancel_id: str
    order_id: str
    gateway_ref: str
    amount: Money
    balance: Money
    charged: Money
    reason: str
    charged_at: datetime
    sequence: int = 1
    tax_free: int = 0
    vat: int | None = None
    refund_to: RefundAccount | None = None
    pay_method: str = "card"
    kept: Mapping[str, str] = field(default_factory=dict, repr=False)


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

    account: the virtual account that it was paid into. notice_secret: see AwaitingDeposit. key: the billing key that
    came with it, where one was wanted (KEY_BY_CHARGE). bank_code: the clearing house's, of a transfer. easy_pay: V1's
    word for the wallet that the buyer chose in a window (kakaopay, naverpay...).
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
    key: "KeyIssued | None" = field(default=None, repr=False)
    bank_code: str | None = None
    easy_pay: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """The gateway has the charge and has not decided: a risk review, a bank to answer. Neither paid nor failed, perhaps
    for days; never a reason to charge elsewhere. detail: what it waits for, in the gateway's words.
    """

    gateway_ref: str
    detail: str


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

    unwell: the gateway gave no answer, or an unreadable one, or HTTP 5xx, or refused our credentials, which speaks
    against the channel. False: it answered in its own words, and we cannot be sure what they mean, or whether they are
    about our question.
    """

    detail: str
    code: str | None = None
    unwell: bool = False


QUERY_REFUSED = "the query was refused"
"""What adapters put into `Unknown.detail` if the gateway refuses to answer a question; `unwell` if to this channel."""


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
    """A gateway's word that something happened to a virtual account.

    secret: shows that the gateway sent it, being what came with the account. A gateway that has none names its number
    of the account (gateway_ref), which has to be the one we know; the adapter has checked its signature, if it signs.
    """

    order_id: str
    secret: str | None = field(default=None, repr=False)
    gateway_ref: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeNotice:
    """A gateway's word, its signature checked, that something happened to a charge. gateway_ref: to ask it by.

    taken_back: that what was paid is so no longer (a refund, a chargeback).
    """

    order_id: str
    gateway_ref: str
    taken_back: bool = False


ChargeResult = Approved | Pending | Declined | NotSent | Unknown
ApproveResult = ChargeResult | AwaitingDeposit
IssueVirtualAccountResult = AwaitingDeposit | Declined | NotSent | Unknown
RevokeResult = Revoked | Declined | NotSent | Unknown
FindResult = Approved | Pending | AwaitingDeposit | Revoked | Declined | NotFound | NotSent | Unknown
CancelResult = Cancelled | Declined | NotSent | Unknown
IssueResult = KeyIssued | Declined | NotSent | Unknown
DeleteResult = KeyDeleted | Declined | NotSent | Unknown
