"""Channels and groups through the admin API: the console guide's rules, and what design leaves to us."""

import json
from datetime import timedelta

import pytest

from infra.sandbox import ksnet, paymentwall
from infra.sandbox.tosspayments import TEST_CREDENTIALS
from tests.support.world import live


def channel(api, name="toss", **more):
    fields = {
        "name": name,
        "pg_provider": "tosspayments",
        "pg_id": f"mid_{name}",
        "environment": "test",
        "credentials": live(TEST_CREDENTIALS) if more.get("environment") == "live" else TEST_CREDENTIALS,
    }
    return api.post("/admin/channels", fields | more)


def keys(api, count):
    return [channel(api, f"toss{n}")[1]["channel_key"] for n in range(count)]


def content(entries, name="default", **more):
    return {
        "name": name,
        "environment": "test",
        "channels": [{"channel_key": k, "weight": w, "enabled": e} for k, w, e in entries],
    } | more


def group(api, entries, **more):
    return api.post("/admin/channel-groups", content(entries, **more))


def test_a_channel_never_shows_its_credentials(api, world):
    status, body = channel(api)
    assert status == 201
    assert body["channel_key"].startswith("channel-key-")
    shown = json.dumps([body, api.get("/admin/channels")[1], api.get(f"/admin/channels/{body['channel_key']}")[1]])
    assert TEST_CREDENTIALS["secret_key"] not in shown
    assert TEST_CREDENTIALS["secret_key"] not in world.store.texts()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pg_provider": "nobody"}, "pg_provider"),
        ({"environment": "prod"}, "environment"),
        ({"name": ""}, "name"),
        ({"credentials": {}}, "credentials.secret_key"),
        ({"credentials": {"secret_key": "", "client_key": "x"}}, "credentials.secret_key"),
        ({"credentials": {**TEST_CREDENTIALS, "sekret": "x"}}, "credentials.sekret"),
        ({"credentials": "x"}, "credentials"),
        ({"nme": "x"}, "nme"),
    ],
)
def test_a_bad_channel_names_the_field(api, change, field):
    status, body = channel(api, **change)
    assert (status, body["code"], body["field"]) == (400, "invalid_request", field)


def test_names_of_channels_are_unique(api):
    channel(api)
    assert channel(api)[0] == 400
    assert channel(api, environment="live")[0] == 201


def test_weights_must_add_up_to_exactly_100_disabled_ones_included(api):
    a, b = keys(api, 2)
    for weights, status in (((60, 40), 201), ((60, 39), 400), ((60, 41), 400), ((100, 0), 201), ((-1, 101), 400)):
        got, body = group(api, [(a, weights[0], True), (b, weights[1], False)], name=str(weights))
        assert got == status, body
    assert group(api, [(a, 60, True)], name="x")[1]["field"] == "weight"
    assert group(api, [(a, "60", True), (b, 40, True)], name="y")[0] == 400
    assert group(api, [(a, 60.5, True), (b, 39.5, True)], name="z")[0] == 400


def test_one_to_ten_distinct_channels(api):
    many = keys(api, 11)
    assert group(api, [])[0] == 400
    assert group(api, [(k, 10, True) for k in many[:10]])[0] == 201
    assert group(api, [(k, 10 if n else 0, True) for n, k in enumerate(many)], name="eleven")[0] == 400
    assert group(api, [(many[0], 50, True), (many[0], 50, True)], name="twice")[0] == 400
    status, body = group(api, [("channel-key-unknown", 100, True)], name="unknown")
    assert (status, body["field"]) == (400, "channels")


def test_live_and_test_never_mix_and_the_environment_stays(api):
    test = channel(api)[1]["channel_key"]
    live = channel(api, "live", environment="live")[1]["channel_key"]
    assert group(api, [(test, 50, True), (live, 50, True)])[0] == 400
    _, made = group(api, [(test, 100, True)])
    assert made["id"].startswith("channel-group-test-")
    assert len(made["id"]) == 55
    assert len(test) <= 55
    status, body = api.put(f"/admin/channel-groups/{made['id']}", content([(test, 100, True)], environment="live"))
    assert (status, body["field"]) == (400, "environment")


def test_group_names_are_unique_per_environment(api):
    (key,) = keys(api, 1)
    group(api, [(key, 100, True)], name="a")
    _, other = group(api, [(key, 100, True)], name="b")
    assert group(api, [(key, 100, True)], name="a")[1]["field"] == "name"
    assert api.put(f"/admin/channel-groups/{other['id']}", content([(key, 100, True)], name="a"))[0] == 400
    live = channel(api, "live", environment="live")[1]["channel_key"]
    assert group(api, [(live, 100, True)], name="a", environment="live")[0] == 201


