"""Access tokens with V1's life-cycle.

30 minutes; asked again, the same token; asked in its last minute, the same token with five more minutes. A token tells
by its own signature whose it is and when it was issued, so checking it reads nothing; only one that has outlived its
own 30 minutes is looked up, to see whether it was extended (docs/adr/0005).
"""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.accounts import ApiKey, merchant_of
from chalicelib.domain.errors import InvalidRequest, Unauthorized
from chalicelib.ports import Conflict, Deps, Ref

LIFETIME = timedelta(minutes=30)
EXTENSION = timedelta(minutes=5)
LAST_MINUTE = timedelta(minutes=1)
LONGEST_LIFE = timedelta(hours=24)
"""However often it is extended; older tokens are refused without a look-up."""

MISSING = "imp_key, imp_secret 파라메터가 누락되었습니다."
WRONG = "imp_key, imp_secret 인증에 실패하였습니다. API키와 secret을 확인하세요. (wrong imp_key or imp_secret)"
BAD_TOKEN = "유효하지 않거나 만료된 access_token입니다. (invalid or expired access token)"  # noqa: S105


@dataclass(frozen=True, slots=True)
class AccessToken:
    token: str
    now: datetime
    expires_at: datetime


def issue(deps: Deps, imp_key: str, imp_secret: str) -> AccessToken:
    """V1 `users/getToken`. At most two calls to the table. Raises Unauthorized."""
    if not imp_key or not imp_secret:
        raise InvalidRequest("imp_secret" if imp_key else "imp_key", MISSING)
    if not (len(imp_key) == 16 and imp_key.isascii() and imp_key.isdigit()):
        raise Unauthorized(WRONG)
    api_key = deps.store.load(Ref(ApiKey, (imp_key,)))
    if api_key is None or not hmac.compare_digest(api_key.secret_hash, hash_secret(imp_secret)):
        raise Unauthorized(WRONG)
    now = deps.clock.now()
    renewed = _renew(deps, api_key, now)
    if renewed != api_key:
        try:
            (renewed,) = deps.store.commit(renewed)
        except Conflict:  # another server of the merchant was faster: all share what it got
            renewed = deps.store.load(Ref(ApiKey, (imp_key,))) or renewed
    if renewed.token is None or renewed.token_expires_at is None:
        raise Unauthorized(WRONG)
    return AccessToken(renewed.token, now, renewed.token_expires_at)


def _renew(deps: Deps, api_key: ApiKey, now: datetime) -> ApiKey:
    expires_at = api_key.token_expires_at
    if api_key.token is None or expires_at is None or expires_at <= now:
        return _fresh(deps, api_key, now)
    if expires_at - now > LAST_MINUTE:
        return api_key
    signed = deps.signer.read(api_key.token)
    if signed is None or now.timestamp() - signed[1] > (LONGEST_LIFE - EXTENSION).total_seconds():
        return _fresh(deps, api_key, now)
    return replace(api_key, token_expires_at=expires_at + EXTENSION)


def _fresh(deps: Deps, api_key: ApiKey, now: datetime) -> ApiKey:
    issued_at = int(now.timestamp())
    token = deps.signer.sign(api_key.imp_key, issued_at)
    expires_at = now.replace(microsecond=0) + LIFETIME
    return replace(api_key, token=token, token_expires_at=expires_at)


def check(deps: Deps, token: str) -> str:
    """The merchant a token speaks for. Raises Unauthorized. Reads nothing but for a token past its 30 minutes."""
    signed = deps.signer.read(token)
    if signed is None:
        raise Unauthorized(BAD_TOKEN)
    imp_key, issued_at = signed
    age = deps.clock.now().timestamp() - issued_at
    if age < LIFETIME.total_seconds():
        return merchant_of(imp_key)
    if age < LONGEST_LIFE.total_seconds():
        api_key = deps.store.load(Ref(ApiKey, (imp_key,)))
        if (
            api_key
            and api_key.token == token
            and api_key.token_expires_at
            and deps.clock.now() < api_key.token_expires_at
        ):
            return merchant_of(imp_key)
    raise Unauthorized(BAD_TOKEN)


def hash_secret(secret: str) -> str:
    """Secrets are random and long, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()
