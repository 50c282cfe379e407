"""Saves and finds checkpoints; the training loop's only door to them."""

from collections.abc import Callable
from pathlib import Path

from trainwright_api.run import Run
from trainwright_api.status import CheckpointRecord

from trainwright_trainer.checkpoint.state import (
    FetchedCheckpoint,
    ResumePoint,
    SaveOutcome,
    StepState,
)
from trainwright_trainer.groups import Group
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store


class CheckpointManager:
    """Checkpoints of one run in its folder of the store; every rank has one.

    `records` (newest first), `best` (lowest validation loss), `warnings` and `num_failures` are
    kept on rank 0. One save is in flight at a time.
    """

    def __init__(self, run: Run, store: Store, settings: Settings, group: Group) -> None:
        self.records: list[CheckpointRecord] = []
        self.warnings: list[str] = []
        self.num_failures = 0
        raise NotImplementedError

    @property
    def best(self) -> CheckpointRecord | None:
        """The checkpoint with the lowest validation loss."""
        raise NotImplementedError

    def find_resume(self) -> ResumePoint | None:
        """Return the newest checkpoint whose manifest and files' sizes verify; collective.

        Own checkpoints come first, then `resume_from` of the spec. Cleans up what unfinished saves
        left. Raises UserError if `resume_from` names a checkpoint that cannot be used.
        """
        raise NotImplementedError

    def fetch(
        self, point: ResumePoint, wanted: Callable[[str], bool] = lambda path: True
    ) -> FetchedCheckpoint | None:
        """Download the files that this rank wants and verify their SHA-256; collective.

        A bad file anywhere makes all ranks turn to the checkpoint before, with a warning; None if
        no other verifies. Ranks of one node share the folder and download each file once.
        """
        raise NotImplementedError

    def save(self, state: StepState, write_shards: Callable[[Path], None]) -> float:
        """Snapshot to scratch and start the upload; return how long training stood still (seconds).

        `write_shards(folder)` writes this rank's files; file names must differ between ranks, since
        all end in one folder. Waits first for a save that is still in flight. Raises StoreError if
        scratch is full.
        """
        raise NotImplementedError

    def poll(self) -> list[SaveOutcome]:
        """Return the saves that ended since the last call; never blocks."""
        raise NotImplementedError

    def wait(self, timeout_seconds: float) -> None:
        """Wait for the save in flight. Raises StoreError if it fails or takes longer."""
        raise NotImplementedError
