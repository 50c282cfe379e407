import errno
import fcntl
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import prepare
from tools.machine import PROJECT
from tools.prepare import PreparationError, describe_machine, fingerprint, move_into_place


@pytest.mark.parametrize("target", ["demo", "test"])
def test_first_line_says_what_a_machine_without_root_can_do(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(prepare, "find_cluster_obstacle", lambda: "it needs root")
    line = describe_machine(target)
    assert line.startswith("no cluster on this machine (it needs root)")
    assert {"demo": "locally", "test": "skipped"}[target] in line


def test_first_line_says_that_ci_fails_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(prepare, "find_cluster_obstacle", lambda: "it needs root")
    assert "tiers that need one fail" in describe_machine("test")


@pytest.mark.parametrize("obstacle", [None, "it needs root"])
@pytest.mark.parametrize("target", ["demo", "test"])
def test_first_line_says_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, target: str, obstacle: str | None
) -> None:
    monkeypatch.setattr(prepare, "find_cluster_obstacle", lambda: obstacle)
    assert re.search(r"usually .*\d+ min the first time, then \d+ min$", describe_machine(target))


def test_first_line_and_readme_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "find_cluster_obstacle", lambda: None)
    readme = (PROJECT / "README.md").read_text()
    for target in ("demo", "test"):
        figures = re.findall(r"(\d+) min", describe_machine(target))
        text = readme.partition(f"```sh\nmake {target}\n```")[2]
        found = re.search(r"On two cores some (\d+) minutes the first time, (\d+) after that", text)
        assert found
        assert list(found.groups()) == figures


def test_current_cluster_needs_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    assert "kubectl's current cluster" in describe_machine("demo")
    assert run_steps(monkeypatch, "demo") == []


def run_steps(monkeypatch: pytest.MonkeyPatch, target: str) -> list[str]:
    """The steps that a preparation runs after the environment."""
    steps: list[str] = []
    for name in ("ensure_debian_packages", "ensure_browser", "ensure_environment", "ensure_uv"):
        monkeypatch.setattr(prepare, name, lambda *_, **__: None)
    monkeypatch.setattr(prepare, "find_cluster_obstacle", lambda: None)
    monkeypatch.setattr(prepare, "run_step", lambda command: steps.append(" ".join(command[2:])))
    prepare.prepare(target)
    return steps


IMAGES = ["tools.images --cached operator trainer-code", "tools.images trainer-venv"]


def test_the_demo_builds_no_tool_of_the_charts_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_steps(monkeypatch, "demo") == ["tests.cluster build --no-chart-tests", *IMAGES]


def test_tests_are_prepared_whatever_the_demo_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    assert run_steps(monkeypatch, "test") == ["tests.cluster build", *IMAGES]


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


