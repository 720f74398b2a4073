"""Channel groups in a real browser: the editor with its simulator, by hand, by keys and without a script."""

import re

import pytest

from chalicelib.domain.accounts import Role
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.merchants import Routing
from chalicelib.ports import Ref
from chalicelib.usecases import groups
from tests.browser.axe import check_axe

NAMES = ("토스 정기", "나이스 메인", "이니시스")


@pytest.fixture
def site(new_console):
    """Three channels, and a group of two of them."""
    made = new_console()
    world = made.world
    for name, provider in zip(NAMES, ("tosspayments", "nice_v2", "html5_inicis"), strict=True):
        world.channel(provider, name)
    world.group([(world.channels[NAMES[0]], 60), (world.channels[NAMES[1]], 40)], name="월간 이용권")
    return made


def only_group(site):
    (group,) = stored(site).values()
    return group.settled(site.world.clock.now())


def stored(site):
    return site.world.store.load(Ref(Routing, (site.world.merchant_id,))).groups


def shares(site, version):
    names = {key: name for name, key in site.world.channels.items()}
    return [(names[e.channel_key], e.weight, e.enabled) for e in version.entries]


def weight(page, name):
    return page.get_by_label(f"{name} 비율, 퍼센트")


def open_editor(site, page, **wishes):
    site.enter(page, Role.OPERATOR, **wishes)
    return site.open(page, f"groups/{only_group(site).group_id}")


def order(page):
    return page.locator(".entry").evaluate_all("rows => rows.map(row => row.dataset.name)")


def test_weights_move_the_bar_and_the_simulation_as_one_types(site, page):
    open_editor(site, page)
    weight(page, "토스 정기").fill("55")
    page.get_by_text("합계 95 %: 100까지 5 모자랍니다").wait_for()
    page.locator("#outcome").get_by_text("비율의 합은 100이어야 합니다").wait_for()
    weight(page, "나이스 메인").fill("50")
    page.get_by_text("합계 105 %: 5 초과했습니다").wait_for()
    weight(page, "나이스 메인").fill("45")
    page.get_by_text("합계 100 %").wait_for()
    assert page.locator("#draft").get_attribute("aria-label") == "입력한 비율: 토스 정기 55 %, 나이스 메인 45 %"
    assert float(page.locator("#draft rect").nth(1).get_attribute("width")) == 550
    page.locator("#outcome").get_by_text("55.0 %", exact=True).wait_for()
    assert "60 % → 55 %" in page.locator("#outcome").inner_text()
    page.get_by_label("슈퍼 빌링키", exact=True).check()
    page.get_by_label("이 채널들에 발급된 빌링키").check()
    page.locator(".only-held").get_by_label("나이스 메인").uncheck()
    page.locator("#outcome").get_by_text("이 채널에 발급된 빌링키가 없습니다").wait_for()
    assert only_group(site).current.number == 1  # nothing was saved
    page.get_by_role("button", name="지금 저장").click()
    page.get_by_text("지금부터 들어오는 결제에 적용됩니다").wait_for()
    assert shares(site, only_group(site).current) == [("토스 정기", 55, True), ("나이스 메인", 45, True)]


def test_the_editor_by_keys_alone(site, page):
    """Every press keeps the keyboard where the work goes on."""
    open_editor(site, page)
    page.get_by_label("채널 찾기").focus()
    page.keyboard.type("이니")
    assert page.locator("#f-added option").all_inner_texts() == ["이니시스 · KG이니시스 · mid_html5_inicis"]
    page.keyboard.press("Enter")
    page.locator("#weight-2:focus").wait_for()
    assert order(page) == ["토스 정기", "나이스 메인", "이니시스"]
    page.get_by_role("button", name="이니시스 위로").press("Enter")
    page.locator("#up-1:focus").wait_for()
    page.keyboard.press("Enter")
    page.locator("#down-0:focus").wait_for()  # it is the first now: there is no higher place
    assert order(page) == ["이니시스", "토스 정기", "나이스 메인"]
    page.get_by_role("button", name="나이스 메인 제외").press("Space")
    page.locator("#remove-1:focus").wait_for()
    page.get_by_role("button", name="똑같이 나누기").press("Enter")
    page.get_by_text("합계 100 %").wait_for()
    page.get_by_role("button", name="똑같이 나누기").press("Tab")
    weight(page, "이니시스").press("Enter")  # in a field: it recalculates, and saves nothing
    assert only_group(site).current.number == 1
    page.get_by_role("button", name="지금 저장").press("Enter")
    page.get_by_text("지금부터 들어오는 결제에 적용됩니다").wait_for()
    assert shares(site, only_group(site).current) == [("이니시스", 50, True), ("토스 정기", 50, True)]


