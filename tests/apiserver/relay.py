"""A TCP relay that can be cut: the API server as a client sees it when the network is gone."""

import socket
import threading
from contextlib import suppress

from tests.ports import keep_port


class Relay:
    """Leads connections of its own port to another one of 127.0.0.1; nothing answers while it is cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self._keeper = keep_port(0)  # else another program could get the port while it is cut
        self.port = self._keeper.getsockname()[1]
        self.mend()

    def mend(self) -> None:
        """Take connections, at the port of before."""
        self._door = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._door,), daemon=True).start()

    def cut(self) -> None:
        """Refuse connections and end those that there are."""
        for connection in (self._door, *self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def _serve(self, door: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = door.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
