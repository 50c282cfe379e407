"""The HTTP server that operator and trainer run in their pods: no client holds a thread for good.

Pods of a cluster have IPv4 addresses, IPv6 ones or both; the server answers on all that the machine has.
"""

import errno
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SILENCE_SECONDS = 10.0  # after which a client that sends or takes nothing is let go


class PodHandler(BaseHTTPRequestHandler):
    """Answers one connection, which a client may use again and again; kinds of handlers say how."""

    timeout = SILENCE_SECONDS
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: the second would wait for the first's receipt

    def do_GET(self) -> None:
        """Called by the base class."""
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what is left unread would pass for the next request
        self.handle_get()

    def do_POST(self) -> None:
        """Called by the base class."""
        if "Transfer-Encoding" in self.headers:
            self.send_error(411)  # only a length tells where the next request begins; closes
        else:
            self.handle_post()

    def handle_get(self) -> None:
        """Answer a GET of `self.path`."""
        self.send_error(501)

    def handle_post(self) -> None:
        """Answer a POST to `self.path`."""
        self.send_error(501)

    def answer(self, code: int, kind: str, body: bytes) -> None:
        """Send a whole answer."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are many and tell nothing."""


class PodServer(ThreadingHTTPServer):
    """Listens on every IPv4 address."""

    daemon_threads = True


class _DualServer(PodServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def open_server(port: int, handler: type[PodHandler]) -> PodServer:
    """Return a server that listens; the caller runs `serve_forever`. Raises OSError if the port is taken."""
    if socket.has_dualstack_ipv6():
        try:
            return _DualServer(("", port), handler)
        except OSError as error:  # IPv6 can be compiled in and switched off
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return PodServer(("", port), handler)
