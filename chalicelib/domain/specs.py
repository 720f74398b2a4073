"""What a gateway can do at all, as data: what it declares, and why it cannot take a request."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.charging import (
    Card,
    IdentifierType,
    Operation,
    PaymentRequest,
    ReceiptType,
    VirtualAccountRequest,
)
from chalicelib.domain.money import EXPONENTS, Money
from chalicelib.domain.windows import PayMethod, WindowTerms

YES_OR_NO = "[YN]"


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
    tests_are_marked: bool = False
    """Every test value begins so: any other is a live one."""
    adds: frozenset[Operation] = frozenset()
    """What the channel can do besides if this is given (of a choice of Y and N: if it is `Y`): not everybody has it."""

    def gives(self, value: str | None) -> bool:
        """True if a channel with this value has what the field adds."""
        return bool(self.adds) and (value == "Y" if self.pattern == YES_OR_NO else bool(value))


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a field has to look like, where it is given.

    path: of PaymentRequest ("buyer.name"). pattern: of the whole value. text: for people, Korean first. operations:
    those that it holds for; None = all.
    """

    path: str
    pattern: str
    text: str
    operations: frozenset[Operation] | None = None


class OrderIdScope(StrEnum):
    """For how long a gateway refuses an order id that it has had before."""

    FOREVER = "forever"
    DAY = "day"
    """Until midnight in Seoul."""
    NONE = "none"
    """Not at all, or nobody says so: the same order sent twice may be charged twice."""


class TestAccess(StrEnum):
    """How one gets at the gateway's test environment."""

    __test__ = False  # no test of pytest's

    PUBLIC = "public"
    """Keys are published, or anybody can sign up."""
    CONTRACT = "contract"
    """After a contract, or on request."""


@dataclass(frozen=True, slots=True)
class VirtualAccountRules:
    """banks, refund_banks: clearing-house codes of banks it issues at, and that it refunds to. longest: until due."""

    banks: frozenset[str]
    refund_banks: frozenset[str]
    longest: timedelta
    fixed: bool = False
    """The same buyer can be given the same account again."""
    revocable: bool = True
    """An account that nothing was paid into can be closed by API."""
    tells_expiry: bool = True
    """The gateway's books show that an account is due. If not, it is over when our own time for it is."""


