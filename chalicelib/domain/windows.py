"""The payment window (결제창): what a web page asks for, what a gateway's window needs, what the browser brings back.

A window moves no money. The gateway authenticates the buyer in it, the browser brings us the proof, and our server asks
the gateway for the approval. Until then a payment is only opened, and giving it up costs nobody anything.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from chalicelib.domain.charging import Declined, PaymentRequest
from chalicelib.domain.declines import DeclineReason

BUYER_LEFT = "사용자가 결제를 취소하셨습니다"
"""What pages compare the text of a failure with [seen in public code], whichever gateway it was."""


class PayMethod(StrEnum):
    """V1's words."""

    CARD = "card"
    TRANS = "trans"
    """Bank transfer in real time (계좌이체)."""
    VBANK = "vbank"
    """Virtual account (가상계좌)."""
    PHONE = "phone"
    """On the phone bill (휴대폰 소액결제)."""
    PAYPAL = "paypal"


class Way(StrEnum):
    """How the window is shown, and with it how the result gets back to the page."""

    FRAME = "frame"
    POPUP = "popup"
    REDIRECT = "redirect"


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """What a page wants of the window, beside the payment itself. Kept with the payment.

    page_origin: the page that asked, and the only one that is told the result. return_to: where a redirected browser
    goes in the end (V1 `m_redirect_url`). account_due: until when to pay into a virtual account. quotas: instalments to
    offer, in months (V1 `display.card_quota`). card_code: the clearing house's, to open one issuer's window directly.
    digital: nothing is shipped. secret_digest: SHA-256 of what the window's address has secret.
    """

    pay_method: PayMethod
    way: Way
    page_origin: str
    secret_digest: str
    return_to: str | None = None
    is_mobile: bool = False
    language: str = "ko"
    account_due: datetime | None = None
    quotas: tuple[int, ...] | None = None
    card_code: str | None = None
    digital: bool | None = None
    customer_id: str | None = None
    app_scheme: str | None = None
    confirm_url: str | None = None


@dataclass(frozen=True, slots=True)
class WindowOrder:
    """One try at a gateway's window. return_url: where the gateway sends the browser, by GET or with a form."""

    order_id: str
    request: PaymentRequest
    terms: WindowTerms
    return_url: str


@dataclass(frozen=True, slots=True)
class WindowPage:
    """What our page needs to open a gateway's window.

    driver: which script of ours knows how (web/window/<driver>.js). params: what it gets, as JSON; nothing secret.
    script: the gateway's own, None = it has none. hosts: sources for the page's Content-Security-Policy, of all that
    the gateway loads, frames or posts to.
    """

    driver: str
    params: Mapping[str, Any]
    script: str | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The buyer has agreed to pay this order, says the gateway.

    proof: what the approval needs; used once and stored nowhere. kept: what questions about it, or undoing it, need
    later; stored sealed.
    """

    proof: Mapping[str, str] = field(repr=False)
    kept: Mapping[str, str] = field(default_factory=dict, repr=False)


ReturnResult = Authenticated | Declined


NEVER_FINISHED = Declined(
    DeclineReason.NOT_CHARGED, "EXPIRED", "결제창의 유효시간이 지났습니다. (the window was not finished in time)"
)
REPLACED = Declined(
    DeclineReason.NOT_CHARGED,
    "REPLACED",
    "같은 주문의 다른 결제가 시작되었습니다. (another payment of this order began)",
)


def left_by_buyer(code: str, message: str = BUYER_LEFT) -> Declined:
    """The buyer closed the window, or pressed cancel in it. code, message: the gateway's own."""
    return Declined(DeclineReason.BUYER_CANCELLED, code, message)


# --- pages --------------------------------------------------------------------------------------------------------

ORIGIN = re.compile(
    r"(?!(?:javascript|vbscript|data|blob|file|about):)[a-z][a-z0-9+.-]{1,30}://[a-z0-9.-]{1,253}(:[0-9]{1,5})?"
)
"""As browsers name one: in lower case, without a path; of an app's web view perhaps with a scheme of its own.

Not one that browsers run, or read from memory: a buyer is sent there.
"""


def is_loopback(origin: str) -> bool:
    return re.fullmatch(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", origin) is not None


def origin_of(url: str) -> str:
    """Of an address, as browsers name it; "" for what has none, or names somebody before the host."""
    if re.search(r"[\x00-\x20\x7f\\]", url):
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if "@" in parts.netloc or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + ("" if port in (None, usual) else f":{port}")
