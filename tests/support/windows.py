"""A shop's page and a buyer's browser over HTTP, without a browser: what they send, and what they make of the answers.

The gateway's script and our driver are played by `tests.contract.windows`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from chalicelib.usecases import merchants
from infra.sandbox.windows import Go, Tell
from tests.contract.windows import DRIVERS, Driver
from tests.support.api import Api, Page
from tests.support.world import World

Params = dict[str, Any]

ORIGIN = "https://shop.kr"
FORM = "application/x-www-form-urlencoded"
FIELDS = {
    "merchant_uid": "order-1", "amount": 8900, "name": "월간 이용권", "pay_method": "card", "buyer_name": "홍길동",
    "buyer_tel": "010-1234-5678", "buyer_email": "gildong@shop.kr",
}  # fmt: skip
ROUTER = "http://localhost"


class Shop:
    """A merchant's web page, at an origin that is registered."""

    def __init__(self, world: World, api: Api) -> None:
        self.world, self.api = world, api
        known = merchants.settings(world.deps, world.merchant_id)
        merchants.save_settings(world.deps, world.admin, replace(known, test_page_origins=(ORIGIN,)))

    def ask(self, origin: str | None = ORIGIN, **fields: Any) -> tuple[int, dict[str, Any]]:
        """What `IMP.request_pay` sends. A field that is None is not sent."""
        given = {"user_code": self.world.merchant_id, "way": "frame", **FIELDS, **fields}
        body = json.dumps({name: value for name, value in given.items() if value is not None}).encode()
        headers = {"Content-Type": "application/json", "Authorization": ""} | ({"Origin": origin} if origin else {})
        status, answer = self.api.send("POST", "/window/payments", body, headers)
        return status, answer

    def open(self, **fields: Any) -> "Window":
        status, answer = self.ask(**fields)
        assert (status, answer["code"]) == (200, 0), answer
        return Window(self, answer["response"]["imp_uid"], "/" + answer["response"]["url"])


@dataclass
class Window:
    """One ticket, in the hands of a browser. path: of its page."""

    shop: Shop
    imp_uid: str
    path: str

    # --- what the browser loads ---

    def load(self, method: str = "GET", path: str = "", body: bytes = b"", **headers: str) -> Page:
        page = self.shop.api.load(method, self.path + path, body, {"Authorization": "", **headers})
        if page.status == 303:
            assert not page.text
        return page

    def follow(self, page: Page, path: str = "") -> str:
        """Where a redirect leads: a path of the router, or another's address."""
        assert page.status == 303, (page.status, page.text)
        return urljoin(ROUTER + self.path + path, page.headers["Location"]).removeprefix(ROUTER)

    def data(self) -> dict[str, Any]:
        page = self.load()
        assert page.status == 200, page.text
        return json_of(page, "window")

    def result(self) -> dict[str, Any]:
        page = self.load(path="/result")
        assert page.status == 200, page.text
        return json_of(page, "result")

    def close(self) -> dict[str, Any]:
        """What the SDK asks when its close button is pressed."""
        status, answer = self.shop.api.send("POST", f"{self.path}/close", b"", {"Origin": ORIGIN, "Authorization": ""})
        assert (status, answer["code"]) == (200, 0), answer
        return answer["response"]

    # --- the buyer ---

    @property
    def attempt(self) -> dict[str, Any]:
        return self.shop.api.get(f"/admin/payments/{self.imp_uid}")[1]["attempts"][-1]

    def press(self, button: str = "approve", change: Callable[[Params], Params] = dict) -> dict[str, str]:
        """Opens the gateway's window, presses one of its buttons: what comes back to the return URL.

        change: what the buyer does to the parameters in his browser.
        """
        data, provider = self.data(), self.attempt["pg_provider"]
        driver = DRIVERS.get(provider, Driver())
        simulator = self.shop.world.sandboxes[provider].simulator
        step: Go | Tell = simulator.press(simulator.enter(change(driver.enter(data["params"]))).visit_id, button)
        if isinstance(step, Tell):
            return driver.told(step.data)
        address, _, query = step.url.partition("?")
        assert address == data["return_url"] == f"{ROUTER}{self.path}/return"
        return dict(parse_qsl(query, keep_blank_values=True)) | dict(step.fields or {})

    def back(self, fields: Mapping[str, str], method: str = "POST", encoding: str = "utf-8") -> Page:
        sent = urlencode(fields, encoding=encoding)
        if method == "GET":
            return self.load("GET", f"/return?{sent}")
        return self.load("POST", "/return", sent.encode(), **{"Content-Type": FORM})

    def pay(self, button: str = "approve") -> dict[str, Any]:
        """All the way; what the shop's page is told."""
        page = self.back(self.press(button))
        assert self.follow(page, "/return") == f"{self.path}/result"
        return self.result()["result"]

    @property
    def payment(self) -> dict[str, Any]:
        return self.shop.api.get(f"/payments/{self.imp_uid}")[1]["response"]


def json_of(page: Page, name: str) -> dict[str, Any]:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page.text, re.DOTALL)
    assert found, page.text
    return json.loads(found[1])


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
