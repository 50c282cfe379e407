"""Debian's Prometheus and promtool, unpacked into the cache: nothing is installed or started.

Called by the tests of rules and dashboards and by the embedded cluster.
"""

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGE = "prometheus"


def fetch_prometheus(cache: Path) -> Path:
    """Return the folder with `prometheus` and `promtool`, downloading the package once (19 MB)."""
    folder = cache / "prometheus"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "prometheus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "promtool").exists():
            _download(folder)
    return folder


def _download(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        if subprocess.run(["apt-get", "download", PACKAGE], cwd=work, check=False).returncode:
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            subprocess.run(["apt-get", "download", PACKAGE], cwd=work, check=True)
        (package,) = work.glob("*.deb")
        subprocess.run(["dpkg", "-x", str(package), str(work / "tree")], check=True)
        shutil.rmtree(folder, ignore_errors=True)
        (work / "tree" / "usr" / "bin").rename(folder)
