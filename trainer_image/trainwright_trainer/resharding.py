"""Turns a checkpoint into one that any number of processes can load.

DeepSpeed's checkpoints hold one shard per process. Its universal format holds one folder per parameter;
the converter runs once per node, on the downloaded files, in a process of its own.
"""

import logging
import re
import subprocess
import sys
from pathlib import Path

from trainwright_trainer.cgroups import available_cores
from trainwright_trainer.errors import TrainerError
from trainwright_trainer.scratch import build_once, full_scratch_error, is_full

UNIVERSAL_TAG = "universal"
_CONVERTER = "trainwright_trainer.conversion"
_RANK_FILE = re.compile(r"(?:^|/)(?:bf16_|fp16_)?zero_pp_rank_(\d+)_|(?:^|/)random-(\d+)\.pt$")

logger = logging.getLogger(__name__)


def is_needed_by(rank: int, path: str) -> bool:
    """Tell whether a rank of the same layout reads this file of a checkpoint: its own shards, and what all share."""
    match = _RANK_FILE.search(path)
    return match is None or int(match[1] or match[2]) == rank


def reshard(folder: Path, tag: str) -> Path:
    """Convert the checkpoint `folder/tag`; return the folder that holds UNIVERSAL_TAG.

    The first process of a node converts, the others wait for it. Raises StoreError if scratch is
    full, TrainerError if DeepSpeed cannot.
    """
    return build_once(
        folder / "resharded", lambda target: _convert(folder / tag, target / UNIVERSAL_TAG)
    )


def _convert(source: Path, target: Path) -> None:
    workers = str(available_cores())
    command = [sys.executable, "-m", _CONVERTER, "--inject_missing_state"]
    command += ["--input_folder", str(source), "--output_folder", str(target)]
    command += ["--num_extract_workers", workers, "--num_merge_workers", workers]
    logger.info("converting the checkpoint for another number of processes")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr[-800:].strip()
        if is_full(RuntimeError(done.stderr), target):
            raise full_scratch_error(target)
        raise TrainerError(
            f"the checkpoint cannot be converted for another number of processes: {said}"
        )
