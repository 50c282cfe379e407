"""The cluster's network namespace: one bridge that nodes, pods and the control plane share.

The host's own network is not touched, and nothing inside reaches it; `forwarder` is the only way in.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.processes import run_tool
from tests.cluster.spec import GATEWAY, PREFIX_LENGTH, Layout, node_address

BRIDGE = "br0"
_CLONE_NEWNET = 0x40000000
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # Client and server share a wire. The way through a Service must be the same in both directions,
    # so kube-proxy masks the client's address, and the wire itself is not filtered a second time.
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/bridge/bridge-nf-call-iptables": "0",
}


def create_netns(layout: Layout, nodes: Sequence[str]) -> None:
    """Make the namespace with its bridge and the nodes' addresses."""
    run_tool(["ip", "netns", "add", layout.netns])
    addresses = [GATEWAY, *(node_address(node) for node in nodes)]
    commands = ["link set lo up", f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up"]
    commands += [f"address add {address}/{PREFIX_LENGTH} dev {BRIDGE}" for address in addresses]
    # Programs look for the interface of the default route to learn their own address.
    commands += [f"route add default via {GATEWAY} dev {BRIDGE}"]
    for command in commands:
        run_tool(["ip", "-netns", layout.netns, *command.split()])
    # All of these are per network namespace; the last exists only where br_netfilter is loaded.
    writes = [
        f"if test -e /proc/sys/{name}; then echo {value} > /proc/sys/{name}; fi"
        for name, value in _SYSCTLS.items()
    ]
    run_tool([*inside(layout), "sh", "-ec", "; ".join(writes)])


def delete_netns(layout: Layout) -> None:
    """Remove the namespace, if it is there; its processes must have ended."""
    if layout.netns_path.exists():
        run_tool(["ip", "netns", "delete", layout.netns])


def inside(layout: Layout) -> list[str]:
    """The prefix that runs a command in the namespace.

    Not `ip netns exec`: that mounts a new /sys, which hides the cgroups.
    """
    return ["nsenter", f"--net={layout.netns_path}", "--"]


def enter_netns(path: Path) -> None:
    """Move the calling thread into a network namespace: sockets it opens from now on are there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(descriptor)
