"""Where each entity lives in the table: its key, its place in the timer's index, its places in lists.

One row of `KINDS` per entity is the whole of it; docs/ARCHITECTURE.md shows the same as a table. Every key begins with
its merchant (or with the API key, e-mail or token hash that leads to one), so no query of one merchant reaches
another's item.

An item is `pk`, `sk`, `version`, `doc` (the entity as JSON), `written_by` (which commit wrote it), and where they
apply `due_shard`, `due_at` (seconds), `kind`, `parts` for the timer; `list_pk`, `list_sk` for one of the merchant's
long lists, most of which are counted (storage.tallies); `owner_pk`, `owner_sk` for a short one that belongs to a
customer, a payment, a group; `alarm_pk`, `alarm_sk` while it waits for a person; `ref_pk`, `ref_sk` to be found by the
gateway's name for it. A time to live stands in `expires_at`. Sort keys of lists begin with whole seconds, twelve digits
wide.
"""

import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.domain.accounts import AdminToken, ApiKey, Audit, Guesses, People, Session, SigningKeys, User
from chalicelib.domain.channels import ArchivedChannel
from chalicelib.domain.health import Health
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.merchants import Routing
from chalicelib.domain.notices import Notice, NoticeState, Receivers
from chalicelib.domain.orders import Booking, Order
from chalicelib.domain.payments import VIRTUAL_ACCOUNT, Payment, State
from chalicelib.domain.prepared import Prepared
from chalicelib.domain.receipts import CashReceipt
from chalicelib.domain.statistics import hour_slot, of_attempt, of_payment
from chalicelib.domain.timer import Watermark
from chalicelib.ports import Ref, TaskKind, TooLarge

if TYPE_CHECKING:
    from pydantic import TypeAdapter

log = logging.getLogger(__name__)

DUE_SHARDS = 16
"""A million items due in one second spread over so many partitions of the index."""

MAX_DOC = 380_000
"""DynamoDB stores at most 400 KB per item, keys and attribute names included."""

MAX_REF = 1000
"""Bytes of a gateway's name for a payment by which it can be found. Real ones have up to 200."""

NOTICE_KEPT_FOR = timedelta(days=90)


class UnreadableError(Exception):
    """A stored document does not fit its entity: written by a newer version, or by hand."""


@dataclass(frozen=True, slots=True)
class Kind:
    """parts: the entity's identity; key: pk and sk from it; the others: None where they do not apply.

    list_key: `merchant#things#facet` and a sort key of times, by the first of which it is listed, and the id.
    count_key: the list, and the time in it, under which storage.tallies counts it.
    counts: what else it counts as: (pk and slot of a tally, attribute -> number).
    alarm_key: `alarm_list` of its kind and a sort key of a time and the id, while it waits for a person.
    ref_key: `ref_list` of the gateway's name for it, and its own.
    """

    name: str
    parts: Callable[[Any], tuple[str, ...]]
    key: Callable[..., tuple[str, str]]
    due: Callable[[Any], datetime | None] = lambda _: None
    list_key: Callable[[Any], tuple[str, str] | None] = lambda _: None
    count_key: Callable[[Any], tuple[str, str] | None] = lambda _: None
    owner_key: Callable[[Any], tuple[str, str] | None] = lambda _: None
    counts: Callable[[Any], Iterable[tuple[str, str, Mapping[str, int]]]] = lambda _: ()
    alarm_key: Callable[[Any], tuple[str, str] | None] = lambda _: None
    ref_key: Callable[[Any], tuple[str, str] | None] = lambda _: None
    ttl: Callable[[Any], datetime | None] = lambda _: None
    lost: Callable[[str], Any] | None = None
    """Makes the entity anew from its pk where the stored one is unreadable, if nothing hangs on what it said."""


def _order_due(order: Order) -> datetime | None:
    return order.schedule.due_at if order.schedule else None


def _order_list(order: Order) -> tuple[str, str] | None:
    if order.schedule is None:
        return None
    sort = f"{_seconds(order.schedule.schedule_at)}#{order.merchant_uid}"
    return f"{order.merchant_id}#schedules#{order.schedule.state}", sort


