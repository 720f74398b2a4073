"""How a request may be spelled: V1's clients differ in slashes, headers, lists and content types, not in what they mean."""

import json
import re
from urllib.parse import quote

import pytest
from chalice import Blueprint, Chalice
from chalice.test import Client

from chalicelib import container
from chalicelib.api import endpoints
from tests.support.api import CARD

FORM = "application/x-www-form-urlencoded"
KOREAN = "주문 1/가나다 😀"


class Echo:
    """A small application with the real decorator: answers what a view was given."""

    def __init__(self, deps):
        bp = Blueprint("echo")

        def echo(call):
            return endpoints.Answer({"path": dict(call.path), "query": dict(call.query), "body": call.body})

        def much(call):
            return endpoints.Answer(["가" * 1000] * 1000)

        for method in ("GET", "POST", "PUT"):
            endpoints.v1(bp, method, "/echo/{name}", token=False)(echo)
            endpoints.v1(bp, method, "/much", token=False)(much)
        app = Chalice("echo")
        app.register_blueprint(bp)
        container.install(deps)
        self._http = Client(app).http

    def __call__(self, method, path, body=b"", content_type=None):
        headers = {"Content-Type": content_type} if content_type is not None else {}
        reply = self._http.request(method, path, headers=headers, body=body)
        return reply.status_code, json.loads(reply.body)


@pytest.fixture
def echo(world):
    yield Echo(world.deps)
    container.install(None)


# --- queries and paths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("a=x", {"a": ["x"]}),
        ("a=x&a=y", {"a": ["x", "y"]}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("a%5B%5D=x&a%5B%5D=y", {"a": ["x", "y"]}),
        ("a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        ("a[1]=y&a[0]=x", {"a": ["x", "y"]}),
        ("&".join(f"a[{n}]=v{n}" for n in range(12)), {"a": [f"v{n}" for n in range(12)]}),
        ("a[1]=z&a[]=y&a=x&b=1", {"a": ["y", "x", "z"], "b": ["1"]}),
        ("a=", {"a": [""]}),
        ("a[]=", {"a": [""]}),
        ("extra[requester]=customer", {"extra[requester]": ["customer"]}),
        ("schedule-status=executed", {"schedule-status": ["executed"]}),
        (f"name={quote(KOREAN)}", {"name": [KOREAN]}),
        ("name=a+b%2Bc%26", {"name": ["a b+c&"]}),
        (f"a[{'9' * 5000}]=x", {f"a[{'9' * 5000}]": ["x"]}),
        ("[]=x&]=y&[=z", {"[]": ["x"], "]": ["y"], "[": ["z"]}),
    ],
)
def test_every_spelling_of_a_list_is_one_list(echo, query, read):
    status, answer = echo("GET", f"/echo/x?{query}")
    assert (status, answer["response"]["query"]) == (200, read)


@pytest.mark.parametrize("query", ["a=%00", "a[]=ok&a[]=%FF%FE", "a[0]=%ED%A0%80"])
def test_broken_characters_in_a_query_are_refused_by_name(echo, query):
    status, answer = echo("GET", f"/echo/x?{query}")
    assert (status, answer["code"], answer["field"]) == (400, -1, "a")


@pytest.mark.parametrize("name", [KOREAN, "a/b", "100%", "%41", "a+b", " spaced ", "a?b#c", "[x]", "한글"])
def test_a_path_value_is_percent_encoded_once(echo, name):
    status, answer = echo("GET", f"/echo/{quote(name, safe='')}")
    assert (status, answer["response"]["path"]) == (200, {"name": name})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/payments/cancel"),
        ("POST", "/payments/prepare"),
        ("POST", "/subscribe/payments/onetime"),
        ("POST", "/subscribe/payments/again"),
        ("POST", "/subscribe/payments/schedule"),
        ("POST", "/subscribe/payments/unschedule"),
        ("GET", "/payments/find/unknown"),
        ("GET", "/payments/find/unknown/paid"),
        ("GET", "/payments/findAll/unknown"),
        ("GET", "/payments/imp_000000000000"),
        ("GET", "/subscribe/customers/unknown"),
    ],
)
def test_a_slash_at_the_end_makes_no_difference(api, method, path):
    assert api.send(method, f"{path}/", b"{}") == api.send(method, path, b"{}")


# --- bodies -----------------------------------------------------------------------------------------------------

FIELDS = {"merchant_uid": KOREAN, "amount": "1000", "extra": {"requester": "customer"}, "list": ["a", "b"]}
AS_JSON = json.dumps(FIELDS, ensure_ascii=False).encode()
AS_FORM = (
    f"merchant_uid={quote(KOREAN)}&amount=1000&extra[requester]=customer&list[]=a&list[]=b".encode(),
    f"merchant_uid={quote(KOREAN)}&amount=1000&extra%5Brequester%5D=customer&list%5B0%5D=a&list%5B1%5D=b".encode(),
    f"list[1]=b&list[0]=a&merchant_uid={quote(KOREAN)}&amount=1000&extra[requester]=customer".encode(),
    f"merchant_uid={KOREAN}&amount=1000&extra[requester]=customer&list[]=a&list[]=b".encode(),
)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", AS_JSON),
        ("application/json; charset=UTF-8", AS_JSON),
        ('Application/JSON;charset="utf8"', AS_JSON),
        ("application/json", b"\xef\xbb\xbf" + AS_JSON),
        ("application/json", b" \r\n" + AS_JSON + b"\n"),
        ("application/json", json.dumps(FIELDS).encode()),
        (None, AS_JSON),
        ("", AS_JSON),
        (None, b"\xef\xbb\xbf\n " + AS_JSON),
        *[(FORM, form) for form in AS_FORM],
        (f"{FORM}; charset=UTF-8", AS_FORM[0]),
        (None, AS_FORM[0]),
    ],
)
def test_one_body_in_its_many_spellings(echo, method, content_type, body):
    status, answer = echo(method, "/echo/x", body, content_type)
    assert (status, answer["response"] and answer["response"]["body"]) == (200, FIELDS), answer


