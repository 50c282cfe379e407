"""The cache of images and environments: whole or not at all, and nothing of a killed build."""

import os
from pathlib import Path

import pytest

from tools.images.cache import publish


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path))
    return tmp_path / "images"


def test_a_finished_build_is_all_that_is_there(folder: Path) -> None:
    assert publish(folder / "x-1.tar", 1, Path.touch) == folder / "x-1.tar"
    assert [path.name for path in folder.iterdir()] == ["x-1.tar"]


def test_what_a_killed_build_left_is_gone_after_the_next(folder: Path) -> None:
    def build_and_be_killed(draft: Path) -> None:
        (draft.parent / "pip.conf").touch()
        draft.touch()
        # As SIGKILL would: nothing behind this line is run, and what is there stays.
        draft.parent.rename(folder / "kept")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(folder / "x-1.tar", 1, build_and_be_killed)
    (folder / "kept").rename(folder / ".draft-x-1.tar")
    publish(folder / "x-1.tar", 1, Path.touch)
    assert [path.name for path in folder.iterdir()] == ["x-1.tar"]


def test_old_versions_go_when_one_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    for number in range(4):
        (folder / f"x-{number}.tar").touch()
        os.utime(folder / f"x-{number}.tar", times=(number, number))
    publish(folder / "x-4.tar", 1, Path.touch)
    assert sorted(path.name for path in folder.iterdir()) == ["x-3.tar", "x-4.tar"]
    assert "deleted x-0.tar, not used lately" in capsys.readouterr().err


def test_what_another_build_has_just_deleted_does_not_come_back_empty(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(draft: Path) -> None:
        draft.write_text("whole")

    image, exists = publish(folder / "x-1.tar", 1, write), Path.exists

    def delete_after_a_look(path: Path) -> bool:
        is_there = exists(path)
        image.unlink(missing_ok=True)
        return is_there

    monkeypatch.setattr(Path, "exists", delete_after_a_look)
    assert publish(image, 1, write).read_text() == "whole"