def _order_owner(order: Order) -> tuple[str, str] | None:
    if order.schedule is None:
        return None
    owner = f"{order.merchant_id}#schedules_of#{order.schedule.customer_uid}"
    return owner, f"{_seconds(order.schedule.schedule_at)}#{order.schedule.state}#{order.merchant_uid}"


def _payment_list(payment: Payment) -> tuple[str, str] | None:
    """A charge on its way is not listed: in a moment it is something else, and then it is."""
    if _on_its_way(payment):
        return None
    times = (payment.status_at, payment.started_at, payment.paid_at, payment.updated_at)
    sort = "#".join(_seconds(at) for at in times)
    return f"{payment.merchant_id}#payments#{payment.v1_status}", f"{sort}#{payment.imp_uid}"


def _payment_count(payment: Payment) -> tuple[str, str] | None:
    """A charge on its way is counted as what most charges become, so that their result moves no counter."""
    if not _on_its_way(payment):
        return _payment_list(payment)
    facet = "ready" if payment.pay_method == VIRTUAL_ACCOUNT else "paid"
    return f"{payment.merchant_id}#payments#{facet}", _seconds(payment.updated_at)


def _payment_counts(payment: Payment) -> Iterator[tuple[str, str, Mapping[str, int]]]:
    """By the hour in which each attempt began, and for the group by that of the payment."""
    stats = f"{payment.merchant_id}#stats"
    for attempt in payment.attempts:
        if numbers := of_attempt(payment, attempt):
            yield f"{stats}#{attempt.channel_key}", hour_slot(attempt.started_at), numbers
    if numbers := of_payment(payment):
        yield f"{stats}#{payment.attempts[0].decision.group_id}", hour_slot(payment.started_at), numbers


def _key_counts(key: BillingKey) -> Iterator[tuple[str, str, Mapping[str, int]]]:
    """A super key by the channels that hold one."""
    if key.group_id is not None and key.channels:
        yield f"{key.merchant_id}#coverage#{key.group_id}", ",".join(sorted(key.channels)), {"n": 1}


def _notice_alarm(notice: Notice) -> tuple[str, str] | None:
    if notice.state is not NoticeState.DEAD:
        return None
    return alarm_list(notice.merchant_id, "notice"), f"{_seconds(notice.tried_at)}#{notice.notice_id}"


def _on_its_way(payment: Payment) -> bool:
    return payment.state is State.CLAIMED and payment.unknown_since is None


def _payment_owner(payment: Payment) -> tuple[str, str] | None:
    if payment.customer_uid is None:
        return None
    owner = f"{payment.merchant_id}#payments_of#{payment.customer_uid}"
    return owner, f"{_seconds(payment.started_at)}#{payment.imp_uid}"


def alarm_list(merchant_id: str, kind: str) -> str:
    return f"{merchant_id}#alarms#{kind}"


def _payment_alarm(payment: Payment) -> tuple[str, str] | None:
    if payment.alarm is None:
        return None
    return alarm_list(payment.merchant_id, "payment"), f"{_seconds(payment.updated_at)}#{payment.imp_uid}"


def whole_list(merchant_id: str, kind: str) -> str:
    """All of one kind that the merchant has, in one list that is not counted."""
    return f"{merchant_id}#{kind}s"


def ref_list(merchant_id: str, ref: str) -> str | None:
    """None for what no gateway gives, and no index takes: DynamoDB's keys have from 1 to 2048 bytes."""
    return f"{merchant_id}#ref#{ref}" if ref and len(ref.encode()) <= MAX_REF else None


def _payment_ref(payment: Payment) -> tuple[str, str] | None:
    name = ref_list(payment.merchant_id, payment.gateway_ref or "")
    return (name, payment.imp_uid) if name else None


def _receipt_alarm(receipt: CashReceipt) -> tuple[str, str] | None:
    """Also while somebody is still at it: should it die, nobody but a person will look."""
    if receipt.last is None or not receipt.last.is_open:
        return None
    sort = f"{_seconds(receipt.last.since)}#{receipt.subject}#{receipt.subject_id}"
    return alarm_list(receipt.merchant_id, "cash_receipt"), sort


