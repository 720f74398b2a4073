"""POST /users/getToken."""

from __future__ import annotations  # so that naming a type does not load its module

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.usecases import tokens

bp = Blueprint(__name__)


@v1(bp, "POST", "/users/getToken", token=False)
def get_token(call: Call) -> Answer:
    body = schemas.parse(schemas.GetToken, call.body)
    issued = tokens.issue(call.deps, body.imp_key, body.imp_secret)
    return Answer(
        {
            "access_token": issued.token,
            "now": views.seconds(issued.now),
            "expired_at": views.seconds(issued.expires_at),
        }
    )
