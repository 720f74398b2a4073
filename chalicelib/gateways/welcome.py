"""Welcome Payments, PAYAPI: key-in, billing keys by card data, charges, cancels.

Source of the rules, unless a line says otherwise: Welcome's public manual (paywelcome.github.io). How sure each fact
is: docs/gateways/welcome.md.

- There is no query, and nothing undoes a card charge by order number: a lost reply needs a person.
- An answer to a charge names no order of ours, so that only the connection ties it to its question.
- A failure is any ResultCode but 00, and nobody has published which there are. A charge is declined only where the
  answer says in Korean why; any other answer is unknown.
- Forms go out, JSON comes back, and a refusal comes with HTTP 200.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Buyer,
    Cancelled,
    CancelRequest,
    CancelResult,
    Card,
    CardSummary,
    ChargeResult,
    Declined,
    DeleteResult,
    GatewayCancel,
    IssueRequest,
    IssueResult,
    KeyDeleted,
    KeyIssued,
    NotSent,
    Operation,
    PaymentRequest,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.institutions import CARDS
from chalicelib.domain.money import Money
from chalicelib.domain.specs import CredentialField, FieldRule, GatewaySpec, OrderIdScope, TestAccess
from chalicelib.gateways import aes
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import cut, from_seoul, quote_text, read_json, seoul, table
from chalicelib.gateways.words import refusal_reason
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType(
    {
        Environment.LIVE: "https://payapi.paywelcome.co.kr",
        Environment.TEST: "https://tpayapi.paywelcome.co.kr",
    }
)

SPEC = GatewaySpec(
    provider="welcome",
    label="웰컴페이먼츠",
    english="Welcome Payments",
    operations=frozenset(
        {
            Operation.CHARGE_CARD,
            Operation.ISSUE_BILLING_KEY,
            Operation.CHARGE_BILLING_KEY,
            Operation.DELETE_BILLING_KEY,
            Operation.CANCEL,
            Operation.PARTIAL_CANCEL,
        }
    ),
    currencies=frozenset({"KRW"}),
    credentials=(
        CredentialField("mid", "상점 ID (MID)", secret=False, pattern=r"[!-~]{1,10}"),
        CredentialField("sign_key", "사인키 (signKey)", pattern=r"[!-~]{1,200}"),
        CredentialField("api_key", "암호화 키 (api key)", pattern=r"[!-~]{32}"),
        CredentialField("api_iv", "암호화 IV (api iv)", pattern=r"[!-~]{16}"),
        # One switch for both: who need not prove the buyer's identity at a key-in need not for a key.
        CredentialField(
            "noauth", "비인증 계약: 카드번호와 유효기간만 사용 (Y/N)", secret=False, required=False, pattern="[YN]"
        ),
    ),
    settling_delay=timedelta(minutes=10),
    order_id_scope=OrderIdScope.NONE,
    test_access=TestAccess.CONTRACT,
    required=MappingProxyType({Operation.CHARGE_CARD: ("buyer.name",), Operation.CHARGE_BILLING_KEY: ("buyer.name",)}),
    field_rules=(FieldRule("merchant_uid", r"[ -~]{1,40}", "영문, 숫자, 기호 40자까지만 쓸 수 있습니다. (ASCII)"),),
)


class Adapter(Base):
    """One contract with Welcome. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the mid names the contract
        self._mid = credentials.get("mid", "")
        self._mkey = hashlib.sha256(credentials.get("sign_key", "").encode()).hexdigest()
        self._api_key = credentials.get("api_key", "")
        self._api_iv = credentials.get("api_iv", "")
        self._noauth = credentials.get("noauth") == "Y"
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        sealed = self._sealed(card)
        if isinstance(sealed, Declined):
            return sealed
        result = self._charge("/noauth/pay/card", "charge_card", order_id, request, sealed, timeout)
        return _of_card(result, card)

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        means = {"billkey": secret["billkey"]}
        return self._charge("/billing/billpay", "charge_billing_key", order_id, request, means, timeout)

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        """What is left after a part is given back as a part, too."""
        if not request.gateway_ref:
            raise UnsupportedOperation("welcome: no cancel by order id (net-cancel)")
        if request.amount == request.charged:
            path, amounts = "/cancel/cancel", {"price": str(request.amount.amount)}
        else:
            path, amounts = "/cancel/repay", _part(request)
        form = {"payType": "card", "tid": request.gateway_ref, "currency": "WON", **amounts}
        reply = self._send(path, "cancel", form, {}, timeout)
        return self._cancelled(reply, request) if isinstance(reply, Reply) else reply

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult:
        missing = _missing(request.customer, card, noauth=self._noauth)
        if missing:
            return Declined(R.INVALID_REQUEST, missing, f"{missing}: 웰컴페이먼츠의 필수 값입니다. (required)")
        sealed = self._sealed(card)
        if isinstance(sealed, Declined):
            return sealed
        path = "/noauth/billkey/card" if self._noauth else "/billing/billkey/card"
        form = {**_buyer(request.customer), **sealed, "etc": request.order_id}
        reply = self._send(path, "issue_billing_key", form, {"cardNumber": card.number}, timeout)
        if not isinstance(reply, Reply):
            return reply
        issued = _success(_Key, reply)
        if issued is None:
            return _refusal(reply)
        return KeyIssued({"billkey": issued.billkey}, _card_summary(issued.company, card))

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult:  # noqa: ARG002 - a deletion needs no id of ours here
        reply = self._send("/billing/billkey/delete", "delete_billing_key", {"billkey": secret["billkey"]}, {}, timeout)
        if not isinstance(reply, Reply):
            return reply
        answer = read_json(_Result, reply) if reply.status == 200 else None
        if answer and (answer.code == "00" or GONE_KEY.search(answer.message or "")):
            return KeyDeleted()
        return _refusal(reply)

    def _charge(
        self,
        path: str,
        operation: str,
        order_id: str,
        request: PaymentRequest,
        means: Mapping[str, str],
        timeout: float,
    ) -> ChargeResult:
        order = _order(order_id, request)
        signed = {"oid": order["oid"], "price": order["price"]}
        reply = self._send(path, operation, {**order, **means}, signed, timeout)
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply)
        if payment is None:
            return _refusal(reply)
        return Approved(
            gateway_ref=payment.tid,
            amount=Money(payment.price),
            approved_at=self._instant(payment.date, payment.time),
            approval_number=payment.approval_number,
            card=_card_summary(payment.company) if payment.company else None,
        )

    def _cancelled(self, reply: Reply, request: CancelRequest) -> CancelResult:
        done = _success(_Cancel, reply)
        if done is None:
            return _not_cancelled(reply)
        if done.tid != request.gateway_ref or done.order_id not in {None, request.order_id}:
            return Unknown("the reply is not about this payment")
        if done.price != request.amount.amount:
            return Unknown("the reply shows a cancel of another amount")
        cancel = GatewayCancel(
            gateway_ref=done.number or done.tid,
            amount=request.amount,
            cancelled_at=self._instant(done.date, done.time),
            reason=request.reason,
        )
        return Cancelled(cancel, None if done.left is None else Money(done.left))

    def _instant(self, date: str | None, time: str | None) -> datetime:
        return from_seoul(f"{date}{time}") or self._clock.now()

    def _sealed(self, card: Card) -> dict[str, str] | Declined:
        """The card's fields. Birth date and password only for contracts that ask for them."""
        if not re.fullmatch(r"[!-~]{32}", self._api_key) or not re.fullmatch(r"[!-~]{16}", self._api_iv):
            text = "암호화 키는 32자, IV는 16자여야 합니다. (api_key must be 32 long, api_iv 16)"
            return Declined(R.CHANNEL_REJECTED, "api_key", text)
        owner = {} if self._noauth else {"registNo": card.birth, "passwd": card.password_2digits}
        key, iv = self._api_key, self._api_iv.encode()
        plain = {"cardNumber": card.number, **owner}
        secret = {name: aes.encrypt_base64(value, key, iv) for name, value in plain.items() if value}
        return {**secret, "cardExpireYY": card.expiry_year[-2:], "cardExpireMM": card.expiry_month}

    def _send(
        self, path: str, operation: str, form: Mapping[str, str], signed: Mapping[str, str], timeout: float
    ) -> Reply | NotSent | Unknown:
        """signed: what the signature covers besides the merchant and the time."""
        timestamp = seoul(self._clock.now())
        signature = _sign({"mid": self._mid, "mkey": self._mkey, **signed, "timestamp": timestamp})
        whole = {"mid": self._mid, **form, "timestamp": timestamp, "signature": signature}
        return self._http.ask(
            "POST",
            self._base_url + path,
            operation=f"welcome.{operation}",
            timeout=timeout,
            headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            body=urlencode(whole).encode(),
        )