def _seconds(at: datetime | None) -> str:
    return f"{int(at.timestamp()) if at else 0:012d}"


KINDS: dict[type[Any], Kind] = {
    Routing: Kind(
        "routing",
        lambda e: (e.merchant_id,),
        lambda m: (m, "routing"),
    ),
    Health: Kind(
        TaskKind.HEALTH,
        lambda e: (e.merchant_id,),
        lambda m: (m, "health"),
        due=lambda e: e.due_at,
        lost=Health,
    ),
    BillingKey: Kind(
        "billing_key",
        lambda e: (e.merchant_id, e.customer_uid),
        lambda m, uid: (f"{m}#key#{uid}", "key"),
        counts=_key_counts,
    ),
    Payment: Kind(
        TaskKind.PAYMENT,
        lambda e: (e.merchant_id, e.imp_uid),
        lambda m, imp_uid: (f"{m}#payment#{imp_uid}", "payment"),
        due=lambda e: e.due_at,
        list_key=_payment_list,
        count_key=_payment_count,
        counts=_payment_counts,
        owner_key=_payment_owner,
        alarm_key=_payment_alarm,
        ref_key=_payment_ref,
    ),
    Order: Kind(
        TaskKind.SCHEDULE,
        lambda e: (e.merchant_id, e.merchant_uid),
        lambda m, uid: (f"{m}#order#{uid}", "order"),
        due=_order_due,
        list_key=_order_list,
        count_key=_order_list,
        owner_key=_order_owner,
    ),
    Prepared: Kind(
        "prepared",
        lambda e: (e.merchant_id, e.merchant_uid),
        lambda m, uid: (f"{m}#prepared#{uid}", "prepared"),
    ),
    Booking: Kind(
        TaskKind.BOOKING,
        lambda e: (e.merchant_id, e.booking_id),
        lambda m, booking_id: (f"{m}#booking#{booking_id}", "booking"),
        due=lambda e: e.due_at,
    ),
    Notice: Kind(
        TaskKind.NOTICE,
        lambda e: (e.merchant_id, e.notice_id),
        lambda m, notice_id: (f"{m}#notice#{notice_id}", "notice"),
        due=lambda e: e.due_at,
        owner_key=lambda e: (
            f"{e.merchant_id}#notices#{e.imp_uid}",
            f"{e.created_at.timestamp():.6f}#{e.notice_id}",
        ),
        alarm_key=_notice_alarm,
        ttl=lambda e: e.created_at + NOTICE_KEPT_FOR,
    ),
    Receivers: Kind(
        "receivers",
        lambda e: (e.merchant_id,),
        lambda m: (m, "receivers"),
    ),
    CashReceipt: Kind(
        "cash_receipt",
        lambda e: (e.merchant_id, e.subject, e.subject_id),
        lambda m, subject, subject_id: (f"{m}#receipt#{subject}#{subject_id}", "receipt"),
        alarm_key=_receipt_alarm,
    ),
    Audit: Kind(
        "audit",
        lambda e: (e.merchant_id, e.subject, e.audit_id),
        lambda m, subject, audit_id: (f"{m}#audit#{subject}", audit_id),
        list_key=lambda e: (whole_list(e.merchant_id, "audit"), f"{_seconds(e.at)}#{e.audit_id}"),
        owner_key=lambda e: (f"{e.merchant_id}#audit#{e.subject}", e.audit_id),
    ),
    ArchivedChannel: Kind(
        "archived_channel",
        lambda e: (e.merchant_id, e.channel.channel_key),
        lambda m, channel_key: (f"{m}#archived#{channel_key}", "channel"),
    ),
    ApiKey: Kind(
        "api_key",
        lambda e: (e.imp_key,),
        lambda imp_key: (f"apikey#{imp_key}", "apikey"),
        owner_key=lambda e: (f"{e.merchant_id}#apikeys", e.imp_key),
    ),
    AdminToken: Kind(
        "admin_token",
        lambda e: (e.token_hash,),
        lambda token_hash: (f"admintoken#{token_hash}", "admintoken"),
        owner_key=lambda e: (f"{e.merchant_id}#admintokens", f"{_seconds(e.created_at)}#{e.token_id}"),
    ),
    User: Kind(
        "user",
        lambda e: (e.email,),
        lambda email: (f"user#{email}", "user"),
        owner_key=lambda e: (f"{e.merchant_id}#users", e.email),
    ),
    People: Kind(
        "people",
        lambda e: (e.merchant_id,),
        lambda m: (m, "people"),
    ),
    Session: Kind(
        "session",
        lambda e: (e.token_hash,),
        lambda token_hash: (f"session#{token_hash}", "session"),
        owner_key=lambda e: (f"{e.merchant_id}#sessions#{e.email}", f"{_seconds(e.created_at)}#{e.session_id}"),
        ttl=lambda e: e.expires_at,
    ),
    Guesses: Kind(
        "guesses",
        lambda e: (e.subject,),
        lambda subject: (f"guesses#{subject}", "guesses"),
        ttl=lambda e: e.expires_at,
    ),
    Watermark: Kind(
        "watermark",
        lambda _: (),
        lambda: ("system", "watermark"),
    ),
    SigningKeys: Kind(
        "signing_keys",
        lambda _: (),
        lambda: ("system", "signing-keys"),
    ),
}


