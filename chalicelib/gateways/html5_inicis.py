"""KG Inicis: its server API (INIAPI) for key-in, billing keys, cancels, inquiry; and its payment window.

Source of the rules, unless a line says otherwise: Inicis's manual as public notes quote it, its own samples, and public
clients. How sure each fact is, and what an operator has to arrange: docs/gateways/html5_inicis.md. The window's pure
parts: `html5_inicis_window.py`.

- Two generations side by side. v1 takes forms, signs their values one after the other, and wants card data encrypted.
  v2 takes JSON and signs the very text of `data`. Keys are charged by v1, because v2 does not know those of the newer
  billing window.
- Each service has its own word for success: "00" of charges, keys, cancels and the v1 inquiry, "SUCCESS" of the v2
  inquiry, "0000" of windows. One in the place of another is no yes.
- The answer to a charge has its amount and no order id. That it is ours, only the connection says.
- The same order sent twice is charged twice, and nothing undoes a charge by order id. Only a contract against used
  order numbers (`order_guard`) makes an inquiry by order id mean anything.
- A refusal comes with HTTP 200, mostly as code "01". What it means stands in its Korean text.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    ApproveResult,
    AwaitingDeposit,
    Buyer,
    Cancelled,
    CancelRequest,
    CancelResult,
    Card,
    CardSummary,
    ChargeQuery,
    ChargeResult,
    Declined,
    DepositNotice,
    FindResult,
    GatewayCancel,
    IssueRequest,
    IssueResult,
    KeyIssued,
    NotFound,
    NotSent,
    Operation,
    PaymentRequest,
    RefundAccount,
    Revoked,
    Unknown,
    VirtualAccount,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.institutions import BANKS, CARDS
from chalicelib.domain.money import Money
from chalicelib.domain.specs import (
    YES_OR_NO,
    CredentialField,
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
from chalicelib.gateways.wire import codes, cut, from_seoul, plain_text, quote_text, read_json, seoul, shown, table
from chalicelib.gateways.words import is_unsure, refusal_reason
from chalicelib.ports import Clock, UnsupportedOperation

if TYPE_CHECKING:
    from chalicelib.gateways.html5_inicis_window import Answer

log = logging.getLogger(__name__)

URLS = MappingProxyType(
    {
        Environment.LIVE: "https://iniapi.inicis.com",
        Environment.TEST: "https://stginiapi.inicis.com",
    }
)

WINDOW_URLS = MappingProxyType({
    Environment.LIVE: {
        "pc": "https://stdpay.inicis.com", "phone": "https://mobile.inicis.com", "any": "https://*.inicis.com",
        "fcstdpay": "https://fcstdpay.inicis.com", "ksstdpay": "https://ksstdpay.inicis.com",
        "fcmobile": "https://fcmobile.inicis.com", "ksmobile": "https://ksmobile.inicis.com",
    },
    Environment.TEST: {
        "pc": "https://stgstdpay.inicis.com", "phone": "https://stgmobile.inicis.com", "any": "https://*.inicis.com",
        "stgstdpay": "https://stgstdpay.inicis.com", "stgmobile": "https://stgmobile.inicis.com",
    },
})  # fmt: skip
"""pc, phone: where a browser goes. any: of its servers, which of them a window loads from is not published.

