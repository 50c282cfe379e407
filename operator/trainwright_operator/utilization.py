"""Whether a run makes use of its devices, and why if it does not; pure.

All memory is the condition Underutilized: Unknown from the moment the utilisation is low, True once
that has lasted for long enough, False when it is high again or another attempt begins. So a restart of
the operator starts no clock anew. The condition does not exist until the utilisation was low once.
"""

from collections.abc import Mapping
from datetime import timedelta

from trainwright_api.names import ACTIVITY_TRAIN, SHORT_NAMES, Condition
from trainwright_api.report import RunReport
from trainwright_api.status import Hardware
from trainwright_api.utilization import UtilizationAction

from trainwright_operator.conditions import find_condition
from trainwright_operator.run_state import RunState
from trainwright_operator.untrusted import parse_time

TELLING_SHARE = 0.2  # of a step: a part that takes more explains idle devices
STRAGGLER_SHARE = 0.5  # of the mean: a device that is used less holds up the others
_PARTS = {
    "data": ("DataWait", "waits for data; more CPU for the pods or nearer sources may help"),
    "checkpoint": ("CheckpointStall", "stands still for checkpoints; save less often"),
    "validation": ("Validation", "is validation; validate less often or on fewer sequences"),
    "communication": ("Stragglers", "is rank 0 waiting for other ranks"),
}


def decide_utilization(state: RunState) -> tuple[bool, float | None]:
    """Set the condition of a run whose pods all run.

    Return whether the run is to be suspended for it, and after how many seconds to look again at the
    latest.
    """
    report, wanted = state.observed.report, state.spec.utilization
    known = find_condition(state.status.conditions, Condition.UNDERUTILIZED)
    if state.observed.is_silent:  # what it last said says nothing of now, and no clock runs on it
        if known is not None and known.status != "False":
            state.set(
                Condition.UNDERUTILIZED, False, "TrainerSilent", "the trainer does not answer"
            )
        return False, None
    minimum = _first(wanted.minimum_percent, state.policy.minimum_utilization_percent)
    minutes = _first(wanted.minutes, state.policy.underutilized_minutes)
    used = _measure(state, report)
    if report is None or used is None:
        return False, None
    if used >= minimum:
        if known is not None and known.status != "False":
            state.set(Condition.UNDERUTILIZED, False, "Utilized", "the devices are used enough")
        return False, None
    if known is None or known.status == "False":
        text = f"utilisation below {minimum:g} %; counts once it lasts {minutes:g} minutes"
        state.set(Condition.UNDERUTILIZED, None, "UtilizationLow", text)
        return False, minutes * 60
    if known.status == "Unknown":
        since = parse_time(known.last_transition_time) or state.now
        left = (since + timedelta(minutes=minutes) - state.now).total_seconds()
        if left > 0:
            return False, left
        reason, why = explain_utilization(report)
        text = (
            f"devices are used {used:.0f} %, less than {minimum:g} % for {minutes:g} minutes: {why}"
        )
        state.set(Condition.UNDERUTILIZED, True, reason, text)
        state.tell("Warning", "Underutilized", text)
    return _suspend(state), None


def _first(own: float | None, default: float) -> float:
    return default if own is None else own


def _measure(state: RunState, report: RunReport | None) -> float | None:
    """Return the utilisation of this attempt's devices (percent); None while it does not train."""
    if report is None or report.attempt != state.status.attempt or report.hardware is None:
        return None
    return (
        report.hardware.utilization_percent if report.progress.activity == ACTIVITY_TRAIN else None
    )


def _suspend(state: RunState) -> bool:
    """Say so once if the run is to be suspended for being underutilized."""
    if state.spec.utilization.action is not UtilizationAction.SUSPEND:
        return False
    known = find_condition(state.status.conditions, Condition.UNDERUTILIZED)
    kind = SHORT_NAMES[state.resource.kind]
    how = f"; suspended after a checkpoint: `trainwright resume {kind}/{state.resource.metadata.name}` goes on"
    if known is not None and how not in known.message:
        state.set(Condition.UNDERUTILIZED, True, known.reason, known.message + how)
        state.tell("Warning", "SuspendedUnderutilized", f"{known.message}{how}")
    return True


def forget_utilization(state: RunState) -> None:
    """Another attempt begins: what the last one's devices did says nothing of it."""
    if find_condition(state.status.conditions, Condition.UNDERUTILIZED) is not None:
        text = "a new attempt; its utilisation is not known yet"
        state.set(Condition.UNDERUTILIZED, False, "AttemptStarted", text)


def explain_utilization(report: RunReport) -> tuple[str, str]:
    """Return the likely reason of a low utilisation in CamelCase and in words."""
    part, share = _largest_part(report.step_seconds)
    if share >= TELLING_SHARE:
        reason, text = _PARTS[part]
        blame = _describe_worst(report.hardware) if part == "communication" else ""
        return reason, f"{share:.0%} of a step {text}{blame}"
    mean = report.hardware.utilization_percent if report.hardware else None
    least = report.hardware.worst_utilization_percent if report.hardware else None
    if mean and least is not None and least < STRAGGLER_SHARE * mean:
        return "Stragglers", f"the others wait for a slow device{_describe_worst(report.hardware)}"
    return "SmallSteps", "no part of a step stands out; larger batch.microSequences may help"


def _largest_part(seconds: Mapping[str, float]) -> tuple[str, float]:
    """Return the part of a step that explains most, and its share of the step."""
    total = seconds.get("total", 0.0)
    part = max(_PARTS, key=lambda name: seconds.get(name, 0.0))
    return part, seconds.get(part, 0.0) / total if total > 0 else 0.0


def _describe_worst(hardware: Hardware | None) -> str:
    if hardware is None or hardware.worst_rank is None:
        return ""
    percent = hardware.worst_utilization_percent or 0
    return f"; rank {hardware.worst_rank} is used least, {percent:.0f} %"
