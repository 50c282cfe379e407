"""Nodes' clocks may be wrong by hours, the operator's may be set back: runs go on all the same."""

import json
from typing import Any

import pytest
from trainwright_api import names
from trainwright_api.report import RunReport
from trainwright_operator.decide import decide
from trainwright_operator.decision import Decision
from trainwright_operator.facts import format_time
from trainwright_operator.world import World

from tests.unit.operator.builders import (
    KEY,
    UID,
    at,
    attempt,
    checkpoint,
    job,
    observed,
    pod,
    run,
    running_status,
)

OFF_BY = (-7200.0, 7200.0)


def second_attempt(newest: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A status whose second attempt began when the checkpoint of step 50 was the newest."""
    began = attempt(2, checkpointStep=50, **fields) | {"startedAt": format_time(at(50))}
    return running_status(
        2,
        attempts=[attempt(1, endedAt=format_time(at(40)), lastStep=57), began],
        checkpoints={"latest": newest, "items": [newest]},
        failures={"Infrastructure": 4},
    )


def kill(status: dict[str, Any], said: dict[str, Any] | None = None, **seen: Any) -> Decision:
    """The second attempt's pods fall."""
    killed = pod(1, number=2, exit_code=137)
    words = {"outcome": "Interrupted", "message": "stopped", **said} if said else None
    last = {"exit_code": 143, "said": json.dumps(words)} if words else {"exit_code": 137}
    master = pod(0, number=2, **last)
    return decide(run(status=status), observed(master, killed, jobs=(job(2),), **seen), at(70))


@pytest.mark.parametrize("off_by", OFF_BY)
def test_an_older_checkpoint_is_no_progress_and_a_newer_one_is(off_by: float) -> None:
    old = kill(second_attempt(checkpoint(50, saved_at=30 + off_by)))
    assert old.status.failures == {"Infrastructure": 5}
    new = kill(second_attempt(checkpoint(60, saved_at=60 + off_by), resumedFromStep=50))
    assert new.status.failures == {"Infrastructure": 1}


def test_a_checkpoint_after_going_back_behind_a_damaged_one_is_progress() -> None:
    went_back = kill(second_attempt(checkpoint(40), resumedFromStep=40))
    assert went_back.status.failures == {"Infrastructure": 5}
    saved = kill(second_attempt(checkpoint(45), resumedFromStep=40))
    assert saved.status.failures == {"Infrastructure": 1}
    anew = kill(second_attempt(checkpoint(10)))
    assert anew.status.failures == {"Infrastructure": 1}


def test_an_attempt_notes_the_newest_checkpoint_of_when_it_begins() -> None:
    ended = attempt(1, endedAt=format_time(at(40)), outcome="Failed")
    newest = checkpoint(50)
    status = running_status(
        phase="Restarting", attempts=[ended], checkpoints={"latest": newest, "items": [newest]}
    )
    begun = decide(run(status=status), observed(jobs=()), at(90)).status.attempts[-1]
    assert (begun.number, begun.checkpoint_step) == (2, 50)


@pytest.mark.parametrize("off_by", OFF_BY)
def test_the_last_step_of_an_attempt_is_what_it_told_itself(off_by: float) -> None:
    known = {"step": 57, "updatedAt": format_time(at(39 + off_by))}
    status = second_attempt(checkpoint(50)) | {"progress": known}
    told = {"step": 70, "updatedAt": format_time(at(65 + off_by))}
    report = RunReport.model_validate({"attempt": 2, "sequence": 1, "progress": told})
    assert kill(status, report=report).status.attempts[-1].last_step == 70
    assert kill(status, {"progress": told}).status.attempts[-1].last_step == 70
    resumed = {"progress": {"step": 50, "updatedAt": format_time(at(60 + off_by))}}
    assert kill(status, resumed).status.attempts[-1].last_step == 50


def test_a_clock_that_was_set_back_does_not_prolong_a_pause() -> None:
    ended = attempt(1, endedAt=format_time(at(40)), outcome="Failed")
    status = running_status(
        phase="Restarting", attempts=[ended], nextAttemptAt=format_time(at(100))
    )
    assert decide(run(status=status), observed(jobs=()), at(90)).reason == "backing off"
    set_back = decide(run(status=status), observed(jobs=()), at(-3600))
    assert set_back.start_attempt == 2


def test_a_clock_that_was_set_back_does_not_hide_that_a_job_was_deleted() -> None:
    status = running_status(phase="Starting")
    began = decide(run(status=status), observed(jobs=()), at(5))
    assert began.reason == "waiting for the job"
    set_back = decide(run(status=status), observed(jobs=()), at(-3600))
    assert set_back.status.phase == "Restarting"
    assert "was deleted by somebody" in (set_back.status.message or "")


def stopping(version: int, *, until: float, grace_seconds: int) -> dict[str, Any]:
    """A pod that was told to stop, as the API server shows it."""
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_ATTEMPT: "1"}
    meta = {"name": "p", "namespace": "team", "uid": "p", "labels": labels}
    deletion = {
        "deletionTimestamp": format_time(at(until)),
        "deletionGracePeriodSeconds": grace_seconds,
    }
    return {"metadata": meta | deletion | {"resourceVersion": str(version)}, "status": {}}


@pytest.mark.parametrize("off_by", OFF_BY)
def test_a_pod_has_its_grace_whatever_the_api_servers_clock_says(off_by: float) -> None:
    world = World()
    world.see_pod(stopping(1, until=160 + off_by, grace_seconds=60), now=at(100))
    world.see_pod(stopping(2, until=160 + off_by, grace_seconds=60), now=at(130))
    entry = world.entry(KEY)
    assert entry is not None

    def removals(seconds: float) -> list[int | None]:
        status = running_status(reason="Suspending")
        seen = observed(*entry.pods.values(), jobs=())
        decision = decide(run(status=status, suspend=True), seen, at(seconds))
        return [removal.grace_seconds for removal in decision.delete_pods]

    assert removals(189) == []
    assert removals(191) == [0]
    world.see_pod(stopping(3, until=140 + off_by, grace_seconds=0), now=at(140))
    assert entry.pods["p"].deleted_at == at(140)
