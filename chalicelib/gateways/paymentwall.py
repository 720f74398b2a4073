"""Paymentwall, Brick API: typed-in cards and permanent tokens of many currencies, refunds, query, pingbacks.

Source of the rules, unless a line says otherwise: the source of Paymentwall's documentation site (2017) and its PHP
client (2024). How sure each fact is: docs/gateways/paymentwall.md.

- A charge has three ends: paid, refused, and under risk review (`Pending`), which a pingback ends minutes later.
- No idempotency key, and the answer to a charge does not name our order. It is believed because it comes on the
  connection that asked; amount, currency and state are the answer's own.
- A charge is asked for by Paymentwall's number. By our order id (sent as `plan`) it can be asked only where support has
  switched on the payment status API (credential `status_api`).
- A permanent token comes with a first charge and with nothing else, and charges only under the e-mail of that charge.
- A charge shows whether it was refunded as a whole, and nothing of a part. Which field asks for a part is a guess; a
  wrong guess would refund everything. So parts need the credential `partial_refund`, and an answer that says "refunded"
  while something should be left is never taken for a yes.
"""

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote, urlencode

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    CancelRequest,
    CancelResult,
    Card,
    CardSummary,
    ChargeNotice,
    ChargeQuery,
    ChargeResult,
    Declined,
    FindResult,
    GatewayCancel,
    KeyIssued,
    NotFound,
    NotSent,
    Operation,
    PaymentRequest,
    Pending,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import EXPONENTS, Money, parse_currency, parse_money
from chalicelib.domain.specs import CredentialField, FieldRule, GatewaySpec, OrderIdScope, TestAccess
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import Shown, codes, plain_text, quote_text, table
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType({
    Environment.LIVE: "https://api.paymentwall.com",
    Environment.TEST: "https://api.paymentwall.com",
})  # fmt: skip
"""One host: the keys decide. Only cards are sent elsewhere, see LIVE_TOKENS."""

LIVE_TOKENS = "https://pwgateway.com/api/token"
"""Where one-time tokens are made with live keys. With test keys it is the API's own host."""
TEST_TOKENS = "/api/brick/token"
TEST_KEY = "t_"

SPEC = GatewaySpec(
    provider="paymentwall",
    label="페이먼트월",
    english="Paymentwall",
    operations=frozenset(
        {
            Operation.CHARGE_CARD,
            Operation.CHARGE_BILLING_KEY,
            Operation.KEY_BY_CHARGE,
            Operation.CANCEL,
            Operation.READ,
        }
    ),
    recalled=frozenset({Operation.PARTIAL_CANCEL, Operation.FIND}),
    currencies=frozenset(EXPONENTS),
    credentials=(
        CredentialField(
            "public_key",
            "Brick 공개 키 (Public key)",
            secret=False,
            pattern=r"[!-~]{1,200}",
            test_prefixes=(TEST_KEY,),
            tests_are_marked=True,
        ),
        CredentialField(
            "private_key",
            "Brick 비공개 키 (Private key)",
            pattern=r"[!-~]{1,200}",
            test_prefixes=(TEST_KEY,),
            tests_are_marked=True,
        ),
        CredentialField(
            "browser_domain", "결제가 일어나는 웹사이트 (Website)", secret=False, pattern=r"[A-Za-z0-9.:/_-]{4,200}"
        ),
        CredentialField(
            "project_key", "프로젝트 키 (Project key)", secret=False, required=False, pattern=r"[!-~]{1,200}"
        ),
        CredentialField("secret_key", "시크릿 키 (Secret key)", required=False, pattern=r"[!-~]{1,200}"),
        CredentialField(
            "status_api",
            "Payment Status API 사용 (Y/N)",
            secret=False,
            required=False,
            pattern="[YN]",
            adds=frozenset({Operation.FIND}),
        ),
        CredentialField(
            "partial_refund",
            "부분취소 사용 (Y/N)",
            secret=False,
            required=False,
            pattern="[YN]",
            adds=frozenset({Operation.PARTIAL_CANCEL}),
        ),
    ),
    # Paymentwall's own client waits for 60 s. How soon the status API knows a charge is published nowhere.
    settling_delay=timedelta(minutes=30),
    order_id_scope=OrderIdScope.NONE,
    test_access=TestAccess.PUBLIC,
    tells_of_charges=True,
    required=MappingProxyType({Operation.CHARGE_CARD: ("buyer.email", "buyer.name", "browser_ip")}),
    field_rules=(
        FieldRule(
            "buyer.name",
            r"\s*\S+\s+\S.*",
            "이름과 성을 띄어 써야 합니다. (first and last name, with a blank between)",
            frozenset({Operation.CHARGE_CARD}),  # a key remembers the name it was made with
        ),
        FieldRule("quota", r"[01]", "할부를 지원하지 않습니다. (no instalments)"),
    ),
    # The smallest and the largest amount are set in dollars, per contract: 3115 and 3116 tell.
    card_fields=frozenset({"cvc"}),
)


