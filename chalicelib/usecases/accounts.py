"""Who may use the console: people with their roles, how they sign in, and their sessions.

Functions that change something take the `Operator` who does it, and reach people of that operator's merchant alone.
What an operator's role allows is for the edge to say. Of tokens and passwords only hashes are stored (docs/adr/0024).
"""

import base64
import binascii
import contextlib
import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from chalicelib.domain.accounts import (
    MAX_DEVICES,
    PERSON_RULE,
    SEEN_EVERY,
    SESSION_LIFE,
    Audit,
    Guesses,
    Operator,
    People,
    Role,
    Session,
    User,
    is_email,
    normal_email,
    normal_password,
    password_objection,
)
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused, TryAgain, Unauthorized
from chalicelib.ports import Conflict, Deleted, Deps, Ref, StoreUnavailable
from chalicelib.usecases import guessing
from chalicelib.usecases.guessing import BUSY, Subject
from chalicelib.usecases.merchants import audit_entry
from chalicelib.usecases.tokens import hash_secret

T = TypeVar("T")

SUBJECT = "people"
"""Of the audit entries."""
INVITATION_LIFE = timedelta(hours=72)
_TRIES = 8
_MAX_NAME = 80
_MAX_AGENT = 200
_LONGEST_TOKEN = 600

WRONG = "이메일 또는 비밀번호가 올바르지 않습니다. (wrong e-mail or password)"
SIGNED_OUT = "다시 로그인해 주세요. (sign in again)"
INVITATION_GONE = (
    "초대 링크가 만료되었거나 이미 사용되었습니다. 소유자에게 다시 요청해 주세요. "
    "(this link has expired or was used: ask for another)"
)
TAKEN = "email: 이미 사용 중이어서 초대할 수 없는 이메일입니다. (in use already, cannot be invited)"
UNKNOWN_PERSON = "존재하지 않는 사용자입니다. (unknown person)"
UNKNOWN_SESSION = "이미 종료되었거나 존재하지 않는 세션입니다. (unknown session, or over already)"
LAST_OWNER = "소유자가 한 명은 남아 있어야 합니다. (an owner has to remain)"
OWN_ACCOUNT = "본인 계정에는 할 수 없습니다. 다른 소유자에게 요청해 주세요. (not on your own account)"


# --- signing in ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignedIn:
    """For two cookies: the session's, and the browser's, which outlives it."""

    session_token: str
    device_token: str
    user: User


def sign_in(
    deps: Deps, email: str, password: str, *, source_ip: str, device: str | None, user_agent: str
) -> SignedIn:  # fmt: skip
    """Open a session. device: the token this browser got when it last signed in.

    Raises Unauthorized, with one text and after one time for all reasons; Locked; TryAgain.
    """
    email, password = normal_email(email), normal_password(password)
    user = deps.store.load(Ref(User, (email,))) if is_email(email) else None
    known = _known_device(user, device)
    subjects = guessing.subjects_of(email, source_ip, hash_secret(known) if known else None)
    guessing.count(deps, subjects, lambda guesses: _lock_note(deps, user, guesses, source_ip))
    right = deps.passwords.verify(user.password_hash if user else None, password)
    if user is None or not right or user.disabled or user.password_hash is None:
        raise Unauthorized(WRONG)
    fresh_hash = deps.passwords.hash(password) if deps.passwords.needs_rehash(user.password_hash) else None
    token, device_token = secrets.token_urlsafe(32), known or secrets.token_urlsafe(32)
    for current in _unchanged(deps, user):
        session = _new_session(deps, current, token, source_ip, user_agent)
        changed = replace(
            current,
            signed_in_at=session.created_at,
            devices=_with_device(current.devices, hash_secret(device_token)),
            password_hash=fresh_hash or current.password_hash,
        )
        noted = _note(deps, current.operator, "person.signed_in", None, _shown_session(session))
        with contextlib.suppress(Conflict):
            stored, *_ = deps.store.commit(changed, session, noted, *guessing.forgiven(deps, subjects))
            return SignedIn(token, device_token, stored)
    raise TryAgain(BUSY)


