"""Lists as V1's clients read them: paging, ranges, orders, partial finds, and what is refused."""

from datetime import timedelta

import pytest

from tests.support.api import CARD, STOLEN

DAY = 86400


@pytest.fixture
def shop(api, world):
    world.two_gateways()
    return api


def now(world):
    return int(world.clock.now().timestamp())


def later(shop, world, **time):
    """Tokens live for half an hour."""
    world.clock.advance(**time)
    shop.login(world.merchant)


def charge(api, uid, card=CARD, amount=1000, **more):
    status, body = api.post("/subscribe/payments/onetime", merchant_uid=uid, amount=amount, name="상품", **card, **more)
    assert (status, body["code"]) == (200, 0), body
    return body["response"]


def ok(answer, status=200):
    assert (answer[0], answer[1]["code"]) == (status, 0), answer
    return answer[1]["response"]


def refused(answer, status, field=None):
    assert answer[0] == status
    assert answer[1]["code"] != 0
    assert answer[1]["response"] is None
    assert answer[1].get("field") == field
    return answer[1]["message"]


def uids(page):
    return [entry["merchant_uid"] for entry in page["list"]]


def test_status_pages_newest_first_and_says_where_the_neighbours_are(shop, world):
    for n in range(5):
        charge(shop, f"o{n}")
        later(shop, world, minutes=40)
    first = ok(shop.get("/payments/status/paid", limit=2))
    assert (first["total"], first["previous"], first["next"], uids(first)) == (5, 0, 2, ["o4", "o3"])
    second = ok(shop.get("/payments/status/paid", limit=2, page=2))
    assert (second["previous"], second["next"], uids(second)) == (1, 3, ["o2", "o1"])
    third = ok(shop.get("/payments/status/paid", limit="2", page="3"))
    assert (third["previous"], third["next"], uids(third)) == (2, 0, ["o0"])
    assert "페이지" in refused(shop.get("/payments/status/paid", limit=2, page=4), 400, "page")
    assert ok(shop.get("/payments/status/failed")) == {"total": 0, "previous": 0, "next": 0, "list": []}


def test_a_status_is_compared_by_its_own_time_both_ends_included(shop, world):
    paid = charge(shop, "paid")
    later(shop, world, days=2)
    failed = charge(shop, "failed", STOLEN)
    assert failed["status"] == "failed"
    later(shop, world, days=2)
    ok(shop.post("/payments/cancel", imp_uid=paid["imp_uid"], amount=300))
    at = now(world)
    assert uids(ok(shop.get("/payments/status/all"))) == ["paid", "failed"]
    cancelled = ok(shop.get("/payments/status/cancelled", **{"from": at, "to": at}))["list"]
    assert [(p["status"], p["amount"], p["cancel_amount"]) for p in cancelled] == [("cancelled", 1000, 300)]
    when = failed["failed_at"]
    assert uids(ok(shop.get("/payments/status/failed", **{"from": when, "to": when}))) == ["failed"]
    assert ok(shop.get("/payments/status/failed", **{"from": when + 1}))["total"] == 0
    assert ok(shop.get("/payments/status/failed", to=when - 1))["total"] == 0
    assert ok(shop.get("/payments/status/paid"))["total"] == 0


def test_the_default_range_is_the_last_ninety_days(shop, world):
    charge(shop, "old")
    later(shop, world, days=90, seconds=1)
    assert ok(shop.get("/payments/status/all"))["total"] == 0
    assert ok(shop.get("/payments/status/all", to=now(world) - 1))["total"] == 1
    charge(shop, "new")
    assert uids(ok(shop.get("/payments/status/paid"))) == ["new"]


