"""The page of changes: who changed what, when, and how it was before."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.api.console import pages, payment_words, schedules
from chalicelib.api.console.visits import Html, Visit, step, view
from chalicelib.domain.accounts import Audit, Role
from chalicelib.domain.group_changes import Change, ChangeKind, diff
from chalicelib.domain.groups import GroupEntry
from chalicelib.usecases import accounts, admin_tokens, audit

PAGE = 30
_LONGEST_VALUE = 300
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
"""How entries hold a time."""

ACTIONS: Mapping[str, tuple[str, str]] = {
    **payment_words.ACTIONS,
    **schedules.ACTIONS,
    "channel.created": ("채널 추가", "added a channel"),
    "channel.saved": ("채널 수정", "changed a channel"),
    "channel.credentials_rotated": ("채널 인증 정보 교체", "changed a channel's credentials"),
    "channel.brought_back": ("장애 채널 복귀", "brought a channel back that was down"),
    "channel.deleted": ("채널 삭제", "deleted a channel"),
    "group.created": ("채널 그룹 추가", "added a channel group"),
    "group.saved": ("채널 그룹 변경", "changed a channel group"),
    "group.reserved": ("채널 그룹 변경 예약", "reserved a change of a channel group"),
    "group.rolled_back": ("채널 그룹 되돌림", "rolled a channel group back"),
    "group.reservation_dropped": ("예약된 변경 취소", "dropped a reserved change"),
    "group.deleted": ("채널 그룹 삭제", "deleted a channel group"),
    "settings.saved": ("설정 변경", "changed the settings"),
    "settings.webhook_secret_rotated": ("웹훅 서명 비밀키 교체", "rotated the webhook secret"),
    "person.invited": ("사용자 초대", "invited a person"),
    "person.joined": ("초대 수락", "accepted an invitation"),
    "person.reset": ("새 초대 링크", "made a new invitation"),
    "person.signed_in": ("로그인", "signed in"),
    "person.signed_out": ("로그아웃", "signed out"),
    "person.locked_out": ("로그인 잠김", "was locked out"),
    "person.password_changed": ("비밀번호 변경", "changed the password"),
    "person.role_changed": ("역할 변경", "changed a role"),
    "person.disabled": ("사용 중지", "disabled a person"),
    "person.enabled": ("다시 사용", "enabled a person"),
    "person.removed": ("사용자 삭제", "removed a person"),
    "session.revoked": ("세션 종료", "ended a session"),
    "sessions.revoked": ("모든 세션 종료", "ended all sessions"),
    "admin_token.created": ("관리자 토큰 생성", "made an admin token"),
    "admin_token.revoked": ("관리자 토큰 폐기", "revoked an admin token"),
}

NAMES: Mapping[str, tuple[str, str]] = {
    "name": ("이름", "name"),
    "pg_provider": ("PG사", "gateway"),
    "pg_id": ("MID", "MID"),
    "environment": ("환경", "environment"),
    "options": ("추가 계약", "options"),
    "created_at": ("만든 시각", "created"),
    "default": ("기본 그룹·채널", "default"),
    "live_webhook_url": ("실연동 웹훅 URL", "live webhook URL"),
    "test_webhook_url": ("테스트 웹훅 URL", "test webhook URL"),
    "webhook_content_type": ("웹훅 본문 형식", "webhook content type"),
    "live_page_origins": ("실연동 도메인", "live pages"),
    "test_page_origins": ("테스트 도메인", "test pages"),
    "email": ("이메일", "e-mail"),
    "role": ("역할", "role"),
    "disabled": ("사용 중지", "disabled"),
    "source_ip": ("IP", "IP"),
    "user_agent": ("브라우저", "browser"),
    "failures": ("실패 횟수", "failures"),
    "seconds": ("잠긴 시간(초)", "locked for (s)"),
    "reason": ("사유", "reason"),
    "state": ("상태", "state"),
    "status": ("상태", "status"),
    "outcome": ("결과", "outcome"),
    "amount": ("금액", "amount"),
    "tries": ("시도 횟수", "tries"),
    "alarm": ("알림", "alarm"),
    "balance": ("취소 전 잔액", "balance before"),
    "currency": ("통화", "currency"),
    "schedule_at": ("예약 시각", "scheduled for"),
    "webhook_id": ("웹훅 번호", "webhook"),
    "pg_tid": ("PG 거래번호", "transaction id"),
    "content_of": ("되돌린 버전", "content of version"),
    "begin_at": ("적용 시각", "begins"),
}
WORDS: Mapping[str, tuple[str, str]] = {
    "live": ("실연동", "live"),
    "test": ("테스트", "test"),
    "owner": ("소유자", "owner"),
    "operator": ("운영자", "operator"),
    "viewer": ("조회자", "viewer"),
    "off": ("다시 시도하지 않음", "never"),
    "unsent": ("PG사에 닿지 못한 결제만", "only what was not sent"),
    "declined": ("PG사에 닿지 못했거나 PG사 사정으로 거절된 결제", "what was not sent, or declined"),
}
"""Of roles, environments and failover."""
FIXED: Mapping[str, tuple[tuple[str, str], str]] = {
    "settings": (("설정", "settings"), "settings"),
    "people": (("사용자", "people"), "people"),
    "admin_tokens": (("관리자 토큰", "admin tokens"), "settings"),
}
"""Subjects that are no id: their names, and the pages that show them."""
HIDDEN = frozenset({"channel_key", "saved_at", "saved_by", "session_id", "token_id"})
"""Ids, and what the entry itself says."""
WHEREABOUTS = frozenset({"source_ip", "user_agent"})
"""Of a person: for themselves and for owners, as on the pages of sessions."""

GROUP_KINDS: Mapping[ChangeKind, tuple[str, str]] = {
    ChangeKind.NAME: ("이름", "name"),
    ChangeKind.FAILOVER: ("자동 전환", "failover"),
    ChangeKind.ADDED: ("채널 추가", "channel added"),
    ChangeKind.REMOVED: ("채널 제외", "channel taken out"),
    ChangeKind.WEIGHT: ("비율", "weight"),
    ChangeKind.ENABLED: ("사용", "enabled"),
    ChangeKind.ORDER: ("순서", "order"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is different. before, after: None if there was, or is, nothing."""

    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """subject: its name for people; path: of its page, if it has one."""

    audit: Audit
    action: str
    subject: str
    path: str | None
    lines: tuple[Line, ...]


