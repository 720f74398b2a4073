"""People, their sessions, the lock-out, and admin tokens."""

import json
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from chalicelib.domain.accounts import (
    MAX_DEVICES,
    Audit,
    Operator,
    People,
    Role,
    User,
    is_email,
    normal_password,
    password_objection,
)
from chalicelib.domain.errors import InvalidRequest, Locked, NotFound, Refused, TryAgain, Unauthorized
from chalicelib.ports import Conflict, Deleted, Ref, StoreUnavailable
from chalicelib.storage.items import ref_of
from chalicelib.storage.passwords import Argon2Passwords
from chalicelib.usecases import accounts, admin_tokens, merchants
from tests.support.stores import moto_store
from tests.support.world import World

OWNER, OTHER, VIEWER = "owner@shop.kr", "other@shop.kr", "viewer@shop.kr"
PASSWORD = "correct horse battery"
HOME, AWAY = "203.0.113.7", "198.51.100.9"
MINUTE = timedelta(minutes=1)


class Console:
    """What the edge does with the use cases, and the people of one merchant."""

    def __init__(self, world):
        self.world = world
        self.deps = world.deps
        self.admin = world.admin

    def add(self, email, role=Role.OWNER, password=PASSWORD, by=None):
        token = accounts.invite(self.deps, by or self.admin, email, "Kim", role)
        self.tick()
        return accounts.accept_invitation(self.deps, token, password)

    def sign_in(self, email=OWNER, password=PASSWORD, *, ip=HOME, device=None, agent="Firefox"):
        self.tick()
        return accounts.sign_in(self.deps, email, password, source_ip=ip, device=device, user_agent=agent)

    def tick(self):
        """Things that happen one after the other do so in the history too."""
        self.world.clock.advance(seconds=0.001)

    def enter(self, email=OWNER, **how):
        """Signed in, as the next request sees it."""
        return self.check(self.sign_in(email, **how).session_token)

    def check(self, token):
        return accounts.check_session(self.deps, token)

    def wrong(self, email=OWNER, **how):
        """What a wrong password gets."""
        with pytest.raises((Unauthorized, Locked)) as told:
            self.sign_in(email, "not the password", **how)
        return told.value

    def user(self, email=OWNER):
        return self.deps.store.load(Ref(User, (email,)))

    def owners(self):
        return self.deps.store.load(Ref(People, (self.world.merchant_id,))).owners

    def history(self, subject="people"):
        found = self.deps.store.list(Audit, (self.world.merchant_id, "audit", subject)).items
        return [(entry.action, entry.by) for entry in found]

    def over(self, token):
        with pytest.raises(Unauthorized):
            self.check(token)
        return True


@pytest.fixture
def console():
    console = Console(World({}))
    console.add(OWNER)
    return console


@pytest.fixture
def stranger(console):
    """The operator of another merchant on the same table."""
    other = merchants.create(console.deps, "another shop")
    return merchants.check_admin(console.deps, other.admin_token)


# --- signing in ----------------------------------------------------------------------------------------------------


def test_signs_in_and_out(console):
    signed_in = console.sign_in("  Owner@Shop.KR ", agent="Firefox " * 100)
    who = console.check(signed_in.session_token)
    assert who.operator == Operator(console.world.merchant_id, OWNER, Role.OWNER)
    assert (who.session.source_ip, len(who.session.user_agent)) == (HOME, 200)
    assert who.user.signed_in_at == console.world.clock.now()
    console.tick()
    accounts.sign_out(console.deps, signed_in.session_token)
    assert console.over(signed_in.session_token)
    accounts.sign_out(console.deps, signed_in.session_token)
    actions = ["person.invited", "person.joined", "person.signed_in", "person.signed_out"]
    assert [action for action, _ in console.history()] == actions
    assert [by for _, by in console.history()][1:] == [OWNER] * 3


@dataclass
class Counted:
    """ports.Passwords that notes what it was asked."""

    real: Argon2Passwords
    asked: list = field(default_factory=list)

    def hash(self, password):
        return self.real.hash(password)

    def verify(self, password_hash, password):
        self.asked.append(password_hash)
        return self.real.verify(password_hash, password)

    def needs_rehash(self, password_hash):
        return self.real.needs_rehash(password_hash)


@pytest.fixture
def counted(console):
    passwords = Counted(console.deps.passwords)
    console.deps = console.world.deps = replace(console.deps, passwords=passwords)
    return passwords


def test_unknown_wrong_invited_and_disabled_look_the_same(console, counted):
    accounts.invite(console.deps, console.admin, OTHER, "Lee", Role.VIEWER)
    console.add(VIEWER, Role.VIEWER)
    accounts.disable(console.deps, console.admin, VIEWER)
    calls = console.deps.store.calls
    told = set()
    for email, password in (
        (OWNER, "wrong"), ("nobody@shop.kr", "wrong"), (OTHER, ""), (VIEWER, PASSWORD), (VIEWER, "wrong"),
    ):  # fmt: skip
        calls.clear()
        counted.asked.clear()
        with pytest.raises(Unauthorized) as error:
            console.sign_in(email, password)
        told.add((str(error.value), tuple(calls), len(counted.asked)))
    assert told == {(accounts.WRONG, ("load", "load", "commit"), 1)}


