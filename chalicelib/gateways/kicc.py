"""KICC (easypay): charges of billing keys from its window, their deletion, cancels, query by our order id.

Source of the rules, unless a line says otherwise: KICC's public documentation (docs.kicc.co.kr: online-payment and
support; developer.easypay.co.kr before it). How sure each fact is: docs/gateways/kicc.md.

- Keys are made in KICC's window only; what an adapter needs of one is its `batchKey`.
- A request is told apart by `shopTransactionId`, here our order or cancel id. It is refused if used before on the same
  day, and a query asks by it, today and tomorrow.
- No request but a cancel is signed: `mallId` and the key are all that a charge takes. A signature in the answer to a
  charge is checked; the answer to a query has none.
- The published codes are few, and KICC says that they may change. What is not listed is read from its Korean words.
"""

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator
from pydantic.alias_generators import to_camel

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    CancelRequest,
    CancelResult,
    CardSummary,
    ChargeQuery,
    ChargeResult,
    Declined,
    DeleteResult,
    FindResult,
    GatewayCancel,
    KeyDeleted,
    NotFound,
    NotSent,
    Operation,
    PaymentRequest,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.money import Money
from chalicelib.domain.specs import CredentialField, GatewaySpec, OrderIdScope, TestAccess
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import codes, cut, from_seoul, quote_text, read_json, seoul, shown, table, trade_dates
from chalicelib.gateways.words import is_unsure, refusal_reason
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType(
    {
        Environment.LIVE: "https://pgapi.easypay.co.kr",
        Environment.TEST: "https://testpgapi.easypay.co.kr",
    }
)

SPEC = GatewaySpec(
    provider="kicc",
    label="KICC 이지페이",
    english="KICC EasyPay",
    operations=frozenset(
        {
            Operation.CHARGE_BILLING_KEY,
            Operation.DELETE_BILLING_KEY,
            Operation.CANCEL,
            Operation.PARTIAL_CANCEL,
            Operation.FIND,
        }
    ),
    currencies=frozenset({"KRW"}),
    credentials=(
        CredentialField("mall_id", "상점 ID (mallId)", secret=False, pattern=r"[0-9A-Za-z]{8}"),
        CredentialField("secret_key", "시크릿 키 (메시지 인증)", pattern=r"[!-~]{8,200}"),
    ),
    settling_delay=timedelta(minutes=10),
    # No `idempotent_for`: the second request of a day gets an error and not the first one's answer, and the day may be
    # over in a minute.
    order_id_scope=OrderIdScope.DAY,
    test_access=TestAccess.PUBLIC,
    find_window=timedelta(days=1),  # KICC tells of yesterday and today, so of one day whenever it began
)


