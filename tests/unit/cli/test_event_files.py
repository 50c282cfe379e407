"""`trainwright logs --tensorboard`: what is fetched, and what is said where it cannot be shown."""

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner
from trainwright_cli.app import app
from trainwright_cli.errors import NotFoundError
from trainwright_cli.event_files import build_command, fetch_new_events, show_events
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
