"""When each rank of this pod last got on with training.

Ranks are processes of their own and only the first of a pod serves metrics, so each sets the time of
a file in the pod's scratch space: a few microseconds a step, and the file system keeps it.
"""

import os
import time
from contextlib import suppress
from pathlib import Path


class Heartbeats:
    """The files of one pod's ranks; what was there before this process started does not count."""

    def __init__(self, scratch_folder: Path, rank: int) -> None:
        self._folder = scratch_folder / "heartbeats"
        self._own = self._folder / str(rank)
        self._started_at = time.time()

    def beat(self) -> None:
        """Say that this rank begins to train, has finished a step, or a batch of a validation."""
        try:
            os.utime(self._own)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._own.touch()

    def rest(self) -> None:
        """Say that this rank does not train now: nobody is to wait for its beats."""
        self._own.unlink(missing_ok=True)

    def read_ages(self) -> dict[int, float]:
        """Return the seconds since the last beat of each rank that trains, by rank."""
        now = time.time()
        ages = {}
        for file in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # that rank went to rest just now
                beat_at = file.stat().st_mtime
                if beat_at >= self._started_at - 1:  # some file systems keep whole seconds
                    ages[int(file.name)] = max(0.0, now - beat_at)
        return ages
