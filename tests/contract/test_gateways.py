"""What every adapter must do, asked of every adapter in the registry through HTTP, against its simulator."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.charging import (
    Approved,
    Buyer,
    Cancelled,
    Declined,
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
from chalicelib.domain.specs import GatewaySpec, OrderIdScope
from chalicelib.gateways.http import HttpClient, Reply
from chalicelib.gateways.registry import ADAPTERS, Registry
from chalicelib.ports import UnsupportedOperation
from infra.sandbox import PROVIDERS
from infra.sandbox.server import EXPIRED, NO_FUNDS, STOLEN
from tests.contract.conftest import CARD, SPECIAL, TIMEOUT, Bench, SystemClock, needs, only

KEPT = (Operation.ISSUE_BILLING_KEY, Operation.CHARGE_BILLING_KEY)
ANSWERABLE = (Operation.FIND, Operation.READ)

protected = only(lambda spec: spec.order_id_scope is not OrderIdScope.NONE)
"""Gateways that refuse an order id that they know."""
IN_OTHER_WORDS = {("paymentwall", STOLEN): DeclineReason.CARD_BLOCKED}
"""Gateways that have no code for it, and say as much as they can."""

asked_later = only(lambda spec: spec.operations & set(ANSWERABLE))
"""Gateways that can be asked, if only by their own number."""
PARTS_UNTOLD = frozenset({"kicc"})
"""Gateways whose answer to a query says that a part was given back, and not how much."""


def balance_of(bench: Bench, order_id: str, approved: Approved) -> int:
    """What is left of a charge, by the gateway's word where it can be asked, and by its books in any case."""
    in_books = bench.money_taken(order_id)
    if bench.spec.operations & set(ANSWERABLE):
        found = bench.find(order_id, approved.gateway_ref)
        assert isinstance(found, Approved), found
        untold = {None} if bench.provider in PARTS_UNTOLD else set()
        assert found.balance in {bench.money(in_books), *untold}
    return in_books


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
    for name, charge in bench.ways().items():
        order_id = bench.order_id()
        result = charge(order_id)
        assert isinstance(result, Approved), (name, result)
        assert result.amount == bench.money(8900)
        assert result.balance in (None, result.amount)
        assert result.gateway_ref
        assert abs(result.approved_at - bench.clock.now()) < timedelta(seconds=5)
        assert result.card is None or result.card.number is None or result.card.number.endswith(("5671", "567*"))
        [row] = bench.books(order_id)
        assert (row["amount"], row["state"], row["currency"]) == (8900, "captured", bench.currency)
        assert row["pg_tid"] == result.gateway_ref


@only(lambda spec: len(spec.currencies) > 1)
def test_amounts_keep_their_currency(bench):
    """Currencies with minor units and without, charged, asked about and given back."""
    for currency in sorted({"KRW", "USD", "JPY"} & bench.spec.currencies):
        amount, order_id = Money(1005, currency), bench.order_id()
        request = replace(bench.request(), amount=amount)
        if bench.has(Operation.CHARGE_CARD):
            approved = bench.gateway.charge_card(order_id, request, CARD, TIMEOUT)
        else:
            approved = bench.gateway.charge_billing_key(order_id, request, bench.key(), TIMEOUT)
        assert isinstance(approved, Approved), (currency, approved)
        assert approved.amount == amount
        [row] = bench.books(order_id)
        assert (row["amount"], row["currency"]) == (1005, currency)
        if bench.spec.operations & set(ANSWERABLE):
            query = replace(bench.query(order_id, approved.gateway_ref), amount=amount)
            assert bench.gateway.find_charge(query, TIMEOUT).amount == amount
        cancel = replace(bench.cancel_request(order_id, approved, 1005), amount=amount, balance=amount)
        result = bench.gateway.cancel(cancel, TIMEOUT)
        assert isinstance(result, Cancelled), (currency, result)
        assert result.cancel.amount == amount
        assert bench.money_taken(order_id) == 0


