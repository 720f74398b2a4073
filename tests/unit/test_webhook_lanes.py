"""Who keeps webhooks waiting waits in a lane of their own, and nobody else does."""

import random
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from chalicelib.container import SystemClock
from chalicelib.domain.channels import Environment
from chalicelib.domain.notices import MAX_RECEIVERS, Notice, NoticeState, Receivers
from chalicelib.gateways.webhook_sender import WebhookSender
from chalicelib.ports import Conflict, QueueUnavailable, Ref, StoreUnavailable, TaskKind
from chalicelib.usecases import notifying, timer
from tests.support.recovery import Dying
from tests.support.world import VisibleSender, World

SHOP, OTHER = "https://shop.example/hook", "https://other.example/hook"


@dataclass
class Clocked(VisibleSender):
    """A sender whose receivers take their time. takes: seconds by URL; down: URLs that answer HTTP 503."""

    clock: object = None
    takes: dict = field(default_factory=dict)
    down: set = field(default_factory=set)

    def post(self, url, body, headers, timeout):
        self.clock.advance(seconds=min(self.takes.get(url, 0), timeout))
        self.replies = [(False, "HTTP 503")] if url in self.down else []
        return super().post(url, body, headers, timeout)


@pytest.fixture
def world():
    world = World({})
    world.sender = Clocked(clock=world.clock)
    world.deps = replace(world.deps, sender=world.sender)
    return world


def notice(world, number, url=SHOP, **more):
    made = Notice(
        world.merchant_id, f"wh_{number}", url, Environment.TEST, "imp_1", "m", "paid", world.clock.now(),
        due_at=world.clock.now(), **more,
    )  # fmt: skip
    return world.store.commit(made)[0]


def deliver(world, number, url=SHOP):
    """One delivery by the fast lane; what it left in the queues."""
    world.queue.tasks.clear()
    made = notice(world, number, url)
    notifying.deliver(world.deps, world.merchant_id, made.notice_id)
    return [task.kind for task in world.queue.tasks]


def receivers(world):
    return world.store.load(Ref(Receivers, (world.merchant_id,)))


def state(world, number):
    return world.store.load(Ref(Notice, (world.merchant_id, f"wh_{number}"))).state


SLOW = [TaskKind.SLOW_NOTICE]


def test_a_slow_answer_puts_the_host_into_the_slow_lane(world):
    world.sender.takes[SHOP] = 6
    assert deliver(world, 1) == []
    assert state(world, 1) is NoticeState.DELIVERED
    assert deliver(world, 2) == SLOW
    assert (state(world, 2), len(world.sender.sent)) == (NoticeState.PENDING, 1)
    world.run_queue()
    assert state(world, 2) is NoticeState.DELIVERED


def test_five_seconds_are_not_slow(world):
    world.sender.takes[SHOP] = 5
    deliver(world, 1)
    assert receivers(world) is None


def test_so_do_three_failures_in_a_row(world):
    world.sender.down.add(SHOP)
    for number in (1, 2):
        assert deliver(world, number) == [TaskKind.NOTICE]  # the next try of the same notice
    assert deliver(world, 3) == SLOW  # its next try: what is known by now counts for it
    assert len(world.sender.sent) == 3
    assert deliver(world, 4) == SLOW
    assert len(world.sender.sent) == 3


def test_a_success_between_them_begins_the_count_anew(world):
    for number, is_down in enumerate((True, True, False, True, True)):
        world.sender.down = {SHOP} if is_down else set()
        deliver(world, number)
    world.sender.down = set()
    assert deliver(world, 9) == []


def test_a_quick_answer_takes_it_out_again(world):
    world.sender.takes[SHOP] = 6
    deliver(world, 1)
    world.sender.takes.clear()
    assert deliver(world, 2) == SLOW
    world.run_queue()
    assert receivers(world).failures == {}
    assert deliver(world, 3) == []
    assert state(world, 3) is NoticeState.DELIVERED


def test_the_other_host_of_the_same_merchant_is_not_delayed(world):
    world.sender.takes[SHOP] = 30
    deliver(world, 1)
    assert deliver(world, 2, OTHER) == []
    assert state(world, 2) is NoticeState.DELIVERED
    assert deliver(world, 3, "https://SHOP.example/another/path?a=1") == SLOW  # a host, whichever path


def test_another_merchants_webhooks_to_the_same_host_have_their_own_experience(world):
    world.sender.takes[SHOP] = 30
    deliver(world, 1)
    assert not Receivers("another").is_slow(SHOP)
    assert receivers(world).merchant_id == world.merchant_id


def test_what_is_in_the_slow_lane_stays_there_for_its_further_tries(world):
    world.sender.takes[SHOP] = 30
    world.sender.down.add(SHOP)
    deliver(world, 1)
    kinds = []
    while world.queue.tasks and len(kinds) < 20:
        kinds += [task.kind for task in world.queue.tasks]
        world.clock.set(max(world.clock.now(), min(task.due_at for task in world.queue.tasks)))
        world.run_queue()
    assert set(kinds) == {TaskKind.SLOW_NOTICE}
    assert world.sender.timeouts[:3] == [30.0, 15.0, 15.0]


def test_the_timer_finds_what_the_slow_lane_lost(world):
    world.sender.takes[SHOP] = 30
    deliver(world, 1)
    assert deliver(world, 2) == SLOW
    world.queue.tasks.clear()
    world.run_to_quiet()
    assert state(world, 2) is NoticeState.DELIVERED


def test_what_cannot_be_handed_over_is_delivered_again_by_its_queue(world):
    world.sender.takes[SHOP] = 30
    deliver(world, 1)
    made = notice(world, 2)
    world.queue.fails = True
    with pytest.raises(QueueUnavailable):
        notifying.deliver(world.deps, world.merchant_id, made.notice_id)
    assert state(world, 2) is NoticeState.PENDING


