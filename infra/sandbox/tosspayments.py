"""Toss Payments, core API v1: key-in, billing by card data, virtual accounts, the window, query, cancel, cash receipts.

Source: Toss core API reference and error codes; behaviour measured with test keys where the reference is silent
(balance 0 after partial cancels stays PARTIAL_CANCELED; the header TossPayments-Test-Code; idempotent replays).
Our own reading: a declined order can be found as ABORTED, and may be tried again under the same order id; the code
that answers a second cancel of a cash receipt. That two receipts may bear one order id is reported by others.
Also our own reading: a virtual account that is due is shown as EXPIRED with `expired` set, one that was revoked before
a deposit as CANCELED without `approvedAt`; which code answers what is wrong with a refund account.
The window: parameters and errors as its SDK publishes them (types of @tosspayments/tosspayments-sdk). Our own reading:
that an unconfirmed payment is found by its order, the codes of a confirm that names another order or amount, and which
of its parameters it insists on.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from infra.sandbox.server import (
    EXPIRED,
    KST,
    NO_FUNDS,
    STOLEN,
    Answer,
    Cancel,
    Charge,
    Key,
    Receipt,
    Refusal,
    Request,
    VirtualAccounts,
    card_outcome,
    json_answer,
    masked,
    new_id,
    seoul,
)
from infra.sandbox.windows import Action, Go, Tell, Visit, Windows

TEST_CREDENTIALS = {"secret_key": "test_sk_sandbox0000000000000001", "client_key": "test_ck_sandbox0000000000000001"}
OTHER_CREDENTIALS = {"secret_key": "test_sk_sandbox0000000000000002", "client_key": "test_ck_sandbox0000000000000002"}
"""A second merchant: sees nothing of the first."""

ACCOUNTS = {TEST_CREDENTIALS["secret_key"]: "sandbox1", OTHER_CREDENTIALS["secret_key"]: "sandbox2"}
CLIENTS = {TEST_CREDENTIALS["client_key"]: "sandbox1", OTHER_CREDENTIALS["client_key"]: "sandbox2"}

PUBLISHED_CARD = "9410001234567890"
IDEMPOTENCY_DAYS = 15
BANKS = (
    "02", "03", "06", "07", "11", "12", "20", "23", "27", "31", "32", "34", "35", "37", "39", "45", "48", "50", "54",
    "60", "64", "71", "81", "88", "89", "90", "92",
)  # fmt: skip
UNPAID = {"waiting": "WAITING_FOR_DEPOSIT", "expired": "EXPIRED", "revoked": "CANCELED"}
RECEIPT_TYPES = ("소득공제", "지출증빙")

CONFIRM_SECONDS = 10 * 60
"""How long after the buyer has agreed. The window itself lives 30 minutes."""
WINDOW_SECONDS = 30 * 60
WINDOW_METHODS = {"CARD": "card", "TRANSFER": "trans", "VIRTUAL_ACCOUNT": "vbank", "MOBILE_PHONE": "phone"}
METHOD_NAMES = {"card": "카드", "trans": "계좌이체", "vbank": "가상계좌", "phone": "휴대폰", "easy_pay": "간편결제"}
WINDOW_FIELDS = frozenset({
    "method", "amount", "orderId", "orderName", "successUrl", "failUrl", "customerName", "customerEmail",
    "customerMobilePhone", "taxFreeAmount", "windowTarget", "metadata", "card", "virtualAccount", "transfer",
    "mobilePhone",
})  # fmt: skip

SCRIPT = """
window.TossPayments = (clientKey) => ({
  payment: ({customerKey}) => ({
    requestPayment: (request) => new Promise((_, reject) => {
      const onPhone = /Mobi/.test(navigator.userAgent);
      const target = request.windowTarget === "self" || onPhone ? "page" : "frame";
      const onTell = ({code, message}) => reject(Object.assign(new Error(message), {code}));
      sandboxWindow.open({clientKey, customerKey, request, target}, onTell, {target}).catch(reject);
    }),
  }),
});
window.TossPayments.ANONYMOUS = "@@ANONYMOUS";
"""

WILL_ANSWER = {
    STOLEN: "INVALID_CARD_LOST_OR_STOLEN",
    NO_FUNDS: "REJECT_CARD_PAYMENT",
    EXPIRED: "INVALID_CARD_EXPIRATION",
}

STATUSES = {
    401: ("UNAUTHORIZED_KEY",),
    403: (
        "INCORRECT_BASIC_AUTH_FORMAT", "FORBIDDEN_REQUEST", "REJECT_CARD_PAYMENT", "REJECT_CARD_COMPANY",
        "REJECT_ACCOUNT_PAYMENT", "EXCEED_MAX_AUTH_COUNT", "EXCEED_MAX_ONE_DAY_AMOUNT", "FDS_ERROR",
        "NOT_CANCELABLE_AMOUNT", "NOT_CANCELABLE_PAYMENT", "FORBIDDEN_CONSECUTIVE_REQUEST", "NOT_AVAILABLE_BANK",
        "NOT_ALLOWED_PARTIAL_REFUND", "INVALID_PASSWORD", "EXCEED_MAX_REFUND_AMOUNT", "EXCEED_MAX_REFUND_DUE",
        "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT",
    ),
    404: ("NOT_FOUND", "NOT_FOUND_PAYMENT", "NOT_FOUND_PAYMENT_SESSION", "NOT_FOUND_BILLING", "NOT_FOUND_MERCHANT"),
    409: ("IDEMPOTENT_REQUEST_PROCESSING",),
    500: (
        "FAILED_INTERNAL_SYSTEM_PROCESSING", "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", "UNKNOWN_PAYMENT_ERROR",
        "FAILED_DB_PROCESSING", "FAILED_CARD_COMPANY_RESPONSE", "FAILED_REFUND_PROCESS", "FAILED_PARTIAL_REFUND",
        "FAILED_METHOD_HANDLING_CANCEL", "FAILED_BILLING_AUTO_CANCEL", "COMMON_ERROR",
    ),
}  # fmt: skip
"""HTTP status -> codes; every other code comes with 400."""

MESSAGES = {
    "UNAUTHORIZED_KEY": "인증되지 않은 시크릿 키 혹은 클라이언트 키 입니다.",
    "INCORRECT_BASIC_AUTH_FORMAT": "인증 헤더의 형식이 올바르지 않습니다.",
    "INVALID_CARD_LOST_OR_STOLEN": "분실 혹은 도난 카드입니다.",
    "REJECT_CARD_PAYMENT": "한도초과 혹은 잔액부족으로 결제에 실패했습니다.",
    "INVALID_CARD_EXPIRATION": "카드 정보를 다시 확인해주세요. (유효기간)",
    "INVALID_CARD_NUMBER": "카드번호를 다시 확인해주세요.",
    "DUPLICATED_ORDER_ID": "이미 승인 및 취소가 진행된 중복된 주문번호 입니다.",
    "NOT_FOUND_PAYMENT": "존재하지 않는 결제 정보 입니다.",
    "ALREADY_CANCELED_PAYMENT": "이미 취소된 결제 입니다.",
    "NOT_CANCELABLE_AMOUNT": "취소 할 수 없는 금액 입니다.",
}


class Simulator(Windows, VirtualAccounts):
    provider: ClassVar[str] = "tosspayments"
    label: ClassVar[str] = "토스페이먼츠"
    scripts: ClassVar = {"/v2/standard": SCRIPT}
    routes: ClassVar = (
        ("POST", r"/v1/payments/key-in", "charge", "key_in"),
        ("POST", r"/v1/payments/confirm", "charge", "confirm"),
        ("POST", r"/v1/billing/authorizations/card", "issue", "issue"),
        ("POST", r"/v1/billing/([^/]+)", "charge", "charge_key"),
        ("DELETE", r"/v1/billing/([^/]+)", "delete", "delete_key"),
        ("POST", r"/v1/virtual-accounts", "account", "issue_account"),
        ("POST", r"/v1/cash-receipts", "receipt", "issue_receipt"),
        ("GET", r"/v1/cash-receipts", "find", "list_receipts"),
        ("POST", r"/v1/cash-receipts/([^/]+)/cancel", "receipt", "cancel_receipt"),
        ("GET", r"/v1/payments/orders/([^/]+)", "find", "find_order"),
        ("GET", r"/v1/payments/([^/]+)", "find", "find_payment"),
        ("POST", r"/v1/payments/([^/]+)/cancel", "cancel", "cancel"),
    )

    def authenticate(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            pair = base64.b64decode(token, validate=True).decode()
        except ValueError:
            pair = ""
        if scheme != "Basic" or not pair.endswith(":"):
            raise Refusal("INCORRECT_BASIC_AUTH_FORMAT")
        account = ACCOUNTS.get(pair[:-1])
        if account is None:
            raise Refusal("UNAUTHORIZED_KEY")
        if forced := request.headers.get("tosspayments-test-code"):
            raise Refusal(forced)
        return account

    def refuse(self, refusal: Refusal) -> Answer:
        status = next((status for status, codes in STATUSES.items() if refusal.code in codes), 400)
        message = refusal.message or MESSAGES.get(refusal.code, "요청을 처리할 수 없습니다.")
        return json_answer(status, {"code": refusal.code, "message": message})

    def usual_refusal(self, operation: str) -> str:
        return {
            "charge": "REJECT_CARD_COMPANY", "issue": "INVALID_CARD_NUMBER", "account": "INVALID_BANK",
            "cancel": "NOT_CANCELABLE_PAYMENT",
            "find": "NOT_FOUND_PAYMENT", "delete": "INVALID_BILL_KEY_REQUEST", "receipt": "INVALID_CASH_RECEIPT_INFO",
        }[operation]  # fmt: skip

    def serve(self, request: Request, wait: Callable[[], None]) -> Answer:
        """Answers are kept under the idempotency key, the API key, the path and the method; the body is no part."""
        key = request.headers.get("idempotency-key")
        if request.method != "POST" or key is None:
            return super().serve(request, wait)
        if not 0 < len(key) <= 300:
            return self.refuse(Refusal("INVALID_IDEMPOTENCY_KEY"))
        identity = "\n".join((request.headers.get("authorization", ""), request.method, request.path, key))
        slot = hashlib.sha256(identity.encode()).hexdigest()
        with self.lock:
            kept = self.books.answers.get(slot)
            if kept and kept["at"] > self.clock.now() - IDEMPOTENCY_DAYS * 86_400:
                if kept["status"] is None:
                    return self.refuse(Refusal("IDEMPOTENT_REQUEST_PROCESSING"))
                return _kept_answer(kept, key)
            self.books.answers[slot] = {"at": self.clock.now(), "status": None, "body": ""}
        answer = None
        try:
            answer = super().serve(request, wait)
        finally:
            with self.lock:
                if answer is None:  # stopped while waiting: it never ran
                    del self.books.answers[slot]
                else:
                    self.books.answers[slot].update(status=answer.status, body=answer.body.decode())
        return _kept_answer(self.books.answers[slot], key)

    def key_in(self, account: str, request: Request) -> Answer:
        body = _body(request)
        card = self._card(body)
        self._check_order(account, body)
        return self._authorise(account, request, body, "NORMAL", masked(card), card_outcome(card), _issuer(card))

    def charge_key(self, account: str, request: Request, billing_key: str) -> Answer:
        body = _body(request)
        key = self._key(account, billing_key)
        if body.get("customerKey") != key.details["customerKey"]:
            raise Refusal("NOT_MATCHES_CUSTOMER_KEY")
        self._check_order(account, body)
        return self._authorise(account, request, body, "BILLING", key.card, key.will, key.details["issuer"])

    def issue(self, account: str, request: Request) -> Answer:
        body = _body(request)
        card = self._card(body)
        customer_key = body.get("customerKey")
        if not isinstance(customer_key, str) or not re.fullmatch(r"[A-Za-z0-9\-_=.@]{2,300}", customer_key):
            raise Refusal("INVALID_REQUEST", "customerKey의 형식이 올바르지 않습니다.")
        will = card_outcome(card)
        if will == EXPIRED:
            raise Refusal(WILL_ANSWER[EXPIRED])
        key = Key(account, new_id("bk_", 40), masked(card), will)
        key.details = {"customerKey": customer_key, "issuer": _issuer(card)}
        self.books.keys[key.key] = key
        return json_answer(200, {
            "mId": account,
            "customerKey": customer_key,
            "authenticatedAt": self._time(),
            "method": "카드",
            "billingKey": key.key,
            "card": _card_object(key.card, key.details["issuer"]),
        })  # fmt: skip

    def delete_key(self, account: str, _: Request, billing_key: str) -> Answer:
        self._key(account, billing_key).deleted = True
        return Answer(200, b"")

    def find_order(self, account: str, _: Request, order_id: str) -> Answer:
        charge = self.books.find(account, order_id)
        opened = [v for v in self.visits.values() if (v.account, v.order_id) == (account, order_id)]
        return json_answer(200, self._unconfirmed(opened[-1])) if opened and not charge else self._found(charge)

    def find_payment(self, account: str, _: Request, payment_key: str) -> Answer:
        charge, opened = self.books.by_tid(account, payment_key), self._opened(account, payment_key)
        return json_answer(200, self._unconfirmed(opened)) if opened and not charge else self._found(charge)

    # the window

    def arrive(self, params: dict[str, Any]) -> Visit:
        account, request = CLIENTS.get(str(params.get("clientKey"))), params.get("request")
        customer = str(params.get("customerKey") or "")
        if account is None:
            raise Refusal("INVALID_CLIENT_KEY", "잘못된 클라이언트 연동 정보입니다.")
        if customer != "@@ANONYMOUS" and not re.fullmatch(r"[A-Za-z0-9\-_=.@]{2,50}", customer):
            raise Refusal("INVALID_CUSTOMER_KEY", "잘못된 customerKey 입니다.")
        if not isinstance(request, dict) or set(request) - WINDOW_FIELDS:
            raise Refusal("INVALID_PARAMETERS", "파라미터가 올바르지 않습니다.")
        method = WINDOW_METHODS.get(str(request.get("method")))
        if method is None:
            raise Refusal("NOT_SUPPORTED_METHOD", "지원하지 않는 결제수단입니다.")
        _check_window(request, method)
        if method == "vbank":
            self._due(request.get("virtualAccount") or {})
        return Visit(
            account=account,
            order_id=request["orderId"],
            amount=request["amount"]["value"],
            currency="KRW",
            method=method,
            name=request["orderName"],
            details={"request": request, "target": params.get("target", "frame"), "opened_at": self.clock.now(),
                     "payment_key": new_id("tviva", 40)},
        )  # fmt: skip

    def leave(self, visit: Visit, action: Action) -> Go | Tell:
        """Closing the window on a desktop is told to the page. Anything else, and all on a phone, is a redirect."""
        request, order = visit.details["request"], {"orderId": visit.order_id}
        if action == "approve":
            visit.details["agreed_at"] = self.clock.now()
            proof = {"paymentType": "NORMAL", "paymentKey": visit.details["payment_key"], "amount": str(visit.amount)}
            return Go(f"{request['successUrl']}?{urlencode(proof | order)}")
        if action == "fail":
            failed = {"code": "PAY_PROCESS_ABORTED", "message": "결제 진행 중 승인에 실패하여 결제가 중단되었습니다."}
            return Go(f"{request['failUrl']}?{urlencode(failed | order)}")
        if visit.details["target"] == "frame":
            return Tell({"code": "USER_CANCEL", "message": "취소되었습니다."})
        left = {"code": "PAY_PROCESS_CANCELED", "message": "사용자에 의해 결제가 취소되었습니다."}
        return Go(f"{request['failUrl']}?{urlencode(left)}")

    def confirm(self, account: str, request: Request) -> Answer:
        body = _body(request)
        payment_key, order_id, amount = (body.get(name) for name in ("paymentKey", "orderId", "amount"))
        charge, visit = self.books.by_tid(account, str(payment_key)), self._opened(account, str(payment_key))
        if charge and not charge.declined_by:
            raise Refusal("ALREADY_PROCESSED_PAYMENT")
        if visit is None:
            raise Refusal("NOT_FOUND_PAYMENT")
        agreed_at = visit.details.get("agreed_at")
        if charge or agreed_at is None or agreed_at + CONFIRM_SECONDS < self.clock.now():
            raise Refusal("NOT_FOUND_PAYMENT_SESSION")
        if order_id != visit.order_id or type(amount) is not int or amount != visit.amount:
            raise Refusal("INVALID_REQUEST", "인증된 결제 정보와 다릅니다.")
        earlier = self.books.find(account, visit.order_id)
        if earlier and not earlier.declined_by:
            raise Refusal("DUPLICATED_ORDER_ID")
        return self._take(visit, request)

    def _take(self, visit: Visit, request: Request) -> Answer:
        asked = visit.details["request"]
        options = asked.get("card") or {}
        code = request.forced or WILL_ANSWER.get(visit.details.get("will", ""))
        charge = Charge(
            account=visit.account,
            order_id=visit.order_id,
            pg_tid=visit.details["payment_key"],
            amount=visit.amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card="53614800****5671" if visit.method == "card" else "",
            declined_by=code,
            unpaid="waiting" if visit.method == "vbank" and not code else None,
            details={"type": "NORMAL", "orderName": visit.name, "issuer": "51", "at": self._time(),
                     "tx": new_id("tx_", 24), "approveNo": f"{len(self.books.charges) + 1:08d}",
                     "taxFreeAmount": asked.get("taxFreeAmount", 0), "method": visit.method,
                     "months": options.get("cardInstallmentPlan", 0), "easy_pay": options.get("easyPay")},
        )  # fmt: skip
        if visit.method == "vbank":
            charge.details |= {
                "bank": "88", "customer": asked.get("customerName"), "fixed": False, "secret": new_id("ps_", 30),
                "due": self._due(asked.get("virtualAccount") or {}), "number": f"{secrets.randbelow(10**14):014d}",
            }  # fmt: skip
        self.books.add(charge)
        if code:
            raise Refusal(code)
        return self._found(charge)

    def _opened(self, account: str, payment_key: str) -> Visit | None:
        found = (v for v in self.visits.values() if (v.account, v.details["payment_key"]) == (account, payment_key))
        return next(found, None)

    def _unconfirmed(self, visit: Visit) -> dict[str, Any]:
        """A payment that was asked for in a window, before it is confirmed: nothing has moved."""
        details, now = visit.details, self.clock.now()
        agreed_at = details.get("agreed_at")
        left = agreed_at + CONFIRM_SECONDS if agreed_at else details["opened_at"] + WINDOW_SECONDS
        waiting = "IN_PROGRESS" if agreed_at else "READY"
        return {
            "version": "2022-11-16",
            "mId": visit.account,
            "paymentKey": details["payment_key"],
            "type": "NORMAL",
            "orderId": visit.order_id,
            "orderName": visit.name,
            "method": METHOD_NAMES[visit.method] if agreed_at else None,
            "status": waiting if now <= left else "EXPIRED",
            "totalAmount": visit.amount,
            "balanceAmount": visit.amount,
            "currency": "KRW",
            "requestedAt": _iso(details["opened_at"]),
            "approvedAt": None,
            "failure": None,
            "cancels": None,
        }

    def cancel(self, account: str, request: Request, payment_key: str) -> Answer:
        body = _body(request)
        reason = body.get("cancelReason")
        if not isinstance(reason, str) or not 1 <= len(reason) <= 200:
            raise Refusal("INVALID_REQUEST", "cancelReason은 필수 값입니다.")
        charge = self.books.by_tid(account, payment_key)
        if charge is None or charge.declined_by:
            raise Refusal("NOT_FOUND_PAYMENT")
        self.refresh(charge)
        if charge.unpaid:
            return self._revoke(charge, request, body)
        if "number" in charge.details:
            _check_refund_account(body.get("refundReceiveAccount"))
        amount = body.get("cancelAmount", charge.balance)
        _check_cancel(charge, amount, body.get("refundableAmount"))
        # Toss does not know our name of the cancel except as the idempotency key.
        name = request.headers.get("idempotency-key", "")
        charge.cancels.append(Cancel(name, new_id("tx_", 24), amount, self.clock.now(), reason))
        return self._found(charge)

    def _revoke(self, charge: Charge, request: Request, body: dict[str, Any]) -> Answer:
        if charge.unpaid != "waiting":
            raise Refusal("ALREADY_CANCELED_PAYMENT" if charge.unpaid == "revoked" else "NOT_CANCELABLE_PAYMENT")
        if body.get("cancelAmount", charge.amount) != charge.amount:
            raise Refusal("NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT")
        charge.unpaid = "revoked"
        name = request.headers.get("idempotency-key", "")
        charge.cancels.append(Cancel(name, new_id("tx_", 24), charge.amount, self.clock.now(), body["cancelReason"]))
        return self._found(charge)

    def issue_account(self, account: str, request: Request) -> Answer:
        body = _body(request)
        self._check_order(account, body)
        name, bank, key = body.get("customerName"), body.get("bank"), body.get("accountKey")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise Refusal("INVALID_REQUEST", "customerName은 필수 값입니다.")
        if bank not in BANKS:
            raise Refusal("INVALID_BANK")
        if key is not None and (not isinstance(key, str) or not 1 <= len(key) <= 13):
            raise Refusal("INVALID_REQUEST", "accountKey의 형식이 올바르지 않습니다.")
        fixed = f"{int(hashlib.sha256(f'{account} {bank} {key}'.encode()).hexdigest(), 16) % 10**14:014d}"
        charge = Charge(
            account=account,
            order_id=body["orderId"],
            pg_tid=new_id("tviva", 40),
            amount=body["amount"] + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card="",
            unpaid="waiting",
            details={"type": "NORMAL", "orderName": body["orderName"], "at": self._time(), "tx": new_id("tx_", 24),
                     "taxFreeAmount": body.get("taxFreeAmount", 0), "bank": bank, "customer": name,
                     "due": self._due(body), "fixed": key is not None, "secret": new_id("ps_", 30),
                     "number": fixed if key else f"{secrets.randbelow(10**14):014d}"},
        )  # fmt: skip
        self.books.add(charge)
        return self._found(charge)

    def _due(self, body: dict[str, Any]) -> float:
        """A week ahead, if the caller does not say."""
        text = body.get("dueDate")
        if text is None:
            return self.clock.now() + 7 * 86_400
        try:
            due = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=KST).timestamp()
        except (TypeError, ValueError):
            raise Refusal("INVALID_DATE") from None
        if due <= self.clock.now():
            raise Refusal("INVALID_DATE")
        if due > self.clock.now() + 90 * 86_400:
            raise Refusal("EXCEED_MAX_DUE_DATE")
        return due

    def deposit(self, charge: Charge) -> None:
        charge.unpaid = None
        charge.details |= {"paid_at": self._time(), "tx": new_id("tx_", 24)}

    def reverse(self, charge: Charge) -> None:
        charge.unpaid = "waiting"
        charge.details["paid_at"] = None

    def notice(self, charge: Charge) -> dict[str, Any]:
        return {
            "createdAt": f"{seoul(self.clock.now()):%Y-%m-%dT%H:%M:%S.000000}",
            "secret": charge.details["secret"],
            "status": self._payment(charge)["status"],
            "transactionKey": charge.details["tx"],
            "orderId": charge.order_id,
        }

    def issue_receipt(self, account: str, request: Request) -> Answer:
        """Nothing compares order ids here: only the idempotency key keeps a second receipt away."""
        body = _body(request)
        order_id, name, identity = (body.get(n) for n in ("orderId", "orderName", "customerIdentityNumber"))
        amount, tax_free = body.get("amount"), body.get("taxFreeAmount", 0)
        if not isinstance(order_id, str) or not re.fullmatch(r"[A-Za-z0-9\-_.]{6,64}", order_id):
            raise Refusal("INVALID_ORDER_ID")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise Refusal("INVALID_ORDER_NAME")
        if not isinstance(identity, str) or not re.fullmatch(r"[0-9]{1,30}", identity):
            raise Refusal("INVALID_CASH_RECEIPT_INFO")
        if body.get("type") not in RECEIPT_TYPES:
            raise Refusal("INVALID_REQUEST")
        if type(amount) is not int or type(tax_free) is not int or amount < 1 or not 0 <= tax_free <= amount:
            raise Refusal("BELOW_ZERO_AMOUNT")
        receipt = Receipt(
            account=account,
            order_id=order_id,
            receipt_tid=new_id("rcpt_", 40),
            type=body["type"],
            holder=identity[-4:],
            amount=amount + request.surplus,
            tax_free=tax_free,
            vat=None,
            time=self.clock.now(),
            details={"orderName": name, "issueNumber": f"{len(self.books.receipts) + 1:09d}"},
        )
        self.books.receipts.append(receipt)
        return json_answer(200, _receipt_object(receipt, "CONFIRM"))

    def cancel_receipt(self, account: str, request: Request, receipt_key: str) -> Answer:
        _body(request)
        receipt = self.books.receipt(account, receipt_key)
        if receipt is None:
            raise Refusal("NOT_FOUND")
        if receipt.cancelled_at is not None:
            raise Refusal("ALREADY_CANCELED_CASH_RECEIPT")
        receipt.cancelled_at = self.clock.now()
        return json_answer(200, _receipt_object(receipt, "CANCEL"))

    def list_receipts(self, account: str, request: Request) -> Answer:
        """The day's issues and cancels, in the order in which they were asked for; cursor: how many were seen."""
        day = request.query.get("requestDate", "")
        start, limit = int(request.query.get("cursor", "0")), int(request.query.get("limit", "100"))
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) or not 1 <= limit <= 10_000:
            raise Refusal("INVALID_REQUEST")
        mine = [receipt for receipt in self.books.receipts if receipt.account == account]
        events = [(r.time, "CONFIRM", r) for r in mine]
        events += [(r.cancelled_at, "CANCEL", r) for r in mine if r.cancelled_at is not None]
        today = sorted((e for e in events if f"{seoul(e[0]):%Y-%m-%d}" == day), key=lambda event: event[0])
        rows = [_receipt_object(receipt, kind) for _, kind, receipt in today[start : start + limit]]
        last = start + len(rows)
        return json_answer(200, {"hasNext": last < len(today), "lastCursor": last, "data": rows})

    def _authorise(
        self,
        account: str,
        request: Request,
        body: dict[str, Any],
        kind: str,
        card: str,
        will: str | None,
        issuer: str,
    ) -> Answer:
        code = request.forced or WILL_ANSWER.get(will or "")
        charge = Charge(
            account=account,
            order_id=body["orderId"],
            pg_tid=new_id("tviva", 40),
            amount=body["amount"] + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=card,
            declined_by=code,
            details={"type": kind, "orderName": body["orderName"], "issuer": issuer, "at": self._time(),
                     "tx": new_id("tx_", 24), "approveNo": f"{len(self.books.charges) + 1:08d}",
                     "taxFreeAmount": body.get("taxFreeAmount", 0), "months": body.get("cardInstallmentPlan", 0)},
        )  # fmt: skip
        self.books.add(charge)
        if code:
            raise Refusal(code)
        return self._found(charge)

    def _key(self, account: str, billing_key: str) -> Key:
        key = self.books.keys.get(billing_key)
        if key is None or key.account != account:
            raise Refusal("NOT_FOUND_BILLING")
        if key.deleted:
            raise Refusal("ALREADY_REMOVED_BILLING_KEY")
        return key

    def _card(self, body: dict[str, Any]) -> str:
        """The card number, once everything about the card is in order."""
        number, birth, password = (body.get(name) for name in ("cardNumber", "customerIdentityNumber", "cardPassword"))
        year, month = body.get("cardExpirationYear"), body.get("cardExpirationMonth")
        if not all(isinstance(value, str) for value in (number, birth, year, month)):
            raise Refusal("INVALID_REQUEST", "필수 파라미터가 누락되었습니다.")
        if not re.fullmatch(r"\d{14,16}", str(number)):
            raise Refusal("INVALID_CARD_NUMBER")
        if not re.fullmatch(r"\d{2}", str(year)) or not re.fullmatch(r"0[1-9]|1[0-2]", str(month)):
            raise Refusal("INVALID_CARD_EXPIRATION")
        if (2000 + int(str(year)), int(str(month))) < (self.clock.kst().year, self.clock.kst().month):
            raise Refusal("INVALID_CARD_EXPIRATION")
        if not re.fullmatch(r"\d{6}|\d{10}", str(birth)):
            raise Refusal("INVALID_BIRTH_DAY_FORMAT")
        if password is not None and not re.fullmatch(r"\d{2}", str(password)):
            raise Refusal("INVALID_CARD_PASSWORD")
        _check_email(body)
        return str(number)

    def _check_order(self, account: str, body: dict[str, Any]) -> None:
        order_id, name, amount = body.get("orderId"), body.get("orderName"), body.get("amount")
        months = body.get("cardInstallmentPlan", 0)
        if not isinstance(order_id, str) or not re.fullmatch(r"[A-Za-z0-9\-_=]{6,64}", order_id):
            raise Refusal("INVALID_ORDER_ID")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise Refusal("INVALID_ORDER_NAME")
        if isinstance(amount, bool) or not isinstance(amount, int):
            raise Refusal("INVALID_REQUEST")
        if amount < 100:
            raise Refusal("BELOW_MINIMUM_AMOUNT")
        if months not in (0, *range(2, 13)) or (months and amount < 50_000):
            raise Refusal("INVALID_CARD_INSTALLMENT_PLAN")
        _check_email(body)
        earlier = self.books.find(account, order_id)
        if earlier and not earlier.declined_by:
            raise Refusal("DUPLICATED_ORDER_ID")

    def _found(self, charge: Charge | None) -> Answer:
        if charge is None:
            raise Refusal("NOT_FOUND_PAYMENT")
        self.refresh(charge)
        return json_answer(200, self._payment(charge))

    def _payment(self, charge: Charge) -> dict[str, Any]:
        details = charge.details
        method = details.get("method", "card")
        full_at_once = len(charge.cancels) == 1 and charge.balance == 0
        status = "PARTIAL_CANCELED" if charge.cancels else "DONE"
        payment = {
            "version": "2022-11-16",
            "mId": charge.account,
            "paymentKey": charge.pg_tid,
            "lastTransactionKey": charge.cancels[-1].pg_tid if charge.cancels else details["tx"],
            "type": details["type"],
            "orderId": charge.order_id,
            "orderName": details["orderName"],
            "method": METHOD_NAMES["easy_pay" if details.get("easy_pay") else method],
            "status": "ABORTED" if charge.declined_by else "CANCELED" if full_at_once else status,
            "totalAmount": charge.amount,
            "balanceAmount": charge.balance,
            "taxFreeAmount": details["taxFreeAmount"],
            "currency": "KRW",
            "requestedAt": details["at"],
            "approvedAt": None if charge.declined_by else details["at"],
            "card": _card_object(charge.card, details["issuer"], details) if charge.card else None,
            "transfer": {"bankCode": "88", "settlementStatus": "INCOMPLETED"} if method == "trans" else None,
            "mobilePhone": {"settlementStatus": "INCOMPLETED"} if method == "phone" else None,
            "easyPay": None,
            "virtualAccount": None,
            "secret": None,
            "receipt": {"url": f"https://dashboard.tosspayments.com/receipt/{charge.pg_tid}"},
            "cancels": None,
            "failure": None,
        }
        if wallet := details.get("easy_pay"):
            payment["easyPay"] = {"provider": wallet, "amount": charge.amount, "discountAmount": 0}
        if charge.declined_by:
            code = charge.declined_by
            payment["failure"] = {"code": code, "message": MESSAGES.get(code, "결제에 실패했습니다.")}
        if charge.cancels:
            payment["cancels"] = _cancel_objects(charge)
        if "number" in details:
            payment |= _account_objects(charge)
        return payment

    def _time(self) -> str:
        return _iso(self.clock.now())


