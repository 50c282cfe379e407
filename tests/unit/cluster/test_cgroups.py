from pathlib import Path

import pytest

from tests.cluster import cgroups
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
