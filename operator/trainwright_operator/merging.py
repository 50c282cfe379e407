"""Brings what trainers say - reports while they run, last words at their end - into a status; pure."""

from typing import Any

from trainwright_api.printable import printable_hardware, printable_progress
from trainwright_api.report import RunReport, TerminationMessage
from trainwright_api.status import CheckpointsStatus, RunStatus

MAXIMUM_CHECKPOINTS_KEPT = 10


def merge_report(status: RunStatus, report: RunReport | None) -> RunStatus:
    """Return the status with what the trainer last reported; reports of older attempts do not count."""
    if report is None or report.attempt != status.attempt:
        return status
    changes: dict[str, Any] = {"progress": printable_progress(report.progress)}
    if report.hardware is not None:
        changes["hardware"] = printable_hardware(report.hardware)
    if report.checkpoints:
        changes["checkpoints"] = CheckpointsStatus(
            latest=report.checkpoints[0],
            best=report.best_checkpoint,
            items=report.checkpoints[:MAXIMUM_CHECKPOINTS_KEPT],
        )
    if report.plan is not None:
        changes["plan"] = report.plan
    if report.model is not None:
        changes["model"] = report.model
    return status.model_copy(update=changes)


def merge_termination(status: RunStatus, told: TerminationMessage) -> RunStatus:
    """Return the status with what a pod's last words add to the last report."""
    changes: dict[str, Any] = {}
    known = status.progress
    if told.progress is not None and (known is None or told.progress.step >= known.step):
        changes["progress"] = printable_progress(told.progress)
    if told.model is not None:
        changes["model"] = told.model
    checkpoints = status.checkpoints or CheckpointsStatus()
    newest = checkpoints.latest
    if told.checkpoint is not None and (newest is None or told.checkpoint.step > newest.step):
        items = [told.checkpoint, *checkpoints.items][:MAXIMUM_CHECKPOINTS_KEPT]
        changes["checkpoints"] = checkpoints.model_copy(
            update={"latest": told.checkpoint, "items": items}
        )
    return status.model_copy(update=changes)
