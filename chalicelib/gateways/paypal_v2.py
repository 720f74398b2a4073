"""PayPal REST: orders by card data and by vaulted card, the vault, refunds, queries.

Source of the rules, unless a line says otherwise: PayPal's public OpenAPI documents (paypal-rest-api-specifications):
checkout_orders_v2, payments_payment_v2, vault_payment_tokens_v3. How sure each fact is: docs/gateways/paypal_v2.md.

- PayPal cannot be asked by our order id. But a request that is repeated under its `PayPal-Request-Id` is answered with
  the latest state of what it made. So an order is first opened with nothing but its id and amount in it, which moves
  no money and can be repeated by whoever knows these two, and then captured with the card, which nobody could repeat.
- HTTP 201 may carry a declined card: only the capture's own status says what became of the money.
- An order takes one capture, ever. After the six hours for which PayPal knows a request id, the order still does.
- In the window the buyer approves an order at PayPal, and we capture it. PayPal is asked about it before: client ids
  are public, and with one a buyer can open, and perhaps change, orders as he likes.
- Every call needs a bearer token, which lives for hours. Asking for one per payment ends in 429: a process keeps them.
- No birth date, no password digits: they are not sent. No net-cancel.
"""

import base64
import hashlib
import hmac
import json
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    CancelRequest,
    CancelResult,
    Card,
    CardSummary,
    ChargeQuery,
    ChargeResult,
    Declined,
    DeleteResult,
    FindResult,
    GatewayCancel,
    IssueRequest,
    IssueResult,
    KeyDeleted,
    KeyIssued,
    NotFound,
    NotSent,
    Operation,
    PaymentRequest,
    Pending,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import EXPONENTS, Money
from chalicelib.domain.specs import CredentialField, FieldRule, GatewaySpec, OrderIdScope, TestAccess, WindowRules
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, WindowOrder, WindowPage
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import Shown, codes, instant, plain_text, quote_text, read_json, table
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType({
    Environment.LIVE: "https://api-m.paypal.com",
    Environment.TEST: "https://api-m.sandbox.paypal.com",
})  # fmt: skip

WINDOW_URLS = MappingProxyType({
    Environment.LIVE: {"checkout": "https://www.paypal.com"},
    Environment.TEST: {"checkout": "https://www.sandbox.paypal.com"},
})  # fmt: skip

WHOLE = frozenset({"HUF", "JPY", "TWD"})
"""PayPal's own table: these have no decimals there, whatever ISO 4217 says of HUF and TWD."""

ORDERS_KEPT = timedelta(hours=6)
"""How long a request id of the orders API is known. Of refunds it is 45 days, of the vault 3 hours."""

FIND_WINDOW = ORDERS_KEPT - timedelta(minutes=30)
"""Asked later, PayPal would open a new order, empty like one that was never charged. Clocks may differ by the rest."""

SPEC = GatewaySpec(
    provider="paypal_v2",
    label="페이팔(신모듈)",
    english="PayPal (new)",
    operations=frozenset({
        Operation.CHARGE_CARD,
        Operation.ISSUE_BILLING_KEY,
        Operation.CHARGE_BILLING_KEY,
        Operation.DELETE_BILLING_KEY,
        Operation.CANCEL,
        Operation.PARTIAL_CANCEL,
        Operation.FIND,
        Operation.READ,
    }),
    recalled=frozenset({Operation.FIND}),
    # PortOne has PayPal's own window and its agreements only.
    beyond_v1=frozenset({Operation.CHARGE_CARD, Operation.ISSUE_BILLING_KEY}),
    # Never KRW. BRL, CNY, INR and MYR are for accounts of those countries.
    currencies=frozenset({
        "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "INR", "JPY", "MXN", "MYR",
        "NOK", "NZD", "PHP", "PLN", "SEK", "SGD", "THB", "TWD", "USD",
    }),
    whole_units=WHOLE,
    credentials=(
        # Neither tells test from live: they are unknown at the other host.
        CredentialField("client_id", "클라이언트 ID (Client ID)", secret=False, pattern=r"[!-9;-~]{1,200}"),
        CredentialField("client_secret", "시크릿 키 (Secret)", pattern=r"[!-~]{1,200}"),
        # Without it nobody could tell that a window's order pays anybody else.
        CredentialField(
            "merchant_id",
            "판매자 ID (Merchant ID)",
            secret=False,
            required=False,
            pattern="[2-9A-HJ-NP-Z]{13}",
            adds=frozenset({Operation.PAY_IN_WINDOW}),
        ),
    ),
    # No limit is published. Nobody but us can capture an order of ours, and a card network answers within the minute:
    # ten leave room for a capture that waits somewhere on the way.
    settling_delay=timedelta(minutes=10),
    order_id_scope=OrderIdScope.NONE,  # a used id is answered for six hours, and then it is new
    idempotent_for=ORDERS_KEPT,
    find_window=FIND_WINDOW,
    field_rules=(FieldRule("quota", "[01]", "할부를 지원하지 않습니다. (no instalments)"),),
    windows=WindowRules(methods=frozenset({PayMethod.PAYPAL}), recalled=frozenset({PayMethod.PAYPAL})),
    test_access=TestAccess.PUBLIC,
)  # fmt: skip


