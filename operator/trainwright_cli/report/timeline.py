"""The attempts of a run as a timeline: one bar each, from start to end, coloured by how it ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

from trainwright_api.quantities import format_duration
from trainwright_api.status import Attempt

WIDTH, ROW, LABEL = 720, 26, 90
COLORS = {"Succeeded": "#2a9d5c", "Failed": "#c0392b", "Suspended": "#b8860b", None: "#2f6fde"}


def draw_timeline(attempts: Sequence[Attempt], now: datetime) -> str:
    """Return an SVG with one row per attempt; an attempt that runs ends at `now`."""
    if not attempts:
        return '<p class="empty">No attempt has started.</p>'
    spans = [
        (_moment(attempt.started_at), _moment(attempt.ended_at) if attempt.ended_at else now)
        for attempt in attempts
    ]
    first = min(start for start, _ in spans)
    total_seconds = max((end - first).total_seconds() for _, end in spans) or 1.0
    scale = (WIDTH - LABEL) / total_seconds
    rows = [
        _row(attempt, index, (start - first).total_seconds() * scale, end - start, scale)
        for index, (attempt, (start, end)) in enumerate(zip(attempts, spans, strict=True))
    ]
    height = ROW * len(attempts)
    return (
        f'<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Attempts over time">{"".join(rows)}</svg>'
    )


def _row(attempt: Attempt, index: int, offset: float, length: timedelta, scale: float) -> str:
    seconds = length.total_seconds()
    y = index * ROW
    color = COLORS.get(attempt.outcome, "#c0392b")
    ending = attempt.cause or attempt.outcome or "running"
    text = escape(f"{ending}, {format_duration(seconds)}")
    hint = escape(attempt.message or "")
    return (
        f'<g><title>{hint}</title><text x="0" y="{y + 17}">attempt {attempt.number}</text>'
        f'<rect x="{LABEL + offset:.1f}" y="{y + 4}" width="{max(3.0, seconds * scale):.1f}" '
        f'height="{ROW - 8}" rx="3" fill="{color}"/>'
        f'<text class="inside" x="{LABEL + offset + 6:.1f}" y="{y + 17}">{text}</text></g>'
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
