"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from trainwright_api.training import (
    DEFAULT_DECAY_FRACTION,
    DEFAULT_MINIMUM_FRACTION,
    DEFAULT_WARMUP_FRACTION,
    Schedule,
    ScheduleType,
)


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
