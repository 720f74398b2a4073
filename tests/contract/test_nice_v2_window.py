"""What only NICE Payments' window does: its parameters, what comes back, the approval, virtual accounts."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Cancelled,
    ChargeQuery,
    Declined,
    DepositNotice,
    NotFound,
    NotSent,
    RefundAccount,
    Revoked,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason as R
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.domain.specs import GatewaySpec
from chalicelib.domain.windows import Authenticated
from chalicelib.gateways.nice_v2 import DECLINES, NOT_FOUND_CODES, SPEC, UNKNOWN_CODES
from chalicelib.gateways.wire import codes
from infra.sandbox.nice_v2 import CLIENT_APPROVAL_CREDENTIALS, OTHER_CREDENTIALS, TEST_CREDENTIALS
from infra.sandbox.server import Refusal
from tests.contract.conftest import TIMEOUT, Bench
from tests.contract.windows import approve, authenticated, opened, pay, read_return, visit, window_order

CLIENT_ID, SECRET_KEY = TEST_CREDENTIALS["client_id"], TEST_CREDENTIALS["secret_key"]
REFUND_TO = RefundAccount("홍길동", "088", "110-123-456789")


TID = "UT0000113m01012110051656331001"


def sha256(*parts):
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def params(nice, **kwargs):
    return opened(nice, window_order(nice, **kwargs)).params


# --- opening ------------------------------------------------------------------------------------------------------


def test_the_window_of_each_environment(nice):
    page = opened(nice, window_order(nice))
    assert (page.driver, page.script) == ("nice_v2", f"{nice.sandbox.url}/v1/js/")
    assert set(page.hosts) == {nice.sandbox.url}
    urls = {environment.value: dict(urls) for environment, urls in nice.module.WINDOW_URLS.items()}
    others = {"others": "https://*.nicepay.co.kr"}
    assert urls["live"] == {"script": "https://pay.nicepay.co.kr"} | others
    assert urls["test"] == {"script": "https://sandbox-pay.nicepay.co.kr"} | others


def test_what_the_window_is_opened_with(nice):
    order = window_order(nice, name='월간 "이용권" 50%|', tax_free=900, app_scheme="myshop", language="zh")
    assert opened(nice, order).params == {
        "clientId": CLIENT_ID,
        "method": "card",
        "orderId": order.order_id,
        "amount": 8900,
        "goodsName": "월간 이용권 50",
        "returnUrl": order.return_url,
        "language": "CN",
        "taxFreeAmt": 900,
        "buyerName": "Gildong Hong",
        "buyerEmail": "gildong@shop.kr",
        "buyerTel": "01012345678",
        "mallUserId": "member-7",
        "appScheme": "myshop://",
    }


@pytest.mark.parametrize(
    ("amount", "terms", "wanted"),
    [
        (50_000, {}, {}),
        (50_000, {"quotas": ()}, {"cardQuota": "00"}),
        (50_000, {"quotas": (3, 12)}, {"cardQuota": "00,03,12"}),
        (50_000, {"quotas": (0, 1, 6)}, {"cardQuota": "00,06"}),
        (50_000, {"quota": 6}, {"cardQuota": "06"}),
        (49_999, {"quotas": (3, 12)}, {}),
        (49_999, {"quota": 6}, {}),
        (8900, {"card_code": "381"}, {"method": "directCard", "cardCode": "02", "cardQuota": "00"}),
        (50_000, {"card_code": "381", "quota": 3}, {"method": "directCard", "cardCode": "02", "cardQuota": "03"}),
        (50_000, {"card_code": "999"}, {}),
    ],
)
def test_instalments_and_issuers(nice, amount, terms, wanted):
    found = params(nice, amount=amount, **terms)
    usual = {"method": "card", "cardQuota": None, "cardCode": None}
    assert {name: found.get(name) for name in usual} == usual | wanted


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("card", {"method": "card"}),
        ("trans", {"method": "bank"}),
        ("vbank", {"method": "vbank", "vbankHolder": "Gildong Hong", "vbankExpDate": "2039-01-02T03:04"}),
        ("phone", {"method": "cellphone", "isDigital": False}),
    ],
)
def test_each_method(nice, method, wanted):
    due = datetime(2039, 1, 1, 18, 4, 59, tzinfo=UTC)
    found = params(nice, method=method, account_due=due)
    named = {"method", "vbankHolder", "vbankExpDate", "isDigital"}
    assert {name: value for name, value in found.items() if name in named} == wanted


def test_a_page_cannot_change_the_order_by_what_it_passes_on(nice):
    evil = {"amount": 1, "orderId": "x", "returnUrl": "https://evil", "clientId": "x", "taxFreeAmt": 8900,
            "returnCharSet": "euc-kr", "vbankValidHours": 9999, "fnError": "x", "method": "vbank"}  # fmt: skip
    harmless = {"skinType": "dark", "zIdxHigher": True, "logoImgUrl": {"no": "object"}}
    found = params(nice, bypass=json.dumps({"nice_v2": evil | harmless, "amount": 2}))
    assert found == params(nice, order_id=found["orderId"]) | {"skinType": "dark", "zIdxHigher": True}


@pytest.mark.parametrize("bypass", ["", "[]", "no json", '{"nice_v2": 7}', '{"nice_v2": null}', '"nice_v2"'])
def test_nothing_to_pass_on(nice, bypass):
    assert params(nice, bypass=bypass)["amount"] == 8900


def test_what_the_simulators_window_refuses(nice):
    good = params(nice, method="vbank")
    for changes, code in [
        ({"clientId": "S2_nobody"}, "P005"),
        ({"method": "cardAndMore"}, "U110"),
        ({"amount": "8900"}, "P010"),
        ({"goodsName": ""}, "P007"),
        ({"vbankHolder": ""}, "P007"),
        ({"vbankExpDate": "20390101"}, "P024"),
        ({"vbankExpDate": "2020-01-01T00:00"}, "A107"),
        ({"method": "cellphone"}, "P011"),
        ({"method": "directCard"}, "P022"),
        ({"method": "card", "cardQuota": "00,03"}, "P037"),
    ]:
        with pytest.raises(Refusal) as refused:
            nice.sandbox.simulator.enter({**good, **changes})
        assert refused.value.code == code, changes


def test_what_the_window_needs():
    spec: GatewaySpec = SPEC
    needed = {method.value: set(fields) for method, fields in spec.windows.required.items()}
    tel = {"buyer.tel"}
    assert needed == {"card": tel, "trans": tel, "vbank": tel | {"account_due"}, "phone": tel | {"digital"}}


# --- coming back --------------------------------------------------------------------------------------------------


def server_return(order, **changes):
    fields = {
        "authResultCode": "0000",
        "authResultMsg": "인증 성공",
        "tid": TID,
        "clientId": CLIENT_ID,
        "orderId": order.order_id,
        "amount": "8900",
        "mallReserved": "",
        "authToken": "NICEUNTT9FBBD87FD2393AFEE45A7DCA61C194AA",
    }
    fields["signature"] = sha256(fields["authToken"], CLIENT_ID, "8900", SECRET_KEY)
    return {name: value for name, value in (fields | changes).items() if value is not None}


def test_a_return_is_signed_over_token_client_and_amount(nice):
    order = window_order(nice)
    back = read_return(nice, order, server_return(order))
    assert back == Authenticated({"tid": TID}, {"tid": TID})
    assert "UT0000" not in repr(back)
    assert isinstance(read_return(nice, order, visit(nice, order)), Authenticated)
    upper = server_return(order)
    assert read_return(nice, order, upper | {"signature": upper["signature"].upper()}) == back


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "100"}, "amount"),
        ({"amount": "100", "signature": sha256("T", CLIENT_ID, "100", SECRET_KEY), "authToken": "T"}, "amount"),
        ({"amount": None}, "amount"),
        ({"orderId": "imp000000000000a1"}, "orderId"),
        ({"orderId": None}, "orderId"),
        ({"clientId": OTHER_CREDENTIALS["client_id"]}, "clientId"),
        ({"authToken": "another"}, "signature"),
        ({"authToken": None}, "signature"),
        ({"signature": "0" * 64}, "signature"),
        ({"signature": "서명"}, "signature"),
        ({"signature": None}, "signature"),
        ({"tid": None}, "tid"),
        ({"tid": "netcancel"}, "tid"),
        ({"tid": "../../v1/payments/netcancel"}, "tid"),
        ({"authResultCode": None}, "authResultCode"),
    ],
)
def test_a_return_that_nice_cannot_have_sent(nice, changes, field):
    order = window_order(nice)
    with pytest.raises(InvalidRequest) as refused:
        read_return(nice, order, server_return(order, **changes))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("I002", R.BUYER_CANCELLED),
        ("P091", R.BUYER_CANCELLED),
        ("C001", R.BUYER_CANCELLED),
        ("C002", R.CARD_CHECK_FAILED),
        ("P037", R.INSTALLMENT_NOT_ALLOWED),
        ("M001", R.CHANNEL_REJECTED),
        ("U501", R.NOT_CHARGED),
        ("ZZ99", R.NOT_CHARGED),
    ],
)
def test_a_window_that_failed_took_nothing(nice, code, reason):
    order = window_order(nice)
    fields = {"authResultCode": code, "authResultMsg": "안 됨", "orderId": order.order_id}
    assert read_return(nice, order, fields) == Declined(reason, code, "안 됨")
    with pytest.raises(InvalidRequest):
        read_return(nice, order, fields | {"orderId": "imp000000000000a1"})


def test_the_buttons(nice):
    order = window_order(nice)
    assert read_return(nice, order, visit(nice, order, "cancel")).reason is R.BUYER_CANCELLED
    assert read_return(nice, order, visit(nice, order, "fail")).code == "C002"
    assert nice.books(order.order_id) == []


# --- approving ----------------------------------------------------------------------------------------------------


def test_an_approval(nice):
    order, approved = pay(nice)
    assert approved.amount == approved.balance == Money(8900)
    assert approved.card.code == "365"
    assert (approved.account, approved.bank_code, approved.easy_pay) == (None, None, None)
    assert nice.find(order.order_id) == nice.find(order.order_id, approved.gateway_ref) == approved
    result = nice.gateway.cancel(nice.cancel_request(order.order_id, approved, 900), TIMEOUT)
    assert isinstance(result, Cancelled)
    assert nice.money_taken(order.order_id) == 8000


def test_a_transfer_and_a_phone_bill(nice):
    _, transfer = pay(nice, "trans")
    assert (transfer.bank_code, transfer.card) == ("088", None)
    order, phone = pay(nice, "phone", digital=True)
    assert (phone.bank_code, phone.card) == (None, None)
    assert isinstance(nice.gateway.cancel(nice.cancel_request(order.order_id, phone, 8900), TIMEOUT), Cancelled)


def test_what_the_approval_is_asked_with(nice, monkeypatch):
    order = window_order(nice)
    back, gateway, sent = authenticated(nice, order), nice.gateway, []
    send = gateway._http.ask

    def ask(method, url, **given):
        sent.append((method, url, json.loads(given["body"])))
        return send(method, url, **given)

    monkeypatch.setattr(gateway._http, "ask", ask)
    assert isinstance(gateway.approve(order, back, TIMEOUT), Approved)
    [(method, url, body)] = sent
    tid = back.proof["tid"]
    assert (method, url) == ("POST", f"{nice.sandbox.url}/v1/payments/{tid}")
    assert body["amount"] == 8900
    assert body["signData"] == sha256(tid, "8900", body["ediDate"], SECRET_KEY)


def payment(order, **changes):
    body = {
        "resultCode": "0000",
        "tid": TID,
        "orderId": order.order_id,
        "status": "paid",
        "paidAt": "2026-11-23T12:00:00.000+0900",
        "payMethod": "card",
        "amount": 8900,
        "balanceAmt": 8900,
        "ediDate": "2026-11-23T12:00:00.000+0900",
        "currency": "KRW",
    } | changes
    return {"signature": sha256(body["tid"], str(body["amount"]), body["ediDate"], SECRET_KEY)} | body


def asked(nice, answering, order, **changes):
    """What becomes of an approval that is answered so, and of a question about it."""
    gateway = nice.connect(TEST_CREDENTIALS, answering(json.dumps(payment(order, **changes)).encode()))
    query = ChargeQuery(order.order_id, Money(8900), nice.clock.now(), kept={"tid": TID})
    return gateway.approve(order, Authenticated({"tid": TID}), TIMEOUT), gateway.find_charge(query, TIMEOUT)


VBANK = {"vbankCode": "004", "vbankNumber": "70014000091423", "vbankHolder": "홍길동",
         "vbankExpDate": "2026-11-30T23:59:00.000+0900"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "approval", "found"),
    [
        ({}, Approved, Approved),
        ({"resultCode": "3001"}, Approved, Unknown),
        ({"resultCode": "3095", "resultMsg": "한도초과"}, Declined, Unknown),
        ({"orderId": "imp000000000000a1"}, Unknown, Unknown),
        ({"tid": "UT0000113m01012110051656331002"}, Unknown, Approved),
        ({"signature": "0" * 64}, Unknown, Unknown),
        ({"signature": None}, Unknown, Approved),
        ({"status": "ready"}, Unknown, Unknown),
        ({"status": "ready", "vbank": VBANK}, AwaitingDeposit, AwaitingDeposit),
        ({"status": "ready", "vbank": VBANK | {"vbankExpDate": "soon"}}, Unknown, Unknown),
        ({"status": "ready", "vbank": VBANK | {"vbankNumber": ""}}, Unknown, Unknown),
        ({"status": "ready", "vbank": VBANK, "resultCode": "A110"}, Unknown, Unknown),
        ({"status": "paid", "vbank": VBANK}, Approved, Approved),
        ({"status": "expired", "vbank": VBANK, "paidAt": "0"}, Unknown, Declined),
        ({"status": "cancelled", "vbank": VBANK, "paidAt": "0"}, Unknown, Revoked),
        ({"status": "cancelled", "vbank": VBANK, "balanceAmt": 0}, Unknown, Approved),
        ({"status": "cancelled", "balanceAmt": 0}, Unknown, Approved),
        ({"status": "failed"}, Unknown, Declined),
        ({"status": "new"}, Unknown, Unknown),
        ({"bank": "unreadable"}, Approved, Approved),
    ],
)
def test_each_reply(nice, answering, changes, approval, found):
    results = asked(nice, answering, window_order(nice), **changes)
    assert tuple(type(result) for result in results) == (approval, found), results


def test_another_amount_is_reported_as_it_is(nice, answering):
    """The router gives it back: it compares."""
    approval, found = asked(nice, answering, window_order(nice), amount=8901)
    assert approval.amount == found.amount == Money(8901)


@pytest.mark.parametrize("wallet", ["kakaopay", "naverpay", "payco", "samsungpay", "ssgpay"])
def test_a_wallet_chosen_in_the_window(nice, answering, wallet):
    card = {"cardCode": "04", "cardName": "삼성", "cardNum": None}
    approval, _ = asked(nice, answering, window_order(nice), payMethod=wallet, card=card)
    assert (approval.easy_pay, approval.card.code, approval.card.number) == (wallet, "365", None)


def test_a_card_that_is_declined(nice):
    order = window_order(nice)
    result = approve(nice, order, authenticated(nice, order, "approve-no-funds"))
    assert isinstance(result, Declined)
    assert (result.reason, result.code) == (R.INSUFFICIENT_FUNDS, "3095")
    assert nice.money_taken(order.order_id) == 0


def test_every_published_code_of_a_window(nice):
    """Of common/code: cards, transfers, accounts, phones, the window, the API; not escrow, not the old module's."""
    order = window_order(nice)
    back = authenticated(nice, order)
    published = codes(
        "3011 3021 3041 3053 3055 3061 3095 4002 4101 4102 4105 4116 4117 4141 A001 A002 A041 A107 A115 A123 A210 A245"
        " C001 C002 M001 N001 P001 P007 P018 P037 U100 U104 U108 U120 U121 U127 U132 U502 U504"
    )
    unclear = codes("3054 4001 4004 4008 A110 A111 A144 A244 A254 A299 N002 P026 P044 U114 U302 U303 U501 U503 2201")
    for code in (*published, *unclear):
        nice.sandbox.fail("charge", "decline", code=code)
        result = approve(nice, order, back)
        # A declined try is in the simulator's books, and its number with it: the next try needs another one.
        back = authenticated(nice, order)
        assert isinstance(result, Declined if code in published else Unknown), (code, result)
        assert result.code == code
    assert not set(DECLINES) & (UNKNOWN_CODES | NOT_FOUND_CODES)
    assert not UNKNOWN_CODES & NOT_FOUND_CODES


