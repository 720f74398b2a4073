"""Toss Payments, core API v1: key-in, billing by card data, virtual accounts, the window, cancel, query, cash receipts.

Source of the rules, unless a line says otherwise: Toss core API reference and its list of error codes. What the
operations need and how sure each fact is: docs/gateways/tosspayments.md.

- The key decides between test and live; the host is one.
- Every POST carries an idempotency key, made from our order or cancel id. Toss compares keys only, never bodies, and
  replays refusals too, so an id must name one attempt for good.
- There is no net-cancel. An unanswered charge is settled by asking for its order id.
- A cash receipt is protected by its idempotency key alone: under the same order id Toss issues a second one [reported
  by others who tried]. One is asked for by listing the receipts of the day in Seoul on which it was requested.
- A virtual account that nothing was paid into has no `approvedAt`, whatever its status. One that is due may be shown as
  EXPIRED or by the flag `expired`; of a fixed account neither may ever come. A deposit can be taken back by its bank:
  DONE becomes WAITING_FOR_DEPOSIT again.
- What was agreed to in the window (IN_PROGRESS) is paid once our server confirms it, within ten minutes; then it is
  EXPIRED, and nothing has moved. Reloading the window begins another payment under the same order id, so a payment is
  asked for by the number that was confirmed.
"""

import base64
import hashlib
import json
import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    ApproveResult,
    AwaitingDeposit,
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
    IssueVirtualAccountResult,
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
    VirtualAccountRequest,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.institutions import CARDS
