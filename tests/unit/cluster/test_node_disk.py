import os
import time
from pathlib import Path

from tests.cluster.node_disk import _forget_unused

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
