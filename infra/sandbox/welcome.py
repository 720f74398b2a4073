"""Welcome Payments, PAYAPI: key-in, billing keys by card data, charges, cancels.

Source: Welcome's public manual (paywelcome.github.io). From public code that talks to it: the signature takes the plain
card number though the form has it encrypted, and a charge of a card is answered with the card company (CardResultCode).
Nobody has published the codes of refusals, so all but 00 are inventions here, with texts as Korean gateways word them.
Our own reading besides: a cancel of the whole is refused after a part, and a part is refused when `confirmPrice` is not
what would be left. An order number may be used again, since nobody says that it may not.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import ClassVar

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

TEST_CREDENTIALS = {
    "mid": "wpsandbox1",
    "sign_key": "c2FuZGJveC1zaWduLWtleS0wMDAwMDE9",
    "api_key": "5a6e64b0c1d2e3f405162738495a6b7c",
    "api_iv": "0011223344556677",
    "noauth": "Y",
}
OTHER_CREDENTIALS = {
    "mid": "wpsandbox2",
    "sign_key": "c2FuZGJveC1zaWduLWtleS0wMDAwMDI9",
    "api_key": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "api_iv": "8899aabbccddeeff",
}
"""A second merchant: sees nothing of the first, and has to send the buyer's birth date and password."""

ACCOUNTS = {credentials["mid"]: credentials for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS)}

# Inventions: see above.
CARD_REFUSED, BAD_CARD, BAD_EXPIRY, BAD_OWNER, BAD_QUOTA, BAD_KEY = "C01", "C02", "C03", "C04", "C05", "C06"
NO_MERCHANT, BAD_SIGNATURE, BAD_FIELD, NO_CONTRACT = "R01", "R02", "R03", "R04"
CANCELLED_BEFORE, NO_PAYMENT, TOO_MUCH, PARTLY_CANCELLED = "01", "N01", "N02", "N03"

MESSAGES = {
    CARD_REFUSED: "카드사에서 거절하였습니다.",
    BAD_CARD: "카드번호 오류",
    BAD_EXPIRY: "유효기간 오류",
    BAD_OWNER: "생년월일 또는 비밀번호 오류",
    BAD_QUOTA: "할부 불가 금액입니다.",
    BAD_KEY: "존재하지 않는 빌키입니다.",
    NO_MERCHANT: "등록되지 않은 가맹점입니다.",
    BAD_SIGNATURE: "검증값(signature)이 일치하지 않습니다.",
    NO_CONTRACT: "미계약 가맹점입니다.",
    CANCELLED_BEFORE: "이미 취소된 거래입니다.",
    NO_PAYMENT: "원거래를 찾을 수 없습니다.",
    TOO_MUCH: "취소 가능 금액을 초과하였습니다.",
    PARTLY_CANCELLED: "부분취소 후에는 부분취소로 요청해 주세요.",
}

WILL_ANSWER = {
    STOLEN: (CARD_REFUSED, "분실 또는 도난 카드입니다."),
    NO_FUNDS: (CARD_REFUSED, "잔액이 부족합니다."),
    EXPIRED: (BAD_EXPIRY, "유효기간이 지난 카드입니다."),
}

SIGNED = {
    "/billing/billkey/card": ("cardNumber",),
    "/noauth/billkey/card": ("cardNumber",),
    "/billing/billpay": ("oid", "price"),
    "/noauth/pay/card": ("oid", "price"),
}
"""What a signature covers besides mid, mkey and timestamp."""