@view("GET", "audit", Role.VIEWER)
def page(visit: Visit) -> Html:
    subject, by = visit.query.get("subject", ""), visit.query.get("by", "")
    cursor = visit.query.get("cursor") or None
    found = audit.trail(visit.deps, visit.merchant_id, subject=subject, by=by, limit=PAGE, cursor=cursor)
    given = {
        "entries": [_entry(visit, entry) for entry in found.items],
        "cursor": found.cursor,
        "subject": subject,
        "by": by,
        "subjects": _subjects(visit),
        "actors": _actors(visit),
        "is_first": cursor is None,
    }
    return Html("audit.html", given)


def _subjects(visit: Visit) -> list[tuple[str, str]]:
    routing, now = visit.who.routing, visit.deps.clock.now()
    fixed = [("", visit.say("모든 대상", "everything")), *((key, visit.say(*FIXED[key][0])) for key in FIXED)]
    groups = sorted((group.at(now).name, key) for key, group in routing.groups.items())
    channels = sorted((channel.name, key) for key, channel in routing.channels.items())
    named = [(key, f"{visit.say('그룹', 'group')} · {name}") for name, key in groups]
    return [*fixed, *named, *((key, f"{visit.say('채널', 'channel')} · {name}") for name, key in channels)]


def _actors(visit: Visit) -> list[str]:
    """Who may have changed something; others, who are gone, can still be typed in."""
    people = [user.email for user in accounts.people(visit.deps, visit.operator)]
    return sorted({*people, *(token.name for token in admin_tokens.tokens(visit.deps, visit.operator))})