def test_other_orders(shop, world):
    for uid in ("a", "b"):
        charge(shop, uid)
        later(shop, world, hours=1)
    for uid in ("a", "b"):
        ok(shop.post("/payments/cancel", merchant_uid=uid))
        later(shop, world, hours=1)
    later(shop, world, hours=1)
    charge(shop, "c")
    assert uids(ok(shop.get("/payments/status/all"))) == ["c", "b", "a"]
    assert uids(ok(shop.get("/payments/status/all", sorting="started"))) == ["a", "b", "c"]
    assert uids(ok(shop.get("/payments/status/all", sorting="-paid", limit=1, page=2))) == ["b"]
    assert uids(ok(shop.get("/payments/status/cancelled", sorting="updated"))) == ["a", "b"]
    assert "sorting" in refused(shop.get("/payments/status/all", sorting="newest"), 400, "sorting")


def test_too_many_to_sort_are_given_in_the_lists_own_order_and_it_is_said(shop, monkeypatch):
    monkeypatch.setattr("tests.support.memory_store.MAX_SORTED", 1)
    charge(shop, "a")
    charge(shop, "b")
    status, body = shop.get("/payments/status/paid", sorting="-updated")
    assert (status, body["code"], body["response"]["total"]) == (200, 0, 2)
    assert "정렬" in body["message"]
    assert shop.get("/payments/status/paid", sorting="-paid")[1]["message"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"page": 0}, "page"),
        ({"page": "x"}, "page"),
        ({"page": 1.5}, "page"),
        ({"page": 10**18}, "page"),
        ({"page": 10**14}, "page"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"from": 10, "to": 9}, "to"),
        ({"from": 0, "to": 90 * DAY + 1}, "from"),
        ({"from": -1}, "from"),
        ({"to": 1763865600000}, "to"),
        ({"from": "어제"}, "from"),
    ],
)
def test_a_query_that_makes_no_sense_names_its_field(shop, query, field):
    refused(shop.get("/payments/status/all", **query), 400, field)


def test_an_unknown_status_in_the_contracts_words(shop):
    assert refused(shop.get("/payments/status/bad"), 400, "payment_status") == "지원되지 않는 상태값입니다."
    assert refused(shop.get("/payments/findAll/x/bad"), 400, "payment_status") == "지원되지 않는 상태값입니다."


def test_find_all_shows_every_try_of_an_order(shop, world):
    for card in (STOLEN, STOLEN, CARD):
        charge(shop, "o", card)
        world.clock.advance(seconds=90)
    found = ok(shop.get("/payments/findAll/o"))
    assert (found["total"], [p["status"] for p in found["list"]]) == (3, ["paid", "failed", "failed"])
    assert ok(shop.get("/payments/findAll/o/failed", limit=1, page=2))["previous"] == 1
    assert ok(shop.get("/payments/findAll/o/undefined"))["total"] == 3
    assert [p["status"] for p in ok(shop.get("/payments/findAll/o", sorting="started"))["list"]][-1] == "paid"
    assert refused(shop.get("/payments/findAll/o/cancelled"), 404) == "존재하지 않는 결제정보입니다."
    assert refused(shop.get("/payments/findAll/nope"), 404) == "존재하지 않는 결제정보입니다."
    refused(shop.get("/payments/findAll/o", include_sandbox="false"), 404)
    refused(shop.get("/payments/findAll/o", page=9), 400, "page")


def test_payments_by_their_ids(shop):
    a, b = charge(shop, "a"), charge(shop, "b")
    charge(shop, "c", STOLEN)
    c = charge(shop, "c")
    found = ok(shop.get(f"/payments?imp_uid[]={b['imp_uid']}&imp_uid[]={a['imp_uid']}&merchant_uid[]=c"))
    assert [p["imp_uid"] for p in found] == [b["imp_uid"], a["imp_uid"], c["imp_uid"]]
    assert len(ok(shop.get(f"/payments?imp_uid[0]={a['imp_uid']}&imp_uid[1]={a['imp_uid']}"))) == 1
    assert len(ok(shop.get(f"/payments?imp_uid={a['imp_uid']}&imp_uid={b['imp_uid']}"))) == 2
    assert len(ok(shop.get(f"/payments?imp_uid[]={a['imp_uid']}&merchant_uid[]=nope"), 207)) == 1
    assert len(ok(shop.get(f"/payments?imp_uid[]={a['imp_uid']}&imp_uid[]=imp_000000000000"), 207)) == 1
    assert refused(shop.get("/payments?imp_uid[]=imp_1"), 404) == "존재하지 않는 결제정보입니다."
    refused(shop.get("/payments"), 400, "imp_uid")
    refused(shop.get("/payments?imp_uid[]="), 400, "imp_uid")
    refused(shop.get("/payments?" + "&".join(f"imp_uid[]=imp_{n}" for n in range(101))), 400, "imp_uid")
    many = [f"imp_uid[]=i{n}" for n in range(60)] + [f"merchant_uid[]=m{n}" for n in range(60)]
    refused(shop.get("/payments?" + "&".join(many)), 400, "imp_uid")


