"""The start of a cluster, in the order that makes the whole ready soonest.

Nodes boot while the API server starts; kubelets and controllers start as
soon as it answers; the training-operator is applied while the nodes become Ready.
"""

from __future__ import annotations

import shutil
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.cluster import kubeflow
from tests.cluster.api import ApiClient
from tests.cluster.cache import Report
from tests.cluster.cgroups import create_cgroups
from tests.cluster.control_plane import start_api_server, start_controllers, write_credentials
from tests.cluster.errors import BuildError
from tests.cluster.forwarder import request_forward
from tests.cluster.images import ensure_images
from tests.cluster.netns import create_netns, inside
from tests.cluster.node import Node, on_all
from tests.cluster.node_disk import ensure_disk
from tests.cluster.processes import Process, start_process, wait_until
from tests.cluster.s3 import apply_s3_service, start_s3
from tests.cluster.spec import API_PORT, GATEWAY, S3_PORT, ClusterSpec, Layout
from tests.cluster.state import State

REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 120


class Timeline:
    """Notes and reports when each step was done."""

    def __init__(self, state: State, report: Report) -> None:
        self._state = state
        self._report = report
        self._started = time.monotonic()

    def done(self, step: str) -> None:
        """Say that a step is done."""
        seconds = round(time.monotonic() - self._started, 2)
        self._state.timings[step] = seconds
        self._report(f"{seconds:6.1f} s  {step}")


def start_cluster(state: State, report: Report) -> State:
    """Start everything and return the saved state; on an error, what has started is still there."""
    spec, layout = state.spec, Layout(state.spec.name)
    timeline = Timeline(state, report)
    _prepare(layout, state)
    timeline.done("network and credentials")
    state.processes |= start_api_server(layout)
    client = ApiClient("127.0.0.1", state.api_port, layout.certificates)
    nodes = [Node(layout, name, state.processes) for name in spec.node_names()]
    with ThreadPoolExecutor(1) as pool:
        booted = pool.submit(_boot_nodes, nodes, spec, report)
        _wait(state, "the API server is ready", client.is_ready)
        timeline.done("API server ready")
        state.processes |= start_controllers(layout, spec)
        if spec.control_plane_only:
            _finish_control_plane(layout, state, client)
        else:
            _finish_nodes(layout, state, client, nodes, booted, timeline)
    state.ready = True
    timeline.done("cluster ready")
    state.save()
    return state


def is_node_ready(node: dict[str, Any]) -> bool:
    """Whether a node's condition Ready is true and pods may be scheduled on it."""
    conditions = node.get("status", {}).get("conditions", ())
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return is_ready and not node["spec"].get("taints")


def find_kubectl() -> str:
    """kubectl: the one that came with this environment, else any on PATH."""
    beside_python = Path(sys.executable).parent / "kubectl"
    found = str(beside_python) if beside_python.exists() else shutil.which("kubectl")
    if not found:
        raise BuildError("kubectl: not found; install requirements/dev.lock into this environment")
    return found


def _prepare(layout: Layout, state: State) -> None:
    """Folders, network, cgroups, forwarder and credentials: what all others need."""
    names = state.spec.node_names()
    layout.root.mkdir(mode=0o700)
    layout.logs.mkdir()
    state.save()
    create_netns(layout, names)
    create_cgroups(layout, names)
    state.processes["forwarder"] = _start_helper(
        layout, "forwarder", [], [str(layout.forwarder_socket), str(layout.netns_path)]
    )
    _wait(state, "the forwarder listens", layout.forwarder_socket.exists)
    state.api_port = request_forward(layout.forwarder_socket, GATEWAY, API_PORT)
    if state.spec.s3:
        state.s3_port = request_forward(layout.forwarder_socket, GATEWAY, S3_PORT)
        state.processes["s3"] = start_s3(layout, state)
    write_credentials(layout, names, state.api_port)


def _boot_nodes(nodes: list[Node], spec: ClusterSpec, report: Report) -> None:
    if not nodes:
        return
    disk = ensure_disk([*ensure_images(), *map(Path, spec.images)], report)

    def boot(node: Node) -> None:
        node.write_files(disk, spec.mounts)
        node.boot()

    on_all(nodes, boot)


def _finish_control_plane(layout: Layout, state: State, client: ApiClient) -> None:
    """Without nodes, the definition of a PyTorchJob is all there is of the training-operator."""
    definition = kubeflow.pytorch_job_definition()
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kubeflow.PYTORCH_JOB_CRD}"
    client.apply(path, definition)
    service_account = "/api/v1/namespaces/default/serviceaccounts/default"
    _wait(state, "the controllers work", lambda: client.find(service_account))
    _wait(state, "PyTorchJobs are served", lambda: client.find("/apis/kubeflow.org/v1"))


def _finish_nodes(
    layout: Layout,
    state: State,
    client: ApiClient,
    nodes: list[Node],
    booted: Future[None],
    timeline: Timeline,
) -> None:
    arguments = [str(layout.certificates), str(state.spec.gpus_per_node)]
    state.processes["attendant"] = _start_helper(layout, "attendant", inside(layout), arguments)
    kubeflow.apply_prerequisites(client)
    if state.spec.s3:
        apply_s3_service(client)
    kubeflow.apply_manifests(layout, "crds.yaml")
    timeline.done("training-operator's definitions applied")
    booted.result()
    timeline.done("nodes booted")
    on_all(nodes, lambda node: node.start_kubelet())
    kubeflow.apply_manifests(layout, "operator.yaml")
    for node in nodes:
        path = f"/api/v1/nodes/{node.name}"
        _wait(state, f"{node.name} is Ready", lambda path=path: _is_ready(client, path))
    timeline.done("nodes Ready")
    _wait(state, "training-operator is available", lambda: kubeflow.is_available(client))
    timeline.done("training-operator available")


def _is_ready(client: ApiClient, path: str) -> bool:
    node = client.find(path)
    return node is not None and is_node_ready(node)


def _start_helper(layout: Layout, name: str, prefix: list[str], arguments: list[str]) -> Process:
    """Start one of this package's own long-lived processes; -S: they need no installed package."""
    command = [*prefix, sys.executable, "-S", "-m", f"tests.cluster.{name}", *arguments]
    environment = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    return start_process(name, command, layout.logs / f"{name}.log", layout.mark, environment)


def _wait(state: State, what: str, condition: Any) -> Any:
    return wait_until(what, condition, DEADLINE_SECONDS, state.processes.values())
