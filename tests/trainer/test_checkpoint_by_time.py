"""Checkpoints by the clock: everyMinutes counts from the last one, in a run of two ranks.

The run that saves every step also shows what the metrics say of a run: their values are those of its own
data, schedule and manifest.
"""

import itertools
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from trainwright_api import metrics as m
from trainwright_api.data import Validation
from trainwright_api.run import Run
from trainwright_trainer.schedules import learning_rate

from tests.trainer.ranks import run_workers
from tests.trainer.tiny_runs import tiny_run

SECONDS = 0.6
# Minutes between checkpoints.
CLOCKS = {"always": 1e-9, "some": SECONDS / 60, "never": 1000.0}
NUM_SAVES, NUM_STEPS = 3, 8


def build(folder: Path, name: str) -> Run:
    run = tiny_run(folder, ranks=2, steps=100_000)
    store = run.checkpoints.folder.model_copy(update={"uri": f"file://{folder}/{name}/"})
    checkpoints = run.checkpoints.model_copy(
        update={
            "folder": store,
            "every_steps": None,
            "every_minutes": CLOCKS[name],
            "keep_last": 100,
            "keep_best": 1 if name == "always" else 0,
        }
    )
    validation = Validation(fraction=0.3, every_steps=2, max_sequences=4)
    data = run.data.model_copy(update={"validation": validation if name == "always" else None})
    return run.model_copy(update={"checkpoints": checkpoints, "data": data})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the worker leaves what it saw: of `never` eight steps, of the others three checkpoints."""
    folder = tmp_path_factory.mktemp("clock")
    todo = [
        {
            "name": name,
            "run": build(folder, name).model_dump(mode="json", by_alias=True),
            "until_saves": None if name == "never" else NUM_SAVES,
            "until_step": NUM_STEPS if name == "never" else None,
        }
        for name in CLOCKS
    ]
    file = folder / "todo.json"
    file.write_text(json.dumps(todo))
    arguments = [str(file), str(folder)]
    run_workers("tests.trainer.clock_worker", arguments, num_ranks=2, folder=folder / "group")
    return folder


def told(folder: Path, name: str) -> list[dict[str, Any]]:
    """The steps of a run: when each began and ended, and whether it saved."""
    return json.loads((folder / f"{name}.json").read_text())


def saved_steps(folder: Path, name: str) -> list[int]:
    return sorted(
        int(path.parent.name.removeprefix("step-"))
        for path in (folder / name).glob("step-*/manifest.json")
    )


def test_a_time_that_has_always_passed_saves_every_step(folder: Path) -> None:
    assert [step["saved"] for step in told(folder, "always")] == [True] * NUM_SAVES
    assert saved_steps(folder, "always") == [1, 2, 3]


def test_a_time_that_never_comes_saves_nothing(folder: Path) -> None:
    assert [step["saved"] for step in told(folder, "never")] == [False] * NUM_STEPS
    assert saved_steps(folder, "never") == []


def test_the_time_counts_from_the_last_checkpoint(folder: Path) -> None:
    steps = told(folder, "some")
    saving = [step for step in steps if step["saved"]]
    assert len(saving) == NUM_SAVES
    for before, after in itertools.pairwise(saving):
        assert after["ended"] - before["began"] >= SECONDS
    assert saved_steps(folder, "some") == [
        number for number, step in enumerate(steps, 1) if step["saved"]
    ]


def test_what_is_saved_where_the_best_is_kept_was_measured(
    folder: Path,
) -> None:
    manifests = [
        json.loads(path.read_text()) for path in (folder / "always").glob("step-*/manifest.json")
    ]
    assert {each["step"] for each in manifests if each.get("validationLoss")} == {1, 2, 3}


def metrics_of(folder: Path, name: str) -> dict[str, float]:
    """The series that rank 0 served in the end, by name and labels."""
    lines = (folder / f"{name}.metrics").read_text().splitlines()
    series = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in series}


def test_the_metrics_of_a_run_have_the_values_of_its_data_schedule_and_manifest(
    folder: Path,
) -> None:
    run, found = build(folder, "always"), metrics_of(folder, "always")
    last = json.loads((folder / "always.last.json").read_text())
    manifest = json.loads((folder / "always" / "step-000003" / "manifest.json").read_text())
    samples = NUM_SAVES * run.batch.global_sequences
    peak = run.optimizer.learning_rate
    expected = {
        m.STEP: NUM_SAVES,
        m.TOTAL_STEPS: last["total_steps"],
        m.SAMPLES: samples,
        m.TOKENS: samples * run.data.sequence_length,
        m.LEARNING_RATE: learning_rate(run.schedule, peak, NUM_SAVES, last["total_steps"]),
        m.LOSS: manifest["loss"],
        m.VALIDATION_LOSS: last["validation_loss"],
        m.TRAINED_TOKEN_RATIO: last["trained"] / last["inputs"],
        m.PACKING_UTILIZATION: last["unpadded"] / last["inputs"],
        m.LOSS_SCALE: 1,
        m.MFU: NUM_SAVES - 1,  # as the worker's objective measures it
        m.SKIPPED_STEPS: 0,
        m.CHECKPOINT_STEP: NUM_SAVES,
        m.CHECKPOINT_SIZE: sum(file["sizeBytes"] for file in manifest["files"]),
        m.CHECKPOINT_TIMESTAMP: datetime.fromisoformat(manifest["savedAt"]).timestamp(),
        m.CHECKPOINT_FAILURES: 0,
    }
    assert {metric.name: found.get(metric.name) for metric in expected} == {
        metric.name: pytest.approx(value, rel=1e-5) for metric, value in expected.items()
    }
    assert found[m.GRADIENT_NORM.name] > 0
    for part in ("stall", "save"):
        assert found[f'{m.CHECKPOINT_SECONDS.name}_count{{part="{part}"}}'] == NUM_SAVES


def test_the_parts_of_the_steps_are_counted_and_make_up_the_whole(folder: Path) -> None:
    found = metrics_of(folder, "always")
    name = m.STEP_SECONDS.name
    counts = {part: found[f'{name}_count{{part="{part}"}}'] for part in m.STEP_PARTS}
    assert counts == dict.fromkeys(m.STEP_PARTS, NUM_SAVES)
    seconds = {part: found[f'{name}_sum{{part="{part}"}}'] for part in m.STEP_PARTS}
    total = seconds.pop("total")
    assert all(value > 0 for value in seconds.values()), seconds
    assert 0.5 * total < sum(seconds.values()) <= total
    shown = set(re.findall(rf'{name}_count{{part="(.+?)"}}', "\n".join(found)))
    assert shown == set(m.STEP_PARTS)
