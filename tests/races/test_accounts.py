"""People who change each other at the same instant, and many who guess at once."""

import pytest

from chalicelib.domain.accounts import Audit, Operator, People, Role, User
from chalicelib.domain.errors import InvalidRequest, Locked, NotFound, Refused, TryAgain, Unauthorized
from chalicelib.ports import Ref
from chalicelib.usecases import accounts, merchants
from tests.races.arena import TRIES

pytestmark = pytest.mark.real

PASSWORD = "correct horse battery"
GUESSES = 4
"""By each contestant."""


def leave(me, merchant_id, email, how, by):
    """Returns None, or the error's name."""
    operator = Operator(merchant_id, by)
    try:
        match how:
            case "demoted":
                accounts.change_role(me.deps, operator, email, Role.VIEWER)
            case "disabled":
                accounts.disable(me.deps, operator, email)
            case "removed":
                accounts.remove(me.deps, operator, email)
    except (Refused, NotFound) as error:
        return type(error).__name__


def first_leaves(me, merchant_id, pair, how):
    return leave(me, merchant_id, pair[0], how[0], by=pair[1])


def second_leaves(me, merchant_id, pair, how):
    return leave(me, merchant_id, pair[1], how[1], by=pair[0])


def guess(me, email, n):
    told = []
    for _ in range(GUESSES):
        try:
            accounts.sign_in(me.deps, email, "wrong", source_ip=f"10.0.0.{n}", device=None, user_agent="")
        except (Unauthorized, Locked, TryAgain) as error:
            told.append(type(error).__name__)
    return told


def sign_in(me, email, _n):
    try:
        accounts.sign_in(me.deps, email, PASSWORD, source_ip="10.1.0.1", device=None, user_agent="")
    except (Locked, TryAgain, Unauthorized) as error:
        return type(error).__name__


def accept(me, token, _email):
    try:
        return accounts.accept_invitation(me.deps, token, PASSWORD).email
    except NotFound:
        return None


def invite(me, email):
    try:
        return accounts.invite(me.deps, Operator(me.merchant_id, "x"), email, "Kim", Role.OWNER)
    except InvalidRequest:
        return None


def disable(me, _token, email):
    return accounts.disable(me.deps, Operator(me.merchant_id, "x"), email).email


def add(world, email, role=Role.OWNER, merchant_id=None):
    operator = Operator(merchant_id or world.merchant_id, "x")
    token = accounts.invite(world.deps, operator, email, "Kim", role)
    return accounts.accept_invitation(world.deps, token, PASSWORD)


def owners(world, merchant_id):
    return list(world.store.load(Ref(People, (merchant_id,))).owners)


@pytest.mark.parametrize("how", [("demoted", "demoted"), ("removed", "disabled")])
def test_of_two_owners_who_turn_on_each_other_one_remains(world, race, how):
    tries = []
    for n in range(TRIES):  # a merchant of its own each: another owner would be one that remains
        merchant_id = merchants.create(world.deps, f"shop {n}").user_code
        pair = [f"a{n}@shop.kr", f"b{n}@shop.kr"]
        for email in pair:
            add(world, email, merchant_id=merchant_id)
        tries.append((merchant_id, pair, how))
    for (merchant_id, pair, _), told in zip(tries, race([first_leaves, second_leaves], tries), strict=True):
        assert sorted(told, key=str) == [None, "Refused"]
        found = world.store.load_many([Ref(User, (email,)) for email in pair])
        [left] = [user.email for user in found if user and user.is_acting_owner]
        assert owners(world, merchant_id) == [left] == [pair[told.index(None) - 1]]


def test_guesses_at_the_same_instant_are_all_counted(world, race):
    add(world, "known@shop.kr")
    emails = ["known@shop.kr", *(f"nobody{n}@shop.kr" for n in range(TRIES - 1))]
    for told in race([guess] * 4, [(email, n) for n, email in enumerate(emails)]):
        all_told = [word for words in told for word in words]
        assert len(all_told) == 4 * GUESSES
        assert all_told.count("Unauthorized") == 5
        assert "Locked" in all_told


def test_who_signs_in_at_the_same_instant_is_in_in_every_browser(world, race):
    emails = [f"p{n}@shop.kr" for n in range(TRIES)]
    for email in emails:
        add(world, email, Role.VIEWER)
    for email, told in zip(emails, race([sign_in] * 3, [(email, 0) for email in emails]), strict=True):
        assert set(told) <= {None, "TryAgain"}
        assert len(accounts.sessions(world.deps, world.admin, email)) == told.count(None) >= 1


def test_an_invitation_is_used_once_and_the_roster_knows(world, race):
    add(world, "first@shop.kr")
    emails = [f"p{n}@shop.kr" for n in range(TRIES)]
    tokens = [accounts.invite(world.deps, world.admin, email, "Kim", Role.OWNER) for email in emails]
    answers = race([accept, accept, disable], list(zip(tokens, emails, strict=True)))
    for email, (*accepted, _) in zip(emails, answers, strict=True):
        assert len([told for told in accepted if told]) <= 1
        stored = world.store.load(Ref(User, (email,)))
        assert (stored.disabled, stored.password_hash is not None) == (True, any(accepted))
    assert owners(world, world.merchant_id) == ["first@shop.kr"]


def test_an_address_is_given_to_one_person(world, race):
    answers = race([invite] * 3, [(f"p{n}@shop.kr",) for n in range(TRIES)])
    for n, told in enumerate(answers):
        [token] = [given for given in told if given]
        assert accounts.accept_invitation(world.deps, token, PASSWORD).email == f"p{n}@shop.kr"
    noted = [e for e in world.store.list(Audit, (world.merchant_id, "audit", "people")).items if not e.before]
    assert len(noted) == TRIES
