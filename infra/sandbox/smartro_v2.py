"""Smartro, new module: charges of billing keys, payments in the window, and cancels.

Source: the vendor's manual as far as its pages are public, and public code that talks to it. Nobody has published the
codes of refusals, so all but the successes are inventions here, with texts as Korean gateways word them. Our own
reading besides: which fields a cancel is answered with (those of the vendor's older module), that a charge is answered
with the masked card number as an approval from the window is, and that a full cancel is refused after a partial one.
An order number (Moid) may be used again, since nobody says that it may not.

Of the window, public code shows the form, its hash, the two values that come back, what a card's approval is answered
with, and the codes of the other methods. Our own reading: what comes back from a window that the buyer leaves; that a
proof is used once; that `approvalInquiry` answers as the approval did, of a deposit with 4110 and of everything else as
long as it is asked; that transfers, accounts and phone bills are answered like cards; and all of a notice but its code,
its signature and the spelling of its names.
"""

import base64
import hashlib
import json
import re
import secrets
from datetime import datetime
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
    Sandbox,
    VirtualAccounts,
    card_outcome,
    json_answer,
    masked,
    new_id,
    seoul,
)
from infra.sandbox.windows import Action, Go, Tell, Visit, Windows

TEST_CREDENTIALS = {
    "mid": "t_sandbx1m",
    "merchant_key": "pycPMZBILLVqRsrLn3wYCnQzdEOvlG0CpKHI5BCvTuQ9615Nz0W2ERJKrcUDd7rekfSUzA5lqTO7e0+mfr5zog==",
    "cancel_password": "cancel001",
    "ssp_mall_id": "sandbox001",
}
OTHER_CREDENTIALS = {
    "mid": "t_sandbx2m",
    "merchant_key": "iW5f7uxLvgmEr1aFhvvStH2SFIYnditg5flGfdGg/bH5FOg3yTWhWioWPddp58UxlCBHOaE4Bm0X+c3Zptw6fA==",
    "cancel_password": "cancel002",
}
"""A second merchant: sees nothing of the first."""
WRONG_CREDENTIALS = TEST_CREDENTIALS | {"merchant_key": OTHER_CREDENTIALS["merchant_key"]}
"""Only the first 32 characters of a key encrypt: one that is wrong behind them can still charge."""

ACCOUNTS = {credentials["mid"]: credentials for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS)}

SALT = "SMARTRO!@#"

# Inventions: see above.
CARD_REFUSED, NO_MERCHANT, BAD_ENVELOPE, BAD_HASH, BAD_FIELD, NO_KEY = "9001", "9101", "9102", "9103", "9104", "9105"
BAD_QUOTA, NO_PAYMENT, TOO_MUCH, BAD_PASSWORD, BAD_SEQUENCE = "9106", "9201", "9203", "9204", "9205"
NOT_AGREED, NO_PROOF, USED_PROOF = "9301", "9302", "9303"

CANCELLED_BEFORE = "2013"
ISSUED, DEPOSITED = "4100", "4110"
LEFT = "W034"

METHODS = {"CARD": "card", "BANK": "trans", "VBANK": "vbank", "CELLPHONE": "phone"}
TID_KINDS = {"card": "01", "trans": "02", "vbank": "03", "phone": "05"}
SUCCESS = {"card": "3001", "trans": "4000", "vbank": ISSUED, "phone": "A000"}

