"""AWS on one machine, for trying things out: moto's server with DynamoDB, SQS, KMS, EventBridge and the rest.

    python -m infra.local_aws --port 5000 [--data DIR]

It takes any credentials and keeps everything in memory, except the KMS key, which --data keeps in a file: what was
sealed under it opens again after a restart, when the table itself lives in DynamoDB Local. The key is there from the
start, under the name `alias/smart-routing-local`.

moto is a model made for tests, where one thread talks to small tables. Served to several processes it needs five
changes, each below with its reason. They reach into moto's insides, so they are for exactly one version of it.
"""

import argparse
import base64
import copy
import inspect
import json
import logging
import os
import secrets
import signal
import sys
import threading
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import moto
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb import models as dynamodb
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler
from moto.kms.models import kms_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import Queue
from werkzeug.serving import BaseWSGIServer, make_server

from infra.local_names import KEY_ALIAS, REGION

MOTO = "5.2.5"
KEY_FILE = "kms-key.json"


# --- moto, made fit for a service ----------------------------------------------------------------------------------


@cache
def patch() -> None:
    """Apply the changes, once. Raises RuntimeError for any other moto than the one they were made for."""
    if moto.__version__ != MOTO:
        raise RuntimeError(
            f"infra/local_aws.py changes the insides of moto {MOTO}, and this is {moto.__version__}. Compare "
            "transact_write_items, Table.query, Table.all_items, DynamoHandler.call_action, and SQS' "
            "delete_message and wait_for_messages, then raise the number"
        )
    _one_call_at_a_time()
    _undo_items_instead_of_copying_tables()
    _look_at_an_index_only()
    _lose_no_message()
    _deliver_delayed_messages_in_time()


def _one_call_at_a_time() -> None:
    """moto checks a condition and writes in two steps, and walks over dicts that other threads change.

    Without a lock two writers can both find their condition true: two charges for one order, which is exactly what
    the conditions are there to prevent. Python runs one thread at a time anyway, so the lock costs next to nothing.
    """
    lock = threading.Lock()
    call_action = DynamoHandler.call_action

    def locked(self: DynamoHandler) -> Any:
        with lock:
            return call_action(self)

    DynamoHandler.call_action = locked  # type: ignore[method-assign]


