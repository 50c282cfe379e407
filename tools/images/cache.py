"""The cache folder: whole files and folders only, each named by a hash of what it was made from.

Used by every part of this package. Two processes that want the same thing at once build it once:
the second waits for the first and finds it done.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.machine import PROJECT, cache_folder

__all__ = ["PROJECT", "cache_folder", "fingerprint", "publish", "say"]
_KEPT_VERSIONS = 4


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
    """`path`, made by `write(temporary path)` unless it is there; it appears whole or not at all."""
    try:
        # Not touch(): what another build has just deleted would be there again, empty.
        os.utime(path)
    except FileNotFoundError:
        pass
    else:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if path.exists():
            return path
        say(f"making {path.name}, usually {usually_seconds} s")
        started = time.monotonic()
        with temporary_folder(path.parent, path.name) as folder:
            draft = folder / path.name
            write(draft)
            draft.rename(path)
        say(f"made {path.name} in {time.monotonic() - started:.0f} s")
        forget_old_versions(path)
    return path


def forget_old_versions(path: Path) -> None:
    """Deletes all but `path` and the newest few of [NAME-]HASH[.suffix]; the newest is the one last used."""
    name = path.name.rpartition("-")[0]
    visible = (p for p in path.parent.iterdir() if not p.name.startswith("."))
    # Not left to the clock, by which files that were used within milliseconds are of one age.
    versions = [p for p in visible if p.is_dir() == path.is_dir() and p != path]
    versions = [p for p in versions if p.name.rpartition("-")[0] == name]
    by_age = sorted(versions, key=_last_used, reverse=True)
    for old in by_age[_KEPT_VERSIONS - 1 :]:
        say(f"deleting {old.name}, not used lately")
        # Another build may be deleting the same: what one of them misses, the other has deleted.
        shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another build has just deleted it
        return 0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock for `path`, across processes; the kernel frees it at their death."""
    locks = cache_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
