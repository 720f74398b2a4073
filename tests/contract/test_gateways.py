"""What every adapter must do, asked of every adapter in the registry through HTTP, against its simulator."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.charging import (
    Approved,
    Cancelled,
    Declined,
    GatewaySpec,
    KeyDeleted,
    KeyIssued,
    NotFound,
    NotSent,
    Operation,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.money import Money
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import ADAPTERS, Registry
from chalicelib.ports import UnsupportedOperation
from infra.sandbox import PROVIDERS
from infra.sandbox.server import EXPIRED, NO_FUNDS, STOLEN
from tests.contract.conftest import CARD, SPECIAL, TIMEOUT, Bench, SystemClock


def charges(bench: Bench):
    """(name, function of an order id) for each way to take money."""
    secret = bench.key()
    return [
        ("card", lambda oid, t=TIMEOUT: bench.gateway.charge_card(oid, bench.request(), CARD, t)),
        ("key", lambda oid, t=TIMEOUT: bench.gateway.charge_billing_key(oid, bench.request(), secret, t)),
    ]


# --- the registry -----------------------------------------------------------------------------------------------


def test_every_adapter_has_a_simulator():
    assert set(ADAPTERS) == set(PROVIDERS)


def test_specs_name_their_provider():
    specs = Registry(HttpClient(), SystemClock()).specs()
    assert [spec.provider for spec in specs] == list(ADAPTERS)
    assert all(isinstance(spec, GatewaySpec) for spec in specs)


def test_unknown_provider_is_the_callers_fault():
    with pytest.raises(InvalidRequest) as caught:
        Registry(HttpClient(), SystemClock()).spec("kakaopay")
    assert caught.value.field == "pg_provider"


def test_live_channels_ignore_other_base_urls(bench):
    registry = Registry(HttpClient(), bench.clock, {bench.provider: "http://127.0.0.1:1"})
    now = datetime.now(UTC)
    urls = {
        environment: registry.open(Channel("k", "n", bench.provider, "m", environment, "", now), {})._base_url
        for environment in Environment
    }
    assert urls[Environment.TEST] == "http://127.0.0.1:1"
    assert urls[Environment.LIVE].startswith("https://")


# --- charges ----------------------------------------------------------------------------------------------------


def test_approve(bench):
    for name, charge in charges(bench):
        order_id = bench.order_id()
        result = charge(order_id)
        assert isinstance(result, Approved), (name, result)
        assert result.amount == result.balance == Money(8900)
        assert result.gateway_ref
        assert result.approval_number
        assert abs(result.approved_at - bench.clock.now()) < timedelta(seconds=5)
        assert result.card
        assert result.card.number.endswith("5671")
        [row] = bench.books(order_id)
        assert (row["amount"], row["state"], row["currency"]) == (8900, "captured", "KRW")
        assert row["pg_tid"] == result.gateway_ref


@pytest.mark.parametrize(
    ("will", "reason"),
    [
        (STOLEN, DeclineReason.LOST_OR_STOLEN),
        (NO_FUNDS, DeclineReason.INSUFFICIENT_FUNDS),
        (EXPIRED, DeclineReason.EXPIRED_CARD),
    ],
)
def test_hard_declines_are_not_tried_elsewhere(bench, will, reason):
    order_id = bench.order_id()
    result = bench.gateway.charge_card(order_id, bench.request(), SPECIAL[will], TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is reason
    assert not result.reason.elsewhere
    assert result.code
    assert result.message
    assert bench.money_taken(order_id) == 0


@pytest.mark.parametrize(
    ("will", "reason"),
    [(STOLEN, DeclineReason.LOST_OR_STOLEN), (NO_FUNDS, DeclineReason.INSUFFICIENT_FUNDS)],
)
def test_declines_of_a_key(bench, will, reason):
    order_id = bench.order_id()
    result = bench.gateway.charge_billing_key(order_id, bench.request(), bench.key(SPECIAL[will]), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is reason
    assert [row["state"] for row in bench.books(order_id)] == ["declined"]


def test_expired_card_gets_no_key(bench):
    result = bench.gateway.issue_billing_key(bench.issue_request(), SPECIAL[EXPIRED], TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.EXPIRED_CARD


def test_malformed_card_number(bench):
    result = bench.gateway.charge_card(bench.order_id(), bench.request(), replace(CARD, number="123456"), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.INVALID_CARD_NUMBER


def test_every_known_refusal_is_a_decline_with_its_own_words(bench):
    secret = bench.key()
    for code, reason in bench.module.DECLINES.items():
        bench.sandbox.fail("charge", "decline", code=code)
        result = bench.gateway.charge_billing_key(bench.order_id(), bench.request(), secret, TIMEOUT)
        assert isinstance(result, Declined), (code, result)
        assert result.code == code
        assert result.reason is reason


def test_every_doubtful_answer_is_unknown(bench):
    secret = bench.key()
    for code in bench.module.UNKNOWN_CODES:
        bench.sandbox.fail("charge", "decline", code=code)
        result = bench.gateway.charge_billing_key(bench.order_id(), bench.request(), secret, TIMEOUT)
        assert isinstance(result, Unknown), (code, result)
        assert result.code == code


def test_a_code_nobody_has_mapped_is_unknown_and_logged(bench, caplog):
    for name, charge in charges(bench):
        caplog.clear()
        bench.sandbox.fail("charge", "decline", code="ZZ99_NEW")
        result = charge(bench.order_id())
        assert isinstance(result, Unknown), name
        assert result.code == "ZZ99_NEW"
        assert "ZZ99_NEW" in caplog.text


def test_wrong_credentials_are_the_channels_fault_never_the_cards(bench):
    stranger = bench.connect(bench.wrong_credentials())
    order_id, approved = bench.charge()
    results = [
        stranger.charge_card(bench.order_id(), bench.request(), CARD, TIMEOUT),
        stranger.charge_billing_key(bench.order_id(), bench.request(), bench.key(), TIMEOUT),
        stranger.issue_billing_key(bench.issue_request(), CARD, TIMEOUT),
        stranger.delete_billing_key(bench.order_id(), bench.key(), TIMEOUT),
        stranger.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT),
    ]
    for result in results:
        assert isinstance(result, Declined), result
        assert result.reason is DeclineReason.CHANNEL_REJECTED


def test_wrong_credentials_do_not_make_a_charge_look_declined(bench):
    order_id, _ = bench.charge()
    found = bench.connect(bench.wrong_credentials()).find_charge(order_id, bench.clock.now(), "KRW", TIMEOUT)
    assert isinstance(found, Unknown)


def test_another_merchants_charge_is_not_found(bench):
    order_id, _ = bench.charge()
    other = bench.connect(bench.simulator.OTHER_CREDENTIALS)
    assert other.find_charge(order_id, bench.clock.now(), "KRW", TIMEOUT) == NotFound()


def test_the_amount_in_the_reply_is_reported_as_it_is(bench):
    for name, charge in charges(bench):
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "wrong_amount")
        result = charge(order_id)
        assert isinstance(result, Approved), name
        assert result.amount == Money(8901)
        assert bench.find(order_id).amount == Money(8901)


def test_the_same_order_twice_takes_money_once(bench):
    for name, charge in charges(bench):
        order_id = bench.order_id()
        first, second = charge(order_id), charge(order_id)
        assert isinstance(first, Approved)
        same = isinstance(second, Approved) and second.gateway_ref == first.gateway_ref
        assert same or isinstance(second, Unknown), (name, second)
        assert bench.money_taken(order_id) == 8900


def test_the_same_order_by_card_and_by_key_takes_money_once(bench):
    (_, by_card), (_, by_key) = charges(bench)
    order_id = bench.order_id()
    assert isinstance(by_card(order_id), Approved)
    assert isinstance(by_key(order_id), Unknown)
    assert bench.money_taken(order_id) == 8900


# --- when the answer is missing or strange ----------------------------------------------------------------------


def test_lost_reply_is_unknown_until_the_query_tells(bench):
    for name, charge in charges(bench):
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "reply_lost")
        assert isinstance(charge(order_id), Unknown), name
        found = bench.find(order_id)
        assert isinstance(found, Approved)
        assert found.amount == found.balance == Money(8900)


def test_lost_decline_is_found_as_declined(bench):
    secret = bench.key(SPECIAL[STOLEN])
    order_id = bench.order_id()
    bench.sandbox.fail("charge", "reply_lost")
    assert isinstance(bench.gateway.charge_billing_key(order_id, bench.request(), secret, TIMEOUT), Unknown)
    assert isinstance(bench.find(order_id), Declined)


def test_refused_connection_is_not_sent(bench):
    order_id, approved = bench.charge()
    secret = bench.key()
    bench.sandbox.fail("*", "refuse", seconds=60)
    results = [
        bench.gateway.charge_card(bench.order_id(), bench.request(), CARD, TIMEOUT),
        bench.gateway.charge_billing_key(bench.order_id(), bench.request(), secret, TIMEOUT),
        bench.gateway.issue_billing_key(bench.issue_request(), CARD, TIMEOUT),
        bench.gateway.delete_billing_key(bench.order_id(), secret, TIMEOUT),
        bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT),
        bench.find(order_id),
    ]
    bench.sandbox.clear_faults()
    assert all(isinstance(result, NotSent) for result in results), results
    assert isinstance(bench.find(order_id), Approved)


def test_no_time_left_is_not_sent(bench):
    order_id = bench.order_id()
    for timeout in (0, -1):
        assert isinstance(bench.gateway.charge_card(order_id, bench.request(), CARD, timeout), NotSent)
    assert bench.find(order_id) == NotFound()


def test_timeout_is_unknown_and_kept(bench):
    for name, charge in charges(bench):
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "timeout")
        started = time.monotonic()
        assert isinstance(charge(order_id, 0.3), Unknown), name
        assert time.monotonic() - started < 3
        bench.sandbox.clear_faults()
        assert bench.find(order_id) == NotFound()


@pytest.mark.parametrize("operation", ["issue", "cancel", "delete", "find"])
def test_timeout_of_the_other_operations(bench, operation):
    order_id, approved = bench.charge()
    secret = bench.key()
    bench.sandbox.fail(operation, "timeout")
    calls = {
        "issue": lambda: bench.gateway.issue_billing_key(bench.issue_request(), CARD, 0.2),
        "cancel": lambda: bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), 0.2),
        "delete": lambda: bench.gateway.delete_billing_key(bench.order_id(), secret, 0.2),
        "find": lambda: bench.gateway.find_charge(order_id, bench.clock.now(), "KRW", 0.2),
    }
    started = time.monotonic()
    assert isinstance(calls[operation](), Unknown)
    assert time.monotonic() - started < 3


def test_server_error_is_unknown(bench):
    for name, charge in charges(bench):
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "http_500")
        assert isinstance(charge(order_id), Unknown), name
        assert bench.find(order_id) == NotFound()


def test_garbage_is_unknown_until_the_query_tells(bench):
    for name, charge in charges(bench):
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "garbage")
        assert isinstance(charge(order_id), Unknown), name
        assert isinstance(bench.find(order_id), Approved)


def test_slow_is_only_slow(bench):
    for name, charge in charges(bench):
        bench.sandbox.fail("charge", "slow", seconds=0.2)
        assert isinstance(charge(bench.order_id()), Approved), name


def test_late_approval_is_found_when_it_has_happened(bench):
    order_id = bench.order_id()
    secret = bench.key()
    bench.sandbox.fail("charge", "late_approval", seconds=60)
    assert isinstance(bench.gateway.charge_billing_key(order_id, bench.request(), secret, TIMEOUT), Unknown)
    assert bench.find(order_id) == NotFound()
    bench.clock.shift = timedelta(seconds=61)
    deadline = time.monotonic() + 5
    while not bench.books(order_id) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert isinstance(bench.find(order_id), Approved)


BODIES = {
    "empty": b"",
    "html": b"<html><body>Bad Gateway</body></html>",
    "null": b"null",
    "list": b"[]",
    "number": b"0000",
    "object": b"{}",
    "deep": b"[" * 200_000,
    "bom": b"\xef\xbb\xbf{}",
    "nul": b"\0" * 64,
    "nan": b'{"status": "DONE", "totalAmount": NaN, "resultCode": "0000", "amount": NaN}',
    "types": b'{"code": {"a": 1}, "resultCode": ["0000"], "orderId": 7, "status": null, "message": 3}',
    "huge number": b'{"resultCode": "0000", "totalAmount": ' + b"9" * 5000 + b', "amount": ' + b"9" * 5000 + b"}",
    "euc-kr": '{"resultCode":"0000","resultMsg":"정상 처리","code":"INVALID_REQUEST","message":"잘못된 요청"}'.encode(
        "euc-kr"
    ),
    "too long": b" " * (1 << 20) + b"{}",
}


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "400 Bad Request", "404 Not Found", "502 Bad Gateway"])
@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_says_nothing_is_unknown(bench, answering, body, status):
    order_id, approved = bench.charge()
    secret = bench.key()
    gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, answering(BODIES[body], status))
    results = [
        gateway.charge_billing_key(order_id, bench.request(), secret, TIMEOUT),
        gateway.issue_billing_key(bench.issue_request(), CARD, TIMEOUT),
        gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT),
        gateway.find_charge(order_id, bench.clock.now(), "KRW", TIMEOUT),
    ]
    assert all(isinstance(result, Unknown) for result in results), results
    by_card = gateway.charge_card(order_id, bench.request(), CARD, TIMEOUT)
    assert isinstance(by_card, Unknown | NotSent)  # NotSent where a first call, that moves no money, got lost
    # An empty 200 is how one gateway confirms a deletion, so its answer to these is not asked for.


def test_an_answer_about_another_order_is_unknown(bench, answering):
    """The true answer to somebody else's question."""
    secret = bench.key()
    order_id, approved = bench.charge()
    foreign = _raw_answer_of(bench, order_id)
    gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, answering(foreign))
    other = bench.order_id()
    assert isinstance(gateway.charge_billing_key(other, bench.request(), secret, TIMEOUT), Unknown)
    assert isinstance(gateway.find_charge(other, bench.clock.now(), "KRW", TIMEOUT), Unknown)
    cancel = replace(bench.cancel_request(order_id, approved, 8900), gateway_ref="another-payment")
    assert isinstance(gateway.cancel(cancel, TIMEOUT), Unknown)


