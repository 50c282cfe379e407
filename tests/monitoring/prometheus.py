"""Debian's Prometheus and promtool, unpacked into the cache: nothing is installed or started.

Called by the tests of rules and dashboards and by the embedded cluster. Where the package cannot be
had, the error makes pytest skip the test by name and reason; with CI set, it fails.
"""

import fcntl
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from tools.debian import can_install, download_package
from tools.machine import is_ci

PACKAGE = "prometheus"


class NoPrometheusError(OSError):
    """Debian's package cannot be downloaded on this machine; the text says why."""


class _SkippingError(NoPrometheusError, unittest.SkipTest):
    """The same where a test may be skipped for it: pytest takes it for a skip."""


def fetch_prometheus(cache: Path) -> Path:
    """Return the folder with `prometheus` and `promtool`, downloading the package once (19 MB).

    Raises NoPrometheusError off Debian, or without root and package lists.
    """
    folder = cache / "prometheus"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "prometheus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "promtool").exists():
            _download(folder)
    return folder


def _refuse(reason: str) -> NoPrometheusError:
    text = f"no {PACKAGE}: {reason}"
    return NoPrometheusError(text) if is_ci() else _SkippingError(text)


def _download(folder: Path) -> None:
    if shutil.which("apt-get") is None:
        raise _refuse("it comes by apt-get, which this system does not have")
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        if can_install():
            package = download_package(PACKAGE, work)
        else:
            if subprocess.run(["apt-get", "download", PACKAGE], cwd=work, check=False).returncode:
                raise _refuse("apt-get has no list with it, and only root can update that")
            (package,) = work.glob("*.deb")
        subprocess.run(["dpkg", "-x", str(package), str(work / "tree")], check=True)
        shutil.rmtree(folder, ignore_errors=True)
        (work / "tree" / "usr" / "bin").rename(folder)
