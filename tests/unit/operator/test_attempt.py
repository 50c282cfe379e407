"""Decisions about a running attempt: when its ends are collected, what counts as progress, what goes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from trainwright_api.names import Cause, Phase
from trainwright_api.report import RunReport
from trainwright_operator.decide import decide
from trainwright_operator.decision import PodRemoval
from trainwright_operator.facts import EventFacts, Observed, PodFacts, Problem

from tests.unit.operator.builders import (
    at,
    attempt,
    checkpoint,
    format_time,
    job,
    observed,
    pod,
    run,
    running_status,
)

INTERRUPTED = json.dumps({"outcome": "Interrupted", "message": "stopped on request"})


def test_pods_of_the_failed_group_get_a_short_grace_as_they_wait_in_vain() -> None:
    decision = decide(
        run(status=running_status()), observed(pod(0), pod(1, exit_code=137, ended_at=60)), at(65)
    )
    assert decision.delete_pods == (PodRemoval("gpt-1-master-0", 15),)
    assert decision.delete_jobs == ("gpt-1",)


def test_a_drained_pod_may_save_until_its_grace_is_over() -> None:
    drained = pod(1, deleted_at=120, ended_at=60)
    waiting = decide(run(status=running_status()), observed(pod(0), drained), at(100))
    assert waiting.reason == "collecting the ends of all pods"
    assert waiting.delete_pods == ()

    saved = pod(1, exit_code=143, said=INTERRUPTED, deleted_at=120, ended_at=101)
    both = observed(pod(0, exit_code=143, said=INTERRUPTED, ended_at=101), saved)
    over = decide(run(status=running_status()), both, at(102))
    assert over.status.phase is Phase.RESTARTING
    assert over.status.attempts[0].cause is Cause.PREEMPTED

    never = decide(run(status=running_status()), observed(pod(0), drained), at(121))
    assert never.status.attempts[0].cause is Cause.INFRASTRUCTURE


def test_a_node_whose_clock_is_ahead_does_not_delay_the_restart() -> None:
    ahead = pod(1, exit_code=1, ended_at=60)
    assert ahead.end is not None
    ahead_by_an_hour = pod(1, exit_code=1, ended_at=3660)
    seen_now = observed(pod(0), ahead_by_an_hour)
    assert decide(run(status=running_status()), seen_now, at(3665)).delete_jobs == ("gpt-1",)


def test_an_old_checkpoint_is_no_progress_of_an_attempt_that_never_got_so_far() -> None:
    """Else an attempt that always dies at its start would be started for ever."""
    status = running_status(
        2,
        attempts=[
            attempt(1, endedAt=format_time(at(40)), lastStep=57),
            attempt(2, checkpointStep=50) | {"startedAt": format_time(at(50))},
        ],
        checkpoints={"latest": checkpoint(50, saved_at=30), "items": [checkpoint(50, saved_at=30)]},
        failures={"Infrastructure": 1},
    )
    pods = (pod(0, number=2, exit_code=137), pod(1, number=2, exit_code=137))
    budgets = {"budgets": {"infrastructure": 1}}
    decision = decide(run(status=status, recovery=budgets), observed(*pods, jobs=(job(2),)), at(70))
    assert decision.status.phase is Phase.FAILED
    assert decision.status.failures == {"Infrastructure": 2}
    assert "2 failures by Infrastructure without progress, 1 allowed" in (
        decision.status.message or ""
    )


def test_what_another_pod_saved_counts_whatever_the_culprit_says() -> None:
    lost = {
        "outcome": "Failed",
        "cause": "Infrastructure",
        "message": "lost contact to another rank",
    }
    words = {"outcome": "Failed", "cause": "Unknown", "message": "ValueError: odd", "rank": 1}
    said = json.dumps(lost | {"checkpoint": checkpoint(60), "progress": {"step": 60}})
    pods = (pod(0, exit_code=1, said=said), pod(1, exit_code=1, said=json.dumps(words)))
    status = running_status(failures={"Unknown": 3}, progress={"step": 59})
    after = decide(run(status=status), observed(*pods), at(70)).status
    assert after.checkpoints is not None
    assert after.checkpoints.latest is not None
    assert after.checkpoints.latest.step == 60
    assert (after.phase, after.failures) == (Phase.RESTARTING, {"Unknown": 1})
    assert (after.attempts[0].message, after.attempts[0].last_step) == ("ValueError: odd", 60)


def test_an_attempt_that_reported_nothing_has_no_last_step() -> None:
    progress = {"step": 57, "updatedAt": format_time(at(30))}
    attempts = [
        attempt(1, endedAt=format_time(at(40)), outcome="Failed", lastStep=57),
        attempt(2) | {"startedAt": format_time(at(50))},
    ]
    status = running_status(2, attempts=attempts, progress=progress)
    pods = (pod(0, number=2, exit_code=137), pod(1, number=2, exit_code=137))
    second = decide(run(status=status), observed(*pods, jobs=(job(2),)), at(70)).status.attempts[1]
    assert second.last_step is None


@pytest.mark.parametrize(("resumed", "lost"), [(50, 7), (None, 57)])
def test_steps_lost_are_those_of_the_last_attempt_that_trained(
    resumed: int | None, lost: int
) -> None:
    attempts = [
        attempt(1, endedAt=format_time(at(40)), outcome="Failed", lastStep=57),
        attempt(2, endedAt=format_time(at(60)), outcome="Failed"),
        attempt(3),
    ]
    report = RunReport.model_validate(
        {"attempt": 3, "sequence": 1, "resumedFromStep": resumed, "progress": {"step": 60}}
    )
    pods = (pod(0, number=3), pod(1, number=3))
    decision = decide(
        run(status=running_status(3, attempts=attempts)),
        observed(*pods, jobs=(job(3),), report=report),
        at(90),
    )
    assert [a.steps_lost for a in decision.status.attempts] == [lost, None, None]


def test_success_waits_a_moment_for_workers_and_stays_in_its_phase_meanwhile() -> None:
    done = pod(0, exit_code=0, ended_at=60)
    waiting = decide(run(status=running_status()), observed(done, pod(1)), at(65))
    assert (waiting.status.phase, waiting.status.reason) == (Phase.RUNNING, "Finishing")

    late = decide(run(status=running_status()), observed(done, pod(1)), at(91))
    assert late.status.phase is Phase.SUCCEEDED
    assert late.delete_pods == (PodRemoval("gpt-1-worker-0"),)

    early_worker = decide(
        run(status=running_status()), observed(pod(0), pod(1, exit_code=0)), at(65)
    )
    assert early_worker.status.phase is Phase.RUNNING


def test_a_good_exit_code_with_bad_words_is_no_success() -> None:
    said = json.dumps({"outcome": "Failed", "cause": "UserError", "message": "spec.data: empty"})
    decision = decide(
        run(status=running_status()), observed(pod(0, exit_code=0, said=said)), at(70)
    )
    assert (decision.status.phase, decision.status.reason) == (Phase.FAILED, "UserError")


def test_after_a_failure_kubeflow_makes_no_new_pods() -> None:
    """A job that has not ended by its own account would replace the pods that are removed."""
    said = json.dumps({"outcome": "Failed", "cause": "UserError", "message": "no"})
    pods = (pod(0, exit_code=2, said=said), pod(1))
    open_job = decide(run(status=running_status()), observed(*pods), at(70))
    assert (open_job.delete_jobs, open_job.delete_pods) == (
        ("gpt-1",),
        (PodRemoval("gpt-1-worker-0"),),
    )
    ended_job = observed(*pods, jobs=(job(has_ended=True),))
    kept = decide(run(status=running_status()), ended_job, at(70))
    assert (kept.delete_jobs, kept.delete_pods) == ((), (PodRemoval("gpt-1-worker-0"),))


def test_a_job_that_ended_unseen_with_its_pods_gone_is_tried_again() -> None:
    gone = observed(jobs=(job(has_ended=True),))
    early = decide(run(status=running_status()), gone, at(2))
    assert early.status.phase is Phase.RUNNING
    decision = decide(run(status=running_status()), gone, at(70))
    (first,) = decision.status.attempts
    assert (decision.status.phase, first.cause) == (Phase.RESTARTING, Cause.INFRASTRUCTURE)
    assert "its pods were gone" in (first.message or "")
    assert decision.delete_jobs == ("gpt-1",)


@pytest.mark.parametrize("left", [pod(1, exit_code=0), pod(1, exit_code=0, is_gone=True)])
def test_a_job_that_ended_and_left_only_a_worker_that_ended_well_is_tried_again(
    left: PodFacts,
) -> None:
    seen = observed(left, jobs=(job(has_ended=True),))
    decision = decide(run(status=running_status(phase="Starting")), seen, at(70))
    (first,) = decision.status.attempts
    assert (decision.status.phase, first.cause) == (Phase.RESTARTING, Cause.INFRASTRUCTURE)
    assert "its pods were gone" in (first.message or "")

    lives = observed(left, pod(0), jobs=(job(has_ended=True),))
    assert decide(run(status=running_status()), lives, at(70)).status.phase is Phase.RUNNING


def test_a_gang_of_which_a_pod_finds_no_node_is_started_again_and_costs_no_budget_of_failures() -> (
    None
):
    condition = {"type": "PodScheduled", "status": "False", "message": "Insufficient cpu"}
    absent = pod(1, phase="Pending", conditions=[condition])
    words = json.dumps({"outcome": "Failed", "cause": "Unknown", "message": "DistStoreError"})
    status = running_status(failures={"Unknown": 3, "Infrastructure": 10})
    decision = decide(
        run(status=status), observed(pod(0, exit_code=1, said=words), absent), at(1900)
    )
    assert decision.status.phase is Phase.RESTARTING
    assert decision.status.attempts[0].cause is Cause.PREEMPTED
    assert "Insufficient cpu" in (decision.status.message or "")
    assert decision.delete_jobs == ("gpt-1",)


def test_a_gang_of_which_a_pod_was_never_created_is_started_again() -> None:
    quota = EventFacts("gpt-1", "FailedCreatePod", "pods are forbidden: exceeded quota: small")
    words = json.dumps({"outcome": "Failed", "cause": "Unknown", "message": "DistStoreError"})
    alone = pod(0, exit_code=1, said=words)
    status = running_status(phase="Pending", failures={"Unknown": 3})
    decision = decide(run(status=status), observed(alone, warnings=(quota,)), at(1900))
    assert decision.status.attempts[0].cause is Cause.PREEMPTED
    assert "exceeded quota: small" in (decision.status.message or "")
    all_there = observed(alone, pod(1), warnings=(quota,))
    failed = decide(run(status=status), all_there, at(1900))
    assert failed.status.attempts[0].cause is Cause.UNKNOWN


def test_a_running_attempt_is_not_ended_by_what_is_in_the_way_of_the_next() -> None:
    problem = Problem("DoesNotFit", "by a newer operator's reckoning", is_final=True)
    decision = decide(
        run(status=running_status()), observed(pod(0), pod(1), problem=problem), at(70)
    )
    assert decision.status.phase is Phase.RUNNING


def test_a_job_that_could_not_be_created_is_tried_again_and_no_attempt_is_begun() -> None:
    refused = Observed(job_problem=Problem("MissingPyTorchJobKind", "install it"))
    decision = decide(run(), refused, at(1))
    assert (decision.status.phase, decision.status.reason) == (
        Phase.PENDING,
        "MissingPyTorchJobKind",
    )
    assert decision.start_attempt == 1
    assert decision.status.attempts == []


def test_a_job_that_nobody_notices_names_the_training_operator() -> None:
    status = running_status(phase="Starting")
    unnoticed = observed(jobs=(replace(job(), is_noticed=False),))
    assert decide(run(status=status), unnoticed, at(19)).status.phase is Phase.STARTING
    late = decide(run(status=status), unnoticed, at(21)).status
    assert (late.phase, late.reason) == (Phase.PENDING, "NoTrainingOperator")
    assert "PyTorchJob gpt-1 got neither pods nor a status within 20 s" in (late.message or "")
    for seen in (observed(), observed(pod(0, phase="Pending"), jobs=unnoticed.jobs)):
        assert decide(run(status=status), seen, at(21)).status.phase is Phase.STARTING


def test_a_stuck_pod_of_a_finished_run_goes_by_force() -> None:
    done = {"phase": "Succeeded", "finishedAt": format_time(at(10)), "attempt": 1}
    stuck = pod(1, deleted_at=60)
    asked = decide(run(status=done), observed(stuck, jobs=()), at(80))
    assert asked.delete_pods == ()
    forced = decide(run(status=done), observed(stuck, jobs=()), at(91))
    assert forced.delete_pods == (PodRemoval("gpt-1-worker-0", 0),)


def saved(step: int, saved_at: float) -> dict[str, Any]:
    newest = checkpoint(step, saved_at=saved_at)
    return {"latest": newest, "items": [newest]}


@pytest.mark.parametrize(
    ("before", "now", "is_told"),
    [
        (None, (10, 30), True),
        ((10, 30), (20, 60), False),
        ((10, 30), (20, 330), True),
        ((10, 30), (10, 30), False),
    ],
)
def test_of_checkpoints_one_event_in_five_minutes_tells(
    before: tuple[int, float] | None, now: tuple[int, float], is_told: bool
) -> None:
    status = running_status(**({"checkpoints": saved(*before)} if before else {}))
    report = RunReport.model_validate(
        {"attempt": 1, "sequence": 2, "checkpoints": [checkpoint(now[0], saved_at=now[1])]}
    )
    decision = decide(run(status=status), observed(pod(0), pod(1), report=report), at(400))
    assert ("CheckpointSaved" in [n.reason for n in decision.notices]) == is_told


def test_going_on_after_a_suspension_is_told() -> None:
    ended = attempt(1, endedAt=format_time(at(40)), outcome="Suspended", lastStep=33)
    status = running_status(phase="Suspended", attempts=[ended])
    decision = decide(run(status=status), Observed(), at(90))
    assert [(n.reason, n.message) for n in decision.notices] == [
        ("Resumed", "goes on after step 33 as attempt 2"),
        ("AttemptStarted", "attempt 2 started as PyTorchJob gpt-2"),
    ]


def test_what_the_others_saved_counts_when_the_pod_that_fell_was_killed() -> None:
    said = json.dumps(
        {"outcome": "Interrupted", "checkpoint": checkpoint(40), "progress": {"step": 40}}
    )
    killed = pod(1, exit_code=137, ended_at=60)
    pods = observed(pod(0, exit_code=143, said=said, ended_at=61), killed)
    status = running_status(progress={"step": 38, "totalSteps": 100})
    decision = decide(run(status=status), pods, at(70))
    (closed,) = decision.status.attempts
    assert (closed.pod, closed.exit_code, closed.last_step) == (killed.name, 137, 40)
    assert decision.status.checkpoints is not None
    assert decision.status.checkpoints.latest is not None
    assert decision.status.checkpoints.latest.step == 40


def test_a_message_is_never_longer_than_a_status_may_hold() -> None:
    problem = Problem("Forbidden", "y" * 3000)
    waiting = decide(run(status={}), observed(jobs=(), problem=problem), at(70)).status
    assert len(waiting.message or "") == 2048
    assert max(len(c.message) for c in waiting.conditions) <= 2048
