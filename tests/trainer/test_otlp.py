"""The trainer sends by OTLP what it serves on /metrics, up to its last step."""

from pathlib import Path

import pytest
from trainwright_api.status import Progress
from trainwright_trainer.report import Reporter
from trainwright_trainer.settings import read_settings

from tests.ports import free_port
from tests.trainer.run_builder import build_run
from tests.unit.otlp_receiver import receive


def test_the_last_step_reaches_the_receiver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with receive() as receiver:
        monkeypatch.setenv("TRAINWRIGHT_SCRATCH_FOLDER", str(tmp_path))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("TRAINWRIGHT_PORT", str(free_port()))
        monkeypatch.setenv("TRAINWRIGHT_POD_NAME", "run-1-master-0")
        reporter = Reporter(build_run(), read_settings())
        reporter.start()
        reporter.finish_step(Progress(step=7, total_steps=10, loss=2.5), step_tokens=128)
        reporter.close_otlp()
        reporter.close()
    assert receiver.resource == {
        "service.name": "trainwright-trainer",
        "service.namespace": "team",
        "service.instance.id": "run-1-master-0",
        "trainwright.run": "run",
        "trainwright.kind": "TrainingRun",
        "trainwright.attempt": "1",
        "k8s.namespace.name": "team",
        "k8s.pod.name": "run-1-master-0",
    }
    (step,) = receiver.metrics["trainwright_step"].gauge.data_points
    (tokens,) = receiver.metrics["trainwright_tokens_total"].sum.data_points
    assert (step.as_double, tokens.as_double) == (7, 128)
    assert reporter.report.warnings == []
