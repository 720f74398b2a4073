"""NHN KCP's payment window: what it is opened with, and what a browser and a deposit notice bring back.

The pure parts; what asks KCP is in `kcp.py`. On a PC, KCP's script opens a layer over our page and fills its answer
into our form. On phones the trade is registered first, and a form takes the browser to KCP's own page and back.

Nothing that comes back is signed. What ties it to the order is the approval: it names order and amount as we have
them, KCP compares the amount with what the buyer has seen, and its reply names the order.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from chalicelib.domain.charging import Declined, DepositNotice
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, WindowOrder, WindowTerms, left_by_buyer
from chalicelib.gateways.kcp import CARD_CODES, amount_split, buyer_fields, kcp_text, reason_of
from chalicelib.gateways.wire import KST, cut, quote_text, seoul


class Method(NamedTuple):
    """KCP's words for a way to pay: in the form of a PC, and in a registration and the form of a phone."""

    pc: str
    mobile: str
    action: str


METHODS: Mapping[PayMethod, Method] = MappingProxyType({
    PayMethod.CARD: Method("100000000000", "CARD", "card"),
    PayMethod.TRANS: Method("010000000000", "BANK", "acnt"),
    PayMethod.VBANK: Method("001000000000", "VCNT", "vcnt"),
    PayMethod.PHONE: Method("000010000000", "MOBX", "mobx"),
})  # fmt: skip

ANSWER = (
    "res_cd", "res_msg", "ordr_chk", "tran_cd", "enc_info", "enc_data", "ret_pay_method", "use_pay_method", "cash_yn",
    "cash_tr_code", "cash_id_info",
)  # fmt: skip
"""Fields that KCP's script fills in, and that it wants to find empty."""

OPTIONS = frozenset({
    "shop_user_id", "pt_memcorp_cd", "site_name", "site_logo", "skin_indx", "kcp_noint", "kcp_noint_quota",
    "not_used_card", "used_card_YN", "used_card", "used_card_CCXX", "save_ocb", "complex_pnt_yn", "disp_tax_yn",
    "wish_vbank_list", "used_bank", "good_expr", "tablet_size",
})  # fmt: skip
"""What a merchant may say to KCP's window directly (V1 `bypass`). None of it is about money, or about where it goes."""

PAYMENT = "00100000"
LEFT = "3001"
"""The buyer has closed the window."""

KCP_ADDRESS = re.compile(r"https://[a-z0-9-]+\.kcp\.co\.kr/[!-~]{0,500}")
"""Registrations have been seen to send phones to several of KCP's servers."""


# --- what the window is opened with -----------------------------------------------------------------------------


def pc_fields(order: WindowOrder, site_cd: str, now: datetime) -> dict[str, str]:
    """The form that KCP's script reads."""
    fields = {
        **_order(order, site_cd),
        "pay_method": METHODS[order.terms.pay_method].pc,
        "currency": "WON",
        **dict.fromkeys(ANSWER, ""),
    }
    if order.terms.language != "ko":
        fields["eng_flag"] = "Y"
    if due_at := order.terms.account_due:
        days = due_at.astimezone(KST).date() - now.astimezone(KST).date()
        fields |= {"vcnt_expire_term": str(days.days), "vcnt_expire_term_time": seoul(due_at, "%H%M%S")}
    return fields


def registration(order: WindowOrder) -> dict[str, str]:
    """What a phone's window needs beforehand: order and amount, from server to server."""
    return {
        "ordr_idxx": order.order_id,
        "good_mny": str(order.request.amount.amount),
        "good_name": kcp_text(order.request.name, 100) or "상품",
        "pay_method": METHODS[order.terms.pay_method].mobile,
        "Ret_URL": order.return_url,
        "escw_used": "N",
        "user_agent": "",
    }


class Registered(BaseModel):
    code: str = Field(alias="Code")
    message: str | None = Field(None, alias="Message")
    approval_key: str = Field("", alias="approvalKey")
    pay_url: str = Field("", alias="PayUrl")

    def leads_to_kcp(self, mobile_url: str) -> bool:
        """True if that is where the browser may be sent to."""
        is_there = self.pay_url.startswith(f"{mobile_url}/") or KCP_ADDRESS.fullmatch(self.pay_url)
        return bool(self.approval_key and is_there)


def mobile_form(order: WindowOrder, site_cd: str, registered: Registered) -> tuple[str, dict[str, str]]:
    """Where a phone's browser posts what. By way of KCP's filter, which reads UTF-8; the page itself reads EUC-KR."""
    method = METHODS[order.terms.pay_method]
    fields = _order(order, site_cd)
    fields["shop_name"] = fields.pop("site_name")
    fields |= {
        "pay_method": method.mobile,
        "ActionResult": method.action,
        "currency": "410",
        "approval_key": registered.approval_key,
        "PayUrl": registered.pay_url,
        "Ret_URL": order.return_url,
        "escw_used": "N",
        "encoding_trans": "UTF-8",
    }
    if due_at := order.terms.account_due:
        fields["ipgm_date"] = seoul(due_at)
    if order.terms.app_scheme:
        fields["AppUrl"] = order.terms.app_scheme
    folder = registered.pay_url.rpartition("/")[0]
    return f"{folder}/jsp/encodingFilter/encodingFilter.jsp", fields


