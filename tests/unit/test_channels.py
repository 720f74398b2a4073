"""An operator's channels: the connection test, what is shown of credentials, and forms that leave secrets blank."""

import importlib
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from chalicelib.container import SystemClock
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Approved, Declined, NotSent, Operation, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused
from chalicelib.domain.health import ChannelHealth, Health, HealthState
from chalicelib.domain.money import Money
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import ADAPTERS, Registry
from chalicelib.usecases import channels, charges, groups, health, vault
from infra.sandbox.nice_v2 import OTHER_CREDENTIALS, TEST_CREDENTIALS
from tests.support.recovery import meddle, restrict

REGISTRY = Registry(HttpClient(), SystemClock())


def credentials_of(provider):
    """Those of the simulator, with every option of a contract that they can have."""
    module = importlib.import_module(f"infra.sandbox.{provider}")
    options = {f.name: "Y" for f in REGISTRY.spec(provider).credentials if Operation.FIND in f.adds}
    return module, {**module.TEST_CREDENTIALS, **options}


ASKABLE = [
    pytest.param(provider, marks=pytest.mark.gateways(provider), id=provider)
    for provider in sorted(ADAPTERS)
    if Operation.FIND in REGISTRY.spec(provider).under(REGISTRY.spec(provider).options(credentials_of(provider)[1])).operations
]  # fmt: skip


def wrong_credentials(provider):
    """Well-formed, and nobody's."""
    module, known = credentials_of(provider)
    if wrong := getattr(module, "WRONG_CREDENTIALS", None):
        return {**known, **wrong}
    secret = {field.name for field in REGISTRY.spec(provider).credentials if field.secret}
    return {name: value[:-1] + "x" if name in secret else value for name, value in known.items()}


def test_connection(world, name):
    return channels.test_connection(world.deps, world.admin, world.channels[name])


def try_credentials(world, provider, credentials, channel_key=None, environment="test"):
    wanted = channels.NewChannel("new", provider, "mid", Environment(environment), credentials)
    return channels.try_credentials(world.deps, world.admin, wanted, channel_key)


test_connection.__test__ = False


# --- the connection test ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ASKABLE)
def test_every_gateway_that_can_be_asked_is_tested(world, provider):
    _, known = credentials_of(provider)
    world.channel(provider, credentials=known)
    box = world.sandboxes[provider]
    found = test_connection(world, provider)
    assert (found.ok, found.text.partition(" (")[0]) == (True, "PG사가 정상적으로 응답합니다.")
    assert isinstance(found.took_ms, int)
    assert try_credentials(world, provider, known).ok
    for fault, text in (
        ("refuse", "cannot be reached"), ("http_500", "no proper answer"), ("garbage", "no proper answer"),
        ("reply_lost", "no proper answer"),
    ):  # fmt: skip
        box.fail("find", fault, seconds=60 if fault == "refuse" else 0)
        found = test_connection(world, provider)
        assert (found.ok, text in found.text) == (False, True), (fault, found)
        box.clear_faults()
    assert box.transactions() == []


@pytest.mark.parametrize("provider", ASKABLE)
def test_so_does_the_probe_of_every_gateway(world, provider):
    world.channel(provider, credentials=credentials_of(provider)[1])
    put_down(world, provider, next_probe_at=world.clock.now())
    health.probe(world.deps, world.merchant_id)
    assert state(world, provider).state is HealthState.PROBATION


@pytest.mark.parametrize("provider", ASKABLE)
def test_refused_credentials_are_told_from_silence_and_repeat_nothing(world, provider, caplog):
    wrong = wrong_credentials(provider)
    found = try_credentials(world, provider, wrong)
    assert (found.ok, "refuses the credentials" in found.text) == (False, True), found
    world.channel(provider, credentials=wrong)
    assert replace(test_connection(world, provider), took_ms=0) == replace(found, took_ms=0)
    secrets = {
        wrong[field.name] for field in REGISTRY.spec(provider).credentials if field.secret and wrong.get(field.name)
    }
    assert not [secret for secret in secrets if len(secret) > 3 and (secret in found.text or secret in caplog.text)]


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (NotSent("refused"), False),
        (NotSent("no time left", unwell=False), False),
        (Unknown("HTTP 503: the key test_sk_secret", "test sk", unwell=True), False),
        (Unknown("adapter raised ValueError"), False),
        (Declined(DeclineReason.CHANNEL_REJECTED, "K 1", "no such key test_sk_secret"), False),
        (Declined(DeclineReason.GATEWAY_MAINTENANCE, "M1", "closed"), True),
        (Unknown("status of which nobody knows", "X9"), True),
        (Approved("ref", Money(1000), SystemClock().now()), True),
    ],
)
def test_what_answers_mean_and_what_of_them_is_told(world, answer, ok):
    world.channel("tosspayments")
    meddle(world, find_charge=lambda *_: answer)
    found = test_connection(world, "tosspayments")
    assert found.ok is ok
    assert "sk" not in found.text


