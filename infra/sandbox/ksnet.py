"""KSNET: key-in with and without a check of the holder, cancels by its number and by the merchant's order number.

Source: KSNET's public API documentation. Our own reading, since it is silent: every `respCode` but 8326, 6003 and 7003
(their texts are worded like the published ones), that a repeated order number is charged again, that a full cancel is
refused after a partial one, that `cancelSeq` must be the next number, and what a second cancel is answered.
"""

import base64
import itertools
import re
from datetime import timedelta
from typing import Any, ClassVar

from infra.sandbox.server import (
    EXPIRED,
    NO_FUNDS,
    STOLEN,
    Answer,
    Cancel,
    Charge,
    Refusal,
    Request,
    card_outcome,
    json_answer,
    masked,
    seoul,
)
from infra.sandbox.server import Simulator as Base

TEST_CREDENTIALS = {
    "mid": "2999199999",
    "api_key": "Mjk5OTE5OTk5OTpNQTAxOkE0RTc2QkRBMzM3RENDQTk1Mjk4RkI0OTVBODREMzY5",
    "old_cert": "Y",
}
"""Number and key of the documentation's examples."""
OTHER_CREDENTIALS = {
    "mid": "2999199990",
    "api_key": base64.b64encode(b"2999199990:MA01:00000000000000000000000000000000").decode(),
    "old_cert": "N",
}
"""A second merchant, whose contract has no check of the holder: sees nothing of the first."""

ACCOUNTS = {credentials["api_key"]: credentials for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS)}

CANCEL_DAYS = 183

WILL_ANSWER = {STOLEN: "8350", NO_FUNDS: "8390", EXPIRED: "8314"}

MESSAGES = {
    "A0200": "Success",
    "A0201": "Fail",
    "A0400": "요청 파라미터 오류",
    "A0401": "인증 오류",
    "A0403": "프로토콜 오류",
    "A0500": "서버 오류",
    "A0999": "기타 오류",
    "6003": "비밀번호오류/비밀번호확인요망",
    "7001": "취소거절/취소원거래없음",
    "7002": "취소거절/기취소거래",
    "7003": "취소거절기간경과/Tel:1544-6030",
    "7004": "취소거절/취소금액초과",
    "7005": "취소거절/부분취소거래",
    "7006": "취소거절/취소일련번호오류",
    "8037": "승인거절/카드번호오류",
    "8314": "승인거절/유효기간경과카드",
    "8326": "승인거절/월사용한도초과",
    "8350": "승인거절/도난분실카드",
    "8390": "승인거절/잔액부족",
    "8381": "승인거절/할부개월오류",
}

_tids = itertools.count(1)


