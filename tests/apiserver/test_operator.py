"""The operator against a real API server: one run's life, with pods played by the test.

The end-to-end tier runs the same with real kubelets, Kubeflow and trainers; here is what needs exact
moments: which object is written when, and what is left when the operator dies in between.
"""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from trainwright_api import names
from trainwright_api.names import Phase

from tests.apiserver.operator_process import OperatorProcess, running_operator
from tests.apiserver.played_cluster import MASTER_ADDRESS, PlayedCluster, Raw, training_run
from tests.apiserver.waiting import wait_for
from tests.cluster import Cluster

MODEL = {"uri": "s3://runs/x/model/"}
SUCCEEDED = {"outcome": "Succeeded", "model": MODEL}
LOST_PEER = {
    "outcome": "Failed",
    "cause": "Infrastructure",
    "message": "lost contact to another rank (closed)",
}


@pytest.fixture(scope="module")
def operator(operator_plane: Cluster) -> Iterator[OperatorProcess]:
    with running_operator(operator_plane, TRAINWRIGHT_PRICES='{"memory": 1e-6}') as process:
        yield process


def succeed(place: PlayedCluster, pods: list[str]) -> None:
    for pod in reversed(pods):
        place.end_pod(pod, 0, reason="Completed", words=SUCCEEDED)


