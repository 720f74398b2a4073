"""/admin: webhooks, sent and given up; sending one again; trying the URL; a new secret for signatures."""

from __future__ import annotations  # so that naming a type does not load its module

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, admin
from chalicelib.usecases import webhooks

bp = Blueprint(__name__)


@admin(bp, "GET", "/admin/payments/{imp_uid}/webhooks")
def webhooks_of_payment(call: Call) -> Answer:
    notices = webhooks.of_payment(call.deps, call.merchant_id, call.path["imp_uid"])
    return Answer([views.webhook_view(notice) for notice in notices])


@admin(bp, "GET", "/admin/webhooks")
def list_webhooks(call: Call) -> Answer:
    wanted = schemas.parse_query(schemas.WebhookQuery, call.query)
    page = webhooks.dead(call.deps, call.merchant_id, wanted.limit, wanted.cursor)
    return Answer({"list": [views.webhook_view(notice) for notice in page.items], "cursor": page.cursor})


@admin(bp, "POST", "/admin/webhooks/{webhook_id}/resend")
def resend_webhook(call: Call) -> Answer:
    return Answer(views.webhook_view(webhooks.resend(call.deps, call.operator, call.path["webhook_id"])))


@admin(bp, "DELETE", "/admin/webhooks/{webhook_id}/alarm")
def note_webhook(call: Call) -> Answer:
    body = schemas.parse(schemas.Acknowledge, call.body)
    noted = webhooks.take_note(call.deps, call.operator, call.path["webhook_id"], body.reason)
    return Answer(views.webhook_view(noted))


@admin(bp, "POST", "/admin/settings/test-webhook")
def test_webhook(call: Call) -> Answer:
    body = schemas.parse(schemas.TestWebhookBody, call.body)
    trial = webhooks.try_out(call.deps, call.merchant_id, body.environment)
    answer = {"delivered": trial.result.delivered, "result": trial.result.text, "took_ms": trial.took_ms}
    return Answer({"url": trial.url, **answer})


@admin(bp, "POST", "/admin/settings/rotate-webhook-secret")
def rotate_webhook_secret(call: Call) -> Answer:
    made = webhooks.rotate_secret(call.deps, call.operator)
    return Answer({"webhook_secret": made.secret, "old_until": views.seconds(made.old_until)})
