"""A real S3 server on a free port of the loopback, for tests of stores and checkpoints."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from trainwright_api import names
from trainwright_api.data import Location
from trainwright_trainer.settings import Settings

from tests.ports import free_port
from tests.trainer.ranks import HANG_SECONDS

ACCESS_KEY, SECRET_KEY = "trainwright-test", "trainwright-test-secret"


@dataclass
class S3Server:
    """A running server; each bucket is a folder below `folder`."""

    folder: Path
    endpoint: str
    process: subprocess.Popen[bytes]

    def bucket(self, name: str) -> Path:
        """Make a bucket and return its folder."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def location(self, uri: str, credentials: str = "s3") -> Location:
        """Return a location of this server."""
        return Location(uri=uri, endpoint=self.endpoint, credentials_secret=credentials)


@contextlib.contextmanager
def running_s3_server(folder: Path, port: int = 0) -> Iterator[S3Server]:
    """Run rclone's S3 server over a folder until the end of the block; port 0 takes a free one."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        str(Path(sys.executable).parent / "rclone"), "serve", "s3", "--config=",
        f"--addr=127.0.0.1:{port}", f"--auth-key={ACCESS_KEY},{SECRET_KEY}", str(folder),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _wait_until_it_listens(process, port)
            yield S3Server(folder, f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stderr is not None
            raise AssertionError(f"the S3 server ended: {process.stderr.read()!r}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("the S3 server does not listen")


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a pod of its own, with the server's Secret `s3` and a wrong one `wrong`."""
    return make_settings(tmp_path)


def make_settings(root: Path) -> Settings:
    """Make the folders of a pod below `root`."""
    for secret, key in {"s3": SECRET_KEY, "wrong": "not-the-secret-key"}.items():
        folder = root / "credentials" / secret
        folder.mkdir(parents=True)
        (folder / names.SECRET_ACCESS_KEY_ID).write_text(ACCESS_KEY)
        (folder / names.SECRET_SECRET_ACCESS_KEY).write_text(f"{key}\n")
    for name in ("volumes", "scratch"):
        (root / name).mkdir()
    return Settings(
        credentials_folder=root / "credentials",
        volumes_folder=root / "volumes",
        scratch_folder=root / "scratch",
    )
