"""What a Store promises, shown for each kind of store that can be written."""

import os
from pathlib import Path

import numpy as np
import pytest
from trainwright_api.data import Location
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import MissingFileError, Store, open_store

from tests.trainer.s3_server import S3Server, s3_server, settings

__all__ = ["s3_server", "settings"]


@pytest.fixture(params=["s3", "file", "pvc"])
def location(
    request: pytest.FixtureRequest, s3_server: S3Server, settings: Settings, tmp_path: Path
) -> Location:
    """The location of an empty folder of its own."""
    if request.param == "s3":
        s3_server.bucket("contract")
        return s3_server.location(f"s3://contract/{tmp_path.name}/")
    if request.param == "pvc":
        (settings.volumes_folder / "claim").mkdir()
        return Location(uri="pvc://claim/folder")
    return Location(uri=f"file://{tmp_path}/store/")


@pytest.fixture
def store(location: Location, settings: Settings) -> Store:
    return open_store(location, settings, field="spec.checkpoints.store")


def at(location: Location, path: str) -> Location:
    return location.model_copy(update={"uri": f"{location.uri.rstrip('/')}/{path}"})


def test_what_is_written_is_listed_and_read(store: Store) -> None:
    contents = {"b.txt": b"two", "a/x": b"", "a/y z/é": b"one"}
    for path, content in contents.items():
        store.write_bytes(path, content)
    assert [(file.path, file.size_bytes) for file in store.list_files()] == [
        ("a/x", 0),
        ("a/y z/é", 3),
        ("b.txt", 3),
    ]
    assert {path: store.read_bytes(path) for path in contents} == contents


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("a", ["a/1", "a/b/2"]),
        ("a/b", ["a/b/2"]),
        ("a/1", ["a/1"]),
        ("a/", ["a/1", "a/b/2"]),
        ("no", []),
    ],
)
def test_a_prefix_is_a_file_or_a_folder_never_part_of_a_name(
    store: Store, prefix: str, expected: list[str]
) -> None:
    for path in ("a/1", "a/b/2", "ab/3", "a/11"):
        store.write_bytes(path, b"x")
    found = [file.path for file in store.list_files(prefix)]
    assert found == ([*expected[:1], "a/11", *expected[1:]] if prefix in ("a", "a/") else expected)


def test_nothing_there_is_an_empty_list_and_a_missing_file(store: Store) -> None:
    assert store.list_files() == []
    with pytest.raises(MissingFileError, match=r"nothing\.bin is not there"):
        store.read_bytes("nothing.bin")
    with pytest.raises(MissingFileError):
        store.open("nothing.bin")
    with pytest.raises(MissingFileError):
        store.download("nothing.bin", Path("unused"))
    store.delete(["nothing.bin"])


def test_a_version_changes_with_the_content(store: Store) -> None:
    store.write_bytes("f", b"one")
    before = store.list_files("f")[0]
    store.write_bytes("f", b"two")
    assert store.list_files("f")[0].version != before.version


def test_a_uri_of_a_file_is_a_store_of_one_file(
    store: Store, location: Location, settings: Settings
) -> None:
    store.write_bytes("data/train.jsonl", b"{}")
    store.write_bytes("data/train.jsonl.bak", b"{}")
    one = open_store(at(location, "data/train.jsonl"), settings, field="spec.data.sources[0]")
    assert [(file.path, file.size_bytes) for file in one.list_files()] == [("", 2)]
    assert one.read_bytes() == b"{}"
    assert one.uri_of("") == one.uri
    with one.open() as stream:
        assert stream.read() == b"{}"


def test_large_files_travel_whole_and_streams_seek(store: Store, tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(33 * 2**20)  # three parts of a multipart upload
    (tmp_path / "up").write_bytes(content)
    store.upload(tmp_path / "up", "big.bin")
    store.download("big.bin", tmp_path / "new folder" / "down")
    assert (tmp_path / "new folder" / "down").read_bytes() == content
    with store.open("big.bin") as stream:
        assert stream.seek(-5, os.SEEK_END) == len(content) - 5
        assert stream.read() == content[-5:]
        stream.seek(20_000_000)
        assert stream.read(1000) == content[20_000_000:20_001_000]


def test_deleted_files_are_gone(store: Store) -> None:
    for number in range(3):
        store.write_bytes(f"step/{number}", b"x")
    store.delete([f"step/{number}" for number in range(2)])
    assert [file.path for file in store.list_files()] == ["step/2"]


def test_checking_for_write_access_leaves_nothing(store: Store) -> None:
    store.check_writable()
    assert store.list_files() == []
