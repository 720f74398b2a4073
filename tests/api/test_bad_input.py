"""Generated junk at every route: only 4xx or V1's own refusals come back, and nothing half-done stays behind."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.sandbox import run
from tests.support.api import CARD, Api
from tests.support.world import World

ROUTES = [
    ("POST", "/users/getToken"),
    ("POST", "/payments/cancel"),
    ("GET", "/payments/{}"),
    ("GET", "/payments/find/{}"),
    ("GET", "/payments/find/{}/paid"),
    ("POST", "/subscribe/payments/onetime"),
    ("POST", "/subscribe/payments/again"),
    ("POST", "/subscribe/payments/schedule"),
    ("GET", "/subscribe/payments/schedule/{}"),
    ("POST", "/subscribe/payments/unschedule"),
    ("POST", "/subscribe/customers/{}"),
    ("GET", "/subscribe/customers/{}"),
    ("DELETE", "/subscribe/customers/{}"),
    ("POST", "/admin/channels"),
    ("GET", "/admin/channels"),
    ("GET", "/admin/channels/{}"),
    ("DELETE", "/admin/channels/{}"),
    ("POST", "/admin/channel-groups"),
    ("GET", "/admin/channel-groups"),
    ("GET", "/admin/channel-groups/{}"),
    ("PUT", "/admin/channel-groups/{}"),
    ("DELETE", "/admin/channel-groups/{}"),
    ("DELETE", "/admin/channel-groups/{}/reservation"),
    ("GET", "/admin/channel-groups/{}/history"),
    ("GET", "/admin/settings"),
    ("PUT", "/admin/settings"),
    ("GET", "/admin/payments/{}"),
]

NAMES = [
    "imp_key", "imp_secret", "imp_uid", "merchant_uid", "amount", "checksum", "reason", "tax_free", "vat_amount",
    "currency", "card_number", "expiry", "birth", "pwd_2digit", "cvc", "customer_uid", "channelGroupId",
    "channel_group_id", "channel_key", "pg", "name", "schedules", "schedule_at", "card_quota", "custom_data",
    "notice_url", "buyer_name", "bypass", "environment", "channels", "weight", "enabled", "begin_at", "credentials",
    "pg_provider", "pg_id", "failover", "default", "test_webhook_url", "enable_webhook", "checking_amount",
]  # fmt: skip

leaf = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**60), 10**60), st.floats(), st.text(max_size=60),
    st.sampled_from(["", " ", "0", "-1", "1e999", "NaN", "\x00", "2030-12", "4242-4242-4242-4242", "http://[::1", "%00"]),
)  # fmt: skip


def objects(inner):
    return st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=12)), inner, max_size=8)


junk = st.recursive(leaf, lambda inner: st.one_of(st.lists(inner, max_size=4), objects(inner)), max_leaves=12)


body = st.one_of(
    objects(junk).map(lambda value: json.dumps(value).encode()),
    junk.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"{" * 5000,
            b"[" * 100_000,
            b'{"amount": ' + b"9" * 5000 + b"}",
            b'{"a": 1, "a": 2}',
            b'{"a": "\\ud800"}',
            b'{"amount": 1e999999}',
            b'{"amount": NaN}',
            b"\xff\xfe{}",
            b"a[b]=1&a=2",
            b"a[][][][][][]=1",
            b"amount=1&amount=2",
            b"%ff=%fe",
            b"x" * 300_000,
        ]
    ),
)
content_type = st.sampled_from(
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json; charset=euc-kr",
        "",
        "///;;",
    ]
)
segment = st.one_of(
    st.text(max_size=90).map(lambda text: "".join(f"%{b:02X}" for b in text.encode("utf-8", "surrogatepass")) or "%20"),
    st.sampled_from(["%00", "%FF%FE", "%2F%2F", "..", "%F0%9F%92%B3", "x" * 500, "%ED%A0%80", "imp_000000000000"]),
)


@pytest.fixture(scope="module")
def service():
    from chalicelib import container

    with run() as boxes:
        world = World(boxes)
        world.two_gateways()
        yield world, Api(world.deps, admin_token=world.merchant.admin_token).login(world.merchant)
        container.install(None)


def snapshot(world):
    return {k: v for k, v in world.store.items.items() if k[1] not in ("apikey",)}


def check(world, before, method, path, status, answer):
    assert 200 <= status < 500, (method, path, answer)
    if path.startswith("/admin"):
        if status >= 400:
            assert set(answer) <= {"code", "message", "field"}
    else:
        assert {"code", "message", "response"} <= set(answer)
        assert answer["code"] == 0 or (answer["message"] and answer["response"] is None)
    if status >= 400 or (not path.startswith("/admin") and answer["code"] != 0):
        assert snapshot(world) == before, "something half-done was stored"


@pytest.mark.parametrize(("method", "path"), ROUTES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=body, kind=content_type, segment=segment)
def test_junk(service, method, path, body, kind, segment):
    world, api = service
    before = dict(snapshot(world))
    url = path.format(segment)
    headers = {"Content-Type": kind} if kind else {}
    status, answer = api.send(method, url, body if method in ("POST", "PUT") else b"", headers)
    check(world, before, method, path, status, answer)


GOOD = {
    "/subscribe/payments/onetime": {**CARD, "merchant_uid": "o", "amount": 1000, "name": "n", "currency": "KRW"},
    "/subscribe/payments/again": {"customer_uid": "c", "merchant_uid": "o", "amount": 1000, "name": "n"},
    "/subscribe/customers/c": {**CARD, "customer_id": "x", "customer_name": "y"},
    "/payments/cancel": {"imp_uid": "imp_1", "merchant_uid": "o", "amount": 1000, "checksum": 1000},
    "/subscribe/payments/unschedule": {"customer_uid": "c", "merchant_uid": ["o"]},
}


@pytest.mark.parametrize("path", GOOD)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), value=junk)
def test_one_bad_field_in_a_good_request(service, path, data, value):
    world, api = service
    name = data.draw(st.sampled_from(sorted(GOOD[path])))
    before = dict(snapshot(world))
    status, answer = api.post(path, GOOD[path] | {name: value})
    check(world, before, "POST", path, status, answer)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount": None}, "amount"),
        ({"amount": "1,000"}, "amount"),
        ({"amount": {"totl": 1}}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": 0.1}, "amount"),
        ({"amount": 10**15}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -1000}, "amount"),
        ({"merchant_uid": None}, "merchant_uid"),
        ({"merchant_uid": "x" * 41}, "merchant_uid"),
        ({"name": "가" * 41}, "name"),
        ({"currency": "WON"}, "currency"),
        ({"tax_free": 1001}, "tax_free"),
        ({"card_quota": "many"}, "card_quota"),
        ({"notice_url": ["http://x", 5, {}]}, "notice_url[2]"),
        ({"card_number": "1234"}, "card_number"),
        ({"card_number": None}, "card_number"),
        ({"expiry": "30-12"}, "expiry"),
        ({"expiry": "2020-01"}, "expiry"),
        ({"expiry": "2030-13"}, "expiry"),
        ({"birth": "8801"}, "birth"),
        ({"pwd_2digit": "1"}, "pwd_2digit"),
    ],
)
def test_the_answer_names_the_field_in_korean_first(service, fields, field):
    world, api = service
    _, answer = api.post("/subscribe/payments/onetime", GOOD["/subscribe/payments/onetime"] | fields)
    assert answer["code"] == -1
    assert answer["field"] == field
    assert field in answer["message"]
    assert any("가" <= char <= "힣" for char in answer["message"])
    assert "1234" not in answer["message"]


def test_forty_characters_are_characters_not_bytes(world, api):
    world.two_gateways()
    _, answer = api.post(
        "/subscribe/payments/onetime", GOOD["/subscribe/payments/onetime"] | {"merchant_uid": "😀" * 40}
    )
    assert answer["response"]["status"] == "paid"
    assert answer["response"]["merchant_uid"] == "😀" * 40


def test_a_form_with_nested_brackets(world, api):
    world.two_gateways()
    api.post("/subscribe/customers/form-customer", CARD)
    at = int(world.clock.now().timestamp()) + 86400
    status, answer = api.form(
        "/subscribe/payments/schedule",
        {
            "customer_uid": "form-customer",
            "schedules[0][merchant_uid]": "f0",
            "schedules[0][schedule_at]": str(at),
            "schedules[0][amount]": "1000",
            "schedules[1][merchant_uid]": "f1",
            "schedules[1][schedule_at]": str(at),
            "schedules[1][amount]": "2000",
        },
    )
    assert (status, answer["code"]) == (200, 0), answer
    assert [s["amount"] for s in answer["response"]] == [1000, 2000]
    _, answer = api.form("/subscribe/payments/unschedule", {"merchant_uid[]": "f0"})
    assert answer["code"] == 0


@pytest.mark.parametrize("literal", ["1e9999999999", "-1e9999999999", "1e400", "1e-9999999999", "1E+31", "9" * 39])
@pytest.mark.parametrize("field", ["amount", "tax_free", "vat_amount", "card_quota", "product_count"])
def test_numbers_that_overflow_are_refused_by_name(world, api, field, literal):
    world.two_gateways()
    good = GOOD["/subscribe/payments/onetime"] | {field: "HERE"}
    body = json.dumps(good).replace('"HERE"', literal).encode()
    status, answer = api.send("POST", "/subscribe/payments/onetime", body, {"Content-Type": "application/json"})
    assert (status, answer["field"]) == (400, field)


def test_the_same_in_a_schedule_a_cancel_and_custom_data(world, api):
    world.two_gateways()
    api.post("/subscribe/customers/c", CARD)
    api.post("/subscribe/payments/onetime", GOOD["/subscribe/payments/onetime"])
    json_type = {"Content-Type": "application/json"}
    for path, text in (
        ("/subscribe/payments/schedule", '{"customer_uid": "c", "schedules": [{"merchant_uid": "m", "amount": 1, "schedule_at": 1e9999999999}]}'),
        ("/payments/cancel", '{"merchant_uid": "o", "amount": 1e9999999999}'),
        ("/subscribe/payments/again", '{"customer_uid": "c", "merchant_uid": "n", "amount": 1, "name": "n", "custom_data": {"a": 1e400}}'),
    ):  # fmt: skip
        assert api.send("POST", path, text.encode(), json_type)[0] == 400, path


def test_instalments_need_fifty_thousand_won(world, api):
    world.two_gateways((100, 0))
    good = GOOD["/subscribe/payments/onetime"]
    assert api.post("/subscribe/payments/onetime", good | {"card_quota": 3})[1]["field"] == "card_quota"
    _, body = api.post("/subscribe/payments/onetime", good | {"card_quota": 3, "amount": 50000})
    assert (body["response"]["status"], body["response"]["card_quota"]) == ("paid", 3)
    _, body = api.post("/subscribe/payments/onetime", good | {"card_quota": 1, "merchant_uid": "o2"})
    assert (body["response"]["status"], body["response"]["card_quota"]) == ("paid", 0)


def test_a_cancels_tax_is_no_more_than_its_amount(world, api):
    world.two_gateways()
    api.post("/subscribe/payments/onetime", GOOD["/subscribe/payments/onetime"])
    for name in ("tax_free", "vat_amount"):
        status, answer = api.post("/payments/cancel", {"merchant_uid": "o", "amount": 500, name: 501})
        assert (status, answer["field"]) == (400, name)
