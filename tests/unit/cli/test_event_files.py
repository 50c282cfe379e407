"""`trainwright logs --tensorboard`: what is fetched, and what is said where it cannot be shown."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from trainwright_api.names import UNFINISHED_PREFIX
from trainwright_cli.app import app
from trainwright_cli.errors import NotAllowedError, NotFoundError, UnreachableError
from trainwright_cli.event_files import _refresh, build_command, fetch_new_events, show_events
from trainwright_cli.stores import LocalFolder


@pytest.fixture
def store(tmp_path: Path) -> LocalFolder:
    (tmp_path / "store").mkdir()
    return LocalFolder("file://store", tmp_path / "store")


def test_only_what_is_new_is_appended_to_files_that_are_open(
    store: LocalFolder, tmp_path: Path
) -> None:
    first, second = tmp_path / "store" / "events.1", tmp_path / "store" / "events.2"
    first.write_bytes(b"abc")
    target = tmp_path / "shown"
    assert fetch_new_events(store, target) == 3
    with (target / "events.1").open("rb") as open_file:
        open_file.read()
        first.write_bytes(b"abcdef")
        second.write_bytes(b"xy")
        assert fetch_new_events(store, target) == 5
        assert open_file.read() == b"def"
    assert (target / "events.2").read_bytes() == b"xy"
    assert fetch_new_events(store, target) == 0


def test_what_a_trainer_writes_or_deletes_meanwhile_is_no_file_of_a_folder(
    store: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("events.1", "events.2", f"{UNFINISHED_PREFIX}3"):
        (tmp_path / "store" / name).write_bytes(b"abc")
    is_file = Path.is_file

    def look_and_delete(path: Path) -> bool:
        is_there = is_file(path)
        (tmp_path / "store" / "events.2").unlink(missing_ok=True)
        return is_there

    monkeypatch.setattr(Path, "is_file", look_and_delete)
    assert store.list_sizes() == {"events.1": 3}


def test_a_run_that_is_over_without_event_files_is_not_shown(store: LocalFolder) -> None:
    with pytest.raises(NotFoundError, match="has no event files; see `trainwright status gpt`"):
        show_events(store, "gpt", lambda: False)


def test_without_tensorboard_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["logs", "gpt", "--tensorboard"])
    assert done.exit_code == 1
    assert done.output == "error: TensorBoard is not installed; run pip install tensorboard\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tensorboard", "--rank", "1"], "--tensorboard shows the whole run"),
        (["--tensorboard", "-f"], "--tensorboard shows the whole run"),
        (["--port", "6006"], "--port and --endpoint are for --tensorboard"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(app, ["logs", "gpt", *arguments])
    assert done.exit_code == 2
    assert says in done.output


def test_the_port_is_tensorboards_own_choice_unless_given(tmp_path: Path) -> None:
    assert "--port" not in build_command(tmp_path, None)
    assert build_command(tmp_path, 6007)[-2:] == ["--port", "6007"]


def test_a_cluster_that_is_away_for_a_while_ends_nothing(
    store: LocalFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, target = tmp_path / "store" / "events.1", tmp_path / "shown"
    events.write_bytes(b"abc")
    answers = iter([UnreachableError("no answer from the cluster"), None])
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:

        def is_live() -> bool:
            answer = next(answers)
            if answer is not None:
                raise answer
            process.kill()  # as the user does, after this look
            return False

        _refresh(process, store, target, is_live, seconds=0.01)
    assert (target / "events.1").read_bytes() == b"abc"
    assert capsys.readouterr().err == "no answer from the cluster; trying again\n"


def test_a_missing_right_ends_tensorboard(store: LocalFolder, tmp_path: Path) -> None:
    def is_live() -> bool:
        raise NotAllowedError("not allowed to get TrainingRun/gpt")

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with pytest.raises(NotAllowedError):
            _refresh(process, store, tmp_path / "shown", is_live, seconds=0.01)
        process.kill()
