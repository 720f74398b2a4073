"""/admin: what waits for a person, and what the person does about it. The rules: `usecases.by_hand`."""

from __future__ import annotations  # so that naming a type does not load its module

from typing import TYPE_CHECKING, Any

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, admin
from chalicelib.domain.errors import InvalidRequest
from chalicelib.usecases import by_hand, cash_receipts, lookups

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.domain.payments import Payment
    from chalicelib.domain.receipts import Subject

bp = Blueprint(__name__)


@admin(bp, "GET", "/admin/alarms")
def list_alarms(call: Call) -> Answer:
    wanted = schemas.parse_query(schemas.AlarmQuery, call.query)
    if wanted.cursor and not wanted.kind:
        raise InvalidRequest("kind", "kind: cursor를 보낼 때 필수 값입니다. (required with cursor)")
    kinds: dict[str, Callable[[Any], dict[str, Any]]]
    kinds = {"payment": views.waiting_view, "webhook": views.webhook_view, "cash_receipt": views.doubtful_receipt_view}
    answer = {}
    for kind in [wanted.kind] if wanted.kind else kinds:
        page = by_hand.alarms(call.deps, call.merchant_id, kind, wanted.limit, wanted.cursor)
        answer[f"{kind}s"] = {"list": [kinds[kind](item) for item in page.items], "cursor": page.cursor}
    return Answer(answer)


@admin(bp, "GET", "/admin/payments/{imp_uid}")
def get_routing(call: Call) -> Answer:
    return Answer(_shown(call, lookups.by_imp_uid(call.deps, call.merchant_id, call.path["imp_uid"])))


@admin(bp, "POST", "/admin/payments/{imp_uid}/check")
def check_payment(call: Call) -> Answer:
    return Answer(_shown(call, by_hand.check(call.deps, call.merchant_id, call.path["imp_uid"])))


@admin(bp, "POST", "/admin/payments/{imp_uid}/settle")
def settle_payment(call: Call) -> Answer:
    body = schemas.parse(schemas.SettlePayment, call.body)
    wanted = by_hand.Settlement(body.outcome, body.reason, body.pg_tid, body.approved())
    settled = by_hand.settle(call.deps, call.operator, call.path["imp_uid"], wanted)
    return Answer(_shown(call, settled.payment, settled.remark))


@admin(bp, "POST", "/admin/payments/{imp_uid}/cancels/{cancellation_id}/settle")
def settle_cancel(call: Call) -> Answer:
    body = schemas.parse(schemas.SettleCancel, call.body)
    wanted = by_hand.CancelSettlement(body.outcome, body.reason, body.pg_tid)
    imp_uid, cancellation_id = call.path["imp_uid"], call.path["cancellation_id"]
    settled = by_hand.settle_cancel(call.deps, call.operator, imp_uid, cancellation_id, wanted)
    return Answer(_shown(call, settled.payment, settled.remark))


@admin(bp, "DELETE", "/admin/payments/{imp_uid}/alarm")
def acknowledge_alarm(call: Call) -> Answer:
    body = schemas.parse(schemas.Acknowledge, call.body)
    return Answer(_shown(call, by_hand.acknowledge(call.deps, call.operator, call.path["imp_uid"], body.reason)))


@admin(bp, "POST", "/admin/receipts/{imp_uid}/settle")
def settle_receipt(call: Call) -> Answer:
    return _settle_receipt(call, cash_receipts.PAYMENT)


@admin(bp, "POST", "/admin/receipts/external/{merchant_uid}/settle")
def settle_external_receipt(call: Call) -> Answer:
    return _settle_receipt(call, cash_receipts.EXTERNAL)


def _settle_receipt(call: Call, subject: Subject) -> Answer:
    body = schemas.parse(schemas.SettleReceipt, call.body)
    wanted = by_hand.ReceiptSettlement(body.outcome, body.reason, body.receipt_tid, body.apply_num)
    receipt = by_hand.settle_receipt(call.deps, call.operator, subject, call.path[subject], wanted)
    return Answer(views.doubtful_receipt_view(receipt))


def _shown(call: Call, payment: Payment, remark: str | None = None) -> dict[str, Any]:
    """With a message only where there is something to say."""
    entries = by_hand.history(call.deps, call.merchant_id, payment.imp_uid)
    answer = {**views.routing_view(payment), "history": [views.audit_view(entry) for entry in entries]}
    return {**answer, "message": remark} if remark else answer
