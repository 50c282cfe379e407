"""Bars, sparklines and plots made of characters, with and without Unicode. Pure.

A terminal whose locale has no UTF-8 gets ASCII only; `plain` also takes control characters out of
texts of others, which could otherwise move the cursor or rename the window.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]
AXIS_WIDTH = 8
_DIGITS = (4, 5, 6)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that a terminal can show."""

    bar: str
    track: str
    levels: str
    rule: str
    more: str
    pointer: str
    has_unicode: bool


UNICODE = Glyphs("█", "░", "▁▂▃▄▅▆▇█", "─", "…", "▶", has_unicode=True)
ASCII = Glyphs("#", ".", "_.-~=+*#", "-", "~", ">", has_unicode=False)


def plain(text: str, glyphs: Glyphs) -> str:
    """Return one line that is safe to print: no control characters, and ASCII where it must be."""
    cleaned = "".join(
        character if unicodedata.category(character)[0] != "C" else " " for character in text
    )
    return cleaned if glyphs.has_unicode else cleaned.encode("ascii", "replace").decode()


def draw_bar(share: float | None, width: int, glyphs: Glyphs) -> str:
    """Return a bar that is filled to a share of 0 to 1; an empty one for None."""
    filled = round(min(max(share or 0.0, 0.0), 1.0) * width)
    return glyphs.bar * filled + glyphs.track * (width - filled)


def draw_sparkline(values: Sequence[float], width: int, glyphs: Glyphs) -> str:
    """Return values as one line of at most `width` characters, lowest to highest level."""
    means = [mean for mean in _bucket_means(_by_place(values), width) if mean is not None]
    if not means:
        return ""
    low, span = min(means), (max(means) - min(means)) or 1.0
    top = len(glyphs.levels) - 1
    return "".join(glyphs.levels[round((mean - low) / span * top)] for mean in means)


def draw_plot(points: Sequence[Point], width: int, height: int, glyphs: Glyphs) -> list[str]:
    """Return a line chart of exactly `height` lines: a labelled y axis, and the range of steps below it.

    Points that are not finite are left out; without any, the chart says so.
    """
    finite = [point for point in points if all(map(math.isfinite, point))]
    if not finite or height < 2:
        return ["no loss has been measured yet"] + [""] * (height - 1)
    low, high = min(y for _, y in finite), max(y for _, y in finite)
    rows = height - 1
    inner = max(width - AXIS_WIDTH - 1, 8)
    draw = _draw_dots if glyphs.has_unicode else _draw_stars
    canvas = draw(finite, inner, rows, low, (high - low) or 1.0)
    lowest, highest = _label_ends(low, high)
    labels = {0: highest, rows - 1: lowest}
    stroke = "│" if glyphs.has_unicode else "|"
    lines = [
        f"{labels.get(row, ''):>{AXIS_WIDTH - 1}} {stroke}{text}" for row, text in enumerate(canvas)
    ]
    first, last = f"{min(x for x, _ in finite):.0f}", f"{max(x for x, _ in finite):.0f}"
    return [*lines, f"{'step':>{AXIS_WIDTH - 1}}  {first}{last:>{max(inner - len(first), 1)}}"]


def _label_ends(low: float, high: float) -> tuple[str, str]:
    """Return the labels of the y axis' ends, in as many digits as tell them apart and have room."""
    digits = next((n for n in _DIGITS if f"{low:.{n}g}" != f"{high:.{n}g}"), _DIGITS[0])
    return _fit_label(low, digits), _fit_label(high, digits)


def _fit_label(value: float, digits: int) -> str:
    shown = (f"{value:{form}}" for form in (f".{digits}g", ".1e", ".0e"))
    return next((label for label in shown if len(label) < AXIS_WIDTH), "")


def _draw_stars(
    points: Sequence[Point], width: int, rows: int, low: float, span: float
) -> list[str]:
    grid = [[" "] * width for _ in range(rows)]
    for column, mean in enumerate(_bucket_means(points, width)):
        if mean is not None:
            grid[rows - 1 - round((mean - low) / span * (rows - 1))][column] = "*"
    return ["".join(row) for row in grid]


def _draw_dots(
    points: Sequence[Point], width: int, rows: int, low: float, span: float
) -> list[str]:
    """Braille: each character holds 2 x 4 dots."""
    height = rows * 4
    cells = [[0] * width for _ in range(rows)]
    previous = None
    for x, mean in enumerate(_filled(_bucket_means(points, width * 2))):
        y = height - 1 - round((mean - low) / span * (height - 1))
        start = y if previous is None else previous
        for dot in range(min(start, y), max(start, y) + 1):
            cells[dot // 4][x // 2] |= _DOT_BITS[x % 2][dot % 4]
        previous = y
    return ["".join(chr(0x2800 + bits) for bits in row) for row in cells]


_DOT_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def _by_place(values: Sequence[float]) -> list[Point]:
    return [(float(place), value) for place, value in enumerate(values) if math.isfinite(value)]


def _bucket_means(points: Sequence[Point], num_buckets: int) -> list[float | None]:
    """Return the mean y of the points in each of equal parts of the x range; None where none is."""
    if not points:
        return []
    first = min(x for x, _ in points)
    span = (max(x for x, _ in points) - first) or 1.0
    sums = [(0.0, 0)] * num_buckets
    for x, y in points:
        bucket = min(int((x - first) / span * num_buckets), num_buckets - 1)
        total, count = sums[bucket]
        sums[bucket] = (total + y, count + 1)
    return [total / count if count else None for total, count in sums]


def _filled(means: Sequence[float | None]) -> list[float]:
    """Return the means with gaps joined by straight lines; what is before and after is cut."""
    known = [(place, mean) for place, mean in enumerate(means) if mean is not None]
    if len(known) == 1:
        return [known[0][1]]
    filled: list[float] = []
    for (start, low), (end, high) in pairwise(known):
        steps = end - start
        filled += [low + (high - low) * step / steps for step in range(steps)]
    return [*filled, known[-1][1]]