def test_a_second_approval_is_no_decline(nice):
    order = window_order(nice)
    back = authenticated(nice, order)
    assert isinstance(approve(nice, order, back), Approved)
    again = approve(nice, order, back)
    assert isinstance(again, Unknown)
    assert again.code == "2201"
    assert nice.money_taken(order.order_id) == 8900


def test_the_return_of_another_order_is_approved_for_nobody(nice):
    """Neither order id nor number is signed: a buyer can hand in another return of his, of the same amount."""
    order, other = window_order(nice), window_order(nice)
    fields = visit(nice, other)
    back = read_return(nice, order, fields | {"orderId": order.order_id})
    result = approve(nice, order, back)
    assert isinstance(result, Unknown)
    assert fields["tid"] in result.detail  # for the person who has to give it back
    query = ChargeQuery(order.order_id, Money(8900), nice.clock.now(), kept=back.kept)
    assert isinstance(nice.gateway.find_charge(query, TIMEOUT), Unknown)
    assert nice.money_taken(other.order_id) == 8900  # approved as what it was; not undone, it may be rightly so


@pytest.mark.parametrize(("fault", "found"), [("reply_lost", Approved), ("garbage", Approved), ("http_500", NotFound)])
def test_a_lost_reply_is_found(nice, fault, found):
    order = window_order(nice)
    back = authenticated(nice, order)
    nice.sandbox.fail("charge", fault)
    assert isinstance(approve(nice, order, back), Unknown)
    for kept in (back.kept, {}):  # by NICE's number, and by ours
        query = ChargeQuery(order.order_id, Money(8900), nice.clock.now(), kept=kept)
        assert isinstance(nice.gateway.find_charge(query, TIMEOUT), found)


