"""What an adapter with a window must do, asked of each: the browser is played without one (tests/contract/windows.py)."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import urllib3

from chalicelib.domain.charging import (
    Approved,
    AwaitingDeposit,
    Cancelled,
    Declined,
    NotFound,
    NotSent,
    Operation,
    Pending,
    RefundAccount,
    Unknown,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.windows import Authenticated, PayMethod, WindowPage
from chalicelib.gateways.registry import ADAPTERS
from chalicelib.ports import UnsupportedOperation
from infra.sandbox.server import Refusal, module
from tests.contract.conftest import TIMEOUT, needs, only, spec_of
from tests.contract.windows import (
    approve,
    authenticated,
    first_method,
    opened,
    pay,
    query,
    read_return,
    visit,
    window_order,
)

WITH_WINDOW = [name for name in ADAPTERS if Operation.PAY_IN_WINDOW in spec_of(name).operations]
METHODS = [(name, method) for name in WITH_WINDOW for method in sorted(spec_of(name).windows.methods)]
FAILURES_UNTOLD = {"paypal_v2"}
"""Of a buyer who could not pay they say no more than of one who did not want to."""
REFUND_TO = RefundAccount("홍길동", "088", "110-123-456789", "010-1234-5678")
UNSIGNED = {"smartro_v2"}
"""Their approval names no merchant: it is carried out for whoever brings the proof of the window."""

pytestmark = needs(Operation.PAY_IN_WINDOW)


def takes(method):
    return only(lambda spec: spec.windows is not None and method in spec.windows.methods)


@pytest.fixture
def order(bench):
    return window_order(bench, first_method(bench))


def settles(spec):
    """A lost reply can be asked about, or undone with what the window left."""
    return spec.windows and (Operation.FIND in spec.operations or spec.windows.net_cancel_window)


# --- what is declared ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ADAPTERS)
def test_rules_and_addresses_go_with_the_operation(connect, provider):
    bench = connect(provider)
    has_window = provider in WITH_WINDOW
    assert (bench.module.SPEC.windows is not None) == has_window
    assert hasattr(bench.module, "WINDOW_URLS") == has_window
    if has_window:
        assert all(url.startswith("https://") for urls in bench.module.WINDOW_URLS.values() for url in urls.values())


@pytest.mark.parametrize("provider", [name for name in ADAPTERS if name not in WITH_WINDOW])
def test_the_others_refuse(connect, provider):
    bench = connect(provider)
    wanted = window_order(bench)
    with pytest.raises(UnsupportedOperation, match=provider):
        bench.gateway.open_window(wanted, TIMEOUT)
    with pytest.raises(UnsupportedOperation, match=provider):
        bench.gateway.read_return(wanted, {})
    with pytest.raises(UnsupportedOperation, match=provider):
        bench.gateway.approve(wanted, Authenticated({}), TIMEOUT)


# --- the page ------------------------------------------------------------------------------------------------------


def test_a_page_is_opened_again_for_every_reload(bench, order):
    page, again = opened(bench, order), opened(bench, order)
    assert isinstance(page, WindowPage)
    assert (page.driver, page.script, page.hosts) == (again.driver, again.script, again.hosts)
    assert page.driver == bench.provider
    assert all(host.startswith(bench.sandbox.url) for host in page.hosts)


def test_a_page_holds_no_secret(bench, order):
    page = opened(bench, order)
    text = json.dumps([page.params, page.script], ensure_ascii=False)
    secrets = {field.name for field in bench.module.SPEC.credentials if field.secret}
    shown = [name for name in secrets if bench.simulator.TEST_CREDENTIALS.get(name, "") not in ("", "Y")]
    assert shown
    assert [name for name in shown if bench.simulator.TEST_CREDENTIALS[name] in text] == []


def test_a_page_asks_for_our_amount_and_order(bench, order):
    other = replace(order, request=replace(order.request, amount=bench.money(9900)), order_id=bench.order_id())
    for wanted in (order, other):
        found = entered(bench, wanted)
        assert (found.order_id, found.amount) == (wanted.order_id, wanted.request.amount.amount)
        assert found.currency == bench.currency


# --- paying --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider", "method"), METHODS)
def test_every_method(connect, provider, method):
    bench = connect(provider)
    order, result = pay(bench, method)
    assert result.amount == order.request.amount
    assert result.gateway_ref
    if method == PayMethod.VBANK:
        assert bench.money_taken(order.order_id) == 0
    else:
        assert bench.money_taken(order.order_id) == order.request.amount.amount
        assert (result.card is not None) == (method == PayMethod.CARD)
    if method == PayMethod.TRANS:
        assert result.bank_code is None or len(result.bank_code) == 3


def test_until_the_approval_no_money_moves(bench, order):
    assert isinstance(authenticated(bench, order), Authenticated)
    assert bench.money_taken(order.order_id) == 0


@only(lambda spec: spec.operations & {Operation.FIND, Operation.READ})
def test_what_is_approved_is_found(bench):
    order = window_order(bench, first_method(bench))
    back = authenticated(bench, order)
    approved = approve(bench, order, back)
    found = bench.gateway.find_charge(query(bench, order, back, approved.gateway_ref), TIMEOUT)
    assert isinstance(found, Approved)
    assert (found.gateway_ref, found.amount) == (approved.gateway_ref, approved.amount)


@needs(Operation.PARTIAL_CANCEL)
def test_what_is_approved_can_be_given_back(bench):
    method = first_method(bench)
    order, approved = pay(bench, method)
    for amount, balance in ((900, 8900), (8000, 8000)):
        request = bench.cancel_request(order.order_id, approved, amount, balance, pay_method=method)
        result = bench.gateway.cancel(replace(request, sequence=1 if amount == 900 else 2), TIMEOUT)
        assert isinstance(result, Cancelled), result
    assert bench.money_taken(order.order_id) == 0


@takes(PayMethod.CARD)
def test_a_card_without_funds_is_declined(bench):
    order = window_order(bench)
    result = approve(bench, order, authenticated(bench, order, "approve-no-funds"))
    assert isinstance(result, Declined), result
    assert not bench.money_taken(order.order_id)


@pytest.mark.parametrize("button", ["cancel", "fail"])
def test_a_window_that_is_left(bench, order, button):
    result = read_return(bench, order, visit(bench, order, button))
    assert isinstance(result, Declined), result
    assert (result.reason is DeclineReason.BUYER_CANCELLED) == (button == "cancel" or bench.provider in FAILURES_UNTOLD)
    assert result.code
    assert result.message
    assert bench.books(order.order_id) == []


# --- what a browser may try ----------------------------------------------------------------------------------------


def test_another_orders_return_is_refused(bench, order):
    fields = visit(bench, order)
    for other in (
        window_order(bench, first_method(bench)),
        replace(window_order(bench, first_method(bench), amount=500), order_id=bench.order_id()),
    ):
        gets_nothing(bench, other, fields)


def test_a_return_for_another_amountgets_nothing(bench, order):
    """The buyer has agreed to a small amount, and comes back to an order for a large one."""
    fields = visit(bench, order)
    gets_nothing(bench, replace(order, request=replace(order.request, amount=bench.money(890_000))), fields)


def test_a_return_that_is_changed_gets_no_more_than_the_order(bench, order):
    """Whatever single field is changed: refused, or no approval, or an approval of this order and amount."""
    fields = visit(bench, order)
    for name in fields:
        for value in ("", "0", "1", f"{fields[name]}0", f"x{fields[name][1:]}"):
            changed = {**fields, name: value}
            result = tried(bench, order, changed)
            if isinstance(result, Approved):
                assert result.amount == order.request.amount
            assert bench.money_taken(order.order_id) in (0, order.request.amount.amount)


def test_an_empty_return_is_refused(bench, order):
    for fields in ({}, {"x": "y"}, {"code": ""}):
        with pytest.raises(InvalidRequest):
            bench.gateway.read_return(order, fields)


def tried(bench, order, fields):
    """What comes of such a return: refused, or else what the gateway says to the approval."""
    try:
        back = read_return(bench, order, fields)
    except InvalidRequest as refused:
        back = refused
    if isinstance(back, InvalidRequest):
        assert back.message.startswith(f"{back.field}: ")
    return approve(bench, order, back) if isinstance(back, Authenticated) else back


def gets_nothing(bench, order, fields):
    assert isinstance(tried(bench, order, fields), InvalidRequest | Declined | NotSent | Unknown)
    assert bench.money_taken(order.order_id) in (0, 8900)  # at most what was agreed to, and unclear to us


def test_the_same_return_twice_pays_once(bench, order):
    back = authenticated(bench, order)
    first, second = approve(bench, order, back), approve(bench, order, back)
    assert isinstance(first, Approved)
    assert second == first or isinstance(second, Unknown), second
    assert bench.money_taken(order.order_id) == order.request.amount.amount


def test_an_old_return_is_never_unclear_money(bench, order):
    """An hour is more than any gateway waits for the approval."""
    back = authenticated(bench, order)
    bench.clock.shift = timedelta(hours=7)
    result = approve(bench, order, back)
    assert isinstance(result, Declined | NotSent | Unknown) or bench.money_taken(order.order_id)


def test_a_window_can_be_left_once(bench, order):
    with pytest.raises(Refusal):
        bench.sandbox.simulator.press(entered(bench, order).visit_id, "approve")


# --- what the gateway may do ---------------------------------------------------------------------------------------


def test_a_refusal_is_a_decline(bench, order):
    back = authenticated(bench, order)
    bench.sandbox.fail("charge", "decline")
    result = approve(bench, order, back)
    assert isinstance(result, Declined), result
    assert result.code
    assert not bench.money_taken(order.order_id)


def test_a_code_nobody_knows_is_unknown(bench, order):
    back = authenticated(bench, order)
    bench.sandbox.fail("charge", "decline", code="ZZ99_NEW")
    assert isinstance(approve(bench, order, back), Unknown)


def test_another_amount_is_never_passed_off_as_ours(bench, order):
    back = authenticated(bench, order)
    bench.sandbox.fail("charge", "wrong_amount")
    result = approve(bench, order, back)
    assert isinstance(result, Unknown) or result.amount != order.request.amount, result


@pytest.mark.parametrize("fault", ["reply_lost", "garbage", "http_500", "timeout"])
def test_without_an_answer_it_is_unknown(bench, order, fault):
    back = authenticated(bench, order)
    bench.sandbox.fail("charge", fault, seconds=1)
    result = bench.gateway.approve(order, back, 0.5 if fault == "timeout" else TIMEOUT)
    assert isinstance(result, Unknown), result


def test_a_refused_connection_is_not_sent(bench, order):
    back = authenticated(bench, order)
    bench.sandbox.fail("charge", "refuse", seconds=1)
    assert isinstance(approve(bench, order, back), NotSent)


@needs(Operation.FIND)
@pytest.mark.parametrize("fault", ["reply_lost", "http_500"])
def test_a_lost_reply_can_be_asked_about(bench, order, fault):
    back = authenticated(bench, order)
    bench.sandbox.fail("charge", fault)
    approve(bench, order, back)
    found = bench.gateway.find_charge(query(bench, order, back), TIMEOUT)
    taken = bench.money_taken(order.order_id)
    assert taken == (order.request.amount.amount if fault == "reply_lost" else 0)
    if taken:
        assert isinstance(found, Approved)
        assert found.amount == order.request.amount
    else:
        assert isinstance(found, NotFound | Declined | Unknown | Pending), found


@only(lambda spec: spec.windows is not None and spec.windows.net_cancel_window)
def test_a_lost_reply_can_be_undone(bench, order):
    back = authenticated(bench, order)
    bench.sandbox.fail("charge", "reply_lost")
    assert isinstance(approve(bench, order, back), Unknown)
    assert bench.money_taken(order.order_id) == order.request.amount.amount
    nameless = Approved("", order.request.amount, bench.clock.now())
    request = bench.cancel_request(
        order.order_id, nameless, order.request.amount.amount, kept=back.kept, pay_method=order.terms.pay_method.value
    )
    assert isinstance(bench.gateway.cancel(request, TIMEOUT), Cancelled)
    assert bench.money_taken(order.order_id) == 0


def test_wrong_credentials_take_nothing(bench, order):
    back = authenticated(bench, order)
    stranger = bench.connect(bench.wrong_credentials())
    result = stranger.approve(order, back, TIMEOUT)
    assert isinstance(result, Declined | Unknown), result
    assert not isinstance(result, Declined) or result.reason is DeclineReason.CHANNEL_REJECTED
    assert not bench.money_taken(order.order_id) or bench.provider in UNSIGNED


# --- virtual accounts ----------------------------------------------------------------------------------------------


@takes(PayMethod.VBANK)
def test_a_virtual_accounts_life(bench):
    due = bench.clock.now() + timedelta(days=3)
    order = window_order(bench, "vbank", account_due=due)
    back = authenticated(bench, order)
    issued = approve(bench, order, back)
    assert isinstance(issued, AwaitingDeposit), issued
    assert issued.account.number
    assert abs(issued.account.due_at - due) < timedelta(days=1)  # some know days alone
    asked = query(bench, order, back, issued.gateway_ref)
    assert isinstance(bench.gateway.find_charge(asked, TIMEOUT), AwaitingDeposit)
    notice = bench.gateway.read_deposit_notice(bench.sandbox.deposit(order.order_id))
    assert notice.order_id == order.order_id
    shown = (notice.secret or None, notice.gateway_ref)
    assert shown in ((issued.notice_secret, None), (None, issued.gateway_ref))
    paid = bench.gateway.find_charge(asked, TIMEOUT)
    assert isinstance(paid, Approved)
    assert (paid.amount, paid.gateway_ref) == (order.request.amount, issued.gateway_ref)
    assert paid.account
    refund = bench.cancel_request(order.order_id, paid, paid.amount.amount, refund_to=REFUND_TO, pay_method="vbank")
    refunds = bool(bench.spec.virtual_accounts.refund_banks)
    assert isinstance(bench.gateway.cancel(refund, TIMEOUT), Cancelled if refunds else Declined)


@takes(PayMethod.VBANK)
@only(lambda spec: spec.virtual_accounts is not None and spec.virtual_accounts.tells_expiry)
def test_a_virtual_account_that_is_due(bench):
    order = window_order(bench, "vbank", account_due=bench.clock.now() + timedelta(days=1))
    back = authenticated(bench, order)
    issued = approve(bench, order, back)
    bench.clock.shift = timedelta(days=3)
    found = bench.gateway.find_charge(query(bench, order, back, issued.gateway_ref), TIMEOUT)
    assert isinstance(found, Declined), found


# --- what is told, and what is not ---------------------------------------------------------------------------------


def test_nothing_secret_is_logged_or_shown(bench, order, everything_logged):
    back = authenticated(bench, order)
    bench.sandbox.fail("charge", "decline", code="ZZ99_NEW")
    results = [approve(bench, order, back)]
    again = window_order(bench, first_method(bench))
    back_again = authenticated(bench, again)
    results.append(approve(bench, again, back_again))
    said = everything_logged.text + "".join(map(repr, [*results, back, back_again]))
    credentials = bench.simulator.TEST_CREDENTIALS
    secrets = {credentials[f.name] for f in bench.module.SPEC.credentials if f.secret and f.name in credentials} - {"Y"}
    references = {getattr(result, "gateway_ref", None) for result in results}
    proofs = {value for found in (back, back_again) for value in found.proof.values() if len(value) > 8} - references
    assert [text for text in secrets | proofs if text in said] == []


def test_the_sandbox_shows_what_happened_in_windows(bench, order):
    visit(bench, order, "cancel")
    [row] = [row for row in bench.sandbox.simulator.windows() if row["order_id"] == order.order_id]
    assert row == {
        "order_id": order.order_id,
        "method": order.terms.pay_method.value,
        "amount": order.request.amount.amount,
        "currency": bench.currency,
        "outcome": "cancel",
    }


# --- the simulators' windows over HTTP -----------------------------------------------------------------------------


@pytest.fixture
def wire(bench):
    """wire(method, path, body) -> the simulator's answer, as a browser gets it."""
    with urllib3.PoolManager() as pool:

        def call(method, path, body=b""):
            return pool.request(method, bench.sandbox.url + path, body=body, retries=False)

        yield call


