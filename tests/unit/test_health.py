"""Channel health through real adapters and simulators: who is left out, who is asked, how a channel comes back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.charging import Declined, NotSent, Operation, Unknown, VirtualAccountRequest
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import Refused
from chalicelib.domain.health import LONGEST_PAUSE, Health
from chalicelib.domain.payments import State
from chalicelib.ports import Conflict, Ref, StoreUnavailable, Task, TaskKind
from chalicelib.usecases import billing_keys, channels, charges, health, lookups, schedules, timer, virtual_accounts
from chalicelib.usecases.choosing import Target
from tests.support.recovery import Dying, Meddling, meddle, onetime, stored
from tests.support.stores import moto_store
from tests.support.world import CARD, STOLEN, World, request

LONG = 3600


def stored_health(world):
    return world.store.load(Ref(Health, (world.merchant_id,))) or Health(world.merchant_id)


def state(world, channel):
    return stored_health(world).of(world.channels[channel]).state.value


def close(world, provider="tosspayments"):
    """From now on the gateway refuses connections."""
    world.sandboxes[provider].fail("charge", "refuse", seconds=LONG)


def reopen(world, provider="tosspayments"):
    world.sandboxes[provider].clear_faults()


def charge(world, first, count):
    return [onetime(world, f"order-{n:04d}") for n in range(first, first + count)]


def take_down(world, provider="tosspayments"):
    """The channel named like its gateway is down, its gateway closed; nothing else has happened."""
    close(world, provider)
    for n in range(3):
        charges.charge_card(
            world.deps, world.merchant_id, request(f"down-{provider}-{n}"), CARD,
            Target(channel_key=world.channels[provider]),
        )  # fmt: skip
    assert state(world, provider) == "down"


def issue(world, uid="c1"):
    return billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(uid, CARD, Target()))


def again(world, uid, target=None):
    return charges.charge_key(world.deps, world.merchant_id, "c1", request(uid), target or Target())


def providers(payment):
    return [attempt.pg_provider for attempt in payment.attempts]


# --- the life of an outage ------------------------------------------------------------------------------------------


def test_a_gateway_that_refuses_is_left_out_probed_and_comes_back(world, caplog):
    world.two_gateways((60, 40))
    close(world)
    payments = charge(world, 0, 40)
    assert {p.state for p in payments} == {State.PAID}
    tried = [providers(p) for p in payments]
    assert tried.count(["tosspayments", "nice_v2"]) == 3
    assert tried.count(["nice_v2"]) == 37
    [excluded] = stored(world, payments[-1]).attempt.decision.exclusions
    assert (excluded.channel_key, excluded.code) == (world.channels["tosspayments"], "down")
    assert "2026-11-23T03:00:00Z" in excluded.message
    [line] = [r for r in caplog.records if getattr(r, "channel_down", False)]
    assert (line.levelname, line.channel_key) == ("ERROR", world.channels["tosspayments"])

    reopen(world)
    before = world.sandboxes["tosspayments"].transactions()
    assert world.run_queue() == 0
    world.clock.advance(seconds=30)
    assert world.run_queue() == 1
    assert state(world, "tosspayments") == "probation"
    assert world.sandboxes["tosspayments"].transactions() == before
    payments = charge(world, 100, 120)
    share = sum(providers(p) == ["tosspayments"] for p in payments) / 120
    assert 0.48 < share < 0.72
    assert stored_health(world).channels == {}
    assert stored_health(world).due_at is None


@pytest.mark.parametrize("provider", ["tosspayments", "nice_v2"])
@pytest.mark.parametrize("fault", ["http_500", "garbage", "reply_lost"])
def test_silence_errors_and_nonsense_count(world, provider, fault):
    first = (100, 0) if provider == "tosspayments" else (0, 100)
    world.two_gateways(first, failover="unsent")
    issue(world)
    world.sandboxes[provider].fail("charge", fault, times=3)
    assert {again(world, f"order-{n}").state for n in range(3)} == {State.UNKNOWN}
    assert state(world, provider) == "down"
    assert providers(again(world, "order-3")) != [provider]


def test_a_storm_of_declines_marks_nobody(world):
    world.two_gateways((100, 0), failover="off")
    world.sandboxes["tosspayments"].fail("charge", "decline", times=10)
    payments = charge(world, 0, 10)
    payments += [
        charges.charge_card(world.deps, world.merchant_id, request(f"stolen-{n}"), STOLEN, Target()) for n in range(10)
    ]
    assert {p.state for p in payments} == {State.FAILED}
    assert not world.store.load(Ref(Health, (world.merchant_id,)))


MAINTENANCE = Declined(DeclineReason.GATEWAY_MAINTENANCE, "MAINTAINED_METHOD", "점검 중입니다.")
NO_FUNDS = Declined(DeclineReason.INSUFFICIENT_FUNDS, "X", "잔액 부족")
DEAD = NotSent("not sent: ConnectionRefusedError")


@pytest.mark.parametrize(
    ("answers", "after"),
    [
        ([DEAD, DEAD], "up"),
        ([DEAD, DEAD, DEAD], "down"),
        ([DEAD, DEAD, NO_FUNDS, DEAD, DEAD], "up"),
        ([DEAD, DEAD, MAINTENANCE, DEAD], "down"),
        ([MAINTENANCE] * 5, "up"),
        ([Unknown("HTTP 200: odd", "ODD")] * 5, "up"),
        ([DEAD, DEAD, Unknown("HTTP 200: odd", "ODD"), DEAD], "down"),
        ([NotSent("not sent: no time left", unwell=False)] * 5, "up"),
        ([Unknown("HTTP 503", unwell=True)] * 3, "down"),
    ],
)
def test_what_counts(world, answers, after):
    world.two_gateways((100, 0), failover="off")
    left = list(answers)
    meddle(world, charge_card=lambda *_: left.pop(0))
    charge(world, 0, len(answers))
    assert state(world, "tosspayments") == after


def test_our_own_bugs_and_wrong_amounts_do_not_count(world):
    world.two_gateways((100, 0), failover="off")
    world.sandboxes["tosspayments"].fail("charge", "wrong_amount", times=4)
    assert {p.state for p in charge(world, 0, 4)} == {State.UNKNOWN}

    def broken(*_args):
        raise RuntimeError("a bug")

    meddle(world, charge_card=broken)
    assert {p.state for p in charge(world, 10, 4)} == {State.UNKNOWN}
    assert stored_health(world).channels == {}


def test_a_success_forgets_what_was_counted(world):
    world.two_gateways((100, 0), failover="off")
    for first in (0, 10, 20):
        close(world)
        charge(world, first, 2)
        assert stored_health(world).of(world.channels["tosspayments"]).failures == 2
        reopen(world)
        charge(world, first + 5, 1)
        assert stored_health(world).channels == {}


def test_health_is_written_only_when_it_changes(world):
    world.two_gateways((100, 0), failover="unsent")

    def calls(work):
        world.store.calls.clear()
        work()
        return world.store.calls

    healthy = ["load", "commit", "commit"]
    assert calls(lambda: charge(world, 0, 1)) == healthy
    close(world)
    assert calls(lambda: charge(world, 1, 1)) == ["load", "commit", "commit", "commit", "commit"]
    charge(world, 2, 2)
    assert calls(lambda: charge(world, 4, 1)) == healthy  # left out
    pinned = Target(channel_key=world.channels["tosspayments"])
    failed = calls(lambda: charges.charge_card(world.deps, world.merchant_id, request("p"), CARD, pinned))
    assert failed == healthy  # down already


# --- flapping ------------------------------------------------------------------------------------------------------


def test_a_gateway_that_answers_questions_and_cannot_charge_gets_less_and_less(world, caplog):
    world.two_gateways((100, 0), failover="off")
    world.sandboxes["tosspayments"].fail("charge", "http_500", times=1_000_000)
    charge(world, 0, 3)
    pauses = []
    for n in range(7):
        due = stored_health(world).due_at
        pauses.append((due - world.clock.now()).total_seconds())
        world.clock.set(due)
        world.run_queue()
        assert state(world, "tosspayments") == "probation"
        charge(world, 10 + n, 1)
        assert state(world, "tosspayments") == "down"
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    assert sum(getattr(r, "channel_down", False) for r in caplog.records) == 8


def test_a_long_outage_is_asked_about_with_growing_pauses_and_never_given_up(world):
    world.two_gateways((0, 100))
    take_down(world)
    asked = []

    def find(inner, *args):
        asked.append(world.clock.now())
        return NotSent("refused")

    real = world.deps
    meddle(world, find_charge=find)
    began = world.clock.now()
    for _ in range(60 * 8):
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
    gaps = [(b - a).total_seconds() for a, b in zip([began, *asked], asked, strict=False)]
    assert gaps[0] >= 30
    assert all(gap <= LONGEST_PAUSE.total_seconds() + 60 for gap in gaps)
    assert 40 < len(asked) < 60
    assert stored_health(world).of(world.channels["tosspayments"]).since == began
    world.deps = real
    reopen(world)
    world.run_to_quiet(hours=1)
    assert state(world, "tosspayments") == "probation"


# --- who is drawn instead -------------------------------------------------------------------------------------------


def test_the_ratio_of_those_left_is_kept(world):
    nice, big, small = world.channel("nice_v2"), world.channel("tosspayments"), world.channel("tosspayments", "small")
    world.group([(nice, 50), (big, 40), (small, 10)])
    take_down(world, "nice_v2")
    chosen = [p.attempt.channel_key for p in charge(world, 0, 200)]
    assert nice not in chosen
    assert 0.72 < chosen.count(big) / 200 < 0.88


@pytest.mark.parametrize("failover", ["unsent", "declined"])
def test_a_standby_takes_over_for_one_time_charges_too(world, failover):
    world.two_gateways((100, 0), failover=failover)
    take_down(world)
    payment = onetime(world)
    assert (payment.state, providers(payment), payment.attempt.decision.mode) == (State.PAID, ["nice_v2"], "standby")


def test_without_failover_no_standby_takes_over(world):
    world.two_gateways((100, 0), failover="off")
    issue(world)
    take_down(world)
    assert providers(onetime(world)) == ["tosspayments"]
    payment = again(world, "order-2")
    assert (payment.state, providers(payment)) == (State.FAILED, ["tosspayments"])
    assert payment.attempt.decision.exclusions == ()


def test_if_all_are_down_all_are_tried(world):
    world.two_gateways((60, 40))
    take_down(world, "tosspayments")
    take_down(world, "nice_v2")
    payment = onetime(world)
    assert payment.state is State.FAILED
    assert sorted(providers(payment)) == ["nice_v2", "tosspayments"]
    reopen(world, "nice_v2")
    assert onetime(world, "order-2").state is State.PAID
    assert state(world, "nice_v2") == "probation"
    assert providers(onetime(world, "order-3")) == ["nice_v2"]
    assert state(world, "nice_v2") == "up"


def test_a_lone_channel_is_tried_although_it_is_down(world):
    world.group([(world.channel("tosspayments"), 100)])
    take_down(world)
    assert len(onetime(world).attempts) == 1
    reopen(world)
    assert onetime(world, "order-2").state is State.PAID


def test_who_is_named_is_charged_whatever_its_health(world):
    world.two_gateways((0, 100))
    issue(world)
    take_down(world)
    reopen(world)
    toss = world.channels["tosspayments"]
    assert providers(again(world, "order-1", Target(channel_key=toss))) == ["tosspayments"]
    assert state(world, "tosspayments") == "probation"
    take_down(world)
    reopen(world)
    payment = charges.charge_card(world.deps, world.merchant_id, request("order-2"), CARD, Target(channel_key=toss))
    assert (payment.state, payment.attempt.decision.mode) == (State.PAID, "direct")


def test_reserved_payments_avoid_what_is_down(world):
    world.two_gateways((100, 0))
    issue(world)
    take_down(world)
    at = world.clock.now() + timedelta(seconds=20)
    schedules.book(world.deps, world.merchant_id, "c1", [schedules.Entry(request("m1"), at)])
    world.clock.set(at)
    world.run_queue()
    [taken] = world.captured()
    assert world.captured("nice_v2") == [taken]


def test_virtual_accounts_count(world):
    world.two_gateways((100, 0), failover="off")
    world.sandboxes["tosspayments"].fail("account", "http_500", times=3)
    account = VirtualAccountRequest("088", world.clock.now() + timedelta(days=1), "홍길동")
    for n in range(3):
        wanted = virtual_accounts.Issue(request(f"v{n}"), account, Target())
        virtual_accounts.issue(world.deps, world.merchant_id, wanted)
    assert state(world, "tosspayments") == "down"


def test_a_key_is_asked_for_everywhere_and_failing_to_issue_it_counts(world):
    world.two_gateways((100, 0))
    take_down(world)
    reopen(world)
    assert [c.pg_provider for c in issue(world).channels.values()] == ["tosspayments", "nice_v2"]
    close(world, "nice_v2")
    for n in range(3):
        assert len(issue(world, f"c{n}").failed) == 1
    assert state(world, "nice_v2") == "down"
    close(world, "tosspayments")
    with pytest.raises(billing_keys.IssueFailed):
        issue(world, "c9")


def test_issuing_keys_does_not_vouch_for_charges(world):
    """Each buyer's key is issued, and no charge on it is answered."""
    world.two_gateways((100, 0))
    meddle(world, charge_billing_key=lambda *_: Unknown("no reply: out of time", unwell=True))
    for n in range(3):
        issue(world)
        again(world, f"order-{n}")
    assert state(world, "tosspayments") == "down"
    issue(world)
    assert state(world, "tosspayments") == "down"
    assert again(world, "order-9").attempt.pg_provider == "nice_v2"