def test_a_lost_reply_is_undone(nice):
    order = window_order(nice)
    back = authenticated(nice, order)
    nice.sandbox.fail("charge", "reply_lost")
    approve(nice, order, back)
    request = nice.cancel_request(order.order_id, Approved("", Money(8900), nice.clock.now()), 8900)
    result = nice.gateway.cancel(replace(request, kept=back.kept), TIMEOUT)
    assert isinstance(result, Cancelled)
    assert nice.money_taken(order.order_id) == 0
    assert SPEC.windows.net_cancel_window == timedelta(hours=1)


def test_nobody_at_home_is_not_sent(nice):
    order = window_order(nice)
    back = authenticated(nice, order)
    gateway = nice.connect(TEST_CREDENTIALS, "http://127.0.0.1:1")
    assert isinstance(gateway.approve(order, back, TIMEOUT), NotSent)


def test_credentials_of_another(nice):
    order = window_order(nice)
    back = authenticated(nice, order)
    result = nice.connect(OTHER_CREDENTIALS).approve(order, back, TIMEOUT)
    assert isinstance(result, Declined)
    assert nice.money_taken(order.order_id) == 0


# --- client ids that approve by themselves ------------------------------------------------------------------------


@pytest.fixture
def client_kind(nice, monkeypatch):
    """The same bench, with a client id of the client approval kind."""
    monkeypatch.setattr(Bench, "gateway", property(lambda bench: bench.connect(CLIENT_APPROVAL_CREDENTIALS)))
    return nice


