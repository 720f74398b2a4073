"""The gateways' windows, as the simulators show them to a browser.

A page loads the gateway's script from the simulator, at the real path, and calls it as it would the real one. The
script opens a visit; the buyer's page says what is asked for, and its buttons say how it ends:

    #approve  #approve-no-funds (the approval is then declined)  #fail  #cancel  #stall (nothing happens any more)

Gateways that have no script for it, on phones above all, take the browser itself: `forms`. What a simulator adds:

    class Simulator(Windows, ...):
        label = "..."
        scripts = {"/v1/pay.js": "window.PAY = {request: (params) => sandboxWindow.open(params, ...)};"}

        def arrive(self, params): ...  # check what the real one checks -> Visit, or raise Refusal
        def leave(self, visit, action): ...  # where the browser goes with which proof, or what the page is told

A visit lives in memory. The approval that follows is a route like any other, of the operation "charge": it finds the
visit in `self.visits`, checks it, and books the charge. The fault operation "window" is for what this module serves.
Nobody authenticates here: the gateway's window is open to whoever has a client key.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from string import Template
from typing import Any, ClassVar, Literal

from infra.sandbox.server import NO_FUNDS, Answer, Clock, Refusal, Request, Simulator, json_answer, new_id

Action = Literal["approve", "fail", "cancel"]

BUTTONS: Mapping[str, Action] = {
    "approve": "approve", "approve-no-funds": "approve", "fail": "fail", "cancel": "cancel",
}  # fmt: skip
"""What a button's id means for the simulator. Besides, #approve-no-funds chooses the card."""

METHODS = {"card": "신용카드", "trans": "계좌이체", "vbank": "가상계좌", "phone": "휴대폰", "paypal": "PayPal"}


@dataclass(slots=True)
class Visit:
    """One window, open or left. amount: minor units. method: V1's word. name: what is bought.

    details: the simulator's own; "will" is what the buyer's card answers to the charge (SPECIAL_CARDS), if it is one
    that is declined. outcome: approve, fail or cancel, once it is left.
    """

    account: str
    order_id: str
    amount: int
    currency: str
    method: str
    name: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    visit_id: str = field(default_factory=lambda: new_id("visit", 24))
    outcome: Action | None = None


@dataclass(frozen=True, slots=True)
class Go:
    """The browser is sent there: by GET, or with a form if there are fields. charset: that the form is written in."""

    url: str
    fields: Mapping[str, str] | None = None
    charset: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Tell:
    """The page that opened the window gets this, and the window closes."""

    data: Any


