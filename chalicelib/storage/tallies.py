"""Counters, kept by the write that moves what they count: entries of long lists, outcomes of attempts, keys of a group.

V1 answers every list with its total and lets callers jump to any page. Counting entries would cost more with every one
stored, so a commit that puts an entity into a list, moves it to another, or takes it out also adds to counters: an item
per list, day and shard, with an attribute per facet and hour (`paid_13`). The console's counters are moved the same
way: an item per channel, or group, hour and shard, with an attribute for each thing that is counted
(domain.statistics). What an entity is counted as stands in the entity (`counted_as`), stored by the same write; so the
counters are right whatever dies when.

Counters are only ever summed up, so writers may go to any shard. Who meets nobody at a list's counter uses the first,
so that a reader has little to sum. The console's counters move with the result of every charge, and a retry would keep
a buyer waiting: their writers choose one of a few at once. Whoever meets somebody goes on to any.
"""

import functools
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from chalicelib.domain.keys import BillingKey
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Payment
from chalicelib.ports import Deleted
from chalicelib.storage.items import KINDS

HOUR = 3600
SHARDS = 16
SPREAD = 8
"""Shards that the console's counters are spread over while nobody meets."""
COUNTED = (Payment, Order, BillingKey)

Additions = dict[tuple[str, str], Counter[str]]
"""(pk, slot) of a tally -> attribute -> what to add. slot: its sort key without the shard: a day, an hour..."""


def count(changes: Sequence[Any], room: int) -> tuple[list[Any], Additions, list[int]]:
    """The changes as they are to be stored, what to add to the counters, and the positions of those left out of them.

    room: how many tallies the write has room for. What does not fit is not counted, and its `counted_as` says so: its
    next write makes up for it. What is deleted has none, so it is always counted.
    """
    additions: Additions = {}
    counted, left_out = [], []
    for n, change in enumerate(changes):
        after = None if isinstance(change, Deleted) else label(change)
        moves = _moves(change, after)
        tallied = additions.keys() | {(pk, slot) for pk, slot, _ in moves}
        if moves and len(tallied) > room and not isinstance(change, Deleted):
            left_out.append(n)
            counted.append(change)
            continue
        for (pk, slot, attribute), number in moves.items():
            additions.setdefault((pk, slot), Counter())[attribute] += number
        counted.append(replace(change, counted_as=after) if moves and not isinstance(change, Deleted) else change)
    return counted, {key: added for key, added in additions.items() if any(added.values())}, left_out


def _moves(change: Any, after: str | None) -> Mapping[tuple[str, str, str], int]:
    """(pk, slot, attribute) -> what to add to it, for the entity to count as `after`."""
    entity = change.entity if isinstance(change, Deleted) else change
    if not isinstance(entity, COUNTED) or entity.counted_as == after:
        return {}
    moves = dict(places(after))
    for place, number in places(entity.counted_as).items():
        moves[place] = moves.get(place, 0) - number
    return {place: number for place, number in moves.items() if number}


def label(entity: Any) -> str | None:
    """All that the entity counts as: its list and the hour it lies in there, and what it adds to other counters.

    `list@hour; pk@slot attribute attribute=number; ...`, None for nothing at all.
    """
    if not isinstance(entity, COUNTED):
        return None
    kind = KINDS[type(entity)]
    listed = kind.count_key(entity)
    marks = [f"{listed[0]}@{int(listed[1][:12]) // HOUR}"] if listed else []
    marks += [_mark(pk, slot, numbers) for pk, slot, numbers in kind.counts(entity)]
    return "; ".join(marks) or None


def _mark(pk: str, slot: str, numbers: Mapping[str, int]) -> str:
    return " ".join([f"{pk}@{slot}", *(name if n == 1 else f"{name}={n}" for name, n in numbers.items())])


@functools.lru_cache(maxsize=64)
def places(counted_as: str | None) -> Mapping[tuple[str, str, str], int]:
    """The counters that a label moves, (pk, slot, attribute) -> by how much."""
    found: dict[tuple[str, str, str], int] = {}
    for mark in counted_as.split("; ") if counted_as else ():
        place, *numbers = mark.split(" ")
        if not numbers:
            found[_place(place)] = 1
        pk, _, slot = place.rpartition("@")
        for text in numbers:
            attribute, _, number = text.partition("=")
            at = (pk, slot, attribute)
            found[at] = found.get(at, 0) + int(number or 1)
    return MappingProxyType(found)


def _place(listed: str) -> tuple[str, str, str]:
    list_pk, _, hour = listed.rpartition("@")
    base, _, facet = list_pk.rpartition("#")
    day, hour_of_day = divmod(int(hour), 24)
    return tally_pk(base), f"{day:06d}", f"{facet}_{hour_of_day:02d}"


def tally_pk(base: str) -> str:
    """base: `merchant#things`, what the lists of all facets have in common."""
    return f"{base}#tally"


def updates(table: str, additions: Additions, *, crowded: bool = False) -> list[dict[str, Any]]:
    """The additions as writes of a transaction. crowded: somebody else was at a shard that it tried.

    All of one write go to the same shard: who meets another at a channel's counter meets it at the group's, and once.
    """
    shard = random.randrange(SHARDS if crowded else SPREAD)  # noqa: S311 - only spreads out writers
    writes = []
    for (pk, slot), added in additions.items():
        first = pk.endswith("#tally") and not crowded
        moved = [(name, number) for name, number in added.items() if number]
        update = {
            "TableName": table,
            "Key": {"pk": {"S": pk}, "sk": {"S": f"{slot}#{0 if first else shard:02d}"}},
            "UpdateExpression": "ADD " + ", ".join(f"#n{n} :n{n}" for n in range(len(moved))),
            "ExpressionAttributeNames": {f"#n{n}": name for n, (name, _) in enumerate(moved)},
            "ExpressionAttributeValues": {f":n{n}": {"N": str(number)} for n, (_, number) in enumerate(moved)},
        }
        writes.append({"Update": update})
    return writes


def summed(items: Iterable[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Tallies over all their shards: slot -> attribute -> number, without zeros.

    Shards are read one after another while writes move them, so a sum may be below zero for a moment: it is left out.
    """
    found: dict[str, Counter[str]] = {}
    for item in items:
        slot = item["sk"]["S"].rpartition("#")[0]
        here = found.setdefault(slot, Counter())
        for name, value in item.items():
            if name not in ("pk", "sk"):
                here[name] += int(value["N"])
    return without_zeros(found)


def without_zeros(found: Mapping[str, Counter[str]]) -> dict[str, Counter[str]]:
    kept = {slot: Counter({name: n for name, n in here.items() if n > 0}) for slot, here in found.items()}
    return {slot: here for slot, here in kept.items() if here}


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
