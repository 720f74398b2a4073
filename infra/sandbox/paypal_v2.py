"""PayPal REST: tokens, orders by card, by vaulted card and by wallet, captures, refunds, the vault; the buyer's page.

Source: PayPal's public OpenAPI documents. Our own reading, since they are silent: that an order opened without a
payment source is CREATED and can be read for good; that a request id belongs to one path; that bodies are not compared;
what a charge of a deleted token, and the second deletion of one, is answered. Refusals are not kept under their request
id, but those that a fault has asked for are, since a client repeats what it is answered with 401.

Of the buyer's page: that it adds `token` and `PayerID` to the shop's address is seen in public code; that a buyer who
cannot pay can only leave, and that a wallet without funds is answered INSTRUMENT_DECLINED, is our reading.

Orders are opened without a payment source and captured with a card, or opened for a wallet and captured with nothing:
the other ways are not built.
Books: amounts in ISO 4217's minor units; on the wire HUF and TWD have no decimals.
"""

import base64
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlencode

from infra.sandbox.server import (
    EXPIRED,
    NO_FUNDS,
    STOLEN,
    Answer,
    Cancel,
    Charge,
    Key,
    Refusal,
    Request,
    Sandbox,
    card_outcome,
    json_answer,
    masked,
    new_id,
)
from infra.sandbox.windows import Action, Go, Visit, Windows

TEST_CREDENTIALS = {
    "client_id": "AVsandbox0000000000000000000000000000000000000000000000000000000000000000000001",
    "client_secret": "EKsandbox1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c",
    "merchant_id": "SANDBXMERCH22",
}
OTHER_CREDENTIALS = {
    "client_id": "AVsandbox0000000000000000000000000000000000000000000000000000000000000000000002",
    "client_secret": "EKsandbox9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d",
}
"""A second merchant: sees nothing of the first."""

ACCOUNTS = {given["client_id"]: given["client_secret"] for given in (TEST_CREDENTIALS, OTHER_CREDENTIALS)}
MERCHANT_IDS = {TEST_CREDENTIALS["client_id"]: "SANDBXMERCH22", OTHER_CREDENTIALS["client_id"]: "SANDBXMERCH33"}

TOKEN_SECONDS = 32_400
APPROVAL_SECONDS = 3 * 3600
"""How long a buyer has for an order."""
KEPT_SECONDS = {"orders": 6 * 3600, "payments": 45 * 86_400, "vault": 3 * 3600}

CURRENCIES = frozenset(
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS INR JPY MXN MYR NOK NZD PHP PLN SEK SGD THB TWD USD".split()  # noqa: SIM905
)
WHOLE = frozenset({"HUF", "JPY", "TWD"})

WILL_ANSWER = {STOLEN: "9520", NO_FUNDS: "5120", EXPIRED: "5400"}

WALLET_WILL_ANSWER = {NO_FUNDS: "INSTRUMENT_DECLINED"}

PENDING = "PENDING"
"""As the code of a fault: the capture is held for a review, until `review` ends it."""

EXPERIENCE = {
    "user_action": "CONTINUE|PAY_NOW",
    "shipping_preference": "GET_FROM_FILE|NO_SHIPPING|SET_PROVIDED_ADDRESS",
    "payment_method_preference": "UNRESTRICTED|IMMEDIATE_PAYMENT_REQUIRED",
    "locale": r"[a-z]{2}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?",
}

