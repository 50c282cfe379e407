"""How a rank tells the launcher how it ended: one small JSON file per rank on scratch.

Imports no torch: the launcher reads what the ranks write.
"""

import contextlib
from pathlib import Path

from pydantic import ValidationError
from trainwright_api.names import Outcome
from trainwright_api.report import TerminationMessage

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


def write_outcome(path: Path, message: TerminationMessage) -> None:
    """Write a rank's outcome whole: the launcher never reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(message.model_dump_json(by_alias=True, exclude_none=True))
    temporary.rename(path)


def read_outcome(path: Path) -> TerminationMessage | None:
    """Return a rank's outcome, or None if it left none."""
    with contextlib.suppress(OSError, ValidationError):
        return TerminationMessage.model_validate_json(path.read_text())
    return None
