"""Pretended GPUs: nodes advertise `nvidia.com/gpu` so that GPU manifests are scheduled.

A node that is built anew forgets them; whoever follows the nodes puts them back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cluster.api import ApiClient

GPU_RESOURCE = "nvidia.com/gpu"
Object = dict[str, Any]


def build_gpu_patch(node: Object, count: int) -> Object | None:
    """The status patch that this node needs to advertise `count` GPUs, None if it does."""
    status = node.get("status", {})
    wanted = {GPU_RESOURCE: str(count)}
    fields = ("capacity", "allocatable")
    if not status.get("capacity"):
        return None  # its kubelet has not reported yet, and would overwrite the patch
    if all(status.get(field, {}).get(GPU_RESOURCE) == str(count) for field in fields):
        return None
    return dict.fromkeys(fields, wanted)


def keep_gpus(client: ApiClient, count: int) -> Callable[[str, Object], None]:
    """A consumer of node events that patches the nodes which lack their GPUs."""

    def apply(event: str, node: Object) -> None:
        patch = build_gpu_patch(node, count) if event != "DELETED" else None
        if patch:
            client.patch_status(f"/api/v1/nodes/{node['metadata']['name']}", patch)

    return apply
