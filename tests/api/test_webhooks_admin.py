"""Webhooks as an operator handles them: seen, sent again, tried, signed with a new secret."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from chalicelib.domain.accounts import Audit
from chalicelib.domain.notices import Notice
from chalicelib.ports import Ref
from chalicelib.usecases import merchants, webhooks
from tests.support.api import CARD, Api
from tests.support.recovery import Dying

DOCS = Path(__file__).parents[2] / "docs"
HOOK = "https://shop.example/hook"
DOWN = (False, "HTTP 503")


@pytest.fixture(autouse=True)
def gateways(world):
    world.two_gateways()
    world.webhook_url(HOOK)


def pay(api, uid="m0", **more):
    return api.post("/subscribe/payments/onetime", CARD, merchant_uid=uid, amount=8900, name="n", **more)[1]["response"]


def given_up(api, world, uid="m0", **more):
    payment = pay(api, uid, **more)
    world.sender.replies = [(False, "HTTP 410", True)]
    world.run_queue()
    return payment


def of_payment(api, payment):
    status, found = api.get(f"/admin/payments/{payment['imp_uid']}/webhooks")
    assert status == 200
    return found


def changes(world, subject):
    page = world.store.list(Audit, (world.merchant_id, "audit", subject))
    return [(entry.action, entry.by, entry.before) for entry in page.items]


def test_the_webhooks_of_a_payment(api, world):
    payment = pay(api)
    [waiting] = of_payment(api, payment)
    now = int(world.clock.now().timestamp())
    assert waiting == {
        "webhook_id": waiting["webhook_id"],
        "imp_uid": payment["imp_uid"],
        "merchant_uid": "m0",
        "status": "paid",
        "cancellation_id": None,
        "url": HOOK,
        "state": "pending",
        "tries": 0,
        "last_result": None,
        "created_at": now,
        "tried_at": 0,
        "resent_at": 0,
        "due_at": now,
    }
    world.sender.replies = [DOWN]
    world.run_queue()
    [failed] = of_payment(api, payment)
    assert failed == {**waiting, "tries": 1, "tried_at": now, "last_result": "HTTP 503", "due_at": now + 30}
    world.clock.advance(seconds=30)
    world.run_queue()
    api.post("/payments/cancel", imp_uid=payment["imp_uid"], enable_webhook=True)
    [told, cancel] = of_payment(api, payment)
    assert (told["state"], told["tries"], told["last_result"], told["due_at"]) == ("delivered", 2, "HTTP 200", 0)
    assert (cancel["status"], cancel["cancellation_id"][-2:]) == ("cancelled", "c1")
    assert told["webhook_id"] == world.sender.sent[0][2]["webhook-id"]


def test_more_webhooks_of_a_payment_than_a_page_holds(api, world):
    payment = pay(api)
    [task] = world.queue.tasks
    first = world.store.load(Ref(Notice, task.parts))
    for number in range(120):
        world.store.commit(replace(first, notice_id=f"wh_{number:03d}", version=0))
    assert len(of_payment(api, payment)) == 121


def test_of_an_unknown_payment(api):
    status, body = api.get("/admin/payments/imp_000000000000/webhooks")
    assert (status, body["code"]) == (404, "not_found")


def test_what_was_given_up_is_listed_newest_first_and_sent_again(api, world):
    older = given_up(api, world, "m0")
    world.clock.advance(seconds=5)
    newer = given_up(api, world, "m1")
    status, page = api.get("/admin/webhooks")
    assert (status, page["cursor"]) == (200, None)
    assert [entry["imp_uid"] for entry in page["list"]] == [newer["imp_uid"], older["imp_uid"]]
    assert {entry["state"] for entry in page["list"]} == {"dead"}

    dead = page["list"][1]
    world.clock.advance(days=2)
    status, again = api.post(f"/admin/webhooks/{dead['webhook_id']}/resend")
    assert (status, again["state"], again["tries"]) == (200, "pending", 0)
    assert again["resent_at"] == int(world.clock.now().timestamp())
    world.sender.sent.clear()
    world.run_queue()
    [(url, body, headers)] = world.sender.sent
    assert (url, headers["webhook-id"]) == (HOOK, dead["webhook_id"])
    assert json.loads(body)["imp_uid"] == older["imp_uid"]
    assert world.sender.timeouts[-1] == 15.0
    assert [entry["imp_uid"] for entry in api.get("/admin/webhooks")[1]["list"]] == [newer["imp_uid"]]
    assert changes(world, older["imp_uid"]) == [
        ("webhook.resent", "demo", {"webhook_id": dead["webhook_id"], "state": "dead", "tries": 1})
    ]


def test_what_was_given_up_leaves_the_lists_when_somebody_takes_note(api, world):
    payment = given_up(api, world)
    [dead] = api.get("/admin/webhooks")[1]["list"]
    path = f"/admin/webhooks/{dead['webhook_id']}/alarm"
    assert api.delete(path)[1]["field"] == "reason"
    status, noted = api._json("DELETE", path, None, {"reason": "an old address"})
    assert (status, noted["state"], noted["tries"]) == (200, "noted", dead["tries"])
    assert api.get("/admin/webhooks")[1]["list"] == []
    assert api.get("/admin/alarms")[1]["webhooks"]["list"] == []
    assert changes(world, payment["imp_uid"])[-1][:2] == ("webhook.noted", "demo")
    assert api._json("DELETE", path, None, {"reason": "again"})[0] == 409
    assert api._json("DELETE", "/admin/webhooks/wh_0/alarm", None, {"reason": "none"})[0] == 404
    assert api.post(f"/admin/webhooks/{dead['webhook_id']}/resend")[1]["state"] == "pending"


def test_page_by_page(api, world):
    for number in range(5):
        given_up(api, world, f"m{number}")
        world.clock.advance(seconds=1)
    seen, query = [], {"limit": 2, "state": "dead"}
    while True:
        page = api.get("/admin/webhooks", **query)[1]
        seen += [entry["merchant_uid"] for entry in page["list"]]
        if not page["cursor"]:
            break
        query["cursor"] = page["cursor"]
    assert seen == ["m4", "m3", "m2", "m1", "m0"]


@pytest.mark.parametrize(
    ("query", "field"),
    [({"state": "sent"}, "state"), ({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"x": 1}, "x")],
)
def test_a_wrong_query_is_told(api, query, field):
    status, body = api.get("/admin/webhooks", **query)
    assert (status, body["field"]) == (400, field)


def test_a_resent_one_has_all_tries_again(api, world):
    given_up(api, world)
    [dead] = api.get("/admin/webhooks")[1]["list"]
    api.post(f"/admin/webhooks/{dead['webhook_id']}/resend")
    world.sender.sent.clear()
    world.sender.replies = [DOWN] * 20
    world.run_to_quiet(hours=40)
    assert len(world.sender.sent) == 9
    assert api.get("/admin/webhooks")[1]["list"][0]["last_result"] == "HTTP 503"


def test_any_state_can_be_sent_again_also_what_is_over(api, world):
    payment = pay(api)
    world.run_queue()
    api.post("/payments/cancel", imp_uid=payment["imp_uid"], enable_webhook=True)
    world.run_queue()
    [paid, _] = of_payment(api, payment)
    assert paid["state"] == "delivered"
    api.post(f"/admin/webhooks/{paid['webhook_id']}/resend")
    world.sender.sent.clear()
    world.sender.replies = [DOWN]
    world.run_queue()
    world.clock.advance(seconds=30)
    world.run_queue()
    assert [json.loads(body)["status"] for _, body, _ in world.sender.sent] == ["paid", "paid"]


def test_it_goes_to_its_url_of_then(api, world):
    given_up(api, world, notice_url="https://old.example/hook")
    world.webhook_url("https://new.example/hook")
    [dead] = api.get("/admin/webhooks")[1]["list"]
    api.post(f"/admin/webhooks/{dead['webhook_id']}/resend")
    world.run_queue()
    assert world.sender.sent[-1][0] == "https://old.example/hook"


def test_an_unknown_one(api):
    status, body = api.post("/admin/webhooks/wh_0/resend")
    assert (status, body["code"]) == (404, "not_found")


def test_a_process_killed_after_it_stored_the_wish_sends_it_all_the_same(api, world):
    given_up(api, world)
    [dead] = api.get("/admin/webhooks")[1]["list"]
    with pytest.raises(SystemExit):
        webhooks.resend(replace(world.deps, store=Dying(world.store, 1)), world.admin, dead["webhook_id"])
    assert not world.queue.tasks
    world.run_to_quiet()
    assert api.get("/admin/webhooks")[1]["list"] == []


def test_another_merchant_sees_and_sends_nothing_of_it(api, world):
    payment = given_up(api, world)
    [dead] = api.get("/admin/webhooks")[1]["list"]
    other = Api(world.deps, admin_token=merchants.create(world.deps, "other").admin_token)
    assert other.get("/admin/webhooks")[1]["list"] == []
    assert other.get(f"/admin/payments/{payment['imp_uid']}/webhooks")[0] == 404
    assert other.post(f"/admin/webhooks/{dead['webhook_id']}/resend")[0] == 404


# --- trying the URL -----------------------------------------------------------------------------------------------


def test_the_url_can_be_tried(api, world):
    status, body = api.post("/admin/settings/test-webhook")
    assert (status, body) == (200, {"url": HOOK, "delivered": True, "result": "HTTP 200", "took_ms": 0})
    [(url, content, headers)] = world.sender.sent
    assert json.loads(content) == {"imp_uid": "imp_000000000000", "merchant_uid": "webhook-test", "status": "paid"}
    assert (url, headers["webhook-signature"][:3]) == (HOOK, "v1,")
    assert not world.queue.tasks


def test_what_is_wrong_with_it_is_told(api, world):
    world.sender.replies = [(False, "timeout")]
    status, body = api.post("/admin/settings/test-webhook", environment="test")
    assert (status, body["delivered"], body["result"]) == (200, False, "timeout")
    world.run_to_quiet()
    assert len(world.sender.sent) == 1


@pytest.mark.parametrize(
    ("sent", "field"), [({"environment": "live"}, "live_webhook_url"), ({"environment": "x"}, "environment")]
)
def test_without_a_url_there_is_nothing_to_try(api, sent, field):
    status, body = api.post("/admin/settings/test-webhook", sent)
    assert (status, body["field"]) == (400, field)


# --- the secret ---------------------------------------------------------------------------------------------------


def checks():
    """The function of each page, as it stands there."""
    for page in ("api.md", "api.ko.md"):
        block = (DOCS / page).read_text().split("<!-- webhook check: run by tests/api/test_webhooks_admin.py -->")[1]
        defined = {}
        exec(re.search(r"```python\n(.*?)```", block, re.DOTALL)[1], defined)
        yield defined


@pytest.fixture(params=checks(), ids=["en", "ko"])
def is_genuine(request, world):
    request.param["time"] = type("Time", (), {"time": lambda: world.clock.now().timestamp()})
    return request.param["is_genuine"]


def last_sent(world):
    world.run_queue()
    _, body, headers = world.sender.sent[-1]
    return headers, body


def test_the_check_of_the_documents_works(api, world, is_genuine):
    pay(api)
    headers, body = last_sent(world)
    secret = world.merchant.webhook_secret
    assert is_genuine(secret, headers, body)
    assert not is_genuine(secret, headers, body.replace(b"paid", b"fail"))
    assert not is_genuine(secret, {**headers, "webhook-id": "wh_1"}, body)
    assert not is_genuine(secret, {**headers, "webhook-signature": "v1,가짜 v1,"}, body)
    assert not is_genuine(f"whsec_{'A' * 44}", headers, body)
    world.clock.advance(minutes=6)
    assert not is_genuine(secret, headers, body)


def test_a_new_secret_signs_beside_the_old_one_for_a_day(api, world, is_genuine):
    old = world.merchant.webhook_secret
    status, made = api.post("/admin/settings/rotate-webhook-secret")
    assert (status, made["old_until"]) == (200, int((world.clock.now() + timedelta(hours=24)).timestamp()))
    new = made["webhook_secret"]
    assert new.startswith("whsec_")
    assert new != old
    pay(api, "m0")
    sent = last_sent(world)
    assert is_genuine(old, *sent)
    assert is_genuine(new, *sent)
    assert len(sent[0]["webhook-signature"].split(" ")) == 2
    world.clock.advance(hours=24)
    api.login(world.merchant)
    pay(api, "m1")
    sent = last_sent(world)
    assert is_genuine(new, *sent)
    assert not is_genuine(old, *sent)


def test_who_rotates_twice_is_rid_of_the_first(api, world, is_genuine):
    api.post("/admin/settings/rotate-webhook-secret")
    api.post("/admin/settings/rotate-webhook-secret")
    pay(api)
    sent = last_sent(world)
    assert not is_genuine(world.merchant.webhook_secret, *sent)
    assert len(sent[0]["webhook-signature"].split(" ")) == 2


def test_a_rotated_secret_is_audited_and_shown_nowhere_else(api, world):
    made = api.post("/admin/settings/rotate-webhook-secret")[1]["webhook_secret"]
    assert ("settings.webhook_secret_rotated", "demo", None) in changes(world, "settings")
    assert made not in world.store.texts()
    assert made not in json.dumps(api.get("/admin/settings")[1])


def test_a_change_of_the_settings_keeps_both(api, world, is_genuine):
    api.post("/admin/settings/rotate-webhook-secret")
    api.put("/admin/settings", webhook_content_type="application/x-www-form-urlencoded")
    pay(api)
    assert is_genuine(world.merchant.webhook_secret, *last_sent(world))


def test_only_an_operator_may(world, api):
    api.admin_token = None
    for method, path in (
        ("GET", "/admin/webhooks"),
        ("GET", "/admin/payments/imp_000000000000/webhooks"),
        ("POST", "/admin/webhooks/wh_0/resend"),
        ("POST", "/admin/settings/test-webhook"),
        ("POST", "/admin/settings/rotate-webhook-secret"),
    ):
        assert api.send(method, path)[0] == 401
