"""The trainer's Prometheus metrics, made from their declarations in `trainwright_api.metrics`."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from trainwright_api import metrics as m

_OWN_COLLECTORS = ("trainwright_gpu_", "trainwright_operator_")


class MetricSet:
    """One registry with every metric of the trainer; `of(metric, label...)` is the object to set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._objects = {
            metric.name: _build(metric, self.registry)
            for metric in m.ALL
            if not metric.name.startswith(_OWN_COLLECTORS)
        }

    def of(self, metric: m.Metric, **labels: str) -> Any:
        """Return the metric's object for these labels."""
        found = self._objects[metric.name]
        return found.labels(**labels) if labels else found


def _build(metric: m.Metric, registry: CollectorRegistry) -> Any:
    if metric.type == "histogram":
        return Histogram(
            metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets
        )
    kind = Counter if metric.type == "counter" else Gauge
    return kind(metric.name, metric.help, metric.labels, registry=registry)
