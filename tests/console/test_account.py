"""One's own account in the console: the password, and where one is signed in."""

import re

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Role
from tests.support.console import PASSWORD, Console

NEW = "a much better password"


@pytest.fixture
def console(world):
    yield Console(world, Role.VIEWER)
    container.install(None)


def another(console):
    """The same person's other browser."""
    other = Console(console.world, None)
    other.sign_in(f"viewer@{console.world.merchant_id}.kr")
    return other


def change(console, old=PASSWORD, new=NEW, again=NEW):
    return console.post("account/password", old_password=old, password=new, again=again)


def test_who_changes_the_password_stays_and_others_leave(console):
    other = another(console)
    done = change(console)
    assert done.location == "/console/account?done=password_changed"
    assert "다시 로그인해야" in console.follow(done).words
    assert other.get("account").status == 303
    fresh = Console(console.world, None)
    email = f"viewer@{console.world.merchant_id}.kr"
    assert fresh.sign_in(email, PASSWORD).status == 401
    assert fresh.sign_in(email, NEW).status == 303


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"old": "wrong wrong wrong"}, "old_password"),
        ({"again": "something else"}, "again"),
        ({"new": "short", "again": "short"}, "password"),
        ({"new": "", "again": ""}, "password"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_typed_comes_back(console, fields, field):
    page = change(console, **fields)
    assert page.status == 400
    assert re.search(rf'id="f-{field}"[^>]*aria-invalid="true"', page.text)
    assert NEW not in page.text
    assert PASSWORD not in page.text
    assert another(console).get("account").status == 200


def test_guesses_of_the_old_password_are_counted(console):
    for _ in range(5):
        change(console, old="wrong wrong wrong")
    locked = change(console)
    assert locked.status == 429
    assert "시도 횟수를 초과" in locked.words
    assert console.get("account").status == 200


def test_blanks_belong_to_a_password(console):
    spaced = "  ten characters  "
    assert change(console, new=spaced, again=spaced).status == 303
    fresh = Console(console.world, None)
    email = f"viewer@{console.world.merchant_id}.kr"
    assert fresh.sign_in(email, spaced.strip()).status == 401
    assert fresh.sign_in(email, spaced).status == 303


def test_sessions_are_shown_with_this_one_marked_and_ended(console):
    other, third = another(console), another(console)
    page = console.get("account")
    assert page.words.count("이 브라우저") == 1
    ids = re.findall(r'name="session_id" value="(\w+)"', page.text)
    assert len(ids) == 2
    assert console.post("account/session", session_id=ids[0]).status == 303
    assert sorted([other.get("account").status, third.get("account").status]) == [200, 303]
    assert console.post("account/session").location == "/console/account?done=others_ended"
    assert {other.get("account").status, third.get("account").status} == {303}
    assert console.get("account").status == 200


def test_nobody_ends_somebody_elses_session(console):
    owner = Console(console.world, Role.OWNER)
    page = owner.get("people/person", email=f"owner@{console.world.merchant_id}.kr")
    assert "이 브라우저" in page.words
    second = Console(console.world, None)
    second.sign_in(f"owner@{console.world.merchant_id}.kr")
    [theirs] = re.findall(r'name="session_id" value="(\w+)"', owner.get("account").text)
    assert console.post("account/session", session_id=theirs).status == 404
    assert second.get("account").status == 200
