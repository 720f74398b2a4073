"""Setting up a merchant: its number, API key, admin token, data key and webhook secret."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from chalicelib.domain.accounts import AdminToken, ApiKey, Audit, Operator, SigningKeys, merchant_of
from chalicelib.domain.errors import InvalidRequest, Unauthorized
from chalicelib.domain.merchants import Routing, WebhookSettings
from chalicelib.domain.windows import ORIGIN, is_loopback
from chalicelib.ports import Conflict, Deps, Ref, Sealer, Store
from chalicelib.usecases.charges import load_routing
from chalicelib.usecases.notifying import webhook_context
from chalicelib.usecases.tokens import hash_secret

CREATE_TRIES = 5


@dataclass(frozen=True, slots=True)
class NewMerchant:
    """Shown once; only hashes are kept. user_code is the merchant's public id (`IMP.init`)."""

    user_code: str
    imp_key: str
    imp_secret: str
    admin_token: str
    webhook_secret: str


def create(deps: Deps, name: str) -> NewMerchant:
    for _ in range(CREATE_TRIES):
        imp_key = f"{secrets.randbelow(10**16):016d}"
        merchant = NewMerchant(
            user_code=merchant_of(imp_key),
            imp_key=imp_key,
            imp_secret=secrets.token_hex(40),
            admin_token=new_admin_token(),
            webhook_secret=new_webhook_secret(),
        )
        try:
            _store(deps, merchant, name)
        except Conflict:  # the number is taken
            continue
        return merchant
    raise RuntimeError("no free merchant number found")


def new_admin_token() -> str:
    return f"admin_{secrets.token_urlsafe(32)}"


def new_webhook_secret() -> str:
    """As Standard Webhooks spells it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _store(deps: Deps, merchant: NewMerchant, name: str) -> None:
    merchant_id = merchant.user_code
    data_key = deps.sealer.new_data_key(merchant_id)
    sealed = deps.sealer.seal(data_key, webhook_context(merchant_id), {"secret": merchant.webhook_secret})
    deps.store.commit(
        Routing(merchant_id, data_key, WebhookSettings(sealed)),
        ApiKey(merchant.imp_key, merchant_id, hash_secret(merchant.imp_secret)),
        AdminToken(hash_secret(merchant.admin_token), merchant_id, name, secrets.token_hex(8), deps.clock.now(), name),
    )


def imp_keys(deps: Deps, merchant_id: str) -> tuple[str, ...]:
    """The merchant's API keys, without what belongs to them."""
    return tuple(key.imp_key for key in deps.store.list(ApiKey, (merchant_id, "apikeys")).items)


def rotate_secret(deps: Deps, imp_key: str) -> str:
    """A new imp_secret for an API key; the old one gets no more tokens. Raises Unauthorized for an unknown key."""
    api_key = deps.store.load(Ref(ApiKey, (imp_key,)))
    if api_key is None:
        raise Unauthorized(f"등록되지 않은 imp_key입니다: {imp_key[:20]} (unknown imp_key)")
    secret = secrets.token_hex(40)
    deps.store.commit(replace(api_key, secret_hash=hash_secret(secret), token=None, token_expires_at=None))
    return secret


def check_admin(deps: Deps, token: str) -> Operator:
    """Who an admin token belongs to. Raises Unauthorized."""
    found = deps.store.load(Ref(AdminToken, (hash_secret(token),)))
    if found is None:
        raise Unauthorized("유효하지 않은 관리자 토큰입니다. (invalid admin token)")
    return found.operator


@dataclass(frozen=True, slots=True)
class Settings:
    default: str | None
    live_webhook_url: str | None
    test_webhook_url: str | None
    webhook_content_type: str
    live_page_origins: tuple[str, ...] = ()
    test_page_origins: tuple[str, ...] = ()


def settings(deps: Deps, merchant_id: str) -> Settings:
    return _settings_of(load_routing(deps, merchant_id))


def _settings_of(routing: Routing) -> Settings:
    hooks = routing.webhooks
    return Settings(
        routing.default_target, hooks.live_url, hooks.test_url, hooks.content_type, routing.live_page_origins,
        routing.test_page_origins,
    )  # fmt: skip