def test_what_was_taken_already_is_found_and_somebody_is_told(client_kind, caplog):
    order, approved = pay(client_kind)
    assert approved.amount == Money(8900)
    assert client_kind.money_taken(order.order_id) == 8900
    assert "client approval" in caplog.text


def test_an_account_that_was_issued_already(client_kind):
    order, waiting = pay(client_kind, "vbank")
    assert waiting == client_kind.find(order.order_id)


def test_another_amount_that_was_taken_is_found(client_kind):
    """The page's script was changed. Refusing the return would leave the money where it is."""
    order = window_order(client_kind, amount=8900)
    simulator = client_kind.sandbox.simulator
    entered = simulator.enter({**opened(client_kind, order).params, "amount": 1000})
    back = read_return(client_kind, order, simulator.press(entered.visit_id, "approve").fields)
    assert approve(client_kind, order, back).amount == Money(1000)


def test_a_window_of_the_client_kind_that_failed(client_kind):
    order = window_order(client_kind)
    assert read_return(client_kind, order, visit(client_kind, order, "fail")).code == "C002"
    declined = read_return(client_kind, order, visit(client_kind, order, "approve-no-funds"))
    assert (declined.code, declined.message) == ("3095", "잔액이 부족합니다.")


def test_what_was_perhaps_taken_is_asked_about(client_kind):
    order = window_order(client_kind)
    unclear = {"resultCode": "U303", "resultMsg": "API 지연처리 발생", "orderId": order.order_id}
    back = read_return(client_kind, order, unclear)
    assert isinstance(approve(client_kind, order, back), Unknown)
    visit(client_kind, order)
    assert isinstance(approve(client_kind, order, back), Approved)


