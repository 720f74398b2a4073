"""Signing in and out of the console, and how a browser wants its pages."""

import re

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Role
from tests.support.console import PASSWORD, Console, add_person

EMAIL = "min@shop.kr"


@pytest.fixture
def nobody(world):
    add_person(world, Role.OPERATOR, EMAIL)
    yield Console(world, None)
    container.install(None)


def test_who_is_not_signed_in_is_led_there_and_back(nobody):
    away = nobody.get("channels/new", provider="kcp")
    assert (away.status, away.location.partition("?")[0]) == (303, "/console/sign-in")
    page = nobody.follow(away)
    wanted = re.search(r'name="next" value="([^"]*)"', page.text)[1]
    back = nobody.post("sign-in", email=EMAIL, password=PASSWORD, next=wanted.replace("&amp;", "&"))
    assert back.location.startswith("/console/channels/new")
    assert nobody.follow(back).status == 200


def test_unknown_and_wrong_are_told_alike(nobody):
    wrong = nobody.post("sign-in", email=EMAIL, password="wrong wrong wrong")
    unknown = nobody.post("sign-in", email="who@shop.kr", password=PASSWORD)
    assert (wrong.status, unknown.status) == (401, 401)
    assert wrong.text.replace(EMAIL, "") == unknown.text.replace("who@shop.kr", "")
    assert f'value="{EMAIL}"' in wrong.text
    assert "wrong wrong" not in wrong.text
    assert "__Host-session" not in nobody.cookies


def test_after_five_wrong_passwords_it_is_locked_and_says_for_how_long(world, nobody):
    for _ in range(5):
        nobody.post("sign-in", email=EMAIL, password="wrong wrong wrong")
    locked = nobody.post("sign-in", email=EMAIL, password=PASSWORD)
    assert locked.status == 429
    assert re.search(r"시도 횟수를 초과했습니다. \d+초 후에", locked.words)
    assert "__Host-session" not in nobody.cookies
    world.clock.advance(seconds=61)
    assert nobody.sign_in(EMAIL).status == 303


def test_a_browser_that_was_here_before_is_not_locked_out_from_outside(world, nobody):
    known = Console(world, None)
    known.sign_in(EMAIL)
    known.post("sign-out")
    for _ in range(6):
        nobody.post("sign-in", email=EMAIL, password="wrong wrong wrong")
    assert nobody.sign_in(EMAIL).status == 429
    assert known.sign_in(EMAIL).status == 303


def test_signing_out_ends_the_session_itself(nobody):
    nobody.sign_in(EMAIL)
    session = nobody.cookies["__Host-session"]
    out = nobody.post("sign-out")
    assert out.location == "/console/sign-in?done=signed_out"
    assert "__Host-session" not in nobody.cookies
    nobody.cookies["__Host-session"] = session
    assert nobody.get("channels").status == 303


def test_a_session_ends_by_itself(world, nobody):
    nobody.sign_in(EMAIL)
    world.clock.advance(minutes=59)
    assert nobody.get("channels").status == 200
    world.clock.advance(minutes=61)
    assert nobody.get("channels").status == 303


def test_language_colours_and_environment_are_the_browsers(nobody):
    page = nobody.post("preferences", language="en", theme="dark", back="sign-in")
    assert page.location == "/console/sign-in"
    shown = nobody.follow(page)
    assert '<html lang="en" data-theme="dark">' in shown.text
    assert "Sign in" in shown.words
    nobody.post("preferences", language="xx", theme="<b>", environment="nowhere")
    assert '<html lang="en" data-theme="dark">' in nobody.get("sign-in").text


@pytest.mark.parametrize(
    ("accepted", "language"), [("en-US,en;q=0.9", "en"), ("ko-KR", "ko"), ("fr", "ko"), ("", "ko")]
)
def test_the_first_language_is_the_browsers(nobody, accepted, language):
    nobody.cookies.clear()
    page = nobody.send("GET", "/console/sign-in", headers={"Accept-Language": accepted})
    assert f'<html lang="{language}"' in page.text


@pytest.mark.parametrize(
    "cookie", ["__Host-session=", "__Host-session=x; __Host-prefs=..;;=", "=;=;", "__Host-prefs=" + "a" * 4000]
)
def test_a_broken_cookie_is_none(nobody, cookie):
    page = nobody.send("GET", "/console/channels", headers={"Cookie": cookie})
    assert page.status == 303
    assert nobody.send("GET", "/console/sign-in", headers={"Cookie": cookie}).status == 200