def save_settings(deps: Deps, operator: Operator, wanted: Settings) -> Settings:
    """Replace the merchant's defaults. Raises InvalidRequest for a target or a URL that does not serve."""
    routing = load_routing(deps, operator.merchant_id)
    if wanted.default and wanted.default not in routing.groups and wanted.default not in routing.channels:
        raise InvalidRequest("default", "default: 존재하지 않는 채널 그룹 또는 채널입니다. (unknown group or channel)")
    for name, url in (
        ("live_webhook_url", wanted.live_webhook_url),
        ("test_webhook_url", wanted.test_webhook_url),
    ):
        if url and (reason := deps.sender.refuse_url(url)):
            raise InvalidRequest(name, f"{name}: {reason}")
    hooks = replace(
        routing.webhooks,
        live_url=wanted.live_webhook_url or None,
        test_url=wanted.test_webhook_url or None,
        content_type=wanted.webhook_content_type,
    )
    changed = replace(
        routing,
        default_target=wanted.default or None,
        webhooks=hooks,
        live_page_origins=_origins(deps, wanted, "live_page_origins"),
        test_page_origins=_origins(deps, wanted, "test_page_origins"),
    )
    commit_change(
        deps,
        operator,
        changed,
        "settings",
        "settings.saved",
        shown_settings(_settings_of(routing)),
        shown_settings(wanted),
    )
    return _settings_of(changed)


def _origins(deps: Deps, wanted: Settings, setting: str) -> tuple[str, ...]:
    """Raises InvalidRequest for what is not an origin, for pages that anybody on the way could change, and for a shop's
    that is also to be tested with.
    """
    given: tuple[str, ...] = getattr(wanted, setting)
    for n, origin in enumerate(given):
        name = f"{setting}[{n}]"
        secure = not origin.startswith("http:") or (deps.allow_loopback and is_loopback(origin))
        if not ORIGIN.fullmatch(origin) or not secure:
            raise InvalidRequest(
                name, f"{name}: https://shop.example.com 형식이어야 합니다. 경로 없이 입력해 주세요. (an https origin)"
            )
        if setting == "test_page_origins" and origin in wanted.live_page_origins:
            text = (
                "실결제 도메인에서는 테스트 결제를 할 수 없습니다. (a live page cannot be paid in with test channels)"
            )
            raise InvalidRequest(name, f"{name}: {text}")
    return tuple(dict.fromkeys(given))


def shown_settings(value: Settings) -> dict[str, object]:
    shown = {name: getattr(value, name) for name in Settings.__slots__}
    lists = {name: list(getattr(value, name)) for name in ("live_page_origins", "test_page_origins")}
    return {**shown, **lists}


def commit_change(
    deps: Deps,
    operator: Operator,
    routing: Routing,
    subject: str,
    action: str,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
    *others: object,
) -> None:
    """Store a changed configuration and the audit entry about it in one write. Raises Conflict if overtaken."""
    deps.store.commit(routing, audit_entry(deps, operator, subject, action, before, after), *others)


def audit_entry(
    deps: Deps,
    operator: Operator,
    subject: str,
    action: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
) -> Audit:
    """What to store together with a change that somebody makes."""
    now = deps.clock.now()
    return Audit(
        merchant_id=operator.merchant_id,
        subject=subject,
        audit_id=f"{now.timestamp():017.6f}-{deps.rng.getrandbits(32):08x}",
        action=action,
        at=now,
        by=operator.name,
        before=before,
        after=after,
    )


def load_signing_keys(store: Store, sealer: Sealer) -> list[bytes]:
    """The keys that sign access tokens, oldest first; made at the first use."""
    stored = store.load(Ref(SigningKeys, ()))
    if stored is None:
        data_key = sealer.new_data_key("system")
        sealed = sealer.seal(data_key, ("signing_keys",), {"0": secrets.token_hex(32)})
        try:
            (stored,) = store.commit(SigningKeys(sealed, data_key))
        except Conflict:
            stored = store.load(Ref(SigningKeys, ()))
    if stored is None:
        raise RuntimeError("signing keys vanished")
    opened = sealer.open(stored.data_key, ("signing_keys",), stored.sealed)
    return [bytes.fromhex(opened[name]) for name in sorted(opened, key=int)]
