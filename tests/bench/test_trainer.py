"""The trainer's speed against a plain PyTorch loop, in turns on one machine; only the ratio counts.

Same model, batch, precision (FP32) and threads. The expected range is in `expected.json`.
"""

import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from demo.data import ensure_data
from demo.manifests import read_example, with_fields
from tests.bench.plain_loop import SEQUENCES
from tools.machine import PROJECT

ROUNDS = 3
STEPS = 16
EXPECTED = Path(__file__).with_name("expected.json")

pytestmark = pytest.mark.timeout(1200)


def measure_plain_loop() -> float:
    command = [sys.executable, "-m", "tests.bench.plain_loop", str(STEPS)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count())}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def measure_trainer(folder: Path) -> float:
    manifest = with_fields(
        read_example("stdlib-gpt"),
        {
            "budget": {"tokens": None, "steps": STEPS},
            "data": {"validation": None},
            "batch": {"globalSequences": SEQUENCES},
            "precision": "FP32",
            "parallelism": {"zeroStage": 1},
            "workers": {"nodes": 1},
            "checkpoints": {"everySteps": 1000},
            "output": {"samplePrompts": []},
        },
    )
    file = folder / "run.yaml"
    file.write_text(json.dumps(manifest))
    command = [sys.executable, "-m", "trainwright_cli", "run", "--local", "-f", str(file)]
    data = f"s3://datasets/={ensure_data() / 'datasets'}/"
    done = subprocess.run(
        [*command, "--work-dir", str(folder / "runs"), "--rewrite", data],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(re.findall(r"([\d,.]+) tok/s", done.stdout)[-1].replace(",", ""))


def test_trainer_is_about_as_fast_as_a_plain_loop(tmp_path: Path) -> None:
    plain, ours = [], []
    for turn in range(ROUNDS):
        folder = tmp_path / str(turn)
        folder.mkdir()
        plain.append(measure_plain_loop())
        ours.append(measure_trainer(folder))
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"\nplain loop {plain}, trainer {ours} tokens/s; ratio of medians {ratio:.2f}")
    low, high = json.loads(EXPECTED.read_text())["trainer_to_plain_loop"]
    assert low <= ratio <= high
