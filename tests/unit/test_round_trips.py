"""Calls to DynamoDB per operation, counted at the SDK, against the numbers of docs/ARCHITECTURE.md."""

from datetime import timedelta

import pytest

from chalicelib.domain.money import Money
from chalicelib.usecases import billing_keys, charges, checking, rescheduling, schedules, tokens
from chalicelib.usecases.choosing import Target
from tests.support.stores import moto_store
from tests.support.world import CARD, World, request


@pytest.fixture
def counted(sandboxes):
    with moto_store() as store:
        world = World(sandboxes, store=store)
        world.two_gateways()
        calls = []
        store._client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
        yield world, calls


def test_calls_per_operation(counted):
    world, calls = counted
    deps, merchant = world.deps, world.merchant_id

    def during(work):
        calls.clear()
        work()
        return list(calls)

    secret = (world.merchant.imp_key, world.merchant.imp_secret)
    token = tokens.issue(deps, *secret).token
    assert during(lambda: tokens.check(deps, token)) == []
    assert during(lambda: tokens.issue(deps, *secret)) == ["GetItem"]
    world.clock.advance(minutes=29, seconds=30)
    assert during(lambda: tokens.issue(deps, *secret)) == ["GetItem", "PutItem"]
    charged = ["TransactWriteItems", "TransactWriteItems"]
    onetime = during(lambda: charges.charge_card(deps, merchant, request("o1"), CARD, Target()))
    assert onetime == ["BatchGetItem", *charged]
    issued = during(lambda: billing_keys.issue(deps, merchant, billing_keys.Issue("c", CARD, Target())))
    assert issued == ["BatchGetItem", "TransactWriteItems"]
    assert during(lambda: charges.charge_key(deps, merchant, "c", request("o2"), Target())) == [
        "BatchGetItem",
        *charged,
    ]
    world.webhook_url("https://shop.example/hook")
    told = during(lambda: charges.charge_key(deps, merchant, "c", request("o3"), Target()))
    assert told == ["BatchGetItem", "TransactWriteItems", "TransactWriteItems"]
    at = world.clock.now() + timedelta(days=1)
    for count in (1, 50, 51, 120):
        entries = [schedules.Entry(request(f"s{count}-{n}"), at) for n in range(count)]
        booked = during(lambda entries=entries: schedules.book(deps, merchant, "c", entries))
        assert len(booked) == 1 + -(-count // 50)
    assert len(during(lambda: rescheduling.move(deps, merchant, "s1-0", at + timedelta(days=1)))) == 2
    schedules.revoke(deps, merchant, None, ["s1-0"])
    assert len(during(lambda: rescheduling.reschedule(deps, merchant, "s1-0", at))) == 2
    schedules.revoke(deps, merchant, None, ["s1-0"])
    assert len(during(lambda: rescheduling.retry(deps, merchant, "s1-0"))) == 4
    check = checking.Check("c", Money(1000), request("s2"))
    assert len(during(lambda: checking.check(deps, merchant, check))) == 4
