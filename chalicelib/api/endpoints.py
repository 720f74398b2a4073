"""What stands around every view: reading the request, knowing who calls, and turning errors into answers.

Chalice turns a view's exception into a bare 500 before its middleware can see it, so errors are mapped by one
decorator under every route. Views parse, call one use case, and return plain values.
"""

from __future__ import annotations  # so that naming a type does not load its module

import functools
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from chalice.app import Blueprint, Response

from chalicelib import container, ports
from chalicelib.api import views
from chalicelib.api.body import CONTROL, read_body
from chalicelib.domain.errors import (
    InvalidRequest,
    NotApplicable,
    NotFound,
    NotIssued,
    NotSupported,
    Refused,
    RouterError,
    Unauthorized,
    Unavailable,
)
from chalicelib.usecases import billing_keys, merchants, tokens

if TYPE_CHECKING:
    from chalicelib.domain.accounts import Operator

log = logging.getLogger(__name__)

ANY_TYPE = ["*/*"]
"""Content types are judged in `body`, so that a wrong one gets our answer and not Chalice's."""

MAX_PATH_VALUE = 120
"""More than any id of the contract has."""

MAX_ANSWER = 5_500_000
"""Lambda hands over 6 MB, and counts the body as the JSON text it becomes once more, quotes and Korean escaped."""

_LIST_NAME = re.compile(r"(.+)\[([0-9]{0,6})\]")

TOO_MUCH = "limit: 응답이 너무 큽니다. 더 작은 값으로 요청해 주세요. (the answer is too large, ask for less)"
DONE_UNSHOWN = (
    "처리되었으나 응답이 너무 커서 생략되었습니다. 조회해 주세요. (done, but the answer is too large to show)"
)
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
    admin: Operator | None = None
    origin: str = ""
    """Of the web page that calls, as its browser says; "" if none does."""

    @property
    def operator(self) -> Operator:
        """Who calls the admin API. Raises Unauthorized elsewhere."""
        if self.admin is None:
            raise Unauthorized("관리자 토큰이 필요합니다. (admin token required)")
        return self.admin

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


@dataclass(frozen=True, slots=True)
class Plain:
    """A success for gateways, which read a word and no envelope."""

    text: str
    content_type: str = "text/plain; charset=utf-8"


View = Callable[[Call], Answer] | Callable[[Call], Plain] | Callable[[Call], Answer | Plain]
AdminView = Callable[[Call], Answer]
Render = Callable[[Exception], Response]
Read = Callable[[bytes, str | None], dict[str, Any]]
"""Makes fields of a body and its content type."""


def v1(
    bp: Blueprint, method: str, *paths: str, token: bool = True, read: Read = read_body, cors: bool = False
) -> Callable[[View], Callable[..., Response]]:
    """A V1 endpoint: access token, V1's envelope. cors: web pages call it; what it says is for whoever asks."""

    def decorate(view: View) -> Callable[..., Response]:
        @functools.wraps(view)
        def endpoint(**parameters: str) -> Response:
            def answer() -> Response:
                deps = container.get()
                started = deps.clock.monotonic()
                request = bp.current_request
                merchant_id = tokens.check(deps, _access_token(request)) if token else ""
                _refuse_tier(request)
                result = view(_call(request, deps, started, merchant_id, parameters, read=read))
                if isinstance(result, Plain):
                    return Response(result.text, {"Content-Type": result.content_type}, 200)
                body = {"code": 0, "message": result.message, "response": result.response, **result.extra}
                return _sendable(method, body, result.status)

            response = guarded(answer, v1_error)
            if cors:
                response.headers["Access-Control-Allow-Origin"] = "*"
            return response

        for path in paths:
            bp.route(path, methods=[method], content_types=ANY_TYPE)(endpoint)
        return cast("Callable[..., Response]", endpoint)

    return decorate


def admin(bp: Blueprint, method: str, path: str) -> Callable[[AdminView], Callable[..., Response]]:
    """An endpoint of the admin API: bearer token, plain JSON, HTTP status codes."""

    def decorate(view: AdminView) -> Callable[..., Response]:
        @bp.route(path, methods=[method], content_types=ANY_TYPE)
        @functools.wraps(view)
        def endpoint(**parameters: str) -> Response:
            def answer() -> Response:
                deps = container.get()
                started = deps.clock.monotonic()
                token = merchants.check_admin(deps, _bearer(bp.current_request))
                result = view(_call(bp.current_request, deps, started, token.merchant_id, parameters, token))
                return _json(result.response, result.status)

            return guarded(answer, _admin_error)

        return cast("Callable[..., Response]", endpoint)

    return decorate


