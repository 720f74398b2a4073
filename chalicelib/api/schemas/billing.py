"""Billing keys and the payments reserved on them."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chalicelib.api.schemas.charges import CardFields, ChargeFields, TargetFields
from chalicelib.api.schemas.fields import (
    NULL,
    OptionalNumber,
    Text8,
    Text20,
    Text80,
    Text200,
    Uid40,
    Uid80,
    Wire,
    documented,
)
from chalicelib.api.schemas.scheduling import ScheduleTime
from chalicelib.domain.charging import Buyer
from chalicelib.domain.money import Money, parse_money


class IssueKey(TargetFields, CardFields):
    customer_id: Text80 = None
    customer_name: Text20 = None
    customer_tel: Text20 = None
    customer_email: Text200 = None
    customer_addr: Text200 = None
    customer_postcode: Text8 = None

    def customer(self) -> Buyer:
        return Buyer(
            self.customer_name, self.customer_email, self.customer_tel, self.customer_addr, self.customer_postcode
        )


class ScheduleEntry(ChargeFields, ScheduleTime):
    """One payment of a booking."""


class Schedule(IssueKey):
    customer_uid: Uid80 = Field(
        description="결제할 빌링키. 없으면 카드 정보로 먼저 발급합니다. / Issued from the card fields if there is none."
    )
    checking_amount: OptionalNumber = None
    schedules: list[ScheduleEntry] = Field(min_length=1, max_length=1000)

    def check_amount(self, currency: str) -> Money:
        """What to charge for a moment to check the card; 0 = nothing."""
        return parse_money(self.checking_amount or Decimal(0), currency, "checking_amount")


def _uid_list(value: Any) -> Any:
    if value in (None, ""):
        return []
    return [value] if isinstance(value, str | int) else value


class Unschedule(Wire):
    customer_uid: Text80 = Field(None, description="이 빌링키의 예약만 취소합니다. / Only this key's reservations")
    merchant_uid: Annotated[
        list[Uid40],
        BeforeValidator(_uid_list),
        documented({"type": "string", "maxLength": 40}, {"type": "array", "items": {"type": "string"}}, NULL),
    ] = Field(
        default_factory=list,
        max_length=1000,
        description="취소할 주문번호, 하나 또는 여럿. 없으면 빌링키의 예약 모두 / One or many; all of the key's",
    )
