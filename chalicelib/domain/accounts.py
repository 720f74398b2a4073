"""Who may call: API keys and their access tokens, admin tokens, and the audit trail of what was changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


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


@dataclass(frozen=True, slots=True)
class AdminToken:
    token_hash: str
    merchant_id: str
    name: str
    version: int = 0


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
