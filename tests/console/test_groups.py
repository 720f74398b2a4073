"""The pages of channel groups: what they save, what they refuse, and what they say about it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from html import unescape

import pytest

from chalicelib.api.console.group_forms import GroupForm, Row, rearranged
from chalicelib.api.console.group_samples import split
from chalicelib.domain.accounts import Audit, Role
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import CardSummary
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.health import ChannelHealth, Health, HealthState
from chalicelib.domain.keys import BillingKey, ChannelKey
from chalicelib.domain.merchants import Routing
from chalicelib.ports import Ref
from chalicelib.usecases import charges, groups
from chalicelib.usecases.choosing import Target
from tests.support.console import Console
from tests.support.world import CARD, World, request

pytestmark = pytest.mark.gateways()  # none is asked but where a test says so


@pytest.fixture
def console(world):
    return Console(world, Role.OPERATOR)


@pytest.fixture
def three(world):
    """Three channels: keys by name."""
    return {name: world.channel(name) for name in ("tosspayments", "nice_v2", "html5_inicis")}


@pytest.fixture
def group(world, three):
    return world.group([(three["tosspayments"], 60), (three["nice_v2"], 40)], name="월간 이용권")


def routing(world):
    return world.store.load(Ref(Routing, (world.merchant_id,)))


def group_now(world, group):
    return routing(world).groups[group.group_id].settled(world.clock.now())


def trail(world, group):
    return world.store.list(Audit, (world.merchant_id, "audit", group.group_id), newest_first=True).items


def shares(version):
    return [(e.channel_key, e.weight, e.enabled) for e in version.entries]


def rows(*entries):
    """A form's fields for (channel key, weight) or (channel key, weight, enabled)."""
    fields = {}
    for n, (key, weight, *rest) in enumerate(entries):
        fields |= {f"channels[{n}][channel_key]": key, f"channels[{n}][weight]": str(weight)}
        if rest != [False]:
            fields[f"channels[{n}][enabled]"] = "1"
    return fields


def fields_of(page, form="editor"):
    """What a browser would send of a page's form: its inputs as they stand."""
    body = re.search(
        rf'<form[^>]*id="{form}".*?</form>|<form(?![^>]*preferences)[^>]*action="[^"]*groups.*?</form>',
        page.text,
        re.DOTALL,
    )[0]
    found = {}
    for tag in re.findall(r"<input[^>]*>", body):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if attributes.get("type") in ("checkbox", "radio") and " checked" not in tag:
            continue
        if "name" in attributes:
            found[unescape(attributes["name"])] = unescape(attributes.get("value", ""))
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', body, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
        if chosen:
            found[name] = unescape(chosen[1])
    found.pop("csrf", None)
    return found


def retyped(fields, *entries):
    """The same form with other channels in it."""
    return {name: value for name, value in fields.items() if not name.startswith("channels")} | rows(*entries)


def seen(group, **more):
    """What the editor was made from, and the rest of what it sends."""
    reserved = group.reserved.number if group.reserved else ""
    return {
        "seen_version": group.current.number,
        "seen_reservation": reserved,
        "name": group.current.name,
        "failover": "unsent",
        **more,
    }


def path(group, *more):
    return "/".join(("groups", group.group_id, *more))


def at_hour(world, hours=21):
    return world.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=hours)


def hour_fields(at):
    local = at + timedelta(hours=9)
    return {"day": f"{local:%Y-%m-%d}", "hour": f"{local:%H}"}


def reserve(world, group, entries, at=None, name=None):
    world.clock.advance(seconds=1)
    content = groups.GroupContent(
        name or group.current.name, Failover.UNSENT, tuple(GroupEntry(*e) for e in entries), at or at_hour(world)
    )
    return groups.update(world.deps, world.admin, group.group_id, content)


def save(world, group, entries, failover="unsent"):
    world.clock.advance(seconds=1)
    content = groups.GroupContent(group.current.name, Failover(failover), tuple(GroupEntry(*e) for e in entries))
    return groups.update(world.deps, world.admin, group.group_id, content)


def super_keys(world, group, *combinations):
    """(channel keys, how many)."""
    now, channels, number = world.clock.now(), routing(world).channels, 0
    for held, count in combinations:
        for _ in range(count):
            number += 1
            kept = {
                k: ChannelKey(k, channels[k].pg_provider, channels[k].pg_id, "sealed", CardSummary(), now, now)
                for k in held
            }
            world.store.commit(
                BillingKey(
                    world.merchant_id, f"customer-{number}", Environment.TEST, kept, now, now, group_id=group.group_id
                )
            )


# --- list ---------------------------------------------------------------------------------------------------------


def test_who_has_nothing_is_told_how_to_begin(world, console):
    page = console.get("groups")
    assert page.status == 200
    assert "먼저 PG사와 계약한 채널을 등록하세요" in page.words
    assert "groups/new" not in page.text
    world.channel("nice_v2")
    page = console.get("groups")
    assert "첫 그룹 만들기" in page.words


