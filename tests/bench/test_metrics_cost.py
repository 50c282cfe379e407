"""What the trainer's metrics cost a step: the demo's model, reporting switched on and off in turns.

Two figures. The one that is judged is counted: seconds that a step spends in the reporter, plus the
processor time of the threads beside it, for every second of training. The ratio of steps with and
without reporting, in turns, is printed beside it and judged loosely: on a shared machine it varies by more
than what it is to show.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainwright_api import metrics as m
from trainwright_api.status import Plan
from trainwright_trainer.report import Reporter
from trainwright_trainer.settings import Settings
from trainwright_trainer.stopwatch import Stopwatch
from trainwright_trainer.train import Trainer
from transformers import LlamaConfig, LlamaForCausalLM

from tests.bench.machine import describe_machine
from tests.bench.plain_loop import CONFIG, SEQUENCES, TOKENS, VOCABULARY
from tests.ports import free_port
from tests.trainer.run_builder import build_run

pytestmark = pytest.mark.timeout(1200)

TURNS, STEPS_OF_A_TURN = 3, 3
IDLE_SECONDS = 16
CALLS = 300
EXPECTED = Path(__file__).with_name("expected.json")
# What asks a trainer while it trains: the operator every 2 seconds, Prometheus every 15.
READER = """
import sys, time, urllib.request
port, count = sys.argv[1], 0
while True:
    for path in ("/status", *(("/metrics",) if count % 7 == 0 else ())):
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()
    count += 1
    time.sleep(2)
"""


class Reporting:
    """A reporter as in a run of one rank, read by operator and Prometheus while it is on."""

    def __init__(self, folder: Path) -> None:
        self._settings = replace(Settings(), scratch_folder=folder, port=free_port())
        run = build_run()
        self.reporter = Reporter(run, self._settings)
        # As much of a trainer as its own method looks at.
        engine, memory = SimpleNamespace(loss_scale=1.0), dict.fromkeys(m.MEMORY_STATES, 2**30)
        built = SimpleNamespace(engine=engine, read_memory=lambda: memory)
        self._trainer: Any = SimpleNamespace(reporter=self.reporter, run=run, built=built)
        plan = {"zeroStage": 1, "microSequences": 1, "accumulationSteps": 1, "numDevices": 1}
        plan |= {"activationCheckpointing": "None", "parameters": 1, "trainableParameters": 1}
        self.reporter.set_plan(Plan.model_validate(plan | {"memoryGiB": 1, "flopsPerToken": 6}))
        self._step = 0

    def __enter__(self) -> "Reporting":
        self.reporter.start()
        command = [sys.executable, "-c", READER, str(self._settings.port)]
        self._reader = subprocess.Popen(command)
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.kill()
        self._reader.wait()
        self.reporter.close()

    def report_step(self) -> None:
        """What the training loop calls in a step: its watch, its progress, what it observes."""
        watch = Stopwatch()
        for part in m.STEP_PARTS:
            watch.lap(part)
        self._step += 1
        progress = self.reporter.progress.model_copy(update={"step": self._step, "loss": 2.5})
        self.reporter.finish_step(progress, SEQUENCES * TOKENS)
        counts = {"trained": TOKENS, "unpadded": TOKENS}
        Trainer._observe(self._trainer, watch.seconds, counts, {})


def build_step() -> Callable[[], None]:
    """A training step of the demo's model in plain PyTorch."""
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **CONFIG))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> None:
        batch = torch.randint(0, VOCABULARY, (SEQUENCES, TOKENS))
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def seconds_of(work: Callable[[], Any], times: int) -> float:
    """The mean seconds of a call."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def count_shares(folder: Path) -> tuple[float, float]:
    """Seconds of a step in the reporter, and processor seconds of its threads in a second."""
    with Reporting(folder) as reporting:
        reporting.report_step()
        cpu_before = time.process_time()
        wall_before = time.perf_counter()
        time.sleep(IDLE_SECONDS)
        beside = (time.process_time() - cpu_before) / (time.perf_counter() - wall_before)
        before = time.thread_time()
        for _ in range(CALLS):
            reporting.report_step()
        return (time.thread_time() - before) / CALLS, beside


def test_metrics_cost_next_to_nothing_of_a_step(tmp_path: Path) -> None:
    in_step, beside = count_shares(tmp_path / "counted")
    step, turns = build_step(), list[tuple[float, float]]()
    step()
    for turn in range(TURNS):
        without = seconds_of(step, STEPS_OF_A_TURN)
        with Reporting(tmp_path / str(turn)) as reporting:

            def reported(reporting: Reporting = reporting) -> None:
                step()
                reporting.report_step()

            turns.append((without, seconds_of(reported, STEPS_OF_A_TURN)))
    off = statistics.median(without for without, _ in turns)
    ratio = statistics.median(on / without for without, on in turns)
    share = in_step / off + beside / torch.get_num_threads()
    print(
        f"\n{describe_machine()}\nmetrics: {in_step * 1000:.2f} ms of a step of {off:.2f} s, and {beside:.2%} of a "
        f"core beside {torch.get_num_threads()} that compute: {share:.2%} of a step; in turns, on to off {ratio:.3f}"
    )
    expected = json.loads(EXPECTED.read_text())
    for name, value in (("metrics_share_of_a_step", share), ("metrics_on_to_off", ratio)):
        low, high = expected[name]
        assert low <= value <= high, name
