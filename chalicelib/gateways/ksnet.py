"""KSNET: key-in, cancels in whole and in part, and cancel by our own order number.

Source of the rules, unless a line says otherwise: KSNET's public API documentation
(paydev.ksnet.co.kr/kspay/webfep/doc). How sure each fact is: docs/gateways/ksnet.md.

- Every answer is HTTP 200. A yes is `code` A0200 *and* `respCode` 0000 in `data`; a failed try's number begins with L.
- An answer names neither our order nor a currency. `payload`, which KSNET sends back as it came, says what an answer is
  about: our order id in a charge, our cancel id in a cancel. The currency is the one that was asked for.
- There is no query. An unanswered charge is undone by order number and date; that KSNET finds nothing to undo proves
  nothing, for the charge may still be on its way.
- Few codes are published. An issuer's refusal (A0201) is read from its Korean words; a cancel's is not, since nobody
  can be asked what became of the cancel before it.
"""

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    CancelRequest,
    CancelResult,
    Card,
    CardSummary,
    ChargeResult,
    Declined,
    GatewayCancel,
    NotSent,
    Operation,
    PaymentRequest,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import Money
from chalicelib.domain.specs import CredentialField, FieldRule, GatewaySpec, OrderIdScope, TestAccess
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import codes, cut, from_seoul, quote_text, read_json, shown, table, trade_dates
from chalicelib.gateways.words import is_unsure, refusal_reason
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType(
    {
        Environment.LIVE: "https://pay.ksnet.co.kr",
        Environment.TEST: "https://paydev.ksnet.co.kr",
    }
)

API = "/kspay/webfep/api/v1"

SPEC = GatewaySpec(
    provider="ksnet",
    label="KSNET",
    english="KSNET",
    # Billing by card data exists, as PortOne offers it; its wire is not public.
    operations=frozenset({Operation.CHARGE_CARD, Operation.CANCEL, Operation.PARTIAL_CANCEL}),
    currencies=frozenset({"KRW", "USD"}),
    credentials=(
        CredentialField("mid", "상점 아이디 (MID)", secret=False, pattern=r"\d{10}", test_prefixes=("29991999",)),
        CredentialField("api_key", "API 인증키 (pgapi)", pattern=r"[!-~]{10,300}"),
        CredentialField(
            "old_cert", "구인증 계약: 생년월일·비밀번호 확인 (Y/N)", secret=False, required=False, pattern="[YN]"
        ),
    ),
    settling_delay=timedelta(minutes=10),
    order_id_scope=OrderIdScope.NONE,
    test_access=TestAccess.CONTRACT,
    # Cancels by order number are taken for six months. After a day the charge is on its way to the issuer's books, and
    # a question that is still open then is better put to a person.
    net_cancel_window=timedelta(days=1),
    required=MappingProxyType({Operation.CHARGE_CARD: ("product_type", "buyer.name")}),
    field_rules=(FieldRule("product_type", "real|digital", "real 또는 digital이어야 합니다. (real or digital)"),),
    max_cancels=9,
)


