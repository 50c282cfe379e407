"""Each reason why no cluster can run here, and the one cache of all parts."""

import platform
import re
from pathlib import Path

import pytest

from tests.cluster import cache as clusters
from tests.cluster import machine as cluster_machine
from tests.cluster.errors import UnsupportedMachineError
from tools import machine

DEBIAN = {"VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}
UBUNTU = {"VERSION_CODENAME": "noble", "PRETTY_NAME": "Ubuntu 24.04 LTS"}


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Root on Debian 12 with all that a cluster needs; a test takes one thing away."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "DEBIAN_PYTHON", tmp_path / "python3.11")
    monkeypatch.setattr(machine, "_release", lambda: DEBIAN)
    monkeypatch.setattr(machine, "_try_namespaces", lambda: "")
    monkeypatch.setattr(machine.shutil, "which", lambda name, **_: f"/usr/bin/{name}")
    return monkeypatch


def test_debian_12_runs_clusters_though_its_python_is_still_to_be_installed(
    system: pytest.MonkeyPatch,
) -> None:
    assert machine.find_cluster_obstacle() is None


def test_another_system_with_that_python_runs_them_too(
    system: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "python3.11").touch()
    system.setattr(machine, "_release", lambda: UBUNTU)
    assert machine.find_cluster_obstacle() is None


def test_another_release_is_told_what_is_missing(system: pytest.MonkeyPatch) -> None:
    system.setattr(machine, "_release", lambda: UBUNTU)
    reason = machine.find_cluster_obstacle()
    assert reason is not None
    assert "python3.11, which Debian 12 (bookworm) has; this is Ubuntu 24.04 LTS" in reason
    cluster_machine.check_machine()  # a cluster without our images has no need of it


@pytest.mark.parametrize(
    ("owner", "name", "value", "reason"),
    [
        (platform, "system", lambda: "Darwin", r"it needs Linux; this is Darwin"),
        (machine.os, "geteuid", lambda: 1000, r"it needs root .*; this is user 1000"),
        (machine.os, "access", lambda *_: False, r"it needs writable cgroups at .*privileged"),
        (machine, "_try_namespaces", lambda: "not permitted", r"refused here \(not permitted\)"),
    ],
    ids=["system", "root", "cgroups", "namespaces"],
)
def test_the_cluster_and_all_others_give_the_same_reason(
    system: pytest.MonkeyPatch, owner: object, name: str, value: object, reason: str
) -> None:
    system.setattr(owner, name, value)
    found = machine.find_cluster_obstacle()
    assert re.search(reason, str(found))
    with pytest.raises(UnsupportedMachineError) as said:
        cluster_machine.check_machine()
    assert str(said.value) == "the embedded cluster" + str(found).removeprefix("it")


def test_what_unshare_says_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    asked = machine._try_namespaces.__wrapped__
    assert asked() == "unshare failed: Operation not permitted"
    refusing.write_text("#!/bin/sh\nexit 0\n")
    assert asked() == ""


def test_the_cluster_has_the_cache_of_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", "~/x")
    assert clusters.cache_folder() == machine.cache_folder() == Path.home().resolve() / "x"
