"""Toss Payments' window: what its script is asked for. Source: the types that Toss publishes of its SDK, version 2.

The part of `bypass` that is passed on is a list of what is harmless: it comes from the buyer's browser, and must name
neither amounts nor orders, addresses or receivers of money.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from chalicelib.domain.windows import PayMethod, WindowOrder
from chalicelib.gateways.tosspayments import CARD_CODES, add_customer, add_mobile, customer_key, due_date
from chalicelib.gateways.wire import plain_text

# Ours -> Toss's, with the name of the object that holds what is special about it.
METHODS: Mapping[PayMethod, tuple[str, str]] = MappingProxyType({
    PayMethod.CARD: ("CARD", "card"),
    PayMethod.TRANS: ("TRANSFER", "transfer"),
    PayMethod.VBANK: ("VIRTUAL_ACCOUNT", "virtualAccount"),
    PayMethod.PHONE: ("MOBILE_PHONE", "mobilePhone"),
})  # fmt: skip

BYPASSED: Mapping[PayMethod, frozenset[str]] = MappingProxyType({
    PayMethod.CARD: frozenset({"flowMode", "easyPay", "useInternationalCardOnly", "useAppCardOnly", "language"}),
    PayMethod.TRANS: frozenset({"cashReceipt"}),
    PayMethod.VBANK: frozenset({"cashReceipt", "showCustomerMobilePhone"}),
    PayMethod.PHONE: frozenset({"mobileCarriers"}),
})  # fmt: skip

ISSUERS = MappingProxyType({code: theirs for theirs, code in CARD_CODES.items()})

INSTALMENTS_FROM = 50_000
MOST_INSTALMENTS = 12


def page_params(order: WindowOrder, client_key: str) -> dict[str, Any]:
    """What web/tosspayments.js calls the script with. customerKey None: a buyer who is nobody in particular."""
    buyer, terms = order.request.buyer, order.terms
    method, own = METHODS[terms.pay_method]
    request: dict[str, Any] = {
        "method": method,
        "amount": {"currency": order.request.amount.currency, "value": order.request.amount.amount},
        "orderId": order.order_id,
        "orderName": plain_text(order.request.name)[:100] or "상품",
        "successUrl": order.return_url,
        "failUrl": order.return_url,
    }
    add_customer(request, buyer.name, buyer.email)
    add_mobile(request, buyer.tel)
    if order.request.tax_free:
        request["taxFreeAmount"] = order.request.tax_free
    if options := _options(order) | _bypassed(order):
        request[own] = options
    customer = customer_key(terms.customer_id) if terms.customer_id else None
    return {"clientKey": client_key, "customerKey": customer, "request": request}


def _options(order: WindowOrder) -> dict[str, Any]:
    match order.terms.pay_method:
        case PayMethod.CARD:
            return {"useEscrow": False, **_card_options(order)}
        case PayMethod.TRANS:
            return {"useEscrow": False}
        case PayMethod.VBANK:
            due = order.terms.account_due
            return {"useEscrow": False, **({"dueDate": due_date(due)} if due else {})}
        case _:
            return {}


def _card_options(order: WindowOrder) -> dict[str, Any]:
    request, terms = order.request, order.terms
    options: dict[str, Any] = {}
    issuer = ISSUERS.get(terms.card_code or "")
    if issuer:
        # The issuer's own window does not ask how many months: it is told.
        options |= {"flowMode": "DIRECT", "cardCompany": issuer, "cardInstallmentPlan": request.quota}
    elif terms.quotas is not None and request.amount.amount >= INSTALMENTS_FROM:
        options["maxCardInstallmentPlan"] = min(max(terms.quotas, default=0), MOST_INSTALMENTS)
    if request.use_card_point:
        options["useCardPoint"] = True
    if terms.app_scheme:
        options["appScheme"] = terms.app_scheme
    if terms.language != "ko":
        options["language"] = terms.language.upper()
    return options


def _bypassed(order: WindowOrder) -> dict[str, Any]:
    """bypass.tosspayments, as far as it is known to be harmless."""
    try:
        given = json.loads(order.request.bypass or "{}")
    except ValueError:
        return {}
    given = given.get("tosspayments") if isinstance(given, dict) else None
    if not isinstance(given, dict):
        return {}
    return {name: value for name, value in given.items() if name in BYPASSED[order.terms.pay_method]}
