"""The reporter with eight pretended devices: the bound on series, and what other pods tell it.

The management library is found through LD_LIBRARY_PATH, which a process reads once at its start; so a
process of its own reports, and the tests look at what it printed.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trainwright_api import metrics as m
from trainwright_api.history import MAXIMUM_ROWS, HistoryRow, dump_rows, parse_rows, thin_rows
from trainwright_api.status import Plan, Progress
from trainwright_trainer import report
from trainwright_trainer.gpu_metrics import MAXIMUM_XIDS
from trainwright_trainer.heartbeats import Heartbeats
from trainwright_trainer.report import Reporter
from trainwright_trainer.settings import Settings

from tests.fake_nvml import build_fake_nvml
from tests.ports import free_port
from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.report_worker import RANKS
from tests.trainer.run_builder import build_run

# Of a pod with 8 GPUs that have failed in every way; operator/docs/monitoring.md states it.
SERIES_BOUND = 400
SERIES_MARGIN = 10  # for the next metric


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("report")
    library = build_fake_nvml(folder)
    codes = range(13, 13 + MAXIMUM_XIDS + 2)
    lines = [f"xid {gpu} {code}\n" for gpu in range(RANKS) for code in codes]
    (folder / "state").write_text("".join(lines))
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(library.parent),
        "FAKE_NVML_STATE": str(folder / "state"),
        "TRAINWRIGHT_SCRATCH_FOLDER": str(folder / "scratch"),
        "TRAINWRIGHT_PORT": str(free_port()),
        "DS_ACCELERATOR": "cpu",
    }
    command = [sys.executable, "-m", "tests.trainer.report_worker"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def series_of(said: dict[str, Any]) -> list[str]:
    return [line for line in said["text"].splitlines() if line and not line.startswith("#")]


def test_a_pod_with_eight_devices_stays_within_the_bound(said: dict[str, Any]) -> None:
    count = len(series_of(said))
    print(f"{count} series")
    assert 250 < count <= SERIES_BOUND - SERIES_MARGIN


def test_the_counted_registry_has_every_metric_of_the_trainer(said: dict[str, Any]) -> None:
    """Else the bound would be kept by saying less."""
    declared = {
        metric.name for metric in m.ALL if not metric.name.startswith("trainwright_operator")
    }
    found = {line.split("{")[0].split(" ")[0] for line in series_of(said)}
    for suffix in ("_sum", "_count", "_bucket"):
        found |= {name.removesuffix(suffix) for name in found}
    assert declared - found == set()


def test_every_rank_of_the_pod_has_a_heartbeat(said: dict[str, Any]) -> None:
    beats = [line for line in series_of(said) if line.startswith(m.HEARTBEAT_AGE.name)]
    assert len(beats) == RANKS
    assert all(float(line.rpartition(" ")[2]) < 30 for line in beats)


def test_every_rank_of_the_pod_has_its_own_memory(said: dict[str, Any]) -> None:
    found = {line for line in series_of(said) if line.startswith(m.MEMORY_BYTES.name)}
    assert found == {
        f'{m.MEMORY_BYTES.name}{{rank="{rank}",state="{state}"}} {1000.0 + rank}'
        for rank in range(RANKS)
        for state in m.MEMORY_STATES
    }


def test_a_heart_beats_from_the_first_step_on_and_until_the_export(tmp_path: Path) -> None:
    settings = replace(Settings(), scratch_folder=tmp_path, port=free_port())
    reporter = Reporter(build_run(), settings)
    for activity, beats in (("build", False), ("train", True), ("export", False)):
        reporter.set_activity(activity)
        assert (b"trainwright_heartbeat_age_seconds{" in reporter.render_metrics()) is beats


def test_a_rank_has_a_memory_only_while_it_trains(tmp_path: Path) -> None:
    settings = replace(Settings(), scratch_folder=tmp_path, port=free_port())
    reporter = Reporter(build_run(), settings)
    other = Heartbeats(tmp_path, 1)
    reporter.set_activity("train")
    assert b"trainwright_memory_bytes{" not in reporter.render_metrics()
    reporter.heartbeats.tell_memory({"allocated": 3})
    other.beat()
    other.tell_memory({"allocated": 5})
    assert b'trainwright_memory_bytes{rank="1",state="allocated"} 5.0' in reporter.render_metrics()
    other.rest()
    page = reporter.render_metrics()
    assert b'trainwright_memory_bytes{rank="0",state="allocated"} 3.0' in page
    assert b'rank="1"' not in page
    reporter.set_activity("export")
    assert b"trainwright_memory_bytes{" not in reporter.render_metrics()


def test_a_sample_that_fails_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reporter, calls = Reporter(build_run(), replace(Settings(), scratch_folder=tmp_path)), []

    def fail() -> None:
        calls.append(1)
        if len(calls) == 3:
            reporter.close()
        raise OSError("gone")

    monkeypatch.setattr(report, "SAMPLE_SECONDS", 0)
    monkeypatch.setattr(reporter, "_sample_once", fail)
    reporter._sample()
    assert len(calls) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "host and devices could not be sampled"
    ]


def test_a_gradient_that_is_not_finite_shows_as_such(tmp_path: Path) -> None:
    reporter = Reporter(build_run(), replace(Settings(), scratch_folder=tmp_path))
    for norm, shown in ((2.5, b"2.5"), (None, b"NaN")):
        reporter.finish_step(Progress(step=1, total_steps=9, gradient_norm=norm), 1000)
        assert b"\ntrainwright_gradient_norm " + shown in reporter.render_metrics()


def test_mfu_counts_no_logits_of_tokens_that_are_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Reporter(build_run(), replace(Settings(), scratch_folder=tmp_path))
    plan = {"zeroStage": 1, "microSequences": 1, "accumulationSteps": 1, "numDevices": 1}
    plan |= {"activationCheckpointing": "None", "parameters": 1, "trainableParameters": 1}
    plan |= {"memoryGiB": 1, "flopsPerToken": 10}
    reporter.set_plan(Plan.model_validate(plan), logit_flops=4)
    reporter.set_peak(10_000, "a test")
    seconds = iter(range(100))
    clock = SimpleNamespace(monotonic=lambda: next(seconds), time=lambda: 0.0)
    monkeypatch.setattr(report, "time", clock)
    shown = []
    for num_trained in (1000, 1000, 250):
        reporter.finish_step(Progress(step=1, total_steps=9), 1000, num_trained)
        shown.append((reporter.progress.tokens_per_second, reporter.progress.mfu))
    assert shown == [(None, None), (1000, 1.0), (1000, (10 + 10 - 4 * 0.75) / 20)]


def test_the_history_of_a_resumed_run_stays_even(tmp_path: Path) -> None:
    reporter = Reporter(build_run(), replace(Settings(), scratch_folder=tmp_path))
    before = [HistoryRow(step=step, time=step) for step in range(1, 8001)]
    reporter.set_start(8000, parse_rows(dump_rows(thin_rows(before))))
    for step in range(8001, 10_002):
        reporter.finish_step(Progress(step=step, total_steps=20_000), 1000)
    steps = [row.step for row in reporter.history]
    assert (steps[0], steps[-1]) == (1, 10_001)
    assert MAXIMUM_ROWS / 2 < len(steps) <= MAXIMUM_ROWS
    assert max(after - one for one, after in pairwise(steps)) == 8


def test_the_status_tells_of_all_pods_devices(said: dict[str, Any]) -> None:
    hardware = json.loads(said["status"])["hardware"]
    wanted = {"accelerators": 16, "powerWatts": 5000, "utilizationPercent": 75}
    wanted |= {"worstRank": 12, "worstUtilizationPercent": 5}
    assert {key: hardware[key] for key in wanted} == wanted


def test_only_messages_of_this_run_are_taken(said: dict[str, Any]) -> None:
    good, unknown_pod, broken, other_form, other_attempt = said["answers"]
    assert good == 204
    assert {unknown_pod, broken, other_form, other_attempt} == {400}


def test_the_status_tells_where_the_time_of_a_step_goes(said: dict[str, Any]) -> None:
    assert json.loads(said["status"])["stepSeconds"] == dict.fromkeys(m.STEP_PARTS, 0.1)
