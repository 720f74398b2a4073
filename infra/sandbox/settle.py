"""Hecto Financial: key-in, billing keys, cancel, query.

Source: Hecto's documents for programmers, in their present and an earlier edition. Our own reading, since they are
silent or differ: which code of a class is answered to broken input, ST01 for a key that is not there, ST06 for an order
that is not, that the numbers of all calls share one day, that a declined charge is found as 0009, that `trdNo` of a
query is the charge's, and that a charge which was given back in part is found as 0000 with a `cnclAmt`.
"""

import base64
import hashlib
import itertools
import re
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote_plus

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
    "mid": "nxca_ks_gu",
    "aes_key": "pgSettle30y739r82jtd709yOfZ2yK5K",
    "hash_key": "ST1009281328226982205",
    "key_in": "Y",
    "issue_by_api": "Y",
    "noti_url": "https://shop.example/settle",
}
"""The test bed's, which everybody knows."""
OTHER_CREDENTIALS = {
    **TEST_CREDENTIALS,
    "mid": "nxca_ks_g2",
    "aes_key": "pgSettle0000000000000000000other",
    "hash_key": "ST2009281328226982206",
}
"""A second merchant: sees nothing of the first."""

ACCOUNTS = {credentials["mid"]: credentials for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS)}

WILL_ANSWER = {
    STOLEN: ("CA52", "분실 또는 도난 카드입니다."),
    NO_FUNDS: ("CA31", "잔액이 부족합니다."),
    EXPIRED: ("CA20", "카드 유효기간이 유효하지 않습니다."),
}

MESSAGES = {
    "1901": "해쉬값 불일치 오류",
    "1902": "암호화 항목 미처리 오류",
    "CA12": "기취소 거래",
    "CA21": "할부 관련 오류",
    "CA27": "비밀번호 관련 오류",
    "CA30": "식별번호 오류",
    "CA42": "1000원 미만 99,999,999원 이상 금액 거래 불가",
    "ST01": "고객정보 없음",
    "ST06": "거래정보 없음",
    "ST09": "유효하지 않은 요청전문",
    "ST47": "미등록 상점",
    "ST50": "중복요청",
    "ST56": "취소회차 오류",
    "ST57": "취소금액(환불금액)이 원거래금액을 초과합니다.",
}

FORBIDDEN = re.compile(r"[:&?'\"<>\n]|[\U0001f000-\U0001ffff]")
LENGTHS = {"pmtprdNm": 128, "mchtCustNm": 30, "mchtCustId": 50, "email": 60, "billKey": 50, "cnclRsn": 255}
REQUIRED = {
    "B0": ("pmtprdNm", "mchtCustNm", "mchtCustId", "instmtMon", "crcCd", "trdAmt"),
    "A4": ("cardNo", "idntNo", "vldDtMon", "vldDtYear", "cardPwd", "keyRegYn"),
    "A1": ("billKey",),
    "C0": ("orgTrdNo", "crcCd", "cnclOrd", "cnclAmt"),
    None: ("method", "trdAmt", "orgTrdDt", "orgMchtTrdNo"),
}

_trd_numbers = itertools.count(1_000_000)