NAMES = {
    400: "INVALID_REQUEST",
    401: "AUTHENTICATION_FAILURE",
    403: "NOT_AUTHORIZED",
    404: "RESOURCE_NOT_FOUND",
    409: "RESOURCE_CONFLICT",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE_ENTITY",
    429: "RATE_LIMIT_REACHED",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
ISSUES = {
    400: "MISSING_REQUIRED_PARAMETER INVALID_PARAMETER_SYNTAX INVALID_PARAMETER_VALUE INVALID_STRING_LENGTH"
    " MALFORMED_REQUEST_JSON PAYPAL_REQUEST_ID_REQUIRED NOT_SUPPORTED unsupported_grant_type",
    401: "INVALID_ACCOUNT_STATUS invalid_client invalid_token",
    403: "PERMISSION_DENIED",
    404: "INVALID_RESOURCE_ID",
    409: "PREVIOUS_REQUEST_IN_PROGRESS",
    500: "INTERNAL_SERVICE_ERROR",
}
STATUSES = {name: status for status, name in NAMES.items()}
STATUSES |= {issue: status for status, issues in ISSUES.items() for issue in issues.split()}


class Bad(Refusal):
    """A field that is missing or wrong, by its JSON pointer."""

    def __init__(self, field: str, issue: str = "INVALID_PARAMETER_SYNTAX") -> None:
        super().__init__(issue)
        self.field = field


class Simulator(Windows):
    provider: ClassVar[str] = "paypal_v2"
    label: ClassVar[str] = "PayPal"
    forms: ClassVar = {"/checkoutnow": "utf-8"}
    routes: ClassVar = (
        ("POST", r"/v1/oauth2/token", "token", "token"),
        ("POST", r"/v2/checkout/orders", "order", "open_order"),
        ("GET", r"/v2/checkout/orders/([A-Z0-9]{1,36})", "find", "read_order"),
        ("POST", r"/v2/checkout/orders/([A-Z0-9]{1,36})/capture", "charge", "capture"),
        ("GET", r"/v2/payments/captures/([^/]+)", "find", "read_capture"),
        ("POST", r"/v2/payments/captures/([^/]+)/refund", "cancel", "refund"),
        ("POST", r"/v3/vault/payment-tokens", "issue", "vault"),
        ("DELETE", r"/v3/vault/payment-tokens/([0-9a-zA-Z_-]+)", "delete", "delete_token"),
    )

    def authenticate(self, request: Request) -> str:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if request.path == "/v1/oauth2/token":
            client_id, _, secret = base64.b64decode(value).decode().partition(":")
            if kind != "Basic" or not secret or ACCOUNTS.get(client_id) != secret:
                raise Refusal("invalid_client")
            return client_id
        token = self.books.answers.get(f"token {value}")
        if kind != "Bearer" or token is None or token["until"] <= self.clock.now():
            raise Refusal("AUTHENTICATION_FAILURE")
        return str(token["account"])

    def refuse(self, refusal: Refusal) -> Answer:
        code = refusal.code
        status = STATUSES.get(code, 422)
        if code.islower():
            return json_answer(status, {"error": code, "error_description": "Client Authentication failed"})
        error: dict[str, Any] = {
            "name": NAMES[status],
            "message": f"{NAMES[status]}.",
            "debug_id": new_id("", 13),
            "links": [],
        }
        if code not in NAMES.values():
            detail = {"issue": code, "description": f"About {code}."}
            if isinstance(refusal, Bad):
                detail |= {"field": refusal.field, "location": "body"}
            error["details"] = [detail]
        return json_answer(status, error)

    def usual_refusal(self, operation: str) -> str:
        return {
            "token": "invalid_client",
            "order": "INVALID_CURRENCY_CODE",
            "charge": "0500",
            "find": "INVALID_RESOURCE_ID",
            "cancel": "REFUND_NOT_ALLOWED",
            "issue": "CARD_EXPIRED",
            "delete": "PERMISSION_DENIED",
        }[operation]

    # tokens

    def token(self, account: str, request: Request) -> Answer:
        form = request.form()
        if not form or form.get("grant_type") != "client_credentials":
            raise Refusal("unsupported_grant_type")
        token = new_id("A21AA", 97)
        self.books.answers[f"token {token}"] = {"account": account, "until": self.clock.now() + TOKEN_SECONDS}
        return json_answer(200, {
            "scope": "https://uri.paypal.com/services/payments/payment",
            "access_token": token,
            "token_type": "Bearer",
            "app_id": "APP-80W284485P519543T",
            "expires_in": TOKEN_SECONDS,
            "nonce": "2026-01-01T00:00:00Z",
        })  # fmt: skip

    # orders

    def open_order(self, account: str, request: Request) -> Answer:
        body = _body(request)
        slot = self._slot(account, request, "orders")
        if slot in self.books.answers:
            return self._order_answer(account, request, self.books.answers[slot]["ref"], 200)
        units = body.get("purchase_units")
        if body.get("intent") != "CAPTURE":
            raise Bad("/intent", "INVALID_PARAMETER_VALUE")
        wallet = _wallet(body)
        if not isinstance(units, list) or len(units) != 1 or not isinstance(units[0], dict):
            raise Bad("/purchase_units", "MISSING_REQUIRED_PARAMETER")
        custom_id = units[0].get("custom_id", "")
        if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= 127:
            raise Bad("/purchase_units/@reference_id=='default'/custom_id", "INVALID_STRING_LENGTH")
        name = units[0].get("description", "")
        if not isinstance(name, str) or len(name) > 127:
            raise Bad("/purchase_units/@reference_id=='default'/description", "INVALID_STRING_LENGTH")
        amount, currency = _minor_units(units[0].get("amount"))
        if not amount:
            raise Refusal("CANNOT_BE_ZERO_OR_NEGATIVE")
        number = new_id("", 17).upper()
        order = {
            "custom_id": custom_id,
            "name": name,
            "payee": MERCHANT_IDS[account],
            "wallet": wallet,
            "approved": False,
            "will": None,
            "amount": amount,
            "currency": currency,
            "at": self.clock.now(),
            "capture": None,
        }
        self.books.answers[f"order {account} {number}"] = order
        self._keep(slot, number)
        return self._order_answer(account, request, number, 201)

    def read_order(self, account: str, request: Request, number: str) -> Answer:
        return self._order_answer(account, request, number, 200, full=True)

    def capture(self, account: str, request: Request, number: str) -> Answer:
        order = self._order(account, number)
        body = _body(request)
        slot = self._slot(account, request, "orders", required=True)
        kept = self.books.answers.get(slot)
        if kept:
            if kept["ref"].startswith("refused "):
                raise Refusal(kept["ref"].removeprefix("refused "))
            return self._order_answer(account, request, number, 200)
        if order["capture"]:
            raise Refusal("ORDER_ALREADY_CAPTURED")
        card, will = ("", order["will"]) if order["approved"] else self._source(account, body)
        answers = WALLET_WILL_ANSWER if order["approved"] else WILL_ANSWER
        code = request.forced or answers.get(will or "")
        is_answer = code is None or code == PENDING or re.fullmatch(r"[0-9P][0-9A-Z]{3}", code)
        capture = Charge(
            account=account,
            order_id=order["custom_id"],
            pg_tid=new_id("", 17).upper(),
            amount=order["amount"] + request.surplus,
            currency=order["currency"],
            time=self.clock.now(),
            card=card,
            declined_by=None if code == PENDING else code,
            unpaid="pending" if code == PENDING else None,
            details={"order": number},
        )
        self.books.add(capture)
        if not is_answer:
            self._keep(slot, f"refused {code}")
            raise Refusal(str(code))
        order["capture"] = capture.pg_tid
        self._keep(slot, number)
        return self._order_answer(account, request, number, 201)

    def _source(self, account: str, body: dict[str, Any]) -> tuple[str, str | None]:
        """The card, masked, and what it will answer."""
        source = body.get("payment_source")
        if not isinstance(source, dict) or not source:
            raise Refusal("ORDER_NOT_APPROVED")
        if set(source) != {"card"} or not isinstance(source["card"], dict):
            raise Bad("/payment_source", "NOT_SUPPORTED")
        card = source["card"]
        if "vault_id" not in card:
            number = self._card(card)
            return masked(number), card_outcome(number)
        stored = card.get("stored_credential")
        if not isinstance(stored, dict) or {"payment_initiator", "payment_type"} - set(stored):
            raise Refusal("REQUIRED_PARAMETER_FOR_CUSTOMER_INITIATED_PAYMENT")
        if stored["payment_initiator"] == "MERCHANT":
            if "security_code" in card:
                raise Refusal("MERCHANT_INITIATED_WITH_SECURITY_CODE")
            if stored["payment_type"] == "ONE_TIME" or stored.get("usage") == "FIRST":
                raise Refusal("INCOMPATIBLE_PARAMETER_VALUE")
        key = self.books.keys.get(card["vault_id"])
        if key is None or key.account != account or key.deleted:
            raise Refusal("TOKEN_ID_NOT_FOUND")
        return key.card, key.will

    def _card(self, card: dict[str, Any]) -> str:
        number, expiry, code = (card.get(name) for name in ("number", "expiry", "security_code"))
        if not number or not expiry:
            raise Refusal("CARD_EXPIRY_REQUIRED" if number else "CARD_NUMBER_REQUIRED")
        if not re.fullmatch(r"[0-9]{13,19}", str(number)):
            raise Bad("/payment_source/card/number")
        if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", str(expiry)):
            raise Bad("/payment_source/card/expiry")
        if code is not None and not re.fullmatch(r"[0-9]{3,4}", str(code)):
            raise Bad("/payment_source/card/security_code")
        if str(expiry) < _iso(self.clock.now())[:7]:
            raise Refusal("CARD_EXPIRED")
        return str(number)

    # the buyer's page

    def arrive(self, params: dict[str, Any]) -> Visit:
        """Whoever has the order's number gets to see it, as at the real one."""
        token = params.get("token", "")
        held = {account: self.books.answers.get(f"order {account} {token}") for account in ACCOUNTS}
        account, order = next(((account, order) for account, order in held.items() if order), ("", {}))
        if not order.get("wallet") or order["approved"] or order["capture"]:
            raise Refusal("INVALID_RESOURCE_ID", "Things don't appear to be working at the moment.")
        if order["at"] + APPROVAL_SECONDS <= self.clock.now():
            raise Refusal("ORDER_EXPIRED", "Things don't appear to be working at the moment.")
        return Visit(
            account, order["custom_id"], order["amount"], order["currency"], "paypal", order["name"], {"token": token}
        )

    def leave(self, visit: Visit, action: Action) -> Go:
        token = visit.details["token"]
        order = self._order(visit.account, token)
        if action != "approve":
            return Go(_with(order["wallet"]["cancel_url"], token=token))
        order |= {"approved": True, "will": visit.details.get("will")}
        return Go(_with(order["wallet"]["return_url"], token=token, PayerID=new_id("", 13).upper()))

    # captures and refunds

    def read_capture(self, account: str, _: Request, capture_id: str) -> Answer:
        charge = self._charge(account, capture_id)
        related = {"related_ids": {"order_id": charge.details["order"]}}
        return json_answer(200, {**self._capture_object(charge), "supplementary_data": related})

    def refund(self, account: str, request: Request, capture_id: str) -> Answer:
        charge = self._charge(account, capture_id)
        body = _body(request)
        slot = self._slot(account, request, "payments")
        if slot in self.books.answers:
            return self._refund_answer(request, charge, self.books.answers[slot]["ref"], 200)
        for name, limit in (("note_to_payer", 255), ("custom_id", 127)):
            if name in body and not re.fullmatch(rf"[^\x00-\x1f\ud800-\udfff]{{1,{limit}}}", str(body[name])):
                raise Bad(f"/{name}", "INVALID_STRING_LENGTH")
        if charge.unpaid:
            raise Refusal("PENDING_CAPTURE")
        if charge.declined_by:
            raise Refusal("REFUND_NOT_ALLOWED")
        if not charge.balance:
            raise Refusal("CAPTURE_FULLY_REFUNDED")
        amount, currency = _minor_units(body["amount"]) if "amount" in body else (charge.balance, charge.currency)
        if currency != charge.currency:
            raise Refusal("REFUND_CAPTURE_CURRENCY_MISMATCH")
        if not amount:
            raise Refusal("CANNOT_BE_ZERO_OR_NEGATIVE")
        if amount > charge.balance:
            raise Refusal("REFUND_AMOUNT_EXCEEDED")
        number = new_id("", 17).upper()
        reason = body.get("note_to_payer", "")
        charge.cancels.append(Cancel(body.get("custom_id", ""), number, amount, self.clock.now(), reason))
        self._keep(slot, number)
        return self._refund_answer(request, charge, number, 201)

    # the vault

    def vault(self, account: str, request: Request) -> Answer:
        body = _body(request)
        slot = self._slot(account, request, "vault", required=True)
        if slot in self.books.answers:
            return json_answer(200, self._token_object(self.books.answers[slot]["ref"]))
        source = body.get("payment_source")
        if not isinstance(source, dict) or set(source) != {"card"}:
            raise Bad("/payment_source", "MISSING_REQUIRED_PARAMETER")
        number = self._card(source["card"])
        if card_outcome(number) == EXPIRED:
            raise Refusal("CARD_EXPIRED")
        key = Key(account, new_id("", 17), masked(number), card_outcome(number))
        key.details = {"expiry": source["card"]["expiry"], "customer": new_id("", 10)}
        self.books.keys[key.key] = key
        self._keep(slot, key.key)
        return json_answer(201, self._token_object(key.key))

    def delete_token(self, account: str, _: Request, token: str) -> Answer:
        key = self.books.keys.get(token)
        if key is None or key.account != account or key.deleted:
            raise Refusal("RESOURCE_NOT_FOUND")
        key.deleted = True
        return Answer(204, b"")

    # request ids

    def _slot(self, account: str, request: Request, api: str, *, required: bool = False) -> str:
        """Where the outcome of this request is kept. What was kept too long ago is forgotten here."""
        name = request.headers.get("paypal-request-id", "")
        if not name:
            if required:
                raise Refusal("PAYPAL_REQUEST_ID_REQUIRED")
            return f"request {new_id('', 30)}"
        if len(name) > 108:
            raise Refusal("INVALID_STRING_LENGTH")
        slot = f"request {account} {api} {name}"
        kept = self.books.answers.get(slot)
        if kept and kept["at"] + KEPT_SECONDS[api] <= self.clock.now():
            del self.books.answers[slot]
        owner = f"path {slot}"
        if slot in self.books.answers and self.books.answers[owner]["path"] != request.path:
            raise Refusal("DUPLICATE_REQUEST_ID")
        self.books.answers[owner] = {"path": request.path}
        return slot

    def _keep(self, slot: str, ref: str) -> None:
        self.books.answers[slot] = {"at": self.clock.now(), "ref": ref}

    # answers

    def _order(self, account: str, number: str) -> dict[str, Any]:
        order = self.books.answers.get(f"order {account} {number}")
        if order is None:
            raise Refusal("INVALID_RESOURCE_ID")
        return order

    def _charge(self, account: str, capture_id: str) -> Charge:
        charge = self.books.by_tid(account, capture_id)
        if charge is None:
            raise Refusal("INVALID_RESOURCE_ID")
        return charge

    def _order_answer(self, account: str, request: Request, number: str, status: int, *, full: bool = False) -> Answer:
        order = self._order(account, number)
        charge = self.books.by_tid(account, order["capture"]) if order["capture"] else None
        waiting = "PAYER_ACTION_REQUIRED" if order["wallet"] else "CREATED"
        state = "COMPLETED" if charge else "APPROVED" if order["approved"] else waiting
        links = [{"href": f"/v2/checkout/orders/{number}", "rel": "self", "method": "GET"}]
        if state == "PAYER_ACTION_REQUIRED":
            url = f"http://{request.headers['host']}/checkoutnow?token={number}"
            links.append({"href": url, "rel": "payer-action", "method": "GET"})
        answer: dict[str, Any] = {"id": number, "status": state, "links": links}
        if full or request.headers.get("prefer") == "return=representation":
            unit: dict[str, Any] = {
                "reference_id": "default",
                "custom_id": order["custom_id"],
                "amount": _amount_object(order["amount"], order["currency"]),
                "payee": {"merchant_id": order["payee"]},
            }
            if order["approved"]:
                answer["payment_source"] = {"paypal": {"account_status": "VERIFIED"}}
            if charge:
                unit["payments"] = {"captures": [self._capture_object(charge)]}
                if charge.cancels:
                    unit["payments"]["refunds"] = [_refund_object(charge, cancel) for cancel in charge.cancels]
                if charge.card:
                    answer["payment_source"] = {"card": _card_object(charge.card)}
            answer |= {"intent": "CAPTURE", "purchase_units": [unit], "create_time": _iso(order["at"])}
        return json_answer(status, answer)

    def _capture_object(self, charge: Charge) -> dict[str, Any]:
        state = {"captured": "COMPLETED", "cancelled": "REFUNDED", "partially_cancelled": "PARTIALLY_REFUNDED"}
        shown: dict[str, Any] = {
            "id": charge.pg_tid,
            "status": state.get(charge.state, charge.state.upper()),
            "amount": _amount_object(charge.amount, charge.currency),
            "custom_id": charge.order_id,
            "final_capture": True,
            "create_time": _iso(charge.time),
            "links": [{"href": f"/v2/checkout/orders/{charge.details['order']}", "rel": "up", "method": "GET"}],
        }
        if charge.unpaid:
            shown["status_details"] = {"reason": "PENDING_REVIEW"}
        elif not charge.declined_by:
            shown["processor_response"] = {"avs_code": "Y", "cvv_code": "M", "response_code": "0000"}
        elif len(charge.declined_by) == 4:
            shown["processor_response"] = {"response_code": charge.declined_by}
        return shown

    def _refund_answer(self, request: Request, charge: Charge, number: str, status: int) -> Answer:
        position = next(i for i, cancel in enumerate(charge.cancels) if cancel.pg_tid == number)
        shown = _refund_object(charge, charge.cancels[position])
        if request.headers.get("prefer") != "return=representation":
            return json_answer(status, {name: shown[name] for name in ("id", "status", "links")})
        total = sum(cancel.amount for cancel in charge.cancels[: position + 1])
        breakdown = {"total_refunded_amount": _amount_object(total, charge.currency)}
        return json_answer(status, {**shown, "seller_payable_breakdown": breakdown})

    def _token_object(self, token: str) -> dict[str, Any]:
        key = self.books.keys[token]
        card = {**_card_object(key.card), "expiry": key.details["expiry"]}
        return {"id": token, "customer": {"id": key.details["customer"]}, "payment_source": {"card": card}, "links": []}


def review(sandbox: Sandbox, order_id: str, code: str | None = None) -> None:
    """End the review of a pending capture: it is completed, or declined with that processor code."""
    with sandbox.simulator.lock:
        charge = next(c for c in sandbox.simulator.books.charges if c.order_id == order_id and c.unpaid)
        charge.unpaid, charge.declined_by = None, code


def _body(request: Request) -> dict[str, Any]:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Refusal("UNSUPPORTED_MEDIA_TYPE")
    body = request.json()
    if body is None:
        raise Refusal("MALFORMED_REQUEST_JSON")
    return body


def _wallet(body: dict[str, Any]) -> dict[str, str] | None:
    """How a buyer is to be asked; None if none is."""
    if "payment_source" not in body:
        return None
    source = body["payment_source"]
    if not isinstance(source, dict) or set(source) != {"paypal"}:
        raise Bad("/payment_source", "NOT_SUPPORTED")
    context = source["paypal"].get("experience_context", {})
    for name in ("return_url", "cancel_url"):
        if not re.fullmatch(r"https?://\S{1,2000}", str(context.get(name))):
            raise Refusal(f"{name.upper()}_REQUIRED")
    for name, pattern in EXPERIENCE.items():
        if name in context and not re.fullmatch(pattern, str(context[name])):
            raise Bad(f"/payment_source/paypal/experience_context/{name}", "INVALID_PARAMETER_VALUE")
    return dict(context)


def _with(url: str, **query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _minor_units(amount: object) -> tuple[int, str]:
    """A money object in minor units, once its decimals are those of its currency."""
    if not isinstance(amount, dict) or {"currency_code", "value"} - set(amount):
        raise Bad("/amount/value", "MISSING_REQUIRED_PARAMETER")
    currency, value = amount["currency_code"], amount["value"]
    if currency not in CURRENCIES:
        raise Refusal("INVALID_CURRENCY_CODE")
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", value):
        raise Bad("/amount/value")
    if not re.fullmatch(r"[0-9]+" if currency in WHOLE else r"[0-9]+(\.[0-9]{1,2})?", value):
        raise Refusal("DECIMAL_PRECISION")
    return int(Decimal(value).scaleb(0 if currency == "JPY" else 2)), currency


def _amount_object(minor: int, currency: str) -> dict[str, str]:
    value = Decimal(minor).scaleb(0 if currency == "JPY" else -2)
    return {"currency_code": currency, "value": f"{value:.{0 if currency in WHOLE else 2}f}"}


def _refund_object(charge: Charge, cancel: Cancel) -> dict[str, Any]:
    return {
        "id": cancel.pg_tid,
        "status": "COMPLETED",
        "amount": _amount_object(cancel.amount, charge.currency),
        "custom_id": cancel.cancel_id,
        "note_to_payer": cancel.reason,
        "create_time": _iso(cancel.time),
        "links": [{"href": f"/v2/payments/captures/{charge.pg_tid}", "rel": "up", "method": "GET"}],
    }


def _card_object(card: str) -> dict[str, str]:
    return {"last_digits": card[-4:], "brand": "VISA" if card.startswith("4") else "MASTERCARD", "type": "CREDIT"}


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
