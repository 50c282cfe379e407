"""What this machine can do: asked by the preparation, the tiers of tests and the demo.

The embedded cluster needs root on Debian 12, on a machine or in a privileged container; everything
else runs anywhere.
"""

import functools
import os
import platform
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
CGROUPS = Path("/sys/fs/cgroup")
DEBIAN_SUITE = "bookworm"
DEBIAN_PYTHON = Path("/usr/bin/python3.11")
"""The images are made from this release; what is mounted into them must be made by its Python."""


def find_cluster_obstacle() -> str | None:
    """Why the embedded cluster with our images cannot run here, or None if it can."""
    obstacle = find_namespace_obstacle()
    if obstacle:
        return obstacle
    if shutil.which("apt-get") is None:
        return "it needs apt-get to install its parts, which this system does not have"
    if not DEBIAN_PYTHON.exists() and not can_install_debian_python():
        return (
            f"it needs {DEBIAN_PYTHON}, which Debian 12 ({DEBIAN_SUITE}) has; this is {_system()}"
        )
    return None


def find_namespace_obstacle() -> str | None:
    """Why no cluster can be started here, whatever its pods run, or None if one can."""
    if platform.system() != "Linux":
        return f"it needs Linux; this is {platform.system()}"
    if os.geteuid() != 0:
        return (
            "it needs root (network and mount namespaces, cgroups); run the same command as root; "
            f"this is user {os.geteuid()}"
        )
    if not os.access(CGROUPS, os.W_OK):
        return f"it needs writable cgroups at {CGROUPS}; in a container: start that privileged"
    refused = _try_namespaces()
    if refused:
        return (
            f"it needs mount and network namespaces, which are refused here ({refused}); "
            "in a container: start that privileged"
        )
    return None


def can_install_debian_python() -> bool:
    """Whether Debian's package `python3` brings DEBIAN_PYTHON to this system."""
    return _release().get("VERSION_CODENAME") == DEBIAN_SUITE


def _system() -> str:
    return _release().get("PRETTY_NAME") or "another system"


def _release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


@functools.cache
def _try_namespaces() -> str:
    """What refuses to make namespaces; nothing if they can be made, or the program is still to come."""
    program = shutil.which("unshare")
    if program is None:
        return ""
    done = subprocess.run(
        [program, "--mount", "--net", "true"], capture_output=True, text=True, check=False
    )
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


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
