"""The sweep against real HTTP servers on this machine, good and bad."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest
from trainwright_api import names
from trainwright_api.report import RunReport
from trainwright_operator import sweep as sweep_module
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.sweep import MAXIMUM_REPORT_BYTES, Sweep
from trainwright_operator.world import World

from tests.unit.operator.builders import KEY, at, checkpoint, raw_run
from tests.unit.operator.small_cluster import Raw
from tests.unit.operator.test_world import raw_pod

GOOD = json.dumps({"attempt": 1, "sequence": 5, "progress": {"step": 7}}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(body: bytes) -> bytes:
    return HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def answering(answer: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Iterator[int]:
    """A server that reads a request and lets `answer` write what it likes."""
    listener = socket.create_server((address, 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(4096)
                answer(connection)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def master(address: str = "127.0.0.1", **status: object) -> Raw:
    pod = raw_pod()
    pod["metadata"]["labels"]["training.kubeflow.org/replica-type"] = "master"
    pod["status"] |= {"podIP": address, **status}
    return pod


def sweep_once(
    port: int, *pods: Raw, times: int = 1, figures_seconds: float = 60
) -> tuple[RunReport | None, list[str | None]]:
    """Return the report that is known after it, and the runs that were marked."""
    world, marked = World(), []
    world.see_run(raw_run())
    for pod in pods or (master(),):
        world.see_pod(pod, now=at(0))

    async def work() -> None:
        metrics = OperatorMetrics("test")
        sweep = Sweep(world, marked.append, 1, metrics, figures_seconds=figures_seconds, port=port)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
            for _ in range(times):
                await sweep.ask_all(session)

    asyncio.run(work())
    entry = world.entry(KEY)
    assert entry is not None
    return entry.report, marked


def test_a_report_is_taken_in_once_and_marks_its_run() -> None:
    with answering(lambda c: c.sendall(whole(GOOD))) as port:
        report, marked = sweep_once(port, times=3)
    assert report is not None
    assert report.progress.step == 7
    assert marked == [KEY]


@pytest.mark.parametrize(
    ("changes", "is_marked"),
    [
        ({"progress": {"step": 8, "loss": 2.5}}, False),
        ({"progress": {"step": 7}, "hardware": {"device": "CPU", "accelerators": 1}}, False),
        ({"progress": {"step": 7, "activity": "export"}}, True),
        ({"checkpoints": [checkpoint(7)]}, True),
        ({"bestCheckpoint": checkpoint(7)}, True),
        ({"model": {"uri": "s3://runs/team/gpt/model/"}}, True),
        ({"resumedFromStep": 5}, True),
    ],
)
def test_figures_alone_mark_a_run_only_now_and_then(
    changes: dict[str, object], is_marked: bool
) -> None:
    bodies = [GOOD, json.dumps(json.loads(GOOD) | {"sequence": 6} | changes).encode()]
    with answering(lambda c: c.sendall(whole(bodies.pop(0)))) as port:
        report, marked = sweep_once(port, times=2)
    assert report is not None
    assert report.sequence == 6, "figures that mark nothing are known all the same"
    assert marked == [KEY] * (2 if is_marked else 1)


def test_figures_mark_a_run_again_once_a_status_is_due() -> None:
    bodies = [GOOD.replace(b'"sequence": 5', b'"sequence": %d' % number) for number in range(3)]
    with answering(lambda c: c.sendall(whole(bodies.pop(0)))) as port:
        _, marked = sweep_once(port, times=3, figures_seconds=0)
    assert marked == [KEY] * 3


def test_many_pods_that_do_not_answer_are_no_standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them make one sweep longer than a minute; each that is asked is progress."""
    world, clock, idle = World(), SimpleNamespace(now=0.0), list[float]()
    for index in range(40):
        run, pod = raw_run(), master()
        run["metadata"] |= {"uid": f"run-{index}", "name": f"run-{index}"}
        pod["metadata"] |= {"uid": f"pod-{index}"}
        pod["metadata"]["labels"] |= {names.LABEL_RUN_UID: f"run-{index}"}
        world.see_run(run)
        world.see_pod(pod, now=at(0))

    async def time_out(*_: object) -> None:
        clock.now += 2
        idle.append(sweep.idle_seconds)

    monkeypatch.setattr(sweep_module, "fetch_report", time_out)
    monkeypatch.setattr(sweep_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    sweep = Sweep(world, lambda _: None, 1, OperatorMetrics("test"), figures_seconds=60)
    asyncio.run(sweep.ask_all(cast(aiohttp.ClientSession, None)))
    assert (len(idle), max(idle), clock.now) == (40, 2, 80)


def test_a_trainer_that_does_not_answer_for_a_minute_is_silent_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, marked, clock = World(), list[str | None](), SimpleNamespace(now=0.0)
    world.see_run(raw_run())
    world.see_pod(master(), now=at(0))
    entry = world.entry(KEY)
    assert entry is not None
    answers: list[bytes | None] = []

    async def answer(*_: object) -> bytes | None:
        return answers.pop(0)

    monkeypatch.setattr(sweep_module, "fetch_report", answer)
    monkeypatch.setattr(sweep_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    sweep = Sweep(world, marked.append, 1, OperatorMetrics("test"), figures_seconds=60)

    def ask(seconds: float, body: bytes | None) -> bool:
        clock.now = seconds
        answers.append(body)
        asyncio.run(sweep.ask_all(cast(aiohttp.ClientSession, None)))
        return entry.is_silent

    assert not ask(0, GOOD)
    assert not ask(10, None)
    assert not ask(69, b"{}")
    assert marked == [KEY]
    assert ask(70, None)
    assert marked == [KEY] * 2, "its status is to say so"
    assert ask(80, None)
    assert marked == [KEY] * 2
    assert not ask(90, GOOD)
    assert marked == [KEY] * 3
    ask(100, None)
    assert ask(170, None)
    ended = master(phase="Succeeded")
    ended["metadata"]["resourceVersion"] = "99"
    world.see_pod(ended, now=at(0))
    asyncio.run(sweep.ask_all(cast(aiohttp.ClientSession, None)))
    assert not entry.is_silent


def drip(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.1)


def flood(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    for _ in range(100):
        connection.sendall(b" " * MAXIMUM_REPORT_BYTES)


BAD: dict[str, Callable[[socket.socket], None]] = {
    "garbage instead of HTTP": lambda c: c.sendall(b"\x00\xffGET OUT\r\n\r\n"),
    "nothing": lambda c: None,
    "half an answer": lambda c: c.sendall(HEAD + b"Content-Length: 900\r\n\r\n{"),
    "a byte now and then": drip,
    "without end": flood,
    "an error": lambda c: c.sendall(whole(GOOD).replace(b"200 OK", b"500 No")),
    "another form": lambda c: c.sendall(whole(b'{"step": 3}')),
    "another attempt": lambda c: c.sendall(whole(GOOD.replace(b'"attempt": 1', b'"attempt": 2'))),
    "endless headers": lambda c: c.sendall(HEAD + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_left_aside_in_time(name: str) -> None:
    started = time.monotonic()
    with answering(BAD[name]) as port:
        report, marked = sweep_once(port)
    assert (report, marked) == (None, [])
    assert time.monotonic() - started < 8  # a byte now and then goes on for ten


def test_an_answer_leads_nowhere_else() -> None:
    asked = threading.Event()

    def other(connection: socket.socket) -> None:
        asked.set()
        connection.sendall(whole(GOOD))

    with answering(other) as elsewhere:
        head = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{elsewhere}/status\r\n"
        redirect = (head + "Content-Length: 0\r\n\r\n").encode()
        with answering(lambda c: c.sendall(redirect)) as port:
            report, _ = sweep_once(port)
    assert report is None
    assert not asked.is_set()


@pytest.mark.parametrize(
    "pod",
    [
        master(phase="Pending"),
        master(phase="Failed"),
        master(address=""),
        raw_pod(),
    ],
    ids=["pending", "failed", "without address", "worker"],
)
def test_only_masters_that_run_are_asked(pod: Raw) -> None:
    asked = threading.Event()
    with answering(lambda _: asked.set()) as port:
        report, _ = sweep_once(port, pod)
    assert report is None
    assert not asked.is_set()


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with answering(lambda c: c.sendall(whole(GOOD))) as port:
        report, _ = sweep_once(port)
    assert report is not None
