"""POST /users/getToken."""

from chalice.app import Blueprint

from chalicelib.api import schemas
from chalicelib.api.endpoints import ANY_TYPE, Answer, Call, v1
from chalicelib.api.views import seconds
from chalicelib.usecases import tokens

bp = Blueprint(__name__)


@bp.route("/users/getToken", methods=["POST"], content_types=ANY_TYPE)
@v1(bp, token=False)
def get_token(call: Call) -> Answer:
    body = schemas.parse(schemas.GetToken, call.body)
    issued = tokens.issue(call.deps, body.imp_key, body.imp_secret)
    return Answer(
        {
            "access_token": issued.token,
            "now": seconds(issued.now),
            "expired_at": seconds(issued.expires_at),
        }
    )
