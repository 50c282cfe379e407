"""The operator's Prometheus metrics, made from their declarations in `trainwright_api.metrics`."""

import time
from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from trainwright_api import metrics as m

from trainwright_operator.accounting import Holding

disable_created_metrics()  # a series more for each counter and histogram, and nobody asks for it


class OperatorMetrics:
    """One registry; the parts of the operator call the methods below."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._reconcile_seconds = self._histogram(m.RECONCILE_SECONDS)
        self._queue_depth = self._gauge(m.QUEUE_DEPTH)
        self._queue_age = self._gauge(m.QUEUE_AGE)
        self._api_calls = self._counter(m.API_CALLS)
        self._runs = self._gauge(m.RUNS)
        self._accelerators = self._gauge(m.RUN_ACCELERATORS)
        self._cost = self._gauge(m.RUN_COST_PER_HOUR)
        self._waiting = self._gauge(m.WAITING_RUNS)
        self._longest_wait = self._gauge(m.LONGEST_WAIT)
        self._underutilized = self._gauge(m.UNDERUTILIZED)
        self._attempts = self._counter(m.ATTEMPTS)
        self._counted: set[tuple[str, str]] = set()
        self._loop_lag = self._gauge(m.EVENT_LOOP_LAG)
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
        phases = Count((run.kind, run.namespace, run.phase) for run in known)
        self._runs.clear()
        for (kind, namespace, phase), count in phases.items():
            self._runs.labels(kind=kind, run_namespace=namespace, phase=phase).set(count)
        self._accelerators.clear()
        self._cost.clear()
        for run in known:
            owner = {"run_namespace": run.namespace, "team": run.team}
            self._accelerators.labels(**owner).inc(run.accelerators)
            self._cost.labels(**owner).inc(run.price)
        self._set_waiting(known)
        self._underutilized.clear()
        for run in known:
            if run.underuse is not None:
                labels = (run.namespace, run.name, run.underuse.reason)
                self._underutilized.labels(*labels).set(run.underuse.utilization)
        gone = self._counted - {(run.namespace, run.name) for run in known}
        for namespace, name in gone:
            self._attempts.remove_by_labels({"run_namespace": namespace, "run": name})
        self._counted -= gone

    def _set_waiting(self, runs: Iterable[Holding]) -> None:
        longest: dict[tuple[str, str], float] = {}
        self._waiting.clear()
        for run in runs:
            if run.waiting is not None:
                key = (run.namespace, run.waiting.reason)
                self._waiting.labels(*key).inc()
                longest[key] = max(longest.get(key, 0.0), run.waiting.seconds)
        self._longest_wait.clear()
        for key, seconds in longest.items():
            self._longest_wait.labels(*key).set(seconds)

    def begin_acting(self) -> None:
        """Record that this operator has taken in all that there is, and acts."""
        self._leader.set(1)

    def set_loop_lag(self, seconds: float) -> None:
        """Record the event loop's delay."""
        self._loop_lag.set(seconds)

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
