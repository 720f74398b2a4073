"""Who can sign in at the local run, whatever is left of the run before."""

import json

import pytest

from chalicelib import container
from chalicelib.domain.errors import Unauthorized
from chalicelib.usecases import accounts, merchants
from infra import local_demo
from tests.support.world import World


@pytest.fixture
def world():
    world = World({})
    container.install(world.deps)
    yield world
    container.install(None)


def sign_in(world, email, password):
    signed_in = accounts.sign_in(world.deps, email, password, source_ip="127.0.0.1", device=None, user_agent="")
    operator = accounts.check_session(world.deps, signed_in.session_token).operator
    return operator.merchant_id, str(operator.role)


def test_somebody_of_each_role_may_sign_in(world):
    console = local_demo._people(world.merchant_id)
    assert console["email"] == "owner@demo.kr"
    for role in ("owner", "operator", "viewer"):
        assert sign_in(world, f"{role}@demo.kr", console["password"]) == (world.merchant_id, role)


def test_a_run_that_ended_half_way_is_made_up_for(world):
    first = local_demo._people(world.merchant_id)
    accounts.remove(world.deps, world.admin, "viewer@demo.kr")
    second = local_demo._people(world.merchant_id)
    assert sign_in(world, "viewer@demo.kr", second["password"]) == (world.merchant_id, "viewer")
    with pytest.raises(Unauthorized):
        sign_in(world, "owner@demo.kr", first["password"])


def test_another_merchant_of_the_same_table_gets_addresses_of_its_own(world):
    first = local_demo._people(world.merchant_id)
    other = merchants.create(world.deps, "Demo").user_code
    second = local_demo._people(other)
    assert second["email"] == f"owner+{other.removeprefix('imp')}@demo.kr"
    assert sign_in(world, second["email"].replace("owner", "viewer"), second["password"]) == (other, "viewer")
    assert sign_in(world, "owner@demo.kr", first["password"]) == (world.merchant_id, "owner")


def test_a_merchant_that_was_kept_before_there_were_people_gets_some(world, tmp_path):
    kept = tmp_path / "merchant.json"
    merchant = local_demo._with_people({"user_code": world.merchant_id}, kept)
    assert json.loads(kept.read_text()) == merchant
    assert sign_in(world, **merchant["console"]) == (world.merchant_id, "owner")