# --- requests ---------------------------------------------------------------------------------------------------


def _sign(fields: Mapping[str, str]) -> str:
    """Over name=value pairs in the order that the manual gives per call; a card number as it is, not as it is sent."""
    return hashlib.sha256("&".join(f"{name}={value}" for name, value in fields.items()).encode()).hexdigest()


def _order(order_id: str, request: PaymentRequest) -> dict[str, str]:
    order = {
        "oid": order_id,
        "price": str(request.amount.amount),
        "goodsName": cut(request.name, 80) or "상품",
        "cardQuota": f"{request.quota if request.quota > 1 else 0:02}",
        "quotaInterest": "1" if request.interest_free_by_merchant and request.quota > 1 else "0",
    }
    return {**order, **_shares(request.tax_free, request.vat), **_buyer(request.buyer)}


def _part(request: CancelRequest) -> dict[str, str]:
    """confirmPrice, what will be left, is what keeps a part from being given back twice."""
    left = request.balance - request.amount
    amounts = {"cancelPrice": str(request.amount.amount), "confirmPrice": str(left.amount)}
    return {**amounts, **_shares(request.tax_free, request.vat)}


def _shares(tax_free: int, vat: int | None) -> dict[str, str]:
    """Only contracts under which the merchant splits the VAT know these."""
    found = {"tax": vat, "taxfree": tax_free or None}
    return {name: str(share) for name, share in found.items() if share is not None}


