"""The demo merchant of the local run, and what a person or a program has to know to use it."""

import contextlib
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.sandbox.server import PROVIDERS
from infra.sandbox.server import module as simulator

ABROAD = ("paymentwall", "paypal_v2")
DEMO_OWNER = "owner@demo.kr"
PICKY = ("ksnet", "nice_v2", "paymentwall", "paypal_v2", "smartro_v2", "tosspayments")
"""Each wants something else of a request: a group of them shows who is left out, and why."""


class AdminRefused(Exception):
    """The admin API did not do as asked."""


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin API, as its merchant's operator."""

    api: str
    token: str

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.api + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")

    def must(self, method: str, path: str, body: object = None) -> Any:
        status, answer = self.call(method, path, body)
        if not 200 <= status < 300:
            raise AdminRefused(f"{method} {path} answered {status}: {answer}")
        return answer


def demo_merchant(api: str, kept: Path | None) -> dict[str, Any]:
    """The merchant of the last run, if its table is still there, or a new one. kept: the file that remembers it."""
    if kept and kept.exists():
        known: dict[str, Any] = json.loads(kept.read_text())
        status, answer = Admin(api, known["admin_token"]).call("GET", "/admin/settings")
        if status == 200:
            return known if "console" in known else _with_people(known, kept)
        if status != 401:  # 401: another table, which does not know the token
            raise AdminRefused(f"GET /admin/settings answered {status}: {answer}")
    merchant = new_merchant(api)
    if kept:
        write_private(kept, merchant)
    return merchant


def _with_people(merchant: dict[str, Any], kept: Path) -> dict[str, Any]:
    """A merchant that was kept before there were people."""
    merchant = {**merchant, "console": _people(merchant["user_code"])}
    write_private(kept, merchant)
    return merchant


def _people(user_code: str) -> dict[str, str]:
    """Somebody of each role, with one password made up for this merchant. Returns the owner's e-mail, and it."""
    from chalicelib.domain.accounts import Role  # noqa: PLC0415

    password = secrets.token_urlsafe(12)
    mark = ""
    if not _let_in(user_code, DEMO_OWNER, Role.OWNER, password):
        # A table that is kept, with the merchant of a run whose secrets are not.
        mark = f"+{user_code.removeprefix('imp')}"
        _let_in(user_code, f"owner{mark}@demo.kr", Role.OWNER, password)
    for role in (Role.OPERATOR, Role.VIEWER):
        _let_in(user_code, f"{role}{mark}@demo.kr", role, password)
    return {"email": f"owner{mark}@demo.kr", "password": password}


def _let_in(user_code: str, email: str, role: Any, password: str) -> bool:
    """False if another merchant has somebody of this e-mail."""
    from chalicelib import container  # noqa: PLC0415
    from chalicelib.domain.accounts import Operator  # noqa: PLC0415
    from chalicelib.domain.errors import InvalidRequest, NotFound  # noqa: PLC0415
    from chalicelib.usecases import accounts  # noqa: PLC0415

    deps, operator = container.get(), Operator(user_code, "infra.local")
    try:
        token = accounts.reset(deps, operator, email, may_be_last=True)
    except NotFound:
        try:
            token = accounts.invite(deps, operator, email, f"Demo {role}", role)
        except InvalidRequest:
            return False
    accounts.accept_invitation(deps, token, password)
    return True


def new_merchant(api: str) -> dict[str, Any]:
    from chalicelib import container  # noqa: PLC0415 - reads the environment, which main has to set first
    from chalicelib.usecases import merchants  # noqa: PLC0415

    made = merchants.create(container.get(), "Demo")
    admin = Admin(api, made.admin_token)
    channels = {provider: _channel(admin, provider) for provider in PROVIDERS}
    shares = {
        "default": {"tosspayments": 60, "nice_v2": 40},
        "korea": _evenly([provider for provider in PROVIDERS if provider not in ABROAD]),
        "mixed": _evenly([provider for provider in PROVIDERS if provider in PICKY]),
    }
    groups = {name: _group(admin, name, {channels[pg]: w for pg, w in share.items()}) for name, share in shares.items()}
    admin.must("PUT", "/admin/settings", {"default": groups["default"]})
    return {
        "imp_key": made.imp_key,
        "imp_secret": made.imp_secret,
        "user_code": made.user_code,
        "admin_token": made.admin_token,
        "webhook_secret": made.webhook_secret,
        "console": _people(made.user_code),
        "groups": groups,
        "channels": channels,
    }


def _evenly(providers: Sequence[str]) -> dict[str, int]:
    share, rest = divmod(100, len(providers))
    return {provider: share + (n < rest) for n, provider in enumerate(providers)}


def _group(admin: Admin, name: str, weights: Mapping[str, int]) -> str:
    """weights: by channel key."""
    entries = [{"channel_key": key, "weight": weight, "enabled": True} for key, weight in weights.items()]
    group = {"name": name, "environment": "test", "failover": "unsent", "channels": entries}
    group_id: str = admin.must("POST", "/admin/channel-groups", group)["id"]
    return group_id


