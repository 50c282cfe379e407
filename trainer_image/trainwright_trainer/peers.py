"""Lets the pods of a run know at once when one of them has gone.

Gloo notices a closed connection, NCCL not always, and neither a node without power. So the launcher
of node 0 listens, those of the other nodes connect, and both sides say every few seconds that they
live. The launcher does it, not a rank: it computes nothing and is never too busy to answer. Where
the port cannot be reached, training goes on without this watch.

Words are lines: `hello N ATTEMPT`, `alive`, `lost N` (node 0 passes it on), `bye` (a good end). Who
does not say hello as a node of the same attempt is not listened to.
"""

import contextlib
import logging
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field

from trainwright_trainer.errors import LOST_CONTACT

BEATS_PER_SILENCE = 6
CONNECT_SECONDS = 5.0
MAXIMUM_STRANGERS = 16  # connections at a time that have not said hello yet
_LONGEST_LINE = 256

logger = logging.getLogger("trainwright.peers")


@dataclass
class _Link:
    """A connection to another node's launcher."""

    connection: socket.socket
    node: int | None
    heard_at: float
    said_bye: bool = False
    received: bytes = b""


@dataclass
class PeerWatch:
    """Watches the other nodes of a run from a thread of its own.

    `attempt` names the run and its attempt, in one word. `lost` says in words which node has gone, or
    is None. `silence_seconds` is how long a node may say nothing.
    """

    node_rank: int
    num_nodes: int
    address: str
    port: int
    silence_seconds: float
    attempt: str
    lost: str | None = None
    _links: list[_Link] = field(default_factory=list)
    _listener: socket.socket | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Listen (node 0) or connect (others); nothing to do for a single node."""
        if self.num_nodes < 2:
            return
        if self.node_rank == 0:
            self._listen()
        threading.Thread(target=self._run, name="peers", daemon=True).start()

    def close(self, *, is_good_end: bool) -> None:
        """Stop watching; after a good end the others are told that this node is not lost."""
        self._stop.set()
        with self._lock:
            for link in self._links:
                if is_good_end:
                    _say(link, "bye")
                with contextlib.suppress(OSError):
                    link.connection.close()
            self._links.clear()
            if self._listener is not None:
                self._listener.close()

    def _listen(self) -> None:
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        try:
            self._listener = socket.create_server(
                ("", self.port), family=family, dualstack_ipv6=family == socket.AF_INET6
            )
        except OSError as error:
            logger.warning("other nodes are not watched: port %d: %s", self.port, error)

    def _run(self) -> None:
        beat_seconds = self.silence_seconds / BEATS_PER_SILENCE
        if self.node_rank != 0 and not self._connect(beat_seconds):
            return
        next_beat_at = time.monotonic()
        while not self._stop.is_set() and self.lost is None:
            late_seconds = time.monotonic() - next_beat_at
            if late_seconds >= 0:  # not at every word heard, else two would chatter
                self._beat(late_seconds)
                next_beat_at = time.monotonic() + beat_seconds
            with self._lock:
                sources = {link.connection: link for link in self._links}
                listener = self._listener
            pause_seconds = max(0.0, next_beat_at - time.monotonic())
            for ready in _wait_readable(
                [*sources, *([listener] if listener else [])], pause_seconds
            ):
                if ready is listener:
                    self._accept(ready)
                else:
                    self._read(sources[ready])

    def _connect(self, pause_seconds: float) -> bool:
        """Connect to node 0, which may start much later than this one."""
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                connection = socket.create_connection((self.address, self.port), CONNECT_SECONDS)
                link = _Link(connection, 0, time.monotonic())
                connection.setblocking(False)
                with self._lock:
                    self._links.append(link)
                _say(link, f"hello {self.node_rank} {self.attempt}")
                return True
            self._stop.wait(pause_seconds)
        return False

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connection.setblocking(False)
            with self._lock:
                strangers = [link for link in self._links if link.node is None]
                self._links.append(_Link(connection, None, time.monotonic()))
            if len(strangers) >= MAXIMUM_STRANGERS:  # a node says hello at once, so not the newest
                self._drop(strangers[0], "it has not said hello")

    def _read(self, link: _Link) -> None:
        try:
            content = link.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content:
            self._drop(link, "its connection closed")
            return
        if link.node is not None:  # the time of a stranger runs out, whatever it says
            link.heard_at = time.monotonic()
        *lines, link.received = (link.received + content).split(b"\n")
        link.received = link.received[-_LONGEST_LINE:]
        for line in lines:
            self._hear(link, line.decode("ascii", "replace"))

    def _hear(self, link: _Link, line: str) -> None:
        word, _, argument = line.partition(" ")
        if word == "hello":
            self._greet(link, argument)
            return
        number = int(argument) if argument.isascii() and argument.isdigit() else None
        if word == "bye":
            link.said_bye = True
        elif word == "lost" and link.node == 0 and number is not None:
            self._lose(number, "node 0 says so")

    def _greet(self, link: _Link, said: str) -> None:
        """Learn which node this is; one that is none of this attempt's is not listened to."""
        known = {f"{node} {self.attempt}": node for node in range(1, self.num_nodes)}
        if link.node is not None:
            return
        if said in known:
            link.node, link.heard_at = known[said], time.monotonic()
        else:
            self._drop(link, "it is no node of this attempt")

    def _beat(self, late_seconds: float) -> None:
        """Say that this node lives, and drop who was silent for too long.

        While this process itself did not run, as on a machine that was paused, it heard nobody: that is no
        silence of theirs.
        """
        now = time.monotonic()
        with self._lock:
            links = list(self._links)
        for link in links:
            link.heard_at = min(now, link.heard_at + late_seconds)
            silent_seconds = now - link.heard_at
            if silent_seconds > self.silence_seconds:
                self._drop(link, f"it has been silent for {silent_seconds:.0f} s")
            else:
                _say(link, "alive")

    def _drop(self, link: _Link, why: str) -> None:
        with self._lock:
            if link in self._links:
                self._links.remove(link)
        with contextlib.suppress(OSError):
            link.connection.close()
        if link.node is not None and not link.said_bye and not self._stop.is_set():
            self._lose(link.node, why)

    def _lose(self, node: int, why: str) -> None:
        if self.lost is not None:
            return
        self.lost = f"{LOST_CONTACT} to the pod of node {node}: {why}"
        logger.error("%s", self.lost)
        with self._lock:
            for link in self._links:
                _say(link, f"lost {node}")


def _say(link: _Link, line: str) -> None:
    """Send a line; a connection that takes none is judged by its silence."""
    with contextlib.suppress(OSError):
        link.connection.send(f"{line}\n".encode())


def _wait_readable(sources: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Return the sockets that have something to read, or none after `seconds`."""
    if not sources:
        time.sleep(seconds)
        return []
    try:
        with selectors.DefaultSelector() as selector:
            for source in sources:
                selector.register(source, selectors.EVENT_READ)
            return [key.fileobj for key, _ in selector.select(seconds)]  # type: ignore[misc]
    except (OSError, ValueError):  # closed meanwhile, by `close`
        return []
