"""Brings what trainers say - reports while they run, last words at their end - into a status; pure."""

from datetime import timedelta
from typing import Any

from trainwright_api.names import ACTIVITY_TRAIN
from trainwright_api.printable import printable_hardware, printable_progress
from trainwright_api.report import RunReport, TerminationMessage
from trainwright_api.status import CheckpointRecord, CheckpointsStatus, Progress, RunStatus

from trainwright_operator.decision import Notice
from trainwright_operator.untrusted import parse_time

MAXIMUM_CHECKPOINTS_KEPT = 10
MAXIMUM_WARNINGS_KEPT = 10
CHECKPOINT_SAVED, TRAINER_WARNING = "CheckpointSaved", "TrainerWarning"
TOLD_BY_TRAINERS = (
    CHECKPOINT_SAVED,
    TRAINER_WARNING,
)  # events that a trainer may cause as it likes
NO_SPEED: dict[str, None] = dict.fromkeys(("tokens_per_second", "mfu", "eta", "eta_seconds"))
CHECKPOINT_NOTICE_EVERY = timedelta(minutes=5)


def merge_report(status: RunStatus, report: RunReport | None) -> RunStatus:
    """Return the status with what the trainer last reported.

    Only the attempt that runs counts: the last words of one that is over tell more than its report.
    """
    if report is None or report.attempt != status.attempt:
        return status
    if status.attempts and status.attempts[-1].ended_at is not None:
        return status
    changes: dict[str, Any] = {"progress": _merge_progress(status.progress, report.progress)}
    if report.hardware is not None:
        changes["hardware"] = printable_hardware(report.hardware)
    if report.checkpoints:
        changes["checkpoints"] = CheckpointsStatus(
            latest=report.checkpoints[0],
            best=report.best_checkpoint,
            items=report.checkpoints[:MAXIMUM_CHECKPOINTS_KEPT],
        )
    elif report.progress.activity == ACTIVITY_TRAIN:
        # It has looked: those of earlier attempts are damaged or gone.
        changes["checkpoints"] = None
    if report.plan is not None:
        changes["plan"] = report.plan
    if report.model is not None:
        changes["model"] = report.model
    if report.warnings:
        before = [text for text in status.warnings if text not in report.warnings]
        changes["warnings"] = [*before, *report.warnings][-MAXIMUM_WARNINGS_KEPT:]
    return status.model_copy(update=changes)


def _merge_progress(known: Progress | None, told: Progress) -> Progress:
    """Return the newer progress; a trainer that starts up has none yet: what was reached before stays."""
    if known is None or told.step or not known.step:
        return printable_progress(told)
    return printable_progress(known.model_copy(update={**NO_SPEED, "activity": told.activity}))


def clear_speed(status: RunStatus) -> RunStatus:
    """Return the status of a run that does not train any more: how fast it was says nothing of now.

    What its devices were like stays for whoever looks for the one to blame; the line that `kubectl get`
    shows of them goes.
    """
    changes: dict[str, Any] = {}
    if status.progress is not None:
        progress = status.progress.model_copy(update=NO_SPEED)
        changes["progress"] = printable_progress(progress)
    if status.hardware is not None:
        changes["hardware"] = status.hardware.model_copy(update={"summary": None})
    return status.model_copy(update=changes)


def merge_termination(status: RunStatus, told: TerminationMessage) -> RunStatus:
    """Return the status with what a pod's last words add to the last report."""
    changes: dict[str, Any] = {}
    known = status.progress
    if told.progress is not None and (known is None or told.progress.step >= known.step):
        changes["progress"] = printable_progress(told.progress)
    if told.model is not None:
        changes["model"] = told.model
    if told.checkpoint is not None:
        changes["checkpoints"] = _merge_checkpoints(status, told.checkpoint, told.checkpoint_steps)
    return status.model_copy(update=changes)


def _merge_checkpoints(
    status: RunStatus, last: CheckpointRecord, steps_left: list[int] | None
) -> CheckpointsStatus:
    """Return the checkpoints with the last one, without those that the trainer has deleted since its report."""
    known = status.checkpoints or CheckpointsStatus()
    if known.latest is None or last.step > known.latest.step:
        known = known.model_copy(update={"latest": last, "items": [last, *known.items]})
    items = [item for item in known.items if steps_left is None or item.step in steps_left]
    return known.model_copy(update={"items": items[:MAXIMUM_CHECKPOINTS_KEPT]})


def tell_of_checkpoint(old: RunStatus, new: RunStatus) -> Notice | None:
    """Return an event about a new checkpoint: of the first one, then of one in five minutes at most."""
    before = old.checkpoints.latest if old.checkpoints else None
    latest = new.checkpoints.latest if new.checkpoints else None
    if latest is None or (before is not None and _slot(before) >= _slot(latest)):
        return None
    return Notice("Normal", CHECKPOINT_SAVED, f"step {latest.step} at {latest.uri}")


def tell_of_warnings(old: RunStatus, new: RunStatus) -> list[Notice]:
    """Return an event for each warning of the trainer that the status did not have."""
    fresh = [text for text in new.warnings if text not in old.warnings]
    return [Notice("Warning", TRAINER_WARNING, text) for text in fresh]


def _slot(checkpoint: CheckpointRecord) -> int:
    saved_at = parse_time(checkpoint.saved_at)
    return int(saved_at.timestamp() / CHECKPOINT_NOTICE_EVERY.total_seconds()) if saved_at else 0
