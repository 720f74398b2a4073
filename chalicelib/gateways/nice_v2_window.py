"""What NICE Payments' window is opened with, and what the browser brings back from it.

Source: NICE's public manual, api/payment-window-server and -client. What is our reading: docs/gateways/nice_v2.md.

A client id is of one of two kinds, and does not show of which. Of the server kind, the window only authenticates: the
return is signed over token, client id and amount, and money moves when the server approves. Neither the order id nor
NICE's number (tid) is signed, so that the number belongs to our order is known from the approval alone. Of the client
kind, NICE has taken the money before it sends the browser back. Such a return is believed as little as its fields: the
approval then asks NICE what it has.
"""

import hmac
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from chalicelib.domain.charging import Declined, PaymentRequest
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, WindowOrder, WindowTerms
from chalicelib.gateways.nice_v2 import CARD_CODES, DECLINES, add_buyer, digest, goods_name
from chalicelib.gateways.wire import cut, plain_text, quote_text, seoul

METHODS = MappingProxyType(
    {PayMethod.CARD: "card", PayMethod.TRANS: "bank", PayMethod.VBANK: "vbank", PayMethod.PHONE: "cellphone"}
)
LANGUAGES = MappingProxyType({"ko": "KO", "en": "EN", "zh": "CN"})
ISSUERS = MappingProxyType({code: ours for ours, code in CARD_CODES.items()})

INSTALMENTS_FROM = 50_000
"""Won. Below it the window refuses any word about instalments (P037)."""

PASSED_ON = frozenset({
    "cardShowOpt", "directReceiptNo", "directReceiptType", "disableEdgeChk", "disableScroll", "logoImgUrl",
    "mallReserved", "mallUserId", "quotaInterest", "shopInterest", "skinType", "zIdxHigher",
})  # fmt: skip
"""Of a page's `bypass`: what the manual offers besides, and what changes neither order nor amount nor addresses."""

TID = r"[A-Za-z0-9]{20,30}"
"""It becomes part of a path, and is not signed in a return of the server kind."""


# --- opening ------------------------------------------------------------------------------------------------------


def parameters(order: WindowOrder, client_id: str) -> dict[str, Any]:
    request, terms = order.request, order.terms
    params: dict[str, Any] = {
        **_passed_on(request.bypass),
        "clientId": client_id,
        "method": METHODS[terms.pay_method],
        "orderId": order.order_id,
        "amount": request.amount.amount,
        "goodsName": goods_name(request.name),
        "returnUrl": order.return_url,
        "language": LANGUAGES.get(terms.language, "EN"),
    }
    add_buyer(params, request.buyer)
    if "buyerTel" in params:  # here it is digits only
        params["buyerTel"] = re.sub(r"\D", "", params["buyerTel"])
    if request.tax_free:
        params["taxFreeAmt"] = request.tax_free
    if terms.customer_id and len(terms.customer_id.encode()) <= 20:
        params["mallUserId"] = plain_text(terms.customer_id)
    if terms.app_scheme:
        params["appScheme"] = terms.app_scheme if "://" in terms.app_scheme else f"{terms.app_scheme}://"
    return params | _of_method(request, terms)


def _of_method(request: PaymentRequest, terms: WindowTerms) -> dict[str, Any]:
    match terms.pay_method:
        case PayMethod.CARD:
            return _of_card(request, terms)
        case PayMethod.VBANK:
            holder = {"vbankHolder": cut(request.buyer.name, 40) or "구매자"}  # NICE insists on one
            due = {"vbankExpDate": seoul(terms.account_due, "%Y-%m-%dT%H:%M")} if terms.account_due else {}
            return holder | due
        case PayMethod.PHONE:
            return {"isDigital": bool(terms.digital)}
        case _:
            return {}


def _of_card(request: PaymentRequest, terms: WindowTerms) -> dict[str, Any]:
    """Months are two digits, 00 is a lump sum. An issuer's own window is opened with one choice of them, never none."""
    quotas = (request.quota,) if request.quota > 1 or terms.quotas is None else (0, *terms.quotas)
    months = ",".join(dict.fromkeys(f"{quota if quota > 1 else 0:02d}" for quota in quotas))
    if issuer := ISSUERS.get(terms.card_code or ""):
        return {"method": "directCard", "cardCode": issuer, "cardQuota": months.split(",")[0]}
    told = request.quota > 1 or terms.quotas is not None
    return {"cardQuota": months} if told and request.amount.amount >= INSTALMENTS_FROM else {}


def _passed_on(bypass: str | None) -> dict[str, str | int | bool]:
    try:
        given = json.loads(bypass or "{}")["nice_v2"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = given.items() if isinstance(given, dict) else ()
    return {name: value for name, value in found if name in PASSED_ON and isinstance(value, str | int)}


# --- coming back --------------------------------------------------------------------------------------------------


def read_return(order: WindowOrder, fields: Mapping[str, str], client_id: str, secret_key: str) -> ReturnResult:
    if fields.get("orderId", order.order_id) != order.order_id:
        raise _forged("orderId", "다른 주문의 응답입니다. (of another order)")
    if "authResultCode" in fields:
        return _of_server_kind(order, fields, client_id, secret_key)
    if "resultCode" in fields:
        return _of_client_kind(order, fields, client_id, secret_key)
    raise _forged("authResultCode", "결제창의 응답이 아닙니다. (no answer of the window)")


def _of_server_kind(order: WindowOrder, fields: Mapping[str, str], client_id: str, secret_key: str) -> ReturnResult:
    """Nothing was approved: whatever is not a yes is a no."""
    if fields["authResultCode"] != "0000":
        return _refused(fields["authResultCode"], fields.get("authResultMsg", ""))
    amount = str(order.request.amount.amount)
    _check(fields, "orderId", order.order_id)
    _check(fields, "clientId", client_id)
    _check(fields, "amount", amount)
    _check(fields, "signature", digest(fields.get("authToken", ""), client_id, amount, secret_key))
    tid = _tid(fields)
    return Authenticated(proof={"tid": tid}, kept={"tid": tid})


def _of_client_kind(order: WindowOrder, fields: Mapping[str, str], client_id: str, secret_key: str) -> ReturnResult:
    """The money has moved, or perhaps has: a wrong amount is for the approval to find, which asks NICE."""
    code = fields["resultCode"]
    if code != "0000":
        return _refused(code, fields.get("resultMsg", "")) if code in DECLINES else Authenticated({"taken": "perhaps"})
    _check(fields, "orderId", order.order_id)
    _check(fields, "clientId", client_id)
    tid = _tid(fields)
    _check(fields, "signature", digest(tid, fields.get("amount", ""), fields.get("ediDate", ""), secret_key))
    return Authenticated(proof={"taken": "yes"}, kept={"tid": tid})


def _refused(code: str, message: str) -> Declined:
    code = quote_text(code, 60)
    return Declined(DECLINES.get(code, R.NOT_CHARGED), code, quote_text(message or code))


def _check(fields: Mapping[str, str], name: str, expected: str) -> None:
    given = fields.get(name, "")
    if not hmac.compare_digest((given.lower() if name == "signature" else given).encode(), expected.encode()):
        raise _forged(name, "결제 요청과 일치하지 않습니다. (does not match what was asked for)")


def _tid(fields: Mapping[str, str]) -> str:
    tid = fields.get("tid", "")
    if not re.fullmatch(TID, tid):
        raise _forged("tid", "거래번호가 올바르지 않습니다. (no number of a transaction)")
    return tid


def _forged(name: str, text: str) -> InvalidRequest:
    return InvalidRequest(name, f"{name}: {text}")
