"""What gateways can and cannot do is data: routing, failover, settlement and issuing read it and know no names."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from chalicelib.domain.accounts import Operator
from chalicelib.domain.charging import (
    Approved,
    Buyer,
    ChargeNotice,
    Declined,
    KeyIssued,
    NotFound,
    NotSent,
    Operation,
    PaymentRequest,
    Pending,
    Unknown,
    VirtualAccountRequest,
)
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest, NoChannel, Refused, Unavailable
from chalicelib.domain.errors import NotFound as NoSuch
from chalicelib.domain.health import HealthState
from chalicelib.domain.money import Money
from chalicelib.domain.payments import State
from chalicelib.domain.specs import CredentialField, FieldRule, GatewaySpec, OrderIdScope, TestAccess
from chalicelib.usecases import (
    billing_keys,
    by_hand,
    channels,
    charge_notices,
    charges,
    health,
    virtual_accounts,
)
from chalicelib.usecases.choosing import Target
from chalicelib.usecases.looks import ask, can_ask
from infra.sandbox import tosspayments
from tests.support.api import CARD as WIRE_CARD
from tests.support.recovery import NO, balance, book, cancel, meddle, onetime, payment_of, restrict, settle, stored, use
from tests.support.world import CARD, request

REFUSED = Declined(DeclineReason.CHANNEL_REJECTED, "UNAUTHORIZED_KEY", "인증되지 않은 시크릿 키입니다.")


def spec(**changes):
    known = {
        "provider": "x",
        "label": "엑스",
        "english": "X",
        "operations": frozenset({Operation.CHARGE_CARD}),
        "currencies": frozenset({"KRW", "TWD"}),
        "credentials": (),
        "settling_delay": timedelta(minutes=1),
        "order_id_scope": OrderIdScope.NONE,
        "test_access": TestAccess.PUBLIC,
    }
    return GatewaySpec(**{**known, **changes})


@pytest.fixture
def toss(world):
    world.group([(world.channel("tosspayments"), 100)], failover="off")
    world.webhook_url("https://shop.example/hook")
    return world.sandboxes["tosspayments"]


def at_once(world, payment):
    """A look at it now."""
    world.clock.set(max(world.clock.now(), stored(world, payment).due_at))
    settle(world, payment)
    return stored(world, payment)


# --- what a request must look like --------------------------------------------------------------------------------


def test_a_field_that_is_not_as_it_must_be_is_named():
    name = FieldRule("buyer.name", r"\S+ \S.*", "이름과 성을 띄어 써 주세요. (first and last name)")
    uid = FieldRule("merchant_uid", r"[A-Za-z0-9]{1,40}", "영문과 숫자만 사용할 수 있습니다. (letters and digits)")
    rules = spec(field_rules=(name, uid))
    wanted = PaymentRequest("order-1", Money(1000), buyer=Buyer("홍길동"))
    assert rules.objections(Operation.CHARGE_CARD, wanted) == (
        "buyer_name: 엑스: 이름과 성을 띄어 써 주세요. (first and last name)",
        "merchant_uid: 엑스: 영문과 숫자만 사용할 수 있습니다. (letters and digits)",
    )
    fine = replace(wanted, merchant_uid="order1", buyer=Buyer("Gildong Hong"))
    assert rules.objections(Operation.CHARGE_CARD, fine) == ()
    assert rules.objections(Operation.CHARGE_CARD, replace(fine, buyer=Buyer())) == ()  # a rule is about what is there


def test_a_currency_may_be_taken_in_whole_units_only():
    rules = spec(whole_units=frozenset({"TWD"}))
    odd, whole = (PaymentRequest("o", Money(amount, "TWD")) for amount in (1050, 1000))
    assert rules.objections(Operation.CHARGE_CARD, whole) == ()
    [text] = rules.objections(Operation.CHARGE_CARD, odd)
    assert text.startswith("amount: ")
    assert rules.objections(Operation.CHARGE_CARD, PaymentRequest("o", Money(1050))) == ()


def test_a_contract_widens_what_a_channel_can_do():
    option = CredentialField("guard", "g", required=False, pattern="[YN]", adds=frozenset({Operation.FIND}))
    window_key = CredentialField("key", "k", required=False, adds=frozenset({Operation.PAY_IN_WINDOW}))
    rules = spec(credentials=(option, window_key, CredentialField("other", "o")))
    assert rules.options({"key": "secret"}) == ("key",)
    assert Operation.FIND not in rules.operations
    assert rules.under(rules.options({"guard": "Y"})).operations == rules.operations | {Operation.FIND}
    for credentials in ({}, {"guard": "N"}, {"other": "Y"}, {"key": ""}):
        assert rules.options(credentials) == ()
    assert rules.under(()) is rules


# --- asking -------------------------------------------------------------------------------------------------------


def test_by_number_a_charge_can_be_asked_for_once_the_number_is_known(world, toss):
    restrict(world, Operation.FIND, adding=[Operation.READ])
    payment = onetime(world)
    routing = charges.load_routing(world.deps, world.merchant_id)
    gateway = world.deps.gateways.open(next(iter(routing.channels.values())), {})
    assert can_ask(world.deps, payment, gateway)
    unknown = replace(payment, gateway_ref=None)
    assert not can_ask(world.deps, unknown, gateway)
    assert ask(world.deps, routing, gateway, unknown) == Unknown("the gateway cannot be asked")


def test_a_lost_reply_at_a_gateway_without_a_query_is_a_persons(world, toss):
    restrict(world, Operation.FIND, adding=[Operation.READ])
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    assert payment.v1_status == "ready"
    looked = at_once(world, payment)
    assert (looked.state, looked.due_at) == (State.UNKNOWN, None)
    assert looked.alarm
    world.run_to_quiet(hours=48)
    assert stored(world, payment).state is State.UNKNOWN
    assert balance(world) == 8900


def test_a_lost_cancel_is_settled_by_number(world, toss):
    restrict(world, Operation.FIND, adding=[Operation.READ])
    payment = onetime(world)
    toss.fail("cancel", "reply_lost")
    cancel(world, payment)
    assert stored(world, payment).open_cancel
    after = at_once(world, payment)
    assert after.open_cancel is None
    assert (after.balance, balance(world), after.alarm) == (Money(0), 0, None)


def test_another_amount_is_given_back_by_number(world, toss):
    restrict(world, Operation.FIND, adding=[Operation.READ])
    toss.fail("charge", "wrong_amount")
    payment = onetime(world)
    assert payment.v1_status == "ready"
    after = at_once(world, payment)
    assert (after.state, balance(world)) == (State.FAILED, 0)


def test_a_query_that_knows_an_order_for_a_while_is_no_query_afterwards(world, toss):
    restrict(world, find_window=timedelta(hours=6))
    toss.fail("charge", "timeout", seconds=0.01)
    toss.fail("find", "http_500", times=1000)
    payment = onetime(world)
    world.clock.advance(hours=5, minutes=59)
    assert at_once(world, payment).due_at is not None
    toss.clear_faults()
    world.clock.set(payment.attempt.started_at + timedelta(hours=6))
    after = at_once(world, payment)
    assert (after.state, after.due_at) == (State.UNKNOWN, None)  # "not found" would mean nothing by now
    assert after.alarm


# --- cancels ------------------------------------------------------------------------------------------------------


def test_parts_are_refused_where_the_gateway_gives_none_back(world, toss):
    restrict(world, Operation.PARTIAL_CANCEL)
    payment = onetime(world)
    with pytest.raises(Refused) as caught:
        cancel(world, payment, amount=Decimal(900))
    assert caught.value.field == "amount"
    assert stored(world, payment).cancels == ()
    cancel(world, payment)
    assert balance(world) == 0


def test_cancels_are_refused_where_the_gateway_takes_no_more(world, toss):
    restrict(world, max_cancels=2)
    payment = onetime(world)
    for _ in range(2):
        cancel(world, payment, amount=Decimal(100))
    with pytest.raises(Refused) as caught:
        cancel(world, payment, amount=Decimal(100))
    assert caught.value.field == "amount"
    assert balance(world) == 8700


def test_cancels_are_numbered_without_those_that_were_refused(world, toss):
    sent = []

    def watch(inner, wanted, timeout):
        sent.append(wanted)
        return NO if len(sent) == 2 else inner.cancel(wanted, timeout)

    meddle(world, cancel=watch)
    payment = onetime(world)
    cancel(world, payment, amount=Decimal(100))
    with pytest.raises(Refused):
        cancel(world, payment, amount=Decimal(200))
    cancel(world, payment, amount=Decimal(300))
    assert [wanted.sequence for wanted in sent] == [1, 2, 2]
    assert {wanted.charged_at for wanted in sent} == {payment.attempt.started_at}


# --- deciding later -----------------------------------------------------------------------------------------------


def reviewing(world, end=None):
    """The gateway takes the charge and looks into it; `end` is what it says when asked, once it is set."""
    says = {"end": end}

    def charge(inner, *args):
        result = inner.charge_card(*args)
        assert isinstance(result, Approved)
        return Pending(result.gateway_ref, "risk review")

    def find(inner, query, timeout):
        assert query.gateway_ref
        return says["end"] or Pending(query.gateway_ref, "risk review")

    meddle(world, charge_card=charge, find_charge=find)
    return says


def test_what_is_reviewed_is_ready_and_charged_nowhere_else(world):
    world.two_gateways((100, 0), failover="declined")
    reviewing(world)
    payment = onetime(world)
    assert (payment.v1_status, len(payment.attempts)) == ("ready", 1)
    assert payment.attempt.outcome == "pending"
    assert payment.gateway_ref
    world.run_to_quiet(hours=48)
    waiting = stored(world, payment)
    assert (waiting.state, waiting.alarm) == (State.UNKNOWN, None)  # it has its time
    assert waiting.due_at is not None
    world.run_to_quiet(hours=30)
    assert "risk review" in stored(world, payment).alarm
    with pytest.raises(Refused):
        onetime(world)


@pytest.mark.parametrize("end", ["approved", "declined"])
def test_a_review_ends(world, toss, end):
    says = reviewing(world)
    payment = onetime(world)
    assert at_once(world, payment).v1_status == "ready"
    approved = Approved(payment.gateway_ref, Money(8900), world.clock.now())
    says["end"] = approved if end == "approved" else Declined(DeclineReason.FRAUD_SUSPECTED, "R", "risk")
    after = at_once(world, payment)
    assert after.state is (State.PAID if end == "approved" else State.FAILED)
    world.run_to_quiet(hours=1)
    [told] = [json.loads(body)["status"] for _, body, _ in world.sender.sent]
    assert told == after.v1_status


def test_a_review_that_ends_in_another_amount_goes_back(world, toss):
    says = reviewing(world)
    payment = onetime(world)
    says["end"] = Approved(payment.gateway_ref, Money(8901), world.clock.now(), balance=Money(0))
    assert at_once(world, payment).state is State.FAILED


# --- notices ------------------------------------------------------------------------------------------------------


def noticing(world, **found):
    """Notices are believed to be the gateway's: {"order": ..., "ref": ...}; `bad` is none."""

    def read(_, fields):
        if "bad" in fields:
            raise InvalidRequest("sig", "sig: 서명이 올바르지 않습니다. (wrong signature)")
        return ChargeNotice(fields["order"], fields["ref"], taken_back=bool(fields.get("back")))

    meddle(world, read_charge_notice=read, **found)


