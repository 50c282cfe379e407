"""The link from a run's status to its dashboard."""

import asyncio
from typing import Any

import pytest
from trainwright_api.status import RunStatus
from trainwright_dashboards.generate import build_files
from trainwright_operator.links import build_dashboard_url
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.reconcile import Reconciler
from trainwright_operator.settings import Settings
from trainwright_operator.world import World

from tests.unit.operator.builders import KEY, T0, raw_run, run
from tests.unit.operator.small_cluster import SmallCluster

GRAFANA = "https://grafana.example/"
PAGE = "https://grafana.example/d/trainwright-run?var-namespace=team&var-run=gpt"


@pytest.mark.parametrize(
    ("known", "times"),
    [
        ({}, "from=now-30m&to=now"),
        ({"startedAt": "2026-01-01T12:00:00Z"}, "from=1767268740000&to=now"),
        (
            {"startedAt": "2026-01-01T12:00:00Z", "finishedAt": "2026-01-01T13:00:00Z"},
            "from=1767268740000&to=1767272460000",
        ),
    ],
    ids=["new", "running", "ended"],
)
def test_the_link_shows_the_runs_own_time(known: dict[str, Any], times: str) -> None:
    resource = run()
    assert (
        build_dashboard_url(GRAFANA, resource, RunStatus.model_validate(known)) == f"{PAGE}&{times}"
    )


def test_without_grafana_there_is_no_link() -> None:
    assert build_dashboard_url(None, run(), RunStatus()) is None


def test_the_link_leads_to_the_run_dashboard_and_its_variables() -> None:
    dashboard = build_files()["dashboards/run.json"]
    assert '"uid": "trainwright-run"' in dashboard
    for variable in ("namespace", "run"):
        assert f'"name": "{variable}"' in dashboard


def test_the_operator_writes_the_link_with_the_status() -> None:
    cluster, world = SmallCluster(lambda *_: None), World()
    cluster.runs["gpt"] = raw_run()
    settings = Settings(grafana_url=GRAFANA)
    reconciler = Reconciler(world, cluster, settings, OperatorMetrics("test"))
    cluster.show(world)
    asyncio.run(reconciler.reconcile(KEY, T0))
    assert cluster.runs["gpt"]["status"]["dashboardUrl"].startswith(PAGE)