def test_who_is_not_asked_for_a_key_shows_nothing(world):
    world.two_gateways((100, 0))
    take_down(world, "nice_v2")
    wanted = billing_keys.Issue("c1", replace(CARD, password_2digits=None), Target())  # which NICE cannot do without
    assert len(billing_keys.issue(world.deps, world.merchant_id, wanted).failed) == 1
    assert state(world, "nice_v2") == "down"


# --- probes ----------------------------------------------------------------------------------------------------------


def health_task(world):
    return next(t for t in world.queue.tasks if t.kind is TaskKind.HEALTH)


def test_of_many_deliveries_one_asks(world):
    world.two_gateways()
    take_down(world)
    reopen(world)
    asked = []

    def find(inner, *args):
        asked.append(stored_health(world).due_at)
        return inner.find_charge(*args)

    meddle(world, find_charge=find)
    task = health_task(world)
    timer.work(world.deps, replace(task, due_at=world.clock.now()))
    assert not asked  # not before its time
    world.clock.advance(seconds=30)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: timer.work(world.deps, task), range(8)))
    assert asked == [world.clock.now() + health.LEASE]
    assert state(world, "tosspayments") == "probation"


def test_a_worker_that_dies_in_a_probe_is_replaced(world):
    world.two_gateways()
    take_down(world)
    reopen(world)
    world.clock.advance(seconds=30)
    with pytest.raises(SystemExit):
        timer.work(replace(world.deps, store=Dying(world.store, 1)), health_task(world))
    assert state(world, "tosspayments") == "down"
    world.queue.tasks.clear()
    world.run_to_quiet(hours=1)
    assert state(world, "tosspayments") == "probation"


