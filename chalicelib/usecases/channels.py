"""An operator's channels: created with credentials that are never shown again, listed, deleted."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from chalicelib.domain.accounts import Operator
from chalicelib.domain.channels import ArchivedChannel, Channel, Environment
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.specs import GatewaySpec
from chalicelib.ports import Deps
from chalicelib.usecases import health
from chalicelib.usecases.charges import load_routing
from chalicelib.usecases.merchants import commit_change
from chalicelib.usecases.vault import seal_credentials


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
    """None = stays as it is. Environment and gateway cannot change: keys and payments hang on them."""

    name: str | None = None
    pg_id: str | None = None
    credentials: Mapping[str, str] | None = None


def update(deps: Deps, operator: Operator, channel_key: str, change: ChannelChange) -> Channel:
    """Rename a channel or rotate its credentials; its billing keys stay. Raises NotFound, InvalidRequest."""
    routing = load_routing(deps, operator.merchant_id)
    channel = routing.channel(channel_key)
    changed = replace(channel, name=change.name or channel.name, pg_id=change.pg_id or channel.pg_id)
    if change.credentials is not None:
        spec = deps.gateways.spec(channel.pg_provider)
        check_credentials(spec, channel.environment, change.credentials)
        sealed = seal_credentials(deps, routing, channel_key, change.credentials)
        changed = replace(changed, sealed_credentials=sealed, options=spec.options(change.credentials))
    is_another = change.credentials is not None or changed.pg_id != channel.pg_id
    if is_another:
        changed = replace(changed, changed_at=deps.clock.now())
    action = "channel.saved" if change.credentials is None else "channel.credentials_rotated"
    commit_change(deps, operator, routing.with_channel(changed), channel_key, action, shown(channel), shown(changed))
    if is_another:
        health.forget(deps, operator.merchant_id, channel_key)
    return changed


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