class Windows(Simulator):
    label: ClassVar[str]
    scripts: ClassVar[Mapping[str, str]] = {}
    """Path -> JavaScript served there. It runs in a function of its own, after PRELUDE: globals are set on `window`."""
    forms: ClassVar[Mapping[str, str]] = {}
    """Path that the browser itself is sent to, by GET or with a form -> encoding of that form."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.visits: dict[str, Visit] = {}

    @abstractmethod
    def arrive(self, params: dict[str, Any]) -> Visit:
        """Open a window with what the gateway's script was called with, or with the fields of a form.

        Raises Refusal for whatever the real window refuses.
        """

    @abstractmethod
    def leave(self, visit: Visit, action: Action) -> Go | Tell:
        """What the gateway does with the browser when the buyer has agreed, failed to show who he is, or left."""

    # in-process API

    def enter(self, params: dict[str, Any]) -> Visit:
        with self.lock:
            visit = self.arrive(params)
            self.visits[visit.visit_id] = visit
            return visit

    def press(self, visit_id: str, button: str) -> Go | Tell:
        """One of BUTTONS. A window can be left once; then it is gone, as are those that nobody opened."""
        with self.lock:
            visit, action = self.visits.get(visit_id), BUTTONS.get(button)
            if visit is None or visit.outcome or action is None:
                raise Refusal("WINDOW_CLOSED", "이미 닫힌 결제창입니다.")
            if button == "approve-no-funds":
                visit.details["will"] = NO_FUNDS
            visit.outcome = action
            return self.leave(visit, action)

    def windows(self) -> list[dict[str, Any]]:
        return [
            {name: getattr(visit, name) for name in ("order_id", "method", "amount", "currency", "outcome")}
            for visit in self.visits.values()
        ]

    # over HTTP

    def operation(self, request: Request) -> str | None:
        return "window" if self._is_window(request) else super().operation(request)

    def execute(self, request: Request) -> Answer:
        if not self._is_window(request):
            return super().execute(request)
        with self.lock:
            return self._show(request)

    def _is_window(self, request: Request) -> bool:
        return request.path in self.scripts or request.path in self.forms or request.path.startswith("/_window/")

    def _show(self, request: Request) -> Answer:
        path = request.path
        if path in self.scripts:
            text = f"(() => {{\n{GO}\n{PRELUDE}\n{self.scripts[path]}\n}})();\n"
            return Answer(200, text.encode(), "text/javascript;charset=utf-8")
        if path in self.forms:
            return self._take_form(request, self.forms[path])
        if (request.method, path) == ("POST", "/_window/visits"):
            return self._open(request)
        if request.method == "GET" and (found := re.fullmatch(r"/_window/visits/(\w+)", path)):
            return self._page(found[1])
        if request.method == "POST" and (found := re.fullmatch(r"/_window/visits/(\w+)/([\w-]+)", path)):
            return self._press(found[1], found[2])
        return json_answer(404, {"code": "NOT_FOUND", "message": "no such path"})

    def _open(self, request: Request) -> Answer:
        """For the script, which runs on a page of somebody else's."""
        anywhere = {"Access-Control-Allow-Origin": "*"}
        try:
            visit = self.enter(request.json() or {})
        except Refusal as refusal:
            return json_answer(400, {"code": refusal.code, "message": refusal.message or refusal.code}, **anywhere)
        return json_answer(201, {"path": f"/_window/visits/{visit.visit_id}"}, **anywhere)

    def _take_form(self, request: Request, encoding: str) -> Answer:
        fields = dict(request.query) if request.method == "GET" else request.form(encoding)
        try:
            visit = self.enter({} if fields is None else dict(fields))
        except Refusal as refusal:
            return _notice_page(400, self.label, f"{refusal.message or ''} [{refusal.code}]")
        return Answer(303, b"", headers={"Location": f"/_window/visits/{visit.visit_id}"})

    def _page(self, visit_id: str) -> Answer:
        visit = self.visits.get(visit_id)
        if visit is None or visit.outcome:
            return _notice_page(410, self.label, "이미 닫힌 결제창입니다.")
        buttons = [("approve", "가상계좌 발급" if visit.method == "vbank" else "결제하기")]
        if visit.method == "card":
            buttons.append(("approve-no-funds", "잔액이 부족한 카드로 결제"))
        buttons += [("fail", "인증 실패"), ("cancel", "취소"), ("stall", "멈춤")]
        return _html(
            200,
            BUYERS_PAGE,
            gateway=escape(self.label),
            name=escape(visit.name),
            amount=escape(_amount(visit)),
            method=escape(METHODS.get(visit.method, visit.method)),
            buttons="\n".join(f'<button id="{name}">{escape(text)}</button>' for name, text in buttons),
        )

    def _press(self, visit_id: str, button: str) -> Answer:
        try:
            step = self.press(visit_id, button)
        except Refusal as refusal:
            return json_answer(410, {"code": refusal.code, "message": refusal.message})
        return json_answer(200, {"go": asdict(step)} if isinstance(step, Go) else {"tell": step.data})


def _amount(visit: Visit) -> str:
    if visit.currency == "KRW":
        return f"{visit.amount:,}원"
    number = f"{visit.amount:,}" if visit.currency == "JPY" else f"{visit.amount / 100:,.2f}"
    return f"{number} {visit.currency}"


def _html(status: int, page: Template, **parts: str) -> Answer:
    text = page.substitute(parts, style=STYLE, go=GO)
    return Answer(status, text.encode(errors="replace"), "text/html;charset=utf-8", {"Cache-Control": "no-store"})


def _notice_page(status: int, label: str, text: str) -> Answer:
    return _html(status, NOTICE_PAGE, gateway=escape(label), text=escape(text))


