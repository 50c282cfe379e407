"""What the operator's metrics say of the runs: what they hold, cost, wait for and how they ended."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException
from trainwright_api import metrics as m
from trainwright_api import names
from trainwright_operator.accounting import Holding, measure_run
from trainwright_operator.calls import ClusterCallError
from trainwright_operator.cluster import ClusterClient
from trainwright_operator.operator_metrics import RECENT_LAGS, OperatorMetrics

from tests.unit.operator.builders import at, format_time, raw_run

# Attempts by three outcomes and six causes or none, and one while it is underutilized;
# operator/docs/monitoring.md states it.
SERIES_OF_A_RUN = 22
PRICES = {"cpu": 0.5, "nvidia.com/gpu": 2.0}
WORKERS = {"nodes": 2, "acceleratorsPerNode": 4, "resources": {"cpu": 8}}


def run_in(phase: str, name: str = "a", team: str = "", **status: Any) -> dict[str, Any]:
    raw = raw_run(status={"phase": phase, **status}, workers=WORKERS)
    raw["metadata"] |= {"name": name, "creationTimestamp": format_time(at(0))}
    if team:
        raw["metadata"]["labels"] = {names.LABEL_TEAM: team}
    return raw


def condition(
    kind: names.Condition, status: str, since: float, reason: str = "X"
) -> dict[str, Any]:
    times = {"lastTransitionTime": format_time(at(since))}
    return {"type": kind.value, "status": status, "reason": reason, "message": "", **times}


@pytest.fixture
def metrics() -> OperatorMetrics:
    return OperatorMetrics("1")


def show(metrics: OperatorMetrics, *runs: dict[str, Any], now: float = 0) -> None:
    metrics.set_runs(measure_run(raw, PRICES, at(now)) for raw in runs)


def values(metrics: OperatorMetrics, metric: m.Metric) -> dict[tuple[str, ...], float]:
    """The series of a metric by the values of its labels."""
    return {
        tuple(sample.labels[label] for label in metric.labels): sample.value
        for family in metrics.collect()
        for sample in family.samples
        if sample.name == metric.name
    }


def test_devices_and_prices_are_those_of_the_teams_live_runs(metrics: OperatorMetrics) -> None:
    live = [run_in("Running", "a", "red"), run_in("Starting", "b", "red"), run_in("Running", "c")]
    show(metrics, *live, run_in("Suspended", "d", "red"), run_in("Succeeded", "e", "blue"))
    held, cost = values(metrics, m.RUN_ACCELERATORS), values(metrics, m.RUN_COST_PER_HOUR)
    assert held == {("team", "red"): 16, ("team", ""): 8, ("team", "blue"): 0}
    per_run = 2 * (4 * 2.0 + 8 * 0.5)
    assert cost == {
        ("team", "red"): 2 * per_run,
        ("team", ""): per_run,
        ("team", "blue"): 0,
    }
    show(metrics)
    assert values(metrics, m.RUN_ACCELERATORS) == {}


def test_a_run_that_waits_for_some_of_its_pods_holds_the_others(metrics: OperatorMetrics) -> None:
    show(metrics, run_in("Pending", reason="Unschedulable", cost={"heldPods": 1}))
    assert values(metrics, m.RUN_ACCELERATORS) == {("team", ""): 4}
    assert values(metrics, m.RUN_COST_PER_HOUR) == {("team", ""): 4 * 2.0 + 8 * 0.5}
    assert values(metrics, m.WAITING_RUNS) == {("team", "Unschedulable"): 1}


def test_runs_whose_trainers_do_not_answer_are_counted(metrics: OperatorMetrics) -> None:
    runs = [measure_run(run_in("Running", name), PRICES, at(0)) for name in "abc"]
    metrics.set_runs([replace(run, is_silent=run.name != "b") for run in runs])
    assert values(metrics, m.SILENT_RUNS) == {("team",): 2}
    metrics.set_runs(runs)
    assert values(metrics, m.SILENT_RUNS) == {("team",): 0}


def test_runs_wait_since_they_were_made_ran_or_were_resumed(metrics: OperatorMetrics) -> None:
    ran = [condition(names.Condition.RUNNING, "False", 100)]
    resumed = [*ran, condition(names.Condition.SUSPENDED, "False", 150)]
    let_go = [condition(names.Condition.ACCEPTED, "True", 180)]  # it had waited for another run
    show(
        metrics,
        run_in("Pending", "e", reason="ImagePullBackOff", conditions=let_go),
        run_in("Pending", "a", reason="QuotaExceeded"),
        run_in("Pending", "b", reason="QuotaExceeded", conditions=ran),
        run_in("Pending", "c", reason="Unschedulable", conditions=resumed),
        run_in("Running", "d", conditions=ran),
        now=200,
    )
    quota, nodes = ("team", "QuotaExceeded"), ("team", "Unschedulable")
    image = ("team", "ImagePullBackOff")
    assert values(metrics, m.WAITING_RUNS) == {quota: 2, nodes: 1, image: 1}
    assert values(metrics, m.LONGEST_WAIT) == {quota: 200, nodes: 50, image: 20}
    show(metrics, run_in("Running", "a"))
    assert values(metrics, m.LONGEST_WAIT) == {}


@pytest.mark.parametrize(
    ("phase", "status", "expected"),
    [("Running", "True", 0.12), ("Running", "Unknown", None), ("Suspended", "True", None)],
)
def test_a_run_is_underutilized_while_its_condition_holds(
    metrics: OperatorMetrics, phase: str, status: str, expected: float | None
) -> None:
    told = [condition(names.Condition.UNDERUTILIZED, status, 0, "DataWait")]
    show(metrics, run_in(phase, conditions=told, hardware={"utilizationPercent": 12}))
    found = values(metrics, m.UNDERUTILIZED)
    assert found == ({("team", "a", "DataWait"): expected} if expected is not None else {})


def test_attempts_of_deleted_runs_are_forgotten(metrics: OperatorMetrics) -> None:
    for name in "aab":
        metrics.count_attempt("team", name, "Failed", "OutOfMemory")
    show(metrics, run_in("Running", "a"))
    assert values(metrics, m.ATTEMPTS) == {("team", "a", "Failed", "OutOfMemory"): 2}
    metrics.count_attempt("team", "b", "Failed", "OutOfMemory")
    assert values(metrics, m.ATTEMPTS)["team", "b", "Failed", "OutOfMemory"] == 1


def test_an_operator_leads_once_it_acts(metrics: OperatorMetrics) -> None:
    assert values(metrics, m.LEADER) == {(): 0}
    metrics.begin_acting()
    assert values(metrics, m.LEADER) == {(): 1}


def test_the_lag_is_the_largest_of_the_last_minute(metrics: OperatorMetrics) -> None:
    for seconds in (0.1, 7.0, 0.2):
        metrics.set_loop_lag(seconds)
    assert values(metrics, m.EVENT_LOOP_LAG) == {(): 7}
    for _ in range(RECENT_LAGS):
        metrics.set_loop_lag(0.3)
    assert values(metrics, m.EVENT_LOOP_LAG) == {(): 0.3}


def test_a_scrape_sees_the_runs_before_or_after_and_no_half(metrics: OperatorMetrics) -> None:
    def holdings() -> Iterator[Holding]:
        yield measure_run(run_in("Running", "b"), PRICES, at(0))
        seen.append(values(metrics, m.RUNS))  # a scrape while the next ones are measured
        yield measure_run(run_in("Running", "c"), PRICES, at(0))

    seen: list[dict[tuple[str, ...], float]] = []
    show(metrics, run_in("Running", "a"))
    families = list(metrics.registry.collect())  # a scrape that is being written
    metrics.set_runs(holdings())
    key = (names.TRAINING_RUN, "team", "Running")
    (old,) = (family for family in families if family.name == m.RUNS.name)
    assert [*seen, values(metrics, m.RUNS)] == [{key: 1}, {key: 2}]
    assert [sample.value for sample in old.samples] == [1]


def test_a_run_has_a_bounded_number_of_series(metrics: OperatorMetrics) -> None:
    causes = ["", *names.Cause]
    for outcome, cause in [*itertools.product(names.Outcome, causes)] * 3:
        metrics.count_attempt("team", "a", outcome, cause)
    told = [condition(names.Condition.UNDERUTILIZED, "True", 0, "DataWait")]
    show(metrics, run_in("Running", conditions=told, hardware={"utilizationPercent": 12}))
    samples = [sample for family in metrics.collect() for sample in family.samples]
    assert sum(sample.labels.get("run") == "a" for sample in samples) == SERIES_OF_A_RUN


class Answers:
    """An API client that answers with one status."""

    def __init__(self, status: int) -> None:
        self._status = status

    def sanitize_for_serialization(self, body: Any) -> Any:
        return body

    def call_api(self, *_: Any, **__: Any) -> tuple[Any, int, dict[str, str]]:
        if self._status >= 400:
            raise ApiException(self._status)
        return {}, self._status, {}


@pytest.mark.parametrize("status", [200, 201, 409])
def test_calls_are_counted_by_method_and_by_the_status_of_the_answer(
    metrics: OperatorMetrics, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(kubernetes.config, "load_incluster_config", lambda _: None)
    monkeypatch.setattr(kubernetes.client, "ApiClient", lambda _: Answers(status))
    client = ClusterClient(1, metrics)
    with nullcontext() if status < 400 else pytest.raises(ClusterCallError):
        asyncio.run(client.create_job("team", {}))
    assert values(metrics, m.API_CALLS) == {("POST", str(status)): 1}
