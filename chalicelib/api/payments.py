"""/payments: look up and cancel."""

from __future__ import annotations  # so that naming a type does not load its module

from typing import TYPE_CHECKING

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.domain.errors import InvalidRequest, NotFound
from chalicelib.usecases import cancels, lookups

if TYPE_CHECKING:
    from chalicelib.domain.payments import Payment

bp = Blueprint(__name__)

UNKNOWN_STATUS = "지원되지 않는 상태값입니다."
NO_STATUS = ("undefined", "null")
"""What JavaScript clients put into the path when their caller gives none."""


@v1(bp, "POST", "/payments/cancel")
def cancel(call: Call) -> Answer:
    body = schemas.parse(schemas.CancelPayment, call.body)
    wanted = cancels.Cancel(
        imp_uid=body.imp_uid,
        merchant_uid=body.merchant_uid,
        amount=body.amount,
        checksum=body.checksum,
        reason=body.reason,
        tax_free=body.tax_free,
        vat_amount=body.vat_amount,
        refund_to=body.refund_to(),
        notify=bool(body.enable_webhook),
        budget=call.budget(),
    )
    return _found(cancels.cancel(call.deps, call.merchant_id, wanted))


@v1(bp, "GET", "/payments/{imp_uid}")
def get_payment(call: Call) -> Answer:
    payment = lookups.by_imp_uid(
        call.deps, call.merchant_id, call.path["imp_uid"], include_sandbox=include_sandbox(call)
    )
    return _found(payment)


@v1(bp, "GET", "/payments/find/{merchant_uid}")
def find_payment(call: Call) -> Answer:
    return _found(_candidates(call)[0])


@v1(bp, "GET", "/payments/find/{merchant_uid}/{payment_status}")
def find_payment_in_status(call: Call) -> Answer:
    status = status_in_path(call)
    for payment in _candidates(call):
        if status in (None, payment.v1_status):
            return _found(payment)
    raise NotFound(lookups.UNKNOWN_PAYMENT)


def status_in_path(call: Call) -> str | None:
    status = call.path["payment_status"]
    if status in NO_STATUS:
        return None
    if status not in lookups.STATUSES:
        raise InvalidRequest("payment_status", UNKNOWN_STATUS)
    return status


def _candidates(call: Call) -> list[Payment]:
    return lookups.sort(
        lookups.by_merchant_uid(
            call.deps, call.merchant_id, call.path["merchant_uid"], include_sandbox=include_sandbox(call)
        ),
        (call.query.get("sorting") or ["-started"])[-1],
    )


def _found(payment: Payment) -> Answer:
    return Answer(views.payment_view(payment), views.payment_message(payment))


def include_sandbox(call: Call) -> bool:
    """Test payments are shown unless the caller asks not to see them (docs/adr/0003)."""
    return (call.query.get("include_sandbox") or ["true"])[-1].lower() not in ("false", "0")