def test_the_list_shows_names_ids_ratios_and_what_is_the_matter(world, console, group, three):
    other = world.group([(three["nice_v2"], 90), (three["html5_inicis"], 10, False)], name="단건", default=False)
    reserve(world, group, [(three["nice_v2"], 100)])
    down = ChannelHealth(HealthState.DOWN, 3, world.clock.now(), 1, world.clock.now(), "timeout")
    world.store.commit(Health(world.merchant_id, {three["tosspayments"]: down}))
    page = console.get("groups")
    for text in (
        "월간 이용권",
        "단건",
        group.group_id,
        other.group_id,
        "기본 그룹",
        "tosspayments 장애",
        "예약된 변경 · 2026-11-24 09:00",
        "사용 안 함",
    ):
        assert text in page.words, text
    assert "tosspayments 60 %, nice_v2 40 %" in page.text  # the bar, for who does not see it


def test_groups_are_found_by_name_and_by_id(world, console, group, three):
    other = world.group([(three["nice_v2"], 100)], name="Monthly VIP", default=False)
    found = console.get("groups", q="vip")
    assert other.group_id in found.text
    assert group.group_id not in found.text
    assert group.group_id in console.get("groups", q=group.group_id[-12:]).text
    assert "찾는 그룹이 없습니다" in console.get("groups", q="없는 이름").words


def test_the_list_is_of_the_chosen_environment(world, console, group):
    console.cookies["__Host-prefs"] = "ko.auto.live"
    assert group.group_id not in console.get("groups").text
    assert console.get(path(group)).status == 200  # a link to a group goes there whatever is chosen


def test_a_group_of_somebody_else_is_not_there(world, console, sandboxes):
    other = World(sandboxes, store=world.store, seed=11)
    theirs = other.group([(other.channel("nice_v2"), 100)], name="비밀")
    for page in (
        *(
            path(theirs, *more)
            for more in ((), ("history",), ("simulator",), ("reservation",), ("delete",), ("roll-back",))
        ),
    ):
        shown = console.get(page)
        assert shown.status == 404, page
        assert "비밀" not in shown.text


# --- creating and editing -----------------------------------------------------------------------------------------


def test_a_group_is_made_from_the_form_as_it_opens(world, console):
    keys = [world.channel("tosspayments"), world.channel("nice_v2")]
    page = console.get("groups/new")
    fields = fields_of(page)
    assert [fields["channels[0][weight]"], fields["channels[1][weight]"]] == ["50", "50"]
    saved = console.post("groups/new", {**fields, "name": "새 그룹", "act": "save"})
    page = console.follow(saved)
    assert "채널 그룹을 만들었습니다" in page.words
    (made,) = routing(world).groups.values()
    assert shares(made.current) == [(keys[0], 50, True), (keys[1], 50, True)]
    assert (made.environment, made.current.failover) == (Environment.TEST, Failover.UNSENT)
    assert trail(world, made)[0].by == f"operator@{world.merchant_id}.kr"


def test_the_same_form_sent_twice_makes_one_group(world, console, three):
    fields = {"name": "한 번", "failover": "off", "act": "save", **rows((three["nice_v2"], 100))}
    assert console.post("groups/new", fields).status == 303
    again = console.post("groups/new", fields)
    assert again.status == 400
    assert "같은 이름의 채널 그룹이 이미 있습니다" in again.words
    assert len(routing(world).groups) == 1


def test_a_new_group_keeps_the_environment_it_was_opened_in(world, console, three):
    console.cookies["__Host-prefs"] = "ko.auto.live"  # switched in another tab meanwhile
    console.post(
        "groups/new",
        {"name": "A", "failover": "off", "environment": "test", "act": "save", **rows((three["nice_v2"], 100))},
    )
    (made,) = routing(world).groups.values()
    assert made.environment is Environment.TEST


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([("tosspayments", 60), ("nice_v2", 35)], "합은 100이어야 합니다 (현재 95)"),
        ([("tosspayments", 60), ("nice_v2", 45)], "합은 100이어야 합니다 (현재 105)"),
        ([("tosspayments", 100), ("tosspayments", 0)], "같은 채널이 두 번"),
        ([], "채널은 1개 이상 10개 이하"),
        ([("tosspayments", "삼십"), ("nice_v2", 70)], "0 이상 100 이하의 정수"),
        ([("tosspayments", "-5"), ("nice_v2", 105)], "0 이상 100 이하의 정수"),
        ([("tosspayments", "33.5"), ("nice_v2", "66.5")], "0 이상 100 이하의 정수"),
        ([("tosspayments", ""), ("nice_v2", 100)], "0 이상 100 이하의 정수"),
        ([("nobody", 100)], "존재하지 않는 채널"),
    ],
)
def test_what_does_not_fit_is_shown_again_as_typed_and_nothing_is_saved(world, console, group, three, entries, text):
    before = group_now(world, group)
    keyed = [(three.get(name, name), weight) for name, weight in entries]
    page = console.post(path(group), seen(group, act="save", name="바뀐 이름", **rows(*keyed)))
    assert page.status == 400
    assert text in page.words
    fields = fields_of(page)
    assert fields["name"] == "바뀐 이름"
    assert [fields[f"channels[{n}][weight]"] for n in range(len(entries))] == [str(weight) for _, weight in entries]
    assert group_now(world, group) == before
    assert len(trail(world, group)) == 1


