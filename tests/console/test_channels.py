"""Channels in the console: chosen, tried, saved, changed and deleted, and never a secret in an answer."""

import html
import importlib
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Audit, Role
from chalicelib.domain.channels import Environment
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.health import ChannelHealth, Health, HealthState
from chalicelib.gateways.registry import ADAPTERS
from chalicelib.ports import Ref
from chalicelib.usecases import channels, charges, groups, merchants
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.vault import open_credentials
from tests.support.console import Console
from tests.support.world import CARD, request

TOSS = {"secret_key": "test_sk_sandbox0000000000000001", "client_key": "test_ck_sandbox0000000000000001"}


@pytest.fixture
def console(world):
    made = Console(world, Role.OPERATOR)
    world.clock.advance(seconds=1)
    yield made
    container.install(None)


def routing(world):
    return charges.load_routing(world.deps, world.merchant_id)


def only_channel(world):
    [channel] = routing(world).channels.values()
    return channel


def credentials_of(world, channel):
    return open_credentials(world.deps, routing(world), channel)


def form(provider, credentials, **more):
    given = {"pg_provider": provider, "environment": "test", "name": "새 채널", "pg_id": "mid1", "do": "save", **more}
    return {**given, **{f"credentials[{name}]": value for name, value in credentials.items()}}


def test_credentials(provider):
    return importlib.import_module(f"infra.sandbox.{provider}").TEST_CREDENTIALS


test_credentials.__test__ = False


def trail(world):
    return world.store.newest(Audit, world.merchant_id).items


# --- a new one ---------------------------------------------------------------------------------------------------------


def test_without_channels_the_page_says_how_to_begin(console):
    page = console.get("channels")
    assert "아직 채널이 없습니다" in page.words
    assert 'href="/console/channels/new"' in page.text


def test_gateways_are_chosen_by_what_they_can_do(world, console):
    page = console.get("channels/new")
    for spec in world.deps.gateways.specs():
        assert html.escape(spec.label) in page.text
        assert f'href="/console/channels/new?provider={spec.provider}"' in page.text
    assert "계약 없이 테스트할 수 있습니다" in page.words
    assert console.get("channels/new", provider="nobody").status == 400


@pytest.mark.parametrize("provider", ADAPTERS)
def test_the_form_of_a_gateway_is_made_of_its_fields(world, console, provider):
    spec = world.deps.gateways.spec(provider)
    page = console.get("channels/new", provider=provider)
    for field in spec.credentials:
        [tag] = re.findall(rf'<\w+ id="c-{field.name}"[^>]*>', page.text)
        assert f'name="credentials[{field.name}]"' in tag
        assert (" required" in tag) == field.required
        assert f'<label for="c-{field.name}">{html.escape(field.label)}' in page.text
        if field.secret and tag.startswith("<input"):
            assert 'type="password"' in tag
            assert 'autocomplete="new-password"' in tag
            assert 'value=""' in tag


@pytest.mark.parametrize("provider", ADAPTERS)
def test_a_secret_never_comes_back(world, console, provider):
    """Of no gateway, in no answer, not in the trail, and not in the table in the clear."""
    spec = world.deps.gateways.spec(provider)
    known = test_credentials(provider)
    secrets = {known[f.name].strip() for f in spec.credentials if f.secret and known.get(f.name)}
    hidden = {line for secret in secrets for line in secret.splitlines() if len(line) > 8 and "-----" not in line}
    assert hidden
    shown = {known[f.name] for f in spec.credentials if not f.secret and len(known.get(f.name, "")) > 2}
    answers = [
        console.post("channels/new", form(provider, known, do="test")),
        console.post("channels/new", form(provider, known, do="test", fragment="1")),
        console.post("channels/new", form(provider, known, name="")),
        console.post("channels/new", form(provider, {**known, "no_such_field": "x"}, pg_id="a" * 90)),
    ]
    assert routing(world).channels == {}
    assert all(value in answers[2].text for value in map(html.escape, shown))
    answers += [console.post("channels/new", form(provider, known))]
    assert answers[-1].status == 303, answers[-1].words
    path = f"channels/{only_channel(world).channel_key}"
    answers += [
        console.follow(answers[-1]),
        console.get("channels"),
        console.post(path, form(provider, known, name="")),
        console.post(path, form(provider, known, do="test")),
        console.post(path, form(provider, {**known, **dict.fromkeys(known, "\x7f")})),
        console.post(path, form(provider, known, name="다른 이름")),
        console.post(f"{path}/test"),
        console.get(f"{path}/delete"),
        console.get("audit"),
    ]
    for page in answers:
        assert page.status < 500
        assert not [secret[:4] for secret in hidden if secret in page.text or html.escape(secret) in page.text]
    stored = world.store.texts()
    assert not [secret[:4] for secret in hidden if secret in stored]
    assert {k: v for k, v in credentials_of(world, only_channel(world)).items() if v} == {
        name: value.strip() for name, value in known.items() if value and name in {f.name for f in spec.credentials}
    }


