"""What every store promises of lists: right pages, right totals, whatever moved meanwhile, and never a scan."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from chalicelib.domain.cancels import claim_cancel, finish_cancel
from chalicelib.domain.charging import Approved, Cancelled, Declined, GatewayCancel
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.money import Money
from chalicelib.domain.orders import Order, ScheduleState
from chalicelib.domain.payments import Attempt, Cancellation, CancelState, Payment, State, approve, decline
from chalicelib.domain.routing import Decision
from chalicelib.ports import Deleted, Listing, StoreUnavailable, TooMany
from chalicelib.storage import lists as listing
from tests.contract.test_store import MOTO, REAL, opened, order, payment, ref

M = "imp00000001"
START = datetime(2026, 11, 20, 22, 59, 58, tzinfo=UTC)
STATUSES = ("ready", "paid", "failed", "cancelled")


@pytest.fixture(params=["memory", MOTO, REAL])
def store(request):
    yield from opened(request)


@pytest.fixture(params=[MOTO, REAL])
def table(request):
    yield from opened(request)


def seconds(at):
    return int(at.timestamp())


def page(store, *facets, since=START - timedelta(days=1), until=START + timedelta(days=40), **wanted):
    wanted = {"offset": 0, "limit": 1000, **wanted}
    lists = [(M, "payments", facet) for facet in facets]
    return store.page(Payment, lists, seconds(since), seconds(until), **wanted)


def made(n, state, at, **kwargs):
    """A payment that reached its state at `at`, and began some minutes before."""
    times = {"paid_at": at} if state is State.PAID else {"failed_at": at} if state is State.FAILED else {}
    began = at if state is State.UNKNOWN else at - timedelta(minutes=n % 7)
    kwargs |= {"state": state, "started_at": began, "updated_at": at + timedelta(seconds=n % 5)}
    return replace(payment(f"imp_{n:04d}"), **kwargs, **times)


def test_a_charge_on_its_way_is_not_listed_though_counted_and_one_in_doubt_is(store):
    (claimed,) = store.commit(payment())
    around = {"since": claimed.started_at - timedelta(days=1), "until": claimed.started_at + timedelta(days=1)}
    assert page(store, *STATUSES, **around).items == ()
    (doubtful,) = store.commit(replace(claimed, unknown_since=claimed.started_at))
    assert page(store, *STATUSES, **around) == page(store, "ready", **around) == Listing((doubtful,), 1)


def test_the_result_of_most_charges_moves_no_counter_of_a_list(table):
    (claimed,) = table.commit(payment())
    writes = []
    table._client.meta.events.register("before-call.dynamodb", lambda model, **_: writes.append(model.name))
    paid = replace(claimed, state=State.PAID, paid_at=claimed.updated_at)
    table.commit(paid)
    assert writes == ["PutItem"]


def test_a_payment_is_in_the_list_of_its_status_and_in_no_other(store):
    at = START + timedelta(hours=3)
    (stored,) = store.commit(replace(payment(), started_at=START))
    result = Approved("tid", Money(1000), at)
    stored = replace(stored, attempts=(attempt(),))
    (paid,) = store.commit(approve(stored, result, at))
    assert [page(store, s).total for s in STATUSES] == [0, 1, 0, 0]
    assert page(store, "paid").items == (paid,)
    (claimed,) = store.commit(
        claim_cancel(paid, Cancellation("c1", Money(1000), "r", CancelState.CLAIMED, at), at + timedelta(minutes=1))
    )
    assert [page(store, s).total for s in STATUSES] == [0, 1, 0, 0]
    later = at + timedelta(days=2)
    done = Cancelled(GatewayCancel("c", Money(1000), later), Money(0))
    (cancelled,) = store.commit(finish_cancel(claimed, claimed.open_cancel.cancel_id, done, later))
    assert [page(store, s).total for s in STATUSES] == [0, 0, 0, 1]
    assert page(store, "cancelled", since=later).items == (cancelled,)
    assert page(store, "cancelled", until=later).total == 0


def attempt():
    return Attempt(1, "imp1a1", "ch", "tosspayments", "mid", START, Decision("direct", "ch", ()))


def sort_key(payment):
    times = (payment.status_at, payment.started_at, payment.paid_at, payment.updated_at)
    return [seconds(at) if at else 0 for at in times], payment.imp_uid


@pytest.mark.parametrize("seed", range(3))
def test_every_page_of_every_stretch_is_what_a_plain_list_would_give(store, seed):
    """Random payments over three days, some moved or removed; then pages, totals and orders against sorted()."""
    rng = random.Random(seed)
    states = [State.PAID] * 3 + [State.FAILED, State.UNKNOWN]
    alive = {}
    for n in range(60):
        at = START + timedelta(seconds=rng.randrange(3 * 86400) if n % 3 else rng.randrange(7200))
        (alive[n],) = store.commit(made(n, rng.choice(states), at))
    for n in rng.sample(sorted(alive), 15):
        at = START + timedelta(seconds=rng.randrange(3 * 86400))
        moved = made(n, rng.choice(states), at, version=alive[n].version, counted_as=alive[n].counted_as)
        (alive[n],) = store.commit(moved)
    for n in rng.sample(sorted(alive), 5):
        store.commit(Deleted(alive.pop(n)))
    for _ in range(12):
        since = START + timedelta(seconds=rng.randrange(3 * 86400))
        until = since + timedelta(seconds=rng.choice([1, 1800, 3600, 86400, 3 * 86400]))
        facets = rng.choice([("paid",), ("failed",), ("ready",), ("paid", "failed"), STATUSES])
        newest_first, limit = rng.random() < 0.5, rng.choice([1, 3, 10, 100])
        wanted = sorted(
            (
                p
                for p in alive.values()
                if p.v1_status in facets and seconds(since) <= seconds(p.status_at) < seconds(until)
            ),
            key=sort_key,
            reverse=newest_first,
        )
        seen, offset = [], 0
        while True:
            found = page(
                store, *facets, since=since, until=until, newest_first=newest_first, offset=offset, limit=limit
            )
            assert found.total == len(wanted)
            seen += found.items
            offset += limit
            if offset >= found.total:
                break
        assert seen == wanted
        by_start = page(store, *facets, since=since, until=until, newest_first=newest_first, by=1)
        assert [p.started_at for p in by_start.items] == sorted((p.started_at for p in wanted), reverse=newest_first)


def test_entries_that_come_and_go_in_one_write_are_counted_too(store):
    orders = store.commit(*[order(f"o{n}", START + timedelta(hours=n)) for n in range(5)])
    whole = (seconds(START), seconds(START + timedelta(hours=5)))

    def total(state):
        return store.page(Order, [(M, "schedules", state)], *whole, offset=0, limit=2).total

    assert [total(state) for state in ScheduleState] == [5, 0, 0]
    revoked = replace(orders[0].schedule, state=ScheduleState.REVOKED, due_at=None)
    store.commit(replace(orders[0], schedule=revoked), Deleted(orders[1]))
    assert [total(state) for state in ScheduleState] == [3, 0, 1]


def test_what_a_full_write_has_no_room_for_is_counted_right_after(table):
    """51 entries on 51 days: more tallies than one transaction takes."""
    orders = table.commit(*[order(f"o{n}", START + timedelta(days=n)) for n in range(51)])
    assert {o.version for o in orders} == {1, 2}
    assert table.load_many([ref(o) for o in orders]) == list(orders)
    lists = [(M, "schedules", "scheduled")]
    whole = (seconds(START), seconds(START + timedelta(days=60)))
    assert table.page(Order, lists, *whole, offset=0, limit=100).total == 51


def test_what_belongs_to_one_customer_pages_by_its_keys(store):
    for n in range(5):
        store.commit(order(f"o{n}", START + timedelta(days=n)))
    (last,) = store.commit(order("o9", START + timedelta(days=9)))
    store.commit(replace(last, schedule=replace(last.schedule, state=ScheduleState.REVOKED)))
    store.commit(order("other", START, customer_uid="c2"))
    whole = (seconds(START), seconds(START + timedelta(days=10)))
    owner = (M, "schedules_of", "c1")
    found = store.page_of(Order, owner, *whole, offset=1, limit=2)
    assert ([o.merchant_uid for o in found.items], found.total) == (["o4", "o3"], 6)
    found = store.page_of(Order, owner, *whole, offset=0, limit=9, newest_first=False, facet="scheduled")
    assert ([o.merchant_uid for o in found.items], found.total) == ([f"o{n}" for n in range(5)], 5)
    assert store.page_of(Order, owner, whole[0], whole[0] + 86400, offset=0, limit=9).total == 1


def test_too_many_to_sort_is_said(store, monkeypatch):
    monkeypatch.setattr(listing, "MAX_SORTED", 3)
    monkeypatch.setattr("tests.support.memory_store.MAX_SORTED", 3)
    for n in range(4):
        store.commit(made(n, State.PAID, START))
    assert page(store, "paid").total == 4
    with pytest.raises(TooMany):
        page(store, "paid", by=1)


@pytest.mark.parametrize("table", [REAL], indirect=True)
def test_writers_at_the_same_time_are_all_counted(table):
    """On the real thing only: moto is no model of concurrency."""

    def write(n):
        (claimed,) = table.commit(replace(payment(f"imp_{n:04d}"), started_at=START))
        table.commit(replace(claimed, state=State.PAID, paid_at=START + timedelta(seconds=n)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    counted = sum("@" in (p.counted_as or "") for p in page(table, "paid", limit=1000).items)
    assert page(table, "paid").total == counted == 80


class Contended:
    """A client whose transactions find a counter taken, as often as it is told."""

    def __init__(self, client, times):
        self._client, self.times, self.writes = client, times, []

    def __getattr__(self, name):
        return getattr(self._client, name)

    def transact_write_items(self, TransactItems):
        self.writes.append(TransactItems)
        if len(self.writes) <= self.times:
            reasons = [{"Code": "None"}] * (len(TransactItems) - 1) + [{"Code": "TransactionConflict"}]
            error = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(error, "TransactWriteItems")
        return self._client.transact_write_items(TransactItems=TransactItems)


def shards(writes):
    return {w["Update"]["Key"]["sk"]["S"] for items in writes for w in items if "Update" in w}


def test_a_counter_that_others_hold_is_left_for_another_and_never_keeps_money_unwritten(table):
    (claimed,) = table.commit(payment())
    paid = replace(claimed, state=State.PAID, paid_at=START)
    table._client = Contended(table._client, times=99)
    (stored,) = table.commit(paid)
    assert len(shards(table._client.writes)) > 1
    assert stored.counted_as == claimed.counted_as
    assert table.load(ref(stored)) == stored
    table._client.times = 0
    (caught_up,) = table.commit(replace(stored, receipt_url="https://x"))
    assert page(table, "paid") == Listing((caught_up,), 1)


def test_what_is_deleted_is_never_left_in_the_count(table):
    """Nothing is left of it that could make up for it later, and deleting waits for nobody's money."""
    hour = (seconds(START) // 3600 * 3600, seconds(START) // 3600 * 3600 + 3600)

    def total():
        return table.page(Order, [(M, "schedules", "scheduled")], *hour, offset=0, limit=9).total

    (stored,) = table.commit(order("o1", START))
    client = table._client
    table._client = Contended(client, times=5)
    with pytest.raises(StoreUnavailable):
        table.commit(Deleted(stored))
    assert (table.load(ref(stored)), total()) == (stored, 1)
    table._client = Contended(client, times=4)
    table.commit(Deleted(stored))
    assert (table.load(ref(stored)), total()) == (None, 0)


@pytest.mark.parametrize("at", [0, 20_000 * 86_400, 20_000 * 86_400 + 5])
def test_an_empty_stretch_has_an_empty_page(store, at):
    lists = [(M, "schedules", state) for state in ScheduleState]
    assert store.page(Order, lists, at, at, offset=0, limit=20) == Listing((), 0)


def test_declines_are_listed_by_when_they_failed(store):
    (claimed,) = store.commit(replace(payment(), started_at=START, attempts=(attempt(),)))
    at = START + timedelta(hours=30)
    (failed,) = store.commit(decline(claimed, Declined(DeclineReason.INSUFFICIENT_FUNDS, "51", "x"), at))
    assert page(store, "failed", since=at, until=at + timedelta(seconds=1)).items == (failed,)