@pytest.mark.parametrize("content_type", [None, "application/json", FORM, "text/plain", "multipart/form-data"])
@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_an_empty_body_has_no_fields(echo, content_type, body):
    status, answer = echo("POST", "/echo/x", body, content_type)
    assert (status, answer["response"]["body"]) == (200, {})


@pytest.mark.parametrize(
    ("content_type", "body", "field"),
    [
        ("text/plain", AS_JSON, "Content-Type"),
        ("text/xml", b"<a/>", "Content-Type"),
        ("multipart/form-data; boundary=x", b"--x--", "Content-Type"),
        ("application/json; charset=euc-kr", AS_JSON, "Content-Type"),
        ("application/json", "가".encode("euc-kr"), "body"),
        (None, b"[1]", "body"),
        (None, b"{", "body"),
        ("application/json", b'"text"', "body"),
        ("application/json", b'{"amount": NaN}', "body"),
        ("application/json", b'{"amount": 1, "amount": 2}', "amount"),
        (FORM, b"amount=1&amount=2", "amount"),
        ("application/json", b'{"a":' * 40 + b"1" + b"}" * 40, "body"),
        ("application/json", b'{"a":' * 100_000, "body"),
        ("application/json", b'{"name": "' + b"x" * 300_000 + b'"}', "body"),
        ("application/json", b'{"name": "\\u0000"}', "name"),
        (FORM, b"name=%00", "name"),
    ],
)
def test_a_body_nobody_can_read_is_refused_by_name(echo, content_type, body, field):
    status, answer = echo("POST", "/echo/x", body, content_type)
    assert (status, answer["code"], answer["field"]) == (400, -1, field)
    assert re.match(r"\S+: .*[가-힣].*\(.+\)$", answer["message"])


def test_put_takes_a_form(api):
    api.form("/payments/prepare", {"merchant_uid": "p1", "amount": "1000"})
    body = b"merchant_uid=p1&amount=2000&currency=KRW"
    status, answer = api.send("PUT", "/payments/prepare", body, {"Content-Type": FORM})
    assert (status, answer["response"]) == (200, {"merchant_uid": "p1", "amount": 2000, "currency": "KRW"})


def test_unknown_keys_are_ignored(world, api):
    world.two_gateways()
    fields = {**CARD, "merchant_uid": "o", "amount": 1000, "escrow_confirmed": True, "가": {"나": [1]}, "": None}
    assert api.post("/subscribe/payments/onetime", fields)[1]["response"]["status"] == "paid"


# --- headers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        lambda token: {"Authorization": token},
        lambda token: {"authorization": f"Bearer {token}"},
        lambda token: {"AUTHORIZATION": f"bearer  {token} "},
        lambda token: {"Authorization": f"Basic {token}"},
        lambda token: {"X-ImpTokenHeader": token},
        lambda token: {"x-imptokenheader": f"Bearer {token}"},
    ],
)
def test_every_way_to_send_a_token(api, headers):
    assert api.send("GET", "/users/pg", headers=headers(api.token))[0] == 200
    assert api.send("GET", "/users/pg", headers=headers("0" * 40))[0] == 401


def v1_routes():
    from app import app

    return [(m, path) for path, methods in sorted(app.routes.items()) if not path.startswith("/admin") for m in methods]


def needs_token(api, method, path):
    return api._http.request(method, path).status_code == 401


def test_a_call_for_a_sub_merchant_is_refused_everywhere(world, api):
    world.two_gateways()
    api.post("/subscribe/customers/c", CARD)
    fields = {**CARD, "merchant_uid": "o", "amount": 1000, "customer_uid": "c", "name": "n"}
    refused = 0
    for method, route in v1_routes():
        path = re.sub(r"\{\w+\}", "c", route)
        if needs_token(api, method, path):
            headers = {"Tier": "ABC", "Authorization": api.token, "Content-Type": "application/json"}
            status, answer = api.send(method, path, json.dumps(fields).encode(), headers)
            assert (status, answer["code"], "Tier" in answer["message"]) == (501, -1, True), path
            refused += 1
    assert refused > 30
    assert world.captured() == []
    assert api.get("/subscribe/customers/c")[1]["code"] == 0, "a DELETE with that header deleted the key"


def test_an_empty_tier_header_names_nobody(api):
    assert api.send("GET", "/users/pg", headers={"Tier": " ", "Authorization": api.token})[0] == 200


# --- answers ----------------------------------------------------------------------------------------------------


def test_an_answer_too_large_for_lambda_names_what_makes_it_so(echo):
    status, answer = echo("GET", "/much")
    assert (status, answer["code"], answer["field"], answer["response"]) == (400, -1, "limit", None)
    assert "limit" in answer["message"]


def test_work_that_is_done_is_told_although_it_cannot_be_shown(echo):
    status, answer = echo("POST", "/much")
    assert (status, answer["code"], answer["response"]) == (200, 0, None)
    assert "done" in answer["message"]
