"""What all request models are made of: the two base models, the field types, and errors that name the field."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from chalicelib.api.body import CONTROL
from chalicelib.domain.errors import InvalidRequest

M = TypeVar("M", bound=BaseModel)

MAX_EXPONENT = 30
"""Beyond it a Decimal overflows, or takes a gigabyte to write out."""


def _both_spellings(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """JSON Schema knows no aliases: every accepted name becomes a property."""
    properties = schema.get("properties", {})
    for field in model.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            first, *others = (str(choice) for choice in field.validation_alias.choices)
            for other in others:
                properties[other] = {**properties[first], "description": f"{first}와 같습니다. / Same as {first}."}


class Wire(BaseModel):
    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        coerce_numbers_to_str=True,
        populate_by_name=True,
        json_schema_extra=_both_spellings,
    )


def parse(model: type[M], fields: Mapping[str, Any]) -> M:
    """Raises InvalidRequest for the first field that does not fit."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = _field_name(first["loc"])
        raise InvalidRequest(name, f"{name}: {_explain(first)}") from None


def _field_name(loc: tuple[int | str, ...]) -> str:
    name = ""
    for part in loc:
        if isinstance(part, int):
            name += f"[{part}]"
        elif not part.startswith(("function-", "list[", "str", "dict[")):
            name += f".{part}" if name else part
    return name or "body"


_EXPLANATIONS = {
    "missing": "필수 값입니다. (required)",
    "string_too_long": "{max_length}자 이하여야 합니다. (at most {max_length} characters)",
    "string_too_short": "비어 있을 수 없습니다. (must not be empty)",
    "too_short": "비어 있을 수 없습니다. (must not be empty)",
    "too_long": "{max_length}개 이하여야 합니다. (at most {max_length})",
    "greater_than_equal": "{ge} 이상이어야 합니다. (at least {ge})",
    "less_than_equal": "{le} 이하여야 합니다. (at most {le})",
    "enum": "다음 중 하나여야 합니다: {expected} (one of these)",
    "literal_error": "다음 중 하나여야 합니다: {expected} (one of these)",
    "string_type": "문자열이어야 합니다. (must be a string)",
    "list_type": "배열이어야 합니다. (must be an array)",
    "dict_type": "객체여야 합니다. (must be an object)",
    "model_type": "객체여야 합니다. (must be an object)",
    "bool_type": "true 또는 false여야 합니다. (must be true or false)",
    "bool_parsing": "true 또는 false여야 합니다. (must be true or false)",
    "extra_forbidden": "알 수 없는 항목입니다. (unknown field)",
    "value_error": "{error}",
}
"""By pydantic's type of error; the names in braces are its context's."""


def _explain(error: Mapping[str, Any]) -> str:
    text = _EXPLANATIONS.get(error["type"], "올바르지 않은 값입니다. (malformed value)")
    return text.format(**error.get("ctx", {}))


def _number(value: Any) -> Any:
    """A JSON number, a number in text (forms), or the object {"total": n} that the documents' samples send."""
    if isinstance(value, dict):
        value = value.get("total")
    if isinstance(value, bool) or value is None:
        raise ValueError("숫자여야 합니다. (must be a number)")
    if isinstance(value, int | Decimal):
        number = Decimal(value)
        if not number.is_finite() or abs(number.adjusted()) > MAX_EXPONENT:
            raise ValueError("숫자가 허용 범위를 벗어났습니다. (number out of range)")
        return number
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,6})?", value.strip()):
        return Decimal(value.strip())
    raise ValueError("숫자여야 합니다. (must be a number)")


def _id(text: str) -> str:
    """Kept to the character, outer spaces and the form of Hangul included: two spellings are two ids."""
    if not text.strip():
        raise ValueError("비어 있을 수 없습니다. (must not be blank)")
    if CONTROL.search(text):
        raise ValueError("탭, 줄바꿈 같은 제어 문자는 사용할 수 없습니다. (control characters)")
    return text


def _integer(value: Any) -> Any:
    number = _number(value)
    if number != number.to_integral_value():
        raise ValueError("정수여야 합니다. (must be a whole number)")
    if abs(number) > 10**15:
        raise ValueError("숫자가 허용 범위를 벗어났습니다. (number out of range)")
    return int(number)


def _optional_integer(value: Any) -> Any:
    return None if value in (None, "") else _integer(value)


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


