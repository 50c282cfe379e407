"""A real Prometheus scrapes real runs: every panel without GPUs has data, every rule is evaluated."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from trainwright_api import metrics as m
from trainwright_api.names import Phase
from trainwright_dashboards.rules import build_alerts, build_recording_rules

from demo.place import Place
from tests.e2e.builders import training_run
from tests.e2e.world import World, wait_for, wait_for_phase, wait_for_status
from tests.monitoring.panels import (
    PanelQuery,
    describe_odd_values,
    fill_in,
    find_choices,
    find_queries,
)
from tests.monitoring.server import Prometheus

pytestmark = pytest.mark.timeout(500)

SCRAPE_SECONDS = 120


OTHERWISE_TESTED = {
    m.UNDERUTILIZED: "no run is underused here; test_gpus.py has one that is",
    m.GPU_XID_EVENTS: "needs a GPU; test_gpus.py",
    m.GPU_ECC_ERRORS: "needs a GPU; test_gpus.py",
    m.GPU_THROTTLED: "needs a GPU; test_gpus.py",
}


def find_names(expression: str) -> set[str]:
    """The names of metrics and recorded series in a query, those that `unless` only leaves out excepted."""
    wanted = re.sub(r"unless on \(namespace, pod\) \w+", "", expression)
    return set(re.findall(r"\b(?:trainwright[_:]|DCGM_)[\w:]+", wanted))


def is_for_gpus(query: PanelQuery) -> bool:
    """Whether nothing but devices can fill it: test_gpus.py has it."""
    names = find_names(query.expression) - {m.STEP.name}
    return names != set() and all(name.startswith(("trainwright_gpu_", "DCGM_")) for name in names)


def test_every_panel_of_a_run_on_cpus_has_data(
    world: World, place: Place, prometheus: Prometheus, tmp_path: Path
) -> None:
    short = training_run("short", steps=4)
    validation = {"fraction": 0.1, "everySteps": 5, "maxSequences": 4}
    run = training_run(
        "watched", steps=5000, checkpoints={"everySteps": 20}, data={"validation": validation}
    )
    waits = training_run("waits", workers={"resources": {"memory": "4000Gi"}})
    place.apply(short, run, waits)
    wait_for_phase(place, short, Phase.SUCCEEDED, 200)
    wait_for_status(
        place, run, "a checkpoint", lambda s: (s.get("checkpoints") or {}).get("latest"), 200
    )
    variables = {
        "namespace": place.namespace,
        "run": "watched",
        "__rate_interval": "30s",
        "__range": "5m",
    }
    queries = [query for query in find_queries() if not query.panel.startswith("annotation")]

    def empty() -> list[PanelQuery]:
        return [
            query for query in queries if not prometheus.query(fill_in(query.expression, variables))
        ]

    def missing() -> list[str]:
        return [str(query) for query in empty() if not is_for_gpus(query)]

    wait_for("every query has data", lambda: not missing(), SCRAPE_SECONDS, missing)
    filled = {str(query) for query in set(queries) - set(empty())}
    assert {str(query) for query in queries if not query.is_hidden} <= filled
    odd = [
        text
        for query in find_queries()
        for text in describe_odd_values(
            query, prometheus.query(fill_in(query.expression, variables))
        )
    ]
    assert odd == []
    loss = prometheus.query(f'trainwright_loss{{namespace="{place.namespace}",run="watched"}}')
    assert {sample.labels["kind"] for sample in loss} == {"TrainingRun"}
    assert all(0 < sample.value < 20 for sample in loss)
    mfu = prometheus.query(f'trainwright_mfu_ratio{{namespace="{place.namespace}",run="watched"}}')
    assert all(0 < sample.value <= 1.5 for sample in mfu)
    check_choices(prometheus, place.namespace, variables)
    check_rules(prometheus)
    assert "TrainwrightOperatorDown" not in prometheus.alerts()
    check_reports(world, place, tmp_path)
    place.kubectl(
        "delete", "trainingrun", "watched", "waits", "-n", place.namespace, "--wait=false"
    )


def check_choices(prometheus: Prometheus, namespace: str, variables: dict[str, str]) -> None:
    """The drop-downs offer the namespace and, once it is chosen, its runs and no others.

    A run may be over before it is scraped: then only the one that still trains is offered.
    """
    names = set()
    for name, selector, label in find_choices():
        offered = prometheus.label_values(label, fill_in(selector, variables))
        if name == "namespace":
            assert namespace in offered, selector
        else:
            assert {"watched"} <= offered <= {"watched", "short"}, selector
        names.add(name)
    assert names == {"namespace", "run"}


def check_rules(prometheus: Prometheus) -> None:
    """Every recorded series is there, and so is every metric that an alert is about."""
    missing = [
        rule["record"] for rule in build_recording_rules() if not prometheus.query(rule["expr"])
    ]
    untested = {metric.name for metric in OTHERWISE_TESTED}
    for alert in build_alerts():
        prometheus.query(alert.expression)
        missing += [
            f"{name} of {alert.name}"
            for name in sorted(find_names(alert.expression) - untested)
            if not prometheus.query(name)
        ]
    assert missing == []


def check_reports(world: World, place: Place, folder: Path) -> None:
    """The page of the live run has its curves (from its pod), the comparison those of both."""
    # Wide enough for the test's long namespace: a table without a terminal has 120 columns.
    environment = os.environ | world.cluster.environment() | {"COLUMNS": "240"}

    def write(name: str, *arguments: str) -> str:
        page = folder / name
        command = [sys.executable, "-m", "trainwright_cli", *arguments, "-n", place.namespace]
        subprocess.run([*command, "-o", str(page)], env=environment, check=True, timeout=60)
        return page.read_text()

    one = write("run.html", "report", "watched")
    assert one.count("<polyline") >= 5
    assert "Validation loss" in one
    table = subprocess.run(
        [sys.executable, "-m", "trainwright_cli", "compare", "watched", "short", "-n", place.namespace],
        env=environment, check=True, timeout=60, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert f"{place.namespace}/short" in table
    both = write("both.html", "compare", "watched", "short")
    assert f"{place.namespace}/short" in both
