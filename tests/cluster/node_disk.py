"""The disks that nodes start with: containerd's folder with its images already unpacked.

Unpacking takes seconds per image and node. It is done once per set of images; a node's disk is then
a copy by hard links, which is quick to make and to delete. Nothing is ever written into an unpacked
layer (containers write on top of it), so nodes and clusters can share the files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.cluster.cache import Report, build_key, cache_folder, make_once, read_recipe
from tests.cluster.errors import NotReadyError
from tests.cluster.processes import (
    Process,
    find_marked,
    kill_all,
    run_tool,
    start_process,
    wait_until,
)

_FORGET_AFTER_SECONDS = 7 * 24 * 3600
# Every change of the operator makes another disk. One that was used lately may just be copied.
_KEPT_DISKS, _MAY_BE_COPIED_SECONDS = 8, 3600
_START_SECONDS = 20
# In a mount namespace of its own: the machine's /run is not touched.
_BOOT = 'mount -t tmpfs run /run; exec containerd --config="$1"'


def ensure_disk(archives: Sequence[Path], report: Report = print) -> Path:
    """The folder to copy for a node that has the images of these archives."""
    key = build_key(*map(_digest, archives), read_recipe(__file__))
    entry = cache_folder() / "node-disks" / key
    if not entry.exists():
        report(f"unpacking {len(archives)} images for the nodes (usually 2 to 20 s)")
    make_once(entry, lambda folder: _unpack(archives, folder))
    os.utime(entry)
    _forget_unused(entry.parent)
    return entry


def _digest(archive: Path) -> str:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_disk(disk: Path, target: Path) -> None:
    """Make a node's own copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if disk.stat().st_dev == target.parent.stat().st_dev:
        try:
            run_tool(["cp", "--archive", "--link", disk, target])
        except NotReadyError:
            # Two mounts of one file system look the same, but no link leads from one to the other.
            run_tool(["rm", "-rf", target])
            run_tool(["cp", "--archive", disk, target])
    else:
        run_tool(["cp", "--archive", disk, target])
    # Databases are written in place: each node needs its own.
    for database in target.rglob("*.db"):
        copied = database.with_suffix(".copied")
        shutil.copy2(database, copied)
        copied.replace(database)


def _unpack(archives: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    config, log = folder / "config.toml", folder.with_name(f"{folder.name}.log")
    config.write_text(_build_config(folder))
    mark = f"TRAINWRIGHT_DISK_BUILDER={uuid.uuid4()}"
    # Should this process be killed, nobody would look for the builder: it goes along.
    with_starter = ["setpriv", "--pdeathsig", "KILL", "--"]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*with_starter, *namespaces, "sh", "-ec", _BOOT, "sh", str(config)]
    containerd = start_process("containerd", command, log, mark)
    try:
        _import_all(containerd, archives)
    finally:
        kill_all(lambda: find_marked(mark))
    config.unlink()
    log.unlink()


def _import_all(containerd: Process, archives: Sequence[Path]) -> None:
    def socket_is_there() -> bool:
        pid = containerd.first_child()
        return bool(pid) and Path(f"/proc/{pid}/root/run/containerd.sock").is_socket()

    wait_until("containerd answers", socket_is_there, _START_SECONDS, [containerd])
    enter = ["nsenter", f"--target={containerd.first_child()}", "--mount", "--pid", "--"]
    client = [*enter, "ctr", "--address=/run/containerd.sock", "--namespace=k8s.io", "images"]
    for archive in archives:
        with archive.open("rb") as file:
            run_tool([*client, "import", "-"], file)


def _build_config(folder: Path) -> str:
    return (
        f'version = 2\nroot = "{folder}"\nstate = "/run/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
        '[grpc]\naddress = "/run/containerd.sock"\n'
    )


def _forget_unused(folder: Path) -> None:
    ages: dict[Path, float] = {}
    for path in folder.iterdir():
        # Another `up` may finish or forget it at this very moment.
        with suppress(FileNotFoundError):
            ages[path] = time.time() - path.stat().st_mtime
    disks = sorted((p for p in ages if not p.name.startswith(".")), key=ages.__getitem__)
    surplus = [disk for disk in disks[_KEPT_DISKS:] if ages[disk] > _MAY_BE_COPIED_SECONDS]
    for path in {*surplus, *(p for p, age in ages.items() if age > _FORGET_AFTER_SECONDS)}:
        run_tool(["rm", "-rf", path])