@pytest.mark.parametrize(
    "email", ["", "no e-mail", "a@b", "\ud800@b.kr", "가@나.kr", "a" * 400 + "@b.kr", "a@b.kr\x00"]
)
def test_what_is_no_address_is_an_unknown_one(console, counted, email):
    with pytest.raises(Unauthorized, match="wrong e-mail or password"):
        console.sign_in(email, "\ud800")
    assert counted.asked == [None]


def test_nobodys_hash_takes_as_long_as_somebodys():
    real = Argon2Passwords()
    made, nobodys = real.hash("x").split("$"), real._nobodys.split("$")
    assert made[:4] == nobodys[:4]
    assert [len(part) for part in made] == [len(part) for part in nobodys]
    assert not real.verify(None, "")


def test_passwords_are_compared_however_they_were_typed(console):
    console.add(OTHER, password="비밀번호 열 글자 넘게 é")
    assert console.enter(OTHER, password="비밀번호 열 글자 넘게 e\u0301").user.email == OTHER
    assert console.enter(OTHER, password="비밀번호 열 글자 넘게 é".replace("비", "비")).user.email == OTHER


def test_a_hash_of_other_parameters_is_made_anew_at_the_next_sign_in(console):
    before = console.user().password_hash
    dearer = Argon2Passwords(time_cost=2, memory_kib=16, parallelism=1)
    console.deps = replace(console.deps, passwords=dearer)
    console.wrong()
    assert console.user().password_hash == before
    console.enter()
    after = console.user().password_hash
    assert "m=16,t=2" in after
    console.enter()
    assert console.user().password_hash == after


# --- lock-out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", [OWNER, "nobody@shop.kr"])
def test_five_wrong_ones_lock_for_a_minute_and_then_twice_as_long(console, email):
    assert [type(console.wrong(email)) for _ in range(6)] == [Unauthorized] * 5 + [Locked]
    with pytest.raises(Locked) as told:
        console.sign_in(email, PASSWORD, ip=AWAY)
    assert (told.value.seconds, "60초" in told.value.message) == (60, True)
    locks = []
    for _ in range(8):
        console.world.clock.advance(seconds=console.wrong(email).seconds)
        assert type(console.wrong(email)) is Unauthorized
        locks.append(console.wrong(email).seconds // 60)
    assert locks == [2, 4, 8, 16, 32, 60, 60, 60]
    noted = [by for action, by in console.history() if action == "person.locked_out"]
    assert noted == ([OWNER] * 9 if email == OWNER else [])


def test_a_success_begins_the_count_anew(console):
    for _ in range(3):
        for _ in range(4):
            assert type(console.wrong()) is Unauthorized
        console.enter()


def test_the_fifth_may_still_be_the_right_one(console):
    for _ in range(4):
        console.wrong()
    console.enter()
    assert type(console.wrong()) is Unauthorized


def test_failures_are_forgotten_after_a_day(console):
    for _ in range(4):
        console.wrong()
    console.world.clock.advance(hours=24)
    assert [type(console.wrong()) for _ in range(6)] == [Unauthorized] * 5 + [Locked]


def test_a_browser_that_has_signed_in_before_is_not_locked_out_from_outside(console):
    device = console.sign_in(ip=HOME).device_token
    for _ in range(6):
        console.wrong(ip=AWAY)
    assert type(console.wrong(ip=AWAY)) is Locked
    assert console.sign_in(ip=AWAY, device=device).device_token == device
    assert type(console.wrong(ip=AWAY)) is Locked  # and did not let the others in again


def test_a_known_browser_has_five_guesses_of_its_own(console):
    device = console.sign_in().device_token
    assert [type(console.wrong(device=device)) for _ in range(6)] == [Unauthorized] * 5 + [Locked]
    console.enter()


@pytest.mark.parametrize("device", ["", "x" * 43, "\ud800"])
def test_a_made_up_browser_is_no_known_one(console, device):
    for _ in range(5):
        console.wrong(device=device)
    assert type(console.wrong(device=device)) is Locked
    console.world.clock.advance(minutes=1)
    assert console.sign_in(device=device).device_token != device


def test_another_persons_browser_is_not_known(console):
    console.add(OTHER)
    device = console.sign_in(OTHER).device_token
    for _ in range(5):
        console.wrong(OWNER)
    assert type(console.wrong(OWNER, device=device)) is Locked


def test_of_many_browsers_the_latest_are_known(console):
    devices = [console.sign_in().device_token for _ in range(MAX_DEVICES + 1)]
    console.sign_in(device=devices[1])
    assert len(console.user().devices) == MAX_DEVICES
    for _ in range(5):
        console.wrong()
    assert type(console.wrong(device=devices[0])) is Locked
    console.sign_in(device=devices[1])


def test_twenty_failures_from_one_address_lock_it_for_everybody_new_there(console):
    for n in range(20):
        assert type(console.wrong(f"p{n}@shop.kr", ip=AWAY)) is Unauthorized
    assert type(console.wrong("p20@shop.kr", ip=AWAY)) is Locked
    assert type(console.wrong("p20@shop.kr", ip=HOME)) is Unauthorized
    console.world.clock.advance(minutes=1)
    console.enter(ip=AWAY)  # gives back its own guess, and not the twenty
    assert type(console.wrong("p21@shop.kr", ip=AWAY)) is Unauthorized
    assert type(console.wrong("p22@shop.kr", ip=AWAY)) is Locked


def test_who_owns_one_ipv6_address_owns_its_network(console):
    for n in range(20):
        console.wrong(f"p{n}@shop.kr", ip=f"2001:db8::{n + 1:x}")
    assert type(console.wrong("p@shop.kr", ip="2001:db8::ffff:1")) is Locked
    assert type(console.wrong("p@shop.kr", ip="2001:db8:0:1::1")) is Unauthorized


def test_people_who_are_right_do_not_lock_their_office(console):
    for _ in range(50):
        console.sign_in()
    assert type(console.wrong("p@shop.kr")) is Unauthorized


def test_a_hundred_guesses_at_once_are_a_hundred_guesses(console, counted):
    def guess(n):
        try:
            console.sign_in(OWNER, f"guess {n}", ip=f"10.0.0.{n}")
        except (Unauthorized, Locked, TryAgain) as error:
            return type(error)

    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(guess, range(100)))
    assert len(counted.asked) == told.count(Unauthorized) == 5


