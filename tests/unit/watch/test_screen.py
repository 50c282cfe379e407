"""The full screen as a process in a pseudo-terminal, fed from a file, with keys pressed for real."""

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from trainwright_cli.errors import ExitCode

from tests.terminals.played import write_content
from tests.terminals.runs import a_content, a_progress
from tests.terminals.window import Window, open_window

DOWN, UP, ESCAPE, ENTER, CTRL_C, CTRL_Z = "\x1b[B", "\x1b[A", "\x1b", "\r", "\x03", "\x1a"
FOOTER = ("s suspend", "r resume", "p plan", "l logs", "? help", "q quit")
SIZES = [(80, 24), (160, 50)]
IN_BOTH_SIZES = (
    *("tr/gpt", "Running", "attempt 3", "30 %", "step 120/400", "ETA 3m20s", "loss 4.2100"),
    *("123,456", "MFU 41.2%", "8.852", "3.299", "worst rank 3", "hottest 88 C"),
    *("rank 3", "77%", "61.0 GiB/80.0 GiB", "603 W", "OutOfMemory", "step 120 ", "143.1 MiB"),
    *("verified", "AttemptFailed (x2)", "Log of gpt-3-master-0", "step 120 loss 4.180", *FOOTER),
)
ONLY_WIDE = ("rank 2", "Infrastructure", "not verified", "gpt-1-worker-0", "step 110 loss 4.190")


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content.json"
    write_content(path, a_content())
    return path


def change(path: Path, **changes: Any) -> None:
    write_content(path, json.loads(path.read_text()) | changes)


def played(path: Path, *arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "tests.terminals.played", str(path), *arguments]


@pytest.fixture
def window(content: Path) -> Iterator[Window]:
    """All runs at 80x24."""
    with open_window(played(content)) as window:
        window.wait_for("tr/gpt", "q quit")
        yield window


@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_one_run_shows_everything_at_each_size(content: Path, columns: int, lines: int) -> None:
    with open_window(played(content, "gpt"), columns, lines) as window:
        text = window.wait_for(*IN_BOTH_SIZES)
        missing = [said for said in ONLY_WIDE if said not in text]
        assert missing == ([] if columns > 80 else list(ONLY_WIDE))
        assert len(window.rows) == lines
        window.press("q")
        assert window.wait_for_end() == ExitCode.OK
        assert window.is_left_clean


@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_all_runs_show_as_a_table(content: Path, columns: int, lines: int) -> None:
    with open_window(played(content), columns, lines) as window:
        rows = window.wait_for("tr/old", *FOOTER).splitlines()
    titles = rows[1].split()
    wide = ["TREND", "MFU", "SAVED", "AGE", "HARDWARE"]
    assert [title for title in wide if title in titles] == (wide if columns > 80 else [])
    assert [row[1:].split()[0] for row in rows[2:6]] == ["tr/gpt", "tr/wide", "ftj/chat", "tr/old"]
    assert "120/400   4.210" in rows[2]


def test_a_run_is_chosen_opened_and_left_by_keys(window: Window) -> None:
    window.press(DOWN)
    window.wait_for("▶ tr/wide", "tr/wide: 0/8 nodes have 4 free nvidia.com/gpu")
    window.press("j" + ENTER)
    window.wait_for("ftj/chat  in team  Failed (UserError)", "sources[0].uri: got nothing")
    window.press(ESCAPE)
    window.wait_for("▶ ftj/chat", "RUN (4)")
    window.press("g" + UP)
    window.wait_for("▶ tr/gpt")


def test_pages_open_scroll_and_close(window: Window) -> None:
    window.press("?")
    window.wait_for("Keys", "stops after a checkpoint; asks first", "Esc back")
    window.press("?p")
    window.wait_for("Plan of TrainingRun/gpt", "1.25 GiB", "8.25 of 79.6 GiB  fits", "zeroStage: 1")
    window.press("pl")
    window.wait_for("Log of gpt-3-master-0", "step 120 loss")
    window.press("g")
    window.wait_for("step 60 loss")
    window.press("G")
    window.wait_for("step 120 loss")
    window.press("q")
    assert window.wait_for_end() == ExitCode.OK