def test_a_connection_is_tried_before_anything_is_saved(world, console):
    good = console.post("channels/new", form("tosspayments", TOSS, do="test", name="", pg_id=""))
    assert (good.status, routing(world).channels) == (200, {})
    assert "PG사가 정상적으로 응답합니다" in good.words
    assert 'value="test_ck_sandbox0000000000000001"' in good.text
    bad = console.post("channels/new", form("tosspayments", {"secret_key": "test_sk_nobody"}, do="test"))
    assert "연결 실패" in bad.words
    assert "인증 정보를 거절" in bad.words
    part = console.post("channels/new", form("tosspayments", TOSS, do="test", fragment="1"))
    assert part.text.lstrip().startswith("<p")
    assert "<html" not in part.text
    wrong = console.post("channels/new", form("tosspayments", {"secret_key": ""}, do="test", fragment="1"))
    assert wrong.status == 400
    assert "필수입니다" in wrong.words


def test_a_wrong_field_is_named_beside_it(world, console):
    page = console.post("channels/new", form("tosspayments", {"secret_key": "live_sk_1"}))
    assert page.status == 400
    assert 'aria-describedby="c-secret_key-wrong c-secret_key-hint"' in page.text
    assert "테스트 채널에 실연동 키를 넣을 수 없습니다" in page.words
    assert 'value="새 채널"' in page.text
    assert "live_sk_1" not in page.text


def test_a_channel_is_made_in_the_environment_that_its_form_says(world, console):
    stale = console.post("channels/new", form("tosspayments", TOSS, environment="live"))
    assert stale.status == 400
    assert "환경" in stale.words
    console.cookies["__Host-prefs"] = "ko.auto.live"
    page = console.post("channels/new", form("tosspayments", TOSS, environment="live"))
    assert page.status == 400
    assert "실연동 채널에 테스트 키를 넣을 수 없습니다" in page.words
    live = {"secret_key": "live_sk_1", "client_key": "live_ck_1"}
    assert console.post("channels/new", form("tosspayments", live, environment="live")).status == 303
    assert only_channel(world).environment is Environment.LIVE
    assert "새 채널" in console.get("channels").words
    console.cookies["__Host-prefs"] = "ko.auto.test"
    assert "실연동 채널 1개" in console.get("channels").words


def test_a_second_channel_of_that_name_is_refused(world, console):
    world.channel("nice_v2", "새 채널")
    page = console.post("channels/new", form("tosspayments", TOSS))
    assert (page.status, len(routing(world).channels)) == (400, 1)
    assert 'id="f-name-wrong"' in page.text


# --- one of them -------------------------------------------------------------------------------------------------------


def test_a_form_without_secrets_keeps_them(world, console):
    key = world.channel("tosspayments", "토스")
    before = credentials_of(world, only_channel(world))
    page = console.get(f"channels/{key}")
    assert "저장되어 있습니다" in page.words
    blank = form("tosspayments", {"secret_key": "", "client_key": before["client_key"]}, name="새 이름", pg_id="mid2")
    world.clock.advance(seconds=1)
    saved = console.post(f"channels/{key}", blank)
    assert (saved.status, saved.location) == (303, f"/console/channels/{key}?done=saved")
    channel = only_channel(world)
    assert (channel.name, channel.pg_id, credentials_of(world, channel)) == ("새 이름", "mid2", before)
    entry = trail(world)[0]
    assert (entry.action, entry.by) == ("channel.saved", f"operator@{world.merchant_id}.kr")
    other = {"secret_key": "test_sk_other", "client_key": ""}
    world.clock.advance(seconds=1)
    assert console.post(f"channels/{key}", form("tosspayments", other, name="새 이름")).status == 303
    assert {k: v for k, v in credentials_of(world, only_channel(world)).items() if v} == {"secret_key": "test_sk_other"}
    assert trail(world)[0].action == "channel.credentials_rotated"


def test_new_credentials_are_tried_with_those_that_are_kept(world, console):
    key = world.channel("tosspayments", "토스")
    before = world.store.texts()
    blank = form("tosspayments", {"secret_key": "", "client_key": ""}, do="test")
    assert "PG사가 정상적으로 응답합니다" in console.post(f"channels/{key}", blank).words
    wrong = form("tosspayments", {"secret_key": "test_sk_nobody", "client_key": ""}, do="test", fragment="1")
    assert "인증 정보를 거절" in console.post(f"channels/{key}", wrong).words
    assert world.store.texts() == before


