"""What NVIDIA's management library says of the devices of this pod.

Used by the reporting thread of each pod's first rank. A figure that a driver, a MIG instance or a
virtual GPU does not offer is None: the others are still reported. Of a GPU in MIG mode its instances
are the devices: memory is an instance's own, temperature, clocks and errors are the GPU's. No process
state is kept but the handles and the Xid counts, so that a sample is cheap and can be taken at any time.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

Value = TypeVar("Value")

XID_POLL_MILLISECONDS = 1000
NO_INSTANCE = 0xFFFFFFFF  # an event of the whole GPU
# Bits of nvmlClocksEventReasons*: reasons that hold a clock down (nvml.h of driver 570).
THROTTLE_REASONS = {
    "sw_power_cap": 0x04,
    "hw_slowdown": 0x08,
    "sw_thermal_slowdown": 0x20,
    "hw_thermal_slowdown": 0x40,
    "hw_power_brake_slowdown": 0x80,
}


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
    """What is sampled: a GPU, or an instance of one in MIG mode. `gpu` is the handle of the whole GPU."""

    handle: Any
    gpu: Any
    gpu_index: int
    instance: int | None = None


class Nvml:
    """A session with the library; `open_nvml` makes one if there is a driver."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._driver = _text(library.nvmlSystemGetDriverVersion())
        count = library.nvmlDeviceGetCount()
        self._gpus = [library.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        self._devices = [device for index in range(count) for device in self._find_devices(index)]
        self._xids: Counter[tuple[int, int, int]] = Counter()  # (GPU, instance, Xid)
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch_xids, name="nvml-xid", daemon=True)
        self._watcher.start()

    def __len__(self) -> int:
        return len(self._devices)

    def read_samples(self) -> list[GpuSample]:
        """Return one sample per device; takes about a millisecond each."""
        return [self._read_sample(index) for index in range(len(self._devices))]

    def close(self) -> None:
        """Stop watching and end the session."""
        self._closed.set()
        self._watcher.join(timeout=2 * XID_POLL_MILLISECONDS / 1000)
        self._library.nvmlShutdown()

    def _find_devices(self, index: int) -> list[_Device]:
        """Return the instances of a GPU in MIG mode that this pod was given, else the GPU itself."""
        nvml, gpu = self._library, self._gpus[index]
        mode = self._ask(lambda: nvml.nvmlDeviceGetMigMode(gpu))
        if not mode or not mode[0]:
            return [_Device(gpu, gpu, index)]
        found = []
        for slot in range(self._ask(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)) or 0):
            handle = self._ask(partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, gpu, slot))
            if handle is not None:
                instance = self._ask(partial(nvml.nvmlDeviceGetGpuInstanceId, handle))
                found.append(_Device(handle, gpu, index, instance))
        return found

    def _read_sample(self, index: int) -> GpuSample:
        nvml, device = self._library, self._devices[index]
        handle, gpu = device.handle, device.gpu
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        mask = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu))
        links = self._read_nvlink(handle)
        milliwatts = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        return GpuSample(
            index=index,
            uuid=_text(self._ask(lambda: nvml.nvmlDeviceGetUUID(handle)) or f"unknown-{index}"),
            model=_text(self._ask(lambda: nvml.nvmlDeviceGetName(handle)) or "unknown"),
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
            pcie_rx_bytes_per_second=self._read_pcie(handle, nvml.NVML_PCIE_UTIL_RX_BYTES),
            pcie_tx_bytes_per_second=self._read_pcie(handle, nvml.NVML_PCIE_UTIL_TX_BYTES),
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

    def _read_pcie(self, handle: Any, counter: int) -> float | None:
        kilobytes = self._ask(lambda: self._library.nvmlDeviceGetPcieThroughput(handle, counter))
        return _scaled(kilobytes, 1000)

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
            values = self._ask(lambda ids=ids: nvml.nvmlDeviceGetFieldValues(handle, ids))  # type: ignore[misc]
            if values is None or any(value.nvmlReturn != nvml.NVML_SUCCESS for value in values):
                continue
            total = sum(int(value.value.ullVal) for value in values)
            found[name] = total if name == "errors" else total * 1024  # throughput comes in KiB
        return found

    def _watch_xids(self) -> None:
        """Count critical Xid events until closed; without event support there is nothing to count."""
        nvml = self._library
        events = self._ask(nvml.nvmlEventSetCreate)
        if events is None:
            return
        for handle in self._gpus:
            self._ask(
                lambda handle=handle: nvml.nvmlDeviceRegisterEvents(  # type: ignore[misc]
                    handle, nvml.nvmlEventTypeXidCriticalError, events
                )
            )
        while not self._closed.is_set():
            event = self._ask(lambda: nvml.nvmlEventSetWait(events, XID_POLL_MILLISECONDS))
            if event is None:
                self._closed.wait(
                    0.1
                )  # a driver that fails at once must not be asked in a busy loop
                continue
            index = self._ask(lambda event=event: nvml.nvmlDeviceGetIndex(event.device))  # type: ignore[misc]
            if index is not None:
                self._xids[index, int(event.gpuInstanceId), int(event.eventData)] += 1
        self._ask(lambda: nvml.nvmlEventSetFree(events))


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


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
