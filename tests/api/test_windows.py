"""The payment window over HTTP: what a shop's page asks for, what the buyer's browser loads, and what comes of it."""

import html
import html.parser
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from chalicelib import container
from chalicelib.domain.charging import Declined, NotSent, Unknown
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Ref, StoreUnavailable
from chalicelib.usecases.windows import CONFIRM_TIMEOUT, OPEN_FOR
from tests.support.api import CARD
from tests.support.recovery import meddle
from tests.support.windows import FORM, ORIGIN, Shop, query_of

EVIL = "https://evil.example"
BUYER_LEFT = "사용자가 결제를 취소하셨습니다"


@pytest.fixture(autouse=True)
def gateways(world, api):
    """Toss takes what it can, and NICE stands by."""
    world.two_gateways((100, 0))
    world.webhook_url("https://shop.example/hook")


@pytest.fixture
def shop(world, api):
    return Shop(world, api)


@pytest.fixture
def toss(world):
    return world.sandboxes["tosspayments"]


def stored(window):
    world = window.shop.world
    return world.store.load(Ref(Payment, (world.merchant_id, window.imp_uid)))


def told(world):
    """What the webhooks say."""
    world.run_queue()
    return [json.loads(body)["status"] for _, body, _ in world.sender.sent]


def broken(world, **methods):
    """From here on gateways answer like that."""
    meddle(world, **methods)
    container.install(world.deps)


def refused(shop, code=None, field=None, **fields):
    status, answer = shop.ask(**fields)
    assert answer["code"] != 0, answer
    assert answer["response"] is None
    assert code in (None, answer["code"])
    assert answer.get("field") == field, answer
    assert status == {1: 200, -1: 400}[answer["code"]] or status == 501
    return answer["message"]


# --- all the way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["tosspayments", "nice_v2"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_payment(shop, world, provider, method):
    window = shop.open(channel_key=world.channels[provider])
    assert window.payment["status"] == "ready"
    assert world.captured() == []
    page = window.back(window.press(), method)
    assert window.follow(page, "/return") == f"{window.path}/result"
    seen = window.result()
    result = seen.pop("result")
    assert seen == {
        "way": "frame", "origin": ORIGIN, "imp_uid": window.imp_uid, "done_url": None,
        "state_url": f"../..{window.path}/state",
    }  # fmt: skip
    facts = {name: result[name] for name in ("success", "imp_success", "status", "paid_amount", "pg_provider")}
    assert facts == {
        "success": True, "imp_success": True, "status": "paid", "paid_amount": 8900, "pg_provider": provider,
    }  # fmt: skip
    assert not {"error_code", "error_msg"} & set(result)
    assert (window.payment["status"], window.payment["channel"]) == ("paid", "pc")
    assert [t["amount"] for t in world.captured(provider)] == [8900]
    assert told(world) == ["paid"]


def test_opening_answers_where_the_window_is(shop, world):
    status, answer = shop.ask()
    uid = answer["response"]["imp_uid"]
    assert status == 200
    assert set(answer["response"]) == {"imp_uid", "merchant_uid", "url"}
    number = uid.removeprefix("imp_")
    assert re.fullmatch(rf"window/{world.merchant_id}-{number}-[0-9a-f]{{32}}", answer["response"]["url"])


def test_the_secret_is_stored_nowhere(shop, world):
    window = shop.open()
    secret = window.path.rpartition("-")[2]
    assert secret not in repr(world.store.items)
    window.pay()
    assert secret not in repr(world.store.items)


def test_a_declined_card(shop, world):
    window = shop.open()
    result = window.pay("approve-no-funds")
    assert (result["success"], result["imp_success"], result["status"]) == (False, False, "failed")
    assert (result["error_code"], "잔액" in result["error_msg"]) == ("REJECT_CARD_PAYMENT", True)
    assert "paid_amount" not in result
    assert told(world) == []  # V1 sends none for a window that failed


@pytest.mark.parametrize(("button", "code"), [("cancel", "I002"), ("fail", None)])
def test_a_buyer_who_leaves(shop, world, button, code):
    window = shop.open(channel_key=world.channels["nice_v2"])
    result = window.pay(button)
    assert (result["success"], result["status"]) == (False, "failed")
    assert code in (None, result["error_code"])
    assert (result["error_msg"] == BUYER_LEFT) == (button == "cancel")
    assert window.payment["fail_reason"] == result["error_msg"]
    assert window.attempt["outcome"] == "left"
    assert told(world) == []
    assert shop.open().pay()["success"]  # the merchant_uid is free again


def test_a_virtual_account(shop, world, toss, api):
    window = shop.open(pay_method="vbank", vbank_due="2026-11-25")
    result = window.pay()
    assert (result["success"], result["status"], result["confirming"]) == (True, "ready", False)
    assert result["vbank_date"] == datetime(2026, 11, 25, 14, 59, 59, tzinfo=UTC).timestamp()
    assert result["vbank_num"]
    notice = toss.deposit(window.attempt["order_id"])
    path = f"/notices/{world.merchant_id}/{world.channels['tosspayments']}"
    assert api.send("POST", path, json.dumps(notice).encode(), {"Content-Type": "application/json"})[0] == 200
    assert window.payment["status"] == "paid"
    assert told(world) == ["ready", "paid"]


def as_an_account(params):
    """The buyer wants another way to pay than the shop."""
    if "request" not in params:
        return params | {"method": "vbank", "vbankHolder": "홍길동"}
    request = {name: value for name, value in params["request"].items() if name != "card"}
    return params | {"request": request | {"method": "VIRTUAL_ACCOUNT", "virtualAccount": {"useEscrow": False}}}


@pytest.mark.parametrize("provider", ["tosspayments", "nice_v2"])
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_card_that_the_buyer_turns_into_an_account_is_no_payment(shop, world, provider, is_lost):
    window = shop.open(channel_key=world.channels[provider])
    agreed = window.press(change=as_an_account)
    if is_lost:
        world.sandboxes[provider].fail("charge", "reply_lost")
    window.back(agreed)
    assert window.result()["result"]["confirming"] is True
    world.run_to_quiet()  # the late looks, too
    after = stored(window)
    assert (after.state, after.attempt.code, after.alarm) == (State.FAILED, "METHOD_MISMATCH", None)
    assert world.captured() == []


KOREAN = ("html5_inicis", "kcp", "nice_v2", "smartro_v2", "tosspayments")