class Meeting:
    """ports.Store where all readers of a kind wait for each other, once: they see the same and write at once."""

    def __init__(self, store, parties):
        self._store = store
        self._barrier = threading.Barrier(parties)
        self._met = threading.local()

    def __getattr__(self, name):
        return getattr(self._store, name)

    def load_many(self, refs):
        found = self._store.load_many(refs)
        if not getattr(self._met, "done", False):
            self._met.done = True
            self._barrier.wait(timeout=30)
        return found


def test_guesses_that_have_seen_the_same_count_are_counted_one_by_one(console, counted):
    console.deps = replace(console.deps, store=Meeting(console.deps.store, 8))

    def guess(n):
        try:
            console.sign_in(OWNER, f"guess {n}", ip=f"10.0.0.{n}")
        except (Unauthorized, Locked) as error:
            return type(error)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(guess, range(8)))
    assert (told.count(Unauthorized), told.count(Locked), len(counted.asked)) == (5, 3, 5)


def test_a_right_password_among_guesses_at_the_same_instant(console):
    """The right one may have to wait its turn, and is not lost; its neighbours do not profit."""
    console.deps = replace(console.deps, store=Meeting(console.deps.store, 4))

    def attempt(password):
        try:
            return console.sign_in(OWNER, password).user.email
        except (Unauthorized, Locked, TryAgain) as error:
            return type(error)

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(attempt, [PASSWORD, "wrong 1", "wrong 2", "wrong 3"]))
    assert told == [OWNER, Unauthorized, Unauthorized, Unauthorized]


class Overtaken:
    """ports.Store where somebody else is faster, once: `meanwhile` happens before the n-th write."""

    def __init__(self, store, n, meanwhile):
        self._store, self._left, self._meanwhile = store, n, meanwhile

    def __getattr__(self, name):
        return getattr(self._store, name)

    def commit(self, *changes):
        self._left -= 1
        if self._left == 0:
            self._meanwhile()
        return self._store.commit(*changes)


def overtaken(console, meanwhile, n=2):
    """The same console on that store. n=2: what comes after the count of guesses."""
    slow = Console.__new__(Console)
    slow.world, slow.admin = console.world, console.admin
    slow.deps = replace(console.deps, store=Overtaken(console.deps.store, n, meanwhile))
    return slow


