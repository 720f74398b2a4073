"""The simulators' control API, faults, clock and books."""

import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import urllib3

from chalicelib.domain.charging import Approved, KeyIssued, NotSent, Operation, Unknown, VirtualAccountRequest
from chalicelib.domain.specs import OrderIdScope
from infra.sandbox import PROVIDERS, run, server
from infra.sandbox.server import NO_FUNDS
from tests.contract.conftest import CARD, SPECIAL, TIMEOUT, Bench, SystemClock, needs, spec_of
from tests.support.local_service import until


@pytest.fixture
def control(bench):
    """control(method, path, body) -> (status, JSON)"""
    with urllib3.PoolManager() as pool:

        def call(method, path, body=None):
            text = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            reply = pool.request(method, f"{bench.sandbox.url}/_sandbox/{path}", body=text, retries=False)
            return reply.status, reply.json()

        yield call


@needs(Operation.PARTIAL_CANCEL)
def test_transactions_show_every_authorisation_and_cancel(bench, control):
    order_id, approved = bench.charge()
    bench.gateway.cancel(bench.cancel_request(order_id, approved, 900), TIMEOUT)
    declined_id = bench.order_id()
    bench.sandbox.fail("charge", "decline")
    [*bench.ways().values()][-1](declined_id)
    status, rows = control("GET", "transactions")
    assert status == 200
    paid, declined = ([row for row in rows if row["order_id"] == name] for name in (order_id, declined_id))
    [row] = paid
    assert {name: row[name] for name in ("amount", "balance", "currency", "state", "pg_tid")} == {
        "amount": 8900,
        "balance": 8000,
        "currency": bench.currency,
        "state": "partially_cancelled",
        "pg_tid": approved.gateway_ref,
    }
    assert abs(row["time"] - time.time()) < 10
    assert [cancel["amount"] for cancel in row["cancels"]] == [900]
    assert [(row["state"], row["balance"]) for row in declined] == [("declined", 0)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"not json", "body"),
        (b"[]", "body"),
        ({}, "operation"),
        ({"operation": "charge"}, "fault"),
        ({"operation": "refund", "fault": "decline"}, "operation"),
        ({"operation": ["charge"], "fault": "decline"}, "operation"),
        ({"operation": "charge", "fault": "explode"}, "fault"),
        ({"operation": "charge", "fault": {}}, "fault"),
        ({"operation": "charge", "fault": "decline", "times": 0}, "times"),
        ({"operation": "charge", "fault": "decline", "times": "2"}, "times"),
        ({"operation": "charge", "fault": "decline", "times": True}, "times"),
        ({"operation": "charge", "fault": "slow", "seconds": -1}, "seconds"),
        ({"operation": "charge", "fault": "slow", "seconds": "1"}, "seconds"),
        ({"operation": "charge", "fault": "slow", "seconds": 1e99}, "seconds"),
        ({"operation": "charge", "fault": "decline", "code": 7}, "code"),
        ({"operation": "charge", "fault": "decline", "code": "한도"}, "code"),
        ({"operation": "find", "fault": "wrong_amount"}, "operation"),
        ({"operation": "charge", "fault": "decline", "when": "now"}, "when"),
    ],
)
def test_nonsense_faults_are_refused_by_field(bench, control, body, field):
    status, answer = control("POST", "faults", body)
    assert (status, answer["field"]) == (400, field)
    assert control("GET", "faults") == (200, [])


@pytest.mark.parametrize("body", [b"x", {}, {"now": "today"}, {"advance": None}, {"now": -1}, {"later": 5}])
def test_nonsense_clocks_are_refused(control, body):
    assert control("POST", "clock", body)[0] == 400


def test_faults_are_counted_listed_and_forgotten(bench, control):
    fault = {"operation": "charge", "fault": "http_500", "times": 2}
    assert control("POST", "faults", fault)[0] == 201
    assert control("GET", "faults")[1] == [fault | {"seconds": 0, "code": None}]
    kinds = [type(bench.charge()[1]) for _ in range(3)]
    assert kinds == [Unknown, Unknown, Approved]
    control("POST", "faults", fault)
    assert control("DELETE", "faults") == (200, [])
    assert isinstance(bench.charge()[1], Approved)


def test_all_optional_fields_may_be_given(bench, control):
    given = {"operation": "*", "fault": "decline", "times": 1, "seconds": 0, "code": "..."}
    assert control("POST", "faults", given)[0] == 201
    bench.sandbox.clear_faults()


