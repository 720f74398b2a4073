"""Our reference beside V1's contract: each operation, parameter, status and answer field of V1 is here, or its absence
is listed with a reason in tests/fixtures/v1-differences.json. So is everything that is not as V1 has it; nothing else is.

v1-contract.json holds the bare facts of V1's published description (August 2026): names, places, types, statuses.
"""

import json
import re
from pathlib import Path

import pytest

from chalicelib.api import openapi

FIXTURES = Path(__file__).parents[1] / "fixtures"
CONTRACT = json.loads((FIXTURES / "v1-contract.json").read_text())
LISTED = json.loads((FIXTURES / "v1-differences.json").read_text())
DOCUMENT = openapi.document()
WIDER = {("integer", "number"), ("boolean", "string")}
"""What V1 calls by the first word may be sent where we read the second."""


def ours(key):
    """Our operation for one of V1's, or None. Where we have one path for several, its parameter stands for a word."""
    method, path = key.split()
    for template, methods in DOCUMENT["paths"].items():
        if method.lower() in methods and (
            template == path or re.fullmatch(re.sub(r"\\?\{\w+\\?\}", "[^/]+", re.escape(template)), path)
        ):
            found = methods[method.lower()]
            if template == path or ("501" in found["responses"] and "200" not in found["responses"]):
                return found
    return None


def resolved(schema):
    return DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def forms(schema):
    schema = resolved(schema)
    if "allOf" in schema:
        base = resolved(schema["allOf"][0])
        return [{**base, "required": [*base.get("required", ()), *schema["allOf"][1]["required"]]}]
    return [form for option in schema["anyOf"] for form in forms(option)] if "anyOf" in schema else [schema]


def types(schema):
    return {form["type"] for form in forms(schema) if "type" in form} | {
        "string" for form in forms(schema) if "enum" in form or "const" in form
    }


def fields(schema, prefix=""):
    """(name, schema, required) of everything in a schema, spelled as the fixture spells it: list[].amount."""
    for form in forms(schema):
        if "items" in form:
            yield from fields(form["items"], f"{prefix}[]")
        for name, value in form.get("properties", {}).items():
            full = f"{prefix}.{name}" if prefix else name
            yield full, value, name in form.get("required", ())
            yield from fields(value, full)


def sent(operation):
    """(place, name) -> (types, required) of all that our operation takes."""
    taken = {(p["in"], p["name"]): (types(p["schema"]), p["required"]) for p in operation.get("parameters", ())}
    for media in operation.get("requestBody", {"content": {}})["content"].values():
        for name, schema, required in fields(media["schema"]):
            taken["body", name] = types(schema), required
    return taken


def answered(operation):
    """The names in `response` of our answers."""
    found = set()
    for status in ("200", "207"):
        for media in operation["responses"].get(status, {"content": {}})["content"].values():
            for form in forms(media["schema"]):
                found |= {name for name, _, _ in fields(form["properties"].get("response", {}))}
    return found


def differences(key):
    """Each as "kind name"."""
    contract, operation = CONTRACT["operations"][key], ours(key)
    if operation is None:
        return {"operation missing"}
    if "200" not in operation["responses"]:
        return {"operation not offered"}
    found = set()
    taken = sent(operation)
    for parameter in contract["parameters"]:
        place, name, kind, *required = parameter.split()
        if (place, name) not in taken:
            found.add(f"{place} {name} missing")
            continue
        kinds, must = taken[place, name]
        if kind not in kinds and not any((kind, other) in WIDER for other in kinds):
            found.add(f"{place} {name} is not {kind}")
        if must != bool(required):
            found.add(f"{place} {name} {'required' if must else 'optional'}")
    named = {tuple(parameter.split()[:2]) for parameter in contract["parameters"]}
    for (place, name), (_, must) in taken.items():
        if must and (place, name) not in named and "." not in name:
            found.add(f"{place} {name} added, required")
    statuses = {int(status) for status in operation["responses"]}
    found |= {f"status {status} missing" for status in set(contract["statuses"]) - statuses}
    found |= {f"status {status} added" for status in statuses - set(contract["statuses"]) - COMMON}
    here = answered(operation)
    for name in CONTRACT["responses"].get(contract["response"], ()):
        if name not in here:
            found.add(f"answer {outermost_missing(name, here)} missing")
    return found


def outermost_missing(name, here):
    """`history[].amount` is missing because `history` is; and of a list's entries only the name counts."""
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        outer = ".".join(parts[:n])
        if not any(ours == outer or ours.startswith(f"{outer}.") for ours in here):
            return re.sub(r"^(list)?\[\]\.", "", outer).removesuffix("[]") or "[]"
    raise AssertionError(name)


COMMON = {400, 401, 500, 501, 503}
"""What any call here may answer (docs/api.md): bad input, no token, broken, a sub-merchant's header, not now."""


def listed(key):
    """The differences that the table allows for an operation. `*` stands for all operations that V1 and we have."""
    return {d["what"] for d in LISTED if d["operation"] == key}


EVERYWHERE = {d["what"] for d in LISTED if d["operation"] == "*"}


@pytest.mark.parametrize("key", CONTRACT["operations"])
def test_no_difference_that_is_not_listed(key):
    assert differences(key) - EVERYWHERE == listed(key)


@pytest.mark.parametrize("what", sorted(EVERYWHERE))
def test_no_general_difference_without_a_case(what):
    assert any(what in differences(key) for key in CONTRACT["operations"])


def test_the_table_is_in_order():
    assert {d["operation"] for d in LISTED} <= {*CONTRACT["operations"], "*"}
    assert len({(d["operation"], d["what"]) for d in LISTED}) == len(LISTED)
    for difference in LISTED:
        assert set(difference) == {"operation", "what", "reason"}
        assert len(difference["reason"]) > 10
