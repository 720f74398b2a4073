"""Issuing, reading and deleting billing keys, ordinary and super."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from chalicelib.domain.channels import Channel
from chalicelib.domain.charging import (
    Buyer,
    Card,
    Declined,
    IssueRequest,
    IssueResult,
    KeyDeleted,
    KeyIssued,
    NotSent,
    Operation,
)
from chalicelib.domain.errors import InvalidRequest, Refused
from chalicelib.domain.health import Health, sign_of
from chalicelib.domain.keys import BillingKey, ChannelKey, FailedChannel
from chalicelib.domain.merchants import Routing
from chalicelib.domain.specs import GatewaySpec
from chalicelib.ports import Conflict, Deleted, Deps, Ref
from chalicelib.usecases import health
from chalicelib.usecases.charges import UNKNOWN_MERCHANT, load_key_to_charge
from chalicelib.usecases.choosing import Resolved, Target, resolve
from chalicelib.usecases.guarded import guarded
from chalicelib.usecases.parallel import at_once
from chalicelib.usecases.vault import open_gateway, open_key, seal_key

log = logging.getLogger(__name__)

ISSUE_FAILED = "카드정보 인증 및 빌키 발급에 실패하였습니다."
WRITE_TRIES = 3
DELETE_TIMEOUT = 20.0


class IssueFailed(Refused):
    """No channel issued a key. failed: why, channel by channel. Nothing was stored."""

    def __init__(self, failed: Sequence[FailedChannel]) -> None:
        details = "; ".join(f"{f.pg_provider}: {f.message}" for f in failed)
        super().__init__(f"{ISSUE_FAILED} {details}", code=-1)
        self.failed = tuple(failed)


@dataclass(frozen=True, slots=True)
class Issue:
    customer_uid: str
    card: Card
    target: Target
    customer_id: str | None = None
    customer: Buyer = field(default_factory=Buyer)
    budget: timedelta | None = None
    """What is left of the caller's time; None = all of it. All gateways are asked at the same time."""
    given: Mapping[str, KeyIssued] = field(default_factory=dict)
    """Keys that came with a charge, by channel key: these channels need not be asked."""


def issue(deps: Deps, merchant_id: str, wanted: Issue) -> BillingKey:
    """Ask every enabled channel of the group (0 % too) for a key at the same time; or the one channel named.

    Partial success is success (rule B4). An existing key of that customer_uid is replaced (rule B12). Raises
    IssueFailed if no channel issued one.
    """
    old, routing, known = load_key_to_charge(deps, merchant_id, wanted.customer_uid)
    if routing is None:
        raise Refused(UNKNOWN_MERCHANT)
    found = resolve(routing, wanted.target)
    channels = _channels(deps, routing, found)
    base = f"key{deps.rng.getrandbits(64):016x}"
    asked_at = deps.clock.now()
    results = at_once(lambda n: _ask(deps, routing, channels[n], wanted, f"{base}{n}"), range(len(channels)))
    answers = list(zip(channels, results, strict=True))
    try:
        return _store(deps, _assemble(deps, routing, found, wanted, answers), old)
    finally:
        # Who issues keys need not be able to charge them, nor the other way round: only silence counts.
        silent = [(channel, result) for channel, result in answers if not isinstance(result, Declined)]
        signs = [sign_of(channel.channel_key, asked_at, result) for channel, result in silent]
        failures = [sign for sign in signs if sign and sign.error is not None]
        health.note(deps, found.environment, known or Health(merchant_id), failures)


def _channels(deps: Deps, routing: Routing, found: Resolved) -> list[Channel]:
    if found.group is None:
        return [routing.channel(found.pin or "")]
    entries = [e for e in found.group.at(deps.clock.now()).entries if e.enabled]
    if found.pin:
        entries = [e for e in entries if e.channel_key == found.pin]
        if not entries:
            raise Refused(
                "channel_key: 채널 그룹에서 사용할 수 없는 채널입니다. (not an enabled channel of the group)",
                field="channel_key",
            )
    if not entries:
        raise Refused("채널 그룹에 활성화된 채널이 없습니다. (no enabled channel in the group)", field="channelGroupId")
    return [routing.channels[e.channel_key] for e in entries if e.channel_key in routing.channels]


def _ask(deps: Deps, routing: Routing, channel: Channel, wanted: Issue, order_id: str) -> IssueResult | str:
    """One channel's answer; a text if it was not asked because it cannot serve this request."""
    if channel.channel_key in wanted.given:
        return wanted.given[channel.channel_key]
    request = IssueRequest(order_id, wanted.customer_uid, wanted.customer_id, wanted.customer)
    budget = wanted.budget or deps.timing.request_budget

    def ask() -> IssueResult | str:
        try:
            gateway = open_gateway(deps, routing, channel.channel_key)
        except Refused as refused:
            return refused.message
        if reason := _cannot_issue(gateway.spec, wanted.card):
            return reason
        return gateway.issue_billing_key(request, wanted.card, budget.total_seconds())

    # One broken adapter must not take the other channels' keys with it.
    return guarded(ask, f"issue {order_id} at {channel.pg_provider}")


def _cannot_issue(spec: GatewaySpec, card: Card) -> str | None:
    if Operation.ISSUE_BILLING_KEY in spec.operations:
        return " ".join(spec.card_objections(card)) or None
    if Operation.KEY_BY_CHARGE in spec.operations:
        return (
            f"{spec.label}은(는) 결제와 함께만 빌링키를 발급합니다: onetime에 customer_uid를 보내 주세요. "
            "(a key comes with a charge only: onetime with customer_uid)"
        )
    return f"{spec.label}은(는) API로 빌링키를 발급할 수 없습니다. (no key issue by API)"