class Simulator(Base):
    provider: ClassVar[str] = "welcome"
    routes: ClassVar = (
        ("POST", r"/billing/billkey/card", "issue", "issue"),
        ("POST", r"/noauth/billkey/card", "issue", "issue_noauth"),
        ("POST", r"/billing/billkey/delete", "delete", "delete"),
        ("POST", r"/billing/billpay", "charge", "charge_key"),
        ("POST", r"/noauth/pay/card", "charge", "charge_card"),
        ("POST", r"/cancel/cancel", "cancel", "cancel"),
        ("POST", r"/cancel/repay", "cancel", "cancel_part"),
    )

    def authenticate(self, request: Request) -> str:
        form = _form(request)
        account = form.get("mid", "")
        if account not in ACCOUNTS:
            raise Refusal(NO_MERCHANT)
        _need(form, "timestamp", "signature", *SIGNED.get(request.path, ()))
        if not re.fullmatch(r"\d{14}", form["timestamp"]):
            raise Refusal(BAD_FIELD, "timestamp를 확인해 주세요.")
        covered = {name: form[name] for name in SIGNED.get(request.path, ())}
        if "cardNumber" in covered:
            covered["cardNumber"] = _decrypted(account, form["cardNumber"])
        if form["signature"] != sign(ACCOUNTS[account]["sign_key"], account, covered, form["timestamp"]):
            raise Refusal(BAD_SIGNATURE)
        return account

    def refuse(self, refusal: Refusal) -> Answer:
        message = refusal.message or MESSAGES.get(refusal.code, "처리할 수 없는 요청입니다.")
        return json_answer(200, {"ResultCode": refusal.code, "ResultMsg": message})

    def usual_refusal(self, operation: str) -> str:
        return {"charge": CARD_REFUSED, "issue": BAD_OWNER, "cancel": NO_MERCHANT, "delete": BAD_KEY}[operation]

    def issue(self, account: str, request: Request) -> Answer:
        form = _form(request)
        _need(form, "etc", "registNo", "passwd")
        _check_owner(account, form)
        return self._issue(account, form)

    def issue_noauth(self, account: str, request: Request) -> Answer:
        if "noauth" not in ACCOUNTS[account]:
            raise Refusal(NO_CONTRACT)
        return self._issue(account, _form(request))

    def delete(self, account: str, request: Request) -> Answer:
        self._key(account, _form(request)).deleted = True
        return self._ok()

    def charge_key(self, account: str, request: Request) -> Answer:
        form = _form(request)
        key = self._key(account, form)
        return self._charge(account, request, key.card, key.will)

    def charge_card(self, account: str, request: Request) -> Answer:
        form = _form(request)
        _need(form, "cardQuota", "quotaInterest")
        number = self._card(account, form)
        if "noauth" not in ACCOUNTS[account]:
            _need(form, "registNo", "passwd")
            _check_owner(account, form)
        return self._charge(account, request, masked(number), card_outcome(number), CardResultCode="12")

    def cancel(self, account: str, request: Request) -> Answer:
        form = _form(request)
        charge = self._paid(account, form)
        if charge.cancels:
            raise Refusal(PARTLY_CANCELLED)
        if _amount(form, "price") != charge.amount:
            raise Refusal(TOO_MUCH)
        cancel = self._cancel(charge, charge.pg_tid, charge.amount)
        return self._ok(
            Mid=account,
            Tid=charge.pg_tid,
            Moid=charge.order_id,
            Price=str(charge.amount),
            **_when("Cancel", cancel.time),
        )

    def cancel_part(self, account: str, request: Request) -> Answer:
        form = _form(request)
        charge = self._paid(account, form)
        amount, left = _amount(form, "cancelPrice"), _amount(form, "confirmPrice")
        if amount > charge.balance or left != charge.balance - amount:
            raise Refusal(TOO_MUCH)
        cancel = self._cancel(charge, new_id("RP", 22), amount)
        numbers = {"Tid": charge.pg_tid, "C_Tid": cancel.pg_tid, "Price": str(amount), "RmainPrice": str(left)}
        return self._ok(Mid=account, **numbers, **_when("Cancel", cancel.time))

    def _issue(self, account: str, form: dict[str, str]) -> Answer:
        _need(form, "buyerName")
        number = self._card(account, form)
        will = card_outcome(number)
        if will == EXPIRED:
            raise Refusal(*WILL_ANSWER[EXPIRED])
        key = Key(account, new_id("", 40), masked(number), will)
        self.books.keys[key.key] = key
        return self._ok(
            CardResultCode="12",
            CardKind="0",
            Billkey=key.key,
            Price="0",
            tid=self._tid("AUTH"),
            **_when("Pay", self.clock.now()),
        )

    def _charge(self, account: str, request: Request, card: str, will: str | None, **more: str) -> Answer:
        form = _form(request)
        _need(form, "buyerName")
        amount, quota = _amount(form, "price"), form.get("cardQuota", "00")
        _check_order(form, amount)
        code, message = WILL_ANSWER.get(will or "", (None, None))
        if quota != "00" and amount < 50_000:
            code = BAD_QUOTA
        if request.forced:
            code, message = request.forced, None
        charge = Charge(
            account=account,
            order_id=form["oid"],
            pg_tid=self._tid("CARD"),
            amount=amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=card,
            declined_by=code,
        )
        self.books.add(charge)
        if code:
            raise Refusal(code, message)
        number = f"{len(self.books.charges):08d}"
        when = _when("Pay", charge.time)
        return self._ok(Price=str(charge.amount), tid=charge.pg_tid, ApplNum=number, **when, **more)

    def _cancel(self, charge: Charge, tid: str, amount: int) -> Cancel:
        cancel = Cancel("", tid, amount, self.clock.now())
        charge.cancels.append(cancel)
        return cancel

    def _paid(self, account: str, form: dict[str, str]) -> Charge:
        _need(form, "payType", "tid", "currency")
        if (form["payType"], form["currency"]) != ("card", "WON"):
            raise Refusal(BAD_FIELD, "payType, currency를 확인해 주세요.")
        charge = self.books.by_tid(account, form["tid"])
        if charge is None or charge.declined_by:
            raise Refusal(NO_PAYMENT)
        if charge.balance == 0:
            raise Refusal(CANCELLED_BEFORE)
        return charge

    def _key(self, account: str, form: dict[str, str]) -> Key:
        _need(form, "billkey")
        key = self.books.keys.get(form["billkey"])
        if key is None or key.account != account or key.deleted:
            raise Refusal(BAD_KEY)
        return key

    def _card(self, account: str, form: dict[str, str]) -> str:
        _need(form, "cardNumber", "cardExpireYY", "cardExpireMM")
        number = _decrypted(account, form["cardNumber"])
        if not re.fullmatch(r"\d{14,16}", number):
            raise Refusal(BAD_CARD)
        year, month = form["cardExpireYY"], form["cardExpireMM"]
        if not re.fullmatch(r"\d{2}", year) or not re.fullmatch(r"0[1-9]|1[0-2]", month):
            raise Refusal(BAD_EXPIRY)
        if (2000 + int(year), int(month)) < (self.clock.kst().year, self.clock.kst().month):
            raise Refusal(BAD_EXPIRY)
        return number

    def _ok(self, **value: str) -> Answer:
        return json_answer(200, {"ResultCode": "00", "ResultMsg": "정상", **value})

    def _tid(self, kind: str) -> str:
        return new_id(f"Payapi{kind}{self.clock.kst():%Y%m%d%H%M%S}", 40)