def test_a_task_that_comes_a_fraction_too_early_is_waited_for(world):
    world.two_gateways()
    take_down(world)
    reopen(world)
    task = health_task(world)
    world.clock.set(task.due_at - timedelta(seconds=0.9))
    timer.work(world.deps, task)
    assert world.clock.now() == task.due_at
    assert state(world, "tosspayments") == "probation"


def test_a_lost_task_is_found_by_the_sweep(world):
    world.two_gateways()
    world.queue.fails = True
    take_down(world)
    world.queue.fails = False
    reopen(world)
    world.clock.advance(minutes=2)
    assert world.sweep() == 1
    world.run_queue()
    assert state(world, "tosspayments") == "probation"


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (Declined(DeclineReason.INVALID_REQUEST, "X", "?"), "probation"),
        (Unknown("the query was refused", "UNAUTHORIZED_KEY"), "probation"),
        (Unknown("HTTP 500", unwell=True), "down"),
        (NotSent("refused"), "down"),
    ],
)
def test_any_readable_answer_is_a_sign_of_life(world, answer, after):
    world.two_gateways()
    take_down(world)
    meddle(world, find_charge=lambda *_: answer)
    world.clock.advance(seconds=30)
    world.run_queue()
    assert state(world, "tosspayments") == after


def test_a_gateway_that_cannot_be_asked_is_a_candidate_again_after_its_pause(world):
    world.two_gateways((100, 0))
    take_down(world)
    asked = []

    class Mute(Meddling):
        def spec_of(self, channel):
            spec = self._real.spec_of(channel)
            return replace(spec, operations=spec.operations - {Operation.FIND})

    gateways = Mute(world.deps.gateways, find_charge=lambda *_: asked.append(1))
    world.deps = replace(world.deps, gateways=gateways)
    world.clock.advance(seconds=30)
    world.run_queue()
    assert (state(world, "tosspayments"), asked) == ("probation", [])
    assert providers(onetime(world)) == ["tosspayments", "nice_v2"]
    assert state(world, "tosspayments") == "down"


