"""`kubectl describe` of a long run stays readable: bounded, without JSON, the summary at its end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from trainwright_api.status import RunStatus
from trainwright_api.summary import build_summary

from tests.cluster import Cluster
from tests.terminals.runs import PLAN, a_checkpoint, a_status, an_attempt
from tests.unit.cli.manifests import a_training_run

# 12 lines for each attempt and 7 for each checkpoint: kubectl gives every field a line.
MAXIMUM_LINES = 450
MAXIMUM_WIDTH = 170
ONE_SCREEN = 45


def a_long_status() -> dict[str, Any]:
    """Ten attempts, ten checkpoints, a plan with as many terms and decisions as the planner makes."""
    decision = PLAN["decisions"][0]
    plan = PLAN | {
        "memory": [PLAN["memory"][0] | {"name": f"term{n}"} for n in range(8)],
        "decisions": [decision | {"field": f"field{n}"} for n in range(10)],
    }
    attempts = [an_attempt(n, startedAt=f"2026-01-02T0{n - 1}:10:00Z") for n in range(1, 11)]
    items = [a_checkpoint(400 - 10 * n) for n in range(10)]
    checkpoints = {"latest": items[0], "best": items[3], "items": items}
    status = a_status(plan=plan, attempts=attempts, checkpoints=checkpoints, attempt=10)
    return status | {"summary": build_summary(RunStatus.model_validate(status))}


@pytest.fixture(scope="module")
def described(control_plane: Cluster) -> Iterator[list[str]]:
    run = a_training_run("described")
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(run))
    patch = json.dumps({"status": a_long_status()})
    arguments = ("--type=merge", "--subresource=status", "--patch", patch)
    control_plane.kubectl("patch", "tr", "described", *arguments)
    yield control_plane.kubectl("describe", "tr", "described").splitlines()
    control_plane.kubectl("delete", "tr", "described", "--wait=false")


def test_a_long_run_is_described_in_bounded_lines(described: list[str]) -> None:
    assert len(described) <= MAXIMUM_LINES
    assert max(map(len, described)) <= MAXIMUM_WIDTH


def test_no_line_is_json(described: list[str]) -> None:
    assert [line for line in described if "{" in line or '":' in line] == []


def test_the_last_screen_has_the_summary_with_units(described: list[str]) -> None:
    screen = "\n".join(described[-ONE_SCREEN:])
    assert "  Summary:\n" in screen
    for said in (
        *("Running, attempt 10", "step 120 of 400, 30 %, 3m20s left", "123,456 tokens/s"),
        *("8.25 of 79.60 GiB per device, fits", "88 degrees Celsius", "143.1 MiB, verified"),
        *("attempt 1: Infrastructure, after", "attempt 10: Infrastructure", "Events:"),
    ):
        assert said in screen
