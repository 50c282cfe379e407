"""kubectl and Helm act on the cluster that was agreed to, whichever became the current one meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from demo import install, place
from demo.install import Images, ensure_namespace, install_chart
from demo.place import Place, Store

IMAGES = Images("registry", "operator:1", "trainer:1")


@pytest.fixture
def read_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What kubectl and Helm, which print nothing here, are called with."""
    calls = tmp_path / "calls"
    for name in ("kubectl", "helm"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\n')
        program.chmod(0o755)
    monkeypatch.setattr(place, "find_kubectl", lambda: str(tmp_path / "kubectl"))
    monkeypatch.setattr(install, "ensure_binaries", lambda _: tmp_path)
    return lambda: calls.read_text().splitlines()


def a_place(context: str | None) -> Place:
    return Place("played", "team", Store("", "", "", "", ""), context=context)


def test_every_call_names_the_context(read_calls: Callable[[], list[str]]) -> None:
    a_place("prod-eu").kubectl("get", "pods")
    install_chart(a_place("prod-eu"), IMAGES)
    kubectl, helm = read_calls()
    assert kubectl == "kubectl --context prod-eu get pods"
    assert " --kube-context prod-eu " in helm


def test_without_a_context_the_kubeconfig_decides(read_calls: Callable[[], list[str]]) -> None:
    a_place(None).kubectl("get", "pods")
    install_chart(a_place(None), IMAGES)
    kubectl, helm = read_calls()
    assert kubectl == "kubectl get pods"
    assert "context" not in helm


def test_an_upgrade_keeps_the_releases_values_but_a_pinned_digest(
    read_calls: Callable[[], list[str]],
) -> None:
    install_chart(a_place(None), IMAGES)
    (helm,) = read_calls()
    assert " --reset-then-reuse-values " in helm
    assert " --set-string image.digest= " in helm
    assert helm.endswith(" --set-string trainer.image.digest=")


def test_a_missing_namespace_is_created(read_calls: Callable[[], list[str]]) -> None:
    ensure_namespace(a_place("prod-eu"))
    assert read_calls() == [
        "kubectl --context prod-eu get namespace team --ignore-not-found -o name",
        "kubectl --context prod-eu create namespace team",
    ]
