"""Payments in the console: any id finds them, lists are honest, and what is done about one is done once, on record."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import chalicelib
from chalicelib import container
from chalicelib.api.console import masking
from chalicelib.api.console.payment_words import UNKNOWN_ALARM, advice
from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import Buyer, NotSent, Operation, VirtualAccountRequest
from chalicelib.domain.money import Money
from chalicelib.domain.payments import CancelState, Payment, State
from chalicelib.ports import Ref
from chalicelib.usecases import by_hand, cancels, charges, searching, virtual_accounts
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.lookups import Numbered
from tests.support.console import Console
from tests.support.recovery import balance, cancel, meddle, onetime, restrict, stored
from tests.support.world import CARD, STOLEN, request


@pytest.fixture
def toss(world):
    world.group([(world.channel("tosspayments"), 100)], failover="off")
    world.webhook_url("https://shop.example/hook")
    yield world.sandboxes["tosspayments"]
    container.install(None)


@pytest.fixture
def doubtful(world, toss):
    """A payment that was approved, and that the gateway cannot be asked about."""
    restrict(world, Operation.FIND)
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    world.run_to_quiet()
    world.clock.advance(minutes=10)
    return stored(world, payment)


def enter(world, role=Role.OPERATOR, language="en"):
    return Console(world, role, language=language)


def pay(world, uid="order-1", card=CARD, amount=8900, **more):
    return charges.charge_card(world.deps, world.merchant_id, request(uid, amount, **more), card, Target())


def actions(world, payment):
    return [entry.action for entry in by_hand.history(world.deps, world.merchant_id, payment.imp_uid)]


# --- searching ------------------------------------------------------------------------------------------------------


def test_any_id_of_a_payment_leads_to_it(world, toss):
    payment = cancel(world, pay(world), amount=Decimal(1000))
    console = enter(world)
    ids = [
        payment.imp_uid,
        payment.imp_uid.replace("_", ""),
        payment.attempt.order_id,
        payment.cancels[0].cancel_id,
        payment.request.merchant_uid,
        payment.gateway_ref,
        f"  {payment.imp_uid} ",
    ]
    for text in ids:
        page = console.get("payments", q=text)
        assert (page.status, page.location) == (303, f"/console/payments/{payment.imp_uid}"), text
    world.run_queue()
    notice = json.loads(world.sender.sent[-1][1])
    assert notice["imp_uid"] == payment.imp_uid


def test_a_customer_and_its_key_are_found(world, api, toss):
    from tests.support.api import CARD as API_CARD

    api.post("/subscribe/customers/c1", API_CARD)
    console = enter(world)
    assert console.get("payments", q="c1").location == "/console/keys/key?customer_uid=c1"
    for n in range(3):
        api.post("/subscribe/payments/again", customer_uid="c1", merchant_uid=f"m{n}", amount=1000, name="n")
    page = console.get("payments", q="c1")
    assert page.status == 200
    assert all(f"m{n}" in page.words for n in range(3))
    assert "keys/key?customer_uid=c1" in page.text
    listed = console.get("payments", customer_uid="c1")
    assert (listed.status, listed.words.count("Test")) == (200, 4)  # three payments, and the switch above
    assert console.get("payments", customer_uid="nobody").status == 404


def test_an_order_that_is_called_like_another_payment_is_found_with_it(world, toss):
    other = pay(world)
    pay(world, other.imp_uid)
    page = enter(world).get("payments", q=other.imp_uid)
    assert (page.status, page.words.count("Paid"), "order-1" in page.words) == (200, 2, True)


def test_an_order_that_failed_before_lists_all_of_its_payments(world, toss):
    pay(world, card=STOLEN)
    pay(world)
    page = enter(world).get("payments", q="order-1")
    assert (page.status, page.words.count("order-1"), "Failed" in page.words) == (200, 2, True)


def test_what_nobody_knows_is_told_with_what_was_tried(world, toss):
    page = enter(world).get("payments", q="<script>alert(1)</script>")
    assert page.status == 200
    assert "<script>alert(1)" not in page.text
    assert all(word in page.words for word in ("imp_uid", "merchant_uid", "transaction id", "customer_uid"))


def test_another_merchants_payment_is_not_there(world, toss):
    payment = pay(world)
    from tests.support.world import World

    other = World(world.sandboxes)
    other.store = world.store
    other.deps = replace(other.deps, store=world.store)
    from chalicelib.usecases import merchants

    other.merchant = merchants.create(other.deps, "other")
    other.merchant_id = other.merchant.user_code
    other.admin = merchants.check_admin(other.deps, other.merchant.admin_token)
    console = enter(other)
    for text in (payment.gateway_ref, payment.imp_uid, "order-1"):
        assert "Nothing found" in console.get("payments", q=text).words
    assert console.get(f"payments/{payment.imp_uid}").status == 404
    assert (
        console.post(f"payments/{payment.imp_uid}/cancel", reason="x", confirmed="yes", checksum="8900").status == 404
    )


# --- the list -------------------------------------------------------------------------------------------------------


def test_the_list_shows_what_a_person_needs_and_hides_the_buyer(world, toss):
    pay(world)
    page = enter(world).get("payments")
    assert page.status == 200
    for shown in ("8,900원", "Paid", "Toss Payments", "order-1", "월간 이용권 정기결제", "홍*동"):
        assert shown in page.words, shown
    assert "홍길동" not in page.text
    assert "Older" not in page.words


def test_tabs_count_and_filter(world, toss):
    pay(world, "m1")
    pay(world, "m2", card=STOLEN)
    cancel(world, pay(world, "m3"))
    console = enter(world)
    assert "All 3 Paid 1 Cancelled 1 Failed 1 Open 0" in console.get("payments").words
    failed = console.get("payments", status="failed").words
    assert "m2" in failed
    assert "m1" not in failed
    assert "m3" in console.get("payments", status="cancelled").words


def test_filters_that_the_lists_do_not_know(world, toss):
    nice = world.channel("nice_v2")
    pay(world, "small", amount=1000)
    pay(world, "large", amount=50_000)
    charges.charge_card(world.deps, world.merchant_id, request("nice-1"), CARD, Target(channel_key=nice))
    console = enter(world)

    def found(**query):
        words = console.get("payments", **query).words
        return {uid for uid in ("small", "large", "nice-1") if uid in words}

    assert found() == {"small", "large", "nice-1"}
    assert found(gateway="nice_v2") == {"nice-1"}
    assert found(lowest="8,900") == {"large", "nice-1"}
    assert found(lowest="8900", highest="9000") == {"nice-1"}
    assert found(status="paid", highest="1000") == {"small"}
    console.cookies["__Host-prefs"] = "en.auto.live"
    assert found() == set()


def test_periods_are_days_in_korea(world, toss):
    pay(world, "today")
    world.clock.advance(hours=24)
    pay(world, "tomorrow")
    console = enter(world)
    today = world.clock.now() + timedelta(hours=9)
    words = console.get("payments", days="1").words
    assert ("tomorrow" in words, "m today" in words) == (True, False)
    before = f"{today - timedelta(days=1):%Y-%m-%d}"
    words = console.get("payments", first=before, last=before).words
    assert ("tomorrow" in words, " today " in words) == (False, True)


@pytest.mark.parametrize(
    "query",
    [
        {"first": "yesterday"},
        {"first": "2026-11-24", "last": "2026-11-01"},
        {"first": "2020-01-01", "last": "2026-11-01"},
        {"lowest": "much"},
        {"highest": "NaN"},
        {"first": "0001-01-01", "last": "0001-01-01"},
        {"first": "9999-12-31", "last": "9999-12-31"},
    ],
)
def test_nonsense_in_the_filters_is_told(world, toss, query):
    page = enter(world).get("payments", **query)
    assert page.status == 400
    assert 'role="alert"' in page.text


@pytest.mark.parametrize(
    "query", [{"trail": "x.y.-1"}, {"trail": "999999"}, {"until": "99999999999999"}, {"until": "-5"}, {"status": "x"}]
)
def test_addresses_that_somebody_has_made_up_do_no_harm(world, toss, query):
    pay(world)
    assert enter(world).get("payments", **query).status in (200, 400)


def test_pages_go_back_and_forth_and_stay_where_they_were(world, toss):
    for n in range(25):
        pay(world, f"m{n:02d}x")
        world.clock.advance(seconds=1)
    console = enter(world)
    first = console.get("payments")
    assert len(set(re.findall(r"m\d\dx", first.words))) == 20
    older = address(first, "next")
    world.clock.advance(seconds=2)
    pay(world, "late")  # what comes meanwhile moves no page
    second = console.send("GET", older)
    assert re.findall(r"m\d\dx", second.words) == [f"m{n:02d}x" for n in (4, 3, 2, 1, 0)]
    back = console.send("GET", address(second, "prev"))
    assert re.findall(r"m\d\dx", back.words)[0] == "m24x"
    assert "late" not in back.words


def address(page, rel):
    return re.search(rf'rel="{rel}" href="([^"]+)"', page.text)[1].replace("&amp;", "&")


def test_looking_for_few_among_many_stops_and_goes_on(world, toss, monkeypatch):
    monkeypatch.setattr(searching, "BATCH", 2)
    monkeypatch.setattr(searching, "MOST_READ", 4)
    for n in range(7):
        pay(world, f"m{n}x", amount=5000 if n in (0, 6) else 1000)
        world.clock.advance(seconds=1)
    span = (0, int(world.clock.now().timestamp()) + 1)
    wanted = searching.Filter(lowest=Decimal(2000))
    some = searching.pick(world.deps, world.merchant_id, "all", span, wanted, Numbered(0, 5))
    assert ([p.request.merchant_uid for p in some.payments], some.next_offset, some.gave_up) == (["m6x"], 4, True)
    rest = searching.pick(world.deps, world.merchant_id, "all", span, wanted, Numbered(4, 5))
    assert ([p.request.merchant_uid for p in rest.payments], rest.next_offset, rest.gave_up) == (["m0x"], None, False)
    page = enter(world).get("payments", lowest="2000")
    assert "4 payments were looked at" in page.words
    assert "m0x" in enter(world, Role.OWNER).send("GET", address(page, "next")).words


def test_an_empty_list_says_how_to_begin(world, toss):
    assert "No payments in this period" in enter(world).get("payments").words


# --- one payment ----------------------------------------------------------------------------------------------------


def test_a_payment_tells_how_it_came_to_its_gateway(world):
    world.two_gateways((60, 40))
    world.webhook_url("https://shop.example/hook")
    payment = pay(world)
    world.run_queue()
    page = enter(world).get(f"payments/{payment.imp_uid}")
    decision = payment.attempt.decision
    assert page.status == 200
    for shown in (payment.imp_uid, payment.attempt.order_id, payment.gateway_ref, "60 %", "40 %", "chosen", "approved"):
        assert shown in page.words, shown
    assert f"draw {decision.draw:.1f} %" in page.text
    assert "HTTP 200" in page.words
    assert page.words.index("Payment asked for") < page.words.index("Attempt 1") < page.words.index("Webhook: paid")
    container.install(None)


def refuse_first(world):
    def charge(inner, order_id, *rest):
        return NotSent("refused") if order_id.endswith("a1") else inner.charge_card(order_id, *rest)

    return charge


def test_exclusions_and_further_attempts_are_told(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    world.group([(toss, 100), (nice, 0)], failover="declined")
    meddle(world, charge_card=refuse_first(world))
    payment = pay(world, buyer=Buyer("홍길동", "gildong@gmail.com", "010-1234-5678"))
    page = enter(world).get(f"payments/{payment.imp_uid}")
    assert len(payment.attempts) == 2
    assert "Attempt 2" in page.words
    assert "drawn among the channels at 0 %" in page.words
    container.install(None)


def test_viewers_see_no_buyer_and_no_buttons(world, toss):
    payment = pay(world, custom_data='{"phone": "secret"}')
    page = enter(world, Role.VIEWER).get(f"payments/{payment.imp_uid}")
    assert page.status == 200
    for hidden in ("홍길동", "gildong@", "1234", "secret", "/cancel"):
        assert hidden not in page.text, hidden
    assert all(shown in page.words for shown in ("홍*동", "010-****-5678", "g***@gmail.com"))
    seen = enter(world, Role.OPERATOR).get(f"payments/{payment.imp_uid}")
    assert all(shown in seen.words for shown in ("홍길동", "010-1234-5678", "gildong@gmail.com", "secret"))


def test_viewers_change_nothing(world, toss, doubtful):
    console, before = enter(world, Role.VIEWER), None
    console.get("payments")
    before = world.store.texts()
    for action in ("cancel", "check", "settle", "settle-cancel", "acknowledge", "resend", "revoke"):
        fields = {"reason": "x", "confirmed": "yes", "outcome": "failed", "checksum": "8900"}
        assert console.post(f"payments/{doubtful.imp_uid}/{action}", fields).status == 403, action
    assert world.store.texts() == before


def test_what_merchants_and_gateways_write_is_text(world, toss):
    nasty = '<script>alert("x")</script>'
    payment = pay(world, nasty, name=nasty, buyer=Buyer(nasty, "a@b.kr", "010-1234-5678"))
    console = enter(world)
    for path in ("payments", f"payments/{payment.imp_uid}", f"payments/{payment.imp_uid}/cancel"):
        page = console.get(path)
        assert page.status == 200
        assert "<script>alert" not in page.text


def test_a_receipt_link_goes_to_https_only(world, toss):
    payment = pay(world)
    (payment,) = world.store.commit(replace(payment, receipt_url="javascript:alert(1)"))
    console, path = enter(world), f"payments/{payment.imp_uid}"
    assert "javascript:" not in console.get(path).text
    (payment,) = world.store.commit(replace(payment, receipt_url="https://pg.example/r"))
    assert 'href="https://pg.example/r" rel="noreferrer noopener"' in console.get(path).text


def test_the_next_thing_is_told_with_its_time(world, toss):
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    words = enter(world).get(f"payments/{payment.imp_uid}").words
    assert "Being confirmed" in words
    due = payment.due_at + timedelta(hours=9)
    assert f"{due:%Y-%m-%d %H:%M:%S} – The gateway is asked again." in words


def test_a_payment_that_no_channel_took_is_shown(world, api, toss):
    from tests.support.api import CARD as API_CARD

    api.post("/subscribe/customers/c1", API_CARD)
    entry = {"merchant_uid": "m0", "schedule_at": int(world.clock.now().timestamp()) + 5, "amount": 8900, "name": "n"}
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=[entry])
    api.send("DELETE", "/subscribe/customers/c1")
    world.run_to_quiet(hours=0.1)
    page = enter(world).get("payments", q="m0")
    shown = enter(world, Role.OWNER).follow(page) if page.status == 303 else page
    assert shown.status == 200
    assert "Failed" in shown.words


# --- cancelling -----------------------------------------------------------------------------------------------------

ALL = {"extent": "all", "reason": "구매자 요청", "notify": "yes"}


def form_of(page):
    """The hidden fields of the page's main form, as a browser would send them."""
    return dict(re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', page.text.split("<main")[1]))


def test_a_cancel_is_looked_over_confirmed_and_on_record(world, toss):
    payment = pay(world)
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    form = console.get(path)
    assert "8,900원" in form.words
    asked = console.post(path, {**form_of(form), **ALL})
    assert asked.status == 200
    assert all(shown in asked.words for shown in ("8,900원", "Toss Payments", "order-1", "구매자 요청"))
    assert balance(world) == 8900  # nothing has happened yet
    assert actions(world, payment) == []
    done = console.post(path, form_of(asked))
    assert (done.status, done.location) == (303, f"/console/payments/{payment.imp_uid}?done=cancelled")
    assert "Cancelled: the gateway has given it back" in console.follow(done).words
    assert balance(world) == 0
    [entry] = by_hand.history(world.deps, world.merchant_id, payment.imp_uid)
    assert (entry.action, entry.by) == ("payment.cancel_requested", f"operator@{world.merchant_id}.kr")
    assert entry.after == {"amount": "8900", "currency": "KRW", "reason": "구매자 요청"}
    world.run_queue()
    assert [json.loads(body)["status"] for _, body, _ in world.sender.sent] == ["paid", "cancelled"]


def test_the_same_cancel_sent_twice_gives_back_once(world, toss):
    payment = pay(world)
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    part = {"extent": "part", "amount": "3,000", "reason": "x"}
    sure = form_of(console.post(path, {**form_of(console.get(path)), **part}))
    assert console.post(path, sure).status == 303
    again = console.post(path, sure)
    assert again.status == 409
    assert "what is left has changed meanwhile" in again.words
    assert balance(world) == 5900
    assert actions(world, payment) == ["payment.cancel_requested"]
    rest = form_of(console.post(path, {**form_of(again), "extent": "all", "reason": "x"}))
    assert console.post(path, rest).status == 303
    assert console.post(path, rest).status == 409
    assert balance(world) == 0
    assert actions(world, payment) == ["payment.cancel_requested"] * 2


def test_a_refused_cancel_says_the_gateways_words_and_keeps_what_was_typed(world, toss):
    payment = pay(world)
    toss.fail("cancel", "decline")
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    sure = form_of(console.post(path, {**form_of(console.get(path)), **ALL}))
    page = console.post(path, sure)
    kept = stored(world, payment)
    assert page.status == 409
    assert kept.cancels[0].state is CancelState.FAILED
    assert kept.cancels[0].message in page.words
    assert 'value="구매자 요청"' in page.text


def test_a_cancel_without_an_answer_is_being_confirmed(world, toss):
    payment = pay(world)
    toss.fail("cancel", "reply_lost")
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    sure = form_of(console.post(path, {**form_of(console.get(path)), **ALL}))
    page = console.follow(console.post(path, sure))
    assert "is being confirmed" in page.words
    assert "Do not cancel again" in page.words
    assert console.post(path, sure).status == 409
    assert balance(world) == 0


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"reason": " "}, 400, "a reason is required"),
        ({"extent": "part", "amount": ""}, 400, "enter the amount"),
        ({"extent": "part", "amount": "many"}, 400, "must be a number"),
        ({"extent": "part", "amount": "10,50"}, 400, "must be a number"),
        ({"extent": "part", "amount": "1e3"}, 400, "must be a number"),
        ({"extent": "part", "amount": "1_0"}, 400, "must be a number"),
        ({"extent": "part", "amount": "NaN"}, 400, "must be a number"),
        ({"extent": "part", "amount": "9" * 400}, 400, "out of range"),
        ({"extent": "all", "amount": "3000"}, 400, "choose a part, or leave the amount empty"),
        ({"extent": ""}, 400, "choose all or a part"),
        ({"extent": "half"}, 400, "choose all or a part"),
        ({"extent": "part", "amount": "0"}, 400, "too small an amount"),
        ({"extent": "part", "amount": "-5"}, 400, "too small an amount"),
        ({"extent": "part", "amount": "0.5"}, 400, "minor unit"),
        ({"extent": "part", "amount": "9000"}, 409, "more than is left"),
        ({"checksum": "100"}, 409, "changed meanwhile"),
        ({"checksum": ""}, 400, "must be a number"),
    ],
)
@pytest.mark.parametrize("confirmed", [{}, {"confirmed": "yes"}])
def test_what_cannot_be_cancelled_like_that_is_told_first(world, toss, changes, status, says, confirmed):
    payment = pay(world)
    fields = {**ALL, "checksum": "8900", **changes, **confirmed}
    page = enter(world).post(f"payments/{payment.imp_uid}/cancel", fields)
    assert (page.status, says in page.words) == (status, True), page.words
    assert balance(world) == 8900
    assert actions(world, payment) == []