def _kept_answer(kept: dict[str, Any], key: str) -> Answer:
    return Answer(kept["status"], kept["body"].encode(), headers={"Idempotency-Key": key})


def _body(request: Request) -> dict[str, Any]:
    body = request.json()
    if body is None or not request.headers.get("content-type", "").startswith("application/json"):
        raise Refusal("INVALID_REQUEST", "잘못된 요청입니다.")
    return body


def _check_email(body: dict[str, Any]) -> None:
    email = body.get("customerEmail")
    if email is not None and (not isinstance(email, str) or len(email) > 100 or "@" not in email):
        raise Refusal("INVALID_EMAIL")


def _check_window(request: dict[str, Any], method: str) -> None:
    """What the SDK checks before it opens a window."""
    order_id, name, amount = request.get("orderId"), request.get("orderName"), request.get("amount")
    if not isinstance(order_id, str) or not re.fullmatch(r"[A-Za-z0-9\-_=]{6,64}", order_id):
        raise Refusal("INVALID_ORDER_ID")
    if not isinstance(name, str) or not 1 <= len(name) <= 100:
        raise Refusal("INVALID_ORDER_NAME")
    if not isinstance(amount, dict) or type(amount.get("value")) is not int or amount["value"] < 1:
        raise Refusal("INVALID_AMOUNT_VALUE", "결제 금액이 올바르지 않습니다.")
    if amount.get("currency") != "KRW":
        raise Refusal("INVALID_AMOUNT_CURRENCY", "결제 통화가 올바르지 않습니다.")
    for field in ("successUrl", "failUrl"):
        if not re.fullmatch(r"https?://[^\s?#]+", str(request.get(field))):
            raise Refusal(f"INCORRECT_{field.removesuffix('Url').upper()}_URL_FORMAT")
    if not re.fullmatch(r"[0-9]{8,15}", request.get("customerMobilePhone", "01012345678")):
        raise Refusal("INVALID_PARAMETERS", "customerMobilePhone의 형식이 올바르지 않습니다.")
    if len(request.get("customerName", "")) > 100 or request.get("taxFreeAmount", 0) > amount["value"]:
        raise Refusal("INVALID_PARAMETERS", "파라미터가 올바르지 않습니다.")
    _check_email(request)
    own = {"card": "card", "trans": "transfer", "vbank": "virtualAccount", "phone": "mobilePhone"}[method]
    if {"card", "transfer", "virtualAccount", "mobilePhone"} & set(request) - {own}:
        raise Refusal("INVALID_PARAMETERS", "다른 결제수단의 파라미터입니다.")
    if method == "card":
        _check_card_options(request.get("card") or {}, amount["value"])