@dataclass(frozen=True, slots=True)
class WindowRules:
    """What can be paid in a gateway's window.

    required: per method, names of fields of PaymentRequest ("buyer.tel") or WindowTerms ("digital") that it insists on.
    net_cancel_window: for how long an approval without an answer can be undone with what its window left.
    """

    methods: frozenset[PayMethod]
    required: Mapping[PayMethod, tuple[str, ...]] = field(default_factory=dict)
    net_cancel_window: timedelta | None = None
    recalled: frozenset[PayMethod] = frozenset()
    """Methods whose wire is partly recalled or inferred."""
    answers_questions: bool = False
    """A payment in its window can be asked for with what the window left, though other charges cannot."""
    may_approve_unasked: bool = False
    """Its books may come to show an approval that we did not ask for: windows that were left are looked up later."""


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """What a gateway can do, as data. Routing, failover and settlement read this and know no gateway by name.

    label, english: its name in Korean and in English.
    required: per operation, names of PaymentRequest/Buyer fields ("buyer.email") the gateway insists on.
    settling_delay: only after so long does "not found" mean "not charged".
    net_cancel_window: how long an unanswered charge can be undone by order id; None = not at all.
    find_window: for how long it knows our order id (FIND); None = always.
    order_id_scope: for how long it refuses an order id that was used.
    idempotent_for: how long the same request under the same key is answered and not run again; None = no such key.
    min_amount: minor units of KRW, for card charges. max_cancels: of one charge.
    """

    provider: str
    label: str
    english: str
    operations: frozenset[Operation]
    currencies: frozenset[str]
    credentials: tuple[CredentialField, ...]
    settling_delay: timedelta
    order_id_scope: OrderIdScope
    test_access: TestAccess
    net_cancel_window: timedelta | None = None
    find_window: timedelta | None = None
    idempotent_for: timedelta | None = None
    required: Mapping[Operation, tuple[str, ...]] = field(default_factory=dict)
    field_rules: tuple[FieldRule, ...] = ()
    card_fields: frozenset[str] = frozenset()
    """Card fields beyond number and expiry that the gateway cannot do without: birth, password_2digits, cvc."""
    min_amount: int = 0
    whole_units: frozenset[str] = frozenset()
    """Currencies with minor units of which it takes whole units only."""
    max_cancels: int | None = None
    recalled: frozenset[Operation] = frozenset()
    """Operations whose wire is partly recalled or inferred; of the others there is a specification."""
    beyond_v1: frozenset[Operation] = frozenset()
    """Operations that PortOne does not offer at this gateway: extensions of ours."""
    receipt_identifiers: Mapping[ReceiptType, frozenset[IdentifierType]] = field(default_factory=dict)
    """What may name the holder, per type of cash receipt."""
    receipt_takes_vat: bool = False
    """A cash receipt may state another VAT than an eleventh of what is taxable."""
    virtual_accounts: VirtualAccountRules | None = None
    windows: WindowRules | None = None
    notice_reply: str | None = None
    """What its deposit notices want to read as an answer; None = any success will do."""
    tells_of_charges: bool = False
    """It tells by notice how a charge under review ended."""

    @property
    def takes_card_data(self) -> bool:
        """True if a card can be charged, or a key issued, without the gateway's window."""
        return bool(self.operations & {Operation.CHARGE_CARD, Operation.ISSUE_BILLING_KEY})

    @property
    def settles_alone(self) -> bool:
        """True if a lost reply can be cleared up without a person: by asking, or by undoing."""
        return Operation.FIND in self.operations or self.net_cancel_window is not None

    def options(self, credentials: Mapping[str, str]) -> tuple[str, ...]:
        """The fields by which a channel's contract allows more than others' (`CredentialField.adds`)."""
        return tuple(field.name for field in self.credentials if field.gives(credentials.get(field.name)))

    def under(self, options: Collection[str]) -> "GatewaySpec":
        """With what these options add."""
        added = [field.adds for field in self.credentials if field.name in options]
        return replace(self, operations=self.operations.union(*added)) if added else self

    def objections(self, operation: Operation, request: PaymentRequest) -> tuple[str, ...]:
        """Why this gateway cannot take the request; empty if it can. Each text begins with the field's name."""
        found = []
        if operation not in self.operations:
            found.append(self._missing(operation))
        found += self._amount_objections(request.amount)
        found += [
            f"{_wire_name(rule.path)}: {self.label}: {rule.text}"
            for rule in self.field_rules
            if (rule.operations is None or operation in rule.operations)
            and (value := _value(request, rule.path))
            and not _matches(rule.pattern, value)
        ]
        found += [
            f"{_wire_name(path)}: {self.label}의 필수 값입니다. (required)"
            for path in self.required.get(operation, ())
            if _value(request, path) in (None, "")
        ]
        return tuple(found)

    def _missing(self, operation: Operation) -> str:
        field, what, english = _UNSUPPORTED[operation]
        if needed := next((given for given in self.credentials if operation in given.adds), None):
            return f"{field}: {self.label}: 채널에 {needed.label} 설정이 필요합니다. (the channel lacks {needed.name})"
        return f"{field}: {self.label}: {what} 기능을 지원하지 않습니다. ({english} is not supported)"

    def _amount_objections(self, amount: Money) -> list[str]:
        found = []
        if amount.currency not in self.currencies:
            found.append(f"currency: {self.label}은(는) {amount.currency} 결제를 지원하지 않습니다. (currency)")
        if amount.currency == "KRW" and amount.amount < self.min_amount:
            found.append(f"amount: {self.label}의 최소 결제금액은 {self.min_amount}원입니다. (below the minimum)")
        if amount.currency in self.whole_units and amount.amount % 10 ** EXPONENTS[amount.currency]:
            found.append(
                f"amount: {self.label}은(는) {amount.currency}의 소수 금액을 받지 않습니다. (whole units only)"
            )
        return found

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
        if rules is None or Operation.ISSUE_VIRTUAL_ACCOUNT not in self.operations:
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

    def window_objections(self, request: PaymentRequest, terms: WindowTerms, now: datetime) -> tuple[str, ...]:
        """Why this payment cannot be made in this gateway's window."""
        rules, method = self.windows, terms.pay_method
        if rules is None or method not in rules.methods:
            text = f"pay_method: {self.label}의 결제창에서 {method} 결제를 지원하지 않습니다."
            return (f"{text} (not supported in this gateway's window)",)
        asked = self if method is PayMethod.CARD else replace(self, min_amount=0)
        found = list(asked.objections(Operation.PAY_IN_WINDOW, request))
        found += [
            f"{_WINDOW_FIELDS.get(path) or _wire_name(path)}: {self.label}의 필수 값입니다. (required)"
            for path in rules.required.get(method, ())
            if (getattr(terms, path) if path in _WINDOW_FIELDS else _value(request, path)) in (None, "")
        ]
        longest = self.virtual_accounts.longest if self.virtual_accounts else None
        if longest and terms.account_due and terms.account_due > now + longest:
            found.append(f"vbank_due: {self.label}의 입금기한은 최대 {longest.days}일입니다. (too far ahead)")
        return tuple(found)


_WINDOW_FIELDS = {"account_due": "vbank_due", "digital": "digital", "customer_id": "customer_id"}
"""Fields of WindowTerms that a gateway may insist on -> V1's names."""

_UNSUPPORTED = {
    Operation.CHARGE_CARD: ("card_number", "카드번호로 하는 결제(키인)", "key-in"),
    Operation.CHARGE_BILLING_KEY: ("customer_uid", "빌링키로 하는 결제", "charging a billing key"),
    Operation.ISSUE_VIRTUAL_ACCOUNT: ("pay_method", "가상계좌 API 발급", "a virtual account by API"),
    Operation.PAY_IN_WINDOW: ("pay_method", "결제창", "the payment window"),
}
"""Operation -> V1's field that asks for it, and what it is called. Only charges are routed by what a request holds."""


def _value(request: PaymentRequest, path: str) -> str | None:
    value: object = request
    for part in path.split("."):
        value = getattr(value, part)
    return value if value is None else str(value)


def _wire_name(path: str) -> str:
    """V1's name of a field: buyer.email is buyer_email there."""
    return {"quota": "card_quota", "vat": "vat_amount"}.get(path, path.replace(".", "_"))


def _matches(pattern: str, value: str) -> bool:
    import re  # noqa: PLC0415 - needed only for the few gateways that have rules

    return re.fullmatch(pattern, value) is not None
