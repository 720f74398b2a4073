"""/subscribe: billing keys, card charges and reserved payments."""

from __future__ import annotations  # so that naming a type does not load its module

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.domain.errors import Refused
from chalicelib.usecases import billing_keys, charges, checking, schedules

if TYPE_CHECKING:
    from chalicelib.domain.charging import Card, KeyIssued, PaymentRequest

log = logging.getLogger(__name__)

bp = Blueprint(__name__)

CARD_REFUSED = "카드정보 인증에 실패하였습니다."
PAID_WITHOUT_KEY = "결제는 승인되었으나 빌링키는 발급되지 않았습니다. (paid; no key issued)"
MIN_ISSUE_TIME = timedelta(seconds=5)


@v1(bp, "POST", "/subscribe/payments/onetime", "/subscribe/payments/foreign")
def onetime(call: Call) -> Answer:
    body = schemas.parse(schemas.Onetime, call.body)
    request = _request(call, body)
    card = body.card(CARD_REFUSED, call.deps.clock.now())
    request = replace(request, keep_card=body.customer_uid is not None)
    keys: dict[str, KeyIssued] = {}
    payment = charges.charge_card(call.deps, call.merchant_id, request, card, body.target(), call.budget(), keys=keys)
    message = views.payment_message(payment)
    if body.customer_uid is not None and payment.v1_status == "paid":
        message = _store_key(call, body, card, keys)
    return Answer(views.payment_view(payment), message)


def _store_key(call: Call, body: schemas.Onetime, card: Card, keys: dict[str, KeyIssued]) -> str | None:
    """V1: `onetime` with a customer_uid also stores a key. The charge stands, and is told, whatever becomes of it."""
    wanted = billing_keys.Issue(
        str(body.customer_uid), card, body.target(), customer=body.buyer(), budget=call.budget(), given=keys
    )
    if call.budget() < MIN_ISSUE_TIME and not keys:
        return PAID_WITHOUT_KEY
    try:
        billing_keys.issue(call.deps, call.merchant_id, wanted)
    except Refused as error:
        return f"{PAID_WITHOUT_KEY} {error.message}"
    except Exception:  # the buyer has paid: nothing that goes wrong now may hide that
        log.exception("issuing a key after a charge")
        return PAID_WITHOUT_KEY
    return None


@v1(bp, "POST", "/subscribe/payments/again")
def again(call: Call) -> Answer:
    body = schemas.parse(schemas.Again, call.body)
    request = _request(call, body)
    payment = charges.charge_key(call.deps, call.merchant_id, body.customer_uid, request, body.target(), call.budget())
    return Answer(views.payment_view(payment), views.payment_message(payment))


def _request(call: Call, body: schemas.ChargeFields, where: str = "") -> PaymentRequest:
    request = body.request(where, call.source_ip)
    charges.check_notice_urls(call.deps, request, where)
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
        budget=call.budget(),
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
    now = call.deps.clock.now()
    entries = []
    for n, entry in enumerate(body.schedules):
        where = f"schedules[{n}]."
        entries.append(schedules.Entry(_request(call, entry, where), entry.when(where, now)))
    schedules.check_entries(entries)
    first = entries[0].request
    check_amount = body.check_amount(first.amount.currency)
    issued = bool(body.card_number) and _issue_for_schedule(call, body)
    pin = None if issued else body.channel_key  # with card data it named the channel to issue at
    if check_amount.amount:
        wanted = checking.Check(body.customer_uid, check_amount, first, pin, issued, call.budget())
        checking.check(call.deps, call.merchant_id, wanted)
    try:
        booked = schedules.book(
            call.deps, call.merchant_id, body.customer_uid, entries, channel_key=pin, customer_id=body.customer_id
        )
    except Refused:
        if issued:  # or the next try, with another card, would find this one's key and use it
            left = max(call.budget().total_seconds(), checking.MIN_VOID_SECONDS)
            billing_keys.delete(call.deps, call.merchant_id, body.customer_uid, left)
        raise
    return Answer([views.schedule_view(order) for order in booked])


def _issue_for_schedule(call: Call, body: schemas.Schedule) -> bool:
    """V1: card data with `schedule` stores a key first. False: one is there already, and is used as it is."""
    try:
        billing_keys.find(call.deps, call.merchant_id, body.customer_uid)
    except Refused:
        wanted = billing_keys.Issue(
            customer_uid=body.customer_uid,
            card=body.card(billing_keys.ISSUE_FAILED, call.deps.clock.now()),
            target=body.target(),
            customer_id=body.customer_id,
            customer=body.customer(),
            budget=call.budget(),
        )
        billing_keys.issue(call.deps, call.merchant_id, wanted)
        return True
    return False


@v1(bp, "GET", "/subscribe/payments/schedule/{merchant_uid}")
def get_schedule(call: Call) -> Answer:
    return Answer(views.schedule_view(schedules.find(call.deps, call.merchant_id, call.path["merchant_uid"])))


@v1(bp, "POST", "/subscribe/payments/unschedule")
def unschedule(call: Call) -> Answer:
    body = schemas.parse(schemas.Unschedule, call.body)
    revoked = schedules.revoke(call.deps, call.merchant_id, body.customer_uid, body.merchant_uid)
    return Answer([views.schedule_view(order) for order in revoked])
