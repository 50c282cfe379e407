"""What NVIDIA's management library says of the devices of this pod.

Used by the reporting thread of each pod's first rank. A figure that a driver, a MIG instance or a
virtual GPU does not offer is None: the others are still reported. Of a GPU in MIG mode its instances
are the devices: memory is an instance's own, temperature, clocks and errors are the GPU's. A GPU that
fails must end no training and hide no other GPU: what names a device is read once, at the start, so that
its last events still have its name when the driver has lost it.
"""

import ctypes
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

Value = TypeVar("Value")

XID_POLL_MILLISECONDS = 1000
PCIE_SECONDS = 15.0  # the driver counts for 20 ms to tell one direction's traffic
NO_INSTANCE = 0xFFFFFFFF  # an event of the whole GPU
# Bits of nvmlClocksEventReasons*: reasons that hold a clock down (nvml.h of driver 570).
THROTTLE_REASONS = {
    "sw_power_cap": 0x04,
    "hw_slowdown": 0x08,
    "sw_thermal_slowdown": 0x20,
    "hw_thermal_slowdown": 0x40,
    "hw_power_brake_slowdown": 0x80,
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One device at one moment; None where the driver does not say."""

    index: int
    uuid: str
    model: str
    driver: str
    is_mig: bool
    utilization_ratio: float | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    power_watts: float | None
    temperature_celsius: float | None
    sm_clock_hertz: float | None
    memory_clock_hertz: float | None
    throttle_reasons: frozenset[str] | None
    ecc_corrected: int | None
    ecc_uncorrected: int | None
    pcie_rx_bytes_per_second: float | None
    pcie_tx_bytes_per_second: float | None
    pcie_replays: int | None
    nvlink_rx_bytes: int | None
    nvlink_tx_bytes: int | None
    nvlink_errors: int | None
    xid_events: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Device:
    """What is sampled: a GPU, or an instance of one in MIG mode. `gpu` is the handle of the whole GPU.

    `index` counts devices, and a GPU that did not answer is one: the others keep their ranks.
    """

    index: int
    handle: Any
    gpu: Any
    gpu_index: int
    uuid: str
    model: str
    instance: int | None = None


@dataclass(slots=True)
class _Traffic:
    """A device's PCIe traffic (bytes per second) as it was last measured."""

    rx: float | None = None
    tx: float | None = None


class Nvml:
    """A session with the library; `open_nvml` makes one if there is a driver."""

    def __init__(self, library: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._library, self._clock = library, clock
        self._driver = _text(self._ask(library.nvmlSystemGetDriverVersion) or "unknown")
        count = self._ask(library.nvmlDeviceGetCount) or 0
        self._gpus = {index: self._open_gpu(index) for index in range(count)}
        self._devices = self._find_devices()
        self._index_of = {
            _address(gpu): index for index, gpu in self._gpus.items() if gpu is not None
        }
        self._traffic = {device.index: _Traffic() for device in self._devices}
        self._traffic_due = float("-inf")
        self._xids: Counter[tuple[int, int, int]] = Counter()  # (GPU, instance, Xid)
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch_xids, name="nvml-xid", daemon=True)
        self._watcher.start()

    def __len__(self) -> int:
        return len(self._devices)

    def read_samples(self) -> list[GpuSample]:
        """Return one sample per device; a call of one thread.

        Takes about 40 ms a device more every PCIE_SECONDS, in which the driver counts traffic.
        """
        if self._clock() >= self._traffic_due:
            self._traffic_due = self._clock() + PCIE_SECONDS
            for device in self._devices:
                self._traffic[device.index] = self._measure_traffic(device.handle)
        return [self._read_sample(device) for device in self._devices]

    def close(self) -> None:
        """Stop watching and end the session."""
        self._closed.set()
        self._watcher.join(timeout=2 * XID_POLL_MILLISECONDS / 1000)
        self._library.nvmlShutdown()

    def _open_gpu(self, index: int) -> Any:
        """Return the handle of a GPU; None if it does not answer."""
        gpu = self._ask(lambda: self._library.nvmlDeviceGetHandleByIndex(index))
        if gpu is None:
            logger.warning("the driver gives no access to GPU %d: it has no metrics", index)
        return gpu

    def _find_devices(self) -> list[_Device]:
        devices: list[_Device] = []
        first = 0
        for index, gpu in self._gpus.items():
            found = self._split_gpu(first, index, gpu) if gpu is not None else []
            devices += found
            first += len(found) if gpu is not None else 1
        return devices

    def _split_gpu(self, first: int, gpu_index: int, gpu: Any) -> list[_Device]:
        """Return the instances of a GPU in MIG mode that this pod was given, else the GPU itself."""
        nvml = self._library
        mode = self._ask(lambda: nvml.nvmlDeviceGetMigMode(gpu))
        if not mode or not mode[0]:
            return [self._name_device(first, gpu, gpu, gpu_index)]
        found: list[_Device] = []
        for slot in range(self._ask(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)) or 0):
            handle = self._ask(partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, gpu, slot))
            if handle is not None:
                instance = self._ask(partial(nvml.nvmlDeviceGetGpuInstanceId, handle))
                index = first + len(found)
                found.append(self._name_device(index, handle, gpu, gpu_index, instance))
        return found

    def _name_device(
        self, index: int, handle: Any, gpu: Any, gpu_index: int, instance: int | None = None
    ) -> _Device:
        nvml = self._library
        uuid = _text(self._ask(lambda: nvml.nvmlDeviceGetUUID(handle)) or f"unknown-{index}")
        model = _text(self._ask(lambda: nvml.nvmlDeviceGetName(handle)) or "unknown")
        return _Device(index, handle, gpu, gpu_index, uuid, model, instance)

    def _read_sample(self, device: _Device) -> GpuSample:
        nvml, handle, gpu = self._library, device.handle, device.gpu
        traffic = self._traffic[device.index]
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        mask = self._read_clock_reasons(gpu)
        links = self._read_nvlink(handle)
        milliwatts = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        return GpuSample(
            index=device.index,
            uuid=device.uuid,
            model=device.model,
            driver=self._driver,
            is_mig=handle is not gpu,
            utilization_ratio=_scaled(
                self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu), 0.01
            ),
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            power_watts=_scaled(milliwatts, 0.001),
            temperature_celsius=self._ask(
                lambda: float(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))
            ),
            sm_clock_hertz=self._read_clock(gpu, nvml.NVML_CLOCK_SM),
            memory_clock_hertz=self._read_clock(gpu, nvml.NVML_CLOCK_MEM),
            throttle_reasons=None
            if mask is None
            else frozenset(name for name, bit in THROTTLE_REASONS.items() if mask & bit),
            ecc_corrected=self._read_ecc(gpu, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
            ecc_uncorrected=self._read_ecc(gpu, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
            pcie_rx_bytes_per_second=traffic.rx,
            pcie_tx_bytes_per_second=traffic.tx,
            pcie_replays=self._ask(lambda: int(nvml.nvmlDeviceGetPcieReplayCounter(handle))),
            nvlink_rx_bytes=links.get("rx"),
            nvlink_tx_bytes=links.get("tx"),
            nvlink_errors=links.get("errors"),
            xid_events=self._count_xids(device),
        )

    def _count_xids(self, device: _Device) -> dict[int, int]:
        """Return the events of a device; those of a whole GPU count for each of its instances."""
        counts: Counter[int] = Counter()
        for (gpu_index, instance, xid), count in list(self._xids.items()):
            is_own = device.instance is None or instance in (device.instance, NO_INSTANCE)
            if gpu_index == device.gpu_index and is_own:
                counts[xid] += count
        return dict(counts)

    def _ask(self, call: Callable[[], Value]) -> Value | None:
        """Return what a call answers, or None where the driver or device does not offer it."""
        try:
            return call()
        except self._library.NVMLError:
            return None

    def _read_clock(self, handle: Any, domain: int) -> float | None:
        return _scaled(self._ask(lambda: self._library.nvmlDeviceGetClockInfo(handle, domain)), 1e6)

    def _read_ecc(self, handle: Any, error_type: int) -> int | None:
        nvml = self._library
        return self._ask(
            lambda: int(
                nvml.nvmlDeviceGetTotalEccErrors(handle, error_type, nvml.NVML_VOLATILE_ECC)
            )
        )

    def _read_clock_reasons(self, gpu: Any) -> int | None:
        """Return why the clock is held down, as bits; drivers before 535 know the older name only."""
        nvml = self._library
        mask = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu))
        if mask is None:
            mask = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu))
        return mask

    def _measure_traffic(self, handle: Any) -> _Traffic:
        def read(counter: int) -> float | None:
            ask = partial(self._library.nvmlDeviceGetPcieThroughput, handle, counter)
            return _scaled(self._ask(ask), 1000)

        nvml = self._library
        return _Traffic(read(nvml.NVML_PCIE_UTIL_RX_BYTES), read(nvml.NVML_PCIE_UTIL_TX_BYTES))

    def _read_nvlink(self, handle: Any) -> dict[str, int]:
        """Return bytes (rx, tx) and errors over all links since the driver was loaded."""
        nvml = self._library
        fields = {
            "rx": [(nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, 0xFFFFFFFF)],
            "tx": [(nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, 0xFFFFFFFF)],
            "errors": [
                nvml.NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL,
                nvml.NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL,
            ],
        }
        found: dict[str, int] = {}
        for name, ids in fields.items():
            values = self._ask(partial(nvml.nvmlDeviceGetFieldValues, handle, ids))
            known = [value for value in values or () if value.nvmlReturn == nvml.NVML_SUCCESS]
            if known:
                total = sum(int(value.value.ullVal) for value in known)
                found[name] = total if name == "errors" else total * 1024  # throughput comes in KiB
        return found

    def _watch_xids(self) -> None:
        """Count critical Xid events until closed; without event support there is nothing to count."""
        nvml = self._library
        events = self._ask(nvml.nvmlEventSetCreate)
        if events is None:
            return
        for gpu in self._gpus.values():
            if gpu is not None:
                kind = nvml.nvmlEventTypeXidCriticalError
                self._ask(partial(nvml.nvmlDeviceRegisterEvents, gpu, kind, events))
        while not self._closed.is_set():
            event = self._ask(lambda: nvml.nvmlEventSetWait(events, XID_POLL_MILLISECONDS))
            if event is None:
                self._closed.wait(
                    0.1
                )  # a driver that fails at once must not be asked in a busy loop
                continue
            for index in self._find_gpus_of(event.device):
                self._xids[index, int(event.gpuInstanceId), int(event.eventData)] += 1
        self._ask(lambda: nvml.nvmlEventSetFree(events))

    def _find_gpus_of(self, handle: Any) -> list[int]:
        """Return the index of an event's GPU, which may answer nothing any more; all if it is unknown."""
        index = self._index_of.get(_address(handle))
        if index is None:
            index = self._ask(lambda: self._library.nvmlDeviceGetIndex(handle))
        return list(self._index_of.values()) if index is None else [index]


def open_nvml() -> Nvml | None:
    """Return a session, or None where there is no driver or no device."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    session = Nvml(pynvml)
    if len(session):
        return session
    session.close()
    return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _address(handle: Any) -> int | None:
    """Return what two handles of one device have in common."""
    return ctypes.cast(handle, ctypes.c_void_p).value


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
