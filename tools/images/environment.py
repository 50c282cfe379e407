"""The trainer's Python environment as a folder, to be mounted at /opt/venv of the `code` image.

The embedded cluster does that: 5 GB are linked from uv's cache once instead of being written into
layers, exported and unpacked. The folder is made from the lock that the full image installs.
"""

import os
import shutil
import sys
from pathlib import Path

from tools.images.builders import BuildError, run
from tools.images.cache import cache_folder, fingerprint, publish
from tools.images.specs import TRAINER_LOCK
from tools.images.stand_in import PYTHON

INSIDE = Path("/opt/venv")
_READABLE_BY_ALL = 0o022  # the trainer's user is another than the one who makes the folder


def trainer_venv_path() -> Path:
    """Where the environment of the present lock and recipe is, or will be."""
    recipe = Path(__file__).read_text()
    return cache_folder() / "trainer-venv" / fingerprint([TRAINER_LOCK], PYTHON, recipe)


def ensure_trainer_venv() -> Path:
    """The folder to mount read-only at /opt/venv; 30 s if uv has the packages, else some minutes.

    Raises BuildError if Debian's Python 3.11 or uv is missing.
    """
    return publish(trainer_venv_path(), 60, _write_environment)


def find_uv() -> str:
    """The uv program: `$UV`, on PATH, or beside the running Python; BuildError if there is none."""
    beside = Path(sys.executable).parent
    candidates = (os.environ.get("UV"), shutil.which("uv"), shutil.which("uv", path=str(beside)))
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return candidate
    raise BuildError("uv not found: install it (`pip install uv`) or set UV to its path")


def _write_environment(folder: Path) -> None:
    if not Path(PYTHON).is_file():
        raise BuildError(
            f"{PYTHON} not found: the mounted environment must be made by the Python of the base "
            "image (Debian 12); build the full image instead: python -m tools.images trainer"
        )
    uv = find_uv()
    settings = {"UV_SYSTEM_CERTS": os.environ.get("UV_SYSTEM_CERTS", "1")}
    create = [uv, "venv", "--quiet", "--relocatable", "--python", PYTHON, str(folder)]
    run(create, settings, _READABLE_BY_ALL)
    run(
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(folder / "bin" / "python"),
            "--no-deps",
            "--require-hashes",
            "--compile-bytecode",
            "--requirement",
            str(TRAINER_LOCK),
        ],
        settings,
        _READABLE_BY_ALL,
    )
    # Files that are links into uv's cache have the modes of whenever they were unpacked there.
    closed = ["find", str(folder), "!", "-type", "l", "!", "-perm", "-004"]
    run([*closed, "-exec", "chmod", "a+rX", "{}", "+"], {})
