"""The reference as an OpenAPI 3.1 document.

Requests come from the pydantic models that validate them, answers from `shapes`, texts from `operations` and
`glossary`. Built once per process, when first asked for.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from chalicelib.api import glossary
from chalicelib.api.operations import ABOUT, COMMON, MEANINGS, OPERATIONS, TAGS, WEBHOOK, Operation, Refusal

Json = dict[str, Any]
Key = tuple[str, JsonSchemaMode]

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
NO_CONTENT = 204
TEXT: Mapping[str, Any] = {"schema": {"type": "string"}, "examples": {"text": {"value": "OK"}}}
REF = "#/components/schemas/"


@functools.cache
def document() -> Json:
    """Treat it as read-only: every caller gets the same one."""
    schemas, components = _schemas([*OPERATIONS, WEBHOOK])
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas, components)
    webhook = _webhook(schemas, components)
    responses = _common_responses()
    used = _used([paths, webhook, responses], components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "smart-routing",
            "version": "1",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "tags": [{"name": name, "description": text} for name, text in TAGS],
        "paths": paths,
        "webhooks": {WEBHOOK.path: {WEBHOOK.method.lower(): webhook}},
        "components": {
            "schemas": {name: components[name] for name in sorted(used)},
            "responses": responses,
            "securitySchemes": _security_schemes(),
        },
    }


def _webhook(schemas: Mapping[Key, Json], components: Json) -> Json:
    described = _described(WEBHOOK, schemas, components)
    headers = [{**parameter, "in": "header"} for parameter in described["parameters"]]
    return {**described, "parameters": headers, "responses": {"2XX": {"description": "받았습니다. / Received."}}}


def _common_responses() -> Json:
    return {
        f"{security}{refusal.status}": _refusing(
            refusal.status, [refusal], {"$ref": REF + ("AdminProblem" if security == "admin" else "Problem")}
        )
        for security, refusals in COMMON.items()
        for refusal in refusals
    }


def _security_schemes() -> Json:
    return {
        "token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "토큰 그대로 / The bare token",
        },
        "bearer": {"type": "http", "scheme": "bearer", "description": "Bearer 토큰 / As a bearer token"},
        "header": {
            "type": "apiKey",
            "in": "header",
            "name": "X-ImpTokenHeader",
            "description": "예전 클라이언트용 / For older clients",
        },
        "admin": {"type": "http", "scheme": "bearer", "description": "관리자 토큰 / The admin token"},
    }


SECURITY: Mapping[str, list[Json]] = {
    "token": [{"token": []}, {"bearer": []}, {"header": []}],
    "open": [],
    "admin": [{"admin": []}],
    "none": [],
}


# --- schemas ---


class _Plain(GenerateJsonSchema):
    """Without a title per field: they repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def _schemas(operations: Iterable[Operation]) -> tuple[dict[Key, Json], Json]:
    """The schemas of all requests and answers by operation, and the components that they refer to."""
    wanted: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = []
    for operation in operations:
        key = operation.key
        types: dict[str, tuple[JsonSchemaMode, Any]] = {
            key: ("serialization", operation.answer),
            f"{key} problem": ("serialization", operation.problem),
            f"{key} extra": ("serialization", operation.extra),
            f"{key} body": ("validation", operation.body),
            f"{key} query": ("validation", operation.query),
        }
        wanted += [(name, mode, TypeAdapter(kind)) for name, (mode, kind) in types.items() if kind is not None]
    made, definitions = TypeAdapter.json_schemas(wanted, ref_template=REF + "{model}", schema_generator=_Plain)
    components: Json = definitions["$defs"]
    for schema in components.values():
        for name, value in schema.get("properties", {}).items():
            _explain(name, value)
    for operation in operations:
        if operation.body is not None:
            _leave_to_path(operation, components[operation.body.__name__])
    return made, components


def _leave_to_path(operation: Operation, body: Json) -> None:
    """A model may hold what the path says as well; nobody sends it twice."""
    for name in re.findall(r"\{(\w+)\}", operation.path):
        body["properties"].pop(name, None)
        body["required"] = [field for field in body.get("required", ()) if field != name]


def _explain(name: str, schema: Json) -> None:
    if name in glossary.TEXTS:
        schema.setdefault("description", glossary.TEXTS[name])
    if name in glossary.EXAMPLES:
        schema.setdefault("examples", [glossary.EXAMPLES[name]])


