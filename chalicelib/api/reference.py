"""GET /openapi.json and GET /docs: the reference, for programs and for people. No token.

What they are made from is imported when they are first called, and not in Lambda's init phase either: hardly any
process is ever asked for them.
"""

# ruff: noqa: PLC0415 - see above

import json

from chalice.app import Blueprint, Response

from chalicelib.api.endpoints import ANY_TYPE

bp = Blueprint(__name__)


@bp.route("/openapi.json", methods=["GET"], content_types=ANY_TYPE)
def openapi_json() -> Response:
    from chalicelib.api import openapi

    text = json.dumps(openapi.document(), ensure_ascii=False)
    return Response(text, {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "max-age=300"})


@bp.route("/docs", methods=["GET"], content_types=ANY_TYPE)
def docs() -> Response:
    from chalicelib.api import page

    query = bp.current_request.query_params
    language = "en" if query and query.get("lang") == "en" else "ko"
    return Response(page.html(language), {**page.HEADERS, "Cache-Control": "max-age=300"})
