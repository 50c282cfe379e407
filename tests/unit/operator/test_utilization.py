"""Condition Underutilized: since when, why, and what follows; over the decisions of a whole run."""

from typing import Any

import pytest
from trainwright_api.report import RunReport
from trainwright_api.resources import TrainingRun
from trainwright_api.status import ConditionStatus, RunStatus
from trainwright_operator.conditions import find_condition
from trainwright_operator.decide import decide
from trainwright_operator.decision import Decision, Policy, Timing
from trainwright_operator.utilization import explain_utilization

from tests.unit.operator.builders import (
    at,
    attempt,
    job,
    observed,
    pod,
    raw_run,
    running_status,
)

POLICY = Policy(minimum_utilization_percent=30, underutilized_minutes=10)
NOT_THERE = ("", "")


def report(used: float | None, *, activity: str = "train", number: int = 1) -> RunReport:
    hardware = {"device": "H100", "accelerators": 2, "utilizationPercent": used}
    told = {"progress": {"step": 5, "activity": activity}, "hardware": hardware}
    seconds = {"data": 0.6, "forward": 0.1, "total": 1.0}
    document = {"attempt": number, "sequence": 1, "stepSeconds": seconds, **told}
    return RunReport.model_validate(document)


def step(status: dict[str, Any], seconds: float, told: RunReport | None, **spec: Any) -> Decision:
    resource = TrainingRun.model_validate(raw_run(status=status, **spec))
    return decide(resource, observed(pod(0), pod(1), report=told), at(seconds), Timing(), POLICY)


def condition(status: RunStatus) -> ConditionStatus | None:
    return find_condition(status.conditions, "Underutilized")  # type: ignore[arg-type]


def verdict(status: RunStatus) -> tuple[str, str]:
    found = condition(status)
    return (found.status, found.reason) if found else NOT_THERE


def play(*moments: tuple[float, RunReport | None], **spec: Any) -> Decision:
    """Decide at each moment upon the status of the one before; return the last decision."""
    status = running_status()
    for seconds, told in moments:
        decision = step(status, seconds, told, **spec)
        status = decision.status.to_manifest()
    return decision


LOW, HIGH = report(12), report(80)


def test_a_trainer_that_fell_silent_is_not_judged_by_what_it_last_said() -> None:
    low = step(running_status(), 0, LOW).status.to_manifest()
    resource = TrainingRun.model_validate(raw_run(status=low, utilization={"action": "Suspend"}))
    silent = observed(pod(0), pod(1), report=LOW, is_silent=True)
    decision = decide(resource, silent, at(3600), Timing(), POLICY)
    assert not decision.suspend_run
    assert verdict(decision.status) == ("False", "TrainerSilent")
    again = step(decision.status.to_manifest(), 3700, LOW, utilization={"action": "Suspend"})
    assert not again.suspend_run
    assert verdict(again.status) == ("Unknown", "UtilizationLow"), "its clock starts anew"
    assert decision.status.message == "attempt 1: its trainer has not answered for over 60 s"


CASES = {
    "enough all the time": ([(0, HIGH), (900, HIGH)], NOT_THERE),
    "low for a moment": ([(0, LOW)], ("Unknown", "UtilizationLow")),
    "low, but not for long enough": ([(0, LOW), (599, LOW)], ("Unknown", "UtilizationLow")),
    "low for long enough": ([(0, LOW), (300, LOW), (600, LOW)], ("True", "DataWait")),
    "high again before it counts": ([(0, LOW), (300, HIGH)], ("False", "Utilized")),
    "low anew starts the clock anew": (
        [(0, LOW), (300, HIGH), (400, LOW), (700, LOW)],
        ("Unknown", "UtilizationLow"),
    ),
    "high again after it counted": ([(0, LOW), (600, LOW), (700, HIGH)], ("False", "Utilized")),
    "no word from the trainer changes nothing": (
        [(0, LOW), (300, None)],
        ("Unknown", "UtilizationLow"),
    ),
    "a driver that does not say": ([(0, report(None)), (900, report(None))], NOT_THERE),
    "while it exports": ([(0, report(0, activity="export"))], NOT_THERE),
    "what another attempt said": ([(0, report(0, number=2))], NOT_THERE),
}


@pytest.mark.parametrize("name", CASES)
def test_condition_follows_the_utilisation(name: str) -> None:
    moments, expected = CASES[name]
    assert verdict(play(*moments).status) == expected