MESSAGES = {
    "2001": "취소 성공",
    "2211": "환불 성공",
    "3001": "카드 결제 성공",
    "4000": "계좌이체 결제 성공",
    ISSUED: "가상계좌 발급 성공",
    DEPOSITED: "가상계좌 입금 완료",
    "A000": "휴대폰 결제 성공",
    LEFT: "사용자가 결제를 취소하였습니다.",
    NOT_AGREED: "본인 인증에 실패하였습니다.",
    NO_PROOF: "인증 정보가 존재하지 않습니다.",
    USED_PROOF: "이미 처리된 거래입니다.",
    CARD_REFUSED: "카드사에서 거절하였습니다.",
    NO_MERCHANT: "등록되지 않은 가맹점입니다.",
    BAD_ENVELOPE: "EncData 복호화에 실패하였습니다.",
    BAD_HASH: "검증값(위변조) 확인에 실패하였습니다.",
    NO_KEY: "등록되지 않은 빌링키입니다.",
    BAD_QUOTA: "할부 불가 금액입니다.",
    NO_PAYMENT: "원거래가 존재하지 않습니다.",
    CANCELLED_BEFORE: "이미 취소된 거래입니다.",
    TOO_MUCH: "취소 가능 금액을 초과하였습니다.",
    BAD_PASSWORD: "취소 비밀번호가 일치하지 않습니다.",
    BAD_SEQUENCE: "취소 차수를 확인해 주세요.",
}

WILL_ANSWER = {
    STOLEN: "분실 또는 도난 카드입니다.",
    NO_FUNDS: "잔액이 부족합니다.",
    EXPIRED: "유효기간이 지난 카드입니다.",
}


SCRIPT = """
let mode;
window.smartropay = {
  init(options) { mode = options.mode; },
  payment({FormId, Callback}) {
    const form = Object.fromEntries(new FormData(document.getElementById(FormId)));
    const callback = Boolean(Callback);
    sandboxWindow.open({mode, callback, form}, Callback, {target: callback ? "frame" : "page"}).catch(console.error);
  },
};
"""
"""With a callback the window lies over the page; without one, as on phones, it takes the page's place."""


