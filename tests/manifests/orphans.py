"""Objects whose owners are gone: once they are collected, the garbage collector knows our kinds.

A controller-manager looks for new kinds every 30 seconds only; before, it collects no children of theirs.
"""

from typing import Any
from uuid import uuid4

from trainwright_api import names

OWNERS = (names.API_VERSION, names.TRAINING_RUN), ("kubeflow.org/v1", "PyTorchJob")
PREFIX = "orphan-of-"


def build_orphans() -> list[dict[str, Any]]:
    """A config map per kind that owns what a run is made of."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{PREFIX}{kind.lower()}",
                "ownerReferences": [
                    {"apiVersion": version, "kind": kind, "name": "nobody", "uid": str(uuid4())}
                ],
            },
        }
        for version, kind in OWNERS
    ]
