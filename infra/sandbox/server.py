"""What all PG simulators share: HTTP, the books, the clock, faults on demand, and the control API.

Each simulator listens on 127.0.0.1 with a port of its own and speaks its gateway's wire protocol; beside it:

    GET    /_sandbox/transactions   every authorisation, with its cancels
    GET    /_sandbox/receipts       every cash receipt, cancelled ones too
    GET    /_sandbox/visits         what was asked for in the gateway's windows, and how they were left (windows.py)
    POST   /_sandbox/deposits       {"order_id", "amount", "reverse": false}: somebody pays into a virtual account, or
                                    the bank takes the deposit back. No amount: what is asked for
    POST   /_sandbox/notices        {"url": "..." | null}: where the gateway's notices go; GET: what was sent
    POST   /_sandbox/faults         {"operation", "fault", "times": 1, "seconds": 0, "code": "..."}
    GET    /_sandbox/faults         what is still to come
    DELETE /_sandbox/faults         forget them; connections that hang are dropped
    POST   /_sandbox/clock          {"now": unix seconds | null} and/or {"advance": seconds}; GET reads it

Operations: charge, issue (a billing key), account (issue a virtual one), cancel (revoke it, too), find, delete, receipt
(to issue or to cancel one), or * for any of these; and window, for what the gateway shows a browser, its script first
of all (timeout, slow, http_500, refuse). Faults hit the next `times` calls of the operation:

    reply_lost     carried out, then the connection drops
    timeout        not carried out; the connection hangs for `seconds` (60), then drops
    slow           `seconds` pass, then carried out and answered
    late_approval  the connection drops at once; carried out when `seconds` have passed on the simulator's clock
    http_500       not carried out
    garbage        carried out; the answer is 200 and bytes that are no text
    decline        not carried out; the answer is `code`, or the gateway's usual refusal
    wrong_amount   (charge, account) one unit too much is taken, and the answer and the books say so
    refuse         nobody listens for `seconds` (2): connections are refused, whatever they are for, this control
                   API included. It begins at once, since a refused connection never tells what it was for

Cards, besides the gateways' own published test numbers. Any other number of 14 to 16 digits is approved.

    number               issue      charge      because
    4000-0000-0000-0002  ok         declined    lost or stolen
    4000-0000-0000-0009  ok         declined    no funds
    4000-0000-0000-0069  declined   declined    expired

A transaction's `state` is captured, partially_cancelled, cancelled or declined; of a virtual account that nothing was
paid into, and that so holds no money, waiting, expired or revoked; of a charge that the gateway looks into, review. A
notice that is not taken is sent again, four times, with pauses that grow.

An issuer checks the expiry when a key is issued, and the rest when money is asked for. Card numbers are never
written anywhere: the books keep a masked number and what the card will answer.
"""

import importlib
import json
import re
import secrets
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

PROVIDERS = (
    "html5_inicis", "kcp", "kicc", "ksnet", "nice_v2", "paymentwall", "paypal_v2", "settle", "smartro_v2",
    "tosspayments", "welcome",
)  # fmt: skip
"""Each is a module of this package with a class Simulator and the constant TEST_CREDENTIALS."""

KST = timezone(timedelta(hours=9))

STOLEN, NO_FUNDS, EXPIRED = "stolen", "no_funds", "expired"
SPECIAL_CARDS = {"4000000000000002": STOLEN, "4000000000000009": NO_FUNDS, "4000000000000069": EXPIRED}

OPERATIONS = ("charge", "issue", "account", "cancel", "find", "delete", "receipt", "window")
FAULTS = (
    "reply_lost", "timeout", "refuse", "http_500", "garbage", "decline", "slow", "late_approval", "wrong_amount",
)  # fmt: skip
WINDOW_FAULTS = ("timeout", "refuse", "http_500", "slow")
"""Those of what a browser loads. The rest is about money, and a window moves none."""

MAX_BODY = 1 << 20
NOTICE_PAUSES = (1, 4, 16, 64)
"""Seconds between the tries of a notice. Real gateways begin with a minute."""


