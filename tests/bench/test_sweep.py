"""What the sweep costs the operator with fifty live runs: real HTTP on this machine's loopback.

Counted is the processor time of the whole process while it sweeps at its default interval; the load
of the machine changes it little.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from trainwright_api import names
from trainwright_api.report import RunReport
from trainwright_operator import sweep as sweep_module
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.settings import Settings
from trainwright_operator.sweep import Sweep
from trainwright_operator.untrusted import parse_report
from trainwright_operator.world import World

from tests.bench.machine import describe_machine
from tests.bench.reporters import address_of
from tests.ports import free_port
from tests.unit.operator.builders import at, raw_run
from tests.unit.operator.test_world import raw_pod

RUNS = 50
SECONDS = 20
EXPECTED = Path(__file__).with_name("expected.json")


@pytest.fixture
def port() -> Iterator[int]:
    number = free_port()
    command = [sys.executable, "-m", "tests.bench.reporters", str(number), str(RUNS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield number
    process.kill()
    process.wait()


def build_world() -> World:
    world = World()
    for index in range(RUNS):
        uid = f"11111111-2222-3333-4444-{index:012d}"
        run = raw_run()
        run["metadata"] |= {"name": f"run-{index}", "uid": uid}
        world.see_run(run)
        pod = raw_pod()
        pod["metadata"] |= {"name": f"run-{index}-1-master-0", "uid": f"pod-{index}"}
        pod["metadata"]["labels"] |= {
            names.LABEL_REPLICA_TYPE: "master",
            names.LABEL_RUN: f"run-{index}",
            names.LABEL_RUN_UID: uid,
        }
        pod["status"] |= {"podIP": address_of(index)}
        world.see_pod(pod, now=at(0))
    return world


def test_fifty_live_runs_cost_little_of_a_core(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, marked, read = build_world(), list[object](), list[object]()
    settings = Settings()
    interval = settings.sweep_seconds

    def parse_and_count(body: bytes) -> RunReport | None:
        report = parse_report(body)
        if report is not None:
            read.append(None)
        return report

    monkeypatch.setattr(sweep_module, "parse_report", parse_and_count)

    async def work() -> tuple[float, float]:
        sweep = Sweep(
            world,
            marked.append,
            interval,
            OperatorMetrics("bench"),
            figures_seconds=settings.status_seconds,
            port=port,
        )
        task = asyncio.create_task(sweep.run())
        await asyncio.sleep(interval)  # the first connections, imports
        marked.clear()
        read.clear()
        started, used = time.monotonic(), time.process_time()
        await asyncio.sleep(SECONDS)
        measured = time.monotonic() - started, time.process_time() - used
        task.cancel()
        return measured

    seconds, used = asyncio.run(work())
    share = used / seconds
    reports = len(read)
    print(
        f"\n{describe_machine()}\nsweep of {RUNS} runs every {interval:g} s: {share:.2%} of a core, "
        f"{used / max(1, reports) * 1000:.2f} ms a report, {reports} reports"
    )
    assert reports >= RUNS * SECONDS / interval * 0.7
    assert len(marked) <= RUNS * (SECONDS / settings.status_seconds + 1)
    low, high = json.loads(EXPECTED.read_text())["sweep_share_of_a_core"]
    assert low <= share <= high
