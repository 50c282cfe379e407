"""What one panel shows: its queries' answers with their legends, and the marks of annotations; pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tools.pictures.answers import Answers
from tools.pictures.dashboard import Mark, Panel, fill_legend


@dataclass(frozen=True)
class Curve:
    """One series of a panel."""

    letter: str
    legend: str
    labels: dict[str, str]
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        """The newest value that is a number; NaN if there is none (Grafana's lastNotNull)."""
        return next((value for value in reversed(self.values) if not math.isnan(value)), math.nan)


@dataclass(frozen=True)
class Event:
    """A time at which an annotation says that something happened (unit: Unix seconds)."""

    at: float
    color: str


@dataclass(frozen=True)
class PanelData:
    """All that is drawn into one panel."""

    times: list[float]
    curves: list[Curve]
    marks: list[Event]

    @property
    def is_empty(self) -> bool:
        """Whether there is not one value."""
        return all(math.isnan(curve.last) for curve in self.curves)


def collect_data(panel: Panel, answers: Answers, marks: list[Event]) -> PanelData:
    """The series of a panel with values, in the order of its queries."""
    curves = [
        Curve(
            target.letter,
            fill_legend(target.legend, found.labels),
            dict(found.labels),
            found.values,
        )
        for target in panel.targets
        for found in answers.of(target)
    ]
    return PanelData(
        answers.span.times(), [curve for curve in curves if not math.isnan(curve.last)], marks
    )


def find_marks(marks: Iterable[Mark], answers: Answers) -> list[Event]:
    """The events of all annotations within the picture's time, each once."""
    span = answers.span
    return [
        Event(at, mark.color)
        for mark in marks
        for found in answers.of(mark)
        for at in sorted({value / 1000 for value in found.values if not math.isnan(value)})
        if span.start <= at <= span.end
    ]