# --- messages ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """forced: answer this code in place of acting. surplus: take so much more than was asked for."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    forced: str | None = None
    surplus: int = 0

    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None if it is none."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def form(self, encoding: str = "utf-8") -> dict[str, str] | None:
        """The body as a form, or None if it is none."""
        try:
            pairs = parse_qsl(self.body.decode("ascii"), keep_blank_values=True, encoding=encoding, errors="strict")
        except ValueError:
            return None
        return dict(pairs)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json;charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(status: int, value: object, **headers: str) -> Answer:
    return Answer(status, json.dumps(value, ensure_ascii=False).encode(errors="replace"), headers=headers)


class Refusal(Exception):
    """The gateway says no. message None: the usual text of that code."""

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class BadControl(Exception):
    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(message)
        self.field = field_name


# --- the books --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Cancel:
    cancel_id: str
    pg_tid: str
    amount: int
    time: float
    reason: str = ""


@dataclass(slots=True)
class Charge:
    """One authorisation. declined_by: the code it was refused with, None if it was approved.

    unpaid: waiting, expired or revoked, for a virtual account that nothing was paid into; review, for a charge that is
    not decided; None: money was taken.
    """

    account: str
    order_id: str
    pg_tid: str
    amount: int
    currency: str
    time: float
    card: str
    declined_by: str | None = None
    unpaid: str | None = None
    cancels: list[Cancel] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def balance(self) -> int:
        return 0 if self.declined_by or self.unpaid else self.amount - sum(cancel.amount for cancel in self.cancels)

    @property
    def state(self) -> str:
        if self.declined_by:
            return "declined"
        if self.unpaid:
            return self.unpaid
        if not self.cancels:
            return "captured"
        return "partially_cancelled" if self.balance else "cancelled"