def _raw_answer_of(bench, order_id) -> bytes:
    """What the simulator answers to a query, byte for byte."""
    simulator = bench.sandbox.simulator
    charge = next(c for c in simulator.books.charges if c.order_id == order_id)
    return json.dumps({"resultCode": "0000", **simulator._payment(charge)}).encode()


def test_the_true_answer_is_believed(bench, answering):
    """So that the test above fails for the right reason."""
    order_id, _ = bench.charge()
    gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, answering(_raw_answer_of(bench, order_id)))
    assert isinstance(gateway.find_charge(order_id, bench.clock.now(), "KRW", TIMEOUT), Approved)


def test_unknown_order_is_not_found(bench):
    assert bench.find(bench.order_id()) == NotFound()


def test_no_refusal_of_a_query_says_anything_about_the_charge(bench):
    order_id, _ = bench.charge()
    for code in (*bench.module.DECLINES, *bench.module.UNKNOWN_CODES, "ZZ99_NEW"):
        bench.sandbox.fail("find", "decline", code=code, times=2)
        found = bench.find(order_id)
        assert isinstance(found, Unknown | NotFound), (code, found)
        bench.sandbox.clear_faults()


# --- billing keys -----------------------------------------------------------------------------------------------


def test_key_from_issue_to_deletion(bench):
    issued = bench.gateway.issue_billing_key(bench.issue_request(), CARD, TIMEOUT)
    assert isinstance(issued, KeyIssued)
    assert issued.card.number == CARD.masked
    assert all(isinstance(value, str) for value in issued.secret.values())
    charge = bench.gateway.charge_billing_key
    assert isinstance(charge(bench.order_id(), bench.request(), issued.secret, TIMEOUT), Approved)
    for _ in range(2):
        assert bench.gateway.delete_billing_key(bench.order_id(), issued.secret, TIMEOUT) == KeyDeleted()
    after = charge(bench.order_id(), bench.request(), issued.secret, TIMEOUT)
    assert isinstance(after, Declined)
    assert after.reason is DeclineReason.BILLING_KEY_INVALID