def _buyer(buyer: Buyer) -> dict[str, str]:
    """All but the name is optional, so what does not fit is left out rather than refused."""
    found = {"buyerName": cut(buyer.name, 30) or "구매자"}
    if tel := cut(buyer.tel, 40):
        found["buyerTel"] = tel
    if buyer.email and len(buyer.email.encode(errors="replace")) <= 40:
        found["buyerEmail"] = cut(buyer.email, 40)
    return found


def _missing(customer: Buyer, card: Card, *, noauth: bool) -> str | None:
    """What an issue cannot do without, by V1's name."""
    needed = {"customer_name": customer.name}
    if not noauth:
        needed |= {"birth": card.birth, "pwd_2digit": card.password_2digits}
    return next((name for name, value in needed.items() if not value), None)


# --- replies ----------------------------------------------------------------------------------------------------


class _Result(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    code: str = Field(alias="ResultCode", min_length=1)
    message: str | None = Field(None, alias="ResultMsg")
    approval_number: str | None = Field(None, alias="ApplNum")


class _Key(_Result):
    billkey: str = Field(alias="Billkey", min_length=1)
    company: str | None = Field(None, alias="CardResultCode")


class _Payment(_Result):
    tid: str = Field(min_length=1)
    price: int = Field(alias="Price")
    date: str | None = Field(None, alias="PayDate")
    time: str | None = Field(None, alias="PayTime")
    company: str | None = Field(None, alias="CardResultCode")


class _Cancel(_Result):
    tid: str = Field(alias="Tid")
    price: int = Field(alias="Price")
    order_id: str | None = Field(None, alias="Moid")
    number: str | None = Field(None, alias="C_Tid")
    left: int | None = Field(None, alias="RmainPrice")
    date: str | None = Field(None, alias="CancelDate")
    time: str | None = Field(None, alias="CancelTime")


W = TypeVar("W", bound=_Result)


def _success(model: type[W], reply: Reply) -> W | None:
    result = read_json(model, reply) if reply.status == 200 else None
    return result if result and result.code == "00" else None


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than success means: no only if it says in words what was refused."""
    result = read_json(_Result, reply) if reply.status < 500 else None
    if result is None:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    code = quote_text(result.code, 60)
    message = quote_text(result.message or code)
    if code in UNKNOWN_CODES:
        return Unknown("success without what belongs to it", code)
    if (result.approval_number or "").strip(" 0"):
        return Unknown(f"a refusal with an approval number: {message}", code)
    if reason := DECLINES.get(code) or refusal_reason(result.message or ""):
        return Declined(reason, code, message)
    log.warning("welcome: code %r does not say why, outcome unknown", code)
    return Unknown(f"HTTP {reply.status}: {message}", code)


def _not_cancelled(reply: Reply) -> Declined | Unknown:
    """Only what speaks of the merchant is a no.

    Anything else, such as an amount that is not there any more, may be so because an earlier try was carried out.
    """
    refusal = _refusal(reply)
    if isinstance(refusal, Unknown) or refusal.reason is R.CHANNEL_REJECTED:
        return refusal
    return Unknown(refusal.message, refusal.code)


def _of_card(result: ChargeResult, card: Card) -> ChargeResult:
    """A key-in is answered with the card company at most; what number it was we know ourselves."""
    if not isinstance(result, Approved):
        return result
    return replace(result, card=replace(result.card or CardSummary(), number=card.masked))


def _card_summary(company: str | None, card: Card | None = None) -> CardSummary:
    code = CARD_CODES.get(company or "")
    name = CARDS.get(code or "")
    number = card.masked if card else None
    return CardSummary(name=name, code=code, issuer_code=code, issuer_name=name, number=number)


# --- codes ------------------------------------------------------------------------------------------------------

GONE_KEY = re.compile(
    r"(존재하지 ?않는|등록되지 ?않은|유효하지 ?않은|(?<!수)(?<!수 )없는|삭제된|미등록) ?빌링?키"
    r"|빌링?키[가는]? ?(없|존재하지)"
)
"""A key that cannot be deleted (삭제할 수 없는 빌키), or that was not, is still there: narrower than words.BAD_KEY."""

DECLINES: Mapping[str, R] = table()
"""Nobody has published a code that means no."""

UNKNOWN_CODES = frozenset({"00"})
"""Success, but without what belongs to it."""

# Welcome's two digits, of the card company that settles -> clearing-house code.
CARD_CODES: Mapping[str, str] = MappingProxyType(
    {
        "01": "374",
        "03": "368",
        "04": "367",
        "06": "381",
        "11": "361",
        "12": "365",
        "14": "366",
        "15": "370",
        "16": "371",
        "17": "374",
    }
)
