"""A status in a few lines for people: the end of what `kubectl describe` prints, above the events.

kubectl prints fields of our kinds in alphabetical order, so this one stands last in the status. Called
by the operator before it writes a status; pure, and without a clock, so that nothing but a change of the
status changes it.
"""

from datetime import datetime

from trainwright_api.quantities import format_bytes, format_duration
from trainwright_api.status import Attempt, CheckpointRecord, Hardware, Plan, Progress, RunStatus

MAXIMUM_LINE = 160


def build_summary(status: RunStatus) -> list[str]:
    """Return phase, progress, plan, hardware, cost, checkpoints and one line for each attempt."""
    reason = f" ({status.reason})" if status.reason else ""
    lines = [f"{status.phase}{reason}, attempt {status.attempt}"]
    if status.progress is not None:
        lines += _progress_lines(status.progress)
    if status.plan is not None:
        lines.append(_plan_line(status.plan))
    if status.hardware is not None:
        lines.append(_hardware_line(status.hardware))
    if status.cost is not None and status.cost.summary:
        lines.append(f"cost: {status.cost.summary}")
    if status.checkpoints is not None and status.checkpoints.latest is not None:
        lines.append(_checkpoint_line(status.checkpoints.latest, status.checkpoints.best))
    lines += [_attempt_line(attempt) for attempt in status.attempts]
    lines = [" ".join(line.split()) for line in lines]
    return [
        line if len(line) <= MAXIMUM_LINE else line[: MAXIMUM_LINE - 3] + "..." for line in lines
    ]


def _progress_lines(progress: Progress) -> list[str]:
    done = [f"step {progress.step} of {progress.total_steps or '?'}"]
    if progress.total_steps:
        done.append(f"{progress.percent:.0f} %")
    if progress.eta_seconds is not None:
        done.append(f"{format_duration(progress.eta_seconds)} left")
    done.append(f"{progress.tokens:,} tokens")
    figures = (
        ("loss {:.4f}", progress.loss),
        ("first loss {:.4f}", progress.first_loss),
        ("validation loss {:.4f}", progress.validation_loss),
        ("{:,.0f} tokens/s", progress.tokens_per_second),
        ("MFU {:.1%}", progress.mfu),
    )
    shown = [form.format(value) for form, value in figures if value is not None]
    return [", ".join(line) for line in (done, shown) if line]


def _plan_line(plan: Plan) -> str:
    of = f" of {plan.capacity_gib:.2f}" if plan.capacity_gib is not None else ""
    fits = {True: ", fits", False: ", does not fit", None: ""}[plan.fits]
    return (
        f"plan: ZeRO {plan.zero_stage} on {plan.num_devices} devices, "
        f"{plan.memory_gib:.2f}{of} GiB per device{fits}"
    )


def _hardware_line(hardware: Hardware) -> str:
    parts = [hardware.summary or f"{hardware.accelerators}x {hardware.device}"]
    if hardware.temperature_celsius is not None:
        parts.append(f"hottest {hardware.temperature_celsius:.0f} degrees Celsius")
    if (worst := hardware.untold_worst_rank) is not None:
        parts.append(f"worst rank {worst}")
    return f"hardware: {', '.join(parts)}"


def _checkpoint_line(latest: CheckpointRecord, best: CheckpointRecord | None) -> str:
    verified = "verified" if latest.verified else "not verified"
    line = f"checkpoint: step {latest.step}, {format_bytes(latest.size_bytes)}, {verified}"
    return f"{line}, best is step {best.step}" if best is not None else line


def _attempt_line(attempt: Attempt) -> str:
    parts = [f"attempt {attempt.number}: {attempt.cause or attempt.outcome or 'runs'}"]
    if (seconds := _lasted(attempt)) is not None:
        parts.append(f"after {format_duration(seconds)}")
    if attempt.last_step is not None:
        parts.append(f"steps {attempt.resumed_from_step or 0} to {attempt.last_step}")
    if attempt.steps_lost:
        parts.append(f"{attempt.steps_lost} lost")
    where = " on ".join(part for part in (attempt.pod, attempt.node) if part)
    return ": ".join(part for part in (", ".join(parts), where, attempt.message) if part)


def _lasted(attempt: Attempt) -> float | None:
    try:
        start, end = map(datetime.fromisoformat, (attempt.started_at, attempt.ended_at or ""))
        return (end - start).total_seconds()
    except (ValueError, TypeError):  # it runs, or a time is none
        return None
