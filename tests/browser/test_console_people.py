"""Signing in to the console, invitations and people in a real browser: by keyboard, on a phone, and locked out."""

import pytest

from chalicelib.domain.accounts import Role
from tests.browser.axe import check_axe
from tests.browser.test_console_channels import LOOKS, tab_to
from tests.support.console import PASSWORD, add_person

EMAIL = "min@shop.kr"


@pytest.fixture
def site(new_console):
    return new_console()


def test_signing_in_and_out_by_keyboard_alone(site, page, console):
    add_person(site.world, Role.VIEWER, EMAIL)
    site.open(page, "audit?subject=people")
    assert "/sign-in" in page.url
    tab_to(page, "이메일")
    page.keyboard.type(EMAIL)
    tab_to(page, "비밀번호")
    page.keyboard.type("wrong wrong wrong")
    console.expect("401")  # the browser says so of a form's answer
    page.keyboard.press("Enter")
    page.wait_for_selector("#problem")
    assert "올바르지 않습니다" in page.text_content("#problem")
    assert (page.input_value("#f-email"), page.input_value("#f-password")) == (EMAIL, "")
    tab_to(page, "비밀번호")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/audit?subject=people")
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert all(c["secure"] and c["httpOnly"] and c["sameSite"] == "Lax" for c in cookies.values())
    tab_to(page, "사람 viewer")
    page.keyboard.press("Enter")
    tab_to(page, "로그아웃")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in?done=signed_out")
    page.go_back()
    page.reload()
    assert "/sign-in" in page.url


def test_somebody_is_invited_and_comes_in_on_a_phone(site, page, phone):
    site.open(site.enter(page, Role.OWNER), "people")
    page.get_by_label("이메일").fill(EMAIL)
    page.get_by_label("이름", exact=False).last.fill("민서")
    page.get_by_label("역할").select_option("operator")
    page.fill("[name=own_password]", PASSWORD)
    page.get_by_role("button", name="초대 링크 만들기").click()
    page.wait_for_selector("[data-copy]")
    link = page.get_attribute("[data-copy]", "data-copy")
    check_axe(page)
    phone.goto(link)
    check_axe(phone)
    phone.fill("#f-password", PASSWORD)
    phone.fill("#f-again", PASSWORD)
    phone.get_by_role("button", name="저장").click()
    phone.wait_for_url("**/sign-in?done=password_set")
    phone.fill("#f-email", EMAIL)
    phone.fill("#f-password", PASSWORD)
    phone.get_by_role("button", name="로그인").click()
    phone.wait_for_url("**/console")
    site.open(page, "people")
    page.get_by_role("link", name="민서").click()
    page.get_by_role("link", name="삭제…").click()
    page.get_by_label("확인을 위해 이메일을 입력하세요").fill(EMAIL)
    page.get_by_role("button", name="사용자 삭제").click()
    assert "사용자를 삭제했습니다" in page.text_content("main")
    phone.reload()
    assert "/sign-in" in phone.url


def test_who_guesses_is_locked_out(site, page, console):
    add_person(site.world, Role.VIEWER, EMAIL)
    console.expect("401|429|409")
    site.open(page, "sign-in")
    for _ in range(6):
        page.fill("#f-email", EMAIL)
        page.fill("#f-password", "wrong wrong wrong")
        with page.expect_navigation():
            page.get_by_role("button", name="로그인").click()
    assert "초 후에 다시 시도해 주세요" in page.text_content("#problem")
    check_axe(page)


@pytest.mark.parametrize("look", LOOKS)
def test_pages_are_for_everybody(site, open_page, look):
    """axe finds nothing, and nothing is wider than the screen."""
    add_person(site.world, Role.OPERATOR, EMAIL)
    look = LOOKS[look]
    page = open_page(viewport=look["viewport"])
    site.enter(page, Role.OWNER, language=look["language"], theme=look["theme"])
    paths = ("sign-in", "people", f"people/person?email={EMAIL}", f"people/remove?email={EMAIL}", "account")
    for path in paths:
        site.open(page, path)
        check_axe(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.locator("h1").count() == 1