@pytest.mark.gateways(*KOREAN)
@pytest.mark.parametrize("provider", KOREAN)
@pytest.mark.parametrize("paid_before", [True, False])
@pytest.mark.parametrize("is_mobile", [True, False])
def test_a_proof_that_is_brought_to_two_orders_pays_its_own(shop, world, provider, paid_before, is_mobile):
    """Whatever becomes of the other one, nothing is taken for it, and nothing given back of what is paid."""
    channel = world.channels.get(provider) or world.channel(provider)
    named = {"channel_key": channel, "is_mobile": is_mobile}
    rightful, other = shop.open(merchant_uid="a", **named), shop.open(merchant_uid="b", **named)
    proof, _ = rightful.press(), other.data()
    ids = [stored(window).attempt.order_id for window in (rightful, other)]
    stolen = {name: value.replace(*ids) for name, value in proof.items()}
    for window, fields in [(rightful, proof), (other, stolen)] if paid_before else [(other, stolen), (rightful, proof)]:
        window.back(fields)
    world.run_to_quiet()
    assert stored(rightful).state is State.PAID
    assert stored(other).state in (State.OPENED, State.UNKNOWN, State.UNDOING, State.FAILED)
    assert [(taken["order_id"], taken["balance"]) for taken in world.captured()] == [(ids[0], 8900)]


def test_on_a_phone(shop):
    window = shop.open(way="redirect", is_mobile=True, m_redirect_url=f"{ORIGIN}/done")
    window.back(window.press())
    assert window.payment["channel"] == "mobile"


# --- who may open one -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "code"),
    [(None, -1), ("", -1), ("null", 1), (EVIL, 1), ("http://shop.kr", 1), ("https://shop.kr.evil.example", 1),
     ("https://SHOP.kr", 1), ("https://shop.kr:444", 1), ("http://localhost:3000", 1), ("https://shop.kr/", 1)],
)  # fmt: skip
def test_only_registered_pages_open_windows(shop, world, origin, code):
    refused(shop, code=code, field="Origin", origin=origin)
    assert not [kind for kind, _ in world.store.items if "PAYMENT" in str(kind)]


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8080", "https://localhost"])
def test_a_developers_own_machine_where_it_is_allowed(shop, world, origin):
    world.deps = replace(world.deps, allow_loopback=True)
    container.install(world.deps)
    window = shop.open(origin=origin, way="redirect", m_redirect_url=f"{origin}/done")
    assert window.load().status == 200
    for other in ("http://localhost.evil.example", "http://192.168.0.4", EVIL):
        refused(shop, origin=other, field="Origin")


def test_a_preflight_lets_json_through(api):
    page = api.load("OPTIONS", "/window/payments", headers={"Origin": EVIL})
    assert page.status == 204
    cors = {name: value for name, value in page.headers.items() if name.startswith("Access-Control")}
    assert cors == {
        "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Content-Type", "Access-Control-Max-Age": "7200",
    }  # fmt: skip


def test_refusals_can_be_read_by_pages_too(shop, api):
    for path, body in (("/window/payments", b"{}"), ("/window/payments", b"[broken"), ("/window/x/close", b"")):
        page = api.load("POST", path, body, {"Content-Type": "application/json", "Authorization": "", "Origin": EVIL})
        assert page.status in (400, 404)
        assert page.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in page.headers


@pytest.mark.parametrize("user_code", ["imp00000000", "imp99999999"])
def test_an_unknown_merchant(shop, user_code):
    assert "가맹점" in refused(shop, code=1, field="user_code", user_code=user_code)


@pytest.mark.parametrize("user_code", [None, "", "imp", "imp1234567", "IMP12345678", "imp1234567a", "imp12345678\n"])
def test_a_malformed_merchant(shop, user_code):
    refused(shop, code=-1, field="user_code", user_code=user_code)


@pytest.mark.parametrize(
    "origin",
    ["http://shop.kr", "https://shop.kr/", "https://shop.kr/path", "shop.kr", "https://Shop.kr", "*", "", "null",
     "https://*.shop.kr", "https://a@shop.kr", "https://shop.kr:443x", "http://localhost:3000", "javascript://shop.kr",
     "data://shop.kr", "https://shop.kr evil.example", "https://shop.kr;script-src", "https://숍.kr", "https://shop.kr\n"],
)  # fmt: skip
def test_origins_are_checked_when_they_are_registered(api, origin):
    status, answer = api.put("/admin/settings", test_page_origins=["https://a.kr", origin])
    assert (status, answer["field"]) == (400, "test_page_origins[1]")
    assert api.get("/admin/settings")[1]["test_page_origins"] == []


def test_origins_are_settings_like_others(api):
    wanted = ["https://shop.kr", "https://m.shop.kr:8443", "ionic://localhost", "https://shop.kr"]
    assert api.put("/admin/settings", test_page_origins=wanted)[1]["test_page_origins"] == wanted[:3]
    assert api.put("/admin/settings", test_webhook_url=None)[1]["test_page_origins"] == wanted[:3]
    assert api.get("/admin/settings")[1]["test_page_origins"] == wanted[:3]
    assert api.put("/admin/settings", test_page_origins=[])[1]["test_page_origins"] == []
    assert api.put("/admin/settings", test_page_origins=[f"https://{n}.kr" for n in range(51)])[0] == 400


def test_a_page_is_paid_in_live_or_for_test_and_never_both(api):
    status, answer = api.put(
        "/admin/settings", live_page_origins=["https://shop.kr"], test_page_origins=["https://a.kr", "https://shop.kr"]
    )
    assert (status, answer["field"]) == (400, "test_page_origins[1]")
    assert api.put("/admin/settings", live_page_origins=["https://shop.kr"])[0] == 200
    assert api.put("/admin/settings", test_page_origins=["https://shop.kr"])[0] == 400


def test_a_live_page_opens_no_window_of_a_test_channel(shop, api):
    """Its buyer can name any channel, and would pay with a test card."""
    api.put("/admin/settings", live_page_origins=["https://shop.kr"], test_page_origins=[])
    refused(shop, field="Origin")
    api.put("/admin/settings", live_page_origins=[], test_page_origins=["https://shop.kr"])
    assert shop.ask()[1]["code"] == 0


def test_a_local_page_can_be_registered_where_that_is_allowed(api, world):
    container.install(replace(world.deps, allow_loopback=True))
    assert api.put("/admin/settings", test_page_origins=["http://localhost:3000"])[0] == 200


