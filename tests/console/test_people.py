"""People in the console: invited, given roles, locked out, ended and removed; and one owner remains."""

import html
import re

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Audit, Role
from chalicelib.usecases import accounts
from tests.support.console import PASSWORD, Console, add_person

MIN = "min@shop.kr"


@pytest.fixture
def console(world):
    yield Console(world, Role.OWNER)
    container.install(None)


def invite(console, email=MIN, name="민서", role="operator"):
    page = console.post("people", email=email, name=name, role=role)
    assert page.status == 200, page.words
    return page, link_of(page)


def link_of(page):
    return html.unescape(re.search(r"http://[^\"<]+(/console/invitations/[^\"<]+)", page.text)[1])


def nobody(world):
    return Console(world, None)


def accept(world, link, password=PASSWORD, again=None):
    path = link.removeprefix("/console/")
    return nobody(world).post(path, password=password, again=password if again is None else again)


def member(world, role=Role.OPERATOR, email=MIN):
    """Somebody's own signed-in browser."""
    add_person(world, role, email)
    theirs = nobody(world)
    theirs.sign_in(email)
    return theirs


def role_of(console, email=MIN):
    return accounts.person(console.world.deps, console.world.admin, email).role


# --- invitations -------------------------------------------------------------------------------------------------------


def test_an_invitation_is_shown_once_and_works_once(world, console):
    page, link = invite(console)
    assert page.headers["Cache-Control"] == "no-store"
    assert link.rpartition(".")[2] not in world.store.texts()
    for path in ("people", "audit"):
        shown = console.get(path)
        assert link not in shown.text
        assert MIN in shown.words
    assert "초대됨" in console.get("people").words
    path = link.removeprefix("/console/")
    assert "민서" in nobody(world).get(path).words
    accepted = accept(world, link)
    assert accepted.location == "/console/sign-in?done=password_set"
    assert accept(world, link).status == 404
    theirs = nobody(world)
    assert theirs.sign_in(MIN).status == 303
    assert theirs.get("channels").status == 200
    assert "사용 중" in console.get("people").words


def test_an_invitation_of_a_long_address_works(world, console):
    _, link = invite(console, email=f"{'long.' * 12}name@{'long-' * 11}shop.co.kr")
    assert accept(world, link).status == 303


def test_an_invitation_expires(world, console):
    _, link = invite(console)
    world.clock.advance(hours=72)
    assert nobody(world).get(link.removeprefix("/console/")).status == 404
    assert accept(world, link).status == 404
    again = Console(world, None)
    again.sign_in(f"owner@{world.merchant_id}.kr")
    assert "초대 만료" in again.get("people").words


@pytest.mark.parametrize(
    ("password", "again", "told"),
    [
        ("short", None, "10~200자"),
        ("correct horse", "correct house", "두 비밀번호가 다릅니다"),
        (MIN, None, "이메일과 같은"),
        ("password1234", None, "너무 흔한"),
    ],
)
def test_a_password_that_will_not_do(world, console, password, again, told):
    _, link = invite(console)
    page = accept(world, link, password, again)
    assert page.status == 400
    assert told in page.words
    assert f'value="{password}"' not in page.text.replace(f'name="email" value="{MIN}"', "")
    assert accept(world, link).status == 303


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"email": "no address"}, "email"),
        ({"name": " "}, "name"),
        ({"role": "god"}, "role"),
        ({"role": ""}, "role"),
    ],
)
def test_an_invitation_that_cannot_be_made_keeps_what_was_typed(world, console, fields, wrong):
    page = console.post("people", {"email": MIN, "name": "민서", "role": "viewer", **fields})
    assert page.status == 400
    assert re.search(rf'id="f-{wrong}"[^>]*aria-invalid="true"', page.text)
    if wrong != "email":
        assert f'value="{MIN}"' in page.text
    assert len(accounts.people(world.deps, world.admin)) == 1


def test_somebody_is_not_invited_twice(world, console):
    invite(console)
    page = console.post("people", email=MIN.upper(), name="다른 사람", role="viewer")
    assert page.status == 400
    assert "이미 사용 중" in page.words


# --- roles -------------------------------------------------------------------------------------------------------------


def test_a_role_counts_from_the_next_page_on(world, console):
    theirs = member(world)
    assert theirs.get("channels/new").status == 200
    done = console.post("people/role", email=MIN, role="viewer")
    assert done.status == 303
    assert "역할을 바꿨습니다" in console.follow(done).words
    assert theirs.get("channels/new").status == 403
    assert theirs.post("channels/new").status == 403


def test_nobody_changes_their_own(world, console):
    me = f"owner@{world.merchant_id}.kr"
    page = console.get("people/person", email=me)
    assert "다른 소유자가 바꿉니다" in page.words
    assert "/console/people/remove" not in page.text
    for act, more in (("role", {"role": "viewer"}), ("disable", {}), ("remove", {"typed": me})):
        refused = console.post(f"people/{act}", email=me, **more)
        assert refused.status == 409
        assert "본인 계정에는" in refused.words
    assert role_of(console, me) is Role.OWNER


