"""`make run` that is killed and started again, and a merchant who goes on using it all the while."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from infra.dynamodb_local import free_port
from tests.contract.windows import DRIVERS
from tests.support.api import Page
from tests.support.local_service import CARD, ROOT, STARTS_WITHIN, STOPS_WITHIN, alive, ask, descendants, until
from tests.support.windows import FORM, json_of

T = TypeVar("T")

STOLEN = {**CARD, "card_number": "4000-0000-0000-0002"}
SHOPPERS = 6
PAGE = "http://localhost:8080"
"""The shop's, on this machine, where any may open windows."""
WINDOWS_AT = "nice_v2"
"""Toss says of what was agreed to and never approved for ten minutes that it may still be: too long to wait for."""
FAULTS = (
    ("charge", "reply_lost", 0),
    ("charge", "slow", 1.5),
    ("cancel", "reply_lost", 0),
    ("cancel", "slow", 1.5),
    ("account", "reply_lost", 0),
    ("issue", "slow", 1),
    ("find", "slow", 1),
)


@contextmanager
def simulators(folder: Path) -> Iterator[dict[str, str]]:
    """The gateways, as processes that outlive the service. Provider -> URL."""
    command = [sys.executable, "-m", "infra.sandbox", "--data", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


class Victim:
    """The service on one port and one folder of data, whichever process it is just now."""

    def __init__(self, folder: Path, table: str, gateways: dict[str, str]) -> None:
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}"
        self.said = ""
        """By all processes that ended."""
        self._file = folder / "sandbox.json"
        self._output = folder / "output.txt"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environment = {
            **ours,
            "PORT": str(self.port),
            "LOCAL_DATA": str(folder / "data"),
            "AWS_ENDPOINT_URL_DYNAMODB": table,
            "GATEWAY_URLS": json.dumps(gateways),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        with self._output.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.local", "--sandbox-file", str(self._file)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> dict[str, Any]:
        """What its file says."""

        def ready() -> bool:
            assert self._process.poll() is None, self._output.read_text()
            return "Try, in another terminal" in self._output.read_text()

        until(ready, STARTS_WITHIN, "a service that is ready")
        said: dict[str, Any] = json.loads(self._file.read_text())
        return said

    def kill(self) -> None:
        """All of it at one instant: frozen first, so that nobody sees another die and still acts on it."""
        family = [self._process.pid]
        os.kill(self._process.pid, signal.SIGSTOP)
        family += descendants(self._process.pid)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in reversed(family):
                _signal(pid, number)
        self._process.wait()
        until(lambda: not alive(family), 10, "the end of all processes")
        self.said += self._output.read_text()

    def stop(self) -> None:
        """As a user does. Nothing is left."""
        children = descendants(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=STOPS_WITHIN) == 0, self._output.read_text()
        assert alive(children) == []
        self.said += self._output.read_text()

    def abandon(self) -> None:
        """Leave nothing, however the test ended."""
        if self._process and self._process.poll() is None:
            self.kill()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


# --- the merchant --------------------------------------------------------------------------------------------------


@dataclass
class Ledger:
    """What the merchant has asked for, and what it was told. Sets of imp_uids, unless it says otherwise."""

    requests: int = 0
    unheard: int = 0
    """Requests that nobody was there to take."""
    lost: int = 0
    """Requests that were taken, and not answered."""
    refusals: Counter[str] = field(default_factory=Counter)
    broken: list[Any] = field(default_factory=list)
    """Answers that nobody should get."""
    told: dict[str, set[str]] = field(default_factory=dict)
    """V1 status -> imp_uids that it was told of."""
    cancelled: dict[str, int] = field(default_factory=dict)
    """imp_uid -> how much was said to be given back."""
    booked: set[str] = field(default_factory=set)
    """merchant_uids."""
    customers: set[str] = field(default_factory=set)
    """customer_uids whose key was issued."""
    windows: int = 0
    """Those that were opened."""
    accounts: set[str] = field(default_factory=set)
    deposited: set[str] = field(default_factory=set)


class Merchant:
    """Threads that ask for everything at random, as long as the `with` block lasts; and faults at the gateways."""

    def __init__(self, victim: Victim, said: dict[str, Any], seed: int) -> None:
        self.ledger = Ledger()
        self._api = victim.api
        self._port = victim.port
        self.user_code: str = said["user_code"]
        self.channels: dict[str, str] = said["channels"]
        self._credentials = {name: said[name] for name in ("imp_key", "imp_secret")}
        self._gateways: dict[str, str] = said["gateways"]
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._token = ask(f"{self._api}/users/getToken", self._credentials)[1]["response"]["access_token"]
        self._shoppers = [_Shopper(self, n, random.Random(f"{seed} {n}")) for n in range(SHOPPERS)]
        self._threads = [threading.Thread(target=shopper.run) for shopper in self._shoppers]
        self._threads.append(threading.Thread(target=self._disturb, args=(random.Random(seed),)))

    def __enter__(self) -> "Merchant":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for url in self._gateways.values():
            ask(f"{url}/_sandbox/faults", method="DELETE")

    @property
    def going_on(self) -> bool:
        return not self._stopped.is_set()

    def pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def send(self, path: str, body: object = None, method: str | None = None, **headers: str) -> dict[str, Any] | None:
        """The answer if it was one of success, {} if it was a refusal, None if there was none."""
        sent = {"Authorization": self._token, **headers}
        heard = self._heard(lambda: ask(f"{self._api}{path}", body, method, sent))
        if heard is None:
            return None
        status, answer = heard
        with self._lock:
            if status >= 500 or status == 401:
                self.ledger.broken.append((path, status, answer))
            elif answer["code"] != 0:
                self.ledger.refusals[answer["message"]] += 1
        return answer if status < 500 and answer["code"] == 0 else {}

    def browse(self, path: str, fields: Mapping[str, str] | None = None) -> Page | None:
        """What a buyer's browser is shown; None if there was no answer."""
        page = self._heard(lambda: _load(self._port, path, fields))
        if page and page.status >= 500:
            with self._lock:
                self.ledger.broken.append((path, page.status, page.text))
        return page

    def _heard(self, request: Callable[[], T]) -> T | None:
        with self._lock:
            self.ledger.requests += 1
        try:
            return request()
        except (OSError, http.client.HTTPException, ValueError) as error:
            with self._lock:
                if isinstance(getattr(error, "reason", error), ConnectionRefusedError):
                    self.ledger.unheard += 1
                else:
                    self.ledger.lost += 1
            self.pause(0.3)
            return None

    def press(self, driver: str, params: Mapping[str, Any], button: str) -> dict[str, str]:
        """A buyer in the gateway's window: what his browser brings back from it."""
        url, known = self._gateways[driver], DRIVERS[driver]
        _, visit = ask(f"{url}/_window/visits", known.enter(params))
        _, step = ask(f"{url}{visit['path']}/{button}", {})
        if "tell" in step:
            return known.told(step["tell"])
        return dict(parse_qsl(step["go"]["url"].partition("?")[2])) | dict(step["go"]["fields"] or {})

    def note(self, payment: dict[str, Any]) -> None:
        with self._lock:
            self.ledger.told.setdefault(payment["status"], set()).add(payment["imp_uid"])
            if payment.get("cancel_amount"):
                before = self.ledger.cancelled.get(payment["imp_uid"], 0)
                self.ledger.cancelled[payment["imp_uid"]] = max(before, payment["cancel_amount"])

    def pay_in(self, imp_uid: str) -> None:
        order_id = f"{imp_uid.replace('_', '')}a1"
        status, _ = ask(f"{self._gateways['tosspayments']}/_sandbox/deposits", {"order_id": order_id})
        if status == 201:
            with self._lock:
                self.ledger.deposited.add(imp_uid)

    def _disturb(self, rng: random.Random) -> None:
        while self.going_on:
            operation, fault, seconds = rng.choice(FAULTS)
            url = rng.choice(sorted(self._gateways.values()))
            ask(f"{url}/_sandbox/faults", {"operation": operation, "fault": fault, "seconds": seconds})
            self.pause(rng.uniform(0.3, 1.5))


def _load(port: int, path: str, fields: Mapping[str, str] | None) -> Page:
    """Redirects are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        if fields is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, urlencode(fields), {"Content-Type": FORM})
        reply = connection.getresponse()
        return Page(reply.status, dict(reply.headers), reply.read().decode())
    finally:
        connection.close()


class _Shopper:
    """One thread of the merchant's server."""

    def __init__(self, merchant: Merchant, number: int, rng: random.Random) -> None:
        self._merchant = merchant
        self._rng = rng
        self._name = f"shopper{number}"
        self._count = 0
        self._customers: list[str] = []
        self._paid: list[dict[str, Any]] = []

    def run(self) -> None:
        self._issue()
        while self._merchant.going_on:
            acts = (self._onetime, self._window, self._again, self._book, self._cancel, self._account, self._issue)
            [act] = self._rng.choices(acts, weights=(20, 20, 30, 20, 20, 8, 4))
            act()
            self._merchant.pause(self._rng.uniform(0, 0.2))

    def _new(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._name}-{self._count}"

    def _onetime(self) -> None:
        card = STOLEN if self._rng.random() < 0.1 else CARD
        self._charge("/subscribe/payments/onetime", {**self._wanted("onetime"), **card})

    def _window(self) -> None:
        """Most buyers pay; some are declined, some leave, and some never come back."""
        method = self._rng.choice(("card", "trans"))
        body = {
            **self._wanted("window"), "user_code": self._merchant.user_code, "way": "frame", "pay_method": method,
            "channel_key": self._merchant.channels[WINDOWS_AT], "buyer_tel": "010-1234-5678",
        }  # fmt: skip
        answer = self._merchant.send("/window/payments", body, Origin=PAGE)
        path = f"/{answer['response']['url']}" if answer else ""
        page = self._merchant.browse(path) if path else None
        if page is None or page.status != 200:
            return
        self._merchant.ledger.windows += 1
        data = json_of(page, "window")
        button = self._rng.choice(("approve",) * 7 + ("cancel", "fail", "approve-no-funds", "stall"))
        if button != "stall":
            self._come_back(path, self._merchant.press(data["driver"], data["params"], button))

    def _come_back(self, path: str, fields: Mapping[str, str]) -> None:
        """Half of all browsers come twice; and without an answer, nearly all of them come again."""
        page = self._merchant.browse(f"{path}/return", fields)
        while page is None and self._merchant.going_on and self._rng.random() < 0.8:
            page = self._merchant.browse(f"{path}/return", fields)
        if self._rng.random() < 0.5:
            self._merchant.browse(f"{path}/return", fields)
        answer = self._merchant.send(f"{path}/state") if page and page.status == 303 else None
        if answer:
            self._merchant.note(answer["response"])
            if answer["response"]["status"] == "paid":
                self._paid.append(answer["response"])

    def _again(self) -> None:
        if self._customers:
            customer_uid = self._rng.choice(self._customers)
            self._charge("/subscribe/payments/again", {**self._wanted("again"), "customer_uid": customer_uid})

    def _wanted(self, kind: str) -> dict[str, Any]:
        return {"merchant_uid": self._new(kind), "amount": self._rng.choice((5000, 8900)), "name": "Chair"}

    def _charge(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Asked for again under the same merchant_uid, where no answer came; as half of all clients do."""
        answer = self._merchant.send(path, body)
        while answer is None and self._merchant.going_on and self._rng.random() < 0.8:
            answer = self._merchant.send(path, body)
            answer = answer or self._merchant.send(f"/payments/find/{body['merchant_uid']}")
        if not answer:
            return None
        payment: dict[str, Any] = answer["response"]
        self._merchant.note(payment)
        if payment["status"] == "paid" and payment["pay_method"] == "card":
            self._paid.append(payment)
        return payment

    def _book(self) -> None:
        if not self._customers:
            return
        at = int(time.time()) + self._rng.randint(2, 6)
        entries = [{**self._wanted("later"), "schedule_at": at} for _ in range(self._rng.randint(1, 3))]
        body = {"customer_uid": self._rng.choice(self._customers), "schedules": entries}
        if self._merchant.send("/subscribe/payments/schedule", body):
            self._merchant.ledger.booked.update(entry["merchant_uid"] for entry in entries)

    def _cancel(self) -> None:
        """Some payments once, some until nothing is left, some in one go."""
        if not self._paid:
            return
        payment = self._rng.choice(self._paid)
        amount = self._rng.choice(({}, {"amount": 1000}, {"amount": 1000}))
        body = {"imp_uid": payment["imp_uid"], "reason": "r", "extra": {}, "enable_webhook": True, **amount}
        if answer := self._merchant.send("/payments/cancel", body):
            self._merchant.note(answer["response"])
        if not amount:
            self._paid.remove(payment)

    def _account(self) -> None:
        due = int(time.time()) + 3 * 86_400
        body = {**self._wanted("account"), "vbank_code": "088", "vbank_due": due, "buyer_name": "Gildong"}
        payment = self._charge("/vbanks", body)
        if payment is None or payment["status"] != "ready" or not payment["vbank_num"]:
            return
        self._merchant.ledger.accounts.add(payment["imp_uid"])
        self._merchant.pause(self._rng.uniform(0, 1))
        chance = self._rng.random()
        if chance < 0.6:
            self._merchant.pay_in(payment["imp_uid"])
        elif chance < 0.8 and (answer := self._merchant.send(f"/vbanks/{payment['imp_uid']}", method="DELETE")):
            self._merchant.note(answer["response"])

    def _issue(self) -> None:
        customer_uid = self._new("customer")
        if self._merchant.send(f"/subscribe/customers/{customer_uid}", CARD):
            self._customers.append(customer_uid)
            self._merchant.ledger.customers.add(customer_uid)
