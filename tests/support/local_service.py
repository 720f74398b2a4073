"""`make run` as tests use it: a process of its own, on a port of its own, that must leave nothing behind.

`local_service` is one service for a whole session. A folder uses it by importing it in its conftest.py:

    from tests.support.local_service import local_service  # noqa: F401
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTS_WITHIN = 60.0
STOPS_WITHIN = 20.0
CARD = {"card_number": "4242-4242-4242-4242", "expiry": "2030-12", "birth": "880101", "pwd_2digit": "12"}


class Service(dict[str, Any]):
    """What .local/sandbox.json says of a running service, and ways to talk to it."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path, output: Path) -> None:
        super().__init__(json.loads(file.read_text()))
        self.process = process
        self.file = file
        self.output = output
        self._token = ""

    @property
    def webhook_secret(self) -> str:
        return re.search(r"webhook secret +(\S+)", self.output.read_text())[1]

    def children(self) -> list[int]:
        return descendants(self.process.pid)

    @property
    def token(self) -> str:
        if not self._token:
            _, answer = ask(f"{self['api']}/users/getToken", {name: self[name] for name in ("imp_key", "imp_secret")})
            self._token = answer["response"]["access_token"]
        return self._token

    def call(self, path: str, body: object = None, method: str | None = None) -> dict[str, Any]:
        """A V1 call that must succeed; its whole answer."""
        status, answer = ask(f"{self['api']}{path}", body, method, {"Authorization": self.token})
        assert (status, answer["code"]) == (200, 0), answer
        return answer

    def transactions(self, imp_uid: str) -> list[dict[str, Any]]:
        """Everything that any gateway was asked to do for one payment. Its order id is ours, in letters and digits."""
        books = [ask(f"{url}/_sandbox/transactions")[1] for url in self["gateways"].values()]
        return [entry for book in books for entry in book if entry["order_id"].startswith(imp_uid.replace("_", ""))]

    def fault(self, **fault: object) -> None:
        """At every gateway, since the draw decides which one is asked."""
        for url in self["gateways"].values():
            status, answer = ask(f"{url}/_sandbox/faults", fault)
            assert status == 201, answer

    def clear_faults(self) -> None:
        for url in self["gateways"].values():
            ask(f"{url}/_sandbox/faults", method="DELETE")


def ask(
    url: str, body: object = None, method: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urlopen(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for something to become true; what it then is."""
    give_up_at = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > give_up_at:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)
    return found


# --- the process ---------------------------------------------------------------------------------------------------


def start(folder: Path, **environment: str) -> Service:
    """Start it and wait until it is ready. The caller ends it."""
    file, output = folder / "sandbox.json", folder / "output.txt"
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name != "LOCAL_DATA"}
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local", "--sandbox-file", str(file)],
            cwd=ROOT,
            env={**ours, "PORT": "0", **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    give_up_at = time.monotonic() + STARTS_WITHIN
    while "Try, in another terminal" not in output.read_text():
        if process.poll() is not None or time.monotonic() > give_up_at:
            process.kill()
            process.wait()
            pytest.fail(f"the service did not start:\n{output.read_text()}")
        time.sleep(0.02)
    return Service(process, file, output)


def stop(service: Service, number: int = signal.SIGTERM) -> None:
    """End it as a user would, and see that nothing is left: no process, no file that says it runs."""
    children = service.children()
    assert len(children) >= 4
    service.process.send_signal(number)
    assert service.process.wait(timeout=STOPS_WITHIN) == 0, service.output.read_text()
    assert alive(children) == []
    assert not service.file.exists()


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[Service]:
    service = start(folder, **environment)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            stop(service)


def descendants(pid: int) -> list[int]:
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found += [child, *descendants(child)]
    return found


def alive(pids: list[int]) -> list[str]:
    """The command lines of those that still run."""
    commands = (_command(pid) for pid in pids)
    return [command for command in commands if command is not None]


def _command(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):  # it ends before or while we look
        return None


@pytest.fixture(scope="session")
def local_service(tmp_path_factory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("local_service")) as service:
        yield service


# --- a merchant's webhook receiver -----------------------------------------------------------------------------------


class Hook:
    """A merchant's server. messages: (headers in lower case, body) in the order they came; all answered with 200."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, str], bytes]] = []
        handler = type("Handler", (_HookHandler,), {"hook": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _HookHandler(BaseHTTPRequestHandler):
    hook: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hook.messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as running_hook:
        yield running_hook
