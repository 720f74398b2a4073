"""KG Inicis's payment windows: what they are opened with, and what a browser, an approval and a deposit notice bring.

The pure parts; what asks Inicis is in `html5_inicis.py`. There are two windows. PCs get a layer over our page, opened
by Inicis's script (INIStdPay); phones post a form to Inicis's own page. Both send the browser back with a form, and
both only authenticate: the money moves when our server approves, at an address that the return names.

- Nothing in a return is signed. A PC's approval is, under the sign key; its answer has a digest without a secret. A
  phone's approval is not even that: what ties it to the order is what its answer says.
- A phone's window takes the money at once unless it is told not to (`twotrs_...`).
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from chalicelib.domain.charging import Declined, DepositNotice
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, WindowOrder, WindowTerms, left_by_buyer
from chalicelib.gateways.endpoints import trusted
from chalicelib.gateways.html5_inicis import (
    CARD_CODES,
    GENERAL,
    METHODS,
    WINDOW_DONE,
    approve_urls,
    reason_of,
    taxes,
)
from chalicelib.gateways.http import Reply
from chalicelib.gateways.wire import cut, plain_text, quote_text, read_json, seoul, whole_characters


class Word(NamedTuple):
    """Inicis's words for a way to pay: in the form of a PC, and of a phone."""

    pc: str
    phone: str


WORDS: Mapping[PayMethod, Word] = MappingProxyType({
    PayMethod.CARD: Word("Card", "CARD"),
    PayMethod.TRANS: Word("DirectBank", "BANK"),
    PayMethod.VBANK: Word("VBank", "VBANK"),
    PayMethod.PHONE: Word("HPP", "MOBILE"),
})  # fmt: skip

PC_OPTIONS = re.compile(r"noeasypay|cardpoint|cardonly|va_receipt|no_receipt|global_visa3d|SKIN\(#?[0-9A-Za-z]{1,10}\)")
PHONE_OPTIONS = re.compile(r"(noeasypay|cp_yn|vbank_receipt|bank_receipt|global_visa3d|d_[a-z]{1,20})=[YN]")
"""What a merchant may say to the window directly (V1 `bypass`): none of it is about money, or about where it goes."""

TWO_STEPS = "centerCd=Y&amt_hash=Y&below1000=Y&twotrs_isp=Y&block_isp=Y&twotrs_isp_noti=N&twotrs_bank=Y&apprun_check=Y"
"""The return names its data centre, P_CHKFAKE is checked, and cards and transfers wait for our approval."""

LEFT = re.compile(r"취소|중단|포기")
"""What is said of a buyer who left. [seen] in a result that was logged; its code is not published."""


# --- what the windows are opened with ---------------------------------------------------------------------------


def pc_fields(order: WindowOrder, mid: str, sign_key: str, site_url: str, now: datetime) -> dict[str, str]:
    """The form that INIStdPay reads.

    Without a closeUrl it reports a buyer who leaves to the return URL, which is what we want.
    """
    request, terms = order.request, order.terms
    price, timestamp = str(request.amount.amount), _milliseconds(now)
    signed = {"oid": order.order_id, "price": price, "timestamp": timestamp}
    fields = {
        "version": "1.0",
        "gopaymethod": WORDS[terms.pay_method].pc,
        "mid": mid,
        **signed,
        "use_chkfake": "Y",
        "signature": _signature(signed),
        "verification": _signature({**signed, "signKey": sign_key}),
        "mKey": hashlib.sha256(sign_key.encode()).hexdigest(),
        "currency": "WON",
        "goodname": cut(request.name, 40) or "상품",
        "buyername": cut(request.buyer.name, 30) or "구매자",
        "buyertel": cut(request.buyer.tel, 20),
        # The script insists on one, and V1 does not.
        "buyeremail": cut(request.buyer.email, 60) or cut(f"noreply@{urlsplit(site_url).hostname}", 60),
        "returnUrl": order.return_url,
        "charset": "UTF-8",
        "payViewType": "overlay",
        "languageView": {"ko": "ko", "zh": "cn"}.get(terms.language, "en"),
        "acceptmethod": ":".join(_pc_options(order)),
    }
    if months := _months(terms, request.quota):
        fields["quotabase"] = ":".join(map(str, months))
    if terms.card_code:
        fields["ini_onlycardcode"] = _issuers(terms.card_code)
    return fields | {name.lower(): value for name, value in taxes(request.tax_free, request.vat).items()}