def test_nothing_is_done_when_somebody_goes_back(world, toss):
    payment = pay(world)
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    sure = form_of(console.post(path, {**form_of(console.get(path)), **ALL}))
    page = console.post(path, {**sure, "back": "1"})
    assert (page.status, balance(world)) == (200, 8900)
    assert 'value="구매자 요청"' in page.text


def test_an_operator_who_died_in_between_left_a_name(world, toss):
    """The entry is stored before the gateway is asked."""
    from tests.support.recovery import Dying

    payment = pay(world)
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    sure = form_of(console.post(path, {**form_of(console.get(path)), **ALL}))
    real = world.deps
    container.install(replace(real, store=Dying(world.store, 1)))
    with pytest.raises(SystemExit):
        console.post(path, sure)
    container.install(real)
    assert actions(world, payment) == ["payment.cancel_requested"]
    assert balance(world) == 8900


@pytest.fixture
def account(world):
    """A virtual account that waits for its deposit."""
    world.two_gateways()
    wanted = VirtualAccountRequest(bank_code="088", due_at=world.clock.now() + timedelta(days=7))
    issue = virtual_accounts.Issue(request("order-1"), wanted, Target())
    yield virtual_accounts.issue(world.deps, world.merchant_id, issue)
    container.install(None)


def test_a_deposit_goes_back_to_the_account_that_is_named(world, account):
    payment = account
    notice = world.sandboxes["tosspayments"].deposit(payment.attempt.order_id)
    virtual_accounts.deposit_notice(world.deps, world.merchant_id, world.channels["tosspayments"], notice)
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    assert console.get(f"payments/{payment.imp_uid}").status == 200
    form = form_of(console.get(path))
    page = console.post(path, {**form, **ALL})
    assert (page.status, "required for a refund" in page.words) == (400, True)
    goes_to = {"refund_bank": "088", "refund_account": "110-123-456789", "refund_holder": "홍길동"}
    asked = console.post(path, {**form, **ALL, **goes_to})
    assert "신한은행 110-123-456789 홍길동" in asked.words
    assert console.post(path, form_of(asked)).status == 303
    assert stored(world, payment).v1_status == "cancelled"
    assert "110-123-456789" not in world.store.texts()
    assert "110-123-456789" not in console.get(f"payments/{payment.imp_uid}").text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"refund_bank": "999"}, "bank not supported"),
        ({"refund_account": "110-abc"}, "digits and hyphens only"),
        ({"refund_account": "1 " * 21}, "at most 40 characters"),
    ],
)
@pytest.mark.parametrize("confirmed", [{}, {"confirmed": "yes"}])
def test_an_account_that_takes_no_refund_is_told_before_anything_is_on_record(
    world, account, changes, says, confirmed
):  # fmt: skip
    notice = world.sandboxes["tosspayments"].deposit(account.attempt.order_id)
    virtual_accounts.deposit_notice(world.deps, world.merchant_id, world.channels["tosspayments"], notice)
    goes_to = {"refund_bank": "088", "refund_account": "110-123-456789", "refund_holder": "홍길동"}
    fields = {**ALL, "checksum": "8900", **goes_to, **changes, **confirmed}
    page = enter(world).post(f"payments/{account.imp_uid}/cancel", fields)
    assert (page.status in (400, 409), says in page.words) == (True, True), page.words
    assert actions(world, account) == []


