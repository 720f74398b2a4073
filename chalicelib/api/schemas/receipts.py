"""Cash receipts. The identifier is personal: no error repeats it, and nothing but the gateway is told."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from chalicelib.api.schemas.charges import TargetFields
from chalicelib.api.schemas.fields import NULL, Number, OptionalNumber, Text16, Text64, Uid40, Wire, documented
from chalicelib.domain.charging import Buyer, IdentifierType, ReceiptType
from chalicelib.domain.errors import InvalidRequest
from chalicelib.usecases.cash_receipts import Wanted

IDENTIFIERS = {
    IdentifierType.PHONE: (r"01[016-9][0-9]{7,8}", "휴대폰번호 10~11자리 (mobile number, 10 or 11 digits)"),
    IdentifierType.PERSON: (r"[0-9]{13}", "주민등록번호 13자리 (13 digits)"),
    IdentifierType.BUSINESS: (r"[0-9]{10}", "사업자등록번호 10자리 (10 digits)"),
    IdentifierType.TAXCARD: (r"[0-9]{13,19}", "현금영수증카드번호 13~19자리 (13 to 19 digits)"),
}
"""In the order in which a number is taken for one, if the caller does not say: no business number begins with 01."""


def _type(value: Any) -> Any:
    """`personal` stands in an old sample."""
    return ReceiptType.PERSON if value in ("", None, "personal") else value


class IssueReceipt(Wire):
    identifier: str = Field(max_length=40)
    identifier_type: Annotated[
        IdentifierType | None, BeforeValidator(lambda v: v or None), documented({"enum": [*IdentifierType, ""]}, NULL)
    ] = None
    type: Annotated[ReceiptType, BeforeValidator(_type), documented({"enum": [*ReceiptType, "personal", ""]}, NULL)] = (
        ReceiptType.PERSON
    )
    tax_free: OptionalNumber = None
    vat_amount: OptionalNumber = Field(None, validation_alias=AliasChoices("vat_amount", "vat"))
    buyer_name: Text16 = None
    buyer_email: Text64 = None
    buyer_tel: Text16 = None

    def wanted(self, budget: timedelta, name: str | None = None) -> Wanted:
        digits = re.sub(r"[ -]", "", self.identifier)
        return Wanted(
            identifier=digits,
            identifier_type=_identifier_type(digits, self.identifier_type),
            type=self.type,
            tax_free=self.tax_free,
            vat=self.vat_amount,
            name=name,
            buyer=Buyer(self.buyer_name, self.buyer_email, self.buyer_tel),
            budget=budget,
        )


class IssueExternalReceipt(IssueReceipt, TargetFields):
    merchant_uid: Uid40
    name: Annotated[str, Field(min_length=1, max_length=40)]
    amount: Number


def _identifier_type(digits: str, given: IdentifierType | None) -> IdentifierType:
    if given is None:
        for kind, (pattern, _) in IDENTIFIERS.items():
            if re.fullmatch(pattern, digits):
                return kind
        texts = ", ".join(text for _, text in IDENTIFIERS.values())
        raise InvalidRequest("identifier", f"identifier: 다음 중 하나여야 합니다: {texts}")
    pattern, text = IDENTIFIERS[given]
    if not re.fullmatch(pattern, digits):
        raise InvalidRequest("identifier", f"identifier: {text}여야 합니다.")
    return given
