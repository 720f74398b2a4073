"""Lists: payments by id, order, status and customer; billing keys by id; reserved payments by time and customer."""

from __future__ import annotations  # so that naming a type does not load its module

from typing import TYPE_CHECKING, Any

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.api.payments import UNKNOWN_STATUS, include_sandbox, status_in_path
from chalicelib.domain.errors import InvalidRequest, NotFound
from chalicelib.usecases import billing_keys, lookups

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.api.schemas.lookups import PageQuery
    from chalicelib.ports import Listing

bp = Blueprint(__name__)

NOT_SORTED = (
    "건수가 많아 상태 시각 순으로 정렬했습니다. 기간을 줄여 주세요. (too many to sort: in order of the status's time)"
)


@v1(bp, "GET", "/payments")
def payments_by_id(call: Call) -> Answer:
    ids = schemas.parse_query(schemas.PaymentIds, call.query)
    ids.check()
    found, complete = lookups.many_payments(call.deps, call.merchant_id, ids.imp_uid, ids.merchant_uid)
    return Answer([views.payment_view(payment) for payment in found], status=200 if complete else 207)


@v1(bp, "GET", "/payments/findAll/{merchant_uid}")
def payments_of_order(call: Call) -> Answer:
    return _payments_of_order(call, None)


@v1(bp, "GET", "/payments/findAll/{merchant_uid}/{payment_status}")
def payments_of_order_in_status(call: Call) -> Answer:
    return _payments_of_order(call, status_in_path(call))


def _payments_of_order(call: Call, status: str | None) -> Answer:
    query = schemas.parse_query(schemas.FindAllQuery, call.query)
    found = lookups.by_merchant_uid(
        call.deps, call.merchant_id, call.path["merchant_uid"], include_sandbox=include_sandbox(call)
    )
    fitting = [payment for payment in found if status in (None, payment.v1_status)]
    if not fitting:
        raise NotFound(lookups.UNKNOWN_PAYMENT)
    page = lookups.numbered(lookups.sort(fitting, query.sorting), _number(query))
    return _paged(query, page, views.payment_view)


@v1(bp, "GET", "/payments/status/{payment_status}")
def payments_in_status(call: Call) -> Answer:
    status = call.path["payment_status"]
    if status not in (*lookups.STATUSES, "all"):
        raise InvalidRequest("payment_status", UNKNOWN_STATUS)
    query = schemas.parse_query(schemas.StatusQuery, call.query)
    span = query.span(call.deps.clock.now())
    found, sorted_ = lookups.by_status(call.deps, call.merchant_id, status, span, _number(query), query.sorting)
    return _paged(query, found, views.payment_view, None if sorted_ else NOT_SORTED)


@v1(bp, "GET", "/subscribe/customers")
def keys_by_id(call: Call) -> Answer:
    ids = schemas.parse_query(schemas.CustomerIds, call.query)
    found, complete = lookups.many_keys(call.deps, call.merchant_id, ids.customer_uid)
    return Answer([views.key_view(key) for key in found], status=200 if complete else 207)


@v1(bp, "GET", "/subscribe/customers/{customer_uid}/payments")
def payments_of_customer(call: Call) -> Answer:
    query = schemas.parse_query(schemas.PageQuery, call.query)
    uid = billing_keys.check_customer_uid(call.path["customer_uid"])
    return _paged(query, lookups.of_customer(call.deps, call.merchant_id, uid, _number(query)), views.payment_view)


@v1(bp, "GET", "/subscribe/payments/schedule")
def schedules_in_range(call: Call) -> Answer:
    query = schemas.parse_query(schemas.ScheduleQuery, call.query)
    newest_first = query.sorting != "scheduled"
    found = lookups.schedules(
        call.deps, call.merchant_id, query.schedule_status, query.span(), _number(query), newest_first=newest_first
    )
    return _paged(query, found, views.schedule_view)


@v1(bp, "GET", "/subscribe/customers/{customer_uid}/schedules")
def schedules_of_customer(call: Call) -> Answer:
    return _schedules_of_customer(call)


@v1(bp, "GET", "/subscribe/payments/schedule/customers/{customer_uid}")
def schedules_of_customer_by_its_older_path(call: Call) -> Answer:
    return _schedules_of_customer(call)


def _schedules_of_customer(call: Call) -> Answer:
    query = schemas.parse_query(schemas.CustomerScheduleQuery, call.query)
    uid = billing_keys.check_customer_uid(call.path["customer_uid"])
    found = lookups.schedules_of_customer(
        call.deps, call.merchant_id, uid, query.schedule_status, query.span(), _number(query)
    )
    return _paged(query, found, views.schedule_view)


def _number(query: PageQuery) -> lookups.Numbered:
    return lookups.Numbered(query.offset, query.limit)


def _paged(query: PageQuery, found: Listing[Any], view: Callable[[Any], Any], message: str | None = None) -> Answer:
    """V1's paging object: numbers of the neighbouring pages, 0 where there is none."""
    following = query.page + 1 if query.offset + query.limit < found.total else 0
    page = {"total": found.total, "previous": query.page - 1, "next": following}
    return Answer({**page, "list": [view(item) for item in found.items]}, message)