def _new_session(deps: Deps, user: User, token: str, source_ip: str, user_agent: str) -> Session:
    now = deps.clock.now()
    return Session(
        token_hash=hash_secret(token),
        session_id=secrets.token_hex(8),
        merchant_id=user.merchant_id,
        email=user.email,
        generation=user.generation,
        created_at=now,
        seen_at=now,
        expires_at=now + SESSION_LIFE,
        source_ip=source_ip[:_MAX_AGENT],
        user_agent=user_agent[:_MAX_AGENT],
    )


def _unchanged(deps: Deps, user: User) -> Iterator[User]:
    """The user as of now, for one more try each time. Raises Unauthorized once they may not sign in any more; TryAgain
    once the password is another, or is hashed anew: it has to be looked at again.
    """
    current: User | None = user
    for _ in range(_TRIES):
        if current is None or current.disabled:
            raise Unauthorized(WRONG)
        if current.password_hash != user.password_hash:
            raise TryAgain(BUSY)
        yield current
        current = deps.store.load(Ref(User, (user.email,)))


def _known_device(user: User | None, device: str | None) -> str | None:
    """The token of a browser in which this person has signed in before."""
    if user is None or not device or not device.isascii() or hash_secret(device) not in user.devices:
        return None
    return device


def _with_device(devices: tuple[str, ...], used: str) -> tuple[str, ...]:
    return (*(known for known in devices if known != used), used)[-MAX_DEVICES:]


def _lock_note(deps: Deps, user: User | None, guesses: Guesses, source_ip: str) -> Audit | None:
    if user is None or guesses.locked_until is None:
        return None
    seconds = round(guesses.locked_for(deps.clock.now()).total_seconds())
    after = {"failures": guesses.failures, "seconds": seconds, "source_ip": source_ip[:_MAX_AGENT]}
    return _note(deps, user.operator, "person.locked_out", None, {"email": user.email, **after})


# --- sessions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignedInAs:
    """Who a request comes from."""

    user: User
    session: Session
    operator: Operator


def check_session(deps: Deps, token: str) -> SignedInAs:
    """Two reads, and a write every five minutes. Raises Unauthorized."""
    now = deps.clock.now()
    session = _load_session(deps, token)
    if session is None or not session.is_open(now):
        raise Unauthorized(SIGNED_OUT)
    user = deps.store.load(Ref(User, (session.email,)))
    if user is None or not session.belongs_to(user):
        raise Unauthorized(SIGNED_OUT)
    if now - session.seen_at >= SEEN_EVERY:
        # Best effort: another request of the page was faster, or the table is busy; the next one writes it.
        with contextlib.suppress(Conflict, StoreUnavailable):
            (session,) = deps.store.commit(replace(session, seen_at=now))
    return SignedInAs(user, session, user.operator)


def _load_session(deps: Deps, token: str) -> Session | None:
    return deps.store.load(Ref(Session, (hash_secret(token),))) if token and token.isascii() else None


def sign_out(deps: Deps, token: str) -> None:
    """End the session, if there is one."""
    for _ in range(_TRIES):
        session = _load_session(deps, token)
        if session is None:
            return
        operator = Operator(session.merchant_id, session.email)
        noted = _note(deps, operator, "person.signed_out", _shown_session(session), None)
        with contextlib.suppress(Conflict):  # it was seen meanwhile, or has ended
            deps.store.commit(Deleted(session), noted)
            return
    raise TryAgain(BUSY)


def sessions(deps: Deps, operator: Operator, email: str) -> list[Session]:
    """A person's open sessions, the latest first. Raises NotFound."""
    user = person(deps, operator, email)
    now = deps.clock.now()
    owned = (user.merchant_id, "sessions", user.email)
    return [s for s in _all(deps, Session, owned, newest_first=True) if s.is_open(now) and s.belongs_to(user)]


