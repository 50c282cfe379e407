"""How many processes a run takes on this machine, and on what."""

import math
import os
from pathlib import Path

import pytest
from trainwright_api.run import Run
from trainwright_cli.errors import CliError
from trainwright_cli.local import devices
from trainwright_cli.local.devices import Machine, choose_workers, fetch_machine, find_visible
from trainwright_cli.local.limits import read_cpu_limit, read_memory_limit_bytes

from tests.unit.planner.builders import a_run, on_gpus

LAPTOP = Machine(num_cpus=8, memory_gib=16, num_gpus=0)
WORKSTATION = Machine(num_cpus=32, memory_gib=128, num_gpus=2, gpu_memory_gib=24)


def test_a_system_that_does_not_tell_which_cpus_a_process_may_use_has_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(devices, "read_cpu_limit", lambda: math.inf)
    assert fetch_machine().num_cpus == 6


def chosen(
    run: Run, machine: Machine, device: str = "auto", processes: int | None = None
) -> tuple[int, bool, float | None]:
    workers, _ = choose_workers(run, machine, device=device, processes=processes)  # type: ignore[arg-type]
    assert workers.nodes == 1
    return workers.processes_per_node, workers.uses_accelerators, workers.device_memory_gib


def test_nodes_become_processes() -> None:
    assert chosen(a_run(), LAPTOP) == (2, False, 8)


def test_a_large_run_takes_what_the_machine_has_and_divides_the_batch() -> None:
    run = a_run(workers=on_gpus(nodes=8), batch={"globalSequences": 512})
    assert chosen(run, LAPTOP) == (8, False, 2)
    assert chosen(run, WORKSTATION) == (2, True, 24)
    assert chosen(run, WORKSTATION, device="cpu") == (32, False, 4)
    odd = a_run(workers=on_gpus(nodes=1, per_node=5), batch={"globalSequences": 15})
    assert chosen(odd, Machine(4, 16, 0))[0] == 3


def test_cpu_training_never_takes_gpus() -> None:
    assert chosen(a_run(), WORKSTATION)[1] is False


def test_processes_are_capped_by_the_user() -> None:
    run = a_run(workers=on_gpus(nodes=8), batch={"globalSequences": 512})
    assert chosen(run, LAPTOP, processes=4)[0] == 4
    with pytest.raises(CliError, match=r"got 3, expected a divisor of batch\.globalSequences"):
        chosen(run, LAPTOP, processes=3)


def test_given_micro_batches_stay_whole() -> None:
    run = a_run(
        workers=on_gpus(nodes=1, per_node=6), batch={"globalSequences": 12, "microSequences": 2}
    )
    four = Machine(4, 16, 0)  # each of 4 would have 3 sequences: no whole number of micro-batches
    assert chosen(run, four)[0] == 3
    said = r"batch\.globalSequences \(12\) / batch\.microSequences \(2\); use 3"
    with pytest.raises(CliError, match=rf"got 4, expected a divisor of {said}"):
        chosen(run, four, processes=4)


@pytest.mark.parametrize(
    ("machine", "device", "said"),
    [
        (LAPTOP, "auto", "8 of the run's 64 processes on this machine's 8 CPUs (no GPU found)"),
        (
            WORKSTATION,
            "cpu",
            "32 of the run's 64 processes on this machine's 32 CPUs (--device cpu)",
        ),
        (WORKSTATION, "auto", "2 of the run's 64 processes on this machine's 2 GPUs"),
    ],
)
def test_the_choice_says_why(machine: Machine, device: str, said: str) -> None:
    run = a_run(workers=on_gpus(nodes=8), batch={"globalSequences": 512})
    assert choose_workers(run, machine, device=device, processes=None)[1] == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        ("GPU-b, 0", [1, 0]),
        ("", []),
        ("-1", []),
        ("0,7,1", [0]),
        ("GPU-", []),
    ],
)
def test_only_the_gpus_that_cuda_shows_count(visible: str | None, shown: list[int]) -> None:
    assert find_visible(["GPU-a1", "GPU-b2", "GPU-c3"], visible) == shown


SECOND_GENERATION = {"memory.max": "2147483648\n", "cpu.max": "150000 100000\n"}
FIRST_GENERATION = {
    "memory/memory.limit_in_bytes": "2147483648\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
}
NO_LIMITS = [
    {},
    {"memory.max": "max\n", "cpu.max": "max 100000\n"},
    {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
]


def write_limits(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.parametrize("files", [FIRST_GENERATION, SECOND_GENERATION], ids=["first", "second"])
def test_a_container_has_what_its_limits_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    root = write_limits(tmp_path, files)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    monkeypatch.setattr(devices, "read_cpu_limit", lambda: read_cpu_limit(root))
    monkeypatch.setattr(devices, "read_memory_limit_bytes", lambda: read_memory_limit_bytes(root))
    machine = fetch_machine()
    assert (machine.num_cpus, machine.memory_gib) == (2, 2.0)


@pytest.mark.parametrize("files", NO_LIMITS)
def test_without_limits_it_has_the_machine(tmp_path: Path, files: dict[str, str]) -> None:
    root = write_limits(tmp_path, files)
    assert (read_cpu_limit(root), read_memory_limit_bytes(root)) == (math.inf, math.inf)


def test_this_machine_has_cpus_and_memory() -> None:
    machine = fetch_machine()
    assert machine.num_cpus >= 1
    assert machine.memory_gib > 0.1
