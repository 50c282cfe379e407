"""A running attempt: is it still starting, does it run, has it ended, and what follows; pure.

One pod that ends badly ends the attempt. The others get a moment, so that the end of each can be read
and the first to fall be found, then all are taken down: the next attempt is a new group.
"""

from datetime import datetime, timedelta

from trainwright_api.names import Cause, Phase
from trainwright_api.status import Attempt

from trainwright_operator.decision import Decision
from trainwright_operator.ends import AttemptEnd, judge_failure, judge_success
from trainwright_operator.facts import SILENT_SECONDS, PodFacts, Problem, format_time
from trainwright_operator.finish import fail, succeed
from trainwright_operator.pending import find_creation_failure, find_obstacle
from trainwright_operator.recovery import decide_retry
from trainwright_operator.run_state import RunState
from trainwright_operator.untrusted import parse_time
from trainwright_operator.utilization import decide_utilization

JOB_LOST_SECONDS = 10.0  # after which an unseen job, once created, counts as deleted by somebody
SUCCESS_GRACE_SECONDS = 30.0  # for workers to end after the master succeeded
NOTICED_SECONDS = 20.0  # after which Kubeflow would have seen a job, were it there
START_LOOK_SECONDS = 3.0
RUN_LOOK_SECONDS = 30.0


def decide_attempt(state: RunState, current: Attempt) -> Decision:
    """Return the next step of a run with an attempt that has not been closed."""
    pods = state.observed.pods_of(current.number)
    if (success := judge_success(pods)) is not None:
        return _finish(state, current, success, pods)
    is_complete = len(pods) >= state.spec.workers.nodes
    lack = None if is_complete else find_creation_failure(state.observed.warnings)
    if (failure := judge_failure(pods, lack)) is not None:
        return _collect(state, current, failure, pods)
    job = state.observed.job_of(current.number)
    if job is None:
        return _without_job(state, current)
    if job.has_ended and not any(pod.is_live for pod in pods):
        return _without_pods(state, current)
    return _report(state, current, pods)


def _finish(
    state: RunState, current: Attempt, end: AttemptEnd, pods: tuple[PodFacts, ...]
) -> Decision:
    """The master has succeeded; workers that have not ended get a moment to do so."""
    left = [pod for pod in pods if pod.is_live and pod.end is None]
    ended_at = end.at or state.now
    waited = (state.now - ended_at).total_seconds()
    if left and 0 <= waited < SUCCESS_GRACE_SECONDS:
        state.set_phase(state.old.phase, "Finishing", f"{len(left)} pods have not ended yet")
        return state.conclude("waiting for workers to end", 1.0)
    state.close_attempt(current, outcome="Succeeded", end=end)
    return succeed(state)


def _collect(
    state: RunState, current: Attempt, failure: AttemptEnd, pods: tuple[PodFacts, ...]
) -> Decision:
    """A pod has failed: wait a moment for the others' ends, then judge and take all down."""
    open_ends = [pod for pod in pods if pod.is_live and pod.end is None]
    left = (_collected_at(state, pods) - state.now).total_seconds()
    if open_ends and left > 0:
        state.set_phase(state.old.phase, "PodFailed", failure.message)
        return state.conclude("collecting the ends of all pods", min(left, 5.0))
    return restart(state, current, failure)


def _collected_at(state: RunState, pods: tuple[PodFacts, ...]) -> datetime:
    """When waiting for the ends is over: soon, but pods that were told to stop may save until then."""
    seen = [pod.failure_seen_at for pod in pods if pod.failure_seen_at]
    soon = min(seen, default=state.now) + timedelta(seconds=state.timing.collect_seconds)
    stopping = [
        pod.deleted_at for pod in pods if pod.is_live and pod.end is None and pod.deleted_at
    ]
    return max([soon, *stopping])


def restart(state: RunState, current: Attempt, end: AttemptEnd) -> Decision:
    """Close the attempt and, if the budget of its cause allows, plan the next one."""
    closed = state.close_attempt(current, outcome="Failed", end=end)
    cause = end.cause or Cause.UNKNOWN
    retry = decide_retry(
        state.spec.recovery,
        state.status.failures,
        cause,
        has_progressed=_has_saved(state, closed),
        seed=f"{state.uid}/{current.number}",
    )
    state.change(failures=retry.failures)
    if retry.pause_seconds is None:
        spent = cause is not Cause.USER_ERROR
        message = f"{end.message}; {retry.reason}" if spent else end.message
        return fail(state, cause.value, message, why=f"{cause}: {retry.reason}")
    next_at = state.now + timedelta(seconds=retry.pause_seconds)
    state.change(next_attempt_at=format_time(next_at))
    what = f"attempt {current.number} failed ({cause}): {end.message}"
    state.set_phase(Phase.RESTARTING, cause.value, f"{what}; {retry.reason}")
    state.tell("Warning", "AttemptFailed", what)
    state.tell("Normal", "Restarting", f"{retry.reason}, in {retry.pause_seconds:.0f} s")
    live = [pod for pod in state.observed.pods if pod.is_live and pod.deleted_at is None]
    return state.conclude(
        retry.reason,
        min(1.0, retry.pause_seconds),
        delete_jobs=tuple(job.name for job in state.observed.jobs),
        delete_pods=state.removals(live, state.timing.failed_grace_seconds),
    )