def revoke_session(deps: Deps, operator: Operator, email: str, session_id: str) -> None:
    """End one session of a person. Raises NotFound."""
    for _ in range(_TRIES):
        found = next((s for s in sessions(deps, operator, email) if s.session_id == session_id), None)
        if found is None:
            raise NotFound(UNKNOWN_SESSION)
        noted = _note(deps, operator, "session.revoked", _shown_session(found), None)
        with contextlib.suppress(Conflict):
            deps.store.commit(Deleted(found), noted)
            return
    raise TryAgain(BUSY)


def revoke_sessions(deps: Deps, operator: Operator, email: str, *, keep: Session | None = None) -> None:
    """End all sessions of a person but `keep`. Raises NotFound."""
    for user in _tries(deps, operator, email):
        changed = replace(user, generation=_generation())
        kept = _carried_over(deps, keep, user, changed)
        noted = _note(deps, operator, "sessions.revoked", None, {"email": user.email})
        with contextlib.suppress(Conflict):
            deps.store.commit(changed, noted, *kept)
            return
    raise TryAgain(BUSY)


def _carried_over(deps: Deps, keep: Session | None, user: User, changed: User) -> list[Session]:
    """The session that goes on in the user's next generation; none if it has ended meanwhile."""
    session = deps.store.load(Ref(Session, (keep.token_hash,))) if keep else None
    if session is None or not session.belongs_to(user):
        return []
    return [replace(session, generation=changed.generation)]


# --- one's own password --------------------------------------------------------------------------------------------


def confirm_password(deps: Deps, who: SignedInAs, password: str, field: str = "own_password") -> None:
    """That the one at the keyboard is still the one who signed in, before they give others a way in.

    Raises InvalidRequest for `field`; Locked; TryAgain.
    """
    subject = Subject(f"session:{who.session.token_hash}", PERSON_RULE)
    guessing.count(deps, [subject], lambda guesses: _lock_note(deps, who.user, guesses, who.session.source_ip))
    if not deps.passwords.verify(who.user.password_hash, normal_password(password)):
        raise InvalidRequest(field, f"{field}: 현재 비밀번호가 올바르지 않습니다. (wrong password)")
    with contextlib.suppress(Conflict):  # another of their guesses is counted just now: it stays counted
        if forgiven := guessing.forgiven(deps, [subject]):
            deps.store.commit(*forgiven)


def change_password(deps: Deps, who: SignedInAs, old: str, new: str) -> None:
    """The person's other sessions end.

    Raises InvalidRequest for `old_password` or `password`; Locked; TryAgain; Unauthorized if the session has ended.
    """
    wanted = _checked_password(new, who.user.email)
    user = who.user
    confirm_password(deps, who, old, "old_password")
    password_hash = deps.passwords.hash(wanted)
    for current in _unchanged(deps, user):
        changed = replace(current, password_hash=password_hash, generation=_generation())
        kept = _carried_over(deps, who.session, current, changed)
        if not kept:  # ended from elsewhere while this request was under way
            raise Unauthorized(SIGNED_OUT)
        noted = _note(deps, who.operator, "person.password_changed", None, {"email": user.email})
        with contextlib.suppress(Conflict):
            deps.store.commit(changed, noted, *kept)
            return
    raise TryAgain(BUSY)


def _checked_password(text: str, email: str) -> str:
    password = normal_password(text)
    if objection := password_objection(password, email):
        raise InvalidRequest("password", f"password: {objection}")
    return password


# --- invitations ---------------------------------------------------------------------------------------------------


def invite(deps: Deps, operator: Operator, email: str, name: str, role: Role) -> str:
    """Make a person who can sign in once they have chosen a password. The token is for `invitation_path`.

    Raises InvalidRequest: also for an e-mail that somebody has, at whichever merchant.
    """
    email, name = _checked_email(email), name.strip()
    if not 1 <= len(name) <= _MAX_NAME:
        raise InvalidRequest("name", f"name: 1~{_MAX_NAME}자여야 합니다. (1 to {_MAX_NAME} characters)")
    now = deps.clock.now()
    user = User(email, operator.merchant_id, name, role, _generation(), created_at=now, created_by=operator.name)
    invited, token = _invited(deps, user)
    noted = _note(deps, operator, "person.invited", None, _shown(invited))
    try:
        deps.store.commit(invited, noted)
    except Conflict as error:
        raise InvalidRequest("email", TAKEN) from error
    return token


