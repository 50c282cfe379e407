"""What trainers say, brought into a status."""

import pytest
from trainwright_api.report import RunReport, TerminationMessage
from trainwright_api.status import RunStatus
from trainwright_operator.merging import (
    clear_speed,
    merge_report,
    merge_termination,
    tell_of_warnings,
)

from tests.unit.operator.builders import checkpoint


@pytest.mark.parametrize(
    ("known", "last", "left", "expected"),
    [
        ([75, 50, 25], 98, [98, 75, 50], [98, 75, 50]),
        ([75, 50], 98, None, [98, 75, 50]),
        ([98, 75], 98, [98], [98]),
        ([], 12, [12], [12]),
        ([50, 25], 25, None, [50, 25]),
    ],
)
def test_last_words_leave_the_checkpoints_that_are_in_the_store(
    known: list[int], last: int, left: list[int] | None, expected: list[int]
) -> None:
    items = [checkpoint(step) for step in known]
    before = {"checkpoints": {"latest": items[0], "items": items}} if items else {}
    status = RunStatus.model_validate(before)
    told = TerminationMessage.model_validate(
        {"outcome": "Succeeded", "checkpoint": checkpoint(last), "checkpointSteps": left}
    )
    merged = merge_termination(status, told).checkpoints
    assert merged is not None
    assert merged.latest is not None
    assert [item.step for item in merged.items] == expected
    assert merged.latest.step == expected[0]


@pytest.mark.parametrize(
    ("attempt", "ended_at", "step"),
    [(1, None, 98), (1, "2026-01-01T00:00:00Z", 75), (2, None, 75)],
)
def test_a_report_counts_while_its_attempt_runs(
    attempt: int, ended_at: str | None, step: int
) -> None:
    current = {"number": attempt, "job": f"gpt-{attempt}", "startedAt": "2026-01-01T00:00:00Z"}
    latest = checkpoint(75)
    status = RunStatus.model_validate(
        {
            "attempt": attempt,
            "attempts": [current | ({"endedAt": ended_at} if ended_at else {})],
            "checkpoints": {"latest": latest, "items": [latest]},
        }
    )
    told = {"attempt": 1, "sequence": 9, "checkpoints": [checkpoint(98), latest]}
    merged = merge_report(status, RunReport.model_validate(told)).checkpoints
    assert merged is not None
    assert merged.latest is not None
    assert merged.latest.step == step


def report_of(**told: object) -> RunReport:
    return RunReport.model_validate({"attempt": 2, "sequence": 1, **told})


def test_progress_stays_while_the_next_attempt_starts_up() -> None:
    reached = {"step": 60, "totalSteps": 100, "loss": 2.5, "tokensPerSecond": 900, "eta": "soon"}
    status = RunStatus.model_validate({"attempt": 2, "progress": reached})
    starting = merge_report(status, report_of(progress={"activity": "build"})).progress
    assert starting is not None
    assert (starting.step, starting.loss, starting.activity) == (60, 2.5, "build")
    assert (starting.tokens_per_second, starting.eta) == (None, None)
    assert starting.step_text == "60/100"
    resumed = merge_report(status, report_of(progress={"step": 50, "totalSteps": 100})).progress
    assert resumed is not None
    assert resumed.step == 50


def test_a_run_that_does_not_train_has_no_speed_left_and_still_its_devices() -> None:
    progress = {"step": 60, "totalSteps": 100, "loss": 2.5, "tokensPerSecond": 900, "mfu": 0.4}
    hardware = {"device": "H100", "accelerators": 8, "utilizationPercent": 93, "worstRank": 3}
    told = report_of(progress=progress | {"etaSeconds": 200}, hardware=hardware)
    status = clear_speed(merge_report(RunStatus(attempt=2), told))
    assert status.progress is not None
    left = status.progress.to_manifest()
    assert (left["step"], left["lossText"]) == (60, "2.5000")
    assert not {"tokensPerSecond", "tokensPerSecondText", "mfu", "mfuText"} & left.keys()
    assert not {"eta", "etaSeconds", "etaText"} & left.keys()
    assert status.hardware is not None
    assert (status.hardware.worst_rank, status.hardware.summary) == (3, None)


def test_warnings_are_kept_and_each_is_told_once() -> None:
    first = merge_report(RunStatus(attempt=2), report_of(warnings=["step 9 does not verify"]))
    more = report_of(warnings=[f"record {number} is cut" for number in range(9)])
    second = merge_report(first, more)
    assert second.warnings == ["step 9 does not verify", *more.warnings]
    assert [notice.message for notice in tell_of_warnings(first, second)] == more.warnings
    assert {notice.type for notice in tell_of_warnings(first, second)} == {"Warning"}
    last = merge_report(second, report_of(warnings=["step 9 does not verify", "the store fails"]))
    assert last.warnings == [*more.warnings[1:], "step 9 does not verify", "the store fails"]
    assert [notice.message for notice in tell_of_warnings(second, last)] == ["the store fails"]


@pytest.mark.parametrize(("activity", "is_kept"), [("build", True), ("train", False)])
def test_checkpoints_that_a_trainer_could_not_use_do_not_stay_in_the_status(
    activity: str, is_kept: bool
) -> None:
    known = {"latest": checkpoint(50), "items": [checkpoint(50)]}
    status = RunStatus.model_validate({"attempt": 2, "checkpoints": known})
    told = {"attempt": 2, "sequence": 1, "progress": {"activity": activity}}
    merged = merge_report(status, RunReport.model_validate(told))
    assert (merged.checkpoints is not None) is is_kept