def test_what_a_dead_worker_leaves_behind_heals(world):
    """Killed after any of its commits: one charge or none for every order, and the channel comes back."""
    world.two_gateways((100, 0))
    close(world)
    for nth in range(1, 9):
        dying = replace(world.deps, store=Dying(world.store, nth))
        try:
            for n in range(3):
                charges.charge_card(dying, world.merchant_id, request(f"order-{nth}-{n}"), CARD, Target())
        except SystemExit:
            continue
    reopen(world)
    world.run_to_quiet(hours=60)
    assert state(world, "tosspayments") in ("probation", "up")
    assert stored_health(world).due_at is None
    taken = [t["order_id"] for t in world.captured()]
    assert len(taken) == len(set(taken))
    for item in [k for k in world.store.items if k[1] == "payment"]:
        payment = lookups.by_imp_uid(world.deps, world.merchant_id, item[0].rsplit("#", 1)[1])
        assert payment.state in (State.PAID, State.FAILED)


# --- what must not matter ------------------------------------------------------------------------------------------


def test_workers_that_fail_at_once_are_all_counted(world):
    world.two_gateways((100, 0), failover="off")
    together = threading.Barrier(3)

    def dead(*_args):
        together.wait(10)
        return DEAD

    meddle(world, charge_card=dead)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: onetime(world, f"order-{n}"), range(3)))
    assert stored_health(world).of(world.channels["tosspayments"]).failures == 3
    assert state(world, "tosspayments") == "down"


