"""/console: the pages for operators. Four routes lead to a table of our own (`visits.VIEWS`).

API Gateway counts every part of every path against a quota, and all of this is loaded by nobody but who visits.
"""

# ruff: noqa: PLC0415 - see above

from typing import Any

from chalice.app import Blueprint, Response

from chalicelib.api.endpoints import ANY_TYPE

VIEW_MODULES = (
    "signing_in",
    "dashboard",
    "schedules",
    "schedule_orders",
    "groups",
    "group_versions",
    "payments",
    "payment_acts",
    "attention",
    "keys",
    "channels",
    "webhooks",
    "settings",
    "people",
    "account",
    "audit",
)
"""Modules whose views fill the table, loaded at the first visit."""

bp = Blueprint(__name__)
_METHODS = ["GET", "POST"]


def _answer(*steps: str) -> Response:
    from chalicelib.api.console import dispatch

    request: Any = bp.current_request
    return dispatch.answer(request, steps)


@bp.route("/console", methods=_METHODS, content_types=ANY_TYPE)
def console() -> Response:
    return _answer()


@bp.route("/console/{page}", methods=_METHODS, content_types=ANY_TYPE)
def console_page(page: str) -> Response:
    return _answer(page)


@bp.route("/console/{page}/{item}", methods=_METHODS, content_types=ANY_TYPE)
def console_item(page: str, item: str) -> Response:
    return _answer(page, item)


@bp.route("/console/{page}/{item}/{action}", methods=_METHODS, content_types=ANY_TYPE)
def console_action(page: str, item: str, action: str) -> Response:
    return _answer(page, item, action)
