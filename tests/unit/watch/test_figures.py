"""Figures of ranks: out of a page of metrics, and of which pods they are fetched."""

from trainwright_cli.cluster import PodView
from trainwright_cli.runs import parse_run
from trainwright_cli.watching.cluster_source import choose_pods
from trainwright_cli.watching.figures import parse_figures
from trainwright_cli.watching.snapshot import RankFigures

from tests.terminals.runs import PLAN
from tests.unit.cli.manifests import a_training_run

GPU_PAGE = """
# HELP trainwright_gpu_utilization_ratio Time with a kernel running (0 to 1).
# TYPE trainwright_gpu_utilization_ratio gauge
trainwright_gpu_utilization_ratio{gpu="1",uuid="GPU-b",rank="9"} 0.5
trainwright_gpu_utilization_ratio{gpu="0",uuid="GPU-a",rank="8"} 0.75
trainwright_gpu_memory_used_bytes{gpu="0",uuid="GPU-a",rank="8"} 6.4e+10
trainwright_gpu_memory_total_bytes{gpu="0",uuid="GPU-a",rank="8"} 8.5e+10
trainwright_gpu_power_watts{gpu="0",uuid="GPU-a",rank="8"} 412.5
trainwright_gpu_temperature_celsius{gpu="0",uuid="GPU-a",rank="8"} 71.0
trainwright_cpu_utilization_ratio 0.1
trainwright_from_the_future{rank="8"} NaN oops
not a series
"""
CPU_PAGE = """
trainwright_memory_bytes{rank="3",state="peak"} 1e+09
trainwright_memory_bytes{rank="2",state="peak"} 1e+09
trainwright_cpu_utilization_ratio 0.4
trainwright_host_memory_bytes{state="used"} 2e+09
trainwright_host_memory_bytes{state="limit"} 4e+09
"""


def test_gpus_come_by_rank_with_what_their_driver_tells() -> None:
    assert parse_figures(GPU_PAGE, node_rank=1) == [
        RankFigures(8, "GPU", 0.75, 6.4e10, 8.5e10, 412.5, 71.0),
        RankFigures(9, "GPU", 0.5),
    ]


def test_a_pod_on_cpus_is_one_row_named_by_its_first_rank() -> None:
    assert parse_figures(CPU_PAGE, node_rank=1) == [RankFigures(2, "CPU", 0.4, 2e9, 4e9)]


def test_the_pod_of_the_worst_rank_is_asked_before_all_others() -> None:
    status = {
        "hardware": {"device": "H100", "accelerators": 24, "worstRank": 19},
        "plan": PLAN | {"numDevices": 24},
    }
    manifest = a_training_run(workers={"nodes": 12}) | {"status": status}
    pods = [PodView(f"gpt-{n}", 1, n, "Running" if n != 2 else "Pending") for n in range(12)]
    chosen = choose_pods(pods, parse_run(manifest))
    assert [pod.node_rank for pod in chosen] == [9, 0, 1, 3, 4, 5, 6, 7]


def test_a_page_without_figures_gives_none() -> None:
    assert parse_figures("", node_rank=0) == []