def phone_fields(order: WindowOrder, mid: str, hash_key: str, notice_url: str, now: datetime) -> dict[str, str]:
    """The form that a phone posts. Inicis reads it as EUC-KR, and writes what it sends back in UTF-8 (P_CHARSET)."""
    request, terms = order.request, order.terms
    amount, timestamp = str(request.amount.amount), _milliseconds(now)
    fields = {
        "P_INI_PAYMENT": WORDS[terms.pay_method].phone,
        "P_MID": mid,
        "P_OID": order.order_id,
        "P_AMT": amount,
        "P_GOODS": _plain(request.name, 80) or "상품",
        "P_UNAME": _plain(request.buyer.name, 30) or "구매자",
        "P_MOBILE": _plain(request.buyer.tel, 15),
        "P_EMAIL": _plain(request.buyer.email, 60),
        "P_NEXT_URL": order.return_url,
        "P_NOTI": order.order_id,  # comes back as it is
        "P_CHARSET": "utf8",
        "P_TIMESTAMP": timestamp,
        "P_CHKFAKE": _phone_hash(amount, order.order_id, timestamp, hash_key),
        "P_RESERVED": "&".join([TWO_STEPS, *_phone_options(order)]),
    }
    if terms.pay_method is PayMethod.PHONE:
        fields["P_HPP_METHOD"] = _goods_kind(terms)
    if terms.pay_method is PayMethod.VBANK:
        fields["P_NOTI_URL"] = notice_url
    if terms.account_due:
        fields |= {"P_VBANK_DT": seoul(terms.account_due, "%Y%m%d"), "P_VBANK_TM": seoul(terms.account_due, "%H%M")}
    if months := _months(terms, request.quota):
        fields["P_QUOTABASE"] = ":".join(f"{month:02}" for month in months)
    if terms.card_code:
        fields["P_ONLY_CARDCODE"] = _issuers(terms.card_code)
    return fields | {f"P_{name.upper()}": value for name, value in taxes(request.tax_free, request.vat).items()}


def _pc_options(order: WindowOrder) -> list[str]:
    terms = order.terms
    options = ["centerCd(Y)", "below1000"]  # the return names its data centre; less than 1000 won is welcome
    if terms.pay_method is PayMethod.PHONE:
        options.append(f"HPP({_goods_kind(terms)})")
    if terms.account_due:
        options.append(f"vbank({seoul(terms.account_due, '%Y%m%d%H%M')})")
    given = _bypass(order, "acceptmethod").split(":")
    return options + [option for option in given if PC_OPTIONS.fullmatch(option)]


def _phone_options(order: WindowOrder) -> list[str]:
    scheme = order.terms.app_scheme
    options = [f"app_scheme={_plain(scheme, 100)}"] if scheme else []
    given = _bypass(order, "P_RESERVED").split("&")
    return options + [option for option in given if PHONE_OPTIONS.fullmatch(option)]


def _bypass(order: WindowOrder, name: str) -> str:
    """V1 has Inicis's at the root; beside those of other gateways, they may be under its name."""
    try:
        given = json.loads(order.request.bypass or "{}")
    except ValueError:
        return ""
    named = given.get("html5_inicis") if isinstance(given, dict) else None
    value = {**given, **(named if isinstance(named, dict) else {})}.get(name) if isinstance(given, dict) else None
    return value if isinstance(value, str) else ""


def _goods_kind(terms: WindowTerms) -> str:
    """For phone bills: 1 content, 2 goods that are shipped."""
    return "1" if terms.digital else "2"


