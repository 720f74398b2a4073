"""The pages of a payment window as HTML. Every value is escaped here; scripts and styles are files of their own."""

import functools
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template, punctuation
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode

from chalice.app import Response

from chalicelib.api import views
from chalicelib.api.endpoints import error_text, v1_status
from chalicelib.domain.errors import NotFound
from chalicelib.domain.money import Money
from chalicelib.domain.payments import Payment, State
from chalicelib.domain.windows import Way, WindowPage, origin_of

WEB = Path(__file__).parents[1] / "web"
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
}
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    # The address of a window is its key: other hosts get to see no more than where the router is.
    "Referrer-Policy": "origin",
    "X-Content-Type-Options": "nosniff",
}

TEXTS = {
    "title": "결제 / Payment",
    "cancel": "결제 취소 / Cancel",
    "loading": "결제창을 여는 중입니다. / Opening the payment window.",
    "confirming": "결제 결과를 확인하고 있습니다. 창을 닫지 말아 주세요. / Confirming your payment. Please wait.",
    "no_script": "결제하려면 브라우저의 자바스크립트를 켜 주세요. / Paying needs JavaScript.",
    "script_failed": "결제사에 연결하지 못했습니다. / The payment provider cannot be reached.",
    "failed": "결제창을 열지 못했습니다. / The payment window could not be opened.",
    "retry": "다시 시도 / Try again",
    "another": "다른 결제사로 결제 / Use another provider",
    "paid": "결제되었습니다. / Paid.",
    "cancelled": "결제 금액의 전부 또는 일부가 취소되었습니다. / Some or all of this payment was given back.",
    "waiting": "가상계좌가 발급되었습니다. / A virtual account has been issued.",
    "back_to_window": "결제창으로 돌아가기 / Back to the payment",
    "done": "쇼핑몰로 돌아가기 / Back to the shop",
}  # fmt: skip


def say(name: str, language: str) -> str:
    korean, _, english = TEXTS[name].partition(" / ")
    return korean if language == "ko" else english


# --- addresses ----------------------------------------------------------------------------------------------------


def return_url(request: Any, ticket: str) -> str:
    """Where gateways send the browser: absolute, as the world sees this service."""
    return f"{base_url(request)}/window/{ticket}/return"


def base_url(request: Any) -> str:
    """API Gateway tells its own name; a local server has only what the browser calls it."""
    context, path = request.context, request.path
    for name, value in (request.uri_params or {}).items():
        path = path.replace(f"{{{name}}}", value)
    host = context.get("domainName")
    if host is None:
        return f"http://{request.headers.get('host', 'localhost')}"
    return f"https://{host}{(context.get('path') or path).removesuffix(path)}"


def _up(request: Any) -> str:
    """From the page's address to the service's root."""
    return "../" * (str(request.path).count("/") - 1)


def go(request: Any, path: str) -> Response:
    """By GET, so that a reload sends nothing again."""
    return _sent_to(_up(request) + path)


def _sent_to(url: str) -> Response:
    return Response("", {**HEADERS, "Location": url}, 303)


TOLD = frozenset({"imp_uid", "merchant_uid", "imp_success", "error_code", "error_msg"})


def done_url(payment: Payment) -> str | None:
    """V1's redirect: the shop's address with the result in its query."""
    window = payment.window
    if window is None or window.way is not Way.REDIRECT or not window.return_to:
        return None
    result = views.window_result(payment)
    told = {"imp_uid": payment.imp_uid, "merchant_uid": payment.request.merchant_uid}
    told["imp_success"] = "true" if result["imp_success"] else "false"
    told |= {name: result[name] for name in ("error_code", "error_msg") if name in result}
    return _with_query(window.return_to, told)


def _with_query(url: str, told: Mapping[str, str]) -> str:
    """The shop's address to the letter, but for what the answer says. In ASCII, as headers have to be."""
    before, hash_sign, fragment = url.partition("#")
    address, _, query = before.partition("?")
    own = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) not in TOLD]
    return quote(f"{address}?{'&'.join([*own, urlencode(told)])}{hash_sign}{fragment}", safe=punctuation)


# --- pages --------------------------------------------------------------------------------------------------------


def window(request: Any, ticket: str, payment: Payment, opened: WindowPage) -> Response:
    language, up = _language(payment), _up(request)
    root = f"{up}window/{ticket}"
    cancel_url = f"{root}/cancel"
    in_group = payment.attempt.decision.mode not in ("pinned", "direct")
    data = {
        "driver": opened.driver,
        "script": opened.script,
        "params": dict(opened.params),
        "return_url": return_url(request, ticket),
        "cancel_url": cancel_url,
        "another_url": f"{root}/another" if in_group else None,
        "texts": {
            name: say(name, language)
            for name in ("loading", "confirming", "script_failed", "failed", "retry", "another", "cancel")
        },
    }
    return _page(
        "window.html", _window_policy(payment, opened), up, language,
        driver=opened.driver, data=_data(data), cancel_url=cancel_url, **_order(payment),
        **{name: say(name, language) for name in ("cancel", "loading", "no_script")},
    )  # fmt: skip