class Adapter(Base):
    """One REST app of a PayPal business account. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the client id names the account
        pair = f"{credentials.get('client_id', '')}:{credentials.get('client_secret', '')}"
        self._basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._account = hashlib.sha256(f"{base_url} {pair}".encode()).hexdigest()
        self._secret = credentials.get("client_secret", "")
        self._merchant_id = credentials.get("merchant_id")
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        return self._charge(order_id, request.amount, _card_data(card), timeout)

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        card = {
            "vault_id": secret["payment_token"],
            # The buyer is not there. UNSCHEDULED, since a router cannot know whether a charge is one of a series.
            "stored_credential": {
                "payment_initiator": "MERCHANT",
                "payment_type": "UNSCHEDULED",
                "usage": "SUBSEQUENT",
            },
        }
        return self._charge(order_id, request.amount, card, timeout)

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        """By PayPal's number of the order or the capture; else by opening the order again, which shows the old one."""
        deadline = self._clock.monotonic() + timeout
        found: str | Declined | NotSent | Unknown
        if kept := query.kept.get("order"):
            found = kept
        elif query.gateway_ref:
            found = self._order_of_capture(query.gateway_ref, query.order_id, timeout / 2)
        elif query.pay_method == PayMethod.PAYPAL:
            return Unknown("what was opened for a window cannot be asked for without its number")
        elif self._clock.now() - query.requested_at > FIND_WINDOW:
            return Unknown("PayPal no longer knows the request by which it could be asked")
        else:
            opened = self._open_order(query.order_id, query.amount, timeout / 2)
            found = opened.id if isinstance(opened, _Order) else opened
        if not isinstance(found, str):
            return _unanswered(found)
        # Asked again by its number, in case the repeated request is answered with the first state, not the latest.
        order = self._read_order(found, query.order_id, deadline - self._clock.monotonic())
        if not isinstance(order, _Order):
            return _unanswered(order)
        if kept and not self._is_surely_ours(order, query.order_id):
            return Unknown("what the browser came back with is no order of ours")
        return self._found(order)

    def open_window(self, order: WindowOrder, timeout: float) -> WindowPage | Declined | NotSent | Unknown:
        """PayPal's own page, to which the browser is sent: it allows no frame around it."""
        from chalicelib.gateways.paypal_v2_window import page  # noqa: PLC0415 - needed for windows only

        opened = self._open_window_order(order, timeout)
        if not isinstance(opened, _Order):
            return opened
        if opened.status in AGREED_STATUSES:  # and the way back got lost: on from there
            return page(order, opened.id, None)
        url = opened.approve_url
        if not url.startswith(f"{self.window_urls['checkout']}/"):
            return Unknown(f"order {quote_text(opened.status, 30)} without a page for the buyer", unwell=True)
        return page(order, opened.id, url)

    def read_return(self, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:  # noqa: ARG002 - nothing in it is signed
        from chalicelib.gateways.paypal_v2_window import read_return  # noqa: PLC0415 - needed for windows only

        return read_return(fields)

    def approve(self, order: WindowOrder, back: Authenticated, timeout: float) -> ChargeResult:
        """Capture the order that we have opened, if that is the one the buyer has approved, and as it was opened.

        The number comes from a browser, where anybody can make up a PayPal order that names our order id. So the
        opening is repeated, which tells the number of ours; and the order is read, as its amount may have been changed.
        """
        deadline = self._clock.monotonic() + timeout
        opened = self._open_window_order(order, timeout / 3)
        if not isinstance(opened, _Order):
            return _before_charge(opened)
        if opened.id != back.proof["order"]:
            return NotSent("the browser came back with another PayPal order", unwell=False)
        # A repeated request may be answered with the first state, not the latest.
        approved = self._read_order(opened.id, order.order_id, (deadline - self._clock.monotonic()) / 2)
        if not isinstance(approved, _Order):
            return _before_charge(approved)
        if not self._is_surely_ours(approved, order.order_id):
            return NotSent("the PayPal order does not show that it pays us", unwell=False)
        if approved.payments.captures:
            return self._outcome(approved) or Unknown("an order with captures and without an outcome")
        if approved.amount != order.request.amount:
            return NotSent("the PayPal order is for another amount", unwell=False)
        if approved.status != "APPROVED":
            return Declined(R.NOT_CHARGED, "ORDER_NOT_APPROVED", f"the order is {quote_text(approved.status, 30)}")
        request_id = f"{self._secret_id(order.order_id)}-capture"
        return self._capture(approved.id, order.order_id, {}, request_id, deadline - self._clock.monotonic())

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        if not request.gateway_ref:
            raise UnsupportedOperation("paypal_v2: no cancel by order id (net-cancel)")
        body: dict[str, Any] = {"amount": _amount(request.amount), "custom_id": request.cancel_id}
        if reason := plain_text(request.reason)[:255]:
            body["note_to_payer"] = reason
        path = f"/v2/payments/captures/{_path(request.gateway_ref)}/refund"
        reply = self._call("POST", path, "cancel", timeout, body, request.cancel_id)  # known for 45 days
        if not isinstance(reply, Reply):
            return reply
        return self._cancelled(reply, request)

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult:
        """PayPal makes up the customer: its ids are PayPal's to give, not the merchant's."""
        body = {"payment_source": {"card": _card_data(card)}}
        path = "/v3/vault/payment-tokens"
        reply = self._call("POST", path, "issue_billing_key", timeout, body, request.order_id)  # known for 3 hours
        if not isinstance(reply, Reply):
            return reply
        if reply.status not in SUCCESS:
            return _refusal(reply)
        token = read_json(_PaymentToken, reply)
        if token is None:
            return Unknown("the reply shows no payment token", unwell=True)
        shown = token.payment_source.card if token.payment_source else None
        return KeyIssued({"payment_token": token.id}, _card_summary(shown, card.masked))

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult:  # noqa: ARG002 - a deletion needs no id of ours here
        path = f"/v3/vault/payment-tokens/{_path(secret['payment_token'])}"
        reply = self._call("DELETE", path, "delete_billing_key", timeout)
        if not isinstance(reply, Reply):
            return reply
        if reply.status == 204:
            return KeyDeleted()
        refusal = _refusal(reply)
        return KeyDeleted() if isinstance(refusal, Declined) and refusal.code in KEY_GONE_CODES else refusal

    def _charge(self, order_id: str, amount: Money, card: Mapping[str, Any], timeout: float) -> ChargeResult:
        """Open the order, then capture it. The first step may take half of the time at most."""
        deadline = self._clock.monotonic() + timeout
        opened = self._open_order(order_id, amount, timeout / 2)
        if not isinstance(opened, _Order):
            return _before_charge(opened)
        if opened.payments.captures:
            return Unknown("the order id was charged before")
        body = {"payment_source": {"card": card}}
        return self._capture(opened.id, order_id, body, f"{order_id}-capture", deadline - self._clock.monotonic())

    def _open_order(self, order_id: str, amount: Money, timeout: float) -> "_Order | Declined | NotSent | Unknown":
        """The order of this id of ours, new or not. Its body must not depend on who asks: hence no name, no buyer."""
        body = {"intent": "CAPTURE", "purchase_units": [{"custom_id": order_id, "amount": _amount(amount)}]}
        return self._create(order_id, body, order_id, timeout)

    def _open_window_order(self, order: WindowOrder, timeout: float) -> "_Order | Declined | NotSent | Unknown":
        """The same for a window. It is opened under a name that nobody can guess.

        Our order id is in the window's address. A buyer who used it as a request id before us could slip in an order
        of his own, which would then be taken for ours.
        """
        from chalicelib.gateways.paypal_v2_window import order_body  # noqa: PLC0415 - needed for windows only

        body = order_body(order, _amount(order.request.amount))
        return self._create(order.order_id, body, self._secret_id(order.order_id), timeout)

    def _secret_id(self, order_id: str) -> str:
        return hmac.new(self._secret.encode(), order_id.encode(), hashlib.sha256).hexdigest()

    def _create(
        self, order_id: str, body: Mapping[str, Any], request_id: str, timeout: float
    ) -> "_Order | Declined | NotSent | Unknown":
        reply = self._call("POST", "/v2/checkout/orders", "open_order", timeout, body, request_id)  # known for 6 hours
        return self._order(reply, order_id) if isinstance(reply, Reply) else reply

    def _read_order(self, paypal_id: str, order_id: str, timeout: float) -> "_Order | Declined | NotSent | Unknown":
        reply = self._call("GET", f"/v2/checkout/orders/{_path(paypal_id)}", "find", timeout)
        return self._order(reply, order_id, paypal_id) if isinstance(reply, Reply) else reply

    def _capture(
        self, paypal_id: str, order_id: str, body: Mapping[str, Any], request_id: str, timeout: float
    ) -> ChargeResult:
        path = f"/v2/checkout/orders/{_path(paypal_id)}/capture"
        reply = self._call("POST", path, "charge", timeout, body, request_id)  # known for 6 hours
        if not isinstance(reply, Reply):
            return reply
        order = self._order(reply, order_id, paypal_id)
        if not isinstance(order, _Order):
            return order
        return self._outcome(order) or Unknown(f"order {quote_text(order.status, 30)} without a capture")

    def _order(self, reply: Reply, order_id: str, paypal_id: str | None = None) -> "_Order | Declined | Unknown":
        """The order of that id of ours, and of PayPal's if it is known, that pays us."""
        if reply.status not in SUCCESS:
            return _refusal(reply)
        order = read_json(_Order, reply)
        if order is None:
            return Unknown("the reply shows no order", unwell=True)
        if order.id != (paypal_id or order.id) or order.custom_ids - {order_id}:
            return Unknown("the reply is not about this order")
        if self._merchant_id and order.payee_id not in {None, self._merchant_id}:
            return Unknown("the order pays another account than the channel's merchant_id")
        return order

    def _is_surely_ours(self, order: "_Order", order_id: str) -> bool:
        """It names our order id, and us. What a buyer has made up may name nobody, or somebody by a mail address."""
        return order.custom_ids == {order_id} and order.payee_id is not None and order.payee_id == self._merchant_id

    def _order_of_capture(self, capture_id: str, order_id: str, timeout: float) -> str | Declined | NotSent | Unknown:
        """PayPal's number of the order that the capture belongs to."""
        reply = self._call("GET", f"/v2/payments/captures/{_path(capture_id)}", "read", timeout)
        if not isinstance(reply, Reply):
            return reply
        if reply.status != 200:
            return _refusal(reply)
        capture = read_json(_Capture, reply)
        if capture is None:
            return Unknown("the reply shows no capture", unwell=True)
        if capture.id != capture_id or capture.custom_id not in {None, order_id}:
            return Unknown("the reply is not about this order")
        return capture.order_id or Unknown("the capture does not name its order")

    def _found(self, order: "_Order") -> FindResult:
        outcome = self._outcome(order)
        if outcome is None and order.status in UNCHARGED_STATUSES:
            return NotFound()
        return outcome or Unknown(f"order {quote_text(order.status, 30)} without a capture")

    def _outcome(self, order: "_Order") -> Approved | Pending | Declined | Unknown | None:
        """What became of the money; None if nobody has tried to take it."""
        capture = order.payments.capture
        if capture is None:
            if order.status == "PAYER_ACTION_REQUIRED":  # 3-D Secure, say: a page for a buyer who is not there
                return Declined(R.CARD_NOT_SUPPORTED, order.status, "it needs the buyer's confirmation")
            return None
        if sum(other.status not in FAILED_STATUSES for other in order.payments.captures) > 1:
            return Unknown("more than one capture")
        if capture.status in TAKEN_STATUSES:
            return self._approved(order, capture)
        if capture.status == "PENDING":
            reason = capture.status_details.reason if capture.status_details else None
            return Pending(capture.id, quote_text(reason or capture.status, 60))
        if capture.status in FAILED_STATUSES:
            return _declined(capture)
        return Unknown(f"capture {quote_text(capture.status, 30)}")

    def _approved(self, order: "_Order", capture: "_Capture") -> Approved | Unknown:
        """What PayPal has given back must fit to what it calls the capture, else its books are in motion."""
        refunds = order.payments.refunds
        done = [refund for refund in refunds if refund.status == "COMPLETED"]
        amount, back = capture.amount.money, sum(refund.amount.money.amount for refund in done)
        if not amount.amount or any(refund.amount.currency_code != amount.currency for refund in refunds):
            return Unknown("a capture of nothing, or a refund in another currency")
        expected = "COMPLETED" if not back else "REFUNDED" if back == amount.amount else "PARTIALLY_REFUNDED"
        if capture.status != expected or back > amount.amount or any(refund.status == "PENDING" for refund in refunds):
            return Unknown("a refund is under way, or the refunds do not fit to the capture's status")
        return Approved(
            gateway_ref=capture.id,
            amount=amount,
            approved_at=instant(capture.create_time) or self._clock.now(),
            card=order.card,
            balance=Money(amount.amount - back, amount.currency),
            cancels=tuple(sorted(map(self._cancel_of, done), key=lambda cancel: cancel.cancelled_at)),
        )

    def _cancelled(self, reply: Reply, request: CancelRequest) -> CancelResult:
        if reply.status not in SUCCESS:
            return _refusal(reply)
        refund = read_json(_Refund, reply)
        if refund is None:
            return Unknown("the reply shows no refund", unwell=True)
        told = {refund.custom_id or request.cancel_id, refund.capture_id or request.gateway_ref}
        is_ours = told == {request.cancel_id, request.gateway_ref} and (refund.custom_id or refund.capture_id)
        if not is_ours or refund.amount.money != request.amount:
            return Unknown("the reply is not about this cancel")
        if refund.status in ("FAILED", "CANCELLED"):
            return Declined(R.INVALID_REQUEST, refund.status, f"refund {refund.status}")
        if refund.status != "COMPLETED":
            return Unknown(f"refund {quote_text(refund.status, 30)}")
        total = refund.seller_payable_breakdown and refund.seller_payable_breakdown.total_refunded_amount
        balance = request.charged - total.money if total and total.currency_code == request.charged.currency else None
        return Cancelled(self._cancel_of(refund), balance)

    def _cancel_of(self, refund: "_Refund") -> GatewayCancel:
        return GatewayCancel(
            gateway_ref=refund.id,
            amount=refund.amount.money,
            cancelled_at=instant(refund.create_time) or self._clock.now(),
            reason=refund.note_to_payer and quote_text(refund.note_to_payer),
        )

    def _call(
        self,
        method: str,
        path: str,
        operation: str,
        timeout: float,
        body: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> Reply | Declined | NotSent | Unknown:
        """One call under a token. A token that PayPal no longer takes is replaced once: a 401 comes before any act."""
        deadline = self._clock.monotonic() + timeout
        headers = {"Content-Type": "application/json", "Prefer": "return=representation"}
        if request_id:
            headers["PayPal-Request-Id"] = request_id
        for is_last in (False, True):
            token = self._token(deadline - self._clock.monotonic())
            if not isinstance(token, str):
                return token
            reply = self._http.ask(
                method,
                self._base_url + path,
                operation=f"paypal_v2.{operation}",
                timeout=deadline - self._clock.monotonic(),
                headers={**headers, "Authorization": f"Bearer {token}"},
                body=None if body is None else json.dumps(body).encode(),
            )
            if is_last or not isinstance(reply, Reply) or reply.status != 401:
                break
            TOKENS.drop(self._account, token)
        return reply

    def _token(self, timeout: float) -> str | Declined | NotSent:
        """Without one nothing is sent, so that nothing here is Unknown."""
        asked_at = self._clock.now()
        if kept := TOKENS.get(self._account, asked_at):
            return kept
        reply = self._http.ask(
            "POST",
            f"{self._base_url}/v1/oauth2/token",
            operation="paypal_v2.token",
            timeout=timeout,
            headers={"Authorization": self._basic, "Content-Type": "application/x-www-form-urlencoded"},
            body=b"grant_type=client_credentials",
        )
        token = read_json(_Token, reply) if isinstance(reply, Reply) and reply.status == 200 else None
        if token:
            TOKENS.put(self._account, token.access_token, asked_at + timedelta(seconds=token.expires_in), asked_at)
            return token.access_token
        refusal = _refusal(reply) if isinstance(reply, Reply) else reply
        if isinstance(refusal, Unknown):
            return NotSent(f"no token: {refusal.detail}", unwell=refusal.unwell)
        return refusal


class _Tokens:
    """Bearer tokens of this process, by a hash of host and credentials. Its text form shows nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, datetime]] = {}

    def get(self, account: str, now: datetime) -> str | None:
        with self._lock:
            token, ends = self._kept.get(account, (None, now))
            return token if ends > now else None

    def put(self, account: str, token: str, expires_at: datetime, now: datetime) -> None:
        """Until shortly before it expires. Those of other accounts that are over go, too: apps come and go."""
        with self._lock:
            self._kept = {name: kept for name, kept in self._kept.items() if kept[1] > now}
            self._kept[account] = (token, expires_at - TOKEN_MARGIN)

    def drop(self, account: str, token: str) -> None:
        """That very one: another thread may have replaced it already."""
        with self._lock:
            if self._kept.get(account, ("",))[0] == token:
                del self._kept[account]


TOKEN_MARGIN = timedelta(minutes=2)
TOKENS = _Tokens()


# --- requests ---------------------------------------------------------------------------------------------------


def _card_data(card: Card) -> dict[str, str]:
    data = {"number": card.number, "expiry": f"{card.expiry_year}-{card.expiry_month}"}
    if card.cvc:
        data["security_code"] = card.cvc
    return data


def _amount(money: Money) -> dict[str, str]:
    value = money.to_decimal()
    is_whole = money.currency in WHOLE and value == value.to_integral_value()
    return {"currency_code": money.currency, "value": f"{value:.0f}" if is_whole else f"{value:.2f}"}


def _path(name: str) -> str:
    return quote(name, safe="")


# --- replies ----------------------------------------------------------------------------------------------------


class _Wire(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)


class _Token(_Wire):
    access_token: str = Field(pattern=r"^[!-~]+$", max_length=4000)
    expires_in: int = Field(ge=0, le=10**9)


class _Amount(_Wire):
    currency_code: str
    value: str = Field(pattern=r"^[0-9]{1,13}(\.[0-9]{1,6})?$")

    @model_validator(mode="after")
    def _is_exact(self) -> Self:
        if self.currency_code not in EXPONENTS or self._minor != self._minor.to_integral_value():
            raise ValueError("no amount in minor units")
        return self

    @property
    def _minor(self) -> Decimal:
        return Decimal(self.value).scaleb(EXPONENTS[self.currency_code])

    @property
    def money(self) -> Money:
        return Money(int(self._minor), self.currency_code)


class _Link(_Wire):
    rel: str
    href: str


class _Reason(_Wire):
    reason: str | None = None


class _ProcessorResponse(_Wire):
    response_code: str | None = None
    payment_advice_code: str | None = None


class _RelatedIds(_Wire):
    order_id: str | None = None


class _SupplementaryData(_Wire):
    related_ids: _RelatedIds | None = None


class _Capture(_Wire):
    id: str = Field(min_length=1, max_length=64)
    status: str
    amount: _Amount
    custom_id: str | None = None
    create_time: str | None = None
    status_details: _Reason | None = None
    processor_response: _ProcessorResponse | None = None
    supplementary_data: _SupplementaryData | None = None
    links: list[_Link] | None = None

    @property
    def order_id(self) -> str | None:
        """PayPal's number of the order."""
        related = self.supplementary_data and self.supplementary_data.related_ids
        return (related and related.order_id) or _parent(self.links, "checkout/orders")


class _Breakdown(_Wire):
    total_refunded_amount: _Amount | None = None


class _Refund(_Wire):
    id: str = Field(min_length=1, max_length=64)
    status: str
    amount: _Amount
    custom_id: str | None = None
    create_time: str | None = None
    note_to_payer: str | None = None
    seller_payable_breakdown: _Breakdown | None = None
    links: list[_Link] | None = None

    @property
    def capture_id(self) -> str | None:
        return _parent(self.links, "payments/captures")


class _Payments(_Wire):
    captures: list[_Capture] = []
    refunds: list[_Refund] = []

    @property
    def capture(self) -> _Capture | None:
        """The one there can be. If a declined one stands beside it, the one with the money."""
        return next((c for c in self.captures if c.status not in FAILED_STATUSES), next(iter(self.captures), None))


class _Payee(_Wire):
    merchant_id: str | None = None


class _PurchaseUnit(_Wire):
    custom_id: str | None = None
    amount: Shown[_Amount] = None
    payee: Shown[_Payee] = None
    payments: _Payments = _Payments()


class _Card(_Wire):
    last_digits: str | None = None
    brand: str | None = None
    type: str | None = None


class _PaymentSource(_Wire):
    card: _Card | None = None
    paypal: dict[str, Any] | None = None
    """A wallet that paid. Whose it is, nobody here needs to know."""


class _Order(_Wire):
    id: str = Field(min_length=1, max_length=64)
    status: str
    purchase_units: list[_PurchaseUnit] = Field(min_length=1, max_length=1)
    payment_source: Shown[_PaymentSource] = None
    links: Shown[list[_Link]] = None

    @property
    def payments(self) -> _Payments:
        return self.purchase_units[0].payments

    @property
    def amount(self) -> Money | None:
        shown = self.purchase_units[0].amount
        return shown.money if shown else None

    @property
    def payee_id(self) -> str | None:
        payee = self.purchase_units[0].payee
        return payee.merchant_id if payee else None

    @property
    def approve_url(self) -> str:
        """Where the buyer approves it; empty if there is nothing to approve."""
        return next((link.href for link in self.links or () if link.rel in ("payer-action", "approve")), "")

    @property
    def card(self) -> CardSummary | None:
        source = self.payment_source
        return None if source is None or source.paypal is not None else _card_summary(source.card)

    @property
    def custom_ids(self) -> set[str | None]:
        return {self.purchase_units[0].custom_id, *(capture.custom_id for capture in self.payments.captures)} - {None}


class _PaymentToken(_Wire):
    id: str = Field(min_length=1, max_length=64)
    payment_source: Shown[_PaymentSource] = None


class _Detail(_Wire):
    issue: str = Field(min_length=1)
    field: str | None = None
    description: str | None = None


class _Error(_Wire):
    """Of the APIs: name and details. Of the token call: error and error_description."""

    name: str | None = None
    message: str | None = None
    details: list[_Detail] | None = None
    error: str | None = None
    error_description: str | None = None

    @property
    def issues(self) -> list[_Detail]:
        general = self.name or self.error
        return self.details or ([_Detail(issue=general)] if general else [])


def _parent(links: Sequence[_Link] | None, kind: str) -> str | None:
    """What a resource belongs to, from its link of that relation."""
    hrefs = [link.href for link in links or () if link.rel == "up"]
    found = (re.search(rf"/{kind}/([0-9A-Za-z]+)$", href) for href in hrefs)
    return next((match[1] for match in found if match), None)


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than success means: no only if every issue it names is known to mean no."""
    error = read_json(_Error, reply)
    if error is None or not error.issues or reply.status < 400:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    detail = next((item for item in error.issues if item.issue not in REFUSALS), error.issues[0])
    code = quote_text(detail.issue, 60)
    message = quote_text(detail.description or error.message or error.error_description or code)
    reason = REFUSALS.get(code)
    if reason and reply.status < 500:
        return Declined(_of_field(detail) or reason if reason is R.INVALID_REQUEST else reason, code, message)
    if code not in REFUSALS and code not in UNKNOWN_CODES:
        log.warning("paypal_v2: code %r is not mapped, outcome unknown", code)
    return Unknown(f"HTTP {reply.status}: {message}", code, unwell=reply.status >= 500)


def _of_field(detail: _Detail) -> R | None:
    """A field of the card that PayPal could not read is the card's fault, not the call's."""
    where, _, name = (detail.field or "").rpartition("/")
    return FIELD_REASONS.get(name) if where.endswith("/card") else None


def _declined(capture: _Capture) -> Declined | Unknown:
    """The status is the no; the processor's code, which may be missing, is only the reason."""
    response = capture.processor_response or _ProcessorResponse()
    code, advice = quote_text(response.response_code or "", 10), response.payment_advice_code
    message = f"capture {capture.status}, processor response {code or '-'}, advice {quote_text(advice or '-', 10)}"
    if code in CONTRADICTIONS:
        return Unknown(message, code)
    if code and code not in PROCESSOR:
        log.warning("paypal_v2: processor response %r is not mapped, declined without a reason", code)
    reason = PROCESSOR.get(code, R.ISSUER_DECLINED)
    if advice in NEVER_AGAIN and reason.elsewhere:
        reason = R.CARD_BLOCKED
    return Declined(reason, code or capture.status, message)


def _before_charge(result: Declined | NotSent | Unknown) -> Declined | NotSent | Unknown:
    """The outcome of a charge whose order could not be opened.

    Opening moves no money, so a lost or unreadable answer means that the charge was surely not sent, and another
    channel may take it. An answer that names a code stays as it is: "in progress" speaks of an earlier try, perhaps
    of one that was charged.
    """
    if isinstance(result, Unknown) and (result.code is None or result.unwell):
        return NotSent(f"no order to charge: {result.detail}", unwell=result.unwell)
    return result


def _unanswered(result: Declined | NotSent | Unknown) -> NotSent | Unknown:
    """A refused question says nothing about the charge."""
    if isinstance(result, Declined):
        return Unknown("the query was refused", result.code, unwell=result.reason is R.CHANNEL_REJECTED)
    return result


def _card_summary(card: _Card | None, number: str | None = None) -> CardSummary:
    """PayPal tells the brand and the last digits, never the issuer."""
    card = card or _Card()
    last = card.last_digits if re.fullmatch(r"[0-9]{4}", card.last_digits or "") else None
    return CardSummary(
        name=quote_text(card.brand, 30) if card.brand else None,
        number=number or (last and f"************{last}"),
        type={"CREDIT": 0, "DEBIT": 1}.get(card.type or ""),
    )


# --- codes ------------------------------------------------------------------------------------------------------

SUCCESS = frozenset({200, 201})
"""200 also where a first answer was 201, and got lost."""

TAKEN_STATUSES = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})
FAILED_STATUSES = frozenset({"DECLINED", "FAILED"})
UNCHARGED_STATUSES = frozenset({"CREATED", "APPROVED", "VOIDED"})
"""Of an order that has no captures. Money moves by a capture only, and we alone can ask for one."""