def test_two_keys_of_one_card_live_apart(bench):
    first, second = bench.key(), bench.key()
    assert first != second
    assert bench.gateway.delete_billing_key(bench.order_id(), first, TIMEOUT) == KeyDeleted()
    charged = bench.gateway.charge_billing_key(bench.order_id(), bench.request(), second, TIMEOUT)
    assert isinstance(charged, Approved)


@pytest.mark.parametrize("fault", ["reply_lost", "garbage", "http_500"])
def test_key_without_an_answer_is_unknown(bench, fault):
    bench.sandbox.fail("issue", fault)
    assert isinstance(bench.gateway.issue_billing_key(bench.issue_request(), CARD, TIMEOUT), Unknown)


def test_deletion_without_an_answer_can_be_repeated(bench):
    secret = bench.key()
    bench.sandbox.fail("delete", "reply_lost")
    assert isinstance(bench.gateway.delete_billing_key(bench.order_id(), secret, TIMEOUT), Unknown)
    assert bench.gateway.delete_billing_key(bench.order_id(), secret, TIMEOUT) == KeyDeleted()


def test_another_merchants_key_charges_nothing(bench):
    other = bench.connect(bench.simulator.OTHER_CREDENTIALS)
    order_id = bench.order_id()
    result = other.charge_billing_key(order_id, bench.request(), bench.key(), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.BILLING_KEY_INVALID


def test_awkward_texts_are_adapted(bench):
    """Names that are too long, of refused characters, of no characters, of half a character."""
    names = ["가" * 200, '100% "할인" & [특가] $9 - a|b+c=d', "", "   ", "\ud800", "줄\n바꿈\t\0", "🎁" * 50, None]
    for name in names:
        result = bench.gateway.charge_card(bench.order_id(), bench.request(name=name), CARD, TIMEOUT)
        assert isinstance(result, Approved), (name, result)


@pytest.mark.parametrize("customer_id", [None, "", "a", "회원-7", "user@shop.kr", "x" * 400, "a b\n", "\ud800"])
def test_any_customer_id_will_do(bench, customer_id):
    issued = bench.gateway.issue_billing_key(bench.issue_request(customer_id), CARD, TIMEOUT)
    assert isinstance(issued, KeyIssued)
    charged = bench.gateway.charge_billing_key(bench.order_id(), bench.request(), issued.secret, TIMEOUT)
    assert isinstance(charged, Approved)


def test_instalments(bench):
    (_, approved) = order = bench.charge(60_000)
    assert isinstance(approved, Approved), order
    result = bench.gateway.charge_card(bench.order_id(), bench.request(60_000, quota=3), CARD, TIMEOUT)
    assert isinstance(result, Approved)
    small = bench.gateway.charge_card(bench.order_id(), bench.request(40_000, quota=3), CARD, TIMEOUT)
    assert isinstance(small, Declined)
    assert small.reason is DeclineReason.INSTALLMENT_NOT_ALLOWED


# --- cancels ----------------------------------------------------------------------------------------------------


def test_full_cancel(bench):
    order_id, approved = bench.charge()
    result = bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(result, Cancelled), result
    assert result.cancel.amount == Money(8900)
    assert result.balance == Money(0)
    found = bench.find(order_id)
    assert isinstance(found, Approved)
    assert found.amount == Money(8900)
    assert found.balance == Money(0)
    assert [c.gateway_ref for c in found.cancels] == [result.cancel.gateway_ref]
    assert [row["state"] for row in bench.books(order_id)] == ["cancelled"]


def test_partial_cancels_to_the_end(bench):
    order_id, approved = bench.charge()
    parts, left = (900, 3000, 5000), 8900
    refs = []
    for part in parts:
        result = bench.gateway.cancel(bench.cancel_request(order_id, approved, part, left), TIMEOUT)
        left -= part
        assert isinstance(result, Cancelled), result
        assert result.cancel.amount == Money(part)
        assert result.balance == Money(left)
        refs.append(result.cancel.gateway_ref)
    found = bench.find(order_id)
    assert found.balance == Money(0)
    assert [(c.gateway_ref, c.amount.amount) for c in found.cancels] == list(zip(refs, parts, strict=True))
    assert len(set(refs)) == 3


def test_cancelled_before_is_never_called_done(bench):
    order_id, approved = bench.charge()
    assert isinstance(bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT), Cancelled)
    again = bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(again, Unknown)
    assert len(bench.books(order_id)[0]["cancels"]) == 1


