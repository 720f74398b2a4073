"""The one DynamoDB table: reads that see every write, and writes that happen only if nobody wrote in between.

Races are settled here and only here: each write of `commit` carries the condition that the stored version is
still the one its caller read, and several writes go in one transaction.
"""

import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.ports import Conflict, Deleted, DueItem, Listing, Page, Ref, StoreUnavailable
from chalicelib.storage import tallies
from chalicelib.storage.items import KINDS, alarm_list, from_item, key_of, ref_list, ref_of, to_item, whole_list
from chalicelib.storage.lists import Lists

_BATCH = 100
_TRANSACTION = 100
"""As many items as one read or one write may name."""
_TRIES = 5
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Why a transaction may be cancelled that deserves another try. The SDK does not repeat these itself."""


class DynamoStore:
    """ports.Store over a table. `client`: a boto3 DynamoDB client."""

    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name
        self._lists = Lists(client, table_name, self._read)

    def load(self, *refs: Ref[Any]) -> Any:
        if len(refs) == 1:
            with _translated():
                reply = self._client.get_item(TableName=self._table, Key=_key(refs[0]), ConsistentRead=True)
            return from_item(refs[0].kind, reply["Item"]) if "Item" in reply else None
        return tuple(self.load_many(refs))

    def load_many(self, refs: Sequence[Ref[Any]]) -> list[Any]:
        with _translated():
            found = self._read(map(key_of, refs))
        return [
            from_item(ref.kind, found[key_of(ref)]) if key_of(ref) in found else None
            for ref in refs
        ]  # fmt: skip

    def _read(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Any]:
        found: dict[tuple[str, str], Any] = {}
        distinct = list(dict.fromkeys(keys))
        for start in range(0, len(distinct), _BATCH):
            self._batch_get(distinct[start : start + _BATCH], found)
        return found

    def _batch_get(self, wanted: Sequence[tuple[str, str]], found: dict[tuple[str, str], Any]) -> None:
        keys = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in wanted]
        for _ in _tries():
            request = {self._table: {"Keys": keys, "ConsistentRead": True}}
            reply = self._client.batch_get_item(RequestItems=request)
            for item in reply["Responses"].get(self._table, []):
                found[item["pk"]["S"], item["sk"]["S"]] = item
            keys = reply.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not keys:
                return
        raise StoreUnavailable("keys left unread: capacity exhausted")

    def commit(self, *changes: Any) -> tuple[Any, ...]:
        with _translated():
            stored, left_out = self._commit(changes, secrets.token_hex(8))
            if left_out:
                counted = self._count([stored[n] for n in left_out])
                for n, entity in zip(left_out, counted, strict=True):
                    stored[n] = entity
            return tuple(stored)

    def _count(self, entities: Sequence[Any]) -> Sequence[Any]:
        """Count by a write of its own what had no room, or met a crowd. The entities as they are stored after it.

        Never raises: their next write makes up for it. Of a write whose answer was lost, the table says whether it was
        carried out; whoever went on with the version before would be told of a conflict with nobody.
        """
        written_by = secrets.token_hex(8)
        try:
            return self._commit(entities, written_by)[0]
        except Conflict:
            return entities
        except (ClientError, BotoCoreError, StoreUnavailable):
            with suppress(ClientError, BotoCoreError, StoreUnavailable):
                keys = [key_of(ref_of(entity)) for entity in entities]
                found = self._read(keys)
                if all(key in found and found[key]["written_by"]["S"] == written_by for key in keys):
                    return [from_item(type(e), found[key]) for e, key in zip(entities, keys, strict=True)]
            return entities

    def _commit(self, changes: Sequence[Any], written_by: str) -> tuple[list[Any], list[int]]:
        """The changes as stored, and the positions of those that the counters do not know yet.

        written_by: this commit's own mark.
        """
        for tries, last in enumerate(_tries()):
            # Counting must never keep money from being written down: the last try goes without, but for deletions.
            room = 0 if last else _TRANSACTION - len(changes)
            counted, additions, left_out = tallies.count(changes, room)
            counting = tallies.updates(self._table, additions, crowded=tries > 0)
            if self._written(counted, counting, written_by, last=last):
                stored = [c if isinstance(c, Deleted) else replace(c, version=c.version + 1) for c in counted]
                return stored, left_out
        raise AssertionError("the last try returns or raises")

    def _written(self, changes: Sequence[Any], counting: list[dict[str, Any]], written_by: str, *, last: bool) -> bool:
        """False if it was not carried out and deserves another try. written_by: this commit's own mark."""
        writes = [self._write(change, written_by) for change in changes] + counting
        try:
            if len(writes) == 1:
                self._write_one(writes[0])
            else:
                self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            reasons = _reasons(error)
            if "ConditionalCheckFailed" in reasons:
                self._check_ours(changes, written_by, error, changes[reasons.index("ConditionalCheckFailed")])
                return True
            if not _PASSING.intersection(reasons):
                raise
            if last and "TransactionConflict" in reasons[: len(changes)]:  # the others are counters
                raise Conflict(_entity(changes[reasons.index("TransactionConflict")])) from error
            if last:
                raise
            return False
        return True

    def _write(self, change: Any, written_by: str) -> dict[str, Any]:
        entity = _entity(change)
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if entity.version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"N": str(entity.version)}},
            }
        if isinstance(change, Deleted):
            return {"Delete": {"TableName": self._table, "Key": _key(ref_of(entity)), **condition}}
        item = to_item(entity, entity.version + 1) | {"written_by": {"S": written_by}}
        return {"Put": {"TableName": self._table, "Item": item, **condition}}

    def _write_one(self, write: dict[str, Any]) -> None:
        if "Put" in write:
            self._client.put_item(**write["Put"])
        else:
            self._client.delete_item(**write["Delete"])

    def _check_ours(self, changes: Sequence[Any], written_by: str, error: ClientError, failed: Any) -> None:
        """A condition failed: raise Conflict, unless the write that came first is this very one.

        botocore repeats a request whose answer was lost; the first may have been carried out, and the repeat then fails
        on its own work. Two may write the same value in the same instant, so the value does not tell whose it is.
        """
        keys = [key_of(ref_of(_entity(change))) for change in changes]
        found = self._read(keys)
        for change, key in zip(changes, keys, strict=True):
            stored = found.get(key)
            mark = stored and stored["written_by"]["S"]
            if mark != (None if isinstance(change, Deleted) else written_by):
                raise Conflict(_entity(failed)) from error

    def due(self, shard: int, after: datetime | None, until: datetime) -> Iterable[DueItem]:
        low = f"{after.timestamp():.3f}" if after else "0"
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at BETWEEN :low AND :high",
            ExpressionAttributeValues={
                ":shard": {"S": f"{shard:02d}"},
                ":low": {"N": low},
                ":high": {"N": f"{until.timestamp():.3f}"},
            },
        )
        with _translated():
            for page in pages:
                for item in page["Items"]:
                    due_at = datetime.fromtimestamp(float(item["due_at"]["N"]), UTC)
                    yield DueItem(item["kind"]["S"], tuple(json.loads(item["parts"]["S"])), due_at)

    def page(
        self, kind: type[Any], lists: Sequence[tuple[str, ...]], since: int, until: int, **wanted: Any
    ) -> Listing[Any]:
        with _translated():
            return self._lists.page(kind, lists, since, until, **wanted)

    def page_of(self, kind: type[Any], owner: tuple[str, ...], since: int, until: int, **wanted: Any) -> Listing[Any]:
        with _translated():
            return self._lists.page_of(kind, owner, since, until, **wanted)

    def list(
        self, kind: type[Any], parts: tuple[str, ...], *, limit: int = 100, cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[Any]:  # fmt: skip
        with _translated():
            return self._lists.short(
                "owner", kind, "#".join(parts), limit=limit, cursor=cursor, newest_first=newest_first
            )

    def alarms(self, kind: type[Any], merchant_id: str, *, limit: int = 100, cursor: str | None = None) -> Page[Any]:
        name = alarm_list(merchant_id, KINDS[kind].name)
        with _translated():
            return self._lists.short("alarm", kind, name, limit=limit, cursor=cursor, newest_first=True)

    def newest(self, kind: type[Any], merchant_id: str, *, limit: int = 100, cursor: str | None = None) -> Page[Any]:
        name = whole_list(merchant_id, KINDS[kind].name)
        with _translated():
            return self._lists.short("list", kind, name, limit=limit, cursor=cursor, newest_first=True)

    def by_ref(self, kind: type[Any], merchant_id: str, ref: str, *, limit: int = 20) -> tuple[Any, ...]:
        name = ref_list(merchant_id, ref)
        if name is None:
            return ()
        with _translated():
            return self._lists.short("ref", kind, name, limit=limit, cursor=None, newest_first=False).items

    def hourly(self, lists: Sequence[tuple[str, ...]], since: int, until: int) -> Mapping[int, int]:
        with _translated():
            return self._lists.hourly(lists, since, until)

    def counters(self, parts: tuple[str, ...], low: str = "", high: str = "") -> Mapping[str, Counter[str]]:
        with _translated():
            return self._lists.counters("#".join(parts), low, high)


def _reasons(error: ClientError) -> list[str | None]:
    """Why a write was not carried out, change by change, in a transaction's words; [] if nobody says."""
    match error.response["Error"]["Code"]:
        case "ConditionalCheckFailedException":
            return ["ConditionalCheckFailed"]
        case "TransactionConflictException":
            return ["TransactionConflict"]
    return [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]


def _tries() -> Iterator[bool]:
    """One item per try, True for the last, with growing, random pauses between them: 0.4 s in all on average."""
    for n in range(_TRIES):
        if n:
            time.sleep(random.uniform(0, 0.025 * 2**n))  # noqa: S311 - only spreads out those who met
        yield n == _TRIES - 1


@contextmanager
def _translated() -> Iterator[None]:
    """The SDK's errors as the port's, so that no use case needs to know the SDK."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StoreUnavailable(str(error)[:300]) from error


def _key(ref: Ref[Any]) -> dict[str, dict[str, str]]:
    pk, sk = key_of(ref)
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _entity(change: Any) -> Any:
    return change.entity if isinstance(change, Deleted) else change
