"""Channels, webhooks, settings and the audit log of the console in a real browser: by keyboard, without script, for all."""

import pytest

from chalicelib.domain.accounts import Role
from chalicelib.usecases import charges
from tests.browser.axe import check_axe

SECRET, CLIENT = "test_sk_sandbox0000000000000001", "test_ck_sandbox0000000000000001"
LOOKS = {"desktop": {"language": "en", "theme": "dark", "viewport": {"width": 1280, "height": 900}}}
"""The one that test_console_everywhere.py leaves out."""


@pytest.fixture
def site(new_console):
    return new_console("tosspayments", "nice_v2")


def tab_to(page, name):
    """Go on by the tabulator until what is called so has the focus; it can be seen that it has."""
    for _ in range(80):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const at = document.activeElement, label = at.labels && at.labels[0];
                const text = at.getAttribute("aria-label") || (label ? label.textContent : at.textContent);
                return [text.trim(), getComputedStyle(at).outlineStyle];
            }"""
        )
        if found[0].startswith(name):
            assert found[1] != "none"
            return
    pytest.fail(f"the tabulator does not lead to {name}")


def channels_of(site):
    return list(charges.load_routing(site.world.deps, site.world.merchant_id).channels.values())


def test_a_channel_is_added_by_keyboard_alone(site, page):
    site.open(site.enter(page, Role.OPERATOR), "channels")
    tab_to(page, "첫 채널 추가")
    page.keyboard.press("Enter")
    page.wait_for_url("**/channels/new")
    tab_to(page, "선택 토스페이먼츠")
    page.keyboard.press("Enter")
    page.wait_for_url("**/channels/new?provider=tosspayments")
    for label, text in (
        ("채널 이름", "토스 정기"),
        ("상점 ID", "mid1"),
        ("시크릿 키", SECRET),
        ("클라이언트 키", CLIENT),
    ):
        tab_to(page, label)
        page.keyboard.type(text)
    tab_to(page, "저장하지 않고 연결 테스트")
    page.keyboard.press("Enter")
    page.wait_for_selector("#tried .notice.good")
    assert "연결됨" in page.text_content("#tried")
    assert page.input_value("#c-secret_key") == SECRET
    assert channels_of(site) == []
    assert page.evaluate("document.activeElement.value") == "test"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/channels/channel-key-*")
    assert "채널을 추가했습니다" in page.text_content("main")
    [channel] = channels_of(site)
    assert channel.name == "토스 정기"
    assert SECRET not in page.content()


def test_what_a_test_says_against_it_stands_in_place(site, page, console):
    console.expect("400")  # the browser says so of the answer, too
    key = site.world.channel("tosspayments", "토스")
    site.open(site.enter(page, Role.OPERATOR), f"channels/{key}")
    page.get_by_role("button", name="지금 연결 테스트").click()
    page.wait_for_selector("#tried-saved .notice.good")
    page.get_by_text("이름·MID·인증 정보 수정").click()
    page.get_by_label("시크릿 키").fill("test_sk_nobody")
    page.get_by_role("button", name="저장하지 않고 연결 테스트").click()
    page.wait_for_selector("#tried .notice.bad")
    assert "연결 실패" in page.text_content("#tried")
    page.get_by_label("시크릿 키").fill("live_sk_1")
    page.get_by_role("button", name="저장하지 않고 연결 테스트").click()
    page.locator("#tried", has_text="실연동 키").wait_for()
    assert page.input_value("#c-secret_key") == "live_sk_1"


def test_it_works_without_script(site, open_page):
    page = open_page(java_script_enabled=False)
    site.open(site.enter(page, Role.OPERATOR), "channels/new?provider=tosspayments")
    page.get_by_label("채널 이름").fill("토스")
    page.get_by_label("상점 ID").fill("mid1")
    page.get_by_label("시크릿 키").fill(SECRET)
    page.get_by_label("클라이언트 키").fill(CLIENT)
    page.get_by_role("button", name="저장하지 않고 연결 테스트").click()
    assert "연결됨" in page.text_content("#tried")
    assert (page.input_value("#c-secret_key"), page.input_value("#c-client_key")) == ("", CLIENT)
    page.get_by_label("시크릿 키").fill(SECRET)
    page.get_by_role("button", name="채널 저장").click()
    [channel] = channels_of(site)
    page.get_by_role("link", name="채널 삭제…").click()
    page.get_by_label("확인을 위해 채널 이름을 입력하세요").fill("토스")
    page.get_by_role("button", name="삭제").click()
    assert "채널을 삭제했습니다" in page.text_content("main")
    assert channels_of(site) == []
    assert channel.name == "토스"


@pytest.mark.parametrize("look", LOOKS)
def test_pages_are_for_everybody(site, open_page, look):
    """axe finds nothing, and nothing is wider than the screen, at 360 px either."""
    world = site.world
    world.two_gateways()
    world.webhook_url("https://shop.kr/hook")
    alone = world.channel("kcp", "아주 긴 이름의 예비 채널 " + "나" * 40)
    look = LOOKS[look]
    page = open_page(viewport=look["viewport"])
    site.enter(page, Role.OWNER, language=look["language"], theme=look["theme"])
    key = world.channels["tosspayments"]
    for path in (
        "channels", "channels/new", "channels/new?provider=kcp", f"channels/{key}", f"channels/{key}/delete",
        f"channels/{alone}/delete", "webhooks", "webhooks/secret", "settings", "audit",
    ):  # fmt: skip
        site.open(page, path)
        for closed in page.locator("main details:not([open]) > summary").all():
            closed.click()
        check_axe(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.locator("h1").count() == 1
