"""Saving on a real S3 server and in a folder: what is written, kept, cleaned, and what fails."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from trainwright_api.report import Manifest
from trainwright_trainer.checkpoint import SaveOutcome, uploading
from trainwright_trainer.errors import StoreError
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store
from trainwright_trainer.store.folder import FolderStore
from trainwright_trainer.store.s3 import S3Store

from tests.trainer.checkpoint_harness import (
    FIELD,
    Place,
    is_whole,
    open_manager,
    place,
    resumed,
    save,
    shard_writer,
    state_of,
)
from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.s3_server import s3_server, settings
from tests.trainer.small_disk import needs_mounts, run_on_small_disk

__all__ = ["place", "s3_server", "settings"]


def test_a_saved_step_is_found_fetched_and_whole(place: Place, settings: Settings) -> None:
    manager = open_manager(place.run(), settings)
    assert manager.find_resume() is None
    stall = manager.save(state_of(3, 0.5), shard_writer(3))
    manager.wait(60)
    [outcome] = manager.poll()
    assert outcome.error is None
    assert manager.poll() == []
    [record] = manager.records
    assert (record.step, record.verified, record.validation_loss) == (3, True, 0.5)
    assert record.uri == f"{place.location.uri}step-000003/"
    assert record.stall_seconds == pytest.approx(stall, abs=0.01)
    assert record.save_seconds is not None
    assert record.stall_seconds is not None
    assert record.save_seconds >= record.stall_seconds
    assert manager.best == record
    files = sorted(
        p.relative_to(place.disk).as_posix() for p in place.disk.rglob("*") if p.is_file()
    )
    assert files == [
        "step-000003/engine/model_states.pt",
        "step-000003/engine/rank_0_optim_states.pt",
        "step-000003/manifest.json",
    ]
    assert not list((settings.scratch_folder / "snapshots").rglob("*.pt"))

    fetched = resumed(again := open_manager(place.run(), settings))
    assert fetched is not None
    assert is_whole(fetched)
    assert again.records[0].model_dump(
        exclude={"save_seconds", "stall_seconds"}
    ) == record.model_dump(exclude={"save_seconds", "stall_seconds"})
    again.release(fetched)
    assert not fetched.folder.exists()


def test_the_manifest_says_what_resuming_needs(place: Place, settings: Settings) -> None:
    manager = open_manager(place.run(), settings)
    manager.find_resume()
    save(manager, 7)
    manifest = Manifest.model_validate_json(
        (place.disk / "step-000007" / "manifest.json").read_bytes()
    )
    assert manifest.model_dump(exclude={"saved_at", "files", "plan"}) == {
        "format": 1, "run": "run", "namespace": "team", "uid": "uid-1", "attempt": 1, "step": 7,
        "samples": 28, "tokens": 896, "epoch": 0.7, "world_size": 1, "zero_stage": 2, "precision": "FP32",
        "loss": 1.0, "validation_loss": None, "template_sha256": "t", "data_sha256": "d", "base_sha256": "b",
        "versions": {"torch": "x"},
    }  # fmt: skip
    assert [(file.path, file.size_bytes) for file in manifest.files] == [
        ("engine/model_states.pt", 7),
        ("engine/rank_0_optim_states.pt", 2000),
    ]


Damage = Callable[[Store, str], None]


def test_retention_keeps_the_newest_and_the_best(place: Place, settings: Settings) -> None:
    manager = open_manager(place.run(keep_last=2, keep_best=1), settings)
    manager.find_resume()
    for step, loss in enumerate((0.9, 0.1, 0.8, 0.7, 0.6), 1):
        save(manager, step, loss)
    assert [record.step for record in manager.records] == [5, 4, 2]
    assert manager.best is not None
    assert manager.best.step == 2
    assert place.steps() == ["step-000002", "step-000004", "step-000005"]
    again = open_manager(place.run(keep_last=2, keep_best=1), settings)
    again.find_resume()
    assert [record.step for record in again.records] == [5, 4, 2]


def test_leftovers_of_killed_saves_are_cleaned_and_other_files_stay(
    place: Place, settings: Settings
) -> None:
    for name in (
        "step-000009/engine/x.pt",
        "step-000009/.part-old-00001.json",
        "model/config.json",
        "tokenizer/t",
    ):
        place.store(settings).write_bytes(name, b"x")
    (settings.scratch_folder / "snapshots" / "step-000009").mkdir(parents=True)
    manager = open_manager(place.run(), settings)
    assert manager.find_resume() is None
    left = sorted(
        p.relative_to(place.disk).as_posix() for p in place.disk.rglob("*") if p.is_file()
    )
    assert left == ["model/config.json", "tokenizer/t"]
    assert not (settings.scratch_folder / "snapshots").exists()


def test_only_one_save_is_in_flight_and_waiting_counts_as_stall(
    place: Place, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    running: list[int] = []
    real = uploading.run_save

    def slow(task: uploading.SaveTask) -> SaveOutcome:
        running.append(task.step)
        assert may_go_on.wait(30)
        return real(task)

    monkeypatch.setattr("trainwright_trainer.checkpoint.manager.run_save", slow)
    manager = open_manager(place.run(), settings)
    manager.find_resume()
    manager.save(state_of(1), shard_writer(1))
    assert manager.poll() == []
    with pytest.raises(StoreError, match=r"the last checkpoint was not saved to .* within 0\.01 s"):
        manager.wait(0.01)
    timer = threading.Timer(0.3, may_go_on.set)
    collect = manager._collect

    def collect_later(timeout_seconds: float | None) -> None:
        if not timer.is_alive() and not may_go_on.is_set():
            timer.start()  # not before the next save waits, whose time is measured
        collect(timeout_seconds)

    monkeypatch.setattr(manager, "_collect", collect_later)
    assert manager.save(state_of(2), shard_writer(2)) > 0.2
    manager.wait(60)
    timer.join()
    assert running == [1, 2]
    assert [outcome.step for outcome in manager.poll()] == [1, 2]


def test_a_failed_upload_is_retried_then_reported_and_fatal_only_at_the_end(
    place: Place, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "UPLOAD_PAUSES_SECONDS", (0.0, 0.0))
    manager = open_manager(place.run(), settings)
    manager.find_resume()
    kind = S3Store if place.location.uri.startswith("s3") else FolderStore
    real = kind.upload
    failures = iter([True] * 2 + [False] * 2 + [True] * 3)

    def flaky(self: object, local: Path, path: str) -> None:
        if next(failures, False):
            raise StoreError(f"{FIELD}.uri: the store is away")
        real(self, local, path)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "upload", flaky)
    save(manager, 1)  # two failures of one file: retried
    manager.save(state_of(2), shard_writer(2))
    with pytest.raises(StoreError, match=r"checkpoint of step 2: .*the store is away"):
        manager.wait(60)
    assert [(o.step, o.error) for o in manager.poll()] == [
        (1, None),
        (2, f"{FIELD}.uri: the store is away"),
    ]
    assert manager.num_failures == 1
    assert [record.step for record in manager.records] == [1]
    save(manager, 3)  # the run goes on
    assert [record.step for record in manager.records] == [3, 1]
    assert "step-000002" not in place.steps()


FULL_DISK = """
import sys
from pathlib import Path
from trainwright_trainer.settings import Settings
from tests.trainer.checkpoint_harness import open_manager, shard_writer, state_of
from tests.trainer.run_builder import build_run
from trainwright_api.data import Location
scratch, store, mode = sys.argv[1:]
run = build_run(folder=Location(uri=f"file://{store}/"))
manager = open_manager(run, Settings(scratch_folder=Path(scratch)))
manager.find_resume()
def write(folder):
    try:
        shard_writer(1, num_bytes=4_000_000)(folder)
    except OSError:
        if mode == "os":
            raise
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
manager.save(state_of(1), write)
"""


@needs_mounts
@pytest.mark.parametrize("mode", ["os", "torch"])
def test_a_full_scratch_disk_says_what_to_raise(tmp_path: Path, mode: str) -> None:
    (tmp_path / "scratch").mkdir()
    scratch = tmp_path / "scratch"
    told = run_on_small_disk(scratch, FULL_DISK, str(scratch), f"{tmp_path}/store", mode)
    assert (
        "StoreError: spec.workers.resources.ephemeral-storage: got 0 B free of 2.0 MiB on the node's "
        "scratch space, expected room for" in told
    )


ENDS = """
import sys, time
from pathlib import Path
from trainwright_trainer.settings import Settings
from trainwright_trainer.checkpoint import manager as module
from tests.trainer.checkpoint_harness import open_manager, shard_writer, state_of
from tests.trainer.run_builder import build_run
from trainwright_api.data import Location
module.run_save = lambda task: time.sleep(600)
manager = open_manager(
    build_run(folder=Location(uri=f"file://{sys.argv[1]}/store/")), Settings(scratch_folder=Path(sys.argv[1]))
)
manager.find_resume()
manager.save(state_of(1), shard_writer(1))
raise SystemExit(7)
"""


def test_a_save_in_flight_does_not_keep_a_failing_process_from_ending(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS, str(tmp_path)],
        timeout=HANG_SECONDS,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.returncode == 7
