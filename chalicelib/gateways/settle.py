"""Hecto Financial (formerly Settlebank), card API: billing keys, key-in, cancels, query.

Source of the rules, unless a line says otherwise: Hecto's own documents as it publishes them for programmers; key-in
and the issue of keys stand in an earlier edition and in its samples only. How sure each fact is:
docs/gateways/settle.md.

- A message is two JSON objects: `params` says who asks for what, `data` has the rest. Amounts and card data are
  encrypted with one key; the whole is hashed with another, amounts in plain.
- `outStatCd` says whether the call worked, `outRsltCd` why not. In a query the latter is the state of the charge.
- Order numbers are unique within one day in Seoul only. Ours name one attempt and are never sent twice, so nothing
  hangs on it.
- There is no net-cancel. An unanswered charge is settled by asking for its order number; the answer has the sum of its
  cancels and no list.
- No answer names a currency, so won only, though Hecto takes dollars under a contract of its own.
"""

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated
from urllib.parse import unquote_plus

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import Money
from chalicelib.domain.receipts import default_vat
from chalicelib.domain.specs import CredentialField, FieldRule, GatewaySpec, OrderIdScope, TestAccess
from chalicelib.gateways import aes
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import codes, cut, from_seoul, quote_text, read_json, seoul, table
from chalicelib.gateways.words import is_unsure, issuer_reason
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType({
    Environment.LIVE: "https://gw.settlebank.co.kr",
    Environment.TEST: "https://tbgw.settlebank.co.kr",
})  # fmt: skip

SPEC = GatewaySpec(
    provider="settle",
    label="헥토파이낸셜",
    english="Hecto Financial",
    operations=frozenset(
        {
            Operation.CHARGE_BILLING_KEY,
            Operation.DELETE_BILLING_KEY,
            Operation.CANCEL,
            Operation.PARTIAL_CANCEL,
            Operation.FIND,
            Operation.READ,
        }
    ),
    currencies=frozenset({"KRW"}),
    credentials=(
        CredentialField("mid", "상점아이디 (mchtId)", secret=False, pattern=r"[0-9A-Za-z_]{1,12}"),
        # Everybody's key of the test bed would pass for a live one by its form alone.
        CredentialField(
            "aes_key",
            "암호화 키 (AES-256)",
            pattern=r"[!-~]{32}",
            test_prefixes=("pgSettle30y739r82jtd709yOfZ2yK5K",),
        ),
        CredentialField(
            "hash_key", "해시 키 (라이센스 키)", pattern=r"[!-~]{1,100}", test_prefixes=("ST1009281328226982205",)
        ),
        CredentialField(
            "key_in",
            "구인증 수기결제 계약 (Y/N)",
            secret=False,
            required=False,
            pattern="[YN]",
            adds=frozenset({Operation.CHARGE_CARD}),
        ),
        CredentialField(
            "issue_by_api",
            "빌키 발급 API 계약 (Y/N)",
            secret=False,
            required=False,
            pattern="[YN]",
            adds=frozenset({Operation.ISSUE_BILLING_KEY}),
        ),
        CredentialField(
            "noti_url", "결과통보 URL (notiUrl)", secret=False, required=False, pattern=r"https://[!-~]{1,242}"
        ),
    ),
    # Hecto's samples wait 25 s for an answer.
    settling_delay=timedelta(minutes=10),
    # "The day before to the day after" may mean what is searched, or when one may ask. A day holds for either.
    find_window=timedelta(days=1),
    order_id_scope=OrderIdScope.DAY,
    test_access=TestAccess.PUBLIC,
    field_rules=(FieldRule("quota", r"\d|1[0-2]", "할부는 12개월까지입니다. (at most 12 months)"),),
    # The contract that issues keys by API is the one whose key-in asks for both (구인증).
    card_fields=frozenset({"birth", "password_2digits"}),
    min_amount=1000,  # code CA42
    max_cancels=999,  # cnclOrd has three digits
    # Which code says "no such order", and that the number in the answer is the charge's.
    recalled=frozenset({Operation.FIND}),
)


