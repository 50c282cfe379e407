"""Every alert fires when it should and stays quiet when it should not, by `promtool test rules`."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from trainwright_dashboards.rules import (
    Alert,
    build_alerts,
    build_recording_rules,
    build_rule_groups,
)

from tests.monitoring.alert_cases import CASES, AlertCase, Series
from tests.monitoring.prometheus import fetch_prometheus
from tests.monitoring.recorded_cases import RECORDED, RecordedCase
from tools.machine import cache_folder

RUNBOOKS = Path("operator/docs/runbooks")


@pytest.fixture(scope="session")
def promtool() -> Path:
    return fetch_prometheus(cache_folder()) / "promtool"


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    with path.open("w") as stream:
        YAML(typ="safe").dump(build_rule_groups(), stream)
    return path


def fired_alerts(promtool: Path, rules_file: Path, case: AlertCase, series: Series) -> str:
    """Return what promtool says when it is told that nothing fires: the alerts that did."""
    expected = {"eval_time": f"{case.at}m", "alertname": case.alert, "exp_alerts": []}
    return find_differences(promtool, rules_file, series, alert_rule_test=[expected])


def find_differences(
    promtool: Path,
    rules_file: Path,
    series: Series,
    *,
    interval: int = 60,
    evaluated: int = 60,
    **expected: Any,
) -> str:
    """Return how what the rules make of series differs from what is expected; empty if it does not.

    A value of the series comes every `interval` seconds; the rules are evaluated every `evaluated` ones.
    """
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {
        "rule_files": [str(rules_file)],
        "evaluation_interval": f"{evaluated}s",
        "tests": [{"interval": f"{interval}s", "input_series": inputs, **expected}],
    }
    path = rules_file.with_name("test.yaml")
    with path.open("w") as stream:
        YAML(typ="safe").dump(test, stream)
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert ("SUCCESS" in done.stdout) == (done.returncode == 0), done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_rule_file_is_valid(promtool: Path, rules_file: Path) -> None:
    subprocess.run([promtool, "check", "rules", str(rules_file)], check=True, capture_output=True)


def test_there_is_a_case_for_every_alert() -> None:
    assert {case.alert for case in CASES} == {alert.name for alert in build_alerts()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_alert_fires_with_a_summary(promtool: Path, rules_file: Path, case: AlertCase) -> None:
    fired = fired_alerts(promtool, rules_file, case, case.firing)
    assert fired.count(f'alertname="{case.alert}"') == 1, fired
    assert f'summary="{case.summary}"' in fired, fired


OF_RUNS = [case for case in CASES if not case.alert.startswith("TrainwrightOperator")]


@pytest.mark.parametrize("case", OF_RUNS, ids=lambda case: case.alert)
def test_alert_about_runs_has_their_namespace_whoever_measured_it(
    promtool: Path, rules_file: Path, case: AlertCase
) -> None:
    fired = fired_alerts(promtool, rules_file, case, case.firing)
    assert re.findall(r'\bnamespace="(\w+)"', fired) == ["team"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_alert_stays_quiet(promtool: Path, rules_file: Path, case: AlertCase) -> None:
    assert fired_alerts(promtool, rules_file, case, case.quiet) == ""


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.expression)
def test_recorded_series_have_the_values_that_they_are_named_after(
    promtool: Path, rules_file: Path, case: RecordedCase
) -> None:
    samples = [{"labels": labels, "value": value} for labels, value in case.samples.items()]
    expected = {"expr": case.expression, "eval_time": f"{case.at}s", "exp_samples": samples}
    found = find_differences(
        promtool,
        rules_file,
        case.series,
        interval=case.interval,
        evaluated=case.evaluated,
        promql_expr_test=[expected],
    )
    assert found == ""


def test_there_is_a_case_for_every_recorded_series() -> None:
    assert {case.expression for case in RECORDED} == {r["record"] for r in build_recording_rules()}


@pytest.mark.parametrize("alert", build_alerts(), ids=lambda alert: alert.name)
def test_alert_has_a_runbook(alert: Alert) -> None:
    text = (RUNBOOKS / f"{alert.name}.md").read_text()
    assert text.startswith(f"# {alert.name}\n")
    for section in ("## What it means", "## What to look at", "## What to do"):
        assert section in text
