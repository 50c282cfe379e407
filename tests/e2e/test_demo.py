"""`make demo CLUSTER=current` with the embedded cluster standing in: both examples, a worker killed.

The budget is cut to a few steps; everything else is the demo as a user sees it.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from trainwright_cli.local.ports import find_free_ports

from demo.manifests import FINE_TUNING, PRETRAINING
from demo.place import JSON, Place
from tests.e2e.world import World, wait_for
from tests.monitoring.server import Prometheus
from tests.tensorboard_page import read_loss_steps
from tools.machine import PROJECT

STEPS = 12

pytestmark = pytest.mark.timeout(900)


def run_demo(world: World, namespace: str, **more: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        **world.cluster.environment(),
        "S3_ENDPOINT": world.cluster.inner_s3_endpoint,
        "CLUSTER": "current",
        "REGISTRY": world.images.registry,
        "OPERATOR_IMAGE": world.images.operator,
        "TRAINER_IMAGE": world.images.trainer,
        "NAMESPACE": namespace,
        "DEMO_STEPS": str(STEPS),
        **more,
    }
    return subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def story(world: World, prometheus: Prometheus) -> tuple[Place, str]:
    """The namespace in which the demo has run, and what it printed."""
    place = world.make_namespace("test_demo")
    done = run_demo(world, place.namespace, YES="1", PROMETHEUS_URL=prometheus.url)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return place, done.stdout


def status_of(place: Place, kind: str, name: str) -> JSON:
    status: JSON = place.get_run(kind, name)["status"]
    return status


def test_demo_asks_before_it_touches_the_current_cluster(world: World) -> None:
    done = run_demo(world, "untouched")
    assert done.returncode == 1
    assert "admin@" in done.stdout or "context" in done.stdout
    assert "YES=1" in done.stdout


def test_both_examples_succeed(story: tuple[Place, str]) -> None:
    place, _ = story
    for kind, name in (("TrainingRun", PRETRAINING), ("FineTuneJob", FINE_TUNING)):
        status = status_of(place, kind, name)
        assert status["phase"] == "Succeeded"
        assert status["progress"]["step"] == STEPS
        assert status["progress"]["loss"] < status["progress"]["firstLoss"]


def test_killed_worker_costs_only_the_steps_since_the_checkpoint(story: tuple[Place, str]) -> None:
    place, _ = story
    first, second = status_of(place, "TrainingRun", PRETRAINING)["attempts"]
    assert first["outcome"] == "Failed"
    assert second["outcome"] == "Succeeded"
    assert second["resumedFromStep"] % (STEPS // 3) == 0
    assert second["resumedFromStep"] > 0
    assert first["stepsLost"] < STEPS // 3 * 2


def test_every_model_answers_its_prompts_before_and_after(story: tuple[Place, str]) -> None:
    place, _ = story
    for kind, name in (("TrainingRun", PRETRAINING), ("FineTuneJob", FINE_TUNING)):
        samples = status_of(place, kind, name)["model"]["samples"]
        assert len(samples) == 2
        assert all(sample["before"] and sample["after"] for sample in samples)
        assert any(sample["before"] != sample["after"] for sample in samples)


def test_tensorboard_shows_every_step_once_whatever_was_killed(story: tuple[Place, str]) -> None:
    place, _ = story
    (port,) = find_free_ports(1)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "trainwright_cli", "logs", f"trainingrun/{PRETRAINING}"),
            *("--namespace", place.namespace, "--tensorboard", "--port", str(port)),
            *("--endpoint", place.store.endpoint),
        ],
        env={
            **os.environ,
            **place.environment,
            "AWS_ACCESS_KEY_ID": place.store.access_key,
            "AWS_SECRET_ACCESS_KEY": place.store.secret_key,
        },
    )
    try:
        every_step = list(range(1, STEPS + 1))
        wait_for("every step", lambda: read_loss_steps(port, PRETRAINING) == every_step, 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()


def test_the_end_tells_what_to_type_next(story: tuple[Place, str]) -> None:
    _, output = story
    for expected in (
        "PHASE",
        "Succeeded",
        "loss ",
        "checkpoint s3://",
        "before",
        "after",
        "kubectl",
    ):
        assert expected in output


def test_the_end_tells_of_the_dashboards_and_what_they_show(story: tuple[Place, str]) -> None:
    place, output = story
    end = output.partition("\nDashboards\n")[2]
    files, _, rest = end.partition("\n")
    folder, _, names = files.strip().partition("/{")
    for name in names.removesuffix("}.json").split(","):
        assert json.loads((Path(folder) / f"{name}.json").read_text())["panels"]
    assert "Import" in rest
    assert "Prometheus: http://127.0.0.1:" in rest
    for kind, name in (("TrainingRun", PRETRAINING), ("FineTuneJob", FINE_TUNING)):
        (line,) = [x for x in rest.splitlines() if x.strip().startswith(f"{name}: ")]
        figures = dict(re.findall(r"([A-Za-z][A-Za-z/ ]*?) ([0-9.]+)", line.partition(": ")[2]))
        loss = status_of(place, kind, name)["progress"]["loss"]
        assert float(figures["last loss"]) == pytest.approx(loss, rel=0.2)
        assert float(figures["peak tokens/s"]) > 0
