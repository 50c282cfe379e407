"""What a run does when its store refuses a checkpoint: counts it, says so, and goes on, but at its end.

Store, manager and reporter are real; only the engine is not, of which a checkpoint has some files.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from trainwright_api.data import Location
from trainwright_trainer.checkpoint import uploading
from trainwright_trainer.errors import StoreError
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.report import Reporter
from trainwright_trainer.saving import Saving, TrainingState
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import open_store

from tests.trainer.checkpoint_harness import FACTS, FIELD, open_manager, shard_writer
from tests.trainer.run_builder import build_run

DEADLINE_SECONDS = 30
FAILED = "checkpoint of step 2 failed"


@pytest.fixture(autouse=True)
def _uploads_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "UPLOAD_PAUSES_SECONDS", ())


def open_saving(folder: Path) -> tuple[Saving, Reporter]:
    """A run that saves after every step, with its first checkpoint in the folder's `store`."""
    run = build_run(folder=Location(uri=f"file://{folder}/store/"), every_steps=1)
    settings = Settings(scratch_folder=folder / "scratch")
    manager, reporter = open_manager(run, settings), Reporter(run, settings)
    manager.find_resume()
    prepared = SimpleNamespace(
        run=run,
        checkpoints=manager,
        store=open_store(run.checkpoints.folder, settings, field=FIELD),
        data=SimpleNamespace(train=range(10)),
    )
    built = SimpleNamespace(prepared=prepared, facts=FACTS, write_shards=shard_writer(1))
    saving = Saving(built, SingleGroup(), reporter)
    saving.save_last(TrainingState(step=1))
    return saving, reporter


@contextmanager
def refusing(store: Path) -> Iterator[None]:
    """Put a file where the store's folder was, so that nothing can be written to it."""
    kept = store.rename(store.with_name("kept"))
    store.touch()
    yield
    store.unlink()
    kept.rename(store)


def has_told(reporter: Reporter, what: str) -> bool:
    """Whether the run's status warns of it."""
    return any(text.startswith(f"{what}: ") for text in reporter.report.warnings)


def num_failures(reporter: Reporter) -> int:
    """What a scrape says."""
    page = reporter.render_metrics().decode()
    (count,) = re.findall(r"^trainwright_checkpoint_failures_total (\S+)", page, re.MULTILINE)
    return int(float(count))


def test_a_refused_checkpoint_is_counted_and_training_goes_on(tmp_path: Path) -> None:
    saving, reporter = open_saving(tmp_path)
    assert num_failures(reporter) == 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    with refusing(tmp_path / "store"):
        while not has_told(reporter, FAILED):  # the upload runs in a thread of its own
            saving.save_if_due(TrainingState(step=2), is_due=False)
            assert time.monotonic() < deadline
    assert num_failures(reporter) == 1
    saving.save_last(TrainingState(step=3))
    assert num_failures(reporter) == 1
    assert [record.step for record in reporter.report.checkpoints] == [3, 1]
    assert has_told(reporter, "history up to step 2 not written")


def test_a_refused_last_checkpoint_is_counted_and_ends_the_run(tmp_path: Path) -> None:
    saving, reporter = open_saving(tmp_path)
    with (
        refusing(tmp_path / "store"),
        pytest.raises(StoreError, match=r"checkpoint of step 2: spec\.checkpoints\.store\.uri"),
    ):
        saving.save_last(TrainingState(step=2))
    assert num_failures(reporter) == 1