class Adapter(Base):
    """One project at Paymentwall. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the keys name the project
        self._public_key = credentials.get("public_key", "")
        self._private_key = credentials.get("private_key", "")
        self._project_key = credentials.get("project_key", "")
        self._secret_key = credentials.get("secret_key", "")
        self._browser_domain = credentials.get("browser_domain", "")
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        """A one-time token for the card, then the charge. The two share the time-out."""
        deadline = self._clock.monotonic() + timeout
        token = self._tokenise(card, timeout / 3)
        if not isinstance(token, _Token):
            return _before_charge(token)
        payer = {"email": request.buyer.email or "", "name": request.buyer.name or ""}
        form = self._order(order_id, request, {**payer, "token": token.token})
        form["store_card"] = "1" if request.keep_card else "0"
        charge = self._charge(form, deadline - self._clock.monotonic())
        if not isinstance(charge, _Charge):
            return charge
        summary = charge.summary(card.masked)
        result = self._outcome(charge, summary)
        if isinstance(result, Approved) and request.keep_card and charge.card and charge.card.token:
            # The token charges only under the e-mail it was made with, and the name is that of the card's holder.
            return replace(result, key=KeyIssued({**payer, "token": charge.card.token}, summary))
        return result

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        charge = self._charge(self._order(order_id, request, secret), timeout)
        return self._outcome(charge, charge.summary()) if isinstance(charge, _Charge) else charge

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        if query.gateway_ref:
            return self._read(query.gateway_ref, timeout)
        if Operation.FIND in self.spec.operations:
            return self._find(query.order_id, timeout)
        return Unknown("cannot be asked by order id")

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        """The answer tells whether all of the charge is refunded, and no amounts."""
        if not request.gateway_ref:
            raise UnsupportedOperation("paymentwall: no cancel by order id (net-cancel)")
        form: dict[str, str] = {}
        if request.amount != request.charged:
            if Operation.PARTIAL_CANCEL not in self.spec.operations:
                # No refusal: while the option was on, the same part may have been sent, and carried out.
                return NotSent(PARTS_ARE_OFF, unwell=False)
            form["amount"] = _decimal(request.amount)
        path = f"/api/brick/charge/{quote(request.gateway_ref, safe='')}/refund"
        reply = self._send("POST", path, "cancel", timeout, form)
        if not isinstance(reply, Reply):
            return reply
        charge = _success(_Charge, reply)
        if charge is None:
            return _refusal(reply)
        if charge.id != request.gateway_ref or charge.refunded is not (request.amount == request.balance):
            return Unknown("the reply does not show this cancel as done")
        cancel = GatewayCancel(charge.id, request.amount, self._clock.now(), reason=request.reason)
        return Cancelled(cancel, _nothing(request.amount) if charge.refunded else None)

    def read_charge_notice(self, fields: Mapping[str, Any]) -> ChargeNotice:
        """A pingback: signed under the project's secret key, in one of three ways.

        Nothing separates the fields in what is signed, so each must look like what it is. Else a buyer could choose an
        e-mail (which is the first field of version 1) that reads as another order's id once the text is split anew.
        """
        if not self._secret_key or not all(isinstance(value, str) for value in fields.values()):
            raise _no_pingback("sig")
        version = fields.get("sign_version") or "1"
        if version not in SIGNATURE_HASHES:
            raise _no_pingback("sign_version")
        signed, given = _signature(fields, version, self._secret_key), fields.get("sig", "")
        if not hmac.compare_digest(signed.encode(), given.encode(errors="replace")):
            raise _no_pingback("sig")
        for name, pattern in PINGBACK_FIELDS.items():
            if not re.fullmatch(pattern, fields.get(name, "")):
                raise _no_pingback(name)
        return ChargeNotice(fields["goodsid"], fields["ref"], taken_back=fields["type"] == "2")

    def _tokenise(self, card: Card, timeout: float) -> "_Token | Declined | NotSent | Unknown":
        form = {
            "public_key": self._public_key,
            "card[number]": card.number,
            "card[exp_month]": card.expiry_month,
            "card[exp_year]": card.expiry_year,
            "card[cvv]": card.cvc or "",
        }
        live = self._base_url == URLS[Environment.LIVE] and not self._public_key.startswith(TEST_KEY)
        url = LIVE_TOKENS if live else self._base_url + TEST_TOKENS
        reply = self._ask("POST", url, "tokenise", timeout, form, {})
        if not isinstance(reply, Reply):
            return reply
        return _success(_Token, reply) or _refusal(reply)

    def _order(self, order_id: str, request: PaymentRequest, payer: Mapping[str, str]) -> dict[str, str]:
        """payer: a token, with the e-mail and the name that it goes with."""
        first, *rest = plain_text(payer["name"]).split(maxsplit=1) or [""]
        form = {
            "token": payer["token"],
            "amount": _decimal(request.amount),
            "currency": request.amount.currency,
            "description": plain_text(request.name)[:200] or "상품",
            "email": plain_text(payer["email"]),
            "customer[firstname]": first,
            "customer[lastname]": "".join(rest),
            "plan": order_id,
            "timestamp": str(int(self._clock.now().timestamp())),
            "browser_domain": self._browser_domain,
        }
        if request.browser_ip:
            form["browser_ip"] = request.browser_ip
        if Operation.FIND in self.spec.operations:
            # The status API wants a user's id beside the order id, and a query knows only the latter. One id for all
            # buyers would make them one person to the risk review; without any, the e-mail is the id.
            form["uid"] = order_id
        return form

    def _charge(self, form: Mapping[str, str], timeout: float) -> "_Charge | Declined | NotSent | Unknown":
        reply = self._send("POST", "/api/brick/charge", "charge", timeout, form)
        if not isinstance(reply, Reply):
            return reply
        if _success(_SecureStep, reply):
            # Nothing is charged before the buyer has been at the bank's page, which nobody is shown here. Another
            # gateway may take the same card without, so it is this contract that does not take it.
            return Declined(R.CARD_NOT_SUPPORTED, "secure", SECURE_STEP)
        charge = _success(_Charge, reply)
        if charge is None:
            return _refusal(reply)
        return Unknown("a new charge that is refunded already") if charge.refunded else charge

    def _outcome(self, charge: "_Charge", card: CardSummary) -> Approved | Pending | Declined | Unknown:
        """Of a charge that was just made."""
        result = self._state(charge, captured=charge.captured)
        if not isinstance(result, Approved):
            return result
        return replace(result, card=card, balance=result.amount)

    def _read(self, gateway_ref: str, timeout: float) -> FindResult:
        path = f"/api/brick/charge/{quote(gateway_ref, safe='')}"
        reply = self._send("GET", path, "read", timeout)
        if not isinstance(reply, Reply):
            return reply
        charge = _success(_Charge, reply)
        if charge is None:  # "not found" included: it had told us this number
            return _refused_query(reply)
        if charge.id != gateway_ref:
            return Unknown("the reply is not about this charge")
        result = self._state(charge, captured=charge.captured)
        return replace(result, card=charge.summary()) if isinstance(result, Approved) else result

    def _find(self, order_id: str, timeout: float) -> FindResult:
        """Signed with the project's own keys. What it answers was always to be captured at once."""
        if not (self._project_key and self._secret_key):
            return Unknown("the payment status API needs project_key and secret_key")
        query = {"key": self._project_key, "uid": order_id, "ag_external_id": order_id, "sign_version": "3"}
        query["sign"] = _signature(query, "3", self._secret_key)
        reply = self._send("GET", f"/api/rest/payment?{urlencode(query)}", "find", timeout)
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply)
        if payment is None:
            refusal = _refused_query(reply)
            return NotFound() if refusal.code == NOT_FOUND_CODE else refusal
        if payment.product_id != order_id:
            return Unknown("the reply is not about this order")
        return self._state(payment, captured=None)

    def _state(self, found: "_Transaction", *, captured: bool | None) -> Approved | Pending | Declined | Unknown:
        """captured: None where the answer has no word for it."""
        if found.risk == "pending" or (found.risk == "approved" and captured is False):
            return Pending(found.id, "risk: pending" if found.risk == "pending" else "captured: false")
        if found.risk == "declined" and captured and not found.refunded:
            return Unknown("risk: declined, and captured")  # that it goes back by itself is nobody's word
        if found.risk == "declined":
            return Declined(R.FRAUD_SUSPECTED, "risk: declined", "위험 심사에서 거절되었습니다. (risk review)")
        amount = _money(found.amount, found.currency)
        if amount is None or found.risk != "approved":
            return Unknown(f"unreadable: risk {quote_text(found.risk, 30)}")
        cancels: tuple[GatewayCancel, ...] = ()
        balance = None if Operation.PARTIAL_CANCEL in self.spec.operations else amount
        if found.refunded:
            cancels = (GatewayCancel(found.id, amount, self._clock.now()),)
            balance = _nothing(amount)
        return Approved(
            gateway_ref=found.id,
            amount=amount,
            approved_at=_instant(found.created) or self._clock.now(),
            balance=balance,
            cancels=cancels,
        )

    def _send(
        self, method: str, path: str, operation: str, timeout: float, form: Mapping[str, str] | None = None
    ) -> Reply | NotSent | Unknown:
        return self._ask(method, self._base_url + path, operation, timeout, form, {"X-ApiKey": self._private_key})

    def _ask(
        self,
        method: str,
        url: str,
        operation: str,
        timeout: float,
        form: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> Reply | NotSent | Unknown:
        return self._http.ask(
            method,
            url,
            operation=f"paymentwall.{operation}",
            timeout=timeout,
            headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
            body=None if form is None else urlencode(form).encode(),
        )


# --- requests ---------------------------------------------------------------------------------------------------


def _decimal(amount: Money) -> str:
    """In whole units, as many decimals as the currency has: 10.50, but 8900 won."""
    return f"{amount.to_decimal():f}"


def _signature(fields: Mapping[str, str], version: str, secret_key: str) -> str:
    """Over fixed fields (1), or over all in the order of their names. Array members are called `name[key]`."""
    names = V1_FIELDS if version == "1" else sorted(fields.keys() - {"sig"}, key=lambda name: name.split("["))
    text = "".join(f"{name}={fields.get(name, '')}" for name in names) + secret_key
    return hashlib.new(SIGNATURE_HASHES[version], text.encode(errors="replace")).hexdigest()


# --- replies ----------------------------------------------------------------------------------------------------


class _Wire(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)


class _Token(_Wire):
    type: Literal["token"]
    token: str = Field(pattern=r"^[!-~]{1,200}$")


class _Card(_Wire):
    token: Shown[Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]] = None
    type: Shown[str] = None
    last4: Shown[str] = None


