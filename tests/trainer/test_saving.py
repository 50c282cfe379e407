"""What a run does when its store refuses a checkpoint: counts it, says so, and goes on, but at its end.

Store, manager and reporter are real; only the engine is not, of which a checkpoint has some files.
"""

import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainwright_api.data import Location
from trainwright_api.history import HISTORY_FILE
from trainwright_trainer.checkpoint import manager as manager_module
from trainwright_trainer.checkpoint import uploading
from trainwright_trainer.errors import StoreError, UserError
from trainwright_trainer.groups import Group, SingleGroup
from trainwright_trainer.report import Reporter
from trainwright_trainer.saving import Saving, TrainingState
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import open_store
from trainwright_trainer.store.folder import FolderStore

from tests.trainer.checkpoint_harness import FACTS, FIELD, open_manager
from tests.trainer.other_rank import OtherRank
from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.run_builder import build_run

FAILED = "checkpoint of step 2 failed"


@pytest.fixture(autouse=True)
def _uploads_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "UPLOAD_PAUSES_SECONDS", ())


def write_shards(folder: Path) -> None:
    (folder / "engine").mkdir()
    torch.save({"weight": torch.ones(3)}, folder / "engine" / "model_states.pt")


def open_saving(folder: Path) -> tuple[Saving, Reporter]:
    """A run that saves after every step, with its first checkpoint in the folder's `store`."""
    saving, reporter = reopen_saving(folder)
    saving.save_last(TrainingState(step=1))
    return saving, reporter


def reopen_saving(
    folder: Path, group: Group | None = None, **checkpoints: object
) -> tuple[Saving, Reporter]:
    """The same at its start, on the rank of a group; its store and engine are those of one rank."""
    location = Location(uri=f"file://{folder}/store/")
    run = build_run(folder=location, **{"every_steps": 1, **checkpoints})
    settings = Settings(scratch_folder=folder / "scratch")
    manager, reporter = open_manager(run, settings), Reporter(run, settings)
    prepared = SimpleNamespace(
        run=run,
        settings=settings,
        checkpoints=manager,
        resume_point=manager.find_resume(),
        store=open_store(run.checkpoints.folder, settings, field=FIELD),
        data=SimpleNamespace(train=range(10)),
        model_facts=None,  # of no use without those in the manifest
        plan=SimpleNamespace(zero_stage=FACTS.zero_stage, total_steps=100),
    )
    built = SimpleNamespace(
        prepared=prepared,
        facts=FACTS,
        write_shards=write_shards,
        wanted_files=lambda manifest: lambda path: True,
        restore=lambda fetched: None,
    )
    return Saving(built, group or SingleGroup(), reporter), reporter


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
    deadline = time.monotonic() + HANG_SECONDS
    with refusing(tmp_path / "store"):
        while not has_told(reporter, FAILED):  # the upload runs in a thread of its own
            saving.save_if_due(TrainingState(step=2), is_due=True)
            assert time.monotonic() < deadline
    assert num_failures(reporter) == 1
    saving.save_last(TrainingState(step=3))
    assert num_failures(reporter) == 1
    assert [record.step for record in reporter.report.checkpoints] == [3, 1]
    assert has_told(reporter, "history.jsonl up to step 2 not written")


def test_a_refused_last_checkpoint_is_counted_and_ends_the_run(tmp_path: Path) -> None:
    saving, reporter = open_saving(tmp_path)
    with (
        refusing(tmp_path / "store"),
        pytest.raises(StoreError, match=r"checkpoint of step 2: spec\.checkpoints\.store\.uri"),
    ):
        saving.save_last(TrainingState(step=2))
    assert num_failures(reporter) == 1


