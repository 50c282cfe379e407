"""The trainer's Prometheus metrics, made from their declarations in `trainwright_api.metrics`.

A gauge shows only once it is set: a loss of 0 before the first step, or a checkpoint of the year 1970
before the first one, would mislead dashboards and alerts. Counters begin at 0, so that no first
event is lost.
"""

from collections.abc import Mapping
from threading import Lock
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from trainwright_api import metrics as m

_OWN_COLLECTORS = ("trainwright_gpu_", "trainwright_operator_")


# A series more for each counter and histogram, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class MetricSet:
    """One registry with every metric of the trainer; `of(metric, label...)` is the object to set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._objects = {
            metric.name: _build(metric, self.registry)
            for metric in m.ALL
            if not metric.name.startswith(_OWN_COLLECTORS)
        }
        self._series: dict[str, set[tuple[str, ...]]] = {}
        self._lock = Lock()

    def of(self, metric: m.Metric, **labels: str) -> Any:
        """Return the metric's object for these labels."""
        found = self._objects[metric.name]
        return found.labels(**labels) if labels else found

    def set_series(self, metric: m.Metric, values: Mapping[tuple[str, ...], float]) -> None:
        """Give a gauge just these series, by the values of its labels; those of the last call go."""
        found = self._objects[metric.name]
        with self._lock:
            for labels in self._series.get(metric.name, set()) - values.keys():
                found.remove(*labels)
            for labels, value in values.items():
                found.labels(*labels).set(value)
            self._series[metric.name] = set(values)


class _LateGauge(Gauge):
    """A gauge that enters the registry with its first value, so that no scrape sees it without one."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        super().__init__(name, text, registry=None)
        self._late_registry: CollectorRegistry | None = registry
        self._late_lock = Lock()

    def set(self, value: float) -> None:
        super().set(value)
        with self._late_lock:
            registry, self._late_registry = self._late_registry, None
            if registry is not None:
                registry.register(self)


def _build(metric: m.Metric, registry: CollectorRegistry) -> Any:
    if metric.type == "histogram":
        return Histogram(
            metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets
        )
    if metric.type == "gauge" and not metric.labels:
        return _LateGauge(metric.name, metric.help, registry)
    kind = Counter if metric.type == "counter" else Gauge
    return kind(metric.name, metric.help, metric.labels, registry=registry)