class _Transaction(_Wire):
    id: str = Field(pattern=r"^[!-~]{1,100}$")
    amount: Decimal
    currency: str = Field(min_length=3)
    risk: str
    refunded: bool
    created: Shown[int] = None


class _Charge(_Transaction):
    """secure: that 3-D Secure was passed; PHP writes nothing in many ways. A demand for it is a _SecureStep."""

    object: Literal["charge"]
    captured: bool
    secure: Annotated[bool | None, BeforeValidator(lambda value: value or None)] = None
    card: Shown[_Card] = None

    def summary(self, number: str | None = None) -> CardSummary:
        """number: masked, where it is known; the answer has its end only."""
        last4 = self.card.last4 if self.card and re.fullmatch(r"\d{4}", self.card.last4 or "") else None
        brand = quote_text(self.card.type, 40) if self.card and self.card.type else None
        return CardSummary(name=brand, number=number or (last4 and f"{'*' * 12}{last4}"))


class _Payment(_Transaction):
    """What the payment status API knows of a charge."""

    object: Literal["payment"]
    product_id: str


class _SecureStep(_Wire):
    """A page for the buyer. What else may be said of 3-D Secure, beside a charge under review, is no demand for it."""

    secure: dict[str, Any]
    captured: Literal[False] = False

    @field_validator("secure")
    @classmethod
    def _has_a_page(cls, secure: dict[str, Any]) -> dict[str, Any]:
        if not (secure.get("formHTML") or secure.get("redirect")):
            raise ValueError("no page")
        return secure