def entered(bench, order):
    visit(bench, order, "cancel")
    return next(v for v in bench.sandbox.simulator.visits.values() if v.order_id == order.order_id)


def test_scripts_are_served_at_their_path(bench, order, wire):
    page = opened(bench, order)
    if page.script is None:  # its window is a page of its own
        assert not bench.sandbox.simulator.scripts
        return
    path = page.script.removeprefix(bench.sandbox.url).partition("?")[0]
    assert path in bench.sandbox.simulator.scripts
    served = wire("GET", path)
    assert served.headers["Content-Type"].startswith("text/javascript")
    assert bench.sandbox.simulator.scripts[path] in served.data.decode()


def test_faults_hit_the_script(bench, wire):
    path = next(iter({**bench.sandbox.simulator.scripts, **bench.sandbox.simulator.forms}))
    bench.sandbox.fail("*", "http_500")  # of what a server calls
    assert wire("GET", path).status != 500
    bench.sandbox.fail("window", "http_500")
    assert wire("GET", path).status == 500
    assert wire("GET", path).status != 500


at_toss = pytest.mark.parametrize("bench", ["tosspayments"], indirect=True)
"""For what is the same everywhere."""


@at_toss
def test_what_it_says(bench, wire):
    wanted = window_order(bench, name="<b>책</b> & 공책")
    params = json.dumps(dict(opened(bench, wanted).params)).encode()
    answer = wire("POST", "/_window/visits", params)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (201, "*")
    text = wire("GET", answer.json()["path"]).data.decode()
    for shown in ("모의 결제창", "토스페이먼츠", "&lt;b&gt;책&lt;/b&gt; &amp; 공책", "8,900원", "신용카드"):
        assert shown in text
    for button in ("approve", "approve-no-funds", "fail", "cancel", "stall"):
        assert f'id="{button}"' in text
    assert "http" not in text.split("<script>")[0]  # nothing is loaded from elsewhere


