"""Which cluster and namespace a kubeconfig and the options name."""

from pathlib import Path

import pytest
from kubernetes.config import kube_config
from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import UnreachableError
from trainwright_cli.options import Target

from tests.unit.cli.kubeconfigs import a_context, write_kubeconfig

A = a_context("a", server="https://a.example", namespace="lab")
B = a_context("b", server="https://b.example", namespace="team")
NO_NAMESPACE = a_context("c", server="https://c.example")


@pytest.mark.parametrize("current", [None, "", "a"])
def test_a_context_that_is_named_needs_no_current_one(tmp_path: Path, current: str | None) -> None:
    path = write_kubeconfig(tmp_path, A, B, current=current)
    cluster = Cluster.connect(Target(kubeconfig=path, context="b"))
    assert cluster.namespace == "team"
    assert cluster._core.api_client.configuration.host == "https://b.example"


@pytest.mark.parametrize(
    ("current", "namespace", "expected"),
    [("a", None, "lab"), ("a", "other", "other"), ("c", None, "default")],
)
def test_the_namespace_is_that_of_the_option_else_of_the_context(
    tmp_path: Path, current: str, namespace: str | None, expected: str
) -> None:
    path = write_kubeconfig(tmp_path, A, NO_NAMESPACE, current=current)
    assert Cluster.connect(Target(kubeconfig=path, namespace=namespace)).namespace == expected


@pytest.mark.parametrize(
    ("content", "context"),
    [
        (None, None),
        ("", None),
        ("contexts: [", None),
        ("apiVersion: v1\ncontexts: []\n", None),
        ("apiVersion: v1\ncontexts: []\n", "b"),
    ],
    ids=["no file", "empty", "no YAML", "no current context", "no such context"],
)
def test_a_kubeconfig_that_names_no_cluster_is_told_in_one_line(
    tmp_path: Path, content: str | None, context: str | None
) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UnreachableError, match=r"^no cluster: .+; set KUBECONFIG, or ") as raised:
        Cluster.connect(Target(kubeconfig=str(path), context=context))
    assert "\n" not in raised.value.format_message()


@pytest.mark.parametrize("content", ["[]", "hello", "contexts: {a: b}\n"])
def test_a_file_that_is_no_kubeconfig_is_no_defect_of_ours(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(UnreachableError, match=r"^no cluster: ") as raised:
        Cluster.connect(Target(kubeconfig=str(path), context="a"))
    assert "\n" not in raised.value.format_message()


def test_a_key_that_is_no_base64_is_told_and_not_shown(tmp_path: Path) -> None:
    context = a_context("a")
    context["cluster"]["cluster"]["certificate-authority-data"] = "ThisIsMyKey"
    path = write_kubeconfig(tmp_path, context, current="a")
    with pytest.raises(UnreachableError, match="has not the form of one") as raised:
        Cluster.connect(Target(kubeconfig=path))
    assert "MyKey" not in str(raised.value)


def test_an_empty_kubeconfig_variable_means_the_usual_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".kube"
    folder.mkdir()
    Path(write_kubeconfig(folder, A, current="a")).rename(folder / "config")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", "")
    assert Cluster.connect(Target()).namespace == "lab"
