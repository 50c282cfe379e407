"""The node-local scratch space: work that one process per node does for all, and a full disk.

The first process to come takes a lock of the file system and builds a folder; the others sleep in
the kernel until it is done. If the builder dies, its lock goes with it and the next one builds.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainwright_api.quantities import format_bytes

from trainwright_trainer.errors import StoreError, is_out_of_space

ALMOST_NOTHING_BYTES = 2**20


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return `folder`, made by `build(temporary folder)` if it is not there yet.

    The folder appears whole or not at all. Raises what `build` raises; StoreError if scratch is
    full.
    """
    if folder.is_dir():
        return folder
    with scratch_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                unfinished = folder.with_name(f"{folder.name}.unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                build(unfinished)
                unfinished.rename(folder)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file among the processes of this node; waits without spinning."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def scratch_errors(path: Path) -> Iterator[None]:
    """Turn a full disk below the block into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        if is_full(error, path):
            raise full_scratch_error(path) from error
        raise


def is_full(error: Exception, path: Path) -> bool:
    """Tell whether a failure to write below `path` comes from a full disk, whoever reports it."""
    if is_out_of_space(error):
        return True
    is_known = isinstance(error, OSError) and error.errno is not None
    return not is_known and shutil.disk_usage(_existing(path)).free < ALMOST_NOTHING_BYTES


def full_scratch_error(path: Path) -> StoreError:
    """Build the error for a scratch folder without space."""
    usage = shutil.disk_usage(_existing(path))
    return StoreError(
        f"spec.workers.resources.ephemeral-storage: got {format_bytes(usage.free)} free of "
        f"{format_bytes(usage.total)} on the node's scratch space, expected room for the base model, "
        "tokenized data and a checkpoint; request more, or mount a larger volume at /scratch through podOverrides"
    )


def _existing(path: Path) -> Path:
    """Return the nearest folder above that is there."""
    return next((parent for parent in (path, *path.parents) if parent.exists()), Path("/"))
