"""What the use cases need from the world, as protocols. Implementations are built in `container` and nowhere else."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar, overload

from chalicelib.domain.channels import Channel
from chalicelib.domain.charging import (
    ApproveResult,
    CancelRequest,
    CancelResult,
    Card,
    ChargeNotice,
    ChargeQuery,
    ChargeResult,
    Declined,
    DeleteResult,
    DepositNotice,
    FindResult,
    IssueRequest,
    IssueResult,
    IssueVirtualAccountResult,
    NotSent,
    PaymentRequest,
    RevokeResult,
    Unknown,
    VirtualAccountRequest,
)
from chalicelib.domain.notices import DeliveryResult
from chalicelib.domain.receipts import (
    CancelReceiptResult,
    CashReceiptCancel,
    CashReceiptRequest,
    FindReceiptResult,
    IssueReceiptResult,
)
from chalicelib.domain.specs import GatewaySpec
from chalicelib.domain.windows import Authenticated, ReturnResult, WindowOrder, WindowPage

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, aware, UTC."""
        ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


# --- gateways ---------------------------------------------------------------------------------------------------


class Gateway(Protocol):
    """One channel's connection to its gateway. Stateless: says what the gateway said, writes nothing.

    `timeout`: seconds the whole call may take, connecting included. Every method returns one of its result types and
    raises only `UnsupportedOperation`; a reply it cannot read is `Unknown`. Texts in results carry no card data.
    """

    spec: GatewaySpec
    """This channel's: perhaps more than the gateway's own (`Gateways.spec_of`)."""

    def charge_card(self, order_id: str, request: PaymentRequest, card: Card, timeout: float) -> ChargeResult: ...

    def charge_billing_key(
        self, order_id: str, request: PaymentRequest, secret: Mapping[str, str], timeout: float
    ) -> ChargeResult: ...

    def find_charge(self, query: ChargeQuery, timeout: float) -> FindResult:
        """What the gateway has of that charge; its cancels and balance included.

        By our order id (Operation.FIND), or by the gateway's number where the query has it (READ).
        """
        ...

    def cancel(self, request: CancelRequest, timeout: float) -> CancelResult:
        """Give money back. Sending the same cancel_id again never gives it back twice."""
        ...

    def issue_billing_key(self, request: IssueRequest, card: Card, timeout: float) -> IssueResult: ...

    def delete_billing_key(self, order_id: str, secret: Mapping[str, str], timeout: float) -> DeleteResult: ...

    def issue_cash_receipt(self, request: CashReceiptRequest, timeout: float) -> IssueReceiptResult:
        """Sending the same order_id again never issues a second receipt: the first answer again, or Unknown."""
        ...

    def find_cash_receipt(self, order_id: str, since: datetime, until: datetime, timeout: float) -> FindReceiptResult:
        """What became of a receipt, or of its cancel, that was asked for between since and until."""
        ...

    def cancel_cash_receipt(self, request: CashReceiptCancel, timeout: float) -> CancelReceiptResult:
        """Cancel a whole receipt. One that had been cancelled before is cancelled."""
        ...

    def issue_virtual_account(
        self, order_id: str, request: PaymentRequest, account: VirtualAccountRequest, timeout: float
    ) -> IssueVirtualAccountResult:
        """Open an account that takes exactly the request's amount, once."""
        ...

    def revoke_virtual_account(self, revoke_id: str, gateway_ref: str, timeout: float) -> RevokeResult:
        """Close an account that nothing was paid into. If something was, it is Declined or Unknown: never a refund."""
        ...

    def open_window(self, order: WindowOrder, timeout: float) -> WindowPage | Declined | NotSent | Unknown:
        """What our page needs to open the gateway's window. May ask the gateway, and moves no money.

        Called for every view of the page, reloads included: the same order each time.
        """
        ...

    def read_return(self, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:
        """What the browser has brought back, by GET or with a form. Checks what is signed; asks nobody.

        Raises InvalidRequest for what the gateway cannot have sent for this order: nothing happens then.
        """
        ...

    def approve(self, order: WindowOrder, back: Authenticated, timeout: float) -> ApproveResult:
        """Ask the gateway to carry out what the buyer has agreed to. Here the money moves."""
        ...

    def read_charge_notice(self, fields: Mapping[str, Any]) -> ChargeNotice:
        """Which charge a notice of the gateway is about. Checks its signature; asks nobody. Raises InvalidRequest."""
        ...

    def read_deposit_notice(self, fields: Mapping[str, Any]) -> DepositNotice | None:
        """What a deposit notice says, as the gateway sends it; None if it is about something else, which needs nothing.

        Asks nobody. Raises InvalidRequest if it is no notice of this gateway.
        """
        ...


class UnsupportedOperation(Exception):
    """The gateway has no such operation; routing excludes it beforehand by its spec."""


class Gateways(Protocol):
    def spec(self, provider: str) -> GatewaySpec:
        """Raises InvalidRequest("pg_provider") for an unknown provider."""
        ...

    def spec_of(self, channel: Channel) -> GatewaySpec:
        """What this channel can do: its gateway's, and what its contract adds."""
        ...

    def specs(self) -> Sequence[GatewaySpec]: ...

    def open(self, channel: Channel, credentials: Mapping[str, str]) -> Gateway: ...


# --- storage ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ref(Generic[T]):
    """Names one stored thing: its type and the parts of its key."""

    kind: type[T]
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deleted:
    """Marks an entity for deletion in `Store.commit`."""

    entity: Any


class StoreUnavailable(Exception):
    """The table, or the key service, did not answer, or not in full. A write may or may not have happened."""


class TooLarge(Exception):
    """An entity has outgrown what one item can hold. Nothing was stored."""


class Conflict(Exception):
    """Somebody else wrote first: nothing of this commit was stored. entity: the first that no longer fits."""

    def __init__(self, entity: object) -> None:
        super().__init__(type(entity).__name__)
        self.entity = entity


@dataclass(frozen=True, slots=True)
class DueItem:
    """A pointer to something whose time has come, as the timer's index lists it."""

    kind: str
    parts: tuple[str, ...]
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: tuple[T, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One numbered page. total: how many entries the stretch has in all."""

    items: tuple[T, ...]
    total: int


class TooMany(Exception):
    """More entries than can be sorted by another time than the list's own."""

    def __init__(self, total: int, limit: int) -> None:
        super().__init__(f"{total} entries, at most {limit}")
        self.limit = limit


class Store(Protocol):
    """One table. Entities are frozen values with a `version`; 0 means not stored yet."""

    @overload
    def load(self, a: Ref[A], /) -> A | None: ...
    @overload
    def load(self, a: Ref[A], b: Ref[B], /) -> tuple[A | None, B | None]: ...
    @overload
    def load(self, a: Ref[A], b: Ref[B], c: Ref[C], /) -> tuple[A | None, B | None, C | None]: ...
    def load(self, *refs: Ref[Any]) -> Any:
        """Read one to three things in one round trip; sees every finished write."""
        ...

    def load_many(self, refs: Sequence[Ref[T]]) -> list[T | None]:
        """Like load, for many of one kind; one round trip per hundred."""
        ...

    def commit(self, *changes: Any) -> tuple[Any, ...]:
        """Write all or none, in one round trip, at most 100; returns them with their new versions.

        Each is written only if the stored version is still the one it was read with. Raises Conflict otherwise.
        """
        ...

    def due(self, shard: int, after: datetime | None, until: datetime) -> Iterable[DueItem]:
        """Pointers with after < due_at <= until of one shard, oldest first. May trail writes a little."""
        ...

    def page(
        self, kind: type[T], lists: Sequence[tuple[str, ...]], since: int, until: int, *, offset: int, limit: int,
        newest_first: bool = True, by: int = 0,
    ) -> Listing[T]:  # fmt: skip
        """Entries offset.. of some of a merchant's long lists together, by time: since <= t < until, unix seconds.

        Costs the same however many are stored. by: position of another time in the list's sort key to order by, at the
        price of reading the keys of the whole stretch; raises TooMany. May trail writes a little.
        """
        ...

    def page_of(
        self, kind: type[T], owner: tuple[str, ...], since: int, until: int, *, offset: int, limit: int,
        newest_first: bool = True, facet: str | None = None,
    ) -> Listing[T]:  # fmt: skip
        """The same for a short list, one that belongs to a customer; its keys in the stretch are all read."""
        ...

    def list(
        self, kind: type[T], parts: tuple[str, ...], *, limit: int = 100, cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[T]:  # fmt: skip
        """A short list from its beginning, page by page (storage.items says which there are). May trail a little."""
        ...

    def alarms(self, kind: type[T], merchant_id: str, *, limit: int = 100, cursor: str | None = None) -> Page[T]:
        """What of one kind waits for a person, newest first. May trail writes a little."""
        ...

    def newest(self, kind: type[T], merchant_id: str, *, limit: int = 100, cursor: str | None = None) -> Page[T]:
        """All that a merchant has of one kind (Audit), newest first, page by page. May trail writes a little."""
        ...

    def by_ref(self, kind: type[T], merchant_id: str, ref: str, *, limit: int = 20) -> tuple[T, ...]:
        """What gateways know by that name (Payment.gateway_ref): two may use the same. May trail writes a little."""
        ...

    def hourly(self, lists: Sequence[tuple[str, ...]], since: int, until: int) -> Mapping[int, int]:
        """Entries of long lists as in `page`, by the hour: unix seconds of its beginning -> how many, without zeros."""
        ...

    def counters(self, parts: tuple[str, ...], low: str = "", high: str = "") -> Mapping[str, Counter[str]]:
        """Counters of one subject (`usecases.statistics` says which): slot -> name -> number, without zeros.

        low, high: the first and the last slot wanted; all slots if they are empty. May trail writes a little.
        """
        ...


# --- everything else --------------------------------------------------------------------------------------------


class Sealer(Protocol):
    """Envelope encryption. `context` is bound to the text: sealed for one purpose, it opens for no other.

    Raises StoreUnavailable if the key service does not answer.
    """

    def new_data_key(self, merchant_id: str) -> str:
        """A fresh encrypted data key, to be kept with the merchant."""
        ...

    def seal(self, data_key: str, context: tuple[str, ...], plain: Mapping[str, str]) -> str: ...

    def open(self, data_key: str, context: tuple[str, ...], sealed: str) -> dict[str, str]: ...


class TaskKind(StrEnum):
    SCHEDULE = "schedule"
    PAYMENT = "payment"
    NOTICE = "notice"
    SLOW_NOTICE = "slow_notice"
    """A notice to a receiver that keeps one waiting; the timer knows it as a NOTICE."""
    BOOKING = "booking"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class Task:
    """Work to be looked at at `due_at`. Delivered at least once; the work itself claims before it acts."""

    kind: TaskKind
    parts: tuple[str, ...]
    due_at: datetime


class QueueUnavailable(Exception):
    """Some tasks were not taken. Nothing is lost: the timer finds their items again."""


class Queue(Protocol):
    def put(self, tasks: Sequence[Task], now: datetime) -> None:
        """Hand over tasks to be delivered at their due_at (at once if it has passed; at most 15 minutes ahead).

        Raises QueueUnavailable.
        """
        ...


class Sender(Protocol):
    """Delivers webhooks."""

    def refuse_url(self, url: str) -> str | None:
        """Why this URL may not be called (not http(s), a private address...), or None."""
        ...

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> DeliveryResult:
        """Delivered if the receiver answered 2xx within `timeout` seconds. Never raises for its faults."""
        ...


class TokenSigner(Protocol):
    def sign(self, imp_key: str, issued_at: int) -> str: ...

    def read(self, token: str) -> tuple[str, int] | None:
        """(imp_key, issued_at in unix seconds), or None if the token is not one of ours."""
        ...


class Passwords(Protocol):
    """Hashes that take long to guess back."""

    def hash(self, password: str) -> str: ...

    def verify(self, password_hash: str | None, password: str) -> bool:
        """None: nobody's; takes as long as somebody's, and is False."""
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Made with other parameters than today's."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take. recovery_scale shrinks settling for test channels; live channels ignore it."""

    recovery_scale: float = 1.0
    request_budget: timedelta = timedelta(seconds=25)
    """For a request that API Gateway cuts at 29 s."""
    task_budget: timedelta = timedelta(seconds=75)
    """For work from a queue: Toss may take 60 s to approve."""
    lease_margin: timedelta = timedelta(seconds=15)
    """Beyond its budget, whoever claimed something is dead. Never scaled: a scaled lease would overtake the living."""
    horizon: timedelta = timedelta(minutes=10)
    """How far ahead the sweep hands work to the queue (SQS delays at most 15 minutes)."""
    overdue_after: timedelta = timedelta(seconds=10)
    webhook_timeout: timedelta = timedelta(seconds=30)
    """For a receiver to answer the first try of a webhook, as in V1; connecting included."""
    webhook_retry_timeout: timedelta = timedelta(seconds=15)
    slow_webhook: timedelta = timedelta(seconds=5)
    """Who takes longer to answer gets the slow lane."""


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a use case may use. Passed in; nothing is looked up."""

    store: Store
    gateways: Gateways
    sealer: Sealer
    queue: Queue
    sender: Sender
    clock: Clock
    rng: random.Random
    signer: TokenSigner
    passwords: Passwords
    timing: Timing = field(default_factory=Timing)
    allow_loopback: bool = False
    """Pages and webhooks of this machine are welcome: on a developer's machine, and nowhere else."""