@pytest.mark.parametrize("name", ["signature", "tid", "amount", "ediDate", "clientId", "orderId"])
def test_a_return_of_the_client_kind_is_signed_too(client_kind, name):
    order = window_order(client_kind)
    fields = visit(client_kind, order)
    forged = [fields | {name: fields[name][:-1] + "x"}, {key: value for key, value in fields.items() if key != name}]
    for changed in forged:
        with pytest.raises(InvalidRequest):
            read_return(client_kind, order, changed)


def test_a_return_of_the_client_kind_proves_nothing_to_the_other(nice):
    """Its signature is one that NICE's notices carry, of any payment of this merchant."""
    paid, approved = pay(nice)
    order = window_order(nice)
    told = nice.sandbox.simulator._payment(nice.sandbox.simulator.books.any_of(paid.order_id))
    fields = {name: str(told[name]) for name in ("tid", "amount", "ediDate", "signature")}
    forged = {"resultCode": "0000", "clientId": CLIENT_ID, "orderId": order.order_id, **fields}
    result = approve(nice, order, read_return(nice, order, forged))
    assert isinstance(result, Unknown)
    assert nice.books(order.order_id) == []
    assert approved.gateway_ref == fields["tid"]


# --- virtual accounts ---------------------------------------------------------------------------------------------


