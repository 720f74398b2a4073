"""Paymentwall, Brick API: one-time tokens, charges, permanent tokens, refunds, query, payment status, pingbacks.

Source: Paymentwall's documentation site (2017) and its PHP client (2024). What the CVV of a test card decides is
theirs: 111 wrong CVV, 222 balance, 333 ask the issuer, 555 and 556 a review that is accepted, or declined, after two
minutes.

Our own reading, since nothing is published: the code beside each of these; that a charge under review is not captured;
that a permanent token is not found under another e-mail; that a part is refunded by `amount`; that a declined charge
cannot be asked for; what the status API answers to an order it does not know, and to a wrong signature; that a part
leaves `refunded` false until nothing is left; and every HTTP status but 401 for a refused key. Every other answer
begins with a byte order mark. The fault `decline` with the code `secure` asks for 3-D Secure.

4000-0000-0000-0002 is approved at Paymentwall's own sandbox. Here it is lost or stolen, as at every simulator.
"""

import hashlib
import itertools
import re
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from infra.sandbox.server import (
    EXPIRED,
    NO_FUNDS,
    STOLEN,
    Answer,
    Cancel,
    Charge,
    Clock,
    Key,
    Refusal,
    Request,
    Sandbox,
    card_outcome,
    json_answer,
    masked,
    new_id,
)
from infra.sandbox.server import Simulator as Base

TEST_CREDENTIALS = {
    "public_key": "t_4b1c0d9e8f7a6b5c4d3e2f1a0b9c8d",
    "private_key": "t_9f8e7d6c5b4a39281706f5e4d3c2b1",
    "browser_domain": "https://shop.example",
    "project_key": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "secret_key": "f0e1d2c3b4a5968778695a4b3c2d1e0f",
    "status_api": "Y",
}
PARTS_CREDENTIALS = TEST_CREDENTIALS | {"partial_refund": "Y"}
"""The same merchant, who has tried how a part is refunded. Apart from the rest, since a part can be refunded twice."""
OTHER_CREDENTIALS = TEST_CREDENTIALS | {
    "public_key": "t_000000000000000000000000000002",
    "private_key": "t_200000000000000000000000000000",
    "project_key": "00000000000000000000000000000002",
    "secret_key": "20000000000000000000000000000000",
}
"""A second merchant: sees nothing of the first."""

MERCHANTS = (TEST_CREDENTIALS, OTHER_CREDENTIALS)
SECRETS = {merchant["public_key"]: merchant["secret_key"] for merchant in MERCHANTS}

TOKEN_SECONDS = 290
REVIEW_SECONDS = 120
ACCEPTED, DECLINED = "accepted", "declined"
"""How a review will end."""
WHOLE_UNITS = {"KRW", "JPY", "VND"}

WILL_ANSWER = {STOLEN: "3013", NO_FUNDS: "3011", EXPIRED: "3102"}
CVV_ANSWERS = {"111": "3014", "222": "3011", "333": "3010"}
CVV_REVIEWS = {"555": ACCEPTED, "556": DECLINED}

MESSAGES = {
    "223": "Expiration date is empty or invalid.",
    "224": "Card number is empty or invalid.",
    "225": "CVV is empty or invalid.",
    "2111": "Public key is missing or invalid.",
    "3000": "Charge not found.",
    "3001": "Permission denied.",
    "3002": "Wrong charge amount",
    "3008": "Please fill in all required fields.",
    "3011": "Please contact your credit card company to check your available balance",
    "3012": "Transaction was declined",
    "3014": "Wrong CVV",
    "3111": "Token was not found",
    "3112": "One-time token is invalid",
    "3201": "The charge has already been fully refunded",
    "3204": "You can't refund this transaction",
    "4006": "API key is not provided",
    "4007": "API key is invalid",
}

_numbers = itertools.count(secrets.randbelow(10**12))


