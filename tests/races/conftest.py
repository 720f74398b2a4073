"""One set of processes for all races; a world of its own for each."""

import sys
from dataclasses import replace

import pytest

from chalicelib.container import SystemClock
from tests.races.arena import PROCESSES, Arena, Ground
from tests.support.stores import local_store, unique_table
from tests.support.world import World


@pytest.fixture(scope="session")
def arena(request):
    arena = Arena()
    yield arena
    arena.close()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nraces: {arena.tries:,} tries in {arena.races} races, {PROCESSES} processes", file=sys.stderr)


@pytest.fixture
def ground(dynamodb_local_url, sandboxes):
    """A fresh table, with a merchant and a group of two gateways."""
    table = unique_table()
    world = World(sandboxes, store=local_store(dynamodb_local_url, table))
    world.deps = replace(world.deps, clock=SystemClock())
    for box in sandboxes.values():
        box.clock.follow(lambda: SystemClock().now().timestamp())
    world.two_gateways()
    urls = {name: box.url for name, box in sandboxes.items()}
    return world, Ground(dynamodb_local_url, table, urls, world.merchant)


@pytest.fixture
def world(ground):
    return ground[0]


@pytest.fixture
def race(arena, ground):
    """race([act, act, ...], [arguments of the first try, ...]): see Arena.race."""
    arena.races += 1

    def run(acts, tries):
        return arena.race(ground[1], acts, list(tries))

    return run
