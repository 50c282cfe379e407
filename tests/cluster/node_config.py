"""The configuration files of a node's kubelet, containerd and CNI plugins. Pure.

The reasons for unusual values stand beside them; most come from running without systemd, without
CAP_SYS_RESOURCE, and several nodes on one kernel.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cluster.images import PAUSE_IMAGE
from tests.cluster.netns import BRIDGE
from tests.cluster.packages import CNI_PLUGINS
from tests.cluster.spec import CLUSTER_DOMAIN, GATEWAY, Layout, Mount, node_address, pod_range

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"

# The kubelet insists on these values of kernel settings; the node shows it files with them in the
# settings' places, so that the machine's own stay as they are.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def build_kubelet_config(layout: Layout, node: str) -> dict[str, Any]:
    """The kubelet's configuration file."""
    folder = layout.node_folder(node)
    certificates = layout.certificates
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node_address(node),
        "healthzBindAddress": node_address(node),
        "authentication": {"x509": {"clientCAFile": str(certificates / "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificates / f"{node}.crt"),
        "tlsPrivateKeyFile": str(certificates / f"{node}.key"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [GATEWAY],
        "resolvConf": str(folder / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}/{node}",
        "enforceNodeAllocatable": ["pods"],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # The percentages are of the machine's disk, which is not the cluster's to clean.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 5,
        "syncFrequency": "10s",
        # A test waits for what a pod's volume shows soon after its ConfigMap has changed.
        "configMapAndSecretChangeDetectionStrategy": "Watch",
    }


def build_containerd_config(layout: Layout, node: str) -> str:
    """containerd's configuration file (TOML; JSON strings are TOML strings)."""
    folder = layout.node_folder(node)
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    runc = f"{cri}.containerd.runtimes.runc"
    lines = [
        "version = 2",
        f"root = {_quote(folder / 'containerd')}",
        'state = "/run/containerd"',
        # Would create /opt/containerd on the machine.
        'disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]',
        "[grpc]",
        f"address = {_quote(CONTAINERD_SOCKET)}",
        f"[{cri}]",
        f"sandbox_image = {_quote(PAUSE_IMAGE)}",
        # Without CAP_SYS_RESOURCE no pod would start otherwise.
        "restrict_oom_score_adj = true",
        f"[{cri}.containerd]",
        'snapshotter = "overlayfs"',
        'default_runtime_name = "runc"',
        f"[{runc}]",
        'runtime_type = "io.containerd.runc.v2"',
        f"base_runtime_spec = {_quote(folder / 'runtime-spec.json')}",
        f"[{runc}.options]",
        "SystemdCgroup = false",
        f"[{cri}.cni]",
        f"bin_dir = {_quote(CNI_PLUGINS)}",
        f"conf_dir = {_quote(folder / 'cni')}",
    ]
    return "\n".join(lines) + "\n"


def build_cni_config(node: str) -> dict[str, Any]:
    """The pod network: everything on the one bridge, addresses from the node's own range."""
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": False,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-addresses",
                    "ranges": [_address_range(node)],
                    "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAY}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def build_runtime_spec(base: dict[str, Any], mounts: Sequence[Mount]) -> dict[str, Any]:
    """What every container starts from: containerd's default with the read-only host folders."""
    spec: dict[str, Any] = json.loads(json.dumps(base))
    # Raising a limit needs CAP_SYS_RESOURCE; containers have the machine's.
    spec["process"].pop("rlimits", None)
    spec["mounts"] += [
        {
            "type": "bind",
            "source": mount.source,
            "destination": mount.target,
            "options": ["rbind", "ro", "nosuid", "nodev"],
        }
        for mount in mounts
    ]
    return spec


def build_boot_script(folder: Path, root: Path, init: Path) -> str:
    """The shell script that turns a fresh mount and PID namespace into a node.

    /run is the node's own, /var/lib and /var/log show the machine's with the node's changes on
    top: kubelet and containerd have folders there by fixed names.
    """
    lines = [
        "mount --make-rshared /",
        "mount -t tmpfs node-run /run",
        "mkdir -p /run/netns /run/own /run/node",
        f"mount --bind {root} /run/own",
    ]
    for name in ("lib", "log"):
        upper, work = f"/run/node/{name}", f"/run/node/{name}-work"
        lines += [
            f"mkdir {upper} {work}",
            f"mount -t overlay node-{name} -o "
            f"lowerdir=/var/{name},upperdir={upper},workdir={work} /var/{name}",
        ]
    lines.append(f"mount --bind /run/own {root}")
    for setting in KERNEL_SETTINGS:
        target = Path("/proc/sys") / setting
        lines.append(f"mount --bind {folder}/kernel/{setting.replace('/', '-')} {target}")
    # It lies in the cache, whose path is the person's choice.
    lines.append(f"exec {shlex.quote(str(init))} pause")
    return "\n".join(lines) + "\n"


def _address_range(node: str) -> list[dict[str, str]]:
    network = pod_range(node)
    base = network.removesuffix("0/24")
    # The whole bridge is one network, of which this node hands out its own part.
    return [{"subnet": "10.199.0.0/16", "rangeStart": f"{base}1", "rangeEnd": f"{base}254"}]


def _quote(value: object) -> str:
    return json.dumps(str(value))
