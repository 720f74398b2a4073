"""Smartro, new module: charges of billing keys, and cancels.

Source of the rules: the vendor's manual as far as its pages are public, and public code that talks to it. How sure each
fact is: docs/gateways/smartro_v2.md.

- Keys are issued in Smartro's window only; `read_registration` reads what the window reports.
- There is no query, and nothing undoes a charge by order number: a lost reply needs a person.
- Nobody has published the codes of refusals. A charge is declined only where the answer says in Korean why; any other
  answer is unknown.
- Each call is a JSON object under AES, in an envelope that names the merchant. The encryption is what authenticates it.
"""

import base64
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    CancelRequest,
    CancelResult,
    CardSummary,
    ChargeResult,
    Declined,
    GatewayCancel,
    IssueResult,
    KeyIssued,
    NotSent,
    Operation,
    PaymentRequest,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import Money
from chalicelib.domain.specs import CredentialField, FieldRule, GatewaySpec, OrderIdScope, TestAccess
from chalicelib.gateways import aes
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import codes, cut, from_seoul, quote_text, read_json, seoul, table
from chalicelib.gateways.words import refusal_reason
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType(
    {
        Environment.LIVE: "https://approval.smartropay.co.kr",
        Environment.TEST: "https://tapproval.smartropay.co.kr",
    }
)

SPEC = GatewaySpec(
    provider="smartro_v2",
    label="스마트로(신모듈)",
    # A removal and an issue by card data are described in public, but not where to send them.
    operations=frozenset({Operation.CHARGE_BILLING_KEY, Operation.CANCEL, Operation.PARTIAL_CANCEL}),
    recalled=frozenset({Operation.CANCEL, Operation.PARTIAL_CANCEL}),
    currencies=frozenset({"KRW"}),
    credentials=(
        CredentialField("mid", "상점 ID (Mid)", secret=False, pattern=r"[A-Za-z0-9_]{1,10}"),
        # Its first 32 characters, as they stand, are the AES key.
        CredentialField("merchant_key", "상점 키 (MerchantKey)", pattern=r"[!-~]{32,500}"),
        CredentialField("cancel_password", "취소 비밀번호 (CancelPwd)", pattern=r"[!-~]{1,20}"),
        CredentialField(
            "ssp_mall_id", "간편결제 상점 ID (SspMallId)", secret=False, required=False, pattern=r"[A-Za-z0-9_]{1,10}"
        ),
    ),
    settling_delay=timedelta(minutes=10),
    order_id_scope=OrderIdScope.NONE,
    test_access=TestAccess.CONTRACT,
    required=MappingProxyType({Operation.CHARGE_BILLING_KEY: ("buyer.name", "buyer.email", "buyer.tel")}),
    field_rules=(
        FieldRule("merchant_uid", r"[A-Za-z0-9]{1,40}", "영문과 숫자 40자까지만 쓸 수 있습니다. (letters and digits)"),
        FieldRule("buyer.email", r"\S{1,60}", "60자까지만 쓸 수 있습니다. (60 characters at most)"),
        FieldRule("buyer.tel", r"[0-9 ()+.-]*[0-9][0-9 ()+.-]*", "숫자로 된 전화번호여야 합니다. (digits)"),
    ),
    max_cancels=999,  # CancelSeq has three digits
)