class Simulator(Base):
    provider: ClassVar[str] = "settle"
    routes: ClassVar = (
        ("POST", r"/spay/APICardActionPay\.do", "charge", "charge"),
        ("POST", r"/spay/APICardAuth\.do", "issue", "issue"),
        ("POST", r"/spay/APICardActionDelkey\.do", "delete", "delete"),
        ("POST", r"/spay/APICancel\.do", "cancel", "cancel"),
        ("POST", r"/spay/APITrdcheck\.do", "find", "find"),
    )

    params: dict[str, Any]
    data: dict[str, Any]
    """Of the request that is being served."""

    def authenticate(self, request: Request) -> str:
        self.params, self.data = {}, {}
        body = request.json()
        if body is None or not isinstance(body.get("params"), dict) or not isinstance(body.get("data"), dict):
            raise Refusal("6001")
        if not request.headers.get("content-type", "").lower().startswith("application/json"):
            raise Refusal("6001")
        self.params, self.data = body["params"], body["data"]
        account = self.params.get("mchtId")
        if account not in ACCOUNTS:
            raise Refusal("ST47")
        return str(account)

    def refuse(self, refusal: Refusal) -> Answer:
        message = refusal.message or MESSAGES.get(refusal.code, "거래를 처리할 수 없습니다.")
        return self._answer("0031", refusal.code, message, {"trdNo": ""}, {"pktHash": self.data.get("pktHash", "")})

    def usual_refusal(self, operation: str) -> str:
        return {"charge": "CA82", "issue": "CA70", "cancel": "ST45", "find": "ST06", "delete": "ST09"}[operation]

    def charge(self, account: str, request: Request) -> Answer:
        """By a key, or by card data (구인증): the path is one."""
        amount = self._open(account, "B0", "trdAmt")
        if "billKey" in self.data:
            key = self._key(account)
            card, will = key.card, key.will
        else:
            number = self._card(account)
            card, will = masked(number), card_outcome(number)
        self._check_order(amount)
        code, message = WILL_ANSWER.get(will or "", (None, None))
        if request.forced:
            code, message = request.forced, None
        charge = Charge(
            account=account,
            order_id=self.params["mchtTrdNo"],
            pg_tid=self._trd_no(account),
            amount=amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=card,
            declined_by=code,
        )
        self.books.add(charge)
        if code:
            raise Refusal(code, message)
        data = {
            "trdAmt": _encrypt(account, str(charge.amount)),
            "cardNo": card.replace("*", "x"),
            "issrId": "SSC",
            "cardNm": "삼성",
            "cardKind": "삼성체크카드",
            "ninstmtTypeCd": "N",
            "instmtMon": self.data["instmtMon"],
            "apprNo": f"{len(self.books.charges):08d}",
            **({"billKey": self.data["billKey"]} if "billKey" in self.data else {}),
        }
        return self._done(account, charge.pg_tid, data, str(charge.amount))

    def issue(self, account: str, _: Request) -> Answer:
        self._open(account, "A4")
        if self.data["keyRegYn"] != "Y":
            raise Refusal("ST09")
        number = self._card(account)
        will = card_outcome(number)
        if will == EXPIRED:
            raise Refusal(*WILL_ANSWER[EXPIRED])
        key = self.add_key(account, number)
        data = {"cardNo": key.card, "issrId": "SSC", "cardNm": "삼성", "cardKind": "삼성체크카드", "billKey": key.key}
        return self._done(account, self._trd_no(account), data, "0")

    def delete(self, account: str, _: Request) -> Answer:
        self._open(account, "A1")
        self._key(account).deleted = True
        return self._done(account, self._trd_no(account), {"billKey": self.data["billKey"]}, "0")

    def cancel(self, account: str, _: Request) -> Answer:
        amount = self._open(account, "C0", "cnclAmt")
        charge = self.books.by_tid(account, self.data["orgTrdNo"])
        if charge is None or charge.declined_by:
            raise Refusal("ST06")
        if charge.balance == 0:
            raise Refusal("CA12")
        if self.data["cnclOrd"] != f"{len(charge.cancels) + 1:03}":
            raise Refusal("ST56")
        if not 0 < amount <= charge.balance:
            raise Refusal("ST57")
        ref = self._trd_no(account)
        reason = str(self.data.get("cnclRsn", ""))
        charge.cancels.append(Cancel(self.params["mchtTrdNo"], ref, amount, self.clock.now(), reason))
        data = {
            "pktHash": self.data["pktHash"],
            "orgTrdNo": charge.pg_tid,
            "cnclAmt": _encrypt(account, str(amount)),
            "cardCnclAmt": _encrypt(account, str(amount)),
            "pntCnclAmt": _encrypt(account, "0"),
            "blcAmt": _encrypt(account, str(charge.balance)),
        }
        return self._answer("0021", "0000", "정상적으로 처리되었습니다.", {"trdNo": ref}, data)

    def find(self, account: str, _: Request) -> Answer:
        self._open(account, None, "trdAmt")
        if self.data["method"] != "CA" or not re.fullmatch(r"\d{8}", str(self.data["orgTrdDt"])):
            raise Refusal("ST09")
        charge = self.books.find(account, self.data["orgMchtTrdNo"])
        day = datetime.strptime(self.data["orgTrdDt"], "%Y%m%d").replace(tzinfo=KST).date()
        if charge is None or abs(seoul(charge.time).date() - day) > timedelta(days=1):
            raise Refusal("ST06")
        if self.data.get("orgTrdNo") not in {None, "", charge.pg_tid}:
            raise Refusal("ST06")
        returned = sum(cancel.amount for cancel in charge.cancels)
        state = "0009" if charge.declined_by else "0000" if charge.balance else "0001"
        message = {"0000": "정상거래", "0001": "취소상태", "0009": "결제실패"}[state]
        data = {"pktHash": self.data["pktHash"], "method": "CA", "trdAmt": str(charge.amount), "cnclAmt": str(returned)}
        return self._answer("0021", state, message, {"trdNo": charge.pg_tid}, data)

    def add_key(self, account: str, number: str) -> Key:
        key = Key(account, new_id(f"SBILL_PGCA{account}", 45), masked(number), card_outcome(number))
        self.books.keys[key.key] = key
        return key

    def _open(self, account: str, kind: str | None, amount_field: str | None = None) -> int:
        """What every message must have; the amount in plain, 0 where there is none."""
        params, data = self.params, self.data
        head = {"ver": "0A19", "method": "CA", "bizType": kind, "encCd": "23"} if kind else {"ver": "0A1M"}
        if any(params.get(name) != value for name, value in head.items()):
            raise Refusal("ST09")
        texts = [params.get("mchtTrdNo"), params.get("trdDt"), params.get("trdTm"), *data.values()]
        if not all(isinstance(text, str) and text for text in texts):
            raise Refusal("ST09")
        missing = [name for name in ("pktHash", *REQUIRED[kind]) if name not in data]
        if missing:
            raise Refusal("1013", f"결제 요청 정보 누락({missing[0]})")
        if not re.fullmatch(r"\d{8}", params["trdDt"]) or not re.fullmatch(r"\d{6}", params["trdTm"]):
            raise Refusal("ST09")
        amount = "0" if amount_field is None else data[amount_field]
        if kind and amount_field:
            amount = _decrypt(account, amount)
        if data["pktHash"] != _hash(account, params["trdDt"], params["trdTm"], account, params["mchtTrdNo"], amount):
            raise Refusal("1901")
        if not re.fullmatch(r"\d{1,12}", amount):
            raise Refusal("1109")
        for name, limit in LENGTHS.items():
            text = data.get(name, "")
            if len(text.encode()) > limit:
                raise Refusal("1108", f"결제 요청 정보 길이 오류({name})")
            if FORBIDDEN.search(text):
                raise Refusal("6001")
        if len(params["mchtTrdNo"]) > 100 or not self.books.use_id(account, f"{params['trdDt']} {params['mchtTrdNo']}"):
            raise Refusal("ST50")
        return int(amount)

    def _card(self, account: str) -> str:
        names = ("cardNo", "vldDtYear", "vldDtMon", "idntNo", "cardPwd")
        if missing := [name for name in names if name not in self.data]:
            raise Refusal("1013", f"결제 요청 정보 누락({missing[0]})")
        number, year, month, identity, password = (_decrypt(account, self.data[name]) for name in names)
        if not re.fullmatch(r"\d{14,16}", number):
            raise Refusal("CA13", "카드번호 오류")
        now = seoul(self.clock.now())
        if not re.fullmatch(r"\d\d", year) or not re.fullmatch(r"0[1-9]|1[0-2]", month):
            raise Refusal("CA20")
        if (2000 + int(year), int(month)) < (now.year, now.month):
            raise Refusal("CA20")
        if not re.fullmatch(r"\d{6}|\d{10}", identity):
            raise Refusal("CA30")
        if not re.fullmatch(r"\d\d", password):
            raise Refusal("CA27")
        return number

    def _check_order(self, amount: int) -> None:
        data = self.data
        if not 1000 <= amount < 99_999_999:
            raise Refusal("CA42")
        if data["crcCd"] != "KRW" or data.get("taxTypeCd") not in {None, "N", "Y", "G"}:
            raise Refusal("ST09")
        if not re.fullmatch(r"0[02-9]|1[0-2]", data["instmtMon"]) or (data["instmtMon"] != "00" and amount < 50_000):
            raise Refusal("CA21")
        if data.get("taxTypeCd") == "G":
            account = self.params["mchtId"]
            names = ("taxAmt", "vatAmt", "taxFreeAmt")
            if any(name not in data for name in names):
                raise Refusal("ST55")
            if sum(int(_decrypt(account, data[name])) for name in names) != amount:
                raise Refusal("ST55")

    def _key(self, account: str) -> Key:
        key = self.books.keys.get(self.data["billKey"])
        if key is None or key.account != account or key.deleted:
            raise Refusal("ST01")
        return key

    def _trd_no(self, account: str) -> str:
        return f"STFP_PGCA{account}0{seoul(self.clock.now()):%y%m%d%H%M%S}M{next(_trd_numbers) % 10_000_000:07}"

    def _done(self, account: str, ref: str, data: dict[str, str], amount: str) -> Answer:
        """Success, with the text URL-encoded and a hash of its own, as these calls answer."""
        params = self.params
        signed = _hash(account, "0021", params["trdDt"], params["trdTm"], account, params["mchtTrdNo"], amount)
        message = quote_plus("정상적으로 처리되었습니다.")
        return self._answer("0021", "0000", message, {"trdNo": ref}, {"pktHash": signed, **data})

    def _answer(self, status: str, code: str, message: str, more: dict[str, str], data: dict[str, str]) -> Answer:
        params = {**self.params, **more, "outStatCd": status, "outRsltCd": code, "outRsltMsg": message}
        return json_answer(200, {"params": params, "data": data})


