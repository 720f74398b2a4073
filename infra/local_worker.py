"""What AWS does beside the API: polls the three queues, and fires the minute rule.

    python -m infra.local_worker

Calls the entry points of app.py with events of the shape that Lambda hands over, and deletes the messages they have
not reported as failed.
"""

import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import boto3
from botocore.config import Config
from chalice.local import LambdaContext

from infra.local_api import quiet_pools
from infra.local_names import ACCOUNT, REGION

log = logging.getLogger(__name__)

PAYMENT_WORKERS = 16
NOTICE_WORKERS = 64
SLOW_NOTICE_WORKERS = 16
"""Webhooks only wait: threads cost them little, and the slow lane shall keep some waiting."""
SWEEP_EVERY = 60.0
LONG_POLL = 1
BATCH = 10
GRACE = 3.0
"""Seconds that running work has to end when the worker stops. Work cut off is found again by the timer."""

Entry = Callable[[Any, Any], Any]


class QueuePoller:
    """One thread that receives, and up to `workers` that work. A message is received once somebody is free for it."""

    def __init__(self, client: Any, url: str, entry: Entry, workers: int, stopping: threading.Event) -> None:
        self._client = client
        self._url = url
        self._entry = entry
        self._free = threading.Semaphore(workers)
        self._at_work: set[threading.Thread] = set()
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.is_set():
            slots = self._take_slots()
            try:
                messages = self._receive(slots)
            except Exception:  # the queue may come back
                log.exception("cannot receive from %s", self._url)
                messages = []
                self._stopping.wait(1)
            self._give_back(slots - len(messages))
            for message in messages:
                worker = threading.Thread(target=self._work, args=(message,), daemon=True)
                self._at_work.add(worker)
                worker.start()

    def wait_until_idle(self, give_up_at: float) -> None:
        for worker in list(self._at_work):
            worker.join(timeout=max(0.0, give_up_at - time.monotonic()))

    def _take_slots(self) -> int:
        self._free.acquire()
        taken = 1
        while taken < BATCH and self._free.acquire(blocking=False):
            taken += 1
        return taken

    def _give_back(self, slots: int) -> None:
        if slots:
            self._free.release(slots)

    def _receive(self, limit: int) -> list[dict[str, Any]]:
        reply = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=limit,
            WaitTimeSeconds=LONG_POLL,
            MessageSystemAttributeNames=["All"],
        )
        messages: list[dict[str, Any]] = reply.get("Messages", [])
        return messages

    def _work(self, message: dict[str, Any]) -> None:
        try:
            answer = self._entry(queue_event(self._url, message), context("worker"))
            if not failed(answer):
                self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        except Exception:  # the message is delivered again, as SQS would
            log.exception("a message of %s failed", self._url)
        finally:
            self._at_work.discard(threading.current_thread())
            self._free.release()


def failed(answer: Any) -> bool:
    return bool((answer or {}).get("batchItemFailures"))


def queue_event(url: str, message: dict[str, Any]) -> dict[str, Any]:
    """A batch of one, as SQS hands it to Lambda."""
    account, name = url.rsplit("/", 2)[-2:]
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {},
        "md5OfBody": message.get("MD5OfBody", ""),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{account}:{name}",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


def schedule_event(now: datetime) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/smart-routing-local-sweep-event"],
        "detail": {},
    }


def context(function: str) -> Any:
    return LambdaContext(f"smart-routing-local-{function}", 1024, max_runtime_ms=90_000)


def fire_minute_rule(sweep: Entry, stopping: threading.Event) -> None:
    """At the start, and every minute."""
    while not stopping.is_set():
        started = time.monotonic()
        try:
            sweep(schedule_event(datetime.now(UTC)), context("sweep"))
        except Exception:  # the next minute's run repeats it, as EventBridge would
            log.exception("the sweep failed")
        stopping.wait(max(0.0, started + SWEEP_EVERY - time.monotonic()))


def main() -> None:
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    quiet_pools()
    import app  # noqa: PLC0415 - reads the environment
    from chalicelib.api import load_all  # noqa: PLC0415

    load_all()
    queues = (
        ("PAYMENTS_QUEUE_URL", app.run_payments, PAYMENT_WORKERS),
        ("NOTICES_QUEUE_URL", app.deliver_notices, NOTICE_WORKERS),
        ("SLOW_NOTICES_QUEUE_URL", app.deliver_slow_notices, SLOW_NOTICE_WORKERS),
    )
    connections = sum(workers + 1 for _, _, workers in queues)
    client = boto3.client("sqs", config=Config(max_pool_connections=connections))
    pollers = [QueuePoller(client, os.environ[url], entry, workers, stopping) for url, entry, workers in queues]
    for poller in pollers:
        threading.Thread(target=poller.run, daemon=True).start()
    threading.Thread(target=fire_minute_rule, args=(app.sweep, stopping), daemon=True).start()
    stopping.wait()
    give_up_at = time.monotonic() + GRACE
    for poller in pollers:
        poller.wait_until_idle(give_up_at)
    sys.exit(0)


if __name__ == "__main__":
    main()
