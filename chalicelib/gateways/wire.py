"""What adapters share in building requests and in reading replies: texts, times, JSON, codes, the issuers' words."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel

from chalicelib.domain.declines import DeclineReason as R
from chalicelib.gateways.http import Reply

KST = timezone(timedelta(hours=9), "KST")

M = TypeVar("M", bound=BaseModel)

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


ISSUER_WORDS = (
    ("분실", R.LOST_OR_STOLEN),
    ("도난", R.LOST_OR_STOLEN),
    ("잔액", R.INSUFFICIENT_FUNDS),
    ("한도", R.LIMIT_EXCEEDED),
    ("유효기간", R.EXPIRED_CARD),
    ("비밀번호", R.CARD_CHECK_FAILED),
    ("생년월일", R.CARD_CHECK_FAILED),
    ("주민번호", R.CARD_CHECK_FAILED),
    ("카드번호", R.INVALID_CARD_NUMBER),
    ("정지", R.CARD_BLOCKED),
)
"""Korean gateways pass on an issuer's refusal under one code, and only its text tells more."""


def issuer_reason(message: str) -> R:
    """The reason in an issuer's words; without a known one, that it declined."""
    return next((reason for word, reason in ISSUER_WORDS if word in message), R.ISSUER_DECLINED)


UNSURE_WORDS = (
    "시간",
    "지연",
    "타임아웃",
    "통신",
    "응답",
    "장애",
    "중복",
    "이미",
    "처리중",
    "처리 중",
    "진행중",
    "진행 중",
    "기취소",
    "기승인",
    "시스템",
    "전산",
    "재시도",
)
"""Time-outs, duplicates, trouble behind the gateway: something may have happened, whatever else the text says."""

BAD_KEY = re.compile(r"(않은|않는|없는|삭제된|미등록) ?빌링?키|빌링?키[가는]? ?(오류|없|존재하지|유효하지)")
"""No such billing key. That a key occurs in a text is not enough: every charge of one has to do with a key."""

BAD_MERCHANT = re.compile(
    r"(않은|않는|없는|미등록|미계약|해지된?|정지된?) ?(가맹점|상점)"
    r"|(가맹점|상점)(ID|아이디)?[은는이가]? ?(오류|없|미등록|정지|해지)"
    r"|위/?변조|검증값|인증값|서명값|서명 ?검증|복호화"
)
"""No such merchant, or none that signs so. "Ask the shop" (상점에 문의) is the end of many a text and says nothing."""

REFUSALS = (
    # Before the issuers' words: a merchant that is suspended (정지) is no blocked card.
    (BAD_MERCHANT, R.CHANNEL_REJECTED),
    (BAD_KEY, R.BILLING_KEY_INVALID),
    (re.compile(r"할부 ?(불가|개월|기간|금액|오류)"), R.INSTALLMENT_NOT_ALLOWED),
    *((re.compile(word), reason) for word, reason in ISSUER_WORDS),
    (re.compile("거절"), R.ISSUER_DECLINED),
)


def is_unsure(message: str) -> bool:
    return any(word in message for word in UNSURE_WORDS)


def refusal_reason(message: str) -> R | None:
    """The reason that a refusal gives in words; None if it gives none, or leaves open whether money moved.

    For gateways that publish no codes: an answer is a no only as far as its text says so.
    """
    if is_unsure(message):
        return None
    return next((reason for pattern, reason in REFUSALS if pattern.search(message)), None)
