"""Real sockets: which failures mean "surely not sent", and which do not."""

import contextlib
import datetime as dt
import logging
import socket
import ssl
import struct
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.gateways.http import HttpClient, NoReplyError, NotSentError, Reply
from chalicelib.gateways.wire import instant, plain_text

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Trace: abc\r\n\r\nhi"


@contextlib.contextmanager
def server(behave, context: ssl.SSLContext | None = None):
    """Each connection is given to behave(socket); yields the port. Failures of a client that left are no failures."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()
    threads = []

    def serve(connection):
        with contextlib.suppress(OSError), connection:
            if context is None:
                behave(connection)
                return
            with context.wrap_socket(connection, server_side=True) as secured:
                behave(secured)

    def accept():
        while not stopping.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                if stopping.is_set():
                    connection.close()
                    return
                thread = threading.Thread(target=serve, args=(connection,))
                thread.start()
                threads.append(thread)

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopping.set()
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname(), 1).close()
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join()


def request_of(connection) -> bytes:
    """The whole request: to close with a part of it unread would reset the connection."""
    text = b""
    while b"\r\n\r\n" not in text or (b"\r\nContent-Length: 2\r\n" in text and not text.endswith(b"{}")):
        part = connection.recv(65536)
        if not part:
            break
        text += part
    return text


def send(port, *, timeout=2.0, client=None, scheme="http", **kwargs):
    url = f"{scheme}://localhost:{port}/v1/x?y=1" if scheme == "https" else f"http://127.0.0.1:{port}/v1/x?y=1"
    return (client or HttpClient()).send("POST", url, operation="test", timeout=timeout, body=b"{}", **kwargs)


def test_a_complete_reply():
    seen = []

    def behave(connection):
        seen.append(request_of(connection))
        connection.sendall(OK)

    with server(behave) as port:
        reply = send(port, headers={"Content-Type": "application/json"})
    assert (reply.status, reply.body, reply.headers["x-trace"]) == (200, b"hi", "abc")
    lines = seen[0].lower().split(b"\r\n")
    assert lines[0] == b"post /v1/x?y=1 http/1.1"
    assert {b"connection: close", b"content-length: 2", b"accept-encoding: identity"} <= set(lines)


def test_a_fresh_connection_per_call():
    connections = []

    def behave(connection):
        connections.append(connection)
        request_of(connection)
        connection.sendall(OK)

    client = HttpClient()
    with server(behave) as port:
        for _ in range(3):
            send(port, client=client)
    assert len(connections) == 3


@pytest.mark.parametrize("status", [204, 301, 302, 307, 404, 429, 500, 503])
def test_any_status_is_a_reply_and_no_redirect_is_followed(status):
    calls = []

    def behave(connection):
        calls.append(request_of(connection))
        body = b"" if status == 204 else b"x"
        head = (
            f"HTTP/1.1 {status} Word\r\nLocation: /elsewhere\r\nRetry-After: 0\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)

    with server(behave) as port:
        assert send(port).status == status
    assert len(calls) == 1


def test_chunked_and_unsized_bodies():
    replies = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ]
    for raw in replies:
        with server(lambda c, raw=raw: (request_of(c), c.sendall(raw))) as port:
            assert send(port).body == b"hello"


# --- surely not sent --------------------------------------------------------------------------------------------


def test_refused_connection():
    with socket.socket() as bound:  # bound, not listening: the port refuses and nobody else can take it
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(NotSentError, match="ConnectionRefusedError"):
            send(bound.getsockname()[1])


def test_unknown_name():
    with pytest.raises(NotSentError, match="NameResolutionError"):
        HttpClient().send("GET", "http://no-such-host.invalid/", operation="test", timeout=2)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b"])
def test_impossible_name(host):
    with pytest.raises(NotSentError):
        HttpClient().send("GET", f"http://{host}/", operation="test", timeout=2)


def test_nobody_accepts():
    """A listener whose queue is full drops what knocks: the connection is never made."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            knock = stack.enter_context(socket.socket())
            knock.setblocking(False)
            knock.connect_ex(listener.getsockname())
        started = time.monotonic()
        with pytest.raises(NotSentError, match="ConnectTimeoutError"):
            send(listener.getsockname()[1], client=HttpClient(connect_timeout=0.2))
        assert time.monotonic() - started < 3


@pytest.mark.parametrize("timeout", [0, -1, -0.001])
def test_no_time_left(timeout):
    with server(lambda c: c.sendall(OK)) as port, pytest.raises(NotSentError, match="no time left"):
        send(port, timeout=timeout)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(server context, file) of a certificate for `localhost` that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "pair.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


def test_untrusted_certificate(certificate):
    context, _ = certificate
    got = []
    with server(lambda c: got.append(request_of(c)), context) as port, pytest.raises(NotSentError, match="SSL"):
        send(port, scheme="https")
    assert got == []


def test_certificate_of_another_name(certificate):
    context, file = certificate
    client = HttpClient(ssl_context=ssl.create_default_context(cafile=file))
    with server(lambda c: c.sendall(OK), context) as port, pytest.raises(NotSentError, match="SSL"):
        client.send("GET", f"https://127.0.0.1:{port}/", operation="test", timeout=2)


