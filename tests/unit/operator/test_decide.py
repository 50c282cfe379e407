import json
from dataclasses import replace
from typing import Any

import pytest
from trainwright_api.names import Cause, Phase
from trainwright_api.report import RunReport
from trainwright_api.resources import TrainingRun
from trainwright_operator.decide import decide
from trainwright_operator.decision import Decision, PodRemoval
from trainwright_operator.facts import Observed, PodFacts, Problem, format_time

from tests.unit.operator.builders import (
    at,
    attempt,
    checkpoint,
    job,
    observed,
    pod,
    raw_run,
    run,
    running_status,
)


def condition(decision: Decision, type_: str) -> str:
    return next(c.status for c in decision.status.conditions if c.type == type_)


def test_a_new_run_starts_its_first_attempt() -> None:
    decision = decide(run(), Observed(), at(1))
    assert decision.start_attempt == 1
    assert decision.status.phase is Phase.STARTING
    assert [a.job for a in decision.status.attempts] == ["gpt-1"]
    assert condition(decision, "Accepted") == "True"
    assert [n.reason for n in decision.notices] == ["Accepted", "AttemptStarted"]


def test_the_same_decision_is_made_again_if_the_status_was_not_written() -> None:
    first = decide(run(), Observed(), at(1))
    again = decide(run(), observed(), at(1))
    assert again.start_attempt == first.start_attempt == 1


def test_pods_that_start_run_and_report() -> None:
    resource = run(status=running_status(phase="Starting"))
    starting = decide(resource, observed(pod(0), pod(1, phase="Pending")), at(5))
    assert (starting.status.phase, starting.status.reason) == (Phase.STARTING, "PodsStarting")

    report = RunReport.model_validate(
        {"attempt": 1, "sequence": 3, "progress": {"step": 7, "totalSteps": 100, "loss": 2.5}}
    )
    running = decide(resource, observed(pod(0), pod(1), report=report), at(9))
    assert running.status.phase is Phase.RUNNING
    assert running.status.progress is not None
    assert running.status.progress.step_text == "7/100"
    assert running.status.progress.loss_text == "2.5000"


def test_a_report_of_an_older_attempt_does_not_count() -> None:
    report = RunReport.model_validate({"attempt": 1, "sequence": 3, "progress": {"step": 7}})
    resource = run(status=running_status(2))
    decision = decide(
        resource, observed(pod(0, number=2), pod(1, number=2), jobs=(job(2),), report=report), at(9)
    )
    assert decision.status.progress is None


def test_success_takes_the_model_from_the_last_words() -> None:
    said = json.dumps(
        {
            "outcome": "Succeeded",
            "model": {"uri": "s3://runs/team/gpt/model/"},
            "progress": {"step": 100, "totalSteps": 100, "loss": 1.0},
            "checkpoint": checkpoint(100),
        }
    )
    resource = run(
        status=running_status(checkpoints={"latest": checkpoint(50), "items": [checkpoint(50)]})
    )
    decision = decide(
        resource, observed(pod(0, exit_code=0, said=said), pod(1, exit_code=0)), at(70)
    )
    status = decision.status
    assert status.phase is Phase.SUCCEEDED
    assert status.model is not None
    assert status.model.uri == "s3://runs/team/gpt/model/"
    assert status.checkpoints is not None
    assert [c.step for c in status.checkpoints.items] == [100, 50]
    assert status.attempts[0].outcome == "Succeeded"
    assert status.finished_at == "2026-01-01T12:01:10Z"


def test_a_failed_pod_is_waited_for_then_all_is_taken_down() -> None:
    resource = run(status=running_status(progress={"step": 30, "totalSteps": 100}))
    pods = (pod(0), pod(1, exit_code=137, ended_at=60))
    early = decide(resource, observed(*pods), at(61))
    assert early.delete_jobs == ()
    assert early.again_seconds == pytest.approx(3.0)

    late = decide(resource, observed(*pods), at(65))
    assert late.delete_jobs == ("gpt-1",)
    assert late.status.phase is Phase.RESTARTING
    assert late.status.failures == {"Infrastructure": 1}
    closed = late.status.attempts[0]
    assert (closed.cause, closed.pod, closed.exit_code, closed.last_step) == (
        Cause.INFRASTRUCTURE,
        "gpt-1-worker-0",
        137,
        30,
    )
    assert late.status.next_attempt_at is not None


