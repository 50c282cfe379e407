"""Old versions in the cache go, and nothing that another clone may use."""

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from tools import forgetting
from tools.forgetting import MAY_BE_USED_SECONDS, forget_old_versions, is_run, note_use

LONG_AGO = 2 * MAY_BE_USED_SECONDS


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cluster, and no program but those that a test says."""
    for name in ("CLUSTERS", "_PROCESSES"):
        monkeypatch.setattr(forgetting, name, tmp_path / name)
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def lock_of(entry: Path) -> Path:
    return entry.with_name(f".{entry.name}.lock")


def make(folder: Path, *names: str, age: float = LONG_AGO) -> None:
    """Files, each a second older than the one before."""
    for number, name in enumerate(names):
        (folder / name).touch()
        os.utime(folder / name, times=(time.time() - age - number,) * 2)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_the_newest_two_stay(folder: Path) -> None:
    make(folder, "x-1.tar", "x-2.tar", "x-3.tar", "x-4.tar", "y-1.tar")
    assert sorted(forget_old_versions(folder / "x-1.tar", lock_of)) == ["x-3.tar", "x-4.tar"]
    assert names_in(folder) == {"x-1.tar", "x-2.tar", "y-1.tar"}


def test_the_present_one_stays_whatever_the_clock_says(folder: Path) -> None:
    make(folder, "x-1.tar", "x-2.tar", "x-3.tar", "x-4.tar")
    assert sorted(forget_old_versions(folder / "x-4.tar", lock_of)) == ["x-2.tar", "x-3.tar"]


def test_a_version_in_the_name_makes_no_other_thing_of_it(folder: Path) -> None:
    make(folder, "x-v1.9.4-a.tar", "x-v1.9.3-b.tar", "x-2-c.tar", "x-more-d.tar")
    assert forget_old_versions(folder / "x-v1.9.4-a.tar", lock_of) == ["x-2-c.tar"]


def test_folders_without_a_name_are_versions_of_one_thing(folder: Path) -> None:
    for number in range(3):
        (folder / f"{number}abc").mkdir()
        os.utime(folder / f"{number}abc", times=(time.time() - LONG_AGO - number,) * 2)
    make(folder, "file", ".0abc.lock")
    assert forget_old_versions(folder / "0abc", lock_of) == ["2abc"]
    assert (folder / "file").exists()


def test_what_was_used_lately_stays_however_many(folder: Path) -> None:
    make(folder, *(f"x-{number}.tar" for number in range(9)))
    for path in folder.iterdir():
        assert note_use(path)
    assert forget_old_versions(folder / "x-1.tar", lock_of) == []


def test_what_is_just_made_or_taken_stays(folder: Path) -> None:
    make(folder, "x-1.tar", "x-2.tar", "x-3.tar", ".draft-x-4.tar", ".x-5.tar.partial")
    with (
        lock_of(folder / "x-3.tar").open("w") as taken,
        lock_of(folder / "x-4.tar").open("w") as made,
    ):
        for lock in (taken, made):
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert forget_old_versions(folder / "x-1.tar", lock_of) == [".x-5.tar.partial"]
    assert sorted(forget_old_versions(folder / "x-1.tar", lock_of)) == [".draft-x-4.tar", "x-3.tar"]


def test_what_a_running_cluster_names_stays(folder: Path, nothing_runs: Path) -> None:
    make(folder, "x-1.tar", "x-2.tar", "x-3.tar")
    state = nothing_runs / "CLUSTERS" / "demo" / "state.json"
    state.parent.mkdir()
    state.write_text(json.dumps({"spec": {"images": [str(folder / "x-3.tar")]}}))
    assert forget_old_versions(folder / "x-1.tar", lock_of) == []


def test_what_a_program_runs_from_is_run(folder: Path, nothing_runs: Path) -> None:
    process = nothing_runs / "_PROCESSES" / "12"
    process.mkdir()
    (process / "exe").symlink_to(folder / "kubernetes-a" / "kubelet")
    assert is_run(folder / "kubernetes-a")
    assert not is_run(folder / "kubernetes")


def test_what_may_not_be_deleted_is_no_reason_to_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError

    make(folder, "x-1.tar", "x-2.tar", "x-3.tar", "x-4.tar")
    lock_of(folder / "x-3.tar").mkdir()  # cannot be opened, as a lock of another user
    monkeypatch.setattr(Path, "unlink", refuse)
    assert forget_old_versions(folder / "x-1.tar", lock_of) == []
    assert (folder / "x-3.tar").exists()


def test_what_has_just_been_deleted_does_not_come_back_empty(folder: Path) -> None:
    assert not note_use(folder / "x-1.tar")
    assert names_in(folder) == set()


def test_what_another_clone_deletes_meanwhile_is_passed_over(folder: Path) -> None:
    make(folder, "x-1.tar", "x-2.tar")
    (folder / "x-old.tar").symlink_to("gone")  # listed, but not to be found
    forget_old_versions(folder / "x-1.tar", lock_of)
    assert names_in(folder) == {"x-1.tar", "x-2.tar"}