def _months(terms: WindowTerms, quota: int) -> list[int]:
    """Instalments to offer, 1 being none. Empty: as the contract has it."""
    if quota > 1:
        return [quota]
    return [] if terms.quotas is None else [1, *sorted(months for months in set(terms.quotas) if months > 1)]


def _issuers(card_code: str) -> str:
    return ":".join(inicis for inicis, code in CARD_CODES.items() if code == card_code)


def _plain(text: str | None, limit: int) -> str:
    """What separates fields in answers to phones, which are not always escaped, has no place in a field."""
    return cut(re.sub(r"[&=]+", " ", text or ""), limit, "euc-kr")


def _milliseconds(now: datetime) -> str:
    return str(int(now.timestamp() * 1000))


def _signature(fields: Mapping[str, str]) -> str:
    """By name, which is the order of Inicis's samples."""
    return _sha256(sorted(fields.items()))


def _sha256(pairs: list[tuple[str, str]]) -> str:
    return hashlib.sha256("&".join(f"{name}={value}" for name, value in pairs).encode()).hexdigest()


def _phone_hash(amount: str, order_id: str, timestamp: str, hash_key: str) -> str:
    return base64.b64encode(hashlib.sha512(f"{amount}{order_id}{timestamp}{hash_key}".encode()).digest()).decode()


# --- what comes back --------------------------------------------------------------------------------------------


def read_return(
    order: WindowOrder, mid: str, window_urls: Mapping[str, str], fields: Mapping[str, str], now: datetime
) -> ReturnResult:
    if order.terms.is_mobile:
        return _phone_return(order, window_urls, fields)
    return _pc_return(order, mid, window_urls, fields, now)


def _pc_return(
    order: WindowOrder, mid: str, window_urls: Mapping[str, str], fields: Mapping[str, str], now: datetime
) -> ReturnResult:
    code, idc_name = fields.get("resultCode", ""), fields.get("idc_name")
    is_done = code == WINDOW_DONE["stdpay"]
    for name, ours in (("mid", mid), ("orderNumber", order.order_id)):
        if fields.get(name) not in ({ours} if is_done else {ours, "", None}):
            raise _forged(name)
    if not is_done:
        return _refused(code, fields.get("resultMsg", ""), "resultCode")
    if not trusted(fields.get("authUrl"), approve_urls(window_urls, "stdpay", idc_name)):
        raise _forged("authUrl")
    token = fields.get("authToken", "")
    if not re.fullmatch(r"[!-~]{1,4000}", token):
        raise _forged("authToken")
    return Authenticated(
        {"window": "stdpay", "idc": str(idc_name), "authToken": token, "timestamp": _milliseconds(now)}
    )


def _phone_return(order: WindowOrder, window_urls: Mapping[str, str], fields: Mapping[str, str]) -> ReturnResult:
    """It names no order but in P_NOTI, which is what we have sent. What is kept of it is a number to ask by."""
    code, idc_name = fields.get("P_STATUS", ""), fields.get("idc_name")
    if code != WINDOW_DONE["mobile"]:
        return _refused(code, fields.get("P_RMESG1", ""), "P_STATUS")
    for name, ours in (("P_NOTI", order.order_id), ("P_AMT", str(order.request.amount.amount))):
        if fields.get(name) != ours:
            raise _forged(name)
    if not trusted(fields.get("P_REQ_URL"), approve_urls(window_urls, "mobile", idc_name)):
        raise _forged("P_REQ_URL")
    tid = fields.get("P_TID", "")
    if not re.fullmatch(r"[!-~]{1,100}", tid):
        raise _forged("P_TID")
    return Authenticated({"window": "mobile", "idc": str(idc_name), "P_TID": tid}, kept={"P_TID": tid})


def _refused(code: str, message: str, name: str) -> Declined:
    """No money has moved, whatever the code: only an approval moves any."""
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,20}", code):
        raise _forged(name)
    text = quote_text(plain_text(message)) or f"결제창에서 결제가 완료되지 않았습니다. (the window failed: {code})"
    if LEFT.search(text):
        return left_by_buyer(code, text)
    return Declined(reason_of([code, GENERAL], text) or R.NOT_CHARGED, code, text)