class Simulator(Windows, VirtualAccounts):
    provider: ClassVar[str] = "smartro_v2"
    label: ClassVar[str] = "스마트로"
    scripts: ClassVar = {"/asset/js/SmartroPAY-1.0.min.js": SCRIPT}
    notice_form: ClassVar[str | None] = "utf-8"
    notice_wants: ClassVar[str | None] = r"\AOK\Z"
    routes: ClassVar = (
        ("POST", r"/payment/approval/urlCallApproval\.do", "charge", "approve"),
        ("POST", r"/payment/approval/approvalInquiry\.do", "find", "inquire"),
        ("POST", r"/payment/approval/ssbbill\.do", "charge", "charge"),
        ("POST", r"/payment/approval/cancel\.do", "cancel", "cancel"),
    )

    def authenticate(self, request: Request) -> str:
        """Whoever encrypts with the merchant's key, or brings a window's proof: nothing else tells who asks."""
        body = request.json() or {}
        if "TrAuthKey" in body:
            return self._proven(request).account
        account = str(body.get("Mid", ""))
        if account not in ACCOUNTS:
            raise Refusal(NO_MERCHANT)
        if _opened(account, request).get("Mid") != account:
            raise Refusal(BAD_FIELD, "Mid를 확인해 주세요.")
        return account

    def refuse(self, refusal: Refusal) -> Answer:
        message = refusal.message or MESSAGES.get(refusal.code, "처리할 수 없는 요청입니다.")
        return json_answer(200, {"ResultCode": refusal.code, "ResultMsg": message})

    def usual_refusal(self, operation: str) -> str:
        return {"charge": CARD_REFUSED, "cancel": BAD_PASSWORD, "find": NO_PAYMENT}[operation]

    def charge(self, account: str, request: Request) -> Answer:
        order = _opened(account, request)
        _check_order(order)
        amount = _digits(order, "Amt", 12)
        if order["VerifyValue"] != digest(order["BillTokenKey"], account, order["Amt"]):
            raise Refusal(BAD_HASH)
        key = self.books.keys.get(order["BillTokenKey"])
        if key is None or key.account != account or key.details["MallUserId"] != order["MallUserId"]:
            raise Refusal(NO_KEY)
        if order["CardQuota"] != "00" and amount < 50_000:
            raise Refusal(BAD_QUOTA)
        code, message = (CARD_REFUSED, WILL_ANSWER[key.will]) if key.will else (None, None)
        if request.forced:
            code, message = request.forced, None
        charge = Charge(
            account=account,
            order_id=order["Moid"][:40],  # longer ones are cut off
            pg_tid=self._tid(account, "01"),
            amount=amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=key.card,
            declined_by=code,
        )
        self.books.add(charge)
        if code:
            raise Refusal(code, message)
        return self._ok(
            "3001",
            account,
            PayMethod="CARD",
            Tid=charge.pg_tid,
            Moid=charge.order_id,
            Amt=str(charge.amount),
            AuthDate=seoul(charge.time).strftime("%y%m%d%H%M%S"),
            AuthCode=f"{len(self.books.charges):08d}",
            CardNum=charge.card,
            AppCardCode="04",
            AppCardName="삼성",
        )

    def cancel(self, account: str, request: Request) -> Answer:
        order = _opened(account, request)
        _check_cancel(account, order)
        charge = self.books.by_tid(account, order["Tid"])
        if charge is None or charge.declined_by:
            raise Refusal(NO_PAYMENT)
        if charge.balance == 0:
            raise Refusal(CANCELLED_BEFORE)
        amount, partial = _digits(order, "CancelAmt", 12), order["PartialCancelCode"] == "1"
        if not 0 < amount <= charge.balance:
            raise Refusal(TOO_MUCH)
        if not partial and amount != charge.amount:
            raise Refusal(BAD_FIELD, "PartialCancelCode를 확인해 주세요.")
        if partial and _digits(order, "CancelSeq", 3) != len(charge.cancels) + 1:
            raise Refusal(BAD_SEQUENCE)
        now = seoul(self.clock.now())
        cancel = Cancel("", self._tid(account, "02"), amount, self.clock.now(), order["CancelMsg"])
        charge.cancels.append(cancel)
        return self._ok(
            "2211" if charge.details.get("method") == "trans" else "2001",
            account,
            Tid=charge.pg_tid,
            Moid=charge.order_id,
            CancelAmt=str(amount),
            CancelDate=now.strftime("%Y%m%d"),
            CancelTime=now.strftime("%H%M%S"),
            CancelNum=cancel.pg_tid,
        )

    # the window

    def arrive(self, params: dict[str, Any]) -> Visit:
        form = params.get("form")
        if not isinstance(form, dict) or params.get("mode") != "STG":
            raise Refusal(BAD_FIELD, "mode를 확인해 주세요.")
        _check_form(form, seoul(self.clock.now()))
        account, method = form["Mid"], METHODS[form["PayMethod"]]
        sent = f"{account}{TID_KINDS[method]}01{seoul(self.clock.now()):%y%m%d%H%M%S}"
        proof = {"Tid": f"{sent}{secrets.randbelow(10_000):04}", "TrAuthKey": new_id("", 32)}
        details = {"form": form, "callback": params.get("callback") is True, "proof": proof}
        return Visit(account, form["Moid"][:40], int(form["Amt"]), "KRW", method, form["GoodsName"], details)

    def leave(self, visit: Visit, action: Action) -> Go | Tell:
        form, has_callback = visit.details["form"], visit.details["callback"]
        if action == "cancel" and not has_callback:
            return Go(form["StopUrl"])
        code = {"approve": None, "fail": NOT_AGREED, "cancel": LEFT}[action]
        told = {"ResultCode": code, "ResultMsg": MESSAGES[code]} if code else visit.details["proof"]
        if has_callback:
            return Tell(told)
        return Go(form["ReturnUrl"], {name: form[name] for name in ("Mid", "Moid", "Amt")} | told)

    def approve(self, account: str, request: Request) -> Answer:
        visit = self._proven(request)
        if visit.outcome != "approve":
            raise Refusal(LEFT)
        if self.books.by_tid(account, visit.details["proof"]["Tid"]):
            raise Refusal(USED_PROOF)
        will = visit.details.get("will")
        code = request.forced or (CARD_REFUSED if will else None)
        charge = Charge(
            account=account,
            order_id=visit.order_id,
            pg_tid=visit.details["proof"]["Tid"],
            amount=visit.amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=masked("5361480012345671") if visit.method == "card" else "",
            declined_by=code,
            details={"method": visit.method, "message": WILL_ANSWER.get(will or "") if code == CARD_REFUSED else None},
        )
        if visit.method == "vbank" and not code:
            ends = datetime.strptime(f"{visit.details['form']['VbankExpDate']} 235959 +0900", "%Y%m%d %H%M%S %z")
            charge.unpaid = "waiting"
            charge.details |= {"due": ends.timestamp(), "number": f"562{secrets.randbelow(10**11):011}"}
        self.books.add(charge)
        return self._told(charge)

    def inquire(self, account: str, request: Request) -> Answer:
        charge = self.books.by_tid(account, self._proven(request).details["proof"]["Tid"])
        if charge is None:
            raise Refusal(NO_PAYMENT)
        return self._told(charge)

    def deposit(self, charge: Charge) -> None:
        charge.unpaid = None

    def reverse(self, charge: Charge) -> None:
        charge.unpaid = "waiting"

    def notice(self, charge: Charge) -> dict[str, Any]:
        return {
            "PayMethod": "VBANK",
            "Mid": charge.account,
            "Tid": charge.pg_tid,
            "Moid": charge.order_id,
            "Amt": str(charge.amount),
            "ResultCode": DEPOSITED,
            "ResultMsg": MESSAGES[DEPOSITED],
            "VbankNum": charge.details["number"],
            "VbankName": "신한은행",
            "SignValue": signature(charge.pg_tid, DEPOSITED, ACCOUNTS[charge.account]["merchant_key"]),
        }

    def _proven(self, request: Request) -> Visit:
        body = request.json() or {}
        proof = {name: body.get(name) for name in ("Tid", "TrAuthKey")}
        for visit in self.visits.values():
            if visit.details["proof"] == proof:
                return visit
        raise Refusal(NO_PROOF)

    def _told(self, charge: Charge) -> Answer:
        """As it was answered at first, and what was deposited since."""
        method, about = charge.details["method"], {"Tid": charge.pg_tid, "Moid": charge.order_id, "Mid": charge.account}
        if charge.declined_by:
            code = charge.declined_by
            message = charge.details["message"] or MESSAGES.get(code, "처리할 수 없는 요청입니다.")
            return json_answer(200, {"ResultCode": code, "ResultMsg": message, **about})
        code = DEPOSITED if method == "vbank" and charge.unpaid is None else SUCCESS[method]
        more: dict[str, str] = {
            "card": {"AuthCode": "30001234", "CardNum": charge.card, "AppCardCode": "04", "AppCardName": "삼성"},
            "trans": {"BankName": "국민은행"},
            "vbank": {"VbankNum": charge.details.get("number", ""), "VbankName": "신한은행"},
            "phone": {"AuthCode": "30001235"},
        }[method]
        return self._ok(
            code,
            charge.account,
            PayMethod={word: name for name, word in METHODS.items()}[method],
            Amt=str(charge.amount),
            AuthDate=seoul(charge.time).strftime("%y%m%d%H%M%S"),
            SignValue=signature(charge.pg_tid, code, ACCOUNTS[charge.account]["merchant_key"]),
            Tid=charge.pg_tid,
            Moid=charge.order_id,
            **more,
        )

    def _ok(self, code: str, account: str, **value: str) -> Answer:
        return json_answer(200, {"ResultCode": code, "ResultMsg": MESSAGES[code], "Mid": account, **value})

    def _tid(self, account: str, kind: str) -> str:
        return new_id(f"{account}{kind}", 30)


