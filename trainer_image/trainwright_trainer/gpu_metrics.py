"""Puts samples of the devices into Prometheus metrics and into the status' hardware summary.

The registry and the metric objects belong to the reporting thread of each pod's first rank; names
come from `trainwright_api.metrics`. Counters of the driver are taken as they are: a scrape sees the
driver's own totals.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from trainwright_api import metrics as m
from trainwright_api.status import Hardware

from trainwright_trainer.nvml import THROTTLE_REASONS, GpuSample, Nvml

GIB = 2**30
STALE_SECONDS = 30.0  # after which a sample says nothing of now: a driver may never answer again
MAXIMUM_XIDS = 4  # codes of a device that have a series of their own
OTHER_XID = "other"


class LatestSamples:
    """The newest sample of each device: one thread takes them, those that answer scrapes read them."""

    def __init__(self, nvml: Nvml, clock: Callable[[], float] = time.monotonic) -> None:
        self._nvml, self._clock = nvml, clock
        self._newest: tuple[float, list[GpuSample]] = (float("-inf"), [])

    def take(self) -> list[GpuSample]:
        """Sample the devices, keep the samples and return them."""
        samples = self._nvml.read_samples()
        self._newest = (self._clock(), samples)
        return samples

    def read(self) -> list[GpuSample]:
        """Return what was last taken; nothing if that was too long ago."""
        taken_at, samples = self._newest
        return samples if self._clock() - taken_at < STALE_SECONDS else []


class GpuCollector(Collector):
    """Shows samples at each scrape; a device's rank is `first_rank` plus its index."""

    def __init__(self, read_samples: Callable[[], Sequence[GpuSample]], first_rank: int) -> None:
        self._read_samples, self._first_rank = read_samples, first_rank

    def describe(self) -> Iterable[Family]:
        """Return nothing: the families depend on what the driver offers."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield the families of all devices, leaving out what a driver does not offer."""
        samples = self._read_samples()
        for metric in _GPU_METRICS:
            family = _new_family(metric)
            for sample in samples:
                base = (str(sample.index), sample.uuid, str(self._first_rank + sample.index))
                for labels, value in _values(metric, sample):
                    family.add_metric([*base, *labels], value)
            if family.samples:
                yield family


_GPU_METRICS = tuple(metric for metric in m.ALL if metric.name.startswith("trainwright_gpu_"))


def _new_family(metric: m.Metric) -> GaugeMetricFamily | CounterMetricFamily:
    if metric.type == "counter":
        return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def _values(metric: m.Metric, sample: GpuSample) -> list[tuple[tuple[str, ...], float]]:
    """Return the values of a metric for one device, by its labels beyond those of the device."""
    mig = "enabled" if sample.is_mig else "disabled"
    reasons = sample.throttle_reasons
    values: dict[str, list[tuple[tuple[str, ...], float | None]]] = {
        m.GPU_INFO.name: [((sample.model, sample.driver, mig), 1)],
        m.GPU_UTILIZATION.name: [((), sample.utilization_ratio)],
        m.GPU_MEMORY_USED.name: [((), sample.memory_used_bytes)],
        m.GPU_MEMORY_TOTAL.name: [((), sample.memory_total_bytes)],
        m.GPU_POWER.name: [((), sample.power_watts)],
        m.GPU_TEMPERATURE.name: [((), sample.temperature_celsius)],
        m.GPU_CLOCK.name: [
            (("sm",), sample.sm_clock_hertz),
            (("memory",), sample.memory_clock_hertz),
        ],
        m.GPU_THROTTLED.name: []
        if reasons is None
        else [((reason,), float(reason in reasons)) for reason in THROTTLE_REASONS],
        m.GPU_ECC_ERRORS.name: [
            (("corrected",), sample.ecc_corrected),
            (("uncorrected",), sample.ecc_uncorrected),
        ],
        m.GPU_XID_EVENTS.name: _count_xids(sample),
        m.GPU_PCIE_BYTES.name: [
            (("rx",), sample.pcie_rx_bytes_per_second),
            (("tx",), sample.pcie_tx_bytes_per_second),
        ],
        m.GPU_PCIE_REPLAYS.name: [((), sample.pcie_replays)],
        m.GPU_NVLINK_BYTES.name: [
            (("rx",), sample.nvlink_rx_bytes),
            (("tx",), sample.nvlink_tx_bytes),
        ],
        m.GPU_NVLINK_ERRORS.name: [((), sample.nvlink_errors)],
    }
    known = values.get(metric.name, ())
    return [(labels, float(value)) for labels, value in known if value is not None]


def _count_xids(sample: GpuSample) -> list[tuple[tuple[str, ...], float | None]]:
    """Return events by code: a device that fails in many ways must not make ever more series.

    The codes that came first keep their series; those after them count together.
    """
    counts = list(sample.xid_events.items())
    rest = sum(count for _, count in counts[MAXIMUM_XIDS:])
    shown: list[tuple[tuple[str, ...], float | None]] = [
        ((str(xid),), count) for xid, count in counts[:MAXIMUM_XIDS]
    ]
    return [*shown, ((OTHER_XID,), rest)] if rest else shown


def summarize_gpus(
    samples: Sequence[GpuSample], first_rank: int, num_accelerators: int
) -> Hardware:
    """Return the hardware summary of one pod's devices; `worst_rank` has the lowest utilisation."""
    used = [sample.memory_used_bytes for sample in samples if sample.memory_used_bytes is not None]
    totals = [
        sample.memory_total_bytes for sample in samples if sample.memory_total_bytes is not None
    ]
    powers = [sample.power_watts for sample in samples if sample.power_watts is not None]
    heats = [s.temperature_celsius for s in samples if s.temperature_celsius is not None]
    rated = [s for s in samples if s.utilization_ratio is not None]
    ratios = [s.utilization_ratio for s in rated if s.utilization_ratio is not None]
    worst = min(rated, key=lambda s: s.utilization_ratio or 0.0, default=None)
    return Hardware(
        device=samples[0].model,
        accelerators=num_accelerators,
        utilization_percent=_percent(sum(ratios) / len(ratios)) if ratios else None,
        memory_used_gib=round(max(used) / GIB, 2) if used else None,
        memory_total_gib=round(max(totals) / GIB, 2) if totals else None,
        power_watts=round(sum(powers), 1) if powers else None,
        temperature_celsius=max(heats, default=None),
        worst_rank=None if worst is None else first_rank + worst.index,
        worst_utilization_percent=_percent(worst.utilization_ratio) if worst else None,
    )


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else round(100 * ratio, 1)
