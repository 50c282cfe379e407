"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from trainwright_api.training import Schedule, ScheduleType

DEFAULT_WARMUP_FRACTION = 0.05


def warmup_steps(schedule: Schedule, total_steps: int) -> int:
    """Return the number of warm-up steps; at most one less than all steps."""
    if schedule.warmup_steps is not None:
        steps = schedule.warmup_steps
    else:
        fraction = schedule.warmup_fraction
        steps = round((DEFAULT_WARMUP_FRACTION if fraction is None else fraction) * total_steps)
    return max(0, min(steps, total_steps - 1))


def learning_rate(schedule: Schedule, peak: float, step: int, total_steps: int) -> float:
    """Return the learning rate of optimizer step `step`, counted from 1 to total_steps.

    Warm-up is linear and reaches the peak at its last step; the last step of Cosine, Linear and
    WarmupStableDecay has peak * minimum_fraction.
    """
    warmup = warmup_steps(schedule, total_steps)
    if step <= warmup:
        return peak * step / warmup
    lowest = schedule.minimum_fraction
    if schedule.type is ScheduleType.CONSTANT:
        return peak
    if schedule.type is ScheduleType.WARMUP_STABLE_DECAY:
        decay_steps = max(1, round(schedule.decay_fraction * total_steps))
        done = max(0.0, (step - (total_steps - decay_steps)) / decay_steps)
        return peak * (1 - (1 - lowest) * min(1.0, done))
    done = (step - warmup) / max(1, total_steps - warmup)
    if schedule.type is ScheduleType.LINEAR:
        return peak * (1 - (1 - lowest) * done)
    return peak * (lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * done)))
