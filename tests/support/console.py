"""The console as a browser without a screen sees it: pages by address, forms by their fields, cookies kept.

console = Console(world, Role.OPERATOR)
page = console.get("groups")
page = console.post("groups/new", name="A", ...)      the csrf token is added, and their password
page.status, page.text, page.location, page.headers
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from chalicelib import container
from chalicelib.domain.accounts import Role
from chalicelib.usecases import accounts

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Shown:
    status: int
    text: str
    headers: dict[str, Any]

    @property
    def location(self) -> str | None:
        return self.headers.get("Location")

    @property
    def words(self) -> str:
        """What is to be read, without the tags."""
        text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", self.text, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def add_person(world, role=Role.OWNER, email=None, password=PASSWORD):
    """Somebody who has accepted an invitation; the e-mail."""
    email = email or f"{role}@{world.merchant_id}.kr"
    token = accounts.invite(world.deps, world.admin, email, f"사람 {role}", role)
    accounts.accept_invitation(world.deps, token, password)
    return email


@dataclass
class Console:
    """role None: nobody is signed in."""

    world: Any
    role: Role | None = Role.OWNER
    language: str = "ko"
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    def __post_init__(self) -> None:
        from chalice.test import Client

        from app import app

        container.install(self.world.deps)
        self._http = Client(app).http
        self.cookies["__Host-prefs"] = f"{self.language}.auto.test"
        if self.role:
            self.sign_in(add_person(self.world, self.role))

    def sign_in(self, email: str, password: str = PASSWORD) -> Shown:
        page = self.post("sign-in", email=email, password=password)
        if page.status == 303:
            found = re.search(r'name="csrf" value="(\w+)"', self.get("account").text)
            self.csrf = found[1] if found else ""
        return page

    def get(self, path: str = "", **query: Any) -> Shown:
        address = f"/console/{path}".removesuffix("/")
        return self.send("GET", f"{address}?{urlencode(query)}" if query else address)

    def post(self, path: str = "", fields: dict[str, Any] | None = None, **more: Any) -> Shown:
        given = {"csrf": self.csrf, "own_password": PASSWORD, **(fields or {}), **more}
        return self.send("POST", f"/console/{path}".removesuffix("/"), urlencode(given).encode())

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Shown:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})}
        if method == "POST":
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        reply = self._http.request(method, path, headers=sent, body=body)
        shown = {**reply.headers}
        self._keep(reply)
        return Shown(reply.status_code, reply.body.decode(), shown)

    def follow(self, page: Shown) -> Shown:
        assert page.status == 303, (page.status, page.words)
        return self.send("GET", page.location)

    def _keep(self, reply) -> None:
        given = reply.headers.get("Set-Cookie", [])
        for cookie in [given] if isinstance(given, str) else given:
            name, _, value = cookie.partition(";")[0].partition("=")
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
