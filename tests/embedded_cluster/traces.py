"""What a cluster could leave on the machine, as one set of lines to compare before and after.

Other clusters may come and go meanwhile; what bears another cluster's name is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.cluster.cache import cache_folder
from tests.cluster.cgroups import list_hierarchies
from tests.cluster.processes import find_in_netns, find_marked, read_start_time
from tests.cluster.spec import CLUSTERS, Layout

# Folders in which kubelet, containerd, CNI plugins and package scripts are known to leave files.
_FOLDERS = ("/etc/cni", "/etc/kubernetes", "/opt", "/run", "/run/netns", "/usr/libexec", "/var/lib")
_FOLDERS_MORE = ("/var/lib/cni", "/var/lib/kubelet", "/var/log", "/var/log/containers")
_SYSCTLS = ("kernel", "net", "vm", "fs/inotify")
# Counters and what the machine changes by itself.
_VOLATILE = ("ns_last_pid", "random/", "sched_domain", "pty/nr", "conntrack_count", "route/flush")


def take_traces(name: str) -> set[str]:
    """Everything of the machine that cluster `name` might have changed."""
    layout = Layout(name)
    others = {path.name for path in CLUSTERS.glob("*")} - {name} if CLUSTERS.is_dir() else set()
    lines = {*_mounts(), *_files(), *_namespaces(), *_cgroups(), *_sysctls()}
    marked = find_marked(layout.mark) | find_in_netns(layout.netns_path)
    lines |= {f"process {_command_line(pid)}" for pid in marked}
    if layout.root.exists():
        lines.add(f"file {layout.root}")
    return {line for line in lines if not any(f"trainwright-{other}" in line for other in others)}


def find_in_cgroups(name: str) -> dict[int, int]:
    """Pid and start time of every process in a container of cluster `name`."""
    found: dict[int, int] = {}
    for hierarchy in list_hierarchies():
        with suppress(OSError):  # cgroups come and go
            for path in (hierarchy / Layout(name).cgroup).rglob("cgroup.procs"):
                found |= {int(pid): read_start_time(int(pid)) for pid in path.read_text().split()}
    return {pid: start for pid, start in found.items() if start}


def _mounts() -> Iterator[str]:
    # The image builder mounts its store there while it works.
    builder = f"{cache_folder() / 'images'}/"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if not (mount_point := line.split()[4]).startswith(builder):
            yield f"mount {mount_point}"


def _files() -> Iterator[str]:
    for folder in map(Path, (*_FOLDERS, *_FOLDERS_MORE)):
        if folder.is_dir():
            # The folder of all clusters is there as long as any cluster is.
            yield from (f"file {path}" for path in folder.iterdir() if path != CLUSTERS.parent)


def _namespaces() -> Iterator[str]:
    if Path("/run/netns").is_dir():
        yield from (f"netns {path.name}" for path in Path("/run/netns").iterdir())


def _cgroups() -> Iterator[str]:
    for hierarchy in list_hierarchies():
        yield from (f"cgroup {path}" for path in hierarchy.iterdir() if path.is_dir())


def _sysctls() -> Iterator[str]:
    for top in _SYSCTLS:
        for path in Path("/proc/sys", top).rglob("*"):
            if path.is_file() and not any(part in str(path) for part in _VOLATILE):
                with suppress(OSError):
                    yield f"sysctl {path} {path.read_text().strip()}"


def _command_line(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return f"of pid {pid}"
