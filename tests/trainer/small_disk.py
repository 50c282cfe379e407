"""Runs Python where a folder is a disk of 2 MiB: a mount of its own needs a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.ranks import HANG_SECONDS

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting needs root on Linux"
)


def run_on_small_disk(folder: Path, code: str, *arguments: str) -> str:
    """Run code that is to fail, with these arguments; return the last line of its traceback."""
    script = f'mount -t tmpfs -o size=2m none {folder} && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]
