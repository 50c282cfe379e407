"""A pod that serves what a DCGM-exporter would say of the devices of some pods; DCGM itself needs NVIDIA's.

Scraped as usual, without honorLabels: what it says of `pod` and `namespace` arrives as `exported_*`.
"""

from collections.abc import Mapping
from typing import Any

NAME = "dcgm-exporter"
PORT, PORT_NAME = 9400, "metrics"
METRICS = (
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
    "DCGM_FI_PROF_SM_ACTIVE",
    "DCGM_FI_PROF_DRAM_ACTIVE",
)
_SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(os.environ["METRICS"].encode())
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def build_scrape_config(interval: str) -> dict[str, Any]:
    """How a cluster's Prometheus finds it."""
    meta = "__meta_kubernetes_pod_"
    return {
        "job_name": NAME,
        "scrape_interval": interval,
        "relabel_configs": [
            {
                "source_labels": [f"{meta}label_app_kubernetes_io_name"],
                "regex": NAME,
                "action": "keep",
            },
            {"source_labels": [f"{meta}phase"], "regex": "Running", "action": "keep"},
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": [f"{meta}name"], "target_label": "pod"},
        ],
    }


def build_pod(namespace: str, shares: Mapping[str, float], image: str) -> dict[str, Any]:
    """The pod, which says for each pod of a namespace how busy the parts of its one device are (0 to 1).

    The image is a trainer's, for its Python.
    """
    text = "".join(
        f'{metric}{{gpu="0",UUID="GPU-fake-0000",namespace="{namespace}",pod="{pod}"}} {share}\n'
        for metric in METRICS
        for pod, share in shares.items()
    )
    environment = {"METRICS": text, "PORT": str(PORT)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/name": NAME}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": NAME,
                    "image": image,
                    "command": ["/opt/venv/bin/python", "-c", _SERVER],
                    "env": [{"name": name, "value": value} for name, value in environment.items()],
                    "ports": [{"name": PORT_NAME, "containerPort": PORT}],
                }
            ],
        },
    }