class Adapter(Base):
    """One contract with Hecto Financial. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the mid names the contract
        self._mid = credentials.get("mid", "")
        self._aes_key = credentials.get("aes_key", "")
        self._hash_key = credentials.get("hash_key", "")
        self._noti_url = credentials.get("noti_url")
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        return self._charge("charge_card", order_id, request, order_id, _card_data(card), timeout, card)

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        key = {"billKey": secret["bill_key"]}
        customer = secret.get("customer_id") or order_id
        return self._charge("charge_billing_key", order_id, request, customer, key, timeout)

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        """The question has a number of its own each time, which the answer repeats: the order's number it does not.

        What was searched for is the order's number on the day it was sent, or the day before or after.
        """
        amount = query.amount.amount
        data = {
            "method": "CA",
            "trdAmt": str(amount),  # in plain here
            "orgTrdDt": seoul(query.requested_at, "%Y%m%d"),
            "orgMchtTrdNo": query.order_id,
        }
        if query.gateway_ref:
            data["orgTrdNo"] = query.gateway_ref
        number = f"{query.order_id}q{secrets.token_hex(4)}"
        answer = self._ask("find", number, {"ver": "0A1M"}, data, amount, timeout)
        if isinstance(answer, _Answer):
            return self._found(answer, query)
        return _not_found(answer, query)

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        if not request.gateway_ref:
            raise UnsupportedOperation("settle: no net-cancel")
        amount = request.amount.amount
        data = {
            "orgTrdNo": request.gateway_ref,
            "crcCd": "KRW",
            "cnclOrd": f"{request.sequence:03}",  # what keeps the same cancel from running twice
            "cnclAmt": str(amount),
            "cnclRsn": _text(request.reason, 255) or "취소",
            **_taxes(amount, request.tax_free, request.vat),
        }
        answer = self._ask("cancel", request.cancel_id, _head("C0"), data, amount, timeout)
        return self._cancelled(answer, request) if isinstance(answer, _Answer) else answer

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult:
        data = {"keyRegYn": "Y", **_card_data(card)}
        if name := _text(request.customer.name, 30):
            data["mchtCustNm"] = name
        customer = _customer_id(request)
        data["mchtCustId"] = customer
        answer = self._ask("issue_billing_key", request.order_id, _head("A4"), data, 0, timeout)
        if not isinstance(answer, _Answer):
            return answer
        if answer.params.code != "0000" or not answer.data.bill_key:
            return Unknown("the reply has no billing key", answer.params.code)
        return KeyIssued({"bill_key": answer.data.bill_key, "customer_id": customer}, _card_summary(answer.data, card))

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult:
        data = {"billKey": secret["bill_key"]}
        answer = self._ask("delete_billing_key", order_id, _head("A1"), data, 0, timeout)
        if isinstance(answer, Declined) and answer.reason is R.BILLING_KEY_INVALID:
            return KeyDeleted()
        if not isinstance(answer, _Answer):
            return answer
        if answer.params.code != "0000" or answer.data.bill_key not in {None, "", secret["bill_key"]}:
            return Unknown("the reply does not show this key as deleted", answer.params.code)
        return KeyDeleted()

    def _charge(
        self,
        operation: str,
        order_id: str,
        request: PaymentRequest,
        customer: str,
        means: Mapping[str, str],
        timeout: float,
        card: Card | None = None,
    ) -> ChargeResult:
        amount = request.amount.amount
        data = {**_order(request), "mchtCustId": customer, **means}
        if self._noti_url:
            data["notiUrl"] = self._noti_url
        answer = self._ask(operation, order_id, _head("B0"), data, amount, timeout)
        if not isinstance(answer, _Answer):
            return answer
        taken = self._amount(answer.data.amount)
        if answer.params.code != "0000" or not answer.params.ref or taken is None:
            return Unknown("the reply does not show the charge as done", answer.params.code)
        return Approved(
            gateway_ref=answer.params.ref,
            amount=Money(taken, "KRW"),
            approved_at=from_seoul(answer.params.sent_at) or self._clock.now(),
            approval_number=answer.data.approval_number or None,
            card=_card_summary(answer.data, card),
            balance=Money(taken, "KRW"),
        )

    def _found(self, answer: "_Answer", query: ChargeQuery) -> FindResult:
        code, ref = answer.params.code, query.gateway_ref or answer.params.ref
        if code == FAILED:
            message = answer.params.message or code
            return Declined(issuer_reason(message), code, message)
        taken, returned = self._amount(answer.data.amount), self._amount(answer.data.cancelled)
        if code not in TAKEN or taken is None or not ref or (returned is not None and returned > taken):
            return Unknown("the reply does not say what became of the charge", code)
        if code == CANCELLED and not returned:  # called paid, what was given back would be delivered for nothing
            return Unknown("the reply does not say how much was given back", code)
        # Neither the approval's hour nor the cancels one by one are told.
        cancels = (GatewayCancel("", Money(returned, "KRW"), self._clock.now()),) if returned else ()
        return Approved(
            gateway_ref=ref,
            amount=Money(taken, "KRW"),
            approved_at=query.requested_at,
            balance=None if returned is None else Money(taken - returned, "KRW"),
            cancels=cancels,
        )

    def _cancelled(self, answer: "_Answer", request: CancelRequest) -> CancelResult:
        returned, balance = self._amount(answer.data.cancelled), self._amount(answer.data.balance)
        if answer.params.code != "0000" or answer.data.charge_ref != request.gateway_ref:
            return Unknown("the reply does not show this cancel as done", answer.params.code)
        if returned != request.amount.amount:
            return Unknown("the reply shows a cancel of another amount")
        cancel = GatewayCancel(
            gateway_ref=answer.params.ref or "",
            amount=request.amount,
            cancelled_at=from_seoul(answer.params.sent_at) or self._clock.now(),
        )
        return Cancelled(cancel, None if balance is None else Money(balance, "KRW"))

    def _ask(
        self,
        operation: str,
        number: str,
        head: Mapping[str, str],
        data: Mapping[str, str],
        amount: int,
        timeout: float,
    ) -> "_Answer | Declined | NotSent | Unknown":
        """An answer that says the call worked, and is about it; or what else became of it."""
        if not re.fullmatch(r"[!-~]{32}", self._aes_key):
            return Declined(R.CHANNEL_REJECTED, "aes_key", "암호화 키는 32자여야 합니다. (aes_key must be 32 long)")
        now = seoul(self._clock.now())
        params = {"mchtId": self._mid, "mchtTrdNo": number, "trdDt": now[:8], "trdTm": now[8:], **head}
        signature = self._hash(now, self._mid, number, str(amount))
        key, secret = self._aes_key, SEALED[operation]
        sealed = {
            name: aes.encrypt_base64(value, key, None) if name in secret else value for name, value in data.items()
        }
        reply = self._http.ask(
            "POST",
            self._base_url + PATHS[operation],
            operation=f"settle.{operation}",
            timeout=timeout,
            headers={"Content-Type": "application/json; charset=UTF-8"},
            body=json.dumps({"params": params, "data": {"pktHash": signature, **sealed}}).encode(),
        )
        if not isinstance(reply, Reply):
            return reply
        answer = None if reply.status >= 500 else read_json(_Answer, reply)
        if answer is None:
            return Unknown(f"HTTP {reply.status} without a result", unwell=True)
        if answer.params.status != WORKED or reply.status != 200:
            return _refusal(answer, number)
        if answer.params.number != number:
            return Unknown("the reply is not about this order")
        if (answer.data.hash or "").lower() not in {signature, self._hash_of(answer, amount)}:
            return Unknown("the reply's hash is wrong")
        return answer

    def _hash_of(self, answer: "_Answer", asked: int) -> str:
        """How Hecto hashes an answer. Some carry the request's own hash instead; its editions differ on which."""
        told, params = self._amount(answer.data.amount), answer.params
        return self._hash(
            params.status, params.sent_at, self._mid, params.number or "", str(asked if told is None else told)
        )

    def _hash(self, *parts: str) -> str:
        return hashlib.sha256("".join((*parts, self._hash_key)).encode()).hexdigest()

    def _amount(self, text: str | None) -> int | None:
        """Whole won, in plain or encrypted: the editions of the document differ, and the test bed takes either."""
        if text and not text.isascii():
            return None
        plain = text if text is None or text.isdigit() else aes.decrypt_base64(text, self._aes_key, None)
        return int(plain) if plain and re.fullmatch(r"\d{1,12}", plain, re.ASCII) else None