The others are where a window is approved, by the data centre that its return names.
"""

REFUND_BANKS = frozenset({
    "002", "003", "004", "007", "011", "020", "023", "027", "031", "032", "034", "035", "037", "039", "045", "048",
    "050", "064", "071", "081", "088", "089", "090", "092",
})  # fmt: skip
"""Clearing-house codes; Inicis has the last two digits of these."""

METHODS: Mapping[PayMethod, frozenset[str]] = MappingProxyType({
    PayMethod.CARD: frozenset({"Card", "VCard", "CARD", "ISP"}),
    PayMethod.TRANS: frozenset({"DirectBank", "iDirectBank", "BANK"}),
    PayMethod.VBANK: frozenset({"VBank", "VBANK"}),
    PayMethod.PHONE: frozenset({"HPP", "MOBILE"}),
})  # fmt: skip
"""What its windows offer -> how answers call it: of the window for PCs, of the one for phones, of inquiries."""

SPEC = GatewaySpec(
    provider="html5_inicis",
    label="KG이니시스",
    english="KG Inicis",
    operations=frozenset(
        {
            Operation.CHARGE_CARD,
            Operation.ISSUE_BILLING_KEY,
            Operation.CHARGE_BILLING_KEY,
            Operation.CANCEL,
            Operation.PARTIAL_CANCEL,
            Operation.READ,
        }
    ),
    # Key-in and issue are known from public clients only; so is what an inquiry says of an order that is not there.
    recalled=frozenset({Operation.CHARGE_CARD, Operation.ISSUE_BILLING_KEY, Operation.FIND}),
    currencies=frozenset({"KRW"}),
    credentials=(
        CredentialField(
            "mid",
            "상점 아이디 (MID)",
            secret=False,
            pattern=r"[0-9A-Za-z]{1,10}",
            # Published. On the live host they approve real cards, and undo that before midnight.
            test_prefixes=("INIpayTest", "INIBillTst", "iniescrow0"),
        ),
        # AES-128 takes 16 bytes of each, as they are: the two equals signs at the iv's end belong to it.
        CredentialField("iniapi_key", "INIAPI key", pattern=r"[!-~]{16}"),
        CredentialField("iniapi_iv", "INIAPI iv", pattern=r"[!-~]{16}"),
        CredentialField("site_url", "쇼핑몰 주소 (shop URL)", secret=False, pattern=r"https?://[!-~]{3,90}"),
        CredentialField(
            "client_ip", "요청 서버 IP (server IP)", secret=False, required=False, pattern=r"\d{1,3}(\.\d{1,3}){3}"
        ),
        CredentialField(
            "order_guard",
            "주문번호 중복방지 계약 (order number guard, Y/N)",
            secret=False,
            required=False,
            pattern=YES_OR_NO,
            adds=frozenset({Operation.FIND}),
        ),
        # For the payment windows, each with a key of its own.
        CredentialField("sign_key", "웹결제 signkey", required=False, adds=frozenset({Operation.PAY_IN_WINDOW})),
        CredentialField("inilite_key", "INILite key", required=False),
        CredentialField("hash_key", "모바일 hash key", required=False),
        # PCs' accounts are told of at the address that is registered with Inicis, phones' at the one in their form.
        CredentialField(
            "notice_url",
            "모바일 가상계좌 입금통보 URL (deposit notices)",
            secret=False,
            required=False,
            pattern=r"https://[!-~]{3,300}",
        ),
    ),
    # How long an approval may take is not published.
    settling_delay=timedelta(minutes=10),
    order_id_scope=OrderIdScope.NONE,
    test_access=TestAccess.PUBLIC,
    required=MappingProxyType({Operation.CHARGE_CARD: ("name", "buyer.name", "buyer.email", "buyer.tel")}),
    card_fields=frozenset({"birth", "password_2digits"}),
    windows=WindowRules(
        methods=frozenset(METHODS),
        required=MappingProxyType(dict.fromkeys(METHODS, ("buyer.tel",))),
        # Inicis undoes an approval by the token that the browser brought, and it may be another order's: a buyer could
        # bring the one of an order that is paid and shipped, and have that undone.
        net_cancel_window=None,
        recalled=frozenset({PayMethod.VBANK}),
        may_approve_unasked=True,  # a phone's form can be changed so that it takes the money at once
    ),
    virtual_accounts=VirtualAccountRules(
        banks=frozenset(),  # the buyer chooses in the window; by API this adapter issues none
        refund_banks=REFUND_BANKS,
        longest=timedelta(days=30),
        revocable=False,
        tells_expiry=False,
    ),
    notice_reply="OK",
)

ANY_IP = "127.0.0.1"
"""For `clientIp`, the merchant server's address: signed by v1, and compared with nothing. A Lambda has none to name."""


