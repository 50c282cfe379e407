"""A small OTLP/HTTP receiver: remembers what was sent to it, as OpenTelemetry's own messages."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)


@dataclass
class Receiver:
    """Where it listens and what came."""

    url: str = ""
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def resource(self) -> dict[str, str]:
        """The sender, by the last request."""
        (found,) = self.requests[-1].resource_metrics
        return {item.key: item.value.string_value for item in found.resource.attributes}

    @property
    def metrics(self) -> dict[str, Any]:
        """Metrics of the last request by name."""
        (found,) = self.requests[-1].resource_metrics
        (scope,) = found.scope_metrics
        return {metric.name: metric for metric in scope.metrics}


@contextmanager
def receive() -> Iterator[Receiver]:
    """Receive on a free port of loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.paths.append(self.path)
            receiver.requests.append(ExportMetricsServiceRequest.FromString(content))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportMetricsServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: object) -> None:
            """The test looks at the requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
