"""Every I/O call of the service goes over one tape, which lists them and breaks the one it was told to break.

A call is one read or write of the table, one use of the key service, one batch for a queue, one webhook, one HTTP
request to a gateway. Whatever a plan does to a call, the calls before it are the same as without it: so a fault is
told by the number of the call in the run that it breaks.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

from chalicelib.domain.notices import DeliveryResult
from chalicelib.gateways.http import HttpClient, NoReplyError, NotSentError, Reply
from chalicelib.gateways.registry import Registry
from chalicelib.ports import Deleted, Deps, QueueUnavailable, StoreUnavailable
from infra.sandbox.server import Request
from tests.support.world import World


class Killed(BaseException):
    """The process is gone. No `except Exception` of the service sees it."""


class Fault(StrEnum):
    DIES_BEFORE = "the process dies before it"
    DIES_AFTER = "the process dies after it"
    FAILS = "fails, without effect"
    ANSWER_LOST = "takes effect, and its answer is lost"
    NOT_SENT = "cannot be sent"
    TIMEOUT = "no answer in time, not carried out"
    SLOW = "carried out and answered with a second left"
    TOO_SLOW = "carried out, and answered too late"
    GARBLED = "carried out, and answered with bytes that are no text"
    ERROR_500 = "not carried out, answered with HTTP 500"
    ERROR_500_DONE = "carried out, answered with HTTP 500"
    LATE = "no answer, carried out two minutes later"
    VERY_LATE = "no answer, carried out when the settling delay is over"


class Kind(StrEnum):
    """What a call does, and with that what can go wrong with it."""

    READ = "read"
    WRITE = "write"
    ASK = "ask"
    """A question to a gateway."""
    ACT = "act"
    """A request that makes a gateway do something."""


DEATHS = (Fault.DIES_BEFORE, Fault.DIES_AFTER)
ASKING = (Fault.NOT_SENT, Fault.TIMEOUT, Fault.SLOW, Fault.GARBLED, Fault.ERROR_500)
FAULTS: Mapping[Kind, tuple[Fault, ...]] = {
    Kind.READ: (*DEATHS, Fault.FAILS),
    Kind.WRITE: (*DEATHS, Fault.FAILS, Fault.ANSWER_LOST),
    Kind.ASK: (*DEATHS, *ASKING),
    Kind.ACT: (
        *DEATHS, *ASKING, Fault.ANSWER_LOST, Fault.TOO_SLOW, Fault.ERROR_500_DONE, Fault.LATE, Fault.VERY_LATE,
    ),
}  # fmt: skip
CHANGING = (Kind.WRITE, Kind.ACT)
QUESTIONS = ("find", "token")
"""What simulators call those of their operations that change nothing, though they are sent by POST."""
DELAYS = {Fault.LATE: timedelta(minutes=2), Fault.VERY_LATE: timedelta(minutes=40)}
"""The settling delay of the gateways is ten minutes, or thirty; the first late look comes an hour after it."""


@dataclass(frozen=True, slots=True)
class Call:
    """of: what it is for its gateway's simulator: kcp.charge, kcp.cancel, kcp.find. first: of its process. given: it is
    broken in any case, if by nothing else.
    """

    kind: Kind
    name: str
    of: str = ""
    first: bool = False
    given: bool = False


class Tape:
    """plan: number of a call -> what happens to it. given: the same by name, for the first call of that name, or for
    the first that is that for its gateway.
    """

    def __init__(self, plan: Mapping[int, Fault], given: Mapping[str, Fault]) -> None:
        self.calls: list[Call] = []
        self.later: list[tuple[datetime, Callable[[], object]]] = []
        """What gateways carry out after a while."""
        self.dead = False
        self.broken: list[Fault] = []
        self._plan = plan
        self._given = dict(given)
        self._begins = True

    def begin(self) -> None:
        """Another process takes over: a request, a message, a minute's sweep."""
        self.dead, self._begins = False, True

    def next(self, call: Call) -> Fault | None:
        """A process that died does nothing any more, whatever its code catches, in whichever thread."""
        if self.dead:
            raise Killed
        given = self._given.keys() & {call.name, call.of}
        self.calls.append(replace(call, first=self._begins, given=bool(given)))
        self._begins = False
        fault = self._plan.get(len(self.calls) - 1) or self._given_for(call)
        if fault:
            self.broken.append(fault)
        return fault

    def _given_for(self, call: Call) -> Fault | None:
        return self._given.pop(call.name, None) or self._given.pop(call.of, None)

    def die(self) -> NoReturn:
        self.dead = True
        raise Killed

    def call(self, call: Call, act: Callable[[], Any], failed: Callable[[], Any]) -> Any:
        """failed: raises or returns what the caller sees of a call that failed."""
        match self.next(call):
            case Fault.DIES_BEFORE:
                self.die()
            case Fault.FAILS:
                return failed()
            case Fault.DIES_AFTER:
                with suppress(Exception):  # whatever the answer is, nobody is there to hear it
                    act()
                self.die()
            case Fault.ANSWER_LOST:
                act()
                return failed()
        return act()


Place = tuple[int, str]


