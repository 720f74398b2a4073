"""The HTTP surface as a merchant's client sees it, through app.py and API Gateway's event shape.

Every answer is checked against /openapi.json.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from chalicelib import container
from tests.support.reference import check_answer


@dataclass(frozen=True)
class Page:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    @property
    def content(self) -> Any:
        """Parsed, if it is JSON."""
        return json.loads(self.text) if self.text and self.media_type == "application/json" else self.text


class Api:
    """One caller. Answers are (status, body); `token` and `admin_token` are sent where set.

    checked: compare answers with the reference; a benchmark must not measure that.
    """

    def __init__(
        self, deps: Any, token: str | None = None, admin_token: str | None = None, *, checked: bool = True
    ) -> None:
        from chalice.test import Client

        from app import app

        container.install(deps)
        self._http = Client(app).http
        self.token = token
        self.admin_token = admin_token
        self._checked = checked

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None):
        page = self.load(method, path, body, headers)
        return page.status, page.content

    def load(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Page:
        """The whole answer, for those who look at its headers."""
        given = {name.lower() for name in headers or {}}
        sent = dict(headers or {})
        if "authorization" not in given and "x-imptokenheader" not in given:
            if path.startswith("/admin") and self.admin_token:
                sent["Authorization"] = f"Bearer {self.admin_token}"
            elif self.token:
                sent["Authorization"] = self.token
        reply = self._http.request(method, path, headers=sent, body=body)
        page = Page(reply.status_code, dict(reply.headers), reply.body.decode())
        if self._checked:
            check_answer(method, path, page.status, page.content, page.media_type)
        return page

    def get(self, path: str, **query: Any):
        return self.send("GET", f"{path}?{urlencode(query)}" if query else path)

    def delete(self, path: str):
        return self.send("DELETE", path)

    def post(self, path: str, fields: Any = None, **more: Any):
        return self._json("POST", path, fields, more)

    def put(self, path: str, fields: Any = None, **more: Any):
        return self._json("PUT", path, fields, more)

    def form(self, path: str, fields: Any):
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, urlencode(fields).encode(), kind)

    def _json(self, method: str, path: str, fields: Any, more: dict[str, Any]):
        content = json.dumps({**(fields or {}), **more}, ensure_ascii=False).encode()
        return self.send(method, path, content, {"Content-Type": "application/json"})

    def login(self, merchant: Any) -> "Api":
        status, body = self.post("/users/getToken", imp_key=merchant.imp_key, imp_secret=merchant.imp_secret)
        assert (status, body["code"]) == (200, 0), body
        self.token = body["response"]["access_token"]
        return self


CARD = {"card_number": "4242-4242-4242-4242", "expiry": "2030-12", "birth": "880101", "pwd_2digit": "12"}
STOLEN = {**CARD, "card_number": "4000-0000-0000-0002"}
EXPIRED = {**CARD, "card_number": "4000-0000-0000-0069"}
