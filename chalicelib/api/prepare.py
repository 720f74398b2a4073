"""/payments/prepare: the amount of a payment window, registered beforehand."""

from __future__ import annotations  # so that naming a type does not load its module

from typing import TYPE_CHECKING

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.usecases import preparing

if TYPE_CHECKING:
    from chalicelib.domain.prepared import Prepared

bp = Blueprint(__name__)


@v1(bp, "POST", "/payments/prepare")
def register(call: Call) -> Answer:
    body = schemas.parse(schemas.Prepare, call.body)
    return _shown(preparing.register(call.deps, body.prepared(call.merchant_id)))


@v1(bp, "PUT", "/payments/prepare")
def change(call: Call) -> Answer:
    body = schemas.parse(schemas.Prepare, call.body)
    return _shown(preparing.change(call.deps, body.prepared(call.merchant_id)))


@v1(bp, "GET", "/payments/prepare/{merchant_uid}")
def find(call: Call) -> Answer:
    return _shown(preparing.find(call.deps, call.merchant_id, call.path["merchant_uid"]))


def _shown(prepared: Prepared) -> Answer:
    return Answer(
        {
            "merchant_uid": prepared.merchant_uid,
            "amount": views.number(prepared.amount),
            "currency": None if prepared.any_currency else prepared.amount.currency,
        }
    )
