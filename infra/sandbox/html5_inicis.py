"""KG Inicis, server API (INIAPI): key-in, billing keys, refund, inquiry; v1 in forms, v2 in JSON.

Source: Inicis's manual as public notes quote it, its samples, and public clients. Our own reading, since all of them
are silent: every wording of a refusal but that of an unknown key, what a wrong hash is answered, and what v2 says of an
order that is not there. That the guard lets a declined order number be used again, too.

Like the real one it compares `clientIp` with nothing, takes no JSON at v1 and no form at v2, and charges the same order
twice unless the merchant has the contract against it.
"""

import base64
import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

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
    card_outcome,
    json_answer,
    masked,
    new_id,
    seoul,
)
from infra.sandbox.server import Simulator as Base

SHOP = {"site_url": "https://shop.example", "client_ip": "203.0.113.10"}
SIGN_KEY = "SU5JTElURV9UUklQTEVERVNfS0VZU1RS"

# The vendor's published test merchants.
TEST_CREDENTIALS = {
    "mid": "INIBillTst",
    "iniapi_key": "rKnPljRn5m6J9Mzz",
    "iniapi_iv": "W2KLNKra6Wxc1P==",
    "sign_key": SIGN_KEY,
    "inilite_key": "b09LVzhuTGZVaEY1WmJoQnZzdXpRdz09",
    "order_guard": "Y",
    **SHOP,
}
OTHER_CREDENTIALS = {
    "mid": "INIpayTest",
    "iniapi_key": "ItEQKi3rY7uvDS8l",
    "iniapi_iv": "HYb3yQ4f65QL89==",
    "sign_key": SIGN_KEY,
    "hash_key": "3CB8183A4BE283555ACC8363C0360223",
    "order_guard": "Y",
    **SHOP,
}
"""A second merchant: sees nothing of the first."""
UNGUARDED_CREDENTIALS = {
    "mid": "iniescrow0",
    "iniapi_key": "yERbIlJ3NhTeObsA",
    "iniapi_iv": "tOGDXbfoajk2DQ==",
    "order_guard": "N",
    **SHOP,
}
"""A third, without the contract against used order numbers."""

ACCOUNTS: Mapping[str, Mapping[str, str]] = {
    credentials["mid"]: credentials for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS, UNGUARDED_CREDENTIALS)
}

WILL_ANSWER = {
    STOLEN: "분실 또는 도난 신고된 카드입니다.",
    NO_FUNDS: "잔액이 부족합니다.",
    EXPIRED: "유효기간이 지난 카드입니다.",
}

GENERAL = "01"
MESSAGES = {
    "00": "정상처리되었습니다.",
    GENERAL: "카드사에서 거절하였습니다.",
    "ER0102": "파라미터 값이 올바르지 않습니다.",
    "ERR012": "지불수단 또는 타입이 올바르지 않습니다.",
    "1195": "빌링 미등록 거래",
    "500626": "기취소 거래입니다.",
}
BRACKETED = frozenset({"1195", "500626"})
"""Codes that come in brackets before the text of a general refusal."""

PAY_FIELDS = ("url", "moid", "goodName", "buyerName", "buyerEmail", "buyerTel", "price")
SIGNED_V1 = {
    ("/api/v1/formpay", "Pay"): ("moid", "price", "cardNumber"),
    ("/api/v1/billing", "Auth"): ("moid", "price", "cardNumber"),
    ("/api/v1/billing", "Billing"): ("moid", "price", "billKey"),
    ("/api/v1/extra", "Extra"): (),
}
"""Path and type -> what is signed after key, type, paymethod, timestamp, clientIp and mid."""

_numbers = itertools.count(secrets.randbelow(1_000_000))