def window_key(sandbox: Sandbox, card_number: str, credentials: dict[str, str] = TEST_CREDENTIALS) -> dict[str, str]:
    """Register a card as a buyer would in Smartro's window. Returns what the adapter keeps of it."""
    account, user = credentials["mid"], "buyer0001"
    will = card_outcome(card_number)
    if will == EXPIRED:
        raise Refusal(CARD_REFUSED, WILL_ANSWER[EXPIRED])
    with sandbox.simulator.lock:
        key = Key(account, new_id("BTK", 32), masked(card_number), will, details={"MallUserId": user})
        sandbox.simulator.books.keys[key.key] = key
    return {"billing_key": key.key, "mall_user_id": user}


def registration_result(
    secret: dict[str, str], order_id: str, card: str, credentials: dict[str, str] = TEST_CREDENTIALS
) -> dict[str, str]:
    """The form that the window posts to the merchant's ReturnUrl."""
    key, mid = secret["billing_key"], credentials["mid"]
    return {
        "PayMethod": "CARD",
        "Mid": mid,
        "Moid": order_id,
        "Tid": new_id(f"{mid}01", 30),
        "BillTokenKey": encrypt(key, credentials["merchant_key"]),
        "MallUserId": secret["mall_user_id"],
        "ResultCode": "3001",
        "ResultMsg": "카드 등록 성공",
        "VerifyValue": digest(mid, key, card, "3001", SALT),
        "IssuerCardCd": "04",
        "IssuerCardNm": "삼성",
        "DisplayCardNo": card,
        "CardExpire": "3911",
        "EncodingType": "utf8",
    }


