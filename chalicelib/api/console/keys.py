"""Billing keys: which gateways hold one for a customer, which do not and why, and where a charge would go now."""

from collections.abc import Sequence
from dataclasses import dataclass

from chalicelib.api.console import masking
from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.pages import gateway_name
from chalicelib.api.console.payment_words import ACTIONS
from chalicelib.api.console.visits import DONE, Html, Problem, Redirect, Visit, problem_of, view
from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import PaymentRequest
from chalicelib.domain.errors import InvalidRequest, NotFound, RouterError, TryAgain
from chalicelib.domain.groups import ChannelGroup
from chalicelib.domain.keys import BillingKey, ChannelKey, FailedChannel
from chalicelib.domain.money import Money
from chalicelib.domain.orders import Order, ScheduleState
from chalicelib.ports import Conflict, Listing, Ref
from chalicelib.usecases import billing_keys, by_hand, lookups, on_record
from chalicelib.usecases.lookups import EVER, Numbered
from chalicelib.usecases.simulating import KeySample, Simulation, Wanted, simulate

DONE |= {
    "key_deleted": (
        "빌링키를 삭제했습니다. 이 카드로는 더 이상 결제되지 않습니다.",
        "The billing key is deleted: nothing can charge this card any more.",
    ),
    "key_deleted_here": (
        "빌링키를 삭제했습니다. 일부 PG사는 삭제를 확인해 주지 않았지만, 이 카드로는 더 이상 결제되지 않습니다.",
        "The billing key is deleted. Some gateways did not confirm; nothing here can charge this card any more.",
    ),
}

CHANGED = (
    "그사이 빌링키가 새로 발급되었습니다. 아래의 현재 빌링키를 확인한 뒤 다시 삭제해 주세요. "
    "(the key was issued anew meanwhile: look at it as it is now)"
)

