from datetime import UTC, datetime

import pytest
from trainwright_api.status import Attempt
from trainwright_cli.report.curves import Axis, Curve, draw_curves, format_tick
from trainwright_cli.report.timeline import draw_timeline


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (2.1, 3.0, [2.2, 2.4, 2.6, 2.8, 3.0]),
        (0, 1e-3, [0, 2e-4, 4e-4, 6e-4, 8e-4, 1e-3]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round_values_inside_the_axis(low: float, high: float, expected: list) -> None:
    assert Axis(low, high, 0, 100).ticks() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.05, "0.05"), (1200, "1.2k"), (3e6, "3M"), (2e-5, "2e-05"), (-2e9, "-2B")],
)
def test_tick_is_short(value: float, expected: str) -> None:
    assert format_tick(value) == expected


def test_curve_spans_the_plot_and_leaves_out_what_is_not_finite() -> None:
    svg = draw_curves(
        [Curve("a", [(0, 1.0), (1, float("nan")), (2, 3.0)])], x_label="step", y_label="loss"
    )
    assert 'points="52.0,182.0 346.0,12.0"' in svg


def test_names_are_escaped() -> None:
    curves = [Curve("<script>", [(0, 1), (1, 2)]), Curve("b", [(0, 1), (1, 2)])]
    svg = draw_curves(curves, x_label="<x>", y_label="y")
    assert "<script>" not in svg
    assert "&lt;x&gt;" in svg


def test_no_point_and_one_point() -> None:
    assert "Nothing was measured" in draw_curves([Curve("a", [])], x_label="x", y_label="y")
    assert "<circle" in draw_curves([Curve("a", [(3, 3)])], x_label="x", y_label="y")


def test_timeline_has_a_bar_per_attempt_with_its_cause() -> None:
    attempts = [
        Attempt(number=1, job="a-1", started_at="2026-01-01T00:00:00Z", ended_at="2026-01-01T00:10:00Z", outcome="Failed", cause="Infrastructure", message="<b>gone</b>"),
        Attempt(number=2, job="a-2", started_at="2026-01-01T00:11:00Z"),
    ]  # fmt: skip
    svg = draw_timeline(attempts, datetime(2026, 1, 1, 0, 21, tzinfo=UTC))
    assert svg.count("<rect") == 2
    assert "Infrastructure, 10m00s" in svg
    assert "running, 10m00s" in svg
    assert "<b>" not in svg


def test_a_text_that_its_bar_cannot_hold_stands_beside_it() -> None:
    times = [("00:00:00", "00:00:01"), ("00:00:02", "00:59:00"), ("00:59:58", "01:00:00")]
    attempts = [
        Attempt(number=n, job="a", started_at=f"2026-01-01T{a}Z", ended_at=f"2026-01-01T{b}Z")
        for n, (a, b) in enumerate(times, start=1)
    ]
    svg = draw_timeline(attempts, datetime(2026, 1, 1, 2, tzinfo=UTC))
    assert svg.count('class="inside"') == 1
    assert svg.count('text-anchor="end"') == 1
