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


def check_answer(method: str, path: str, status: int, body: Any) -> None:
    """Raises AssertionError. Paths that no operation has, and methods such as HEAD, are not the reference's business."""
    template = _template(path.partition("?")[0].rstrip("/"))
    if template is None or method.lower() not in _document()["paths"][template]:
        return
    where = f"{method} {template} -> {status}"
    validator = _validator(method.lower(), template, str(status))
    assert validator is not None, f"{where}: the reference has no such status"
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
def _validator(method: str, template: str, status: str) -> Draft202012Validator | None:
    response = _document()["paths"][template][method]["responses"].get(status)
    if response is None:
        return None
    if "$ref" in response:
        response = _document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    [media] = response["content"].values()
    schema = media["schema"]
    return Draft202012Validator({**schema, "components": _document()["components"]})