def _forged(name: str) -> InvalidRequest:
    return InvalidRequest(name, f"{name}: 이 주문의 결제창이 보낸 값이 아닙니다. (not what this order's window sends)")


# --- approvals --------------------------------------------------------------------------------------------------


def approval_form(proof: Mapping[str, str], mid: str, sign_key: str, amount: int) -> dict[str, str]:
    """For a PC."""
    signed = {"authToken": proof["authToken"], "timestamp": proof["timestamp"]}
    return {
        "mid": mid,
        **signed,
        "signature": _signature(signed),
        "verification": _signature({**signed, "signKey": sign_key}),
        "charset": "UTF-8",
        "format": "JSON",
        "price": str(amount),
    }


class Answer(BaseModel):
    """To an approval. Both windows say the same in other names."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    code: str = Field(validation_alias=AliasChoices("resultCode", "P_STATUS"), min_length=1)
    message: str | None = Field(None, validation_alias=AliasChoices("resultMsg", "P_RMESG1"))
    number: str | None = Field(None, validation_alias=AliasChoices("tid", "P_TID"), max_length=500)
    mid: str | None = Field(None, validation_alias=AliasChoices("mid", "P_MID"))
    order_id: str | None = Field(None, validation_alias=AliasChoices("MOID", "P_OID"))
    total: str | None = Field(None, validation_alias=AliasChoices("TotPrice", "P_AMT"))
    paid_as: str | None = Field(None, validation_alias=AliasChoices("payMethod", "P_TYPE"))
    currency: str | None = None
    signature: str | None = Field(None, alias="authSignature")
    day: str | None = Field(None, alias="applDate")
    time: str | None = Field(None, alias="applTime")
    instant: str | None = Field(None, alias="P_AUTH_DT")
    approval_number: str | None = Field(None, validation_alias=AliasChoices("applNum", "P_AUTH_NO"))
    card_code: str | None = Field(None, validation_alias=AliasChoices("CARD_Code", "P_FN_CD1"))
    card_number: str | None = Field(None, validation_alias=AliasChoices("CARD_Num", "P_CARD_NUM"))
    check_card: str | None = Field(None, validation_alias=AliasChoices("CARD_CheckFlag", "P_CARD_CHECKFLAG"))
    source: str | None = Field(None, validation_alias=AliasChoices("CARD_SrcCode", "P_SRC_CODE"))
    bank_code: str | None = Field(None, validation_alias=AliasChoices("ACCT_BankCode", "P_FN_CD1"))
    account_number: str | None = Field(None, validation_alias=AliasChoices("VACT_Num", "P_VACT_NUM"), max_length=40)
    account_bank: str | None = Field(None, validation_alias=AliasChoices("VACT_BankCode", "P_VACT_BANK_CODE"))
    account_holder: str | None = Field(None, validation_alias=AliasChoices("VACT_Name", "P_VACT_NAME"))
    account_day: str | None = Field(None, validation_alias=AliasChoices("VACT_Date", "P_VACT_DATE"))
    account_time: str | None = Field(None, validation_alias=AliasChoices("VACT_Time", "P_VACT_TIME"))

    @property
    def tid(self) -> str:
        return self.number or ""

    @property
    def amount(self) -> int:
        return int(self.total or 0)

    @property
    def approved_at(self) -> str:
        return self.instant or f"{self.day}{self.time}"

    def doubt(self, order: WindowOrder, mid: str, proof: Mapping[str, str]) -> str | None:
        """Why a yes cannot be trusted to be Inicis's about this order, or None."""
        is_pc = proof["window"] == "stdpay"
        if not (self.tid and self.total and re.fullmatch(r"[1-9]\d{0,11}", self.total, re.ASCII)):
            return "the reply shows no payment"
        if self.order_id != order.order_id or self.mid not in ({mid} if is_pc else {mid, None}):
            return "the reply is not about this order"
        if is_pc and not hmac.compare_digest(
            (self.signature or "").lower().encode(), self._signed(proof["timestamp"]).encode()
        ):
            return "the reply's signature is wrong"
        # The form says how to pay, and a buyer can change it: an account that was issued is no payment.
        if self.paid_as not in METHODS[order.terms.pay_method] or self.currency not in {None, "", "WON", "KRW", "410"}:
            return f"paid as {quote_text(self.paid_as or 'nothing', 30)}, and not by {order.terms.pay_method} in won"
        return None

    def _signed(self, tstamp: str) -> str:
        """Three of four values, in an order that the time of the approval chooses. No secret is among them."""
        values = {"MOID": self.order_id, "mid": self.mid, "TotPrice": self.total, "tstamp": tstamp}
        return _sha256([(name, values[name] or "") for name in SIGNED[int(tstamp[-1])]])


