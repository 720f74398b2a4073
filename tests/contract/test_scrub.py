"""No card data and no secret leaves an adapter: not in logs, not in results, not in exceptions.

Everything is done that an adapter can do, well and badly, with every logger open to its lowest level.
"""

import logging
import re
import urllib.parse
from dataclasses import replace

import pytest

from chalicelib.domain.charging import Approved, Card, Operation
from chalicelib.gateways.wire import quote_text
from tests.contract.conftest import TIMEOUT, Bench, raw_server

# Values that occur nowhere else, so that a find is a leak.
CARD = Card("5361480098761234", "2037", "08", "770913", "86", "419")


def secrets_of(bench: Bench, keys: list[str]) -> list[str]:
    credentials = [
        value
        for name, value in bench.simulator.TEST_CREDENTIALS.items()
        if name in {field.name for field in bench.module.SPEC.credentials if field.secret}
    ]
    card = [CARD.number, "expYear=37", "cardPw", "cardPassword", "customerIdentityNumber"]
    return [*card, *credentials, *keys, *map(urllib.parse.quote, keys)]


SHORT = re.compile(r"(?<![0-9A-Za-z])(3708|0837|37-08|08/37|770913|009876)(?![0-9A-Za-z])")
"""Expiry, birth, the hidden digits: only as words of their own, since any number may contain them by chance."""


def key_of(bench: Bench) -> dict[str, str]:
    return bench.key(CARD) if bench.has(Operation.CHARGE_BILLING_KEY) else {}


def every_operation(bench: Bench, gateway, key: dict[str, str], paid: Approved):
    """Results of all operations, with whatever they raise. paid: a charge to ask about and to cancel."""
    order_id = bench.order_id()
    calls = [
        lambda: gateway.charge_card(order_id, bench.request(60_000, quota=3), CARD, TIMEOUT),
        lambda: gateway.charge_card(order_id, bench.request(), replace(CARD, expiry_year="2001"), TIMEOUT),
        lambda: gateway.charge_card(order_id, bench.request(), replace(CARD, number=CARD.number[:13]), TIMEOUT),
        lambda: gateway.charge_billing_key(bench.order_id(), bench.request(), key, TIMEOUT),
        lambda: gateway.issue_billing_key(bench.issue_request(), CARD, TIMEOUT),
        lambda: gateway.find_charge(bench.query(order_id, paid.gateway_ref), TIMEOUT),
        lambda: gateway.cancel(bench.cancel_request(order_id, paid, 900), TIMEOUT),
        lambda: gateway.cancel(replace(bench.cancel_request(order_id, paid, 8900), gateway_ref=""), TIMEOUT),
        lambda: gateway.delete_billing_key(bench.order_id(), key, TIMEOUT),
        lambda: gateway.charge_billing_key(bench.order_id(), bench.request(), key, TIMEOUT),
    ]
    for call in calls:
        try:
            yield call()
        except Exception as error:
            yield error


def texts(caplog, results):
    formatter = logging.Formatter("%(name)s %(message)s")
    for record in caplog.records:
        yield formatter.format(record)
        yield repr((record.msg, record.args, record.exc_info, record.exc_text, record.stack_info))
    for result in results:
        yield repr(result)
        yield str(result)


FAULTS = [None, "reply_lost", "timeout", "http_500", "garbage", "decline", "wrong_amount"]


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_secret_is_logged_or_said(bench, everything_logged, fault):
    gateway, key, (_, paid) = bench.gateway, key_of(bench), bench.charge()
    if fault == "timeout":
        # Held connections would cost a time-out per call; a server that never answers costs the same once.
        bench.sandbox.fail("*", "reply_lost", times=50)
    elif fault:
        bench.sandbox.fail("charge" if fault == "wrong_amount" else "*", fault, times=50)
    results = list(every_operation(bench, gateway, key, paid))
    asked = [result for result in results if not isinstance(result, Exception)]  # what a gateway lacks, raises
    assert asked
    assert len(everything_logged.records) >= len(asked) - 2
    assert_clean(bench, everything_logged, results, key)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nno colon in this header\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
        b"HTTP/9.9 banana\r\n\r\n",
        b"",
    ],
)
def test_broken_http_shows_no_url(bench, everything_logged, reply):
    """A billing key is part of some paths, and HTTP libraries like to name the path that went wrong."""
    key, (_, paid) = key_of(bench), bench.charge()
    with raw_server(reply) as url:
        gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, url)
        results = list(every_operation(bench, gateway, key, paid))
    assert_clean(bench, everything_logged, results, key)


def test_a_gateway_that_repeats_the_card_is_not_quoted(bench, everything_logged, answering):
    echo = f'{{"code": "INVALID_CARD_NUMBER", "message": "{CARD.number} is wrong", "resultCode": "3011", '
    echo += f'"resultMsg": "5361-4800-9876-1234 / {CARD.number}", "resCd": "8311", "resMsg": "{CARD.number}"}}'
    key, (_, paid) = key_of(bench), bench.charge()
    for status in ("200 OK", "400 Bad Request", "500 Oops"):
        gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, answering(echo.encode(), status))
        results = list(every_operation(bench, gateway, key, paid))
        assert_clean(bench, everything_logged, results, key)
        assert not any("9876-1234" in text for text in texts(everything_logged, results))


def assert_clean(bench, caplog, results, key):
    # customer_key is the merchant's name for the buyer where one is given: no secret.
    keys = [value for name, value in key.items() if name != "customer_key"]
    forbidden = secrets_of(bench, keys)
    for text in texts(caplog, results):
        leaks = [secret for secret in forbidden if secret in text]
        assert not leaks, text
        assert not SHORT.search(text), text


def test_card_like_numbers_are_struck_out():
    assert quote_text("카드 5361480098761234 오류") == "카드 **** 오류"
    assert quote_text("5361-4800-9876-1234") == "****"
    assert quote_text("5361 4800 9876 1234.") == "****."
    assert quote_text("imp123456789012a1 8900원") == "imp123456789012a1 8900원"
    assert quote_text("x" * 1000) == "x" * 300
