"""ports.Store in a dictionary, with the same keys, the same JSON and the same conditions as the table.

It passes the same contract suite as DynamoStore, so what is tested on it holds there.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chalicelib.ports import Conflict, Deleted, DueItem, Listing, Page, Ref, TooMany
from chalicelib.storage import tallies
from chalicelib.storage.items import KINDS, alarm_list, from_item, key_of, ref_of, to_item
from chalicelib.storage.lists import MAX_SORTED


class MemoryStore:
    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.tallies: Counter[tuple[str, str, str]] = Counter()
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def load(self, *refs: Ref[Any]) -> Any:
        found = self.load_many(refs)
        return found[0] if len(refs) == 1 else tuple(found)

    def load_many(self, refs: Sequence[Ref[Any]]) -> list[Any]:
        with self._lock:
            self.calls.append("load")
            return [from_item(ref.kind, self.items[key_of(ref)]) if key_of(ref) in self.items else None for ref in refs]

    def commit(self, *changes: Any) -> tuple[Any, ...]:
        with self._lock:
            self.calls.append("commit")
            assert 1 <= len(changes) <= 100
            for change in changes:
                entity = change.entity if isinstance(change, Deleted) else change
                stored = self.items.get(key_of(ref_of(entity)))
                version = int(stored["version"]["N"]) if stored else 0
                if version != entity.version:
                    raise Conflict(entity)
            changes, additions = tallies.count(changes, 100 - len(changes))
            for (pk, day), added in additions.items():
                for attribute, number in added.items():
                    self.tallies[pk, day, attribute] += number
            for change in changes:
                if isinstance(change, Deleted):
                    self.items.pop(key_of(ref_of(change.entity)), None)
                else:
                    self.items[key_of(ref_of(change))] = to_item(change, change.version + 1)
        return tuple(c if isinstance(c, Deleted) else replace(c, version=c.version + 1) for c in changes)

    def due(self, shard: int, after: datetime | None, until: datetime) -> Iterable[DueItem]:
        low = after.timestamp() if after else 0
        found = [
            DueItem(
                item["kind"]["S"],
                tuple(json.loads(item["parts"]["S"])),
                datetime.fromtimestamp(float(item["due_at"]["N"]), UTC),
            )
            for item in list(self.items.values())
            if item.get("due_shard", {}).get("S") == f"{shard:02d}"
            and round(low, 3) <= float(item["due_at"]["N"]) <= round(until.timestamp(), 3)
        ]
        return sorted(found, key=lambda item: item.due_at)

    def page(self, kind, lists, since, until, *, offset, limit, newest_first=True, by=0):
        names = ["#".join(parts) for parts in lists]
        rows = self._rows("list", names, since, until)
        self._check_tallies(names)
        if by and len(rows) > MAX_SORTED:
            raise TooMany(len(rows), MAX_SORTED)
        rows.sort(key=lambda row: row[0].split("#")[by] if by else row[0], reverse=newest_first)
        return Listing(tuple(from_item(kind, item) for _, item in rows[offset : offset + limit]), len(rows))

    def page_of(self, kind, owner, since, until, *, offset, limit, newest_first=True, facet=None):
        rows = self._rows("owner", ["#".join(owner)], since, until)
        rows = sorted(
            (r for r in rows if facet in (None, r[0].split("#")[1])), key=lambda r: r[0], reverse=newest_first
        )
        return Listing(tuple(from_item(kind, item) for _, item in rows[offset : offset + limit]), len(rows))

    def _rows(self, index, names, since, until):
        return [
            (item[f"{index}_sk"]["S"], item)
            for item in list(self.items.values())
            if item.get(f"{index}_pk", {}).get("S") in names and since <= int(item[f"{index}_sk"]["S"][:12]) < until
        ]

    def _check_tallies(self, names):
        """What the counters say is what is there: every list that a test looks at proves it."""
        for name in names:
            base, _, facet = name.rpartition("#")
            counted = sum(
                number
                for (pk, _, attribute), number in self.tallies.items()
                if pk == tallies.tally_pk(base) and attribute.rpartition("_")[0] == facet
            )
            labelled = [json.loads(item["doc"]["S"]).get("counted_as") for item in self.items.values()]
            assert counted == sum(label is not None and label.startswith(f"{name}@") for label in labelled), name

    def list(self, kind, parts, *, limit=100, cursor=None, newest_first=False):
        return self._short("owner", kind, "#".join(parts), limit, cursor, newest_first)

    def alarms(self, kind, merchant_id, *, limit=100, cursor=None):
        return self._short("alarm", kind, alarm_list(merchant_id, KINDS[kind].name), limit, cursor, newest_first=True)

    def _short(self, index, kind, name, limit, cursor, newest_first):
        rows = [
            (item[f"{index}_sk"]["S"], item)
            for item in list(self.items.values())
            if item.get(f"{index}_pk", {}).get("S") == name
        ]
        rows.sort(key=lambda row: row[0], reverse=newest_first)
        if cursor:
            rows = [row for row in rows if (row[0] < cursor if newest_first else row[0] > cursor)]
        page = rows[:limit]
        following = page[-1][0] if len(rows) > limit else None
        return Page(tuple(from_item(kind, item) for _, item in page), following)

    def texts(self) -> str:
        """Everything stored, as one text: for looking for what must not be there."""
        return json.dumps(list(self.items.values()), ensure_ascii=False)
