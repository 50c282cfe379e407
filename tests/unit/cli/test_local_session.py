"""What `run --local` shows of a trainer's reports, with a trainer and a display that are played."""

import errno
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from trainwright_api.report import RunReport, TerminationMessage
from trainwright_api.run import Run
from trainwright_cli.commands import run as command
from trainwright_cli.errors import ExitCode
from trainwright_cli.live import Display, LiveRow
from trainwright_cli.local import session
from trainwright_cli.local.session import Ending
from trainwright_cli.local.trainer import Trainer

from tests.unit.cli.manifests import a_fine_tune_job, a_training_run, invoke, write

RUN = cast(Run, SimpleNamespace(kind="TrainingRun", name="gpt"))
SUCCEEDED = TerminationMessage.model_validate({"outcome": "Succeeded"})


class PlayedTrainer:
    """A trainer that gives these reports and ends; None stands for a signal in between."""

    def __init__(
        self, reports: Sequence[RunReport | None], number: signal.Signals = signal.SIGINT
    ) -> None:
        self.left = list(reports)
        self.process = self
        self.number = number
        self.is_saved = False

    def poll(self) -> int | None:
        return None if self.left else 0

    def wait(self) -> int:
        return 0

    def fetch_report(self) -> RunReport | None:
        report = self.left.pop(0)
        if report is None:
            signal.raise_signal(self.number)
        return report

    def interrupt(self) -> None:
        """It saves, and goes on for the reports that are left."""
        self.is_saved = True

    def read_termination(self) -> TerminationMessage:
        return SUCCEEDED


class Shown(Display):
    """Keeps what it is to show."""

    def __init__(self) -> None:
        self.rows: list[LiveRow] = []
        self.lines: list[str] = []

    def show(self, rows: Sequence[LiveRow]) -> None:
        self.rows += rows

    def say(self, line: str) -> None:
        self.lines.append(line)


def a_report(minutes: float = 0, warnings: Sequence[str] = (), **progress: Any) -> RunReport:
    at = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
    fields = {"step": 5, "totalSteps": 20, "activity": "train", "updatedAt": at} | progress
    return RunReport.model_validate(
        {"attempt": 1, "sequence": 1, "progress": fields, "warnings": list(warnings)}
    )


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Follow a trainer that gives these reports, without pauses."""

    def run(*reports: RunReport | None) -> Shown:
        display = Shown()
        monkeypatch.setattr(session, "POLL_SECONDS", 0)
        session.follow(cast(Trainer, PlayedTrainer(reports)), RUN, display)
        return display

    return run


def test_a_trainer_that_makes_no_steps_is_told(follow: Any) -> None:
    reports = [a_report(), a_report(minutes=5), a_report(minutes=5, activity="export")]
    assert [row.stall for row in follow(*reports).rows] == ["", "no step for 5m", ""]


def test_one_that_saves_before_its_end_is_not_said_to_stand_still(follow: Any) -> None:
    last = follow(None, a_report(minutes=5)).rows[-1]
    assert (last.note, last.stall) == ("saving a checkpoint", "")


def test_every_warning_is_told_once_though_the_report_has_only_the_newest(follow: Any) -> None:
    seen = [["a", "b"], ["a", "b", "c"], ["b", "c", "d"], ["b", "c", "d"], ["x", "y", "z"]]
    lines = follow(*(a_report(warnings=warnings) for warnings in seen)).lines
    assert lines == [f"warning: {name}" for name in "abcdxyz"]


class ClosedPipe(Shown):
    """A display whose reader, such as `head`, has gone."""

    def show(self, rows: Sequence[LiveRow]) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


class KilledTee(Shown):
    """A display whose reader has ended by the same Ctrl+C."""

    def say(self, line: str) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize(
    ("display", "first"), [(ClosedPipe(), a_report()), (KilledTee(), None)], ids=["head", "tee"]
)
def test_a_trainer_that_nobody_looks_on_saves_and_ends(
    display: Display, first: RunReport | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "POLL_SECONDS", 0)
    trainer = PlayedTrainer([first, a_report(), a_report()])
    ending = session.follow(cast(Trainer, trainer), RUN, display)
    assert trainer.is_saved
    assert ending.was_interrupted
    assert trainer.left == []


@pytest.mark.parametrize(("has_nohup", "is_saved"), [(False, True), (True, False)])
def test_under_nohup_a_closed_terminal_ends_nothing(
    has_nohup: bool, is_saved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "POLL_SECONDS", 0)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if has_nohup else signal.SIG_DFL)
    try:
        trainer = PlayedTrainer([None, a_report(), a_report()], signal.SIGHUP)
        ending = session.follow(cast(Trainer, trainer), RUN, Shown())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (trainer.is_saved, ending.was_interrupted) == (is_saved, is_saved)


def test_after_ctrl_c_no_other_run_is_started_though_the_first_one_succeeded(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def train(resource: Any, *_: object) -> Ending:
        trained.append(resource.metadata.name)
        return Ending(SUCCEEDED.outcome, "", True, SUCCEEDED, None)

    monkeypatch.setattr(command, "_train", train)
    monkeypatch.setattr(command, "_check_trainer_is_installed", lambda: None)
    path = write(tmp_path, a_training_run("gpt"), a_fine_tune_job("chat"))
    done = invoke("run", "--local", "-f", path, "--work-dir", str(tmp_path / "w"))
    assert trained == ["gpt"]
    assert done.exit_code == ExitCode.INTERRUPTED
    assert done.stderr == "error: FineTuneJob/chat: not trained; run the same command to go on\n"
    only = write(tmp_path, a_training_run("gpt"))
    assert (
        invoke("run", "--local", "-f", only, "--work-dir", str(tmp_path)).exit_code == ExitCode.OK
    )
