"""A control plane with our kinds installed, for tests that change nothing in it or use own names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver.kinds import Kinds, install_definitions
from tests.cluster import Cluster, ClusterSpec

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
