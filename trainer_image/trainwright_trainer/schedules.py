"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from trainwright_api.run import Run
from trainwright_api.training import (
    DEFAULT_DECAY_FRACTION,
    DEFAULT_MINIMUM_FRACTION,
    DEFAULT_WARMUP_FRACTION,
    Schedule,
    ScheduleType,
)


def total_steps(run: Run, planned_steps: int, *, step: int, samples: int, tokens: int) -> int:
    """Return the last step of a run that has come to `step` with so many samples and tokens.

    That is `planned_steps`, unless steps of another size came before: a budget of tokens or epochs is
    then reached after more or fewer steps, a budget of steps is not. The steps to come do not change it.
    """
    if run.budget.steps is not None:
        return planned_steps
    per_step = run.batch.global_sequences
    done = samples // per_step
    if run.budget.tokens is not None:
        done = tokens // (per_step * run.data.sequence_length)
    return planned_steps + step - done


def warmup_steps(schedule: Schedule, total_steps: int) -> int:
    """Return the number of warm-up steps; at most one less than all steps."""
    if schedule.warmup_steps is not None:
        steps = schedule.warmup_steps
    else:
        steps = round(_given_or(DEFAULT_WARMUP_FRACTION, schedule.warmup_fraction) * total_steps)
    return max(0, min(steps, total_steps - 1))


def learning_rate(schedule: Schedule, peak: float, step: int, total_steps: int) -> float:
    """Return the learning rate of optimizer step `step`, counted from 1 to total_steps.

    Warm-up is linear and reaches the peak at its last step; the last step of Cosine, Linear and
    WarmupStableDecay has peak * minimum_fraction.
    """
    warmup = warmup_steps(schedule, total_steps)
    if step <= warmup:
        return peak * step / warmup
    lowest = _given_or(DEFAULT_MINIMUM_FRACTION, schedule.minimum_fraction)
    if schedule.type is ScheduleType.CONSTANT:
        return peak
    if schedule.type is ScheduleType.WARMUP_STABLE_DECAY:
        decay = _given_or(DEFAULT_DECAY_FRACTION, schedule.decay_fraction)
        decay_steps = max(1, round(decay * total_steps))
        done = max(0.0, (step - (total_steps - decay_steps)) / decay_steps)
        return peak * (1 - (1 - lowest) * min(1.0, done))
    done = (step - warmup) / max(1, total_steps - warmup)
    if schedule.type is ScheduleType.LINEAR:
        return peak * (1 - (1 - lowest) * done)
    return peak * (lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * done)))


def _given_or(default: float, value: float | None) -> float:
    return default if value is None else value
