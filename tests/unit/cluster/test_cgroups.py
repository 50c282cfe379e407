import errno
import os
from pathlib import Path

import pytest

from tests.cluster import cgroups
from tests.cluster.errors import NotReadyError
from tests.cluster.spec import Layout


@pytest.mark.parametrize(("file", "value"), [("cpu.shares", "4096"), ("cpu.weight", "400")])
def test_a_cluster_goes_before_other_work_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, value: str
) -> None:
    hierarchy = tmp_path / "cpu"
    own = hierarchy / Layout("a").cgroup
    own.mkdir(parents=True)
    (own / file).write_text("the kernel's")
    monkeypatch.setattr(cgroups, "list_hierarchies", lambda: [hierarchy])
    cgroups.create_cgroups(Layout("a"), ["node-1"])
    assert (own / file).read_text() == value
    assert (own / "node-1").is_dir()


def test_a_controller_that_the_kernel_refuses_is_named_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    (tmp_path / "cgroup.subtree_control").touch()
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    monkeypatch.setattr(cgroups, "list_hierarchies", lambda: [tmp_path])
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(NotReadyError, match=r"subtree_control: the kernel refuses .*cpu \(.*busy"):
        cgroups.create_cgroups(Layout("a"), ["node-1"])