@pytest.mark.parametrize(
    ("will", "reason"),
    [
        (STOLEN, DeclineReason.LOST_OR_STOLEN),
        (NO_FUNDS, DeclineReason.INSUFFICIENT_FUNDS),
        (EXPIRED, DeclineReason.EXPIRED_CARD),
    ],
)
@needs(Operation.CHARGE_CARD)
def test_hard_declines_are_not_tried_elsewhere(bench, will, reason):
    order_id = bench.order_id()
    result = bench.gateway.charge_card(order_id, bench.request(), SPECIAL[will], TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is IN_OTHER_WORDS.get((bench.provider, will), reason)
    assert not result.reason.elsewhere
    assert result.code
    assert result.message
    assert bench.money_taken(order_id) == 0


@pytest.mark.parametrize(
    ("will", "reason"),
    [(STOLEN, DeclineReason.LOST_OR_STOLEN), (NO_FUNDS, DeclineReason.INSUFFICIENT_FUNDS)],
)
@needs(*KEPT)
def test_declines_of_a_key(bench, will, reason):
    order_id = bench.order_id()
    result = bench.gateway.charge_billing_key(order_id, bench.request(), bench.key(SPECIAL[will]), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is reason
    assert [row["state"] for row in bench.books(order_id)] == ["declined"]


@needs(Operation.ISSUE_BILLING_KEY)
def test_expired_card_gets_no_key(bench):
    result = bench.gateway.issue_billing_key(bench.issue_request(), SPECIAL[EXPIRED], TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.EXPIRED_CARD


@needs(Operation.CHARGE_CARD)
def test_malformed_card_number(bench):
    result = bench.gateway.charge_card(bench.order_id(), bench.request(), replace(CARD, number="123456"), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.INVALID_CARD_NUMBER


def test_every_known_refusal_is_a_decline_with_its_own_words(bench):
    charge = [*bench.ways().values()][-1]
    for code, reason in bench.module.DECLINES.items():
        bench.sandbox.fail("charge", "decline", code=code)
        result = charge(bench.order_id())
        assert isinstance(result, Declined), (code, result)
        assert result.code == code
        assert result.reason is reason


def test_every_doubtful_answer_is_unknown(bench):
    charge = [*bench.ways().values()][-1]
    for code in bench.module.UNKNOWN_CODES:
        bench.sandbox.fail("charge", "decline", code=code)
        result = charge(bench.order_id())
        assert isinstance(result, Unknown), (code, result)
        assert result.code == code


def test_a_code_nobody_has_mapped_is_unknown_and_logged(bench, caplog):
    for name, charge in bench.ways().items():
        caplog.clear()
        bench.sandbox.fail("charge", "decline", code="ZZ99_NEW")
        result = charge(bench.order_id())
        assert isinstance(result, Unknown), name
        assert result.code == "ZZ99_NEW"
        assert "ZZ99_NEW" in caplog.text


def test_wrong_credentials_are_the_channels_fault_never_the_cards(bench):
    stranger = bench.connect(bench.wrong_credentials())
    order_id, approved = bench.charge()
    for name, call in other_calls(bench, stranger, order_id, approved).items():
        if name != "find":
            result = call(TIMEOUT)
            assert isinstance(result, Declined), (name, result)
            assert result.reason is DeclineReason.CHANNEL_REJECTED, name


def other_calls(bench, gateway, order_id, approved):
    """name -> function of a time-out: everything that the gateway can do, asked through this connection."""
    key = bench.key() if bench.has(Operation.CHARGE_BILLING_KEY) else {}
    cancel = bench.cancel_request(order_id, approved, 8900)
    calls = {
        Operation.CHARGE_CARD: lambda t: gateway.charge_card(bench.order_id(), bench.request(), CARD, t),
        Operation.CHARGE_BILLING_KEY: lambda t: gateway.charge_billing_key(bench.order_id(), bench.request(), key, t),
        Operation.ISSUE_BILLING_KEY: lambda t: gateway.issue_billing_key(bench.issue_request(), CARD, t),
        Operation.DELETE_BILLING_KEY: lambda t: gateway.delete_billing_key(bench.order_id(), key, t),
        Operation.CANCEL: lambda t: gateway.cancel(cancel, t),
    }
    found = {operation.value: call for operation, call in calls.items() if bench.has(operation)}
    if bench.spec.operations & set(ANSWERABLE):
        found["find"] = lambda t: gateway.find_charge(bench.query(order_id, approved.gateway_ref), t)
    return found


@asked_later
def test_wrong_credentials_do_not_make_a_charge_look_declined(bench):
    order_id, approved = bench.charge()
    stranger = bench.connect(bench.wrong_credentials())
    found = stranger.find_charge(bench.query(order_id, approved.gateway_ref), TIMEOUT)
    assert isinstance(found, Unknown)
    assert found.unwell


@needs(Operation.FIND)
def test_another_merchants_charge_is_not_found(bench):
    order_id, _ = bench.charge()
    other = bench.connect(bench.simulator.OTHER_CREDENTIALS)
    assert other.find_charge(bench.query(order_id), TIMEOUT) == NotFound()


@needs(Operation.READ)
def test_a_number_alone_tells_nothing_about_another_order(bench):
    _, approved = bench.charge()
    found = bench.find(bench.order_id(), approved.gateway_ref)
    assert not isinstance(found, Approved | Declined) or bench.provider in NAMELESS


@only(lambda spec: Operation.FIND not in spec.operations)
def test_without_a_number_there_is_no_answer(bench):
    order_id, _ = bench.charge()
    if bench.has(Operation.READ):
        assert isinstance(bench.find(order_id), Unknown)
    else:
        with pytest.raises(UnsupportedOperation):
            bench.find(order_id)


def test_the_amount_in_the_reply_is_reported_as_it_is(bench):
    for name, charge in bench.ways().items():
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "wrong_amount")
        result = charge(order_id)
        assert isinstance(result, Approved), name
        assert result.amount == bench.money(8901)
        assert bench.money_taken(order_id) == 8901
        if bench.has(Operation.FIND):
            assert bench.find(order_id).amount == bench.money(8901)


@protected
def test_the_same_order_twice_takes_money_once(bench):
    for name, charge in bench.ways().items():
        order_id = bench.order_id()
        first, second = charge(order_id), charge(order_id)
        assert isinstance(first, Approved)
        same = isinstance(second, Approved) and second.gateway_ref == first.gateway_ref
        assert same or isinstance(second, Unknown), (name, second)
        assert bench.money_taken(order_id) == 8900


@protected
@needs(Operation.CHARGE_CARD, Operation.CHARGE_BILLING_KEY)
def test_the_same_order_by_card_and_by_key_takes_money_once(bench):
    by_card, by_key = bench.ways().values()
    order_id = bench.order_id()
    assert isinstance(by_card(order_id), Approved)
    assert isinstance(by_key(order_id), Unknown)
    assert bench.money_taken(order_id) == 8900


# --- when the answer is missing or strange ----------------------------------------------------------------------


def test_lost_reply_is_unknown_until_the_query_tells(bench):
    for name, charge in bench.ways().items():
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "reply_lost")
        assert isinstance(charge(order_id), Unknown), name
        assert bench.money_taken(order_id) == 8900
        if bench.has(Operation.FIND):
            found = bench.find(order_id)
            assert isinstance(found, Approved)
            assert found.amount == found.balance == bench.money(8900)


@needs(Operation.FIND)
def test_lost_decline_never_looks_paid(bench):
    """Some gateways keep what they declined, others know nothing of it."""
    for name, charge in bench.ways(SPECIAL[STOLEN]).items():
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "reply_lost")
        assert isinstance(charge(order_id), Unknown), name
        assert isinstance(bench.find(order_id), Declined | NotFound), name


def test_refused_connection_is_not_sent(bench):
    order_id, approved = bench.charge()
    calls = other_calls(bench, bench.gateway, order_id, approved)
    bench.sandbox.fail("*", "refuse", seconds=60)
    results = {name: call(TIMEOUT) for name, call in calls.items()}
    bench.sandbox.clear_faults()
    assert {name: type(result) for name, result in results.items()} == dict.fromkeys(calls, NotSent)
    assert balance_of(bench, order_id, approved) == 8900


def test_no_time_left_is_not_sent(bench):
    for name, charge in bench.ways().items():
        order_id = bench.order_id()
        for timeout in (0, -1):
            assert isinstance(charge(order_id, timeout), NotSent), name
        assert bench.books(order_id) == []


def test_timeout_is_unknown_and_kept(bench):
    for name, charge in bench.ways().items():
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "timeout")
        started = time.monotonic()
        assert isinstance(charge(order_id, 0.3), Unknown), name
        assert time.monotonic() - started < 3
        bench.sandbox.clear_faults()
        assert bench.books(order_id) == []
        if bench.has(Operation.FIND):
            assert bench.find(order_id) == NotFound()


