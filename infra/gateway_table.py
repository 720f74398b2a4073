"""The tables of gateways, made from what each adapter declares.

    python -m infra.gateway_table            writes them into README*.md and docs/payment-window*.md
    python -m infra.gateway_table --check    says whether they are up to date

Each stands between two comment lines: MARKS, WINDOW_MARKS.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from chalicelib.container import SystemClock
from chalicelib.domain.charging import Operation
from chalicelib.domain.specs import GatewaySpec, OrderIdScope
from chalicelib.domain.windows import PayMethod
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import ADAPTERS, Registry

ROOT = Path(__file__).parents[1]
FILES = {"en": ROOT / "README.md", "ko": ROOT / "README.ko.md"}
WINDOW_FILES = {"en": ROOT / "docs" / "payment-window.md", "ko": ROOT / "docs" / "payment-window.ko.md"}
MARKS = ("<!-- gateways: made by infra/gateway_table.py -->", "<!-- end of gateways -->")
WINDOW_MARKS = ("<!-- windows: made by infra/gateway_table.py -->", "<!-- end of windows -->")

COLUMNS: Mapping[str, Sequence[str]] = {
    "en": (
        "gateway", "`pg_provider`", "card", "issue key", "charge key", "delete key", "cancel", "partial",
        "ask by order id", "a lost reply is settled by", "repeated order id", "currencies", "test access",
    ),
    "ko": (
        "PG", "`pg_provider`", "키인", "빌키 발급", "빌키 결제", "빌키 삭제", "취소", "부분취소", "주문번호 조회",
        "응답 유실 시", "같은 주문번호", "통화", "테스트 환경",
    ),
}  # fmt: skip

OPERATIONS = (
    Operation.CHARGE_CARD, Operation.ISSUE_BILLING_KEY, Operation.CHARGE_BILLING_KEY, Operation.DELETE_BILLING_KEY,
    Operation.CANCEL, Operation.PARTIAL_CANCEL, Operation.FIND,
)  # fmt: skip

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "query": "query", "undo": "undoing it", "person": "a person", "option": ", query by contract",
        "again": "first answer again for {time}", "forever": "refused", "day": "refused for a day",
        "none": "charged again", "public": "public", "contract": "by contract", "with a charge": "with a charge",
        "more": " and {n} more",
        "legend": "✓ documented · ~ partly recalled or inferred · ◇ by an extra contract (an option of the channel) · "
        "+ beyond what PortOne offers there · – not at this gateway",
        "window legend": "✓ documented · ~ partly recalled or inferred · – not in this gateway's window",
    },
    "ko": {
        "query": "조회", "undo": "망취소", "person": "담당자 확인", "option": ", 계약 시 조회",
        "again": "{time} 동안 첫 응답 반복", "forever": "거절", "day": "당일 거절", "none": "중복 승인 가능",
        "public": "공개", "contract": "계약 후", "with a charge": "첫 결제와 함께", "more": " 외 {n}개",
        "legend": "✓ 문서로 확인 · ~ 일부는 기억이나 추정 · ◇ 별도 계약 (채널 옵션) · + 포트원에는 없는 확장 · – 없음",
        "window legend": "✓ 문서로 확인 · ~ 일부는 기억이나 추정 · – 없음",
    },
}  # fmt: skip
SHOWN_CURRENCIES = 2


def render(language: str) -> str:
    """The table, with the words under it."""
    registry = Registry(HttpClient(), SystemClock())
    columns, words = COLUMNS[language], WORDS[language]
    specs = [registry.spec(provider) for provider in ADAPTERS]
    rows = [_row(spec, spec.english if language == "en" else spec.label, words) for spec in specs]
    lines = [columns, ["---"] * len(columns), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{table}\n\n{words['legend']}"


def render_windows(language: str) -> str:
    """Which methods can be paid in which gateway's window, with the words under it."""
    registry = Registry(HttpClient(), SystemClock())
    methods = list(PayMethod)
    lines = [[COLUMNS[language][0], *(f"`{method}`" for method in methods)], ["---"] * (len(methods) + 1)]
    for spec in map(registry.spec, ADAPTERS):
        if rules := spec.windows:
            name = spec.english if language == "en" else spec.label
            marks = ["–" if m not in rules.methods else "~" if m in rules.recalled else "✓" for m in methods]
            lines.append([f"[{name}](gateways/{spec.provider}.md)", *marks])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{table}\n\n{WORDS[language]['window legend']}"


