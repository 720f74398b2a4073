"""Settings in the console: defaults, the shop's pages, keys, and admin tokens."""

import re

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Role
from chalicelib.usecases import admin_tokens, merchants
from tests.support.api import Api
from tests.support.console import Console


@pytest.fixture
def console(world):
    yield Console(world, Role.OWNER)
    container.install(None)


def settings(world):
    return merchants.settings(world.deps, world.merchant_id)


def save(console, **fields):
    seen = re.search(r'name="seen" value="(\w+)"', console.get("settings").text)[1]
    given = {"seen": seen, "default": "", "live_page_origins": "", "test_page_origins": ""}
    return console.post("settings", {**given, **fields})


def test_defaults_are_chosen_and_kept(world, console):
    group = world.two_gateways(default=False)
    world.webhook_url("https://shop.kr/hook")
    page = save(console, default=group.group_id, live_page_origins="https://shop.kr\r\n\r\n https://m.shop.kr ")
    assert page.location == "/console/settings?done=saved"
    stored = settings(world)
    assert stored.default == group.group_id
    assert stored.live_page_origins == ("https://shop.kr", "https://m.shop.kr")
    assert stored.test_webhook_url == "https://shop.kr/hook"
    shown = console.get("settings")
    assert f'<option value="{group.group_id}" selected>' in shown.text
    assert "https://shop.kr\nhttps://m.shop.kr</textarea>" in shown.text


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"live_page_origins": "https://shop.kr/path"}, "live_page_origins"),
        ({"live_page_origins": "https://a.kr", "test_page_origins": "https://a.kr"}, "test_page_origins"),
        ({"default": "channel-group-none"}, "f-default"),
        ({"test_page_origins": "\n".join(f"https://a{n}.kr" for n in range(51))}, "test_page_origins"),
    ],
)
def test_what_does_not_serve_is_named_and_kept_in_the_form(world, console, fields, told):
    page = save(console, **fields)
    assert page.status == 400
    assert re.search(rf'id="{told}"[^>]*aria-invalid="true"', page.text)
    assert all(value.splitlines()[0] in page.text for value in fields.values() if value.startswith("https"))
    assert settings(world).live_page_origins == ()


def test_who_saves_does_not_undo_what_another_saved_meanwhile(world, console):
    group = world.two_gateways(default=False)
    old = re.search(r'name="seen" value="(\w+)"', console.get("settings").text)[1]
    assert save(console, default=group.group_id).status == 303
    page = save(console, seen=old, default="")
    assert page.status == 409
    assert settings(world).default == group.group_id
    world.webhook_url("https://shop.kr/hook")  # another form's business
    assert save(console, default="").status == 303


def test_what_servers_need_is_shown_but_no_secret(world, console):
    page = console.get("settings")
    assert world.merchant.imp_key in page.text
    assert world.merchant_id in page.text
    assert world.merchant.imp_secret not in page.text
    assert world.merchant.admin_token not in page.text


def test_others_see_the_settings_and_no_form(world):
    group = world.two_gateways()
    for role in (Role.VIEWER, Role.OPERATOR):
        page = Console(world, role).get("settings")
        assert "default (테스트 그룹)" in page.words
        assert "소유자만" in page.words
        assert f'action="{"/console/settings"}"' not in page.text
        assert f'value="{group.group_id}"' not in page.text
    container.install(None)


# --- admin tokens ------------------------------------------------------------------------------------------------------


def made(console, name="배포 서버"):
    page = console.post("tokens", token_name=name)
    assert page.status == 200, page.words
    return re.search(r"admin_[\w-]{40,}", page.text)[0]


def test_a_token_is_shown_once_and_works(world, console):
    token = made(console)
    assert Api(world.deps, admin_token=token).get("/admin/channels")[0] == 200
    assert token not in world.store.texts()
    for path in ("settings", "audit"):
        page = console.get(path)
        assert token not in page.text
        assert "배포 서버" in page.words
    assert console.get("settings").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_token_has_a_name(world, console, name):
    page = console.post("tokens", token_name=name)
    assert page.status == 400
    assert "1~80자" in page.words
    assert len(admin_tokens.tokens(world.deps, world.admin)) == 1


def test_a_token_is_revoked_after_a_question(world, console):
    token = made(console)
    [entry] = [t for t in admin_tokens.tokens(world.deps, world.admin) if t.name == "배포 서버"]
    asked = console.get(f"tokens/{entry.token_id}")
    assert "배포 서버" in asked.words
    assert Api(world.deps, admin_token=token).get("/admin/channels")[0] == 200
    gone = console.post(f"tokens/{entry.token_id}")
    assert gone.location == "/console/settings?done=token_revoked"
    assert Api(world.deps, admin_token=token).get("/admin/channels")[0] == 401
    assert console.post(f"tokens/{entry.token_id}").status == 404
