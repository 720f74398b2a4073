"""What adapters share in building requests and in reading replies: texts, times, JSON, codes."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidatorFunctionWrapHandler, WrapValidator

from chalicelib.domain.declines import DeclineReason as R
from chalicelib.gateways.http import Reply

KST = timezone(timedelta(hours=9), "KST")

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

# --- times ------------------------------------------------------------------------------------------------------


def instant(text: str | None) -> datetime | None:
    """An ISO 8601 time as gateways write it. Korean gateways that leave out the zone mean Seoul."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=KST)


def seoul(moment: datetime, pattern: str = "%Y%m%d%H%M%S") -> str:
    """The time in Seoul as Korean gateways want it."""
    return moment.astimezone(KST).strftime(pattern)


def from_seoul(text: str | None, pattern: str = "%Y%m%d%H%M%S") -> datetime | None:
    """A time as Korean gateways write it; None if it is none."""
    try:
        return datetime.strptime(text or "", pattern).replace(tzinfo=KST)
    except ValueError:
        return None


def trade_dates(sent_at: datetime, now: datetime) -> list[str]:
    """The days in Seoul that a gateway may have filed a charge under, yyyyMMdd, likeliest first.

    An hour around midnight covers clocks that differ and a charge that was carried out late.
    """
    hour = timedelta(hours=1)
    moments = (sent_at, sent_at - hour, min(sent_at + hour, max(now, sent_at)))
    return list(dict.fromkeys(seoul(moment, "%Y%m%d") for moment in moments))


# --- texts ------------------------------------------------------------------------------------------------------


def plain_text(text: str | None) -> str:
    """A merchant's words, fit to be sent: no control characters, no half characters (JSON can carry both)."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text or "").strip()


_CARD_LIKE = re.compile(r"\d(?:[ -]?\d){12,18}")


def quote_text(text: str, limit: int = 300) -> str:
    """A gateway's words, fit to be kept and shown: cut, and without anything that looks like a card number."""
    return _CARD_LIKE.sub("****", whole_characters(text))[:limit]


def whole_characters(text: str) -> str:
    """JSON can carry halves of characters, which no table takes."""
    return text.encode(errors="replace").decode()


def cut(text: str | None, limit: int, encoding: str = "utf-8") -> str:
    """At most `limit` bytes, never half a character; characters that the encoding lacks are left out.

    Python spells syllables that EUC-KR lacks in eight bytes each, as its standard has it. Gateways do not read that.
    """
    known = "".join(letter for letter in plain_text(text) if len(letter.encode(encoding, errors="ignore")) <= 4)
    return known.encode(encoding, errors="ignore")[:limit].decode(encoding, errors="ignore").strip()


# --- replies ----------------------------------------------------------------------------------------------------


def read_json(model: type[M], reply: Reply) -> M | None:
    """The reply as the model has it; None for anything else, EUC-KR and HTML included."""
    try:
        text = whole_characters(json.dumps(json.loads(reply.body), ensure_ascii=False))
        return model.model_validate_json(text)
    except (ValueError, RecursionError):  # ValidationError and UnicodeDecodeError are ValueErrors
        return None


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValueError:
        return None


Shown = Annotated[T | None, WrapValidator(_or_none)]
"""A field that is shown and decides nothing: unreadable, it is left out, and turns no approval into a riddle."""


def shown(text: str | None) -> str | None:
    """A gateway's short text, fit to be kept: should a number not come masked, it is struck out."""
    return quote_text(text, 60) if text else None


# --- codes ------------------------------------------------------------------------------------------------------


def table(*rows: tuple[R, str]) -> Mapping[str, R]:
    """Code -> reason, from rows such as (R.EXPIRED_CARD, "3021 P031-P034")."""
    return MappingProxyType({code: reason for reason, listing in rows for code in codes(listing)})


def codes(listing: str) -> frozenset[str]:
    """All codes of a list such as: U101-U104 U304 VTIM."""
    found = set()
    for item in listing.split():
        first, dash, last = item.partition("-")
        if not dash:
            found.add(first)
            continue
        digits = re.search(r"\d+$", first)
        assert digits
        prefix, width = first[: digits.start()], len(digits[0])
        end = int(last.removeprefix(prefix))
        found |= {f"{prefix}{number:0{width}}" for number in range(int(digits[0]), end + 1)}
    return frozenset(found)
