"""Plays a browser against a simulator's window, without one: what comes back to the return URL, as its fields.

The gateway's script and our driver (`chalicelib/web/<driver>.js`) have no part in it; what they make of parameters and
answers is said here once more, where it is anything (DRIVERS). That both are right is for the tests with a browser.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from chalicelib.domain.charging import Approved, AwaitingDeposit, ChargeQuery, Declined
from chalicelib.domain.declines import DeclineReason
from chalicelib.domain.windows import Authenticated, PayMethod, ReturnResult, Way, WindowOrder, WindowPage, WindowTerms
from infra.sandbox.windows import Go, Tell
from tests.contract.conftest import TIMEOUT, Bench

RETURN_URL = "https://router.example/api/window/ticket-1/return"


def left(how: str, code: str, message: str) -> dict[str, str]:
    """As `back.cancel` ("cancel") and `back.fail` ("fail") of web/window.js write it."""
    return {"sr_left": how, "sr_code": code, "sr_message": message}


def _nice_left(data: Mapping[str, str]) -> dict[str, str]:
    code = data["errorMsg"][-5:-1]
    return {"sr_left": "cancel" if code == "I002" else "fail", "sr_code": code, "sr_message": data["msg"]}


@dataclass(frozen=True)
class Driver:
    """enter: what the gateway's script is called with, from our page's parameters. told: what is posted to the return
    URL, from what the script tells the page."""

    enter: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
    told: Callable[[Any], dict[str, str]] = dict


DRIVERS: dict[str, Driver] = {
    "html5_inicis": Driver(enter=lambda params: dict(params["fields"])),
    "kcp": Driver(enter=lambda params: dict(params["fields"])),
    "paypal_v2": Driver(enter=lambda params: {"token": params["token"]}),
    "nice_v2": Driver(told=_nice_left),
    "tosspayments": Driver(
        enter=lambda params: {**params, "customerKey": params["customerKey"] or "@@ANONYMOUS"},
        told=lambda data: left("cancel", data["code"], data["message"]),
    ),
}
"""Gateways whose script hands on the page's parameters, and whose answer is posted as it is, need no entry."""


def window_order(bench: Bench, method: str = "card", amount: int = 8900, **kwargs: Any) -> WindowOrder:
    """kwargs: fields of WindowTerms, or else of PaymentRequest; order_id."""
    names = WindowTerms.__dataclass_fields__
    due = bench.clock.now() + timedelta(days=7) if method == "vbank" else None
    terms: dict[str, Any] = {
        "account_due": due, "pay_method": PayMethod(method), "way": Way.FRAME, "page_origin": "https://shop.kr",
        "secret_digest": "0" * 64,
        "digital": False, "customer_id": "member-7", **{name: kwargs.pop(name) for name in list(kwargs) if name in names},
    }  # fmt: skip
    order_id = kwargs.pop("order_id", None) or bench.order_id()
    return WindowOrder(order_id, bench.request(amount, **kwargs), WindowTerms(**terms), RETURN_URL)


def first_method(bench: Bench) -> str:
    """Cards, where they are taken."""
    methods = bench.spec.windows.methods if bench.spec.windows else frozenset()
    return "card" if PayMethod.CARD in methods else str(min(methods))


def opened(bench: Bench, order: WindowOrder) -> WindowPage:
    page = bench.gateway.open_window(order, TIMEOUT)
    assert isinstance(page, WindowPage), page
    return page


def visit(bench: Bench, order: WindowOrder, button: str = "approve") -> dict[str, str]:
    """Open the window, press one of its buttons, come back."""
    driver = DRIVERS.get(bench.provider, Driver())
    simulator = bench.sandbox.simulator
    entered = simulator.enter(driver.enter(opened(bench, order).params))
    return came_back(bench, simulator.press(entered.visit_id, button))


def came_back(bench: Bench, step: Go | Tell) -> dict[str, str]:
    if isinstance(step, Tell):
        return DRIVERS.get(bench.provider, Driver()).told(step.data)
    address, query = step.url.partition("?")[::2]
    assert address == RETURN_URL
    return dict(parse_qsl(query, keep_blank_values=True)) | dict(step.fields or {})


def read_return(bench: Bench, order: WindowOrder, fields: Mapping[str, str]) -> ReturnResult:
    """As the router does: what our own page says of the buyer's leaving never reaches the adapter."""
    if "sr_left" in fields:
        cancelled = fields["sr_left"] == "cancel"
        reason = DeclineReason.BUYER_CANCELLED if cancelled else DeclineReason.NOT_CHARGED
        return Declined(reason, fields["sr_code"], fields["sr_message"])
    return bench.gateway.read_return(order, fields)


def authenticated(bench: Bench, order: WindowOrder, button: str = "approve") -> Authenticated:
    back = read_return(bench, order, visit(bench, order, button))
    assert isinstance(back, Authenticated), back
    return back


def approve(bench: Bench, order: WindowOrder, back: Authenticated) -> Any:
    return bench.gateway.approve(order, back, TIMEOUT)


def pay(bench: Bench, method: str = "card", **kwargs: Any) -> tuple[WindowOrder, Approved | AwaitingDeposit]:
    """All the way: an approved payment, or for vbank an account that waits."""
    order = window_order(bench, method, **kwargs)
    result = approve(bench, order, authenticated(bench, order))
    assert isinstance(result, AwaitingDeposit if method == "vbank" else Approved), result
    return order, result


def query(
    bench: Bench, order: WindowOrder, back: Authenticated | None = None, gateway_ref: str | None = None
) -> ChargeQuery:
    kept = dict(back.kept) if back else {}
    return ChargeQuery(
        order.order_id, order.request.amount, bench.clock.now(), gateway_ref, order.terms.pay_method.value, kept
    )