class Adapter(Base):
    """One contract with KG Inicis. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the MID among the credentials is the one that the keys belong to
        self._mid = credentials.get("mid", "")
        self._key = credentials.get("iniapi_key", "")
        self._iv = credentials.get("iniapi_iv", "")
        self._site_url = credentials.get("site_url", "")
        self._client_ip = credentials.get("client_ip") or ANY_IP
        self._sign_key = credentials.get("sign_key", "")
        self._hash_key = credentials.get("hash_key", "")
        self._notice_url = credentials.get("notice_url", "")
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        if refusal := self._unusable_key():
            return refusal
        form = _order(order_id, request, request.buyer) | _card(card, self._key, self._iv)
        form["cardPoint"] = "1" if request.use_card_point else "2"
        reply = self._post_form("charge_card", "/api/v1/formpay", "Pay", form, "cardNumber", timeout)
        if not isinstance(reply, Reply):
            return reply
        return self._charged(reply, order_id, request.amount, card.masked)

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        form = _order(order_id, request, _or_holder(request.buyer, secret)) | {"billKey": secret["bill_key"]}
        reply = self._post_form("charge_billing_key", "/api/v1/billing", "Billing", form, "billKey", timeout)
        if not isinstance(reply, Reply):
            return reply
        return self._charged(reply, order_id, request.amount, None)

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult:
        """What Inicis wants to know of a buyer goes with the key: it is asked for again with each charge."""
        if refusal := self._unusable_key():
            return refusal
        form = {"moid": request.order_id, "goodName": "빌링키 발급", "price": "0"}
        form |= _buyer(request.customer) | _card(card, self._key, self._iv)
        reply = self._post_form("issue_billing_key", "/api/v1/billing", "Auth", form, "cardNumber", timeout)
        if not isinstance(reply, Reply):
            return reply
        issued = _success(_Key, reply, DONE)
        if issued is None:
            return _refusal(reply)
        return KeyIssued({"bill_key": issued.bill_key, **_holder(request.customer)}, issued.summary(card.masked))

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        by_order = not query.gateway_ref and Operation.FIND in self.spec.operations
        # A phone's window tells a number, too, which is that of the payment if one came of it.
        tid = query.gateway_ref or query.kept.get("P_TID")
        if not (by_order or tid):
            return Unknown("cannot be asked by order id")
        deadline = self._clock.monotonic() + timeout
        data = {"oid": query.order_id} if by_order or not tid else {"tid": tid}
        reply = self._post_json("find", "inquiry", data, timeout)
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply, FOUND)
        if payment is not None:
            return self._found(payment, query)
        refusal = _refused_query(reply)
        is_there = _success(_Result, reply, FOUND)  # there is an order, though not one that we can read
        if not by_order or refusal.unwell or is_there:
            return refusal
        return self._missing(query.order_id, refusal, deadline - self._clock.monotonic())

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        if not request.gateway_ref:
            raise UnsupportedOperation("html5_inicis: no cancel by order id (net-cancel)")
        kind, data = "refund" if request.amount == request.charged else "partialRefund", _cancel_order(request)
        is_deposit = request.pay_method == PayMethod.VBANK
        if is_deposit:
            if request.refund_to is None or not _is_refundable(request.refund_to):
                return NO_REFUND_ACCOUNT
            data |= _refund_account(request.refund_to, self._key, self._iv)
        reply = self._post_json("cancel", kind, data, timeout, of="/vacct" if is_deposit else "")
        if not isinstance(reply, Reply):
            return reply
        return self._cancelled(reply, request)

    def open_window(self, order: WindowOrder, timeout: float) -> WindowPage | Declined | NotSent | Unknown:  # noqa: ARG002
        """Asks nobody. Refused if the channel lacks what a phone's window needs besides."""
        from chalicelib.gateways import html5_inicis_window as window  # noqa: PLC0415 - only channels with a window

        hosts, now = (self.window_urls["any"],), self._clock.now()
        if not order.terms.is_mobile:
            fields = window.pc_fields(order, self._mid, self._sign_key, self._site_url, now)
            script = f"{self.window_urls['pc']}/stdjs/INIStdPay.js"
            return WindowPage("html5_inicis", {"action": None, "fields": fields}, script, hosts)
        if not self._hash_key:
            return _missing("hash_key", "모바일 hash key")
        if not self._notice_url and order.terms.pay_method is PayMethod.VBANK:
            return _missing("notice_url", "모바일 가상계좌 입금통보 URL")
        fields = window.phone_fields(order, self._mid, self._hash_key, self._notice_url, now)
        action = f"{self.window_urls['phone']}/smart/payment/"
        return WindowPage("html5_inicis", {"action": action, "fields": fields}, hosts=hosts)

    def read_return(self, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:
        from chalicelib.gateways import html5_inicis_window as window  # noqa: PLC0415

        return window.read_return(order, self._mid, self.window_urls, fields, self._clock.now())

    def approve(self, order: WindowOrder, back: Authenticated, timeout: float) -> ApproveResult:
        from chalicelib.gateways import html5_inicis_window as window  # noqa: PLC0415

        proof = back.proof
        if proof["window"] == "stdpay":
            form = window.approval_form(proof, self._mid, self._sign_key, order.request.amount.amount)
        else:
            form = {"P_MID": self._mid, "P_TID": proof["P_TID"]}
        reply = self._http.ask(
            "POST",
            *approve_urls(self.window_urls, proof["window"], proof["idc"]),
            operation="html5_inicis.approve",
            timeout=timeout,
            headers={"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"},
            body=urlencode(form).encode(),
        )
        if not isinstance(reply, Reply):
            return reply
        answer = window.read_answer(reply) if reply.status == 200 else None
        if answer is None:
            return Unknown(f"HTTP {reply.status} without a code", unwell=True)
        if answer.code != WINDOW_DONE[proof["window"]]:
            return _refused_window(answer)
        if doubt := answer.doubt(order, self._mid, proof):
            return Unknown(f"{doubt}; its number is {answer.tid[:60] or 'none'}")  # long digits, and no card's
        if order.terms.pay_method is PayMethod.VBANK:
            return self._issued(answer)
        return self._paid(answer, order.terms.pay_method)

    def read_deposit_notice(self, fields: Mapping[str, Any]) -> DepositNotice | None:
        from chalicelib.gateways import html5_inicis_window as window  # noqa: PLC0415

        return window.read_notice(self._mid, fields)

    def _charged(self, reply: Reply, order_id: str, asked: Money, card_number: str | None) -> ChargeResult:
        """The reply states no currency, and we ask for won only. Where it states no amount it is what was asked for."""
        charge = _success(_Charge, reply, DONE)
        if charge is None:
            return _refusal(reply)
        if charge.moid not in {None, order_id}:
            return Unknown("the reply is not about this order")
        amount = asked if charge.price is None else Money(charge.price)
        return Approved(
            gateway_ref=charge.tid,
            amount=amount,
            approved_at=self._moment(charge.pay_date, charge.pay_time),
            approval_number=quote_text(charge.pay_auth_code or "", 60) or None,
            card=charge.summary(card_number),
            balance=amount,
        )

    def _paid(self, answer: "Answer", method: PayMethod) -> Approved:
        """Only won are asked for in the window."""
        return Approved(
            gateway_ref=answer.tid,
            amount=Money(answer.amount),
            approved_at=from_seoul(answer.approved_at) or self._clock.now(),
            approval_number=shown(answer.approval_number),
            card=_card_of(answer) if method is PayMethod.CARD else None,
            balance=Money(answer.amount),
            bank_code=bank_code(answer.bank_code) if method is PayMethod.TRANS else None,
            easy_pay=EASY_PAYS.get(answer.source or ""),
        )

    def _issued(self, answer: "Answer") -> AwaitingDeposit | Unknown:
        due_at = read_due(answer.account_day, answer.account_time)
        if not (due_at and answer.account_number):
            return Unknown("the reply shows no virtual account")
        account = VirtualAccount(
            bank_code=bank_code(answer.account_bank),
            number=answer.account_number,
            due_at=due_at,
            issued_at=from_seoul(answer.approved_at) or self._clock.now(),
            holder=shown(answer.account_holder),
        )
        return AwaitingDeposit(answer.tid, Money(answer.amount), account)

    def _missing(self, order_id: str, refusal: Unknown, timeout: float) -> FindResult:
        """v2 refuses to speak of an order. Only v1 has a word for "there is none"."""
        form = {"oid": order_id}
        reply = self._post_form("find", "/api/v1/extra", "Extra", form, None, timeout, method="Inquiry")
        if not isinstance(reply, Reply):
            return reply
        answer = _success(_State, reply, DONE)
        return NotFound() if answer and answer.status == NO_SUCH_ORDER and not answer.tid else refusal

    def _found(self, payment: "_Payment", query: ChargeQuery) -> FindResult:
        if (payment.mid, payment.oid) != (self._mid, query.order_id) or query.gateway_ref not in {None, payment.tid}:
            return Unknown("the reply is not about this order")
        if payment.paymethod not in METHODS[PayMethod(query.pay_method)] or payment.currency not in WON:
            return Unknown(f"the reply is not about a payment by {query.pay_method} in won")
        if query.pay_method == PayMethod.VBANK and (not payment.account or payment.account.status != DEPOSITED):
            return self._unpaid(payment)
        balance = payment.balance
        if balance is None or not payment.is_paid_in_full:
            return Unknown(f"status {quote_text(payment.transaction_status, 30)} contradicts the figures")
        return Approved(
            gateway_ref=payment.tid,
            amount=Money(payment.price),
            approved_at=self._moment(*payment.taken_on),
            approval_number=payment.approval_number,
            balance=Money(balance),
            cancels=self._cancels(payment, balance),
            account=self._account(payment),
        )

    def _unpaid(self, payment: "_Payment") -> AwaitingDeposit | Revoked | Unknown:
        """A virtual account into which nothing was paid, or that says something new."""
        status = payment.account.status if payment.account else "none"
        if status == ACCOUNT_CLOSED:
            return Revoked(self._moment(payment.cancel_date, payment.cancel_time))
        account = self._account(payment)
        if status != NO_DEPOSIT or account is None:
            return Unknown(f"the virtual account is {quote_text(status or 'none', 30)}")
        return AwaitingDeposit(payment.tid, Money(payment.price), account)

    def _account(self, payment: "_Payment") -> VirtualAccount | None:
        account = payment.account
        due_at = read_due(account.valid_date, "") if account else None
        if not (account and account.account_number and due_at):
            return None
        return VirtualAccount(
            bank_code=bank_code(account.bank_code),
            number=account.account_number,
            due_at=due_at,
            issued_at=self._moment(payment.approved_date, payment.approved_time),
            holder=shown(account.account_name),
        )

    def _cancels(self, payment: "_Payment", balance: int) -> tuple[GatewayCancel, ...]:
        """A cancel in parts has a number of its own, a whole one that of the charge."""
        found = [
            GatewayCancel(part.tid, Money(part.amount), self._moment(part.request_date, part.request_time))
            for part in payment.parts
        ]
        found.sort(key=lambda cancel: cancel.cancelled_at)
        rest = payment.price - balance - payment.in_parts
        if rest:
            whole = self._moment(payment.cancel_date, payment.cancel_time)
            found.append(GatewayCancel(payment.tid, Money(rest), whole))
        return tuple(found)

    def _cancelled(self, reply: Reply, request: CancelRequest) -> CancelResult:
        if request.amount == request.charged:
            whole = _success(_Refund, reply, DONE)
            if whole is None:
                return _refused_cancel(reply)
            if whole.tid not in {None, request.gateway_ref}:
                return Unknown("the reply is not about this payment")
            when = self._moment(whole.cancel_date, whole.cancel_time)
            return Cancelled(GatewayCancel(request.gateway_ref, request.amount, when), request.balance - request.amount)
        part = _success(_PartialRefund, reply, DONE)
        if part is None:
            return _refused_cancel(reply)
        number = part.number_beside(request.gateway_ref)
        left = request.balance - request.amount
        if number is None or (part.prtc_price, part.prtc_remains) != (request.amount.amount, left.amount):
            return Unknown("the reply does not show this cancel as done")
        when = self._moment(part.prtc_date, part.prtc_time)
        return Cancelled(GatewayCancel(number, request.amount, when), left)

    def _moment(self, day: str | None, time: str | None) -> datetime:
        return from_seoul(f"{day}{time}") or self._clock.now()

    def _unusable_key(self) -> Declined | None:
        if re.fullmatch(r"[!-~]{16}", self._key) and re.fullmatch(r"[!-~]{16}", self._iv):
            return None
        return Declined(
            R.CHANNEL_REJECTED, "iniapi_key", "INIAPI key와 iv는 각각 16자여야 합니다. (key and iv must be 16 long)"
        )

    def _post_form(
        self,
        operation: str,
        path: str,
        kind: str,
        fields: Mapping[str, str],
        signed_last: str | None,
        timeout: float,
        *,
        method: str = "Card",
    ) -> Reply | NotSent | Unknown:
        """v1. signed_last: what is signed, as it is sent, after order id and amount; None: none of the three is."""
        form = {
            "type": kind,
            "paymethod": method,
            "timestamp": seoul(self._clock.now()),
            "clientIp": self._client_ip,
            "mid": self._mid,
        }
        signed = [self._key, *form.values()]
        if signed_last:
            form["url"] = self._site_url
            signed += [fields["moid"], fields["price"], fields[signed_last]]
        form |= {**fields, "hashData": _digest(*signed)}
        # Base64 has plus signs, and a bare one in a form is a blank.
        return self._send(operation, path, "application/x-www-form-urlencoded", urlencode(form), timeout)

    def _post_json(
        self, operation: str, kind: str, data: Mapping[str, str], timeout: float, *, of: str = ""
    ) -> Reply | NotSent | Unknown:
        """v2. The text of `data` in the body is the text that is signed, because both are written by `_compact`."""
        timestamp = seoul(self._clock.now())
        body = {
            "mid": self._mid,
            "type": kind,
            "timestamp": timestamp,
            "clientIp": self._client_ip,
            "data": data,
            "hashData": _digest(self._key, self._mid, kind, timestamp, _compact(data)),
        }
        return self._send(operation, f"/v2/pg/{kind}{of}", "application/json", _compact(body), timeout)

    def _send(
        self, operation: str, path: str, content_type: str, body: str, timeout: float
    ) -> Reply | NotSent | Unknown:
        return self._http.ask(
            "POST",
            self._base_url + path,
            operation=f"html5_inicis.{operation}",
            timeout=timeout,
            headers={"Content-Type": f"{content_type};charset=utf-8"},
            body=body.encode(),
        )


# --- requests ---------------------------------------------------------------------------------------------------


def _order(order_id: str, request: PaymentRequest, buyer: Buyer) -> dict[str, str]:
    return {
        "moid": order_id,
        "goodName": cut(request.name, 40) or "상품",
        "price": str(request.amount.amount),
        "currency": "WON",
        "authentification": "00",  # spelt so by Inicis
        "cardQuota": f"{request.quota if request.quota > 1 else 0:02}",
        "quotaInterest": "1" if request.interest_free_by_merchant else "0",
        **_buyer(buyer),
        **taxes(request.tax_free, request.vat),
    }


def _cancel_order(request: CancelRequest) -> dict[str, str]:
    """confirmPrice, what must be left, is the guard: the same cancel, sent again, does not fit the balance any more."""
    # How a quote or a backslash is signed, escaped or not, nobody says.
    reason = re.sub(r'["\\]', " ", request.reason)
    data = {"tid": request.gateway_ref, "msg": cut(reason, 80) or "취소"}
    if request.amount != request.charged:
        left = request.balance - request.amount
        data |= {"price": str(request.amount.amount), "confirmPrice": str(left.amount), "currency": "WON"}
        data |= taxes(request.tax_free, request.vat)
    return data


def _refund_account(account: RefundAccount, key: str, iv: str) -> dict[str, str]:
    number = re.sub(r"\D", "", account.account or "")
    return {
        "refundAcctNum": aes.encrypt_base64(number, key, iv.encode()),
        "refundBankCode": (account.bank or "")[1:],
        "refundAcctName": cut(account.holder, 30),
    }


def _is_refundable(account: RefundAccount) -> bool:
    return bool(account.bank in REFUND_BANKS and re.search(r"\d", account.account or "") and cut(account.holder, 30))


def taxes(tax_free: int, vat: int | None) -> dict[str, str]:
    """For contracts under which the merchant states them; others leave them out, and so do we."""
    if vat is not None:
        return {"tax": str(vat), "taxFree": str(tax_free)}
    return {"taxFree": str(tax_free)} if tax_free else {}


def _buyer(buyer: Buyer) -> dict[str, str]:
    """Inicis insists on all three, and says so itself (ER0102) if one is empty."""
    return {
        "buyerName": cut(buyer.name, 30),
        "buyerEmail": plain_text(buyer.email),
        "buyerTel": plain_text(buyer.tel),
    }


def _holder(customer: Buyer) -> dict[str, str]:
    """What a key remembers of its holder."""
    known = {"name": customer.name, "email": customer.email, "tel": customer.tel}
    return {name: value for name, value in known.items() if value}


def _or_holder(buyer: Buyer, secret: Mapping[str, str]) -> Buyer:
    return Buyer(
        name=buyer.name or secret.get("name"),
        email=buyer.email or secret.get("email"),
        tel=buyer.tel or secret.get("tel"),
    )


def _card(card: Card, key: str, iv: str) -> dict[str, str]:
    fields = {
        "cardNumber": card.number,
        "cardExpire": card.expiry_year[-2:] + card.expiry_month,
        "regNo": card.birth,
        "cardPw": card.password_2digits,
    }
    return {name: aes.encrypt_base64(value, key, iv.encode()) for name, value in fields.items() if value}


def _digest(*parts: str) -> str:
    return hashlib.sha512("".join(parts).encode()).hexdigest()


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- replies ----------------------------------------------------------------------------------------------------


_Number = Annotated[str, Field(min_length=1, max_length=500)]
"""Of Inicis: what is longer than any that it gives could not be kept."""


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, coerce_numbers_to_str=True)