@pytest.mark.gateways("paymentwall")
@pytest.mark.parametrize(("takes_parts", "status"), [(True, 200), (False, 409)])
def test_parts_are_given_back_where_the_channel_can(world, takes_parts, status):
    """Paymentwall gives parts back to merchants that it has agreed this with: an option of the channel."""
    from infra.sandbox.paymentwall import PARTS_CREDENTIALS, TEST_CREDENTIALS

    world.group(
        [(world.channel("paymentwall", credentials=PARTS_CREDENTIALS if takes_parts else TEST_CREDENTIALS), 100)]
    )
    buyer = Buyer("Gildong Hong", "gildong@shop.kr")
    wanted = replace(request("m1"), amount=Money(1050, "USD"), buyer=buyer, browser_ip="203.0.113.7")
    payment = charges.charge_card(world.deps, world.merchant_id, wanted, replace(CARD, cvc="123"), Target())
    assert payment.state is State.PAID
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    assert ('value="part"' in console.get(path).text) == takes_parts
    page = console.post(path, extent="part", amount="3.50", reason="x", checksum="10.50")
    assert page.status == status
    if takes_parts:
        done = console.post(path, form_of(page))
        assert (done.status, stored(world, payment).balance) == (303, Money(700, "USD"))
    else:
        assert "no partial cancels" in page.words
    container.install(None)