def test_timeout_of_the_other_operations(bench):
    order_id, approved = bench.charge()
    names = {"issue_billing_key": "issue", "cancel": "cancel", "delete_billing_key": "delete", "find": "find"}
    calls = other_calls(bench, bench.gateway, order_id, approved)
    for name in names.keys() & calls.keys():
        bench.sandbox.fail(names[name], "timeout")
        started = time.monotonic()
        assert isinstance(calls[name](0.2), Unknown), name
        assert time.monotonic() - started < 3
        bench.sandbox.clear_faults()


def test_server_error_is_unknown(bench):
    for name, charge in bench.ways().items():
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "http_500")
        assert isinstance(charge(order_id), Unknown), name
        assert bench.books(order_id) == []
        if bench.has(Operation.FIND):
            assert bench.find(order_id) == NotFound()


def test_garbage_is_unknown_until_the_query_tells(bench):
    for name, charge in bench.ways().items():
        order_id = bench.order_id()
        bench.sandbox.fail("charge", "garbage")
        assert isinstance(charge(order_id), Unknown), name
        assert bench.money_taken(order_id) == 8900
        if bench.has(Operation.FIND):
            assert isinstance(bench.find(order_id), Approved)


def test_slow_is_only_slow(bench):
    for name, charge in bench.ways().items():
        bench.sandbox.fail("charge", "slow", seconds=0.2)
        assert isinstance(charge(bench.order_id()), Approved), name


