"""What the devices are and do: the report's hardware summary, CPU use, and the peak that MFU assumes.

It imports no torch before that is needed: the report is served before a rank's heavy imports.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psutil
from trainwright_api.run import Run
from trainwright_api.status import Hardware
from trainwright_api.training import Precision

from trainwright_trainer.cgroups import available_cores, read_cpu_quota, read_memory_limit
from trainwright_trainer.gpu_metrics import summarize_gpus
from trainwright_trainer.nvml import GpuSample
from trainwright_trainer.pod_hardware import RecentMean

GIB = 2**30
MEAN_SAMPLES = 30  # a minute of samples: what the summary calls utilisation
_GEMM_SIZE = 768
_GEMM_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Peaks:
    """Peaks of one device in FLOP/s, without sparsity: BF16 and FP16 on tensor cores, FP32."""

    half: float
    fp32: float


# By what NVML's and CUDA's names of the device contain; of several, the longest counts. Figures of NVIDIA's
# data sheets ("NVIDIA H100 Tensor Core GPU" and so on), where those with sparsity are twice as high.
_GPU_PEAKS = {
    "GB200": _Peaks(2500e12, 80e12),
    "B200": _Peaks(2250e12, 80e12),
    "GH200": _Peaks(989e12, 67e12),
    "H200": _Peaks(989e12, 67e12),  # SXM
    "H200 NVL": _Peaks(835e12, 60e12),
    "H100": _Peaks(989e12, 67e12),  # SXM
    "H100 PCIe": _Peaks(756e12, 51e12),
    "H100 NVL": _Peaks(835e12, 60e12),
    "H800": _Peaks(989e12, 67e12),  # SXM
    "H800 PCIe": _Peaks(756e12, 51e12),
    "H20": _Peaks(148e12, 44e12),
    "A100": _Peaks(312e12, 19.5e12),
    "A800": _Peaks(312e12, 19.5e12),
    "A40": _Peaks(149.7e12, 37.4e12),
    "A10": _Peaks(125e12, 31.2e12),
    "L40S": _Peaks(362e12, 91.6e12),
    "L40": _Peaks(181e12, 90.5e12),
    "L4": _Peaks(121e12, 30.3e12),
    "V100": _Peaks(125e12, 15.7e12),  # SXM
    "V100-PCIE": _Peaks(112e12, 14e12),
    "T4": _Peaks(65e12, 8.1e12),
}
_MIG_SLICE = re.compile(r"MIG (\d)g")  # compute slices of the seven that each of these GPUs has
_NUM_SLICES = 7


def supports(precision: Precision) -> bool:
    """Tell whether this process' device computes in a precision."""
    from deepspeed import get_accelerator

    device = get_accelerator()
    checks = {
        Precision.FP16: device.is_fp16_supported,
        Precision.BF16: device.is_bf16_supported,
    }
    return bool(checks.get(precision, lambda: True)())


def find_peak_flops(run: Run) -> tuple[float | None, str]:
    """Return the peak of one process' device in FLOP/s and where the figure comes from.

    GPUs: the vendor's figure, for a MIG instance its share; CPUs: a matrix product timed on this process' threads.
    """
    if not run.workers.uses_accelerators:
        return _measure_peak(run.precision), "measured matrix product"
    import torch

    name = torch.cuda.get_device_name()
    model = max((model for model in _GPU_PEAKS if _names(model, name)), key=len, default=None)
    if model is None:
        return None, f"no figure for {name}"
    peaks = _GPU_PEAKS[model]
    peak = peaks.fp32 if run.precision is Precision.FP32 else peaks.half
    if (instance := _MIG_SLICE.search(name)) is not None:
        slices = int(instance[1])
        source = f"data sheet of {model}, {slices} of {_NUM_SLICES} slices"
        return peak * slices / _NUM_SLICES, source
    return peak, f"data sheet of {model}"


def _names(model: str, name: str) -> bool:
    """Whether a device's name says a model, and not one that begins alike (A10, A100)."""
    return re.search(rf"\b{model}\b", name) is not None


def _measure_peak(precision: Precision) -> float:
    import torch

    dtype = {
        Precision.FP32: torch.float32,
        Precision.BF16: torch.bfloat16,
        Precision.FP16: torch.float16,
    }[precision]
    left = torch.ones(_GEMM_SIZE, _GEMM_SIZE, dtype=dtype)
    best = float("inf")
    deadline = time.perf_counter() + _GEMM_SECONDS
    while best == float("inf") or time.perf_counter() < deadline:
        started = time.perf_counter()
        torch.mm(left, left)
        best = min(best, time.perf_counter() - started)
    return 2 * _GEMM_SIZE**3 / best


class HostMonitor:
    """CPU and memory of this pod's processes since the last look."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._launcher = psutil.Process(psutil.Process().ppid())
        self._last: tuple[float, float] | None = None
        self._means = RecentMean(MEAN_SAMPLES)
        self.cores = read_cpu_quota() or float(available_cores())

    def read_cpu_ratio(self) -> float | None:
        """Return the CPU use of the pod over its limit since the last call; None at the first."""
        used = sum(_cpu_seconds(process) for process in self._processes())
        now = time.monotonic()
        last, self._last = self._last, (now, used)
        if last is None or now - last[0] < 1e-3:
            return None
        return max(0.0, (used - last[1]) / (now - last[0]) / self.cores)

    def read_memory(self) -> tuple[int, int]:
        """Return (used, limit) of the pod in bytes; without a limit, the machine's memory."""
        used = sum(_resident_bytes(process) for process in self._processes())
        return used, read_memory_limit() or psutil.virtual_memory().total

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._launcher, *self._launcher.children(recursive=True)]
        except psutil.NoSuchProcess:
            return [psutil.Process()]

    def summarize(
        self, gpus: Sequence[GpuSample], first_rank: int, cpu_ratio: float | None
    ) -> Hardware:
        """Return the hardware summary of this pod; the number of devices is the whole run's."""
        if gpus:
            workers = self._run.workers
            samples = [self._smooth(sample) for sample in gpus]
            given = len(samples) * workers.nodes
            count = self._run.world_size if workers.uses_accelerators else given
            return summarize_gpus(samples, first_rank, count)
        used, limit = self.read_memory()
        mean = None if cpu_ratio is None else self._means.add("cpu", cpu_ratio)
        return Hardware(
            device=f"CPU ({self.cores:g} cores)",
            accelerators=self._run.world_size,
            utilization_percent=None if mean is None else round(100 * mean, 1),
            memory_used_gib=round(used / GIB, 2),
            memory_total_gib=round(limit / GIB, 2),
        )

    def _smooth(self, sample: GpuSample) -> GpuSample:
        ratio = sample.utilization_ratio
        mean = None if ratio is None else self._means.add(sample.uuid, ratio)
        return replace(sample, utilization_ratio=mean)


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0.0
    return float(times.user + times.system)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
