"""Ports of the loopback address for servers that start in a moment, kept for them until they listen.

A server takes seconds to start; meanwhile another search must not find its port, neither one of the same
test nor one of the tiers beside it. On Linux a server may listen where a socket is bound that does not
listen, if both allow reuse (SO_REUSEADDR), as servers do; for a search, which does not, the port is in use.
"""

import socket
from collections import deque

from trainwright_cli.local.ports import LOOPBACK, find_free_ports

MOST_KEPT = 64  # their servers listen long before so many more are asked for

_kept: deque[socket.socket] = deque()


def free_port(in_a_row: int = 1) -> int:
    """Return a port on which nobody listens, the first of so many in a row."""
    while True:
        (first,) = find_free_ports(1)
        keepers: list[socket.socket] = []
        try:
            for port in range(first, first + in_a_row):
                keepers.append(keep_port(port))
        except OSError:  # another search was quicker, or one that follows is in use
            for keeper in keepers:
                keeper.close()
            continue
        _kept.extend(keepers)
        while len(_kept) > MOST_KEPT:
            _kept.popleft().close()
        return first


def keep_port(port: int) -> socket.socket:
    """Return a socket that keeps a port, 0 for any, until it is closed; raises OSError if it is in use."""
    keeper = socket.socket()
    try:
        keeper.bind((LOOPBACK, port))
    except OSError:
        keeper.close()
        raise
    keeper.setsockopt(
        socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
    )  # not before: a search finds it free
    return keeper