@at_toss
def test_funds_are_a_matter_of_cards(bench, wire):
    params = json.dumps(dict(opened(bench, window_order(bench, "phone")).params)).encode()
    text = wire("GET", wire("POST", "/_window/visits", params).json()["path"]).data.decode()
    assert 'id="approve"' in text
    assert "approve-no-funds" not in text


@at_toss
def test_a_button_is_pressed_once(bench, wire):
    wanted = window_order(bench)
    path = wire("POST", "/_window/visits", json.dumps(dict(opened(bench, wanted).params)).encode()).json()["path"]
    assert wire("POST", f"{path}/nonsense").status == 410
    step = wire("POST", f"{path}/approve").json()
    assert step["go"]["url"].startswith(wanted.return_url)
    assert wire("POST", f"{path}/cancel").status == 410
    assert wire("GET", path).status == 410
    assert wire("GET", "/_window/visits/nobody").status == 410


@at_toss
def test_a_refusal_is_told_to_the_script(bench, wire):
    answer = wire("POST", "/_window/visits", b"{}")
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_CLIENT_KEY")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@at_toss
def test_visits_are_shown_by_the_control_api(bench, order, wire):
    found = entered(bench, order)
    text = wire("GET", "/_sandbox/visits").data.decode()
    assert order.order_id in text
    assert found.visit_id not in text
    assert found.details["payment_key"] not in text


@at_toss
@pytest.mark.parametrize("fault", ["decline", "wrong_amount", "reply_lost", "late_approval", "garbage"])
def test_faults_that_are_about_money_are_not_a_windows(bench, wire, fault):
    body = json.dumps({"operation": "window", "fault": fault}).encode()
    answer = wire("POST", "/_sandbox/faults", body)
    assert (answer.status, answer.json()["field"]) == (400, "operation" if fault == "wrong_amount" else "fault")


@pytest.mark.parametrize("bench", [n for n in WITH_WINDOW if module(n).Simulator.forms], indirect=True)
def test_a_form_that_is_refused_is_a_page(bench, wire):
    for path in bench.sandbox.simulator.forms:
        answer = wire("GET", path)
        assert answer.status == 400
        assert bench.sandbox.simulator.label in answer.data.decode()
