import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from trainwright_api.status import Attempt
from trainwright_cli.report.curves import WIDTH, Axis, Curve, draw_curves, format_tick
from trainwright_cli.report.timeline import draw_timeline

NOW = datetime(2026, 1, 1, tzinfo=UTC)


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
    ("value", "spacing", "expected"),
    [
        (0, 1, "0"),
        (0.05, 0.05, "0.05"),
        (1200, 200, "1.2k"),
        (3e6, 1e6, "3M"),
        (2e-5, 1e-5, "2e-05"),
        (-2e9, 1e9, "-2B"),
        (120, 20, "120"),
        (100, 100, "100"),
        (20_000, 20_000, "20k"),
        (2.304, 0.001, "2.304"),
        (123_410, 10, "123.41k"),
        (0.6000000000000001, 0.2, "0.6"),
        (4e20, 2e20, "4e+20"),
    ],
)
def test_tick_is_short(value: float, spacing: float, expected: str) -> None:
    assert format_tick(value, spacing) == expected


@pytest.mark.parametrize(
    ("low", "high"),
    [(2.302, 2.306), (2.30258, 2.30261), (123_400, 123_460), (999_950, 1_000_050), (-1e-7, 1e-7)],
)
def test_no_two_ticks_of_an_axis_read_the_same(low: float, high: float) -> None:
    texts = [text for _, text in Axis(low, high, 0, 100).labels()]
    assert len(set(texts)) == len(texts) > 2


def test_long_labels_push_the_plot_aside_and_are_not_cut() -> None:
    svg = draw_curves(
        [Curve("a", [(1_000_000, 2.302581), (1_000_100, 2.302584)])], x_label="step", y_label="loss"
    )
    texts = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)">([^<]+)<', svg)
    share = {"end": 1.0, "middle": 0.5}
    boxes = [
        (float(x) - share[anchor] * 7 * len(text), float(x) + (1 - share[anchor]) * 7 * len(text))
        for x, anchor, text in texts
    ]
    assert min(left for left, _ in boxes) >= 0
    assert max(right for _, right in boxes) <= WIDTH
    steps = [box for box, (_, anchor, text) in zip(boxes, texts, strict=True) if text.endswith("M")]
    assert len(steps) > 1
    assert all(left[1] < right[0] for left, right in pairwise(steps))


def test_a_flat_curve_whose_values_differ_by_rounding_is_drawn() -> None:
    svg = draw_curves([Curve("a", [(0, 2.3), (1, 2.3 + 1e-15)])], x_label="x", y_label="y")
    assert svg.count("<polyline") == 1


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


def test_an_attempt_without_a_time_is_left_out_and_one_of_a_clock_ahead_is_drawn() -> None:
    undated = Attempt(number=1, job="gpt-1", started_at="soon")
    assert "No attempt has started" in draw_timeline([undated], NOW)
    ahead = Attempt(number=2, job="gpt-2", started_at=(NOW + timedelta(minutes=1)).isoformat())
    svg = draw_timeline([undated, ahead], NOW)
    assert svg.count("<rect") == 1
    assert "attempt 2" in svg
    assert 'width="3.0"' in svg
