"""Domain values as V1's objects. Instants are unix seconds, 0 when not reached; amounts are JSON numbers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.domain.accounts import Audit
from chalicelib.domain.charging import Buyer, CardSummary, VirtualAccount
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.institutions import BANKS
from chalicelib.domain.keys import BillingKey, ChannelKey, FailedChannel
from chalicelib.domain.money import Money
from chalicelib.domain.notices import Notice
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Attempt, Cancellation, CancelState, Payment, State
from chalicelib.domain.receipts import CashReceipt, Subject
from chalicelib.domain.routing import Decision

CONFIRMING = "결제 결과를 확인하고 있습니다. 다시 결제하지 말고 웹훅 또는 조회로 확인해 주세요. (being confirmed)"
CANCEL_CONFIRMING = (
    "취소 결과를 확인하고 있습니다. 다시 취소하지 말고 잠시 후 결제를 조회해 주세요. (the cancel is being confirmed)"
)


def seconds(instant: datetime | None) -> int:
    return int(instant.timestamp()) if instant else 0


def number(money: Money) -> int | float:
    """Major units. A float only here, as text on its way out: two decimals survive it exactly."""
    value = money.to_decimal()
    return int(value) if value == value.to_integral_value() else float(value)


def payment_view(payment: Payment) -> dict[str, Any]:
    """V1's PaymentAnnotation, every key of it."""
    request, last = payment.request, payment.last_attempt
    done = [c for c in payment.cancels if c.state is CancelState.DONE]
    return {
        "imp_uid": payment.imp_uid,
        "merchant_uid": request.merchant_uid,
        "pay_method": payment.pay_method,
        "channel": _channel_of(payment),
        "pg_provider": last.pg_provider if last else None,
        "emb_pg_provider": payment.easy_pay,
        "pg_tid": payment.gateway_ref,
        "pg_id": last.pg_id if last else None,
        "sandbox": payment.environment.value == "test",
        "escrow": False,
        "apply_num": payment.approval_number,
        "bank_code": payment.bank_code,
        "bank_name": BANKS.get(payment.bank_code or ""),
        **_card_view(payment.card),
        "card_quota": request.quota,
        **_account_view(payment.account),
        "name": request.name,
        "amount": number(request.amount),
        "cancel_amount": number(payment.cancelled_amount),
        "currency": request.amount.currency,
        **_buyer_view(request.buyer, "buyer"),
        "custom_data": request.custom_data,
        "user_agent": None,
        "status": payment.v1_status,
        "started_at": seconds(payment.started_at),
        "paid_at": seconds(payment.paid_at),
        "failed_at": seconds(payment.failed_at),
        "cancelled_at": seconds(payment.cancelled_at),
        "fail_reason": payment.fail_reason,
        "cancel_reason": (done[-1].reason or None) if done else None,
        "receipt_url": payment.receipt_url,
        "cancel_history": [_cancel_view(c) for c in done],
        "cancel_receipt_urls": [c.receipt_url for c in done if c.receipt_url],
        "cash_receipt_issued": payment.cash_receipt_issued,
        "customer_uid": payment.customer_uid,
        "customer_uid_usage": payment.customer_uid_usage,
        "promotion": None,
    }


def _channel_of(payment: Payment) -> str:
    """V1's word for where it was paid."""
    if payment.window is None:
        return "api"
    return "mobile" if payment.window.is_mobile else "pc"


def window_result(payment: Payment) -> dict[str, Any]:
    """What `IMP.request_pay`'s callback gets: of both generations of V1's script, which disagree.

    An outcome that is still unknown is no failure: told so, the buyer would pay again. So it is a success whose status
    is `ready`, like an account that waits for its deposit; and V1 has the merchant ask for the payment in either case.
    """
    shown = payment_view(payment)
    failed = not payment.is_open
    result = {name: shown[name] for name in _RESULT_FIELDS} | {
        "success": not failed,
        "imp_success": not failed,
        "pg_type": "payment",
        "confirming": payment.is_unsettled or payment.state is State.OPENED,
    }
    if failed:
        last = payment.last_attempt
        code = (last.code if last else None) or "FAILED"
        # What is wrong with a channel is for its merchant, and not for the buyer, to know.
        is_ours = last is not None and last.reason is DeclineReason.CHANNEL_REJECTED
        text = CHANNEL_TROUBLE if is_ours else payment.fail_reason
        return result | {"error_code": code, "error_msg": text or "결제에 실패했습니다."}
    return result | {"paid_amount": shown["amount"]}


