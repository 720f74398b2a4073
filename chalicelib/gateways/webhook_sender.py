"""Delivers webhooks to addresses that merchants name, which is where a payment service is asked to knock anywhere.

How it works: a URL is judged twice. `refuse_url` looks at what is written: scheme, host, port, and numeric addresses
in every form that the system's resolver takes. `post` then resolves the name once, refuses if any of its addresses is
not a public one, and connects to an address that it has checked, so that a name cannot answer differently the second
time. TLS is verified against the name. Redirects are not followed: they would lead past both looks.

The exchange itself (phases, deadline, no proxy from the environment) is `HttpClient`'s.
"""

import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from chalicelib.domain.notices import DeliveryResult
from chalicelib.gateways.http import HttpClient, NoReplyError, NotSentError

CONNECT_TIMEOUT = 10.0
"""As in V1. How long the whole delivery may take is the caller's to say."""
GONE = 410
"""Standard Webhooks: the receiver wants no more of it."""
MAX_URL = 2000
MAX_HOST = 253
"""Longer names do not exist. What is remembered of receivers is kept by host."""
MAX_REPLY = 4096
"""The status is the answer. So much of the body is read: closing on unread data resets connections."""
MAX_ADDRESSES = 4

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
"""Control characters and spaces, which urlsplit drops in silence, and the backslash, on which parsers disagree."""
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

PRIVATE = "사설망 주소로는 보낼 수 없습니다. (private address)"


class RefusedUrl(Exception):
    """The text says why, for the merchant."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A URL that may be called. host: in ASCII. number: the address, if the host is one rather than a name."""

    url: str
    scheme: str
    host: str
    port: int
    number: str | None


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class WebhookSender:
    """ports.Sender. allow_loopback: this machine may be called; only the local run sets it."""

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        resolver: Resolver = resolve,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._resolve = resolver
        self._given_ssl_context = ssl_context
        self._connect_timeout = connect_timeout

    def refuse_url(self, url: str) -> str | None:
        try:
            receiver = _parse(url)
            if receiver.number:
                self._check([receiver.number])
        except RefusedUrl as refused:
            return str(refused)
        return PRIVATE if _names_this_machine(receiver.host) and not self._allow_loopback else None

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> DeliveryResult:
        deadline = time.monotonic() + timeout
        try:
            receiver = _parse(url)
            addresses = self._addresses(receiver)
        except RefusedUrl as refused:
            return DeliveryResult(delivered=False, text=str(refused), final=True)
        except OSError:
            return DeliveryResult(delivered=False, text="주소를 찾을 수 없습니다. (host not found)")
        text = "timeout"
        for address in addresses[:MAX_ADDRESSES]:
            context = self._ssl_context if receiver.scheme == "https" else None
            delivery = _Delivery(address, receiver, deadline, self._connect_timeout, context)
            sent, text = delivery.run(body, headers)
            if sent:
                return DeliveryResult(delivery.accepted, text, final=delivery.status == GONE, reply=delivery.reply)
        return DeliveryResult(delivered=False, text=text)

    def _addresses(self, receiver: Receiver) -> list[str]:
        """Checked addresses, IPv4 first: a function without IPv6 must not lose its time on it. Raises RefusedUrl."""
        found = [receiver.number] if receiver.number else self._resolve(receiver.host, receiver.port)
        if not found:
            raise OSError("no address")
        self._check(found)
        return sorted(found, key=lambda address: ":" in address)

    def _check(self, addresses: list[str]) -> None:
        for address in addresses:
            if not self._may_call(ipaddress.ip_address(address)):
                raise RefusedUrl(PRIVATE)

    def _may_call(self, address: Address) -> bool:
        inner = _embedded(address)
        if inner is not None:
            return self._may_call(inner)
        if address.is_loopback:
            return self._allow_loopback
        if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
            return False
        return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        """Made once, at the first delivery: loading the authorities takes longer than most requests."""
        return self._given_ssl_context or ssl.create_default_context()