class Report(BaseHTTPRequestHandler):
    """Serves what a trainer would."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def report() -> Iterator[type[Report]]:
    server = ThreadingHTTPServer((MASTER_ADDRESS, names.TRAINER_PORT), Report)
    Thread(target=server.serve_forever, daemon=True).start()
    yield Report
    server.shutdown()
    server.server_close()


def test_a_run_goes_from_its_manifest_to_its_model(
    place: PlayedCluster, report: type[Report]
) -> None:
    run = place.create(training_run("whole"))
    pods = place.start(run)
    assert pods == ["whole-1-master-0", "whole-1-worker-0"]
    place.wait_for_phase(run, Phase.RUNNING)

    checkpoint = {"step": 50, "uri": "s3://runs/x/step-000050/", "sizeBytes": 9, "verified": True}
    told: Raw = {
        "attempt": 1,
        "sequence": 7,
        "progress": {"step": 57, "totalSteps": 100, "loss": 2.5, "tokensPerSecond": 1000.4},
        "hardware": {"device": "CPU", "accelerators": 2},
        "checkpoints": [checkpoint | {"savedAt": "2026-01-01T12:00:00Z"}],
    }
    report.body = json.dumps(told).encode()
    status = place.wait_for_status(run, "progress", lambda s: (s.get("progress") or {}).get("step"))
    assert status["progress"]["stepText"] == "57/100"
    assert status["hardware"]["summary"] == "2x CPU"
    assert status["checkpoints"]["latest"]["step"] == 50
    assert status["plan"]["parameters"] > 0

    succeed(place, pods)
    status = place.wait_for_phase(run, Phase.SUCCEEDED)
    assert status["model"]["uri"] == MODEL["uri"]
    page = (
        f"https://grafana.example/d/trainwright-run?var-namespace={place.namespace}&var-run=whole&"
    )
    assert status["dashboardUrl"].startswith(page)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Accepted": "True",
        "Running": "False",
        "Suspended": "False",
        "CheckpointReady": "True",
        "Complete": "True",
    }
    wanted = ["Accepted", "AttemptStarted", "Running", "CheckpointSaved", "Succeeded"]
    wait_for("events", lambda: place.events(run) == wanted, 5, lambda: place.events(run))
    assert set(place.pods()) == set(pods), "ended pods stay for their logs"

    metadata = place.read(run)["metadata"]
    assert "finalizers" not in metadata
    assert "annotations" not in metadata
    (job,) = place.jobs()
    assert "annotations" not in job["metadata"]


def test_when_a_pod_falls_the_group_starts_anew(place: PlayedCluster) -> None:
    run = place.create(training_run("fallen"))
    master, worker = place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)
    place.end_pod(worker, 137)
    place.end_pod(master, 1, words=LOST_PEER)
    ended = place.wait_for_status(
        run, "the first attempt has ended", lambda status: status["attempts"][0].get("outcome")
    )
    attempt = ended["attempts"][0]
    assert {key: attempt[key] for key in ("outcome", "cause", "pod", "node", "exitCode")} == {
        "outcome": "Failed",
        "cause": "Infrastructure",
        "pod": worker,
        "node": "played-node",
        "exitCode": 137,
    }

    pods = place.start(run, attempt=2)
    assert set(place.pods()) == set(pods)
    assert [job["metadata"]["name"] for job in place.jobs()] == ["fallen-2"]
    config_maps = place.core.list_namespaced_config_map(place.namespace).items
    ours = [c.metadata.name for c in config_maps if c.metadata.name.startswith("fallen")]
    assert ours == ["fallen-2"]
    succeed(place, pods)
    status = place.wait_for_phase(run, Phase.SUCCEEDED)
    assert [a["outcome"] for a in status["attempts"]] == ["Failed", "Succeeded"]


def test_a_pod_of_a_dead_node_goes_by_force_before_the_next_attempt(place: PlayedCluster) -> None:
    run = place.create(training_run("dead"))
    _, worker = place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)
    place.stuck.add(worker)
    place.core.delete_namespaced_pod(worker, place.namespace, grace_period_seconds=2)
    pods = place.start(run, attempt=2, seconds=40)
    assert set(place.pods()) == set(pods)
    (first, _) = place.read(run)["status"]["attempts"]
    assert (first["cause"], first["pod"]) == ("Infrastructure", worker)


def test_a_user_error_ends_the_run_at_once(place: PlayedCluster) -> None:
    run = place.create(training_run("wrong"))
    master, worker = place.start(run)
    message = "spec.data.sources[0].uri: got s3://data/, expected files; put some there"
    place.end_pod(master, 2, words={"outcome": "Failed", "cause": "UserError", "message": message})
    place.fail_job("wrong-1")
    status = place.wait_for_phase(run, Phase.FAILED)
    assert (status["reason"], status["message"]) == ("UserError", message)
    wait_for("the other pod is told to stop", lambda: is_going(place, worker), 10)
    assert master in place.pods(), "the culprit's log stays"


def is_going(place: PlayedCluster, name: str) -> bool:
    pod = place.pods().get(name)
    return pod is None or pod.metadata.deletion_timestamp is not None


def test_suspend_and_resume(place: PlayedCluster) -> None:
    run = place.create(training_run("paused"))
    place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)
    place.change(run, suspend=True)
    wait_for("the pods are told to stop", lambda: all(is_going(place, p) for p in place.pods()), 10)
    saved = {"step": 33, "uri": "s3://runs/x/step-000033/", "sizeBytes": 9, "verified": True}
    words = {
        "outcome": "Interrupted",
        "message": "stopped on request",
        "checkpoint": saved | {"savedAt": "2026-01-01T12:00:00Z"},
    }
    place.end_deleted_pods(words)
    status = place.wait_for_phase(run, Phase.SUSPENDED)
    assert status["attempts"][0]["outcome"] == "Suspended"
    assert status["checkpoints"]["latest"]["step"] == 33
    assert place.pods() == {}

    place.change(run, suspend=False)
    succeed(place, place.start(run, attempt=2))
    status = place.wait_for_phase(run, Phase.SUCCEEDED)
    assert not status.get("failures")


def test_a_run_that_wastes_its_devices_is_suspended_and_its_cost_goes_on_counting(
    place: PlayedCluster, report: type[Report]
) -> None:
    policy = {"minimumPercent": 40, "minutes": 0.02, "action": "Suspend"}
    run = place.create(training_run("wasting", utilization=policy))
    place.start(run)
    hardware = {"device": "H100", "accelerators": 2, "utilizationPercent": 9}
    told: Raw = {"attempt": 1, "sequence": 1, "hardware": hardware}
    told |= {"progress": {"step": 3, "activity": "train"}, "stepSeconds": {"data": 0.8, "total": 1}}
    report.body = json.dumps(told).encode()
    status = place.wait_for_phase(run, Phase.SUSPENDED)
    (condition,) = [c for c in status["conditions"] if c["type"] == "Underutilized"]
    assert (condition["status"], condition["reason"]) == ("True", "DataWait")
    assert "80% of a step waits for data" in condition["message"]
    assert "`trainwright resume tr/wasting` goes on" in condition["message"]
    assert place.read(run)["spec"]["suspend"] is True
    cost = status["cost"]
    assert cost["soFarUSD"] == pytest.approx(
        cost["usdPerHour"] * cost["heldSeconds"] / 3600, abs=1e-3
    )

    place.change(run, suspend=False)
    pods = place.start(run, attempt=2)
    report.body = json.dumps(
        told | {"attempt": 2, "hardware": hardware | {"utilizationPercent": 90}}
    ).encode()
    succeed(place, pods)
    status = place.wait_for_phase(run, Phase.SUCCEEDED)
    assert status["cost"]["heldSeconds"] >= cost["heldSeconds"]
    wanted = {"Underutilized", "SuspendedUnderutilized", "Suspending", "Suspended", "Resumed"}
    wait_for("events", lambda: wanted <= set(place.events(run)), 5, lambda: place.events(run))


def test_ttl_deletes_the_run_and_its_children(place: PlayedCluster) -> None:
    run = place.create(training_run("brief", ttlSecondsAfterFinished=1))
    succeed(place, place.start(run))

    def leftovers() -> list[Any]:
        place.end_deleted_pods()
        return [place.read(run), place.jobs(), place.pods()]

    # The controller-manager looks for new kinds every 30 seconds only, to collect their children.
    wait_for("all is gone", lambda: not any(leftovers()), 60, leftovers)


def test_a_job_waits_for_the_run_that_it_starts_from(place: PlayedCluster) -> None:
    spec = training_run("x")["spec"]
    child = {
        "apiVersion": names.API_VERSION,
        "kind": names.FINE_TUNE_JOB,
        "metadata": {"name": "child"},
        "spec": {
            **{key: spec[key] for key in ("budget", "batch", "workers", "checkpoints")},
            "baseModel": {"run": {"name": "parent"}},
            "method": {"sft": {}},
            "data": {
                "sources": [{"uri": "s3://chat/", "format": "Messages"}],
                "sequenceLength": 64,
            },
        },
    }
    place.create(child)
    status = place.wait_for_phase(child, Phase.PENDING)
    assert status["reason"] == "WaitingForRun"
    assert "TrainingRun/parent" in status["message"]

    parent = place.create(training_run("parent"))
    succeed(place, place.start(parent))
    succeed(place, place.start(child))
    place.wait_for_phase(child, Phase.SUCCEEDED)


def test_two_kinds_of_one_name_do_not_share_pods(place: PlayedCluster) -> None:
    run = place.create(training_run("same"))
    place.start(run)
    spec = training_run("x")["spec"]
    other = {
        "apiVersion": names.API_VERSION,
        "kind": names.FINE_TUNE_JOB,
        "metadata": {"name": "same"},
        "spec": {
            **{key: spec[key] for key in ("budget", "batch", "workers", "checkpoints")},
            "baseModel": {"uri": "s3://models/"},
            "method": {"sft": {}},
            "data": {
                "sources": [{"uri": "s3://chat/", "format": "Messages"}],
                "sequenceLength": 64,
            },
        },
    }
    place.create(other)
    status = place.wait_for_phase(other, Phase.FAILED)
    assert status["reason"] == "NameTaken"
    assert place.wait_for_phase(run, Phase.RUNNING)["attempt"] == 1


def test_its_own_server_tells_of_health_and_work(
    place: PlayedCluster, operator: OperatorProcess
) -> None:
    run = place.create(training_run("measured"))
    place.start(run)
    place.wait_for_phase(run, Phase.RUNNING)
    assert operator.ask("/healthz") == (200, "ok\n")
    line = f'trainwright_operator_runs{{kind="TrainingRun",phase="Running",run_namespace="{place.namespace}"}} 1.0'
    wait_for("the run is counted", lambda: line in operator.ask("/metrics")[1], 5)
    text = operator.ask("/metrics")[1]
    assert 'trainwright_operator_api_calls_total{code="200",verb="PATCH"}' in text
    assert 'code="403"' not in text, "a right is missing"
    assert operator.ask("/other")[0] == 404
