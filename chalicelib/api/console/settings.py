"""The page of settings: defaults, the shop's pages, the keys of its API, and admin tokens."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chalicelib.api import schemas
from chalicelib.api.console.dispatch import status_of
from chalicelib.api.console.signing_in import confirm_password
from chalicelib.api.console.visits import DONE, Html, Redirect, Visit, problem_of, view
from chalicelib.domain.accounts import AdminToken, Role
from chalicelib.domain.errors import NotFound, Refused, RouterError
from chalicelib.ports import Conflict
from chalicelib.usecases import admin_tokens, merchants
from chalicelib.usecases.merchants import Settings

DONE |= {
    "token_revoked": (
        "토큰을 폐기했습니다. 이 토큰을 쓰는 프로그램은 지금부터 거절됩니다.",
        "The token is revoked: whoever uses it is refused from now on.",
    ),
}

FIELDS = ("default", "live_page_origins", "test_page_origins")
ORIGINS = ("live_page_origins", "test_page_origins")
_LONGEST_LIST = 20_000


def mark(stored: Settings, fields: Sequence[str]) -> str:
    """Of what a form was made from, so that it does not undo what somebody else has saved meanwhile."""
    shown = json.dumps([getattr(stored, name) for name in fields])
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def refuse_if_moved_on(visit: Visit, stored: Settings, fields: Sequence[str]) -> None:
    """Raises Refused if somebody else has saved since the form was shown."""
    if visit.text("seen") != mark(stored, fields):
        raise Refused(
            "그 사이에 다른 사람이 설정을 바꾸어 저장하지 않았습니다. 지금 저장된 값을 확인한 뒤 다시 저장해 주세요. "
            "(somebody else has saved meanwhile: look at the present values, and save again)"
        )


@view("GET", "settings", Role.VIEWER)
def page(visit: Visit) -> Html:
    return _page(visit)


def _page(visit: Visit, error: Exception | None = None, **more: Any) -> Html:
    stored = merchants.settings(visit.deps, visit.merchant_id)
    given = {
        "stored": stored,
        "seen": mark(stored, FIELDS),
        "default": stored.default or "",
        "origins": {name: "\n".join(getattr(stored, name)) for name in ORIGINS},
        "targets": _targets(visit),
        "default_name": _target_name(visit, stored.default),
        "user_code": visit.merchant_id,
        "imp_keys": merchants.imp_keys(visit.deps, visit.merchant_id),
        "api": f"{visit.origin}{visit.root}",
        "tokens": admin_tokens.tokens(visit.deps, visit.operator),
        "made": None,
        "token_name": "",
        **more,
    }
    if error is None:
        return Html("settings.html", given)
    return Html("settings.html", given, status_of(error), problem_of(error))


def _targets(visit: Visit) -> list[tuple[str, str]]:
    """What a request can be sent to that names nothing: (id, name), with its environment."""
    routing, now = visit.who.routing, visit.deps.clock.now()
    group, channel = visit.say("그룹", "group"), visit.say("채널", "channel")
    groups = [(g.environment, group, g.at(now).name, g.group_id) for g in routing.groups.values()]
    channels = [(c.environment, channel, c.name, c.channel_key) for c in routing.channels.values()]
    words = {"live": visit.say("실연동", "live"), "test": visit.say("테스트", "test")}
    listed = sorted(groups, key=lambda row: (row[0], row[2])) + sorted(channels, key=lambda row: (row[0], row[2]))
    none = ("", visit.say("없음 — 요청이 채널이나 그룹을 지정해야 합니다", "none: requests have to name one"))
    return [none, *((key, f"{name} ({words[environment]} {kind})") for environment, kind, name, key in listed)]


def _target_name(visit: Visit, target: str | None) -> str:
    return dict(_targets(visit)).get(target or "", target or "")


@view("POST", "settings", Role.OWNER)
def save(visit: Visit) -> Html | Redirect:
    stored = merchants.settings(visit.deps, visit.merchant_id)
    typed = {name: visit.text(name, _LONGEST_LIST) for name in ORIGINS}
    lists = {name: [line.strip() for line in text.splitlines() if line.strip()] for name, text in typed.items()}
    try:
        refuse_if_moved_on(visit, stored, FIELDS)
        body = schemas.parse(schemas.SettingsBody, {"default": visit.text("default") or None, **lists})
        wanted = replace(stored, **{name: getattr(body, name) for name in FIELDS})
        merchants.save_settings(visit.deps, visit.operator, wanted)
    except (RouterError, Conflict) as error:
        return _page(visit, error, default=visit.text("default"), origins=typed)
    return Redirect("settings", done="saved")


# --- admin tokens --------------------------------------------------------------------------------------------------


@view("POST", "tokens", Role.OWNER)
def create_token(visit: Visit) -> Html:
    """The token is in this answer, and nowhere afterwards."""
    name = visit.text("token_name")
    try:
        confirm_password(visit)
        token, secret = admin_tokens.create(visit.deps, visit.operator, name)
    except (RouterError, Conflict) as error:
        return _page(visit, error, token_name=name)
    return Html("setting_token.html", {"token": token, "secret": secret})


@view("GET", "tokens/*", Role.OWNER)
def revoke_page(visit: Visit) -> Html:
    return Html("setting_token.html", {"token": _token(visit), "secret": None})


def _token(visit: Visit) -> AdminToken:
    for token in admin_tokens.tokens(visit.deps, visit.operator):
        if token.token_id == visit.steps[1]:
            return token
    raise NotFound(admin_tokens.UNKNOWN_TOKEN)


@view("POST", "tokens/*", Role.OWNER)
def revoke(visit: Visit) -> Redirect:
    admin_tokens.revoke(visit.deps, visit.operator, visit.steps[1])
    return Redirect("settings", done="token_revoked")