class Simulator(Base):
    provider: ClassVar[str] = "ksnet"
    routes: ClassVar = (
        ("POST", r"/kspay/webfep/api/v1/card/pay/noncert", "charge", "noncert"),
        ("POST", r"/kspay/webfep/api/v1/card/pay/oldcert", "charge", "oldcert"),
        ("POST", r"/kspay/webfep/api/v1/card/cancel", "cancel", "cancel"),
    )

    def authenticate(self, request: Request) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        account = ACCOUNTS.get(key)
        if scheme != "pgapi" or account is None:
            raise Refusal("A0401")
        return account["mid"]

    def refuse(self, refusal: Refusal) -> Answer:
        """Four digits are a trade's, the others the API's own. Where a trade has failed, `message` is its payload."""
        if not re.fullmatch(r"\d{4}", refusal.code):
            return self._answer(refusal.code, None, refusal.message)
        failed = {
            "payload": refusal.message or "",
            "tid": f"L{next(_tids):011d}",
            "tradeDateTime": self._time(),
            "totalAmount": "",
            "cancelAmount": "",
            "respCode": refusal.code,
            "respMessage": MESSAGES.get(refusal.code, "처리불가"),
            "issuerCardName": "미등록카드사",
            "approvalNumb": "",
            "cardNumb": "",
        }
        return self._answer("A0201", failed)

    def usual_refusal(self, operation: str) -> str:
        return {"charge": "8326", "cancel": "7003"}[operation]

    def noncert(self, mid: str, request: Request) -> Answer:
        return self._charge(mid, _body(mid, request, *ORDER), request)

    def oldcert(self, mid: str, request: Request) -> Answer:
        if next(a for a in ACCOUNTS.values() if a["mid"] == mid)["old_cert"] != "Y":
            raise Refusal("A0401", "계약되지 않은 서비스입니다.")
        body = _body(mid, request, *ORDER, "password2", "userInfo")
        if not re.fullmatch(r"\d{2}", body["password2"]) or not re.fullmatch(r"\d{6}|\d{10}", body["userInfo"]):
            raise Refusal("6003", body["payload"])
        return self._charge(mid, body, request)

    def cancel(self, mid: str, request: Request) -> Answer:
        body = _body(mid, request, "cancelType", "orgTradeKeyType", "orgTradeKey")
        payload = body["payload"]
        charge = self._original(mid, body)
        if charge is None or charge.declined_by:
            raise Refusal("7001", payload)
        if seoul(self.clock.now()) > seoul(charge.time) + timedelta(days=CANCEL_DAYS):
            raise Refusal("7003", payload)
        if charge.balance == 0:
            raise Refusal("7002", payload)
        amount = charge.balance
        if body["cancelType"] == "PARTIAL":
            amount = _part(body, charge)
        elif body["cancelType"] != "FULL":
            raise Refusal("A0400")
        elif charge.cancels:
            raise Refusal("7005", payload)
        aid = self._aid()
        charge.cancels.append(Cancel(payload, aid, amount, self.clock.now()))
        done = {"cancelAmount": _wire_amount(amount, charge.currency), "respMessage": "승인취소완료/매입취소요청"}
        return self._answer("A0200", self._data(charge, payload) | done, aid=aid)

    def _original(self, mid: str, body: dict[str, str]) -> Charge | None:
        if body["orgTradeKeyType"] == "TID":
            return self.books.by_tid(mid, body["orgTradeKey"])
        day = body.get("orgTradeDate", "")
        if body["orgTradeKeyType"] != "ORDER_NUMB" or not re.fullmatch(r"\d{8}", day):
            raise Refusal("A0400")
        charge = self.books.find(mid, body["orgTradeKey"])
        return charge if charge and f"{seoul(charge.time):%Y%m%d}" == day else None

    def _charge(self, mid: str, body: dict[str, str], request: Request) -> Answer:
        _check_order(body)
        code = request.forced or self._card_refusal(body) or WILL_ANSWER.get(card_outcome(body["cardNumb"]) or "")
        charge = Charge(
            account=mid,
            order_id=body["orderNumb"],
            pg_tid=f"{next(_tids):012d}",
            amount=_minor_units(body["totalAmount"], body["currencyType"]) + request.surplus,
            currency=body["currencyType"],
            time=self.clock.now(),
            card=masked(body["cardNumb"]) if len(body["cardNumb"]) >= 14 else "",
            declined_by=code,
            details={"userName": body["userName"], "productName": body["productName"], "path": request.path},
        )
        self.books.add(charge)
        if code:
            raise Refusal(code, body["payload"] if code.isdigit() else None)
        total = {"totalAmount": _wire_amount(charge.amount, charge.currency), "respMessage": "현대카드/OK: 00112345"}
        return self._answer("A0200", self._data(charge, body["payload"]) | total)

    def _card_refusal(self, body: dict[str, str]) -> str | None:
        if not re.fullmatch(r"\d{14,16}", body["cardNumb"]):
            return "8037"
        if not re.fullmatch(r"\d{2}(0[1-9]|1[0-2])", body["expiryDate"]) or body["expiryDate"] < self._time()[2:6]:
            return "8314"
        small = body["currencyType"] != "KRW" or int(body["totalAmount"]) < 50_000
        return "8381" if body["installMonth"] != "00" and small else None

    def _data(self, charge: Charge, payload: str) -> dict[str, str]:
        return {
            "payload": payload,
            "tid": charge.pg_tid,
            "tradeDateTime": self._time(),
            "respCode": "0000",
            "issuerCardType": "HYUNDAI",
            "issuerCardName": "현대카드",
            "purchaseCardType": "HYUNDAI",
            "purchaseCardName": "현대카드",
            "approvalNumb": charge.pg_tid[-8:],
            "cardNumb": f"{charge.card[:8]}XXXX{charge.card[-4:-1]}X",
            "expiryDate": "",
            "installMonth": "",
            "cardType": "CREDIT",
            "partCancelYn": "Y",
        }

    def _answer(
        self, code: str, data: dict[str, str] | None, message: str | None = None, aid: str | None = None
    ) -> Answer:
        text = message or MESSAGES.get(code, "알 수 없는 응답입니다.")
        return json_answer(200, {"aid": aid or self._aid(), "code": code, "message": text, "data": data})

    def _aid(self) -> str:
        return f"WFVCCSE{next(_tids):017d}"

    def _time(self) -> str:
        return f"{self.clock.kst():%Y%m%d%H%M%S}"


