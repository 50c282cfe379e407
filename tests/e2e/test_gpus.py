"""Two pods that hold GPUs: figures, the worst rank and faults of devices, everywhere they are shown.

The GPUs are pretended - the nodes advertise them, a management library in C answers for them - and the
trainer computes on CPUs meanwhile; all between the library and the screen is what real GPUs have.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from trainwright_api import metrics as m
from trainwright_api.names import TRAINER_CONTAINER, Phase

from demo.place import JSON, Place
from tests.cluster.gpus import GPU_RESOURCE
from tests.e2e.builders import training_run
from tests.e2e.world import World, wait_for, wait_for_phase, wait_for_status
from tests.fake_nvml import build_fake_nvml
from tests.monitoring import pretended_dcgm
from tests.monitoring.panels import PanelQuery, describe_odd_values, fill_in, find_queries
from tests.monitoring.server import Prometheus
from tests.terminals.window import open_window

pytestmark = pytest.mark.timeout(400)

MOUNT = "/opt/fake-nvml"
MASTER, WORKER = "gpus-1-master-0", "gpus-1-worker-0"
SECONDS = 90


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """The folder with the library and the state of each pod's device; the worker's lags behind."""
    folder = build_fake_nvml(tmp_path / "nvml").parent
    (folder / MASTER).write_text("count 1\nutil 0 92\npower 0 650000\n")
    (folder / WORKER).write_text("count 1\nutil 0 31\npower 0 350000\nmemory_used 0 75161927680\n")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)  # the pods' user is another
    return folder


def run_with_gpus(folder: Path) -> JSON:
    """A run on CPUs whose pods also hold a GPU each, as a device plugin would have given it."""
    one = {GPU_RESOURCE: "1"}
    container = {
        "name": TRAINER_CONTAINER,
        "resources": {"requests": {"cpu": "50m", **one}, "limits": one},
        "volumeMounts": [{"name": "nvml", "mountPath": MOUNT, "readOnly": True}],
    }
    volume = {"name": "nvml", "hostPath": {"path": str(folder), "type": "Directory"}}
    environment = {
        "NVIDIA_VISIBLE_DEVICES": "GPU-fake-0000",
        "LD_LIBRARY_PATH": MOUNT,
        "FAKE_NVML_STATE": f"{MOUNT}/$(TRAINWRIGHT_POD_NAME)",
    }
    workers = {
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "podOverrides": {"spec": {"containers": [container], "volumes": [volume]}},
    }
    return training_run(
        "gpus",
        steps=100000,
        workers=workers,
        checkpoints={"everySteps": 500},
        utilization={"minimumPercent": 90, "minutes": 0.1},
    )


def test_devices_of_two_pods_are_seen_and_their_faults_raise_alerts(
    world: World, place: Place, prometheus: Prometheus, devices: Path
) -> None:
    run = run_with_gpus(devices)
    image = f"{world.images.registry}/{world.images.trainer}"
    shares = {MASTER: 0.8, WORKER: 0.3}
    place.apply(run, pretended_dcgm.build_pod(place.namespace, shares, image))
    wait_for_phase(place, run, Phase.RUNNING, SECONDS)
    status = wait_for_status(
        place,
        run,
        "both devices",
        lambda s: (s.get("hardware") or {}).get("worstRank") == 1,
        SECONDS,
    )
    hardware = {key: value for key, value in status["hardware"].items() if key != "summary"}
    assert hardware == {
        "device": "Fake GPU 80GB",
        "accelerators": 2,
        "utilizationPercent": 61.5,
        "memoryUsedGiB": 70,
        "memoryTotalGiB": 80,
        "powerWatts": 1000,
        "temperatureCelsius": 60,
        "worstRank": 1,
        "worstUtilizationPercent": 31,
    }
    summary = "2x Fake GPU 80GB 62% 70.0/80GiB 1000W worst rank 1 31%"
    assert status["hardware"]["summary"] == summary
    assert summary in place.kubectl("get", "tr", "-n", place.namespace, "-o", "wide")
    check_terminal(world, place, summary)

    with (devices / WORKER).open("a") as state:
        state.write("throttle 0 64\nxid 0 79\n")
        state.write("ecc_corrected 0 5\nnvlink_errors 0 5\npcie_replays 0 5\n")
    check_alerts(place, prometheus)
    check_panels(place, prometheus)
    place.kubectl("delete", "trainingrun", "gpus", "-n", place.namespace, "--wait=false")


def check_terminal(world: World, place: Place, summary: str) -> None:
    """`status` and the plain lines of `watch` have the summary, the screen of `watch` each device, too."""
    command = [sys.executable, "-m", "trainwright_cli"]
    environment = os.environ | world.cluster.environment() | {"COLUMNS": "200"}
    where = ["gpus", "-n", place.namespace]
    page = subprocess.run(
        [*command, "status", *where], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert summary in page
    watch = subprocess.Popen(
        [*command, "watch", *where], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert watch.stdout is not None
    try:
        assert summary in watch.stdout.readline()
    finally:
        watch.kill()
        watch.wait()
    cluster = world.cluster.environment()
    with open_window([*command, "watch", *where], 160, 50, **cluster) as window:
        window.wait_for(summary, "rank 0", "92%", "650 W", "rank 1", "31%", "350 W", "/80.0 GiB")


def check_alerts(place: Place, prometheus: Prometheus) -> None:
    """The fault and the throttling fire with the device that is to blame."""

    def firing() -> dict[str, dict[str, str]]:
        chosen = f'alertstate="firing",{{}}="{place.namespace}"'
        alerts = [
            alert
            for label in ("namespace", "run_namespace")
            for alert in prometheus.query(f"ALERTS{{{chosen.format(label)}}}")
        ]
        return {alert.labels["alertname"]: alert.labels for alert in alerts}

    wanted = {"TrainwrightGPUXid", "TrainwrightGPUThrottled"}
    underused = "TrainwrightUnderutilized"
    wait_for("the alerts", lambda: wanted | {underused} <= firing().keys(), SECONDS, firing)
    told = firing()
    assert told[underused]["run"] == "gpus"
    assert told["TrainwrightGPUXid"]["xid"] == "79"
    assert told["TrainwrightGPUThrottled"]["reason"] == "hw_thermal_slowdown"
    (pod,) = (pod for pod in place.get("pods")["items"] if pod["metadata"]["name"] == WORKER)
    for name in wanted:
        assert told[name]["node"] == pod["spec"]["nodeName"]
        assert (told[name]["gpu"], told[name]["uuid"]) == ("0", "GPU-fake-0000")


def is_for_gpus(query: PanelQuery) -> bool:
    """Whether it shows devices or their use; one that only leaves out pods with devices does not."""
    wanted = query.expression.partition("unless")[0]
    names = ("trainwright_gpu_", "DCGM_", m.UNDERUTILIZED.name)
    return any(name in wanted for name in names)


def check_panels(place: Place, prometheus: Prometheus) -> None:
    """Every query about GPUs has data."""
    variables = {
        "namespace": place.namespace,
        "run": "gpus",
        "__rate_interval": "30s",
        "__range": "5m",
    }
    queries = [query for query in find_queries() if is_for_gpus(query)]
    assert len(queries) > 10

    def empty() -> list[str]:
        return [
            str(query)
            for query in queries
            if not prometheus.query(fill_in(query.expression, variables))
        ]

    wait_for("every GPU panel has data", lambda: not empty(), SECONDS, empty)
    profiled = [query for query in queries if "DCGM_" in query.expression]
    assert len(profiled) == len(pretended_dcgm.METRICS)
    for query in queries:
        samples = prometheus.query(fill_in(query.expression, variables))
        assert describe_odd_values(query, samples) == []
        if query in profiled:
            busy = {
                (sample.labels["run"], sample.labels["pod"]): sample.value for sample in samples
            }
            assert busy == {("gpus", MASTER): 0.8, ("gpus", WORKER): 0.3}, query
