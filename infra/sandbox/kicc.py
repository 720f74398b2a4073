"""KICC (easypay): charges of keys from its window, their deletion, cancels, query by the merchant's transaction id.

Source: KICC's public documentation. Our own reading, since it is silent: every code that begins with K (its text says
what it is about, as KICC's do), that a used shopTransactionId is refused whatever became of the first, that a declined
charge is not found, that the answer to a query of a cancelled charge is the approval with another state, and that
`remainAmount` is what can be cancelled before the cancel.
"""

import hashlib
import hmac
import itertools
import re
from typing import Any, ClassVar

from infra.sandbox.server import (
    EXPIRED,
    NO_FUNDS,
    STOLEN,
    Answer,
    Cancel,
    Charge,
    Key,
    Refusal,
    Request,
    Sandbox,
    card_outcome,
    json_answer,
    masked,
    seoul,
)
from infra.sandbox.server import Simulator as Base

TEST_CREDENTIALS = {"mall_id": "T5102001", "secret_key": "easypay!KICCTEST"}
OTHER_CREDENTIALS = {"mall_id": "T0001997", "secret_key": "easypay!SANDBOX2"}
"""A second merchant: sees nothing of the first."""
WRONG_CREDENTIALS = {"mall_id": "T0000000", "secret_key": "easypay!KICCTEST"}
"""Nobody's. A wrong secret key alone would spoil cancels only: nothing else is signed."""

ACCOUNTS = {credentials["mall_id"]: credentials["secret_key"] for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS)}

WILL_ANSWER = {STOLEN: "8350", NO_FUNDS: "8035", EXPIRED: "8314"}

MESSAGES = {
    "0000": "정상",
    "8035": "잔액부족",
    "8311": "비밀번호 오류",
    "8314": "유효기간 오류",
    "8315": "유효기간 오류",
    "8316": "유효기간 오류",
    "8350": "도난분실카드",
    "8373": "카드사 문의요망",
    "8521": "한도초과",
    "8527": "포인트 잔액부족",
    "K001": "등록되지 않은 상점 ID입니다.",
    "K002": "메시지 인증값이 일치하지 않습니다.",
    "K003": "상점 거래고유번호가 중복되었습니다.",
    "K004": "등록되지 않은 빌키입니다.",
    "K005": "삭제된 빌키입니다.",
    "K006": "해당 거래가 존재하지 않습니다.",
    "K007": "필수 파라미터가 없습니다.",
    "K008": "이미 취소된 거래입니다.",
    "K009": "취소 가능 금액을 초과하였습니다.",
    "K010": "요청일자 오류입니다.",
    "K011": "할부 개월 오류입니다.",
    "K012": "사용할 수 없는 문자입니다.",
    "VTIM": "응답시간 초과",
    "VT00": "응답시간 초과",
}

_numbers = itertools.count(1)


def window_key(sandbox: Sandbox, card_number: str, credentials: dict[str, str] = TEST_CREDENTIALS) -> dict[str, str]:
    """A key as the window makes it, once the buyer has typed in the card."""
    simulator = sandbox.simulator
    with simulator.lock:
        mall_id = credentials["mall_id"]
        key = Key(mall_id, f"{mall_id}BA{next(_numbers):08d}", masked(card_number), card_outcome(card_number))
        simulator.books.keys[key.key] = key
    return {"batch_key": key.key}