class _Result(_Wire):
    """inner: the code behind a general one, in a field of its own or in brackets before the text."""

    code: str = Field(alias="resultCode", min_length=1)
    message: str | None = Field(None, alias="resultMsg")
    detail_code: str | None = None
    detail_result_code: str | None = None
    pay_auth_code: str | None = None

    @property
    def inner(self) -> str | None:
        bracketed = re.match(r"\s*\[(?=[A-Za-z_]{0,19}\d)(\w{1,20})\]", self.message or "", re.ASCII)
        return self.detail_result_code or self.detail_code or (bracketed[1] if bracketed else None)


class _OfCard(_Result):
    card_code: str | None = None
    card_name: str | None = None
    check_flg: str | None = None

    def summary(self, number: str | None) -> CardSummary:
        code = CARD_CODES.get(self.card_code or "")
        name = quote_text(self.card_name or CARDS.get(code or "") or "", 60) or None
        return CardSummary(
            name=name,
            code=code,
            issuer_code=code,
            issuer_name=name,
            number=number,
            type={"0": 0, "1": 1}.get(self.check_flg or ""),
        )


class _Charge(_OfCard):
    tid: _Number
    moid: str | None = None
    price: int | None = Field(None, gt=0)
    pay_date: str | None = None
    pay_time: str | None = None


