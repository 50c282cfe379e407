"""One local run from start to end: progress on the display, Ctrl+C, the trainer's last words."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

from trainwright_api.names import Outcome, Phase
from trainwright_api.report import RunReport, TerminationMessage
from trainwright_api.run import Run
from trainwright_api.status import CheckpointRecord, Progress

from trainwright_cli.live import Display, LiveRow, NoDisplay
from trainwright_cli.local.trainer import Trainer
from trainwright_cli.stalls import describe_stall, measure_stall

POLL_SECONDS = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ANSWERS = {
    1: "saving a checkpoint before the end; press Ctrl+C again to kill it",
    2: "killed; what was trained since the last checkpoint is lost",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ended: what the trainer said, and whether the user stopped it."""

    outcome: Outcome
    message: str
    was_interrupted: bool
    termination: TerminationMessage | None
    report: RunReport | None

    @property
    def progress(self) -> Progress:
        """The last that is known of the training."""
        if self.termination and self.termination.progress:
            return self.termination.progress
        return self.report.progress if self.report else Progress()


class Interrupts:
    """Counts Ctrl+C (and SIGTERM); each is answered once."""

    def __init__(self) -> None:
        self.received = 0
        self.answered = 0

    def take(self) -> int:
        """Return how many there were if there is a new one, else 0."""
        if self.received == self.answered:
            return 0
        self.answered = self.received
        return self.received


def follow(trainer: Trainer, run: Run, display: Display) -> Ending:
    """Show the trainer's progress until it has ended.

    The first Ctrl+C lets it save a checkpoint and end, the second kills it. A display that can show no
    more, as when the terminal or what it was piped into has gone, counts as the first.
    """
    title, shown = f"{run.kind}/{run.name}", Shown()
    with _counted_interrupts() as interrupts:
        while trainer.process.poll() is None:
            presses = interrupts.take()
            if presses > 1:
                trainer.kill()
            elif presses == 1:
                trainer.interrupt()
            try:
                if presses:
                    display.say(_ANSWERS[min(presses, 2)])
                if presses > 1:
                    break
                shown.update(trainer.fetch_report(), display)
                is_ending = interrupts.received > 0
                display.show([_row(title, shown.report, datetime.now(UTC), is_ending=is_ending)])
            except OSError:
                display = NoDisplay()
                interrupts.received = max(1, interrupts.received)
            time.sleep(POLL_SECONDS)
        return _ending(trainer, shown.report, was_interrupted=interrupts.received > 0)


class Shown:
    """The newest report, and which of its news were told already."""

    def __init__(self) -> None:
        self.report: RunReport | None = None
        self._checkpoints: set[int] = set()
        self._warnings: Sequence[str] = ()
        self._resumed = False

    def update(self, report: RunReport | None, display: Display) -> None:
        """Take a new report and tell its news: resumed, new checkpoints, warnings."""
        if report is None:
            return
        self.report = report
        if report.resumed_from_step is not None and not self._resumed:
            self._resumed = True
            display.say(f"resumed from the checkpoint of step {report.resumed_from_step}")
            self._checkpoints |= {
                item.step for item in report.checkpoints if item.step <= report.resumed_from_step
            }
        for record in sorted(report.checkpoints, key=lambda item: item.step):
            if record.step not in self._checkpoints:
                self._checkpoints.add(record.step)
                display.say(_checkpoint_line(record))
        for warning in find_new(self._warnings, report.warnings):
            display.say(f"warning: {warning}")
        self._warnings = report.warnings


def find_new(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """Return what came to a list of the newest; the oldest may have gone from it meanwhile."""
    tails = (before[num_gone:] for num_gone in range(len(before) + 1))
    kept = next(tail for tail in tails if list(now[: len(tail)]) == list(tail))
    return now[len(kept) :]


def _checkpoint_line(record: CheckpointRecord) -> str:
    loss = f", loss {record.loss:.4f}" if record.loss is not None else ""
    return f"checkpoint of step {record.step} saved{loss}"


def _row(title: str, report: RunReport | None, now: datetime, *, is_ending: bool) -> LiveRow:
    if report is None:
        return LiveRow(title, Phase.STARTING, Progress())
    phase = Phase.RUNNING if report.progress.step else Phase.STARTING
    note = "saving a checkpoint" if is_ending else ""
    # A trainer that saves before its end makes no step, as it should.
    seconds = None if is_ending else measure_stall(report.progress, now)
    return LiveRow(title, phase, report.progress, note, stall=describe_stall(seconds))


def _ending(trainer: Trainer, report: RunReport | None, *, was_interrupted: bool) -> Ending:
    code, said = trainer.process.wait(), trainer.read_termination()
    if said is not None:
        return Ending(said.outcome, said.message, was_interrupted, said, report)
    how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    return Ending(
        Outcome.INTERRUPTED if was_interrupted else Outcome.FAILED,
        f"the trainer ended with {how} and left no message",
        was_interrupted,
        None,
        report,
    )


@contextmanager
def _counted_interrupts() -> Iterator[Interrupts]:
    """Count Ctrl+C, SIGTERM and a closed terminal instead of ending at once.

    Under nohup a closed terminal is nothing to count.
    """
    interrupts = Interrupts()

    def count(number: int, frame: FrameType | None) -> None:
        interrupts.received += 1

    is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [number for number in _SIGNALS if not (is_kept and number is signal.SIGHUP)]
    before = {number: signal.signal(number, count) for number in numbers}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