# --- requests ---------------------------------------------------------------------------------------------------


PATHS = MappingProxyType({
    "charge_card": "/spay/APICardActionPay.do",
    "charge_billing_key": "/spay/APICardActionPay.do",
    "issue_billing_key": "/spay/APICardAuth.do",
    "delete_billing_key": "/spay/APICardActionDelkey.do",
    "cancel": "/spay/APICancel.do",
    "find": "/spay/APITrdcheck.do",
})  # fmt: skip

_TAXES = frozenset({"taxAmt", "vatAmt", "taxFreeAmt"})
_CARD = frozenset({"cardNo", "vldDtYear", "vldDtMon", "idntNo", "cardPwd"})
SEALED = MappingProxyType({
    "charge_card": _CARD | _TAXES | {"trdAmt"},
    "charge_billing_key": _TAXES | {"trdAmt"},
    "issue_billing_key": _CARD,
    "delete_billing_key": frozenset[str](),
    "cancel": _TAXES | {"cnclAmt"},
    "find": frozenset[str](),
})  # fmt: skip
"""What goes encrypted."""


def _head(kind: str) -> dict[str, str]:
    return {"ver": "0A19", "method": "CA", "bizType": kind, "encCd": "23", "mobileYn": "N", "osType": "E"}


def _order(request: PaymentRequest) -> dict[str, str]:
    amount = request.amount.amount
    data = {
        "pmtprdNm": _text(request.name, 128) or "상품",
        "mchtCustNm": _text(request.buyer.name, 30) or "구매자",  # has to be there
        "instmtMon": f"{request.quota:02}" if request.quota > 1 else "00",
        "crcCd": "KRW",
        "trdAmt": str(amount),
        **_taxes(amount, request.tax_free, request.vat),
    }
    email = request.buyer.email or ""
    if re.fullmatch(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+", email) and len(email) <= 60:
        data["email"] = email
    return data


def _card_data(card: Card) -> dict[str, str]:
    return {
        "cardNo": card.number,
        "vldDtYear": card.expiry_year[-2:],
        "vldDtMon": card.expiry_month,
        "idntNo": card.birth or "",
        "cardPwd": card.password_2digits or "",
    }


def _taxes(amount: int, tax_free: int, vat: int | None) -> dict[str, str]:
    """Nothing where nothing was said: the contract's own rule holds then."""
    if not tax_free and vat is None:
        return {}
    taxable = amount - tax_free
    tax = default_vat(taxable) if vat is None else vat
    kind = "N" if not tax_free else "G" if taxable else "Y"
    return {"taxTypeCd": kind, "taxAmt": str(taxable - tax), "vatAmt": str(tax), "taxFreeAmt": str(tax_free)}


def _customer_id(request: IssueRequest) -> str:
    """Hecto's name for the buyer, without Korean letters. Stable for a named buyer; else the order's."""
    customer = request.customer_id
    if not customer:
        return request.order_id
    if re.fullmatch(r"[A-Za-z0-9._@-]{1,50}", customer):
        return customer
    return hashlib.sha256(customer.encode(errors="surrogatepass")).hexdigest()[:48]


def _text(text: str | None, limit: int) -> str:
    """Hecto asks for no quotes, brackets or signs of URLs, and takes emojis out by itself."""
    return cut(re.sub(r"[^\w.,()\[\]/+~!@#%*=-]+", " ", text or ""), limit)


# --- replies ----------------------------------------------------------------------------------------------------


class _Wire(BaseModel):
    model_config = ConfigDict(populate_by_name=True, coerce_numbers_to_str=True)


class _Params(_Wire):
    status: str = Field(alias="outStatCd", min_length=1)
    code: str = Field(alias="outRsltCd", min_length=1)
    raw_message: str | None = Field(None, alias="outRsltMsg")
    number: str | None = Field(None, alias="mchtTrdNo")
    ref: str | None = Field(None, alias="trdNo")
    day: str | None = Field(None, alias="trdDt")
    time: str | None = Field(None, alias="trdTm")

    @property
    def sent_at(self) -> str:
        return f"{self.day or ''}{self.time or ''}"

    @property
    def message(self) -> str:
        """Most calls answer URL-encoded texts, which are ASCII then."""
        text = self.raw_message or ""
        return quote_text(unquote_plus(text) if text.isascii() else text)


class _Data(_Wire):
    hash: str | None = Field(None, alias="pktHash")
    amount: str | None = Field(None, alias="trdAmt")
    cancelled: str | None = Field(None, alias="cnclAmt")
    balance: str | None = Field(None, alias="blcAmt")
    charge_ref: str | None = Field(None, alias="orgTrdNo")
    bill_key: str | None = Field(None, alias="billKey")
    approval_number: str | None = Field(None, alias="apprNo")
    issuer: str | None = Field(None, alias="issrId")
    issuer_name: str | None = Field(None, alias="cardNm")
    card_kind: str | None = Field(None, alias="cardKind")
    card_number: str | None = Field(None, alias="cardNo")


class _Answer(_Wire):
    params: _Params
    data: Annotated[_Data, BeforeValidator(lambda value: value or {})] = Field(default_factory=_Data)
    """Some refusals have none."""


def _refusal(answer: _Answer, number: str) -> Declined | Unknown:
    """What an answer other than success means: no only with a code that is known to mean no."""
    params = answer.params
    code = quote_text(params.code, 60)
    message = params.message or code
    # Without the code: for whoever asks for an order it would mean that there is none.
    if params.number not in {None, "", number}:
        return Unknown("the reply is not about this order")
    if params.status != REFUSED:
        status = quote_text(params.status, 10)
        log.warning("settle: code %r with status %r, outcome unknown", code, status)
        return Unknown(f"status {status}, [{code}] {message}")
    reason = DECLINES.get(code)
    if reason and not (code in TOLD_IN_WORDS and is_unsure(message)):
        told = issuer_reason(message) if code in TOLD_IN_WORDS else R.ISSUER_DECLINED
        return Declined(reason if told is R.ISSUER_DECLINED else told, code, message)
    if reason is None and code not in UNKNOWN_CODES and code not in NOT_FOUND_CODES:
        log.warning("settle: code %r is not mapped, outcome unknown", code)
    return Unknown(message, code)


def _not_found(refusal: Declined | NotSent | Unknown, query: ChargeQuery) -> NotFound | NotSent | Unknown:
    """A refused question says nothing about the charge, unless it is refused because there is no such order.

    Of a charge that Hecto has given a number, that means only that it was too long ago.
    """
    if isinstance(refusal, Declined):
        return Unknown("the query was refused", refusal.code, unwell=refusal.reason is R.CHANNEL_REJECTED)
    if isinstance(refusal, Unknown) and refusal.code in NOT_FOUND_CODES and not query.gateway_ref:
        return NotFound()
    return refusal


def _card_summary(data: _Data, card: Card | None) -> CardSummary:
    issuer_code = CARD_CODES.get(data.issuer or "")
    number = data.card_number.replace("x", "*") if data.card_number else None
    return CardSummary(
        name=data.issuer_name or None,
        code=issuer_code,
        issuer_code=issuer_code,
        issuer_name=data.issuer_name or None,
        number=card.masked if card else quote_text(number, 20) if number else None,
        type=1 if "체크" in (data.card_kind or "") else None,
    )


# --- codes ------------------------------------------------------------------------------------------------------

WORKED, REFUSED = "0021", "0031"
CANCELLED = "0001"
TAKEN = frozenset({"0000", CANCELLED})
"""States of a charge in a query: paid, and given back at least in part."""
FAILED = "0009"

DECLINES = table(
    # the card
    (R.EXPIRED_CARD, "CA20"),
    (R.CARD_CHECK_FAILED, "CA27-CA30 CA70 CA75 0905"),
    (R.CARD_BLOCKED, "CA50-CA57"),
    (R.CARD_NOT_SUPPORTED, "CA58 CA59"),
    (R.LIMIT_EXCEEDED, "CA26 CA31-CA37"),
    (R.ISSUER_DECLINED, "CA82 J999 8373"),
    (R.FRAUD_SUSPECTED, "ST70 STR1-STR8"),
    # amount and instalments
    (R.AMOUNT_NOT_ALLOWED, "CA40-CA42"),
    (R.INSTALLMENT_NOT_ALLOWED, "CA21-CA23"),
    # the contract, the keys
    (R.CHANNEL_REJECTED, "1901 1902 CA60-CA65 CA87 ST47 ST48"),
    (R.GATEWAY_MAINTENANCE, "CA01 ST11 ST68"),
    (R.BILLING_KEY_INVALID, "ST01"),
    # the call
    (R.INVALID_REQUEST, "1001-1013 1101-1127 2001-2003 6001 CA03 CA13-CA19 CA38"),
    (R.INVALID_REQUEST, "ST07-ST09 ST13 ST24 ST30 ST32 ST55"),
    (R.BUYER_CANCELLED, "0009"),
    # cancels: refused, nothing given back
    (R.INVALID_REQUEST, "CA83 CA88 ST26 ST45 ST46"),
    (R.AMOUNT_NOT_ALLOWED, "0003 ST57 ST58"),
    (R.CHANNEL_REJECTED, "3007 ST54"),
)
"""Codes that surely mean no, with `outStatCd` 0031. A code in no table is unknown."""

TOLD_IN_WORDS = codes("CA13-CA19 CA31-CA37 CA50-CA58 CA82 J999 8373")
"""One code for many reasons, with the issuer's words beside it: a debit card without funds is over its "limit".

Words of a time-out or of trouble on the line make such a code unclear, too."""

NOT_FOUND_CODES = codes("ST06 CA10")
"""No such transaction: an answer to a query; anywhere else unknown."""

UNKNOWN_CODES = (
    # time-outs, failures and "other errors" on the way, at Hecto, or behind it
    codes("VTIM CA02 CA04 CA80 CA81 CA84 CA85 8375 9999 ST10 ST19 ST41 ST44 ST60 ST69 ST79 ST90-ST97 ST99")
    # two editions of the table, and each says something else of them
    | codes("5001-5006 9001-9007 9901-9905")
    # done before, or under way: the first one may have worked
    | codes("CA86 ST03 ST38 ST50")
    # cancelled before, by us or by another, or out of turn: the books tell
    | codes("0001 0002 0004 CA11 CA12 ST25 ST39 ST56")
    # success, but without the status that belongs to it
    | codes("0000")
)

# Hecto's issuers -> clearing-house code.
CARD_CODES: Mapping[str, str] = MappingProxyType({
    "BCC": "361", "KBC": "381", "HNC": "374", "SSC": "365", "SHN": "366", "WRI": "041", "HDC": "367", "LTC": "368",
    "NHC": "371", "007": "369", "035": "373", "034": "364", "037": "372", "027": "370", "071": "071", "048": "048",
    "002": "002", "090": "090", "089": "089", "247": "045",
})  # fmt: skip