def _check_card_options(card: dict[str, Any], amount: int) -> None:
    fixed, longest = card.get("cardInstallmentPlan"), card.get("maxCardInstallmentPlan")
    if fixed is not None and longest is not None:
        raise Refusal("INVALID_CARD_INSTALLMENT_PLANS_WITH_MAX_AND_SINGLE")
    months = fixed if longest is None else longest
    if months not in (None, 0, *range(2, 13)) or (months and amount < 50_000):
        raise Refusal("INVALID_CARD_INSTALLMENT_PLAN")
    if card.get("flowMode") == "DIRECT" and not (card.get("cardCompany") or card.get("easyPay")):
        raise Refusal("INVALID_PARAMETERS", "flowMode가 DIRECT면 cardCompany나 easyPay가 필요합니다.")


def _check_cancel(charge: Charge, amount: object, expected_balance: object) -> None:
    if charge.balance == 0:
        raise Refusal("ALREADY_CANCELED_PAYMENT" if len(charge.cancels) == 1 else "NOT_CANCELABLE_AMOUNT")
    if isinstance(amount, bool) or not isinstance(amount, int) or amount <= 0:
        raise Refusal("INVALID_REQUEST", "cancelAmount가 올바르지 않습니다.")
    if expected_balance is not None and expected_balance != charge.balance:
        raise Refusal("NOT_MATCHES_REFUNDABLE_AMOUNT")
    if amount > charge.balance:
        raise Refusal("NOT_CANCELABLE_AMOUNT")


