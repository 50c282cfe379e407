"""The Debian packages the cluster runs from, installed on demand and without starting anything.

Called by `build` and by every start: when all programs are there, it costs a few stat calls.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.cache import Report, cache_folder, one_at_a_time
from tests.cluster.errors import UnsupportedMachineError

CNI_PLUGINS = Path("/usr/lib/cni")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

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

_POLICY = Path("/usr/sbin/policy-rc.d")
_FORBID_STARTING = "#!/bin/sh\nexit 101\n"


def find_missing_packages() -> list[str]:
    """The packages of which no program is on this machine."""
    return [package for package, program in PROGRAM_OF_PACKAGE.items() if not _is_there(program)]


def ensure_system_packages(report: Report = print) -> None:
    """Install what is missing; raises UnsupportedMachineError where that cannot be done."""
    if not find_missing_packages():
        return
    with one_at_a_time(cache_folder() / ".packages.lock"):
        missing = find_missing_packages()
        if missing:
            _install(missing, report)


def _install(missing: list[str], report: Report) -> None:
    if shutil.which("apt-get", path=SYSTEM_PATH) is None or os.geteuid() != 0:
        raise UnsupportedMachineError(
            f"missing programs: install the packages {' '.join(missing)} (or your system's "
            "equivalents); this is done automatically on Debian and Ubuntu as root"
        )
    report(f"installing Debian packages: {' '.join(missing)} (usually 20 s)")
    with services_forbidden():
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *missing)
    services = [_SERVICE_OF_PACKAGE[name] for name in missing if name in _SERVICE_OF_PACKAGE]
    if services and shutil.which("systemctl", path=SYSTEM_PATH):
        subprocess.run(["systemctl", "--quiet", "disable", *services], check=False)


@contextmanager
def services_forbidden() -> Iterator[None]:
    """While this lasts, no package's installation starts a service (invoke-rc.d's policy hook)."""
    previous = _POLICY.read_bytes() if _POLICY.exists() else None
    mode = _POLICY.stat().st_mode if previous is not None else 0o755
    _POLICY.write_text(_FORBID_STARTING)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if previous is None:
            _POLICY.unlink()
        else:
            _POLICY.write_bytes(previous)
            _POLICY.chmod(mode)


def _is_there(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program, path=SYSTEM_PATH) is not None


def _apt_get(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=240", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnsupportedMachineError(
            f"apt-get {arguments[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}"
        )