def issue(api, uid):
    ok(api.post(f"/subscribe/customers/{uid}", **CARD))


def test_keys_by_their_ids(shop):
    issue(shop, "c1")
    issue(shop, "c2")
    found = ok(shop.get("/subscribe/customers?customer_uid[]=c2&customer_uid[]=c1"))
    assert [key["customer_uid"] for key in found] == ["c2", "c1"]
    assert len(ok(shop.get("/subscribe/customers?customer_uid[]=c2&customer_uid[]=nope"), 207)) == 1
    refused(shop.get("/subscribe/customers?customer_uid[]=nope"), 404)
    refused(shop.get("/subscribe/customers"), 400, "customer_uid")


def test_what_a_customer_paid(shop, world):
    issue(shop, "c1")
    assert ok(shop.get("/subscribe/customers/c1/payments"))["total"] == 0
    for n in range(22):
        ok(shop.post("/subscribe/payments/again", customer_uid="c1", merchant_uid=f"o{n}", amount=1000, name="x"))
        world.clock.advance(seconds=1)
    charge(shop, "other")
    page = ok(shop.get("/subscribe/customers/c1/payments"))
    assert (page["total"], page["next"], uids(page)[:2], len(page["list"])) == (22, 2, ["o21", "o20"], 20)
    assert uids(ok(shop.get("/subscribe/customers/c1/payments", page=2))) == ["o1", "o0"]
    refused(shop.get("/subscribe/customers/nope/payments"), 404)
    ok(shop.delete("/subscribe/customers/c1"))
    assert ok(shop.get("/subscribe/customers/c1/payments"))["total"] == 22


def book(api, customer_uid, *entries):
    entries = [{"merchant_uid": uid, "schedule_at": at, "amount": 1000} for uid, at in entries]
    return ok(api.post("/subscribe/payments/schedule", customer_uid=customer_uid, schedules=entries))


