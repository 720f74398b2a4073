"""/vbanks: virtual accounts."""

from __future__ import annotations  # so that naming a type does not load its module

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.usecases import virtual_accounts

bp = Blueprint(__name__)


@v1(bp, "POST", "/vbanks")
def issue(call: Call) -> Answer:
    body = schemas.parse(schemas.IssueVirtualAccount, call.body)
    wanted = virtual_accounts.Issue(
        body.request(), body.account(call.deps.clock.now()), body.target(), budget=call.budget()
    )
    payment = virtual_accounts.issue(call.deps, call.merchant_id, wanted)
    return Answer(views.payment_view(payment), views.payment_message(payment))


@v1(bp, "PUT", "/vbanks/{imp_uid}")
def change(call: Call) -> Answer:
    schemas.parse(schemas.ChangeVirtualAccount, call.body)
    return Answer(views.payment_view(virtual_accounts.change(call.deps, call.merchant_id, call.path["imp_uid"])))


@v1(bp, "DELETE", "/vbanks/{imp_uid}")
def revoke(call: Call) -> Answer:
    payment = virtual_accounts.revoke(call.deps, call.merchant_id, call.path["imp_uid"], call.budget())
    return Answer(views.payment_view(payment))
