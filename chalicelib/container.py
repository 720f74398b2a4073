"""The composition root: the only module that builds adapters from the configuration.

Built at the first use and kept for the life of the process. Clients that a process may never need (KMS, SQS) are
made at their first call.
"""

from __future__ import annotations  # so that naming a type does not load its module

import random
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chalicelib import config

if TYPE_CHECKING:
    from chalicelib.ports import Deps, TaskKind


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


_lock = threading.Lock()
_deps: Deps | None = None


def get() -> Deps:
    global _deps  # noqa: PLW0603 - one set of adapters per process
    with _lock:  # the local server and its workers are threads of one process
        if _deps is None:
            _deps = _build()
        return _deps


def install(deps: Deps | None) -> None:
    """Use these from now on; None builds them anew from the environment. For tests."""
    global _deps  # noqa: PLW0603
    _deps = deps


def _build() -> Deps:
    from chalicelib.gateways.http import HttpClient  # noqa: PLC0415
    from chalicelib.gateways.registry import Registry  # noqa: PLC0415
    from chalicelib.gateways.webhook_sender import WebhookSender  # noqa: PLC0415
    from chalicelib.ports import Deps, Timing  # noqa: PLC0415
    from chalicelib.storage.passwords import Argon2Passwords  # noqa: PLC0415
    from chalicelib.storage.queue import SqsQueue  # noqa: PLC0415
    from chalicelib.storage.sealing import KmsSealer  # noqa: PLC0415
    from chalicelib.storage.signing import HmacSigner  # noqa: PLC0415
    from chalicelib.storage.table import DynamoStore  # noqa: PLC0415
    from chalicelib.usecases.merchants import load_signing_keys  # noqa: PLC0415

    settings = config.load()
    store = DynamoStore(client("dynamodb"), settings.table_name)
    sealer = KmsSealer(lambda: client("kms"), settings.kms_key_id)
    clock = SystemClock()
    return Deps(
        store=store,
        gateways=Registry(HttpClient(), clock, settings.gateway_urls, serves_live=settings.live),
        sealer=sealer,
        queue=SqsQueue(lambda: client("sqs"), _queues(settings)),
        sender=WebhookSender(allow_loopback=settings.allow_loopback),
        clock=clock,
        rng=random.SystemRandom(),
        signer=HmacSigner(lambda: load_signing_keys(store, sealer)),
        passwords=Argon2Passwords(),
        timing=Timing(recovery_scale=settings.recovery_scale),
        allow_loopback=settings.allow_loopback,
    )


def _queues(settings: config.Settings) -> dict[TaskKind, str]:
    from chalicelib.ports import TaskKind  # noqa: PLC0415

    return {
        TaskKind.SCHEDULE: settings.payments_queue_url,
        TaskKind.PAYMENT: settings.payments_queue_url,
        TaskKind.BOOKING: settings.payments_queue_url,
        TaskKind.HEALTH: settings.payments_queue_url,
        TaskKind.NOTICE: settings.notices_queue_url,
        TaskKind.SLOW_NOTICE: settings.slow_notices_queue_url,
    }


def client(service: str) -> Any:
    import boto3  # noqa: PLC0415 - boto3 is slow to import, and `chalice package` imports this module too
    from botocore.config import Config  # noqa: PLC0415

    from chalicelib.usecases.parallel import MAX_THREADS  # noqa: PLC0415

    # Short time-outs: the whole request has 25 s, and a hanging table must not eat what the gateway needs.
    options = Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=MAX_THREADS,
        parameter_validation=False,
    )
    return boto3.client(service, config=options)
