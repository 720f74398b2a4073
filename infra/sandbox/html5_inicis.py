"""KG Inicis, server API (INIAPI): key-in, billing keys, refund, inquiry; v1 in forms, v2 in JSON. And its windows.

Source: Inicis's manual as public notes quote it, its samples, and public clients. Our own reading, since all of them
are silent: every wording of a refusal but that of an unknown key, what a wrong hash is answered, and what v2 says of an
order that is not there. That the guard lets a declined order number be used again, too.

The windows: forms, signatures, returns and approvals are as public notes and clients have them. Our own
reading: every code and wording of a refusal, that a token is good for one approval, that a phone's answer is not
escaped, that its number stays the payment's, and the states of a virtual account in v2's inquiry (v1's letters).

Like the real one it compares `clientIp` with nothing, takes no JSON at v1 and no form at v2, and charges the same order
twice unless the merchant has the contract against it.
"""

import base64
import hashlib
import hmac
import itertools
import json
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl

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
    VirtualAccounts,
    card_outcome,
    json_answer,
    masked,
    new_id,
    seoul,
)
from infra.sandbox.windows import Action, Go, Visit, Windows

SHOP = {
    "site_url": "https://shop.example",
    "client_ip": "203.0.113.10",
    "notice_url": "https://router.example/api/notices/imp00000000/channel-key-1",
}
SIGN_KEY = "SU5JTElURV9UUklQTEVERVNfS0VZU1RS"

