"""Builds what trackers are given, for tests of one tracker without a training process."""

from collections.abc import Iterable
from pathlib import Path

from trainwright_api.run import Run
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import open_store
from trainwright_trainer.tracking.sink import Beginning, Point

from tests.trainer.run_builder import build_run

NOON = 1_700_000_000.0


def build_beginning(folder: Path, run: Run | None = None, first_step: int = 0) -> Beginning:
    """What an attempt's trackers know; the run's store is a folder."""
    run = run or build_run()
    location = run.checkpoints.folder.model_copy(update={"uri": f"file://{folder}/store/"})
    prompts = {"sample_prompts": ["Once", "Twice"]}
    return Beginning(
        run=run.model_copy(update={"output": run.output.model_copy(update=prompts)}),
        store=open_store(location, Settings(), field="spec.checkpoints.store"),
        scratch_folder=folder / f"scratch-{run.attempt}",
        credentials_folder=folder / "credentials",
        first_step=first_step,
        samples_before=["a", None],
    )


def build_points(steps: Iterable[int], offset: float = 0.0) -> list[Point]:
    """One point a step, its loss the step plus an offset."""
    return [Point(step, NOON + step, {"train/loss": step + offset}) for step in steps]
