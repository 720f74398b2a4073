"""What every store promises, over each of them: versions decide, all or none, reads see writes, due in time order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.accounts import ApiKey, Audit
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import PaymentRequest
from chalicelib.domain.money import Money
from chalicelib.domain.notices import Notice
from chalicelib.domain.orders import Order, Schedule, ScheduleState
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Conflict, Deleted, Ref
from chalicelib.storage.items import DUE_SHARDS, shard_of
from tests.support.memory_store import MemoryStore
from tests.support.stores import local_store, moto_store, unique_table

NOW = datetime(2026, 11, 23, 3, 0, 0, 123456, tzinfo=UTC)


MEMORY, MOTO, REAL = "memory", "moto", pytest.param("dynamodb_local", marks=pytest.mark.real)


def opened(request):
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "moto":
        with moto_store() as store:
            yield store
    else:
        yield local_store(request.getfixturevalue("dynamodb_local_url"), unique_table())


@pytest.fixture(params=[MEMORY, MOTO, REAL])
def store(request):
    yield from opened(request)


@pytest.fixture(params=[MOTO, REAL])
def table(request):
    """Only those that a network lies before."""
    yield from opened(request)


def payment(imp_uid="imp_1", **kwargs):
    return Payment(
        merchant_id="imp00000001",
        imp_uid=imp_uid,
        environment=Environment.TEST,
        request=PaymentRequest("주문 / 1", Money(1000), custom_data='{"a": "한글"}'),
        state=State.CLAIMED,
        attempts=(),
        started_at=NOW,
        updated_at=NOW,
        **kwargs,
    )


def order(uid="주문 / 1", due_at=None, customer_uid="c1", **kwargs):
    schedule = Schedule(
        customer_uid,
        PaymentRequest(uid, Money(1)),
        due_at or NOW,
        ScheduleState.SCHEDULED,
        NOW,
        Environment.TEST,
        due_at=due_at,
    )
    return Order("imp00000001", uid, schedule=schedule, **kwargs)


def ref(entity):
    from chalicelib.storage.items import ref_of

    return ref_of(entity)


def test_what_is_written_is_read_back_equal(store):
    stored, held = store.commit(payment(due_at=NOW), order(due_at=NOW))
    assert stored.version == held.version == 1
    assert store.load(ref(stored)) == stored
    assert store.load(ref(stored), ref(held)) == (stored, held)
    assert store.load(Ref(Payment, ("imp00000001", "imp_2"))) is None
    assert store.load(Ref(Payment, ("imp00000002", "imp_1"))) is None


def test_load_sees_missing_and_repeated_refs(store):
    (stored,) = store.commit(payment())
    missing = Ref(Payment, ("imp00000001", "nope"))
    assert store.load_many([ref(stored), missing, ref(stored)]) == [stored, None, stored]
    assert store.load_many([]) == []


def test_load_many_beyond_one_batch(store):
    for n in range(0, 120, 40):
        store.commit(*[order(f"o{m}") for m in range(n, n + 40)])
    found = store.load_many([Ref(Order, ("imp00000001", f"o{n}")) for n in range(120)])
    assert [o.merchant_uid for o in found] == [f"o{n}" for n in range(120)]


def test_creating_twice_conflicts(store):
    store.commit(payment(alarm="first"))
    with pytest.raises(Conflict):
        store.commit(payment(alarm="second"))
    assert store.load(ref(payment())).alarm == "first"


def test_an_old_version_conflicts(store):
    (first,) = store.commit(payment())
    (second,) = store.commit(replace(first, alarm="a"))
    assert second.version == 2
    with pytest.raises(Conflict) as error:
        store.commit(replace(first, alarm="b"))
    assert error.value.entity.alarm == "b"
    assert store.load(ref(first)) == second


def test_all_or_none(store):
    (held,) = store.commit(order())
    fresh = payment("imp_9")
    with pytest.raises(Conflict) as error:
        store.commit(fresh, replace(held, version=0))
    assert isinstance(error.value.entity, Order)
    assert store.load(ref(fresh)) is None


def test_of_two_who_write_the_very_same_one_wins(store):
    """Two workers in the same instant: each of them would go on to send what it has claimed."""
    store.commit(payment())
    with pytest.raises(Conflict):
        store.commit(payment())
    with pytest.raises(Conflict):
        store.commit(payment(), order("x"))
    (held, _) = store.commit(payment("imp_5"), order("x"))
    store.commit(replace(held, alarm="a"))
    with pytest.raises(Conflict):
        store.commit(replace(held, alarm="a"))


def test_deleting_needs_the_version(store):
    (first,) = store.commit(payment())
    (second,) = store.commit(replace(first, alarm="a"))
    with pytest.raises(Conflict):
        store.commit(Deleted(first))
    store.commit(Deleted(second))
    assert store.load(ref(first)) is None
    store.commit(payment())


def test_due_lists_what_is_due_in_time_order_and_nothing_else(store):
    made = [order(f"o{n}", NOW + timedelta(seconds=60 - n)) for n in range(40)]
    store.commit(*made)
    store.commit(order("never"))
    found = []
    for shard in range(DUE_SHARDS):
        listed = list(store.due(shard, None, NOW + timedelta(seconds=40)))
        assert listed == sorted(listed, key=lambda item: item.due_at)
        assert all(shard_of(f"imp00000001#order#{item.parts[1]}") == shard for item in listed)
        found += listed
    assert {item.parts[1] for item in found} == {f"o{n}" for n in range(20, 40)}
    assert {item.kind for item in found} == {"schedule"}
    late = [
        i for s in range(DUE_SHARDS) for i in store.due(s, NOW + timedelta(seconds=35), NOW + timedelta(seconds=40))
    ]
    assert {item.parts[1] for item in late} == {f"o{n}" for n in range(20, 26)}


def test_what_is_no_longer_due_leaves_the_index(store):
    (booked,) = store.commit(order("o1", NOW))
    store.commit(replace(booked, schedule=replace(booked.schedule, due_at=None)))
    assert not [i for s in range(DUE_SHARDS) for i in store.due(s, None, NOW)]


def test_lists_page_in_order_and_stay_within_their_owner(store):
    for n in range(7):
        store.commit(order(f"o{n}", NOW + timedelta(days=n)))
    store.commit(order("foreign", NOW, customer_uid="c1#x"))
    seen, cursor = [], None
    while True:
        page = store.list(Order, ("imp00000001", "schedules_of", "c1"), limit=3, cursor=cursor)
        seen += [o.merchant_uid for o in page.items]
        if not (cursor := page.cursor):
            break
    assert seen == [f"o{n}" for n in range(7)]
    newest = store.list(Order, ("imp00000001", "schedules_of", "c1"), limit=2, newest_first=True)
    assert [o.merchant_uid for o in newest.items] == ["o6", "o5"]


def test_what_waits_for_a_person_is_listed_newest_first_until_it_does_not(store):
    made = []
    for n in range(5):
        at = NOW + timedelta(seconds=n)
        made += store.commit(replace(payment(f"imp_{n}"), alarm=f"a{n}", updated_at=at))
    store.commit(payment("imp_calm"))
    store.commit(replace(payment("imp_foreign"), merchant_id="imp00000002", alarm="not ours"))
    first = store.alarms(Payment, "imp00000001", limit=2)
    assert [p.alarm for p in first.items] == ["a4", "a3"]
    rest = store.alarms(Payment, "imp00000001", limit=3, cursor=first.cursor)
    assert [p.alarm for p in rest.items] == ["a2", "a1", "a0"]
    assert not rest.cursor or not store.alarms(Payment, "imp00000001", cursor=rest.cursor).items
    store.commit(replace(made[3], alarm=None))
    assert [p.alarm for p in store.alarms(Payment, "imp00000001").items] == ["a4", "a2", "a1", "a0"]
    assert store.alarms(Payment, "imp00000001", cursor="nonsense ~").items[0] == made[4]


def test_every_kind_survives_the_round_trip(store):
    notice = Notice("imp00000001", "wh_1", "https://x", Environment.TEST, "imp_1", "m", "paid", NOW, due_at=NOW)
    audit = Audit("imp00000001", "group", "1", "saved", NOW, "me", {"a": [1, {"b": None}]}, None)
    key = ApiKey("1" * 16, "imp11111111", "hash", "token", NOW)
    for entity in (notice, audit, key):
        (stored,) = store.commit(entity)
        assert store.load(ref(entity)) == stored == replace(entity, version=1)


def uncounted():
    """Something that is written by itself: no counter moves with it."""
    return ApiKey("1" * 16, "imp11111111", "hash", "token", NOW)


class Stubborn:
    """A DynamoDB client whose first answers to one operation are these errors; then the real one."""

    def __init__(self, client, operation, errors):
        self._client, self._operation, self._errors = client, operation, list(errors)

    def __getattr__(self, name):
        real = getattr(self._client, name)
        if name != self._operation:
            return real

        def answer(**arguments):
            if self._errors:
                raise self._errors.pop(0)
            return real(**arguments)

        return answer


class Repeating:
    """A DynamoDB client that sends every write twice, as the SDK does when the answer to the first was lost."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        real = getattr(self._client, name)

        def twice(**arguments):
            real(**arguments)
            return real(**arguments)

        return twice if name in ("put_item", "delete_item", "transact_write_items") else real


