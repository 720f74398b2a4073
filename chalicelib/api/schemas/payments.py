"""Tokens, and what is done to payments that exist."""

from chalicelib.api.schemas.fields import Flag, OptionalNumber, Text20, Text40, Text200, Wire
from chalicelib.domain.charging import RefundAccount


class GetToken(Wire):
    imp_key: str = ""
    imp_secret: str = ""


class CancelPayment(Wire):
    imp_uid: Text40 = None
    merchant_uid: Text40 = None
    amount: OptionalNumber = None
    checksum: OptionalNumber = None
    reason: Text200 = None
    tax_free: OptionalNumber = None
    vat_amount: OptionalNumber = None
    refund_holder: Text20 = None
    refund_bank: Text20 = None
    refund_account: Text40 = None
    refund_tel: Text20 = None
    enable_webhook: Flag = None

    def refund_to(self) -> RefundAccount | None:
        given = RefundAccount(self.refund_holder, self.refund_bank, self.refund_account, self.refund_tel)
        return None if given == RefundAccount() else given
