"""Smartro, new module: charges of billing keys, payments in its window, and cancels.

Source of the rules: the vendor's manual as far as its pages are public, and public code that talks to it. How sure each
fact is: docs/gateways/smartro_v2.md.

- Keys are issued in Smartro's window only; `read_registration` reads what the window reports.
- There is no query by order number, and nothing undoes a charge by it: a lost reply to a key's charge needs a person.
- Of a payment in the window the browser brings Smartro's number (Tid) and a token (TrAuthKey). The two approve it, and
  later ask about it; nothing else does (`smartro_v2_window.py`).
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
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    ApproveResult,
    Cancelled,
    CancelRequest,
    CancelResult,
    CardSummary,
    ChargeQuery,
    ChargeResult,
    Declined,
    DepositNotice,
    FindResult,
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
from chalicelib.domain.specs import (
    CredentialField,
    FieldRule,
    GatewaySpec,
    OrderIdScope,
    TestAccess,
    VirtualAccountRules,
    WindowRules,
)
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, WindowOrder, WindowPage
from chalicelib.gateways import aes
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import codes, cut, from_seoul, quote_text, read_json, seoul, table
from chalicelib.gateways.words import refusal_reason
from chalicelib.ports import Clock, UnsupportedOperation

if TYPE_CHECKING:
    from chalicelib.gateways.smartro_v2_window import Shop

log = logging.getLogger(__name__)

URLS = MappingProxyType(
    {
        Environment.LIVE: "https://approval.smartropay.co.kr",
        Environment.TEST: "https://tapproval.smartropay.co.kr",
    }
)
WINDOW_URLS = MappingProxyType(
    {
        Environment.LIVE: {
            "pc": "https://pay.smartropay.co.kr",
            "mobile": "https://mpay.smartropay.co.kr",
            "all": "https://*.smartropay.co.kr",
        },
        Environment.TEST: {
            "pc": "https://tpay.smartropay.co.kr",
            "mobile": "https://tmpay.smartropay.co.kr",
            "all": "https://*.smartropay.co.kr",
        },
    }
)
"""Nobody shows what else the window loads: `all` is for the page's rules of what it may."""

SPEC = GatewaySpec(
    provider="smartro_v2",
    label="스마트로(신모듈)",
    english="Smartro (new)",
    # A removal and an issue by card data are described in public, but not where to send them.
    operations=frozenset(
        {Operation.CHARGE_BILLING_KEY, Operation.CANCEL, Operation.PARTIAL_CANCEL, Operation.PAY_IN_WINDOW}
    ),
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
    windows=WindowRules(
        methods=frozenset({PayMethod.CARD, PayMethod.TRANS, PayMethod.VBANK, PayMethod.PHONE}),
        required=MappingProxyType(
            {
                PayMethod.CARD: ("buyer.tel",),
                PayMethod.TRANS: ("buyer.tel",),
                PayMethod.VBANK: ("buyer.tel", "account_due"),
                PayMethod.PHONE: ("buyer.tel", "digital"),
            }
        ),
        # A cancel by the number that the browser brought would be no net-cancel: it may be another order's (`approve`).
        net_cancel_window=None,
        recalled=frozenset({PayMethod.TRANS, PayMethod.VBANK, PayMethod.PHONE}),
        answers_questions=True,
    ),
    # Nobody has published how to send a refund account, nor how to close an account.
    virtual_accounts=VirtualAccountRules(
        banks=frozenset(), refund_banks=frozenset(), longest=timedelta(days=90), revocable=False, tells_expiry=False
    ),
    notice_reply="OK",
)


