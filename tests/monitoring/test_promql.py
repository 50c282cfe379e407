"""Pieces of PromQL evaluated by promtool: DCGM-exporter's series find their run, names keep their namespace."""

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from trainwright_dashboards.promql import by_full_name, new_events, of_dcgm

from tests.monitoring.panels import find_queries, load_dashboards
from tests.monitoring.prometheus import fetch_prometheus
from tools.machine import cache_folder
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


def test_a_run_s_figures_are_joined_with_how_each_attempt_trains(tmp_path: Path) -> None:
    pod = 'namespace="team",run="gpt",pod="gpt-{}-master-0"'
    info = 'attempt="{0}",precision="BF16",zero_stage="{0}",exported_node="n1"'
    given = {
        f"trainwright_mfu_ratio{{{pod.format(number)}}}": f"0.{number}x5" for number in (1, 2)
    } | {
        f"trainwright_run_info{{{pod.format(number)},{info.format(number)}}}": "1x5"
        for number in (1, 2)
    }
    _tile, expression = expressions_of("run", "MFU")
    labels = '{{namespace="team",run="gpt",attempt="{0}",precision="BF16",zero_stage="{0}"}}'
    check(expression, given, {labels.format(1): 0.1, labels.format(2): 0.2}, tmp_path)


GPU = 'namespace="team",run="gpt",pod="gpt-1-worker-0",node="n1",rank="{}",gpu="{}"'
POD = 'namespace="team",run="{0}",pod="{0}-1-worker-0",node="n{1}"'
VARIABLES = {"namespace": "team", "run": ".+", "__rate_interval": "5m", "__range": "5m"}


def test_the_worst_devices_are_in_one_order_and_named_and_those_of_ended_pods_are_not(
    tmp_path: Path,
) -> None:
    use, cpu = "trainwright_gpu_utilization_ratio", "trainwright_cpu_utilization_ratio"
    given = {
        f"trainwright_gpu_info{{{GPU.format(3, 3)}}}": "1x10",
        f'trainwright_gpu_info{{{POD.format("mig", 4)},mig="enabled"}}': "1x10",
        f"{cpu}{{{POD.format('mig', 4)}}}": "0.0625x10",  # nobody tells how busy its device is
        f"{use}{{{GPU.format(3, 3)}}}": "0.75x10",
        f"{use}{{{GPU.format(4, 4)}}}": "0.25x4 stale",
        f"{cpu}{{{POD.format('gpt', 1)}}}": "0.125x10",  # a pod with GPUs is judged by these
        f"{cpu}{{{POD.format('small', 2)}}}": "0.5x10",
        f"{cpu}{{{POD.format('done', 3)}}}": "0.0625x4 stale",
    }
    (expression,) = expressions_of("hardware", "Least used devices")
    query = f"sum by (device) ({expression})"
    expected = {
        '{device="n1 gpu 3: gpt rank 3"}': 0.75,
        '{device="small-1-worker-0 CPU"}': 0.5,
    }
    check(query, given, expected, tmp_path)
    (expression,) = expressions_of("hardware", "Least used nodes")
    check(expression, given, {'{node="n1",device="n1"}': 0.75, '{node="n2",device="n2 CPU"}': 0.5}, tmp_path)  # fmt: skip


def test_a_part_of_a_gpu_and_one_that_does_not_answer_are_gpus(tmp_path: Path) -> None:
    info, cpu = "trainwright_gpu_info", "trainwright_cpu_utilization_ratio"
    model = 'model="H200",driver="570",mig="{}"'
    given = {f"{cpu}{{{POD.format(run, 1)}}}": "0.5x10" for run in ("mig", "hangs", "small")} | {
        f"{info}{{{POD.format('mig', 1)},{model.format('enabled')}}}": "1x10",
        f"{info}{{{POD.format('hangs', 1)},{model.format('disabled')}}}": "1x2 stale",
    }
    devices, others = expressions_of("hardware", "Devices")
    check(devices, given, {f"{{{model.format('enabled')}}}": 1}, tmp_path)
    check(others, given, {"{}": 1}, tmp_path)
    _, use = expressions_of("hardware", "Utilisation")
    check(f"count by (run) ({use})", given, {'{run="small"}': 1}, tmp_path)


def test_events_are_counted_once_from_the_first_on_be_their_series_there_or_gone(
    tmp_path: Path,
) -> None:
    values = {  # those of minute 0 to 5, and how many events there were from minute 2 on
        "begins with its first": ("_x4 1x5", 1),
        "was seen once": ("_x4 1 stale", 1),
        "was seen once, with two": ("_x3 2 stale", 2),
        "had a second": ("_x3 1 2x5", 2),
        "begins with none": ("_x3 0 1x5", 1),
        "had one before": ("1x2 1 2x5", 1),
        "has had none for long": ("3x10", 0),
    }
    given = {f'x{{case="{case}"}}': series for case, (series, _) in values.items()}
    given['x{case="was gone before"}'] = "1 1 stale"
    expected = {f'{{case="{case}"}}': float(count) for case, (_, count) in values.items()}
    check(new_events("x", "3m"), given, expected, tmp_path)


@pytest.mark.parametrize("title", ["Step time by part", "Data wait by pod"])
def test_steps_of_minutes_leave_no_gaps(title: str, tmp_path: Path) -> None:
    labels = f'{POD.format("gpt", 1)},part="data"'
    given = {
        f"trainwright_step_seconds_sum{{{labels}}}": "0x2 120x10",
        f"trainwright_step_seconds_count{{{labels}}}": "0x2 1x10",
    }
    (expression,) = expressions_of("run", title, __rate_interval="1m")
    check(f"sum by (run) ({expression})", given, {'{run="gpt"}': 120}, tmp_path)


