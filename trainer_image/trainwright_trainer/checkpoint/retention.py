"""Which checkpoints are deleted after a new one is safe. Pure."""

from collections.abc import Sequence

from trainwright_api.status import CheckpointRecord


def best_of(records: Sequence[CheckpointRecord]) -> CheckpointRecord | None:
    """Return the checkpoint with the lowest validation loss, the newest of equals."""
    measured = [record for record in records if record.validation_loss is not None]
    return min(measured, key=_by_loss, default=None)


def decide_deletions(
    records: Sequence[CheckpointRecord], keep_last: int, keep_best: int
) -> list[CheckpointRecord]:
    """Return what goes: all but the newest, the best, and the last that is verified."""
    newest_first = sorted(records, key=lambda record: -record.step)
    measured = [record for record in newest_first if record.validation_loss is not None]
    kept = {record.step for record in newest_first[:keep_last]}
    kept |= {record.step for record in sorted(measured, key=_by_loss)[:keep_best]}
    verified = next((record.step for record in newest_first if record.verified), None)
    return [record for record in newest_first if record.step not in kept | {verified}]


def _by_loss(record: CheckpointRecord) -> tuple[float, int]:
    loss = record.validation_loss
    return (float("inf") if loss is None or loss != loss else loss, -record.step)