def test_used_up_by_parts_is_never_called_done(bench):
    order_id, approved = bench.charge()
    for amount, balance in ((4000, 8900), (4900, 4900)):
        bench.gateway.cancel(bench.cancel_request(order_id, approved, amount, balance), TIMEOUT)
    again = bench.gateway.cancel(bench.cancel_request(order_id, approved, 4900, 4900), TIMEOUT)
    assert isinstance(again, Unknown)


def test_more_than_is_left_gives_nothing_back(bench):
    order_id, approved = bench.charge()
    assert isinstance(bench.gateway.cancel(bench.cancel_request(order_id, approved, 8000), TIMEOUT), Cancelled)
    result = bench.gateway.cancel(bench.cancel_request(order_id, approved, 901, 900), TIMEOUT)
    assert isinstance(result, Declined | Unknown)
    assert bench.money_taken(order_id) == 900


@pytest.mark.parametrize("amount", [8900, 900])
def test_the_same_cancel_twice_gives_back_once(bench, amount):
    order_id, approved = bench.charge()
    request = bench.cancel_request(order_id, approved, amount)
    first, second = (bench.gateway.cancel(request, TIMEOUT) for _ in range(2))
    assert isinstance(first, Cancelled)
    assert isinstance(second, Unknown) or second == first
    assert bench.money_taken(order_id) == 8900 - amount


