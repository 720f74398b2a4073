"""Smartro, new module: charges of billing keys, and cancels.

Source: the vendor's manual as far as its pages are public, and public code that talks to it. Nobody has published the
codes of refusals, so all but the successes are inventions here, with texts as Korean gateways word them. Our own
reading besides: which fields a cancel is answered with (those of the vendor's older module), that a charge is answered
with the masked card number as an approval from the window is, and that a full cancel is refused after a partial one.
An order number (Moid) may be used again, since nobody says that it may not.
"""

import base64
import hashlib
import json
import re
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
    card_outcome,
    json_answer,
    masked,
    new_id,
    seoul,
)
from infra.sandbox.server import Simulator as Base

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
BAD_QUOTA, NO_PAYMENT, CANCELLED_BEFORE, TOO_MUCH, BAD_PASSWORD, BAD_SEQUENCE = (
    "9106", "9201", "9202", "9203", "9204", "9205",
)  # fmt: skip

MESSAGES = {
    "2001": "취소 성공",
    "3001": "카드 결제 성공",
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


class Simulator(Base):
    provider: ClassVar[str] = "smartro_v2"
    routes: ClassVar = (
        ("POST", r"/payment/approval/ssbbill\.do", "charge", "charge"),
        ("POST", r"/payment/approval/cancel\.do", "cancel", "cancel"),
    )

    def authenticate(self, request: Request) -> str:
        """Nothing but the envelope tells who asks: whoever encrypts with the merchant's key."""
        body = request.json() or {}
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
        return {"charge": CARD_REFUSED, "cancel": BAD_PASSWORD}[operation]

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
            "2001",
            account,
            Tid=charge.pg_tid,
            Moid=charge.order_id,
            CancelAmt=str(amount),
            CancelDate=now.strftime("%Y%m%d"),
            CancelTime=now.strftime("%H%M%S"),
            CancelNum=cancel.pg_tid,
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
    for name, pattern in patterns.items():
        if not re.fullmatch(pattern, order[name]):
            raise Refusal(BAD_FIELD, f"{name}를 확인해 주세요.")
    for name, limit in {"BuyerName": 30, "BuyerEmail": 60, "GoodsName": 40}.items():
        if len(order[name].encode()) > limit:
            raise Refusal(BAD_FIELD, f"{name}를 확인해 주세요.")
    names = [name for name in ("TaxAmt", "VatAmt", "TaxFreeAmt") if name in order]
    if names and (len(names) != 3 or sum(_digits(order, name, 12) for name in names) != _digits(order, "Amt", 12)):
        raise Refusal(BAD_FIELD, "과세 금액을 확인해 주세요.")


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
