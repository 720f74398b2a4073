"""What every store promises of counters: they say what is stored, whoever writes beside whom, and cost one query."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from botocore.exceptions import ConnectionClosedError

from chalicelib.domain.accounts import Audit
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import CardSummary
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.keys import BillingKey, ChannelKey
from chalicelib.domain.orders import ScheduleState
from chalicelib.domain.payments import Attempt, Payment, State
from chalicelib.domain.routing import Candidate, Decision, Exclusion
from chalicelib.domain.statistics import hour_slot
from chalicelib.ports import Deleted, Page
from chalicelib.storage import tallies
from tests.contract.test_lists import Contended, page, shards
from tests.contract.test_store import MOTO, NOW, REAL, opened, order, payment, ref

M, GROUP = "imp00000001", "channel-group-test-1"
THEN = hour_slot(NOW)


@pytest.fixture(params=["memory", MOTO, REAL])
def store(request):
    yield from opened(request)


@pytest.fixture(params=[MOTO, REAL])
def table(request):
    yield from opened(request)


def decision(chosen="a", mode="weighted"):
    candidates = (Candidate("a", "tosspayments", "mid", 60), Candidate("b", "nice_v2", "mid", 20))
    out = (Exclusion("c", "kcp", "no_key", "x", 10), Exclusion("d", "kicc", "disabled", "x", 10))
    return Decision(mode, chosen, candidates, out, 0.5, GROUP, 3, NOW)


def attempt(n=1, channel_key="a", outcome=None, **kwargs):
    return Attempt(
        n, f"imp1a{n}", channel_key, "tosspayments", "mid", NOW, decision(channel_key), outcome=outcome, **kwargs
    )


def made(imp_uid, *attempts):
    return replace(payment(imp_uid), attempts=attempts)


def stats(store, subject, low=THEN, high=THEN):
    return store.counters((M, "stats", subject), low, high)


def test_a_try_under_way_counts_as_nothing_and_its_end_counts_for_channel_and_group(store):
    (claimed,) = store.commit(made("imp_1", attempt()))
    assert (stats(store, "a"), stats(store, GROUP)) == ({}, {})
    done = attempt(outcome="approved", took_ms=250)
    store.commit(replace(claimed, attempts=(done,), state=State.PAID, paid_at=NOW))
    assert stats(store, "a") == {THEN: Counter(approved=1, ms_300=1, amount_KRW=1000)}
    asked = {"asked:a": 6667, "asked:b": 2222, "asked:c": 1111}
    assert stats(store, GROUP) == {THEN: Counter({"payments": 1, "delivered:a": 1, **asked})}


def test_an_outcome_that_changes_later_moves_the_counters_of_its_own_hour(store):
    (doubtful,) = store.commit(made("imp_1", attempt(outcome="unknown", took_ms=60_000)))
    assert stats(store, "a") == {THEN: Counter(unknown=1, ms_60000=1)}
    later = NOW + timedelta(hours=30)
    done = replace(doubtful.attempts[0], outcome="approved")
    store.commit(replace(doubtful, attempts=(done,), state=State.PAID, paid_at=later, updated_at=later))
    assert stats(store, "a", THEN, hour_slot(later)) == {THEN: Counter(approved=1, ms_60000=1, amount_KRW=1000)}


def test_a_failover_moves_what_was_delivered_and_keeps_what_was_asked(store):
    first = attempt(1, "a", "not_sent", took_ms=3000)
    (second,) = store.commit(made("imp_1", first, attempt(2, "b")))
    assert stats(store, "a") == {THEN: Counter(not_sent=1)}
    assert (stats(store, "b"), stats(store, GROUP)[THEN]["delivered:b"]) == ({}, 1)
    no = attempt(2, "b", "declined", reason=DeclineReason.INSUFFICIENT_FUNDS, took_ms=99)
    store.commit(replace(second, attempts=(first, no), state=State.FAILED, failed_at=NOW))
    assert stats(store, "b") == {THEN: Counter(declined=1, reason_insufficient_funds=1, ms_100=1)}
    counts = stats(store, GROUP)[THEN]
    assert (counts["payments"], counts["delivered:a"], counts["delivered:b"]) == (1, 0, 1)


def test_what_a_write_without_room_left_out_is_made_up_for(table):
    (claimed,) = table.commit(made("imp_1", attempt()))
    paid = replace(claimed, attempts=(attempt(outcome="approved"),), state=State.PAID, paid_at=NOW)
    client, table._client = table._client, Contended(table._client, times=99)
    (stored,) = table.commit(paid)
    assert table.load(ref(stored)) == stored
    assert stats(table, "a") == {}
    table._client = client
    table.commit(replace(stored, receipt_url="https://x"))
    assert stats(table, "a") == {THEN: Counter(approved=1, amount_KRW=1000)}


class Forgetful(Contended):
    """Carries out what comes after the crowd, and loses its replies."""

    def transact_write_items(self, TransactItems):
        super().transact_write_items(TransactItems)
        raise ConnectionClosedError(endpoint_url="https://dynamodb")


def test_a_lost_reply_to_the_write_that_only_counts_keeps_nobody_from_writing_the_result(table):
    """Who does not know that it was carried out would be told of a conflict, and the merchant that nobody knows."""
    client, table._client = table._client, Forgetful(table._client, times=4)
    (claimed,) = table.commit(made("imp_1", attempt()))
    table._client = client
    assert table.load(ref(claimed)) == claimed
    table.commit(replace(claimed, attempts=(attempt(outcome="approved"),), state=State.PAID, paid_at=NOW))
    assert stats(table, "a") == {THEN: Counter(approved=1, amount_KRW=1000)}
    assert page(table, "paid").total == 1


def test_a_result_takes_one_shard_for_all_its_counters_and_leaves_it_to_whom_it_meets_there(table):
    client = table._client
    for n in range(20):
        (claimed,) = table.commit(made(f"imp_{n}", attempt()))
        table._client = Contended(client, times=n % 2)
        table.commit(replace(claimed, attempts=(attempt(outcome="approved"),), state=State.PAID, paid_at=NOW))
        for items in table._client.writes:
            assert len([w for w in items if "Update" in w]) == 2
            assert len({shard.rpartition("#")[2] for shard in shards([items])}) == 1
        table._client = client
    assert stats(table, "a")[THEN]["approved"] == stats(table, GROUP)[THEN]["payments"] == 20


def key(customer_uid, *channel_keys, group_id=GROUP, **kwargs):
    card = CardSummary()
    held = {k: ChannelKey(k, "tosspayments", "mid", "sealed", card, NOW, NOW) for k in channel_keys}
    return BillingKey(M, customer_uid, Environment.TEST, held, NOW, NOW, group_id, **kwargs)


def test_super_keys_are_counted_by_the_channels_that_hold_one(store):
    first, second, _ = store.commit(key("1", "b", "a"), key("2", "a", "b"), key("3", "a", group_id=None))
    assert store.counters((M, "coverage", GROUP)) == {"a,b": Counter(n=2)}
    again = key("2", "a", version=second.version, counted_as=second.counted_as)
    (again,) = store.commit(again)
    assert store.counters((M, "coverage", GROUP)) == {"a": Counter(n=1), "a,b": Counter(n=1)}
    store.commit(Deleted(again))
    store.commit(Deleted(first))
    assert store.counters((M, "coverage", GROUP)) == {}


OUTCOMES = ("approved", "declined", "not_sent", "unknown", "pending", "issued", "left", None)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_moves_the_counters_say_what_is_stored(store, seed):
    """Random payments that are written again and again, at random hours; some are removed."""
    rng = random.Random(seed)
    alive = {}

    def some(n):
        tries = []
        for number in range(1, rng.randrange(1, 4)):
            at = NOW + timedelta(minutes=rng.randrange(300))
            one = attempt(number, rng.choice("ab"), rng.choice(OUTCOMES), took_ms=rng.choice([None, 5, 700, 70_000]))
            tries.append(replace(one, started_at=at, reason=rng.choice([None, *DeclineReason])))
        known = alive.get(n)
        stored = {"version": known.version, "counted_as": known.counted_as} if known else {}
        return replace(payment(f"imp_{n}"), attempts=tuple(tries), to_be_voided=n % 5 == 0, **stored)

    for _ in range(60):
        n = rng.randrange(12)
        if n in alive and rng.random() < 0.2:
            store.commit(Deleted(alive.pop(n)))
        else:
            (alive[n],) = store.commit(some(n))
    wanted = Counter()
    for one in alive.values():
        wanted.update(tallies.places(tallies.label(one)))
    for subject in ("a", "b", GROUP):
        found = stats(store, subject, THEN, hour_slot(NOW + timedelta(hours=5)))
        flat = {(slot, name): number for slot, here in found.items() for name, number in here.items()}
        assert flat == {(slot, name): n for (pk, slot, name), n in wanted.items() if pk == f"{M}#stats#{subject}"}


def test_a_stretch_has_its_first_and_its_last_hour_and_no_other(store):
    for n in range(5):
        at = NOW + timedelta(hours=n)
        store.commit(made(f"imp_{n}", replace(attempt(outcome="approved"), started_at=at)))
    hours = [hour_slot(NOW + timedelta(hours=n)) for n in range(5)]
    assert sorted(stats(store, "a", hours[1], hours[3])) == hours[1:4]
    assert sorted(store.counters((M, "stats", "a"))) == hours
    assert store.counters(("imp00000002", "stats", "a")) == {}


@pytest.mark.parametrize("table", [REAL], indirect=True)
def test_results_at_the_same_time_are_all_counted(table):
    """On the real thing only: moto is no model of concurrency."""

    def write(n):
        (claimed,) = table.commit(made(f"imp_{n:04d}", attempt()))
        table.commit(replace(claimed, attempts=(attempt(outcome="approved"),), state=State.PAID, paid_at=NOW))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    since, until = NOW - timedelta(days=1), NOW + timedelta(days=1)
    listed = page(table, "paid", since=since, until=until).items
    counted = sum("approved" in (one.counted_as or "") for one in listed)
    assert (len(listed), stats(table, "a")[THEN]["approved"]) == (80, counted)


# --- lists of the console ---


def test_reserved_payments_are_counted_by_the_hour(store):
    for n in range(5):
        store.commit(order(f"o{n}", NOW + timedelta(minutes=50 * n)))
    begins = int(NOW.timestamp())
    lists = [(M, "schedules", state) for state in ScheduleState]
    found = store.hourly(lists, begins, begins + 3 * 3600 + 1800)
    assert found == {begins: 2, begins + 3600: 1, begins + 3 * 3600: 1} | {begins + 2 * 3600: 1}
    # An hour that lies in the stretch only in part is counted as far as it does.
    assert store.hourly(lists[:1], begins + 60, begins + 3660) == {begins: 1}
    assert store.hourly(lists[1:], begins, begins + 9 * 3600) == store.hourly(lists, begins, begins) == {}


def test_everything_of_a_kind_is_listed_newest_first_over_all_subjects(store):
    for n in range(5):
        at = NOW + timedelta(minutes=n)
        store.commit(Audit(M, f"subject{n % 2}", f"{at.timestamp():017.6f}-{n:08x}", "saved", at, "me"))
    store.commit(Audit("imp00000002", "subject0", "1", "saved", NOW, "you"))
    first = store.newest(Audit, M, limit=2)
    assert [a.at.minute for a in first.items] == [4, 3]
    rest = store.newest(Audit, M, limit=9, cursor=first.cursor)
    assert [a.at.minute for a in rest.items] == [2, 1, 0]
    assert store.newest(Audit, "imp00000003") == Page((), None)
    assert [a.at.minute for a in store.list(Audit, (M, "audit", "subject1")).items] == [1, 3]


def test_a_payment_is_found_by_its_gateways_name_for_it(store):
    made, _ = store.commit(replace(payment("imp_1"), gateway_ref="tid-1"), replace(payment("imp_2")))
    (other,) = store.commit(replace(payment("imp_3"), gateway_ref="tid-1"))
    assert store.by_ref(Payment, M, "tid-1") == (made, other)
    assert store.by_ref(Payment, M, "tid-1", limit=1) == (made,)
    (moved,) = store.commit(replace(made, gateway_ref="tid-2"))
    assert (store.by_ref(Payment, M, "tid-1"), store.by_ref(Payment, M, "tid-2")) == ((other,), (moved,))
    foreign = replace(payment("imp_1"), merchant_id="imp00000002", gateway_ref="tid-9")
    store.commit(foreign)
    assert store.by_ref(Payment, M, "tid-9") == ()


def test_what_no_index_takes_as_a_name_keeps_no_payment_unwritten(store):
    for n, ref_ in enumerate(("", "x" * 3000)):
        (stored,) = store.commit(replace(payment(f"imp_{n}"), gateway_ref=ref_))
        assert store.load(ref(stored)) == stored
        assert store.by_ref(Payment, M, ref_) == ()


def test_what_was_read_while_it_moved_is_never_below_nothing(table):
    """A query reads shards one after another: a write in between may have been seen in one of them only."""
    name = {"pk": {"S": f"{M}#stats#a"}, "sk": {"S": f"{THEN}#03"}}
    table._client.put_item(TableName=table._table, Item=name | {"approved": {"N": "-1"}, "declined": {"N": "2"}})
    assert stats(table, "a") == {THEN: Counter(declined=2)}
