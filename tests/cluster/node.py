"""A node: a mount and PID namespace with a containerd and a kubelet of its own.

Killing its first process is a power cut: everything in it dies at once and its mounts vanish.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.binaries import KUBERNETES, TOOLBOX, binary
from tests.cluster.cgroups import renew_cgroups
from tests.cluster.netns import inside
from tests.cluster.node_config import (
    CONTAINERD_SOCKET,
    KERNEL_SETTINGS,
    build_boot_script,
    build_cni_config,
    build_containerd_config,
    build_kubelet_config,
    build_runtime_spec,
)
from tests.cluster.node_disk import copy_disk
from tests.cluster.processes import Process, run_tool, start_process, wait_until
from tests.cluster.spec import Layout, Mount, node_address

START_SECONDS = 20
# containerd's socket is there before its CRI service is; a kubelet that asks it too early ends.
CRI_SERVES = b"Start streaming server"


@dataclass(frozen=True)
class Node:
    """One node of a cluster; `processes` is the cluster's table, which it keeps up to date."""

    layout: Layout
    name: str
    processes: dict[str, Process]

    @property
    def folder(self) -> Path:
        """Its disk."""
        return self.layout.node_folder(self.name)

    @property
    def init_pid(self) -> int:
        """The first process of its PID namespace, as the machine counts."""
        return self.processes[self.name].first_child()

    def write_files(self, disk: Path, mounts: Sequence[Mount]) -> None:
        """Lay out its disk: a copy of `disk` for containerd, and the configuration of all."""
        copy_disk(disk, self.folder / "containerd")
        for name in ("cni", "kernel", "kubelet", "pod-logs", "volume-plugins"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "resolv.conf").touch()
        for setting, value in KERNEL_SETTINGS.items():
            (self.folder / "kernel" / setting.replace("/", "-")).write_text(f"{value}\n")
        init = binary(TOOLBOX)
        script = build_boot_script(self.folder, self.layout.root, init)
        (self.folder / "boot.sh").write_text(script)
        kubelet = build_kubelet_config(self.layout, self.name)
        (self.folder / "kubelet.json").write_text(json.dumps(kubelet, indent=1))
        (self.folder / "containerd.toml").write_text(
            build_containerd_config(self.layout, self.name)
        )
        cni = json.dumps(build_cni_config(self.name), indent=1)
        (self.folder / "cni" / "pods.conflist").write_text(cni)
        default = json.loads(run_tool(["ctr", "oci", "spec"]))
        runtime = build_runtime_spec(default, mounts)
        (self.folder / "runtime-spec.json").write_text(json.dumps(runtime, indent=1))

    def boot(self) -> None:
        """Make its namespaces and start containerd; returns when that answers."""
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command = [*inside(self.layout), *unshare, "sh", "-e", str(self.folder / "boot.sh")]
        self._start(self.name, command)
        wait_until(
            f"{self.name} has booted",
            lambda: (
                self.init_pid and Path(f"/proc/{self.init_pid}/comm").read_text() == "toolbox\n"
            ),
            START_SECONDS,
            [self.processes[self.name]],
        )
        containerd = ["containerd", f"--config={self.folder / 'containerd.toml'}"]
        log = self.layout.logs / f"{self.name}-containerd.log"
        told_before = log.stat().st_size if log.exists() else 0
        self._start(f"{self.name}-containerd", [*self.enter(), *containerd])
        wait_until(
            f"{self.name}: containerd answers",
            lambda: (
                Path(f"/proc/{self.init_pid}/root{CONTAINERD_SOCKET}").exists()
                and CRI_SERVES in log.read_bytes()[told_before:]
            ),
            START_SECONDS,
            self.watched(),
        )

    def start_kubelet(self) -> None:
        """Start the kubelet; it registers the node by itself."""
        kubelet = [
            str(binary(KUBERNETES, "kubelet")),
            f"--config={self.folder / 'kubelet.json'}",
            f"--kubeconfig={self.layout.certificates / f'{self.name}.kubeconfig'}",
            f"--hostname-override={self.name}",
            f"--node-ip={node_address(self.name)}",
            f"--root-dir={self.folder / 'kubelet'}",
        ]
        self._start(f"{self.name}-kubelet", [*self.enter(), *kubelet])

    def kill_kubelet(self) -> None:
        """SIGKILL the kubelet alone: its containers run on without anybody looking."""
        kubelet = self.processes.pop(f"{self.name}-kubelet")
        kubelet.kill_first_child()
        wait_until(f"{self.name}: kubelet has ended", lambda: not kubelet.is_alive(), 5)

    def cut_power(self) -> None:
        """End everything on the node at once."""
        for name in (f"{self.name}-kubelet", f"{self.name}-containerd"):
            self.processes.pop(name, None)
        init = self.processes.pop(self.name)
        init.kill_first_child()
        wait_until(f"{self.name} is off", lambda: not init.is_alive(), 5)
        renew_cgroups(self.layout, self.name)

    def load_image(self, archive: Path) -> None:
        """Import an OCI or Docker archive into its containerd."""
        # By standard input: the node does not see the machine's /run.
        with archive.open("rb") as file:
            run_tool([*self.enter(), "ctr", "-n", "k8s.io", "images", "import", "-"], file)

    def image_names(self) -> list[str]:
        """The images that it holds."""
        return run_tool([*self.enter(), "ctr", "-n", "k8s.io", "images", "list", "-q"]).split()

    def enter(self) -> list[str]:
        """The prefix that runs a command on the node."""
        return ["nsenter", f"--target={self.init_pid}", "--mount", "--pid", "--net", "--"]

    def watched(self) -> list[Process]:
        """Its processes that run now."""
        prefixes = (self.name, f"{self.name}-containerd", f"{self.name}-kubelet")
        return [self.processes[name] for name in prefixes if name in self.processes]

    def _start(self, name: str, command: Sequence[str | Path]) -> None:
        log = self.layout.logs / f"{name}.log"
        self.processes[name] = start_process(name, command, log, self.layout.mark)


def on_all(nodes: Sequence[Node], action: Callable[[Node], None]) -> None:
    """Do something on all nodes at once; the first error is raised when all have ended."""
    with ThreadPoolExecutor(max(1, len(nodes))) as pool:
        list(pool.map(action, nodes))
