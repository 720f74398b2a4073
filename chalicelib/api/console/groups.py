"""Channel groups: the list, the editor with its simulator, and what a change would do before it is made."""

from dataclasses import dataclass, replace
from typing import Any

from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.group_forms import (
    NOBODY_LOOKED,
    GroupForm,
    Row,
    form_of,
    hours_on_offer,
    read_form,
    rearranged,
    seen_of,
)
from chalicelib.api.console.group_samples import GIVEN, WINDOW_GIVEN, Outcome, SampleForm, outcome, read_sample
from chalicelib.api.console.group_values import (
    MOVED_ON,
    at_second_try,
    group_of,
    keys_of,
    labels,
    measured,
    reached,
    version_of,
)
from chalicelib.api.console.visits import DONE, Html, Redirect, Visit, problem_of, step, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.errors import InvalidRequest, Refused, RouterError
from chalicelib.domain.group_changes import Change, diff
from chalicelib.domain.groups import MAX_CHANNELS, ChannelGroup, Failover, GroupVersion, check_effective_at
from chalicelib.domain.money import EXPONENTS
from chalicelib.domain.windows import PayMethod
from chalicelib.ports import Conflict
from chalicelib.usecases import groups
from chalicelib.usecases.charges import load_routing
from chalicelib.usecases.groups import GroupContent
from chalicelib.usecases.simulating import Draft

DONE |= {
    "group_created": ("채널 그룹을 만들었습니다.", "The channel group was created."),
    "group_saved": ("저장했습니다. 지금부터 들어오는 결제에 적용됩니다.", "Saved. It applies to payments from now on."),
    "group_saved_beside": (
        "저장했습니다. 지금부터 적용되고, 예약된 변경은 그대로 남아 있습니다.",
        "Saved. It applies from now on, and the reserved change stays.",
    ),
    "group_reserved": ("변경을 예약했습니다.", "The change is reserved."),
}


# --- list ---------------------------------------------------------------------------------------------------------


@view("GET", "groups", Role.VIEWER)
def group_list(visit: Visit) -> Html:
    routing, now = visit.who.routing, visit.deps.clock.now()
    wanted = visit.query.get("q", "").strip().casefold()
    here = [group.settled(now) for group in routing.groups.values() if group.environment is visit.environment]
    shown = [group for group in here if wanted in f"{group.current.name} {group.group_id}".casefold()]
    shown.sort(key=lambda group: (group.group_id != routing.default_target, group.current.name))
    values = {
        "groups": shown,
        "any": bool(here),
        "q": visit.query.get("q", "").strip(),
        "labels": {group.group_id: labels(visit, visit.environment, keys_of(group.current)) for group in shown},
        "has_channels": any(c.environment is visit.environment for c in routing.channels.values()),
    }
    return Html("groups.html", values)


# --- editor -------------------------------------------------------------------------------------------------------


@view("GET", "groups/new", Role.OPERATOR)
def new_group_page(visit: Visit) -> Html:
    """With two channels at once if there are just as many: most begin so."""
    form = GroupForm(visit.environment)
    channels = [key for key, c in visit.who.routing.channels.items() if c.environment is form.environment]
    if len(channels) <= 2:
        form = rearranged(replace(form, rows=tuple(Row(key, "0") for key in channels)), "even", "", "")
    return _editor(visit, None, form)


@view("GET", "groups/*", Role.VIEWER)
def group_page(visit: Visit) -> Html:
    group = group_of(visit)
    reserved = group.reserved if visit.query.get("from") == "reserved" else None
    return _editor(visit, group, form_of(group, reserved or group.current))


@view("POST", "groups/new", Role.OPERATOR)
def creategroup_of(visit: Visit) -> Html | Redirect:
    form = read_form(visit, None)
    if visit.text("act") != "save":
        return _edited(visit, None, form)
    try:
        content = form.content(reserved=False)
        made = at_second_try(lambda: groups.create(visit.deps, visit.operator, form.environment, content))
    except (RouterError, Conflict) as error:
        return _editor(visit, None, form, error=error)
    return Redirect(f"groups/{step(made.group_id)}", done="group_created")


@view("POST", "groups/*", Role.OPERATOR)
def editgroup_of(visit: Visit) -> Html | Redirect:
    """What the pressed button (`act`) says: save or confirm, a preview (preview, reserve), or the editor's own."""
    group = group_of(visit)
    form, act = read_form(visit, group), visit.text("act")
    if act not in ("save", "preview", "reserve", "confirm"):
        return _edited(visit, group, form)
    try:
        content = form.content(reserved=act in ("reserve", "confirm"))
        if act in ("preview", "reserve"):
            return _preview(visit, group, form, content)
        return _save(visit, group.group_id, content)
    except (RouterError, Conflict) as error:
        return _refused(visit, form, error)


def _save(visit: Visit, group_id: str, content: GroupContent) -> Redirect:
    saved = at_second_try(lambda: groups.update(visit.deps, visit.operator, group_id, content))
    done = "group_reserved" if content.begin_at else "group_saved_beside" if saved.reserved else "group_saved"
    return Redirect(f"groups/{step(group_id)}", done=done)


def _preview(visit: Visit, group: ChannelGroup, form: GroupForm, content: GroupContent) -> Html:
    """Raises what saving would raise, as far as that is known before."""
    groups.check_content(visit.who.routing, group.environment, content.entries)
    if content.begin_at:
        check_effective_at(content.begin_at, visit.deps.clock.now())
    if form.seen != seen_of(group):
        raise Refused(MOVED_ON, field="based_on")
    after = _version_of(visit, content)
    values = {
        "group": group,
        "form": form,
        "begin_at": content.begin_at,
        "after": after,
        "changes": diff(group.current, after),
        "channels": labels(visit, group.environment, [*keys_of(group.current, group.reserved), *form.keys]),
    }
    return Html("group_preview.html", values)