def places_to_die(calls: Sequence[Call]) -> list[tuple[Place, Place]]:
    """Where a process is before each call, and where after it. Two places are one if nothing changes between them: the
    process is the same, and it only reads.
    """
    places, here = [], (0, "")
    for number, call in enumerate(calls):
        before = (number, "begins") if call.first else here
        after = (number, "done") if call.kind in CHANGING or call.given else before
        places.append((before, after))
        here = (number, "given") if call.given else after  # who dies there instead does not know that fault
    return places


def taped(world: World, tape: Tape) -> Deps:
    """The world's adapters, each call on the tape."""
    deps = world.deps
    return replace(
        deps,
        store=_Taped(deps.store, tape, _store_call, StoreUnavailable("chaos")),
        sealer=_Taped(deps.sealer, tape, _sealer_call, StoreUnavailable("chaos")),
        queue=_Taped(deps.queue, tape, _queue_call, QueueUnavailable("chaos")),
        sender=_Taped(deps.sender, tape, _sender_call, DeliveryResult(delivered=False, text="no answer")),
        gateways=Registry(InProcess(world, tape), deps.clock, {name: f"http://{name}" for name in world.sandboxes}),
    )


class _Taped:
    """name: the call that a method with these arguments is, or None if it is no I/O. failed: see Tape.call."""

    def __init__(self, inner: Any, tape: Tape, name: Callable[..., Call | None], failed: Any) -> None:
        self._inner, self._tape, self._name, self._failed = inner, tape, name, failed

    def __getattr__(self, method: str) -> Callable[..., Any]:
        act = getattr(self._inner, method)

        def taped_call(*args: Any, **kwargs: Any) -> Any:
            call = self._name(method, *args)
            if call is None:
                return act(*args, **kwargs)
            return self._tape.call(call, lambda: act(*args, **kwargs), self._fail)

        return taped_call

    def _fail(self) -> Any:
        if isinstance(self._failed, Exception):
            raise self._failed
        return self._failed


def _store_call(method: str, *args: Any) -> Call:
    if method == "commit":
        things = [type(a.entity).__name__ + "-" if isinstance(a, Deleted) else type(a).__name__ for a in args]
        names = [f"{things.count(n)} {n}" if things.count(n) > 1 else n for n in dict.fromkeys(things)]
        return Call(Kind.WRITE, f"commit {' + '.join(names)}")
    if method == "load":
        return Call(Kind.READ, f"load {' + '.join(ref.kind.__name__ for ref in args)}")
    return Call(Kind.READ, f"{method} {' '.join(str(a) for a in args[:1] if isinstance(a, int))}".strip())


def _sealer_call(method: str, *_: Any) -> Call:
    return Call(Kind.READ, f"key service: {method}")


def _queue_call(_: str, tasks: Any, *__: Any) -> Call:
    return Call(Kind.WRITE, f"queue {' '.join(sorted({task.kind for task in tasks}))}")


def _sender_call(method: str, *_: Any) -> Call | None:
    return Call(Kind.WRITE, "webhook") if method == "post" else None


class InProcess(HttpClient):
    """Hands the bytes of a request to the simulator itself. A host is a provider's name."""

    def __init__(self, world: World, tape: Tape) -> None:
        super().__init__()
        self._world, self._tape = world, tape

    def send(
        self,
        method: str,
        url: str,
        *,
        operation: str,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        if timeout <= 0:
            raise NotSentError("not sent: no time left")
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        lower = {"host": parts.netloc} | {name.lower(): value for name, value in (headers or {}).items()}
        request = Request(method, parts.path, query, lower, body or b"")
        box = self._world.sandboxes[parts.hostname or ""]
        does = box.simulator.operation(request)
        kind = Kind.ASK if method == "GET" or does in QUESTIONS else Kind.ACT
        fault = self._tape.next(Call(kind, operation, f"{parts.hostname}.{does}"))
        return self._exchange_with(fault, timeout, lambda: box.answer(request))

    def _exchange_with(self, fault: Fault | None, timeout: float, act: Callable[[], Any]) -> Reply:
        clock, lost = self._world.clock, NoReplyError("no reply: cut off")
        match fault:
            case Fault.DIES_BEFORE:
                self._tape.die()
            case Fault.NOT_SENT:
                raise NotSentError("not sent: ConnectionRefusedError")
            case Fault.TIMEOUT:
                clock.advance(seconds=timeout)
                raise NoReplyError("no reply: out of time")
            case Fault.ERROR_500:
                return Reply(500, b"<html>Internal Server Error</html>")
            case Fault.LATE | Fault.VERY_LATE:
                self._tape.later.append((clock.now() + DELAYS[fault], act))
                raise lost
        answer = act()
        match fault:
            case Fault.DIES_AFTER:
                self._tape.die()
            case Fault.ANSWER_LOST:
                raise lost
            case Fault.TOO_SLOW:
                clock.advance(seconds=timeout)
                raise NoReplyError("no reply: out of time")
            case Fault.SLOW:
                clock.advance(seconds=max(0.0, timeout - 1))
            case Fault.GARBLED:
                return Reply(200, b"\xb0\xe1\xc1\xa6 \xff\xfe\x00{")
            case Fault.ERROR_500_DONE:
                return Reply(500, b"<html>Internal Server Error</html>")
        if answer is None:  # the simulator drops the connection
            raise lost
        return Reply(answer.status, answer.body, {name.lower(): value for name, value in answer.headers.items()})
