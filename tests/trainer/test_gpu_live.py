"""The figures of a real GPU: names, ranges, and that they move when the GPU works."""

import time
from functools import partial
from pathlib import Path

import pytest
import torch
from trainwright_trainer.nvml import GpuSample, Nvml, open_nvml
from trainwright_trainer.stopwatch import EventStopwatch

pytestmark = pytest.mark.skipif(
    not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU here (/dev/nvidiactl)"
)

SECONDS = 20.0


@pytest.fixture(scope="module")
def nvml() -> Nvml:
    session = open_nvml()
    assert session is not None
    return session


def test_names_and_figures_are_plausible(nvml: Nvml) -> None:
    for sample in nvml.read_samples():
        assert sample.uuid.startswith(("GPU-", "MIG-"))
        assert "unknown" not in (sample.model, sample.driver)
        assert 0 <= (sample.memory_used_bytes or 0) <= (sample.memory_total_bytes or 0) < 2**40
        assert 0 <= (sample.utilization_ratio or 0) <= 1
        assert sample.temperature_celsius is None or 5 < sample.temperature_celsius < 110
        assert sample.sm_clock_hertz is None or 1e8 < sample.sm_clock_hertz < 5e9
        assert sample.power_watts is None or 5 < sample.power_watts < 2000


def test_utilization_and_memory_rise_while_the_gpu_works(nvml: Nvml) -> None:
    index = find_own(nvml)
    before = nvml.read_samples()[index]
    if before.utilization_ratio is None:
        pytest.skip("the driver tells no utilization of this device (MIG)")
    left = torch.ones(8192, 8192, device="cuda")
    deadline = time.monotonic() + SECONDS
    while not has_risen(before, nvml.read_samples()[index]):
        assert time.monotonic() < deadline
        torch.mm(left, left)
        torch.cuda.synchronize()


def test_events_time_the_work_and_not_its_launch() -> None:
    left = torch.ones(8192, 8192, device="cuda")
    torch.mm(left, left)
    torch.cuda.synchronize()
    began = time.perf_counter()
    watch = EventStopwatch(partial(torch.cuda.Event, enable_timing=True))
    for _ in range(10):
        torch.mm(left, left)
    watch.lap("forward")
    launched = time.perf_counter() - began
    torch.mm(left, left)
    watch.lap("backward")
    torch.cuda.synchronize()
    waited = time.perf_counter() - began
    seconds = watch.seconds
    assert seconds["forward"] > 2 * launched
    assert seconds["forward"] == pytest.approx(10 * seconds["backward"], rel=0.5)
    assert sum(seconds.values()) == pytest.approx(waited, rel=0.1)


def find_own(nvml: Nvml) -> int:
    """The position of the device that torch calls cuda:0."""
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    uuids = [sample.uuid for sample in nvml.read_samples()]
    return next(position for position, known in enumerate(uuids) if known.endswith(uuid))


def has_risen(before: GpuSample, now: GpuSample) -> bool:
    is_busy = (now.utilization_ratio or 0) > max(0.5, before.utilization_ratio or 0)
    return is_busy and (now.memory_used_bytes or 0) > (before.memory_used_bytes or 0)
