"""The edge for events that are not HTTP: queue messages and the minute rule."""

import logging
from typing import Any

from chalicelib import container
from chalicelib.api import load_all
from chalicelib.storage import items, queue
from chalicelib.usecases import timer
from chalicelib.usecases.parallel import at_once

log = logging.getLogger(__name__)


def warm() -> None:
    """Load and build everything now. For Lambda's init phase, which has a whole CPU; a request has its share of one."""
    load_all()
    container.get().gateways.specs()


def sweep() -> None:
    swept = timer.sweep(container.get(), range(items.DUE_SHARDS))
    log.info("swept", extra={"handed_over": swept.handed_over})


def work(event: Any) -> dict[str, Any]:
    """Do all messages' tasks at the same time, so that none waits behind a slow one.

    Those that raise are reported, so that SQS delivers them again and no others.
    """
    records = event.to_dict()["Records"]
    done = at_once(_do, records)
    failures = [record["messageId"] for record, ok in zip(records, done, strict=True) if not ok]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def _do(record: dict[str, Any]) -> bool:
    try:
        timer.work(container.get(), queue.from_message(record["body"]))
    except Exception:  # whatever went wrong with one message, the others must not be repeated for it
        log.exception("task failed")
        return False
    return True
