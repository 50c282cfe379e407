"""The operator's Prometheus metrics, made from their declarations in `trainwright_api.metrics`."""

import time
from collections import Counter as Count
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from trainwright_api import metrics as m

from trainwright_operator.accounting import Holding

# A series more for each counter and histogram, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

RECENT_LAGS = 60  # a minute: scrapes are 15 to 60 seconds apart, and none is to miss a long one


class _Snapshot(Collector):
    """Families that are replaced as a whole, so that a scrape meanwhile misses no run."""

    def __init__(self) -> None:
        self.families: Sequence[Metric] = _describe_runs(())

    def collect(self) -> Iterable[Metric]:
        return self.families


class OperatorMetrics:
    """One registry; the parts of the operator call the methods below."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._reconcile_seconds = self._histogram(m.RECONCILE_SECONDS)
        self._queue_depth = self._gauge(m.QUEUE_DEPTH)
        self._queue_age = self._gauge(m.QUEUE_AGE)
        self._api_calls = self._counter(m.API_CALLS)
        self._of_runs = _Snapshot()
        self.registry.register(self._of_runs)
        self._attempts = self._counter(m.ATTEMPTS)
        self._counted: set[tuple[str, str]] = set()
        self._loop_lag = self._gauge(m.EVENT_LOOP_LAG)
        self._recent_lags: deque[float] = deque(maxlen=RECENT_LAGS)
        self._sweep_age = self._gauge(m.SWEEP_AGE)
        self._sweep_seconds = self._gauge(m.SWEEP_SECONDS)
        self._swept_at = time.monotonic()
        self._leader = self._gauge(m.LEADER)
        self._gauge(m.BUILD_INFO).labels(version=version).set(1)

    def _gauge(self, metric: m.Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)

    def _counter(self, metric: m.Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, metric: m.Metric) -> Histogram:
        return Histogram(
            metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
        )

    def observe_reconcile(self, kind: str, outcome: str, seconds: float) -> None:
        """Record one reconciliation."""
        self._reconcile_seconds.labels(kind=kind, outcome=outcome).observe(seconds)

    def set_queue(self, depth: int, age_seconds: float) -> None:
        """Record how many runs wait, and how long the oldest has."""
        self._queue_depth.set(depth)
        self._queue_age.set(age_seconds)

    def count_call(self, verb: str, code: str) -> None:
        """Count a call of the API server."""
        self._api_calls.labels(verb=verb, code=code).inc()

    def count_attempt(self, namespace: str, run: str, outcome: str, cause: str) -> None:
        """Count an attempt of a run that ended."""
        self._attempts.labels(run_namespace=namespace, run=run, outcome=outcome, cause=cause).inc()
        self._counted.add((namespace, run))

    def set_runs(self, holdings: Iterable[Holding]) -> None:
        """Record all runs, what they hold and what they wait for; forget those that are not among them."""
        known = list(holdings)
        self._of_runs.families = _describe_runs(known)
        gone = self._counted - {(run.namespace, run.name) for run in known}
        for namespace, name in gone:
            self._attempts.remove_by_labels({"run_namespace": namespace, "run": name})
        self._counted -= gone

    def begin_acting(self) -> None:
        """Record that this operator has taken in all that there is, and acts."""
        self._leader.set(1)

    def set_loop_lag(self, seconds: float) -> None:
        """Record the event loop's delay; shown is the largest of the last RECENT_LAGS."""
        self._recent_lags.append(seconds)
        self._loop_lag.set(max(self._recent_lags))

    def observe_sweep(self, seconds: float) -> None:
        """Record a complete sweep."""
        self._sweep_seconds.set(seconds)
        self._swept_at = time.monotonic()

    @property
    def sweep_age_seconds(self) -> float:
        """Time since the last complete sweep."""
        return time.monotonic() - self._swept_at

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        self._sweep_age.set(self.sweep_age_seconds)
        return self.registry.collect()

    def render(self) -> bytes:
        """Return the exposition text."""
        self._sweep_age.set(self.sweep_age_seconds)
        return generate_latest(self.registry)


def _describe_runs(runs: Sequence[Holding]) -> list[Metric]:
    """Return what the runs hold, cost and wait for, and which do not answer."""
    accelerators: dict[tuple[str, ...], float] = defaultdict(float)
    cost: dict[tuple[str, ...], float] = defaultdict(float)
    silent: dict[tuple[str, ...], float] = defaultdict(float)
    waiting: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for run in runs:
        accelerators[run.namespace, run.team] += run.accelerators
        cost[run.namespace, run.team] += run.price
        silent[run.namespace,] += run.is_silent
        if run.waiting is not None:
            waiting[run.namespace, run.waiting.reason].append(run.waiting.seconds)
    return [
        _family(m.RUNS, Count((run.kind, run.namespace, run.phase) for run in runs)),
        _family(m.RUN_ACCELERATORS, accelerators),
        _family(m.RUN_COST_PER_HOUR, cost),
        _family(m.SILENT_RUNS, silent),
        _family(m.WAITING_RUNS, {key: len(seconds) for key, seconds in waiting.items()}),
        _family(m.LONGEST_WAIT, {key: max(seconds) for key, seconds in waiting.items()}),
        _family(
            m.UNDERUTILIZED,
            {
                (run.namespace, run.name, run.underuse.reason): run.underuse.utilization
                for run in runs
                if run.underuse is not None
            },
        ),
    ]


def _family(metric: m.Metric, values: Mapping[Any, float]) -> Metric:
    """Return a gauge with these series, by the values of its labels."""
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
