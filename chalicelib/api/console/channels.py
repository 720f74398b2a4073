"""The pages of channels: contracts with gateways, whether they are well, and their credentials.

No credential that is secret leaves in a page, also not one that was typed a moment ago.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.api import schemas
from chalicelib.api.console import channel_forms
from chalicelib.api.console.dashboard import REASONS
from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.visits import DONE, Html, Redirect, Visit, problem_of, step, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.channels import Channel
from chalicelib.domain.charging import Operation
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, RouterError
from chalicelib.domain.health import ChannelHealth, HealthState
from chalicelib.domain.specs import GatewaySpec
from chalicelib.ports import Conflict
from chalicelib.usecases import channels, statistics
from chalicelib.usecases.channels import ConnectionTest

DONE |= {
    "channel_created": (
        "채널을 추가했습니다. 채널 그룹에 넣으면 결제가 들어옵니다.",
        "The channel is there. Put it into a channel group, and it gets payments.",
    ),
    "channel_deleted": (
        "채널을 삭제했습니다. 이 채널로 승인된 결제는 계속 취소할 수 있습니다.",
        "The channel is deleted. What it charged can still be cancelled.",
    ),
}

RECENT = timedelta(hours=24)
_SHOWN_REASONS = 5


@dataclass(frozen=True, slots=True)
class Membership:
    """In which group a channel is. weight: per cent, now; reserved: from `from_` on, None if it is not in it then."""

    group_id: str
    name: str
    weight: int | None
    enabled: bool
    reserved: int | None = None
    from_: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A channel in the list. options: what its contract allows beyond others'."""

    channel: Channel
    health: ChannelHealth
    groups: Sequence[Membership]
    options: Sequence[str]
    is_default: bool


# --- the list ------------------------------------------------------------------------------------------------------


@view("GET", "channels", Role.VIEWER)
def list_page(visit: Visit) -> Html:
    found = visit.who.routing.channels.values()
    rows = [_row(visit, channel) for channel in found if channel.environment is visit.environment]
    # Who is down comes first: that is what somebody looks for at night.
    rows.sort(key=lambda row: (row.health.state is not HealthState.DOWN, row.channel.name.casefold()))
    return Html("channels.html", {"rows": rows, "elsewhere": len(found) - len(rows)})


def _row(visit: Visit, channel: Channel) -> Row:
    routing = visit.who.routing
    return Row(
        channel,
        visit.who.health.of(channel.channel_key),
        memberships(visit, channel.channel_key),
        _options(visit, channel),
        routing.default_target == channel.channel_key,
    )


def _options(visit: Visit, channel: Channel) -> list[str]:
    spec = visit.deps.gateways.spec(channel.pg_provider)
    added = {operation for field in spec.credentials if field.name in channel.options for operation in field.adds}
    return [visit.say(*words) for operation, words in channel_forms.OPERATIONS.items() if operation in added]


def memberships(visit: Visit, channel_key: str) -> list[Membership]:
    """The groups that a channel is in, now or from a reserved change on."""
    found, now = [], visit.deps.clock.now()
    for group in visit.who.routing.groups.values():
        settled = group.settled(now)
        entry = next((e for e in settled.current.entries if e.channel_key == channel_key), None)
        after = settled.reserved
        later = next((e for e in after.entries if e.channel_key == channel_key), None) if after else None
        if entry is None and later is None:
            continue
        weight, enabled = (entry.weight, entry.enabled) if entry else (None, True)
        reserved = (later.weight if later.enabled else 0) if later else None
        name, from_ = settled.current.name, after.effective_at if after else None
        found.append(Membership(group.group_id, name, weight, enabled, reserved, from_))
    return found


# --- a new one -----------------------------------------------------------------------------------------------------


@view("GET", "channels/new", Role.OPERATOR)
def new_page(visit: Visit) -> Html:
    provider = visit.query.get("provider", "")
    if not provider:
        return _gateways(visit)
    return _new_form(visit, visit.deps.gateways.spec(provider))


def _gateways(visit: Visit) -> Html:
    specs = visit.deps.gateways.specs()
    cards = [
        {
            "spec": spec,
            "abilities": channel_forms.abilities(visit, spec),
            "methods": channel_forms.methods(visit, spec),
            "test_access": visit.say(*channel_forms.TEST_ACCESS[spec.test_access]),
            "settles_alone": spec.settles_alone,
        }
        for spec in specs
    ]
    return Html("channel_gateways.html", {"cards": cards})