def check_free(deps: Deps, email: str) -> None:
    """Raises InvalidRequest for what `invite` would refuse."""
    if deps.store.load(Ref(User, (_checked_email(email),))):
        raise InvalidRequest("email", TAKEN)


def _checked_email(text: str) -> str:
    email = normal_email(text)
    if not is_email(email):
        raise InvalidRequest("email", "email: 올바른 이메일 주소가 아닙니다. (not an e-mail address)")
    return email


def reset(deps: Deps, operator: Operator, email: str, *, may_be_last: bool = False) -> str:
    """A new invitation for somebody who is here already: their password, sessions and known browsers count no more.

    may_be_last: also the last owner, who is then locked out until they accept; for who can make owners in another way.
    Raises NotFound; Refused for oneself, who changes the password instead, and for the last owner.
    """
    _refuse_own(operator, email)
    for user, people in _tries_with_roster(deps, operator, email):
        invited, token = _invited(deps, replace(user, password_hash=None, devices=(), generation=_generation()))
        with contextlib.suppress(Conflict):
            _save(deps, operator, "person.reset", user, invited, people, may_be_last=may_be_last)
            return token
    raise TryAgain(BUSY)


def invitation_path(token: str) -> str:
    return f"/console/invitations/{token}"


def _invited(deps: Deps, user: User) -> tuple[User, str]:
    """A token leads to its user by itself: `<base64url of the e-mail>.<secret>`."""
    secret = secrets.token_urlsafe(32)
    address = base64.urlsafe_b64encode(user.email.encode()).decode().rstrip("=")
    until = deps.clock.now() + INVITATION_LIFE
    return replace(user, invitation_hash=hash_secret(secret), invitation_until=until), f"{address}.{secret}"


def invitation(deps: Deps, token: str) -> User:
    """Who an invitation is for. Raises NotFound."""
    email, secret = _read_invitation(token)
    user = deps.store.load(Ref(User, (email,))) if is_email(email) else None
    if user is None or user.invitation_hash is None or not user.is_invited(deps.clock.now()):
        raise NotFound(INVITATION_GONE)
    if not hmac.compare_digest(user.invitation_hash, hash_secret(secret)):
        raise NotFound(INVITATION_GONE)
    return user


def _read_invitation(token: str) -> tuple[str, str]:
    address, _, secret = token.partition(".")
    if len(token) > _LONGEST_TOKEN or not token.isascii():
        raise NotFound(INVITATION_GONE)
    try:
        return base64.urlsafe_b64decode(address + "=" * (-len(address) % 4)).decode(), secret
    except (binascii.Error, UnicodeDecodeError) as error:
        raise NotFound(INVITATION_GONE) from error


def accept_invitation(deps: Deps, token: str, password: str) -> User:
    """The person chooses a password; the link works no more. Raises NotFound; InvalidRequest for `password`."""
    password_hash: str | None = None
    for _ in range(_TRIES):
        user = invitation(deps, token)
        checked = _checked_password(password, user.email)
        password_hash = password_hash or deps.passwords.hash(checked)
        joined = replace(user, password_hash=password_hash, invitation_hash=None, invitation_until=None)
        people = _roster(deps, user.merchant_id)
        with contextlib.suppress(Conflict):
            return _save(deps, user.operator, "person.joined", user, joined, people)
    raise TryAgain(BUSY)


# --- people --------------------------------------------------------------------------------------------------------


def people(deps: Deps, operator: Operator) -> list[User]:
    """Everybody of the merchant, by e-mail. May trail writes a little."""
    return list(_all(deps, User, (operator.merchant_id, "users")))


def person(deps: Deps, operator: Operator, email: str) -> User:
    """Raises NotFound, also for another merchant's."""
    email = normal_email(email)
    user = deps.store.load(Ref(User, (email,))) if is_email(email) else None
    if user is None or user.merchant_id != operator.merchant_id:
        raise NotFound(UNKNOWN_PERSON)
    return user