class Adapter(Base):
    """One contract with Smartro. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the mid names the contract
        self._mid = credentials.get("mid", "")
        self._merchant_key = credentials.get("merchant_key", "")
        self._cancel_password = credentials.get("cancel_password", "")
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        order = _order(order_id, request)
        key, amount = secret["billing_key"], order["Amt"]
        order |= {"Mid": self._mid, "BillTokenKey": key, "MallUserId": secret["mall_user_id"]}
        # No secret of the merchant's goes in: it shows that nothing was garbled, not who sent it.
        order |= {"EdiDate": seoul(self._clock.now()), "VerifyValue": _digest(key, self._mid, amount)}
        reply = self._send("/payment/approval/ssbbill.do", "charge_billing_key", order, timeout)
        return self._charged(reply, order_id, request.amount) if isinstance(reply, Reply) else reply

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        if not request.gateway_ref:
            raise UnsupportedOperation("smartro_v2: no cancel by order id (net-cancel)")
        order = _cancel_order(request)
        order |= {"Mid": self._mid, "CancelPwd": self._cancel_password}
        order["HashData"] = _digest(order["Tid"], self._merchant_key, order["CancelAmt"], order["PartialCancelCode"])
        reply = self._send("/payment/approval/cancel.do", "cancel", order, timeout)
        return self._cancelled(reply, request) if isinstance(reply, Reply) else reply

    def _charged(self, reply: Reply, order_id: str, asked: Money) -> ChargeResult:
        payment = _answer(_Payment, reply, *CHARGED_CODES)
        if payment is None:
            return _refusal(reply)
        if payment.order_id != order_id:
            return Unknown("the reply is not about this order")
        if payment.code != "3001" and payment.amount != asked.amount:  # some contracts are said to answer 0000
            return Unknown("the reply shows a charge of another amount", payment.code)
        return Approved(
            gateway_ref=payment.tid,
            amount=Money(payment.amount),
            approved_at=from_seoul(payment.authorized_on, "%y%m%d%H%M%S") or self._clock.now(),
            approval_number=payment.approval_number,
            card=_card_summary(payment.card_name, payment.card_number),
        )

    def _cancelled(self, reply: Reply, request: CancelRequest) -> CancelResult:
        """What the answer holds besides its code is not public, so the rest is compared only where it is there."""
        done = _answer(_Cancel, reply, *CANCELLED_CODES)
        if done is None:
            return _not_cancelled(reply)
        if done.tid not in {None, request.gateway_ref}:
            return Unknown("the reply is not about this payment")
        if done.amount not in {None, request.amount.amount}:
            return Unknown("the reply shows a cancel of another amount")
        return Cancelled(
            GatewayCancel(
                gateway_ref=done.number or request.cancel_id,
                amount=request.amount,
                cancelled_at=from_seoul(f"{done.date}{done.time}") or self._clock.now(),
                reason=request.reason,
            )
        )

    def _send(
        self, path: str, operation: str, order: Mapping[str, str], timeout: float
    ) -> Reply | Declined | NotSent | Unknown:
        if not re.fullmatch(r"[!-~]{32,}", self._merchant_key):
            text = "상점 키는 32자 이상이어야 합니다. (merchant_key must be 32 long at least)"
            return Declined(R.CHANNEL_REJECTED, "merchant_key", text)
        sealed = aes.encrypt_base64(json.dumps(order, ensure_ascii=False), self._merchant_key[:32], NO_MASK)
        envelope = {"EncData": sealed, "Mid": self._mid}
        return self._http.ask(
            "POST",
            self._base_url + path,
            operation=f"smartro_v2.{operation}",
            timeout=timeout,
            headers={"Content-Type": "application/json;charset=utf-8"},
            body=json.dumps(envelope).encode(),
        )


def read_registration(fields: Mapping[str, str], order_id: str, credentials: Mapping[str, str]) -> IssueResult:
    """What the window posts when a buyer has registered a card under our order id.

    VerifyValue holds no secret either. But whoever makes one has to know the key in plain, and the form has it
    encrypted: so the two together prove that key and card come from Smartro, now or once before. They cover neither
    the order id nor the user, which whoever repeats a form can write anew: the caller has to refuse a key that it has
    seen before.
    """
    mid, code = credentials["mid"], fields.get("ResultCode", "")
    if code != "3001":
        message = quote_text(fields.get("ResultMsg") or code)
        return Declined(refusal_reason(message) or R.ISSUER_DECLINED, quote_text(code, 60), message)
    key = aes.decrypt_base64(fields.get("BillTokenKey", ""), credentials["merchant_key"][:32], NO_MASK)
    card, user = fields.get("DisplayCardNo", ""), fields.get("MallUserId", "")
    verified = _digest(mid, key or "", card, code, SALT).encode()
    if not (key and user) or not hmac.compare_digest(verified, fields.get("VerifyValue", "").encode()):
        return Unknown("the registration was not made by Smartro")
    if (fields.get("Mid"), fields.get("Moid")) != (mid, order_id):
        return Unknown("the registration is not about this order")
    summary = _card_summary(fields.get("IssuerCardNm"), card)
    return KeyIssued({"billing_key": key, "mall_user_id": user}, summary or CardSummary())


# --- requests ---------------------------------------------------------------------------------------------------


def _order(order_id: str, request: PaymentRequest) -> dict[str, str]:
    buyer = request.buyer
    order = {
        "PayMethod": "CARD",
        "Moid": order_id,
        "Amt": str(request.amount.amount),
        "GoodsCnt": "1",
        "GoodsName": cut(request.name, 40) or "상품",
        "BuyerName": cut(buyer.name, 30) or "구매자",
        "BuyerTel": re.sub(r"\D", "", buyer.tel or ""),  # ten letters or more make it fail
        "BuyerEmail": cut(buyer.email, 60),
        "MallIp": "127.0.0.1",  # ours changes from call to call; this is what others send
        "UserIp": cut(request.browser_ip, 40) or "127.0.0.1",
        "CardQuota": f"{request.quota if request.quota > 1 else 0:02}",
        "CardPoint": "0",
    }
    return order | _shares("", request.amount, request.tax_free, request.vat)


def _cancel_order(request: CancelRequest) -> dict[str, str]:
    """CancelSeq is what keeps a part from being given back twice."""
    partial = request.amount != request.charged
    order = {
        "SERVICE_MODE": "CL1",
        "Tid": request.gateway_ref,
        "CancelAmt": str(request.amount.amount),
        "CancelMsg": cut(request.reason, 100) or "취소",
        "PartialCancelCode": "1" if partial else "0",
        "CancelSeq": str(request.sequence),
    }
    return order | _shares("Cancel", request.amount, request.tax_free, request.vat)


def _shares(prefix: str, amount: Money, tax_free: int, vat: int | None) -> dict[str, str]:
    """Stated where the merchant states one of them; other contracts leave the split to Smartro."""
    if not tax_free and vat is None:
        return {}
    vat = (amount.amount - tax_free) // 11 if vat is None else vat
    shares = {"TaxAmt": amount.amount - tax_free - vat, "VatAmt": vat, "TaxFreeAmt": tax_free}
    return {prefix + name: str(share) for name, share in shares.items()}


def _digest(*parts: str) -> str:
    return base64.b64encode(hashlib.sha256("".join(parts).encode()).digest()).decode()


# --- replies ----------------------------------------------------------------------------------------------------


class _Result(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    code: str = Field(alias="ResultCode", min_length=1)
    message: str | None = Field(None, alias="ResultMsg")
    approval_number: str | None = Field(None, alias="AuthCode")


class _Payment(_Result):
    tid: str = Field(alias="Tid", min_length=1)
    order_id: str = Field(alias="Moid")
    amount: int = Field(alias="Amt")
    authorized_on: str | None = Field(None, alias="AuthDate")
    card_name: str | None = Field(None, alias="AppCardName")
    card_number: str | None = Field(None, alias="CardNum")


class _Cancel(_Result):
    tid: str | None = Field(None, alias="Tid")
    amount: int | None = Field(None, alias="CancelAmt")
    date: str | None = Field(None, alias="CancelDate")
    time: str | None = Field(None, alias="CancelTime")
    number: str | None = Field(None, alias="CancelNum")


W = TypeVar("W", bound=_Result)


def _answer(model: type[W], reply: Reply, *success: str) -> W | None:
    result = read_json(model, reply) if reply.status == 200 else None
    return result if result and result.code in success else None


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than success means: no only if it says in words what was refused."""
    result = read_json(_Result, reply) if reply.status < 500 else None
    if result is None:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    code = quote_text(result.code, 60)
    message = quote_text(result.message or code)
    if code in UNKNOWN_CODES:
        return Unknown(f"HTTP {reply.status}: {message}", code)
    if (result.approval_number or "").strip(" 0"):
        return Unknown(f"a refusal with an approval number: {message}", code)
    if reason := DECLINES.get(code) or refusal_reason(result.message or ""):
        return Declined(reason, code, message)
    log.warning("smartro_v2: code %r does not say why, outcome unknown", code)
    return Unknown(f"HTTP {reply.status}: {message}", code)


