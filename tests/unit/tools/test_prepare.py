import subprocess
from pathlib import Path

import pytest

from tools import prepare
from tools.machine import PROJECT
from tools.prepare import describe_machine, fingerprint, move_into_place


@pytest.mark.parametrize("target", ["demo", "test"])
def test_first_line_says_what_a_machine_without_root_can_do(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(prepare, "find_cluster_obstacle", lambda: "it needs root")
    line = describe_machine(target)
    assert line.startswith("no cluster on this machine (it needs root)")
    assert {"demo": "locally", "test": "skipped"}[target] in line


@pytest.mark.parametrize("target", ["demo", "test"])
def test_first_line_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setattr(prepare, "find_cluster_obstacle", lambda: None)
    assert "usually" in describe_machine(target)


def test_current_cluster_needs_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    assert "kubectl's current cluster" in describe_machine("demo")


def test_fingerprint_changes_with_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    lock.write_text("x==1\n")
    first = fingerprint(lock)
    lock.write_text("x==2\n")
    assert fingerprint(lock) != first


def test_who_comes_second_keeps_the_first_ones_folder(tmp_path: Path) -> None:
    folder = tmp_path / "uv"
    for content in ("first", "second"):
        draft = tmp_path / f"draft-{content}"
        draft.mkdir()
        (draft / "uv").write_text(content)
        move_into_place(draft, folder)
    assert (folder / "uv").read_text() == "first"
    assert not (tmp_path / "draft-second").exists()


def test_bootstrap_without_a_python_says_what_to_install(tmp_path: Path) -> None:
    """On a machine where nothing answers: no Python, no apt-get."""
    for name in ("bash", "dirname", "id", "env"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    text = (PROJECT / "tools" / "bootstrap").read_text()
    script = tmp_path / "tools" / "bootstrap"
    script.parent.mkdir()
    script.write_text(text.replace("/usr/bin/python3.11 /usr/bin/python3 ", ""))
    done = subprocess.run(
        ["/bin/bash", str(script), "test"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no Python from 3.11 to 3.13 found; install one" in done.stderr
