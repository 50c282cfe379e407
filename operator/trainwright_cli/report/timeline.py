"""The attempts of a run as a timeline: one bar each, from start to end, coloured by how it ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

from trainwright_api.quantities import format_duration
from trainwright_api.status import Attempt

from trainwright_cli.report.curves import CHARACTER
from trainwright_cli.runs import parse_time

WIDTH, ROW, LABEL = 720, 26, 90
COLORS = {"Succeeded": "#2a9d5c", "Failed": "#c0392b", "Suspended": "#b8860b", None: "#2f6fde"}


def draw_timeline(attempts: Sequence[Attempt], now: datetime) -> str:
    """Return an SVG with one row per attempt; an attempt that runs ends at `now`."""
    bars = [
        (attempt, start, parse_time(attempt.ended_at) or now)
        for attempt in attempts
        if (start := parse_time(attempt.started_at))
    ]
    if not bars:
        return '<p class="empty">No attempt has started.</p>'
    first = min(start for _, start, _ in bars)
    # This machine's clock need not be the cluster's: an attempt may start in a moment.
    total_seconds = max(1.0, *((end - first).total_seconds() for _, _, end in bars))
    scale = (WIDTH - LABEL) / total_seconds
    rows = [
        _row(attempt, index, (start - first).total_seconds() * scale, end - start, scale)
        for index, (attempt, start, end) in enumerate(bars)
    ]
    height = ROW * len(bars)
    return (
        f'<svg class="wide" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Attempts over time">{"".join(rows)}</svg>'
    )


def _row(attempt: Attempt, index: int, offset: float, length: timedelta, scale: float) -> str:
    seconds = length.total_seconds()
    y = index * ROW
    color = COLORS.get(attempt.outcome, "#c0392b")
    ending = attempt.cause or attempt.outcome or "running"
    text = escape(f"{ending}, {format_duration(seconds)}")
    hint = escape(attempt.message or "")
    left, width = LABEL + offset, max(3.0, seconds * scale)
    return (
        f'<g><title>{hint}</title><text x="0" y="{y + 17}">attempt {attempt.number}</text>'
        f'<rect x="{left:.1f}" y="{y + 4}" width="{width:.1f}" '
        f'height="{ROW - 8}" rx="3" fill="{color}"/>'
        f"{_place_text(text, left, width, y + 17)}</g>"
    )


def _place_text(text: str, left: float, width: float, y: int) -> str:
    """Return the text inside its bar if it fits, else beside it, where there is room."""
    needed = len(text) * CHARACTER + 12
    if needed <= width:
        return f'<text class="inside" x="{left + 6:.1f}" y="{y}">{text}</text>'
    if left + width + needed <= WIDTH:
        return f'<text x="{left + width + 6:.1f}" y="{y}">{text}</text>'
    return f'<text x="{left - 6:.1f}" y="{y}" text-anchor="end">{text}</text>'
