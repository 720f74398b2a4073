"""ports.Store in a dictionary, with the same keys, the same JSON and the same conditions as the table.

It passes the same contract suite as DynamoStore, so what is tested on it holds there.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chalicelib.ports import Conflict, Deleted, DueItem, Listing, Page, Ref, TooMany
from chalicelib.storage import tallies
from chalicelib.storage.items import KINDS, alarm_list, from_item, key_of, ref_list, ref_of, to_item, whole_list
from chalicelib.storage.lists import MAX_SORTED

_COUNTED_AS = re.compile(r'"counted_as":"([^"]+)"')
"""In a document. A quote inside of a text has a backslash before it, so no text looks like this."""


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
            changes, additions, _ = tallies.count(changes, 100 - len(changes))
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
        self._check_tallies()
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

    def hourly(self, lists, since, until):
        names = ["#".join(parts) for parts in lists]
        self._check_tallies()
        hours = Counter(int(sort[:12]) // 3600 * 3600 for sort, _ in self._rows("list", names, since, until))
        return dict(sorted(hours.items()))

    def counters(self, parts, low="", high=""):
        self._check_tallies()
        found = {}
        for (pk, slot, attribute), number in list(self.tallies.items()):
            if pk == "#".join(parts) and (not high or low <= slot <= high):
                found.setdefault(slot, Counter())[attribute] += number
        return tallies.without_zeros(found)

    def _check_tallies(self):
        """What the counters say is what is there: everything that a test counts proves it."""
        counted: Counter[tuple[str, str, str]] = Counter()
        with self._lock:
            for item in self.items.values():
                for label in _COUNTED_AS.findall(item["doc"]["S"]):
                    counted.update(tallies.places(label))
            wrong = {place for place in counted.keys() | self.tallies.keys() if counted[place] != self.tallies[place]}
        assert not wrong, wrong

    def list(self, kind, parts, *, limit=100, cursor=None, newest_first=False):
        return self._short("owner", kind, "#".join(parts), limit, cursor, newest_first)

    def alarms(self, kind, merchant_id, *, limit=100, cursor=None):
        return self._short("alarm", kind, alarm_list(merchant_id, KINDS[kind].name), limit, cursor, newest_first=True)

    def newest(self, kind, merchant_id, *, limit=100, cursor=None):
        return self._short("list", kind, whole_list(merchant_id, KINDS[kind].name), limit, cursor, newest_first=True)

    def by_ref(self, kind, merchant_id, ref, *, limit=20):
        name = ref_list(merchant_id, ref)
        return self._short("ref", kind, name, limit, None, newest_first=False).items if name else ()

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
