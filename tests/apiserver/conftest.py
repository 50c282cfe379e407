"""A control plane with our kinds installed, for tests that change nothing in it or use own names."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver.kinds import Kinds, install_definitions
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.played_cluster import PlayedCluster
from tests.cluster import Cluster, ClusterSpec
from tests.cluster.kubeflow import pytorch_job_definition

DEFINITIONS = Path(__file__).resolve().parents[2] / "crds"


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """etcd, API server and controller-manager, with the CRDs of this tree."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root on Linux")
    with Cluster.running(ClusterSpec("crds", control_plane_only=True, s3=False)) as cluster:
        install_definitions(cluster, sorted(DEFINITIONS.glob("trainwright.dev_*.yaml")))
        yield cluster


@pytest.fixture(scope="session")
def kinds(control_plane: Cluster) -> Kinds:
    """A client of our two kinds."""
    return Kinds(control_plane)


@pytest.fixture(scope="session")
def operator_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane of its own for the operator, with PyTorchJobs but nobody who runs them."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root on Linux")
    definition = tmp_path_factory.mktemp("kubeflow") / "pytorchjobs.json"
    definition.write_text(json.dumps(pytorch_job_definition()))
    with Cluster.running(ClusterSpec("operator", control_plane_only=True, s3=False)) as cluster:
        ours = sorted(DEFINITIONS.glob("trainwright.dev_*.yaml"))
        install_definitions(cluster, [*ours, definition])
        yield cluster


@pytest.fixture
def place(
    operator_plane: Cluster, operator: OperatorProcess, request: pytest.FixtureRequest
) -> Iterator[PlayedCluster]:
    """A namespace of the test's own; each module says how its `operator` lives."""
    with PlayedCluster.named(operator_plane, request.node.name) as played:
        yield played
