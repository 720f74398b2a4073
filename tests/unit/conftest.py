"""Fixtures of the tests of recovery: a merchant with everything on one gateway, and a key there."""

import pytest

from tests.support.api import CARD as API_CARD


@pytest.fixture(params=["tosspayments", "nice_v2"])
def gateway(world, request):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    other = request.param == "nice_v2"
    world.group([(toss, 0 if other else 100), (nice, 100 if other else 0)], failover="off")
    return request.param


@pytest.fixture
def key(world, api, gateway):
    api.post("/subscribe/customers/c1", API_CARD)
    return gateway
