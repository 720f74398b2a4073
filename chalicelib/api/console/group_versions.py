"""Channel groups: the reserved change, every version so far and how to get back to it, and deleting a group."""

from datetime import datetime

from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.group_forms import Hour, hours_on_offer, read_hour, read_seen, seen_of
from chalicelib.api.console.group_values import at_second_try, group_of, history, keys_of, labels, reached, version_of
from chalicelib.api.console.visits import DONE, Html, Redirect, Visit, problem_of, step, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused
from chalicelib.domain.group_changes import diff
from chalicelib.domain.groups import ChannelGroup
from chalicelib.ports import Conflict
from chalicelib.usecases import groups
from chalicelib.usecases.charges import load_routing
from chalicelib.usecases.groups import Seen

MOVED_ON = (
    "그 사이에 그룹이 변경되어 되돌리지 않았습니다. 바뀌는 내용을 다시 확인해 주세요. "
    "(the group has changed meanwhile, so nothing was rolled back: look again at what changes)"
)
WRONG_NAME = "typed_name: 그룹 이름이 다릅니다. (this is not the name of the group)"
RESERVED_ANEW = (
    "그 사이에 예약이 바뀌었습니다. 내용을 다시 확인해 주세요. (the reservation has changed meanwhile: look again)"
)


# --- reservation --------------------------------------------------------------------------------------------------

DONE |= {
    "reservation_dropped": ("예약된 변경을 취소했습니다.", "The reserved change was dropped."),
    "group_deleted": ("채널 그룹을 삭제했습니다.", "The channel group was deleted."),
}


@view("GET", "groups/*/reservation", Role.OPERATOR)
def reservation_page(visit: Visit) -> Html | Redirect:
    group = group_of(visit)
    if group.reserved is None:
        return Redirect(f"groups/{step(group.group_id)}")
    return _reservation(visit, group)


def _reservation(visit: Visit, group: ChannelGroup, error: Exception | None = None) -> Html:
    values = {
        "group": group,
        "changes": diff(group.current, group.reserved),
        "channels": labels(visit, group.environment, keys_of(group.current, group.reserved)),
    }
    status = status_of(error) if error else 200
    return Html("group_reservation.html", values, status, problem_of(error) if error else None)


@view("POST", "groups/*/reservation", Role.OPERATOR)
def drop_reservation(visit: Visit) -> Html | Redirect:
    group = group_of(visit)
    if group.reserved and visit.text("number") != str(group.reserved.number):
        return _reservation(visit, group, Refused(RESERVED_ANEW))
    groups.drop_reservation(visit.deps, visit.operator, group.group_id)
    return Redirect(f"groups/{step(group.group_id)}", done="reservation_dropped")


# --- deleting -----------------------------------------------------------------------------------------------------


@view("GET", "groups/*/delete", Role.OPERATOR)
def delete_page(visit: Visit) -> Html:
    return _deletion(visit, group_of(visit))


def _deletion(visit: Visit, group: ChannelGroup, error: Exception | None = None) -> Html:
    values = {
        "group": group,
        "typed": visit.text("typed_name", 200),
        "is_default": visit.who.routing.default_target == group.group_id,
        "reached": reached(visit, group),
        "channels": labels(visit, group.environment, keys_of(group.current)),
    }
    status = status_of(error) if error else 200
    return Html("group_delete.html", values, status, problem_of(error) if error else None)


@view("POST", "groups/*/delete", Role.OPERATOR)
def deletegroup_of(visit: Visit) -> Html | Redirect:
    group = group_of(visit)
    if visit.text("typed_name", 200) != group.current.name:
        return _deletion(visit, group, InvalidRequest("typed_name", WRONG_NAME))
    try:
        at_second_try(lambda: groups.delete(visit.deps, visit.operator, group.group_id))
    except (Refused, Conflict) as error:
        return _deletion(visit, group, error)
    return Redirect("groups", done="group_deleted")


# --- history ------------------------------------------------------------------------------------------------------


@view("GET", "groups/*/history", Role.VIEWER)
def history_page(visit: Visit) -> Html:
    """Also of a group that was deleted."""
    group_id, routing = visit.steps[1], visit.who.routing
    group = group_of(visit) if group_id in routing.groups else None
    past = history(visit, group_id)
    if not group and not past:
        raise NotFound(f"존재하지 않는 채널 그룹입니다: {group_id[:80]} (unknown channel group)")
    environment = group.environment if group else visit.environment
    values = {
        "group": group,
        "group_id": group_id,
        "past": [(one, diff(one.before, one.version) if one.before else ()) for one in past],
        "channels": labels(visit, environment, [k for one in past for k in keys_of(one.version, one.before)]),
    }
    return Html("group_history.html", values)


@view("GET", "groups/*/roll-back", Role.OPERATOR)
def roll_back_page(visit: Visit) -> Html:
    return _roll_back(visit, group_of(visit), _number(visit.query.get("version", "")), Hour())


def _number(text: str) -> int:
    """0, which no version has, for what is no number."""
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _roll_back(visit: Visit, group: ChannelGroup, number: int, begin: Hour, error: Exception | None = None) -> Html:
    version = version_of(visit, group, number)
    if version is None:
        raise NotFound(f"존재하지 않는 버전입니다: {number} (unknown version)")
    channels = labels(visit, group.environment, keys_of(group.current, version))
    values = {
        "group": group,
        "version": version,
        "lacking": [channels[key] for key in keys_of(version) if channels[key].is_gone],
        "seen": seen_of(group),
        "later": bool(visit.text("when") == "later"),
        "hours": hours_on_offer(visit.deps.clock.now(), begin),
        "changes": diff(group.current, version),
        "channels": channels,
    }
    status = status_of(error) if error else 200
    return Html("group_roll_back.html", values, status, problem_of(error) if error else None)


@view("POST", "groups/*/roll-back", Role.OPERATOR)
def roll_back(visit: Visit) -> Html | Redirect:
    group, seen, begin = group_of(visit), read_seen(visit), read_hour(visit)
    number = _number(visit.text("version"))
    try:
        begin_at = begin.instant() if visit.text("when") == "later" else None
        saved = at_second_try(lambda: _rolled_back(visit, group.group_id, number, begin_at, seen))
    except (InvalidRequest, Refused, Conflict) as error:
        fresh = group_of(visit, load_routing(visit.deps, visit.merchant_id))
        moved = getattr(error, "field", None) == "based_on"
        return _roll_back(visit, fresh, number, begin, Refused(MOVED_ON) if moved else error)
    done = "group_reserved" if begin_at else "group_saved_beside" if saved.reserved else "group_saved"
    return Redirect(f"groups/{step(group.group_id)}", done=done)


def _rolled_back(visit: Visit, group_id: str, number: int, begin_at: datetime | None, seen: Seen) -> ChannelGroup:
    return groups.roll_back(visit.deps, visit.operator, group_id, number, begin_at, seen)
