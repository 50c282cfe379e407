"""Launchers notice each other's end over real connections on loopback."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from trainwright_trainer import peers
from trainwright_trainer.errors import LOST_CONTACT
from trainwright_trainer.peers import BEATS_PER_SILENCE, MAXIMUM_STRANGERS, PeerWatch

from tests.ports import free_port

SILENCE_SECONDS = 0.6
ATTEMPT = "uid-1/1"


@pytest.fixture
def watches() -> Iterator[list[PeerWatch]]:
    """Node 0 and two others, connected."""
    port = free_port()
    nodes = [PeerWatch(rank, 3, "127.0.0.1", port, SILENCE_SECONDS, ATTEMPT) for rank in (1, 2, 0)]
    for node in nodes:  # node 0 comes last, as a slow pod does
        node.start()
    one, two, zero = nodes
    await_(lambda: {link.node for link in zero._links} == {1, 2})
    yield [zero, one, two]
    for node in nodes:
        node.close(is_good_end=True)


def await_(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_living_nodes_are_not_lost(watches: list[PeerWatch]) -> None:
    zero = watches[0]
    heard = [link.heard_at for link in zero._links]
    await_(
        lambda: all(
            link.heard_at > before + 2 * SILENCE_SECONDS
            for link, before in zip(zero._links, heard, strict=True)
        )
    )
    assert [node.lost for node in watches] == [None, None, None]


def test_a_node_that_falls_is_lost_to_all_at_once(watches: list[PeerWatch]) -> None:
    zero, one, two = watches
    one.close(is_good_end=False)
    await_(lambda: zero.lost and two.lost)
    for other in (zero, two):
        assert str(other.lost).startswith(f"{LOST_CONTACT} to the pod of node 1")


def test_without_node_0_the_others_end(watches: list[PeerWatch]) -> None:
    zero, one, two = watches
    zero.close(is_good_end=False)
    await_(lambda: one.lost and two.lost)
    assert "node 0" in str(one.lost)


def test_a_good_end_is_no_loss(watches: list[PeerWatch]) -> None:
    zero, one, two = watches
    one.close(is_good_end=True)
    await_(lambda: {link.node for link in zero._links} == {2})
    assert (zero.lost, two.lost) == (None, None)


def test_a_frozen_node_is_lost_after_its_silence(watches: list[PeerWatch]) -> None:
    zero, one, two = watches
    with one._lock:  # its thread can neither hear nor speak now, and its connection stays open
        await_(lambda: zero.lost and two.lost)
    assert "silent" in str(zero.lost)


@pytest.mark.parametrize(
    "words", ["hello 1", "hello 1 uid-1/2", f"hello 0 {ATTEMPT}", f"hello 3 {ATTEMPT}", "hello"]
)
def test_who_is_no_node_of_this_attempt_is_not_listened_to(
    watches: list[PeerWatch], words: str
) -> None:
    with socket.create_connection(("127.0.0.1", watches[0].port), timeout=10) as stranger:
        stranger.sendall(f"{words}\n".encode())
        while stranger.recv(4096):  # until the other side closes
            pass
    assert [node.lost for node in watches] == [None, None, None]
    assert {link.node for link in watches[0]._links} == {1, 2}


def test_strangers_keep_no_connections_and_no_node_out(watches: list[PeerWatch]) -> None:
    zero = watches[0]
    with contextlib.ExitStack() as strangers:
        for _ in range(2 * MAXIMUM_STRANGERS):
            strangers.enter_context(socket.create_connection(("127.0.0.1", zero.port), timeout=10))
        await_(lambda: len(zero._links) <= MAXIMUM_STRANGERS + 2)
        assert {1, 2} <= {link.node for link in zero._links}
    assert zero.lost is None


def test_words_are_not_answered_at_once(watches: list[PeerWatch]) -> None:
    """Else two launchers would chatter without pause, at the cost of a core."""
    with socket.create_connection(("127.0.0.1", watches[0].port)) as talker:
        talker.sendall(f"hello 2 {ATTEMPT}\n".encode())
        began = time.monotonic()
        while time.monotonic() < began + SILENCE_SECONDS:
            talker.sendall(b"alive\n")
            time.sleep(0.001)
        heard = talker.recv(65536).count(b"alive")
    seconds = time.monotonic() - began
    assert 1 <= heard <= 2 + seconds / (SILENCE_SECONDS / BEATS_PER_SILENCE)


def test_the_time_in_which_it_did_not_run_itself_is_no_silence_of_others() -> None:
    """A machine that was paused hears what was said meanwhile once it runs again."""
    zero = PeerWatch(0, 2, "127.0.0.1", 1, SILENCE_SECONDS, ATTEMPT)
    here, there = socket.socketpair()
    with here, there:
        link = peers._Link(here, 1, heard_at=time.monotonic() - 100)
        zero._links.append(link)
        zero._beat(late_seconds=100)
        assert zero.lost is None
        assert there.recv(100) == b"alive\n"
        link.heard_at -= 100
        zero._beat(late_seconds=1)
        assert "silent" in str(zero.lost)


def test_a_single_node_watches_nobody() -> None:
    alone = PeerWatch(0, 1, "127.0.0.1", 1, SILENCE_SECONDS, ATTEMPT)
    alone.start()
    assert alone._listener is None
    alone.close(is_good_end=True)
