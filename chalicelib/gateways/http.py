"""One HTTP request to a gateway, with an honest account of whether it can have arrived.

How it works: connecting and exchanging are two phases. Whatever fails before the connection stands (name, TCP, TLS)
cannot have carried a request: `NotSentError`. From the first byte on, everything but a complete reply is
`NoReplyError`: the gateway may have acted. So the phase decides, not the type of the exception.

It uses urllib3's connections without its pool, on purpose. A pooled connection that the server has closed meanwhile
turns a harmless reset into an unknown outcome; a pool retries, follows redirects, and prints paths at DEBUG, and
the paths of some gateways contain billing keys.
"""

import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from chalicelib.domain.charging import NotSent, Unknown

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 3.0
FAIR_TIMEOUT = 5.0
"""Seconds. Who was given less, at the end of somebody's time, may be well though no reply was read."""
MAX_REPLY = 1 << 20
"""Replies of gateways are a few KB; a longer body is not an answer to our question."""

# urllib3 names the whole URL when the headers of a reply are malformed, and a billing key may be part of it.
logging.getLogger("urllib3.connection").addFilter(lambda record: "url=" not in str(record.msg))


class NotSentError(Exception):
    """The request surely did not arrive: no name, no connection, no TLS, or no time left to send it."""


class NoReplyError(Exception):
    """The request may have arrived, and no complete reply was read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """headers: names in lower case. Body and headers stay out of the text form: they may carry secrets."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class HttpClient:
    """Bytes in, bytes out; a fresh connection per call; never repeats a request, never follows a redirect."""

    def __init__(
        self,
        connect_timeout: float = CONNECT_TIMEOUT,
        max_reply: int = MAX_REPLY,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._max_reply = max_reply
        self._given_ssl_context = ssl_context

    def send(
        self,
        method: str,
        url: str,
        *,
        operation: str,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """One request and its complete reply, whatever its status.

        operation: the name for logs, since the path may contain a billing key.
        timeout: seconds for everything, however slowly the reply trickles in. (The system's resolver, and a name
        with several dead addresses, can exceed it, but only before anything is sent.)
        Raises NotSentError or NoReplyError.
        """
        started = time.monotonic()
        outcome = "failed"
        try:
            with self._connect(urlsplit(url), timeout) as (connection, left):
                reply = self._exchange(connection, left, method, _target(url), headers or {}, body)
            outcome = f"HTTP {reply.status}"
        except (NotSentError, NoReplyError) as exc:
            outcome = str(exc)
            raise
        finally:
            took = int((time.monotonic() - started) * 1000)
            log.info("%s %s %s: %s, %d ms", method, urlsplit(url).hostname, operation, outcome, took)
        return reply

    def ask(
        self,
        method: str,
        url: str,
        *,
        operation: str,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply | NotSent | Unknown:
        """Like `send`, with failures as the results that adapters return."""
        try:
            return self.send(method, url, operation=operation, timeout=timeout, headers=headers, body=body)
        except NotSentError as exc:
            return NotSent(str(exc), unwell=timeout >= FAIR_TIMEOUT)
        except NoReplyError as exc:
            return Unknown(str(exc), unwell=timeout >= FAIR_TIMEOUT)

    @contextmanager
    def _connect(self, url: SplitResult, timeout: float) -> Iterator[tuple[HTTPConnection, float]]:
        """An open connection, TLS done, and the seconds left for the exchange."""
        deadline = time.monotonic() + timeout
        if timeout <= 0:
            raise NotSentError("not sent: no time left")
        # Half of a short time-out each for TCP and TLS, which urllib3 limits one by one.
        connection = self._new_connection(url, min(self._connect_timeout, timeout / 2))
        try:
            try:
                connection.connect()
            except (HTTPError, OSError) as exc:
                raise NotSentError(f"not sent: {_name(exc)}") from exc
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotSentError("not sent: connected too late")
            yield connection, left
        finally:
            connection.close()

    def _new_connection(self, url: SplitResult, timeout: float) -> HTTPConnection:
        host = url.hostname or ""
        if url.scheme == "https":
            return HTTPSConnection(host, url.port, timeout=timeout, ssl_context=self._ssl_context)
        return HTTPConnection(host, url.port, timeout=timeout)

    def _exchange(
        self,
        connection: HTTPConnection,
        left: float,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Reply:
        ours = {"Connection": "close", "Accept-Encoding": "identity", "User-Agent": "smart-routing"}
        connection.timeout = left
        with _Deadline(connection.sock, left) as deadline:
            try:
                connection.request(
                    method, target, body, {**ours, **headers}, preload_content=False, decode_content=False
                )
                response = connection.getresponse()
                try:
                    reply = Reply(response.status, self._read(response), _lower(response.headers))
                finally:
                    response.close()
            except (HTTPError, http.client.HTTPException, OSError, ValueError) as exc:
                raise NoReplyError(f"no reply: {'out of time' if deadline.over else _name(exc)}") from exc
        if deadline.over:  # a body without a length ends where the connection was cut
            raise NoReplyError("no reply: out of time")
        if reply.status != 204 and not reply.body and not _has_length(reply):
            raise NoReplyError("no reply: cut off")  # http.client takes headers that break off for complete
        return reply

    def _read(self, response: object) -> bytes:
        read = response.read  # type: ignore[attr-defined]
        body = b""
        while chunk := read(65536):
            body += chunk
            if len(body) > self._max_reply:
                raise NoReplyError(f"no reply: more than {self._max_reply} bytes")
        return body

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        """Made once and only if needed: loading the authorities takes longer than most requests."""
        if self._given_ssl_context:
            return self._given_ssl_context
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


class _Deadline:
    """Cuts a connection when its time is over. A socket's own time-out starts anew with every byte that arrives."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self.over = False
        self._sock = sock
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()  # or it might cut a later connection that got the same file descriptor

    def _cut(self) -> None:
        self.over = True
        with suppress(OSError):
            # Not SSLSocket's own shutdown: that takes the TLS state away from under the reading thread.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _has_length(reply: Reply) -> bool:
    return "content-length" in reply.headers or "transfer-encoding" in reply.headers


def _name(exc: BaseException) -> str:
    """The kinds of error, outer and inner. Their texts may quote what was sent or received."""
    cause = exc.__cause__ or exc.__context__
    return f"{type(exc).__name__} ({type(cause).__name__})" if cause else type(exc).__name__