def tell(world, payment, **fields):
    told = {"order": payment.attempt.order_id, "ref": "ref-1", **fields}
    charge_notices.charge_notice(world.deps, world.merchant_id, world.channels["tosspayments"], told)


def test_a_notice_tells_the_number_to_ask_by(world, toss):
    restrict(world, Operation.FIND, adding=[Operation.READ])
    asked = []

    def find(_, query, __):
        asked.append(query.gateway_ref)
        return Approved("ref-1", Money(8900), world.clock.now())

    noticing(world, find_charge=find)
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    at_once(world, payment)
    assert asked == []
    tell(world, payment)
    after = stored(world, payment)
    assert (after.state, after.gateway_ref, asked) == (State.PAID, "ref-1", ["ref-1"])
    tell(world, payment)  # once more: nothing to do
    assert asked == ["ref-1"]
    tell(world, payment, back=True)  # somebody took it back: the books are compared
    assert asked == ["ref-1", "ref-1"]


def test_a_notice_of_money_that_went_back_calls_a_person(world, toss):
    payment = onetime(world)
    noticing(world)
    cancelled_elsewhere(world, payment)
    tell(world, payment, back=True, ref=payment.gateway_ref)
    assert "balance differs" in stored(world, payment).alarm


def cancelled_elsewhere(world, payment):
    """At the gateway's own console."""
    [row] = [t for t in world.sandboxes["tosspayments"].transactions() if t["pg_tid"] == payment.gateway_ref]
    books = world.sandboxes["tosspayments"].simulator.books
    charge = books.any_of(row["order_id"])
    from infra.sandbox.server import Cancel

    charge.cancels.append(Cancel("console", "console-1", 8900, world.clock.now().timestamp(), "console"))


