"""Killed at any moment and started again, the service remembers all that it owes, and its books match the gateways'.

    KILLS=20 [KILL_SEED=7] pytest tests/chaos/test_kill.py

Everything of `make run` dies at one instant, its queues with it; the table, the gateways and the merchant live on.
Afterwards whatever was under way has to come to its end by itself, which takes two to three minutes: the claims of
those who died have to run out first.
"""

import os
import random
import time

import pytest

from infra import dynamodb_local
from tests.support import kill_books
from tests.support.kill import Merchant, Victim, simulators
from tests.support.local_service import Hook, ask, until
from tests.support.real import need_dynamodb_local
from tests.support.stores import client

KILLS = int(os.environ.get("KILLS", "0"))
SEED = int(os.environ.get("KILL_SEED") or random.randrange(1_000_000))
WHILE_STARTING = 0.2
"""The share of kills that come before it is ready."""
ENDS_WITHIN = 400.0

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not KILLS, reason="takes minutes: KILLS=20 says how often the service is killed"),
]


@pytest.fixture
def table(tmp_path):
    need_dynamodb_local()
    with dynamodb_local.running(data=tmp_path / "table") as url:
        yield url


def test_its_books_match_the_gateways_however_often_it_was_killed(tmp_path, table, record_property):
    rng = random.Random(SEED)
    with simulators(tmp_path / "gateways") as gateways, Hook() as hook:
        victim = Victim(tmp_path, table, gateways)
        try:
            victim.launch()
            said = victim.wait_until_ready()
            tell_where(said, gateways, hook.url)
            with Merchant(victim, said, SEED) as merchant:
                for _ in range(KILLS):
                    live_and_die(victim, rng)
                    victim.launch()
                assert victim.wait_until_ready() == said
                merchant.pause(3)
            seconds = wait_until_all_is_done(table, gateways)
            books = kill_books.read(client(table), gateways)
            record_property("summary", report(merchant.ledger, books, hook, seconds))
            wrong = kill_books.differences(books, merchant.ledger, hook)
            assert not wrong, "\n".join([f"seed {SEED}:", *wrong])
            victim.stop()
            assert "unexpected error" not in victim.said
        finally:
            victim.abandon()


def tell_where(said, gateways, hook_url):
    """Where the merchant hears of payments, and where we hear of deposits."""
    admin = {"Authorization": f"Bearer {said['admin_token']}"}
    status, answer = ask(f"{said['api']}/admin/settings", {"test_webhook_url": hook_url}, "PUT", admin)
    assert status == 200, answer
    for provider, url in gateways.items():
        notices = f"{said['api']}/notices/{said['user_code']}/{said['channels'][provider]}"
        assert ask(f"{url}/_sandbox/notices", {"url": notices})[0] == 200


def live_and_die(victim, rng):
    if rng.random() < WHILE_STARTING:
        time.sleep(rng.uniform(0.1, 3))
    else:
        victim.wait_until_ready()
        time.sleep(rng.uniform(1, 9))
    victim.kill()


def wait_until_all_is_done(table, gateways):
    """How many seconds it took."""
    started = time.monotonic()
    dynamodb = client(table)
    left = ["never read"]

    def done():
        left[:] = kill_books.unfinished(kill_books.read(dynamodb, gateways))
        if left:
            time.sleep(1)
        return not left

    try:
        until(done, ENDS_WITHIN, "an end of all that was begun")
    except pytest.fail.Exception:
        pytest.fail(f"seed {SEED}: still unfinished: {left}")
    return time.monotonic() - started


def report(ledger, books, hook, seconds):
    asked, lost = ledger.requests - ledger.unheard, f"{ledger.lost} cut off"
    schedules = sum(order.schedule is not None for order in books.orders.values())
    cancels = sum(len(payment.cancels) for payment in books.payments.values())
    return f"""kill -9: seed {SEED}, {KILLS} kills, {asked:,} requests ({lost}), all at its end {seconds:.0f} s later
  {len(books.payments):,} payments, {schedules} of them reserved; {ledger.windows} windows; {cancels} cancels; {
        len(ledger.accounts)
    } virtual accounts
  {len(books.gateways):,} transactions at the gateways, {len(hook.messages):,} webhooks; told {
        {status: len(told) for status, told in ledger.told.items()}
    }
  refused: {dict(ledger.refusals.most_common(8))}"""
