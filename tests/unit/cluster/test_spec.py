"""What can be asked of a cluster, and what is refused with a clear sentence."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import cluster as clusters
from tests.cluster.cluster import Cluster, describe_difference
from tests.cluster.errors import ClusterError, ClusterExistsError
from tests.cluster.gpus import build_gpu_patch
from tests.cluster.node_config import build_boot_script, build_runtime_spec
from tests.cluster.processes import Process, read_start_time
from tests.cluster.spec import MAX_NODES, ClusterSpec, Layout, Mount, node_address, pod_range
from tests.cluster.state import State, cluster_lock, load_state


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Upper"}, "--name: got 'Upper'"),
        ({"name": "../etc"}, "--name"),
        ({"name": ""}, "--name"),
        ({"name": "a" * 25}, "--name"),
        ({"nodes": 0}, "--nodes: got 0, expected 1 to 20"),
        ({"nodes": 21}, "--nodes: got 21"),
        ({"gpus_per_node": -1}, "--gpus-per-node: got -1"),
    ],
)
def test_bad_spec_is_refused_by_name_and_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(ClusterError, match=message.replace("(", r"\(")):
        ClusterSpec(**options)  # type: ignore[arg-type]


def test_missing_image_is_refused_at_the_start_only() -> None:
    spec = ClusterSpec("a", images=("/no/image.tar",))  # a running cluster's may be gone
    with pytest.raises(ClusterError, match=r"--image: /no/image.tar: got no file there"):
        spec.check_images()


@pytest.mark.parametrize("text", ["", "/tmp", "tmp:/x", "/tmp:x", "/tmp:/usr", "/no/such:/x"])
def test_bad_mount_is_refused(text: str) -> None:
    with pytest.raises(ClusterError, match="--mount"):
        Mount.parse(text)


def test_mount_is_read(tmp_path: Path) -> None:
    assert Mount.parse(f"{tmp_path}:/opt/venv") == Mount(str(tmp_path), "/opt/venv")


def test_spec_survives_the_state_file() -> None:
    mounts, images = (Mount("/tmp", "/x"),), (__file__,)
    spec = ClusterSpec("a", 3, 8, mounts, images, buckets=("one",), node_grace_seconds=40)
    assert ClusterSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_state_survives_its_file_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.cluster.spec.CLUSTERS", tmp_path)
    process = Process("etcd", 7, 8, "/log")
    state = State(ClusterSpec("a"), True, (1, 2), {"etcd": process}, 3, 4)
    (tmp_path / "a").mkdir()
    state.save()
    assert stat.S_IMODE(Layout("a").state_file.stat().st_mode) == 0o600
    assert load_state("a") == state
    assert not state.has_living_owner()


def test_state_of_another_version_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.cluster.spec.CLUSTERS", tmp_path)
    assert load_state("a") is None
    (tmp_path / "a").mkdir()
    Layout("a").state_file.write_text('{"spec": {"name": "a"}, "processes": {}}')
    assert load_state("a") is None


@pytest.mark.parametrize("text", ["", '{"spec": {"na', "null"])
def test_state_that_a_power_cut_left_counts_as_none(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.cluster.spec.CLUSTERS", tmp_path)
    (tmp_path / "a").mkdir()
    Layout("a").state_file.write_text(text)
    assert load_state("a") is None


@pytest.fixture
def removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of clusters that are taken down; nothing is really started or ended."""
    names: list[str] = []
    (tmp_path / "a").mkdir()
    monkeypatch.setattr("tests.cluster.spec.CLUSTERS", tmp_path)
    monkeypatch.setattr("tests.cluster.state.CLUSTERS", tmp_path / "locks")
    monkeypatch.setattr(clusters, "check_machine", lambda: None)
    monkeypatch.setattr(clusters, "ensure_parts", lambda *_: None)
    monkeypatch.setattr(clusters, "remove_cluster", names.append)
    monkeypatch.setattr(clusters.start, "start_cluster", lambda state, _: state)
    return names


