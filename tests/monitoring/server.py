"""A real Prometheus beside an embedded cluster: it scrapes the cluster's pods and takes queries.

Used by the tests of dashboards and alerts. It runs inside the cluster's network namespace, with the
relabelling and the rules that the chart ships, and is reached through the cluster's forwarder; the
cluster's `down` ends it. Debian builds Prometheus without its Kubernetes discovery: a thread of ours
lists the pods in its place and writes the same `__meta_kubernetes_*` labels into a file.
"""

import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from trainwright_dashboards.rules import build_rule_groups
from trainwright_dashboards.scrape import build_scrape_configs

from tests.cluster import Cluster
from tests.cluster.cache import cache_folder
from tests.cluster.processes import Process, start_process, wait_until
from tests.monitoring.prometheus import fetch_prometheus

ADDRESS = "127.0.0.1"  # inside the cluster's network namespace
PORT = 9090
READY_SECONDS = 30
DISCOVERY_SECONDS = 2


@dataclass(frozen=True)
class Sample:
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


@dataclass
class Prometheus:
    """A running server; `url` works on this machine."""

    url: str
    process: Process
    discovery: "Discovery"

    @classmethod
    def start(cls, cluster: Cluster, scrape_interval: str = "2s") -> "Prometheus":
        """Start the server and wait until it is ready."""
        folder = cluster.layout.root / "prometheus"
        folder.mkdir(parents=True, exist_ok=True)
        _write_configuration(folder, scrape_interval)
        discovery = Discovery(cluster, folder / "targets.json")
        discovery.start()
        command = [
            str(fetch_prometheus(cache_folder()) / "prometheus"),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={ADDRESS}:{PORT}",
            "--log.level=warn",
        ]
        log = cluster.layout.logs / "prometheus.log"
        process = start_process("prometheus", cluster.inside(command), log, cluster.layout.mark, {})
        url = f"http://127.0.0.1:{cluster.forward(ADDRESS, PORT)}"
        server = cls(url, process, discovery)
        wait_until("Prometheus is ready", server.is_ready, READY_SECONDS, [process])
        return server

    def stop(self) -> None:
        """End the server; its data goes with the cluster."""
        self.discovery.stop()
        self.process.kill()

    def is_ready(self) -> bool:
        """Whether it takes queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except OSError:
            return False

    def query(self, expression: str) -> list[Sample]:
        """Return the series of an instant query now; raises ValueError on a bad expression."""
        result = self._get("query", query=expression)["result"]
        if isinstance(result, list) and result and not isinstance(result[0], dict):
            return [Sample({}, float(result[1]))]  # a scalar
        return [Sample(row["metric"], float(row["value"][1])) for row in result]

    def query_range(
        self, expression: str, start: float, end: float, step_seconds: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Return the series of a range query as (labels, [(Unix time, value)])."""
        data = self._get(
            "query_range",
            query=expression,
            start=str(start),
            end=str(end),
            step=str(step_seconds),
        )
        return [
            (row["metric"], [(float(at), float(value)) for at, value in row["values"]])
            for row in data["result"]
        ]

    def alerts(self) -> dict[str, str]:
        """Return the state (pending, firing) of every active alert by its name."""
        return {
            alert["labels"]["alertname"]: alert["state"] for alert in self._get("alerts")["alerts"]
        }

    def targets(self) -> list[dict[str, Any]]:
        """Return the scrape targets with their health."""
        return list(self._get("targets")["activeTargets"])

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own server
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from error


class Discovery:
    """Lists the cluster's pods every other second and writes them as Prometheus' file targets."""

    def __init__(self, cluster: Cluster, path: Path) -> None:
        self._client, self._path = cluster.client, path
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)

    def start(self) -> None:
        """Write the targets once, then go on in a thread."""
        self._write()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopped.wait(DISCOVERY_SECONDS):
            self._write()

    def _write(self) -> None:
        pods = self._client.get("/api/v1/pods")["items"]
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps([target for pod in pods for target in build_targets(pod)]))
        part.rename(self._path)


def build_targets(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a target per container port, labelled as Prometheus' Kubernetes discovery does."""
    address = pod["status"].get("podIP")
    if not address:
        return []
    meta = {
        "namespace": pod["metadata"]["namespace"],
        "pod_name": pod["metadata"]["name"],
        "pod_node_name": pod["spec"].get("nodeName", ""),
        "pod_phase": pod["status"]["phase"],
    }
    for name, value in pod["metadata"].get("labels", {}).items():
        meta["pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)] = value
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


def _write_configuration(folder: Path, scrape_interval: str) -> None:
    """Write prometheus.yaml and rules.yaml."""
    scrape_configs = build_scrape_configs(scrape_interval)
    for config in scrape_configs:
        del config["kubernetes_sd_configs"]
        config["file_sd_configs"] = [
            {"files": [str(folder / "targets.json")], "refresh_interval": f"{DISCOVERY_SECONDS}s"}
        ]
    content = {
        "global": {"evaluation_interval": "5s", "scrape_timeout": scrape_interval},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": scrape_configs,
    }
    yaml = YAML(typ="safe")
    yaml.dump(content, folder / "prometheus.yaml")
    yaml.dump(build_rule_groups(), folder / "rules.yaml")