def test_many_at_once_give_back_once(world, toss):
    payment = pay(world)
    console, path = enter(world), f"payments/{payment.imp_uid}/cancel"
    part = {"extent": "part", "amount": "3000", "reason": "x"}
    sure = form_of(console.post(path, {**form_of(console.get(path)), **part}))
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(page.status for page in pool.map(lambda _: console.post(path, sure), range(4)))
    assert statuses == [303, 409, 409, 409]
    assert balance(world) == 5900


def test_a_virtual_account_is_closed(world, account):
    console, path = enter(world), f"payments/{account.imp_uid}/revoke"
    assert "Close the account…" in console.get(f"payments/{account.imp_uid}").words
    asked = console.post(path)
    assert (asked.status, account.account.number in asked.words) == (200, True)
    assert stored(world, account).state is State.WAITING
    assert console.post(path, form_of(asked)).location.endswith("?done=revoked")
    assert stored(world, account).state is State.REVOKED
    assert actions(world, account) == ["account.revoke_requested"]
    assert console.post(path, form_of(asked)).status == 409
    assert console.post(path).status == 409
    assert actions(world, account) == ["account.revoke_requested"]


# --- finding out, and saying ----------------------------------------------------------------------------------------


def test_asking_the_gateway_now_settles_and_leaves_a_name(world, toss):
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    console = enter(world)
    done = console.post(f"payments/{payment.imp_uid}/check")
    assert done.location.endswith("?done=checked")
    assert stored(world, payment).state is State.PAID
    assert actions(world, payment) == ["payment.checked"]
    again = console.post(f"payments/{payment.imp_uid}/check")
    assert (again.status, "nothing is open" in again.words) == (409, True)
    assert actions(world, payment) == ["payment.checked"]