def test_the_next_attempt_waits_for_the_old_pods_and_the_pause() -> None:
    ended = attempt(1, endedAt="2026-01-01T12:01:05Z", outcome="Failed", lastStep=30)
    status = running_status(
        phase="Restarting", attempts=[ended], nextAttemptAt="2026-01-01T12:01:10Z"
    )
    resource = run(status=status)
    with_pod = decide(resource, observed(pod(0), jobs=()), at(75))
    assert with_pod.start_attempt is None
    assert with_pod.delete_pods == (PodRemoval("gpt-1-master-0"),)

    too_early = decide(resource, observed(pod(0, is_gone=True), jobs=()), at(66))
    assert too_early.start_attempt is None

    started = decide(resource, observed(pod(0, is_gone=True), jobs=()), at(71))
    assert started.start_attempt == 2
    assert [a.number for a in started.status.attempts] == [1, 2]


def test_steps_lost_are_known_once_the_next_attempt_has_resumed() -> None:
    ended = attempt(1, endedAt="2026-01-01T12:01:05Z", outcome="Failed", lastStep=37)
    status = running_status(2, attempts=[ended, attempt(2)])
    report = RunReport.model_validate({"attempt": 2, "sequence": 1, "resumedFromStep": 30})
    pods = (pod(0, number=2), pod(1, number=2))
    decision = decide(run(status=status), observed(*pods, jobs=(job(2),), report=report), at(100))
    first, second = decision.status.attempts
    assert first.steps_lost == 7
    assert second.resumed_from_step == 30


def failing(status: dict[str, Any], **spec: Any) -> Decision:
    said = json.dumps({"outcome": "Failed", "cause": "UserError", "message": "spec.data: got x"})
    return decide(run(status=status, **spec), observed(pod(0, exit_code=2, said=said)), at(70))


def test_a_user_error_is_not_retried() -> None:
    decision = failing(running_status())
    assert decision.status.phase is Phase.FAILED
    assert (decision.status.reason, decision.status.message) == ("UserError", "spec.data: got x")
    assert condition(decision, "Failed") == "True"


def test_a_spent_budget_fails_the_run() -> None:
    status = running_status(failures={"Infrastructure": 1})
    budgets = {"budgets": {"infrastructure": 1}}
    decision = decide(
        run(status=status, recovery=budgets),
        observed(pod(0, exit_code=137), pod(1, exit_code=137)),
        at(70),
    )
    assert decision.status.phase is Phase.FAILED
    assert "1 allowed" in decision.reason


@pytest.mark.parametrize(
    ("cause", "field"),
    [
        ("NumericalFailure", "numericalFailure"),
        ("OutOfMemory", "outOfMemory"),
        ("Preempted", "preempted"),
        ("Unknown", "unknown"),
    ],
)
def test_every_cause_has_a_budget_of_its_own(cause: str, field: str) -> None:
    said = json.dumps({"outcome": "Failed", "cause": cause, "message": "it ended"})
    pods = observed(pod(0, exit_code=1, said=said))

    def phase(allowed: int, used: int) -> Phase:
        spent = {"Infrastructure": 9} | {cause: used}
        status = running_status(failures=spent)
        decided = decide(run(status=status, recovery={"budgets": {field: allowed}}), pods, at(70))
        return decided.status.phase

    assert (phase(2, 1), phase(2, 2), phase(0, 0)) == (
        Phase.RESTARTING,
        Phase.FAILED,
        Phase.FAILED,
    )


def test_a_new_checkpoint_refills_the_budgets() -> None:
    status = running_status(
        failures={"Infrastructure": 1, "Unknown": 2},
        checkpoints={"latest": checkpoint(50), "items": [checkpoint(50)]},
    )
    budgets = {"budgets": {"infrastructure": 1}}
    decision = decide(
        run(status=status, recovery=budgets),
        observed(pod(0, exit_code=137), pod(1, exit_code=137)),
        at(70),
    )
    assert decision.status.phase is Phase.RESTARTING
    assert decision.status.failures == {"Infrastructure": 1}


def test_suspend_stops_the_pods_then_rests_then_resumes_without_a_charge() -> None:
    status = running_status()
    stopping = decide(run(status=status, suspend=True), observed(pod(0), pod(1)), at(50))
    assert stopping.delete_jobs == ("gpt-1",)
    assert stopping.status.phase is Phase.RUNNING

    said = json.dumps(
        {"outcome": "Interrupted", "checkpoint": checkpoint(33), "progress": {"step": 33}}
    )
    gone = (pod(0, exit_code=143, said=said, is_gone=True), pod(1, is_gone=True))
    resting = decide(run(status=status, suspend=True), observed(*gone, jobs=()), at(60))
    assert resting.status.phase is Phase.SUSPENDED
    assert resting.status.checkpoints is not None
    assert resting.status.checkpoints.latest is not None
    assert resting.status.checkpoints.latest.step == 33
    assert resting.status.attempts[0].outcome == "Suspended"

    after = resting.status.to_manifest()
    resumed = decide(run(status=after), observed(*gone, jobs=()), at(90))
    assert resumed.start_attempt == 2
    assert resumed.status.failures == {}