def test_schedules_by_time_state_and_customer(shop, world):
    issue(shop, "c1")
    issue(shop, "c2")
    start = now(world) + DAY
    book(shop, "c1", *[(f"s{n}", start + n * 3600) for n in range(4)])
    book(shop, "c2", ("t0", start + 1800))
    ok(shop.post("/subscribe/payments/unschedule", merchant_uid="s3"))
    whole = {"schedule_from": start, "schedule_to": start + 4 * 3600}
    assert uids(ok(shop.get("/subscribe/payments/schedule", **whole))) == ["s3", "s2", "s1", "t0", "s0"]
    oldest = ok(shop.get("/subscribe/payments/schedule", **whole, sorting="scheduled", limit=2, page=2))
    assert (oldest["total"], oldest["previous"], oldest["next"], uids(oldest)) == (5, 1, 3, ["s1", "s2"])
    revoked = ok(shop.get("/subscribe/payments/schedule", **whole, schedule_status="revoked"))
    assert (revoked["total"], uids(revoked)) == (1, ["s3"])
    # The upper end does not belong to the range.
    part = {"schedule_from": start, "schedule_to": start + 3600}
    assert uids(ok(shop.get("/subscribe/payments/schedule", **part))) == ["t0", "s0"]
    mine = {"from": start, "to": start + 4 * 3600}
    for path in ("/subscribe/customers/c1/schedules", "/subscribe/payments/schedule/customers/c1"):
        assert uids(ok(shop.get(path, **mine))) == ["s3", "s2", "s1", "s0"]
        page = ok(shop.get(path, **mine, **{"schedule-status": "scheduled"}))
        assert (page["total"], uids(page)) == (3, ["s2", "s1", "s0"])
    assert ok(shop.get("/subscribe/customers/nobody/schedules", **mine))["total"] == 0
    later(shop, world, days=1, seconds=30)
    world.sweep()
    world.run_queue()
    done = ok(shop.get("/subscribe/payments/schedule", **whole, schedule_status="executed"))
    assert [(s["merchant_uid"], s["payment_status"]) for s in done["list"]] == [("s0", "paid")]
    assert uids(ok(shop.get("/payments/status/paid"))) == ["s0"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "schedule_from"),
        ({"schedule_from": 1}, "schedule_to"),
        ({"schedule_from": 2, "schedule_to": 1}, "schedule_to"),
        ({"schedule_from": 0, "schedule_to": 93 * DAY}, "schedule_from"),
        ({"schedule_from": 0, "schedule_to": 1, "schedule_status": "done"}, "schedule_status"),
        ({"schedule_from": 0, "schedule_to": 1, "sorting": "up"}, "sorting"),
    ],
)
def test_a_schedule_query_that_makes_no_sense_names_its_field(shop, query, field):
    refused(shop.get("/subscribe/payments/schedule", **query), 400, field)


def test_entries_of_a_booking_that_died_are_not_shown(shop, world, monkeypatch):
    issue(shop, "c1")
    start = now(world) + DAY
    commit, commits = world.store.commit, []

    def dies_at_the_second(*changes):
        commits.append(changes)
        if len(commits) == 2:
            raise RuntimeError("killed")
        return commit(*changes)

    monkeypatch.setattr(world.store, "commit", dies_at_the_second)
    entries = [{"merchant_uid": f"s{n}", "schedule_at": start + n, "amount": 1000} for n in range(60)]
    assert shop.post("/subscribe/payments/schedule", customer_uid="c1", schedules=entries)[0] == 500
    monkeypatch.undo()
    whole = {"schedule_from": start, "schedule_to": start + DAY}
    assert ok(shop.get("/subscribe/payments/schedule", **whole))["list"] == []
    world.clock.advance(minutes=3)
    world.run_to_quiet(hours=1)
    assert ok(shop.get("/subscribe/payments/schedule", **whole))["total"] == 0


def test_a_payment_in_doubt_is_listed_as_ready_until_it_is_settled(shop, world):
    for box in world.sandboxes.values():
        box.fail("charge", "reply_lost")
    assert charge(shop, "o")["status"] == "ready"
    assert uids(ok(shop.get("/payments/status/ready"))) == ["o"]
    world.clock.advance(seconds=30)
    world.sweep()
    world.run_queue()
    assert uids(ok(shop.get("/payments/status/paid"))) == ["o"]
    assert ok(shop.get("/payments/status/ready"))["total"] == 0


def test_another_merchant_sees_nothing(shop, world):
    from chalicelib.usecases import merchants
    from tests.support.api import Api

    charge(shop, "o")
    issue(shop, "c1")
    other = Api(world.deps).login(merchants.create(world.deps, "other"))
    assert ok(other.get("/payments/status/all"))["total"] == 0
    refused(other.get("/payments/findAll/o"), 404)
    refused(other.get("/subscribe/customers?customer_uid[]=c1"), 404)
    later = now(world) + int(timedelta(days=1).total_seconds())
    assert ok(other.get("/subscribe/payments/schedule", schedule_from=0, schedule_to=1))["total"] == 0
    assert ok(other.get("/subscribe/customers/c1/schedules", **{"from": later, "to": later}))["total"] == 0