def test_a_gateway_that_stays_silent_is_told(world, toss):
    toss.fail("charge", "reply_lost")
    toss.fail("find", "http_500", times=9)
    payment = onetime(world)
    done = enter(world).post(f"payments/{payment.imp_uid}/check")
    assert done.location.endswith("?done=checked_open")


def test_a_payment_is_settled_by_hand_after_a_second_look(world, toss, doubtful):
    console, path = enter(world), f"payments/{doubtful.imp_uid}/settle"
    shown = console.get(f"payments/{doubtful.imp_uid}")
    assert "cannot be asked, or not any more" in shown.words
    assert "Settle by hand" in shown.words
    assert doubtful.attempt.order_id in console.get(path).words
    tid = toss.simulator.books.charges[-1].pg_tid
    asked = console.post(path, {"outcome": "paid", "pg_tid": tid, "reason": "콘솔 확인"})
    assert all(shown in asked.words for shown in ("8,900원", tid, "콘솔 확인"))
    assert stored(world, doubtful).state is State.UNKNOWN
    sure = form_of(asked)
    done = console.post(path, sure)
    assert done.location == f"/console/payments/{doubtful.imp_uid}?done=settled"
    assert stored(world, doubtful).state is State.PAID
    again = console.post(path, sure)
    assert (again.status, "already settled" in again.words) == (409, True)
    assert "settled the payment" in console.get(f"payments/{doubtful.imp_uid}").words


