"""What speaks against a gateway (`unwell`), asked of every adapter: silence, HTTP 5xx and nonsense, and no answer of its own."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from chalicelib.domain.charging import Declined, NotFound, NotSent, Operation, Unknown, VirtualAccountRequest
from chalicelib.gateways.http import FAIR_TIMEOUT
from tests.contract.conftest import CARD, needs

TIMEOUT = 3 * FAIR_TIMEOUT
"""A third of it is a fair time, too: where a charge takes several calls."""


def calls(bench):
    """name -> (the simulator's operation, the call)."""

    def charging(charge):
        return lambda t: charge(bench.order_id(), t)

    found = {name: ("charge", charging(charge)) for name, charge in bench.ways().items()}
    if bench.has(Operation.ISSUE_BILLING_KEY):
        found["issue"] = "issue", lambda t: bench.gateway.issue_billing_key(bench.issue_request(), CARD, t)
    if bench.has(Operation.FIND):
        found["find"] = "find", lambda t: bench.gateway.find_charge(bench.query("probe0123456789ab"), t)
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


@needs(Operation.CHARGE_CARD)
def test_a_key_that_a_charge_needs_first_counts_like_the_charge(bench):
    bench.sandbox.fail("issue", "http_500")
    result = bench.gateway.charge_card(bench.order_id(), bench.request(), CARD, TIMEOUT)
    if isinstance(result, NotSent):  # a gateway that charges in one call is never asked for a key
        assert result.unwell


def test_its_own_answers_do_not(bench):
    for name, (operation, call) in calls(bench).items():
        bench.sandbox.fail(operation, "decline", code="NOBODY_KNOWS_THIS", times=2)  # whom it makes ask once more
        result = call(TIMEOUT)
        assert isinstance(result, Unknown), name
        assert not result.unwell, name
        bench.sandbox.clear_faults()
        bench.sandbox.fail(operation, "decline")
        result = call(TIMEOUT)
        # Not every gateway has a code that says "no such order".
        assert isinstance(result, NotFound | Unknown if operation == "find" else Declined), name
        assert not getattr(result, "unwell", False), name


def test_who_had_no_time_is_not_blamed(bench):
    for name, (operation, call) in calls(bench).items():
        for timeout in (0, 0.3):
            bench.sandbox.fail(operation, "timeout", seconds=2)
            result = call(timeout)
            assert isinstance(result, NotSent | Unknown), name
            assert not result.unwell, name
            bench.sandbox.clear_faults()


@needs(Operation.FIND)
def test_a_question_about_an_order_that_never_was_is_answered(bench):
    """The probe of a channel that is down, also with credentials that are refused."""
    _, find = calls(bench)["find"]
    before = bench.sandbox.transactions()
    assert isinstance(find(TIMEOUT), NotFound)
    stranger = bench.connect(bench.wrong_credentials())
    refused = stranger.find_charge(bench.query("probe0123456789ab"), TIMEOUT)
    assert isinstance(refused, Unknown)
    assert refused.unwell
    assert bench.sandbox.transactions() == before


def test_an_answer_with_5xx_speaks_against_it_whatever_it_says(bench, answering):
    body = b'{"code": "FAILED_INTERNAL_SYSTEM_PROCESSING", "resultCode": "U503", "message": "x", "resultMsg": "x"}'
    charge = [*bench.ways().values()][-1]
    bench.sandbox = Elsewhere(answering(body, "503 Service Unavailable"))
    result = charge(bench.order_id())
    assert isinstance(result, Unknown | NotSent)
    assert result.unwell


@dataclass
class Elsewhere:
    """In place of a sandbox, for the adapter that is opened next."""

    url: str
