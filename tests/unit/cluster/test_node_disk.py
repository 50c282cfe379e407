import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster import node_disk
from tests.cluster.errors import NotReadyError
from tests.cluster.node_disk import _forget_unused, copy_disk
from tests.cluster.processes import run_tool

DAY = 24 * 3600.0


def make(folder: Path, name: str, age: float) -> None:
    (folder / name).mkdir()
    os.utime(folder / name, times=(time.time() - age,) * 2)


def test_disks_that_were_not_used_lately_are_forgotten(tmp_path: Path) -> None:
    for number in range(9):
        make(tmp_path, f"disk-{number}", number * DAY / 2)
    make(tmp_path, ".disk-0.lock", DAY)
    make(tmp_path, ".disk-9.partial", 8 * DAY)
    _forget_unused(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".disk-0.lock", *(f"disk-{number}" for number in range(8))}


def test_disks_that_may_just_be_copied_stay_however_many(tmp_path: Path) -> None:
    for number in range(12):
        make(tmp_path, f"disk-{number}", number * 60)
    _forget_unused(tmp_path)
    assert len(list(tmp_path.iterdir())) == 12


def test_what_vanishes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "disk-0", 0)
    (tmp_path / ".disk-1.partial.log").symlink_to("gone")  # listed, but not to be found
    _forget_unused(tmp_path)
    assert (tmp_path / "disk-0").is_dir()


def test_a_disk_is_copied_where_it_cannot_be_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_links(command: Sequence[str | Path]) -> str:
        if "--link" in command:
            target = Path(command[-1])
            target.mkdir()
            raise NotReadyError("cp: cannot create hard link: Invalid cross-device link")
        return run_tool(command)

    monkeypatch.setattr(node_disk, "run_tool", refuse_links)
    disk, target = tmp_path / "disk", tmp_path / "node" / "containerd"
    disk.mkdir()
    (disk / "meta.db").write_text("x")
    copy_disk(disk, target)
    assert [path.name for path in target.iterdir()] == ["meta.db"]
    assert (disk / "meta.db").stat().st_nlink == 1
