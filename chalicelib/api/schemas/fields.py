"""What all request models are made of: the two base models, the field types, and errors that name the field."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chalicelib.domain.errors import InvalidRequest

M = TypeVar("M", bound=BaseModel)

MAX_EXPONENT = 30
"""Beyond it a Decimal overflows, or takes a gigabyte to write out."""


class Wire(BaseModel):
    model_config = ConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True, populate_by_name=True
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


def _explain(error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "필수 값입니다. (required)"
        case "string_too_long":
            return f"{context['max_length']}자 이하여야 합니다. (at most {context['max_length']} characters)"
        case "string_too_short" | "too_short":
            return "비어 있을 수 없습니다. (must not be empty)"
        case "too_long":
            return f"{context['max_length']}개 이하여야 합니다. (at most {context['max_length']})"
        case "greater_than_equal":
            return f"{context['ge']} 이상이어야 합니다. (at least {context['ge']})"
        case "less_than_equal":
            return f"{context['le']} 이하여야 합니다. (at most {context['le']})"
        case "enum" | "literal_error":
            return f"다음 중 하나여야 합니다: {context['expected']} (one of these)"
        case "value_error":
            return str(context["error"])
        case _:
            return "올바르지 않은 값입니다. (malformed value)"


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


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("비어 있을 수 없습니다. (must not be blank)")
    return text


def _integer(value: Any) -> Any:
    number = _number(value)
    if number != number.to_integral_value() or abs(number) > 10**15:
        raise ValueError("정수여야 합니다. (must be a whole number)")
    return int(number)


def _optional_integer(value: Any) -> Any:
    return None if value in (None, "") else _integer(value)


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


def _text_or_json(value: Any) -> Any:
    """custom_data and bypass: JSON text in the contract, objects in many clients."""
    if not isinstance(value, dict | list):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=float, allow_nan=False)
    except ValueError:
        raise ValueError("숫자가 허용 범위를 벗어났습니다. (number out of range)") from None


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False, "": None}.get(value.lower(), value)
    return bool(value) if value in (0, 1) else value


def _urls(value: Any) -> Any:
    """One URL, several in an array, or an array as JSON text."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("URL 또는 URL 배열이어야 합니다. (URL or array of URLs)") from None
    return [value] if isinstance(value, str) else value


Number = Annotated[Decimal, BeforeValidator(_number)]
OptionalNumber = Annotated[Decimal | None, BeforeValidator(lambda v: None if v in (None, "") else _number(v))]
Whole = Annotated[int, BeforeValidator(_integer)]
JsonText = Annotated[Annotated[str, Field(max_length=8192)] | None, BeforeValidator(_text_or_json)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]
Urls = Annotated[
    Annotated[list[Annotated[str, Field(min_length=1, max_length=2000)]], Field(max_length=5)] | None,
    BeforeValidator(lambda v: None if v in (None, "") else _urls(v)),
]
Quota = Annotated[Annotated[int, Field(ge=0, le=36)] | None, BeforeValidator(_optional_integer)]
Count = Annotated[Annotated[int, Field(ge=1, le=10**6)] | None, BeforeValidator(_optional_integer)]
Text8 = Annotated[Annotated[str, Field(max_length=8)] | None, BeforeValidator(_blank_is_none)]
Text16 = Annotated[Annotated[str, Field(max_length=16)] | None, BeforeValidator(_blank_is_none)]
Text20 = Annotated[Annotated[str, Field(max_length=20)] | None, BeforeValidator(_blank_is_none)]
Text40 = Annotated[Annotated[str, Field(max_length=40)] | None, BeforeValidator(_blank_is_none)]
Text64 = Annotated[Annotated[str, Field(max_length=64)] | None, BeforeValidator(_blank_is_none)]
Text80 = Annotated[Annotated[str, Field(max_length=80)] | None, BeforeValidator(_blank_is_none)]
Text128 = Annotated[Annotated[str, Field(max_length=128)] | None, BeforeValidator(_blank_is_none)]
Text200 = Annotated[Annotated[str, Field(max_length=200)] | None, BeforeValidator(_blank_is_none)]
Uid40 = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_not_blank)]
Uid80 = Annotated[str, Field(min_length=1, max_length=80)]
