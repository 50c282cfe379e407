"""A step's parts as the device's own events tell them, on a pretended device."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
from trainwright_trainer.stopwatch import EventStopwatch


@dataclass
class PretendedDevice:
    """A host's clock, and a queue in which work begins once what is before it has ended."""

    now: float = 0.0
    busy_until: float = 0.0

    def launch(self, seconds: float) -> None:
        """Put work into the queue, which takes the host next to no time."""
        self.now += 0.001
        self.busy_until = max(self.now, self.busy_until) + seconds

    def wait(self) -> None:
        self.now = max(self.now, self.busy_until)

    def new_event(self) -> "PretendedEvent":
        return PretendedEvent(self)


class PretendedEvent:
    """Has its time once the device has got to it, as `torch.cuda.Event`."""

    def __init__(self, device: PretendedDevice) -> None:
        self._device = device

    def record(self) -> None:
        self.at = max(self._device.now, self._device.busy_until)

    def elapsed_time(self, end: "PretendedEvent") -> float:
        assert end.at <= self._device.now, "asked before the device was waited for"
        return 1000 * (end.at - self.at)


def test_a_part_has_the_time_of_its_work_and_not_of_its_launch() -> None:
    device = PretendedDevice()
    watch = EventStopwatch(device.new_event)
    device.now += 0.5  # the host loads data
    watch.lap("data")
    for _ in range(2):
        for name, seconds in (("forward", 1.0), ("backward", 2.0), ("optimizer", 0.25)):
            device.launch(seconds)
            watch.lap(name)
    device.wait()
    parts = watch.seconds
    expected = {"data": 0.5, "forward": 2.0, "backward": 4.0, "optimizer": 0.5}
    assert parts == pytest.approx(expected, abs=0.01)
    assert sum(parts.values()) == pytest.approx(device.now)


def test_the_module_imports_no_torch() -> None:
    code = "import sys, trainwright_trainer.stopwatch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
