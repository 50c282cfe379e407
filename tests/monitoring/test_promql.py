"""Pieces of PromQL evaluated by promtool: DCGM-exporter's series find their run, names keep their namespace."""

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from trainwright_dashboards.promql import by_full_name, of_dcgm

from tests.cluster.cache import cache_folder
from tests.monitoring.prometheus import fetch_prometheus
from tools.pictures.dashboard import fill_in

NAME = "DCGM_FI_PROF_SM_ACTIVE"
TRAINER = 'trainwright_step{namespace="team",run="gpt",pod="gpt-1-worker-0",kind="TrainingRun"}'
OTHERS = {
    f'{NAME}{{namespace="team",pod="notebook",gpu="1"}}': "0.9x5",  # no run holds it
    f'{NAME}{{namespace="monitoring",pod="dcgm-x",gpu="2"}}': "0.1x5",  # nobody does
}
AS_IT_CAME = {f'{NAME}{{namespace="team",pod="gpt-1-worker-0",gpu="0"}}': "0.75x5"}
RENAMED = {
    f'{NAME}{{namespace="monitoring",pod="dcgm-x",exported_namespace="team",'
    'exported_pod="gpt-1-worker-0",gpu="0"}': "0.75x5"
}


@pytest.mark.parametrize("found", [AS_IT_CAME, RENAMED], ids=["honorLabels", "exported"])
def test_devices_of_a_run_are_found_by_their_pod(found: dict[str, str], tmp_path: Path) -> None:
    expression = fill_in(of_dcgm(NAME), {"namespace": "team", "run": "gpt"})
    query = f"sum by (namespace, pod, run, gpu) ({expression})"
    labels = '{namespace="team", pod="gpt-1-worker-0", run="gpt", gpu="0"}'
    check(query, {TRAINER: "3x5", **OTHERS, **found}, {labels: 0.75}, tmp_path)


def test_runs_of_one_name_in_two_namespaces_are_two(tmp_path: Path) -> None:
    given = {
        f'trainwright_step{{namespace="{namespace}",run="gpt",pod="gpt-1-{pod}"}}': f"{step}x5"
        for namespace, pod, step in (
            ("a", "master-0", 3),
            ("a", "worker-0", 4),
            ("b", "master-0", 9),
        )
    }
    expected = {'{namespace_run="a/gpt"}': 4.0, '{namespace_run="b/gpt"}': 9.0}
    check(by_full_name("max", "trainwright_step"), given, expected, tmp_path)


def check(query: str, given: dict[str, str], expected: dict[str, float], folder: Path) -> None:
    """Have promtool evaluate a query over series of six minutes."""
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in given.items()],
        "promql_expr_test": [{"expr": query, "eval_time": "5m", "exp_samples": samples}],
    }
    path = folder / "test.yaml"
    YAML(typ="safe").dump({"tests": [test]}, path)
    promtool = fetch_prometheus(cache_folder()) / "promtool"
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
