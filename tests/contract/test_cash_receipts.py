"""Cash receipts, asked of every adapter that has them, through HTTP, against its simulator."""

import hashlib
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.charging import (
    Buyer,
    Declined,
    IdentifierType,
    NotFound,
    NotSent,
    Operation,
    ReceiptType,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.money import Money
from chalicelib.domain.receipts import (
    CashReceiptCancel,
    CashReceiptCancelled,
    CashReceiptIssued,
    CashReceiptRequest,
    ReceiptTerms,
    objection,
)
from chalicelib.ports import UnsupportedOperation
from tests.contract.conftest import TIMEOUT, needs

pytestmark = needs(Operation.CASH_RECEIPT)

PHONE, BUSINESS = "01098761234", "1208147521"


def asked(bench, kind=ReceiptType.PERSON, amount=11_000, tax_free=0, vat=1000, **changes):
    company = kind is ReceiptType.COMPANY
    request = CashReceiptRequest(
        order_id=bench.order_id(),
        terms=ReceiptTerms(kind, Money(amount), tax_free, vat),
        identifier=BUSINESS if company else PHONE,
        identifier_type=IdentifierType.BUSINESS if company else IdentifierType.PHONE,
        name="월간 이용권",
        buyer=Buyer("홍길동", "gildong@shop.kr", "010-5555-6666"),
    )
    return replace(request, **changes)


def issue(bench, request=None, timeout=TIMEOUT):
    return bench.gateway.issue_cash_receipt(request or asked(bench), timeout)


def cancel_of(request, issued, tries=1):
    cancel_id = f"{request.order_id}c{tries}"
    return CashReceiptCancel(cancel_id, request.order_id, issued.receipt_tid, request.terms.amount)


def rows(bench, request):
    return [row for row in bench.sandbox.receipts() if row["order_id"] == request.order_id]


def find(bench, request, since=None, until=None):
    now = bench.clock.now()
    return bench.gateway.find_cash_receipt(request.order_id, since or now, until or now, TIMEOUT)


@pytest.mark.parametrize("kind", ReceiptType)
def test_issue_and_cancel(bench, kind):
    request = asked(bench, kind, 12_000, tax_free=1000)
    issued = issue(bench, request)
    assert isinstance(issued, CashReceiptIssued), issued
    assert issued.apply_num
    assert issued.amount in (None, Money(12_000))
    assert abs(issued.issued_at - bench.clock.now()) < timedelta(seconds=5)
    [row] = rows(bench, request)
    assert (row["receipt_tid"], row["holder"]) == (issued.receipt_tid, request.identifier[-4:])
    assert (row["amount"], row["tax_free"], row["cancelled_at"]) == (12_000, 1000, None)
    assert row["vat"] in (None, 1000)
    assert (
        row["type"]
        in {ReceiptType.PERSON: ("소득공제", "individual"), ReceiptType.COMPANY: ("지출증빙", "company")}[kind]
    )

    cancelled = bench.gateway.cancel_cash_receipt(cancel_of(request, issued), TIMEOUT)
    assert isinstance(cancelled, CashReceiptCancelled), cancelled
    assert abs(cancelled.cancelled_at - bench.clock.now()) < timedelta(seconds=5)
    assert rows(bench, request)[0]["cancelled_at"]


def test_the_vat_is_sent_as_it_was_given(nice):
    request = asked(nice, amount=11_000, tax_free=1000, vat=10)
    issue(nice, request)
    assert [(row["vat"], row["tax_free"]) for row in rows(nice, request)] == [(10, 1000)]


def test_a_refusal_is_a_decline(bench):
    bench.sandbox.fail("receipt", "decline")
    request = asked(bench)
    declined = issue(bench, request)
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.INVALID_REQUEST
    assert declined.code == bench.simulator.Simulator.usual_refusal(None, "receipt")
    assert declined.message
    assert rows(bench, request) == []


def test_credentials_that_are_refused(bench):
    refused = bench.connect(bench.wrong_credentials()).issue_cash_receipt(asked(bench), TIMEOUT)
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.CHANNEL_REJECTED


@pytest.mark.parametrize("fault", ["reply_lost", "garbage", "http_500", "timeout"])
def test_without_a_clear_answer_it_is_unknown(bench, fault):
    request = asked(bench)
    bench.sandbox.fail("receipt", fault)
    assert isinstance(issue(bench, request, timeout=0.5), Unknown)
    bench.sandbox.clear_faults()
    request = asked(bench)
    issued = issue(bench, request)
    bench.sandbox.fail("receipt", fault)
    assert isinstance(bench.gateway.cancel_cash_receipt(cancel_of(request, issued), 0.5), Unknown)


def test_a_refused_connection_is_not_sent(bench):
    bench.sandbox.fail("*", "refuse", seconds=60)
    request = asked(bench)
    assert isinstance(issue(bench, request), NotSent)
    cancel = CashReceiptCancel("c", request.order_id, "tid", Money(1))
    assert isinstance(bench.gateway.cancel_cash_receipt(cancel, TIMEOUT), NotSent)
    bench.sandbox.clear_faults()
    assert rows(bench, request) == []


def test_no_time_left_is_not_sent(bench):
    assert isinstance(issue(bench, timeout=0), NotSent)


def test_the_same_order_id_never_issues_twice(bench):
    request = asked(bench)
    first, second = issue(bench, request), issue(bench, request)
    assert second == first or isinstance(second, Unknown)
    assert len(rows(bench, request)) == 1


def test_repeated_after_a_lost_reply_it_is_one_receipt(bench):
    request = asked(bench)
    bench.sandbox.fail("receipt", "reply_lost")
    assert isinstance(issue(bench, request), Unknown)
    assert isinstance(issue(bench, request), CashReceiptIssued | Unknown)
    assert len(rows(bench, request)) == 1


def test_cancelled_twice_is_cancelled_or_unknown_never_a_no(bench):
    request = asked(bench)
    issued = issue(bench, request)
    for tries in (1, 2):
        result = bench.gateway.cancel_cash_receipt(cancel_of(request, issued, tries), TIMEOUT)
        assert isinstance(result, CashReceiptCancelled | Unknown)
    assert isinstance(bench.gateway.cancel_cash_receipt(cancel_of(request, issued, 1), TIMEOUT), CashReceiptCancelled)


def test_an_unknown_receipt_is_not_cancelled(bench):
    cancel = CashReceiptCancel("c1", "imp1r1", "nobodys", Money(11_000))
    assert isinstance(bench.gateway.cancel_cash_receipt(cancel, TIMEOUT), Declined | Unknown)


def test_every_refusal_and_every_doubt(bench):
    for code in bench.module.DECLINES:
        bench.sandbox.fail("receipt", "decline", code=code)
        assert isinstance(issue(bench), Declined), code
    for code in (*bench.module.UNKNOWN_CODES, "NEW1"):
        bench.sandbox.fail("receipt", "decline", code=code)
        assert isinstance(issue(bench), Unknown), code


STRANGE = {
    "another order": {"orderId": "imp000000000000r9"},
    "no key": {"receiptKey": "", "tid": ""},
    "no number at all": {"amount": None, "tid": None, "receiptKey": None},
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_a_reply_about_something_else_is_unknown(bench, answering, change):
    request = asked(bench)
    reply = {
        "resultCode": "0000", "tid": "t1", "approveNo": "1", "receiptKey": "k1", "orderId": request.order_id,
        "amount": 11_000, "transactionType": "CONFIRM", "issueStatus": "IN_PROGRESS", "issueNumber": "1",
    }  # fmt: skip
    for body, expected in ((reply, CashReceiptIssued), (reply | change, Unknown)):
        url = answering(json.dumps(body).encode())
        gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, url)
        assert isinstance(gateway.issue_cash_receipt(request, TIMEOUT), expected)


def test_a_cancel_of_another_amount_is_unknown(bench, answering):
    request = asked(bench)
    cancel = CashReceiptCancel("c1", request.order_id, "k1", Money(11_000))
    for amount, expected in ((11_000, CashReceiptCancelled), (10_999, Unknown)):
        order_id = cancel.cancel_id if bench.provider == "nice_v2" else request.order_id
        reply = {
            "resultCode": "0000",
            "tid": "k1",
            "receiptKey": "k1",
            "transactionType": "CANCEL",
            "orderId": order_id,
        }
        url = answering(json.dumps({**reply, "amount": amount, "cancelAmt": amount}).encode())
        gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, url)
        assert isinstance(gateway.cancel_cash_receipt(cancel, TIMEOUT), expected)


