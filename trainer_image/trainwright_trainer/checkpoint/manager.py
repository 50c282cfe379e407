"""Saves and finds checkpoints; the training loop's only door to them.

Every rank has a manager. The loop calls it on its main thread; uploads run in a thread of their
own (`uploading`). The store is the truth: what a manager knows, it read there or has just written.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from pathlib import Path
from uuid import uuid4

from trainwright_api.report import Manifest
from trainwright_api.run import Run
from trainwright_api.status import CheckpointRecord

from trainwright_trainer.agreement import on_every_rank, on_rank_0
from trainwright_trainer.checkpoint.fetching import fetch_files, local_folder, remove_local
from trainwright_trainer.checkpoint.finding import (
    RESUME_FIELD,
    STARTS_AGAIN,
    STARTS_ANEW,
    Findings,
    find_checkpoints,
    find_elsewhere,
    not_whole_error,
    open_run_folder,
)
from trainwright_trainer.checkpoint.layout import step_folder
from trainwright_trainer.checkpoint.retention import best_of
from trainwright_trainer.checkpoint.state import (
    FetchedCheckpoint,
    ResumePoint,
    SaveOutcome,
    StepState,
)
from trainwright_trainer.checkpoint.uploading import SaveTask, delete_checkpoint, run_save
from trainwright_trainer.errors import StoreError, TrainerError
from trainwright_trainer.groups import Group
from trainwright_trainer.scratch import full_scratch_error, is_full
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store

logger = logging.getLogger(__name__)


class CheckpointManager:
    """Checkpoints of one run in its folder of the store; every rank has one.

    `records` (newest first), `best` (lowest validation loss), `warnings` and `num_failures` are
    kept on rank 0. One save is in flight at a time.
    """

    def __init__(self, run: Run, store: Store, settings: Settings, group: Group) -> None:
        self.records: list[CheckpointRecord] = []
        self.warnings: list[str] = []
        self.num_failures = 0
        self._run, self._store, self._settings, self._group = run, store, settings, group
        self._findings = Findings()
        self._session = ""
        self._num_saves = 0
        self._stale_steps: set[int] = set()  # in the way of new checkpoints of these steps
        self._in_flight: Future[SaveOutcome] | None = None
        self._outcomes: list[SaveOutcome] = []
        self._last: SaveOutcome | None = None

    @property
    def best(self) -> CheckpointRecord | None:
        """The checkpoint with the lowest validation loss."""
        return best_of(self.records)

    def find_resume(self) -> ResumePoint | None:
        """Return the newest checkpoint whose manifest and files' sizes verify; collective.

        To be called once, before anything else. Own checkpoints come first, then `resumeFrom` of
        the spec. Cleans up what unfinished saves left. Raises UserError if `resumeFrom` names a
        checkpoint that cannot be used.
        """
        self._session = self._group.broadcast(uuid4().hex[:12])
        if self._group.local_rank == 0:
            for name in ("snapshots", "resume"):
                shutil.rmtree(self._settings.scratch_folder / name, ignore_errors=True)
        self._findings = on_rank_0(
            self._group, lambda: find_checkpoints(self._run, self._store, self._settings)
        )
        self._stale_steps = set(self._findings.broken_steps)
        self.warnings += self._findings.warnings
        self.records = [checkpoint.record() for checkpoint in self._findings.own]
        return self._findings.points[0] if self._findings.points else None

    def fetch(
        self,
        point: ResumePoint,
        choose: Callable[[Manifest], Callable[[str], bool]] = lambda _: lambda path: True,
    ) -> FetchedCheckpoint | None:
        """Download the files that this rank wants and verify their SHA-256; collective.

        `choose` tells of a checkpoint which of its files these are, by their paths. A bad file anywhere
        makes all ranks turn to the checkpoint before, with a warning; if none of the run's own is whole, to
        those of `resumeFrom`, from where it began. None if it began at step 0. Ranks of one node share the
        folder and download each file once. Raises UserError if `resumeFrom` has none that is whole either:
        the run was not meant to start from step 0.
        """
        points = self._findings.points
        fetched = self._fetch_first_whole(points[points.index(point) :], choose)
        if fetched is None and self._run.checkpoints.resume_from is not None:
            self.warnings.append(STARTS_AGAIN)
            points = on_rank_0(self._group, lambda: find_elsewhere(self._run, self._settings))
            fetched = self._fetch_first_whole(points, choose)
        if fetched is None:
            self.warnings.append(STARTS_ANEW)
        return fetched

    def _fetch_first_whole(
        self,
        candidates: list[ResumePoint],
        choose: Callable[[Manifest], Callable[[str], bool]],
    ) -> FetchedCheckpoint | None:
        """Fetch the first of these that is whole; None if none is, of other runs' an error."""
        broken: dict[int, str] = {}
        for candidate in candidates:
            folder = local_folder(self._settings.scratch_folder, candidate)
            wanted = choose(candidate.manifest)
            problems = on_every_rank(self._group, partial(self._fetch, candidate, folder, wanted))
            if not any(problems):
                return FetchedCheckpoint(candidate, folder)
            broken[candidate.manifest.step] = why = next(filter(None, problems))
            self._reject(candidate, why, folder)
        if not candidates[0].is_own:
            on_rank_0(self._group, lambda: self._refuse(candidates, broken))
        return None

    def _refuse(self, candidates: list[ResumePoint], broken: dict[int, str]) -> None:
        """Say why no checkpoint of another run can be used: that run may be training and deleting old ones."""
        tried = {candidate.uri for candidate in candidates}
        newer = [p.uri for p in find_elsewhere(self._run, self._settings) if p.uri not in tried]
        if newer:
            raise StoreError(
                f"{RESUME_FIELD}: the checkpoints changed while they were read; {newer[0]} came meanwhile"
            )
        start = self._run.checkpoints.resume_from
        raise not_whole_error(start.uri if start else candidates[0].uri, None, broken)

    def release(self, fetched: FetchedCheckpoint) -> None:
        """Delete the local copy of a checkpoint once every rank has loaded it; collective."""
        self._group.barrier()
        if self._group.local_rank == 0:
            remove_local(fetched.folder)

    def save(
        self,
        state: StepState,
        write_shards: Callable[[Path], None],
        beside: Mapping[str, bytes] | None = None,
    ) -> float:
        """Snapshot to scratch and start the upload; return how long training stood still (seconds).

        Collective. `write_shards(folder)` writes this rank's files; file names must differ between
        ranks, since all end in one folder. `beside` are files for the run's folder, by path; one that
        cannot be written is a warning. Waits first for a save that is still in flight. Raises
        StoreError if scratch is full; how the upload ends, `poll` or `wait` tell.
        """
        started = time.monotonic()
        self._collect(timeout_seconds=None)
        self._clear_way(state.step)
        self._num_saves += 1  # the same on every rank
        snapshot = self._settings.scratch_folder / "snapshots" / step_folder(state.step)
        snapshot /= f"rank-{self._group.rank:05d}"
        self._write_snapshot(snapshot, write_shards)
        stall_seconds = time.monotonic() - started
        task = SaveTask(
            store=self._store,
            step=state.step,
            snapshot=snapshot,
            session=f"{self._session}-{self._num_saves}",  # a step may be saved again
            rank=self._group.rank,
            world_size=self._group.world_size,
            manifest=self._describe(state),
            stall_seconds=stall_seconds,
            keep_last=self._run.checkpoints.keep_last,
            keep_best=self._run.checkpoints.keep_best,
            records=self.records,
            stale_steps=frozenset(self._stale_steps),
            beside=dict(beside or {}),
        )
        self._in_flight = _start(task)
        return stall_seconds

    def poll(self) -> list[SaveOutcome]:
        """Return the saves that ended since the last call; never blocks."""
        if self._in_flight is not None and self._in_flight.done():
            self._collect(timeout_seconds=0)
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def wait(self, timeout_seconds: float) -> None:
        """Wait for the save in flight. Raises StoreError if the last save fails or takes longer."""
        if (error := self.settle(timeout_seconds)) is not None:
            raise StoreError(error)

    def settle(self, timeout_seconds: float) -> str | None:
        """Wait for the save in flight; return how the last save failed, as this rank knows it.

        None if it did not, or none was begun. Raises StoreError if it takes longer.
        """
        try:
            self._collect(timeout_seconds)
        except FutureTimeoutError:
            raise StoreError(
                f"{self._store.field}.uri: the last checkpoint was not saved to {self._store.uri} "
                f"within {timeout_seconds:g} s"
            ) from None
        if self._last is None or self._last.error is None:
            return None
        return f"checkpoint of step {self._last.step}: {self._last.error}"

    def _collect(self, timeout_seconds: float | None) -> None:
        """Take in the outcome of the save in flight, waiting for it."""
        if self._in_flight is None:
            return
        outcome = self._in_flight.result(timeout_seconds)
        self._in_flight = None
        self._last = outcome
        self._outcomes.append(outcome)
        self.warnings += outcome.warnings
        if outcome.error is not None:
            self.num_failures += 1
            self._stale_steps.add(outcome.step)
        elif outcome.record is not None:
            self.records = outcome.kept
            self._stale_steps = {step for step in self._stale_steps if step > outcome.step}

    def _describe(self, state: StepState) -> Manifest:
        """What the manifest says of the state; its files and its time are filled in at the end."""
        facts, run = state.facts, self._run
        return Manifest(
            run=run.name,
            namespace=run.namespace,
            uid=run.uid,
            attempt=run.attempt,
            step=state.step,
            samples=state.samples,
            tokens=state.tokens,
            epoch=state.epoch,
            world_size=self._group.world_size,
            zero_stage=facts.zero_stage,
            precision=run.precision.value,
            saved_at="",
            loss=state.loss,
            validation_loss=state.validation_loss,
            template_sha256=facts.template_sha256,
            data_sha256=facts.data_sha256,
            base_sha256=facts.base_sha256,
            versions=facts.versions,
            plan=facts.plan,
            files=[],
        )

    def _write_snapshot(self, folder: Path, write_shards: Callable[[Path], None]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            write_shards(folder)
        except Exception as error:
            if is_full(error, self._settings.scratch_folder):  # torch hides it in a RuntimeError
                raise full_scratch_error(folder) from error
            raise

    def _clear_way(self, step: int) -> None:
        """Delete what is there of this step before any rank uploads to it: a broken checkpoint."""
        if self._group.rank == 0 and self._is_taken(step):
            try:
                delete_checkpoint(self._store, step)
            except TrainerError as error:  # the new files overwrite the old ones all the same
                logger.warning("the old checkpoint of step %d stays for now: %s", step, error)
        self._group.barrier()

    def _is_taken(self, step: int) -> bool:
        return step in self._stale_steps or any(record.step == step for record in self.records)

    def _fetch(self, point: ResumePoint, folder: Path, wanted: Callable[[str], bool]) -> str | None:
        store = self._store
        if not point.is_own:
            store, _ = open_run_folder(self._run, point.uri, self._settings)
        return fetch_files(store, point, folder, wanted)

    def _reject(self, point: ResumePoint, why: str, folder: Path) -> None:
        step = point.manifest.step
        warning = f"checkpoint of step {step} is not used: {why}"
        logger.warning(warning)
        self.warnings.append(warning)
        if point.is_own:
            self._stale_steps.add(step)
            self.records = [record for record in self.records if record.step != step]
        self._group.barrier()  # nobody still downloads into the folder
        if self._group.local_rank == 0:
            remove_local(folder)


def _start(task: SaveTask) -> Future[SaveOutcome]:
    """Run a save in a thread that does not keep a failing process from ending."""
    outcome: Future[SaveOutcome] = Future()

    def work() -> None:
        try:
            outcome.set_result(run_save(task))
        except BaseException as error:  # else who waits for the outcome would wait for ever
            outcome.set_exception(error)

    threading.Thread(target=work, name="checkpoint", daemon=True).start()
    return outcome