# --- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"merchant_uid": None}, "merchant_uid"),
        ({"merchant_uid": "x" * 41}, "merchant_uid"),
        ({"merchant_uid": "a\tb"}, "merchant_uid"),
        ({"amount": None}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -100}, "amount"),
        ({"amount": 100.5}, "amount"),
        ({"amount": "많이"}, "amount"),
        ({"currency": "XYZ"}, "currency"),
        ({"name": "x" * 41}, "name"),
        ({"tax_free": 8901}, "tax_free"),
        ({"vat_amount": 8901}, "vat_amount"),
        ({"tax_free": 8000, "vat_amount": 901}, "vat_amount"),
        ({"way": "sideways"}, "way"),
        ({"pay_method": "kakaopay"}, "pay_method"),
        ({"pay_method": "samsung"}, "pay_method"),
        ({"pay_method": "CARD"}, "pay_method"),
        ({"card": {"direct": {"code": "3661"}}}, "card.direct.code"),
        ({"card": {"direct": {"quota": 37}}}, "card.direct.quota"),
        ({"card": {"direct": {"code": "366", "quota": 3}}}, "card_quota"),  # from 50,000 KRW
        ({"card": "direct"}, "card"),
        ({"display": {"card_quota": [37]}}, "display.card_quota[0]"),
        ({"display": {"card_quota": [6] * 41}}, "display.card_quota"),
        ({"notice_url": "ftp://shop.kr"}, "notice_url"),
        ({"notice_url": ["https://a.kr"] * 6}, "notice_url"),
        ({"confirm_url": "shop.kr/confirm"}, "confirm_url"),
        ({"way": "redirect"}, "m_redirect_url"),
        ({"m_redirect_url": EVIL}, "m_redirect_url"),
        ({"m_redirect_url": "/relative"}, "m_redirect_url"),
        ({"m_redirect_url": "https://shop.kr@evil.example"}, "m_redirect_url"),
        ({"m_redirect_url": "https://shop.kr\\@evil.example"}, "m_redirect_url"),
        ({"m_redirect_url": "https://shop.kr:0/"}, "m_redirect_url"),
        ({"m_redirect_url": "javascript:alert(1)"}, "m_redirect_url"),
        ({"m_redirect_url": f"{ORIGIN}/{'x' * 2000}"}, "m_redirect_url"),
        ({"custom_data": "x" * 8193}, "custom_data"),
        ({"digital": "perhaps"}, "digital"),
    ],
)
def test_values_that_do_not_fit(shop, world, changes, field):
    refused(shop, code=-1, field=field, **changes)
    assert shop.api.get("/payments/find/order-1")[0] == 404


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"customer_uid": "gildong-1"}, "customer_uid"),
        ({"tier_code": "ABC"}, "IMP.agency"),
        ({"escrow": True}, "escrow"),
    ],
)
def test_what_no_window_of_ours_does(shop, changes, word):
    status, answer = shop.ask(**changes)
    assert (status, answer["code"], word in answer["message"]) == (501, -1, True)


@pytest.mark.parametrize(
    "changes",
    [{"escrow": False}, {"customer_uid": ""}, {"popup": False}, {"products": [{"id": "1"}]}, {"company": "상점"},
     {"period": {"from": "20261101"}}, {"pay_method": None}, {"name": None}, {"language": "fr"}, {"biz_num": "1"},
     {"page_url": "https://shop.kr/" + "x" * 3000}, {"unheard_of": {"a": [1]}}, {"card": {"detail": [{"card_code": "*"}]}}],
)  # fmt: skip
def test_what_changes_nothing(shop, changes):
    assert shop.open(**changes).pay()["success"]


def test_what_the_gateway_is_told(shop, toss):
    window = shop.open(
        amount=60_000, tax_free=10_000, buyer_tel="010-9999-8888", display={"card_quota": [3, 6]}, app_scheme="shopapp://",
        language="en", customer_id="member-7", bypass={"tosspayments": {"useAppCardOnly": True, "orderId": "other"}},
    )  # fmt: skip
    asked = window.data()["params"]["request"]
    assert asked["amount"] == {"currency": "KRW", "value": 60_000}
    assert (asked["taxFreeAmount"], asked["customerMobilePhone"]) == (10_000, "01099998888")
    assert asked["orderId"] == window.attempt["order_id"]
    assert asked["card"] == {
        "useEscrow": False, "maxCardInstallmentPlan": 6, "appScheme": "shopapp://", "language": "EN",
        "useAppCardOnly": True,
    }  # fmt: skip


@pytest.mark.parametrize(("quotas", "most"), [([], 0), ([0], 0), ([1], 0), ([6], 6), ([2, 3, 12], 12), (None, None)])
def test_instalments_to_choose_from(shop, quotas, most):
    display = None if quotas is None else {"card_quota": quotas}
    asked = shop.open(amount=50_000, display=display).data()["params"]["request"]["card"]
    assert asked.get("maxCardInstallmentPlan") == most


def test_one_issuer_and_its_instalments(shop):
    asked = shop.open(amount=50_000, card={"direct": {"code": "366", "quota": 3}}).data()["params"]["request"]["card"]
    assert (asked["flowMode"], asked["cardInstallmentPlan"]) == ("DIRECT", 3)


@pytest.mark.parametrize("custom_data", [{"a": [1, "둘"]}, '{"a": 1}', "그냥 글"])
def test_custom_data_comes_back_as_text(shop, custom_data):
    window = shop.open(custom_data=custom_data)
    shown = window.pay()["custom_data"]
    assert shown == window.payment["custom_data"]
    assert (json.loads(shown) if isinstance(custom_data, dict) else shown) == custom_data


@pytest.mark.parametrize("urls", ["https://a.kr/1", ["https://a.kr/1", "https://a.kr/2"]])
def test_notice_urls_instead_of_the_setting(shop, world, urls):
    shop.open(notice_url=urls).pay()
    world.run_queue()
    assert [url for url, _, _ in world.sender.sent] == ([urls] if isinstance(urls, str) else urls)


def test_the_buyers_address_is_not_the_pages_to_say(shop):
    window = shop.open(browser_ip="203.0.113.9")
    assert stored(window).request.browser_ip != "203.0.113.9"


NOON = datetime(2026, 11, 23, 3, tzinfo=UTC)  # in Seoul


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("2026-11-25", datetime(2026, 11, 25, 14, 59, 59, tzinfo=UTC)),
        ("20261125", datetime(2026, 11, 25, 14, 59, 59, tzinfo=UTC)),
        ("2026-11-25 18:30:00", datetime(2026, 11, 25, 9, 30, tzinfo=UTC)),
        ("20261125183000", datetime(2026, 11, 25, 9, 30, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, 14, 59, 59, tzinfo=UTC)),
        ("20261123120001", NOON + timedelta(seconds=1)),
    ],
)
def test_due_times_of_virtual_accounts_are_in_seoul(shop, world, text, due):
    assert world.clock.now() == NOON
    assert stored(shop.open(pay_method="vbank", vbank_due=text)).window.account_due == due


