"""The demo without a cluster: both examples through the command line, with a fake trainer."""

import os
import sys
from pathlib import Path

import pexpect
import pytest
from trainwright_cli.local.folders import Folders
from trainwright_cli.local.locking import hold_lock

from demo import local
from demo.console import Console
from demo.errors import DemoError
from demo.manifests import FINE_TUNING, PRETRAINING
from demo.settings import read_settings
from tests.unit.cli.manifests import FAKE_TRAINER
from tests.unit.cli.trainers import DEADLINE_SECONDS, trainers_below
from tools.machine import PROJECT

# The program, on a machine that has the data and can have no cluster.
PROGRAM = """
import sys
from pathlib import Path
from demo import __main__ as program, local

program.find_cluster_obstacle = lambda: "none is wanted"
local.ensure_data = lambda: Path(sys.argv[1])
sys.exit(program.main([]))
"""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the buckets hold, without its content, which only a real trainer reads."""
    data = tmp_path / "data"
    for folder in ("datasets/stdlib", "datasets/chat", "models/smollm2-135m-instruct"):
        (data / folder).mkdir(parents=True)
    monkeypatch.setattr(local, "ensure_data", lambda: data)
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(FAKE_TRAINER))
    return data


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Where the demo keeps what it has trained."""
    return tmp_path / "cache" / "demo" / "runs"


def test_both_examples_are_trained_and_their_folder_is_named(
    runs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert local.run_locally(read_settings({"DEMO_STEPS": "20"}), Console()) == 0
    shown = capfd.readouterr().out
    assert f"TrainingRun/{PRETRAINING}  Succeeded  step 20/20" in shown
    assert f"FineTuneJob/{FINE_TUNING}  Succeeded  step 6/6" in shown  # by its own budget
    assert f"Models and checkpoints: {runs}" in shown
    for name in (PRETRAINING, FINE_TUNING):
        assert (runs / "checkpoints" / "default" / name).is_dir()


def test_a_second_call_trains_afresh_with_other_steps(
    runs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for steps in ("20", "25"):
        settings = read_settings({"DEMO_STEPS": steps, "DEMO_FINE_TUNE": "0"})
        assert local.run_locally(settings, Console()) == 0
    shown = capfd.readouterr()
    assert f"TrainingRun/{PRETRAINING}  Succeeded  step 25/25" in shown.out
    assert "resumed" not in shown.err
    saved = (runs / "checkpoints" / "default" / PRETRAINING).iterdir()
    assert sorted(path.name for path in saved) == ["step-000008", "step-000016", "step-000024"]


def test_nothing_is_deleted_below_a_demo_that_still_trains(runs: Path) -> None:
    folders = Folders(runs, "default", PRETRAINING)
    folders.create()
    with hold_lock(folders), pytest.raises(DemoError, match="got a lock of another process"):
        local.run_locally(read_settings({}), Console())
    assert folders.run_checkpoints.is_dir()


def test_ctrl_c_waits_for_the_trainer_to_save(data: Path, runs: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-c", PROGRAM, str(data)],
        cwd=PROJECT,
        env=os.environ | {"STEP_SECONDS": "1", "TERM": "xterm"},
        dimensions=(24, 200),
        encoding="utf-8",
        timeout=DEADLINE_SECONDS,
    )
    child.expect(r"━.*\d+/98")
    child.sendintr()
    child.expect(r"stopped on request after step \d+, which is saved")
    child.expect(f"demo: stopped; nothing goes on. What is saved stays in {runs} until the next")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert trainers_below(runs) == []


def test_a_run_that_fails_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.sys, "executable", "/bin/false")
    with pytest.raises(DemoError, match=rf"^{PRETRAINING} ended with exit code 1; its message"):
        local.run_locally(read_settings({}), Console())
