"""Amounts registered before a payment window opens, so that nobody can change them in the browser."""

from dataclasses import dataclass

from chalicelib.domain.errors import Refused
from chalicelib.domain.money import Money


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the merchant expects to be paid under one merchant_uid.

    any_currency: none was named (V1's `currency: null`); `amount` then stands in whatever currency the number fits, and
    the window takes KRW only: a page could ask for the same number of something else.
    """

    merchant_id: str
    merchant_uid: str
    amount: Money
    any_currency: bool = False
    version: int = 0

    def check(self, asked: Money) -> None:
        """Raises Refused if a window asks for anything else than what was registered."""
        if asked.to_decimal() != self.amount.to_decimal():
            raise Refused("amount: 사전등록된 결제금액과 다릅니다. (differs from the prepared amount)", field="amount")
        if self.any_currency and asked.currency != "KRW":  # a page could ask for so many of another currency's units
            raise Refused(
                "currency: 통화 없이 사전등록된 주문은 KRW로만 결제할 수 있습니다. "
                "(prepared without a currency, it can be paid in KRW only)",
                field="currency",
            )
        if not self.any_currency and asked.currency != self.amount.currency:
            raise Refused(
                "currency: 사전등록된 결제통화와 다릅니다. (differs from the prepared currency)", field="currency"
            )
