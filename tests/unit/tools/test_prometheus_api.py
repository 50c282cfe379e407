"""Questions to a Prometheus: which proxy they take, and answers that are none."""

import json
import socket
import threading

import pytest

from tests.unit.played_server import serving, set_dead_proxy
from tools.prometheus_api import PrometheusApi

RESULT = [{"metric": {"run": "gpt"}, "value": [0, "2.5"]}]


def test_a_server_on_loopback_is_asked_without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    set_dead_proxy(monkeypatch)
    content = json.dumps({"data": {"result": RESULT}}).encode()
    with serving(lambda asked: (200, content)) as server:
        api = PrometheusApi(server.url)
        assert api.is_ready()
        api.reload()
        (sample,) = api.query("loss")
    assert (sample.labels, sample.value) == ({"run": "gpt"}, 2.5)
    assert [(asked.method, asked.path) for asked in server.asked] == [
        ("GET", "/-/ready"),
        ("POST", "/-/reload"),
        ("GET", "/api/v1/query?query=loss"),
    ]


def test_a_server_elsewhere_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    set_dead_proxy(monkeypatch)
    with serving(lambda asked: (200, b"")) as server:
        monkeypatch.setenv("http_proxy", server.url)
        assert PrometheusApi("http://prometheus.example:9090").is_ready()
    assert [asked.path for asked in server.asked] == ["http://prometheus.example:9090/-/ready"]


@pytest.mark.parametrize("content", [b"[]", b'{"status": "down"}', b"<html>"])
def test_another_servers_answer_is_a_bad_one(content: bytes) -> None:
    with serving(lambda asked: (200, content)) as server, pytest.raises(ValueError, match=r".+"):
        PrometheusApi(server.url).query("loss")


def test_what_speaks_no_http_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=greet, args=(listener,))
        thread.start()
        assert not PrometheusApi(url).is_ready()
        thread.join()


def greet(listener: socket.socket) -> None:
    """Answer as a mail server would."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(b"220 mail.example\r\n")