def test_an_account_from_issue_to_refund(nice):
    due = nice.clock.now() + timedelta(days=3)
    order, waiting = pay(nice, "vbank", account_due=due)
    account = waiting.account
    assert (account.bank_code, account.holder) == ("088", "Gildong Hong")
    assert timedelta(0) <= due - account.due_at < timedelta(minutes=1)
    assert abs(account.issued_at - nice.clock.now()) < timedelta(seconds=5)
    assert waiting.notice_secret is None
    assert nice.money_taken(order.order_id) == 0
    assert nice.find(order.order_id) == nice.find(order.order_id, waiting.gateway_ref) == waiting
    notice = nice.gateway.read_deposit_notice(nice.sandbox.deposit(order.order_id))
    assert notice == DepositNotice(order.order_id, None, waiting.gateway_ref)
    paid = nice.find(order.order_id, waiting.gateway_ref)
    assert isinstance(paid, Approved)
    assert (paid.gateway_ref, paid.account, paid.balance, paid.card) == (
        waiting.gateway_ref,
        account,
        Money(8900),
        None,
    )
    for amount, balance in ((900, 8900), (8000, 8000)):
        request = nice.cancel_request(
            order.order_id, paid, amount, balance, refund_to=REFUND_TO, pay_method="vbank", sequence=1
        )
        assert isinstance(nice.gateway.cancel(request, TIMEOUT), Cancelled)
    assert nice.money_taken(order.order_id) == 0


def test_what_a_refund_is_asked_with(nice, monkeypatch):
    order, _ = pay(nice, "vbank")
    nice.sandbox.deposit(order.order_id)
    paid, gateway, sent = nice.find(order.order_id), nice.gateway, []
    monkeypatch.setattr(gateway._http, "ask", lambda *_, **given: sent.append(json.loads(given["body"])) or Unknown(""))
    holder = RefundAccount("주식회사가나다라마", "088", "110-123-456789")
    gateway.cancel(nice.cancel_request(order.order_id, paid, 900, refund_to=holder), TIMEOUT)
    wanted = {"refundAccount": "110123456789", "refundBankCode": "088", "refundHolder": "주식회사가"}
    assert {name: value for name, value in sent[0].items() if name.startswith("refund")} == wanted


def test_a_refund_that_leads_nowhere_is_refused(nice):
    order, _ = pay(nice, "vbank")
    nice.sandbox.deposit(order.order_id)
    request = nice.cancel_request(order.order_id, nice.find(order.order_id), 900)
    for refund_to in (None, RefundAccount("홍길동", "088", "1"), RefundAccount("홍길동", "999", "110123456789")):
        assert isinstance(nice.gateway.cancel(replace(request, refund_to=refund_to), TIMEOUT), Declined)
    assert nice.money_taken(order.order_id) == 8900


def revoke(nice, waiting):
    return nice.gateway.revoke_virtual_account(nice.cancel_id(), waiting.gateway_ref, TIMEOUT)