class _Delivery(HttpClient):
    """One request to one checked address of the receiver. deadline: by the monotonic clock."""

    def __init__(
        self,
        address: str,
        receiver: Receiver,
        deadline: float,
        connect_timeout: float,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(connect_timeout=connect_timeout, ssl_context=ssl_context)
        self._address = address
        self._receiver = receiver
        self._deadline = deadline
        self.status: int | None = None
        self.reply = b""

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def run(self, body: bytes, headers: Mapping[str, str]) -> tuple[bool, str]:
        """Whether the request may have arrived, and what became of it."""
        sent, text = True, ""
        try:
            self.send(
                "POST",
                self._receiver.url,
                operation="webhook",
                timeout=self._deadline - time.monotonic(),
                headers={**headers, "Host": _host_header(self._receiver)},
                body=body,
            )
        except NotSentError as exc:
            sent, text = False, self._said(exc)
        except NoReplyError as exc:
            text = self._said(exc)
        # A receiver that has answered and then dawdles over its body has answered.
        return sent, text if self.status is None else f"HTTP {self.status}"

    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _said(self, exc: Exception) -> str:
        cause = exc.__cause__
        slow = isinstance(cause, TimeoutError | ConnectTimeoutError) and not isinstance(cause, NewConnectionError)
        return "timeout" if slow or self._is_late() else str(exc)

    def _new_connection(self, url: SplitResult, timeout: float) -> HTTPConnection:
        if url.scheme == "https":
            return HTTPSConnection(
                self._address,
                self._receiver.port,
                timeout=timeout,
                ssl_context=self._ssl_context,
                server_hostname=self._receiver.host,
            )
        return HTTPConnection(self._address, self._receiver.port, timeout=timeout)

    def _read(self, response: Any) -> bytes:
        if self._is_late():
            return b""  # cut off within the headers, which http.client takes for their end
        self.status = response.status
        with suppress(HTTPError, OSError):
            while len(self.reply) < MAX_REPLY and (chunk := response.read1(MAX_REPLY - len(self.reply))):
                self.reply += chunk
        return b""


def _parse(url: str) -> Receiver:
    """Raises RefusedUrl."""
    if len(url) > MAX_URL:
        raise RefusedUrl(f"URL은 {MAX_URL:,}자 이하여야 합니다. (too long)")
    if _FORBIDDEN.search(url):
        raise RefusedUrl("URL에 사용할 수 없는 문자가 있습니다. (space, control character or backslash)")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        receiver = Receiver(_ascii(parts), parts.scheme, host, _port(parts), _number(host))
    except ValueError as exc:  # a port that is no number, brackets that do not close, a label over 63 characters
        raise RefusedUrl("올바른 URL이 아닙니다. (malformed URL)") from exc
    if parts.scheme not in ("http", "https"):
        raise RefusedUrl("http 또는 https URL이어야 합니다. (not an http(s) URL)")
    if "@" in parts.netloc:
        raise RefusedUrl("URL에 아이디나 비밀번호를 넣을 수 없습니다. (credentials in the URL)")
    if receiver.number is None and not _is_name(host):
        raise RefusedUrl("URL에 올바른 호스트가 없습니다. (no valid host)")
    return receiver


def _port(parts: SplitResult) -> int:
    """Raises ValueError."""
    if parts.port == 0:
        raise ValueError("port 0")
    return parts.port or (443 if parts.scheme == "https" else 80)


def _ascii(parts: SplitResult) -> str:
    """What is not ASCII in path and query, percent-encoded; what is already encoded stays as it is."""
    safe = "!#$%&'()*+,/:;=?@[]~"
    path, query = quote(parts.path, safe=safe), quote(parts.query, safe=safe)
    return parts._replace(path=path, query=query, fragment="").geturl()


def _number(host: str) -> str | None:
    """The address a numeric host stands for, as the resolver reads it: also `127.1`, `0x7f000001`, `2130706433`."""
    try:
        found = socket.getaddrinfo(host.rstrip("."), None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return None
    return str(found[0][4][0])


def _is_name(host: str) -> bool:
    """No top-level domain begins with a digit: `1.2.3.4.5` and `08.8.8.8` are broken numbers, not names."""
    name = host.removesuffix(".")
    last_label = name.rpartition(".")[2]
    return bool(_HOST_NAME.fullmatch(host)) and len(name) <= MAX_HOST and not last_label[:1].isdigit()


def _names_this_machine(host: str) -> bool:
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, 6to4, or behind a NAT64 gateway."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _host_header(receiver: Receiver) -> str:
    host = f"[{receiver.host}]" if ":" in receiver.host else receiver.host
    default = 443 if receiver.scheme == "https" else 80
    return host if receiver.port == default else f"{host}:{receiver.port}"