@pytest.mark.parametrize(
    "text",
    [None, "", "  ", "2026-11-22", "20261123120000", "2026-11-23 11:59:59", "tomorrow", "2026-13-01", "2026-1-1",
     "202611251830", "2026-11-25T18:30:00", "1795400000", "２０２６１１２５", "+2026112"],
)  # fmt: skip
def test_due_times_that_are_none(shop, text):
    refused(shop, code=-1, field="vbank_due", pay_method="vbank", vbank_due=text)


def test_due_times_too_far_ahead(shop):
    refused(shop, code=-1, field="vbank_due", pay_method="vbank", vbank_due="2028-12-25")
    far = {"pay_method": "vbank", "vbank_due": "2027-03-01"}  # beyond what these gateways allow, one by one
    assert "vbank_due" in refused(shop, code=1, **far)


def test_a_due_time_without_an_account_is_ignored(shop):
    assert stored(shop.open(vbank_due="whenever")).window.account_due is None


# --- the order ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "field"), [(8900, None, None), (8901, None, "amount"), (8900, "USD", "currency")]
)
def test_a_prepared_amount_is_held_to(shop, api, amount, currency, field):
    api.post("/payments/prepare", merchant_uid="order-1", amount=8900, currency="KRW")
    if field:
        refused(shop, code=1, field=field, amount=amount, currency=currency)
    else:
        assert shop.open(amount=amount).pay()["success"]


def test_a_paid_order_is_not_paid_again(shop, world):
    shop.open().pay()
    assert "이미 진행 중이거나 승인된" in refused(shop, code=1, field="merchant_uid")
    assert len(world.captured()) == 1


def test_an_order_that_was_cancelled_stays_taken(shop, api):
    window = shop.open()
    window.pay()
    api.post("/payments/cancel", imp_uid=window.imp_uid)
    refused(shop, code=1, field="merchant_uid")


def test_a_reserved_order_is_not_paid_in_a_window(shop, api, world):
    api.post("/subscribe/customers/c1", CARD)
    body = {
        "customer_uid": "c1",
        "schedules": [{"merchant_uid": "order-1", "amount": 8900, "schedule_at": 1_796_000_000}],
    }
    assert api.post("/subscribe/payments/schedule", body)[1]["code"] == 0
    assert "예약" in refused(shop, code=1, field="merchant_uid")


def test_a_second_window_replaces_the_first(shop, world):
    first = shop.open()
    agreed = first.press()
    second = shop.open()
    assert (first.payment["status"], first.attempt["code"]) == ("failed", "REPLACED")
    page = first.back(agreed)  # what the buyer has agreed to there, nobody asks for
    assert first.follow(page, "/return") == f"{first.path}/result"
    assert first.result()["result"]["success"] is False
    assert first.follow(first.load()) == f"{first.path}/result"
    assert world.captured() == []
    assert second.pay()["success"]
    assert len(world.captured()) == 1
    assert told(world) == ["paid"]


def test_a_window_gives_way_to_a_charge_by_api(shop, api, world):
    window = shop.open()
    agreed = window.press()
    _, charged = api.post("/subscribe/payments/onetime", CARD, merchant_uid="order-1", amount=8900)
    assert charged["response"]["status"] == "paid"
    window.back(agreed)
    assert (window.payment["status"], len(world.captured())) == ("failed", 1)


def test_an_approval_under_way_is_not_replaced(shop, toss, world):
    window = shop.open()
    agreed = window.press()
    toss.fail("charge", "reply_lost")
    window.back(agreed)
    assert stored(window).state is State.UNKNOWN
    refused(shop, code=1, field="merchant_uid")


# --- channels -------------------------------------------------------------------------------------------------------


def test_an_unknown_group(shop):
    refused(shop, code=1, channelGroupId="channel-group-test-none", field="channelGroupId")


def test_a_group_that_cannot(shop, api, world):
    message = refused(shop, code=1, pay_method="paypal")
    assert "결제 가능한 채널이 없습니다" in message
    refused(shop, code=1, pay_method="paypal", channel_key=world.channels["tosspayments"])


def test_a_channel_that_is_switched_off(shop, api, world):
    group = api.get("/admin/channel-groups")[1][0]
    toss, nice = (world.channels[name] for name in ("tosspayments", "nice_v2"))
    entries = [
        {"channel_key": toss, "weight": 0, "enabled": False},
        {"channel_key": nice, "weight": 100, "enabled": True},
    ]
    assert api.put(f"/admin/channel-groups/{group['id']}", name="g", environment="test", channels=entries)[0] == 200
    assert shop.open(channelGroupId=group["id"]).attempt["pg_provider"] == "nice_v2"


def test_a_channel_without_a_share_gets_nothing_by_itself(shop):
    taken = {shop.open(merchant_uid=f"o-{n}").attempt["pg_provider"] for n in range(20)}
    assert taken == {"tosspayments"}


def test_weights_decide(shop, world):
    world.group([(world.channels["tosspayments"], 50), (world.channels["nice_v2"], 50)], name="even")
    taken = [shop.open(merchant_uid=f"o-{n}").attempt["pg_provider"] for n in range(40)]
    assert 10 < taken.count("nice_v2") < 30


@pytest.mark.parametrize("named", ["channelKey", "channel_key", "pg"])
def test_what_names_a_channel(shop, world, named):
    value = "nice_v2" if named == "pg" else world.channels["nice_v2"]
    window = shop.open(**{named: value})
    assert window.attempt["pg_provider"] == "nice_v2"
    assert window.data()["another_url"] is None


@pytest.mark.gateways("paypal_v2", "tosspayments", "nice_v2")
def test_paypal_has_no_won(shop, world):
    world.channel("paypal_v2")
    window = shop.open(pay_method="paypal", amount=12.5, channel_key=world.channels["paypal_v2"])
    assert (window.payment["currency"], window.payment["amount"]) == ("USD", 12.5)
    assert "12.5" in window.load().text
    refused(
        shop, code=1, merchant_uid="o2", pay_method="paypal", currency="KRW", channel_key=world.channels["paypal_v2"]
    )


# --- gateways that do not open --------------------------------------------------------------------------------------

