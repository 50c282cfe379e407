"""The learning rate by step: every shape at its corners, against numbers worked out by hand."""

from typing import Any

import pytest
from trainwright_api.training import Schedule
from trainwright_trainer.schedules import learning_rate, warmup_steps

PEAK = 0.004
STEPS = 100
# All shapes below rise over ten steps: 0.0004 at the first, the peak at the tenth.
RISE = {1: 0.0004, 5: 0.002, 9: 0.0036, 10: 0.004}

CURVES: dict[str, tuple[dict[str, Any], dict[int, float]]] = {
    # 90 steps of a half wave from 0.004 to 0.0004, so 0.0022 half way; after a third of them
    # 0.0004 + 0.0036 * 3/4, after two thirds 0.0004 + 0.0036 * 1/4.
    "Cosine": ({}, {40: 0.0031, 55: 0.0022, 70: 0.0013, 100: 0.0004}),
    "Cosine to nothing": (
        {"minimumFraction": 0},
        {40: 0.003, 55: 0.002, 70: 0.001, 100: 0.0},
    ),
    # 90 equal steps of 0.0036 / 90 = 0.00004.
    "Linear": (
        {"type": "Linear"},
        {11: 0.00396, 55: 0.0022, 99: 0.00044, 100: 0.0004},
    ),
    "Linear to a half": (
        {"type": "Linear", "minimumFraction": 0.5},
        {55: 0.003, 100: 0.002},
    ),
    "Constant": ({"type": "Constant"}, {11: 0.004, 55: 0.004, 100: 0.004}),
    # The peak up to step 80, then 20 equal steps of 0.0036 / 20 = 0.00018.
    "WarmupStableDecay": (
        {"type": "WarmupStableDecay"},
        {11: 0.004, 50: 0.004, 80: 0.004, 81: 0.00382, 90: 0.0022, 100: 0.0004},
    ),
    # The peak up to step 60, then 40 equal steps of 0.004 / 40 = 0.0001.
    "WarmupStableDecay, long and to nothing": (
        {"type": "WarmupStableDecay", "decayFraction": 0.4, "minimumFraction": 0},
        {60: 0.004, 61: 0.0039, 80: 0.002, 99: 0.0001, 100: 0.0},
    ),
}


def rate(schedule: dict[str, Any], step: int, total_steps: int = STEPS) -> float:
    return learning_rate(Schedule.model_validate(schedule), PEAK, step, total_steps)


@pytest.mark.parametrize("warmup", [{"warmupSteps": 10}, {"warmupFraction": 0.1}], ids=str)
@pytest.mark.parametrize("name", CURVES)
def test_the_rate_is_that_of_the_shape(name: str, warmup: dict[str, Any]) -> None:
    schedule, expected = CURVES[name]
    expected = RISE | expected
    found = {step: rate(schedule | warmup, step) for step in expected}
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CURVES)
def test_the_rate_never_rises_after_the_warm_up(name: str) -> None:
    rates = [rate(CURVES[name][0] | {"warmupSteps": 10}, step) for step in range(10, STEPS + 1)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("warmup", "total_steps", "expected"),
    [
        ({}, 200, 10),  # 5 %
        ({}, 8, 0),
        ({"warmupFraction": 0}, 200, 0),
        ({"warmupFraction": 0.25}, 200, 50),
        ({"warmupSteps": 0}, 200, 0),
        ({"warmupSteps": 7}, 200, 7),
        # The last step is left for the shape.
        ({"warmupFraction": 1}, 200, 199),
        ({"warmupSteps": 500}, 200, 199),
        ({"warmupSteps": 1}, 1, 0),
    ],
)
def test_the_warm_up_takes_so_many_steps(
    warmup: dict[str, Any], total_steps: int, expected: int
) -> None:
    assert warmup_steps(Schedule.model_validate(warmup), total_steps) == expected


def test_without_a_warm_up_the_first_step_is_one_of_the_shape() -> None:
    # The first of 4 equal steps from 0.004 down to 0.0004.
    schedule = {"type": "Linear", "warmupSteps": 0}
    assert rate(schedule, 1, total_steps=4) == pytest.approx(0.0031)


@pytest.mark.parametrize("shape", ["Cosine", "Linear", "WarmupStableDecay"])
def test_a_run_of_one_step_takes_the_lowest_rate(shape: str) -> None:
    assert rate({"type": shape}, 1, total_steps=1) == pytest.approx(0.0004)
