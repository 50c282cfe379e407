"""Which entries of the cache go: those whose newer versions have taken their place, some time ago.

An entry is a file or folder [NAME-]HASH[.suffix], of which the newest few stay. Older ones stay, too, as
long as another clone may just use them: for three hours after their last use, longer than all tests take,
and while a cluster or a program runs from them. Whoever uses an entry notes that under the lock under which
it is made, which is taken here as well; but for uv: its clones can do without, they put it there anew.

Called by the preparation with a bare Python, so only the standard library is used.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tools.machine import CLUSTERS

KEPT_VERSIONS = 2  # the present one, and the one before it
MAY_BE_USED_SECONDS = 3 * 3600
_DRAFTS = (".draft-{}", ".{}.partial")
_PROCESSES = Path("/proc")

LockOf = Callable[[Path], Path]
"""The file that is locked while an entry is made."""


def note_use(entry: Path) -> bool:
    """Note that an entry is used now; whether it is there. The caller holds its lock."""
    try:
        # Not touch(): what has just been deleted would be there again, empty.
        os.utime(entry)
    except FileNotFoundError:
        return False
    except OSError:  # a cache that others have made for us to read; nobody forgets anything there
        return entry.exists()
    return True


def forget_old_versions(entry: Path, lock_of: LockOf, kept: int = KEPT_VERSIONS) -> list[str]:
    """Delete all versions but `entry` and the newest others, and what killed builds of them left.

    Returns the names of what went.
    """
    drafts, versions = [], []
    for path in entry.parent.iterdir():
        made = _find_made(path)
        if _name_of(made or path) != _name_of(entry):
            continue
        if made:
            drafts.append((path, made))
        elif not path.name.startswith(".") and path.is_dir() == entry.is_dir() and path != entry:
            versions.append(path)
    # The present one is not left to the clock.
    old = sorted(versions, key=_last_used, reverse=True)[kept - 1 :]
    gone = [path.name for path in old if _delete_unused(path, lock_of(path))]
    return gone + [path.name for path, made in drafts if _delete_draft(path, lock_of(made))]


def _find_made(path: Path) -> Path | None:
    """The entry that a draft was to become; None for what is no draft."""
    for pattern in _DRAFTS:
        before, after = pattern.split("{}")
        name = path.name
        if name.startswith(before) and name.endswith(after):
            return path.with_name(name.removeprefix(before).removesuffix(after))
    return None


def _name_of(path: Path) -> str:
    """What all versions share: without the hash, and without a number such as v1.9.4."""
    return re.sub(r"-v?[\d.]+$", "", path.name.rpartition("-")[0])


def _delete_unused(entry: Path, lock: Path) -> bool:
    with _tried(lock) as is_held:
        if not is_held or time.time() - _last_used(entry) < MAY_BE_USED_SECONDS or is_run(entry):
            return False
        return _delete(entry)


def _delete_draft(draft: Path, lock: Path) -> bool:
    """Delete it unless it is just being made."""
    with _tried(lock) as is_held:
        return is_held and _delete(draft)


def is_run(entry: Path) -> bool:
    """Whether a cluster has it mounted or as an image, or a program in it runs."""
    for state in CLUSTERS.glob("*/state.json"):
        try:
            if str(entry) in state.read_text():
                return True
        except OSError:
            continue
    return any(entry in program.parents for program in _list_programs())


def _list_programs() -> Iterator[Path]:
    for process in _PROCESSES.glob("[0-9]*"):
        try:
            yield (process / "exe").readlink()
        except OSError:  # it has just ended, is the kernel's own, or another user's
            continue


@contextmanager
def _tried(lock: Path) -> Iterator[bool]:
    """Hold a lock if nobody else does; whether it is held."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(lock.open("a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = True
        except OSError:  # somebody else does, or it is another user's
            is_held = False
        yield is_held


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another clone has just deleted it
        return 0


def _delete(path: Path) -> bool:
    """Delete what may be deleted; whether it is gone. An old file that stays is no reason to fail."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    return not path.exists()
