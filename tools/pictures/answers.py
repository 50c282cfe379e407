"""What a Prometheus answered to a dashboard's queries: fetched from a server, or read from a file.

A file holds the same answers in few bytes: times are counted, values rounded to four digits (but for
those of annotations, which are times). It is
what `--record` writes and what the test and the docs' pictures are drawn from.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.pictures.dashboard import Mark, Target, fill_in, parse_marks, parse_panels
from tools.prometheus_api import PrometheusApi

DIGITS = 4
NUM_STEPS = 90
_LEFT_OUT = {"job", "instance", "__name__"}  # no legend shows them


@dataclass(frozen=True)
class Series:
    """Labels, and one value per time; NaN where there is none."""

    labels: Mapping[str, str]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Span:
    """The time that a picture shows (unit: Unix seconds)."""

    start: float
    end: float
    step: float

    @classmethod
    def before(cls, end: float, minutes: float) -> "Span":
        """So many minutes up to `end`, in steps that a line of a panel can show."""
        # Whole numbers: the server rounds times, and values are found by them.
        last, step = float(round(end)), float(max(1, round(minutes * 60 / NUM_STEPS)))
        return cls(last - step * NUM_STEPS, last, step)

    def times(self) -> list[float]:
        """The times of the values."""
        count = round((self.end - self.start) / self.step) + 1
        return [self.start + index * self.step for index in range(count)]


@dataclass(frozen=True)
class Answers:
    """All answers to one dashboard, by `answer_key` of the query as it stands in the dashboard."""

    span: Span
    series: Mapping[str, tuple[Series, ...]]

    def of(self, query: Target | Mark) -> tuple[Series, ...]:
        """The series of a query; raises MissingAnswerError if it was never asked."""
        try:
            return self.series[answer_key(query)]
        except KeyError:
            raise MissingAnswerError(
                f"no recorded answer to {query.expression!r}; after a change of the dashboards record "
                "anew: python -m tests.monitoring.record"
            ) from None


class MissingAnswerError(Exception):
    """A query is not among the recorded ones; the text says what to do."""


def answer_key(query: Target | Mark) -> str:
    """The name of a query's answer: its text, marked if only its last value is wanted."""
    is_instant = isinstance(query, Target) and query.is_instant
    return f"{'last: ' if is_instant else ''}{query.expression}"


def fetch_answers(
    api: PrometheusApi, dashboard: Mapping[str, Any], span: Span, variables: Mapping[str, str]
) -> Answers:
    """Ask a server every query of a dashboard; raises ValueError on a query that it refuses."""
    return Answers(
        span,
        {
            answer_key(query): tuple(_fetch(api, query, span, variables))
            for query in find_queries(dashboard)
        },
    )


def find_queries(dashboard: Mapping[str, Any]) -> Iterator[Target | Mark]:
    """All queries of a dashboard's panels and annotations."""
    for panel in parse_panels(dashboard):
        for shown in (panel, *panel.inside):
            yield from shown.targets
    yield from parse_marks(dashboard)


def _fetch(
    api: PrometheusApi, query: Target | Mark, span: Span, variables: Mapping[str, str]
) -> Iterator[Series]:
    expression = fill_in(query.expression, variables)
    if isinstance(query, Target) and query.is_instant:
        for sample in api.query(expression, span.end):
            yield Series(_keep(sample.labels), (_round(sample.value),))
        return
    for labels, points in api.query_range(expression, span.start, span.end, span.step):
        values = dict(points)
        row = (values.get(at, math.nan) for at in span.times())
        # A time of which four digits were kept would be another day.
        round_ = _round_time if isinstance(query, Mark) else _round
        yield Series(_keep(labels), tuple(map(round_, row)))


def _keep(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name not in _LEFT_OUT}


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else math.nan


def _round_time(milliseconds: float) -> float:
    return float(round(milliseconds)) if math.isfinite(milliseconds) else math.nan


def write_answers(path: Path, answers: Answers) -> None:
    """Write answers as a file, one query a line."""
    span = answers.span
    lines = [
        f"{json.dumps(expression)}: {json.dumps([_to_json(s) for s in found], separators=(',', ':'))}"
        for expression, found in sorted(answers.series.items())
    ]
    head = json.dumps({"start": span.start, "end": span.end, "step": span.step})
    body = ",\n".join(lines)
    path.write_text(f'{{"span": {head},\n"series": {{\n{body}\n}}}}\n')


def _to_json(series: Series) -> list[Any]:
    values = [None if math.isnan(v) else int(v) if v == int(v) else v for v in series.values]
    return [dict(series.labels), values]


def read_answers(path: Path) -> Answers:
    """Read what `write_answers` has written."""
    data = json.loads(path.read_text())
    return Answers(
        Span(**data["span"]),
        {
            expression: tuple(
                Series(labels, tuple(math.nan if v is None else v for v in values))
                for labels, values in rows
            )
            for expression, rows in data["series"].items()
        },
    )