def _has_saved(state: RunState, attempt: Attempt) -> bool:
    """Whether the attempt has saved a checkpoint: the newest one may be an older attempt's.

    By their steps: its time is by a node's clock, which may be off.
    """
    latest = state.status.checkpoints.latest if state.status.checkpoints else None
    if latest is None or latest.step == attempt.checkpoint_step:
        return False
    # Less than the newest of before is progress, too, if that turned out to be damaged.
    return latest.step > (attempt.resumed_from_step or 0)


def _has_just_begun(state: RunState, attempt: Attempt, seconds: float) -> bool:
    """Whether so little time has passed; a clock that was set back since has not stopped it."""
    started = parse_time(attempt.started_at) or state.now
    return abs(state.now - started) < timedelta(seconds=seconds)


def _without_job(state: RunState, current: Attempt) -> Decision:
    """The job was created, or the attempt would not stand in the status; now it is not there."""
    if _has_just_begun(state, current, JOB_LOST_SECONDS):
        return state.conclude("waiting for the job", START_LOOK_SECONDS)
    end = AttemptEnd(Cause.INFRASTRUCTURE, f"PyTorchJob {current.job} was deleted by somebody")
    return restart(state, current, end)


def _without_pods(state: RunState, current: Attempt) -> Decision:
    """The job is over and no pod that is left tells how: they went, with their last words, while nobody looked.

    What they saved is in the store, from where the next attempt goes on.
    """
    if _has_just_begun(state, current, JOB_LOST_SECONDS):
        return state.conclude("waiting for the pods", START_LOOK_SECONDS)
    message = (
        f"PyTorchJob {current.job} has ended, but its pods were gone before the operator saw how"
    )
    return restart(state, current, AttemptEnd(Cause.INFRASTRUCTURE, message))


def _report(state: RunState, current: Attempt, pods: tuple[PodFacts, ...]) -> Decision:
    """Nothing has ended badly: say how far the attempt is."""
    _note_resume(state, current)
    num_pods = state.spec.workers.nodes
    num_running = sum(pod.phase == "Running" or pod.has_succeeded for pod in pods)
    if num_running < num_pods:
        return _report_start(state, current, num_running)
    report, progress = state.observed.report, state.status.progress
    activity = (report is not None and progress and progress.activity) or "starting up"
    if state.observed.is_silent:
        activity = f"its trainer has not answered for over {SILENT_SECONDS:.0f} s"
    state.set_phase(Phase.RUNNING, "PodsRunning", f"attempt {current.number}: {activity}")
    if state.old.phase is not Phase.RUNNING:
        state.tell("Normal", "Running", f"all {num_pods} pods of attempt {current.number} run")
    is_wasting, look_seconds = decide_utilization(state)
    again_seconds = min(RUN_LOOK_SECONDS, look_seconds or RUN_LOOK_SECONDS)
    if is_wasting:
        return state.conclude("underutilized: to be suspended", again_seconds, suspend_run=True)
    return state.conclude("running", again_seconds)


def _report_start(state: RunState, current: Attempt, num_running: int) -> Decision:
    num_pods = state.spec.workers.nodes
    obstacle = find_obstacle(state.observed, current.number, num_pods) or _find_absence(
        state, current
    )
    if obstacle is not None:
        state.set_phase(Phase.PENDING, obstacle.reason, obstacle.message)
        state.tell_once("Warning", obstacle.reason, obstacle.message)
    else:
        state.set_phase(Phase.STARTING, "PodsStarting", f"{num_running} of {num_pods} pods run")
    return state.conclude("starting", START_LOOK_SECONDS)


def _find_absence(state: RunState, current: Attempt) -> Problem | None:
    """Nobody does anything about the job: its kind is installed, but Kubeflow's operator does not run."""
    job = state.observed.job_of(current.number)
    if job is None or job.is_noticed or state.observed.pods_of(current.number):
        return None
    if _has_just_begun(state, current, NOTICED_SECONDS):
        return None
    return Problem(
        "NoTrainingOperator",
        f"PyTorchJob {job.name} got neither pods nor a status within {NOTICED_SECONDS:.0f} s, expected "
        "them of the Kubeflow training operator; see whether that runs",
    )


def _note_resume(state: RunState, current: Attempt) -> None:
    """Once an attempt says from where it goes on, what the one before lost is known."""
    report = state.observed.report
    if report is None or report.attempt != current.number:
        return
    if report.resumed_from_step is None and report.progress.step == 0:
        return
    attempts = list(state.status.attempts)
    attempts[-1] = current.model_copy(update={"resumed_from_step": report.resumed_from_step})
    before = [i for i, a in enumerate(attempts[:-1]) if a.last_step is not None]
    if before and attempts[before[-1]].steps_lost is None:
        lost = max(0, (attempts[before[-1]].last_step or 0) - (report.resumed_from_step or 0))
        attempts[before[-1]] = attempts[before[-1]].model_copy(update={"steps_lost": lost})
    state.change(attempts=attempts)