def _channel(admin: Admin, provider: str) -> str:
    channel = {
        "name": provider,
        "pg_provider": provider,
        "pg_id": f"{provider}_sandbox",
        "environment": "test",
        "credentials": simulator(provider).TEST_CREDENTIALS,
    }
    key: str = admin.must("POST", "/admin/channels", channel)["channel_key"]
    return key


def send_notices(api: str, merchant: Mapping[str, Any], simulators: Mapping[str, str]) -> None:
    """Register at each simulator, as one does at a gateway, where to tell of deposits into virtual accounts."""
    for provider, url in simulators.items():
        notice_url = f"{api}/notices/{merchant['user_code']}/{merchant['channels'][provider]}"
        content = json.dumps({"url": notice_url}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{url}/_sandbox/notices", content), timeout=10):
            pass


# --- what others rely on -------------------------------------------------------------------------------------------


def sandbox_json(api: str, merchant: Mapping[str, Any], gateways: Mapping[str, str]) -> dict[str, Any]:
    return {
        "api": api,
        **{name: merchant[name] for name in ("imp_key", "imp_secret", "user_code", "admin_token", "webhook_secret")},
        "console": {"url": f"{api}/console", **merchant["console"]},
        "groups": merchant["groups"],
        "channels": merchant["channels"],
        "gateways": dict(gateways),
    }


def write_private(path: Path, value: object) -> None:
    """Whole or not at all, and for this user only: it holds secrets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(value, indent=2) + "\n")
    fresh.replace(path)


def forget(path: Path, api: str) -> None:
    """Remove the file of a run that has ended, but not the one of another run on another port."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text()).get("api") == api:
            path.unlink()


def welcome(demo: Mapping[str, Any], webhook_secret: str, file: Path) -> str:
    api, group = demo["api"], demo["groups"]["default"]
    console = demo["console"]
    others = " ".join(console["email"].replace("owner", role, 1) for role in ("operator", "viewer"))
    simulators = "\n".join(f"                  {name:<13} {url}" for name, url in demo["gateways"].items())
    any_gateway = next(iter(demo["gateways"].values()))
    auth = '-H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json"'
    card = '"card_number": "4242-4242-4242-4242", "expiry": "2030-12", "birth": "880101", "pwd_2digit": "12"'
    return f"""
smart-routing answers at {api}   (Ctrl-C stops it)

  console         {console["url"]}
  sign in as      {console["email"]} (or {others})
  password        {console["password"]}
  demo shop       {api}/demo
  imp_key         {demo["imp_key"]}
  imp_secret      {demo["imp_secret"]}
  user_code       {demo["user_code"]}
  admin token     {demo["admin_token"]}
  webhook secret  {webhook_secret}
  default group   {group}
  other groups    korea: {demo["groups"]["korea"]}
                  mixed: {demo["groups"]["mixed"]} (who takes what, and why not)
  simulators
{simulators}
  (all of it is in {file})

Try, in another terminal:

# an access token
TOKEN=$(curl -s {api}/users/getToken -H "Content-Type: application/json" \\
  -d '{{"imp_key": "{demo["imp_key"]}", "imp_secret": "{demo["imp_secret"]}"}}' \\
  | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')

# one card payment, at one of the group's channels
curl -sw '\\n' {api}/subscribe/payments/onetime {auth} \\
  -d '{{"channelGroupId": "{group}", "merchant_uid": "order-'$(date +%s%N)'", "amount": 1000, "name": "Chair", {card}}}'

# a billing key at every channel of the group, and a charge on it
curl -sw '\\n' {api}/subscribe/customers/gildong {auth} \\
  -d '{{"channelGroupId": "{group}", {card}}}'
curl -sw '\\n' {api}/subscribe/payments/again {auth} \\
  -d '{{"customer_uid": "gildong", "merchant_uid": "month-'$(date +%s%N)'", "amount": 8900, "name": "Monthly"}}'

# the same, in ten seconds
curl -sw '\\n' {api}/subscribe/payments/schedule {auth} \\
  -d '{{"customer_uid": "gildong", "schedules": [{{"merchant_uid": "later-'$(date +%s%N)'",
       "schedule_at": '$(($(date +%s) + 10))', "amount": 8900, "name": "Monthly"}}]}}'

# a virtual account; somebody pays into it, and the gateway tells us
IMP_UID=$(curl -s {api}/vbanks {auth} \\
  -d '{{"merchant_uid": "vbank-'$(date +%s%N)'", "amount": 8900, "name": "Chair", "buyer_name": "Gildong",
       "vbank_code": "088", "vbank_due": '$(($(date +%s) + 86400))'}}' | sed 's/.*"imp_uid": *"\\([^"]*\\)".*/\\1/')
ORDER_ID=$(echo $IMP_UID | tr -d _)a1
curl -sw '\\n' {demo["gateways"]["tosspayments"]}/_sandbox/deposits -d '{{"order_id": "'$ORDER_ID'"}}'
sleep 1; curl -sw '\\n' {api}/payments/$IMP_UID {auth}

# what a gateway saw; and a fault: the next charge is taken, and its answer is lost
curl -sw '\\n' {any_gateway}/_sandbox/transactions
curl -sw '\\n' {any_gateway}/_sandbox/faults -d '{{"operation": "charge", "fault": "reply_lost"}}'
"""
