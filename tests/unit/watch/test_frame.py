"""Every state of the screen at every size: exactly as big as the window, and never an error."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest
from trainwright_cli.runs import parse_run
from trainwright_cli.watching.frame import Canvas, build_screen, find_furthest_scroll
from trainwright_cli.watching.glyphs import ASCII, UNICODE
from trainwright_cli.watching.overlays import HELP
from trainwright_cli.watching.run_screen import share_lines
from trainwright_cli.watching.snapshot import Snapshot
from trainwright_cli.watching.state import Overlay, SetSuspend, State, key_of

from tests.terminals.played import build_detail
from tests.terminals.runs import a_content, a_detail, a_progress, a_run

NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
VIEWS = tuple(parse_run(run) for run in a_content()["runs"])
EMPTY = parse_run(a_run("empty"))
DETAIL = build_detail(key_of(VIEWS[0]), a_detail())
FULL = Snapshot(NOW, VIEWS, DETAIL, losses={key_of(VIEWS[0]): ((1, 5.0), (2, 4.0))})
STATES = {
    "no runs": State(Snapshot(NOW)),
    "table": State(FULL),
    "run": State(FULL, opened=key_of(VIEWS[0])),
    "run without status": State(Snapshot(NOW, (EMPTY,)), opened=key_of(EMPTY)),
    "failed run": State(FULL, opened=key_of(VIEWS[2])),
    "run that is gone": State(FULL, opened="team/TrainingRun/gone"),
    "help": State(FULL, overlay=Overlay.HELP),
    "plan": State(FULL, overlay=Overlay.PLAN, scroll=3),
    "no plan": State(FULL, opened=key_of(VIEWS[1]), overlay=Overlay.PLAN),
    "log": State(FULL, opened=key_of(VIEWS[0]), overlay=Overlay.LOG, scroll=5),
    "no log": State(FULL, opened=key_of(VIEWS[1]), overlay=Overlay.LOG),
    "question": State(FULL, question=SetSuspend(VIEWS[0], True)),
    "problem": State(replace(FULL, problem="no answer")),
}
SIZES = [(20, 5), (40, 8), (80, 24), (100, 30), (129, 24), (130, 24), (160, 50), (300, 90)]


def canvas_of(width: int, height: int, glyphs: object = UNICODE) -> Canvas:
    return Canvas(width, height, ASCII if glyphs is ASCII else UNICODE, "namespace team", NOW)


def shown(state: State, width: int = 80, height: int = 24) -> str:
    return "\n".join(line.plain for line in build_screen(state, canvas_of(width, height)))


@pytest.mark.parametrize(("name", "size"), list(product(STATES, SIZES)))
def test_a_screen_is_exactly_as_big_as_the_window(name: str, size: tuple[int, int]) -> None:
    for glyphs in (UNICODE, ASCII):
        lines = build_screen(STATES[name], canvas_of(*size, glyphs))
        assert len(lines) == size[1]
        assert {line.cell_len for line in lines} == {size[0]}
        assert glyphs is UNICODE or all(line.plain.isascii() for line in lines)


def test_wide_characters_do_not_break_the_frame() -> None:
    run = a_run("gpt", phase="Failed", message="数据 " * 60)
    view = parse_run(run)
    lines = build_screen(State(Snapshot(NOW, (view,)), opened=key_of(view)), canvas_of(80, 24))
    assert {line.cell_len for line in lines} == {80}


def test_every_key_is_explained_on_eighty_columns() -> None:
    text = shown(STATES["help"])
    for _, meaning in HELP:
        assert meaning in text


def test_a_long_message_of_a_failed_run_takes_three_lines() -> None:
    view = parse_run(a_run("gpt", phase="Failed", message="because of this " * 40))
    text = shown(State(Snapshot(NOW, (view,)), opened=key_of(view)))
    assert len([line for line in text.splitlines() if "because" in line]) == 3
    assert "..." in text


def test_the_selected_run_is_seen_in_a_long_table() -> None:
    views = tuple(parse_run(a_run(f"run-{number:03}", phase="Running")) for number in range(200))
    for number in (0, 3, 100, 199):
        text = shown(State(Snapshot(NOW, views), selected=key_of(views[number])))
        assert f"▶ tr/run-{number:03}" in text
        assert "RUN (200)" in text


def test_runs_of_several_namespaces_say_which() -> None:
    other = a_run("gpt", phase="Running")
    other["metadata"]["namespace"] = "lab"
    text = shown(State(Snapshot(NOW, (VIEWS[0], parse_run(other)))))
    assert "team/tr/gpt" in text
    assert "lab/tr/gpt" in text
    both = Snapshot(NOW, (VIEWS[0], parse_run(other)))
    asking = State(both, question=SetSuspend(parse_run(other), True))
    assert "Suspend lab/TrainingRun/gpt? y/n" in shown(asking)
    assert "Suspend TrainingRun/gpt? y/n" in shown(STATES["question"])


def test_a_long_namespace_hides_no_run() -> None:
    runs = [a_run("gpt", phase="Running"), a_run("wide", phase="Running")]
    runs[0]["metadata"]["namespace"] = runs[1]["metadata"]["namespace"] = (
        "machine-learning-platform"
    )
    text = shown(State(Snapshot(NOW, (*map(parse_run, runs), VIEWS[3]))))
    assert "machine-lea…/tr/gpt" in text
    assert "machine-le…/tr/wide" in text


def test_names_as_long_as_kubernetes_allows_hide_neither_phase_nor_answers() -> None:
    run = a_run("n" * 63, phase="Running", reason="PodsRunning")
    run["metadata"]["namespace"] = "m" * 63
    view = parse_run(run)
    text = shown(State(Snapshot(NOW, (view,)), opened=key_of(view)))
    assert "  Running (PodsRunning)  attempt 0" in text
    asking = State(Snapshot(NOW, (view, VIEWS[0])), question=SetSuspend(view, True))
    assert "nnn? y/n" in shown(asking)


def test_a_number_that_does_not_fit_its_column_is_shortened_and_never_cut() -> None:
    progress = a_progress(100_000, 1_000_000, tokensPerSecond=1_234_567.0, loss=12345.678)
    row = shown(
        State(Snapshot(NOW, (parse_run(a_run("gpt", phase="Running", progress=progress)),)))
    )
    assert "    100k/1M 12345.…    1.23M" in row
    exact = a_progress(99_999, 400_000)
    view = parse_run(a_run("gpt", phase="Running", progress=exact | {"tokensPerSecond": 999_600.0}))
    assert "   100k/400k   4.210  999,600" in shown(State(Snapshot(NOW, (view,))))


def test_a_run_that_makes_no_steps_says_so_on_both_screens() -> None:
    stuck = a_progress(activity="train", updatedAt="2026-01-02T02:48:00Z")
    view = parse_run(a_run("gpt", phase="Running", progress=stuck))
    line = shown(State(Snapshot(NOW, (view,)), opened=key_of(view))).splitlines()[2]
    assert line.rstrip().endswith("30 %  step 120/400  no step for 12m  train")
    table = shown(State(Snapshot(NOW, (view,))))
    assert "123,456 no step" in table
    assert "3m20s" not in table + line


def test_pages_scroll_to_their_end_and_no_further() -> None:
    state = STATES["log"]
    furthest = find_furthest_scroll(state, canvas_of(80, 24))
    assert "step 60 loss" in shown(replace(state, scroll=furthest))
    assert "step 61 loss" not in shown(replace(state, scroll=0))
    assert find_furthest_scroll(STATES["table"], canvas_of(80, 24)) == 0


@pytest.mark.parametrize(
    ("wanted", "least", "room", "expected"),
    [
        ([5, 5], [2, 2], 10, [5, 5]),
        ([9, 9], [2, 2], 10, [5, 5]),
        ([3, 9], [2, 2], 10, [3, 7]),
        ([9, 9, 9], [4, 2, 2], 7, [5, 2, 0]),
        ([9], [4], 3, [0]),
        ([], [], 3, []),
    ],
)
def test_lines_are_shared_by_importance(
    wanted: list[int], least: list[int], room: int, expected: list[int]
) -> None:
    assert share_lines(wanted, least, room) == expected