def test_notices_that_are_not_for_us(world, toss):
    payment = onetime(world)
    with pytest.raises(NoSuch):  # this gateway sends none
        tell(world, payment)
    noticing(world)
    for order in ("imp000000000000a1", payment.attempt.order_id[:-1] + "2", "no order of ours"):
        with pytest.raises(NoSuch):
            tell(world, payment, order=order)
    with pytest.raises(InvalidRequest):
        tell(world, payment, bad="1")
    with pytest.raises(NoSuch):
        charge_notices.charge_notice(world.deps, "imp00000000", world.channels["tosspayments"], {})


def test_a_notice_that_comes_while_we_are_at_work_is_to_come_again(world, toss):
    noticing(world)
    told = []

    def charge(inner, order_id, *args):
        with pytest.raises(Unavailable):
            tell(world, payment_of(world), order=order_id)
        told.append(order_id)
        return inner.charge_card(order_id, *args)

    meddle(world, charge_card=charge)
    assert onetime(world).state is State.PAID
    assert told


def test_a_notice_about_a_try_that_was_given_up_calls_a_person(world, caplog):
    a, b = world.channel("tosspayments"), world.channel("nice_v2")
    world.group([(a, 100), (b, 0)], failover="unsent")
    meddle(
        world,
        charge_card=lambda inner, *args: (
            NotSent("x") if "Toss" in str(inner) or a in str(inner) else inner.charge_card(*args)
        ),
    )
    world.sandboxes["tosspayments"].fail("charge", "refuse", seconds=30)
    payment = onetime(world)
    world.sandboxes["tosspayments"].clear_faults()
    assert [attempt.channel_key for attempt in payment.attempts] == [a, b]
    noticing(world)
    caplog.clear()
    tell(world, payment, order=payment.attempts[0].order_id)
    assert any(getattr(record, "needs_a_person", False) for record in caplog.records)


