"""The pods' HTTP server: who reaches it, and who is let go."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from trainwright_api.pod_server import SILENCE_SECONDS, PodHandler, open_server


class Handler(PodHandler):
    def handle_get(self) -> None:
        self.answer(200, "text/plain", b"here")

    def handle_post(self) -> None:
        self.answer(200, "text/plain", self.rfile.read(int(self.headers["Content-Length"])))


class ImpatientHandler(Handler):
    timeout = 0.05


@contextmanager
def serving(handler: type[Handler] = Handler) -> Iterator[int]:
    server = open_server(0, handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def get(host: str, port: int) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    connection.request("GET", "/")
    body = connection.getresponse().read()
    connection.close()
    return body


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_address_families_are_answered(host: str) -> None:
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with serving() as port:
        assert get(host, port) == b"here"


def test_without_ipv6_the_other_family_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with serving() as port:
        assert get("127.0.0.1", port) == b"here"


def test_a_client_asks_again_over_the_same_connection() -> None:
    with serving() as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"here"
        local = connection.sock.getsockname()
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"here"
        assert connection.sock.getsockname() == local
        connection.close()


SMUGGLED = b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "code"),
    [
        (b"GET / HTTP/1.1\r\nContent-Length: %d\r\n" % len(SMUGGLED), 200),
        (b"POST / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n", 411),
    ],
    ids=["GET", "POST in chunks"],
)
def test_what_follows_a_request_that_was_read_in_part_is_no_request(
    request_head: bytes, code: int
) -> None:
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(request_head + b"\r\n" + SMUGGLED)
        answer = b""
        while chunk := client.recv(1000):
            answer += chunk
        assert answer.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 %d" % code) == 1


def test_a_silent_client_is_let_go() -> None:
    assert PodHandler.timeout == SILENCE_SECONDS
    impatient = serving(ImpatientHandler)
    with impatient as port, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET / HT")
        assert client.recv(1) == b""


def test_a_port_that_is_taken_is_an_error() -> None:
    with serving() as port, pytest.raises(OSError, match="in use"):
        open_server(port, Handler)
