"""Names inside a run's folder of the checkpoint store. Pure.

step-000123/manifest.json    written last: without it there is no checkpoint
step-000123/...              the shards, as the ranks wrote them
step-000123/.part-...        what one rank has uploaded, for rank 0; deleted after the manifest
"""

import re

from trainwright_api.names import MANIFEST_FILE

_STEP = re.compile(r"^step-(\d{6,})$")
_PART = re.compile(r"^\.part-[^/]*$")


def step_folder(step: int) -> str:
    """Return the folder of a checkpoint."""
    return f"step-{step:06d}"


def parse_step(name: str) -> int | None:
    """Return the step of a checkpoint's folder; None for any other name."""
    match = _STEP.match(name)
    return int(match[1]) if match else None


def manifest_path(step: int) -> str:
    """Return the path of a checkpoint's manifest."""
    return f"{step_folder(step)}/{MANIFEST_FILE}"


def part_path(step: int, session: str, rank: int) -> str:
    """Return where a rank says what it uploaded; the session keeps older attempts' words apart."""
    return f"{step_folder(step)}/.part-{session}-{rank:05d}.json"


def is_part(name: str) -> bool:
    """Tell whether a file of a checkpoint's folder is a rank's word to rank 0."""
    return _PART.match(name) is not None
