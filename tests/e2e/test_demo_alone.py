"""`make demo` as most people see it: on an embedded cluster of its own, here beside the tests' one.

It pretrains for a few steps and nobody is killed; `test_demo.py` has the rest of the story.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from demo.manifests import PRETRAINING
from tests.cluster import down
from tests.cluster.status import fetch_status
from tests.e2e.world import World
from tests.embedded_cluster.traces import take_traces
from tools.machine import PROJECT

NAME = "own-demo"
SETTINGS = {
    "DEMO_CLUSTER": NAME,
    "DEMO_STEPS": "3",
    "DEMO_KILL": "0",
    "CLUSTER": "",
    "DEMO_FINE_TUNE": "0",
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def no_leftover() -> Iterator[None]:
    down(NAME)
    yield
    down(NAME)


def run_demo(*arguments: str) -> str:
    """What the demo prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=PROJECT,
        env=os.environ | SETTINGS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_demo_trains_on_its_own_cluster_and_leaves_nothing(world: World) -> None:
    before, pods_before = take_traces(NAME), read_restarts(world)
    output = run_demo()
    check_the_end(output)
    assert [fetch_status(name)["faults"] for name in (NAME, world.cluster.name)] == [[], []]
    assert all(node["ready"] for node in fetch_status(world.cluster.name)["nodes"])
    assert read_restarts(world) == pods_before
    assert "the demo's cluster is gone" in run_demo("down")
    assert take_traces(NAME) - before == set()
    assert world.cluster.find_faults() == []


def check_the_end(output: str) -> None:
    assert re.search(rf"^\S*{PRETRAINING} +Succeeded ", output, re.MULTILINE)
    rest = output.partition("\nDashboards\n")[2]
    (line,) = [x for x in rest.splitlines() if x.strip().startswith(f"{PRETRAINING}: ")]
    assert re.search(r"last loss [0-9.]+", line)
    assert re.search(r"peak tokens/s [1-9]", line)
    (cost,) = re.findall(r"cost of all: \$([0-9.]+) ", rest)
    assert 0 < float(cost) < 1
    assert output.rstrip().splitlines()[-1].strip() == f"make demo-down DEMO_CLUSTER={NAME}"
    assert f"/clusters/{NAME}/kubeconfig" in rest


def read_restarts(world: World) -> dict[str, int]:
    """How often each pod of the system has started anew."""
    pods = world.cluster.client.get("/api/v1/namespaces/trainwright-system/pods")["items"]
    return {
        pod["metadata"]["name"]: sum(c["restartCount"] for c in pod["status"]["containerStatuses"])
        for pod in pods
    }
