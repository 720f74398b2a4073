"""NICE Payments, new module: the window, billing by card data, cancel, net-cancel, query, cash receipts.

Source: NICE's public manual (nicepay-manual). Our own reading, since the manual is silent: which of the codes of a
class is answered to broken input, that an order id is unique among issues, that a declined charge can be found as
`failed`, that net-cancel covers billing charges, and what a second receipt, or the second cancel of one, is answered.
Unlike NICE's sandbox this one has partial cancels.

Of the window, besides: how `vbankExpDate` is written (as NICE's checkout has it), that a window closed on a PC calls
`fnError` with the code at the end of the text (seen in public code), that what was not approved is not found, what a
second approval is answered, that a deposit changes `ready` into `paid` under the same number, and that a refund without
an account to refund to is refused.
"""

import base64
import hashlib
import itertools
import re
import secrets
from datetime import datetime, timedelta
from typing import Any, ClassVar

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

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

TEST_CREDENTIALS = {"client_id": "S2_sandbox00000000000000000000001", "secret_key": "5a6e64b0c1d2e3f405162738495a6b7c"}
OTHER_CREDENTIALS = {"client_id": "S2_sandbox00000000000000000000002", "secret_key": "0f1e2d3c4b5a69788796a5b4c3d2e1f0"}
"""A second merchant: sees nothing of the first."""
BEARER_CREDENTIALS = {
    "client_id": "S2_sandbox00000000000000000000003",
    "secret_key": "a0b1c2d3e4f5061728394a5b6c7d8e9f",
}
"""A key of the kind that wants bearer tokens: Basic gets U103."""
CLIENT_APPROVAL_CREDENTIALS = {
    "client_id": "S2_sandbox00000000000000000000004",
    "secret_key": "b1c2d3e4f5061728394a5b6c7d8e9fa0",
}
"""A client id of the other kind: its window takes the money before it sends the browser back."""

ACCOUNTS = {
    credentials["client_id"]: credentials["secret_key"]
    for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS, BEARER_CREDENTIALS, CLIENT_APPROVAL_CREDENTIALS)
}

NET_CANCEL_SECONDS = 3600

WILL_ANSWER = {
    STOLEN: ("3095", "분실 또는 도난 카드입니다."),
    NO_FUNDS: ("3095", "잔액이 부족합니다."),
    EXPIRED: ("3021", "유효기간이 지난 카드입니다."),
}

METHODS = {"card": "card", "directCard": "card", "bank": "trans", "vbank": "vbank", "cellphone": "phone"}
"""The window's word -> V1's."""
STATUSES = {
    "captured": "paid", "declined": "failed", "cancelled": "cancelled", "partially_cancelled": "partialCancelled",
    "waiting": "ready", "expired": "expired", "revoked": "cancelled",
}  # fmt: skip

MESSAGES = {
    "0000": "정상 처리되었습니다.",
    "2013": "이미 취소된 거래입니다.",
    "2012": "해당 거래가 존재하지 않습니다.",
    "2020": "취소 가능 시간이 지났습니다.",
    "2031": "전액 취소가 불가한 거래입니다.",
    "2032": "취소 금액이 취소 가능 금액을 초과하였습니다.",
    "3011": "카드번호 오류",
    "3021": "유효기간 오류",
    "3095": "카드사에서 거절하였습니다.",
    "A123": "거래금액 불일치(인증된 금액과 승인요청 금액 불일치)",
    "A211": "해쉬값이 일치하지 않습니다.",
    "C002": "카드사 인증 실패",
    "I002": "사용자가 결제를 취소하였습니다",
    "2014": "취소 불가능 거래",
    "2201": "기승인존재",
    "P015": "orderid가 이미 존재합니다.",
    "U121": "인증 요청내역이 존재하지 않습니다.",
    "U103": "인증 방식이 일치하지 않습니다.",
    "U104": "사용자 인증에 실패하였습니다.",
    "U112": "이미 사용된 주문번호입니다.",
    "U115": "삭제된 빌키입니다.",
    "U126": "존재하지 않는 주문번호입니다.",
    "U309": "발급되지 않은 빌키입니다.",
}


_tid_numbers = itertools.count(secrets.randbelow(65536))