def _assemble(
    deps: Deps,
    routing: Routing,
    found: Resolved,
    wanted: Issue,
    answers: Sequence[tuple[Channel, IssueResult | str]],
) -> BillingKey:
    now = deps.clock.now()
    succeeded: dict[str, ChannelKey] = {}
    failed: list[FailedChannel] = []
    for channel, answer in answers:
        if isinstance(answer, KeyIssued):
            sealed = seal_key(deps, routing, wanted.customer_uid, channel.channel_key, answer.secret)
            succeeded[channel.channel_key] = ChannelKey(
                channel.channel_key, channel.pg_provider, channel.pg_id, sealed, answer.card, now, now
            )
        else:
            failed.append(_failed(channel, answer))
    if not succeeded:
        raise IssueFailed(failed)
    return BillingKey(
        merchant_id=routing.merchant_id,
        customer_uid=wanted.customer_uid,
        environment=found.environment,
        channels=succeeded,
        inserted_at=now,
        updated_at=now,
        group_id=found.group.group_id if found.group else None,
        failed=tuple(failed),
        customer_id=wanted.customer_id,
        customer=wanted.customer,
        issued_by_default=wanted.target == Target(),
    )


def _failed(channel: Channel, answer: IssueResult | str) -> FailedChannel:
    code: str | None = None
    words: str | None = None
    match answer:
        case str():
            return FailedChannel(channel.channel_key, channel.pg_provider, channel.pg_id, "INVALID_REQUEST", answer)
        case Declined():
            message, code, words = f"[{answer.code}] {answer.message}", answer.code, answer.message
        case NotSent():
            message = "PG사에 연결할 수 없습니다. (gateway unreachable)"
        case _:
            message = "PG사의 응답을 확인할 수 없습니다. (no readable answer)"
    return FailedChannel(channel.channel_key, channel.pg_provider, channel.pg_id, "PG_PROVIDER", message, code, words)


def _store(deps: Deps, key: BillingKey, old: BillingKey | None) -> BillingKey:
    """Write over what is there; the last of two concurrent issues wins, as the last card given should."""
    for _ in range(WRITE_TRIES):
        current = key
        if old:
            current = replace(key, version=old.version, counted_as=old.counted_as, inserted_at=old.inserted_at)
        try:
            stored: BillingKey = deps.store.commit(current)[0]
        except Conflict:
            old = deps.store.load(Ref(BillingKey, (key.merchant_id, key.customer_uid)))
        else:
            return stored
    raise Refused("같은 customer_uid의 다른 요청이 처리 중입니다. 다시 시도해 주세요. (another request is under way)")


def unknown_key(customer_uid: str) -> Refused:
    return Refused(f"요청하신 customer_uid({customer_uid})로 등록된 정보를 찾을 수 없습니다.")


def find(deps: Deps, merchant_id: str, customer_uid: str) -> BillingKey:
    key = deps.store.load(Ref(BillingKey, (merchant_id, customer_uid)))
    if key is None:
        raise unknown_key(customer_uid)
    return key


def delete(
    deps: Deps, merchant_id: str, customer_uid: str, timeout: float = DELETE_TIMEOUT
) -> tuple[BillingKey, list[str]]:
    """Delete a key at its gateways and here. Returns it, and the providers that did not confirm.

    A gateway that is down does not keep a buyer's card alive: our key goes in any case, and without it nothing here
    can charge the card again.
    """
    key, routing = deps.store.load(Ref(BillingKey, (merchant_id, customer_uid)), Ref(Routing, (merchant_id,)))
    if key is None or routing is None:
        raise unknown_key(customer_uid)
    base = f"del{deps.rng.getrandbits(64):016x}"
    held = list(key.channels.values())
    answers = at_once(lambda n: _delete_at(deps, routing, key, held[n], f"{base}{n}", timeout), range(len(held)))
    unconfirmed = [c.pg_provider for c, confirmed in zip(held, answers, strict=True) if not confirmed]
    if unconfirmed:
        log.warning("billing key deleted here, not confirmed by %s", ", ".join(unconfirmed))
    try:
        deps.store.commit(Deleted(key))
    except Conflict:
        # Issued anew, or deleted, while we were asking: what was to be deleted is gone either way.
        log.info("billing key changed while it was deleted")
    return key, unconfirmed


def _delete_at(deps: Deps, routing: Routing, key: BillingKey, held: ChannelKey, order_id: str, timeout: float) -> bool:
    if Operation.DELETE_BILLING_KEY not in deps.gateways.spec(held.pg_provider).operations:
        return True
    try:
        secret = open_key(deps, routing, key, held.channel_key)
        gateway = open_gateway(deps, routing, held.channel_key)
        return isinstance(gateway.delete_billing_key(order_id, secret, timeout), KeyDeleted)
    except Exception:  # whatever is wrong with one channel, the buyer's key must go
        log.exception("deleting a key at %s", held.pg_provider)
        return False


def check_customer_uid(customer_uid: str) -> str:
    if not customer_uid.strip() or len(customer_uid) > 80:
        raise InvalidRequest("customer_uid", "customer_uid: 1자 이상 80자 이하여야 합니다. (1 to 80 characters)")
    return customer_uid
