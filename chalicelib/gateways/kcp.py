"""NHN KCP, REST API: key-in, charges of batch keys, payments in its window, cancels, query by KCP's number.

Source of the rules, unless a line says otherwise: KCP's developer pages (key-in, automatic payment, standard payment,
cancel, inquiry). The window's pure parts: `kcp_window.py`.
How sure each fact is: docs/gateways/kcp.md.

- Every value on the wire is text, amounts too. A charge is authenticated by the service certificate in its body alone;
  cancels and queries are signed as well. The private key that signs comes encrypted, and has a password.
- KCP knows a charge by its own number (`tno`) only. There is no query by order id, and nothing that undoes a charge
  whose reply was lost: such a charge stays unknown until a person has looked.
- A partial cancel names the balance that it expects; KCP refuses it if the balance is another. Once a part was
  cancelled, the whole rest is a partial cancel, too.
- There is no public table of codes. What the known ones do not say is read from the families that issuers' refusals
  come in, and from the words that come with a code.
- How a key is issued from card data is not published for this API: an inference, and off unless the contract says so.
- Nor is how a query shows a virtual account: an inference, which takes one for paid only if the reply names a deposit.
"""

import base64
import json
import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, model_validator

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import (
    Approved,
    ApproveResult,
    AwaitingDeposit,
    Buyer,
    Cancelled,
    CancelRequest,
    CancelResult,
    Card,
    CardSummary,
    ChargeQuery,
    ChargeResult,
    Declined,
    DeleteResult,
    DepositNotice,
    FindResult,
    GatewayCancel,
    IssueRequest,
    IssueResult,
    KeyDeleted,
    KeyIssued,
    NotSent,
    Operation,
    PaymentRequest,
    RefundAccount,
    Unknown,
    VirtualAccount,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.institutions import BANKS
from chalicelib.domain.money import Money
from chalicelib.domain.receipts import default_vat
from chalicelib.domain.specs import (
    CredentialField,
    GatewaySpec,
    OrderIdScope,
    TestAccess,
    VirtualAccountRules,
    WindowRules,
)
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, WindowOrder, WindowPage
from chalicelib.gateways.base import Base
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.wire import codes, cut, from_seoul, quote_text, read_json, shown, table
from chalicelib.gateways.words import is_unsure, refusal_reason
from chalicelib.ports import Clock, UnsupportedOperation

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

log = logging.getLogger(__name__)

URLS = MappingProxyType(
    {
        Environment.LIVE: "https://spl.kcp.co.kr",
        Environment.TEST: "https://stg-spl.kcp.co.kr",
    }
)

WINDOW_URLS = MappingProxyType({
    Environment.LIVE: {
        "pc": "https://spay.kcp.co.kr", "mobile": "https://smpay.kcp.co.kr", "any": "https://*.kcp.co.kr",
    },
    Environment.TEST: {
        "pc": "https://testspay.kcp.co.kr", "mobile": "https://testsmpay.kcp.co.kr", "any": "https://*.kcp.co.kr",
    },
})  # fmt: skip
"""any: which of its servers the window loads from, frames and posts to, KCP does not say."""

REFUND_BANKS = frozenset({
    "002", "003", "004", "007", "011", "020", "023", "027", "031", "032", "034", "035", "037", "039", "045", "048",
    "054", "064", "071", "081", "088", "089", "090", "092",
})  # fmt: skip
"""Clearing-house codes; KCP's are BK and the last two digits of these."""

_PEM = r"\s*-----BEGIN {0}-----[A-Za-z0-9+/=\s]{{200,8000}}-----END {0}-----\s*"

SPEC = GatewaySpec(
    provider="kcp",
    label="NHN KCP",
    english="NHN KCP",
    operations=frozenset(
        {
            Operation.CHARGE_CARD,
            Operation.CHARGE_BILLING_KEY,
            Operation.DELETE_BILLING_KEY,
            Operation.CANCEL,
            Operation.PARTIAL_CANCEL,
            Operation.READ,
            Operation.PAY_IN_WINDOW,
        }
    ),
    recalled=frozenset({Operation.ISSUE_BILLING_KEY}),
    currencies=frozenset({"KRW"}),
    credentials=(
        CredentialField(
            "site_cd",
            "사이트 코드 (site_cd)",
            secret=False,
            pattern=r"[0-9A-Za-z]{5}",
            test_prefixes=("T0000", "T0007", "A52Q7", "BA001"),
        ),
        CredentialField(
            "group_id",
            "자동결제 그룹 ID (bt_group_id)",
            secret=False,
            required=False,  # a contract for key-in alone has none
            pattern=r"[0-9A-Za-z]{5,20}",
            test_prefixes=("A52Q71000489", "BA0011000348"),
        ),
        # It is all that a charge is authenticated by.
        CredentialField("certificate", "서비스 인증서 (splCert.pem)", pattern=_PEM.format("CERTIFICATE")),
        CredentialField("private_key", "개인키 (splPrikeyPKCS8.pem)", pattern=_PEM.format("ENCRYPTED PRIVATE KEY")),
        CredentialField("private_key_password", "개인키 비밀번호", pattern=r"[!-~]{1,100}"),
        CredentialField(
            "issue_by_api",
            "카드 정보로 배치키 발급 (Y/N)",
            secret=False,
            required=False,
            pattern="[YN]",
            adds=frozenset({Operation.ISSUE_BILLING_KEY}),
        ),
    ),
    # KCP names no longest time of an approval; clients of others wait 15 s for one.
    settling_delay=timedelta(minutes=10),
    order_id_scope=OrderIdScope.NONE,
    test_access=TestAccess.PUBLIC,
    windows=WindowRules(
        methods=frozenset({PayMethod.CARD, PayMethod.TRANS, PayMethod.VBANK, PayMethod.PHONE}),
        required=MappingProxyType({PayMethod.PHONE: ("buyer.name",)}),
        recalled=frozenset({PayMethod.VBANK}),
    ),
    virtual_accounts=VirtualAccountRules(
        banks=frozenset(),  # the buyer chooses in the window; by API this adapter issues none
        refund_banks=REFUND_BANKS,
        longest=timedelta(days=99),  # two digits in the window's form
        revocable=False,
        tells_expiry=False,
    ),
    notice_reply='<html><body><form><input type="hidden" name="result" value="0000"></form></body></html>',
)


class Adapter(Base):
    """One contract with NHN KCP. Implements ports.Gateway."""

    spec = SPEC

    def __init__(
        self, *, credentials: Mapping[str, str], pg_id: str, base_url: str, http: HttpClient, clock: Clock
    ) -> None:
        del pg_id  # a label: the site code names the contract
        self._credentials = credentials
        self._site_cd = credentials.get("site_cd", "")
        self._group_id = credentials.get("group_id", "")
        self._base_url = base_url
        self._http = http
        self._clock = clock

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult:
        body = {**_order(order_id, request), "card_tx_type": "11121000", **_card(card)}
        return self._charge("charge_card", order_id, body, timeout)

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult:
        if not self._group_id:
            return NO_GROUP
        body = {
            **_order(order_id, request),
            "card_tx_type": "11511000",
            "bt_batch_key": secret["batch_key"],
            "bt_group_id": self._group_id,
        }
        return self._charge("charge_billing_key", order_id, body, timeout)

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        """Asked by KCP's number only."""
        if not query.gateway_ref:
            return Unknown("cannot be asked by order id")
        pay_type = PAY_TYPES[query.pay_method]
        body = self._signed({"tno": query.gateway_ref, "pay_type": pay_type}, query.gateway_ref, pay_type)
        if isinstance(body, Declined):
            return _unanswered(body)
        reply = self._send("/std/inquery", "find", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        state = _success(_State, reply)
        return self._found(state, query) if state else _unanswered(_refusal(reply))

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        if not request.gateway_ref:
            raise UnsupportedOperation("kcp: no cancel by order id (net-cancel)")
        if request.pay_method == PayMethod.VBANK and (
            request.refund_to is None or not _is_refundable(request.refund_to)
        ):
            return NO_REFUND_ACCOUNT
        order = _cancel_order(request)
        body = self._signed(order, request.gateway_ref, order["mod_type"])
        if isinstance(body, Declined):
            return body
        reply = self._send("/gw/mod/v1/cancel", "cancel", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        cancel = _success(_Cancel, reply)
        return self._cancelled(cancel, request) if cancel else _refusal(reply)

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult:
        """The answer names neither order nor card: that it came on our connection is all that ties it to them."""
        if Operation.ISSUE_BILLING_KEY not in self.spec.operations:
            self._cannot("billing keys by card data in this contract (issue_by_api)")
        if not self._group_id:
            return NO_GROUP
        body = {
            **_issue_order(request),
            "card_tx_type": "12100000",
            **_card(card),
            "sign_txtype": "0001",
            "bt_group_id": self._group_id,
        }
        reply = self._send("/gw/hub/v1/payment", "issue_billing_key", timeout, self._certified(body))
        if not isinstance(reply, Reply):
            return reply
        issued = _success(_Key, reply)
        if issued is None:
            return _refusal(reply)
        summary = _card_summary(issued.card_cd, issued.card_name, card.masked, issued.card_bin_type_02)
        return KeyIssued({"batch_key": issued.batch_key}, summary)

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult:  # noqa: ARG002 - a deletion needs no id of ours here
        body = {
            "pay_method": "BATCH",
            "tx_type": "10005010",
            "batch_key": secret["batch_key"],
            "group_id": self._group_id,
        }
        reply = self._send("/gw/hub/v1/payment", "delete_billing_key", timeout, self._certified(body))
        if not isinstance(reply, Reply):
            return reply
        if _success(_Result, reply):
            return KeyDeleted()
        refusal = _refusal(reply)
        gone = isinstance(refusal, Declined) and refusal.reason is R.BILLING_KEY_INVALID
        return KeyDeleted() if gone else refusal

    def open_window(self, order: WindowOrder, timeout: float) -> WindowPage | Declined | NotSent | Unknown:
        """Refused if the private key cannot be opened: nobody could cancel such a payment."""
        from chalicelib.gateways import kcp_window  # noqa: PLC0415 - only channels with a window need it

        if self._private_key is None:
            return KEY_NOT_OPENED
        hosts = (self.window_urls["any"],)
        if not order.terms.is_mobile:
            fields = kcp_window.pc_fields(order, self._site_cd, self._clock.now())
            script = f"{self.window_urls['pc']}/plugin/kcp_spay_hub.js"
            return WindowPage("kcp", {"action": None, "fields": fields}, script, hosts)
        body = self._certified(kcp_window.registration(order))
        reply = self._send("/std/tradeReg/register", "open_window", timeout, body)
        if not isinstance(reply, Reply):
            return reply
        registered = read_json(kcp_window.Registered, reply) if reply.status == 200 else None
        if registered is None:
            return Unknown(f"HTTP {reply.status} without a registration", unwell=True)
        if registered.code != "0000":
            code, message = quote_text(registered.code, 60), quote_text(registered.message or "")
            return Declined(reason_of(code, message) or R.NOT_CHARGED, code, message)
        if not registered.leads_to_kcp(self.window_urls["mobile"]):
            return Unknown("the registration leads to no page of KCP's")
        action, fields = kcp_window.mobile_form(order, self._site_cd, registered)
        return WindowPage("kcp", {"action": action, "fields": fields}, hosts=hosts)

    def read_return(self, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:
        from chalicelib.gateways import kcp_window  # noqa: PLC0415

        return kcp_window.read_return(order, self._site_cd, fields)

    def approve(self, order: WindowOrder, back: Authenticated, timeout: float) -> ApproveResult:
        method = order.terms.pay_method
        if self._private_key is None:
            return KEY_NOT_OPENED
        body = {
            **back.proof,
            "ordr_no": order.order_id,
            "ordr_mony": str(order.request.amount.amount),
            "pay_type": PAY_TYPES[method],
        }
        reply = self._send("/gw/enc/v1/payment", "approve", timeout, self._certified(body))
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply)
        if payment is None:
            return _refused_charge(reply)
        # Money may have moved, and nothing but KCP's number leads a person to it.
        if payment.order_no != order.order_id:
            return Unknown(f"{payment.tno[:60]} is approved, and not of this order")
        # The page's form says how to pay, and a buyer can change it: an account that was issued is no payment.
        if payment.pay_method not in ANSWERED_AS[method]:
            paid_as = quote_text(payment.pay_method or "nothing", 30)
            return Unknown(f"{payment.tno[:60]} is approved as {paid_as}, and not by {method}")
        if method is PayMethod.VBANK:
            return self._issued(payment)
        return self._approved(payment, payment.amount)

    def read_deposit_notice(self, fields: Mapping[str, Any]) -> DepositNotice | None:
        from chalicelib.gateways import kcp_window  # noqa: PLC0415

        return kcp_window.read_notice(self._site_cd, fields)

    def _charge(self, operation: str, order_id: str, body: dict[str, str], timeout: float) -> ChargeResult:
        """Not sent if the private key cannot be opened: nobody could cancel such a charge."""
        if self._private_key is None:
            return KEY_NOT_OPENED
        reply = self._send("/gw/hub/v1/payment", operation, timeout, self._certified(body))
        if not isinstance(reply, Reply):
            return reply
        payment = _success(_Payment, reply)
        if payment is None:
            return _refused_charge(reply)
        if payment.order_no != order_id:
            return Unknown("the reply is not about this order")
        return self._approved(payment, payment.amount)

    def _found(self, state: "_State", query: ChargeQuery) -> Approved | AwaitingDeposit | Unknown:
        if (state.tno, state.order_no) != (query.gateway_ref, query.order_id):
            return Unknown("the reply is not about this order")
        if query.pay_method == PayMethod.VBANK and state.ipgm_mnyx is None:
            return self._issued(state) if state.status == "STIR" else _unclear(state)
        if state.balance is None:
            return _unclear(state)
        return self._approved(state, state.balance)

    def _issued(self, payment: "_Payment") -> AwaitingDeposit | Unknown:
        """An account that nothing was paid into, as an approval and a query of it show it."""
        account = self._account(payment)
        if account is None:
            return Unknown("the reply shows no virtual account")
        return AwaitingDeposit(payment.tno, Money(payment.amount), account)

    def _account(self, payment: "_Payment") -> VirtualAccount | None:
        due_at = from_seoul(payment.va_date)
        if not (due_at and payment.account and len(payment.account) <= 40):
            return None
        return VirtualAccount(
            bank_code=_bank_code(payment.bankcode),
            number=payment.account,
            due_at=due_at,
            issued_at=from_seoul(payment.app_time) or self._clock.now(),
            holder=shown(payment.depositor),
        )

    def _approved(self, payment: "_Payment", balance: int) -> Approved:
        """The reply names no currency: nothing but won is charged here.

        Of cancels KCP tells the sum and the last one's time. So they are shown as one; it has a number only if it was a
        cancel of the whole, which bears the charge's.
        """
        cancels: tuple[GatewayCancel, ...] = ()
        if balance < payment.taken:
            cancels = (
                GatewayCancel(
                    gateway_ref=payment.tno if payment.status == "STSC" else "",
                    amount=Money(payment.taken - balance),
                    cancelled_at=from_seoul(payment.can_time) or self._clock.now(),
                ),
            )
        return Approved(
            gateway_ref=payment.tno,
            amount=Money(payment.taken),
            approved_at=from_seoul(payment.paid_at) or self._clock.now(),
            approval_number=quote_text(payment.app_no or "", 60) or None,
            card=_card_of(payment),
            balance=Money(balance),
            cancels=cancels,
            account=self._account(payment),
            bank_code=_bank_code(payment.bank_code),
            easy_pay=EASY_PAYS.get(payment.card_other_pay_type or payment.pay_method or ""),
        )

    def _cancelled(self, cancel: "_Cancel", request: CancelRequest) -> CancelResult:
        """A cancel of the whole names no amount of its own, but may repeat the charge's."""
        left = request.balance - request.amount
        if cancel.tno != request.gateway_ref:
            return Unknown("the reply is not about this charge")
        if _is_whole(request):
            shown = cancel.amount in {None, request.charged.amount} and not cancel.rem_mny
        else:
            shown = (cancel.mod_mny, cancel.rem_mny) == (request.amount.amount, left.amount)
        if not shown:
            return Unknown("the reply shows a cancel of another amount")
        done = GatewayCancel(
            gateway_ref=cancel.mod_pcan_seq_no or cancel.tno,
            amount=request.amount,
            cancelled_at=from_seoul(cancel.canc_time) or self._clock.now(),
            reason=request.reason,
        )
        return Cancelled(done, left)

    def _certified(self, body: Mapping[str, str]) -> dict[str, str]:
        certificate = "".join(_pem(self._credentials.get("certificate", "")) or ())
        return {"site_cd": self._site_cd, "kcp_cert_info": certificate, **body}

    def _signed(self, body: Mapping[str, str], *parts: str) -> dict[str, str] | Declined:
        """With the signature over site code and parts, or why there can be none."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - heavy
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

        if self._private_key is None:
            return KEY_NOT_OPENED
        signature = self._private_key.sign("^".join((self._site_cd, *parts)).encode(), PKCS1v15(), SHA256())
        return {**self._certified(body), "kcp_sign_data": base64.b64encode(signature).decode()}

    @property
    def _private_key(self) -> "RSAPrivateKey | None":
        _, text, _ = _pem(self._credentials.get("private_key", "")) or ("", "", "")
        return _opened(text, self._credentials.get("private_key_password", ""))

    def _send(self, path: str, operation: str, timeout: float, body: Mapping[str, str]) -> Reply | NotSent | Unknown:
        return self._http.ask(
            "POST",
            self._base_url + path,
            operation=f"kcp.{operation}",
            timeout=timeout,
            headers={"Content-Type": "application/json;charset=utf-8"},
            body=json.dumps(body).encode(),
        )


# --- requests ---------------------------------------------------------------------------------------------------


def _order(order_id: str, request: PaymentRequest) -> dict[str, str]:
    amount = str(request.amount.amount)
    return {
        "pay_method": "CARD",
        "cust_ip": request.browser_ip or "",
        "amount": amount,
        "card_mny": amount,
        "currency": WON,
        "quota": f"{request.quota if request.quota > 1 else 0:02}",
        "ordr_idxx": order_id,
        "good_name": kcp_text(request.name, 100) or "상품",
        **buyer_fields(request.buyer),
        **amount_split(request),
    }


def _issue_order(request: IssueRequest) -> dict[str, str]:
    return {"pay_method": "CARD", "cust_ip": "", "ordr_idxx": request.order_id, **buyer_fields(request.customer)}


def _cancel_order(request: CancelRequest) -> dict[str, str]:
    is_whole, is_deposit = _is_whole(request), request.pay_method == PayMethod.VBANK
    whole, part = ("STHD", "STPD") if is_deposit else ("STSC", "STPC")
    body = {
        "tno": request.gateway_ref,
        "mod_type": whole if is_whole else part,
        "mod_desc": kcp_text(request.reason, 100) or "취소",
    }
    if not is_whole:
        body |= {"mod_mny": str(request.amount.amount), "rem_mny": str(request.balance.amount)}
        if request.tax_free:
            taxable = request.amount.amount - request.tax_free
            vat = default_vat(taxable) if request.vat is None else request.vat
            body |= _taxes("mod", taxable, vat, request.tax_free)
    if is_deposit and request.refund_to:
        body |= _refund(request.refund_to, "MDSC00" if is_whole else "MDSC04" if request.tax_free else "MDSC03")
    return body


def _refund(refund_to: RefundAccount, kind: str) -> dict[str, str]:
    """What a deposit is refunded with besides. Seen in programs that use KCP's old client."""
    return {
        "mod_sub_type": kind,
        "mod_comp_type": "MDCP01",  # checked for its number, and not for whose it is
        "mod_bankcode": f"BK{(refund_to.bank or '')[1:]}",
        "mod_account": re.sub(r"\D", "", refund_to.account or ""),
        "mod_depositor": kcp_text(refund_to.holder, 40),
    }


def _is_refundable(refund_to: RefundAccount) -> bool:
    return bool(refund_to.bank in REFUND_BANKS and refund_to.account and kcp_text(refund_to.holder, 40))


def _is_whole(request: CancelRequest) -> bool:
    return request.amount == request.balance == request.charged


def amount_split(request: PaymentRequest) -> dict[str, str]:
    if not request.tax_free:
        return {}
    taxable = request.amount.amount - request.tax_free
    vat = default_vat(taxable) if request.vat is None else request.vat
    return _taxes("comm", taxable, vat, request.tax_free)


def _taxes(prefix: str, taxable: int, vat: int, tax_free: int) -> dict[str, str]:
    """The split of an amount that is partly free of tax."""
    return {
        "tax_flag": "TG03",
        f"{prefix}_tax_mny": str(taxable - vat),
        f"{prefix}_vat_mny": str(vat),
        f"{prefix}_free_mny": str(tax_free),
    }


def _card(card: Card) -> dict[str, str]:
    """Birth and password are for contracts that check the holder: sent if the request has them."""
    body = {"card_no": card.number, "card_expiry": card.expiry_year[-2:] + card.expiry_month}
    if card.birth:
        body["card_taxno"] = card.birth
    if card.password_2digits:
        body["card_pwd"] = card.password_2digits
    return body


def buyer_fields(buyer: Buyer) -> dict[str, str]:
    """Optional here, so what does not fit is cut or left out rather than refused."""
    email, tel = buyer.email or "", buyer.tel or ""
    return {
        "buyr_name": kcp_text(buyer.name, 40),
        "buyr_mail": email if len(email) <= 100 and kcp_text(email, 100) == email else "",
        "buyr_tel2": tel if re.fullmatch(r"[0-9+-]{1,20}", tel) else "",
    }


def kcp_text(text: str | None, limit: int) -> str:
    """Without the characters that KCP refuses in texts."""
    return cut(re.sub(r"[,&;\n\\|'\"<>]+", " ", text or ""), limit)


@lru_cache(maxsize=16)
def _opened(text: str, password: str) -> "RSAPrivateKey | None":
    """The key in Base64 text; None: it is none, or the password is another's.

    Kept: its password is stretched on purpose, so opening it takes 30 ms of CPU, and every cancel needs it. The process
    holds the data keys that credentials can be opened with anyway.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - a cold start need not load it
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415

    try:
        key = load_der_private_key(base64.b64decode(text), password.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPrivateKey) else None


def _pem(text: str) -> tuple[str, str, str] | None:
    """Begin, content, end of a PEM file, whose lines may have been joined or broken on the way here."""
    match = re.fullmatch(r"\s*(-----BEGIN [A-Z ]+-----)([A-Za-z0-9+/=\s]*)(-----END [A-Z ]+-----)\s*", text)
    return (match[1], "".join(match[2].split()), match[3]) if match else None


# --- replies ----------------------------------------------------------------------------------------------------


_Number = Annotated[str, Field(min_length=1, max_length=500)]
"""Of KCP: what is longer than any that it gives could not be kept."""


class _Result(BaseModel):
    res_cd: str = Field(min_length=1)
    res_msg: str | None = None
    app_no: str | None = None


class _Key(_Result):
    batch_key: _Number
    card_cd: str | None = None
    card_name: str | None = None
    card_bin_type_02: str | None = None


class _Payment(_Result):
    tno: _Number
    order_no: str | None = None
    amount: int = Field(gt=0)
    app_time: str | None = None
    card_cd: str | None = None
    card_name: str | None = None
    card_no: str | None = None
    acqu_cd: str | None = None
    card_bin_type_02: str | None = None
    # of what was paid in the window
    pay_method: str | None = None
    card_other_pay_type: str | None = None
    bank_code: str | None = None
    # of a virtual account
    account: str | None = None
    bankcode: str | None = None
    depositor: str | None = None
    va_date: str | None = None
    # of what is asked about
    status: str | None = None
    can_time: str | None = None

    @property
    def taken(self) -> int:
        return self.amount

    @property
    def paid_at(self) -> str | None:
        return self.app_time


class _State(_Payment):
    """Each way to pay has names of its own for some of it. ipgm_mnyx: what was paid into a virtual account."""

    status: str | None = Field(
        None, validation_alias=AliasChoices("stat_ca_cd", "stat_bk_cd", "stat_hp_cd", "shop_status")
    )
    rem_mny: int | None = Field(None, ge=0, validation_alias=AliasChoices("rem_mny", "bk_rem_mny", "hp_rem_mny"))
    app_time: str | None = Field(None, validation_alias=AliasChoices("app_time", "hp_app_time"))
    ipgm_mnyx: int | None = Field(None, gt=0)
    ipgm_time: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        """Every value is text here: one that there is not may be left out, or empty."""
        return {name: text for name, text in value.items() if text != ""} if isinstance(value, dict) else value

    @property
    def taken(self) -> int:
        return self.ipgm_mnyx or self.amount

    @property
    def paid_at(self) -> str | None:
        return self.ipgm_time or self.app_time

    @property
    def balance(self) -> int | None:
        """None: it does not tell, or contradicts itself.

        An untouched charge must show its whole amount: of one that cannot be cancelled in parts it might show nothing,
        and that would look like a cancel.
        """
        match self.status:
            case "STSR" if self.rem_mny == self.taken:
                return self.taken
            case "STPC" if self.rem_mny is not None and self.rem_mny < self.taken:
                return self.rem_mny
            case "STSC" if not self.rem_mny:
                return 0
        return None


_OptionalAmount = Annotated[int | None, BeforeValidator(lambda value: None if value == "" else value)]


class _Cancel(_Result):
    tno: _Number
    amount: _OptionalAmount = None
    mod_mny: _OptionalAmount = None
    rem_mny: _OptionalAmount = None
    mod_pcan_seq_no: str | None = Field(None, max_length=500)
    canc_time: str | None = None


W = TypeVar("W", bound=_Result)


def _success(model: type[W], reply: Reply) -> W | None:
    result = read_json(model, reply) if reply.status == 200 else None
    return result if result and result.res_cd == "0000" else None


def _refusal(reply: Reply) -> Declined | Unknown:
    """What an answer other than success means: no only with a code, or words, that are known to mean no."""
    result = read_json(_Result, reply) if reply.status < 500 else None
    if result is None:
        return Unknown(f"HTTP {reply.status} without a code", unwell=True)
    code = quote_text(result.res_cd, 60)
    message = quote_text(result.res_msg or code)
    if reason := reason_of(code, message):
        return Declined(reason, code, message)
    if code not in UNKNOWN_CODES:
        log.warning("kcp: code %r is not mapped, outcome unknown", code)
    return Unknown(f"HTTP {reply.status}: {message}", code)


def _refused_charge(reply: Reply) -> Declined | Unknown:
    """Words about a cancel are no answer to a charge: KCP might have tried to cancel it, and failed."""
    refusal = _refusal(reply)
    if isinstance(refusal, Declined) and refusal.code in CANCEL_DECLINES:
        return Unknown(f"a charge was refused in words for a cancel: {refusal.message}", refusal.code)
    if isinstance(refusal, Declined) and (result := read_json(_Result, reply)) and result.app_no:
        return Unknown(f"refused, and with an approval number: {refusal.message}", refusal.code)
    return refusal


def _unclear(state: _State) -> Unknown:
    return Unknown(f"status {quote_text(state.status or 'none', 30)}, balance {state.rem_mny}")


def _unanswered(refusal: Declined | Unknown) -> Unknown:
    """A refused question says nothing about the charge."""
    if isinstance(refusal, Unknown):
        return refusal
    return Unknown("the query was refused", refusal.code, unwell=refusal.reason is R.CHANNEL_REJECTED)


def reason_of(code: str, message: str) -> R | None:
    """Why it is a no; None if it may be none."""
    if code in DECLINES or code in CANCEL_DECLINES or code in UNKNOWN_CODES:
        return DECLINES.get(code) or CANCEL_DECLINES.get(code)
    message = ENDED_BEFORE.sub("", message)
    if is_unsure(message):
        return None
    if ISSUERS_CODE.fullmatch(code):
        other = R.INSTALLMENT_NOT_ALLOWED if "할부" in message else R.ISSUER_DECLINED
        return refusal_reason(message) or other
    if OUR_CREDENTIALS.search(message):
        return R.CHANNEL_REJECTED
    return R.BILLING_KEY_INVALID if KEY_GONE.search(message) else None


def _card_of(payment: _Payment) -> CardSummary | None:
    if payment.pay_method not in CARD_LIKE:
        return None
    return _card_summary(payment.card_cd, payment.card_name, payment.card_no, payment.card_bin_type_02, payment.acqu_cd)


def _card_summary(
    code: str | None, name: str | None, number: str | None, kind: str | None, acquirer: str | None = None
) -> CardSummary:
    issuer_code = CARD_CODES.get(code or "")
    shown = quote_text(name or "", 60) or None
    return CardSummary(
        name=shown,
        code=issuer_code,
        issuer_code=CARD_CODES.get(acquirer or ""),
        publisher_code=issuer_code,
        publisher_name=shown,
        number=quote_text(number, 30) if number else None,
        type={"0": 0, "1": 1}.get(kind or ""),
    )


def _bank_code(code: str | None) -> str | None:
    """The clearing house's: KCP's ends in its last two digits, but for banks that have merged since."""
    digits = f"0{code[-2:]}" if code and re.fullmatch(r"(BK)?0?\d{2}", code) else ""
    digits = MERGED_BANKS.get(digits, digits)
    return digits if digits in BANKS else None


# --- codes ------------------------------------------------------------------------------------------------------

WON = "410"
PAY_TYPES: Mapping[str, str] = MappingProxyType({"card": "PACA", "trans": "PABK", "vbank": "PAVC", "phone": "PAMC"})
"""V1's word -> KCP's."""

CARD_LIKE = frozenset({"PACA", "PAKM", "PANP", None})
"""Cards, and the money that Kakao Pay and Naver Pay have of a buyer: chosen among the cards. None: not told."""

ANSWERED_AS: Mapping[PayMethod, frozenset[str | None]] = MappingProxyType(
    {
        PayMethod.CARD: CARD_LIKE - {None},
        PayMethod.TRANS: frozenset({"PABK"}),
        PayMethod.VBANK: frozenset({"PAVC"}),
        PayMethod.PHONE: frozenset({"PAMC"}),
    }
)

EASY_PAYS: Mapping[str, str] = MappingProxyType(
    {
        "OT01": "samsungpay",
        "OT03": "ssgpay",
        "OT11": "lpay",
        "OT12": "payco",
        "OT13": "kakaopay",
        "OT16": "naverpay",
        "OT21": "applepay",
        "OT23": "tosspay",
        "PAKM": "kakaopay",
        "PANP": "naverpay",
    }
)

MERGED_BANKS: Mapping[str, str] = MappingProxyType({"005": "081", "021": "088", "026": "088"})

KEY_NOT_OPENED = Declined(
    R.CHANNEL_REJECTED,
    "private_key",
    "개인키를 열 수 없습니다. 개인키 파일과 비밀번호를 확인해 주세요. (the private key cannot be opened)",
)

NO_REFUND_ACCOUNT = Declined(
    R.INVALID_REQUEST,
    "refund_account",
    "가상계좌 환불에는 예금주, 은행, 계좌번호가 필요합니다. (a deposit is refunded to an account)",
)

NO_GROUP = Declined(
    R.CHANNEL_REJECTED, "group_id", "채널에 자동결제 그룹 ID가 없습니다. (the channel has no group for billing keys)"
)

DECLINES = table(
    (R.INSUFFICIENT_FUNDS, "AC25 CC10 CC88"),
    (R.LIMIT_EXCEEDED, "CC07-CC09 CC61 8186 8188"),
    # the contract: site code, means of payment
    (R.CHANNEL_REJECTED, "3014 3101"),
    # the call: amounts that differ, a value that is missing
    (R.INVALID_REQUEST, "8059 DM10"),
)
"""Codes that surely mean no."""

CANCEL_DECLINES = table(
    # a cancel of the whole after a part
    (R.INVALID_REQUEST, "8038"),
    # a cancel that the merchant's coming settlements do not cover
    (R.AMOUNT_NOT_ALLOWED, "8178"),
)
"""Codes that mean no to a cancel, and to nothing else."""

UNKNOWN_CODES = (
    codes("0900 0902 9316 9999 9502 9562")
    # a charge like this one has been made before; cancelled before, by us or by another
    | codes("8094 8128 8133")
    # success, but without what belongs to it
    | codes("0000")
)

ISSUERS_CODE = re.compile(r"(CC|AC)[0-9A-Z]{2}")
"""The card's side and the account's: refusals of the issuer, of which few are published."""


ENDED_BEFORE = re.compile(r"이미 ?(?=(삭제|해지|만료|정지)[된되])")
"""What is said of a key or of a card, and of no charge: the one "already" without doubt."""

OUR_CREDENTIALS = re.compile(r"서비스 ?인증서|사이트 ?코드|site_cd|kcp_cert_info|kcp_sign_data")
_KEY = r"(배치|빌링?) ?키"
KEY_GONE = re.compile(
    rf"(삭제된|해지된|만료된|없는|존재하지 ?않는|등록되지 ?않은|유효하지 ?않은) ?{_KEY}"
    rf"|{_KEY}[가는]? ?(없|삭제되었|해지되었|만료되었|존재하지 ?않|등록되지 ?않|유효하지 ?않)"
)
"""KCP's words for these have never been seen: they are guessed, and what does not match stays unknown."""

# KCP's code -> clearing-house code. UnionPay, Visa, Master, JCB and Amex name no Korean issuer.
CARD_CODES: Mapping[str, str] = MappingProxyType(
    {
        "CCBC": "361",
        "CCKJ": "364",
        "CCSS": "365",
        "CCLG": "366",
        "CCDI": "367",
        "CCLO": "368",
        "CCSU": "369",
        "CCCT": "370",
        "CCNH": "371",
        "CCJB": "372",
        "CCCJ": "373",
        "CCHN": "374",
        "CCKE": "374",
        "CCKM": "381",
        "CCWR": "041",
    }
)