# --- JavaScript -------------------------------------------------------------------------------------------------

GO = """
const go = ({url, fields, charset}) => {
  if (!fields) { location.assign(url); return; }
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: url, acceptCharset: charset});
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement("input"), {type: "hidden", name, value}));
  }
  document.body.append(form);
  form.submit();
};
"""

PRELUDE = """
const sandboxWindow = (() => {
  const script = new URL(document.currentScript.src);

  const overlay = (url, onTell) => {
    const frame = document.createElement("iframe");
    frame.title = "모의 결제창";
    frame.src = url + "#over-page";
    Object.assign(frame.style, {
      position: "fixed", inset: 0, width: "100%", height: "100%", border: 0, background: "white", zIndex: 2147483000,
    });
    const onMessage = ({source, data}) => {
      if (source !== frame.contentWindow) return;
      removeEventListener("message", onMessage);
      if (data.go) go(data.go);
      else { frame.remove(); onTell(data.tell); }
    };
    addEventListener("message", onMessage);
    document.body.append(frame);
  };

  return {
    /* The address this script was loaded from: some gateways read their settings from it. */
    script,
    /* Opens a visit, over the page or in its place ("page"). Rejects with {code, message} if it is refused. */
    async open(params, onTell, {target = "frame"} = {}) {
      const reply = await fetch(script.origin + "/_window/visits", {method: "POST", body: JSON.stringify(params)});
      const answer = await reply.json();
      if (!reply.ok) throw Object.assign(new Error(answer.message), {code: answer.code});
      const url = script.origin + answer.path;
      if (target === "page") location.assign(url);
      else overlay(url, onTell);
    },
  };
})();
"""
"""What every script finds. A body of plain text needs no leave from the server before it is sent (CORS)."""

# --- pages ------------------------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light dark; background: Canvas;
  font: 16px/1.5 system-ui, "Apple SD Gothic Neo", "Noto Sans KR", sans-serif }
body { margin: 0; display: grid; min-height: 100vh; place-items: center }
main { box-sizing: border-box; width: min(100%, 24rem); padding: 1.5rem }
h1 { margin: 0 0 1rem; font-size: 1.25rem }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 0 0 1.5rem }
dt { opacity: .7 }
dd { margin: 0; overflow-wrap: anywhere }
button { display: block; width: 100%; margin: .5rem 0; padding: .75rem; border: 1px solid; border-radius: .5rem;
  background: none; color: inherit; font: inherit }
#approve { border-color: #1463ff; background: #1463ff; color: white; font-weight: 600 }
button:disabled { opacity: .4 }
.mark { margin: 0 0 .5rem; font-size: .875rem; opacity: .7 }
"""

HEAD = """<!doctype html>
<html lang="ko">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>모의 결제창</title>
<link rel="icon" href="data:,">
<style>$style</style>
<main>
<p class="mark">모의 결제창: 실제로 결제되지 않습니다 (simulator)</p>
<h1>$gateway</h1>
"""

NOTICE_PAGE = Template(f"{HEAD}<p id=notice>$text</p>\n</main>\n")

BUYERS_PAGE = Template(
    HEAD
    + """<dl>
<dt>상품</dt><dd id="name">$name</dd>
<dt>금액</dt><dd id="amount">$amount</dd>
<dt>결제수단</dt><dd id="method">$method</dd>
</dl>
$buttons
<p id="notice" role="status"></p>
</main>
<script>
$go
const buttons = [...document.querySelectorAll("button")];
const say = (text) => { document.getElementById("notice").textContent = text; };
const press = async ({target}) => {
  for (const button of buttons) button.disabled = true;
  if (target.id === "stall") { say("멈췄습니다. 아무 일도 일어나지 않습니다."); return; }
  const reply = await fetch(location.pathname + "/" + target.id, {method: "POST"});
  const step = await reply.json();
  if (!reply.ok) say(step.message);
  else if (location.hash === "#over-page") parent.postMessage(step, "*");
  else go(step.go);
};
for (const button of buttons) button.addEventListener("click", press);
</script>
"""
)
