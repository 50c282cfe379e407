"""Every way in which a store can be wrong gives one sentence with field, value and remedy."""

import contextlib
import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from trainwright_api.data import Location
from trainwright_api.names import UNFINISHED_PREFIX, Cause
from trainwright_trainer.errors import StoreError, TrainerError, UserError
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import FileInfo, MissingFileError, is_inside, open_store
from trainwright_trainer.store import s3 as s3_module
from trainwright_trainer.store.folder import FolderStore
from trainwright_trainer.store.s3 import S3Store
from trainwright_trainer.store.s3_errors import translate

from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.s3_server import S3Server, running_s3_server, s3_server, settings
from tests.trainer.small_disk import needs_mounts

__all__ = ["s3_server", "settings"]

FIELD = "spec.checkpoints.store"


@pytest.fixture(autouse=True)
def _short_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "OUTAGE_PAUSES_SECONDS", (0.1,))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def first_error(location: Location, settings: Settings) -> TrainerError:
    """Return the error of opening the store or of checking whether it can be written."""
    with pytest.raises(TrainerError) as caught:
        open_store(location, settings, field=FIELD).check_writable()
    return caught.value


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "checkpoints",
            f"{FIELD}.uri: got checkpoints, expected s3://bucket/path, .*; write one of these",
        ),
        ("gs://bucket/x", f"{FIELD}.uri: got gs://bucket/x, expected s3://bucket/path, .*"),
        ("s3:///x", f"{FIELD}.uri: got s3:///x, expected s3://bucket/path; name the bucket"),
        (
            "file://x/y",
            f"{FIELD}.uri: got file://x/y, expected an absolute path; write file:///path .*",
        ),
        (
            "pvc://claim/../../etc",
            f"{FIELD}.uri: got pvc://claim/../../etc, expected a path without ..; .*",
        ),
        ("hf://name", f"{FIELD}.uri: got hf://name, expected hf://organization/name .*"),
        (
            "pvc://other/x",
            f"{FIELD}.uri: got pvc://other/x, expected the claim other mounted at .*/other; "
            "name a PersistentVolumeClaim of the run's namespace .*",
        ),
        (
            "hf://organization/name",
            f"{FIELD}.uri: got hf://organization/name, expected a store that can be written; "
            "use s3:// or pvc://; hf:// is only read",
        ),
        (
            "s3://bucket/x",
            f"{FIELD}.credentialsSecret: got no credentials, expected a Secret with AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY; name it here .*",
        ),
    ],
)
def test_wrong_uris(settings: Settings, uri: str, message: str) -> None:
    error = first_error(Location(uri=uri), settings)
    assert re.fullmatch(message, str(error)), str(error)
    assert error.cause is Cause.USER_ERROR


@pytest.mark.parametrize(
    ("uri", "secret", "message"),
    [
        (
            "s3://missing-bucket/x/",
            "s3",
            f"{FIELD}.uri: got s3://missing-bucket/x/, expected a bucket that exists; "
            "create missing-bucket or name another",
        ),
        (
            "s3://there/x/",
            "wrong",
            f"{FIELD}.credentialsSecret: got credentials that s3://there/x/ at http://.* refuses "
            r"\(SignatureDoesNotMatch\), expected the secret key that belongs to the access key; "
            "correct the Secret that it names",
        ),
    ],
)
def test_wrong_buckets_and_secrets(
    s3_server: S3Server, settings: Settings, uri: str, secret: str, message: str
) -> None:
    s3_server.bucket("there")
    error = first_error(s3_server.location(uri, secret), settings)
    assert re.fullmatch(message, str(error)), str(error)
    assert isinstance(error, UserError)
    assert "not-the-secret-key" not in str(error)


@pytest.mark.parametrize("code", ["AccessDenied", "403"])
@pytest.mark.parametrize("operation", ["ListObjectsV2", "PutObject"])
def test_a_missing_permission_is_the_users_to_grant(code: str, operation: str) -> None:
    store = FolderStore("s3://bucket/x/", "spec.data.sources[0]", Path("/nowhere"))
    answer = ClientError({"Error": {"Code": code, "Message": "Access Denied"}}, operation)
    error = translate(answer, store, "a.txt", "http://s3", "bucket")
    assert str(error) == (
        f"spec.data.sources[0].credentialsSecret: got no permission for {operation} on s3://bucket/x/ at http://s3, "
        "expected credentials that may list and read there, and where checkpoints or models go also write and "
        "delete; grant it, or name another Secret"
    )
    assert error.cause is Cause.USER_ERROR


