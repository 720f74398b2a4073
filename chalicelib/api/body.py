"""From bytes to a plain dict: JSON or form, within limits, with one clear error for everything else.

Refused here, once for all routes: bodies over 256 KB, other content types and charsets, broken or too deeply nested
JSON, duplicate keys (which amount would count?), NaN and infinities, NUL bytes and lone surrogates.
"""

import codecs
import json
import re
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from chalicelib.domain.errors import InvalidRequest

MAX_BODY = 256 * 1024
MAX_FIELDS = 20_000
MAX_DEPTH = 32
JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Tabs, newlines and the like: fine in a text, but not in an id, which stands in paths, logs and tables."""
_BLANK = codecs.BOM_UTF8 + b" \t\r\n"
_KEY = re.compile(r"\[([^\[\]]*)\]")
_UTF8 = frozenset({"utf-8", "utf8"})


def read_body(raw: bytes, content_type: str | None) -> dict[str, Any]:
    """The request's fields; {} for an empty body. Raises InvalidRequest."""
    if len(raw) > MAX_BODY:
        raise InvalidRequest("body", "body: 요청 본문은 256KB 이하여야 합니다. (body too large)")
    media_type, charset = _split_content_type(content_type or _guessed_type(raw))
    if not raw.strip():
        return {}
    if media_type not in (JSON_TYPE, FORM_TYPE):
        raise InvalidRequest("Content-Type", f"Content-Type: {JSON_TYPE} 또는 {FORM_TYPE}이어야 합니다. (content type)")
    if charset not in _UTF8:
        raise InvalidRequest("Content-Type", "Content-Type: charset은 utf-8이어야 합니다. (charset must be utf-8)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest("body", "body: UTF-8 문자열이 아닙니다. (not UTF-8)") from None
    fields = _from_json(text) if media_type == JSON_TYPE else _from_form(text)
    _check_texts(fields, "")
    return fields


def read_notice(raw: bytes, content_type: str | None) -> dict[str, Any]:
    """A gateway's notice. Its forms may be in EUC-KR, whatever it says of them. Raises InvalidRequest."""
    if (content_type or _guessed_type(raw)).lower().startswith(FORM_TYPE) and len(raw) <= MAX_BODY:
        return dict(read_form(raw))
    return read_body(raw, content_type)


def read_form(raw: bytes) -> dict[str, str]:
    """What a browser or a gateway sends by form; the last of several values. Raises InvalidRequest.

    Never refused for its encoding: only words can be in another than UTF-8, and what counts is in ASCII.
    """
    try:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="latin-1")
    except ValueError:
        raise InvalidRequest("body", "body: 폼 형식이 올바르지 않습니다. (broken form body)") from None
    return {_decoded(name): _decoded(value) for name, value in pairs}


def _decoded(value: str) -> str:
    raw = value.encode("latin-1")
    for encoding in ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("ascii", errors="replace")


def _guessed_type(raw: bytes) -> str:
    """For clients that name none. A form cannot begin with a brace: it would have been percent-encoded."""
    return JSON_TYPE if raw.lstrip(_BLANK).startswith((b"{", b"[")) else FORM_TYPE


def _split_content_type(value: str) -> tuple[str, str]:
    media_type, *parameters = (part.strip() for part in value.lower().split(";"))
    for parameter in parameters:
        name, _, setting = parameter.partition("=")
        if name.strip() == "charset":
            return media_type, setting.strip().strip('"')
    return media_type, "utf-8"


def _from_json(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(
            text, parse_float=Decimal, parse_int=_integer, parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except (ValueError, ArithmeticError):
        raise InvalidRequest("body", "body: JSON 형식이 올바르지 않습니다. (broken JSON)") from None
    except RecursionError:
        raise InvalidRequest("body", "body: JSON이 너무 깊게 중첩되었습니다. (nested too deeply)") from None
    if fields is None:  # what some HTTP libraries send for "no body"
        return {}
    if not isinstance(fields, dict):
        raise InvalidRequest("body", "body: JSON 객체여야 합니다. (must be an object)")
    return fields


def _integer(digits: str) -> int:
    if len(digits) > 40:
        raise ValueError("absurd number")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        name = _printable(twice)
        raise InvalidRequest(name, f"{name}: 같은 이름의 값이 두 번 있습니다. (duplicate key)")
    return fields


def _from_form(text: str) -> dict[str, Any]:
    """Form fields; `a[b]`, `a[0][b]` and `a[]` make nested ones."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise InvalidRequest("body", "body: 폼 형식이 올바르지 않습니다. (broken form body)") from None
    root: dict[str, Any] = {}
    for name, value in pairs:
        first = name.split("[", 1)[0]
        path = [first, *_KEY.findall(name[len(first) :])]
        if len(path) > 5:
            shown = _printable(first)
            raise InvalidRequest(shown, f"{shown}: 너무 깊게 중첩되었습니다. (nested too deeply)")
        _put(root, path, value, name)
    listed = _listed(root)
    return listed if isinstance(listed, dict) else {}


def _put(root: dict[str, Any], path: list[str], value: str, name: str) -> None:
    node = root
    for part in path[:-1]:
        key = part or str(len(node))
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            raise InvalidRequest(_printable(name), f"{_printable(name)}: 값이 서로 어긋납니다. (conflicting fields)")
    key = path[-1] or str(len(node))
    if key in node:
        raise InvalidRequest(_printable(name), f"{_printable(name)}: 같은 이름의 값이 두 번 있습니다. (duplicate key)")
    node[key] = value


def _listed(node: Any) -> Any:
    """Dicts whose keys are 0, 1, 2..., in any order, become lists."""
    if not isinstance(node, dict):
        return node
    children = {key: _listed(value) for key, value in node.items()}
    places = [str(n) for n in range(len(children))]
    return [children[place] for place in places] if children and children.keys() == set(places) else children


def _check_texts(value: Any, path: str, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise InvalidRequest("body", "body: JSON이 너무 깊게 중첩되었습니다. (nested too deeply)")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key, "body")
            _check_texts(inner, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            _check_texts(inner, f"{path}[{n}]", depth + 1)
    elif isinstance(value, str):
        _check_text(value, path)


def _check_text(text: str, path: str) -> None:
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        name = _printable(path)
        raise InvalidRequest(name, f"{name}: 사용할 수 없는 문자가 있습니다. (NUL or broken character)")


def _printable(name: str) -> str:
    return "".join(char for char in name[:80] if char.isprintable() and not "\ud800" <= char <= "\udfff")
