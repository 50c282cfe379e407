"""Metrics by OTLP: what a receiver gets is what Prometheus would read."""

import math
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from trainwright_api.otlp import OtlpExport, read_interval_seconds, reads_endpoint
from trainwright_operator.handlers import Operator
from trainwright_operator.settings import read_settings

from tests.unit.otlp_receiver import receive

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector/v1/metrics"}, True),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_METRICS_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_ask_for_it(environment: dict[str, str], expected: bool) -> None:
    assert reads_endpoint(environment) is expected


@pytest.mark.parametrize(("text", "seconds"), [("", 60), ("1500", 1.5), ("soon", 60), ("0", 60)])
def test_the_interval_is_in_milliseconds(text: str, seconds: float) -> None:
    assert read_interval_seconds({"OTEL_METRIC_EXPORT_INTERVAL": text}) == seconds


def test_a_receiver_gets_every_type_with_labels_values_and_sender(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = CollectorRegistry()
    Counter("jobs_total", "Jobs.", ["by"], registry=registry).labels(by="a").inc(3)
    Gauge("heat", "Heat.", registry=registry).set(1.5)
    seconds = Histogram("wait_seconds", "Wait.", ["part"], registry=registry, buckets=(1, 2))
    for value in (0.5, 1.5, 1.7, 9):
        seconds.labels(part="x").observe(value)
    with receive() as receiver:
        monkeypatch.setenv(ENDPOINT, receiver.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=nlp,service.name=mine")
        OtlpExport(registry.collect, {"service.name": "ours", "run": "gpt"}, 3600).close(20)
    assert receiver.paths == ["/v1/metrics"]
    assert receiver.resource == {"service.name": "mine", "run": "gpt", "team": "nlp"}
    jobs, heat, wait = (receiver.metrics[name] for name in ("jobs_total", "heat", "wait_seconds"))
    assert jobs.sum.is_monotonic
    (point,) = jobs.sum.data_points
    assert (point.as_double, point.attributes[0].value.string_value) == (3, "a")
    assert [point.as_double for point in heat.gauge.data_points] == [1.5]
    (point,) = wait.histogram.data_points
    assert (point.count, point.sum) == (4, pytest.approx(12.7))
    assert list(point.explicit_bounds) == [1, 2]
    assert list(point.bucket_counts) == [1, 2, 1]
    assert not point.HasField("max")
    assert math.isclose(point.time_unix_nano, point.start_time_unix_nano, rel_tol=1e-6)


def test_the_operator_sends_its_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    with receive() as receiver:
        monkeypatch.setenv(ENDPOINT, receiver.url)
        operator = Operator(read_settings(), "1.2.3")
        operator.start_otlp()
        operator.close_otlp()
    assert receiver.resource == {
        "service.name": "trainwright-operator",
        "service.version": "1.2.3",
    }
    assert "trainwright_operator_queue_depth" in receiver.metrics


def test_without_an_endpoint_the_operator_imports_no_sdk() -> None:
    code = (
        "import sys; from trainwright_operator.handlers import Operator; "
        "from trainwright_operator.settings import read_settings; "
        "Operator(read_settings({}), '1').start_otlp(); "
        "print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
