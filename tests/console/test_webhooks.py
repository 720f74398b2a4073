"""Webhooks in the console: where they go, whether that works, what signs them, and those that were given up."""

import re

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Audit, Role
from chalicelib.domain.notices import NoticeState
from chalicelib.usecases import merchants, webhooks
from tests.support.api import CARD, Api
from tests.support.console import Console

HOOK = "https://shop.kr/hook"


@pytest.fixture
def console(world):
    yield Console(world, Role.OWNER)
    container.install(None)


def settings(world):
    return merchants.settings(world.deps, world.merchant_id)


def seen(page):
    return re.search(r'name="seen" value="(\w+)"', page.text)[1]


def saved(console, **fields):
    given = {
        "seen": seen(console.get("webhooks")),
        "live_webhook_url": "",
        "test_webhook_url": "",
        "webhook_content_type": "application/json",
    }
    return console.post("webhooks", {**given, **fields})


def give_up(world, *uids):
    world.two_gateways()
    world.webhook_url(HOOK)
    api = Api(world.deps, admin_token=world.merchant.admin_token).login(world.merchant)
    for uid in uids:
        api.post("/subscribe/payments/onetime", CARD, merchant_uid=uid, amount=8900, name="n")
        world.sender.replies = [(False, "HTTP 410", True)]
        world.run_queue()
        world.clock.advance(seconds=1)
    return webhooks.dead(world.deps, world.merchant_id, 100, None).items


def test_an_owner_says_where_they_go(world, console):
    page = saved(console, live_webhook_url=HOOK, webhook_content_type="application/x-www-form-urlencoded")
    assert page.location == "/console/webhooks?done=saved"
    stored = settings(world)
    assert (stored.live_webhook_url, stored.test_webhook_url) == (HOOK, None)
    assert stored.webhook_content_type == "application/x-www-form-urlencoded"
    assert f'value="{HOOK}"' in console.get("webhooks").text


def test_a_bad_address_is_named(world, console):
    page = saved(console, live_webhook_url="ftp://shop.kr", test_webhook_url=HOOK)
    assert page.status == 400
    assert 'id="f-live_webhook_url-wrong"' in page.text
    assert 'value="ftp://shop.kr"' in page.text
    assert settings(world).test_webhook_url is None
    assert saved(console, webhook_content_type="text/xml").status == 400


def test_who_saves_does_not_undo_what_another_saved_meanwhile(world, console):
    before = seen(console.get("webhooks"))
    world.webhook_url(HOOK)
    page = saved(console, seen=before, live_webhook_url="https://other.kr")
    assert page.status == 409
    assert "다른 사람이 설정을 바꾸어" in page.words
    assert (settings(world).test_webhook_url, settings(world).live_webhook_url) == (HOOK, None)
    assert 'value="https://other.kr"' in page.text
    assert saved(console, seen=seen(page), test_webhook_url=HOOK, live_webhook_url="https://other.kr").status == 303


def test_an_operator_tries_the_url_and_changes_none(world):
    operator = Console(world, Role.OPERATOR)
    assert "테스트 URL이 없습니다" in operator.get("webhooks").words
    assert operator.post("webhooks/try", environment="test").status == 400
    world.webhook_url(HOOK)
    page = operator.post("webhooks/try", environment="test")
    assert "받았습니다" in page.words
    assert HOOK in page.words
    assert [url for url, _, _ in world.sender.sent] == [HOOK]
    world.sender.replies = [(False, "HTTP 503")]
    failed = operator.post("webhooks/try", environment="test")
    assert "실패했습니다 HTTP 503" in failed.words
    assert 'name="live_webhook_url"' not in failed.text
    assert saved_by(operator).status == 403


def saved_by(console):
    return console.post("webhooks", live_webhook_url=HOOK)


