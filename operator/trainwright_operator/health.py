"""Serves /metrics, /healthz and /readyz; health means that work goes on, not that a port is open."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

Check = Callable[[], bool]


def serve_health(
    port: int, render: Callable[[], bytes], is_alive: Check, is_ready: Check
) -> ThreadingHTTPServer:
    """Start serving in a thread and return the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, render())
            elif self.path in ("/healthz", "/readyz"):
                is_good = is_alive() if self.path == "/healthz" else is_ready()
                self._answer(
                    200 if is_good else 503, "text/plain", b"ok\n" if is_good else b"not ok\n"
                )
            else:
                self._answer(404, "text/plain", b"not found\n")

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes are many and tell nothing."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
