"""Real sockets on this machine, a resolver that answers what a test sets, and no waiting but for what is being timed."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib.gateways.webhook_sender import PRIVATE, WebhookSender

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Receiver:
    """Accepts connections one by one; `answer(connection)` writes the reply once the request has been read."""

    def __init__(self, answer=OK, tls=None, address="127.0.0.1"):
        self.requests = []
        self.connections = 0
        self._answer = answer if callable(answer) else lambda connection: connection.sendall(answer)
        self._tls = tls
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)

    def _run(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                with suppress(OSError):
                    self._serve(connection)
                connection.close()

    def _serve(self, connection):
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection:
            self.requests.append(_read_request(connection))
            self._answer(connection)


def _read_request(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    while len(body) < int(headers.get("Content-Length", 0)):
        body += connection.recv(65536)
    return first, headers, body


class Resolver:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, host, port):
        self.asked.append((host, port))
        return self.answers.pop(0)


def local_sender(resolver=None, **options):
    return WebhookSender(allow_loopback=True, resolver=resolver or Resolver(["127.0.0.1"]), **options)


def send(sender, url, body=b'{"imp_uid":"imp_1"}', timeout=30.0):
    return sender.post(url, body, {"Content-Type": "application/json", "webhook-id": "w1"}, timeout)


def post(sender, url, **more):
    result = send(sender, url, **more)
    return result.delivered, result.text


# --- what is written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "https://example.com:8443/hooks/portone?a=1#top",
        "HTTPS://EXAMPLE.COM/",
        "http://한글.kr/알림?이름=값",
        "http://with_underscore.example.com/",
        "http://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://example.com./",
        f"https://{'a.' * 125}kr./",
    ],
)
def test_public_urls_may_be_called(url):
    assert WebhookSender().refuse_url(url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not an http(s) URL"),
        ("ftp://example.com/", "not an http(s) URL"),
        ("file:///etc/passwd", "not an http(s) URL"),
        ("//example.com/", "not an http(s) URL"),
        ("example.com/hook", "not an http(s) URL"),
        ("http://", "no valid host"),
        ("http:///path", "no valid host"),
        ("http://-a.example.com/", "no valid host"),
        ("http://exa%6dple.com/", "no valid host"),
        ("http://1.2.3.4.5/", "no valid host"),
        ("http://999.1.1.1/", "no valid host"),
        ("http://user:secret@example.com/", "credentials"),
        ("http://user@example.com/", "credentials"),
        ("http://example.com:0/", "malformed"),
        ("http://example.com:65536/", "malformed"),
        ("http://example.com:port/", "malformed"),
        ("http://[::1/", "malformed"),
        ("http://a..b/", "malformed"),
        (f"http://{'a' * 64}.com/", "malformed"),
        (f"http://{'a.' * 126}kr/", "no valid host"),
        ("http://example.com/\ud800", "malformed"),
        ("http://example.com/a b", "space, control character"),
        ("http://example.com/\r\nHost: other", "space, control character"),
        ("http://exam\tple.com/", "space, control character"),
        ("http://example.com\\@127.0.0.1/", "backslash"),
        ("http://example.com/\x00", "space, control character"),
        (f"http://example.com/{'a' * 2000}", "too long"),
    ],
)
def test_broken_urls_are_refused_with_the_reason(url, reason):
    for sender in (WebhookSender(), local_sender()):
        assert reason in sender.refuse_url(url)
        ok, text = post(sender, url)
        assert not ok
        assert reason in text


LOOPBACK = [
    "http://127.0.0.1:8080/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://①②⑦.0.0.1/",
    "http://127。0。0。1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://hooks.localhost/",
]
NEVER = [
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fe80::1%lo]/",
    "http://[fec0::1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[::ffff:169.254.169.254]/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://[::ffff:10.0.0.1]/",
    "http://[fc00::1]/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://224.0.0.1/",
    "http://[ff02::1]/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://0.0.0.0/",
    "http://0/",
    "http://[::]/",
    "http://[::127.0.0.1]/",
]


@pytest.mark.parametrize("url", LOOPBACK + NEVER)
def test_our_own_network_is_refused_in_every_spelling(url):
    assert WebhookSender().refuse_url(url) == PRIVATE


@pytest.mark.parametrize("url", LOOPBACK)
def test_the_local_run_may_call_this_machine(url):
    assert local_sender().refuse_url(url) is None


@pytest.mark.parametrize("url", NEVER)
def test_the_local_run_may_call_nothing_else_that_is_private(url):
    assert local_sender().refuse_url(url) == PRIVATE
    assert post(local_sender(), url) == (False, PRIVATE)


# --- what is sent --------------------------------------------------------------------------------------------------


def test_delivers_the_body_with_our_headers_to_the_name():
    with Receiver() as receiver:
        url = f"http://hooks.example.com:{receiver.port}/a/%20b/알림?x=1&y=값#part"
        assert post(local_sender(), url) == (True, "HTTP 200")
    [(first, headers, body)] = receiver.requests
    assert first == "POST /a/%20b/%EC%95%8C%EB%A6%BC?x=1&y=%EA%B0%92 HTTP/1.1"
    assert body == b'{"imp_uid":"imp_1"}'
    assert headers["Host"] == f"hooks.example.com:{receiver.port}"
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"] == "w1"
    assert headers["Content-Length"] == str(len(body))


def test_a_numeric_host_is_called_without_asking_the_resolver():
    resolver = Resolver()
    with Receiver() as receiver:
        assert post(local_sender(resolver), f"http://127.0.0.1:{receiver.port}/") == (True, "HTTP 200")
    assert resolver.asked == []


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_every_2xx_is_success(status):
    with Receiver(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status) as receiver:
        assert post(local_sender(), f"http://a.example.com:{receiver.port}/") == (True, f"HTTP {status}")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 429, 500, 503])
def test_anything_else_is_not_and_redirects_are_not_followed(status):
    with Receiver() as elsewhere:
        reply = b"HTTP/1.1 %d x\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
        with Receiver(reply % (status, elsewhere.port)) as receiver:
            assert post(local_sender(), f"http://a.example.com:{receiver.port}/") == (False, f"HTTP {status}")
        assert elsewhere.connections == 0


@pytest.mark.parametrize(("status", "final"), [(200, False), (302, False), (404, False), (410, True), (503, False)])
def test_who_is_gone_needs_no_further_try(status, final):
    with Receiver(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status) as receiver:
        assert send(local_sender(), f"http://a.example.com:{receiver.port}/").final is final


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://inside.example.com/", "gopher://a.example.com/"])
def test_an_address_that_may_not_be_called_needs_no_further_try(url):
    assert send(WebhookSender(resolver=Resolver(["10.0.0.1"])), url).final


def test_a_resolver_that_takes_all_the_time_leaves_none_for_the_receiver():
    def slow(_host, _port):
        time.sleep(0.3)
        return ["127.0.0.1"]

    with Receiver() as receiver:
        result = send(local_sender(slow), f"http://a.example.com:{receiver.port}/", timeout=0.2)
    assert (result.delivered, result.text, result.final) == (False, "timeout", False)


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Receiver() as receiver:
        assert post(local_sender(), f"http://a.example.com:{receiver.port}/") == (True, "HTTP 200")


# --- where it is sent ----------------------------------------------------------------------------------------------


def test_a_name_that_leads_into_our_network_is_refused_before_connecting():
    with Receiver() as receiver:
        sender = WebhookSender(resolver=Resolver(["127.0.0.1"]))
        assert post(sender, f"http://a.example.com:{receiver.port}/") == (False, PRIVATE)
        assert receiver.connections == 0


@pytest.mark.parametrize("hidden", ["10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fe80::1%eth0", "224.0.0.1"])
def test_one_private_address_among_others_is_enough(hidden):
    with Receiver() as receiver:
        sender = local_sender(Resolver(["127.0.0.1", hidden]))
        assert post(sender, f"http://a.example.com:{receiver.port}/") == (False, PRIVATE)
        assert receiver.connections == 0


def test_a_name_is_resolved_once_so_it_cannot_change_its_mind():
    resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
    with Receiver() as receiver:
        assert post(local_sender(resolver), f"http://rebind.example.com:{receiver.port}/") == (True, "HTTP 200")
    assert resolver.asked == [("rebind.example.com", receiver.port)]


def test_another_address_is_tried_if_nobody_listens_at_the_first():
    with Receiver(address="127.0.0.2") as receiver:
        sender = local_sender(Resolver(["::1", "127.0.0.1", "127.0.0.2"]))
        assert post(sender, f"http://a.example.com:{receiver.port}/") == (True, "HTTP 200")


def test_no_second_address_is_tried_once_the_request_may_have_arrived():
    with Receiver(b"") as receiver:
        sender = local_sender(Resolver(["127.0.0.1", "127.0.0.1"]))
        ok, text = post(sender, f"http://a.example.com:{receiver.port}/")
    assert not ok
    assert text.startswith("no reply")
    assert receiver.connections == 1


def test_nobody_listening_is_told():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    ok, text = post(local_sender(), f"http://a.example.com:{port}/")
    assert not ok
    assert "not sent" in text


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), OSError("resolver down")])
def test_an_unknown_name_is_told(error):
    def fail(_host, _port):
        raise error

    ok, text = post(local_sender(fail), "http://nowhere.example.com/")
    assert (ok, text) == (False, "주소를 찾을 수 없습니다. (host not found)")


# --- receivers that misbehave --------------------------------------------------------------------------------------


def _trickle(prefix):
    def answer(connection):
        connection.sendall(prefix)
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)

    return answer


def _timed(sender, url):
    started = time.monotonic()
    result = post(sender, url, timeout=0.4)
    return result, time.monotonic() - started


@pytest.mark.parametrize("prefix", [b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nX-Header: "], ids=["status line", "header"])
def test_the_deadline_holds_against_a_receiver_that_dribbles(prefix):
    with Receiver(_trickle(prefix)) as receiver:
        result, took = _timed(local_sender(), f"http://a.example.com:{receiver.port}/")
    assert result == (False, "timeout")
    assert 0.3 < took < 2


def test_the_deadline_holds_against_a_receiver_that_is_silent():
    done = threading.Event()
    with Receiver(lambda _: done.wait(10)) as receiver:
        result, took = _timed(local_sender(), f"http://a.example.com:{receiver.port}/")
        done.set()
    assert result == (False, "timeout")
    assert took < 2


def test_who_has_answered_and_dribbles_the_body_has_answered():
    with Receiver(_trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")) as receiver:
        result, took = _timed(local_sender(), f"http://a.example.com:{receiver.port}/")
    assert result == (True, "HTTP 200")
    assert took < 2


def test_a_huge_body_is_left_unread():
    sent = []

    def flood(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while len(sent) < 10_000:
                connection.sendall(b"x" * 65536)
                sent.append(1)

    with Receiver(flood) as receiver:
        assert post(local_sender(), f"http://a.example.com:{receiver.port}/") == (True, "HTTP 200")
    assert len(sent) < 10_000


@pytest.mark.parametrize(
    "reply", [b"", b"\x00\xff garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"]
)
def test_what_is_not_http_is_no_answer(reply):
    with Receiver(reply) as receiver:
        ok, text = post(local_sender(), f"http://a.example.com:{receiver.port}/")
    assert not ok
    assert text.startswith("no reply")


# --- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Certificate and key for hooks.example.com and 127.0.0.1, trusted by nobody but who is told to."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example.com")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("hooks.example.com"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


@pytest.fixture
def server_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    context.names_asked = []
    context.sni_callback = lambda _socket, name, _context: context.names_asked.append(name)
    return context


@pytest.fixture
def trusting(authority):
    return ssl.create_default_context(cafile=authority / "cert.pem")


def test_tls_is_verified_against_the_name_and_not_the_address(server_tls, trusting):
    with Receiver(tls=server_tls) as receiver:
        sender = local_sender(ssl_context=trusting)
        assert post(sender, f"https://hooks.example.com:{receiver.port}/x") == (True, "HTTP 200")
    assert server_tls.names_asked == ["hooks.example.com"]
    [(_, headers, _)] = receiver.requests
    assert headers["Host"] == f"hooks.example.com:{receiver.port}"


def test_tls_to_a_numeric_host_is_verified_against_the_number(server_tls, trusting):
    with Receiver(tls=server_tls) as receiver:
        sender = local_sender(ssl_context=trusting)
        assert post(sender, f"https://127.0.0.1:{receiver.port}/x") == (True, "HTTP 200")


def test_a_certificate_for_another_name_is_refused(server_tls, trusting):
    with Receiver(tls=server_tls) as receiver:
        sender = local_sender(ssl_context=trusting)
        ok, text = post(sender, f"https://other.example.com:{receiver.port}/")
    assert not ok
    assert text.startswith("not sent")
    assert receiver.requests == []


def test_an_unknown_authority_is_refused(server_tls):
    with Receiver(tls=server_tls) as receiver:
        ok, text = post(local_sender(), f"https://hooks.example.com:{receiver.port}/")
    assert not ok
    assert text.startswith("not sent")
    assert receiver.requests == []