def test_an_account_is_closed_before_a_deposit_and_never_after(nice):
    order, waiting = pay(nice, "vbank")
    assert isinstance(revoke(nice, waiting), Revoked)
    assert isinstance(nice.find(order.order_id), Revoked)
    assert isinstance(revoke(nice, waiting), Unknown)
    order, waiting = pay(nice, "vbank")
    nice.sandbox.deposit(order.order_id)
    assert isinstance(revoke(nice, waiting), Declined)
    assert nice.money_taken(order.order_id) == 8900


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "ready"},
        {"status": "paid"},
        {"paidAt": "2026-11-23T12:00:00.000+0900"},
        {"vbank": None},
        {"tid": "UT0000113m01012110051656331002"},
        {"signature": "0" * 64},
    ],
)
def test_a_revoke_is_done_only_if_the_reply_shows_it(nice, answering, changes):
    shown = {"status": "cancelled", "paidAt": "0", "vbank": VBANK}

    def answer(**given):
        body = json.dumps(payment(window_order(nice), **given)).encode()
        return nice.connect(TEST_CREDENTIALS, answering(body)).revoke_virtual_account("imp1v1", TID, TIMEOUT)

    assert isinstance(answer(**shown), Revoked)
    assert isinstance(answer(**(shown | changes)), Unknown)


def test_an_account_that_is_due(nice):
    order, waiting = pay(nice, "vbank", account_due=nice.clock.now() + timedelta(hours=2))
    nice.clock.shift = timedelta(hours=3)
    expired = nice.find(order.order_id, waiting.gateway_ref)
    assert isinstance(expired, Declined)
    assert expired.code == "EXPIRED"
    assert isinstance(revoke(nice, waiting), Declined)


def test_an_account_whose_approval_was_lost(nice):
    order = window_order(nice, "vbank")
    back = authenticated(nice, order)
    nice.sandbox.fail("charge", "reply_lost")
    assert isinstance(approve(nice, order, back), Unknown)
    assert isinstance(nice.find(order.order_id), AwaitingDeposit)


def noticed(nice, order, **changes):
    shown = {"payMethod": "vbank", "vbank": VBANK}
    return nice.gateway.read_deposit_notice(payment(order, **(shown | changes)))


def test_notices(nice):
    order = window_order(nice)
    assert noticed(nice, order) == DepositNotice(order.order_id, None, TID)
    for about_else in ({"payMethod": "card"}, {"payMethod": "bank"}, {"payMethod": "kakaopay"}, {"status": "ready"}):
        assert noticed(nice, order, **about_else) is None
    for changed in ({"status": "cancelled"}, {"status": "expired"}, {"status": "partialCancelled"}):
        assert noticed(nice, order, **changed)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"signature": "0" * 64}, "signature"),
        ({"signature": None}, "signature"),
        ({"amount": 1, "signature": sha256(TID, "8900", "x", SECRET_KEY)}, "signature"),
        ({"tid": ""}, "tid"),
        ({"orderId": "x" * 65}, "tid"),
        ({"amount": "many"}, "tid"),
        ({"payMethod": None}, "tid"),
    ],
)
def test_notices_that_are_none_of_nices(nice, changes, field):
    with pytest.raises(InvalidRequest) as refused:
        noticed(nice, window_order(nice), **changes)
    assert refused.value.field == field


@pytest.mark.parametrize("body", [{}, {"order_id": 1}, {"orderId": [], "tid": {}}])
def test_nonsense_is_no_notice(nice, body):
    with pytest.raises(InvalidRequest):
        nice.gateway.read_deposit_notice(body)


def test_the_notice_is_sent_until_it_reads_ok(nice):
    assert (SPEC.notice_reply, nice.sandbox.simulator.notice_wants) == ("OK", "OK")


# --- secrets ------------------------------------------------------------------------------------------------------


def test_nothing_secret_is_shown(nice, everything_logged):
    order = window_order(nice, "vbank")
    page = opened(nice, order)
    fields = visit(nice, order)
    back = read_return(nice, order, fields)
    result = approve(nice, order, back)
    nice.sandbox.deposit(order.order_id)
    paid = nice.find(order.order_id)
    nice.gateway.cancel(nice.cancel_request(order.order_id, paid, 900, refund_to=REFUND_TO), TIMEOUT)
    shown = everything_logged.text + repr((page, back, result, paid, REFUND_TO)) + json.dumps(dict(page.params))
    for secret in (SECRET_KEY, fields["authToken"], fields["signature"], "123456789", "홍길동"):
        assert secret not in shown