def test_it_is_told_once_and_says_how_much_and_why() -> None:
    first = play((0, LOW), (600, LOW))
    (notice,) = [n for n in first.notices if n.reason == "Underutilized"]
    assert notice.message == (
        "devices are used 12 %, less than 30 % for 10 minutes: 60% of a step waits for data; "
        "more CPU for the pods or nearer sources may help"
    )
    again = step(first.status.to_manifest(), 660, report(11))
    assert again.notices == ()
    assert condition(again.status) == condition(first.status), "no write for a changed number"


def test_it_is_looked_at_when_the_time_is_over() -> None:
    assert play((0, LOW), (590, LOW)).again_seconds == 10


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"minimumPercent": 0}, NOT_THERE),
        ({"minimumPercent": 10}, NOT_THERE),
        ({"minimumPercent": 90}, ("Unknown", "UtilizationLow")),
        ({"minutes": 5}, ("True", "DataWait")),
        ({"minutes": 60}, ("Unknown", "UtilizationLow")),
    ],
)
def test_the_spec_wins_over_the_settings(own: dict[str, float], expected: tuple[str, str]) -> None:
    decision = play((0, LOW), (300, LOW), utilization=own)
    assert verdict(decision.status) == expected


def test_only_a_run_that_says_so_is_suspended() -> None:
    assert not play((0, LOW), (600, LOW)).suspend_run
    decision = play((0, LOW), (600, LOW), utilization={"action": "Suspend"})
    assert decision.suspend_run
    found = condition(decision.status)
    assert found is not None
    assert "`trainwright resume tr/gpt` goes on" in found.message
    assert "SuspendedUnderutilized" in [notice.reason for notice in decision.notices]


def test_a_suspension_that_was_not_written_is_tried_again() -> None:
    wanted = {"action": "Suspend"}
    first = play((0, LOW), (600, LOW), utilization=wanted)
    again = step(first.status.to_manifest(), 601, LOW, utilization=wanted)
    assert again.suspend_run
    assert again.notices == ()


def test_a_resumed_run_is_measured_anew() -> None:
    wanted = {"action": "Suspend"}
    status = play((0, LOW), (600, LOW), utilization=wanted).status.to_manifest()
    status["attempts"] = [attempt(1, endedAt="2026-01-01T12:11:00Z", outcome="Suspended")]
    resource = TrainingRun.model_validate(raw_run(status=status, utilization=wanted))
    started = decide(resource, observed(jobs=()), at(900), Timing(), POLICY)
    assert verdict(started.status) == ("False", "AttemptStarted")
    told = report(5, number=2)
    pods = observed(pod(0, number=2), pod(1, number=2), jobs=(job(2),), report=told)
    resource = TrainingRun.model_validate(
        raw_run(status=started.status.to_manifest(), utilization=wanted)
    )
    running = decide(resource, pods, at(930), Timing(), POLICY)
    assert not running.suspend_run
    assert verdict(running.status) == ("Unknown", "UtilizationLow")


REASONS = {
    "data": ({"data": 0.5, "communication": 0.3}, {}, "DataWait", "50% of a step waits for data"),
    "checkpoints": ({"checkpoint": 0.4}, {}, "CheckpointStall", "40% of a step stands still"),
    "waiting": ({"communication": 0.9}, {"worst": 2}, "Stragglers", "rank 3 is used least, 2 %"),
    "one slow device": ({}, {"worst": 4}, "Stragglers", "a slow device; rank 3"),
    "all alike": ({"data": 0.1}, {"worst": 10}, "SmallSteps", "no part of a step stands out"),
    "validation": ({"data": 0.1, "validation": 0.4}, {}, "Validation", "validate less often"),
    "nothing known": (None, {}, "SmallSteps", "no part"),
    "nonsense": ({"data": 5, "total": -1}, {}, "SmallSteps", "no part"),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_likely_reason(name: str) -> None:
    seconds, hardware, reason, words = REASONS[name]
    worst = hardware.get("worst")
    blame = {"worstRank": 3, "worstUtilizationPercent": worst} if worst is not None else {}
    told = {
        "attempt": 1,
        "sequence": 1,
        "stepSeconds": {} if seconds is None else {"total": 1.0} | seconds,
        "hardware": {"device": "x", "accelerators": 4, "utilizationPercent": 12, **blame},
    }
    found, text = explain_utilization(RunReport.model_validate(told))
    assert found == reason
    assert words in text