@pytest.mark.parametrize("is_told_before", [True, False])
def test_a_last_step_whose_checkpoint_was_refused_is_saved_once_more(
    tmp_path: Path, is_told_before: bool
) -> None:
    saving, reporter = open_saving(tmp_path)
    last = TrainingState(step=2, samples=8, tokens=256)
    with refusing(tmp_path / "store"):
        saving.save_if_due(last, is_due=True)
        assert saving._checkpoints.settle(HANG_SECONDS) is not None
        if is_told_before:
            saving.save_if_due(last, is_due=False)
    saving.save_last(last)
    assert num_failures(reporter) == 1
    assert [record.step for record in reporter.report.checkpoints] == [2, 1]
    assert reopen_saving(tmp_path)[0].resume() == last


def test_a_rank_saves_once_more_what_the_first_rank_found_refused(tmp_path: Path) -> None:
    """Its own upload was fine; only the first rank knows of a save in all."""

    class Told(OtherRank):
        def broadcast(self, value: Any, source: int = 0) -> Any:
            return True if value is False else value

    saving, _ = reopen_saving(tmp_path, Told())
    saving.save_if_due(TrainingState(step=1), is_due=True)
    assert saving._checkpoints.settle(HANG_SECONDS) is None
    (tmp_path / "store" / "step-000001" / "engine" / "model_states.pt").unlink()
    saving.save_last(TrainingState(step=1))
    assert (tmp_path / "store" / "step-000001" / "engine" / "model_states.pt").exists()


def test_a_refused_checkpoint_is_counted_by_the_first_rank_alone(tmp_path: Path) -> None:
    saving, reporter = reopen_saving(tmp_path, OtherRank())
    saving.save_last(TrainingState(step=1))
    with refusing(tmp_path / "store"), pytest.raises(StoreError, match="checkpoint of step 2"):
        saving.save_last(TrainingState(step=2))
    assert has_told(reporter, FAILED)
    assert num_failures(reporter) == 0


def test_a_rank_that_waits_for_its_last_checkpoint_has_no_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving, reporter = open_saving(tmp_path)
    reporter.set_activity("train")
    wait, seen = saving._checkpoints.wait, [bool(reporter.heartbeats.read_ages())]

    def look(seconds: float) -> None:
        seen.append(bool(reporter.heartbeats.read_ages()))
        wait(seconds)

    monkeypatch.setattr(saving._checkpoints, "wait", look)
    saving.save_last(TrainingState(step=2))
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("step", "by_time", "is_due"), [(4, False, True), (5, False, False), (5, True, True)]
)
def test_a_save_is_due_every_nth_step_and_when_its_time_has_come(
    tmp_path: Path, step: int, by_time: bool, is_due: bool
) -> None:
    saving, _ = reopen_saving(tmp_path, every_steps=2)
    assert saving.is_due(step, by_time=by_time) is is_due


def test_a_run_goes_on_at_the_samples_and_tokens_that_it_has_seen(tmp_path: Path) -> None:
    saving, _ = open_saving(tmp_path)
    state = TrainingState(
        step=2, samples=80, tokens=2560, loss=1.5, validation_loss=2.5, validated_step=2
    )
    saving.save_last(state)
    assert reopen_saving(tmp_path)[0].resume() == state


def test_only_a_checkpoint_that_was_measured_has_a_validation_loss(tmp_path: Path) -> None:
    saving, reporter = open_saving(tmp_path)
    saving.save_last(TrainingState(step=2, validation_loss=2.5, validated_step=2))
    saving.save_last(TrainingState(step=3, validation_loss=2.5, validated_step=2))
    records = reporter.report.checkpoints
    assert [(record.step, record.validation_loss) for record in records] == [
        (3, None),
        (2, 2.5),
        (1, None),
    ]
    best = reporter.report.best_checkpoint
    assert best is not None
    assert best.step == 2


def test_the_history_is_written_beside_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers, write = [], FolderStore.write_bytes

    def note(self: FolderStore, path: str, content: bytes) -> None:
        if path == HISTORY_FILE:
            writers.append(threading.current_thread())
        write(self, path, content)

    monkeypatch.setattr(FolderStore, "write_bytes", note)
    open_saving(tmp_path)
    assert [writer is threading.main_thread() for writer in writers] == [False]