def test_an_interrupted_installation_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(command: Sequence[str], *_: object) -> None:
        commands.append(command[1])
        raise PreparationError("interrupted")

    commands: list[str] = []
    stamp = tmp_path / "trainwright.stamp"
    python = f"{sys.version.split()[0]} {os.path.realpath(sys.executable)}"
    stamp.write_text(f"0123456789ab {python}\n")
    monkeypatch.setattr(prepare, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(prepare, "run", interrupt)
    for _ in range(2):
        with pytest.raises(PreparationError):
            prepare.ensure_environment("uv")
        assert stamp.read_text() == f"unfinished {python}\n"
    assert commands == ["pip", "pip"]  # and not a new environment


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "stopped; the same command goes on from what is done"),
        (OSError(errno.ENOSPC, "No space left", "/x"), 1, "/x: No space left; make room there"),
        (OSError(errno.EROFS, "Read-only", "/x"), 1, "/x: Read-only; run as the user whose it is"),
    ],
)
def test_whatever_stops_a_preparation_is_told_in_a_sentence(
    problem: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(_target: str) -> None:
        raise problem

    monkeypatch.setattr(prepare, "prepare", stop)
    monkeypatch.setattr(sys, "argv", ["prepare", "python"])
    assert prepare.main() == code
    assert capsys.readouterr().err.startswith(said)


def test_what_is_no_target_installs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(prepare, "prepare")
    monkeypatch.setattr(sys, "argv", ["prepare", "--help"])
    assert prepare.main() == 2
    assert "got '--help', expected one of python, test, demo" in capsys.readouterr().err


def test_a_download_of_uv_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(command: Sequence[str], *_: object) -> None:
        Path(command[command.index("--target") + 1]).mkdir()
        raise PreparationError("no space left")

    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setattr(prepare, "find_pip", lambda: ["pip"])
    monkeypatch.setattr(prepare, "run", fill)
    with pytest.raises(PreparationError):
        prepare.ensure_uv()
    assert list((tmp_path / "uv").iterdir()) == []


def test_a_new_uv_takes_the_place_of_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(command: Sequence[str], *_: object) -> None:
        program = Path(command[command.index("--target") + 1]) / "bin" / "uv"
        program.parent.mkdir(parents=True)
        program.touch()

    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setattr(prepare, "find_pip", lambda: ["pip"])
    monkeypatch.setattr(prepare, "run", install)
    for number in range(3):
        (tmp_path / "uv" / f"old{number}").mkdir(parents=True)
        os.utime(tmp_path / "uv" / f"old{number}", times=(number, number))
    program = Path(prepare.ensure_uv())
    assert program.is_file()
    left = {path for path in (tmp_path / "uv").iterdir() if path.is_dir()}
    assert left == {program.parents[1], tmp_path / "uv" / "old2"}
    os.utime(program.parents[1], times=(0, 0))
    assert prepare.ensure_uv() == str(program)
    assert program.parents[1].stat().st_mtime > 0


def test_a_step_is_not_killed_by_ctrl_c(tmp_path: Path) -> None:
    """It tells Ctrl+C to its parent, as the terminal would, and takes half a second to clean up."""
    clean = tmp_path / "clean"
    text = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(0.5)\n"
    with pytest.raises(KeyboardInterrupt):
        prepare.run_step([sys.executable, "-S", "-c", f"{text}open({str(clean)!r}, 'w')"])
    assert clean.exists()


def test_two_calls_in_one_clone_make_the_environment_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold() -> None:
        with prepare.hold_environment():
            done.append("second")

    done: list[str] = []
    waits = threading.Event()
    monkeypatch.setattr(prepare, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(prepare, "say", lambda _text: waits.set())
    second = threading.Thread(target=hold)
    with prepare.hold_environment():
        second.start()
        assert waits.wait(10)
        done.append("first")
    second.join(10)
    assert done == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(prepare, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(fcntl, "flock", flock)
    with prepare.hold_environment():
        pass


def test_our_commands_start_in_a_clone_whose_path_has_a_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "a clone, it's mine" / ".venv"
    packages = environment / "lib" / "python3" / "site-packages"
    (packages / "trainwright_cli").mkdir(parents=True)
    main = packages / "trainwright_cli" / "__main__.py"
    main.write_text("import sys\ndef main(): print(sys.argv)\n")
    (environment / "bin").mkdir()
    (environment / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(prepare, "ENVIRONMENT", environment)
    prepare.write_package_paths()
    command = environment / "bin" / "trainwright"
    done = subprocess.run(
        [str(command), "two words"],
        env={"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{[str(command), 'two words']}\n"


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


@pytest.mark.parametrize(("has_cluster", "expected"), [(True, ["python3"]), (False, [])])
def test_debians_python_is_installed_where_a_cluster_is_to_run(
    has_cluster: bool, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    (tmp_path / "there").touch()
    monkeypatch.setattr(prepare, "DEBIAN_PYTHON", tmp_path / "python3.11")
    monkeypatch.setattr(prepare, "_CERTIFICATES", tmp_path / "there")
    monkeypatch.setattr(prepare, "_has_c_headers", lambda: True)
    monkeypatch.setattr(prepare.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(prepare, "can_install", lambda: True)
    monkeypatch.setattr(prepare, "remove_leftover", lambda: None)
    monkeypatch.setattr(prepare, "install_debian_packages", installed.extend)
    prepare.ensure_debian_packages(has_cluster=has_cluster)
    assert installed == expected
