"""Sends a registry of Prometheus metrics by OTLP/HTTP: the same series under the same names.

Operator and trainer start it where OpenTelemetry's standard variables name an endpoint; the SDK, which
is imported only then, reads the rest of them (headers, certificates, timeout, compression, resource).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricsData
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.samples import Sample

NOT_INSTALLED = (
    "OpenTelemetry's exporter is not installed, so metrics are not sent by OTLP; run "
    "pip install '.[otlp]' in Trainwright's source, or unset OTEL_EXPORTER_OTLP_ENDPOINT"
)
SCOPE = "trainwright"
DEFAULT_INTERVAL_SECONDS = 60.0
CLOSE_SECONDS = 3.0

logger = logging.getLogger(__name__)


def reads_endpoint(environment: Mapping[str, str]) -> bool:
    """Tell whether OpenTelemetry's variables ask for an export of metrics."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    names = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = environment.get("OTEL_METRICS_EXPORTER", "otlp")
    return exporter == "otlp" and any(environment.get(name) for name in names)


def read_interval_seconds(environment: Mapping[str, str]) -> float:
    """Return the time between exports (OTEL_METRIC_EXPORT_INTERVAL, in milliseconds)."""
    text = environment.get("OTEL_METRIC_EXPORT_INTERVAL", "")
    return int(text) / 1000 if text.isdigit() and int(text) else DEFAULT_INTERVAL_SECONDS


class OtlpExport:
    """A thread that sends all metrics now and then; what it cannot send is logged by the SDK.

    `collect` returns the families of a registry, `resource` says whose they are. Raises ImportError if
    the SDK is not installed.
    """

    def __init__(
        self,
        collect: Callable[[], Iterable["Family"]],
        resource: Mapping[str, str],
        interval_seconds: float,
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource

        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before ours.
        self._resource = Resource(dict(resource)).merge(OTELResourceDetector().detect())
        self._collect, self._interval_seconds = collect, interval_seconds
        self._exporter = OTLPMetricExporter()
        self._closing = threading.Event()
        self._started_at = time.time()
        self._thread = threading.Thread(target=self._work, name="otlp", daemon=True)
        self._thread.start()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send the last values; gives up after `seconds`."""
        self._closing.set()
        self._thread.join(seconds)

    def _work(self) -> None:
        while not self._closing.wait(self._interval_seconds):
            self._send()
        self._send()

    def _send(self) -> None:
        try:
            families = list(self._collect())
            data = build_metrics_data(families, self._resource, self._started_at, time.time())
            self._exporter.export(data)
        except Exception:  # the next time may do, and nothing depends on it
            logger.exception("metrics could not be sent by OTLP")


def build_metrics_data(
    families: Iterable["Family"],
    resource: Any,
    started_at: float,
    now: float,
) -> "MetricsData":
    """Return families of a registry as OTLP's data; times are Unix times (unit: seconds)."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    start, end = int(started_at * 1e9), int(now * 1e9)
    metrics = [_build_metric(family, start, end) for family in families if family.samples]
    scope = ScopeMetrics(scope=InstrumentationScope(SCOPE), metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _build_metric(family: "Family", start: int, end: int) -> "Metric":
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        Metric,
        NumberDataPoint,
        Sum,
    )

    if family.type == "histogram":
        points = _build_histogram_points(family.samples, start, end)
        data: Any = Histogram(points, AggregationTemporality.CUMULATIVE)
        return Metric(family.name, family.documentation, "", data)
    is_counter = family.type == "counter"
    name = f"{family.name}_total" if is_counter else family.name
    numbers = [
        NumberDataPoint(dict(sample.labels), start, end, sample.value)
        for sample in family.samples
        if sample.name == name
    ]
    data = Sum(numbers, AggregationTemporality.CUMULATIVE, True) if is_counter else Gauge(numbers)
    return Metric(name, family.documentation, "", data)


def _build_histogram_points(
    samples: Iterable["Sample"], start: int, end: int
) -> "list[HistogramDataPoint]":
    """Return one point for each set of labels; Prometheus' buckets hold all smaller values, OTLP's do not."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            buckets.setdefault(labels, []).append((bound, sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    points = []
    for labels, found in buckets.items():
        found.sort()
        counts = [value for _, value in found]
        own = [int(b - a) for a, b in zip([0.0, *counts], counts, strict=False)]
        points.append(
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=start,
                time_unix_nano=end,
                count=int(counts[-1]),
                sum=sums.get(labels, 0.0),
                bucket_counts=own,
                explicit_bounds=[bound for bound, _ in found[:-1]],
                min=cast(float, None),  # not known, and not sent
                max=cast(float, None),
            )
        )
    return points
