"""The operator ends between particular writes, or what it needs is not there: nothing is lost.

To stop it between two writes, the right to the second is taken away; it cannot go on, is killed and
started anew with its right.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trainwright_api.names import Phase
from trainwright_operator.cluster import ClusterClient
from trainwright_operator.operator_metrics import OperatorMetrics

from tests.apiserver.operator_process import OperatorProcess, grant_rights, running_operator
from tests.apiserver.played_cluster import JOB_GROUP, PlayedCluster, training_run
from tests.apiserver.test_operator import LOST_PEER, is_going, succeed
from tests.apiserver.waiting import wait_for
from tests.cluster import Cluster
from tests.cluster.kubeflow import pytorch_job_definition
from tests.manifests.orphans import PREFIX, build_orphans

PYTORCH_JOBS = "pytorchjobs.kubeflow.org"


@pytest.fixture(scope="module")
def shared_operator(operator_plane: Cluster) -> Iterator[OperatorProcess]:
    with running_operator(operator_plane) as process:
        yield process


@pytest.fixture
def operator(shared_operator: OperatorProcess) -> OperatorProcess:
    """The operator of this file's tests; one that an earlier test ended is started again."""
    if shared_operator.process is None:
        shared_operator.start()
    return shared_operator


@pytest.fixture
def no_other_operator(shared_operator: OperatorProcess) -> None:
    """For tests that start one with settings of its own."""
    shared_operator.kill()


def kill_without(operator: OperatorProcess, cluster: Cluster, *rights: tuple[str, str]) -> None:
    """Kill it once it has been refused what it has no right to, then start it with all rights."""
    resource, verb = rights[0]
    refused = f'code="403",verb="{verb.upper()}"'
    wait_for(f"{verb} {resource} is refused", lambda: refused in operator.ask("/metrics")[1], 20)
    operator.kill()
    grant_rights(cluster)
    operator.start()


def test_killed_between_the_job_and_the_status(
    operator_plane: Cluster, operator: OperatorProcess, place: PlayedCluster
) -> None:
    right = ("trainingruns/status", "patch")
    grant_rights(operator_plane, without=[right])
    run = place.create(training_run("half"))
    pods = place.start(run)
    assert "status" not in place.read(run)
    kill_without(operator, operator_plane, right)
    place.wait_for_phase(run, Phase.RUNNING)
    succeed(place, pods)
    status = place.wait_for_phase(run, Phase.SUCCEEDED)
    assert [attempt["number"] for attempt in status["attempts"]] == [1]


def test_killed_between_the_status_and_the_deletion(
    operator_plane: Cluster, operator: OperatorProcess, place: PlayedCluster
) -> None:
    run = place.create(training_run("torn"))
    master, worker = place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)
    right = ("pytorchjobs", "delete")
    grant_rights(operator_plane, without=[right])
    place.end_pod(worker, 137, reason="OOMKilled")
    place.end_pod(master, 1, words=LOST_PEER)
    place.wait_for_phase(run, Phase.RESTARTING)
    kill_without(operator, operator_plane, right)
    pods = place.start(run, attempt=2)
    first = place.read(run)["status"]["attempts"][0]
    assert (first["cause"], first["pod"]) == ("OutOfMemory", worker)
    assert set(place.pods()) == set(pods)


def test_killed_while_all_goes_well_it_leaves_the_attempt_alone(
    operator: OperatorProcess, place: PlayedCluster
) -> None:
    run = place.create(training_run("calm"))
    pods = place.start(run)
    before = place.wait_for_phase(run, Phase.RUNNING)
    for _ in range(3):
        operator.kill()
        operator.start()
        status = place.read(run)["status"]
        assert (status["phase"], status["attempts"]) == ("Running", before["attempts"])
    operator.kill()
    succeed(place, pods)
    operator.start()
    place.wait_for_phase(run, Phase.SUCCEEDED)


def test_a_pod_that_vanished_while_it_was_away_is_noticed(
    operator: OperatorProcess, place: PlayedCluster
) -> None:
    run = place.create(training_run("robbed"))
    place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)
    operator.kill()
    place.delete_job("robbed-1")
    wait_for("all pods are gone", lambda: not place.pods_left(), 20)
    operator.start()
    place.start(run, attempt=2, seconds=30)
    first = place.read(run)["status"]["attempts"][0]
    assert first["cause"] == "Infrastructure"