UNWELL = [NotSent("down", unwell=True), Unknown("silent", unwell=True)]
REJECTED = Declined(DeclineReason.CHANNEL_REJECTED, "NO_CONTRACT", "계약되지 않은 상점입니다.")


def opens_only(provider, otherwise):
    def open_window(gateway, order, timeout):
        return gateway.open_window(order, timeout) if gateway.spec.provider == provider else otherwise

    return open_window


@pytest.mark.parametrize("answer", [*UNWELL, REJECTED], ids=["not sent", "unknown", "rejected"])
def test_a_gateway_that_does_not_open_loses_the_payment(shop, world, api, answer):
    broken(world, open_window=opens_only("nice_v2", answer))
    window = shop.open()
    assert window.data()["driver"] == "nice_v2"
    first, second = api.get(f"/admin/payments/{window.imp_uid}")[1]["attempts"]
    assert (first["pg_provider"], first["outcome"]) == ("tosspayments", "not_sent")
    assert (first["message"], second["pg_provider"]) == (
        getattr(answer, "detail", "[NO_CONTRACT] 계약되지 않은 상점입니다."),
        "nice_v2",
    )
    assert second["order_id"] == first["order_id"][:-1] + "2"
    assert api.get(f"/admin/channels/{world.channels['tosspayments']}")[1]["health"]["failures"] == 1
    assert window.pay()["success"]
    assert len(world.captured("nice_v2")) == 1


def test_after_three_of_them_the_channel_is_down(shop, world, api):
    broken(world, open_window=opens_only("nice_v2", UNWELL[0]))
    for n in range(3):
        shop.open(merchant_uid=f"o-{n}").data()
    assert api.get(f"/admin/channels/{world.channels['tosspayments']}")[1]["health"]["state"] == "down"
    assert shop.open().attempt["pg_provider"] == "nice_v2"


@pytest.mark.parametrize("failover", ["off", "unsent"])
def test_when_nobody_opens_it_fails(shop, world, failover):
    group = world.group(
        [(world.channels["tosspayments"], 100), (world.channels["nice_v2"], 0)], name="other", failover=failover
    )
    broken(world, open_window=opens_only("nice_v2" if failover == "off" else None, UNWELL[0]))
    window = shop.open(channelGroupId=group.group_id)
    assert window.follow(window.load()) == f"{window.path}/result"
    result = window.result()["result"]
    assert (result["success"], result["error_code"]) == (False, "WINDOW")
    assert len(stored(window).attempts) == (1 if failover == "off" else 2)
    assert shop.ask()[1]["code"] == 0


def test_what_a_gateway_refuses_for_good_is_shown(shop, world):
    broken(world, open_window=opens_only(None, REJECTED))
    window = shop.open()
    window.load()
    result = window.result()["result"]
    assert (result["error_code"], result["error_msg"]) == ("NO_CONTRACT", "계약되지 않은 상점입니다.")


def test_there_is_not_time_for_every_gateway(shop, world):
    asked = []

    def slow(gateway, order, timeout):
        asked.append(timeout)
        world.clock.advance(seconds=timeout)
        return UNWELL[0]

    world.channel("tosspayments", "second")
    names = ("tosspayments", "nice_v2", "second")
    group = world.group(
        [(world.channels[name], weight) for name, weight in zip(names, (100, 0, 0), strict=True)], name="three"
    )
    broken(world, open_window=slow)
    window = shop.open(channelGroupId=group.group_id)
    page = window.load()
    assert (page.status, "다시 시도해 주세요" in page.text) == (503, True)
    assert f'href="..{window.path}"' in page.text
    assert asked == [12.0, 12.0]
    assert stored(window).state is State.OPENED


def test_a_script_that_does_not_load_leads_to_another_channel(shop, world):
    window = shop.open()
    assert window.data()["another_url"] == f"..{window.path}/another"
    page = window.load("POST", "/another")
    assert window.follow(page, "/another") == window.path
    assert window.data()["driver"] == "nice_v2"
    first = stored(window).attempts[0]
    assert (first.outcome, first.message) == ("not_sent", "its script did not load in the buyer's browser")
    assert world.deps.store.load(Ref(Payment, (world.merchant_id, window.imp_uid))).state is State.OPENED
    assert window.pay()["pg_provider"] == "nice_v2"


def test_the_window_that_was_left_so_counts_no_more(shop, world):
    window = shop.open()
    agreed = window.press()
    window.load("POST", "/another")
    page = window.back(agreed)
    assert page.status == 400
    assert stored(window).state is State.OPENED
    assert world.captured() == []


def test_no_other_channel_is_left(shop):
    window = shop.open()
    for _ in range(2):
        page = window.load("POST", "/another")
    assert window.follow(page, "/another") == window.path
    assert window.follow(window.load()) == f"{window.path}/result"
    assert window.result()["result"]["error_code"] == "WINDOW"


@pytest.mark.parametrize("how", ["named", "named in its group", "off"])
def test_no_other_channel_is_wanted(shop, world, api, how):
    if how == "off":
        world.group([(world.channels["tosspayments"], 100), (world.channels["nice_v2"], 0)], name="o", failover="off")
    named = {"channel_key": world.channels["tosspayments"]} if how != "off" else {}
    if how == "named in its group":
        named["channelGroupId"] = api.get("/admin/channel-groups")[1][0]["id"]
    window = shop.open(**named)
    assert window.attempt["pg_provider"] == "tosspayments"
    window.load("POST", "/another")
    assert window.payment["status"] == "failed"


def test_another_after_the_payment_changes_nothing(shop, world):
    window = shop.open()
    window.pay()
    before = stored(window)
    window.load("POST", "/another")
    assert stored(window) == before


# --- tickets --------------------------------------------------------------------------------------------------------

PATHS = [("GET", ""), ("GET", "/return"), ("POST", "/return"), ("POST", "/cancel"), ("POST", "/another"), ("GET", "/result"),
         ("POST", "/close"), ("GET", "/state")]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_tickets_that_are_none(shop, method, path):
    window, other = shop.open(), shop.open(merchant_uid="order-2")
    secret, others = window.path.rpartition("-")[2], other.path.rpartition("-")[2]
    head = window.path.removesuffix(secret)
    wrong = [
        head + others, head + secret.upper(), head + secret[:-1], head + secret + "0", head, head + "0" * 32,
        window.path.replace("imp", "IMP"), "/window/x", f"{window.path}%20", window.path.replace("-", "%2D", 1) + "%0A",
        "/window/" + "x" * 500,
    ]  # fmt: skip
    for ticket in wrong:
        page = shop.api.load(method, ticket + path, b"", {"Authorization": ""})
        is_malformed = path in ("/close", "/state") and (len(ticket) > 400 or ticket.endswith("%0A"))
        assert page.status == (400 if is_malformed else 404), ticket
        assert is_malformed or "존재하지 않는 결제창입니다." in page.text
        assert window.imp_uid not in page.text
    assert stored(window).state is State.OPENED


