"""A real container registry on 127.0.0.1: Debian's package, unpacked into the cache, not installed."""

import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tools.debian import download_package
from tools.images.cache import cache_folder, publish

PACKAGE = "docker-registry"
_START_SECONDS = 60

_CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def fetch_registry_program() -> Path:
    """The program, downloaded once (5 MB)."""
    return publish(cache_folder() / "docker-registry" / "program", 5, _download)


def _download(program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent) as name:
        work = Path(name)
        package = download_package(PACKAGE, work)
        subprocess.run(["dpkg", "-x", str(package), str(work / "tree")], check=True)
        shutil.move(work / "tree" / "usr" / "bin" / "docker-registry", program)


@contextmanager
def running_registry(folder: Path) -> Iterator[str]:
    """Yields HOST:PORT of a registry that keeps its images below `folder`."""
    program = fetch_registry_program()
    port = free_port()
    settings = folder / "registry.yml"
    settings.write_text(_CONFIGURATION.format(folder=folder / "images", port=port))
    with (folder / "registry.log").open("w") as log:
        server = subprocess.Popen([program, "serve", settings], stdout=log, stderr=log)
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/v2/", server)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url):  # noqa: S310 - http on 127.0.0.1
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the registry did not start; see registry.log beside its images")
