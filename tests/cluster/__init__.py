"""A real Kubernetes cluster on one Linux machine, for the tests and the demo.

`python -m tests.cluster up` for people, `Cluster.up(ClusterSpec(...))` for tests. The names below
are loaded when first used: the cluster's own small processes start from this package too, and must
not wait for libraries that they do not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster, KubectlError, down
    from tests.cluster.errors import ClusterError
    from tests.cluster.spec import ClusterSpec, Mount

__all__ = ["Cluster", "ClusterError", "ClusterSpec", "KubectlError", "Mount", "down"]

_MODULES = {"ClusterError": "errors", "ClusterSpec": "spec", "Mount": "spec"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'cluster')}"), name)