def test_late_approval_is_there_when_it_has_happened(bench):
    order_id, charge = bench.order_id(), [*bench.ways().values()][-1]
    bench.sandbox.fail("charge", "late_approval", seconds=60)
    assert isinstance(charge(order_id), Unknown)
    assert bench.books(order_id) == []
    if bench.has(Operation.FIND):
        assert bench.find(order_id) == NotFound()
    bench.clock.shift = timedelta(seconds=61)
    deadline = time.monotonic() + 5
    while not bench.books(order_id) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert bench.money_taken(order_id) == 8900
    if bench.has(Operation.FIND):
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


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "502 Bad Gateway"])
@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_says_nothing_is_unknown(bench, answering, body, status):
    order_id, approved = bench.charge()
    gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, answering(BODIES[body], status))
    for name, call in other_calls(bench, gateway, order_id, approved).items():
        if name == "delete_billing_key":
            continue  # an empty 200 is how one gateway confirms it
        # NotSent where a first call, that moves no money (a login), got lost: nothing was asked for then.
        assert isinstance(call(TIMEOUT), Unknown | NotSent), name


@pytest.mark.parametrize("status", ["204 No Content", "302 Found", "404 Not Found", "429 Too Many Requests"])
def test_nor_does_a_page_with_another_status_say_anything(bench, answering, status):
    test_a_body_that_says_nothing_is_unknown(bench, answering, "html", status)


