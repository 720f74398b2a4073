"""A shop that sells in a window: its page on an origin of its own, the service behind it, and the buyer at the browser.

The page runs the guide's first sample as it stands. Everything is real but the gateways, the table and the queue, which
are those of `tests.support.world`: their clock stands still, and their tasks wait until a test lets them run.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import urllib3

from chalicelib.domain.payments import Payment, State
from chalicelib.ports import Ref
from tests.browser.fake_router import FakeRouter
from tests.support.world import World

SAMPLE = """
IMP.request_pay(
{
// 결제대행사를 지정할 때 사용한 channelKey, pg 대신
// channelGroupId 파라미터에 스마트 라우팅 그룹 ID를 설정합니다.
channelGroupId: "channel-group-live-f042e8e2-92f1-4f68-ad61-cec6ede41529",
pay_method: "card", //결제수단 선택
merchant_uid: "ORD20180131-0000011", //고객사 주문번호
name: "Norway swivel chair", //주문명
amount: 1000, // 결제 금액
//고객 정보
buyer_email: "gildong@gmail.com",
buyer_name: "Hong Gildong",
buyer_tel: "010-4242-4242",
buyer_addr: "Shinsa-dong, Gangnam-gu, Seoul",
buyer_postcode: "01181",
},
function (rsp) {
// callback
if (rsp.success) {
// Payment is successful
} else {
// Payment failed
}
},
);
"""
GROUP_IN_SAMPLE = re.search(r"channel-group-[\w-]+", SAMPLE)[0]
ORDER = "ORD20180131-0000011"
WEBHOOK = "http://shop.invalid/webhook"

PAGE = """<!doctype html>
<html lang="ko">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>의자 가게</title>
<link rel="icon" href="/shop/icon.svg">
<link rel="stylesheet" href="/shop/shop.css">
<h1>Norway swivel chair</h1>
<p>1,000원</p>
<button id="buy">구매하기</button>
<script src="$api/v1/iamport.js"></script>
<script src="/shop/shop.js"></script>
"""
STYLE = ":root { color-scheme: light dark } body { font-family: sans-serif; padding: 2rem }"
# What a test wants besides is added to the sample's call, and what its callback gets is written down.
SCRIPT = """
window.results = [];
window.more = $more;
IMP.init("$user_code");
const { request_pay } = IMP;
IMP.request_pay = (param, callback) =>
  request_pay({ ...param, ...window.more }, (rsp) => { window.results.push(rsp); callback(rsp); });
