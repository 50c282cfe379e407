"""A port that was given out is kept for its server until that listens."""

import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from trainwright_cli.local import ports
from trainwright_cli.local.ports import LOOPBACK

from tests.ports import MOST_KEPT, free_port, keep_port
from tools.machine import PROJECT

FINDS_ANOTHER = """
import sys
from trainwright_cli.local import ports

ports.FIRST_PORT, ports.LAST_PORT, ports._TRIES = int(sys.argv[1]), int(sys.argv[1]) + 1, 2
print(ports.find_free_ports(1))
"""


def test_a_port_that_is_kept_is_found_by_no_other_process() -> None:
    port = free_port(2)
    command = [sys.executable, "-c", FINDS_ANOTHER, str(port)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert "expected 1 free ports" in done.stderr


@pytest.mark.parametrize("host", [LOOPBACK, ""])
def test_a_server_may_listen_on_a_port_that_is_kept_for_it(host: str) -> None:
    port = free_port()
    with HTTPServer((host, port), BaseHTTPRequestHandler) as server:
        assert server.server_port == port
        with socket.create_connection((LOOPBACK, port), 5):
            pass


def test_a_port_that_is_kept_refuses_connections() -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, free_port()), 5)


def test_ports_in_a_row_are_all_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with keep_port(0) as taken:
        before = taken.getsockname()[1] - 1
        found = [[before], *([port] for port in ports.find_free_ports(1))]
        (_, (other,)) = found
        monkeypatch.setattr("tests.ports.find_free_ports", lambda _: found.pop(0))
        assert free_port(2) == other


def test_ports_that_were_given_out_long_ago_are_free_again() -> None:
    old = free_port()
    for _ in range(MOST_KEPT):
        free_port()
    keep_port(old).close()
