"""One visit of a page, what a page answers with, and the table of all pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from chalicelib.api.endpoints import error_text
from chalicelib.domain.accounts import Operator, Role, Session, User
from chalicelib.domain.channels import Environment
from chalicelib.domain.health import Health
from chalicelib.domain.merchants import Routing
from chalicelib.ports import Deps
from chalicelib.usecases.accounts import SignedInAs

LANGUAGES = ("ko", "en")
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a browser keeps about how it wants its pages. environment None: not chosen yet."""

    language: str = "ko"
    theme: str = "auto"
    environment: Environment | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, with the merchant's configuration as it is now.

    token: the session's; csrf: what every form of this page carries.
    """

    signed_in: SignedInAs
    routing: Routing
    health: Health
    token: str = field(repr=False)
    csrf: str = field(repr=False)

    @property
    def user(self) -> User:
        return self.signed_in.user

    @property
    def session(self) -> Session:
        return self.signed_in.session

    @property
    def operator(self) -> Operator:
        return self.signed_in.operator


@dataclass(frozen=True, slots=True)
class Visit:
    """steps: the path's parts after /console. root: what stands before /console. form: as `body.read_body` gives it.

    origin: scheme and host of this service, as the browser sees it.
    """

    deps: Deps
    steps: tuple[str, ...]
    query: Mapping[str, str]
    form: Mapping[str, Any] = field(repr=False)
    preferences: Preferences
    root: str
    source_ip: str | None
    user_agent: str
    device: str | None = field(repr=False)
    started: float
    origin: str = ""
    visitor: Visitor | None = None

    @property
    def who(self) -> Visitor:
        """Of pages for those who are signed in: all but those whose view says `anybody`."""
        if self.visitor is None:
            raise RuntimeError("a page for visitors who are signed in was shown to another")
        return self.visitor

    @property
    def operator(self) -> Operator:
        return self.who.operator

    @property
    def merchant_id(self) -> str:
        return self.who.operator.merchant_id

    @property
    def environment(self) -> Environment:
        """The chosen one; until one is chosen, live if there is anything live."""
        if self.preferences.environment:
            return self.preferences.environment
        live = any(not channel.is_test for channel in self.who.routing.channels.values())
        return Environment.LIVE if live else Environment.TEST

    @property
    def address(self) -> str:
        """Of this page, as a form may send it back: steps and query."""
        query = urlencode({name: value for name, value in self.query.items() if name != "done"})
        return "/".join(map(step, self.steps)) + (f"?{query}" if query and self.steps else "")

    def may(self, role: Role) -> bool:
        return self.operator.role.covers(role)

    def budget(self) -> timedelta:
        """What is left of the time before API Gateway hangs up, for gateways."""
        return self.deps.timing.request_budget - timedelta(seconds=self.deps.clock.monotonic() - self.started)

    def say(self, korean: str, english: str) -> str:
        return korean if self.preferences.language == "ko" else english

    def url(self, path: str = "", **query: object) -> str:
        """The address of a page: path as steps joined by slashes, each quoted by the caller (`step`)."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        address = f"{self.root}/console/{path}" if path else f"{self.root}/console"
        return f"{address}?{urlencode(given)}" if given else address

    def text(self, name: str, longest: int = 500) -> str:
        """A form's field without blanks around it; "" if it is not there. Cut, since it may be shown again."""
        value = self.form.get(name, "")
        return value.strip()[:longest] if isinstance(value, str) else ""


def step(value: str) -> str:
    """An id as a part of a path."""
    return quote(value, safe="")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with what was sent. field: V1's or the form's name of it, if one is to blame."""

    text: str
    field: str | None = None


def problem_of(error: Exception) -> Problem:
    return Problem(error_text(error), getattr(error, "field", None))


@dataclass(frozen=True, slots=True)
class Html:
    """A page, or a part of one for a script. values: for the template, besides what all pages have (`pages.render`)."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """To another page, by GET. done: key of a text that is said there (`visits.DONE`)."""

    path: str = ""
    done: str | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    cookies: Sequence[str] = ()


View = Callable[[Visit], Html | Redirect]


@dataclass(frozen=True, slots=True)
class Entry:
    """role None: anybody, signed in or not."""

    view: View
    role: Role | None


VIEWS: dict[tuple[str, ...], Entry] = {}
"""(method, step, step...) -> the view. A step `*` stands for any."""

DONE: dict[str, tuple[str, str]] = {
    "saved": ("저장했습니다.", "Saved."),
    "signed_out": ("로그아웃했습니다.", "Signed out."),
}
"""What pages say after a change, by the word in `?done=`. Modules of views add theirs."""


def view(method: str, path: str, role: Role | None) -> Callable[[View], View]:
    """Puts a view into the table. path: `groups/*/history`. role: what the visitor must at least be; None = anybody.

    A page that shows needs VIEWER; whatever changes something is a POST and needs more.
    """

    def decorate(function: View) -> View:
        VIEWS[(method, *(part for part in path.split("/") if part))] = Entry(function, role)
        return function

    return decorate


def find(method: str, steps: Sequence[str]) -> Entry | None:
    """Exact steps win over `*`: `groups/new` is no group's id."""
    exact = VIEWS.get((method, *steps))
    if exact or len(steps) < 2:
        return exact
    return VIEWS.get((method, steps[0], "*", *steps[2:]))
