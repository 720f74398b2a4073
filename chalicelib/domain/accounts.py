"""Who may call: API keys and their access tokens, admin tokens, people with their sessions, and the audit trail."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


def merchant_of(imp_key: str) -> str:
    """An imp_key begins with its merchant's number, so that a token leads to both without a look-up."""
    return f"imp{imp_key[:8]}"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """imp_key (16 digits) with the hash of its secret, and the access token that the merchant's servers share."""

    imp_key: str
    merchant_id: str
    secret_hash: str
    token: str | None = None
    token_expires_at: datetime | None = None
    version: int = 0


class Role(StrEnum):
    """What a person may do; each covers those before it."""

    VIEWER = "viewer"
    """Sees everything but secrets, and changes nothing."""
    OPERATOR = "operator"
    """Also steers: channels, groups, payments, reserved payments, webhooks."""
    OWNER = "owner"
    """Also says who may: people, admin tokens, and the merchant's settings."""

    def covers(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who makes a change: a person in the console, or a machine with an admin token. name: for the audit trail."""

    merchant_id: str
    name: str
    role: Role = Role.OWNER


# --- people --------------------------------------------------------------------------------------------------------

MAX_DEVICES = 10

_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+")
"""What browsers take for one in <input type=email>, lower-cased. ASCII only: no two addresses look the same."""
_MAX_EMAIL = 254


def normal_email(text: str) -> str:
    """As it is stored and compared. Says nothing of whether it is one."""
    return text.strip().lower()


def is_email(text: str) -> bool:
    return len(text) <= _MAX_EMAIL and _EMAIL.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class User:
    """A person who may sign in. email: lower-cased, and of one person of one merchant only.

    devices: hashes of the tokens of browsers that have signed in, the latest last. generation: sessions of another one
    have ended.
    """

    email: str
    merchant_id: str
    name: str
    role: Role
    generation: str
    created_at: datetime
    created_by: str
    password_hash: str | None = None
    invitation_hash: str | None = None
    invitation_until: datetime | None = None
    devices: tuple[str, ...] = ()
    disabled: bool = False
    signed_in_at: datetime | None = None
    version: int = 0

    @property
    def operator(self) -> Operator:
        return Operator(self.merchant_id, self.email, self.role)

    @property
    def is_acting_owner(self) -> bool:
        """Could sign in now, and say who may."""
        return self.role is Role.OWNER and not self.disabled and self.password_hash is not None

    def is_invited(self, now: datetime) -> bool:
        """Has a link that still works."""
        return self.invitation_until is not None and now < self.invitation_until and not self.disabled


@dataclass(frozen=True, slots=True)
class People:
    """A merchant's roster. owners: e-mails of those who can act as owners now; never empty again once it was not.

    Written together with each of its users that changes it, so that two owners cannot remove each other.
    """

    merchant_id: str
    owners: tuple[str, ...] = ()
    version: int = 0

    def with_(self, user: User) -> "People":
        return replace(self, owners=tuple(sorted({*self.owners, user.email})))

    def without(self, user: User) -> "People":
        return replace(self, owners=tuple(email for email in self.owners if email != user.email))


SESSION_LIFE = timedelta(hours=12)
SESSION_IDLE = timedelta(hours=1)
SEEN_EVERY = timedelta(minutes=5)
"""How often it is written down that a session is in use."""


@dataclass(frozen=True, slots=True)
class Session:
    """A person's signed-in browser. session_id: tells which one it is; of the token only a hash is kept."""

    token_hash: str
    session_id: str
    merchant_id: str
    email: str
    generation: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    source_ip: str
    user_agent: str
    version: int = 0

    def is_open(self, now: datetime) -> bool:
        return now < self.expires_at and now < self.seen_at + SESSION_IDLE

    def belongs_to(self, user: User) -> bool:
        """Of that person as they are now: not disabled, and not told to sign in again."""
        same = (self.merchant_id, self.email, self.generation) == (user.merchant_id, user.email, user.generation)
        return same and not user.disabled


# --- passwords -----------------------------------------------------------------------------------------------------

_SHORTEST, _LONGEST = 10, 200
_COMMON = frozenset(
    """
    0000000000 0123456789 0987654321 1111111111 1122334455 123123123123 1234512345 1234567890 12345678910 123456789a
    123456789q 147258369a 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 9876543210 a123456789 aa12345678 aaaaaaaaaa abcd123456
    abcdefghij adminadmin admin12345 administrator asdfasdfasdf asdfghjkl1 asdfghjkl123 changeme123 iloveyou123
    letmein123 password00 password01 password10 password12 password123 password1234 password12345 passwordpassword
    p@ssw0rd123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedcrfv qwer123456 qwer1234!! qwerasdfzxcv qwerqwer1234 qwerty1234
    qwerty12345 qwerty123456 qwertyuiop qwertyuiop123 welcome123 zxcvbnm123
    """.split()  # noqa: SIM905 - quicker to read than fifty strings
)
"""Of those that everybody tries first, the ones that are long enough."""


def normal_password(text: str) -> str:
    """One form for what different keyboards send for the same characters."""
    return unicodedata.normalize("NFKC", text.encode(errors="replace").decode())


def password_objection(password: str, email: str) -> str | None:
    """Why this may not be somebody's password, for that person to read; None: it may. password: normal."""
    if not _SHORTEST <= len(password) <= _LONGEST:
        return f"비밀번호는 {_SHORTEST}~{_LONGEST}자여야 합니다. ({_SHORTEST} to {_LONGEST} characters)"
    plain = password.casefold()
    if plain in (email, email.partition("@")[0]):
        return "이메일과 같은 비밀번호는 사용할 수 없습니다. (a password must not be the e-mail)"
    if plain in _COMMON:
        return "너무 흔한 비밀번호입니다. 다른 비밀번호를 입력해 주세요. (too common a password)"
    return None


# --- guessing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LockRule:
    """failures: as many in a row lock for a minute; each further one twice as long. memory: then they are forgotten."""

    failures: int
    memory: timedelta


PERSON_RULE = LockRule(5, timedelta(hours=24))
ADDRESS_RULE = LockRule(20, timedelta(hours=2))
"""Several people may share an address. Longer than the longest lock, or the doubling would begin anew."""
_FIRST_LOCK = timedelta(minutes=1)
_LONGEST_LOCK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Guesses:
    """Wrong passwords in a row of one subject. subject: hash of an e-mail, a known browser, or an address."""

    subject: str
    failures: int
    expires_at: datetime
    locked_until: datetime | None = None
    version: int = 0

    def locked_for(self, now: datetime) -> timedelta:
        if self.locked_until is None:
            return timedelta()
        return max(timedelta(), self.locked_until - now)

    def counted(self, rule: LockRule, now: datetime) -> "Guesses":
        """With one failure more."""
        failures = 1 + (self.failures if now < self.expires_at else 0)
        lock = None
        if failures >= rule.failures:
            # Cut before it is raised to a power: the count has no end.
            doubled = _FIRST_LOCK * 2 ** min(failures - rule.failures, 10)
            lock = now + min(doubled, _LONGEST_LOCK)
        return replace(self, failures=failures, locked_until=lock, expires_at=now + rule.memory)

    def taken_back(self) -> "Guesses":
        """Without the last one, which was right, and its lock."""
        return replace(self, failures=max(0, self.failures - 1), locked_until=None)


# --- machines ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A machine's right to call /admin. token_id: tells which one it is; the token itself is shown once."""

    token_hash: str
    merchant_id: str
    name: str
    token_id: str = ""
    created_at: datetime | None = None
    created_by: str = ""
    version: int = 0

    @property
    def operator(self) -> Operator:
        return Operator(self.merchant_id, self.name)


@dataclass(frozen=True, slots=True)
class Audit:
    """One change of what a merchant has set up, or of who may. No secrets.

    subject: group id, channel key, `settings`, `people` or `admin_tokens`.
    """

    merchant_id: str
    subject: str
    audit_id: str
    action: str
    at: datetime
    by: str
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Keys that sign access tokens, oldest first; the last one signs. Sealed."""

    sealed: str
    data_key: str
    version: int = 0