class Simulator(Base):
    provider: ClassVar[str] = "paymentwall"
    routes: ClassVar = (
        ("POST", r"/api/brick/token", "issue", "tokenise"),
        ("POST", r"/api/brick/charge", "charge", "charge"),
        ("GET", r"/api/brick/charge/([^/]+)", "find", "read"),
        ("POST", r"/api/brick/charge/([^/]+)/refund", "cancel", "refund"),
        ("GET", r"/api/rest/payment", "find", "status"),
    )

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._answers = itertools.count()

    def authenticate(self, request: Request) -> str:
        """Each call in its own way: by the public key, by the private key, by a signature."""
        if request.path == "/api/brick/token":
            return _merchant("public_key", _form(request).get("public_key"), "2111")
        if request.path == "/api/rest/payment":
            account = _merchant("project_key", request.query.get("key"), "1001")
            _check_signature(request.query, SECRETS[account])
            return account
        return _merchant("private_key", request.headers.get("x-apikey"), "4007")

    def refuse(self, refusal: Refusal) -> Answer:
        code: int | str = int(refusal.code) if refusal.code.isdigit() else refusal.code
        text = refusal.message or MESSAGES.get(refusal.code, "Your request was not processed")
        status = 401 if refusal.code in {"4006", "4007"} else 400
        return self._answer(status, {"type": "Error", "object": "Error", "error": text, "code": code})

    def usual_refusal(self, operation: str) -> str:
        return {"charge": "3012", "issue": "224", "cancel": "3204", "find": "3000"}[operation]

    def refresh(self, charge: Charge) -> None:
        """A review ends by itself, and the merchant is told."""
        if charge.unpaid != "review" or self.clock.now() < charge.details["decided_at"]:
            return
        charge.unpaid = None
        accepted = charge.details["review"] == ACCEPTED
        charge.declined_by = None if accepted else "review"
        self._ping(charge, "201" if accepted else "202")

    def tokenise(self, account: str, request: Request) -> Answer:
        form = _form(request)
        number, cvv = form.get("card[number]", ""), form.get("card[cvv]", "")
        if not re.fullmatch(r"\d{13,16}", number):
            raise Refusal("224")
        self._check_expiry(form.get("card[exp_month]", ""), form.get("card[exp_year]", ""))
        if not re.fullmatch(r"\d{3,4}", cvv):
            raise Refusal("225")
        token = new_id("ot_", 35)
        details = {
            "expires": self.clock.now() + TOKEN_SECONDS,
            "answer": CVV_ANSWERS.get(cvv),
            "review": CVV_REVIEWS.get(cvv),
        }
        self.books.keys[token] = Key(account, token, masked(number), card_outcome(number), details=details)
        card = {"type": "Visa", "last4": number[-4:], "bin": number[:6], "exp_month": form["card[exp_month]"]}
        return self._answer(
            200, {"type": "token", "token": token, "expires_in": TOKEN_SECONDS, "active": 1, "card": card}
        )

    def charge(self, account: str, request: Request) -> Answer:
        form = _form(request)
        key = self._key(account, form)
        amount = _amount(form)
        once = key.key.startswith("ot_")
        _check_charge(form, once=once)
        code = request.forced or WILL_ANSWER.get(key.will or "") or key.details.get("answer")
        review = None if code else key.details.get("review")
        charge = Charge(
            account=account,
            order_id=form["plan"],
            pg_tid=f"{next(_numbers)}_test",
            amount=amount + request.surplus,
            currency=form["currency"],
            time=self.clock.now(),
            card=key.card,
            declined_by=code,
            unpaid="review" if review else None,
            details={"uid": form.get("uid") or form["email"], "review": review},
        )
        self.books.add(charge)
        key.deleted = once
        if code == "secure":
            return self._answer(200, {"success": 0, "secure": {"redirect": f"https://bank.example/{charge.pg_tid}"}})
        if code:
            raise Refusal(code)
        if form.get("store_card", "1") == "1":
            charge.details["token"] = key.key if not once else self._store(key, form["email"]).key
        if review:
            charge.details["decided_at"] = self.clock.now() + REVIEW_SECONDS
            self.later(charge.details["decided_at"], lambda: self.refresh(charge))
        self._ping(charge, "200" if review else "0")
        return self._answer(200, self._charge(charge))

    def read(self, account: str, _: Request, tid: str) -> Answer:
        return self._answer(200, self._charge(self._find(account, tid)))

    def refund(self, account: str, request: Request, tid: str) -> Answer:
        charge = self._find(account, tid)
        form = _form(request)
        if charge.declined_by or charge.unpaid:
            raise Refusal("3204")
        if charge.balance == 0:
            raise Refusal("3201")
        amount = _amount({"currency": charge.currency, **form}) if "amount" in form else charge.balance
        if amount > charge.balance:
            raise Refusal("3002")
        cancel = Cancel(f"r{len(charge.cancels) + 1}", charge.pg_tid, amount, self.clock.now())
        charge.cancels.append(cancel)
        self._ping(charge, "2", reason="9" if charge.balance == 0 else "10")
        return self._answer(200, self._charge(charge))

    def status(self, account: str, request: Request) -> Answer:
        query = request.query
        if "ref" in query:
            charge = self._find(account, query["ref"])
        else:
            found = self.books.find(account, query.get("ag_external_id", ""))
            if found is None or found.details["uid"] != query.get("uid") or not _is_shown(found):
                raise Refusal("3000")
            charge = found
        self.refresh(charge)
        shown = self._charge(charge)
        kept = {name: shown[name] for name in ("id", "created", "amount", "currency", "refunded", "risk")}
        more = {"uid": charge.details["uid"], "product_id": charge.order_id, "payment_system": "gateway"}
        return self._answer(200, {"object": "payment", **kept, **more, "subscription": None})

    def _key(self, account: str, form: Mapping[str, str]) -> Key:
        key = self.books.keys.get(form.get("token", ""))
        if key is None or key.account != account:
            raise Refusal("3111")
        if key.key.startswith("ot_") and (key.deleted or self.clock.now() > key.details["expires"]):
            raise Refusal("3112")
        if key.deleted:
            raise Refusal("3114", "Token was deleted")
        if "email" in key.details and key.details["email"] != form.get("email"):
            raise Refusal("3111")
        return key

    def _store(self, once: Key, email: str) -> Key:
        key = Key(once.account, secrets.token_hex(16), once.card, once.will, details={"email": email})
        self.books.keys[key.key] = key
        return key

    def _find(self, account: str, tid: str) -> Charge:
        charge = self.books.by_tid(account, tid)
        if charge is None or not _is_shown(charge):
            raise Refusal("3000")
        self.refresh(charge)
        return charge

    def _check_expiry(self, month: str, year: str) -> None:
        now = self.clock.kst()
        if not re.fullmatch(r"0[1-9]|1[0-2]", month) or not re.fullmatch(r"\d{4}", year):
            raise Refusal("223")
        if (int(year), int(month)) < (now.year, now.month):
            raise Refusal("223")

    def _charge(self, charge: Charge) -> dict[str, Any]:
        amount = _written(charge.amount, charge.currency)
        decided = "declined" if charge.declined_by else "approved"
        card = {"type": "Visa", "last4": charge.card[-4:], "exp_month": "11", "exp_year": "2039", "country": "KR"}
        if "token" in charge.details:
            card["token"] = charge.details["token"]
        return {
            "object": "charge",
            "id": charge.pg_tid,
            "test": 1,
            "amount": amount,
            "currency": charge.currency,
            "amount_paid": amount,
            "currency_paid": charge.currency,
            "created": int(charge.time),
            "captured": charge.state not in {"review", "declined"},
            "refunded": charge.state == "cancelled",
            "risk": "pending" if charge.unpaid else decided,
            "secure": False,
            "card": card,
            "support_link": "https://api.paymentwall.com/api/account/email-viewer",
        }

    def _ping(self, charge: Charge, kind: str, **more: str) -> None:
        fields = {
            "uid": charge.details["uid"],
            "goodsid": charge.order_id,
            "slength": "",
            "speriod": "",
            "type": kind,
            "ref": charge.pg_tid,
            "is_test": "1",
            "sign_version": "3",
            **more,
        }
        self.tell(fields | {"sig": signature(fields, SECRETS[charge.account])})

    def _answer(self, status: int, value: dict[str, Any]) -> Answer:
        answer = json_answer(status, value)
        mark = b"\xef\xbb\xbf" if next(self._answers) % 2 else b""
        return Answer(status, mark + answer.body, answer.content_type)