def test_the_notices_route_answers_as_such_gateways_want(api, world, toss):
    noticing(world)
    payment = onetime(world)
    from chalicelib import container

    container.install(world.deps)
    path = f"/notices/{world.merchant_id}/{world.channels['tosspayments']}"
    assert api.get(path, order=payment.attempt.order_id, ref="r") == (200, "OK")
    assert api.get(path, order="x", ref="r")[0] == 404
    assert api.get(path, bad="1")[0] == 400


# --- a channel that its gateway refuses ---------------------------------------------------------------------------


def test_a_refused_channel_is_named_and_is_no_card_decline(api, world):
    key = world.channel("tosspayments", "메인 토스")
    world.group([(key, 100)], failover="off")
    meddle(world, charge_card=lambda *_: REFUSED)
    from chalicelib import container

    container.install(world.deps)
    _, body = api.post("/subscribe/payments/onetime", WIRE_CARD, merchant_uid="m0", amount=1000, name="n")
    reason = body["response"]["fail_reason"]
    assert "메인 토스(tosspayments)" in reason
    assert "[UNAUTHORIZED_KEY] 인증되지 않은 시크릿 키입니다." in reason  # the gateway's own words stay


def test_a_refused_channel_goes_down_and_comes_back_when_it_is_accepted(world):
    world.two_gateways((60, 40), failover="off")
    toss = world.channels["tosspayments"]
    before = world.deps
    meddle(
        world,
        charge_card=lambda inner, *args: REFUSED if inner.spec.provider == "tosspayments" else inner.charge_card(*args),
        find_charge=lambda *_: Unknown("the query was refused", "UNAUTHORIZED_KEY", unwell=True),
    )
    for n in range(20):
        onetime(world, f"m{n}")
    assert health.load(world.deps, world.merchant_id).of(toss).state is HealthState.DOWN
    assert {onetime(world, f"n{n}").attempt.pg_provider for n in range(10)} == {"nice_v2"}
    world.clock.advance(minutes=1)
    world.sweep()
    world.run_queue()
    assert health.load(world.deps, world.merchant_id).of(toss).state is HealthState.DOWN  # refused to the probe as well
    world.deps = before
    world.clock.advance(minutes=20)
    world.sweep()
    world.run_queue()
    assert health.load(world.deps, world.merchant_id).of(toss).state is HealthState.PROBATION


def test_issuing_without_that_contract_takes_no_channel_out(world):
    world.two_gateways()
    meddle(world, issue_billing_key=lambda *_: REFUSED)
    for _ in range(5):
        with pytest.raises(billing_keys.IssueFailed):
            billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c1", CARD, Target()))
    assert health.load(world.deps, world.merchant_id).channels == {}


# --- failover -----------------------------------------------------------------------------------------------------


class Silent:
    """In place of the gateways: one provider that only a person could settle."""

    def __init__(self, real, provider):
        self._real, self._provider = real, provider

    def spec_of(self, channel):
        return self.spec(channel.pg_provider)

    def __getattr__(self, name):
        return getattr(self._real, name)

    def spec(self, provider):
        found = self._real.spec(provider)
        if provider != self._provider:
            return found
        return replace(found, operations=found.operations - {Operation.FIND}, net_cancel_window=None)


def test_who_cannot_be_asked_is_tried_last(world):
    """First by weight like any other, and after the others when it comes to failing over."""
    first = world.channel("tosspayments", "first")
    silent, asked = world.channel("nice_v2", "silent"), world.channel("tosspayments", "asked")
    world.group([(first, 50), (silent, 49), (asked, 1)], failover="unsent")
    world.deps = replace(world.deps, gateways=Silent(world.deps.gateways, "nice_v2"))
    meddle(world, charge_card=lambda *_: NotSent("refused"))
    tried = [[a.channel_key for a in onetime(world, f"m{n}").attempts] for n in range(12)]
    orders = {tuple(order) for order in tried}
    assert (first, asked, silent) in orders
    assert (first, silent, asked) not in orders
    assert any(order[0] == silent for order in orders)
    payment = next(p for p in (payment_of(world, f"m{n}") for n in range(12)) if p.attempts[0].channel_key == first)
    [last] = [e for e in payment.attempts[1].decision.exclusions if e.code == "last"]
    assert last.channel_key == silent


# --- a key that comes with a charge -------------------------------------------------------------------------------


def keeping(world, **more):
    """Toss, as if its keys came with a charge only."""
    restrict(world, Operation.ISSUE_BILLING_KEY, adding=[Operation.KEY_BY_CHARGE])

    def charge(inner, order_id, wanted, card, timeout):
        result = inner.charge_card(order_id, wanted, card, timeout)
        if not (wanted.keep_card and isinstance(result, Approved)):
            return result
        from chalicelib.domain.charging import CardSummary

        return replace(result, key=KeyIssued({"billing_key": "bk", "customer_key": "ck"}, CardSummary(number="****")))

    meddle(world, charge_card=charge, **more)
    from chalicelib import container

    container.install(world.deps)


def test_at_issue_it_is_skipped_with_a_word(world, toss):
    keeping(world)
    with pytest.raises(billing_keys.IssueFailed) as caught:
        billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue("c1", CARD, Target()))
    [failed] = caught.value.failed
    assert failed.type == "INVALID_REQUEST"
    assert "onetime" in failed.message


def test_its_key_comes_from_onetime_with_a_customer_uid(api, world, toss):
    keeping(world)
    paid = {"amount": 8900, "name": "n"}
    _, body = api.post("/subscribe/payments/onetime", WIRE_CARD, merchant_uid="m0", customer_uid="c1", **paid)
    assert (body["response"]["status"], body["message"]) == ("paid", None)
    key = billing_keys.find(world.deps, world.merchant_id, "c1")
    assert list(key.channels) == [world.channels["tosspayments"]]
    _, body = api.post("/subscribe/payments/onetime", WIRE_CARD, merchant_uid="m1", **paid)
    assert body["response"]["status"] == "paid"
    with pytest.raises(Refused):
        billing_keys.find(world.deps, world.merchant_id, "c2")


def test_the_other_channels_of_the_group_issue_theirs_beside_it(api, world):
    world.two_gateways((100, 0))
    nice = world.channels["nice_v2"]

    restrict_toss_only(world)
    _, body = api.post(
        "/subscribe/payments/onetime", WIRE_CARD, merchant_uid="m0", amount=8900, name="n", customer_uid="c1"
    )
    assert body["response"]["pg_provider"] == "tosspayments"
    key = billing_keys.find(world.deps, world.merchant_id, "c1")
    assert set(key.channels) == {world.channels["tosspayments"], nice}


def restrict_toss_only(world):
    class ByCharge(Silent):
        def spec(self, provider):
            found = self._real.spec(provider)
            if provider != self._provider:
                return found
            return replace(
                found, operations=found.operations - {Operation.ISSUE_BILLING_KEY} | {Operation.KEY_BY_CHARGE}
            )

        def open(self, channel, credentials):
            gateway = self._real.open(channel, credentials)
            gateway.spec = self.spec(channel.pg_provider)
            return gateway

    from chalicelib import container
    from chalicelib.domain.charging import CardSummary

    world.deps = replace(world.deps, gateways=ByCharge(world.deps.gateways, "tosspayments"))

    def charge(inner, order_id, wanted, card, timeout):
        result = inner.charge_card(order_id, wanted, card, timeout)
        return replace(result, key=KeyIssued({"billing_key": "bk"}, CardSummary())) if wanted.keep_card else result

    meddle(world, charge_card=charge)
    container.install(world.deps)


def test_a_declined_card_gives_no_key(api, world, toss):
    keeping(world)
    stolen = {**WIRE_CARD, "card_number": "4000-0000-0000-0002"}
    _, body = api.post(
        "/subscribe/payments/onetime", stolen, merchant_uid="m0", amount=8900, name="n", customer_uid="c1"
    )
    assert body["response"]["status"] == "failed"
    with pytest.raises(Refused):
        billing_keys.find(world.deps, world.merchant_id, "c1")


# --- constraints route --------------------------------------------------------------------------------------------