def test_an_attempt_that_ended_and_lost_its_pods_while_it_was_away_is_tried_again(
    operator: OperatorProcess, place: PlayedCluster
) -> None:
    run = place.create(training_run("unseen"))
    pods = place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)
    operator.kill()
    for pod in pods:
        place.end_pod(pod, 1)
        place.core.delete_namespaced_pod(pod, place.namespace, grace_period_seconds=0)
    place.fail_job("unseen-1")
    operator.start()
    place.start(run, attempt=2, seconds=30)
    first = place.read(run)["status"]["attempts"][0]
    assert first["cause"] == "Infrastructure"
    assert "its pods were gone" in first["message"]


def wait_for_garbage_collector(place: PlayedCluster) -> None:
    for orphan in build_orphans():
        place.core.create_namespaced_config_map(place.namespace, orphan)

    def orphans() -> list[str]:
        found = place.core.list_namespaced_config_map(place.namespace).items
        return [item.metadata.name for item in found if item.metadata.name.startswith(PREFIX)]

    wait_for("orphans are collected", lambda: not orphans(), 60, orphans)


def test_deletion_waits_for_no_operator(operator: OperatorProcess, place: PlayedCluster) -> None:
    wait_for_garbage_collector(place)
    run = place.create(training_run("deleted"))
    place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)
    operator.stop()
    place.delete(run)
    wait_for("all is gone", lambda: not (place.read(run) or place.jobs() or place.pods_left()), 10)
    config_maps = place.core.list_namespaced_config_map(place.namespace).items
    assert not [c for c in config_maps if c.metadata.name.startswith("deleted")]


def test_a_run_of_the_same_name_never_gets_the_status_of_a_deleted_one(
    operator: OperatorProcess, place: PlayedCluster
) -> None:
    first = place.create(training_run("again"))
    place.start(first)
    place.wait_for_phase(first, Phase.RUNNING)
    place.delete(first)
    second = place.create(training_run("again", suspend=True))
    place.wait_for_phase(second, Phase.SUSPENDED)
    wait_for("the first's pods are gone", lambda: not place.pods_left(), 20)
    status = place.read(second)["status"]
    assert (status["phase"], status["attempts"]) == ("Suspended", [])


def test_a_status_decided_for_what_is_not_there_any_more_is_not_written(
    operator: OperatorProcess,
    place: PlayedCluster,
    operator_plane: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(default, str(operator_plane.kubeconfig))
    calls = ClusterClient(1, OperatorMetrics("test"))
    first = place.create(training_run("stale", suspend=True))
    place.wait_for_phase(first, Phase.SUSPENDED)
    told = {"message": "of a version that is gone"}
    assert asyncio.run(calls.write_status(first, told)) is None
    latest = asyncio.run(calls.read_run(first))
    assert latest is not None
    assert latest["status"]["phase"] == "Suspended"
    place.delete(first)
    place.create(training_run("stale", suspend=True))
    assert asyncio.run(calls.write_status(latest, told)) is None
    assert asyncio.run(calls.read_run(latest)) is None


def test_warnings_are_found_by_uid_and_by_reason_newest_first(
    place: PlayedCluster, operator_plane: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(default, str(operator_plane.kubeconfig))
    calls = ClusterClient(1, OperatorMetrics("test"))

    def post(uid: str, reason: str, minute: int, type_: str = "Warning") -> None:
        about = {"kind": "Pod", "name": "p", "namespace": place.namespace, "uid": uid}
        event = {
            "metadata": {"name": f"p.{minute}"},
            "involvedObject": about,
            "type": type_,
            "reason": reason,
            "message": f"at {minute}",
            "lastTimestamp": f"2026-01-01T12:{minute}:00Z",
        }
        place.core.create_namespaced_event(place.namespace, event)

    post("a", "FailedMount", 10)
    post("a", "BackOff", 30)
    post("b", "FailedMount", 20)
    post("a", "Pulled", 40, "Normal")

    def find(selector: str) -> list[str]:
        found = asyncio.run(calls.fetch_warnings(place.namespace, selector))
        return [f"{event.uid} {event.message}" for event in found]

    assert find("involvedObject.uid=a") == ["a at 30", "a at 10"]
    assert find("involvedObject.kind=Pod,reason=FailedMount") == ["b at 20", "a at 10"]


def test_a_config_map_and_a_job_of_somebody_else_are_left_alone_and_the_run_says_so(
    operator: OperatorProcess, place: PlayedCluster
) -> None:
    config_map = {"metadata": {"name": "taken-1"}, "data": {"theirs": "kept"}}
    place.core.create_namespaced_config_map(place.namespace, config_map)
    spec = {"Master": {"replicas": 1, "template": {"spec": {"containers": []}}}}
    theirs = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "taken-1"},
        "spec": {"pytorchReplicaSpecs": spec},
    }
    place.custom.create_namespaced_custom_object(*JOB_GROUP, place.namespace, "pytorchjobs", theirs)
    run = place.create(training_run("taken"))
    status = place.wait_for_status(
        run, "the name is in use", lambda status: status["reason"] == "NameInUse", 30
    )
    assert 'configmaps "taken-1" already exists' in status["message"]
    found = place.core.read_namespaced_config_map("taken-1", place.namespace)
    assert (found.data, found.metadata.labels) == ({"theirs": "kept"}, None)
    place.core.delete_namespaced_config_map("taken-1", place.namespace)
    place.wait_for_status(run, "the job's name is in use", lambda s: "pytorchjobs" in s["message"])
    (job,) = place.jobs()
    assert job["spec"]["pytorchReplicaSpecs"] == spec
    place.delete_job("taken-1")
    wait_for("their job is gone", lambda: not [j for j in place.jobs() if not owners(j)], 10)
    place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)


