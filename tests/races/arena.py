"""Several processes that do something to the same thing at the same instant, again and again.

A race is: things prepared, one act per contestant, and a check of what is left. Acts are functions of the test modules;
they run in processes of their own, over one DynamoDB Local and over the gateways' simulators in the test's process.
"""

import logging
import multiprocessing
import os
import random
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from chalicelib.container import SystemClock
from chalicelib.usecases.merchants import NewMerchant
from tests.support.api import Api
from tests.support.stores import local_store
from tests.support.world import VisibleQueue, VisibleSender, build_deps

TRIES = int(os.environ.get("RACE_TRIES", "12"))
"""Of each race. A few in every run of the tests; thousands where somebody wants to know."""
PROCESSES = 4
SPREADS = (0.0, 0.0, 0.004, 0.02)
"""Seconds by which contestants start apart at most: none, or about as long as a write or a charge takes."""
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What another process needs to know to join a world."""

    endpoint: str
    table: str
    urls: Mapping[str, str]
    merchant: NewMerchant


class Contestant:
    """One process of the service, as the acts see it."""

    def __init__(self, ground: Ground) -> None:
        self.merchant_id = ground.merchant.user_code
        self.urls = ground.urls
        self.queue = VisibleQueue()
        self.sender = VisibleSender()
        self.deps = build_deps(
            local_store(ground.endpoint, ground.table),
            ground.urls,
            clock=SystemClock(),
            queue=self.queue,
            sender=self.sender,
            rng=random.SystemRandom(),
        )
        self._api = Api(self.deps, admin_token=ground.merchant.admin_token).login(ground.merchant)

    def call(self, method: str, path: str, **fields: Any) -> tuple[int, Any]:
        """Through the HTTP surface: (code, response), or (HTTP status, body) of the admin API. Never a 5xx."""
        status, body = self._api.send(method, path) if not fields else self._api._json(method, path, None, fields)
        assert status < 500, (status, body)
        return (body["code"], body["response"]) if "response" in body else (status, body)

    def post(self, path: str, **fields: Any) -> tuple[int, Any]:
        return self.call("POST", path, **fields)


Act = Callable[..., Any]
"""(contestant, *what the try is about) -> what to tell the test; whatever it raises fails the test."""


@dataclass(frozen=True, slots=True)
class Broke:
    trace: str


class Arena:
    """The processes, started once for all races."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._barriers = {n: context.Barrier(n) for n in range(2, PROCESSES + 1)}  # kept: they live as long as we do
        self.races = 0
        """Counted by who holds them; a race may be held in several goes."""
        self.tries = 0
        self._lines: list[Connection] = []
        self._workers = []
        for _ in range(PROCESSES):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_serve, args=(theirs, self._barriers), daemon=True)
            worker.start()
            theirs.close()
            self._lines.append(ours)
            self._workers.append(worker)

    def race(self, ground: Ground, acts: Sequence[Act], tries: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
        """What each act returned, in the order of `acts`, try by try. The processes take turns with the acts."""
        count = len(acts)
        for number, line in enumerate(self._lines[:count]):
            line.send((ground, count, [(acts[(number + n) % count], args) for n, args in enumerate(tries)]))
        told = [self._answers(number) for number in range(count)]
        broken = {answer.trace for answers in told for answer in answers if isinstance(answer, Broke)}
        assert not broken, "\n".join(broken)
        self.tries += len(tries)
        return [[told[(place - n) % count][n] for place in range(count)] for n in range(len(tries))]

    def _answers(self, number: int) -> list[Any]:
        line = self._lines[number]
        assert line.poll(PATIENCE), f"contestant {number} does not answer"
        answers: list[Any] = line.recv()
        return answers

    def close(self) -> None:
        for line in self._lines:
            line.close()
        for worker in self._workers:
            worker.join(timeout=10)
            assert worker.exitcode == 0


def _serve(line: Connection, barriers: Mapping[int, Any]) -> None:
    logging.disable(logging.CRITICAL)  # what matters is told by the acts; the rest is as it should be in a race
    joined: tuple[Ground, Contestant] | None = None
    while True:
        try:
            ground, count, tries = line.recv()
        except EOFError:
            return
        if joined is None or joined[0] != ground:
            joined = ground, Contestant(ground)
        line.send([_try(joined[1], barriers[count], act, args) for act, args in tries])


def _try(contestant: Contestant, barrier: Any, act: Act, args: tuple[Any, ...]) -> Any:
    try:
        barrier.wait(timeout=60)
        time.sleep(random.random() * random.choice(SPREADS))
        return act(contestant, *args)
    except Exception:  # the test says so, with the place
        return Broke(traceback.format_exc())
