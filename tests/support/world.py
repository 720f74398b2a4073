"""A whole service in one process: real rules, real adapters, real simulators; a settable clock and visible queues."""

import json
import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from chalicelib.domain.accounts import Operator
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Buyer, Card, PaymentRequest
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.money import Money
from chalicelib.domain.notices import DeliveryResult
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import ADAPTERS, Registry
from chalicelib.ports import Deps, Task, Timing
from chalicelib.storage.items import DUE_SHARDS
from chalicelib.storage.passwords import Argon2Passwords
from chalicelib.storage.sealing import KmsSealer
from chalicelib.storage.signing import HmacSigner
from chalicelib.usecases import channels, groups, merchants, timer
from tests.support.clock import SettableClock
from tests.support.memory_store import MemoryStore


class FakeKms:
    """Keeps the two calls' contract: what was generated under a context opens under it, and under no other.

    The "encrypted" key is the key itself, so that several processes agree without talking.
    """

    def generate_data_key(self, KeyId, KeySpec, EncryptionContext):
        plain = os.urandom(32)
        return {"CiphertextBlob": plain + json.dumps(EncryptionContext).encode(), "Plaintext": plain}

    def decrypt(self, KeyId, CiphertextBlob, EncryptionContext):
        assert CiphertextBlob[32:] == json.dumps(EncryptionContext).encode()
        return {"Plaintext": CiphertextBlob[:32]}


@dataclass
class VisibleQueue:
    """ports.Queue that keeps what it was given."""

    tasks: list[Task] = field(default_factory=list)
    fails: bool = False

    def put(self, tasks: Sequence[Task], now: datetime) -> None:
        if self.fails:
            from chalicelib.ports import QueueUnavailable

            raise QueueUnavailable("down")
        self.tasks += tasks


