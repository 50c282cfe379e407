"""Decides what happens next to a run: pure, `now` is an argument, the result a frozen value.

    finished? -> succeeded? -> deadline? -> cannot be resolved? -> suspended? -> attempt running? -> next

All memory is in the status: an attempt without an end is running, one with an end waits for the next
until nextAttemptAt. So the operator may be killed at any moment and goes on from what it sees.
"""

from datetime import datetime

from trainwright_api.names import Condition, Phase
from trainwright_api.resources import Resource
from trainwright_api.status import Attempt

from trainwright_operator.attempt import decide_attempt
from trainwright_operator.decision import Decision, Policy, Timing
from trainwright_operator.ends import has_succeeded
from trainwright_operator.facts import Observed, Problem, format_time
from trainwright_operator.finish import DEADLINE, decide_finished, fail
from trainwright_operator.run_state import RunState
from trainwright_operator.suspension import SUSPENDING, decide_suspended
from trainwright_operator.untrusted import parse_time
from trainwright_operator.utilization import forget_utilization

MAXIMUM_ATTEMPTS_KEPT = 10
PROBLEM_LOOK_SECONDS = 5.0
DEFAULT_TIMING = Timing()
DEFAULT_POLICY = Policy()


def decide(
    resource: Resource,
    observed: Observed,
    now: datetime,
    timing: Timing = DEFAULT_TIMING,
    policy: Policy = DEFAULT_POLICY,
) -> Decision:
    """Return the next step of a run."""
    state = RunState(resource, observed, now, timing, policy)
    if state.old.phase.has_ended:
        return decide_finished(state)
    current, problem = state.current(), observed.problem
    if current is not None and has_succeeded(observed.pods_of(current.number)):
        state.accept()
        return decide_attempt(state, current)
    end = state.deadline()
    if end is not None and now >= end:
        seconds = state.spec.deadline_seconds
        message = f"not finished within deadlineSeconds ({seconds} s) of its creation"
        return fail(state, "DeadlineExceeded", message, outcome=DEADLINE)
    # An attempt that runs was resolved; what stands in the way of the next one does not end it.
    if current is None and problem is not None:
        if problem.is_final:
            state.set(Condition.ACCEPTED, False, problem.reason, problem.message)
            return fail(state, problem.reason, problem.message)
        if not state.spec.suspend:
            return _wait(state, problem)
    if problem is None:
        state.accept()
    # Pods that were told to stop do: their ends are no failure, even if suspend is false again by then.
    if state.spec.suspend or (current is not None and state.old.reason == SUSPENDING):
        return decide_suspended(state, current)
    if current is not None:
        return decide_attempt(state, current)
    return _next_attempt(state)


def _wait(state: RunState, problem: Problem) -> Decision:
    """Something that passes is in the way: another run has not finished yet."""
    state.set(Condition.ACCEPTED, None, problem.reason, problem.message)
    state.set_phase(Phase.PENDING, problem.reason, problem.message)
    state.tell_once("Warning", problem.reason, problem.message)
    return state.conclude(problem.reason, PROBLEM_LOOK_SECONDS)


def _next_attempt(state: RunState) -> Decision:
    """Start the next attempt once nothing of the last one is left and its pause is over."""
    number = state.status.attempt + 1
    pods = [pod for pod in state.observed.pods if not pod.is_gone and pod.attempt != number]
    jobs = [job for job in state.observed.jobs if job.attempt != number]
    if pods or jobs:
        return state.conclude(
            "waiting for the last attempt's pods to go",
            1.0,
            delete_jobs=tuple(job.name for job in jobs if state.is_due_to_go(job.deleted_at)),
            delete_pods=() if jobs else state.removals(pods),
        )
    next_at = parse_time(state.status.next_attempt_at) or state.now
    left = (next_at - state.now).total_seconds()
    # More is left only if the clock was set back since, or the longest pause was shortened.
    if 0 < left <= state.spec.recovery.backoff.maximum_seconds:
        return state.conclude("backing off", left)
    if (problem := state.observed.job_problem) is not None:
        state.set_phase(Phase.PENDING, problem.reason, problem.message)
        state.tell_once("Warning", problem.reason, problem.message)
        return state.conclude(problem.reason, PROBLEM_LOOK_SECONDS, start_attempt=number)
    return _start(state, number)


def _start(state: RunState, number: int) -> Decision:
    job = f"{state.resource.metadata.name}-{number}"
    latest = state.status.checkpoints.latest if state.status.checkpoints else None
    attempt = Attempt(
        number=number,
        job=job,
        started_at=format_time(state.now),
        checkpoint_step=latest.step if latest else None,
    )
    last = state.status.attempts[-1] if state.status.attempts else None
    if last is not None and last.outcome == "Suspended":
        step = f" after step {last.last_step}" if last.last_step else ""
        state.tell("Normal", "Resumed", f"goes on{step} as attempt {number}")
    state.change(
        attempts=[*state.status.attempts, attempt][-MAXIMUM_ATTEMPTS_KEPT:],
        attempt=number,
        next_attempt_at=None,
        sources=list(state.observed.sources),
        started_at=state.status.started_at or format_time(state.now),
    )
    forget_utilization(state)
    state.set_phase(Phase.STARTING, "AttemptStarted", f"attempt {number}: creating pods")
    state.tell("Normal", "AttemptStarted", f"attempt {number} started as PyTorchJob {job}")
    return state.conclude(f"start attempt {number}", 3.0, start_attempt=number)
