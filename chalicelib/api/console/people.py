"""The pages of people: who may use this console, in which role, and from where they are signed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.signing_in import confirm_password
from chalicelib.api.console.visits import DONE, Html, Redirect, Visit, problem_of, view
from chalicelib.domain.accounts import Role, User
from chalicelib.domain.errors import InvalidRequest, RouterError
from chalicelib.ports import Conflict
from chalicelib.usecases import accounts, guessing

DONE |= {
    "person_removed": ("사용자를 삭제했습니다.", "The person is removed."),
    "person_disabled": (
        "사용을 중지했습니다. 모든 세션이 끝났습니다.",
        "Disabled. All of their sessions have ended.",
    ),
    "person_enabled": ("다시 사용할 수 있습니다.", "They may sign in again."),
    "role_changed": (
        "역할을 바꿨습니다. 다음 화면부터 적용됩니다.",
        "The role is changed, from their next page on.",
    ),
    "session_ended": ("세션을 종료했습니다.", "The session has ended."),
    "sessions_ended": ("모든 세션을 종료했습니다.", "All sessions have ended."),
}

ROLES: Mapping[Role, tuple[str, str]] = {
    Role.VIEWER: ("조회자 — 보기만 합니다", "viewer: sees, changes nothing"),
    Role.OPERATOR: ("운영자 — 채널·그룹·결제를 다룹니다", "operator: steers channels, groups, payments"),
    Role.OWNER: ("소유자 — 사용자·토큰·설정도 다룹니다", "owner: also people, tokens, settings"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """state: active, invited, expired (an invitation that nobody took), or disabled. locked_until: too many guesses."""

    user: User
    state: str
    locked_until: datetime | None


@view("GET", "people", Role.VIEWER)
def list_page(visit: Visit) -> Html:
    return _list(visit)


def _list(visit: Visit, error: Exception | None = None, typed: Mapping[str, str] | None = None) -> Html:
    users = accounts.people(visit.deps, visit.operator)
    given = {
        "rows": _rows(visit, users),
        "roles": _roles(visit),
        "typed": typed or {"email": "", "name": "", "role": Role.OPERATOR},
    }
    return _answered("people.html", given, error)


def _rows(visit: Visit, users: Sequence[User]) -> list[Row]:
    now = visit.deps.clock.now()
    locks = guessing.locks(visit.deps, [user.email for user in users])
    return [Row(user, _state(user, now), locks.get(user.email)) for user in users]


def _state(user: User, now: datetime) -> str:
    if user.disabled:
        return "disabled"
    if user.password_hash:
        return "active"
    return "invited" if user.is_invited(now) else "expired"


def _roles(visit: Visit) -> list[tuple[str, str]]:
    return [(role.value, visit.say(*words)) for role, words in ROLES.items()]


def _answered(template: str, values: Mapping[str, Any], error: Exception | None = None) -> Html:
    if error is None:
        return Html(template, values)
    return Html(template, values, status_of(error), problem_of(error))


# --- invitations ---------------------------------------------------------------------------------------------------


@view("POST", "people", Role.OWNER)
def invite(visit: Visit) -> Html:
    """The link is in this answer, and nowhere afterwards: nobody here sends e-mail."""
    typed = {name: visit.text(name) for name in ("email", "name", "role")}
    try:
        confirm_password(visit)
        token = accounts.invite(visit.deps, visit.operator, typed["email"], typed["name"], _role(visit))
    except (RouterError, Conflict) as error:
        return _list(visit, error, typed)
    return _link(visit, accounts.person(visit.deps, visit.operator, typed["email"]), token)


def _link(visit: Visit, user: User, token: str) -> Html:
    link = f"{visit.origin}{visit.root}{accounts.invitation_path(token)}"
    return Html("person_link.html", {"user": user, "link": link})


def _role(visit: Visit) -> Role:
    """Raises InvalidRequest."""
    try:
        return Role(visit.text("role"))
    except ValueError:
        raise InvalidRequest("role", "role: 역할을 선택해 주세요. (choose a role)") from None


# --- one of them ---------------------------------------------------------------------------------------------------


@view("GET", "people/person", Role.OWNER)
def person_page(visit: Visit) -> Html:
    return _person(visit, visit.query.get("email", ""))


def _person(visit: Visit, email: str, error: Exception | None = None) -> Html:
    user = accounts.person(visit.deps, visit.operator, email)
    given = {
        "row": _rows(visit, [user])[0],
        "user": user,
        "sessions": accounts.sessions(visit.deps, visit.operator, user.email),
        "roles": _roles(visit),
        "is_me": user.email == visit.who.user.email,
    }
    return _answered("person.html", given, error)


@view("POST", "people/role", Role.OWNER)
def change_role(visit: Visit) -> Html | Redirect:
    email = visit.text("email")
    try:
        confirm_password(visit)
        accounts.change_role(visit.deps, visit.operator, email, _role(visit))
    except (RouterError, Conflict) as error:
        return _person(visit, email, error)
    return _back(email, "role_changed")


@view("POST", "people/enable", Role.OWNER)
def enable(visit: Visit) -> Html | Redirect:
    email = visit.text("email")
    try:
        accounts.enable(visit.deps, visit.operator, email)
    except (RouterError, Conflict) as error:
        return _person(visit, email, error)
    return _back(email, "person_enabled")


@view("POST", "people/session", Role.OWNER)
def end_session(visit: Visit) -> Html | Redirect:
    """One session; without a session_id all of them."""
    email, session_id = visit.text("email"), visit.text("session_id")
    try:
        if session_id:
            accounts.revoke_session(visit.deps, visit.operator, email, session_id)
        else:
            accounts.revoke_sessions(visit.deps, visit.operator, email)
    except (RouterError, Conflict) as error:
        return _person(visit, email, error)
    return _back(email, "session_ended" if session_id else "sessions_ended")


def _back(email: str, done: str) -> Redirect:
    return Redirect("people/person", done=done, query={"email": email})


# --- what asks for confirmation ------------------------------------------------------------------------------------


@view("GET", "people/disable", Role.OWNER)
@view("GET", "people/remove", Role.OWNER)
@view("GET", "people/reset", Role.OWNER)
def confirm_page(visit: Visit) -> Html:
    return _confirm(visit, visit.query.get("email", ""))


def _confirm(visit: Visit, email: str, error: Exception | None = None) -> Html:
    user = accounts.person(visit.deps, visit.operator, email)
    return _answered("person_confirm.html", {"user": user, "act": visit.steps[1]}, error)


@view("POST", "people/disable", Role.OWNER)
def disable(visit: Visit) -> Html | Redirect:
    email = visit.text("email")
    try:
        accounts.disable(visit.deps, visit.operator, email)
    except (RouterError, Conflict) as error:
        return _confirm(visit, email, error)
    return _back(email, "person_disabled")


@view("POST", "people/remove", Role.OWNER)
def remove(visit: Visit) -> Html | Redirect:
    email = visit.text("email")
    try:
        if visit.text("typed").lower() != email.lower():
            raise InvalidRequest("typed", "typed: 이메일을 그대로 입력해 주세요. (type the e-mail)")
        accounts.remove(visit.deps, visit.operator, email)
    except (RouterError, Conflict) as error:
        return _confirm(visit, email, error)
    return Redirect("people", done="person_removed")


@view("POST", "people/reset", Role.OWNER)
def reset(visit: Visit) -> Html:
    """A new link, which is in this answer alone."""
    email = visit.text("email")
    try:
        confirm_password(visit)
        token = accounts.reset(visit.deps, visit.operator, email)
    except (RouterError, Conflict) as error:
        return _confirm(visit, email, error)
    return _link(visit, accounts.person(visit.deps, visit.operator, email), token)