def test_a_page_shows_what_a_channel_is_for(world, console):
    world.two_gateways((70, 30), name="정기결제")
    key = world.channels["tosspayments"]
    group = next(iter(routing(world).groups.values()))
    hour = world.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    entries = (GroupEntry(world.channels["nice_v2"], 100),)
    groups.update(world.deps, world.admin, group.group_id, groups.GroupContent("정기결제", Failover.OFF, entries, hour))
    payment = charges.charge_card(world.deps, world.merchant_id, request("m1"), CARD, Target(channel_key=key))
    assert payment.v1_status == "paid"
    page = console.get(f"channels/{key}")
    assert "정기결제 70 %" in page.words
    assert "제외" in page.words
    assert "100.0 %" in page.words
    assert "승인 1 / 거절 0" in page.words
    assert f"http://localhost/notices/{world.merchant_id}/{key}" in page.text


@pytest.mark.parametrize(
    ("provider", "has_one"), [("paymentwall", True), ("kcp", True), ("kicc", False), ("ksnet", False)]
)
def test_who_sends_notices_is_told_where_to(world, console, provider, has_one):
    key = world.channel(provider)
    assert (f"/notices/{world.merchant_id}/{key}" in console.get(f"channels/{key}").text) == has_one


def put_down(world, key):
    now = world.clock.now()
    down = ChannelHealth(HealthState.DOWN, 3, now, 1, now + timedelta(seconds=30), "HTTP 503")
    known = world.store.load(Ref(Health, (world.merchant_id,))) or Health(world.merchant_id)
    world.store.commit(replace(known, channels={key: down}))


def test_who_is_down_comes_first_and_a_test_brings_it_back(world, console):
    world.two_gateways()
    key = world.channels["tosspayments"]
    put_down(world, key)
    page = console.get("channels")
    assert page.text.index("토스페이먼츠") < page.text.index("나이스페이먼츠")
    assert "응답하지 않아 결제에서 제외되고 있습니다" in page.words
    assert "HTTP 503" in page.words
    tested = console.post(f"channels/{key}/test")
    assert "연결됨" in tested.words
    assert "복구 확인 중" in console.get(f"channels/{key}").words


def test_a_gateway_that_cannot_be_asked_says_so(world, console):
    key = world.channel("ksnet")
    assert "조회할 수 없어" in console.get(f"channels/{key}").words
    assert "확인 불가" in console.post(f"channels/{key}/test").words


# --- deleting ----------------------------------------------------------------------------------------------------------


def test_a_channel_in_a_group_stays(world, console):
    world.two_gateways(name="정기결제")
    key = world.channels["nice_v2"]
    page = console.get(f"channels/{key}/delete")
    assert "정기결제" in page.words
    assert 'name="name"' not in page.text
    refused = console.post(f"channels/{key}/delete", name="nice_v2")
    assert refused.status == 409
    assert "정기결제" in refused.words
    assert key in routing(world).channels


def test_the_default_channel_stays(world, console):
    key = world.channel("nice_v2", "나이스")
    settings = merchants.settings(world.deps, world.merchant_id)
    merchants.save_settings(world.deps, world.admin, replace(settings, default=key))
    assert "기본 채널을 먼저" in console.get(f"channels/{key}/delete").words
    assert console.post(f"channels/{key}/delete", name="나이스").status == 409


def test_a_channel_is_deleted_by_its_name(world, console):
    key = world.channel("nice_v2", "나이스")
    assert console.get(f"channels/{key}/delete").status == 200
    assert console.post(f"channels/{key}/delete", name="나이").status == 400
    assert key in routing(world).channels
    world.clock.advance(seconds=1)
    gone = console.post(f"channels/{key}/delete", name="나이스")
    assert gone.location == "/console/channels?done=channel_deleted"
    assert key not in routing(world).channels
    assert trail(world)[0].action == "channel.deleted"
    assert "취소할 수 있습니다" in console.follow(gone).words


def test_whoever_only_looks_sees_no_forms(world):
    key = world.channel("nice_v2", "나이스")
    viewer = Console(world, Role.VIEWER)
    assert "채널 추가" not in viewer.get("channels").words
    page = viewer.get(f"channels/{key}")
    assert "나이스" in page.words
    assert "credentials[" not in page.text
    assert f"/console/channels/{key}/test" not in page.text
    container.install(None)


def test_two_who_save_at_once_do_not_both_win(world, console, monkeypatch):
    key = world.channel("nice_v2", "나이스")
    real = world.store.commit

    def commit(*changes):
        monkeypatch.setattr(world.store, "commit", real)
        channels.update(world.deps, world.admin, key, channels.ChannelChange(name="먼저"))
        return real(*changes)

    client_id = credentials_of(world, only_channel(world))["client_id"]
    monkeypatch.setattr(world.store, "commit", commit)
    page = console.post(f"channels/{key}", form("nice_v2", {"client_id": client_id}, name="나중"))
    assert page.status == 409
    assert 'value="나중"' in page.text
    assert only_channel(world).name == "먼저"
