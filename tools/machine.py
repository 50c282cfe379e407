"""What this machine can do: asked by the preparation, the tiers of tests and the demo.

The embedded cluster needs root on Linux with Debian's packages; everything else runs anywhere.
"""

import os
import platform
import shutil
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def find_cluster_obstacle() -> str | None:
    """Why the embedded cluster cannot run here, or None if it can."""
    if platform.system() != "Linux":
        return f"it needs Linux, this is {platform.system()}"
    if os.geteuid() != 0:
        return "it needs root (network and mount namespaces); run the same command as root"
    if shutil.which("apt-get") is None:
        return "it installs its parts by apt-get, which this system does not have"
    return None


def cache_folder() -> Path:
    """`$TRAINWRIGHT_CACHE`, by default `trainwright` in the user's cache folder."""
    own = os.environ.get("TRAINWRIGHT_CACHE")
    if own:
        return Path(own).expanduser().resolve()
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user).expanduser().resolve() / "trainwright"


def is_ci() -> bool:
    """Whether a missing tier must fail instead of being skipped."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
