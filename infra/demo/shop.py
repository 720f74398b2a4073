"""The demo shop of `make run`, at /demo: a page that sells in a window, and beside it what the router decided.

    GET  /demo                              the page; /demo/shop.js and /demo/shop.css
    GET  /demo/merchant                     user code, groups with their weights, names of the gateways
    GET  /demo/payments/{imp_uid}           as GET /admin/payments/{imp_uid}, with `webhooks`
    POST /demo/payments/{imp_uid}/deposit   somebody pays into its virtual account
    POST /demo/webhook                      where the page has webhooks sent to

Only the local server has it. It asks the admin API as an operator does; the page itself never sees the token.
"""

import json
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

from chalicelib.container import SystemClock
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import Registry
from infra.local_demo import Admin, AdminRefused

FOLDER = Path(__file__).parent
FILES = {
    "/demo": ("index.html", "text/html; charset=utf-8"),
    "/demo/shop.js": ("shop.js", "text/javascript; charset=utf-8"),
    "/demo/shop.css": ("shop.css", "text/css; charset=utf-8"),
}
PAYMENT = re.compile(r"/demo/payments/(imp_\d{12})(/deposit)?")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json"

    # What docs/payment-window.md tells shops to allow, and nothing else. 'self' is the router here.
    headers: ClassVar[Mapping[str, str]] = {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def _json(value: object, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return Reply(status, json.dumps(value, ensure_ascii=False).encode())


class DemoShop:
    """file: what infra.local writes about the demo merchant (`local_demo.sandbox_json`), once there is one."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def owns(self, target: str) -> bool:
        path = target.partition("?")[0]
        return path == "/demo" or path.startswith("/demo/")

    def answer(self, method: str, target: str) -> Reply:
        try:
            return self._answer(method, target.partition("?")[0])
        except (OSError, AdminRefused) as error:  # too early, or a simulator that refuses: the page says so
            return _json({"message": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)

    def _answer(self, method: str, path: str) -> Reply:
        payment = PAYMENT.fullmatch(path)
        match method, path:
            case "GET", page if page in FILES:
                name, content_type = FILES[page]
                return Reply(HTTPStatus.OK, (FOLDER / name).read_bytes(), content_type)
            case "GET", "/demo/merchant":
                return _json(self._merchant())
            case "GET", _ if payment and not payment[2]:
                return self._payment(payment[1])
            case "POST", _ if payment and payment[2]:
                return self._deposit(payment[1])
            case "POST", "/demo/webhook":
                return _json({})
        return _json({"message": "요청한 경로가 없습니다. (no such path)"}, HTTPStatus.NOT_FOUND)

    def _sandbox(self) -> dict[str, Any]:
        sandbox: dict[str, Any] = json.loads(self._file.read_text())
        return sandbox

    def _admin(self) -> Admin:
        sandbox = self._sandbox()
        return Admin(sandbox["api"], sandbox["admin_token"])

    def _merchant(self) -> dict[str, Any]:
        admin, registry = self._admin(), Registry(HttpClient(), SystemClock())
        providers = {channel["channel_key"]: channel["pg_provider"] for channel in admin.must("GET", "/admin/channels")}
        groups = [
            {
                "id": group["id"],
                "name": group["name"],
                "channels": [
                    {"pg_provider": providers[entry["channel_key"]], "weight": entry["weight"]}
                    for entry in group["channels"]
                    if entry["enabled"]
                ],
            }
            for group in admin.must("GET", "/admin/channel-groups")
        ]
        specs = [registry.spec(provider) for provider in set(providers.values())]
        names = {spec.provider: {"ko": spec.label, "en": spec.english} for spec in specs}
        return {"user_code": self._sandbox()["user_code"], "groups": groups, "names": names}

    def _payment(self, imp_uid: str) -> Reply:
        status, payment = self._admin().call("GET", f"/admin/payments/{imp_uid}")
        if status != HTTPStatus.OK:
            return _json({"message": "존재하지 않는 결제입니다. (no such payment)"}, HTTPStatus.NOT_FOUND)
        return _json({**payment, "webhooks": self._admin().must("GET", f"/admin/payments/{imp_uid}/webhooks")})

    def _deposit(self, imp_uid: str) -> Reply:
        attempt = self._admin().must("GET", f"/admin/payments/{imp_uid}")["attempts"][-1]
        simulator = self._sandbox()["gateways"][attempt["pg_provider"]]
        order = json.dumps({"order_id": attempt["order_id"]}).encode()
        with urllib.request.urlopen(f"{simulator}/_sandbox/deposits", order, timeout=10) as reply:
            return Reply(HTTPStatus.OK, reply.read())