def test_a_payment_without_a_window_has_no_ticket(shop, api):
    _, paid = api.post("/subscribe/payments/onetime", CARD, merchant_uid="api-1", amount=8900)
    number = paid["response"]["imp_uid"].removeprefix("imp_")
    ticket = f"/window/{shop.world.merchant_id}-{number}-{'0' * 32}"
    assert api.load("GET", ticket).status == 404


# --- pages ----------------------------------------------------------------------------------------------------------


class Tags(html.parser.HTMLParser):
    """Refuses what could run by itself."""

    def __init__(self, page):
        super().__init__()
        self.links, self.data = [], None
        self.inline = False
        self.feed(page.text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on") or name in ("style", "srcdoc")], given
        assert tag not in ("iframe", "base", "object", "style", "svg", "img")
        self.inline = tag == "script" and "src" not in given
        assert not self.inline or given["type"] == "application/json"
        if given.get("rel") != "icon":
            self.links += [value for name, value in attrs if name in ("href", "src", "action")]

    def handle_data(self, text):
        if self.inline:
            json.loads(text)
            self.inline = False


NASTY = "</script><img src=x onerror=alert(1)>\"'&"


def every_page(shop, **fields):
    window = shop.open(**fields)
    yield window.load()
    yield window.back({"orderId": "somebody else's"})
    window.press()
    yield window.back({"code": NASTY[:30], "message": NASTY})
    yield window.load(path="/result")
    yield shop.api.load("GET", "/window/%22%3E%3Cscript%3E", headers={"Authorization": ""})


def test_no_text_gets_out_of_its_place(shop):
    pages = [page for page in every_page(shop, name=NASTY) if page.status != 303]
    assert [page.status for page in pages] == [200, 400, 200, 404]
    for page in pages:
        assert "<img" not in page.text
        assert all(re.match(r"\.\./(\.\./)?(web|window)/[\w./-]+$", link) for link in Tags(page).links), page.text
    assert json.loads(re.search(r'id="result">(.*?)</script>', pages[2].text)[1])["result"]["error_msg"] == NASTY


def test_headers_of_pages(shop):
    for page in every_page(shop):
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "origin"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        if page.status == 303:
            continue
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        scripts = re.search(r"script-src ([^;]*)", policy)
        assert scripts is None or "unsafe" not in scripts[1]


def policy_of(page):
    rules = page.headers["Content-Security-Policy"].split("; ")
    return {name: sources for name, _, sources in (rule.partition(" ") for rule in rules)}


@pytest.mark.parametrize(
    ("way", "ancestors"), [("frame", "https://shop.kr"), ("popup", "'none'"), ("redirect", "'none'")]
)
def test_policy_of_the_window(shop, toss, way, ancestors):
    window = shop.open(way=way, m_redirect_url="https://shop.kr/done?a=b;script-src%20*")
    host = toss.url
    assert policy_of(window.load()) == {
        "default-src": "'none'",
        "script-src": f"'self' {host}",
        "style-src": f"'self' 'unsafe-inline' {host}",
        "connect-src": f"'self' {host}",
        "frame-src": host,
        "img-src": f"'self' data: {host}",
        "font-src": host,
        "form-action": f"'self' {host} https://shop.kr",
        "base-uri": "'none'",
        "frame-ancestors": ancestors,
    }


@pytest.mark.parametrize(("way", "ancestors"), [("frame", "https://shop.kr"), ("popup", "'none'")])
def test_policy_of_the_result(shop, way, ancestors):
    window = shop.open(way=way)
    window.pay()
    assert policy_of(window.load(path="/result")) == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
        "img-src": "data:", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": ancestors,
    }  # fmt: skip


def test_the_page_says_what_is_paid(shop):
    text = shop.open(amount=1_234_567, name="월간 <이용권>").load().text
    assert "월간 &lt;이용권&gt;" in text
    assert "1,234,567원" in text


@pytest.mark.parametrize(
    ("language", "word"), [("ko", "결제 취소"), ("en", "Cancel"), ("zh", "Cancel"), ("xx", "결제 취소")]
)
def test_the_pages_language(shop, language, word):
    assert word in shop.open(language=language).load().text


def test_nothing_secret_is_in_a_page(shop, world):
    for provider in ("tosspayments", "nice_v2"):
        window = shop.open(channel_key=world.channels[provider])
        text = window.load().text
        assert "test_sk_" not in text
        assert "5a6e64b0c1d2e3f4" not in text


