"""Making HTML: the template library, and how times, amounts and names look on every page."""

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chalicelib.api.console.visits import DONE, Html, Visit, step
from chalicelib.domain.accounts import Role
from chalicelib.domain.money import Money

WEB = Path(__file__).parents[2] / "web"
KST = timezone(timedelta(hours=9), "KST")
HANGUL = re.compile("[\uac00-\ud7a3]")


def render(visit: Visit, page: Html) -> str:
    """Every text of a template is escaped, unless it is Markup. What all templates have is here."""
    korean = visit.preferences.language == "ko"
    done = DONE.get(visit.query.get("done", ""))
    common: dict[str, Any] = {
        "visit": visit,
        "who": visit.visitor,
        "t": visit.say,
        "url": visit.url,
        "asset": lambda name: f"{visit.root}/web/{name}?v={_fingerprint(name)}",
        "korean": korean,
        "may_steer": visit.visitor is not None and visit.may(Role.OPERATOR),
        "is_owner": visit.visitor is not None and visit.may(Role.OWNER),
        "problem": page.problem,
        "done": done and visit.say(*done),
        "told": lambda text: told(text, korean=korean),
        "gateway": lambda provider: gateway_name(visit, provider),
        "here": visit.steps[0] if visit.steps else "",
    }
    return _templates().get_template(page.template).render(**{**common, **page.values})


@functools.cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(WEB / "console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "when": when,
        "day": day,
        "money": money,
        "count": lambda number: f"{number:,}",
        "percent": percent,
        "step": step,
    }
    return made


@functools.cache
def _fingerprint(name: str) -> str:
    """So that a browser asks for a script again when it has changed, and only then."""
    return sha256((WEB / name).read_bytes()).hexdigest()[:10]


def when(at: datetime | int | None, *, seconds: bool = True) -> Markup | str:
    """A time in Korea; in UTC for whoever points at it. at: aware, or unix seconds."""
    if at is None:
        return "–"
    instant = datetime.fromtimestamp(at, UTC) if isinstance(at, int) else at
    local, utc = instant.astimezone(KST), instant.astimezone(UTC)
    shown = f"{local:%Y-%m-%d %H:%M:%S}" if seconds else f"{local:%Y-%m-%d %H:%M}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M:%S} UTC", shown
    )


def day(at: datetime) -> str:
    return f"{at.astimezone(KST):%Y-%m-%d}"


def money(amount: Money) -> str:
    text = f"{amount.to_decimal():,}"
    return f"{text}원" if amount.currency == "KRW" else f"{text} {amount.currency}"


def percent(fraction: float, digits: int = 1) -> str:
    """0.0712 -> 7.1 %."""
    return f"{fraction * 100:.{digits}f} %"


def told(text: str, *, korean: bool) -> Markup | str:
    """One language of a text of ours, `한국어. (english)`. Whose text it is else, a gateway's, stays whole.

    On an English page that one is marked as Korean, or a screen reader would spell it.
    """
    before, opening, rest = text.rpartition(" (")
    if not opening or before.isascii() or not rest.endswith(")") or not rest.isascii():
        is_foreign = not korean and HANGUL.search(text)
        return Markup('<span lang="ko">{}</span>').format(text) if is_foreign else text
    return _with_word(before) if korean else _field(before) + rest[:-1]


FIELD_WORDS: Mapping[str, str] = {
    "amount": "금액",
    "again": "비밀번호 확인",
    "email": "이메일",
    "name": "이름",
    "password": "비밀번호",
    "pg_tid": "PG 거래번호",
    "reason": "사유",
    "schedule_at": "예약 시각",
    "typed_name": "그룹 이름",
    "weight": "비율",
}
"""Fields of our forms, in place of the names that the API has for them."""


def _with_word(text: str) -> str:
    """`weight: 비율의 합은...` -> `비율: 비율의 합은...`. What is no field of a form keeps its name."""
    name, colon, rest = text.partition(": ")
    return f"{FIELD_WORDS[name]}: {rest}" if colon and name in FIELD_WORDS else text


def _field(text: str) -> str:
    """`weight: ` of `weight: 비율의 합은...`."""
    name, colon, _ = text.partition(": ")
    return f"{name}: " if colon and name.isascii() else ""


def gateway_name(visit: Visit, provider: str) -> str:
    known: Mapping[str, tuple[str, str]] = {s.provider: (s.label, s.english) for s in visit.deps.gateways.specs()}
    return visit.say(*known[provider]) if provider in known else provider
