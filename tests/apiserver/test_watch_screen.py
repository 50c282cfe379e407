"""`trainwright watch` in a pseudo-terminal, against a real API server: statuses are written by the test."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from trainwright_api.names import PLURALS
from trainwright_cli.errors import ExitCode

from tests.apiserver.relay import Relay
from tests.cluster import Cluster
from tests.terminals.runs import a_progress, a_status
from tests.terminals.window import Window, open_window
from tests.unit.cli.manifests import a_fine_tune_job, a_training_run, command

NAMESPACE = "watch-screen"
STATUS_PATCH = ("--type=merge", "--subresource=status", "--patch")
SIZES = [(80, 24), (160, 50)]


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Iterator[Cluster]:
    """Two runs in a namespace of their own, one in its third attempt."""
    control_plane.kubectl("create", "namespace", NAMESPACE)
    items = [a_training_run("gpt"), a_fine_tune_job("chat")]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    control_plane.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=text)
    yield control_plane
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(autouse=True)
def fresh(cluster: Cluster) -> None:
    """Before each test the run is the same again."""
    patch_status(cluster, a_status())
    cluster.kubectl(
        *("patch", "tr", "gpt", "-n", NAMESPACE, "--type=merge"),
        *("--patch", json.dumps({"spec": {"suspend": False}})),
    )


def patch_status(cluster: Cluster, status: dict[str, Any], kind: str = "TrainingRun") -> None:
    name = {"TrainingRun": "gpt", "FineTuneJob": "chat"}[kind]
    patch = json.dumps({"status": status})
    cluster.kubectl("patch", PLURALS[kind], name, "-n", NAMESPACE, *STATUS_PATCH, patch)


def is_suspended(cluster: Cluster) -> bool:
    path = "jsonpath={.spec.suspend}"
    return cluster.kubectl("get", "tr", "gpt", "-n", NAMESPACE, "-o", path) == "true"


def row_of(window: Window, text: str) -> int:
    return next(number for number, row in enumerate(window.rows) if text in row)


def watching(
    cluster: Cluster, *arguments: str, columns: int = 80, lines: int = 24
) -> AbstractContextManager[Window]:
    line = command("watch", "-n", NAMESPACE, *arguments)
    return open_window(line, columns, lines, **cluster.environment())


@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_a_run_is_shown_as_its_status_says(cluster: Cluster, columns: int, lines: int) -> None:
    with watching(cluster, "gpt", columns=columns, lines=lines) as window:
        window.wait_for(
            *("tr/gpt  in watch-screen  Running", "attempt 3", "30 %", "step 120/400"),
            *("loss 4.2100", "MFU 41.2%", "4x H100 93%", "worst rank 3", "OutOfMemory"),
            *("step 120 ", "143.1 MiB", "No log: the run has no pods"),
        )
        patch_status(cluster, {"progress": a_progress(160, loss=3.9)})
        window.wait_for("step 160/400", "loss 3.9000", "3.9")
        window.press("q")
        assert window.wait_for_end() == ExitCode.OK
        assert window.is_left_clean
        assert b"TrainingRun/gpt  Running  step 160/400" in window.written


def test_runs_are_moved_through_opened_and_suspended(cluster: Cluster) -> None:
    with watching(cluster) as window:
        window.wait_for("RUN (2)", "tr/gpt", "120/400", "ftj/chat", "Pending")
        window.press("g" if row_of(window, "tr/gpt") < row_of(window, "ftj/chat") else "G")
        window.wait_for("▶ tr/gpt")
        window.press("\rsy")
        window.wait_for("tr/gpt  in watch-screen", "TrainingRun/gpt suspended")
        assert is_suspended(cluster)
        window.press("ry")
        window.wait_for("TrainingRun/gpt resumed")
        assert not is_suspended(cluster)
        window.press("p")
        window.wait_for("Plan of TrainingRun/gpt", "8.25 of 79.6 GiB  fits")


def test_events_and_a_failed_run_are_told_and_its_exit_code_is_5(cluster: Cluster) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "gpt."},
        "type": "Warning",
        "reason": "AttemptFailed",
        "message": "attempt 2: OutOfMemory in gpt-2-worker-0",
        "involvedObject": {"kind": "TrainingRun", "name": "gpt", "namespace": NAMESPACE},
    }
    cluster.kubectl("create", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(event))
    with watching(cluster, "tr/gpt") as window:
        window.wait_for("Events", "AttemptFailed  attempt 2: OutOfMemory")
        why = "UserError: spec.data.sources[0].uri: got nothing"
        patch_status(cluster, {"phase": "Failed", "reason": "UserError", "message": why})
        window.wait_for("Failed (UserError)", why)
        window.press("q")
        assert window.wait_for_end() == ExitCode.RUN_FAILED
        assert b"error: TrainingRun/gpt failed: UserError" in window.written


def test_an_api_server_that_is_away_is_told_and_asked_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    relay = Relay(cluster.state.api_port)
    config = cluster.kubeconfig.read_text()
    direct = f"127.0.0.1:{cluster.state.api_port}"
    assert direct in config
    path = tmp_path / "kubeconfig"
    path.write_text(config.replace(direct, f"127.0.0.1:{relay.port}"))
    with watching(cluster, "gpt", "--kubeconfig", str(path)) as window:
        window.wait_for("step 120/400")
        relay.cut()
        window.wait_for("Trying again, last answer", "no answer from the cluster", "step 120/400")
        relay.mend()
        window.wait_until_gone("Trying again")
        window.press("q")
        assert window.wait_for_end() == ExitCode.OK
    relay.cut()


def test_without_a_terminal_or_with_plain_it_prints_lines(cluster: Cluster) -> None:
    patch_status(cluster, {"phase": "Succeeded"})
    with watching(cluster, "gpt", "--plain") as window:
        assert window.wait_for_end() == ExitCode.OK
    assert b"TrainingRun/gpt  Succeeded  step 120/400 (30 %)" in window.written
    assert b"\x1b[?1049h" not in window.written
    environment = cluster.environment() | {"TERM": "dumb"}
    with open_window(command("watch", "gpt", "-n", NAMESPACE), **environment) as dumb:
        assert dumb.wait_for_end() == ExitCode.OK
    assert b"\x1b" not in dumb.written
