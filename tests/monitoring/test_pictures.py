"""The docs' pictures, drawn from what a real Prometheus has answered: complete, and not empty.

After a change of a dashboard's queries record anew: `python -m tests.monitoring.record`.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tools.pictures.__main__ import PICTURES, RECORDED, describe, load_dashboard
from tools.pictures.answers import (
    Answers,
    Series,
    Span,
    answer_key,
    fetch_answers,
    find_queries,
    read_answers,
    write_answers,
)
from tools.pictures.dashboard import (
    LINES,
    ROW,
    Mark,
    Panel,
    Place,
    Target,
    fill_in,
    fill_legend,
    parse_marks,
    parse_panels,
)
from tools.pictures.draw import draw_dashboard, open_rows, place_panel
from tools.pictures.lines import choose_ticks, pair_curves
from tools.pictures.series import Curve, collect_data, find_marks
from tools.pictures.units import format_value
from tools.pictures.values import build_rows
from tools.prometheus_api import PrometheusApi

NAMES = ("run", "fleet", "hardware", "operator")
MAXIMUM_BYTES = 250_000


CLOSED = {
    ("hardware", "Profiling (of clusters with a DCGM-exporter)"),  # the demo's cluster has none
    ("run", "GPUs (of pods that have some)"),  # the run that is shown trains on CPUs
}


def panels() -> Iterator[Any]:
    for name in NAMES:
        for panel in parse_panels(load_dashboard(name)):
            inside = () if (name, panel.title) in CLOSED else panel.inside
            for shown in (panel, *inside):
                if shown.kind != ROW:
                    yield pytest.param(name, shown, id=f"{name}/{shown.title}")


@pytest.fixture(scope="module")
def recorded() -> dict[str, Answers]:
    return {name: read_answers(RECORDED / f"{name}.json") for name in NAMES}


def test_every_query_of_the_dashboards_is_recorded_and_no_other(
    recorded: dict[str, Answers],
) -> None:
    for name, answers in recorded.items():
        asked = {answer_key(query) for query in find_queries(load_dashboard(name))}
        text = f"{name}: record anew: python -m tests.monitoring.record"
        assert asked == answers.series.keys(), text


@pytest.mark.parametrize(("name", "panel"), list(panels()))
def test_no_panel_is_empty(recorded: dict[str, Answers], name: str, panel: Panel) -> None:
    data = collect_data(panel, recorded[name], [])
    assert not data.is_empty
    for curve in data.curves:
        assert "{{" not in curve.legend
        assert format_value(curve.last, panel.unit, panel.decimals)


def test_a_picture_has_content_in_every_panel(recorded: dict[str, Answers]) -> None:
    dashboard, answers = load_dashboard("operator"), recorded["operator"]
    image = draw_dashboard(dashboard, answers, describe(answers)).image().convert("RGB")
    for panel in parse_panels(dashboard):
        box = place_panel(panel.place)
        part = (box.left + 2, box.top + 26, box.left + box.width - 2, box.top + box.height - 2)
        if panel.kind != ROW:
            assert len(image.crop(tuple(map(round, part))).getcolors(1 << 20)) > 3, panel.title


@pytest.mark.parametrize("name", NAMES)
def test_the_docs_have_a_small_picture_of_each_dashboard(
    recorded: dict[str, Answers], name: str
) -> None:
    path = PICTURES / f"{name}.png"
    assert path.stat().st_size < MAXIMUM_BYTES
    with Image.open(path) as image:
        shown = list(open_rows(parse_panels(load_dashboard(name)), recorded[name]))
        bottom = max(panel.place.y + panel.place.height for panel in shown)
        box = place_panel(shown[0].place)
        assert image.mode == "P"
        assert image.width > box.width
        assert image.height > bottom * 20, "drawn anew: python -m tools.pictures"


def test_a_closed_row_is_drawn_open_only_if_it_has_something_to_show() -> None:
    def line(title: str, y: int) -> Panel:
        target = Target("A", title, "", is_instant=False)
        return Panel(title, LINES, Place(0, y, 12, 8), (target,))

    rows = (
        Panel("Empty", ROW, Place(0, 0, 24, 1), inside=(line("nothing", 1),)),
        Panel("Filled", ROW, Place(0, 9, 24, 1), inside=(line("nothing", 10), line("one", 18))),
    )
    series = {"nothing": (), "one": (Series({}, (1.0, 1.0)),)}
    shown = list(open_rows(rows, Answers(Span(0.0, 5.0, 5.0), series)))
    assert [(panel.title, panel.place.y) for panel in shown] == [
        ("Empty", 0),
        ("Filled", 1),
        ("nothing", 2),
        ("one", 10),
    ]


def test_answers_are_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    series = (Series({"run": "a"}, (1.0, math.nan, 0.25)), Series({}, (2.0,)))
    answers = Answers(Span(100.0, 110.0, 5.0), {"x": series, "last: y": ()})
    write_answers(tmp_path / "x.json", answers)
    back = read_answers(tmp_path / "x.json")
    assert (back.span, back.series["last: y"]) == (answers.span, ())
    first, second = back.series["x"]
    assert (first.labels, first.values[0], first.values[2]) == ({"run": "a"}, 1.0, 0.25)
    assert math.isnan(first.values[1])
    assert second == series[1]


VALUES = [
    (0.4567, "percentunit", None, "45.7%"),
    (0.4567, "percentunit", 1, "45.7%"),
    (93.0, "s", None, "1.55 min"),
    (0.0123, "s", None, "12.3 ms"),
    (0.0, "s", None, "0 s"),
    (3 * 2**30, "bytes", None, "3 GiB"),
    (1500.0, "short", None, "1.5 K"),
    (2.5e9, "hertz", None, "2.5 GHz"),
    (312e12, "flops", None, "312 TFLOP/s"),
    (6.66049, "none", 3, "6.660"),
    (0.001, "sci", None, "1.00e-03"),
    (1.2, "currencyUSD", None, "$1.20"),
    (0.0, "currencyUSD", None, "$0.00"),
    (0.001234, "currencyUSD", None, "$0.00123"),
    (0.000000012, "currencyUSD", None, "$0.000000"),
    (12345.6, "count:tok/s", 0, "12.3K tok/s"),
    (7.25, "count:seq/s", None, "7.25 seq/s"),
    (math.nan, "none", None, "NaN"),
]


@pytest.mark.parametrize(("value", "unit", "decimals", "text"), VALUES)
def test_values_are_written_with_their_units(
    value: float, unit: str, decimals: int | None, text: str
) -> None:
    assert format_value(value, unit, decimals) == text


def test_legends_and_variables_are_filled_in() -> None:
    assert (
        fill_legend("{{run}} rank {{rank}} gpu {{gpu}}", {"run": "a", "rank": "1"})
        == "a rank 1 gpu"
    )
    assert fill_legend("", {"run": "a", "__name__": "x"}) == "run=a"
    assert fill_in("$run $run_x", {"run": "a", "run_x": "b"}) == "a b"


def test_a_table_joins_its_columns_on_a_label(recorded: dict[str, Answers]) -> None:
    (panel,) = (p for p in parse_panels(load_dashboard("fleet")) if p.kind == "table")
    assert panel.rows == "Run"
    rows = build_rows(panel, collect_data(panel, recorded["fleet"], []).curves)
    by_run = {row[0]: row for row in rows}
    assert by_run["default/smollm2-chat"][1].endswith("%")
    assert all(len(row) == len(panel.columns) + 1 for row in rows)


@pytest.mark.parametrize("minutes", [1, 7, 30, 600])
def test_time_ticks_are_round_and_inside(minutes: float) -> None:
    start, end = 1_700_000_017.0, 1_700_000_017.0 + minutes * 60
    ticks = choose_ticks(start, end)
    assert 2 <= len(ticks) <= 5
    assert all(start < tick < end for tick in ticks)
    assert all(tick % 5 == 0 for tick in ticks)


def test_annotations_are_drawn_once_at_the_times_that_their_values_are() -> None:
    values = (math.nan, 1_700_000_003_123, 1_700_000_003_123, 1_700_000_007_500, 1_699_999_000_000)
    mark = Mark("Checkpoint", "saved", "green")
    answers = Answers(Span(1_700_000_000, 1_700_000_020, 5), {"saved": (Series({}, values),)})
    found = [(event.at, event.color) for event in find_marks([mark], answers)]
    assert found == [(1_700_000_003.123, "green"), (1_700_000_007.5, "green")]


def test_the_times_of_annotations_are_recorded_to_the_millisecond() -> None:
    class Server(PrometheusApi):
        def query_range(self, expression: str, start: float, end: float, step: float) -> Any:
            return [({}, [(start, 1_700_000_003_123.0), (end, 1_700_000_003_123.0)])]

    dashboard = {
        "panels": [],
        "annotations": {"list": [{"name": "x", "expr": "saved", "useValueForTime": True}]},
    }
    answers = fetch_answers(Server("http://none"), dashboard, Span(0.0, 5.0, 5.0), {})
    assert answers.series["saved"][0].values == (1_700_000_003_123.0, 1_700_000_003_123.0)


def test_an_annotation_whose_values_are_no_times_is_refused() -> None:
    old = {"annotations": {"list": [{"name": "Checkpoint", "expr": "changes(x[1m]) > 0"}]}}
    with pytest.raises(ValueError, match="Checkpoint: got no useValueForTime"):
        parse_marks(old)


def test_a_trend_goes_over_steps_and_shows_those_done_again_as_they_were_last() -> None:
    panel = next(p for p in parse_panels(load_dashboard("run")) if p.title == "Loss by step")

    def curve(letter: str, run: str, *values: float) -> Curve:
        return Curve(letter, run, {panel.join: run}, values)

    nan = math.nan
    curves = [
        curve("A", "team/a", 1, 2, 3, 2, 4),
        curve("A", "team/b", nan, nan, 10, 20, 30),
        curve("B", "team/a", 9, 8, 7, 7.5, 6),
        curve("B", "team/b", nan, nan, 5, nan, 4),
    ]
    lines = {line.legend: points for line, points in pair_curves(panel, curves)}
    assert lines == {
        "team/a": [(1, 9), (2, 7.5), (3, 7), (4, 6)],
        "team/b": [(10, 5), (30, 4)],
    }
