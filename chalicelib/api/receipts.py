"""/receipts: cash receipts of payments, and of cash that the merchant took by itself (external)."""

from __future__ import annotations  # so that naming a type does not load its module

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.usecases import cash_receipts

bp = Blueprint(__name__)


@v1(bp, "POST", "/receipts/{imp_uid}")
def issue_receipt(call: Call) -> Answer:
    wanted = schemas.parse(schemas.IssueReceipt, call.body).wanted(call.budget())
    issued = cash_receipts.issue_for_payment(call.deps, call.merchant_id, call.path["imp_uid"], wanted)
    return Answer(views.receipt_view(issued.receipt), issued.remark)


@v1(bp, "GET", "/receipts/{imp_uid}")
def get_receipt(call: Call) -> Answer:
    receipt = cash_receipts.find(call.deps, call.merchant_id, cash_receipts.PAYMENT, call.path["imp_uid"])
    return Answer(views.receipt_view(receipt))


@v1(bp, "DELETE", "/receipts/{imp_uid}")
def cancel_receipt(call: Call) -> Answer:
    receipt = cash_receipts.cancel(
        call.deps, call.merchant_id, cash_receipts.PAYMENT, call.path["imp_uid"], call.budget()
    )
    return Answer(views.receipt_view(receipt))


@v1(bp, "POST", "/receipts/external/{merchant_uid}")
def issue_external_receipt(call: Call) -> Answer:
    body = schemas.parse(schemas.IssueExternalReceipt, {**call.body, **call.path})
    wanted = body.wanted(call.budget(), body.name)
    issued = cash_receipts.issue_external(
        call.deps, call.merchant_id, body.merchant_uid, body.amount, wanted, body.target()
    )
    return Answer(views.receipt_view(issued.receipt), issued.remark)


@v1(bp, "GET", "/receipts/external/{merchant_uid}")
def get_external_receipt(call: Call) -> Answer:
    receipt = cash_receipts.find(call.deps, call.merchant_id, cash_receipts.EXTERNAL, call.path["merchant_uid"])
    return Answer(views.receipt_view(receipt))


@v1(bp, "DELETE", "/receipts/external/{merchant_uid}")
def cancel_external_receipt(call: Call) -> Answer:
    receipt = cash_receipts.cancel(
        call.deps, call.merchant_id, cash_receipts.EXTERNAL, call.path["merchant_uid"], call.budget()
    )
    return Answer(views.receipt_view(receipt))
