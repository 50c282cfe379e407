"""The embedded cluster as a whole: start, use, take down.

The command line (`__main__`) and the tests' fixtures use `Cluster`; each part is started by its own
module, in the order that makes the whole ready soonest.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.cluster import start
from tests.cluster.api import ApiClient
from tests.cluster.cache import Report
from tests.cluster.errors import ClusterError, ClusterExistsError
from tests.cluster.forwarder import request_forward
from tests.cluster.machine import check_machine, ensure_parts
from tests.cluster.netns import inside
from tests.cluster.node import Node, on_all
from tests.cluster.processes import read_start_time, wait_until
from tests.cluster.s3 import INNER_ENDPOINT, build_s3_environment
from tests.cluster.spec import ClusterSpec, Layout
from tests.cluster.state import State, cluster_lock, load_state
from tests.cluster.teardown import remove_cluster

NODE_READY_SECONDS = 60


def start_command(name: str) -> str:
    """What a person types to start this cluster."""
    return f".venv/bin/python -m tests.cluster up --name {name}"


@dataclass
class Cluster:
    """A running cluster. `is_reused` tells whether `up` found it running already."""

    state: State
    is_reused: bool = False

    @classmethod
    def up(cls, spec: ClusterSpec, report: Report = print) -> Cluster:
        """Start the cluster, or return the one of this name if it runs well and is the same.

        A running one gets the images that it lacks.
        Raises ClusterExistsError if it differs, ComponentDiedError or NotReadyError if the start
        fails; then nothing of it is left, except that the error tells the end of the log.
        """
        _prepare(spec, report)
        with cluster_lock(spec.name):
            found = load_state(spec.name)
            if found and found.ready and cls(found).find_faults() == []:
                if found.spec != replace(spec, images=found.spec.images):
                    raise ClusterExistsError(describe_difference(found.spec, spec))
                cluster = cls(found, is_reused=True)
                cluster._add_images(spec.images)
                return cluster
            return cls._start_anew(State(spec), report)

    @classmethod
    def _start_anew(cls, state: State, report: Report) -> Cluster:
        """Start it in the place of whatever is there under its name; the caller holds the lock."""
        name = state.spec.name
        remove_cluster(name)
        try:
            return cls(start.start_cluster(state, report))
        except BaseException:
            remove_cluster(name)
            raise

    @classmethod
    def attach(cls, name: str) -> Cluster:
        """The running cluster of this name; raises ClusterError if there is none."""
        state = load_state(name)
        if state is None or not state.ready:
            raise ClusterError(f"no cluster {name!r} runs; start it: {start_command(name)}")
        return cls(state)

    @classmethod
    @contextmanager
    def running(cls, spec: ClusterSpec, report: Report = print) -> Iterator[Cluster]:
        """A cluster of one's own for the length of a with block, always a new one.

        What an earlier process left under this name is removed. Raises ClusterExistsError if a
        process that still runs has such a cluster.
        """
        _prepare(spec, report)
        owner = (os.getpid(), read_start_time(os.getpid()))
        # One lock from the question to the answer: of two that come at once, the second must see the
        # first, not take its cluster down.
        with cluster_lock(spec.name):
            found = load_state(spec.name)
            if found and found.has_living_owner():
                raise ClusterExistsError(
                    f"cluster {spec.name!r} belongs to process {found.owner and found.owner[0]}, "
                    "which still runs; wait for it or use another name"
                )
            cluster = cls._start_anew(State(spec, owner=owner), report)
        try:
            yield cluster
        finally:
            with cluster_lock(spec.name):
                found = load_state(spec.name)
                # Somebody may have taken it down and begun another under its name.
                if found is None or found.owner == owner:
                    remove_cluster(spec.name)

    def down(self) -> None:
        """End the cluster and leave nothing of it."""
        down(self.name)

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.state.spec.name

    @property
    def layout(self) -> Layout:
        """Its folders and names."""
        return Layout(self.name)

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig that works on the machine."""
        return self.layout.kubeconfig

    @property
    def client(self) -> ApiClient:
        """A minimal client of the API server."""
        return ApiClient("127.0.0.1", self.state.api_port, self.layout.certificates)

    @property
    def inner_s3_endpoint(self) -> str:
        """The URL of the S3 server for pods."""
        return INNER_ENDPOINT

    def environment(self) -> dict[str, str]:
        """What a shell needs to use the cluster: KUBECONFIG and S3's address and credentials."""
        s3 = build_s3_environment(self.state) if self.state.spec.s3 else {}
        return {**self.kubectl_environment(), **s3}

    def kubectl_environment(self) -> dict[str, str]:
        """What kubectl and Helm need; what they cache goes with the cluster."""
        cache = str(self.layout.kubectl_cache)
        return {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": cache}

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output; raises CalledProcessError with both outputs in it."""
        done = subprocess.run(
            [start.find_kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments],
            env={**os.environ, **self.kubectl_environment()},
            input=stdin,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise KubectlError(arguments, done.returncode, done.stderr or done.stdout)
        return done.stdout

    def forward(self, host: str, port: int) -> int:
        """A port of 127.0.0.1 that leads to this address inside the cluster."""
        return request_forward(self.layout.forwarder_socket, host, port)

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in the cluster's network."""
        return [*inside(self.layout), *command]

    def _add_images(self, archives: Sequence[str]) -> None:
        spec = self.state.spec
        missing = tuple(archive for archive in archives if archive not in spec.images)
        for archive in missing:
            self.load_image(Path(archive))
        if missing:
            self.state.spec = replace(spec, images=spec.images + missing)
            self.state.save()

    def load_image(self, archive: Path, nodes: Sequence[str] = ()) -> None:
        """Import an image archive into the nodes (all by default)."""
        chosen = nodes or self.state.spec.node_names()
        on_all([self.node(name) for name in chosen], lambda node: node.load_image(archive))

    def node(self, name: str) -> Node:
        """One of its nodes."""
        if name not in self.state.spec.node_names():
            known = ", ".join(self.state.spec.node_names()) or "none"
            raise ClusterError(f"node {name!r}: not in cluster {self.name}, which has {known}")
        return Node(self.layout, name, self.state.processes)

    def kill_kubelet(self, name: str) -> None:
        """SIGKILL a node's kubelet; its containers run on, and nobody reports them."""
        self.node(name).kill_kubelet()
        self.state.save()

    def start_kubelet(self, name: str) -> None:
        """Start a killed kubelet again and wait until its node is Ready."""
        self.node(name).start_kubelet()
        self.state.save()
        self._wait_for_node(name)

    def cut_power(self, name: str) -> None:
        """End everything on a node at once, as when its plug is pulled."""
        self.node(name).cut_power()
        self.state.save()

    def restore_power(self, name: str) -> None:
        """Boot a node again with what its disk holds and wait until it is Ready."""
        self.node(name).boot()
        self.start_kubelet(name)

    def find_faults(self) -> list[str]:
        """What keeps the cluster from being used: dead components with the end of their logs, an API
        that does not answer.
        """
        dead = [process for process in self.state.processes.values() if not process.is_alive()]
        faults = [f"{process.name} has ended; {process.describe_end()}" for process in dead]
        if not dead and not self.client.is_ready():
            faults.append("the API server is not ready")
        return faults

    def _wait_for_node(self, name: str) -> None:
        client = self.client
        watched = self.node(name).watched()
        wait_until(
            f"{name} is Ready",
            lambda: start.is_node_ready(client.get(f"/api/v1/nodes/{name}")),
            NODE_READY_SECONDS,
            watched,
        )


class KubectlError(ClusterError):
    """kubectl ended with an error; `said` is what it printed."""

    def __init__(self, arguments: Sequence[str], code: int, said: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)} ended with {code}: {said.strip()}")
        self.code = code
        self.said = said


def _prepare(spec: ClusterSpec, report: Report) -> None:
    """What can be refused or built before a cluster's lock is taken."""
    check_machine()
    spec.check_images()
    ensure_parts(spec, report)


def down(name: str) -> bool:
    """Take a cluster down, whatever state it is in; whether there was anything of it."""
    ClusterSpec(name)  # refuses what is no name before it becomes a path
    with cluster_lock(name):
        return remove_cluster(name)


def describe_difference(running: ClusterSpec, asked: ClusterSpec) -> str:
    """The sentence that refuses to change a running cluster."""
    old, new = running.to_json(), asked.to_json()
    differences = [
        f"{key}={old[key]!r} (asked: {new[key]!r})"
        for key in old
        if old[key] != new[key] and key != "images"
    ]
    return (
        f"cluster {running.name!r} already runs with {', '.join(differences)}; take it down first "
        f"(python -m tests.cluster down --name {running.name}) or use another --name"
    )