@pytest.mark.parametrize(
    ("name", "kind"),
    [("window.js", "text/javascript"), ("tosspayments.js", "text/javascript"), ("window.css", "text/css")],
)
def test_files(api, name, kind):
    page = api.load("GET", f"/web/{name}", headers={"Authorization": ""})
    assert (page.status, page.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.text


@pytest.mark.parametrize(
    "name", ["window.html", "..%2Fapp.py", "../app.py", "%2e%2e%2fapp.py", "nothing.js", "reference.html"]
)
def test_files_that_are_none(api, name):
    assert api.load("GET", f"/web/{name}", headers={"Authorization": ""}).status in (403, 404)


def test_the_sdk(api):
    page = api.load("GET", "/v1/iamport.js", headers={"Authorization": ""})
    assert page.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert page.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "IMP" in page.text
    assert "request_pay" in api.load("GET", "/v1/iamport.d.ts", headers={"Authorization": ""}).text


def test_what_breaks_inside_is_not_shown(shop, world, monkeypatch):
    window = shop.open()
    for error, status in ((RuntimeError("secret words"), 500), (StoreUnavailable("secret words"), 503)):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(world.store, "load", fail)
        for method, path in PATHS:
            page = window.load(method, path)
            assert page.status == status
            assert "secret words" not in page.text
            assert "Traceback" not in page.text


def test_a_body_that_is_too_large(shop):
    window = shop.open()
    assert window.back(window.press() | {"more": "x" * 300_000}).status == 400
    assert shop.ask(custom_data="x" * 300_000)[0] == 400
    assert stored(window).state is State.OPENED


# --- coming back ----------------------------------------------------------------------------------------------------


def test_a_return_in_euc_kr(shop, world):
    window = shop.open(channel_key=world.channels["nice_v2"])
    window.back(window.press("fail") | {"authResultMsg": "카드 인증에 실패하였습니다"}, encoding="euc-kr")
    assert "카드 인증에 실패하였습니다" in window.result()["result"]["error_msg"]


def test_a_replayed_return_changes_nothing(shop, world):
    window = shop.open()
    agreed = window.press()
    for _ in range(3):
        page = window.back(agreed)
        assert window.follow(page, "/return") == f"{window.path}/result"
    assert window.result()["result"]["status"] == "paid"
    assert len(world.captured()) == 1
    assert told(world) == ["paid"]


def test_a_return_after_the_buyer_has_left(shop, world):
    window = shop.open()
    agreed = window.press()
    window.load("POST", "/cancel")
    window.back(agreed)
    assert (window.payment["status"], world.captured()) == ("failed", [])


def test_a_forged_return_changes_nothing(shop, world):
    window, other = shop.open(), shop.open(merchant_uid="order-2")
    agreed, others = window.press(), other.press()
    for fields in ({}, others, {**agreed, "amount": "1"}, {"orderId": agreed["orderId"], "paymentKey": ""}):
        page = window.back(fields)
        assert page.status == 400
        assert f'href="../..{window.path}"' in page.text
        assert stored(window).state is State.OPENED
    assert window.back(agreed).status == 303
    assert window.payment["status"] == "paid"


def test_our_own_page_tells_that_the_buyer_left(shop):
    window = shop.open()
    window.back({"sr_left": "cancel", "sr_code": "USER_CANCEL", "sr_message": "<b>closed</b>"})
    result = window.result()["result"]
    assert (result["error_code"], result["error_msg"]) == ("USER_CANCEL", BUYER_LEFT)


def test_our_own_page_tells_of_a_failure(shop):
    window = shop.open()
    window.back({"sr_left": "fail", "sr_code": "", "sr_message": ""})
    result = window.result()["result"]
    assert (result["error_code"], result["success"]) == ("WINDOW", False)


def test_leaving_by_button(shop):
    window = shop.open()
    page = window.load("POST", "/cancel")
    assert window.follow(page, "/cancel") == f"{window.path}/result"
    assert window.result()["result"]["error_msg"] == BUYER_LEFT


def test_leaving_by_get_is_no_leaving(shop):
    window = shop.open()
    shop.api.load("GET", f"{window.path}/cancel", headers={"Authorization": ""})
    assert stored(window).state is State.OPENED


def test_the_result_of_an_open_window_is_the_window(shop):
    window = shop.open()
    assert window.follow(window.load(path="/result"), "/result") == window.path


def test_closing(shop):
    window = shop.open()
    result = window.close()
    assert (result["success"], result["status"], result["error_msg"]) == (False, "failed", BUYER_LEFT)
    assert window.close() == result


def test_closing_too_late(shop):
    window = shop.open()
    paid = window.pay()
    assert window.close() == paid


def test_closing_while_the_approval_is_under_way(shop, world):
    window = shop.open()
    agreed, seen = window.press(), []

    def approve(gateway, *args):
        seen.append(window.close())
        return gateway.approve(*args)

    broken(world, approve=approve)
    window.back(agreed)
    assert [(r["success"], r["status"], r["confirming"]) for r in seen] == [(True, "ready", True)]
    assert window.close()["status"] == "paid"


def test_a_lost_reply_is_no_failure(shop, world, toss):
    window = shop.open()
    agreed = window.press()
    toss.fail("charge", "reply_lost")
    window.back(agreed)
    page = window.load(path="/result")
    result = window.result()["result"]
    assert (result["success"], result["status"], result["confirming"]) == (True, "ready", True)
    assert "확인하고 있습니다" in page.text
    status, answer = shop.api.send("GET", f"{window.path}/state", b"", {"Authorization": ""})
    assert (status, answer["response"]["confirming"], answer["done_url"]) == (200, True, None)
    window.back(agreed)
    world.run_to_quiet()
    shop.api.login(world.merchant)
    assert window.payment["status"] == "paid"
    assert window.result()["result"]["confirming"] is False
    assert len(world.captured()) == 1
    assert told(world) == ["paid"]


# --- the merchant has the last word ---------------------------------------------------------------------------------

CONFIRM = "https://shop.kr/confirm"


def test_the_merchant_agrees(shop, world):
    window = shop.open(confirm_url=CONFIRM)
    assert window.pay()["success"]
    url, body, headers = world.sender.sent[0]
    assert (url, headers["Content-Type"]) == (CONFIRM, "application/json")
    assert json.loads(body) == {"imp_uid": window.imp_uid, "merchant_uid": "order-1", "amount": 8900}
    assert world.sender.timeouts[0] == CONFIRM_TIMEOUT


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ((False, "HTTP 400", False, '{"reason": "재고가 없습니다"}'.encode()), "재고가 없습니다"),
        ((False, "HTTP 400", False, b'{"reason": 7}'), "가맹점이 결제를 중단하였습니다"),
        ((False, "HTTP 500", False, b"<html>"), "가맹점이 결제를 중단하였습니다"),
        ((False, "no reply: out of time"), "가맹점이 결제를 중단하였습니다"),
    ],
)
def test_the_merchant_does_not_agree(shop, world, reply, text):
    world.sender.replies = [reply]
    result = shop.open(confirm_url=CONFIRM).pay()
    assert (result["success"], result["error_code"]) == (False, "CONFIRM")
    assert result["error_msg"].startswith(text)
    assert world.captured() == []
    assert len(world.sender.sent) == 1


def test_nobody_is_asked_about_a_buyer_who_left(shop, world):
    shop.open(confirm_url=CONFIRM).pay("fail")
    assert world.sender.sent == []


# --- back to the shop -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "begins", "ends"),
    [
        (f"{ORIGIN}/done", f"{ORIGIN}/done?imp_uid=", ""),
        (f"{ORIGIN}/done?order=7&a=%C7%D1&b=c+d&flag", f"{ORIGIN}/done?order=7&a=%C7%D1&b=c+d&flag&imp_uid=", ""),
        (f"{ORIGIN}/done#/route?x=1", f"{ORIGIN}/done?imp_uid=", "#/route?x=1"),
        (f"{ORIGIN}/완료?이름=값", f"{ORIGIN}/%EC%99%84%EB%A3%8C?%EC%9D%B4%EB%A6%84=%EA%B0%92&imp_uid=", ""),
        (f"{ORIGIN}?imp_success=true&error_code=9&imp%5Fuid=imp_1", f"{ORIGIN}?imp_uid=", ""),
    ],
)
def test_a_redirected_buyer_gets_back_with_the_result(shop, url, begins, ends):
    window = shop.open(way="redirect", m_redirect_url=url)
    window.back(window.press())
    done = window.follow(window.load(path="/result"), "/result")
    assert done.startswith(begins)
    assert done.endswith(f"&imp_success=true{ends}")
    assert done.isascii()
    query = query_of(done)
    assert (query["imp_uid"], query["merchant_uid"], query["imp_success"]) == (window.imp_uid, "order-1", "true")
    assert not {"error_code", "error_msg"} & set(query)