# The vendor's published test merchants.
TEST_CREDENTIALS = {
    "mid": "INIBillTst",
    "iniapi_key": "rKnPljRn5m6J9Mzz",
    "iniapi_iv": "W2KLNKra6Wxc1P==",
    "sign_key": SIGN_KEY,
    "inilite_key": "b09LVzhuTGZVaEY1WmJoQnZzdXpRdz09",
    "hash_key": "0123456789ABCDEF0123456789ABCDEF",  # the one that is not published: made up
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
    "sign_key": SIGN_KEY,
    "hash_key": "37F3A120C1DFCDEB708B00F5383D2263",
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

PC_METHODS = {"Card": "card", "DirectBank": "trans", "VBank": "vbank", "HPP": "phone"}
PHONE_METHODS = {"CARD": "card", "BANK": "trans", "VBANK": "vbank", "MOBILE": "phone"}
KINDS = {"card": "CARD", "trans": "DBNK", "vbank": "VBNK", "phone": "HPP_"}
"""In the number of a payment."""
PC_FIELDS = (
    "version", "gopaymethod", "mid", "oid", "price", "timestamp", "use_chkfake", "signature", "verification", "mKey",
    "currency", "goodname", "buyername", "buyertel", "buyeremail", "returnUrl", "charset", "acceptmethod",
)  # fmt: skip
PHONE_FIELDS = (
    "P_INI_PAYMENT", "P_MID", "P_OID", "P_AMT", "P_GOODS", "P_UNAME", "P_NEXT_URL", "P_TIMESTAMP", "P_CHKFAKE",
    "P_RESERVED",
)  # fmt: skip
WINDOW_CARD = "5361480012345671"
LEFT = "사용자가 결제를 취소하셨습니다"
NOT_SHOWN = "본인확인에 실패하였습니다."
USED = "이미 승인된 인증정보입니다."
"""A second approval of the same authentication."""

SCRIPT = """
window.INIStdPay = {
  pay(id) {
    const form = document.getElementById(id);
    sandboxWindow.open(Object.fromEntries(new FormData(form)), () => {}).catch(({message}) => alert(message));
  },
  viewOff() {},
};
"""

_numbers = itertools.count(secrets.randbelow(1_000_000))


class Simulator(Windows, VirtualAccounts):
    provider: ClassVar[str] = "html5_inicis"
    label: ClassVar[str] = "KG이니시스"
    scripts: ClassVar = {"/stdjs/INIStdPay.js": SCRIPT}
    forms: ClassVar = {"/smart/payment/": "euc-kr"}
    notice_form: ClassVar[str | None] = "euc-kr"
    notice_wants: ClassVar[str | None] = r"\AOK\Z"
    routes: ClassVar = (
        ("POST", r"/api/v1/formpay", "charge", "key_in"),
        ("POST", r"/api/v1/billing", "charge", "billing"),
        ("POST", r"/api/v1/extra", "find", "state"),
        ("POST", r"/v2/pg/refund", "cancel", "refund"),
        ("POST", r"/v2/pg/partialRefund", "cancel", "partial_refund"),
        ("POST", r"/v2/pg/refund/vacct", "cancel", "refund"),
        ("POST", r"/v2/pg/partialRefund/vacct", "cancel", "partial_refund"),
        ("POST", r"/v2/pg/inquiry", "find", "inquiry"),
        ("POST", r"/api/payAuth", "charge", "approve_pc"),
        ("POST", r"/smart/payReq.ini", "charge", "approve_phone"),
    )
    answers_phone = False
    """What is being answered is a phone's approval, which is no JSON."""

    def operation(self, request: Request) -> str | None:
        """One path issues keys and charges them."""
        if request.path == "/api/v1/billing" and (request.form() or {}).get("type") == "Auth":
            return "issue"
        return super().operation(request)

    def authenticate(self, request: Request) -> str:
        self.answers_phone = request.path.startswith("/smart/")
        if self.answers_phone or request.path == "/api/payAuth":
            return _window_account(_v1(request))
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
        if self.answers_phone:
            return _text_answer({"P_STATUS": code, "P_RMESG1": text})
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
        status = "1" if charge.balance == 0 and not charge.unpaid else "0"
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
        self.refresh(charge)
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
            "paymethod": next(word for word, method in PC_METHODS.items() if method == _method(charge)),
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
            "cardInfo": (
                {"approvedNumber": charge.details["approvedNumber"], "currencyCode": "WON"}
                if _method(charge) == "card"
                else None
            ),
            "vacctInfo": _account(charge) if _method(charge) == "vbank" else None,
        }

    # the windows

    def arrive(self, params: dict[str, Any]) -> Visit:
        """With the form that INIStdPay reads, or the one that a phone posts."""
        return self._arrive_on_phone(params) if "P_MID" in params else self._arrive_on_pc(params)

    def _arrive_on_pc(self, params: dict[str, Any]) -> Visit:
        account, method = ACCOUNTS.get(params.get("mid", "")), PC_METHODS.get(params.get("gopaymethod", ""))
        if account is None or method is None or not all(params.get(name) for name in PC_FIELDS):
            raise Refusal("V001", "필수 변수의 값이 없습니다.")
        key, signed = account["sign_key"], {name: params[name] for name in ("oid", "price", "timestamp")}
        if (params["signature"], params["verification"], params["mKey"]) != (
            _sha256(signed), _sha256({**signed, "signKey": key}), hashlib.sha256(key.encode()).hexdigest(),
        ):  # fmt: skip
            raise Refusal("V002", "signature 검증에 실패하였습니다.")
        if (
            params["use_chkfake"] != "Y"
            or params["currency"] != "WON"
            or not re.fullmatch(r"\d{13}", params["timestamp"])
        ):
            raise Refusal("V003", "변수의 값이 올바르지 않습니다.")
        _check_lengths(params, {"goodname": 40, "buyername": 30, "buyertel": 20, "buyeremail": 60, "oid": 40})
        options = params["acceptmethod"].split(":")
        if "centerCd(Y)" not in options or (method == "phone" and not {"HPP(1)", "HPP(2)"} & set(options)):
            raise Refusal("V004", "acceptmethod 값이 올바르지 않습니다.")
        due = next((option[6:-1] for option in options if option.startswith("vbank(")), "")
        return self._visit(params, account["mid"], "oid", "price", "goodname", method, due)

    def _arrive_on_phone(self, params: dict[str, Any]) -> Visit:
        account, method = ACCOUNTS.get(params["P_MID"]), PHONE_METHODS.get(params.get("P_INI_PAYMENT", ""))
        if account is None or method is None or not all(params.get(name) for name in PHONE_FIELDS):
            raise Refusal("MX1001", "필수 값이 없습니다.")
        _check_phone_hash(account, params)
        _check_lengths(params, {"P_GOODS": 80, "P_UNAME": 30, "P_OID": 40}, "euc-kr")
        options = dict(parse_qsl(params["P_RESERVED"]))
        if any(options.get(name) != "Y" for name in ("centerCd", "amt_hash", "twotrs_isp", "twotrs_bank")):
            raise Refusal("MX1002", "P_RESERVED 값이 올바르지 않습니다.")
        if method == "phone" and params.get("P_HPP_METHOD") not in ("1", "2"):
            raise Refusal("MX1006", "휴대폰 상품유형이 올바르지 않습니다.")
        if method == "vbank" and not params.get("P_NOTI_URL"):
            raise Refusal("MX1004", "P_NOTI_URL이 없습니다.")
        due = params.get("P_VBANK_DT", "") + params.get("P_VBANK_TM", "")
        return self._visit(params, params["P_MID"], "P_OID", "P_AMT", "P_GOODS", method, due)

    def _visit(
        self, params: dict[str, Any], account: str, order: str, price: str, name: str, method: str, due: str
    ) -> Visit:
        amount = _amount(params[price])
        if not amount:
            raise Refusal("V005", "결제금액 오류입니다.")
        details = {"params": params, "on_phone": "P_MID" in params, "due": self._due(due)}
        return Visit(account, params[order], amount, "KRW", method, params[name], details)

    def _due(self, text: str) -> float:
        """YYYYMMDDhhmm, or ten days from now."""
        end = text or f"{self.clock.kst() + timedelta(days=10):%Y%m%d}2359"
        return datetime.strptime(f"{end}+0900", "%Y%m%d%H%M%z").timestamp()

    def leave(self, visit: Visit, action: Action) -> Go:
        """Also of a buyer who left it speaks at the return URL."""
        given, message = visit.details["params"], LEFT if action == "cancel" else NOT_SHOWN
        if visit.details["on_phone"]:
            fields = {"P_STATUS": GENERAL, "P_RMESG1": message, "P_NOTI": given.get("P_NOTI", "")}
            if action == "approve":
                tid = visit.details["tid"] = self._tid(visit.account, KINDS[visit.method], "INIMX_")
                fields |= {
                    "P_STATUS": "00",
                    "P_RMESG1": "성공",
                    "P_TID": tid,
                    "P_AMT": str(visit.amount),
                    "P_REQ_URL": f"{self.url}/smart/payReq.ini",
                    "idc_name": "stg",
                }
            return Go(given["P_NEXT_URL"], fields)
        fields = {"resultCode": GENERAL, "resultMsg": message, "mid": visit.account, "orderNumber": visit.order_id}
        if action == "approve":
            visit.details["token"] = secrets.token_urlsafe(200)
            fields |= {
                "resultCode": "0000",
                "resultMsg": "성공",
                "authToken": visit.details["token"],
                "authUrl": f"{self.url}/api/payAuth",
                "netCancelUrl": f"{self.url}/api/netCancel",
                "checkAckUrl": f"{self.url}/api/checkAck",
                "idc_name": "stg",
                "charset": "UTF-8",
                "merchantData": "",
            }
        return Go(given["returnUrl"], fields)

    def approve_pc(self, account: str, request: Request) -> Answer:
        form = _v1(request)
        visit = self._authenticated(account, "token", form.get("authToken"))
        if form.get("format") != "JSON" or form.get("charset") != "UTF-8":
            raise Refusal("ER0102")
        if form.get("price") and _amount(form["price"]) != visit.amount:
            raise Refusal("R202", "결제금액이 일치하지 않습니다.")
        charge = self._take(visit, request, "Stdpay")
        price, approved = str(charge.amount), seoul(charge.time)
        signed = {"MOID": visit.order_id, "mid": account, "TotPrice": price, "tstamp": form["timestamp"]}
        answer = {
            "resultCode": "0000",
            "resultMsg": "정상처리되었습니다.",
            "tid": charge.pg_tid,
            "MOID": visit.order_id,
            "mid": account,
            "TotPrice": price,
            "goodName": visit.name,
            "payMethod": visit.details["params"]["gopaymethod"],
            "applDate": f"{approved:%Y%m%d}",
            "applTime": f"{approved:%H%M%S}",
            "currency": "WON",
            "authSignature": _pairs_sha256(signed, AUTH_ORDERS[int(form["timestamp"][-1])]),
        }
        if visit.method == "card":
            answer |= {"applNum": charge.details["approvedNumber"], "CARD_Num": charge.card, "CARD_Code": "12"}
            answer |= {"CARD_Quota": "00", "CARD_CheckFlag": "0", "CARD_SrcCode": ""}
        elif visit.method == "trans":
            answer |= {"ACCT_BankCode": "88"}
        elif visit.method == "vbank":
            due = seoul(charge.details["due"])
            answer |= {"VACT_Num": charge.details["number"], "VACT_BankCode": "88", "VACT_Name": "（주）케이지이니시스"}
            answer |= {"VACT_Date": f"{due:%Y%m%d}", "VACT_Time": f"{due:%H%M%S}"}
        return json_answer(200, answer)

    def approve_phone(self, account: str, request: Request) -> Answer:
        """Not signed: whoever has the number can do it."""
        visit = self._authenticated(account, "tid", _v1(request).get("P_TID"))
        charge = self._take(visit, request, "INIMX_")
        answer = {
            "P_STATUS": "00",
            "P_AUTH_DT": f"{seoul(charge.time):%Y%m%d%H%M%S}",
            "P_AUTH_NO": charge.details["approvedNumber"],
            "P_RMESG1": "정상승인",
            "P_TID": charge.pg_tid,
            "P_MID": account,
            "P_OID": visit.order_id,
            "P_AMT": str(charge.amount),
            "P_TYPE": visit.details["params"]["P_INI_PAYMENT"],
            "P_UNAME": visit.details["params"]["P_UNAME"],
            "P_NOTI": visit.details["params"].get("P_NOTI", ""),
        }
        if visit.method == "card":
            answer |= {"P_FN_CD1": "12", "P_CARD_NUM": charge.card, "P_CARD_CHECKFLAG": "0", "P_SRC_CODE": ""}
        elif visit.method == "trans":
            answer |= {"P_FN_CD1": "88"}
        elif visit.method == "vbank":
            due = seoul(charge.details["due"])
            answer |= {"P_VACT_NUM": charge.details["number"], "P_VACT_BANK_CODE": "88", "P_VACT_NAME": "이니시스"}
            answer |= {"P_VACT_DATE": f"{due:%Y%m%d}", "P_VACT_TIME": f"{due:%H%M%S}"}
        return _text_answer(answer)

    def _authenticated(self, account: str, name: str, value: str | None) -> Visit:
        """The visit that the buyer has agreed in."""
        visit = next((v for v in self.visits.values() if value and v.details.get(name) == value), None)
        if visit is None or (visit.account, visit.outcome) != (account, "approve"):
            raise Refusal("R201", "유효하지 않은 인증정보입니다.")
        return visit

    def _take(self, visit: Visit, request: Request, prefix: str) -> Charge:
        if visit.details.get("charge"):
            raise Refusal("R301", USED)
        will = visit.details.get("will")
        tid = visit.details.get("tid") or self._tid(visit.account, KINDS[visit.method], prefix)
        charge = Charge(
            account=visit.account,
            order_id=visit.order_id,
            pg_tid=tid,
            amount=visit.amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=masked(WINDOW_CARD) if visit.method == "card" else "",
            declined_by=request.forced or (GENERAL if will else None),
            details={
                "method": visit.method,
                "goodName": visit.name,
                "approvedNumber": f"{len(self.books.charges) + 1:08d}",
                "on_phone": visit.details["on_phone"],
            },
        )
        if visit.method == "vbank":
            charge.details |= {"due": visit.details["due"], "number": f"5621{next(_numbers):010d}"}
            charge.unpaid = None if charge.declined_by else "waiting"
        visit.details["charge"] = charge
        self.books.add(charge)
        if charge.declined_by:
            raise Refusal(charge.declined_by, None if request.forced else WILL_ANSWER[will or ""])
        return charge

    def deposit(self, charge: Charge) -> None:
        charge.unpaid = None
        charge.details["paid_at"] = self.clock.now()

    def reverse(self, charge: Charge) -> None:
        charge.unpaid = "waiting"
        del charge.details["paid_at"]

    def notice(self, charge: Charge) -> dict[str, Any]:
        """A deposit has a number of its own."""
        now = self.clock.kst()
        if charge.details["on_phone"]:
            return {
                "P_STATUS": "02",
                "P_TID": charge.pg_tid,
                "P_TYPE": "VBANK",
                "P_AUTH_DT": f"{now:%Y%m%d%H%M%S}",
                "P_MID": charge.account,
                "P_OID": charge.order_id,
                "P_FN_NM": "신한은행",
                "P_AMT": str(charge.amount),
                "P_UNAME": "홍길동",
                "P_RMESG1": f"P_VACCT_NO={charge.details['number']}|P_EXP_DT=20991231",
            }
        return {
            "no_tid": self._tid(charge.account, "VBNK", "ININPG"),
            "no_oid": charge.order_id,
            "id_merchant": charge.account,
            "cd_bank": "00000088",
            "cd_deal": "00000088",
            "dt_trans": f"{now:%Y%m%d}",
            "tm_trans": f"{now:%H%M%S}",
            "no_msgseq": "9000000582",
            "type_msg": "0400" if charge.unpaid else "0200",
            "no_vacct": charge.details["number"],
            "amt_input": str(charge.amount),
            "nm_inputbank": "신한은행",
            "nm_input": "홍길동",
            "flg_close": "0",
            "no_req_tid": charge.pg_tid,
        }

    # what follows a charge

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
        if charge.unpaid:
            raise Refusal(GENERAL, "입금되지 않은 거래입니다.")
        if charge.balance == 0:
            raise Refusal("500626")
        if _method(charge) == "vbank":
            _check_refund_account(account, data)
        return charge

    def _cancel(self, charge: Charge, tid: str, amount: int, request: Request) -> None:
        reason = _v2(request)["data"]["msg"]
        charge.cancels.append(Cancel(tid, tid, amount, self.clock.now(), reason))

    def _tid(self, account: str, kind: str, service: str = "INIAPI") -> str:
        """40 characters, the last six counted here."""
        return f"{service}{kind}{account}{self.clock.kst():%Y%m%d%H%M%S}{next(_numbers) % 1_000_000:06d}"

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
    kind = request.path.split("/")[3]  # also of /v2/pg/refund/vacct
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