def digest(*parts: str) -> str:
    return base64.b64encode(hashlib.sha256("".join(parts).encode()).digest()).decode()


def signature(tid: str, code: str, merchant_key: str) -> str:
    return digest(tid[:10], code, tid[10:15], merchant_key, tid[15:])


def encrypt(text: str, merchant_key: str) -> str:
    padder = padding.PKCS7(128).padder()
    encryptor = _cipher(merchant_key).encryptor()
    padded = padder.update(text.encode()) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def _cipher(merchant_key: str) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(merchant_key[:32].encode()), modes.CBC(bytes(16)))


def _opened(account: str, request: Request) -> dict[str, str]:
    """What the envelope holds: an object of texts."""
    decryptor = _cipher(ACCOUNTS[account]["merchant_key"]).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        sealed = base64.b64decode(str((request.json() or {})["EncData"]), validate=True)
        padded = decryptor.update(sealed) + decryptor.finalize()
        order: Any = json.loads(unpadder.update(padded) + unpadder.finalize())
    except (ValueError, KeyError):
        raise Refusal(BAD_ENVELOPE) from None
    if not isinstance(order, dict) or not all(isinstance(value, str) for value in order.values()):
        raise Refusal(BAD_ENVELOPE)
    return order


def _need(order: dict[str, str], *names: str) -> None:
    missing = [name for name in names if not order.get(name)]
    if missing:
        raise Refusal(BAD_FIELD, f"필수 값이 누락되었습니다: {missing[0]}")


def _check_order(order: dict[str, str]) -> None:
    _need(order, "PayMethod", "Mid", "Moid", "EdiDate", "BillTokenKey", "Amt", "GoodsCnt", "GoodsName", "BuyerName")
    _need(order, "BuyerTel", "BuyerEmail", "MallUserId", "MallIp", "CardQuota", "VerifyValue")
    patterns = {
        "PayMethod": "CARD",
        "Moid": r"[A-Za-z0-9]+",
        "EdiDate": r"\d{14}",
        "GoodsCnt": r"\d{1,2}",
        "BuyerTel": r"\d{1,40}",
        "MallUserId": r"[A-Za-z0-9]{1,20}",
        "CardQuota": r"00|0[2-9]|[1-3]\d",
    }
    _check_patterns(order, patterns)
    _check_texts(order)


