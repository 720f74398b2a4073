"""/subscribe/payments/schedule: what is done to a reserved payment afterwards."""

from __future__ import annotations  # so that naming a type does not load its module

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.usecases import rescheduling

bp = Blueprint(__name__)


@v1(bp, "PUT", "/subscribe/payments/schedule/{merchant_uid}")
def move(call: Call) -> Answer:
    schedule_at = schemas.parse(schemas.ScheduleTime, call.body).when("", call.deps.clock.now())
    order = rescheduling.move(call.deps, call.merchant_id, call.path["merchant_uid"], schedule_at)
    return Answer(views.schedule_view(order))


@v1(bp, "POST", "/subscribe/payments/schedule/{merchant_uid}/reschedule")
def reschedule(call: Call) -> Answer:
    schedule_at = schemas.parse(schemas.ScheduleTime, call.body).when("", call.deps.clock.now())
    order = rescheduling.reschedule(call.deps, call.merchant_id, call.path["merchant_uid"], schedule_at)
    return Answer(views.schedule_view(order))


@v1(bp, "POST", "/subscribe/payments/schedule/{merchant_uid}/retry")
def retry(call: Call) -> Answer:
    payment = rescheduling.retry(call.deps, call.merchant_id, call.path["merchant_uid"], call.budget())
    return Answer(views.payment_view(payment), views.payment_message(payment))