@pytest.mark.parametrize("name", ["", "   ", "가" * 81, "\u200b"])
def test_a_group_needs_a_name(world, console, group, three, name):
    page = console.post(path(group), seen(group, act="save", **rows((three["nice_v2"], 100))) | {"name": name})
    assert page.status == 400
    assert 'aria-invalid="true"' in page.text


@pytest.mark.parametrize(
    "junk",
    [
        {"channels": "x"},
        {"channels[0]": "x"},
        {"channels[0][channel_key][deep]": "x", "channels[0][weight][deep]": "1"},
        {"channels[a][channel_key]": "x", "channels[7][weight]": "5"},
        {"failover": "always", "channels[0][channel_key]": "x", "channels[0][weight]": "100"},
        {"name[a]": "x", "act": "save"},
        {"act": "reserve", "day": "9999-99-99", "hour": "99"},
        {"act": "reserve", "day": "0001-01-01", "hour": "00"},
        {"act": "up:99999999999999999999"},
        {"act": "remove:-1"},
        {"act": "explode"},
        {
            "act": "simulate",
            "part": "outcome",
            "try_kind": "key",
            "try_keys": "customer",
            "try_amount": "NaN",
            "try_currency": "XXX",
        },
        {"act": "simulate", "part": "outcome", "try_kind": "window", "try_pay_method": "barter", "try_amount": "1e99"},
        {"seen_version": "x" * 50, "act": "save"},
    ],
)
def test_a_form_nobody_made_is_answered_and_saves_nothing(world, console, group, three, junk):
    given = {**seen(group, act="save", **rows((three["nice_v2"], 100))), **junk}
    if any(name.startswith("channels") for name in junk):
        given = {name: value for name, value in given.items() if name in junk or not name.startswith("channels")}
    if "seen_version" not in junk and "name[a]" in junk:
        given.pop("name")
    page = console.post(path(group), given)
    assert page.status in (200, 400, 409), page.words
    assert group_now(world, group) == group


def test_eleven_channels_are_too_many(world, console, group):
    keys = [world.channel("nice_v2", f"n{n}") for n in range(11)]
    page = console.post(
        path(group), seen(group, act="save", **rows(*((key, 9 if n else 10) for n, key in enumerate(keys))))
    )
    assert page.status == 400
    assert "채널은 1개 이상 10개 이하" in page.words


def test_saving_applies_at_once_and_is_on_record(world, console, group, three):
    page = console.post(
        path(group),
        seen(
            group,
            act="save",
            **rows((three["nice_v2"], 70), (three["tosspayments"], 20), (three["html5_inicis"], 10, False)),
        ),
    )
    shown = console.follow(page)
    assert "지금부터 들어오는 결제에 적용됩니다" in shown.words
    assert shares(group_now(world, group).current) == [
        (three["nice_v2"], 70, True),
        (three["tosspayments"], 20, True),
        (three["html5_inicis"], 10, False),
    ]
    assert trail(world, group)[0].action == "group.saved"


def test_a_save_beside_a_reservation_says_that_it_stays(world, console, group, three):
    held = reserve(world, group, [(three["nice_v2"], 100)])
    page = console.post(path(group), seen(held, act="save", **rows((three["tosspayments"], 100))))
    shown = console.follow(page)
    assert "예약된 변경은 그대로 남아 있습니다" in shown.words
    assert group_now(world, group).reserved == held.reserved


@pytest.mark.parametrize(
    ("act", "places", "weights"),
    [
        ("up:1", "bac", "2 1 97"),
        ("down:1", "acb", "1 97 2"),
        ("up:0", "abc", "1 2 97"),
        ("down:2", "abc", "1 2 97"),
        ("remove:0", "bc", "2 97"),
        ("even", "abc", "34 33 33"),
        ("add", "abcd", "1 2 97 0"),
    ],
)
def test_the_buttons_of_the_editor(act, places, weights):
    form = GroupForm(Environment.TEST, rows=(Row("a", "1"), Row("b", "2"), Row("c", "97")))
    changed = rearranged(form, *[*act.split(":"), ""][:2], "d")
    assert "".join(changed.keys) == places
    assert " ".join(row.weight for row in changed.rows) == weights


@pytest.mark.parametrize("used", ["1111111111", "111", "1", "101", "0101", "000"])
def test_distributing_evenly_adds_up_to_100_over_those_in_use(used):
    form = GroupForm(Environment.TEST, rows=tuple(Row(f"k{n}", "", mark == "1") for n, mark in enumerate(used)))
    weights = [int(row.weight) for row in rearranged(form, "even", "", "").rows]
    assert sum(weights) == 100
    counted = [weight for weight, mark in zip(weights, used, strict=True) if mark == "1"] or weights
    assert max(counted) - min(counted) <= 1
    assert sum(counted) == 100


