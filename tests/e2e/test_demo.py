"""`make demo CLUSTER=current` with the embedded cluster standing in: both examples, a worker killed.

Pretraining's budget is cut to a few steps; everything else is the demo as a user sees it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from kubernetes.client.exceptions import ApiException
from trainwright_api.names import LABEL_ATTEMPT, LABEL_REPLICA_TYPE

from demo.errors import DemoError
from demo.manifests import FINE_TUNING, PRETRAINING
from demo.place import JSON, Place
from tests.e2e.planned_memory import planned_to_measured
from tests.e2e.reader import read_log, read_pods
from tests.e2e.world import World, wait_for
from tests.monitoring.server import Prometheus
from tests.ports import free_port
from tests.tensorboard_page import read_loss_steps
from tools.machine import PROJECT

STEPS = 12  # of pretraining
STEPS_OF_FINE_TUNING = 6  # by the example's own budget of tokens
STARTUP_BAR_SECONDS = 20  # until the first optimizer step: two ranks on two cores

pytestmark = pytest.mark.timeout(900)


class Story(NamedTuple):
    """The namespace in which the demo has run, what it printed, and what pretraining's masters logged."""

    place: Place
    output: str
    startups: dict[int, str]  # by attempt, the line that tells how long its start took


def demo_environment(world: World, namespace: str, **more: str) -> dict[str, str]:
    return {
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


@pytest.fixture(scope="module")
def story(world: World, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Story:
    place = world.make_namespace("test_demo")
    printed = tmp_path_factory.mktemp("demo") / "printed.txt"
    startups: dict[int, str] = {}
    with printed.open("w") as output:
        demo = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=PROJECT,
            env=demo_environment(world, place.namespace, YES="1", PROMETHEUS_URL=prometheus.url),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while demo.poll() is None:  # a failed attempt's pods, and their logs, go with its restart
            startups |= find_startups(place)
            time.sleep(1)
    finally:
        demo.kill()
    print(printed.read_text(), *startups.values(), sep="\n")
    assert demo.returncode == 0, printed.read_text()
    return Story(place, printed.read_text(), startups)


def find_startups(place: Place) -> dict[int, str]:
    """Of each attempt of pretraining that has a master, the line that tells how long its start took."""
    found = {}
    for pod in read_pods(place, PRETRAINING, **{LABEL_REPLICA_TYPE: "master"}):
        with suppress(ApiException):  # its container does not run yet, or it is gone meanwhile
            log = read_log(place, pod["metadata"]["name"])
            attempt = int(pod["metadata"]["labels"][LABEL_ATTEMPT])
            if match := re.search(r".*started up in.*", log):
                found[attempt] = match.group()
    return found


def status_of(place: Place, kind: str, name: str) -> JSON:
    status: JSON = place.get_run(kind, name)["status"]
    return status


def test_demo_asks_before_it_touches_the_current_cluster(world: World) -> None:
    before = find_installed(world)
    assert any("Secret trainwright-system/" in name for name, *_ in before)
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=PROJECT,
        env=demo_environment(world, "untouched"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    context = json.loads(world.cluster.kubeconfig.read_text())["current-context"]
    assert f"kubectl's context {context!r}" in done.stdout
    assert "upgrade Helm release trainwright-system/trainwright (revision " in done.stdout
    assert "YES=1" in done.stdout
    assert find_installed(world) == before
    with pytest.raises(DemoError, match="not found"):
        world.place.kubectl("get", "namespace", "untouched")


def find_installed(world: World) -> set[tuple[str, str, str]]:
    """Every Helm release and Deployment of the cluster, with what changes whenever it is changed."""
    found = set()
    for what, mark in (
        (("secrets", "--selector=owner=helm"), "resourceVersion"),
        (("deployments",), "generation"),
    ):
        listed = world.place.kubectl("get", *what, "--all-namespaces", "-o", "json")
        for item in json.loads(listed)["items"]:
            metadata = item["metadata"]
            name = f"{item['kind']} {metadata['namespace']}/{metadata['name']}"
            found.add((name, metadata["uid"], str(metadata[mark])))
    return found


def test_both_examples_succeed(story: Story) -> None:
    place = story.place
    for kind, name, steps in (
        ("TrainingRun", PRETRAINING, STEPS),
        ("FineTuneJob", FINE_TUNING, STEPS_OF_FINE_TUNING),
    ):
        status = status_of(place, kind, name)
        assert status["phase"] == "Succeeded"
        assert status["progress"]["step"] == steps
        assert status["progress"]["loss"] < status["progress"]["firstLoss"]


def test_fine_tuning_takes_about_the_memory_that_is_planned(story: Story) -> None:
    status = status_of(story.place, "FineTuneJob", FINE_TUNING)
    ratio = planned_to_measured(status)
    assert 0.5 < ratio < 2, f"{status['plan']}, {status['hardware']}"


def test_killed_worker_costs_only_the_steps_since_the_checkpoint(story: Story) -> None:
    place = story.place
    first, second = status_of(place, "TrainingRun", PRETRAINING)["attempts"]
    assert first["outcome"] == "Failed"
    assert second["outcome"] == "Succeeded"
    assert second["resumedFromStep"] % (STEPS // 3) == 0
    assert second["resumedFromStep"] > 0
    assert first["stepsLost"] < STEPS // 3 * 2


def test_first_optimizer_step_comes_within_the_bar(story: Story) -> None:
    assert story.startups.keys() == {1, 2}
    line = story.startups[1]  # the second one has a checkpoint to fetch on top
    (seconds,) = re.findall(r"started up in ([0-9.]+) s", line)
    assert float(seconds) <= STARTUP_BAR_SECONDS, line


def test_every_model_answers_its_prompts_before_and_after(story: Story) -> None:
    place = story.place
    for kind, name in (("TrainingRun", PRETRAINING), ("FineTuneJob", FINE_TUNING)):
        samples = status_of(place, kind, name)["model"]["samples"]
        assert len(samples) == 2
        assert all(sample["before"] and sample["after"] for sample in samples)
        assert any(sample["before"] != sample["after"] for sample in samples)


def test_tensorboard_shows_every_step_once_whatever_was_killed(story: Story) -> None:
    place = story.place
    port = free_port()
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


def test_the_end_tells_what_to_type_next(story: Story) -> None:
    output = story.output
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


def test_the_end_tells_of_the_dashboards_and_what_they_show(story: Story) -> None:
    place, output = story.place, story.output
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