AGREED_STATUSES = frozenset({"APPROVED", "COMPLETED"})
"""Of an order whose buyer has done his part."""

KEY_GONE_CODES = frozenset({"RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", "TOKEN_ID_NOT_FOUND"})

NEVER_AGAIN = frozenset({"03", "21"})
"""Advice of the card network: do not try again; the buyer has withdrawn the consent to such charges."""

FIELD_REASONS: Mapping[str, R] = MappingProxyType({
    "number": R.INVALID_CARD_NUMBER,
    "expiry": R.EXPIRED_CARD,
    "security_code": R.CARD_CHECK_FAILED,
    "vault_id": R.BILLING_KEY_INVALID,
})  # fmt: skip

REFUSALS = table(
    # the card
    (R.INVALID_CARD_NUMBER, "CARD_NUMBER_REQUIRED"),
    (R.EXPIRED_CARD, "CARD_EXPIRED REFERENCED_CARD_EXPIRED INVALID_EXPIRY_DATE CARD_EXPIRY_REQUIRED"),
    (
        R.CARD_CHECK_FAILED,
        "INVALID_SECURITY_CODE_LENGTH PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED BILLING_ADDRESS_INVALID",
    ),
    (R.FRAUD_SUSPECTED, "COMPLIANCE_VIOLATION PAYEE_BLOCKED_TRANSACTION TRANSACTION_BLOCKED_BY_PAYEE"),
    (R.TOO_MANY_TRIES, "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED"),
    (R.LIMIT_EXCEEDED, "TRANSACTION_LIMIT_EXCEEDED"),
    (R.ISSUER_DECLINED, "INSTRUMENT_DECLINED PAYMENT_SOURCE_DECLINED_BY_PROCESSOR ALIAS_DECLINED_BY_PROCESSOR"),
    (R.ISSUER_DECLINED, "PAYMENT_SOURCE_CANNOT_BE_USED TRANSACTION_REFUSED DECLINED_DUE_TO_RELATED_TXN"),
    (R.ISSUER_DECLINED, "PAYER_CANNOT_PAY PAYER_ACCOUNT_RESTRICTED PAYER_ACCOUNT_LOCKED_OR_CLOSED"),
    (R.ISSUER_DECLINED, "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING"),
    (R.CARD_NOT_SUPPORTED, "CARD_BRAND_NOT_SUPPORTED CARD_TYPE_NOT_SUPPORTED CURRENCY_NOT_SUPPORTED_FOR_CARD_TYPE"),
    (R.CARD_NOT_SUPPORTED, "DOMESTIC_TRANSACTION_REQUIRED PAYMENT_SOURCE_NOT_SUPPORTED"),
    # it wants a confirmation on a page, and the buyer is not there
    (R.CARD_NOT_SUPPORTED, "PAYER_ACTION_REQUIRED"),
    # the key
    (R.BILLING_KEY_INVALID, "TOKEN_ID_NOT_FOUND TOKEN_EXPIRED AGREEMENT_ALREADY_CANCELLED BILLING_AGREEMENT_NOT_FOUND"),
    (R.BILLING_KEY_INVALID, "BILLING_AGREEMENT_ID_MISMATCH MISMATCHED_VAULT_ID_TO_PAYMENT_SOURCE"),
    # credentials, account, contract
    (R.CHANNEL_REJECTED, "invalid_client invalid_token unauthorized_client AUTHENTICATION_FAILURE NOT_AUTHORIZED"),
    (
        R.CHANNEL_REJECTED,
        "INVALID_ACCOUNT_STATUS PERMISSION_DENIED PERMISSION_DENIED_FOR_DONATION_ITEMS CONSENT_NEEDED",
    ),
    (R.CHANNEL_REJECTED, "NOT_ENABLED_FOR_CARD_PROCESSING PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING ORDER_NOT_APPROVED"),
    (R.CHANNEL_REJECTED, "NOT_ENABLED_FOR_BANK_PROCESSING PAYEE_NOT_ENABLED_FOR_BANK_PROCESSING SETUP_ERROR_FOR_BANK"),
    (R.CHANNEL_REJECTED, "NOT_ENABLED_TO_VAULT_PAYMENT_SOURCE NOT_ENABLED_FOR_APPLE_PAY NOT_ENABLED_FOR_GOOGLE_PAY"),
    (
        R.CHANNEL_REJECTED,
        "NOT_ELIGIBLE_FOR_TOKEN_PROCESSING NOT_ELIGIBLE_FOR_PNREF_PROCESSING AUTH_CAPTURE_NOT_ENABLED",
    ),
    (R.CHANNEL_REJECTED, "NOT_ELIGIBLE_FOR_PAYPAL_TRANSACTION_ID_PROCESSING TRANSACTION_RECEIVING_LIMIT_EXCEEDED"),
    (R.CHANNEL_REJECTED, "PAYEE_ACCOUNT_NOT_VERIFIED PAYEE_ACCOUNT_INVALID PAYEE_ACCOUNT_LOCKED_OR_CLOSED"),
    (
        R.CHANNEL_REJECTED,
        "PAYEE_ACCOUNT_RESTRICTED PAYEE_PRICING_TIER_ID_NOT_ENABLED SHIPPING_TYPE_NOT_SUPPORTED_FOR_CLIENT",
    ),
    (R.CHANNEL_REJECTED, "INVALID_CURRENCY_CODE CURRENCY_NOT_SUPPORTED_FOR_COUNTRY CURRENCY_NOT_SUPPORTED_FOR_BANK"),
    (R.CHANNEL_REJECTED, "PLATFORM_FEES_NOT_SUPPORTED PLATFORM_FEE_NOT_ENABLED INVALID_PLATFORM_FEES_ACCOUNT"),
    # too many calls, and this one was not looked at
    (R.GATEWAY_MAINTENANCE, "RATE_LIMIT_REACHED"),
    # the amount
    (R.AMOUNT_NOT_ALLOWED, "MAX_VALUE_EXCEEDED CANNOT_BE_NEGATIVE CANNOT_BE_ZERO_OR_NEGATIVE DECIMAL_PRECISION"),
    (R.AMOUNT_NOT_ALLOWED, "DECIMALS_NOT_SUPPORTED"),
    # the call
    (R.INVALID_REQUEST, "INVALID_REQUEST UNSUPPORTED_MEDIA_TYPE RESOURCE_NOT_FOUND INVALID_RESOURCE_ID NOT_SUPPORTED"),
    (R.INVALID_REQUEST, "invalid_request invalid_scope unsupported_grant_type PAYPAL_REQUEST_ID_REQUIRED"),
    (
        R.INVALID_REQUEST,
        "MALFORMED_REQUEST_JSON MISSING_REQUIRED_PARAMETER INVALID_PARAMETER_SYNTAX INVALID_PARAMETER_VALUE",
    ),
    (
        R.INVALID_REQUEST,
        "INVALID_STRING_LENGTH INVALID_STRING_MAX_LENGTH INVALID_ARRAY_MAX_ITEMS INVALID_ARRAY_MIN_ITEMS",
    ),
    (R.INVALID_REQUEST, "INVALID_COUNTRY_CODE AMOUNT_MISMATCH CITY_REQUIRED POSTAL_CODE_REQUIRED INVALID_PAYER_ID"),
    (R.INVALID_REQUEST, "MISSING_PREVIOUS_REFERENCE MISSING_CRYPTOGRAM CRYPTOGRAM_REQUIRED EMV_DATA_REQUIRED"),
    (
        R.INVALID_REQUEST,
        "DONATION_ITEMS_NOT_SUPPORTED DUPLICATE_REFERENCE_ID REFERENCE_ID_REQUIRED MULTI_CURRENCY_ORDER",
    ),
    (R.INVALID_REQUEST, "ITEM_TOTAL_MISMATCH ITEM_TOTAL_REQUIRED TAX_TOTAL_MISMATCH TAX_TOTAL_REQUIRED"),
    (R.INVALID_REQUEST, "MULTIPLE_ITEM_CATEGORIES MULTIPLE_SHIPPING_ADDRESS_NOT_SUPPORTED MISSING_PICKUP_ADDRESS"),
    (
        R.INVALID_REQUEST,
        "MULTIPLE_SHIPPING_TYPE_NOT_SUPPORTED MULTIPLE_SHIPPING_OPTION_SELECTED INVALID_PICKUP_ADDRESS",
    ),
    (R.INVALID_REQUEST, "SHIPPING_OPTION_NOT_SELECTED SHIPPING_OPTIONS_NOT_SUPPORTED UNSUPPORTED_SHIPPING_TYPE"),
    (R.INVALID_REQUEST, "SHIPPING_ADDRESS_INVALID PREFERRED_SHIPPING_OPTION_AMOUNT_MISMATCH INVALID_FX_RATE_ID"),
    (R.INVALID_REQUEST, "INVALID_PAYEE_PRICING_TIER_ID PAYEE_FX_RATE_ID_EXPIRED PAYEE_FX_RATE_ID_CURRENCY_MISMATCH"),
    (
        R.INVALID_REQUEST,
        "INVALID_PLATFORM_FEES_AMOUNT PLATFORM_FEE_EXCEEDED PLATFORM_FEE_PAYEE_CANNOT_BE_SAME_AS_PAYER",
    ),
    (R.INVALID_REQUEST, "UNSUPPORTED_INTENT UNSUPPORTED_PAYMENT_INSTRUCTION UNSUPPORTED_PROCESSING_INSTRUCTION"),
    (R.INVALID_REQUEST, "ORDER_COMPLETE_ON_PAYMENT_APPROVAL INCOMPATIBLE_PARAMETER_VALUE ONE_OF_PARAMETERS_REQUIRED"),
    (R.INVALID_REQUEST, "INVALID_PREVIOUS_TRANSACTION_REFERENCE PREVIOUS_TRANSACTION_REFERENCE_HAS_CHARGEBACK"),
    (
        R.INVALID_REQUEST,
        "PREVIOUS_TRANSACTION_REFERENCE_VOIDED PAYMENT_SOURCE_MISMATCH PREFERRED_PAYMENT_SOURCE_MISMATCH",
    ),
    (R.INVALID_REQUEST, "MERCHANT_INITIATED_WITH_SECURITY_CODE MERCHANT_INITIATED_WITH_AUTHENTICATION_RESULTS"),
    (R.INVALID_REQUEST, "MERCHANT_INITIATED_WITH_MULTIPLE_PURCHASE_UNITS VAULT_INSTRUCTION_DUPLICATED"),
    (R.INVALID_REQUEST, "VAULT_INSTRUCTION_REQUIRED REQUIRED_PARAMETER_FOR_CUSTOMER_INITIATED_PAYMENT"),
    (R.INVALID_REQUEST, "PAYPAL_TRANSACTION_ID_NOT_FOUND PAYPAL_TRANSACTION_ID_EXPIRED PNREF_NOT_FOUND PNREF_EXPIRED"),
    (R.INVALID_REQUEST, "APPLE_PAY_AMOUNT_MISMATCH INVALID_GOOGLE_PAY_TOKEN GOOGLE_PAY_GATEWAY_MERCHANT_ID_MISMATCH"),
    (R.INVALID_REQUEST, "BLIK_ONE_CLICK_MISSING_REQUIRED_PARAMETER RETURN_URL_REQUIRED CANCEL_URL_REQUIRED"),
    (R.INVALID_REQUEST, "BANK_NOT_SUPPORTED_FOR_VERIFICATION ONLY_ONE_BANK_SOURCE_ALLOWED INVALID_IBAN"),
    (R.INVALID_REQUEST, "IBAN_COUNTRY_NOT_SUPPORTED IDENTIFIER_NOT_FOUND"),
    # refunds: nothing given back
    (R.INVALID_REQUEST, "REFUND_NOT_ALLOWED REFUND_TIME_LIMIT_EXCEEDED PARTIAL_REFUND_NOT_ALLOWED CURRENCY_MISMATCH"),
    (R.INVALID_REQUEST, "MAX_NUMBER_OF_REFUNDS_EXCEEDED REFUND_CAPTURE_CURRENCY_MISMATCH PENDING_CAPTURE"),
    (R.INVALID_REQUEST, "TRANSACTION_DISPUTED REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK REFUND_IS_RESTRICTED"),
    (R.AMOUNT_NOT_ALLOWED, "REFUND_AMOUNT_EXCEEDED REFUND_AMOUNT_TOO_LOW"),
    (R.INSUFFICIENT_FUNDS, "REFUND_FAILED_INSUFFICIENT_FUNDS"),
)
"""Issues, and names and OAuth errors that come without one, that surely mean no."""

