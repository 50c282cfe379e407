"""Ends of a run: success, failure, and what remains to be done after them; pure.

A finished run keeps the pods that have ended, for their logs, and removes those that still run. Its
PyTorchJob stays as well, unless Kubeflow would make new pods: in place of those removed, or its first.
"""

from datetime import timedelta
from typing import Any

from trainwright_api.names import Condition, Phase

from trainwright_operator.decision import Decision
from trainwright_operator.facts import format_time
from trainwright_operator.merging import clear_speed, merge_termination
from trainwright_operator.run_state import RunState
from trainwright_operator.untrusted import parse_time

DEADLINE = "Deadline"  # outcome of the attempt that ran then
LOOK_SECONDS = 2.0  # between two looks at pods that should go


def fail(
    state: RunState, reason: str, message: str, *, outcome: str = "Failed", why: str = ""
) -> Decision:
    """The run has failed for good."""
    if (current := state.current()) is not None:
        state.close_attempt(current, outcome=outcome, message=message)
    state.set(Condition.FAILED, True, reason, message)
    state.set_phase(Phase.FAILED, reason, message)
    state.change(finished_at=format_time(state.now), next_attempt_at=None)
    state.tell("Warning", "Failed", f"{reason}: {message}")
    return state.conclude(why or reason, LOOK_SECONDS, **_removals(state))


def succeed(state: RunState) -> Decision:
    """The run has succeeded; its last attempt is closed already."""
    model = state.status.model
    message = f"the model is at {model.uri}" if model else "finished"
    state.set(Condition.COMPLETE, True, "Succeeded", message)
    state.set_phase(Phase.SUCCEEDED, "Succeeded", message)
    state.change(finished_at=format_time(state.now), next_attempt_at=None)
    state.tell("Normal", "Succeeded", message)
    return state.conclude("succeeded", LOOK_SECONDS, **_removals(state))


def decide_finished(state: RunState) -> Decision:
    """After the end: stop what still runs, delete the run when its time has come."""
    finished = parse_time(state.old.finished_at) or state.now
    ttl = state.spec.ttl_seconds_after_finished
    state.status = state.old.model_copy(update={"observed_generation": state.generation})
    _take_last_words(state)
    if ttl is None:
        left = None
    else:
        left = (finished + timedelta(seconds=ttl) - state.now).total_seconds()
        if left <= 0:
            return state.conclude("its TTL is over", delete_run=True)
    has_leftovers = any(pod.is_live for pod in state.observed.pods)
    waits = [seconds for seconds in (left, LOOK_SECONDS if has_leftovers else None) if seconds]
    return state.conclude("finished", min(waits, default=None), **_removals(state))


def _take_last_words(state: RunState) -> None:
    """Take in what pods say that the deadline has stopped: they end, and save, after the run has."""
    last = state.status.attempts[-1] if state.status.attempts else None
    if last is None or last.outcome != DEADLINE:
        return
    if (told := state.last_words(last.number)) is not None:
        state.status = clear_speed(merge_termination(state.status, told))
        closed = last.model_copy(update={"last_step": state.last_step_of(last)})
        state.change(attempts=[*state.status.attempts[:-1], closed])
        state.note_checkpoint()


def _removals(state: RunState) -> dict[str, Any]:
    live = [pod for pod in state.observed.pods if pod.is_live]
    with_pods = {pod.attempt for pod in state.observed.pods}
    makers = {
        job.name
        for job in state.observed.jobs
        if not job.has_ended and job.deleted_at is None and (live or job.attempt not in with_pods)
    }
    return {"delete_jobs": tuple(sorted(makers)), "delete_pods": state.removals(live)}