def _version_of(visit: Visit, content: GroupContent) -> GroupVersion:
    """To be compared and looked at; it has no number yet."""
    now = visit.deps.clock.now()
    return GroupVersion(0, content.name, content.failover, content.entries, content.begin_at or now, now, "")


@dataclass(frozen=True, slots=True)
class Moved:
    """What somebody else has saved since the form was opened."""

    version: GroupVersion
    changes: tuple[Change, ...]
    reservation_changed: bool


def _refused(visit: Visit, form: GroupForm, error: Exception) -> Html:
    """The editor as typed. If the group has moved on: based on what it is now, with what changed."""
    group = group_of(visit, load_routing(visit.deps, visit.merchant_id))
    now, seen = seen_of(group), form.seen or NOBODY_LOOKED
    if getattr(error, "field", None) != "based_on" or now == seen:
        return _editor(visit, group, form, error=error)
    before = version_of(visit, group, seen.version) if seen != NOBODY_LOOKED else None
    changes = tuple(diff(before, group.current)) if before else ()
    moved = Moved(group.current, changes, now.reservation != seen.reservation)
    return _editor(visit, group, replace(form, seen=now), error=Refused(MOVED_ON), moved=moved)


def _edited(visit: Visit, group: ChannelGroup | None, form: GroupForm) -> Html:
    """After a button of the editor; for a script only the part that it asks for."""
    act, _, place = visit.text("act").partition(":")
    form = rearranged(form, act, place, visit.text("added", 80))
    part = visit.text("part")
    if part == "rows":
        return Html("group_rows.html", _form_values(visit, form))
    if part == "outcome":
        return Html("group_outcome.html", _form_values(visit, form) | _outcome_values(visit, group, form))
    return _editor(visit, group, form, acted=act)


def _editor(
    visit: Visit,
    group: ChannelGroup | None,
    form: GroupForm,
    *,
    error: Exception | None = None,
    moved: Moved | None = None,
    acted: str = "",
) -> Html:
    values = _form_values(visit, form) | _outcome_values(visit, group, form)
    values |= {
        "acted": acted,
        "moved": moved,
        "hours": hours_on_offer(visit.deps.clock.now(), form.begin),
        "failovers": list(Failover),
        "reservation_changes": diff(group.current, group.reserved) if group and group.reserved else (),
        "editing_reserved": bool(form.begin.day),
        "reached": reached(visit, group) if group else None,
        "measured": measured(visit, group) if group else None,
    }
    others = [*keys_of(group.current, group.reserved), *(keys_of(moved.version) if moved else ())] if group else []
    if group and values["measured"]:
        others += [share.channel_key for share in values["measured"].channels]
    values["channels"] = labels(visit, form.environment, [*others, *values["channels"]])
    problem = problem_of(error) if error else None
    return Html("group.html", values, status_of(error) if error else 200, problem)


def _form_values(visit: Visit, form: GroupForm) -> dict[str, Any]:
    routing = visit.who.routing
    usable = [key for key, c in routing.channels.items() if c.environment is form.environment]
    return {
        "form": form,
        "addable": [key for key in usable if key not in form.keys],
        "most": MAX_CHANNELS,
        "channels": labels(visit, form.environment, [*form.keys, *usable]),
        "group": None,
    }


def _outcome_values(visit: Visit, group: ChannelGroup | None, form: GroupForm) -> dict[str, Any]:
    sample = read_sample(visit.form, form.keys)

    def draft() -> Draft:
        return Draft(form.environment, _failover(form), form.entries())

    group_id = group.group_id if group else None
    found = outcome(visit, group_id, draft, sample)
    return {"group": group, **_shown_outcome(sample, found), "changes": _changes(visit, group, form)}


def _failover(form: GroupForm) -> Failover:
    if form.failover not in list(Failover):
        raise InvalidRequest("failover", "failover: 자동 전환 방식을 선택해 주세요. (choose when to fail over)")
    return Failover(form.failover)


def _changes(visit: Visit, group: ChannelGroup | None, form: GroupForm) -> tuple[Change, ...]:
    """What saving now would change, as far as what is typed can be read."""
    if group is None:
        return ()
    try:
        return tuple(diff(group.current, _version_of(visit, form.content(reserved=False))))
    except InvalidRequest:
        return ()


def _shown_outcome(sample: SampleForm, found: Outcome) -> dict[str, Any]:
    return {
        "sample": sample,
        "outcome": found,
        "currencies": list(EXPONENTS),
        "pay_methods": list(PayMethod),
        "given_fields": GIVEN,
        "window_fields": WINDOW_GIVEN,
    }


# --- simulator ----------------------------------------------------------------------------------------------------


@view("GET", "groups/*/simulator", Role.VIEWER)
def simulator(visit: Visit) -> Html:
    """Of what is saved; everybody may ask, and the address can be passed on."""
    group = group_of(visit)
    version = group.current
    sample = read_sample(visit.query, tuple(keys_of(group.current, group.reserved)))
    if sample.reserved and group.reserved:
        version = group.reserved
    found = outcome(visit, group.group_id, lambda: None, sample)
    values = {
        "group": group,
        "version": version,
        "form": form_of(group, version),
        "channels": labels(visit, group.environment, keys_of(group.current, group.reserved)),
        "changes": (),
        **_shown_outcome(sample, found),
    }
    return Html("group_simulator.html", values)