def _undo_items_instead_of_copying_tables() -> None:
    """moto prepares for a rollback by copying every table a transaction touches, whole, at every transaction.

    Here `deepcopy` hands a table back as it is, which turns moto's own rollback into nothing, and the items that the
    transaction names are put back one by one if it fails.
    """
    transact = dynamodb.DynamoDBBackend.transact_write_items

    def deepcopy(value: Any) -> Any:
        return value if isinstance(value, Table) else copy.deepcopy(value)

    def transact_write_items(self: dynamodb.DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        undo = [_undo(self, *entry) for item in transact_items for entry in item.items()]
        try:
            transact(self, transact_items)
        except Exception:  # whatever made it fail, nothing of it may stay; the error goes on
            for put_back in undo:
                put_back()
            raise

    dynamodb.copy = SimpleNamespace(copy=copy.copy, deepcopy=deepcopy)  # type: ignore[assignment, attr-defined]
    dynamodb.DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[method-assign]


def _undo(backend: dynamodb.DynamoDBBackend, kind: str, operation: dict[str, Any]) -> Callable[[], None]:
    """What puts one item back to what it is now. Malformed operations are moto's to refuse, before they act."""
    table = backend.tables.get(operation.get("TableName", ""))
    where = operation.get("Item" if kind == "Put" else "Key", {})
    if table is None or table.hash_key_attr not in where:
        return lambda: None
    # An update changes the stored item in place, so a reference to it would not do.
    hash_key = DynamoType(where[table.hash_key_attr])
    if table.range_key_attr is None:
        return _restoring(table.items, hash_key)
    if table.range_key_attr not in where:
        return lambda: None
    return _restoring(table.items[hash_key], DynamoType(where[table.range_key_attr]))


def _restoring(items: dict[Any, Any], key: Any) -> Callable[[], None]:
    before = copy.deepcopy(items.get(key))

    def restore() -> None:
        if before is None:
            items.pop(key, None)
        else:
            items[key] = before

    return restore


def _look_at_an_index_only() -> None:
    """moto sorts the whole table for every query, of an index too. The sweep alone asks 32 times a minute.

    What a query then filters by its hash key is filtered here first. (Safe: calls come one at a time.)
    """
    query, all_items = Table.query, Table.all_items
    arguments = inspect.signature(query)
    wanted: list[tuple[str, Any]] = []

    def query_part(self: Table, *args: Any, **kwargs: Any) -> Any:
        given = arguments.bind(self, *args, **kwargs).arguments
        wanted[:] = given.get("hash_key_conditions") or [] if given.get("index_name") else []
        try:
            return query(self, *args, **kwargs)
        finally:
            wanted.clear()

    def items_wanted(self: Table) -> list[Any]:
        if not wanted or self.range_key_attr is None:
            return all_items(self)
        items = [item for partition in self.items.values() for item in partition.values()]
        for name, value in wanted:
            items = [item for item in items if name in item.attrs and item.attrs[name] == value]
        return items

    Table.query = query_part  # type: ignore[method-assign]
    Table.all_items = items_wanted  # type: ignore[method-assign]


def _lose_no_message() -> None:
    """moto deletes a message by copying the others into a new list: one that arrives meanwhile is lost."""
    delete_message = Queue.delete_message

    def locked(self: Queue, receipt_handle: str) -> None:
        with self._messages_lock:  # what add_message holds
            delete_message(self, receipt_handle)

    Queue.delete_message = locked  # type: ignore[method-assign]


def _deliver_delayed_messages_in_time() -> None:
    """moto's long polling looks once a second for messages whose delay is over; payments start at their second."""

    def wait_for_messages(self: Queue, timeout: float) -> None:
        with self._messages_lock:
            self._messages_lock.wait_for(lambda: self.messages, timeout=min(timeout, 0.1))

    Queue.wait_for_messages = wait_for_messages  # type: ignore[method-assign]


# --- the key -------------------------------------------------------------------------------------------------------


def make_key(data: Path | None) -> None:
    """Create the KMS key, the one of the last run if its folder is given and has one."""
    saved = _saved_key(data) if data else _new_key()
    backend = kms_backends[DEFAULT_ACCOUNT_ID][REGION]
    key = backend.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "smart-routing local", None)
    del backend.keys[key.id]
    key.id = saved["id"]
    key.arn = f"{key.arn.rpartition('/')[0]}/{key.id}"
    key.key_material = base64.b64decode(saved["material"])
    backend.keys[key.id] = key
    backend.create_alias(key.id, KEY_ALIAS)


def _saved_key(data: Path) -> dict[str, str]:
    file = data / KEY_FILE
    if file.exists():
        saved: dict[str, str] = json.loads(file.read_text())
        return saved
    data.mkdir(parents=True, exist_ok=True)
    saved = _new_key()
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(saved))
    fresh.replace(file)
    return saved


def _new_key() -> dict[str, str]:
    return {"id": str(uuid.uuid4()), "material": base64.b64encode(secrets.token_bytes(32)).decode()}


# --- the server ----------------------------------------------------------------------------------------------------


class _Application(DomainDispatcherApplication):
    @cache  # noqa: B019 - one application per process; moto lists its own folder at every request
    def get_backend_for_host(self, host: str | None) -> Any:
        return super().get_backend_for_host(host)


class _Handler(MotoRequestHandler):
    wbufsize = -1
    """Headers and body in one packet: two cost the 40 ms of a delayed acknowledgement."""
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        """Silent: a line per call would bury what matters."""


def make_aws(port: int = 0, data: Path | None = None, fd: int | None = None) -> BaseWSGIServer:
    """A server, not yet serving. fd: a socket that listens already, instead of a port."""
    patch()
    make_key(data)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application: Any = _Application(create_backend_app)
    return make_server("127.0.0.1", port, application, threaded=True, request_handler=_Handler, fd=fd)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local_aws", description="Run AWS on this machine.")
    parser.add_argument("--port", type=int, default=5000, help="0: any free one")
    parser.add_argument("--data", type=Path, help="keep the KMS key in this folder")
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server = make_aws(chosen.port, chosen.data, chosen.fd)
    print(json.dumps({"aws": f"http://127.0.0.1:{server.port}"}), flush=True)
    server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
