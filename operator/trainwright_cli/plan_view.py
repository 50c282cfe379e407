"""A plan as tables and bars. Pure."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from trainwright_api.run import Run
from trainwright_api.status import Plan

from trainwright_cli.defaults import Default

BAR_WIDTH = 24


def plan_page(title: str, run: Run, plan: Plan) -> RenderableType:
    """Return the memory by term, the decisions, and the totals."""
    return Group(
        Text(title, style="bold"),
        _memory_table(plan),
        Text("\nDecisions", style="bold"),
        _decisions_table(plan),
        Text("\nTotals", style="bold"),
        _totals_table(run, plan),
    )


def defaults_table(defaults: Sequence[Default]) -> Table:
    """Return the fields that the manifest leaves out, with what is taken and why."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("FIELD", "DEFAULT", "WHAT IT IS"):
        table.add_column(column, overflow="fold")
    for default in defaults:
        table.add_row(escape(default.path), escape(default.shown), escape(default.reason))
    return table


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """Return a bar of full blocks and one partial one; a share above 1 fills it."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


class ShareBar:
    """A bar that gives way to the words beside it where the terminal is narrow."""

    def __init__(self, share: float) -> None:
        self._share = share

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the widths that it can have."""
        return Measurement(1, BAR_WIDTH)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it in the width that there is."""
        yield Text(bar(self._share, min(BAR_WIDTH, options.max_width)))


def _memory_table(plan: Plan) -> Table:
    whole = max(plan.memory_gib, plan.capacity_gib or 0)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("MEMORY", no_wrap=True)
    table.add_column("GiB", justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("WHY", overflow="fold")
    for term in plan.memory:
        table.add_row(term.name, f"{term.gib:.3f}", ShareBar(term.gib / whole), escape(term.reason))
    style = {True: "green", False: "red", None: ""}[plan.fits]
    verdict = {True: "fits", False: "DOES NOT FIT", None: "capacity unknown"}[plan.fits]
    capacity = f" in {plan.capacity_gib:.2f} GiB per device" if plan.capacity_gib else ""
    total = Text(f"{verdict}{capacity}", style=style)
    table.add_row("total", f"{plan.memory_gib:.3f}", ShareBar(plan.memory_gib / whole), total)
    return table


def _decisions_table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for decision in plan.decisions:
        table.add_row(*map(escape, (decision.field, decision.value, decision.reason)))
    return table


def _totals_table(run: Run, plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    steps = f"{plan.total_steps:,}" if plan.total_steps else "known once the data is counted"
    rows = [
        ("devices", f"{plan.num_devices} ({run.workers.nodes} x {run.workers.processes_per_node})"),
        ("parameters", f"{plan.parameters:,} ({plan.trainable_parameters:,} trained)"),
        ("steps", steps),
    ]
    if plan.total_tokens:
        work = plan.total_tokens * plan.flops_per_token
        rows += [("tokens", f"{plan.total_tokens:,}"), ("operations", f"{work:.3g} FLOP")]
    for row in rows:
        table.add_row(*row)
    return table
