"""What a gateway's `GatewaySpec` becomes in the console: what it can do in words, and the inputs of its credentials."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.api.console.visits import Visit
from chalicelib.domain.charging import Operation
from chalicelib.domain.specs import YES_OR_NO, CredentialField, GatewaySpec, TestAccess
from chalicelib.domain.windows import PayMethod

OPERATIONS: Mapping[Operation, tuple[str, str]] = {
    Operation.CHARGE_CARD: ("키인 결제", "key-in charges"),
    Operation.ISSUE_BILLING_KEY: ("빌링키 발급", "issuing billing keys"),
    Operation.KEY_BY_CHARGE: ("첫 결제로 빌링키 발급", "billing keys by a first charge"),
    Operation.CHARGE_BILLING_KEY: ("빌링키 결제", "charging billing keys"),
    Operation.PAY_IN_WINDOW: ("결제창", "payment window"),
    Operation.ISSUE_VIRTUAL_ACCOUNT: ("가상계좌 발급", "virtual accounts"),
    Operation.CASH_RECEIPT: ("현금영수증", "cash receipts"),
    Operation.CANCEL: ("취소", "cancels"),
    Operation.PARTIAL_CANCEL: ("부분취소", "partial cancels"),
    Operation.FIND: ("주문번호로 결제 조회", "finding a charge by its order"),
}
"""In the order in which people ask. The others make no difference to them."""

METHODS: Mapping[PayMethod, tuple[str, str]] = {
    PayMethod.CARD: ("카드", "card"),
    PayMethod.TRANS: ("계좌이체", "bank transfer"),
    PayMethod.VBANK: ("가상계좌", "virtual account"),
    PayMethod.PHONE: ("휴대폰", "phone bill"),
    PayMethod.PAYPAL: ("페이팔", "PayPal"),
}

TEST_ACCESS: Mapping[TestAccess, tuple[str, str]] = {
    TestAccess.PUBLIC: ("계약 없이 테스트할 수 있습니다", "Can be tried without a contract"),
    TestAccess.CONTRACT: ("테스트하려면 PG 계약이 필요합니다", "Needs a contract, also for tests"),
}

_SETS = {
    "[!-~]": ("영문·숫자·기호", "letters, digits, signs"),
    "[0-9A-Za-z]": ("영문·숫자", "letters, digits"),
    "[A-Za-z0-9]": ("영문·숫자", "letters, digits"),
    "[0-9A-Za-z_]": ("영문·숫자·_", "letters, digits, _"),
    "[A-Za-z0-9_]": ("영문·숫자·_", "letters, digits, _"),
    r"\d": ("숫자", "digits"),
}
_REPEATED = re.compile(r"(?P<set>.+?)\{(?P<low>\d+)(?:,(?P<high>\d+))?\}")
_LONGEST_HINTED = 100
"""A longer limit tells nobody what to look for."""


@dataclass(frozen=True, slots=True)
class Input:
    """One credential in a form. kind: text, password, lines (a file's text) or choice (Y, N). saved: it is set.

    value: what to show; always empty for a secret.
    """

    name: str
    label: str
    kind: str
    required: bool
    hint: str
    value: str = ""
    saved: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Ability:
    """optional: only with what a contract adds, by the fields named so."""

    text: str
    optional: str = ""


def inputs(visit: Visit, spec: GatewaySpec, shown: Mapping[str, str], saved: Iterable[str] = ()) -> Sequence[Input]:
    """shown: values of fields that are not secret. saved: names of secrets that there are already."""
    kept = frozenset(saved)
    return [_input(visit, field, shown.get(field.name, ""), is_saved=field.name in kept) for field in spec.credentials]


def _input(visit: Visit, field: CredentialField, value: str, *, is_saved: bool) -> Input:
    return Input(
        name=field.name,
        label=visit.say(field.label, field.name.replace("_", " ").capitalize()),
        kind=_kind(field),
        required=field.required and not is_saved,
        hint=_hint(visit, field, is_saved=is_saved),
        value="" if field.secret else value,
        saved=is_saved,
        secret=field.secret,
    )


def _kind(field: CredentialField) -> str:
    if field.pattern == YES_OR_NO:
        return "choice"
    if "-----BEGIN" in field.pattern:
        return "lines"
    return "password" if field.secret else "text"


def _hint(visit: Visit, field: CredentialField, *, is_saved: bool) -> str:
    parts = []
    if is_saved:
        parts.append(visit.say("저장되어 있습니다. 바꾸지 않으려면 비워 두세요", "Saved. Leave empty to keep it"))
    if visit.preferences.language != "ko":
        parts.append(field.label)
    parts += [form for form in (_form(visit, field), _prefixes(visit, field)) if form]
    if field.adds:
        names = ", ".join(visit.say(*OPERATIONS[added]) for added in sorted(field.adds) if added in OPERATIONS)
        if field.pattern == YES_OR_NO:
            parts.append(visit.say(f"‘예’이면 사용: {names}", f"Yes allows: {names}"))
        else:
            parts.append(visit.say(f"입력하면 사용: {names}", f"Allows: {names}"))
    return " · ".join(parts)


def _form(visit: Visit, field: CredentialField) -> str:
    """What a value looks like, of a pattern that is one set of characters so many times."""
    if "-----BEGIN" in field.pattern:
        return visit.say("파일의 내용 전체를 붙여 넣으세요", "Paste the whole file")
    if field.pattern.startswith("http"):
        return visit.say("https:// 로 시작하는 주소", "an address that begins with https://")
    match = _REPEATED.fullmatch(field.pattern)
    if match is None or match["set"] not in _SETS:
        return ""
    low, high = int(match["low"]), int(match["high"] or match["low"])
    if high > _LONGEST_HINTED:
        return ""
    length = f"{low}" if low == high else f"{low}~{high}"
    korean, english = _SETS[match["set"]]
    return visit.say(f"{korean} {length}자", f"{length.replace('~', ' to ')} characters: {english}")


def _prefixes(visit: Visit, field: CredentialField) -> str:
    """How a value of this environment begins. One that is a whole published secret is nobody's hint."""
    live = visit.environment == "live"
    begins = [p for p in (field.live_prefixes if live else field.test_prefixes) if len(p) <= 16]
    if begins:
        listed = ", ".join(begins)
        return visit.say(f"보통 {listed} (으)로 시작", f"usually begins with {listed}")
    return ""


def abilities(visit: Visit, spec: GatewaySpec) -> Sequence[Ability]:
    """What channels of it can do, and what they can do by contract."""
    found = []
    for operation, words in OPERATIONS.items():
        needed = next((field for field in spec.credentials if operation in field.adds), None)
        if operation in spec.operations:
            found.append(Ability(visit.say(*words)))
        elif needed:
            found.append(Ability(visit.say(*words), visit.say(needed.label, needed.name)))
    return found


def methods(visit: Visit, spec: GatewaySpec) -> str:
    """What can be paid with in its window; empty if it has none."""
    if spec.windows is None:
        return ""
    return ", ".join(visit.say(*words) for method, words in METHODS.items() if method in spec.windows.methods)


def typed(visit: Visit, spec: GatewaySpec) -> dict[str, str]:
    """The credentials that a form has sent, of this gateway's fields alone. No value of these begins with a blank."""
    sent: Any = visit.form.get("credentials")
    given = sent if isinstance(sent, Mapping) else {}
    return {
        field.name: value.strip()
        for field in spec.credentials
        if isinstance(value := given.get(field.name, ""), str)
    }  # fmt: skip


def showable(spec: GatewaySpec, values: Mapping[str, str]) -> dict[str, str]:
    """Without secrets, which are never sent back. Cut, since it may be anything that somebody typed."""
    return {field.name: values.get(field.name, "")[:500] for field in spec.credentials if not field.secret}
