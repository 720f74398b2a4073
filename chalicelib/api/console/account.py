"""One's own account: password and sessions."""

from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.people import ROLES
from chalicelib.api.console.signing_in import password
from chalicelib.api.console.visits import DONE, Html, Redirect, Visit, problem_of, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.errors import InvalidRequest, RouterError
from chalicelib.ports import Conflict
from chalicelib.usecases import accounts

DONE |= {
    "password_changed": (
        "비밀번호를 바꿨습니다. 다른 기기에서는 다시 로그인해야 합니다.",
        "Your password is changed. Other browsers have to sign in again.",
    ),
    "others_ended": ("다른 기기의 세션을 모두 종료했습니다.", "All your other sessions have ended."),
}


@view("GET", "account", Role.VIEWER)
def page(visit: Visit) -> Html:
    return _page(visit)


def _page(visit: Visit, error: Exception | None = None) -> Html:
    given = {
        "sessions": accounts.sessions(visit.deps, visit.operator, visit.who.user.email),
        "role_name": visit.say(*ROLES[visit.operator.role]),
    }
    if error is None:
        return Html("account.html", given)
    return Html("account.html", given, status_of(error), problem_of(error))


@view("POST", "account/password", Role.VIEWER)
def change_password(visit: Visit) -> Html | Redirect:
    try:
        new = password(visit, "password")
        if new != password(visit, "again"):
            raise InvalidRequest("again", "again: 두 비밀번호가 다릅니다. (the two passwords differ)")
        accounts.change_password(visit.deps, visit.who.signed_in, password(visit, "old_password"), new)
    except (RouterError, Conflict) as error:
        return _page(visit, error)
    return Redirect("account", done="password_changed")


@view("POST", "account/session", Role.VIEWER)
def end_session(visit: Visit) -> Html | Redirect:
    """One of one's own; without a session_id all but this one."""
    email, session_id = visit.who.user.email, visit.text("session_id")
    try:
        if session_id:
            accounts.revoke_session(visit.deps, visit.operator, email, session_id)
        else:
            accounts.revoke_sessions(visit.deps, visit.operator, email, keep=visit.who.session)
    except (RouterError, Conflict) as error:
        return _page(visit, error)
    return Redirect("account", done="session_ended" if session_id else "others_ended")