def _check_patterns(order: dict[str, str], patterns: dict[str, str]) -> None:
    for name, pattern in patterns.items():
        if name in order and not re.fullmatch(pattern, order[name]):
            raise Refusal(BAD_FIELD, f"{name}를 확인해 주세요.")


def _check_texts(order: dict[str, str]) -> None:
    for name, limit in {"BuyerName": 30, "BuyerEmail": 60, "GoodsName": 40}.items():
        if len(order.get(name, "").encode()) > limit:
            raise Refusal(BAD_FIELD, f"{name}를 확인해 주세요.")
    names = [name for name in ("TaxAmt", "VatAmt", "TaxFreeAmt") if name in order]
    if names and (len(names) != 3 or sum(_digits(order, name, 12) for name in names) != _digits(order, "Amt", 12)):
        raise Refusal(BAD_FIELD, "과세 금액을 확인해 주세요.")


def _check_form(form: dict[str, Any], now: datetime) -> None:
    """What the window refuses to open with."""
    if not all(isinstance(value, str) for value in form.values()):
        raise Refusal(BAD_FIELD)
    _need(form, "PayMethod", "GoodsCnt", "GoodsName", "Amt", "Moid", "Mid", "ReturnUrl", "StopUrl", "EdiDate")
    _need(form, "EncryptData", "BuyerName", "BuyerTel")
    if form["Mid"] not in ACCOUNTS:
        raise Refusal(NO_MERCHANT)
    if form["EncryptData"] != digest(form["EdiDate"], form["Mid"], form["Amt"], ACCOUNTS[form["Mid"]]["merchant_key"]):
        raise Refusal(BAD_HASH)
    _digits(form, "Amt", 12)
    patterns = {
        "PayMethod": "|".join(METHODS),
        "Moid": r"[A-Za-z0-9]+",
        "EdiDate": r"\d{14}",
        "GoodsCnt": r"\d{1,2}",
        "BuyerTel": r"\d{1,40}",
        "ReturnUrl": r"https?://\S{1,200}",
        "StopUrl": r"https?://\S{1,200}",
        "MallUserId": r"[A-Za-z0-9]{1,20}",
        "OpenType": "KR|EN",
    }
    if form["PayMethod"] == "VBANK":
        _need(form, "VbankExpDate")
        if not f"{now:%Y%m%d}" <= form["VbankExpDate"] <= "99991231":
            raise Refusal(BAD_FIELD, "VbankExpDate를 확인해 주세요.")
        patterns["VbankExpDate"] = r"\d{8}"
    if form["PayMethod"] == "CELLPHONE":
        _need(form, "GoodsCl")
        patterns["GoodsCl"] = "[01]"
    _check_patterns(form, patterns)
    _check_texts(form)


def _check_cancel(account: str, order: dict[str, str]) -> None:
    _need(order, "SERVICE_MODE", "Tid", "CancelAmt", "CancelPwd", "CancelMsg", "PartialCancelCode", "HashData")
    credentials = ACCOUNTS[account]
    parts = (order["Tid"], credentials["merchant_key"], order["CancelAmt"], order["PartialCancelCode"])
    if order["HashData"] != digest(*parts):
        raise Refusal(BAD_HASH)
    if order["CancelPwd"] != credentials["cancel_password"]:
        raise Refusal(BAD_PASSWORD)
    if order["SERVICE_MODE"] != "CL1" or order["PartialCancelCode"] not in {"0", "1"}:
        raise Refusal(BAD_FIELD, "SERVICE_MODE, PartialCancelCode를 확인해 주세요.")
    if len(order["CancelMsg"].encode()) > 100:
        raise Refusal(BAD_FIELD, "CancelMsg를 확인해 주세요.")


def _digits(order: dict[str, str], name: str, limit: int) -> int:
    if not re.fullmatch(rf"\d{{1,{limit}}}", order.get(name, "")):
        raise Refusal(BAD_FIELD, f"{name}를 확인해 주세요.")
    return int(order[name])
