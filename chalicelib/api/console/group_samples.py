"""The simulator's fields: a sample payment as somebody describes it, and what would become of it in words."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from chalicelib.api.console.visits import Problem, Visit, problem_of
from chalicelib.domain.errors import InvalidRequest, RouterError
from chalicelib.domain.money import parse_currency, parse_money
from chalicelib.domain.windows import PayMethod
from chalicelib.usecases import simulating, statistics
from chalicelib.usecases.simulating import (
    CardSample,
    Draft,
    KeySample,
    KeysSample,
    Sample,
    Simulation,
    Wanted,
    WindowSample,
)

KINDS = ("card", "key", "window")
KEYS = ("all", "held", "customer")
GIVEN = ("name", "buyer_name", "buyer_email", "buyer_tel", "buyer_addr", "buyer_postcode", "product_type")
"""Fields that a request may leave out, in V1's words."""
CARD_GIVEN = ("birth", "pwd_2digit", "cvc")
WINDOW_GIVEN = ("vbank_due", "digital", "customer_id")
_USUAL = frozenset({"name", "buyer_name", "buyer_email", "buyer_tel", "birth", "pwd_2digit", "vbank_due"})


@dataclass(frozen=True, slots=True)
class SampleForm:
    """As typed. kind: of KINDS. keys: of KEYS, which super keys. given: fields that the request has."""

    kind: str = "card"
    keys: str = "all"
    customer_uid: str = ""
    held: frozenset[str] = frozenset()
    amount: str = "8900"
    currency: str = "KRW"
    merchant_uid: str = "order-0001"
    pay_method: str = PayMethod.CARD.value
    given: frozenset[str] = field(default=_USUAL)
    reserved: bool = False
    """Ask about the reserved version, where there is no draft."""


def read_sample(fields: Mapping[str, Any], channel_keys: tuple[str, ...]) -> SampleForm:
    """Of a form or a query: all names begin with `try_`. The usual sample if there is none. Never raises."""

    def text(name: str, usual: str, longest: int = 80) -> str:
        value = fields.get(f"try_{name}", usual)
        return value.strip()[:longest] if isinstance(value, str) else usual

    if "try_kind" not in fields:
        return SampleForm(held=frozenset(channel_keys))
    known = (*GIVEN, *CARD_GIVEN, *WINDOW_GIVEN)
    usual = SampleForm()
    return SampleForm(
        kind=_one_of(KINDS, text("kind", "")),
        keys=_one_of(KEYS, text("keys", "")),
        customer_uid=text("customer_uid", ""),
        held=frozenset(key for key in channel_keys if fields.get(f"try_held_{key}") == "1"),
        amount=text("amount", usual.amount, 20),
        currency=text("currency", usual.currency, 10),
        merchant_uid=text("merchant_uid", usual.merchant_uid, 120),
        pay_method=_one_of(tuple(PayMethod), text("pay_method", "")),
        given=frozenset(name for name in known if fields.get(f"try_{name}") == "1"),
        reserved=text("version", "") == "reserved",
    )


def _one_of(known: tuple[str, ...], sent: str) -> str:
    return str(sent if sent in known else known[0])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the simulator says: a simulation, or why there is none. asked: what the weights want per channel."""

    simulation: Simulation | None = None
    problem: Problem | None = None
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """channel key -> why it is left out."""


def outcome(visit: Visit, group_id: str | None, make_draft: Callable[[], Draft | None], form: SampleForm) -> Outcome:
    """group_id None = a new group. make_draft: of the editor, or None for what is saved; may raise InvalidRequest."""
    try:
        wanted = Wanted(group_id, make_draft(), _request(form), _sample(visit, group_id, form), form.reserved)
        found = simulating.simulate(visit.deps, visit.merchant_id, wanted)
    except RouterError as error:
        return Outcome(problem=problem_of(error))
    reasons: dict[str, list[str]] = {}
    for excluded in found.exclusions:
        texts = reasons.setdefault(excluded.channel_key, [])
        texts += [text for text in split(excluded.message) if text not in texts]
    return Outcome(found, reasons={key: tuple(texts) for key, texts in reasons.items()})


def split(message: str) -> list[str]:
    """`field: 한국어. (english) field: 한국어. (english)` as one text each."""
    return re.split(r"(?<=\)) (?=[a-z_0-9]+: )", message)


def _request(form: SampleForm) -> Any:
    currency = parse_currency(form.currency)
    try:
        amount = Decimal(form.amount.replace(",", ""))
    except InvalidOperation:
        raise InvalidRequest("try_amount", "amount: 숫자여야 합니다. (must be a number)") from None
    if not form.merchant_uid:
        raise InvalidRequest("try_merchant_uid", "merchant_uid: 필수 값입니다. (required)")
    money = parse_money(amount, currency, minimum=1)
    more = {"product_type": "real"} if "product_type" in form.given else {}
    return simulating.sample_request(form.merchant_uid, money, form.given, **more)


def _sample(visit: Visit, group_id: str | None, form: SampleForm) -> Sample:
    given = form.given
    if form.kind == "card":
        return CardSample("birth" in given, "pwd_2digit" in given, "cvc" in given)
    if form.kind == "window":
        due = visit.deps.clock.now() + timedelta(days=3) if "vbank_due" in given else None
        customer_id = "customer" if "customer_id" in given else None
        return WindowSample(PayMethod(form.pay_method), due, True if "digital" in given else None, customer_id)
    if form.keys == "customer":
        if not form.customer_uid:
            raise InvalidRequest("try_customer_uid", "customer_uid: 필수 값입니다. (required)")
        return KeySample(form.customer_uid)
    if form.keys == "held":
        return KeysSample([(form.held, 1)])
    return KeysSample(statistics.coverage(visit.deps, visit.merchant_id, group_id).combinations if group_id else ())