@pytest.mark.parametrize(("forge", "expected"), [(False, CashReceiptIssued), (True, Unknown)])
def test_nice_signs_its_answer(nice, answering, forge, expected):
    request = asked(nice)
    text = f"t1{request.order_id}2026-11-23{nice.simulator.TEST_CREDENTIALS['secret_key']}"
    signature = hashlib.sha256(text.encode()).hexdigest()
    reply = {"resultCode": "0000", "tid": "t2" if forge else "t1", "orderId": request.order_id}
    body = json.dumps({**reply, "ediDate": "2026-11-23", "signature": signature}).encode()
    gateway = nice.connect(nice.simulator.TEST_CREDENTIALS, answering(body))
    assert isinstance(gateway.issue_cash_receipt(request, TIMEOUT), expected)


# --- asking -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_asked_says_so(bench):
    if Operation.FIND_CASH_RECEIPT not in bench.module.SPEC.operations:
        with pytest.raises(UnsupportedOperation):
            find(bench, asked(bench))


def test_toss_finds_it_by_its_day(toss):
    request = asked(toss)
    assert find(toss, request) == NotFound()
    issued = issue(toss, request)
    assert find(toss, request) == issued
    now = toss.clock.now()
    assert find(toss, request, now - timedelta(days=3), now - timedelta(days=2)) == NotFound()
    assert find(toss, request, now - timedelta(days=2), now) == issued
    toss.gateway.cancel_cash_receipt(cancel_of(request, issued), TIMEOUT)
    assert isinstance(find(toss, request), CashReceiptCancelled)