class Simulator(Base):
    provider: ClassVar[str] = "html5_inicis"
    routes: ClassVar = (
        ("POST", r"/api/v1/formpay", "charge", "key_in"),
        ("POST", r"/api/v1/billing", "charge", "billing"),
        ("POST", r"/api/v1/extra", "find", "state"),
        ("POST", r"/v2/pg/refund", "cancel", "refund"),
        ("POST", r"/v2/pg/partialRefund", "cancel", "partial_refund"),
        ("POST", r"/v2/pg/inquiry", "find", "inquiry"),
    )

    def operation(self, request: Request) -> str | None:
        """One path issues keys and charges them."""
        if request.path == "/api/v1/billing" and (request.form() or {}).get("type") == "Auth":
            return "issue"
        return super().operation(request)

    def authenticate(self, request: Request) -> str:
        fields = _v2(request) if request.path.startswith("/v2/") else _v1(request)
        account = ACCOUNTS.get(str(fields.get("mid")))
        if account is None:
            raise Refusal(GENERAL, "등록되지 않은 상점 아이디입니다.")
        if not re.fullmatch(r"\d{14}", str(fields.get("timestamp"))) or not fields.get("clientIp"):
            raise Refusal("ER0102")
        signing = _signing_v2 if request.path.startswith("/v2/") else _signing_v1
        text = signing(account["iniapi_key"], request, fields)
        if fields.get("hashData") != hashlib.sha512(text.encode()).hexdigest():
            raise Refusal(GENERAL, "hashData 검증에 실패하였습니다.")
        return account["mid"]

    def refuse(self, refusal: Refusal) -> Answer:
        """Always HTTP 200; a failure leaves most fields null."""
        code, text = refusal.code, refusal.message or MESSAGES.get(refusal.code, "실패하였습니다.")
        if code in BRACKETED:
            code, text = GENERAL, f"[{code}] {text}"
        return json_answer(200, {"resultCode": code, "resultMsg": text, "tid": None})

    def usual_refusal(self, operation: str) -> str:
        return {"charge": GENERAL, "issue": GENERAL, "cancel": "ER0102", "find": GENERAL}[operation]

    def key_in(self, account: str, request: Request) -> Answer:
        form = _v1(request)
        if form["cardPoint"] not in {"1", "2"}:
            raise Refusal("ER0102")
        number = self._card(account, form)
        return self._charge(account, form, request, card_outcome(number), masked(number))

    def billing(self, account: str, request: Request) -> Answer:
        form = _v1(request)
        if form["type"] == "Auth":
            return self._issue(account, form, request)
        key = self.books.keys.get(form["billKey"])
        if key is None or key.account != account:
            raise Refusal("1195")
        return self._charge(account, form, request, key.will, key.card)

    def state(self, account: str, request: Request) -> Answer:
        """v1 inquiry: 0 approved, 1 cancelled, 9 none."""
        form = _v1(request)
        if form["paymethod"] != "Inquiry":
            raise Refusal("ERR012")
        charge = self._by_order(account, form.get("oid") or "")
        if charge is None:
            return self._ok({"tid": None, "price": None, "status": "9"})
        status = "1" if charge.balance == 0 else "0"
        return self._ok({"tid": charge.pg_tid, "price": str(charge.amount), "status": status})

    def inquiry(self, account: str, request: Request) -> Answer:
        data = _v2(request)["data"]
        if set(data) == {"tid"}:
            charge = self.books.by_tid(account, data["tid"])
        elif set(data) == {"oid"}:
            charge = self._by_order(account, data["oid"])
        else:
            raise Refusal("ER0102")
        if charge is None or charge.declined_by:
            raise Refusal(GENERAL, "거래내역이 없습니다.")
        return json_answer(200, {"resultCode": "SUCCESS", "resultMsg": "정상처리", **self.payment(charge)})

    def refund(self, account: str, request: Request) -> Answer:
        """The whole charge. It keeps its number."""
        charge = self._cancellable(account, _v2(request)["data"])
        if charge.cancels:
            raise Refusal(GENERAL, "부분취소된 거래는 전체취소가 불가합니다.")
        self._cancel(charge, charge.pg_tid, charge.amount, request)
        now = self.clock.kst()
        return self._ok({"cancelDate": f"{now:%Y%m%d}", "cancelTime": f"{now:%H%M%S}", "cshrCancelNum": None})

    def partial_refund(self, account: str, request: Request) -> Answer:
        data = _v2(request)["data"]
        charge = self._cancellable(account, data)
        amount, left = _amount(data.get("price")), _amount(data.get("confirmPrice"))
        if data.get("currency") != "WON":
            raise Refusal("ER0102")
        if amount == 0 or amount + left != charge.balance:
            raise Refusal(GENERAL, "부분취소 가능금액이 일치하지 않습니다.")
        tid = self._tid(account, "PRTC")
        self._cancel(charge, tid, amount, request)
        now = self.clock.kst()
        return self._ok({
            "tid": tid,
            "prtcTid": charge.pg_tid,
            "prtcPrice": str(amount),
            "prtcRemains": str(left),
            "prtcCnt": str(len(charge.cancels)),
            "prtcType": "1",
            "prtcDate": f"{now:%Y%m%d}",
            "prtcTime": f"{now:%H%M%S}",
        })  # fmt: skip

    def payment(self, charge: Charge) -> dict[str, Any]:
        """As the v2 inquiry shows it."""
        approved = seoul(charge.time)
        whole = next((cancel for cancel in charge.cancels if cancel.pg_tid == charge.pg_tid), None)
        status = {"captured": "APPROVAL", "cancelled": "CANCEL"}.get(charge.state, "PART_CANCEL")
        return {
            "mid": charge.account,
            "tid": charge.pg_tid,
            "oid": charge.order_id,
            "price": str(charge.amount),
            "goodsName": charge.details["goodName"],
            "paymethod": "Card",
            "approvedDate": f"{approved:%Y%m%d}",
            "approvedTime": f"{approved:%H%M%S}",
            "transactionStatus": status,
            "availablePartCancelPrice": str(charge.balance),
            "partCancelTransInfo": [
                {
                    "tid": cancel.pg_tid,
                    "requestDate": f"{seoul(cancel.time):%Y%m%d}",
                    "requestTime": f"{seoul(cancel.time):%H%M%S}",
                    "requestPrice": str(cancel.amount),
                }
                for cancel in charge.cancels
                if cancel is not whole
            ],
            "cancelDate": f"{seoul(whole.time):%Y%m%d}" if whole else None,
            "cancelTime": f"{seoul(whole.time):%H%M%S}" if whole else None,
            "cardInfo": {"approvedNumber": charge.details["approvedNumber"], "currencyCode": "WON"},
        }

    def _issue(self, account: str, form: dict[str, str], request: Request) -> Answer:
        if request.forced:
            raise Refusal(request.forced)
        _check_order(form)
        number = self._card(account, form)
        will = card_outcome(number)
        if will == EXPIRED:
            raise Refusal(GENERAL, WILL_ANSWER[EXPIRED])
        key = self.add_key(account, number)
        return self._ok({"billKey": key.key, "tid": self._tid(account, "BILL"), **_card_fields()})

    def add_key(self, account: str, number: str) -> Key:
        key = Key(account, new_id("", 40), masked(number), card_outcome(number))
        self.books.keys[key.key] = key
        return key

    def _charge(
        self, account: str, form: dict[str, str], request: Request, will: str | None, shown_card: str
    ) -> Answer:
        _check_order(form)
        amount = _amount(form["price"])
        _check_charge(form, amount)
        if ACCOUNTS[account]["order_guard"] == "Y" and self._by_order(account, form["moid"]):
            raise Refusal(GENERAL, "중복된 주문번호입니다.")
        declined_by = request.forced or (GENERAL if will else None)
        charge = Charge(
            account=account,
            order_id=form["moid"],
            pg_tid=self._tid(account, "CARD"),
            amount=amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=shown_card,
            declined_by=declined_by,
            details={"goodName": form["goodName"], "approvedNumber": f"{len(self.books.charges) + 1:08d}"},
        )
        self.books.add(charge)
        if declined_by:
            raise Refusal(declined_by, None if request.forced else WILL_ANSWER[will or ""])
        now = self.clock.kst()
        return self._ok({
            "tid": charge.pg_tid,
            "payDate": f"{now:%Y%m%d}",
            "payTime": f"{now:%H%M%S}",
            "payAuthCode": charge.details["approvedNumber"],
            "payAuthQuota": form["cardQuota"],
            "price": str(charge.amount),
            "prtcCode": "1",
            "detailCode": None,
            **_card_fields(),
        })  # fmt: skip

    def _card(self, account: str, form: dict[str, str]) -> str:
        """The card number, once everything that is encrypted is in order."""
        opened = {name: _decrypt(form.get(name), ACCOUNTS[account]) for name in ENCRYPTED}
        if not re.fullmatch(r"\d{14,16}", opened["cardNumber"]):
            raise Refusal(GENERAL, "카드번호 오류입니다.")
        if not re.fullmatch(r"\d{2}(0[1-9]|1[0-2])", opened["cardExpire"]):
            raise Refusal(GENERAL, "유효기간 오류입니다.")
        if opened["cardExpire"] < f"{self.clock.kst():%y%m}":
            raise Refusal(GENERAL, WILL_ANSWER[EXPIRED])
        if not re.fullmatch(r"\d{6}|\d{10}", opened["regNo"]):
            raise Refusal(GENERAL, "생년월일 또는 사업자번호 오류입니다.")
        if not re.fullmatch(r"\d{2}", opened["cardPw"]):
            raise Refusal(GENERAL, "비밀번호 오류입니다.")
        if card_outcome(opened["cardNumber"]) == EXPIRED:
            raise Refusal(GENERAL, WILL_ANSWER[EXPIRED])
        return opened["cardNumber"]

    def _by_order(self, account: str, order_id: str) -> Charge | None:
        if ACCOUNTS[account]["order_guard"] != "Y":
            return None
        charge = self.books.find(account, order_id)
        return None if charge is None or charge.declined_by else charge

    def _cancellable(self, account: str, data: dict[str, Any]) -> Charge:
        if not data.get("msg") or len(data["msg"].encode()) > 100:
            raise Refusal("ER0102")
        charge = self.books.by_tid(account, str(data.get("tid")))
        if charge is None or charge.declined_by:
            raise Refusal(GENERAL, "원거래가 없습니다.")
        if charge.balance == 0:
            raise Refusal("500626")
        return charge

    def _cancel(self, charge: Charge, tid: str, amount: int, request: Request) -> None:
        reason = _v2(request)["data"]["msg"]
        charge.cancels.append(Cancel(tid, tid, amount, self.clock.now(), reason))

    def _tid(self, account: str, kind: str) -> str:
        """40 characters, the last six counted here."""
        return f"INIAPI{kind}{account}{self.clock.kst():%Y%m%d%H%M%S}{next(_numbers) % 1_000_000:06d}"

    def _ok(self, value: dict[str, Any]) -> Answer:
        return json_answer(200, {"resultCode": "00", "resultMsg": MESSAGES["00"], **value})