# --- the windows ------------------------------------------------------------------------------------------------

AUTH_ORDERS = tuple(
    order.split()
    for order in (
        "TotPrice tstamp MOID", "MOID mid tstamp", "MOID tstamp mid", "mid MOID tstamp", "mid tstamp MOID",
        "tstamp mid MOID", "tstamp MOID mid", "TotPrice mid tstamp", "TotPrice tstamp mid", "TotPrice MOID tstamp",
    )
)  # fmt: skip
"""What authSignature covers, by the last digit of the approval's time."""


def _window_account(form: dict[str, str]) -> str:
    """Who asks for an approval. A PC's is signed; a phone's is not."""
    account = ACCOUNTS.get(form.get("mid") or form.get("P_MID") or "")
    if account is None:
        raise Refusal(GENERAL, "등록되지 않은 상점 아이디입니다.")
    if "mid" in form:
        signed = {name: form.get(name, "") for name in ("authToken", "timestamp")}
        verified = _sha256({**signed, "signKey": account["sign_key"]})
        if (form.get("signature"), form.get("verification")) != (_sha256(signed), verified):
            raise Refusal("R101", "signature 검증에 실패하였습니다.")
    return account["mid"]


def _sha256(fields: Mapping[str, str]) -> str:
    return _pairs_sha256(fields, sorted(fields))


