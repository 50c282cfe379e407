"""One save in the background: upload, agreement of the ranks through the store, manifest, retention.

Runs in a thread of every rank and never touches a process group: the ranks tell each other what
they uploaded by small files in the checkpoint's folder. A rank that dies says nothing, and rank 0
gives up after a while; nobody's training waits for anybody's thread.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import TypeVar

from trainwright_api.report import Manifest, ManifestFile
from trainwright_api.status import CheckpointRecord

from trainwright_trainer.checkpoint.catalog import StoredCheckpoint, find_problem
from trainwright_trainer.checkpoint.layout import is_part, manifest_path, part_path, step_folder
from trainwright_trainer.checkpoint.retention import decide_deletions
from trainwright_trainer.checkpoint.state import SaveOutcome
from trainwright_trainer.errors import StoreError, TrainerError
from trainwright_trainer.store import Store

UPLOAD_PAUSES_SECONDS = (2.0, 10.0, 30.0)
PARTS_TIMEOUT_SECONDS = 1800.0
PARTS_PAUSE_SECONDS = (0.1, 2.0)  # between looks for other ranks' parts: first and longest

logger = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class SaveTask:
    """All that one save needs to know. `manifest` lacks files and time; `records` is on rank 0."""

    store: Store
    step: int
    snapshot: Path
    session: str
    rank: int
    world_size: int
    manifest: Manifest
    stall_seconds: float
    keep_last: int = 1
    keep_best: int = 0
    records: list[CheckpointRecord] = field(default_factory=list)
    stale_steps: frozenset[int] = frozenset()
    beside: dict[str, bytes] = field(default_factory=dict)


def run_save(task: SaveTask) -> SaveOutcome:
    """Do one save to its end and say how it went."""
    try:
        outcome = _save(task)
    except Exception as error:  # a thread's error would vanish; it becomes the save's outcome
        outcome = _fail(task, error)
    finally:
        shutil.rmtree(task.snapshot, ignore_errors=True)
    return replace(outcome, warnings=[*outcome.warnings, *_write_beside(task)])


def _save(task: SaveTask) -> SaveOutcome:
    started = time.monotonic()
    files = _upload_shards(task)
    if task.rank != 0:
        _say(task, {"files": [file.model_dump(mode="json") for file in files]})
        return SaveOutcome(task.step)
    manifest, warnings = _complete(task, files)
    checkpoint = StoredCheckpoint(task.store.uri_of(f"{step_folder(task.step)}/"), manifest)
    record = checkpoint.record(
        save_seconds=round(task.stall_seconds + time.monotonic() - started, 3),
        stall_seconds=round(task.stall_seconds, 3),
    )
    kept, undeleted = _apply_retention(task, record)
    return SaveOutcome(task.step, record=record, kept=kept, warnings=warnings + undeleted)


def _write_beside(task: SaveTask) -> list[str]:
    """Write what goes beside the checkpoints; return warnings, since no run ends for it."""
    warnings = []
    for path, content in task.beside.items():
        try:
            task.store.write_bytes(path, content)
        except TrainerError as error:
            warnings.append(f"{path} up to step {task.step} not written: {error}")
            logger.warning("%s", warnings[-1])
    return warnings


def delete_checkpoint(store: Store, step: int) -> None:
    """Delete a checkpoint, its manifest first, so that no half of it can ever be taken for whole."""
    store.delete([manifest_path(step)])
    store.delete([file.path for file in store.list_files(f"{step_folder(step)}/")])


def _upload_shards(task: SaveTask) -> list[ManifestFile]:
    files = []
    for path in sorted(path for path in task.snapshot.rglob("*") if path.is_file()):
        name = path.relative_to(task.snapshot).as_posix()
        with path.open("rb") as content:
            sha256 = file_digest(content, "sha256").hexdigest()
        target = f"{step_folder(task.step)}/{name}"
        _retry(lambda path=path, target=target: task.store.upload(path, target))  # type: ignore[misc]
        files.append(ManifestFile(path=name, size_bytes=path.stat().st_size, sha256=sha256))
    return files


def _retry(action: Callable[[], ResultT]) -> ResultT:
    """Run an operation of the store again after each pause; a store retries short outages itself."""
    for pause in UPLOAD_PAUSES_SECONDS:
        try:
            return action()
        except TrainerError as error:
            logger.warning("saving: %s; trying again in %g s", error, pause)
            time.sleep(pause)
    return action()


def _say(task: SaveTask, content: dict[str, object]) -> None:
    path = part_path(task.step, task.session, task.rank)
    _retry(lambda: task.store.write_bytes(path, json.dumps(content).encode()))


def _complete(task: SaveTask, own_files: list[ManifestFile]) -> tuple[Manifest, list[str]]:
    """Rank 0: gather what the others uploaded, look whether all is there, write the manifest.

    Returns it with warnings: once it is written, the checkpoint is whole, whatever fails then.
    """
    files = {file.path: file for file in own_files}
    for rank, part in sorted(_gather_parts(task).items()):
        if "error" in part:
            raise StoreError(f"rank {rank} could not upload: {part['error']}")
        for file in map(ManifestFile.model_validate, part["files"]):
            if files.setdefault(file.path, file) != file:
                raise StoreError(f"two ranks wrote different contents of {file.path}")
    manifest = task.manifest.model_copy(
        update={
            "files": [files[path] for path in sorted(files)],
            "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    problem = find_problem(manifest, _sizes_there(task))
    if problem:
        raise StoreError(f"after the upload, {problem}")
    content = manifest.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode()
    _retry(lambda: task.store.write_bytes(manifest_path(task.step), content))
    parts = [part_path(task.step, task.session, rank) for rank in range(1, task.world_size)]
    try:
        task.store.delete(parts)
    except TrainerError as error:
        return manifest, [f"parts of the checkpoint of step {task.step} not deleted: {error}"]
    return manifest, []


def _gather_parts(task: SaveTask) -> dict[int, dict[str, list[object]]]:
    names = {rank: part_path(task.step, task.session, rank) for rank in range(1, task.world_size)}
    deadline = time.monotonic() + PARTS_TIMEOUT_SECONDS
    pause, longest = PARTS_PAUSE_SECONDS
    while names:
        there = {file.path for file in task.store.list_files(f"{step_folder(task.step)}/")}
        missing = sorted(rank for rank, name in names.items() if name not in there)
        if not missing:
            break
        if time.monotonic() > deadline:
            raise StoreError(f"ranks {missing} did not upload within {PARTS_TIMEOUT_SECONDS:g} s")
        time.sleep(pause)
        pause = min(2 * pause, longest)
    return {rank: json.loads(task.store.read_bytes(name)) for rank, name in names.items()}


def _sizes_there(task: SaveTask) -> dict[str, int]:
    folder = f"{step_folder(task.step)}/"
    return {
        file.path.removeprefix(folder): file.size_bytes
        for file in task.store.list_files(folder)
        if not is_part(file.path.removeprefix(folder))
    }


def _fail(task: SaveTask, error: Exception) -> SaveOutcome:
    message = str(error) or type(error).__name__
    logger.error("saving step %d failed", task.step, exc_info=error)
    if task.rank != 0:
        try:
            task.store.write_bytes(
                part_path(task.step, task.session, task.rank),
                json.dumps({"error": message[:500]}).encode(),
            )
        except TrainerError as unsaid:
            logger.warning("rank 0 could not be told: %s", unsaid)
    return SaveOutcome(task.step, error=message)


def _apply_retention(
    task: SaveTask, record: CheckpointRecord
) -> tuple[list[CheckpointRecord], list[str]]:
    """Delete what need not be kept now that `record` is safe; return what is left, and warnings."""
    records = [record, *(old for old in task.records if old.step != record.step)]
    warnings = []
    deleted = {old.step for old in decide_deletions(records, task.keep_last, task.keep_best)}
    for step in sorted(deleted | {step for step in task.stale_steps if step < task.step}):
        try:
            delete_checkpoint(task.store, step)
        except TrainerError as error:
            warnings.append(f"checkpoint of step {step} could not be deleted: {error}")
            deleted.discard(step)
    return [old for old in records if old.step not in deleted], warnings