from chalicelib.domain.money import Money
from chalicelib.domain.receipts import (
    CancelReceiptResult,
    CashReceiptCancel,
    CashReceiptCancelled,
    CashReceiptIssued,
    CashReceiptRequest,
    FindReceiptResult,
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
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, WindowOrder, WindowPage, left_by_buyer
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import KST, Shown, instant, plain_text, quote_text, read_json, whole_characters
from chalicelib.ports import Clock, UnsupportedOperation

log = logging.getLogger(__name__)

URLS = MappingProxyType({
    Environment.LIVE: "https://api.tosspayments.com",
    Environment.TEST: "https://api.tosspayments.com",
})  # fmt: skip

WINDOW_URLS = MappingProxyType({
    environment: MappingProxyType({"script": "https://js.tosspayments.com", "hosts": "https://*.tosspayments.com"})
    for environment in Environment
})  # fmt: skip

# Clearing-house code -> Toss's two digits [recalled, and seen in public code]: its end, but for Kookmin.
BANK_CODES: Mapping[str, str] = MappingProxyType(
    {
        code: code[1:]
        for code in (
            "002", "003", "007", "011", "012", "020", "023", "027", "031", "032", "034", "035", "037", "039", "045",
            "048", "050", "054", "060", "064", "071", "081", "088", "089", "090", "092",
        )
    }
    | {"004": "06"}
)  # fmt: skip

SPEC = GatewaySpec(
    provider="tosspayments",
    label="토스페이먼츠",
    english="Toss Payments",
    operations=frozenset(Operation) - {Operation.READ, Operation.KEY_BY_CHARGE, Operation.PAY_IN_WINDOW},
    currencies=frozenset({"KRW"}),
    credentials=(
        # ASCII only: a byte order mark that came along with a copied key would break the authentication unseen.
        CredentialField(
            "secret_key",
            "시크릿 키 (Secret key)",
            pattern=r"[!-~]{1,200}",
            live_prefixes=("live_",),
            test_prefixes=("test_",),
        ),
        CredentialField(
            "client_key",
            "클라이언트 키 (Client key)",
            secret=False,
            required=False,
            pattern=r"[!-~]{1,200}",
            live_prefixes=("live_",),
            test_prefixes=("test_",),
            adds=frozenset({Operation.PAY_IN_WINDOW}),
        ),
    ),
    # An approval may take 60 s (reference, billing charge). Ten minutes leave room for queues on the way.
    settling_delay=timedelta(minutes=10),
    order_id_scope=OrderIdScope.FOREVER,
    test_access=TestAccess.PUBLIC,
    idempotent_for=timedelta(days=15),
    required=MappingProxyType({Operation.ISSUE_VIRTUAL_ACCOUNT: ("buyer.name",)}),
    card_fields=frozenset({"birth"}),
    min_amount=100,
    # At which of them it issues is for Toss to say: the list depends on the contract, and changes.
    virtual_accounts=VirtualAccountRules(
        banks=frozenset(BANK_CODES), refund_banks=frozenset(BANK_CODES), longest=timedelta(days=90), fixed=True
    ),
    windows=WindowRules(frozenset({PayMethod.CARD, PayMethod.TRANS, PayMethod.VBANK, PayMethod.PHONE})),
    # Toss itself does not compare the two: it would issue a buyer's receipt on a business number.
    receipt_identifiers=MappingProxyType(
        {
            ReceiptType.PERSON: frozenset({IdentifierType.PHONE, IdentifierType.PERSON, IdentifierType.TAXCARD}),
            ReceiptType.COMPANY: frozenset({IdentifierType.BUSINESS, IdentifierType.PHONE, IdentifierType.TAXCARD}),
        }
    ),
)


class Adapter(Base):
    """One contract with Toss Payments. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # the key names the contract
        self._client_key = credentials.get("client_key", "")
        # The key is the user name, the password is empty: the colon must stay (reference, authentication).
        token = base64.b64encode(f"{credentials.get('secret_key', '')}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        body = _order(order_id, request)
        _add_card(body, card)
        if request.interest_free_by_merchant:
            body["useFreeInstallmentPlan"] = True
        if request.use_card_point:
            body["useCardPoint"] = True
        return self._charge("charge_card", "/v1/payments/key-in", order_id, body, timeout)

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        body = _order(order_id, request)
        body["customerKey"] = secret["customer_key"]
        path = f"/v1/billing/{quote(secret['billing_key'], safe='')}"
        return self._charge("charge_billing_key", path, order_id, body, timeout)

    def open_window(self, order: WindowOrder, timeout: float) -> WindowPage:  # noqa: ARG002 - asks nobody
        from chalicelib.gateways.tosspayments_window import page_params  # noqa: PLC0415 - for windows alone

        return WindowPage(
            driver="tosspayments",
            params=page_params(order, self._client_key),
            script=f"{self.window_urls['script']}/v2/standard",
            hosts=tuple(self.window_urls.values()),
        )

    def read_return(self, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:
        """Nothing is signed. But Toss compares a confirmation with what the buyer has agreed to, and we confirm our
        order and amount: a return that was made up, or is another payment's, gets nothing.
        """
        if fields.get("orderId", order.order_id) != order.order_id:
            raise InvalidRequest("orderId", "orderId: 이 결제창의 주문번호가 아닙니다. (another order)")
        payment_key = fields.get("paymentKey", "")
        if not payment_key and fields.get("code"):
            return _left(fields)
        if not re.fullmatch(r"[!-~]{1,200}", payment_key):
            raise InvalidRequest("paymentKey", "paymentKey: 올바른 형식이 아닙니다. (malformed)")
        if "orderId" not in fields or fields.get("amount") != str(order.request.amount.amount):
            raise InvalidRequest("amount", "amount: 이 결제창의 금액이 아닙니다. (another order or amount)")
        return Authenticated({"payment_key": payment_key}, kept={"payment_key": payment_key})

    def approve(self, order: WindowOrder, back: Authenticated, timeout: float) -> ApproveResult:
        payment_key = back.proof["payment_key"]
        body = {"paymentKey": payment_key, "orderId": order.order_id, "amount": order.request.amount.amount}
        payment = self._pay("approve", "/v1/payments/confirm", order.order_id, body, timeout)
        if isinstance(payment, Declined) and payment.code in CAUSED_BY_BROWSERS:
            return replace(payment, reason=R.INVALID_REQUEST)
        if not isinstance(payment, _Payment):
            return payment
        if payment.payment_key != payment_key:
            return Unknown("the reply is not about this payment")
        return self._unpaid(payment) or self._charged(payment)

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        payment_key = query.kept.get("payment_key")
        named = quote(payment_key, safe="") if payment_key else f"orders/{quote(query.order_id, safe='')}"
        reply = self._send("GET", f"/v1/payments/{named}", "find", timeout)
        if not isinstance(reply, Reply):
            return reply
        return self._found(reply, query.order_id)

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        if not request.gateway_ref:
            raise UnsupportedOperation("tosspayments: no cancel by order id (net-cancel)")
        body: dict[str, Any] = {
            "cancelReason": plain_text(request.reason)[:200] or "취소",
            "cancelAmount": request.amount.amount,
            # Toss refuses if its balance differs: nobody else's cancel can be mistaken for ours.
            "refundableAmount": request.balance.amount,
        }
        if request.tax_free:
            body["taxFreeAmount"] = request.tax_free
        if request.refund_to:
            body["refundReceiveAccount"] = _refund_account(request.refund_to)
        path = f"/v1/payments/{quote(request.gateway_ref, safe='')}/cancel"
        reply = self._send("POST", path, "cancel", timeout, body, request.cancel_id)
        if not isinstance(reply, Reply):
            return reply
        return self._cancelled(reply, request)

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult:
        body: dict[str, Any] = {"customerKey": customer_key(request.customer_id)}
        _add_card(body, card)
        add_customer(body, request.customer.name, request.customer.email)
        path = "/v1/billing/authorizations/card"
        reply = self._send("POST", path, "issue_billing_key", timeout, body, request.order_id)
        if not isinstance(reply, Reply):
            return reply
        return _issued(reply, body["customerKey"], card)

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult:  # noqa: ARG002 - a deletion needs no id of ours here
        path = f"/v1/billing/{quote(secret['billing_key'], safe='')}"
        reply = self._send("DELETE", path, "delete_billing_key", timeout)
        if not isinstance(reply, Reply):
            return reply
        if reply.status == 200:
            return KeyDeleted()
        refusal = _refusal(reply)
        if isinstance(refusal, Declined) and refusal.code in KEY_GONE_CODES:
            return KeyDeleted()
        return refusal

    def issue_virtual_account(
        self, order_id: str, request: PaymentRequest, account: VirtualAccountRequest, timeout: float
    ) -> IssueVirtualAccountResult:
        """The holder that a caller asks for has no place here: Toss shows the name of the contract."""
        body = _order(order_id, request)
        body["bank"] = BANK_CODES[account.bank_code]
        body["dueDate"] = due_date(account.due_at)
        add_mobile(body, request.buyer.tel)
        if account.fixed_key:
            body["accountKey"] = account.fixed_key
        payment = self._pay("issue_virtual_account", "/v1/virtual-accounts", order_id, body, timeout)
        if not isinstance(payment, _Payment):
            return payment
        return self._unpaid(payment) or Unknown(f"status {quote_text(payment.status, 30)}")

    def revoke_virtual_account(self, revoke_id: str, gateway_ref: str, timeout: float) -> RevokeResult:
        """A cancel without a refund account: Toss refuses it once something was paid in."""
        path = f"/v1/payments/{quote(gateway_ref, safe='')}/cancel"
        reply = self._send(
            "POST", path, "revoke_virtual_account", timeout, {"cancelReason": "가상계좌 말소"}, revoke_id
        )
        if not isinstance(reply, Reply):
            return reply
        if reply.status != 200:
            return _refusal(reply)
        payment = read_json(_Payment, reply)
        if payment is None or payment.payment_key != gateway_ref or not payment.is_revoked:
            return Unknown("the reply does not show this account as revoked")
        return self._revoked(payment)

    def read_deposit_notice(self, fields: Mapping[str, Any]) -> DepositNotice | None:
        """DEPOSIT_CALLBACK: flat, unsigned, with the secret that came with the account.

        Other events, which a merchant may have sent to the same address, name their type.
        """
        if "eventType" in fields:
            return None
        notice = []
        for name in ("orderId", "secret"):
            value = fields.get(name)
            if not isinstance(value, str) or not 0 < len(value) <= MAX_NOTICE_FIELD:
                raise InvalidRequest(name, f"{name}: DEPOSIT_CALLBACK 형식이 아닙니다. (not a deposit notice)")
            notice.append(value)
        return DepositNotice(*notice)

    def issue_cash_receipt(self, request: CashReceiptRequest, timeout: float) -> IssueReceiptResult:
        body = {
            "orderId": request.order_id,
            "orderName": plain_text(request.name)[:100] or "상품",
            "amount": request.terms.amount.amount,
            "taxFreeAmount": request.terms.tax_free,
            "type": RECEIPT_TYPES[request.terms.type],
            "customerIdentityNumber": request.identifier,
        }
        reply = self._send("POST", "/v1/cash-receipts", "issue_cash_receipt", timeout, body, request.order_id)
        if not isinstance(reply, Reply):
            return reply
        if reply.status != 200:
            return _refusal(reply)
        receipt = read_json(_CashReceipt, reply)
        if receipt is None or receipt.order_id != request.order_id or receipt.transaction_type != "CONFIRM":
            return Unknown("the reply is not about this receipt")
        return _failed(receipt) if receipt.issue_status == "FAILED" else self._receipt_issued(receipt)

    def find_cash_receipt(self, order_id: str, since: datetime, until: datetime, timeout: float) -> FindReceiptResult:
        deadline = self._clock.monotonic() + timeout
        found: list[_CashReceipt] = []
        for day in _days(since, until):
            listed = self._list_receipts(day, deadline)
            if not isinstance(listed, list):
                return listed
            found += [r for r in listed if r.order_id == order_id and r.issue_status != "FAILED"]
        cancel = next((r for r in found if r.transaction_type == "CANCEL"), None)
        if cancel:
            return CashReceiptCancelled(instant(cancel.requested_at) or self._clock.now())
        return self._receipt_issued(found[0]) if found else NotFound()

    def cancel_cash_receipt(self, request: CashReceiptCancel, timeout: float) -> CancelReceiptResult:
        path = f"/v1/cash-receipts/{quote(request.receipt_tid, safe='')}/cancel"
        reply = self._send("POST", path, "cancel_cash_receipt", timeout, {}, request.cancel_id)
        if not isinstance(reply, Reply):
            return reply
        if reply.status != 200:
            return _refusal(reply)
        receipt = read_json(_CashReceipt, reply)
        if (
            receipt is None
            or receipt.order_id != request.order_id
            or receipt.transaction_type != "CANCEL"
            or receipt.issue_status == "FAILED"
            or receipt.amount != request.amount.amount
        ):
            return Unknown("the reply does not show this receipt as cancelled")
        return CashReceiptCancelled(instant(receipt.requested_at) or self._clock.now())

    def _list_receipts(self, day: date, deadline: float) -> "list[_CashReceipt] | NotSent | Unknown":
        """All receipts and cancels that were requested on that day."""
        found: list[_CashReceipt] = []
        cursor = ""
        while True:
            path = f"/v1/cash-receipts?requestDate={day}&limit={RECEIPTS_PER_PAGE}{cursor}"
            reply = self._send("GET", path, "find_cash_receipt", deadline - self._clock.monotonic())
            if not isinstance(reply, Reply):
                return reply
            page = read_json(_ReceiptPage, reply) if reply.status == 200 else None
            if page is None:  # a refused question says nothing about the receipt
                return Unknown(f"the list was refused: HTTP {reply.status}")
            found += page.data
            if not page.has_next or page.last_cursor is None:
                return found
            cursor = f"&cursor={page.last_cursor}"

    def _receipt_issued(self, receipt: "_CashReceipt") -> CashReceiptIssued:
        return CashReceiptIssued(
            receipt_tid=receipt.receipt_key,
            issued_at=instant(receipt.requested_at) or self._clock.now(),
            apply_num=receipt.issue_number,
            receipt_url=receipt.receipt_url,
            amount=Money(receipt.amount),
        )

    def _pay(
        self, operation: str, path: str, order_id: str, body: dict[str, Any], timeout: float
    ) -> "_Payment | Declined | NotSent | Unknown":
        """The payment that the reply shows, if it is surely ours."""
        reply = self._send("POST", path, operation, timeout, body, order_id)
        if not isinstance(reply, Reply):
            return reply
        if reply.status != 200:
            return _refusal(reply)
        return _payment(reply, order_id)

    def _charge(self, operation: str, path: str, order_id: str, body: dict[str, Any], timeout: float) -> ChargeResult:
        payment = self._pay(operation, path, order_id, body, timeout)
        return self._charged(payment) if isinstance(payment, _Payment) else payment

    def _charged(self, payment: "_Payment") -> Approved | Declined | Unknown:
        if payment.status == "DONE":
            return self._approved(payment)
        if payment.status in FAILED_STATUSES:
            return _failed(payment)
        return Unknown(f"status {quote_text(payment.status, 30)}")

    def _send(
        self,
        method: str,
        path: str,
        operation: str,
        timeout: float,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Reply | NotSent | Unknown:
        headers = dict(self._headers)
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        return self._http.ask(
            method,
            self._base_url + path,
            operation=f"tosspayments.{operation}",
            timeout=timeout,
            headers=headers,
            body=None if body is None else json.dumps(body).encode(),
        )

    def _found(self, reply: Reply, order_id: str) -> FindResult:
        """A refused question says nothing about the charge: whatever is not about the order itself is Unknown."""
        if reply.status != 200:
            refusal = _refusal(reply)
            if isinstance(refusal, Unknown):
                return refusal
            # A bare 404 may come from anything on the way; only this code is Toss speaking about the payment.
            if reply.status == 404 and refusal.code == "NOT_FOUND_PAYMENT":
                return NotFound()
            return Unknown("the query was refused", refusal.code, unwell=refusal.reason is R.CHANNEL_REJECTED)
        payment = _payment(reply, order_id)
        if isinstance(payment, Unknown):
            return payment
        if unpaid := self._unpaid(payment):
            return unpaid
        if payment.is_revoked:
            return self._revoked(payment)
        if payment.status in TAKEN_STATUSES and not payment.cancel_under_way:
            return self._approved(payment)
        if payment.status in FAILED_STATUSES:
            return _failed(payment)
        return Unknown(f"status {quote_text(payment.status, 30)}")

    def _unpaid(self, payment: "_Payment") -> AwaitingDeposit | Declined | None:
        """What it is if nothing was paid into its virtual account and nobody has revoked it."""
        issued = payment.virtual_account
        if issued is None or payment.cancel_under_way or payment.status not in UNPAID_STATUSES:
            return None
        if issued.expired or payment.status == "EXPIRED":
            return Declined(R.BUYER_CANCELLED, "EXPIRED", "입금기한이 지났습니다. (expired)")
        if payment.status == "ABORTED":
            return _failed(payment)
        account = self._account(payment)
        if account is None:
            return None
        amount = Money(payment.total_amount, payment.currency)
        return AwaitingDeposit(payment.payment_key, amount, account, payment.secret)

    def _account(self, payment: "_Payment") -> VirtualAccount | None:
        issued = payment.virtual_account
        due_at = instant(issued.due_date) if issued else None
        if issued is None or due_at is None:
            return None
        return VirtualAccount(
            bank_code=BANKS_BY_CODE.get(issued.bank_code or ""),
            number=whole_characters(issued.account_number)[:MAX_ACCOUNT_NUMBER],
            due_at=due_at,
            issued_at=instant(payment.requested_at) or self._clock.now(),
        )

    def _revoked(self, payment: "_Payment") -> Revoked:
        cancel = payment.last_cancel
        return Revoked(instant(cancel.canceled_at if cancel else None) or self._clock.now())

    def _approved(self, payment: "_Payment") -> Approved:
        return Approved(
            gateway_ref=payment.payment_key,
            amount=Money(payment.total_amount, payment.currency),
            approved_at=instant(payment.approved_at) or self._clock.now(),
            approval_number=payment.card.approve_no if payment.card else None,
            card=_card_summary(payment.card),
            receipt_url=payment.receipt.url if payment.receipt else None,
            balance=payment.balance,
            cancels=tuple(
                sorted(
                    (self._cancel_of(payment, c) for c in payment.cancels or () if c.cancel_status == "DONE"),
                    key=lambda cancel: cancel.cancelled_at,
                )
            ),
            account=self._account(payment),
            notice_secret=payment.secret if payment.virtual_account else None,
            bank_code=BANKS_BY_CODE.get(payment.transfer.bank_code or "") if payment.transfer else None,
            easy_pay=EASY_PAYS.get(payment.easy_pay.provider or "") if payment.easy_pay else None,
        )

    def _cancel_of(self, payment: "_Payment", cancel: "_Cancel") -> GatewayCancel:
        return GatewayCancel(
            gateway_ref=cancel.transaction_key,
            amount=Money(cancel.cancel_amount, payment.currency),
            cancelled_at=instant(cancel.canceled_at) or self._clock.now(),
            reason=cancel.cancel_reason,
            receipt_url=payment.receipt.url if payment.receipt else None,
        )

    def _cancelled(self, reply: Reply, request: CancelRequest) -> CancelResult:
        if reply.status != 200:
            return _refusal(reply)
        payment = read_json(_Payment, reply)
        if payment is None or payment.payment_key != request.gateway_ref:
            return Unknown("the reply is not about this payment")
        cancel = payment.last_cancel
        if (
            payment.status not in ("CANCELED", "PARTIAL_CANCELED")
            or cancel is None
            or cancel.cancel_status != "DONE"
            or Money(cancel.cancel_amount, payment.currency) != request.amount
        ):
            return Unknown("the reply does not show this cancel as done")
        return Cancelled(self._cancel_of(payment, cancel), payment.balance)


# --- requests ---------------------------------------------------------------------------------------------------


def _order(order_id: str, request: PaymentRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "amount": request.amount.amount,
        "orderId": order_id,
        "orderName": plain_text(request.name)[:100] or "상품",
    }
    if request.quota > 1:
        body["cardInstallmentPlan"] = request.quota
    if request.tax_free:
        body["taxFreeAmount"] = request.tax_free
    if request.browser_ip:
        body["customerIp"] = request.browser_ip
    add_customer(body, request.buyer.name, request.buyer.email)
    return body


def add_customer(body: dict[str, Any], name: str | None, email: str | None) -> None:
    if name := plain_text(name):
        body["customerName"] = name[:100]
    if email and len(email) <= 100 and "@" in email:  # optional, but refused if it looks wrong
        body["customerEmail"] = email


def add_mobile(body: dict[str, Any], tel: str | None) -> None:
    mobile = re.sub(r"[ -]", "", tel or "")
    if re.fullmatch(r"01[016-9][0-9]{7,8}", mobile):
        body["customerMobilePhone"] = mobile


def due_date(moment: datetime) -> str:
    return f"{moment.astimezone(KST):%Y-%m-%dT%H:%M:%S}"


def _add_card(body: dict[str, Any], card: Card) -> None:
    body["cardNumber"] = card.number
    body["cardExpirationYear"] = card.expiry_year[-2:]
    body["cardExpirationMonth"] = card.expiry_month
    body["customerIdentityNumber"] = card.birth or ""
    if card.password_2digits:
        body["cardPassword"] = card.password_2digits


def customer_key(customer_id: str | None) -> str:
    """Toss's name for the buyer. Stable for a named buyer, so that his cards stay together; else random.

    50 characters and this alphabet hold for every version of the API; the reference has allowed 50, 255 and 300.
    """
    if not customer_id:
        return secrets.token_hex(16)
    if re.fullmatch(r"[A-Za-z0-9\-_=.@]{2,50}", customer_id):
        return customer_id
    return hashlib.sha256(customer_id.encode(errors="surrogatepass")).hexdigest()[:48]


def _refund_account(account: RefundAccount) -> dict[str, str]:
    return {
        "bank": BANK_CODES.get(account.bank or "", ""),
        "accountNumber": re.sub(r"[ -]", "", account.account or ""),
        "holderName": plain_text(account.holder)[:60],
    }


def _days(since: datetime, until: datetime) -> list[date]:
    """The days in Seoul on which Toss may have taken a request of that time; its clock may differ from ours."""
    margin = timedelta(minutes=10)
    first, last = (moment.astimezone(KST).date() for moment in (since - margin, until + margin))
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


# --- replies ----------------------------------------------------------------------------------------------------


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, coerce_numbers_to_str=True)


class _Card(_Wire):
    issuer_code: str | None = None
    acquirer_code: str | None = None
    number: str | None = None
    approve_no: str | None = None
    card_type: str | None = None


class _Receipt(_Wire):
    url: str | None = None


class _Failure(_Wire):
    code: str = ""
    message: str | None = None


class _Cancel(_Wire):
    cancel_amount: int
    transaction_key: str
    cancel_reason: str | None = None
    canceled_at: str | None = None
    cancel_status: str = "DONE"


class _VirtualAccount(_Wire):
    account_number: str = Field(min_length=1)
    bank_code: str | None = None
    due_date: str | None = None
    expired: bool = False


class _Transfer(_Wire):
    bank_code: str | None = None


class _EasyPay(_Wire):
    provider: str | None = None


class _Payment(_Wire):
    payment_key: str = Field(min_length=1)
    order_id: str
    status: str
    total_amount: int
    balance_amount: int | None = None
    currency: str = "KRW"
    requested_at: str | None = None
    approved_at: str | None = None
    last_transaction_key: str | None = None
    card: _Card | None = None
    receipt: _Receipt | None = None
    failure: _Failure | None = None
    cancels: list[_Cancel] | None = None
    virtual_account: _VirtualAccount | None = None
    transfer: Shown[_Transfer] = None
    easy_pay: Shown[_EasyPay] = None
    secret: str | None = None

    @property
    def balance(self) -> Money | None:
        return None if self.balance_amount is None else Money(self.balance_amount, self.currency)

    @property
    def last_cancel(self) -> _Cancel | None:
        """The cancel this reply is about."""
        return next((c for c in self.cancels or () if c.transaction_key == self.last_transaction_key), None)

    @property
    def is_revoked(self) -> bool:
        """A virtual account that was closed, and nothing was ever paid in."""
        return self.virtual_account is not None and self.status == "CANCELED" and self.approved_at is None

    @property
    def cancel_under_way(self) -> bool:
        return any(cancel.cancel_status == "IN_PROGRESS" for cancel in self.cancels or ())


class _Billing(_Wire):
    billing_key: str = Field(min_length=1)
    customer_key: str | None = None
    card: _Card | None = None


class _CashReceipt(_Wire):
    receipt_key: str = Field(min_length=1)
    order_id: str
    amount: int
    transaction_type: str
    issue_status: str = "IN_PROGRESS"
    issue_number: str | None = None
    receipt_url: str | None = None
    requested_at: str | None = None
    failure: _Failure | None = None


class _ReceiptPage(_Wire):
    data: list[_CashReceipt]
    has_next: bool = False
    last_cursor: int | None = None


class _Refusal(_Wire):
    code: str = Field(min_length=1)
    message: str | None = None


def _payment(reply: Reply, order_id: str) -> _Payment | Unknown:
    payment = read_json(_Payment, reply)
    if payment is None:
        return Unknown("the reply is unreadable", unwell=True)
    if payment.order_id != order_id:
        return Unknown("the reply is not about this order")
    return payment


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than success means. Only a 4xx with a code that is known to mean no is a decline."""
    refusal = read_json(_Refusal, reply)
    if refusal is None:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    code = quote_text(refusal.code, 60)
    message = quote_text(refusal.message or code)
    reason = DECLINES.get(code)
    if reason and 400 <= reply.status < 500:
        return Declined(reason, code, message)
    if not reason and code not in UNKNOWN_CODES:
        log.warning("tosspayments: code %r is not mapped, outcome unknown", code)
    return Unknown(f"HTTP {reply.status}: {message}", code, unwell=reply.status >= 500 and code not in ISSUER_CODES)


def _failed(found: "_Payment | _CashReceipt") -> Declined:
    """ABORTED, EXPIRED, FAILED: final, nothing came of it; `failure` tells why, if it is there.

    EXPIRED is what becomes of a window whose payment nobody confirmed.
    """
    status = found.status if isinstance(found, _Payment) else found.issue_status
    code = quote_text(found.failure.code, 60) if found.failure else ""
    message = quote_text((found.failure and found.failure.message) or code or status)
    reason = DECLINES.get(code, R.NOT_CHARGED if status == "EXPIRED" else R.ISSUER_DECLINED)
    return Declined(reason, code or status, message)


def _left(fields: Mapping[str, str]) -> Declined:
    """What failUrl was called with. Nothing was confirmed, so nothing was paid, whatever the code says."""
    code = quote_text(plain_text(fields["code"]), 60)
    message = quote_text(plain_text(fields.get("message")) or code)
    if code in LEFT_CODES:
        return left_by_buyer(code, message)
    return Declined(DECLINES.get(code, R.NOT_CHARGED), code, message)


def _issued(reply: Reply, customer_key: str, card: Card) -> IssueResult:
    if reply.status != 200:
        return _refusal(reply)
    billing = read_json(_Billing, reply)
    if billing is None:
        return Unknown("the reply has no billing key", unwell=True)
    summary = _card_summary(billing.card, card) or CardSummary(number=card.masked)
    # From the reply: if Toss replays an earlier answer, the key belongs to that answer's customer.
    secret = {"billing_key": billing.billing_key, "customer_key": billing.customer_key or customer_key}
    return KeyIssued(secret, summary)


def _card_summary(paid_with: _Card | None, card: Card | None = None) -> CardSummary | None:
    if paid_with is None:
        return None
    issuer_code = CARD_CODES.get(paid_with.issuer_code or "")
    acquirer_code = CARD_CODES.get(paid_with.acquirer_code or "")
    return CardSummary(
        name=CARDS.get(issuer_code or ""),
        code=issuer_code,
        issuer_code=acquirer_code,
        issuer_name=CARDS.get(acquirer_code or ""),
        publisher_code=issuer_code,
        publisher_name=CARDS.get(issuer_code or ""),
        number=card.masked if card else paid_with.number,
        type={"신용": 0, "체크": 1}.get(paid_with.card_type or ""),
    )


# --- codes ------------------------------------------------------------------------------------------------------

TAKEN_STATUSES = frozenset({"DONE", "CANCELED", "PARTIAL_CANCELED"})
FAILED_STATUSES = frozenset({"ABORTED", "EXPIRED"})
UNPAID_STATUSES = FAILED_STATUSES | {"WAITING_FOR_DEPOSIT"}
"""Of a payment by virtual account."""

BANKS_BY_CODE: Mapping[str, str] = MappingProxyType({theirs: code for code, theirs in BANK_CODES.items()})
MAX_NOTICE_FIELD = 100
MAX_ACCOUNT_NUMBER = 32

KEY_GONE_CODES = frozenset({"ALREADY_REMOVED_BILLING_KEY", "NOT_FOUND_BILLING"})

RECEIPT_TYPES = MappingProxyType({ReceiptType.PERSON: "소득공제", ReceiptType.COMPANY: "지출증빙"})
RECEIPTS_PER_PAGE = 1000
"""About half a megabyte; the reference allows 10,000."""

LEFT_CODES = frozenset({"PAY_PROCESS_CANCELED", "USER_CANCEL"})
"""The buyer closed the window: what failUrl is called with, and what the script says."""

# Toss's names of wallets, and its codes -> V1's words [recalled].
EASY_PAYS: Mapping[str, str] = MappingProxyType({
    "토스페이": "tosspay", "TOSSPAY": "tosspay", "네이버페이": "naverpay", "NAVERPAY": "naverpay",
    "카카오페이": "kakaopay", "KAKAOPAY": "kakaopay", "페이코": "payco", "PAYCO": "payco",
    "삼성페이": "samsungpay", "SAMSUNGPAY": "samsungpay", "애플페이": "applepay", "APPLEPAY": "applepay",
    "엘페이": "lpay", "LPAY": "lpay", "SSG페이": "ssgpay", "SSG": "ssgpay", "핀페이": "pinpay", "PINPAY": "pinpay",
})  # fmt: skip

CAUSED_BY_BROWSERS = frozenset({"FORBIDDEN_REQUEST", "NOT_ALLOWED_POINT_USE"})
"""Refusals of an approval that a stranger can call forth, with another shop's payment or a changed page: unlike those
of charges by API they say nothing against the channel.
"""

DECLINES: Mapping[str, R] = MappingProxyType({
    # the card
    "INVALID_CARD_NUMBER": R.INVALID_CARD_NUMBER,
    "INVALID_CARD_EXPIRATION": R.EXPIRED_CARD,
    "INVALID_CARD_IDENTITY": R.CARD_CHECK_FAILED,
    "INVALID_CARD_PASSWORD": R.CARD_CHECK_FAILED,
    "INVALID_PASSWORD": R.CARD_CHECK_FAILED,
    "INVALID_BIRTH_DAY_FORMAT": R.CARD_CHECK_FAILED,
    "INVALID_STOPPED_CARD": R.CARD_BLOCKED,
    "NOT_REGISTERED_CARD_COMPANY": R.CARD_BLOCKED,
    "INVALID_CARD_LOST_OR_STOLEN": R.LOST_OR_STOLEN,
    "EXCEED_MAX_AUTH_COUNT": R.TOO_MANY_TRIES,
    # the issuer
    "REJECT_CARD_COMPANY": R.ISSUER_DECLINED,
    "INVALID_REJECT_CARD": R.ISSUER_DECLINED,
    # Its text says "limit or balance" of the buyer's card, so no other gateway can help: the harder of the two.
    "REJECT_CARD_PAYMENT": R.INSUFFICIENT_FUNDS,
    "REJECT_ACCOUNT_PAYMENT": R.INSUFFICIENT_FUNDS,
    "REJECT_TOSSPAY_INVALID_ACCOUNT": R.ISSUER_DECLINED,
    "RESTRICTED_TRANSFER_ACCOUNT": R.ISSUER_DECLINED,
    "INVALID_ACCOUNT_INFO_RE_REGISTER": R.ISSUER_DECLINED,
    "FDS_ERROR": R.FRAUD_SUSPECTED,
    "EXCEED_MAX_AMOUNT": R.LIMIT_EXCEEDED,
    "EXCEED_MAX_PAYMENT_AMOUNT": R.LIMIT_EXCEEDED,
    "EXCEED_MAX_DAILY_PAYMENT_COUNT": R.LIMIT_EXCEEDED,
    "EXCEED_MAX_ONE_DAY_AMOUNT": R.LIMIT_EXCEEDED,
    "EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT": R.LIMIT_EXCEEDED,
    "EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT": R.LIMIT_EXCEEDED,
    "EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT": R.LIMIT_EXCEEDED,
    # amount and instalments
    "BELOW_MINIMUM_AMOUNT": R.AMOUNT_NOT_ALLOWED,
    "INVALID_CARD_INSTALLMENT_PLAN": R.INSTALLMENT_NOT_ALLOWED,
    "EXCEED_MAX_CARD_INSTALLMENT_PLAN": R.INSTALLMENT_NOT_ALLOWED,
    "NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT": R.INSTALLMENT_NOT_ALLOWED,
    "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN": R.INSTALLMENT_NOT_ALLOWED,
    # the contract
    "UNAUTHORIZED_KEY": R.CHANNEL_REJECTED,
    "INVALID_API_KEY": R.CHANNEL_REJECTED,
    "INCORRECT_BASIC_AUTH_FORMAT": R.CHANNEL_REJECTED,
    "FORBIDDEN_REQUEST": R.CHANNEL_REJECTED,
    "NOT_SUPPORTED_METHOD": R.CHANNEL_REJECTED,
    "NOT_FOUND_TERMINAL_ID": R.CHANNEL_REJECTED,
    "INVALID_UNREGISTERED_SUBMALL": R.CHANNEL_REJECTED,
    "NOT_REGISTERED_BUSINESS": R.CHANNEL_REJECTED,
    "NOT_FOUND_MERCHANT": R.CHANNEL_REJECTED,
    "NOT_ALLOWED_POINT_USE": R.CHANNEL_REJECTED,
    "NOT_SUPPORTED_CARD_TYPE": R.CARD_NOT_SUPPORTED,
    "MAINTAINED_METHOD": R.GATEWAY_MAINTENANCE,
    "NOT_AVAILABLE_PAYMENT": R.GATEWAY_MAINTENANCE,
    "NOT_AVAILABLE_BANK": R.GATEWAY_MAINTENANCE,
    # the billing key
    "INVALID_BILL_KEY_REQUEST": R.BILLING_KEY_INVALID,
    "ALREADY_REMOVED_BILLING_KEY": R.BILLING_KEY_INVALID,
    "NOT_MATCHES_CUSTOMER_KEY": R.BILLING_KEY_INVALID,
    "NOT_FOUND_BILLING": R.BILLING_KEY_INVALID,
    # the call
    "INVALID_REQUEST": R.INVALID_REQUEST,
    "INVALID_REQUIRED_PARAM": R.INVALID_REQUEST,
    "INVALID_ORDER_ID": R.INVALID_REQUEST,
    "INVALID_ORDER_NAME": R.INVALID_REQUEST,
    "INVALID_EMAIL": R.INVALID_REQUEST,
    "INVALID_AUTHORIZE_AUTH": R.INVALID_REQUEST,
    "INVALID_IDEMPOTENCY_KEY": R.INVALID_REQUEST,
    "NOT_FOUND_PAYMENT": R.INVALID_REQUEST,
    "NOT_FOUND_PAYMENT_SESSION": R.NOT_CHARGED,
    # virtual accounts
    "INVALID_DATE": R.INVALID_REQUEST,
    "EXCEED_MAX_DUE_DATE": R.INVALID_REQUEST,
    "EXCEED_MAX_VALID_HOURS": R.INVALID_REQUEST,
    "EXCEED_DEPOSIT_AMOUNT_LIMIT": R.LIMIT_EXCEEDED,
    # cash receipts
    "INVALID_CASH_RECEIPT_INFO": R.INVALID_REQUEST,
    "INVALID_BUSINESS_NUMBER": R.INVALID_REQUEST,
    "BELOW_ZERO_AMOUNT": R.AMOUNT_NOT_ALLOWED,
    # cancels: refused, nothing given back
    "NOT_MATCHES_REFUNDABLE_AMOUNT": R.INVALID_REQUEST,
    "NOT_CANCELABLE_PAYMENT": R.INVALID_REQUEST,
    "NOT_ALLOWED_PARTIAL_REFUND": R.INVALID_REQUEST,
    "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT": R.INVALID_REQUEST,
    "INVALID_REFUND_ACCOUNT_INFO": R.INVALID_REQUEST,
    "INVALID_REFUND_ACCOUNT_NUMBER": R.INVALID_REQUEST,
    "INVALID_BANK": R.INVALID_REQUEST,
    "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT": R.AMOUNT_NOT_ALLOWED,
    "EXCEED_MAX_REFUND_AMOUNT": R.AMOUNT_NOT_ALLOWED,
    "EXCEED_MAX_REFUND_DUE": R.INVALID_REQUEST,
    "REFUND_REJECTED": R.ISSUER_DECLINED,
})  # fmt: skip
"""Codes that surely mean no. A code in neither table is unknown."""

ISSUER_CODES = frozenset({"FAILED_CARD_COMPANY_RESPONSE"})
"""What one card company does to one buyer speaks neither for nor against the gateway, though HTTP 500 comes with it."""

UNKNOWN_CODES = frozenset({
    # technical: the card company may have been asked already
    "PROVIDER_ERROR",
    "CARD_PROCESSING_ERROR",
    "COMMON_ERROR",
    "UNKNOWN_PAYMENT_ERROR",
    "FAILED_INTERNAL_SYSTEM_PROCESSING",
    "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING",
    "FAILED_CARD_COMPANY_RESPONSE",
    "FAILED_DB_PROCESSING",
    "FAILED_BILLING_AUTO_CANCEL",
    "FAILED_REFUND_PROCESS",
    "FAILED_METHOD_HANDLING_CANCEL",
    "FAILED_PARTIAL_REFUND",
    # the same request is, or was, there already: the first one may have worked
    "IDEMPOTENT_REQUEST_PROCESSING",
    "FORBIDDEN_CONSECUTIVE_REQUEST",
    "DUPLICATED_REQUEST",
    "DUPLICATED_ORDER_ID",
    "DUPLICATED_CASH_RECEIPT",
    "ALREADY_PROCESSED_PAYMENT",
    "UNAPPROVED_ORDER_ID",
    # cancelled before, by us or by another: the books tell. Without a balance left, a used-up charge answers
    # NOT_CANCELABLE_AMOUNT in place of ALREADY_CANCELED_PAYMENT (measured).
    "ALREADY_CANCELED_PAYMENT",
    "ALREADY_REFUND_PAYMENT",
    "NOT_CANCELABLE_AMOUNT",
})  # fmt: skip

# Toss's two characters -> clearing-house code. [recalled], except 21, which the test card shows.
CARD_CODES: Mapping[str, str] = MappingProxyType({
    "11": "381", "21": "374", "31": "361", "33": "041", "W1": "041",
    "41": "366", "51": "365", "61": "367", "71": "368", "91": "371",
})  # fmt: skip
