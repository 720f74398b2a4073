"""What stands around every view: reading the request, knowing who calls, and turning errors into answers.

Chalice turns a view's exception into a bare 500 before its middleware can see it, so errors are mapped by one
decorator under every route. Views parse, call one use case, and return plain values.
"""

from __future__ import annotations  # so that naming a type does not load its module

import functools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from chalice.app import Blueprint, Response

from chalicelib import container, ports
from chalicelib.api import views
from chalicelib.api.body import read_body
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused, RouterError, Unauthorized
from chalicelib.usecases import billing_keys, merchants, tokens

if TYPE_CHECKING:
    from chalicelib.domain.accounts import AdminToken

log = logging.getLogger(__name__)

ANY_TYPE = ["*/*"]
"""Content types are judged in `body`, so that a wrong one gets our answer and not Chalice's."""

MAX_PATH_VALUE = 120
"""More than any id of the contract has."""

BUSY = "일시적인 오류입니다. 잠시 후 다시 시도해 주세요. (temporary error, please try again)"
BROKEN = "서버 오류가 발생했습니다. (internal error)"
TOO_LARGE = "저장할 수 있는 크기를 넘었습니다. 쓰지 않는 채널과 그룹을 삭제해 주세요. (too large to store)"
OVERTAKEN = "다른 변경이 먼저 저장되었습니다. 다시 시도해 주세요. (overtaken by another change)"


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a view sees it. path: decoded path parameters."""

    deps: ports.Deps
    merchant_id: str
    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: dict[str, Any]
    source_ip: str | None
    started: float
    admin: AdminToken | None = None

    def budget(self) -> timedelta:
        """What is left of the time before API Gateway hangs up, for gateways."""
        return self.deps.timing.request_budget - timedelta(seconds=self.deps.clock.monotonic() - self.started)


@dataclass(frozen=True, slots=True)
class Answer:
    """A view's success. extra: keys beside V1's envelope."""

    response: Any
    message: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


View = Callable[[Call], Answer]
Render = Callable[[Exception], Response]


def v1(bp: Blueprint, method: str, path: str, *, token: bool = True) -> Callable[[View], Callable[..., Response]]:
    """A V1 endpoint: access token, V1's envelope."""

    def decorate(view: View) -> Callable[..., Response]:
        @bp.route(path, methods=[method], content_types=ANY_TYPE)
        @functools.wraps(view)
        def endpoint(**parameters: str) -> Response:
            def answer() -> Response:
                deps = container.get()
                started = deps.clock.monotonic()
                merchant_id = tokens.check(deps, _access_token(bp.current_request)) if token else ""
                result = view(_call(bp.current_request, deps, started, merchant_id, parameters))
                body = {"code": 0, "message": result.message, "response": result.response, **result.extra}
                return _json(body, result.status)

            return _guarded(answer, _v1_error)

        return cast("Callable[..., Response]", endpoint)

    return decorate


def admin(bp: Blueprint, method: str, path: str) -> Callable[[View], Callable[..., Response]]:
    """An endpoint of the admin API: bearer token, plain JSON, HTTP status codes."""

    def decorate(view: View) -> Callable[..., Response]:
        @bp.route(path, methods=[method], content_types=ANY_TYPE)
        @functools.wraps(view)
        def endpoint(**parameters: str) -> Response:
            def answer() -> Response:
                deps = container.get()
                started = deps.clock.monotonic()
                token = merchants.check_admin(deps, _bearer(bp.current_request))
                result = view(_call(bp.current_request, deps, started, token.merchant_id, parameters, token))
                return _json(result.response, result.status)

            return _guarded(answer, _admin_error)

        return cast("Callable[..., Response]", endpoint)

    return decorate


def _guarded(answer: Callable[[], Response], render: Render) -> Response:
    try:
        return answer()
    except (RouterError, ports.Conflict, ports.TooLarge) as error:
        return render(error)
    except ports.StoreUnavailable as error:
        log.exception("storage unavailable")
        return render(error)
    except Exception as error:  # the last line before the caller: an answer in our envelope, never a stack trace
        log.exception("unexpected error")
        return render(error)