def _check_refund_account(value: object) -> None:
    if not isinstance(value, dict):
        raise Refusal("INVALID_REFUND_ACCOUNT_INFO")
    bank, number, holder = (value.get(name) for name in ("bank", "accountNumber", "holderName"))
    if bank not in BANKS:
        raise Refusal("INVALID_BANK")
    if not isinstance(number, str) or not re.fullmatch(r"[0-9]{6,20}", number):
        raise Refusal("INVALID_REFUND_ACCOUNT_NUMBER")
    if not isinstance(holder, str) or not 1 <= len(holder) <= 60:
        raise Refusal("INVALID_REFUND_ACCOUNT_INFO")


def _account_objects(charge: Charge) -> dict[str, Any]:
    """What is different in a payment by virtual account."""
    details = charge.details
    account = {
        "accountType": "고정" if details["fixed"] else "일반",
        "accountNumber": details["number"],
        "bankCode": details["bank"],
        "customerName": details["customer"],
        "depositorName": None if charge.unpaid else details["customer"],
        "dueDate": _iso(details["due"]),
        "refundStatus": "PENDING" if charge.cancels and not charge.unpaid else "NONE",
        "expired": charge.unpaid == "expired",
        "settlementStatus": "INCOMPLETED",
        "refundReceiveAccount": None,
    }
    shown = {"method": "가상계좌", "virtualAccount": account, "secret": details["secret"]}
    if not charge.unpaid:
        return shown | {"approvedAt": details["paid_at"]}
    left = 0 if charge.unpaid == "revoked" else charge.amount
    return shown | {"approvedAt": None, "balanceAmount": left, "status": UNPAID[charge.unpaid]}


