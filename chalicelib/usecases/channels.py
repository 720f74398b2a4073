"""An operator's channels: created with credentials that are never shown again, tested, listed, deleted."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from chalicelib.domain.accounts import Operator
from chalicelib.domain.channels import ArchivedChannel, Channel, Environment
from chalicelib.domain.charging import QUERY_REFUSED, Declined, FindResult, NotSent, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.health import HealthState
from chalicelib.domain.merchants import Routing
from chalicelib.domain.specs import GatewaySpec
from chalicelib.ports import Deps, Gateway
from chalicelib.usecases import health
from chalicelib.usecases.charges import load_routing, load_to_charge
from chalicelib.usecases.merchants import audit_entry, commit_change
from chalicelib.usecases.vault import open_credentials, open_gateway, seal_credentials

TEST_TIMEOUT = 10.0
"""For a gateway to answer a test, while somebody waits for it."""


@dataclass(frozen=True, slots=True)
class NewChannel:
    name: str
    pg_provider: str
    pg_id: str
    environment: Environment
    credentials: Mapping[str, str]


def create(deps: Deps, operator: Operator, wanted: NewChannel) -> Channel:
    """Raises InvalidRequest for an unknown provider, a duplicate name or credentials that do not fit."""
    spec = deps.gateways.spec(wanted.pg_provider)
    check_credentials(spec, wanted.environment, wanted.credentials)
    routing = load_routing(deps, operator.merchant_id)
    channel_key = f"channel-key-{uuid.UUID(int=deps.rng.getrandbits(128), version=4)}"
    channel = Channel(
        channel_key=channel_key,
        name=wanted.name,
        pg_provider=wanted.pg_provider,
        pg_id=wanted.pg_id,
        environment=wanted.environment,
        sealed_credentials=seal_credentials(deps, routing, channel_key, wanted.credentials),
        created_at=deps.clock.now(),
        options=spec.options(wanted.credentials),
    )
    changed = routing.with_channel(channel)
    commit_change(deps, operator, changed, channel_key, "channel.created", None, shown(channel))
    return channel


def check_credentials(spec: GatewaySpec, environment: Environment, credentials: Mapping[str, str]) -> None:
    """Raises InvalidRequest naming the field that is missing, unknown, malformed or of the other environment."""
    known = {field.name: field for field in spec.credentials}
    for name in credentials:
        if name not in known:
            field = f"credentials.{name}"[:80]
            expected = ", ".join(known)
            raise InvalidRequest(
                field, f"{field}: {spec.label}에 없는 항목입니다. 가능한 항목: {expected} (unknown field)"
            )
    for name, spec_field in known.items():
        value = credentials.get(name, "")
        field = f"credentials.{name}"
        if not value and spec_field.required:
            raise InvalidRequest(field, f"{field}: {spec_field.label}은(는) 필수입니다. (required)")
        if value and not re.fullmatch(spec_field.pattern, value):
            raise InvalidRequest(field, f"{field}: {spec_field.label}의 형식이 올바르지 않습니다. (malformed)")
        is_live = value.startswith(spec_field.live_prefixes or ("\0",))
        if spec_field.tests_are_marked:
            is_live = bool(value) and not value.startswith(spec_field.test_prefixes)
        if environment is Environment.TEST and is_live:
            raise InvalidRequest(
                field, f"{field}: 테스트 채널에 실연동 키를 넣을 수 없습니다. (a live key in a test channel)"
            )
        if environment is Environment.LIVE and value.startswith(spec_field.test_prefixes or ("\0",)):
            raise InvalidRequest(
                field, f"{field}: 실연동 채널에 테스트 키를 넣을 수 없습니다. (a test key in a live channel)"
            )


@dataclass(frozen=True, slots=True)
class ChannelChange:
    """None = stays as it is. Environment and gateway cannot change: keys and payments hang on them.

    credentials: all of them. keep_blank: but for secret ones that are blank or missing, which stay as they are, as a
    form that shows no secrets sends them.
    """

    name: str | None = None
    pg_id: str | None = None
    credentials: Mapping[str, str] | None = None
    keep_blank: bool = False


def update(deps: Deps, operator: Operator, channel_key: str, change: ChannelChange) -> Channel:
    """Rename a channel or rotate its credentials; its billing keys stay. Raises NotFound, InvalidRequest."""
    routing = load_routing(deps, operator.merchant_id)
    channel = routing.channel(channel_key)
    changed = replace(channel, name=change.name or channel.name, pg_id=change.pg_id or channel.pg_id)
    credentials = _new_credentials(deps, routing, channel, change)
    if credentials is not None:
        spec = deps.gateways.spec(channel.pg_provider)
        check_credentials(spec, channel.environment, credentials)
        sealed = seal_credentials(deps, routing, channel_key, credentials)
        changed = replace(changed, sealed_credentials=sealed, options=spec.options(credentials))
    is_another = credentials is not None or changed.pg_id != channel.pg_id
    if is_another:
        changed = replace(changed, changed_at=deps.clock.now())
    action = "channel.saved" if credentials is None else "channel.credentials_rotated"
    commit_change(deps, operator, routing.with_channel(changed), channel_key, action, shown(channel), shown(changed))
    if is_another:
        health.forget(deps, operator.merchant_id, channel_key)
    return changed


def _new_credentials(deps: Deps, routing: Routing, channel: Channel, change: ChannelChange) -> Mapping[str, str] | None:
    """What to seal; None if the channel's credentials stay. A form that changes none of them is no rotation:

    it would put what is known of the channel's health, and of payments in doubt, under another contract.
    """
    if change.credentials is None or not change.keep_blank:
        return change.credentials
    stored = open_credentials(deps, routing, channel)
    merged = _with_stored_secrets(deps.gateways.spec(channel.pg_provider), change.credentials, stored)
    return None if merged == {name: value for name, value in stored.items() if value} else merged


def _with_stored_secrets(spec: GatewaySpec, given: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """The credentials given, and those stored in place of secret ones that are blank. Other blank ones are left out."""
    kept = {field.name: stored.get(field.name, "") for field in spec.credentials if field.secret}
    return {name: value for name, value in {**kept, **{n: v for n, v in given.items() if v}}.items() if value}


def delete(deps: Deps, operator: Operator, channel_key: str) -> None:
    """Raises NotFound, or Refused while a group uses it. What it charged can still be cancelled."""
    routing = load_routing(deps, operator.merchant_id)
    channel = routing.channel(channel_key)
    now = deps.clock.now()
    changed = routing.without_channel(channel_key, now)
    archived = ArchivedChannel(operator.merchant_id, channel, now)
    commit_change(deps, operator, changed, channel_key, "channel.deleted", shown(channel), None, archived)
    health.forget(deps, operator.merchant_id, channel_key)


def shown(channel: Channel) -> dict[str, object]:
    """A channel as it may be shown: without its credentials."""
    return {
        "channel_key": channel.channel_key,
        "name": channel.name,
        "pg_provider": channel.pg_provider,
        "pg_id": channel.pg_id,
        "environment": channel.environment.value,
        "created_at": int(channel.created_at.timestamp()),
        "options": list(channel.options),
    }


@dataclass(frozen=True, slots=True)
class ShownCredential:
    """value: None for a secret, of which nobody sees more than that it is there."""

    is_set: bool
    value: str | None


def masked(deps: Deps, routing: Routing, channel: Channel) -> Mapping[str, ShownCredential]:
    """A channel's credentials as operators may see them, by field, in the order of the gateway's fields."""
    stored = open_credentials(deps, routing, channel)
    shown = {}
    for field in deps.gateways.spec(channel.pg_provider).credentials:
        value = stored.get(field.name, "")
        shown[field.name] = ShownCredential(bool(value), None if field.secret else value)
    return shown


# --- the connection test ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """What came of asking a gateway about an order that there never was. took_ms: None if nothing was asked.

    ok: it answers, and did not refuse the credentials; None = this channel cannot be asked.
    """

    ok: bool | None
    text: str
    took_ms: int | None = None


CANNOT_BE_ASKED = ConnectionTest(
    None,
    "조회할 수 없는 채널이어서 미리 확인할 수 없습니다. 다음 결제에서 확인됩니다. "
    "(this channel cannot be asked: the next payment shows)",
)


def test_connection(deps: Deps, operator: Operator, channel_key: str) -> ConnectionTest:
    """Ask the gateway of a channel whether it answers. Raises NotFound, and Refused where it may not be called.

    It is the question that the timer asks of a channel that is down. So if that is what it is, and the gateway answers,
    it gets payments again now and need not wait for its next probe. A bad answer counts for nothing: payments do.
    """
    routing, known = load_to_charge(deps, operator.merchant_id)
    channel = routing.channel(channel_key)
    result = _test(deps, channel, open_gateway(deps, routing, channel_key))
    if result.ok and known and known.of(channel_key).state is HealthState.DOWN:
        before, after = health.shown(known, channel_key), {"state": HealthState.PROBATION.value}
        deps.store.commit(audit_entry(deps, operator, channel_key, "channel.brought_back", before, after))
        health.answered(deps, channel.environment, known, channel_key)
    return result


def try_credentials(
    deps: Deps, operator: Operator, wanted: NewChannel, channel_key: str | None = None
) -> ConnectionTest:
    """The same with credentials before they are saved. Nothing is stored.

    channel_key: of the channel that they are for, if there is one; its gateway, environment, and stored secrets count
    where those in `wanted` are blank. Raises InvalidRequest, NotFound, Refused.
    """
    credentials, provider, environment = wanted.credentials, wanted.pg_provider, wanted.environment
    if channel_key:
        routing = load_routing(deps, operator.merchant_id)
        kept = routing.channel(channel_key)
        provider, environment = kept.pg_provider, kept.environment
        stored = open_credentials(deps, routing, kept)
        credentials = _with_stored_secrets(deps.gateways.spec(provider), credentials, stored)
    spec = deps.gateways.spec(provider)
    check_credentials(spec, environment, credentials)
    channel = Channel(
        channel_key=channel_key or "channel-key-new",
        name=wanted.name,
        pg_provider=provider,
        pg_id=wanted.pg_id,
        environment=environment,
        sealed_credentials="",
        created_at=deps.clock.now(),
        options=spec.options(credentials),
    )
    return _test(deps, channel, deps.gateways.open(channel, credentials))


def _test(deps: Deps, channel: Channel, gateway: Gateway) -> ConnectionTest:
    started = deps.clock.monotonic()
    result = health.ask(deps, channel, lambda: gateway, TEST_TIMEOUT)
    if result is None:
        return CANNOT_BE_ASKED
    ok, text = _verdict(result)
    return ConnectionTest(ok, text, round((deps.clock.monotonic() - started) * 1000))


def _verdict(result: FindResult) -> tuple[bool, str]:
    """Whether the gateway takes the channel, and what to tell. Of its own words only a code is told: the rest could
    repeat what was sent.
    """
    match result:
        case NotSent():
            return False, "PG사에 연결할 수 없습니다. (the gateway cannot be reached)"
        case Declined() | Unknown() if _refuses_channel(result):
            return False, f"PG사가 인증 정보를 거절했습니다{_code(result.code)}. (the gateway refuses the credentials)"
        case Unknown() if result.unwell or not result.code:
            return (
                False,
                f"PG사가 정상적으로 응답하지 않습니다{_code(result.code)}. (the gateway gives no proper answer)",
            )
    return True, "PG사가 정상적으로 응답합니다. (the gateway answers)"


def _refuses_channel(result: Declined | Unknown) -> bool:
    if isinstance(result, Declined):
        return result.reason is DeclineReason.CHANNEL_REJECTED
    return result.unwell and result.detail == QUERY_REFUSED


def _code(code: str | None) -> str:
    return f" [{code}]" if code and re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", code) else ""