@dataclass(slots=True)
class Key:
    """A billing key. will: what its card answers to a charge (SPECIAL_CARDS), None = approved."""

    account: str
    key: str
    card: str
    will: str | None = None
    deleted: bool = False
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Receipt:
    """A cash receipt. holder: the end of the identifier, the rest is kept nowhere."""

    account: str
    order_id: str
    receipt_tid: str
    type: str
    holder: str
    amount: int
    tax_free: int
    vat: int | None
    time: float
    cancelled_at: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Books:
    """Everything a simulator remembers. Its callers hold the simulator's lock."""

    def __init__(self) -> None:
        self.charges: list[Charge] = []
        self.keys: dict[str, Key] = {}
        self.receipts: list[Receipt] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self._used_ids: dict[str, bool] = {}
        self._by_order: dict[tuple[str, str], list[Charge]] = {}
        self._by_tid: dict[tuple[str, str], Charge] = {}

    def add(self, charge: Charge) -> None:
        self.charges.append(charge)
        self._by_order.setdefault((charge.account, charge.order_id), []).append(charge)
        self._by_tid[charge.account, charge.pg_tid] = charge

    def find(self, account: str, order_id: str) -> Charge | None:
        """The approved charge of that order, or else the last declined one."""
        found = self._by_order.get((account, order_id), [])
        return next((c for c in found if not c.declined_by), found[-1] if found else None)

    def any_of(self, order_id: str) -> Charge | None:
        """Whoever's it is: for those who pay, not for those who ask."""
        return next((charge for charge in reversed(self.charges) if charge.order_id == order_id), None)

    def by_tid(self, account: str, pg_tid: str) -> Charge | None:
        return self._by_tid.get((account, pg_tid))

    def use_id(self, account: str, name: str) -> bool:
        """False if this account has used the name before."""
        entry = f"{account} {name}"
        is_new = entry not in self._used_ids
        self._used_ids[entry] = True
        return is_new

    def view(self) -> list[dict[str, Any]]:
        return [
            {
                "order_id": charge.order_id,
                "pg_tid": charge.pg_tid,
                "amount": charge.amount,
                "balance": charge.balance,
                "currency": charge.currency,
                "state": charge.state,
                "time": charge.time,
                "card": charge.card,
                "code": charge.declined_by,
                "cancels": [asdict(cancel) for cancel in charge.cancels],
            }
            for charge in self.charges
        ]

    def receipt(self, account: str, receipt_tid: str) -> Receipt | None:
        return next((r for r in self.receipts if (r.account, r.receipt_tid) == (account, receipt_tid)), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "charges": [asdict(charge) for charge in self.charges],
            "keys": [asdict(key) for key in self.keys.values()],
            "receipts": [asdict(receipt) for receipt in self.receipts],
            "answers": self.answers,
            "used_ids": list(self._used_ids),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Books":
        books = cls()
        for charge in value["charges"]:
            books.add(Charge(**{**charge, "cancels": [Cancel(**cancel) for cancel in charge["cancels"]]}))
        books.keys = {key["key"]: Key(**key) for key in value["keys"]}
        books.receipts = [Receipt(**receipt) for receipt in value["receipts"]]
        books.answers = value["answers"]
        books._used_ids = dict.fromkeys(value["used_ids"], True)
        return books


def seoul(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, KST)


def card_outcome(number: str) -> str | None:
    return SPECIAL_CARDS.get(number)


def masked(number: str) -> str:
    return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"


class _Stopped(Exception):
    """The simulator ended while something was still to come."""


# --- the clock --------------------------------------------------------------------------------------------------


class Clock:
    """Real time, shifted, unless it follows another clock."""

    def __init__(self) -> None:
        self._source: Callable[[], float] = time.time
        self._shift = 0.0
        self._changed = threading.Condition()

    def now(self) -> float:
        return self._source() + self._shift

    def follow(self, source: Callable[[], float]) -> None:
        """Take the time from elsewhere: a test's clock, so that both sides agree on the day."""
        with self._changed:
            self._source, self._shift = source, 0.0
            self._changed.notify_all()

    def kst(self) -> datetime:
        return seoul(self.now())

    def set(self, now: float | None) -> None:
        """None: back to real time."""
        with self._changed:
            self._shift = 0.0 if now is None else now - self._source()
            self._changed.notify_all()

    def advance(self, seconds: float) -> None:
        with self._changed:
            self._shift += seconds
            self._changed.notify_all()

    def wait_until(self, due: float, stopped: threading.Event) -> None:
        with self._changed:
            while (left := due - self.now()) > 0:
                self._changed.wait(min(left, 0.05))
                if stopped.is_set():
                    raise _Stopped


# --- faults -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Fault:
    operation: str
    fault: str
    times: int = 1
    seconds: float = 0.0
    code: str | None = None


class Faults:
    def __init__(self) -> None:
        self._list: list[Fault] = []
        self._lock = threading.Lock()
        self.released = threading.Event()
        """Set when those that wait for a fault's time to pass shall wait no longer."""

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._list.append(fault)

    def take(self, operation: str) -> Fault | None:
        with self._lock:
            named = (operation,) if operation == "window" else (operation, "*")
            fault = next((f for f in self._list if f.operation in named), None)
            if fault:
                fault.times -= 1
                self._list = [f for f in self._list if f.times > 0]
            return fault

    def clear(self) -> None:
        with self._lock:
            self._list = []
            self.released.set()
            self.released = threading.Event()

    def view(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._list]


def read_fault(value: object) -> Fault:
    """Raises BadControl naming the first field that makes no sense."""
    if not isinstance(value, dict):
        raise BadControl("body", "a JSON object is needed")
    unknown = sorted(set(value) - {"operation", "fault", "times", "seconds", "code"})
    if unknown:
        raise BadControl(unknown[0], "unknown field")
    if value.get("operation") not in (*OPERATIONS, "*"):
        raise BadControl("operation", f"one of {', '.join(OPERATIONS)}, *")
    if value.get("fault") not in FAULTS:
        raise BadControl("fault", f"one of {', '.join(FAULTS)}")
    if value["fault"] == "wrong_amount" and value["operation"] not in ("charge", "account", "*"):
        raise BadControl("operation", "wrong_amount is a fault of charge and account")
    if value["operation"] == "window" and value["fault"] not in WINDOW_FAULTS:
        raise BadControl("fault", f"of a window: {', '.join(WINDOW_FAULTS)}")
    times, code = value.get("times", 1), value.get("code")
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= 1_000_000:
        raise BadControl("times", "a whole number from 1")
    if code is not None and not (isinstance(code, str) and re.fullmatch(r"[!-~]{1,60}", code)):
        raise BadControl("code", "up to 60 printable ASCII characters")
    return Fault(value["operation"], value["fault"], times, read_seconds(value.get("seconds", 0)), code or None)


def read_seconds(value: object, field_name: str = "seconds", minimum: float = 0, maximum: float = 86_400) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise BadControl(field_name, f"a number from {minimum:g} to {maximum:g}")
    return float(value)


def read_deposit(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) - {"order_id", "amount", "reverse"}:
        raise BadControl("body", 'an object with "order_id" and perhaps "amount", "reverse" is needed')
    amount, reverse = value.get("amount"), value.get("reverse", False)
    if not isinstance(value.get("order_id"), str):
        raise BadControl("order_id", "the gateway's order id, as in the transactions")
    if amount is not None and (isinstance(amount, bool) or not isinstance(amount, int) or amount < 1):
        raise BadControl("amount", "a whole number from 1")
    if not isinstance(reverse, bool):
        raise BadControl("reverse", "true or false")
    return {"order_id": value["order_id"], "amount": amount, "reverse": reverse}


def read_notice_url(value: object) -> str | None:
    url = value.get("url") if isinstance(value, dict) and set(value) == {"url"} else ""
    if url is None or (isinstance(url, str) and url.startswith(("http://", "https://"))):
        return url
    raise BadControl("url", "an http URL, or null")


# --- notices ----------------------------------------------------------------------------------------------------


class Notices:
    """Tells the merchant's server what happened, as gateways do: again and again until it has understood.

    By POST, or by GET with a query, until it answers 2xx, and what the gateway wants to read.
    """

    def __init__(self, stopped: threading.Event) -> None:
        self.url: str | None = None
        self.sent: list[dict[str, Any]] = []
        self._stopped = stopped

    def send(
        self, notice: dict[str, Any], *, by_get: bool = False, form: str | None = None, wants: str | None = None
    ) -> None:
        """form: the encoding of one; None: JSON. wants: a regular expression for what the answer has to contain."""
        if not self.url:
            return
        if by_get:
            request, wants = urllib.request.Request(f"{self.url}?{urlencode(notice)}"), r"\AOK\Z"
        elif form:
            body = urlencode(notice, encoding=form).encode()
            kind = f"application/x-www-form-urlencoded; charset={form}"
            request = urllib.request.Request(self.url, body, {"Content-Type": kind})
        else:
            request = urllib.request.Request(
                self.url, json.dumps(notice).encode(), {"Content-Type": "application/json"}
            )
        threading.Thread(target=self._deliver, args=(self.url, notice, request, wants or ""), daemon=True).start()

    def _deliver(self, url: str, notice: dict[str, Any], request: urllib.request.Request, wants: str) -> None:
        for pause in (0, *NOTICE_PAUSES):
            if self._stopped.wait(pause):
                return
            status, body = self._ask(request)
            self.sent.append({"url": url, "body": notice, "status": status or None})
            if 200 <= status < 300 and re.search(wants, body.decode(errors="replace")):
                return

    def _ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        """The answer's status and body; 0 if there was none."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=10) as reply:
                return int(reply.status), reply.read(MAX_BODY)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, b""
        except OSError:
            return 0, b""


# --- simulators -------------------------------------------------------------------------------------------------


class Simulator(ABC):
    """One gateway. Subclasses know its wire; they are called with the lock held, so they need none."""

    provider: ClassVar[str]
    routes: ClassVar[Sequence[tuple[str, str, str, str]]]
    """(HTTP method, path as a regular expression, operation, name of the method of this class)"""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.books = Books()
        self.lock = threading.RLock()
        self.changed = False
        self.url = ""
        """Where it listens, for those whose windows name an address to go on at."""
        self.tell: Callable[[dict[str, str]], None] = _ignore
        """Sends the merchant's server a notice by GET."""
        self.later: Callable[[float, Callable[[], None]], None] = lambda _due, _act: None
        """Does something when the simulator's clock says so, with the lock held."""

    @abstractmethod
    def refuse(self, refusal: Refusal) -> Answer:
        """A refusal as the gateway words it."""

    @abstractmethod
    def authenticate(self, request: Request) -> str:
        """The account that asks. Raises Refusal."""

    @abstractmethod
    def usual_refusal(self, operation: str) -> str:
        """The code that the fault `decline` answers when it names none."""

    def refresh(self, charge: Charge) -> None:
        """Let the time that has passed take effect. details["due"]: until when a virtual account can be paid into."""
        if charge.unpaid == "waiting" and charge.details["due"] <= self.clock.now():
            charge.unpaid = "expired"

    def windows(self) -> list[dict[str, Any]]:
        """What happened in its windows, if it has any."""
        return []

    def operation(self, request: Request) -> str | None:
        return next((route[2] for route in self.routes if _matches(route, request)), None)

    def serve(self, request: Request, wait: Callable[[], None]) -> Answer:
        """Act and answer. wait: lets the time of a fault pass; called before anything is done."""
        wait()
        return self.execute(request)

    def execute(self, request: Request) -> Answer:
        with self.lock:
            self.changed = True
            try:
                return self._dispatch(self.authenticate(request), request)
            except Refusal as refusal:
                return self.refuse(refusal)

    def _dispatch(self, account: str, request: Request) -> Answer:
        for route in self.routes:
            if match := _matches(route, request):
                if request.forced and route[2] != "charge":  # a charge is declined further in, for the books
                    raise Refusal(request.forced)
                answer: Answer = getattr(self, route[3])(account, request, *map(unquote, match.groups()))
                return answer
        return json_answer(404, {"code": "NOT_FOUND", "message": "no such path"})


class VirtualAccounts(ABC):
    """What a simulator can do besides, if its gateway issues virtual accounts, by API or in its window."""

    notice_form: ClassVar[str | None] = None
    """Encoding of the form that its notices are; None: they are JSON."""
    notice_wants: ClassVar[str | None] = None
    """What it wants to read as an answer, as a regular expression; None: any success will do."""

    @abstractmethod
    def deposit(self, charge: Charge) -> None:
        """Exactly the amount is paid in."""

    @abstractmethod
    def reverse(self, charge: Charge) -> None:
        """The bank takes a deposit back."""

    @abstractmethod
    def notice(self, charge: Charge) -> dict[str, Any]:
        """What the gateway tells the merchant's server about it."""


def _matches(route: tuple[str, str, str, str], request: Request) -> re.Match[str] | None:
    return re.fullmatch(route[1], request.path) if route[0] == request.method else None


def new_id(prefix: str, length: int) -> str:
    return prefix + secrets.token_hex(length)[: length - len(prefix)]


# --- HTTP -------------------------------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    """Headers and body leave in one packet: two cost 40 ms a call, the time of a delayed acknowledgement."""
    disable_nagle_algorithm = True
    timeout = 30
    sandbox: ClassVar["Sandbox"]

    def _handle(self) -> None:
        self.close_connection = True
        request = self._read()
        if request is None:
            self._write(json_answer(400, {"code": "BAD_REQUEST", "message": "unreadable request"}))
        elif request.path.startswith("/_sandbox/"):
            self._write(self.sandbox.control(request))
        elif answer := self.sandbox.answer(request):
            self._write(answer)
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - names prescribed by http.server

    def _read(self) -> Request | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            return None
        url = urlsplit(self.path)
        return Request(
            method=self.command,
            path=url.path,
            query={name: values[-1] for name, values in parse_qs(url.query).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(length)),
        )

    def _write(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Silent: paths contain billing keys."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def shutdown(self) -> None:
        # Wakes serve_forever, which looks by itself only now and then.
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        super().shutdown()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        error = sys.exception()
        if error and not isinstance(error, OSError):  # a client that left is nobody's fault
            raise error


# --- one running simulator --------------------------------------------------------------------------------------


class Sandbox:
    """One simulator at work. Tests in the same process use it directly, others through its control API."""

    def __init__(self, simulator: Simulator, port: int = 0, data: Path | None = None) -> None:
        self.simulator = simulator
        self.clock = simulator.clock
        self.faults = Faults()
        self._stopped = threading.Event()
        self.notices = Notices(self._stopped)
        simulator.tell = partial(self.notices.send, by_get=True)
        simulator.later = self._later
        self._file = data / f"{simulator.provider}.json" if data else None
        self._load()
        self._handler = type("Handler", (_Handler,), {"sandbox": self})
        self._listening = threading.RLock()
        self._open = False
        self._reopening = threading.Timer(0, self._reopen)
        self._server = self._listen(port)
        self.port = int(self._server.server_address[1])
        self.url = simulator.url = f"http://127.0.0.1:{self.port}"
        if self._file:
            threading.Thread(target=self._keep_saving, daemon=True).start()

    # in-process API

    def fail(self, operation: str, fault: str, *, times: int = 1, seconds: float = 0, code: str | None = None) -> None:
        self._add(Fault(operation, fault, times, seconds, code))

    def transactions(self) -> list[dict[str, Any]]:
        with self.simulator.lock:
            for charge in self.simulator.books.charges:
                self.simulator.refresh(charge)
            return self.simulator.books.view()

    def deposit(self, order_id: str, amount: int | None = None, *, reverse: bool = False) -> dict[str, Any]:
        """Pay into a virtual account, or let the bank take the deposit back. Returns the notice that is sent for it."""
        simulator = self.simulator
        if not isinstance(simulator, VirtualAccounts):
            raise BadControl("order_id", f"{simulator.provider} issues no virtual accounts")
        with simulator.lock:
            simulator.changed = True
            charge = simulator.books.any_of(order_id)
            if charge is None or "due" not in charge.details:
                raise BadControl("order_id", "no virtual account of that order")
            simulator.refresh(charge)
            if charge.state != ("captured" if reverse else "waiting"):
                raise BadControl("order_id", f"the account is {charge.state}")
            if amount not in (None, charge.amount):
                raise BadControl("amount", f"the bank takes {charge.amount}, and nothing else")
            (simulator.reverse if reverse else simulator.deposit)(charge)
            notice = simulator.notice(charge)
        self.notices.send(notice, form=simulator.notice_form, wants=simulator.notice_wants)
        return notice

    def receipts(self) -> list[dict[str, Any]]:
        with self.simulator.lock:
            return [asdict(receipt) for receipt in self.simulator.books.receipts]

    def clear_faults(self) -> None:
        self.faults.clear()
        self._reopen()

    def stop(self) -> None:
        self._stopped.set()
        self.faults.clear()
        with self._listening:
            self._reopening.cancel()
            self._close()
        self.save()

    # what the HTTP handler calls

    def answer(self, request: Request) -> Answer | None:
        """None: drop the connection."""
        operation = self.simulator.operation(request)
        fault = self.faults.take(operation) if operation else None
        if operation is None or fault is None:
            return self.simulator.serve(request, _at_once)
        return self._faulty(request, operation, fault)

    def control(self, request: Request) -> Answer:
        try:
            return self._control(request)
        except BadControl as bad:
            return json_answer(400, {"field": bad.field, "message": f"{bad.field}: {bad}"})

    def _faulty(self, request: Request, operation: str, fault: Fault) -> Answer | None:
        serve = self.simulator.serve
        released = self.faults.released
        match fault.fault:
            case "reply_lost":
                serve(request, _at_once)
                return None
            case "timeout":
                released.wait(fault.seconds or 60)
                return None
            case "slow":
                return serve(request, lambda: _ignore(released.wait(fault.seconds)))
            case "late_approval":
                due = self.clock.now() + fault.seconds
                threading.Thread(target=self._serve_late, args=(request, due), daemon=True).start()
                return None
            case "http_500":
                return Answer(500, b"<html><body>Internal Server Error</body></html>", "text/html")
            case "garbage":
                serve(request, _at_once)
                return Answer(200, b"\xb0\xe1\xc1\xa6 \xff\xfe\x00{", "application/json")
            case "decline":
                return serve(_with(request, forced=fault.code or self.simulator.usual_refusal(operation)), _at_once)
            case _:
                return serve(_with(request, surplus=1), _at_once)

    def _serve_late(self, request: Request, due: float) -> None:
        with suppress(_Stopped):
            self.simulator.serve(request, lambda: self.clock.wait_until(due, self._stopped))

    def _later(self, due: float, act: Callable[[], None]) -> None:
        def wait() -> None:
            with suppress(_Stopped):
                self.clock.wait_until(due, self._stopped)
                with self.simulator.lock:
                    self.simulator.changed = True
                    act()

        threading.Thread(target=wait, daemon=True).start()

    def _control(self, request: Request) -> Answer:
        match request.method, request.path:
            case "GET", "/_sandbox/transactions":
                return json_answer(200, self.transactions())
            case "GET", "/_sandbox/receipts":
                return json_answer(200, self.receipts())
            case "GET", "/_sandbox/visits":
                with self.simulator.lock:
                    return json_answer(200, self.simulator.windows())
            case "POST", "/_sandbox/deposits":
                return json_answer(201, self.deposit(**read_deposit(request.json())))
            case "GET", "/_sandbox/notices":
                return json_answer(200, self.notices.sent)
            case "POST", "/_sandbox/notices":
                self.notices.url = read_notice_url(request.json())
                return json_answer(200, {"url": self.notices.url})
            case "GET", "/_sandbox/faults":
                return json_answer(200, self.faults.view())
            case "POST", "/_sandbox/faults":
                self._add(read_fault(request.json()))
                return json_answer(201, self.faults.view())
            case "DELETE", "/_sandbox/faults":
                self.clear_faults()
                return json_answer(200, [])
            case "POST", "/_sandbox/clock":
                self._set_clock(request.json())
                return json_answer(200, {"now": self.clock.now()})
            case "GET", "/_sandbox/clock":
                return json_answer(200, {"now": self.clock.now()})
        return json_answer(404, {"field": "path", "message": "no such control"})

    def _add(self, fault: Fault) -> None:
        if fault.fault == "refuse":
            self._refuse(fault.seconds or 2)
        else:
            self.faults.add(fault)

    def _set_clock(self, value: dict[str, Any] | None) -> None:
        if value is None or not value or set(value) - {"now", "advance"}:
            raise BadControl("body", 'an object with "now" and/or "advance" is needed')
        now, advance = value.get("now"), read_seconds(value.get("advance", 0), "advance", -1e9, 1e9)
        if "now" in value:
            self.clock.set(None if now is None else read_seconds(now, "now", 0, 4e9))
        self.clock.advance(advance)

    # the listening socket

    def _listen(self, port: int, *, accept: bool = True) -> _Server:
        server = _Server(("127.0.0.1", port), self._handler, bind_and_activate=False)
        server.server_bind()
        if accept:
            self._accept(server)
        return server

    def _accept(self, server: _Server) -> None:
        server.server_activate()
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self._open = True

    def _close(self) -> None:
        if self._open:
            self._server.shutdown()
        self._server.server_close()
        self._open = False

    def _refuse(self, seconds: float) -> None:
        """A socket that is bound and does not listen refuses connections and keeps the port."""
        with self._listening:
            if self._open and not self._stopped.is_set():
                self._close()
                self._server = self._listen(self.port, accept=False)
            self._reopening.cancel()
            self._reopening = threading.Timer(seconds, self._reopen)
            self._reopening.daemon = True
            self._reopening.start()

    def _reopen(self) -> None:
        with self._listening:
            if not self._open and not self._stopped.is_set():
                self._accept(self._server)

    # the books on disk

    def save(self) -> None:
        with self.simulator.lock:
            if self._file is None or not self.simulator.changed:
                return
            text = json.dumps(self.simulator.books.to_json())
            self.simulator.changed = False
        fresh = self._file.with_suffix(".tmp")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._file)

    def _load(self) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            self.simulator.books = Books.from_json(json.loads(self._file.read_text(encoding="utf-8")))

    def _keep_saving(self) -> None:
        while not self._stopped.wait(0.2):
            self.save()


def _at_once() -> None:
    pass


def _ignore(_: object) -> None:
    pass


def _with(request: Request, *, forced: str | None = None, surplus: int = 0) -> Request:
    return Request(request.method, request.path, request.query, request.headers, request.body, forced, surplus)


def module(provider: str) -> Any:
    if provider not in PROVIDERS:
        raise ValueError(f"no simulator of {provider}; there are {', '.join(PROVIDERS)}")
    return importlib.import_module(f"infra.sandbox.{provider}")


@contextmanager
def run(
    providers: Sequence[str] = PROVIDERS, *, ports: Mapping[str, int] | None = None, data: Path | None = None
) -> Iterator[dict[str, Sandbox]]:
    """Simulators for the time of a `with` block, each with a clock of its own. Port 0, the default: any free one."""
    with ExitStack() as stack:
        sandboxes = {}
        for provider in providers:
            sandbox = Sandbox(module(provider).Simulator(Clock()), (ports or {}).get(provider, 0), data)
            stack.callback(sandbox.stop)
            sandboxes[provider] = sandbox
        yield sandboxes
