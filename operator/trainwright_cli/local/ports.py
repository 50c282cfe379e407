"""Ports of this machine for processes that start in a moment."""

import contextlib
import random
import socket

LOOPBACK = "127.0.0.1"
# Below what Linux gives to outgoing connections (net.ipv4.ip_local_port_range): until the process has
# started, which takes seconds, no connection of another program may get its port.
FIRST_PORT, LAST_PORT = 15_000, 29_999
_TRIES = 1000


def find_free_ports(count: int) -> list[int]:
    """Return different ports of the loopback address on which nobody listens.

    Raises OSError if there are not that many.
    """
    found: list[int] = []
    for port in random.sample(range(FIRST_PORT, LAST_PORT + 1), _TRIES):
        if len(found) == count:
            return found
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((LOOPBACK, port))
            found.append(port)
    raise OSError(f"expected {count} free ports from {FIRST_PORT} to {LAST_PORT}, got {len(found)}")
