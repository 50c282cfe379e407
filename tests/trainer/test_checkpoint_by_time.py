"""Checkpoints by the clock: everyMinutes counts from the last one, in a run of two ranks."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from trainwright_api.run import Run

from tests.trainer.ranks import run_workers
from tests.trainer.tiny_runs import tiny_run

pytestmark = pytest.mark.timeout(300)

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
        }
    )
    return run.model_copy(update={"checkpoints": checkpoints})


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