SIGNED = (
    ("TotPrice", "tstamp", "MOID"),
    ("MOID", "mid", "tstamp"),
    ("MOID", "tstamp", "mid"),
    ("mid", "MOID", "tstamp"),
    ("mid", "tstamp", "MOID"),
    ("tstamp", "mid", "MOID"),
    ("tstamp", "MOID", "mid"),
    ("TotPrice", "mid", "tstamp"),
    ("TotPrice", "tstamp", "mid"),
    ("TotPrice", "MOID", "tstamp"),
)
"""By the last digit of the approval's time."""


def read_answer(reply: Reply) -> Answer | None:
    """JSON, or for phones names and values; in UTF-8, or in EUC-KR."""
    if reply.body.lstrip().startswith(b"{"):
        return read_json(Answer, reply)
    for encoding in ("utf-8", "cp949"):
        try:
            pairs = parse_qsl(
                reply.body.decode(encoding).strip(), keep_blank_values=True, encoding=encoding, errors="strict"
            )
            # A phone's names only: a PC's, which count as well, could stand in what a buyer has written.
            fields = {name: whole_characters(value) for name, value in pairs if name.startswith("P_")}
            # What a buyer or a merchant has written stands beside what counts, perhaps unescaped.
            is_clear = all(sum(name == counts for name, _ in pairs) <= 1 for counts in COUNTING)
            return Answer.model_validate(fields) if is_clear else None
        except UnicodeDecodeError:
            continue
        except ValueError:  # a ValidationError is one
            return None
    return None


COUNTING = ("P_STATUS", "P_TID", "P_MID", "P_OID", "P_AMT", "P_TYPE", "P_VACT_NUM")


# --- deposit notices --------------------------------------------------------------------------------------------


def read_notice(mid: str, fields: Mapping[str, Any]) -> DepositNotice | None:
    """Of accounts that were issued on a PC (no_...) or on a phone (P_...). Not signed: Inicis is asked in any case.

    A deposit has a number of its own; the account's is no_req_tid, and P_TID on phones.
    """
    on_phone = "P_MID" in fields
    merchant, order_id = (fields.get(name) for name in (("P_MID", "P_OID") if on_phone else ("id_merchant", "no_oid")))
    if merchant != mid:
        name = "P_MID" if on_phone else "id_merchant"
        raise InvalidRequest(name, f"{name}: 이 채널의 통보가 아닙니다. (not a notice to this channel)")
    if on_phone and (fields.get("P_TYPE"), fields.get("P_STATUS")) != ("VBANK", DEPOSIT):
        return None
    tid = fields.get("P_TID") if on_phone else fields.get("no_req_tid") or fields.get("no_tid")
    if not (isinstance(order_id, str) and isinstance(tid, str) and order_id and tid):
        name = "P_TID" if on_phone else "no_req_tid"
        raise InvalidRequest(name, f"{name}: 주문번호와 거래번호가 필요합니다. (order and transaction number required)")
    return DepositNotice(order_id, gateway_ref=tid)


DEPOSIT = "02"
"""Notices for phones tell of other things as well; 00 is that an account was issued."""
