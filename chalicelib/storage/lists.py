"""Reading lists from the table's indexes: any page of a long list, and the short ones whole.

The indexes hold keys only; the items themselves are read from the table, so what is shown is as it stands now.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from chalicelib.ports import Listing, Page, TooMany
from chalicelib.storage.items import from_item
from chalicelib.storage.tallies import HOUR, attributes, hours_of, summed, tally_pk

MAX_SORTED = 10_000
"""Entries that are sorted by another time than the list's own: about two megabytes of keys."""


@dataclass(frozen=True, slots=True)
class _Key:
    """An item's key, and its sort key in the list."""

    pk: str
    sk: str
    sort: str

    def times(self) -> list[str]:
        return self.sort.split("#")


class Lists:
    """read: gives the items of some keys, those that still exist, in no particular order."""

    def __init__(
        self, client: Any, table: str, read: Callable[[Iterable[tuple[str, str]]], dict[tuple[str, str], Any]]
    ) -> None:
        self._client = client
        self._table = table
        self._read = read

    def page(
        self, kind: type[Any], lists: Sequence[tuple[str, ...]], since: int, until: int, *, offset: int, limit: int,
        newest_first: bool = True, by: int = 0,
    ) -> Listing[Any]:  # fmt: skip
        names = ["#".join(parts) for parts in lists]
        hours = self._hours(names, since, until)
        total = sum(hours.values())
        if not by:
            keys = self._walk(names, hours, since, until, offset, limit, newest_first)
        elif total > MAX_SORTED:
            raise TooMany(total, MAX_SORTED)
        else:
            every = self._merged(names, since, until, newest_first, MAX_SORTED)
            keys = sorted(every, key=lambda key: key.times()[by], reverse=newest_first)[offset : offset + limit]
        return Listing(self._items(kind, keys, "list_pk", names), total)

    def page_of(
        self, kind: type[Any], owner: tuple[str, ...], since: int, until: int, *, offset: int, limit: int,
        newest_first: bool = True, facet: str | None = None,
    ) -> Listing[Any]:  # fmt: skip
        name = "#".join(owner)
        keys = [
            key
            for key in self._keys("owner", name, since, until, newest_first, 10_000)
            if facet is None or key.times()[1] == facet
        ]
        return Listing(self._items(kind, keys[offset : offset + limit], "owner_pk", [name]), len(keys))

    def short(
        self, index: str, kind: type[Any], name: str, *, limit: int, cursor: str | None, newest_first: bool
    ) -> Page[Any]:
        """cursor: the last sort key of the page before. It ends with an id, so no two entries have the same."""
        condition, values = f"{index}_pk = :name", {":name": {"S": name}}
        if cursor:
            condition += f" AND {index}_sk {'<' if newest_first else '>'} :cursor"
            values[":cursor"] = {"S": cursor}
        reply = self._client.query(
            TableName=self._table,
            IndexName=index,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ScanIndexForward=not newest_first,
            Limit=limit,
        )
        keys = [_key(item, index) for item in reply["Items"]]
        following = keys[-1].sort if keys and "LastEvaluatedKey" in reply else None
        return Page(self._items(kind, keys, f"{index}_pk", [name]), following)

    def hourly(self, lists: Sequence[tuple[str, ...]], since: int, until: int) -> dict[int, int]:
        hours = self._hours(["#".join(parts) for parts in lists], since, until)
        return {hour * HOUR: hours[hour] for hour in sorted(hours) if hours[hour]}

    def counters(self, pk: str, low: str, high: str) -> dict[str, Counter[str]]:
        """Counters of the slots low..high; of all where high is empty. As they are added up by storage.tallies."""
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if high:
            condition += " AND sk BETWEEN :low AND :high"
            values |= {":low": {"S": low}, ":high": {"S": f"{high}~"}}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table, KeyConditionExpression=condition, ExpressionAttributeValues=values
        )
        return summed(item for page in pages for item in page["Items"])

    def _hours(self, names: Sequence[str], since: int, until: int) -> Counter[int]:
        """Entries per hour of the stretch: from the tallies, and counted where an hour lies in it only in part."""
        if since == until:  # DynamoDB takes no range that ends before it begins
            return Counter()
        base = names[0].rpartition("#")[0]
        facets = [name.rpartition("#")[2] for name in names]
        first, last = since // HOUR, (until - 1) // HOUR
        found = hours_of(self._tallies(base, facets, since, until))
        hours = Counter({hour: n for hour, n in found.items() if first <= hour <= last and n > 0})
        for hour in {first, last} & hours.keys():
            low, high = max(since, hour * HOUR), min(until, (hour + 1) * HOUR)
            if high - low < HOUR:
                hours[hour] = sum(self._count(name, low, high) for name in names)
        return hours

    def _tallies(self, base: str, facets: Sequence[str], since: int, until: int) -> list[dict[str, Any]]:
        """Of those facets only: what takes longest here is to parse the numbers."""
        day = 24 * HOUR
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ProjectionExpression=", ".join(["sk", *attributes(facets)]),
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues={
                ":pk": {"S": tally_pk(base)},
                ":low": {"S": f"{since // day:06d}"},
                ":high": {"S": f"{(until - 1) // day:06d}~"},
            },
        )
        return [item for page in pages for item in page["Items"]]

    def _walk(
        self, names: Sequence[str], hours: Counter[int], since: int, until: int, offset: int, limit: int,
        newest_first: bool,
    ) -> list[_Key]:  # fmt: skip
        """Pass over whole hours by their counts; read keys only from the hour on in which the page begins."""
        skip = offset
        for hour in sorted(hours, reverse=newest_first):
            if skip < hours[hour]:
                break
            skip -= hours[hour]
        else:
            return []
        low, high = (since, min(until, (hour + 1) * HOUR)) if newest_first else (max(since, hour * HOUR), until)
        return list(islice(self._merged(names, low, high, newest_first, skip + limit), skip, skip + limit))

    def _merged(self, names: Sequence[str], low: int, high: int, newest_first: bool, wanted: int) -> Iterator[_Key]:
        streams = [self._keys("list", name, low, high, newest_first, wanted) for name in names]
        return heapq.merge(*streams, key=lambda key: key.sort, reverse=newest_first)

    def _keys(self, index: str, name: str, low: int, high: int, newest_first: bool, wanted: int) -> Iterator[_Key]:
        pages = self._client.get_paginator("query").paginate(
            **self._stretch(index, name, low, high),
            ScanIndexForward=not newest_first,
            PaginationConfig={"PageSize": wanted},
        )
        for page in pages:
            for item in page["Items"]:
                yield _key(item, index)

    def _count(self, name: str, low: int, high: int) -> int:
        pages = self._client.get_paginator("query").paginate(**self._stretch("list", name, low, high), Select="COUNT")
        return sum(page["Count"] for page in pages)

    def _stretch(self, index: str, name: str, low: int, high: int) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "IndexName": index,
            "KeyConditionExpression": f"{index}_pk = :name AND {index}_sk BETWEEN :low AND :high",
            # "until" itself stays out: every key of that second goes on after its digits.
            "ExpressionAttributeValues": {
                ":name": {"S": name},
                ":low": {"S": f"{low:012d}"},
                ":high": {"S": f"{high:012d}"},
            },
        }

    def _items(self, kind: type[Any], keys: Sequence[_Key], attribute: str, names: Sequence[str]) -> tuple[Any, ...]:
        """The entities in the order of keys, without those that have left the list since the index was written."""
        found = self._read((key.pk, key.sk) for key in keys)
        items = [found[key.pk, key.sk] for key in keys if (key.pk, key.sk) in found]
        return tuple(from_item(kind, item) for item in items if item.get(attribute, {}).get("S") in names)


def _key(item: dict[str, Any], index: str) -> _Key:
    return _Key(item["pk"]["S"], item["sk"]["S"], item[f"{index}_sk"]["S"])
