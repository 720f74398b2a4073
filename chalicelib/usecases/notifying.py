"""Delivering webhooks: V1's body, signed with a Standard Webhooks header, tried over about a day.

At least once: a delivery whose success could not be written down is sent again, with the same webhook-id.
Source: PortOne V1 webhook guide for the body; https://www.standardwebhooks.com for the signature.
"""

import base64
import hashlib
import hmac
import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.channels import Environment
from chalicelib.domain.merchants import Routing
from chalicelib.domain.notices import Notice, NoticeState
from chalicelib.ports import Conflict, Deps, Ref
from chalicelib.usecases.recording import hand_over, notice_task

log = logging.getLogger(__name__)

PAUSES = (30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
"""Seconds between tries: nine tries over about a day."""
LEASE = timedelta(seconds=60)
"""Longer than one try (connect 10 s, read 30 s) can take."""


def deliver(deps: Deps, merchant_id: str, notice_id: str) -> None:
    """Try one delivery whose time has come. Claims it first, so that two workers do not send it twice."""
    notice, routing = deps.store.load(Ref(Notice, (merchant_id, notice_id)), Ref(Routing, (merchant_id,)))
    now = deps.clock.now()
    if notice is None or routing is None or notice.due_at is None or notice.due_at > now:
        return
    if notice.tries > len(PAUSES):  # its last worker died
        _record(deps, notice, notice.last_result or "no result", delivered=False)
        return
    try:
        (claimed,) = deps.store.commit(replace(notice, tries=notice.tries + 1, due_at=now + LEASE))
    except Conflict:
        return
    try:
        delivered, result = _send(deps, routing, claimed)
    except Exception as error:  # a try that breaks is a try: it must end some day, like any other
        log.exception("webhook %s", notice_id)
        delivered, result = False, f"raised {type(error).__name__}"
    _record(deps, claimed, result, delivered=delivered)


def _send(deps: Deps, routing: Routing, notice: Notice) -> tuple[bool, str]:
    if reason := deps.sender.refuse_url(notice.url):
        return False, reason
    form = routing.webhooks.content_type == "application/x-www-form-urlencoded"
    content = body(notice, form=form)
    secret = deps.sealer.open(routing.data_key, webhook_context(routing.merchant_id), routing.webhooks.sealed_secret)
    headers = {
        "Content-Type": routing.webhooks.content_type,
        **signature_headers(secret["secret"], notice.notice_id, deps.clock.now(), content),
    }
    return deps.sender.post(notice.url, content, headers)


def webhook_context(merchant_id: str) -> tuple[str, ...]:
    return ("webhook_secret", merchant_id)


def body(notice: Notice, *, form: bool = False) -> bytes:
    """V1's keys: imp_uid, merchant_uid, status, and cancellation_id for cancels."""
    content = {"imp_uid": notice.imp_uid, "merchant_uid": notice.merchant_uid, "status": notice.status}
    if notice.cancellation_id:
        content["cancellation_id"] = notice.cancellation_id
    if form:
        from urllib.parse import urlencode  # noqa: PLC0415

        return urlencode(content).encode()
    return json.dumps(content, ensure_ascii=False).encode()


def signature_headers(secret: str, notice_id: str, now: datetime, content: bytes) -> dict[str, str]:
    """secret: `whsec_` and base64 of the key."""
    timestamp = str(int(now.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((notice_id.encode(), timestamp.encode(), content))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{digest}",
    }


def _record(deps: Deps, notice: Notice, result: str, *, delivered: bool) -> None:
    now = deps.clock.now()
    if delivered:
        done = replace(notice, state=NoticeState.DELIVERED, last_result=result, due_at=None)
    elif notice.tries > len(PAUSES):
        done = replace(notice, state=NoticeState.DEAD, last_result=result, due_at=None)
        log.error("webhook %s given up after %d tries", notice.notice_id, notice.tries, extra={"needs_a_person": True})
    else:
        factor = deps.timing.recovery_scale if notice.environment is Environment.TEST else 1.0
        done = replace(notice, last_result=result, due_at=now + timedelta(seconds=PAUSES[notice.tries - 1] * factor))
    try:
        (stored,) = deps.store.commit(done)
    except Conflict:
        return
    if stored.due_at:
        hand_over(deps, [notice_task(stored)], now)