@pytest.mark.parametrize(
    ("meanwhile", "told"),
    [
        (lambda c: accounts.disable(c.deps, c.admin, OTHER), Unauthorized),
        (lambda c: accounts.remove(c.deps, c.admin, OTHER), Unauthorized),
        (lambda c: accounts.reset(c.deps, c.admin, OTHER), TryAgain),
        (lambda c: accounts.change_password(c.deps, c.enter(OTHER), PASSWORD, "another long one"), TryAgain),
    ],
    ids=["disabled", "removed", "reset", "changed"],
)
def test_nobody_signs_in_with_what_has_just_ceased_to_count(console, meanwhile, told):
    console.add(OTHER)
    with pytest.raises(told):
        overtaken(console, lambda: meanwhile(console)).sign_in(OTHER)


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda c: accounts.change_role(c.deps, c.admin, OTHER, Role.VIEWER),
        lambda c: accounts.revoke_sessions(c.deps, c.admin, OTHER),
        lambda c: c.enter(OTHER),
        lambda c: c.wrong(OTHER),
    ],
    ids=["role", "sessions ended", "another browser", "a guess"],
)
def test_who_signs_in_is_not_in_the_way_of_others(console, meanwhile):
    console.add(OTHER)
    signed_in = overtaken(console, lambda: meanwhile(console)).sign_in(OTHER)
    assert console.check(signed_in.session_token).operator.role is console.user(OTHER).role


def test_a_session_that_is_ended_meanwhile_changes_no_password(console):
    who = console.enter()
    slow = overtaken(console, lambda: accounts.revoke_sessions(console.deps, console.admin, OWNER))
    with pytest.raises(Unauthorized):
        accounts.change_password(slow.deps, who, PASSWORD, "another long one")
    console.enter()


# --- sessions ------------------------------------------------------------------------------------------------------


def test_a_session_ends_after_an_hour_of_silence(console):
    token = console.sign_in().session_token
    for _ in range(4):
        console.world.clock.advance(minutes=54)
        console.check(token)
    console.world.clock.advance(minutes=60)
    assert console.over(token)


def test_a_session_ends_after_twelve_hours_however_busy(console):
    token = console.sign_in().session_token
    for _ in range(23):
        console.world.clock.advance(minutes=30)
        console.check(token)
    console.world.clock.advance(minutes=30)
    assert console.over(token)


def test_checking_a_session_reads_twice_and_writes_every_five_minutes(console):
    token = console.sign_in().session_token
    calls = console.deps.store.calls

    def during_check():
        calls.clear()
        seen = console.check(token).session.seen_at
        return list(calls), seen == console.world.clock.now()

    assert during_check() == (["load", "load"], True)
    console.world.clock.advance(minutes=4)
    assert during_check() == (["load", "load"], False)
    console.world.clock.advance(minutes=1)
    assert during_check() == (["load", "load", "commit"], True)


@pytest.mark.parametrize("fails", [Conflict(None), StoreUnavailable("busy")])
def test_what_cannot_be_noted_does_not_end_a_session(console, fails):
    token = console.sign_in().session_token
    console.world.clock.advance(minutes=10)

    class Busy:
        load = console.deps.store.load

        def commit(self, *changes):
            raise fails

    busy = replace(console.deps, store=Busy())
    assert accounts.check_session(busy, token).user.email == OWNER


@pytest.mark.parametrize("token", ["", "x", "\ud800", "a" * 10_000])
def test_what_was_never_a_session(console, token):
    assert console.over(token)


def test_a_changed_role_counts_at_once(console):
    console.add(OTHER)
    token = console.sign_in(OTHER).session_token
    accounts.change_role(console.deps, console.admin, OTHER, Role.VIEWER)
    assert console.check(token).operator.role is Role.VIEWER


def test_who_is_disabled_is_out_at_once_and_not_in_again_when_enabled(console):
    console.add(OTHER)
    signed_in = console.sign_in(OTHER)
    assert accounts.disable(console.deps, console.admin, OTHER).disabled
    assert console.over(signed_in.session_token)
    with pytest.raises(Unauthorized):
        console.sign_in(OTHER, device=signed_in.device_token)
    accounts.enable(console.deps, console.admin, OTHER)
    assert console.over(signed_in.session_token)
    console.enter(OTHER)


def test_who_is_removed_and_comes_again_has_no_old_session(console):
    console.add(OTHER)
    token = console.sign_in(OTHER).session_token
    accounts.remove(console.deps, console.admin, OTHER)
    assert console.over(token)
    assert console.user(OTHER) is None
    console.add(OTHER)
    assert console.over(token)


def test_sessions_are_listed_and_ended_one_by_one(console):
    first = console.sign_in(agent="Firefox").session_token
    console.world.clock.advance(minutes=1)
    second = console.sign_in(agent="Chrome", ip=AWAY).session_token
    operator = console.check(second).operator
    listed = accounts.sessions(console.deps, operator, OWNER)
    assert [(s.user_agent, s.source_ip) for s in listed] == [("Chrome", AWAY), ("Firefox", HOME)]
    assert not {s.session_id for s in listed} & {first, second}
    accounts.revoke_session(console.deps, operator, OWNER, listed[1].session_id)
    assert console.over(first)
    assert console.check(second).session.session_id == listed[0].session_id
    with pytest.raises(NotFound):
        accounts.revoke_session(console.deps, operator, OWNER, listed[1].session_id)
    assert console.history()[-1] == ("session.revoked", OWNER)


