"""The service under test, from its first day to the moment when nothing is left to do, with its processes dying."""

import logging
import pickle
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from io import StringIO
from typing import Any

from chalicelib import container
from chalicelib.domain.charging import Operation
from chalicelib.domain.merchants import Routing
from chalicelib.domain.payments import Payment
from chalicelib.gateways import paypal_v2
from chalicelib.observability import JsonFormatter
from chalicelib.ports import Ref, Task
from chalicelib.storage.items import shard_of
from chalicelib.usecases import timer
from infra.sandbox.server import Books, Simulator
from tests.chaos.faults import Killed, Tape, taped
from tests.support.api import Api, Page
from tests.support.recovery import Respecified
from tests.support.world import VisibleQueue, World

HOOK = "https://shop.example/hook"
VISIBILITY = timedelta(minutes=9)
"""How long a queue keeps back a message that a worker took and did not finish (infra/template.yaml)."""


RESENT_AFTER = tuple(timedelta(minutes=m) for m in (1, 10, 60, 240))
"""When a gateway repeats a notice that was not taken."""


class Notices(Enum):
    """What becomes of a notice on its way, and how soon it comes."""

    LOST = None
    SENT = timedelta(seconds=1)
    DOUBLED = timedelta(seconds=2)
    LATE = timedelta(hours=3)
    """When what it is about has been settled in another way, or waits for a person."""
    LAST = timedelta(days=4)
    """When that person has been there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """status None: the connection broke, since the process died."""

    status: int | None
    body: Any


class Service:
    """A merchant with a channel at every gateway, and the way its operators and its clock use it."""

    def __init__(self, sandboxes: Mapping[str, Any]) -> None:
        for name, box in sandboxes.items():
            box.simulator.books = Books()
            box.simulator.url = f"http://{name}"  # as `faults.InProcess` knows it
            box.faults.clear()
            box.simulator.later = partial(self._later, box.simulator)
            box.simulator.tell = partial(self._tell, name)
        self.world = World(sandboxes)
        self.world.two_gateways((100, 0))
        self.world.webhook_url(HOOK)
        self.clock = self.world.clock
        self.tape = Tape({}, {})
        self.deps = self.world.deps
        self.api = Api(self.deps, admin_token=self.world.merchant.admin_token, checked=False)
        self.answers: list[Answer] = []
        self.promised: set[tuple[str, str | None]] = set()
        """What the merchant was told to wait for: a payment, or one of its cancels."""
        self.refused: set[str] = set()
        """Payments that came of calls which were answered with a no."""
        self.missing: tuple[Operation, ...] = ()
        """What the gateways of this world cannot do."""
        self.hidden: list[tuple[datetime, Task]] = []
        """Messages that a worker took and did not finish."""
        self.delivered: list[Task] = []
        self.notices = Notices.LOST
        """What becomes of what gateways tell about charges. Nobody may depend on being told, so that they are lost is
        the rule here.
        """
        self.noticed: set[str] = set()
        """What was in the notices that were taken: order ids, among others."""
        self.browser: dict[str, dict[str, Any]] = {}
        """What buyers' tabs remember (tests.chaos.windows)."""
        self.wrong: list[str] = []
        """What was wrong when a person came to look."""
        self.pick: Callable[[list[Task]], Task] = lambda ready: min(ready, key=lambda task: task.due_at)
        """Which of the messages whose time has come is delivered next."""
        self.log = _listen()
        self.use(self.tape)
        self.log_in()

    def use(self, tape: Tape) -> None:
        """From here on every call goes over this tape."""
        self.tape = tape
        deps = taped(self.world, tape)
        self.deps = replace(deps, gateways=Respecified(deps.gateways, self.missing, (), {})) if self.missing else deps
        container.install(self.deps)

    def channel(self, provider: str) -> str:
        return self.world.channels[provider]

    def routing(self) -> Routing:
        return self.world.store.load(Ref(Routing, (self.world.merchant_id,)))

    def in_future(self, **delta: float) -> int:
        """A unix time as V1 takes it."""
        return int((self.clock.now() + timedelta(**delta)).timestamp())

    # what the tests do to it

    def save(self) -> bytes:
        """Everything that a run changes, so that a flow is prepared once and run many times."""
        world = self.world
        return pickle.dumps((
            [world.store.items, world.store.tallies, world.queue.tasks, world.sender.sent, world.sender.replies],
            [self.answers, self.promised, self.refused, self.hidden, self.delivered, self.api.token],
            {
                name: (box.simulator.books, getattr(box.simulator, "visits", {}), box.faults.view())
                for name, box in world.sandboxes.items()
            },
            [world.clock.now(), world.deps.rng.getstate()],
        ))  # fmt: skip

    def restore(self, saved: bytes) -> None:
        world = self.world
        ours, merchants, gateways, (now, rng) = pickle.loads(saved)
        world.store.items, world.store.tallies, world.queue.tasks, world.sender.sent, world.sender.replies = ours
        self.answers, self.promised, self.refused, self.hidden, self.delivered, self.api.token = merchants
        for name, (books, visits, faults) in gateways.items():
            box = world.sandboxes[name]
            box.simulator.books, box.simulator.visits = books, visits
            box.faults.clear()
            for fault in faults:
                box.fail(**fault)
        world.clock.set(now)
        world.deps.rng.setstate(rng)
        world.store.calls.clear()
        self.wrong, self.noticed, self.browser = [], set(), {}
        self.log.truncate(0)
        paypal_v2.TOKENS.__init__()  # a process that has just begun knows none

    def disorder(self, seed: int) -> None:
        """From here on every message comes twice, and in any order."""
        self.pick = random.Random(seed).choice
        self.world.queue = _Twice(self.world.queue.tasks * 2)
        self.world.deps = replace(self.world.deps, queue=self.world.queue)
        self.notices = Notices.LOST if self.notices is Notices.LOST else Notices.DOUBLED
        self.use(self.tape)

    # what merchants do

    def call(self, method: str, path: str, **fields: Any) -> Answer:
        """One request of the merchant's server."""
        before = self._imp_uids()
        self.tape.begin()
        try:
            answer = Answer(*getattr(self.api, method)(path, **fields))
        except Killed:
            answer = Answer(None, {})
            self.tape.dead = False
        self.answers.append(answer)
        self._note(answer, self._imp_uids() - before)
        return answer

    def browse(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Page | None:
        """One request of a buyer's browser; None if the process died. Pages are no answers to the merchant."""
        before = self._imp_uids()
        self.tape.begin()
        try:
            page = self.api.load(method, path, body, {"Authorization": "", **(headers or {})})
        except Killed:
            self.answers.append(Answer(None, {}))
            self.tape.dead = False
            return None
        answer = Answer(page.status, page.content if page.media_type == "application/json" else page.text)
        if answer.status == 500:
            self.answers.append(answer)
        self._note(answer, self._imp_uids() - before)
        return page

    def _imp_uids(self) -> set[str]:
        return {pk.rpartition("#")[2] for pk, sk in self.world.store.items if sk == "payment"}

    def _note(self, answer: Answer, created: set[str]) -> None:
        """Operators get plain values, merchants V1's envelope."""
        if not isinstance(answer.body, dict) or "code" not in answer.body:
            return
        in_doubt = "being confirmed" in (answer.body["message"] or "")
        if in_doubt and answer.body["response"]:
            self._promise(answer.body["response"]["imp_uid"])
        elif answer.status == 200 and answer.body["code"] != 0 and not in_doubt:
            self.refused |= created

    def _promise(self, imp_uid: str) -> None:
        payment = self.world.store.load(Ref(Payment, (self.world.merchant_id, imp_uid)))
        last = payment.cancels[-1].cancel_id if payment.cancels else None
        self.promised.add((imp_uid, last))

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        return self.call("post", path, **fields).body

    def say(self, path: str, **fields: Any) -> None:
        """An operator settles something by hand."""
        answer = self.call("post", path, reason="seen in the gateway's books", **fields)
        if answer.status not in (200, 503, None):
            self.wrong.append(f"{path}: {fields} was answered {answer.status} {answer.body}")

    def log_in(self) -> None:
        """A fresh token, beside the tape."""
        container.install(self.world.deps)
        self.api.login(self.world.merchant)
        container.install(self.deps)

    # what gateways do

    def _later(self, simulator: Simulator, due: float, act: Callable[[], None]) -> None:
        """What a simulator does by itself, when its clock says so."""

        def locked() -> None:
            with simulator.lock:
                act()

        self.tape.later.append((datetime.fromtimestamp(due, self.clock.now().tzinfo), locked))

    def _tell(self, provider: str, fields: dict[str, str]) -> None:
        if self.notices is Notices.LOST:
            return
        notify = partial(self._notify, provider, fields, RESENT_AFTER)
        copies = 2 if self.notices is Notices.DOUBLED else 1
        self.tape.later += [(self.clock.now() + self.notices.value, notify)] * copies

    def _notify(self, provider: str, fields: dict[str, str], pauses: Sequence[timedelta]) -> None:
        answer = self.call("get", f"/notices/{self.world.merchant_id}/{self.channel(provider)}", **fields)
        if (answer.status, answer.body) == (200, "OK"):
            self.noticed |= set(fields.values())
        elif pauses:
            again = partial(self._notify, provider, fields, pauses[1:])
            self.tape.later.append((self.clock.now() + pauses[0], again))

    # what time does

    def deliver(self) -> None:
        """Do every task whose time has come, as queue workers do, and die."""
        while task := self._next_task():
            self.tape.begin()
            try:
                timer.work(self.deps, task)
            except (Exception, Killed):  # not deleted from the queue, so delivered again
                self.tape.dead = False
                self.hidden.append((self.clock.now() + VISIBILITY, task))
            else:
                self.delivered.append(task)

    def _next_task(self) -> Task | None:
        now, queue = self.clock.now(), self.world.queue
        queue.tasks += [task for visible_at, task in self.hidden if visible_at <= now]
        self.hidden = [entry for entry in self.hidden if entry[0] > now]
        ready = [task for task in queue.tasks if task.due_at <= now]
        if not ready:
            return None
        task = self.pick(ready)
        queue.tasks.remove(task)
        return task

    def sweep(self, shards: Any = None) -> None:
        """The minute rule. Shards in which nothing is due would only take time."""
        busy = {shard_of(item["pk"]["S"]) for item in self.world.store.items.values() if "due_at" in item}
        self.tape.begin()
        try:
            timer.sweep(self.deps, shards or sorted(busy) or [0])
        except (Exception, Killed):  # the next minute tries again
            self.tape.dead = False

    def quiet(self, days: float = 12) -> bool:
        """Let the minute rule, the queues and the gateways work until nothing is left to do. False: there always is."""
        end = self.clock.now() + timedelta(days=days)
        while self.clock.now() < end:
            self._carry_out()
            self.deliver()
            upcoming = [task.due_at for task in self.world.queue.tasks] + [at for at, _ in self.hidden]
            upcoming += [at for at, _ in self.tape.later]
            minute = self._next_sweep()
            if not upcoming and minute is None:
                return True
            self.clock.set(max(self.clock.now(), min([*upcoming, *([minute] if minute else [])])))
            if self.clock.now() == minute:
                self.sweep()
        return False

    def _carry_out(self) -> None:
        """What gateways do late."""
        now, later = self.clock.now(), self.tape.later
        for at, act in [entry for entry in later if entry[0] <= now]:
            later.remove((at, act))
            act()

    def _next_sweep(self) -> datetime | None:
        """The next minute at which a sweep finds something; None if nothing is due, ever."""
        due = [float(item["due_at"]["N"]) for item in self.world.store.items.values() if "due_at" in item]
        if not due:
            return None
        now = self.clock.now()
        following = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        earliest = datetime.fromtimestamp(min(due), now.tzinfo).replace(second=0, microsecond=0)
        return max(following, earliest)


class _Twice(VisibleQueue):
    def put(self, tasks: Sequence[Task], now: datetime) -> None:
        super().put([*tasks, *tasks], now)


def _listen() -> StringIO:
    """Everything the service logs, as CloudWatch would get it."""
    text = StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("chalicelib").handlers = [handler]
    return text
