"""The API under Chalice's local server, made fit to be measured and to be sent nonsense.

    python -m infra.local_api --port 8000

Chalice's server is meant for trying a function by hand. Here it answers in one packet, reads chunked bodies, refuses
bodies that API Gateway would refuse, and answers everything in JSON, what is not a route included.
"""

import argparse
import functools
import json
import logging
import signal
import socket
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import (
    ChaliceRequestHandler,
    LocalChalice,
    LocalDevServer,
    LocalGateway,
    LocalGatewayException,
    ThreadedHTTPServer,
)

from infra.demo.shop import DemoShop

log = logging.getLogger(__name__)

MAX_BODY = 10 * 1024 * 1024
"""API Gateway's limit; the application has a lower one of its own."""
MAX_CHUNK_LINE = 1024
IDLE_SECONDS = 30


class Refused(Exception):
    """Bytes that are no request for the application."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoRoute(LocalGatewayException):
    CODE = 404


class NoMethod(LocalGatewayException):
    CODE = 405


class _Gateway(LocalGateway):
    def _generate_lambda_event(self, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            event = super()._generate_lambda_event(method, *args, **kwargs)
        except ValueError:
            # Chalice plays API Gateway's 403 here, which echoes the caller's token.
            raise NoRoute({}, _envelope("요청한 경로가 없습니다. (no such path)")) from None
        methods = self._app_object.routes[event["requestContext"]["resourcePath"]]
        if method not in methods and method != "OPTIONS":
            raise NoMethod(
                {"Allow": ", ".join(methods)}, _envelope("사용할 수 없는 메서드입니다. (method not allowed)")
            )
        return event


class _Handler(ChaliceRequestHandler):
    wbufsize = -1
    """Headers and body in one packet: two cost the 40 ms of a delayed acknowledgement."""
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def __init__(
        self,
        request: Any,
        client_address: Any,
        server: Any,
        app_object: Chalice,
        config: Config,
        demo: DemoShop | None = None,
    ) -> None:
        self.demo = demo
        self.local_gateway = _Gateway(app_object, config)
        BaseHTTPRequestHandler.__init__(self, request, client_address, server)

    def _serve(self) -> None:
        try:
            if self.demo and self.demo.owns(self.path):
                self._serve_demo(self.demo)
            else:
                self._generic_handle()
        except Refused as refused:
            self.send_error(refused.status, str(refused))
        except OSError:
            raise  # the client has left
        except Exception:  # one broken request must not end the server
            log.exception("unexpected error")
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "서버 오류가 발생했습니다. (internal error)")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = _serve  # noqa: N815 - http.server's names

    def _serve_demo(self, demo: DemoShop) -> None:
        self._parse_payload()  # nothing in it is needed; but the next request of this connection comes after it
        reply = demo.answer(self.command, self.path)
        self._send_http_response(reply.status, {**reply.headers, "Content-Type": reply.content_type}, reply.body)

    def _parse_payload(self) -> tuple[dict[str, str], bytes | None]:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return dict(self.headers), self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length가 올바르지 않습니다. (malformed Content-Length)")
        return dict(self.headers), self._read_exactly(int(length)) or None

    def _read_chunks(self) -> bytes:
        body = b""
        while size := self._chunk_size():
            _check_size(len(body) + size)
            body += self._read_exactly(size)
            self._read_exactly(len(b"\r\n"))
        while self.rfile.readline(MAX_CHUNK_LINE).strip():
            pass  # trailers, up to the empty line that ends the message
        return body

    def _chunk_size(self) -> int:
        line = self.rfile.readline(MAX_CHUNK_LINE)
        try:
            return int(line.split(b";")[0], 16)
        except ValueError:
            raise Refused(HTTPStatus.BAD_REQUEST, "본문을 읽을 수 없습니다. (malformed chunk)") from None

    def _read_exactly(self, length: int) -> bytes:
        _check_size(length)
        body: bytes = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client left before its request was complete")
        return body

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Also called by http.server for what it cannot parse. The rest of the request is not read any more."""
        del explain
        self.close_connection = True
        self.request_version = self.protocol_version  # a garbled first line counts as HTTP/0.9, which has no headers
        self._send_http_response(int(code), {"Connection": "close"}, _envelope(message or HTTPStatus(code).phrase))
        self.wfile.flush()
        self._linger()

    def _linger(self) -> None:
        """Read a little of what the client is still sending: closing on unread data would reset our answer away."""
        give_up_at = time.monotonic() + 2
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(0.5)
            while time.monotonic() < give_up_at and self.connection.recv(1 << 20):
                pass

    def _send_http_response_with_body(self, code: int, headers: dict[str, Any], body: str | bytes) -> None:
        if self.command == "HEAD":
            self._send_http_response_no_body(code, headers)
        else:
            super()._send_http_response_with_body(code, headers, body)

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()  # or the client waits a second for it
        return True

    def version_string(self) -> str:
        return "smart-routing"

    def log_message(self, *_: object) -> None:
        """Silent: paths contain customers' ids."""


class _Server(ThreadedHTTPServer):
    """fd: a socket that listens already; None: bind the address."""

    socket: Any
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: Any, fd: int | None) -> None:
        HTTPServer.__init__(self, address, handler, bind_and_activate=fd is None)
        if fd is not None:
            self.socket.close()
            self.socket = socket.socket(fileno=fd)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # clients leave when they like
            super().handle_error(request, client_address)


def _check_size(length: int) -> None:
    if not 0 <= length <= MAX_BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "요청 본문이 너무 큽니다. (request body too large)")


def _envelope(message: str) -> bytes:
    return json.dumps({"code": -1, "message": message, "response": None}, ensure_ascii=False).encode()


def threaded(app: Chalice) -> Chalice:
    """The app with a current request per thread, as `chalice local` makes it."""
    if not isinstance(app, LocalChalice):  # else it has had a server before
        app.__class__ = type("LocalApp", (LocalChalice, app.__class__), {})
    return app


def make_server(app: Chalice, port: int = 0, fd: int | None = None, demo: DemoShop | None = None) -> HTTPServer:
    """A server, not yet serving. demo: a shop beside the application, which knows nothing of it."""
    config = Config.create(lambda_timeout=29, lambda_memory_size=1024)
    local = LocalDevServer(
        threaded(app),
        config,
        "127.0.0.1",
        port,
        handler_cls=functools.partial(_Handler, demo=demo),
        server_cls=functools.partial(_Server, fd=fd),
    )
    server: HTTPServer = local.server
    return server


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.local_api", description="Run the API on this machine.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--demo", type=Path, metavar="FILE", help="serve the shop of the merchant in FILE at /demo")
    chosen = parser.parse_args(arguments)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    quiet_pools()
    from app import app  # noqa: PLC0415 - reads the environment
    from chalicelib.api import load_all  # noqa: PLC0415

    load_all()
    demo = DemoShop(chosen.demo) if chosen.demo else None
    make_server(app, chosen.port, chosen.fd, demo).serve_forever(poll_interval=0.1)


def quiet_pools() -> None:
    """The service's clients are made for Lambda's one request at a time; more connections than that are no warning."""
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