def test_if_nobody_can_take_it_everybodys_reason_is_named(world):
    world.two_gateways()
    with pytest.raises(NoChannel) as caught:
        charges.charge_card(
            world.deps, world.merchant_id, replace(request(), amount=Money(1000, "USD")), CARD, Target()
        )
    text = str(caught.value.message)
    assert text.count("currency:") == 2
    assert "토스페이먼츠" in text
    assert "나이스페이먼츠" in text


# --- what a gateway has said it has -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reviewed", "wrong_amount"])
def test_what_the_gateway_has_numbered_is_never_called_not_charged(world, toss, how):
    """It would free the order, and the buyer would be charged once more while the first charge is there."""
    if how == "reviewed":
        says = reviewing(world)
    else:
        restrict(world, adding=[Operation.READ])
        toss.fail("charge", "wrong_amount")
        says = {"end": None}
        meddle(world, find_charge=lambda *_: says["end"])
    payment = onetime(world)
    says["end"] = NotFound()
    world.run_to_quiet(hours=2)
    after = stored(world, payment)
    assert (after.state, after.v1_status) == (State.UNKNOWN, "ready")
    assert after.alarm
    with pytest.raises(Refused):
        onetime(world)


def test_a_reserved_payment_that_was_reviewed_is_not_run_again(world, api, toss):
    """Its worker died before it heard of the review, so its attempt has no outcome of its own."""
    assert issue(api)["code"] == 0
    book(api, world)
    says, sent = {"end": None}, []

    def charge(inner, order_id, *args):
        sent.append(order_id)
        raise SystemExit("killed")

    meddle(
        world,
        charge_billing_key=charge,
        find_charge=lambda _, query, __: says["end"] or Pending("ref-1", "risk review"),
    )
    with pytest.raises(SystemExit):
        world.run_to_quiet(hours=1)
    world.run_to_quiet(hours=1)
    assert payment_of(world, "m0").attempt.outcome == "pending"
    says["end"] = NotFound()
    world.run_to_quiet(hours=2)
    assert len(sent) == 1
    assert payment_of(world, "m0").v1_status == "ready"


def issue(api):
    return api.post("/subscribe/customers/c1", WIRE_CARD)[1]


@pytest.mark.parametrize("learned", ["at_once", "later"])
def test_what_is_reviewed_is_never_undone(world, learned):
    """Also where the gateway could undo it by order id, and then answers nothing for as long as it can."""
    world.group([(world.channel("nice_v2"), 100)], failover="off")
    says = reviewing(world, Pending("ref-1", "risk review"))
    undone = []
    meddle(world, cancel=lambda _, wanted, __: undone.append(wanted) or NO)
    if learned == "later":
        meddle(world, charge_card=lambda *_: Unknown("lost"), find_charge=lambda *_: says["end"])
    payment = onetime(world)
    at_once(world, payment)
    says["end"] = Unknown("HTTP 500")
    world.run_to_quiet(hours=2)
    assert (stored(world, payment).state, undone) == (State.UNKNOWN, [])


def test_an_alarm_for_silence_ends_when_the_gateway_says_that_it_reviews(world, toss):
    says = reviewing(world, Unknown("HTTP 500"))
    payment = onetime(world)
    world.run_to_quiet(hours=3)
    assert stored(world, payment).alarm.startswith("no clear answer")
    says["end"] = None
    assert at_once(world, payment).alarm is None


# --- a person, where the gateway knows more ------------------------------------------------------------------------


def by_hand_as(world, payment, outcome, **more):
    admin = Operator(world.merchant_id, "kim")
    return by_hand.settle(world.deps, admin, payment.imp_uid, by_hand.Settlement(outcome, "looked", **more)).payment


def test_a_review_cannot_be_called_paid(world, toss):
    says = reviewing(world)
    payment = onetime(world)
    with pytest.raises(Refused) as caught:
        by_hand_as(world, payment, "paid", pg_tid=payment.gateway_ref)
    assert "not decided" in caught.value.message
    says["end"] = Unknown("HTTP 500")
    with pytest.raises(InvalidRequest):  # another transaction's number: its books would bear the person out
        by_hand_as(world, payment, "paid", pg_tid="another")
    assert stored(world, payment).state is State.UNKNOWN
    assert by_hand_as(world, payment, "paid", pg_tid=payment.gateway_ref).state is State.PAID


def test_a_review_that_was_called_failed_and_ends_well_goes_back(world, toss):
    says = reviewing(world)
    payment = onetime(world)
    world.clock.advance(minutes=30)
    assert by_hand_as(world, payment, "failed").state is State.FAILED
    world.run_to_quiet(hours=60)
    says["end"] = Approved(payment.gateway_ref, Money(8900), world.clock.now())
    world.run_to_quiet(hours=2)
    assert stored(world, payment).attempt.outcome == "given_back"
    assert balance(world) == 0


