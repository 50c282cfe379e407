"""The memory plan as one stacked bar, with the capacity and what was measured; inline SVG."""

from html import escape

from trainwright_api.status import Plan

from trainwright_cli.report.curves import COLORS

WIDTH, BAR_TOP, BAR_HEIGHT = 720, 22, 26
HEIGHT = BAR_TOP + BAR_HEIGHT + 22


def draw_memory(plan: Plan, measured_gib: float | None) -> str:
    """Return an SVG element with one part per term, and the terms below it as a legend."""
    whole = max(plan.capacity_gib or 0, plan.memory_gib, measured_gib or 0) or 1.0
    scale = (WIDTH - 2) / whole
    parts, left = [], 1.0
    for index, term in enumerate(plan.memory):
        width = term.gib * scale
        parts.append(
            f'<rect x="{left:.1f}" y="{BAR_TOP}" width="{max(width, 0.5):.1f}" height="{BAR_HEIGHT}" '
            f'fill="{COLORS[index % len(COLORS)]}"><title>{escape(term.name)}</title></rect>'
        )
        left += width
    frame = f'<rect class="frame" x="1" y="{BAR_TOP}" width="{WIDTH - 2}" height="{BAR_HEIGHT}"/>'
    marks = [_mark(plan.memory_gib, scale, f"planned {plan.memory_gib:.2f} GiB", above=True)]
    if measured_gib is not None:
        marks.append(_mark(measured_gib, scale, f"measured {measured_gib:.2f} GiB", above=False))
    label = f"Memory per device, of {whole:.1f} GiB"
    return (
        f'<svg class="wide" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}{frame}{''.join(marks)}</svg>{_legend(plan)}"
    )


def _mark(gib: float, scale: float, text: str, *, above: bool) -> str:
    x = 1 + gib * scale
    anchor = "end" if x > WIDTH / 2 else "start"
    y = BAR_TOP - 7 if above else BAR_TOP + BAR_HEIGHT + 16
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{BAR_TOP - 5}" '
        f'y2="{BAR_TOP + BAR_HEIGHT + 5}"/>'
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{text}</text>'
    )


def _legend(plan: Plan) -> str:
    items = (
        f'<li><i style="background:{COLORS[index % len(COLORS)]}"></i>'
        f"{escape(term.name)} {term.gib:.2f} GiB</li>"
        for index, term in enumerate(plan.memory)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'
