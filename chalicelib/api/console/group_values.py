"""What the pages of channel groups show besides a group: names and colours of channels, coverage, measured shares."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from chalicelib.api.console.group_forms import asked_shares
from chalicelib.api.console.visits import Visit
from chalicelib.domain.channels import ArchivedChannel, Channel, Environment
from chalicelib.domain.charging import Operation
from chalicelib.domain.groups import ChannelGroup, GroupVersion
from chalicelib.domain.health import HealthState
from chalicelib.domain.merchants import Routing
from chalicelib.ports import Conflict, Ref
from chalicelib.usecases import groups, statistics
from chalicelib.usecases.groups import SavedVersion, Standing

COLOURS = 10
MEASURED = timedelta(days=7)
GAP = 0.1
"""From this difference between asked and real on, people are told what to do about it."""


MOVED_ON = (
    "다른 사람이 먼저 저장해서 아직 저장하지 않았습니다. 아래에서 바뀐 내용을 확인하세요. 다시 저장하면 입력한 내용이 "
    "적용됩니다. (somebody else saved first, so this is not saved yet: see below what changed; save again to put yours "
    "in its place)"
)
T = TypeVar("T")


def group_of(visit: Visit, routing: Routing | None = None) -> ChannelGroup:
    """The one that the address names, as it is now. Raises NotFound."""
    return (routing or visit.who.routing).group(visit.steps[1]).settled(visit.deps.clock.now())


def at_second_try(change: Callable[[], T]) -> T:
    """Something else of the merchant may have been saved in this very moment; `Seen` guards what this is about."""
    try:
        return change()
    except Conflict:
        return change()


@dataclass(frozen=True, slots=True)
class Label:
    """How a channel is shown. colour: 1 to 10, the same on every page while its environment has no more."""

    channel_key: str
    name: str
    provider: str
    pg_id: str
    colour: int
    is_down: bool = False
    is_gone: bool = False


def labels(visit: Visit, environment: Environment, channel_keys: Iterable[str]) -> dict[str, Label]:
    """By channel key; also of channels that were deleted, or never were. One read if there are such."""
    routing, health = visit.who.routing, visit.who.health
    wanted = list(dict.fromkeys(channel_keys))
    colours = _colours(visit, environment, wanted)
    gone = _archived(visit, [key for key in wanted if key not in routing.channels])
    found = {}
    for key in wanted:
        channel = routing.channels.get(key) or gone.get(key)
        name, provider, pg_id = (channel.name, channel.pg_provider, channel.pg_id) if channel else (key, "", "")
        down = health.of(key).state is HealthState.DOWN
        found[key] = Label(key, name, provider, pg_id, colours[key], down, key not in routing.channels)
    return found


def _colours(visit: Visit, environment: Environment, channel_keys: Sequence[str]) -> dict[str, int]:
    """By a channel's place among all of its environment; the next free one where two of a page would share it."""
    channels = [key for key, c in visit.who.routing.channels.items() if c.environment is environment]
    places = {key: n for n, key in enumerate(channels)}
    colours: dict[str, int] = {}
    for key in channel_keys:
        taken = set(colours.values())
        first = places.get(key, len(channels))
        turns = [(first + n) % COLOURS + 1 for n in range(COLOURS)]
        colours[key] = next((colour for colour in turns if colour not in taken), turns[0])
    return colours


def _archived(visit: Visit, channel_keys: Sequence[str]) -> Mapping[str, Channel]:
    if not channel_keys:
        return {}
    refs = [Ref(ArchivedChannel, (visit.merchant_id, key)) for key in channel_keys]
    found = visit.deps.store.load_many(refs)
    return {archived.channel.channel_key: archived.channel for archived in found if archived}


def keys_of(*versions: GroupVersion | None) -> list[str]:
    return [entry.channel_key for version in versions if version for entry in version.entries]


# --- coverage and shares ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reach:
    """One channel and the group's super keys. asked, real: shares of charges on them. held: keys that it holds.

    can_issue: its gateway has an API that makes keys; else it only takes those that were made elsewhere.
    """

    channel_key: str
    asked: float
    real: float
    held: int
    can_issue: bool

    @property
    def lacks(self) -> bool:
        return self.asked - self.real >= GAP


@dataclass(frozen=True, slots=True)
class Reached:
    """total: super keys of the group. stranded: those that no channel in use holds."""

    total: int
    stranded: int
    rows: tuple[Reach, ...]

    @property
    def worst(self) -> Reach | None:
        """The channel that gets least of what it is asked to get, if that is far off."""
        lacking = [row for row in self.rows if row.lacks]
        return max(lacking, key=lambda row: row.asked - row.real, default=None)


def reached(visit: Visit, group: ChannelGroup) -> Reached:
    """Of the version in force. One query. group: settled."""
    covered = statistics.coverage(visit.deps, visit.merchant_id, group.group_id)
    asked = asked_shares(group.current.entries)
    real = covered.shares(group.current)
    rows = tuple(
        Reach(key, asked.get(key, 0.0), real.shares.get(key, 0.0), covered.held_by(key), _can_issue(visit, key))
        for key in keys_of(group.current)
    )
    return Reached(covered.total, real.stranded, rows)


def _can_issue(visit: Visit, channel_key: str) -> bool:
    channel = visit.who.routing.channels.get(channel_key)
    if not channel:
        return False
    operations = visit.deps.gateways.spec(channel.pg_provider).operations
    return bool(operations & {Operation.ISSUE_BILLING_KEY, Operation.KEY_BY_CHARGE})


def measured(visit: Visit, group: ChannelGroup) -> statistics.GroupShares:
    """What the channels were to get of the last days' payments, and got, in the group's order. One query."""
    # This very second counts, too: who has just made a test payment looks for it here.
    until = visit.deps.clock.now() + timedelta(seconds=1)
    found = statistics.group_shares(visit.deps, visit.merchant_id, group.group_id, until - MEASURED, until)
    places = {key: n for n, key in enumerate(keys_of(group.current))}
    in_order = sorted(found.channels, key=lambda share: places.get(share.channel_key, len(places)))
    return replace(found, channels=tuple(in_order))


# --- history ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Past:
    """A version on record. before: what was in force when it was saved; None for the first."""

    saved: SavedVersion
    before: GroupVersion | None

    @property
    def version(self) -> GroupVersion:
        return self.saved.version


def history(visit: Visit, group_id: str) -> list[Past]:
    """Newest first; empty for a group that never was."""
    found = groups.versions(visit.deps, visit.merchant_id, group_id)
    saved = sorted(found, key=lambda one: (one.version.saved_at, one.version.number), reverse=True)
    return [Past(one, _in_force_before(saved, one.version)) for one in saved]


def _in_force_before(saved: Sequence[SavedVersion], version: GroupVersion) -> GroupVersion | None:
    begun = [
        one.version
        for one in saved
        if one.version.number != version.number
        and one.standing is not Standing.NEVER_BEGAN
        and (one.version.effective_at, one.version.number) < (version.saved_at, version.number)
    ]
    return max(begun, key=lambda one: (one.effective_at, one.number), default=None)


def version_of(visit: Visit, group: ChannelGroup, number: int) -> GroupVersion | None:
    """A version of a group by its number, if it is on record. group: settled."""
    for known in (group.current, group.reserved):
        if known and known.number == number:
            return known
    saved = groups.versions(visit.deps, visit.merchant_id, group.group_id)
    return next((one.version for one in saved if one.version.number == number), None)
