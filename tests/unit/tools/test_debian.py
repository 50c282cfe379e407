"""Packages are installed without starting a service, and nothing that forbids one stays."""

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools import debian
from tools.machine import PROJECT

OF_OTHERS = "#!/bin/sh\nexit 0\n"
KILLED_INSIDE = """
import os, pathlib, signal, sys
from tools import debian
debian._POLICY, debian._OF_OTHERS = map(pathlib.Path, sys.argv[1:])
with debian.services_forbidden():
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(debian, "_POLICY", policy)
    monkeypatch.setattr(debian, "_OF_OTHERS", tmp_path / "of-others")
    return policy


def write_policy_of_others(policy: Path) -> None:
    policy.write_text(OF_OTHERS)
    policy.chmod(0o700)


def test_a_package_is_downloaded_by_one_process_at_a_time_from_fresh_lists_if_need_be(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock that apt-get has for its lists waits for nobody."""
    lock = tmp_path / "cache" / ".packages.lock"
    apt = tmp_path / "apt-get"
    apt.write_text(
        "#!/bin/sh\n"
        f"flock --nonblock {lock} true && {{ echo nobody waits >&2; exit 1; }}\n"
        f'[ "$4" = update ] && exec touch {tmp_path}/updated\n'
        f'[ -e {tmp_path}/updated ] && exec touch "$5.deb"\n'
        "exit 100\n"
    )
    apt.chmod(0o755)
    monkeypatch.setattr(debian, "SYSTEM_PATH", f"{tmp_path}:{os.defpath}")
    folder = tmp_path / "work"
    folder.mkdir()
    assert debian.download_package("x", folder) == folder / "x.deb"


@pytest.mark.parametrize("previous", [None, OF_OTHERS])
@pytest.mark.parametrize("is_killed_before", [False, True], ids=["clean", "killed before"])
def test_services_are_forbidden_for_the_installation_only(
    previous: str | None, is_killed_before: bool, policy: Path
) -> None:
    if previous:
        write_policy_of_others(policy)
    if is_killed_before:
        kill_inside(policy)
    with debian.services_forbidden():
        assert subprocess.run([policy], check=False).returncode == 101
    assert (policy.read_text() if policy.exists() else None) == previous
    if previous:
        assert stat.S_IMODE(policy.stat().st_mode) == 0o700
    assert not debian._OF_OTHERS.exists()


def kill_inside(policy: Path) -> None:
    command = [sys.executable, "-Sc", KILLED_INSIDE, str(policy), str(debian._OF_OTHERS)]
    assert subprocess.run(command, cwd=PROJECT, check=False).returncode == -signal.SIGKILL
    assert "exit 101" in policy.read_text()


def test_what_a_killed_installation_left_is_removed_though_nothing_is_to_install(
    policy: Path,
) -> None:
    write_policy_of_others(policy)
    debian.remove_leftover()
    kill_inside(policy)
    debian.remove_leftover()
    assert policy.read_text() == OF_OTHERS


def test_a_policy_that_others_write_meanwhile_stays(policy: Path) -> None:
    with debian.services_forbidden():
        write_policy_of_others(policy)
    assert policy.read_text() == OF_OTHERS


def test_packages_are_installed_with_services_forbidden_from_fresh_lists_if_need_be(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = tmp_path / "called"
    apt = tmp_path / "apt-get"
    # Fails until the lists have been updated.
    apt.write_text(
        f'#!/bin/sh\necho "$4 $({policy}; echo $?)" >> {called}\n'
        f'[ "$4" = update ] || grep -q update {called} || {{ echo no lists >&2; exit 100; }}\n'
    )
    apt.chmod(0o755)
    monkeypatch.setattr(debian, "SYSTEM_PATH", f"{tmp_path}:{os.defpath}")
    debian.install_packages("x")
    assert called.read_text().splitlines() == ["install 101", "update 101", "install 101"]
    assert not policy.exists()
    apt.write_text("#!/bin/sh\necho no such package >&2; exit 100\n")
    with pytest.raises(
        debian.DebianError, match=r"apt-get update ended with 100:\nno such package"
    ):
        debian.install_packages("x")


def test_an_installation_is_not_killed_by_ctrl_c(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells Ctrl+C to its parent, as the terminal would, and takes half a second to end."""
    done = tmp_path / "done"
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\nkill -INT $PPID\nsleep 0.5\ntouch {done}\n")
    apt.chmod(0o755)
    monkeypatch.setattr(debian, "SYSTEM_PATH", f"{tmp_path}:{os.defpath}")
    with pytest.raises(KeyboardInterrupt):
        debian.install_packages("x")
    assert done.exists()
    assert not policy.exists()


def test_packages_can_be_installed_from_another_thread(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apt-get").symlink_to("/bin/true")
    monkeypatch.setattr(debian, "SYSTEM_PATH", f"{tmp_path}:{os.defpath}")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(debian.install_packages, "x").result()
    assert not policy.exists()