def test_a_cluster_that_was_begun_while_one_waited_for_the_lock_is_not_taken_down(
    removed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ClusterSpec("a")

    @contextmanager
    def lock_after_another(name: str) -> Iterator[None]:
        State(spec, owner=(os.getpid(), read_start_time(os.getpid()))).save()
        yield

    monkeypatch.setattr(clusters, "cluster_lock", lock_after_another)
    with (
        pytest.raises(ClusterExistsError, match=f"belongs to process {os.getpid()}"),
        Cluster.running(spec),
    ):
        pass
    assert removed == []


@pytest.mark.parametrize("is_another", [True, False])
def test_at_the_end_of_a_test_only_its_own_cluster_is_taken_down(
    removed: list[str], is_another: bool
) -> None:
    with Cluster.running(ClusterSpec("a")) as cluster:
        assert removed == ["a"]  # what may have been left
        cluster.state.save()
        if is_another:
            State(ClusterSpec("a"), owner=(1, 1)).save()
    assert removed == (["a"] if is_another else ["a", "a"])


def test_lock_is_had_though_the_last_holder_removes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters = tmp_path / "trainwright" / "clusters"
    removals = iter([clusters])
    original = Path.open

    def open_after_removal(path: Path, mode: str) -> object:
        for folder in removals:
            folder.rmdir()
        return original(path, mode)

    monkeypatch.setattr("tests.cluster.state.CLUSTERS", clusters)
    monkeypatch.setattr(Path, "open", open_after_removal)
    with cluster_lock("a"):
        assert [path.name for path in clusters.iterdir()] == [".a.lock"]
    assert not clusters.parent.exists()


def test_a_node_boots_from_a_cache_whose_path_has_spaces() -> None:
    script = build_boot_script(Path("/node"), Path("/root"), Path("/my cache/toolbox"))
    assert script.splitlines()[-1] == "exec '/my cache/toolbox' pause"


def test_difference_names_what_differs_and_the_way_out() -> None:
    said = describe_difference(ClusterSpec("a", 1), ClusterSpec("a", 2, images=("/a.tar",)))
    assert "nodes=1 (asked: 2)" in said
    assert "down --name a" in said
    assert "gpus" not in said
    assert "images" not in said  # it gets those


def test_addresses_of_nodes_and_pods_are_disjoint() -> None:
    names = [f"node-{i}" for i in range(1, MAX_NODES + 1)]
    node_networks = {node_address(name).rpartition(".")[0] for name in names}
    pod_networks = {pod_range(name).removesuffix(".0/24") for name in names}
    assert len(pod_networks) == len({node_address(name) for name in names}) == MAX_NODES
    assert not node_networks & pod_networks


def test_runtime_spec_gets_read_only_mounts_and_loses_limits() -> None:
    base = {"process": {"rlimits": [1], "args": ["x"]}, "mounts": [{"destination": "/proc"}]}
    spec = build_runtime_spec(base, [Mount("/a", "/b")])
    assert spec["process"] == {"args": ["x"]}
    assert [mount["destination"] for mount in spec["mounts"]] == ["/proc", "/b"]
    assert "ro" in spec["mounts"][1]["options"]
    assert len(base["mounts"]) == 1


@pytest.mark.parametrize(
    ("capacity", "allocatable", "patch"),
    [
        ({}, {}, None),
        ({"cpu": "2"}, {"cpu": "2"}, "needed"),
        ({"nvidia.com/gpu": "4"}, {"nvidia.com/gpu": "0"}, "needed"),
        ({"nvidia.com/gpu": "4"}, {"nvidia.com/gpu": "4"}, None),
    ],
)
def test_gpus_are_patched_where_they_lack(
    capacity: dict[str, str], allocatable: dict[str, str], patch: str | None
) -> None:
    node = {"status": {"capacity": capacity, "allocatable": allocatable}}
    gpus = {"nvidia.com/gpu": "4"}
    expected = {"capacity": gpus, "allocatable": gpus} if patch else None
    assert build_gpu_patch(node, 4) == expected
