"""Registering the amount of a payment window."""

from chalicelib.api.schemas.fields import Number, Text8, Uid40, Wire
from chalicelib.domain.money import parse_currency, parse_money
from chalicelib.domain.prepared import Prepared


class Prepare(Wire):
    merchant_uid: Uid40
    amount: Number
    currency: Text8 = None

    def prepared(self, merchant_id: str) -> Prepared:
        """Without a currency the number alone counts: a whole one is kept as won, any other as cents."""
        assumed = "KRW" if self.amount == self.amount.to_integral_value() else "USD"
        amount = parse_money(self.amount, parse_currency(self.currency or assumed), minimum=1)
        return Prepared(merchant_id, self.merchant_uid, amount, any_currency=self.currency is None)