def test_the_host_longest_known_is_forgotten_first(world):
    known = Receivers("m")
    for number in range(MAX_RECEIVERS + 1):
        known = known.after(f"https://h{number}.example/", delivered=False, slow=True)
    assert len(known.failures) == MAX_RECEIVERS
    assert not known.is_slow("https://h0.example/")
    assert known.is_slow(f"https://h{MAX_RECEIVERS}.example/x")


@pytest.mark.parametrize("error", [Conflict(Receivers("m")), StoreUnavailable("down")])
def test_what_is_learned_of_a_receiver_is_never_worth_a_delivery(world, error):
    class Refusing:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if isinstance(changes[0], Receivers):
                raise error
            return world.store.commit(*changes)

    world.sender.takes[SHOP] = 30
    made = notice(world, 1)
    notifying.deliver(replace(world.deps, store=Refusing()), world.merchant_id, made.notice_id)
    assert state(world, 1) is NoticeState.DELIVERED


def test_what_several_tries_learn_at_the_same_time_is_all_remembered(world):
    """Hosts that begin to hang at the same moment are all reported at the same moment."""
    urls = [SHOP, OTHER, "https://third.example/"]
    world.sender.takes = dict.fromkeys(urls, 6)
    first, *others = [notice(world, number, url).notice_id for number, url in enumerate(urls)]

    class Crowded:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if isinstance(changes[0], Receivers) and others:
                notifying.deliver(world.deps, world.merchant_id, others.pop())
            return world.store.commit(*changes)

    notifying.deliver(replace(world.deps, store=Crowded()), world.merchant_id, first)
    assert set(receivers(world).failures) == {"shop.example", "other.example", "third.example"}


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_at_any_write_nothing_is_lost(world, nth):
    """The claim, the result, what was learned."""
    world.sender.takes[SHOP] = 6
    made = notice(world, 1)
    with pytest.raises(SystemExit):
        notifying.deliver(replace(world.deps, store=Dying(world.store, nth)), world.merchant_id, made.notice_id)
    world.queue.tasks.clear()
    world.run_to_quiet()
    assert state(world, 1) is NoticeState.DELIVERED


# --- real sockets, real threads -----------------------------------------------------------------------------------


class Lanes:
    """ports.Queue, and the workers of both lanes: as many threads as the lane is wide."""

    def __init__(self, width):
        self._tasks = {TaskKind.NOTICE: [], TaskKind.SLOW_NOTICE: []}
        self._changed = threading.Condition()
        self._width = width
        self._open = True
        self.deps = None

    def put(self, tasks, now):
        with self._changed:
            for task in tasks:
                self._tasks[task.kind].append(task)
            self._changed.notify_all()

    @contextmanager
    def at_work(self, deps):
        self.deps = replace(deps, queue=self)
        workers = [
            threading.Thread(target=self._work, args=(kind,), daemon=True)
            for kind in self._tasks
            for _ in range(self._width)
        ]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            with self._changed:
                self._open = False
                self._changed.notify_all()
            for worker in workers:
                worker.join(timeout=10)

    def _work(self, kind):
        while True:
            with self._changed:
                while self._open and not (task := self._due(kind)):
                    self._changed.wait(0.01)
                if not self._open:
                    return
            timer.work(self.deps, task)

    def _due(self, kind):
        now = self.deps.clock.now()
        ready = [task for task in self._tasks[kind] if task.due_at <= now]
        if ready:
            self._tasks[kind].remove(ready[0])
            return ready[0]
        return None


class Site:
    """A receiver on this machine. hangs: it takes the connection and never answers."""

    def __init__(self, *, hangs=False):
        self._hangs = hangs
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self.arrived = []
        self._kept = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._kept:
            connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.arrived.append(time.monotonic())
            if self._hangs:
                self._kept.append(connection)
                continue
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


WIDTH = 16
BURST = 10
HANGING = 100
HEALTHY = 60


def last_arrival(hanging):
    """Seconds until all webhooks to a healthy site were there, among `hanging` ones to a site that hangs.

    All times a tenth of the real ones. A first burst to the hanging site fits into the lane; the rest comes when it
    has been hanging for a while, mixed with the healthy ones.
    """
    world = World({})
    world.clock = SystemClock()
    lanes = Lanes(WIDTH)
    timing = replace(
        world.deps.timing,
        webhook_timeout=timedelta(seconds=3),
        webhook_retry_timeout=timedelta(seconds=1.5),
        slow_webhook=timedelta(seconds=0.5),
    )
    deps = replace(world.deps, clock=world.clock, sender=WebhookSender(allow_loopback=True), timing=timing)
    with lanes.at_work(deps), Site(hangs=True) as dead, Site() as well:

        def come(urls):
            for url in urls:
                made = notice(world, f"{random.getrandbits(64):x}", url)
                lanes.put([notifying.notice_task(made)], world.clock.now())

        come([dead.url] * min(BURST, hanging))
        time.sleep(1.0)  # it is being waited for, and nobody has given up yet
        mixed = [dead.url] * (hanging - min(BURST, hanging)) + [well.url] * HEALTHY
        random.Random(3).shuffle(mixed)
        started = time.monotonic()
        come(mixed)
        while len(well.arrived) < HEALTHY:
            assert time.monotonic() - started < 60, "the healthy ones do not arrive"
            time.sleep(0.01)
        return max(well.arrived) - started


def test_a_site_that_hangs_delays_no_other():
    alone = last_arrival(0)
    beside = last_arrival(HANGING)
    assert beside < alone + 1.5  # one time-out of a hanging site is 1.5 to 3 s, and there would be many in a row
