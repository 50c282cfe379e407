"""The state file of a cluster: what was started, with which addresses and credentials.

Written whole and renamed, so a reader never sees half of it. `down` does not depend on it: it
finds processes by their mark, and everything else by the cluster's name.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.processes import Process, read_start_time
from tests.cluster.spec import CLUSTERS, ClusterSpec, Layout


@dataclass
class State:
    """Everything a second process must know to use the cluster."""

    spec: ClusterSpec
    ready: bool = False
    # The process for whose length it runs, as (pid, start time); None if it runs until `down`.
    owner: tuple[int, int] | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    api_port: int = 0
    s3_port: int = 0
    access_key: str = field(default_factory=lambda: secrets.token_hex(8))
    secret_key: str = field(default_factory=lambda: secrets.token_hex(16))
    # Seconds from the start until each step was done.
    timings: dict[str, float] = field(default_factory=dict)

    def save(self) -> None:
        """Write the file, readable by its owner alone."""
        path = Layout(self.spec.name).state_file
        temporary = path.with_suffix(".partial")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.to_json(), file, indent=1)
        temporary.rename(path)

    def to_json(self) -> dict[str, Any]:
        """As in the file."""
        processes = {name: asdict(process) for name, process in self.processes.items()}
        return {**self.__dict__, "spec": self.spec.to_json(), "processes": processes}

    def has_living_owner(self) -> bool:
        """Whether a process that is still there has it for itself."""
        return self.owner is not None and read_start_time(self.owner[0]) == self.owner[1]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """The reverse of `to_json`."""
        processes = {name: Process(**process) for name, process in data["processes"].items()}
        spec = ClusterSpec.from_json(data["spec"])
        owner = tuple(data["owner"]) if data["owner"] else None
        return cls(**{**data, "spec": spec, "processes": processes, "owner": owner})


def load_state(name: str) -> State | None:
    """The state of a cluster, or None if there is no cluster of this name.

    One that another version of this program or a power cut has left counts as none: `up` replaces
    it.
    """
    try:
        return State.from_json(json.loads(Layout(name).state_file.read_text()))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def list_clusters() -> list[str]:
    """The names of the clusters that were started and not taken down."""
    if not CLUSTERS.is_dir():
        return []
    return sorted(path.parent.name for path in CLUSTERS.glob("*/state.json"))


@contextmanager
def cluster_lock(name: str) -> Iterator[None]:
    """Let only one `up` or `down` of a name act at a time; the lock file goes with the last."""
    path = CLUSTERS / f".{name}.lock"
    while True:
        try:
            CLUSTERS.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        except FileNotFoundError:
            continue  # the last to leave has just removed the folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_same_file(lock.fileno(), path):
            break
        lock.close()
    try:
        yield
    finally:
        path.unlink()
        lock.close()
        _remove_if_empty(CLUSTERS)
        _remove_if_empty(CLUSTERS.parent)


def _is_same_file(descriptor: int, path: Path) -> bool:
    # Whoever held the lock before has deleted the file: then another may lock a new one.
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
