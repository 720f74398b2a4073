"""Tokens, and what is done to payments that exist."""

from pydantic import Field

from chalicelib.api.schemas.fields import Flag, OptionalNumber, Text20, Text40, Text500, Wire
from chalicelib.domain.charging import RefundAccount


class GetToken(Wire):
    imp_key: str = ""
    imp_secret: str = ""


class CancelPayment(Wire):
    imp_uid: Text40 = Field(None, description="취소할 결제. merchant_uid보다 우선합니다. / Wins over merchant_uid.")
    merchant_uid: Text40 = Field(None, description="imp_uid가 없을 때 취소할 주문 / The order, if no imp_uid is given")
    amount: OptionalNumber = Field(
        None, description="취소할 금액. 없거나 0이면 남은 전액 / All that is left if missing or 0"
    )
    checksum: OptionalNumber = None
    reason: Text500 = None
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
