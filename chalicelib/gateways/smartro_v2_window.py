"""Smartro's payment window: what it is opened with, and what comes back from it.

The pure parts; what asks Smartro is in `smartro_v2.py`. Source of the rules, and how sure each is:
docs/gateways/smartro_v2.md.

The browser brings Smartro's number of the transaction (Tid) and a token (TrAuthKey), and nothing that is signed. Which
order they belong to shows in the answer to the approval, and nowhere before it on a PC.
"""

import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import AliasChoices, BaseModel, Field

from chalicelib.domain.charging import Approved, AwaitingDeposit, Declined, DepositNotice, Unknown, VirtualAccount
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, WindowOrder, left_by_buyer
from chalicelib.gateways.smartro_v2 import CHARGED_CODES, DECLINES, Payment, card_summary, digest, purchase
from chalicelib.gateways.wire import Shown, from_seoul, plain_text, quote_text, seoul
from chalicelib.gateways.words import refusal_reason


class Shop(NamedTuple):
    """One contract: `mid` is open to all, the key signs."""

    mid: str
    merchant_key: str

    def signature(self, tid: str, code: str) -> str:
        """SignValue of an answer, or of a notice. It covers neither order nor amount."""
        return digest(tid[:10], code, tid[10:15], self.merchant_key, tid[15:])


# --- opening ------------------------------------------------------------------------------------------------------


def parameters(order: WindowOrder, shop: Shop, ssp_mall_id: str, now: datetime) -> dict[str, str]:
    """The form that Smartro's script reads. Days without a time: an account is due when its day ends."""
    terms = order.terms
    form = _passed_on(order.request.bypass) | purchase(order.order_id, order.request)
    form |= {
        "PayMethod": METHODS[terms.pay_method],
        "Mid": shop.mid,
        "ReturnUrl": order.return_url,
        "StopUrl": f"{order.return_url}?stop=1",  # where a phone goes if the buyer leaves
        "EncodingType": "utf8",
        "OpenType": "KR" if terms.language == "ko" else "EN",
        "EdiDate": seoul(now),
    }
    form["EncryptData"] = digest(form["EdiDate"], shop.mid, form["Amt"], shop.merchant_key)
    if ssp_mall_id:
        form["SspMallId"] = ssp_mall_id
    if terms.account_due:
        form["VbankExpDate"] = seoul(terms.account_due, "%Y%m%d")
    if terms.digital is not None:
        form["GoodsCl"] = "0" if terms.digital else "1"
    if terms.customer_id and re.fullmatch(r"[A-Za-z0-9]{1,20}", terms.customer_id):
        form["MallUserId"] = terms.customer_id
    return form


