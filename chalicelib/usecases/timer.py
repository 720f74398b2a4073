"""The minute rule: find what is due, or soon will be, and hand it to the queues to be started at its second.

Each run covers what lies between the watermark of the run before and now + horizon, plus everything overdue: items
whose message was lost, and claims whose owner died. Handing something over twice is harmless, since the work claims
before it acts; so the watermark may be written last, and a run that dies is simply repeated.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.timer import Watermark
from chalicelib.ports import Conflict, Deps, DueItem, Ref, Task, TaskKind
from chalicelib.usecases import health, notifying, schedules, settling
from chalicelib.usecases.parallel import at_once

log = logging.getLogger(__name__)

OVERLAP = timedelta(seconds=20)
"""How far a run looks back behind the watermark: the index may trail the table."""
BATCH = 100


@dataclass(frozen=True, slots=True)
class Sweep:
    handed_over: int


def sweep(deps: Deps, shards: Sequence[int]) -> Sweep:
    """One run over all shards, at the same time. Costs grow with what is due, never with what is stored."""
    now = deps.clock.now()
    watermark = deps.store.load(Ref(Watermark, ())) or Watermark(None)
    until = now + deps.timing.horizon
    ahead_from = now - deps.timing.overdue_after
    if watermark.swept_until:
        ahead_from = max(ahead_from, min(watermark.swept_until, until) - OVERLAP)
    counts = at_once(lambda shard: _sweep_shard(deps, shard, now, ahead_from, until), shards)
    try:
        deps.store.commit(replace(watermark, swept_until=until))
    except Conflict:
        log.info("another sweep ran at the same time")
    return Sweep(sum(counts))


def _sweep_shard(deps: Deps, shard: int, now: datetime, ahead_from: datetime, until: datetime) -> int:
    """Overdue items first: they are the ones that nobody else will look at."""
    overdue = deps.store.due(shard, None, now - deps.timing.overdue_after)
    count = _hand_over(deps, (item for item in overdue if _worth_repeating(now - item.due_at)))
    return count + _hand_over(deps, deps.store.due(shard, ahead_from, until))


def _worth_repeating(overdue: timedelta) -> bool:
    """In the first minute, the second, the fourth, the eighth...: a backlog must not be fed with copies of itself."""
    minutes = int(overdue.total_seconds() // 60)
    return minutes & (minutes - 1) == 0


def _hand_over(deps: Deps, items: Iterable[DueItem]) -> int:
    count = 0
    for batch in _batched(task for item in items if (task := _task(item))):
        deps.queue.put(batch, deps.clock.now())
        count += len(batch)
    return count


def _task(item: DueItem) -> Task | None:
    """None for a kind that only a newer version knows: it must not take the others of its batch along."""
    try:
        return Task(TaskKind(item.kind), item.parts, item.due_at)
    except ValueError:
        log.error("nothing is known of a due %s", item.kind)  # noqa: TRY400 - where does not matter
        return None


def _batched(tasks: Iterator[Task]) -> Iterator[list[Task]]:
    batch: list[Task] = []
    for task in tasks:
        batch.append(task)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def work(deps: Deps, task: Task) -> None:
    """Do one task that a queue delivered. Raises if it has to be delivered again."""
    match task.kind:
        case TaskKind.SCHEDULE:
            schedules.run_due(deps, *task.parts)
        case TaskKind.PAYMENT:
            _wait(deps, task)
            settling.settle(deps, *task.parts)
        case TaskKind.NOTICE | TaskKind.SLOW_NOTICE:
            _wait(deps, task)
            notifying.deliver(deps, *task.parts, slow_lane=task.kind is TaskKind.SLOW_NOTICE)
        case TaskKind.BOOKING:
            schedules.abort_overdue(deps, *task.parts)
        case TaskKind.HEALTH:
            _wait(deps, task)
            health.probe(deps, *task.parts)


def _wait(deps: Deps, task: Task) -> None:
    """Queues delay in whole seconds, rounded down: wait out the fraction."""
    ahead = (task.due_at - deps.clock.now()).total_seconds()
    if 0 < ahead <= schedules.EARLY.total_seconds():
        deps.clock.sleep(ahead)