CHANNEL_TROUBLE = (
    "결제 채널의 설정 오류로 결제할 수 없습니다. 가맹점에 문의해 주세요. (the shop's channel is misconfigured)"
)
_RESULT_FIELDS = (
    "imp_uid", "merchant_uid", "pay_method", "status", "name", "currency", "pg_provider", "emb_pg_provider", "pg_tid",
    "buyer_name", "buyer_email", "buyer_tel", "buyer_addr", "buyer_postcode", "custom_data", "paid_at", "receipt_url",
    "apply_num", "bank_name", "card_name", "card_number", "card_quota", "vbank_num", "vbank_name", "vbank_holder",
    "vbank_date",
)  # fmt: skip


def payment_message(payment: Payment) -> str | None:
    if payment.is_unsettled:
        return CONFIRMING
    return CANCEL_CONFIRMING if payment.open_cancel else None


def _cancel_view(cancel: Cancellation) -> dict[str, Any]:
    return {
        "pg_tid": cancel.gateway_ref,
        "amount": number(cancel.amount),
        "cancelled_at": seconds(cancel.cancelled_at),
        "reason": cancel.reason,
        "cancellation_id": cancel.cancel_id,
        "receipt_url": cancel.receipt_url,
    }


def _card_view(card: CardSummary | None) -> dict[str, Any]:
    card = card or CardSummary()
    return {
        "card_name": card.name,
        "card_code": card.code,
        "card_issuer_code": card.issuer_code,
        "card_issuer_name": card.issuer_name,
        "card_publisher_code": card.publisher_code,
        "card_publisher_name": card.publisher_name,
        "card_number": card.number,
        "card_type": card.type,
    }


def _account_view(account: VirtualAccount | None) -> dict[str, Any]:
    if account is None:
        nothing = dict.fromkeys(("vbank_code", "vbank_name", "vbank_num", "vbank_holder"))
        return {**nothing, "vbank_date": 0, "vbank_issued_at": 0}
    return {
        "vbank_code": account.bank_code,
        "vbank_name": BANKS.get(account.bank_code or ""),
        "vbank_num": account.number,
        "vbank_holder": account.holder,
        "vbank_date": seconds(account.due_at),
        "vbank_issued_at": seconds(account.issued_at),
    }


def _buyer_view(buyer: Buyer, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}_name": buyer.name,
        f"{prefix}_email": buyer.email,
        f"{prefix}_tel": buyer.tel,
        f"{prefix}_addr": buyer.addr,
        f"{prefix}_postcode": buyer.postcode,
    }


def key_view(key: BillingKey) -> dict[str, Any]:
    """V1's CustomerAnnotation or SuperBillingKeyAnnotation, whichever the key is.

    A super key whose request named no group comes from a client that knows ordinary keys only: it gets both.
    """
    if not key.is_super:
        return _ordinary_view(key)
    shown = {
        "customer_uid": key.customer_uid,
        "channelGroupId": key.group_id,
        "customer_id": key.customer_id,
        **_buyer_view(key.customer, "customer"),
        "succeededChannels": [_succeeded_view(c) for c in key.channels.values()],
        "failedChannels": [_failed_view(f) for f in key.failed],
    }
    return {**_ordinary_view(key), **shown} if key.issued_by_default else shown


