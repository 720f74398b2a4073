"""What stands around every page of the console: who visits, what they may, and what their browser may do with it.

A change is a POST that carries its session's token against forgery and comes from a page of ours; a page is a GET
and changes nothing.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from chalice.app import Response

from chalicelib import container, ports
from chalicelib.api.body import read_body
from chalicelib.api.console import VIEW_MODULES, pages
from chalicelib.api.console.visits import (
    LANGUAGES,
    THEMES,
    Html,
    Preferences,
    Problem,
    Redirect,
    Visit,
    Visitor,
    find,
    problem_of,
)
from chalicelib.api.endpoints import guarded, path_value, readable, source_ip, v1_status
from chalicelib.domain.accounts import Role
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, Locked, NotFound, Refused, Unauthorized
from chalicelib.domain.health import Health
from chalicelib.domain.merchants import Routing
from chalicelib.ports import Ref
from chalicelib.usecases import accounts

log = logging.getLogger(__name__)

SESSION, DEVICE, PREFERENCES = "__Host-session", "__Host-device", "__Host-prefs"
"""`__Host-`: browsers take these from this very host only, over TLS (or on this machine), and for all of it."""
COOKIES = frozenset({SESSION, DEVICE, PREFERENCES})
COOKIE = "Path=/; Secure; HttpOnly; SameSite=Lax"
YEAR = 365 * 24 * 3600

LONGEST_STEP = 600
"""An invitation holds an e-mail."""
LONGEST_QUERY = 500
NONCE = 16
"""Characters of the token against forgery that are drawn anew for each page."""
MOST_BYTES = 1000
"""What is asked for may become part of a key, of which DynamoDB takes 2048 bytes, or 1024 where it is sorted."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}

NOT_FOUND = "요청한 페이지가 없습니다. (no such page)"
FORBIDDEN = "이 작업을 할 권한이 없습니다. (your role does not allow this)"
FORGED = "페이지가 오래되었습니다. 새로고침 후 다시 시도해 주세요. (this page is too old: reload it and try again)"
FOREIGN = "다른 사이트에서 보낸 요청입니다. (sent by another site)"


class Forbidden(Refused):
    """The visitor's role, or where the request comes from, does not allow it."""


def answer(request: Any, steps: Sequence[str]) -> Response:
    """The page, or a page that says what is wrong."""
    visit: Visit | None = None

    def show() -> Response:
        nonlocal visit
        visit = _visit(request, steps)
        visit = _with_visitor(visit, _cookies(request).get(SESSION, ""))
        return _shown(visit, request)

    return guarded(show, lambda error: _problem(visit or _blank(request), error))


def _shown(visit: Visit, request: Any) -> Response:
    method = request.method
    if method == "POST":
        _check_source(request)
    entry = find(method, visit.steps)
    if visit.visitor is None and (entry is None or entry.role is not None):
        return _sign_in(visit, method)  # who is not known is not told either what there is
    if entry is None:
        raise NotFound(NOT_FOUND)
    if entry.role is not None:
        _check_rights(visit, entry.role, method)
    return respond(visit, entry.view(visit))


def _sign_in(visit: Visit, method: str) -> Response:
    wanted = visit.address if method == "GET" else None
    return respond(visit, Redirect("sign-in", query={"next": wanted}, cookies=[forget(SESSION)]))


