"""Through which proxy servers are asked: none for loopback, else that of the environment, as kubectl does it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import UnreachableError
from trainwright_cli.local import trainer
from trainwright_cli.local.folders import Folders
from trainwright_cli.options import Target
from trainwright_cli.proxies import is_loopback
from trainwright_cli.stores import S3Folder, open_folder
from urllib3 import PoolManager, ProxyManager

from tests.unit.cli.kubeconfigs import a_context, write_kubeconfig
from tests.unit.planner.builders import a_run
from tests.unit.played_server import PROXIES, serving, set_dead_proxy


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9000", True),
        ("https://127.1.2.3", True),
        ("https://[::1]:6443", True),
        ("http://localhost:9000/", True),
        ("http://localhost.example", False),
        ("http://10.0.0.1:9000", False),
        ("https://s3.eu-west-1.amazonaws.com", False),
        ("", False),
    ],
)
def test_loopback_is_told_by_address_or_name(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


@pytest.mark.parametrize(
    ("server", "no_proxy", "expected"),
    [
        ("https://127.0.0.1:6443", "", None),
        ("https://localhost:6443", "", None),
        ("https://10.1.2.3:6443", "", "https://secure.example"),
        ("http://10.1.2.3:8080", "", "http://plain.example"),
        ("https://10.1.2.3:6443", "other.example,10.0.0.0/8", None),
        ("https://api.lab.example:6443", ".lab.example", None),
    ],
)
def test_the_api_server_is_asked_as_kubectl_asks_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: str,
    no_proxy: str,
    expected: str | None,
) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "https://secure.example")
    monkeypatch.setenv("HTTP_PROXY", "http://plain.example")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    path = write_kubeconfig(tmp_path, a_context("a", server=server), current="a")
    cluster = Cluster.connect(Target(kubeconfig=path))
    pool = cluster._core.api_client.rest_client.pool_manager
    assert type(pool) is (PoolManager if expected is None else ProxyManager)
    if isinstance(pool, ProxyManager):
        assert pool.proxy is not None
        assert f"{pool.proxy.scheme}://{pool.proxy.host}" == expected


def test_a_clusters_own_proxy_goes_before_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_dead_proxy(monkeypatch)
    context = a_context("a")
    context["cluster"]["cluster"]["proxy-url"] = "http://bastion.example:3128"
    cluster = Cluster.connect(Target(kubeconfig=write_kubeconfig(tmp_path, context, current="a")))
    assert cluster._core.api_client.rest_client.pool_manager.proxy.host == "bastion.example"


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [("proxy.example:3128", "proxy.example"), ("socks5://proxy.example", None)],
)
def test_a_proxy_without_scheme_is_an_http_one_and_another_kind_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, expected: str | None
) -> None:
    set_dead_proxy(monkeypatch)
    monkeypatch.setenv("https_proxy", proxy)
    target = Target(kubeconfig=write_kubeconfig(tmp_path, a_context("a"), current="a"))
    if expected is None:
        with pytest.raises(UnreachableError, match=r"^no cluster: the proxy of .*; use such"):
            Cluster.connect(target)
    else:
        pool = Cluster.connect(target)._core.api_client.rest_client.pool_manager
        assert pool.proxy.host == expected


@pytest.mark.parametrize("is_named", [True, False])
def test_a_store_on_loopback_is_asked_without_proxy(
    monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    set_dead_proxy(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with serving(lambda asked: (200, b"{}")) as server:
        if not is_named:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        folder = open_folder("s3://runs/gpt/", endpoint=server.url if is_named else None)
        assert isinstance(folder, S3Folder)
        assert folder.read_bytes("manifest.json") == b"{}"
    (asked,) = server.asked
    assert asked.path == "/runs/gpt/manifest.json"
    assert "/eu-west-1/s3/" in asked.headers["authorization"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "a.example"}, "127.0.0.1,localhost,::1,a.example"),
        ({"no_proxy": "b.example", "NO_PROXY": ""}, "127.0.0.1,localhost,::1,b.example"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_a_trainer_that_is_started_here_spares_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str
) -> None:
    started: list[dict[str, str]] = []

    def start(_command: object, *, env: dict[str, str], **_: object) -> SimpleNamespace:
        started.append(env)
        return SimpleNamespace(pid=1, poll=lambda: 0)

    monkeypatch.setattr(trainer.subprocess, "Popen", start)
    with trainer.running_trainer(a_run(), Folders(tmp_path, "default", "gpt"), given):
        pass
    assert (started[0]["no_proxy"], started[0]["NO_PROXY"]) == (expected, expected)


def test_a_store_elsewhere_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda asked: (200, b"{}")) as server:
        set_dead_proxy(monkeypatch)
        for name in PROXIES:
            monkeypatch.setenv(name, server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        folder = open_folder("s3://runs/gpt/", endpoint="http://minio.example:9000")
        assert folder.read_bytes("manifest.json") == b"{}"
    (asked,) = server.asked
    assert asked.path == "http://minio.example:9000/runs/gpt/manifest.json"
