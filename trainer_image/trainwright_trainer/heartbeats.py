"""When each rank of this pod last got on with training, and the memory that it had then.

Ranks are processes of their own and only the first of a pod serves metrics, so each sets the time of
a file in the pod's scratch space: a few microseconds a step, and the file system keeps it. What the
file holds is the rank's memory, which no other process can ask its allocator for.
"""

import os
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from trainwright_api.metrics import MEMORY_STATES

_FIGURES = struct.Struct(f"<{1 + len(MEMORY_STATES)}q")  # the rank's process, its memory by state
_UNKNOWN = -1


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

    def tell_memory(self, num_bytes: Mapping[str, int]) -> None:
        """Say how much memory this rank, which trains, now has (unit: bytes), by state."""
        told = [num_bytes.get(state, _UNKNOWN) for state in MEMORY_STATES]
        with suppress(OSError), self._own.open("r+b", buffering=0) as file:
            # In place: on a disk, to replace the file takes many times as long. If the disk is full,
            # which only the first write can meet, it stays empty, and that ends no training.
            file.write(_FIGURES.pack(os.getpid(), *told))

    def rest(self) -> None:
        """Say that this rank does not train now: nobody is to wait for its beats."""
        self._own.unlink(missing_ok=True)

    def read_ages(self) -> dict[int, float]:
        """Return the seconds since the last beat of each rank that trains, by rank."""
        now = time.time()
        return {rank: max(0.0, now - beat_at) for rank, beat_at, _ in self._read_files()}

    def read_memory(self) -> dict[int, dict[str, int]]:
        """Return the memory (unit: bytes) of each rank that trains and has told it, by rank and state."""
        memory = {}
        for rank, _, content in self._read_files():
            if len(content) == _FIGURES.size:
                pid, *told = _FIGURES.unpack(content)
                if psutil.pid_exists(pid):  # else the rank was killed, and what it had is free
                    states = zip(MEMORY_STATES, told, strict=True)
                    memory[rank] = {state: size for state, size in states if size != _UNKNOWN}
        return memory

    def _read_files(self) -> Iterator[tuple[int, float, bytes]]:
        """Yield each rank that trains, when it last beat (Unix time), and what it said."""
        for path in self._folder.glob("*"):
            # Its file may go in between: that rank went to rest just now.
            with suppress(FileNotFoundError), path.open("rb") as file:
                beat_at = os.fstat(file.fileno()).st_mtime
                if beat_at >= self._started_at - 1:  # some file systems keep whole seconds
                    yield int(path.name), beat_at, file.read()