def _passed_on(bypass: str | None) -> dict[str, str]:
    try:
        given = json.loads(bypass or "{}")["smartro_v2"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = given.items() if isinstance(given, dict) else ()
    return {name: plain_text(value) for name, value in found if name in PASSED_ON and isinstance(value, str)}


# --- coming back --------------------------------------------------------------------------------------------------


def read_return(order: WindowOrder, shop: Shop, fields: Mapping[str, str]) -> ReturnResult:
    tid, key = fields.get("Tid", ""), fields.get("TrAuthKey", "")
    if fields.get("stop") or not (tid and key):
        return _left(fields)
    if not (re.fullmatch(r"[A-Za-z0-9_]{11,30}", tid) and tid.startswith(shop.mid)):
        raise InvalidRequest("Tid", "Tid: 이 상점의 거래번호가 아닙니다. (not a number of this mid)")
    if not re.fullmatch(r"[!-~]{1,1000}", key):
        raise InvalidRequest("TrAuthKey", "TrAuthKey: 형식이 올바르지 않습니다. (malformed)")
    ours = {"Mid": shop.mid, "Moid": order.order_id, "Amt": str(order.request.amount.amount)}
    for name, value in ours.items():  # phones send the order along
        if fields.get(name, value) != value:
            raise InvalidRequest(name, f"{name}: 이 주문의 결제 결과가 아닙니다. (not of this order)")
    proof, due = {"Tid": tid, "TrAuthKey": key}, order.terms.account_due
    return Authenticated(proof=proof, kept=proof | ({"due": seoul(due, "%Y%m%d")} if due else {}))


def _left(fields: Mapping[str, str]) -> Declined:
    """Without a proof nothing was approved, and nothing can be."""
    code = quote_text(fields.get("ResultCode", ""), 60)
    message = quote_text(fields.get("ResultMsg") or code)
    if fields.get("stop"):
        return left_by_buyer("STOP")
    if not code:
        raise InvalidRequest("Tid", "Tid: 인증 결과가 없습니다. (the buyer has not agreed to anything)")
    if DECLINES.get(code) is R.BUYER_CANCELLED:
        return left_by_buyer(code, message)
    return Declined(refusal_reason(message) or R.NOT_CHARGED, code, message)


# --- answers ------------------------------------------------------------------------------------------------------


class Named(BaseModel):
    """What an answer is about, whatever it says."""

    tid: str = Field(alias="Tid")
    order_id: str = Field(alias="Moid")


class WindowPayment(Payment):
    mid: str | None = Field(None, alias="Mid")
    method: Shown[str] = Field(None, alias="PayMethod")
    signature: str | None = Field(None, alias="SignValue")
    account_number: str | None = Field(None, alias="VbankNum")
    bank_name: Shown[str] = Field(None, validation_alias=AliasChoices("VbankName", "BankName", "FnName"))


def read_payment(
    payment: WindowPayment, order_id: str, kept: Mapping[str, str], shop: Shop, now: datetime
) -> Approved | AwaitingDeposit | Unknown:
    """What a success says of this order. kept: what the browser brought."""
    if doubt := _doubt(payment, order_id, kept, shop):
        return Unknown(doubt, payment.code)
    at = from_seoul(payment.authorized_on, "%y%m%d%H%M%S") or now
    amount, account = Money(payment.amount), _account(payment, kept, at)
    if payment.code == ISSUED_CODE:
        if account is None:
            return Unknown("the reply names no account", payment.code)
        return AwaitingDeposit(payment.tid, amount, account)
    is_card, is_deposit = payment.code in CHARGED_CODES, payment.code == DEPOSITED_CODE
    return Approved(
        gateway_ref=payment.tid,
        amount=amount,
        approved_at=now if is_deposit else at,  # AuthDate may be when the account was issued
        approval_number=payment.approval_number,
        card=card_summary(payment.card_name, payment.card_number) if is_card else None,
        account=account,
        bank_code=_bank_code(payment) if payment.code == TRANSFERRED_CODE else None,
        easy_pay=EASY_PAY.get(payment.method or ""),
    )


def _doubt(payment: WindowPayment, order_id: str, kept: Mapping[str, str], shop: Shop) -> str | None:
    if payment.tid != kept["Tid"] or payment.mid not in {None, shop.mid}:
        return "the reply is not about this transaction"
    if payment.order_id != order_id:
        return f"{payment.tid} is approved, and of another order: {quote_text(payment.order_id, 60)}"
    # Seen in a card's answer; nobody shows those of the other methods.
    if payment.signature and payment.signature != shop.signature(payment.tid, payment.code):
        return "the reply's signature is wrong"
    return None


def _account(payment: WindowPayment, kept: Mapping[str, str], issued_at: datetime) -> VirtualAccount | None:
    due_at = from_seoul(f"{kept.get('due', '')}235959")
    if payment.code not in {ISSUED_CODE, DEPOSITED_CODE} or not payment.account_number or due_at is None:
        return None
    return VirtualAccount(_bank_code(payment), quote_text(payment.account_number, 40), due_at, issued_at)


def _bank_code(payment: WindowPayment) -> str | None:
    return BANKS.get(re.sub(r"\s|은행$|\(주\)", "", payment.bank_name or "").upper())


# --- notices ------------------------------------------------------------------------------------------------------


def read_notice(fields: Mapping[str, Any], shop: Shop) -> DepositNotice | None:
    """What Smartro posts of its own accord. It spells the names in more than one way: Tid and TID, Moid and OID."""
    given = {name.lower(): str(value) for name, value in fields.items()}
    notice = {name: given.get(name.lower(), "") for name in ("Mid", "Tid", "ResultCode", "SignValue")}
    notice["Moid"] = given.get("moid") or given.get("oid", "")
    for name, value in notice.items():
        if not value:
            raise InvalidRequest(name, f"{name}: 스마트로 결제 데이터 통보가 아닙니다. (not a notice of Smartro's)")
    signed = shop.signature(notice["Tid"], notice["ResultCode"])
    if notice["Mid"] != shop.mid or not hmac.compare_digest(signed.encode(), notice["SignValue"].encode()):
        raise InvalidRequest("SignValue", "SignValue: 이 상점의 서명이 아닙니다. (not signed for this mid)")
    return DepositNotice(notice["Moid"], gateway_ref=notice["Tid"]) if notice["ResultCode"] == DEPOSITED_CODE else None


# --- codes --------------------------------------------------------------------------------------------------------

TRANSFERRED_CODE, ISSUED_CODE, DEPOSITED_CODE = "4000", "4100", "4110"

APPROVED_CODES: Mapping[PayMethod, tuple[str, ...]] = MappingProxyType(
    {
        PayMethod.CARD: CHARGED_CODES,
        PayMethod.TRANS: (TRANSFERRED_CODE,),
        PayMethod.VBANK: (ISSUED_CODE,),
        PayMethod.PHONE: ("A000",),
    }
)
FOUND_CODES: Mapping[PayMethod, tuple[str, ...]] = MappingProxyType(
    {**APPROVED_CODES, PayMethod.CARD: ("3001",), PayMethod.VBANK: (ISSUED_CODE, DEPOSITED_CODE)}
)
"""Of an answer to a question. There 0000 may mean no more than that the question was understood."""

METHODS: Mapping[PayMethod, str] = MappingProxyType(
    {PayMethod.CARD: "CARD", PayMethod.TRANS: "BANK", PayMethod.VBANK: "VBANK", PayMethod.PHONE: "CELLPHONE"}
)

PASSED_ON = frozenset({"CardQuota", "FnCd", "MallReserved", "SkinColor"})
"""Of a page's `bypass`: what changes neither order nor amount nor addresses."""

EASY_PAY: Mapping[str, str] = MappingProxyType(
    {
        "APPLEPAY": "applepay",
        "KAKAO": "kakaopay",
        "LPAY": "lpay",
        "NAVER": "naverpay",
        "PAYCO": "payco",
        "PINPAY": "pinpay",
        "SAMSUNGPAY": "samsungpay",
        "TOSS": "tosspay",
    }
)

BANKS: Mapping[str, str] = MappingProxyType(
    {
        name: code
        for code, names in {
            "002": "산업 KDB산업",
            "003": "기업 IBK기업",
            "004": "국민 KB국민",
            "007": "수협",
            "011": "농협 NH농협",
            "020": "우리",
            "023": "제일 SC제일 SC",
            "027": "씨티 한국씨티",
            "031": "대구 IM뱅크 아이엠뱅크",
            "032": "부산",
            "034": "광주",
            "035": "제주",
            "037": "전북",
            "039": "경남",
            "045": "새마을금고",
            "048": "신협",
            "071": "우체국",
            "081": "하나 KEB하나",
            "088": "신한",
            "089": "케이뱅크 K뱅크",
            "090": "카카오뱅크",
            "092": "토스뱅크",
        }.items()
        for name in names.split()
    }
)
"""Names as banks have them, without 은행 -> the clearing house's code. Smartro's own codes are not public."""
