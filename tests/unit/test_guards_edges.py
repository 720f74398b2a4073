"""Guards, one by one: each test fails if a single condition is taken away. Routing, configuration and the edges."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Declined
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import Refused
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import State, fail_unsent
from chalicelib.ports import QueueUnavailable, Ref, Task, TaskKind
from chalicelib.usecases import billing_keys, charges, merchants, timer
from chalicelib.usecases.choosing import Target
from tests.support.api import CARD as API_CARD
from tests.support.recovery import (
    NO,
    at,
    book,
    cancel,
    claim_and_die,
    meddle,
    onetime,
    settle,
    stored,
)
from tests.support.world import CARD, STOLEN, request


def test_a_change_after_a_reserved_hour_builds_on_what_is_in_force(world):
    from chalicelib.domain.errors import NotFound
    from chalicelib.domain.groups import Failover, GroupEntry
    from chalicelib.usecases import groups

    toss = world.channel("tosspayments")
    group = world.group([(toss, 100)])
    hour = world.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    content = groups.GroupContent("reserved", Failover.OFF, (GroupEntry(toss, 100),), hour)
    groups.update(world.deps, world.admin, group.group_id, content)
    world.clock.advance(hours=2)
    with pytest.raises(NotFound):
        groups.drop_reservation(world.deps, world.admin, group.group_id)
    saved = groups.update(world.deps, world.admin, group.group_id, replace(content, name="now", begin_at=None))
    assert saved.at(world.clock.now()).name == "now"
    assert saved.reserved is None


def test_the_default_group_stays_until_there_is_another_default(world):
    from chalicelib.usecases import groups

    group = world.two_gateways()
    with pytest.raises(Refused, match="default"):
        groups.delete(world.deps, world.admin, group.group_id)
    settings = merchants.settings(world.deps, world.merchant_id)
    merchants.save_settings(world.deps, world.admin, replace(settings, default=None))
    groups.delete(world.deps, world.admin, group.group_id)
    with pytest.raises(Refused, match="channelGroupId"):
        onetime(world)


def test_pg_is_looked_up_where_the_default_lives(world):
    world.channel("tosspayments", "live one", environment="live")
    world.clock.advance(seconds=1)
    test = world.channel("tosspayments", "test one")
    world.group([(test, 100)])
    payment = charges.charge_card(world.deps, world.merchant_id, request("o"), CARD, Target(pg="tosspayments"))
    assert (payment.environment, payment.attempt.channel_key) == (Environment.TEST, test)


def test_a_channel_named_outright_must_be_able_to_take_the_charge(world):
    nice = world.channel("nice_v2")
    with pytest.raises(Refused, match="amount"):
        charges.charge_card(world.deps, world.merchant_id, request("o", 999), CARD, Target(channel_key=nice))
    assert not world.sandboxes["nice_v2"].transactions()


def test_tasks_that_sqs_did_not_take_are_an_error(world):
    from chalicelib.storage.queue import SqsQueue

    class Sqs:
        def send_message_batch(self, QueueUrl, Entries):
            return {"Failed": [{"Id": "0", "Code": "InternalError"}]}

    queue = SqsQueue(Sqs, dict.fromkeys(TaskKind, "u"))
    with pytest.raises(QueueUnavailable, match="InternalError"):
        queue.put([Task(TaskKind.NOTICE, ("a", "b"), world.clock.now())], world.clock.now())


def test_a_form_that_names_a_field_twice_is_refused(world, api):
    body = b"merchant_uid=o1&amount=1000&amount=9000"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer = api.send("POST", "/subscribe/payments/onetime", body, kind)
    assert (status, answer["code"], answer["field"]) == (400, -1, "amount")


def test_an_unexpected_error_tells_nothing_of_itself(world, api, monkeypatch):
    def broken(*_args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(world.store), "load", broken)
    status, body = api.get("/payments/imp_000000000000")
    assert (status, body["code"]) == (500, -1)
    assert "secret detail" not in json.dumps(body)


def issue(world, uid="c", **target):
    return billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(uid, CARD, Target(**target)))


def test_an_ordinary_key_is_charged_at_its_own_channel_only(world):
    group = world.two_gateways()
    toss, nice = world.channels["tosspayments"], world.channels["nice_v2"]
    issue(world, channel_key=toss)
    with pytest.raises(Refused, match="not this key's channel"):
        charges.charge_key(world.deps, world.merchant_id, "c", request("o"), Target(channel_key=nice))
    key = issue(world, "d", group_id=group.group_id, channel_key=nice)
    assert list(key.channels) == [nice]


def test_each_channel_is_asked_for_a_key_under_an_id_of_its_own(world):
    world.two_gateways()
    ids = []

    def ask(inner, asked, *args):
        ids.append(asked.order_id)
        return inner.issue_billing_key(asked, *args)

    meddle(world, issue_billing_key=ask)
    issue(world)
    assert len(set(ids)) == 2


def test_of_two_issues_at_once_the_last_card_wins(world):
    world.two_gateways()

    class Overtaken:
        done = False

        def __getattr__(self, name):
            return getattr(world.store, name)

        def commit(self, *changes):
            if not self.done:
                self.done = True
                issue(world)
            return world.store.commit(*changes)

    real = world.deps
    wanted = billing_keys.Issue("c", CARD, Target(), customer_id="second")
    billing_keys.issue(replace(real, store=Overtaken()), world.merchant_id, wanted)
    assert billing_keys.find(real, world.merchant_id, "c").customer_id == "second"


def test_a_sealed_key_copied_to_another_customer_does_not_open(world):
    from cryptography.exceptions import InvalidTag

    from chalicelib.domain.merchants import Routing
    from chalicelib.usecases import vault

    world.two_gateways()
    key = issue(world)
    routing = world.store.load(Ref(Routing, (world.merchant_id,)))
    channel_key = key.first.channel_key
    assert vault.open_key(world.deps, routing, key, channel_key)
    with pytest.raises(InvalidTag):
        vault.open_key(world.deps, routing, replace(key, customer_uid="other"), channel_key)
    first, second = routing.channels.values()
    swapped = replace(first, sealed_credentials=second.sealed_credentials)
    with pytest.raises(InvalidTag):
        vault.open_gateway(world.deps, replace(routing, channels={first.channel_key: swapped}), first.channel_key)


def test_a_merchant_uid_wears_out():
    from chalicelib.domain.orders import MAX_TRIES

    Order("m", "o", ("imp_1",) * (MAX_TRIES - 1)).check_free()
    with pytest.raises(Refused, match="too many tries"):
        Order("m", "o", ("imp_1",) * MAX_TRIES).check_free()


def test_an_amount_just_too_large_in_minor_units():
    from chalicelib.domain.errors import InvalidRequest
    from chalicelib.domain.money import MAX_MINOR_UNITS, parse_money

    assert parse_money(Decimal(MAX_MINOR_UNITS).scaleb(-2), "USD").amount == MAX_MINOR_UNITS
    with pytest.raises(InvalidRequest):
        parse_money(Decimal(MAX_MINOR_UNITS + 1).scaleb(-2), "USD")


def test_a_card_is_good_until_the_end_of_its_month(world, api):
    world.two_gateways()
    now = world.clock.now()
    for n, (expiry, code) in enumerate([(f"{now:%Y-%m}", 0), (f"{now - timedelta(days=31):%Y-%m}", -1)]):
        _, body = api.post(
            "/subscribe/payments/onetime", API_CARD | {"expiry": expiry}, merchant_uid=f"o{n}", amount=8900
        )
        assert body["code"] == code, body


def test_gateways_get_what_is_left_of_the_callers_time(world):
    from chalicelib.api.endpoints import Call

    call = Call(world.deps, "m", {}, {}, {}, None, started=world.clock.monotonic())
    world.clock.advance(seconds=4)
    assert call.budget() == timedelta(seconds=21)


@pytest.mark.parametrize("path", ["/payments/a%00b", "/payments/a%ffb", "/subscribe/customers/a%00b"])
def test_nul_and_broken_characters_in_a_path(api, world, path):
    assert api.get(path)[0] == 400


def test_an_absurd_number_is_refused_before_it_is_computed():
    from chalicelib.api.body import read_body
    from chalicelib.domain.errors import InvalidRequest

    with pytest.raises(InvalidRequest):
        read_body(b'{"amount": ' + b"9" * 41 + b"}", "application/json")


def test_reads_are_consistent_and_what_was_left_unread_is_asked_again():
    from chalicelib.storage.items import to_item
    from chalicelib.storage.table import DynamoStore

    order = Order("m", "o1", ("imp_1",))
    item = to_item(order, 3)

    class Client:
        def __init__(self):
            self.asked = []

        def get_item(self, **asked):
            self.asked.append(asked)
            return {"Item": item}

        def batch_get_item(self, RequestItems):
            self.asked.append(RequestItems["t"])
            if len(self.asked) == 2:
                return {"Responses": {}, "UnprocessedKeys": {"t": {"Keys": RequestItems["t"]["Keys"]}}}
            return {"Responses": {"t": [item]}}

    client = Client()
    store = DynamoStore(client, "t")
    assert store.load(Ref(Order, ("m", "o1"))).version == 3
    assert [o.version for o in store.load_many([Ref(Order, ("m", "o1"))])] == [3]
    assert len(client.asked) == 3
    assert all(asked["ConsistentRead"] for asked in client.asked)


def test_the_sweep_looks_twenty_seconds_behind_its_watermark(world, api, key):
    """The index may trail the table: an item that came into it after the sweep had passed its place is still seen."""
    world.sweep()
    due = world.clock.now() + world.deps.timing.horizon - timedelta(seconds=15)
    entry = {"merchant_uid": "m0", "schedule_at": int(due.timestamp()), "amount": 8900, "name": "n"}
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=[entry])
    world.queue.tasks.clear()
    world.clock.advance(seconds=60)
    assert world.sweep() == 1


def test_what_only_a_newer_version_knows_takes_nobody_along(world, api, key):
    """Rolled back to: its due items are left for it, and all others are handed over."""
    at = int((world.clock.now() + timedelta(minutes=5)).timestamp())
    entries = [{"merchant_uid": f"m{n}", "schedule_at": at, "amount": 8900, "name": "n"} for n in range(40)]
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=entries)
    world.queue.tasks.clear()
    due = [item for item in world.store.items.values() if "due_at" in item]
    due[0]["kind"]["S"] = "newer"
    assert world.sweep() == 39


def test_not_found_counts_after_the_whole_delay_of_a_cancel_too(world, gateway):
    payment = onetime(world)
    world.sandboxes[gateway].fail("cancel", "http_500")
    assert cancel(world, payment).open_cancel
    meddle(world, cancel=lambda *_: NO)
    world.clock.advance(seconds=590)
    settle(world, payment)
    assert stored(world, payment).open_cancel


def test_a_token_is_extended_for_a_day_at_most(world):
    from chalicelib.usecases import tokens

    secret = (world.merchant.imp_key, world.merchant.imp_secret)
    first = tokens.issue(world.deps, *secret)
    extended = first
    while extended.token == first.token:
        assert tokens.check(world.deps, extended.token)
        world.clock.set(extended.expires_at - timedelta(seconds=30))
        extended = tokens.issue(world.deps, *secret)
        assert world.clock.now() - first.now < timedelta(hours=25)
    assert world.clock.now() - first.now > timedelta(hours=23)
    assert tokens.check(world.deps, extended.token) == world.merchant_id


def test_a_pinned_charge_goes_nowhere_else(world):
    group = world.two_gateways((100, 0), failover="declined")
    world.sandboxes["tosspayments"].fail("charge", "refuse")
    target = Target(group_id=group.group_id, channel_key=world.channels["tosspayments"])
    payment = charges.charge_card(world.deps, world.merchant_id, request("o"), CARD, target)
    assert (payment.state, len(payment.attempts)) == (State.FAILED, 1)
    assert not world.captured()


def test_webhooks_of_one_environment_never_go_to_the_others_url():
    from chalicelib.domain.merchants import WebhookSettings

    hooks = WebhookSettings("", live_url="https://live.example/", test_url="https://test.example/")
    assert hooks.url(Environment.LIVE) == "https://live.example/"
    assert hooks.url(Environment.TEST) == "https://test.example/"
    assert replace(hooks, test_url=None).url(Environment.TEST) is None


def test_a_failure_that_is_recorded_late_frees_no_order_of_a_newer_payment(world, gateway):
    """Else the merchant_uid of a paid payment could be charged again."""
    from chalicelib.domain.merchants import Routing
    from chalicelib.usecases.recording import record

    old = claim_and_die(world)
    order = world.store.load(Ref(Order, (world.merchant_id, "order-1")))
    (order,) = world.store.commit(order.release())
    paid = onetime(world)
    routing = world.store.load(Ref(Routing, (world.merchant_id,)))
    order = world.store.load(Ref(Order, (world.merchant_id, "order-1")))
    record(world.deps, routing, fail_unsent(old, "not charged", world.clock.now()), order)
    order = world.store.load(Ref(Order, (world.merchant_id, "order-1")))
    assert order.is_open
    assert order.imp_uids[-1] == paid.imp_uid


def test_what_falls_between_two_sweeps_is_handed_over_at_once(world, api, key):
    horizon = world.deps.timing.horizon.total_seconds()
    for n, (ahead, handed_over) in enumerate([(horizon + 110, 1), (horizon + 130, 0)]):
        world.queue.tasks.clear()
        entry = {"merchant_uid": f"m{n}", "schedule_at": at(world, seconds=ahead), "amount": 8900, "name": "n"}
        api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=[entry])
        assert len(world.queue.tasks) == handed_over


def test_a_look_that_comes_a_fraction_early_is_waited_for(world, gateway):
    world.sandboxes[gateway].fail("charge", "reply_lost")
    payment = onetime(world)
    (task,) = [t for t in world.queue.tasks if t.kind is TaskKind.PAYMENT]
    world.clock.set(task.due_at - timedelta(seconds=0.6))
    timer.work(world.deps, task)
    assert world.clock.slept == [pytest.approx(0.6)]
    assert stored(world, payment).state is State.PAID


def test_minute_by_minute_nothing_falls_between_two_sweeps(world, api, key):
    items = [
        {"merchant_uid": f"m{n}", "schedule_at": at(world, minutes=30, seconds=7 * n), "amount": 8900, "name": "n"}
        for n in range(9)
    ]
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=items)
    assert not world.queue.tasks
    for _ in range(25):  # until well before the first is due
        world.sweep()
        world.clock.advance(minutes=1)
    assert {task.parts[1] for task in world.queue.tasks} == {item["merchant_uid"] for item in items}


def test_standbys_are_drawn_evenly():
    from collections import Counter
    from random import Random

    from chalicelib.domain.routing import Candidate, Choices, draw

    choices = Choices(tuple(Candidate(k, "p", "m", 0) for k in "abc"), zero_allowed=True)
    rng = Random(7)
    drawn = Counter(draw(choices, rng, None).chosen for _ in range(3000))
    assert all(850 < drawn[k] < 1150 for k in "abc")


@pytest.mark.parametrize(("failover", "attempts"), [("off", 1), ("unsent", 1), ("declined", 2)])
def test_a_soft_decline_goes_elsewhere_only_where_the_group_says_so(world, failover, attempts):
    world.two_gateways((100, 0), failover=failover)
    no = Declined(DeclineReason.LIMIT_EXCEEDED, "X", "한도를 초과했습니다.")
    asked = []

    def charge(inner, order_id, *args):
        asked.append(order_id)
        return no if len(asked) == 1 else inner.charge_card(order_id, *args)

    meddle(world, charge_card=charge)
    payment = onetime(world)
    assert payment.state is (State.PAID if attempts == 2 else State.FAILED)
    assert len(asked) == len(payment.attempts) == attempts


def test_an_old_token_does_not_live_on_by_its_successor(api, world):
    old = api.token
    world.clock.advance(minutes=31)
    api.login(world.merchant)
    assert api.token != old
    assert api.get("/payments/imp_000000000000")[0] == 404
    api.token = old
    assert api.get("/payments/imp_000000000000")[0] == 401


def test_a_token_of_yesterday_is_refused_without_a_look_up(api, world):
    world.clock.advance(hours=24)
    world.store.calls.clear()
    assert api.get("/payments/imp_000000000000")[0] == 401
    assert world.store.calls == []


def test_what_one_merchants_key_has_sealed_opens_under_no_other(world):
    from cryptography.exceptions import InvalidTag

    sealer = world.deps.sealer
    keys = [sealer.new_data_key(merchant) for merchant in ("imp1", "imp2")]
    texts = [sealer.seal(key, ("x",), {"a": "b"}) for key in keys]
    for key, own, other in ((keys[0], *texts), (keys[1], *reversed(texts))):
        assert sealer.open(key, ("x",), own) == {"a": "b"}
        with pytest.raises(InvalidTag):
            sealer.open(key, ("x",), other)


def test_a_body_of_256_kilobytes_and_not_one_byte_more(world, api):
    for size, complains_of_body in ((256 * 1024, False), (256 * 1024 + 1, True)):
        body = b'{"name": "%s"}' % (b"x" * (size - len(b'{"name": ""}')))
        kind = {"Content-Type": "application/json"}
        status, answer = api.send("POST", "/subscribe/payments/onetime", body, kind)
        assert (status, answer["code"], answer["field"] == "body") == (400, -1, complains_of_body)


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (b'{"amount": 1000, "amount": 9000}', "json", "amount"),
        (b'{"schedules": [{"amount": 1000, "amount": 9000}]}', "json", "amount"),
        (b'{"merchant_uid": "a\\u0000b"}', "json", "merchant_uid"),
        (b'{"schedules": [{"name": "a\\u0000b"}]}', "json", "schedules[0].name"),
        (b'{"custom_data": {"a\\u0000b": "c"}}', "json", "body"),
        (b"merchant_uid=a%00b", "x-www-form-urlencoded", "merchant_uid"),
        (b"a%00b=c", "x-www-form-urlencoded", "body"),
    ],
)
def test_a_body_with_a_name_twice_or_a_nul_is_refused(world, api, body, kind, field):
    status, answer = api.send("POST", "/subscribe/payments/onetime", body, {"Content-Type": f"application/{kind}"})
    assert (status, answer["code"], answer["field"]) == (400, -1, field)


def test_a_disabled_channel_takes_no_pinned_one_time_charge(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    group = world.group([(toss, 100), (nice, 0, False)])
    target = Target(group_id=group.group_id, channel_key=nice)
    with pytest.raises(Refused, match="disabled"):
        charges.charge_card(world.deps, world.merchant_id, request("order-1"), CARD, target)
    assert not world.captured()


def test_a_task_that_comes_far_too_early_is_put_back(world, api, key):
    book(api, world)
    (task,) = world.queue.tasks
    world.queue.tasks.clear()
    timer.work(world.deps, task)
    assert not world.captured()
    assert not world.clock.slept
    assert world.queue.tasks == [task]
    world.clock.advance(seconds=5)
    world.run_queue()
    assert len(world.captured()) == 1


def test_the_caller_who_is_told_of_a_decline_gets_no_webhook_about_it(world, gateway):
    world.webhook_url("https://shop.example/hook")
    payment = charges.charge_card(world.deps, world.merchant_id, request("order-1"), STOLEN, Target())
    assert payment.state is State.FAILED
    world.run_to_quiet()
    assert not world.sender.sent