def _with_visitor(visit: Visit, token: str) -> Visit:
    """The visit, with whom the session belongs to if it is one."""
    try:
        signed_in = accounts.check_session(visit.deps, token)
    except Unauthorized:
        return visit
    merchant_id = signed_in.operator.merchant_id
    routing, health = visit.deps.store.load(Ref(Routing, (merchant_id,)), Ref(Health, (merchant_id,)))
    if routing is None:
        return visit
    csrf = _csrf(token, secrets.token_hex(NONCE // 2))
    return replace(visit, visitor=Visitor(signed_in, routing, health or Health(merchant_id), token, csrf))


def _csrf(token: str, nonce: str) -> str:
    """Another on each page: answers are compressed, and what stays the same beside what a link can put into a page
    could be guessed from their length, letter by letter (BREACH).
    """
    return nonce + hmac.new(token.encode(), b"csrf" + nonce.encode(), hashlib.sha256).hexdigest()


def _check_rights(visit: Visit, needed: Role, method: str) -> None:
    if method == "POST":
        sent = visit.text("csrf")
        if not hmac.compare_digest(sent.encode(), _csrf(visit.who.token, sent[:NONCE]).encode()):
            raise Forbidden(FORGED)
    if not visit.may(needed):
        raise Forbidden(FORBIDDEN)


def _check_source(request: Any) -> None:
    """Browsers say where a form was sent from. Who says nothing is no browser, and has no cookie to be abused."""
    site = (request.headers.get("sec-fetch-site") or "same-origin").lower()
    origin = (request.headers.get("origin") or "").lower()
    own = (request.context.get("domainName") or request.headers.get("host") or "").lower()
    if site not in ("same-origin", "none") or (origin and origin not in (f"https://{own}", f"http://{own}")):
        raise Forbidden(FOREIGN)


# --- reading the request ------------------------------------------------------------------------------------------


def _visit(request: Any, steps: Sequence[str]) -> Visit:
    blank = _blank(request)
    query = request.query_params or {}
    return replace(
        blank,
        steps=tuple(_short("path", path_value("path", value, LONGEST_STEP)) for value in steps),
        query={name[:80]: _short(name[:80], readable(name[:80], query[name][:LONGEST_QUERY])) for name in query},
        form=read_body(request.raw_body or b"", request.headers.get("content-type")),
    )


def _short(name: str, text: str) -> str:
    if len(text.encode()) > MOST_BYTES:
        raise InvalidRequest(name, f"{name}: {MOST_BYTES}바이트 이하여야 합니다. (at most {MOST_BYTES} bytes)")
    return text


def _blank(request: Any) -> Visit:
    """Of a request, what cannot be wrong with it."""
    deps, cookies = container.get(), _cookies(request)
    return Visit(
        deps=deps,
        steps=(),
        query={},
        form={},
        preferences=read_preferences(cookies.get(PREFERENCES, ""), request.headers.get("accept-language") or ""),
        root=_root(request),
        source_ip=source_ip(request),
        user_agent=(request.headers.get("user-agent") or "")[:200],
        device=cookies.get(DEVICE),
        started=deps.clock.monotonic(),
        origin=_origin(request),
    )


def _origin(request: Any) -> str:
    host = request.context.get("domainName")
    return f"https://{host}" if host else f"http://{request.headers.get('host') or 'localhost'}"


def _root(request: Any) -> str:
    """What stands before /console in the address: a stage, or what a custom domain maps."""
    if request.context.get("domainName") is None:
        return ""
    before, _, _ = str(request.context.get("path") or "").partition("/console")
    return before


def _cookies(request: Any) -> Mapping[str, str]:
    """Ours are of plain characters. Others, which a site beside this one may set for us too, are anything, and must not
    keep ours from being read: http.cookies gives up at the first one that it does not understand.
    """
    pairs = (part.partition("=") for part in (request.headers.get("cookie") or "").split(";"))
    return {name: value.strip() for before, _, value in pairs if (name := before.strip()) in COOKIES}


def read_preferences(text: str, accepted: str) -> Preferences:
    language, theme, environment = ([*text.split("."), "", "", ""])[:3]
    guessed = "en" if accepted.strip().lower().startswith("en") else "ko"
    return Preferences(
        language if language in LANGUAGES else guessed,
        theme if theme in THEMES else "auto",
        Environment(environment) if environment in list(Environment) else None,
    )


# --- answering ----------------------------------------------------------------------------------------------------


def respond(visit: Visit, result: Html | Redirect) -> Response:
    headers: dict[str, Any] = dict(HEADERS)
    if visit.root or not visit.deps.allow_loopback:
        headers["Strict-Transport-Security"] = f"max-age={YEAR}"
    if isinstance(result, Redirect):
        location = _location(visit, result)
        if result.cookies:
            headers["Set-Cookie"] = list(result.cookies)
        return Response("", {**headers, "Location": location}, HTTPStatus.SEE_OTHER)
    return Response(pages.render(visit, result), headers, result.status)


def _location(visit: Visit, result: Redirect) -> str:
    path, _, query = result.path.partition("?")
    address = visit.url(path, **{**result.query, "done": result.done})
    return f"{address}{'&' if '?' in address else '?'}{query}" if query else address


def _problem(visit: Visit, error: Exception) -> Response:
    status = status_of(error)
    problem = problem_of(error)
    return respond(visit, Html("problem.html", {"status": status}, status, Problem(problem.text)))


def status_of(error: Exception) -> int:
    """HTTP status for a page. What a rule refuses is 409, so that no script takes it for done."""
    match error:
        case Forbidden():
            return HTTPStatus.FORBIDDEN
        case Locked():
            return HTTPStatus.TOO_MANY_REQUESTS
        case InvalidRequest():
            return HTTPStatus.BAD_REQUEST
        case Refused() | ports.Conflict() | ports.TooLarge():
            return HTTPStatus.CONFLICT
    return v1_status(error)[0]


def cookie(name: str, value: str, seconds: int | None = None) -> str:
    """For the browser to keep. seconds None: until the browser is closed."""
    return f"{name}={value}; {COOKIE}" + (f"; Max-Age={seconds}" if seconds is not None else "")


def forget(name: str) -> str:
    return cookie(name, "", 0)


for _module in VIEW_MODULES:
    __import__(f"chalicelib.api.console.{_module}")