class Recording(HttpClient):
    """Keeps what was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[Reply] = []

    def send(self, *args, **kwargs):
        reply = super().send(*args, **kwargs)
        self.replies.append(reply)
        return reply


class Replaying(HttpClient):
    """Answers what was answered before, whatever is asked now."""

    def __init__(self, replies: list[Reply]) -> None:
        super().__init__()
        self._replies = iter(replies)

    def send(self, *_, **__):
        return next(self._replies)


NAMELESS = frozenset({"html5_inicis", "paymentwall", "welcome"})
"""Gateways whose answers name no order of ours, so that only the connection ties an answer to its question."""


NUMBERED = frozenset({"settle"})
"""Gateways where each question has a number of its own: an answer to an earlier one, even to the same, is none."""


def test_an_answer_about_another_order_is_unknown(bench):
    """The true answer to somebody else's question. It is believed by whom it is for, or this would prove nothing."""
    key = bench.key() if bench.has(Operation.CHARGE_BILLING_KEY) else None

    def charge(gateway, order_id):
        if key is None:
            return gateway.charge_card(order_id, bench.request(), CARD, TIMEOUT)
        return gateway.charge_billing_key(order_id, bench.request(), key, TIMEOUT)

    order_id, tape = bench.order_id(), Recording()
    credentials = bench.simulator.TEST_CREDENTIALS
    approved = charge(bench.connect(credentials, http=tape), order_id)
    assert isinstance(approved, Approved)
    assert charge(bench.connect(credentials, http=Replaying(tape.replies)), order_id) == approved
    if bench.provider not in NAMELESS:
        other = charge(bench.connect(credentials, http=Replaying(tape.replies)), bench.order_id())
        assert isinstance(
            other, Unknown | NotSent
        )  # NotSent where a first call, that moves no money, showed it already


@needs(Operation.PARTIAL_CANCEL)
def test_an_answer_about_another_cancel_is_unknown(bench):
    order_id, approved = bench.charge()
    tape, credentials = Recording(), bench.simulator.TEST_CREDENTIALS
    wanted = bench.cancel_request(order_id, approved, 900)
    assert isinstance(bench.connect(credentials, http=tape).cancel(wanted, TIMEOUT), Cancelled)
    larger = replace(wanted, amount=bench.money(3000))
    assert isinstance(bench.connect(credentials, http=Replaying(tape.replies)).cancel(larger, TIMEOUT), Unknown)


@asked_later
def test_a_find_about_another_order_is_unknown(bench):
    order_id, approved = bench.charge()
    tape = Recording()
    credentials, query = bench.simulator.TEST_CREDENTIALS, bench.query(order_id, approved.gateway_ref)
    found = bench.connect(credentials, http=tape).find_charge(query, TIMEOUT)
    assert isinstance(found, Approved)
    if bench.provider not in NUMBERED:
        assert bench.connect(credentials, http=Replaying(tape.replies)).find_charge(query, TIMEOUT) == found
    # Where answers name no order of ours, the gateway's number has to do.
    other = replace(
        query, **({"gateway_ref": "another"} if bench.provider in NAMELESS else {"order_id": bench.order_id()})
    )
    assert isinstance(bench.connect(credentials, http=Replaying(tape.replies)).find_charge(other, TIMEOUT), Unknown)


@needs(Operation.FIND)
def test_unknown_order_is_not_found(bench):
    assert bench.find(bench.order_id()) == NotFound()


@asked_later
def test_no_refusal_of_a_query_says_anything_about_the_charge(bench):
    order_id, approved = bench.charge()
    for code in (*bench.module.DECLINES, *bench.module.UNKNOWN_CODES, "ZZ99_NEW"):
        bench.sandbox.fail("find", "decline", code=code, times=2)
        found = bench.find(order_id, approved.gateway_ref)
        assert isinstance(found, Unknown | NotFound), (code, found)
        bench.sandbox.clear_faults()


# --- billing keys -----------------------------------------------------------------------------------------------


@needs(*KEPT)
def test_a_key_that_was_issued_can_be_charged(bench):
    issued = bench.gateway.issue_billing_key(bench.issue_request(), CARD, TIMEOUT)
    assert isinstance(issued, KeyIssued)
    assert issued.card.number == CARD.masked
    assert all(isinstance(value, str) for value in issued.secret.values())
    charge = bench.gateway.charge_billing_key
    assert isinstance(charge(bench.order_id(), bench.request(), issued.secret, TIMEOUT), Approved)


