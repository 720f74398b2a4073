"""The reference is valid, complete and true: held to the routes, to the models that views parse, to the real messages."""

import ast
import base64
import hashlib
import html
import html.parser
import inspect
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from chalicelib.api import glossary, openapi, operations, schemas, shapes
from chalicelib.domain.errors import InvalidRequest
from tests.support.api import CARD
from tests.support.reference import check_answer

ROOT = Path(__file__).parents[2]
OPERATIONS = {operation.key: operation for operation in operations.OPERATIONS}
DOCUMENT = openapi.document()
HANGUL = re.compile("[가-힣]")


def routes():
    """Those for programs. The console's pages are for people, who find what there is by looking."""
    from app import app

    programs = {path: methods for path, methods in app.routes.items() if not path.startswith("/console")}
    return {f"{method} {path}": entry for path, methods in programs.items() for method, entry in methods.items()}


def described(key):
    method, path = key.split()
    return DOCUMENT["paths"][path][method.lower()]


def validator(schema):
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


# --- the document ---


def test_it_is_openapi():
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_route_is_described_and_nothing_else():
    assert set(OPERATIONS) == set(routes())
    assert len(OPERATIONS) == len(operations.OPERATIONS)


def texts(part, path=""):
    """Every human text of the document; error messages are the code's own."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("summary", "description") and isinstance(value, str):
                yield f"{path}.{key}", value
            elif key not in ("example", "examples"):
                yield from texts(value, f"{path}.{key}")
    elif isinstance(part, list):
        for n, value in enumerate(part):
            yield from texts(value, f"{path}[{n}]")


def test_every_text_is_korean_and_english():
    for path, text in texts({**DOCUMENT, "components": {**DOCUMENT["components"], "schemas": {}}}):
        korean, slash, english = text.partition(" / ")
        assert slash, f"{path}: {text}"
        assert HANGUL.search(korean) or korean.isascii(), f"{path}: {text}"
        assert english, f"{path}: {text}"
        assert not HANGUL.search(english), f"{path}: {text}"
        assert " / " not in english, f"{path}: {text}"


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_field_is_explained_in_both_languages(name):
    for field, schema in DOCUMENT["components"]["schemas"][name].get("properties", {}).items():
        if field == "response":
            continue
        korean, slash, english = schema.get("description", "").partition(" / ")
        assert slash, f"{name}.{field}"
        assert korean, f"{name}.{field}"
        assert english, f"{name}.{field}"


def test_the_glossary_has_no_name_that_nothing_uses():
    used = {name for schema in DOCUMENT["components"]["schemas"].values() for name in schema.get("properties", ())}
    used |= {name for path in DOCUMENT["paths"] for name in re.findall(r"\{(\w+)\}", path)}
    for methods in [*DOCUMENT["paths"].values(), *DOCUMENT["webhooks"].values()]:
        for operation in methods.values():
            used |= {p["name"].removesuffix("[]") for p in operation.get("parameters", ())}
    used |= {"code", "message", *shapes.IssueExtra.model_fields}
    assert set(glossary.TEXTS) <= used
    assert set(glossary.EXAMPLES) <= set(glossary.TEXTS)


@pytest.mark.parametrize("key", sorted(OPERATIONS))
def test_examples_fit_their_own_schemas(key):
    operation = described(key)
    for media in operation.get("requestBody", {"content": {}})["content"].values():
        if "example" in media:
            validator(media["schema"]).validate(media["example"])
            in_path = {
                n: glossary.EXAMPLES[n] for n in re.findall(r"\{(\w+)\}", key) if n in OPERATIONS[key].body.model_fields
            }
            schemas.parse(OPERATIONS[key].body, {**media["example"], **in_path})
    for status, response in operation["responses"].items():
        for kind, media in response.get("content", {}).items():
            assert media["examples"]
            for example in media["examples"].values():
                validator(media["schema"]).validate(example["value"])
                if kind == "application/json":
                    check_answer(*key.split(), int(status), example["value"])


@pytest.mark.parametrize("key", [key for key in OPERATIONS if key.startswith(("POST ", "PUT "))])
def test_bodies_are_json_and_in_v1_forms_too(key):
    if OPERATIONS[key].body is None:
        assert "requestBody" not in described(key)
        return
    forms = {"application/json"} if key.split()[1].startswith("/admin") else {openapi.JSON_TYPE, openapi.FORM_TYPE}
    assert set(described(key)["requestBody"]["content"]) == forms


# --- and the code ---


def reachable_source(view):
    """The source of a view and of the functions in its module that it uses."""
    view = inspect.unwrap(view)
    functions = {n: f for n, f in vars(sys.modules[view.__module__]).items() if inspect.isfunction(f)}
    done, ahead = {}, [view]
    while ahead:
        function = inspect.unwrap(ahead.pop())
        if function.__name__ not in done:
            done[function.__name__] = source = inspect.getsource(function)
            ahead += [f for n, f in functions.items() if re.search(rf"\b{n}\(", source)]
    return "".join(done.values())


@pytest.mark.parametrize("key", sorted(OPERATIONS))
def test_the_models_are_those_that_the_view_parses(key):
    entry = routes().get(key)
    if entry is None:
        pytest.fail("no such route")
    source = reachable_source(entry.view_function)
    named = set(re.findall(r"\bschemas\.parse(?:_query)?\(\s*schemas\.(\w+)", source))
    operation = OPERATIONS[key]
    described_models = [model for model in (operation.body, operation.query) if model is not None]
    of_schemas = {
        base.__name__
        for model in described_models
        for base in [next((b for b in model.__mro__ if b.__module__.startswith(schemas.__name__)), None)]
        if base is not None
    }
    assert named == of_schemas
    for model in described_models:
        for field in vars(model).get("__annotations__", {}) if model.__module__ == operations.__name__ else ():
            assert f'query.get("{field}")' in source, f"{key} does not read {field}"


def messages_in_the_code():
    """Every text of the product's modules, with {} for what is filled in."""
    found = set()
    for path in (ROOT / "chalicelib").rglob("*.py"):
        if path.name in ("operations.py", "openapi.py", "glossary.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_refusals_are_worded_as_the_code_words_them():
    known = messages_in_the_code()
    refusals = {r for operation in operations.OPERATIONS for r in operation.refusals}
    refusals |= {r for common in operations.COMMON.values() for r in common}
    for refusal in refusals:
        text = re.sub(r"\{\w+\}", "{}", refusal.message)
        later = re.sub(r"^[\w{}]+: ", "", text)  # the field's name
        feature = refusal.status == 501 and "{}: 지원하지 않는 기능입니다. (not supported)" in known
        assert known & {text, later, f"{{}}: {later}"} or feature, refusal.message


# --- request schemas are as tolerant as the models, and no more ---

FIELDS = [
    (schemas.Again, "amount", {"customer_uid": "k", "merchant_uid": "m"}),
    (schemas.Again, "tax_free", {"customer_uid": "k", "merchant_uid": "m", "amount": 10**6}),
    (schemas.Again, "card_quota", {"customer_uid": "k", "merchant_uid": "m", "amount": 1}),
    (schemas.Again, "product_count", {"customer_uid": "k", "merchant_uid": "m", "amount": 1}),
    (schemas.Again, "use_card_point", {"customer_uid": "k", "merchant_uid": "m", "amount": 1}),
    (schemas.Again, "custom_data", {"customer_uid": "k", "merchant_uid": "m", "amount": 1}),
    (schemas.Again, "notice_url", {"customer_uid": "k", "merchant_uid": "m", "amount": 1}),
    (schemas.Again, "buyer_name", {"customer_uid": "k", "merchant_uid": "m", "amount": 1}),
    (schemas.ScheduleTime, "schedule_at", {}),
    (schemas.Unschedule, "merchant_uid", {"customer_uid": "k"}),
]
VALUES = [
    8900, 8900.5, -1, 0, "8900", "8900.50", "1,000", "１０００", "x", "true", "false", True, False, None, [], {}, ["a"], [1, {}],
    {"total": 8900}, {"total": "8900"}, {"total": None}, {"a": 1}, "https://example.com/hook", "x" * 17, 40,
]  # fmt: skip


@pytest.mark.parametrize(("model", "field", "others"), FIELDS, ids=[f"{m.__name__}.{f}" for m, f, _ in FIELDS])
def test_what_the_schema_takes_the_model_takes(model, field, others):
    schema = DOCUMENT["components"]["schemas"][model.__name__]
    taken = 0
    for value in VALUES:
        if not validator(schema).is_valid({**others, field: value}):
            continue
        taken += 1
        schemas.parse(model, json.loads(json.dumps({**others, field: value}), parse_float=Decimal))
    assert taken


@pytest.mark.parametrize("value", ["1,000", "x", True, None, [], {"a": 1}])
def test_what_is_no_amount_fits_neither(value):
    fields = {"customer_uid": "k", "merchant_uid": "m", "amount": value}
    assert not validator(DOCUMENT["components"]["schemas"]["Again"]).is_valid(fields)
    with pytest.raises(InvalidRequest):
        schemas.parse(schemas.Again, fields)


def test_both_spellings_are_described():
    assert {"channelGroupId", "channel_group_id", "channelKey", "channel_key", "vat", "vat_amount"} <= set(
        DOCUMENT["components"]["schemas"]["Onetime"]["properties"]
    )


# --- answers are checked against it: see tests/support/api.py ---


def test_an_answer_that_the_reference_does_not_tell_of_is_noticed(api, world):
    world.two_gateways()
    status, body = api.get("/users/pg")
    check_answer("GET", "/users/pg", status, body)
    for wrong in (
        {**body, "extra": 1},
        {**body, "response": [{**body["response"][0], "sandbox": "yes"}]},
        {**body, "response": [{**body["response"][0], "more": 1}]},
        {key: value for key, value in body.items() if key != "message"},
    ):
        with pytest.raises(AssertionError, match="GET /users/pg -> 200"):
            check_answer("GET", "/users/pg", 200, wrong)
    with pytest.raises(AssertionError, match="no such status"):
        check_answer("GET", "/users/pg", 418, body)


def test_webhooks_are_as_described(api, world):
    world.two_gateways()
    world.webhook_url("https://shop.example/hook")
    _, paid = api.post("/subscribe/payments/onetime", CARD, merchant_uid="m", amount=1000)
    api.post("/payments/cancel", imp_uid=paid["response"]["imp_uid"], enable_webhook=True)
    world.run_queue()
    described = DOCUMENT["webhooks"]["notice_url"]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    assert [json.loads(body)["status"] for _, body, _ in world.sender.sent] == ["paid", "cancelled"]
    for _, body, headers in world.sender.sent:
        validator(schema).validate(json.loads(body))
        assert set(json.loads(body)) <= set(DOCUMENT["components"]["schemas"]["Webhook"]["properties"])
        assert {p["name"] for p in described["parameters"]} <= set(headers)


# --- the routes ---


def call(path):
    from chalice.test import Client

    from app import app

    return Client(app).http.get(path)


def test_the_document_needs_no_token():
    reply = call("/openapi.json")
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(reply.body) == json.loads(json.dumps(DOCUMENT))


def test_importing_the_app_loads_none_of_it():
    program = (
        "import sys, app; from chalicelib.api import load_all; load_all();"
        "print([m for m in ('openapi', 'operations', 'shapes', 'glossary', 'page') if f'chalicelib.api.{m}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


class Seen(html.parser.HTMLParser):
    """What a browser would see of a page, and whether its tags close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.language = [], [], [], set(), None
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [value for name, value in attrs if name in ("href", "src", "action")]
        self.language = given.get("lang", self.language) if tag == "html" else self.language
        assert not [name for name in given if name.startswith("on") or name == "style"]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_page_shows_every_operation(language):
    reply = call(f"/docs?lang={language}")
    seen = Seen(text := reply.body.decode())
    assert reply.status_code == 200
    assert seen.language == language
    assert len(seen.ids) == len(set(seen.ids))
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            assert operation["operationId"] in seen.ids
            korean, _, english = operation["summary"].partition(" / ")
            assert html.escape(korean if language == "ko" else english) in text
    assert {link[1:] for link in seen.links if link.startswith("#")} <= set(seen.ids)


def test_the_page_is_of_one_piece():
    reply = call("/docs?lang=<script>")
    seen = Seen(text := reply.body.decode())
    assert seen.language == "ko"
    assert not seen.tags & {"script", "link", "img", "iframe", "form", "object", "embed"}
    assert not [link for link in seen.links if not link.startswith(("#", "?")) and link != "openapi.json"]
    policy = reply.headers["Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert "url(" not in style
    assert "@import" not in style
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
