"""Checks answers against the service's own /openapi.json, and more strictly than a client has to: a key that the
reference does not tell of is an error here.
"""

import copy
import functools
import re
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from chalicelib.api import openapi


def check_answer(method: str, path: str, status: int, body: Any, media_type: str = "application/json") -> None:
    """body: parsed, if it is JSON. Raises AssertionError.

    Paths that no operation has, and methods such as HEAD, are not the reference's business.
    """
    template = _template(path.partition("?")[0].rstrip("/"))
    if template is None or method.lower() not in _document()["paths"][template]:
        return
    where = f"{method} {template} -> {status}"
    response = _response(method.lower(), template, str(status))
    assert response is not None, f"{where}: the reference has no such status"
    if "content" not in response:
        assert not body, f"{where}: the reference has no body here"
        return
    validator = _validators(method.lower(), template, str(status)).get(media_type)
    assert validator is not None, f"{where}: the reference has no {media_type} here"
    error = best_match(validator.iter_errors(body))
    assert error is None, f"{where}: {error.json_path}: {error.message[:500]}"


@functools.cache
def _document() -> dict[str, Any]:
    document = copy.deepcopy(openapi.document())
    _close(document["components"])
    _close(document["paths"])
    return document


def _close(part: Any) -> None:
    if isinstance(part, dict):
        if "properties" in part and "additionalProperties" not in part:
            part["additionalProperties"] = False
        for key, value in part.items():
            if key not in ("example", "examples"):
                _close(value)
    elif isinstance(part, list):
        for value in part:
            _close(value)


def _template(path: str) -> str | None:
    """The path of the reference with the fewest parameters that fits, as routers choose."""
    return next((template for template, pattern in _patterns() if pattern.fullmatch(path)), None)


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    templates = sorted(_document()["paths"], key=lambda template: template.count("{"))
    return [(template, re.compile(re.sub(r"\{\w+\}", "[^/]+", template))) for template in templates]


@functools.cache
def _validators(method: str, template: str, status: str) -> dict[str, Draft202012Validator]:
    """By media type."""
    response = _response(method, template, status) or {}
    components = _document()["components"]
    return {
        media_type: Draft202012Validator({**media["schema"], "components": components})
        for media_type, media in response["content"].items()
    }


def _response(method: str, template: str, status: str) -> dict[str, Any] | None:
    response: dict[str, Any] | None = _document()["paths"][template][method]["responses"].get(status)
    if response is not None and "$ref" in response:
        return _document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return response