SAMPLE = Money(10_000)
"""What is asked about where a charge would go now."""
RESERVED_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One channel of the key's group, or one that holds a key and is no longer in it.

    held, failed: at most one is set; neither: it was added to the group later. share: 0 to 1, None = none now.
    """

    channel_key: str
    name: str
    gateway: str
    held: ChannelKey | None
    failed: FailedChannel | None
    in_group: bool
    enabled: bool
    weight: int | None
    share: float | None
    why_not: str


@view("GET", "keys", Role.VIEWER)
def keys_page(visit: Visit) -> Html | Redirect:
    """Keys are in no list: they are found by their customer_uid."""
    customer_uid = visit.query.get("customer_uid", "").strip()
    if not customer_uid:
        return Html("keys.html", {"customer_uid": "", "is_unknown": False})
    if visit.deps.store.load(Ref(BillingKey, (visit.merchant_id, customer_uid))):
        return Redirect("keys/key", query={"customer_uid": customer_uid})
    return Html("keys.html", {"customer_uid": customer_uid, "is_unknown": True})


@view("GET", "keys/key", Role.VIEWER)
def key_page(visit: Visit) -> Html:
    customer_uid = visit.query.get("customer_uid", "")
    key = _load(visit, customer_uid)
    group = visit.who.routing.groups.get(key.group_id or "")
    simulation = _simulated(visit, key, group)
    reserved = _reserved(visit, customer_uid)
    values = {
        "key": key,
        "group": group and group.at(visit.deps.clock.now()),
        "rows": _rows(visit, key, group, simulation),
        "simulation": simulation,
        "sample": SAMPLE,
        "customer": masking.shown_buyer(key.customer, masked=True),
        "reserved": reserved,
        "history": by_hand.history(visit.deps, visit.merchant_id, on_record.key_subject(customer_uid)),
        "actions": ACTIONS,
    }
    return Html("key.html", values)


def _load(visit: Visit, customer_uid: str) -> BillingKey:
    """Raises NotFound."""
    key = visit.deps.store.load(Ref(BillingKey, (visit.merchant_id, customer_uid)))
    if key is None:
        raise NotFound(f"{billing_keys.unknown_key(customer_uid[:80]).message} (no such billing key)")
    return key


def _simulated(visit: Visit, key: BillingKey, group: ChannelGroup | None) -> Simulation | None:
    """Where a charge would go now; None for an ordinary key, and for one whose group is gone."""
    if group is None:
        return None
    request = PaymentRequest("console-sample", SAMPLE, "sample")
    return simulate(visit.deps, visit.merchant_id, Wanted(group.group_id, None, request, KeySample(key.customer_uid)))


def _rows(
    visit: Visit, key: BillingKey, group: ChannelGroup | None, simulation: Simulation | None
) -> list[ChannelRow]:  # fmt: skip
    entries = {e.channel_key: e for e in group.at(visit.deps.clock.now()).entries} if group else {}
    failed = {f.channel_key: f for f in key.failed}
    shares = {s.channel_key: float(s.share) for s in simulation.shares} if simulation else {}
    reasons = {e.channel_key: e.message for e in simulation.exclusions} if simulation else {}
    rows = []
    for channel_key in dict.fromkeys([*entries, *key.channels, *failed]):
        held, refused, entry = key.channels.get(channel_key), failed.get(channel_key), entries.get(channel_key)
        channel = visit.who.routing.channels.get(channel_key)
        known = channel or held or refused
        rows.append(
            ChannelRow(
                channel_key=channel_key,
                name=channel.name if channel else visit.say("삭제된 채널", "deleted channel"),
                gateway=gateway_name(visit, known.pg_provider) if known else "–",
                held=held,
                failed=refused,
                in_group=entry is not None,
                enabled=entry is not None and entry.enabled,
                weight=entry.weight if entry else None,
                share=shares.get(channel_key),
                why_not=reasons.get(channel_key, ""),
            )
        )
    return rows


def _reserved(visit: Visit, customer_uid: str) -> Listing[Order]:
    return lookups.schedules_of_customer(
        visit.deps, visit.merchant_id, customer_uid, ScheduleState.SCHEDULED, (0, EVER), Numbered(0, RESERVED_SHOWN)
    )


# --- deleting -----------------------------------------------------------------------------------------------------


@view("GET", "keys/delete", Role.OPERATOR)
def delete_page(visit: Visit) -> Html:
    return _delete_form(visit, _load(visit, visit.query.get("customer_uid", "")))


@view("POST", "keys/delete", Role.OPERATOR)
def delete(visit: Visit) -> Html | Redirect:
    key = _load(visit, _customer_uid(visit))
    try:
        if visit.text("seen") != str(key.version):  # another card by now
            raise TryAgain(CHANGED)
        if visit.text("typed") != key.customer_uid.strip():
            raise InvalidRequest("typed", "typed: customer_uid를 그대로 입력해 주세요. (type the customer_uid)")
        reason = visit.text("reason")
        if not reason:
            raise InvalidRequest("reason", "reason: 사유를 입력해 주세요. 기록에 남습니다. (a reason is required)")
        _, unconfirmed = on_record.delete_key(visit.deps, visit.operator, key.customer_uid, reason)
    except (RouterError, Conflict) as error:
        return _delete_form(visit, key, problem_of(error), status_of(error))
    return Redirect("keys", "key_deleted_here" if unconfirmed else "key_deleted")


def _customer_uid(visit: Visit) -> str:
    """As it is: blanks at its ends belong to it."""
    value = visit.form.get("customer_uid", "")
    return value[:500] if isinstance(value, str) else ""


def _delete_form(visit: Visit, key: BillingKey, problem: Problem | None = None, status: int = 200) -> Html:
    values = {
        "key": key,
        "gateways": _held_at(visit, list(key.channels.values())),
        "reserved": _reserved(visit, key.customer_uid),
        "reason": visit.text("reason"),
    }
    return Html("key_delete.html", values, status, problem)


def _held_at(visit: Visit, held: Sequence[ChannelKey]) -> list[str]:
    return [gateway_name(visit, one.pg_provider) for one in held]