def test_a_refused_history_at_the_end_is_a_warning(tmp_path: Path) -> None:
    saving, reporter = open_saving(tmp_path)
    with refusing(tmp_path / "store"):
        saving.write_history()
    assert has_told(reporter, "history not written")


def test_what_a_save_leaves_behind_does_not_undo_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FolderStore, paths: Iterable[str]) -> None:
        raise StoreError("no rights to delete")

    monkeypatch.setattr(FolderStore, "delete", refuse)
    _, reporter = open_saving(tmp_path)
    assert [record.step for record in reporter.report.checkpoints] == [1]
    assert has_told(reporter, "parts of the checkpoint of step 1 not deleted")


def test_a_defect_while_saving_ends_the_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving, _ = open_saving(tmp_path)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(manager_module, "run_save", fail)
    with pytest.raises(MemoryError):
        saving.save_last(TrainingState(step=2))


def spoil(folder: Path) -> None:
    """Change a byte of the only checkpoint, so that no size tells."""
    (file,) = folder.glob("step-*/engine/*.pt")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_start_from_another_runs_checkpoint_is_not_one_from_step_0(tmp_path: Path) -> None:
    open_saving(tmp_path / "other")
    spoil(tmp_path / "other" / "store")
    start = Location(uri=f"file://{tmp_path}/other/store/step-000001/")
    saving, _ = reopen_saving(tmp_path, resume_from=start)
    with pytest.raises(
        UserError,
        match=r"spec\.checkpoints\.resumeFrom: got .*/other/store/step-000001/ with no checkpoint that verifies "
        r"\(step 1: the SHA-256 of engine/model_states\.pt is not .*\), expected one; name a run or step",
    ):
        saving.resume()


def test_a_run_that_trains_on_may_delete_the_checkpoint_that_was_chosen(tmp_path: Path) -> None:
    theirs, _ = open_saving(tmp_path / "other")
    start = Location(uri=f"file://{tmp_path}/other/store/")
    saving, _ = reopen_saving(tmp_path, resume_from=start)
    theirs.save_last(TrainingState(step=2))
    shutil.rmtree(tmp_path / "other" / "store" / "step-000001")
    with pytest.raises(StoreError, match=r"changed while they were read; .*step-000002/ came"):
        saving.resume()


def test_a_run_whose_own_checkpoints_are_damaged_starts_anew_and_says_so(tmp_path: Path) -> None:
    open_saving(tmp_path)
    spoil(tmp_path / "store")
    saving, reporter = reopen_saving(tmp_path)
    assert saving.resume() == TrainingState()
    assert reporter.report.warnings[-1] == (
        "no checkpoint verifies: training starts again from step 0"
    )


def test_a_run_whose_own_checkpoints_are_damaged_starts_again_where_it_began(
    tmp_path: Path,
) -> None:
    open_saving(tmp_path / "other")
    start = Location(uri=f"file://{tmp_path}/other/store/")
    saving, _ = reopen_saving(tmp_path, resume_from=start)
    assert saving.resume().step == 1
    saving.save_last(TrainingState(step=5, samples=20))
    spoil(tmp_path / "store")
    again, reporter = reopen_saving(tmp_path, resume_from=start)
    assert again.resume() == TrainingState(step=1)
    assert reporter.report.resumed_from_step == 1
    assert reporter.report.checkpoints == []
    assert reporter.report.warnings[-2:] == [
        "checkpoint of step 5 is not used: the SHA-256 of engine/model_states.pt is not that of the manifest",
        "no checkpoint of the run's own verifies: training starts again from the one that "
        "spec.checkpoints.resumeFrom names",
    ]

    spoil(tmp_path / "other" / "store")
    without, _ = reopen_saving(tmp_path, resume_from=start)
    with pytest.raises(UserError, match=r"resumeFrom: got .* with no checkpoint that verifies"):
        without.resume()