def test_every_button_works_without_a_script_and_saves_nothing(world, console, group, three):
    fields = fields_of(console.get(path(group)))
    page = console.post(path(group), {**fields, "act": "add", "added": three["html5_inicis"]})
    fields = fields_of(page)
    assert fields["channels[2][channel_key]"] == three["html5_inicis"]
    page = console.post(path(group), {**fields, "act": "up:2"})
    page = console.post(path(group), {**fields_of(page), "act": "remove:0"})
    fields = fields_of(page)
    assert [fields["channels[0][channel_key]"], fields["channels[1][channel_key]"]] == [
        three["html5_inicis"],
        three["nice_v2"],
    ]
    assert "60 모자랍니다" in page.words
    page = console.post(path(group), {**fields, "act": "even"})
    assert "합계 100 %" in page.words
    assert group_now(world, group) == group
    saved = console.post(path(group), {**fields_of(page), "act": "save"})
    assert saved.status == 303
    assert shares(group_now(world, group).current) == [(three["html5_inicis"], 50, True), (three["nice_v2"], 50, True)]


def test_a_script_gets_parts_of_the_page(console, group, three):
    fields = fields_of(console.get(path(group)))
    part = console.post(path(group), {**fields, "act": "remove:0", "part": "rows"})
    assert part.status == 200
    assert "<html" not in part.text
    assert three["nice_v2"] in part.text
    part = console.post(path(group), {**fields, "act": "simulate", "part": "outcome"})
    assert "<html" not in part.text
    assert "60.0 %" in part.text


def test_a_viewer_sees_the_group_and_no_form(world, group):
    viewer = Console(world, Role.VIEWER)
    page = viewer.get(path(group))
    assert page.status == 200
    assert "지금 적용 중인 설정" in page.words
    assert 'id="editor"' not in page.text
    assert "/delete" not in page.text
    assert viewer.get("groups/new").status == 403
    assert viewer.get(path(group, "delete")).status == 403
    assert viewer.get(path(group, "simulator")).status == 200


def test_names_are_text_and_not_tags(world, console, three):
    name = "<script>alert(1)</script>"
    made = world.group([(world.channel("kcp", '"><img src=x>'), 100)], name=name)
    reserve(world, made, [(three["nice_v2"], 100)], name=f"{name}2")
    for page in (
        "groups",
        path(made),
        path(made, "history"),
        path(made, "simulator"),
        path(made, "delete"),
        path(made, "reservation"),
        path(made, "roll-back") + "?version=1",
    ):
        shown = console.send("GET", f"/console/{page}")
        assert shown.status == 200
        assert "<script>alert" not in shown.text
        assert "<img" not in shown.text


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_page_is_in_one_language(world, group, three, language):
    """But for what people and gateways have named."""
    reserve(world, group, [(three["nice_v2"], 100)])
    super_keys(world, group, ([three["nice_v2"]], 3))
    english = Console(world, Role.OPERATOR, language=language)
    for page in (
        "groups",
        "groups/new",
        path(group),
        path(group, "history"),
        path(group, "reservation"),
        path(group, "simulator"),
    ):
        shown = english.get(page)
        assert shown.status == 200
        text = shown.words.replace("월간 이용권", "").replace("사람 operator", "").replace("한국어", "")
        text = re.sub(r"\(한국 시간\)", "", text)
        if language == "en":
            assert not re.search(r"[가-힣]", text), re.findall(r".{20}[가-힣]+.{20}", text)


@pytest.mark.parametrize(
    ("entries", "down", "text"),
    [
        ([("nice_v2", 100, False)], [], "사용 중인 채널이 없어 이 그룹으로는 결제할 수 없습니다"),
        ([("nice_v2", 0), ("tosspayments", 100, False)], [], "슈퍼 빌링키 결제만 됩니다"),
        ([("nice_v2", 60), ("tosspayments", 40)], ["nice_v2"], "자동으로 제외되어 있습니다"),
        ([("nice_v2", 60), ("tosspayments", 40)], ["nice_v2", "tosspayments"], "대신할 채널이 없어"),
        ([("nice_v2", 100), ("tosspayments", 0, False)], ["tosspayments"], None),
    ],
)
def test_what_is_wrong_with_a_group_stands_on_top_of_its_page(world, console, three, entries, down, text):
    made = world.group([(three[name], *rest) for name, *rest in entries], name="급한 그룹")
    unwell = ChannelHealth(HealthState.DOWN, 3, world.clock.now(), 1, world.clock.now(), "timeout")
    world.store.commit(Health(world.merchant_id, {three[name]: unwell for name in down}))
    main = console.get(path(made)).words.partition("변경 이력")[2]
    before_the_form = main.partition("그룹 이름")[0]
    assert (text in before_the_form) if text else not re.search("장애|제외|결제할 수 없", before_the_form)


# --- somebody else was faster -------------------------------------------------------------------------------------


def test_a_change_of_somebody_else_is_shown_and_what_was_typed_stays(world, console, group, three):
    opened = fields_of(console.get(path(group)))
    save(world, group, [(three["tosspayments"], 10), (three["nice_v2"], 90)])
    mine = {**opened, **rows((three["tosspayments"], 70), (three["nice_v2"], 30)), "act": "save"}
    page = console.post(path(group), mine)
    assert page.status == 409
    assert "다른 사람이 먼저 저장해서" in page.words
    assert "60 % → 10 %" in page.words  # what they changed
    assert "10 % → 70 %" in page.words  # what saving would do now
    assert world.admin.name in page.words
    fields = fields_of(page)
    assert fields["channels[0][weight]"] == "70"
    assert shares(group_now(world, group).current)[0][1] == 10
    assert console.post(path(group), {**fields, "act": "save"}).status == 303  # knowingly
    assert shares(group_now(world, group).current)[0][1] == 70