class _Key(_OfCard):
    bill_key: _Number


class _Refund(_Result):
    tid: str | None = None
    cancel_date: str | None = None
    cancel_time: str | None = None


class _PartialRefund(_Result):
    tid: _Number
    prtc_tid: _Number
    prtc_price: int
    prtc_remains: int
    prtc_date: str | None = None
    prtc_time: str | None = None

    def number_beside(self, charge: str) -> str | None:
        """The cancel's own number. Which of the two fields has it, and which the charge's, clients disagree about."""
        others = {self.tid, self.prtc_tid} - {charge}
        return others.pop() if charge in {self.tid, self.prtc_tid} and others else None


class _State(_Result):
    status: str | None = None
    tid: str | None = None


class _Part(_Wire):
    tid: _Number
    amount: int = Field(alias="requestPrice", gt=0)
    request_date: str | None = None
    request_time: str | None = None


class _CardInfo(_Wire):
    approved_number: str | None = None
    currency_code: str | None = None


class _Account(_Wire):
    account_number: str | None = None
    status: str | None = Field(None, alias="depositStatus")
    bank_code: str | None = None
    account_name: str | None = None
    valid_date: str | None = None
    deposit_amount: str | None = None
    deposit_date: str | None = None
    deposit_time: str | None = None


class _Payment(_Result):
    mid: str
    tid: _Number
    oid: str
    price: int = Field(gt=0)
    paymethod: str
    transaction_status: str
    approved_date: str | None = None
    approved_time: str | None = None
    cancel_date: str | None = None
    cancel_time: str | None = None
    available: int | None = Field(None, alias="availablePartCancelPrice")
    partial: list[_Part] | None = Field(None, alias="partCancelTransInfo")
    card_info: _CardInfo | None = None
    account: _Account | None = Field(None, alias="vacctInfo")

    @property
    def is_paid_in_full(self) -> bool:
        """False for a virtual account into which another amount was paid than was asked for."""
        return self.account is None or self.account.deposit_amount in {None, "", str(self.price)}

    @property
    def taken_on(self) -> tuple[str | None, str | None]:
        """Day and time: of an account, when it was paid into."""
        if self.account and self.account.deposit_date:
            return self.account.deposit_date, self.account.deposit_time
        return self.approved_date, self.approved_time

    @property
    def approval_number(self) -> str | None:
        return quote_text((self.card_info and self.card_info.approved_number) or "", 60) or None

    @property
    def currency(self) -> str:
        return (self.card_info and self.card_info.currency_code) or "WON"

    @property
    def parts(self) -> list[_Part]:
        return self.partial or []

    @property
    def in_parts(self) -> int:
        return sum(part.amount for part in self.parts)

    @property
    def balance(self) -> int | None:
        """None if the status is a new one, or contradicts the parts.

        `available` counts only once something was cancelled: of a card that cannot be cancelled in parts it may be 0.
        """
        left = self.price - self.in_parts
        match self.transaction_status:
            case "APPROVAL" if not self.parts:
                return self.price
            case "PART_CANCEL" if self.parts and left >= 0 and self.available in {None, left}:
                return left
            case "CANCEL" if left >= 0:
                return 0
        return None