def _not_cancelled(reply: Reply) -> Declined | Unknown:
    """Only what speaks of the merchant is a no, and the password is the merchant's here.

    Anything else, such as an amount that is not there any more, may be so because an earlier try was carried out.
    """
    refusal = _refusal(reply)
    if isinstance(refusal, Unknown):
        return refusal
    if refusal.reason in {R.CHANNEL_REJECTED, R.CARD_CHECK_FAILED}:
        return replace(refusal, reason=R.CHANNEL_REJECTED)
    return Unknown(refusal.message, refusal.code)


def _card_summary(name: str | None, number: str | None) -> CardSummary | None:
    """Without Smartro's codes of card companies, which are not public. A number that is not masked is not kept."""
    masked = quote_text(number, 20) if number and "*" in number else None
    return CardSummary(name=name, publisher_name=name, number=masked) if name or masked else None


# --- codes ------------------------------------------------------------------------------------------------------

SALT = "SMARTRO!@#"
NO_MASK = bytes(16)
"""Of the first block; only the first 32 characters of the merchant key encrypt."""
"""Public, and the same for all merchants."""

CHARGED_CODES = ("3001", "0000")
CANCELLED_CODES = ("2001", "2211")

UNKNOWN_CODES = codes("0000 2001 2211 3001 4000 4100 A000")
"""Success, but of something else than was asked for, or without what belongs to it."""

DECLINES: Mapping[str, R] = table()
"""Nobody has published a code that means no."""