class _Refusal(_Wire):
    type: str | None = None
    object: str | None = None
    code: str | None = Field(None, min_length=1)
    error: str | None = None

    @property
    def is_error(self) -> bool:
        return "Error" in (self.type, self.object)


W = TypeVar("W", bound=_Wire)


def _parse(model: type[W], reply: Reply) -> W | None:
    """None for anything but the JSON we expect. Numbers with a point are read as decimals, and byte order marks, with
    which some answers begin, are left out.
    """
    if reply.status >= 500:
        return None
    try:
        text = reply.body.decode().replace("\ufeff", "")
        return model.model_validate(json.loads(text, parse_float=Decimal))
    except (ValueError, RecursionError):  # ValidationError and UnicodeDecodeError are ValueErrors
        return None


def _success(model: type[W], reply: Reply) -> W | None:
    return _parse(model, reply) if reply.status == 200 else None


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than success means: no only with a code that is known to mean no."""
    result = _parse(_Refusal, reply)
    if result is None or result.code is None or not (result.is_error or reply.status >= 400):
        return Unknown(f"HTTP {reply.status} without a code", unwell=result is None)
    code = quote_text(result.code, 60)
    message = quote_text(result.error or code)
    if reason := DECLINES.get(code):
        return Declined(reason, code, message)
    if code not in UNKNOWN_CODES:
        log.warning("paymentwall: code %r is not mapped, outcome unknown", code)
    return Unknown(f"HTTP {reply.status}: {message}", code)


def _refused_query(reply: Reply) -> Unknown:
    """A refused question says nothing about the charge."""
    refusal = _refusal(reply)
    if isinstance(refusal, Declined):
        return Unknown("the query was refused", refusal.code, unwell=refusal.reason is R.CHANNEL_REJECTED)
    return refusal


def _before_charge(result: Declined | NotSent | Unknown) -> Declined | NotSent:
    """The outcome of a charge whose one-time token could not be made: that moves no money, and knows no order."""
    if isinstance(result, Unknown):
        return NotSent(f"no token to charge: {result.detail}", unwell=result.unwell)
    return result


def _money(amount: Decimal, currency: str) -> Money | None:
    try:
        return parse_money(amount, parse_currency(currency), minimum=1)
    except InvalidRequest:
        return None


def _nothing(of: Money) -> Money:
    return Money(0, of.currency)


def _instant(seconds: int | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _no_pingback(field: str) -> InvalidRequest:
    return InvalidRequest(field, f"{field}: 페이먼트월의 핑백이 아닙니다. (not a pingback, or its signature is wrong)")


# --- codes ------------------------------------------------------------------------------------------------------

SECURE_STEP = "3-D Secure 인증이 필요한 카드입니다. 결제되지 않았습니다. (3-D Secure is asked for; nothing was charged)"
PARTS_ARE_OFF = "부분취소가 꺼져 있는 채널입니다. (partial_refund is off for this channel; not sent)"

PLAIN_ID = "[A-Za-z0-9_-]{1,64}"
PINGBACK_FIELDS: Mapping[str, str] = MappingProxyType(
    {"goodsid": PLAIN_ID, "ref": PLAIN_ID, "type": "[0-9]{1,3}", "slength": "", "speriod": ""}
)
"""What a pingback about one of our charges has; the last two are those of subscriptions."""
V1_FIELDS = ("uid", "goodsid", "slength", "speriod", "type", "ref")
SIGNATURE_HASHES: Mapping[str, str] = MappingProxyType({"1": "md5", "2": "md5", "3": "sha256"})
"""Per version of the signature. Which of them a pingback has is a setting of the project."""


DECLINES = table(
    # the card
    (R.INVALID_CARD_NUMBER, "224 3003 3101"),
    (R.EXPIRED_CARD, "223 3004-3006 3102"),
    (R.CARD_CHECK_FAILED, "225 3014"),
    (R.CARD_BLOCKED, "3013"),
    (R.INSUFFICIENT_FUNDS, "3011"),
    (R.ISSUER_DECLINED, "3010 3012 3200"),
    (R.FRAUD_SUSPECTED, "5000"),
    (R.CARD_NOT_SUPPORTED, "3103 3104"),
    # the amount
    (R.AMOUNT_NOT_ALLOWED, "3115 3116"),
    # the project and its keys
    (R.CHANNEL_REJECTED, "1001 1003 2111 3001 3113 4006-4008"),
    # the permanent token
    (R.BILLING_KEY_INVALID, "3111 3114"),
    # the call; 3112: a one-time token, which here is always fresh
    (R.INVALID_REQUEST, "200 3002 3008 3009 3112 3301-3306 3401-3408 4004 4005"),
    # refunds: refused, nothing given back
    (R.INVALID_REQUEST, "3202 3204"),
)
"""Codes that surely mean no. A code in no table is unknown."""

NOT_FOUND_CODE = "3000"
"""No such charge: an answer to a query by order id; anywhere else unknown."""

UNKNOWN_CODES = codes(
    # internal errors
    "231 700 1000 "
    # a charge like this one is there already: the first one may have worked
    "3205 "
    # refunded before, by us or by another
    "3201 "
    # captured, or lapsed, before: we never capture in a step of its own
    "3203 3206 " + NOT_FOUND_CODE
)