def owners(job: dict[str, Any]) -> list[dict[str, Any]]:
    return list(job["metadata"].get("ownerReferences", ()))


@pytest.fixture
def without_kubeflow(
    operator_plane: Cluster, no_other_operator: None, tmp_path: Path
) -> Iterator[Path]:
    definition = tmp_path / "definition.json"
    definition.write_text(json.dumps(pytorch_job_definition()))
    operator_plane.kubectl("delete", "crd", PYTORCH_JOBS)
    yield definition
    install(operator_plane, definition)


def install(cluster: Cluster, definition: Path) -> None:
    cluster.kubectl("apply", "--server-side", "-f", str(definition))
    kinds = ("api-resources", "--api-group=kubeflow.org", "--output=name")
    wait_for("the kind is served", lambda: PYTORCH_JOBS in cluster.kubectl(*kinds), 30)


@pytest.mark.parametrize("is_namespaced", [False, True], ids=["all namespaces", "one namespace"])
def test_without_the_kind_of_kubeflow_a_run_waits_and_says_so(
    operator_plane: Cluster, without_kubeflow: Path, is_namespaced: bool
) -> None:
    name = f"no-kubeflow-{is_namespaced}".lower()
    with PlayedCluster.named(operator_plane, name) as place:
        environment = {"TRAINWRIGHT_NAMESPACES": place.namespace if is_namespaced else ""}
        with running_operator(operator_plane, **environment):
            run = place.create(training_run("early"))
            status = place.wait_for_phase(run, Phase.PENDING)
            assert status["reason"] == "MissingPyTorchJobKind"
            assert "install the Kubeflow training operator" in status["message"]

            install(operator_plane, without_kubeflow)
            pods = place.start(run, seconds=30)
            place.wait_for_phase(run, Phase.RUNNING)
            place.end_pod(pods[1], 137)
            succeed(place, place.start(run, attempt=2, seconds=30))
            place.wait_for_phase(run, Phase.SUCCEEDED)


def test_other_namespaces_are_left_alone(operator_plane: Cluster, no_other_operator: None) -> None:
    with (
        PlayedCluster.named(operator_plane, "served") as served,
        PlayedCluster.named(operator_plane, "foreign") as foreign,
        running_operator(operator_plane, TRAINWRIGHT_NAMESPACES=served.namespace),
    ):
        theirs = foreign.create(training_run("theirs"))
        ours = served.create(training_run("ours"))
        served.start(ours)
        served.wait_for_phase(ours, Phase.RUNNING)
        assert "status" not in foreign.read(theirs)
        assert foreign.jobs() == []


def test_suspending_a_run_that_waits_stops_nothing_and_goes_on_later(
    operator: OperatorProcess, place: PlayedCluster
) -> None:
    run = place.create(training_run("idle", suspend=True))
    status = place.wait_for_phase(run, Phase.SUSPENDED)
    assert status["attempts"] == []
    assert place.jobs() == []
    place.change(run, suspend=False)
    place.start(run)
    place.change(run, suspend=True)
    wait_for("pods are told to stop", lambda: all(is_going(place, p) for p in place.pods()), 10)
    place.wait_for_phase(run, Phase.SUSPENDED)
