"""Signing in and out, invitations, and how a browser wants its pages."""

import contextlib
import re
from urllib.parse import unquote

from chalicelib.api.console.dispatch import DEVICE, PREFERENCES, SESSION, YEAR, cookie, forget, status_of
from chalicelib.api.console.visits import DONE, LANGUAGES, THEMES, Html, Redirect, Visit, problem_of, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, RouterError
from chalicelib.ports import Conflict, StoreUnavailable
from chalicelib.usecases import accounts

OWN_PATH = re.compile(r"[A-Za-z0-9_%.~-]+(/[A-Za-z0-9_%.~-]+){0,2}(\?[A-Za-z0-9_%.~&=+:-]*)?")

DONE |= {
    "password_set": ("비밀번호를 정했습니다. 로그인해 주세요.", "Your password is set. Please sign in."),
}


@view("GET", "sign-in", None)
def sign_in_page(visit: Visit) -> Html:
    return Html("sign_in.html", {"email": "", "next": visit.query.get("next", "")})


@view("POST", "sign-in", None)
def sign_in(visit: Visit) -> Html | Redirect:
    email, after = visit.text("email"), own_path(visit.text("next"))
    try:
        signed_in = accounts.sign_in(
            visit.deps,
            email,
            password(visit, "password"),
            source_ip=visit.source_ip or "",
            device=visit.device,
            user_agent=visit.user_agent,
        )
    except (RouterError, Conflict) as error:
        return Html("sign_in.html", {"email": email, "next": after}, status_of(error), problem_of(error))
    _end_present(visit)
    cookies = [cookie(SESSION, signed_in.session_token), cookie(DEVICE, signed_in.device_token, YEAR)]
    return Redirect(after, cookies=cookies)


def _end_present(visit: Visit) -> None:
    """The session that this browser had until now: it forgets the token, so nobody could sign out of it. Best effort:
    it ends by itself.
    """
    if visit.visitor:
        with contextlib.suppress(RouterError, StoreUnavailable):
            accounts.sign_out(visit.deps, visit.visitor.token)


@view("POST", "sign-out", Role.VIEWER)
def sign_out(visit: Visit) -> Redirect:
    accounts.sign_out(visit.deps, visit.who.token)
    return Redirect("sign-in", done="signed_out", cookies=[forget(SESSION)])


@view("GET", "invitations/*", None)
def invitation_page(visit: Visit) -> Html:
    return Html("invitation.html", {"user": accounts.invitation(visit.deps, visit.steps[1])})


@view("POST", "invitations/*", None)
def accept_invitation(visit: Visit) -> Html | Redirect:
    token = visit.steps[1]
    user = accounts.invitation(visit.deps, token)
    try:
        if password(visit, "password") != password(visit, "again"):
            raise InvalidRequest("again", "again: 두 비밀번호가 다릅니다. (the two passwords differ)")
        accounts.accept_invitation(visit.deps, token, password(visit, "password"))
    except (RouterError, Conflict) as error:
        return Html("invitation.html", {"user": user}, status_of(error), problem_of(error))
    return Redirect("sign-in", done="password_set")


def own_path(wanted: str) -> str:
    """A page of ours, as steps and a query; the first page for whatever else somebody may have put there."""
    steps = unquote(wanted.partition("?")[0]).split("/")
    return wanted if OWN_PATH.fullmatch(wanted) and not {".", ".."} & {*steps} else ""


def password(visit: Visit, name: str) -> str:
    """As typed: blanks belong to it."""
    value = visit.form.get(name, "")
    return value if isinstance(value, str) else ""


def confirm_password(visit: Visit) -> None:
    """For what gives somebody a way in: a session that was left open, or stolen, is not enough.

    Raises InvalidRequest, Locked, TryAgain.
    """
    accounts.confirm_password(visit.deps, visit.who.signed_in, password(visit, "own_password"))


@view("POST", "preferences", None)
def prefer(visit: Visit) -> Redirect:
    """Of this browser. Nothing of it is anybody else's business, so it needs no session."""
    known = visit.preferences
    language, theme, environment = visit.text("language"), visit.text("theme"), visit.text("environment")
    chosen = [
        language if language in LANGUAGES else known.language,
        theme if theme in THEMES else known.theme,
        environment if environment in list(Environment) else known.environment or "",
    ]
    return Redirect(own_path(visit.text("back")), cookies=[cookie(PREFERENCES, ".".join(map(str, chosen)), YEAR)])
