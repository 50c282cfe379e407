"""When a checkpoint is saved, where training goes on from, and what the report says of both.

How files get to the store and back is the business of `checkpoint`; the loop calls this after each
step.
"""

import logging
import time
from dataclasses import dataclass

from trainwright_api import metrics as m
from trainwright_api.history import (
    HISTORY_FILE,
    HistoryRow,
    dump_rows,
    parse_rows,
    rows_until,
    thin_rows,
)
from trainwright_api.report import Manifest

from trainwright_trainer.agreement import on_every_rank
from trainwright_trainer.build import BuiltRun
from trainwright_trainer.checkpoint import StepState
from trainwright_trainer.checkpoint.shard_check import check_shards
from trainwright_trainer.errors import TrainerError
from trainwright_trainer.groups import Group
from trainwright_trainer.preflight import check_other_start
from trainwright_trainer.report import Reporter
from trainwright_trainer.store import MissingFileError

FINAL_SAVE_SECONDS = 3600.0

logger = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """Where training stands: three integers, and what was last measured.

    `samples` is where it is in the data. `validated_step` is the step of `validation_loss`.
    """

    step: int = 0
    samples: int = 0
    tokens: int = 0
    loss: float | None = None
    first_loss: float | None = None
    validation_loss: float | None = None
    validated_step: int | None = None