def _pairs_sha256(fields: Mapping[str, str], names: list[str]) -> str:
    return hashlib.sha256("&".join(f"{name}={fields[name]}" for name in names).encode()).hexdigest()


def _check_phone_hash(account: Mapping[str, str], form: Mapping[str, str]) -> None:
    text = "".join(form.get(name, "") for name in ("P_AMT", "P_OID", "P_TIMESTAMP")) + account["hash_key"]
    wanted = base64.b64encode(hashlib.sha512(text.encode()).digest()).decode()
    if not hmac.compare_digest(form.get("P_CHKFAKE", ""), wanted):
        raise Refusal("MX1010", "P_CHKFAKE 검증에 실패하였습니다.")


def _check_lengths(params: Mapping[str, str], limits: Mapping[str, int], encoding: str = "utf-8") -> None:
    for name, limit in limits.items():
        if len(params[name].encode(encoding, errors="replace")) > limit:
            raise Refusal("V006", f"{name}의 길이가 올바르지 않습니다.")


def _check_refund_account(account: str, data: Mapping[str, str]) -> None:
    number = _decrypt(data.get("refundAcctNum"), ACCOUNTS[account])
    if not re.fullmatch(r"\d{6,20}", number) or not re.fullmatch(r"\d{2}", data.get("refundBankCode", "")):
        raise Refusal("ER0102")
    if not data.get("refundAcctName"):
        raise Refusal("ER0102")


def _text_answer(fields: Mapping[str, str]) -> Answer:
    """Names and values, as they are."""
    text = "&".join(f"{name}={value}" for name, value in fields.items())
    return Answer(200, text.encode(), "text/html;charset=UTF-8")


def _method(charge: Charge) -> str:
    return str(charge.details.get("method", "card"))


def _account(charge: Charge) -> dict[str, str | None]:
    states = {"waiting": "N", "expired": "N", "revoked": "C"}
    paid_at = charge.details.get("paid_at")
    return {
        "accountNumber": charge.details["number"],
        "bankCode": "88",
        "bankName": "신한은행",
        "accountName": "이니시스",
        "validDate": f"{seoul(charge.details['due']):%Y%m%d%H%M%S}",
        "depositStatus": states.get(charge.state, "Y"),
        "depositAmount": str(charge.amount) if paid_at else None,
        "depositDate": f"{seoul(paid_at):%Y%m%d}" if paid_at else None,
        "depositTime": f"{seoul(paid_at):%H%M%S}" if paid_at else None,
    }