class Adapter(Base):
    """One contract with KICC. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the mall id names the contract
        self._mall_id = credentials.get("mall_id", "")
        self._secret_key = credentials.get("secret_key", "").encode()
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        body = _order(order_id, request, secret["batch_key"]) | {"approvalReqDate": self._today()}
        reply = self._send("/api/trades/approval/batch", "charge_billing_key", order_id, timeout, body)
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply)
        if payment is None:
            return _refusal(reply)
        signed = self._sign(payment.pg_cno, payment.amount, payment.transaction_date or "")
        if payment.msg_auth_value and not hmac.compare_digest(payment.msg_auth_value.lower().encode(), signed.encode()):
            return Unknown("the reply's signature is wrong")
        if doubt := _doubt(payment, order_id):
            return Unknown(doubt)
        if payment.status_code not in TAKEN:
            return Unknown(f"status {quote_text(payment.status_code, 30)}")
        return self._approved(payment)

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        """It is found under its date, near midnight in Seoul either of two, and not if that is before yesterday."""
        deadline = self._clock.monotonic() + timeout
        now = self._clock.now()
        days = trade_dates(query.requested_at, now)
        told = [day for day in days if day >= seoul(now - timedelta(days=1), "%Y%m%d")]
        for day in told:
            result = self._find(query.order_id, day, deadline - self._clock.monotonic())
            if not isinstance(result, NotFound):
                return result  # a question without an answer settles nothing
        return NotFound() if told == days else Unknown("too long ago to be asked about")

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        if not request.gateway_ref:
            raise UnsupportedOperation("kicc: no cancel by order id")
        body = _cancel_order(request) | {
            "cancelReqDate": self._today(),
            "msgAuthValue": self._sign(request.gateway_ref, request.cancel_id),
        }
        reply = self._send("/api/trades/revise", "cancel", request.cancel_id, timeout, body)
        if not isinstance(reply, Reply):
            return reply
        cancel = _success(_Cancel, reply)
        if cancel is None:
            refusal = _refusal(reply)
            if isinstance(refusal, Declined) and refusal.reason is not R.CHANNEL_REJECTED:
                return Declined(R.INVALID_REQUEST, refusal.code, refusal.message)
            return refusal
        if (cancel.shop_transaction_id, cancel.ori_pg_cno) != (request.cancel_id, request.gateway_ref):
            return Unknown("the reply is not about this cancel")
        told = cancel.cancel_amount
        if cancel.status_code not in _states_after(request) or told not in (None, str(request.amount.amount)):
            return Unknown("the reply does not show this cancel as done")
        done = GatewayCancel(
            cancel.cancel_pg_cno, request.amount, self._moment(cancel.transaction_date), request.reason
        )
        return Cancelled(done, None if cancel.remain_amount is None else Money(int(cancel.remain_amount)))

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult:
        body = {"batchKey": secret["batch_key"], "removeReqDate": self._today()}
        reply = self._send("/api/trades/removeBatchKey", "delete_billing_key", order_id, timeout, body)
        if not isinstance(reply, Reply):
            return reply
        removed = _success(_Result, reply)
        if removed is None:
            refusal = _refusal(reply)
            if isinstance(refusal, Declined) and refusal.reason is R.BILLING_KEY_INVALID:
                return KeyDeleted() if GONE.search(refusal.message) else refusal
            return refusal
        if removed.shop_transaction_id != order_id:
            return Unknown("the reply is not about this deletion")
        return KeyDeleted()

    def _find(self, order_id: str, day: str, timeout: float) -> FindResult:
        reply = self._send("/api/trades/retrieveTransaction", "find", order_id, timeout, {"transactionDate": day})
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply)
        if payment is None:
            return _not_found(reply)
        if doubt := _doubt(payment, order_id):
            return Unknown(doubt)
        if payment.status_code in TAKEN | GIVEN_BACK:
            return self._approved(payment)
        return Unknown(f"status {quote_text(payment.status_code, 30)}")

    def _approved(self, payment: "_Payment") -> Approved:
        """Of cancels the answer tells only the state: all was given back, or a part, without saying how much."""
        amount, at = Money(int(payment.amount)), self._moment(payment.transaction_date)
        balance: Money | None = amount
        cancels: tuple[GatewayCancel, ...] = ()
        if payment.status_code in ALL_GIVEN_BACK:
            balance, cancels = Money(0), (GatewayCancel(payment.pg_cno, amount, self._clock.now()),)
        elif payment.status_code in GIVEN_BACK:
            balance = None
        info = payment.payment_info
        return Approved(
            gateway_ref=payment.pg_cno,
            amount=amount,
            approved_at=at,
            approval_number=shown(info.approval_no) if info else None,
            card=_card_summary(info.card_info) if info and info.card_info else None,
            balance=balance,
            cancels=cancels,
        )

    def _moment(self, text: str | None) -> datetime:
        return from_seoul(text) or self._clock.now()

    def _today(self) -> str:
        return seoul(self._clock.now(), "%Y%m%d")

    def _sign(self, *parts: str) -> str:
        return hmac.new(self._secret_key, "|".join(parts).encode(), hashlib.sha256).hexdigest()

    def _send(
        self, path: str, operation: str, transaction_id: str, timeout: float, body: Mapping[str, Any]
    ) -> Reply | NotSent | Unknown:
        return self._http.ask(
            "POST",
            self._base_url + path,
            operation=f"kicc.{operation}",
            timeout=timeout,
            headers={"Content-Type": "application/json; charset=utf-8"},
            body=json.dumps({"mallId": self._mall_id, "shopTransactionId": transaction_id, **body}).encode(),
        )


# --- requests ---------------------------------------------------------------------------------------------------


def _order(order_id: str, request: PaymentRequest, batch_key: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "shopOrderNo": order_id,
        "amount": request.amount.amount,
        "currency": "00",
        "orderInfo": {"goodsName": _text(request.name, 50) or "상품"},
        "payMethodInfo": {
            "billKeyMethodInfo": {"batchKey": batch_key},
            "cardMethodInfo": {"installmentMonth": request.quota if request.quota > 1 else 0},
        },
    }
    if request.interest_free_by_merchant:
        body["payMethodInfo"]["cardMethodInfo"]["freeInstallmentUsed"] = True
    if customer := _customer(request):
        body["orderInfo"]["customerInfo"] = customer
    if request.tax_free:
        taxed, free, vat = _shares(request.amount.amount, request.tax_free, request.vat)
        body["taxInfo"] = {"taxAmount": taxed, "freeAmount": free, "vatAmount": vat}
    return body


def _customer(request: PaymentRequest) -> dict[str, str]:
    """Optional here, so what does not fit is cut or left out rather than refused."""
    buyer, found = request.buyer, {}
    if name := _text(re.sub(r"[^\w\s]|[\d_]", " ", buyer.name or ""), 20):
        found["customerName"] = name
    if buyer.email and re.fullmatch(r"[0-9A-Za-z._-]+@[0-9A-Za-z._-]+", buyer.email) and len(buyer.email) <= 50:
        found["customerMail"] = buyer.email
    if (tel := re.sub(r"\D", "", buyer.tel or "")) and len(tel) <= 11 and tel.isascii():
        found["customerContactNo"] = tel
    return found


def _cancel_order(request: CancelRequest) -> dict[str, Any]:
    """remainAmount: what can be cancelled before this cancel; KICC refuses if it knows better."""
    body: dict[str, Any] = {
        "pgCno": request.gateway_ref,
        "reviseTypeCode": "40",
        "reviseMessage": _text(request.reason, 100) or "취소",
    }
    if request.amount == request.charged:
        return body
    amount = request.amount.amount
    body |= {"reviseTypeCode": "32", "amount": amount, "remainAmount": request.balance.amount}
    if request.tax_free:
        taxed, free, vat = _shares(amount, request.tax_free, request.vat)
        body["taxInfo"] = {"taxationAmount": taxed, "taxFreeAmount": free, "vatAmount": vat}
    return body


def _states_after(request: CancelRequest) -> frozenset[str]:
    """The states that fit to this cancel: a part that says that all was given back is none."""
    if request.amount == request.charged:
        return ALL_GIVEN_BACK
    return GIVEN_BACK if request.amount == request.balance else GIVEN_BACK - ALL_GIVEN_BACK


def _shares(amount: int, tax_free: int, vat: int | None) -> tuple[int, int, int]:
    """What is taxed, without the tax; what is free of it; the tax. Together the amount."""
    tax = (amount - tax_free) // 11 if vat is None else vat
    return amount - tax_free - tax, tax_free, tax


def _text(text: str | None, limit: int) -> str:
    """Without what KICC refuses: its list of characters, and emoji, or whatever else EUC-KR lacks."""
    return cut(cut(re.sub(r"""['"<>\\;|&\s]+""", " ", text or ""), 4 * limit, "euc-kr"), limit)


# --- replies ----------------------------------------------------------------------------------------------------

WON = "^[1-9][0-9]{0,12}$"


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, coerce_numbers_to_str=True)


