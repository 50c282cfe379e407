"""Whether and when a failed run starts again; pure.

Each cause has its own budget. A new checkpoint since the attempt began is progress: it refills them,
so that a run which moves on is never given up for old troubles.
"""

import hashlib
from dataclasses import dataclass

from trainwright_api.names import Cause
from trainwright_api.workers import Recovery

_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """`pause_seconds` None: the run has failed for good. `failures` are the counts from here on."""

    pause_seconds: float | None
    failures: dict[str, int]
    reason: str


def decide_retry(
    recovery: Recovery, failures: dict[str, int], cause: Cause, *, has_progressed: bool, seed: str
) -> RetryDecision:
    """Return whether an attempt that ended by `cause` is followed by another, and after how long."""
    counts = {} if has_progressed else dict(failures)
    counts[cause] = counts.get(cause, 0) + 1
    if cause is Cause.USER_ERROR:
        return RetryDecision(None, counts, "a user error is not retried")
    budgets = {
        Cause.INFRASTRUCTURE: recovery.budgets.infrastructure,
        Cause.OUT_OF_MEMORY: recovery.budgets.out_of_memory,
        Cause.NUMERICAL_FAILURE: recovery.budgets.numerical_failure,
        Cause.PREEMPTED: recovery.budgets.preempted,
        Cause.UNKNOWN: recovery.budgets.unknown,
    }
    budget = budgets[cause]
    if counts[cause] > budget:
        return RetryDecision(
            None, counts, f"{counts[cause]} failures by {cause} without progress, {budget} allowed"
        )
    pause = backoff_seconds(recovery, sum(counts.values()), seed)
    return RetryDecision(pause, counts, f"restart {counts[cause]} of {budget} for {cause}")


def backoff_seconds(recovery: Recovery, num_failures: int, seed: str) -> float:
    """Return the pause before a restart: doubling, capped, with a jitter that the seed decides."""
    backoff = recovery.backoff
    whole = min(backoff.maximum_seconds, backoff.initial_seconds * 2 ** min(num_failures - 1, 30))
    fraction = hashlib.sha256(f"{seed}/{num_failures}".encode()).digest()[0] / 255
    return float(whole * (1 - _JITTER * fraction))
