"""Whether a run has stopped to make steps, by the time of its last figures."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from trainwright_cli.runs import RunView, parse_run
from trainwright_cli.stalls import find_stall_seconds, tell_stall

from tests.unit.cli.manifests import a_training_run

NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
STARTED = {"number": 2, "job": "gpt-2", "startedAt": "2025-12-01T00:00:00Z"}


def ago(**spans: float) -> str:
    return (NOW - timedelta(**spans)).isoformat()


def a_view(phase: str = "Running", attempts: Any = (STARTED,), **progress: Any) -> RunView:
    fields = {"step": 50, "totalSteps": 150, "activity": "train", "etaSeconds": 100} | progress
    status = {"phase": phase, "progress": fields, "attempts": list(attempts)}
    return parse_run(a_training_run() | {"status": status})


@pytest.mark.parametrize(
    ("updated_at", "eta_seconds", "expected"),
    [
        (ago(seconds=119), 100, ""),
        (ago(seconds=121), 100, "no step for 2m"),
        (ago(minutes=12, seconds=50), 100, "no step for 12m"),
        (ago(hours=1, minutes=5), 100, "no step for 1h05m"),
        (ago(days=3, hours=4), 100, "no step for 3d4h"),
        (ago(minutes=3), None, "no step for 3m"),
        (ago(seconds=-40), 100, ""),
    ],
)
def test_a_run_without_a_step_for_two_minutes_says_for_how_long(
    updated_at: str, eta_seconds: float | None, expected: str
) -> None:
    assert tell_stall(a_view(updatedAt=updated_at, etaSeconds=eta_seconds), NOW) == expected


@pytest.mark.parametrize(("minutes", "is_told"), [(3, False), (14, False), (16, True)])
def test_steps_that_take_long_are_given_the_time_of_five(minutes: int, is_told: bool) -> None:
    three_minutes_each = a_view(updatedAt=ago(minutes=minutes), etaSeconds=100 * 180)
    assert (find_stall_seconds(three_minutes_each, NOW) is not None) is is_told


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(a_view(updatedAt=None), id="no time"),
        pytest.param(a_view(updatedAt="yesterday"), id="not a time"),
        pytest.param(a_view(updatedAt=ago(hours=1), activity="build"), id="starts up"),
        pytest.param(a_view(updatedAt=ago(hours=1), activity=None), id="does not say what it does"),
        pytest.param(a_view("Restarting", updatedAt=ago(hours=1)), id="has no pods"),
        pytest.param(a_view("Succeeded", updatedAt=ago(hours=1)), id="has ended"),
        pytest.param(a_view(updatedAt=ago(hours=1), step=150, etaSeconds=0), id="saves the last"),
        pytest.param(a_view(updatedAt="2025-11-30T23:59:00Z"), id="figures of the last attempt"),
        pytest.param(parse_run(a_training_run()), id="no status"),
    ],
)
def test_where_nobody_can_tell_nothing_is_said(view: RunView) -> None:
    assert tell_stall(view, NOW) == ""


def test_a_run_whose_attempts_are_not_known_is_told_of() -> None:
    assert tell_stall(a_view(attempts=(), updatedAt=ago(minutes=4)), NOW) == "no step for 4m"
    undated = {"number": 1, "job": "gpt-1", "startedAt": "2026"}
    assert tell_stall(a_view(attempts=[undated], updatedAt=ago(minutes=4)), NOW) == "no step for 4m"
