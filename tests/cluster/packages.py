"""The Debian packages the cluster runs from, installed on demand and without starting anything.

Called by `build` and by every start: when all programs are there, it costs a few stat calls.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.cluster.cache import Report, cache_folder, one_at_a_time
from tests.cluster.errors import UnsupportedMachineError
from tools.debian import SYSTEM_PATH, DebianError, can_install, install_packages

CNI_PLUGINS = Path("/usr/lib/cni")

# A program of each package, by which its presence is known.
PROGRAM_OF_PACKAGE = {
    "etcd-server": "etcd",
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": str(CNI_PLUGINS / "bridge"),
    "iptables": "iptables",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "util-linux": "unshare",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
}

# What these packages would have the machine start from its next boot on.
_SERVICE_OF_PACKAGE = {"etcd-server": "etcd.service", "containerd": "containerd.service"}


def find_missing_packages() -> list[str]:
    """The packages of which no program is on this machine."""
    return [package for package, program in PROGRAM_OF_PACKAGE.items() if not _is_there(program)]


def ensure_system_packages(report: Report = print) -> None:
    """Install what is missing; raises UnsupportedMachineError where that cannot be done."""
    if not find_missing_packages():
        return
    with one_at_a_time(cache_folder() / ".system-packages.lock"):
        missing = find_missing_packages()
        if missing:
            _install(missing, report)


def _install(missing: list[str], report: Report) -> None:
    if not can_install():
        raise UnsupportedMachineError(
            f"missing programs: install the packages {' '.join(missing)} (or your system's "
            "equivalents); this is done automatically on Debian and Ubuntu as root"
        )
    report(f"installing Debian packages: {' '.join(missing)} (usually 20 s)")
    try:
        install_packages(*missing)
    except DebianError as problem:
        raise UnsupportedMachineError(str(problem)) from problem
    services = [_SERVICE_OF_PACKAGE[name] for name in missing if name in _SERVICE_OF_PACKAGE]
    if services and shutil.which("systemctl", path=SYSTEM_PATH):
        subprocess.run(["systemctl", "--quiet", "disable", *services], check=False)


def _is_there(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program, path=SYSTEM_PATH) is not None