def change_role(deps: Deps, operator: Operator, email: str, role: Role) -> User:
    """Counts from their next request on. Raises NotFound; Refused for oneself and for the last owner."""
    return _change(deps, operator, email, "person.role_changed", role=role)


def disable(deps: Deps, operator: Operator, email: str) -> User:
    """Their sessions end, and they cannot sign in. Raises NotFound; Refused for oneself and for the last owner."""
    return _change(deps, operator, email, "person.disabled", disabled=True, generation=_generation())


def enable(deps: Deps, operator: Operator, email: str) -> User:
    """Raises NotFound; Refused for oneself."""
    return _change(deps, operator, email, "person.enabled", disabled=False)


def _change(deps: Deps, operator: Operator, email: str, action: str, **changes: object) -> User:
    _refuse_own(operator, email)
    for user, people in _tries_with_roster(deps, operator, email):
        changed = replace(user, **changes)  # type: ignore[arg-type]  # named by the functions above
        if _shown(changed) == _shown(user):  # so already
            return user
        with contextlib.suppress(Conflict):
            return _save(deps, operator, action, user, changed, people)
    raise TryAgain(BUSY)


def remove(deps: Deps, operator: Operator, email: str) -> None:
    """Their sessions end; the e-mail is free again. Raises NotFound; Refused for oneself and for the last owner."""
    _refuse_own(operator, email)
    for user, people in _tries_with_roster(deps, operator, email):
        with contextlib.suppress(Conflict):
            _save(deps, operator, "person.removed", user, None, people)
            return
    raise TryAgain(BUSY)


def _refuse_own(operator: Operator, email: str) -> None:
    if operator.name == normal_email(email):
        raise Refused(OWN_ACCOUNT)


def _save(
    deps: Deps, operator: Operator, action: str, before: User, after: User | None, roster: People, *,
    may_be_last: bool = False,
) -> User:  # fmt: skip
    """Store a changed or removed (after None) person, with the roster if it changes. Raises Refused, Conflict."""
    changed = roster.with_(before) if after and after.is_acting_owner else roster.without(before)
    if roster.owners and not changed.owners and not may_be_last:
        raise Refused(LAST_OWNER)
    noted = _note(deps, operator, action, _shown(before), _shown(after) if after else None)
    others = [noted, changed] if changed.owners != roster.owners else [noted]
    stored = deps.store.commit(after or Deleted(before), *others)[0]
    return stored if after else before


# --- shared --------------------------------------------------------------------------------------------------------


def _tries(deps: Deps, operator: Operator, email: str) -> Iterator[User]:
    """The person as stored now, for one more try each time. Raises NotFound."""
    for _ in range(_TRIES):
        yield person(deps, operator, email)


def _tries_with_roster(deps: Deps, operator: Operator, email: str) -> Iterator[tuple[User, People]]:
    for user in _tries(deps, operator, email):
        yield user, _roster(deps, operator.merchant_id)


def _roster(deps: Deps, merchant_id: str) -> People:
    return deps.store.load(Ref(People, (merchant_id,))) or People(merchant_id)


def _all(deps: Deps, kind: type[T], parts: tuple[str, ...], *, newest_first: bool = False) -> Iterator[T]:
    cursor: str | None = None
    while True:
        page = deps.store.list(kind, parts, cursor=cursor, newest_first=newest_first)
        yield from page.items
        cursor = page.cursor
        if cursor is None:
            return


def _generation() -> str:
    """Random, and no number: somebody who is removed and invited again must not get their old sessions back."""
    return secrets.token_hex(8)


def _note(
    deps: Deps, operator: Operator, action: str, before: dict[str, object] | None, after: dict[str, object] | None
) -> Audit:
    return audit_entry(deps, operator, SUBJECT, action, before, after)


def _shown(user: User) -> dict[str, object]:
    return {"email": user.email, "name": user.name, "role": str(user.role), "disabled": user.disabled}


def _shown_session(session: Session) -> dict[str, object]:
    return {
        "email": session.email,
        "session_id": session.session_id,
        "source_ip": session.source_ip,
        "user_agent": session.user_agent,
    }