def test_a_channel_in_a_group_cannot_be_deleted(api, world):
    a, b = keys(api, 2)
    _, made = group(api, [(a, 100, True)])
    hour = int((world.clock.now() + timedelta(hours=1)).timestamp())
    api.put(f"/admin/channel-groups/{made['id']}", content([(b, 100, True)], begin_at=hour))
    for key in (a, b):
        status, body = api.delete(f"/admin/channels/{key}")
        assert (status, body["code"]) == (409, "refused")
    world.clock.advance(hours=1)
    assert api.delete(f"/admin/channels/{a}")[0] == 200
    assert api.get(f"/admin/channels/{a}")[0] == 404


def test_what_a_deleted_channel_charged_can_still_be_cancelled(api, world):
    from tests.support.api import CARD

    (key,) = keys(api, 1)
    api.post("/subscribe/payments/onetime", CARD, merchant_uid="o1", amount=1000, channel_key=key)
    assert api.delete(f"/admin/channels/{key}")[0] == 200
    assert api.post("/payments/cancel", merchant_uid="o1")[1]["code"] == 0


def test_saving_takes_effect_at_once_and_is_on_record(api, world):
    a, b = keys(api, 2)
    _, made = group(api, [(a, 100, True)])
    path = f"/admin/channel-groups/{made['id']}"
    world.clock.advance(seconds=1)
    status, body = api.put(path, content([(b, 100, True)], name="renamed"))
    assert (status, body["version"], body["name"]) == (200, 2, "renamed")
    assert body["channels"][0]["channel_key"] == b
    assert api.get(path)[1]["channels"] == body["channels"]
    world.clock.advance(seconds=1)
    assert api.delete(path)[0] == 200
    assert api.get(path)[0] == 404
    _, history = api.get(f"{path}/history")
    assert [h["action"] for h in history] == ["group.deleted", "group.saved", "group.created"]
    assert all(h["by"] == "demo" for h in history)
    assert history[1]["before"]["name"] == "default"


def test_a_reserved_change_holds_from_its_hour(api, world):
    a, b = keys(api, 2)
    _, made = group(api, [(a, 100, True)])
    path = f"/admin/channel-groups/{made['id']}"
    hour = int((world.clock.now() + timedelta(hours=1)).timestamp())
    _, body = api.put(path, content([(b, 100, True)], begin_at=hour))
    assert body["channels"][0]["channel_key"] == a
    assert body["reservation"]["begin_at"] == hour
    _, body = api.put(path, content([(a, 100, True)], name="now"))
    assert body["reservation"]["begin_at"] == hour
    assert "예약된 변경은 그대로 유지됩니다" in body["message"]
    _, body = api.put(path, content([(a, 50, True), (b, 50, True)], begin_at=hour + 3600))
    assert body["reservation"]["begin_at"] == hour + 3600
    world.clock.advance(minutes=119, seconds=59)
    assert api.get(path)[1]["name"] == "now"
    world.clock.advance(seconds=1)
    _, body = api.get(path)
    assert len(body["channels"]) == 2
    assert body["reservation"] is None


def test_a_reservation_can_be_dropped_once(api, world):
    (key,) = keys(api, 1)
    _, made = group(api, [(key, 100, True)])
    path = f"/admin/channel-groups/{made['id']}"
    hour = int((world.clock.now() + timedelta(hours=1)).timestamp())
    api.put(path, content([(key, 100, True)], begin_at=hour))
    assert api.delete(f"{path}/reservation")[1]["reservation"] is None
    assert api.delete(f"{path}/reservation")[0] == 404


@pytest.mark.parametrize("offset", [-3600, 0, 1, 1800])
def test_reservations_are_for_a_whole_hour_ahead(api, world, offset):
    (key,) = keys(api, 1)
    _, made = group(api, [(key, 100, True)])
    at = int(world.clock.now().timestamp()) + offset
    status, body = api.put(f"/admin/channel-groups/{made['id']}", content([(key, 100, True)], begin_at=at))
    assert (status, body["field"]) == (400, "begin_at")


def test_two_operators_cannot_both_win(api, world):
    from chalicelib.domain.groups import Failover, GroupEntry
    from chalicelib.ports import Conflict
    from chalicelib.usecases import groups

    (key,) = keys(api, 1)
    _, made = group(api, [(key, 100, True)])

    class Slow:
        """Another operator saves between our read and our write."""

        def __getattr__(self, name):
            return getattr(world.store, name)

        def load(self, *refs):
            found = world.store.load(*refs)
            if not self.__dict__.get("done"):
                self.done = True
                api.put(f"/admin/channel-groups/{made['id']}", content([(key, 100, True)], name="theirs"))
            return found

    from dataclasses import replace

    ours = groups.GroupContent("ours", Failover.OFF, (GroupEntry(key, 100),))
    with pytest.raises(Conflict):
        groups.update(replace(world.deps, store=Slow()), world.admin, made["id"], ours)
    assert api.get(f"/admin/channel-groups/{made['id']}")[1]["name"] == "theirs"