def test_a_reservation_made_meanwhile_counts_as_a_change(world, console, group, three):
    opened = fields_of(console.get(path(group)))
    reserve(world, group, [(three["nice_v2"], 100)])
    page = console.post(path(group), {**opened, "act": "save"})
    assert page.status == 409
    assert "예약된 변경도 달라졌습니다" in page.words


def test_a_form_that_does_not_say_what_it_was_made_from_overwrites_nothing(world, console, group, three):
    fields = {"name": "x", "failover": "off", "act": "save", **rows((three["nice_v2"], 100))}
    assert console.post(path(group), fields).status == 409
    assert group_now(world, group) == group


def test_a_preview_of_an_old_form_is_refused_too(world, console, group, three):
    opened = fields_of(console.get(path(group)))
    save(world, group, [(three["nice_v2"], 100)])
    for act in ("preview", "reserve", "confirm"):
        page = console.post(path(group), {**opened, **hour_fields(at_hour(world)), "act": act})
        assert page.status == 409, act
        assert "다른 사람이 먼저" in page.words


def test_saves_of_two_groups_at_once_do_not_meet(world, console, group, three):
    """Both are in one item. A save of another group in the same moment is no reason to ask this editor."""
    other = world.group([(three["nice_v2"], 100)], name="다른 그룹", default=False)

    class Late:
        """The store, with somebody who is a moment faster, once."""

        def __init__(self, store):
            self.store, self.once = store, True

        def __getattr__(self, name):
            return getattr(self.store, name)

        def commit(self, *changes):
            if self.once and isinstance(changes[0], Routing):
                self.once = False
                save(world, other, [(three["tosspayments"], 100)])
            return self.store.commit(*changes)

    from chalicelib import container

    container.install(replace(world.deps, store=Late(world.store)))
    page = console.post(path(group), seen(group, act="save", **rows((three["nice_v2"], 100))))
    assert page.status == 303
    assert shares(group_now(world, group).current) == [(three["nice_v2"], 100, True)]
    assert shares(group_now(world, other).current) == [(three["tosspayments"], 100, True)]


# --- preview and reservation --------------------------------------------------------------------------------------


def test_a_preview_shows_both_sides_and_saves_nothing_until_it_is_confirmed(world, console, group, three):
    fields = {
        **fields_of(console.get(path(group))),
        **rows((three["tosspayments"], 5), (three["nice_v2"], 95)),
        "act": "preview",
    }
    page = console.post(path(group), fields)
    assert page.status == 200
    assert "60 % → 5 %" in page.words
    assert "저장하면 바로 적용됩니다" in page.words
    assert group_now(world, group) == group
    back = console.post(path(group), {**fields_of(page), "act": "edit"})
    assert fields_of(back)["channels[0][weight]"] == "5"
    assert console.post(path(group), {**fields_of(page), "act": "save"}).status == 303
    assert shares(group_now(world, group).current)[0][1] == 5


def test_a_reservation_is_looked_at_first_and_begins_at_its_hour(world, console, group, three):
    at = at_hour(world)
    fields = {
        **retyped(fields_of(console.get(path(group))), (three["nice_v2"], 100)),
        **hour_fields(at),
        "act": "reserve",
    }
    page = console.post(path(group), fields)
    assert "2026-11-24 09:00 (한국 시간)부터 적용됩니다" in page.words
    assert group_now(world, group) == group
    done = console.follow(console.post(path(group), {**fields_of(page), "act": "confirm"}))
    assert "변경을 예약했습니다" in done.words
    assert group_now(world, group).reserved.effective_at == at
    assert shares(group_now(world, group).current) == shares(group.current)
    world.clock.set(at)
    assert shares(group_now(world, group).current) == [(three["nice_v2"], 100, True)]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ({"day": "2026-11-23", "hour": "12"}, "예약 시각은 미래여야 합니다"),  # this very hour in Korea
        ({"day": "2026-11-01", "hour": "09"}, "예약 시각은 미래여야 합니다"),
        ({"day": "", "hour": "09"}, "예약할 날짜를 선택해 주세요"),
        ({"day": "2026-11-31", "hour": "09"}, "예약할 날짜를 선택해 주세요"),
        ({"day": "2026-11-24", "hour": "24"}, "예약할 시각을 선택해 주세요"),
        ({"day": "2026-11-24", "hour": "9:30"}, "예약할 시각을 선택해 주세요"),
    ],
)
@pytest.mark.parametrize("act", ["reserve", "confirm"])
def test_only_a_whole_hour_to_come_can_be_reserved(world, console, group, three, at, text, act):
    page = console.post(path(group), seen(group, act=act, **rows((three["nice_v2"], 100)), **at))
    assert page.status == 400
    assert text in page.words
    assert group_now(world, group).reserved is None