class Adapter(Base):
    """One contract with Smartro. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the mid names the contract
        self._mid = credentials.get("mid", "")
        self._ssp_mall_id = credentials.get("ssp_mall_id", "")
        self._merchant_key = credentials.get("merchant_key", "")
        self._cancel_password = credentials.get("cancel_password", "")
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        order = purchase(order_id, request)
        key, amount = secret["billing_key"], order["Amt"]
        order |= {"PayMethod": "CARD", "CardQuota": f"{request.quota if request.quota > 1 else 0:02}", "CardPoint": "0"}
        order |= {"Mid": self._mid, "BillTokenKey": key, "MallUserId": secret["mall_user_id"]}
        # No secret of the merchant's goes in: it shows that nothing was garbled, not who sent it.
        order |= {"EdiDate": seoul(self._clock.now()), "VerifyValue": digest(key, self._mid, amount)}
        reply = self._send("/payment/approval/ssbbill.do", "charge_billing_key", order, timeout)
        return self._charged(reply, order_id, request.amount) if isinstance(reply, Reply) else reply

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        if not request.gateway_ref:
            raise UnsupportedOperation("smartro_v2: no cancel by order id (net-cancel)")
        if request.pay_method == PayMethod.VBANK:
            text = "가상계좌 환불은 스마트로 가맹점 페이지에서 처리해 주세요. (refund it in Smartro's merchant pages)"
            return Declined(R.CHANNEL_REJECTED, "VBANK", text)
        order = _cancel_order(request)
        order |= {"Mid": self._mid, "CancelPwd": self._cancel_password}
        order["HashData"] = digest(order["Tid"], self._merchant_key, order["CancelAmt"], order["PartialCancelCode"])
        reply = self._send("/payment/approval/cancel.do", "cancel", order, timeout)
        return self._cancelled(reply, request) if isinstance(reply, Reply) else reply

    def open_window(self, order: WindowOrder, timeout: float) -> WindowPage:  # noqa: ARG002 - nothing is asked
        from chalicelib.gateways import smartro_v2_window as window  # noqa: PLC0415 - only a window needs it

        now, urls, is_mobile = self._clock.now(), self.window_urls, order.terms.is_mobile
        mode = "REAL" if urls == WINDOW_URLS[Environment.LIVE] else "STG"
        form = window.parameters(order, self._shop, self._ssp_mall_id, now)
        # A phone's browser leaves our page and is sent to ReturnUrl with a form; elsewhere the script calls back.
        params = {"mode": mode, "callback": not is_mobile, "form": form}
        # Its version is there for browsers that would take an old one from their cache.
        script = (
            f"{urls['mobile' if is_mobile else 'pc']}/asset/js/SmartroPAY-1.0.min.js?version={seoul(now, '%Y%m%d')}"
        )
        return WindowPage("smartro_v2", params, script, tuple(dict.fromkeys(urls.values())))

    def read_return(self, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:
        from chalicelib.gateways import smartro_v2_window as window  # noqa: PLC0415

        return window.read_return(order, self._shop, fields)

    def approve(self, order: WindowOrder, back: Authenticated, timeout: float) -> ApproveResult:
        """An approval of another order than ours is not given back: that order may be paid, and shipped, long since.

        Who pays for two orders can bring the proof of the one to the other. If Smartro answers a used proof with its
        first answer, a cancel would undo the payment that we have told the merchant of.
        """
        from chalicelib.gateways import smartro_v2_window as window  # noqa: PLC0415

        asked = order.request.amount
        reply = self._post("/payment/approval/urlCallApproval.do", "approve", back.proof, timeout)
        if not isinstance(reply, Reply):
            return reply
        payment = _answer(window.WindowPayment, reply, *window.APPROVED_CODES[order.terms.pay_method])
        if payment is None:
            return _refusal(reply)
        result = window.read_payment(payment, order.order_id, back.kept, self._shop, self._clock.now())
        if not isinstance(result, Unknown) and result.amount != asked:
            result = Unknown("the reply shows another amount", payment.code)
        if isinstance(result, Unknown):
            log.error("smartro_v2: an approval for %s is for a person to look at: %s", order.order_id, result.detail)
        return result

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        """Only a payment in the window can be asked about, with what the browser brought."""
        from chalicelib.gateways import smartro_v2_window as window  # noqa: PLC0415

        if not query.kept:
            raise UnsupportedOperation("smartro_v2: no query of a charge")
        proof = {name: query.kept[name] for name in ("Tid", "TrAuthKey")}
        reply = self._post("/payment/approval/approvalInquiry.do", "find", proof, timeout)
        if not isinstance(reply, Reply):
            return reply
        payment = _answer(window.WindowPayment, reply, *window.FOUND_CODES[PayMethod(query.pay_method)])
        if payment is not None:
            # What a buyer has only agreed to might look alike. A card that was charged has an approval number.
            if query.pay_method == PayMethod.CARD and not (payment.approval_number or "").strip(" 0"):
                return Unknown("the reply shows no approval number", payment.code)
            return window.read_payment(payment, query.order_id, query.kept, self._shop, self._clock.now())
        # A refused question is no refused payment, unless it says of this very payment why it was refused.
        refusal, named = _refusal(reply), read_json(window.Named, reply)
        if isinstance(refusal, Unknown) or (named and (named.tid, named.order_id) == (proof["Tid"], query.order_id)):
            return refusal
        return Unknown(refusal.message, refusal.code)

    def read_deposit_notice(self, fields: Mapping[str, Any]) -> DepositNotice | None:
        from chalicelib.gateways import smartro_v2_window as window  # noqa: PLC0415

        return window.read_notice(fields, self._shop)

    @property
    def _shop(self) -> "Shop":
        from chalicelib.gateways.smartro_v2_window import Shop  # noqa: PLC0415

        return Shop(self._mid, self._merchant_key)

    def _charged(self, reply: Reply, order_id: str, asked: Money) -> ChargeResult:
        payment = _answer(Payment, reply, *CHARGED_CODES)
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
            card=card_summary(payment.card_name, payment.card_number),
        )

    def _cancelled(self, reply: Reply, request: CancelRequest) -> CancelResult:
        """What the answer holds besides its code is not public, so the rest is compared only where it is there.

        That it was cancelled before is the end of a cancel of the whole, and nobody else tells it: asked about the
        charge, Smartro does not say what is left of it.
        """
        whole = request.amount == request.balance == request.charged
        done = _answer(_Cancel, reply, *CANCELLED_CODES, *([CANCELLED_BEFORE] if whole else []))
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
        return self._post(path, operation, {"EncData": sealed, "Mid": self._mid}, timeout)

    def _post(self, path: str, operation: str, body: Mapping[str, str], timeout: float) -> Reply | NotSent | Unknown:
        return self._http.ask(
            "POST",
            self._base_url + path,
            operation=f"smartro_v2.{operation}",
            timeout=timeout,
            headers={"Content-Type": "application/json;charset=utf-8"},
            body=json.dumps(body).encode(),
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
    verified = digest(mid, key or "", card, code, SALT).encode()
    if not (key and user) or not hmac.compare_digest(verified, fields.get("VerifyValue", "").encode()):
        return Unknown("the registration was not made by Smartro")
    if (fields.get("Mid"), fields.get("Moid")) != (mid, order_id):
        return Unknown("the registration is not about this order")
    summary = card_summary(fields.get("IssuerCardNm"), card)
    return KeyIssued({"billing_key": key, "mall_user_id": user}, summary or CardSummary())


# --- requests ---------------------------------------------------------------------------------------------------


def purchase(order_id: str, request: PaymentRequest) -> dict[str, str]:
    buyer = request.buyer
    order = {
        "Moid": order_id,
        "Amt": str(request.amount.amount),
        "GoodsCnt": "1",
        "GoodsName": cut(request.name, 40) or "상품",
        "BuyerName": cut(buyer.name, 30) or "구매자",
        "BuyerTel": re.sub(r"\D", "", buyer.tel or ""),  # ten letters or more make it fail
        "BuyerEmail": cut(buyer.email, 60),
        "MallIp": "127.0.0.1",  # ours changes from call to call; this is what others send
        "UserIp": cut(request.browser_ip, 40) or "127.0.0.1",
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


def digest(*parts: str) -> str:
    return base64.b64encode(hashlib.sha256("".join(parts).encode()).digest()).decode()


# --- replies ----------------------------------------------------------------------------------------------------


class _Result(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    code: str = Field(alias="ResultCode", min_length=1)
    message: str | None = Field(None, alias="ResultMsg")
    approval_number: str | None = Field(None, alias="AuthCode")


class Payment(_Result):
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


def card_summary(name: str | None, number: str | None) -> CardSummary | None:
    """Without Smartro's codes of card companies, which are not public. A number that is not masked is not kept."""
    masked = quote_text(number, 20) if number and "*" in number else None
    return CardSummary(name=name, publisher_name=name, number=masked) if name or masked else None


# --- codes ------------------------------------------------------------------------------------------------------

SALT = "SMARTRO!@#"
"""Public, and the same for all merchants."""
NO_MASK = bytes(16)
"""Of the first block; only the first 32 characters of the merchant key encrypt."""

CHARGED_CODES = ("3001", "0000")
CANCELLED_CODES = ("2001", "2211")

CANCELLED_BEFORE = "2013"
UNKNOWN_CODES = codes("0000 2001 2013 2211 3001 4000 4100 4110 7001 A000")
"""Success, but of something else than was asked for, or without what belongs to it. 2013: cancelled before."""

DECLINES: Mapping[str, R] = table((R.BUYER_CANCELLED, "U999 W034"))
"""Nobody has published a code that means no, but for a public program that knows these two."""