function pay() {
$sample
}
document.getElementById("buy").addEventListener("click", pay);
"""

DIALOG = "dialog[aria-label=결제창]"
CLOSE = "button[aria-label='결제창 닫기']"
BUYERS_PAGE = re.compile(r"/_window/visits/")
WINDOW = re.compile(r"/window/imp[^/]+$")
RESULT = re.compile(r"/window/imp[^/]+/result$")


@dataclass
class Shop:
    """api: the router's address. web: serves the shop's pages; its `url` is an origin that nobody has registered."""

    world: World
    api: str
    web: FakeRouter
    group_id: str
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.web.shop}/shop"

    def put_up(self) -> None:
        """Its page, as it is from now on."""
        script = (
            SCRIPT.replace("$sample", SAMPLE.replace(GROUP_IN_SAMPLE, self.group_id))
            .replace("$user_code", self.world.merchant_id)
            .replace("$more", json.dumps(self.more))
        )
        self.web.pages |= {
            "/shop": PAGE.replace("$api", self.api),
            "/shop/shop.js": (200, "text/javascript", script.encode()),
            "/shop/shop.css": (200, "text/css", STYLE.encode()),
            "/shop/icon.svg": (200, "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        }

    # what became of it

    def payment(self, imp_uid: str) -> dict[str, Any]:
        """As the merchant's server asks for it."""
        made = self.world.merchant
        login = {"imp_key": made.imp_key, "imp_secret": made.imp_secret}
        token = self._ask("POST", "/users/getToken", json=login)["access_token"]
        return self._ask("GET", f"/payments/{imp_uid}", headers={"Authorization": token})

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        reply = urllib3.request(method, self.api + path, retries=False, **more)
        assert reply.status == 200, reply.data
        return reply.json()["response"]

    def ordered(self) -> dict[str, Any]:
        """The order's payment, without the help of the page."""
        return self.payment(f"find/{self.more.get('merchant_uid', ORDER)}")

    def stored(self) -> Payment:
        """The order's payment as the router keeps it."""
        imp_uid = self.ordered()["imp_uid"]
        return self.world.store.load(Ref(Payment, (self.world.merchant_id, imp_uid)))

    def is_claimed(self) -> bool:
        """Whether an approval is under way."""
        return self.stored().state is State.CLAIMED

    def webhooks(self) -> list[str]:
        """Statuses that it was told of by now."""
        self.world.run_queue()
        return [json.loads(body)["status"] for url, body, _ in self.world.sender.sent if url == WEBHOOK]

    def agrees(self, told: dict[str, Any], status: str) -> dict[str, Any]:
        """The callback's result, the REST API and the gateways' books tell the same; no money but for what is paid."""
        payment = self.payment(told["imp_uid"])
        assert (told["status"], payment["status"]) == (status, status), (told, payment)
        assert told["success"] is told["imp_success"] is (status != "failed")
        for name in ("merchant_uid", "pay_method", "pg_provider", "pg_tid", "name", "currency"):
            assert told[name] == payment[name], name
        if status == "failed":
            assert (told["error_msg"], told["error_code"] == "") == (payment["fail_reason"], False)
        assert len(self.money()) == (status == "paid")
        return payment

    def agrees_on_return(self, url: str) -> dict[str, Any]:
        """The same of an address that a phone was led back to."""
        told = dict(parse_qsl(urlsplit(url).query))
        payment = self.ordered()
        failed = payment["status"] == "failed"
        assert (told["imp_uid"], told["merchant_uid"]) == (payment["imp_uid"], payment["merchant_uid"])
        assert told["imp_success"] == ("false" if failed else "true")
        assert told.get("error_msg") == (payment["fail_reason"] if failed else None)
        assert len(self.money()) == (payment["status"] == "paid")
        return payment

    def money(self) -> list[int]:
        """What the gateways hold, charge by charge."""
        return [row["amount"] for row in self.world.captured()]


# --- the buyer -------------------------------------------------------------------------------------------------------


def buy(page: Any, shop: Shop) -> Any:
    page.goto(shop.url)
    page.click("#buy")
    return page


def wait_for(page: Any, condition: Callable[[], Any], seconds: float = 30) -> Any:
    give_up_at = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > give_up_at:
            frames = [frame for other in page.context.pages for frame in other.frames]
            raise AssertionError([(frame.url, frame.evaluate("window.results")) for frame in frames])
        page.wait_for_timeout(25)
    return found


def frame_at(page: Any, where: re.Pattern[str], tabs: Sequence[Any] = ()) -> Any:
    """The page or frame whose path is like this, with its scripts at work; in these tabs, or in any of this browser."""

    def look() -> Any:
        frames = [frame for tab in tabs or page.context.pages for frame in tab.frames]
        return next((frame for frame in frames if where.search(urlsplit(frame.url).path)), None)

    frame = wait_for(page, look)
    frame.wait_for_load_state()
    return frame


def press(page: Any, button: str, tabs: Sequence[Any] = ()) -> None:
    """A button of the gateway's own page. What follows may take as long as it likes."""
    frame_at(page, BUYERS_PAGE, tabs).click(f"#{button}", no_wait_after=True)


def results(page: Any, count: int = 1) -> list[dict[str, Any]]:
    return wait_for(page, lambda: page.evaluate("n => window.results.length >= n && window.results", count))


def result(page: Any) -> dict[str, Any]:
    [told] = results(page)
    assert page.locator(DIALOG).count() == 0
    return told
