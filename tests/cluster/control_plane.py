"""The control plane: etcd, API server, controller-manager, scheduler and kube-proxy.

All run straight in the cluster's network namespace, on no node, so that a node can lose its power.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.binaries import KUBERNETES, binary
from tests.cluster.certificates import (
    Pair,
    build_authority,
    build_certificate,
    key_pem,
    new_key,
    write_secret,
)
from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.netns import inside
from tests.cluster.processes import Process, start_process
from tests.cluster.spec import (
    API_PORT,
    API_SERVICE_ADDRESS,
    CLUSTER_DOMAIN,
    ETCD_PORT,
    GATEWAY,
    POD_NETWORK,
    SERVICE_NETWORK,
    ClusterSpec,
    Layout,
    node_address,
)

INNER_SERVER = f"https://{GATEWAY}:{API_PORT}"
_KUBERNETES_SERVICE = "kubernetes.default.svc"


def write_credentials(layout: Layout, nodes: Sequence[str], host_port: int) -> None:
    """Make all keys, certificates and kubeconfigs; people's goes through `host_port`."""
    folder = layout.certificates
    folder.mkdir(mode=0o700)
    authority = build_authority("trainwright-test-cluster")
    (folder / "ca.crt").write_bytes(authority.certificate_pem())
    names = ["localhost", "127.0.0.1", GATEWAY, API_SERVICE_ADDRESS, "kubernetes"]
    names += ["kubernetes.default", _KUBERNETES_SERVICE, f"{_KUBERNETES_SERVICE}.{CLUSTER_DOMAIN}"]
    build_certificate(authority, "kube-apiserver", names=names).write(folder, "apiserver")
    build_certificate(authority, "kubelet-client", "system:masters").write(folder, "kubelet-client")
    admin = build_certificate(authority, "admin", "system:masters")
    admin.write(folder, "admin")
    outer_server = f"https://127.0.0.1:{host_port}"
    write_kubeconfig(layout.kubeconfig, outer_server, authority, admin, layout.netns)
    write_secret(folder / "service-accounts.key", key_pem(new_key(is_rsa=True)))
    for component in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        client = build_certificate(authority, f"system:{component}")
        _write_component_kubeconfig(folder / f"{component}.kubeconfig", authority, client)
    for node in nodes:
        pair = build_certificate(
            authority, f"system:node:{node}", "system:nodes", [node_address(node)]
        )
        pair.write(folder, node)
        _write_component_kubeconfig(folder / f"{node}.kubeconfig", authority, pair)


def start_api_server(layout: Layout) -> dict[str, Process]:
    """Start etcd and the API server, which waits for it by itself."""
    etcd = [
        "etcd",
        f"--data-dir={layout.root / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{ETCD_PORT}",
        f"--advertise-client-urls=http://127.0.0.1:{ETCD_PORT}",
        f"--listen-peer-urls=http://127.0.0.1:{ETCD_PORT + 1}",
        "--unsafe-no-fsync",  # a cluster that lives for minutes needs no durable data
        "--quota-backend-bytes=4294967296",
    ]
    # etcd 3.4 starts on 64-bit ARM only when told so.
    unsupported = {"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else None
    return {
        "etcd": _start(layout, "etcd", etcd, unsupported),
        "kube-apiserver": _start(layout, "kube-apiserver", build_api_server_command(layout)),
    }


def start_controllers(layout: Layout, spec: ClusterSpec) -> dict[str, Process]:
    """Start controller-manager and, where there are nodes, scheduler and kube-proxy."""
    commands = {"kube-controller-manager": build_controller_manager_command(layout, spec)}
    if not spec.control_plane_only:
        commands["kube-scheduler"] = [
            str(binary(KUBERNETES, "kube-scheduler")),
            *_client_flags(layout, "kube-scheduler"),
        ]
        config = layout.root / "kube-proxy.json"
        config.write_text(json.dumps(build_proxy_config(layout, spec.node_names()[0]), indent=1))
        commands["kube-proxy"] = [str(binary(KUBERNETES, "kube-proxy")), f"--config={config}"]
    return {name: _start(layout, name, command) for name, command in commands.items()}


def build_api_server_command(layout: Layout) -> list[str]:
    """The API server's command line."""
    folder = layout.certificates
    return [
        str(binary(KUBERNETES, "kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--advertise-address={GATEWAY}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--tls-cert-file={folder / 'apiserver.crt'}",
        f"--tls-private-key-file={folder / 'apiserver.key'}",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--requestheader-client-ca-file={folder / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        f"--kubelet-certificate-authority={folder / 'ca.crt'}",
        f"--kubelet-client-certificate={folder / 'kubelet-client.crt'}",
        f"--kubelet-client-key={folder / 'kubelet-client.key'}",
        # The node's name resolves nowhere: logs and exec go by its address.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://{_KUBERNETES_SERVICE}.{CLUSTER_DOMAIN}",
        f"--service-account-key-file={folder / 'service-accounts.key'}",
        f"--service-account-signing-key-file={folder / 'service-accounts.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Pods leave a dead node after seconds, not after five minutes.
        "--default-not-ready-toleration-seconds=3",
        "--default-unreachable-toleration-seconds=3",
        "--profiling=false",
    ]


def build_controller_manager_command(layout: Layout, spec: ClusterSpec) -> list[str]:
    """The controller-manager's command line."""
    folder = layout.certificates
    # Where there are no nodes, the pods' nodes are played: nobody shall delete these pods as orphans.
    without = ",-pod-garbage-collector-controller" if spec.control_plane_only else ""
    return [
        str(binary(KUBERNETES, "kube-controller-manager")),
        f"--controllers=*{without}",
        *_client_flags(layout, "kube-controller-manager"),
        f"--root-ca-file={folder / 'ca.crt'}",
        f"--service-account-private-key-file={folder / 'service-accounts.key'}",
        "--use-service-account-credentials",
        f"--cluster-cidr={POD_NETWORK}",
        "--allocate-node-cidrs=false",
        "--node-monitor-period=1s",
        f"--node-monitor-grace-period={spec.node_grace_seconds}s",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def build_proxy_config(layout: Layout, node: str) -> dict[str, Any]:
    """kube-proxy's configuration: one for all nodes, since they share the network namespace."""
    kubeconfig = layout.certificates / "kube-proxy.kubeconfig"
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": node,
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        "bindAddress": GATEWAY,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        # Client and server are often on the same bridge: the answer must come back this way.
        "iptables": {"masqueradeAll": True, "localhostNodePorts": False, "minSyncPeriod": "100ms"},
        # Zero leaves the machine's connection tracking as it is.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _client_flags(layout: Layout, component: str) -> list[str]:
    kubeconfig = layout.certificates / f"{component}.kubeconfig"
    flags = [
        f"--{kind}kubeconfig={kubeconfig}" for kind in ("", "authentication-", "authorization-")
    ]
    certificate = layout.certificates / "ca.crt"
    return [
        *flags,
        f"--requestheader-client-ca-file={certificate}",
        f"--client-ca-file={certificate}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


def _write_component_kubeconfig(path: Path, authority: Pair, client: Pair) -> None:
    write_kubeconfig(path, INNER_SERVER, authority, client, "cluster")


def _start(
    layout: Layout,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> Process:
    log = layout.logs / f"{name}.log"
    return start_process(name, [*inside(layout), *command], log, layout.mark, environment)