def test_what_was_settled_as_failed_where_nobody_looks_is_said_so(world, doubtful):
    console, path = enter(world), f"payments/{doubtful.imp_uid}/settle"
    sure = form_of(console.post(path, {"outcome": "failed", "reason": "x"}))
    page = console.follow(console.post(path, sure))
    assert "once more tomorrow" in page.words
    assert stored(world, doubtful).state is State.FAILED


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "choose what the gateway says"),
        ({"outcome": "x", "reason": "x"}, "choose what the gateway says"),
        ({"outcome": "failed"}, "a reason is required"),
        ({"outcome": "paid", "reason": "x"}, "required for paid"),
        ({"outcome": "paid", "reason": "x", "pg_tid": "two words"}, "printable ASCII"),
        ({"outcome": "paid", "reason": "x", "pg_tid": "t", "approved_at": "soon"}, "not a time"),
        (
            {"outcome": "paid", "reason": "x", "pg_tid": "t", "approved_at": "2020-01-01T00:00", "confirmed": "yes"},
            "between the request and now",
        ),
    ],
)
def test_what_is_missing_for_a_settlement_is_told(world, doubtful, fields, says):
    page = enter(world).post(f"payments/{doubtful.imp_uid}/settle", fields)
    assert (page.status, says in page.words) == (400, True), page.words
    assert stored(world, doubtful).state is State.UNKNOWN