def _entry(visit: Visit, entry: Audit) -> Entry:
    subject, path = _subject(visit, entry)
    action = visit.say(*ACTIONS.get(entry.action, (entry.action, entry.action)))
    return Entry(entry, action, subject, path, tuple(_lines(visit, entry)))


def _subject(visit: Visit, entry: Audit) -> tuple[str, str | None]:
    """What an entry is about, and where that is shown."""
    routing, subject = visit.who.routing, entry.subject
    if subject in FIXED:
        words, page = FIXED[subject]
        return visit.say(*words), page
    if subject in routing.channels:
        return routing.channels[subject].name, f"channels/{step(subject)}"
    if subject in routing.groups:
        return routing.groups[subject].at(visit.deps.clock.now()).name, f"groups/{step(subject)}"
    if subject.startswith("imp_"):
        return subject, f"payments/{step(subject)}"
    if subject.startswith(schedules.SUBJECT):
        uid = subject.removeprefix(schedules.SUBJECT)
        return uid, f"schedules/order?merchant_uid={step(uid)}"
    shown = entry.after or entry.before or {}
    name = shown.get("name")
    return (f"{name} ({visit.say('삭제됨', 'deleted')})" if isinstance(name, str) else subject), None


# --- what is different -----------------------------------------------------------------------------------------------


def _lines(visit: Visit, entry: Audit) -> list[Line]:
    if entry.action.startswith("group."):
        return _group_lines(visit, entry)
    before, after = entry.before or {}, entry.after or {}
    found = []
    for name in dict.fromkeys((*before, *after)):
        if name in HIDDEN or before.get(name) == after.get(name) or _goes_without_saying(name, entry):
            continue
        if name in WHEREABOUTS and not (visit.may(Role.OWNER) or entry.by == visit.operator.name):
            continue
        what = visit.say(*NAMES.get(name, (name, name)))
        line = Line(what, _value(visit, before.get(name)), _value(visit, after.get(name)))
        if line.before or line.after:
            found.append(line)
    return found


def _goes_without_saying(name: str, entry: Audit) -> bool:
    """The entry's own time says when something was made; and nothing is made switched off."""
    only = (entry.after or {}) if entry.before is None else entry.before if entry.after is None else None
    return only is not None and (name == "created_at" or only.get(name) is False)


def _value(visit: Visit, value: Any) -> str | None:
    if value is None or value in ("", [], ()):
        return None
    if isinstance(value, bool):
        return visit.say("예", "yes") if value else visit.say("아니요", "no")
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)[:_LONGEST_VALUE]
    if isinstance(value, str) and value in WORDS:
        return visit.say(*WORDS[value])
    if isinstance(value, str) and (value in visit.who.routing.channels or value in visit.who.routing.groups):
        return _name_of(visit, value)
    if isinstance(value, str) and INSTANT.fullmatch(value):
        return pages.when(datetime.fromisoformat(value))
    return str(value)[:_LONGEST_VALUE]


def _group_lines(visit: Visit, entry: Audit) -> list[Line]:
    changes = [_group_line(visit, change) for change in diff(entry.before, entry.after)]
    if entry.after and (number := entry.after.get("content_of")):
        changes.append(Line(visit.say("되돌린 버전", "content of version"), None, str(number)))
    return changes


def _group_line(visit: Visit, change: Change) -> Line:
    what = visit.say(*GROUP_KINDS[change.kind])
    if change.channel_key:
        what = f"{_name_of(visit, change.channel_key)} · {what}"
    return Line(what, _side(visit, change, change.before), _side(visit, change, change.after))


def _side(visit: Visit, change: Change, value: Any) -> str | None:
    match value:
        case GroupEntry():
            off = "" if value.enabled else f" ({visit.say('사용 안 함', 'off')})"
            return f"{value.weight} %{off}"
        case tuple():
            return " → ".join(_name_of(visit, key) for key in value)
        case int() if change.kind is ChangeKind.WEIGHT:
            return f"{value} %"
    return _value(visit, value)


def _name_of(visit: Visit, key: str) -> str:
    routing = visit.who.routing
    if key in routing.channels:
        return routing.channels[key].name
    return routing.groups[key].at(visit.deps.clock.now()).name if key in routing.groups else key