def test_tls_that_is_none():
    with server(lambda c: (c.recv(10), c.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))) as port, pytest.raises(NotSentError):
        send(port, scheme="https")


def test_tls_handshake_that_hangs():
    done = threading.Event()
    started = time.monotonic()
    with server(lambda _: done.wait(5)) as port:
        with pytest.raises(NotSentError):
            send(port, scheme="https", timeout=0.4)
        assert time.monotonic() - started < 3
        done.set()


def test_tls_works(certificate):
    context, file = certificate
    client = HttpClient(ssl_context=ssl.create_default_context(cafile=file))
    with server(lambda c: (request_of(c), c.sendall(OK)), context) as port:
        assert send(port, scheme="https", client=client).body == b"hi"


# --- it may have arrived ----------------------------------------------------------------------------------------


def reset(connection):
    request_of(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "behave",
    [
        reset,
        request_of,
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")),
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")),
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi")),
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi")),
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nhi")),
        lambda c: (request_of(c), c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")),
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 abc OK\r\n\r\n")),
        lambda c: (request_of(c), c.sendall(b"\0" * 100)),
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n")),
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n")),
        lambda c: (request_of(c), c.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000_000)),
        lambda c: c.close(),
    ],
)
def test_whatever_goes_wrong_after_connecting_may_have_arrived(behave):
    with server(behave) as port, pytest.raises(NoReplyError):
        send(port)


def test_tls_reply_cut_off(certificate):
    context, file = certificate
    client = HttpClient(ssl_context=ssl.create_default_context(cafile=file))
    cut = OK.replace(b"Content-Length: 2", b"Content-Length: 20")
    with server(lambda c: (request_of(c), c.sendall(cut)), context) as port, pytest.raises(NoReplyError):
        send(port, scheme="https", client=client)


def test_silence():
    done = threading.Event()
    started = time.monotonic()
    with server(lambda c: (request_of(c), done.wait(5))) as port:
        with pytest.raises(NoReplyError):
            send(port, timeout=0.2)
        assert time.monotonic() - started < 3
        done.set()


def dribble(head: bytes, drop: bytes):
    def behave(connection):
        request_of(connection)
        connection.sendall(head)
        for _ in range(2000):
            connection.sendall(drop)
            time.sleep(0.01)

    return behave


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\nY"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_a_reply_that_dribbles_in_does_not_outlast_the_time_out(head, drop):
    started = time.monotonic()
    with server(dribble(head, drop)) as port:
        with pytest.raises(NoReplyError):
            send(port, timeout=0.2)
        assert time.monotonic() - started < 3


def test_a_dribbling_tls_reply(certificate):
    context, file = certificate
    client = HttpClient(ssl_context=ssl.create_default_context(cafile=file))
    started = time.monotonic()
    with server(dribble(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), context) as port:
        with pytest.raises(NoReplyError, match="out of time"):
            send(port, scheme="https", client=client, timeout=0.3)
        assert time.monotonic() - started < 3


# --- what others may see ----------------------------------------------------------------------------------------


def test_the_log_tells_the_operation_and_never_the_path(caplog):
    caplog.set_level(logging.DEBUG)
    replies = [OK, b"HTTP/1.1 200 OK\r\nbroken header\r\nContent-Length: 0\r\n\r\n", b"nonsense"]
    for raw in replies:
        with server(lambda c, raw=raw: (request_of(c), c.sendall(raw))) as port, contextlib.suppress(NoReplyError):
            HttpClient().send(
                "POST", f"http://127.0.0.1:{port}/v1/billing/SECRET-KEY", operation="charge", timeout=2, body=b"{}"
            )
    assert len(caplog.records) == 3
    assert "POST 127.0.0.1 charge: HTTP 200" in caplog.text
    assert "SECRET" not in caplog.text
    assert "hi" not in caplog.messages[0]


def test_a_reply_shows_nothing_of_its_content():
    assert repr(Reply(200, b"secret", {"x": "secret"})) == "Reply(status=200)"


def test_errors_name_kinds_only():
    raw = b"HTTP/1.1 4000000000000002 \r\n\r\n"
    with server(lambda c: (request_of(c), c.sendall(raw))) as port, pytest.raises(NoReplyError) as caught:
        send(port)
    assert "4000000000000002" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-23T12:00:00+09:00", "2026-11-23T12:00:00+09:00"),
        ("2026-11-23T12:00:00.000+0900", "2026-11-23T12:00:00+09:00"),
        ("2026-11-23T03:00:00Z", "2026-11-23T03:00:00+00:00"),
        ("2026-11-23T12:00:00", "2026-11-23T12:00:00+09:00"),
    ],
)
def test_instants(text, iso):
    assert instant(text).isoformat() == iso


@pytest.mark.parametrize("text", ["", "0", None, "yesterday", "2026-13-01T00:00:00Z", "0" * 5000])
def test_no_instants(text):
    assert instant(text) is None


@pytest.mark.parametrize(
    ("text", "sent"), [("가\0나\n다", "가 나 다"), ("\ud800", ""), (" x ", "x"), (None, ""), ("🎁", "🎁")]
)
def test_plain_text(text, sent):
    assert plain_text(text) == sent
