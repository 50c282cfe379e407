"""`trainwright run --local` from start to end: a fake trainer, real processes, signals and terminals."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pexpect
import pytest
from ruamel.yaml import YAML
from trainwright_cli.errors import CliError, ExitCode
from trainwright_cli.local.folders import Folders
from trainwright_cli.local.locking import hold_lock

from tests.unit.cli.manifests import (
    a_fine_tune_job,
    a_training_run,
    call,
    command,
    environment_with_fake_trainer,
    write,
)
from tests.unit.cli.trainers import DEADLINE_SECONDS, trainers_below, wait_until


def run_local(tmp_path: Path, *manifests: dict[str, Any]) -> list[str]:
    """Return the arguments that train manifests below a folder."""
    return ["run", "-f", write(tmp_path, *manifests), "--local", "--work-dir", str(tmp_path / "w")]


@pytest.fixture
def terminal() -> Iterator[Callable[..., "pexpect.spawn[str]"]]:
    """Start command lines in a pseudo-terminal of 80x24; ends what a failed test leaves."""
    started: list[pexpect.spawn[str]] = []

    def start(*arguments: str) -> "pexpect.spawn[str]":
        program, *rest = command(*arguments)
        environment = environment_with_fake_trainer() | {"TERM": "xterm", "COLUMNS": "80"}
        child = pexpect.spawn(
            program,
            rest,
            env=environment,
            dimensions=(24, 80),
            encoding="utf-8",
            timeout=DEADLINE_SECONDS,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def test_a_run_succeeds_and_says_where_the_model_is(tmp_path: Path) -> None:
    manifest = a_training_run()
    manifest["spec"]["workers"]["env"] = [{"name": "GREETING", "value": "hello from the manifest"}]
    done = call(*run_local(tmp_path, manifest))
    assert done.returncode == ExitCode.OK, done.stderr
    folder = tmp_path / "w" / "checkpoints" / "default" / "stdlib-gpt"
    assert done.stdout.splitlines() == [
        "TrainingRun/stdlib-gpt  Succeeded  step 20/20 (100 %)  loss 4.0000",
        f"model: {folder.as_uri()}/model/",
        "'a'",
        "  before: 'x'",
        "  after:  'b'",
    ]
    assert "checkpoint of step 10 saved, loss 1.0000" in done.stderr
    assert "processes on this machine's" in done.stderr
    assert "plan: ZeRO 1" in done.stderr
    log = tmp_path / "w" / "local" / "default" / "stdlib-gpt" / "trainer.log"
    assert "training stdlib-gpt" in log.read_text()
    assert "hello from the manifest" in log.read_text()
    resolved = json.loads((log.parent / "run.json").read_text())
    assert resolved["workers"]["nodes"] == 1


def test_several_runs_are_trained_one_after_another(tmp_path: Path) -> None:
    model = tmp_path / "w" / "checkpoints" / "default" / "stdlib-gpt" / "model"
    model.mkdir(parents=True)
    job = a_fine_tune_job(baseModel={"run": {"name": "stdlib-gpt"}})
    done = call(*run_local(tmp_path, a_training_run(), job))
    assert done.returncode == ExitCode.OK, done.stderr
    assert [line for line in done.stdout.splitlines() if "Succeeded" in line] == [
        "TrainingRun/stdlib-gpt  Succeeded  step 20/20 (100 %)  loss 4.0000",
        "FineTuneJob/chat  Succeeded  step 20/20 (100 %)  loss 4.0000",
    ]


def test_a_run_that_fails_ends_with_5_and_the_trainers_sentence(tmp_path: Path) -> None:
    done = call(*run_local(tmp_path, a_training_run("fails")), "-o", "json")
    assert done.returncode == ExitCode.RUN_FAILED
    (told,) = json.loads(done.stdout)
    assert (told["outcome"], told["cause"]) == ("Failed", "UserError")
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "error: TrainingRun/fails failed: spec.data.sources[0].uri: got nothing; mend it ("
    )
    assert last.endswith("trainer.log)")


@pytest.mark.parametrize(
    ("output", "load"), [("json", json.loads), ("yaml", YAML(typ="safe").load)]
)
def test_machines_get_one_list_of_all_ends(
    tmp_path: Path, output: str, load: Callable[[str], Any]
) -> None:
    manifests = [a_training_run(name) for name in ("well", "crashes", "never-started")]
    done = call(*run_local(tmp_path, *manifests), "-o", output)
    assert done.returncode == ExitCode.RUN_FAILED
    well, crashed = load(done.stdout)
    assert (well["kind"], well["name"]) == ("TrainingRun", "well")
    assert (well["outcome"], well["model"]["samples"][0]["after"]) == ("Succeeded", "b")
    assert crashed == {
        "kind": "TrainingRun",
        "name": "crashes",
        "namespace": "default",
        "outcome": "Failed",
        "message": "the trainer ended with signal SIGKILL and left no message",
    }


def test_a_trainer_that_crashes_shows_the_end_of_its_log(tmp_path: Path) -> None:
    done = call(*run_local(tmp_path, a_training_run("crashes")))
    assert done.returncode == ExitCode.RUN_FAILED
    assert "Segmentation fault, so to say" in done.stderr
    assert "the trainer ended with signal SIGKILL and left no message" in done.stderr


def test_an_invalid_manifest_starts_nothing(tmp_path: Path) -> None:
    done = call(*run_local(tmp_path, a_training_run(budget={"steps": 0})))
    assert done.returncode == ExitCode.INVALID
    assert "spec.budget.steps: got 0" in done.stderr
    assert not (tmp_path / "w").exists()


def test_a_changed_manifest_does_not_resume(tmp_path: Path) -> None:
    assert call(*run_local(tmp_path, a_training_run())).returncode == ExitCode.OK
    done = call(*run_local(tmp_path, a_training_run(seed=7)))
    assert done.returncode == ExitCode.INVALID
    assert "compared with the last start" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_the_next_start_resumes(tmp_path: Path, number: signal.Signals) -> None:
    arguments = run_local(tmp_path, a_training_run(budget={"steps": 100}))
    slow = environment_with_fake_trainer() | {"STEP_SECONDS": "0.05"}  # it must not end before
    process = subprocess.Popen(command(*arguments), env=slow, stderr=subprocess.PIPE, text=True)
    saved = tmp_path / "w" / "checkpoints" / "default" / "stdlib-gpt" / "step-000010"
    wait_until(saved.exists)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == ExitCode.INTERRUPTED
    match = re.search(r"after step (\d+), which is saved; run the same command to go on", said)
    assert match is not None
    again = call(*arguments)
    assert again.returncode == ExitCode.OK
    assert f"resumed from the checkpoint of step {match[1]}" in again.stderr
    assert trainers_below(tmp_path) == []


def test_a_run_that_trains_here_is_not_started_a_second_time(tmp_path: Path) -> None:
    arguments = run_local(tmp_path, a_training_run("stubborn", budget={"steps": 5000}))
    folders = Folders(tmp_path / "w", "default", "stubborn")
    with subprocess.Popen(
        command(*arguments), env=environment_with_fake_trainer(), stderr=subprocess.DEVNULL
    ) as first:
        wait_until((folders.run_checkpoints / "step-000010").exists)
        beside = call(*arguments)
        first.kill()
    (orphan,) = trainers_below(tmp_path)
    after = call(*arguments)
    os.kill(orphan, signal.SIGKILL)
    holder = f"another process, which may be the trainer {orphan}"
    for refused in (beside, after):
        assert refused.returncode == ExitCode.FAILED
        assert f"{folders.lock_file}: got a lock of {holder}, expected none" in refused.stderr
        assert f"let it save and end with `kill {orphan}`" in refused.stderr

    def is_free() -> bool:
        with suppress(CliError), hold_lock(folders):
            return True
        return False

    wait_until(is_free)  # the kernel closes the files of a killed process a moment after its end


def test_in_a_terminal_a_bar_moves_and_ctrl_c_saves(
    tmp_path: Path, terminal: Callable[..., "pexpect.spawn[str]"]
) -> None:
    child = terminal(*run_local(tmp_path, a_training_run(budget={"steps": 5000})))
    child.expect(r"tr/stdlib-gpt.*Running")
    child.expect(r"━.*\d+/5000")
    child.expect(r"checkpoint of step \d+ saved")
    child.sendintr()
    child.expect("saving a checkpoint before the end; press Ctrl\\+C again to kill it")
    child.expect(r"error: TrainingRun/stdlib-gpt: stopped on request after step \d+")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == ExitCode.INTERRUPTED
    assert trainers_below(tmp_path) == []


def test_in_a_terminal_the_second_ctrl_c_kills(
    tmp_path: Path, terminal: Callable[..., "pexpect.spawn[str]"]
) -> None:
    child = terminal(*run_local(tmp_path, a_training_run("stubborn", budget={"steps": 5000})))
    child.expect(r"━.*\d+/5000")
    child.sendintr()
    child.expect("saving a checkpoint before the end")
    child.sendintr()
    child.expect("killed; what was trained since the last checkpoint is lost")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == ExitCode.INTERRUPTED
    assert trainers_below(tmp_path) == []