def test_a_redirected_buyer_who_did_not_pay(shop):
    window = shop.open(way="redirect", m_redirect_url=f"{ORIGIN}/done?imp_success=true")
    window.back(window.press("fail"))
    query = query_of(window.follow(window.load(path="/result"), "/result"))
    result = window.close()
    assert query == {
        "imp_uid": window.imp_uid, "merchant_uid": "order-1", "imp_success": "false",
        "error_code": result["error_code"], "error_msg": result["error_msg"],
    }  # fmt: skip


def test_a_redirected_buyer_waits_while_nobody_knows(shop, toss, world):
    window = shop.open(way="redirect", m_redirect_url=f"{ORIGIN}/done")
    agreed = window.press()
    toss.fail("charge", "reply_lost")
    window.back(agreed)
    seen = window.result()
    assert (seen["way"], seen["result"]["confirming"]) == ("redirect", True)
    assert query_of(seen["done_url"])["imp_success"] == "true"
    assert f'href="{html.escape(seen["done_url"])}"' in window.load(path="/result").text
    world.run_to_quiet()
    assert window.load(path="/result").status == 303


def test_only_redirected_buyers_go_there(shop):
    window = shop.open(m_redirect_url=f"{ORIGIN}/done")
    window.pay()
    assert window.result()["done_url"] is None


# --- meanwhile ------------------------------------------------------------------------------------------------------


def test_an_open_window_as_v1_sees_it(shop, api):
    window = shop.open()
    payment = window.payment
    assert (payment["status"], payment["paid_at"], payment["failed_at"], payment["pg_tid"]) == ("ready", 0, 0, None)
    assert api.get("/payments/find/order-1")[1]["response"]["imp_uid"] == window.imp_uid
    assert api.get("/payments/find/order-1/paid")[0] == 404


@pytest.mark.parametrize("method", ["card", "vbank"])
def test_an_open_window_holds_nothing_to_give_back(shop, api, world, method):
    window = shop.open(pay_method=method, vbank_due="2026-11-25")
    _, answer = api.post("/payments/cancel", imp_uid=window.imp_uid)
    assert (answer["code"], "아직 결제되지 않았습니다" in answer["message"]) == (1, True)
    assert api.delete(f"/vbanks/{window.imp_uid}")[0] == 400
    assert api.post(f"/receipts/{window.imp_uid}", identifier="010-1234-5678", identifier_type="phone")[0] == 400
    assert stored(window).state is State.OPENED
    assert window.pay()["success"]


def test_an_open_window_needs_no_person(shop, api):
    window = shop.open()
    assert api.post(f"/admin/payments/{window.imp_uid}/check")[0] == 409
    settle = {"outcome": "paid", "pg_tid": "t", "reason": "?"}
    assert api.post(f"/admin/payments/{window.imp_uid}/settle", settle)[0] == 409
    assert api.get("/admin/alarms")[1]["payments"]["list"] == []
    assert window.pay()["success"]


def test_a_window_left_open_fails_in_the_end(shop, world):
    window = shop.open()
    agreed = window.press()
    world.clock.advance(seconds=OPEN_FOR.total_seconds() - 1)
    world.sweep()
    world.run_queue()
    assert stored(window).state is State.OPENED
    world.clock.advance(seconds=61)
    world.sweep()
    world.run_queue()
    shop.api.login(world.merchant)
    assert (window.payment["status"], window.attempt["code"]) == ("failed", "EXPIRED")
    window.back(agreed)
    assert (window.payment["status"], world.captured(), told(world)) == ("failed", [], [])
    assert shop.ask()[1]["code"] == 0


def test_a_paid_window_is_cancelled_like_any_payment(shop, api, world):
    window = shop.open()
    window.pay()
    _, answer = api.post("/payments/cancel", imp_uid=window.imp_uid, amount=900)
    assert (answer["code"], answer["response"]["cancel_amount"]) == (0, 900)
    assert world.captured()[0]["state"] == "partially_cancelled"


# --- addresses ------------------------------------------------------------------------------------------------------


def test_behind_api_gateway(shop, monkeypatch):
    """The event has the domain and the path that the world sees: a stage, or a base path of a domain of one's own."""
    from app import app

    window = shop.open()
    ticket = window.path.removeprefix("/window/")
    for domain, before in (
        ("abc123.execute-api.ap-northeast-2.amazonaws.com", "/api"),
        ("pay.shop.kr", ""),
        ("shop.kr", "/router/v2"),
    ):
        context = {
            "httpMethod": "GET", "resourcePath": "/window/{ticket}", "path": f"{before}{window.path}",
            "domainName": domain, "stage": "api", "identity": {"sourceIp": "203.0.113.1"},
        }  # fmt: skip
        reply = app(
            {
                "requestContext": context, "headers": {"host": "evil.example", "x-forwarded-host": "evil.example"},
                "multiValueQueryStringParameters": None, "pathParameters": {"ticket": ticket}, "stageVariables": None,
                "body": None, "isBase64Encoded": False, "httpMethod": "GET", "path": window.path,
            },
            None,
        )  # fmt: skip
        data = json.loads(re.search(r'id="window">(.*?)</script>', reply["body"])[1])
        assert data["return_url"] == f"https://{domain}{before}{window.path}/return"
        assert data["params"]["request"]["successUrl"] == data["return_url"]


def test_on_a_developers_machine(shop):
    window = shop.open()
    page = window.load(Host="localhost:8000")
    assert f'"return_url": "http://localhost:8000{window.path}/return"' in page.text


def test_a_return_with_a_query_and_a_form(shop, world):
    """Some gateways do both."""
    window = shop.open()
    agreed = window.press()
    key = {"paymentKey": agreed.pop("paymentKey")}
    page = window.load("POST", f"/return?{urlencode(key)}", urlencode(agreed).encode(), **{"Content-Type": FORM})
    assert page.status == 303
    assert window.payment["status"] == "paid"
