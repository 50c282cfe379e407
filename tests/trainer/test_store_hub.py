"""The hub's store against a server that speaks the part of its protocol that is used."""

import errno
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub.constants
import pytest
from trainwright_api.data import Location
from trainwright_api.names import Cause
from trainwright_trainer.errors import StoreError, TrainerError
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import MissingFileError, Store, open_store
from trainwright_trainer.store import hub as hub_module

from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.s3_server import settings

__all__ = ["settings"]

FIELD = "spec.baseModel"
TOKEN = "hf_right"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "weights/model.safetensors": b"w" * 1000, "weights2/x": b"x"}


class Hub(BaseHTTPRequestHandler):
    """org/open and dataset org/rows are public, org/private wants a token, org/gated has terms."""

    def do_HEAD(self) -> None:
        path = urlsplit(self.path).path
        repository = path.removeprefix("/api").removeprefix("/models").removeprefix("/datasets")
        error = self._error(repository, path)
        if error:
            self._answer(*error)
        elif "/tree/" in path:
            listing = [
                {"type": "file", "path": name, "size": len(content), "oid": f"oid-{name}"}
                for name, content in FILES.items()
            ]
            self._answer(200, json.dumps(listing).encode())
        else:
            name = path.partition("/resolve/")[2].partition("/")[2]
            if name in FILES:
                headers = {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT}
                self._answer(200, FILES[name], headers)
            else:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def do_GET(self) -> None:
        self.do_HEAD()

    def _error(self, repository: str, path: str) -> tuple[int, bytes, dict[str, str]] | None:
        if repository.startswith("/org/gated/"):
            return 403, b"", {"X-Error-Code": "GatedRepo"}
        is_private = repository.startswith("/org/private/")
        if is_private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, b"", {"X-Error-Code": "RepoNotFound"}
        if not is_private and not repository.startswith(("/org/open/", "/org/rows/")):
            return 404, b"", {"X-Error-Code": "RepoNotFound"}
        if "/no-such-revision" in path:
            return 404, b"", {"X-Error-Code": "RevisionNotFound"}
        return None

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def open_hub(uri: str, hub: str, settings: Settings, secret: str | None = None) -> Store:
    location = Location(uri=uri, endpoint=hub, credentials_secret=secret)
    return open_store(location, settings, field=FIELD)


@pytest.mark.parametrize(
    ("uri", "paths"),
    [
        ("hf://org/open", ["config.json", "weights/model.safetensors", "weights2/x"]),
        ("hf://org/open@v1/weights", ["model.safetensors"]),
        ("hf://org/open/config.json", [""]),
        ("hf://datasets/org/rows", ["config.json", "weights/model.safetensors", "weights2/x"]),
    ],
)
def test_files_are_listed_and_read(
    hub: str, settings: Settings, tmp_path: Path, uri: str, paths: list[str]
) -> None:
    store = open_hub(uri, hub, settings)
    assert [file.path for file in store.list_files()] == paths
    content = FILES[
        "config.json" if "config.json" in (uri[-11:], paths[0]) else "weights/model.safetensors"
    ]
    assert store.read_bytes(paths[0]) == content
    store.download(paths[0], tmp_path / "down" / "file")
    assert (tmp_path / "down" / "file").read_bytes() == content


def test_a_secret_opens_a_private_repository(hub: str, settings: Settings) -> None:
    (settings.credentials_folder / "hub").mkdir()
    (settings.credentials_folder / "hub" / "HF_TOKEN").write_text(f"{TOKEN}\n")
    assert open_hub("hf://org/private", hub, settings, "hub").list_files()


def test_the_s3_server_of_a_secret_is_no_hub(
    hub: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub)
    (settings.credentials_folder / "both").mkdir()
    for key, value in {"HF_TOKEN": TOKEN, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        (settings.credentials_folder / "both" / key).write_text(value)
    location = Location(uri="hf://org/private", credentials_secret="both")
    assert open_store(location, settings, field=FIELD).list_files()


def test_a_missing_file_is_named(hub: str, settings: Settings) -> None:
    with pytest.raises(MissingFileError, match=r"hf://org/open/nothing\.json is not there"):
        open_hub("hf://org/open", hub, settings).read_bytes("nothing.json")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "hf://org/typo",
            "spec.baseModel.uri: got hf://org/typo, expected a repository that exists and is public; "
            "correct the name; for a private one name a Secret with HF_TOKEN as credentialsSecret",
        ),
        (
            "hf://org/private",
            "spec.baseModel.uri: got hf://org/private, expected a repository that exists and is public; "
            "correct the name; for a private one name a Secret with HF_TOKEN as credentialsSecret",
        ),
        (
            "hf://org/gated",
            "spec.baseModel.credentialsSecret: got hf://org/gated, which is gated, expected a token with "
            "access; accept its terms on the hub and name a Secret with HF_TOKEN",
        ),
        (
            "hf://org/open@no-such-revision",
            "spec.baseModel.uri: got hf://org/open@no-such-revision, expected a revision that exists; "
            "name a branch, tag or commit after @",
        ),
    ],
)
def test_what_the_user_has_to_mend(hub: str, settings: Settings, uri: str, message: str) -> None:
    with pytest.raises(TrainerError) as caught:
        open_hub(uri, hub, settings).list_files()
    assert str(caught.value) == message
    assert caught.value.cause is Cause.USER_ERROR


def test_offline_is_said_at_once(settings: Settings) -> None:
    program = (
        "import sys, pathlib\n"
        "from trainwright_api.data import Location\n"
        "from trainwright_trainer.settings import Settings\n"
        "from trainwright_trainer.store import open_store\n"
        "settings = Settings(scratch_folder=pathlib.Path(sys.argv[1]))\n"
        "store = open_store(Location(uri='hf://org/open'), settings, field='spec.baseModel')\n"
        "store.list_files()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(settings.scratch_folder)],
        env={"HF_HUB_OFFLINE": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 1
    last_line = done.stderr.strip().splitlines()[-1]
    assert (
        "StoreError: spec.baseModel.uri: got hf://org/open, expected the hub to be reachable"
        in last_line
    )
    assert "copy the files to s3:// or pvc:// where pods have no way out" in last_line


def test_a_full_scratch_disk_is_not_taken_for_a_hub_that_is_away(
    hub: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub_module, "hf_hub_download", fail)
    store = open_hub("hf://org/open", hub, settings)
    with pytest.raises(StoreError, match=r"^spec\.workers\.resources\.ephemeral-storage: got "):
        store.read_bytes("config.json")