def test_a_write_that_meets_itself_is_no_conflict():
    with moto_store() as store:
        store._client = Repeating(store._client)
        (key,) = store.commit(uncounted())
        assert key.version == 1
        (changed,) = store.commit(replace(key, token="other"))
        assert changed.version == 2
        first, second = store.commit(payment(), order())
        assert (first.version, second.version) == (1, 1)
        store.commit(Deleted(changed), replace(first, alarm="a"))
        assert store.load(ref(first)).alarm == "a"


def cancelled(*codes):
    from botocore.exceptions import ClientError

    reasons = [{"Code": code} for code in codes]
    return ClientError(
        {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}, "TransactWriteItems"
    )


def conflict():
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": "TransactionConflictException"}}, "PutItem")


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_that_met_another_is_tried_again(code):
    with moto_store() as store:
        store._client = Stubborn(store._client, "transact_write_items", [cancelled("None", code)] * 3)
        assert store.commit(payment(), order())[0].version == 1


def test_a_put_that_met_a_transaction_is_tried_again():
    with moto_store() as store:
        store._client = Stubborn(store._client, "put_item", [conflict()] * 3)
        assert store.commit(uncounted())[0].version == 1
        assert store._client._errors == []


def test_in_the_end_a_conflict_is_a_conflict_and_throttling_an_outage():
    from chalicelib.ports import StoreUnavailable

    with moto_store() as store:
        inner = store._client
        store._client = Stubborn(inner, "put_item", [conflict()] * 9)
        with pytest.raises(Conflict):
            store.commit(uncounted())
        store._client = Stubborn(inner, "transact_write_items", [cancelled("None", "TransactionConflict")] * 9)
        with pytest.raises(Conflict):
            store.commit(payment(), order())
        store._client = Stubborn(inner, "transact_write_items", [cancelled("None", "ThrottlingError")] * 9)
        with pytest.raises(StoreUnavailable):
            store.commit(payment(), order())


def test_what_is_too_large_for_an_item_is_refused(store):
    from chalicelib.ports import TooLarge

    with pytest.raises(TooLarge):
        store.commit(payment(alarm="x" * 400_000))