@pytest.mark.gateways("tosspayments")
def test_who_cannot_be_asked_says_so(world):
    world.channel("tosspayments")
    restrict(world, Operation.FIND)
    found = test_connection(world, "tosspayments")
    assert (found.ok, found.took_ms) == (None, None)
    assert "다음 결제에서 확인됩니다" in found.text


def test_nothing_is_stored(world):
    world.channel("nice_v2")
    before = world.store.texts()
    test_connection(world, "nice_v2")
    try_credentials(world, "nice_v2", OTHER_CREDENTIALS)
    try_credentials(
        world, "nice_v2", {"client_id": "", "secret_key": ""} | OTHER_CREDENTIALS, world.channels["nice_v2"]
    )
    assert world.store.texts() == before


def test_what_is_not_to_be_tested(world):
    world.channel("nice_v2")
    with pytest.raises(NotFound):
        channels.test_connection(world.deps, world.admin, "channel-key-x")
    with pytest.raises(NotFound):
        try_credentials(world, "nice_v2", TEST_CREDENTIALS, "channel-key-x")
    with pytest.raises(InvalidRequest, match=r"credentials\.secret_key"):
        try_credentials(world, "nice_v2", {"client_id": TEST_CREDENTIALS["client_id"]})
    with pytest.raises(InvalidRequest, match="pg_provider"):
        try_credentials(world, "nobody", TEST_CREDENTIALS)
    live = {"client_id": "R2_abc", "secret_key": "x" * 32}
    world.deps = replace(world.deps, gateways=Registry(HttpClient(), world.clock, {}, serves_live=False))
    with pytest.raises(Refused, match="LIVE=0"):
        try_credentials(world, "nice_v2", live, environment="live")


def put_down(world, name, **more):
    down = ChannelHealth(
        HealthState.DOWN, 3, world.clock.now(), 4, world.clock.now() + timedelta(minutes=10), "silence"
    )
    world.store.commit(Health(world.merchant_id, {world.channels[name]: replace(down, **more)}))
    return down


def state(world, name):
    return health.load(world.deps, world.merchant_id).of(world.channels[name])


def test_a_channel_that_is_down_and_answers_need_not_wait_for_its_probe(world):
    world.channel("nice_v2")
    put_down(world, "nice_v2")
    world.clock.advance(seconds=5)
    assert test_connection(world, "nice_v2").ok
    after = state(world, "nice_v2")
    assert (after.state, after.since, after.next_probe_at) == (HealthState.PROBATION, world.clock.now(), None)


def test_who_brings_a_channel_back_is_on_record(world):
    key = world.channel("nice_v2")
    channels.test_connection(world.deps, world.admin, key)
    put_down(world, "nice_v2")
    channels.test_connection(world.deps, world.admin, key)
    (entry,) = [e for e in groups.history(world.deps, world.merchant_id, key) if e.action == "channel.brought_back"]
    assert (entry.by, entry.before["state"], entry.after) == (world.admin.name, "down", {"state": "probation"})


@pytest.mark.parametrize("fault", ["refuse", "http_500"])
def test_a_bad_answer_counts_for_nothing(world, fault):
    world.channel("nice_v2")
    world.sandboxes["nice_v2"].fail("find", fault, seconds=60 if fault == "refuse" else 0)
    for _ in range(4):
        test_connection(world, "nice_v2")
    assert state(world, "nice_v2").state is HealthState.UP
    world.sandboxes["nice_v2"].clear_faults()
    world.sandboxes["nice_v2"].fail("find", "refuse", seconds=60)
    down = put_down(world, "nice_v2")
    assert test_connection(world, "nice_v2").ok is False
    assert state(world, "nice_v2") == down


def test_an_answer_from_before_it_went_down_again_is_old_news(world):
    world.channel("nice_v2")
    put_down(world, "nice_v2")
    key = world.channels["nice_v2"]

    def down_again(inner, *args):
        world.clock.advance(seconds=5)
        known = health.load(world.deps, world.merchant_id)
        again = replace(known.of(key), since=world.clock.now(), pauses=5)
        world.store.commit(replace(known, channels={key: again}))
        return inner.find_charge(*args)

    meddle(world, find_charge=down_again)
    assert test_connection(world, "nice_v2").ok
    assert (state(world, "nice_v2").state, state(world, "nice_v2").pauses) == (HealthState.DOWN, 5)