W = TypeVar("W", bound=_Result)


def _success(model: type[W], reply: Reply, word: str) -> W | None:
    result = read_json(model, reply) if reply.status == 200 else None
    return result if result and result.code == word else None


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than success means: no only with a code, or words, that are known to mean no."""
    result = read_json(_Result, reply) if reply.status < 500 else None
    if result is None:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    code = quote_text(result.inner or result.code, 60)
    message = quote_text(result.message or code)
    found = [item for item in (result.inner, result.code) if item]
    reason = reason_of(found, message)
    if reason and not result.pay_auth_code:  # what was approved was not refused
        return Declined(reason, code, message + HINTS.get(code, ""))
    if not UNKNOWN_CODES.intersection(found):
        log.warning("html5_inicis: code %r is not mapped, outcome unknown", code)
    return Unknown(f"HTTP {reply.status}: {message}", code)


def reason_of(found: list[str], message: str) -> R | None:
    """found: the codes, the inner one first. A code that says what it means counts more than the words beside it."""
    if UNKNOWN_CODES.intersection(found):
        return None
    listed = next((DECLINES[code] for code in found if code in DECLINES and code != GENERAL), None)
    if listed or found[-1] != GENERAL:
        return listed
    if is_unsure(message) or "주문번호" in message:  # of an order that may have been there before
        return None
    if OUR_CONTRACT.search(message):
        return R.CHANNEL_REJECTED
    return refusal_reason(message) or next((reason for words, reason in MORE_WORDS if words.search(message)), None)


def _refused_query(reply: Reply) -> Unknown:
    """A refused question says nothing about the charge."""
    refusal = _refusal(reply)
    if isinstance(refusal, Declined):
        return Unknown("the query was refused", refusal.code, unwell=refusal.reason is R.CHANNEL_REJECTED)
    return refusal


def _refused_cancel(reply: Reply) -> Declined | Unknown:
    """A balance that does not fit may be the work of this very cancel, sent before: its words are no clear no."""
    refusal = _refusal(reply)
    if isinstance(refusal, Declined) and refusal.reason not in {R.CHANNEL_REJECTED, R.INVALID_REQUEST}:
        return Unknown(f"the cancel was refused: {refusal.message}", refusal.code)
    return refusal


# --- the payment windows ----------------------------------------------------------------------------------------

WINDOW_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "stdpay": "/api/payAuth",
        "mobile": "/smart/payReq.ini",
    }
)
"""Window, for PCs and for phones -> where it is approved."""

WINDOW_DONE = MappingProxyType({"stdpay": "0000", "mobile": "00"})


def approve_urls(window_urls: Mapping[str, str], window: str, idc_name: object) -> frozenset[str]:
    """The address at which a window may be approved: `endpoints.trusted` compares what the browser brings with it.

    idc_name: the data centre that the window names. None of ours, or of the other environment: nothing is trusted.
    """
    host = window_urls.get(f"{idc_name}{window}")
    return frozenset({host + WINDOW_PATHS[window]}) if host else frozenset()


def _missing(name: str, label: str) -> Declined:
    """Not CHANNEL_REJECTED, which would take the channel down for PCs, too."""
    text = f"모바일 결제창에는 채널의 {label} 설정이 필요합니다. (the channel lacks {name}, which phones need)"
    return Declined(R.INVALID_REQUEST, name, text)


def _refused_window(answer: "Answer") -> Declined | Unknown:
    """Its codes are not published, so whatever the code is, the words decide, as they do for the API's general one."""
    code, message = quote_text(answer.code, 60), quote_text(answer.message or answer.code)
    reason = reason_of([answer.code, GENERAL], message)
    if reason and not answer.approval_number:  # what was approved was not refused
        return Declined(reason, code, message)
    log.warning("html5_inicis: code %r of a window is not mapped, outcome unknown", code)
    return Unknown(f"the window was not approved: {message}", code)