def test_channels_are_dragged_into_order(site, page):
    open_editor(site, page)
    page.get_by_role("button", name="추가", exact=True).click()
    page.locator("#weight-2:focus").wait_for()
    first, last = page.locator(".handle").nth(0).bounding_box(), page.locator(".entry").nth(2).bounding_box()
    page.mouse.move(first["x"] + 5, first["y"] + 5)
    page.mouse.down()
    page.mouse.move(first["x"] + 5, last["y"] + last["height"] - 4, steps=8)
    page.mouse.up()
    assert order(page) == ["나이스 메인", "이니시스", "토스 정기"]
    page.locator("#up-0:disabled").wait_for()  # the buttons know the new places
    page.get_by_role("button", name="지금 저장").click()
    page.get_by_text("지금부터 들어오는 결제에 적용됩니다").wait_for()
    assert shares(site, only_group(site).current) == [
        ("나이스 메인", 40, True),
        ("이니시스", 0, True),
        ("토스 정기", 60, True),
    ]


def test_a_change_is_reserved_looked_at_and_dropped(site, page):
    open_editor(site, page)
    weight(page, "토스 정기").fill("20")
    weight(page, "나이스 메인").fill("80")
    page.get_by_text("정해진 시각에 적용하도록 예약").click()
    page.get_by_label("날짜").fill("2026-11-24")
    page.get_by_label(re.compile("시각")).select_option("09")
    page.get_by_role("button", name="예약 내용 확인").click()
    page.get_by_role("heading", name="예약 내용 확인").wait_for()
    assert "60 % → 20 %" in page.inner_text("main")
    check_axe(page)
    page.get_by_role("button", name="예약", exact=True).click()
    page.get_by_text("변경을 예약했습니다").wait_for()
    assert shares(site, only_group(site).reserved) == [("토스 정기", 20, True), ("나이스 메인", 80, True)]
    page.get_by_role("link", name="예약 취소").click()
    page.get_by_role("button", name="예약 취소").click()
    page.get_by_text("예약된 변경을 취소했습니다").wait_for()
    assert only_group(site).reserved is None


def test_a_group_is_made_without_any_script(site, open_page):
    page = open_page(java_script_enabled=False)
    site.enter(page, Role.OPERATOR)
    site.open(page, "groups/new")
    page.get_by_label("그룹 이름").fill("새 그룹")
    for name, given in (("이니시스", "70"), ("토스 정기", "30")):
        page.get_by_label("추가할 채널").select_option(site.world.channels[name])
        page.get_by_role("button", name="추가", exact=True).click()
        weight(page, name).fill(given)
    page.get_by_role("button", name="시뮬레이션", exact=True).click()
    assert "70.0 %" in page.locator("#outcome").inner_text()
    page.get_by_role("button", name="그룹 만들기").click()
    page.get_by_text("채널 그룹을 만들었습니다").wait_for()
    made = next(group for group in stored(site).values() if group.current.name == "새 그룹")
    assert shares(site, made.current) == [("이니시스", 70, True), ("토스 정기", 30, True)]


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "dark", 1280), ("ko", "light", 390)])
def test_every_page_is_fit_for_everybody(site, open_page, language, theme, width):
    """By axe, and no wider than the screen; in the looks that test_console_everywhere.py leaves out."""
    group = only_group(site)
    at = site.world.clock.now().replace(hour=15)
    content = groups.GroupContent("월간", Failover.OFF, (GroupEntry(site.world.channels[NAMES[2]], 100),), at)
    groups.update(site.world.deps, site.world.admin, group.group_id, content)
    page = open_page(viewport={"width": width, "height": 800})
    site.enter(page, Role.OPERATOR, language=language, theme=theme)
    base = f"groups/{group.group_id}"
    for path in (
        "groups",
        "groups/new",
        base,
        f"{base}/history",
        f"{base}/simulator",
        f"{base}/roll-back?version=1",
        f"{base}/delete",
    ):
        site.open(page, path)
        page.locator("main details").evaluate_all("all => all.forEach((part) => { part.open = true; })")
        check_axe(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
