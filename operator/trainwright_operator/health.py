"""Serves /metrics, /healthz and /readyz; health means that work goes on, not that a port is open."""

import threading
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST
from trainwright_api.pod_server import PodHandler, PodServer, open_server

Check = Callable[[], bool]


def serve_health(
    port: int, render: Callable[[], bytes], is_alive: Check, is_ready: Check
) -> PodServer:
    """Start serving in a thread and return the server."""

    class Handler(PodHandler):
        def handle_get(self) -> None:
            if self.path == "/metrics":
                self.answer(200, CONTENT_TYPE_LATEST, render())
            elif self.path in ("/healthz", "/readyz"):
                is_good = is_alive() if self.path == "/healthz" else is_ready()
                self.answer(
                    200 if is_good else 503, "text/plain", b"ok\n" if is_good else b"not ok\n"
                )
            else:
                self.answer(404, "text/plain", b"not found\n")

    server = open_server(port, Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
