"""A real browser. One per process; no storage, no cookie, no cache, no clock is shared by two tests.

A page that throws fails its test, unless the test takes the errors out of `page_errors`. What pages say on the console
is in `console`; where a whole service is tried (`new_shop`) it has to be silent, but for what a test takes out.
"""

import re
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from chalicelib import container
from infra.local_api import make_server, quiet_pools
from infra.sandbox import run
from tests.browser.console import ConsoleSite
from tests.browser.fake_router import FakeRouter
from tests.browser.shop import WEBHOOK, Shop
from tests.support.real import chromium
from tests.support.world import World

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1"


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page_errors():
    """What pages threw and did not catch, as text."""
    return []


class Console(list):
    """Errors and warnings of all pages, as text."""

    expected = None

    def hear(self, said):
        if said.type in ("error", "warning"):
            self.append(f"{said.text} ({said.location['url']})")

    def expect(self, pattern):
        """It may be said, whenever: browsers are late with it now and then."""
        self.expected = re.compile(pattern)

    def unexpected(self):
        return [text for text in self if not (self.expected and self.expected.search(text))]


@pytest.fixture
def console():
    return Console()


DESKTOP = {"viewport": {"width": 1280, "height": 900}, "locale": "ko-KR"}
HANDHELD = {
    "user_agent": PHONE, "is_mobile": True, "has_touch": True, "viewport": {"width": 390, "height": 844},
    "locale": "ko-KR",
}  # fmt: skip


def listen(context, page_errors, console):
    """Returns what ends it."""
    context.set_default_timeout(30_000)
    hear = {"weberror": lambda error: page_errors.append(str(error.error)), "console": console.hear}
    for event, heard in hear.items():
        context.on(event, heard)
    return lambda: [context.remove_listener(event, heard) for event, heard in hear.items()]


@pytest.fixture
def open_page(browser, page_errors, console):
    """A fresh page in a fresh context, with the options of Playwright's `new_context`."""
    contexts = []

    def new(**options):
        context = browser.new_context(**{**DESKTOP, **options})
        listen(context, page_errors, console)
        contexts.append(context)
        return context.new_page()

    yield new
    for context in contexts:
        context.close()
    assert page_errors == []


class Kept:
    """A context that is emptied after each test. The first page of one takes a browser twice as long as the next."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(**options)
        self._idle = self.context.new_page()
        self._devtools = self.context.new_cdp_session(self._idle)

    def empty(self):
        for page in self.context.pages:
            if page is not self._idle:
                page.close()
        self.context.unroute_all()
        self.context.clear_cookies()
        self._devtools.send("Network.clearBrowserCache")
        self._devtools.send("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})


@pytest.fixture(scope="session")
def kept(browser):
    contexts = {}

    def keep(**options):
        key = str(options)
        if key not in contexts:
            contexts[key] = Kept(browser, **options)
        return contexts[key]

    yield keep
    for one in contexts.values():
        one.context.close()


@pytest.fixture
def kept_page(kept, page_errors, console):
    """A fresh page in a context of these options, which other tests have used."""
    with ExitStack() as stack:

        def new(**options):
            one = kept(**options)
            stack.callback(one.empty)
            stack.callback(listen(one.context, page_errors, console))
            return one.context.new_page()

        yield new
    assert page_errors == []


@pytest.fixture
def page(kept_page):
    return kept_page(**DESKTOP)


@pytest.fixture
def phone(kept_page):
    """A page on a telephone. Narrow, too."""
    return kept_page(**HANDHELD)


@pytest.fixture
def timed_page(open_page):
    """A page whose time the test makes pass. Its context is its own: time cannot be given back."""
    page = open_page()
    page.clock.install()
    return page


# --- a whole service -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def api_url():
    """app.py over HTTP, with whatever was installed last."""
    from app import app

    quiet_pools()
    server = make_server(app)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def new_shop(api_url, console):
    """Puts up a shop whose group is these gateways: all at the first, the others as a reserve."""
    with ExitStack() as stack:

        def put_up(*providers, failover="unsent", **more):
            boxes = stack.enter_context(run(providers))
            web = stack.enter_context(FakeRouter())
            world = World(boxes)
            world.deps = replace(world.deps, allow_loopback=True)
            container.install(world.deps)
            stack.callback(container.install, None)
            entries = [(world.channel(name), 100 if name == providers[0] else 0) for name in providers]
            shop = Shop(world, api_url, web, world.group(entries, failover=failover).group_id, more)
            world.webhook_url(WEBHOOK)
            shop.put_up()
            return shop

        yield put_up
    assert console.unexpected() == []


# --- the console -----------------------------------------------------------------------------------------------------


@pytest.fixture
def new_console(api_url, console):
    """Puts up a service with simulators of these gateways, and its console. The test makes channels and groups."""
    with ExitStack() as stack:

        def put_up(*providers):
            boxes = stack.enter_context(run(providers))
            world = World(boxes)
            world.deps = replace(world.deps, allow_loopback=True)
            container.install(world.deps)
            stack.callback(container.install, None)
            return ConsoleSite(world, api_url)

        yield put_up
    assert console.unexpected() == []
