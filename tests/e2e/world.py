"""What the end-to-end tests do to the cluster: namespaces, waiting, killing."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from trainwright_api import names

from demo.install import SYSTEM_NAMESPACE, Images
from demo.place import JSON, Place
from tests.cluster import Cluster
from tests.cluster.processes import run_tool
from tests.e2e.reader import read_pods, read_run

DEPLOYMENT = "deployment/trainwright"
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class World:
    """The cluster, with the chart installed from these images."""

    cluster: Cluster
    place: Place
    images: Images

    def make_namespace(self, test_name: str) -> Place:
        """A new namespace named after a test."""
        plain = re.sub(r"[^a-z0-9]+", "-", test_name.lower()).strip("-")[:50].strip("-")
        namespace = plain.removeprefix("test-")
        self.place.kubectl("create", "namespace", namespace)
        return replace(self.place, namespace=namespace)

    def kill_container(self, pod: JSON, container: str) -> None:
        """SIGKILL a container's first process, from its node."""
        statuses = pod["status"]["containerStatuses"]
        (full_id,) = [s["containerID"] for s in statuses if s["name"] == container]
        node = self.cluster.node(pod["spec"]["nodeName"])
        enter = ["nsenter", f"--target={node.init_pid}", "--mount", "--pid", "--net", "--"]
        container_id = full_id.rpartition("/")[2]
        kill = ["ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container_id]
        run_tool([*enter, *kill])

    def operator_pods(self) -> list[JSON]:
        """The operator's pods."""
        selector = "app.kubernetes.io/component=operator"
        found = self.place.kubectl(
            "get", "pods", "-n", SYSTEM_NAMESPACE, "-l", selector, "-o", "json"
        )
        pods: list[JSON] = json.loads(found)["items"]
        return pods

    def kill_operator(self) -> None:
        """SIGKILL the operator's process; its kubelet starts it again."""
        (pod,) = self.operator_pods()
        (container,) = pod["spec"]["containers"]
        self.kill_container(pod, container["name"])

    def scale_operator(self, replicas: int) -> None:
        """Take the operator away, or bring it back, and wait until that is so."""
        self.place.kubectl("scale", DEPLOYMENT, "-n", SYSTEM_NAMESPACE, f"--replicas={replicas}")
        wait_for(f"{replicas} operators", lambda: len(self.operator_pods()) == replicas, 60)
        if replicas:
            self.place.kubectl(
                "rollout", "status", DEPLOYMENT, "-n", SYSTEM_NAMESPACE, "--timeout=60s"
            )

    def operator_log(self) -> str:
        """What the operator has logged since it started."""
        return self.place.kubectl("logs", "-n", SYSTEM_NAMESPACE, DEPLOYMENT)


def wait_for(what: str, condition: Callable[[], Any], seconds: float, said: Any = None) -> Any:
    """The condition's first true value; fails the test at the deadline with what `said` returns."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            last = said() if callable(said) else value
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {last}")
        time.sleep(POLL_SECONDS)


def wait_for_status(
    place: Place, run: JSON, what: str, condition: Callable[[JSON], Any], seconds: float
) -> JSON:
    """A run's status once the condition holds for it."""
    kind, name = run["kind"], run["metadata"]["name"]
    seen: JSON = {}

    def check() -> bool:
        seen.clear()
        seen.update(read_run(place, kind, name).get("status", {}))
        return bool(condition(seen))

    wait_for(f"{kind}/{name}: {what}", check, seconds, lambda: describe_status(seen))
    return seen


def wait_for_phase(place: Place, run: JSON, phase: names.Phase, seconds: float) -> JSON:
    """A run's status once it is in a phase; fails early if the run ended in another."""
    ends = {names.Phase.SUCCEEDED, names.Phase.FAILED}
    status = wait_for_status(place, run, phase, lambda s: s.get("phase") in ends | {phase}, seconds)
    assert status["phase"] == phase, describe_status(status)
    return status


def describe_status(status: JSON) -> str:
    """The part of a status that tells why."""
    wanted = ("phase", "reason", "message", "attempts", "progress", "conditions")
    return json.dumps({key: status.get(key) for key in wanted}, indent=1)


def pods_of(place: Place, run: JSON) -> list[JSON]:
    """A run's pods, by name."""
    pods = read_pods(place, run["metadata"]["name"])
    return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
