"""Bars, sparklines, plots and safe texts."""

import pytest
from trainwright_cli.watching.glyphs import (
    ASCII,
    UNICODE,
    Glyphs,
    draw_bar,
    draw_plot,
    draw_sparkline,
    plain,
)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "...."), (0.5, "##.."), (1.0, "####"), (1.7, "####"), (-1, "...."), (None, "....")],
)
def test_a_bar_is_filled_to_its_share(share: float | None, expected: str) -> None:
    assert draw_bar(share, 4, ASCII) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([3.0], "_"),
        ([1, 2, 3], "_=#"),
        ([1.0, float("nan"), 3.0], "_#"),
        (list(range(100)), "_.-~=+*#"),
    ],
)
def test_a_sparkline_goes_from_lowest_to_highest(values: list[float], expected: str) -> None:
    assert draw_sparkline(values, 8, ASCII) == expected


@pytest.mark.parametrize("glyphs", [ASCII, UNICODE], ids=["ASCII", "Unicode"])
@pytest.mark.parametrize("num_points", [0, 1, 2, 1000])
def test_a_plot_has_exactly_its_size(glyphs: Glyphs, num_points: int) -> None:
    points = [(float(x), 5.0 - x / 300) for x in range(num_points)]
    lines = draw_plot(points, 60, 7, glyphs)
    assert len(lines) == 7
    assert max(map(len, lines)) <= 60
    assert num_points == 0 or lines[0].startswith("      5 " if num_points > 1 else "")


def test_a_plot_falls_from_left_to_right_with_the_range_on_its_axes() -> None:
    lines = draw_plot([(0.0, 4.0), (50.0, 2.0), (100.0, 1.0)], 30, 5, ASCII)
    assert lines == [
        "      4 |*                    ",
        "        |                     ",
        "        |          *          ",
        "      1 |                    *",
        "   step  0                 100",
    ]


def test_a_plot_names_its_steps_in_whole_numbers() -> None:
    lines = draw_plot([(1.0, 4.0), (1_234_567.0, 2.0)], 40, 3, ASCII)
    assert lines[-1].split() == ["step", "1", "1234567"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (2.0, 4.0, ["4", "2"]),
        (2.3021, 2.3024, ["2.3024", "2.3021"]),
        (2.302581, 2.302589, ["2.30259", "2.30258"]),
        (0.0001234, 0.5, ["0.5", "1.2e-04"]),
        (-0.0001234, 123456.7, ["1.2e+05", "-1e-04"]),
    ],
)
def test_the_labels_of_a_plot_differ_and_leave_it_its_width(
    low: float, high: float, expected: list[str]
) -> None:
    lines = draw_plot([(0.0, low), (1.0, high)], 40, 5, ASCII)
    assert [lines[0].split()[0], lines[3].split()[0]] == expected
    assert {len(line) for line in lines[:4]} == {40}


def test_a_plot_leaves_out_what_is_not_finite() -> None:
    nothing = draw_plot([(1.0, float("nan")), (2.0, float("inf"))], 30, 3, ASCII)
    assert nothing == ["no loss has been measured yet", "", ""]


def test_texts_lose_control_characters_and_what_ascii_cannot_show() -> None:
    assert plain("a\x1b[2J\tb\x9b\u202e", UNICODE) == "a [2J b  "
    assert plain("größer", UNICODE) == "größer"
    assert plain("größer", ASCII) == "gr??er"
