"""Brings the devices of all pods of a run together at rank 0, whose report is the run's.

Every pod samples its own devices. The pods beside the first send theirs to the first pod's port, from
the sampling thread and never from a step; the first pod merges the newest of each. A pod that cannot
be heard is left out: its devices still have their own series in Prometheus. The larger the run, the
rarer each pod sends, so that rank 0 takes a few messages a second at any size.
"""

import contextlib
import http.client
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence

from pydantic import ValidationError
from trainwright_api.base import Model
from trainwright_api.run import Run
from trainwright_api.status import Hardware

from trainwright_trainer.settings import Settings

PATH = "/hardware"
MAXIMUM_BYTES = 4096
SEND_SECONDS = 2.0
MESSAGES_PER_SECOND = 8
SILENT_ROUNDS = 5  # after which what a pod last said no longer counts


class PodHardware(Model):
    """What a pod sends."""

    attempt: int
    node_rank: int
    hardware: Hardware


class RecentMean:
    """The mean of the newest values of each key: one sample says little of steps that take seconds."""

    def __init__(self, num_values: int) -> None:
        self._values: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=num_values))

    def add(self, key: str, value: float) -> float:
        """Return the mean with this value."""
        values = self._values[key]
        values.append(value)
        return sum(values) / len(values)


class HardwareExchange:
    """One pod's side of the exchange; `settings.node_rank` 0 receives."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self._run, self._settings = run, settings
        self._lock = threading.Lock()
        self._heard: dict[int, tuple[float, Hardware]] = {}
        self._sent_at = float("-inf")
        self.send_seconds = max(SEND_SECONDS, run.workers.nodes / MESSAGES_PER_SECOND)

    def share(self, own: Hardware) -> Hardware:
        """Tell the first pod of this one's devices; return what is known of the whole run here."""
        rank = self._settings.node_rank
        if rank != 0:
            self._send(own)
            return own
        oldest = time.monotonic() - SILENT_ROUNDS * self.send_seconds
        with self._lock:
            others = [hardware for at, hardware in self._heard.values() if at >= oldest]
        return merge_hardware([own, *others])

    def receive(self, body: bytes) -> bool:
        """Take in another pod's message; return whether it was one of this attempt."""
        try:
            told = PodHardware.model_validate_json(body)
        except ValidationError:
            return False
        is_known = 0 < told.node_rank < self._run.workers.nodes
        if not is_known or told.attempt != self._run.attempt:
            return False
        with self._lock:
            self._heard[told.node_rank] = (time.monotonic(), told.hardware)
        return True

    def _send(self, own: Hardware) -> None:
        if time.monotonic() < self._sent_at + self.send_seconds:
            return
        self._sent_at = time.monotonic()
        told = PodHardware(
            attempt=self._run.attempt, node_rank=self._settings.node_rank, hardware=own
        )
        address = (self._settings.master_address, self._settings.port)
        connection = http.client.HTTPConnection(*address, timeout=SEND_SECONDS)
        # The first pod may have ended, or may not be reached: training does not depend on this.
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("POST", PATH, told.model_dump_json(by_alias=True))
            connection.getresponse().read()


def merge_hardware(parts: Sequence[Hardware]) -> Hardware:
    """Return the summary of a run from those of its pods, the first pod's first."""
    first = parts[0]
    ratios = [p.utilization_percent for p in parts if p.utilization_percent is not None]
    powers = [p.power_watts for p in parts if p.power_watts is not None]
    rated = [p for p in parts if p.worst_utilization_percent is not None]
    worst = min(rated, key=lambda p: p.worst_utilization_percent or 0.0, default=first)
    used = [p.memory_used_gib for p in parts if p.memory_used_gib is not None]
    totals = [p.memory_total_gib for p in parts if p.memory_total_gib is not None]
    heats = [p.temperature_celsius for p in parts if p.temperature_celsius is not None]
    return first.model_copy(
        update={
            "utilization_percent": round(sum(ratios) / len(ratios), 1) if ratios else None,
            "memory_used_gib": max(used, default=None),
            "memory_total_gib": max(totals, default=None),
            "power_watts": round(sum(powers), 1) if powers else None,
            "temperature_celsius": max(heats, default=None),
            "worst_rank": worst.worst_rank,
            "worst_utilization_percent": worst.worst_utilization_percent,
        }
    )
