"""What stands around every page: whose request it is, where it comes from, and how long it may be."""

import json
import logging
import re
from urllib.parse import quote

import pytest

from chalicelib import container
from chalicelib.api.console.visits import Preferences, Visit
from chalicelib.domain.accounts import Role
from chalicelib.usecases import accounts
from tests.support.console import PASSWORD, Console, add_person

EMAIL = "min@shop.kr"


@pytest.fixture
def operator(world):
    yield Console(world, Role.OPERATOR)
    container.install(None)


@pytest.mark.parametrize(
    "other",
    ['{"a":1}', 'x="open', "é=1", "a b=c", "path=/x", 'json={"a":"b"}', "secure", "=", "[x]=1", "a:b=1", '"', "$Version=1"],
)  # fmt: skip
def test_cookies_of_others_do_not_sign_anybody_out(operator, other):
    own = "; ".join(f"{name}={value}" for name, value in operator.cookies.items())
    for cookies in (f"{other}; {own}", f"{own}; {other}", f"{own};{other};"):
        page = operator.send("GET", "/console/account", headers={"Cookie": cookies})
        assert page.status == 200
        assert "Set-Cookie" not in page.headers


def test_a_cookie_is_ours_by_its_whole_name_only(operator):
    session = operator.cookies["__Host-session"]
    for spelled in ("__host-session", "session", "x__Host-session", "__Host-session2"):
        assert operator.send("GET", "/console/account", headers={"Cookie": f"{spelled}={session}"}).status == 303


@pytest.mark.parametrize(
    "origin", ["http://[", "//[", "http://a]", "null", "router.kr", "//router.kr", "https://router.kr.evil.example",
               "https://evil.example/https://router.kr", "https://router.kr@evil.example", "javascript://router.kr"],
)  # fmt: skip
def test_an_origin_that_is_not_this_service_is_another_site(operator, caplog, origin):
    body = f"csrf={operator.csrf}".encode()
    for host in ("router.kr", ""):
        for path in ("sign-in", "sign-out", "preferences"):
            page = operator.send("POST", f"/console/{path}", body, {"Host": host, "Origin": origin})
            assert page.status == 403, path
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_this_service_is_no_other_site(operator, scheme):
    headers = {"Host": "Router.kr:8000", "Origin": f"{scheme}://router.kr:8000"}
    assert operator.send("POST", "/console/preferences", b"theme=dark", headers).status == 303


def test_every_page_has_another_token_against_forgery_and_each_is_good(operator):
    """Answers are compressed: what stays the same could be guessed from their length."""
    tokens = [re.search(r'name="csrf" value="(\w+)"', operator.get("account").text)[1] for _ in range(4)]
    assert len({token[:16] for token in tokens}) == len({token[16:] for token in tokens}) == 4
    for token in tokens:
        assert operator.post("account/session", csrf=token).status == 303
    mixed = tokens[0][:16] + tokens[1][16:]
    for wrong in (mixed, tokens[0][:16], tokens[0][16:], tokens[0][:-1], tokens[0] + "0", "0" * 80):
        assert operator.post("account/session", csrf=wrong).status == 403
    nested = json.dumps({"csrf": [tokens[0]]}).encode()
    assert operator.send("POST", "/console/sign-out", nested, {"Content-Type": "application/json"}).status == 403


def test_what_no_key_of_the_table_can_hold_is_refused_before_it_is_looked_for(operator):
    """DynamoDB counts bytes, and refuses a key of more than 2048, or a sort key of more than 1024."""
    longest = "\N{GRINNING FACE}" * 600
    assert operator.get(f"payments/{quote(longest)}").status == 400
    for path, name in (("audit", "cursor"), ("webhooks", "cursor"), ("audit", "subject"), ("payments", "q")):
        assert operator.get(path, **{name: longest}).status == 400, path
    assert operator.get("payments", q="a" * 500).status == 200
    assert operator.get("payments", q="가" * 300).status == 200


@pytest.mark.parametrize(
    "wanted", ["..", "../..", "../../users", "%2e%2e/%2E./x", "./..", "channels/..", "..?x", "channels/../..?a=b"]
)
def test_nobody_is_led_out_of_the_console(world, wanted):
    add_person(world, Role.VIEWER, EMAIL)
    nobody = Console(world, None)
    try:
        assert nobody.post("sign-in", email=EMAIL, password=PASSWORD, next=wanted).location == "/console"
        assert nobody.post("preferences", language="en", back=wanted).location == "/console"
    finally:
        container.install(None)


def test_what_was_typed_stands_in_no_text_about_a_visit(world):
    """Which may be part of an error's."""
    form = {"password": "typed-secret", "credentials": {"secret_key": "typed-secret"}}
    known = Visit(world.deps, ("sign-in",), {}, form, Preferences(), "", None, "", "device-secret", 0.0)
    assert "secret" not in repr(known).replace(repr(world.deps), "")


def test_who_signs_in_again_leaves_no_session_behind(world, operator):
    email, before = f"operator@{world.merchant_id}.kr", operator.cookies["__Host-session"]
    add_person(world, Role.VIEWER, EMAIL)
    assert operator.post("sign-in", email=EMAIL, password="wrong wrong").status == 401
    assert operator.get("account").status == 200  # a wrong password ends nothing
    assert operator.sign_in(EMAIL).status == 303
    assert operator.cookies["__Host-session"] != before
    assert accounts.sessions(world.deps, world.admin, email) == []
    operator.cookies["__Host-session"] = before
    assert operator.get("account").status == 303


@pytest.mark.parametrize("version", ["123456789abc", "1e3", "\N{SUPERSCRIPT TWO}", "9" * 40, "-1", ""])
def test_a_version_that_is_no_number_is_not_there(world, operator, version):
    group = world.group([(world.channel("tosspayments"), 100)], "A")
    path = f"groups/{group.group_id}/roll-back"
    assert operator.post(path, version=version).status == 404
    assert operator.get(path, version=version).status == 404


def test_an_admin_token_is_not_called_like_a_person(world):
    """What it does would stand in the history as that person's."""
    owner = Console(world, Role.OWNER)
    try:
        for name in (
            "kim@shop.kr",
            f"owner@{world.merchant_id}.kr",
            " Kim@shop.kr ",
            "KIM\N{FULLWIDTH COMMERCIAL AT}shop.kr",
        ):
            page = owner.post("tokens", token_name=name)
            assert page.status == 400, name
            assert "name" in page.text
        assert owner.post("tokens", token_name="batch").status == 200
    finally:
        container.install(None)
