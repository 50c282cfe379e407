"""A real Prometheus beside an embedded cluster: it scrapes the cluster's pods and takes queries.

Used by the demo and by the tests of dashboards and alerts. It runs inside the cluster's network
namespace, with the relabelling and the rules that the chart ships, and is reached through the
cluster's forwarder; the cluster's `down` ends it. `discovery` lists the pods for it.
"""

import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from trainwright_dashboards.rules import build_rule_groups
from trainwright_dashboards.scrape import build_scrape_configs

from tests.cluster import Cluster
from tests.cluster.cache import cache_folder
from tests.cluster.processes import Process, start_process, wait_until
from tests.monitoring import pretended_dcgm
from tests.monitoring.discovery import DISCOVERY_SECONDS
from tests.monitoring.prometheus import fetch_prometheus
from tools.machine import PROJECT
from tools.prometheus_api import PrometheusApi

ADDRESS = "127.0.0.1"  # inside the cluster's network namespace
PORT = 9090
READY_SECONDS = 30


class Prometheus(PrometheusApi):
    """A running server; its URL works on this machine."""

    def __init__(self, url: str, processes: tuple[Process, ...] = ()) -> None:
        super().__init__(url)
        self._processes = processes

    @classmethod
    def start(
        cls, cluster: Cluster, scrape_interval: str = "2s", hold_speed: int = 1
    ) -> "Prometheus":
        """Start the server, or have the cluster's own read its rules anew, and wait until it is ready.

        Alerts fire `hold_speed` times as soon. Raises NotReadyError or ComponentDiedError with the end of its log.
        """
        folder = cluster.layout.root / "prometheus"
        folder.mkdir(parents=True, exist_ok=True)
        write_configuration(folder, scrape_interval, hold_speed)
        url = f"http://127.0.0.1:{cluster.forward(ADDRESS, PORT)}"
        present = cls(url)
        if present.is_ready():
            present.reload()
            return present
        server = cls(url, (start_discovery(cluster, folder), start_server(cluster, folder)))
        wait_until("Prometheus is ready", server.is_ready, READY_SECONDS, server._processes)
        return server

    def stop(self) -> None:
        """End what this object has started; the data go with the cluster."""
        for process in self._processes:
            process.kill()


def start_server(cluster: Cluster, folder: Path) -> Process:
    """Start Prometheus itself."""
    command = [
        str(fetch_prometheus(cache_folder()) / "prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={ADDRESS}:{PORT}",
        "--web.enable-lifecycle",
        "--log.level=warn",
    ]
    log = cluster.layout.logs / "prometheus.log"
    return start_process("prometheus", cluster.inside(command), log, cluster.layout.mark)


def start_discovery(cluster: Cluster, folder: Path) -> Process:
    """Start the process that lists the pods; -S: it needs no installed package."""
    files = [str(cluster.layout.certificates), str(folder / "targets.json")]
    command = cluster.inside([sys.executable, "-S", "-m", "tests.monitoring.discovery", *files])
    log = cluster.layout.logs / "discovery.log"
    environment = {"PYTHONPATH": str(PROJECT)}
    return start_process("discovery", command, log, cluster.layout.mark, environment)


def write_configuration(folder: Path, scrape_interval: str, hold_speed: int = 1) -> None:
    """Write prometheus.yaml and rules.yaml."""
    scrape_configs = build_scrape_configs(scrape_interval)
    scrape_configs.append(pretended_dcgm.build_scrape_config(scrape_interval))
    for config in scrape_configs:
        config.pop("kubernetes_sd_configs", None)
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
    yaml.dump(build_quick_rules(hold_speed), folder / "rules.yaml")


def build_quick_rules(hold_speed: int) -> dict[str, Any]:
    """Return the chart's rules as they are, but for how long an alert's condition has to hold."""
    rules = build_rule_groups()
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        if "for" in rule:
            rule["for"] = f"{int(rule['for'].removesuffix('s')) // hold_speed}s"
    return rules