class Simulator(Base):
    provider: ClassVar[str] = "kicc"
    routes: ClassVar = (
        ("POST", r"/api/trades/approval/batch", "charge", "charge"),
        ("POST", r"/api/trades/removeBatchKey", "delete", "remove"),
        ("POST", r"/api/trades/retrieveTransaction", "find", "find"),
        ("POST", r"/api/trades/revise", "cancel", "cancel"),
    )

    def authenticate(self, request: Request) -> str:
        mall_id = _body(request, "mallId", "shopTransactionId")["mallId"]
        if mall_id not in ACCOUNTS:
            raise Refusal("K001")
        return str(mall_id)

    def refuse(self, refusal: Refusal) -> Answer:
        message = refusal.message or MESSAGES.get(refusal.code, "처리할 수 없는 요청입니다.")
        return json_answer(200, {"resCd": refusal.code, "resMsg": message})

    def usual_refusal(self, operation: str) -> str:
        return {"charge": "8373", "cancel": "K009", "find": "K006", "delete": "K010"}[operation]

    def charge(self, mall_id: str, request: Request) -> Answer:
        body = _body(request, "shopOrderNo", "approvalReqDate", "amount", "currency", "orderInfo", "payMethodInfo")
        batch_key, months = _check_order(body)
        key = self._key(mall_id, batch_key)
        order_id = self._use_id(mall_id, body)
        code = request.forced or WILL_ANSWER.get(key.will or "")
        if months and body["amount"] < 50_000:
            code = "K011"
        charge = Charge(
            account=mall_id,
            order_id=order_id,
            pg_tid=f"{self.clock.kst():%y%m%d%H%M%S}{next(_numbers) % 10**8:08d}",
            amount=body["amount"] + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=key.card,
            declined_by=code,
            details={"shopOrderNo": body["shopOrderNo"], "date": body["approvalReqDate"], "order": body["orderInfo"]},
        )
        self.books.add(charge)
        if code:
            raise Refusal(code)
        paid = self._payment(charge)
        signed = _sign(mall_id, paid["pgCno"], paid["amount"], paid["transactionDate"])
        return json_answer(200, {**paid, "msgAuthValue": signed})

    def find(self, mall_id: str, request: Request) -> Answer:
        """Yesterday's and today's only, under the date of the request; the answer is not signed."""
        body = _body(request, "transactionDate")
        day = str(body["transactionDate"])
        if day not in {f"{seoul(self.clock.now() - ago):%Y%m%d}" for ago in (0, 86_400)}:
            raise Refusal("K010")
        charge = self.books.find(mall_id, body["shopTransactionId"])
        if charge is None or charge.declined_by or charge.details["date"] != day:
            raise Refusal("K006")
        return json_answer(200, self._payment(charge))

    def cancel(self, mall_id: str, request: Request) -> Answer:
        body = _body(request, "pgCno", "reviseTypeCode", "cancelReqDate", "msgAuthValue")
        if body["cancelReqDate"] != f"{self.clock.kst():%Y%m%d}":
            raise Refusal("K010")
        if body["msgAuthValue"] != _sign(mall_id, body["pgCno"], body["shopTransactionId"]):
            raise Refusal("K002")
        _check_text(body.get("reviseMessage", ""), 100)
        cancel_id = self._use_id(mall_id, body)
        charge = self.books.by_tid(mall_id, body["pgCno"])
        if charge is None or charge.declined_by:
            raise Refusal("K006")
        if charge.balance == 0:
            raise Refusal("K008")
        amount = self._amount_of(body, charge)
        cancel = Cancel(cancel_id, f"{charge.pg_tid[:12]}{next(_numbers) % 10**8:08d}", amount, self.clock.now())
        charge.cancels.append(cancel)
        return json_answer(200, {
            "resCd": "0000",
            "resMsg": "정상취소",
            "mallId": mall_id,
            "shopTransactionId": cancel_id,
            "oriPgCno": charge.pg_tid,
            "cancelPgCno": cancel.pg_tid,
            "shopOrderNo": charge.details["shopOrderNo"],
            "cancelAmount": str(amount),
            "remainAmount": str(charge.balance),
            "transactionDate": self._time(),
            **_status(charge),
            "reviseInfo": {"payMethodTypeCode": "11", "approvalNo": "00017177", "approvalDate": self._time()},
        })  # fmt: skip

    def remove(self, mall_id: str, request: Request) -> Answer:
        body = _body(request, "batchKey", "removeReqDate")
        key = self._key(mall_id, body["batchKey"])
        transaction_id = self._use_id(mall_id, body)
        key.deleted = True
        return json_answer(200, {
            "resCd": "0000",
            "resMsg": "정상",
            "mallId": mall_id,
            "shopTransactionId": transaction_id,
            "removeReqDate": body["removeReqDate"],
        })  # fmt: skip

    def _amount_of(self, body: dict[str, Any], charge: Charge) -> int:
        if body["reviseTypeCode"] == "40":
            if charge.cancels:
                raise Refusal("K009")
            return charge.amount
        amount: Any = body.get("amount")
        if body["reviseTypeCode"] != "32" or not _is_amount(amount):
            raise Refusal("K007")
        if body.get("remainAmount", charge.balance) != charge.balance or amount > charge.balance:
            raise Refusal("K009")
        return int(amount)

    def _use_id(self, mall_id: str, body: dict[str, Any]) -> str:
        """Until midnight in Seoul."""
        name = str(body["shopTransactionId"])
        if len(name) > 60 or not self.books.use_id(mall_id, f"{self.clock.kst():%Y%m%d} {name}"):
            raise Refusal("K003")
        return name

    def _key(self, mall_id: str, batch_key: object) -> Key:
        key = self.books.keys.get(str(batch_key))
        if key is None or key.account != mall_id:
            raise Refusal("K004")
        if key.deleted:
            raise Refusal("K005")
        return key

    def _payment(self, charge: Charge) -> dict[str, Any]:
        at = f"{seoul(charge.time):%Y%m%d%H%M%S}"
        return {
            "resCd": "0000",
            "resMsg": "결제 정상",
            "mallId": charge.account,
            "pgCno": charge.pg_tid,
            "shopTransactionId": charge.order_id,
            "shopOrderNo": charge.details["shopOrderNo"],
            "amount": str(charge.amount),
            "transactionDate": at,
            **_status(charge),
            "escrowUsed": "N",
            "paymentInfo": {
                "payMethodTypeCode": "11",
                "approvalNo": "00017177",
                "approvalDate": at,
                "cardInfo": {
                    "cardNo": charge.card,
                    "issuerCode": "029",
                    "issuerName": "신한카드",
                    "acquirerCode": "029",
                    "acquirerName": "신한카드",
                    "installmentMonth": 0,
                    "freeInstallmentTypeCode": "00",
                    "cardGubun": "N",
                    "cardBizGubun": "P",
                    "partCancelUsed": "Y",
                },
            },
        }

    def _time(self) -> str:
        return f"{self.clock.kst():%Y%m%d%H%M%S}"


