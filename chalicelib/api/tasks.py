"""The edge for events that are not HTTP: queue messages and the minute rule."""

import logging
from typing import Any

from chalicelib import container
from chalicelib.api import load_all
from chalicelib.storage import items, queue
from chalicelib.usecases import timer

log = logging.getLogger(__name__)


def warm() -> None:
    """Load and build everything now. For Lambda's init phase, which has a whole CPU; a request has its share of one."""
    load_all()
    container.get().gateways.specs()


def sweep() -> None:
    swept = timer.sweep(container.get(), range(items.DUE_SHARDS))
    log.info("swept", extra={"handed_over": swept.handed_over})


def work(event: Any) -> dict[str, Any]:
    """Do each message's task; those that raise are reported, so that SQS delivers them again and no others."""
    failures = []
    for record in event.to_dict()["Records"]:
        try:
            timer.work(container.get(), queue.from_message(record["body"]))
        except Exception:  # whatever went wrong with one message, the others must not be repeated for it
            log.exception("task failed")
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
