"""Where a redirected buyer ends up: never at an origin that is not registered, as browsers read addresses.

Node has the browsers' rules (the WHATWG's URL). It is asked about whatever passes our check.
"""

import json
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.api import window_pages
from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Declined
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.payments import Payment, leave_window
from chalicelib.domain.windows import ORIGIN, Way, origin_of
from chalicelib.ports import Ref
from chalicelib.usecases.windows import check_page
from tests.support.real import require
from tests.support.windows import Shop

ORIGINS = ("https://shop.kr", "https://m.shop.kr:8443", "https://a.b", "ionic://localhost")
ROUTING = SimpleNamespace(page_origins=lambda _: ORIGINS)
DEPS = SimpleNamespace(allow_loopback=False)
HERE = "https://router.example/api/window/ticket/result"

READER = """
const rl = require("readline").createInterface({input: process.stdin});
rl.on("line", (line) => {
  let said = null;
  try {
    const [text, base] = JSON.parse(line);
    const url = new URL(text, base);
    const {protocol, host, username, hash, search} = url;
    said = {protocol, host, username, hash, search, told: [...url.searchParams]};
  } catch {}
  process.stdout.write(JSON.stringify(said) + "\\n");
});
"""


class Browser:
    """Reads addresses as browsers do."""

    def __init__(self):
        self.process = subprocess.Popen(
            [require("node"), "-e", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def read(self, address, base=HERE):
        self.process.stdin.write(json.dumps([address, base]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def browser():
    reader = Browser()
    yield reader
    reader.close()


PIECES = st.sampled_from(
    ["https", "http", "HTTPS", "javascript", "data", "ionic", ":", "://", "//", "/", "\\", "\\\\", "shop.kr", "SHOP.KR",
     "m.shop.kr:8443", "evil.example", "localhost", "@", ":443", ":0", ":", ":8443", ":99999", "?", "#", "&", "=", ".",
     "%2e", "%40", "%2F", "%09", "\t", "\n", "\r", " ", "\x00", "\x7f", "\u00ad", "\u200b", "\u3002", "\uff0e",
     "\uff0f", "\u2044", "\u212a", "\u017f", "ｓ", "ⓢ", "숍", "xn--", "[::1]", "[", "]", ";", ",", "'", '"', "<", ">",
     "imp_uid=1", "imp%5Fsuccess=true", "alert(1)", "..", "a"]
)  # fmt: skip
ADDRESSES = st.one_of(
    st.lists(PIECES, max_size=12).map("".join),
    st.tuples(st.sampled_from(ORIGINS), st.lists(PIECES, max_size=8).map("".join)).map("".join),
    st.tuples(st.sampled_from(ORIGINS), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)).map("".join),
)
READ_AS = {origin: tuple(origin.split("://")) for origin in ORIGINS}


def taken(address):
    terms = SimpleNamespace(page_origin="https://shop.kr", return_to=address)
    try:
        check_page(DEPS, ROUTING, Environment.LIVE, terms)
    except InvalidRequest:
        return False
    return True


TOLD = {
    "imp_uid": "imp_123456789012",
    "merchant_uid": "주문 &=#?1",
    "imp_success": "false",
    "error_msg": "\r\nSet-Cookie: a",
}


@pytest.mark.real
@settings(max_examples=1500, deadline=None)
@given(ADDRESSES)
@example("https://shop.kr:0/")
@example("https://shop.kr\\@evil.example/")
@example("https:\\\\shop.kr")
@example("https://shop.kr\t@evil.example")
@example("https://evil.example#@shop.kr")
@example("//evil.example")
@example("https://evil.example@shop.kr/")
@example("https://shop.\u212ar/완료?이름=값#조각")
def test_a_buyer_ends_up_at_registered_origins_only(browser, address):
    if not address or not taken(address):
        return
    done = window_pages._with_query(address, TOLD)
    assert done.isascii()
    assert done.isprintable()
    seen = browser.read(done)
    if seen is None:  # no browser goes anywhere
        return
    assert (seen["protocol"].rstrip(":"), seen["host"]) in {
        (scheme, host.removesuffix(":443")) for scheme, host in READ_AS.values()
    }
    assert seen["username"] == ""
    assert [pair for pair in seen["told"] if pair[0] in window_pages.TOLD] == [list(pair) for pair in TOLD.items()]
    before = browser.read(address)
    assert seen["hash"] == before["hash"]


@pytest.mark.parametrize("origin", ORIGINS)
def test_ordinary_addresses_are_taken(origin):
    for tail in ("", "/", "/done?a=1&b=%C7%D1#top", "?a", "#a", "/완료"):
        assert taken(origin + tail)
    assert taken("https://shop.kr:443/")


@pytest.mark.real
@settings(max_examples=500, deadline=None)
@given(st.from_regex(ORIGIN, fullmatch=True))
def test_what_is_registered_is_no_script(browser, origin):
    seen = browser.read(origin)
    assert seen is None or seen["protocol"] not in ("javascript:", "data:", "blob:", "file:", "vbscript:")
    assert not set(origin) & set(" ;,'\"\\@?#*")  # it stands in a Content-Security-Policy
    assert "/" not in origin.partition("://")[2]


@given(ADDRESSES)
def test_an_origin_is_read_from_anything(address):
    origin_of(address)


def test_the_payments_own_result_is_told(world, api):
    world.two_gateways()
    window = Shop(world, api).open(way="redirect", m_redirect_url="https://shop.kr/done")
    payment = world.store.load(Ref(Payment, (world.merchant_id, window.imp_uid)))
    gone = leave_window(payment, Declined(DeclineReason.NOT_CHARGED, "E1", "안 됩니다"), world.clock.now())
    told = f"imp_uid={window.imp_uid}&merchant_uid=order-1&imp_success=false&error_code=E1&error_msg="
    assert window_pages.done_url(gone).startswith(f"https://shop.kr/done?{told}")
    framed = replace(gone, window=replace(gone.window, way=Way.FRAME))
    assert window_pages.done_url(framed) is None
    assert window_pages.done_url(replace(gone, window=None)) is None
