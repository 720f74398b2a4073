"""Amounts: whole minor units and a currency, never a float.

Source of the exponents: ISO 4217. Only currencies that a Korean gateway settles are listed.
"""

from dataclasses import dataclass
from decimal import Decimal

from chalicelib.domain.errors import InvalidRequest

EXPONENTS = {
    "KRW": 0, "JPY": 0, "VND": 0,
    "USD": 2, "EUR": 2, "GBP": 2, "CNY": 2, "HKD": 2, "TWD": 2, "SGD": 2, "THB": 2, "AUD": 2, "CAD": 2,
    "NZD": 2, "CHF": 2, "RUB": 2, "MYR": 2, "PHP": 2, "IDR": 2, "INR": 2, "BRL": 2, "MXN": 2,
    "DKK": 2, "NOK": 2, "SEK": 2, "PLN": 2, "CZK": 2, "HUF": 2, "ILS": 2,
}  # fmt: skip

MAX_DIGITS = 13
MAX_MINOR_UNITS = 10**MAX_DIGITS - 1
"""Ten trillion won: far above any card limit, and exact in every JSON reader."""


@dataclass(frozen=True, slots=True)
class Money:
    """`amount` in minor units (won, cents) of `currency` (ISO 4217, upper case)."""

    amount: int
    currency: str = "KRW"

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount - other.amount, self.currency)

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount + other.amount, self.currency)

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"cannot mix {self.currency} and {other.currency}")

    def to_decimal(self) -> Decimal:
        """Major units: Money(1050, "USD") -> Decimal("10.50")."""
        return Decimal(self.amount).scaleb(-EXPONENTS[self.currency])


def parse_currency(text: str | None, field: str = "currency") -> str:
    currency = (text or "KRW").upper()
    if currency not in EXPONENTS:
        raise InvalidRequest(field, f"{field}: 지원하지 않는 통화입니다 ({currency[:10]}). (unsupported currency)")
    return currency


def parse_money(value: Decimal, currency: str, field: str = "amount", *, minimum: int = 0) -> Money:
    """Read an amount in major units. Raises InvalidRequest for fractions below the minor unit and absurd sizes.

    minimum: smallest accepted amount in minor units.
    """
    absurd = not value.is_finite() or value.adjusted() > MAX_DIGITS  # too large even to be scaled
    if absurd or (minor := value.scaleb(EXPONENTS[currency])) > MAX_MINOR_UNITS:
        raise InvalidRequest(field, f"{field}: 금액이 허용 범위를 벗어났습니다. (amount out of range)")
    if minor != minor.to_integral_value():
        raise InvalidRequest(
            field,
            f"{field}: {currency} 통화의 최소 단위보다 작은 금액입니다. (finer than the currency's minor unit)",
        )
    if minor < minimum:
        raise InvalidRequest(field, f"{field}: 금액은 {minimum} 이상이어야 합니다. (too small an amount)")
    return Money(int(minor), currency)