def test_faults_keep_to_their_operation(bench):
    bench.sandbox.fail("cancel", "http_500")
    order_id, approved = bench.charge()
    assert isinstance(approved, Approved)
    assert isinstance(bench.gateway.cancel(bench.cancel_request(order_id, approved, 8900), TIMEOUT), Unknown)


def test_a_refused_connection_costs_nothing_and_ends_by_itself(bench, control):
    assert control("POST", "faults", {"operation": "charge", "fault": "refuse", "seconds": 0.2})[0] == 201
    order_id, result = bench.charge()
    assert isinstance(result, NotSent)
    until(lambda: isinstance(bench.charge()[1], Approved), 5, "an open port")
    assert bench.books(order_id) == []


def test_the_clock_can_be_set_moved_and_put_back(bench, control):
    bench.sandbox.clock.follow(time.time)
    assert abs(control("POST", "clock", {"now": 2_000_000_000})[1]["now"] - 2_000_000_000) < 2
    assert abs(control("POST", "clock", {"advance": 3600})[1]["now"] - 2_000_003_600) < 2
    order_id, _ = bench.charge()
    assert abs(bench.books(order_id)[0]["time"] - 2_000_003_600) < 3
    assert abs(control("POST", "clock", {"now": None})[1]["now"] - time.time()) < 2


def test_unknown_controls(control):
    assert control("GET", "nothing")[0] == 404
    assert control("DELETE", "transactions")[0] == 404


def test_forced_codes_are_in_the_books(bench):
    bench.sandbox.fail("charge", "decline")
    order_id, _ = bench.charge()
    assert [row["state"] for row in bench.books(order_id)] == ["declined"]


