"""How often the devices are asked, and what is shown of them, on a pretended library."""

import ctypes
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from trainwright_api import metrics as m
from trainwright_trainer import gpu_metrics
from trainwright_trainer.gpu_metrics import STALE_SECONDS, GpuCollector, LatestSamples
from trainwright_trainer.nvml import PCIE_SECONDS, Nvml


class PretendedLibrary:
    """Two devices that offer traffic and nothing else; counts how often it is asked for what."""

    class NVMLError(Exception):
        """What every other function raises."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._handles = [ctypes.c_void_p(100 + index) for index in range(2)]

    @property
    def num_device_calls(self) -> int:
        return sum(count for name, count in self.calls.items() if name.startswith("nvmlDevice"))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML"):
            return 0
        return lambda *arguments: self._answer(name, arguments)

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        self.calls[name] += 1
        answers: dict[str, Callable[..., Any]] = {
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda index: self._handles[index],
            "nvmlDeviceGetPcieThroughput": lambda *_: 7,
            "nvmlShutdown": lambda: None,
        }
        if name not in answers:
            raise self.NVMLError(name)
        return answers[name](*arguments)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_traffic_is_measured_once_in_a_while() -> None:
    library, clock = PretendedLibrary(), Clock()
    nvml = Nvml(library, clock)
    for now in (0.0, 2.0, PCIE_SECONDS - 1, PCIE_SECONDS):
        clock.now = now
        samples = nvml.read_samples()
        assert [sample.pcie_rx_bytes_per_second for sample in samples] == [7000, 7000]
    assert library.calls["nvmlDeviceGetPcieThroughput"] == 2 * 2 * 2
    assert library.calls["nvmlDeviceGetUUID"] == 2
    nvml.close()


def test_a_scrape_asks_no_device_and_shows_no_stale_sample() -> None:
    library, clock = PretendedLibrary(), Clock()
    nvml = Nvml(library)
    latest, registry = LatestSamples(nvml, clock), CollectorRegistry()
    registry.register(GpuCollector(latest.read, 0))
    assert b"trainwright_gpu_info{" not in generate_latest(registry)
    latest.take()
    asked = library.num_device_calls
    for age, is_shown in ((1.0, True), (STALE_SECONDS, False)):
        clock.now = age
        assert (b"trainwright_gpu_info{" in generate_latest(registry)) is is_shown
    assert library.num_device_calls == asked
    nvml.close()


def test_a_declared_metric_that_nobody_offers_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    new = replace(m.GPU_POWER, name="trainwright_gpu_new")
    monkeypatch.setattr(gpu_metrics, "_GPU_METRICS", (new, m.GPU_INFO))
    nvml = Nvml(PretendedLibrary())
    families = GpuCollector(nvml.read_samples, 0).collect()
    assert [family.name for family in families] == [m.GPU_INFO.name]
    nvml.close()