def _ordinary_view(key: BillingKey) -> dict[str, Any]:
    return {
        "customer_uid": key.customer_uid,
        "pg_provider": key.first.pg_provider,
        "pg_id": key.first.pg_id,
        "sandbox": key.environment.value == "test",
        "customer_id": key.customer_id,
        **_card_view(key.first.card),
        **_buyer_view(key.customer, "customer"),
        "inserted": seconds(key.inserted_at),
        "updated": seconds(key.updated_at),
    }


def _succeeded_view(channel: ChannelKey) -> dict[str, Any]:
    return {
        "pg_provider": channel.pg_provider,
        "pg_id": channel.pg_id,
        **_card_view(channel.card),
        "inserted": seconds(channel.inserted_at),
        "updated": seconds(channel.updated_at),
    }


def _failed_view(failed: FailedChannel) -> dict[str, Any]:
    return {
        "type": failed.type,
        "message": failed.message,
        "pg_provider": failed.pg_provider,
        "pg_id": failed.pg_id,
    }


def failure_view(failed: FailedChannel) -> dict[str, Any]:
    """The newer shape that the routing guide's samples read."""
    view = {
        "type": failed.type,
        "channel": {"key": failed.channel_key, "pgProvider": failed.pg_provider, "pgMerchantId": failed.pg_id},
        "message": failed.message,
    }
    return {**view, "pgCode": failed.pg_code, "pgMessage": failed.pg_message} if failed.pg_code else view


def issue_extra(key: BillingKey) -> Mapping[str, Any]:
    """Top-level keys of an issue answer that the integration guide's sample reads."""
    channels = [
        {"key": c.channel_key, "pgProvider": c.pg_provider, "pgMerchantId": c.pg_id} for c in key.channels.values()
    ]
    return {
        "billingKeyInfo": {"customer_uid": key.customer_uid, "channels": channels},
        "channelSpecificFailures": [failure_view(f) for f in key.failed],
    }


def schedule_view(order: Order) -> dict[str, Any]:
    """V1's ScheduleResultAnnotation."""
    schedule = order.schedule
    if schedule is None:
        raise ValueError(f"{order.merchant_uid} has no schedule")
    request = schedule.request
    return {
        "customer_uid": schedule.customer_uid,
        "merchant_uid": order.merchant_uid,
        "imp_uid": schedule.imp_uid,
        "pg_provider": schedule.pg_provider,
        "pg_id": schedule.pg_id,
        "customer_id": schedule.customer_id,
        "schedule_at": seconds(schedule.schedule_at),
        "executed_at": seconds(schedule.executed_at),
        "revoked_at": seconds(schedule.revoked_at),
        "amount": number(request.amount),
        "currency": request.amount.currency,
        "name": request.name,
        **_buyer_view(request.buyer, "buyer"),
        "custom_data": request.custom_data,
        "schedule_status": schedule.state.value,
        "payment_status": schedule.payment_status,
        "fail_reason": schedule.fail_reason,
        "promotion_id": request.promotion_id,
    }


def receipt_view(receipt: CashReceipt) -> dict[str, Any]:
    """V1's ReceiptAnnotation or ExternalReceiptAnnotation, whichever the receipt's subject asks for."""
    shown = receipt.to_show()
    if shown is None:
        raise ValueError(f"{receipt.subject_id} has no receipt")
    return {
        receipt.subject.value: receipt.subject_id,
        "receipt_tid": shown.receipt_tid,
        "apply_num": shown.apply_num,
        "type": shown.terms.type.value,
        "amount": number(shown.terms.amount),
        "vat": shown.terms.vat,
        "receipt_url": shown.receipt_url,
        "applied_at": seconds(shown.issued_at),
        "cancelled_at": seconds(shown.cancelled_at),
    }


def webhook_view(notice: Notice) -> dict[str, Any]:
    """For operators: one message to one URL, and what came of it."""
    return {
        "webhook_id": notice.notice_id,
        "imp_uid": notice.imp_uid,
        "merchant_uid": notice.merchant_uid,
        "status": notice.status,
        "cancellation_id": notice.cancellation_id,
        "url": notice.url,
        "state": notice.state.value,
        "tries": notice.tries,
        "last_result": notice.last_result,
        "created_at": seconds(notice.created_at),
        "tried_at": seconds(notice.tried_at),
        "resent_at": seconds(notice.resent_at),
        "due_at": seconds(notice.due_at),
    }


