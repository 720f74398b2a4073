"""What the Korean words of a refusal mean, where a gateway's code does not tell: reasons, and doubt."""

import re

from chalicelib.domain.declines import DeclineReason as R

ISSUER_WORDS = (
    ("분실", R.LOST_OR_STOLEN),
    ("도난", R.LOST_OR_STOLEN),
    ("사고", R.LOST_OR_STOLEN),
    ("잔액", R.INSUFFICIENT_FUNDS),
    ("유효기간", R.EXPIRED_CARD),
    ("비밀번호", R.CARD_CHECK_FAILED),
    ("생년월일", R.CARD_CHECK_FAILED),
    ("주민번호", R.CARD_CHECK_FAILED),
    ("주민등록번호", R.CARD_CHECK_FAILED),
    ("카드번호", R.INVALID_CARD_NUMBER),
    ("정지", R.CARD_BLOCKED),
    # Last, as the one that another gateway may try: a text with two reasons means the harder one.
    ("한도", R.LIMIT_EXCEEDED),
)
"""Korean gateways pass on an issuer's refusal under one code, and only its text tells more."""


def issuer_reason(message: str) -> R:
    """The reason in an issuer's words; without a known one, that it declined."""
    return next((reason for word, reason in ISSUER_WORDS if word in message), R.ISSUER_DECLINED)


UNSURE_WORDS = (
    "시간",
    "지연",
    "타임아웃",
    "타임 아웃",
    "timeout",
    "time out",
    "통신",
    "접속",
    "연결",
    "네트워크",
    "network",
    "서버",
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
    "성공",
    "완료",
    "정상처리",
    "정상 처리",
    "정상승인",
    "정상 승인",
    "정상적으로",
)
"""Time-outs, duplicates, trouble behind the gateway, a yes under a code that nobody knows (it may name the balance that
is left): something may have happened, whatever else the text says. In lower case."""

IN_DOUBT = re.compile(r"결과|여부|(확인|조회) ?불가|(망|망상|자동) ?취소|승인 ?후")
"""Talk about an outcome, or of what comes after an approval."""

BAD_KEY = re.compile(r"(않은|않는|없는|삭제된|미등록) ?빌링?키|빌링?키[가는]? ?(오류|없|존재하지|유효하지)")
"""No such billing key. That a key occurs in a text is not enough: every charge of one has to do with a key."""

BAD_NUMBER = re.compile(
    r"카드번호[가는은를을]?[ /:]*(오류|불일치|확인|없|유효하지|이상|잘못)|(않은|않는|없는|잘못된) ?카드번호"
)
"""No such card. A number alone says nothing either: it may only be quoted."""

BAD_QUOTA = re.compile(r"할부[가는]? ?((개월|기간|금액)수?[이가은는을를]? ?)?(불가|오류|초과|미달|제한|확인)")

BAD_MERCHANT = re.compile(
    r"(않은|않는|없는|미등록|미계약|해지된?|정지된?) ?(가맹점|상점)"
    r"|(가맹점|상점)(ID|아이디)?[은는이가]? ?(오류|없|미등록|정지|해지)"
    r"|위/?변조|검증값|인증값|서명값|서명 ?검증|복호화"
)
"""No such merchant, or none that signs so. "Ask the shop" (상점에 문의) is the end of many a text and says nothing."""

REFUSALS = (
    # No other gateway shall try these, whatever else is wrong.
    *((re.compile(word), reason) for word, reason in ISSUER_WORDS if reason is R.LOST_OR_STOLEN),
    # Before the issuers' other words: a merchant that is suspended (정지) is no blocked card.
    (BAD_MERCHANT, R.CHANNEL_REJECTED),
    (BAD_KEY, R.BILLING_KEY_INVALID),
    (BAD_QUOTA, R.INSTALLMENT_NOT_ALLOWED),
    (BAD_NUMBER, R.INVALID_CARD_NUMBER),
    *((re.compile(word), reason) for word, reason in ISSUER_WORDS if reason is not R.INVALID_CARD_NUMBER),
    (re.compile("거절"), R.ISSUER_DECLINED),
)


def is_unsure(message: str) -> bool:
    text = message.lower()
    return any(word in text for word in UNSURE_WORDS) or IN_DOUBT.search(text) is not None


def refusal_reason(message: str) -> R | None:
    """The reason that a refusal gives in words; None if it gives none, or leaves open whether money moved.

    For gateways that publish no codes: an answer is a no only as far as its text says so.
    """
    if is_unsure(message):
        return None
    return next((reason for pattern, reason in REFUSALS if pattern.search(message)), None)