PROCESSOR = table(
    # the card
    (R.INVALID_CARD_NUMBER, "0390 1330 1335 6300 7800 PPFI"),
    (R.EXPIRED_CARD, "1380 5400 PPEF PPEX"),
    (R.CARD_CHECK_FAILED, "00N7 0890 1382 5110 5130 5170 5190 5500 7710 7900 PCVV PPAD PPAV PPC2"),
    (R.LOST_OR_STOLEN, "9520"),
    (R.CARD_BLOCKED, "1352 5140 5150 5160 5180 5930 5950 9540 PP06 PPAB PPFR PPRN"),
    (R.INSUFFICIENT_FUNDS, "5120"),
    (R.LIMIT_EXCEEDED, "PPAX"),
    (R.TOO_MANY_TRIES, "5135 5710 PPEL PPNL"),
    (R.FRAUD_SUSPECTED, "9500 9510 PPSC"),
    (R.ISSUER_DECLINED, "0100 0500 0580 10BR 1393 5100 5210 5900 9530 PPAR PPDT PPDV PPH1 PPLS PPSD"),
    # this gateway does not take it, or not without the buyer (5650 7700 PPD3: 3-D Secure)
    (R.CARD_NOT_SUPPORTED, "1312 5650 5700 7700 8030 PPAE PPCO PPCT PPD3 PPDC PPDI PPMC PPNC PPPM PPQC PPSE PPTT PPUE"),
    (R.INSTALLMENT_NOT_ALLOWED, "PPUI"),
    (R.AMOUNT_NOT_ALLOWED, "1310 PPAI"),
    # the processor, the network, the issuer's computers
    (R.GATEWAY_MAINTENANCE, "0880 0960 1360 5910 5920 8000 8010 8100 8110 8220 9100 9600 PPER PPNT"),
    # the contract
    (R.CHANNEL_REJECTED, "1320 1340 1350 1370 8020 PPAG PPAU PPBG PPCE PPCU PPMB PPNM PPPI PPRR PPS4 PPUA PPUC PPUP"),
    (R.CHANNEL_REJECTED, "PPVC PPVT"),
    (R.BUYER_CANCELLED, "0R00"),
    # taken for a repetition of another charge: nowhere else, before somebody has looked
    (R.TOO_MANY_TRIES, "5200 PPIF"),
    # the call
    (
        R.INVALID_REQUEST,
        "1300 1317 1384 1390 5800 PCNR PPCR PPFE PPFV PPGR PPII PPIM PPIT PPLR PPMD PPPH PPRE PPRF PPS0",
    ),
    (R.INVALID_REQUEST, "PPS1 PPS2 PPS3 PPS5 PPS6 PPTE PPTF PPTI PPTR PPTV PPUR PPVE"),
)
"""Why a capture was declined: the processor's codes."""

DECLINES: Mapping[str, R] = MappingProxyType({**REFUSALS, **PROCESSOR})

CONTRADICTIONS = codes("0000 0800 1000 7600")
"""Approved, in part, without capture, or to be reversed: none of them belongs to a capture that was declined."""

UNKNOWN_CODES = CONTRADICTIONS | codes(
    # it runs, or it has run: the first one may have worked
    "PREVIOUS_REQUEST_IN_PROGRESS ORDER_COMPLETION_IN_PROGRESS RESOURCE_CONFLICT DUPLICATE_INVOICE_ID"
    " ORDER_ALREADY_CAPTURED DUPLICATE_REQUEST_ID PAYPAL_REQUEST_ID_PREVIOUSLY_USED CAPTURE_FULLY_REFUNDED"
    # no word of what went wrong
    " UNPROCESSABLE_ENTITY INTERNAL_SERVER_ERROR INTERNAL_SERVICE_ERROR SERVICE_UNAVAILABLE"
)