def test_all_sessions_but_this_one_are_ended(console):
    tokens = [console.sign_in().session_token for _ in range(3)]
    who = console.check(tokens[1])
    accounts.revoke_sessions(console.deps, who.operator, OWNER, keep=who.session)
    assert [console.over(tokens[0]), console.over(tokens[2])] == [True, True]
    assert console.check(tokens[1]).session.session_id == who.session.session_id
    assert [s.session_id for s in accounts.sessions(console.deps, who.operator, OWNER)] == [who.session.session_id]
    accounts.revoke_sessions(console.deps, console.admin, OWNER, keep=console.check(tokens[1]).session)
    console.check(tokens[1])
    accounts.revoke_sessions(console.deps, console.admin, OWNER)
    assert console.over(tokens[1])


def test_a_session_that_has_ended_is_not_kept_by_ending_the_others(console):
    token = console.sign_in().session_token
    who = console.check(token)
    accounts.sign_out(console.deps, token)
    accounts.revoke_sessions(console.deps, who.operator, OWNER, keep=who.session)
    assert console.over(token)


def test_sessions_that_are_over_are_not_listed(console):
    console.sign_in()
    console.world.clock.advance(hours=1)
    assert accounts.sessions(console.deps, console.admin, OWNER) == []


# --- passwords -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "taken"),
    [
        ("x7!" * 3, False),
        ("x7!" * 3 + "k", True),
        ("가나다라마바사아자차", True),
        ("x" * 201, False),
        ("열 글자가 넘는 긴 문장입니다", True),
        ("Password123", False),
        ("PASSWORD123", False),
        ("Somebody.Long@Shop.KR", False),
        ("somebody.long", False),
    ],
)
def test_which_passwords_are_taken(password, taken):
    assert (password_objection(normal_password(password), "somebody.long@shop.kr") is None) == taken


@pytest.mark.parametrize(
    ("email", "is_one"),
    [
        ("a@b.kr", True),
        ("a+b@c-d.co.kr", True),
        ("a@b", False),
        ("a b@c.kr", False),
        ("a@b.kr#x", False),
        ("@b.kr", False),
    ],
)
def test_which_addresses_are_taken(email, is_one):
    assert is_email(email) == is_one


def test_changing_ones_password_ends_the_other_sessions(console):
    other = console.sign_in().session_token
    mine = console.sign_in()
    who = console.check(mine.session_token)
    accounts.change_password(console.deps, who, PASSWORD, "another long one")
    assert console.over(other)
    assert console.check(mine.session_token).session.session_id == who.session.session_id
    with pytest.raises(Unauthorized):
        console.sign_in(OWNER, PASSWORD)
    console.enter(password="another long one", device=mine.device_token)
    assert ("person.password_changed", OWNER) in console.history()


@pytest.mark.parametrize(
    ("old", "new", "field_"), [("wrong", "another long one", "old_password"), (PASSWORD, "short", "password")]
)
def test_a_password_that_is_not_changed(console, old, new, field_):
    who = console.enter()
    with pytest.raises(InvalidRequest) as told:
        accounts.change_password(console.deps, who, old, new)
    assert told.value.field == field_
    console.enter()


def test_the_old_password_cannot_be_guessed_at_an_unlocked_screen(console):
    who = console.enter()
    for _ in range(5):
        with pytest.raises(InvalidRequest):
            accounts.change_password(console.deps, who, "a guess", "another long one")
    with pytest.raises(Locked):
        accounts.change_password(console.deps, who, PASSWORD, "another long one")
    console.enter()


# --- invitations ---------------------------------------------------------------------------------------------------


def test_an_invitation_works_once(console):
    token = accounts.invite(console.deps, console.admin, " Other@Shop.kr ", " Lee ", Role.OPERATOR)
    assert accounts.invitation_path(token) == f"/console/invitations/{token}"
    assert re.fullmatch(r"[A-Za-z0-9._-]+", token)
    shown = accounts.invitation(console.deps, token)
    assert (shown.email, shown.name, shown.role, shown.password_hash) == (OTHER, "Lee", Role.OPERATOR, None)
    with pytest.raises(InvalidRequest):
        accounts.accept_invitation(console.deps, token, "short")
    accounts.accept_invitation(console.deps, token, PASSWORD)
    for use in (accounts.invitation, lambda deps, t: accounts.accept_invitation(deps, t, "another long one")):
        with pytest.raises(NotFound, match="expired or was used"):
            use(console.deps, token)
    assert console.enter(OTHER).operator.role is Role.OPERATOR


def test_an_invitation_lasts_three_days(console):
    token = accounts.invite(console.deps, console.admin, OTHER, "Lee", Role.VIEWER)
    console.world.clock.advance(hours=71, minutes=59)
    accounts.invitation(console.deps, token)
    console.world.clock.advance(minutes=1)
    with pytest.raises(NotFound):
        accounts.accept_invitation(console.deps, token, PASSWORD)


