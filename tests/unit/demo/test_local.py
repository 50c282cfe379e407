"""The demo without a cluster: both examples through the command line, with a fake trainer."""

from pathlib import Path

import pytest

from demo import local
from demo.console import Console
from demo.errors import DemoError
from demo.manifests import FINE_TUNING, PRETRAINING
from demo.settings import read_settings
from tests.unit.cli.manifests import FAKE_TRAINER


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


def test_both_examples_are_trained_and_their_folder_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert local.run_locally(read_settings({"DEMO_STEPS": "20"}), Console()) == 0
    shown = capfd.readouterr().out
    assert f"TrainingRun/{PRETRAINING}  Succeeded  step 20/20" in shown
    assert f"FineTuneJob/{FINE_TUNING}  Succeeded  step 20/20" in shown
    runs = tmp_path / "cache" / "demo" / "runs"
    assert f"Models and checkpoints: {runs}" in shown
    for name in (PRETRAINING, FINE_TUNING):
        assert (runs / "checkpoints" / "default" / name).is_dir()


def test_a_run_that_fails_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.sys, "executable", "/bin/false")
    with pytest.raises(DemoError, match=rf"^{PRETRAINING} ended with exit code 1; its message"):
        local.run_locally(read_settings({}), Console())
