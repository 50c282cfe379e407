"""Trainers write times; one that is none must not stand in the way of any decision."""

import json
from typing import Any

import pytest
from trainwright_api.names import Phase
from trainwright_api.report import RunReport
from trainwright_operator.decide import decide
from trainwright_operator.untrusted import parse_report, parse_termination, parse_time

from tests.unit.operator.builders import at, checkpoint, observed, pod, run, running_status

BAD = ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01T12:00:30", "0001-01-01T00:00:00+14:00", ""]


def bad_checkpoint(saved_at: str) -> dict[str, Any]:
    return checkpoint(40) | {"savedAt": saved_at}


def test_times_are_in_utc_and_none_where_there_is_none() -> None:
    assert parse_time("2026-01-01T13:00:30+01:00") == at(-3570 + 3600)
    assert parse_time("2026-01-01T12:00:30") == at(30)
    assert [parse_time(text) for text in ("yesterday", "0001-01-01T00:00:00+14:00", None)] == [None] * 3  # fmt: skip


def test_what_was_saved_at_no_time_is_left_out_and_the_rest_is_kept() -> None:
    told = {
        "attempt": 1,
        "sequence": 1,
        "progress": {"step": 40, "updatedAt": "soon", "eta": 7},
        "checkpoints": [bad_checkpoint("soon"), checkpoint(30)],
        "bestCheckpoint": bad_checkpoint("soon"),
    }
    report = parse_report(json.dumps(told).encode())
    assert report is not None
    assert (report.progress.step, report.progress.updated_at, report.progress.eta) == (
        40,
        None,
        None,
    )
    assert [record.step for record in report.checkpoints] == [30]
    assert report.best_checkpoint is None
    words = {"outcome": "Failed", "cause": "UserError", "checkpoint": bad_checkpoint("soon")}
    last = parse_termination(json.dumps(words))
    assert last is not None
    assert (last.cause, last.checkpoint) == ("UserError", None)


def report_of(text: str) -> RunReport | None:
    """As a trainer's answer would come in."""
    progress = {"step": 40, "updatedAt": text, "eta": text}
    told = {"attempt": 1, "sequence": 1, "progress": progress}
    return parse_report(json.dumps(told | {"checkpoints": [bad_checkpoint(text)]}).encode())


@pytest.mark.parametrize("text", BAD)
def test_a_run_whose_trainer_or_status_holds_a_bad_time_is_decided_as_any_other(text: str) -> None:
    held = bad_checkpoint(text)
    status = running_status(
        progress={"step": 40, "updatedAt": text},
        checkpoints={"latest": held, "items": [held]},
    )
    words = json.dumps({"outcome": "Failed", "cause": "Unknown", "checkpoint": held})
    fallen = observed(
        pod(0, exit_code=1, said=words), pod(1, exit_code=1, said=words), report=report_of(text)
    )
    assert decide(run(status=status), fallen, at(70)).status.phase is Phase.RESTARTING

    gone = pod(0, exit_code=143, said=words, is_gone=True)
    resting = decide(run(status=status, suspend=True), observed(gone, jobs=()), at(70))
    assert resting.status.phase is Phase.SUSPENDED

    late = decide(
        run(status=status, deadlineSeconds=60), observed(pod(0), report=report_of(text)), at(70)
    )
    assert (late.status.phase, late.status.reason) == (Phase.FAILED, "DeadlineExceeded")
