"""Queries of lists: pages, ranges of unix seconds, orders."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from chalicelib.api.schemas.fields import M, Uid40, Uid80, Whole, Wire, parse
from chalicelib.domain.errors import InvalidRequest

STATUS_RANGE = timedelta(days=90)
SCHEDULE_RANGE = timedelta(days=92)
"""Three months, whichever."""
MAX_IDS = 100
LATEST = 32_503_680_000
"""The year 3000: whatever is later was meant in milliseconds."""

Moment = Annotated[Whole, Field(ge=0)]
Ids = Annotated[list[Uid40], Field(max_length=MAX_IDS)]
Status = Annotated[Literal["scheduled", "executed", "revoked"] | None, BeforeValidator(lambda v: v or None)]


def parse_query(model: type[M], query: Mapping[str, Sequence[str]]) -> M:
    """Like parse. Fields that are lists take every value of their name, others the last one; blank means not given."""
    fields = {}
    for name, values in query.items():
        given = [value for value in values if value != ""]
        if given:
            fields[name] = given if name in _LISTS else given[-1]
    return parse(model, fields)


_LISTS = frozenset({"imp_uid", "merchant_uid", "customer_uid"})


class PageQuery(Wire):
    """page: from 1."""

    page: Annotated[Whole, Field(ge=1, description="쪽 번호, 1부터 / page number, from 1")] = 1
    limit: Annotated[Whole, Field(ge=1, le=1000, description="한 쪽의 건수 / entries per page")] = 20

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit


Sorting = Literal["-started", "started", "-paid", "paid", "-updated", "updated"]


class FindAllQuery(PageQuery):
    sorting: Annotated[Sorting, Field(description="정렬, -는 내림차순 / order; a minus means newest first")] = (
        "-started"
    )


class StatusQuery(PageQuery):
    """Both ends belong to the range."""

    sorting: Annotated[
        Sorting | None,
        Field(description="정렬, 기본은 상태 시각의 내림차순 / order; by default newest first, by the status's time"),
    ] = None
    since: Moment | None = Field(
        None, alias="from", description="시작, unix 초, 기본 to의 90일 전 / from, unix seconds"
    )
    until: Moment | None = Field(
        None, alias="to", description="끝(포함), unix 초, 기본 현재 / to (inclusive), unix seconds"
    )

    def span(self, now: datetime) -> tuple[int, int]:
        """(first second, first second after). Without `to` it is open: a gateway's clock may be ahead of ours."""
        until = int(now.timestamp()) if self.until is None else _seconds(self.until, "to")
        widest = int(STATUS_RANGE.total_seconds())
        since = max(0, until - widest) if self.since is None else _seconds(self.since, "from")
        _check_range(since, until, widest, "from", "to")
        return since, LATEST if self.until is None else until + 1


class ScheduleQuery(PageQuery):
    """The upper end does not belong to the range (unlike StatusQuery's: V1)."""

    schedule_from: Moment = Field(description="예약 시각 시작, unix 초 / scheduled from, unix seconds")
    schedule_to: Moment = Field(description="예약 시각 끝(제외), unix 초 / scheduled before, unix seconds")
    schedule_status: Status = Field(None, description="예약 상태 / state of the reservation")
    sorting: Literal["scheduled", "-scheduled"] = Field(
        "-scheduled", description="scheduled: 과거순, 기본 최신순 / oldest first; newest first by default"
    )

    def span(self) -> tuple[int, int]:
        since, until = _seconds(self.schedule_from, "schedule_from"), _seconds(self.schedule_to, "schedule_to")
        _check_range(since, until, int(SCHEDULE_RANGE.total_seconds()), "schedule_from", "schedule_to")
        return since, until


class CustomerScheduleQuery(PageQuery):
    since: Moment = Field(alias="from", description="예약 시각 시작, unix 초 / scheduled from, unix seconds")
    until: Moment = Field(alias="to", description="예약 시각 끝(제외), unix 초 / scheduled before, unix seconds")
    schedule_status: Status = Field(None, alias="schedule-status", description="예약 상태 / state of the reservation")

    def span(self) -> tuple[int, int]:
        since, until = _seconds(self.since, "from"), _seconds(self.until, "to")
        _check_range(since, until, int(SCHEDULE_RANGE.total_seconds()), "from", "to")
        return since, until


def _seconds(value: int, field: str) -> int:
    if value > LATEST:
        raise InvalidRequest(
            field, f"{field}: 초 단위 Unix 시각이어야 합니다 (밀리초가 아닙니다). (seconds, not milliseconds)"
        )
    return value


def _check_range(since: int, until: int, widest: int, low: str, high: str) -> None:
    if since > until:
        raise InvalidRequest(high, f"{high}: {low}보다 빠를 수 없습니다. ({high} lies before {low})")
    if until - since > widest:
        days = widest // 86400
        raise InvalidRequest(low, f"{low}: 조회 기간은 최대 {days}일입니다. (at most {days} days)")


class PaymentIds(Wire):
    imp_uid: Ids = Field(default_factory=list, description="결제 번호, 모두 100개까지 / Payments, 100 ids in all")
    merchant_uid: Ids = Field(default_factory=list, description="주문번호, 모두 100개까지 / Orders, 100 ids in all")

    def check(self) -> None:
        """Raises InvalidRequest unless 1 to 100 ids are named."""
        if not self.imp_uid and not self.merchant_uid:
            raise InvalidRequest("imp_uid", "imp_uid[] 또는 merchant_uid[]를 지정해주셔야합니다. (one is required)")
        if len(self.imp_uid) + len(self.merchant_uid) > MAX_IDS:
            raise InvalidRequest("imp_uid", f"imp_uid: 모두 {MAX_IDS}개 이하여야 합니다. (at most {MAX_IDS} in all)")


class CustomerIds(Wire):
    customer_uid: Annotated[list[Uid80], Field(min_length=1, max_length=MAX_IDS)]