def test_memory_of_a_pod_without_a_gpu_is_called_memory(tmp_path: Path) -> None:
    memory = f"trainwright_host_memory_bytes{{{POD.format('small', 2)},state="
    given = {f'{memory}"used"}}': "30x10", f'{memory}"limit"}}': "40x10"}
    (expression,) = expressions_of("hardware", "Fullest devices")
    expected = {'{device="small-1-worker-0 memory"}': 0.75}
    check(f"sum by (device) ({expression})", given, expected, tmp_path)


def test_faults_show_only_the_device_that_has_them(tmp_path: Path) -> None:
    errors = "trainwright_gpu_ecc_errors_total"
    given = {
        f'{errors}{{{GPU.format(3, 3)},uuid="GPU-3",type="corrected"}}': "0x10",
        f'{errors}{{{GPU.format(4, 4)},uuid="GPU-4",type="corrected"}}': "_x2 0 0 2x10",
    }
    in_all, by_device = expressions_of("hardware", "Memory errors")
    check(in_all, given, {"{}": 2}, tmp_path)
    check(f"sum by (uuid) ({by_device})", given, {'{uuid="GPU-4"}': 2}, tmp_path)


def test_a_run_without_gpus_has_no_zero_in_their_row(tmp_path: Path) -> None:
    info = f"trainwright_gpu_info{{{GPU.format(3, 3)}}}"
    for title in ("Throttled", "Xid events"):
        in_all, _ = expressions_of("run", title)
        check(in_all, {"trainwright_step": "1x5"}, {}, tmp_path)
        check(in_all, {info: "1x5"}, {"{}": 0}, tmp_path)


def test_least_used_runs_are_named_with_the_reason_that_the_operator_gives(tmp_path: Path) -> None:
    use, why = (
        "trainwright:device_utilization:ratio",
        "trainwright_operator_underutilized_run_ratio",
    )
    given = {
        f'{use}{{namespace="team",run="a"}}': "0.25x10",
        f'{use}{{namespace="team",run="b"}}': "0.75x10",
        **{  # an operator in another namespace, and the one that takes over
            f'{why}{{namespace="system",pod="{pod}",run_namespace="team",run="a",reason="DataWait"}}': "0.25x10"
            for pod in "xy"
        },
    }
    (expression,) = expressions_of("fleet", "Least used runs")
    expected = {
        '{namespace="team",run="a",reason="DataWait"}': 0.25,
        f'{use}{{namespace="team",run="b"}}': 0.75,
    }
    check(expression, given, expected, tmp_path)


def test_goodput_of_all_runs_counts_them_by_their_devices(tmp_path: Path) -> None:
    given = {
        f'trainwright:{name}{{namespace="team",run="{run}"}}': f"{value}x10"
        for run, ratio, devices in (("big", 0.75, 3), ("small", 0.25, 1))
        for name, value in (("goodput:ratio", ratio), ("devices:count", devices))
    }
    given['trainwright:devices:count{namespace="team",run="has-not-said"}'] = "8x10"
    tile, _ = expressions_of("fleet", "Goodput")
    check(tile, given, {"{}": 0.625}, tmp_path)


def test_live_runs_are_those_that_have_done_a_step_and_are_there(tmp_path: Path) -> None:
    given = {
        f'trainwright_{name}{{namespace="team",run="{run}",pod="{run}-1-worker-0"}}': values
        for run, names, values in (
            ("trains", ("step", "steps_planned", "checkpoint_timestamp_seconds"), "8x10"),
            ("starts", ("steps_planned", "checkpoint_timestamp_seconds"), "8x10"),
            ("ended", ("step", "steps_planned", "checkpoint_timestamp_seconds"), "8x4 stale"),
        )
        for name in names
    }
    given |= {
        f'trainwright:device_utilization:ratio{{namespace="team",run="{run}"}}': "8x10"
        for run in ("trains", "starts")
    }
    _, *found = expressions_of("fleet", "Live runs")  # after the tile of this name
    progress, use, age = found[0], found[4], found[5]
    name = 'namespace_run="team/trains"'
    check(progress, given, {f'{{{name},namespace="team",run="trains"}}': 1.0}, tmp_path)
    check(use, given, {f"{{{name}}}": 8.0}, tmp_path)
    check(age, given, {f"{{{name}}}": 292.0}, tmp_path)


def test_annotations_are_at_the_time_of_the_event(tmp_path: Path) -> None:
    pods = [f'namespace="team",run="gpt",pod="gpt-2-{pod}"' for pod in ("master-0", "worker-0")]
    given = {
        f"trainwright_start_timestamp_seconds{{{pods[0]}}}": "_ 70x10",
        f"trainwright_start_timestamp_seconds{{{pods[1]}}}": "_ 72x10",
        f"trainwright_checkpoint_timestamp_seconds{{{pods[0]}}}": "_x3 185x10",
        **{f'trainwright_run_info{{{pod},attempt="2"}}': "_ _ 1x10" for pod in pods},
    }
    started, saved = (
        fill_in(annotation["expr"], VARIABLES)
        for annotation in load_dashboards()["run"]["annotations"]["list"]
    )
    expected = {'{namespace="team",run="gpt",attempt="2"}': 70_000.0}
    check(started, given, expected, tmp_path)
    check(saved, given, {'{namespace="team",run="gpt"}': 185_000.0}, tmp_path)


def expressions_of(dashboard: str, title: str, **variables: str) -> list[str]:
    """The queries of a panel, for all runs of the namespace `team`."""
    return [
        fill_in(query.expression, VARIABLES | variables)
        for query in find_queries()
        if (query.dashboard, query.panel) == (dashboard, title)
    ]


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
