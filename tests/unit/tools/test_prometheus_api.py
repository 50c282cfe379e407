"""Questions to a Prometheus on this machine go there, whatever proxy the environment has."""

import json

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
