"""Reserved payments in the console: a month, a day, one of them, and what an operator does: once, or not at all."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Audit, Role
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.merchants import Routing
from chalicelib.domain.orders import Order, ScheduleState
from chalicelib.domain.payments import Payment
from chalicelib.ports import Ref
from chalicelib.usecases import billing_keys, charges, groups, rescheduling, schedules, timer
from chalicelib.usecases.choosing import Target
from tests.support.console import Console
from tests.support.world import CARD, NO_FUNDS, request

KST = timezone(timedelta(hours=9))


@pytest.fixture
def console(world):
    """Of an operator, of a merchant with two gateways. It is noon of 2026-11-23 in Korea."""
    world.two_gateways()
    yield Console(world, Role.OPERATOR, language="en")
    container.install(None)


def key(world, uid="c1", card=CARD):
    billing_keys.issue(world.deps, world.merchant_id, billing_keys.Issue(uid, card, Target()))


def book(world, *uids, customer="c1", at=None, **kwargs):
    at = at or world.clock.now() + timedelta(minutes=10)
    entries = [schedules.Entry(request(uid, **kwargs), at) for uid in uids]
    schedules.book(world.deps, world.merchant_id, customer, entries)


def run_all(world):
    world.clock.advance(minutes=10)
    world.sweep()
    world.run_queue()


def order_of(world, uid="m1"):
    return world.store.load(Ref(Order, (world.merchant_id, uid)))


def seen(page):
    return re.search(r'name="seen" value="(\d+)"', page.text)[1]


def order_page(console, uid="m1"):
    return console.get("schedules/order", merchant_uid=uid)


def post(console, action, uid="m1", **more):
    """As from the page that is there now."""
    given = {"merchant_uid": uid, "seen": str(order_of(console.world, uid).version), **more}
    return console.post(f"schedules/{action}", given)


def actions(world, uid="m1"):
    owner = (world.merchant_id, "audit", f"schedule:{uid}")
    return [(entry.action, entry.by) for entry in world.store.list(Audit, owner).items]


def payments(world, uid="m1"):
    order = order_of(world, uid)
    return [world.store.load(Ref(Payment, (world.merchant_id, imp_uid))) for imp_uid in order.imp_uids]


@pytest.fixture
def failed(console):
    """m1 has run, and failed: there is no money on the card."""
    key(console.world, card=NO_FUNDS)
    book(console.world, "m1")
    run_all(console.world)
    assert order_of(console.world).schedule.payment_status == "failed"
    return console.world


# --- a month, and a day ---------------------------------------------------------------------------------------------


def cell(page, date):
    found = re.search(rf'<td class="([^"]*)">\s*<a href="[^"]*date={date}"[^>]*>(.*?)</a>', page.text, re.DOTALL)
    return found[1].split(), " ".join(re.sub(r"<[^>]+>", " ", found[2]).split())


def test_a_month_counts_what_is_reserved_run_and_revoked_by_korean_days(console):
    world = console.world
    key(world)
    book(world, "a1", "a2")
    run_all(world)
    book(world, "b1", "b2", "b3", at=datetime(2026, 11, 30, 0, 0, tzinfo=KST))
    book(world, "c1", at=datetime(2026, 11, 30, 23, 59, 59, tzinfo=KST))
    book(world, "d1", at=datetime(2026, 12, 1, 0, 0, tzinfo=KST))
    schedules.revoke(world.deps, world.merchant_id, None, ["b1"])
    page = console.get("schedules")
    assert "November 2026" in page.words
    assert cell(page, "2026-11-23") == (["full", "today"], "11/ 23 today Run 2")
    assert cell(page, "2026-11-30") == (["full"], "11/ 30 Reserved 3 Revoked 1")
    assert cell(page, "2026-11-29")[0] == ["bare"]
    assert "This month: Reserved 3, Run 2, Revoked 1" in page.words
    december = console.get("schedules", month="2026-12")
    assert cell(december, "2026-12-01")[1] == "12/ 1 Reserved 1"
    assert "Nothing is reserved in this month" in console.get("schedules", month="2027-02").words


@pytest.mark.parametrize("month", ["2000-01", "2199-12", "2028-02"])
def test_every_month_can_be_shown(console, month):
    assert console.get("schedules", month=month).status == 200


@pytest.mark.parametrize("query", [{"month": "2026-13"}, {"month": "x"}, {"month": "0000-01"}, {"month": "9999-12"}])
def test_what_is_no_month_is_said(console, query):
    assert console.get("schedules", **query).status == 400


def test_a_day_lists_its_payments_by_second_state_and_result(console):
    world = console.world
    key(world)
    key(world, "poor", NO_FUNDS)
    book(world, "rich-1", at=datetime(2026, 11, 23, 12, 5, 7, tzinfo=KST))
    book(world, "poor-1", customer="poor", at=datetime(2026, 11, 23, 12, 4, tzinfo=KST))
    run_all(world)
    book(world, "later-1", at=datetime(2026, 11, 23, 23, 59, 59, tzinfo=KST))
    book(world, "gone-1", at=datetime(2026, 11, 23, 13, 0, tzinfo=KST))
    schedules.revoke(world.deps, world.merchant_id, None, ["gone-1"])
    page = console.get("schedules/day", date="2026-11-23")
    listed = re.findall(r"merchant_uid=([\w-]+)", page.text)
    assert listed == ["poor-1", "rich-1", "gone-1", "later-1"]
    assert "2026-11-23 12:05:07 Paid 8,900원 rich-1 c1" in page.words
    assert "All 4 Scheduled 1 Running 0 Paid 1 Failed 1 Revoked 1" in page.words
    failed = console.get("schedules/day", date="2026-11-23", state="failed")
    assert re.findall(r"merchant_uid=([\w-]+)", failed.text) == ["poor-1"]
    assert payments(world, "poor-1")[0].fail_reason in failed.words
    assert "None in this state" in console.get("schedules/day", date="2026-11-23", state="running").words
    assert "Nothing is reserved for this day" in console.get("schedules/day", date="2026-11-24").words
    assert console.get("schedules/day", date="24.11.2026").status == 400


def test_a_day_shows_the_chosen_environment_and_says_what_the_other_has(console):
    key(console.world)
    book(console.world, "m1")
    console.cookies["__Host-prefs"] = "en.auto.live"
    page = console.get("schedules/day", date="2026-11-23")
    assert "m1" not in re.findall(r"merchant_uid=([\w-]+)", page.text)
    assert "the other one has 1" in page.words


def test_a_full_day_is_shown_by_pages_and_stretches(console, monkeypatch):
    from chalicelib.api.console import schedules as pages

    monkeypatch.setattr(pages, "STRETCH", 6)
    monkeypatch.setattr(pages, "ON_A_PAGE", 4)
    key(console.world)
    begin = datetime(2026, 12, 1, 9, 0, tzinfo=KST)
    for n in range(8):
        book(console.world, f"m{n}", at=begin + timedelta(minutes=n))
    day = {"date": "2026-12-01"}

    def listed(**query):
        return re.findall(r"merchant_uid=(\w+)", console.get("schedules/day", **day, **query).text)

    assert listed() == ["m0", "m1", "m2", "m3"]
    assert listed(page=2) == ["m4", "m5"]
    assert listed(page=9) == ["m4", "m5"]
    assert listed(**{"from": 6}) == ["m6", "m7"]
    first = console.get("schedules/day", **day)
    assert "This day has 8, live and test together. These are 1 to 6" in first.words
    assert "from=6" in first.text
    assert console.get("schedules/day", **day, **{"from": 60}).status == 400


# --- finding one ----------------------------------------------------------------------------------------------------


def test_finding_by_order_and_by_customer(console):
    key(console.world)
    book(console.world, "m1", "m2")
    found = console.get("schedules/search", q="m1")
    assert (found.status, found.location) == (303, "/console/schedules/order?merchant_uid=m1")
    listed = console.get("schedules/search", q=" c1 ")
    assert sorted(re.findall(r"order\?merchant_uid=(\w+)", listed.text)) == ["m1", "m2"]
    nothing = console.get("schedules/search", q="m<3>")
    assert "m&lt;3&gt;" in nothing.text
    assert "no reserved payment has this merchant_uid" in nothing.words
    assert console.get("schedules/search").status == 200


def test_another_merchants_is_not_there(console, sandboxes):
    key(console.world)
    book(console.world, "m1")
    from chalicelib.usecases import merchants
    from tests.support.world import World

    other = World(sandboxes, store=console.world.store, seed=8)
    stranger = Console(other, Role.OWNER, language="en")
    assert merchants.check_admin(other.deps, other.merchant.admin_token).merchant_id != console.world.merchant_id
    assert order_page(stranger).status == 404
    assert "no reserved payment" in stranger.get("schedules/search", q="m1").words
    version = order_of(console.world).version
    for action in ("move", "revoke", "retry", "reschedule"):
        sent = {"merchant_uid": "m1", "seen": str(version), "schedule_at": "2026-12-01T09:00"}
        assert stranger.post(f"schedules/{action}", sent).status == 404
    assert order_of(console.world).version == version


# --- one of them ----------------------------------------------------------------------------------------------------


def test_what_will_happen_is_told_with_the_shares_of_then(console):
    world = console.world
    key(world)
    book(world, "m1", at=datetime(2026, 11, 24, 9, 0, tzinfo=KST))
    page = order_page(console)
    assert "Runs at 2026-11-24 09:00:00 KST , at one of these channels." in page.words
    assert re.findall(r"\d+\.\d %", page.words) == ["60.0 %", "40.0 %"]
    assert "No payment yet" in page.words


def test_a_change_of_the_group_that_is_reserved_holds_by_then(console):
    world = console.world
    key(world)
    [group] = world.store.load(Ref(Routing, (world.merchant_id,))).groups.values()
    hour = datetime(2026, 11, 24, 8, 0, tzinfo=KST)
    entries = tuple(
        GroupEntry(world.channels[name], weight) for name, weight in (("tosspayments", 10), ("nice_v2", 90))
    )
    groups.update(world.deps, world.admin, group.group_id, groups.GroupContent("default", Failover.OFF, entries, hour))
    book(world, "before", at=hour - timedelta(seconds=1))
    book(world, "after", at=hour)
    assert re.findall(r"\d+\.\d %", order_page(console, "before").words) == ["60.0 %", "40.0 %"]
    assert re.findall(r"\d+\.\d %", order_page(console, "after").words) == ["10.0 %", "90.0 %"]


def test_a_pinned_one_names_its_channel_and_one_without_a_key_says_it_would_fail(console):
    world = console.world
    key(world)
    entries = [schedules.Entry(request("m1"), world.clock.now() + timedelta(minutes=10))]
    schedules.book(world.deps, world.merchant_id, "c1", entries, channel_key=world.channels["nice_v2"])
    page = order_page(console)
    assert "Pinned channel nice_v2" in page.words
    assert re.findall(r"\d+\.\d %", page.words) == ["100.0 %"]
    billing_keys.delete(world.deps, world.merchant_id, "c1")
    assert "no billing key: it would fail" in order_page(console).words


def test_one_that_has_run_shows_what_came_of_it(console):
    key(console.world)
    book(console.world, "m1")
    run_all(console.world)
    page = order_page(console)
    [payment] = payments(console.world)
    assert f"/console/payments/{payment.imp_uid}" in page.text
    assert "schedules/retry" not in page.text
    assert "schedules/move" not in page.text
    assert "See or cancel the payment" in page.words


@pytest.mark.parametrize("uid", ["", "nobody", "m1#x", "x" * 400])
def test_one_that_is_not_there(console, uid):
    assert order_page(console, uid).status == 404


def test_a_payment_that_was_never_reserved_is_none(console):
    charges.charge_card(console.world.deps, console.world.merchant_id, request("m1"), CARD, Target())
    assert order_page(console).status == 404
    assert "no reserved payment" in console.get("schedules/search", q="m1").words


# --- moving and revoking --------------------------------------------------------------------------------------------


def test_moving_to_a_second_in_korea(console):
    world = console.world
    key(world)
    book(world, "m1")
    page = post(console, "move", schedule_at="2026-11-25T07:08:09")
    assert "Moved to another time." in console.follow(page).words
    assert order_of(world).schedule.schedule_at == datetime(2026, 11, 25, 7, 8, 9, tzinfo=KST)
    assert actions(world) == [("schedule.move", f"operator@{world.merchant_id}.kr")]
    assert "Move asked for : 2026-11-25 07:08:09" in order_page(console).words.replace("for:", "for :")
    assert post(console, "move", schedule_at="2026-11-25T07:08").status == 303  # browsers leave out :00
    assert order_of(world).schedule.schedule_at.second == 0


@pytest.mark.parametrize("at", ["", "tomorrow", "2026-11-23T11:59:59", "2026-11-24T09:00+02:00", "9999-12-31T23:59"])
def test_a_time_that_does_not_serve_changes_nothing_and_stays_in_the_form(console, at):
    key(console.world)
    book(console.world, "m1")
    before = order_of(console.world)
    page = post(console, "move", schedule_at=at)
    assert page.status == 400
    assert 'aria-invalid="true"' in page.text
    assert at == "" or f'value="{at.replace("+", "&#43;")}"' in page.text or f'value="{at}"' in page.text
    assert order_of(console.world) == before
    assert actions(console.world) == []


def test_revoking_asks_first(console):
    key(console.world)
    book(console.world, "m1", "m2")
    asked = console.get("schedules/revoke", merchant_uid="m1")
    assert "Revoke this payment?" in asked.words
    assert order_of(console.world).is_reserved
    page = console.post("schedules/revoke", merchant_uid="m1", seen=seen(asked))
    assert "Nothing will be charged" in console.follow(page).words
    assert order_of(console.world).schedule.state is ScheduleState.REVOKED
    assert order_of(console.world, "m2").is_reserved
    assert [action for action, _ in actions(console.world)] == ["schedule.revoke"]


@pytest.mark.parametrize("action", ["move", "revoke"])
def test_what_has_run_meanwhile_says_so(console, action):
    world = console.world
    key(world)
    book(world, "m1")
    version = order_of(world).version
    run_all(world)
    page = console.post(f"schedules/{action}", merchant_uid="m1", seen=str(version), schedule_at="2026-12-01T09:00")
    assert page.status == 409
    assert "changed meanwhile: see below how it is now" in page.words
    assert "See or cancel the payment" in page.words
    page = post(console, action, schedule_at="2026-12-01T09:00")
    assert (page.status, "already run or revoked" in page.words) == (409, True)
    assert actions(world) == []
    assert len(world.captured()) == 1


def test_what_a_colleague_has_moved_meanwhile_is_not_moved_again_unseen(console):
    world = console.world
    key(world)
    book(world, "m1")
    version = order_of(world).version
    theirs = world.clock.now() + timedelta(days=3)
    rescheduling.move(world.deps, world.merchant_id, "m1", theirs)
    page = console.post("schedules/move", merchant_uid="m1", seen=str(version), schedule_at="2026-12-01T09:00")
    assert (page.status, order_of(world).schedule.schedule_at) == (409, theirs)


def test_the_audit_log_names_it_and_leads_back(world):
    world.two_gateways()
    owner = Console(world, Role.OWNER, language="en")
    key(world)
    book(world, "m 1")
    assert post(owner, "move", "m 1", schedule_at="2026-12-01T09:00").status == 303
    page = owner.get("audit")
    assert "Move asked for" in page.words
    assert 'href="/console/schedules/order?merchant_uid=m%201"' in page.text
    container.install(None)


def test_addresses_of_forms_lead_to_their_page(console):
    """A browser asks for them after its language was changed on a page that said what was wrong."""
    for action in ("move", "reschedule"):
        page = console.get(f"schedules/{action}", merchant_uid="m1")
        assert (page.status, page.location) == (303, "/console/schedules/order?merchant_uid=m1")
    assert console.get("schedules", customer_uid="c1").location == "/console/schedules/search?q=c1"


# --- once more ------------------------------------------------------------------------------------------------------


def test_charging_a_failed_one_now(failed, console):
    key(failed)  # with a card that has money
    page = order_page(console)
    assert "Not paid" in page.words
    asked = console.get("schedules/retry", merchant_uid="m1")
    assert "Charge the customer now?" in asked.words
    assert "8,900원" in asked.words
    assert failed.captured() == []
    page = console.follow(console.post("schedules/retry", merchant_uid="m1", seen=seen(asked)))
    assert "the payment is approved" in page.words
    assert order_of(failed).schedule.payment_status == "paid"
    assert len(failed.captured()) == 1
    assert [action for action, _ in actions(failed)] == ["schedule.retry"]


def test_a_form_to_charge_now_that_is_sent_twice_charges_once(failed, console):
    key(failed)
    asked = console.get("schedules/retry", merchant_uid="m1")
    statuses = [console.post("schedules/retry", merchant_uid="m1", seen=seen(asked)).status for _ in range(3)]
    assert statuses == [303, 409, 409]
    assert (len(failed.captured()), len(payments(failed))) == (1, 2)


def test_sent_twice_it_tries_once_also_if_the_card_is_declined(failed, console):
    """What guards it is the form, and not only that an order that was paid is taken."""
    asked = console.get("schedules/retry", merchant_uid="m1")
    first = console.post("schedules/retry", merchant_uid="m1", seen=seen(asked))
    assert "Not paid" in console.follow(first).words
    second = console.post("schedules/retry", merchant_uid="m1", seen=seen(asked))
    assert (second.status, "changed meanwhile" in second.words) == (409, True)
    assert (len(payments(failed)), len(actions(failed))) == (2, 1)


def test_many_at_once_charge_once(failed, console):
    key(failed)
    asked = seen(console.get("schedules/retry", merchant_uid="m1"))
    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(lambda _: console.post("schedules/retry", merchant_uid="m1", seen=asked).status, range(8))
        )
    assert sorted(statuses) == [303] + [409] * 7
    assert (len(failed.captured()), len(payments(failed)), len(actions(failed))) == (1, 2, 1)


class Beforehand:
    """A store before whose first audit entry something else happens."""

    def __init__(self, inner, action):
        self._inner, self._action = inner, action

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def commit(self, *changes):
        if self._action and any(isinstance(change, Audit) for change in changes):
            action, self._action = self._action, None
            action()
        return self._inner.commit(*changes)


def test_two_that_have_seen_the_same_try_once_also_if_the_first_is_declined(failed, console):
    """The other one comes between the look at the order and the charge, and has ended by then."""
    asked = seen(console.get("schedules/retry", merchant_uid="m1"))
    others = []

    def other():
        others.append(console.post("schedules/retry", merchant_uid="m1", seen=asked).status)

    container.install(replace(failed.deps, store=Beforehand(failed.store, other)))
    page = console.post("schedules/retry", merchant_uid="m1", seen=asked)
    assert (others, page.status, "changed meanwhile" in page.words) == ([303], 409, True)
    assert (len(payments(failed)), len(actions(failed))) == (2, 1)


def test_where_it_would_be_charged_now_leaves_out_what_is_down(failed, console):
    failed.sandboxes["tosspayments"].fail("charge", "http_500", times=3)
    toss = Target(channel_key=failed.channels["tosspayments"])
    for n in range(3):
        charges.charge_card(failed.deps, failed.merchant_id, request(f"x{n}"), CARD, toss)
    page = console.get("schedules/retry", merchant_uid="m1")
    assert "nice_v2" in page.words
    assert "tosspayments" not in page.words
    assert "100.0 %" in page.words


def test_what_is_about_to_be_done_is_on_record_if_it_fails_half_way(failed, console):
    billing_keys.delete(failed.deps, failed.merchant_id, "c1")
    page = post(console, "retry")
    assert (page.status, "등록되지 않은 구매자" in page.words) == (404, True)
    assert [action for action, _ in actions(failed)] == ["schedule.retry"]
    assert "Charge now asked for" in order_page(console).words


def test_reserving_a_failed_one_again(failed, console):
    key(failed)
    page = post(console, "reschedule", schedule_at="2026-11-23T15:00:00")
    assert "Reserved again." in console.follow(page).words
    assert order_of(failed).schedule.state is ScheduleState.SCHEDULED
    assert post(console, "reschedule", schedule_at="2026-11-23T15:00:00").status == 409
    assert post(console, "retry").status == 409
    failed.clock.set(order_of(failed).schedule.schedule_at)
    failed.sweep()
    failed.run_queue()
    assert order_of(failed).schedule.payment_status == "paid"


def test_one_whose_result_is_not_known_offers_no_charge(console):
    world = console.world
    key(world)
    book(world, "m1")
    for name in ("tosspayments", "nice_v2"):
        world.sandboxes[name].fail("charge", "reply_lost")
    world.clock.set(order_of(world).schedule.schedule_at)
    world.sweep()
    timer.work(world.deps, world.queue.tasks.pop(0))
    page = order_page(console)
    assert "Do not charge again" in page.words
    assert "Next look" in page.words
    assert "schedules/retry" not in page.text
    refused = post(console, "retry")
    assert (refused.status, actions(world)) == (409, [])


def test_viewers_see_and_change_nothing(world):
    world.two_gateways()
    key(world)
    book(world, "m1")
    viewer = Console(world, Role.VIEWER, language="en")
    page = order_page(viewer)
    assert (page.status, "schedules/move" in page.text, "schedules/revoke" in page.text) == (200, False, False)
    before = order_of(world)
    for action in ("move", "revoke", "retry", "reschedule"):
        assert post(viewer, action, schedule_at="2026-12-01T09:00").status == 403
    assert viewer.get("schedules/revoke", merchant_uid="m1").status == 403
    assert order_of(world) == before
    container.install(None)


def test_what_others_have_typed_is_text(console):
    world = console.world
    name = "<script>alert(1)</script>"
    key(world, 'c"><b>')
    uid = "<i>&m"
    book(world, uid, customer='c"><b>', name=name)
    for page in (
        order_page(console, uid),
        console.get("schedules/day", date="2026-11-23"),
        console.get("schedules/search", q='c"><b>'),
        console.get("schedules/revoke", merchant_uid=uid),
    ):
        assert page.status == 200
        assert "<i>&m" not in page.text
        assert "<script>alert" not in page.text
        assert '"><b>' not in page.text
