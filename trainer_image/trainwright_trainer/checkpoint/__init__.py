"""Checkpoints: saved in the background, verified, kept, found again.

manager = CheckpointManager(run, store, settings, group)
point = manager.find_resume()                    # collective; None: start from step 0
fetched = manager.fetch(point, wanted)           # collective; may be an older one than asked for
stall_seconds = manager.save(state, write_shards)  # collective in write_shards only
for outcome in manager.poll(): ...               # each step: finished saves and failures
manager.wait(timeout_seconds)                    # at the end: raises StoreError if the last failed
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