@needs(Operation.KEY_BY_CHARGE)
def test_a_key_comes_with_a_charge_if_it_is_wanted(bench):
    for wanted in (False, True):
        paid = bench.gateway.charge_card(bench.order_id(), bench.request(keep_card=wanted), CARD, TIMEOUT)
        assert isinstance(paid, Approved)
        assert (paid.key is not None) is wanted
    charged = bench.gateway.charge_billing_key(bench.order_id(), bench.request(), paid.key.secret, TIMEOUT)
    assert isinstance(charged, Approved)


@needs(Operation.DELETE_BILLING_KEY)
def test_a_deleted_key_charges_nothing(bench):
    secret = bench.key()
    for _ in range(2):
        assert bench.gateway.delete_billing_key(bench.order_id(), secret, TIMEOUT) == KeyDeleted()
    order_id = bench.order_id()
    after = bench.gateway.charge_billing_key(order_id, bench.request(), secret, TIMEOUT)
    assert isinstance(after, Declined)
    assert after.reason is DeclineReason.BILLING_KEY_INVALID
    assert bench.money_taken(order_id) == 0


@needs(Operation.DELETE_BILLING_KEY)
def test_two_keys_of_one_card_live_apart(bench):
    first, second = bench.key(), bench.key()
    assert first != second
    assert bench.gateway.delete_billing_key(bench.order_id(), first, TIMEOUT) == KeyDeleted()
    charged = bench.gateway.charge_billing_key(bench.order_id(), bench.request(), second, TIMEOUT)
    assert isinstance(charged, Approved)


@needs(Operation.ISSUE_BILLING_KEY)
@pytest.mark.parametrize("fault", ["reply_lost", "garbage", "http_500"])
def test_key_without_an_answer_is_unknown(bench, fault):
    bench.sandbox.fail("issue", fault)
    assert isinstance(bench.gateway.issue_billing_key(bench.issue_request(), CARD, TIMEOUT), Unknown)


@needs(Operation.DELETE_BILLING_KEY)
def test_deletion_without_an_answer_can_be_repeated(bench):
    secret = bench.key()
    bench.sandbox.fail("delete", "reply_lost")
    assert isinstance(bench.gateway.delete_billing_key(bench.order_id(), secret, TIMEOUT), Unknown)
    assert bench.gateway.delete_billing_key(bench.order_id(), secret, TIMEOUT) == KeyDeleted()


@needs(Operation.CHARGE_BILLING_KEY)
def test_another_merchants_key_charges_nothing(bench):
    other = bench.connect(bench.simulator.OTHER_CREDENTIALS)
    order_id = bench.order_id()
    result = other.charge_billing_key(order_id, bench.request(), bench.key(), TIMEOUT)
    assert isinstance(result, Declined)
    assert result.reason is DeclineReason.BILLING_KEY_INVALID


def test_awkward_texts_are_adapted(bench):
    """Names that are too long, of refused characters, of no characters, of half a character."""
    names = ["가" * 200, '100% "할인" & [특가] $9 - a|b+c=d', "", "   ", "\ud800", "줄\n바꿈\t\0", "🎁" * 50, None]
    secret = bench.key() if bench.has(Operation.CHARGE_BILLING_KEY) else None
    for name in names:
        order_id, request = bench.order_id(), bench.request(name=name)
        if bench.has(Operation.CHARGE_CARD):
            result = bench.gateway.charge_card(order_id, request, CARD, TIMEOUT)
        else:
            result = bench.gateway.charge_billing_key(order_id, request, secret, TIMEOUT)
        assert isinstance(result, Approved), (name, result)


