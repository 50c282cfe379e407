"""The demo's last lines about dashboards where there is no Prometheus to ask."""

import json
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from demo import monitoring
from demo.monitoring import describe_dashboards, describe_figures, start_monitoring, use_prometheus
from tests.cluster import Cluster, ClusterError
from tools.prometheus_api import PrometheusApi


def last_lines(found: monitoring.Monitoring) -> list[str]:
    return describe_dashboards(found, "default", ("gpt",), 60).splitlines()


def test_the_files_are_where_the_lines_say() -> None:
    folder, _, names = last_lines(lambda: "none")[1].strip().partition("/{")
    for name in names.removesuffix("}.json").split(","):
        assert json.loads((Path(folder) / f"{name}.json").read_text())["panels"]


def test_one_line_says_why_there_is_no_prometheus() -> None:
    lines = last_lines(use_prometheus(""))
    assert "PROMETHEUS_URL names yours" in lines[-1]
    silent = last_lines(use_prometheus("http://127.0.0.1:1"))
    assert silent[-1] == "  No Prometheus: http://127.0.0.1:1 does not answer"
    assert len(silent) == len(lines)


def test_what_a_short_demo_costs_is_not_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "ask", lambda *_: 0.00132)
    lines = list(describe_figures(PrometheusApi(""), "default", (), 60))
    assert lines == ["cost of all: $0.0013 (Fleet, prices.cpu=0.04 USD an hour)"]


@pytest.mark.parametrize(
    "problem",
    [
        ClusterError("prometheus ended by itself\nwith a long log"),
        FileNotFoundError("apt-get"),
        subprocess.CalledProcessError(100, ["apt-get", "download", "prometheus"]),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_the_demo_goes_on_if_prometheus_cannot_start(
    problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: Any) -> None:
        raise problem

    monkeypatch.setattr(monitoring.Prometheus, "start", start)
    last = last_lines(start_monitoring(cast(Cluster, None)))[-1]
    assert last == f"  No Prometheus: {str(problem).splitlines()[0]}"
