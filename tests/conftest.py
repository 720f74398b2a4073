"""Fixtures for every test. Nothing here reaches the network beyond loopback."""

import os

import pytest
from xdist.scheduler import LoadFileScheduling

for name, value in {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "ap-northeast-2",
    "AWS_EC2_METADATA_DISABLED": "true",
    # DynamoDB Local is started often and lives for seconds: half of its time would go to optimizing itself.
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}.items():
    os.environ[name] = value
os.environ.pop("AWS_PROFILE", None)


# --- several processes (`make test`) ---

UNITS = {
    "tests/races/": "races",
    "tests/infra/test_pack": "package",
    "tests/infra/test_deploy_rehearsal": "package",
    "tests/browser/": "browser",
    "tests/chaos/": None,
}
"""Beginning of a path -> the unit of its tests, which share what takes long to start. None: each is one of its own."""


class Units(LoadFileScheduling):
    """A unit is run by one process, in its order. It is a file unless UNITS says otherwise."""

    def _split_scope(self, nodeid):
        for start, unit in UNITS.items():
            if nodeid.startswith(start):
                return unit or nodeid
        return super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # the order is that of the collection, which we arrange
    return Units(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: now and then each of them waits, for a start or for a time-out."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config, items):
    """Files with real parts take longest: they go first, so that short ones even out the end."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("real")}
        items.sort(key=lambda item: item.path not in long)


def pytest_terminal_summary(terminalreporter):
    """How much was tried (tests/chaos). Here, since the process that sums up loads no other conftest."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    told = [pair for report in reports for pair in report.user_properties]
    for what in ("chaos", "chaos, thinned out"):
        if counts := [value for name, value in told if name == what]:
            flows, calls, runs = (sum(column) for column in zip(*counts, strict=True))
            text = f"{what}: {runs:,} runs, one for each fault at {calls:,} I/O calls of {flows} flows"
            terminalreporter.write_line(text)
    for text in (value for name, value in told if name == "summary"):
        terminalreporter.write_line(text)


# --- fixtures ---


@pytest.fixture(scope="session")
def dynamodb_local_url():
    from infra import dynamodb_local
    from tests.support.real import need_dynamodb_local

    need_dynamodb_local()
    with dynamodb_local.running() as url:
        yield url


USUAL_GATEWAYS = ("nice_v2", "tosspayments")


@pytest.fixture
def sandboxes(request):
    """Running simulators with empty books and no faults: of two gateways, or of those in the mark `gateways`."""
    from infra.sandbox import run

    mark = request.node.get_closest_marker("gateways")
    with run(mark.args if mark else USUAL_GATEWAYS) as boxes:
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