@pytest.mark.parametrize("change", [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: t.split(".")[0], lambda t: t.split(".")[0] + ".", lambda t: "b3duZXJAc2hvcC5rcg." + t.split(".")[1], lambda t: "." + t, lambda t: "", lambda t: "=." + t, lambda t: "_w." + t, lambda t: "가." + t, lambda t: t * 20])  # fmt: skip
def test_an_invitation_that_was_tampered_with(console, change):
    token = accounts.invite(console.deps, console.admin, OTHER, "Lee", Role.VIEWER)
    with pytest.raises(NotFound):
        accounts.invitation(console.deps, change(token))


def test_who_is_disabled_or_removed_cannot_accept(console):
    token = accounts.invite(console.deps, console.admin, OTHER, "Lee", Role.VIEWER)
    accounts.disable(console.deps, console.admin, OTHER)
    with pytest.raises(NotFound):
        accounts.accept_invitation(console.deps, token, PASSWORD)
    accounts.enable(console.deps, console.admin, OTHER)
    accounts.invitation(console.deps, token)
    accounts.remove(console.deps, console.admin, OTHER)
    with pytest.raises(NotFound):
        accounts.accept_invitation(console.deps, token, PASSWORD)


@pytest.mark.parametrize(
    ("email", "name", "field_"),
    [("no address", "Lee", "email"), (OWNER, "Lee", "email"), (OTHER, " ", "name"), (OTHER, "x" * 81, "name")],
)
def test_who_cannot_be_invited(console, email, name, field_):
    with pytest.raises(InvalidRequest) as told:
        accounts.invite(console.deps, console.admin, email, name, Role.VIEWER)
    assert told.value.field == field_
    assert [user.email for user in accounts.people(console.deps, console.admin)] == [OWNER]


def test_a_reset_ends_everything_that_was(console):
    console.add(OTHER, Role.OPERATOR)
    signed_in = console.sign_in(OTHER)
    token = accounts.reset(console.deps, console.admin, OTHER)
    assert console.over(signed_in.session_token)
    with pytest.raises(Unauthorized):
        console.sign_in(OTHER, device=signed_in.device_token)
    assert console.user(OTHER).devices == ()
    accounts.accept_invitation(console.deps, token, "another long one")
    assert console.enter(OTHER, password="another long one").operator.role is Role.OPERATOR


def test_a_new_link_replaces_the_old_one(console):
    old = accounts.invite(console.deps, console.admin, OTHER, "Lee", Role.VIEWER)
    new = accounts.reset(console.deps, console.admin, OTHER)
    with pytest.raises(NotFound):
        accounts.invitation(console.deps, old)
    accounts.accept_invitation(console.deps, new, PASSWORD)


# --- owners --------------------------------------------------------------------------------------------------------

LEAVINGS = {
    "demoted": lambda deps, by, email: accounts.change_role(deps, by, email, Role.OPERATOR),
    "disabled": accounts.disable,
    "removed": accounts.remove,
    "reset": accounts.reset,
}


@pytest.mark.parametrize("leave", LEAVINGS.values(), ids=LEAVINGS)
def test_an_owner_remains(console, leave):
    accounts.invite(console.deps, console.admin, VIEWER, "Lee", Role.OWNER)  # who has not come yet is no help
    with pytest.raises(Refused, match="an owner has to remain"):
        leave(console.deps, console.admin, OWNER)
    console.add(OTHER)
    leave(console.deps, console.admin, OWNER)
    assert console.owners() == (OTHER,)
    with pytest.raises(Refused, match="an owner has to remain"):
        leave(console.deps, console.admin, OTHER)
    console.enter(OTHER)


@pytest.mark.parametrize("leave", LEAVINGS.values(), ids=LEAVINGS)
def test_nobody_does_that_to_their_own_account(console, leave):
    console.add(OTHER)
    with pytest.raises(Refused, match="not on your own account"):
        leave(console.deps, console.enter().operator, " OWNER@shop.kr")
    assert console.owners() == (OTHER, OWNER)


def test_owners_come_and_go_on_the_roster(console):
    console.add(OTHER, Role.VIEWER)
    assert console.owners() == (OWNER,)
    accounts.change_role(console.deps, console.admin, OTHER, Role.OWNER)
    assert console.owners() == (OTHER, OWNER)
    accounts.disable(console.deps, console.admin, OTHER)
    assert console.owners() == (OWNER,)
    accounts.enable(console.deps, console.admin, OTHER)
    assert console.owners() == (OTHER, OWNER)
    accounts.accept_invitation(console.deps, accounts.reset(console.deps, console.admin, OTHER), PASSWORD)
    assert console.owners() == (OTHER, OWNER)


def test_who_holds_the_account_may_reset_the_last_owner(console):
    token = accounts.reset(console.deps, console.admin, OWNER, may_be_last=True)
    assert console.owners() == ()
    accounts.accept_invitation(console.deps, token, "another long one")
    assert console.owners() == (OWNER,)
    console.enter(password="another long one")