def test_the_editor_offers_the_next_hour(world, console, group):
    world.clock.set(datetime(2026, 11, 23, 14, 30, tzinfo=UTC))  # 23:30 in Korea
    console.sign_in(f"operator@{world.merchant_id}.kr")
    fields = fields_of(console.get(path(group)))
    assert (fields["day"], fields["hour"]) == ("2026-11-24", "00")


def test_a_second_reservation_says_that_it_takes_the_first_ones_place(world, console, group, three):
    reserve(world, group, [(three["nice_v2"], 100)])
    fields = {**fields_of(console.get(path(group), **{"from": "reserved"})), **hour_fields(at_hour(world, 30))}
    assert fields["channels[0][channel_key]"] == three["nice_v2"]  # the reserved version is what is edited
    page = console.post(path(group), {**fields, "act": "reserve"})
    assert "이미 예약된 변경을 대신합니다" in page.words
    console.post(path(group), {**fields_of(page), "act": "confirm"})
    assert group_now(world, group).reserved.effective_at == at_hour(world, 30)


def test_a_reservation_is_dropped_after_a_question(world, console, group, three):
    held = reserve(world, group, [(three["nice_v2"], 100)])
    page = console.get(path(group, "reservation"))
    assert "예약된 변경을 취소할까요?" in page.words
    assert group_now(world, group).reserved
    done = console.follow(console.post(path(group, "reservation"), {"number": held.reserved.number}))
    assert "예약된 변경을 취소했습니다" in done.words
    assert group_now(world, group).reserved is None
    assert console.get(path(group, "reservation")).status == 303  # nothing to ask any more
    assert console.post(path(group, "reservation"), {"number": held.reserved.number}).status == 404


def test_a_reservation_that_was_replaced_meanwhile_is_not_dropped_unseen(world, console, group, three):
    first = reserve(world, group, [(three["nice_v2"], 100)])
    second = reserve(world, group, [(three["tosspayments"], 100)])
    page = console.post(path(group, "reservation"), {"number": first.reserved.number})
    assert page.status == 409
    assert "그 사이에 예약이 바뀌었습니다" in page.words
    assert group_now(world, group).reserved == second.reserved


# --- deleting -----------------------------------------------------------------------------------------------------


def test_deleting_says_what_will_happen_and_wants_the_name(world, console, three):
    doomed = world.group([(three["nice_v2"], 100)], name="지울 그룹", default=False)
    super_keys(world, doomed, ([three["nice_v2"]], 3))
    page = console.get(path(doomed, "delete"))
    assert "슈퍼 빌링키 3개로는 더 이상 결제할 수 없습니다" in page.words
    wrong = console.post(path(doomed, "delete"), typed_name="지울그룹")
    assert wrong.status == 400
    assert "그룹 이름이 다릅니다" in wrong.words
    assert doomed.group_id in routing(world).groups
    done = console.follow(console.post(path(doomed, "delete"), typed_name="지울 그룹"))
    assert "채널 그룹을 삭제했습니다" in done.words
    assert doomed.group_id not in routing(world).groups
    assert trail(world, doomed)[0].action == "group.deleted"
    history = console.get(path(doomed, "history"))  # which stays
    assert "삭제된 그룹" in history.words
    assert "roll-back" not in history.text
    assert console.get(path(doomed)).status == 404


def test_the_default_group_is_not_deleted_and_the_page_says_what_to_do(world, console, group):
    page = console.get(path(group, "delete"))
    assert "먼저 설정에서 다른 그룹이나 채널을 기본값으로 정하세요" in page.words
    assert "typed_name" not in page.text
    assert console.post(path(group, "delete"), typed_name=group.current.name).status == 409
    assert group.group_id in routing(world).groups


# --- history ------------------------------------------------------------------------------------------------------


def test_the_history_tells_who_changed_what_when(world, console, group, three):
    world.clock.advance(minutes=1)
    console.post(path(group), seen(group, act="save", **rows((three["tosspayments"], 25), (three["nice_v2"], 75))))
    world.clock.advance(minutes=1)
    reserve(world, group, [(three["html5_inicis"], 100)])
    page = console.get(path(group, "history"))
    text = page.words
    assert text.index("버전 3") < text.index("버전 2") < text.index("버전 1")
    assert "60 % → 25 %" in text
    assert f"operator@{world.merchant_id}.kr" in text
    assert text.index("예약됨") < text.index("적용 중") < text.index("버전 1")
    assert "버전 2과 비교" in text or "버전 2" in text


def test_a_reserved_version_is_compared_with_what_was_in_force(world, console, group, three):
    """And so is one that was saved while it waited."""
    world.clock.advance(minutes=1)
    reserve(world, group, [(three["html5_inicis"], 100)])
    world.clock.advance(minutes=1)
    save(world, group, [(three["tosspayments"], 55), (three["nice_v2"], 45)])
    assert "60 % → 55 %" in console.get(path(group, "history")).words


