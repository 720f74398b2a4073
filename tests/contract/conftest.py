"""One bench per gateway: the adapter, connected through HTTP to its simulator."""

import importlib
import itertools
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.channels import Channel, Environment
from chalicelib.domain.charging import (
    Approved,
    Buyer,
    CancelRequest,
    Card,
    ChargeQuery,
    IssueRequest,
    KeyIssued,
    Operation,
    PaymentRequest,
)
from chalicelib.domain.money import Money
from chalicelib.domain.specs import GatewaySpec
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import ADAPTERS, Registry
from chalicelib.ports import Gateway
from infra.sandbox import PROVIDERS, Sandbox, run
from infra.sandbox.server import SPECIAL_CARDS

CARD = Card("5361480012345671", "2039", "11", "880217", "37", "123")
SPECIAL = {will: Card(number, "2039", "11", "880217", "37", "123") for number, will in SPECIAL_CARDS.items()}
BUYER = Buyer("Gildong Hong", "gildong@shop.kr", "010-1234-5678")
TIMEOUT = 5.0

_numbers = itertools.count(100_000_000_000)


def spec_of(provider: str) -> GatewaySpec:
    """As the widest contract has it: the simulators' credentials switch everything on."""
    credentials = importlib.import_module(f"infra.sandbox.{provider}").TEST_CREDENTIALS
    spec: GatewaySpec = importlib.import_module(ADAPTERS[provider]).SPEC
    return spec.under(spec.options(credentials))


def only(where: Callable[[GatewaySpec], object]) -> pytest.MarkDecorator:
    """For a test with a `bench`: only the gateways of which this is true."""
    return pytest.mark.only(where=where)


def needs(*operations: Operation) -> pytest.MarkDecorator:
    """For a test with a `bench`: only the gateways that can do all of these."""
    return only(lambda spec: set(operations) <= spec.operations)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "bench" not in metafunc.fixturenames or "bench" in named:
        return
    wanted = [mark.kwargs["where"] for mark in metafunc.definition.iter_markers("only")]
    providers = [name for name in ADAPTERS if all(where(spec_of(name)) for where in wanted)]
    metafunc.parametrize("bench", providers, indirect=True)


class SystemClock:
    """Real time, moved by `shift`."""

    shift = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("an adapter never sleeps")


