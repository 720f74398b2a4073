"""Who may call: API keys and their access tokens, admin tokens, people with their sessions, and the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
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
    """One change of a merchant's configuration. subject: group id, channel key or `settings`. No secrets."""

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