def routing_view(payment: Payment) -> dict[str, Any]:
    """How a payment came to where it went, for operators."""
    return {
        "imp_uid": payment.imp_uid,
        "merchant_uid": payment.request.merchant_uid,
        "state": payment.state.value,
        "alarm": payment.alarm,
        "due_at": seconds(payment.due_at) or None,
        "payment": payment_view(payment),
        "attempts": [_attempt_view(a) for a in payment.attempts],
        "cancels": [_any_cancel_view(c) for c in payment.cancels],
    }


def _any_cancel_view(cancel: Cancellation) -> dict[str, Any]:
    """Also one that is open, or was refused."""
    return {
        **_cancel_view(cancel),
        "state": cancel.state.value,
        "requested_at": seconds(cancel.requested_at),
        "message": cancel.message,
    }


def audit_view(entry: Audit) -> dict[str, Any]:
    """For operators: who changed what."""
    return {
        "action": entry.action,
        "at": seconds(entry.at),
        "by": entry.by,
        "before": entry.before,
        "after": entry.after,
    }


def waiting_view(payment: Payment) -> dict[str, Any]:
    """For operators: a payment that waits for a person, and where to look for it."""
    cancel = payment.open_cancel
    return {
        "imp_uid": payment.imp_uid,
        "merchant_uid": payment.request.merchant_uid,
        "status": payment.v1_status,
        "state": payment.state.value,
        "alarm": payment.alarm,
        "since": seconds(payment.updated_at),
        "due_at": seconds(payment.due_at) or None,
        "amount": number(payment.request.amount),
        "currency": payment.request.amount.currency,
        "channel_key": payment.attempt.channel_key,
        "pg_provider": payment.attempt.pg_provider,
        "pg_id": payment.attempt.pg_id,
        "order_id": payment.attempt.order_id,
        "pg_tid": payment.gateway_ref,
        "cancellation_id": cancel.cancel_id if cancel else None,
    }


def doubtful_receipt_view(receipt: CashReceipt) -> dict[str, Any]:
    """For operators: a cash receipt that nobody may know the outcome of, and where to look for it."""
    attempt = receipt.current
    return {
        "imp_uid": receipt.subject_id if receipt.subject is Subject.PAYMENT else None,
        "merchant_uid": receipt.subject_id if receipt.subject is Subject.EXTERNAL else None,
        "state": attempt.state.value,
        "since": seconds(attempt.since),
        "amount": number(attempt.terms.amount),
        "channel_key": attempt.channel_key,
        "pg_provider": attempt.pg_provider,
        "order_id": attempt.order_id,
        "receipt_tid": attempt.receipt_tid,
    }


def _attempt_view(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "order_id": attempt.order_id,
        "channel_key": attempt.channel_key,
        "pg_provider": attempt.pg_provider,
        "pg_id": attempt.pg_id,
        "started_at": attempt.started_at.isoformat(),
        "took_ms": attempt.took_ms,
        "outcome": attempt.outcome,
        "reason": attempt.reason.value if attempt.reason else None,
        "code": attempt.code,
        "message": attempt.message,
        "decision": _decision_view(attempt.decision),
    }


def _decision_view(decision: Decision) -> dict[str, Any]:
    return {
        "mode": decision.mode,
        "chosen": decision.chosen,
        "draw": decision.draw,
        "channel_group_id": decision.group_id,
        "group_version": decision.group_version,
        "decided_at": decision.decided_at.isoformat() if decision.decided_at else None,
        "candidates": [
            {"channel_key": c.channel_key, "pg_provider": c.pg_provider, "weight": c.weight}
            for c in decision.candidates
        ],
        "exclusions": [
            {"channel_key": e.channel_key, "pg_provider": e.pg_provider, "code": e.code, "message": e.message}
            for e in decision.exclusions
        ],
    }