def window_key(sandbox: Any, card_number: str, credentials: Mapping[str, str] = TEST_CREDENTIALS) -> dict[str, str]:
    """A key as the billing window makes one, which knows nothing of the buyer."""
    with sandbox.simulator.lock:
        return {"bill_key": sandbox.simulator.add_key(credentials["mid"], card_number).key}


ENCRYPTED = ("cardNumber", "cardExpire", "regNo", "cardPw")


def _card_fields() -> dict[str, str]:
    return {"cardCode": "12", "cardName": "삼성카드", "checkFlg": "0"}


def _v1(request: Request) -> dict[str, str]:
    form = request.form()
    if form is None or not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refusal("ER0102")
    return form


def _v2(request: Request) -> dict[str, Any]:
    body = request.json()
    if body is None or not request.headers.get("content-type", "").startswith("application/json"):
        raise Refusal("ER0102")
    if not isinstance(body.get("data"), dict) or not all(isinstance(value, str) for value in body["data"].values()):
        raise Refusal("ER0102")
    return body


def _signing_v1(key: str, request: Request, form: dict[str, str]) -> str:
    """Case matters in `type` and `paymethod`."""
    kind, method = form.get("type", ""), form.get("paymethod", "")
    signed = SIGNED_V1.get((request.path, kind))
    if signed is None or method not in {"Card", "Inquiry"}:
        raise Refusal("ERR012")
    if not all(form.get(name) for name in signed):
        raise Refusal("ER0102")
    names = ("timestamp", "clientIp", "mid", *signed)
    return "".join([key, kind, method, *(form[name] for name in names)])


