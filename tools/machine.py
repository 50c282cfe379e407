"""What this machine can do: asked by the preparation, the tiers of tests and the demo.

The embedded cluster needs root on Debian 12, on a machine or in a privileged container; everything
else runs anywhere.
"""

import errno
import functools
import os
import platform
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
CLUSTERS = Path("/var/lib/trainwright/clusters")
CGROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "memory")  # what requests and limits of pods are made of
_CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12}
_PROCESS = Path("/proc/self")
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
    return _find_missing_right() or _find_cgroup_obstacle() or _find_refusal()


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


def _find_missing_right() -> str | None:
    """What this root may not do that the machine's own may; a container's often has no such right."""
    had = _read_capabilities()
    lacking = [name for name, bit in _CAPABILITIES.items() if not had >> bit & 1]
    if lacking:
        return f"it needs {' and '.join(lacking)}, which root does not have here; {_remedy()}"
    return None


def _find_cgroup_obstacle() -> str | None:
    if not CGROUPS.is_dir():
        return f"it needs cgroups at {CGROUPS}, where there are none; mount them there"
    controllers = CGROUPS / "cgroup.controllers"
    version = 2 if controllers.exists() else 1
    if not os.access(CGROUPS, os.W_OK):
        return (
            f"it needs writable cgroups at {CGROUPS}, version {version} is read-only; {_remedy()}"
        )
    if version == 1:
        return None
    available = controllers.read_text().split()
    if missing := [name for name in _CONTROLLERS if name not in available]:
        return (
            f"it needs the cgroup controllers {' and '.join(missing)}, which {controllers} does not "
            "name; in a container: start that with --cgroupns=host"
        )
    # The machine's own root has no type, and may hold processes beside cgroups.
    is_root = not (CGROUPS / "cgroup.type").exists()
    handed_on = (CGROUPS / "cgroup.subtree_control").read_text().split()
    is_ready = is_root or all(name in handed_on for name in _CONTROLLERS)
    if not is_ready and (CGROUPS / "cgroup.procs").read_text().strip():
        return (
            f"it needs to hand the controllers of {CGROUPS} on to its pods, which the kernel refuses "
            "while processes are in that very cgroup, as in a container with a cgroup namespace of "
            "its own; start the container with --cgroupns=host"
        )
    return None


def _find_refusal() -> str | None:
    refused = _try_namespaces()
    if refused:
        return (
            "it needs mount, PID and network namespaces, which are refused here "
            f"({refused}); {_remedy()}"
        )
    return None


def _remedy() -> str:
    if _is_in_user_namespace():
        return (
            "this root is that of a user namespace only, as in a rootless container: use the "
            "machine's own"
        )
    return "in a container: start that privileged"


def _read_capabilities() -> int:
    """The capabilities of this process, a bit each (capabilities(7))."""
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))


def _is_in_user_namespace() -> bool:
    users = _PROCESS / "uid_map"  # a kernel without user namespaces has no such file
    return users.exists() and users.read_text().split() != ["0", "0", "4294967295"]


@functools.cache
def _try_namespaces() -> str:
    """What refuses to make namespaces; nothing if they can be made, or the program is still to come."""
    program = shutil.which("unshare")
    if program is None:
        return ""
    command = [program, "--mount", "--net", "--pid", "--fork", "--mount-proc", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


def cache_folder() -> Path:
    """`$TRAINWRIGHT_CACHE`, by default `trainwright` in the user's cache folder; OSError if there is no home."""
    own = os.environ.get("TRAINWRIGHT_CACHE")
    if own:
        return Path(own).expanduser().resolve()
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(user).expanduser().resolve() / "trainwright"
    except RuntimeError as problem:
        text = f"user {os.geteuid()} has no home folder; set HOME, or TRAINWRIGHT_CACHE=FOLDER"
        raise FileNotFoundError(errno.ENOENT, text) from problem


def describe_refusal(problem: OSError) -> str:
    """What the system refused, and what a person can do: for a full disk, or a folder of another user."""
    where = f"{problem.filename}: " if problem.filename else ""
    text = f"{where}{problem.strerror or problem}"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        text += f"; make room there, or set TRAINWRIGHT_CACHE to a folder of another disk (now {cache_folder()})"
    if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        text += (
            "; run as the user whose it is, or use a clone of your own and set TRAINWRIGHT_CACHE to a folder "
            f"that you may write to (now {cache_folder()})"
        )
    return text


def is_ci() -> bool:
    """Whether a missing tier must fail instead of being skipped."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
