"""Checkpoints: saved in the background, verified, kept, found again.

    manager = CheckpointManager(run, store, settings, group)
    point = manager.find_resume()                      # None: start from step 0
    fetched = manager.fetch(point, wanted)             # may be an older one than asked for
    manager.release(fetched)                           # frees scratch once it is loaded
    stall_seconds = manager.save(state, write_shards)  # the upload goes on in the background
    for outcome in manager.poll(): ...                 # each step: finished saves and failures
    manager.wait(timeout_seconds)                      # at the end: raises if the last save failed

find_resume, fetch, release and save are collective: every rank calls them, in the same order.
"""

from trainwright_trainer.checkpoint.manager import CheckpointManager
from trainwright_trainer.checkpoint.state import (
    FetchedCheckpoint,
    ResumePoint,
    RunFacts,
    SaveOutcome,
    StepState,
)

__all__ = [
    "CheckpointManager",
    "FetchedCheckpoint",
    "ResumePoint",
    "RunFacts",
    "SaveOutcome",
    "StepState",
]