def test_a_cancel_in_doubt_is_settled_by_hand(world, toss):
    restrict(world, Operation.FIND)
    payment = onetime(world)
    toss.fail("cancel", "reply_lost")
    cancel(world, payment)
    world.run_to_quiet()
    world.clock.advance(minutes=10)
    console, path = enter(world), f"payments/{payment.imp_uid}/settle-cancel"
    assert "Settle the cancel" in console.get(f"payments/{payment.imp_uid}").words
    form = form_of(console.get(path))
    asked = console.post(path, {**form, "outcome": "done", "reason": "seen"})
    sure = form_of(asked)
    assert console.post(path, sure).location.endswith("?done=settled")
    kept = stored(world, payment)
    assert (kept.v1_status, kept.alarm) == ("cancelled", None)
    assert console.post(path, sure).status == 409
    assert console.get(path).status == 200
    assert actions(world, payment)[0] == "cancel.settled"


def test_an_alarm_is_noted_with_a_reason(world, toss):
    (payment,) = world.store.commit(replace(pay(world), alarm="the gateway's balance differs from ours"))
    console, path = enter(world), f"payments/{payment.imp_uid}/acknowledge"
    page = console.post(path)
    assert (page.status, "a reason is required" in page.words) == (400, True)
    assert console.post(path, reason="told the shop").location.endswith("?done=acknowledged")
    assert stored(world, payment).alarm is None
    assert console.post(path, reason="again").status == 409


