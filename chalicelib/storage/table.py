"""The one DynamoDB table: reads that see every write, and writes that happen only if nobody wrote in between.

Races are settled here and only here: each write of `commit` carries the condition that the stored version is
still the one its caller read, and several writes go in one transaction.
"""

import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.ports import Conflict, Deleted, DueItem, Page, Ref, StoreUnavailable
from chalicelib.storage.items import from_item, key_of, ref_of, to_item

_BATCH = 100
_TRIES = 5
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Why a transaction may be cancelled that deserves another try. The SDK does not repeat these itself."""


class DynamoStore:
    """ports.Store over a table. `client`: a boto3 DynamoDB client."""

    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def load(self, *refs: Ref[Any]) -> Any:
        if len(refs) == 1:
            with _translated():
                reply = self._client.get_item(TableName=self._table, Key=_key(refs[0]), ConsistentRead=True)
            return from_item(refs[0].kind, reply["Item"]) if "Item" in reply else None
        return tuple(self.load_many(refs))

    def load_many(self, refs: Sequence[Ref[Any]]) -> list[Any]:
        found: dict[tuple[str, str], Any] = {}
        distinct = list({key_of(ref): ref for ref in refs}.values())
        for start in range(0, len(distinct), _BATCH):
            self._batch_get(distinct[start : start + _BATCH], found)
        return [
            from_item(ref.kind, found[key_of(ref)]) if key_of(ref) in found else None
            for ref in refs
        ]  # fmt: skip

    def _batch_get(self, refs: Sequence[Ref[Any]], found: dict[tuple[str, str], Any]) -> None:
        keys = [_key(ref) for ref in refs]
        for _ in _tries():
            request = {self._table: {"Keys": keys, "ConsistentRead": True}}
            with _translated():
                reply = self._client.batch_get_item(RequestItems=request)
            for item in reply["Responses"].get(self._table, []):
                found[item["pk"]["S"], item["sk"]["S"]] = item
            keys = reply.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not keys:
                return
        raise StoreUnavailable("keys left unread: capacity exhausted")

    def commit(self, *changes: Any) -> tuple[Any, ...]:
        writes = [self._write(change) for change in changes]
        with _translated():
            if len(writes) == 1:
                self._write_one(changes[0], writes[0])
            else:
                self._write_all(changes, writes)
        return tuple(c if isinstance(c, Deleted) else replace(c, version=c.version + 1) for c in changes)

    def _write(self, change: Any) -> dict[str, Any]:
        entity = change.entity if isinstance(change, Deleted) else change
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if entity.version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"N": str(entity.version)}},
            }
        if isinstance(change, Deleted):
            return {"Delete": {"TableName": self._table, "Key": _key(ref_of(entity)), **condition}}
        item = to_item(entity, entity.version + 1)
        return {"Put": {"TableName": self._table, "Item": item, **condition}}

    def _write_one(self, change: Any, write: dict[str, Any]) -> None:
        operation = self._client.put_item if "Put" in write else self._client.delete_item
        for last in _tries():
            try:
                operation(**(write.get("Put") or write["Delete"]))
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ConditionalCheckFailedException":
                    self._check_not_ours((change,), error)
                elif code != "TransactionConflictException":
                    raise
                elif last:
                    raise Conflict(_entity(change)) from error
                else:
                    continue  # a transaction holds the item; this write was not carried out
            return

    def _write_all(self, changes: Sequence[Any], writes: list[dict[str, Any]]) -> None:
        for last in _tries():
            try:
                self._client.transact_write_items(TransactItems=writes)
            except ClientError as error:
                reasons = [r.get("Code") for r in error.response.get("CancellationReasons", [])]
                if "ConditionalCheckFailed" in reasons:
                    failed = changes[reasons.index("ConditionalCheckFailed")]
                    self._check_not_ours(changes, error, failed)
                elif not _PASSING.intersection(reasons):
                    raise
                elif not last:
                    continue  # a cancelled transaction was not carried out
                elif "TransactionConflict" in reasons:
                    raise Conflict(_entity(changes[reasons.index("TransactionConflict")])) from error
                else:
                    raise
            return

    def _check_not_ours(self, changes: Sequence[Any], error: ClientError, failed: Any = None) -> None:
        """A condition failed: raise Conflict, unless the write that came first is this very one.

        botocore repeats a request whose answer was lost; the first may have been carried out, and the repeat
        then fails on its own work.
        """
        refs = [ref_of(_entity(c)) for c in changes]
        for change, stored in zip(changes, self.load_many(refs), strict=True):
            wanted = None if isinstance(change, Deleted) else replace(change, version=change.version + 1)
            if stored != wanted:
                raise Conflict(_entity(failed if failed is not None else changes[0])) from error

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

    def list(
        self, kind: type[Any], parts: tuple[str, ...], *, limit: int = 100, cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[Any]:  # fmt: skip
        start = {"ExclusiveStartKey": json.loads(cursor)} if cursor else {}
        with _translated():
            reply = self._client.query(
                TableName=self._table,
                IndexName="list",
                KeyConditionExpression="list_pk = :list",
                ExpressionAttributeValues={":list": {"S": "#".join(parts)}},
                ScanIndexForward=not newest_first,
                Limit=limit,
                **start,
            )
        last = reply.get("LastEvaluatedKey")
        items = tuple(from_item(kind, item) for item in reply["Items"])
        return Page(items, json.dumps(last) if last else None)


def _tries() -> Iterator[bool]:
    """One item per try, True for the last, with growing, random pauses between them: at most 0.4 s in all."""
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
