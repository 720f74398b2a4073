"""PayPal's window: what an order says to the buyer, and what the browser brings back. No calls.

Documented: `payment_source.paypal.experience_context`, and the link that takes the buyer to PayPal (orders v2).
Seen in public code only: PayPal adds `token`, its number of the order, and `PayerID` to the address for a yes.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.windows import Authenticated, ReturnResult, Way, WindowOrder, WindowPage, left_by_buyer
from chalicelib.gateways.wire import cut

LOCALES: Mapping[str, str] = MappingProxyType({"ko": "ko-KR", "en": "en-US", "zh": "zh-CN", "ja": "ja-JP"})
BUTTONS: Mapping[str, str] = MappingProxyType({"ko": "PayPal로 결제하기"})


def order_body(order: WindowOrder, amount: Mapping[str, str]) -> dict[str, Any]:
    """What opens the order. The same to the byte each time: a repetition shall find the first one."""
    unit: dict[str, Any] = {"custom_id": order.order_id, "amount": amount}
    if name := cut(order.request.name, 127):
        unit["description"] = name
    if (shipping := _bypassed(order, "purchase_units", 0, "shipping")) and not order.terms.digital:
        unit["shipping"] = shipping
    experience = {
        "return_url": order.return_url,
        "cancel_url": f"{order.return_url}?cancelled=1",
        "user_action": "PAY_NOW",  # the amount does not change any more
        "shipping_preference": "NO_SHIPPING" if order.terms.digital else "GET_FROM_FILE",
        "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",  # no electronic checks, which take days
    }
    if locale := LOCALES.get(order.terms.language):
        experience["locale"] = locale
    wallet: dict[str, Any] = {"experience_context": experience}
    if address := _bypassed(order, "payer", "address"):
        wallet["address"] = address
    return {"intent": "CAPTURE", "purchase_units": [unit], "payment_source": {"paypal": wallet}}


def _bypassed(order: WindowOrder, *path: str | int) -> dict[str, Any] | None:
    """One object of V1's `bypass.paypal_v2`. The rest is for buttons, or would change what is paid, and to whom."""
    try:
        value = json.loads(order.request.bypass or "{}")
        for step in ("paypal_v2", *path):
            value = value[step]
    except (ValueError, LookupError, TypeError):
        return None
    return value if isinstance(value, dict) else None


def page(order: WindowOrder, paypal_id: str, approve_url: str | None) -> WindowPage:
    """approve_url None: there is nothing left for the buyer to do."""
    params = {
        "token": paypal_id,
        "approve_url": approve_url,
        "in_frame": order.terms.way is Way.FRAME,
        "button": BUTTONS.get(order.terms.language, "Pay with PayPal"),
    }
    return WindowPage(driver="paypal_v2", params=params)


def read_return(fields: Mapping[str, str]) -> ReturnResult:
    """Nothing here is signed, and nothing is believed but that somebody came back: `approve` asks PayPal."""
    if fields.get("cancelled"):
        return left_by_buyer("CANCELLED")
    token = fields.get("token", "")
    if not re.fullmatch(r"[0-9A-Z]{1,36}", token):
        raise InvalidRequest("token", "token: PayPal 주문 번호가 아닙니다. (not the number of a PayPal order)")
    return Authenticated({"order": token}, {"order": token})
