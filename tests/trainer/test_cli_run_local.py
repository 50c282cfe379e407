"""`trainwright run --local` with the real trainer: the demo's manifest, an interrupt, a resume.

Also holds the planner to what training really takes: the resident size of the ranks' processes.
"""

import os
import re
import signal
import subprocess
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML
from trainwright_cli.errors import ExitCode
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trainer.ranks import HANG_SECONDS
from tests.unit.cli.manifests import EXAMPLES, command, write

NUM_FILES = 24  # whichever are held out for validation, the others give a whole vocabulary


@dataclass
class Ended:
    """How a command ended, and the largest resident size of any rank (unit: GiB)."""

    code: int
    said: str
    peak_gib: float = field(default=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a little of what the demo trains on, as its bucket has it."""
    folder = tmp_path_factory.mktemp("datasets")
    (folder / "stdlib").mkdir()
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.glob("*.py"))[:NUM_FILES]:
        (folder / "stdlib" / path.name).write_bytes(path.read_bytes())
    return folder


def the_demo(**spec: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = YAML(typ="safe").load((EXAMPLES / "stdlib-gpt.yaml").read_text())
    manifest["spec"] |= spec
    return manifest


def start(manifest: dict[str, Any], data: Path, folder: Path) -> "subprocess.Popen[str]":
    arguments = ["--local", "--rewrite", f"s3://datasets/={data}/", "--work-dir", f"{folder}/w"]
    with (folder / "said.txt").open("w") as said:
        return subprocess.Popen(
            command("run", "-f", write(folder, manifest), *arguments),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
        )


def finish(process: "subprocess.Popen[str]", folder: Path) -> Ended:
    """Wait for the end, reading the peaks of the ranks on the way."""
    deadline, peak = time.monotonic() + HANG_SECONDS, 0.0
    while process.poll() is None:
        assert time.monotonic() < deadline, (folder / "said.txt").read_text()
        peak = max([peak, *rank_peaks(process.pid)])
        time.sleep(0.1)
    return Ended(process.returncode, (folder / "said.txt").read_text(), peak)


def rank_peaks(pid: int) -> list[float]:
    """Return the peak resident size of each rank so far (unit: GiB)."""
    peaks = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if "trainwright_trainer.rank" in child.cmdline():
                status = Path(f"/proc/{child.pid}/status").read_text()
                peaks.append(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 2**20)
        except (psutil.Error, OSError, IndexError):
            continue
    return peaks


def verify(folder: Path) -> str:
    done = subprocess.run(
        command("checkpoints", "--uri", str(folder), "--verify"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.OK, done.stderr
    return done.stdout


def test_the_demo_trains_here_in_about_the_memory_that_is_planned(
    data: Path, tmp_path: Path
) -> None:
    spec = the_demo()["spec"]
    manifest = the_demo(budget={"steps": 3}, checkpoints=spec["checkpoints"] | {"everySteps": 2})
    ended = finish(start(manifest, data, tmp_path), tmp_path)
    assert ended.code == ExitCode.OK, ended.said
    assert "TrainingRun/stdlib-gpt  Succeeded  step 3/3 (100 %)" in ended.said

    planned = float(re.findall(r"([\d.]+) of [\d.]+ GiB per device", ended.said)[0])
    assert 0.7 < planned / ended.peak_gib < 1.4, f"planned {planned}, took {ended.peak_gib:.2f} GiB"

    folder = tmp_path / "w" / "checkpoints" / "default" / "stdlib-gpt"
    assert "step 2: whole" in verify(folder)
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    assert 10_000_000 < model.num_parameters() < 20_000_000
    assert len(AutoTokenizer.from_pretrained(folder / "model")) == 4096


def test_ctrl_c_saves_and_the_same_command_goes_on(data: Path, tmp_path: Path) -> None:
    tiny = {
        "architecture": "llama",
        "config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
        },
    }
    spec = the_demo()["spec"]
    manifest = the_demo(
        model=tiny,
        tokenizer={"train": {"vocabularySize": 512}},
        budget={"steps": 60},
        checkpoints=spec["checkpoints"] | {"everySteps": 5},
        output={},
    )
    before = psutil.Process().children(recursive=True)  # the servers of forked workers
    process = start(manifest, data, tmp_path)
    folder = tmp_path / "w" / "checkpoints" / "default" / "stdlib-gpt"
    deadline = time.monotonic() + HANG_SECONDS
    while not list(folder.glob("step-*/manifest.json")):
        assert process.poll() is None, (tmp_path / "said.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    interrupted = finish(process, tmp_path)
    assert interrupted.code == ExitCode.INTERRUPTED, interrupted.said
    (step,) = re.findall(r"stopped on request after step (\d+), which is saved", interrupted.said)
    assert 5 <= int(step) < 60

    again = finish(start(manifest, data, tmp_path), tmp_path)
    assert again.code == ExitCode.OK, again.said
    assert f"resumed from the checkpoint of step {step}" in again.said
    assert "Succeeded  step 60/60" in again.said
    assert psutil.Process().children(recursive=True) == before


def test_bad_data_ends_with_5_and_the_trainers_sentence(tmp_path: Path) -> None:
    (tmp_path / "stdlib").mkdir()
    ended = finish(start(the_demo(), tmp_path, tmp_path), tmp_path)
    assert ended.code == ExitCode.RUN_FAILED
    last = ended.said.splitlines()[-1]
    assert last.startswith("error: TrainingRun/stdlib-gpt failed: spec.data.sources[0]")