def window_key(sandbox: Sandbox, card_number: str, credentials: Mapping[str, str] = TEST_CREDENTIALS) -> dict[str, str]:
    """A permanent token as a first charge elsewhere would have left it, and what the adapter keeps of it."""
    simulator = sandbox.simulator
    owner = {"email": "gildong@shop.kr", "name": "Gildong Hong"}
    with simulator.lock:
        token = secrets.token_hex(16)
        details = {"email": owner["email"]}
        simulator.books.keys[token] = Key(
            credentials["public_key"], token, masked(card_number), card_outcome(card_number), details=details
        )
    return {"token": token, **owner}


def signature(fields: Mapping[str, str], secret_key: str) -> str:
    """Version 3: all parameters in the order of their names, then the key."""
    text = "".join(f"{name}={fields[name]}" for name in sorted(fields)) + secret_key
    return hashlib.sha256(text.encode()).hexdigest()


def _merchant(name: str, value: str | None, refusal: str) -> str:
    """The account whose key this is: named by its public key."""
    if not value:
        raise Refusal("4006" if name == "private_key" else refusal)
    found = next((merchant for merchant in MERCHANTS if merchant[name] == value), None)
    if found is None:
        raise Refusal(refusal)
    return found["public_key"]


def _check_signature(query: Mapping[str, str], secret_key: str) -> None:
    signed = {name: value for name, value in query.items() if name != "sign"}
    if query.get("sign_version") != "3" or query.get("sign") != signature(signed, secret_key):
        raise Refusal("3001")