def test_suspending_and_resuming_ask_first(window: Window, content: Path) -> None:
    def is_suspended() -> bool:
        return bool(json.loads(content.read_text())["runs"][0]["spec"].get("suspend"))

    window.press("s")
    window.wait_for("Suspend TrainingRun/gpt? y/n")
    window.press("n")
    window.wait_for("nothing was changed")
    assert not is_suspended()
    window.press("sy")
    window.wait_for("TrainingRun/gpt suspended")
    assert is_suspended()
    window.press("ry")
    window.wait_for("TrainingRun/gpt resumed")
    assert not is_suspended()
    window.press("r")
    window.wait_for("TrainingRun/gpt is not suspended")


def test_what_the_cluster_says_next_is_shown_without_a_key(window: Window, content: Path) -> None:
    runs = a_content()["runs"]
    runs[0]["status"]["progress"] = a_progress(133)
    change(content, runs=runs)
    window.wait_for("133/400")


def test_a_cluster_that_is_away_is_told_and_asked_again(window: Window, content: Path) -> None:
    change(content, problem="no answer from the cluster: connection refused")
    window.wait_for("Trying again, last answer", "s ago: no answer from the cluster", "▶ tr/gpt")
    change(content, problem="")
    window.wait_until_gone("Trying again")


def test_a_run_that_is_gone_is_told(content: Path) -> None:
    with open_window(played(content, "gpt")) as window:
        window.wait_for("tr/gpt  in team")
        change(content, runs=a_content()["runs"][1:])
        window.wait_for("team/TrainingRun/gpt is gone; Esc shows the other runs")
        window.press(ESCAPE)
        window.wait_for("RUN (3)")


def test_the_screen_follows_the_window(window: Window) -> None:
    window.press(ENTER)
    window.wait_for("rank 3")
    window.resize(160, 50)
    window.wait_for("rank 2", "step 110 loss 4.190")
    window.resize(80, 24)
    assert "step 110 loss" not in window.wait_for("rank 3", "Esc back", "q quit")
    window.resize(30, 6)
    window.wait_for("40x8 is needed")


def test_no_color_and_a_plain_locale_are_kept_to(content: Path) -> None:
    with open_window(played(content, "gpt"), NO_COLOR="1", LC_ALL="C", LANG="C") as window:
        text = window.wait_for("####", "****", "rank 3", "step 120 loss 4.180", *FOOTER)
        assert text.isascii()
        assert window.colors == set()
    with open_window(played(content, "gpt")) as window:
        assert not window.wait_for("rank 3").isascii()
        assert window.colors


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(lambda window: window.press(CTRL_C), 130, id="Ctrl+C"),
        pytest.param(lambda window: window.send_signal(signal.SIGTERM), 143, id="SIGTERM"),
        pytest.param(lambda window: window.send_signal(signal.SIGHUP), 129, id="SIGHUP"),
    ],
)
def test_the_terminal_is_left_clean(window: Window, end: Any, code: int) -> None:
    end(window)
    assert window.wait_for_end() == code
    assert window.is_left_clean


def test_ctrl_z_gives_the_terminal_back_until_the_process_goes_on(window: Window) -> None:
    window.press(CTRL_Z)
    window.wait_until_left()
    assert window.is_left_clean
    window.send_signal(signal.SIGCONT)
    window.wait_for("▶ tr/gpt", "q quit")
    window.press("q")
    assert window.wait_for_end() == ExitCode.OK
    assert window.is_left_clean


def test_an_unexpected_error_leaves_the_terminal_clean(window: Window, content: Path) -> None:
    content.write_text("no JSON")
    assert window.wait_for_end() == ExitCode.FAILED
    assert window.is_left_clean
    assert b"JSONDecodeError" in window.written


def test_texts_of_others_cannot_steer_the_terminal(content: Path) -> None:
    played_content = a_content()
    played_content["runs"][0]["status"]["message"] = "\x1b]0;owned\x07\x1b[2Jgone [red]not markup"
    played_content["details"]["gpt"]["log"] = ["\x1b[31mred\x1b[0m \x9b31m line"]
    write_content(content, played_content)
    with open_window(played(content, "gpt")) as window:
        window.wait_for("]0;owned", "[2Jgone [red]not markup", "[31mred", "q quit")
        assert b"\x1b]0;" not in window.written
        assert b"\x1b[31mred" not in window.written
