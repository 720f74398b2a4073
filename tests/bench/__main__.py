"""`make bench`: what the router costs over the bare calls it cannot do without. Ratios of one run, no thresholds.

Everything is measured against a baseline in the same process and the same minute, alternating, by medians: machines are
shared, so absolute times say little. DynamoDB Local where Java and npm are there, else moto's model, which is slower.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench import pages

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 150
IMPORTS = 9

os.environ |= {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "ap-northeast-2",
    "LOG_LEVEL": "WARNING",
}


def main() -> None:
    with ExitStack() as stack:
        urls = stack.enter_context(_sandboxes())
        endpoint, what = stack.enter_context(_dynamodb())
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = endpoint
        print(f"database: {what}\n")
        _again(urls)
        _imports()
        _issue(urls)
        _round_trips(urls)
        pages.run(lambda: _world(urls), _alternate, _ratio)


@contextmanager
def _sandboxes() -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "infra.sandbox", "--ports", '{"tosspayments": 0, "nice_v2": 0}']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _dynamodb() -> Iterator[tuple[str, str]]:
    from infra import dynamodb_local

    try:
        dynamodb_local.java()
        dynamodb_local.install()
    except dynamodb_local.Missing as reason:
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}", f"moto ({reason})"
        server.stop()
    else:
        with dynamodb_local.running() as url:
            yield url, "DynamoDB Local"


def _world(urls: dict[str, str], channels: int = 1, failover: str = "off") -> Any:
    """A merchant with Toss channels over the real table; its own clock runs in real time."""
    from chalicelib.container import SystemClock, client
    from chalicelib.storage.table import DynamoStore
    from tests.support.stores import local_store, unique_table
    from tests.support.world import World, build_deps

    table = unique_table()
    local_store(os.environ["AWS_ENDPOINT_URL_DYNAMODB"], table)
    store = DynamoStore(client("dynamodb"), table)
    world = World({}, store=store)
    import random

    world.clock = SystemClock()  # type: ignore[assignment]
    world.deps = build_deps(
        store, urls, clock=world.clock, queue=world.queue, sender=world.sender, rng=random.SystemRandom()
    )
    keys = [world.channel("tosspayments", f"toss{n}") for n in range(channels)]
    world.group([(key, 100 if n == 0 else 0) for n, key in enumerate(keys)], failover=failover)
    return world


def _again(urls: dict[str, str]) -> None:
    from chalicelib.usecases import billing_keys
    from chalicelib.usecases.choosing import Target
    from tests.support.api import Api
    from tests.support.world import CARD

    world = _world(urls)
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c", CARD, Target()))
    api = Api(world.deps, checked=False).login(world.merchant)
    bare = _bare_charge(world, urls["tosspayments"])
    numbers = iter(range(10**9))

    def ours() -> None:
        fields = {"customer_uid": "c", "merchant_uid": f"b{next(numbers)}", "amount": 8900, "name": "n"}
        status, body = api.post("/subscribe/payments/again", fields)
        assert (status, body["response"]["status"]) == (200, "paid"), body

    for _ in range(10):
        ours()
        bare()
    wall, cpu = _alternate(ours, bare, ROUNDS)
    print("again through the app's handler / the same calls bare (boto3 + requests); aim 1.3")
    print(f"  wall {_ratio(wall)}   cpu {_ratio(cpu)}\n")


def _bare_charge(world: Any, url: str) -> Callable[[], None]:
    """One batch read, one claiming transaction, one PG call, one conditional put: nothing else."""
    import boto3
    import requests

    from chalicelib.domain.keys import BillingKey
    from chalicelib.ports import Ref
    from chalicelib.usecases.charges import load_routing
    from chalicelib.usecases.vault import open_key

    client, table = boto3.client("dynamodb"), world.store._table
    key = world.store.load(Ref(BillingKey, (world.merchant_id, "c")))
    routing = load_routing(world.deps, world.merchant_id)
    secret = open_key(world.deps, routing, key, key.first.channel_key)
    session = requests.Session()
    from infra.sandbox.tosspayments import TEST_CREDENTIALS

    numbers = iter(range(10**9))
    filler = "x" * 1800

    def charge() -> None:
        n = f"bare{next(numbers):08d}{os.urandom(3).hex()}"
        read = [{"pk": {"S": f"{world.merchant_id}#key#c"}, "sk": {"S": "key"}},
                {"pk": {"S": world.merchant_id}, "sk": {"S": "routing"}}]  # fmt: skip
        client.batch_get_item(RequestItems={table: {"Keys": read, "ConsistentRead": True}})
        item = {"pk": {"S": n}, "sk": {"S": "p"}, "version": {"N": "1"}, "doc": {"S": filler}}
        order = {"pk": {"S": n}, "sk": {"S": "o"}, "version": {"N": "1"}, "doc": {"S": "y" * 300}}
        new = {"TableName": table, "ConditionExpression": "attribute_not_exists(pk)"}
        client.transact_write_items(TransactItems=[{"Put": {**new, "Item": i}} for i in (item, order)])
        reply = session.post(
            f"{url}/v1/billing/{secret['billing_key']}",
            json={"customerKey": secret["customer_key"], "amount": 8900, "orderId": n, "orderName": "n"},
            auth=(TEST_CREDENTIALS["secret_key"], ""),
            headers={"Idempotency-Key": n, "Connection": "close"},
            timeout=20,
        )
        assert reply.json()["status"] == "DONE", reply.text
        client.put_item(
            TableName=table,
            Item={**item, "version": {"N": "2"}},
            ConditionExpression="version = :v",
            ExpressionAttributeValues={":v": {"N": "1"}},
        )

    return charge


def _alternate(a: Callable[[], None], b: Callable[[], None], rounds: int) -> tuple[Any, Any]:
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for n in range(rounds):
        for which in (0, 1) if n % 2 else (1, 0):
            started, used = time.perf_counter(), time.process_time()
            (a, b)[which]()
            wall[which].append(time.perf_counter() - started)
            cpu[which].append(time.process_time() - used)
    return wall, cpu


def _ratio(pair: tuple[list[float], list[float]]) -> str:
    ours, base = statistics.median(pair[0]), statistics.median(pair[1])
    return f"{ours / base:.2f} ({ours * 1000:.1f} ms / {base * 1000:.1f} ms)"


def _imports() -> None:
    base = "import chalice, boto3; boto3.client('dynamodb')"
    ours = "import app; import boto3; boto3.client('dynamodb')"
    times: tuple[list[float], list[float]] = ([], [])
    for n in range(IMPORTS * 2):
        which = n % 2
        code = f"import time; t = time.perf_counter(); {(ours, base)[which]}; print(time.perf_counter() - t)"
        reply = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        times[which].append(float(reply.stdout))
    print("import of app.py and one DynamoDB client / import of chalice and boto3 and that client; aim 1.15")
    print(f"  wall {_ratio(times)}\n")


def _issue(urls: dict[str, str]) -> None:
    import requests

    from chalicelib.usecases import billing_keys
    from chalicelib.usecases.choosing import Target
    from tests.support.world import CARD

    world = _world(urls, channels=10)
    ratios = []
    for n in range(5):
        fault = {"operation": "issue", "fault": "slow", "times": 10, "seconds": 0.3}
        requests.post(f"{urls['tosspayments']}/_sandbox/faults", json=fault, timeout=5).raise_for_status()
        started = time.perf_counter()
        key = billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(f"k{n}", CARD, Target()))
        assert len(key.channels) == 10, key.failed
        ratios.append((time.perf_counter() - started) / 0.3)
    print("issuing at 10 channels of 300 ms each / the slowest one; aim 1.2")
    print(f"  wall {statistics.median(ratios):.2f}\n")


def _round_trips(urls: dict[str, str]) -> None:
    from chalicelib.usecases import billing_keys, charges, schedules, tokens
    from chalicelib.usecases.choosing import Target
    from tests.support.world import CARD, request

    world = _world(urls)
    deps, merchant, calls = world.deps, world.merchant_id, []
    world.store._client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    secret = (world.merchant.imp_key, world.merchant.imp_secret)
    token = tokens.issue(deps, *secret).token
    at = datetime.now(UTC) + timedelta(days=1)

    def entries(count: int) -> list[Any]:
        return [schedules.Entry(request(f"s{count}-{n}"), at) for n in range(count)]

    rows: list[tuple[str, str, Callable[[], Any]]] = [
        ("token check", "0", lambda: tokens.check(deps, token)),
        ("getToken", "at most 2", lambda: tokens.issue(deps, *secret)),
        ("onetime", "3", lambda: charges.charge_card(deps, merchant, request("o1"), CARD, Target())),
        ("issue", "at most 3", lambda: billing_keys.issue(deps, merchant, billing_keys.Issue("c", CARD, Target()))),
        ("again", "3", lambda: charges.charge_key(deps, merchant, "c", request("o2"), Target())),
        ("schedule, 1 entry", "2", lambda: schedules.book(deps, merchant, "c", entries(1))),
        ("schedule, 50 entries", "2", lambda: schedules.book(deps, merchant, "c", entries(50))),
        ("schedule, 120 entries", "4", lambda: schedules.book(deps, merchant, "c", entries(120))),
    ]
    print("calls to DynamoDB: measured / designed")
    for name, designed, work in rows:
        calls.clear()
        work()
        print(f"  {name:<22} {len(calls)} / {designed}")


if __name__ == "__main__":
    main()