def window_key(sandbox: Sandbox, card_number: str, credentials: dict[str, str] = TEST_CREDENTIALS) -> dict[str, str]:
    """A key as the payment window gives it with a first payment, in the adapter's own form."""
    simulator = sandbox.simulator
    assert isinstance(simulator, Simulator)
    with simulator.lock:
        simulator.changed = True
        return {"bill_key": simulator.add_key(credentials["mid"], card_number).key}


def _hash(account: str, *parts: str) -> str:
    return hashlib.sha256(("".join(parts) + ACCOUNTS[account]["hash_key"]).encode()).hexdigest()


def _cipher(account: str) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(ACCOUNTS[account]["aes_key"].encode()), modes.ECB())  # noqa: S305 - Hecto's choice


def _encrypt(account: str, text: str) -> str:
    pad, encryptor = padding.PKCS7(128).padder(), _cipher(account).encryptor()
    padded = pad.update(text.encode()) + pad.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def _decrypt(account: str, text: str) -> str:
    unpad, decryptor = padding.PKCS7(128).unpadder(), _cipher(account).decryptor()
    try:
        padded = decryptor.update(base64.b64decode(text, validate=True)) + decryptor.finalize()
        return (unpad.update(padded) + unpad.finalize()).decode()
    except ValueError:
        raise Refusal("1902") from None