def test_a_new_secret_is_shown_once(world, console):
    assert "24시간" in console.get("webhooks/secret").words
    page = console.post("webhooks/secret")
    secret = re.search(r"whsec_[\w+/=]{40,}", page.text)[0]
    assert page.headers["Cache-Control"] == "no-store"
    assert secret not in world.store.texts()
    for path in ("webhooks", "webhooks/secret", "audit", "settings"):
        assert "whsec_" not in console.get(path).text
    assert "이전 비밀키의 서명도 함께" in console.get("webhooks").words
    assert "웹훅 서명 비밀키 교체" in console.get("audit").words


def test_one_that_was_given_up_is_sent_again(world):
    [notice] = give_up(world, "m0")
    operator = Console(world, Role.OPERATOR)
    page = operator.get("webhooks")
    assert "HTTP 410" in page.words
    sent = operator.post(f"webhooks/{notice.notice_id}/resend")
    assert sent.location == "/console/webhooks?done=webhook_resent"
    world.run_queue()
    assert len(world.sender.sent) == 2
    assert notice.imp_uid not in operator.get("webhooks").text
    [entry] = world.store.list(Audit, (world.merchant_id, "audit", notice.imp_uid)).items
    assert (entry.action, entry.by) == ("webhook.resent", f"operator@{world.merchant_id}.kr")


def test_one_whose_url_was_wrong_is_sent_to_the_one_that_is_set_now(world):
    [notice] = give_up(world, "m0")
    operator = Console(world, Role.OPERATOR)
    button = 'name="to" value="present"'
    assert button not in operator.get("webhooks").text
    world.webhook_url("https://new.example/hook")
    for path in ("webhooks", "attention", f"payments/{notice.imp_uid}"):
        assert button in operator.get(path).text, path
    operator.post(f"webhooks/{notice.notice_id}/resend", to="present")
    world.run_queue()
    assert [url for url, _, _ in world.sender.sent] == [notice.url, "https://new.example/hook"]
    [entry] = world.store.list(Audit, (world.merchant_id, "audit", notice.imp_uid)).items
    assert entry.after == {"url": "https://new.example/hook"}


def test_one_that_was_given_up_is_taken_off_the_list(world):
    [notice] = give_up(world, "m0")
    operator = Console(world, Role.OPERATOR)
    assert operator.post(f"webhooks/{notice.notice_id}/note", reason=" ").status == 400
    noted = operator.post(f"webhooks/{notice.notice_id}/note", reason="상점에서 확인", back="attention?x=1")
    assert noted.location.startswith("/console/attention?")
    assert "done=webhook_noted" in noted.location
    assert webhooks.dead(world.deps, world.merchant_id, 10, None).items == ()
    [kept] = webhooks.of_payment(world.deps, world.merchant_id, notice.imp_uid)
    assert kept.state is NoticeState.NOTED
    assert operator.post(f"webhooks/{notice.notice_id}/note", reason="또").status == 409


def test_a_long_list_has_pages(world):
    notices = give_up(world, *(f"m{n}" for n in range(23)))
    viewer = Console(world, Role.VIEWER)
    first = viewer.get("webhooks")
    assert "다시 보내기" not in first.words
    following = re.search(r'href="/console/(webhooks\?cursor=[^"]+)"', first.text)[1].replace("&amp;", "&")
    second = viewer.get(following)
    shown = re.findall(r'href="/console/payments/(imp_\w+)"', first.text + second.text)
    assert shown == [notice.imp_uid for notice in notices]


def test_a_server_that_fails_is_seen_before_anything_is_given_up(world, console):
    world.two_gateways()
    world.webhook_url(HOOK)
    assert "지금 실패하거나" not in console.get("webhooks").words
    api = Api(world.deps, admin_token=world.merchant.admin_token).login(world.merchant)
    for n in range(3):
        api.post("/subscribe/payments/onetime", CARD, merchant_uid=f"m{n}", amount=8900, name="n")
        world.sender.replies = [(False, "HTTP 503")]
        world.run_queue()
        told = console.get("webhooks").words
        assert "shop.kr" in told
        assert ("따로 보냅니다" in told) == (n == 2)
    world.clock.advance(seconds=60)
    world.run_queue()
    assert "지금 실패하거나" not in console.get("webhooks").words