class _Result(_Wire):
    res_cd: str = Field(min_length=1)
    res_msg: str | None = None
    shop_transaction_id: str | None = None


class _CardInfo(_Wire):
    card_no: str | None = None
    issuer_code: str | None = None
    issuer_name: str | None = None
    acquirer_code: str | None = None
    card_gubun: str | None = None


class _PaymentInfo(_Wire):
    approval_no: str | None = None
    card_info: _CardInfo | None = None


class _Payment(_Result):
    pg_cno: str = Field(min_length=1, max_length=60)
    shop_order_no: str | None = None
    amount: str = Field(pattern=WON)
    transaction_date: str | None = None
    status_code: str
    msg_auth_value: str | None = None
    payment_info: _PaymentInfo | None = None

    @field_validator("payment_info", mode="wrap")
    @classmethod
    def _decides_nothing(cls, value: object, read: ValidatorFunctionWrapHandler) -> _PaymentInfo | None:
        """What is only shown must not turn an approval into a riddle."""
        try:
            return read(value)  # type: ignore[no-any-return]
        except ValueError:
            return None


class _Cancel(_Result):
    ori_pg_cno: str
    cancel_pg_cno: str = Field(min_length=1, max_length=60)
    cancel_amount: str | None = Field(None, pattern=WON)
    remain_amount: str | None = Field(None, pattern=f"{WON}|^0$")
    transaction_date: str | None = None
    status_code: str


