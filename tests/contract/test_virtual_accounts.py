"""What an adapter with virtual accounts must do, asked of each through HTTP, and what is special about each."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Cancelled,
    Declined,
    NotFound,
    NotSent,
    Operation,
    RefundAccount,
    Revoked,
    Unknown,
    VirtualAccountRequest,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.domain.windows import PayMethod
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import ADAPTERS, Registry
from chalicelib.ports import UnsupportedOperation
from infra.sandbox.server import BadControl
from tests.contract.conftest import TIMEOUT, SystemClock, needs

SPECS = {name: Registry(HttpClient(), SystemClock()).spec(name) for name in ADAPTERS}
ABLE = [name for name, spec in SPECS.items() if Operation.ISSUE_VIRTUAL_ACCOUNT in spec.operations]
REFUND_TO = RefundAccount("홍길동", "088", "110-123-456789")


pytestmark = needs(Operation.ISSUE_VIRTUAL_ACCOUNT)


@pytest.fixture
def account(bench):
    return VirtualAccountRequest("088", bench.clock.now() + timedelta(days=7))


def issue(bench, account, order_id=None, **kwargs):
    order_id = order_id or bench.order_id()
    return order_id, bench.gateway.issue_virtual_account(order_id, bench.request(**kwargs), account, TIMEOUT)


def revoke(bench, issued, revoke_id=None):
    return bench.gateway.revoke_virtual_account(revoke_id or bench.cancel_id(), issued.gateway_ref, TIMEOUT)


def state(bench, order_id):
    [row] = bench.books(order_id)
    return row["state"]


# --- every gateway that has them -----------------------------------------------------------------------------------


def test_rules_go_with_the_accounts():
    """By API, or in the window."""
    in_window = [n for n, spec in SPECS.items() if spec.windows and PayMethod.VBANK in spec.windows.methods]
    assert {name for name, spec in SPECS.items() if spec.virtual_accounts} == {*ABLE, *in_window}


@pytest.mark.parametrize("provider", [name for name in ADAPTERS if name not in ABLE])
def test_the_others_refuse(connect, provider):
    bench = connect(provider)
    account = VirtualAccountRequest("088", bench.clock.now() + timedelta(days=7))
    with pytest.raises(UnsupportedOperation, match=provider):
        issue(bench, account)
    if SPECS[provider].virtual_accounts:  # in its window: tests/contract/test_windows.py
        return
    with pytest.raises(UnsupportedOperation, match=provider):
        bench.gateway.revoke_virtual_account("x", "y", TIMEOUT)
    with pytest.raises(UnsupportedOperation, match=provider):
        bench.gateway.read_deposit_notice({})


def test_issue_deposit_find(bench, account):
    order_id, issued = issue(bench, account)
    assert isinstance(issued, AwaitingDeposit), issued
    assert issued.amount == Money(8900)
    assert issued.account.bank_code == "088"
    assert issued.account.number == bench.sandbox.simulator.books.any_of(order_id).details["number"]
    assert abs(issued.account.due_at - account.due_at) < timedelta(seconds=2)
    assert abs(issued.account.issued_at - bench.clock.now()) < timedelta(seconds=5)
    assert issued.notice_secret
    assert bench.find(order_id) == issued
    assert (state(bench, order_id), bench.money_taken(order_id)) == ("waiting", 0)
    notice = bench.gateway.read_deposit_notice(bench.sandbox.deposit(order_id))
    assert (notice.order_id, notice.secret) == (order_id, issued.notice_secret)
    found = bench.find(order_id)
    assert isinstance(found, Approved)
    assert found.gateway_ref == issued.gateway_ref
    assert found.amount == found.balance == Money(8900)
    assert found.account == issued.account
    assert abs(found.approved_at - bench.clock.now()) < timedelta(seconds=5)
    assert bench.money_taken(order_id) == 8900


def test_a_deposit_that_is_taken_back_waits_again(bench, account):
    order_id, issued = issue(bench, account)
    bench.sandbox.deposit(order_id)
    bench.sandbox.deposit(order_id, reverse=True)
    assert bench.find(order_id) == issued


def test_the_bank_takes_no_other_amount(bench, account):
    order_id, issued = issue(bench, account)
    with pytest.raises(BadControl):
        bench.sandbox.deposit(order_id, 8899)
    assert bench.find(order_id) == issued


def test_revoke(bench, account):
    order_id, issued = issue(bench, account)
    revoked = revoke(bench, issued)
    assert isinstance(revoked, Revoked)
    assert abs(revoked.revoked_at - bench.clock.now()) < timedelta(seconds=5)
    assert isinstance(bench.find(order_id), Revoked)
    assert (state(bench, order_id), bench.money_taken(order_id)) == ("revoked", 0)
    assert isinstance(revoke(bench, issued), Unknown)  # by whom it was revoked, the books tell


def test_the_same_revoke_twice_is_one(bench, account):
    _, issued = issue(bench, account)
    revoke_id = bench.cancel_id()
    assert revoke(bench, issued, revoke_id) == revoke(bench, issued, revoke_id)


def test_a_revoke_never_refunds(bench, account):
    order_id, issued = issue(bench, account)
    bench.sandbox.deposit(order_id)
    assert isinstance(revoke(bench, issued), Declined | Unknown)
    assert bench.money_taken(order_id) == 8900
    assert isinstance(bench.find(order_id), Approved)


def test_expired(bench, account):
    order_id, issued = issue(bench, account)
    bench.clock.shift = timedelta(days=8)
    assert isinstance(bench.find(order_id), Declined)
    assert isinstance(revoke(bench, issued), Declined | Unknown)
    assert (state(bench, order_id), bench.money_taken(order_id)) == ("expired", 0)


def test_refund_in_parts(bench, account):
    order_id, _ = issue(bench, account)
    bench.sandbox.deposit(order_id)
    approved = bench.find(order_id)
    first = bench.cancel_request(order_id, approved, 900, refund_to=REFUND_TO)
    assert isinstance(bench.gateway.cancel(first, TIMEOUT), Cancelled)
    rest = bench.cancel_request(order_id, approved, 8000, 8000, refund_to=REFUND_TO)
    assert isinstance(bench.gateway.cancel(rest, TIMEOUT), Cancelled)
    found = bench.find(order_id)
    assert isinstance(found, Approved)
    assert (found.balance, [c.amount for c in found.cancels]) == (Money(0), [Money(900), Money(8000)])


def test_a_refund_that_leads_nowhere_is_refused(bench, account):
    order_id, _ = issue(bench, account)
    bench.sandbox.deposit(order_id)
    approved = bench.find(order_id)
    for refund_to in (None, RefundAccount("홍길동", "088", "1"), RefundAccount("홍길동", "999", "110123456789")):
        result = bench.gateway.cancel(bench.cancel_request(order_id, approved, 900, refund_to=refund_to), TIMEOUT)
        assert isinstance(result, Declined), refund_to
    assert bench.money_taken(order_id) == 8900


def test_refusals(bench, account):
    _, usual = issue(bench, VirtualAccountRequest("088", bench.clock.now() + timedelta(days=100)))
    assert isinstance(usual, Declined)
    bench.sandbox.fail("account", "decline")
    order_id, forced = issue(bench, account)
    assert isinstance(forced, Declined)
    assert forced.code
    assert forced.message
    assert bench.find(order_id) == NotFound()
    bench.sandbox.fail("account", "decline", code="ZZ99_NEW")
    assert isinstance(issue(bench, account)[1], Unknown)


def test_wrong_credentials_are_the_channels_fault(bench, account):
    stranger = bench.connect(bench.wrong_credentials())
    result = stranger.issue_virtual_account(bench.order_id(), bench.request(), account, TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.CHANNEL_REJECTED


def test_the_same_order_twice_is_one_account(bench, account):
    order_id, first = issue(bench, account)
    _, second = issue(bench, account, order_id)
    assert second == first or isinstance(second, Unknown)
    assert len(bench.books(order_id)) == 1


def test_the_amount_in_the_reply_is_reported_as_it_is(bench, account):
    bench.sandbox.fail("account", "wrong_amount")
    order_id, issued = issue(bench, account)
    assert issued.amount == bench.find(order_id).amount == Money(8901)


@pytest.mark.parametrize("fault", ["reply_lost", "garbage", "http_500"])
def test_an_unreadable_answer_is_unknown(bench, account, fault):
    bench.sandbox.fail("account", fault)
    order_id, result = issue(bench, account)
    assert isinstance(result, Unknown)
    assert isinstance(bench.find(order_id), NotFound if fault == "http_500" else AwaitingDeposit)
    _, issued = issue(bench, account)
    bench.sandbox.fail("cancel", fault)
    assert isinstance(revoke(bench, issued), Unknown)


def test_a_refused_connection_is_not_sent(bench, account):
    url = "http://127.0.0.1:1"
    gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, url)
    assert isinstance(gateway.issue_virtual_account("imp1", bench.request(), account, TIMEOUT), NotSent)
    assert isinstance(gateway.revoke_virtual_account("imp1", "ref", TIMEOUT), NotSent)


@pytest.mark.parametrize("body", [{}, {"order_id": 1}, {"orderId": [], "secret": {}}, {"orderId": "x" * 101}])
def test_nonsense_is_no_notice(bench, body):
    with pytest.raises(InvalidRequest):
        bench.gateway.read_deposit_notice(body)


def test_nothing_secret_or_personal_is_logged(bench, account, everything_logged):
    order_id, issued = issue(bench, account)
    bench.sandbox.deposit(order_id)
    approved = bench.find(order_id)
    bench.gateway.cancel(bench.cancel_request(order_id, approved, 900, refund_to=REFUND_TO), TIMEOUT)
    notice = bench.gateway.read_deposit_notice({"orderId": order_id, "secret": issued.notice_secret})
    shown = everything_logged.text + repr((issued, approved, notice, REFUND_TO))
    assert issued.notice_secret not in shown
    assert "123456789" not in shown
    assert "홍길동" not in shown


# --- Toss Payments -------------------------------------------------------------------------------------------------


ISSUED = {
    "paymentKey": "key",
    "orderId": "order-1",
    "status": "WAITING_FOR_DEPOSIT",
    "totalAmount": 8900,
    "balanceAmount": 8900,
    "requestedAt": "2026-11-23T12:00:00+09:00",
    "approvedAt": None,
    "secret": "ps_1",
    "virtualAccount": {
        "accountType": "일반",
        "accountNumber": "79019639679511",
        "bankCode": "06",
        "dueDate": "2026-11-30T12:00:00+09:00",
        "expired": False,
    },
}


def changed(**changes):
    account = {**ISSUED["virtualAccount"], **changes.pop("virtualAccount", {})}
    return {**ISSUED, "virtualAccount": account, **changes}


def found(toss, answering, answer, order_id="order-1"):
    body = json.dumps(answer).encode()
    gateway = toss.connect(toss.simulator.TEST_CREDENTIALS, answering(body))
    return gateway.find_charge(toss.query(order_id), TIMEOUT)


def test_toss_account_is_read(toss, answering):
    read = found(toss, answering, ISSUED)
    assert isinstance(read, AwaitingDeposit)
    assert (read.account.bank_code, read.account.number) == ("004", "79019639679511")
    assert read.account.due_at == datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
    assert read.account.holder is None


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"virtualAccount": {"expired": True}}, Declined),
        ({"status": "EXPIRED"}, Declined),
        ({"status": "ABORTED", "failure": {"code": "INVALID_BANK", "message": "x"}}, Declined),
        ({"status": "CANCELED"}, Revoked),
        ({"status": "CANCELED", "balanceAmount": 0, "approvedAt": "2026-11-24T12:00:00+09:00"}, Approved),
        ({"status": "DONE", "approvedAt": "2026-11-24T12:00:00+09:00"}, Approved),
        ({"status": "DONE", "virtualAccount": {"expired": True}}, Approved),
        ({"status": "READY"}, Unknown),
        ({"status": "SOMETHING_NEW"}, Unknown),
        ({"orderId": "order-2"}, Unknown),
        ({"virtualAccount": {"dueDate": None}}, Unknown),
        ({"virtualAccount": {"accountNumber": ""}}, Unknown),
        ({"cancels": [{"cancelAmount": 8900, "transactionKey": "t", "cancelStatus": "IN_PROGRESS"}]}, Unknown),
    ],
)
def test_toss_states(toss, answering, changes, kind):
    assert isinstance(found(toss, answering, changed(**changes)), kind)


def test_toss_bank_without_a_number_of_ours(toss, answering):
    assert found(toss, answering, changed(virtualAccount={"bankCode": "S2"})).account.bank_code is None


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "WAITING_FOR_DEPOSIT"},
        {"status": "CANCELED", "paymentKey": "another"},
        {"status": "CANCELED", "approvedAt": "2026-11-24T12:00:00+09:00"},
        {"status": "DONE"},
    ],
)
def test_toss_revoke_is_done_only_if_the_reply_shows_it(toss, answering, changes):
    def answer(value):
        gateway = toss.connect(toss.simulator.TEST_CREDENTIALS, answering(json.dumps(value).encode()))
        return gateway.revoke_virtual_account("imp1v1", "key", TIMEOUT)

    assert isinstance(answer(changed(status="CANCELED")), Revoked)
    assert isinstance(answer(changed(**changes)), Unknown)


def test_what_toss_is_sent(toss, monkeypatch):
    gateway, sent = toss.gateway, []
    send = gateway._http.ask

    def ask(method, url, **given):
        sent.append((given["headers"].get("Idempotency-Key"), json.loads(given["body"])))
        return send(method, url, **given)

    monkeypatch.setattr(gateway._http, "ask", ask)
    due_at = toss.clock.now() + timedelta(days=1)
    order_id = toss.order_id()
    wanted = VirtualAccountRequest("004", due_at, holder="아무개", fixed_key="gildong")
    assert isinstance(gateway.issue_virtual_account(order_id, toss.request(), wanted, TIMEOUT), AwaitingDeposit)
    [(key, body)] = sent
    assert key == order_id
    assert (body["bank"], body["accountKey"], body["customerMobilePhone"]) == ("06", "gildong", "01012345678")
    assert body["dueDate"] == f"{due_at + timedelta(hours=9):%Y-%m-%dT%H:%M:%S}"
    assert "아무개" not in str(body)