def _order(order: WindowOrder, site_cd: str) -> dict[str, str]:
    request, terms = order.request, order.terms
    return {
        "site_name": cut(urlsplit(terms.page_origin).hostname, 20),
        "shop_user_id": cut(terms.customer_id, 20) or order.order_id,
        **_options(request.bypass),
        "site_cd": site_cd,
        "ordr_idxx": order.order_id,
        "good_name": kcp_text(request.name, 100) or "상품",
        "good_mny": str(request.amount.amount),
        **buyer_fields(request.buyer),
        **amount_split(request),
        **_instalments(terms, request.quota),
        **_issuer(terms.card_code),
    }


def _options(bypass: str | None) -> dict[str, str]:
    """V1 has KCP's at the root; beside those of other gateways, they may be under its name."""
    try:
        given = json.loads(bypass or "{}")
    except ValueError:
        return {}
    if not isinstance(given, dict):
        return {}
    named = given.get("kcp")
    merged = {**given, **named} if isinstance(named, dict) else given
    return {
        name: cut(str(merged[name]), 256) for name in OPTIONS & merged.keys() if isinstance(merged[name], str | int)
    }


def _instalments(terms: WindowTerms, quota: int) -> dict[str, str]:
    """KCP takes the longest of them, or one that is fixed."""
    fields = {} if terms.quotas is None else {"quotaopt": str(max(terms.quotas, default=0))}
    return {**fields, "fix_inst": f"{quota:02}"} if quota > 1 else fields


def _issuer(card_code: str | None) -> dict[str, str]:
    """One issuer only: KCP shows no others then."""
    code = next((kcps for kcps, code in CARD_CODES.items() if code == card_code), None)
    return {"used_card_YN": "Y", "used_card": code} if code else {}


# --- what comes back --------------------------------------------------------------------------------------------


def read_return(order: WindowOrder, site_cd: str, fields: Mapping[str, str]) -> ReturnResult:
    amount = str(order.request.amount.amount)
    for name, ours in (
        ("site_cd", site_cd),
        ("ordr_idxx", order.order_id),
        ("good_mny", amount),
        ("ordr_chk", f"{order.order_id}|{amount}"),
    ):
        if fields.get(name) and fields[name] != ours:
            raise _forged(name)
    code = fields.get("res_cd") or ""
    if code != "0000":
        return _refused(code, fields.get("res_msg") or "")
    if not fields.get("ordr_idxx"):
        raise _forged("ordr_idxx")
    if fields.get("tran_cd") != PAYMENT:
        raise _forged("tran_cd")
    for name in ("enc_data", "enc_info"):
        if not re.fullmatch(r"[!-~]{1,20000}", fields.get(name) or ""):
            raise _forged(name)
    return Authenticated({name: fields[name] for name in ("tran_cd", "enc_data", "enc_info")})


def _refused(code: str, message: str) -> Declined:
    """No money has moved, whatever the code: only an approval moves any."""
    if not re.fullmatch(r"[0-9A-Za-z]{1,10}", code):
        raise _forged("res_cd")
    if code == LEFT:
        return left_by_buyer(code)
    readable = message and "�" not in message  # a phone's may have come in EUC-KR
    text = quote_text(message) if readable else f"결제창에서 결제가 완료되지 않았습니다. (the window failed: {code})"
    return Declined(reason_of(code, text) or R.NOT_CHARGED, code, text)


def _forged(name: str) -> InvalidRequest:
    return InvalidRequest(name, f"{name}: 이 주문의 결제창이 보낸 값이 아닙니다. (not what this order's window sends)")


def read_notice(site_cd: str, fields: Mapping[str, Any]) -> DepositNotice | None:
    """Deposits, refunds and closings of virtual accounts. None is signed: KCP is asked what there is to it."""
    order_id, tno, kind = (fields.get(name) for name in ("order_no", "tno", "tx_cd"))
    if fields.get("site_cd") != site_cd:
        raise InvalidRequest("site_cd", "site_cd: 이 채널의 통보가 아닙니다. (not a notice to this channel)")
    if kind not in NOTICES:
        return None
    if not (isinstance(order_id, str) and isinstance(tno, str) and order_id and tno):
        raise InvalidRequest("tno", "tno: 주문번호와 거래번호가 필요합니다. (order_no and tno are required)")
    return DepositNotice(order_id, gateway_ref=tno)


NOTICES = frozenset({"TX00", "TX01", "TX07"})
"""Paid in (or, op_cd 13, taken back by the bank), refunded, account closed."""
