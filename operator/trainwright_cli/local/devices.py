"""What this machine has, and how many processes of a run it takes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainwright_api.run import Run, RunWorkers

from trainwright_cli.errors import CliError
from trainwright_cli.local.limits import read_cpu_limit, read_memory_limit_bytes

GIB = 2**30
DeviceChoice = Literal["auto", "cpu"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Devices of this machine."""

    num_cpus: int
    memory_gib: float
    num_gpus: int
    gpu_memory_gib: float | None = None


def fetch_machine(visible_gpus: str | None = None) -> Machine:
    """Return what this process may use; of the GPUs, those of CUDA_VISIBLE_DEVICES if it is set."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = min(physical, read_memory_limit_bytes()) / GIB
    num_gpus, gpu_memory = _fetch_gpus(visible_gpus)
    return Machine(_count_cpus(), memory, num_gpus, gpu_memory)


def _count_cpus() -> int:
    """Return how many this process may use; all of them where only Linux would tell."""
    has_affinity = hasattr(os, "sched_getaffinity")
    there = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, round(min(there, read_cpu_limit())))


def choose_workers(
    run: Run, machine: Machine, *, device: DeviceChoice, processes: int | None
) -> tuple[RunWorkers, str]:
    """Return the group of processes for this machine, and why it is this one.

    All nodes of the run become processes of this machine: as many as it has devices (or
    `processes`), and such that they divide the batch, into whole micro-batches of a given size.
    Raises CliError if `processes` does not.
    """
    uses_gpus = run.workers.uses_accelerators and device == "auto" and machine.num_gpus > 0
    available = machine.num_gpus if uses_gpus else machine.num_cpus
    wanted = min(run.world_size, processes or available)
    whole, micro = run.batch.global_sequences, run.batch.micro_sequences
    count = max(n for n in range(1, wanted + 1) if whole % (n * (micro or 1)) == 0)
    if processes and count != wanted:
        divided = f"batch.globalSequences ({whole})"
        divided += f" / batch.microSequences ({micro})" if micro else ""
        raise CliError(
            f"--processes: got {processes}, expected a divisor of {divided}; use {count}"
        )
    memory = machine.gpu_memory_gib if uses_gpus else machine.memory_gib / count
    workers = RunWorkers(
        nodes=1, processes_per_node=count, uses_accelerators=uses_gpus, device_memory_gib=memory
    )
    return workers, _reason(run, machine, count, uses_gpus=uses_gpus, device=device)


def _reason(run: Run, machine: Machine, count: int, *, uses_gpus: bool, device: str) -> str:
    what = f"{machine.num_gpus} GPUs" if uses_gpus else f"{machine.num_cpus} CPUs"
    said = f"{count} of the run's {run.world_size} processes on this machine's {what}"
    if run.workers.uses_accelerators and not uses_gpus:
        said += " (--device cpu)" if device == "cpu" else " (no GPU found)"
    return said


def find_visible(uuids: Sequence[str], visible: str | None) -> list[int]:
    """Return the numbers of the GPUs that CUDA shows for this value of CUDA_VISIBLE_DEVICES.

    As in CUDA, entries are numbers or beginnings of UUIDs, and all after the first wrong one are left out.
    """
    if visible is None:
        return list(range(len(uuids)))
    found: list[int] = []
    for entry in (part.strip() for part in visible.split(",")):
        matches = [
            index
            for index, uuid in enumerate(uuids)
            if entry == str(index) or (entry.startswith("GPU-") and uuid.startswith(entry))
        ]
        if len(matches) != 1:
            break
        found += matches
    return found


def _fetch_gpus(visible: str | None) -> tuple[int, float | None]:
    """Return the number of NVIDIA GPUs and the memory of the smallest; none without their library."""
    try:
        import pynvml
    except ImportError:
        return 0, None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0, None
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
        shown = [handles[index] for index in find_visible(uuids, visible)]
        sizes = [pynvml.nvmlDeviceGetMemoryInfo(handle).total / GIB for handle in shown]
        return len(shown), min(sizes, default=None)
    finally:
        pynvml.nvmlShutdown()
