"""Decides what happens next to a run: pure, `now` is an argument, the result a frozen value.

    finished? -> deadline? -> unresolved? -> suspended? -> attempt running? -> next attempt

All memory is in the status: an attempt without an end is running, one with an end waits for the next
until nextAttemptAt. So the operator may be killed at any moment and goes on from what it sees.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from trainwright_api.names import Cause, Condition, Phase
from trainwright_api.resources import Resource
from trainwright_api.status import Attempt

from trainwright_operator.decision import Decision, Notice, Timing
from trainwright_operator.ends import AttemptEnd, judge_failure, judge_success
from trainwright_operator.facts import Observed, PodFacts, Problem, format_time, parse_time
from trainwright_operator.pending import find_obstacle
from trainwright_operator.recovery import decide_retry
from trainwright_operator.run_state import RunState

MAXIMUM_ATTEMPTS_KEPT = 10
JOB_LOST_SECONDS = 20.0  # a job that was made and is not seen for so long has been deleted
DEFAULT_TIMING = Timing()
SUCCESS_GRACE_SECONDS = 30.0  # for workers to end after the master succeeded


def decide(
    resource: Resource, observed: Observed, now: datetime, timing: Timing = DEFAULT_TIMING
) -> Decision:
    """Return the next step of a run."""
    return _Decider(resource, observed, now, timing).decide()


class _Decider(RunState):
    """The steps of one decision."""

    def decide(self) -> Decision:
        if self.old.phase in (Phase.SUCCEEDED, Phase.FAILED):
            return self._finished()
        if self._is_past_deadline():
            seconds = self.spec.deadline_seconds
            return self._fail(
                "DeadlineExceeded",
                f"not finished within deadlineSeconds ({seconds} s) of its creation",
            )
        problem = self.observed.problem
        if problem is not None and (problem.is_final or self._current() is None):
            return self._unresolved(problem)
        self._set(Condition.ACCEPTED, True, "Valid", "the run is valid")
        current = self._current()
        if self.spec.suspend:
            return self._suspend(current)
        if current is not None:
            return self._watch(current)
        return self._next_attempt()

    # Ends

    def _finished(self) -> Decision:
        """After the end: stop what still runs, delete the run when its time has come."""
        stuck = tuple(
            (pod.name, False) for pod in self.observed.pods if pod.is_live and not pod.deleted_at
        )
        finished = parse_time(self.old.finished_at) or self.now
        ttl = self.spec.ttl_seconds_after_finished
        left = (
            None if ttl is None else (finished + timedelta(seconds=ttl) - self.now).total_seconds()
        )
        since = (self.now - finished).total_seconds()
        wait = SUCCESS_GRACE_SECONDS - since if self.old.phase is Phase.SUCCEEDED else 0.0
        return Decision(
            reason="finished",
            status=self.old.model_copy(
                update={"observed_generation": self.resource.metadata.generation}
            ),
            delete_run=left is not None and left <= 0,
            delete_pods=stuck if wait <= 0 else (),
            again_seconds=min(
                [s for s in (left, wait if stuck else None) if s is not None and s > 0],
                default=None,
            ),
        )

    def _fail(self, reason: str, message: str) -> Decision:
        """The run has failed for good; what still runs is removed, what has ended stays for its log."""
        current = self._current()
        if current is not None:
            self._close(current, outcome="Failed", message=message)
        self._set(Condition.FAILED, True, reason, message)
        self._phase(Phase.FAILED, reason, message)
        self._change(finished_at=format_time(self.now), next_attempt_at=None)
        live = tuple((pod.name, False) for pod in self.observed.pods if pod.is_live)
        jobs = tuple(job.name for job in self.observed.jobs) if live else ()
        return Decision(
            reason=reason,
            status=self.status,
            delete_jobs=jobs if reason == "DeadlineExceeded" else (),
            delete_pods=live,
            notices=(Notice("Warning", "Failed", f"{reason}: {message}"),),
            again_seconds=1.0,
        )

    def _unresolved(self, problem: Problem) -> Decision:
        if problem.is_final:
            self._set(Condition.ACCEPTED, False, problem.reason, problem.message)
            return self._fail(problem.reason, problem.message)
        self._phase(Phase.PENDING, problem.reason, problem.message)
        return Decision(
            reason=problem.reason,
            status=self.status,
            notices=self._notice_once("Warning", problem.reason, problem.message),
            again_seconds=self._again(10.0),
        )

    # Suspension

    def _suspend(self, current: Attempt | None) -> Decision:
        """Stop the pods (they save on SIGTERM), then rest."""
        pods = [pod for pod in self.observed.pods if not pod.is_gone]
        jobs = tuple(job.name for job in self.observed.jobs if job.deleted_at is None)
        if jobs or pods:
            if current is not None:
                self.status = self._with_last_words(current.number)
            self._phase(self.old.phase, "Suspending", "pods save a checkpoint and stop")
            return Decision(
                reason="suspending",
                status=self.status,
                delete_jobs=jobs,
                delete_pods=self._overdue(pods) if not jobs else (),
                notices=self._notice_once(
                    "Normal", "Suspending", "stopping the pods after a checkpoint"
                ),
                again_seconds=self._again(2.0),
            )
        if current is not None:
            self._close(current, outcome="Suspended")
        latest = self.status.checkpoints.latest if self.status.checkpoints else None
        message = (
            f"goes on from step {latest.step} when suspend is false"
            if latest
            else "has not started"
        )
        self._phase(Phase.SUSPENDED, "Suspended", message)
        self._change(next_attempt_at=None)
        return Decision(
            reason="suspended",
            status=self.status,
            notices=self._notice_once("Normal", "Suspended", message),
            again_seconds=self._again(),
        )

    # A running attempt

    def _watch(self, current: Attempt) -> Decision:
        pods = self.observed.pods_of(current.number)
        if (success := judge_success(pods)) is not None:
            return self._succeed(current, success, pods)
        if (failure := judge_failure(pods)) is not None:
            return self._collect(current, failure, pods)
        job = self.observed.job_of(current.number)
        if job is None:
            return self._without_job(current)
        return self._report_running(current, pods)

    def _succeed(self, current: Attempt, end: AttemptEnd, pods: tuple[PodFacts, ...]) -> Decision:
        self._close(current, outcome="Succeeded", end=end)
        model = self.status.model
        where = f"the model is at {model.uri}" if model else "finished"
        self._set(Condition.COMPLETE, True, "Succeeded", where)
        self._phase(Phase.SUCCEEDED, "Succeeded", where)
        self._change(finished_at=format_time(self.now), next_attempt_at=None)
        return Decision(
            reason="succeeded",
            status=self.status,
            notices=(Notice("Normal", "Succeeded", where),),
            again_seconds=SUCCESS_GRACE_SECONDS if any(pod.is_live for pod in pods) else 0.1,
        )

    def _collect(
        self, current: Attempt, failure: AttemptEnd, pods: tuple[PodFacts, ...]
    ) -> Decision:
        """A pod has failed: wait a moment for the others' ends, then judge and take all down."""
        since = self._first_failure_at(pods)
        all_ended = not any(pod.is_live for pod in pods)
        waited = (self.now - since).total_seconds() if since else self.timing.collect_seconds
        if not all_ended and waited < self.timing.collect_seconds:
            self._phase(self.old.phase, "PodFailed", failure.message)
            return Decision(
                reason="collecting the ends of all pods",
                status=self.status,
                again_seconds=self._again(self.timing.collect_seconds - waited),
            )
        return self._restart(current, failure)

    def _first_failure_at(self, pods: tuple[PodFacts, ...]) -> datetime | None:
        moments = [
            moment
            for pod in pods
            if pod.has_failed
            and (moment := (pod.end.finished_at if pod.end else None) or pod.deleted_at)
        ]
        return min(moments, default=None)

    def _restart(self, current: Attempt, end: AttemptEnd) -> Decision:
        self._close(current, outcome="Failed", end=end)
        closed = self.status.attempts[-1]
        cause = end.cause or Cause.UNKNOWN
        latest = self.status.checkpoints.latest if self.status.checkpoints else None
        has_progressed = latest is not None and latest.step > (closed.resumed_from_step or 0)
        retry = decide_retry(
            self.spec.recovery,
            self.status.failures,
            cause,
            has_progressed=has_progressed,
            seed=f"{self.resource.metadata.uid}/{current.number}",
        )
        self._change(failures=retry.failures)
        if retry.pause_seconds is None:
            failed = self._fail(cause.value, end.message)
            return replace(failed, reason=f"{cause}: {retry.reason}")
        next_at = self.now + timedelta(seconds=retry.pause_seconds)
        self._change(next_attempt_at=format_time(next_at))
        message = f"attempt {current.number} failed ({cause}): {end.message}; {retry.reason}"
        self._phase(Phase.RESTARTING, cause.value, message)
        return Decision(
            reason=retry.reason,
            status=self.status,
            delete_jobs=tuple(job.name for job in self.observed.jobs),
            notices=(
                Notice(
                    "Warning", "AttemptFailed", f"attempt {current.number}, {cause}: {end.message}"
                ),
                Notice("Normal", "Restarting", f"{retry.reason}, in {retry.pause_seconds:.0f} s"),
            ),
            again_seconds=self._again(min(1.0, retry.pause_seconds)),
        )

    def _without_job(self, current: Attempt) -> Decision:
        """The attempt is in the status but its job is not seen: not yet, never made, or deleted."""
        if self.observed.problem is not None:
            problem = self.observed.problem
            self._phase(Phase.PENDING, problem.reason, problem.message)
            notices = self._notice_once("Warning", problem.reason, problem.message)
            return Decision(
                "job cannot be made",
                self.status,
                start_attempt=current.number,
                notices=notices,
                again_seconds=5.0,
            )
        started = parse_time(current.started_at) or self.now
        waited = (self.now - started).total_seconds()
        if waited < JOB_LOST_SECONDS or not self.old.progress:
            return Decision(
                "waiting for the job",
                self.status,
                start_attempt=current.number if waited > 2 else None,
                again_seconds=self._again(2.0),
            )
        end = AttemptEnd(Cause.INFRASTRUCTURE, f"PyTorchJob {current.job} was deleted by somebody")
        return self._restart(current, end)

    def _report_running(self, current: Attempt, pods: tuple[PodFacts, ...]) -> Decision:
        num_pods = self.spec.workers.nodes
        running = [pod for pod in pods if pod.phase == "Running"]
        notices: tuple[Notice, ...] = ()
        report = self.observed.report
        if report is not None and report.resumed_from_step is not None:
            self._note_resume(current, report.resumed_from_step)
        if len(running) < num_pods:
            obstacle = find_obstacle(self.observed, current.number, num_pods)
            if obstacle is not None:
                self._phase(Phase.PENDING, obstacle.reason, obstacle.message)
                notices = self._notice_once("Warning", obstacle.reason, obstacle.message)
            else:
                self._phase(
                    Phase.STARTING, "PodsStarting", f"{len(running)} of {num_pods} pods run"
                )
            return Decision(
                "starting", self.status, notices=notices, again_seconds=self._again(3.0)
            )
        progress = self.status.progress
        activity = progress.activity if progress and report is not None else None
        self._phase(
            Phase.RUNNING, "Running", f"attempt {current.number}: {activity or 'starting up'}"
        )
        if self.old.phase is not Phase.RUNNING:
            notices = (
                Notice("Normal", "Running", f"all {num_pods} pods of attempt {current.number} run"),
            )
        return Decision("running", self.status, notices=notices, again_seconds=self._again(30.0))

    def _note_resume(self, current: Attempt, step: int) -> None:
        """Once an attempt says from where it resumed, what the one before lost is known."""
        attempts = list(self.status.attempts)
        attempts[-1] = current.model_copy(update={"resumed_from_step": step})
        if len(attempts) > 1 and (last := attempts[-2].last_step) is not None:
            attempts[-2] = attempts[-2].model_copy(update={"steps_lost": max(0, last - step)})
        self._change(attempts=attempts)

    # The next attempt

    def _next_attempt(self) -> Decision:
        leftovers = [pod for pod in self.observed.pods if not pod.is_gone]
        jobs = tuple(job.name for job in self.observed.jobs if job.deleted_at is None)
        number = self.status.attempt + 1
        stale_jobs = tuple(job.name for job in self.observed.jobs if job.attempt != number)
        next_at = parse_time(self.status.next_attempt_at) or self.now
        is_first = not self.status.attempts
        if [pod for pod in leftovers if pod.attempt != number] or stale_jobs:
            return Decision(
                reason="waiting for the last attempt's pods to go",
                status=self.status,
                delete_jobs=tuple(name for name in jobs if name in stale_jobs),
                delete_pods=self._overdue(leftovers) if not stale_jobs else (),
                again_seconds=self._again(1.0),
            )
        if self.now < next_at:
            return Decision(
                "backing off",
                self.status,
                again_seconds=self._again((next_at - self.now).total_seconds()),
            )
        return self._start(number, is_first=is_first)

    def _start(self, number: int, *, is_first: bool) -> Decision:
        job = f"{self.resource.metadata.name}-{number}"
        attempt = Attempt(number=number, job=job, started_at=format_time(self.now))
        attempts = [*self.status.attempts, attempt][-MAXIMUM_ATTEMPTS_KEPT:]
        self._change(
            attempts=attempts,
            attempt=number,
            next_attempt_at=None,
            started_at=self.status.started_at or format_time(self.now),
        )
        self._phase(Phase.STARTING, "AttemptStarted", f"attempt {number}: creating pods")
        verb = "started" if is_first else "restarted"
        return Decision(
            reason=f"start attempt {number}",
            status=self.status,
            start_attempt=number,
            notices=(Notice("Normal", "AttemptStarted", f"{verb} as PyTorchJob {job}"),),
            again_seconds=self._again(3.0),
        )
