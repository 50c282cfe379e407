"""The cache folder: whole files and folders only, each named by a hash of what it was made from.

Used by every part of this package. Two processes that want the same thing at once build it once:
the second waits for the first and finds it done.
"""

import fcntl
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.forgetting import forget_old_versions, note_use
from tools.machine import PROJECT, cache_folder

__all__ = ["PROJECT", "cache_folder", "fingerprint", "publish", "say"]


def fingerprint(paths: Iterable[Path], *texts: str) -> str:
    """Twelve hex digits that change when a file below `paths` or one of `texts` changes."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{text}\0".encode())
    for path in sorted(paths):
        for file in [path] if path.is_file() else _sources(path):
            digest.update(f"{file.relative_to(PROJECT)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _sources(folder: Path) -> list[Path]:
    """The files that .dockerignore lets through."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(f for f in files if f.suffix != ".pyc" and "__pycache__" not in f.parts)


def say(text: str) -> None:
    """Tells the person at the terminal; standard output stays for results."""
    print(f"images: {text}", file=sys.stderr, flush=True)


def publish(path: Path, usually_seconds: int, write: Callable[[Path], None]) -> Path:
    """`path`, made by `write(temporary path)` unless it is there; it appears whole or not at all.

    Old versions of what was made now go.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if note_use(path):
            return path
        say(f"making {path.name}, usually {usually_seconds} s")
        started = time.monotonic()
        with temporary_folder(path.parent, path.name) as folder:
            draft = folder / path.name
            write(draft)
            draft.rename(path)
        say(f"made {path.name} in {time.monotonic() - started:.0f} s")
    for name in forget_old_versions(path, _lock_of):
        say(f"deleted {name}, not used lately")
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock for `path`, across processes; the kernel frees it at their death."""
    lock = _lock_of(path)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_of(path: Path) -> Path:
    return cache_folder() / "locks" / f"{path.name}.lock"


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """An empty folder below `parent` (same file system, so that renames are atomic), gone at the end.

    The caller holds a lock for the name: what is there already is of a process that was killed.
    """
    folder = parent / f".draft-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