def _used(part: Any, components: Json, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Names of the components that `part` needs: models of queries became parameters, and are not needed."""
    if isinstance(part, list):
        part = dict(enumerate(part))
    if not isinstance(part, dict):
        return seen
    for key, value in part.items():
        if key == "$ref" and value.startswith(REF) and (name := value.removeprefix(REF)) not in seen:
            seen = _used(components[name], components, seen | {name})
        elif key not in ("example", "examples"):
            seen = _used(value, components, seen)
    return seen


def _resolved(schema: Json, components: Json) -> Json:
    return components[schema["$ref"].removeprefix(REF)] if "$ref" in schema else schema


# --- operations ---


def _described(operation: Operation, schemas: Mapping[Key, Json], components: Json) -> Json:
    described: Json = {
        "operationId": re.sub(r"[^A-Za-z0-9]+", "_", operation.key).strip("_").lower(),
        "tags": [operation.tag.name],
        "summary": operation.text,
        "security": SECURITY[operation.security],
    }
    if operation.about:
        described["description"] = operation.about
    if parameters := _parameters(operation, schemas, components):
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _request_body(operation, schemas[f"{operation.key} body", "validation"])
    described["responses"] = _responses(operation, schemas, components)
    return described


def _parameters(operation: Operation, schemas: Mapping[Key, Json], components: Json) -> list[Json]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": glossary.TEXTS.get(name, "경로의 값 / Part of the path"),
            "schema": {"type": "string", "minLength": 1, "maxLength": 120},
            **({"example": glossary.EXAMPLES[name]} if name in glossary.EXAMPLES else {}),
        }
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.query is None:
        return parameters
    query = _resolved(schemas[f"{operation.key} query", "validation"], components)
    for name, schema in query["properties"].items():
        many = "array" in (schema.get("type"), *(form.get("type") for form in schema.get("anyOf", ())))
        parameters.append(
            {
                "name": f"{name}[]" if many else name,
                "in": "query",
                "required": name in query.get("required", ()),
                "description": schema.get("description", ""),
                "schema": _as_text(schema),
            }
        )
    return parameters


def _as_text(schema: Json) -> Json:
    """A query's value is text: the form that says most is enough, and there is no null."""
    form = schema["anyOf"][0] if "anyOf" in schema else schema
    default = schema.get("default")
    return {k: v for k, v in form.items() if k != "description"} | ({} if default is None else {"default": default})


def _request_body(operation: Operation, schema: Json) -> Json:
    if operation.demanded:
        schema = {"allOf": [schema, {"required": list(operation.demanded)}]}
    content: Json = {JSON_TYPE: {"schema": schema, "example": dict(operation.example)}}
    if operation.security != "admin":
        content[FORM_TYPE] = {"schema": schema}
    return {"required": True, "content": content}


def _responses(operation: Operation, schemas: Mapping[Key, Json], components: Json) -> Json:
    common = COMMON[operation.security]
    responses = {r.status: {"$ref": f"#/components/responses/{operation.security}{r.status}"} for r in common}
    problem = schemas[f"{operation.key} problem", "serialization"]
    for status in {refusal.status for refusal in operation.refusals}:
        met = [refusal for refusal in (*operation.refusals, *common) if refusal.status == status]
        responses[status] = _refusing(status, met, problem)
    if operation.answer is not None:
        done = _done(operation, schemas, components)
        for status in (operation.status, *operation.also):
            responses[status] = _with_answer(operation, responses.get(status), done, components, MEANINGS[status])
        if operation.status == NO_CONTENT:
            del responses[NO_CONTENT]["content"]
    return {str(status): responses[status] for status in sorted(responses)}


def _refusing(status: int, met: Iterable[Refusal], problem: Json) -> Json:
    examples = {f"refused {n}": {"value": _refused(refusal)} for n, refusal in enumerate(met, 1)}
    return {"description": MEANINGS[status], "content": {JSON_TYPE: {"schema": problem, "examples": examples}}}


def _with_answer(operation: Operation, refusing: Json | None, done: Json, components: Json, meaning: str) -> Json:
    """The answer, and beside it what is refused with the same status: with V1, HTTP 200."""
    value = example(done, components)
    if operation.shown:
        value = {**value, "response": {**value["response"], **operation.shown}}
    media: Json = {"schema": done, "examples": {"done": {"value": value}}}
    if refusing is not None:
        refused = refusing["content"][JSON_TYPE]
        media = {"schema": {"anyOf": [done, refused["schema"]]}, "examples": media["examples"] | refused["examples"]}
    content: Json = {operation.media_type: media}
    if operation.text_type:
        content[operation.text_type] = dict(TEXT)
    return {"description": meaning, "content": content}


def _done(operation: Operation, schemas: Mapping[Key, Json], components: Json) -> Json:
    answer = schemas[operation.key, "serialization"]
    if not operation.envelope:
        return answer
    extra: Json = {}
    if operation.extra is not None:
        extra = _resolved(schemas[f"{operation.key} extra", "serialization"], components)
    properties = {
        "code": {"const": 0, "description": glossary.TEXTS["code"]},
        "message": {"anyOf": [{"type": "string"}, {"type": "null"}], "examples": [None]},
        "response": answer,
        **extra.get("properties", {}),
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["code", "message", "response", *extra.get("required", ())],
    }


def _refused(refusal: Refusal) -> Json:
    message = re.sub(r"\{(\w+)\}", lambda name: str(glossary.EXAMPLES.get(name[1], name[1])), refusal.message)
    body: Json = {"code": refusal.code, "message": message}
    return {**body, "response": None} if isinstance(refusal.code, int) else body


EMPTY: Mapping[str, Any] = {"integer": 0, "number": 0, "boolean": False, "null": None, "string": ""}


def example(schema: Json, components: Json) -> Any:
    """A value that fits, from the fields' own examples."""
    schema = _resolved(schema, components)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [0])[0])
    if "anyOf" in schema:
        return None if {"type": "null"} in schema["anyOf"] else example(schema["anyOf"][0], components)
    if schema["type"] == "array":
        return [example(schema["items"], components)]
    if schema["type"] == "object":
        shown = schema.get("properties", {})
        return {name: example(shown[name], components) for name in shown if name in schema.get("required", ())}
    return EMPTY[schema["type"]]
