"""The dashboards as documents: complete texts, known units and metrics, no panel outside the screen."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from trainwright_api import metrics
from trainwright_cli.app import app
from trainwright_dashboards.frame import TAG, UIDS
from trainwright_dashboards.generate import CHART_FILES
from trainwright_dashboards.rules import RUNBOOK_BASE, build_recording_rules

from tests.monitoring.grafana_types import find_faults
from tests.monitoring.panels import find_panels, find_queries, load_dashboards
from tools.machine import PROJECT

DASHBOARDS = load_dashboards()
SCREEN_WIDTH = 1920
KNOWN_UNITS = {
    *("percentunit", "s", "none", "short", "sci", "bytes", "Bps", "hertz", "watt", "celsius"),
    *("currencyUSD", "reqps", "ops", "flops", "count:tok/s", "count:seq/s"),
}
PANELS = [
    pytest.param(name, panel, id=f"{name}/{panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in find_panels(dashboard)
]


def test_there_are_four_dashboards_with_links_to_each_other() -> None:
    assert {d["uid"] for d in DASHBOARDS.values()} == set(UIDS.values())
    for dashboard in DASHBOARDS.values():
        assert dashboard["tags"] == [TAG]
        (link,) = dashboard["links"]
        assert (link["type"], link["tags"]) == ("dashboards", [TAG])
        assert link["includeVars"]
        assert link["keepTime"]
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


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboard_is_what_grafanas_own_types_say(name: str) -> None:
    assert find_faults(DASHBOARDS[name]) == []


Change = Callable[[dict[str, Any]], Any]
WRONG: dict[str, Change] = {
    "a text as a height": lambda d: d["panels"][1]["gridPos"].update(h="8"),
    "a number as a title": lambda d: d["panels"][1].update(title=8),
    "a switch as a number": lambda d: d["panels"][1]["fieldConfig"]["defaults"].update(min=True),
    "a word that none of an enumeration is": lambda d: d["panels"][1]["options"].update(
        colorMode="colourful"
    ),
    "a field that there is not": lambda d: d["panels"][1].update(heigth=8),
    "an option that there is not": lambda d: d["panels"][1]["options"].update(colour="red"),
    "one query instead of a list": lambda d: d["panels"][1].update(targets={"refId": "A"}),
    "a number as a query": lambda d: d["panels"][1]["targets"][0].update(expr=1),
    "a text as a switch": lambda d: d["annotations"]["list"][0].update(useValueForTime="on"),
    "a field of an annotation that there is not": lambda d: d["annotations"]["list"][0].update(
        titelFormat="x"
    ),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_document_is_found_out(change: Change) -> None:
    document = copy.deepcopy(DASHBOARDS["run"])
    change(document)
    assert find_faults(document)


def test_a_row_of_the_fleet_leads_to_the_dashboard_of_its_run() -> None:
    (table,) = (p for p in find_panels(DASHBOARDS["fleet"]) if p["type"] == "table")
    set_by_column = {
        override["matcher"]["options"]: {p["id"]: p["value"] for p in override["properties"]}
        for override in table["fieldConfig"]["overrides"]
    }
    (link,) = set_by_column["Run"]["links"]
    assert link["url"].startswith(f"/d/{UIDS['run']}?")
    chosen = {v["name"] for v in DASHBOARDS["run"]["templating"]["list"]} - {"datasource"}
    for name in chosen:  # a label of the row, which has no column of its own
        assert f"var-{name}=${{__data.fields.{name}}}" in link["url"]
        assert set_by_column[name] == {"custom.hidden": True}
        assert re.search(rf"by \([^)]*\b{name}\b", table["targets"][0]["expr"])


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_title_is_not_cut_on_a_screen_of_1080_lines(name: str, panel: dict[str, Any]) -> None:
    """14 pixels high, 7.5 a letter on average; the sign with the description takes 40 more."""
    width = panel["gridPos"]["w"] * SCREEN_WIDTH / 24 - 8
    assert len(panel["title"]) * 7.5 + 40 + 16 <= width
    # A graph with axes and a legend of five rows needs eight rows of the grid; 1080 lines hold 26.
    lowest = {"stat": 4, "timeseries": 8, "bargauge": 8, "table": 8, "trend": 8}[panel["type"]]
    assert lowest <= panel["gridPos"]["h"] <= 13


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_legend_tells_runs_of_one_name_in_two_namespaces_apart(
    name: str, panel: dict[str, Any]
) -> None:
    legends = [target["legendFormat"] for target in panel["targets"]]
    named = [legend for legend in legends if re.search(r"\{\{(run|pod)\}\}", legend)]
    assert [legend for legend in named if "{{namespace}}/" not in legend] == []


def test_the_fleet_offers_the_namespaces_of_runs_that_have_no_pods() -> None:
    offered = {
        (name, variable["name"]): variable["query"]
        for name, dashboard in DASHBOARDS.items()
        for variable in dashboard["templating"]["list"]
    }
    of_pods = f"label_values({metrics.RUN_INFO.name}, namespace)"
    assert offered["fleet", "namespace"] == f"label_values({metrics.RUNS.name}, run_namespace)"
    assert offered["run", "namespace"] == offered["hardware", "namespace"] == of_pods


def test_panels_lie_beside_each_other_and_fill_no_place_twice() -> None:
    for dashboard in DASHBOARDS.values():
        taken = [
            (x, y)
            for panel in find_panels(dashboard)
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(taken) == len(set(taken))


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


def test_every_metric_is_on_a_dashboard() -> None:
    texts = [query.expression for query in find_queries()]
    texts += [rule["expr"] for rule in build_recording_rules()]
    names = {name for text in texts for name in re.findall(r"\btrainwright_\w+", text)}
    missing = {
        metric.name
        for metric in metrics.ALL
        if names.isdisjoint(metric.name + suffix for suffix in ("", "_sum", "_count", "_bucket"))
    }
    assert missing == set()


def test_the_command_writes_the_files_that_the_chart_ships(tmp_path: Path) -> None:
    written = export(tmp_path, "--runbook-base-url", RUNBOOK_BASE.join(("https://", "/")))
    chart = PROJECT / CHART_FILES
    shipped = {p.relative_to(chart): p.read_text() for p in chart.rglob("*") if p.is_file()}
    rules = Path("rules.yaml")
    assert written.pop(rules).replace("https://", "") == shipped.pop(rules)
    assert written == shipped


def test_alerts_of_the_command_lead_nowhere_unless_it_is_told(tmp_path: Path) -> None:
    text = export(tmp_path)[Path("rules.yaml")]
    assert "runbook" not in text
    assert RUNBOOK_BASE not in text


def test_the_command_refuses_a_path_as_the_runbooks_url(tmp_path: Path) -> None:
    arguments = ["dashboards", "export", str(tmp_path), "--runbook-base-url", "docs/runbooks"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "got docs/runbooks, expected a URL" in done.output
    assert not list(tmp_path.iterdir())


def export(folder: Path, *options: str) -> dict[Path, str]:
    """The files that `trainwright dashboards export` writes."""
    done = CliRunner().invoke(app, ["dashboards", "export", str(folder), *options])
    assert done.exit_code == 0, done.output
    return {p.relative_to(folder): p.read_text() for p in folder.rglob("*") if p.is_file()}
