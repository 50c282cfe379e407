"""The commands that need a cluster, against a real API server, as processes of their own."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from trainwright_cli.errors import ExitCode

from tests.apiserver.cli_space import DEADLINE_SECONDS, Setting, Space, call, read_until
from tests.cluster import Cluster, ClusterSpec
from tests.terminals.window import open_window
from tests.unit.cli.manifests import a_fine_tune_job, a_training_run, command

CRDS = Path(__file__).parents[2] / "crds"
PRINTED = "usage: toolbox"
MASTER_AND_WORKER = ((("master", 0), 0), (("worker", 0), 1))
PROGRESS = {"step": 5, "totalSteps": 20, "percent": 25.0, "loss": 4.25, "tokensPerSecond": 900.0}


@pytest.fixture(scope="module")
def setting() -> Iterator[Setting]:
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root on Linux")
    with Cluster.running(ClusterSpec(name="cli", nodes=1)) as cluster:
        before = call({**os.environ, **cluster.environment()}, "status")
        cluster.kubectl("apply", "--server-side", "-f", str(CRDS))
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        yield Setting(cluster, before)


@pytest.fixture
def space(setting: Setting, request: pytest.FixtureRequest) -> Iterator[Space]:
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:50].strip("-")
    setting.cluster.kubectl("create", "namespace", name)
    space = Space(setting.cluster, name)
    yield space
    for process in space.started:
        process.kill()  # what a failed test leaves; the others have ended
        process.communicate()
    setting.cluster.kubectl("delete", "namespace", name, "--wait=false")


def checkpoint(step: int, **more: Any) -> dict[str, Any]:
    fields = {
        "step": step,
        "uri": f"s3://checkpoints/x/step-{step:06d}/",
        "sizeBytes": 7,
        "savedAt": "2026-01-02T03:04:05Z",
        "verified": True,
    }
    return fields | more


def test_without_our_definitions_it_says_how_to_install(setting: Setting) -> None:
    done = setting.before_install
    assert done.returncode == ExitCode.NOT_FOUND
    assert "install it: helm install trainwright" in done.stderr


def test_status_lists_both_kinds(space: Space) -> None:
    assert "no runs" in space.call("status").stderr
    space.apply(a_training_run("gpt"), a_fine_tune_job("chat"))
    space.patch_status("gpt", phase="Running", progress=PROGRESS)
    lines = space.call("status").stdout.splitlines()
    assert lines[0].split() == ["RUN", "PHASE", "STEP", "LOSS", "TOK/S", "CHECKPOINT", "ETA", "AGE"]
    assert sorted(line.split()[:5] for line in lines[1:]) == [
        ["FineTuneJob/chat", "Pending", "-", "-", "-"],
        ["TrainingRun/gpt", "Running", "5/20", "4.2500", "900"],
    ]
    assert space.namespace in call(space.environment, "status", "-A").stdout


def test_status_prints_objects_for_machines(space: Space) -> None:
    space.apply(a_training_run("gpt"), a_fine_tune_job("chat"))
    assert {item["kind"] for item in space.data("status")["items"]} == {
        "TrainingRun",
        "FineTuneJob",
    }
    one = space.data("status", "gpt")
    assert one["metadata"]["name"] == "gpt"
    assert one["spec"]["budget"]["steps"] == 20
    text = space.call("status", "tr/gpt", "-o", "yaml").stdout
    assert YAML(typ="safe").load(text)["metadata"]["uid"] == one["metadata"]["uid"]


def test_status_of_one_run_tells_everything(space: Space) -> None:
    space.apply(a_training_run("gpt"))
    attempt = {
        "number": 1,
        "job": "gpt-1",
        "startedAt": "2026-01-02T03:04:05Z",
        "outcome": "Failed",
        "cause": "UserError",
        "message": "spec.data.sources[0].uri: got nothing",
    }
    space.patch_status(
        "gpt",
        phase="Failed",
        reason="UserError",
        message="no data",
        attempts=[attempt],
        checkpoints={"items": [checkpoint(10)]},
    )
    text = space.call("status", "gpt").stdout
    for said in ("UserError", "no data", "sources[0].uri: got nothing", "step-000010"):
        assert said in text


def test_a_name_of_both_kinds_must_say_which(space: Space) -> None:
    space.apply(a_training_run("both"), a_fine_tune_job("both"))
    done = space.call("status", "both")
    assert done.returncode == ExitCode.FAILED
    assert "say tr/both or ftj/both" in done.stderr
    assert space.data("status", "ftj/both")["kind"] == "FineTuneJob"


def test_a_run_that_is_not_there_ends_with_3(space: Space) -> None:
    for name in ("status", "watch", "logs", "checkpoints", "suspend"):
        done = space.call(name, "absent")
        assert done.returncode == ExitCode.NOT_FOUND
        assert done.stderr.startswith("error: no TrainingRun or FineTuneJob absent in namespace ")


def test_without_the_right_it_ends_with_4(space: Space, tmp_path: Path) -> None:
    space.cluster.kubectl("create", "serviceaccount", "nobody", "-n", space.namespace)
    token = space.cluster.kubectl("create", "token", "nobody", "-n", space.namespace).strip()
    config = YAML(typ="safe").load(space.cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    done = space.call("status", "--kubeconfig", str(path))
    assert done.returncode == ExitCode.UNREACHABLE
    assert "not allowed to list trainingruns" in done.stderr
    assert "Traceback" not in done.stderr


def test_suspend_and_resume_change_the_spec(space: Space) -> None:
    space.apply(a_training_run("gpt"), a_fine_tune_job("chat"))
    done = space.call("suspend", "gpt", "ftj/chat")
    assert done.stdout.splitlines() == ["TrainingRun/gpt suspended", "FineTuneJob/chat suspended"]
    assert space.data("status", "gpt")["spec"]["suspend"] is True
    assert space.call("suspend", "gpt").stdout == "TrainingRun/gpt is suspended already\n"
    assert space.call("resume", "gpt").returncode == ExitCode.OK
    assert space.data("status", "gpt")["spec"]["suspend"] is False


def test_suspend_changes_all_or_none(space: Space) -> None:
    space.apply(a_training_run("gpt"), a_training_run("done"))
    space.patch_status("done", phase="Succeeded")
    done = space.call("suspend", "gpt", "done")
    assert done.returncode == ExitCode.FAILED
    assert "TrainingRun/done has ended (Succeeded)" in done.stderr
    assert not space.data("status", "gpt")["spec"].get("suspend")


def test_watch_prints_lines_until_the_run_fails(space: Space) -> None:
    space.apply(a_training_run("gpt"))
    process = space.start("watch", "gpt")
    said = read_until(process, "Pending")
    space.patch_status("gpt", phase="Running", progress=PROGRESS)
    said += read_until(process, "step 5/20 (25 %)  loss 4.2500  900 tok/s")
    space.patch_status("gpt", phase="Failed", message="out of luck")
    rest, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == ExitCode.RUN_FAILED
    assert rest.splitlines()[-1] == (
        "error: TrainingRun/gpt failed: out of luck; see `trainwright status gpt`"
    )


def test_watch_shows_devices_and_log_that_the_pods_tell_of(space: Space) -> None:
    def page(rank: int) -> str:
        labels = f'{{gpu="0",uuid="GPU-{rank}",rank="{rank}"}}'
        return (
            f"trainwright_gpu_utilization_ratio{labels} {0.9 - 0.4 * rank}\n"
            f"trainwright_gpu_power_watts{labels} {600 + rank}\n"
        )

    space.apply(a_training_run("gpt"), a_pod(1, "worker", 0, "nonsense"))
    space.apply(*(a_pod(2, *who, "serve", ":8470", page(rank)) for who, rank in MASTER_AND_WORKER))
    space.patch_status("gpt", phase="Running", progress=PROGRESS)
    with open_window(command("watch", "gpt", "-n", space.namespace), **space.environment) as window:
        window.wait_for("rank 0", "90%", "600 W", "rank 1", "50%", "601 W", "gpt-2-master-0")
        window.press("l")
        window.wait_for("Log of gpt-2-master-0")


def test_status_w_prints_a_line_at_every_change(space: Space) -> None:
    space.apply(a_training_run("gpt"))
    process = space.start("status", "gpt", "-w")
    read_until(process, "Pending")
    space.patch_status("gpt", phase="Running", progress=PROGRESS)
    read_until(process, "5/20")
    space.patch_status("gpt", phase="Succeeded")
    rest, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert "Succeeded" in rest
    assert process.returncode == ExitCode.OK


def test_logs_name_the_pods_that_there_are(space: Space) -> None:
    space.apply(a_training_run("gpt"))
    space.patch_status("gpt", phase="Failed")
    done = space.call("logs", "gpt")
    assert done.returncode == ExitCode.NOT_FOUND
    assert "TrainingRun/gpt has no pods" in done.stderr
    space.apply(a_pod(1, "master", 0), a_pod(1, "worker", 0))
    done = space.call("logs", "gpt", "--rank", "5")
    assert done.returncode == ExitCode.NOT_FOUND
    assert "there are gpt-1-master-0 (attempt 1), gpt-1-worker-0 (attempt 1)" in done.stderr


def test_logs_follow_into_the_next_attempt_until_the_run_has_ended(space: Space) -> None:
    space.apply(a_training_run("gpt"), a_pod(1, "master", 0))
    process = space.start("logs", "gpt", "-f")
    read_until(process, PRINTED)
    space.apply(a_pod(2, "master", 0))
    read_until(process, "--- attempt 2, gpt-2-master-0")
    read_until(process, PRINTED)
    space.patch_status("gpt", phase="Failed")
    rest, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, rest) == (ExitCode.OK, "")
    assert PRINTED in space.call("logs", "gpt", "--attempt", "1", "--tail", "1").stdout


def test_checkpoints_lists_what_status_has(space: Space) -> None:
    space.apply(a_training_run("gpt"))
    assert space.call("checkpoints", "gpt").stdout == "TrainingRun/gpt has no checkpoint yet\n"
    space.patch_status("gpt", checkpoints={"items": [checkpoint(20, loss=2.5), checkpoint(10)]})
    lines = space.call("checkpoints", "gpt").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["STEP", "20", "10"]
    assert space.data("checkpoints", "gpt", "--step", "20")[0]["loss"] == 2.5
    assert space.call("checkpoints", "gpt", "--step", "7").returncode == ExitCode.NOT_FOUND


def test_checkpoints_verifies_files_in_s3(space: Space) -> None:
    content = b"weights" * 1000
    good, bad = (put_checkpoint(space, step, content) for step in (10, 20))
    bad.joinpath("0.pt").write_bytes(b"W" + content[1:])
    space.apply(a_training_run("gpt"))
    records = [checkpoint(20), checkpoint(10)]
    for record in records:
        record["uri"] = f"s3://checkpoints/{space.namespace}/gpt/step-{record['step']:06d}/"
    space.patch_status("gpt", checkpoints={"items": records})
    wait_for_s3(space, bad)
    done = space.call("checkpoints", "gpt", "--verify", "--step", "10")
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert done.stdout.splitlines()[-1] == "step 10: whole"
    done = space.call("checkpoints", "gpt", "--verify")
    assert done.returncode == ExitCode.FAILED
    assert "step 20: 0.pt has another checksum" in done.stdout
    assert good.joinpath("manifest.json").exists()


def test_s3_without_credentials_says_what_to_set(space: Space) -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {key: value for key, value in space.environment.items() if key not in names}
    environment |= {"HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
    done = call(environment, "checkpoints", "--uri", "s3://checkpoints/x/")
    assert done.returncode == ExitCode.UNREACHABLE
    assert "check --endpoint and your AWS credentials" in done.stderr


def test_compare_tells_where_runs_stand_and_what_differs(space: Space) -> None:
    space.apply(a_training_run("gpt"), a_training_run("wide", seed=7))
    space.patch_status("gpt", phase="Failed", reason="[red]Why", progress=PROGRESS)
    lines = space.call("compare", "gpt", "wide").stdout.splitlines()
    assert [name.partition("/")[2] for name in lines[0].split()] == ["gpt", "wide"]
    said = " ".join(" ".join(line.split()) for line in lines)
    for expected in (
        "Phase Failed Pending",
        "Reason [red]Why -",
        "Loss 4.2500 -",
        "spec.seed 42 7",
    ):
        assert expected in said
    assert "spec.batch" not in said


def test_names_are_completed(space: Space) -> None:
    space.apply(a_training_run("gpt-one"), a_training_run("gpt-two"), a_training_run("other"))
    words = f"trainwright watch -n {space.namespace} gpt"
    environment = space.environment | {
        "_TRAINWRIGHT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": "4",
    }
    done = call(environment)
    assert sorted(done.stdout.split()) == ["plain,gpt-one", "plain,gpt-two"]


def a_pod(attempt: int, role: str, index: int, *arguments: str) -> dict[str, Any]:
    """Return a pod of the run gpt; without arguments it prints a line and ends."""
    labels = {
        "trainwright.dev/run": "gpt",
        "trainwright.dev/kind": "TrainingRun",
        "trainwright.dev/attempt": str(attempt),
        "training.kubeflow.org/replica-type": role,
        "training.kubeflow.org/replica-index": str(index),
    }
    name = f"gpt-{attempt}-{role}-{index}"
    line = ["/bin/toolbox", *(arguments or ("nonsense",))]
    container = {"name": "pytorch", "image": "localhost/toolbox:1", "command": line}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }


def put_checkpoint(space: Space, step: int, content: bytes) -> Path:
    """Put a whole checkpoint into the S3 server's folder and return it."""
    bucket = space.cluster.layout.s3_folder / "checkpoints"
    folder = bucket / space.namespace / "gpt" / f"step-{step:06d}"
    folder.mkdir(parents=True)
    folder.joinpath("0.pt").write_bytes(content)
    manifest = copy.deepcopy(MANIFEST) | {"step": step}
    digest = hashlib.sha256(content).hexdigest()
    manifest["files"] = [{"path": "0.pt", "sizeBytes": len(content), "sha256": digest}]
    folder.joinpath("manifest.json").write_text(json.dumps(manifest))
    return folder


def wait_for_s3(space: Space, folder: Path) -> None:
    """Wait until the server shows what was put straight into its folder."""
    uri = f"s3://checkpoints/{space.namespace}/gpt/"

    def is_seen() -> bool:
        return folder.name in call(space.environment, "checkpoints", "--uri", uri).stdout

    wait_until(is_seen)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


MANIFEST: dict[str, Any] = {
    "run": "gpt",
    "namespace": "default",
    "uid": "u",
    "attempt": 1,
    "samples": 1,
    "tokens": 1,
    "epoch": 0.1,
    "worldSize": 1,
    "zeroStage": 1,
    "precision": "FP32",
    "savedAt": "2026-01-02T03:04:05Z",
}