class Adapter(Base):
    """One contract with KSNET. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: `mid` names the contract
        self._mid = credentials.get("mid", "")
        self._checks_holder = credentials.get("old_cert") == "Y"
        self._headers = {
            "Authorization": f"pgapi {credentials.get('api_key', '')}",
            "Content-Type": "application/json; charset=utf-8",
        }
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        """With birth date and password if the contract has that and both are given, by number and expiry otherwise.

        The two are paths of their own with contracts of their own, so what a request happens to carry must not choose.
        """
        body = _order(order_id, request) | {"cardNumb": card.number, "expiryDate": _expiry(card)}
        path = "noncert"
        if self._checks_holder and card.birth and card.password_2digits:
            body |= {"userInfo": card.birth, "password2": card.password_2digits}
            path = "oldcert"
        reply = self._send(f"/card/pay/{path}", "charge_card", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        answer = _read(reply)
        if answer is None or not answer.is_yes:
            return _refusal(reply, answer, order_id)
        return self._approved(answer.data, order_id, request.amount.currency, card)

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        """Without a gateway_ref this is a net-cancel: undo whatever runs under our order id."""
        if not request.gateway_ref:
            return self._undo(request, timeout)
        original = {"orgTradeKeyType": "TID", "orgTradeKey": request.gateway_ref}
        return self._cancel("cancel", original | _extent(request), request, timeout)

    def _undo(self, request: CancelRequest, timeout: float) -> CancelResult:
        """KSNET wants the date of the trade; near midnight in Seoul that may be either of two.

        Only a cancel that was done, and refused credentials, are told as they are: see the docstring of this file.
        """
        if request.amount != request.charged:
            raise UnsupportedOperation("ksnet: net-cancel undoes the whole charge")
        deadline = self._clock.monotonic() + timeout
        result: CancelResult = Unknown("not undone")
        for day in trade_dates(request.charged_at, self._clock.now()):
            original = {
                "orgTradeKeyType": "ORDER_NUMB",
                "orgTradeKey": request.order_id,
                "orgTradeDate": day,
                "cancelType": "FULL",
            }
            result = self._cancel("net_cancel", original, request, deadline - self._clock.monotonic())
            if isinstance(result, Cancelled | NotSent) or result.code is None:
                return result
        if isinstance(result, Declined) and result.reason is not R.CHANNEL_REJECTED:
            return Unknown(f"not undone: {result.message}", result.code)
        return result

    def _cancel(
        self, operation: str, fields: Mapping[str, str], request: CancelRequest, timeout: float
    ) -> CancelResult:
        body = {"payload": request.cancel_id, **fields}
        reply = self._send("/card/cancel", operation, timeout, body)
        if not isinstance(reply, Reply):
            return reply
        answer = _read(reply)
        if answer is None or not answer.is_yes:
            return _refusal(reply, answer, request.cancel_id, believe_words=False)
        data = answer.data
        if doubt := data.doubt(request.cancel_id):
            return Unknown(doubt)
        if data.money(data.cancel_amount, request.amount.currency) != request.amount:
            return Unknown("the reply shows a cancel of another amount")
        # The trade keeps its number through all its cancels; `aid` is what KSNET gives each request.
        done = GatewayCancel(answer.aid or data.tid, request.amount, self._moment(data), request.reason)
        return Cancelled(done)

    def _approved(self, data: "_Data", order_id: str, currency: str, card: Card) -> ChargeResult:
        if doubt := data.doubt(order_id):
            return Unknown(doubt)
        amount = data.money(data.total_amount, currency)
        if amount is None:
            return Unknown("the reply's amount is unreadable")
        issuer = shown(data.issuer_card_name)
        return Approved(
            gateway_ref=data.tid,
            amount=amount,
            approved_at=self._moment(data),
            approval_number=shown(data.approval_numb),
            card=CardSummary(
                name=issuer,
                issuer_name=issuer,
                publisher_name=issuer,
                number=card.masked,  # KSNET's own hides the last digit, too
                type={"CREDIT": 0, "CHECK": 1}.get(data.card_type or ""),
            ),
            balance=amount,
        )

    def _moment(self, data: "_Data") -> datetime:
        return from_seoul(data.trade_date_time) or self._clock.now()

    def _send(self, path: str, operation: str, timeout: float, body: Mapping[str, Any]) -> Reply | NotSent | Unknown:
        return self._http.ask(
            "POST",
            self._base_url + API + path,
            operation=f"ksnet.{operation}",
            timeout=timeout,
            headers=self._headers,
            body=json.dumps({"mid": self._mid, **body}).encode(),
        )


# --- requests ---------------------------------------------------------------------------------------------------


def _order(order_id: str, request: PaymentRequest) -> dict[str, str]:
    """Texts have to be characters of EUC-KR, since the issuers' networks speak that."""
    currency = request.amount.currency
    body = {
        "payload": order_id,
        "orderNumb": order_id,
        "userName": cut(request.buyer.name, 50, "euc-kr") or "구매자",
        "productType": (request.product_type or "").upper(),
        "productName": cut(request.name, 50, "euc-kr") or "상품",
        "totalAmount": _wire_amount(request.amount),
        "installMonth": f"{request.quota if request.quota > 1 else 0:02d}",
        "currencyType": currency,
    }
    if request.tax_free:
        body["taxFreeAmount"] = _wire_amount(Money(request.tax_free, currency))
    if request.vat is not None:
        body["tax"] = _wire_amount(Money(request.vat, currency))
    email = request.buyer.email
    if email and len(email) <= 50 and email.isascii():
        body["userEmail"] = email
    return body


