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