def test_settings(api):
    (key,) = keys(api, 1)
    _, made = group(api, [(key, 100, True)])
    status, body = api.put("/admin/settings", default=made["id"], test_webhook_url="https://shop.example/hook")
    assert (status, body["default"]) == (200, made["id"])
    assert api.get("/admin/settings")[1] == body
    assert api.put("/admin/settings", default="nothing")[1]["field"] == "default"
    assert api.put("/admin/settings", test_webhook_url="ftp://x")[1]["field"] == "test_webhook_url"
    assert api.put("/admin/settings", webhook_content_type="text/plain")[0] == 400


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic x"])
def test_the_admin_token_is_needed(api, header):
    status, body = api.send("GET", "/admin/channels", headers={"Authorization": header})
    assert (status, body["code"]) == (401, "unauthorized")


def test_an_access_token_is_no_admin_token(api):
    assert api.send("GET", "/admin/channels", headers={"Authorization": f"Bearer {api.token}"})[0] == 401


@pytest.mark.parametrize("name", ["public_key", "private_key"])
def test_where_tests_are_marked_any_other_key_is_a_live_one(api, name):
    credentials = {**paymentwall.TEST_CREDENTIALS, name: "0123456789abcdef"}
    status, body = channel(api, pg_provider="paymentwall", credentials=credentials)
    assert (status, body["field"]) == (400, f"credentials.{name}")
    assert channel(api, pg_provider="paymentwall", credentials=paymentwall.TEST_CREDENTIALS)[0] == 201
    status, body = channel(
        api, "live", pg_provider="paymentwall", credentials=paymentwall.TEST_CREDENTIALS, environment="live"
    )
    assert (status, body["field"]) == (400, "credentials.public_key")


def test_options_of_the_contract_are_shown_and_follow_the_credentials(api):
    credentials = {**paymentwall.TEST_CREDENTIALS, "status_api": "Y"}
    _, body = channel(api, pg_provider="paymentwall", credentials=credentials)
    assert body["options"] == ["status_api"]
    path = f"/admin/channels/{body['channel_key']}"
    assert api.get(path)[1]["options"] == ["status_api"]
    api.put(path, credentials={**credentials, "status_api": "N"})
    assert api.get(path)[1]["options"] == []
    status, body = api.put(path, credentials={**credentials, "status_api": "yes"})
    assert (status, body["field"]) == (400, "credentials.status_api")


def test_live_keys_do_not_go_into_test_channels(api):
    live = {"secret_key": "live_sk_0000000000000000"}
    status, body = channel(api, credentials=live)
    assert (status, body["field"]) == (400, "credentials.secret_key")
    assert channel(api, credentials=live, environment="live")[0] == 201
    nice = {"client_id": "R2_abc", "secret_key": "x" * 32}
    status, body = channel(api, "nice", pg_provider="nice_v2", credentials=nice)
    assert (status, body["field"]) == (400, "credentials.client_id")


def test_a_stage_for_tests_charges_no_live_channel(api, world):
    from dataclasses import replace

    from chalicelib import container
    from chalicelib.gateways.http import HttpClient
    from chalicelib.gateways.registry import Registry
    from tests.support.api import CARD

    live = channel(api, "live", environment="live")[1]["channel_key"]
    container.install(replace(world.deps, gateways=Registry(HttpClient(), world.clock, {}, serves_live=False)))
    _, body = api.post("/subscribe/payments/onetime", CARD, merchant_uid="o1", amount=1000, channel_key=live)
    assert (body["code"], "LIVE=0" in body["message"]) == (1, True)
    assert api.get("/payments/find/o1")[0] == 404
    _, body = api.post("/subscribe/customers/c1", CARD, channel_key=live)
    assert (body["code"], "LIVE=0" in body["message"]) == (-1, True)


def test_credentials_are_rotated_and_keys_stay(api, world):
    from tests.support.api import CARD

    (key,) = keys(api, 1)
    api.post("/subscribe/customers/c1", CARD, channel_key=key)
    wrong = {"secret_key": "test_sk_revoked0000000000000000"}
    assert api.put(f"/admin/channels/{key}", credentials=wrong)[0] == 200
    _, body = api.post("/subscribe/payments/again", customer_uid="c1", merchant_uid="o1", amount=1000, name="n")
    assert body["response"]["status"] == "failed"
    status, body = api.put(f"/admin/channels/{key}", credentials=TEST_CREDENTIALS, name="renamed")
    assert (status, body["name"], "credentials" in body) == (200, "renamed", False)
    _, body = api.post("/subscribe/payments/again", customer_uid="c1", merchant_uid="o1", amount=1000, name="n")
    assert body["response"]["status"] == "paid"
    assert api.put(f"/admin/channels/{key}", credentials={"secret_key": ""})[1]["field"] == "credentials.secret_key"
    assert api.put(f"/admin/channels/{key}", environment="live")[1]["field"] == "environment"
    assert api.put("/admin/channels/channel-key-x", name="y")[0] == 404


