"""Builds the HTML page of `trainwright report` and of `compare` from resources and histories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from trainwright_api.history import HistoryRow
from trainwright_api.quantities import format_bytes, format_duration
from trainwright_api.resources import Resource
from trainwright_api.status import RunStatus

from trainwright_cli.report.curves import Curve, draw_curves
from trainwright_cli.report.differences import build_differences
from trainwright_cli.report.measured import (
    Software,
    build_environment_rows,
    build_hardware_rows,
    build_plan_rows,
)
from trainwright_cli.report.memory import draw_memory
from trainwright_cli.report.timeline import draw_timeline

TEMPLATES = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as a report shows it: the resource (with status), its history, its spec as YAML."""

    resource: Resource
    history: Sequence[HistoryRow]
    manifest: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    software: Software = field(default_factory=lambda: Software({}))
    has_kind: bool = False

    @property
    def name(self) -> str:
        """The run's name with its namespace, and its kind where that is needed to tell it from another."""
        meta = self.resource.metadata
        kind = f"{self.resource.kind}/" if self.has_kind else ""
        return f"{meta.namespace or 'default'}/{kind}{meta.name}"

    @property
    def status(self) -> RunStatus:
        """The run's status; an empty one before the operator has seen it.

        A run that does not train has no speed in it: here it is the one that was measured last.
        """
        status = self.resource.status or RunStatus()
        progress = status.progress
        if progress is None or progress.tokens_per_second is not None:
            return status
        last = next((row for row in reversed(self.history) if row.tokens_per_second), None)
        if last is None:
            return status
        speed = {"tokens_per_second": last.tokens_per_second, "mfu": last.mfu}
        return status.model_copy(update={"progress": progress.model_copy(update=speed)})


def tell_apart(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the records with their kinds in their names, if runs of both kinds share one."""
    names = {record.name for record in records}
    titles = {(record.resource.kind, record.name) for record in records}
    return [replace(record, has_kind=len(titles) > len(names)) for record in records]


@dataclass(frozen=True, slots=True)
class Figure:
    """A titled chart."""

    title: str
    svg: Markup


_FIELDS = (
    ("Loss by step", "loss", "step"),
    ("Loss by time", "loss", "time"),
    ("Validation loss", "validation_loss", "step"),
    ("Tokens per second", "tokens_per_second", "step"),
    ("MFU", "mfu", "step"),
    ("Learning rate", "learning_rate", "step"),
    ("Gradient norm", "gradient_norm", "step"),
)


def build_page(records: Sequence[RunRecord], *, now: datetime, version: str) -> str:
    """Return one HTML page without external resources: details of one run, or a comparison."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"size": format_bytes, "duration": format_duration}
    return environment.get_template("page.html.j2").render(
        title=" against ".join(record.name for record in records),
        records=records,
        figures=build_figures(records),
        rows=build_comparison(records),
        differences=build_differences([record.spec for record in records]),
        details=[_detail(record, now) for record in records],
        now=now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version,
    )


def _detail(record: RunRecord, now: datetime) -> dict[str, Any]:
    """What the template shows of one run beside its status; our own SVG, its texts escaped."""
    status, hardware = record.status, record.status.hardware
    used = hardware.memory_used_gib if hardware else None
    return {
        "timeline": Markup(draw_timeline(status.attempts, now)),  # noqa: S704
        "measured": build_plan_rows(status, record.software, now),
        "memory": Markup(draw_memory(status.plan, used)) if status.plan else "",  # noqa: S704
        "hardware": build_hardware_rows(status),
        "environment": build_environment_rows(record.resource, record.software),
    }


def build_figures(records: Sequence[RunRecord]) -> list[Figure]:
    """Return one figure per measured quantity, with a curve per run."""
    figures = []
    for title, name, x in _FIELDS:
        curves = [Curve(record.name, _points(record.history, name, x)) for record in records]
        if any(curve.points for curve in curves):
            label = "step" if x == "step" else "minutes"
            svg = draw_curves(curves, x_label=label, y_label=title.split(" by ")[0])
            figures.append(Figure(title, Markup(svg)))  # noqa: S704 - our own SVG, texts escaped
    return figures


def _points(history: Sequence[HistoryRow], field: str, x: str) -> list[tuple[float, float]]:
    if not history:
        return []
    start = history[0].time
    return [
        (row.step if x == "step" else (row.time - start) / 60, value)
        for row in history
        if (value := getattr(row, field)) is not None
    ]


def build_comparison(records: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Return the rows of the summary table: a label and one text per run."""
    return [(label, [show(record.status) for record in records]) for label, show in _SUMMARY]


def _text(value: Any, form: str = "{}") -> str:
    return "-" if value is None else form.format(value)


def _progress(name: str, form: str = "{}") -> Any:
    return lambda status: _text(getattr(status.progress, name, None), form)


_SUMMARY = (
    ("Phase", lambda status: str(status.phase)),
    ("Reason", lambda status: _text(status.reason)),
    ("Step", lambda s: _text(s.progress and f"{s.progress.step} of {s.progress.total_steps}")),
    ("Input tokens", _progress("tokens", "{:,}")),
    ("First loss", _progress("first_loss", "{:.4f}")),
    ("Loss", _progress("loss", "{:.4f}")),
    ("Validation loss", _progress("validation_loss", "{:.4f}")),
    ("Tokens per second", _progress("tokens_per_second", "{:,.0f}")),
    ("MFU", _progress("mfu", "{:.1%}")),
    ("Cost", lambda status: _text(status.cost and status.cost.summary)),
    ("Attempts", lambda status: str(status.attempt)),
    (
        "Checkpoint",
        lambda s: _text(s.checkpoints and s.checkpoints.latest and s.checkpoints.latest.step),
    ),
    ("Model", lambda status: _text(status.model and status.model.uri)),
)
