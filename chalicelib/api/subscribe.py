"""/subscribe: billing keys, card charges and reserved payments."""

from __future__ import annotations  # so that naming a type does not load its module

from typing import TYPE_CHECKING

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.domain.errors import InvalidRequest, Refused
from chalicelib.usecases import billing_keys, charges, schedules

if TYPE_CHECKING:
    from chalicelib.domain.charging import Card, PaymentRequest
    from chalicelib.domain.payments import Payment

bp = Blueprint(__name__)

CARD_REFUSED = "카드정보 인증에 실패하였습니다."
MIN_ISSUE_SECONDS = 5.0


@v1(bp, "POST", "/subscribe/payments/onetime")
def onetime(call: Call) -> Answer:
    started = call.deps.clock.monotonic()
    body = schemas.parse(schemas.Onetime, call.body)
    request = _request(call, body)
    card = body.card(CARD_REFUSED, call.deps.clock.now())
    payment = charges.charge_card(call.deps, call.merchant_id, request, card, body.target())
    message = views.payment_message(payment)
    if body.customer_uid is not None and payment.v1_status == "paid":
        left = call.deps.timing.request_budget.total_seconds() - (call.deps.clock.monotonic() - started)
        message = _store_key(call, body, card, left)
    return Answer(views.payment_view(payment), message)


def _store_key(call: Call, body: schemas.Onetime, card: Card, seconds_left: float) -> str | None:
    """V1: `onetime` with a customer_uid also stores a key. The charge stands whatever becomes of it."""
    uid = billing_keys.check_customer_uid(str(body.customer_uid))
    customer = body.buyer()
    wanted = billing_keys.Issue(uid, card, body.target(), customer=customer, timeout=seconds_left)
    if seconds_left < MIN_ISSUE_SECONDS:
        return f"{billing_keys.ISSUE_FAILED} 결제는 승인되었습니다. (paid; no time left to issue the key)"
    try:
        billing_keys.issue(call.deps, call.merchant_id, wanted)
    except Refused as error:
        return f"결제는 승인되었으나 빌링키는 발급되지 않았습니다. {error.message} (paid; no key issued)"
    return None


@v1(bp, "POST", "/subscribe/payments/again")
def again(call: Call) -> Answer:
    body = schemas.parse(schemas.Again, call.body)
    payment = charges.charge_key(call.deps, call.merchant_id, body.customer_uid, _request(call, body), body.target())
    return _charged(payment)


def _charged(payment: Payment) -> Answer:
    return Answer(views.payment_view(payment), views.payment_message(payment))


def _request(call: Call, body: schemas.ChargeFields, where: str = "") -> PaymentRequest:
    request = body.request(where, call.source_ip)
    for url in request.notice_urls:
        if reason := call.deps.sender.refuse_url(url, live=False):
            raise InvalidRequest(f"{where}notice_url", f"{where}notice_url: {reason}")
    return request


@v1(bp, "POST", "/subscribe/customers/{customer_uid}")
def issue_key(call: Call) -> Answer:
    body = schemas.parse(schemas.IssueKey, call.body)
    wanted = billing_keys.Issue(
        customer_uid=billing_keys.check_customer_uid(call.path["customer_uid"]),
        card=body.card(billing_keys.ISSUE_FAILED, call.deps.clock.now()),
        target=body.target(),
        customer_id=body.customer_id,
        customer=body.customer(),
    )
    key = billing_keys.issue(call.deps, call.merchant_id, wanted)
    return Answer(views.key_view(key), extra=views.issue_extra(key))


@v1(bp, "GET", "/subscribe/customers/{customer_uid}")
def get_key(call: Call) -> Answer:
    uid = billing_keys.check_customer_uid(call.path["customer_uid"])
    return Answer(views.key_view(billing_keys.find(call.deps, call.merchant_id, uid)))


@v1(bp, "DELETE", "/subscribe/customers/{customer_uid}")
def delete_key(call: Call) -> Answer:
    uid = billing_keys.check_customer_uid(call.path["customer_uid"])
    key, unconfirmed = billing_keys.delete(call.deps, call.merchant_id, uid)
    message = None
    if unconfirmed:
        message = (
            f"삭제되었습니다. PG사 확인이 되지 않은 채널: {', '.join(unconfirmed)} (not confirmed by these gateways)"
        )
    return Answer(views.key_view(key), message)


@v1(bp, "POST", "/subscribe/payments/schedule")
def book(call: Call) -> Answer:
    body = schemas.parse(schemas.Schedule, call.body)
    if body.checking_amount:
        raise InvalidRequest(
            "checking_amount", "checking_amount: 지원하지 않습니다. 0으로 보내 주세요. (not supported, send 0)"
        )
    now = call.deps.clock.now()
    entries = []
    for n, entry in enumerate(body.schedules):
        where = f"schedules[{n}]."
        entries.append(schedules.Entry(_request(call, entry, where), entry.when(where, now)))
    schedules.check_entries(entries)
    if body.card_number:
        _issue_for_schedule(call, body)
    booked = schedules.book(
        call.deps,
        call.merchant_id,
        body.customer_uid,
        entries,
        channel_key=None if body.card_number else body.channel_key,
        customer_id=body.customer_id,
    )
    return Answer([views.schedule_view(order) for order in booked])


def _issue_for_schedule(call: Call, body: schemas.Schedule) -> None:
    """V1: card data with `schedule` stores a key first. A key that is there already is used as it is."""
    try:
        billing_keys.find(call.deps, call.merchant_id, body.customer_uid)
    except Refused:
        wanted = billing_keys.Issue(
            customer_uid=body.customer_uid,
            card=body.card(billing_keys.ISSUE_FAILED, call.deps.clock.now()),
            target=body.target(),
            customer_id=body.customer_id,
            customer=body.customer(),
        )
        billing_keys.issue(call.deps, call.merchant_id, wanted)


@v1(bp, "GET", "/subscribe/payments/schedule/{merchant_uid}")
def get_schedule(call: Call) -> Answer:
    return Answer(views.schedule_view(schedules.find(call.deps, call.merchant_id, call.path["merchant_uid"])))


@v1(bp, "POST", "/subscribe/payments/unschedule")
def unschedule(call: Call) -> Answer:
    body = schemas.parse(schemas.Unschedule, call.body)
    revoked = schedules.revoke(call.deps, call.merchant_id, body.customer_uid, body.merchant_uid)
    return Answer([views.schedule_view(order) for order in revoked])
