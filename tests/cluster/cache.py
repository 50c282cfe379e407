"""What the cluster builds once and keeps: binaries, images, rendered manifests.

Everything lies in one folder outside the work tree, in entries named by the hash of what they
are made from. An entry appears whole or not at all, also when two builders race or one is killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.forgetting import forget_old_versions, note_use
from tools.machine import cache_folder

__all__ = ["Report", "build_key", "cache_folder", "make_once", "one_at_a_time", "read_recipe"]

Report = Callable[[str], None]


def build_key(*parts: str | bytes) -> str:
    """16 hexadecimal digits that change when any of the parts does."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:16]


def read_recipe(*modules: str) -> bytes:
    """The source of these modules, which make an entry; in its key, so that a new recipe makes it anew."""
    return b"\0".join(Path(module).read_bytes() for module in modules)


def make_once(entry: Path, build: Callable[[Path], None], *, forgets: bool = False) -> Path:
    """Return `entry`, calling `build(temporary path)` first if it is not there yet.

    With `forgets`, old versions of what it has built go. What a build that fails has written goes, too.
    """
    if not os.access(entry.parent, os.W_OK) and entry.exists():
        return entry  # made by others for us to read
    with one_at_a_time(lock_of(entry)):
        if note_use(entry):
            return entry
        temporary = entry.with_name(f".{entry.name}.partial")
        _remove(temporary)
        try:
            build(temporary)
            temporary.rename(entry)
        finally:
            _remove(temporary)
    if forgets:
        forget_old_versions(entry, lock_of)
    return entry


def lock_of(entry: Path) -> Path:
    """The file that is locked while an entry is made, and while its use is noted."""
    return entry.with_name(f".{entry.name}.lock")


@contextmanager
def one_at_a_time(lock_file: Path) -> Iterator[None]:
    """Let other processes that come here wait until this one has left (or has been killed)."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