def _new_form(
    visit: Visit,
    spec: GatewaySpec,
    values: Mapping[str, str] | None = None,
    error: Exception | None = None,
    tried: ConnectionTest | None = None,
) -> Html:
    shown = values or {}
    given = {
        "spec": spec,
        "name": shown.get("name", ""),
        "pg_id": shown.get("pg_id", ""),
        "inputs": channel_forms.inputs(visit, spec, shown),
        "abilities": channel_forms.abilities(visit, spec),
        "methods": channel_forms.methods(visit, spec),
        "tried": tried,
        "environment": visit.environment,
    }
    return _answered("channel_new.html", given, error)


@view("POST", "channels/new", Role.OPERATOR)
def create(visit: Visit) -> Html | Redirect:
    """Saves it, or with `do=test` asks the gateway and saves nothing. `fragment`: only what came of that."""
    spec = visit.deps.gateways.spec(visit.text("pg_provider"))
    credentials = channel_forms.typed(visit, spec)
    values = {**channel_forms.showable(spec, credentials), "name": visit.text("name"), "pg_id": visit.text("pg_id")}
    is_test = visit.form.get("do") == "test"
    try:
        _refuse_other_environment(visit)
        wanted = _wanted(visit, spec, credentials, is_test=is_test)
        if is_test:
            tried = channels.try_credentials(visit.deps, visit.operator, wanted)
            return _tried(visit, tried) or _new_form(visit, spec, values, tried=tried)
        channel = channels.create(visit.deps, visit.operator, wanted)
    except (RouterError, Conflict) as error:
        return _tried(visit, None, error) or _new_form(visit, spec, values, error)
    return Redirect(f"channels/{step(channel.channel_key)}", done="channel_created")


def _refuse_other_environment(visit: Visit) -> None:
    """The form was made for the other one: somebody has switched in another tab. Raises InvalidRequest."""
    if visit.text("environment") != visit.environment:
        raise InvalidRequest(
            "environment",
            "environment: 그 사이에 환경(실연동/테스트)이 바뀌었습니다. 환경을 확인한 뒤 다시 입력해 주세요. "
            "(the environment was switched meanwhile)",
        )


def _wanted(
    visit: Visit, spec: GatewaySpec, credentials: Mapping[str, str], *, is_test: bool = False
) -> channels.NewChannel:
    """is_test: a name is not needed yet."""
    body = schemas.parse(
        schemas.ChannelBody,
        {
            "name": visit.text("name") or ("test" if is_test else ""),
            "pg_provider": spec.provider,
            "pg_id": visit.text("pg_id") or ("test" if is_test else ""),
            "environment": visit.environment,
            "credentials": credentials,
        },
    )
    given = {name: value for name, value in body.credentials.items() if value}
    return channels.NewChannel(body.name, spec.provider, body.pg_id, body.environment, given)


def _tried(visit: Visit, tried: ConnectionTest | None, error: Exception | None = None) -> Html | None:
    """The part of the page that a script asked for; None if it was not a script."""
    if visit.form.get("fragment") != "1":
        return None
    return _answered("channel_tried.html", {"tried": tried}, error)


def _answered(template: str, values: Mapping[str, Any], error: Exception | None = None) -> Html:
    if error is None:
        return Html(template, values)
    return Html(template, values, status_of(error), problem_of(error))


# --- one of them ---------------------------------------------------------------------------------------------------


@view("GET", "channels/*", Role.VIEWER)
def channel_page(visit: Visit) -> Html:
    return _page(visit, visit.who.routing.channel(visit.steps[1]))


def _page(
    visit: Visit,
    channel: Channel,
    values: Mapping[str, str] | None = None,
    error: Exception | None = None,
    tried: ConnectionTest | None = None,
) -> Html:
    """values: what was typed into the form, if it is shown again."""
    spec = visit.deps.gateways.spec(channel.pg_provider)
    stored = channels.masked(visit.deps, visit.who.routing, channel)
    shown = values or {
        "name": channel.name,
        "pg_id": channel.pg_id,
        **{name: credential.value or "" for name, credential in stored.items()},
    }
    saved = [field.name for field in spec.credentials if field.secret and stored[field.name].is_set]
    given = {
        "row": _row(visit, channel),
        "channel": channel,
        "spec": spec,
        "name": shown["name"],
        "pg_id": shown["pg_id"],
        "inputs": channel_forms.inputs(visit, spec, shown, saved),
        "abilities": channel_forms.abilities(visit, spec.under(channel.options)),
        "methods": channel_forms.methods(visit, spec),
        "can_be_asked": Operation.FIND in visit.deps.gateways.spec_of(channel).operations,
        "notice_url": notice_url(visit, spec, channel),
        "tried": tried,
        "opened": values is not None,
        **_recent(visit, channel),
    }
    return _answered("channel.html", given, error)