def _extent(request: CancelRequest) -> dict[str, str]:
    if request.amount == request.charged:
        return {"cancelType": "FULL"}
    part = {
        "cancelType": "PARTIAL",
        "cancelTotalAmount": _wire_amount(request.amount),
        "cancelSeq": str(request.sequence),
    }
    if request.tax_free:
        part["cancelTaxFreeAmount"] = _wire_amount(Money(request.tax_free, request.amount.currency))
    return part


def _wire_amount(amount: Money) -> str:
    """Won as they are; a dollar is written as 1000, so a cent is 10."""
    return str(amount.amount if amount.currency == "KRW" else amount.amount * 10)


def _expiry(card: Card) -> str:
    return f"{card.expiry_year[-2:]}{card.expiry_month}"


# --- replies ----------------------------------------------------------------------------------------------------


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, coerce_numbers_to_str=True)


class _Data(_Wire):
    payload: str | None = None
    tid: str = Field("", max_length=60)
    resp_code: str | None = None
    resp_message: str | None = None
    trade_date_time: str | None = None
    total_amount: str | None = None
    cancel_amount: str | None = None
    approval_numb: str | None = None
    issuer_card_name: str | None = None
    card_type: str | None = None

    def doubt(self, payload: str) -> str | None:
        """Why a yes cannot be taken for KSNET's answer to what was sent with this payload, or None."""
        if self.payload != payload:
            return "the reply is not about this order"
        if not self.tid or self.is_failed_try:
            return "the reply has no transaction number"
        return None

    @property
    def is_failed_try(self) -> bool:
        return self.tid.startswith("L")

    def money(self, text: str | None, currency: str) -> Money | None:
        if not text or not text.isdecimal() or not text.isascii() or len(text) > 13:
            return None
        units, rest = divmod(int(text), 1 if currency == "KRW" else 10)
        return Money(units, currency) if units and not rest else None


class _Answer(_Wire):
    aid: str | None = Field(None, max_length=60)
    code: str = Field(min_length=1)
    message: str | None = None
    data: _Data = Field(default_factory=_Data)

    @field_validator("data", mode="before")
    @classmethod
    def _none_is_empty(cls, value: object) -> object:
        return {} if value is None else value

    @property
    def is_yes(self) -> bool:
        return self.code == "A0200" and self.data.resp_code == "0000"


def _read(reply: Reply) -> _Answer | None:
    """None for anything that is no answer of KSNET's, which come with HTTP 200 whatever they say."""
    return read_json(_Answer, reply) if reply.status == 200 else None


def _refusal(reply: Reply, answer: _Answer | None, payload: str, *, believe_words: bool = True) -> Declined | Unknown:
    """What an answer other than a yes means: no only with a code, or in words, that are known to mean no."""
    if answer is None:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    data = answer.data
    failed = answer.code == FAILED and data.is_failed_try and data.payload == payload and data.resp_code
    code = quote_text((data.resp_code if failed else answer.code) or "", 60)
    message = quote_text((data.resp_message if failed else answer.message) or code)
    reason = (TRADE_DECLINES if failed else DECLINES_UNTRIED).get(code)
    if reason is None and failed and believe_words:
        reason = refusal_reason(message)
    if reason and data.resp_code != "0000" and not is_unsure(message):
        return Declined(reason, code, message)
    if code not in UNKNOWN_CODES and code not in DECLINES:
        log.warning("ksnet: code %r is not mapped, outcome unknown", code)
    return Unknown(message, code)


# --- codes ------------------------------------------------------------------------------------------------------

FAILED = "A0201"
"""Stands for everything that may go wrong with a trade; `data` tells what."""

TRADE_DECLINES = table(
    (R.LIMIT_EXCEEDED, "8326"),
    (R.CARD_CHECK_FAILED, "6003"),
    (R.INVALID_REQUEST, "7003"),
)
"""`data.respCode` of a failed try: those that the documentation's examples show."""

DECLINES_UNTRIED = table((R.INVALID_REQUEST, "A0400 A0403"), (R.CHANNEL_REJECTED, "A0401"))
"""`code`: nothing was carried out."""

DECLINES: Mapping[str, R] = MappingProxyType({**TRADE_DECLINES, **DECLINES_UNTRIED})

UNKNOWN_CODES = codes("A0200 A0201 A0500 A0999")
"""Errors of KSNET's server and others, a yes that is none, and a failure without what belongs to it."""
