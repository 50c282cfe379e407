"""The dashboards as documents: complete texts, known units and metrics, no panel outside the screen."""

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from trainwright_api import metrics
from trainwright_cli.app import app
from trainwright_dashboards.frame import TAG, UIDS
from trainwright_dashboards.generate import CHART_FILES
from trainwright_dashboards.rules import build_recording_rules

from tests.monitoring.panels import find_queries, load_dashboards
from tools.machine import PROJECT

DASHBOARDS = load_dashboards()
KNOWN_UNITS = {
    *("percentunit", "s", "none", "short", "sci", "bytes", "Bps", "hertz", "watt", "celsius"),
    *("currencyUSD", "reqps", "ops"),
}
PANELS = [
    pytest.param(name, panel, id=f"{name}/{panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]


def test_there_are_four_dashboards_with_links_to_each_other() -> None:
    assert {d["uid"] for d in DASHBOARDS.values()} == set(UIDS.values())
    for dashboard in DASHBOARDS.values():
        assert dashboard["tags"] == [TAG]
        assert dashboard["links"][0]["tags"] == [TAG]
        assert "datasource" in {v["name"] for v in dashboard["templating"]["list"]}


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_panel_says_what_it_shows(name: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in KNOWN_UNITS
    place = panel["gridPos"]
    assert place["x"] + place["w"] <= 24
    assert place["w"] >= 4
    letters = [target["refId"] for target in panel["targets"]]
    assert len(letters) == len(set(letters)) > 0


def test_every_metric_in_a_query_is_declared() -> None:
    declared = {metric.name for metric in metrics.ALL}
    declared |= {
        f"{m.name}{s}"
        for m in metrics.ALL
        if m.type == "histogram"
        for s in ("_sum", "_count", "_bucket")
    }
    recorded = {rule["record"] for rule in build_recording_rules()}
    for query in find_queries():
        names = set(re.findall(r"trainwright[a-z_:]+", query.expression))
        assert names <= declared | recorded, str(query)


def test_every_metric_is_on_a_dashboard_or_joins_others() -> None:
    text = " ".join(query.expression for query in find_queries())
    text += " ".join(rule["expr"] for rule in build_recording_rules())
    joining = {metrics.BUILD_INFO, metrics.GPU_INFO, metrics.RUN_INFO}
    missing = {m.name for m in metrics.ALL if m.name not in text and m not in joining}
    assert missing == set()


def test_the_command_writes_the_files_that_the_chart_ships(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["dashboards", str(tmp_path)])
    assert done.exit_code == 0, done.output
    chart = PROJECT / CHART_FILES
    written = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    shipped = {p.relative_to(chart): p.read_text() for p in chart.rglob("*") if p.is_file()}
    assert written == shipped
