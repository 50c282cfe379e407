"""Installs Debian packages, and has none of them start a service on this machine.

The preparation, the builders of images and the embedded cluster come here; the first of them with a
bare Python, so only the standard library is used. A kill at any moment leaves nothing for good: what
forbids the services is known by its text, and removed before the next installation.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.interrupts import counted_interrupts
from tools.machine import cache_folder

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_POLICY = Path("/usr/sbin/policy-rc.d")
_OF_OTHERS = Path("/usr/sbin/policy-rc.d.before-trainwright")
_FORBID_STARTING = """\
#!/bin/sh
# Trainwright installs packages and has them start no service; this file goes when that is done.
exit 101
"""


class DebianError(Exception):
    """Packages could not be installed; the text holds the end of what apt-get said."""


def can_install() -> bool:
    """Whether this is root on a system with apt-get."""
    return os.geteuid() == 0 and shutil.which("apt-get", path=SYSTEM_PATH) is not None


def install_packages(*packages: str) -> None:
    """Install packages without starting any service; raises DebianError."""
    with services_forbidden():
        try:
            _apt_get("install", "--yes", "--no-install-recommends", *packages)
        except DebianError:  # the lists may be old, or not there at all
            _apt_get("update")
            _apt_get("install", "--yes", "--no-install-recommends", *packages)


def download_package(package: str, folder: Path) -> Path:
    """Download a package's file into a folder without installing it; raises DebianError."""
    with _one_at_a_time():  # the lists that an update writes have no lock that waits
        try:
            _apt_get("download", package, folder=folder)
        except DebianError:
            _apt_get("update")
            _apt_get("download", package, folder=folder)
    (file,) = folder.glob("*.deb")
    return file


@contextmanager
def services_forbidden() -> Iterator[None]:
    """While this lasts, no package's installation starts a service (invoke-rc.d's policy hook).

    One process at a time; another waits here.
    """
    with _one_at_a_time():
        _restore()  # an installation that was killed may have left its policy
        if _POLICY.exists():
            _POLICY.rename(_OF_OTHERS)
        _POLICY.write_text(_FORBID_STARTING)
        _POLICY.chmod(0o755)
        try:
            yield
        finally:
            _restore()


def remove_leftover() -> None:
    """Allow services again if an installation was killed; costs a look at one file."""
    if _is_ours():
        with _one_at_a_time():
            _restore()


def _restore() -> None:
    """Put back the policy of others, or that there is none; one that is not ours stays."""
    if _POLICY.exists() and not _is_ours():
        return
    if _OF_OTHERS.exists():
        _OF_OTHERS.replace(_POLICY)
    else:
        _POLICY.unlink(missing_ok=True)


def _is_ours() -> bool:
    return _POLICY.exists() and _POLICY.read_text(errors="replace") == _FORBID_STARTING


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    lock = cache_folder() / ".packages.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _apt_get(*arguments: str, folder: Path | None = None) -> None:
    """Run it to its end, through Ctrl+C too: one that is killed leaves packages half installed."""
    with counted_interrupts() as interrupts:
        done = subprocess.run(
            ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=240", *arguments],
            cwd=folder,
            env={**os.environ, "PATH": SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
    if interrupts.presses:
        raise KeyboardInterrupt
    if done.returncode:
        tail = (done.stderr or done.stdout).strip()[-2000:]
        raise DebianError(f"apt-get {arguments[0]} ended with {done.returncode}:\n{tail}")
