"""Lists a cluster's pods for Prometheus, every other second, into a file of targets.

Debian builds Prometheus without its Kubernetes discovery; this writes the same `__meta_kubernetes_*`
labels. A process of the cluster, `python -m tests.monitoring.discovery CERTIFICATES FILE`, inside its
network: it goes on after whoever started it, and ends with the cluster.
"""

import http.client
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from tests.cluster.api import ApiClient, ApiError
from tests.cluster.spec import API_PORT, GATEWAY

DISCOVERY_SECONDS = 2


def main() -> None:
    """Run until killed."""
    client, path = ApiClient(GATEWAY, API_PORT, Path(sys.argv[1])), Path(sys.argv[2])
    while True:
        try:
            write_targets(client, path)
        except (OSError, http.client.HTTPException, ValueError, ApiError) as problem:
            # An answer that is cut off half-way is no HTTP or no JSON.
            print(f"{problem}; again", flush=True)
        time.sleep(DISCOVERY_SECONDS)


def write_targets(client: ApiClient, path: Path) -> None:
    """Write the targets of all pods, whole or not at all."""
    pods = client.get("/api/v1/pods")["items"]
    part = path.with_suffix(".part")
    part.write_text(json.dumps([target for pod in pods for target in build_targets(pod)]))
    part.rename(path)


def build_targets(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a target per container port, labelled as Prometheus' Kubernetes discovery does."""
    address = pod["status"].get("podIP")
    if not address:
        return []
    metadata = pod["metadata"]
    meta = {
        "namespace": metadata["namespace"],
        "pod_name": metadata["name"],
        "pod_node_name": pod["spec"].get("nodeName", ""),
        "pod_phase": pod["status"]["phase"],
        "pod_ip": address,
    }
    for kind in ("label", "annotation"):
        for name, value in metadata.get(f"{kind}s", {}).items():
            meta[f"pod_{kind}_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)] = value
    ports = [port for c in pod["spec"]["containers"] for port in c.get("ports", ())]
    return [
        {
            "targets": [f"{address}:{port['containerPort']}"],
            "labels": {
                f"__meta_kubernetes_{name}": value
                for name, value in (
                    meta | {"pod_container_port_name": port.get("name", "")}
                ).items()
            },
        }
        for port in ports
    ]


if __name__ == "__main__":
    main()