@needs(Operation.CHARGE_BILLING_KEY, Operation.ISSUE_BILLING_KEY)
def test_a_card_keeps_its_meaning_behind_a_key(bench):
    secret = bench.key(SPECIAL[NO_FUNDS])
    results = [
        bench.gateway.charge_billing_key(bench.order_id(), bench.request(), secret, TIMEOUT).code for _ in range(2)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_books_survive_a_restart_without_card_numbers(provider, tmp_path):
    with run([provider], data=tmp_path) as boxes:
        before = Bench(provider, boxes[provider], SystemClock())
        order_id, approved = before.charge()
        before.gateway.cancel(before.cancel_request(order_id, approved, 8900), TIMEOUT)
        secret = before.key() if before.has(Operation.CHARGE_BILLING_KEY) else None
    written = (tmp_path / f"{provider}.json").read_text(encoding="utf-8")
    assert CARD.number not in written
    with run([provider], data=tmp_path) as boxes:
        after = Bench(provider, boxes[provider], SystemClock())
        assert [row["state"] for row in after.books(order_id)] == ["cancelled"]
        if secret:
            charged = after.gateway.charge_billing_key(after.order_id(), after.request(), secret, TIMEOUT)
            assert isinstance(charged, Approved)


def test_the_same_port_after_a_restart():
    with run(["tosspayments"]) as boxes:
        port = boxes["tosspayments"].port
    with run(["tosspayments"], ports={"tosspayments": port}) as boxes:
        assert boxes["tosspayments"].port == port


def test_many_at_once(bench):
    order_id = bench.order_id()
    charge = [*bench.ways().values()][-1]
    with ThreadPoolExecutor(16) as pool:
        same = [pool.submit(charge, order_id) for _ in range(16)]
        apart = [pool.submit(charge, bench.order_id()) for _ in range(64)]
        approved = {task.result().gateway_ref for task in same if isinstance(task.result(), Approved)}
        refs = {task.result().gateway_ref for task in apart}
    assert len(refs) == 64
    if bench.spec.order_id_scope is not OrderIdScope.NONE:
        assert len(approved) == 1
        assert bench.money_taken(order_id) == 8900


def test_the_command_prints_urls_and_ends_on_sigterm(tmp_path):
    command = [
        sys.executable,
        "-m",
        "infra.sandbox",
        "--ports",
        '{"tosspayments": 0, "nice_v2": 0}',
        "--data",
        tmp_path,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        urls = json.loads(process.stdout.readline())
        assert set(urls) == {"tosspayments", "nice_v2"}
        with urllib3.PoolManager() as pool:
            assert pool.request("GET", f"{urls['nice_v2']}/_sandbox/transactions").json() == []
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_unknown_simulator():
    with pytest.raises(ValueError, match="no simulator of kpn"), run(["kpn"]):
        pass


@needs(Operation.ISSUE_BILLING_KEY)
def test_expiry_follows_the_clock(bench):
    """A card good today has run out when the clock says so."""
    short = replace(CARD, expiry_year="2030", expiry_month="01")
    assert isinstance(bench.gateway.issue_billing_key(bench.issue_request(), short, TIMEOUT), KeyIssued)
    bench.sandbox.clock.set(1_900_000_000)
    assert not isinstance(bench.gateway.issue_billing_key(bench.issue_request(), short, TIMEOUT), KeyIssued)


# --- virtual accounts ----------------------------------------------------------------------------------------------


WITH_ACCOUNTS = [name for name in PROVIDERS if Operation.ISSUE_VIRTUAL_ACCOUNT in spec_of(name).operations]


@pytest.fixture
def account(bench):
    """The order id of an account that waits."""
    order_id = bench.order_id()
    wanted = VirtualAccountRequest("088", bench.clock.now() + timedelta(days=1))
    bench.gateway.issue_virtual_account(order_id, bench.request(), wanted, TIMEOUT)
    return order_id


@pytest.mark.parametrize("bench", WITH_ACCOUNTS, indirect=True)
def test_an_account_holds_money_once_it_is_paid_into(bench, control, account):
    def row():
        return next(row for row in control("GET", "transactions")[1] if row["order_id"] == account)

    assert (row()["state"], row()["balance"]) == ("waiting", 0)
    assert control("POST", "deposits", {"order_id": account, "amount": 8901})[1]["field"] == "amount"
    status, notice = control("POST", "deposits", {"order_id": account, "amount": 8900})
    assert (status, notice["orderId"]) == (201, account)
    assert (row()["state"], row()["balance"]) == ("captured", 8900)
    assert control("POST", "deposits", {"order_id": account})[0] == 400
    assert control("POST", "deposits", {"order_id": account, "reverse": True})[0] == 201
    assert (row()["state"], row()["balance"]) == ("waiting", 0)
    bench.clock.shift = timedelta(days=2)
    assert (row()["state"], row()["balance"]) == ("expired", 0)
    assert control("POST", "deposits", {"order_id": account})[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("deposits", b"[]", "body"),
        ("deposits", {"order_id": "x", "more": 1}, "body"),
        ("deposits", {}, "order_id"),
        ("deposits", {"order_id": "nothing-of-that-name"}, "order_id"),
        ("deposits", {"order_id": "x", "amount": "8900"}, "amount"),
        ("deposits", {"order_id": "x", "amount": 0}, "amount"),
        ("deposits", {"order_id": "x", "reverse": 1}, "reverse"),
        ("notices", {}, "url"),
        ("notices", {"url": "ftp://x"}, "url"),
        ("notices", {"url": 1}, "url"),
    ],
)
def test_bad_deposits_and_notices_are_refused(control, path, body, field):
    assert control("POST", path, body)[0] == 400
    assert control("POST", path, body)[1]["field"] == field


def test_a_card_charge_cannot_be_paid_into(bench, control):
    order_id, _ = bench.charge()
    assert control("POST", "deposits", {"order_id": order_id})[1]["field"] == "order_id"
    assert control("POST", "deposits", {"order_id": order_id, "reverse": True})[1]["field"] == "order_id"


@pytest.mark.parametrize("bench", WITH_ACCOUNTS, indirect=True)
def test_a_notice_is_sent_until_it_is_taken(bench, control, account, monkeypatch):
    monkeypatch.setattr(server, "NOTICE_PAUSES", (0.01, 0.01, 0.01))
    answers, came = [503, 404, 200], []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop(0))
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{receiver.server_address[1]}/notices"
        assert control("POST", "notices", {"url": url}) == (200, {"url": url})
        try:
            _, notice = control("POST", "deposits", {"order_id": account})
            until(lambda: len(came) == 3, 5, "three tries")
            until(lambda: len(bench.sandbox.notices.sent) == 3, 5, "three tries on record")
        finally:
            control("POST", "notices", {"url": None})
            receiver.shutdown()
            thread.join()
    assert came == [notice] * 3
    assert [sent["status"] for sent in control("GET", "notices")[1]] == [503, 404, 200]


def test_accounts_survive_a_restart(tmp_path):
    with run(["tosspayments"], data=tmp_path) as running:
        bench = Bench("tosspayments", running["tosspayments"], SystemClock())
        order_id = bench.order_id()
        wanted = VirtualAccountRequest("088", bench.clock.now() + timedelta(days=1))
        issued = bench.gateway.issue_virtual_account(order_id, bench.request(), wanted, TIMEOUT)
    with run(["tosspayments"], data=tmp_path) as running:
        bench = Bench("tosspayments", running["tosspayments"], SystemClock())
        assert bench.find(order_id) == issued
