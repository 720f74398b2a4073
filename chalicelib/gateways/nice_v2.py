"""NICE Payments, new module: its window, billing by card data, key-in made of billing calls, cancels, query, receipts.

Source of the rules, unless a line says otherwise: NICE's public manual (nicepay-manual): common/api, common/code,
api/payment-subscribe, api/payment-window-server, api/hook, api/cancel, api/status-transaction, api/payment-receipt. How
sure each fact is: docs/gateways/nice_v2.md. What the window is opened with, and what comes back: `nice_v2_window`.

- A refusal comes with HTTP 200 and a `resultCode`; only "0000" (or the inner success code) is a yes.
- Every call is signed; an answer's signature is checked whenever it has one.
- The manual has no key-in. A one-time charge is a billing key that is issued, charged and deleted at once.
- Only keys of the kind that authenticates each call (Basic) are served. The other kind (bearer tokens) is refused by
  NICE with U103, and says so in the result.
"""

import base64
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

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
    DeleteResult,
    DepositNotice,
    FindResult,
    GatewayCancel,
    IdentifierType,
    IssueRequest,
    IssueResult,
    KeyDeleted,
    KeyIssued,
    NotFound,
    NotSent,
    Operation,
    PaymentRequest,
    ReceiptType,
    RefundAccount,
    Revoked,
    RevokeResult,
    Unknown,
    VirtualAccount,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.domain.receipts import (
    CancelReceiptResult,
    CashReceiptCancel,
    CashReceiptCancelled,
    CashReceiptIssued,
    CashReceiptRequest,
    IssueReceiptResult,
)
from chalicelib.domain.specs import (
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
from chalicelib.gateways.wire import (
    KST,
    Shown,
    codes,
    cut,
    from_seoul,
    instant,
    plain_text,
    quote_text,
    table,
    trade_dates,
    whole_characters,
)
from chalicelib.gateways.words import issuer_reason
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType(
    {
        Environment.LIVE: "https://api.nicepay.co.kr",
        Environment.TEST: "https://sandbox-api.nicepay.co.kr",
    }
)

OTHER_HOSTS = "https://*.nicepay.co.kr"
"""Which of them the window goes on to is documented nowhere."""
WINDOW_URLS = MappingProxyType(
    {
        Environment.LIVE: MappingProxyType({"script": "https://pay.nicepay.co.kr", "others": OTHER_HOSTS}),
        Environment.TEST: MappingProxyType({"script": "https://sandbox-pay.nicepay.co.kr", "others": OTHER_HOSTS}),
    }
)

REFUND_BANKS = codes("002-004 007 011 020 023 027 031 032 034 035 037 039 045 048 050 071 081 088-090")
"""Clearing-house codes, which NICE uses too. Which of its banks it refunds to is documented nowhere."""

SPEC = GatewaySpec(
    provider="nice_v2",
    label="나이스페이먼츠(신모듈)",
    english="NICE Payments (new)",
    # A cash receipt is found by NICE's number only, which a lost reply does not tell. The public manual has virtual
    # accounts in its window and no call that issues one.
    operations=frozenset(Operation)
    - {Operation.FIND_CASH_RECEIPT, Operation.ISSUE_VIRTUAL_ACCOUNT, Operation.READ, Operation.KEY_BY_CHARGE},
    recalled=frozenset({Operation.CHARGE_CARD}),
    # The window takes USD too, but the manual gives the amount of a billing charge as a whole number only.
    currencies=frozenset({"KRW"}),
    credentials=(
        CredentialField(
            "client_id",
            "클라이언트 ID (Client ID)",
            secret=False,
            pattern=r"[!-~]{1,200}",
            live_prefixes=("R1_", "R2_"),
            test_prefixes=("S1_", "S2_"),
        ),
        # The whole key encrypts card data, and AES-256 takes exactly 32 bytes.
        CredentialField("secret_key", "시크릿 키 (Secret key)", pattern=r"[!-~]{32}"),
    ),
    settling_delay=timedelta(minutes=10),
    order_id_scope=OrderIdScope.FOREVER,
    test_access=TestAccess.PUBLIC,
    net_cancel_window=timedelta(hours=1),
    card_fields=frozenset({"birth", "password_2digits"}),
    min_amount=1000,  # code 3041: a card payment below 1,000 won is refused
    receipt_identifiers=MappingProxyType(
        {
            ReceiptType.PERSON: frozenset({IdentifierType.PHONE}),
            ReceiptType.COMPANY: frozenset({IdentifierType.BUSINESS}),
        }
    ),
    receipt_takes_vat=True,
    virtual_accounts=VirtualAccountRules(banks=frozenset(), refund_banks=REFUND_BANKS, longest=timedelta(days=90)),
    windows=WindowRules(
        methods=frozenset({PayMethod.CARD, PayMethod.TRANS, PayMethod.VBANK, PayMethod.PHONE}),
        # PortOne insists on a phone number at this gateway, whatever is paid with.
        required=MappingProxyType(
            {
                PayMethod.CARD: ("buyer.tel",),
                PayMethod.TRANS: ("buyer.tel",),
                PayMethod.VBANK: ("buyer.tel", "account_due"),
                PayMethod.PHONE: ("buyer.tel", "digital"),
            }
        ),
        net_cancel_window=timedelta(hours=1),
        recalled=frozenset({PayMethod.VBANK}),
        may_approve_unasked=True,  # keys of the client-approval kind, and returns that were swapped
    ),
    notice_reply="OK",
)


class Adapter(Base):
    """One contract with NICE Payments. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the client id names the contract
        self._client_id = credentials.get("client_id", "")
        self._secret_key = credentials.get("secret_key", "")
        pair = f"{self._client_id}:{self._secret_key}"
        self._headers = {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/json;charset=utf-8",
        }
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        """Issue a key, charge it, delete it; the three share the time-out.

        Each call has its own order id, because net-cancel and query work on ids that are unique at NICE.
        """
        deadline = self._clock.monotonic() + timeout
        issued = self._regist(f"{order_id}r", request.buyer, card, timeout / 3)
        if not isinstance(issued, KeyIssued):
            return _before_charge(issued)
        result = self._charge(order_id, request, issued.secret, deadline - self._clock.monotonic())
        self._drop_key(order_id, issued.secret, deadline - self._clock.monotonic())
        return result

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        return self._charge(order_id, request, secret, timeout)

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        """By NICE's number where its window has left one; not by one that a person may have typed in.

        An order is found only under its date, near midnight perhaps of two.
        """
        if tid := query.kept.get("tid"):
            return self._ask(f"/v1/payments/{quote(tid, safe='')}", query.order_id, timeout)
        deadline = self._clock.monotonic() + timeout
        results: list[FindResult] = []
        for day in trade_dates(query.requested_at, self._clock.now()):
            path = f"/v1/payments/find/{quote(query.order_id, safe='')}?orderDate={day}"
            result = self._ask(path, query.order_id, deadline - self._clock.monotonic())
            if not isinstance(result, NotFound):
                return result  # an id exists once; and a question without an answer settles nothing
            results.append(result)
        return results[0]

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        """Without a gateway_ref this is a net-cancel: undo whatever runs under our order id, within an hour."""
        if not request.gateway_ref:
            if request.amount != request.charged:
                raise UnsupportedOperation("nice_v2: net-cancel undoes the whole charge")
            body = self._sign({"orderId": request.order_id}, request.order_id)
            path = "/v1/payments/netcancel"
            reply = self._send("POST", path, "net_cancel", timeout, body)
        else:
            body = self._sign(_cancel_order(request), request.gateway_ref)
            path = f"/v1/payments/{quote(request.gateway_ref, safe='')}/cancel"
            reply = self._send("POST", path, "cancel", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        return self._cancelled(reply, request)

    def revoke_virtual_account(self, revoke_id: str, gateway_ref: str, timeout: float) -> RevokeResult:
        """A cancel without an account to refund to: NICE cannot carry it out once something was paid in."""
        body = self._sign({"reason": "가상계좌 말소", "orderId": revoke_id}, gateway_ref)
        path = f"/v1/payments/{quote(gateway_ref, safe='')}/cancel"
        reply = self._send("POST", path, "revoke_virtual_account", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply, "0000", "2001")
        if payment is None:
            return _refusal(reply)
        doubt = self._doubt(payment, payment.order_id)
        if doubt or payment.tid != gateway_ref or not payment.is_revoked:
            return Unknown(doubt or "the reply does not show this account as revoked")
        return self._revoked(payment)

    def open_window(self, order: WindowOrder, timeout: float) -> WindowPage:  # noqa: ARG002 - NICE is not asked
        from chalicelib.gateways import nice_v2_window as window  # noqa: PLC0415 - for channels that have windows

        return WindowPage(
            driver="nice_v2",
            params=window.parameters(order, self._client_id),
            script=f"{self.window_urls['script']}/v1/js/",
            hosts=(self.window_urls["script"], self.window_urls["others"]),
        )

    def read_return(self, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:
        from chalicelib.gateways import nice_v2_window as window  # noqa: PLC0415 - for channels that have windows

        return window.read_return(order, fields, self._client_id, self._secret_key)

    def approve(self, order: WindowOrder, back: Authenticated, timeout: float) -> ApproveResult:
        """Another order's approval is Unknown, and not undone here: that order may have been approved rightly."""
        if "taken" in back.proof:
            return self._taken_already(order, back, timeout)
        tid, amount = back.proof["tid"], order.request.amount.amount
        body = self._sign({"amount": amount}, tid, str(amount))
        reply = self._send("POST", f"/v1/payments/{quote(tid, safe='')}", "approve", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply, "0000", *APPROVED_CODES)
        if payment is None:
            return _refusal(reply)
        doubt = self._doubt(payment, order.order_id, must_be_signed=True)
        if doubt or payment.tid != tid:
            return Unknown(f"approved as {tid}, but {doubt or 'the reply has another number'}")
        if payment.status == "paid":
            return self._approved(payment)
        return self._awaiting(payment) or Unknown(f"status {quote_text(payment.status, 30)}")

    def _taken_already(self, order: WindowOrder, back: Authenticated, timeout: float) -> ApproveResult:
        """The client id is of the kind that NICE approves by itself: there is nothing to ask for, but what it has."""
        log.error(
            "nice_v2: the client id of %s is of the client approval kind: get one of the server kind", order.order_id
        )
        query = ChargeQuery(
            order.order_id, order.request.amount, self._clock.now(), pay_method=order.terms.pay_method, kept=back.kept
        )
        found = self.find_charge(query, timeout)
        if isinstance(found, NotFound | NotSent | Revoked):
            return Unknown(f"NICE says that it has taken it, and asked about it: {type(found).__name__}")
        return found

    def read_deposit_notice(self, fields: Mapping[str, Any]) -> DepositNotice | None:
        """NICE tells of everything, cards too. Only what can change an account that waits is of use."""
        notice = _read(_Notice, fields)
        if notice is None:
            raise InvalidRequest("tid", "tid: 나이스페이먼츠의 웹훅이 아닙니다. (no notice of NICE's)")
        if notice.pay_method != "vbank" or notice.status == "ready":
            return None
        if self._doubt(notice, notice.order_id, must_be_signed=True):
            raise InvalidRequest("signature", "signature: 서명이 올바르지 않습니다. (wrong signature)")
        return DepositNotice(notice.order_id, gateway_ref=notice.tid)

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult:
        return self._regist(request.order_id, request.customer, card, timeout)

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult:
        bid = secret["bid"]
        body = self._sign({"orderId": order_id}, order_id, bid)
        path = f"/v1/subscribe/{quote(bid, safe='')}/expire"
        reply = self._send("POST", path, "delete_billing_key", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        expired = _success(_Bid, reply, "0000", "F101")
        if expired and expired.bid in {None, bid}:
            return KeyDeleted()
        refusal = _refusal(reply)
        if isinstance(refusal, Declined) and refusal.code in KEY_GONE_CODES:
            return KeyDeleted()
        return refusal

    def issue_cash_receipt(self, request: CashReceiptRequest, timeout: float) -> IssueReceiptResult:
        body = self._sign(_receipt_order(request), request.order_id, str(request.terms.amount.amount))
        reply = self._send("POST", "/v1/receipt", "issue_cash_receipt", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        receipt = _success(_Receipt, reply, "0000", "7001")
        if receipt is None:
            return _refusal(reply)
        if doubt := self._receipt_doubt(receipt, request.order_id):
            return Unknown(doubt)
        return CashReceiptIssued(
            receipt_tid=receipt.tid,
            issued_at=instant(receipt.approved_at) or self._clock.now(),
            apply_num=receipt.approve_no,
        )

    def cancel_cash_receipt(self, request: CashReceiptCancel, timeout: float) -> CancelReceiptResult:
        body = self._sign({"orderId": request.cancel_id, "reason": "현금영수증 취소"}, request.receipt_tid)
        path = f"/v1/receipt/{quote(request.receipt_tid, safe='')}/cancel"
        reply = self._send("POST", path, "cancel_cash_receipt", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        receipt = _success(_Receipt, reply, "0000", "7001")
        if receipt is None:
            refusal = _refusal(reply)
            # Cancels of receipts are whole, so an earlier one has done all that this one asks for.
            return CashReceiptCancelled(self._clock.now()) if refusal.code == "2013" else refusal
        doubt = self._receipt_doubt(receipt, request.cancel_id)
        if doubt or receipt.cancel_amt != request.amount.amount:
            return Unknown(doubt or "the reply shows a cancel of another amount")
        return CashReceiptCancelled(instant(receipt.cancelled_at) or self._clock.now())

    def _receipt_doubt(self, receipt: "_Receipt", order_id: str) -> str | None:
        if receipt.order_id != order_id:
            return "the reply is not about this order"
        if receipt.signature:
            signed = digest(receipt.tid, receipt.order_id, receipt.edi_date or "", self._secret_key)
            if receipt.signature.lower() != signed:
                return "the reply's signature is wrong"
        return None

    def _regist(self, order_id: str, buyer: Buyer, card: Card, timeout: float) -> IssueResult:
        if not re.fullmatch(r"[!-~]{32}", self._secret_key):
            return Declined(
                R.CHANNEL_REJECTED, "secret_key", "시크릿 키는 32자여야 합니다. (secret_key must be 32 long)"
            )
        body = {"orderId": order_id, "encMode": "A2", "encData": _encrypt(_card_text(card), self._secret_key)}
        add_buyer(body, buyer)
        reply = self._send("POST", "/v1/subscribe/regist", "issue_billing_key", timeout, self._sign(body, order_id))
        if not isinstance(reply, Reply):
            return reply
        issued = _success(_Bid, reply, "0000", "F100")
        if issued is None:
            return _refusal(reply)
        if not issued.bid or issued.order_id not in {None, order_id}:
            return Unknown("the reply is not about this order")
        return KeyIssued({"bid": issued.bid}, _card_summary(issued.card_code, issued.card_name, card.masked))

    def _charge(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        bid = secret["bid"]
        body = self._sign(_order(order_id, request), order_id, bid)
        path = f"/v1/subscribe/{quote(bid, safe='')}/payments"
        reply = self._send("POST", path, "charge", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply, "0000", "3001")
        if payment is None:
            return _refusal(reply)
        doubt = self._doubt(payment, order_id)
        if doubt or payment.status != "paid":
            return Unknown(doubt or f"status {quote_text(payment.status, 30)}")
        return self._approved(payment)

    def _drop_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> None:
        """The charge has its outcome already. A key that stays behind is known to nobody and charges nothing."""
        result = self.delete_billing_key(f"{order_id}e", secret, timeout)
        if not isinstance(result, KeyDeleted):
            log.warning("nice_v2: the key of %s was not deleted: %s", order_id, type(result).__name__)

    def _ask(self, path: str, order_id: str, timeout: float) -> FindResult:
        """Not signed: the manual leaves open which values would be."""
        reply = self._send("GET", path, "find", timeout)
        if not isinstance(reply, Reply):
            return reply
        payment = _parse(_Payment, reply)
        if payment is None:
            return _not_found(reply)
        if doubt := self._doubt(payment, order_id):
            return Unknown(doubt)
        if payment.code == "0000":
            if payment.is_revoked:
                return self._revoked(payment)
            if payment.status in TAKEN_STATUSES:
                return self._approved(payment)
            if awaiting := self._awaiting(payment):
                return awaiting
        if payment.status == "expired" and payment.vbank:
            return Declined(R.BUYER_CANCELLED, "EXPIRED", "입금기한이 지났습니다. (nothing was paid in in time)")
        if payment.status in FAILED_STATUSES:
            return _failed(payment)
        return Unknown(f"status {quote_text(payment.status, 30)}", payment.code)

    def _cancelled(self, reply: Reply, request: CancelRequest) -> CancelResult:
        payment = _success(_Payment, reply, "0000", "2001", "2211")
        if payment is None:
            return _refusal(reply)
        doubt = self._doubt(payment, payment.order_id)
        about_ours = payment.tid == request.gateway_ref if request.gateway_ref else payment.order_id == request.order_id
        cancel = payment.last_cancel
        if doubt or not about_ours or cancel is None or payment.status not in CANCELLED_STATUSES:
            return Unknown(doubt or "the reply does not show this cancel as done")
        if cancel.amount != request.amount.amount:
            return Unknown("the reply shows a cancel of another amount")
        return Cancelled(self._cancel_of(payment, cancel), payment.balance)

    def _doubt(self, payment: "_Payment", order_id: str, *, must_be_signed: bool = False) -> str | None:
        """Why a reply cannot be trusted to be NICE's answer about this order, or None."""
        if payment.order_id != order_id:
            return "the reply is not about this order"
        if payment.signature or must_be_signed:
            signed = digest(payment.tid, str(payment.amount), payment.edi_date or "", self._secret_key)
            if not hmac.compare_digest((payment.signature or "").lower().encode(), signed.encode()):
                return "the reply's signature is wrong"
        return None

    def _approved(self, payment: "_Payment") -> Approved:
        card = payment.card
        return Approved(
            gateway_ref=payment.tid,
            amount=payment.money,
            approved_at=instant(payment.paid_at) or self._clock.now(),
            approval_number=payment.approve_no,
            card=_card_summary(card.card_code, card.card_name, card.card_num, card.card_type, card.acqu_card_code)
            if card
            else None,
            receipt_url=payment.receipt_url,
            balance=payment.balance,
            cancels=tuple(
                sorted(
                    (self._cancel_of(payment, cancel) for cancel in payment.cancels or ()),
                    key=lambda cancel: cancel.cancelled_at,
                )
            ),
            account=self._account(payment),
            bank_code=payment.bank.bank_code if payment.bank else None,
            easy_pay=payment.pay_method if payment.pay_method in WALLETS else None,
        )

    def _awaiting(self, payment: "_Payment") -> AwaitingDeposit | None:
        """None if the reply shows no account that waits to be paid into."""
        account = self._account(payment)
        if payment.status != "ready" or account is None:
            return None
        return AwaitingDeposit(payment.tid, payment.money, account)

    def _account(self, payment: "_Payment") -> VirtualAccount | None:
        vbank = payment.vbank
        due_at = instant(vbank.vbank_exp_date) if vbank else None
        if vbank is None or not vbank.vbank_number or due_at is None:
            return None
        return VirtualAccount(
            bank_code=vbank.vbank_code,
            number=vbank.vbank_number,
            due_at=due_at,
            issued_at=_numbered_at(payment.tid) or self._clock.now(),
            holder=vbank.vbank_holder,
        )

    def _revoked(self, payment: "_Payment") -> Revoked:
        return Revoked(instant(payment.cancelled_at) or self._clock.now())

    def _cancel_of(self, payment: "_Payment", cancel: "_Cancel") -> GatewayCancel:
        return GatewayCancel(
            gateway_ref=cancel.tid,
            amount=Money(cancel.amount, payment.currency or "KRW"),
            cancelled_at=instant(cancel.cancelled_at) or self._clock.now(),
            reason=cancel.reason,
            receipt_url=cancel.receipt_url,
        )

    def _sign(self, body: dict[str, Any], *parts: str) -> dict[str, Any]:
        """Add the time and the signature over the parts, in the manual's order: ids, time, secret key."""
        edi_date = self._clock.now().astimezone(KST).strftime("%Y-%m-%dT%H:%M:%S.000+0900")
        return {**body, "ediDate": edi_date, "signData": digest(*parts, edi_date, self._secret_key)}

    def _send(
        self, method: str, path: str, operation: str, timeout: float, body: Mapping[str, Any] | None = None
    ) -> Reply | NotSent | Unknown:
        return self._http.ask(
            method,
            self._base_url + path,
            operation=f"nice_v2.{operation}",
            timeout=timeout,
            headers=self._headers,
            body=None if body is None else json.dumps(body).encode(),
        )


# --- requests ---------------------------------------------------------------------------------------------------


def _order(order_id: str, request: PaymentRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "orderId": order_id,
        "amount": request.amount.amount,
        "goodsName": goods_name(request.name),
        "cardQuota": str(request.quota if request.quota > 1 else 0),
        "useShopInterest": False,  # nothing else is served here (payment-subscribe)
    }
    if request.tax_free:
        body["taxFreeAmt"] = request.tax_free
    add_buyer(body, request.buyer)
    return body


def _cancel_order(request: CancelRequest) -> dict[str, Any]:
    """NICE refuses a second partial cancel of the same order id, a second full cancel it refuses anyway."""
    body: dict[str, Any] = {"reason": plain_text(request.reason)[:100] or "취소", "orderId": request.cancel_id}
    if request.amount != request.charged:
        body["cancelAmt"] = request.amount.amount
    if request.tax_free:
        body["taxFreeAmt"] = request.tax_free
    if request.refund_to:
        body |= _refund_account(request.refund_to)
    return body


def _refund_account(account: RefundAccount) -> dict[str, str]:
    return {
        "refundAccount": re.sub(r"\D", "", account.account or ""),
        "refundBankCode": account.bank or "",
        "refundHolder": cut(account.holder, 10, "euc-kr"),
    }


def _receipt_order(request: CashReceiptRequest) -> dict[str, Any]:
    terms = request.terms
    body: dict[str, Any] = {
        "orderId": request.order_id,
        "amount": terms.amount.amount,
        "goodsName": goods_name(request.name),
        "receiptType": {ReceiptType.PERSON: "individual", ReceiptType.COMPANY: "company"}[terms.type],
        "receiptNo": request.identifier,
        "supplyAmt": terms.supply,
        "goodsVat": terms.vat,
        "taxFreeAmt": terms.tax_free,
        "serviceAmt": 0,
    }
    add_buyer(body, request.buyer)
    return body


def add_buyer(body: dict[str, Any], buyer: Buyer) -> None:
    """Optional here, so what does not fit is cut or left out rather than refused."""
    if name := cut(buyer.name, 30):
        body["buyerName"] = name
    if buyer.email and len(buyer.email) <= 60:
        body["buyerEmail"] = buyer.email
    if buyer.tel and len(buyer.tel) <= 20:
        body["buyerTel"] = buyer.tel


def goods_name(name: str | None) -> str:
    """40 bytes, without the characters that NICE refuses and the double quote, which breaks its records."""
    return cut(re.sub(r'[%&|$\-+=\[\]"\s]+', " ", name or ""), 40) or "상품"


def _card_text(card: Card) -> str:
    return (
        f"cardNo={card.number}&expYear={card.expiry_year[-2:]}&expMonth={card.expiry_month}"
        f"&idNo={card.birth or ''}&cardPw={card.password_2digits or ''}"
    )


def _encrypt(text: str, secret_key: str) -> str:
    """AES-256-CBC (encMode A2) under the whole secret key, its first half as the first block's mask, hex."""
    return aes.encrypt(text, secret_key, secret_key[:16].encode()).hex()


def digest(*parts: str) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()


# --- replies ----------------------------------------------------------------------------------------------------


class _Wire(BaseModel):
    """Aliases in lower case: see `_parse`."""

    model_config = ConfigDict(
        alias_generator=lambda name: name.replace("_", ""), populate_by_name=True, coerce_numbers_to_str=True
    )


class _Result(_Wire):
    code: str = Field(alias="resultcode", min_length=1)
    message: str | None = Field(None, alias="resultmsg")


class _Bid(_Result):
    bid: str | None = None
    order_id: str | None = None
    card_code: str | None = None
    card_name: str | None = None


class _Card(_Wire):
    card_code: str | None = None
    card_name: str | None = None
    card_num: str | None = None
    card_type: str | None = None
    acqu_card_code: str | None = None


class _Cancel(_Wire):
    tid: str
    amount: int
    cancelled_at: str | None = None
    reason: str | None = None
    receipt_url: str | None = None


class _Bank(_Wire):
    bank_code: str | None = None


class _VirtualAccount(_Wire):
    vbank_code: str | None = None
    vbank_number: str | None = None
    vbank_exp_date: str | None = None
    vbank_holder: str | None = None


class _Payment(_Result):
    tid: str = Field(min_length=1)
    order_id: str
    status: str
    amount: int
    balance_amt: int | None = None
    currency: str | None = None
    cancelled_tid: str | None = None
    paid_at: str | None = None
    approve_no: str | None = None
    receipt_url: str | None = None
    edi_date: str | None = None
    signature: str | None = None
    pay_method: str | None = None
    cancelled_at: str | None = None
    card: _Card | None = None
    bank: Shown[_Bank] = None
    vbank: _VirtualAccount | None = None
    cancels: list[_Cancel] | None = None

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency or "KRW")

    @property
    def is_revoked(self) -> bool:
        """True for a virtual account that was closed before anything was paid in ("0": not paid)."""
        return self.status == "cancelled" and self.vbank is not None and self.paid_at in {None, "", "0"}

    @property
    def balance(self) -> Money | None:
        return None if self.balance_amt is None else Money(self.balance_amt, self.currency or "KRW")

    @property
    def last_cancel(self) -> _Cancel | None:
        """The cancel this reply is about."""
        return next((c for c in self.cancels or () if c.tid == self.cancelled_tid), None)


class _Notice(_Payment):
    order_id: str = Field(min_length=1, max_length=64)
    pay_method: str


class _Receipt(_Result):
    tid: str = Field(min_length=1)
    order_id: str
    approved_at: str | None = None
    approve_no: str | None = None
    cancel_amt: int | None = None
    cancelled_at: str | None = None
    edi_date: str | None = None
    signature: str | None = None


W = TypeVar("W", bound=_Wire)


def _parse(model: type[W], reply: Reply) -> W | None:
    """None for anything that is not the JSON we expect, EUC-KR and HTML included.

    Names are compared without case: one example in the manual answers with the capitals of the legacy module.
    """
    if reply.status >= 500:
        return None
    try:
        return _read(model, json.loads(reply.body))
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None


def _read(model: type[W], value: object) -> W | None:
    try:
        text = whole_characters(json.dumps(value, ensure_ascii=False))
        fields = json.loads(text, object_pairs_hook=lambda pairs: {k.lower(): v for k, v in pairs})
        return model.model_validate(fields)
    except (ValueError, RecursionError):  # ValidationError is a ValueError
        return None


def _success(model: type[W], reply: Reply, *codes: str) -> W | None:
    result = _parse(model, reply)
    return result if reply.status == 200 and isinstance(result, _Result) and result.code in codes else None


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than success means: no only with a code that is known to mean no."""
    result = _parse(_Result, reply)
    if result is None:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    code = quote_text(result.code, 60)
    message = quote_text(result.message or code)
    reason = DECLINES.get(code)
    if reason:
        return Declined(issuer_reason(message) if code == ISSUER_CODE else reason, code, message + HINTS.get(code, ""))
    if code not in UNKNOWN_CODES and code not in NOT_FOUND_CODES:
        log.warning("nice_v2: code %r is not mapped, outcome unknown", code)
    return Unknown(f"HTTP {reply.status}: {message}", code)


def _not_found(reply: Reply) -> NotFound | Unknown:
    """A refused question says nothing about the charge, unless it is refused because there is no such order."""
    refusal = _refusal(reply)
    if refusal.code in NOT_FOUND_CODES:
        return NotFound()
    if isinstance(refusal, Declined):
        return Unknown("the query was refused", refusal.code, unwell=refusal.reason is R.CHANNEL_REJECTED)
    return refusal


def _numbered_at(tid: str) -> datetime | None:
    """When NICE gave this number: merchant (10), service and method (2 each), yyMMddHHmmss, and four more."""
    return from_seoul(tid[14:26], "%y%m%d%H%M%S")


def _failed(payment: _Payment) -> Declined:
    """The books say that the charge failed. Whether they also say why is not documented."""
    message = quote_text(payment.message or payment.status)
    reason = DECLINES.get(payment.code, R.ISSUER_DECLINED)
    return Declined(issuer_reason(message) if reason is R.ISSUER_DECLINED else reason, payment.code, message)


def _before_charge(result: Declined | NotSent | Unknown) -> Declined | NotSent | Unknown:
    """The outcome of a one-time charge whose key could not be issued.

    Issuing moves no money, so a lost or unreadable answer means that the charge was surely not sent, and another
    channel may take it. An answer that names a code stays as it is: "order id in use" may speak of an earlier charge.
    """
    if isinstance(result, Unknown) and result.code is None:
        return NotSent(f"no key to charge: {result.detail}", unwell=result.unwell)
    return result


def _card_summary(
    code: str | None, name: str | None, number: str | None, kind: str | None = None, acquirer: str | None = None
) -> CardSummary:
    issuer_code = CARD_CODES.get(code or "")
    issuer = name.strip("[] ") if name else None
    return CardSummary(
        name=issuer,
        code=issuer_code,
        issuer_code=CARD_CODES.get(acquirer or ""),
        publisher_code=issuer_code,
        publisher_name=issuer,
        number=number,
        type={"credit": 0, "check": 1}.get(kind or ""),
    )


# --- codes ------------------------------------------------------------------------------------------------------

TAKEN_STATUSES = frozenset({"paid", "cancelled", "partialCancelled"})
CANCELLED_STATUSES = frozenset({"cancelled", "partialCancelled"})
FAILED_STATUSES = frozenset({"failed", "expired"})

APPROVED_CODES = ("3001", "4000", "4100", "A000")
"""Card, transfer, account issued, phone: what NICE says of these inside of a 0000."""

WALLETS = frozenset({"kakaopay", "naverpay", "payco", "samsungpay", "ssgpay"})
"""Ways to pay that are V1's words, too."""

KEY_GONE_CODES = frozenset({"U115", "A126"})

ISSUER_CODE = "3095"
"""Stands for everything an issuer may object to; only its Korean text tells more (common/code)."""

HINTS = MappingProxyType(
    {
        "U103": " (Bearer 방식 키는 아직 지원하지 않습니다. Basic 인증 방식의 키를 발급해 주세요."
        " bearer-type keys are not supported)",
    }
)


DECLINES = table(
    # the card
    (R.INVALID_CARD_NUMBER, "3011 F112"),
    (R.EXPIRED_CARD, "3021"),
    (R.CARD_CHECK_FAILED, "F113"),
    (R.CARD_BLOCKED, "F118"),
    (R.ISSUER_DECLINED, "3095 3081"),
    # amount and instalments
    (R.AMOUNT_NOT_ALLOWED, "3041 P017 A113 A116 U127 P034"),
    (R.INSTALLMENT_NOT_ALLOWED, "3022-3024 P037 3031-3034"),
    # the contract, the keys, the signature
    (R.CHANNEL_REJECTED, "3012-3014 3051 3091 2151 2152 A109 A114 A128 F115-F117 P005 P014 P016 U110 U119 U313 U316"),
    (R.CHANNEL_REJECTED, "A300-A303 A305 A101 A211 U306 U312 U101-U104 U304 U305 A224 U315"),
    (R.CARD_NOT_SUPPORTED, "P021 F201"),
    # the window: the buyer, his card, his bank, his phone
    (R.BUYER_CANCELLED, "I002 P091 C001 U311"),
    (R.CARD_CHECK_FAILED, "C002"),
    (R.CARD_NOT_SUPPORTED, "3053 3055-3057 A222 A241 4002"),
    (R.ISSUER_DECLINED, "A001"),
    (R.AMOUNT_NOT_ALLOWED, "4101 4141 A041 N001 P036 U321 U502"),
    # the window: nobody was asked for money yet
    (R.NOT_CHARGED, "A210 A243 A245 P018 P019 P040-P043 P090 U121 I001 I004 I006 I007 N003 A256 A258"),
    (R.GATEWAY_MAINTENANCE, "P002-P004 4116 4117"),
    (R.CHANNEL_REJECTED, "3061 P001 P006 4105 4106 4108 4111 4118 4125-4127 A122 A150 A564-A568 M001 M002"),
    (R.CHANNEL_REJECTED, "A145 A146 A242 A247 A248 U108 U109 V005"),
    (R.INVALID_REQUEST, "4102-4104 4107 4109 4112-4115 A002-A006 A107 A108 A112 A115 A121 A212 A227 A249 A250"),
    (R.INVALID_REQUEST, "P020 P022-P025 P029-P033 P038 P039 U120 U129-U132 U301 U308 U320 S004 S005"),
    # U504: it failed, and NICE has undone it itself
    (R.GATEWAY_MAINTENANCE, "U504"),
    # the billing key
    (R.BILLING_KEY_INVALID, "A124-A126 A223 U115 U309 A255 A148 A149"),
    # the call
    (R.INVALID_REQUEST, "9000 9001 A102 A106 A117 A123 A147 P007-P013 P028 U100 U105 U124 U125"),
    # cancels: refused, nothing given back
    (R.INVALID_REQUEST, "2003 2010 2011 2014 2016-2020 2023-2031 2033 2052 1534 U319"),
    (R.AMOUNT_NOT_ALLOWED, "2032 U123 U318"),
    (R.CHANNEL_REJECTED, "U128"),
    # cash receipts
    (R.INVALID_REQUEST, "7002 7005-7007 7009 7011-7015 U106"),
    (R.CHANNEL_REJECTED, "7008"),
    (R.AMOUNT_NOT_ALLOWED, "7041 7042 1615"),
)
"""Codes that surely mean no. A code in no table is unknown."""

NOT_FOUND_CODES = codes("A118 A251 U107 U111 U126")
"""No such transaction: an answer to a query; anywhere else unknown."""

UNKNOWN_CODES = (
    # technical; A110 passes on the error of someone behind NICE
    codes("A110 A226 A246 A299 A304 A306 A400-A403 U303 U501 U503 U506-U508 P026 P027 P035 P101 X001-X004")
    | codes("T001-T005 S999 9002 2000 2159 4008")
    # the window: after the buyer agreed, or with somebody behind NICE
    | codes("3054 3062 4001 4003-4007 A111 A144 A201-A205 A213 A244 A252 A254 A257 I003 N002 P044 P102 P103")
    | codes("U302 U307 U310 U314 U317 U509 A307 2154")
    # virtual accounts: about deposits, which no call of ours is
    | codes("4119-4124 4142 4143 4145")
    # the order is there already: the first one may have worked
    | codes("A127 P015 U112 U114 A225 2156 2201")
    # cash receipts: issued before, an error with the cancel, no answer of the network behind NICE
    | codes("7001 7003 7004 7010")
    # cancelled before, by us or by another: the books tell
    | codes("2012 2013 2015 U122")
    # success, but of something else than was asked for, or without what belongs to it
    | codes("0000 3001 4000 4100 4110 A000 2001 2211 F100 F101 F200")
)

# NICE's two digits -> clearing-house code. [recalled]: 11 Citi, 13 Suhyup, 21 Gwangju, 22 Jeonbuk, 23 Jeju.
CARD_CODES: Mapping[str, str] = MappingProxyType(
    {
        "01": "361",
        "02": "381",
        "03": "374",
        "04": "365",
        "06": "366",
        "07": "367",
        "08": "368",
        "11": "370",
        "12": "371",
        "13": "369",
        "15": "041",
        "16": "374",
        "21": "364",
        "22": "372",
        "23": "373",
    }
)
