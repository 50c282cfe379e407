"""The operator's Prometheus metrics, made from their declarations in `trainwright_api.metrics`."""

import time
from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from trainwright_api import metrics as m

from trainwright_operator.accounting import Holding


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
        self._attempts = self._counter(m.ATTEMPTS)
        self._loop_lag = self._gauge(m.EVENT_LOOP_LAG)
        self._sweep_age = self._gauge(m.SWEEP_AGE)
        self._sweep_seconds = self._gauge(m.SWEEP_SECONDS)
        self._swept_at = time.monotonic()
        self._gauge(m.LEADER).set(1)
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

    def count_attempt(self, namespace: str, outcome: str, cause: str) -> None:
        """Count an attempt of a run of this namespace that ended."""
        self._attempts.labels(run_namespace=namespace, outcome=outcome, cause=cause).inc()

    def set_runs(self, holdings: Iterable[Holding]) -> None:
        """Record all runs and what they hold."""
        phases: Count[tuple[str, str, str]] = Count()
        held: Count[str] = Count()
        cost: dict[str, float] = {}
        for holding in holdings:
            phases[holding.kind, holding.namespace, holding.phase] += 1
            held[holding.namespace] += holding.accelerators
            cost[holding.namespace] = cost.get(holding.namespace, 0.0) + holding.price
        self._runs.clear()
        for (kind, namespace, phase), count in phases.items():
            self._runs.labels(kind=kind, run_namespace=namespace, phase=phase).set(count)
        self._accelerators.clear()
        self._cost.clear()
        for namespace in held:
            self._accelerators.labels(run_namespace=namespace).set(held[namespace])
            self._cost.labels(run_namespace=namespace).set(cost[namespace])

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