def test_rolling_back_shows_what_changes_and_makes_a_new_version(world, console, group, three):
    save(world, group, [(three["tosspayments"], 1), (three["nice_v2"], 99)])
    page = console.get(path(group, "roll-back"), version=1)
    assert "1 % → 60 %" in page.words
    fields = fields_of(page)
    world.clock.advance(seconds=1)
    done = console.follow(console.post(path(group, "roll-back"), fields))
    assert "저장했습니다" in done.words
    now = group_now(world, group)
    assert (now.current.number, shares(now.current)) == (3, shares(group.current))
    assert trail(world, group)[0].action == "group.rolled_back"
    assert "버전 1로 되돌림" in console.get(path(group, "history")).words


def test_rolling_back_at_an_hour(world, console, group, three):
    save(world, group, [(three["nice_v2"], 100)])
    fields = fields_of(console.get(path(group, "roll-back"), version=1))
    at = at_hour(world)
    page = console.post(path(group, "roll-back"), {**fields, **hour_fields(at), "when": "later"})
    assert page.status == 303
    assert shares(group_now(world, group).reserved) == shares(group.current)
    assert group_now(world, group).reserved.effective_at == at


def test_rolling_back_is_refused_if_the_group_moved_on_or_the_version_is_unknown(world, console, group, three):
    save(world, group, [(three["nice_v2"], 100)])
    fields = fields_of(console.get(path(group, "roll-back"), version=1))
    save(world, group, [(three["html5_inicis"], 100)])
    page = console.post(path(group, "roll-back"), fields)
    assert page.status == 409
    assert "그 사이에 그룹이 변경되어" in page.words
    assert shares(group_now(world, group).current) == [(three["html5_inicis"], 100, True)]
    for number in ("77", "x", "", "9" * 30):
        assert console.get(path(group, "roll-back"), version=number).status == 404
        assert console.post(path(group, "roll-back"), {**fields, "version": number}).status == 404


def test_a_version_with_a_deleted_channel_cannot_be_rolled_back_to_and_the_page_says_so(world, console, group, three):
    from chalicelib.usecases import channels

    save(world, group, [(three["nice_v2"], 100)])
    channels.delete(world.deps, world.admin, three["tosspayments"])
    page = console.get(path(group, "roll-back"), version=1)
    assert "삭제된 채널이 있어 이 버전으로는 되돌릴 수 없습니다" in page.words
    assert "tosspayments" in page.words  # by its name still
    assert "삭제된 채널" in console.get(path(group, "history")).words


# --- super keys and shares ----------------------------------------------------------------------------------------


def test_coverage_says_what_to_do_when_a_weight_cannot_be_reached(world, console, group, three):
    """60 % asked for a channel that a tenth of the keys holds."""
    toss, nice = three["tosspayments"], three["nice_v2"]
    super_keys(world, group, ([nice], 18), ([toss, nice], 2))
    page = console.get(path(group))
    real = Fraction(2, 20) * Fraction(60, 100)
    assert (
        f"tosspayments 채널은 빌링키 결제의 60.0 %를 맡아야 하지만 실제로는 {float(real) * 100:.1f} %만 맡습니다"
        in page.words
    )
    assert "슈퍼 빌링키 20개 중 2개만" in page.words
    assert "빌링키를 다시 발급하세요" in page.words


def test_keys_that_nobody_can_charge_are_said_aloud(world, console, three):
    made = world.group([(three["nice_v2"], 100), (three["tosspayments"], 0, False)], name="한쪽")
    super_keys(world, made, ([three["tosspayments"]], 4), ([three["nice_v2"]], 1))
    assert "빌링키 4개는 사용 중인 어느 채널에도 없어 결제할 수 없습니다" in console.get(path(made)).words


def test_without_keys_and_payments_the_page_says_how_to_begin(console, group):
    page = console.get(path(group))
    assert "이 그룹으로 발급된 슈퍼 빌링키가 없습니다" in page.words
    assert "최근 7일 동안 이 그룹을 지난 결제가 없습니다" in page.words


@pytest.mark.gateways("tosspayments")
def test_shares_of_the_last_days_are_measured(world, console):
    made = world.group([(world.channel("tosspayments"), 100)])
    for n in range(3):
        charges.charge_card(world.deps, world.merchant_id, request(f"order-{n}"), CARD, Target(group_id=made.group_id))
    assert "비율에 따라 채널이 정해진 결제 3건" in console.get(path(made)).words


def test_a_page_costs_few_reads(world, console, group, three):
    super_keys(world, group, ([three["nice_v2"]], 3))
    before = len(world.store.calls)
    console.get(path(group))
    assert len(world.store.calls) - before <= 8


# --- simulator ----------------------------------------------------------------------------------------------------


def simulated(console, group, fields, **more):
    """The simulator's part of the editor with these entries, nothing saved."""
    given = {
        **seen(group),
        **fields,
        "act": "simulate",
        "part": "outcome",
        "try_kind": "card",
        "try_amount": "8900",
        "try_currency": "KRW",
        "try_merchant_uid": "order-1",
        **more,
    }
    page = console.post(path(group), given)
    assert page.status == 200
    return page.words


def test_the_editor_simulates_what_is_typed_before_it_is_saved(world, console, group, three):
    entries = rows((three["tosspayments"], 20), (three["nice_v2"], 60), (three["html5_inicis"], 20, False))
    text = simulated(console, group, entries, try_birth="1", try_pwd_2digit="1", try_name="1", try_buyer_name="1")
    assert "75.0 %" in text  # 60 of 80
    assert "비활성화된 채널입니다" in text
    assert "60 % → 20 %" in text  # what saving would change
    assert group_now(world, group) == group


