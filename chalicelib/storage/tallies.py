"""How many entries each long list has, hour by hour, kept by the write that moves them.

V1 answers every list with its total and lets callers jump to any page. Counting entries would cost more with every one
stored, so a commit that puts an entity into a list, moves it to another, or takes it out also adds to counters: an item
per list, day and shard, with an attribute per facet and hour (`paid_13`). What an entity is counted as stands in the
entity (`counted_as`), stored by the same write; so the counters are right whatever dies when.

Writers that meet at one counter go on to another shard of it: counters are only ever summed up. Who meets nobody uses
the first, so that a reader has little to sum.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment
from chalicelib.ports import Deleted
from chalicelib.storage.items import KINDS

HOUR = 3600
SHARDS = 16
COUNTED = (Payment, Order)

Additions = dict[tuple[str, str], Counter[str]]
"""(pk, day) of a tally -> attribute -> what to add."""


def count(changes: Sequence[Any], room: int) -> tuple[list[Any], Additions]:
    """The changes as they are to be stored, and what to add to the counters.

    room: how many tallies the write has room for. What does not fit is not counted, and its `counted_as` says so: its
    next write makes up for it (see `behind`). What is deleted has none, so it is always counted.
    """
    additions: Additions = {}
    counted = []
    for change in changes:
        moves = _moves(change)
        tallies = {(pk, day) for pk, day, _ in moves}
        fits = len(additions.keys() | tallies) <= room or isinstance(change, Deleted)
        if not moves or not fits:
            counted.append(change)
            continue
        for (pk, day, attribute), number in moves.items():
            additions.setdefault((pk, day), Counter())[attribute] += number
        counted.append(change if isinstance(change, Deleted) else replace(change, counted_as=label(change)))
    return counted, {key: added for key, added in additions.items() if any(added.values())}


def _moves(change: Any) -> Counter[tuple[str, str, str]]:
    """(pk, day, attribute) -> 1 where the entity enters, -1 where it leaves."""
    entity = change.entity if isinstance(change, Deleted) else change
    moves: Counter[tuple[str, str, str]] = Counter()
    if not isinstance(entity, COUNTED):
        return moves
    before, after = entity.counted_as, None if isinstance(change, Deleted) else label(entity)
    if before != after:
        if before:
            moves[_place(before)] -= 1
        if after:
            moves[_place(after)] += 1
    return moves


def behind(stored: Sequence[Any]) -> list[Any]:
    """Those that were written without being counted as what they are."""
    return [entity for entity in stored if isinstance(entity, COUNTED) and entity.counted_as != label(entity)]


def label(entity: Any) -> str | None:
    """What the entity counts as: its list and the hour it lies in there."""
    counted = KINDS[type(entity)].count_key(entity)
    return f"{counted[0]}@{int(counted[1][:12]) // HOUR}" if counted else None


def _place(counted_as: str) -> tuple[str, str, str]:
    list_pk, _, hour = counted_as.rpartition("@")
    base, _, facet = list_pk.rpartition("#")
    day, hour_of_day = divmod(int(hour), 24)
    return tally_pk(base), f"{day:06d}", f"{facet}_{hour_of_day:02d}"


def tally_pk(base: str) -> str:
    """base: `merchant#things`, what the lists of all facets have in common."""
    return f"{base}#tally"


def updates(table: str, additions: Additions, *, crowded: bool = False) -> list[dict[str, Any]]:
    """The additions as writes of a transaction. crowded: somebody else was at the first shard."""
    writes = []
    for (pk, day), added in additions.items():
        shard = random.randrange(SHARDS) if crowded else 0  # noqa: S311 - only spreads out writers
        names = [name for name, number in added.items() if number]
        expression = "ADD " + ", ".join(f"{name} :{name}" for name in names)
        values = {f":{name}": {"N": str(added[name])} for name in names}
        key = {"pk": {"S": pk}, "sk": {"S": f"{day}#{shard:02d}"}}
        update = {"TableName": table, "Key": key, "UpdateExpression": expression, "ExpressionAttributeValues": values}
        writes.append({"Update": update})
    return writes


def attributes(facets: Sequence[str]) -> list[str]:
    return [f"{facet}_{hour:02d}" for facet in facets for hour in range(24)]


def hours_of(items: Sequence[dict[str, Any]]) -> Counter[int]:
    """Entries per hour (since 1970) over all shards and facets. items: tallies, without keys but `sk`."""
    found: Counter[int] = Counter()
    for item in items:
        day = int(item.pop("sk")["S"].partition("#")[0])
        for name, value in item.items():
            found[day * 24 + int(name[-2:])] += int(value["N"])
    return found
