"""The embedded cluster's start and end: its bars, and that nothing stays, however it ends."""

import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cluster import Cluster, ClusterError, ClusterSpec, control_plane, down
from tests.cluster.errors import ClusterExistsError, ComponentDiedError
from tests.cluster.processes import find_marked, read_start_time, wait_until
from tests.cluster.spec import Layout
from tests.embedded_cluster.stopwatch import Stopwatch
from tests.embedded_cluster.traces import find_in_cgroups, take_traces

REPOSITORY = Path(__file__).parents[2]
START_BAR_SECONDS = 20
CONTROL_PLANE_BAR_SECONDS = 6  # usually below 4
DOWN_BAR_SECONDS = 3

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the embedded cluster needs root on Linux"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A cluster name of the test's own, of which nothing is there before and after."""
    name = f"life-{zlib.crc32(request.node.name.encode()):08x}"
    down(name)
    yield name
    down(name)


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """A control plane for the tests that leave it as it is, but for namespaces of their own."""
    name = "life-shared"
    down(name)
    yield Cluster.up(a_control_plane(name))
    down(name)


def command(*arguments: str, prefix: Sequence[str] = ()) -> list[str]:
    return [*prefix, sys.executable, "-m", "tests.cluster", *arguments]


def run(*arguments: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    line = command(*arguments, prefix=prefix)
    return subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def a_control_plane(name: str) -> ClusterSpec:
    return ClusterSpec(name, control_plane_only=True, s3=False)


def test_two_nodes_start_and_end_within_their_bars_and_leave_nothing(name: str) -> None:
    before, stopwatch = take_traces(name), Stopwatch(name)
    cluster = Cluster.up(ClusterSpec(name, nodes=2, gpus_per_node=1))
    assert stopwatch.seconds() <= START_BAR_SECONDS
    pod = ["run", "left", "--image=localhost/toolbox:1", "--", "serve", ":80", "x"]
    cluster.kubectl(*pod)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/left", "--timeout=30s")
    assert take_traces(name) - before
    stopwatch = Stopwatch(name)
    cluster.down()
    assert stopwatch.seconds() <= DOWN_BAR_SECONDS
    assert take_traces(name) - before == set()


def test_control_plane_starts_within_its_bar_and_leaves_nothing(name: str) -> None:
    before, stopwatch = take_traces(name), Stopwatch(name)
    with Cluster.running(a_control_plane(name)) as cluster:
        assert stopwatch.seconds() <= CONTROL_PLANE_BAR_SECONDS
        assert "pytorchjobs" in cluster.kubectl("api-resources", "--api-group=kubeflow.org")
    assert take_traces(name) - before == set()


@pytest.mark.parametrize("moment", ["network and credentials", "API server ready"])
def test_start_killed_half_way_is_cleaned_by_down(name: str, moment: str) -> None:
    before = take_traces(name)
    kill_start_at(name, moment)
    assert take_traces(name) - before
    done = run("down", "--name", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is gone" in done.stdout
    assert take_traces(name) - before == set()


def test_start_killed_when_containers_run_already_is_cleaned_by_down(name: str) -> None:
    before = take_traces(name)
    kill_start_at(name, "nodes Ready")
    # The nodes go on without the one who started them.
    inside = wait_until("a container runs", lambda: find_in_cgroups(name), 30)
    assert run("down", "--name", name).returncode == 0
    assert {pid for pid, start in inside.items() if read_start_time(pid) == start} == set()
    assert take_traces(name) - before == set()


def test_start_killed_half_way_is_cleaned_by_the_next_up(name: str) -> None:
    kill_start_at(name, "API server ready")
    left = find_marked(Layout(name).mark)
    cluster = Cluster.up(a_control_plane(name))
    assert not cluster.is_reused
    assert not left.items() & find_marked(Layout(name).mark).items()
    assert cluster.find_faults() == []


def kill_start_at(name: str, moment: str) -> None:
    arguments = ("up", "--name", name, "--nodes", "1")
    with subprocess.Popen(
        command(*arguments), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as starting:
        assert starting.stdout
        assert any(moment in line for line in starting.stdout)
        starting.send_signal(signal.SIGKILL)


def test_component_that_dies_in_the_start_is_named_and_nothing_stays(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = control_plane.build_api_server_command
    wrong = lambda layout: [*build(layout), "--no-such-flag"]  # noqa: E731
    monkeypatch.setattr(control_plane, "build_api_server_command", wrong)
    before, stopwatch = take_traces(name), Stopwatch(name)
    with pytest.raises(ComponentDiedError, match=r"(?s)kube-apiserver ended.*--no-such-flag"):
        Cluster.up(a_control_plane(name))
    assert stopwatch.seconds() < 5
    assert take_traces(name) - before == set()


def test_component_that_dies_later_is_named_by_status_and_up_starts_anew(name: str) -> None:
    first = Cluster.up(a_control_plane(name))
    victim = first.state.processes["kube-controller-manager"]
    victim.kill()
    wait_until("it has ended", first.find_faults, 5)
    last_lines = Path(victim.log).read_text().splitlines()[-3:]
    assert len(last_lines) == 3
    done = run("status", "--name", name)
    assert done.returncode == 1
    assert f"kube-controller-manager has ended; the end of {victim.log}:\n" in done.stdout
    assert "\n".join(last_lines) in done.stdout
    done = run("env", "--name", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert "kube-controller-manager has ended" in done.stderr
    assert f"tests.cluster up --name {name}" in done.stderr
    second = Cluster.up(a_control_plane(name))
    assert not second.is_reused
    assert second.find_faults() == []


def test_second_up_reuses_the_same_and_refuses_another(shared: Cluster) -> None:
    shared.kubectl("create", "namespace", "kept")
    again = Cluster.up(a_control_plane(shared.name))
    assert again.is_reused
    assert "kept" in again.kubectl("get", "namespaces")
    with pytest.raises(ClusterExistsError, match=r"already runs with .*control_plane_only=True"):
        Cluster.up(ClusterSpec(shared.name, nodes=2, s3=False))
    assert shared.find_faults() == []


def test_cluster_of_a_running_test_is_nobody_elses_but_a_leftover_is_replaced(name: str) -> None:
    with Cluster.running(a_control_plane(name)) as one:
        with (
            pytest.raises(ClusterExistsError, match=f"belongs to process {os.getpid()}"),
            Cluster.running(a_control_plane(name)),
        ):
            pass
        assert one.find_faults() == []
        one.kubectl("create", "namespace", "of-one")
        one.state.owner = (os.getpid(), 1)  # as of a process that was killed
        one.state.save()
        with Cluster.running(a_control_plane(name)) as two:
            assert "of-one" not in two.kubectl("get", "namespaces")


def test_two_clusters_do_not_touch_each_other(name: str, shared: Cluster) -> None:
    with Cluster.running(a_control_plane(name)) as other:
        shared.kubectl("create", "namespace", "of-one")
        assert "of-one" not in other.kubectl("get", "namespaces")
        down(other.name)
        assert shared.find_faults() == []
        assert "of-one" in shared.kubectl("get", "namespaces")


def test_printed_environment_is_all_that_a_shell_needs(shared: Cluster) -> None:
    lines = run("env", "--name", shared.name).stdout
    kubectl = Path(sys.executable).parent / "kubectl"
    script = f"{lines}\n{kubectl} get --raw /readyz"
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("ok", 0), done.stderr


def test_unknown_cluster_is_said_in_one_sentence() -> None:
    for action in ("env", "status"):
        done = run(action, "--name", "no-such")
        assert done.returncode == 1
        assert "'no-such'" in done.stderr
        assert ".venv/bin/python -m tests.cluster up --name no-such" in done.stderr
    with pytest.raises(ClusterError, match="no cluster 'no-such' runs"):
        Cluster.attach("no-such")


def test_without_root_the_first_line_says_so_and_the_exit_code_is_3() -> None:
    # In a user namespace without a mapping, a process is nobody, whoever started it.
    for action in (("up",), ("down",), ("build",)):
        done = run(*action, prefix=["unshare", "--user"])
        assert done.returncode == 3
        assert done.stderr.splitlines()[0].startswith("the embedded cluster needs root")
        assert done.stdout == ""