def test_the_simulator_tells_why_a_channel_is_left_out(console, group, three):
    entries = rows((three["tosspayments"], 60), (three["nice_v2"], 40))
    text = simulated(console, group, entries, try_amount="10.50", try_currency="USD", try_birth="1")
    assert "currency" in text
    assert "결제할 수 없습니다" in text


def test_the_simulator_takes_channels_that_are_down_into_account(world, console, group, three):
    down = ChannelHealth(HealthState.DOWN, 3, world.clock.now(), 1, world.clock.now(), "timeout")
    world.store.commit(Health(world.merchant_id, {three["tosspayments"]: down}))
    text = simulated(
        console, group, rows((three["tosspayments"], 60), (three["nice_v2"], 40)), try_birth="1", try_pwd_2digit="1"
    )
    assert "장애가 감지되어 제외된 채널입니다" in text
    assert "100.0 %" in text


def test_the_simulator_over_all_super_keys(world, console, group, three):
    toss, nice = three["tosspayments"], three["nice_v2"]
    super_keys(world, group, ([nice], 18), ([toss, nice], 2))
    text = simulated(
        console, group, rows((toss, 60), (nice, 40)), try_kind="key", try_keys="all", try_name="1", try_buyer_name="1"
    )
    assert "6.0 %" in text
    assert "슈퍼 빌링키 20개가 한 번씩" in text
    text = simulated(
        console,
        group,
        rows((toss, 60), (nice, 40)),
        **{"try_kind": "key", "try_keys": "held", f"try_held_{toss}": "1", "try_name": "1"},
    )
    assert "100.0 %" in text
    text = simulated(
        console,
        group,
        rows((toss, 60), (nice, 40)),
        try_kind="key",
        try_keys="customer",
        try_customer_uid="customer-20",
        try_name="1",
    )
    assert "60.0 %" in text
    text = simulated(
        console, group, rows((toss, 60), (nice, 40)), try_kind="key", try_keys="customer", try_customer_uid="nobody"
    )
    assert "등록되지 않은 구매자" in text


def test_the_simulator_of_a_window(console, group, three):
    text = simulated(
        console,
        group,
        rows((three["tosspayments"], 60), (three["nice_v2"], 40)),
        try_kind="window",
        try_pay_method="paypal",
        try_name="1",
    )
    assert "paypal 결제를 지원하지 않습니다" in text
    fields = dict.fromkeys(("try_name", "try_buyer_name", "try_buyer_tel", "try_buyer_email"), "1")
    text = simulated(
        console,
        group,
        rows((three["tosspayments"], 60), (three["nice_v2"], 40)),
        try_kind="window",
        try_pay_method="card",
        **fields,
    )
    assert "60.0 %" in text


def test_who_takes_over_is_shown_where_the_group_fails_over(console, group, three):
    entries = rows((three["tosspayments"], 60), (three["nice_v2"], 40))
    with_failover = simulated(console, group, {**entries, "failover": "declined"}, try_birth="1", try_pwd_2digit="1")
    assert "nice_v2 100.0 %" in with_failover
    without = simulated(console, group, {**entries, "failover": "off"}, try_birth="1", try_pwd_2digit="1")
    assert "이어받을 채널이 없습니다" in without


def test_a_draft_that_does_not_add_up_is_told_in_the_simulators_place(console, group, three):
    assert "합은 100이어야 합니다" in simulated(console, group, rows((three["tosspayments"], 60)))


def test_the_simulators_own_page_is_about_what_is_saved(world, group, three):
    """Its address can be passed on, also to who may change nothing."""
    reserve(world, group, [(three["nice_v2"], 100)])
    viewer = Console(world, Role.VIEWER)
    asked = {
        "try_kind": "card",
        "try_birth": 1,
        "try_pwd_2digit": 1,
        "try_amount": "8900",
        "try_currency": "KRW",
        "try_merchant_uid": "a",
    }
    assert "60.0 %" in viewer.get(path(group, "simulator"), **asked).words
    reserved = viewer.get(path(group, "simulator"), **asked, try_version="reserved")
    assert "100.0 %" in reserved.words
    assert "60.0 %" not in reserved.words
    before = dict(world.store.items)
    for junk in (
        {"try_kind": "x"},
        {"try_kind": "card", "try_amount": "-1"},
        {"try_kind": "window", "try_pay_method": "x", "try_currency": "?"},
    ):
        assert viewer.get(path(group, "simulator"), **junk).status == 200
    changed = {key for key in world.store.items if world.store.items[key] != before.get(key)}
    assert not changed


def test_reasons_are_told_one_by_one():
    text = "birth: 필수 값입니다. (required) amount: 최소 결제금액은 100원입니다. (below the minimum)"
    assert split(text) == [
        "birth: 필수 값입니다. (required)",
        "amount: 최소 결제금액은 100원입니다. (below the minimum)",
    ]
    assert split("비활성화된 채널입니다. (disabled)") == ["비활성화된 채널입니다. (disabled)"]
