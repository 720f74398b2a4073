"""Every flow is broken at every one of its I/O calls, in every way that call can break, and has to end well each time.

The service, its adapters and the gateways' simulators are the real ones; table, queues and time are in memory. A run
without faults lists the calls of a flow, up to the moment when nothing is left to do. Then the flow is run once for
each call and fault: the process dies there, or gets no answer, or a wrong one. (It dies once in each place: before a
call is after the one before it, and a reading changes nothing.) What the timer does afterwards to put it right is on
the list too. Where the merchant called, the flow is run a second time for each of those calls, with a merchant who
repeats the call at once, and again when all is quiet.

Where no machine can find out what became of money, a person is called, comes, and says what the gateway's books show
(`person`); then everything has to be right, too. Toss and NICE have flows of their own (`flows`); those of all other
gateways are made from what they declare, and are thinned out (`every_gateway`).

CHAOS_DEPTH=2 breaks each of those runs a second time, at every later call: hours, for all flows.
"""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, lru_cache, partial

import pytest
from cryptography.hazmat.primitives import serialization

from chalicelib import container
from chalicelib.domain.charging import Approved, Operation
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import Attempt, Payment, approve, order_id
from chalicelib.domain.routing import draw
from chalicelib.gateways.registry import ADAPTERS
from chalicelib.ports import Ref, StoreUnavailable
from chalicelib.storage.items import from_item
from chalicelib.usecases import charges, choosing, parallel, recording, schedules, timer
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.vault import open_gateway
from infra.sandbox import run
from tests.chaos import invariants
from tests.chaos.every_gateway import EVERY, contracts, prepared, reviewed
from tests.chaos.faults import DEATHS, Call, Fault, Killed, Kind, Place, Tape, places_to_die
from tests.chaos.flows import FLOWS, GATEWAYS, TOSS, Act, Flow
from tests.chaos.invariants import Books, end, statuses, violations
from tests.chaos.person import rest
from tests.chaos.service import Answer, Service
from tests.chaos.windows import in_a_window, with_windows
from tests.support import memory_store
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
        self.service = Service({name: boxes[name] for name in flow.gateways})
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
        quiet = rest(s)
        if repeat:
            s.log_in()
            self.act()
            quiet = rest(s)
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
    named: Counter[str] = Counter()
    died: set[Place] = set()
    for number, (call, places) in enumerate(zip(outcome.calls, places_to_die(outcome.calls), strict=True)):
        named[call.name] += 1
        if number <= max(plan, default=-1) or named[call.name] > story.flow.most:
            continue
        tally.calls += 1
        for fault in story.flow.faults[call.kind]:
            if fault in DEATHS and (place := places[DEATHS.index(fault)]) in died:
                continue
            if fault in DEATHS:
                died.add(place)
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
        patch.setattr(serialization, "load_der_private_key", cache(serialization.load_der_private_key))  # 40 ms each
        for module in (memory_store, invariants):
            patch.setattr(module, "from_item", read)  # most runs read what others have read
        yield boxes
    container.install(None)


def read(kind, item):
    return _parsed(kind, item["doc"]["S"], item["version"]["N"], item["pk"]["S"])


@lru_cache(maxsize=10_000)
def _parsed(kind, doc, version, pk):
    """Entities are frozen: several may share one."""
    return from_item(kind, {"doc": {"S": doc}, "version": {"N": version}, "pk": {"S": pk}})


@pytest.fixture(autouse=True)
def logging_as_before():
    logger = logging.getLogger("chalicelib")
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = handlers, level, propagate


every_flow = pytest.mark.parametrize("flow", [*FLOWS, *EVERY], ids=lambda flow: flow.name)


@every_flow
def test_whatever_breaks_it_ends_well(boxes, flow, record_property):
    tally = Tally()
    wrong = list(enumerate_faults(Story(boxes, flow), DEPTH, tally))
    record_property("chaos" if flow.ends is None else "chaos, thinned out", [1, tally.calls, tally.runs])
    assert not wrong, f"{len(wrong)} ends of {tally.runs} are wrong\n" + "\n".join(wrong[:SHOWN])


@pytest.mark.parametrize("provider", ADAPTERS)
def test_every_gateway_that_is_registered_is_broken(provider):
    flows = [flow for flow in EVERY if flow.gateways[-1] == provider]
    flows += [flow for flow in FLOWS if flow.name.endswith(f"-{provider}")]
    assert len(flows) >= 5, flows


@pytest.mark.parametrize("flow", EVERY, ids=lambda flow: flow.name)
def test_it_does_what_it_says_if_nothing_else_breaks(boxes, flow):
    story = Story(boxes, flow)
    assert not story.play({}).wrong
    ended = [_shown(payment) for payment in Books(story.service).payments.values()]
    assert tuple(sorted(ended)) in flow.ends
    used = {row["provider"] for row in Books(story.service).transactions}
    assert used <= {flow.gateways[-1]}, used


def test_a_death_between_two_calls_is_the_same_before_the_one_as_after_the_other(boxes):
    """That is why `_broken_further` tries each place once."""
    [flow] = [flow for flow in FLOWS if flow.name == "dispatch_by_a_worker_that_dies"]
    story = Story(boxes, flow)
    calls = story.play({}).calls
    places, ends = places_to_die(calls), defaultdict(list)
    for number in range(len(calls)):
        for fault, place in zip(DEATHS, places[number], strict=True):
            story.play({number: fault})
            ends[place].append(end(story.service))
    assert len(ends) < len(calls) < sum(map(len, ends.values()))
    assert all(one == several[0] for several in ends.values() for one in several)


@pytest.mark.parametrize("provider", with_windows())
def test_every_window_is_broken(provider):
    flows = [flow for flow in EVERY if flow.gateways[-1] == provider and flow.prepare.func is in_a_window]
    assert len(flows) >= 5, flows


def _shown(payment: Payment) -> str:
    """Its status; of one that is cancelled in part, what is left of it, too."""
    left = payment.balance.to_decimal()
    return f"{payment.v1_status}/{left:.0f}" if payment.v1_status == "cancelled" and left else payment.v1_status


def test_a_review_that_takes_days_calls_a_person_who_has_nothing_to_do(boxes):
    [paypal] = [contract for contract in contracts() if contract.provider == "paypal_v2"]
    prepare = partial(prepared, lambda at: reviewed(at, at.charge, timedelta(days=5)), paypal, Operation.CHARGE_CARD)
    story = Story(boxes, Flow("a_slow_review", prepare, gateways=(*GATEWAYS, paypal.provider)))
    s = story.start({})
    story.act()
    for days, status, has_alarm in ((2, "ready", False), (2, "ready", True), (10, "paid", False)):
        s.quiet(days)
        [payment] = Books(s).payments.values()
        assert (payment.v1_status, bool(payment.alarm)) == (status, has_alarm)
    assert not violations(s, quiet=True, at_crash={})


@every_flow
def test_messages_that_come_twice_and_in_any_order_change_nothing(boxes, flow):
    """And once more when all is done, the latest first."""
    story = Story(boxes, flow)
    ends = []
    for seed in (None, 1, 2, 3):
        s = story.start({})
        if seed:
            s.disorder(seed)
        story.act()
        assert rest(s)
        if seed:
            for task in reversed(s.delivered):
                timer.work(s.deps, task)
            assert rest(s)
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
