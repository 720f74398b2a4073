"""What speaks against a gateway (`unwell`), asked of every adapter: silence, HTTP 5xx and nonsense, and no answer of its own."""

from datetime import timedelta

import pytest

from chalicelib.domain.charging import Declined, NotFound, NotSent, Operation, Unknown, VirtualAccountRequest
from chalicelib.gateways.http import FAIR_TIMEOUT
from tests.contract.conftest import CARD

TIMEOUT = 3 * FAIR_TIMEOUT
"""A third of it is a fair time, too: where a charge takes several calls."""


def calls(bench):
    """name -> (the simulator's operation, the call)."""
    secret = bench.key()
    found = {
        "charge_card": ("charge", lambda t: bench.gateway.charge_card(bench.order_id(), bench.request(), CARD, t)),
        "charge_key": (
            "charge",
            lambda t: bench.gateway.charge_billing_key(bench.order_id(), bench.request(), secret, t),
        ),
        "issue": ("issue", lambda t: bench.gateway.issue_billing_key(bench.issue_request(), CARD, t)),
        "find": ("find", lambda t: bench.gateway.find_charge("probe0123456789ab", bench.clock.now(), "KRW", t)),
    }
    if Operation.ISSUE_VIRTUAL_ACCOUNT in bench.module.SPEC.operations:
        account = VirtualAccountRequest("088", bench.clock.now() + timedelta(days=1))
        found["account"] = (
            "account",
            lambda t: bench.gateway.issue_virtual_account(bench.order_id(), bench.request(), account, t),
        )
    return found


@pytest.mark.parametrize("fault", ["reply_lost", "http_500", "garbage", "refuse"])
def test_silence_errors_and_nonsense_speak_against_it(bench, fault):
    for name, (operation, call) in calls(bench).items():
        bench.sandbox.fail(operation, fault, seconds=60 if fault == "refuse" else 0)
        result = call(TIMEOUT)
        assert isinstance(result, NotSent if fault == "refuse" else Unknown), name
        assert result.unwell, name
        bench.sandbox.clear_faults()


def test_a_key_that_a_charge_needs_first_counts_like_the_charge(bench):
    bench.sandbox.fail("issue", "http_500")
    result = bench.gateway.charge_card(bench.order_id(), bench.request(), CARD, TIMEOUT)
    if isinstance(result, NotSent):  # a gateway that charges in one call is never asked for a key
        assert result.unwell


def test_its_own_answers_do_not(bench):
    for name, (operation, call) in calls(bench).items():
        bench.sandbox.fail(operation, "decline", code="NOBODY_KNOWS_THIS")
        result = call(TIMEOUT)
        assert isinstance(result, Unknown), name
        assert not result.unwell, name
        bench.sandbox.fail(operation, "decline")
        result = call(TIMEOUT)
        assert isinstance(result, NotFound if operation == "find" else Declined), name


def test_who_had_no_time_is_not_blamed(bench):
    for name, (operation, call) in calls(bench).items():
        for timeout in (0, 0.3):
            bench.sandbox.fail(operation, "timeout", seconds=2)
            result = call(timeout)
            assert isinstance(result, NotSent | Unknown), name
            assert not result.unwell, name
            bench.sandbox.clear_faults()


def test_a_question_about_an_order_that_never_was_is_answered(bench):
    """The probe of a channel that is down, also with credentials that are refused."""
    _, find = calls(bench)["find"]
    before = bench.sandbox.transactions()
    assert isinstance(find(TIMEOUT), NotFound)
    stranger = bench.connect(bench.wrong_credentials())
    refused = stranger.find_charge("probe0123456789ab", bench.clock.now(), "KRW", TIMEOUT)
    assert isinstance(refused, Unknown)
    assert not refused.unwell
    assert bench.sandbox.transactions() == before


def test_an_answer_with_5xx_speaks_against_it_whatever_it_says(bench, answering):
    body = b'{"code": "FAILED_INTERNAL_SYSTEM_PROCESSING", "resultCode": "U503", "message": "x", "resultMsg": "x"}'
    url = answering(body, "503 Service Unavailable")
    gateway = bench.connect(bench.simulator.TEST_CREDENTIALS, url)
    result = gateway.charge_billing_key(bench.order_id(), bench.request(), bench.key(), TIMEOUT)
    assert isinstance(result, Unknown)
    assert result.unwell