@needs(*KEPT)
@pytest.mark.parametrize("customer_id", [None, "", "a", "회원-7", "user@shop.kr", "x" * 400, "a b\n", "\ud800"])
def test_any_customer_id_will_do(bench, customer_id):
    issued = bench.gateway.issue_billing_key(bench.issue_request(customer_id), CARD, TIMEOUT)
    assert isinstance(issued, KeyIssued)
    charged = bench.gateway.charge_billing_key(bench.order_id(), bench.request(), issued.secret, TIMEOUT)
    assert isinstance(charged, Approved)


@only(lambda spec: Operation.CHARGE_CARD in spec.operations and "KRW" in spec.currencies)
def test_instalments(bench):
    (_, approved) = order = bench.charge(60_000)
    assert isinstance(approved, Approved), order
    if bench.spec.objections(Operation.CHARGE_CARD, bench.request(60_000, quota=3)):
        return  # it has none, and routing knows
    result = bench.gateway.charge_card(bench.order_id(), bench.request(60_000, quota=3), CARD, TIMEOUT)
    assert isinstance(result, Approved)
    small = bench.gateway.charge_card(bench.order_id(), bench.request(40_000, quota=3), CARD, TIMEOUT)
    if isinstance(small, Declined):  # where the gateway leaves it to the issuer, it may also be approved
        assert small.reason is DeclineReason.INSTALLMENT_NOT_ALLOWED
    else:
        assert isinstance(small, Approved)


# --- cancels ----------------------------------------------------------------------------------------------------


def test_full_cancel(bench):
    order_id, approved = bench.charge()
    result = bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(result, Cancelled), result
    assert result.cancel.amount == bench.money(8900)
    assert result.balance in (None, bench.money(0))
    assert balance_of(bench, order_id, approved) == 0
    assert [row["state"] for row in bench.books(order_id)] == ["cancelled"]


@needs(Operation.PARTIAL_CANCEL)
def test_partial_cancels_to_the_end(bench):
    order_id, approved = bench.charge()
    parts, left = (900, 3000, 5000), 8900
    refs = []
    for sequence, part in enumerate(parts, start=1):
        wanted = bench.cancel_request(order_id, approved, part, left, sequence=sequence)
        result = bench.gateway.cancel(wanted, TIMEOUT)
        left -= part
        assert isinstance(result, Cancelled), result
        assert result.cancel.amount == bench.money(part)
        assert result.balance in (None, bench.money(left))
        assert balance_of(bench, order_id, approved) == left
        refs.append(result.cancel.gateway_ref)
    assert bench.money_taken(order_id) == 0


@only(lambda spec: spec.provider not in PARTS_UNTOLD)
@asked_later
@needs(Operation.PARTIAL_CANCEL)
def test_the_last_cancel_is_in_the_answer_to_a_query(bench):
    """Settlement takes the last one for the one that it asks about."""
    order_id, approved = bench.charge()
    for sequence, (part, left) in enumerate([(900, 8900), (3000, 8000)], start=1):
        bench.gateway.cancel(bench.cancel_request(order_id, approved, part, left, sequence=sequence), TIMEOUT)
        found = bench.find(order_id, approved.gateway_ref)
        assert found.balance == bench.money(left - part)
        assert found.cancels


def test_cancelled_before_is_never_called_done(bench):
    """Settlement asks what is left. But for a gateway that does not tell: there it is all that is ever heard of it."""
    order_id, approved = bench.charge()
    assert isinstance(bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT), Cancelled)
    again = bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT)
    assert isinstance(again, Cancelled if bench.provider == "smartro_v2" else Unknown)
    assert len(bench.books(order_id)[0]["cancels"]) == 1


@needs(Operation.PARTIAL_CANCEL)
def test_used_up_by_parts_is_never_called_done(bench):
    order_id, approved = bench.charge()
    for sequence, (amount, balance) in enumerate(((4000, 8900), (4900, 4900)), start=1):
        bench.gateway.cancel(bench.cancel_request(order_id, approved, amount, balance, sequence=sequence), TIMEOUT)
    assert bench.money_taken(order_id) == 0
    again = bench.gateway.cancel(bench.cancel_request(order_id, approved, 4900, 4900, sequence=3), TIMEOUT)
    assert isinstance(again, Unknown)
    assert bench.money_taken(order_id) == 0


