"""Two tiny servers on origins of their own: a router that says what a test wants, and a shop's page with its SDK.

The router serves the real scripts and styles from chalicelib/web. What it was asked is in `asked`, as (path, headers,
body).
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

WEB = Path(__file__).resolve().parents[2] / "chalicelib" / "web"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json"}
CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "Content-Type"}

IMP_UID = "imp_123456789012"
OPENED = {"code": 0, "message": None, "response": {"imp_uid": IMP_UID, "merchant_uid": "order-1", "url": "window/T"}}
PAID = {"success": True, "imp_success": True, "imp_uid": IMP_UID, "merchant_uid": "order-1", "status": "paid"}
LEFT = {"success": False, "imp_success": False, "error_code": "CLOSED", "error_msg": "결제창을 닫았습니다.",
        "imp_uid": IMP_UID, "merchant_uid": "order-1", "status": "failed"}  # fmt: skip
CONFIRMING = {**LEFT, "status": "ready", "confirming": True}


def answered(result: object) -> dict[str, Any]:
    return {"code": 0, "message": None, "response": result}


class FakeRouter:
    """pages: path -> HTML, text or a reply (status, content type, bytes); a list is used up from its front.

    An entry may be a function without arguments: it is called for the value, and may wait, or raise OSError, which
    drops the connection.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self._servers = [_Server(self, "127.0.0.1"), _Server(self, "localhost")]
        self.url, self.shop = (f"http://{server.host}:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            server.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.thread.join()
            server.server_close()

    def bodies(self, path: str) -> list[bytes]:
        return [body for asked, _, body in self.asked if asked == path]

    def posted(self, path: str) -> list[Any]:
        return [json.loads(body) for body in self.bodies(path)]

    def reply(self, path: str) -> tuple[int, str, bytes]:
        value = self.pages.get(path)
        if isinstance(value, list):
            value = value.pop(0) if len(value) > 1 else value[0]
        if isinstance(value, Callable):
            value = value()
        if isinstance(value, tuple):
            return value
        if isinstance(value, dict):
            return 200, "application/json", json.dumps(value).encode()
        if value is not None:
            return 200, "text/html; charset=utf-8", value.encode()
        file = WEB / path.rpartition("/")[2]
        if path.startswith(("/v1/", "/web/")) and file.is_file():
            return 200, f"{TYPES[file.suffix]}; charset=utf-8", file.read_bytes()
        return 404, "text/plain", b"no such page"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, router: FakeRouter, host: str) -> None:
        handler = type("Handler", (_Handler,), {"router": router})
        super().__init__(("127.0.0.1", 0), handler)
        self.host = host
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))


class _Handler(BaseHTTPRequestHandler):
    router: FakeRouter
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.router.asked.append((path, {name.lower(): value for name, value in self.headers.items()}, body))
        try:
            status, content_type, content = self.router.reply(path)
        except OSError:
            self.close_connection = True
            return
        is_shop = path.startswith("/shop")
        headers = {"Content-Type": content_type, **(self.router.headers if is_shop else CORS)}
        self._answer(status, headers, content)

    do_POST = do_GET

    def do_OPTIONS(self) -> None:
        self._answer(204, CORS, b"")

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass
