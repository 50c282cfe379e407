"""Whether a run that trains has stopped to make steps. Pure.

The status of a run whose ranks wait for each other stays as it is: Running, with the speed and the time
left of its last step. The tables, the page, the screens and `run --local` say so in place of that time.
"""

from datetime import datetime

from trainwright_api.names import ACTIVITY_TRAIN, Phase
from trainwright_api.quantities import format_duration
from trainwright_api.status import Progress

from trainwright_cli.runs import RunView, parse_time

# The operator writes figures some seconds late, and this machine's clock need not be the pod's.
LEAST_SECONDS = 120.0
MISSED_STEPS = 5


def find_stall_seconds(view: RunView, now: datetime) -> float | None:
    """Return for how long a run has made no step, if that is longer than a step may take (unit: seconds).

    None also where nobody can tell, see `measure_stall`, and while the figures are those of an older attempt.
    """
    progress = view.status.progress
    if view.status.phase is not Phase.RUNNING or progress is None:
        return None
    updated = parse_time(progress.updated_at)
    if updated is None or _is_older(updated, view):
        return None
    return measure_stall(progress, now)


def measure_stall(progress: Progress, now: datetime) -> float | None:
    """Return the same by the figures of a trainer that is known to live.

    None also before training and after its last step, and without a time of the last figures.
    """
    updated = parse_time(progress.updated_at)
    if updated is None or progress.activity != ACTIVITY_TRAIN:
        return None
    if 0 < progress.total_steps <= progress.step:
        return None
    seconds = (now - updated).total_seconds()
    patience = max(LEAST_SECONDS, MISSED_STEPS * (_step_seconds(progress) or 0.0))
    return seconds if seconds > patience else None


def tell_stall(view: RunView, now: datetime) -> str:
    """Return `no step for 12m`; nothing for a run that makes steps, or of which nobody can tell."""
    return describe_stall(find_stall_seconds(view, now))


def describe_stall(seconds: float | None) -> str:
    """Return `no step for 12m`; nothing for None."""
    if seconds is None:
        return ""
    minutes = int(seconds // 60)
    return f"no step for {f'{minutes}m' if minutes < 60 else format_duration(seconds)}"


def _is_older(updated: datetime, view: RunView) -> bool:
    """Whether the figures were measured before the current attempt: it has none of its own yet."""
    attempts = view.status.attempts
    started = parse_time(attempts[-1].started_at) if attempts else None
    return started is not None and updated < started


def _step_seconds(progress: Progress) -> float | None:
    """Return what a step takes by the time that is left (unit: seconds); None if that is not known."""
    steps = progress.total_steps - progress.step
    return progress.eta_seconds / steps if progress.eta_seconds and steps > 0 else None