# --- requests ---------------------------------------------------------------------------------------------------

ORDER = (
    "orderNumb", "userName", "productType", "productName", "totalAmount", "cardNumb", "expiryDate", "installMonth",
    "currencyType",
)  # fmt: skip

SIZES = {
    "mid": 10, "orderNumb": 50, "userName": 50, "userEmail": 50, "productType": 10, "productName": 50,
    "totalAmount": 9, "taxFreeAmount": 9, "tax": 9, "cardNumb": 20, "expiryDate": 4, "installMonth": 2,
    "currencyType": 3, "password2": 2, "userInfo": 10, "cancelType": 10, "orgTradeKeyType": 10, "orgTradeKey": 50,
    "orgTradeDate": 8, "cancelTotalAmount": 9, "cancelTaxFreeAmount": 9, "cancelSeq": 1,
}  # fmt: skip


def _body(mid: str, request: Request, *required: str) -> dict[str, str]:
    """All texts, of the characters that the issuers' networks know: two bytes each in EUC-KR."""
    body: dict[str, Any] | None = request.json()
    if body is None or not request.headers.get("content-type", "").startswith("application/json"):
        raise Refusal("A0403")
    if not all(isinstance(value, str) for value in body.values()):
        raise Refusal("A0400")
    if body.get("mid") != mid:
        raise Refusal("A0401")
    missing = [name for name in required if not body.get(name)]
    if missing:
        raise Refusal("A0400", f"{missing[0]} 필수값 누락")
    for name, text in body.items():
        try:
            letters = [letter.encode("euc-kr") for letter in text]
        except UnicodeEncodeError:
            raise Refusal("A0400", f"{name} 문자 오류") from None
        if any(len(letter) > 2 for letter in letters) or sum(map(len, letters)) > SIZES.get(name, 4000):
            raise Refusal("A0400", f"{name} 길이 오류")
    return {"payload": "", **body}


def _check_order(body: dict[str, str]) -> None:
    amounts = [body.get(name, "0") for name in ("totalAmount", "taxFreeAmount", "tax")]
    if not all(re.fullmatch(r"\d{1,9}", amount) for amount in amounts) or int(amounts[0]) == 0:
        raise Refusal("A0400", "금액 오류")
    if int(amounts[1]) > int(amounts[0]):
        raise Refusal("A0400", "면세금액 오류")
    if body["productType"] not in ("REAL", "DIGITAL") or body["currencyType"] not in ("KRW", "USD"):
        raise Refusal("A0400", "구분값 오류")
    if not re.fullmatch(r"\d{2}", body["installMonth"]):
        raise Refusal("A0400", "할부개월 형식 오류")


def _part(body: dict[str, str], charge: Charge) -> int:
    if not re.fullmatch(r"\d{1,9}", body.get("cancelTotalAmount", "")):
        raise Refusal("A0400", "cancelTotalAmount 오류")
    if body.get("cancelSeq") != str(len(charge.cancels) + 1) or len(charge.cancels) == 9:
        raise Refusal("7006", body["payload"])
    amount = _minor_units(body["cancelTotalAmount"], charge.currency)
    if not 0 < amount <= charge.balance:
        raise Refusal("7004", body["payload"])
    return amount


def _minor_units(text: str, currency: str) -> int:
    """A dollar is written as 1000."""
    units, rest = divmod(int(text), 1 if currency == "KRW" else 10)
    if rest:
        raise Refusal("A0400", "금액 오류")
    return units


def _wire_amount(amount: int, currency: str) -> str:
    return str(amount if currency == "KRW" else amount * 10)
