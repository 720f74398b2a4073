"""/admin: channels, channel groups, and defaults. Bearer token, plain JSON."""

from __future__ import annotations  # so that naming a type does not load its module

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chalice.app import Blueprint

from chalicelib.api import schemas, views
from chalicelib.api.endpoints import Answer, Call, admin
from chalicelib.domain.errors import InvalidRequest
from chalicelib.usecases import channels, charges, groups, health, merchants

if TYPE_CHECKING:
    from datetime import datetime

    from chalicelib.domain.channels import Channel
    from chalicelib.domain.groups import ChannelGroup
    from chalicelib.domain.health import Health

bp = Blueprint(__name__)


@admin(bp, "POST", "/admin/channels")
def create_channel(call: Call) -> Answer:
    body = schemas.parse(schemas.ChannelBody, call.body)
    wanted = channels.NewChannel(body.name, body.pg_provider, body.pg_id, body.environment, body.credentials)
    return Answer(channels.shown(channels.create(call.deps, call.operator, wanted)), status=201)


@admin(bp, "GET", "/admin/channels")
def list_channels(call: Call) -> Answer:
    routing, known = charges.load_to_charge(call.deps, call.merchant_id)
    return Answer([_with_health(channel, known) for channel in routing.channels.values()])


@admin(bp, "GET", "/admin/channels/{channel_key}")
def get_channel(call: Call) -> Answer:
    routing, known = charges.load_to_charge(call.deps, call.merchant_id)
    return Answer(_with_health(routing.channel(call.path["channel_key"]), known))


@admin(bp, "PUT", "/admin/channels/{channel_key}")
def update_channel(call: Call) -> Answer:
    body = schemas.parse(schemas.ChannelChangeBody, call.body)
    change = channels.ChannelChange(body.name, body.pg_id, body.credentials)
    return Answer(channels.shown(channels.update(call.deps, call.operator, call.path["channel_key"], change)))


@admin(bp, "POST", "/admin/channels/{channel_key}/test")
def test_channel(call: Call) -> Answer:
    found = channels.test_connection(call.deps, call.operator, call.path["channel_key"])
    return Answer({"ok": found.ok, "message": found.text, "took_ms": found.took_ms})


@admin(bp, "DELETE", "/admin/channels/{channel_key}")
def delete_channel(call: Call) -> Answer:
    channel = charges.load_routing(call.deps, call.merchant_id).channel(call.path["channel_key"])
    channels.delete(call.deps, call.operator, channel.channel_key)
    return Answer(channels.shown(channel))


@admin(bp, "POST", "/admin/channel-groups")
def create_group(call: Call) -> Answer:
    body = schemas.parse(schemas.NewGroupBody, call.body)
    group = groups.create(call.deps, call.operator, body.environment, _content(body))
    return Answer(_shown(call, group), status=201)


@admin(bp, "GET", "/admin/channel-groups")
def list_groups(call: Call) -> Answer:
    routing = charges.load_routing(call.deps, call.merchant_id)
    return Answer([_shown(call, group) for group in routing.groups.values()])


@admin(bp, "GET", "/admin/channel-groups/{group_id}")
def get_group(call: Call) -> Answer:
    routing = charges.load_routing(call.deps, call.merchant_id)
    return Answer(_shown(call, routing.group(call.path["group_id"])))


@admin(bp, "PUT", "/admin/channel-groups/{group_id}")
def update_group(call: Call) -> Answer:
    body = schemas.parse(schemas.GroupBody, call.body)
    group_id = call.path["group_id"]
    kept = charges.load_routing(call.deps, call.merchant_id).group(group_id)
    if body.environment not in (None, kept.environment):
        raise InvalidRequest("environment", "environment: 그룹의 환경은 바꿀 수 없습니다. (cannot be changed)")
    group = groups.update(call.deps, call.operator, group_id, _content(body))
    return Answer(_saved(call, group, body.begins()))


@admin(bp, "DELETE", "/admin/channel-groups/{group_id}")
def delete_group(call: Call) -> Answer:
    group = charges.load_routing(call.deps, call.merchant_id).group(call.path["group_id"])
    groups.delete(call.deps, call.operator, group.group_id)
    return Answer(_shown(call, group))


@admin(bp, "DELETE", "/admin/channel-groups/{group_id}/reservation")
def drop_reservation(call: Call) -> Answer:
    return Answer(_shown(call, groups.drop_reservation(call.deps, call.operator, call.path["group_id"])))


@admin(bp, "POST", "/admin/channel-groups/{group_id}/roll-back")
def roll_back_group(call: Call) -> Answer:
    body = schemas.parse(schemas.RollBackBody, call.body)
    group = groups.roll_back(call.deps, call.operator, call.path["group_id"], body.version, body.begins())
    return Answer(_saved(call, group, body.begins()))


@admin(bp, "GET", "/admin/channel-groups/{group_id}/history")
def group_history(call: Call) -> Answer:
    entries = groups.history(call.deps, call.merchant_id, call.path["group_id"])
    return Answer([views.audit_view(entry) for entry in entries])


@admin(bp, "GET", "/admin/settings")
def get_settings(call: Call) -> Answer:
    return Answer(merchants.shown_settings(merchants.settings(call.deps, call.merchant_id)))


@admin(bp, "PUT", "/admin/settings")
def put_settings(call: Call) -> Answer:
    body = schemas.parse(schemas.SettingsBody, call.body)
    kept = merchants.settings(call.deps, call.merchant_id)
    wanted = replace(kept, **body.model_dump(exclude_unset=True))  # what is not named stays
    return Answer(merchants.shown_settings(merchants.save_settings(call.deps, call.operator, wanted)))


def _with_health(channel: Channel, known: Health | None) -> dict[str, Any]:
    return {**channels.shown(channel), "health": health.shown(known, channel.channel_key)}


def _content(body: schemas.GroupBody) -> groups.GroupContent:
    return groups.GroupContent(body.name, body.failover, body.entries(), body.begins())


def _saved(call: Call, group: ChannelGroup, begin_at: datetime | None) -> dict[str, Any]:
    """A group after a change that begins then; None = at once."""
    answer = _shown(call, group)
    if begin_at is None and group.reserved:
        answer["message"] = "저장되었습니다. 예약된 변경은 그대로 유지됩니다. (saved; the reserved change stays)"
    return answer


def _shown(call: Call, group: ChannelGroup) -> dict[str, Any]:
    """The version in force now on top, the reserved one beside it."""
    group = group.settled(call.deps.clock.now())
    return {
        "id": group.group_id,
        "environment": group.environment.value,
        "created_at": views.seconds(group.created_at),
        **groups.shown_version(group.current),
        "reservation": groups.shown_version(group.reserved) if group.reserved else None,
    }
