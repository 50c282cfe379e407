"""MLflow runs on a real tracking server: attempts share one run, and a server that is gone hurts nobody."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MLflowRun
from requests import PreparedRequest, Session
from trainwright_api.names import Outcome
from trainwright_api.run import Run
from trainwright_api.tracking import MLflowTracking, Tracking, WandbMode, WandbTracking
from trainwright_trainer.tracking.feed import Feed
from trainwright_trainer.tracking.mlflow_runs import MLflowRuns
from trainwright_trainer.tracking.sink import Ending

from tests.ports import free_port
from tests.trainer.ranks import HANG_SECONDS, launch
from tests.trainer.run_builder import build_run
from tests.trainer.tiny_runs import tiny_run
from tests.trainer.tracking_builder import NOON, build_beginning, build_points


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server on loopback, its data in SQLite.

    It is the application that `mlflow server` runs, without the workers for agents and judges, which
    would need pandas and start for half a minute.
    """
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    code = f"from mlflow.server import app; app.run(host='127.0.0.1', port={port}, threaded=True)"
    environment = os.environ | {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/runs.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "artifacts"),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=log, stderr=log, cwd=folder
        )
    uri = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + HANG_SECONDS
    while not is_up(uri):
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        time.sleep(0.1)
    yield uri
    process.terminate()
    process.wait(HANG_SECONDS)


def is_up(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=2) as answer:  # noqa: S310 - loopback
            return bool(answer.read() == b"OK")
    except OSError:
        return False


def attempt(number: int, uid: str = "uid-1") -> Run:
    return build_run().model_copy(update={"attempt": number, "uid": uid})


def find_runs(uri: str, experiment: str) -> list[MLflowRun]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def test_two_attempts_are_one_run_with_parameters_metrics_and_tags(
    server: str, tmp_path: Path
) -> None:
    tracking = MLflowTracking(tracking_uri=server, experiment="attempts")
    first = MLflowRuns(build_beginning(tmp_path, attempt(1)), tracking)
    first.open()
    first.deliver(build_points([1, 2, 3]))
    first.close(Ending(Outcome.FAILED, 3, []))
    assert [run.info.status for run in find_runs(server, "attempts")] == ["FAILED"]

    second = MLflowRuns(build_beginning(tmp_path, attempt(2), first_step=2), tracking)
    second.open()
    assert [run.info.status for run in find_runs(server, "attempts")] == ["RUNNING"]
    second.deliver(build_points([3, 4], offset=0.5))
    second.close(Ending(Outcome.SUCCEEDED, 4, []))

    (run,) = find_runs(server, "attempts")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    tags = {name: value for name, value in run.data.tags.items() if name.startswith("trainwright.")}
    assert tags == {
        "trainwright.run": "run",
        "trainwright.namespace": "team",
        "trainwright.kind": "TrainingRun",
        "trainwright.uid": "uid-1",
        "trainwright.attempt": "2",
    }
    assert run.data.params["optimizer.learningRate"] == "0.0003"
    assert run.data.params["batch.globalSequences"] == "4"
    history = MlflowClient(tracking_uri=server).get_metric_history(run.info.run_id, "train/loss")
    rows = sorted((row.step, row.value, row.timestamp) for row in history)
    noon = int(NOON)
    assert rows == [
        (1, 1.0, 1000 * (noon + 1)),
        (2, 2.0, 1000 * (noon + 2)),
        (3, 3.0, 1000 * (noon + 3)),
        (3, 3.5, 1000 * (noon + 3)),
        (4, 4.5, 1000 * (noon + 4)),
    ]


def test_a_run_is_tracked_from_its_first_step_to_its_end(server: str, tmp_path: Path) -> None:
    tracking = Tracking(
        mlflow=MLflowTracking(tracking_uri=server, experiment="whole"),
        wandb=WandbTracking(project="lab", mode=WandbMode.OFFLINE),
    )
    launched = launch(tiny_run(tmp_path, steps=6, tracking=tracking), tmp_path / "pod")
    assert launched.wait() == 0, launched.log[-4000:]
    (run,) = find_runs(server, "whole")
    assert run.info.status == "FINISHED"
    history = MlflowClient(tracking_uri=server).get_metric_history(run.info.run_id, "train/loss")
    assert [row.step for row in history] == [1, 2, 3, 4, 5, 6]
    assert list((tmp_path / "store" / "wandb" / "attempt-1").rglob("run-uid-1.wandb"))
    assert list((tmp_path / "store" / "tensorboard").glob("events.*"))
    assert "trainwright_trainer.tracking" not in launched.log


def test_other_runs_have_runs_of_their_own(server: str, tmp_path: Path) -> None:
    tracking = MLflowTracking(tracking_uri=server, experiment="others")
    for uid in ("uid-1", "uid-2"):
        sink = MLflowRuns(build_beginning(tmp_path, attempt(1, uid)), tracking)
        sink.open()
    assert len(find_runs(server, "others")) == 2


def test_a_server_that_is_gone_warns_drops_and_lets_the_run_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = MLflowTracking(tracking_uri=f"http://127.0.0.1:{free_port()}")
    warnings: list[str] = []
    dropped: list[int] = []
    feed = Feed(
        MLflowRuns(build_beginning(tmp_path), tracking),
        warnings.extend,
        lambda _name, count: dropped.append(count),
        first_wait_seconds=0.1,
    )
    feed.start()
    for point in build_points([1, 2, 3]):
        feed.put(point)
    feed.begin_to_close(Ending(Outcome.SUCCEEDED, 3, []))
    feed.wait_closed(HANG_SECONDS)
    assert dropped == [3]
    assert warnings
    assert warnings[0].startswith("tracking by MLflow: MlflowException: ")
    assert warnings[0].endswith("; the run goes on without it")


def test_credentials_come_from_the_mounted_secret(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
    secret = tmp_path / "credentials" / "tracker"
    secret.mkdir(parents=True)
    (secret / "MLFLOW_TRACKING_TOKEN").write_text("a-token\n")
    sent: list[str | None] = []

    def refuse(_session: Session, request: PreparedRequest, **_more: object) -> None:
        sent.append(request.headers.get("Authorization"))
        raise ConnectionError("this is as far as it goes")

    monkeypatch.setattr(Session, "send", refuse)
    tracking = MLflowTracking(tracking_uri=server, credentials_secret="tracker")
    with pytest.raises(Exception, match="as far as it goes"):
        MLflowRuns(build_beginning(tmp_path), tracking).open()
    assert sent == ["Bearer a-token"]
