"""/v1/iamport.js and /window: the browser SDK, and the pages that a buyer pays in.

The pages are HTML for a browser that somebody else sent here: a gateway, or a buyer's back button. None of them trusts
what it is told; they show what is stored (`usecases.windows`).
"""

from __future__ import annotations  # so that naming a type does not load its module

from typing import TYPE_CHECKING, Any

from chalice.app import Blueprint, Response

from chalicelib import container
from chalicelib.api import schemas, views
from chalicelib.api.body import MAX_BODY, read_form
from chalicelib.api.endpoints import ANY_TYPE, Answer, Call, guarded, v1, v1_error
from chalicelib.domain.errors import InvalidRequest
from chalicelib.usecases import windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.ports import Deps

bp = Blueprint(__name__)

# ruff: noqa: PLC0415 - the pages' module reads files, which only those who see pages have to wait for


# --- for the shop's page ------------------------------------------------------------------------------------------


@bp.route("/v1/iamport.js", methods=["GET"], content_types=ANY_TYPE)
def sdk() -> Response:
    from chalicelib.api import window_pages

    return window_pages.asset("iamport.js")


@bp.route("/v1/iamport.d.ts", methods=["GET"], content_types=ANY_TYPE)
def sdk_types() -> Response:
    from chalicelib.api import window_pages

    return window_pages.asset("iamport.d.ts")


@bp.route("/window/payments", methods=["OPTIONS"], content_types=ANY_TYPE)
def may_open() -> Response:
    """A browser asks before it sends JSON from another origin. Which origins are served is judged by `open_window`."""
    allowed: dict[str, str | list[str]] = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "7200",
    }
    return Response("", allowed, 204)


@v1(bp, "POST", "/window/payments", token=False, cors=True)
def open_window(call: Call) -> Answer:
    body = schemas.parse(schemas.WindowPayment, call.body)
    wanted = body.wanted(call.origin, call.source_ip, call.deps.clock.now())
    payment, ticket = windows.open_window(call.deps, body.user_code, wanted)
    uids = {"imp_uid": payment.imp_uid, "merchant_uid": payment.request.merchant_uid}
    return Answer({**uids, "url": f"window/{ticket}"})


@v1(bp, "POST", "/window/{ticket}/close", token=False, cors=True)
def close(call: Call) -> Answer:
    return Answer(views.window_result(windows.close(call.deps, call.path["ticket"])))


# --- for the buyer's browser --------------------------------------------------------------------------------------


def page(methods: list[str], path: str) -> Callable[[Callable[[Deps, str, Any], Response]], Callable[..., Response]]:
    """A page of a window. What goes wrong is shown as one, too."""

    def decorate(view: Callable[[Deps, str, Any], Response]) -> Callable[..., Response]:
        def endpoint(ticket: str) -> Response:
            from chalicelib.api import window_pages

            request = bp.current_request
            return guarded(
                lambda: view(container.get(), ticket, request), lambda error: window_pages.problem(request, error)
            )

        endpoint.__name__ = view.__name__
        bp.route(path, methods=methods, content_types=ANY_TYPE)(endpoint)
        return endpoint

    return decorate


@page(["GET"], "/window/{ticket}")
def window(deps: Deps, ticket: str, request: Any) -> Response:
    from chalicelib.api import window_pages

    payment, opened = windows.show(deps, ticket, window_pages.return_url(request, ticket))
    if opened is None:
        return window_pages.go(request, f"window/{ticket}/result")
    return window_pages.window(request, ticket, payment, opened)


@page(["GET", "POST"], "/window/{ticket}/return")
def come_back(deps: Deps, ticket: str, request: Any) -> Response:
    from chalicelib.api import window_pages

    query = request.query_params or {}
    raw = request.raw_body or b""
    if len(raw) > MAX_BODY:
        raise InvalidRequest("body", "body: 요청 본문은 256KB 이하여야 합니다. (body too large)")
    fields = {**{name: query[name] for name in query}, **read_form(raw)}
    windows.come_back(deps, ticket, fields, window_pages.return_url(request, ticket))
    return window_pages.go(request, f"window/{ticket}/result")


@page(["POST"], "/window/{ticket}/cancel")
def cancel(deps: Deps, ticket: str, request: Any) -> Response:
    from chalicelib.api import window_pages

    windows.close(deps, ticket)
    return window_pages.go(request, f"window/{ticket}/result")


@page(["POST"], "/window/{ticket}/another")
def another(deps: Deps, ticket: str, request: Any) -> Response:
    from chalicelib.api import window_pages

    windows.another(deps, ticket)
    return window_pages.go(request, f"window/{ticket}")


@page(["GET"], "/window/{ticket}/result")
def result(deps: Deps, ticket: str, request: Any) -> Response:
    from chalicelib.api import window_pages

    return window_pages.result(request, ticket, windows.find(deps, ticket)[0])


@v1(bp, "GET", "/window/{ticket}/state", token=False)
def state(call: Call) -> Answer:
    from chalicelib.api import window_pages

    payment, _ = windows.find(call.deps, call.path["ticket"])
    return Answer(views.window_result(payment), extra={"done_url": window_pages.done_url(payment)})


@bp.route("/web/{name}", methods=["GET"], content_types=ANY_TYPE)
def asset(name: str) -> Response:
    from chalicelib.api import window_pages

    is_versioned = bool(bp.current_request.query_params)
    return guarded(lambda: window_pages.asset(name, is_versioned=is_versioned), v1_error)
