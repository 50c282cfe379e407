"""What a cluster is asked to be, and the names, addresses and folders that follow from it.

Pure: `cluster` and the components read their addresses here, so that none is spelled twice.
Every cluster has a network namespace of its own, hence all may use the same inner addresses.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError
from tools import machine

DEFAULT_NAME = "trainwright"
CLUSTERS = machine.CLUSTERS

GATEWAY = "10.199.0.1"
PREFIX_LENGTH = 16
POD_NETWORK = "10.199.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443
S3_PORT = 9000
ETCD_PORT = 2379
DEFAULT_BUCKETS = ("datasets", "models", "checkpoints")
MAX_NODES = 20

# Longer names would make paths of the kubelet's sockets that the kernel does not take.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,22}[a-z0-9])?")


@dataclass(frozen=True)
class Mount:
    """A host folder that every container sees read-only, as if it were part of its image."""

    source: str
    target: str

    @classmethod
    def parse(cls, text: str) -> Mount:
        """Read HOSTPATH:CONTAINERPATH; raises ClusterError unless both are absolute."""
        source, _, target = text.partition(":")
        if not (source.startswith("/") and target.startswith("/")) or target == "/usr":
            raise ClusterError(
                f"--mount: got {text!r}, expected HOSTPATH:CONTAINERPATH, both absolute, and not "
                "over the image's /usr"
            )
        if not Path(source).is_dir():
            raise ClusterError(f"--mount: {source}: got no folder there; build it first")
        return cls(source, target)


@dataclass(frozen=True)
class ClusterSpec:
    """Everything that can be chosen about a cluster; compared when a name is started again."""

    name: str = DEFAULT_NAME
    nodes: int = 1
    gpus_per_node: int = 0
    mounts: tuple[Mount, ...] = ()
    # Archives whose images all nodes have from the start; a running cluster gets those that it lacks.
    images: tuple[str, ...] = ()
    # etcd, API server and controller-manager only: for what needs no pods.
    control_plane_only: bool = False
    s3: bool = True
    # A folder of the host whose subfolders are the buckets; by default one that goes with the cluster.
    s3_folder: str = ""
    buckets: tuple[str, ...] = DEFAULT_BUCKETS
    # How long a silent node counts as alive. Tests of thousands of fake nodes want 40.
    node_grace_seconds: int = 8

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ClusterError(
                f"--name: got {self.name!r}, expected lower-case letters, digits and dashes, at most 24"
            )
        if not 1 <= self.nodes <= MAX_NODES:
            raise ClusterError(f"--nodes: got {self.nodes}, expected 1 to {MAX_NODES}")
        if self.gpus_per_node < 0:
            raise ClusterError(f"--gpus-per-node: got {self.gpus_per_node}, expected 0 or more")

    def check_images(self) -> None:
        """Raise ClusterError if an archive is missing; of a running cluster, it may be."""
        for image in self.images:
            if not Path(image).is_file():
                raise ClusterError(f"--image: {image}: got no file there; build the image first")

    def to_json(self) -> dict[str, Any]:
        """As kept in the state file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ClusterSpec:
        """The reverse of `to_json`."""
        lists = {name: tuple(data[name]) for name in ("buckets", "images")}
        mounts = tuple(Mount(**mount) for mount in data["mounts"])
        return cls(**{**data, **lists, "mounts": mounts})

    def node_names(self) -> list[str]:
        """node-1, node-2, ...; none for a bare control plane."""
        return [] if self.control_plane_only else [f"node-{i}" for i in range(1, self.nodes + 1)]


@dataclass(frozen=True)
class Layout:
    """Where one cluster's things are; a function of its name alone, so `down` needs no state."""

    name: str

    @property
    def root(self) -> Path:
        """The folder of everything that goes with the cluster."""
        return CLUSTERS / self.name

    @property
    def state_file(self) -> Path:
        """What `status`, `env` and `down` read; mode 0600, it holds credentials."""
        return self.root / "state.json"

    @property
    def kubeconfig(self) -> Path:
        """For the host: goes through the forwarder."""
        return self.root / "kubeconfig"

    @property
    def kubectl_cache(self) -> Path:
        """Where kubectl and Helm keep what they have learnt about the API (KUBECACHEDIR)."""
        return self.root / "kubectl-cache"

    @property
    def certificates(self) -> Path:
        """The folder of keys and certificates."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One log per component."""
        return self.root / "logs"

    @property
    def forwarder_socket(self) -> Path:
        """Where the forwarder takes requests."""
        return self.root / "forwarder.sock"

    @property
    def s3_folder(self) -> Path:
        """The default root of the buckets."""
        return self.root / "s3"

    @property
    def netns(self) -> str:
        """The network namespace's name."""
        return f"trainwright-{self.name}"

    @property
    def netns_path(self) -> Path:
        """Where `ip netns` keeps it."""
        return Path("/run/netns") / self.netns

    @property
    def cgroup(self) -> str:
        """The directory under every cgroup hierarchy."""
        return f"trainwright-{self.name}"

    @property
    def mark(self) -> str:
        """An environment entry that every process of the cluster carries; `down` finds them by it."""
        return f"TRAINWRIGHT_CLUSTER_MEMBER={self.name}"

    def node_folder(self, node: str) -> Path:
        """A node's disk."""
        return self.root / "nodes" / node


def node_index(node: str) -> int:
    """The number in node-N."""
    return int(node.removeprefix("node-"))


def node_address(node: str) -> str:
    """A node's own address on the bridge."""
    return f"10.199.0.{100 + node_index(node)}"


def pod_range(node: str) -> str:
    """The addresses of a node's pods."""
    return f"10.199.{node_index(node)}.0/24"
