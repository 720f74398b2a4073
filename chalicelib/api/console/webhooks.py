"""The page of webhooks: where they go, whether that works, what signs them, and those that were given up."""

from dataclasses import replace
from typing import Any

from chalicelib.api import schemas
from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.payment_words import V1_STATUS
from chalicelib.api.console.settings import mark, refuse_if_moved_on
from chalicelib.api.console.signing_in import confirm_password, own_path
from chalicelib.api.console.visits import DONE, Html, Redirect, Visit, problem_of, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import RouterError
from chalicelib.domain.notices import FAILURES_IN_A_ROW
from chalicelib.ports import Conflict
from chalicelib.usecases import merchants, webhooks
from chalicelib.usecases.webhooks import Trial

DONE |= {
    "webhook_resent": (
        "웹훅을 다시 보냅니다. 잠시 후 결제 상세에서 결과를 확인할 수 있습니다.",
        "The webhook is on its way again. The payment's page shows what comes of it.",
    ),
    "webhook_noted": ("확인했습니다. 목록에서 뺐습니다.", "Noted, and off the list."),
}

PAGE = 20
FIELDS = ("live_webhook_url", "test_webhook_url", "webhook_content_type")


@view("GET", "webhooks", Role.VIEWER)
def page(visit: Visit) -> Html:
    return _page(visit)


def _page(visit: Visit, error: Exception | None = None, **more: Any) -> Html:
    cursor = visit.query.get("cursor") or None
    given_up = webhooks.dead(visit.deps, visit.merchant_id, PAGE, cursor)
    stored = merchants.settings(visit.deps, visit.merchant_id)
    hooks = visit.who.routing.webhooks
    until = hooks.retired_until
    given = {
        "stored": stored,
        "shown": stored,
        "seen": mark(stored, FIELDS),
        "given_up": given_up.items,
        "more": given_up.cursor,
        "old_until": until if until and visit.deps.clock.now() < until else None,
        "failing": webhooks.failing(visit.deps, visit.merchant_id),
        "most": FAILURES_IN_A_ROW,
        "trial": None,
        "tried": None,
        "statuses": V1_STATUS,
        **more,
    }
    if error is None:
        return Html("webhooks.html", given)
    return Html("webhooks.html", given, status_of(error), problem_of(error))


@view("POST", "webhooks", Role.OWNER)
def save(visit: Visit) -> Html | Redirect:
    stored = merchants.settings(visit.deps, visit.merchant_id)
    typed = {name: visit.text(name, 2000) for name in FIELDS}
    try:
        refuse_if_moved_on(visit, stored, FIELDS)
        body = schemas.parse(schemas.SettingsBody, {name: value or None for name, value in typed.items()})
        wanted = replace(stored, **{name: getattr(body, name) for name in FIELDS})
        merchants.save_settings(visit.deps, visit.operator, wanted)
    except (RouterError, Conflict) as error:
        return _page(visit, error, shown=typed)
    return Redirect("webhooks", done="saved")


@view("POST", "webhooks/try", Role.OPERATOR)
def try_out(visit: Visit) -> Html:
    """Sends an example to the saved URL, and shows what its receiver answers."""
    environment = Environment.LIVE if visit.text("environment") == Environment.LIVE else Environment.TEST
    try:
        trial: Trial = webhooks.try_out(visit.deps, visit.merchant_id, environment)
    except (RouterError, Conflict) as error:
        return _page(visit, error)
    return _page(visit, trial=trial, tried=environment)


# --- the secret ----------------------------------------------------------------------------------------------------


@view("GET", "webhooks/secret", Role.OWNER)
def secret_page(visit: Visit) -> Html:  # noqa: ARG001
    return Html("webhook_secret.html", {"made": None})


@view("POST", "webhooks/secret", Role.OWNER)
def rotate_secret(visit: Visit) -> Html:
    """The new one is in this answer, and nowhere afterwards."""
    try:
        confirm_password(visit)
        made = webhooks.rotate_secret(visit.deps, visit.operator)
    except (RouterError, Conflict) as error:
        return Html("webhook_secret.html", {"made": None}, status_of(error), problem_of(error))
    return Html("webhook_secret.html", {"made": made})


# --- those that were given up --------------------------------------------------------------------------------------


@view("POST", "webhooks/*/resend", Role.OPERATOR)
def resend(visit: Visit) -> Redirect:
    """back: the page to go back to, if it is another."""
    to_present_url = visit.text("to") == "present"
    webhooks.resend(visit.deps, visit.operator, visit.steps[1], to_present_url=to_present_url)
    return Redirect(own_path(visit.text("back")) or "webhooks", done="webhook_resent")


@view("POST", "webhooks/*/note", Role.OPERATOR)
def take_note(visit: Visit) -> Html | Redirect:
    try:
        body = schemas.parse(schemas.Acknowledge, {"reason": visit.text("reason")})
        webhooks.take_note(visit.deps, visit.operator, visit.steps[1], body.reason)
    except (RouterError, Conflict) as error:
        return _page(visit, error)
    return Redirect(own_path(visit.text("back")) or "webhooks", done="webhook_noted")
