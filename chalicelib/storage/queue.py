"""Work handed over to SQS, to be delivered at its time.

Payments, webhooks, and webhooks to slow receivers have a queue each, so that a slow merchant URL delays no charge and
nobody else's webhook.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.ports import QueueUnavailable, Task, TaskKind

MAX_DELAY = 900
_BATCH = 10


class SqsQueue:
    """ports.Queue. queue_urls: by kind of task. make_client: called at the first use."""

    def __init__(self, make_client: Callable[[], Any], queue_urls: Mapping[TaskKind, str]) -> None:
        self._make_client = make_client
        self._queue_urls = queue_urls
        self._client: Any = None

    def put(self, tasks: Sequence[Task], now: datetime) -> None:
        if self._client is None:
            self._client = self._make_client()
        for url in sorted({self._queue_urls[task.kind] for task in tasks}):
            mine = [task for task in tasks if self._queue_urls[task.kind] == url]
            for start in range(0, len(mine), _BATCH):
                self._send(url, mine[start : start + _BATCH], now)

    def _send(self, url: str, tasks: Sequence[Task], now: datetime) -> None:
        entries = [
            {"Id": str(n), "MessageBody": to_message(task), "DelaySeconds": _delay(task, now)}
            for n, task in enumerate(tasks)
        ]
        try:
            reply = self._client.send_message_batch(QueueUrl=url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailable(type(error).__name__) from error
        if reply.get("Failed"):
            raise QueueUnavailable(f"{len(reply['Failed'])} of {len(entries)}: {reply['Failed'][0].get('Code')}")


def to_message(task: Task) -> str:
    """Pointers only: no amount, no name, no card."""
    return json.dumps({"kind": task.kind, "parts": task.parts, "due_at": task.due_at.timestamp()})


def from_message(body: str) -> Task:
    message = json.loads(body)
    due_at = datetime.fromtimestamp(message["due_at"], UTC)
    return Task(TaskKind(message["kind"]), tuple(message["parts"]), due_at)


def _delay(task: Task, now: datetime) -> int:
    """Whole seconds, rounded down: the worker waits out the fraction, so work starts at the second, not after it."""
    ahead = math.floor((task.due_at - now).total_seconds())
    return max(0, min(ahead, MAX_DELAY))