def test_toss_asks_both_days_around_midnight_in_seoul(toss):
    midnight = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
    toss.clock.shift = midnight - timedelta(minutes=1) - toss.clock.now()
    request = asked(toss)
    issue(toss, request)
    sent_at = midnight + timedelta(minutes=5)
    assert isinstance(find(toss, request, sent_at, sent_at), CashReceiptIssued)


def test_toss_turns_every_page(toss, monkeypatch):
    monkeypatch.setattr("chalicelib.gateways.tosspayments.RECEIPTS_PER_PAGE", 2)
    requests = [asked(toss) for _ in range(5)]
    for request in requests:
        issue(toss, request)
    assert all(isinstance(find(toss, request), CashReceiptIssued) for request in requests)


@pytest.mark.parametrize("fault", ["http_500", "garbage", "reply_lost", "decline"])
def test_a_refused_question_says_nothing(toss, fault):
    request = asked(toss)
    toss.sandbox.fail("find", fault)
    assert isinstance(find(toss, request), Unknown)


def test_a_receipt_that_the_tax_office_refused_is_none(toss, answering):
    request = asked(toss)
    row = {
        "receiptKey": "k1", "orderId": request.order_id, "amount": 11_000, "transactionType": "CONFIRM",
        "issueStatus": "FAILED", "failure": {"code": "NTS_ERROR", "message": "거래일자 오류"},
    }  # fmt: skip
    gateway = toss.connect(toss.simulator.TEST_CREDENTIALS, answering(json.dumps(row).encode()))
    declined = gateway.issue_cash_receipt(request, TIMEOUT)
    assert isinstance(declined, Declined)
    assert (declined.code, declined.message) == ("NTS_ERROR", "거래일자 오류")
    page = {"hasNext": False, "data": [row]}
    gateway = toss.connect(toss.simulator.TEST_CREDENTIALS, answering(json.dumps(page).encode()))
    now = toss.clock.now()
    assert gateway.find_cash_receipt(request.order_id, now, now, TIMEOUT) == NotFound()


# --- what a gateway takes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "kind", "identifier_type", "fits"),
    [
        ("tosspayments", "person", "phone", True),
        ("tosspayments", "person", "taxcard", True),
        ("tosspayments", "person", "business", False),
        ("tosspayments", "company", "business", True),
        ("tosspayments", "company", "person", False),
        ("nice_v2", "person", "phone", True),
        ("nice_v2", "person", "person", False),
        ("nice_v2", "person", "taxcard", False),
        ("nice_v2", "company", "business", True),
        ("nice_v2", "company", "phone", False),
    ],
)
def test_identifiers(connect, provider, kind, identifier_type, fits):
    terms = ReceiptTerms(ReceiptType(kind), Money(11_000), 0, 1000)
    problem = objection(connect(provider).module.SPEC, terms, IdentifierType(identifier_type))
    assert (problem is None) == fits
    assert fits or problem.field == "identifier_type"


def test_only_some_take_a_given_vat(toss, nice):
    terms = ReceiptTerms(ReceiptType.PERSON, Money(11_000), 0, 0)
    assert objection(toss.module.SPEC, terms, IdentifierType.PHONE).field == "vat_amount"
    assert objection(nice.module.SPEC, terms, IdentifierType.PHONE) is None


@pytest.mark.parametrize("fault", [None, "reply_lost", "http_500", "garbage", "decline"])
def test_the_identifier_is_not_logged_or_said(bench, caplog, fault):
    caplog.set_level(logging.DEBUG)
    if fault:
        bench.sandbox.fail("receipt", fault, times=9)
    request = asked(bench)
    said = repr((request, issue(bench, request)))
    logged = "".join(repr((record.msg, record.args)) for record in caplog.records)
    assert caplog.records
    assert PHONE not in said + logged
    assert PHONE not in json.dumps(bench.sandbox.receipts())