def test_trying_other_credentials_says_nothing_of_the_channel(world):
    world.channel("nice_v2")
    down = put_down(world, "nice_v2")
    assert try_credentials(world, "nice_v2", OTHER_CREDENTIALS, world.channels["nice_v2"]).ok
    assert state(world, "nice_v2") == down


# --- forms that leave secrets blank -----------------------------------------------------------------------------


def channel(world, key):
    return charges.load_routing(world.deps, world.merchant_id).channel(key)


def stored(world, key):
    routing = charges.load_routing(world.deps, world.merchant_id)
    return vault.open_credentials(world.deps, routing, routing.channel(key))


def change(world, key, credentials, *, keep_blank=True, **more):
    wanted = channels.ChannelChange(credentials=credentials, keep_blank=keep_blank, **more)
    return channels.update(world.deps, world.admin, key, wanted)


def test_a_blank_secret_is_kept_and_tried_as_stored(world):
    key = world.channel("nice_v2")
    for blank in ({"secret_key": ""}, {}):
        given = {"client_id": TEST_CREDENTIALS["client_id"], **blank}
        assert try_credentials(world, "nice_v2", given, key).ok
        change(world, key, given, name="renamed")
        assert stored(world, key) == TEST_CREDENTIALS
    assert try_credentials(world, "nice_v2", {"client_id": OTHER_CREDENTIALS["client_id"]}, key).ok is False
    change(world, key, {"client_id": OTHER_CREDENTIALS["client_id"], "secret_key": ""})
    assert stored(world, key) == {**TEST_CREDENTIALS, "client_id": OTHER_CREDENTIALS["client_id"]}
    change(world, key, OTHER_CREDENTIALS)
    assert stored(world, key) == OTHER_CREDENTIALS


def test_the_channel_decides_on_gateway_and_environment(world):
    key = world.channel("nice_v2")
    assert try_credentials(world, "tosspayments", {"client_id": TEST_CREDENTIALS["client_id"]}, key, "live").ok


def test_a_form_without_a_change_is_no_rotation(world):
    """Else what is known of the channel, and of payments in doubt, would count as another contract's."""
    key = world.channel("nice_v2")
    down = put_down(world, "nice_v2")
    saved = change(world, key, {"client_id": TEST_CREDENTIALS["client_id"], "secret_key": ""}, name="renamed")
    assert (saved.name, saved.changed_at, state(world, "nice_v2")) == ("renamed", None, down)
    rotated = change(
        world, key, {"secret_key": OTHER_CREDENTIALS["secret_key"]} | {"client_id": TEST_CREDENTIALS["client_id"]}
    )
    assert rotated.changed_at == world.clock.now()
    assert state(world, "nice_v2").state is HealthState.UP


def test_visible_fields_are_as_the_form_shows_them(world):
    from infra.sandbox.paymentwall import TEST_CREDENTIALS as KEYS

    key = world.channel("paymentwall", credentials=KEYS)
    secrets = {f.name for f in REGISTRY.spec("paymentwall").credentials if f.secret}
    visible = {name: value for name, value in KEYS.items() if name not in secrets}
    saved = change(world, key, {**visible, "status_api": "", **dict.fromkeys(secrets, "")})
    assert (saved.options, stored(world, key)) == ((), {n: v for n, v in KEYS.items() if n != "status_api"})


def test_without_that_mode_blank_means_blank(world):
    key = world.channel("nice_v2")
    for credentials in ({"client_id": TEST_CREDENTIALS["client_id"]}, {**TEST_CREDENTIALS, "secret_key": ""}):
        with pytest.raises(InvalidRequest, match=r"credentials\.secret_key"):
            change(world, key, credentials, keep_blank=False)
    with pytest.raises(InvalidRequest, match=r"credentials\.sekret"):
        change(world, key, {"sekret": "x"})


@pytest.mark.parametrize("provider", sorted(ADAPTERS))
def test_nothing_of_a_secret_is_shown(world, provider):
    known = credentials_of(provider)[0].TEST_CREDENTIALS
    key = world.channel(provider)
    routing = charges.load_routing(world.deps, world.merchant_id)
    shown = channels.masked(world.deps, routing, channel(world, key))
    fields = REGISTRY.spec(provider).credentials
    assert list(shown) == [field.name for field in fields]
    for field in fields:
        assert shown[field.name].is_set == bool(known.get(field.name))
        assert shown[field.name].value == (None if field.secret else known.get(field.name, ""))
    text = str({name: asdict(value) for name, value in shown.items()})
    assert not [f.name for f in fields if f.secret and known.get(f.name) and known[f.name] in text]