class Simulator(Windows, VirtualAccounts):
    provider: ClassVar[str] = "nice_v2"
    label: ClassVar[str] = "나이스페이먼츠"
    notice_wants: ClassVar[str | None] = "OK"
    scripts: ClassVar = {
        "/v1/js/": """
          window.AUTHNICE = {
            requestPay({fnError, ...params}) {
              sandboxWindow.open(params, fnError).catch(
                ({code, message}) => fnError({msg: message, errorMsg: `${message} [${code}]`}));
            },
          };
        """
    }
    routes: ClassVar = (
        ("POST", r"/v1/subscribe/regist", "issue", "regist"),
        ("POST", r"/v1/subscribe/([^/]+)/payments", "charge", "charge"),
        ("POST", r"/v1/subscribe/([^/]+)/expire", "delete", "expire"),
        ("POST", r"/v1/receipt", "receipt", "issue_receipt"),
        ("POST", r"/v1/receipt/([^/]+)/cancel", "receipt", "cancel_receipt"),
        ("POST", r"/v1/payments/netcancel", "cancel", "net_cancel"),
        ("POST", r"/v1/payments/([^/]+)/cancel", "cancel", "cancel"),
        ("POST", r"/v1/payments/([^/]+)", "charge", "approve"),
        ("GET", r"/v1/payments/find/([^/]+)", "find", "find_order"),
        ("GET", r"/v1/payments/([^/]+)", "find", "find_tid"),
    )

    def authenticate(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            client_id, _, secret_key = base64.b64decode(token, validate=True).decode().partition(":")
        except ValueError:
            client_id = secret_key = ""
        if scheme != "Basic" or not secret_key or ACCOUNTS.get(client_id) != secret_key:
            raise Refusal("U104")
        if client_id == BEARER_CREDENTIALS["client_id"]:
            raise Refusal("U103")
        return client_id

    def refuse(self, refusal: Refusal) -> Answer:
        """Business failures come with HTTP 200, and so does the wrong kind of key; unknown keys with 401."""
        message = refusal.message or MESSAGES.get(refusal.code, "처리할 수 없는 요청입니다.")
        status = 401 if refusal.code == "U104" else 200
        return json_answer(status, {"resultCode": refusal.code, "resultMsg": message})

    def usual_refusal(self, operation: str) -> str:
        return {
            "charge": "3095",
            "issue": "F113",
            "cancel": "2003",
            "find": "U126",
            "delete": "A125",
            "receipt": "7012",
        }[operation]

    def regist(self, account: str, request: Request) -> Answer:
        body = _body(request, "orderId", "encData")
        order_id = _order_id(body)
        _check_signature(account, body, order_id)
        card = self._card(account, body)
        if not self.books.use_id(account, f"regist {order_id}"):
            raise Refusal("U112")
        will = card_outcome(card)
        if will == EXPIRED:
            raise Refusal(*WILL_ANSWER[EXPIRED])
        key = Key(account, new_id("BIKY", 30), masked(card), will)
        self.books.keys[key.key] = key
        return self._ok({
            "tid": self._tid("16"),
            "orderId": order_id,
            "bid": key.key,
            "authDate": self._time(),
            "cardCode": "04",
            "cardName": "[삼성]",
        })  # fmt: skip

    def charge(self, account: str, request: Request, bid: str) -> Answer:
        body = _body(request, "orderId", "amount", "goodsName", "cardQuota", "useShopInterest")
        order_id = _order_id(body)
        _check_signature(account, body, order_id, bid)
        key = self._key(account, bid)
        amount = _amount(body["amount"])
        _check_order(body, amount)
        earlier = self.books.find(account, order_id)
        if earlier and not earlier.declined_by:
            raise Refusal("U112")
        code, message = WILL_ANSWER.get(key.will or "", (None, None))
        if request.forced:
            code, message = request.forced, None
        charge = Charge(
            account=account,
            order_id=order_id,
            pg_tid=self._tid("01"),
            amount=amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=key.card,
            declined_by=code,
            details={"goodsName": body["goodsName"], "quota": int(body["cardQuota"]), "message": message,
                     "approveNo": f"{len(self.books.charges) + 1:08d}"},
        )  # fmt: skip
        self.books.add(charge)
        if code:
            raise Refusal(code, message)
        return self._ok(self._payment(charge))

    # the window

    def arrive(self, params: dict[str, Any]) -> Visit:
        missing = [
            name
            for name in ("clientId", "method", "orderId", "amount", "goodsName", "returnUrl")
            if params.get(name) in (None, "")
        ]
        if missing:
            raise Refusal("P007", f"필수 파라미터 {missing[0]}가 없습니다.")
        account, method = params["clientId"], METHODS.get(params["method"])
        if account not in ACCOUNTS:
            raise Refusal("P005", "해당되는 MID 정보가 없습니다.")
        if method is None:
            raise Refusal("U110", "지원하지 않는 지불수단 입니다.")
        earlier = self.books.find(account, _order_id(params))
        if earlier and not earlier.declined_by:
            raise Refusal("P015")
        amount = params["amount"]
        if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount < 10**12:
            raise Refusal("P010", "파라미터 amount가 숫자형식이 아닙니다.")
        details = {**_window_details(params, method, amount, self.clock.kst()), "tid": self._tid("01")}
        return Visit(account, params["orderId"], amount, "KRW", method, params["goodsName"], details)

    def leave(self, visit: Visit, action: Action) -> Go | Tell:
        """A window is closed on a PC, say; what the gateway says itself, it says at the return URL."""
        if action == "cancel":
            return Tell({"msg": MESSAGES["I002"], "errorMsg": f"{MESSAGES['I002']} [I002]"})
        client_id, details = visit.account, visit.details
        known = {"orderId": visit.order_id, "clientId": client_id, "amount": str(visit.amount), "mallReserved": ""}
        token = f"NICETOKN{secrets.token_hex(16).upper()}"
        if client_id == CLIENT_APPROVAL_CREDENTIALS["client_id"]:
            fields = (
                self._taken(visit) if action == "approve" else {"resultCode": "C002", "resultMsg": MESSAGES["C002"]}
            )
            return Go(details["returnUrl"], {**known, "authToken": token, **fields})
        if action == "fail":
            fields = {"authResultCode": "C002", "authResultMsg": MESSAGES["C002"], "authToken": token}
            return Go(details["returnUrl"], {**known, **fields})
        text = f"{token}{client_id}{visit.amount}{ACCOUNTS[client_id]}"
        fields = {"authResultCode": "0000", "authResultMsg": "인증 성공", "tid": details["tid"], "authToken": token}
        return Go(details["returnUrl"], {**known, **fields, "signature": hashlib.sha256(text.encode()).hexdigest()})

    def _taken(self, visit: Visit) -> dict[str, str]:
        """What a client id of the client approval kind sends back: the payment, its parts beside each other."""
        try:
            payment = self._payment(self._book(visit))
        except Refusal as refusal:
            return {"success": "false", "resultCode": refusal.code, "resultMsg": refusal.message or refusal.code}
        told = ("tid", "status", "amount", "ediDate", "signature", "payMethod", "paidAt")
        return {"success": "true", "resultCode": "0000", "resultMsg": MESSAGES["0000"]} | {
            name: str(payment[name]) for name in told
        }

    def approve(self, account: str, request: Request, tid: str) -> Answer:
        body = _body(request, "amount")
        _check_signature(account, body, tid, str(body["amount"]))
        visit = next((v for v in self.visits.values() if v.account == account and v.details["tid"] == tid), None)
        if visit is None or visit.outcome != "approve":
            raise Refusal("U121")
        if _amount(body["amount"]) != visit.amount:
            raise Refusal("A123")
        return self._ok(self._payment(self._book(visit, request)))

    def _book(self, visit: Visit, request: Request | None = None) -> Charge:
        """Take the money, or issue the account. Raises Refusal, and books it, if the buyer's card is declined."""
        details, account = visit.details, visit.account
        if self.books.by_tid(account, details["tid"]):
            raise Refusal("2201")
        earlier = self.books.find(account, visit.order_id)
        if earlier and not earlier.declined_by:
            raise Refusal("U112")
        code, message = WILL_ANSWER.get(details.get("will", ""), (None, None))
        if request and request.forced:
            code, message = request.forced, None
        charge = Charge(
            account=account,
            order_id=visit.order_id,
            pg_tid=details["tid"],
            amount=visit.amount + (request.surplus if request else 0),
            currency="KRW",
            time=self.clock.now(),
            card="536148******5671" if visit.method == "card" else "",
            declined_by=code,
            unpaid="waiting" if visit.method == "vbank" and not code else None,
            details={**details, "message": message, "approveNo": f"{len(self.books.charges) + 1:08d}"},
        )
        if visit.method == "vbank":
            charge.details["number"] = f"{len(self.books.charges) + 1:014d}"
        self.books.add(charge)
        if code:
            raise Refusal(code, message)
        return charge

    def deposit(self, charge: Charge) -> None:
        charge.unpaid = None
        charge.details["paid_at"] = self.clock.now()

    def reverse(self, charge: Charge) -> None:
        charge.unpaid = "waiting"
        del charge.details["paid_at"]

    def notice(self, charge: Charge) -> dict[str, Any]:
        return {"resultCode": "0000", "resultMsg": MESSAGES["0000"], **self._payment(charge)}

    # billing and what follows a charge

    def expire(self, account: str, request: Request, bid: str) -> Answer:
        body = _body(request, "orderId")
        _check_signature(account, body, _order_id(body), bid)
        self._key(account, bid).deleted = True
        return self._ok({
            "tid": self._tid("16"),
            "orderId": body["orderId"],
            "bid": bid,
            "authDate": self._time(),
        })  # fmt: skip

    def find_order(self, account: str, request: Request, order_id: str) -> Answer:
        day = request.query.get("orderDate", "")
        if not re.fullmatch(r"\d{8}", day):
            raise Refusal("U100", "orderDate는 필수 값입니다.")
        charge = self.books.find(account, order_id)
        if charge is None or seoul(charge.time).strftime("%Y%m%d") != day:
            raise Refusal("U126")
        self.refresh(charge)
        return self._ok(self._payment(charge))

    def find_tid(self, account: str, _: Request, tid: str) -> Answer:
        charge = self.books.by_tid(account, tid)
        if charge is None:
            raise Refusal("A118")
        self.refresh(charge)
        return self._ok(self._payment(charge))

    def cancel(self, account: str, request: Request, tid: str) -> Answer:
        body = _body(request, "reason", "orderId")
        _check_signature(account, body, tid)
        cancel_id = _order_id(body)
        if not isinstance(body["reason"], str) or not 1 <= len(body["reason"]) <= 100:
            raise Refusal("U105", "reason을 확인해 주세요.")
        charge = self.books.by_tid(account, tid)
        if charge is None or charge.declined_by:
            raise Refusal("2012")
        self.refresh(charge)
        if charge.unpaid:
            return self._revoke(charge, cancel_id, body)
        if charge.balance == 0:
            raise Refusal("2013")
        if charge.details.get("method") == "vbank":
            _check_refund_account(body)
        amount = _amount(body["cancelAmt"]) if "cancelAmt" in body else charge.amount
        if "cancelAmt" not in body and charge.cancels:
            raise Refusal("2031")
        if amount > charge.balance or amount <= 0:
            raise Refusal("2032")
        if amount < charge.amount and not self.books.use_id(account, f"cancel {cancel_id}"):
            raise Refusal("U112")
        return self._cancel(charge, cancel_id, amount, body["reason"])

    def _revoke(self, charge: Charge, cancel_id: str, body: dict[str, Any]) -> Answer:
        if charge.unpaid != "waiting" or "cancelAmt" in body:
            raise Refusal("2013" if charge.unpaid == "revoked" else "2014")
        charge.unpaid = "revoked"
        return self._cancel(charge, cancel_id, charge.amount, body["reason"])

    def issue_receipt(self, account: str, request: Request) -> Answer:
        parts = ("amount", "supplyAmt", "goodsVat", "taxFreeAmt", "serviceAmt")
        body = _body(request, "orderId", "goodsName", "receiptType", "receiptNo", *parts)
        order_id = _order_id(body)
        amount, *shares = (_amount(body[name]) for name in parts)
        _check_signature(account, body, order_id, str(body["amount"]))
        length = {"individual": r"\d{10,11}", "company": r"\d{10}"}.get(body["receiptType"])
        if length is None:
            raise Refusal("7013")
        if not re.fullmatch(length, str(body["receiptNo"])):
            raise Refusal("7012")
        if not amount:
            raise Refusal("7041")
        if sum(shares) != amount:
            raise Refusal("1615")
        if not self.books.use_id(account, f"receipt {order_id}"):
            raise Refusal("U112")
        receipt = Receipt(
            account=account,
            order_id=order_id,
            receipt_tid=self._tid("04"),
            type=body["receiptType"],
            holder=str(body["receiptNo"])[-4:],
            amount=amount,
            tax_free=shares[2],
            vat=shares[1],
            time=self.clock.now(),
        )
        self.books.receipts.append(receipt)
        number = f"{len(self.books.receipts):09d}"
        return self._receipt_ok(receipt, order_id, approvedAt=_iso(receipt.time), approveNo=number)

    def cancel_receipt(self, account: str, request: Request, tid: str) -> Answer:
        body = _body(request, "orderId", "reason")
        order_id = _order_id(body)
        _check_signature(account, body, tid)
        receipt = self.books.receipt(account, tid)
        if receipt is None:
            raise Refusal("2012")
        if receipt.cancelled_at is not None:
            raise Refusal("2013")
        receipt.cancelled_at = self.clock.now()
        more = {"cancelAmt": receipt.amount, "balanceAmt": 0, "cancelledAt": _iso(receipt.cancelled_at)}
        return self._receipt_ok(receipt, order_id, **more)

    def _receipt_ok(self, receipt: Receipt, order_id: str, **more: object) -> Answer:
        edi_date = self._time()
        text = f"{receipt.receipt_tid}{order_id}{edi_date}{ACCOUNTS[receipt.account]}"
        signed = {"ediDate": edi_date, "signature": hashlib.sha256(text.encode()).hexdigest()}
        return self._ok({"tid": receipt.receipt_tid, "orderId": order_id, **signed, **more})

    def net_cancel(self, account: str, request: Request) -> Answer:
        body = _body(request, "orderId")
        order_id = _order_id(body)
        _check_signature(account, body, order_id)
        charge = self.books.find(account, order_id)
        if charge is None or charge.declined_by:
            raise Refusal("2012")
        if charge.balance == 0:
            raise Refusal("2013")
        if self.clock.now() - charge.time > NET_CANCEL_SECONDS:
            raise Refusal("2020")
        return self._cancel(charge, order_id, charge.balance, "망취소")

    def _cancel(self, charge: Charge, cancel_id: str, amount: int, reason: str) -> Answer:
        # A full cancel keeps the transaction's own number, a partial one gets another (api/cancel).
        tid = charge.pg_tid if amount == charge.amount else self._tid("01")
        charge.cancels.append(Cancel(cancel_id, tid, amount, self.clock.now(), reason))
        return self._ok(self._payment(charge))

    def _key(self, account: str, bid: str) -> Key:
        key = self.books.keys.get(bid)
        if key is None or key.account != account:
            raise Refusal("U309")
        if key.deleted:
            raise Refusal("U115")
        return key

    def _card(self, account: str, body: dict[str, Any]) -> str:
        """The card number, once everything in encData is in order."""
        fields = _decrypt(body["encData"], body.get("encMode"), ACCOUNTS[account])
        if set(fields) != {"cardNo", "expYear", "expMonth", "idNo", "cardPw"}:
            raise Refusal("U100", "카드 정보의 필수 값이 누락되었습니다.")
        if not re.fullmatch(r"\d{14,16}", fields["cardNo"]):
            raise Refusal("3011")
        if not re.fullmatch(r"\d{2}", fields["expYear"]) or not re.fullmatch(r"0[1-9]|1[0-2]", fields["expMonth"]):
            raise Refusal("3021")
        if (2000 + int(fields["expYear"]), int(fields["expMonth"])) < (self.clock.kst().year, self.clock.kst().month):
            raise Refusal("3021")
        if not re.fullmatch(r"\d{6}|\d{10}", fields["idNo"]) or not re.fullmatch(r"\d{2}", fields["cardPw"]):
            raise Refusal("F113", "본인확인에 실패하였습니다.")
        return fields["cardNo"]

    def _ok(self, value: dict[str, Any]) -> Answer:
        return json_answer(200, {"resultCode": "0000", "resultMsg": MESSAGES["0000"], **value})

    def _payment(self, charge: Charge) -> dict[str, Any]:
        details, edi_date = charge.details, self._time()
        method = details.get("method", "card")
        paid_at = details.get("paid_at", charge.time)
        last = charge.cancels[-1] if charge.cancels else None
        text = f"{charge.pg_tid}{charge.amount}{edi_date}{ACCOUNTS[charge.account]}"
        return {
            "tid": charge.pg_tid,
            "cancelledTid": last.pg_tid if last else None,
            "orderId": charge.order_id,
            "ediDate": edi_date,
            "signature": hashlib.sha256(text.encode()).hexdigest(),
            "status": STATUSES[charge.state],
            "paidAt": "0" if charge.declined_by or charge.unpaid else _iso(paid_at),
            "failedAt": _iso(charge.time) if charge.declined_by else "0",
            "cancelledAt": _iso(last.time) if last else "0",
            "payMethod": method,
            "amount": charge.amount,
            "balanceAmt": charge.balance,
            "goodsName": details["goodsName"],
            "mallReserved": None,
            "useEscrow": False,
            "currency": charge.currency,
            "channel": None,
            "approveNo": None if charge.declined_by or method == "vbank" else details["approveNo"],
            "receiptUrl": f"https://npg.nicepay.co.kr/issue/issue.do?TID={charge.pg_tid}",
            "card": _card_object(charge) if method == "card" else None,
            "bank": {"bankCode": "088", "bankName": "신한은행"} if method == "bank" else None,
            "vbank": _account_object(charge) if method == "vbank" else None,
            "cancels": [
                {
                    "tid": cancel.pg_tid,
                    "amount": cancel.amount,
                    "cancelledAt": _iso(cancel.time),
                    "reason": cancel.reason,
                    "receiptUrl": f"https://npg.nicepay.co.kr/issue/issue.do?TID={cancel.pg_tid}",
                    "couponAmt": 0,
                }
                for cancel in charge.cancels
            ]
            or None,
        }

    def _tid(self, kind: str) -> str:
        """MID, service, method, second, and four digits, here counted: drawn at random, some would be drawn twice."""
        return f"nicuntct1m01{kind}{self.clock.kst():%y%m%d%H%M%S}{next(_tid_numbers) % 65536:04X}"

    def _time(self) -> str:
        return _iso(self.clock.now())


def _window_details(params: dict[str, Any], method: str, amount: int, now: datetime) -> dict[str, Any]:
    """What the visit and its charge keep. Raises Refusal."""
    quotas = str(params.get("cardQuota", "00")).split(",")
    if not all(re.fullmatch(r"\d{2}", quota) for quota in quotas):
        raise Refusal("P028" if "01" in quotas else "P010")
    if amount < 50_000 and ("cardQuota" in params and (quotas != ["00"] or params["method"] == "card")):
        raise Refusal("P037")
    if params["method"] == "directCard" and not (params.get("cardCode") and "cardQuota" in params):
        raise Refusal("P022")
    if method == "phone" and not isinstance(params.get("isDigital"), bool):
        raise Refusal("P011")
    details = {
        "method": {"trans": "bank", "phone": "cellphone"}.get(method, method),
        "goodsName": params["goodsName"],
        "returnUrl": params["returnUrl"],
        "quota": int(quotas[0]),
        "cardCode": params.get("cardCode") or "04",
    }
    if method == "vbank":
        details |= {"holder": params.get("vbankHolder"), "due": _due(params.get("vbankExpDate"), now).timestamp()}
        if not details["holder"]:
            raise Refusal("P007", "필수 파라미터 vbankHolder가 없습니다.")
    return details


def _due(text: str | None, now: datetime) -> datetime:
    """To the minute, in Seoul. Without one, a week."""
    if text is None:
        return now + timedelta(days=7)
    try:
        due = datetime.strptime(text, "%Y-%m-%dT%H:%M").replace(tzinfo=KST)
    except ValueError:
        raise Refusal("P024", "날짜형식(ISO8601)이 아닙니다.") from None
    if due <= now:
        raise Refusal("A107", "입금예정일이 지났습니다")
    return due


def _card_object(charge: Charge) -> dict[str, Any]:
    code = charge.details.get("cardCode", "04")
    return {
        "cardCode": code,
        "cardName": "삼성" if code == "04" else "카드",
        "cardNum": charge.card,
        "cardQuota": charge.details["quota"],
        "isInterestFree": False,
        "cardType": "credit",
        "canPartCancel": True,
        "acquCardCode": code,
        "acquCardName": "삼성" if code == "04" else "카드",
    }


def _account_object(charge: Charge) -> dict[str, Any]:
    details = charge.details
    return {
        "vbankCode": "088",
        "vbankName": "신한은행",
        "vbankNumber": details["number"],
        "vbankExpDate": _iso(details["due"]),
        "vbankHolder": details["holder"],
    }


def _check_refund_account(body: dict[str, Any]) -> None:
    limits = {"refundAccount": r"\d{6,16}", "refundBankCode": r"(?!999)\d{3}", "refundHolder": r".{1,10}"}
    if not all(re.fullmatch(pattern, str(body.get(name, ""))) for name, pattern in limits.items()):
        raise Refusal("U100", "환불계좌 정보를 확인해 주세요.")


def _iso(moment: float) -> str:
    return seoul(moment).strftime("%Y-%m-%dT%H:%M:%S.000+0900")


def _body(request: Request, *required: str) -> dict[str, Any]:
    body = request.json()
    if body is None or not request.headers.get("content-type", "").startswith("application/json"):
        raise Refusal("U105", "요청 본문을 읽을 수 없습니다.")
    missing = [name for name in required if body.get(name) in (None, "")]
    if missing:
        raise Refusal("U100", f"필수 값이 누락되었습니다: {missing[0]}")
    return body


def _order_id(body: dict[str, Any]) -> str:
    order_id = body["orderId"]
    if not isinstance(order_id, str) or len(order_id) > 64:
        raise Refusal("U105", "orderId를 확인해 주세요.")
    return order_id


def _amount(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,12}", str(value)):
        raise Refusal("U105", "금액을 확인해 주세요.")
    return int(str(value))


def _check_order(body: dict[str, Any], amount: int) -> None:
    name, quota = body["goodsName"], body["cardQuota"]
    if not isinstance(name, str) or len(name.encode()) > 40 or re.search(r'[%&|$\-+=\[\]"]', name):
        raise Refusal("U105", "goodsName을 확인해 주세요.")
    if not isinstance(quota, str) or not re.fullmatch(r"\d{1,2}", quota):
        raise Refusal("3022")
    if int(quota) >= 2 and amount < 50_000:
        raise Refusal("3024")
    if body["useShopInterest"] is not False:
        raise Refusal("3031")
    if amount < 1000:
        raise Refusal("3041" if amount else "P017")


def _check_signature(account: str, body: dict[str, Any], *parts: str) -> None:
    """Optional, but checked if sent (common/api)."""
    if "signData" not in body:
        return
    text = "".join(parts) + str(body.get("ediDate", "")) + ACCOUNTS[account]
    if body["signData"] != hashlib.sha256(text.encode()).hexdigest():
        raise Refusal("A211")


def _decrypt(enc_data: object, enc_mode: object, secret_key: str) -> dict[str, str]:
    """encMode A2: AES-256-CBC, whole key, first 16 characters as IV. Absent: AES-128-ECB, first 16 characters."""
    key = secret_key.encode()
    decryptor = Cipher(algorithms.AES(key[:16]), modes.ECB()).decryptor()  # noqa: S305 - NICE's default
    if enc_mode == "A2":
        decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
    elif enc_mode:
        raise Refusal("U105", "encMode를 확인해 주세요.")
    if len(str(enc_data)) > 512:
        raise Refusal("U105", "encData가 너무 깁니다.")
    try:
        unpadder = padding.PKCS7(128).unpadder()
        padded = decryptor.update(bytes.fromhex(str(enc_data))) + decryptor.finalize()
        text = (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        raise Refusal("U105", "카드 정보를 복호화할 수 없습니다.") from None
    return dict(pair.partition("=")[::2] for pair in text.split("&"))