def _call(
    request: Any,
    deps: ports.Deps,
    started: float,
    merchant_id: str,
    path: Mapping[str, str],
    admin: AdminToken | None = None,
) -> Call:
    return Call(
        deps=deps,
        merchant_id=merchant_id,
        path={name: _path_value(name, value) for name, value in path.items()},
        query=_query(request),
        body=read_body(request.raw_body or b"", request.headers.get("content-type")),
        source_ip=(request.context.get("identity") or {}).get("sourceIp"),
        started=started,
        admin=admin,
    )


def _path_value(name: str, value: str) -> str:
    decoded = unquote(value, errors="replace")
    if len(decoded) > MAX_PATH_VALUE:
        raise InvalidRequest(name, f"{name}: {MAX_PATH_VALUE}자 이하여야 합니다. (at most {MAX_PATH_VALUE} characters)")
    if "\x00" in decoded or "\ufffd" in decoded:
        raise InvalidRequest(name, f"{name}: 사용할 수 없는 문자가 있습니다. (NUL or broken character)")
    return decoded


def _query(request: Any) -> dict[str, list[str]]:
    params = request.query_params
    return {name: params.getlist(name) for name in params} if params else {}


def _access_token(request: Any) -> str:
    """V1's header forms: raw, Bearer (and Basic, in one sample of the contract), and X-ImpTokenHeader."""
    header: str = request.headers.get("authorization") or request.headers.get("x-imptokenheader") or ""
    scheme, _, rest = header.strip().partition(" ")
    return rest.strip() if scheme.lower() in ("bearer", "basic") else header.strip()


def _bearer(request: Any) -> str:
    scheme, _, token = (request.headers.get("authorization") or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Authorization: Bearer 관리자 토큰이 필요합니다. (admin token required)")
    return token.strip()


def _v1_error(error: Exception) -> Response:
    """V1's envelope: 400 for a bad parameter, 401, 404; what a rule refuses is HTTP 200 with a code."""
    status, code, extra = 200, 1, {}
    match error:
        case InvalidRequest():
            status, code = 400, -1
        case Unauthorized():
            status, code = 401, -1
        case NotFound():
            status, code = 404, 1
        case billing_keys.IssueFailed():
            code, extra = -1, {"channelSpecificFailures": [views.failure_view(f) for f in error.failed]}
        case Refused():
            code = error.code
        case ports.StoreUnavailable():
            status, code = 503, -1
        case ports.Conflict() | ports.TooLarge():
            code = 1
        case _:
            status, code = 500, -1
    body = {"code": code, "message": _text(error), "response": None, **extra}
    if name := getattr(error, "field", None):
        body["field"] = name
    return _json(body, status)


def _admin_error(error: Exception) -> Response:
    status, code = 500, "internal_error"
    match error:
        case InvalidRequest():
            status, code = 400, "invalid_request"
        case Unauthorized():
            status, code = 401, "unauthorized"
        case NotFound():
            status, code = 404, "not_found"
        case Refused():
            status, code = 409, "refused"
        case ports.Conflict():
            status, code = 409, "conflict"
        case ports.TooLarge():
            status, code = 409, "too_large"
        case ports.StoreUnavailable():
            status, code = 503, "unavailable"
    body = {"code": code, "message": _text(error)}
    if name := getattr(error, "field", None):
        body["field"] = name
    return _json(body, status)


def _text(error: Exception) -> str:
    match error:
        case RouterError():
            return error.message
        case ports.Conflict():
            return OVERTAKEN
        case ports.TooLarge():
            return TOO_LARGE
        case ports.StoreUnavailable():
            return BUSY
        case _:
            return BROKEN


def _json(body: Any, status: int) -> Response:
    text = json.dumps(body, ensure_ascii=False)  # Korean stays readable in a terminal
    return Response(text, {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}, status)