def _signing_v2(key: str, request: Request, body: dict[str, Any]) -> str:
    """`data` as it stands in the body, letter for letter."""
    kind = request.path.rpartition("/")[2]
    if body.get("type") != kind:
        raise Refusal("ERR012")
    text = request.body.decode().partition('"data":')[2].lstrip()
    _, end = json.JSONDecoder().raw_decode(text)
    return f"{key}{body['mid']}{kind}{body['timestamp']}{text[:end]}"


def _check_order(form: dict[str, str]) -> None:
    if not all(form.get(name) for name in PAY_FIELDS):
        raise Refusal("ER0102")
    if len(form["goodName"].encode()) > 40 or len(form["buyerName"].encode()) > 30 or len(form["moid"]) > 40:
        raise Refusal("ER0102")


def _check_charge(form: dict[str, str], amount: int) -> None:
    if form.get("authentification") != "00" or form.get("currency") != "WON":
        raise Refusal("ER0102")
    if not re.fullmatch(r"\d{2}", form.get("cardQuota", "")) or form.get("quotaInterest") not in {"0", "1"}:
        raise Refusal("ER0102")
    if amount == 0:
        raise Refusal(GENERAL, "결제금액 오류입니다.")
    if int(form["cardQuota"]) >= 2 and amount < 50_000:
        raise Refusal(GENERAL, "할부가 불가한 거래입니다.")


def _amount(value: object) -> int:
    if not re.fullmatch(r"\d{1,12}", str(value)):
        raise Refusal("ER0102")
    return int(str(value))


def _decrypt(text: str | None, account: Mapping[str, str]) -> str:
    """AES-128-CBC; key and IV are the 16 bytes of the texts as they are."""
    cipher = Cipher(algorithms.AES(account["iniapi_key"].encode()), modes.CBC(account["iniapi_iv"].encode()))
    try:
        decryptor, unpadder = cipher.decryptor(), padding.PKCS7(128).unpadder()
        padded = decryptor.update(base64.b64decode(text or "", validate=True)) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        raise Refusal("ER0102") from None
