"""The cluster's directory in every cgroup hierarchy, both of version 1 and of version 2.

The kubelets want their `cgroupRoot` to exist; pods leave directories behind when they are killed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.cluster.errors import NotReadyError
from tests.cluster.spec import Layout
from tools.machine import CGROUPS

_INHERITED = ("cpuset.cpus", "cpuset.mems")
# Four times what a session of this machine gets: other work beside a cluster must not make its pods late.
# Niceness would not do, as it counts within a session only (sched(7), autogroups).
_SHARES = {"cpu.shares": "4096", "cpu.weight": "400"}  # version 1, version 2
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")


def list_hierarchies() -> list[Path]:
    """Version 1: one folder per controller (and `unified`); version 2: the mount itself."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return sorted(path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink())


def create_cgroups(layout: Layout, nodes: Sequence[str]) -> None:
    """Make <cluster>/<node> everywhere, usable for pods."""
    for hierarchy in list_hierarchies():
        for node in nodes:
            _create(hierarchy / layout.cgroup)
            _set_shares(hierarchy / layout.cgroup)
            _create(hierarchy / layout.cgroup / node)


def renew_cgroups(layout: Layout, node: str) -> None:
    """Forget the pods of a node that has lost its power, as a machine does when it boots."""
    for hierarchy in list_hierarchies():
        _delete(hierarchy / layout.cgroup / node)
    create_cgroups(layout, [node])


def delete_cgroups(layout: Layout) -> None:
    """Remove the cluster's directories; their processes must have ended."""
    for hierarchy in list_hierarchies():
        _delete(hierarchy / layout.cgroup)


def _delete(top: Path, deadline_seconds: float = 3) -> None:
    end = time.monotonic() + deadline_seconds
    while top.exists():
        for folder, _, _ in os.walk(top, topdown=False):
            # Busy until the kernel has buried the last process: the next round tries again.
            with suppress(OSError):
                Path(folder).rmdir()
        if top.exists() and time.monotonic() > end:
            raise NotReadyError(f"{top}: still holds processes")


def _create(folder: Path) -> None:
    _enable_controllers(folder.parent)
    folder.mkdir(exist_ok=True)
    for name in _INHERITED:
        # A new version-1 cpuset is empty, and refuses every process until it is filled.
        setting, parents = folder / name, folder.parent / name
        if parents.exists() and setting.exists() and not setting.read_text().strip():
            with suppress(PermissionError):
                setting.write_text(parents.read_text())


def _set_shares(folder: Path) -> None:
    for name, value in _SHARES.items():
        if (folder / name).exists():
            (folder / name).write_text(value)


def _enable_controllers(folder: Path) -> None:
    """Version 2: let the folders below have what the kubelet asks for; version 1 has no such file."""
    control = folder / "cgroup.subtree_control"
    if not control.exists():
        return
    available = (folder / "cgroup.controllers").read_text().split()
    enabled = control.read_text().split()
    for name in _CONTROLLERS:
        if name in available and name not in enabled:
            try:
                control.write_text(f"+{name}")
            except OSError as error:
                raise NotReadyError(
                    f"{control}: the kernel refuses the controller {name} ({error.strerror}); pods "
                    "need it: take the processes out of that cgroup, or use the machine's own cgroups"
                ) from error