class Saving:
    """Saves and restores the state of one run; all calls are collective."""

    def __init__(self, built: BuiltRun, group: Group, reporter: Reporter) -> None:
        self._built, self._group, self._reporter = built, group, reporter
        self._run, self._prepared = built.prepared.run, built.prepared
        self._checkpoints = built.prepared.checkpoints
        self._last_save_at = time.monotonic()
        self._last_saved_step = 0
        self._num_warnings_told = 0

    @property
    def last_saved_step(self) -> int:
        """The step of the newest checkpoint that was begun; 0 if none was."""
        return self._last_saved_step

    def resume(self) -> TrainingState:
        """Restore the newest checkpoint that verifies; return the state that training starts from.

        Raises UserError if another run's checkpoint was to be it and none is whole, or none that this run
        can go on from.
        """
        point = self._prepared.resume_point
        fetched = (
            self._checkpoints.fetch(point, self._built.wanted_files) if point is not None else None
        )
        self._tell_warnings()
        if fetched is None:
            return TrainingState()
        manifest, is_own = fetched.point.manifest, fetched.point.is_own
        if fetched.point != point and not is_own:  # the preflight has looked at another one
            check_other_start(self._prepared, fetched.point)
        on_every_rank(self._group, lambda: check_shards(fetched))
        self._built.restore(fetched)
        self._checkpoints.release(fetched)
        rows = rows_until(self._read_history(), manifest.step) if is_own else []
        self._last_saved_step = manifest.step if is_own else 0
        self._reporter.set_start(manifest.step, rows)
        self._report_checkpoints(num_failed=0)
        logger.info("resumed from step %d of %s", manifest.step, fetched.point.uri)
        latest_first: tuple[Manifest | HistoryRow, ...] = (manifest, *reversed(rows))
        measured = next((each for each in latest_first if each.validation_loss is not None), None)
        return TrainingState(
            step=manifest.step,
            samples=manifest.samples,
            tokens=manifest.tokens,
            loss=manifest.loss,
            first_loss=rows[0].loss if rows else None,
            validation_loss=measured.validation_loss if measured else None,
            validated_step=measured.step if measured else None,
        )

    def is_due_by_time(self) -> bool:
        """Whether the minutes between checkpoints have passed; rank 0 decides for all."""
        minutes = self._run.checkpoints.every_minutes
        return (
            self._group.rank == 0
            and minutes is not None
            and time.monotonic() - self._last_save_at >= 60 * minutes
        )

    def is_due(self, step: int, *, by_time: bool) -> bool:
        """Whether to save after this step: it is an n-th one, or the time has come."""
        every = self._run.checkpoints.every_steps
        return by_time or (every is not None and step % every == 0)

    def save_if_due(self, state: TrainingState, *, is_due: bool) -> float:
        """Save if it is due, report what became of earlier saves; return how long training stood still (seconds)."""
        stall = self._save(state) if is_due else 0.0
        self._poll()
        return stall

    def save_last(self, state: TrainingState) -> None:
        """Save the state if it is not saved yet, and return once all ranks know it in the store.

        If it was to be saved before and that failed, it is tried once more: nothing comes after it, and the
        store may be back. Raises StoreError if it could not be saved.
        """
        # No step follows: an upload that takes long, also that of an earlier save, is no rank that hangs.
        self._reporter.heartbeats.rest()
        try:
            if self._last_saved_step == state.step and self._has_failed():
                logger.info("saving step %d once more", state.step)
                self._last_saved_step = 0
            self._save(state)
            self._checkpoints.wait(FINAL_SAVE_SECONDS)
        finally:
            self._poll()  # counts the failure that ends the run, too
        self._group.barrier()  # a rank that ended before rank 0 has written the manifest would end its pod

    def _has_failed(self) -> bool:
        """Whether the save begun last failed; waits for it. Rank 0 knows it of all, and all do alike."""
        failure = self._checkpoints.settle(FINAL_SAVE_SECONDS)
        return self._group.broadcast(failure is not None)

    def write_history(self) -> None:
        """Write the run's measurements beside its checkpoints; that may fail without ending the run."""
        try:
            if self._group.rank == 0:
                self._prepared.store.write_bytes(HISTORY_FILE, self._dump_history())
        except TrainerError as error:
            text = f"history not written: {error}"
            logger.warning("%s", text)
            self._reporter.warn([text])

    def _dump_history(self) -> bytes:
        return dump_rows(thin_rows(self._reporter.history))

    def _save(self, state: TrainingState) -> float:
        if self._last_saved_step == state.step:
            return 0.0
        # A checkpoint is as good as what was measured on it, not as one before it.
        is_measured = state.validated_step == state.step
        step_state = StepState(
            step=state.step,
            samples=state.samples,
            tokens=state.tokens,
            epoch=state.samples / len(self._prepared.data.train),
            facts=self._built.facts,
            loss=state.loss,
            validation_loss=state.validation_loss if is_measured else None,
        )
        beside = {HISTORY_FILE: self._dump_history()} if self._group.rank == 0 else {}
        stall = self._checkpoints.save(step_state, self._built.write_shards, beside)
        self._last_saved_step, self._last_save_at = state.step, time.monotonic()
        self._reporter.metrics.of(m.CHECKPOINT_SECONDS, part="stall").observe(stall)
        return stall

    def _poll(self) -> None:
        """Report the saves that ended since the last call."""
        outcomes = self._checkpoints.poll()
        for outcome in outcomes:
            if outcome.error is not None:
                text = f"checkpoint of step {outcome.step} failed: {outcome.error}"
                logger.warning("%s", text)
                self._reporter.warn([text])
            elif outcome.record is not None and outcome.record.save_seconds is not None:
                seconds = outcome.record.save_seconds
                self._reporter.metrics.of(m.CHECKPOINT_SECONDS, part="save").observe(seconds)
        if outcomes:
            self._tell_warnings()
            num_failed = sum(outcome.error is not None for outcome in outcomes)
            # Rank 0 knows how a save went in all; counted by each pod, one failure would be many.
            self._report_checkpoints(num_failed if self._group.rank == 0 else 0)

    def _report_checkpoints(self, num_failed: int) -> None:
        checkpoints = self._checkpoints
        self._reporter.set_checkpoints(checkpoints.records, checkpoints.best, num_failed=num_failed)

    def _tell_warnings(self) -> None:
        """Publish the manager's warnings that are new."""
        self._reporter.warn(self._checkpoints.warnings[self._num_warnings_told :])
        self._num_warnings_told = len(self._checkpoints.warnings)

    def _read_history(self) -> list[HistoryRow]:
        if self._group.rank != 0:
            return []
        try:
            return parse_rows(self._prepared.store.read_bytes(HISTORY_FILE))
        except (MissingFileError, ValueError):
            return []