def key_of(ref: Ref[Any]) -> tuple[str, str]:
    return KINDS[ref.kind].key(*ref.parts)


def ref_of(entity: Any) -> Ref[Any]:
    return Ref(type(entity), KINDS[type(entity)].parts(entity))


def shard_of(pk: str) -> int:
    return zlib.crc32(pk.encode()) % DUE_SHARDS


def to_item(entity: Any, version: int) -> dict[str, dict[str, str]]:
    """The entity as a DynamoDB item, in DynamoDB's own JSON."""
    kind = KINDS[type(entity)]
    parts = kind.parts(entity)
    pk, sk = kind.key(*parts)
    doc = _adapter(type(entity)).dump_json(entity, exclude={"version"})
    if len(doc) > MAX_DOC:
        raise TooLarge(kind.name)
    item = {
        "pk": {"S": pk},
        "sk": {"S": sk},
        "version": {"N": str(version)},
        "doc": {"S": doc.decode()},
    }
    if (due_at := kind.due(entity)) is not None:
        item |= {
            "due_shard": {"S": f"{shard_of(pk):02d}"},
            "due_at": {"N": f"{due_at.timestamp():.3f}"},
            "kind": {"S": kind.name},
            "parts": {"S": json.dumps(parts)},
        }
    if (listed := kind.list_key(entity)) is not None:
        item |= {"list_pk": {"S": listed[0]}, "list_sk": {"S": listed[1]}}
    if (owned := kind.owner_key(entity)) is not None:
        item |= {"owner_pk": {"S": owned[0]}, "owner_sk": {"S": owned[1]}}
    if (alarmed := kind.alarm_key(entity)) is not None:
        item |= {"alarm_pk": {"S": alarmed[0]}, "alarm_sk": {"S": alarmed[1]}}
    if (named := kind.ref_key(entity)) is not None:
        item |= {"ref_pk": {"S": named[0]}, "ref_sk": {"S": named[1]}}
    if (expires_at := kind.ttl(entity)) is not None:
        item["expires_at"] = {"N": str(int(expires_at.timestamp()))}
    return item


def from_item(kind: type[Any], item: dict[str, Any]) -> Any:
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        entity = _adapter(kind).validate_json(item["doc"]["S"])
    except ValidationError as error:
        fields = sorted({".".join(map(str, e["loc"])) for e in error.errors(include_input=False)})
        text = f"{kind.__name__}: {fields[:5]}"  # without the document: it has buyers in it
        if (renew := KINDS[kind].lost) is None:
            raise UnreadableError(text) from None
        log.warning("unreadable, begun anew: %s", text)
        entity = renew(item["pk"]["S"])
    return replace(entity, version=int(item["version"]["N"]))


_adapters: "dict[type[Any], TypeAdapter[Any]]" = {}


def _adapter(kind: type[Any]) -> "TypeAdapter[Any]":
    """Compiled at its first use: a Lambda pays only for what it really stores."""
    from pydantic import TypeAdapter  # noqa: PLC0415

    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
