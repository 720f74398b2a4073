"""What an operator does with webhooks: see them, have one sent again, try the URL, change the secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.accounts import Operator
from chalicelib.domain.channels import Environment
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused
from chalicelib.domain.merchants import Routing
from chalicelib.domain.notices import DeliveryResult, Notice, NoticeState, Receivers
from chalicelib.ports import Deps, Page, Ref
from chalicelib.usecases import lookups, merchants, notifying
from chalicelib.usecases.charges import load_routing
from chalicelib.usecases.recording import hand_over, notice_task

BOTH_SECRETS = timedelta(hours=24)
"""How long deliveries carry the old secret's signature beside the new one's."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a webhook that was sent to try the URL."""

    url: str
    result: DeliveryResult
    took_ms: int


@dataclass(frozen=True, slots=True)
class NewSecret:
    """Shown once. old_until: when the one before it signs for the last time."""

    secret: str
    old_until: datetime


def of_payment(deps: Deps, merchant_id: str, imp_uid: str) -> Sequence[Notice]:
    """All that is, or was to be, told of a payment, oldest first. Raises NotFound for an unknown payment."""
    lookups.by_imp_uid(deps, merchant_id, imp_uid)
    found: list[Notice] = []
    cursor = None
    while True:
        page = deps.store.list(Notice, (merchant_id, "notices", imp_uid), cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


def dead(deps: Deps, merchant_id: str, limit: int, cursor: str | None) -> Page[Notice]:
    """Those that were given up, newest first."""
    return deps.store.alarms(Notice, merchant_id, limit=limit, cursor=cursor)


def failing(deps: Deps, merchant_id: str) -> Mapping[str, int]:
    """Hosts that fail or are slow just now: failures in a row, at most `FAILURES_IN_A_ROW`. What is new comes last."""
    known = deps.store.load(Ref(Receivers, (merchant_id,)))
    return known.failures if known else {}


def resend(deps: Deps, operator: Operator, notice_id: str, *, to_present_url: bool = False) -> Notice:
    """Send one again, whatever its state: under its own id, with all the tries of a new one.

    To its URL of then, or to_present_url: to that of the settings now. Raises NotFound, InvalidRequest if the settings
    have none, and Conflict if its present try ends at this moment.
    """
    notice, now = _load(deps, operator, notice_id), deps.clock.now()
    url = _present_url(load_routing(deps, operator.merchant_id), notice.environment) if to_present_url else notice.url
    again = replace(notice, url=url, state=NoticeState.PENDING, tries=0, resent_at=now, due_at=now)
    before = {"webhook_id": notice_id, "state": notice.state.value, "tries": notice.tries}
    after = {"url": url} if url != notice.url else None
    entry = merchants.audit_entry(deps, operator, notice.imp_uid, "webhook.resent", before, after)
    stored: Notice = deps.store.commit(again, entry)[0]
    hand_over(deps, [notice_task(stored)], now)
    return stored


def take_note(deps: Deps, operator: Operator, notice_id: str, reason: str) -> Notice:
    """Take one that was given up off the list of what waits for a person. Raises NotFound, Refused, Conflict."""
    notice = _load(deps, operator, notice_id)
    if notice.state is not NoticeState.DEAD:
        raise Refused("전달을 포기한 웹훅이 아닙니다. (it was not given up)")
    before = {"webhook_id": notice_id, "state": notice.state.value}
    after = {"webhook_id": notice_id, "state": NoticeState.NOTED.value, "reason": reason}
    entry = merchants.audit_entry(deps, operator, notice.imp_uid, "webhook.noted", before, after)
    noted: Notice = deps.store.commit(replace(notice, state=NoticeState.NOTED), entry)[0]
    return noted


def _load(deps: Deps, operator: Operator, notice_id: str) -> Notice:
    notice = deps.store.load(Ref(Notice, (operator.merchant_id, notice_id)))
    if notice is None:
        raise NotFound(f"존재하지 않는 웹훅입니다: {notice_id[:80]} (unknown webhook)")
    return notice


def try_out(deps: Deps, merchant_id: str, environment: Environment) -> Trial:
    """Send an example to the saved URL, now, once, and store nothing. Raises InvalidRequest if there is no URL."""
    routing = load_routing(deps, merchant_id)
    url = _present_url(routing, environment)
    now = deps.clock.now()
    example = Notice(
        merchant_id=merchant_id,
        notice_id=f"wh_{deps.rng.getrandbits(96):024x}",
        url=url,
        environment=environment,
        imp_uid="imp_000000000000",
        merchant_uid="webhook-test",
        status="paid",
        created_at=now,
    )
    started = deps.clock.monotonic()
    result = notifying.send(deps, routing, example, deps.timing.webhook_retry_timeout)
    return Trial(url, result, round((deps.clock.monotonic() - started) * 1000))


def _present_url(routing: Routing, environment: Environment) -> str:
    url = routing.webhooks.url(environment)
    if not url:
        name = f"{environment}_webhook_url"
        raise InvalidRequest(name, f"{name}: 저장된 URL이 없습니다. (no URL is saved)")
    return url


def rotate_secret(deps: Deps, operator: Operator) -> NewSecret:
    """A new secret for signatures, which the present one accompanies for a day. One that still did ends now."""
    routing = load_routing(deps, operator.merchant_id)
    made = NewSecret(merchants.new_webhook_secret(), deps.clock.now() + BOTH_SECRETS)
    context = notifying.webhook_context(routing.merchant_id)
    hooks = replace(
        routing.webhooks,
        sealed_secret=deps.sealer.seal(routing.data_key, context, {"secret": made.secret}),
        retired_secret=routing.webhooks.sealed_secret,
        retired_until=made.old_until,
    )
    changed = replace(routing, webhooks=hooks)
    merchants.commit_change(deps, operator, changed, "settings", "settings.webhook_secret_rotated", None, None)
    return made