def result(request: Any, ticket: str, payment: Payment) -> Response:
    """The end of a window. A shop that was left gets its buyer back at once; one that waits is told by a message."""
    if payment.state is State.OPENED:  # nothing has come of it yet
        return go(request, f"window/{ticket}")
    told, language = views.window_result(payment), _language(payment)
    done = done_url(payment)
    if done and not told["confirming"]:
        return _sent_to(done)
    terms = payment.window
    data = {
        "way": terms.way.value if terms else Way.FRAME.value,
        "origin": terms.page_origin if terms else "",
        "imp_uid": payment.imp_uid,
        "result": told,
        "done_url": done,
        "state_url": f"{_up(request)}window/{ticket}/state",
    }
    text = told.get("error_msg") or say(_said(told), language)
    action = f'<p><a href="{escape(done)}">{escape(say("done", language))}</a></p>' if done else ""
    return _page(
        "result.html", _policy(payment, script_src="'self'", connect_src="'self'"), _up(request), language,
        data=_data(data), text=text, action=Raw(action), **_order(payment),
    )  # fmt: skip


def problem(request: Any, error: Exception) -> Response:
    """What is wrong, for a buyer. No word of the inside."""
    ticket = (request.uri_params or {}).get("ticket", "")
    action = ""
    if not isinstance(error, NotFound):
        link = f"{_up(request)}window/{escape(ticket)}"
        action = f'<p><a class="primary" href="{link}">{escape(say("back_to_window", "ko"))}</a></p>'
    response = _page(
        "problem.html", _rules({**STRICT, "frame_ancestors": "*"}), _up(request), "ko",
        text=error_text(error), action=Raw(action),
    )  # fmt: skip
    response.status_code, _ = v1_status(error)
    return response


class Raw(str):
    """HTML already."""

    __slots__ = ()


def _page(template: str, policy: str, up: str, language: str, **values: str | None) -> Response:
    shown = {name: value if isinstance(value, Raw) else escape(value or "") for name, value in values.items()}
    html = _template(template).substitute(
        language=language, title=escape(say("title", language)), base=f"{up}web", **shown
    )
    return Response(html, {**HEADERS, "Content-Security-Policy": policy}, 200)


@functools.cache
def _template(name: str) -> Template:
    """Without the comment on top, which is for those who write templates."""
    text = (WEB / name).read_text(encoding="utf-8")
    return Template(text[text.index("<!doctype") :])


def _data(value: Mapping[str, Any]) -> Raw:
    """JSON for a script element, which no text in it can end."""
    return Raw(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e"))


def _order(payment: Payment) -> dict[str, str]:
    request = payment.request
    return {"order": request.name or request.merchant_uid, "amount": _amount(request.amount)}


def _amount(money: Money) -> str:
    text = f"{money.to_decimal():,}"
    return f"{text}원" if money.currency == "KRW" else f"{text} {money.currency}"


def _said(told: Mapping[str, Any]) -> str:
    if told["confirming"]:
        return "confirming"
    return {"ready": "waiting", "cancelled": "cancelled"}.get(told["status"], "paid")


def _language(payment: Payment) -> str:
    return "ko" if payment.window is None or payment.window.language == "ko" else "en"


# --- what a page may do -------------------------------------------------------------------------------------------


STRICT = {
    "default_src": "'none'", "style_src": "'self'", "img_src": "data:", "base_uri": "'none'", "form_action": "'none'",
}  # fmt: skip
"""The pages' icon is an empty one in the page itself, so that no browser asks for /favicon.ico."""


def _policy(payment: Payment, **more: str) -> str:
    """frame-ancestors: the shop's page if it is to be framed by it, and nobody else's."""
    terms = payment.window
    framed_by = terms.page_origin if terms and terms.way is Way.FRAME else "'none'"
    return _rules({**STRICT, "frame_ancestors": framed_by, **more})


def _rules(rules: Mapping[str, str]) -> str:
    return "; ".join(f"{name.replace('_', '-')} {sources.strip()}" for name, sources in rules.items())


def _window_policy(payment: Payment, opened: WindowPage) -> str:
    """Its gateway's script runs in this page, and styles it as it likes. Browsers hold a form's target to this through
    redirects, too, so where the buyer ends up stands here.
    """
    hosts = " ".join(dict.fromkeys(opened.hosts))
    terms = payment.window
    shop = origin_of(terms.return_to) if terms and terms.return_to else ""
    return _policy(
        payment,
        script_src=f"'self' {hosts}",
        style_src=f"'self' 'unsafe-inline' {hosts}",
        connect_src=f"'self' {hosts}",
        frame_src=hosts or "'none'",
        img_src=f"'self' data: {hosts}",
        font_src=hosts or "'none'",
        form_action=f"'self' {hosts} {shop}",
    )


# --- files --------------------------------------------------------------------------------------------------------


def asset(name: str, *, is_versioned: bool = False) -> Response:
    """A script or a style sheet of ours. is_versioned: its address changes with it. Raises NotFound."""
    body = _files().get(name)
    if body is None:
        raise NotFound("존재하지 않는 파일입니다. (no such file)")
    headers: dict[str, str | list[str]] = {
        "Content-Type": TYPES[Path(name).suffix],
        "Cache-Control": "public, max-age=31536000, immutable" if is_versioned else "public, max-age=300",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    return Response(body, headers)


@functools.cache
def _files() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in WEB.iterdir() if path.suffix in TYPES}