@pytest.mark.parametrize("amount", [8900, 900])
@pytest.mark.parametrize("fault", ["reply_lost", "garbage"])
def test_lost_cancel_is_unknown_and_may_be_sent_again(bench, amount, fault):
    order_id, approved = bench.charge()
    request = bench.cancel_request(order_id, approved, amount)
    bench.sandbox.fail("cancel", fault)
    assert isinstance(bench.gateway.cancel(request, TIMEOUT), Unknown)
    assert bench.find(order_id).balance == Money(8900 - amount)
    again = bench.gateway.cancel(request, TIMEOUT)
    assert isinstance(again, Unknown | Cancelled)
    assert bench.money_taken(order_id) == 8900 - amount


def test_cancel_of_nothing(bench):
    order_id, approved = bench.charge()
    request = replace(bench.cancel_request(order_id, approved, 8900), gateway_ref="no-such-payment")
    assert isinstance(bench.gateway.cancel(request, TIMEOUT), Declined | Unknown)
    assert bench.money_taken(order_id) == 8900


def test_cancel_by_order_id_needs_a_net_cancel_window(bench):
    order_id, approved = bench.charge()
    request = replace(bench.cancel_request(order_id, approved, 8900), gateway_ref="")
    if bench.module.SPEC.net_cancel_window is None:
        with pytest.raises(UnsupportedOperation):
            bench.gateway.cancel(request, TIMEOUT)
        return
    assert isinstance(bench.gateway.cancel(request, TIMEOUT), Cancelled)
    assert bench.find(order_id).balance == Money(0)