def _text_or_json(value: Any) -> Any:
    """custom_data and bypass: JSON text in the contract, the JSON itself in many clients."""
    if not isinstance(value, dict | list | bool):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=float, allow_nan=False)
    except ValueError:
        raise ValueError("숫자가 허용 범위를 벗어났습니다. (number out of range)") from None


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False, "": None}.get(value.lower(), value)
    return bool(value) if value in (0, 1) else value


def _without_controls(text: str) -> str:
    """But tabs and line breaks. Each of the others takes six times its length where it is stored."""
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text):
        raise ValueError("사용할 수 없는 문자가 있습니다. (control character)")
    return text


def _urls(value: Any) -> Any:
    """One URL, several in an array, or an array as JSON text."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("URL 또는 URL 배열이어야 합니다. (URL or array of URLs)") from None
    return [value] if isinstance(value, str) else value


def documented(*forms: dict[str, Any]) -> WithJsonSchema:
    """What a validator that runs before pydantic's own makes acceptable, in JSON Schema."""
    return WithJsonSchema({"anyOf": list(forms)})


NULL = {"type": "null"}
_DECIMAL = ({"type": "number"}, {"type": "string", "pattern": r"^-?[0-9]{1,20}(\.[0-9]{1,6})?$"})
_AMOUNT = (*_DECIMAL, {"type": "object", "properties": {"total": {"anyOf": list(_DECIMAL)}}, "required": ["total"]})
_DIGITS = {"type": "string", "pattern": "^[0-9]{1,16}$"}
_URL = {"type": "string", "minLength": 1, "maxLength": 2000}
_FLAG_TEXT = {"type": "string", "enum": ["true", "false", "1", "0"]}

Number = Annotated[Decimal, BeforeValidator(_number), documented(*_AMOUNT)]
OptionalNumber = Annotated[
    Decimal | None,
    BeforeValidator(lambda v: None if v in (None, "") else _number(v)),
    documented(*_AMOUNT, NULL),
]
Whole = Annotated[int, BeforeValidator(_integer), documented({"type": "integer"}, _DIGITS)]
JsonText = Annotated[
    Annotated[str, Field(max_length=8192), AfterValidator(_without_controls)] | None,
    BeforeValidator(_text_or_json),
    documented({"type": "string", "maxLength": 8192}, {"type": "object"}, {"type": "array"}, NULL),
]
Flag = Annotated[bool | None, BeforeValidator(_flag), documented({"type": "boolean"}, _FLAG_TEXT, NULL)]
Urls = Annotated[
    Annotated[list[Annotated[str, Field(min_length=1, max_length=2000)]], Field(max_length=5)] | None,
    BeforeValidator(lambda v: None if v in (None, "") else _urls(v)),
    documented(_URL, {"type": "array", "items": _URL, "maxItems": 5}, NULL),
]
Quota = Annotated[
    Annotated[int, Field(ge=0, le=36)] | None,
    BeforeValidator(_optional_integer),
    documented(
        {"type": "integer", "minimum": 0, "maximum": 36}, {"type": "string", "pattern": "^([12]?[0-9]|3[0-6])$"}, NULL
    ),
]
Count = Annotated[
    Annotated[int, Field(ge=1, le=10**6)] | None,
    BeforeValidator(_optional_integer),
    documented(
        {"type": "integer", "minimum": 1, "maximum": 10**6}, {"type": "string", "pattern": "^[1-9][0-9]{0,5}$"}, NULL
    ),
]
Text8 = Annotated[Annotated[str, Field(max_length=8)] | None, BeforeValidator(_blank_is_none)]
Text16 = Annotated[Annotated[str, Field(max_length=16)] | None, BeforeValidator(_blank_is_none)]
Text20 = Annotated[Annotated[str, Field(max_length=20)] | None, BeforeValidator(_blank_is_none)]
Text40 = Annotated[Annotated[str, Field(max_length=40)] | None, BeforeValidator(_blank_is_none)]
Text64 = Annotated[Annotated[str, Field(max_length=64)] | None, BeforeValidator(_blank_is_none)]
Text80 = Annotated[Annotated[str, Field(max_length=80)] | None, BeforeValidator(_blank_is_none)]
Text128 = Annotated[Annotated[str, Field(max_length=128)] | None, BeforeValidator(_blank_is_none)]
Text200 = Annotated[Annotated[str, Field(max_length=200)] | None, BeforeValidator(_blank_is_none)]
Text500 = Annotated[str, Field(max_length=500), AfterValidator(_without_controls)] | None
Uid40 = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_id)]
Uid80 = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_id)]
OptionalUid80 = Annotated[Uid80 | None, BeforeValidator(_blank_is_none)]