def notice_url(visit: Visit, spec: GatewaySpec, channel: Channel) -> str | None:
    """Where the gateway tells of deposits, or of charges under review; None if it tells nothing."""
    if spec.virtual_accounts is None and not spec.tells_of_charges:
        return None
    return f"{visit.origin}{visit.root}/notices/{visit.merchant_id}/{step(channel.channel_key)}"


def _recent(visit: Visit, channel: Channel) -> dict[str, Any]:
    now = visit.deps.clock.now()
    found = statistics.channel_statistics(
        visit.deps, visit.merchant_id, [channel.channel_key], now - RECENT, now, statistics.Step.HOUR
    )
    total = found[channel.channel_key].total
    return {"recent": total, "reasons": [(_reason(visit, r), n) for r, n in total.reasons[:_SHOWN_REASONS]]}


def _reason(visit: Visit, reason: DeclineReason) -> str:
    return visit.say(*REASONS.get(reason, (reason.value, reason.value.replace("_", " "))))


@view("POST", "channels/*", Role.OPERATOR)
def save(visit: Visit) -> Html | Redirect:
    """Saves what was changed, or with `do=test` asks the gateway with it and saves nothing."""
    channel = visit.who.routing.channel(visit.steps[1])
    spec = visit.deps.gateways.spec(channel.pg_provider)
    credentials = channel_forms.typed(visit, spec)
    values = {**channel_forms.showable(spec, credentials), "name": visit.text("name"), "pg_id": visit.text("pg_id")}
    try:
        body = schemas.parse(
            schemas.ChannelChangeBody,
            {"name": values["name"], "pg_id": values["pg_id"], "credentials": credentials},
        )
        if visit.form.get("do") == "test":
            wanted = channels.NewChannel(
                values["name"], spec.provider, values["pg_id"], channel.environment, credentials
            )  # fmt: skip
            tried = channels.try_credentials(visit.deps, visit.operator, wanted, channel.channel_key)
            return _tried(visit, tried) or _page(visit, channel, values, tried=tried)
        change = channels.ChannelChange(body.name, body.pg_id, body.credentials, keep_blank=True)
        channels.update(visit.deps, visit.operator, channel.channel_key, change)
    except (RouterError, Conflict) as error:
        return _tried(visit, None, error) or _page(visit, channel, values, error)
    return Redirect(f"channels/{step(channel.channel_key)}", done="saved")


@view("POST", "channels/*/test", Role.OPERATOR)
def ask(visit: Visit) -> Html:
    """Test the connection with what is stored."""
    channel = visit.who.routing.channel(visit.steps[1])
    try:
        tried = channels.test_connection(visit.deps, visit.operator, channel.channel_key)
    except (RouterError, Conflict) as error:
        return _tried(visit, None, error) or _page(visit, channel, error=error)
    return _tried(visit, tried) or _page(visit, channel, tried=tried)


@view("GET", "channels/*/delete", Role.OPERATOR)
def delete_page(visit: Visit) -> Html:
    return _delete_form(visit, visit.who.routing.channel(visit.steps[1]))


def _delete_form(visit: Visit, channel: Channel, error: Exception | None = None) -> Html:
    return _answered("channel_delete.html", {"row": _row(visit, channel), "channel": channel}, error)


@view("POST", "channels/*/delete", Role.OPERATOR)
def delete(visit: Visit) -> Html | Redirect:
    channel = visit.who.routing.channel(visit.steps[1])
    try:
        if visit.text("name") != channel.name:
            raise InvalidRequest("name", "name: 채널 이름을 그대로 입력해 주세요. (type the channel's name)")
        channels.delete(visit.deps, visit.operator, channel.channel_key)
    except (RouterError, Conflict) as error:
        return _delete_form(visit, channel, error)
    return Redirect("channels", done="channel_deleted")
