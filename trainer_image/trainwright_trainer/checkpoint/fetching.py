"""Downloads a checkpoint to scratch and verifies it; ranks of one node share the work."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from trainwright_api.report import ManifestFile

from trainwright_trainer.checkpoint.layout import step_folder
from trainwright_trainer.checkpoint.state import ResumePoint
from trainwright_trainer.scratch import locked, scratch_errors
from trainwright_trainer.store import MissingFileError, Store


def local_folder(scratch_folder: Path, point: ResumePoint) -> Path:
    """Return where a checkpoint's files go."""
    source = hashlib.sha256(point.uri.encode()).hexdigest()[:12]
    return scratch_folder / "resume" / f"{step_folder(point.manifest.step)}-{source}"


def fetch_files(
    store: Store, point: ResumePoint, folder: Path, wanted: Callable[[str], bool]
) -> str | None:
    """Download the wanted files of a checkpoint; `store` is the run's folder that holds it.

    Returns None if all are as the manifest says, else in words what is wrong. A file that another
    rank of this node has fetched is not fetched again. Raises StoreError if the store cannot be
    reached or scratch is full.
    """
    locks = folder.with_name(f"{folder.name}.locks")
    with scratch_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        locks.mkdir(exist_ok=True)
        for number, file in enumerate(point.manifest.files):
            if not wanted(file.path):
                continue
            with locked(locks / str(number)):
                problem = _fetch_file(store, point, file, folder / file.path)
            if problem:
                return problem
    return None


def remove_local(folder: Path) -> None:
    """Delete the local copy of a checkpoint."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder.with_name(f"{folder.name}.locks"), ignore_errors=True)


def _fetch_file(store: Store, point: ResumePoint, file: ManifestFile, local: Path) -> str | None:
    if local.exists():
        return None  # it got its name only after it was verified
    _check_room(file, local)
    unfinished = local.with_name(f".{local.name}.unfinished")
    try:
        store.download(f"{step_folder(point.manifest.step)}/{file.path}", unfinished)
        with unfinished.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        if sha256 != file.sha256:
            return f"the SHA-256 of {file.path} is not that of the manifest"
        unfinished.rename(local)
    except MissingFileError:
        return f"{file.path} is missing"
    finally:
        unfinished.unlink(missing_ok=True)
    return None


def _check_room(file: ManifestFile, local: Path) -> None:
    """Fail before the download: a store's client may hide a full disk behind its own errors."""
    parent = next(parent for parent in local.parents if parent.exists())
    if shutil.disk_usage(parent).free < file.size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(local))