def test_what_is_so_already_is_not_written_again(console):
    console.add(OTHER, Role.VIEWER)
    before = console.history()
    accounts.change_role(console.deps, console.admin, OTHER, Role.VIEWER)
    accounts.enable(console.deps, console.admin, OTHER)
    assert console.history() == before


# --- another merchant ----------------------------------------------------------------------------------------------

REACHING = {
    **LEAVINGS,
    "seen": accounts.person,
    "enabled": accounts.enable,
    "sessions": accounts.sessions,
    "revoked": lambda deps, by, email: accounts.revoke_session(deps, by, email, "x"),
    "all revoked": accounts.revoke_sessions,
}


@pytest.mark.parametrize("reach", REACHING.values(), ids=REACHING)
def test_another_merchants_people_are_unknown(console, stranger, reach):
    token = console.sign_in().session_token
    for email in (OWNER, "nobody@shop.kr"):
        with pytest.raises(NotFound, match="unknown person"):
            reach(console.deps, stranger, email)
    console.check(token)
    assert accounts.people(console.deps, stranger) == []


def test_an_address_is_one_persons_over_all_merchants_and_nobody_says_whose(console, stranger):
    texts = set()
    for by in (stranger, console.admin):
        with pytest.raises(InvalidRequest) as told:
            accounts.invite(console.deps, by, OWNER, "Lee", Role.OWNER)
        texts.add(told.value.message)
    assert texts == {accounts.TAKEN}
    with pytest.raises(InvalidRequest):
        accounts.check_free(console.deps, OWNER)
    accounts.check_free(console.deps, OTHER)


def test_who_moves_to_another_merchant_leaves_their_sessions(console, stranger):
    console.add(OTHER)
    token = console.sign_in(OTHER).session_token
    accounts.remove(console.deps, console.admin, OTHER)
    console.add(OTHER, by=stranger)
    assert console.over(token)
    assert console.enter(OTHER).operator.merchant_id == stranger.merchant_id


# --- admin tokens --------------------------------------------------------------------------------------------------


def test_admin_tokens_come_and_go(console):
    operator = console.enter().operator
    token, secret = admin_tokens.create(console.deps, operator, " deploy ")
    assert merchants.check_admin(console.deps, secret) == Operator(operator.merchant_id, "deploy")
    assert (token.name, token.created_by, token.created_at) == ("deploy", OWNER, console.world.clock.now())
    made, first = admin_tokens.tokens(console.deps, operator)
    if made.token_id != token.token_id:  # made in the same second
        made, first = first, made
    assert (made, first.name, bool(first.token_id)) == (token, "demo", True)
    admin_tokens.revoke(console.deps, operator, token.token_id)
    with pytest.raises(Unauthorized):
        merchants.check_admin(console.deps, secret)
    with pytest.raises(NotFound):
        admin_tokens.revoke(console.deps, operator, token.token_id)
    assert [first.token_id] == [t.token_id for t in admin_tokens.tokens(console.deps, operator)]
    assert console.history("admin_tokens") == [("admin_token.created", OWNER), ("admin_token.revoked", OWNER)]


@pytest.mark.parametrize("name", ["", "  ", "x" * 81])
def test_an_admin_token_needs_a_name(console, name):
    with pytest.raises(InvalidRequest):
        admin_tokens.create(console.deps, console.admin, name)


def test_another_merchants_admin_token_is_unknown(console, stranger):
    token, secret = admin_tokens.create(console.deps, console.admin, "deploy")
    assert token.token_id not in [t.token_id for t in admin_tokens.tokens(console.deps, stranger)]
    with pytest.raises(NotFound):
        admin_tokens.revoke(console.deps, stranger, token.token_id)
    merchants.check_admin(console.deps, secret)


# --- what is kept, and what is not ---------------------------------------------------------------------------------


def test_nothing_secret_is_stored_or_logged(console, caplog):
    caplog.set_level(logging.DEBUG)
    invited = accounts.invite(console.deps, console.admin, OTHER, "Lee", Role.OWNER)
    accounts.accept_invitation(console.deps, invited, "a password to look for")
    pending = accounts.invite(console.deps, console.admin, VIEWER, "Choi", Role.VIEWER)
    signed_in = console.sign_in(OTHER, "a password to look for")
    console.wrong(OTHER)
    accounts.change_password(
        console.deps, console.check(signed_in.session_token), "a password to look for", "its own successor"
    )
    anew = accounts.reset(console.deps, console.admin, OTHER)
    _, admin_token = admin_tokens.create(console.deps, console.admin, "deploy")
    kept = console.deps.store.texts() + caplog.text + "".join(map(str, console.deps.store.items))
    halves = [token.split(".")[1] for token in (invited, pending, anew)]
    for secret in (
        *halves, signed_in.session_token, signed_in.device_token, admin_token,
        "a password to look for", "its own successor", "not the password",
    ):  # fmt: skip
        assert secret not in kept
    audits = [item["doc"]["S"] for (pk, _), item in console.deps.store.items.items() if "#audit#" in pk]
    assert len(audits) >= 8
    hashes = {
        value
        for item in console.deps.store.items.values()
        for name, value in json.loads(item["doc"]["S"]).items()
        if name.endswith("_hash") and value
    }
    assert len(hashes) >= 5
    assert not [text for text in audits for value in hashes if value in text]