def _card_of(answer: "Answer") -> CardSummary:
    code = CARD_CODES.get(answer.card_code or "")
    name = CARDS.get(code or "")
    kind = {"0": 0, "1": 1}.get(answer.check_card or "")
    return CardSummary(
        name=name, code=code, issuer_code=code, issuer_name=name, number=shown(answer.card_number), type=kind
    )


def read_due(day: str | None, time: str | None) -> datetime | None:
    """Until when to pay in. Without a time, the whole day."""
    text = f"{day or ''}{time or ''}".replace("-", "").replace(":", "")
    patterns = ((14, "%Y%m%d%H%M%S", ""), (12, "%Y%m%d%H%M", ""), (8, "%Y%m%d%H%M%S", "235959"))
    return next((from_seoul(text + rest, pattern) for size, pattern, rest in patterns if len(text) == size), None)


def bank_code(inicis: str | None) -> str | None:
    """The clearing house's, of Inicis's two digits: banks that are no more are what became of them."""
    code = OLD_BANKS.get(inicis or "", f"0{inicis}")
    return code if code in BANKS else None


# --- codes ------------------------------------------------------------------------------------------------------

DONE = "00"
FOUND = "SUCCESS"
NO_SUCH_ORDER = "9"
GENERAL = "01"
"""Stands for whatever was refused; only the text tells more."""