@dataclass
class VisibleSender:
    """ports.Sender that keeps what it was asked to send. replies: what the receivers answer, in turn; then 200."""

    sent: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)
    replies: list[tuple[bool, str]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    def refuse_url(self, url: str) -> str | None:
        return None if url.startswith(("http://", "https://")) else "http 또는 https URL이어야 합니다. (http or https)"

    def post(self, url, body, headers, timeout):
        self.sent.append((url, body, headers))
        self.timeouts.append(timeout)
        return DeliveryResult(*(self.replies.pop(0) if self.replies else (True, "HTTP 200")))


CARD = Card("4242424242424242", "2030", "12", "880101", "12")
STOLEN = replace(CARD, number="4000000000000002")
NO_FUNDS = replace(CARD, number="4000000000000009")
EXPIRED = replace(CARD, number="4000000000000069")


def request(merchant_uid: str = "order-0001", amount: int = 8900, **kwargs: Any) -> PaymentRequest:
    kwargs.setdefault("name", "월간 이용권 정기결제")
    kwargs.setdefault("buyer", Buyer("홍길동", "gildong@gmail.com", "010-1234-5678"))
    return PaymentRequest(merchant_uid, Money(amount), **kwargs)


def live(credentials: Mapping[str, str]) -> dict[str, str]:
    """The same without the marks of a test key."""
    return {name: re.sub(r"^(test|S\d)_", "x", value) for name, value in credentials.items()}


def build_deps(store, urls: Mapping[str, str], *, clock, queue, sender, rng, scale: float = 1.0) -> Deps:
    return Deps(
        store=store,
        gateways=Registry(HttpClient(), clock, urls),
        sealer=KmsSealer(FakeKms, "key"),
        queue=queue,
        sender=sender,
        clock=clock,
        rng=rng,
        signer=HmacSigner(lambda: [b"k" * 32]),
        passwords=Argon2Passwords(time_cost=1, memory_kib=8, parallelism=1),
        timing=Timing(recovery_scale=scale),
    )


NOBODY = dict.fromkeys(ADAPTERS, "http://127.0.0.1:1")
"""A gateway whose simulator does not run is not reached; and the real one never."""


class World:
    """`sandboxes`: provider -> running simulator (infra.sandbox)."""

    def __init__(self, sandboxes: Mapping[str, Any], *, store: Any = None, seed: int = 7, scale: float = 1.0) -> None:
        self.sandboxes = sandboxes
        self.clock = SettableClock()
        for box in sandboxes.values():
            box.clock.follow(lambda: self.clock.now().timestamp())
        self.store = store or MemoryStore()
        self.queue = VisibleQueue()
        self.sender = VisibleSender()
        self.deps = build_deps(
            self.store,
            {**NOBODY, **{name: box.url for name, box in sandboxes.items()}},
            clock=self.clock,
            queue=self.queue,
            sender=self.sender,
            rng=random.Random(seed),
            scale=scale,
        )
        self.merchant = merchants.create(self.deps, "demo")
        self.merchant_id = self.merchant.user_code
        self.admin: Operator = merchants.check_admin(self.deps, self.merchant.admin_token)
        self.channels: dict[str, str] = {}

    def channel(self, provider: str, name: str | None = None, environment: str = "test", credentials=None) -> str:
        import importlib

        known = importlib.import_module(f"infra.sandbox.{provider}").TEST_CREDENTIALS
        if environment == "live":
            known = live(known)
        wanted = channels.NewChannel(
            name=name or provider,
            pg_provider=provider,
            pg_id=f"mid_{provider}",
            environment=Environment(environment),
            credentials=credentials or known,
        )
        key = channels.create(self.deps, self.admin, wanted).channel_key
        self.channels[name or provider] = key
        return key

    def group(self, entries: Sequence[tuple], name: str = "default", failover: str = "unsent", default: bool = True):
        content = groups.GroupContent(name, Failover(failover), tuple(GroupEntry(*entry) for entry in entries))
        group = groups.create(self.deps, self.admin, Environment.TEST, content)
        if default:
            settings = merchants.settings(self.deps, self.merchant_id)
            merchants.save_settings(self.deps, self.admin, replace(settings, default=group.group_id))
        return group

    def webhook_url(self, url: str) -> None:
        settings = merchants.settings(self.deps, self.merchant_id)
        merchants.save_settings(self.deps, self.admin, replace(settings, test_webhook_url=url))

    def two_gateways(self, weights: tuple[int, int] = (60, 40), **kwargs):
        toss, nice = self.channel("tosspayments"), self.channel("nice_v2")
        return self.group([(toss, weights[0]), (nice, weights[1])], **kwargs)

    def run_queue(self) -> int:
        """Deliver every task whose time has come, until none is left; earliest first."""
        done = 0
        while ready := [t for t in self.queue.tasks if t.due_at <= self.clock.now()]:
            task = min(ready, key=lambda t: t.due_at)
            self.queue.tasks.remove(task)
            timer.work(self.deps, task)
            done += 1
        return done

    def sweep(self) -> int:
        return timer.sweep(self.deps, range(DUE_SHARDS)).handed_over

    def run_to_quiet(self, hours: float = 26, step_seconds: float = 60) -> None:
        """Let the minute rule and the queue run until nothing is due any more; minutes with nothing to do are skipped."""
        end = self.clock.now().timestamp() + hours * 3600
        while (now := self.clock.now().timestamp()) < end:
            self.sweep()
            self.run_queue()
            due = [task.due_at.timestamp() for task in self.queue.tasks]
            due += [float(item["due_at"]["N"]) for item in self.store.items.values() if "due_at" in item]
            if not due:
                return
            idle = int((min(due) - now) // step_seconds)
            self.clock.advance(seconds=step_seconds * max(1, idle))

    def captured(self, provider: str | None = None) -> list[dict]:
        """Transactions that hold money, over one simulator or all."""
        boxes = [self.sandboxes[provider]] if provider else self.sandboxes.values()
        return [t for box in boxes for t in box.transactions() if t["state"] in ("captured", "partially_cancelled")]
