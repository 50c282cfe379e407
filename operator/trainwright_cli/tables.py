"""Runs as tables and pages, from their views. Pure; `now` is an argument.

Everything from a cluster is text of others: it is escaped before Rich sees it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Group, OverflowMethod, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from trainwright_api.names import Phase
from trainwright_api.quantities import format_bytes, format_duration
from trainwright_api.status import CheckpointRecord, Plan, Progress, RunStatus

from trainwright_cli.runs import RunView, parse_time
from trainwright_cli.stalls import find_stall_seconds, tell_stall

PHASE_STYLES = {
    Phase.RUNNING: "cyan",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "red",
    Phase.RESTARTING: "yellow",
    Phase.SUSPENDED: "yellow",
}
NOTHING = "-"
STALLED = "no step"  # in a cell; the page and the screen of one run say for how long
# What is longer than the terminal allows goes on below; a number that is cut would be another one.
_WRAPPED = ("NAMESPACE", "RUN", "MESSAGE", "URI")


def run_columns(*, all_namespaces: bool) -> list[str]:
    """Return the titles of the table of runs; those of `kubectl get`."""
    own = ["RUN", "PHASE", "STEP", "LOSS", "TOK/S", "CHECKPOINT", "ETA", "AGE"]
    return ["NAMESPACE", *own] if all_namespaces else own


def run_row(view: RunView, now: datetime, *, all_namespaces: bool) -> list[str]:
    """Return one row of the table of runs."""
    progress = view.status.progress or Progress()
    latest = view.status.checkpoints.latest if view.status.checkpoints else None
    own = [
        view.title,
        view.status.phase,
        f"{progress.step}/{progress.total_steps}" if progress.total_steps else NOTHING,
        format_number(progress.loss, ".4f"),
        format_number(progress.tokens_per_second, ",.0f"),
        str(latest.step) if latest else NOTHING,
        format_eta(view, now),
        format_age(view.created_at, now),
    ]
    return [view.namespace, *own] if all_namespaces else own


def runs_table(views: Sequence[RunView], now: datetime, *, all_namespaces: bool) -> Table:
    """Return the table of runs."""
    table = _plain_table(run_columns(all_namespaces=all_namespaces))
    for view in views:
        cells = [escape(cell) for cell in run_row(view, now, all_namespaces=all_namespaces)]
        table.add_row(*cells, style=PHASE_STYLES.get(view.status.phase))
    return table


def run_page(view: RunView, now: datetime) -> RenderableType:
    """Return one run: where it stands, conditions, plan, checkpoints, attempts, warnings and model."""
    status = view.status
    parts: list[RenderableType] = [_summary(view, now)]
    if status.conditions:
        parts += [_title("Conditions"), _conditions_table(status)]
    if status.plan:
        parts += [_title("Plan"), Text(plan_line(status.plan))]
    if status.checkpoints and status.checkpoints.items:
        parts += [_title("Checkpoints"), checkpoints_table(status.checkpoints.items, now)]
    if status.attempts:
        parts += [_title("Attempts"), _attempts_table(status)]
    if status.warnings:
        parts += [_title("Warnings"), *(Text(warning) for warning in status.warnings)]
    if status.model:
        parts += [_title("Model"), Text(status.model.uri)]
        for sample in status.model.samples:
            parts += [Text(f"{sample.prompt!r}"), Text(f"  before: {sample.before!r}")]
            parts += [Text(f"  after:  {sample.after!r}")]
    return Group(*parts)


def checkpoints_table(
    records: Iterable[CheckpointRecord], now: datetime, *, has_verdicts: bool = True
) -> Table:
    """Return a table of checkpoints; without verdicts it does not say which are verified."""
    verdict = ["VERIFIED"] if has_verdicts else []
    table = _plain_table(["STEP", "LOSS", "VALIDATION", "SIZE", "SAVED", *verdict, "URI"])
    for record in records:
        saved_at = parse_time(record.saved_at)
        table.add_row(
            str(record.step),
            format_number(record.loss, ".4f"),
            format_number(record.validation_loss, ".4f"),
            format_bytes(record.size_bytes),
            f"{format_age(saved_at, now)} ago" if saved_at else NOTHING,
            *(["yes" if record.verified else "no"] if has_verdicts else []),
            escape(record.uri),
        )
    return table


def plan_line(plan: Plan) -> str:
    """Return a plan in one line."""
    capacity = f" of {plan.capacity_gib:.1f}" if plan.capacity_gib else ""
    return (
        f"ZeRO {plan.zero_stage} on {plan.num_devices} devices, {plan.micro_sequences} sequences x "
        f"{plan.accumulation_steps} passes, activation checkpointing {plan.activation_checkpointing}, "
        f"{plan.memory_gib:.2f}{capacity} GiB per device, {plan.parameters:,} parameters "
        f"({plan.trainable_parameters:,} trained)"
    )


def progress_line(title: str, phase: str, progress: Progress, stall: str = "") -> str:
    """Return where a run stands in one plain line; `stall` takes the place of the time that is left."""
    return "  ".join([title, phase, *_progress_parts(phase, progress, stall)])


def _progress_parts(phase: str, progress: Progress, stall: str) -> list[str]:
    parts = []
    if progress.total_steps:
        parts.append(f"step {progress.step}/{progress.total_steps} ({progress.percent:.0f} %)")
    elif progress.activity:
        parts.append(progress.activity)
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4f}")
    if progress.validation_loss is not None:
        parts.append(f"validation {progress.validation_loss:.4f}")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tok/s")
    if stall:
        parts.append(stall)
    elif progress.eta_seconds is not None and not Phase(phase).has_ended:
        parts.append(f"eta {format_duration(progress.eta_seconds)}")
    return parts


def format_number(value: float | None, form: str) -> str:
    """Return a number, or a dash for none."""
    return NOTHING if value is None else format(value, form)


def format_eta(view: RunView, now: datetime) -> str:
    """Return how long a run still takes; a dash for one that has ended or does not know.

    One that has stopped to make steps has its last guess still, which is worth nothing.
    """
    progress = view.status.progress
    if find_stall_seconds(view, now) is not None:
        return STALLED
    if view.has_ended or progress is None or progress.eta_seconds is None:
        return NOTHING
    return format_duration(progress.eta_seconds)


def format_age(since: datetime | None, now: datetime) -> str:
    """Return how long ago something was."""
    return format_duration((now - since).total_seconds()) if since else NOTHING


def _summary(view: RunView, now: datetime) -> Table:
    status = view.status
    table = Table(show_header=False, box=None, pad_edge=False)
    style = PHASE_STYLES.get(status.phase, "")
    table.add_row("Run", escape(f"{view.title} in {view.namespace}"))
    reason = f"  {status.reason}" if status.reason else ""
    table.add_row("Phase", Text(status.phase + reason, style=style))
    if status.message:
        table.add_row("Message", Text(status.message))
    if status.progress:
        stall = tell_stall(view, now)
        line = Text("  ".join(_progress_parts(status.phase, status.progress, stall)))
        if stall:
            line.highlight_words([stall], style="yellow")
        table.add_row("Progress", line)
    if status.hardware and status.hardware.summary:
        table.add_row("Hardware", Text(status.hardware.summary))
    if status.cost and status.cost.summary:
        table.add_row("Cost", Text(status.cost.summary))
    table.add_row("Attempt", str(status.attempt))
    if status.dashboard_url:
        table.add_row("Dashboard", Text(status.dashboard_url))
    table.add_row("Age", format_age(view.created_at, now))
    return table


def _conditions_table(status: RunStatus) -> Table:
    table = _plain_table(["TYPE", "STATUS", "REASON", "MESSAGE"])
    for condition in status.conditions:
        cells = (condition.type, condition.status, condition.reason, condition.message)
        table.add_row(*map(escape, cells))
    return table


def _attempts_table(status: RunStatus) -> Table:
    table = _plain_table(
        ["ATTEMPT", "OUTCOME", "CAUSE", "FROM STEP", "LAST STEP", "LOST", "MESSAGE"]
    )
    for attempt in status.attempts:
        table.add_row(
            str(attempt.number),
            attempt.outcome or "Running",
            attempt.cause or NOTHING,
            _count(attempt.resumed_from_step),
            _count(attempt.last_step),
            _count(attempt.steps_lost),
            escape((attempt.message or "")[:200]),
        )
    return table


def _plain_table(columns: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        wraps = column in _WRAPPED
        overflow: OverflowMethod = "fold" if wraps else "ellipsis"
        table.add_column(column, no_wrap=not wraps, overflow=overflow, min_width=len(column))
    return table


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _count(value: int | None) -> str:
    return NOTHING if value is None else str(value)
