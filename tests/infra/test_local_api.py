"""The local HTTP server over a small application of its own, and what arrives at it."""

import http.client
import json
import socket
import threading
import time

import pytest
from chalice import Chalice

from infra import local_api


@pytest.fixture(scope="module")
def address():
    app = Chalice("small")

    @app.route("/echo/{name}", methods=["POST"], content_types=["*/*"])
    def echo(name):
        body = app.current_request.raw_body or b""
        time.sleep(0.01)  # long enough for another thread's request to get in between
        return {"name": name, "seen": app.current_request.uri_params["name"], "length": len(body)}

    @app.route("/read")
    def read():
        return {"read": True}

    server = local_api.make_server(app)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_address[:2]
    server.shutdown()
    thread.join()
    server.server_close()


def ask(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def send_raw(address, data):
    """Everything the server answers until it closes the connection."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(data)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_a_reply_leaves_in_one_packet_and_the_connection_stays(address):
    with socket.create_connection(address, timeout=10) as connection:
        for _ in range(3):
            connection.sendall(b"GET /read HTTP/1.1\r\nHost: x\r\n\r\n")
            received = connection.recv(65536)
            assert received.startswith(b"HTTP/1.1 200")
            assert received.endswith(b'{"read":true}')


def test_requests_of_several_threads_do_not_mix(address):
    answers = {}

    def one(n):
        answers[n] = json.loads(ask(address, "POST", f"/echo/{n}", b"x" * n)[2])

    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: {"name": str(n), "seen": str(n), "length": n} for n in range(20)}


def test_chunked_bodies_are_read(address):
    status, _, body = ask(address, "POST", "/echo/a", iter([b"one", b"two", b"x" * 70_000]))
    assert status == 200
    assert json.loads(body)["length"] == 70_006


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "é"}])
@pytest.mark.parametrize("path", ["/", "/none", "/echo", "/echo/a/b", "//[", "/read/%2e%2e"])
def test_what_is_no_route_is_told_in_json_and_echoes_nothing(address, path, headers):
    status, _, body = ask(address, "GET", path, headers=headers)
    assert status == 404
    assert json.loads(body) == {"code": -1, "message": "요청한 경로가 없습니다. (no such path)", "response": None}


def test_a_method_the_path_does_not_have_is_told_in_json_with_those_it_has(address):
    status, headers, body = ask(address, "DELETE", "/read")
    assert (status, headers["Allow"]) == (405, "GET")
    message = "사용할 수 없는 메서드입니다. (method not allowed)"
    assert json.loads(body) == {"code": -1, "message": message, "response": None}
    assert ask(address, "OPTIONS", "/read")[0] == 200


def test_a_slash_at_the_end_makes_no_difference(address):
    assert ask(address, "GET", "/read/?a=1")[0] == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /echo/a HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\nabc", 413),
        (b"POST /echo/a HTTP/1.1\r\nContent-Length: -5\r\n\r\nabc", 400),
        (b"POST /echo/a HTTP/1.1\r\nContent-Length: abc\r\n\r\nabc", 400),
        (b"POST /echo/a HTTP/1.1\r\nContent-Length: \xc2\xb2\r\n\r\nabc", 400),
        (b"POST /echo/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /echo/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", 413),
        (b"POST /echo/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", 413),
        (b"BREW /read HTTP/1.1\r\n\r\n", 501),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /read HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /read HTTP/1.1\r\n" + b"H: x\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_nonsense_is_answered_in_json_and_at_once(address, request_bytes, status):
    started = time.monotonic()
    assert send_raw(address, request_bytes)[0] == status
    assert json.loads(send_raw(address, request_bytes)[1])["code"] == -1
    assert time.monotonic() - started < 5


def test_a_body_beyond_the_limit_gets_its_answer_although_it_is_still_being_sent(address):
    status, _, body = ask(address, "POST", "/echo/a", b"x" * (local_api.MAX_BODY + 1))
    assert status == 413
    assert "too large" in json.loads(body)["message"]


def test_head_has_no_body(address):
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"HEAD /read HTTP/1.1\r\n\r\n")
        assert connection.recv(65536).endswith(b"\r\n\r\n")


def test_who_waits_for_100_continue_gets_it_at_once(address):
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"POST /echo/a HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert connection.recv(65536).endswith(b'"length":3}')


def test_a_client_that_leaves_early_disturbs_nobody(address, capfd):
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"POST /echo/a HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
    assert ask(address, "GET", "/read")[0] == 200
    assert capfd.readouterr().err == ""