@needs(Operation.PARTIAL_CANCEL)
def test_more_than_is_left_gives_nothing_back(bench):
    order_id, approved = bench.charge()
    assert isinstance(bench.gateway.cancel(bench.cancel_request(order_id, approved, 8000), TIMEOUT), Cancelled)
    result = bench.gateway.cancel(bench.cancel_request(order_id, approved, 901, 900, sequence=2), TIMEOUT)
    assert isinstance(result, Declined | Unknown)
    assert bench.money_taken(order_id) == 900


def parts(bench: Bench) -> list[int]:
    """Amounts to give back of 8900: all of it, and a part where the gateway gives parts back."""
    return [8900, 900] if bench.has(Operation.PARTIAL_CANCEL) else [8900]


def test_the_same_cancel_twice_gives_back_once(bench):
    for amount in parts(bench):
        order_id, approved = bench.charge()
        request = bench.cancel_request(order_id, approved, amount)
        first, second = (bench.gateway.cancel(request, TIMEOUT) for _ in range(2))
        assert isinstance(first, Cancelled), amount
        done_before = isinstance(second, Cancelled) and second.cancel.amount == first.cancel.amount
        assert isinstance(second, Unknown) or done_before, amount
        assert bench.money_taken(order_id) == 8900 - amount


@pytest.mark.parametrize("fault", ["reply_lost", "garbage"])
def test_lost_cancel_is_unknown_and_may_be_sent_again(bench, fault):
    for amount in parts(bench):
        order_id, approved = bench.charge()
        request = bench.cancel_request(order_id, approved, amount)
        bench.sandbox.fail("cancel", fault)
        assert isinstance(bench.gateway.cancel(request, TIMEOUT), Unknown), amount
        assert balance_of(bench, order_id, approved) == 8900 - amount
        again = bench.gateway.cancel(request, TIMEOUT)
        assert isinstance(again, Unknown | Cancelled), amount
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
    assert balance_of(bench, order_id, approved) == 0


def test_net_cancel_never_undoes_more_than_was_asked(bench):
    order_id, approved = bench.charge()
    request = replace(bench.cancel_request(order_id, approved, 900), gateway_ref="")
    with pytest.raises(UnsupportedOperation):
        bench.gateway.cancel(request, TIMEOUT)
    assert bench.money_taken(order_id) == 8900


def test_what_the_specs_promise(bench):
    spec, foreign = bench.spec, "GEL"
    assert Operation.CANCEL in spec.operations
    assert spec.operations & {Operation.CHARGE_CARD, Operation.CHARGE_BILLING_KEY}
    assert spec.recalled | spec.beyond_v1 <= spec.operations.union(*(field.adds for field in spec.credentials))
    for operation in spec.operations & {Operation.CHARGE_CARD, Operation.CHARGE_BILLING_KEY}:
        assert spec.objections(operation, bench.request()) == ()
        nothing = replace(bench.request(), buyer=Buyer(), product_type=None, browser_ip=None, name=None)
        missing = [text.partition(":")[0] for text in spec.objections(operation, nothing)]
        assert missing == [path.replace(".", "_") for path in spec.required.get(operation, ())]
        assert spec.objections(operation, replace(bench.request(), amount=Money(1000, foreign)))
    assert spec.card_objections(CARD) == ()
    for name in spec.card_fields:
        assert spec.card_objections(replace(CARD, **{name: None}))
    assert {f.name for f in spec.credentials if f.required} <= set(bench.simulator.TEST_CREDENTIALS)
    assert set(bench.simulator.TEST_CREDENTIALS) <= {f.name for f in spec.credentials}


def test_every_endpoint_is_a_constant(bench):
    """Cards go to hosts that are written down, over TLS; nothing that is set up or received can name another."""
    assert set(bench.module.URLS) == set(Environment)
    for url in bench.module.URLS.values():
        assert re.fullmatch(r"https://[a-z0-9.-]+[a-z](/[a-z0-9/.-]*)?", url), url