def test_one_owner_remains(world, console):
    """Of two owners one can end the other's role and not both; the last cannot end their own password."""
    theirs = member(world, Role.OWNER)
    me = f"owner@{world.merchant_id}.kr"
    assert console.post("people/role", email=MIN, role="operator").status == 303
    assert theirs.post("people/role", email=me, role="operator").status == 403
    refused = console.post("people/reset", email=me)
    assert refused.status == 409
    assert "본인 계정에는" in refused.words


# --- ending ------------------------------------------------------------------------------------------------------------


def test_who_is_disabled_is_out_at_once_and_can_come_back(world, console):
    theirs = member(world)
    assert "언제든 다시" in console.get("people/disable", email=MIN).words
    assert theirs.get("channels").status == 200
    assert console.post("people/disable", email=MIN).status == 303
    assert theirs.get("channels").status == 303
    assert theirs.sign_in(MIN).status == 401
    assert "사용 중지" in console.get("people").words
    assert console.post("people/enable", email=MIN).status == 303
    assert theirs.sign_in(MIN).status == 303


def test_who_is_removed_is_gone(world, console):
    theirs = member(world)
    assert console.get("people/remove", email=MIN).status == 200
    wrong = console.post("people/remove", email=MIN, typed="somebody@else.kr")
    assert wrong.status == 400
    assert theirs.get("channels").status == 200
    gone = console.post("people/remove", email=MIN, typed=f" {MIN.upper()} ")
    assert gone.location == "/console/people?done=person_removed"
    assert theirs.get("channels").status == 303
    assert console.get("people/person", email=MIN).status == 404
    assert "사용자 삭제" in console.get("audit").words


def test_a_new_invitation_ends_the_old_password(world, console):
    theirs = member(world)
    assert console.get("people/reset", email=MIN).status == 200
    link = link_of(console.post("people/reset", email=MIN))
    assert theirs.get("channels").status == 303
    assert theirs.sign_in(MIN).status == 401
    assert accept(world, link, "another long password").status == 303
    theirs.cookies.clear()
    assert theirs.sign_in(MIN, "another long password").status == 303


def test_sessions_are_seen_and_ended(world, console):
    first, second = member(world), nobody(world)
    second.sign_in(MIN)
    page = console.get("people/person", email=MIN)
    ids = re.findall(r'name="session_id" value="(\w+)"', page.text)
    assert len(ids) == 2
    assert console.post("people/session", email=MIN, session_id=ids[0]).status == 303
    assert sorted([first.get("channels").status, second.get("channels").status]) == [200, 303]
    assert console.post("people/session", email=MIN).status == 303
    assert {first.get("channels").status, second.get("channels").status} == {303}
    assert console.post("people/session", email=MIN, session_id=ids[0]).status == 404
    assert console.get("channels").status == 200


def test_who_is_locked_out_is_seen(world, console):
    add_person(world, Role.VIEWER, MIN)
    for _ in range(5):
        nobody(world).post("sign-in", email=MIN, password="wrong wrong wrong")
    assert "로그인 잠김" in console.get("people").words
    world.clock.advance(seconds=61)
    assert "로그인 잠김" not in console.get("people").words
    world.clock.advance(seconds=1)
    assert "로그인 잠김" in console.get("audit", subject="people").words


# --- who sees what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_others_see_who_there_is_and_no_more(world, role):
    add_person(world, Role.OWNER, MIN)
    console = Console(world, role)
    page = console.get("people")
    assert MIN in page.words
    assert "/console/people/person" not in page.text
    assert 'name="role"' not in page.text
    assert console.get("people/person", email=MIN).status == 403
    container.install(None)


def test_changes_are_on_record_without_a_secret(world, console):
    _, link = invite(console)
    accept(world, link)
    console.post("people/role", email=MIN, role="viewer")
    entries = world.store.newest(Audit, world.merchant_id).items
    by = {entry.action: entry.by for entry in entries}
    assert by["person.invited"] in ("demo", f"owner@{world.merchant_id}.kr")
    assert by["person.role_changed"] == f"owner@{world.merchant_id}.kr"
    told = " ".join(str((entry.before, entry.after)) for entry in entries)
    assert "argon2" not in told
    assert link.rpartition(".")[2] not in told


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("people", {"email": "new@kim.kr", "name": "새 사람", "role": "viewer"}),
        ("people/role", {"email": "operator@{merchant}.kr", "role": "owner"}),
        ("people/reset", {"email": "operator@{merchant}.kr"}),
        ("tokens", {"token_name": "deploy"}),
        ("webhooks/secret", {}),
    ],
)
def test_a_session_alone_gives_nobody_a_way_in(world, path, fields):
    add_person(world, Role.OPERATOR)
    owner = Console(world)
    fields = {name: value.format(merchant=world.merchant_id) for name, value in fields.items()}
    before = {key: item["version"] for key, item in world.store.items.items() if "guesses" not in key[0]}
    page = owner.post(path, {**fields, "own_password": "not my password"})
    assert (page.status, 'name="own_password"' in page.text) == (400, True)
    assert "현재 비밀번호가 올바르지 않습니다" in page.words
    assert {key: item["version"] for key, item in world.store.items.items() if "guesses" not in key[0]} == before
    assert owner.post(path, fields).status in (200, 303)