def guarded(answer: Callable[[], Response], render: Render) -> Response:
    """The answer, or what `render` makes of whatever went wrong."""
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
    admin: Operator | None = None,
    read: Read = read_body,
) -> Call:
    return Call(
        deps=deps,
        merchant_id=merchant_id,
        path={name: path_value(name, value) for name, value in path.items()},
        query=_query(request),
        body=read(request.raw_body or b"", request.headers.get("content-type")),
        source_ip=source_ip(request),
        started=started,
        admin=admin,
        origin=(request.headers.get("origin") or "").strip(),
    )


def source_ip(request: Any) -> str | None:
    return (request.context.get("identity") or {}).get("sourceIp")


def path_value(name: str, value: str, longest: int = MAX_PATH_VALUE) -> str:
    decoded = unquote(value, errors="replace")
    if len(decoded) > longest:
        raise InvalidRequest(name, f"{name}: {longest}자 이하여야 합니다. (at most {longest} characters)")
    return readable(name, decoded)


def readable(name: str, text: str) -> str:
    if CONTROL.search(text) or "\ufffd" in text:
        raise InvalidRequest(name, f"{name}: 사용할 수 없는 문자가 있습니다. (control or broken character)")
    return text


def _query(request: Any) -> dict[str, list[str]]:
    """V1's clients spell a list `a=x&a=y`, `a[]=x&a[]=y` or `a[0]=x&a[1]=y`; here it is `a` in each case."""
    params = request.query_params
    spelled = []
    for name in params or ():
        match = _LIST_NAME.fullmatch(name)
        bare, index = match.groups() if match else (name, "")
        spelled.append((int(index or -1), bare, params.getlist(name)))
    query: dict[str, list[str]] = {}
    for _, bare, values in sorted(spelled, key=lambda entry: entry[0]):
        query.setdefault(bare, []).extend(readable(bare[:80], value) for value in values)
    return query


def _refuse_tier(request: Any) -> None:
    """With this header an agent acts for a sub-merchant. To charge the agent's own contract instead would be wrong."""
    if (request.headers.get("tier") or "").strip():
        raise NotSupported(
            "Tier: 하위 상점을 지원하지 않습니다. 해당 상점의 API 키로 요청해 주세요. (sub-merchants are not supported)"
        )


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


_V1_ANSWERS = {
    InvalidRequest: (400, -1),
    Unauthorized: (401, -1),
    NotFound: (404, 1),
    NotIssued: (404, -1),
    NotApplicable: (405, -1),
    NotSupported: (501, -1),
    Unavailable: (503, -1),
}
"""HTTP status and V1's code."""


def v1_status(error: Exception) -> tuple[int, int]:
    """HTTP status and V1's code. What a rule refuses is HTTP 200 with a code."""
    match error:
        case billing_keys.IssueFailed():
            return 200, -1
        case Refused():
            return 200, error.code
        case ports.StoreUnavailable():
            return 503, -1
        case ports.Conflict() | ports.TooLarge():
            return 200, 1
        case _:
            return _V1_ANSWERS.get(type(error), (500, -1))


def v1_error(error: Exception) -> Response:
    """V1's envelope."""
    status, code = v1_status(error)
    body = {"code": code, "message": error_text(error), "response": None}
    if isinstance(error, billing_keys.IssueFailed):
        body["channelSpecificFailures"] = [views.failure_view(f) for f in error.failed]
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
    body = {"code": code, "message": error_text(error)}
    if name := getattr(error, "field", None):
        body["field"] = name
    return _json(body, status)


def error_text(error: Exception) -> str:
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


def _sendable(method: str, body: dict[str, Any], status: int) -> Response:
    """The answer, or if it is larger than Lambda can hand over, what the caller can do about it."""
    response = _json(body, status)
    if len(json.dumps(response.body)) <= MAX_ANSWER:
        return response
    if method == "GET":
        raise InvalidRequest("limit", TOO_MUCH)
    return _json({**body, "message": DONE_UNSHOWN, "response": None}, status)


def _json(body: Any, status: int) -> Response:
    text = json.dumps(body, ensure_ascii=False)  # Korean stays readable in a terminal
    return Response(text, {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}, status)
