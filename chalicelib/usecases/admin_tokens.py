"""Admin tokens: what machines call /admin with. Shown once; only a hash is kept."""

import secrets
import unicodedata

from chalicelib.domain.accounts import AdminToken, Operator
from chalicelib.domain.errors import InvalidRequest, NotFound
from chalicelib.ports import Conflict, Deleted, Deps
from chalicelib.usecases.merchants import audit_entry, new_admin_token
from chalicelib.usecases.tokens import hash_secret

SUBJECT = "admin_tokens"
"""Of the audit entries."""
_MAX_NAME = 80
UNKNOWN_TOKEN = "존재하지 않는 관리자 토큰입니다. (unknown admin token)"  # noqa: S105


def create(deps: Deps, operator: Operator, name: str) -> tuple[AdminToken, str]:
    """The token's entry, and the token. name: who acts in the history of changes. Raises InvalidRequest."""
    name = name.strip()
    if not 1 <= len(name) <= _MAX_NAME:
        raise InvalidRequest("name", f"name: 1~{_MAX_NAME}자여야 합니다. (1 to {_MAX_NAME} characters)")
    if "@" in unicodedata.normalize("NFKC", name):  # in the history people are called by their e-mails
        raise InvalidRequest("name", "name: 이메일은 이름으로 사용할 수 없습니다. (must not be an e-mail)")
    secret = new_admin_token()
    token = AdminToken(
        token_hash=hash_secret(secret),
        merchant_id=operator.merchant_id,
        name=name,
        token_id=secrets.token_hex(8),
        created_at=deps.clock.now(),
        created_by=operator.name,
    )
    noted = audit_entry(deps, operator, SUBJECT, "admin_token.created", None, _shown(token))
    stored, _ = deps.store.commit(token, noted)
    return stored, secret


def tokens(deps: Deps, operator: Operator) -> list[AdminToken]:
    """The merchant's, the latest first. May trail writes a little."""
    found: list[AdminToken] = []
    cursor = None
    while True:
        page = deps.store.list(AdminToken, (operator.merchant_id, "admintokens"), cursor=cursor, newest_first=True)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


def revoke(deps: Deps, operator: Operator, token_id: str) -> None:
    """It is refused from its next call on. Raises NotFound."""
    token = next((token for token in tokens(deps, operator) if token.token_id == token_id), None)
    if token is None:
        raise NotFound(UNKNOWN_TOKEN)
    noted = audit_entry(deps, operator, SUBJECT, "admin_token.revoked", _shown(token), None)
    try:
        deps.store.commit(Deleted(token), noted)
    except Conflict as error:  # it is never changed: somebody else was faster
        raise NotFound(UNKNOWN_TOKEN) from error


def _shown(token: AdminToken) -> dict[str, object]:
    return {"token_id": token.token_id, "name": token.name}
