"""The audit log in the console: everything that was changed, by whom, and how it was before."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Role
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.usecases import channels, groups, merchants
from tests.support.console import Console


@pytest.fixture
def console(world):
    made = Console(world, Role.VIEWER)
    world.clock.advance(seconds=1)
    yield made
    container.install(None)


def entries(page):
    """The words of each."""
    found = re.findall(r'<li class="card stack tight">(.*?)</li>', page.text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", one).split()) for one in found]


def rename(world, key, *names):
    for name in names:
        world.clock.advance(seconds=1)
        channels.update(world.deps, world.admin, key, channels.ChannelChange(name=name))


def test_changes_stand_with_how_it_was_before(world, console):
    world.two_gateways((60, 40), name="정기결제")
    toss, nice = world.channels["tosspayments"], world.channels["nice_v2"]
    [group] = merchants_groups(world)
    world.clock.advance(seconds=1)
    content = groups.GroupContent("정기결제", Failover.OFF, (GroupEntry(toss, 0, enabled=False), GroupEntry(nice, 100)))
    groups.update(world.deps, world.admin, group, content)
    newest = entries(console.get("audit"))[0]
    assert newest.startswith("채널 그룹 변경 정기결제 demo")
    assert "tosspayments · 비율 이전: 60 % → 이후: 0 %" in newest
    assert "tosspayments · 사용 이전: 예 → 이후: 아니요" in newest
    assert "nice_v2 · 비율 이전: 40 % → 이후: 100 %" in newest
    assert "자동 전환" in newest
    settings = merchants.settings(world.deps, world.merchant_id)
    world.clock.advance(seconds=1)
    merchants.save_settings(
        world.deps, world.admin, replace(settings, live_page_origins=("https://a.kr", "https://b.kr"))
    )
    assert "실연동 도메인 이후: https://a.kr, https://b.kr" in entries(console.get("audit"))[0]


def merchants_groups(world):
    from chalicelib.usecases.charges import load_routing

    return list(load_routing(world.deps, world.merchant_id).groups)


def test_an_entry_leads_to_what_it_is_about(world, console):
    world.two_gateways(name="정기결제")
    key = world.channels["nice_v2"]
    page = console.get("audit")
    assert f'href="/console/channels/{key}"' in page.text
    assert f'href="/console/groups/{merchants_groups(world)[0]}"' in page.text
    alone = world.channel("nice_v2", "혼자")
    world.clock.advance(seconds=1)
    channels.delete(world.deps, world.admin, alone)
    gone = console.get("audit", subject=alone)
    assert f'href="/console/channels/{alone}"' not in gone.text
    assert "혼자 (삭제됨)" in gone.words


def test_one_subject_or_one_person_is_looked_for(world, console):
    key, other = world.channel("nice_v2"), world.channel("tosspayments")
    rename(world, key, "하나", "둘")
    page = console.get("audit", subject=key)
    assert [one.split(" ")[1] for one in entries(page)] == ["수정", "수정", "추가"]
    assert other not in " ".join(entries(page))
    mine = console.get("audit", by=f"viewer@{world.merchant_id}.kr")
    assert {one.split(" viewer@")[0] for one in entries(mine)} == {"로그인 사용자", "초대 수락 사용자"}
    assert entries(console.get("audit", by="nobody@x.kr")) == []
    assert "조건에 맞는 변경이 없습니다" in console.get("audit", by="nobody@x.kr").words
    assert console.get("audit", subject="no-such-thing").status == 200


def test_a_long_trail_has_pages(world, console):
    key = world.channel("nice_v2")
    rename(world, key, *(f"이름 {n}" for n in range(70)))
    page, seen = console.get("audit", subject=key), []
    while True:
        seen += entries(page)
        more = re.search(r'href="/console/(audit\?[^"]*cursor=[^"]+)">더 오래된', page.text)
        if not more:
            break
        page = console.get(more[1].replace("&amp;", "&"))
    assert len(seen) == 71
    assert len(set(seen)) == 71
    assert "이름 69" in seen[0]
    assert seen[-1].startswith("채널 추가")


def test_somebodys_changes_are_found_behind_many_of_others(world, console):
    """A page that has none of them leads on to older ones."""
    key = world.channel("nice_v2")
    rename(world, key, *(f"이름 {n}" for n in range(400)))
    page = console.get("audit", by=f"viewer@{world.merchant_id}.kr")
    steps = 0
    while not entries(page) and steps < 5:
        assert "계속 찾아볼 수 있습니다" in page.words
        more = re.search(r'href="/console/(audit\?[^"]*cursor=[^"]+)">더 오래된', page.text)
        page, steps = console.get(more[1].replace("&amp;", "&")), steps + 1
    assert 1 <= steps < 5
    assert "로그인" in " ".join(entries(page))


def test_times_are_koreas(world, console):
    world.channel("nice_v2")
    at = world.clock.now() + timedelta(hours=9)
    assert f"{at:%Y-%m-%d %H:%M:%S}</time>" in console.get("audit").text


@pytest.mark.parametrize(("role", "seen"), [(Role.OWNER, 2), (Role.OPERATOR, 1), (Role.VIEWER, 1)])
def test_where_somebody_has_signed_in_is_for_them_and_for_owners(world, role, seen):
    """As on the pages of sessions. Everybody sees that they have."""
    other = Console(world, Role.OWNER if role is not Role.OWNER else Role.VIEWER)
    world.clock.advance(seconds=1)
    mine = Console(world, role)
    try:
        signed_in = [entry for entry in entries(mine.get("audit", subject="people")) if entry.startswith("로그인 ")]
        assert len(signed_in) == 2
        assert sum("127.0.0.1" in entry for entry in signed_in) == seen, signed_in
        assert other.get("audit").status == 200
    finally:
        container.install(None)
