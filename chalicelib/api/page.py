"""The reference as one page of HTML, made from the OpenAPI document. No script, nothing from other hosts."""

import base64
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from chalicelib.api import openapi

Json = dict[str, Any]

WEB = Path(__file__).parents[1] / "web"
STYLE = (WEB / "reference.css").read_text(encoding="utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

TITLE = "smart-routing API 문서 / smart-routing API reference"
SKIP = "본문으로 / Skip to content"
CONTENTS = "목차 / Contents"
COMMON = "모든 요청의 공통 응답 / What any call may meet"
OBJECTS = "객체 / Objects"
PARAMETERS = "경로, 쿼리, 헤더 / Path, query, headers"
BODY = "본문 / Body"
RESPONSES = "응답 / Responses"
EXAMPLES = "예시 / Examples"
FIELD = "이름 / Name"
MEANING = "설명 / Meaning"
REQUIRED = "필수 / required"


@functools.cache
def html(language: str) -> str:
    """language: ko or en."""
    return _Page(openapi.document(), language).html()


class _Page:
    def __init__(self, document: Json, language: str) -> None:
        self.document = document
        self.language = language
        self.schemas: Json = document["components"]["schemas"]

    def html(self) -> str:
        operations: dict[str, list[tuple[str, str, Json]]] = {}
        for path, methods in {**self.document["paths"], **self.document["webhooks"]}.items():
            for method, operation in methods.items():
                operations.setdefault(operation["tags"][0], []).append((method, path, operation))
        tags = [(tag["name"], tag["description"], operations.get(tag["name"], [])) for tag in self.document["tags"]]
        switch = (
            '<a href="?lang=en" lang="en">English</a>' if self.language == "ko" else '<a href="?" lang="ko">한국어</a>'
        )
        return Template((WEB / "reference.html").read_text(encoding="utf-8")).substitute(
            language=self.language,
            title=self.say(TITLE),
            skip=self.say(SKIP),
            contents=self.say(CONTENTS),
            style=STYLE,
            switch=switch,
            index="\n".join(
                [*(self.index(*tag) for tag in tags), f'<p><a href="#objects">{self.say(OBJECTS)}</a></p>']
            ),
            body="\n".join([self.introduction(), *(self.section(*tag) for tag in tags), self.objects()]),
        )

    def say(self, text: str) -> str:
        """Texts are "한국어 / English"."""
        korean, _, english = text.partition(" / ")
        return escape(english if self.language == "en" and english else korean)

    # --- parts of the page ---

    def introduction(self) -> str:
        common = self.document["components"]["responses"].items()
        table = self.responses({name[5:]: response for name, response in common if name.startswith("token")})
        return (
            f'<p>{self.say(self.document["info"]["description"])}</p>\n<h2 id="common">{self.say(COMMON)}</h2>\n{table}'
        )

    def index(self, name: str, text: str, operations: Iterable[tuple[str, str, Json]]) -> str:
        links = "\n".join(
            f'<li><a href="#{operation["operationId"]}">{_method(method)} <code>{escape(path)}</code></a></li>'
            for method, path, operation in operations
        )
        return f'<details><summary><a href="#{name}">{self.say(text)}</a></summary>\n<ul>\n{links}\n</ul></details>'

    def section(self, name: str, text: str, operations: Iterable[tuple[str, str, Json]]) -> str:
        parts = "\n".join(self.operation(*operation) for operation in operations)
        return f'<h2 id="{name}">{self.say(text)}</h2>\n{parts}'

    def operation(self, method: str, path: str, operation: Json) -> str:
        parts = [f"<p>{self.say(operation['description'])}</p>"] if "description" in operation else []
        if parameters := operation.get("parameters"):
            rows = [self.field(p["name"], {**p["schema"], **p}, required=p["required"]) for p in parameters]
            parts.append(self.part(PARAMETERS, self.table(self.say(FIELD), rows)))
        media = operation.get("requestBody", {"content": {}})["content"].get("application/json")
        if media:
            parts.append(self.part(BODY, self.table(self.say(FIELD), self.fields(media["schema"], asked=True))))
        if any("content" in response for response in operation["responses"].values()):
            parts.append(self.part(RESPONSES, self.responses(operation["responses"])))
        if shown := [*_examples(media), *_examples(_done(operation))]:
            blocks = "".join(f"<pre>{_json(value)}</pre>" for value in shown)
            parts.append(f"<details><summary><h4>{self.say(EXAMPLES)}</h4></summary>{blocks}</details>")
        return (
            f'<details class="op"><summary><h3>{_method(method)} <code>{escape(path)}</code></h3>'
            f"<span>{self.say(operation['summary'])}</span></summary>\n"
            f'<div id="{operation["operationId"]}">{"".join(parts)}</div></details>'
        )

    def part(self, title: str, content: str) -> str:
        return f"<h4>{self.say(title)}</h4>{content}"

    def objects(self) -> str:
        """What requests and answers are made of. Bodies stand where they are used, and enums are spelt out."""
        requests = {
            _model(media["schema"])["$ref"].removeprefix(openapi.REF)
            for methods in [*self.document["paths"].values(), *self.document["webhooks"].values()]
            for operation in methods.values()
            for media in operation.get("requestBody", {"content": {}})["content"].values()
        }
        shown = [name for name, schema in self.schemas.items() if name not in requests and "properties" in schema]
        return f'<h2 id="objects">{self.say(OBJECTS)}</h2>\n' + "\n".join(
            f'<details class="object"><summary><h3><code>{name}</code></h3></summary>\n<div id="object-{name}">'
            f"{self.table(self.say(FIELD), self.fields(self.schemas[name]))}</div></details>"
            for name in shown
        )

    # --- tables ---

    def table(self, first: str, rows: Iterable[str]) -> str:
        head = f'<thead><tr><th scope="col">{first}</th><th scope="col">{self.say(MEANING)}</th></tr></thead>'
        return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"

    def fields(self, schema: Json, *, asked: bool = False) -> list[str]:
        """Required ones first. asked: mark them also if all are; in most answers every field is always there."""
        demanded = schema["allOf"][1]["required"] if "allOf" in schema else []
        schema = self.resolved(_model(schema))
        must = [*schema.get("required", ()), *demanded]
        marked = asked or len(must) < len(schema["properties"])
        properties = sorted(schema["properties"].items(), key=lambda item: item[0] not in must)
        return [self.field(name, value, required=marked and name in must) for name, value in properties]

    def field(self, name: str, schema: Json, *, required: bool) -> str:
        mark = f' <span class="must">{self.say(REQUIRED)}</span>' if required else ""
        return (
            f'<tr><th scope="row"><code>{escape(name)}</code>{mark}<span class="type">{self.type(schema)}</span></th>'
            f"<td>{self.say(schema.get('description', ''))}</td></tr>"
        )

    def responses(self, responses: Mapping[str, Json]) -> str:
        """Those that are spelt out: what any call may meet stands at the top of the page."""
        rows = [
            self.outcome(status, example["value"], media["schema"])
            for status, response in responses.items()
            for media in response.get("content", {}).values()
            for example in media["examples"].values()
        ]
        return self.table("HTTP · code", rows).replace("<table>", '<table class="outcomes">')

    def outcome(self, status: str, body: Any, schema: Json) -> str:
        code = body.get("code") if isinstance(body, dict) else None
        shown = self.answer(schema) if code in (None, 0) else escape(body["message"])
        outcome = status if code is None else f"{status} · {code}"
        return f'<tr><th scope="row"><code>{outcome}</code></th><td>{shown}</td></tr>'

    def answer(self, schema: Json) -> str:
        """What V1's envelope holds, or the whole answer where there is none."""
        done = schema["anyOf"][0] if "properties" in schema.get("anyOf", [{}])[0] else schema
        return self.type(done.get("properties", {}).get("response", done))

    # --- types ---

    def resolved(self, schema: Json) -> Json:
        return self.schemas[schema["$ref"].removeprefix(openapi.REF)] if "$ref" in schema else schema

    def type(self, schema: Json) -> str:
        if "$ref" in schema and "properties" in self.resolved(schema):
            name = schema["$ref"].removeprefix(openapi.REF)
            return f'<a href="#object-{name}">{name}</a>'
        schema = self.resolved(schema)
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self.type(form) for form in schema["anyOf"]))
        if "const" in schema or "enum" in schema:
            return " | ".join(escape(_text(value)) for value in schema.get("enum", [schema.get("const")]))
        kind = str(schema.get("type", "any"))
        if kind == "array":
            return f"{self.type({**schema.get('items', {}), 'maxLength': None})}[]"
        if kind == "object" and "properties" in schema:
            return escape("{" + ", ".join(schema["properties"]) + "}")
        return f"{kind} ≤ {schema['maxLength']}" if schema.get("maxLength") else kind


def _model(schema: Json) -> Json:
    """The model of a body, without what the operation demands on top of it."""
    model: Json = schema["allOf"][0] if "allOf" in schema else schema
    return model


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _method(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _done(operation: Json) -> Json | None:
    for response in operation["responses"].values():
        media: Json | None = response.get("content", {}).get("application/json")
        if media and "done" in media["examples"]:
            return media
    return None


def _examples(media: Json | None) -> list[Any]:
    if media is None:
        return []
    return [media["example"]] if "example" in media else [media["examples"]["done"]["value"]]


def _json(value: Any) -> str:
    return escape(json.dumps(value, ensure_ascii=False, indent=2), quote=False)