def test_what_is_over_is_removed_by_the_table(console):
    console.sign_in()
    console.wrong()
    kinds = {pk.partition("#")[0]: item.get("expires_at") for (pk, _), item in console.deps.store.items.items()}
    assert kinds["session"]
    assert kinds["guesses"]
    assert kinds["user"] is None


class Killed(BaseException):
    pass


class Mortal:
    """ports.Store of a process that dies before or after its n-th write. Each write takes a millisecond."""

    def __init__(self, world, dies_at, *, after):
        self._world, self._dies_at, self._after, self.writes = world, dies_at, after, 0

    def __getattr__(self, name):
        return getattr(self._world.store, name)

    def commit(self, *changes):
        self._world.clock.advance(seconds=0.001)
        self.writes += 1
        if self.writes == self._dies_at and not self._after:
            raise Killed
        try:
            return self._world.store.commit(*changes)
        finally:
            if self.writes == self._dies_at:
                raise Killed


def life_of(console):
    """Everything that is written about people, once."""
    by = console.admin
    token = accounts.invite(console.deps, by, OTHER, "Lee", Role.VIEWER)
    accounts.accept_invitation(console.deps, token, PASSWORD)
    console.wrong(OTHER)
    first, second = (console.sign_in(OTHER).session_token for _ in range(2))
    console.world.clock.advance(minutes=6)
    who = console.check(first)
    accounts.change_role(console.deps, by, OTHER, Role.OWNER)
    accounts.change_password(console.deps, who, PASSWORD, "another long one")
    accounts.revoke_session(console.deps, by, OTHER, who.session.session_id)
    third = console.sign_in(OTHER, "another long one").session_token
    accounts.revoke_sessions(console.deps, by, OTHER)
    accounts.sign_out(console.deps, third)
    accounts.disable(console.deps, by, OTHER)
    accounts.enable(console.deps, by, OTHER)
    accounts.reset(console.deps, by, OTHER)
    made, _ = admin_tokens.create(console.deps, by, "deploy")
    admin_tokens.revoke(console.deps, by, made.token_id)
    accounts.remove(console.deps, by, OTHER)
    return second


WRITES = 24


def test_as_many_writes_as_are_died_at(console):
    mortal = Mortal(console.world, 0, after=False)
    console.deps = replace(console.deps, store=mortal)
    life_of(console)
    assert mortal.writes == WRITES


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(1, WRITES + 1))
def test_a_process_that_dies_leaves_nothing_half_done(console, dies_at, after):
    lasting = console.deps
    console.deps = replace(lasting, store=Mortal(console.world, dies_at, after=after))
    with pytest.raises(Killed):
        life_of(console)
    console.deps = lasting
    check_books(console)
    if console.user(OTHER):  # whatever was, one can go on from there
        accounts.enable(console.deps, console.admin, OTHER)
        token = accounts.reset(console.deps, console.admin, OTHER)
        accounts.accept_invitation(console.deps, token, "the last of them")
        console.world.clock.advance(hours=1)
        console.enter(OTHER, password="the last of them")
        check_books(console)
        accounts.remove(console.deps, console.admin, OTHER)
    console.add(OTHER)
    console.enter(OTHER)


def check_books(console):
    """The roster says who owns; every change that is in the table is in the history, and nothing else is."""
    known = accounts.people(console.deps, console.admin)
    assert console.owners() == tuple(sorted(user.email for user in known if user.is_acting_owner))
    told = {user.email: None for user in known}
    for entry in console.deps.store.list(Audit, (console.world.merchant_id, "audit", "people")).items:
        if entry.after is None and entry.action == "person.removed":
            told.pop(entry.before["email"])
        elif entry.after and "role" in entry.after:
            told[entry.after["email"]] = (entry.after["role"], entry.after["disabled"])
    assert told == {user.email: (str(user.role), user.disabled) for user in known}


def test_over_the_real_table_as_in_memory():
    with moto_store() as store:
        console = Console(World({}, store=store))
        console.add(OWNER)
        life_of(console)
        assert console.owners() == (OWNER,)
        assert [user.email for user in accounts.people(console.deps, console.admin)] == [OWNER]
        stored = store.load(ref_of(console.user()))
        store.commit(Deleted(stored))
        assert accounts.people(console.deps, console.admin) == []