def _issuer(number: str) -> str:
    return "21" if number == PUBLISHED_CARD else "51"


def _card_object(card: str, issuer: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "issuerCode": issuer,
        "acquirerCode": issuer,
        "number": card,
        "cardType": "신용",
        "ownerType": "개인",
    }
    if details:
        value |= {"installmentPlanMonths": details["months"], "approveNo": details["approveNo"], "useCardPoint": False}
    return value


def _cancel_objects(charge: Charge) -> list[dict[str, Any]]:
    left, found = charge.amount, []
    for cancel in charge.cancels:
        left -= cancel.amount
        found.append({
            "cancelAmount": cancel.amount,
            "cancelReason": cancel.reason,
            "refundableAmount": left,
            "canceledAt": _iso(cancel.time),
            "transactionKey": cancel.pg_tid,
            "cancelStatus": "DONE",
        })  # fmt: skip
    return found


def _receipt_object(receipt: Receipt, kind: str) -> dict[str, Any]:
    """A cancel has a key of its own, and the order id of the receipt."""
    cancelled = kind == "CANCEL"
    moment = receipt.cancelled_at if cancelled and receipt.cancelled_at is not None else receipt.time
    return {
        "receiptKey": f"c_{receipt.receipt_tid}" if cancelled else receipt.receipt_tid,
        "orderId": receipt.order_id,
        "orderName": receipt.details["orderName"],
        "type": receipt.type,
        "issueNumber": receipt.details["issueNumber"],
        "issueStatus": "IN_PROGRESS",
        "transactionType": kind,
        "businessNumber": "",
        "customerIdentityNumber": f"****{receipt.holder}",
        "amount": receipt.amount,
        "taxFreeAmount": receipt.tax_free,
        "failure": None,
        "requestedAt": _iso(moment),
        "receiptUrl": f"https://dashboard.tosspayments.com/receipt/cash/{receipt.receipt_tid}",
    }


def _iso(moment: float) -> str:
    return seoul(moment).isoformat(timespec="seconds")