P = TypeVar("P", bound=_Result)


def _success(model: type[P], reply: Reply) -> P | None:
    result = read_json(model, reply) if reply.status == 200 else None
    return result if result and result.res_cd == "0000" else None


def _doubt(payment: _Payment, order_id: str) -> str | None:
    """Why a yes cannot be taken for KICC's answer about this order, or None."""
    if payment.shop_transaction_id != order_id or payment.shop_order_no not in (None, order_id):
        return "the reply is not about this order"
    return None


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than a yes means: no only with a code, or in words, that are known to mean no."""
    result = read_json(_Result, reply) if reply.status < 500 else None
    if result is None:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    code = quote_text(result.res_cd, 60)
    message = quote_text(result.res_msg or code)
    if code == "0000":
        return Unknown("a yes without what belongs to it", code)
    reason = DECLINES.get(code)
    if reason is None and code not in UNKNOWN_CODES:
        log.warning("kicc: code %r is not mapped", code)
        reason = refusal_reason(OUR_IDS.sub("", message))
    if reason is None or is_unsure(message):
        return Unknown(f"HTTP {reply.status}: {message}", code)
    return Declined(reason, code, message)


def _not_found(reply: Reply) -> NotFound | Unknown:
    """A refused question says nothing about the charge, unless it is refused because there is no such transaction."""
    refusal = _refusal(reply)
    if isinstance(refusal, Declined):
        return Unknown("the query was refused", refusal.code, unwell=refusal.reason is R.CHANNEL_REJECTED)
    if refusal.code is None or refusal.code in UNKNOWN_CODES or is_unsure(refusal.detail):
        return refusal
    return NotFound() if NO_TRANSACTION.search(OUR_IDS.sub("", refusal.detail)) else refusal


def _card_summary(card: _CardInfo) -> CardSummary:
    """The number comes masked; should it ever not, it is struck out."""
    code, name = CARD_CODES.get(card.issuer_code or ""), shown(card.issuer_name)
    return CardSummary(
        name=name,
        code=code,
        issuer_code=CARD_CODES.get(card.acquirer_code or ""),
        publisher_code=code,
        publisher_name=name,
        number=shown(card.card_no),
        type={"N": 0, "Y": 1}.get(card.card_gubun or ""),
    )


# --- codes ------------------------------------------------------------------------------------------------------

TAKEN = frozenset({"TS01", "TS03", "TS04"})
ALL_GIVEN_BACK = frozenset({"TS02", "TS05"})
GIVEN_BACK = ALL_GIVEN_BACK | {"TS06"}

DECLINES = table(
    (R.LIMIT_EXCEEDED, "8521"),
    (R.INSUFFICIENT_FUNDS, "8035 8527"),
    (R.EXPIRED_CARD, "8314-8316"),
    (R.CARD_CHECK_FAILED, "8311"),
    (R.LOST_OR_STOLEN, "8350"),
    (R.ISSUER_DECLINED, "8373"),
)

UNKNOWN_CODES = codes("VTIM VT00")
"""No answer from behind KICC in time."""

OUR_IDS = re.compile("상점 ?(거래 ?(고유)?|주문) ?번호")
"""How KICC calls our ids. The word for a shop in it says nothing about the contract."""
GONE = re.compile("삭제된|않|(?<!수 )없")
"""But not: 삭제할 수 없는, cannot be deleted."""
NO_TRANSACTION = re.compile("거래 ?(내역|정보|자료|기록|건)?[이가은는]? ?(없|존재하지)")
"""Nothing may stand between: 거래를 조회할 수 없, it cannot be asked about; 거래 조회 권한이 없, nobody may ask."""

# KICC's three digits -> clearing-house code. [recalled]: 022 Citi, 017 Suhyup, 002 Gwangju, 010 Jeonbuk, 011 Jeju.
CARD_CODES: Mapping[str, str] = MappingProxyType(
    {
        "002": "364",
        "006": "374",
        "008": "374",
        "010": "372",
        "011": "373",
        "015": "041",
        "016": "381",
        "017": "369",
        "018": "371",
        "022": "370",
        "026": "361",
        "027": "367",
        "029": "366",
        "031": "365",
        "045": "368",
        "047": "368",
    }
)
