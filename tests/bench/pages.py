"""What a page of a list costs with few payments stored, and with many."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib import container
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import PaymentRequest
from chalicelib.domain.money import Money
from chalicelib.domain.payments import Payment, State
from chalicelib.storage import tallies
from chalicelib.storage.items import to_item
from tests.support.api import Api

FEW = 100
MANY = int(os.environ.get("BENCH_PAYMENTS", "20000"))
DAYS = 80
BATCH = 25


def fill(world: Any, number: int) -> None:
    """Paid and failed payments of the last eighty days, as recording them one by one would have left them."""
    client, table = world.store._client, world.store._table
    counters: Counter[tuple[str, str, str]] = Counter()

    def write(items: list[dict[str, Any]]) -> None:
        left = [{"PutRequest": {"Item": item}} for item in items]
        while left:
            left = client.batch_write_item(RequestItems={table: left}).get("UnprocessedItems", {}).get(table, [])

    def batches() -> Iterator[list[dict[str, Any]]]:
        rng, items = random.Random(number), []
        for n in range(number):
            (payment,), added, _ = tallies.count([_payment(world.merchant_id, n, rng)], 1)
            for (pk, day), attributes in added.items():
                for attribute, count in attributes.items():
                    counters[pk, day, attribute] += count
            items.append(to_item(payment, 1))
            if len(items) == BATCH:
                yield items
                items = []
        if items:
            yield items

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(write, batches()):
            pass
    for (pk, day, attribute), count in counters.items():
        for update in tallies.updates(table, {(pk, day): Counter({attribute: count})}):
            client.update_item(**update["Update"])


def _payment(merchant_id: str, n: int, rng: random.Random) -> Payment:
    at = datetime.now(UTC) - timedelta(seconds=60 + rng.randrange(DAYS * 86400))
    payment = Payment(
        merchant_id=merchant_id,
        imp_uid=f"imp_{n:012d}",
        environment=Environment.TEST,
        request=PaymentRequest(f"order-{n}", Money(8900), "n"),
        state=State.PAID,
        attempts=(),
        started_at=at,
        updated_at=at,
        paid_at=at,
    )
    return payment if n % 10 else replace(payment, state=State.FAILED, paid_at=None, failed_at=at)


def run(make_world: Callable[[], Any], alternate: Callable[..., Any], ratio: Callable[[Any], str]) -> None:
    few, many = make_world(), make_world()
    fill(few, FEW)
    fill(many, MANY)
    worlds = (many, few)
    tokens = [Api(world.deps, checked=False).login(world.merchant).token for world in worlds]
    spent = [_listen(world) for world in worlds]
    print(f"one page of 20 with {MANY:,} payments stored / with {FEW} (BENCH_PAYMENTS sets the former)")
    for name, path, middle in (
        ("status/paid, first page", "/payments/status/paid", False),
        ("status/paid, in the middle", "/payments/status/paid", True),
        ("status/all, first page", "/payments/status/all", False),
        ("status/all, in the middle", "/payments/status/all", True),
    ):
        pages = [max(1, number // 40) if middle else 1 for number in (MANY, FEW)]
        reads = [_reader(world, token, path, page) for world, token, page in zip(worlds, tokens, pages, strict=True)]
        costs = []
        for read, counter in zip(reads, spent, strict=True):
            counter.clear()
            read()
            costs.append(f"{counter['calls']} calls, {counter['units'] / 10:.1f} units")
        wall, _ = alternate(*reads, 30)
        print(f"  {name:<28} {costs[0]} / {costs[1]}; wall {ratio(wall)}")
    print()


def _reader(world: Any, token: str | None, path: str, page: int) -> Callable[[], None]:
    api = Api(world.deps, token, checked=False)

    def read() -> None:
        container.install(world.deps)
        status, body = api.get(path, page=page)
        assert (status, len(body["response"]["list"])) == (200, 20), body["message"]

    return read


def _listen(world: Any) -> Counter[str]:
    """Counts calls, and read units in tenths."""
    spent: Counter[str] = Counter()
    events = world.store._client.meta.events

    def ask(params: dict[str, Any], **_: Any) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def count(parsed: dict[str, Any], **_: Any) -> None:
        used = parsed.get("ConsumedCapacity", [])
        for entry in used if isinstance(used, list) else [used]:
            spent["units"] += round(entry.get("CapacityUnits", 0) * 10)
        spent["calls"] += 1

    for operation in ("Query", "BatchGetItem"):
        events.register(f"provide-client-params.dynamodb.{operation}", ask)
        events.register(f"after-call.dynamodb.{operation}", count)
    return spent
