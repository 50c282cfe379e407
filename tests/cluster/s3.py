"""The cluster's S3 server: rclone over a folder whose subfolders are the buckets.

Inside it has one address for all, and a Service for manifests that read as on a real cluster;
outside it is reached through the forwarder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.cluster.api import ApiClient
from tests.cluster.errors import BuildError
from tests.cluster.netns import inside
from tests.cluster.processes import Process, start_process
from tests.cluster.spec import GATEWAY, S3_PORT, Layout
from tests.cluster.state import State

NAMESPACE = "storage"
SERVICE = "s3"
INNER_ENDPOINT = f"http://{SERVICE}.{NAMESPACE}.svc.cluster.local:{S3_PORT}"
REGION = "us-east-1"


def s3_folder(state: State) -> Path:
    """The folder on the machine that holds the buckets."""
    named = state.spec.s3_folder
    return Path(named) if named else Layout(state.spec.name).s3_folder


def start_s3(layout: Layout, state: State) -> Process:
    """Start the server on its folder, with the buckets that were asked for."""
    folder = s3_folder(state)
    for bucket in state.spec.buckets:
        (folder / bucket).mkdir(parents=True, exist_ok=True)
    command = [
        _find_rclone(),
        "serve",
        "s3",
        str(folder),
        f"--addr={GATEWAY}:{S3_PORT}",
        "--config=",
        f"--cache-dir={layout.root / 'rclone'}",
        # The server keeps each file's MD5 as long as it trusts its listing: if that were seconds,
        # every ranged read of a large file would first read it whole (10 instead of 200 MB/s).
        # So what is put straight into the folder is seen up to an hour later: use S3 to put it.
        "--dir-cache-time=1h",
    ]
    # In the environment, where other users of the machine do not see them.
    keys = {"RCLONE_AUTH_KEY": f'"{state.access_key},{state.secret_key}"'}
    log = layout.logs / "s3.log"
    return start_process("s3", [*inside(layout), *command], log, layout.mark, keys)


def apply_s3_service(client: ApiClient) -> None:
    """Give the server a Service, so that pods name it as they would name any store."""
    base = f"/api/v1/namespaces/{NAMESPACE}"
    client.apply(base, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    port = {"name": "http", "port": S3_PORT}
    client.apply(
        f"{base}/services/{SERVICE}",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE},
            "spec": {"ports": [port]},
        },
    )
    client.apply(
        f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/{SERVICE}",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": SERVICE, "labels": {"kubernetes.io/service-name": SERVICE}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [GATEWAY], "conditions": {"ready": True}}],
            "ports": [port],
        },
    )


def build_s3_environment(state: State) -> dict[str, str]:
    """What an S3 client on the machine needs, by the names that AWS' own tools read."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{state.s3_port}",
        "AWS_ACCESS_KEY_ID": state.access_key,
        "AWS_SECRET_ACCESS_KEY": state.secret_key,
        "AWS_REGION": REGION,
    }


def _find_rclone() -> str:
    path = Path(sys.executable).parent / "rclone"
    if not path.exists():
        raise BuildError(f"{path}: not there; install requirements/dev.lock into this environment")
    return str(path)