@dataclass
class Bench:
    provider: str
    sandbox: Sandbox
    clock: SystemClock

    @property
    def module(self) -> Any:
        return importlib.import_module(ADAPTERS[self.provider])

    @property
    def simulator(self) -> Any:
        return importlib.import_module(f"infra.sandbox.{self.provider}")

    @property
    def spec(self) -> GatewaySpec:
        return spec_of(self.provider)

    def has(self, *operations: Operation) -> bool:
        return set(operations) <= self.spec.operations

    @property
    def currency(self) -> str:
        return "KRW" if "KRW" in self.spec.currencies else "USD"

    def money(self, amount: int) -> Money:
        return Money(amount, self.currency)

    @property
    def gateway(self) -> Gateway:
        return self.connect(self.simulator.TEST_CREDENTIALS)

    def connect(
        self, credentials: Mapping[str, str], url: str | None = None, http: HttpClient | None = None
    ) -> Gateway:
        channel = Channel("channel-key-1", "test", self.provider, "mid", Environment.TEST, "", self.clock.now())
        registry = Registry(http or HttpClient(), self.clock, {self.provider: url or self.sandbox.url})
        return registry.open(channel, credentials)

    def wrong_credentials(self) -> dict[str, str]:
        """Well-formed, and nobody's."""
        if wrong := getattr(self.simulator, "WRONG_CREDENTIALS", None):
            return dict(wrong)
        secret = {field.name for field in self.module.SPEC.credentials if field.secret}
        given = self.simulator.TEST_CREDENTIALS
        return {name: value[:-1] + "x" if name in secret else value for name, value in given.items()}

    def order_id(self) -> str:
        return f"imp{next(_numbers)}a1"

    def cancel_id(self) -> str:
        return f"imp{next(_numbers)}c1"

    def request(self, amount: int = 8900, **kwargs: Any) -> PaymentRequest:
        given = {"name": "월간 이용권", "product_type": "real", "browser_ip": "203.0.113.7", "buyer": BUYER, **kwargs}
        return PaymentRequest("order0001", self.money(amount), **given)

    def issue_request(self, customer_id: str | None = "member-7") -> IssueRequest:
        return IssueRequest(f"key{next(_numbers)}", "card-1", customer_id, BUYER)

    def key(self, card: Card = CARD) -> dict[str, str]:
        """A billing key, got the way it is got at this gateway."""
        if self.has(Operation.ISSUE_BILLING_KEY):
            issued = self.gateway.issue_billing_key(self.issue_request(), card, TIMEOUT)
            assert isinstance(issued, KeyIssued), issued
            return dict(issued.secret)
        if self.has(Operation.KEY_BY_CHARGE):
            paid = self.gateway.charge_card(self.order_id(), self.request(keep_card=True), card, TIMEOUT)
            assert isinstance(paid, Approved), paid
            assert paid.key
            return dict(paid.key.secret)
        return dict(self.simulator.window_key(self.sandbox, card.number))

    def ways(self, card: Card = CARD) -> dict[str, Callable[..., Any]]:
        """name -> function of an order id (and a time-out), for each way to take money."""
        found: dict[str, Callable[..., Any]] = {}
        if self.has(Operation.CHARGE_CARD):
            found["card"] = lambda oid, t=TIMEOUT: self.gateway.charge_card(oid, self.request(), card, t)
        declined = card is not CARD and self.has(Operation.KEY_BY_CHARGE)  # then there is no key either
        if self.has(Operation.CHARGE_BILLING_KEY) and not declined:
            secret = self.key(card)
            found["key"] = lambda oid, t=TIMEOUT: self.gateway.charge_billing_key(oid, self.request(), secret, t)
        return found

    def charge(self, amount: int = 8900) -> Any:
        """An approved charge, and its order id."""
        order_id = self.order_id()
        if self.has(Operation.CHARGE_CARD):
            return order_id, self.gateway.charge_card(order_id, self.request(amount), CARD, TIMEOUT)
        return order_id, self.gateway.charge_billing_key(order_id, self.request(amount), self.key(), TIMEOUT)

    def query(self, order_id: str, gateway_ref: str | None = None, requested_at: datetime | None = None) -> ChargeQuery:
        return ChargeQuery(order_id, self.money(8900), requested_at or self.clock.now(), gateway_ref)

    def find(self, order_id: str, gateway_ref: str | None = None) -> Any:
        return self.gateway.find_charge(self.query(order_id, gateway_ref), TIMEOUT)

    def cancel_request(self, order_id: str, approved: Any, amount: int, balance: int | None = None, **kwargs: Any):
        return CancelRequest(
            cancel_id=kwargs.pop("cancel_id", None) or self.cancel_id(),
            order_id=order_id,
            gateway_ref=approved.gateway_ref,
            amount=self.money(amount),
            balance=approved.amount if balance is None else self.money(balance),
            charged=approved.amount,
            reason="단순 변심",
            charged_at=self.clock.now(),
            **kwargs,
        )

    def books(self, order_id: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.transactions() if row["order_id"] == order_id]

    def money_taken(self, order_id: str) -> int:
        return sum(row["balance"] for row in self.books(order_id))


@pytest.fixture(scope="session")
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    with run(PROVIDERS) as running:
        yield running


@pytest.fixture
def connect(sandboxes):
    """A bench of a named gateway."""
    used = []

    def make(provider: str) -> Bench:
        clock = SystemClock()
        sandboxes[provider].clock.follow(lambda: clock.now().timestamp())
        used.append(sandboxes[provider])
        return Bench(provider, sandboxes[provider], clock)

    yield make
    for sandbox in used:
        sandbox.clear_faults()
        sandbox.clock.follow(time.time)


@pytest.fixture
def bench(request, connect) -> Bench:
    return connect(request.param)


@pytest.fixture
def toss(connect) -> Bench:
    return connect("tosspayments")


@pytest.fixture
def nice(connect) -> Bench:
    return connect("nice_v2")


@contextmanager
def raw_server(reply: bytes, *, hang: bool = False) -> Iterator[str]:
    """Answers every request with these very bytes; hang: and then keeps the connection open."""
    done = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            _read_request(self.request)
            self.request.sendall(reply)
            if hang:
                done.wait(10)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            done.set()
            server.shutdown()
            thread.join()


def _read_request(connection: socket.socket) -> None:
    text = b""
    while b"\r\n\r\n" not in text:
        text += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = text.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65536)


def http_reply(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.fixture
def answering():
    """answering(body): the URL of a server that says just that."""
    with ExitStack() as stack:
        yield lambda body, status="200 OK": stack.enter_context(raw_server(http_reply(body, status)))


@pytest.fixture
def everything_logged(caplog):
    caplog.set_level(logging.DEBUG)
    return caplog
