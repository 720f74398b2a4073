"""Billing keys and the payments reserved on them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chalicelib.api.schemas.charges import CardFields, ChargeFields, TargetFields
from chalicelib.api.schemas.fields import OptionalNumber, Text8, Text20, Text80, Text200, Uid40, Uid80, Whole, Wire
from chalicelib.domain.charging import Buyer
from chalicelib.domain.errors import InvalidRequest

FURTHEST_SCHEDULE = 20 * 366 * 86400
"""Twenty years: catches milliseconds sent for seconds."""


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


class ScheduleEntry(ChargeFields):
    schedule_at: Whole

    def when(self, where: str, now: datetime) -> datetime:
        field = f"{where}schedule_at"
        at = self.schedule_at
        if at > now.timestamp() + FURTHEST_SCHEDULE:
            raise InvalidRequest(
                field, f"{field}: 초 단위 Unix 시각이어야 합니다 (밀리초가 아닙니다). (seconds, not milliseconds)"
            )
        if at <= now.timestamp():
            raise InvalidRequest(field, f"{field}: 예약 시각은 미래여야 합니다. (must be in the future)")
        return datetime.fromtimestamp(at, UTC)


class Schedule(IssueKey):
    customer_uid: Uid80
    checking_amount: OptionalNumber = None
    schedules: list[ScheduleEntry] = Field(min_length=1, max_length=1000)


def _uid_list(value: Any) -> Any:
    if value in (None, ""):
        return []
    return [value] if isinstance(value, str | int) else value


class Unschedule(Wire):
    customer_uid: Text80 = None
    merchant_uid: Annotated[list[Uid40], BeforeValidator(_uid_list)] = Field(default_factory=list, max_length=1000)
