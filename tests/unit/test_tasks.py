"""Queue batches: all messages at the same time, and only those that failed are repeated."""

import threading
from datetime import UTC, datetime

from chalicelib import container
from chalicelib.ports import Task, TaskKind
from chalicelib.storage.queue import to_message


class Event:
    def __init__(self, tasks):
        self._records = [{"messageId": f"m{n}", "body": task} for n, task in enumerate(tasks)]

    def to_dict(self):
        return {"Records": self._records}


def test_a_batch_is_worked_off_side_by_side_and_failures_are_named(monkeypatch):
    from chalicelib.api import tasks
    from chalicelib.usecases import timer

    together = threading.Barrier(3, timeout=10)

    def work(_deps, task):
        together.wait()  # breaks unless all three are at work at once
        if task.parts[1] == "bad":
            raise RuntimeError("no")

    monkeypatch.setattr(timer, "work", work)
    container.install(object())
    now = datetime(2026, 11, 23, tzinfo=UTC)
    bodies = [to_message(Task(TaskKind.NOTICE, ("imp1", name), now)) for name in ("a", "bad", "c")]
    assert tasks.work(Event(bodies)) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert tasks.work(Event(["not json"])) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    container.install(None)