def test_the_default_group_cannot_be_deleted(api):
    made = group(api, [(channel(api)[1]["channel_key"], 100, True)])[1]
    api.put("/admin/settings", default=made["id"])
    status, body = api.delete(f"/admin/channel-groups/{made['id']}")
    assert (status, body["field"]) == (409, "default")
    other = group(api, [(channel(api, "b")[1]["channel_key"], 100, True)], name="other")[1]
    api.put("/admin/settings", default=other["id"])
    assert api.delete(f"/admin/channel-groups/{made['id']}")[0] == 200


@pytest.mark.parametrize("name", [" ", "\u202e\u200b", "\n"])
def test_names_have_something_to_see(api, name):
    assert channel(api, name)[1]["field"] == "name"


def test_names_are_the_same_with_spaces_around_them(api):
    channel(api, "한글 채널")
    assert channel(api, " 한글 채널 ")[1]["field"] == "name"


def test_a_test_key_does_not_make_a_live_channel(api):
    """Nothing would be paid, and the goods would be sent."""
    status, body = channel(api, environment="live", credentials=TEST_CREDENTIALS)
    assert (status, body["field"]) == (400, "credentials.secret_key")


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"nope": 1}, "nope", "알 수 없는 항목"),
        ({"webhook_content_type": "xml"}, "webhook_content_type", "'application/json'"),
    ],
)
def test_a_setting_that_is_none_says_what_is_wrong_with_it(api, fields, field, text):
    status, body = api.put("/admin/settings", fields)
    assert (status, body["field"]) == (400, field)
    assert text in body["message"]


def test_a_channel_can_be_tested(api, world):
    key = channel(api)[1]["channel_key"]
    status, body = api.post(f"/admin/channels/{key}/test")
    assert (status, body["ok"]) == (200, True)
    world.sandboxes["tosspayments"].fail("find", "refuse", seconds=60)
    status, body = api.post(f"/admin/channels/{key}/test")
    assert (status, body["ok"], "연결할 수 없습니다" in body["message"]) == (200, False, True)
    no_query = channel(api, "ksnet", pg_provider="ksnet", credentials=ksnet.TEST_CREDENTIALS)[1]["channel_key"]
    status, body = api.post(f"/admin/channels/{no_query}/test")
    assert (status, body["ok"], body["took_ms"]) == (200, None, None)
    assert api.post("/admin/channels/channel-key-x/test")[0] == 404


def test_a_group_is_rolled_back(api, world):
    a, b = keys(api, 2)
    _, made = group(api, [(a, 100, True)])
    path = f"/admin/channel-groups/{made['id']}"
    api.put(path, content([(b, 100, True)], name="renamed"))
    world.clock.advance(seconds=1)
    status, body = api.post(f"{path}/roll-back", version=1)
    assert (status, body["version"], body["name"]) == (200, 3, "default")
    assert body["channels"] == made["channels"]
    _, history = api.get(f"{path}/history")
    assert (history[0]["action"], history[0]["after"]["content_of"]) == ("group.rolled_back", 1)
    hour = int(world.clock.now().timestamp()) // 3600 * 3600 + 3600
    _, body = api.post(f"{path}/roll-back", version=2, begin_at=hour)
    assert (body["version"], body["reservation"]["name"], body["reservation"]["begin_at"]) == (3, "renamed", hour)
    _, body = api.post(f"{path}/roll-back", version=2)
    assert (body["name"], body["reservation"]["version"]) == ("renamed", 4)
    assert "예약된 변경은 그대로 유지됩니다" in body["message"]


def test_what_cannot_be_rolled_back_is_said(api):
    a, b = keys(api, 2)
    _, made = group(api, [(a, 100, True)])
    path = f"/admin/channel-groups/{made['id']}"
    api.put(path, content([(b, 100, True)]))
    assert api.post(f"{path}/roll-back", version=2)[0] == 409
    assert api.post(f"{path}/roll-back", version=7)[0] == 404
    assert api.post("/admin/channel-groups/x/roll-back", version=1)[0] == 404
    for fields, field in (({}, "version"), ({"version": "1"}, "version"), ({"version": 1, "begin_at": 5}, "begin_at")):
        status, body = api.post(f"{path}/roll-back", fields)
        assert (status, body["field"]) == (400, field)
    api.delete(f"/admin/channels/{a}")
    status, body = api.post(f"{path}/roll-back", version=1)
    assert (status, body["code"], "toss0" in body["message"]) == (409, "refused", True)