def _row(spec: GatewaySpec, name: str, words: Mapping[str, str]) -> list[str]:
    return [
        f"[{name}](docs/gateways/{spec.provider}.md)",
        f"`{spec.provider}`",
        *(_mark(spec, operation, words) for operation in OPERATIONS),
        _settled_by(spec, words),
        _repeated(spec, words),
        _currencies(spec, words),
        words[spec.test_access.value],
    ]


def _mark(spec: GatewaySpec, operation: Operation, words: Mapping[str, str]) -> str:
    widest = spec.under([field.name for field in spec.credentials])
    if operation not in widest.operations:
        by_charge = operation is Operation.ISSUE_BILLING_KEY and Operation.KEY_BY_CHARGE in spec.operations
        return words["with a charge"] if by_charge else "–"
    mark = "~" if operation in spec.recalled else "✓"
    if operation is Operation.FIND and spec.find_window:
        mark += f" {_length(spec.find_window)}"
    return mark + ("+" if operation in spec.beyond_v1 else "") + ("◇" if operation not in spec.operations else "")


def _settled_by(spec: GatewaySpec, words: Mapping[str, str]) -> str:
    if Operation.FIND in spec.operations:
        return words["query"]
    if spec.net_cancel_window:
        return words["undo"]
    asked_by_contract = any(Operation.FIND in field.adds for field in spec.credentials)
    return words["person"] + (words["option"] if asked_by_contract else "")


def _repeated(spec: GatewaySpec, words: Mapping[str, str]) -> str:
    answered = words["again"].format(time=_length(spec.idempotent_for)) if spec.idempotent_for else ""
    if spec.order_id_scope is OrderIdScope.NONE and answered:
        return answered
    return words[spec.order_id_scope.value]


def _currencies(spec: GatewaySpec, words: Mapping[str, str]) -> str:
    first: Callable[[str], tuple[bool, bool, str]] = lambda code: (code != "KRW", code != "USD", code)  # noqa: E731
    codes = sorted(spec.currencies, key=first)
    hidden = len(codes) - SHOWN_CURRENCIES
    return " ".join(codes[:SHOWN_CURRENCIES]) + (words["more"].format(n=hidden) if hidden > 0 else "")


def _length(window: timedelta) -> str:
    return f"{window.days} d" if window >= timedelta(days=1) else f"{window.total_seconds() / 3600:g} h"


def inserted(text: str, table: str, marks: tuple[str, str] = MARKS) -> str:
    """The page's text with the table in its place. Raises ValueError if it has no place."""
    first, last = (re.escape(mark) for mark in marks)
    place = f"({first}\n).*?(\n{last})"
    found, count = re.subn(place, lambda match: f"{match[1]}\n{table}\n{match[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{marks[0]} is needed once")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    check = parser.parse_args().check
    stale = []
    wanted = [(path, render(language), MARKS) for language, path in FILES.items()]
    wanted += [(path, render_windows(language), WINDOW_MARKS) for language, path in WINDOW_FILES.items()]
    for path, table, marks in wanted:
        before = path.read_text(encoding="utf-8")
        after = inserted(before, table, marks)
        if after != before:
            stale.append(path.name)
            if not check:
                path.write_text(after, encoding="utf-8")
    if stale:
        print(f"{'out of date' if check else 'written'}: {', '.join(stale)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