@pytest.mark.parametrize("error", [Conflict(None), StoreUnavailable("down"), RuntimeError("a bug")])
def test_a_health_that_cannot_be_written_harms_nobody(world, error):
    world.two_gateways((100, 0))
    close(world)
    written = []

    class NoHealth:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            written.append([type(change).__name__ for change in changes])
            if isinstance(changes[0], Health):
                raise error
            return world.store.commit(*changes)

    world.deps = replace(world.deps, store=NoHealth())
    payment = onetime(world)
    assert payment.state is State.PAID
    assert stored(world, payment).state is State.PAID
    first = written.index(["Health"])
    assert all(kinds == ["Health"] for kinds in written[first:])  # after everything about the payment


def test_an_unreadable_health_is_begun_anew(world):
    world.two_gateways((100, 0))
    take_down(world)
    item = world.store.items[world.merchant_id, "health"]
    item["doc"]["S"] = '{"channels": 7}'
    reopen(world)
    assert providers(onetime(world)) == ["tosspayments"]
    close(world)
    charge(world, 10, 3)
    assert state(world, "tosspayments") == "down"


def test_the_same_on_dynamodb(sandboxes):
    with moto_store() as store:
        world = World(sandboxes, store=store)
        world.two_gateways((100, 0))
        take_down(world)
        assert providers(onetime(world)) == ["nice_v2"]
        reopen(world)
        world.queue.tasks.clear()
        world.clock.advance(minutes=1)
        world.sweep()
        world.run_queue()
        assert state(world, "tosspayments") == "probation"
        store._client.update_item(
            TableName=store._table,
            Key={"pk": {"S": world.merchant_id}, "sk": {"S": "health"}},
            UpdateExpression="SET doc = :unreadable",
            ExpressionAttributeValues={":unreadable": {"S": "{"}},
        )
        close(world)
        charge(world, 10, 3)
        assert state(world, "tosspayments") == "down"


