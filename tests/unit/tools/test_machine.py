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
    monkeypatch.setattr(machine, "_PROCESS", tmp_path)
    (tmp_path / "status").write_text("Name:\tpython\nCapInh:\t0\nCapEff:\t000001ffffffffff\n")
    (tmp_path / "uid_map").write_text("         0          0 4294967295\n")
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
        (machine.os, "access", lambda *_: False, r"at .*, version 1 is read-only; .*privileged"),
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


def test_the_rights_that_a_container_lacks_are_named(
    system: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "status").write_text("CapEff:\t00000000a80425fb\n")  # Docker's default
    assert machine.find_namespace_obstacle() == (
        "it needs CAP_SYS_ADMIN and CAP_NET_ADMIN, which root does not have here; in a container: "
        "start that privileged"
    )
    (tmp_path / "status").write_text("CapEff:\t00000000a82425fb\n")  # --cap-add SYS_ADMIN
    assert str(machine.find_namespace_obstacle()).startswith("it needs CAP_NET_ADMIN, which")


def test_root_of_a_user_namespace_is_told_that_it_is_one(
    system: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "uid_map").write_text("0 1000 1\n1 100000 65536\n")
    assert machine.find_namespace_obstacle() is None  # where nothing refuses, nothing is asked
    system.setattr(machine, "_try_namespaces", lambda: "not permitted")
    found = str(machine.find_namespace_obstacle())
    assert found.endswith("as in a rootless container: use the machine's own")
    (tmp_path / "uid_map").unlink()  # a kernel without user namespaces
    found = str(machine.find_namespace_obstacle())
    assert found.endswith("in a container: start that privileged")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"controllers": "cpuset cpu io memory pids"}, None),
        (
            {"controllers": "cpuset cpu io pids"},
            "the cgroup controllers memory, which .*--cgroupns",
        ),
        ({"controllers": "cpu memory", "procs": "1\n7\n"}, None),
        (
            {"controllers": "cpu memory", "procs": "1\n7\n", "type": "domain"},
            "processes are in that very cgroup, .*--cgroupns=host",
        ),
        ({"controllers": "cpu memory", "type": "domain"}, None),
    ],
    ids=["root", "no memory", "root with processes", "busy", "empty"],
)
def test_cgroups_of_version_2_that_cannot_be_used_are_told_apart(
    system: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], reason: str | None
) -> None:
    for name, text in {"procs": "", "subtree_control": "", **files}.items():
        (tmp_path / f"cgroup.{name}").write_text(text)
    found = machine.find_namespace_obstacle()
    assert found is None if reason is None else re.search(reason, str(found))


def test_cgroups_that_cannot_be_written_or_are_not_there_are_told_apart(
    system: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cgroup.controllers").touch()
    system.setattr(machine.os, "access", lambda *_: False)
    assert "version 2 is read-only; in a container" in str(machine.find_namespace_obstacle())
    system.setattr(machine, "CGROUPS", tmp_path / "none")
    assert "where there are none" in str(machine.find_namespace_obstacle())


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