def test_what_a_contract_lets_ask_is_looked_for_after_a_persons_word(world, toss):
    """The gateway itself has no query by order id; this channel's contract has."""
    restrict(world, Operation.FIND)
    real = world.deps.gateways

    class Widened:
        def __getattr__(self, name):
            return getattr(real, name)

        def open(self, channel, credentials):
            gateway = real.open(channel, credentials)

            class Gateway:
                def __getattr__(self, name):
                    if name == "spec":
                        return replace(gateway.spec, operations=gateway.spec.operations | {Operation.FIND})
                    return getattr(gateway, name)

            return Gateway()

    use(world, gateways=Widened())
    meddle(world, charge_card=lambda *_: Unknown("lost"), find_charge=lambda *_: Unknown("HTTP 500"))
    payment = onetime(world)
    world.clock.advance(minutes=30)
    assert by_hand_as(world, payment, "failed").due_at is not None


def test_a_lost_part_whose_gateway_tells_no_balance_is_a_persons_to_end(world, toss):
    payment = onetime(world)
    mute = {"cancel": lambda *_: Unknown("lost")}
    found = Approved(payment.gateway_ref, Money(8900), world.clock.now())  # no word of what is left
    meddle(world, find_charge=lambda *_: found, **mute)
    cancel(world, payment, amount=Decimal(900))
    world.run_to_quiet(hours=2)
    cancel_id = stored(world, payment).open_cancel.cancel_id
    admin = Operator(world.merchant_id, "kim")
    wanted = by_hand.CancelSettlement("done", "seen in the console", "c-1")
    by_hand.settle_cancel(world.deps, admin, payment.imp_uid, cancel_id, wanted)
    world.run_to_quiet(hours=2)
    after = stored(world, payment)
    assert (after.open_cancel, after.balance, after.due_at, after.alarm) == (None, Money(8000), None, None)


# --- notices that say more than one would think -------------------------------------------------------------------


def test_a_second_number_for_a_paid_order_calls_a_person(world, toss):
    """The gateway does not refuse an order id that it has had: somebody was charged twice."""
    payment = onetime(world)
    noticing(world)
    tell(world, payment, ref=payment.gateway_ref)
    assert stored(world, payment).alarm is None
    tell(world, payment, ref="ref-2")
    assert "ref-2" in stored(world, payment).alarm


def test_a_second_number_while_the_first_is_reviewed_calls_a_person(world, toss):
    says = reviewing(world)
    payment = onetime(world)
    noticing(world)
    says["end"] = Approved(payment.gateway_ref, Money(8900), world.clock.now())
    tell(world, payment, ref="ref-2")
    after = stored(world, payment)
    assert (after.state, after.gateway_ref) == (State.PAID, payment.gateway_ref)
    assert "ref-2" in after.alarm


def test_a_try_that_was_given_up_stands_in_the_list_and_is_told_once(world, caplog):
    payment = onetime_after_a_failover(world)
    caplog.clear()
    for _ in range(5):
        tell(world, payment, order=payment.attempts[0].order_id)
    assert "given up" in stored(world, payment).alarm
    assert sum(getattr(record, "needs_a_person", False) for record in caplog.records) == 1


def onetime_after_a_failover(world):
    a, b = world.channel("tosspayments"), world.channel("nice_v2")
    world.group([(a, 100), (b, 0)], failover="unsent")
    answers = [NotSent("refused")]
    meddle(world, charge_card=lambda inner, *args: answers.pop() if answers else inner.charge_card(*args))
    payment = onetime(world)
    assert [attempt.channel_key for attempt in payment.attempts] == [a, b]
    noticing(world)
    return payment


def test_what_was_taken_back_and_does_not_show_calls_a_person(world, toss):
    """A bank that takes the money back is no refund in every gateway's books."""
    payment = onetime(world)
    noticing(world)
    tell(world, payment, back=True, ref=payment.gateway_ref)
    assert "taken back" in stored(world, payment).alarm


def test_a_notice_of_our_own_cancel_calls_nobody(world, toss):
    payment = onetime(world)
    noticing(world)
    cancel(world, payment, amount=Decimal(900))
    tell(world, payment, back=True, ref=payment.gateway_ref)
    after = stored(world, payment)
    assert (after.alarm, after.due_at) == (None, None)


def test_a_notice_does_not_send_an_open_cancel_again(world, toss):
    """The timer may be doing so at this very moment, and not every gateway takes two for one."""
    payment = onetime(world)
    sent = []
    meddle(world, cancel=lambda _, wanted, __: sent.append(wanted) or Unknown("lost"))
    noticing(world)
    cancel(world, payment, amount=Decimal(900))
    with pytest.raises(Unavailable):
        tell(world, payment, back=True, ref=payment.gateway_ref)
    assert len(sent) == 1


