"""Takes a cluster down by its name alone, however much of it there is.

It does not need the state file: processes are found by their mark and their network namespace, the
rest by name. So it also cleans up after a start that was killed half-way.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.cgroups import delete_cgroups, list_hierarchies
from tests.cluster.errors import ClusterError
from tests.cluster.netns import delete_netns
from tests.cluster.processes import find_in_netns, find_marked, kill_all, run_tool
from tests.cluster.spec import Layout


def remove_cluster(name: str) -> bool:
    """End and remove everything of this cluster; whether there was anything."""
    layout = Layout(name)
    was_there = is_there(layout)
    # One list: whoever survives its parent for a moment is found in the next round.
    kill_all(lambda: find_marked(layout.mark) | find_in_netns(layout.netns_path))
    delete_netns(layout)
    delete_cgroups(layout)
    _delete_folder(layout.root)
    return was_there


def is_there(layout: Layout) -> bool:
    """Whether anything of the cluster can be seen."""
    cgroups = [hierarchy / layout.cgroup for hierarchy in list_hierarchies()]
    if any(path.exists() for path in (layout.root, layout.netns_path, *cgroups)):
        return True
    return bool(find_marked(layout.mark))


def _delete_folder(root: Path) -> None:
    # All of the cluster's mounts are in its nodes' namespaces and gone with them. Should one be
    # left here all the same, deleting through it would empty a folder that is not ours.
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    below = [line.split()[4] for line in mounts if line.split()[4].startswith(f"{root}/")]
    for mount_point in sorted(below, reverse=True):
        if subprocess.run(["umount", mount_point], capture_output=True).returncode != 0:
            raise ClusterError(f"{mount_point}: still mounted; unmount it, then take down again")
    if not root.exists():
        return
    # Freeing the blocks of unpacked images is waiting for the disk: do it for all at once.
    big = [path for path in root.glob("nodes/*/containerd/*") if path.is_dir()]
    with ThreadPoolExecutor(max(1, len(big))) as pool:
        list(pool.map(_delete_tree, big))
    _delete_tree(root)


def _delete_tree(folder: Path) -> None:
    run_tool(["rm", "-rf", "--one-file-system", folder])