def test_a_webhook_is_sent_again(world, toss):
    payment = pay(world)
    world.run_queue()
    console = enter(world)
    page = console.get(f"payments/{payment.imp_uid}")
    webhook_id = re.search(r'name="webhook_id" value="(\w+)"', page.text)[1]
    assert console.post(f"payments/{payment.imp_uid}/resend", webhook_id=webhook_id).location.endswith("?done=resent")
    world.run_queue()
    assert len(world.sender.sent) == 2
    assert actions(world, payment) == ["webhook.resent"]
    assert console.post(f"payments/{payment.imp_uid}/resend", webhook_id="wh_none").status == 404


# --- words ----------------------------------------------------------------------------------------------------------


def test_every_alarm_has_advice_of_its_own():
    """The texts as the use cases write them."""
    folder = Path(chalicelib.__file__).parent / "usecases"
    source = "\n".join(path.read_text() for path in folder.glob("*.py"))
    found = re.findall(
        r'(?:alarm=(?:payment\.alarm or )?|text = |call_person\([^"]*|_call_person\([^"]*)f?"([a-z{][^"]*)"', source
    )
    about = [text for text in found if re.search(r"gateway|bank|deposit|account|approved|settled|charged", text)]
    assert len(about) >= 10
    for text in about:
        if (
            "which may not be stored" in text or "could not be stored" in text or "nobody asked for" in text
        ):  # in the log only
            continue
        assert advice(text) is not UNKNOWN_ALARM, text


def test_advice_is_the_most_fitting():
    assert "could not be undone" not in advice("no clear answer: HTTP 500").marks[0]
    assert advice("no clear answer: toss keeps the account open beyond its due time").marks[0].startswith("keeps")
    assert advice("what nobody has ever seen") is UNKNOWN_ALARM


@pytest.mark.parametrize(
    ("mask", "text", "shown"),
    [
        (masking.name, "홍길동", "홍*동"),
        (masking.name, "남궁민수", "남**수"),
        (masking.name, "이산", "이*"),
        (masking.name, "김", "*"),
        (masking.name, None, ""),
        (masking.tel, "010-1234-5678", "010-****-5678"),
        (masking.tel, "01012345678", "010****5678"),
        (masking.tel, "+82 10 1234 5678", "+82 1* **** 5678"),
        (masking.tel, "1588-0000", "****-**00"),
        (masking.tel, "123", "***"),
        (masking.tel, "none at all", "**** ** ***"),
        (masking.email, "gildong@gmail.com", "g***@gmail.com"),
        (masking.email, "@x", "***@x"),
        (masking.email, "nonsense", "n******e"),
        (masking.address, "서울특별시 중구 세종대로 110", "서울특별시 중구 ***"),
        (masking.address, "서울", "***"),
        (masking.address, "", ""),
    ],
)
def test_masks(mask, text, shown):
    assert mask(text) == shown


def test_cancels_module_and_console_agree_on_double_submits(world, toss):
    """What the console refuses before it writes, the use case would refuse as well."""
    payment = pay(world)
    cancel(world, payment, amount=Decimal(1000))
    with pytest.raises(cancels.Refused):
        cancel(world, payment, amount=Decimal(1000), checksum=Decimal(8900))
    assert world.store.load(Ref(Payment, (world.merchant_id, payment.imp_uid))).balance.amount == 7900