def _form(request: Request) -> dict[str, str]:
    form = request.form()
    content_type = request.headers.get("content-type", "")
    if form is None or (form and not content_type.startswith("application/x-www-form-urlencoded")):
        raise Refusal("200", "Submitted request is empty.")
    return form


def _check_charge(form: Mapping[str, str], *, once: bool) -> None:
    """once: with a one-time token, which needs the holder's name and where the buyer sits."""
    required = ["description", "email", "plan", "timestamp"]
    if once and "fingerprint" not in form:
        required += ["browser_ip", "browser_domain"]
    if any(not form.get(name) for name in required):
        raise Refusal("3008")
    if "@" not in form["email"] or not re.fullmatch(r"\d{1,10}", form["timestamp"]):
        raise Refusal("3008")
    if once and not form.get("customer[firstname]"):
        raise Refusal("3301", "Please check first name")
    if once and not form.get("customer[lastname]"):
        raise Refusal("3302", "Please check last name")


def _amount(form: Mapping[str, str]) -> int:
    """Minor units."""
    currency, text = form.get("currency", ""), form.get("amount", "")
    decimals = 0 if currency in WHOLE_UNITS else 2
    whole, _, part = text.partition(".")
    if not re.fullmatch(r"[A-Z]{3}", currency) or not re.fullmatch(r"\d{1,12}(\.\d{1,2})?", text):
        raise Refusal("3002")
    if decimals == 0 and part.strip("0"):
        raise Refusal("3002")
    minor = int(whole) * 100 + int(part.ljust(2, "0")) if decimals else int(whole)
    if minor == 0:
        raise Refusal("3002")
    if currency == "USD" and minor < 50:
        raise Refusal("3115", "Charge amount is too small.")
    return minor


def _written(amount: int, currency: str) -> str:
    """Two decimals, whatever the currency."""
    if currency in WHOLE_UNITS:
        return f"{amount}.00"
    return f"{amount // 100}.{amount % 100:02d}"


def _is_shown(charge: Charge) -> bool:
    """A charge that was refused at once has left nothing to ask for."""
    return charge.declined_by in (None, "review")
