"""Fixtures for every test. Nothing here reaches the network beyond loopback."""

import os

import pytest

for name, value in {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "ap-northeast-2",
    "AWS_EC2_METADATA_DISABLED": "true",
}.items():
    os.environ[name] = value
os.environ.pop("AWS_PROFILE", None)


@pytest.fixture
def sandboxes():
    """Running simulators with empty books and no faults."""
    from infra.sandbox import run

    with run() as boxes:
        yield boxes


@pytest.fixture
def world(sandboxes):
    from tests.support.world import World

    return World(sandboxes)


@pytest.fixture
def api(world):
    """A merchant's client with a token, and the operator's admin token, on a fresh service."""
    from chalicelib import container
    from tests.support.api import Api

    yield Api(world.deps, admin_token=world.merchant.admin_token).login(world.merchant)
    container.install(None)