def _status(charge: Charge) -> dict[str, str]:
    code, text = {
        "captured": ("TS03", "매입요청"),
        "partially_cancelled": ("TS06", "부분매입취소"),
        "cancelled": ("TS02", "승인취소") if len(charge.cancels) == 1 else ("TS06", "부분매입취소"),
    }[charge.state]
    return {"statusCode": code, "statusMessage": text}


def _sign(mall_id: str, *parts: str) -> str:
    return hmac.new(ACCOUNTS[mall_id].encode(), "|".join(parts).encode(), hashlib.sha256).hexdigest()


def _body(request: Request, *required: str) -> dict[str, Any]:
    body = request.json()
    if body is None or not request.headers.get("content-type", "").startswith("application/json"):
        raise Refusal("K007")
    missing = [name for name in required if body.get(name) in (None, "")]
    if missing:
        raise Refusal("K007", f"필수 파라미터가 없습니다: {missing[0]}")
    return body


def _is_amount(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check_order(body: dict[str, Any]) -> tuple[str, int]:
    """The key and the months of a charge in which everything is in order."""
    if not _is_amount(body["amount"]) or body["currency"] != "00":
        raise Refusal("K007")
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,40}", str(body["shopOrderNo"])):
        raise Refusal("K012")
    order, methods = body["orderInfo"], body["payMethodInfo"]
    _check_text(order.get("goodsName") or "<", 50)
    customer = order.get("customerInfo", {})
    _check_text(customer.get("customerName", ""), 20)
    if not re.fullmatch(r"\d{0,11}", customer.get("customerContactNo", "")):
        raise Refusal("K012")
    if taxes := body.get("taxInfo"):
        shares = [taxes.get(name) for name in ("taxAmount", "freeAmount", "vatAmount")]
        if not all(isinstance(share, int) for share in shares) or sum(shares) != body["amount"]:
            raise Refusal("K007")
    months = methods.get("cardMethodInfo", {}).get("installmentMonth")
    if not isinstance(months, int) or not 0 <= months <= 36 or months == 1:
        raise Refusal("K011")
    return methods.get("billKeyMethodInfo", {}).get("batchKey", ""), months


def _check_text(text: str, limit: int) -> None:
    """KICC's list of refused characters, and emoji, as its older systems speak EUC-KR."""
    try:
        is_long = max((len(letter.encode("euc-kr")) for letter in text), default=0) > 2
    except UnicodeEncodeError:
        raise Refusal("K012") from None
    if is_long or len(text.encode()) > limit or re.search(r"""['"<>\\;|\n\r&]""", text):
        raise Refusal("K012")