def test_deadline_and_ttl() -> None:
    late = decide(
        run(status=running_status(), deadlineSeconds=25), observed(pod(0), pod(1)), at(26)
    )
    assert (late.status.phase, late.status.reason) == (Phase.FAILED, "DeadlineExceeded")
    assert {pod.name for pod in late.delete_pods} == {"gpt-1-master-0", "gpt-1-worker-0"}
    assert late.delete_jobs == ("gpt-1",)
    assert late.status.attempts[0].outcome == "Deadline"

    done = {"phase": "Succeeded", "finishedAt": "2026-01-01T12:00:10Z", "attempt": 1}
    kept = decide(run(status=done, ttlSecondsAfterFinished=60), Observed(), at(20))
    assert not kept.delete_run
    assert kept.again_seconds == pytest.approx(50)
    assert decide(run(status=done, ttlSecondsAfterFinished=60), Observed(), at(71)).delete_run


def test_what_a_stopped_pod_says_after_the_deadline_is_taken_in() -> None:
    progress = {"step": 20, "updatedAt": format_time(at(20))}
    late = decide(
        run(status=running_status(progress=progress), deadlineSeconds=25),
        observed(pod(0), pod(1)),
        at(26),
    )
    words = {"outcome": "Interrupted", "checkpoint": checkpoint(33), "progress": {"step": 33}}
    ended = pod(0, exit_code=143, said=json.dumps(words), deleted_at=90)
    after = decide(
        run(status=late.status.to_manifest(), deadlineSeconds=25), observed(ended, jobs=()), at(30)
    )
    latest = after.status.checkpoints and after.status.checkpoints.latest
    assert latest is not None
    assert (latest.step, after.status.attempts[0].last_step) == (33, 33)
    assert condition(after, "CheckpointReady") == "True"
    again = decide(run(status=after.status.to_manifest()), observed(ended, jobs=()), at(31))
    assert again.status == after.status


def test_at_a_deadline_a_job_goes_that_has_made_no_pods_yet() -> None:
    status = running_status(phase="Starting")
    late = decide(run(status=status, deadlineSeconds=25), observed(), at(26))
    assert late.delete_jobs == ("gpt-1",)
    done = (pod(0, exit_code=0, said=WELL), pod(1, exit_code=0))
    assert decide(run(status=running_status()), observed(*done), at(70)).delete_jobs == ()


def test_a_run_resumed_before_its_pods_have_stopped_is_charged_with_no_failure() -> None:
    stopping = decide(run(status=running_status(), suspend=True), observed(pod(0), pod(1)), at(50))
    said = json.dumps({"outcome": "Interrupted", "checkpoint": checkpoint(33)})
    ended = (pod(0, exit_code=143, said=said, deleted_at=110), pod(1, deleted_at=110))
    resumed = decide(run(status=stopping.status.to_manifest()), observed(*ended, jobs=()), at(52))
    assert (resumed.reason, resumed.start_attempt) == ("suspending", None)

    gone = tuple(replace(each, is_gone=True) for each in ended)
    resting = decide(run(status=resumed.status.to_manifest()), observed(*gone, jobs=()), at(54))
    assert resting.status.attempts[0].outcome == "Suspended"
    assert resting.again_seconds == pytest.approx(0.1)

    goes_on = decide(run(status=resting.status.to_manifest()), observed(jobs=()), at(55))
    assert (goes_on.start_attempt, goes_on.status.failures) == (2, {})
    assert goes_on.status.checkpoints is not None


WELL = '{"outcome": "Succeeded", "model": {"uri": "s3://runs/team/gpt/model/"}}'


@pytest.mark.parametrize("spec", [{"deadlineSeconds": 60}, {"suspend": True}])
@pytest.mark.parametrize(
    "master",
    [
        pod(0, exit_code=0, ended_at=50, said=WELL),
        pod(0, exit_code=0, ended_at=50),
        pod(0, exit_code=0, ended_at=50, said=WELL, deleted_at=120),
    ],
)
def test_a_success_that_was_there_first_counts(spec: dict[str, Any], master: PodFacts) -> None:
    seen = observed(master, pod(1, exit_code=0, ended_at=50))
    decision = decide(run(status=running_status(), **spec), seen, at(70))
    assert (decision.status.phase, decision.status.attempts[0].outcome) == (
        Phase.SUCCEEDED,
        "Succeeded",
    )


