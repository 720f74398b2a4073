"""Delivering webhooks: V1's body, signed with a Standard Webhooks header, tried over about a day.

At least once: a delivery whose success could not be written down is sent again, with the same webhook-id. There are
two lanes, each with a queue and workers of its own: who answers slowly or not at all is told in the slow one, and
keeps nobody else waiting (docs/adr/0020).
Source: PortOne V1 webhook guide for the body and the time-outs; https://www.standardwebhooks.com for the signature.
"""

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.channels import Environment
from chalicelib.domain.merchants import Routing
from chalicelib.domain.notices import DeliveryResult, Notice, NoticeState, Receivers, superseded
from chalicelib.domain.payments import Payment
from chalicelib.ports import Conflict, Deps, Ref, StoreUnavailable
from chalicelib.usecases.recording import hand_over, notice_task

log = logging.getLogger(__name__)

PAUSES = (30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
"""Seconds between tries: nine tries over about a day."""
LEASE = timedelta(seconds=60)
"""Longer than one try can take, and as long as the function that makes it lives."""
WRITE_TRIES = 3
FRESH = timedelta(seconds=10)
"""A first try within this time cannot have been overtaken by much: its payment is not read for it."""


def deliver(deps: Deps, merchant_id: str, notice_id: str, *, slow_lane: bool = False) -> None:
    """Try one delivery whose time has come. Claims it first, so that two workers do not send it twice.

    Raises QueueUnavailable if it belongs into the slow lane and cannot be handed over.
    """
    notice, routing, known = deps.store.load(
        Ref(Notice, (merchant_id, notice_id)), Ref(Routing, (merchant_id,)), Ref(Receivers, (merchant_id,))
    )
    now = deps.clock.now()
    if notice is None or routing is None or notice.due_at is None or notice.due_at > now:
        return
    receivers = known or Receivers(merchant_id)
    if receivers.is_slow(notice.url) and not slow_lane:
        deps.queue.put([notice_task(notice, slow=True)], now)
        return
    if notice.tries > len(PAUSES):  # its last worker died
        _give_up(deps, notice, notice.last_result or "no result")
    elif _is_overtaken(deps, notice, now):
        _store(deps, replace(notice, state=NoticeState.SUPERSEDED, due_at=None))
    elif claimed := _store(deps, replace(notice, tries=notice.tries + 1, tried_at=now, due_at=now + LEASE)):
        _try(deps, routing, receivers, claimed)


def _store(deps: Deps, notice: Notice) -> Notice | None:
    """The notice as stored, or None if another was faster."""
    try:
        stored: Notice = deps.store.commit(notice)[0]
    except Conflict:
        return None
    return stored


def _is_overtaken(deps: Deps, notice: Notice, now: datetime) -> bool:
    """True if the payment has moved on since. What a person wants sent again is sent as it is."""
    if notice.resent_at or (not notice.tries and now - notice.created_at <= FRESH):
        return False
    payment = deps.store.load(Ref(Payment, (notice.merchant_id, notice.imp_uid)))
    return payment is not None and superseded(notice, payment)


# --- one try ------------------------------------------------------------------------------------------------------


def _try(deps: Deps, routing: Routing, receivers: Receivers, notice: Notice) -> None:
    started = deps.clock.monotonic()
    with _patience(deps, notice):
        try:
            result = _send(deps, routing, notice)
        except Exception as error:  # a try that breaks is a try: it must end some day, like any other
            log.exception("webhook %s", notice.notice_id)
            result = DeliveryResult(delivered=False, text=f"raised {type(error).__name__}")
    slow = deps.clock.monotonic() - started > deps.timing.slow_webhook.total_seconds()
    after = receivers.after(notice.url, delivered=result.delivered, slow=slow)
    _record(deps, notice, result, slow_lane=after.is_slow(notice.url))
    if after != receivers:
        _learn(deps, notice, delivered=result.delivered, slow=slow)


def _send(deps: Deps, routing: Routing, notice: Notice) -> DeliveryResult:
    timing = deps.timing
    is_first = notice.tries == 1 and notice.resent_at is None
    timeout = timing.webhook_timeout if is_first else timing.webhook_retry_timeout
    return send(deps, routing, notice, timeout)


def send(deps: Deps, routing: Routing, notice: Notice, timeout: timedelta) -> DeliveryResult:
    """Send it now, signed, and store nothing."""
    if reason := deps.sender.refuse_url(notice.url):
        return DeliveryResult(delivered=False, text=reason, final=True)
    content_type = routing.webhooks.content_type
    content = body(notice, form=content_type == "application/x-www-form-urlencoded")
    now = deps.clock.now()
    signature = signature_headers(_secrets(deps, routing, now), notice.notice_id, now, content)
    headers = {"Content-Type": content_type, **signature}
    return deps.sender.post(notice.url, content, headers, timeout.total_seconds())


@contextmanager
def _patience(deps: Deps, notice: Notice) -> Iterator[None]:
    """Who keeps us waiting gets the slow lane while the try still waits, and not only when it ends."""
    seconds = deps.timing.slow_webhook.total_seconds()
    watch = threading.Timer(seconds, _learn, (deps, notice), {"delivered": False, "slow": True})
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _learn(deps: Deps, notice: Notice, *, delivered: bool, slow: bool) -> None:
    """Remember what a try says of its receiver. If that fails, the next try says it again."""
    for _ in range(WRITE_TRIES):  # hosts that begin to hang together are all reported at the same second
        try:
            known = deps.store.load(Ref(Receivers, (notice.merchant_id,))) or Receivers(notice.merchant_id)
            after = known.after(notice.url, delivered=delivered, slow=slow)
            if after != known:
                deps.store.commit(after)
        except Conflict:
            continue
        except StoreUnavailable:
            break
        return
    log.info("what a try of %s says of its receiver was not stored", notice.notice_id)


# --- what became of it --------------------------------------------------------------------------------------------


def _record(deps: Deps, notice: Notice, result: DeliveryResult, *, slow_lane: bool) -> None:
    now = deps.clock.now()
    if result.delivered:
        _store(deps, replace(notice, state=NoticeState.DELIVERED, last_result=result.text, due_at=None))
    elif result.final or notice.tries > len(PAUSES):
        _give_up(deps, notice, result.text)
    else:
        factor = deps.timing.recovery_scale if notice.environment is Environment.TEST else 1.0
        due_at = now + timedelta(seconds=PAUSES[notice.tries - 1] * factor)
        if stored := _store(deps, replace(notice, last_result=result.text, due_at=due_at)):
            hand_over(deps, [notice_task(stored, slow=slow_lane)], now)


def _give_up(deps: Deps, notice: Notice, text: str) -> None:
    if _store(deps, replace(notice, state=NoticeState.DEAD, last_result=text, due_at=None)):
        log.error(
            "webhook %s given up after %d tries: %s", notice.notice_id, notice.tries, text,
            extra={"needs_a_person": True, "imp_uid": notice.imp_uid},
        )  # fmt: skip


# --- body and signature -------------------------------------------------------------------------------------------


def body(notice: Notice, *, form: bool = False) -> bytes:
    """V1's keys: imp_uid, merchant_uid, status, and cancellation_id for cancels."""
    content = {"imp_uid": notice.imp_uid, "merchant_uid": notice.merchant_uid, "status": notice.status}
    if notice.cancellation_id:
        content["cancellation_id"] = notice.cancellation_id
    if form:
        from urllib.parse import urlencode  # noqa: PLC0415

        return urlencode(content).encode()
    return json.dumps(content, ensure_ascii=False).encode()


def webhook_context(merchant_id: str) -> tuple[str, ...]:
    return ("webhook_secret", merchant_id)


def _secrets(deps: Deps, routing: Routing, now: datetime) -> list[str]:
    """What to sign with: the secret, and for a day after it was replaced the one before it."""
    hooks, context = routing.webhooks, webhook_context(routing.merchant_id)
    sealed = [hooks.sealed_secret]
    if hooks.retired_secret and hooks.retired_until and now < hooks.retired_until:
        sealed.append(hooks.retired_secret)
    return [deps.sealer.open(routing.data_key, context, text)["secret"] for text in sealed]


def signature_headers(secrets: Sequence[str], notice_id: str, now: datetime, content: bytes) -> dict[str, str]:
    """secrets: each `whsec_` and base64 of a key; the receiver has to know one of them."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((notice_id.encode(), timestamp.encode(), content))
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"