def test_a_channel_that_is_deleted_or_gets_other_credentials_is_forgotten(world):
    world.two_gateways((0, 100))
    take_down(world)
    change = channels.ChannelChange(name="other name")
    channels.update(world.deps, world.admin, world.channels["tosspayments"], change)
    assert state(world, "tosspayments") == "down"
    change = channels.ChannelChange(credentials={"secret_key": "test_sk_rotated000000000000000000"})
    channels.update(world.deps, world.admin, world.channels["tosspayments"], change)
    assert stored_health(world).channels == {}
    spare = world.channel("nice_v2", "spare")
    world.channels["nice_v2"] = spare
    take_down(world, "nice_v2")
    channels.delete(world.deps, world.admin, spare)
    assert stored_health(world).channels == {}


def test_a_probe_drops_a_channel_that_is_gone(world):
    world.two_gateways((0, 100))
    spare = world.channels["tosspayments"] = world.channel("tosspayments", "spare")
    take_down(world)
    before = stored_health(world)
    channels.delete(world.deps, world.admin, spare)
    after = stored_health(world)
    world.store.commit(replace(before, version=after.version))  # counted by a request that was under way
    world.clock.advance(seconds=30)
    timer.work(world.deps, Task(TaskKind.HEALTH, (world.merchant_id,), world.clock.now()))
    assert stored_health(world).channels == {}


def test_a_health_task_for_nobody_is_no_error(world):
    timer.work(world.deps, Task(TaskKind.HEALTH, (world.merchant_id,), world.clock.now()))


def test_pauses_are_shortened_for_test_channels_only(sandboxes):
    world = World(sandboxes, scale=0.01)
    for environment, pause in (("test", 0.3), ("live", 30)):
        channel = world.channel("tosspayments", environment, environment)
        meddle(world, charge_card=lambda *_: DEAD)
        for n in range(3):
            charges.charge_card(
                world.deps, world.merchant_id, request(f"{environment}-{n}"), CARD, Target(channel_key=channel)
            )
        due = stored_health(world).of(channel).next_probe_at
        assert due == world.clock.now() + timedelta(seconds=pause)
    world.clock.advance(seconds=0.3)
    meddle(world, find_charge=lambda *_: DEAD)
    health.probe(world.deps, world.merchant_id)
    found = stored_health(world)
    assert found.of(world.channels["test"]).next_probe_at == world.clock.now() + timedelta(seconds=0.6)
    assert found.of(world.channels["live"]).pauses == 1


# --- what operators see ---------------------------------------------------------------------------------------------


def test_operators_see_health(api, world):
    world.two_gateways((100, 0))
    toss, nice = world.channels["tosspayments"], world.channels["nice_v2"]
    up = {"state": "up", "since": None, "failures": 0, "next_probe_at": None, "last_error": None}
    assert [c["health"] for c in api.get("/admin/channels")[1]] == [up, up]
    take_down(world)
    now = int(world.clock.now().timestamp())
    shown = api.get(f"/admin/channels/{toss}")[1]["health"]
    assert shown == {
        "state": "down", "since": now, "failures": 3, "next_probe_at": now + 30, "last_error": shown["last_error"],
    }  # fmt: skip
    assert shown["last_error"].startswith("not sent: ")
    assert [c["health"]["state"] for c in api.get("/admin/channels")[1]] == ["down", "up"]
    payment = onetime(world)
    [attempt] = api.get(f"/admin/payments/{payment.imp_uid}")[1]["attempts"]
    [excluded] = attempt["decision"]["exclusions"]
    assert (excluded["channel_key"], excluded["code"]) == (toss, "down")
    assert attempt["decision"]["chosen"] == nice
    reopen(world)
    world.clock.advance(seconds=30)
    world.run_queue()
    health_shown = api.get(f"/admin/channels/{toss}")[1]["health"]
    assert (health_shown["state"], health_shown["next_probe_at"]) == ("probation", None)


