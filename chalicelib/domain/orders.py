"""Orders: who holds a `merchant_uid`, and the payment reserved under it.

Booking many reserved payments is all or none. Up to fifty entries are one transaction. More are several, tied
together by a `Booking`: while it exists its entries do not count yet; the last transaction removes it, and with that
all of them come into force at once. Whoever finds an old booking undoes it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import PaymentRequest
from chalicelib.domain.errors import Refused

MAX_TRIES = 500
"""Failed payments one merchant_uid may collect; keeps the order's item far below DynamoDB's 400 KB."""

MAX_ENTRIES = 1000
ENTRIES_PER_WRITE = 50


class ScheduleState(StrEnum):
    SCHEDULED = "scheduled"
    EXECUTED = "executed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A payment reserved for `schedule_at`. channel_key: pin. booking_id: see Booking."""

    customer_uid: str
    request: PaymentRequest
    schedule_at: datetime
    state: ScheduleState
    booked_at: datetime
    environment: Environment
    channel_key: str | None = None
    customer_id: str | None = None
    booking_id: str | None = None
    imp_uid: str | None = None
    pg_provider: str | None = None
    pg_id: str | None = None
    executed_at: datetime | None = None
    revoked_at: datetime | None = None
    payment_status: str | None = None
    fail_reason: str | None = None
    due_at: datetime | None = None
    restarts: int = 0
    """How often it was started again because its worker had died before it sent anything."""

    def afresh(self, schedule_at: datetime, now: datetime) -> "Schedule":
        """The same payment reserved anew. What became of it before stays with its payments."""
        return Schedule(
            customer_uid=self.customer_uid,
            request=self.request,
            schedule_at=schedule_at,
            state=ScheduleState.SCHEDULED,
            booked_at=now,
            environment=self.environment,
            channel_key=self.channel_key,
            customer_id=self.customer_id,
            due_at=schedule_at,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What holds one `merchant_uid`: the payments made under it, the live one last, and its schedule if it has one."""

    merchant_id: str
    merchant_uid: str
    imp_uids: tuple[str, ...] = ()
    is_open: bool = False
    """True while the last payment is under way or paid: no other may start."""
    schedule: Schedule | None = None
    counted_as: str | None = None
    """See Payment.counted_as."""
    version: int = 0

    @property
    def is_reserved(self) -> bool:
        return self.schedule is not None and self.schedule.state is ScheduleState.SCHEDULED

    def check_free(self) -> None:
        """Raises Refused while a payment is under way, paid, or reserved under it, and when it is worn out."""
        uid = self.merchant_uid
        if self.is_open:
            raise Refused(
                f"이미 진행 중이거나 승인된 주문번호입니다: {uid} (merchant_uid is in use)", field="merchant_uid"
            )
        if self.is_reserved:
            raise Refused(f"이미 결제가 예약된 주문번호입니다: {uid} (merchant_uid is reserved)", field="merchant_uid")
        if len(self.imp_uids) >= MAX_TRIES:
            raise Refused(
                f"한 주문번호로 {MAX_TRIES}번까지 시도할 수 있습니다. 새 주문번호를 사용해 주세요. (too many tries)",
                field="merchant_uid",
            )

    def claim(self, imp_uid: str) -> "Order":
        """Take the merchant_uid for one payment. The caller has checked that it is free."""
        return replace(self, imp_uids=(*self.imp_uids, imp_uid), is_open=True)

    def release(self) -> "Order":
        return replace(self, is_open=False)


@dataclass(frozen=True, slots=True)
class Booking:
    """An unfinished call of more than fifty entries. aborting: being undone, can no longer be finished."""

    merchant_id: str
    booking_id: str
    merchant_uids: tuple[str, ...]
    due_at: datetime
    aborting: bool = False
    version: int = 0