NO_DEPOSIT, DEPOSITED, ACCOUNT_CLOSED = "N", "Y", "C"
"""States of a virtual account: words of the v1 inquiry, which that of v2 is taken to share."""

NO_REFUND_ACCOUNT = Declined(
    R.INVALID_REQUEST,
    "refund_account",
    "환불받을 은행, 계좌번호, 예금주가 필요합니다. (a refund needs a bank, an account and its holder)",
)

OLD_BANKS = MappingProxyType({"05": "081", "06": "004", "21": "088", "26": "088", "53": "027"})

EASY_PAYS = MappingProxyType({
    "A": "kpay", "B": "samsungpay", "C": "payco", "D": "samsungpay", "G": "ssgpay", "H": "tosspay", "I": "naverpay",
    "L": "lpay", "O": "kakaopay",
})  # fmt: skip
"""Wallets, as a public client lists them -> V1's words."""

WON = frozenset({"WON", "KRW", "410"})

HINTS = MappingProxyType(
    {"ER0102": " (구매자 이름·이메일·전화번호는 필수입니다. name, e-mail and telephone of the buyer are required)"}
)

DECLINES = table(
    (R.ISSUER_DECLINED, GENERAL),
    (R.INVALID_REQUEST, "ER0102 ERR012 V023"),
    (R.BILLING_KEY_INVALID, "1195"),
)
"""Codes that surely mean no. A code in no table is unknown."""

# 500626: cancelled before, by us or by another. The words for success mean none where they do not belong.
UNKNOWN_CODES = codes("500626 00 0000 SUCCESS")

# Inicis publishes no table of issuers' refusals. All words are [recalled]; those that others share are in `words`.
OUR_CONTRACT = re.compile(
    r"hash ?(data|값)|불가 ?(가맹점|상점)|[미비] ?계약|계약이? ?(없|안|되지|해지|만료|종료)", re.IGNORECASE
)

MORE_WORDS = (
    (re.compile(r"(사업자번호|본인\w*) ?(오류|불일치|실패|상이)"), R.CARD_CHECK_FAILED),
    (re.compile(r"할부가 ?불가"), R.INSTALLMENT_NOT_ALLOWED),
    (re.compile(r"미지원"), R.CARD_NOT_SUPPORTED),
    (re.compile(r"금액 ?(미만|초과|오류)"), R.AMOUNT_NOT_ALLOWED),
    (re.compile(r"(거래|승인|사용|이용|결제) ?불가"), R.ISSUER_DECLINED),
)

# Inicis's two digits -> clearing-house code. 21 to 25 are foreign cards, which have none.
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