def test_net_cancel_never_undoes_more_than_was_asked(bench):
    order_id, approved = bench.charge()
    request = replace(bench.cancel_request(order_id, approved, 900), gateway_ref="")
    with pytest.raises(UnsupportedOperation):
        bench.gateway.cancel(request, TIMEOUT)
    assert bench.money_taken(order_id) == 8900


def test_what_the_specs_promise(bench):
    spec = bench.module.SPEC
    assert spec.operations >= {
        Operation.CHARGE_CARD,
        Operation.ISSUE_BILLING_KEY,
        Operation.CHARGE_BILLING_KEY,
        Operation.DELETE_BILLING_KEY,
        Operation.CANCEL,
        Operation.PARTIAL_CANCEL,
        Operation.FIND,
    }
    assert spec.objections(Operation.CHARGE_CARD, bench.request()) == ()
    assert spec.objections(Operation.CHARGE_CARD, replace(bench.request(), amount=Money(1000, "USD")))
    assert spec.card_objections(CARD) == ()
    assert spec.card_objections(replace(CARD, birth=None))
    assert {f.name for f in spec.credentials if f.required} <= set(bench.simulator.TEST_CREDENTIALS)
    assert set(bench.simulator.TEST_CREDENTIALS) <= {f.name for f in spec.credentials}