def test_a_long_error_is_cut(world):
    world.two_gateways((100, 0), failover="off")
    meddle(world, charge_card=lambda *_: Unknown("x" * 5000, unwell=True))
    charge(world, 0, 3)
    assert len(stored_health(world).of(world.channels["tosspayments"]).last_error) <= 200


# --- failover ----------------------------------------------------------------------------------------------------------

SOFT, HARD = ("decline", "REJECT_CARD_COMPANY"), ("decline", "INVALID_CARD_LOST_OR_STOLEN")
UNCLEAR = ["http_500", "garbage", "reply_lost", "wrong_amount"]


@pytest.mark.parametrize(
    ("failover", "fault", "code", "outcomes"),
    [
        ("off", "refuse", None, ["not_sent"]),
        ("unsent", "refuse", None, ["not_sent", "approved"]),
        ("declined", "refuse", None, ["not_sent", "approved"]),
        ("off", *SOFT, ["declined"]),
        ("unsent", *SOFT, ["declined"]),
        ("declined", *SOFT, ["declined", "approved"]),
        *((failover, *HARD, ["declined"]) for failover in ("off", "unsent", "declined")),
        *((failover, fault, None, ["unknown"]) for failover in ("off", "unsent", "declined") for fault in UNCLEAR),
    ],
)
def test_when_another_channel_is_tried(world, failover, fault, code, outcomes):
    world.two_gateways((100, 0), failover=failover)
    world.sandboxes["tosspayments"].fail("charge", fault, code=code, seconds=LONG if fault == "refuse" else 0)
    payment = stored(world, onetime(world))
    assert [a.outcome for a in payment.attempts] == outcomes
    assert providers(payment) == ["tosspayments", "nice_v2"][: len(outcomes)]
    final = {"approved": State.PAID, "unknown": State.UNKNOWN}.get(outcomes[-1], State.FAILED)
    assert payment.state is final
    assert len(world.sandboxes["nice_v2"].transactions()) == len(outcomes) - 1
    if outcomes[0] != "unknown":
        assert all(a.message or a.outcome == "approved" for a in payment.attempts)


def test_each_channel_is_tried_at_most_once(world):
    names = ["tosspayments", "second", "third"]
    keys = [world.channel("tosspayments", name) for name in names] + [world.channel("nice_v2")]
    world.group(list(zip(keys, (20, 30, 0, 50), strict=True)), failover="declined")
    close(world, "tosspayments")
    close(world, "nice_v2")
    payment = stored(world, onetime(world))
    assert payment.state is State.FAILED
    assert sorted(a.channel_key for a in payment.attempts) == sorted(keys)
    assert payment.attempts[-1].channel_key == keys[2]  # the standby, when no weighted one is left
    assert {a.outcome for a in payment.attempts} == {"not_sent"}
    assert len({a.order_id for a in payment.attempts}) == 4


def test_a_second_channel_that_cannot_be_opened_leaves_a_clear_result(world):
    world.two_gateways((100, 0), failover="unsent")
    close(world)

    class Closed(Meddling):
        def open(self, channel, credentials):
            if channel.pg_provider == "nice_v2":
                raise Refused("이 스테이지에서는 사용할 수 없습니다.")
            return self._real.open(channel, credentials)

    world.deps = replace(world.deps, gateways=Closed(world.deps.gateways))
    payment = stored(world, onetime(world))
    assert (payment.state, [a.outcome for a in payment.attempts]) == (State.FAILED, ["not_sent"])