def test_a_success_before_the_deadline_gives_workers_their_moment_and_is_not_rushed() -> None:
    seen = observed(pod(0, exit_code=0, ended_at=50, said=WELL), pod(1))
    waiting = decide(run(status=running_status(), deadlineSeconds=60), seen, at(70))
    assert (waiting.status.reason, waiting.again_seconds) == ("Finishing", 1.0)


def test_a_good_exit_on_request_without_a_word_is_no_success() -> None:
    stopped = pod(0, exit_code=0, deleted_at=120, is_gone=True)
    seen = observed(stopped, pod(1, is_gone=True), jobs=())
    decision = decide(run(status=running_status(), suspend=True), seen, at(70))
    assert decision.status.phase is Phase.SUSPENDED


def test_a_problem_that_passes_keeps_the_run_pending_and_a_final_one_fails_it() -> None:
    waiting = decide(run(), Observed(problem=Problem("WaitingForRun", "waits for base")), at(1))
    assert (waiting.status.phase, waiting.status.reason) == (Phase.PENDING, "WaitingForRun")
    assert waiting.start_attempt is None

    refused = decide(
        run(), Observed(problem=Problem("DoesNotFit", "too large", is_final=True)), at(1)
    )
    assert refused.status.phase is Phase.FAILED
    assert condition(refused, "Accepted") == "False"


def test_an_obstacle_is_named_once_in_an_event_and_as_long_as_it_lasts_in_the_status() -> None:
    stuck = pod(0, phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/2 nodes: Insufficient nvidia.com/gpu"}])  # fmt: skip
    resource = run(status=running_status(phase="Starting"))
    first = decide(resource, observed(stuck), at(5))
    assert (first.status.phase, first.status.reason) == (Phase.PENDING, "Unschedulable")
    assert "nvidia.com/gpu" in (first.status.message or "")
    assert [n.reason for n in first.notices] == ["Unschedulable"]
    again = decide(run(status=first.status.to_manifest()), observed(stuck), at(8))
    assert again.notices == ()


def test_a_job_that_somebody_deleted_is_an_infrastructure_failure() -> None:
    resource = run(status=running_status(progress={"step": 5}))
    decision = decide(resource, Observed(), at(60))
    assert decision.status.phase is Phase.RESTARTING
    assert "was deleted by somebody" in (decision.status.message or "")


ENDED = attempt(1, endedAt="2026-01-01T12:01:05Z", outcome="Failed")
RESTARTING = running_status(phase="Restarting", attempts=[ENDED], nextAttemptAt=format_time(at(70)))
SUCCEEDED = decide(
    run(status=running_status()),
    observed(pod(0, exit_code=0, said='{"outcome": "Succeeded"}'), pod(1, exit_code=0)),
    at(70),
).status.to_manifest()
REFUSED = Problem("DoesNotFit", "too large", is_final=True)


@pytest.mark.parametrize(
    ("spec", "seen", "phase"),
    [
        ({}, Observed(), Phase.STARTING),
        ({}, Observed(problem=Problem("WaitingForRun", "waits for base")), Phase.PENDING),
        ({}, Observed(problem=REFUSED), Phase.FAILED),
        ({"status": running_status()}, observed(pod(0), pod(1)), Phase.RUNNING),
        (
            {"status": running_status()},
            observed(pod(0), pod(1, exit_code=137, ended_at=60)),
            Phase.RESTARTING,
        ),
        ({"status": RESTARTING}, observed(jobs=()), Phase.STARTING),
        (
            {"status": running_status()},
            observed(pod(0, exit_code=0, said='{"outcome": "Succeeded"}'), pod(1, exit_code=0)),
            Phase.SUCCEEDED,
        ),
        ({"status": running_status(), "deadlineSeconds": 60}, observed(pod(0)), Phase.FAILED),
        ({"status": running_status(), "suspend": True}, observed(jobs=()), Phase.SUSPENDED),
        ({"status": SUCCEEDED}, observed(jobs=()), Phase.SUCCEEDED),
    ],
)
def test_status_and_conditions_tell_the_generation_they_are_of(
    spec: dict[str, Any], seen: Observed, phase: Phase
) -> None:
    raw = raw_run(**spec)
    raw["metadata"]["generation"] = 7
    status = decide(TrainingRun.model_validate(raw), seen, at(80)).status
    assert status.phase is phase
    assert status.observed_generation == 7
    told = {c.type: c.observed_generation for c in status.conditions}
    assert {"Accepted", "Running", "Suspended", "CheckpointReady"} <= told.keys()
    assert told == dict.fromkeys(told, 7)
