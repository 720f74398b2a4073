"""Every flow is broken at every one of its I/O calls, in every way that call can break, and has to end well each time.

The service, its adapters and the gateways' simulators are the real ones; table, queues and time are in memory. A run
without faults lists the calls of a flow, up to the moment when nothing is left to do. Then the flow is run once for
each call and fault: the process dies there, or gets no answer, or a wrong one. What the timer does afterwards to put it
right is on the list too. Where the merchant called, the flow is run a second time for each of those calls, with a
merchant who repeats the call at once, and again when all is quiet.

CHAOS_DEPTH=2 breaks each of those runs a second time, at every later call: hours, for all flows.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from chalicelib import container
from chalicelib.domain.charging import Approved
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Attempt, approve, order_id
from chalicelib.domain.routing import draw
from chalicelib.ports import Ref, StoreUnavailable
from chalicelib.usecases import charges, choosing, parallel, recording, schedules, timer
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.vault import open_gateway
from infra.sandbox import run
from tests.chaos.faults import FAULTS, Call, Fault, Killed, Kind, Tape
from tests.chaos.flows import FLOWS, TOSS, Act, Flow
from tests.chaos.invariants import end, statuses, violations
from tests.chaos.service import Answer, Service
from tests.support.world import CARD, request

DEPTH = int(os.environ.get("CHAOS_DEPTH", "1"))
SHOWN = 20

Plan = Mapping[int, Fault]


@dataclass(frozen=True, slots=True)
class Outcome:
    """wrong: what the run violates. act_ended: how many calls the act made."""

    wrong: list[str]
    calls: Sequence[Call]
    act_ended: int


class Story:
    """One flow, prepared once and run many times."""

    def __init__(self, boxes: Mapping[str, object], flow: Flow) -> None:
        self.flow = flow
        self.service = Service(boxes)
        self.act: Act = flow.prepare(self.service)
        self.service.log_in()
        self._saved = self.service.save()

    def play(self, plan: Plan, *, repeat: bool = False) -> Outcome:
        s = self.start(plan)
        self.act()
        ended = len(s.tape.calls)
        cut_off = s.answers[-1:] == [Answer(None, {})]
        at_crash = statuses(s) if cut_off else {}
        if repeat:
            self.act()
        quiet = s.quiet()
        if repeat:
            s.log_in()
            self.act()
            quiet = s.quiet()
        return Outcome(violations(s, quiet=quiet, at_crash=at_crash), s.tape.calls, ended)

    def start(self, plan: Plan) -> Service:
        self.service.restore(self._saved)
        self.service.use(Tape(plan, self.flow.given))
        return self.service


@dataclass
class Tally:
    calls: int = 0
    runs: int = 0


def enumerate_faults(story: Story, depth: int, tally: Tally) -> Iterator[str]:
    """Run it with every fault; tell what went wrong with which."""
    yield from _broken_further(story, {}, story.play({}), depth, tally)


def _broken_further(story: Story, plan: Plan, outcome: Outcome, depth: int, tally: Tally) -> Iterator[str]:
    tally.runs += 1
    yield from (f"{_told(plan, outcome)}: {wrong}" for wrong in outcome.wrong)
    if not depth:
        return
    for number in range(max(plan, default=-1) + 1, len(outcome.calls)):
        tally.calls += 1
        for fault in FAULTS[outcome.calls[number].kind]:
            further = {**plan, number: fault}
            broken = story.play(further)
            same = broken.calls[: number + 1] == outcome.calls[: number + 1]
            assert same, f"{_told(further, outcome)}: another run than the one that was listed"
            yield from _broken_further(story, further, broken, depth - 1, tally)
            if story.flow.repeats and number < outcome.act_ended and not plan:
                repeated = story.play(further, repeat=True)
                tally.runs += 1
                yield from (f"{_told(further, repeated)}, and the call is repeated: {w}" for w in repeated.wrong)


def _told(plan: Plan, outcome: Outcome) -> str:
    faults = [f"{number} {outcome.calls[number].name}: {fault.name} ({fault})" for number, fault in plan.items()]
    return "; then ".join(faults) or "nothing broken"


@pytest.fixture(scope="module")
def boxes():
    with run() as boxes, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "MAX_THREADS", 1)  # so that calls come in the same order each time
        patch.setattr(schedules, "ENTRIES_PER_WRITE", 2)  # so that five entries are three transactions
        yield boxes
    container.install(None)


@pytest.fixture(autouse=True)
def logging_as_before():
    logger = logging.getLogger("chalicelib")
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = handlers, level, propagate


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_whatever_breaks_it_ends_well(boxes, flow, record_property):
    tally = Tally()
    wrong = list(enumerate_faults(Story(boxes, flow), DEPTH, tally))
    record_property("chaos", [1, tally.calls, tally.runs])
    assert not wrong, f"{len(wrong)} ends of {tally.runs} are wrong\n" + "\n".join(wrong[:SHOWN])


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_messages_that_come_twice_and_in_any_order_change_nothing(boxes, flow):
    """And once more when all is done, the latest first."""
    story = Story(boxes, flow)
    ends = []
    for seed in (None, 1, 2, 3):
        s = story.start({})
        if seed:
            s.disorder(seed)
        story.act()
        assert s.quiet()
        if seed:
            for task in reversed(s.delivered):
                timer.work(s.deps, task)
            assert s.quiet()
        assert not violations(s, quiet=True, at_crash={})
        ends.append(end(s))
    assert ends[1:] == ends[:1] * 3


def charged_without_a_claim(s: Service) -> Act:
    """What no use case may do: send first, and write down afterwards."""

    def charge() -> None:
        deps, m, now = s.deps, s.world.merchant_id, s.clock.now()
        routing = deps.store.load(Ref(Routing, (m,)))
        plan = choosing.plan_for_card(deps.gateways, routing, Target(), request("o1"), CARD, now)
        payment = charges.new_payment(deps, m, request("o1"), plan.environment)
        channel, name = s.channel(TOSS), order_id(payment.imp_uid, 1)
        approved = open_gateway(deps, routing, channel).charge_card(name, payment.request, CARD, 20)
        if not isinstance(approved, Approved):
            return
        attempt = Attempt(1, name, channel, TOSS, "mid", now, draw(plan.choices, deps.rng, now))
        paid = approve(replace(payment, attempts=(attempt,)), approved, now)
        recording.record(deps, routing, paid, Order(m, "o1").claim(payment.imp_uid))

    def act() -> None:
        with suppress(StoreUnavailable, Killed):
            charge()
        s.tape.dead = False

    return act


def test_a_charge_that_is_sent_before_it_is_claimed_is_found_out(boxes):
    story = Story(boxes, Flow("charged_without_a_claim", charged_without_a_claim, repeats=False))
    assert not story.play({}).wrong
    wrong = list(enumerate_faults(story, 1, Tally()))
    assert any("DIES_AFTER" in line and "and we do not" in line for line in wrong), wrong


def test_a_dead_process_does_nothing_more():
    tape = Tape({0: Fault.DIES_BEFORE}, {})
    done = []
    with pytest.raises(Killed):
        tape.call(Call(Kind.WRITE, "commit"), lambda: done.append(1), list)
    with pytest.raises(Killed):
        tape.call(Call(Kind.WRITE, "commit"), lambda: done.append(2), list)
    assert not done
