"""The way into the cluster: listens on 127.0.0.1 of the host, connects inside the namespace.

A process of its own that lives as long as the cluster, so that an ordinary shell's kubectl works.
Started as `python -m tests.cluster.forwarder SOCKET NETNS`; takes requests on the UNIX socket, one
JSON line each: {"host": "10.199.0.1", "port": 6443} is answered with {"port": <local port>}.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

from tests.cluster.errors import NotReadyError
from tests.cluster.netns import enter_netns

_CHUNK_BYTES = 256 * 1024
_BACKLOG = 128


class Forwarder:
    """Keeps one listener per inner address."""

    def __init__(self, netns: Path) -> None:
        self._outside = Path(f"/proc/{os.getpid()}/fd/{os.open('/proc/self/ns/net', os.O_RDONLY)}")
        self._inside = netns
        self._ports: dict[tuple[str, int], int] = {}
        self._servers: list[asyncio.Server] = []
        enter_netns(netns)

    async def serve(self, control: Path) -> None:
        """Take requests until the process is killed."""
        # Appears under its name once it listens: a socket that is only bound refuses.
        draft = control.with_name(f".{control.name}")
        server = await asyncio.start_unix_server(self._answer, draft)
        draft.chmod(0o600)
        draft.rename(control)
        async with server:
            await server.serve_forever()

    async def open(self, host: str, port: int) -> int:
        """The local port that leads to host:port inside; the same one when asked again."""
        if (host, port) not in self._ports:
            listener = self._listen_outside()

            async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await _connect(reader, writer, host, port)

            self._servers.append(await asyncio.start_server(connect, sock=listener))
            self._ports[host, port] = listener.getsockname()[1]
        return self._ports[host, port]

    def _listen_outside(self) -> socket.socket:
        # A socket belongs to the namespace it was made in: step out just for that.
        enter_netns(self._outside)
        try:
            listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        finally:
            enter_netns(self._inside)
        return listener

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = json.loads(line)
            port = await self.open(request["host"], request["port"])
            writer.write(json.dumps({"port": port}).encode() + b"\n")
            await writer.drain()
        writer.close()


def request_forward(control: Path, host: str, port: int) -> int:
    """Ask a running forwarder for the local port that leads to host:port inside.

    Raises NotReadyError if it does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(control))
            connection.sendall(json.dumps({"host": host, "port": port}).encode() + b"\n")
            answer = connection.makefile().readline()
        return int(json.loads(answer)["port"])
    except (OSError, ValueError) as error:  # there is none, or it ended before it said a line
        raise NotReadyError(
            f"{control}: the cluster's forwarder does not answer ({error}); start the cluster anew"
        ) from error


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
    except OSError:
        # Nobody listens inside: the client sees a closed connection, as it would there.
        writer.close()
        return
    await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
    inner_writer.close()
    writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side ends; an end of input is passed on, a reset closes the other side."""
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


def main() -> None:
    """Run until killed."""
    control, netns = Path(sys.argv[1]), Path(sys.argv[2])
    asyncio.run(Forwarder(netns).serve(control))


if __name__ == "__main__":
    main()
