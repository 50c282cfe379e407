"""When training counts as diverged: at once for bad weights, after a while for skipped steps."""

import math

import pytest
from trainwright_api.training import Precision
from trainwright_trainer.divergence import MAXIMUM_SKIPPED_STEPS, DivergenceGuard
from trainwright_trainer.errors import NumericalError


@pytest.mark.parametrize("precision", Precision)
def test_skipped_steps_are_borne_unless_there_are_many_in_a_row(precision: Precision) -> None:
    guard = DivergenceGuard(precision)
    for step in range(1, MAXIMUM_SKIPPED_STEPS):
        guard.check(step, 2.0, math.inf, 1)
    guard.check(20, 2.0, 1.0, 0)
    for step in range(21, 20 + MAXIMUM_SKIPPED_STEPS):
        guard.check(step, 2.0, math.nan, 1)
    with pytest.raises(NumericalError, match=f"{MAXIMUM_SKIPPED_STEPS} steps in a row, up to 40"):
        guard.check(40, 2.0, math.inf, 1)


@pytest.mark.parametrize(
    ("precision", "loss", "norm", "num_skipped", "is_bad"),
    [
        (Precision.BF16, math.nan, 1.0, 1, True),
        (Precision.FP16, math.nan, math.inf, 1, False),  # one overflow
        (Precision.FP16, math.nan, 1.0, 0, True),
        (Precision.FP32, 2.0, math.nan, 0, True),
        (Precision.FP32, 2.0, math.nan, 1, False),
        (Precision.FP32, 2.0, 1.0, 0, False),
    ],
)
def test_one_step(
    precision: Precision, loss: float, norm: float, num_skipped: int, is_bad: bool
) -> None:
    guard = DivergenceGuard(precision)
    if not is_bad:
        guard.check(3, loss, norm, num_skipped)
        return
    with pytest.raises(NumericalError, match=r"step 3 .*lower optimizer\.learningRate"):
        guard.check(3, loss, norm, num_skipped)