# --- health --------------------------------------------------------------------------------------------------------


def test_a_contract_without_accounts_takes_no_channel_from_the_cards(world, api, toss):
    meddle(world, issue_virtual_account=lambda *_: REFUSED)
    for n in range(4):
        with pytest.raises(Refused):
            virtual_accounts.issue(world.deps, world.merchant_id, an_account(world, f"v{n}"))
    assert health.load(world.deps, world.merchant_id).channels == {}


def an_account(world, uid):
    due = world.clock.now() + timedelta(days=1)
    return virtual_accounts.Issue(request(uid), VirtualAccountRequest("088", due), Target())


# --- a channel that changes while outcomes are open ----------------------------------------------------------------


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("pg_id", ["another", None])
def test_under_another_contract_not_found_does_not_mean_not_charged(world, toss, deleted, pg_id):
    toss.fail("charge", "reply_lost")
    payment = onetime(world)
    key = world.channels["tosspayments"]
    change = channels.ChannelChange(pg_id=pg_id, credentials=tosspayments.OTHER_CREDENTIALS)
    channels.update(world.deps, world.admin, key, change)
    if deleted:
        remove(world, key)
    world.run_to_quiet(hours=2)
    after = stored(world, payment)
    assert (after.state, balance(world)) == (State.UNKNOWN, 8900)
    assert "the channel was changed" in after.alarm


def test_what_was_sent_after_the_change_is_believed(world, toss):
    key = world.channels["tosspayments"]
    change = channels.ChannelChange(credentials=tosspayments.OTHER_CREDENTIALS)
    channels.update(world.deps, world.admin, key, change)
    world.clock.advance(seconds=1)
    toss.fail("charge", "http_500")
    payment = onetime(world)
    world.run_to_quiet(hours=2)
    assert stored(world, payment).state is State.FAILED


def remove(world, key):
    from chalicelib.usecases.groups import delete

    used = list(charges.load_routing(world.deps, world.merchant_id).groups)
    world.group([(world.channel("nice_v2"), 100)], name="other")  # the default from here on
    for group in used:
        delete(world.deps, world.admin, group)
    channels.delete(world.deps, world.admin, key)


def test_a_channel_with_another_pg_id_begins_anew(world, toss):
    meddle(world, charge_card=lambda *_: REFUSED)
    for n in range(3):
        onetime(world, f"m{n}")
    key = world.channels["tosspayments"]
    assert health.load(world.deps, world.merchant_id).of(key).state is HealthState.DOWN
    channels.update(world.deps, world.admin, key, channels.ChannelChange(pg_id="another"))
    assert health.load(world.deps, world.merchant_id).channels == {}


def test_what_a_person_has_to_see_outlives_the_end_of_a_review(world):
    a, b = world.channel("tosspayments"), world.channel("nice_v2")
    world.group([(a, 100), (b, 0)], failover="unsent")
    says, answers = reviewing(world), [NotSent("refused")]
    meddle(world, charge_card=lambda inner, *args: answers.pop() if answers else inner.charge_card(*args))
    payment = onetime(world)
    noticing(world)
    for _ in range(2):
        with pytest.raises(Unavailable):  # to be sent again
            tell(world, payment, order=payment.attempts[0].order_id)
    assert stored(world, payment).alarm.count("given up") == 1
    says["end"] = Approved(payment.gateway_ref, Money(8900), world.clock.now())
    assert at_once(world, payment).state is State.PAID
    tell(world, payment, order=payment.attempts[0].order_id)
    assert "given up" in stored(world, payment).alarm


def test_a_review_of_what_was_called_failed_meanwhile_is_watched(world, toss):
    """Whoever charged was slower than its lease: the order is free by now, so what the review lets pass goes back."""
    says = {"end": NotFound()}

    def charge(inner, *args):
        result = inner.charge_card(*args)
        world.clock.advance(hours=1)
        settle(world, payment_of(world))
        return Pending(result.gateway_ref, "risk review")

    meddle(world, charge_card=charge, find_charge=lambda *_: says["end"])
    restrict(world, settling_delay=timedelta())
    payment = onetime(world)
    assert (payment.state, payment.gateway_ref is None) == (State.FAILED, False)
    assert "review" in payment.alarm
    says["end"] = Pending(payment.gateway_ref, "risk review")
    world.run_to_quiet(hours=60)
    says["end"] = Approved(payment.gateway_ref, Money(8900), world.clock.now())
    world.run_to_quiet(hours=2)
    assert (stored(world, payment).attempt.outcome, balance(world)) == ("given_back", 0)