def test_a_wrong_endpoint_is_the_users_to_mend(settings: Settings) -> None:
    location = Location(uri="s3://bucket/x", endpoint="no-url", credentials_secret="s3")
    error = first_error(location, settings)
    assert str(error) == (
        f"{FIELD}.endpoint: got no-url, expected a URL such as https://s3.example.com; correct it"
    )
    assert error.cause is Cause.USER_ERROR


def test_a_silent_endpoint_is_retried_then_an_infrastructure_failure(settings: Settings) -> None:
    location = Location(uri="s3://b/x", endpoint="http://127.0.0.1:9", credentials_secret="s3")
    error = first_error(location, settings)
    assert str(error).startswith(
        f"{FIELD}.endpoint: got http://127.0.0.1:9, expected a server that answers"
    )
    assert error.cause is Cause.INFRASTRUCTURE


def test_an_outage_is_ridden_out(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_s3_server(tmp_path / "s3") as server:
        server.bucket("b")
        location = server.location("s3://b/x/")
        store = open_store(location, settings, field=FIELD)
        store.write_bytes("f", b"content")
    pauses: list[float] = []

    def restart(pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 1:
            port = location.endpoint.rpartition(":")[2] if location.endpoint else ""
            servers.enter_context(running_s3_server(tmp_path / "s3", port=int(port)))

    with contextlib.ExitStack() as servers:
        monkeypatch.setattr(s3_module, "_pause", restart)
        assert store.read_bytes("f") == b"content"
    assert pauses == [0.1]


def test_the_endpoint_comes_from_the_location_then_the_secret_then_the_environment(
    s3_server: S3Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.bucket("there")
    # By a name, so that a bucket in front of the host would not be found.
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint.replace("127.0.0.1", "localhost"))
    location = Location(uri="s3://there/", credentials_secret="s3")
    open_store(location, settings, field=FIELD).check_writable()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (settings.credentials_folder / "s3" / "AWS_ENDPOINT_URL").write_text(s3_server.endpoint)
    open_store(
        Location(uri="s3://there/", credentials_secret="s3"), settings, field=FIELD
    ).check_writable()
    (settings.credentials_folder / "s3" / "AWS_ENDPOINT_URL").write_text("http://127.0.0.1:9")
    open_store(s3_server.location("s3://there/"), settings, field=FIELD).check_writable()


@pytest.mark.parametrize(
    ("code", "expected", "cause"),
    [
        (
            errno.ENOSPC,
            "expected free space; enlarge the volume or delete files",
            Cause.INFRASTRUCTURE,
        ),
        (
            errno.EDQUOT,
            "expected free space; enlarge the volume or delete files",
            Cause.INFRASTRUCTURE,
        ),
        (errno.EROFS, "expected access to it; give the container's user access", Cause.USER_ERROR),
        (errno.EACCES, "expected access to it; give the container's user access", Cause.USER_ERROR),
        (errno.EIO, "Input/output error", Cause.INFRASTRUCTURE),
    ],
)
def test_errors_of_file_systems(tmp_path: Path, code: int, expected: str, cause: Cause) -> None:
    store = FolderStore("pvc://claim/x", FIELD, tmp_path)

    def fail(_: Path) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.raises(TrainerError, match=expected) as caught:
        store._write("f", fail)
    assert caught.value.cause is cause
    assert str(caught.value).startswith(f"{FIELD}.uri: ")
    assert list(tmp_path.iterdir()) == []


@needs_mounts
@pytest.mark.parametrize(
    ("options", "prepare", "expected"),
    [
        ("size=64k", "head -c 100k /dev/zero > {0}/filler", "expected free space"),
        ("ro", "true", "expected access to it"),
    ],
)
def test_a_full_and_a_read_only_volume(
    tmp_path: Path, options: str, prepare: str, expected: str
) -> None:
    program = (
        "import sys, pathlib\n"
        "from trainwright_trainer.store.folder import FolderStore\n"
        "FolderStore('pvc://claim/x', 'spec.checkpoints.store', pathlib.Path(sys.argv[1])).check_writable()\n"
    )
    script = (
        f"mount -t tmpfs -o {options} none {tmp_path} && {{ {prepare.format(tmp_path)}; "
        f'exec "$1" -c "$2" {tmp_path}; }} 2>&1'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, program],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 1
    assert expected in done.stdout.splitlines()[-1]
    assert "spec.checkpoints.store.uri: got pvc://claim/x" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("folder", ["file", "file/store", "/proc/store"])
def test_what_is_in_the_way_of_a_folder_is_for_the_user_to_mend(
    tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").touch()
    store = FolderStore("file:///x", FIELD, tmp_path / folder)
    with pytest.raises(
        UserError, match=rf"^{FIELD}\.uri: got file:///x \(.*, expected a folder that"
    ):
        store.check_writable()


def test_a_writer_killed_in_the_middle_leaves_nothing_visible(tmp_path: Path) -> None:
    store = FolderStore("file:///x", FIELD, tmp_path)
    store.write_bytes("step/whole", b"x")
    (tmp_path / "step" / f"{UNFINISHED_PREFIX}1").write_bytes(b"half")
    assert [file.path for file in store.list_files()] == ["step/whole"]
    store.delete_unfinished("step")
    assert [path.name for path in (tmp_path / "step").iterdir()] == ["whole"]


def test_half_uploads_of_killed_writers_are_aborted(
    s3_server: S3Server, settings: Settings
) -> None:
    s3_server.bucket("there")
    store = open_store(s3_server.location("s3://there/run/"), settings, field=FIELD)
    assert isinstance(store, S3Store)
    store.delete_unfinished("step-000001/")  # nothing to do is no error
    client = store._client
    for key in ("run/step-000001/big", "run/step-0000010/big", "run/step-000002/big"):
        upload = client.create_multipart_upload(Bucket="there", Key=key)
        client.upload_part(
            Bucket="there", Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"half"
        )
    assert store.list_files() == []
    store.delete_unfinished("step-000001/")
    left = client.list_multipart_uploads(Bucket="there").get("Uploads", [])
    assert [upload["Key"] for upload in left] == ["run/step-0000010/big", "run/step-000002/big"]


def test_an_object_that_is_overwritten_while_it_is_read_is_no_splice_of_both(
    s3_server: S3Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.bucket("there")
    store = open_store(s3_server.location("s3://there/data/"), settings, field=FIELD)
    assert isinstance(store, S3Store)
    get_object, head_object = store._client.get_object, store._client.head_object

    def get_as_s3_does(**arguments: Any) -> Any:  # rclone takes no notice of the condition
        etag = head_object(Bucket="there", Key="data/d.jsonl")["ETag"]
        if arguments.get("IfMatch", etag) == etag:
            return get_object(**arguments)
        answer = {
            "Error": {"Code": "PreconditionFailed"},
            "ResponseMetadata": {"HTTPStatusCode": 412},
        }
        raise ClientError(answer, "GetObject")

    monkeypatch.setattr(store._client, "get_object", get_as_s3_does)
    store.write_bytes("d.jsonl", b"a" * 5 * 2**20)
    with store.open("d.jsonl") as stream:
        assert stream.read(3) == b"aaa"
        stream.seek(3 * 2**20)  # behind what is buffered: the next read opens it again
        store.write_bytes("d.jsonl", b"b" * 5 * 2**20)
        with pytest.raises(StoreError) as changed:
            stream.read(2**20)
    assert str(changed.value) == (
        f"{FIELD}.uri: got s3://there/data/d.jsonl, which was overwritten while it was read, expected a file that "
        "stays as it is; read it again once nothing writes it"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/b", True), ("a..b/c", True), ("../b", False), ("a/../b", False), ("/a", False)],
)
def test_is_inside(path: str, expected: bool) -> None:
    assert is_inside(path) is expected


def test_what_goes_while_a_folder_is_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run may be training, and delete old checkpoints."""
    store = FolderStore("file:///x", FIELD, tmp_path)
    for path in ("kept", "step-1/a", "step-1/b", "step-2/c"):
        store.write_bytes(path, b"x")
    info = FolderStore._info

    def look_too_late(self: FolderStore, path: Path, name: str) -> FileInfo:
        if name.startswith("step-1/"):
            path.unlink()
        if (tmp_path / "step-2").exists():
            shutil.rmtree(tmp_path / "step-2")
        return info(self, path, name)

    monkeypatch.setattr(FolderStore, "_info", look_too_late)
    assert [file.path for file in store.list_files()] == ["kept"]


def test_a_file_of_a_folder_that_goes_while_it_is_read_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run may be training, and delete old checkpoints."""
    store = open_store(Location(uri=f"file://{tmp_path}/store/"), Settings(), field=FIELD)
    store.write_bytes("x", b"content")
    copy = shutil.copyfile

    def copy_too_late(source: Path, local: Path) -> None:
        source.unlink()
        copy(source, local)

    monkeypatch.setattr(shutil, "copyfile", copy_too_late)
    with pytest.raises(MissingFileError, match=r"spec\.checkpoints\.store\.uri: .*x is not there"):
        store.download("x", tmp_path / "x")