def sign(sign_key: str, mid: str, covered: dict[str, str], timestamp: str) -> str:
    """SHA-256 over name=value pairs in the manual's order."""
    pairs = {"mid": mid, "mkey": hashlib.sha256(sign_key.encode()).hexdigest(), **covered, "timestamp": timestamp}
    return hashlib.sha256("&".join(f"{name}={value}" for name, value in pairs.items()).encode()).hexdigest()


def _form(request: Request) -> dict[str, str]:
    form = request.form()
    if form is None or not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refusal(BAD_FIELD, "요청 본문을 읽을 수 없습니다.")
    return form


def _need(form: dict[str, str], *names: str) -> None:
    missing = [name for name in names if not form.get(name)]
    if missing:
        raise Refusal(BAD_FIELD, f"필수 값이 누락되었습니다: {missing[0]}")


def _decrypted(account: str, text: str) -> str:
    """AES-256-CBC, PKCS5, Base64."""
    credentials = ACCOUNTS[account]
    key, mask = credentials["api_key"].encode(), credentials["api_iv"].encode()
    decryptor, unpadder = Cipher(algorithms.AES(key), modes.CBC(mask)).decryptor(), padding.PKCS7(128).unpadder()
    try:
        padded = decryptor.update(base64.b64decode(text, validate=True)) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        raise Refusal(BAD_FIELD, "암호화 필드의 복호화에 실패하였습니다.") from None


def _check_owner(account: str, form: dict[str, str]) -> None:
    owner, password = (_decrypted(account, form[name]) for name in ("registNo", "passwd"))
    if not re.fullmatch(r"\d{6}|\d{10}", owner) or not re.fullmatch(r"\d{2}", password):
        raise Refusal(BAD_OWNER)


def _check_order(form: dict[str, str], amount: int) -> None:
    limits = {"oid": 40, "goodsName": 80, "buyerName": 30, "buyerTel": 40, "buyerEmail": 40}
    for name, limit in limits.items():
        if len(form.get(name, "").encode()) > limit:
            raise Refusal(BAD_FIELD, f"{name}를 확인해 주세요.")
    checks: dict[str, Callable[[str], object]] = {
        "oid": str.isascii,
        "cardQuota": re.compile(r"00|0[2-9]|[1-3]\d").fullmatch,
        "quotaInterest": re.compile(r"[01]").fullmatch,
        "tax": lambda text: text.isdecimal() and int(text) * 10 <= amount,
        "taxfree": lambda text: text.isdecimal() and int(text) <= amount,
    }
    for name, check in checks.items():
        if name in form and not check(form[name]):
            raise Refusal(BAD_FIELD, f"{name}를 확인해 주세요.")
    if not amount:
        raise Refusal(BAD_FIELD, "price를 확인해 주세요.")


def _amount(form: dict[str, str], name: str) -> int:
    if not re.fullmatch(r"\d{1,10}", form.get(name, "")):
        raise Refusal(BAD_FIELD, f"{name}를 확인해 주세요.")
    return int(form[name])


def _when(prefix: str, moment: float) -> dict[str, str]:
    return {f"{prefix}Date": f"{seoul(moment):%Y%m%d}", f"{prefix}Time": f"{seoul(moment):%H%M%S}"}
