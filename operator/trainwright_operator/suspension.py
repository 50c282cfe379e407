"""Suspension: the pods stop, which saves a checkpoint, then the run rests; pure."""

from trainwright_api.names import Phase
from trainwright_api.status import Attempt

from trainwright_operator.decision import Decision
from trainwright_operator.merging import merge_termination
from trainwright_operator.run_state import RunState

SUSPENDING = "Suspending"  # the reason while pods stop
LOOK_SECONDS = 2.0
RESUME_SECONDS = 0.1  # the next attempt is another decision


def decide_suspended(state: RunState, current: Attempt | None) -> Decision:
    """Return the next step of a run whose spec says suspend, or said so when its pods were told to stop."""
    pods = [pod for pod in state.observed.pods if not pod.is_gone]
    if state.observed.jobs or pods:
        return _stop(state, current)
    if current is not None:
        state.close_attempt(current, outcome="Suspended")
    latest = state.status.checkpoints.latest if state.status.checkpoints else None
    message = f"goes on from step {latest.step} when suspend is false" if latest else "rests"
    state.set_phase(Phase.SUSPENDED, "Suspended", message)
    state.change(next_attempt_at=None)
    state.tell_once("Normal", "Suspended", message)
    return state.conclude("suspended", None if state.spec.suspend else RESUME_SECONDS)


def _stop(state: RunState, current: Attempt | None) -> Decision:
    """Deleting the job makes the kubelets send SIGTERM; pods that do not heed it go by force later."""
    if current is not None and (told := state.last_words(current.number)) is not None:
        state.status = merge_termination(state.status, told)
    state.set_phase(state.old.phase, SUSPENDING, "pods save a checkpoint and stop")
    state.tell_once("Normal", SUSPENDING, "stopping the pods after a checkpoint")
    jobs = tuple(job.name for job in state.observed.jobs if job.deleted_at is None)
    pods = [pod for pod in state.observed.pods if not pod.is_gone]
    return state.conclude(
        "suspending",
        LOOK_SECONDS,
        delete_jobs=jobs,
        delete_pods=() if jobs else state.removals(pods),
    )
