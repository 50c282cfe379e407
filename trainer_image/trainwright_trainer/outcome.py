"""How a rank tells the launcher how it ended: one small JSON file per rank on scratch.

Imports no torch: the launcher reads what the ranks write. A full scratch disk is one of the ends to be
told of, so a rank takes the file's space when it starts.
"""

import contextlib
import os
from pathlib import Path

from pydantic import ValidationError
from trainwright_api.names import Outcome
from trainwright_api.report import TerminationMessage

RESERVED_BYTES = 128 * 2**10  # more than a message takes, with the samples of a finished model

# (outcome, is it a user error) -> exit code of rank and launcher
EXIT_CODES = {
    (Outcome.SUCCEEDED, False): 0,
    (Outcome.FAILED, False): 1,
    (Outcome.FAILED, True): 2,
    (Outcome.INTERRUPTED, False): 143,
}


def outcome_file(scratch_folder: Path, rank: int) -> Path:
    """Return where a rank leaves its outcome."""
    return scratch_folder / "outcomes" / f"rank-{rank}.json"


def reserve_outcome(path: Path) -> None:
    """Take the space of a rank's outcome while there is some. Raises no error: a later one says more."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _unfinished(path).write_bytes(bytes(RESERVED_BYTES))


def write_outcome(path: Path, message: TerminationMessage) -> None:
    """Write a rank's outcome whole, into the space reserved: the launcher never reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = message.model_dump_json(by_alias=True, exclude_none=True).encode()
    # Opened as it is: opening it anew would give its space back first.
    with os.fdopen(os.open(_unfinished(path), os.O_WRONLY | os.O_CREAT, 0o644), "wb") as file:
        file.write(content)
        file.truncate()
    _unfinished(path).rename(path)


def read_outcome(path: Path) -> TerminationMessage | None:
    """Return a rank's outcome, or None if it left none."""
    with contextlib.suppress(OSError, ValidationError):
        return TerminationMessage.model_validate_json(path.read_text())
    return None


def _unfinished(path: Path) -> Path:
    return path.with_suffix(".part")
